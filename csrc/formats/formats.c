/* Number formats: real numbers to codes and back. */
#include "formats/decode.h"
#include "formats/encode.h"
#include "formats/encode_fast.h"
#include "fpenv.h"
#include "formats/stochastic.h"
#include "tier.h"

#define CM_FAST cm_encode_fast_u8
#define CM_STOCHASTIC cm_encode_stochastic_u8
#define CM_SOURCE float
#define CM_BITS cm_bits32
#define CM_CODE uint8_t
#define CM_ENCODE_ONE cm_encode_f32
#define CM_LOOP encode_loop_f32_u8
#include "formats/encode_loop.inc.c"

#define CM_FAST cm_encode_fast_u16
#define CM_STOCHASTIC cm_encode_stochastic_u16
#define CM_SOURCE float
#define CM_BITS cm_bits32
#define CM_CODE uint16_t
#define CM_ENCODE_ONE cm_encode_f32
#define CM_LOOP encode_loop_f32_u16
#include "formats/encode_loop.inc.c"

#define CM_FAST cm_encode_fast_u32
#define CM_STOCHASTIC cm_encode_stochastic_u32
#define CM_SOURCE float
#define CM_BITS cm_bits32
#define CM_CODE uint32_t
#define CM_ENCODE_ONE cm_encode_f32
#define CM_LOOP encode_loop_f32_u32
#include "formats/encode_loop.inc.c"

#define CM_SOURCE double
#define CM_BITS cm_bits64
#define CM_CODE uint8_t
#define CM_ENCODE_ONE cm_encode_f64
#define CM_LOOP encode_loop_f64_u8
#include "formats/encode_loop.inc.c"

#define CM_SOURCE double
#define CM_BITS cm_bits64
#define CM_CODE uint16_t
#define CM_ENCODE_ONE cm_encode_f64
#define CM_LOOP encode_loop_f64_u16
#include "formats/encode_loop.inc.c"

#define CM_SOURCE double
#define CM_BITS cm_bits64
#define CM_CODE uint32_t
#define CM_ENCODE_ONE cm_encode_f64
#define CM_LOOP encode_loop_f64_u32
#include "formats/encode_loop.inc.c"

/* Only the stochastic path converts between float types, but every entry keeps the one rule: enter, work, leave. */
#define CM_ENCODE_ENTRY(name, source, code)                                                                          \
    static void CM_NAME(encode_##name)(const source *x, code *codes, size_t n, const cm_encode_spec *spec,           \
                                       const cm_random *random)                                                      \
    {                                                                                                                \
        cm_fpenv saved = cm_fpenv_enter();                                                                           \
        CM_NAME(encode_loop_##name)(x, codes, n, spec, random);                                                      \
        cm_fpenv_leave(saved);                                                                                       \
    }
CM_ENCODE_ENTRY(f32_u8, float, uint8_t)
CM_ENCODE_ENTRY(f32_u16, float, uint16_t)
CM_ENCODE_ENTRY(f32_u32, float, uint32_t)
CM_ENCODE_ENTRY(f64_u8, double, uint8_t)
CM_ENCODE_ENTRY(f64_u16, double, uint16_t)
CM_ENCODE_ENTRY(f64_u32, double, uint32_t)

/* ---- e8m0: the exponent byte ---------------------------------------------------------------------------------- */

/* fraction: 23 bits kept from the top, with every lower bit or-ed into the lowest (sticky) by the caller. */
static inline uint32_t e8m0_code(int32_t exponent, uint32_t fraction, uint32_t sticky, int32_t rule)
{
    uint32_t more = cm_mask32((fraction | sticky) != 0) & 1u;
    uint32_t half = cm_mask32(fraction >= 0x400000u) & 1u;
    uint32_t above_half = (cm_mask32(fraction > 0x400000u) | cm_mask32(fraction == 0x400000u && sticky != 0)) & 1u;
    int32_t code = exponent + 127;
    uint32_t up = cm_select32(cm_mask32(code == 0), more, half), even = above_half | (half & (uint32_t)code & 1u);
    code += (int32_t)((more & cm_mask32(rule == CM_E8M0_CEIL)) | (up & cm_mask32(rule == CM_E8M0_NEAREST_UP))
                      | (even & cm_mask32(rule == CM_E8M0_NEAREST_EVEN)));
    return (uint32_t)code & ~cm_mask32(code < 0);
}

static inline uint32_t e8m0_resolve(uint32_t code, int negative, int zero, int infinite, int nan, const cm_e8m0_spec *s)
{
    uint32_t result = cm_select32(cm_mask32(code > 254), s->overflow, code); /* masks: the loops below are vectors */
    result = cm_select32(cm_mask32(infinite), s->infinity, result);
    result = cm_select32(cm_mask32(negative) & cm_mask32(!s->ignore_sign), s->negative, result);
    result = cm_select32(cm_mask32(zero), s->zero, result);
    return cm_select32(cm_mask32(nan), s->nan, result);
}

/* One vector. The rounding of a normal number is an addition whose carry moves the exponent; below them lies only 2^-127, from
 * which rounding goes up beyond a threshold. */
static inline __attribute__((always_inline)) vu e8m0_vector(vu bits, int32_t rule, const cm_e8m0_spec *s)
{
    const vu a = bits & 0x7fffffffu;
    vu carry = a + (rule == CM_E8M0_CEIL ? 0x7fffffu : rule == CM_E8M0_NEAREST_UP ? 0x400000u : 0);
    if (rule == CM_E8M0_NEAREST_EVEN) carry = a + 0x3fffffu + (vu_shift_right(a, 23) & 1);
    const int32_t least = rule == CM_E8M0_NEAREST_EVEN ? 0x600001 : rule == CM_E8M0_FLOOR ? 0x800000 : 0x400001;
    vu code = vu_below(a, 0x800000, vu_below(a, least, (vu){0}, 1 + (vu){0}), vu_shift_right(carry, 23));
    code = vu_below(code, 255, code, s->overflow + (vu){0});
    code = vu_below(a, 0x7f800000, code, s->infinity + (vu){0});
    if (!s->ignore_sign) code = vu_below(bits, 0, s->negative + (vu){0}, code);
    code = vu_below(a, 1, s->zero + (vu){0}, code);
    return vu_below(a, 0x7f800001, code, s->nan + (vu){0});
}

#define CM_E8M0_CASE(rule)                                                                                           \
    case rule:                                                                                                       \
        for (; i + VL <= n; i += VL) {                                                                               \
            if (i % 16 == 0) __builtin_prefetch(x + i + CM_PREFETCH);                                                \
            vu_store_u8(codes + i, e8m0_vector((vu)vf_load(x + i), rule, spec));                                     \
        }                                                                                                            \
        for (; i < n; i++) codes[i] = (uint8_t)e8m0_vector(cm_bits32(x[i]) + (vu){0}, rule, spec)[0];                \
        break;

static void CM_NAME(encode_f32_e8m0)(const float *restrict x, uint8_t *restrict codes, size_t n, const cm_e8m0_spec *given)
{
    const cm_e8m0_spec copy = *given, *spec = &copy; /* a local no store can alias */
    size_t i = 0;
    switch (spec->rule) {
        CM_E8M0_CASE(CM_E8M0_CEIL)
        CM_E8M0_CASE(CM_E8M0_NEAREST_UP)
        CM_E8M0_CASE(CM_E8M0_NEAREST_EVEN)
        CM_E8M0_CASE(CM_E8M0_FLOOR)
    }
}

static void CM_NAME(encode_f64_e8m0)(const double *x, uint8_t *codes, size_t n, const cm_e8m0_spec *spec)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t bits = cm_bits64(x[i]), a = bits & 0x7fffffffffffffffull;
        int32_t exponent = (int32_t)(a >> 52) - 1023;
        uint32_t fraction = (uint32_t)(a >> 29) & 0x7fffffu;
        uint32_t sticky = (uint32_t)(a & 0x1fffffffull);
        if (exponent < -127) exponent = -128, fraction = sticky = 0;
        codes[i] = (uint8_t)e8m0_resolve(e8m0_code(exponent, fraction, sticky, spec->rule), (int)(bits >> 63), a == 0,
                                         a == 0x7ff0000000000000ull, a > 0x7ff0000000000000ull, spec);
    }
}

