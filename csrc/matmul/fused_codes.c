/* The truncated fused dot product from codes, at the speed of a multiply-add chain: the models T and ST.
 *
 * fused_codes.h tells the idea. B is packed a block of depth and columns at a time, A a block of rows; a panel's
 * accumulators stay in a small buffer while the steps of the block run over it. Outputs whose special values need more
 * than a look at two flags are left to the general kernel and marked. */
#include "matmul/fused_codes.h"

#define INLINE static inline __attribute__((always_inline))

/* ---- float32 chains: narrow formats, few fraction bits ---------------------------------------------------------- */

#define NARROW_LOW (-90)  /* alignment exponents between which every scaling is a normal number */
#define NARROW_HIGH 100
#define NARROW_LEAST (127 - 2 * 15) /* the least sum of two exponents; with a packed zero it stays below */

INLINE vf narrow_start(const step_tile *t, int r, size_t g, vf c, vi x, int32_t magic)
{
    c = (vf)((vi)c & ~0x3ff); /* at most 13 bits of it count, so that eta cannot carry it over a grid point */
    vi negative = vu_count_ones(vu_load(t->b_signs + g * VL) ^ t->a_signs[r]) + vf_is_negative(c);
    return vf_multiply_add(c, vf_broadcast(1 + NARROW_ETA), (vf)(((vu)x << 23) + (uint32_t)magic + (vu)negative));
}

/* The starts of a tile outside the everyday range, lane by lane. An accumulator that this kernel cannot hold becomes
 * NaN, which later marks the output. */
static CM_NOINLINE void narrow_rare(const step_tile *t, const step_rule *u, const uint32_t *largest, int32_t magic, float *start)
{
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
        vf one = narrow_start(t, (int)r, g, vf_broadcast(c), vi_set(x), magic); /* signs differ by lane: pick ours */
        start[i] = one[i % VL];
    }
}

