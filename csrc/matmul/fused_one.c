/* The truncated fused dot product of one output, in integers: the models T, ST and GST.
 *
 * A step takes `fused` products and the accumulator c. Every term is sig * 2^(exponent - fraction bits) with the
 * significand as stored, never normalised; terms are cut toward zero to fraction_bits below the largest exponent,
 * added exactly, and the sum is converted by the output rule. The result is the c of the next step. */
#include "bits.h"
#include "fpenv.h"
#include "matmul/common.h"

typedef struct {
    int64_t significand; /* signed */
    int32_t exponent;    /* value = significand * 2^(exponent - fraction) */
    int32_t fraction;
} term;

/* magnitude * 2^shift, cut toward zero, with the sign put back */
static inline int64_t cut(int64_t significand, int32_t shift)
{
    int64_t magnitude = significand < 0 ? -significand : significand;
    if (shift >= 0) magnitude <<= shift;
    else magnitude = shift > -64 ? magnitude >> -shift : 0;
    return significand < 0 ? -magnitude : magnitude;
}

static inline int32_t top_bit(uint64_t x) { return 63 - __builtin_clzll(x); }

/* sum * 2^scale as the output type, held in float32. A zero, or a sum cut to zero, is +0. */
static float convert(int64_t sum, int32_t scale, int32_t output)
{
    if (sum == 0) return 0.0f;
    uint64_t magnitude = (uint64_t)(sum < 0 ? -sum : sum);
    int32_t exponent = scale + top_bit(magnitude);
    int32_t bits = output == CM_RZ_F32 ? 23 : output == CM_RZ_E8M13 ? 13 : 10;
    int32_t least = output == CM_RNE_F16 ? -14 : -126;
    int32_t unit = (exponent > least ? exponent : least) - bits; /* results are multiples of 2^unit */
    int32_t drop = unit - scale;
    uint64_t kept;
    if (drop <= 0) {
        kept = magnitude << -drop;
    } else if (drop > 63) {
        kept = 0;
    } else {
        kept = magnitude >> drop;
        if (output == CM_RNE_F16) {
            uint64_t rest = magnitude & ((1ull << drop) - 1), half = 1ull << (drop - 1);
            kept += rest > half || (rest == half && (kept & 1));
        }
    }
    if (kept == 0) return 0.0f;
    double value = (double)kept * cm_exp2(unit);
    double limit = output == CM_RNE_F16 ? 65536.0 : 0x1p128;
    float result = value >= limit ? cm_float32(0x7f800000u) : (float)value;
    return sum < 0 ? -result : result;
}

static term decompose(float value, int32_t exponent, int32_t mantissa_bits)
{
    return (term){(int64_t)((double)value * cm_exp2(mantissa_bits - exponent)), exponent, mantissa_bits};
}

static inline int is_nan(float x) { return x != x; }
static inline int is_infinite(float x) { return (cm_bits32(x) & 0x7fffffffu) == 0x7f800000u; }

/* NaN and infinity of one step, decided before any arithmetic: 0 finite, 1 NaN, 2 +Inf, 3 -Inf */
static int special(const float *a, const float *b, size_t n, float c)
{
    int nan = is_nan(c), plus = 0, minus = 0;
    if (is_infinite(c)) *(c > 0 ? &plus : &minus) = 1;
    for (size_t k = 0; k < n; k++) {
        float x = a[k], y = b[k * CM_PANEL];
        nan |= is_nan(x) || is_nan(y);
        if (is_infinite(x) || is_infinite(y)) {
            nan |= x == 0 || y == 0;
            *((cm_bits32(x) ^ cm_bits32(y)) >> 31 ? &minus : &plus) = 1;
        }
    }
    if (nan || (plus && minus)) return 1;
    return plus ? 2 : minus ? 3 : 0;
}

