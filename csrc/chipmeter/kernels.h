/* The C ABI of chipmeter's kernels: plain records in, bits out; no Python, no allocation, no state, no failure.
 *
 * Every kernel works on a range of independent outputs (elements, blocks or rows), so that a caller may split the
 * range over threads without changing a bit. Callers check shapes and types; impossible input is excluded above.
 * A kernel runs under round-to-nearest with subnormals honoured, whatever the calling thread had set (fpenv.h).
 *
 * The same sources are compiled once per instruction-set tier; each tier exports one table (dispatch.c picks).
 */
#ifndef CHIPMETER_KERNELS_H
#define CHIPMETER_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* ---- number formats ------------------------------------------------------------------------------------------ */

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

/* Random bits for CM_STOCHASTIC: either given (one word per element) or Philox4x32-10, where element i takes word
 * (offset + i) mod 4 of the block with counter (offset + i) / 4. A function of (seed, index), never of threads. */
typedef struct {
    const uint32_t *words;   /* NULL: counter based */
    uint64_t seed, offset;
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

/* ---- block quantisation -------------------------------------------------------------------------------------- */

enum cm_scale_rule {         /* the e8m0 byte of a block from its largest magnitude */
    CM_SCALE_FLOOR = 0,      /* OCP MX v1.0: power of two of amax over that of the element maximum */
    CM_SCALE_CEIL = 1,
    CM_SCALE_EVEN = 2,       /* half an element ulp is added to amax first */
    CM_SCALE_ROUND_UP = 3    /* ceil(log2(amax / element maximum)): cuBLAS, Transformer Engine */
};

typedef struct {
    int32_t rule;                /* enum cm_scale_rule */
    int32_t max_exponent;        /* exponent of the largest element value */
    uint32_t max_fraction;       /* its 23-bit float32 fraction */
    int32_t element_mantissa;
    int32_t infinity_is_nan;     /* an infinite amax gives scale 255 */
    const cm_encode_spec *element; /* saturating */
} cm_mx_spec;

typedef struct {
    float tensor_scale;          /* second level s2; block scale = amax / 6 / s2 */
    float scale_min, scale_max;  /* clamp of the block scale before its cast */
    float element_max;           /* 6 for e2m1 */
    const cm_encode_spec *scale; /* e4m3 */
    const cm_decode_spec *scale_decode;
    const cm_encode_spec *element;
} cm_nvfp4_spec;

typedef struct {
    /* bits of max |x| over n elements; any NaN gives a NaN */
    uint32_t (*amax_f32)(const float *x, size_t n);
    /* x: blocks x block, contiguous; codes one byte per element, scales one byte per block */
    void (*mx_f32)(const float *x, uint8_t *codes, uint8_t *scales, size_t blocks, size_t block, const cm_mx_spec *spec);
    void (*nvfp4_f32)(const float *x, uint8_t *codes, uint8_t *scales, size_t blocks, size_t block, const cm_nvfp4_spec *spec);
    /* codes of x / scale, where each of `rows` rows of n elements has its own scale */
    void (*scaled_f32_u8)(const float *x, const float *scales, uint8_t *codes, size_t rows, size_t n, const cm_encode_spec *spec);
    void (*scaled_f32_s8)(const float *x, const float *scales, int8_t *codes, size_t rows, size_t n, int32_t low, int32_t high);
} cm_quantize_kernels;

/* ---- matrix units -------------------------------------------------------------------------------------------- */

#define CM_PANEL 16                 /* columns of B that lie side by side */
#define CM_ZERO_EXPONENT (-8192)    /* exponent of a packed zero: below every floor, and sums stay below too */

enum cm_operand_flag { CM_IN_WINDOW = 0, CM_OUT_OF_WINDOW = 1, CM_HAS_NONFINITE = 2 };

/* One packed operand: A as rows of `depth` elements, B as panels of CM_PANEL columns (depth x CM_PANEL each).
 * value is exact; exponent is that of the un-normalised significand (min_exponent for subnormals). */
typedef struct {
    const float *value;
    const int32_t *exponent;
    const uint8_t *flag;            /* enum cm_operand_flag, per row of A or column of B */
    int32_t mantissa_bits;
} cm_operand;

/* Block scales of one operand, decoded: value = significand * 2^(exponent - scale_fraction), one per scale block
 * along depth. A NaN scale is marked by significand -1. Layout as the operand: rows for A, panels for B. NULL when unscaled. */
typedef struct {
    const int32_t *significand;
    const int32_t *exponent;
} cm_block_scales;

enum cm_output { CM_RZ_F32 = 0, CM_RZ_E8M13 = 1, CM_RNE_F16 = 2 };

/* The truncated fused dot product: `fused` products and the accumulator are aligned to the largest exponent (not
 * below floor_exponent), truncated to fraction_bits below it, added exactly and converted. */
typedef struct {
    size_t rows, columns, depth;    /* depth: a multiple of `fused`, padded with zeros */
    cm_operand a, b;
    cm_block_scales scale_a, scale_b;
    size_t scale_block;             /* elements of depth per scale; 0: unscaled */
    int32_t scale_fraction;         /* fraction bits of one scale's significand: 0 for ue8m0, 3 for ue4m3 */
    const float *c;                 /* rows x columns; NULL: zero */
    int32_t c_min_exponent;         /* of the type c came in: -14 for float16, else -126 */
    float *d;                       /* rows x columns: values of the output type, held in float32 */
    int32_t fused, fraction_bits, floor_exponent, output;
    int32_t group;                  /* >0: products are first summed exactly in groups of this many (GST) */
} cm_fused_args;

enum cm_chain_order {
    CM_ORDER_SEQUENTIAL = 0,        /* acc = fma(a, b, acc), k ascending */
    CM_ORDER_PAIRWISE = 1,          /* rounded products, neighbours added level by level */
    CM_ORDER_F64 = 2                /* exact products added in binary64, k ascending, one rounding to binary32 */
};

/* IEEE arithmetic: each tile of depth is reduced in the given order from zero and added to the accumulator; with
 * tile = 0 the accumulator itself starts the one sequential chain. */
typedef struct {
    size_t rows, columns, depth, tile;
    int32_t order;
    const void *a, *b, *c;          /* a: rows x depth; b: panels; c: rows x columns or NULL */
    void *d;
} cm_chain_args;

typedef struct {
    size_t rows, columns, depth;    /* c, d: rows x columns int32; c may be NULL */
    const int32_t *a, *b, *c;       /* a: rows x depth; b: panels */
    int32_t *d;
    int32_t clamp;                  /* 0: wrap modulo 2^32; else clamp once per this many k */
} cm_integer_args;

typedef struct {
    void (*pack_rows)(const float *x, size_t rows, size_t depth, size_t padded, int32_t min_exponent, float *value, int32_t *exponent, uint8_t *flag);
    void (*pack_panels)(const float *x, size_t depth, size_t columns, size_t padded, int32_t min_exponent, float *value, int32_t *exponent, uint8_t *flag);
    void (*fused)(const cm_fused_args *args, size_t row_begin, size_t row_end);
    void (*chain_f32)(const cm_chain_args *args, size_t row_begin, size_t row_end);
    void (*chain_f64)(const cm_chain_args *args, size_t row_begin, size_t row_end);
    void (*integer)(const cm_integer_args *args, size_t row_begin, size_t row_end);
} cm_matmul_kernels;

/* ---- tiers --------------------------------------------------------------------------------------------------- */

typedef struct {
    const char *tier;
    const cm_format_kernels *formats;
    const cm_quantize_kernels *quantize;
    const cm_matmul_kernels *matmul;
} cm_kernels;

/* dispatch.c */
size_t cm_tier_count(void);                    /* tiers that were compiled and that this CPU can run, best first */
const cm_kernels *cm_tier(size_t index);
const char *cm_compiler(void);

#endif
