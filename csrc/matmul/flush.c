/* FTZ, the dot product of CDNA2: binary32 products and sums, each rounded to nearest even and flushed.
 *
 * Two or four products are added in pairs, the pairs to each other and that sum to the accumulator. Operands come packed
 * with their subnormals and zeros as +0; the accumulator is treated so at the start of every instruction. NaN and
 * infinity follow IEEE 754. */
#include "matmul/lanes.h"

/* a result below 2^-126 becomes the zero of its sign */
static inline vf flushed(vf x)
{
    vi bits = (vi)x, normal = (bits & 0x7f800000) != 0;
    return (vf)(bits & (normal | INT32_MIN));
}

static CM_NOINLINE void flushed_tile(const cm_lanes_args *args, cm_tile *t)
{
    const size_t L = (size_t)args->products;
    for (size_t k0 = 0; k0 < t->depth; k0 += L) {
        const int opens = (t->first + k0) % (size_t)args->instruction == 0;
        for (int h = 0; h < 2; h++) {
            vf b[4];
            for (size_t k = 0; k < L; k++) b[k] = vf_load(t->b + (k0 + k) * GROUP + h * VL);
            for (int r = 0; r < ROWS; r++) {
                const float *a = t->a[r] + k0;
                vf c = vf_load(&t->c[r][h * VL]);
                if (opens) c = flushed(c) + 0.0f; /* -0 + 0 is +0 */
                vf sum = flushed(flushed(b[0] * a[0]) + flushed(b[1] * a[1]));
                if (L == 4) sum = flushed(sum + flushed(flushed(b[2] * a[2]) + flushed(b[3] * a[3])));
                vf_store(&t->c[r][h * VL], flushed(c + sum));
            }
        }
    }
}

void CM_NAME(cm_flushed)(const cm_lanes_args *args, size_t row_begin, size_t row_end, void *workspace)
{
    cm_fpenv saved = cm_fpenv_enter();
    CM_NAME(lane_tiles)(args, row_begin, row_end, 1, flushed_tile, workspace);
    cm_fpenv_leave(saved);
}
