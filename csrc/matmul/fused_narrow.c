/* Steps of the fused dot product as float32 chains: narrow formats, few fraction bits. fused_codes.h tells the idea. */
#include "matmul/fused_codes.h"

#define NARROW_LOW (-90)  /* the least alignment exponent */
#define NARROW_LEAST (127 - 2 * 15) /* the least sum of two exponents; with a packed zero it stays below */

#define EXPONENT 0x7f800000 /* exponents stay in the place that binary32 has for them */

typedef struct {
    vi exponent, kept;
    vu magic;
    vf factor;
    vu_counter counter;
} narrow_constants;

INLINE narrow_constants narrow_open(int32_t fraction_bits)
{
    return (narrow_constants){
        vi_keep(vi_set(EXPONENT)),
        vi_keep(vi_set(~0x3ff)), /* at most 13 bits of an accumulator count, so that eta cannot carry it over a grid point */
        vu_keep((vu)vi_set((23 - fraction_bits) * (1 << 23) + (1 << 22))),
        vf_keep(vf_broadcast(1 + NARROW_ETA)),
        vu_counter_open(),
    };
}

/* Where an accumulator starts, without its own value; at alignment exponents too large for binary32 negative or not finite. */
INLINE vi narrow_origin(const step_tile *t, int r, size_t g, vf c, vi x, const narrow_constants *k)
{
    vi negative = vu_count_ones(vu_load(t->b_signs + g * VL) ^ t->a_signs[r], &k->counter) + vf_is_negative(c);
    return (vi)((vu)x + k->magic + (vu)negative);
}

/* The starts of a tile outside the everyday range, as beside zeros. An accumulator that this kernel cannot hold becomes
 * NaN, which later marks the output. */
static CM_NOINLINE void narrow_rare(const step_tile *t, const step_rule *u, const uint32_t *largest, float *start)
{
    const narrow_constants constants = narrow_open(u->fraction_bits);
    for (size_t i = 0; i < TILE_ROWS * NARROW_GROUPS * VL; i += VL) {
        const size_t r = i / (NARROW_GROUPS * VL), g = i / VL % NARROW_GROUPS;
        vf c = (vf)((vi)vf_load(t->c + i) & constants.kept);
        const vi counts = c != (vf){0}, e = vi_max((vi)((vu)c << 1 >> 24), vi_set(u->least + 127));
        const vi sum = (vi)((vu_load(largest + r * VL) >> (8 * (uint32_t)g)) & 0xffu);
        const vi none = sum < NARROW_LEAST; /* the sum of a zero and something: no product counts */
        const vi tiny = counts & none & (e <= 127 + NARROW_LOW);
        vu x = (vu)vi_max((sum & ~none) | (none & (127 + NARROW_LOW)), e & counts) << 23;
        const vi huge = (vi)(x + constants.magic >= (vu)vi_set(EXPONENT));
        x = (x & ~(vu)huge) | ((vu)huge & (127u << 23));
        c = (vf)((vi)c | ((tiny | huge) & 0x7fc00000));
        vf_store(start + i, vf_multiply_add(c, constants.factor, (vf)narrow_origin(t, (int)r, g, c, (vi)x, &constants)));
    }
}

