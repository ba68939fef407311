/* How far codes and scales are from the truth: sums of squares in a fixed order, so that no tier and no split changes a bit.
 *
 * Units of up to 128 elements of a block are summed in binary32 (meter.h). A unit whose sums do not both lie between 2^-100 and
 * 2^100 is wide: it is summed once more in binary64, element i in lane i mod 8, where no float32 overflows. A longer block
 * adds its units in binary64, in order. Block k of a chunk, those that are neither wide nor long, is added in binary64 to lane
 * k mod 8; the others in order to a sum of their own. Chunks have a fixed place in the tensor, and every one has sums of its own. */
#include "quantize/entries.h"
#include "quantize/meter.h"
#include "tier.h"

#define MOST 0x1p100f
#define LEAST 0x1p-100f

enum { NEAR = 256 }; /* quotients of sums that are not wide lie within 2^-201 and 2^201 */

typedef struct {
    const cm_value_spec *spec;
    const cm_measure_spec *how;
    cm_meter_codes codes;
    int source;              /* of codes without zero points */
    float times;             /* what scales are multiplied with before numbers in registers are */
    cm_meter_lanes lanes;
    double signal[8], error[8], block_signal, block_error;
    float signals[UNITS + 16], errors[UNITS + 16]; /* of blocks that wait for seven others */
    size_t waiting;
    uint32_t octaves[2][2 * NEAR]; /* two, so that equal neighbours do not wait for each other */
    cm_error_sums sums;
} meter;

/* where the elements of a call lie: those of the codes count from `first` on, of `count` */
typedef struct {
    const float *x, *y;
    const uint8_t *codes;
    size_t first, count;
} compared;

