/* Steps of the fused dot product as float32 chains: narrow formats, few fraction bits. fused_codes.h tells the idea. */
#include "matmul/fused_codes.h"

#define NARROW_LOW (-90)  /* the least alignment exponent */
#define NARROW_LEAST (127 - 2 * 15) /* the least sum of two exponents; with a packed zero it stays below */

/* where an accumulator starts but for its own value: x is the alignment's field of binary32, in place */
INLINE vi narrow_origin(const step_tile *t, int r, size_t g, vf c, vi x, vi magic)
{
    vi negative = vu_count_ones(vu_load(t->b_signs + g * VL) ^ t->a_signs[r]) + vf_is_negative(c);
    return vi_wrapping_add(vi_wrapping_add(x, magic), negative);
}

/* The starts of a tile outside the everyday range. An accumulator that this kernel cannot hold becomes NaN, which later
 * marks the output. */
static CM_NOINLINE void narrow_rare(const step_tile *t, const step_rule *u, const uint32_t *largest, vi magic, float *start)
{
    for (size_t i = 0; i < TILE_ROWS * NARROW_GROUPS * VL; i += VL) {
        const size_t r = i / (NARROW_GROUPS * VL), g = i / VL % NARROW_GROUPS;
        vf c = (vf)((vi)vf_load(t->c + i) & ~0x3ff);
        const vi counts = c != (vf){0}, e = vi_max((vi)((vu)c << 1 >> 24), vi_set(u->least + 127));
        const vi sum = (vi)((vu_load(largest + r * VL) >> (8 * (uint32_t)g)) & 0xffu);
        const vi none = sum < NARROW_LEAST; /* the sum of a zero and something: no product counts */
        const vi tiny = counts & none & (e <= 127 + NARROW_LOW);
        vi x = vi_max((sum & ~none) | (none & (127 + NARROW_LOW)), e & counts);
        const vi huge = (vi)(((vu)x << 23) + (vu)magic >= 0x7f800000u); /* no origin */
        x = (x & ~huge) | (huge & 127);
        c = (vf)((vi)c | ((tiny | huge) & 0x7fc00000));
        vf_store(start + i, vf_multiply_add(c, vf_broadcast(1 + NARROW_ETA), (vf)narrow_origin(t, (int)r, g, c, x << 23, magic)));
    }
}

INLINE void narrow_step(const step_tile *t, const step_rule *u, size_t groups, uint32_t *shared)
{
    const size_t W = NARROW_GROUPS * VL, L = u->fused;
    const float *const a = t->a, *const b = t->b;
    vi magic = vi_set((23 - u->fraction_bits) * (1 << 23) + (1 << 22)), field = vi_set(0x7f800000);
    vi kept = vi_set(~0x3ff); /* at most 13 bits of an accumulator count, so that eta cannot carry it over a grid point */
    vf factor = vf_broadcast(1 + NARROW_ETA);
    KEEP(magic);
    KEEP(field);
    KEEP(kept);
    KEEP(factor);
    vu largest[TILE_ROWS];
    vf acc[TILE_ROWS][NARROW_GROUPS];
    vi low = vi_set(INT32_MAX), low_sum = low;
    for (int r = 0; r < TILE_ROWS; r++) largest[r] = vu_load(shared + r * VL);
    for (int r = 0; r < TILE_ROWS; r++)
        for (size_t g = 0; g < groups; g++) {
            const vf c = (vf)((vi)vf_load(t->c + (size_t)r * W + g * VL) & kept);
            const vi sum = (vi)(g < 3 ? largest[r] << (23 - 8 * (uint32_t)g) : largest[r] >> 1) & field;
            const vi origin = narrow_origin(t, r, g, c, vi_max(sum, (vi)c & field), magic);
            low = vi_min(low, origin); /* negative where the exponent leaves binary32 */
            if (u->halves) low_sum = vi_min(low_sum, sum);
            acc[r][g] = vf_multiply_add(c, factor, (vf)origin);
        }
    low = (low < vi_set(NARROW_LEAST << 23) + magic) | (low_sum < (127 - 14) << 23);
    if (__builtin_expect(vi_sign_bits(low) != 0, 0)) {
        float start[TILE_ROWS * NARROW_GROUPS * VL];
        narrow_rare(t, u, shared, magic, start);
        for (int r = 0; r < TILE_ROWS; r++)
            for (size_t g = 0; g < groups; g++) acc[r][g] = vf_load(start + (size_t)r * W + g * VL);
    }
    for (int r = 0; r < TILE_ROWS; r++) largest[r] = (vu){0};
    for (size_t k = 0; k < L; k++) { /* with the exponents of the next tile in the shadow of the multiply-adds */
        vf y[NARROW_GROUPS];
        vu e = vu_load(t->next_b_exponent + k * VL);
        for (size_t g = 0; g < groups; g++) y[g] = vf_load(b + k * W + g * VL);
        KEEP(e);
        for (size_t g = 0; g < groups; g++) KEEP(y[g]);
        for (int r = 0; r < TILE_ROWS; r++) {
            vf x = vf_broadcast(a[r * LINE + k]);
            for (size_t g = 0; g < groups; g++) acc[r][g] = vf_multiply_add(x, y[g], acc[r][g]);
            largest[r] = vu_max_bytes(largest[r], e + (vu)vi_set((int32_t)t->next_a_exponent[r * LINE + k]));
        }
    }
    for (int r = 0; r < TILE_ROWS; r++) vu_store_u32(shared + r * VL, largest[r]);
    for (int r = 0; r < TILE_ROWS; r++)
        for (size_t g = 0; g < groups; g++) { /* the start is in the result: its exponent, and the bit below */
            vf start = (vf)(((vi)acc[r][g] & field) | 0x00400000);
            vf d = vf_exact_difference(acc[r][g], start);
            if (u->output == CM_RNE_F16) d = vf_round_to_half(d);
            vf_store(t->c + (size_t)r * W + g * VL, d);
        }
}

INLINE void narrow_groups(const step_tile *t, const step_rule *u, size_t groups, uint32_t *shared)
{
    if (groups == 4) narrow_step(t, u, 4, shared);
    else if (groups == 1) narrow_step(t, u, 1, shared);
    else narrow_step(t, u, groups < 3 ? 2 : 3, shared);
}

void CM_NAME(fused_narrow_panel)(const panel_run *run) { every_step(run, (panel_form){NARROW_GROUPS * VL, sizeof(float), 1, 1, 0}, narrow_groups); }
