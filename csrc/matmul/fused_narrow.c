/* Steps of the fused dot product as float32 chains: narrow formats, few fraction bits. fused_codes.h tells the idea. */
#include "matmul/fused_codes.h"

#define NARROW_LOW (-90)  /* alignment exponents between which every scaling is a normal number */
#define NARROW_HIGH 100
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

INLINE vf narrow_start(const step_tile *t, int r, size_t g, vf c, vi x, const narrow_constants *k)
{
    c = (vf)((vi)c & k->kept);
    vi negative = vu_count_ones(vu_load(t->b_signs + g * VL) ^ t->a_signs[r], &k->counter) + vf_is_negative(c);
    return vf_multiply_add(c, k->factor, (vf)((vu)x + k->magic + (vu)negative));
}

/* The starts of a tile outside the everyday range, lane by lane. An accumulator that this kernel cannot hold becomes
 * NaN, which later marks the output. */
static CM_NOINLINE void narrow_rare(const step_tile *t, const step_rule *u, const uint32_t *largest, float *start)
{
    const narrow_constants constants = narrow_open(u->fraction_bits);
    for (size_t i = 0; i < TILE_ROWS * NARROW_GROUPS * VL; i++) {
        const size_t r = i / (NARROW_GROUPS * VL), g = i / VL % NARROW_GROUPS;
        float c = t->c[i];
        int32_t field = (int32_t)(cm_bits32(c) << 1 >> 24), x = (int32_t)(largest[r * VL + i % VL] >> (8 * g) & 0xff);
        if (x < NARROW_LEAST) x = 127 + NARROW_LOW; /* the sum of a zero and something: no product counts */
        if (c != 0) {
            int32_t e = field > u->least + 127 ? field : u->least + 127;
            if (e > x) x = e;
            else if (x == 127 + NARROW_LOW) c = __builtin_nanf(""); /* tiny beside zeros */
        }
        if (x > 127 + NARROW_HIGH) c = __builtin_nanf(""), x = 127;
        vf one = narrow_start(t, (int)r, g, vf_broadcast(c), vi_set(x << 23), &constants); /* signs differ by lane: pick ours */
        start[i] = one[i % VL];
    }
}

INLINE void narrow_step(const step_tile *t, const step_rule *u, size_t groups, int halves, uint32_t *shared)
{
    const size_t W = NARROW_GROUPS * VL, L = u->fused;
    const float *const a = t->a, *const b = t->b;
    const narrow_constants constants = narrow_open(u->fraction_bits);
    vu largest[TILE_ROWS];
    vf acc[TILE_ROWS][NARROW_GROUPS];
    vi low = vi_set(127 << 23), high = low;
    for (int r = 0; r < TILE_ROWS; r++) largest[r] = vu_load(shared + r * VL);
    for (int r = 0; r < TILE_ROWS; r++)
        for (size_t g = 0; g < groups; g++) {
            vf c = vf_load(t->c + (size_t)r * W + g * VL);
            vu of_group = g < 3 ? largest[r] << (23 - 8 * (uint32_t)g) : largest[r] >> 1;
            vi sum = (vi)of_group & constants.exponent, x = vi_max(sum, (vi)c & constants.exponent);
            low = vi_min(low, halves ? sum : x), high = vi_max(high, x);
            acc[r][g] = narrow_start(t, r, g, c, x, &constants);
        }
    low = (low < ((halves ? 127 - 14 : NARROW_LEAST) << 23)) | (high > (127 + NARROW_HIGH) << 23);
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
            vf start = (vf)(((vi)acc[r][g] & 0x7f800000) | 0x00400000);
            vf d = vf_exact_difference(acc[r][g], start);
            if (u->output == CM_RZ_E8M13) d = (vf)((vi)d & ~0x3ff);
            else if (u->output == CM_RNE_F16) d = vf_round_to_half(d);
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
