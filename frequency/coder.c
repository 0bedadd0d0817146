/* The entropy coder of one layer: networks, contexts and rANS, byte for byte as in frequency/stream.py.
 *
 * frequency/features.py explains features and their codes, frequency/context.py networks and contexts. Encoder and
 * decoder walk through the blocks of a channel in the same way, and both put each value into its plane once it is
 * coded. The encoder takes the channels in reverse, so that it need store the intervals of one channel only.
 *
 * Sums of hidden units wrap around at 16 bits, on purpose; they are unsigned, so this is defined.
 */

#include "coder.h"
#include "rans.h"

#if __STDC_HOSTED__
#include <string.h>
#else /* WebAssembly has instructions for these, elsewhere they are functions that the program brings along. */
#define memcpy __builtin_memcpy
#define memmove __builtin_memmove
#define memset __builtin_memset
#endif

enum {
    BITS = OVERTONE_BITS,
    TOTAL = OVERTONE_TOTAL,
    SCALE_BITS = 10, /* centres and spreads are in 1024ths of a step */
    ONE = 1 << SCALE_BITS,
    LIMIT = 1 << 24, /* keeps a centre within int16 */
    NEST = 3,
    LEVELS = 32,
    SHAPES = 3,
    OFFSET_LEVELS = 6,
    REFINED_OFFSET_LEVELS = 12,
    REFINED_OFFSET_BITS = 7,
    LEVEL_BITS = 8,
    WEIGHT_BITS = 5,
    MAX_SHIFT = 4 * ONE,
    MAX_FEATURE = 4095,
    MAX_RATIO = 1 << 19,
    MAX_CODE = 127,
    MAX_CENTRE = 1 << 20,
    MAX_BIAS = 32767,
    MAX_OUTPUT = 1024,
    ESCAPE_BITS = 4,
    PIECE_BITS = 8,
    MAX_PLANES = 192,
    MAX_SIDE = 256,
    MAX_TABLES = 93,
    MAX_LENGTH = 64,
    MAX_TAPS = 64,
    MAX_GLOBALS = 32,
    MAX_UNITS = 32,
    LANE = 8, /* hidden units come in groups of so many */
    OUTPUTS = 3,
    OTHERS = 3, /* inputs for row, column and activity above */
    MAX_NUMBER = 65535,
    PAD = 2, /* border of a plane: outside the image, it continues with the nearest block */
    PLACES = (2 * PAD + 1) * (2 * PAD + 1),
    CENTRE_PLACE = PLACES / 2, /* the block itself; the places before it are causal */
    AHEAD = 8,     /* contexts are found for so many blocks at once */
    INTERVALS = 4, /* at most, for one block */
    SMALL = 64,    /* differences below this have their codes in a table */
};
#define LARGEST 0x7FFFFFFF

/* The spread of each level, in 1024ths of a step. */
static const int32_t SPREADS[LEVELS] = {46,   56,   69,   84,   103,  125,  153,  187,   228,   279,   341,
                                        416,  508,  621,  758,  926,  1132, 1382, 1688,  2062,  2518,  3076,
                                        3757, 4589, 5605, 6846, 8361, 10213, 12474, 15235, 18609, 22728};

typedef overtone_status Status;

/* With OVERTONE_PLAIN, nothing but standard C is used, as with a compiler that is neither GCC nor Clang. */
#if defined(__GNUC__) && !defined(OVERTONE_PLAIN)
#define VECTORS
#endif
#if defined(VECTORS) && defined(__SSE2__) && defined(__x86_64__)
#define PRODUCTS_IN_PAIRS
#include <emmintrin.h>
#endif

/* ---- eight hidden units at a time ---- */

#ifdef VECTORS
#define INLINE static inline __attribute__((always_inline))
typedef uint16_t Lane __attribute__((vector_size(2 * LANE), aligned(2), may_alias));
INLINE void add_scaled(Lane *sum, const uint16_t *weights, uint16_t factor)
{
    *sum += *(const Lane *)weights * factor;
}
INLINE void add(Lane *sum, const Lane *other)
{
    *sum += *other;
}
INLINE int exponent_of(uint32_t value)
{
    return 31 - __builtin_clz(value);
}
/* value / 2^bits, rounded down. */
INLINE int32_t rounded_down(int32_t value, int bits)
{
    return value >> bits;
}
#else
#define INLINE static inline
typedef struct {
    uint16_t at[LANE];
} Lane;
INLINE void add_scaled(Lane *sum, const uint16_t *weights, uint16_t factor)
{
    for (int i = 0; i < LANE; i++)
        sum->at[i] = (uint16_t)(sum->at[i] + (uint32_t)weights[i] * factor);
}
INLINE void add(Lane *sum, const Lane *other)
{
    for (int i = 0; i < LANE; i++)
        sum->at[i] = (uint16_t)(sum->at[i] + other->at[i]);
}
INLINE int exponent_of(uint32_t value)
{
    int found = 0;
    while (value >>= 1)
        found++;
    return found;
}
/* What >> does with other compilers too, though C leaves it open for negative numbers. */
INLINE int32_t rounded_down(int32_t value, int bits)
{
    return value >= 0 ? value >> bits : ~(~value >> bits);
}
#endif

/* ---- the plan ---- */

typedef struct {
    int32_t length;
    uint16_t start[MAX_LENGTH + 1]; /* of each symbol's interval; TOTAL follows the last one */
} Table;

typedef struct {
    const uint16_t *weights; /* of the hidden units, for positive features and then for negative ones */
    int32_t source, place, down, right, centre;
    int32_t offset; /* of the block it reads, in a plane with its border */
    int32_t back;   /* the same in one without */
} Tap;

typedef struct {
    int32_t number, units, empty, taps, globals;
    Tap tap[MAX_TAPS];
    int32_t global[MAX_GLOBALS], ratio[MAX_PLANES];
    int32_t output_start[4];                /* biases, before the sum is divided; the last one is 0 */
    int16_t output_pairs[MAX_UNITS / 2][8]; /* for two units after one another: of four outputs, two weights each */
    int32_t reach; /* how many blocks to its right read a block, in its own row */
    const uint16_t *bias, *centre, *others;
    const int16_t *outputs;
} Channel;

/* Taps of one plane, one after another. */
typedef struct {
    const Tap *begin, *end;
} Span;

typedef struct {
    uint16_t start, frequency;
} Interval;

/* The context of a block: its table, the value that residuals count from (modulo 2^16), and if signs are flipped. */
typedef struct {
    uint16_t nearest;
    uint8_t table, flipped;
} Context;