/* ---- decode --------------------------------------------------------------------------------------------------- */

#define CM_DECODE_LOOP(load, shared)                                                                                 \
    for (; i + VL <= n; i += VL) {                                                                                   \
        if (i % 64 == 0) __builtin_prefetch(codes + i + CM_PREFETCH);                                                \
        vf_store(x + i, cm_decode_vector(load(codes + i), &copy, shared, smallest));                                    \
    }
#define CM_DECODE_ENTRY(name, code, load)                                                                            \
    static CM_NOINLINE void CM_NAME(decode_loop_##name)(const code *restrict codes, float *restrict x, size_t n,     \
                                                        const cm_decode_spec *given)                                 \
    {                                                                                                                \
        const cm_decode_spec copy = *given;                                                                          \
        const float smallest = copy.bias == 127 ? 0.0f : (float)cm_exp2(1 - copy.bias - copy.mantissa_bits);         \
        size_t i = 0;                                                                                                \
        if (copy.bias == 127) {                                                                                      \
            CM_DECODE_LOOP(load, 1)                                                                                  \
        } else {                                                                                                     \
            CM_DECODE_LOOP(load, 0)                                                                                  \
        }                                                                                                            \
        for (; i < n; i++) { /* the tail, one lane of a vector at a time */                                          \
            vf one = cm_decode_vector(codes[i] + (vu){0}, &copy, copy.bias == 127, smallest);                           \
            x[i] = one[0];                                                                                           \
        }                                                                                                            \
    }                                                                                                                \
    void CM_NAME(cm_decode_##name)(const code *codes, float *x, size_t n, const cm_decode_spec *spec)                \
    {                                                                                                                \
        cm_fpenv saved = cm_fpenv_enter();                                                                           \
        CM_NAME(decode_loop_##name)(codes, x, n, spec);                                                              \
        cm_fpenv_leave(saved);                                                                                       \
    }
CM_DECODE_ENTRY(u8_f32, uint8_t, vu_load_u8)
CM_DECODE_ENTRY(u16_f32, uint16_t, vu_load_u16)

static void CM_NAME(philox)(uint32_t *words, size_t n, uint64_t seed, uint64_t offset)
{
    cm_philox_fill(words, n, seed, offset);
}

const cm_format_kernels CM_NAME(cm_formats) = {
    .encode_f32_u8 = CM_NAME(encode_f32_u8),
    .encode_f32_u16 = CM_NAME(encode_f32_u16),
    .encode_f32_u32 = CM_NAME(encode_f32_u32),
    .encode_f64_u8 = CM_NAME(encode_f64_u8),
    .encode_f64_u16 = CM_NAME(encode_f64_u16),
    .encode_f64_u32 = CM_NAME(encode_f64_u32),
    .encode_f32_e8m0 = CM_NAME(encode_f32_e8m0),
    .encode_f64_e8m0 = CM_NAME(encode_f64_e8m0),
    .decode_u8_f32 = CM_NAME(cm_decode_u8_f32),
    .decode_u16_f32 = CM_NAME(cm_decode_u16_f32),
    .philox = CM_NAME(philox),
};
