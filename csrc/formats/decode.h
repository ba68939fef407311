/* A vector of codes to their numbers, any format of at most 16 bits: the body of every decode. */
#ifndef CHIPMETER_DECODE_H
#define CHIPMETER_DECODE_H

#include "bits.h"
#include "chipmeter/formats.h"
#include "tier.h"
#include "vec.h"

void CM_NAME(cm_decode_u8_f32)(const uint8_t *codes, float *x, size_t n, const cm_decode_spec *spec);
void CM_NAME(cm_decode_u16_f32)(const uint16_t *codes, float *x, size_t n, const cm_decode_spec *spec);

/* Subnormal codes become floats by integer conversion: a float32 subnormal times 2^k would cost an assist each. A
 * format that shares float32's exponent range (bias 127) shares its subnormals, which are then plain shifts. */
static inline __attribute__((always_inline)) vf cm_decode_vector(vu code, const cm_decode_spec *s, int shared, float smallest)
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

#endif
