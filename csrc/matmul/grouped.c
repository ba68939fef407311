/* GST from codes: products of e2m1 in groups of 16, four groups to a step, each group with a pair of scales.
 *
 * Elements are packed as twice their value, small integers whose group sums are exact in int32. A scaled sum is exact in
 * float64, and within the exponent window so is the sum of a step, as long as no group needs truncation: the least
 * exponent of a row's and a column's scales bounds that, and a tile that may need it takes the careful way. Scales
 * outside the window mark their line, accumulators outside it their output, for the general kernel. */
#include "bits.h"
#include "fpenv.h"
#include "matmul/common.h"
#include "matmul/dots.h"

#define INLINE static inline __attribute__((always_inline))

#define ROWS 4
#if VL == 16
#define VECTORS 2
#else
#define VECTORS 1 /* sixteen registers */
#endif
#define COLUMNS (VECTORS * VL)
#define GROUP 16
#define STEP 64
#define GROUPS (STEP / GROUP)
#define DEPTH 512
#define BLOCK 512
#define SCALE_WINDOW 50   /* exponents of scales lie within it, or their line is left */
#define LEAST_FIELD 27    /* biased exponents of a nonzero accumulator that this kernel takes, infinity and NaN besides */
#define MOST_FIELD 237
#define OFFSET 12         /* added to B's bytes where they are unsigned */
#define NOTHING 8192      /* instead of the exponent of a group that counts for nothing */

enum { LINE_LEFT = 1, LINE_NAN = 2 };

typedef struct {
    packed_a a[ROWS * DEPTH];
    packed_b b[BLOCK * DEPTH]; /* per COLUMNS: depth / TOGETHER x COLUMNS x TOGETHER */
    double a_factor[ROWS][DEPTH / GROUP];
    int32_t a_offset[ROWS][DEPTH / GROUP], a_exponent[ROWS][DEPTH / GROUP], a_mask[ROWS][DEPTH / GROUP];
    int32_t a_least[ROWS][DEPTH / STEP];
    /* per COLUMNS: groups (steps for the last) x COLUMNS */
    float b_factor[BLOCK * DEPTH / GROUP];
    int32_t b_exponent[BLOCK * DEPTH / GROUP], b_mask[BLOCK * DEPTH / GROUP], b_least[BLOCK * DEPTH / STEP];
    uint8_t a_class[ROWS], b_class[BLOCK];
} workspace_layout;

size_t CM_NAME(cm_grouped_workspace)(void) { return sizeof(workspace_layout) + 64; }

/* twice the value of a code of e2m1 */
INLINE int16_t twice(uint8_t code)
{
    const int16_t m = code & 7, middle = (int16_t)(2 * m - 4), high = (int16_t)(4 * m - 16);
    const int16_t two = m > middle ? m : middle, most = two > high ? two : high;
    return code & 8 ? (int16_t)-most : most;
}

typedef struct {
    float factor;       /* the scale; 0 where the group counts for nothing */
    int32_t exponent;
    int32_t counts;     /* all ones, or 0 */
    uint8_t class;
} group_scale;

/* the scale of one group of a line; `mask`: which of its elements are not zero */
static inline group_scale scale_of(const cm_grouped_args *args, const uint8_t *scales, size_t line, size_t k, int32_t mask)
{
    const size_t s = k / args->scale_block;
    group_scale g = {0.0f, 0, 0, 0};
    int32_t significand = 1, exponent = 0, nan = 0;
    if (s < args->scale_count) {
        const int32_t code = scales[line * args->scale_count + s];
        if (args->scale_fraction) { /* the top bit of a ue4m3 byte is ignored */
            const int32_t field = code >> 3 & 15;
            significand = field ? (code & 7) + 8 : code & 7;
            exponent = (field ? field : 1) - 7;
            nan = (code & 0x7f) == 0x7f;
        } else {
            exponent = code - 127;
            nan = code == 0xff;
        }
    } else {
        significand <<= args->scale_fraction;
    }
    if (nan) {
        g.class = LINE_NAN;
    } else if (mask && significand) {
        if (exponent < -SCALE_WINDOW || exponent > SCALE_WINDOW) {
            g.class = LINE_LEFT;
        } else {
            g.factor = (float)significand * (float)cm_exp2(exponent - args->scale_fraction);
            g.exponent = exponent;
            g.counts = -1;
        }
    }
    return g;
}

