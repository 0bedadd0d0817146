/* Quantised coefficients of one block of pixels, as frequency/dct.py and quantise.py find them. */

#ifndef OVERTONE_QUANTISE_H
#define OVERTONE_QUANTISE_H

#include <stddef.h>
#include <stdint.h>

enum {
    OVERTONE_BLOCK = 8,
    OVERTONE_NUMBERS = 3 * OVERTONE_BLOCK * OVERTONE_BLOCK, /* of an RGB block */
};

/* The pixels of the block whose upper left corner is at `corner`, in lines of `pitch` bytes. Sums of them are exact in
 * double precision, so they do not depend on their order. */
static inline void overtone_block(const uint8_t *corner, size_t pitch, double *pixels)
{
    for (int32_t i = 0; i < OVERTONE_NUMBERS; i++)
        pixels[i] = corner[(size_t)(i / (3 * OVERTONE_BLOCK)) * pitch + (size_t)(i % (3 * OVERTONE_BLOCK))];
}

/* The coefficient of a block for a row of the matrix of `dct.analysis`, in steps. With `dead` above 0, a value counts
 * if it reaches 1 - dead of a step beyond the one before; else values are rounded to nearest, halves to even. */
static inline int16_t overtone_coefficient(const double *pixels, const float *row, float offset, float step, float dead)
{
    double sum[4] = {offset, 0, 0, 0};
    for (int32_t i = 0; i < OVERTONE_NUMBERS; i++)
        sum[i % 4] += row[i] * pixels[i];
    float scaled = (float)(sum[0] + sum[1] + sum[2] + sum[3]) / step, whole;
    if (dead > 0)
        whole = __builtin_copysignf(__builtin_floorf(__builtin_fabsf(scaled) + dead), scaled);
    else
        whole = __builtin_rintf(scaled);
    whole = whole < -32768 ? -32768 : whole > 32767 ? 32767 : whole;
    return (int16_t)whole;
}

#endif
