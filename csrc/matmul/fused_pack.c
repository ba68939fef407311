/* Packing for fused_codes.c: from codes of any format and strides to the order of the inner loops, a block at a time. */
#include "matmul/fused_codes.h"
#include "matmul/fused_decode.h"

static inline void widened(lanes x, double zero, double factor, vd *low, vd *high)
{
    vl not_low, not_high;
    vi_widen(x.zero, &not_low, &not_high);
    vf_widen((vf)((vi)x.value & ~x.zero), low, high); /* what is no number must not raise anything */
    *low *= vd_broadcast(factor), *high *= vd_broadcast(factor);
    vl z = (vl)vd_broadcast(zero);
    *low = (vd)((z & not_low) | ((vl)*low & ~not_low));
    *high = (vd)((z & not_high) | ((vl)*high & ~not_high));
}

static inline vf narrow_value(lanes x, float factor)
{
    vi z = (vi)vf_broadcast(NARROW_ZERO);
    return (vf)((z & x.zero) | ((vi)(x.value * vf_broadcast(factor)) & ~x.zero));
}

/* a power of two that doubles hold; the NaN scale is caught elsewhere */
static inline double scale_factor(uint8_t code) { return cm_exp2((int32_t)code - 127); }

static void scale_row(const cm_fused_codes_args *args, size_t row, size_t k0, size_t depth, double *value, uint32_t *exponent,
                      uint8_t *class)
{
    const uint8_t *scales = args->a.scales + row * args->scale_count;
    for (size_t k = 0; k < depth;) {
        size_t s = (k0 + k) / args->scale_block, end = (s + 1) * args->scale_block - k0;
        uint8_t code = s < args->scale_count ? scales[s] : 127;
        if (end > depth) end = depth;
        if (code == 0xff) *class |= CLASS_NAN;
        const double factor = scale_factor(code);
        const uint32_t more = (uint32_t)((int32_t)code - 127) * 0x10001u;
        for (; k < end; k++) {
            value[k] *= factor;
            exponent[k] += exponent[k] ? more : 0; /* both halves stay positive, so their sum is the sum of halves */
        }
    }
}

void CM_NAME(fused_pack_rows)(const cm_fused_codes_args *args, size_t row, size_t rows, size_t k0, size_t depth, const fused_block *to)
{
    const cm_codes f = args->a;
    const size_t L = (size_t)args->fused, steps = depth / L, whole = (depth + VL - 1) / VL * VL;
    const size_t real = k0 >= args->depth ? 0 : args->depth - k0 < depth ? args->depth - k0 : depth;
    const uint64_t step_mask = (1ull << L) - 1;
    const uint32_t least_exponent = (uint32_t)(args->way == CM_NARROW ? NARROW_BIAS_A - f.bias : WIDE_BIAS - f.bias);
    const uint32_t every_lane = args->way == CM_NARROW ? 0x01010101u : 0x00010001u;
    for (size_t i = 0; i < rows; i++) {
        uint32_t raw[LINE], signs[BLOCK_DEPTH / 32 + 2] = {0}, *exponent = to->a_exponent + i * LINE;
        float *narrow = (float *)to->a + i * LINE;
        double *wide = (double *)to->a + i * LINE;
        vi nan = vi_set(0), infinity = vi_set(0);
        gather(raw, &f, real ? (ptrdiff_t)(row + i) * f.line + (ptrdiff_t)k0 * f.along : 0, f.along, real, whole);
        for (size_t k = 0; k < whole; k += VL) {
            lanes x = decode(vu_load(raw + k), &f);
            vu_store_u32(exponent + k, ((x.exponent + least_exponent) & ~(vu)x.zero) * every_lane);
            if (args->way == CM_NARROW) {
                vf_store(narrow + k, narrow_value(x, 1 + NARROW_ETA));
            } else if (args->way >= CM_INTEGER) {
                vf_store(narrow + k, (vf)((vi)x.value & ~x.zero));
            } else {
                vd low, high;
                widened(x, WIDE_ZERO, 1 + WIDE_ETA, &low, &high);
                vd_store(wide + k, low), vd_store(wide + k + VL / 2, high);
            }
            signs[k / 32] |= vi_sign_bits((vi)x.sign) << (k % 32);
            nan |= x.nan, infinity |= x.infinity;
        }
        for (size_t s = 0; s < steps; s++) {
            uint64_t window;
            window = signs[s * L / 32] | (uint64_t)signs[s * L / 32 + 1] << 32;
            to->a_signs[i * steps + s] = (uint32_t)(window >> (s * L % 32) & step_mask);
        }
        uint8_t *class = to->row_class + i;
        if (vi_sign_bits(nan)) *class |= CLASS_NAN;
        if (vi_sign_bits(infinity)) *class |= CLASS_INFINITY;
        if (f.scales) scale_row(args, row + i, k0, depth, wide, exponent, class);
    }
}

