/* Binary matrix instructions: the bits that differ, or that are set in both, counted into a 32-bit accumulator that wraps.
 *
 * Operands are bytes of eight bits of depth, packed into words of 32. A tier that counts the bits of a lane adds those;
 * elsewhere the bits of every byte are counted and added as bytes, and a byte holds the counts of GROUP words. */
#include "fpenv.h"
#include "matmul/common.h"
#include "vec.h"

#include <string.h>

#define ROWS 4
#if VL == 4
#define VECTORS 2
#else
#define VECTORS (VL / 4)
#endif
#define COLUMNS (VECTORS * VL)
#define DEPTH 128 /* words of depth packed at once */
#define BLOCK 256

typedef struct {
    uint32_t a[ROWS * DEPTH];
    uint32_t b[BLOCK * DEPTH]; /* per COLUMNS: depth x COLUMNS */
} workspace_layout;

size_t CM_NAME(cm_binary_workspace)(void) { return sizeof(workspace_layout) + 64; }

#if VL == 16 && defined(__AVX512VPOPCNTDQ__)
#define GROUP DEPTH
static inline vu counts(vu x) { return (vu)_mm512_popcnt_epi32((__m512i)x); }
static inline vu lane_sums(vu x) { return x; }
#else
#define GROUP 31 /* 31 x 8 fits a byte */
#if VL == 16
static inline vu of_nibbles(vu x)
{
    const __m512i table = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    return (vu)_mm512_shuffle_epi8(table, (__m512i)x);
}
#elif VL == 8
static inline vu of_nibbles(vu x)
{
    const __m256i table = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    return (vu)_mm256_shuffle_epi8(table, (__m256i)x);
}
#elif defined(__SSE4_1__)
static inline vu of_nibbles(vu x)
{
    return (vu)_mm_shuffle_epi8(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4), (__m128i)x);
}
#else
static inline vu of_nibbles(vu x)
{
    x = x - (x >> 1 & 0x55555555);
    return (x & 0x33333333) + (x >> 2 & 0x33333333);
}
#endif
/* of each byte; bytes of the sum do not meet, for none exceeds 8 */
static inline vu counts(vu x)
{
    return of_nibbles(x & 0x0f0f0f0f) + of_nibbles(x >> 4 & 0x0f0f0f0f);
}
/* the four bytes of each lane added */
static inline vu lane_sums(vu x)
{
    x = (x & 0x00ff00ff) + (x >> 8 & 0x00ff00ff);
    return (x & 0xffff) + (x >> 16);
}
#endif

static uint32_t word(const uint8_t *line, ptrdiff_t along, size_t bytes)
{
    uint32_t w = 0;
    for (size_t i = 0; i < bytes; i++) w |= (uint32_t)line[(ptrdiff_t)i * along] << 8 * i;
    return w;
}

/* `lines` lines of `depth` bytes from line `first`, byte k0 on: word w of line l at to[w * across + l * apart] */
static void pack(const uint8_t *from, ptrdiff_t line, ptrdiff_t along, size_t lines, size_t depth, uint32_t *to, size_t across, size_t apart)
{
    for (size_t w = 0; w < (depth + 3) / 4; w++) {
        const size_t bytes = depth - 4 * w < 4 ? depth - 4 * w : 4;
        const uint8_t *at = from + 4 * (ptrdiff_t)w * along;
        if (line == 1 && bytes == 4) { /* lines side by side: four rows of bytes at once */
            const uint8_t *second = at + along, *third = second + along, *last = third + along;
            for (size_t l = 0; l < lines; l++)
                to[w * across + l * apart] = (uint32_t)at[l] | (uint32_t)second[l] << 8 | (uint32_t)third[l] << 16 | (uint32_t)last[l] << 24;
        } else {
            for (size_t l = 0; l < lines; l++) to[w * across + l * apart] = word(at + (ptrdiff_t)l * line, along, bytes);
        }
    }
}

static inline __attribute__((always_inline)) void products(const uint32_t *a, const uint32_t *b, size_t words, int both, vu acc[ROWS][VECTORS])
{
    for (size_t begin = 0; begin < words; begin += GROUP) {
        const size_t end = words - begin < GROUP ? words : begin + GROUP;
        vu sum[ROWS][VECTORS];
        memset(sum, 0, sizeof sum);
        for (size_t k = begin; k < end; k++) {
            vu y[VECTORS];
            for (int v = 0; v < VECTORS; v++) y[v] = vu_load(b + k * COLUMNS + (size_t)v * VL);
            for (int r = 0; r < ROWS; r++) {
                const vu x = (vu){0} + a[(size_t)r * DEPTH + k];
                for (int v = 0; v < VECTORS; v++) sum[r][v] += counts(both ? x & y[v] : x ^ y[v]);
            }
        }
        for (int r = 0; r < ROWS; r++)
            for (int v = 0; v < VECTORS; v++) acc[r][v] += lane_sums(sum[r][v]);
    }
}

static CM_NOINLINE void tile(const cm_binary_args *args, const workspace_layout *w, const uint32_t *b, size_t row, size_t rows,
                             size_t column, size_t words, int first)
{
    const size_t most = args->columns - column, width = most < COLUMNS ? most : COLUMNS;
    const int32_t *from = first ? args->c : args->d;
    vu acc[ROWS][VECTORS];
    memset(acc, 0, sizeof acc);
    if (args->both) products(w->a, b, words, 1, acc);
    else products(w->a, b, words, 0, acc);
    for (size_t r = 0; r < rows; r++) {
        const size_t at = (row + r) * args->columns + column;
        uint32_t total[COLUMNS] = {0};
        if (from) memcpy(total, from + at, width * sizeof *total);
        for (int v = 0; v < VECTORS; v++) vu_store_u32(total + v * VL, vu_load(total + v * VL) + acc[r][v]);
        memcpy(args->d + at, total, width * sizeof *total);
    }
}

void CM_NAME(cm_binary)(const cm_binary_args *args, size_t row_begin, size_t row_end, void *workspace)
{
    workspace_layout *w = (void *)((unsigned char *)workspace + (64 - (uintptr_t)workspace % 64) % 64);
    for (size_t column0 = 0; column0 < args->columns; column0 += BLOCK) {
        const size_t columns = args->columns - column0 < BLOCK ? args->columns - column0 : BLOCK;
        for (size_t k = 0; k < args->depth; k += 4 * DEPTH) {
            const size_t depth = args->depth - k < 4 * DEPTH ? args->depth - k : 4 * DEPTH, words = (depth + 3) / 4;
            for (size_t j = 0; j < columns; j += COLUMNS)
                pack(args->b + (ptrdiff_t)(column0 + j) * args->b_line + (ptrdiff_t)k * args->b_along, args->b_line, args->b_along,
                     columns - j < COLUMNS ? columns - j : COLUMNS, depth, w->b + j * DEPTH, COLUMNS, 1);
            for (size_t row = row_begin; row < row_end; row += ROWS) {
                const size_t rows = row_end - row < ROWS ? row_end - row : ROWS;
                pack(args->a + (ptrdiff_t)row * args->a_line + (ptrdiff_t)k * args->a_along, args->a_line, args->a_along, rows, depth,
                     w->a, 1, DEPTH);
                for (size_t j = 0; j < columns; j += COLUMNS)
                    tile(args, w, w->b + j * DEPTH, row, rows, column0 + j, words, k == 0);
            }
        }
    }
}
