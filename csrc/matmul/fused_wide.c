/* Steps of the fused dot product as float64 chains: every format. fused_codes.h tells the idea. */
#include "matmul/fused_codes.h"
#include "matmul/fused_output.h"

#define WIDE_LOW (-100)   /* results of steps aligned between these are normal float32 numbers */
#define WIDE_HIGH 110

static CM_NOINLINE void wide_rare_output(double *sums, float *d, int32_t output)
{
    for (size_t i = 0; i < TILE_ROWS * WIDE_GROUPS * VL; i += VL) {
        vf x = vd_narrow(wide_output(vd_load(sums + i), output), wide_output(vd_load(sums + i + VL / 2), output));
        vf_store(d + i, output == CM_RNE_F16 ? vf_round_to_half(x) : x);
    }
}

INLINE void wide_start(const step_tile *t, int r, size_t g, vf c, vi x, int32_t magic, vd *low, vd *high)
{
    const vu_counter counter = vu_counter_open();
    vi negative = vu_count_ones(vu_load(t->b_signs + g * VL) ^ t->a_signs[r], &counter) + vf_is_negative(c);
    vl m0, m1;
    vd c0, c1;
    vl_of_words(negative, (vi)(((vu)x << 20) + (uint32_t)magic), &m0, &m1);
    vf_widen(c, &c0, &c1);
    *low = vd_multiply_add(c0, vd_broadcast(1 + WIDE_ETA), (vd)m0);
    *high = vd_multiply_add(c1, vd_broadcast(1 + WIDE_ETA), (vd)m1);
}

/* the starts of a tile with all corners of the accumulators' exponents */
static CM_NOINLINE void wide_rare(const step_tile *t, const step_rule *u, const uint32_t *largest, int32_t magic, double *start)
{
    for (size_t i = 0; i < TILE_ROWS * WIDE_GROUPS * VL; i += VL) {
        const size_t r = i / (WIDE_GROUPS * VL), g = i / VL % WIDE_GROUPS;
        vf c = vf_load(t->c + i);
        vi sum = (vi)((vu_load(largest + r * VL) >> (16 * (uint32_t)g)) & 0xffffu), zero = (vi)(c == (vf){0});
        vi e = vi_max((vi)((vu)c << 1 >> 24) - 127, vi_set(u->least)) + 2 * WIDE_BIAS;
        vd low, high;
        wide_start(t, (int)r, g, c, vi_max(sum, e & ~zero), magic, &low, &high);
        vd_store(start + i, low), vd_store(start + i + VL / 2, high);
    }
}

INLINE vd wide_sum(vd acc)
{
    vl bits = (vl)acc;
    return vd_exact_difference(acc, (vd)((bits & 0x7ff0000000000000ll) | 0x0008000000000000ll));
}

INLINE void wide_step(const step_tile *t, const step_rule *u, size_t groups, uint32_t *shared)
{
    const size_t W = WIDE_GROUPS * VL, L = u->fused;
    const double *const a = t->a, *const b = t->b;
    const int32_t magic = (int32_t)((uint32_t)(52 - u->fraction_bits + 1023 - 2 * WIDE_BIAS) << 20) + (1 << 19);
    const uint32_t floor = halves_floor(u->floor_exponent);
    vu largest[TILE_ROWS];
    vd acc[TILE_ROWS][WIDE_GROUPS][2];
    vi low = vi_set(2 * WIDE_BIAS), high = vi_set(2 * WIDE_BIAS);
    for (int r = 0; r < TILE_ROWS; r++) largest[r] = vu_load(shared + r * VL);
    for (int r = 0; r < TILE_ROWS; r++)
        for (size_t g = 0; g < groups; g++) {
            vf c = vf_load(t->c + (size_t)r * W + g * VL);
            vi sum = (vi)(g ? largest[r] >> 16 : largest[r] & 0xffffu);
            vi x = vi_max(sum, (vi)((vu)c << 1 >> 24) + (2 * WIDE_BIAS - 127));
            low = vi_min(low, x), high = vi_max(high, x);
            wide_start(t, r, g, c, x, magic, &acc[r][g][0], &acc[r][g][1]);
        }
    low = (low < 2 * WIDE_BIAS + WIDE_LOW) | (high > 2 * WIDE_BIAS + WIDE_HIGH);
    const int rare = u->halves || vi_sign_bits(low);
    if (__builtin_expect(rare, 0)) {
        double start[TILE_ROWS * WIDE_GROUPS * VL];
        wide_rare(t, u, shared, magic, start);
        for (int r = 0; r < TILE_ROWS; r++)
            for (size_t g = 0; g < groups; g++)
                for (int h = 0; h < 2; h++) acc[r][g][h] = vd_load(start + (size_t)r * W + g * VL + (size_t)h * (VL / 2));
    }
    for (int r = 0; r < TILE_ROWS; r++) largest[r] = floor + (vu){0};
    for (size_t k = 0; k < L; k++) {
        vd y[WIDE_GROUPS][2];
        vu e = vu_load(t->next_b_exponent + k * VL);
        for (size_t g = 0; g < groups; g++)
            for (int h = 0; h < 2; h++) y[g][h] = vd_load(b + k * W + g * VL + (size_t)h * (VL / 2));
        for (int r = 0; r < TILE_ROWS; r++) {
            vd x = vd_broadcast(a[r * LINE + k]);
            for (size_t g = 0; g < groups; g++)
                for (int h = 0; h < 2; h++) acc[r][g][h] = vd_multiply_add(x, y[g][h], acc[r][g][h]);
            largest[r] = vu_max_halves(largest[r], e + (vu)vi_set((int32_t)t->next_a_exponent[r * LINE + k]));
        }
    }
    for (int r = 0; r < TILE_ROWS; r++) vu_store_u32(shared + r * VL, largest[r]);
    if (__builtin_expect(rare, 0)) {
        double sums[TILE_ROWS * WIDE_GROUPS * VL] = {0};
        for (int r = 0; r < TILE_ROWS; r++)
            for (size_t g = 0; g < groups; g++)
                for (int h = 0; h < 2; h++) {
                    vd s = acc[r][g][h], size = (vd)((vl)s & INT64_MAX);
                    vl infinite = (vl)(size == __builtin_inf());
                    vl sum = (vl)wide_sum(s);
                    vd_store(sums + (size_t)r * W + g * VL + (size_t)h * (VL / 2), (vd)(((vl)s & infinite) | (sum & ~infinite)));
                }
        wide_rare_output(sums, t->c, u->output);
    } else {
        for (int r = 0; r < TILE_ROWS; r++)
            for (size_t g = 0; g < groups; g++) {
                vf d = vd_narrow_toward_zero(wide_sum(acc[r][g][0]), wide_sum(acc[r][g][1]));
                if (u->output == CM_RZ_E8M13) d = (vf)((vi)d & ~0x3ff);
                vf_store(t->c + (size_t)r * W + g * VL, d);
            }
    }
}

INLINE void wide_groups(const step_tile *t, const step_rule *u, size_t groups, uint32_t *shared)
{
    if (groups == 2) wide_step(t, u, 2, shared);
    else wide_step(t, u, 1, shared);
}

void CM_NAME(fused_wide_panel)(const panel_run *run) { every_step(run, (panel_form){WIDE_GROUPS * VL, sizeof(double), 1, 0, halves_floor(run->args->floor_exponent)}, wide_groups); }
