/* E, the dot product of CDNA1: the accumulator and a few products added exactly, one rounding to binary32.
 *
 * Products are exact in binary64. Where the exponents of a step's products lie close together so is their sum, and one
 * addition to the accumulator, rounded to odd, keeps what the final rounding to nearest needs. Two products wherever they
 * lie, and more within two windows of binary64, are exactly a sum and what it leaves behind; these two and the accumulator
 * are rounded once by Boldo and Melquiond (2008). Elsewhere the terms are added to an expansion (Shewchuk 1997,
 * GROW-EXPANSION): numbers that do not overlap, whose sum is exact; from the smallest to the largest, rounding to odd,
 * they give the same. NaN and infinity are those of the plain sum, which cannot overflow in binary64. */
#include "matmul/lanes.h"

#define INLINE static inline __attribute__((always_inline))

/* sum and error of an addition, exactly */
INLINE vd two_sum(vd x, vd y, vd *error)
{
    const vd s = x + y, z = s - x;
    *error = (x - (s - z)) + (y - z);
    return s;
}

/* a sum and its error rounded to odd: an inexact sum is cut toward zero and its last bit set */
INLINE vd to_odd(vd s, vd e)
{
    const vl inexact = (e < (vd){0}) | (e > (vd){0}); /* false for the NaN beside an infinity */
    const vl odd = ((vl)s + (((vl)s ^ (vl)e) >> 63)) | 1;
    return (vd)((odd & inexact) | ((vl)s & ~inexact));
}

INLINE vd odd_sum(vd x, vd y)
{
    vd e, s = two_sum(x, y, &e);
    return to_odd(s, e);
}

/* c + sum + rest, where |rest| is at most half a unit in the last place of sum; plain where that is NaN or infinite */
INLINE vd odd_sum_of_three(vd sum, vd rest, vd c, vd plain)
{
    vd error, s = two_sum(c, sum, &error);
    const vd exact = odd_sum(s, odd_sum(error, rest));
    const vl finite = plain - plain == (vd){0};
    return (vd)(((vl)exact & finite) | ((vl)plain & ~finite));
}

INLINE void widened(const float *x, vd *low, vd *high) { vf_widen(vf_load(x), low, high); }

INLINE void close(vd low, vd high, float *c) { vf_store(c, vd_narrow(low + vd_broadcast(0.0), high + vd_broadcast(0.0))); }

/* any finite terms */
static CM_NOINLINE void any_step(const cm_lanes_args *args, const float *a, const float *b, float *c)
{
    const int n = args->products;
    vd part[2][CM_EXACT_PRODUCTS + 1], sum[2];
    widened(c, &part[0][0], &part[1][0]);
    for (int h = 0; h < 2; h++) {
        vd plain = part[h][0];
        for (int i = 0; i < n; i++) {
            vd term[2];
            widened(b + i * GROUP, &term[0], &term[1]);
            vd carry = vd_broadcast((double)a[i]) * term[h];
            plain += carry;
            for (int p = 0; p <= i; p++) carry = two_sum(carry, part[h][p], &part[h][p]);
            part[h][i + 1] = carry;
        }
        sum[h] = part[h][0];
        for (int p = 1; p <= n; p++) sum[h] = odd_sum(part[h][p], sum[h]);
        const vl finite = plain - plain == (vd){0};
        sum[h] = (vd)(((vl)sum[h] & finite) | ((vl)plain & ~finite));
    }
    close(sum[0], sum[1], c);
}

/* two products, finite or not */
INLINE void pair_step(const float *a, const float *b, float *c)
{
    vd x[2], y[2], old[2], d[2];
    widened(b, &x[0], &x[1]), widened(b + GROUP, &y[0], &y[1]), widened(c, &old[0], &old[1]);
    for (int h = 0; h < 2; h++) {
        vd rest, sum = two_sum(x[h] * vd_broadcast((double)a[0]), y[h] * vd_broadcast((double)a[1]), &rest);
        d[h] = odd_sum_of_three(sum, rest, old[h], old[h] + sum);
    }
    close(d[0], d[1], c);
}