/* a bit per code of a group that is not zero */
static inline int32_t nonzero_codes(const uint8_t *codes)
{
#if defined(__SSE4_1__)
    __m128i magnitude = _mm_and_si128(_mm_loadu_si128((const __m128i *)codes), _mm_set1_epi8(7));
    return ~_mm_movemask_epi8(_mm_cmpeq_epi8(magnitude, _mm_setzero_si128())) & 0xffff;
#else
    int32_t mask = 0;
    for (size_t k = 0; k < GROUP; k++) mask |= ((codes[k] & 7) != 0) << k;
    return mask;
#endif
}

static CM_NOINLINE void pack_rows(const cm_grouped_args *args, size_t row, size_t rows, size_t k0, size_t depth, size_t padded,
                                  workspace_layout *w)
{
    for (size_t r = 0; r < ROWS; r++) {
        const size_t line = row + (r < rows ? r : rows - 1); /* a short block repeats its last row */
        const uint8_t *from = args->a + (ptrdiff_t)line * args->a_line + (ptrdiff_t)k0 * args->a_along;
        uint8_t codes[DEPTH];
        packed_a *to = w->a + r * DEPTH;
        if (args->a_along == 1) memcpy(codes, from, depth);
        else for (size_t k = 0; k < depth; k++) codes[k] = from[(ptrdiff_t)k * args->a_along];
        memset(codes + depth, 0, padded - depth);
        for (size_t k = 0; k < padded; k++) to[k] = (packed_a)twice(codes[k]);
        for (size_t g = 0; g < padded / GROUP; g++) {
            const int32_t mask = nonzero_codes(codes + g * GROUP);
            int32_t sum = 0;
            for (size_t k = 0; SHIFTED && k < GROUP; k++) sum += (int8_t)to[g * GROUP + k];
            group_scale s = scale_of(args, args->scales_a, line, k0 + g * GROUP, mask);
            w->a_factor[r][g] = (double)s.factor * 0.25; /* each element was packed doubled */
            w->a_offset[r][g] = SHIFTED ? -OFFSET * sum : 0;
            w->a_exponent[r][g] = s.exponent, w->a_mask[r][g] = mask & s.counts;
            w->a_class[r] |= s.class;
            int32_t *least = &w->a_least[r][g / GROUPS];
            if (g % GROUPS == 0) *least = NOTHING;
            if (s.counts && s.exponent < *least) *least = s.exponent;
        }
    }
}

static CM_NOINLINE void pack_columns(const cm_grouped_args *args, size_t column, size_t width, size_t k0, size_t depth, size_t padded,
                                     size_t block, workspace_layout *w)
{
    const size_t groups = block * (DEPTH / GROUP), steps = block * (DEPTH / STEP);
    packed_b *to = w->b + block * DEPTH;
    for (size_t g = 0; g < padded / GROUP; g++) {
        uint32_t mask[COLUMNS] = {0};
        for (size_t i = 0; i < GROUP; i += TOGETHER) {
            uint8_t codes[TOGETHER][COLUMNS];
            uint32_t words[COLUMNS];
            const size_t k = g * GROUP + i;
            for (size_t t = 0; t < TOGETHER; t++) {
                const uint8_t *from = args->b + (ptrdiff_t)column * args->b_line + (ptrdiff_t)(k0 + k + t) * args->b_along;
                if (k + t >= depth) memset(codes[t], 0, COLUMNS);
                else if (width == COLUMNS && args->b_line == 1) memcpy(codes[t], from, COLUMNS);
                else for (size_t j = 0; j < COLUMNS; j++) codes[t][j] = j < width ? from[(ptrdiff_t)j * args->b_line] : 0;
            }
            for (size_t j = 0; j < COLUMNS; j++) {
                words[j] = 0;
                for (size_t t = 0; t < TOGETHER; t++) {
                    const uint32_t x = (uint32_t)(twice(codes[t][j]) + (SHIFTED ? OFFSET : 0));
                    words[j] |= (x & (SHIFTED ? 0xffu : 0xffffu)) << (32 / TOGETHER * t);
                    mask[j] |= (uint32_t)((codes[t][j] & 7) != 0) << (i + t);
                }
            }
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
            for (size_t j = 0; j < COLUMNS; j++) words[j] = words[j] << 16 | words[j] >> 16;
#endif
            memcpy(to + k * COLUMNS, words, sizeof words);
        }
        const size_t at = groups + g * COLUMNS;
        int32_t *least = w->b_least + steps + g / GROUPS * COLUMNS;
        for (size_t j = 0; j < COLUMNS; j++) {
            group_scale s = {0.0f, 0, 0, 0};
            if (j < width) s = scale_of(args, args->scales_b, column + j, k0 + g * GROUP, (int32_t)mask[j]);
            w->b_factor[at + j] = s.factor, w->b_exponent[at + j] = s.exponent, w->b_mask[at + j] = (int32_t)mask[j] & s.counts;
            w->b_class[block + j] |= s.class;
            if (g % GROUPS == 0) least[j] = NOTHING;
            if (s.counts && s.exponent < least[j]) least[j] = s.exponent;
        }
    }
}

