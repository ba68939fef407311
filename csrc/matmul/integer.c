/* Integer products: exact, added to a 32-bit accumulator that wraps, or is clamped once per instruction.
 *
 * No accumulator is clamped that lies further from the limits than the products of a block of depth can carry it: most
 * tiles of a unit that clamps are those of one that wraps.
 *
 * A is packed as signed and B as unsigned bytes where the tier multiplies such pairs four at a time; the shift by 128
 * that this takes is undone with the sums of rows and columns, modulo 2^32. Elsewhere both are pairs of 16-bit numbers. */
#include "fpenv.h"
#include "matmul/common.h"
#include "matmul/dots.h"

#include <string.h>

#if VL == 16
#define ROWS 6
#define VECTORS 4
#elif VL == 8
#define ROWS 6
#define VECTORS 2
#else
#define ROWS 2
#define VECTORS 4
#endif
#define COLUMNS (VECTORS * VL)
#define DEPTH 1024 /* a multiple of TOGETHER, and of every instruction known to clamp */
#define BLOCK 512

typedef struct {
    packed_a a[ROWS * DEPTH];
    packed_b b[BLOCK * DEPTH];          /* per COLUMNS: depth / TOGETHER x COLUMNS x TOGETHER */
    int32_t row_sum[ROWS], column_sum[BLOCK];
} workspace_layout;

size_t CM_NAME(cm_integer_workspace)(void) { return sizeof(workspace_layout) + 64; }

static inline int32_t element(const cm_integer_args *args, int of_b, size_t line, size_t k)
{
    const uint8_t *p = (of_b ? args->b : args->a);
    const ptrdiff_t at = (ptrdiff_t)line * (of_b ? args->b_line : args->a_line) + (ptrdiff_t)k * (of_b ? args->b_along : args->a_along);
    return (of_b ? args->b_signed : args->a_signed) ? (int8_t)p[at] : p[at];
}

static void pack_rows(const cm_integer_args *args, size_t row, size_t rows, size_t k0, size_t depth, size_t padded, workspace_layout *w)
{
    const uint8_t flip = SHIFTED && !args->a_signed ? 0x80 : 0;
    for (size_t r = 0; r < ROWS; r++) {
        const size_t line = row + (r < rows ? r : rows - 1);
        packed_a *to = w->a + r * DEPTH;
        const uint8_t *from = (const uint8_t *)args->a + (ptrdiff_t)line * args->a_line + (ptrdiff_t)k0 * args->a_along;
        int32_t sum = 0;
        if (SHIFTED && args->a_along == 1) {
            for (size_t k = 0; k < depth; k++) to[k] = (packed_a)(from[k] ^ flip);
        } else {
            for (size_t k = 0; k < depth; k++)
                to[k] = SHIFTED ? (packed_a)(from[(ptrdiff_t)k * args->a_along] ^ flip) : (packed_a)element(args, 0, line, k0 + k);
        }
        for (size_t k = depth; k < padded; k++) to[k] = flip;
        if (SHIFTED) for (size_t k = 0; k < padded; k++) sum += (int32_t)(int8_t)to[k];
        w->row_sum[r] = sum;
    }
}

/* adds the sums of packed columns over `depth`, a multiple of TOGETHER */
static void add_columns(const packed_b *b, size_t depth, int32_t *sums)
{
    const vi ones = vi_set(TOGETHER == 4 ? 0x01010101 : 0x00010001);
    for (int v = 0; v < VECTORS; v++) {
        vi sum = vi_load(sums + v * VL);
        for (size_t k = 0; k < depth; k += TOGETHER) {
            vi y;
            memcpy(&y, b + k * COLUMNS + (size_t)v * VL * TOGETHER, sizeof y);
            sum = MULTIPLY_ADD(sum, ones, y);
        }
        vi_store(sums + v * VL, sum);
    }
}

