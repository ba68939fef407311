/* The table of block quantisation. */
#include "quantize/entries.h"
#include "quantize/largest.h"
#include "tier.h"

static uint32_t CM_NAME(amax_f32)(const float *x, size_t n) { return largest_in_row(x, n); }

const cm_quantize_kernels CM_NAME(cm_quantize) = {
    .amax_f32 = CM_NAME(amax_f32),
    .tiles_f32 = CM_NAME(cm_tiles_f32),
};
