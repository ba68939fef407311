/* Steps of the fused dot product as int32 sums: exponents within a window.
 *
 * A sum of 16 products and the accumulator with 25 fraction bits lies within 2^31 + 2^26 of zero, and int32 additions
 * wrap: whatever the partial sums did, a last sum that stays WRAP_REACH away from both ends is the sum itself. Any other
 * is as large as only 16 products of one sign can make it, so that the sign of the first product tells what wrapped. */
#include "matmul/fused_codes.h"
#include "matmul/fused_output.h"

#define INTEGER_LOW (-101) /* below every product within the window, and no scaling is subnormal */
#define INTEGER_HIGH 110
#define HALVES 0x00010001u
#define WRAP_REACH (1 << 26) /* the accumulator's share, half the share of a product */

INLINE uint32_t integer_floor(int32_t floor_exponent)
{
    return halves_floor(floor_exponent > INTEGER_LOW ? floor_exponent : INTEGER_LOW);
}

/* The accumulators of a tile that lie outside the window: infinite ones stay, the others are added to their products in
 * binary64. Returns 0 where there are none, as beside zeros. */
static CM_NOINLINE int integer_rare(const step_tile *t, const step_rule *u, float *c, int32_t *outside)
{
    int32_t aligned[TILE_ROWS * WIDE_GROUPS * VL];
    int finite = 0, infinite = 0;
    memcpy(c, t->c, sizeof aligned);
    for (size_t i = 0; i < TILE_ROWS * WIDE_GROUPS * VL; i++) {
        const uint32_t size = cm_bits32(c[i]) << 1;
        const int32_t e = (int32_t)(size >> 24) - 127;
        outside[i] = -((size != 0) & ((e <= INTEGER_LOW) | (e > INTEGER_HIGH)));
        finite |= outside[i] & -(e < 128);
        infinite |= e == 128;
    }
    if (!finite) return infinite;
    for (size_t i = 0; i < TILE_ROWS * WIDE_GROUPS * VL; i++) {
        const size_t r = i / (WIDE_GROUPS * VL), g = i / VL % WIDE_GROUPS;
        int32_t x = INT16_MIN;
        for (size_t k = 0; k < u->fused; k++) {
            int32_t p = (int32_t)(t->a_exponent[r * LINE + k] & 0xffff), q = (int32_t)(t->b_exponent[k * VL + i % VL] >> (16 * g) & 0xffff);
            if (p && q && p + q - 2 * WIDE_BIAS > x) x = p + q - 2 * WIDE_BIAS;
        }
        if (c[i] != 0) {
            int32_t e = (int32_t)(cm_bits32(c[i]) << 1 >> 24) - 127;
            if (e < u->least) e = u->least;
            if (e > x) x = e;
        }
        aligned[i] = x > u->floor_exponent ? x : u->floor_exponent;
    }
    for (size_t i = 0; i < TILE_ROWS * WIDE_GROUPS * VL; i += VL) {
        const size_t r = i / (WIDE_GROUPS * VL), g = i / VL % WIDE_GROUPS;
        double sum[VL];
        for (size_t l = 0; l < VL; l++) {
            const double scale = cm_exp2(u->fraction_bits - aligned[i + l]);
            sum[l] = __builtin_trunc((double)c[i + l] * scale);
            for (size_t k = 0; k < u->fused; k++)
                sum[l] += __builtin_trunc((double)((const float *)t->a)[r * LINE + k]
                                          * (double)((const float *)t->b)[k * WIDE_GROUPS * VL + g * VL + l] * scale);
            sum[l] *= cm_exp2(aligned[i + l] - u->fraction_bits);
        }
        vf x = vd_narrow(wide_output(vd_load(sum), u->output), wide_output(vd_load(sum + VL / 2), u->output));
        vf_store(c + i, u->output == CM_RNE_F16 ? vf_round_to_half(x) : x);
    }
    return 1;
}

