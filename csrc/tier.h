/* Names that carry the tier, so that a profile says which copy ran, and the fragments each family exports. */
#ifndef CHIPMETER_TIER_H
#define CHIPMETER_TIER_H

#include "chipmeter/kernels.h"

#define CM_JOIN_(a, b) a##_##b
#define CM_JOIN(a, b) CM_JOIN_(a, b)
#define CM_NAME(name) CM_JOIN(name, CHIPMETER_TIER)

extern const cm_format_kernels CM_NAME(cm_formats);
extern const cm_quantize_kernels CM_NAME(cm_quantize);
extern const cm_dequantize_kernels CM_NAME(cm_dequantize);
extern const cm_matmul_kernels CM_NAME(cm_matmul);
extern const cm_collective_kernels CM_NAME(cm_collectives);
extern const cm_kernels CM_NAME(cm_kernels);

#endif
