/* TR and GTR, the dot products of CDNA3: truncated products, a floored sum with the accumulator, one rounding.
 *
 * The accumulator takes no part in the alignment of the products, so their integer sums do not wait for it. Products
 * whose exponents stay within binary32 are computed there (their scaling is exact, conversion to int32 truncates);
 * other tiles, and those with NaN or infinity, in binary64. */
#include "matmul/lanes.h"

#define F 24              /* fraction bits of the products and of the accumulator */
#define LOW (-101)        /* products aligned to this exponent or above lose nothing to binary32 */
#define EMPTY (-400)      /* exponent of a sum without terms */

/* exponents of a sum of products, EMPTY where all products are zero */
static inline vi unbiased(vi sum)
{
    vi none = sum < 0;
    return ((sum - 2 * CM_EXPONENT_BIAS) & ~none) | (none & EMPTY);
}

static inline vf power_of_two(vi exponent) { return (vf)((exponent + 127) << 23); }

/* Adds the products' sum, total * 2^(exponent - F), to the accumulator. With E the larger exponent, the sum is floored to
 * 32 fraction bits below 2^E and the accumulator to 24; their exact sum is floored to 31 bits below its leading bit and
 * rounded to nearest even. Below 2^-126 nothing is normalised: flooring to 2^-157 first says the same. */
static inline void accumulate(vi total, vi exponent, int drop, float *c)
{
    int32_t sum[VL], of_sum[VL];
    vi_store(sum, total), vi_store(of_sum, exponent);
    for (int l = 0; l < VL; l++) {
        uint32_t bits = cm_bits32(c[l]);
        int32_t field = (int32_t)(bits >> 23 & 0xff), e = (field ? field : 1) - 127, high = of_sum[l] > e ? of_sum[l] : e;
        int dropped = drop & (e < high - 25);
        high = high < -125 ? -125 : high;
        double t = __builtin_floor((double)sum[l] * cm_exp2(of_sum[l] - high + 32 - F));
        double old = __builtin_floor((double)c[l] * cm_exp2(F - high));
        old = dropped ? 0.0 : old;
        double exact = (t + old * 256.0) * cm_exp2(high - 32);
        const int64_t below = (1 << 21) - 1;
        int64_t whole = (int64_t)cm_bits64(exact);
        whole = (whole + (whole >> 63 & below)) & ~below;
        float result = (float)cm_float64((uint64_t)whole);
        c[l] = field == 255 ? c[l] : result;
    }
}

/* integer sums of the products of every `groups`-th k, in units of 2^(X - fraction_bits) */
static inline void narrow_sums(const cm_lanes_args *args, const cm_tile *t, size_t k0, size_t step, vi total[ROWS][2],
                               vi exponent[ROWS][2])
{
    const size_t end = k0 / (size_t)args->products * (size_t)args->products + (size_t)args->products;
    const int32_t kept = args->fraction_bits;
    vs top[ROWS];
    vf scale[ROWS][2];
    for (int r = 0; r < ROWS; r++) top[r] = (vs)vi_set(0) - 1;
    for (size_t k = k0; k < end; k += step) {
        vs e = vs_load(t->eb + k * CM_LANES);
        for (int r = 0; r < ROWS; r++) top[r] = vs_max(top[r], e + (vs)vi_set(t->ea[r][k]));
    }
    for (int r = 0; r < ROWS; r++)
        for (int h = 0; h < 2; h++) {
            exponent[r][h] = unbiased(vs_half(top[r], h));
            scale[r][h] = power_of_two(kept - vi_max(exponent[r][h], vi_set(LOW)));
            total[r][h] = vi_set(0);
        }
    for (size_t k = k0; k < end; k += step)
        for (int h = 0; h < 2; h++) {
            vf b = vf_load(t->b + k * CM_LANES + h * VL);
            for (int r = 0; r < ROWS; r++) total[r][h] += vi_truncate((b * t->a[r][k]) * scale[r][h]);
        }
}

