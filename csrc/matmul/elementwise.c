/* Steps over whole matrices between products: what an epilogue or a promotion does on ordinary cores. */
#include "bits.h"
#include "fpenv.h"
#include "matmul/common.h"

static CM_NOINLINE void fma_f32(const float *x, const float *y, const float *z, float *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float r = __builtin_fmaf(x[i], y[i], z[i]);
        out[i] = cm_float32(cm_select32(cm_mask32(r == r), cm_bits32(r), CM_NAN32));
    }
}

void CM_NAME(cm_fma_f32)(const float *x, const float *y, const float *z, float *out, size_t n)
{
    cm_fpenv saved = cm_fpenv_enter();
    fma_f32(x, y, z, out, n);
    cm_fpenv_leave(saved);
}
