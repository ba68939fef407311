/* A chunk of a line: (value - zero) * scale * tensor scale, each operation rounded to binary32. */
#ifndef CHIPMETER_PRODUCTS_H
#define CHIPMETER_PRODUCTS_H

#include "quantize/values.h"

static inline int cm_is_finite_positive(float x) { return x > 0 && x <= 0x1.fffffep127f; }

static inline size_t cm_scales_per_line(const cm_grid *grid) { return (grid->n + grid->run - 1) / grid->run; }

/* which line of scales a line takes */
static inline size_t cm_scale_row(const cm_grid *grid, size_t line)
{
    const size_t m = line % grid->middle, l = line / grid->middle % grid->length, outer = line / grid->middle / grid->length;
    return (outer * ((grid->length + grid->repeat - 1) / grid->repeat) + l / grid->repeat) * grid->middle + m;
}

/* The product with the one NaN that every tier writes: that of the value where it is one, else the positive quiet one. */
static inline __attribute__((always_inline)) vf cm_with_stable_nan(vf value, vf product)
{
#if VL == 16
    const __mmask16 made = _mm512_cmp_ps_mask((__m512)product, (__m512)product, _CMP_UNORD_Q);
    const __mmask16 had = _mm512_cmp_ps_mask((__m512)value, (__m512)value, _CMP_UNORD_Q);
    const __m512 stable = _mm512_mask_mov_ps((__m512)product, made, _mm512_castsi512_ps(_mm512_set1_epi32(0x7fc00000)));
    return (vf)_mm512_mask_mov_ps(stable, had, (__m512)value);
#else
    const vi made = product != product, had = value != value;
    const vi stable = (0x7fc00000 & made) | ((vi)product & ~made);
    return (vf)(((vi)value & had) | (stable & ~had));
#endif
}

typedef struct {
    int zeros, two_level, careful;
} cm_product_kind;

static inline __attribute__((always_inline)) vf cm_product(vf value, vf scale, vf zero, vf tensor, const cm_product_kind k)
{
    vf y = (k.zeros ? value - zero : value) * scale;
    if (k.two_level) y = y * tensor;
    return k.careful ? cm_with_stable_nan(value, y) : y;
}

/* n values under scales that follow each other by `step` (1, or 0: one for all) */
static inline __attribute__((always_inline)) void cm_multiply(const float *restrict values, const float *restrict scales,
                                                              const float *restrict zeros, float *restrict y, size_t n,
                                                              int step, float tensor, const cm_product_kind kind)
{
    const vf t = vf_broadcast(tensor);
    vf s = vf_broadcast(scales[0]), z = vf_broadcast(kind.zeros ? zeros[0] : 0.0f);
    size_t i = 0;
    for (; i + VL <= n; i += VL) {
        if (step) s = vf_load(scales + i);
        if (step && kind.zeros) z = vf_load(zeros + i);
        vf_store(y + i, cm_product(vf_load(values + i), s, z, t, kind));
    }
    if (i < n) {
        float last[VL] = {0}, low[VL] = {0};
        if (step) memcpy(last, scales + i, (n - i) * sizeof *last), s = vf_load(last);
        if (step && kind.zeros) memcpy(low, zeros + i, (n - i) * sizeof *low), z = vf_load(low);
        vf_store(last, cm_product(vf_load(values + i), s, z, t, kind)); /* `values` is a buffer of whole vectors */
        memcpy(y + i, last, (n - i) * sizeof *last);
    }
}

static inline __attribute__((always_inline)) void cm_multiply_chunk(const float *values, const float *scales, const float *zeros,
                                                                    float *y, size_t at, size_t n, const cm_grid *grid,
                                                                    float tensor, const cm_product_kind kind)
{
    const size_t run = grid->run;
    if (run == 1) {
        cm_multiply(values, scales + at, zeros + (kind.zeros ? at : 0), y, n, 1, tensor, kind);
    } else if (run % VL == 0 || run >= grid->n) {
        for (size_t i = 0, next; i < n; i = next) {
            const size_t block = (at + i) / run;
            next = (block + 1) * run - at;
            next = next < n ? next : n;
            cm_multiply(values + i, scales + block, zeros + (kind.zeros ? block : 0), y + i, next - i, 0, tensor, kind);
        }
    } else {
        float wide[CM_VALUE_CHUNK], low[CM_VALUE_CHUNK];
        for (size_t i = 0, block = at / run, left = run - at % run; i < n; i++) {
            wide[i] = scales[block];
            if (kind.zeros) low[i] = zeros[block];
            if (--left == 0) block++, left = run;
        }
        cm_multiply(values, wide, low, y, n, 1, tensor, kind);
    }
}

static inline int cm_all_finite(const float *scales, size_t n)
{
    uint32_t most = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t a = cm_bits32(scales[i]) & 0x7fffffffu;
        most = a > most ? a : most;
    }
    return most < 0x7f800000u;
}

/* Elements at .. at + n of a line; `scales` and `zeros` are the line's. `safe` says that no value and no tensor scale is NaN,
 * infinite or (the tensor scale) zero. */
static inline void cm_products(const float *restrict values, const float *scales, const float *zeros, float *restrict y,
                               size_t at, size_t n, int safe, const cm_grid *grid, const cm_value_spec *spec)
{
    const size_t from = at / grid->run, to = (at + n - 1) / grid->run + 1;
    const int careful = !safe || !cm_all_finite(scales + from, to - from);
#define CM_KIND(z, two, c)                                                                                           \
    case (z) << 2 | (two) << 1 | (c):                                                                                \
        cm_multiply_chunk(values, scales, zeros, y, at, n, grid, spec->tensor_scale, (cm_product_kind){z, two, c});  \
        break;
    switch ((zeros != NULL) << 2 | (spec->two_level != 0) << 1 | careful) {
        CM_KIND(0, 0, 0) CM_KIND(0, 0, 1) CM_KIND(0, 1, 0) CM_KIND(0, 1, 1)
        CM_KIND(1, 0, 0) CM_KIND(1, 0, 1) CM_KIND(1, 1, 0) CM_KIND(1, 1, 1)
    }
#undef CM_KIND
}

#endif
