/* Fused dot products from codes, at the speed of a multiply-add chain: the models T and ST, TR and GTR.
 *
 * fused_codes.h tells the idea. B is packed a block of depth and columns at a time, A a block of rows; a panel's
 * accumulators stay in a small buffer while the steps of the block run over it. Outputs whose special values need more
 * than a look at two flags go to infinities.c; what it cannot decide is left to the general kernel and marked. */
#include "matmul/fused_codes.h"

static size_t least(size_t a, size_t b) { return a < b ? a : b; }
static size_t up(size_t n, size_t to) { return (n + to - 1) / to * to; }

static size_t value_size(const cm_fused_codes_args *args) { return args->way == CM_WIDE ? sizeof(double) : sizeof(float); }
static size_t panel_width(const cm_fused_codes_args *args) { return (args->way == CM_NARROW ? NARROW_GROUPS : WIDE_GROUPS) * VL; }
static size_t block_depth(const cm_fused_codes_args *args)
{
    const size_t L = (size_t)args->fused;
    return least(BLOCK_DEPTH / L * L, args->padded);
}

/* lays the block out from `base`, unless NULL; returns its size */
static size_t lay_out(const cm_fused_codes_args *args, size_t rows, unsigned char *base, fused_block *block)
{
    const size_t W = panel_width(args), depth = block_depth(args), steps = depth / (size_t)args->fused;
    const size_t columns = least(up(args->columns, W), BLOCK_COLUMNS), size = value_size(args);
    const size_t m = up(least(rows, BLOCK_ROWS), TILE_ROWS);
    size_t at = 0;
#define PLACE(field, bytes)                                                                                          \
    if (base) block->field = (void *)(base + at);                                                                    \
    at += up(bytes, 64)
    PLACE(a, m * LINE * size);
    PLACE(a_exponent, m * LINE * 4);
    PLACE(a_signs, m * steps * 4);
    PLACE(b, columns * depth * size);
    PLACE(b_exponent, columns / W * depth * VL * 4);
    PLACE(b_signs, columns * steps * 4);
    PLACE(c, m * W * 4);
    PLACE(row_class, rows);
    PLACE(column_class, columns);
    PLACE(infinities, CM_NAME(fused_infinities_workspace)(args, rows));
#undef PLACE
    return at;
}

size_t CM_NAME(cm_fused_codes_workspace)(const cm_fused_codes_args *args)
{
    return lay_out(args, args->rows, NULL, NULL) + 64;
}

/* NaN and infinity: what two flags and the accumulator decide is written, the rest is left and marked */
static void settle(const cm_fused_codes_args *args, size_t row, size_t column, size_t width, int row_class,
                   const uint8_t *column_class)
{
    float *d = args->d + row * args->columns + column;
    uint8_t *left = args->left + row * args->columns + column;
    for (size_t j = 0; j < width; j++) {
        const int class = row_class | column_class[j];
        const float c = args->c ? args->c[row * args->columns + column + j] : 0;
        if (class & CLASS_NAN || c != c) d[j] = cm_float32(CM_NAN32);
        else if (class && (c - c != 0 || d[j] - d[j] == 0)) left[j] = LEFT_INFINITE;
        else if (class || d[j] != d[j]) left[j] = LEFT_GENERAL;
        args->left_rows[row] |= left[j];
    }
}

static void load_panel(const cm_fused_codes_args *args, const float *from, size_t row, size_t rows, size_t column, size_t width,
                       float *c)
{
    const size_t W = panel_width(args);
    for (size_t r = 0; r < up(rows, TILE_ROWS); r++, c += W) {
        size_t n = from && r < rows ? width : 0;
        for (size_t j = 0; j < n; j++) {
            float x = from[(row + r) * args->columns + column + j];
            if (args->way == CM_NARROW) x = cm_float32(cm_bits32(x) & ~0x3ffu); /* 13 bits of it count */
            c[j] = x == 0 ? 0.0f : x; /* no negative zero: its sign would count as a negative term */
        }
        memset(c + n, 0, (W - n) * sizeof *c);
    }
}

