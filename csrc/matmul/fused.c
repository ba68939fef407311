/* The truncated fused dot product over whole tiles: the same model as fused_one.c, sixteen outputs at a time.
 *
 * Inside the exponent window every product is an exact float32, scaling it by 2^(F - X) is exact, and conversion to
 * int32 truncates: adding int32 is then the exact sum the model asks for. Outputs that leave the window (tiny or huge
 * accumulators and scales, NaN, infinity) are marked and computed by fused_one. */
#include "bits.h"
#include "fpenv.h"
#include "matmul/common.h"
#include "vec.h"

#define ROWS 4              /* rows of A that share each load of B */
#define LOW (-100)          /* alignment exponents between LOW and HIGH keep all scalings normal */
#define HIGH 120
#define NONZERO (CM_ZERO_EXPONENT / 2)

typedef struct {
    float c[ROWS][VL];
    int32_t bad[ROWS][VL];
} tile_state;

/* exponent of the accumulator, CM_ZERO_EXPONENT where it is zero */
static inline vi accumulator_exponent(vf c, int32_t least)
{
    vi magnitude = (vi)c & 0x7fffffff;
    vi exponent = vi_max((magnitude >> 23) - 127, vi_set(least));
    vi zero = magnitude == 0;
    return (exponent & ~zero) | (zero & CM_ZERO_EXPONENT);
}

static inline vi outside_window(vi aligned, vi products, vi accumulator)
{
    vi something = (products > NONZERO) | (accumulator > NONZERO);
    return (aligned > HIGH) | ((aligned < LOW) & something);
}

static inline vf power_of_two(vi exponent)
{
    exponent = vi_max(exponent, vi_set(-126));
    exponent = -vi_max(-exponent, vi_set(-127));
    return (vf)((exponent + 127) << 23);
}

/* sum * 2^(exponent - F), converted; a plain loop that every compiler vectorises */
static inline void finish(const double *sum, const int32_t *exponent, int32_t F, int32_t output, float *c)
{
    const uint64_t keep = ~((1ull << (output == CM_RZ_E8M13 ? 39 : 29)) - 1);
    if (output == CM_RNE_F16) {
        for (int l = 0; l < VL; l++) {
            double v = sum[l] * cm_float64((uint64_t)(int64_t)(exponent[l] - F + 1023) << 52);
            double magnitude = __builtin_fabs(v);
            uint64_t bits = cm_bits64(v);
            double normal = cm_float64((bits + 0x1ffffffffffull + ((bits >> 42) & 1)) & ~0x3ffffffffffull);
            double subnormal = (v + 0x1.8p28) - 0x1.8p28;
            double rounded = magnitude < 0x1p-14 ? subnormal : normal;
            double infinite = __builtin_copysign(__builtin_inf(), v);
            c[l] = (float)(__builtin_fabs(rounded) >= 65536.0 ? infinite : rounded);
        }
    } else {
        for (int l = 0; l < VL; l++) {
            double v = sum[l] * cm_float64((uint64_t)(int64_t)(exponent[l] - F + 1023) << 52);
            c[l] = (float)cm_float64(cm_bits64(v) & keep);
        }
    }
}

