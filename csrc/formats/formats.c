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

static void CM_NAME(encode_f32_e8m0)(const float *restrict x, uint8_t *restrict codes, size_t n, const cm_e8m0_spec *given)
{
    const cm_e8m0_spec copy = *given, *spec = &copy; /* a local no store can alias */
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = cm_bits32(x[i]), a = bits & 0x7fffffffu;
        int32_t exponent = (int32_t)(a >> 23) - 127;
        uint32_t fraction = a & 0x7fffffu;
        /* a float32 subnormal: 2^-127 is its bit 22; anything lower rounds to code 0 or up to it */
        uint32_t subnormal = cm_mask32(exponent == -127), reached = cm_mask32((fraction & 0x400000u) != 0);
        exponent -= (int32_t)(subnormal & ~reached & 1u);
        fraction = cm_select32(subnormal, (fraction << 1) & 0x7fffffu & reached, fraction);
        codes[i] = (uint8_t)e8m0_resolve(e8m0_code(exponent, fraction, 0, spec->rule), (int)(bits >> 31), a == 0,
                                         a == 0x7f800000u, a > 0x7f800000u, spec);
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