/* the integers d, of whose exact values bits were lost, times 1 / scale in the output type */
INLINE vf integer_output(vf d, vi lost, vf scale, int32_t output)
{
    if (output == CM_RNE_F16) d = (vf)((vi)d | (lost & 1)); /* round to odd */
    d *= (vf)((254 << 23) - (vi)scale);
    if (output == CM_RZ_E8M13) d = (vf)((vi)d & ~0x3ff);
    return output == CM_RNE_F16 ? vf_round_to_half(d) : d;
}

/* the outputs of a tile of which some sum may have wrapped */
static CM_NOINLINE void integer_wrapped(const step_tile *t, const step_rule *u, size_t groups, const int32_t *sums, const float *scales)
{
    const size_t W = WIDE_GROUPS * VL;
    for (size_t i = 0; i < TILE_ROWS * W; i += i % W + VL < groups * VL ? VL : W - i % W) {
        const vi sum = vi_load(sums + i), first = (vi)(vf_broadcast(((const float *)t->a)[i / W * LINE]) * vf_load((const float *)t->b + i % W));
        const vi wrapped = ((sum ^ first) < 0) & ((sum < WRAP_REACH + INT32_MIN) | (sum > INT32_MAX - WRAP_REACH));
        const vu size = ((vu)sum ^ (vu)(first >> 31)) - (vu)(first >> 31); /* 2^31 or more where wrapped */
        vf d = vf_of_integers((vi)(size >> 8)) * 0x1p8f;
        d = integer_output((vf)((vi)d | (first & INT32_MIN)), (vi)((size & 0xff) != 0), vf_load(scales + i), u->output);
        vf_store(t->c + i, (vf)(((vi)d & wrapped) | ((vi)vf_load(t->c + i) & ~wrapped)));
    }
}

/* exponents of accumulators of both groups as packed halves; in a plain step zeros and subnormals are no special case */
INLINE vu integer_exponents(const float *c, const step_rule *u, size_t groups, int plain)
{
    const vu first = (vu)vf_load(c), second = groups == 2 ? (vu)vf_load(c + VL) : (vu){0};
    if (plain) return (first << 1 >> 24 | (second & 0x7f800000u) >> 7) + (2 * WIDE_BIAS - 127) * HALVES;
    const vi low = vi_max((vi)(first << 1 >> 24) - 127, vi_set(u->least)) + 2 * WIDE_BIAS;
    const vi high = vi_max((vi)(second << 1 >> 24) - 127, vi_set(u->least)) + 2 * WIDE_BIAS;
    return ((vu)low & (vu)(first << 1 != 0)) | ((vu)high & (vu)(second << 1 != 0)) << 16;
}

/* Products are exact in float32, so are they scaled to the grid, and conversion truncates: the sum of integers is the
 * model itself. Runs under rounding toward zero, for the conversion of the sum. */
