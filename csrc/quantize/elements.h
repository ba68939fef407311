/* The elements of tiles: x times or over the factor of their tile, then one rounding to a code. */
#ifndef CHIPMETER_ELEMENTS_H
#define CHIPMETER_ELEMENTS_H

#include "formats/encode.h"
#include "quantize/scales.h"

enum { PATH_FAST, PATH_FAST_POSITIVE_ZERO, PATH_INTEGER, PATH_TABLE, PATH_GENERAL };
enum { CM_RUN = 512 }; /* elements that the general path scales before it encodes them */

typedef struct {
    const cm_tile_spec *t;
    cm_fast_spec fast, scale_fast;
    uint32_t largest; /* float32 bits of the largest element */
    float unit, low, high;
    int path, divide;
} cm_plan; /* read through local copies: codes are bytes, which might alias anything else */

static inline cm_plan cm_plan_of(const cm_tile_spec *t)
{
    cm_plan p = {.t = t, .unit = t->unit, .low = (float)t->low, .high = (float)t->high};
    p.divide = t->scale == CM_TILE_DIVIDE || t->scale == CM_TILE_FP4_MODELOPT || t->scale == CM_TILE_FP4_COMPRESSED;
    p.path = t->element_kind == CM_ELEMENT_INTEGER ? PATH_INTEGER : t->element_kind == CM_ELEMENT_TABLE ? PATH_TABLE : PATH_GENERAL;
    if (t->scale_encode) p.scale_fast = cm_fast_spec_of(t->scale_encode);
    if (p.path == PATH_GENERAL && cm_fast_spec_holds(t->element)) {
        p.fast = cm_fast_spec_of(t->element);
        p.largest = (t->element->max_code << p.fast.drop) + p.fast.first_normal - (1u << 23);
        int fits = p.fast.kind == CM_FAST_PLAIN && t->element->overflow[0] == t->element->max_code
                   && t->element->max_code >> t->element->mantissa_bits;
        if (fits && t->zeros == CM_ZEROS_KEPT) p.path = PATH_FAST;
        if (fits && t->zeros == CM_ZERO_NUMBERS_POSITIVE) p.path = PATH_FAST_POSITIVE_ZERO;
    }
    return p;
}

/* whether no product or quotient with this factor is NaN */
static inline vu cm_tame(vu amax, vf factor)
{
    return (vu)((vi)amax < 0x7f800000) & (vu)(((vu)factor & 0x7fffffffu) - 1 < 0x7f7fffffu);
}

/* nearest even, saturating first: what lies beyond the largest rounds as the largest does */
static inline __attribute__((always_inline)) vu encode_saturating(vf y, const cm_plan *p, int path)
{
    const cm_fast_spec *f = &p->fast;
    vu bits = (vu)y, magnitude = (vu)vi_min((vi)(bits & 0x7fffffffu), vi_set((int32_t)p->largest));
    vu code = vu_shift_right(magnitude + f->round + (vu_shift_right(magnitude, f->drop) & 1), f->drop);
    vu subnormal = (vu)((vf)magnitude + f->magic) - cm_bits32(f->magic);
    code = vu_below(magnitude, (int32_t)f->first_normal, subnormal, code);
    vu sign = vu_shift_right(bits, f->sign_shift) & f->sign;
    if (path == PATH_FAST_POSITIVE_ZERO) sign &= (vu)(magnitude != 0);
    return code | sign;
}

static inline __attribute__((always_inline)) vu encode_integer(vf y, vf zero, const cm_plan *p)
{
    const vf low = vf_set(p->low) - zero, high = vf_set(p->high) - zero;
    vu number = (vu)(y == y);
    vf whole = vf_nearest(vf_clamp(y * p->unit, low, high)) + zero;
    return (vu)vi_truncate((vf)((vu)whole & number)) & 0xffu;
}

static inline __attribute__((always_inline)) vu encode_table(vf y, const cm_tile_spec *t)
{
    vi code = vi_set(0);
    for (int32_t k = 0; k < t->midpoint_count; k++) code -= y > vf_set(t->midpoints[k]);
    return vu_where((vu)(y == y), (vu)code, (uint32_t)t->nan_code + (vu){0});
}

/* one vector by a path that takes vectors */
static inline __attribute__((always_inline)) vu encode_vector(const float *x, vf factor, vf zero, const cm_plan *p, int path, int divide)
{
    vf y = vf_load(x);
    y = divide ? y / factor : y * factor;
    if (path == PATH_INTEGER) return encode_integer(y, zero, p);
    if (path == PATH_TABLE) return encode_table(y, p->t);
    return encode_saturating(y, p, path);
}