static void pack_columns(const cm_integer_args *args, size_t column, size_t width, size_t k0, size_t depth, size_t padded, packed_b *to,
                         int32_t *sums)
{
    const uint8_t flip = SHIFTED && args->b_signed ? 0x80 : 0;
    memset(sums, 0, COLUMNS * sizeof *sums);
    for (size_t k = 0; k < padded; k += TOGETHER) {
        uint32_t words[COLUMNS];
        packed_b *group = to + k * COLUMNS;
        const uint8_t *from = (const uint8_t *)args->b + (ptrdiff_t)(k0 + k) * args->b_along + (ptrdiff_t)column * args->b_line;
        if (k + TOGETHER <= depth && width == COLUMNS && args->b_line == 1) {
            const uint8_t *next = from + args->b_along;
#if SHIFTED
            const uint8_t *third = next + args->b_along, *last = third + args->b_along;
            for (size_t j = 0; j < COLUMNS; j++)
                words[j] = ((uint32_t)from[j] | (uint32_t)next[j] << 8 | (uint32_t)third[j] << 16 | (uint32_t)last[j] << 24)
                           ^ flip * 0x01010101u;
#else
            const uint32_t extend = args->b_signed ? 0x80 : 0; /* (x ^ 128) - 128 is the signed byte */
            for (size_t j = 0; j < COLUMNS; j++)
                words[j] = ((((uint32_t)from[j] ^ extend) - extend) & 0xffffu) | (((uint32_t)next[j] ^ extend) - extend) << 16;
#endif
            memcpy(group, words, sizeof words);
        } else {
            for (size_t i = 0; i < TOGETHER; i++)
                for (size_t j = 0; j < COLUMNS; j++) {
                    int32_t x = k + i < depth && j < width ? element(args, 1, column + j, k0 + k + i) : 0;
                    group[j * TOGETHER + i] = SHIFTED ? (packed_b)((uint8_t)x ^ flip) : (packed_b)x;
                }
        }
    }
    if (SHIFTED) add_columns(to, padded, sums);
}

/* products of ROWS rows and COLUMNS columns over `depth` (a multiple of TOGETHER), added to acc */
static inline __attribute__((always_inline)) void products(const packed_a *a, const packed_b *b, size_t depth, vi acc[ROWS][VECTORS])
{
    for (size_t k = 0; k < depth; k += TOGETHER) {
        vi y[VECTORS];
        for (int v = 0; v < VECTORS; v++) memcpy(&y[v], b + k * COLUMNS + (size_t)v * VL * TOGETHER, sizeof y[v]);
        for (int r = 0; r < ROWS; r++) {
            int32_t word;
            memcpy(&word, a + (size_t)r * DEPTH + k, sizeof word);
            vi x = vi_set(word);
            for (int v = 0; v < VECTORS; v++) acc[r][v] = MULTIPLY_ADD(acc[r][v], x, y[v]);
        }
    }
}

/* what the shifts by 128 added to `depth` products */
static inline int32_t shifted(const cm_integer_args *args, int32_t row_sum, int32_t column_sum, size_t depth)
{
    const uint32_t of_a = SHIFTED && !args->a_signed ? 128 : 0, of_b = SHIFTED && args->b_signed ? 128 : 0;
    return (int32_t)(of_a * (uint32_t)column_sum - of_b * (uint32_t)row_sum - of_a * of_b * (uint32_t)depth);
}

/* whether an accumulator may come to be clamped within `depth` products of bytes */
static int near_limits(int32_t total[ROWS][COLUMNS], size_t depth)
{
    const vi most = vi_set(INT32_MAX - (int32_t)depth * (UINT8_MAX * UINT8_MAX));
    vi near = vi_set(0);
    for (size_t r = 0; r < ROWS; r++)
        for (int v = 0; v < VECTORS; v++) {
            const vi x = vi_load(&total[r][v * VL]);
            near |= (x ^ (x >> 31)) > most;
        }
    return vi_sign_bits(near) != 0;
}

/* adds `depth` products to the accumulators; those of one instruction are far from overflow, so that one at most shows in
 * the sign */
