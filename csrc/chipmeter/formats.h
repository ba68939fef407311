/* Number formats: casts, decodes and counter-based random bits. The contract of all kernels is in kernels.h. */
#ifndef CHIPMETER_FORMATS_H
#define CHIPMETER_FORMATS_H

#include <stddef.h>
#include <stdint.h>

enum cm_rounding {
    CM_NEAREST_EVEN = 0, /* ties to the even significand */
    CM_NEAREST_AWAY = 1,
    CM_TOWARD_ZERO = 2,
    CM_UP = 3,           /* toward +infinity */
    CM_DOWN = 4,         /* toward -infinity */
    CM_ODD = 5,          /* inexact results take the odd neighbour */
    CM_STOCHASTIC = 6    /* add random bits below the last place, truncate */
};

/* How a real number becomes a code. Every policy (overflow, NaN, infinity, signed zero) is resolved by the caller
 * into the codes to write, indexed by sign (0 positive, 1 negative); the kernel itself knows no policy. */
typedef struct {
    int32_t mantissa_bits;
    int32_t min_exponent;    /* exponent of the smallest normal, 1 - bias */
    uint32_t max_code;       /* largest finite magnitude code */
    int32_t shift;           /* code << shift is stored: 13 for tf32 in its 32-bit container, else 0 */
    uint32_t sign[2];        /* or-ed to a finite magnitude code */
    uint32_t zero[2];        /* a zero, or a result that rounded to zero */
    uint32_t overflow[2];    /* a finite input beyond max_code after rounding */
    uint32_t infinity[2];
    uint32_t nan[2];
    uint32_t nan_payload;    /* the top payload bits of a NaN that are or-ed to nan (float16); 0: none */
    uint32_t negative;       /* when has_sign is 0: every negative non-zero finite input */
    int32_t has_sign;
    int32_t rounding;        /* enum cm_rounding */
    int32_t random_bits;     /* n of CM_STOCHASTIC, 1..32 */
} cm_encode_spec;

/* How the dropped fraction d and the n-bit random number r decide: the magnitude goes up iff */
enum cm_stochastic_rule {
    CM_STOCHASTIC_TRUNCATED = 0,    /* floor(d * 2^n) + r >= 2^n */
    CM_STOCHASTIC_MIDPOINT = 1,     /* floor(d * 2^(n + 1)) + 2 r + 1 >= 2^(n + 1); n <= 31 */
    CM_STOCHASTIC_NEAREST_EVEN = 2, /* round(d * 2^n) + r >= 2^n, ties to even; n <= 31 */
    CM_STOCHASTIC_NEAREST_ODD = 3   /* the same, ties to odd */
};

/* Random bits for CM_STOCHASTIC: either given (one word per element) or Philox4x32-10, where element i takes word
 * (offset + i) mod 4 of the block with counter (offset + i) / 4. A function of (seed, index), never of threads. */
typedef struct {
    const uint32_t *words;   /* NULL: counter based */
    uint64_t seed, offset;
    int32_t rule;            /* enum cm_stochastic_rule */
} cm_random;

enum cm_e8m0_rule {
    CM_E8M0_NEAREST_UP = 0,  /* half goes up; all of (2^-127, 2^-126) goes up (ml_dtypes, torch) */
    CM_E8M0_NEAREST_EVEN = 1,/* true nearest, ties to the even code (gfloat) */
    CM_E8M0_FLOOR = 2,
    CM_E8M0_CEIL = 3
};

typedef struct {
    int32_t rule;            /* enum cm_e8m0_rule */
    int32_t ignore_sign;     /* torch: the sign bit is dropped and zero encodes as 2^-127 */
    uint32_t zero, negative, overflow, infinity, nan;
} cm_e8m0_spec;

/* How a code becomes a float32; exact for every format of at most 16 bits and for tf32. */
typedef struct {
    int32_t bits;
    int32_t mantissa_bits;
    int32_t bias;
    int32_t has_sign;
    uint32_t max_code;       /* magnitude codes above it are special */
    uint32_t infinity_code;  /* magnitude code of infinity, 0 when there is none */
    int32_t fnuz;            /* the code of -0 is NaN */
    uint32_t zero_bits;      /* float32 bits of magnitude code 0: 0, or 2^-127 for e8m0 */
} cm_decode_spec;

typedef struct {
    /* x, codes: n elements; specs as above; random only read under CM_STOCHASTIC */
    void (*encode_f32_u8)(const float *x, uint8_t *codes, size_t n, const cm_encode_spec *spec, const cm_random *random);
    void (*encode_f32_u16)(const float *x, uint16_t *codes, size_t n, const cm_encode_spec *spec, const cm_random *random);
    void (*encode_f32_u32)(const float *x, uint32_t *codes, size_t n, const cm_encode_spec *spec, const cm_random *random);
    void (*encode_f64_u8)(const double *x, uint8_t *codes, size_t n, const cm_encode_spec *spec, const cm_random *random);
    void (*encode_f64_u16)(const double *x, uint16_t *codes, size_t n, const cm_encode_spec *spec, const cm_random *random);
    void (*encode_f64_u32)(const double *x, uint32_t *codes, size_t n, const cm_encode_spec *spec, const cm_random *random);
    void (*encode_f32_e8m0)(const float *x, uint8_t *codes, size_t n, const cm_e8m0_spec *spec);
    void (*encode_f64_e8m0)(const double *x, uint8_t *codes, size_t n, const cm_e8m0_spec *spec);
    void (*decode_u8_f32)(const uint8_t *codes, float *x, size_t n, const cm_decode_spec *spec);
    void (*decode_u16_f32)(const uint16_t *codes, float *x, size_t n, const cm_decode_spec *spec);
    void (*philox)(uint32_t *words, size_t n, uint64_t seed, uint64_t offset);
} cm_format_kernels;

#endif
