/* One real number to one code, branch free: the body of every cast and of every block quantiser.
 *
 * With E = max(floor(log2 |x|), min_exponent) and s = |x| * 2^(mantissa_bits - E), exactly, the magnitude code is
 * round(s) + ((E - min_exponent) << mantissa_bits); a carry out of the significand needs no case of its own. */
#ifndef CHIPMETER_ENCODE_H
#define CHIPMETER_ENCODE_H

#include "bits.h"
#include "chipmeter/kernels.h"

/* The rounding increment for a significand whose low `s` bits go: (significand + increment) >> s. */
static inline uint32_t cm_increment32(int rounding, uint32_t sig, uint32_t s, uint32_t negative)
{
    uint32_t below = (1u << s) - 1;
    switch (rounding) {
    case CM_NEAREST_EVEN: return (below >> 1) + ((sig >> s) & 1);
    case CM_NEAREST_AWAY: return (below >> 1) + 1;
    case CM_UP: return below & ~negative;
    case CM_DOWN: return below & negative;
    default: return 0;
    }
}

static inline uint64_t cm_increment64(int rounding, uint64_t sig, uint64_t s, uint64_t negative)
{
    uint64_t below = (1ull << s) - 1;
    switch (rounding) {
    case CM_NEAREST_EVEN: return (below >> 1) + ((sig >> s) & 1);
    case CM_NEAREST_AWAY: return (below >> 1) + 1;
    case CM_UP: return below & ~negative;
    case CM_DOWN: return below & negative;
    default: return 0;
    }
}

/* Resolve sign, overflow, infinity and NaN around a magnitude code. All masks are 0 or all ones; payload is the
 * fraction of the input cut to the width of the target's. */
static inline uint32_t cm_resolve(uint32_t code, uint32_t negative, uint32_t is_infinity, uint32_t is_nan,
                                  uint32_t is_zero, uint32_t payload, const cm_encode_spec *spec)
{
#define CM_BY_SIGN(field) (spec->field[0] ^ ((spec->field[0] ^ spec->field[1]) & negative))
    uint32_t zero = cm_mask32(code == 0);
    uint32_t over = cm_mask32(code > spec->max_code);
    uint32_t unsigned_negative = negative & ~cm_mask32(spec->has_sign) & ~is_zero;
    uint32_t result = (code << spec->shift) | CM_BY_SIGN(sign);
    result = cm_select32(zero, CM_BY_SIGN(zero), result);
    result = cm_select32(over, CM_BY_SIGN(overflow), result);
    result = cm_select32(unsigned_negative, spec->negative, result);
    result = cm_select32(is_infinity, CM_BY_SIGN(infinity), result);
    uint32_t carried = CM_BY_SIGN(nan) | (payload & spec->nan_payload);
    carried |= cm_mask32(spec->nan_payload != 0 && (carried & spec->nan_payload) == 0) & 1u; /* never an infinity */
    result = cm_select32(is_nan, carried, result);
    return result;
#undef CM_BY_SIGN
}

/* A deterministic rounding of a float32. `rounding` must be a constant after inlining. */
static inline __attribute__((always_inline)) uint32_t cm_encode_f32(uint32_t bits, int rounding, const cm_encode_spec *spec)
{
    uint32_t negative = (uint32_t)((int32_t)bits >> 31);
    uint32_t magnitude = bits & 0x7fffffffu;
    uint32_t field = magnitude >> 23;
    uint32_t normal = cm_mask32(field != 0);
    uint32_t sig = (magnitude & 0x7fffffu) | (normal & 0x800000u);
    int32_t exponent = (int32_t)(field + (normal + 1)) - 127; /* subnormals share the smallest exponent */
    int32_t lift = exponent - spec->min_exponent;
    int32_t sink = lift < 0 ? -lift : 0;
    int32_t drop = 23 - spec->mantissa_bits + sink;
    uint32_t s = (uint32_t)(drop < 26 ? drop : 26); /* sig < 2^24: beyond 26 every mode sees the same tiny remainder */
    uint32_t q = (sig + cm_increment32(rounding, sig, s, negative)) >> s;
    if (rounding == CM_ODD) q |= cm_mask32((sig & ((1u << s) - 1)) != 0) & 1u;
    uint32_t code = q + ((uint32_t)(lift < 0 ? 0 : lift) << spec->mantissa_bits);
    return cm_resolve(code, negative, cm_mask32(magnitude == 0x7f800000u), cm_mask32(magnitude > 0x7f800000u),
                      cm_mask32(magnitude == 0), magnitude >> 13, spec);
}

