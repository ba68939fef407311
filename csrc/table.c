/* The table of this tier: one row per family of kernels. */
#include "tier.h"

const cm_kernels CM_NAME(cm_kernels) = {
    .tier = CHIPMETER_TIER_NAME,
    .formats = &CM_NAME(cm_formats),
    .quantize = &CM_NAME(cm_quantize),
    .dequantize = &CM_NAME(cm_dequantize),
    .matmul = &CM_NAME(cm_matmul),
    .collectives = &CM_NAME(cm_collectives),
};