INLINE void narrow_step(const step_tile *t, const step_rule *u, size_t groups, uint32_t *shared)
{
    const size_t W = NARROW_GROUPS * VL, L = u->fused;
    const float *const a = t->a, *const b = t->b;
    const int32_t magic = (23 - u->fraction_bits) * (1 << 23) + (1 << 22);
    vu largest[TILE_ROWS];
    vf acc[TILE_ROWS][NARROW_GROUPS];
    vi low = vi_set(127), high = vi_set(127);
    for (int r = 0; r < TILE_ROWS; r++) largest[r] = vu_load(shared + r * VL);
    for (int r = 0; r < TILE_ROWS; r++)
        for (size_t g = 0; g < groups; g++) {
            vf c = vf_load(t->c + (size_t)r * W + g * VL);
            vi sum = (vi)((largest[r] >> (8 * (uint32_t)g)) & 0xffu);
            vi x = vi_max(sum, (vi)((vu)c << 1 >> 24));
            low = vi_min(low, u->halves ? sum : x), high = vi_max(high, x);
            acc[r][g] = narrow_start(t, r, g, c, x, magic);
        }
    low = (low < (u->halves ? 127 - 14 : NARROW_LEAST)) | (high > 127 + NARROW_HIGH);
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

/* ---- float64 chains: everything else ---------------------------------------------------------------------------- */

#define WIDE_LOW (-100)   /* results of steps aligned between these are normal float32 numbers */
#define WIDE_HIGH 110

/* the exact sum of a step in the output type, wherever it lies */
INLINE vd wide_output(vd s, int32_t output)
{
    vl bits = (vl)s, sign = bits & (INT64_MAX + 1ull), magnitude = bits & INT64_MAX, nan = (vl)(s != s);
    vd size = (vd)magnitude;
    if (output == CM_RNE_F16) { /* round to odd in 24 bits: a second rounding to fewer bits then sees what was lost */
        vl odd = ((magnitude & 0x1fffffff) + 0x1fffffff) & 0x20000000;
        vl kept = ((magnitude | odd) & ~0x1fffffffll) & (vl)(size >= 0x1p-60);
        vl over = (vl)(size > 0x1p20);
        return (vd)(sign | ((vl)vd_broadcast(0x1p20) & over) | (kept & ~over & ~nan) | (bits & nan));
    }
    const int64_t dropped = output == CM_RZ_E8M13 ? (1ll << 39) - 1 : (1ll << 29) - 1;
    const double least = output == CM_RZ_E8M13 ? 0x1p139 : 0x1p149;
    vd scaled = size * least, whole;
    for (int l = 0; l < VL / 2; l++) whole[l] = __builtin_trunc(scaled[l]);
    vl tiny = (vl)(size < 0x1p-126), over = (vl)(size >= 0x1p128);
    vl result = ((vl)(whole / least) & tiny) | ((magnitude & ~dropped) & ~tiny);
    result = ((vl)vd_broadcast(__builtin_inf()) & over) | (result & ~over);
    vl nonzero = (vl)((vd)result != 0.0);
    return (vd)((bits & nan) | ((result | (sign & nonzero)) & ~nan));
}

static CM_NOINLINE void wide_rare_output(double *sums, float *d, int32_t output)
{
    for (size_t i = 0; i < TILE_ROWS * WIDE_GROUPS * VL; i += VL) {
        vf x = vd_narrow(wide_output(vd_load(sums + i), output), wide_output(vd_load(sums + i + VL / 2), output));
        vf_store(d + i, output == CM_RNE_F16 ? vf_round_to_half(x) : x);
    }
}

INLINE void wide_start(const step_tile *t, int r, size_t g, vf c, vi x, int32_t magic, vd *low, vd *high)
{
    vi negative = vu_count_ones(vu_load(t->b_signs + g * VL) ^ t->a_signs[r]) + vf_is_negative(c);
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

INLINE uint32_t wide_floor(const step_rule *u) { return (uint32_t)(u->floor_exponent + 2 * WIDE_BIAS) * 0x00010001u; }

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
    const uint32_t floor = wide_floor(u);
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

/* ---- int32 sums: few products per step, exponents within a window ------------------------------------------------ */

#define INTEGER_LOW (-90)  /* alignment exponents that keep every scaling a normal number */
#define INTEGER_HIGH 110

INLINE int32_t integer_least(const step_rule *u) { return u->floor_exponent > INTEGER_LOW ? u->floor_exponent : INTEGER_LOW; }
INLINE uint32_t integer_floor(const step_rule *u) { return (uint32_t)(integer_least(u) + 2 * WIDE_BIAS) * 0x00010001u; }

/* A tile that may leave the window: returns 0 if nothing but zeros does, else its outputs are written. `high`: some
 * alignment exponent is too high. */
static CM_NOINLINE int integer_rare(const step_tile *t, const step_rule *u, int high)
{
    int32_t aligned[TILE_ROWS * WIDE_GROUPS * VL];
    int rare = high;
    uint32_t some = 0; /* rows of zeros beside accumulators of zero need no closer look: every sum is zero */
    for (size_t i = 0; i < TILE_ROWS * WIDE_GROUPS * VL; i++) some |= cm_bits32(t->c[i]);
    for (size_t r = 0; r < TILE_ROWS; r++)
        for (size_t k = 0; k < u->fused; k++) some |= t->a_exponent[r * LINE + k];
    if (!some && !high) return 0;
    for (size_t i = 0; i < TILE_ROWS * WIDE_GROUPS * VL; i++) {
        const size_t r = i / (WIDE_GROUPS * VL), g = i / VL % WIDE_GROUPS;
        int32_t x = INT16_MIN;
        for (size_t k = 0; k < u->fused; k++) {
            int32_t p = (int32_t)(t->a_exponent[r * LINE + k] & 0xffff), q = (int32_t)(t->b_exponent[k * VL + i % VL] >> (16 * g) & 0xffff);
            if (p && q && p + q - 2 * WIDE_BIAS > x) x = p + q - 2 * WIDE_BIAS;
        }
        if (t->c[i] != 0) {
            int32_t e = (int32_t)(cm_bits32(t->c[i]) << 1 >> 24) - 127;
            if (e < u->least) e = u->least;
            if (e > x) x = e;
        }
        rare |= x != INT16_MIN && x <= INTEGER_LOW;
        aligned[i] = x > u->floor_exponent ? x : u->floor_exponent;
    }
    if (!rare) return 0;
    for (size_t i = 0; i < TILE_ROWS * WIDE_GROUPS * VL; i += VL) {
        const size_t r = i / (WIDE_GROUPS * VL), g = i / VL % WIDE_GROUPS;
        double sum[VL];
        for (size_t l = 0; l < VL; l++) {
            const double scale = cm_exp2(u->fraction_bits - aligned[i + l]);
            sum[l] = __builtin_trunc((double)t->c[i + l] * scale);
            for (size_t k = 0; k < u->fused; k++)
                sum[l] += __builtin_trunc((double)((const float *)t->a)[r * LINE + k]
                                          * (double)((const float *)t->b)[k * WIDE_GROUPS * VL + g * VL + l] * scale);
            sum[l] *= cm_exp2(aligned[i + l] - u->fraction_bits);
        }
        vf x = vd_narrow(wide_output(vd_load(sum), u->output), wide_output(vd_load(sum + VL / 2), u->output));
        vf_store(t->c + i, u->output == CM_RNE_F16 ? vf_round_to_half(x) : x);
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
    const uint32_t floor = integer_floor(u);
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
    const uint32_t below = vi_sign_bits(low <= INTEGER_LOW + 2 * WIDE_BIAS), above = vi_sign_bits(high > INTEGER_HIGH + 2 * WIDE_BIAS);
    const int done = __builtin_expect((below | above) != 0, 0) && integer_rare(t, u, above != 0);
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
    if (done) return;
    for (int r = 0; r < TILE_ROWS; r++)
        for (size_t g = 0; g < groups; g++) {
            vf d = vf_of_integers(sum[r][g]);
            if (u->output == CM_RNE_F16) d = (vf)((vi)d | ((vi)(vi_truncate(d) != sum[r][g]) & 1)); /* round to odd */
            d *= (vf)((254 << 23) - (vi)scale[r][g]); /* one over the scale */
            if (u->output == CM_RZ_E8M13) d = (vf)((vi)d & ~0x3ff);
            else if (u->output == CM_RNE_F16) d = vf_round_to_half(d);
            vf_store(t->c + (size_t)r * W + g * VL, d);
        }
}

/* the largest exponents of the first tile; every other tile's are found by its predecessor */
static CM_NOINLINE void first_exponents(const step_tile *t, const step_rule *u, int way, uint32_t *shared)
{
    const uint32_t floor = way == CM_NARROW ? 0 : way == CM_WIDE ? wide_floor(u) : integer_floor(u);
    for (int r = 0; r < TILE_ROWS; r++) {
        vu largest = floor + (vu){0};
        for (size_t k = 0; k < u->fused; k++) {
            vu e = vu_load(t->next_b_exponent + k * VL) + t->next_a_exponent[r * LINE + k];
            largest = way == CM_NARROW ? vu_max_bytes(largest, e) : vu_max_halves(largest, e);
        }
        vu_store_u32(shared + r * VL, largest);
    }
}

/* ---- blocks ------------------------------------------------------------------------------------------------------ */

static size_t least(size_t a, size_t b) { return a < b ? a : b; }
static size_t up(size_t n, size_t to) { return (n + to - 1) / to * to; }

static size_t value_size(const cm_fused_codes_args *args) { return args->way == CM_WIDE ? sizeof(double) : sizeof(float); }
static size_t panel_width(const cm_fused_codes_args *args) { return (args->way == CM_NARROW ? NARROW_GROUPS : WIDE_GROUPS) * VL; }
static size_t block_depth(const cm_fused_codes_args *args)
{
    const size_t L = (size_t)args->fused;
    return least(BLOCK_DEPTH / L * L, args->padded);
}

/* lays the block out from `base`, unless NULL; returns its size */
static size_t lay_out(const cm_fused_codes_args *args, size_t rows, unsigned char *base, fused_block *block)
{
    const size_t W = panel_width(args), depth = block_depth(args), steps = depth / (size_t)args->fused;
    const size_t columns = least(up(args->columns, W), BLOCK_COLUMNS), size = value_size(args);
    const size_t m = up(least(rows, BLOCK_ROWS), TILE_ROWS);
    size_t at = 0;
#define PLACE(field, bytes)                                                                                          \
    if (base) block->field = (void *)(base + at);                                                                    \
    at += up(bytes, 64)
    PLACE(a, m * LINE * size);
    PLACE(a_exponent, m * LINE * 4);
    PLACE(a_signs, m * steps * 4);
    PLACE(b, columns * depth * size);
    PLACE(b_exponent, columns / W * depth * VL * 4);
    PLACE(b_signs, columns * steps * 4);
    PLACE(c, m * W * 4);
    PLACE(row_class, rows);
    PLACE(column_class, columns);
#undef PLACE
    return at;
}

size_t CM_NAME(cm_fused_codes_workspace)(const cm_fused_codes_args *args)
{
    return lay_out(args, args->rows, NULL, NULL) + 64;
}

static CM_NOINLINE void run_panel(const cm_fused_codes_args *args, const fused_block *block, size_t panel, size_t width, size_t rows,
                                  size_t depth, int first)
{
    const size_t W = panel_width(args), L = (size_t)args->fused, steps = depth / L, size = value_size(args);
    const size_t groups = (width + VL - 1) / VL, tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
    const unsigned char *a = block->a, *b = (const unsigned char *)block->b + panel * W * depth * size;
    const uint32_t *b_exponent = block->b_exponent + panel * depth * VL;
    const int halves = args->output == CM_RNE_F16, least = halves ? -14 : -126;
    step_rule rule = {L, args->fraction_bits, args->floor_exponent, 0, args->output, 0};
    step_tile t = {.next_a_exponent = block->a_exponent, .next_b_exponent = b_exponent};
    uint32_t largest[TILE_ROWS * VL];
    first_exponents(&t, &rule, args->way, largest);
    for (size_t s = 0; s < steps; s++) {
        rule.least = first && s == 0 ? args->c_min_exponent : least;
        rule.halves = halves || rule.least != -126;
        t.b = b + s * L * W * size;
        t.b_signs = block->b_signs + (panel * steps + s) * W;
        for (size_t i = 0; i < tiles; i++) {
            const size_t row = i * TILE_ROWS, next = i + 1 < tiles ? s : s + 1 < steps ? s + 1 : 0;
            t.a = a + (row * LINE + s * L) * size;
            t.next_a_exponent = block->a_exponent + (i + 1 < tiles ? row + TILE_ROWS : 0) * LINE + next * L;
            t.next_b_exponent = b_exponent + next * L * VL;
            for (size_t r = 0; r < TILE_ROWS; r++) t.a_signs[r] = block->a_signs[(row + r) * steps + s];
            t.a_exponent = block->a_exponent + row * LINE + s * L;
            t.b_exponent = b_exponent + s * L * VL;
            t.c = block->c + row * W;
            if (args->way == CM_NARROW) {
                if (groups == 4) narrow_step(&t, &rule, 4, largest);
                else if (groups == 1) narrow_step(&t, &rule, 1, largest);
                else narrow_step(&t, &rule, groups < 3 ? 2 : 3, largest);
            } else if (args->way == CM_INTEGER) {
                if (groups == 2) integer_step(&t, &rule, 2, largest);
                else integer_step(&t, &rule, 1, largest);
            } else if (groups == 2) wide_step(&t, &rule, 2, largest);
            else wide_step(&t, &rule, 1, largest);
        }
    }
}

/* NaN and infinity: what two flags and the accumulator decide is written, the rest is left and marked */
static void settle(const cm_fused_codes_args *args, size_t row, size_t column, size_t width, int row_class,
                   const uint8_t *column_class)
{
    float *d = args->d + row * args->columns + column;
    for (size_t j = 0; j < width; j++) {
        const int class = row_class | column_class[j];
        const float c = args->c ? args->c[row * args->columns + column + j] : 0;
        if (class & CLASS_NAN || c != c) d[j] = cm_float32(CM_NAN32);
        else if (class || d[j] != d[j]) args->left[row * args->columns + column + j] = args->left_rows[row] = 1;
    }
}

static void load_panel(const cm_fused_codes_args *args, const float *from, size_t row, size_t rows, size_t column, size_t width,
                       float *c)
{
    const size_t W = panel_width(args);
    for (size_t r = 0; r < up(rows, TILE_ROWS); r++, c += W) {
        size_t n = from && r < rows ? width : 0;
        for (size_t j = 0; j < n; j++) {
            float x = from[(row + r) * args->columns + column + j];
            if (args->way == CM_NARROW) x = cm_float32(cm_bits32(x) & ~0x3ffu); /* 13 bits of it count */
            c[j] = x == 0 ? 0.0f : x; /* no negative zero: its sign would count as a negative term */
        }
        memset(c + n, 0, (W - n) * sizeof *c);
    }
}

static CM_NOINLINE void all_blocks(const cm_fused_codes_args *args, size_t begin, size_t end, unsigned char *workspace)
{
    const size_t W = panel_width(args), most = block_depth(args), size = value_size(args);
    fused_block all;
    lay_out(args, end - begin, workspace + (64 - (uintptr_t)workspace % 64) % 64, &all);
    for (size_t column0 = 0; column0 < args->columns; column0 += BLOCK_COLUMNS) {
        const size_t columns = least(args->columns - column0, BLOCK_COLUMNS);
        memset(all.row_class, 0, end - begin);
        memset(all.column_class, 0, up(columns, W));
        for (size_t k0 = 0; k0 < args->padded; k0 += most) {
            const size_t depth = least(args->padded - k0, most), steps = depth / (size_t)args->fused;
            for (size_t j = 0; j < columns; j += W) {
                fused_block to = all;
                to.b = (unsigned char *)all.b + j * depth * size;
                to.b_exponent += j / W * depth * VL;
                to.b_signs += j * steps;
                to.column_class += j;
                CM_NAME(fused_pack_panel)(args, column0 + j, least(W, columns - j), k0, depth, &to);
            }
            for (size_t row = begin; row < end; row += BLOCK_ROWS) {
                const size_t rows = least(end - row, BLOCK_ROWS), tiled = up(rows, TILE_ROWS);
                fused_block block = all;
                block.row_class += row - begin;
                CM_NAME(fused_pack_rows)(args, row, rows, k0, depth, &block);
                for (size_t r = rows; r < tiled; r++) { /* a short tile repeats its last row */
                    memcpy((unsigned char *)block.a + r * LINE * size, (unsigned char *)block.a + (rows - 1) * LINE * size, LINE * size);
                    memcpy(block.a_exponent + r * LINE, block.a_exponent + (rows - 1) * LINE, LINE * 4);
                    memcpy(block.a_signs + r * steps, block.a_signs + (rows - 1) * steps, steps * 4);
                }
                for (size_t j = 0; j < columns; j += W) {
                    const size_t width = least(W, columns - j);
                    int special = 0;
                    load_panel(args, k0 ? args->d : args->c, row, rows, column0 + j, width, block.c);
                    run_panel(args, &block, j / W, width, rows, depth, k0 == 0);
                    for (size_t i = 0; i < width; i++) special |= block.column_class[j + i];
                    for (size_t r = 0; r < rows; r++) {
                        float *d = args->d + (row + r) * args->columns + column0 + j;
                        const float *c = block.c + r * W;
                        int nan = 0;
                        for (size_t i = 0; i < width; i++) nan |= c[i] != c[i];
                        for (size_t i = 0; i < width; i++) d[i] = c[i] == 0 ? 0.0f : c[i];
                        if (k0 + depth == args->padded && (special || nan || block.row_class[r]))
                            settle(args, row + r, column0 + j, width, block.row_class[r], block.column_class + j);
                    }
                }
            }
        }
    }
}

void CM_NAME(cm_fused_codes)(const cm_fused_codes_args *args, size_t row_begin, size_t row_end, void *workspace)
{
    cm_fpenv saved = args->way == CM_INTEGER ? cm_fpenv_enter_toward_zero() : cm_fpenv_enter_downward();
    all_blocks(args, row_begin, row_end, workspace);
    cm_fpenv_leave(saved);
}