/* T and ST: `fused` products in one alignment; with ST one pair of scales spans the step. */
static CM_NOINLINE void products_tile(const cm_fused_args *args, const size_t *row, size_t panel, size_t sub, tile_state *t)
{
    const size_t depth = args->depth, L = (size_t)args->fused;
    const size_t scales = args->scale_block ? depth / args->scale_block : 0;
    const int32_t F = args->fraction_bits;
    int32_t least = args->c_min_exponent;
    const float *b = args->b.value + panel * depth * CM_PANEL + sub;
    const int32_t *eb = args->b.exponent + panel * depth * CM_PANEL + sub;
    const float *a[ROWS];
    const int32_t *ea[ROWS];
    for (int r = 0; r < ROWS; r++) a[r] = args->a.value + row[r] * depth, ea[r] = args->a.exponent + row[r] * depth;

    for (size_t k0 = 0; k0 < depth; k0 += L) {
        vi largest[ROWS], aligned[ROWS], low[ROWS], high[ROWS], of_c[ROWS];
        vf scale[ROWS];
        for (int r = 0; r < ROWS; r++) largest[r] = vi_set(2 * CM_ZERO_EXPONENT);
        for (size_t k = k0; k < k0 + L; k++) {
            vi e = vi_load(eb + k * CM_PANEL);
            for (int r = 0; r < ROWS; r++) largest[r] = vi_max(largest[r], e + ea[r][k]);
        }
        for (int r = 0; r < ROWS; r++) {
            vf c = vf_load(t->c[r]);
            vi ec = accumulator_exponent(c, least), shared = vi_set(0), bad = vi_load(t->bad[r]);
            if (scales) {
                size_t s = k0 / args->scale_block;
                shared = vi_load(args->scale_b.exponent + (panel * scales + s) * CM_PANEL + sub)
                         + args->scale_a.exponent[row[r] * scales + s];
                bad |= vi_load(args->scale_b.significand + (panel * scales + s) * CM_PANEL + sub) < 0;
                if (args->scale_a.significand[row[r] * scales + s] < 0) bad = vi_set(-1);
            }
            aligned[r] = vi_max(vi_max(largest[r] + shared, ec), vi_set(args->floor_exponent));
            vi_store(t->bad[r], bad | outside_window(aligned[r], largest[r], ec));
            scale[r] = power_of_two(F - aligned[r] + shared);
            of_c[r] = vi_truncate(c * power_of_two(F - aligned[r]));
            low[r] = high[r] = vi_set(0);
        }
        size_t half = k0 + (L < 16 ? L : 16); /* 16 products below 2^(F+2) with F <= 25 fit in int32 */
        for (size_t k = k0; k < half; k++) {
            vf x = vf_load(b + k * CM_PANEL);
            for (int r = 0; r < ROWS; r++) low[r] = vi_wrapping_add(low[r], vi_truncate((x * a[r][k]) * scale[r]));
        }
        for (size_t k = half; k < k0 + L; k++) {
            vf x = vf_load(b + k * CM_PANEL);
            for (int r = 0; r < ROWS; r++) high[r] = vi_wrapping_add(high[r], vi_truncate((x * a[r][k]) * scale[r]));
        }
        for (int r = 0; r < ROWS; r++) {
            int32_t p[VL], q[VL], c[VL], e[VL];
            double sum[VL];
            vi_store(p, low[r]), vi_store(q, high[r]), vi_store(c, of_c[r]), vi_store(e, aligned[r]);
            for (int l = 0; l < VL; l++) sum[l] = (double)p[l] + (double)q[l] + (double)c[l];
            finish(sum, e, F, args->output, t->c[r]);
        }
        least = args->output == CM_RNE_F16 ? -14 : -126; /* from the next step on c is a result */
    }
}

