/* Stochastic rounding a vector at a time, on words that are given or counted. */
#ifndef CHIPMETER_STOCHASTIC_H
#define CHIPMETER_STOCHASTIC_H

#include "formats/encode_fast.h"
#include "formats/philox.h"
#include "fpenv.h"

/* the words of the next n elements, which `random` then leaves behind: the caller's, or counted ones in `room` */
static inline const uint32_t *cm_random_words(uint32_t *room, size_t n, cm_random *random)
{
    if (random->words) return (random->words += n) - n;
    cm_philox_fill(room, n, random->seed, random->offset);
    random->offset += n;
    return room;
}

/* of the rules that are a carry: what is added to d, in units of 2^-32 */
static inline __attribute__((always_inline)) vu cm_random_addend(vu word, uint32_t n, int rule)
{
    return rule == CM_STOCHASTIC_MIDPOINT ? (2 * word + 1) << (31 - n) : word << (32 - n);
}

/* All ones where the magnitude goes up. d is the dropped fraction in units of 2^-32, cut; `rest` tells whether anything
 * was cut from it. */
static inline __attribute__((always_inline)) vu cm_goes_up(vu d, vu rest, vu word, uint32_t n, int rule)
{
    if (rule < CM_STOCHASTIC_NEAREST_EVEN) return (vu)(d > ~cm_random_addend(word, n, rule));
    vu kept = vu_shift_right(d, 32 - n), below = d << n;
    vu odd = (kept & 1) == (uint32_t)(rule == CM_STOCHASTIC_NEAREST_EVEN);
    vu up = (vu)(below > 0x80000000u) | ((vu)(below == 0x80000000u) & (rest | odd));
    return (vu)(kept - up + (word & ((1u << n) - 1)) >= 1u << n);
}

/* the rule of cm_encode_stochastic for numbers that are not NaN, in formats that cm_fast_symmetric accepts */
static inline __attribute__((always_inline)) vu cm_encode_stochastic_vector(vu bits, vu word, const cm_encode_spec *s,
                                                                            const cm_fast_spec *f, int rule, int padded)
{
    vu magnitude = bits & 0x7fffffffu, code;
    const uint32_t n = (uint32_t)s->random_bits;
    if (rule < CM_STOCHASTIC_NEAREST_EVEN && f->kind == CM_FAST_WIDE) { /* no code has more bits dropped than another */
        code = vu_shift_right(magnitude + vu_shift_right(cm_random_addend(word, n, rule), 32 - f->drop), f->drop);
    } else {
        const int32_t gap = 126 + s->min_exponent; /* from the exponent field of the smallest normal, less 1 */
        vi field = (vi)vu_shift_right(magnitude, 23);
        vu drop = (vu)vi_max(gap + (int32_t)f->drop + 1 - field, vi_set((int32_t)f->drop));
        vu base = (vu)vi_max(field - (gap + 1), vi_set(0)) << (23 - f->drop);
        if (rule < CM_STOCHASTIC_NEAREST_EVEN && !vi_sign_bits((vi)(31 - drop) | (field - 1))) {
            vu sig = (magnitude & 0x7fffffu) | 0x800000u;
            sig += vu_shift_right_each(cm_random_addend(word, n, rule), 32 - drop);
            code = vu_shift_right_each(sig, drop) + base;
        } else {
            vi tiny = field == 0; /* float32 subnormals share the smallest exponent */
            vu sig = (magnitude & 0x7fffffu) | (0x800000u & ~(vu)tiny);
            drop = (vu)vi_max(gap + (int32_t)f->drop + 1 - field + tiny, vi_set((int32_t)f->drop));
            vu d = vu_shift_left_each(sig, 32 - drop) | vu_shift_right_each(sig, drop - 32);
            vu rest = {0};
            if (rule >= CM_STOCHASTIC_NEAREST_EVEN) rest = (vu)((vi)drop > 32) & (vu)(vu_shift_left_each(d, drop - 32) != sig);
            code = vu_shift_right_each(sig, drop) + base - cm_goes_up(d, rest, word, n, rule);
        }
    }
    vu over = (vu)(code > s->max_code + (vu){0}) | (vu)((vi)magnitude >= 0x7f800000);
    vu sign = vu_shift_right(bits, f->sign_shift) & f->sign;
    if (f->kind == CM_FAST_FNUZ) sign &= (vu)(code != 0) & ~over; /* neither zero nor the lone NaN has a sign */
    if (padded) code <<= f->shift;
    return ((f->overflow & over) | (code & ~over)) ^ sign;
}

/* CM_FAST_CHUNK elements; tells whether a NaN was among them, whose codes are then wrong */
#define CM_STOCHASTIC_LOOP(width, the_rule)                                                                          \
    case the_rule:                                                                                                   \
        for (size_t i = 0; i < CM_FAST_CHUNK; i += VL) {                                                             \
            if (i % 16 == 0) __builtin_prefetch(x + i + CM_PREFETCH);                                                \
            vu bits = (vu)vf_load(x + i);                                                                            \
            largest = vi_max(largest, (vi)(bits & 0x7fffffffu));                                                     \
            vu_store_u##width(codes + i, cm_encode_stochastic_vector(bits, vu_load(words + i), s, f, the_rule, (width) == 32)); \
        }                                                                                                            \
        break;
#define CM_STOCHASTIC_CHUNK_OF(width)                                                                                \
    static CM_NOINLINE int cm_encode_stochastic_u##width(const float *x, const uint32_t *words, uint##width##_t *codes, \
                                                         const cm_encode_spec *given, int32_t rule)                  \
    {                                                                                                                \
        const cm_encode_spec copy = *given, *s = &copy;                                                              \
        const cm_fast_spec fast = cm_fast_spec_of(s), *f = &fast;                                                    \
        vi largest = vi_set(0);                                                                                      \
        switch (rule) {                                                                                              \
            CM_STOCHASTIC_LOOP(width, CM_STOCHASTIC_TRUNCATED)                                                       \
            CM_STOCHASTIC_LOOP(width, CM_STOCHASTIC_MIDPOINT)                                                        \
            CM_STOCHASTIC_LOOP(width, CM_STOCHASTIC_NEAREST_EVEN)                                                    \
        default:                                                                                                     \
            CM_STOCHASTIC_LOOP(width, CM_STOCHASTIC_NEAREST_ODD)                                                     \
        }                                                                                                            \
        return vi_largest(largest) > 0x7f800000;                                                                     \
    }
CM_STOCHASTIC_CHUNK_OF(8)
CM_STOCHASTIC_CHUNK_OF(16)
CM_STOCHASTIC_CHUNK_OF(32)

#endif
