/* From the largest magnitudes of tiles to their scales, a vector of tiles at a time. */
#ifndef CHIPMETER_SCALES_H
#define CHIPMETER_SCALES_H

#include "formats/encode_fast.h"

#define CM_MOST_LANES 1024 /* tiles whose scales are computed side by side */

typedef struct {
    uint32_t amax[CM_MOST_LANES];   /* bits of the largest magnitude; NaN if any element is */
    float least[CM_MOST_LANES];     /* least and largest number, 0 among them: mappings with a zero point */
    float most[CM_MOST_LANES];
    uint32_t stored[CM_MOST_LANES]; /* what is written as the scale */
    float factor[CM_MOST_LANES];    /* what elements are multiplied with or divided by */
    float zero[CM_MOST_LANES];
} cm_tile_lanes;

static inline vf vf_where(vi mask, vf yes, vf no) { return (vf)vu_where((vu)mask, (vu)yes, (vu)no); }
static inline vf vf_least(vf a, vf b) { return vf_where(a < b, a, b); } /* b where either is NaN */
static inline vi vf_is_finite(vf x) { return ((vi)x & 0x7fffffff) < 0x7f800000; }

#define CM_FLT_MAX 0x1.fffffep127f
#define CM_FLT_MIN 0x1p-126f

/* positive scale codes to float32; the one above the largest is NaN */
static inline vf decode_scales(vu code, const cm_decode_spec *spec)
{
    const uint32_t mantissa = (uint32_t)spec->mantissa_bits;
    vu normal = (code << (23 - mantissa)) + ((uint32_t)(127 - spec->bias) << 23);
    vf unit = vf_set(cm_float32((uint32_t)(128 - spec->bias - spec->mantissa_bits) << 23));
    vu subnormal = (vu)(vf_of_integers((vi)code) * unit);
    vu small = (vu)(code < (1u << mantissa) + (vu){0}), nan = (vu)(code > spec->max_code + (vu){0});
    return (vf)((((subnormal & small) | (normal & ~small)) & ~nan) | (0x7fc00000u & nan));
}

/* codes of scales that are not negative: the largest above it, the code above the largest for NaN */
static inline vu encode_scales(vf scale, const cm_tile_spec *t, const cm_fast_spec *fast)
{
    vu nan = (vu)(scale != scale);
    vu code = cm_encode_fast((vu)vf_least(scale, vf_set(t->scale_max)), fast, CM_FAST_PLAIN, 0);
    return vu_where(nan, t->scale_decode->max_code + 1 + (vu){0}, code);
}

/* 2^(127 - byte): exact for every byte, subnormal for 254, NaN for 255 */
static inline vf inverse_power(vu byte)
{
    vu bits = (254 - byte) << 23;
    bits = vu_where((vu)(byte == 254), 0x00400000u + (vu){0}, bits);
    return (vf)vu_where((vu)(byte == 255), 0x7fc00000u + (vu){0}, bits);
}

static inline void scale_power(cm_tile_lanes *l, size_t b, const cm_tile_spec *t)
{
    vu amax = vu_load(l->amax + b);
    vi exponent = (vi)vu_shift_right(amax, 23);
    vi carry = ((vi)(amax & 0x7fffffu) >= (int32_t)t->carry_from) & (amax != 0);
    vi lost = exponent == 255;
    if (t->carry_overflows) lost |= (exponent == 254) & carry;
    vi byte = vi_min(vi_max(exponent - t->max_exponent - carry, vi_set(0)), vi_set(254));
    vu stored = vu_where((vu)lost, 255 + (vu){0}, (vu)byte);
    vu_store_u32(l->stored + b, stored);
    vf_store(l->factor + b, inverse_power(stored));
}

/* up to a power of two between 2^-126 and 2^127; infinity and NaN stay */
static inline vf power_of_two_up(vf x)
{
    vi bits = (vi)x, exponent = (vi)vu_shift_right((vu)bits, 23) - ((bits & 0x7fffff) > 0);
    vf power = (vf)(vi_min(vi_max(exponent, vi_set(1)), vi_set(254)) << 23);
    return vf_where(vf_is_finite(x), power, x);
}

static inline void scale_float(cm_tile_lanes *l, size_t b, const cm_tile_spec *t, int kind)
{
    vf amax = (vf)vi_max(vi_load((const int32_t *)l->amax + b), vi_set((int32_t)cm_bits32(t->smallest)));
    vi zero = amax == vf_set(0);
    vf scale, factor;
    if (kind == CM_TILE_MULTIPLIER) {
        factor = vf_least(vf_set(t->limit) / amax, vf_set(CM_FLT_MAX));
        if (t->power_of_two) factor = (vf)((vu)factor & 0x7f800000u);
        factor = vf_where(zero | ~vf_is_finite(amax), vf_set(1), factor);
        scale = 1.0f / factor;
    } else {
        scale = amax / t->limit;
        if (t->power_of_two) scale = power_of_two_up(scale);
        scale = vf_where(scale == vf_set(0), vf_where(zero, vf_set(1), vf_set(0x1p-149f)), scale);
        factor = kind == CM_TILE_RECIPROCAL ? 1.0f / scale : scale;
    }
    vf_store((float *)(void *)(l->stored + b), scale);
    vf_store(l->factor + b, factor);
}