/* Everything is in the caller's workspace; planes and intervals follow this. */
typedef struct {
    int32_t first, known, refines, planes, count, tables;
    int32_t dc[MAX_PLANES];
    int64_t activity[MAX_PLANES]; /* of a whole plane; below zero where it has not been added up */
    Table table[MAX_TABLES];
    uint8_t table_of[LEVELS * SHAPES * REFINED_OFFSET_LEVELS]; /* by context */
    const int32_t *channel_at[MAX_PLANES];
    const uint16_t *weights_at[MAX_PLANES];
    const int32_t *end;
    int32_t height, width, pitch;
    size_t blocks, padded;
    const uint8_t *region; /* whether a block is coded; NULL: all are */
    int16_t *plane; /* all planes, each with a border of PAD blocks */
    Interval *interval;
    size_t intervals;
    Lane *sum;       /* of the hidden units, for each block of the channel being coded */
    int64_t *centre; /* the linear part, for each block */
    Lane *column;    /* what the column and the whole image add to the hidden units, for each column */
    int32_t base[MAX_SIDE];    /* what the values of the row being coded are counted from */
    Context context[MAX_SIDE]; /* of the blocks of that row */
    Channel channel;
} Coder;

typedef struct {
    const int32_t *at, *end;
    int bad;
} Cursor;

/* The next number of a plan, which must lie within these bounds. */
static int32_t take(Cursor *cursor, int32_t least, int32_t most)
{
    if (cursor->at == cursor->end || *cursor->at < least || *cursor->at > most) {
        cursor->bad = 1;
        return least;
    }
    return *cursor->at++;
}

static void read_table(Cursor *cursor, Table *table, int refines)
{
    int32_t sum = 0;
    table->length = take(cursor, refines ? NEST : 2, refines ? NEST : MAX_LENGTH);
    for (int32_t i = 0; i < table->length; i++) {
        table->start[i] = (uint16_t)sum;
        sum += take(cursor, 1, TOTAL);
        if (sum > TOTAL) {
            cursor->bad = 1;
            sum = TOTAL;
        }
    }
    table->start[table->length] = (uint16_t)sum;
    if (sum != TOTAL)
        cursor->bad = 1;
}

static int32_t context_count(const Coder *coder)
{
    return LEVELS * SHAPES * (coder->refines ? REFINED_OFFSET_LEVELS : OFFSET_LEVELS);
}

/* Whether a block is coded. Others keep the value that is in their plane: 0, or a coarse one. */
INLINE int is_coded(const Coder *coder, int32_t y, int32_t x)
{
    return !coder->region || coder->region[(size_t)y * (size_t)coder->width + (size_t)x];
}

static int32_t coded_in_row(const Coder *coder, int32_t y)
{
    int32_t count = 0;
    for (int32_t x = 0; x < coder->width; x++)
        count += is_coded(coder, y, x);
    return count;
}

static int16_t *origin(const Coder *coder, int32_t plane)
{
    return coder->plane + (size_t)plane * coder->padded + PAD * coder->pitch + PAD;
}

/* Planes that are known everywhere when a channel is coded are those below this number. */
static int32_t readable(const Coder *coder, int32_t number)
{
    return number > coder->known ? number : coder->known;
}

static void read_tap(Cursor *cursor, const Coder *coder, Channel *channel, Tap *tap)
{
    int32_t number = channel->number, most = readable(coder, number);
    tap->source = take(cursor, 0, number < most ? most - 1 : number);
    int causal = tap->source == number && !coder->refines;
    tap->place = take(cursor, 0, causal ? CENTRE_PLACE - 1 : PLACES - 1);
    tap->centre = take(cursor, -MAX_CENTRE, MAX_CENTRE);
    tap->down = tap->place / (2 * PAD + 1) - PAD;
    tap->right = tap->place % (2 * PAD + 1) - PAD;
    tap->offset = tap->down * coder->pitch + tap->right;
    tap->back = tap->down * coder->width + tap->right;
}

/* Reads a channel and returns how many weights it has. */
static size_t read_channel(Cursor *cursor, const Coder *coder, Channel *channel, int32_t number)
{
    channel->number = number;
    channel->empty = take(cursor, 1, TOTAL - 1);
    channel->units = take(cursor, LANE, MAX_UNITS);
    if (channel->units % LANE)
        cursor->bad = 1;
    for (int32_t i = 0; i < coder->planes; i++)
        channel->ratio[i] = take(cursor, 1, MAX_RATIO);
    channel->taps = take(cursor, 0, MAX_TAPS);
    for (int32_t i = 0; i < channel->taps; i++)
        read_tap(cursor, coder, channel, &channel->tap[i]);
    int32_t most = readable(coder, number);
    channel->globals = take(cursor, 0, most ? MAX_GLOBALS : 0);
    for (int32_t i = 0; i < channel->globals; i++)
        channel->global[i] = take(cursor, 0, most - 1);
    for (int i = 0; i < OUTPUTS; i++)
        channel->output_start[i] = take(cursor, -MAX_BIAS, MAX_BIAS) * (1 << WEIGHT_BITS);
    return (size_t)channel->units * (size_t)(1 + 2 * channel->taps + 2 + OTHERS + channel->globals + OUTPUTS);
}

static void place_weights(Channel *channel, const uint16_t *weights)
{
    size_t units = (size_t)channel->units;
    channel->bias = weights;
    weights += units;
    for (int32_t i = 0; i < channel->taps; i++, weights += 2 * units)
        channel->tap[i].weights = weights;
    channel->centre = weights;
    channel->others = weights + 2 * units;
    channel->outputs = (const int16_t *)(weights + units * (size_t)(2 + OTHERS + channel->globals));
}

/* So that 32 hidden units cannot overflow an output. */
static int outputs_are_small(const Channel *channel)
{
    for (int32_t i = 0; i < OUTPUTS * channel->units; i++)
        if (channel->outputs[i] < -MAX_OUTPUT || channel->outputs[i] > MAX_OUTPUT)
            return 0;
    return 1;
}

