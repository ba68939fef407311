/* Number formats: real numbers to codes and back. */
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
    uint32_t carry = 0;
    if (rule == CM_E8M0_CEIL) carry = more;
    else if (rule == CM_E8M0_NEAREST_UP) carry = code == 0 ? more : half;
    else if (rule == CM_E8M0_NEAREST_EVEN) carry = above_half | (half & (uint32_t)code & 1u);
    code += (int32_t)carry;
    return code < 0 ? 0 : (uint32_t)code;
}

static inline uint32_t e8m0_resolve(uint32_t code, int negative, int zero, int infinite, int nan, const cm_e8m0_spec *s)
{
    if (nan) return s->nan;
    if (zero) return s->zero;
    if (negative && !s->ignore_sign) return s->negative;
    if (infinite) return s->infinity;
    return code > 254 ? s->overflow : code;
}

static void CM_NAME(encode_f32_e8m0)(const float *x, uint8_t *codes, size_t n, const cm_e8m0_spec *spec)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = cm_bits32(x[i]), a = bits & 0x7fffffffu;
        int32_t exponent = (int32_t)(a >> 23) - 127;
        uint32_t fraction = a & 0x7fffffu;
        if (exponent == -127) { /* a float32 subnormal: 2^-127 is its bit 22; anything lower rounds to code 0 or up to it */
            exponent = fraction & 0x400000u ? -127 : -128;
            fraction = exponent == -127 ? (fraction << 1) & 0x7fffffu : 0;
        }
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

/* Subnormal codes become floats by integer conversion: a float32 subnormal times 2^k would cost an assist each. A
 * format that shares float32's exponent range (bias 127) shares its subnormals, which are then plain shifts. */
static inline __attribute__((always_inline)) vf decode_vector(vu code, const cm_decode_spec *s, int shared, float smallest)
{
    const uint32_t sign_shift = 32 - (uint32_t)s->bits, mantissa_shift = 23 - (uint32_t)s->mantissa_bits;
    const uint32_t sign_bit = s->has_sign ? 1u << (s->bits - 1) : 0;
    vu m = code & (s->has_sign ? sign_bit - 1 : 0xffffffffu >> sign_shift);
    vu value = (m << mantissa_shift) + ((uint32_t)(127 - s->bias) << 23);
    if (!shared) {
        vu subnormal = (vu)(__builtin_convertvector((vi)m, vf) * smallest);
        vu small = (vu)(m < (1u << s->mantissa_bits) + (vu){0});
        value = (subnormal & small) | (value & ~small);
    }
    value |= s->zero_bits & (vu)(m == 0);
    vu sign = (code & sign_bit) << sign_shift;
    vu nan = (vu)(m > s->max_code + (vu){0}) & (vu)(m != s->infinity_code + (vu){0});
    if (s->fnuz) nan |= (vu)(m == 0) & (vu)(sign != 0);
    if (s->infinity_code) {
        vu infinite = (vu)(m == s->infinity_code + (vu){0});
        value = (0x7f800000u & infinite) | (value & ~infinite);
    }
    value = (0x7fc00000u & nan) | (value & ~nan);
    return (vf)(value | sign);
}

#define CM_DECODE_LOOP(load, shared)                                                                                 \
    for (; i + VL <= n; i += VL) {                                                                                   \
        if (i % 64 == 0) __builtin_prefetch(codes + i + CM_PREFETCH);                                                \
        vf_store(x + i, decode_vector(load(codes + i), &copy, shared, smallest));                                    \
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
            vf one = decode_vector(codes[i] + (vu){0}, &copy, copy.bias == 127, smallest);                           \
            x[i] = one[0];                                                                                           \
        }                                                                                                            \
    }                                                                                                                \
    static void CM_NAME(decode_##name)(const code *codes, float *x, size_t n, const cm_decode_spec *spec)            \
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
    .decode_u8_f32 = CM_NAME(decode_u8_f32),
    .decode_u16_f32 = CM_NAME(decode_u16_f32),
    .philox = CM_NAME(philox),
};
