/* A device in C: pixels of an image to the payloads of its layers, byte for byte those of the Python package.
 *
 * Nothing here allocates or does input or output; C11 with GCC or Clang on a little-endian machine, and of the library
 * memcpy, memmove and memset. `overtone c-profile` writes a profile as a header with constants, for the linker to put
 * into flash. examples/c/classify.c and detect.c show all of it.
 */

#ifndef OVERTONE_H
#define OVERTONE_H

#include "coder.h"

enum { OVERTONE_MAX_LAYERS = 8 };

/* One layer of a ladder: the channels that it codes, and the factor of their steps. */
typedef struct {
    uint8_t high; /* 0: the low channels, 1: the high ones */
    uint8_t factor;
} overtone_rung;

/* Everything that a device must know of a model to encode at one quality. */
typedef struct {
    uint8_t id[4], quality;
    int32_t size;          /* side of an image in pixels, a multiple of 8 */
    int32_t low, channels; /* how many channels are low, and how many there are */
    float dead;            /* 1 minus the threshold of rounding; 0 rounds to nearest */
    const float *matrix;   /* [channels][192]: weights of an RGB block, by line, pixel and colour */
    const float *offset;   /* [channels] */
    const float *steps;    /* [channels] */
    int32_t layers;
    overtone_rung ladder[OVERTONE_MAX_LAYERS];
    const int32_t *plans[OVERTONE_MAX_LAYERS];
    size_t plan_bytes[OVERTONE_MAX_LAYERS];
} overtone_profile;

typedef struct {
    const uint8_t *bytes;
    size_t size;
} overtone_payload;

/* How many int16 the coefficients of an image are: channels x size / 8 x size / 8. */
size_t overtone_values(const overtone_profile *profile);

/* Quantised coefficients of row number `row` of blocks, from its 8 lines of RGB. So a camera need not keep an image. */
void overtone_analyse(const overtone_profile *profile, const uint8_t *lines, int32_t row, int16_t *values);

/* Bytes of workspace for the two functions below; 0 if the profile does not hold together. */
size_t overtone_workspace(const overtone_profile *profile);

/* The payloads of all layers, in `room` bytes at `out`; the first layer goes out first, the others when they are asked
 * for. The workspace is aligned to 16 bytes. OVERTONE_NO_ROOM if they do not fit: 8 kB hold any photograph of 224 x 224
 * pixels at the usual qualities, and another `room` may be tried. */
overtone_status overtone_encode_image(const overtone_profile *profile, const int16_t *values, void *workspace,
                                      uint8_t *out, size_t room, overtone_payload payloads[OVERTONE_MAX_LAYERS]);

/* The payloads of the layers after the first `after` ones in the blocks of a mask, as a detector's server asks for
 * them. `mask` is the packed block mask as it came, which each payload holds; `after` is how many layers, of all
 * blocks, the server has. Their payloads stay as `overtone_encode_image` made them, so `out` is another room than
 * theirs. OVERTONE_BAD_REGION if the mask is damaged or of an image of another size, or if there is no such layer. */
overtone_status overtone_encode_region(const overtone_profile *profile, const int16_t *values, const uint8_t *mask,
                                       size_t mask_bytes, int32_t after, void *workspace, uint8_t *out, size_t room,
                                       overtone_payload payloads[OVERTONE_MAX_LAYERS]);

#endif