static Status read_plan(Coder *coder, const overtone_layer *layer)
{
    const int32_t *numbers = layer->plan;
    if ((uintptr_t)layer->plan % sizeof *numbers || layer->plan_bytes < sizeof *numbers)
        return OVERTONE_BAD_PLAN;
    if (numbers[0] < 1 || (size_t)numbers[0] > layer->plan_bytes / sizeof *numbers)
        return OVERTONE_BAD_PLAN;
    Cursor cursor = {numbers + 1, numbers + numbers[0], 0};
    coder->end = cursor.end;
    coder->first = take(&cursor, 0, MAX_PLANES - 1);
    coder->known = take(&cursor, 0, MAX_PLANES);
    coder->refines = take(&cursor, 0, 1);
    coder->planes = take(&cursor, 1, MAX_PLANES);
    for (int32_t i = 0; i < coder->planes; i++)
        coder->dc[i] = take(&cursor, 0, 1);
    coder->count = take(&cursor, 1, MAX_PLANES);
    coder->tables = take(&cursor, 1, MAX_TABLES);
    int32_t last = coder->first + coder->count;
    if (cursor.bad || last > coder->planes || coder->known > coder->planes)
        return OVERTONE_BAD_PLAN;
    /* A refined channel is known before, any other is not. */
    if (coder->refines ? last > coder->known : coder->first < coder->known)
        return OVERTONE_BAD_PLAN;
    for (int32_t i = 0; i < coder->tables; i++)
        read_table(&cursor, &coder->table[i], coder->refines);
    for (int32_t i = 0; i < context_count(coder); i++)
        coder->table_of[i] = (uint8_t)take(&cursor, 0, coder->tables - 1);
    const uint16_t *weights = (const uint16_t *)cursor.end;
    size_t left = (layer->plan_bytes - (size_t)numbers[0] * sizeof *numbers) / sizeof *weights;
    for (int32_t i = 0; i < coder->count && !cursor.bad; i++) {
        coder->channel_at[i] = cursor.at;
        coder->weights_at[i] = weights;
        size_t needed = read_channel(&cursor, coder, &coder->channel, coder->first + i);
        if (needed > left)
            return OVERTONE_BAD_PLAN;
        place_weights(&coder->channel, weights);
        if (!outputs_are_small(&coder->channel))
            return OVERTONE_BAD_PLAN;
        weights += needed;
        left -= needed;
    }
    return cursor.bad || left || cursor.at != cursor.end ? OVERTONE_BAD_PLAN : OVERTONE_GOOD;
}

/* Sorts taps by plane and place, so that those of a plane follow one another. */
static void sort_taps(Channel *channel)
{
    for (int32_t i = 1; i < channel->taps; i++) {
        Tap tap = channel->tap[i];
        int32_t key = tap.source * PLACES + tap.place, at = i;
        for (; at && channel->tap[at - 1].source * PLACES + channel->tap[at - 1].place > key; at--)
            channel->tap[at] = channel->tap[at - 1];
        channel->tap[at] = tap;
    }
}

static void pair_outputs(Channel *channel)
{
    memset(channel->output_pairs, 0, sizeof channel->output_pairs);
    for (int32_t k = 0; k < OUTPUTS; k++)
        for (int32_t i = 0; i < channel->units; i++)
            channel->output_pairs[i / 2][2 * k + i % 2] = channel->outputs[k * channel->units + i];
}

static void find_reach(Channel *channel)
{
    channel->reach = 0;
    for (const Tap *tap = channel->tap; tap < channel->tap + channel->taps; tap++)
        if (tap->source == channel->number && !tap->down && -tap->right > channel->reach)
            channel->reach = -tap->right;
}

static void begin_channel(Coder *coder, int32_t index)
{
    Cursor cursor = {coder->channel_at[index], coder->end, 0};
    read_channel(&cursor, coder, &coder->channel, coder->first + index);
    place_weights(&coder->channel, coder->weights_at[index]);
    sort_taps(&coder->channel);
    pair_outputs(&coder->channel);
    find_reach(&coder->channel);
}

/* ---- the workspace ---- */

static size_t rounded_up(size_t bytes)
{
    return (bytes + 15) / 16 * 16;
}

static size_t plane_bytes(int32_t planes, int32_t height, int32_t width)
{
    return rounded_up((size_t)planes * (size_t)(height + 2 * PAD) * (size_t)(width + 2 * PAD) * sizeof(int16_t));
}

static size_t interval_bytes(int32_t height, int32_t width)
{
    return rounded_up((1 + INTERVALS * (size_t)height * (size_t)width) * sizeof(Interval));
}

static int fits(const overtone_layer *layer)
{
    return layer->height >= 1 && layer->width >= 1 && layer->height <= MAX_SIDE && layer->width <= MAX_SIDE;
}

static Status prepare(Coder *coder, const overtone_layer *layer)
{
    if (!fits(layer))
        return OVERTONE_BAD_PLAN;
    memset(coder, 0, sizeof *coder);
    coder->height = layer->height;
    coder->width = layer->width;
    coder->region = layer->region;
    coder->pitch = layer->width + 2 * PAD;
    coder->blocks = (size_t)layer->height * (size_t)layer->width;
    coder->padded = (size_t)(layer->height + 2 * PAD) * (size_t)coder->pitch;
    Status status = read_plan(coder, layer);
    unsigned char *after = (unsigned char *)coder + rounded_up(sizeof *coder);
    coder->plane = (int16_t *)after;
    after += plane_bytes(coder->planes, layer->height, layer->width);
    coder->interval = (Interval *)after;
    after += interval_bytes(layer->height, layer->width);
    coder->sum = (Lane *)after;
    after += coder->blocks * MAX_UNITS * sizeof(uint16_t);
    coder->column = (Lane *)after;
    after += (size_t)layer->width * MAX_UNITS * sizeof(uint16_t);
    coder->centre = (int64_t *)after;
    return status;
}

overtone_status overtone_measure(const overtone_layer *layer, overtone_needs *needs)
{
    const int32_t *numbers = layer->plan;
    if (!fits(layer) || (uintptr_t)layer->plan % sizeof *numbers || layer->plan_bytes < 6 * sizeof *numbers)
        return OVERTONE_BAD_PLAN;
    int32_t planes = numbers[4];
    if (planes < 1 || planes > MAX_PLANES || layer->plan_bytes / sizeof *numbers < (size_t)(6 + planes))
        return OVERTONE_BAD_PLAN;
    needs->known = numbers[2];
    needs->coded = numbers[5 + planes];
    if (needs->known < 0 || needs->known > planes || needs->coded < 1 || needs->coded > planes)
        return OVERTONE_BAD_PLAN;
    size_t blocks = (size_t)layer->height * (size_t)layer->width;
    needs->workspace = rounded_up(sizeof(Coder)) + plane_bytes(planes, layer->height, layer->width) +
                       interval_bytes(layer->height, layer->width) +
                       (blocks + (size_t)layer->width) * MAX_UNITS * sizeof(uint16_t) + blocks * sizeof(int64_t);
    needs->body = 4 + (size_t)needs->coded * (2 + 2 * INTERVALS * blocks);
    return OVERTONE_GOOD;
}

/* ---- planes ---- */

static void pad_row(const Coder *coder, int16_t *row)
{
    for (int i = 1; i <= PAD; i++) {
        row[-i] = row[0];
        row[coder->width - 1 + i] = row[coder->width - 1];
    }
}

/* Fills the border above and below a plane whose rows are padded already. */
static void pad(const Coder *coder, int32_t plane)
{
    int16_t *first = origin(coder, plane) - PAD;
    int16_t *last = first + (coder->height - 1) * coder->pitch;
    size_t row_bytes = (size_t)coder->pitch * sizeof *first;
    for (int i = 1; i <= PAD; i++) {
        memcpy(first - i * coder->pitch, first, row_bytes);
        memcpy(last + i * coder->pitch, last, row_bytes);
    }
}