static void begin_chunk(meter *m, const cm_value_spec *spec, const cm_measure_spec *how)
{
    memset(m, 0, sizeof *m);
    m->spec = spec, m->how = how, m->source = CM_METER_NUMBERS, m->times = 1;
    m->codes.tensor = spec->tensor_scale, m->codes.unit = spec->unit;
#ifdef CM_HAVE_HALF_VALUES
    if (spec->packed) return;
    const cm_decode_spec *f = spec->format;
    const uint8_t all[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    switch (spec->kind) {
    case CM_VALUE_SIGNED: m->source = CM_METER_SIGNED; break;
    case CM_VALUE_UNSIGNED: m->source = CM_METER_UNSIGNED; break;
    case CM_VALUE_TABLE:
        m->source = CM_METER_TABLE;
        memcpy(m->codes.table, spec->table, sizeof m->codes.table);
        break;
    default:
        if (f->bits == 4 && !cm_has_special(all, 16, f)) {
            m->source = CM_METER_TABLE;
            cm_float_values(all, m->codes.table, 16, 0, f);
        } else if (cm_is_like_half(f) && f->bias <= 15) { /* the power is not below 1: products round once as before */
            m->source = f->bits == 8 ? CM_METER_BYTES : CM_METER_HALVES;
            m->codes.bits = f->bits, m->codes.mantissa_bits = f->mantissa_bits;
            m->times = (float)cm_exp2(15 - f->bias);
        }
    }
#endif
}

static inline void add_octave(double signal, double error, meter *m, uint64_t *octaves)
{
    if (error == 0) {
        m->sums.exact++;
    } else if (signal > 0 && signal <= 0x1.fffffffffffffp1023 && error <= 0x1.fffffffffffffp1023) {
        /* floor(log2(signal / error)), from the exponents, less 1 where the fraction of the signal is the smaller */
        octaves[1024 + ((int64_t)(cm_bits64(signal) - cm_bits64(error)) >> 52)]++;
    }
}

/* a block that is wide or long */
static inline void add_block(double signal, double error, meter *m, uint64_t *octaves)
{
    m->sums.signal += signal;
    m->sums.error += error;
    add_octave(signal, error, m, octaves);
}

/* eight blocks whose sums are within bounds, or both 0 where a block was wide */
static inline void take_eight(meter *m, const float *signals, const float *errors)
{
    int32_t at[8];
    uint32_t s[8], e[8], none = 0;
    memcpy(s, signals, sizeof s);
    memcpy(e, errors, sizeof e);
    for (int j = 0; j < 8; j++) m->signal[j] += (double)signals[j];
    for (int j = 0; j < 8; j++) m->error[j] += (double)errors[j];
    for (int j = 0; j < 8; j++) at[j] = ((int32_t)(s[j] - e[j]) >> 23) + NEAR;
    for (int j = 0; j < 8; j++) none |= e[j] == 0;
    if (!none)
        for (int j = 0; j < 8; j++) m->octaves[j & 1][at[j]]++;
    else
        for (int j = 0; j < 8; j++) m->octaves[j & 1][at[j]] += e[j] > 0;
}

static inline double sum_lanes(const double *lane)
{
    const double a = lane[0] + lane[4], b = lane[1] + lane[5], c = lane[2] + lane[6], d = lane[3] + lane[7];
    return (a + c) + (b + d);
}

static void end_chunk(meter *m, cm_error_sums *chunk, uint64_t *octaves)
{
    int32_t clipped[VL], flushed[VL];
    const double largest = (double)__builtin_sqrtf(cm_float32((uint32_t)vi_largest(m->lanes.largest)));
    if (m->waiting) {
        memset(m->signals + m->waiting, 0, 8 * sizeof *m->signals);
        memset(m->errors + m->waiting, 0, 8 * sizeof *m->errors);
        take_eight(m, m->signals, m->errors);
    }
    for (size_t i = 0; i < 2 * NEAR; i++) octaves[1024 - NEAR + i] += m->octaves[0][i] + m->octaves[1][i];
    memcpy(clipped, &m->lanes.clipped, sizeof clipped);
    memcpy(flushed, &m->lanes.flushed, sizeof flushed);
    *chunk = m->sums;
    chunk->signal += sum_lanes(m->signal);
    chunk->error += sum_lanes(m->error);
    chunk->largest = largest > chunk->largest ? largest : chunk->largest;
    for (int l = 0; l < VL; l++) chunk->clipped += (uint32_t)clipped[l], chunk->flushed += (uint32_t)flushed[l];
}

/* n numbers, at most CM_VALUE_CHUNK, under scales of `run` each */
static void numbers_of(const meter *m, const compared *c, size_t n, size_t run, const float *scales, const float *zeros, float *y)
{
    float values[CM_VALUE_CHUNK + VL];
    const cm_grid grid = {n, run, 1, 1, 1};
    const int safe = !cm_values(c->codes, c->first, n, c->count, m->spec, values) && cm_is_finite_positive(m->spec->tensor_scale);
    cm_products(values, scales, zeros, y, 0, n, safe, &grid, m->spec);
}

/* A unit in binary64; its largest difference as float32 unless it leaves that. Those that are NaN are left out. */
static void sum_widely(const float *x, const float *y, size_t n, double *signal, double *error, double *largest)
{
    double s[8] = {0}, e[8] = {0};
    for (size_t i = 0; i < n; i += 8)
        for (size_t j = 0; j < 8; j++) {
            const double a = x[i + j], d = a - y[i + j], magnitude = d < 0 ? -d : d;
            const double narrow = magnitude <= 0x1.fffffep127 ? (double)(float)magnitude : magnitude;
            s[j] += a * a;
            e[j] += d * d;
            *largest = narrow > *largest ? narrow : *largest;
        }
    *signal = sum_lanes(s), *error = sum_lanes(e);
}

static inline int is_wide(float signal, float error)
{
    return !(signal >= LEAST && signal <= MOST && error >= LEAST && error <= MOST);
}

/* whether any unit is wide, and, to `beyond`, whether any sum is above all bounds */
static inline int any_wide(const float *signals, const float *errors, size_t units, int *beyond)
{
    uint32_t s[UNITS], e[UNITS], most = 0, least = 0xffffffffu;
    memcpy(s, signals, units * sizeof *s);
    memcpy(e, errors, units * sizeof *e);
    for (size_t u = 0; u < units; u++) { /* bits of sums of squares, which have no sign but as NaN */
        const uint32_t a = s[u] & 0x7fffffffu, b = e[u] & 0x7fffffffu, high = a > b ? a : b, low = a < b ? a : b;
        most = high > most ? high : most;
        least = low < least ? low : least;
    }
    *beyond = most > cm_bits32(MOST);
    return *beyond || least < cm_bits32(LEAST);
}

/* Whether numbers of codes may be made in registers and limits be squared, and, to `flush`, whether any is zero: halves have no
 * infinity and no NaN, and no limit or factor is so small that squares or products vanish. */
static inline int in_registers(const meter *m, const uint8_t *codes, size_t n, size_t units, const float *most, const float *factor,
                               int *flush)
{
    uint32_t least = 0x7f800000u;
    uint8_t high = 0, low = 255;
    if (m->source == CM_METER_NUMBERS || m->how->low != -m->how->high) return 0;
    for (size_t u = 0; u < units; u++) {
        const uint32_t a = cm_bits32(most[u]) & 0x7fffffffu, b = cm_bits32(factor[u]) & 0x7fffffffu, both = a < b ? a : b;
        least = both < least ? both : least;
    }
    if (least < cm_bits32(0x1p-50f)) return 0;
    if (m->source != CM_METER_BYTES && m->source != CM_METER_HALVES) return 1;
    const uint8_t mask = (uint8_t)((1u << (m->codes.bits - 1)) - 1);
    for (size_t i = 0; i < n; i++) {
        const uint8_t a = codes[i] & mask;
        high = a > high ? a : high;
        low = a < low ? a : low;
    }
    *flush = low == 0;
    return high <= m->spec->format->max_code && !(*flush && m->spec->format->fnuz); /* a zero, or the NaN that looks like one */
}

/* units of `width` elements, blocks of their own or a part of one that is long */
static void add_units(meter *m, const compared *c, size_t units, size_t width, const float *scales, const float *zeros,
                      int is_long, uint64_t *octaves)
{
    float most[UNITS], least[UNITS], factor[UNITS], squared[UNITS], y[CM_VALUE_CHUNK];
    float *signals = m->signals + m->waiting, *errors = m->errors + m->waiting;
    const float high = m->how->high, low = m->how->low, tensor = m->spec->two_level ? m->spec->tensor_scale : 1;
    for (size_t u = 0; u < units; u++) {
        const float zero = zeros ? zeros[u] : 0, above = (high - zero) * scales[u] * tensor, below = (low - zero) * scales[u] * tensor;
        most[u] = below > above ? below : above; /* the scale may be negative */
        least[u] = below > above ? above : below;
        squared[u] = most[u] * most[u];
        factor[u] = scales[u] * m->times;
    }
    const float *back = c->y;
    const uint8_t *codes = c->codes + (m->spec->packed ? 0 : c->first);
    cm_meter_lanes lanes = m->lanes;
    int beyond = 1, wide = 1, flush = 1;
    if (!back && !zeros && in_registers(m, codes, units * width, units, most, factor, &flush)) {
        meter_sums(c->x, NULL, codes, units, width, factor, squared, least, m->source, m->spec->two_level, flush, &m->codes, &lanes,
                   signals, errors);
        wide = any_wide(signals, errors, units, &beyond);
    }
    if (wide && !back) numbers_of(m, c, units * width, width, scales, zeros, y), back = y;
    if (beyond) { /* squares may be infinite, of numbers or of limits */
        lanes = m->lanes;
        meter_sums(c->x, back, codes, units, width, factor, most, least, CM_METER_NUMBERS, 0, 1, &m->codes, &lanes, signals, errors);
        wide = any_wide(signals, errors, units, &beyond);
    }
    if (wide) lanes.largest = m->lanes.largest; /* what follows sees every unit */
    m->lanes = lanes;
    for (size_t u = 0; (wide || is_long) && u < units; u++) {
        double signal = (double)signals[u], error = (double)errors[u], s = 0, e = 0, largest = 0;
        const int is = is_wide(signals[u], errors[u]);
        if (wide) sum_widely(c->x + u * width, back + u * width, width, &s, &e, &largest);
        if (is) signal = s, error = e;
        m->sums.largest = largest > m->sums.largest ? largest : m->sums.largest;
        if (is_long) m->block_signal += signal, m->block_error += error;
        else if (is) add_block(signal, error, m, octaves), signals[u] = errors[u] = 0;
    }
    if (is_long) return;
    size_t taken = 0, all = m->waiting + units;
    for (; taken + 8 <= all; taken += 8) take_eight(m, m->signals + taken, m->errors + taken);
    m->waiting = all - taken;
    memmove(m->signals, m->signals + taken, 8 * sizeof *m->signals);
    memmove(m->errors, m->errors + taken, 8 * sizeof *m->errors);
}

/* n elements in blocks of `run`, at most CM_VALUE_CHUNK, units once they are filled up with zeros */
static void add_padded(meter *m, const compared *c, size_t n, size_t run, const float *scales, const float *zeros, int is_long,
                       uint64_t *octaves)
{
    const size_t width = (run + LANES - 1) / LANES * LANES, units = (n + run - 1) / run;
    float y[CM_VALUE_CHUNK], wide_x[CM_VALUE_CHUNK] = {0}, wide_y[CM_VALUE_CHUNK] = {0};
    const float *back = c->y;
    if (!back) numbers_of(m, c, n, run, scales, zeros, y), back = y;
    for (size_t u = 0, at = 0; u < units; u++, at += run) {
        const size_t count = n - at < run ? n - at : run;
        memcpy(wide_x + u * width, c->x + at, count * sizeof *wide_x);
        memcpy(wide_y + u * width, back + at, count * sizeof *wide_y);
    }
    const compared padded = {wide_x, wide_y, c->codes, 0, 0};
    add_units(m, &padded, units, width, scales, zeros, is_long, octaves);
}

static inline void step(compared *c, size_t n)
{
    c->x += n, c->first += n;
    if (c->y) c->y += n;
}

static void add_long_block(meter *m, compared c, size_t n, float scale, const float *zero, uint64_t *octaves)
{
    float scales[CM_VALUE_CHUNK / UNIT], zeros[CM_VALUE_CHUNK / UNIT];
    for (size_t u = 0; u < CM_VALUE_CHUNK / UNIT; u++) scales[u] = scale, zeros[u] = zero ? *zero : 0;
    m->block_signal = m->block_error = 0;
    for (size_t part; n >= UNIT; n -= part) {
        const size_t units = n < CM_VALUE_CHUNK ? n / UNIT : CM_VALUE_CHUNK / UNIT;
        part = units * UNIT;
        add_units(m, &c, units, UNIT, scales, zero ? zeros : NULL, 1, octaves);
        step(&c, part);
    }
    if (n) add_padded(m, &c, n, n, scales, zero ? zeros : NULL, 1, octaves);
    add_block(m->block_signal, m->block_error, m, octaves);
}

/* n elements in whole blocks of `run`, but for the last */
static void add_elements(meter *m, compared c, size_t n, size_t run, const float *scales, const float *zeros, uint64_t *octaves)
{
    const size_t width = (run + LANES - 1) / LANES * LANES;
    for (size_t part; n; n -= part, step(&c, part)) {
        if (run > UNIT && n > UNIT) {
            part = n < run ? n : run;
            add_long_block(m, c, part, *scales, zeros, octaves);
        } else if (run % LANES || n < run) {
            const size_t most = run > UNIT ? n : CM_VALUE_CHUNK / width * run;
            const size_t some = most / run > UNITS ? UNITS * run : most;
            part = n < some ? n : some;
            add_padded(m, &c, part, run > UNIT ? n : run, scales, zeros, 0, octaves);
        } else {
            size_t units = n / run < CM_VALUE_CHUNK / run ? n / run : CM_VALUE_CHUNK / run;
            units = units < UNITS ? units : UNITS;
            part = units * run;
            add_units(m, &c, units, run, scales, zeros, 0, octaves);
        }
        const size_t blocks = (part + run - 1) / run;
        scales += blocks;
        if (zeros) zeros += blocks;
    }
}

static CM_NOINLINE void measure_loop(const float *x, const uint8_t *codes, const float *scales, const float *zeros, size_t begin,
                                     size_t end, size_t lines, const cm_grid *given, const cm_value_spec *spec,
                                     const cm_measure_spec *how, cm_error_sums *chunks, uint64_t *octaves)
{
    const cm_grid grid = *given;
    const size_t per_line = cm_scales_per_line(&grid);
    meter m;
    for (size_t c = begin; c < end; c++) {
        size_t first = c * how->lines, last = first + how->lines < lines ? first + how->lines : lines, from = 0, to = grid.n;
        if (!how->lines) { /* several chunks in a line */
            const size_t in_line = (grid.n + how->segment - 1) / how->segment;
            first = c / in_line, last = first + 1, from = c % in_line * how->segment;
            to = from + how->segment < grid.n ? from + how->segment : grid.n;
        }
        begin_chunk(&m, spec, how);
        for (size_t line = first; line < last; line++) {
            const size_t row = cm_scale_row(&grid, line) * per_line + from / grid.run, at = line * grid.n + from;
            const compared all = {x + at, how->given ? how->given + at : NULL, codes, at, lines * grid.n};
            add_elements(&m, all, to - from, grid.run, scales + row, zeros ? zeros + row : NULL, octaves);
        }
        end_chunk(&m, &chunks[c - begin], octaves);
    }
}

void CM_NAME(cm_measure)(const float *x, const uint8_t *codes, const float *scales, const float *zeros, size_t begin, size_t end,
                         size_t lines, const cm_grid *grid, const cm_value_spec *spec, const cm_measure_spec *how,
                         cm_error_sums *chunks, uint64_t *octaves)
{
    cm_fpenv saved = cm_fpenv_enter();
    measure_loop(x, codes, scales, zeros, begin, end, lines, grid, spec, how, chunks, octaves);
    cm_fpenv_leave(saved);
}

typedef struct {
    meter m;
    const float *table;
    uint64_t *octaves;
} listener;

/* what the kernel of tiles has just done, and is in the first-level cache */
static void hear(const cm_tiling *g, const float *x, const uint8_t *codes, size_t first, size_t count, size_t columns)
{
    listener *l = g->listener;
    float scales[CM_VALUE_CHUNK], zeros[CM_VALUE_CHUNK];
    for (size_t b = 0; b < count; b++) {
        scales[b] = l->table ? l->table[((const uint8_t *)g->scales)[first + b]] : ((const float *)g->scales)[first + b];
        if (g->zeros) zeros[b] = (float)g->zeros[first + b];
    }
    const size_t n = count * columns;
    add_elements(&l->m, (compared){x, NULL, codes, 0, n}, n, columns, scales, g->zeros ? zeros : NULL, l->octaves);
}

void CM_NAME(cm_tiles_measured)(const cm_tiling *tiling, const cm_tile_spec *tiles, const float *table, const cm_value_spec *spec,
                                const cm_measure_spec *how, cm_error_sums *chunk, uint64_t *octaves)
{
    listener l = {.table = table, .octaves = octaves};
    cm_tiling heard = *tiling;
    begin_chunk(&l.m, spec, how);
    heard.hear = hear, heard.listener = &l;
    CM_NAME(cm_tiles_f32)(&heard, tiles);
    cm_fpenv saved = cm_fpenv_enter();
    end_chunk(&l.m, chunk, octaves);
    cm_fpenv_leave(saved);
}