static inline __attribute__((always_inline)) void add(const cm_integer_args *args, const packed_a *a, const packed_b *b, const int32_t *row_sums,
                                                      const int32_t *column_sums, size_t depth, int clamp, int32_t total[ROWS][COLUMNS])
{
    vi acc[ROWS][VECTORS];
    memset(acc, 0, sizeof acc);
    products(a, b, depth, acc);
    for (size_t r = 0; r < ROWS; r++)
        for (int v = 0; v < VECTORS; v++) {
            const vi before = vi_load(&total[r][v * VL]);
            vi sum = vi_wrapping_add(before, acc[r][v]);
            if (SHIFTED) {
                int32_t more[VL];
                for (int l = 0; l < VL; l++) more[l] = shifted(args, row_sums[r], column_sums[v * VL + l], depth);
                sum = vi_wrapping_add(sum, vi_load(more));
            }
            if (clamp) {
                const vi step = (vi)((vu)sum - (vu)before), over = (~(before ^ step) & (before ^ sum)) >> 31;
                sum = (((before >> 31) ^ INT32_MAX) & over) | (sum & ~over);
            }
            vi_store(&total[r][v * VL], sum);
        }
}

/* instruction by instruction */
static CM_NOINLINE void add_clamped(const cm_integer_args *args, const packed_a *a, const packed_b *b, size_t depth, int32_t total[ROWS][COLUMNS])
{
    const size_t step = ((size_t)args->clamp + TOGETHER - 1) / TOGETHER * TOGETHER;
    for (size_t k = 0; k < depth; k += step) {
        const size_t some = depth - k < step ? depth - k : step;
        int32_t row_sums[ROWS] = {0}, column_sums[COLUMNS] = {0};
        if (SHIFTED) {
            for (size_t r = 0; r < ROWS; r++)
                for (size_t i = k; i < k + some; i++) row_sums[r] += (int8_t)a[r * DEPTH + i];
            add_columns(b + k * COLUMNS, some, column_sums);
        }
        add(args, a + k, b + k * COLUMNS, row_sums, column_sums, some, 1, total);
    }
}

static CM_NOINLINE void tile(const cm_integer_args *args, const workspace_layout *w, const packed_b *b, const int32_t *column_sums,
                             size_t row, size_t rows, size_t column, size_t depth, int first)
{
    const size_t most = args->columns - column, width = most < COLUMNS ? most : COLUMNS;
    const int32_t *from = first ? args->c : args->d;
    int32_t total[ROWS][COLUMNS];
    for (size_t r = 0; r < ROWS; r++) {
        memset(total[r], 0, sizeof total[r]);
        if (from) memcpy(total[r], from + (row + (r < rows ? r : rows - 1)) * args->columns + column, width * sizeof(int32_t));
    }
    if (args->clamp && near_limits(total, depth)) add_clamped(args, w->a, b, depth, total);
    else add(args, w->a, b, w->row_sum, column_sums, depth, 0, total);
    for (size_t r = 0; r < rows; r++) memcpy(args->d + (row + r) * args->columns + column, total[r], width * sizeof(int32_t));
}

void CM_NAME(cm_integer)(const cm_integer_args *args, size_t row_begin, size_t row_end, void *workspace)
{
    workspace_layout *w = (void *)((unsigned char *)workspace + (64 - (uintptr_t)workspace % 64) % 64);
    const size_t clamp = (size_t)args->clamp, step = clamp && (clamp % TOGETHER || DEPTH % clamp) ? clamp : DEPTH;
    for (size_t column0 = 0; column0 < args->columns; column0 += BLOCK) {
        const size_t columns = args->columns - column0 < BLOCK ? args->columns - column0 : BLOCK;
        for (size_t k = 0; k < args->depth; k += step) {
            const size_t depth = args->depth - k < step ? args->depth - k : step, padded = (depth + TOGETHER - 1) / TOGETHER * TOGETHER;
            for (size_t j = 0; j < columns; j += COLUMNS)
                pack_columns(args, column0 + j, columns - j < COLUMNS ? columns - j : COLUMNS, k, depth, padded, w->b + j * DEPTH,
                             w->column_sum + j);
            for (size_t row = row_begin; row < row_end; row += ROWS) {
                const size_t rows = row_end - row < ROWS ? row_end - row : ROWS;
                pack_rows(args, row, rows, k, depth, padded, w);
                for (size_t j = 0; j < columns; j += COLUMNS)
                    tile(args, w, w->b + j * DEPTH, w->column_sum + j, row, rows, column0 + j, padded, k == 0);
            }
        }
    }
}
