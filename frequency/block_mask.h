/* Packed block masks: which blocks of an image a server wants, in few bytes; see frequency/block_mask.py. */

#ifndef OVERTONE_BLOCK_MASK_H
#define OVERTONE_BLOCK_MASK_H

#include "coder.h"

/* For each block of an image, row by row, 1 if it is in the mask and else 0. Nothing is trusted: OVERTONE_BAD_REGION if
 * no mask of so many blocks is packed like this. So a mask is always packed in the same bytes. */
overtone_status overtone_unpack_mask(const uint8_t *packed, size_t size, int32_t height, int32_t width,
                                     uint8_t *blocks);

#endif
