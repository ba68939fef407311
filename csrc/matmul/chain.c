/* IEEE accumulation: DMMA, AMD FP32/FP64, and the documented policies of systolic arrays. */
#include "bits.h"
#include "fpenv.h"
#include "matmul/common.h"

#include <string.h>

#define T float
#define CM_FMA __builtin_fmaf
#define CM_CANONICAL cm_float32(CM_NAN32)
#define CM_CHAIN(name) CM_JOIN(chain_f32, name)
#include "matmul/chain.inc.c"

#define T double
#define CM_FMA __builtin_fma
#define CM_CANONICAL cm_float64(CM_NAN64)
#define CM_CHAIN(name) CM_JOIN(chain_f64, name)
#include "matmul/chain.inc.c"

void CM_NAME(cm_chain_f32)(const cm_chain_args *args, size_t row_begin, size_t row_end)
{
    cm_fpenv saved = cm_fpenv_enter();
    chain_f32_rows(args, row_begin, row_end);
    cm_fpenv_leave(saved);
}

void CM_NAME(cm_chain_f64)(const cm_chain_args *args, size_t row_begin, size_t row_end)
{
    cm_fpenv saved = cm_fpenv_enter();
    chain_f64_rows(args, row_begin, row_end);
    cm_fpenv_leave(saved);
}