typedef struct {
    const packed_b *b;  /* of the tile's columns, at the step */
    const float *factor;
    const int32_t *exponent, *mask, *least;
    float c[ROWS][COLUMNS];
    int32_t aligned[ROWS][COLUMNS];
    int32_t outside[ROWS][COLUMNS]; /* nonzero: the output is left */
    int32_t any_outside;
} step_tile;

INLINE vd truncated(vd x)
{
#if VL == 16
    return (vd)_mm512_roundscale_pd((__m512d)x, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
#elif VL == 8
    return (vd)_mm256_round_pd((__m256d)x, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
#else
    for (int l = 0; l < VL / 2; l++) x[l] = __builtin_trunc(x[l]);
    return x;
#endif
}

/* the larger of x and e where the masks share a bit, else x */
INLINE vi raised(vi x, vi e, vi mask, vi other)
{
#if VL == 16
    return (vi)_mm512_mask_max_epi32((__m512i)x, _mm512_test_epi32_mask((__m512i)mask, (__m512i)other), (__m512i)x, (__m512i)e);
#else
    vi none = (mask & other) == 0;
    return vi_max(x, (e & ~none) | (none & -NOTHING));
#endif
}

/* 2^exponent for each half of the lanes */
INLINE void powers_of_two(vi exponent, vd *low, vd *high)
{
    vl a, b;
    vi_widen(exponent + 1023, &a, &b);
    *low = (vd)(a << 52), *high = (vd)(b << 52);
}

/* One step of a tile from its alignment exponents; `careful`: every group is cut to the grid, else none needs it. */
INLINE void sums(const workspace_layout *w, step_tile *t, size_t step, int32_t F, int careful)
{
    vd sum[ROWS][VECTORS][2];
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < VECTORS; v++) {
            const vi c = (vi)vf_load(&t->c[r][v * VL]), aligned = vi_load(&t->aligned[r][v * VL]);
            vi dropped = aligned - (vi)((vu)c << 1 >> 24) + (127 + 23 - F); /* low bits of c below the grid */
            vi none = dropped > 23;
            dropped = vi_max(vi_min(dropped, vi_set(23)), vi_set(0));
            vf kept = (vf)(c & (vi)((vu)vi_set(-1) << (vu)dropped) & ~none);
            vf_widen(kept, &sum[r][v][0], &sum[r][v][1]);
        }
    for (size_t g = 0; g < GROUPS; g++) {
        vi acc[ROWS][VECTORS];
        const size_t at = step * GROUPS + g;
        for (int r = 0; r < ROWS; r++)
            for (int v = 0; v < VECTORS; v++) acc[r][v] = vi_set(w->a_offset[r][at]);
#pragma GCC unroll 4
        for (size_t k = g * GROUP; k < (g + 1) * GROUP; k += TOGETHER) {
            vi y[VECTORS];
            for (int v = 0; v < VECTORS; v++) memcpy(&y[v], t->b + k * COLUMNS + (size_t)v * VL * TOGETHER, sizeof y[v]);
            for (int r = 0; r < ROWS; r++) {
                int32_t word;
                memcpy(&word, w->a + (size_t)r * DEPTH + step * STEP + k, sizeof word);
                for (int v = 0; v < VECTORS; v++) acc[r][v] = MULTIPLY_ADD(acc[r][v], vi_set(word), y[v]);
            }
        }
        for (int r = 0; r < ROWS; r++)
            for (int v = 0; v < VECTORS; v++) {
                const vd factor = vd_broadcast(w->a_factor[r][at]);
                vd low, high;
                vf_widen(vf_of_integers(acc[r][v]) * vf_load(t->factor + g * COLUMNS + (size_t)v * VL), &low, &high);
                if (careful) {
                    vd up[2], down[2];
                    const vi aligned = vi_load(&t->aligned[r][v * VL]);
                    powers_of_two(F - aligned, &up[0], &up[1]);
                    powers_of_two(aligned - F, &down[0], &down[1]);
                    sum[r][v][0] += truncated(low * factor * up[0]) * down[0];
                    sum[r][v][1] += truncated(high * factor * up[1]) * down[1];
                } else {
                    sum[r][v][0] = vd_multiply_add(low, factor, sum[r][v][0]);
                    sum[r][v][1] = vd_multiply_add(high, factor, sum[r][v][1]);
                }
            }
    }
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < VECTORS; v++) { /* a sum of zeros of any sign is +0 */
            if (careful) sum[r][v][0] += vd_broadcast(0.0), sum[r][v][1] += vd_broadcast(0.0);
            vf_store(&t->c[r][v * VL], vd_narrow_toward_zero(sum[r][v][0], sum[r][v][1]));
        }
}

