/* A rANS stream as decoders read it: see frequency/rans.py. */

#ifndef OVERTONE_RANS_H
#define OVERTONE_RANS_H

#include "coder.h"

enum {
    OVERTONE_BITS = 14, /* per frequency */
    OVERTONE_TOTAL = 1 << OVERTONE_BITS,
};
#define OVERTONE_START 65536u

typedef struct {
    const unsigned char *at, *end;
    uint32_t state;
    overtone_status status;
} overtone_stream;

static inline overtone_status overtone_open(overtone_stream *stream, const unsigned char *body, size_t size)
{
    if (size < 4)
        return OVERTONE_CUT_SHORT;
    stream->state = (uint32_t)body[0] | (uint32_t)body[1] << 8 | (uint32_t)body[2] << 16 | (uint32_t)body[3] << 24;
    stream->at = body + 4;
    stream->end = body + size;
    stream->status = OVERTONE_GOOD;
    if (stream->state < OVERTONE_START)
        return OVERTONE_NO_STATE;
    return size % 2 ? OVERTONE_HALF_WORD : OVERTONE_GOOD;
}

/* Takes the current interval out of the state. After the stream has failed, nothing more is read. */
static inline void overtone_advance(overtone_stream *stream, uint32_t start, uint32_t frequency)
{
    stream->state = frequency * (stream->state >> OVERTONE_BITS) + (stream->state & (OVERTONE_TOTAL - 1)) - start;
    if (stream->state >= OVERTONE_START)
        return;
    if (stream->at == stream->end) {
        stream->status = OVERTONE_CUT_SHORT;
        stream->state = OVERTONE_START;
        return;
    }
    stream->state = stream->state << 16 | (uint32_t)stream->at[0] | (uint32_t)stream->at[1] << 8;
    stream->at += 2;
}

static inline overtone_status overtone_close(const overtone_stream *stream)
{
    if (stream->at != stream->end)
        return OVERTONE_LEFT_OVER;
    return stream->state >> 16 == 1 ? OVERTONE_GOOD : OVERTONE_BAD_END;
}

#endif
