/* E, the dot product of CDNA1: the accumulator and a few products added exactly, one rounding to binary32.
 *
 * Products are exact in binary64. Where the exponents of a step's products lie close together so is their sum, and one
 * addition to the accumulator, rounded to odd, keeps what the final rounding to nearest needs. Elsewhere the terms are
 * added to an expansion (Shewchuk 1997, GROW-EXPANSION): numbers that do not overlap, whose sum is exact; from the
 * smallest to the largest, rounding to odd, they give the same (Boldo and Melquiond 2008). */
#include "matmul/lanes.h"

/* sum and error of an addition, exactly */
static inline double two_sum(double x, double y, double *error)
{
    double s = x + y, z = s - x;
    *error = (x - (s - z)) + (y - z);
    return s;
}

/* x + y rounded to odd: an inexact sum with an even last bit moves one unit toward the error */
static inline double odd_sum(double x, double y)
{
    double e, s = two_sum(x, y, &e);
    int64_t bits = (int64_t)cm_bits64(s), toward = 1 | (bits ^ (int64_t)cm_bits64(e)) >> 63;
    int64_t inexact = -(int64_t)((e < 0) | (e > 0)); /* false for the NaN beside an infinity */
    return cm_float64((uint64_t)(bits + (toward & inexact & ((bits & 1) - 1))));
}

/* any finite terms; NaN and infinities by the plain sum, which cannot overflow in binary64 */
static CM_NOINLINE void any_step(const cm_lanes_args *args, const float *a, const float *b, float *c)
{
    const int n = args->products;
    double part[CM_EXACT_PRODUCTS + 1][VL], plain[VL];
    for (int l = 0; l < VL; l++) part[0][l] = plain[l] = (double)c[l];
    for (int i = 0; i < n; i++)
        for (int l = 0; l < VL; l++) {
            double carry = (double)a[i] * (double)b[i * CM_LANES + l];
            plain[l] += carry;
            for (int p = 0; p <= i; p++) carry = two_sum(carry, part[p][l], &part[p][l]);
            part[i + 1][l] = carry;
        }
    for (int l = 0; l < VL; l++) {
        double sum = part[0][l];
        for (int p = 1; p <= n; p++) sum = odd_sum(part[p][l], sum);
        c[l] = (float)((plain[l] - plain[l] == 0 ? sum : plain[l]) + 0.0);
    }
}

/* products that fit binary64 together */
static inline void close_step(int n, const float *a, const float *b, float *c)
{
    double sum[VL];
    for (int l = 0; l < VL; l++) sum[l] = (double)a[0] * (double)b[l];
    for (int i = 1; i < n; i++)
        for (int l = 0; l < VL; l++) sum[l] += (double)a[i] * (double)b[i * CM_LANES + l];
    for (int l = 0; l < VL; l++) c[l] = (float)(odd_sum(sum[l], (double)c[l]) + 0.0);
}

static CM_NOINLINE void exact_tile(const cm_lanes_args *args, cm_tile *t)
{
    const size_t L = (size_t)args->products;
    const int finite = t->high < CM_EXPONENT_NONE / 2;
    /* n products below 2^(X + 2), multiples of 2^(x - fraction bits), add up within 53 bits */
    const int16_t spread = (int16_t)(53 - 2 - args->fraction_bits - (32 - __builtin_clz((unsigned)args->products)));
    for (size_t k0 = 0; k0 < args->depth; k0 += L)
        for (int r = 0; r < ROWS; r++) {
            vs top = (vs)vi_set(0) - 1, least = top;
            for (size_t k = k0; k < k0 + L; k++) {
                vs e = vs_load(t->eb + k * CM_LANES) + (vs)vi_set(t->ea[r][k]);
                top = vs_max(top, e), least = vs_min_unsigned(least, e);
            }
            vs apart = (top > -1) & (top - least > spread);
            for (int h = 0; h < 2; h++) {
                const float *b = t->b + k0 * CM_LANES + h * VL;
                float *c = &t->c[r][h * VL];
                if (!finite || vi_any(vs_half(apart, h))) any_step(args, t->a[r] + k0, b, c);
                else if (L == 4) close_step(4, t->a[r] + k0, b, c);
                else close_step((int)L, t->a[r] + k0, b, c);
            }
        }
}

static CM_NOINLINE void all_tiles(const cm_lanes_args *args, size_t begin, size_t end)
{
    every_tile(args, begin, end, exact_tile);
}

void CM_NAME(cm_exact)(const cm_lanes_args *args, size_t row_begin, size_t row_end)
{
    cm_fpenv saved = cm_fpenv_enter();
    all_tiles(args, row_begin, row_end);
    cm_fpenv_leave(saved);
}