void CM_NAME(fused_pack_panel)(const cm_fused_codes_args *args, size_t column, size_t width, size_t k0, size_t depth,
                               const fused_block *to)
{
    const cm_codes f = args->b;
    const size_t L = (size_t)args->fused, groups = args->way == CM_NARROW ? NARROW_GROUPS : WIDE_GROUPS, W = groups * VL;
    const uint32_t least_exponent = (uint32_t)(args->way == CM_NARROW ? NARROW_BIAS_B - f.bias : WIDE_BIAS - f.bias);
    const uint32_t lane_bits = args->way == CM_NARROW ? 8 : 16;
    vi nan[NARROW_GROUPS], infinity[NARROW_GROUPS], scale[WIDE_GROUPS];
    double factor[WIDE_GROUPS * VL];
    size_t scale_index = SIZE_MAX;
    for (size_t g = 0; g < groups; g++) nan[g] = infinity[g] = vi_set(0);
    for (size_t k = 0; k < depth; k++) {
        uint32_t raw[PANEL_MOST], *signs = to->b_signs + k / L * W;
        const int last = k0 + k >= args->depth;
        gather(raw, &f, last ? 0 : (ptrdiff_t)column * f.line + (ptrdiff_t)(k0 + k) * f.along, f.line, last ? 0 : width, W);
        if (f.scales && (k0 + k) / args->scale_block != scale_index) {
            int32_t exponents[WIDE_GROUPS * VL];
            scale_index = (k0 + k) / args->scale_block;
            for (size_t j = 0; j < W; j++) {
                uint8_t code = j < width && scale_index < args->scale_count
                                   ? f.scales[(column + j) * args->scale_count + scale_index] : 127;
                factor[j] = scale_factor(code);
                exponents[j] = (int32_t)code - 127;
                if (code == 0xff) to->column_class[j] |= CLASS_NAN;
            }
            for (size_t g = 0; g < groups; g++) scale[g] = vi_load(exponents + g * VL);
        }
        vu exponents = (vu){0};
        for (size_t g = 0; g < groups; g++) {
            lanes x = decode(vu_load(raw + g * VL), &f);
            vu e = x.exponent + least_exponent;
            if (f.scales) e += (vu)scale[g];
            exponents |= (e & ~(vu)x.zero) << (lane_bits * (uint32_t)g);
            if (args->way == CM_NARROW) {
                vf_store((float *)to->b + k * W + g * VL, narrow_value(x, 1.0f));
            } else if (args->way >= CM_INTEGER) {
                vf_store((float *)to->b + k * W + g * VL, (vf)((vi)x.value & ~x.zero));
            } else {
                double *at = (double *)to->b + k * W + g * VL;
                vd low, high;
                widened(x, WIDE_ZERO, 1.0, &low, &high);
                if (f.scales) low *= vd_load(factor + g * VL), high *= vd_load(factor + g * VL + VL / 2);
                vd_store(at, low), vd_store(at + VL / 2, high);
            }
            vu before = k % L ? vu_load(signs + g * VL) : (vu){0};
            vu_store_u32(signs + g * VL, before | (x.sign >> 31) << (uint32_t)(k % L));
            nan[g] |= x.nan, infinity[g] |= x.infinity;
        }
        vu_store_u32(to->b_exponent + k * VL, exponents);
    }
    for (size_t g = 0; g < groups; g++)
        for (size_t l = 0; l < VL; l++)
            to->column_class[g * VL + l] |= (nan[g][l] ? CLASS_NAN : 0) | (infinity[g][l] ? CLASS_INFINITY : 0);
}

int CM_NAME(cm_exponents_within)(const cm_codes *x, size_t lines, size_t depth, int32_t limit)
{
    const cm_codes f = *x;
    const int swap = f.along != 1 && f.line == 1; /* read along memory: the order does not matter */
    const size_t outer = swap ? depth : lines, inner = swap ? lines : depth;
    const ptrdiff_t outer_stride = swap ? f.along : f.line, inner_stride = swap ? f.line : f.along;
    vi low = vi_set(f.bias), high = vi_set(f.bias);
    for (size_t i = 0; i < outer; i++)
        for (size_t k = 0; k < inner; k += BLOCK_DEPTH) {
            uint32_t raw[BLOCK_DEPTH];
            const size_t n = inner - k < BLOCK_DEPTH ? inner - k : BLOCK_DEPTH, whole = (n + VL - 1) / VL * VL;
            gather(raw, &f, (ptrdiff_t)i * outer_stride + (ptrdiff_t)k * inner_stride, inner_stride, n, whole);
            for (size_t j = 0; j < whole; j += VL) {
                lanes y = decode(vu_load(raw + j), &f);
                vi e = (vi)y.exponent;
                low = vi_min(low, e | (y.zero & INT16_MAX)), high = vi_max(high, e & ~y.zero);
            }
        }
    return !vi_sign_bits((low < f.bias - limit) | (high > f.bias + limit));
}
