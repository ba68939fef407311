/* TR and GTR, the dot products of CDNA3, as int32 sums: exponents within a window, 24 fraction bits.
 *
 * The accumulator takes no part in the alignment of the products, to 24 fraction bits below their largest exponent X.
 * Where its exponent is no more than 8 above X, flooring their sum to 32 bits below the larger exponent changes nothing,
 * and where it is at least X flooring it to 24 bits changes nothing: then both are integers in units of 2^(X - 24), and
 * up to NEAR above X the whole sum is one int32, whose 31 bits below the leading one are all there is. Conversion rounds
 * it to nearest even. */
#include "matmul/fused_codes.h"

#define F 24
#define LOW (-101)       /* below all products within the window: the alignment exponent of zeros only */
#define NEAR 5
#define FAR 64
#define DROPPED 25       /* GTR: an accumulator further below counts for nothing */

/* TR beside an accumulator up to FAR above the products. With it s bits further than NEAR the sum is an int32 in units of
 * 2^s grid points, and three more bits are those of the floored products. The leading bit of the sum is bit 28, 29 or 30:
 * 31 bits below it there remain three, two or one of the three. If any of those is set the number becomes odd, which a
 * rounding more than one bit above takes for a remainder. */
INLINE vf middle_end(vi sum, vi aligned, vf c)
{
    const vi e = (vi)((vu)c << 1 >> 24) + (2 * WIDE_BIAS - 127), s = vi_max(e - aligned - NEAR, vi_set(0));
    const vi scale = (2 * WIDE_BIAS + F + 127 - (aligned + s)) << 23;
    vi whole = vi_floor_shift(sum, s) + vf_floor_to_integer(c * (vf)scale);
    vi rest = vi_shift_left(sum, 32 - s), size = whole ^ (whole >> 31);
    rest &= ~(vi)((vu)rest >> 1) & (vi)(0xe0000000u + (vu){0}); /* its highest bit decides */
    whole |= ((rest > size) | (rest < 0)) & 1;
    return vf_of_integers(whole) * (vf)((254 << 23) - scale);
}

/* What a tile's sums make of its accumulators, wherever these lie; sums and exponents biased by 2 * WIDE_BIAS. */
static CM_NOINLINE void far_end(float *to, const int32_t *total, const int32_t *aligned, int drop)
{
    for (size_t i = 0; i < TILE_ROWS * WIDE_GROUPS * VL; i += VL) {
        const vf c = vf_load(to + i);
        const vi x = vi_load(aligned + i) - 2 * WIDE_BIAS, e = (vi)((vu)c << 1 >> 24) - 127;
        const vi larger = vi_max(x, e), above = larger - x; /* of c's subnormals: below every sum */
        vi whole = vi_load(total + i);
        vf old = vf_floor(c * (vf)((F + 127 - larger) << 23));
        if (drop) old = (vf)((vi)old & ~(e < larger - DROPPED));
        vd sum[2], addend[2], scale[2];
        vl m[2];
        vi_to_doubles(whole, &sum[0], &sum[1]);
        vf_widen(old, &addend[0], &addend[1]);
        vl_of_words(vi_set(0), (1023 + 32 - F - above) << 20, &m[0], &m[1]);
        for (int h = 0; h < 2; h++) { /* in units of 2^(larger - 32) */
            scale[h] = (vd)m[h];
            sum[h] = vd_floor(sum[h] * scale[h]) + addend[h] * vd_broadcast(256.0);
            const int64_t below = (1 << 21) - 1; /* floored to 31 bits below the leading one */
            vl bits = (vl)sum[h];
            sum[h] = (vd)((bits + ((bits >> 63) & below)) & ~below);
        }
        vf result = vd_narrow(sum[0], sum[1]) * vf_broadcast(0x1p-8f) * (vf)((larger + (127 - F)) << 23);
        vi none = x == LOW;
        vf_store(to + i, (vf)(((vi)c & none) | ((vi)result & ~none)));
    }
}

