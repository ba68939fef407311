/* The matrix family's row in this tier's table. */
#include "matmul/common.h"

#if defined(__AVX512VPOPCNTDQ__)
#define INTEGER_PRODUCTS 8 /* signs are counted in one operation: longer steps are faster in float64 */
#else
#define INTEGER_PRODUCTS 16
#endif

const cm_matmul_kernels CM_NAME(cm_matmul) = {
    .pack_rows = CM_NAME(cm_pack_rows),
    .pack_panels = CM_NAME(cm_pack_panels),
    .panels = CM_NAME(cm_panels),
    .code_panels = CM_NAME(cm_code_panels),
    .exponents_within = CM_NAME(cm_exponents_within),
    .fused = CM_NAME(cm_fused),
    .fused_codes_workspace = CM_NAME(cm_fused_codes_workspace),
    .fused_codes = CM_NAME(cm_fused_codes),
    .integer_products = INTEGER_PRODUCTS,
    .chain_f32 = CM_NAME(cm_chain_f32),
    .chain_f64 = CM_NAME(cm_chain_f64),
    .fma_f32 = CM_NAME(cm_fma_f32),
    .policy = CM_NAME(cm_policy),
    .integer_workspace = CM_NAME(cm_integer_workspace),
    .integer = CM_NAME(cm_integer),
    .binary_workspace = CM_NAME(cm_binary_workspace),
    .binary = CM_NAME(cm_binary),
    .lanes_workspace = CM_NAME(cm_lanes_workspace),
    .exact = CM_NAME(cm_exact),
    .flushed = CM_NAME(cm_flushed),
    .floored = CM_NAME(cm_floored),
    .grouped_workspace = CM_NAME(cm_grouped_workspace),
    .grouped = CM_NAME(cm_grouped),
};
