/* The entropy coder of one layer of an image, in C99. It knows no Python, allocates nothing and does no input or
 * output; of the library it needs memcpy, memmove and memset.
 *
 * A plan says how a layer is coded: the 32-bit integers and then the 16-bit weights that `CodingPlan.packed` of
 * frequency/coding_plan.py writes, in the byte order of this machine, aligned to four bytes. Planes are int16, row by
 * row and one after another. Neither plan nor payload is trusted: whatever they hold, no function reads or writes
 * outside the buffers it is given, and its time is bounded by the number of blocks.
 */

#ifndef OVERTONE_CODER_H
#define OVERTONE_CODER_H

#include <stddef.h>
#include <stdint.h>

typedef enum {
    OVERTONE_GOOD,
    OVERTONE_BAD_PLAN,    /* the plan does not hold together, or does not fit the planes */
    OVERTONE_BAD_VALUE,   /* encoder: a value is not next to its coarse one */
    OVERTONE_NO_ROOM,     /* encoder: the body does not fit */
    OVERTONE_CUT_SHORT,   /* decoder, from here on: what is wrong with the body */
    OVERTONE_NO_STATE,
    OVERTONE_HALF_WORD,
    OVERTONE_LEFT_OVER,
    OVERTONE_BAD_END,
    OVERTONE_TOO_LARGE,
    OVERTONE_UNMARKED,
    OVERTONE_OUTSIDE,    /* encoder: a value outside the region is not the one that is known */
    OVERTONE_BAD_REGION, /* a packed block mask is damaged, or no layer is after so many */
} overtone_status;

/* A layer to be coded, as the caller describes it. */
typedef struct {
    const void *plan;
    size_t plan_bytes;
    int32_t height, width; /* of each plane, in blocks: 1 to 256 */
    const uint8_t *region; /* for each block, row by row, whether it is coded; NULL codes all */
} overtone_layer;

/* What a layer needs: planes known before, planes coded, bytes of workspace, and the most bytes of a body. */
typedef struct {
    int32_t known, coded;
    size_t workspace, body;
} overtone_needs;

overtone_status overtone_measure(const overtone_layer *layer, overtone_needs *needs);

/* Writes the body of a layer to the front of `body`, which has room for `needs.body` bytes, and its size to `size`.
 * The workspace is aligned to eight bytes. */
overtone_status overtone_encode(const overtone_layer *layer, const int16_t *known, const int16_t *coded, uint32_t check,
                                void *workspace, unsigned char *body, size_t *size);

/* The inverse: the planes of the layer, and the check of 16 bits. */
overtone_status overtone_decode(const overtone_layer *layer, const int16_t *known, const unsigned char *body,
                                size_t size, void *workspace, int16_t *coded, uint32_t *check);

/* What a status means, for people. */
const char *overtone_message(overtone_status status);

#endif
