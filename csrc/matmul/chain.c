/* IEEE accumulation: DMMA, AMD FP32/FP64, and the documented policies of systolic arrays. */
#include "bits.h"
#include "fpenv.h"
#include "matmul/common.h"

#include "vec.h"

#define CHAIN_TILE_ROWS 6
#define CHAIN_VECTORS (VL == 16 ? 4 : 2) /* thirty-two registers, or sixteen */

#define CHAIN_PIECE 1024 /* of depth, of those rows */

#define T float
#define CHAIN_V vf
#define CHAIN_I vi
#define CHAIN_BROADCAST vf_broadcast
#define CHAIN_MULTIPLY_ADD vf_multiply_add
#define CM_FMA __builtin_fmaf
#define CM_CANONICAL cm_float32(CM_NAN32)
#define CM_CHAIN(name) CM_JOIN(chain_f32, name)
#include "matmul/chain.inc.c"

#define T double
#define CHAIN_V vd
#define CHAIN_I vl
#define CHAIN_BROADCAST vd_broadcast
#define CHAIN_MULTIPLY_ADD vd_multiply_add
#define CM_FMA __builtin_fma
#define CM_CANONICAL cm_float64(CM_NAN64)
#define CM_CHAIN(name) CM_JOIN(chain_f64, name)
#include "matmul/chain.inc.c"

static cm_fpenv enter(int32_t rounding)
{
    return rounding == CM_CHAIN_DOWNWARD ? cm_fpenv_enter_downward()
           : rounding == CM_CHAIN_TOWARD_ZERO ? cm_fpenv_enter_toward_zero()
           : cm_fpenv_enter();
}

void CM_NAME(cm_chain_f32)(const cm_chain_args *args, size_t row_begin, size_t row_end)
{
    cm_fpenv saved = enter(args->rounding);
    for (size_t row = row_begin; args->code && row < row_end; row += CM_CHAIN_ROWS) {
        const size_t rows = row_end - row < CM_CHAIN_ROWS ? row_end - row : CM_CHAIN_ROWS, bytes = (size_t)args->code_bytes;
        CM_NAME(cm_code_rows)((const char *)args->a + row * args->depth * bytes, bytes, rows * args->depth, args->code, args->room);
        cm_chain_args some = *args;
        some.a = args->room;
        some.c = args->c ? (const float *)args->c + row * args->columns : NULL;
        some.d = (float *)args->d + row * args->columns;
        chain_f32_rows(&some, 0, rows);
    }
    if (!args->code) chain_f32_rows(args, row_begin, row_end);
    cm_fpenv_leave(saved);
}

void CM_NAME(cm_chain_f64)(const cm_chain_args *args, size_t row_begin, size_t row_end)
{
    cm_fpenv saved = enter(args->rounding);
    chain_f64_rows(args, row_begin, row_end);
    cm_fpenv_leave(saved);
}