/* Puts values into a plane, multiplied by a factor; products wrap around. */
static void place(Coder *coder, int32_t plane, const int16_t *values, int32_t factor)
{
    for (int32_t y = 0; y < coder->height; y++) {
        int16_t *row = origin(coder, plane) + y * coder->pitch;
        for (int32_t x = 0; x < coder->width; x++)
            row[x] = (int16_t)(uint16_t)(uint32_t)(*values++ * factor);
        pad_row(coder, row);
    }
    pad(coder, plane);
    coder->activity[plane] = -1;
}

static void place_known(Coder *coder, const int16_t *known)
{
    for (int32_t i = 0; i < coder->known; i++) {
        int refined = coder->refines && i >= coder->first && i < coder->first + coder->count;
        place(coder, i, known + (size_t)i * coder->blocks, refined ? NEST : 1);
    }
}

static int32_t magnitude(int32_t value)
{
    return value < 0 ? -value : value;
}

/* The activity of a row: the sum of magnitudes, in a DC channel of horizontal differences. */
static int64_t row_activity(const int16_t *row, int32_t width, int dc)
{
    int64_t sum = 0;
    for (int32_t x = dc ? 1 : 0; x < width; x++)
        sum += magnitude(dc ? row[x] - row[x - 1] : row[x]);
    return sum;
}

static int64_t plane_activity(Coder *coder, int32_t plane)
{
    int64_t *sum = &coder->activity[plane];
    if (*sum >= 0)
        return *sum;
    *sum = 0;
    for (int32_t y = 0; y < coder->height; y++)
        *sum += row_activity(origin(coder, plane) + y * coder->pitch, coder->width, coder->dc[plane]);
    return *sum;
}

/* ---- the network ---- */

/* The code of a magnitude in 1024ths of a step. */
INLINE uint32_t code_of(uint32_t size)
{
    uint32_t shifted = 64 + (size >> 2);
    int exponent = exponent_of(shifted);
    uint32_t code = ((uint32_t)exponent << 3) + (shifted >> (exponent - 3) & 7) - 48;
    return code < MAX_CODE ? code : MAX_CODE;
}

static uint32_t code_of_wide(int64_t size)
{
    return code_of(size < LARGEST ? (uint32_t)size : LARGEST);
}

INLINE int32_t clamp(int32_t value, int32_t least, int32_t most)
{
    return value < least ? least : value > most ? most : value;
}

INLINE void add_input(Lane *sum, const uint16_t *weights, uint32_t code, int32_t lanes)
{
    for (int32_t i = 0; i < lanes; i++)
        add_scaled(&sum[i], weights + i * LANE, (uint16_t)code);
}

/* The taps of a plane at these places; taps are sorted by plane and place. */
static Span taps_of(const Channel *channel, int32_t source, int32_t least, int32_t most)
{
    const Tap *at = channel->tap, *end = channel->tap + channel->taps;
    while (at < end && (at->source < source || (at->source == source && at->place < least)))
        at++;
    Span span = {at, at};
    while (span.end < end && span.end->source == source && span.end->place <= most)
        span.end++;
    return span;
}

/* Adds a feature to the sums of all blocks that read it through taps of one plane, or with `sign` -1, takes it away
 * again. `inside` says that all of them are in the image. */
INLINE void scatter_feature(const Coder *coder, Span taps, int32_t y, int32_t x, int32_t value, int32_t ratio,
                            int32_t sign, int inside, int32_t lanes)
{
    int32_t feature = clamp(value, -MAX_FEATURE, MAX_FEATURE), side = feature < 0 ? lanes * LANE : 0;
    uint32_t code = code_of((uint32_t)magnitude(feature) * (uint32_t)ratio);
    if (sign < 0)
        code = 0u - code;
    int32_t from = y * coder->width + x, moved = sign * feature;
    for (const Tap *tap = taps.begin; tap < taps.end; tap++) {
        if (!inside && ((uint32_t)(y - tap->down) >= (uint32_t)coder->height ||
                        (uint32_t)(x - tap->right) >= (uint32_t)coder->width))
            continue;
        int32_t at = from - tap->back;
        coder->centre[at] += (int64_t)tap->centre * moved;
        add_input(coder->sum + at * lanes, tap->weights + side, code, lanes);
    }
}

/* Adds a value that is not zero, at a place in or next to the image. */
INLINE void scatter(const Coder *coder, Span taps, int32_t y, int32_t x, int32_t value, int32_t ratio, int32_t sign,
                    int32_t lanes)
{
    if (y >= PAD && x >= PAD && y < coder->height - PAD && x < coder->width - PAD)
        scatter_feature(coder, taps, y, x, value, ratio, sign, 1, lanes);
    else
        scatter_feature(coder, taps, y, x, value, ratio, sign, 0, lanes);
}

/* Adds a whole plane. */
INLINE void scatter_plane(const Coder *coder, int32_t source, int32_t lanes)
{
    Span taps = taps_of(&coder->channel, source, 0, PLACES - 1);
    int32_t ratio = coder->channel.ratio[source];
    for (int32_t y = -PAD; y < coder->height + PAD; y++) {
        const int16_t *row = origin(coder, source) + y * coder->pitch;
        int16_t found[MAX_SIDE + 2 * PAD];
        int32_t count = 0;
        for (int32_t x = -PAD; x < coder->width + PAD; x++) {
            found[count] = (int16_t)x;
            count += row[x] != 0;
        }
        for (int32_t i = 0; i < count; i++)
            scatter(coder, taps, y, found[i], row[found[i]], ratio, 1, lanes);
    }
}

/* The codes of small differences in some plane. */
typedef struct {
    int32_t ratio;
    uint8_t code[SMALL];
} Codes;

static Codes codes_of(const Channel *channel, int32_t source)
{
    Codes codes = {channel->ratio[source], {0}};
    for (int32_t i = 0; i < SMALL; i++)
        codes.code[i] = (uint8_t)code_of((uint32_t)i * (uint32_t)codes.ratio);
    return codes;
}

/* Adds the differences from `base` that taps of a DC channel read at a block. */
INLINE void gather(const Coder *coder, Span taps, const Codes *codes, const int16_t *block, int32_t base, size_t at,
                   int32_t lanes)
{
    Lane sum[MAX_UNITS / LANE];
    int64_t centre = coder->centre[at];
    for (int32_t i = 0; i < lanes; i++)
        sum[i] = coder->sum[at * (size_t)lanes + (size_t)i];
    for (const Tap *tap = taps.begin; tap < taps.end; tap++) {
        int32_t feature = block[tap->offset] - base;
        uint32_t size = (uint32_t)magnitude(feature), code;
        if (size < SMALL) {
            code = codes->code[size];
        } else {
            feature = clamp(feature, -MAX_FEATURE, MAX_FEATURE);
            code = code_of((uint32_t)magnitude(feature) * (uint32_t)codes->ratio);
        }
        centre += (int64_t)tap->centre * feature;
        add_input(sum, tap->weights + (feature < 0 ? lanes * LANE : 0), code, lanes);
    }
    coder->centre[at] = centre;
    for (int32_t i = 0; i < lanes; i++)
        coder->sum[at * (size_t)lanes + (size_t)i] = sum[i];
}