static inline __attribute__((always_inline)) uint32_t cm_encode_f64(uint64_t bits, int rounding, const cm_encode_spec *spec)
{
    uint64_t negative = (uint64_t)((int64_t)bits >> 63);
    uint64_t magnitude = bits & 0x7fffffffffffffffull;
    uint64_t field = magnitude >> 52;
    uint64_t sig = (magnitude & 0xfffffffffffffull) | ((uint64_t)(field != 0) << 52);
    int64_t exponent = (int64_t)(field + (field == 0)) - 1023;
    int64_t lift = exponent - spec->min_exponent;
    int64_t sink = lift < 0 ? -lift : 0;
    int64_t drop = 52 - spec->mantissa_bits + sink;
    uint64_t s = (uint64_t)(drop < 55 ? drop : 55);
    uint64_t q = (sig + cm_increment64(rounding, sig, s, negative)) >> s;
    if (rounding == CM_ODD) q |= (uint64_t)((sig & ((1ull << s) - 1)) != 0);
    uint64_t code = q + ((uint64_t)(lift < 0 ? 0 : lift) << spec->mantissa_bits);
    uint32_t small = code > 0x7fffffffull ? 0x7fffffffu : (uint32_t)code; /* binary64 exceeds the code space by far */
    return cm_resolve(small, (uint32_t)negative, cm_mask32(magnitude == 0x7ff0000000000000ull),
                      cm_mask32(magnitude > 0x7ff0000000000000ull), cm_mask32(magnitude == 0),
                      (uint32_t)(magnitude >> 42), spec);
}

/* Stochastic rounding by the rule, on the low `random_bits` bits of the word. Written for a binary64 image, which holds
 * every binary32. */
static inline uint32_t cm_encode_stochastic(uint64_t bits, uint32_t word, int32_t rule, const cm_encode_spec *spec)
{
    uint64_t negative = (uint64_t)((int64_t)bits >> 63);
    uint64_t magnitude = bits & 0x7fffffffffffffffull;
    uint64_t field = magnitude >> 52;
    uint64_t sig = (magnitude & 0xfffffffffffffull) | ((uint64_t)(field != 0) << 52);
    int64_t exponent = (int64_t)(field + (field == 0)) - 1023;
    int64_t lift = exponent - spec->min_exponent;
    int64_t drop = 52 - spec->mantissa_bits + (lift < 0 ? -lift : 0);
    uint32_t n = (uint32_t)spec->random_bits;
    uint64_t r = n == 32 ? word : word & ((1u << n) - 1);
    if (rule == CM_STOCHASTIC_MIDPOINT) n++, r = 2 * r + 1;
    uint64_t q = drop < 64 ? sig >> drop : 0;
    uint64_t rest = drop < 64 ? sig & ((1ull << drop) - 1) : sig;
    int64_t s = drop - (int64_t)n; /* below the n bits that count */
    uint64_t kept = s <= 0 ? rest << -s : s < 64 ? rest >> s : 0;
    if (rule >= CM_STOCHASTIC_NEAREST_EVEN && s > 0 && s < 64) {
        uint64_t below = rest & ((1ull << s) - 1), half = 1ull << (s - 1);
        kept += below > half || (below == half && (kept & 1) == (rule == CM_STOCHASTIC_NEAREST_EVEN));
    }
    q += (kept + r) >> n;
    uint64_t code = q + ((uint64_t)(lift < 0 ? 0 : lift) << spec->mantissa_bits);
    uint32_t small = code > 0x7fffffffull ? 0x7fffffffu : (uint32_t)code;
    return cm_resolve(small, (uint32_t)negative, cm_mask32(magnitude == 0x7ff0000000000000ull),
                      cm_mask32(magnitude > 0x7ff0000000000000ull), cm_mask32(magnitude == 0),
                      (uint32_t)(magnitude >> 42), spec);
}

#endif
