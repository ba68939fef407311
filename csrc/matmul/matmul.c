/* The matrix family's row in this tier's table. */
#include "matmul/common.h"

const cm_matmul_kernels CM_NAME(cm_matmul) = {
    .pack_rows = CM_NAME(cm_pack_rows),
    .pack_panels = CM_NAME(cm_pack_panels),
    .fused = CM_NAME(cm_fused),
    .chain_f32 = CM_NAME(cm_chain_f32),
    .chain_f64 = CM_NAME(cm_chain_f64),
    .integer = CM_NAME(cm_integer),
    .lane_rows = CM_NAME(cm_lane_rows),
    .lane_panels = CM_NAME(cm_lane_panels),
    .exact = CM_NAME(cm_exact),
    .flushed = CM_NAME(cm_flushed),
    .floored = CM_NAME(cm_floored),
    .binary = CM_NAME(cm_binary),
};
