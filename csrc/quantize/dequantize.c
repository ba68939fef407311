/* Codes and scales back to numbers, of any block shape along any axis: lines of memory, each with a line of scales. */
#include "quantize/entries.h"
#include "quantize/products.h"
#include "fpenv.h"
#include "tier.h"

static CM_NOINLINE void dequantize_loop(const uint8_t *codes, const float *scales, const float *zeros, float *x, size_t begin,
                                        size_t end, size_t lines, const cm_grid *given, const cm_value_spec *spec)
{
    const cm_grid grid = *given;
    const size_t per_line = cm_scales_per_line(&grid);
    const int plain_tensor = cm_is_finite_positive(spec->tensor_scale);
    float values[CM_VALUE_CHUNK + VL];
    for (size_t line = begin; line < end; line++) {
        const size_t row = cm_scale_row(&grid, line) * per_line;
        for (size_t at = 0; at < grid.n; at += CM_VALUE_CHUNK) {
            const size_t n = grid.n - at < CM_VALUE_CHUNK ? grid.n - at : CM_VALUE_CHUNK;
            const size_t first = line * grid.n + at;
            for (size_t k = 0; k < n; k += 64) __builtin_prefetch(codes + first * (size_t)spec->bits / 8 + k + 4096);
            int safe = !cm_values(codes, first, n, lines * grid.n, spec, values) && plain_tensor;
            cm_products(values, scales + row, zeros ? zeros + row : NULL, x + first, at, n, safe, &grid, spec);
        }
    }
}

static void CM_NAME(dequantize)(const uint8_t *codes, const float *scales, const float *zeros, float *x, size_t begin, size_t end,
                                size_t lines, const cm_grid *grid, const cm_value_spec *spec)
{
    cm_fpenv saved = cm_fpenv_enter();
    dequantize_loop(codes, scales, zeros, x, begin, end, lines, grid, spec);
    cm_fpenv_leave(saved);
}

const cm_dequantize_kernels CM_NAME(cm_dequantize) = {
    .dequantize = CM_NAME(dequantize),
    .measure = CM_NAME(cm_measure),
    .tiles_measured = CM_NAME(cm_tiles_measured),
    .pack = CM_NAME(cm_pack),
    .transpose_u8 = CM_NAME(cm_transpose_u8),
    .transpose_u32 = CM_NAME(cm_transpose_u32),
};
