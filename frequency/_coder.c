/* The entropy coder of one band: contexts and rANS, byte for byte as in frequency/stream.py.
 *
 * There are two functions, `encode` and `decode`. Both take a coding plan (frequency/coding_plan.py) as packed
 * 32-bit integers, and as int16 the planes that decoder and encoder both know already, and code the plan's channels
 * one after another. frequency/context.py explains centre, spread and context, frequency/neighbours.py the features.
 *
 * Neither function trusts its input. Every count in the plan is checked against what is left of the plan, and every
 * read of the stream against its end. Sums cannot overflow 64 bits: a weight is at most 2^30 and a feature 2^17, and
 * there are at most 2 * 64 of them. The GIL is released while coding, as no Python object is touched then.
 */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    BITS = 14,            /* per frequency */
    TOTAL = 1 << BITS,
    SCALE_BITS = 10,      /* centres and spreads are in 1024ths of a step */
    ONE = 1 << SCALE_BITS,
    LIMIT = 1 << 25,      /* keeps a centre within int16 */
    LIFT_BITS = 6,
    LEVELS = 20,
    WIDEST = 21000,       /* all spreads from here on have the same level */
    OFFSET_LEVELS = 4,
    CONTEXTS = LEVELS * OFFSET_LEVELS,
    ESCAPE_BITS = 4,
    PIECE_BITS = 8,
    MAX_CHANNELS = 192,
    MAX_SIDE = 256,
    MAX_TABLES = 64,
    MAX_LENGTH = 64,
    MAX_TAPS = 64,
    MAX_WEIGHT = 1 << 30,
    MAX_LIFT = 1 << 12,
    MAX_FLOOR = 1 << 28,
    MAX_NUMBER = 65535,
    CAUSAL_FEATURES = 7,
    PAD = 1,              /* border of a plane: outside the image, it continues with the nearest block */
};
#define START 65536u

static const int32_t SPREADS[LEVELS - 1] = {10,  20,  36,   56,   82,   123,  174,  246,   348,  492,
                                            696, 973, 1434, 2150, 3584, 5600, 8700, 13500, WIDEST};
static const int32_t OFFSETS[OFFSET_LEVELS - 1] = {51, 154, 307};

typedef enum {
    GOOD,
    NO_MEMORY,
    BAD_PLAN,
    CUT_SHORT,
    NO_STATE,
    HALF_WORD,
    LEFT_OVER,
    BAD_END,
    TOO_LARGE,
    UNMARKED,
} Status;

static const char *const MESSAGES[] = {
    "",
    "",
    "the plan does not hold together",
    "cut short",
    "not a state of the coder",
    "half a word left over",
    "bytes left over",
    "the coder does not end where it began",
    "a value does not fit sixteen bits",
    "an empty channel is not marked as one",
};

/* ---- the coding plan ---- */

typedef struct {
    int32_t length;
    uint16_t start[MAX_LENGTH + 1]; /* of each symbol's interval; TOTAL follows the last one */
} Table;

typedef struct {
    int32_t source, feature, weight;
} Tap;

typedef struct {
    int32_t lift, floor, empty;
    int32_t table[CONTEXTS];
    int32_t centres, spreads;
    Tap centre[MAX_TAPS], spread[MAX_TAPS];
    int64_t own_centre[CAUSAL_FEATURES], own_spread[CAUSAL_FEATURES]; /* weights of the channel's own features */
} Channel;

typedef struct {
    int32_t first, count, tables; /* channels first .. first + count - 1 are coded */
    int32_t dc[MAX_CHANNELS];
    Table table[MAX_TABLES];
    Channel *channel;
} Plan;

typedef struct {
    const unsigned char *at;
    size_t left; /* counted in numbers */
    int bad;
} Cursor;

/* The next number of a plan, which must lie within these bounds. */
static int32_t take(Cursor *cursor, int32_t least, int32_t most)
{
    int32_t value = least;
    if (cursor->left)
        memcpy(&value, cursor->at, sizeof value);
    if (!cursor->left || value < least || value > most) {
        cursor->bad = 1;
        return least;
    }
    cursor->at += sizeof value;
    cursor->left--;
    return value;
}