/* GST: products are summed exactly in groups; each group has its own pair of scales and its own alignment exponent. */
static CM_NOINLINE void groups_tile(const cm_fused_args *args, const size_t *row, size_t panel, size_t sub, tile_state *t)
{
    const size_t depth = args->depth, L = (size_t)args->fused, G = (size_t)args->group, scales = depth / args->scale_block;
    const int32_t F = args->fraction_bits;
    const float *b = args->b.value + panel * depth * CM_PANEL + sub;

    for (size_t k0 = 0; k0 < depth; k0 += L) {
        for (int r = 0; r < ROWS; r++) {
            const float *a = args->a.value + row[r] * depth;
            double value[4][VL], sum[VL];
            int32_t exponent[4][VL], aligned[VL];
            vf c = vf_load(t->c[r]);
            vi ec = accumulator_exponent(c, -126), bad = vi_load(t->bad[r]), products = vi_set(2 * CM_ZERO_EXPONENT);
            for (size_t g = 0; g < L / G; g++) {
                size_t s = (k0 + g * G) / args->scale_block;
                vf p = vf_set(0), size = vf_set(0);
                for (size_t k = k0 + g * G; k < k0 + (g + 1) * G; k++) {
                    vf product = vf_load(b + k * CM_PANEL) * a[k];
                    p += product;
                    size += (vf)((vi)product & 0x7fffffff);
                }
                vi sb = vi_load(args->scale_b.significand + (panel * scales + s) * CM_PANEL + sub);
                int32_t sa = args->scale_a.significand[row[r] * scales + s];
                vi e = vi_load(args->scale_b.exponent + (panel * scales + s) * CM_PANEL + sub)
                       + args->scale_a.exponent[row[r] * scales + s];
                bad |= (sb < 0) | vi_set(sa < 0 ? -1 : 0);
                vi counts = ((vi)size != 0) & (sb * sa != 0);
                e = (e & counts) | (~counts & CM_ZERO_EXPONENT);
                products = vi_max(products, e);
                vi_store(exponent[g], e);
                float sums[VL];
                int32_t factor[VL];
                vf_store(sums, p), vi_store(factor, sb * sa);
                for (int l = 0; l < VL; l++) value[g][l] = (double)sums[l] * (double)factor[l];
            }
            vi x = vi_max(vi_max(products, ec), vi_set(args->floor_exponent));
            vi_store(t->bad[r], bad | outside_window(x, products, ec));
            vi_store(aligned, x);
            for (int l = 0; l < VL; l++)
                sum[l] = __builtin_trunc((double)t->c[r][l] * cm_float64((uint64_t)(int64_t)(F - aligned[l] + 1023) << 52));
            for (size_t g = 0; g < L / G; g++)
                for (int l = 0; l < VL; l++) {
                    int32_t e = exponent[g][l] - aligned[l]; /* a group that does not count has value 0 */
                    e = (e < -600 ? -600 : e) + F - 2 * args->scale_fraction;
                    sum[l] += __builtin_trunc(value[g][l] * cm_float64((uint64_t)(int64_t)(e + 1023) << 52));
                }
            finish(sum, aligned, F, CM_RZ_F32, t->c[r]);
        }
    }
}

static void tile(const cm_fused_args *args, size_t row0, size_t rows, size_t panel, size_t sub)
{
    size_t first = panel * CM_PANEL + sub, row[ROWS];
    if (first >= args->columns) return;
    size_t width = args->columns - first < VL ? args->columns - first : VL;
    tile_state t;
    memset(&t, 0, sizeof t);
    for (size_t r = 0; r < ROWS; r++) {
        row[r] = row0 + (r < rows ? r : rows - 1); /* a short block repeats its last row */
        if (args->c) memcpy(t.c[r], args->c + row[r] * args->columns + first, width * sizeof(float));
    }
    if (args->group) groups_tile(args, row, panel, sub, &t);
    else products_tile(args, row, panel, sub, &t);
    for (size_t r = 0; r < rows; r++) {
        float *d = args->d + row[r] * args->columns + first;
        for (size_t l = 0; l < width; l++) {
            int redo = t.bad[r][l] || args->a.flag[row[r]] || args->b.flag[first + l];
            d[l] = redo ? CM_NAME(cm_fused_one)(args, row[r], first + l) : t.c[r][l];
        }
    }
}

static CM_NOINLINE void all_tiles(const cm_fused_args *args, size_t begin, size_t end)
{
    size_t panels = (args->columns + CM_PANEL - 1) / CM_PANEL;
    for (size_t panel = 0; panel < panels; panel++)
        for (size_t row = begin; row < end; row += ROWS)
            for (size_t sub = 0; sub < CM_PANEL; sub += VL)
                tile(args, row, end - row < ROWS ? end - row : ROWS, panel, sub);
}

void CM_NAME(cm_fused)(const cm_fused_args *args, size_t row_begin, size_t row_end)
{
    cm_fpenv saved = cm_fpenv_enter();
    all_tiles(args, row_begin, row_end);
    cm_fpenv_leave(saved);
}
