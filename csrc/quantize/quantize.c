/* The table of block quantisation. */
#include "quantize/entries.h"
#include "quantize/largest.h"
#include "tier.h"

static uint32_t CM_NAME(amax_f32)(const float *x, size_t n) { return largest_in_row(x, n); }

void CM_NAME(cm_hadamard_f32)(const float *x, float *y, size_t groups, uint32_t signs, int inverse);

const cm_quantize_kernels CM_NAME(cm_quantize) = {
    .amax_f32 = CM_NAME(amax_f32),
    .hadamard_f32 = CM_NAME(cm_hadamard_f32),
    .tiles_f32 = CM_NAME(cm_tiles_f32),
};