/* the same in binary64; `plain` collects what NaN and infinity make of the products */
static CM_NOINLINE void wide_sums(const cm_lanes_args *args, const cm_tile *t, size_t k0, size_t step, vi total[ROWS][2],
                                  vi exponent[ROWS][2], float plain[ROWS][GROUP])
{
    const size_t end = k0 / (size_t)args->products * (size_t)args->products + (size_t)args->products;
    const int32_t kept = args->fraction_bits;
    for (int r = 0; r < ROWS; r++) {
        vs top = (vs)vi_set(0) - 1;
        for (size_t k = k0; k < end; k += step) top = vs_max(top, vs_load(t->eb + k * CM_LANES) + (vs)vi_set(t->ea[r][k]));
        for (int h = 0; h < 2; h++) {
            double scale[VL];
            int32_t e[VL], sum[VL] = {0};
            exponent[r][h] = unbiased(vs_half(top, h));
            vi_store(e, exponent[r][h]);
            for (int l = 0; l < VL; l++) scale[l] = cm_exp2(kept - e[l]);
            for (size_t k = k0; k < end; k += step) {
                const float *b = t->b + k * CM_LANES + h * VL;
                const float a = t->a[r][k];
                for (int l = 0; l < VL; l++) {
                    double q = (double)a * (double)b[l];
                    /* TR: infinite from 2^128 on. GTR: only what an operand makes so. */
                    float p = step == 1 ? a * b[l] : q - q == 0 ? 0 : (float)q;
                    plain[r][h * VL + l] += p * 0x1p-20f;
                    sum[l] += (int32_t)((p - p == 0 ? q : 0.0) * scale[l]);
                }
            }
            total[r][h] = vi_load(sum);
        }
    }
}

static inline __attribute__((always_inline)) void floored_steps(const cm_lanes_args *args, cm_tile *t, const int groups,
                                                                const int wide)
{
    const size_t L = (size_t)args->products;
    for (size_t k0 = 0; k0 < args->depth; k0 += L) {
        vi total[2][ROWS][2], exponent[2][ROWS][2];
        float plain[ROWS][GROUP];
        if (wide)
            for (int r = 0; r < ROWS; r++)
                for (int j = 0; j < GROUP; j++) plain[r][j] = t->c[r][j] * 0x1p-20f;
        for (int g = 0; g < groups; g++) {
            if (wide) wide_sums(args, t, k0 + (size_t)g, (size_t)groups, total[g], exponent[g], plain);
            else narrow_sums(args, t, k0 + (size_t)g, (size_t)groups, total[g], exponent[g]);
        }
        for (int r = 0; r < ROWS; r++)
            for (int h = 0; h < 2; h++) {
                vi sum = total[0][r][h], x = exponent[0][r][h];
                if (groups == 2) {
                    vi largest = vi_max(x, exponent[1][r][h]);
                    sum = vi_floor_shift(sum, largest - x) + vi_floor_shift(total[1][r][h], largest - exponent[1][r][h]);
                    x = largest;
                }
                float *c = &t->c[r][h * VL];
                accumulate(sum << (F - args->fraction_bits), x, groups == 2, c);
                if (wide)
                    for (int l = 0; l < VL; l++) {
                        float p = plain[r][h * VL + l];
                        c[l] = p - p == 0 ? c[l] : p;
                    }
            }
    }
}

static CM_NOINLINE void narrow_together(const cm_lanes_args *args, cm_tile *t) { floored_steps(args, t, 1, 0); }
static CM_NOINLINE void narrow_parities(const cm_lanes_args *args, cm_tile *t) { floored_steps(args, t, 2, 0); }
static CM_NOINLINE void wide_together(const cm_lanes_args *args, cm_tile *t) { floored_steps(args, t, 1, 1); }
static CM_NOINLINE void wide_parities(const cm_lanes_args *args, cm_tile *t) { floored_steps(args, t, 2, 1); }

static void floored_tile(const cm_lanes_args *args, cm_tile *t)
{
    const int narrow = t->low >= LOW && t->high <= 125;
    if (args->groups == 2) (narrow ? narrow_parities : wide_parities)(args, t);
    else (narrow ? narrow_together : wide_together)(args, t);
}

static CM_NOINLINE void all_tiles(const cm_lanes_args *args, size_t begin, size_t end)
{
    every_tile(args, begin, end, floored_tile);
}

void CM_NAME(cm_floored)(const cm_lanes_args *args, size_t row_begin, size_t row_end)
{
    cm_fpenv saved = cm_fpenv_enter();
    all_tiles(args, row_begin, row_end);
    cm_fpenv_leave(saved);
}
