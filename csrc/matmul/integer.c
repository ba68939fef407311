/* Integer products: exact, added to a 32-bit accumulator that wraps, or is clamped once per instruction. */
#include "matmul/common.h"

static void one_row(const cm_integer_args *args, size_t row, size_t panel)
{
    const size_t first = panel * CM_PANEL, depth = args->depth;
    const size_t width = args->columns - first < CM_PANEL ? args->columns - first : CM_PANEL;
    const int32_t *a = args->a + row * depth, *b = args->b + panel * depth * CM_PANEL;
    uint32_t acc[CM_PANEL] = {0}; /* unsigned: wrapping is defined */
    for (size_t j = 0; args->c && j < width; j++) acc[j] = (uint32_t)args->c[row * args->columns + first + j];
    const size_t step = args->clamp ? (size_t)args->clamp : depth;
    for (size_t k0 = 0; k0 < depth; k0 += step) {
        size_t end = depth - k0 < step ? depth : k0 + step;
        uint32_t sum[CM_PANEL] = {0};
        for (size_t k = k0; k < end; k++)
            for (int j = 0; j < CM_PANEL; j++) sum[j] += (uint32_t)(a[k] * b[k * CM_PANEL + j]);
        for (int j = 0; j < CM_PANEL; j++) {
            int64_t exact = (int64_t)(int32_t)acc[j] + (int32_t)sum[j];
            int64_t clamped = exact < INT32_MIN ? INT32_MIN : exact > INT32_MAX ? INT32_MAX : exact;
            acc[j] = args->clamp ? (uint32_t)(int32_t)clamped : acc[j] + sum[j];
        }
    }
    for (size_t j = 0; j < width; j++) args->d[row * args->columns + first + j] = (int32_t)acc[j];
}

void CM_NAME(cm_integer)(const cm_integer_args *args, size_t row_begin, size_t row_end)
{
    for (size_t panel = 0; panel * CM_PANEL < args->columns; panel++)
        for (size_t row = row_begin; row < row_end; row++) one_row(args, row, panel);
}
