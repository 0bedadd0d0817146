/* A device in C; overtone.h says what each function does. */

#include "overtone.h"
#include "quantise.h"

#if __STDC_HOSTED__
#include <string.h>
#else
#define memcpy __builtin_memcpy
#endif

enum {
    VERSION = 3,
    SHORT_HEADER = 4,
    ID = 4,
    VARINT = 4, /* bytes at most */
    HEADER = SHORT_HEADER + ID + VARINT * (OVERTONE_MAX_LAYERS - 1),
};

/* ---- values ---- */

static int32_t blocks_of(const overtone_profile *profile)
{
    int32_t side = profile->size / OVERTONE_BLOCK;
    return side * side;
}

size_t overtone_values(const overtone_profile *profile)
{
    return (size_t)profile->channels * (size_t)blocks_of(profile);
}

void overtone_analyse(const overtone_profile *profile, const uint8_t *lines, int32_t row, int16_t *values)
{
    int32_t side = profile->size / OVERTONE_BLOCK, blocks = side * side;
    double pixels[OVERTONE_NUMBERS];
    for (int32_t x = 0; x < side; x++) {
        overtone_block(lines + 3 * OVERTONE_BLOCK * (size_t)x, 3 * (size_t)profile->size, pixels);
        for (int32_t c = 0; c < profile->channels; c++)
            values[c * blocks + row * side + x] = overtone_coefficient(
                pixels, profile->matrix + c * OVERTONE_NUMBERS, profile->offset[c], profile->steps[c], profile->dead);
    }
}

/* The multiple of a factor that is nearest, halves upwards. */
static int16_t nearest(int32_t value, int32_t factor)
{
    int32_t sum = value + factor / 2;
    return (int16_t)(sum >= 0 ? sum / factor : -((factor - 1 - sum) / factor));
}

static int16_t *tell(const int16_t *values, size_t count, int32_t factor, int16_t *told)
{
    for (size_t i = 0; i < count; i++)
        *told++ = nearest(values[i], factor);
    return told;
}

/* What the layers before a layer tell; returns the end of it. */
static int16_t *tell_known(const overtone_profile *profile, const int16_t *values, int32_t layer, int16_t *told)
{
    size_t blocks = (size_t)blocks_of(profile), split = (size_t)profile->low * blocks;
    int32_t low = 0, high = 0;
    for (int32_t below = 0; below < layer; below++)
        *(profile->ladder[below].high ? &high : &low) = profile->ladder[below].factor;
    if (low)
        told = tell(values, split, low, told);
    if (high)
        told = tell(values + split, overtone_values(profile) - split, high, told);
    return told;
}

/* What a layer tells; returns the end of it. */
static int16_t *tell_coded(const overtone_profile *profile, const int16_t *values, int32_t layer, int16_t *told)
{
    size_t split = (size_t)profile->low * (size_t)blocks_of(profile);
    overtone_rung rung = profile->ladder[layer];
    if (rung.high)
        return tell(values + split, overtone_values(profile) - split, rung.factor, told);
    return tell(values, split, rung.factor, told);
}

/* ---- headers ---- */

static uint8_t *write_varint(size_t value, uint8_t *at)
{
    for (; value > 0x7F; value >>= 7)
        *at++ = (uint8_t)(value | 0x80);
    *at++ = (uint8_t)value;
    return at;
}

/* CRC-32 as in zlib, before its last inversion. */
static uint32_t crc_of_byte(uint32_t crc, uint8_t byte)
{
    crc ^= byte;
    for (int bit = 0; bit < 8; bit++)
        crc = crc & 1 ? crc >> 1 ^ 0xEDB88320u : crc >> 1;
    return crc;
}

static uint32_t crc_of_bytes(uint32_t crc, const uint8_t *bytes, size_t count)
{
    while (count--)
        crc = crc_of_byte(crc, *bytes++);
    return crc;
}

static uint32_t crc_of_values(uint32_t crc, const int16_t *values, const int16_t *end)
{
    for (; values < end; values++)
        crc = crc_of_byte(crc_of_byte(crc, (uint8_t)*values), (uint8_t)(*values >> 8));
    return crc;
}

