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
    for (size_t k0 = 0; k0 < args->depth; k0 += L) {
        const int opens = k0 % (size_t)args->instruction == 0;
        for (int h = 0; h < 2; h++) {
            vf b[4];
            for (size_t k = 0; k < L; k++) b[k] = vf_load(t->b + (k0 + k) * CM_LANES + h * VL);
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

static CM_NOINLINE void all_tiles(const cm_lanes_args *args, size_t begin, size_t end)
{
    every_tile(args, begin, end, flushed_tile);
}

void CM_NAME(cm_flushed)(const cm_lanes_args *args, size_t row_begin, size_t row_end)
{
    cm_fpenv saved = cm_fpenv_enter();
    all_tiles(args, row_begin, row_end);
    cm_fpenv_leave(saved);
}