/* Adds the differences from the blocks themselves in a row of a DC channel that is known everywhere. */
INLINE void gather_row(const Coder *coder, Span taps, const Codes *codes, int32_t y, int32_t lanes)
{
    const int16_t *row = origin(coder, taps.begin->source) + y * coder->pitch;
    for (int32_t x = 0; x < coder->width; x++)
        gather(coder, taps, codes, row + x, row[x], (size_t)y * (size_t)coder->width + (size_t)x, lanes);
}

/* Begins the sums of every block with the contributions of its column and of the whole image. */
static void begin_sums(Coder *coder)
{
    const Channel *channel = &coder->channel;
    int32_t units = channel->units, lanes = units / LANE, width = coder->width;
    size_t bytes = (size_t)units * sizeof(uint16_t);
    Lane base[MAX_UNITS / LANE];
    memcpy(base, channel->bias, bytes);
    for (int32_t i = 0; i < channel->globals; i++) {
        int32_t source = channel->global[i];
        int64_t mean = plane_activity(coder, source) * channel->ratio[source] / (int64_t)coder->blocks;
        add_input(base, channel->others + (OTHERS + i) * units, code_of_wide(mean), lanes);
    }
    for (int32_t x = 0; x < width; x++) {
        Lane *sum = coder->column + x * lanes;
        memcpy(sum, base, bytes);
        add_input(sum, channel->others + units, (uint32_t)(64 * magnitude(2 * x + 1 - width) / width), lanes);
    }
    for (int32_t y = 0; y < coder->height; y++)
        memcpy(coder->sum + (size_t)y * (size_t)(width * lanes), coder->column, (size_t)width * bytes);
    memset(coder->centre, 0, coder->blocks * sizeof *coder->centre);
}

/* Adds the contributions of other channels and of coarse values. */
INLINE void add_others(const Coder *coder, int32_t lanes)
{
    const Channel *channel = &coder->channel;
    const Tap *end = channel->tap + channel->taps;
    for (Span taps = {channel->tap, channel->tap}; taps.begin < end; taps.begin = taps.end) {
        int32_t source = taps.begin->source;
        taps = taps_of(channel, source, 0, PLACES - 1);
        if (source == channel->number && (coder->dc[source] || !coder->refines))
            continue;
        if (!coder->dc[source]) {
            scatter_plane(coder, source, lanes);
            continue;
        }
        Codes codes = codes_of(channel, source);
        for (int32_t y = 0; y < coder->height; y++)
            gather_row(coder, taps, &codes, y, lanes);
    }
}

/* The taps of the channel that is being coded: all, before the block, above it, and to its left. */
typedef struct {
    Span all, causal, above, left;
    Codes codes;
} Own;

static Own own_taps(const Channel *channel)
{
    int32_t row = CENTRE_PLACE - PAD;
    Own own = {
        taps_of(channel, channel->number, 0, PLACES - 1),
        taps_of(channel, channel->number, 0, CENTRE_PLACE - 1),
        taps_of(channel, channel->number, 0, row - 1),
        taps_of(channel, channel->number, row, CENTRE_PLACE - 1),
        codes_of(channel, channel->number),
    };
    return own;
}

/* The taps of a DC channel that read something when a block of row y is coded first: not what is above the image. */
static Span visible(Span taps, int32_t y)
{
    while (taps.begin < taps.end && y + taps.begin->down < 0)
        taps.begin++;
    return taps;
}

/* Corrects the sums of the blocks after this one once its value is known. */
INLINE void tell(const Coder *coder, const Own *own, int32_t y, int32_t x, int32_t was, int32_t value, int32_t lanes)
{
    int32_t last = coder->width - 1;
    if (was)
        scatter(coder, own->causal, y, x, was, ONE, -1, lanes);
    if (value)
        scatter(coder, own->causal, y, x, value, ONE, 1, lanes);
    if (coder->refines || (x && x != last))
        return;
    /* Copies of the block stand outside the image: next to its row, and to the left of the row below. */
    for (int32_t i = 1; i <= PAD; i++) {
        if (x == 0) {
            scatter(coder, own->above, y, -i, value, ONE, 1, lanes);
            scatter(coder, own->left, y + 1, -i, value, ONE, 1, lanes);
        }
        if (x == last)
            scatter(coder, own->above, y, last + i, value, ONE, 1, lanes);
    }
}

/* The same for a DC channel that is refined, and the blocks of the same row; rows below read it when they begin. */
INLINE void tell_difference(const Coder *coder, const Own *own, int32_t y, int32_t x, int32_t was, int32_t value,
                            int32_t lanes)
{
    for (const Tap *tap = own->left.begin; tap < own->left.end; tap++) {
        int32_t to = x - tap->right;
        if (to >= coder->width)
            continue;
        Span one = {tap, tap + 1};
        if (was != coder->base[to])
            scatter(coder, one, y, x, was - coder->base[to], ONE, -1, lanes);
        if (value != coder->base[to])
            scatter(coder, one, y, x, value - coder->base[to], ONE, 1, lanes);
    }
}

/* The contributions of the row number, and of the activity of so many blocks that are coded in the rows above. */
static void begin_row(const Coder *coder, Lane *sum, int32_t y, int64_t activity, int32_t blocks)
{
    const Channel *channel = &coder->channel;
    memset(sum, 0, MAX_UNITS / LANE * sizeof *sum);
    add_input(sum, channel->others, (uint32_t)(64 * y / coder->height), channel->units / LANE);
    if (y && !coder->refines) {
        uint32_t code = code_of_wide(ONE * activity / (blocks ? blocks : 1));
        add_input(sum, channel->others + 2 * channel->units, code, channel->units / LANE);
    }
}

static int32_t median(int32_t w, int32_t n, int32_t nw)
{
    int32_t low = w < n ? w : n, high = w < n ? n : w, sum = w + n - nw;
    return sum < low ? low : sum > high ? high : sum;
}

/* The outputs of a network, clamped to bounds. */
typedef struct {
    int32_t shift, spread, shape;
} Outputs;

enum { MOST_SPREAD = (LEVELS << LEVEL_BITS) - 1, MOST_SHAPE = (SHAPES << SCALE_BITS) - 1 };

