/* Steps of the fused dot product as int32 sums: few products per step, exponents within a window. */
#include "matmul/fused_codes.h"
#include "matmul/fused_output.h"

#define INTEGER_LOW (-101) /* below every product within the window, and no scaling is subnormal */
#define INTEGER_HIGH 110

INLINE uint32_t integer_floor(int32_t floor_exponent)
{
    return halves_floor(floor_exponent > INTEGER_LOW ? floor_exponent : INTEGER_LOW);
}

/* The accumulators of a tile that lie outside the window: infinite ones stay, the others are added to their products in
 * binary64. Returns 0 where there are none, as beside zeros. */
static CM_NOINLINE int integer_rare(const step_tile *t, const step_rule *u, float *c)
{
    int32_t aligned[TILE_ROWS * WIDE_GROUPS * VL];
    int finite = 0, infinite = 0;
    memcpy(c, t->c, sizeof aligned);
    for (size_t i = 0; i < TILE_ROWS * WIDE_GROUPS * VL; i++) {
        const uint32_t size = cm_bits32(c[i]) << 1;
        const int32_t e = (int32_t)(size >> 24) - 127;
        finite |= (size != 0) & ((e <= INTEGER_LOW) | ((e > INTEGER_HIGH) & (e < 128)));
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

/* Products are exact in float32, so are they scaled to the grid, and conversion truncates: the sum of integers is the
 * model itself. Runs under rounding toward zero, for the conversion of the sum. */
INLINE void integer_step(const step_tile *t, const step_rule *u, size_t groups, uint32_t *shared)
{
    const size_t W = WIDE_GROUPS * VL, L = u->fused;
    const int32_t F = u->fraction_bits;
    const float *const a = t->a, *const b = t->b;
    const uint32_t floor = integer_floor(u->floor_exponent);
    vu largest[TILE_ROWS];
    vi sum[TILE_ROWS][WIDE_GROUPS];
    vf scale[TILE_ROWS][WIDE_GROUPS];
    vi low = vi_set(2 * WIDE_BIAS), high = vi_set(2 * WIDE_BIAS);
    for (int r = 0; r < TILE_ROWS; r++) largest[r] = vu_load(shared + r * VL);
    for (int r = 0; r < TILE_ROWS; r++)
        for (size_t g = 0; g < groups; g++) {
            vf c = vf_load(t->c + (size_t)r * W + g * VL);
            vi e = (vi)((vu)c << 1 >> 24) + (2 * WIDE_BIAS - 127);
            if (u->halves) e = vi_max(e, vi_set(u->least + 2 * WIDE_BIAS)) & ~(vi)(c == (vf){0});
            vi x = vi_max((vi)(g ? largest[r] >> 16 : largest[r] & 0xffffu), e);
            low = vi_min(low, x), high = vi_max(high, x);
            scale[r][g] = (vf)((vu)(2 * WIDE_BIAS + F + 127 - x) << 23);
            sum[r][g] = vi_truncate(c * scale[r][g]);
        }
    low = (low <= INTEGER_LOW + 2 * WIDE_BIAS) | (high > INTEGER_HIGH + 2 * WIDE_BIAS);
    float special[TILE_ROWS * WIDE_GROUPS * VL];
    const int rare = __builtin_expect(vi_sign_bits(low) != 0, 0) && integer_rare(t, u, special);
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
    for (int r = 0; r < TILE_ROWS; r++)
        for (size_t g = 0; g < groups; g++) {
            vf d = vf_of_integers(sum[r][g]);
            if (u->output == CM_RNE_F16) d = (vf)((vi)d | ((vi)(vi_truncate(d) != sum[r][g]) & 1)); /* round to odd */
            d *= (vf)((254 << 23) - (vi)scale[r][g]); /* one over the scale */
            if (u->output == CM_RZ_E8M13) d = (vf)((vi)d & ~0x3ff);
            else if (u->output == CM_RNE_F16) d = vf_round_to_half(d);
            if (__builtin_expect(rare, 0)) {
                const vf c = vf_load(t->c + (size_t)r * W + g * VL);
                const vi e = (vi)((vu)c << 1 >> 24) - 127;
                const vi outside = (e > INTEGER_HIGH) | ((e <= INTEGER_LOW) & (c != (vf){0}));
                d = (vf)(((vi)vf_load(special + (size_t)r * W + g * VL) & outside) | ((vi)d & ~outside));
            }
            vf_store(t->c + (size_t)r * W + g * VL, d);
        }
}

INLINE void integer_groups(const step_tile *t, const step_rule *u, size_t groups, uint32_t *shared)
{
    if (groups == 2) integer_step(t, u, 2, shared);
    else integer_step(t, u, 1, shared);
}

void CM_NAME(fused_integer_panel)(const panel_run *run) { every_step(run, (panel_form){WIDE_GROUPS * VL, sizeof(float), 1, 0, integer_floor(run->args->floor_exponent)}, integer_groups); }