/* An accumulator outside the window marks its output; what is computed for it then does not matter. */
static CM_NOINLINE void careful_step(const workspace_layout *w, step_tile *t, size_t step, int32_t F)
{
    for (int r = 0; r < ROWS; r++)
        for (int j = 0; j < COLUMNS; j++) {
            const int32_t field = (int32_t)(cm_bits32(t->c[r][j]) << 1 >> 24);
            const int outside = t->c[r][j] != 0 && (field < LEAST_FIELD || (field > MOST_FIELD && field < 255));
            t->outside[r][j] |= outside, t->any_outside |= outside;
        }
    sums(w, t, step, F, 1);
}

static CM_NOINLINE void steps(const workspace_layout *w, step_tile *t, size_t count, int32_t F, int32_t reach)
{
    for (size_t step = 0; step < count; step++) {
        vi excess = vi_set(-1), highest = vi_set(0), tiny = vi_set(0);
        for (int v = 0; v < VECTORS; v++) {
            const vi least = vi_load(t->least + v * VL) + reach;
            for (int r = 0; r < ROWS; r++) {
                const vu size = (vu)vf_load(&t->c[r][v * VL]) << 1;
                vi aligned = (vi)(size >> 24) - 127; /* of a zero: below every group, and nothing of it is cut */
                for (size_t g = 0; g < GROUPS; g++) {
                    const size_t at = step * GROUPS + g, of = g * COLUMNS + (size_t)v * VL;
                    aligned = raised(aligned, vi_load(t->exponent + of) + w->a_exponent[r][at], vi_load(t->mask + of),
                                     vi_set(w->a_mask[r][at]));
                }
                vi_store(&t->aligned[r][v * VL], aligned);
                excess = vi_max(excess, aligned - (least + w->a_least[r][step]));
                highest = vi_max(highest, aligned);
                tiny |= (vi)(size - 1 < ((uint32_t)LEAST_FIELD << 24) - 1); /* a zero wraps */
            }
        }
        tiny |= (excess > 0) | (highest > MOST_FIELD - 127);
        if (__builtin_expect(vi_sign_bits(tiny) != 0, 0)) careful_step(w, t, step, F);
        else sums(w, t, step, F, 0);
        t->b += STEP * COLUMNS, t->least += COLUMNS;
        t->factor += GROUPS * COLUMNS, t->exponent += GROUPS * COLUMNS, t->mask += GROUPS * COLUMNS;
    }
}