static void (*const RUN[])(const panel_run *) = {
    [CM_WIDE] = CM_NAME(fused_wide_panel),         [CM_NARROW] = CM_NAME(fused_narrow_panel),
    [CM_INTEGER] = CM_NAME(fused_integer_panel),   [CM_FLOORED] = CM_NAME(fused_floored_panel),
    [CM_PARITIES] = CM_NAME(fused_parities_panel),
};

static CM_NOINLINE void all_blocks(const cm_fused_codes_args *args, size_t begin, size_t end, unsigned char *workspace)
{
    void (*const run_panel)(const panel_run *) = RUN[args->way];
    const size_t W = panel_width(args), most = block_depth(args), size = value_size(args);
    const uint32_t kept = args->output == CM_RZ_E8M13 ? ~0x3ffu : ~0u; /* the steps of narrow formats leave it to us */
    fused_block all;
    lay_out(args, end - begin, workspace + (64 - (uintptr_t)workspace % 64) % 64, &all);
    for (size_t column0 = 0; column0 < args->columns; column0 += BLOCK_COLUMNS) {
        const size_t columns = least(args->columns - column0, BLOCK_COLUMNS);
        memset(all.row_class, 0, end - begin);
        memset(all.column_class, 0, up(columns, W));
        for (size_t k0 = 0; k0 < args->padded; k0 += most) {
            const size_t depth = least(args->padded - k0, most), steps = depth / (size_t)args->fused;
            for (size_t j = 0; j < columns; j += W) {
                fused_block to = all;
                to.b = (unsigned char *)all.b + j * depth * size;
                to.b_exponent += j / W * depth * VL;
                to.b_signs += j * steps;
                to.column_class += j;
                CM_NAME(fused_pack_panel)(args, column0 + j, least(W, columns - j), k0, depth, &to);
            }
            for (size_t row = begin; row < end; row += BLOCK_ROWS) {
                const size_t rows = least(end - row, BLOCK_ROWS), tiled = up(rows, TILE_ROWS);
                fused_block block = all;
                block.row_class += row - begin;
                CM_NAME(fused_pack_rows)(args, row, rows, k0, depth, &block);
                for (size_t r = rows; r < tiled; r++) { /* a short tile repeats its last row */
                    memcpy((unsigned char *)block.a + r * LINE * size, (unsigned char *)block.a + (rows - 1) * LINE * size, LINE * size);
                    memcpy(block.a_exponent + r * LINE, block.a_exponent + (rows - 1) * LINE, LINE * 4);
                    memcpy(block.a_signs + r * steps, block.a_signs + (rows - 1) * steps, steps * 4);
                }
                for (size_t j = 0; j < columns; j += W) {
                    const size_t width = least(W, columns - j);
                    int special = 0;
                    load_panel(args, k0 ? args->d : args->c, row, rows, column0 + j, width, block.c);
                    run_panel(&(panel_run){args, &block, j / W, width, rows, depth, k0 == 0});
                    for (size_t i = 0; i < width; i++) special |= block.column_class[j + i];
                    for (size_t r = 0; r < rows; r++) {
                        float *d = args->d + (row + r) * args->columns + column0 + j;
                        const float *c = block.c + r * W;
                        int nan = 0;
                        for (size_t i = 0; i < width; i++) nan |= c[i] != c[i];
                        for (size_t i = 0; i < width; i++) {
                            const float x = cm_float32(cm_bits32(c[i]) & kept);
                            d[i] = x == 0 ? 0.0f : x;
                        }
                        if (k0 + depth == args->padded && (special || nan || block.row_class[r]))
                            settle(args, row + r, column0 + j, width, block.row_class[r], block.column_class + j);
                    }
                }
            }
        }
    }
    CM_NAME(fused_infinities)(args, begin, end, all.infinities);
}

void CM_NAME(cm_fused_codes)(const cm_fused_codes_args *args, size_t row_begin, size_t row_end, void *workspace)
{
    cm_fpenv saved = args->way >= CM_FLOORED    ? cm_fpenv_enter()
                     : args->way == CM_INTEGER ? cm_fpenv_enter_toward_zero()
                                               : cm_fpenv_enter_downward();
    all_blocks(args, row_begin, row_end, workspace);
    cm_fpenv_leave(saved);
}
