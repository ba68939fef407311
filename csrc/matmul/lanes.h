/* What the kernels of AMD's models share: operands packed from codes a block at a time, with biased 16-bit exponents, and
 * the walk over tiles of ROWS rows and GROUP columns, two vectors side by side.
 *
 * Exponents are those of the un-normalised significands, biased so that the sum of two is not negative while a product
 * with a zero is: the largest exponent is then a signed maximum and the smallest an unsigned minimum, both blind to zeros.
 * The exponents of column l of a tile's left and of its right vector are neighbours: one 32-bit lane holds both. */
#ifndef CHIPMETER_MATMUL_LANES_H
#define CHIPMETER_MATMUL_LANES_H

#include "bits.h"
#include "fpenv.h"
#include "matmul/common.h"
#include "vec.h"

#define ROWS 4
#define GROUP (2 * VL) /* columns of a tile */
#define DEPTH 256      /* of A and B packed at a time */
#define BLOCK 512      /* columns packed at a time */
#define EXPONENT_BIAS 128
#define EXPONENT_ZERO (-16384)
#define EXPONENT_EMPTY 4096 /* least exponent of a block of zeros; its largest is the negative */

typedef int16_t vs __attribute__((vector_size(VL * 4)));
typedef uint16_t vus __attribute__((vector_size(VL * 4)));

static inline vs vs_load(const int16_t *p) { vs x; memcpy(&x, p, sizeof x); return x; }

/* compilers find the instructions for 16-bit maxima and minima in the comparison with a selection */
static inline vs vs_max(vs a, vs b)
{
#if VL == 16
    return (vs)_mm512_max_epi16((__m512i)a, (__m512i)b);
#elif VL == 8
    return (vs)_mm256_max_epi16((__m256i)a, (__m256i)b);
#else
    vs m = a > b;
    return (a & m) | (b & ~m);
#endif
}

static inline vs vs_min_unsigned(vs a, vs b)
{
#if VL == 16
    return (vs)_mm512_min_epu16((__m512i)a, (__m512i)b);
#elif VL == 8
    return (vs)_mm256_min_epu16((__m256i)a, (__m256i)b);
#else
    vs m = (vus)a < (vus)b;
    return (a & m) | (b & ~m);
#endif
}

/* the left and right vector of 32-bit lanes out of a group of 16-bit ones */
static inline vi vs_half(vs x, int right) { return right ? (vi)x >> 16 : (vi)((vu)x << 16) >> 16; }

/* of the finite elements of some lines that are not zero; whether there are others than finite ones */
typedef struct {
    int32_t low, high;
    int special;
} lane_range;

typedef struct {
    float a[ROWS * DEPTH];
    int32_t ea[ROWS * DEPTH];   /* each exponent twice in one word */
    float b[BLOCK * DEPTH];     /* per GROUP: depth x GROUP */
    int16_t eb[BLOCK * DEPTH];
    lane_range of_a, of_b[BLOCK / GROUP];
} lanes_block;

/* one tile's corner: pointers to ROWS rows of A (a short block repeats its last row) and to GROUP columns of B */
typedef struct {
    const float *a[ROWS];
    const int32_t *ea[ROWS];
    const float *b;
    const int16_t *eb;
    size_t first, depth; /* the block's place in the depth of the matrices, and its depth */
    int32_t low, high;   /* least and largest exponent any finite product of the tile may have */
    int special;
    float c[ROWS][GROUP];
} cm_tile;

typedef void tile_function(const cm_lanes_args *args, cm_tile *t);

/* Calls work for every tile of the rows. flush: subnormal numbers of the formats, and zeros of both signs, become +0. */
void CM_NAME(lane_tiles)(const cm_lanes_args *args, size_t begin, size_t end, int flush, tile_function *work, void *workspace);

#endif