static void read_table(Cursor *cursor, Table *table)
{
    int32_t sum = 0;
    table->length = take(cursor, 2, MAX_LENGTH);
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

/* Reads taps. Those of other channels are listed; those of the channel itself are added to a weight per feature. */
static int32_t read_taps(Cursor *cursor, Tap *taps, int64_t *own, int32_t number, const int32_t *dc, int32_t least)
{
    int32_t count = 0, all = take(cursor, 0, MAX_TAPS);
    for (int32_t i = 0; i < all; i++) {
        Tap tap;
        tap.source = take(cursor, 0, number);
        int32_t features = tap.source == number ? (dc[number] ? 7 : 6) : (dc[tap.source] ? 10 : 5);
        tap.feature = take(cursor, 0, features - 1);
        tap.weight = take(cursor, least, MAX_WEIGHT);
        if (tap.source == number)
            own[tap.feature] += tap.weight;
        else
            taps[count++] = tap;
    }
    return count;
}

static void read_channel(Cursor *cursor, const Plan *plan, Channel *channel, int32_t number)
{
    memset(channel, 0, sizeof *channel);
    channel->lift = take(cursor, 0, MAX_LIFT);
    channel->floor = take(cursor, 0, MAX_FLOOR);
    channel->empty = take(cursor, 1, TOTAL - 1);
    for (int i = 0; i < CONTEXTS; i++)
        channel->table[i] = take(cursor, 0, plan->tables - 1);
    channel->centres =
        read_taps(cursor, channel->centre, channel->own_centre, number, plan->dc, -MAX_WEIGHT);
    channel->spreads = read_taps(cursor, channel->spread, channel->own_spread, number, plan->dc, 0);
}

static void free_plan(Plan *plan)
{
    if (plan)
        free(plan->channel);
    free(plan);
}

static Status read_plan(const Py_buffer *packed, Plan **found)
{
    Cursor cursor = {packed->buf, (size_t)packed->len / sizeof(int32_t), 0};
    Plan *plan = calloc(1, sizeof *plan);
    *found = plan;
    if (!plan)
        return NO_MEMORY;
    plan->first = take(&cursor, 0, MAX_CHANNELS - 1);
    plan->count = take(&cursor, 1, MAX_CHANNELS - plan->first);
    for (int32_t i = 0; i < plan->first + plan->count; i++)
        plan->dc[i] = take(&cursor, 0, 1);
    plan->tables = take(&cursor, 1, MAX_TABLES);
    for (int32_t i = 0; i < plan->tables; i++)
        read_table(&cursor, &plan->table[i]);
    if (cursor.bad)
        return BAD_PLAN;
    plan->channel = malloc((size_t)plan->count * sizeof *plan->channel);
    if (!plan->channel)
        return NO_MEMORY;
    for (int32_t i = 0; i < plan->count; i++)
        read_channel(&cursor, plan, &plan->channel[i], plan->first + i);
    return cursor.bad || cursor.left ? BAD_PLAN : GOOD;
}

/* ---- the planes, and what the other channels add to a channel's centre and spread ---- */

typedef struct {
    int32_t height, width, pitch; /* pitch: distance between rows of a padded plane */
    size_t blocks, padded;
    int16_t *planes;            /* all channels, each with a border of PAD blocks */
    int64_t *centre, *spread;   /* height * width, of the channel being coded */
} Image;

static int16_t *plane_of(const Image *image, int32_t channel)
{
    return image->planes + (size_t)channel * image->padded;
}

/* Block (0, 0) of a padded plane. */
static int16_t *origin(const Image *image, int32_t channel)
{
    return plane_of(image, channel) + PAD * image->pitch + PAD;
}

static void pad_row(const Image *image, int16_t *row)
{
    row[-1] = row[0];
    row[image->width] = row[image->width - 1];
}

/* Fills the border above and below a plane whose rows are padded already. */
static void pad(const Image *image, int32_t channel)
{
    int16_t *plane = plane_of(image, channel);
    size_t row_bytes = (size_t)image->pitch * sizeof *plane;
    memcpy(plane, plane + image->pitch, row_bytes);
    memcpy(plane + (image->height + 1) * image->pitch, plane + image->height * image->pitch, row_bytes);
}

static void place(const Image *image, int32_t channel, const unsigned char *values)
{
    size_t row_bytes = (size_t)image->width * sizeof(int16_t);
    for (int32_t y = 0; y < image->height; y++) {
        int16_t *row = origin(image, channel) + y * image->pitch;
        memcpy(row, values + (size_t)y * row_bytes, row_bytes);
        pad_row(image, row);
    }
    pad(image, channel);
}

static void free_image(Image *image)
{
    free(image->planes);
    free(image->centre);
    free(image->spread);
}

static Status make_image(Image *image, int32_t channels, int32_t height, int32_t width)
{
    image->height = height;
    image->width = width;
    image->pitch = width + 2 * PAD;
    image->blocks = (size_t)height * (size_t)width;
    image->padded = (size_t)(height + 2 * PAD) * (size_t)image->pitch;
    image->planes = calloc((size_t)channels * image->padded, sizeof *image->planes);
    image->centre = malloc(image->blocks * sizeof *image->centre);
    image->spread = malloc(image->blocks * sizeof *image->spread);
    return image->planes && image->centre && image->spread ? GOOD : NO_MEMORY;
}

typedef struct {
    int down, right;
} Place;

/* Features of a channel that has been coded: a neighbour; in a DC channel, the difference of two neighbours. */
static const Place SURROUNDING[5] = {{0, 0}, {-1, 0}, {1, 0}, {0, -1}, {0, 1}};
static const Place SURROUNDING_DC[10][2] = {
    {{-1, 0}, {0, 0}}, {{1, 0}, {0, 0}},   {{0, -1}, {0, 0}},  {{0, 1}, {0, 0}},  {{0, 1}, {0, -1}},
    {{1, 0}, {-1, 0}}, {{-1, -1}, {0, 0}}, {{-1, 1}, {0, 0}},  {{1, -1}, {0, 0}}, {{1, 1}, {0, 0}},
};

static const int16_t *row_at(const Image *image, int32_t channel, Place place, int32_t y)
{
    return origin(image, channel) + (y + place.down) * image->pitch + place.right;
}

/* Adds weight * feature, or weight * |feature|, to every block of a row; the feature is a, or a - b. */
static void add_row(int64_t *sum, int64_t weight, const int16_t *a, const int16_t *b, int32_t width, int absolute)
{
    for (int32_t x = 0; x < width; x++) {
        int32_t feature = b ? a[x] - b[x] : a[x];
        sum[x] += weight * (absolute ? abs(feature) : feature);
    }
}

static void add_tap(const Image *image, const Plan *plan, const Tap *tap, int64_t *sums, int absolute)
{
    int dc = plan->dc[tap->source];
    for (int32_t y = 0; y < image->height; y++) {
        Place first = dc ? SURROUNDING_DC[tap->feature][0] : SURROUNDING[tap->feature];
        const int16_t *a = row_at(image, tap->source, first, y);
        const int16_t *b = dc ? row_at(image, tap->source, SURROUNDING_DC[tap->feature][1], y) : NULL;
        add_row(sums + (size_t)y * (size_t)image->width, tap->weight, a, b, image->width, absolute);
    }
}

static void sum_others(const Image *image, const Plan *plan, const Channel *channel)
{
    for (size_t i = 0; i < image->blocks; i++) {
        image->centre[i] = 0;
        image->spread[i] = channel->floor;
    }
    for (int32_t i = 0; i < channel->centres; i++)
        add_tap(image, plan, &channel->centre[i], image->centre, 0);
    for (int32_t i = 0; i < channel->spreads; i++)
        add_tap(image, plan, &channel->spread[i], image->spread, 1);
}

/* ---- a row of the channel being coded, and the context of a block ---- */

/* The causal features, in the order of frequency/neighbours.py. */
enum { W, N, NW, NE, WW, NN };
enum { W_NW, N_NW, NE_N, W_WW, N_NN, W_N, W_MED };

typedef struct {
    const Channel *channel;
    const int64_t *centre, *spread; /* sums over everything but the blocks to the left */
    const int16_t *above;           /* NULL in the first row, where w stands for every neighbour above */
    int64_t w_centre, w_spread;     /* weights of w */
    int dc;
} Row;

typedef struct {
    const Table *table;
    int32_t nearest;
    int flipped;
} Context;

static void add_own(const Channel *channel, int64_t *centre, int64_t *spread, int feature, const int16_t *a,
                    const int16_t *b, int32_t width)
{
    if (channel->own_centre[feature])
        add_row(centre, channel->own_centre[feature], a, b, width, 0);
    if (channel->own_spread[feature])
        add_row(spread, channel->own_spread[feature], a, b, width, 1);
}

/* Row y of a channel: adds the features of the rows above to the sums over the other channels. */
static Row begin_row(const Image *image, const Channel *channel, const int16_t *row, int32_t y, int dc)
{
    int64_t *centre = image->centre + (size_t)y * (size_t)image->width;
    int64_t *spread = image->spread + (size_t)y * (size_t)image->width;
    const int64_t *own_centre = channel->own_centre, *own_spread = channel->own_spread;
    Row found = {channel, centre, spread, NULL, own_centre[W], own_spread[W], dc};
    if (!y) {
        found.w_centre += own_centre[N] + own_centre[NW] + own_centre[NE] + own_centre[NN];
        found.w_spread += own_spread[N] + own_spread[NW] + own_spread[NE] + own_spread[NN];
        return found;
    }
    const int16_t *n = row - image->pitch, *nn = y > 1 ? n - image->pitch : n;
    found.above = n;
    if (dc) {
        add_own(channel, centre, spread, N_NW, n, n - 1, image->width);
        add_own(channel, centre, spread, NE_N, n + 1, n, image->width);
        add_own(channel, centre, spread, N_NN, n, nn, image->width);
    } else {
        add_own(channel, centre, spread, N, n, NULL, image->width);
        add_own(channel, centre, spread, NW, n - 1, NULL, image->width);
        add_own(channel, centre, spread, NE, n + 1, NULL, image->width);
        add_own(channel, centre, spread, NN, nn, NULL, image->width);
    }
    return found;
}

static int32_t median(int32_t w, int32_t n, int32_t nw)
{
    int32_t low = w < n ? w : n, high = w < n ? n : w, sum = w + n - nw;
    return sum < low ? low : sum > high ? high : sum;
}

/* What each spread and each offset add to the number of the context; filled when the module is loaded. */
static uint8_t CONTEXT_OF_SPREAD[WIDEST + 1], CONTEXT_OF_OFFSET[ONE / 2 + 1];

static int level(int32_t value, const int32_t *thresholds, int count)
{
    int found = 0;
    while (found < count && value >= thresholds[found])
        found++;
    return found;
}

static void fill_contexts(void)
{
    for (int32_t i = 0; i <= WIDEST; i++)
        CONTEXT_OF_SPREAD[i] = (uint8_t)(level(i, SPREADS, LEVELS - 1) * OFFSET_LEVELS);
    for (int32_t i = 0; i <= ONE / 2; i++)
        CONTEXT_OF_OFFSET[i] = (uint8_t)level(i, OFFSETS, OFFSET_LEVELS - 1);
}

static Context context_of(const Plan *plan, const Channel *channel, int64_t centre, int64_t spread)
{
    centre = centre < -LIMIT ? -LIMIT : centre > LIMIT ? LIMIT : centre;
    spread += (int64_t)channel->lift * llabs(centre) / (1 << LIFT_BITS);
    /* Rounds to the nearest integer, halves up. The sum is made positive first, where >> rounds down as in Python. */
    int32_t nearest = (int32_t)((centre + 2 * LIMIT + ONE / 2) >> SCALE_BITS) - (2 * LIMIT >> SCALE_BITS);
    int32_t offset = (int32_t)centre - nearest * ONE;
    int index = CONTEXT_OF_SPREAD[spread < WIDEST ? spread : WIDEST] + CONTEXT_OF_OFFSET[abs(offset)];
    Context context = {&plan->table[channel->table[index]], nearest, offset < 0};
    return context;
}

/* The context of block x, given the two blocks to its left. */
static Context context_at(const Plan *plan, const Row *row, int32_t x, int32_t w, int32_t ww)
{
    const Channel *channel = row->channel;
    const int64_t *own_centre = channel->own_centre, *own_spread = channel->own_spread;
    int64_t centre = row->centre[x], spread = row->spread[x];
    if (!row->dc) {
        centre += row->w_centre * w + own_centre[WW] * ww;
        spread += row->w_spread * abs(w) + own_spread[WW] * abs(ww);
        return context_of(plan, channel, centre, spread);
    }
    int32_t n = row->above ? row->above[x] : w, nw = row->above ? row->above[x - 1] : w, med = median(w, n, nw);
    centre += (int64_t)med * ONE + own_centre[W_NW] * (w - nw) + own_centre[W_WW] * (w - ww) +
              own_centre[W_N] * (w - n) + own_centre[W_MED] * (w - med);
    spread += own_spread[W_NW] * abs(w - nw) + own_spread[W_WW] * abs(w - ww) + own_spread[W_N] * abs(w - n) +
              own_spread[W_MED] * abs(w - med);
    return context_of(plan, channel, centre, spread);
}

/* ---- encoding ---- */

typedef struct {
    uint16_t start, frequency;
} Interval;

typedef struct {
    Interval *at;
    size_t count, room;
    int failed;
} Intervals;

static void push(Intervals *list, uint32_t start, uint32_t frequency)
{
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 4096;
        Interval *grown = realloc(list->at, room * sizeof *grown);
        if (!grown) {
            list->failed = 1;
            return;
        }
        list->at = grown;
        list->room = room;
    }
    list->at[list->count].start = (uint16_t)start;
    list->at[list->count].frequency = (uint16_t)frequency;
    list->count++;
}

