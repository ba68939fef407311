/* TR and GTR, the dot products of CDNA3: truncated products, a floored sum with the accumulator, one rounding.
 *
 * The accumulator takes no part in the alignment of the products, so their integer sums do not wait for it. Products
 * whose exponents stay within binary32 are computed there (their scaling is exact, conversion to int32 truncates);
 * other tiles, and those with NaN or infinity, in binary64. */
#include "matmul/lanes.h"

#define INLINE static inline __attribute__((always_inline))

#define F 24              /* fraction bits of the products and of the accumulator */
#define LOW (-101)        /* products aligned to this exponent or above lose nothing to binary32 */
#define HIGH 125          /* products up to it do not overflow binary32 */
#define EMPTY (-400)      /* exponent of a sum without terms */

typedef struct {
    vi total[ROWS][2], exponent[ROWS][2]; /* a sum is total * 2^(exponent - fraction bits) */
} step_sums;

/* exponents of a sum of products, EMPTY where all products are zero */
INLINE vi unbiased(vi sum)
{
    vi none = sum < 0;
    return ((sum - 2 * EXPONENT_BIAS) & ~none) | (none & EMPTY);
}

INLINE void exponent_powers(vi exponent, vd power[2])
{
    vl bits[2];
    vl_of_words(vi_set(0), (exponent + 1023) << 20, &bits[0], &bits[1]);
    power[0] = (vd)bits[0], power[1] = (vd)bits[1];
}

/* Adds the products' sum, total * 2^(exponent - F), to the accumulator. With E the larger exponent, the sum is floored to
 * 32 fraction bits below 2^E and the accumulator to 24; their exact sum is floored to 31 bits below its leading bit and
 * rounded to nearest even. Below 2^-126 nothing is normalised: flooring to 2^-157 first says the same. */
INLINE vf accumulate(vi total, vi exponent, int drop, vf c)
{
    const vi field = (vi)((vu)c << 1 >> 24), e = vi_max(field, vi_set(1)) - 127;
    vi high = vi_max(exponent, e);
    const vi dropped = drop ? e < high - 25 : vi_set(0);
    high = vi_max(high, vi_set(-125));
    vd sum[2], old[2], of_sum[2], of_old[2], back[2];
    vi_to_doubles(total, &sum[0], &sum[1]);
    vf_widen((vf)((vi)c & ~dropped), &old[0], &old[1]);
    exponent_powers(exponent - high + (32 - F), of_sum), exponent_powers(F - high, of_old), exponent_powers(high - 32, back);
    for (int h = 0; h < 2; h++) {
        const vd exact = (vd_floor(sum[h] * of_sum[h]) + vd_floor(old[h] * of_old[h]) * vd_broadcast(256.0)) * back[h];
        const int64_t below = (1 << 21) - 1;
        const vl whole = (vl)exact;
        sum[h] = (vd)((whole + ((whole >> 63) & below)) & ~below);
    }
    const vi special = field == 255;
    return (vf)(((vi)c & special) | ((vi)vd_narrow(sum[0], sum[1]) & ~special));
}

/* the largest exponents of the products of every `apart`-th k */
INLINE void alignment(const cm_lanes_args *args, const cm_tile *t, size_t k0, size_t apart, step_sums *s)
{
    const size_t end = k0 / (size_t)args->products * (size_t)args->products + (size_t)args->products;
    vs top[ROWS];
    for (int r = 0; r < ROWS; r++) top[r] = (vs)vi_set(0) - 1;
    for (size_t k = k0; k < end; k += apart) {
        vs e = vs_load(t->eb + k * GROUP);
        for (int r = 0; r < ROWS; r++) top[r] = vs_max(top[r], e + (vs)vi_set(t->ea[r][k]));
    }
    for (int r = 0; r < ROWS; r++)
        for (int h = 0; h < 2; h++) s->exponent[r][h] = unbiased(vs_half(top[r], h));
}

INLINE void narrow_sums(const cm_lanes_args *args, const cm_tile *t, size_t k0, size_t apart, step_sums *s)
{
    const size_t end = k0 / (size_t)args->products * (size_t)args->products + (size_t)args->products;
    vf scale[ROWS][2];
    for (int r = 0; r < ROWS; r++)
        for (int h = 0; h < 2; h++) {
            scale[r][h] = (vf)((args->fraction_bits + 127 - vi_max(s->exponent[r][h], vi_set(LOW))) << 23);
            s->total[r][h] = vi_set(0);
        }
    for (size_t k = k0; k < end; k += apart)
        for (int h = 0; h < 2; h++) {
            vf b = vf_load(t->b + k * GROUP + h * VL);
            for (int r = 0; r < ROWS; r++) s->total[r][h] += vi_truncate((b * t->a[r][k]) * scale[r][h]);
        }
}

/* what may have to be told from finite numbers: operands, or in TR products from 2^128 on */
enum { NOTHING, PRODUCTS, OPERANDS };

/* The same in binary64, where no product is subnormal or overflows: `plain` becomes what NaN and infinity among the products
 * make of their sum, or something finite. In TR products are infinite from 2^128 on, in GTR only what an operand makes so. */
