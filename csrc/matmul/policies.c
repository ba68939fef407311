/* Orders of a systolic column that are nobody's published arithmetic but somebody's claim or a plausible design, so
 * that a result can be held against each: products rounded to bfloat16, and sums formed inside a processing element.
 *
 * bf16 products: acc += bf16(a * b), the product rounded to binary32 and then to bfloat16, both to nearest even.
 * element sums: the rounded products of the `lanes` neighbours that one processing element multiplies are added by a
 * binary tree, each sum rounded; the element's sum is then added to what comes down the column. */
#include "bits.h"
#include "fpenv.h"
#include "matmul/common.h"

#include <string.h>

enum { ROWS = 4 };

/* to nearest even; NaN stays NaN whatever its payload */
static inline float round_bf16(float x)
{
    uint32_t bits = cm_bits32(x);
    uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) & 0xffff0000u;
    return cm_float32(cm_select32(cm_mask32((bits & 0x7fffffffu) > 0x7f800000u), bits, rounded));
}

static void bf16_products(const float *const *a, const float *b, size_t begin, size_t end, float acc[ROWS][CM_PANEL])
{
    for (size_t k = begin; k < end; k++)
        for (int r = 0; r < ROWS; r++)
            for (int j = 0; j < CM_PANEL; j++) acc[r][j] += round_bf16(a[r][k] * b[k * CM_PANEL + j]);
}

/* `lanes` is a constant after inlining, so the sums of whole elements stay in registers */
static inline __attribute__((always_inline)) size_t whole_elements(const float *const *a, const float *b, size_t begin,
                                                                   size_t end, size_t lanes, float acc[ROWS][CM_PANEL])
{
    size_t k = begin;
    for (; k + lanes <= end; k += lanes)
        for (int r = 0; r < ROWS; r++)
            for (int j = 0; j < CM_PANEL; j++) {
                const float *column = b + k * CM_PANEL + j, *row = a[r] + k;
                float sum = row[0] * column[0];
                if (lanes >= 2) sum += row[1] * column[CM_PANEL];
                if (lanes == 3) sum += row[2] * column[2 * CM_PANEL];
                if (lanes == 4) sum += row[2] * column[2 * CM_PANEL] + row[3] * column[3 * CM_PANEL];
                acc[r][j] += sum;
            }
    return k;
}

/* the last element of a tile may hold fewer: neighbours, and the last of an odd number goes up unchanged */
static void element_sums(const float *const *a, const float *b, size_t begin, size_t end, size_t lanes,
                         float acc[ROWS][CM_PANEL])
{
    size_t k = lanes == 1   ? whole_elements(a, b, begin, end, 1, acc)
               : lanes == 2 ? whole_elements(a, b, begin, end, 2, acc)
               : lanes == 3 ? whole_elements(a, b, begin, end, 3, acc)
                            : whole_elements(a, b, begin, end, 4, acc);
    if (end - k == 1) whole_elements(a, b, k, end, 1, acc);
    if (end - k == 2) whole_elements(a, b, k, end, 2, acc);
    if (end - k == 3) whole_elements(a, b, k, end, 3, acc);
}

static CM_NOINLINE void panel_of(const cm_policy_args *args, size_t row0, size_t rows, size_t panel)
{
    const size_t first = panel * CM_PANEL, depth = args->depth;
    const size_t width = args->columns - first < CM_PANEL ? args->columns - first : CM_PANEL;
    const float *b = args->b + panel * depth * CM_PANEL, *a[ROWS];
    float total[ROWS][CM_PANEL], part[ROWS][CM_PANEL];
    memset(total, 0, sizeof total);
    for (size_t r = 0; r < ROWS; r++) {
        size_t row = row0 + (r < rows ? r : rows - 1);
        a[r] = args->a + row * depth;
        if (args->c) memcpy(total[r], args->c + row * args->columns + first, width * sizeof(float));
    }
    for (size_t k = 0; k < depth; k += args->tile) {
        size_t end = depth - k < args->tile ? depth : k + args->tile;
        memset(part, 0, sizeof part);
        if (args->policy == CM_POLICY_BF16_PRODUCTS) bf16_products(a, b, k, end, part);
        else element_sums(a, b, k, end, args->lanes, part);
        int start = k == 0 && !args->c; /* the first tile overwrites an accumulator nobody supplied */
        for (int r = 0; r < ROWS; r++)
            for (int j = 0; j < CM_PANEL; j++) total[r][j] = start ? part[r][j] : total[r][j] + part[r][j];
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < width; j++) {
            float x = total[r][j];
            args->d[(row0 + r) * args->columns + first + j] = x == x ? x : cm_float32(CM_NAN32);
        }
}

void CM_NAME(cm_policy)(const cm_policy_args *args, size_t row_begin, size_t row_end)
{
    cm_fpenv saved = cm_fpenv_enter();
    for (size_t panel = 0; panel * CM_PANEL < args->columns; panel++)
        for (size_t row = row_begin; row < row_end; row += ROWS)
            panel_of(args, row, row_end - row < ROWS ? row_end - row : ROWS, panel);
    cm_fpenv_leave(saved);
}
