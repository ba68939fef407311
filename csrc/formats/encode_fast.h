/* Nearest even for the common case, a vector at a time: half the work of the general rule.
 *
 * For numbers that are not NaN, in formats where the code of -x is that of x with one bit flipped and infinity is
 * written as overflow is. Normal results round by an integer add; for subnormal ones the floating-point adder rounds,
 * against a constant whose last place is the smallest subnormal. */
#ifndef CHIPMETER_ENCODE_FAST_H
#define CHIPMETER_ENCODE_FAST_H

#include "bits.h"
#include "chipmeter/kernels.h"
#include "vec.h"

#define CM_FAST_CHUNK 1024
#define CM_PREFETCH 8192 /* elements ahead: past the page at which the hardware's own prefetch stops */

enum { CM_FAST_PLAIN, CM_FAST_FNUZ, CM_FAST_WIDE, CM_FAST_HALF };

typedef struct {
    uint32_t drop, round, first_normal, last_finite, overflow, sign_shift, sign, shift;
    int32_t kind; /* WIDE: float32's exponent range, hence its subnormals; HALF: binary16, which has an instruction */
    float magic;
} cm_fast_spec;

static inline vu vu_where(vu mask, vu yes, vu no) { return (yes & mask) | (no & ~mask); }

/* lanes of `yes` where a, as signed, is less than b */
static inline vu vu_below(vu a, int32_t b, vu yes, vu no)
{
#if VL == 16
    return (vu)_mm512_mask_blend_epi32(_mm512_cmplt_epi32_mask((__m512i)a, _mm512_set1_epi32(b)), (__m512i)no, (__m512i)yes);
#else
    return vu_where((vu)((vi)a < b + (vi){0}), yes, no);
#endif
}

/* whether the code of -x is that of x with one bit flipped (or the lone zero and NaN), and infinity an overflow */
static inline int cm_fast_symmetric(const cm_encode_spec *s)
{
    int symmetric = (s->overflow[0] ^ s->sign[1]) == s->overflow[1] && s->zero[1] == s->sign[1];
    int fnuz = s->zero[1] == 0 && s->overflow[0] == s->overflow[1];
    return s->mantissa_bits < 23 && s->has_sign && (symmetric || fnuz) && s->infinity[0] == s->overflow[0] && s->infinity[1] == s->overflow[1];
}

static inline int cm_fast_spec_holds(const cm_encode_spec *s)
{
    return s->rounding == CM_NEAREST_EVEN && cm_fast_symmetric(s);
}

static inline cm_fast_spec cm_fast_spec_of(const cm_encode_spec *s)
{
    cm_fast_spec f;
    const uint32_t rebias = (uint32_t)(s->min_exponent + 126) << 23; /* what the target's exponent fields fall short by */
    f.drop = 23 - (uint32_t)s->mantissa_bits;
    f.round = (1u << (f.drop - 1)) - 1 - rebias;
    f.first_normal = rebias + (1u << 23);
    /* the last float32 below the tie with max_code + 1, or the tie itself when max_code is the even one */
    f.last_finite = (s->max_code << f.drop) + rebias + (1u << (f.drop - 1)) - (s->max_code & 1);
    f.overflow = s->overflow[0];
    f.sign = s->sign[1];
    f.sign_shift = 31 - (uint32_t)__builtin_ctz(f.sign);
    f.shift = (uint32_t)s->shift;
    f.magic = cm_float32((uint32_t)(s->min_exponent + (int32_t)f.drop + 127) << 23);
    int half = s->mantissa_bits == 10 && s->min_exponent == -14 && f.overflow == 0x7c00 && f.sign == 0x8000;
    f.kind = s->zero[1] == 0 ? CM_FAST_FNUZ : s->min_exponent == -126 ? CM_FAST_WIDE : half ? CM_FAST_HALF : CM_FAST_PLAIN;
    return f;
}

static inline __attribute__((always_inline)) vu cm_encode_fast(vu bits, const cm_fast_spec *f, int kind, int padded)
{
    vu magnitude = bits & 0x7fffffffu;
    vu code = vu_shift_right(magnitude + f->round + (vu_shift_right(magnitude, f->drop) & 1), f->drop);
    if (kind != CM_FAST_WIDE) {
        vu subnormal = (vu)((vf)magnitude + f->magic) - cm_bits32(f->magic);
        vu small = (vu)(magnitude < f->first_normal + (vu){0});
        code = (subnormal & small) | (code & ~small);
    }
    if (padded) code <<= f->shift;
    vu over = (vu)(magnitude > f->last_finite + (vu){0});
    vu sign = vu_shift_right(bits, f->sign_shift) & f->sign;
    if (kind == CM_FAST_FNUZ) sign &= (vu)(code != 0) & ~over; /* neither zero nor the lone NaN has a sign */
    return (((f->overflow + (vu){0}) & over) | (code & ~over)) ^ sign;
}

/* CM_FAST_CHUNK elements; tells whether a NaN was among them, whose codes are then wrong */
#define CM_FAST_LOOP(...)                                                                                            \
    for (size_t i = 0; i < CM_FAST_CHUNK; i += VL) {                                                                 \
        if (i % 16 == 0) __builtin_prefetch(x + i + CM_PREFETCH);                                                    \
        vu bits = (vu)vf_load(x + i);                                                                                \
        largest = vi_max(largest, (vi)(bits & 0x7fffffffu));                                                         \
        __VA_ARGS__;                                                                                                 \
    }                                                                                                                \
    break;
#define CM_FAST_CHUNK_OF(width, half)                                                                                \
    static inline int cm_encode_fast_u##width(const float *x, uint##width##_t *codes, const cm_fast_spec *given)     \
    {                                                                                                                \
        const cm_fast_spec copy = *given, *f = &copy;                                                                \
        vi largest = vi_set(0);                                                                                      \
        switch (f->kind) {                                                                                           \
        case CM_FAST_FNUZ:                                                                                           \
            CM_FAST_LOOP(vu_store_u##width(codes + i, cm_encode_fast(bits, f, CM_FAST_FNUZ, (width) == 32)))         \
        case CM_FAST_WIDE:                                                                                           \
            CM_FAST_LOOP(vu_store_u##width(codes + i, cm_encode_fast(bits, f, CM_FAST_WIDE, (width) == 32)))         \
            half                                                                                                     \
        default:                                                                                                     \
            CM_FAST_LOOP(vu_store_u##width(codes + i, cm_encode_fast(bits, f, CM_FAST_PLAIN, (width) == 32)))        \
        }                                                                                                            \
        return vi_largest(largest) > 0x7f800000;                                                                     \
    }
CM_FAST_CHUNK_OF(8, )
CM_FAST_CHUNK_OF(32, )
#ifdef CM_HAVE_F16C
CM_FAST_CHUNK_OF(16, case CM_FAST_HALF: CM_FAST_LOOP(vh_store(codes + i, (vf)bits)))
#else
CM_FAST_CHUNK_OF(16, )
#endif

#endif