/* products each split in a multiple of a grid and the rest, whose sums are exact; adding and taking away 3/2 * 2^52 grid
 * points rounds to the grid */
INLINE void split_step(int n, double shift, const float *a, const float *b, float *c)
{
    vd high[2] = {{0}}, low[2] = {{0}}, old[2];
    widened(c, &old[0], &old[1]);
    for (int i = 0; i < n; i++) {
        vd p[2];
        widened(b + i * GROUP, &p[0], &p[1]);
        for (int h = 0; h < 2; h++) {
            p[h] *= vd_broadcast((double)a[i]);
            const vd on_grid = (p[h] + vd_broadcast(shift)) - vd_broadcast(shift), rest = p[h] - on_grid;
            high[h] = i ? high[h] + on_grid : on_grid, low[h] = i ? low[h] + rest : rest;
        }
    }
    for (int h = 0; h < 2; h++) { /* the grid is no finer than the last place of the rests' sum: FastTwoSum */
        const vd sum = high[h] + low[h];
        old[h] = odd_sum_of_three(sum, low[h] - (sum - high[h]), old[h], old[h] + high[h]);
    }
    close(old[0], old[1], c);
}

/* products that fit binary64 together */
INLINE void close_step(int n, const float *a, const float *b, float *c)
{
    vd sum[2] = {{0}}, old[2];
    widened(c, &old[0], &old[1]);
    for (int i = 0; i < n; i++) {
        vd p[2];
        widened(b + i * GROUP, &p[0], &p[1]);
        for (int h = 0; h < 2; h++) p[h] *= vd_broadcast((double)a[i]), sum[h] = i ? sum[h] + p[h] : p[h];
    }
    close(odd_sum(sum[0], old[0]), odd_sum(sum[1], old[1]), c);
}

static void exact_tile(const cm_lanes_args *args, cm_tile *t)
{
    const int32_t n = args->products, fraction = args->a.mantissa_bits + args->b.mantissa_bits;
    const int32_t bits_of_n = 32 - __builtin_clz((unsigned)n);
    /* n products below 2^(X + 2), multiples of 2^(x - fraction), add up within 53 bits */
    const int16_t spread = (int16_t)(53 - 2 - fraction - bits_of_n);
    /* n rests of at most half a grid step add up within 53 bits, and so do the multiples of the grid */
    const int32_t grid = t->low - fraction + 52 - bits_of_n;
    const int splits = t->high + 3 + bits_of_n <= grid + 53;
    const double shift = splits && t->low <= t->high ? 1.5 * cm_exp2(grid + 52) : 1.5;
    for (size_t k = 0; k < t->depth; k += (size_t)n)
        for (int r = 0; r < ROWS; r++) {
            const float *a = t->a[r] + k, *b = t->b + k * GROUP;
            vs apart = (vs)vi_set(-1);
            if (!t->special) {
                vs top = (vs)vi_set(0) - 1, least = top;
                for (size_t i = k; i < k + (size_t)n; i++) {
                    vs e = vs_load(t->eb + i * GROUP) + (vs)vi_set(t->ea[r][i]);
                    top = vs_max(top, e), least = vs_min_unsigned(least, e);
                }
                apart = (top > -1) & (top - least > spread);
            }
            for (int h = 0; h < 2; h++, b += VL) {
                float *c = &t->c[r][h * VL];
                const int together = !vu_any((vu)vs_half(apart, h));
                if (together && n == 4) close_step(4, a, b, c);
                else if (together) close_step(n, a, b, c);
                else if (n == 2) pair_step(a, b, c);
                else if (splits && n == 4) split_step(4, shift, a, b, c);
                else if (splits) split_step(n, shift, a, b, c);
                else any_step(args, a, b, c);
            }
        }
}

void CM_NAME(cm_exact)(const cm_lanes_args *args, size_t row_begin, size_t row_end, void *workspace)
{
    cm_fpenv saved = cm_fpenv_enter();
    CM_NAME(lane_tiles)(args, row_begin, row_end, 0, exact_tile, workspace);
    cm_fpenv_leave(saved);
}