static CM_NOINLINE float one_output(const cm_fused_args *args, size_t row, size_t column)
{
    const size_t L = (size_t)args->fused, panel = column / CM_PANEL, lane = column % CM_PANEL;
    const float *a = args->a.value + row * args->depth, *b = args->b.value + panel * args->depth * CM_PANEL + lane;
    const int32_t *ea = args->a.exponent + row * args->depth;
    const int32_t *eb = args->b.exponent + panel * args->depth * CM_PANEL + lane;
    const size_t scales = args->scale_block ? args->depth / args->scale_block : 0;
    const size_t group = args->group ? (size_t)args->group : 1;
    const int32_t F = args->fraction_bits, ma = args->a.mantissa_bits, mb = args->b.mantissa_bits;
    int32_t c_least = args->c_min_exponent;
    float c = args->c ? args->c[row * args->columns + column] : 0.0f;

    for (size_t k0 = 0; k0 < args->depth; k0 += L) {
        term terms[64];
        size_t n = 0;
        int nan_scale = 0;
        int32_t largest = args->floor_exponent;
        for (size_t g = k0; g < k0 + L; g += group) {
            int64_t scale = 1;
            int32_t scale_exponent = 0;
            if (scales) {
                size_t s = g / args->scale_block;
                int64_t sa = args->scale_a.significand[row * scales + s];
                int64_t sb = args->scale_b.significand[(panel * scales + s) * CM_PANEL + lane];
                nan_scale |= sa < 0 || sb < 0;
                scale = sa * sb;
                scale_exponent = args->scale_a.exponent[row * scales + s]
                                 + args->scale_b.exponent[(panel * scales + s) * CM_PANEL + lane];
            }
            int64_t sum = 0; /* of the group, exact, in units of the smallest product of its element types */
            int nonzero = 0;
            int32_t exponent = 0, fraction = 0;
            for (size_t k = g; k < g + group; k++) {
                if (a[k] == 0 || b[k * CM_PANEL] == 0 || is_nan(a[k]) || is_nan(b[k * CM_PANEL])
                    || is_infinite(a[k]) || is_infinite(b[k * CM_PANEL]))
                    continue;
                term x = decompose(a[k], ea[k], ma), y = decompose(b[k * CM_PANEL], eb[k * CM_PANEL], mb);
                int64_t product = x.significand * y.significand;
                exponent = x.exponent + y.exponent;
                fraction = ma + mb;
                if (args->group) { /* element exponents are absorbed: they never reach the alignment */
                    product *= (int64_t)1 << exponent;
                    exponent = 0;
                }
                sum += product;
                nonzero = 1;
            }
            if (!nonzero || scale == 0) continue;
            exponent += scale_exponent;
            if (exponent > largest) largest = exponent;
            terms[n++] = (term){sum * scale, exponent, fraction + 2 * args->scale_fraction};
        }
        const int32_t least = c_least;
        c_least = args->output == CM_RNE_F16 ? -14 : -126; /* from the next step on c is a result */
        int kind = special(a + k0, b + k0 * CM_PANEL, L, c);
        if (nan_scale || kind == 1) return cm_float32(CM_NAN32);
        if (kind) {
            c = cm_float32(kind == 2 ? 0x7f800000u : 0xff800000u);
            continue;
        }
        int64_t sum = 0;
        if (c != 0) {
            int32_t e = (int32_t)((cm_bits32(c) >> 23) & 0xff) - 127;
            if (e < least) e = least;
            if (e > largest) largest = e;
            term t = decompose(c, e, 23);
            sum = cut(t.significand, F - t.fraction + t.exponent - largest);
        }
        for (size_t i = 0; i < n; i++)
            sum += cut(terms[i].significand, F - terms[i].fraction + terms[i].exponent - largest);
        c = convert(sum, largest - F, args->output);
    }
    return c;
}

float CM_NAME(cm_fused_one)(const cm_fused_args *args, size_t row, size_t column) { return one_output(args, row, column); }
