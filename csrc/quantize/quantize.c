/* The table of block quantisation. */
#include "fpenv.h"
#include "quantize/largest.h"
#include "tier.h"

static uint32_t CM_NAME(amax_f32)(const float *x, size_t n) { return largest_in_row(x, n); }

void CM_NAME(cm_tiles_f32)(const cm_tiling *tiling, const cm_tile_spec *spec);

const cm_quantize_kernels CM_NAME(cm_quantize) = {
    .amax_f32 = CM_NAME(amax_f32),
    .tiles_f32 = CM_NAME(cm_tiles_f32),
};