/* The outputs of a network whose hidden units have these sums. Weights are small enough, see read_plan. */
INLINE Outputs read_outputs(const Channel *channel, Lane *sum, int32_t lanes)
{
#ifdef PRODUCTS_IN_PAIRS
    const __m128i *weights = (const __m128i *)channel->output_pairs;
    __m128i total = _mm_loadu_si128((const __m128i *)channel->output_start);
    for (int32_t i = 0; i < lanes; i++, weights += LANE / 2) {
        __m128i hidden = _mm_max_epi16((__m128i)sum[i], _mm_setzero_si128());
        __m128i first = _mm_madd_epi16(_mm_shuffle_epi32(hidden, 0x00), _mm_loadu_si128(weights));
        __m128i second = _mm_madd_epi16(_mm_shuffle_epi32(hidden, 0x55), _mm_loadu_si128(weights + 1));
        __m128i third = _mm_madd_epi16(_mm_shuffle_epi32(hidden, 0xAA), _mm_loadu_si128(weights + 2));
        __m128i fourth = _mm_madd_epi16(_mm_shuffle_epi32(hidden, 0xFF), _mm_loadu_si128(weights + 3));
        total = _mm_add_epi32(total, _mm_add_epi32(_mm_add_epi32(first, second), _mm_add_epi32(third, fourth)));
    }
    __m128i bounded = _mm_packs_epi32(_mm_srai_epi32(total, WEIGHT_BITS), _mm_setzero_si128());
    bounded = _mm_max_epi16(bounded, _mm_setr_epi16(-MAX_SHIFT, 0, 0, 0, 0, 0, 0, 0));
    bounded = _mm_min_epi16(bounded, _mm_setr_epi16(MAX_SHIFT, MOST_SPREAD, MOST_SHAPE, 0, 0, 0, 0, 0));
    int64_t packed = _mm_cvtsi128_si64(bounded);
    Outputs outputs = {(int16_t)packed, (int16_t)(packed >> 16), (int32_t)(packed >> 32)};
    return outputs;
#else
    int32_t found[OUTPUTS];
    int16_t hidden[MAX_UNITS];
    memcpy(hidden, sum, (size_t)lanes * sizeof *sum);
    for (int32_t i = 0; i < lanes * LANE; i++)
        hidden[i] = hidden[i] > 0 ? hidden[i] : 0;
    for (int k = 0; k < OUTPUTS; k++) {
        int32_t total = channel->output_start[k];
        for (int32_t i = 0; i < lanes * LANE; i++)
            total += hidden[i] * channel->outputs[k * lanes * LANE + i];
        found[k] = rounded_down(total, WEIGHT_BITS);
    }
    Outputs outputs = {clamp(found[0], -MAX_SHIFT, MAX_SHIFT), clamp(found[1], 0, MOST_SPREAD),
                       clamp(found[2], 0, MOST_SHAPE)};
    return outputs;
#endif
}

INLINE Context context_of(const Coder *coder, int64_t centre, int32_t base, Outputs outputs)
{
    int32_t level = outputs.spread >> LEVEL_BITS, row = level * SHAPES + (outputs.shape >> SCALE_BITS);
    centre += rounded_down(outputs.shift * SPREADS[level], SCALE_BITS);
    int32_t near = centre < -LIMIT ? -LIMIT : centre > LIMIT ? LIMIT : (int32_t)centre, nearest = 0;
    if (!coder->refines)
        nearest = rounded_down(near + ONE / 2, SCALE_BITS);
    int32_t offset = near - nearest * ONE, away = magnitude(offset), step;
    if (coder->refines) {
        step = away >> REFINED_OFFSET_BITS;
        step = row * REFINED_OFFSET_LEVELS + (step < REFINED_OFFSET_LEVELS ? step : REFINED_OFFSET_LEVELS - 1);
    } else {
        step = away * OFFSET_LEVELS >> (SCALE_BITS - 1);
        step = row * OFFSET_LEVELS + (step < OFFSET_LEVELS ? step : OFFSET_LEVELS - 1);
    }
    Context found = {(uint16_t)(base + nearest), coder->table_of[step], offset < 0};
    return found;
}

/* Finds the contexts of the blocks of row y from `begin` on; `row` is what the row adds to the hidden units. */
INLINE void decide(Coder *coder, const Lane *row, int32_t y, int32_t begin, int32_t end, int32_t lanes)
{
    const Channel *channel = &coder->channel;
    int coarse = coder->refines && !coder->dc[channel->number];
    for (int32_t x = begin; x < end; x++) {
        if (!is_coded(coder, y, x))
            continue;
        size_t at = (size_t)y * (size_t)coder->width + (size_t)x;
        int32_t base = coder->base[x];
        int64_t centre = coder->centre[at] - (coarse ? (int64_t)base * ONE : 0);
        Lane sum[MAX_UNITS / LANE];
        for (int32_t i = 0; i < lanes; i++) {
            sum[i] = coder->sum[at * (size_t)lanes + (size_t)i];
            add(&sum[i], &row[i]);
        }
        uint32_t code = code_of_wide(centre < 0 ? -centre : centre);
        add_input(sum, channel->centre + (centre > 0 ? 0 : lanes * LANE), code, lanes);
        coder->context[x] = context_of(coder, centre, base, read_outputs(channel, sum, lanes));
    }
}

/* ---- encoding ---- */

static void push(Coder *coder, uint32_t start, uint32_t frequency)
{
    Interval interval = {(uint16_t)start, (uint16_t)frequency};
    coder->interval[coder->intervals++] = interval;
}

/* The lowest `length` bits of a value (1 to 15 of them): the lowest eight last, before them those above. */
static void push_bits(Coder *coder, uint32_t value, int length)
{
    if (length > PIECE_BITS)
        push_bits(coder, value >> PIECE_BITS, length - PIECE_BITS);
    int piece = length > PIECE_BITS ? PIECE_BITS : length;
    if (piece)
        push(coder, (value & ((1u << piece) - 1)) << (BITS - piece), 1u << (BITS - piece));
}

static Status push_number(Coder *coder, const Table *table, uint32_t number)
{
    uint32_t last = (uint32_t)table->length - 1, symbol = number < last ? number : last;
    push(coder, table->start[symbol], (uint32_t)table->start[symbol + 1] - table->start[symbol]);
    if (coder->refines)
        return number < NEST ? OVERTONE_GOOD : OVERTONE_BAD_VALUE;
    if (symbol < last)
        return OVERTONE_GOOD;
    uint32_t above = number - last + 1;
    int length = exponent_of(above);
    push_bits(coder, (uint32_t)length, ESCAPE_BITS);
    push_bits(coder, above, length);
    return OVERTONE_GOOD;
}

/* Whether a layer codes nothing of a channel: the values are those that are in the plane already. */
static int is_empty(const Coder *coder, int32_t number, const int16_t *values)
{
    for (int32_t y = 0; y < coder->height; y++)
        for (int32_t x = 0; x < coder->width; x++)
            if (origin(coder, number)[y * coder->pitch + x] != *values++)
                return 0;
    return 1;
}

static Status encode_value(Coder *coder, const Context *context, int16_t value)
{
    uint32_t residual = (uint32_t)value - context->nearest;
    uint32_t bits = (context->flipped ? 0u - residual : residual) & 0xFFFF;
    return push_number(coder, &coder->table[context->table], bits & 0x8000 ? 2 * (0x10000 - bits) - 1 : 2 * bits);
}