INLINE void integer_step(const step_tile *t, const step_rule *u, size_t groups, int plain, uint32_t *shared)
{
    const size_t W = WIDE_GROUPS * VL, L = u->fused;
    const int32_t F = u->fraction_bits, output = plain ? CM_RZ_F32 : u->output;
    const float *const a = t->a, *const b = t->b;
    const uint32_t floor = integer_floor(u->floor_exponent);
    vu largest[TILE_ROWS];
    vi sum[TILE_ROWS][WIDE_GROUPS];
    vf scale[TILE_ROWS][WIDE_GROUPS];
    const vu most = (INTEGER_HIGH + 2 * WIDE_BIAS) * HALVES + (vu){0}, most_scaled = (uint32_t)(F + 126 - INTEGER_LOW) * HALVES + (vu){0};
    vu high = most, high_scaled = most_scaled;
    for (int r = 0; r < TILE_ROWS; r++) {
        const float *c = t->c + (size_t)r * W;
        vu x = vu_max_halves(vu_load(shared + r * VL), integer_exponents(c, u, groups, plain));
        if (groups == 1) x = (x & 0xffffu) | x << 16;
        const vu scaled = (uint32_t)(2 * WIDE_BIAS + F + 127) * HALVES - x;
        high = vu_max_halves(high, x), high_scaled = vu_max_halves(high_scaled, scaled);
        for (size_t g = 0; g < groups; g++) {
            scale[r][g] = (vf)(g ? (scaled & 0xffff0000u) << 7 : scaled << 23);
            sum[r][g] = vi_truncate(vf_load(c + g * VL) * scale[r][g]);
        }
    }
    const vi beyond = (vi)(high != most) | (vi)(high_scaled != most_scaled);
    float special[TILE_ROWS * WIDE_GROUPS * VL];
    int32_t outside[TILE_ROWS * WIDE_GROUPS * VL];
    const int rare = __builtin_expect(vi_sign_bits(beyond) != 0, 0) && integer_rare(t, u, special, outside);
    for (int r = 0; r < TILE_ROWS; r++) largest[r] = floor + (vu){0};
    for (size_t k = 0; k < L; k++) {
        vf y[WIDE_GROUPS];
        vu e = vu_load(t->next_b_exponent + k * VL);
        for (size_t g = 0; g < groups; g++) y[g] = vf_load(b + k * W + g * VL);
        for (int r = 0; r < TILE_ROWS; r++) {
            vf x = vf_broadcast(a[r * LINE + k]);
            for (size_t g = 0; g < groups; g++) sum[r][g] = vi_wrapping_add(sum[r][g], vi_truncate(x * y[g] * scale[r][g]));
            largest[r] = vu_max_halves(largest[r], e + (vu)vi_set((int32_t)t->next_a_exponent[r * LINE + k]));
        }
    }
    for (int r = 0; r < TILE_ROWS; r++) vu_store_u32(shared + r * VL, largest[r]);
    int32_t sums[TILE_ROWS * WIDE_GROUPS * VL];
    float scales[TILE_ROWS * WIDE_GROUPS * VL];
    int wrapped = 0;
    if (L > 8) {
        const vi least = vi_set(WRAP_REACH + INT32_MIN), greatest = vi_set(INT32_MAX - WRAP_REACH);
        vi low = least, top = greatest;
        for (int r = 0; r < TILE_ROWS; r++)
            for (size_t g = 0; g < groups; g++) low = vi_min(low, sum[r][g]), top = vi_max(top, sum[r][g]);
        wrapped = vi_sign_bits((low != least) | (top != greatest)) != 0;
        if (__builtin_expect(wrapped, 0))
            for (int r = 0; r < TILE_ROWS; r++)
                for (size_t g = 0; g < groups; g++) vi_store(sums + (size_t)r * W + g * VL, sum[r][g]), vf_store(scales + (size_t)r * W + g * VL, scale[r][g]);
    }
    for (int r = 0; r < TILE_ROWS; r++)
        for (size_t g = 0; g < groups; g++) {
            const vf d = vf_of_integers(sum[r][g]);
            const vi lost = output == CM_RNE_F16 ? vi_truncate(d) != sum[r][g] : vi_set(0);
            vf_store(t->c + (size_t)r * W + g * VL, integer_output(d, lost, scale[r][g], output));
        }
    if (__builtin_expect(wrapped, 0)) integer_wrapped(t, u, groups, sums, scales);
    if (__builtin_expect(rare, 0))
        for (size_t i = 0; i < TILE_ROWS * W; i++)
            if (outside[i]) t->c[i] = special[i];
}

INLINE void integer_groups(const step_tile *t, const step_rule *u, size_t groups, uint32_t *shared)
{
    if (groups == 1) integer_step(t, u, 1, 0, shared);
    else if (u->halves || u->output != CM_RZ_F32) integer_step(t, u, 2, 0, shared);
    else integer_step(t, u, 2, 1, shared);
}

void CM_NAME(fused_integer_panel)(const panel_run *run) { every_step(run, (panel_form){WIDE_GROUPS * VL, sizeof(float), 1, 0, integer_floor(run->args->floor_exponent)}, integer_groups); }