/* `sets`: 2 where even and odd k are aligned apart, each sum floored to the larger alignment */
INLINE void floored_step(const step_tile *t, const step_rule *u, size_t groups, const size_t sets, uint32_t *shared)
{
    const size_t W = WIDE_GROUPS * VL, L = u->fused;
    const float *const a = t->a, *const b = t->b;
    vu largest[2][TILE_ROWS];
    vi sum[TILE_ROWS][WIDE_GROUPS], aligned[TILE_ROWS][WIDE_GROUPS];
    vi high = vi_set(INT16_MIN), low = vi_set(INT16_MAX);
    for (size_t p = 0; p < sets; p++) {
        vf scale[TILE_ROWS][WIDE_GROUPS];
        vi part[TILE_ROWS][WIDE_GROUPS], exponent[TILE_ROWS][WIDE_GROUPS];
        for (int r = 0; r < TILE_ROWS; r++) {
            const vu both = vu_load(shared + (p * TILE_ROWS + (size_t)r) * VL);
            for (size_t g = 0; g < groups; g++) {
                exponent[r][g] = (vi)(g ? both >> 16 : both & 0xffffu);
                scale[r][g] = (vf)((vu)(2 * WIDE_BIAS + F + 127 - exponent[r][g]) << 23);
                part[r][g] = vi_set(0);
            }
            largest[p][r] = halves_floor(LOW) + (vu){0};
        }
        for (size_t k = p; k < L; k += sets) {
            vf y[WIDE_GROUPS];
            vu e = vu_load(t->next_b_exponent + k * VL);
            for (size_t g = 0; g < groups; g++) y[g] = vf_load(b + k * W + g * VL);
            for (int r = 0; r < TILE_ROWS; r++) {
                vf x = vf_broadcast(a[r * LINE + k]);
                for (size_t g = 0; g < groups; g++) part[r][g] += vi_truncate(x * y[g] * scale[r][g]);
                largest[p][r] = vu_max_halves(largest[p][r], e + (vu)vi_set((int32_t)t->next_a_exponent[r * LINE + k]));
            }
        }
        for (int r = 0; r < TILE_ROWS; r++) {
            vu_store_u32(shared + (p * TILE_ROWS + (size_t)r) * VL, largest[p][r]);
            for (size_t g = 0; g < groups; g++) {
                if (p == 0) {
                    sum[r][g] = part[r][g], aligned[r][g] = exponent[r][g];
                    continue;
                }
                const vi larger = vi_max(aligned[r][g], exponent[r][g]);
                sum[r][g] = vi_floor_shift(sum[r][g], larger - aligned[r][g]) + vi_floor_shift(part[r][g], larger - exponent[r][g]);
                aligned[r][g] = larger;
            }
        }
    }
    for (int r = 0; r < TILE_ROWS; r++)
        for (size_t g = 0; g < groups; g++) {
            const vf c = vf_load(t->c + (size_t)r * W + g * VL);
            high = vi_max(high, (vi)((vu)c << 1 >> 24) - aligned[r][g]), low = vi_min(low, aligned[r][g]);
        }
    const vi none = low <= LOW + 2 * WIDE_BIAS;
    if (vi_sign_bits((high > 127 - 2 * WIDE_BIAS + NEAR) | none)) {
        if (sets == 2 || vi_sign_bits((high > 127 - 2 * WIDE_BIAS + FAR) | none)) {
            int32_t total[TILE_ROWS * WIDE_GROUPS * VL] = {0}, exponent[TILE_ROWS * WIDE_GROUPS * VL] = {0};
            for (int r = 0; r < TILE_ROWS; r++)
                for (size_t g = 0; g < groups; g++) {
                    vi_store(total + (size_t)r * W + g * VL, sum[r][g]);
                    vi_store(exponent + (size_t)r * W + g * VL, aligned[r][g]);
                }
            far_end(t->c, total, exponent, sets == 2);
            return;
        }
        for (int r = 0; r < TILE_ROWS; r++)
            for (size_t g = 0; g < groups; g++) {
                float *c = t->c + (size_t)r * W + g * VL;
                vf_store(c, middle_end(sum[r][g], aligned[r][g], vf_load(c)));
            }
        return;
    }
    for (int r = 0; r < TILE_ROWS; r++)
        for (size_t g = 0; g < groups; g++) {
            const vf c = vf_load(t->c + (size_t)r * W + g * VL);
            const vi scale = (2 * WIDE_BIAS + F + 127 - aligned[r][g]) << 23;
            vi old = vf_floor_to_integer(c * (vf)scale);
            if (sets == 2) old &= ~((vi)((vu)c << 1 >> 24) < aligned[r][g] + (127 - DROPPED - 2 * WIDE_BIAS));
            vf_store(t->c + (size_t)r * W + g * VL, vf_of_integers(sum[r][g] + old) * (vf)((254 << 23) - scale));
        }
}

INLINE void together(const step_tile *t, const step_rule *u, size_t groups, uint32_t *shared)
{
    if (groups == 2) floored_step(t, u, 2, 1, shared);
    else floored_step(t, u, 1, 1, shared);
}

INLINE void apart(const step_tile *t, const step_rule *u, size_t groups, uint32_t *shared)
{
    if (groups == 2) floored_step(t, u, 2, 2, shared);
    else floored_step(t, u, 1, 2, shared);
}

void CM_NAME(fused_floored_panel)(const panel_run *run)
{
    every_step(run, (panel_form){WIDE_GROUPS * VL, sizeof(float), 1, 0, halves_floor(LOW)}, together);
}

void CM_NAME(fused_parities_panel)(const panel_run *run)
{
    every_step(run, (panel_form){WIDE_GROUPS * VL, sizeof(float), 2, 0, halves_floor(LOW)}, apart);
}