INLINE void wide_sums(const cm_lanes_args *args, const cm_tile *t, size_t k0, size_t apart, int special, step_sums *s, vf plain[ROWS][2])
{
    const size_t end = k0 / (size_t)args->products * (size_t)args->products + (size_t)args->products;
    const vd zero = vd_broadcast(0.0);
    for (int h = 0; h < 2; h++) {
        vd scale[ROWS][2], most[ROWS][2], least[ROWS][2], sum[ROWS][2];
        vi total[ROWS];
        for (int r = 0; r < ROWS; r++) {
            total[r] = vi_set(0), exponent_powers(args->fraction_bits - s->exponent[r][h], scale[r]);
            for (int i = 0; i < 2; i++) most[r][i] = least[r][i] = sum[r][i] = zero;
        }
        for (size_t k = k0; k < end; k += apart) {
            vd b[2];
            vf_widen(vf_load(t->b + k * GROUP + h * VL), &b[0], &b[1]);
            for (int r = 0; r < ROWS; r++) {
                const vd a = vd_broadcast((double)t->a[r][k]);
                vd p[2] = {b[0] * a, b[1] * a};
                for (int i = 0; special && i < 2; i++) {
                    vd counts = p[i];
                    if (special == OPERANDS) {
                        const vl bad = p[i] - p[i] != zero;
                        if (apart == 2) counts = (vd)((vl)p[i] & bad);
                        p[i] = (vd)((vl)p[i] & ~bad), sum[r][i] += counts;
                    }
                    most[r][i] = vd_max(most[r][i], counts), least[r][i] = vd_min(least[r][i], counts); /* NaN gets lost */
                }
                total[r] += vd_truncate(p[0] * scale[r][0], p[1] * scale[r][1]);
            }
        }
        for (int r = 0; r < ROWS; r++) {
            s->total[r][h] = total[r];
            if (special) plain[r][h] += vd_narrow(most[r][0], most[r][1]) + vd_narrow(least[r][0], least[r][1]);
            if (special == OPERANDS) {
                for (int i = 0; i < 2; i++) sum[r][i] = (vd)((vl)sum[r][i] & (sum[r][i] != sum[r][i]));
                plain[r][h] += vd_narrow(sum[r][0], sum[r][1]);
            }
        }
    }
}

INLINE int outside(const step_sums *s)
{
    vi low = vi_set(0);
    for (int r = 0; r < ROWS; r++)
        for (int h = 0; h < 2; h++) low |= (s->exponent[r][h] < LOW) & (s->exponent[r][h] > EMPTY);
    return vi_sign_bits(low) != 0;
}

INLINE void floored_steps(const cm_lanes_args *args, cm_tile *t, const int groups, const int special)
{
    const size_t apart = (size_t)groups;
    const int always_narrow = t->low >= LOW;
    for (size_t k0 = 0; k0 < t->depth; k0 += (size_t)args->products) {
        step_sums s[2];
        vf plain[ROWS][2];
        for (int r = 0; r < ROWS; r++)
            for (int h = 0; h < 2; h++) plain[r][h] = vf_set(0);
        for (size_t g = 0; g < apart; g++) {
            alignment(args, t, k0 + g, apart, &s[g]);
            if (special) wide_sums(args, t, k0 + g, apart, special, &s[g], plain);
            else if (always_narrow || !outside(&s[g])) narrow_sums(args, t, k0 + g, apart, &s[g]);
            else wide_sums(args, t, k0 + g, apart, NOTHING, &s[g], plain);
        }
        for (int r = 0; r < ROWS; r++)
            for (int h = 0; h < 2; h++) {
                vi sum = s[0].total[r][h], x = s[0].exponent[r][h];
                if (groups == 2) {
                    const vi other = s[1].exponent[r][h], largest = vi_max(x, other);
                    sum = vi_floor_shift(sum, largest - x) + vi_floor_shift(s[1].total[r][h], largest - other);
                    x = largest;
                }
                const vf c = vf_load(&t->c[r][h * VL]), p = plain[r][h] + c;
                vf d = accumulate(sum << (F - args->fraction_bits), x, groups == 2, c);
                if (special) {
                    const vi finite = plain[r][h] - plain[r][h] == (vf){0};
                    d = (vf)(((vi)d & finite) | ((vi)p & ~finite));
                }
                vf_store(&t->c[r][h * VL], d);
            }
    }
}

static CM_NOINLINE void together(const cm_lanes_args *args, cm_tile *t) { floored_steps(args, t, 1, NOTHING); }
static CM_NOINLINE void parities(const cm_lanes_args *args, cm_tile *t) { floored_steps(args, t, 2, NOTHING); }
static CM_NOINLINE void large_together(const cm_lanes_args *args, cm_tile *t) { floored_steps(args, t, 1, PRODUCTS); }
static CM_NOINLINE void special_together(const cm_lanes_args *args, cm_tile *t) { floored_steps(args, t, 1, OPERANDS); }
static CM_NOINLINE void special_parities(const cm_lanes_args *args, cm_tile *t) { floored_steps(args, t, 2, OPERANDS); }

static void floored_tile(const cm_lanes_args *args, cm_tile *t)
{
    const int large = t->high > HIGH;
    if (args->groups == 2) (t->special || large ? special_parities : parities)(args, t);
    else (t->special ? special_together : large ? large_together : together)(args, t);
}

void CM_NAME(cm_floored)(const cm_lanes_args *args, size_t row_begin, size_t row_end, void *workspace)
{
    cm_fpenv saved = cm_fpenv_enter();
    CM_NAME(lane_tiles)(args, row_begin, row_end, 0, floored_tile, workspace);
    cm_fpenv_leave(saved);
}