/* `each` says that every element has a factor (and zero point) of its own; else the first serves all */
static inline __attribute__((always_inline)) void encode_run(const float *x, const float *factor, const float *zero, uint8_t *codes,
                                                             size_t n, const cm_plan *given, int path, int divide, int each)
{
    const cm_plan copy = *given, *p = &copy;
    size_t i = 0;
    vf f = vf_set(*factor), z = vf_set(path == PATH_INTEGER ? *zero : 0.0f);
    for (; i + VL <= n; i += VL) {
        if (i % 16 == 0) __builtin_prefetch(x + i + CM_PREFETCH); /* here, where arithmetic leaves the time for it */
        if (each) f = vf_load(factor + i);
        if (each && path == PATH_INTEGER) z = vf_load(zero + i);
        vu_store_u8(codes + i, encode_vector(x + i, f, z, p, path, divide));
    }
    if (i == n) return;
    float last[VL] = {0}, factors[VL] = {0}, zeros[VL] = {0};
    uint8_t out[VL];
    memcpy(last, x + i, (n - i) * sizeof *x);
    if (each) {
        memcpy(factors, factor + i, (n - i) * sizeof *x), f = vf_load(factors);
        if (path == PATH_INTEGER) memcpy(zeros, zero + i, (n - i) * sizeof *x), z = vf_load(zeros);
    }
    vu_store_u8(out, encode_vector(last, f, z, p, path, divide));
    memcpy(codes + i, out, n - i);
}

/* The product or quotient of x and a factor with the one NaN that every compiler and tier writes: a positive one where
 * the factor is NaN or the operation invalid, else that of x. */
static inline uint32_t with_stable_nan(float x, float factor, float result)
{
    uint32_t of_x = cm_mask32((cm_bits32(x) & 0x7fffffffu) > 0x7f800000u);
    uint32_t of_factor = cm_mask32((cm_bits32(factor) & 0x7fffffffu) > 0x7f800000u);
    uint32_t made = cm_mask32((cm_bits32(result) & 0x7fffffffu) > 0x7f800000u);
    return cm_select32(of_x & ~of_factor, cm_bits32(x), cm_select32(made, 0x7fc00000u, cm_bits32(result)));
}

#define CM_GENERAL_MODE(mode)                                                                                        \
    case mode:                                                                                                       \
        for (size_t k = 0; k < count; k++) codes[i + k] = (uint8_t)cm_encode_f32(y[k], mode, &element);              \
        break;

/* any float element, rounding, NaN and zero rule */
static CM_NOINLINE void encode_general(const float *x, const float *factor, int each, uint8_t *restrict codes, size_t n, const cm_plan *p)
{
    const cm_encode_spec element = *p->t->element;
    const int32_t zeros = p->t->zeros;
    uint32_t y[CM_RUN];
    for (size_t i = 0; i < n; i += CM_RUN) {
        const size_t count = n - i < CM_RUN ? n - i : CM_RUN;
        for (size_t k = 0; k < count; k++) {
            float f = factor[each ? i + k : 0];
            y[k] = with_stable_nan(x[i + k], f, p->divide ? x[i + k] / f : x[i + k] * f);
        }
        if (p->t->ties_to_zero) /* ties toward zero are ties away from it of the float32 below */
            for (size_t k = 0; k < count; k++) y[k] -= (y[k] & 0x7fffffffu) - 1 < 0x7f7fffffu;
        switch (element.rounding) {
            CM_GENERAL_MODE(CM_NEAREST_EVEN)
            CM_GENERAL_MODE(CM_NEAREST_AWAY)
            CM_GENERAL_MODE(CM_TOWARD_ZERO)
        }
        for (size_t k = 0; k < count && zeros == CM_ZERO_CODES_POSITIVE; k++)
            codes[i + k] = codes[i + k] == element.zero[1] ? 0 : codes[i + k];
        for (size_t k = 0; k < count && zeros == CM_ZERO_NUMBERS_POSITIVE; k++)
            codes[i + k] = (y[k] & 0x7fffffffu) ? codes[i + k] : 0;
    }
}

#define CM_ENCODE_CASE(path)                                                                                         \
    case path:                                                                                                       \
        if (p->divide && each) encode_run(x, factor, zero, codes, n, p, path, 1, 1);                                 \
        else if (p->divide) encode_run(x, factor, zero, codes, n, p, path, 1, 0);                                    \
        else if (each) encode_run(x, factor, zero, codes, n, p, path, 0, 1);                                         \
        else encode_run(x, factor, zero, codes, n, p, path, 0, 0);                                                   \
        break;

/* tame: no product or quotient is NaN */
static inline __attribute__((always_inline)) void encode_elements(const float *x, const float *factor, const float *zero, int each,
                                                                  int tame, uint8_t *codes, size_t n, const cm_plan *p)
{
    switch (tame || p->path == PATH_INTEGER || p->path == PATH_TABLE ? p->path : PATH_GENERAL) {
        CM_ENCODE_CASE(PATH_FAST)
        CM_ENCODE_CASE(PATH_FAST_POSITIVE_ZERO)
        CM_ENCODE_CASE(PATH_INTEGER)
        CM_ENCODE_CASE(PATH_TABLE)
    default: encode_general(x, factor, each, codes, n, p);
    }
}

#endif
