/* The C twin of frequency/stream.py: contexts and rANS of one band. Byte for byte what the numpy twin does.
 *
 * Two functions, `encode` and `decode`. Both get a plan (frequency/plan.py) as packed 32-bit integers, the planes
 * already known to both sides as int16, and code the plan's channels one after another; see frequency/context.py
 * for what centre, spread and context are, and frequency/reading.py for the readings.
 *
 * Neither trusts its input: every count in the plan is checked against what is left of it, every read of the
 * stream against its end, and sums cannot pass 64 bits (a weight is at most 2^30, a reading 2^17, and there are
 * at most 2 * 64 of them). The GIL is released while coding: nothing of Python's is touched in between.
 */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    BITS = 14,            /* of a frequency */
    TOTAL = 1 << BITS,
    SCALE_BITS = 10,      /* centres and spreads are in 1024ths of a step */
    ONE = 1 << SCALE_BITS,
    LIMIT = 1 << 25,      /* a centre stays within int16 */
    LIFT_BITS = 6,
    LEVELS = 20,
    WIDEST = 21000,       /* spreads from here on are of one level */
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
    OWN_READINGS = 7,
    PAD = 1,              /* of planes, so that a neighbour outside the picture is the nearest block inside */
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

/* ---- the plan ---- */

typedef struct {
    int32_t length;
    uint16_t start[MAX_LENGTH + 1]; /* of each symbol's interval, and TOTAL behind the last */
} Table;

typedef struct {
    int32_t source, reading, weight;
} Tap;

typedef struct {
    int32_t lift, floor, empty;
    int32_t table[CONTEXTS];
    int32_t centres, spreads;
    Tap centre[MAX_TAPS], spread[MAX_TAPS];
    int64_t own_centre[OWN_READINGS], own_spread[OWN_READINGS]; /* weights of the channel's readings of itself */
} Channel;

typedef struct {
    int32_t first, count, tables; /* channels first .. first + count - 1 are coded */
    int32_t dc[MAX_CHANNELS];
    Table table[MAX_TABLES];
    Channel *channel;
} Plan;

typedef struct {
    const unsigned char *at;
    size_t left; /* in numbers */
    int bad;
} Cursor;

/* The next number of a plan, which must lie within bounds. */
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

