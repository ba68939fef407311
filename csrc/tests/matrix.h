/* A matrix product through the kernels: packing, panels, buffers; what gemm.py does in Python. */
#ifndef CHIPMETER_SELFTEST_MATRIX_H
#define CHIPMETER_SELFTEST_MATRIX_H

#include "support.h"

typedef struct {
    const char *a, *b; /* names of layouts */
    int fused, fraction_bits, floor_exponent, output, c_min_exponent;
    int group, scale_block, scale_fraction;
} fused_unit;

/* d = a @ b + c; a: rows x depth, b: depth x columns, c: rows x columns or NULL. Block scales are codes: e8m0 bytes for
 * scale_fraction 0, e4m3 bytes for 3; one per scale_block of depth, (rows x scales) and (columns x scales). */
void fused_product(const cm_kernels *k, const fused_unit *u, size_t rows, size_t columns, size_t depth, const float *a,
                   const float *b, const uint8_t *scale_a, const uint8_t *scale_b, const float *c, float *d);

/* x as codes of a layout, with strides; the caller frees them */
cm_codes codes_of(const cm_kernels *k, const layout *f, const float *x, size_t lines, size_t depth, ptrdiff_t line, ptrdiff_t along);

/* The same product straight from codes, in every way that holds its sums, must give the bits of `want` where it gives any.
 * floored: TR with 1, GTR with 2, else T and ST. */
void from_codes(const cm_kernels *k, const fused_unit *u, int floored, size_t rows, size_t columns, size_t depth, size_t padded, const float *a,
                const float *b, const uint8_t *scale_a, const uint8_t *scale_b, const float *c, const float *want);

/* b (depth x columns) of `size`-byte elements in zero-padded panels; the caller frees it */
void *panels_of(const void *b, size_t depth, size_t columns, size_t size);

static inline size_t panel_count(size_t columns) { return (columns + CM_PANEL - 1) / CM_PANEL; }

#endif
