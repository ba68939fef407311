/* Matrix units: packing, and one kernel per arithmetic model. The contract of all kernels is in kernels.h. */
#ifndef CHIPMETER_MATMUL_H
#define CHIPMETER_MATMUL_H

#include <stddef.h>
#include <stdint.h>

#include "chipmeter/formats.h"

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

/* One operand as its owner holds it: codes of at most 32 bits, strides counted in codes. */
typedef struct {
    const void *codes;
    ptrdiff_t line, along;          /* from one row of A or column of B to the next; along depth */
    int32_t bytes;                  /* per code: 1, 2 or 4 */
    int32_t shift;                  /* low bits to ignore */
    int32_t mantissa_bits, bias, magnitude_bits;
    uint32_t max_code, infinity_code; /* larger magnitudes are NaN, but for that of infinity; 0: no infinity */
    int32_t fnuz;                   /* the code of -0 is NaN */
    const uint8_t *scales;          /* ue8m0 codes, lines x scale_count, or NULL */
} cm_codes;

/* How the sums of a step are held. CM_NARROW, in float32: operands of at most 3 mantissa bits with exponents in
 * -15..16, fraction_bits <= 13 and no scales. CM_INTEGER, in int32: at most 16 products of operands whose nonzero
 * elements have exponents in -50..50, no scales. CM_WIDE, in float64: everything. CM_FLOORED and CM_PARITIES: TR and GTR,
 * in int32, at most 8 products to an alignment, exponents as for CM_INTEGER. */
enum cm_fused_way { CM_WIDE = 0, CM_NARROW = 1, CM_INTEGER = 2, CM_FLOORED = 3, CM_PARITIES = 4 };

/* T and ST from codes: as cm_fused_args without groups. TR and GTR: fraction_bits is 24 and the output CM_RZ_F32,
 * though rounded to nearest even; floor_exponent has no meaning. */
typedef struct {
    size_t rows, columns, depth, padded; /* padded: whole instructions, a multiple of `fused` */
    cm_codes a, b;
    size_t scale_block, scale_count;
    const float *c;
    int32_t c_min_exponent;
    float *d;
    int32_t fused, fraction_bits, floor_exponent, output, way;
    uint8_t *left;                  /* rows x columns, zero on entry: 1 where d was left to the general kernel */
    uint8_t *left_rows;             /* rows: 1 where the row holds any such element */
} cm_fused_codes_args;

/* GST from codes of e2m1: steps of 64 products in groups of 16. `left` and `left_rows` as in cm_fused_codes_args. */
typedef struct {
    size_t rows, columns, depth;    /* depth as given: steps are completed with zeros */
    const uint8_t *a, *b;           /* one code per byte; strides in bytes: lines are rows of A, columns of B; along depth */
    ptrdiff_t a_line, a_along, b_line, b_along;
    const uint8_t *scales_a, *scales_b; /* scale codes, lines x scale_count: ue8m0 for scale_fraction 0, ue4m3 for 3 */
    size_t scale_block, scale_count;    /* 16 or 32 elements of depth per scale */
    int32_t scale_fraction;
    int32_t fraction_bits;          /* 25 to 35 */
    const float *c;
    float *d;
    uint8_t *left, *left_rows;
} cm_grouped_args;

enum cm_chain_order {
    CM_ORDER_SEQUENTIAL = 0,        /* acc = fma(a, b, acc), k ascending */
    CM_ORDER_PAIRWISE = 1,          /* rounded products, neighbours added level by level */
    CM_ORDER_F64 = 2                /* exact products added in binary64, k ascending, one rounding to binary32 */
};

enum cm_chain_rounding { CM_CHAIN_NEAREST = 0, CM_CHAIN_DOWNWARD = 1, CM_CHAIN_TOWARD_ZERO = 2 };

#define CM_CHAIN_ROWS 96            /* of A: they stay in the second-level cache for all columns */

/* IEEE arithmetic: each tile of depth is reduced in the given order from zero and added to the accumulator; with
 * tile = 0 the accumulator itself starts the one sequential chain. */
typedef struct {
    size_t rows, columns, depth, tile;
    int32_t order;
    const void *a, *b, *c;          /* a: rows x depth; b: panels; c: rows x columns or NULL */
    void *d;
    int32_t rounding;               /* enum cm_chain_rounding, of every operation */
    const cm_decode_spec *code;     /* chain_f32: a holds codes, decoded into `room` by CM_CHAIN_ROWS rows; NULL: numbers */
    int32_t code_bytes;             /* 1 or 2 */
    float *room;                    /* min(CM_CHAIN_ROWS, rows asked for) x depth */
} cm_chain_args;

enum cm_policy {
    CM_POLICY_BF16_PRODUCTS = 0,    /* acc += bf16(a * b), k ascending */
    CM_POLICY_ELEMENT_SUMS = 1      /* acc += tree sum of the rounded products of `lanes` neighbours */
};

