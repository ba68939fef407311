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

/* Sixteen numbers of each of VL rows, 16 apart, to a vector for each column; columns and rows that are not there are 0. */
static inline __attribute__((always_inline)) void load_columns(const float *x, size_t rows, size_t columns, vf *out)
{
#if VL == 16
    if (rows == 16 && columns == 16) {
        __m512i a[16], b[16];
        for (int i = 0; i < 16; i++) a[i] = _mm512_loadu_si512(x + 16 * i);
        for (int i = 0; i < 16; i += 2)
            b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]), b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
        for (int i = 0; i < 16; i += 4)
            for (int k = 0; k < 2; k++)
                a[i + 2 * k] = _mm512_unpacklo_epi64(b[i + k], b[i + 2 + k]), a[i + 2 * k + 1] = _mm512_unpackhi_epi64(b[i + k], b[i + 2 + k]);
        for (int k = 0; k < 4; k++) { /* a[4 r + k]: columns 4 l + k of rows 4 r .. 4 r + 3 in part l */
            __m512i even0 = _mm512_shuffle_i32x4(a[k], a[4 + k], 0x88), odd0 = _mm512_shuffle_i32x4(a[k], a[4 + k], 0xdd);
            __m512i even1 = _mm512_shuffle_i32x4(a[8 + k], a[12 + k], 0x88), odd1 = _mm512_shuffle_i32x4(a[8 + k], a[12 + k], 0xdd);
            out[k] = (vf)_mm512_shuffle_i32x4(even0, even1, 0x88), out[8 + k] = (vf)_mm512_shuffle_i32x4(even0, even1, 0xdd);
            out[4 + k] = (vf)_mm512_shuffle_i32x4(odd0, odd1, 0x88), out[12 + k] = (vf)_mm512_shuffle_i32x4(odd0, odd1, 0xdd);
        }
        return;
    }
#endif
    float lanes[16][VL] = {{0}};
    for (size_t b = 0; b < rows; b++)
        for (size_t i = 0; i < columns; i++) lanes[i][b] = x[16 * b + i];
    for (int i = 0; i < 16; i++) out[i] = vf_load(lanes[i]);
}

typedef struct {
    vf value, factor; /* of the scale: decoded; what elements are multiplied with */
    vf one, three;    /* what the elements 1 and 1.5 become: the others but 0 are these times a power of two */
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
    c.one = c.value * t->tensor_amax / t->top, c.three = 1.5f * c.value * t->tensor_amax / t->top;
    return c;
}

/* whether no power of two takes what elements become out of the normal numbers */
static inline int is_moderate(const cm_candidate *c)
{
    vi moderate = (c->value == vf_set(0)) | ((c->one > vf_set(0x1p-100f)) & (c->three < vf_set(0x1p100f)));
    return vi_sign_bits(moderate) == (uint32_t)((1ull << VL) - 1);
}

/* The error of an element joins that of its row. All in magnitudes: x and what it becomes have the same sign. */
static inline __attribute__((always_inline)) void add_error(cm_candidate *c, vf x, const cm_tile_spec *t, int squared,
                                                            int moderate)
{
    vf element = e2m1_magnitude(x * c->factor), back;
    if (moderate) back = vf_where(((vi)element & 0x400000) != 0, c->three, c->one) * (vf)((vi)element & 0x7f800000);
    else back = element * c->value * t->tensor_amax / t->top;
    vf d = back - (vf)((vi)x & 0x7fffffff);
    c->row += squared ? d * d : (vf)((vi)d & 0x7fffffff);
}

/* rows in the order of NumPy's sum of at most 16 numbers */
static inline vf error_of(const cm_candidate *c)
{
    const vf *r = c->rows;
    return ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
}

static inline __attribute__((always_inline)) void add_errors(cm_candidate *four, cm_candidate *six, cm_rows tiles, size_t count,
                                                             size_t columns, const cm_tile_spec *t, int squared, int moderate)
{
    vf x[16];
    for (size_t r = 0; r < tiles.rows; r++) {
        four->row = six->row = vf_set(0);
        load_columns(tiles.x + r * tiles.stride, count, columns, x);
        for (int i = 0; i < 16; i++) {
            add_error(four, x[i], t, squared, moderate);
            add_error(six, x[i], t, squared, moderate);
        }
        four->rows[r % 8] += four->row, six->rows[r % 8] += six->row;
    }
}

static inline __attribute__((always_inline)) void choose_lanes(cm_tile_lanes *l, cm_rows tiles, size_t b, size_t count, size_t columns,
                                                               const cm_tile_spec *t, const cm_fast_spec *fast, int squared)
{
    vf base = vf_load((const float *)(const void *)(l->amax + b)) / t->limit * t->tensor;
    cm_candidate four = candidate(base * 1.5f, t, fast), six = candidate(base, t, fast);
    if (is_moderate(&four) && is_moderate(&six)) add_errors(&four, &six, tiles, count, columns, t, squared, 1);
    else add_errors(&four, &six, tiles, count, columns, t, squared, 0);
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
