/* Packed block masks; block_mask.h says what the function does, docs/protocol.md how masks are packed. */

#include "block_mask.h"
#include "rans.h"

enum {
    CONTEXTS = 32, /* of five neighbours */
    STEP = 4,      /* what a symbol adds to its count */
    MOST = 255,    /* counts of a context are halved beyond this */
};

/* An adaptive model of a binary symbol: the numbers of zeros and ones so far. */
typedef struct {
    uint32_t seen[2];
} Counts;

/* Initial counts: for the flag that a row repeats the one above, and for blocks by their neighbours. */
static const uint8_t REPEATS[2] = {8, 72};
static const uint8_t PRIOR[CONTEXTS][2] = {
    {29, 1}, {29, 1}, {1, 30}, {2, 28}, {30, 1}, {14, 1}, {1, 2},  {20, 10}, {1, 1},   {1, 1},  {1, 1},
    {1, 1},  {30, 1}, {16, 1}, {1, 11}, {1, 29}, {29, 1}, {30, 1}, {1, 21},  {3, 27},  {10, 1}, {1, 1},
    {1, 1},  {18, 12}, {15, 15}, {7, 23}, {1, 18}, {1, 30}, {30, 1}, {29, 1}, {1, 30}, {1, 30},
};

static Counts begun(const uint8_t prior[2])
{
    return (Counts){{prior[0], prior[1]}};
}

static uint8_t pull(overtone_stream *stream, Counts *counts)
{
    uint32_t *seen = counts->seen, zero = OVERTONE_TOTAL * seen[0] / (seen[0] + seen[1]);
    uint8_t bit = (stream->state & (OVERTONE_TOTAL - 1)) >= zero;
    overtone_advance(stream, bit ? zero : 0, bit ? OVERTONE_TOTAL - zero : zero);
    seen[bit] += STEP;
    if (seen[0] + seen[1] > MOST) {
        seen[0] = (seen[0] + 1) >> 1;
        seen[1] = (seen[1] + 1) >> 1;
    }
    return bit;
}

/* A block of a row; 0 outside, and in the row above the first one, which is NULL. */
static uint32_t at(const uint8_t *row, int32_t x, int32_t width)
{
    return row && x >= 0 && x < width ? row[x] : 0;
}

/* Decodes a row; returns whether it differs from the one above. */
static int pull_row(overtone_stream *stream, Counts *models, const uint8_t *above, int32_t width, uint8_t *row)
{
    int differs = 0;
    for (int32_t x = 0; x < width; x++) {
        uint32_t context = at(row, x - 2, width) | at(row, x - 1, width) << 1 | at(above, x - 1, width) << 2 |
                           at(above, x, width) << 3 | at(above, x + 1, width) << 4;
        row[x] = pull(stream, &models[context]);
        differs |= row[x] != at(above, x, width);
    }
    return differs;
}

overtone_status overtone_unpack_mask(const uint8_t *packed, size_t size, int32_t height, int32_t width,
                                     uint8_t *blocks)
{
    overtone_stream stream;
    Counts repeats = begun(REPEATS), models[CONTEXTS];
    for (int32_t i = 0; i < CONTEXTS; i++)
        models[i] = begun(PRIOR[i]);
    if (overtone_open(&stream, packed, size) != OVERTONE_GOOD)
        return OVERTONE_BAD_REGION;
    for (int32_t y = 0; y < height; y++) {
        uint8_t *row = blocks + (size_t)y * (size_t)width;
        const uint8_t *above = y ? row - width : NULL;
        if (pull(&stream, &repeats))
            for (int32_t x = 0; x < width; x++)
                row[x] = (uint8_t)at(above, x, width);
        else if (!pull_row(&stream, models, above, width, row))
            return OVERTONE_BAD_REGION;
    }
    /* The coder ends where it began, without a check. */
    int ends = overtone_close(&stream) == OVERTONE_GOOD && stream.state == OVERTONE_START;
    return stream.status == OVERTONE_GOOD && ends ? OVERTONE_GOOD : OVERTONE_BAD_REGION;
}