/* ---- decoding ---- */

static uint32_t pull_bits(overtone_stream *stream, int length)
{
    uint32_t upper = length > PIECE_BITS ? pull_bits(stream, length - PIECE_BITS) : 0;
    int piece = length > PIECE_BITS ? PIECE_BITS : length;
    if (!piece)
        return 0;
    uint32_t value = (stream->state & (TOTAL - 1)) >> (BITS - piece);
    overtone_advance(stream, value << (BITS - piece), 1u << (BITS - piece));
    return upper << piece | value;
}

static uint32_t pull_number(overtone_stream *stream, const Table *table, int refines)
{
    uint32_t slot = stream->state & (TOTAL - 1), symbol = 0, last = (uint32_t)table->length - 1;
    while (slot >= table->start[symbol + 1])
        symbol++;
    overtone_advance(stream, table->start[symbol], (uint32_t)table->start[symbol + 1] - table->start[symbol]);
    if (symbol < last || refines)
        return symbol;
    int length = (int)pull_bits(stream, ESCAPE_BITS);
    return last + (1u << length | pull_bits(stream, length)) - 1;
}

INLINE Status decode_value(const Coder *coder, overtone_stream *stream, const Context *context, int16_t *value)
{
    uint32_t mapped = pull_number(stream, &coder->table[context->table], coder->refines);
    if (stream->status != OVERTONE_GOOD)
        return stream->status;
    if (mapped > MAX_NUMBER)
        return OVERTONE_TOO_LARGE;
    uint32_t residual = mapped & 1 ? 0u - (mapped + 1) / 2 : mapped / 2;
    uint32_t bits = context->nearest + (context->flipped ? 0u - residual : residual);
    *value = (int16_t)(uint16_t)bits;
    return OVERTONE_GOOD;
}

/* ---- a channel, block by block ---- */

/* The values that residuals of a row count from, as far as they are known before the row is coded. */
static void begin_base(Coder *coder, const int16_t *blocks)
{
    for (int32_t x = 0; x < coder->width; x++)
        coder->base[x] = coder->refines ? blocks[x] : 0;
}

/* Predicts a block of a DC channel that is coded first, and adds the differences from that. */
INLINE void predict(Coder *coder, Span taps, const Codes *codes, const int16_t *block, int32_t y, int32_t x,
                    int32_t lanes)
{
    const int16_t *above = block - coder->pitch;
    coder->base[x] = y ? median(block[-1], above[0], above[-1]) : block[-1];
    gather(coder, taps, codes, block, coder->base[x], (size_t)y * (size_t)coder->width + (size_t)x, lanes);
}

/* A block's value is known now. */
INLINE void learn(Coder *coder, const Own *own, int32_t y, int32_t x, int32_t was, int32_t value, int32_t lanes)
{
    if (!coder->dc[coder->channel.number])
        tell(coder, own, y, x, was, value, lanes);
    else if (coder->refines)
        tell_difference(coder, own, y, x, was, value, lanes);
}

INLINE Status encode_row(Coder *coder, const Own *own, const Lane *row, const int16_t *values, int32_t y, int32_t lanes)
{
    int16_t *blocks = origin(coder, coder->channel.number) + y * coder->pitch;
    size_t bytes = (size_t)coder->width * sizeof *blocks;
    for (int32_t x = 0; coder->region && x < coder->width; x++)
        if (!is_coded(coder, y, x) && values[x] != blocks[x])
            return OVERTONE_OUTSIDE;
    if (coder->dc[coder->channel.number] && !coder->refines) {
        Span taps = visible(own->all, y);
        memcpy(blocks, values, bytes);
        for (int32_t x = 0; x < coder->width; x++)
            if (is_coded(coder, y, x))
                predict(coder, taps, &own->codes, blocks + x, y, x, lanes);
    } else {
        for (int32_t x = 0; x < coder->width; x++)
            if (values[x] != blocks[x])
                learn(coder, own, y, x, blocks[x], values[x], lanes);
        memcpy(blocks, values, bytes);
    }
    decide(coder, row, y, 0, coder->width, lanes);
    for (int32_t x = 0; x < coder->width; x++) {
        if (!is_coded(coder, y, x))
            continue;
        Status status = encode_value(coder, &coder->context[x], values[x]);
        if (status != OVERTONE_GOOD)
            return status;
    }
    return OVERTONE_GOOD;
}

/* Contexts are found for several blocks at once, which takes less time than one by one, and found again for those that
 * a value to their left turns out to change. */
INLINE Status decode_row(Coder *coder, const Own *own, const Lane *row, overtone_stream *stream, int *told, int32_t y,
                         int32_t lanes)
{
    int first = coder->dc[coder->channel.number] && !coder->refines;
    int16_t *blocks = origin(coder, coder->channel.number) + y * coder->pitch;
    Span taps = visible(own->all, y);
    int32_t decided = 0, stale = 0;
    for (int32_t x = 0; x < coder->width; x++) {
        int16_t value;
        if (!is_coded(coder, y, x))
            continue;
        if (first)
            predict(coder, taps, &own->codes, blocks + x, y, x, lanes);
        if (x < stale || x >= decided) {
            int32_t end = first || x < stale || coder->width - x < AHEAD ? x + 1 : x + AHEAD;
            decide(coder, row, y, x, end, lanes);
            decided = end > decided ? end : decided;
        }
        Status status = decode_value(coder, stream, &coder->context[x], &value);
        if (status != OVERTONE_GOOD)
            return status;
        if (value == blocks[x])
            continue;
        learn(coder, own, y, x, blocks[x], value, lanes);
        blocks[x] = value;
        stale = x + 1 + coder->channel.reach;
        *told = 1;
    }
    return OVERTONE_GOOD;
}

/* Codes all blocks of a channel: encodes `values`, or where there are none, decodes the stream. */
INLINE Status walk(Coder *coder, const int16_t *values, overtone_stream *stream, int *told, int32_t lanes)
{
    int32_t number = coder->channel.number;
    int dc = coder->dc[number];
    int64_t activity = 0;
    int32_t above = 0;
    const Own own = own_taps(&coder->channel);
    add_others(coder, lanes);
    for (int32_t y = 0; y < coder->height; y++) {
        int16_t *blocks = origin(coder, number) + y * coder->pitch;
        Lane row[MAX_UNITS / LANE];
        begin_row(coder, row, y, activity, above);
        begin_base(coder, blocks);
        if (!coder->refines)
            blocks[-1] = blocks[-2] = y ? blocks[-coder->pitch] : 0;
        else if (dc && own.all.begin < own.all.end)
            gather_row(coder, own.all, &own.codes, y, lanes);
        Status status = values ? encode_row(coder, &own, row, values + (size_t)y * (size_t)coder->width, y, lanes)
                               : decode_row(coder, &own, row, stream, told, y, lanes);
        if (status != OVERTONE_GOOD)
            return status;
        if (coder->refines)
            continue;
        pad_row(coder, blocks);
        activity += row_activity(blocks, coder->width, dc);
        above += coded_in_row(coder, y);
    }
    return OVERTONE_GOOD;
}

