/* What packing and the two step kernels of fused_codes.c share.
 *
 * The idea: an accumulator that starts at M = 1.5 * 2^n, n chosen so that its unit in the last place is the alignment
 * grid g = 2^(X - F). Under rounding toward minus infinity one fused multiply-add then floors a product to the grid and
 * adds it, exactly. Floor becomes truncation thus: A is packed as a * (1 + eta), which moves every product away from
 * zero, by less than its own last bit. A positive product still floors to its truncation; a negative one floors to
 * exactly one grid step below its truncation, always. The number of negative products, a population count of sign
 * words, is added back. Zeros are packed as tiny positive numbers so that they obey the same rule. */
#ifndef CHIPMETER_MATMUL_FUSED_CODES_H
#define CHIPMETER_MATMUL_FUSED_CODES_H

#include "bits.h"
#include "fpenv.h"
#include "matmul/common.h"
#include "vec.h"

#if VL == 4 && !defined(__x86_64__)
#define TILE_ROWS 4
#elif VL == 16
#define TILE_ROWS 4
#else
#define TILE_ROWS 2 /* sixteen registers */
#endif

#define BLOCK_DEPTH 256   /* of A and B packed at a time */
#define BLOCK_ROWS 64
#define BLOCK_COLUMNS 1024
#define LINE (BLOCK_DEPTH + 16) /* not a power of two, and room for the last whole vector */

#define NARROW_GROUPS 4   /* vectors of columns in a panel: one vector of packed exponents covers a panel */
#define WIDE_GROUPS 2
#define PANEL_MOST (NARROW_GROUPS * VL)

#define NARROW_BIAS_A 63  /* of a packed exponent byte: a sum is then the biased exponent of binary32 */
#define NARROW_BIAS_B 64
#define WIDE_BIAS 1024    /* of a packed exponent half: sums with a packed zero stay below all others */
#define NARROW_ETA 0x1p-16f
#define WIDE_ETA 0x1p-30
#define NARROW_ZERO 0x1p-120f
#define WIDE_ZERO 0x1p-600

enum { CLASS_NAN = 1, CLASS_INFINITY = 2 };

typedef struct {
    void *a;            /* BLOCK_ROWS x LINE: float or double */
    uint32_t *a_exponent; /* BLOCK_ROWS x LINE: the byte or half in every lane */
    uint32_t *a_signs;  /* BLOCK_ROWS x steps */
    void *b;            /* per panel: depth x panel width */
    uint32_t *b_exponent; /* per panel: depth x VL; lane l holds columns l, VL + l, ... */
    uint32_t *b_signs;  /* per panel: steps x panel width */
    float *c;           /* BLOCK_ROWS x panel width */
    uint8_t *row_class, *column_class;
} fused_block;

typedef struct {
    size_t fused;
    int32_t fraction_bits, floor_exponent, least, output;
    int32_t halves;     /* least is that of binary16, or the output is: the accumulator's exponent always needs care */
} step_rule;

/* TILE_ROWS rows of A and one panel of B for one step */
typedef struct {
    const void *a;      /* rows LINE apart */
    uint32_t a_signs[TILE_ROWS];
    const void *b;
    const uint32_t *b_signs;
    const uint32_t *a_exponent, *b_exponent;
    const uint32_t *next_a_exponent, *next_b_exponent; /* of the tile that comes next */
    float *c;           /* TILE_ROWS x panel width */
} step_tile;

void CM_NAME(fused_pack_rows)(const cm_fused_codes_args *args, size_t row, size_t rows, size_t k0, size_t depth, const fused_block *to);
void CM_NAME(fused_pack_panel)(const cm_fused_codes_args *args, size_t column, size_t width, size_t k0, size_t depth,
                               const fused_block *to);

#endif