/* The header of a payload without its checksum: start, id, and the sizes of further payloads or one 0. */
static size_t write_header(const overtone_profile *profile, int32_t layer, const overtone_payload *payloads,
                           uint8_t header[HEADER])
{
    uint8_t *at = header + SHORT_HEADER;
    header[0] = (uint8_t)(VERSION << 4 | layer);
    header[1] = profile->quality;
    header[2] = header[3] = 0;
    memcpy(at, profile->id, ID);
    at += ID;
    if (layer || profile->layers == 1)
        *at++ = 0;
    else
        for (int32_t later = 1; later < profile->layers; later++)
            at = write_varint(payloads[later].size, at);
    return (size_t)(at - header);
}

/* ---- payloads ---- */

static size_t rounded_up(size_t bytes)
{
    return (bytes + 15) / 16 * 16;
}

static overtone_layer layer_of(const overtone_profile *profile, int32_t number)
{
    int32_t side = profile->size / OVERTONE_BLOCK;
    return (overtone_layer){profile->plans[number], profile->plan_bytes[number], side, side, NULL};
}

/* The largest needs of all layers; `known` counts the planes coded, too. */
static overtone_status measure(const overtone_profile *profile, overtone_needs *most)
{
    *most = (overtone_needs){0, 0, 0, 0};
    for (int32_t number = 0; number < profile->layers; number++) {
        overtone_layer layer = layer_of(profile, number);
        overtone_needs needs;
        overtone_status status = overtone_measure(&layer, &needs);
        if (status != OVERTONE_GOOD)
            return status;
        int32_t told = needs.known + needs.coded;
        most->known = told > most->known ? told : most->known;
        most->workspace = needs.workspace > most->workspace ? needs.workspace : most->workspace;
        most->body = needs.body > most->body ? needs.body : most->body;
    }
    return OVERTONE_GOOD;
}

/* Bytes of so many planes. */
static size_t told_bytes(const overtone_profile *profile, int32_t planes)
{
    return rounded_up((size_t)planes * (size_t)blocks_of(profile) * sizeof(int16_t));
}

size_t overtone_workspace(const overtone_profile *profile)
{
    overtone_needs needs;
    if (measure(profile, &needs) != OVERTONE_GOOD)
        return 0;
    return told_bytes(profile, needs.known) + rounded_up(needs.workspace) + needs.body;
}

/* The payload of one layer at `out`; a first layer must come last, as it holds the sizes of the others. */
static overtone_status encode(const overtone_profile *profile, const int16_t *values, int32_t number,
                              unsigned char *workspace, uint8_t *out, size_t room, overtone_payload *payloads)
{
    int16_t *known = (int16_t *)workspace, *coded = tell_known(profile, values, number, known);
    int16_t *end = tell_coded(profile, values, number, coded);
    uint8_t header[HEADER];
    size_t length = write_header(profile, number, payloads, header), size;
    uint32_t check = ~crc_of_values(crc_of_bytes(~0u, header, length), known, end);
    header[2] = (uint8_t)(check >> 16);
    header[3] = (uint8_t)(check >> 24);
    if (number)
        length = SHORT_HEADER;
    else if (profile->layers == 1)
        length = SHORT_HEADER + ID;

    overtone_layer layer = layer_of(profile, number);
    overtone_needs needs;
    overtone_status status = overtone_measure(&layer, &needs);
    if (status != OVERTONE_GOOD)
        return status;
    unsigned char *work = workspace + told_bytes(profile, needs.known + needs.coded);
    unsigned char *body = work + rounded_up(needs.workspace);
    status = overtone_encode(&layer, known, coded, check & 0xFFFF, work, body, &size);
    if (status != OVERTONE_GOOD)
        return status;
    if (length + size > room)
        return OVERTONE_NO_ROOM;
    memcpy(out, header, length);
    memcpy(out + length, body, size);
    payloads[number] = (overtone_payload){out, length + size};
    return OVERTONE_GOOD;
}

overtone_status overtone_encode_image(const overtone_profile *profile, const int16_t *values, void *workspace,
                                      uint8_t *out, size_t room, overtone_payload payloads[OVERTONE_MAX_LAYERS])
{
    for (int32_t number = profile->layers - 1; number >= 0; number--) {
        overtone_status status = encode(profile, values, number, workspace, out, room, payloads);
        if (status != OVERTONE_GOOD)
            return status;
        out += payloads[number].size;
        room -= payloads[number].size;
    }
    return OVERTONE_GOOD;
}