/* The lowest `length` bits of a value (1 to 15 of them): the lowest eight last, before them those above. */
static void push_bits(Intervals *list, uint32_t value, int length)
{
    if (length > PIECE_BITS)
        push_bits(list, value >> PIECE_BITS, length - PIECE_BITS);
    int piece = length > PIECE_BITS ? PIECE_BITS : length;
    if (piece)
        push(list, (value & ((1u << piece) - 1)) << (BITS - piece), 1u << (BITS - piece));
}

static void push_number(Intervals *list, const Table *table, uint32_t number)
{
    uint32_t last = (uint32_t)table->length - 1, symbol = number < last ? number : last;
    push(list, table->start[symbol], (uint32_t)table->start[symbol + 1] - table->start[symbol]);
    if (symbol < last)
        return;
    uint32_t above = number - last + 1;
    int length = 0;
    while (above >> (length + 1))
        length++;
    push_bits(list, (uint32_t)length, ESCAPE_BITS);
    push_bits(list, above, length);
}

static int is_empty(const Image *image, int32_t number)
{
    for (int32_t y = 0; y < image->height; y++)
        for (int32_t x = 0; x < image->width; x++)
            if (origin(image, number)[y * image->pitch + x])
                return 0;
    return 1;
}

static void encode_channel(Intervals *list, const Image *image, const Plan *plan, int32_t number)
{
    const Channel *channel = &plan->channel[number - plan->first];
    uint32_t empty = (uint32_t)channel->empty;
    if (is_empty(image, number)) {
        push(list, 0, empty);
        return;
    }
    push(list, empty, TOTAL - empty);
    sum_others(image, plan, channel);
    for (int32_t y = 0; y < image->height; y++) {
        const int16_t *row = origin(image, number) + y * image->pitch;
        Row known = begin_row(image, channel, row, y, plan->dc[number]);
        int32_t w = y ? row[-image->pitch] : 0, ww = w;
        for (int32_t x = 0; x < image->width; x++) {
            Context context = context_at(plan, &known, x, w, ww);
            uint32_t residual = (uint32_t)row[x] - (uint32_t)context.nearest;
            int16_t wrapped = (int16_t)(uint16_t)(context.flipped ? 0u - residual : residual);
            push_number(list, context.table, wrapped < 0 ? (uint32_t)(-2 * wrapped - 1) : (uint32_t)(2 * wrapped));
            ww = w;
            w = row[x];
        }
    }
}