INLINE void narrow_step(const step_tile *t, const step_rule *u, size_t groups, int halves, uint32_t *shared)
{
    const size_t W = NARROW_GROUPS * VL, L = u->fused;
    const float *const a = t->a, *const b = t->b;
    const narrow_constants constants = narrow_open(u->fraction_bits);
    vu largest[TILE_ROWS];
    vf acc[TILE_ROWS][NARROW_GROUPS];
    vi low = vi_set(INT32_MAX), low_sum = low;
    for (int r = 0; r < TILE_ROWS; r++) largest[r] = vu_load(shared + r * VL);
    for (int r = 0; r < TILE_ROWS; r++)
        for (size_t g = 0; g < groups; g++) {
            const vf c = (vf)((vi)vf_load(t->c + (size_t)r * W + g * VL) & constants.kept);
            vu of_group = g < 3 ? largest[r] << (23 - 8 * (uint32_t)g) : largest[r] >> 1;
            const vi sum = (vi)of_group & constants.exponent;
            const vi origin = narrow_origin(t, r, g, c, vi_max(sum, (vi)c & constants.exponent), &constants);
            low = vi_min(low, origin); /* one comparison for both ends: too large is negative */
            if (halves) low_sum = vi_min(low_sum, sum);
            acc[r][g] = vf_multiply_add(c, constants.factor, (vf)origin);
        }
    low = (low < (vi)((vu)vi_set(NARROW_LEAST << 23) + constants.magic)) | (low_sum < (127 - 14) << 23);
    if (__builtin_expect(vi_sign_bits(low) != 0, 0)) {
        float start[TILE_ROWS * NARROW_GROUPS * VL];
        narrow_rare(t, u, shared, start);
        for (int r = 0; r < TILE_ROWS; r++)
            for (size_t g = 0; g < groups; g++) acc[r][g] = vf_load(start + (size_t)r * W + g * VL);
    }
    for (int r = 0; r < TILE_ROWS; r++) largest[r] = (vu){0};
    for (size_t k = 0; k < L; k++) { /* with the exponents of the next tile in the shadow of the multiply-adds */
        vf y[NARROW_GROUPS];
        vu e = vu_keep(vu_load(t->next_b_exponent + k * VL));
        for (size_t g = 0; g < groups; g++) y[g] = vf_keep(vf_load(b + k * W + g * VL));
        for (int r = 0; r < TILE_ROWS; r++) {
            vf x = vf_broadcast(a[r * LINE + k]);
            for (size_t g = 0; g < groups; g++) acc[r][g] = vf_multiply_add(x, y[g], acc[r][g]);
            largest[r] = vu_max_bytes(largest[r], e + (vu)vi_set((int32_t)t->next_a_exponent[r * LINE + k]));
        }
    }
    for (int r = 0; r < TILE_ROWS; r++) vu_store_u32(shared + r * VL, largest[r]);
    for (int r = 0; r < TILE_ROWS; r++)
        for (size_t g = 0; g < groups; g++) { /* the start is in the result: its exponent, and the bit below */
            vf start = (vf)(((vi)acc[r][g] & constants.exponent) | 0x00400000);
            vf d = vf_exact_difference(acc[r][g], start);
            if (u->output == CM_RNE_F16) d = vf_round_to_half(d);
            vf_store(t->c + (size_t)r * W + g * VL, d);
        }
}

INLINE void narrow_groups(const step_tile *t, const step_rule *u, size_t groups, int halves, uint32_t *shared)
{
    if (groups == 4) narrow_step(t, u, 4, halves, shared);
    else if (groups == 1) narrow_step(t, u, 1, halves, shared);
    else narrow_step(t, u, groups < 3 ? 2 : 3, halves, shared);
}

INLINE void narrow_halves(const step_tile *t, const step_rule *u, size_t groups, uint32_t *shared) { narrow_groups(t, u, groups, 1, shared); }
INLINE void narrow_singles(const step_tile *t, const step_rule *u, size_t groups, uint32_t *shared) { narrow_groups(t, u, groups, 0, shared); }

#define FORM ((panel_form){NARROW_GROUPS * VL, sizeof(float), 1, 1, 0})
static CM_NOINLINE void panel_of_halves(const panel_run *run) { every_step(run, FORM, narrow_halves); }
static CM_NOINLINE void panel_of_singles(const panel_run *run) { every_step(run, FORM, narrow_singles); }

void CM_NAME(fused_narrow_panel)(const panel_run *run)
{
    const cm_fused_codes_args *args = run->args;
    if (args->output == CM_RNE_F16 || (run->first && args->c_min_exponent != -126)) panel_of_halves(run);
    else panel_of_singles(run);
}