/* marks what is left, and what a NaN among the scales decides */
static CM_NOINLINE void special_lines(const cm_grouped_args *args, const workspace_layout *w, size_t row, size_t rows, size_t column,
                                      size_t block, size_t width, step_tile *t)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < width; j++) {
            const int class = w->a_class[r] | w->b_class[block + j];
            if (class & LINE_NAN) t->c[r][j] = cm_float32(CM_NAN32);
            else if (t->outside[r][j] || class) args->left[(row + r) * args->columns + column + j] = args->left_rows[row + r] = 1;
        }
}

static CM_NOINLINE void tile(const cm_grouped_args *args, const workspace_layout *w, size_t row, size_t rows, size_t column, size_t block,
                             size_t padded, const float *from)
{
    const size_t most = args->columns - column, width = most < COLUMNS ? most : COLUMNS, groups = block * (DEPTH / GROUP);
    step_tile t;
    t.b = w->b + block * DEPTH;
    t.factor = w->b_factor + groups, t.exponent = w->b_exponent + groups, t.mask = w->b_mask + groups;
    t.least = w->b_least + block * (DEPTH / STEP);
    t.any_outside = 0;
    memset(t.outside, 0, sizeof t.outside);
    memset(t.c, 0, sizeof t.c);
    for (size_t r = 0; from && r < ROWS; r++)
        memcpy(t.c[r], from + (row + (r < rows ? r : rows - 1)) * args->columns + column, width * sizeof(float));
    steps(w, &t, padded / STEP, args->fraction_bits, args->fraction_bits - 2 - 2 * args->scale_fraction);
    int class = t.any_outside;
    for (size_t r = 0; r < rows; r++) class |= w->a_class[r];
    for (size_t j = 0; j < width; j++) class |= w->b_class[block + j];
    if (class) special_lines(args, w, row, rows, column, block, width, &t);
    for (size_t r = 0; r < rows; r++) {
        for (int v = 0; v < VECTORS; v++) {
            const vf x = vf_load(&t.c[r][v * VL]);
            const vi nan = (vi)(x != x);
            vi_store(&t.aligned[r][v * VL], ((vi)x & ~nan) | (nan & (int32_t)CM_NAN32));
        }
        memcpy(args->d + (row + r) * args->columns + column, t.aligned[r], width * sizeof(float));
    }
}

static CM_NOINLINE void all_tiles(const cm_grouped_args *args, size_t row_begin, size_t row_end, workspace_layout *w)
{
    for (size_t column0 = 0; column0 < args->columns; column0 += BLOCK) {
        const size_t columns = args->columns - column0 < BLOCK ? args->columns - column0 : BLOCK;
        for (size_t k = 0; k < args->depth; k += DEPTH) {
            const size_t depth = args->depth - k < DEPTH ? args->depth - k : DEPTH, padded = (depth + STEP - 1) / STEP * STEP;
            memset(w->b_class, 0, sizeof w->b_class);
            for (size_t j = 0; j < columns; j += COLUMNS)
                pack_columns(args, column0 + j, columns - j < COLUMNS ? columns - j : COLUMNS, k, depth, padded, j, w);
            for (size_t row = row_begin; row < row_end; row += ROWS) {
                const size_t rows = row_end - row < ROWS ? row_end - row : ROWS;
                memset(w->a_class, 0, sizeof w->a_class);
                pack_rows(args, row, rows, k, depth, padded, w);
                for (size_t j = 0; j < columns; j += COLUMNS)
                    tile(args, w, row, rows, column0 + j, j, padded, k ? args->d : args->c);
            }
        }
    }
}

void CM_NAME(cm_grouped)(const cm_grouped_args *args, size_t row_begin, size_t row_end, void *workspace)
{
    cm_fpenv saved = cm_fpenv_enter();
    all_tiles(args, row_begin, row_end, (workspace_layout *)((unsigned char *)workspace + (64 - (uintptr_t)workspace % 64) % 64));
    cm_fpenv_leave(saved);
}