/* Taps of other channels; those of the channel itself go into a weight per reading. */
static int32_t read_taps(Cursor *cursor, Tap *taps, int64_t *own, int32_t number, const int32_t *dc, int32_t least)
{
    int32_t count = 0, all = take(cursor, 0, MAX_TAPS);
    for (int32_t i = 0; i < all; i++) {
        Tap tap;
        tap.source = take(cursor, 0, number);
        int32_t readings = tap.source == number ? (dc[number] ? 7 : 6) : (dc[tap.source] ? 10 : 5);
        tap.reading = take(cursor, 0, readings - 1);
        tap.weight = take(cursor, least, MAX_WEIGHT);
        if (tap.source == number)
            own[tap.reading] += tap.weight;
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

/* ---- the planes, and what other channels say of one ---- */

typedef struct {
    int32_t height, width, pitch; /* pitch: from one row of a padded plane to the next */
    size_t blocks, padded;
    int16_t *planes;            /* all channels, each with a border of PAD */
    int64_t *centre, *spread;   /* of the channel at hand, height * width */
} Picture;

static int16_t *plane_of(const Picture *picture, int32_t channel)
{
    return picture->planes + (size_t)channel * picture->padded;
}

/* The block (0, 0) of a padded plane. */
static int16_t *origin(const Picture *picture, int32_t channel)
{
    return plane_of(picture, channel) + PAD * picture->pitch + PAD;
}

static void pad_row(const Picture *picture, int16_t *row)
{
    row[-1] = row[0];
    row[picture->width] = row[picture->width - 1];
}

/* Above and below a plane whose rows are padded. */
static void pad(const Picture *picture, int32_t channel)
{
    int16_t *plane = plane_of(picture, channel);
    size_t row_bytes = (size_t)picture->pitch * sizeof *plane;
    memcpy(plane, plane + picture->pitch, row_bytes);
    memcpy(plane + (picture->height + 1) * picture->pitch, plane + picture->height * picture->pitch, row_bytes);
}

static void place(const Picture *picture, int32_t channel, const unsigned char *values)
{
    size_t row_bytes = (size_t)picture->width * sizeof(int16_t);
    for (int32_t y = 0; y < picture->height; y++) {
        int16_t *row = origin(picture, channel) + y * picture->pitch;
        memcpy(row, values + (size_t)y * row_bytes, row_bytes);
        pad_row(picture, row);
    }
    pad(picture, channel);
}

static void free_picture(Picture *picture)
{
    free(picture->planes);
    free(picture->centre);
    free(picture->spread);
}

static Status make_picture(Picture *picture, int32_t channels, int32_t height, int32_t width)
{
    picture->height = height;
    picture->width = width;
    picture->pitch = width + 2 * PAD;
    picture->blocks = (size_t)height * (size_t)width;
    picture->padded = (size_t)(height + 2 * PAD) * (size_t)picture->pitch;
    picture->planes = calloc((size_t)channels * picture->padded, sizeof *picture->planes);
    picture->centre = malloc(picture->blocks * sizeof *picture->centre);
    picture->spread = malloc(picture->blocks * sizeof *picture->spread);
    return picture->planes && picture->centre && picture->spread ? GOOD : NO_MEMORY;
}

typedef struct {
    int down, right;
} Place;

/* Readings of a channel already coded: a place, or in a DC channel a place minus another. */
static const Place NEAR[5] = {{0, 0}, {-1, 0}, {1, 0}, {0, -1}, {0, 1}};
static const Place NEAR_DC[10][2] = {
    {{-1, 0}, {0, 0}}, {{1, 0}, {0, 0}},   {{0, -1}, {0, 0}},  {{0, 1}, {0, 0}},  {{0, 1}, {0, -1}},
    {{1, 0}, {-1, 0}}, {{-1, -1}, {0, 0}}, {{-1, 1}, {0, 0}},  {{1, -1}, {0, 0}}, {{1, 1}, {0, 0}},
};

static const int16_t *row_at(const Picture *picture, int32_t channel, Place place, int32_t y)
{
    return origin(picture, channel) + (y + place.down) * picture->pitch + place.right;
}

/* Adds weight * reading, or weight * |reading|, of every block of a row; a reading is a, or a - b. */
static void add_row(int64_t *sum, int64_t weight, const int16_t *a, const int16_t *b, int32_t width, int absolute)
{
    for (int32_t x = 0; x < width; x++) {
        int32_t reading = b ? a[x] - b[x] : a[x];
        sum[x] += weight * (absolute ? abs(reading) : reading);
    }
}

static void add_tap(const Picture *picture, const Plan *plan, const Tap *tap, int64_t *sums, int absolute)
{
    int dc = plan->dc[tap->source];
    for (int32_t y = 0; y < picture->height; y++) {
        const int16_t *a = row_at(picture, tap->source, dc ? NEAR_DC[tap->reading][0] : NEAR[tap->reading], y);
        const int16_t *b = dc ? row_at(picture, tap->source, NEAR_DC[tap->reading][1], y) : NULL;
        add_row(sums + (size_t)y * (size_t)picture->width, tap->weight, a, b, picture->width, absolute);
    }
}

static void look_around(const Picture *picture, const Plan *plan, const Channel *channel)
{
    for (size_t i = 0; i < picture->blocks; i++) {
        picture->centre[i] = 0;
        picture->spread[i] = channel->floor;
    }
    for (int32_t i = 0; i < channel->centres; i++)
        add_tap(picture, plan, &channel->centre[i], picture->centre, 0);
    for (int32_t i = 0; i < channel->spreads; i++)
        add_tap(picture, plan, &channel->spread[i], picture->spread, 1);
}

/* ---- a row of the channel at hand, and the context of a block ---- */

/* The channel's readings of itself, in the order of frequency/reading.py. */
enum { W, N, NW, NE, WW, NN };
enum { W_NW, N_NW, NE_N, W_WW, N_NN, W_N, W_MED };

typedef struct {
    const Channel *channel;
    const int64_t *centre, *spread; /* all but what looks west */
    const int16_t *above;           /* NULL over the first row, where all that is above is w */
    int64_t west_centre, west_spread;
    int dc;
} Row;

typedef struct {
    const Table *table;
    int32_t nearest;
    int mirrored;
} Sight;

static void add_own(const Channel *channel, int64_t *centre, int64_t *spread, int reading, const int16_t *a,
                    const int16_t *b, int32_t width)
{
    if (channel->own_centre[reading])
        add_row(centre, channel->own_centre[reading], a, b, width, 0);
    if (channel->own_spread[reading])
        add_row(spread, channel->own_spread[reading], a, b, width, 1);
}

/* Row y of a channel: what the rows above it say is added to what other channels say. */
static Row look_up(const Picture *picture, const Channel *channel, const int16_t *row, int32_t y, int dc)
{
    int64_t *centre = picture->centre + (size_t)y * (size_t)picture->width;
    int64_t *spread = picture->spread + (size_t)y * (size_t)picture->width;
    const int64_t *own_centre = channel->own_centre, *own_spread = channel->own_spread;
    Row found = {channel, centre, spread, NULL, own_centre[W], own_spread[W], dc};
    if (!y) {
        found.west_centre += own_centre[N] + own_centre[NW] + own_centre[NE] + own_centre[NN];
        found.west_spread += own_spread[N] + own_spread[NW] + own_spread[NE] + own_spread[NN];
        return found;
    }
    const int16_t *n = row - picture->pitch, *nn = y > 1 ? n - picture->pitch : n;
    found.above = n;
    if (dc) {
        add_own(channel, centre, spread, N_NW, n, n - 1, picture->width);
        add_own(channel, centre, spread, NE_N, n + 1, n, picture->width);
        add_own(channel, centre, spread, N_NN, n, nn, picture->width);
    } else {
        add_own(channel, centre, spread, N, n, NULL, picture->width);
        add_own(channel, centre, spread, NW, n - 1, NULL, picture->width);
        add_own(channel, centre, spread, NE, n + 1, NULL, picture->width);
        add_own(channel, centre, spread, NN, nn, NULL, picture->width);
    }
    return found;
}

static int32_t median(int32_t w, int32_t n, int32_t nw)
{
    int32_t low = w < n ? w : n, high = w < n ? n : w, sum = w + n - nw;
    return sum < low ? low : sum > high ? high : sum;
}

/* What each spread and each offset add to the number of the context; filled once, when the module is loaded. */
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

static Sight classify(const Plan *plan, const Channel *channel, int64_t centre, int64_t spread)
{
    centre = centre < -LIMIT ? -LIMIT : centre > LIMIT ? LIMIT : centre;
    spread += (int64_t)channel->lift * llabs(centre) / (1 << LIFT_BITS);
    /* Rounded to the nearest integer, halves up; shifted into the positive, where >> is what it is in Python. */
    int32_t nearest = (int32_t)((centre + 2 * LIMIT + ONE / 2) >> SCALE_BITS) - (2 * LIMIT >> SCALE_BITS);
    int32_t offset = (int32_t)centre - nearest * ONE;
    int context = CONTEXT_OF_SPREAD[spread < WIDEST ? spread : WIDEST] + CONTEXT_OF_OFFSET[abs(offset)];
    Sight sight = {&plan->table[channel->table[context]], nearest, offset < 0};
    return sight;
}

/* Of block x, given the blocks one and two to the west. */
static Sight look(const Plan *plan, const Row *row, int32_t x, int32_t w, int32_t ww)
{
    const Channel *channel = row->channel;
    const int64_t *own_centre = channel->own_centre, *own_spread = channel->own_spread;
    int64_t centre = row->centre[x], spread = row->spread[x];
    if (!row->dc) {
        centre += row->west_centre * w + own_centre[WW] * ww;
        spread += row->west_spread * abs(w) + own_spread[WW] * abs(ww);
        return classify(plan, channel, centre, spread);
    }
    int32_t n = row->above ? row->above[x] : w, nw = row->above ? row->above[x - 1] : w, med = median(w, n, nw);
    centre += (int64_t)med * ONE + own_centre[W_NW] * (w - nw) + own_centre[W_WW] * (w - ww) +
              own_centre[W_N] * (w - n) + own_centre[W_MED] * (w - med);
    spread += own_spread[W_NW] * abs(w - nw) + own_spread[W_WW] * abs(w - ww) + own_spread[W_N] * abs(w - n) +
              own_spread[W_MED] * abs(w - med);
    return classify(plan, channel, centre, spread);
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

/* The lowest `length` bits of a value (1 to 15), eight at a time from the lower end. */
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

static int is_empty(const Picture *picture, int32_t number)
{
    for (int32_t y = 0; y < picture->height; y++)
        for (int32_t x = 0; x < picture->width; x++)
            if (origin(picture, number)[y * picture->pitch + x])
                return 0;
    return 1;
}

static void encode_channel(Intervals *list, const Picture *picture, const Plan *plan, int32_t number)
{
    const Channel *channel = &plan->channel[number - plan->first];
    uint32_t empty = (uint32_t)channel->empty;
    if (is_empty(picture, number)) {
        push(list, 0, empty);
        return;
    }
    push(list, empty, TOTAL - empty);
    look_around(picture, plan, channel);
    for (int32_t y = 0; y < picture->height; y++) {
        const int16_t *row = origin(picture, number) + y * picture->pitch;
        Row known = look_up(picture, channel, row, y, plan->dc[number]);
        int32_t w = y ? row[-picture->pitch] : 0, ww = w;
        for (int32_t x = 0; x < picture->width; x++) {
            Sight sight = look(plan, &known, x, w, ww);
            uint32_t away = (uint32_t)row[x] - (uint32_t)sight.nearest;
            int16_t folded = (int16_t)(uint16_t)(sight.mirrored ? 0u - away : away);
            push_number(list, sight.table, folded < 0 ? (uint32_t)(-2 * folded - 1) : (uint32_t)(2 * folded));
            ww = w;
            w = row[x];
        }
    }
}

/* The stream of the intervals, last one first, into `out` from its end; where it begins. */
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

/* Leaves the interval the state is in; once the stream has failed, nothing is read any more. */
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

static Status decode_channel(Stream *stream, const Picture *picture, const Plan *plan, int32_t number)
{
    const Channel *channel = &plan->channel[number - plan->first];
    uint32_t empty = (uint32_t)channel->empty;
    if ((stream->state & (TOTAL - 1)) < empty) {
        advance(stream, 0, empty);
        return stream->status;
    }
    advance(stream, empty, TOTAL - empty);
    look_around(picture, plan, channel);
    for (int32_t y = 0; y < picture->height; y++) {
        int16_t *row = origin(picture, number) + y * picture->pitch;
        Row known = look_up(picture, channel, row, y, plan->dc[number]);
        int32_t w = y ? row[-picture->pitch] : 0, ww = w;
        for (int32_t x = 0; x < picture->width; x++) {
            Sight sight = look(plan, &known, x, w, ww);
            uint32_t folded = pull_number(stream, sight.table);
            if (stream->status != GOOD)
                return stream->status;
            if (folded > MAX_NUMBER)
                return TOO_LARGE;
            uint32_t away = folded & 1 ? 0u - (folded + 1) / 2 : folded / 2;
            uint32_t value = (uint32_t)sight.nearest + (sight.mirrored ? 0u - away : away);
            row[x] = (int16_t)(uint16_t)value;
            ww = w;
            w = row[x];
        }
        pad_row(picture, row);
    }
    pad(picture, number);
    return is_empty(picture, number) ? UNMARKED : GOOD;
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

static void place_all(const Picture *picture, const Py_buffer *planes, int32_t channels)
{
    for (int32_t i = 0; i < channels; i++)
        place(picture, i, (const unsigned char *)planes->buf + (size_t)i * picture->blocks * sizeof(int16_t));
}

static PyObject *encode_buffers(const Py_buffer *packed, const Py_buffer *planes, int height, int width,
                                unsigned check)
{
    Plan *plan = NULL;
    Picture picture = {0};
    Intervals list = {0};
    unsigned char *out = NULL, *begin = NULL, *end = NULL;
    Status status;

    Py_BEGIN_ALLOW_THREADS
    status = read_plan(packed, &plan);
    if (status == GOOD && !fits(planes, plan->first + plan->count, height, width))
        status = BAD_PLAN;
    if (status == GOOD)
        status = make_picture(&picture, plan->first + plan->count, height, width);
    if (status == GOOD) {
        place_all(&picture, planes, plan->first + plan->count);
        for (int32_t i = 0; i < plan->count; i++)
            encode_channel(&list, &picture, plan, plan->first + i);
        /* A word at most for each interval, and the state. */
        out = list.failed ? NULL : malloc(2 * list.count + 4);
        status = out ? GOOD : NO_MEMORY;
    }
    if (status == GOOD) {
        end = out + 2 * list.count + 4;
        begin = write_stream(&list, end, START | (check & 0xFFFF));
    }
    free(list.at);
    free_picture(&picture);
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
    Picture picture = {0};
    Stream stream = {0};
    int16_t *band = NULL;
    size_t bytes = 0;
    Status status;

    Py_BEGIN_ALLOW_THREADS
    status = read_plan(packed, &plan);
    if (status == GOOD && !fits(known, plan->first, height, width))
        status = BAD_PLAN;
    if (status == GOOD)
        status = make_picture(&picture, plan->first + plan->count, height, width);
    if (status == GOOD) {
        place_all(&picture, known, plan->first);
        status = open_stream(&stream, body);
    }
    for (int32_t i = 0; status == GOOD && i < plan->count; i++)
        status = decode_channel(&stream, &picture, plan, plan->first + i);
    if (status == GOOD)
        status = close_stream(&stream);
    if (status == GOOD) {
        bytes = (size_t)plan->count * picture.blocks * sizeof *band;
        band = malloc(bytes);
        status = band ? GOOD : NO_MEMORY;
    }
    for (int32_t i = 0; status == GOOD && i < plan->count * height; i++) {
        const int16_t *row = origin(&picture, plan->first + i / height) + (i % height) * picture.pitch;
        memcpy(band + (size_t)i * (size_t)width, row, (size_t)width * sizeof *band);
    }
    free_picture(&picture);
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
    PyModuleDef_HEAD_INIT, "_coder", "The C twin of frequency.stream.", 0, METHODS, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__coder(void)
{
    fill_contexts();
    return PyModule_Create(&MODULE);
}