/* Writes the stream of the intervals backwards, from `end`, and returns where it begins. */
static unsigned char *write_stream(const Intervals *list, unsigned char *end, uint32_t state)
{
    for (size_t i = list->count; i-- > 0;) {
        uint32_t frequency = list->at[i].frequency, start = list->at[i].start;
        if (state >= frequency << (32 - BITS)) {
            *--end = (unsigned char)(state >> 8);
            *--end = (unsigned char)state;
            state >>= 16;
        }
        state = (state / frequency << BITS) + state % frequency + start;
    }
    for (int shift = 24; shift >= 0; shift -= 8)
        *--end = (unsigned char)(state >> shift);
    return end;
}

/* ---- decoding ---- */

typedef struct {
    const unsigned char *at, *end;
    uint32_t state;
    Status status;
} Stream;

static Status open_stream(Stream *stream, const Py_buffer *body)
{
    const unsigned char *at = body->buf;
    if (body->len < 4)
        return CUT_SHORT;
    stream->state = (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
    stream->at = at + 4;
    stream->end = at + body->len;
    stream->status = GOOD;
    if (stream->state < START)
        return NO_STATE;
    return body->len % 2 ? HALF_WORD : GOOD;
}

/* Takes the current interval out of the state. After the stream has failed, nothing more is read. */
static void advance(Stream *stream, uint32_t start, uint32_t frequency)
{
    stream->state = frequency * (stream->state >> BITS) + (stream->state & (TOTAL - 1)) - start;
    if (stream->state >= START)
        return;
    if (stream->at == stream->end) {
        stream->status = CUT_SHORT;
        stream->state = START;
        return;
    }
    stream->state = stream->state << 16 | (uint32_t)stream->at[0] | (uint32_t)stream->at[1] << 8;
    stream->at += 2;
}

static uint32_t pull_bits(Stream *stream, int length)
{
    uint32_t upper = length > PIECE_BITS ? pull_bits(stream, length - PIECE_BITS) : 0;
    int piece = length > PIECE_BITS ? PIECE_BITS : length;
    if (!piece)
        return 0;
    uint32_t value = (stream->state & (TOTAL - 1)) >> (BITS - piece);
    advance(stream, value << (BITS - piece), 1u << (BITS - piece));
    return upper << piece | value;
}

static uint32_t pull_number(Stream *stream, const Table *table)
{
    uint32_t slot = stream->state & (TOTAL - 1), symbol = 0, last = (uint32_t)table->length - 1;
    while (slot >= table->start[symbol + 1])
        symbol++;
    advance(stream, table->start[symbol], (uint32_t)table->start[symbol + 1] - table->start[symbol]);
    if (symbol < last)
        return symbol;
    int length = (int)pull_bits(stream, ESCAPE_BITS);
    return last + (1u << length | pull_bits(stream, length)) - 1;
}

static Status decode_channel(Stream *stream, const Image *image, const Plan *plan, int32_t number)
{
    const Channel *channel = &plan->channel[number - plan->first];
    uint32_t empty = (uint32_t)channel->empty;
    if ((stream->state & (TOTAL - 1)) < empty) {
        advance(stream, 0, empty);
        return stream->status;
    }
    advance(stream, empty, TOTAL - empty);
    sum_others(image, plan, channel);
    for (int32_t y = 0; y < image->height; y++) {
        int16_t *row = origin(image, number) + y * image->pitch;
        Row known = begin_row(image, channel, row, y, plan->dc[number]);
        int32_t w = y ? row[-image->pitch] : 0, ww = w;
        for (int32_t x = 0; x < image->width; x++) {
            Context context = context_at(plan, &known, x, w, ww);
            uint32_t mapped = pull_number(stream, context.table);
            if (stream->status != GOOD)
                return stream->status;
            if (mapped > MAX_NUMBER)
                return TOO_LARGE;
            uint32_t residual = mapped & 1 ? 0u - (mapped + 1) / 2 : mapped / 2;
            uint32_t value = (uint32_t)context.nearest + (context.flipped ? 0u - residual : residual);
            row[x] = (int16_t)(uint16_t)value;
            ww = w;
            w = row[x];
        }
        pad_row(image, row);
    }
    pad(image, number);
    return is_empty(image, number) ? UNMARKED : GOOD;
}

static Status close_stream(const Stream *stream)
{
    if (stream->at != stream->end)
        return LEFT_OVER;
    return stream->state >> 16 == 1 ? GOOD : BAD_END;
}

/* ---- Python ---- */

static PyObject *fail(Status status)
{
    if (status == NO_MEMORY)
        return PyErr_NoMemory();
    PyErr_SetString(status == BAD_PLAN ? PyExc_RuntimeError : PyExc_ValueError, MESSAGES[status]);
    return NULL;
}

static int fits(const Py_buffer *planes, int channels, int height, int width)
{
    return height >= 1 && width >= 1 && height <= MAX_SIDE && width <= MAX_SIDE &&
           (size_t)planes->len == (size_t)channels * (size_t)height * (size_t)width * sizeof(int16_t);
}

static void place_all(const Image *image, const Py_buffer *planes, int32_t channels)
{
    for (int32_t i = 0; i < channels; i++)
        place(image, i, (const unsigned char *)planes->buf + (size_t)i * image->blocks * sizeof(int16_t));
}

static PyObject *encode_buffers(const Py_buffer *packed, const Py_buffer *planes, int height, int width,
                                unsigned check)
{
    Plan *plan = NULL;
    Image image = {0};
    Intervals list = {0};
    unsigned char *out = NULL, *begin = NULL, *end = NULL;
    Status status;

    Py_BEGIN_ALLOW_THREADS
    status = read_plan(packed, &plan);
    if (status == GOOD && !fits(planes, plan->first + plan->count, height, width))
        status = BAD_PLAN;
    if (status == GOOD)
        status = make_image(&image, plan->first + plan->count, height, width);
    if (status == GOOD) {
        place_all(&image, planes, plan->first + plan->count);
        for (int32_t i = 0; i < plan->count; i++)
            encode_channel(&list, &image, plan, plan->first + i);
        /* At most a word for each interval, and the state. */
        out = list.failed ? NULL : malloc(2 * list.count + 4);
        status = out ? GOOD : NO_MEMORY;
    }
    if (status == GOOD) {
        end = out + 2 * list.count + 4;
        begin = write_stream(&list, end, START | (check & 0xFFFF));
    }
    free(list.at);
    free_image(&image);
    free_plan(plan);
    Py_END_ALLOW_THREADS

    PyObject *body = status == GOOD ? PyBytes_FromStringAndSize((char *)begin, end - begin) : fail(status);
    free(out);
    return body;
}

static PyObject *decode_buffers(const Py_buffer *packed, const Py_buffer *known, const Py_buffer *body, int height,
                                int width)
{
    Plan *plan = NULL;
    Image image = {0};
    Stream stream = {0};
    int16_t *band = NULL;
    size_t bytes = 0;
    Status status;

    Py_BEGIN_ALLOW_THREADS
    status = read_plan(packed, &plan);
    if (status == GOOD && !fits(known, plan->first, height, width))
        status = BAD_PLAN;
    if (status == GOOD)
        status = make_image(&image, plan->first + plan->count, height, width);
    if (status == GOOD) {
        place_all(&image, known, plan->first);
        status = open_stream(&stream, body);
    }
    for (int32_t i = 0; status == GOOD && i < plan->count; i++)
        status = decode_channel(&stream, &image, plan, plan->first + i);
    if (status == GOOD)
        status = close_stream(&stream);
    if (status == GOOD) {
        bytes = (size_t)plan->count * image.blocks * sizeof *band;
        band = malloc(bytes);
        status = band ? GOOD : NO_MEMORY;
    }
    for (int32_t i = 0; status == GOOD && i < plan->count * height; i++) {
        const int16_t *row = origin(&image, plan->first + i / height) + (i % height) * image.pitch;
        memcpy(band + (size_t)i * (size_t)width, row, (size_t)width * sizeof *band);
    }
    free_image(&image);
    free_plan(plan);
    Py_END_ALLOW_THREADS

    PyObject *found = status == GOOD ? Py_BuildValue("y#I", (char *)band, (Py_ssize_t)bytes, stream.state & 0xFFFF)
                                     : fail(status);
    free(band);
    return found;
}

static PyObject *encode(PyObject *module, PyObject *arguments)
{
    Py_buffer packed, planes;
    int height, width;
    unsigned check;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "y*y*iiI:encode", &packed, &planes, &height, &width, &check))
        return NULL;
    PyObject *body = encode_buffers(&packed, &planes, height, width, check);
    PyBuffer_Release(&packed);
    PyBuffer_Release(&planes);
    return body;
}

static PyObject *decode(PyObject *module, PyObject *arguments)
{
    Py_buffer packed, known, body;
    int height, width;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "y*y*y*ii:decode", &packed, &known, &body, &height, &width))
        return NULL;
    PyObject *found = decode_buffers(&packed, &known, &body, height, width);
    PyBuffer_Release(&packed);
    PyBuffer_Release(&known);
    PyBuffer_Release(&body);
    return found;
}

static PyMethodDef METHODS[] = {
    {"encode", encode, METH_VARARGS, "encode(plan, planes, height, width, check) -> bytes"},
    {"decode", decode, METH_VARARGS, "decode(plan, known, body, height, width) -> (bytes, check)"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT, "_coder", "The entropy coder in C, see frequency.coder.", 0, METHODS, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__coder(void)
{
    fill_contexts();
    return PyModule_Create(&MODULE);
}
