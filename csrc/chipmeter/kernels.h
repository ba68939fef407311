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

#include "chipmeter/collectives.h"
#include "chipmeter/dequantize.h"
#include "chipmeter/formats.h"
#include "chipmeter/matmul.h"
#include "chipmeter/quantize.h"

typedef struct {
    const char *tier;
    const cm_format_kernels *formats;
    const cm_quantize_kernels *quantize;
    const cm_dequantize_kernels *dequantize;
    const cm_matmul_kernels *matmul;
    const cm_collective_kernels *collectives;
} cm_kernels;

/* dispatch.c */
size_t cm_tier_count(void);                    /* tiers that were compiled and that this CPU can run, best first */
const cm_kernels *cm_tier(size_t index);
const char *cm_compiler(void);

#endif