static inline void scale_fp4(cm_tile_lanes *l, size_t b, const cm_tile_spec *t, const cm_fast_spec *fast, int kind)
{
    vf amax = vf_load((const float *)(const void *)(l->amax + b)), wanted, value, factor;
    vu code;
    if (kind == CM_TILE_FP4_TORCHAO) {
        wanted = amax / t->limit / t->tensor;
        /* what is not at least the least takes it, infinity over infinity too; NaN in the block stays NaN */
        wanted = vf_where(wanted >= vf_set(t->scale_min), wanted, vf_where(amax != amax, amax, vf_set(t->scale_min)));
        code = encode_scales(wanted, t, fast);
        factor = 1.0f / t->tensor / decode_scales(code, t->scale_decode);
    } else if (kind == CM_TILE_FP4_MODELOPT) {
        wanted = amax / (t->limit * t->tensor);
        wanted = vf_where(wanted == vf_set(0), vf_set(1), wanted);
        wanted = vf_where(wanted < vf_set(t->scale_min), vf_set(t->scale_min), wanted);
        code = encode_scales(wanted, t, fast);
        factor = decode_scales(code, t->scale_decode) * t->tensor;
    } else if (kind == CM_TILE_FP4_TE) {
        code = encode_scales(amax * (t->tensor * (1 / 6.0f)), t, fast);
        value = decode_scales(code, t->scale_decode) * (1.0f / t->tensor);
        factor = 1.0f / value;
        factor = vf_where(factor > vf_set(CM_FLT_MAX), vf_set(CM_FLT_MAX), factor);
    } else {
        code = encode_scales(t->tensor * (amax / t->limit), t, fast);
        code = vu_where((vu)(code == 0), t->zero_scale + (vu){0}, code);
        factor = decode_scales(code, t->scale_decode) / t->tensor;
    }
    vu_store_u32(l->stored + b, code);
    vf_store(l->factor + b, factor);
}

/* to nearest even for |x| < 2^22 */
static inline vf vf_nearest(vf x) { return (x + 12582912.0f) - 12582912.0f; }
static inline vf vf_clamp(vf x, vf low, vf high)
{
    x = vf_where(x < low, low, x);
    return vf_where(x > high, high, x);
}

static inline void scale_integers(cm_tile_lanes *l, size_t b, const cm_tile_spec *t, int kind)
{
    const vf low = vf_set((float)t->low), high = vf_set((float)t->high);
    vf amax = vf_load((const float *)(const void *)(l->amax + b)), least = vf_load(l->least + b), most = vf_load(l->most + b);
    vf scale, zero = vf_set((float)t->zero_point);
    if (kind == CM_TILE_SYMMETRIC) {
        scale = amax / ((float)(t->high - t->low) / 2);
    } else if (kind == CM_TILE_NO_CLIPPING) {
        vf below = least / low, above = most / high;
        scale = vf_where(below > above, below, above);
    } else {
        scale = (most - least) / (float)(t->high - t->low);
    }
    scale = vf_where(scale < vf_set(CM_FLT_MIN), vf_set(CM_FLT_MIN), scale);
    scale = vf_where(amax != amax, (vf)((vi)amax | 0x400000), scale);
    if (kind == CM_TILE_AFFINE) {
        vf at = least / scale; /* not positive; NaN, of an infinite or NaN scale, counts as 0 */
        zero = vf_clamp(low - vf_nearest(vf_clamp(vf_where(at == at, at, vf_set(0)), vf_set(-512), vf_set(0))), low, high);
    }
    vf_store((float *)(void *)(l->stored + b), scale);
    vf_store(l->factor + b, 1.0f / scale);
    vf_store(l->zero + b, zero);
}

static inline void scale_table(cm_tile_lanes *l, size_t b)
{
    vf amax = vf_load((const float *)(const void *)(l->amax + b));
    vf_store((float *)(void *)(l->stored + b), amax);
    vf_store(l->factor + b, 1.0f / vf_where(amax < vf_set(1e-38f), vf_set(1e-38f), amax));
}

#define CM_SCALE_LOOP(...)                                                                                           \
    for (size_t b = 0; b < count; b += VL) __VA_ARGS__;                                                              \
    break;
#define CM_SCALE_CASE(kind, rule, ...)                                                                               \
    case kind:                                                                                                       \
        CM_SCALE_LOOP(rule(l, b, t, __VA_ARGS__))

/* lanes beyond `count`, up to a whole vector, are computed as well and mean nothing */
static inline __attribute__((always_inline)) void find_scales(cm_tile_lanes *l, size_t count, const cm_tile_spec *t, const cm_fast_spec *fast)
{
    switch (t->scale) {
    case CM_TILE_POWER: CM_SCALE_LOOP(scale_power(l, b, t))
    CM_SCALE_CASE(CM_TILE_DIVIDE, scale_float, CM_TILE_DIVIDE)
    CM_SCALE_CASE(CM_TILE_RECIPROCAL, scale_float, CM_TILE_RECIPROCAL)
    CM_SCALE_CASE(CM_TILE_MULTIPLIER, scale_float, CM_TILE_MULTIPLIER)
    CM_SCALE_CASE(CM_TILE_FP4_TORCHAO, scale_fp4, fast, CM_TILE_FP4_TORCHAO)
    CM_SCALE_CASE(CM_TILE_FP4_TE, scale_fp4, fast, CM_TILE_FP4_TE)
    CM_SCALE_CASE(CM_TILE_FP4_MODELOPT, scale_fp4, fast, CM_TILE_FP4_MODELOPT)
    CM_SCALE_CASE(CM_TILE_FP4_COMPRESSED, scale_fp4, fast, CM_TILE_FP4_COMPRESSED)
    CM_SCALE_CASE(CM_TILE_SYMMETRIC, scale_integers, CM_TILE_SYMMETRIC)
    CM_SCALE_CASE(CM_TILE_NO_CLIPPING, scale_integers, CM_TILE_NO_CLIPPING)
    CM_SCALE_CASE(CM_TILE_AFFINE, scale_integers, CM_TILE_AFFINE)
    case CM_TILE_TABLE: CM_SCALE_LOOP(scale_table(l, b))
    }
}

#endif
