/* "4 over 6": of two scales of a tile, which send its largest magnitude to 4 or to 6, the one with the smaller error. */
#ifndef CHIPMETER_ADAPTIVE_H
#define CHIPMETER_ADAPTIVE_H

#include "quantize/largest.h"

/* e2m1 of a number to nearest even, as a number: adding 1.5 * 2^23 steps leaves whole steps */
static inline __attribute__((always_inline)) vf e2m1_magnitude(vf y)
{
    vf m = (vf)vi_min((vi)y & 0x7fffffff, vi_set((int32_t)cm_bits32(6.0f)));
    vf magic = vf_where(m < vf_set(2), vf_set(0x1.8p22f), vf_where(m < vf_set(4), vf_set(0x1.8p23f), vf_set(0x1.8p24f)));
    return (m + magic) - magic;
}

/* lane b: element `at` of tile b */
static inline __attribute__((always_inline)) vf load_lanes(const float *x, size_t count)
{
#if VL == 16
    if (count == VL) {
        const __m512i at = _mm512_slli_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), 4);
        return (vf)_mm512_i32gather_ps(at, x, 4);
    }
#endif
    float lanes[VL] = {0};
    for (size_t b = 0; b < count; b++) lanes[b] = x[16 * b];
    return vf_load(lanes);
}

typedef struct {
    vf value, factor; /* of the scale: decoded; what elements are multiplied with */
    vf rows[8];       /* errors of rows k and k + 8 */
    vf row;
    vu code;
} cm_candidate;

static inline cm_candidate candidate(vf wanted, const cm_tile_spec *t, const cm_fast_spec *fast)
{
    cm_candidate c = {.code = encode_scales(vf_where(wanted > vf_set(CM_FLT_MAX), vf_set(CM_FLT_MAX), wanted), t, fast)};
    c.value = decode_scales(c.code, t->scale_decode);
    c.factor = 1.0f / (c.value * (1.0f / t->tensor));
    c.factor = vf_where(c.factor > vf_set(CM_FLT_MAX), vf_set(CM_FLT_MAX), c.factor);
    return c;
}

/* The error of an element joins that of its row. All in magnitudes: x and what it becomes have the same sign. */
static inline __attribute__((always_inline)) void add_error(cm_candidate *c, vf x, const cm_tile_spec *t, int squared)
{
    vf back = e2m1_magnitude(x * c->factor) * c->value * t->tensor_amax / t->top;
    vf d = back - (vf)((vi)x & 0x7fffffff);
    c->row += squared ? d * d : (vf)((vi)d & 0x7fffffff);
}

/* rows in the order of NumPy's sum of at most 16 numbers */
static inline vf error_of(const cm_candidate *c)
{
    const vf *r = c->rows;
    return ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
}

static inline __attribute__((always_inline)) void choose_lanes(cm_tile_lanes *l, cm_rows tiles, size_t b, size_t count, size_t columns,
                                                               const cm_tile_spec *t, const cm_fast_spec *fast, int squared)
{
    vf base = vf_load((const float *)(const void *)(l->amax + b)) / t->limit * t->tensor;
    cm_candidate four = candidate(base * 1.5f, t, fast), six = candidate(base, t, fast);
    for (size_t r = 0; r < tiles.rows; r++) {
        four.row = six.row = vf_set(0);
        for (size_t i = 0; i < columns; i++) {
            vf x = load_lanes(tiles.x + r * tiles.stride + i, count);
            add_error(&four, x, t, squared);
            add_error(&six, x, t, squared);
        }
        four.rows[r % 8] += four.row, six.rows[r % 8] += six.row;
    }
    vi better = error_of(&four) < error_of(&six);
    vu_store_u32(l->stored + b, vu_where((vu)better, four.code, six.code));
    vf_store(l->factor + b, vf_where(better, four.factor, six.factor));
}

/* tiles of at most 16 rows, 16 columns wide or one that is narrower */
static CM_NOINLINE void choose_scales(cm_tile_lanes *l, cm_rows tiles, size_t count, size_t columns, const cm_tile_spec *t,
                                      const cm_fast_spec *fast)
{
    for (size_t b = 0; b < count; b += VL, tiles.x += VL * columns) {
        const size_t lanes = count - b < VL ? count - b : VL;
        if (t->adaptive == CM_ADAPTIVE_SQUARED) choose_lanes(l, tiles, b, lanes, columns, t, fast, 1);
        else choose_lanes(l, tiles, b, lanes, columns, t, fast, 0);
    }
}

#endif
