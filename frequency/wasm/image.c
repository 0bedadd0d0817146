/* Pixels to quantised coefficients and back, for WebAssembly: what frequency/pixels.py, dct.py and quantise.py do.
 *
 * Like coder.c it allocates nothing and does no input or output. Buffers are the caller's, and it must have made them
 * large enough.
 */

#include "../quantise.h"

enum {
    BLOCK = OVERTONE_BLOCK,
    NUMBERS = OVERTONE_NUMBERS,
    PRECISION = 32 - 8 - 2,      /* bits behind the point of a weight, as in Pillow's Resample.c */
    NEUTRAL = 128,               /* grey, whose coefficients are zero */
};
#define SUPPORT 2.0 /* of the bicubic kernel */

/* Where the weights of each pixel of a line begin, and how many there are. */
typedef struct {
    int32_t first, count;
} Span;

static double bicubic(double x)
{
    const double a = -0.5;
    x = x < 0 ? -x : x;
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

static int32_t most_weights(float begin, float end, int32_t size)
{
    double scale = (double)(end - begin) / size;
    return (int32_t)__builtin_ceil(SUPPORT * (scale < 1 ? 1 : scale)) * 2 + 1;
}

/* Weights with which the pixels from `begin` to `end` of a line of `length` become `size` pixels. */
static void find_weights(int32_t length, float begin, float end, int32_t size, Span *spans, int32_t *weights,
                         double *exact)
{
    double scale = (double)(end - begin) / size, stretch = scale < 1 ? 1 : scale;
    double support = SUPPORT * stretch, narrow = 1.0 / stretch;
    int32_t most = most_weights(begin, end, size);
    for (int32_t at = 0; at < size; at++, weights += most) {
        double centre = begin + (at + 0.5) * scale, sum = 0;
        int32_t first = (int32_t)(centre - support + 0.5), last = (int32_t)(centre + support + 0.5);
        first = first < 0 ? 0 : first;
        last = last > length ? length : last;
        spans[at] = (Span){first, last - first};
        for (int32_t i = 0; i < last - first; i++)
            sum += exact[i] = bicubic((i + first - centre + 0.5) * narrow);
        for (int32_t i = 0; i < last - first; i++) {
            double weight = (sum ? exact[i] / sum : exact[i]) * (1 << PRECISION);
            weights[i] = (int32_t)(weight < 0 ? weight - 0.5 : weight + 0.5);
        }
    }
}

static uint8_t clipped(int32_t sum)
{
    sum >>= PRECISION;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* One pixel of three colours: the weighted sum of pixels that are `step` bytes apart. */
static void resample(const uint8_t *from, size_t step, const int32_t *weights, int32_t count, uint8_t *to)
{
    int32_t sum[3] = {1 << (PRECISION - 1), 1 << (PRECISION - 1), 1 << (PRECISION - 1)};
    for (int32_t i = 0; i < count; i++, from += step)
        for (int colour = 0; colour < 3; colour++)
            sum[colour] += from[colour] * weights[i];
    for (int colour = 0; colour < 3; colour++)
        to[colour] = clipped(sum[colour]);
}

static size_t rounded_up(size_t bytes)
{
    return (bytes + 15) / 16 * 16;
}

typedef struct {
    Span *spans;
    int32_t *weights;
    double *exact;
    uint8_t *lines;
    size_t bytes;
} Workspace;

/* For images this high, lines of up to `size` pixels, and so many weights for each. */
static Workspace divided(unsigned char *at, int32_t height, int32_t weights, int32_t size)
{
    size_t most = (size_t)weights, count = (size_t)size;
    Workspace work;
    unsigned char *begin = at;
    work.spans = (Span *)at;
    work.weights = (int32_t *)(at += rounded_up(count * sizeof(Span)));
    work.exact = (double *)(at += rounded_up(count * most * sizeof(int32_t)));
    work.lines = at += rounded_up(most * sizeof(double));
    at += rounded_up((size_t)height * count * 3);
    work.bytes = (size_t)(at - begin);
    return work;
}

/* A rectangle of an image, in pixels, whole or not. */
typedef struct {
    float left, top, right, bottom;
} Box;

/* The part of an RGBA image in a box as RGB of wide x high pixels, in lines of `pitch` bytes. */
static void resize(const uint8_t *rgba, int32_t width, int32_t height, Box box, Workspace work, int32_t wide,
                   int32_t high, uint8_t *rgb, size_t pitch)
{
    int32_t most = most_weights(box.left, box.right, wide);
    size_t line = (size_t)wide * 3;
    find_weights(width, box.left, box.right, wide, work.spans, work.weights, work.exact);
    for (int32_t y = 0; y < height; y++)
        for (int32_t x = 0; x < wide; x++)
            resample(rgba + 4 * ((size_t)y * (size_t)width + (size_t)work.spans[x].first), 4, work.weights + x * most,
                     work.spans[x].count, work.lines + (size_t)y * line + (size_t)x * 3);
    most = most_weights(box.top, box.bottom, high);
    find_weights(height, box.top, box.bottom, high, work.spans, work.weights, work.exact);
    for (int32_t y = 0; y < high; y++)
        for (int32_t x = 0; x < wide; x++)
            resample(work.lines + (size_t)work.spans[y].first * line + (size_t)x * 3, line, work.weights + y * most,
                     work.spans[y].count, rgb + (size_t)y * pitch + (size_t)x * 3);
}

/* Bytes of workspace that `overtone_fit` needs for a square of `side` pixels, whole or not, of an image this high. */
size_t overtone_fit_workspace(int32_t height, float side, int32_t size)
{
    return divided(NULL, height, most_weights(0, side + 1, size), size).bytes;
}

/* The part of an RGBA image from (left, top) to (right, bottom) as RGB of size x size, byte for byte as Pillow resizes
 * with BICUBIC and a box, unless the image is high: Pillow 13 may take the columns first then. */
void overtone_fit(const uint8_t *rgba, int32_t width, int32_t height, float left, float top, float right, float bottom,
                  int32_t size, unsigned char *workspace, uint8_t *rgb)
{
    float wide = right - left, high = bottom - top;
    int32_t most = most_weights(0, (wide > high ? wide : high) + 1, size);
    Workspace work = divided(workspace, height, most, size);
    resize(rgba, width, height, (Box){left, top, right, bottom}, work, size, size, rgb, (size_t)size * 3);
}

/* How long a side of an image is in a square, half a pixel rounded up. */
static int32_t boxed(int32_t side, int32_t longest, int32_t size)
{
    int64_t found = (2 * (int64_t)side * size + longest) / (2 * (int64_t)longest);
    return found < 1 ? 1 : (int32_t)found;
}

static Workspace divided_for_all(unsigned char *at, int32_t width, int32_t height, int32_t size)
{
    int32_t longest = width > height ? width : height;
    int32_t across = most_weights(0, (float)width, boxed(width, longest, size));
    int32_t down = most_weights(0, (float)height, boxed(height, longest, size));
    return divided(at, height, across > down ? across : down, size);
}

/* Bytes of workspace that `overtone_letter_box` needs. */
size_t overtone_letter_box_workspace(int32_t width, int32_t height, int32_t size)
{
    return divided_for_all(NULL, width, height, size).bytes;
}

/* A whole RGBA image in the upper left corner of a grey square, as RGB of size x size: see frequency/letter_box.py. It
 * is resized byte for byte as Pillow does it, unless it is more than twice as high as wide: Pillow 13 takes the columns
 * first then. */
void overtone_letter_box(const uint8_t *rgba, int32_t width, int32_t height, int32_t size, unsigned char *workspace,
                         uint8_t *rgb)
{
    int32_t longest = width > height ? width : height;
    Workspace work = divided_for_all(workspace, width, height, size);
    Box all = {0, 0, (float)width, (float)height};
    for (size_t i = 0; i < 3 * (size_t)size * (size_t)size; i++)
        rgb[i] = NEUTRAL;
    resize(rgba, width, height, all, work, boxed(width, longest, size), boxed(height, longest, size), rgb,
           (size_t)size * 3);
}

/* Quantised coefficients int16[channels, size / 8, size / 8] of an RGB image of size x size; `matrix`
 * float32[channels, 192] and `offset` are those of `dct.analysis`, and `dead` is as for `overtone_coefficient`. */
void overtone_quantise(const uint8_t *rgb, int32_t size, int32_t channels, const float *matrix, const float *offset,
                       const float *steps, float dead, int16_t *values)
{
    int32_t blocks = size / BLOCK;
    size_t pitch = (size_t)size * 3;
    double pixels[NUMBERS];
    for (int32_t at = 0; at < blocks * blocks; at++) {
        overtone_block(rgb + BLOCK * ((size_t)(at / blocks) * pitch + 3 * (size_t)(at % blocks)), pitch, pixels);
        for (int32_t c = 0; c < channels; c++)
            values[c * blocks * blocks + at] =
                overtone_coefficient(pixels, matrix + c * NUMBERS, offset[c], steps[c], dead);
    }
}

/* The RGBA image of quantised coefficients int16[channels, blocks, blocks]; `matrix` float32[channels, 192] is that of
 * the inverse DCT. */
void overtone_picture(const int16_t *values, int32_t blocks, int32_t channels, const float *matrix, const float *steps,
                      uint8_t *rgba)
{
    size_t size = (size_t)blocks * BLOCK;
    for (int32_t at = 0; at < blocks * blocks; at++) {
        float sums[NUMBERS];
        for (int32_t i = 0; i < NUMBERS; i++)
            sums[i] = 128;
        for (int32_t c = 0; c < channels; c++) {
            float value = (float)values[c * blocks * blocks + at] * steps[c];
            for (int32_t i = 0; value && i < NUMBERS; i++)
                sums[i] += value * matrix[c * NUMBERS + i];
        }
        for (int32_t i = 0; i < NUMBERS; i++) {
            size_t y = (size_t)(at / blocks * BLOCK + i / (3 * BLOCK));
            size_t x = (size_t)(at % blocks * BLOCK + i % (3 * BLOCK) / 3);
            float sum = __builtin_rintf(sums[i]);
            uint8_t *pixel = rgba + 4 * (y * size + x);
            pixel[i % 3] = (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
            pixel[3] = 255;
        }
    }
}
