/* The table of block quantisation. */
#include "quantize/entries.h"
#include "quantize/largest.h"
#include "tier.h"

static uint32_t CM_NAME(amax_f32)(const float *x, size_t n) { return largest_in_row(x, n); }

static uint32_t CM_NAME(amax_blocks_f32)(const float *x, size_t blocks, size_t columns, uint32_t *amax)
{
    return columns == 16 ? largest_of_blocks(x, blocks, 16, amax) : largest_of_blocks(x, blocks, columns, amax);
}

void CM_NAME(cm_hadamard_f32)(const float *x, float *y, size_t groups, uint32_t signs, int inverse);

const cm_quantize_kernels CM_NAME(cm_quantize) = {
    .amax_f32 = CM_NAME(amax_f32),
    .amax_blocks_f32 = CM_NAME(amax_blocks_f32),
    .hadamard_f32 = CM_NAME(cm_hadamard_f32),
    .tiles_f32 = CM_NAME(cm_tiles_f32),
};