/* Orders of a systolic column that no vendor has published; tiles as in cm_chain_args. */
typedef struct {
    size_t rows, columns, depth, tile;  /* tile > 0 */
    size_t lanes;                   /* 1 to 4 */
    int32_t policy;
    const float *a, *b, *c;         /* a: rows x depth; b: panels; c: rows x columns or NULL */
    float *d;
} cm_policy_args;

typedef struct {
    size_t rows, columns, depth;    /* c, d: rows x columns int32; c may be NULL */
    const void *a, *b;              /* bytes; strides in elements: lines are rows of A, columns of B; along depth */
    ptrdiff_t a_line, a_along, b_line, b_along;
    int32_t a_signed, b_signed;
    const int32_t *c;
    int32_t *d;
    int32_t clamp;                  /* 0: wrap modulo 2^32; else clamp once per this many k, at most 1024 */
} cm_integer_args;

typedef struct {
    size_t rows, columns, depth;    /* depth in bytes of eight bits each; c, d: rows x columns int32; c may be NULL */
    const uint8_t *a, *b;           /* strides as in cm_integer_args */
    ptrdiff_t a_line, a_along, b_line, b_along;
    const int32_t *c;
    int32_t *d;
    int32_t both;                   /* 1: count the bits set in a and b; 0: those in which they differ */
} cm_binary_args;

#define CM_EXACT_PRODUCTS 16        /* products of one exact step at most */

/* The models of AMD's matrix cores over rows x columns x depth, from codes; the workspace is cm_lanes_workspace bytes.
 * exact: c and `products` products added exactly, one rounding. flushed: 2 or 4 rounded products added in pairs, every
 * result flushed. floored: products truncated to fraction_bits below the largest (of even and of odd k apart with
 * groups = 2), then floored together with c and rounded. */
typedef struct {
    size_t rows, columns, depth;
    size_t padded;                  /* depth with zeros up to a multiple of `instruction` */
    cm_codes a, b;
    const float *c;                 /* rows x columns or NULL */
    float *d;
    int32_t products, instruction;  /* products per step; elements of depth per instruction, a multiple of them */
    int32_t fraction_bits;          /* floored: bits kept */
    int32_t groups;
} cm_lanes_args;

typedef struct {
    void (*pack_rows)(const float *x, size_t rows, size_t depth, size_t padded, int32_t min_exponent, float *value, int32_t *exponent, uint8_t *flag);
    void (*pack_panels)(const float *x, size_t depth, size_t columns, size_t padded, int32_t min_exponent, float *value, int32_t *exponent, uint8_t *flag);
    /* any matrix (depth x columns) in zero-padded panels: elements of 1, 2, 4 or 8 bytes, strides counted in elements */
    void (*panels)(const void *x, ptrdiff_t along, ptrdiff_t across, size_t size, size_t depth, size_t columns, size_t padded, void *out);
    /* the same of codes of 1 or 2 bytes, decoded; which NaN a NaN becomes is left open */
    void (*code_panels)(const void *x, ptrdiff_t along, ptrdiff_t across, size_t size, size_t depth, size_t columns, size_t padded, const cm_decode_spec *code, float *out);
    /* whether every nonzero finite element has an exponent in -limit..limit; line, along as in the operand */
    int (*exponents_within)(const cm_codes *x, size_t lines, size_t depth, int32_t limit);
    void (*fused)(const cm_fused_args *args, size_t row_begin, size_t row_end);
    /* bytes of workspace that one call of fused_codes needs, 64-byte aligned */
    size_t (*fused_codes_workspace)(const cm_fused_codes_args *args);
    void (*fused_codes)(const cm_fused_codes_args *args, size_t row_begin, size_t row_end, void *workspace);
    int32_t integer_products; /* the longest steps that CM_INTEGER runs faster than CM_WIDE */
    void (*chain_f32)(const cm_chain_args *args, size_t row_begin, size_t row_end);
    void (*chain_f64)(const cm_chain_args *args, size_t row_begin, size_t row_end);
    /* out = x * y + z with one rounding; NaN is canonical. out may be z */
    void (*fma_f32)(const float *x, const float *y, const float *z, float *out, size_t n);
    void (*policy)(const cm_policy_args *args, size_t row_begin, size_t row_end);
    size_t (*lanes_workspace)(void);
    void (*exact)(const cm_lanes_args *args, size_t row_begin, size_t row_end, void *workspace);
    void (*flushed)(const cm_lanes_args *args, size_t row_begin, size_t row_end, void *workspace);
    void (*floored)(const cm_lanes_args *args, size_t row_begin, size_t row_end, void *workspace);
    size_t (*integer_workspace)(void);
    void (*integer)(const cm_integer_args *args, size_t row_begin, size_t row_end, void *workspace);
    size_t (*binary_workspace)(void);
    void (*binary)(const cm_binary_args *args, size_t row_begin, size_t row_end, void *workspace);
    size_t (*grouped_workspace)(void);
    void (*grouped)(const cm_grouped_args *args, size_t row_begin, size_t row_end, void *workspace);
} cm_matmul_kernels;

#endif