/* The same for a number of hidden units that the compiler knows. */
static Status walk_channel(Coder *coder, const int16_t *values, overtone_stream *stream, int *told)
{
    begin_sums(coder);
    switch (coder->channel.units / LANE) {
    case 1:
        return walk(coder, values, stream, told, 1);
    case 2:
        return walk(coder, values, stream, told, 2);
    case 3:
        return walk(coder, values, stream, told, 3);
    default:
        return walk(coder, values, stream, told, 4);
    }
}

/* Fills the border of a plane once all its blocks are coded. */
static void finish(Coder *coder, int32_t number)
{
    for (int32_t y = 0; y < coder->height; y++)
        pad_row(coder, origin(coder, number) + y * coder->pitch);
    pad(coder, number);
    coder->activity[number] = -1;
}

/* Writes a channel's intervals backwards, in front of `end`. */
static unsigned char *write_intervals(const Coder *coder, unsigned char *end, uint32_t *kept)
{
    uint32_t state = *kept;
    for (size_t i = coder->intervals; i-- > 0;) {
        uint32_t frequency = coder->interval[i].frequency, start = coder->interval[i].start;
        if (state >= frequency << (32 - BITS)) {
            *--end = (unsigned char)(state >> 8);
            *--end = (unsigned char)state;
            state >>= 16;
        }
        state = (state / frequency << BITS) + state % frequency + start;
    }
    *kept = state;
    return end;
}

/* Lists the intervals of a channel whose plane holds what was known of it before. */
static Status encode_channel(Coder *coder, int32_t index, const int16_t *values)
{
    int told = 0;
    int32_t number = coder->first + index;
    begin_channel(coder, index);
    uint32_t empty = (uint32_t)coder->channel.empty;
    coder->intervals = 0;
    if (is_empty(coder, number, values)) {
        push(coder, 0, empty);
        return OVERTONE_GOOD;
    }
    push(coder, empty, TOTAL - empty);
    return walk_channel(coder, values, NULL, &told);
}

overtone_status overtone_encode(const overtone_layer *layer, const int16_t *known, const int16_t *coded, uint32_t check,
                                void *workspace, unsigned char *body, size_t *size)
{
    Coder *coder = workspace;
    Status status = prepare(coder, layer);
    if (status != OVERTONE_GOOD)
        return status;
    place_known(coder, known);
    size_t room = 4 + (size_t)coder->count * (2 + 2 * INTERVALS * coder->blocks);
    unsigned char *end = body + room, *begin = end;
    uint32_t state = OVERTONE_START | (check & 0xFFFF);
    for (int32_t i = 0; i < coder->count; i++)
        place(coder, coder->first + i, coded + (size_t)i * coder->blocks, 1);
    for (int32_t i = coder->count; i-- > 0;) {
        int32_t number = coder->first + i;
        const int16_t *values = coded + (size_t)i * coder->blocks;
        if (coder->refines)
            place(coder, number, known + (size_t)number * coder->blocks, NEST);
        else
            memset(coder->plane + (size_t)number * coder->padded, 0, coder->padded * sizeof *coder->plane);
        status = encode_channel(coder, i, values);
        if (status != OVERTONE_GOOD)
            return status;
        begin = write_intervals(coder, begin, &state);
        /* The channels before this one know it only as it was. */
        if (coder->refines)
            place(coder, number, known + (size_t)number * coder->blocks, NEST);
    }
    for (int shift = 24; shift >= 0; shift -= 8)
        *--begin = (unsigned char)(state >> shift);
    *size = (size_t)(end - begin);
    memmove(body, begin, *size);
    return OVERTONE_GOOD;
}

static Status decode_channel(Coder *coder, overtone_stream *stream, int32_t index)
{
    int told = 0;
    Cursor cursor = {coder->channel_at[index], coder->end, 0};
    uint32_t empty = (uint32_t)take(&cursor, 1, TOTAL - 1);
    if ((stream->state & (TOTAL - 1)) < empty) {
        overtone_advance(stream, 0, empty);
        return stream->status;
    }
    overtone_advance(stream, empty, TOTAL - empty);
    begin_channel(coder, index);
    Status status = walk_channel(coder, NULL, stream, &told);
    if (status != OVERTONE_GOOD)
        return status;
    finish(coder, coder->first + index);
    return told ? OVERTONE_GOOD : OVERTONE_UNMARKED;
}

overtone_status overtone_decode(const overtone_layer *layer, const int16_t *known, const unsigned char *body,
                                size_t size, void *workspace, int16_t *coded, uint32_t *check)
{
    Coder *coder = workspace;
    overtone_stream stream = {0};
    Status status = prepare(coder, layer);
    if (status != OVERTONE_GOOD)
        return status;
    memset(coder->activity, 0, sizeof coder->activity);
    memset(coder->plane, 0, (size_t)coder->planes * coder->padded * sizeof *coder->plane);
    place_known(coder, known);
    status = overtone_open(&stream, body, size);
    for (int32_t i = 0; status == OVERTONE_GOOD && i < coder->count; i++)
        status = decode_channel(coder, &stream, i);
    if (status == OVERTONE_GOOD)
        status = overtone_close(&stream);
    if (status != OVERTONE_GOOD)
        return status;
    for (int32_t i = 0; i < coder->count * coder->height; i++) {
        const int16_t *row = origin(coder, coder->first + i / coder->height) + i % coder->height * coder->pitch;
        memcpy(coded + (size_t)i * (size_t)coder->width, row, (size_t)coder->width * sizeof *coded);
    }
    *check = stream.state & 0xFFFF;
    return OVERTONE_GOOD;
}

const char *overtone_message(overtone_status status)
{
    switch (status) {
    case OVERTONE_GOOD:
        return "";
    case OVERTONE_BAD_PLAN:
        return "the plan does not hold together";
    case OVERTONE_BAD_VALUE:
        return "a value is not next to its coarse one";
    case OVERTONE_NO_ROOM:
        return "the body does not fit";
    case OVERTONE_CUT_SHORT:
        return "cut short";
    case OVERTONE_NO_STATE:
        return "not a state of the coder";
    case OVERTONE_HALF_WORD:
        return "half a word left over";
    case OVERTONE_LEFT_OVER:
        return "bytes left over";
    case OVERTONE_BAD_END:
        return "the coder does not end where it began";
    case OVERTONE_TOO_LARGE:
        return "a value does not fit sixteen bits";
    case OVERTONE_BAD_REGION:
        return "no region of this image";
    case OVERTONE_OUTSIDE:
        return "a value outside the region is not the one that is known";
    default:
        return "an empty channel is not marked as one";
    }
}
