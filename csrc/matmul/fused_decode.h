/* Codes of any format and strides as vectors of floats, with what is special about them. */
#ifndef CHIPMETER_MATMUL_FUSED_DECODE_H
#define CHIPMETER_MATMUL_FUSED_DECODE_H

#include "matmul/fused_codes.h"

typedef struct {
    vf value;           /* finite and nonzero, else unspecified */
    vu exponent;        /* its field, at least 1 */
    vu sign;            /* bit 31 */
    vi zero;            /* zero, NaN or infinity: multiplied as zero */
    vi nan, infinity;
} lanes;

/* Subnormals become floats by integer conversion; float32's own subnormals would cost an assist each. */
INLINE lanes decode(vu code, const cm_codes *f)
{
    lanes x;
    const uint32_t sign_bit = 1u << f->magnitude_bits, least_normal = 1u << f->mantissa_bits;
    code >>= (uint32_t)f->shift;
    vu m = code & (sign_bit - 1);
    x.sign = (code & sign_bit) << (31 - f->magnitude_bits);
    vu normal = (m << (23 - f->mantissa_bits)) + ((uint32_t)(127 - f->bias) << 23);
    if (f->bias != 127) {
        vu subnormal = (vu)(vf_of_integers((vi)m) * cm_float32((uint32_t)(127 + 1 - f->bias - f->mantissa_bits) << 23));
        vu small = (vu)(m < least_normal + (vu){0});
        normal = (subnormal & small) | (normal & ~small);
    }
    x.value = (vf)(normal | x.sign);
    x.exponent = (vu)vi_max((vi)(m >> f->mantissa_bits), vi_set(1));
    vi special = (vi)m > (vi)(f->max_code + (vu){0});
    x.infinity = f->infinity_code ? (vi)(m == f->infinity_code + (vu){0}) : vi_set(0);
    x.nan = special & ~x.infinity;
    if (f->fnuz) x.nan |= (vi)(m == 0) & (vi)(x.sign != 0);
    x.zero = (vi)(m == 0) | special;
    x.sign &= ~(vu)x.zero;
    return x;
}

/* n codes, `stride` apart, widened; zeros up to a whole vector */
static inline void gather(uint32_t *raw, const cm_codes *f, ptrdiff_t first, ptrdiff_t stride, size_t n, size_t padded)
{
#define GATHER(type)                                                                                                 \
    {                                                                                                                \
        const type *p = (const type *)f->codes + first;                                                              \
        if (stride == 1) for (size_t i = 0; i < n; i++) raw[i] = p[i];                                               \
        else for (size_t i = 0; i < n; i++) raw[i] = p[(ptrdiff_t)i * stride];                                       \
    }
    if (f->bytes == 1) GATHER(uint8_t)
    else if (f->bytes == 2) GATHER(uint16_t)
    else GATHER(uint32_t)
#undef GATHER
    for (size_t i = n; i < padded; i++) raw[i] = 0;
}

#endif
