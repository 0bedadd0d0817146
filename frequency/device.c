/* The encoder of a device in C; overtone.h documents each function. */

#include "overtone.h"
#include "block_mask.h"
#include "quantise.h"

#if __STDC_HOSTED__
#include <string.h>
#else
#define memcpy __builtin_memcpy
#endif

enum {
    VERSION = 3,
    REGION = 8, /* in the first byte */
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

/* Layers of some blocks only: a packed mask, for each block whether it is in it, and how many layers before are of all
 * blocks. */
typedef struct {
    const uint8_t *packed;
    size_t size;
    const uint8_t *blocks;
    int32_t after;
} Region;

static const Region EVERYWHERE = {NULL, 0, NULL, OVERTONE_MAX_LAYERS};

/* The multiple of a factor that is nearest, halves upwards. */
static int16_t nearest(int32_t value, int32_t factor)
{
    int32_t sum = value + factor / 2;
    return (int16_t)(sum >= 0 ? sum / factor : -((factor - 1 - sum) / factor));
}

/* Writes the values that are known of the low or the high channels after the first so many layers; returns their end.
 * Outside a region they are those after the last layer of all blocks, 0 where there was none. */
static int16_t *tell(const overtone_profile *profile, const int16_t *values, int high, int32_t layers,
                     const Region *region, int16_t *told)
{
    int32_t factor = 0, everywhere = 0, blocks = blocks_of(profile);
    for (int32_t below = 0; below < layers; below++)
        if (profile->ladder[below].high == high) {
            factor = profile->ladder[below].factor;
            everywhere = below < region->after ? factor : everywhere;
        }
    if (!factor)
        return told;
    int32_t channel = high ? profile->low : 0, end = high ? profile->channels : profile->low;
    for (values += (size_t)channel * (size_t)blocks; channel < end; channel++)
        for (int32_t i = 0; i < blocks; i++, values++) {
            if (!region->blocks || region->blocks[i])
                *told++ = nearest(*values, factor);
            else
                *told++ = everywhere ? (int16_t)(nearest(*values, everywhere) * (everywhere / factor)) : 0;
        }
    return told;
}

/* Writes the values that are known before a layer; returns their end. */
static int16_t *tell_known(const overtone_profile *profile, const int16_t *values, int32_t layer, const Region *region,
                           int16_t *told)
{
    told = tell(profile, values, 0, layer, region, told);
    return tell(profile, values, 1, layer, region, told);
}

/* Writes the values that a layer codes; returns their end. */
static int16_t *tell_coded(const overtone_profile *profile, const int16_t *values, int32_t layer, const Region *region,
                           int16_t *told)
{
    return tell(profile, values, profile->ladder[layer].high, layer + 1, region, told);
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

/* The header of a payload without its checksum and mask: start, id, and the sizes of further payloads or one 0. */
static size_t write_header(const overtone_profile *profile, int32_t layer, int region, const overtone_payload *payloads,
                           uint8_t header[HEADER])
{
    uint8_t *at = header + SHORT_HEADER;
    header[0] = (uint8_t)(VERSION << 4 | (region ? REGION : 0) | layer);
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

static overtone_layer layer_of(const overtone_profile *profile, int32_t number, const uint8_t *blocks)
{
    int32_t side = profile->size / OVERTONE_BLOCK;
    return (overtone_layer){profile->plans[number], profile->plan_bytes[number], side, side, blocks};
}

/* The largest needs of all layers; `known` counts the planes coded, too. */
static overtone_status measure(const overtone_profile *profile, overtone_needs *most)
{
    *most = (overtone_needs){0, 0, 0, 0};
    for (int32_t number = 0; number < profile->layers; number++) {
        overtone_layer layer = layer_of(profile, number, NULL);
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

/* Bytes of a region's blocks, which the workspace begins with. */
static size_t region_bytes(const overtone_profile *profile)
{
    return rounded_up((size_t)blocks_of(profile));
}

size_t overtone_workspace(const overtone_profile *profile)
{
    overtone_needs needs;
    if (measure(profile, &needs) != OVERTONE_GOOD)
        return 0;
    return region_bytes(profile) + told_bytes(profile, needs.known) + rounded_up(needs.workspace) + needs.body;
}

/* The payload that has this header, check and body. */
static overtone_status write_payload(const uint8_t *header, size_t length, const Region *region, const uint8_t *body,
                                     size_t size, uint8_t *out, size_t room, overtone_payload *payload)
{
    uint8_t mask[VARINT + 1];
    size_t varint = region->blocks ? (size_t)(write_varint(region->size, mask) - mask) : 0;
    size_t before = length + varint + region->size, whole = before + size;
    if (whole > room)
        return OVERTONE_NO_ROOM;
    memcpy(out, header, length);
    if (region->blocks) {
        memcpy(out + length, mask, varint);
        memcpy(out + length + varint, region->packed, region->size);
    }
    memcpy(out + before, body, size);
    *payload = (overtone_payload){out, whole};
    return OVERTONE_GOOD;
}

/* The payload of one layer at `out`; a first layer must come last, as it holds the sizes of the others. */
static overtone_status encode(const overtone_profile *profile, const int16_t *values, int32_t number,
                              const Region *region, unsigned char *workspace, uint8_t *out, size_t room,
                              overtone_payload *payloads)
{
    int16_t *known = (int16_t *)(workspace + region_bytes(profile));
    int16_t *coded = tell_known(profile, values, number, region, known);
    int16_t *end = tell_coded(profile, values, number, region, coded);
    uint8_t header[HEADER];
    size_t length = write_header(profile, number, region->blocks != NULL, payloads, header), size;
    uint32_t crc = crc_of_bytes(crc_of_bytes(~0u, header, length), region->packed, region->size);
    uint32_t check = ~crc_of_values(crc, known, end);
    header[2] = (uint8_t)(check >> 16);
    header[3] = (uint8_t)(check >> 24);
    if (number)
        length = SHORT_HEADER;
    else if (profile->layers == 1)
        length = SHORT_HEADER + ID;

    overtone_layer layer = layer_of(profile, number, region->blocks);
    overtone_needs needs;
    overtone_status status = overtone_measure(&layer, &needs);
    if (status != OVERTONE_GOOD)
        return status;
    unsigned char *work = (unsigned char *)known + told_bytes(profile, needs.known + needs.coded);
    unsigned char *body = work + rounded_up(needs.workspace);
    status = overtone_encode(&layer, known, coded, check & 0xFFFF, work, body, &size);
    if (status != OVERTONE_GOOD)
        return status;
    return write_payload(header, length, region, body, size, out, room, &payloads[number]);
}

overtone_status overtone_encode_image(const overtone_profile *profile, const int16_t *values, void *workspace,
                                      uint8_t *out, size_t room, overtone_payload payloads[OVERTONE_MAX_LAYERS])
{
    for (int32_t number = profile->layers - 1; number >= 0; number--) {
        overtone_status status = encode(profile, values, number, &EVERYWHERE, workspace, out, room, payloads);
        if (status != OVERTONE_GOOD)
            return status;
        out += payloads[number].size;
        room -= payloads[number].size;
    }
    return OVERTONE_GOOD;
}

overtone_status overtone_encode_region(const overtone_profile *profile, const int16_t *values, const uint8_t *mask,
                                       size_t mask_bytes, int32_t after, void *workspace, uint8_t *out, size_t room,
                                       overtone_payload payloads[OVERTONE_MAX_LAYERS])
{
    int32_t side = profile->size / OVERTONE_BLOCK;
    const Region region = {mask, mask_bytes, workspace, after};
    if (after < 1 || after > profile->layers)
        return OVERTONE_BAD_REGION;
    overtone_status status = overtone_unpack_mask(mask, mask_bytes, side, side, workspace);
    for (int32_t number = after; number < profile->layers && status == OVERTONE_GOOD; number++) {
        status = encode(profile, values, number, &region, workspace, out, room, payloads);
        if (status != OVERTONE_GOOD)
            break;
        out += payloads[number].size;
        room -= payloads[number].size;
    }
    return status;
}
