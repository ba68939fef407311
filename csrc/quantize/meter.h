/* Sums of squares of up to 128 elements in binary32, in lanes: a vector of the tier at a time.
 *
 * Element i of a unit is added to lane i mod 16, in order; then lanes l and l + 8, l and l + 4, l and l + 2, the last two.
 * Differences, squares and sums are each rounded once. */
#ifndef CHIPMETER_METER_H
#define CHIPMETER_METER_H

#include "fpenv.h"
#include "quantize/products.h"

enum { UNIT = 128, UNITS = 64, LANES = 16, VECTORS = LANES / VL, GROUP = VL == 16 ? 8 : 4 };

/* what a unit is compared with: numbers, or codes that become numbers in registers */
enum cm_meter_source { CM_METER_NUMBERS, CM_METER_BYTES, CM_METER_HALVES, CM_METER_TABLE, CM_METER_SIGNED, CM_METER_UNSIGNED };

typedef struct {
    int bits, mantissa_bits;
    float unit, tensor, table[16];
} cm_meter_codes;

typedef struct {
    vf largest;
    vi clipped, flushed;
} cm_meter_lanes;

static inline __attribute__((always_inline)) vf meter_value(const uint8_t *codes, int source, const cm_meter_codes *c)
{
    (void)c;
#ifdef CM_HAVE_HALF_VALUES
    if (source == CM_METER_BYTES) { /* the sign comes down from above by the extension */
        const __m128i shift = _mm_cvtsi32_si128(10 - c->mantissa_bits);
        const short mask = (short)(0x8000 | (0x7f << (10 - c->mantissa_bits)));
#if VL == 16
        const __m256i w = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)codes));
        return (vf)_mm512_cvtph_ps(_mm256_and_si256(_mm256_sll_epi16(w, shift), _mm256_set1_epi16(mask)));
#else
        const __m128i w = _mm_cvtepi8_epi16(_mm_loadl_epi64((const __m128i *)codes));
        return (vf)_mm256_cvtph_ps(_mm_and_si128(_mm_sll_epi16(w, shift), _mm_set1_epi16(mask)));
#endif
    }
    if (source == CM_METER_HALVES) {
        const __m128i sign_shift = _mm_cvtsi32_si128(16 - c->bits), fraction_shift = _mm_cvtsi32_si128(10 - c->mantissa_bits);
        const int mask = (1 << (c->bits - 1)) - 1;
        CM_HALF_VECTOR(codes)
        return half;
    }
#endif
    if (source == CM_METER_TABLE) {
#if VL == 16
        return (vf)_mm512_permutexvar_ps((__m512i)vu_load_u8(codes), _mm512_loadu_ps(c->table));
#elif VL == 8
        const __m256i at = (__m256i)vu_load_u8(codes);
        return (vf)_mm256_blendv_ps(_mm256_permutevar8x32_ps(_mm256_loadu_ps(c->table), at),
                                    _mm256_permutevar8x32_ps(_mm256_loadu_ps(c->table + 8), at),
                                    _mm256_castsi256_ps(_mm256_slli_epi32(at, 28)));
#endif
    }
    vi code = (vi)vu_load_u8(codes);
    if (source == CM_METER_SIGNED) code = code << 24 >> 24;
    return vf_of_integers(code) * c->unit;
}

static inline __attribute__((always_inline)) void meter_vector(vf x, vf y, vf most, vf least, vf *signal, vf *error, cm_meter_lanes *m)
{
    const vf d = x - y;
    *signal += x * x;
    *error += d * d;
#if VL == 16
    m->largest = (vf)_mm512_range_ps((__m512)m->largest, (__m512)d, 11); /* of the magnitudes */
    const __m512 zero = _mm512_setzero_ps();
    const __m512i one = _mm512_set1_epi32(1);
    const __mmask16 below = _mm512_cmp_ps_mask((__m512)x, (__m512)most, _CMP_NGT_UQ);
    const __mmask16 inside = _mm512_mask_cmp_ps_mask(below, (__m512)x, (__m512)least, _CMP_NLT_UQ);
    m->clipped = (vi)_mm512_mask_sub_epi32((__m512i)m->clipped, inside, (__m512i)m->clipped, one); /* all but these */
    const __mmask16 some = _mm512_cmp_ps_mask((__m512)x, zero, _CMP_NEQ_OQ);
    const __mmask16 none = _mm512_mask_cmp_ps_mask(some, (__m512)y, zero, _CMP_EQ_OQ);
    m->flushed = (vi)_mm512_mask_add_epi32((__m512i)m->flushed, none, (__m512i)m->flushed, one);
#else
    const vf magnitude = (vf)((vi)d & 0x7fffffff);
#if VL == 8
    m->largest = (vf)_mm256_max_ps((__m256)magnitude, (__m256)m->largest); /* the second where the first is NaN */
    const vi some = (vi)_mm256_cmp_ps((__m256)x, _mm256_setzero_ps(), _CMP_NEQ_OQ);
#else
    const vi more = magnitude > m->largest;
    m->largest = (vf)(((vi)magnitude & more) | ((vi)m->largest & ~more));
    const vi some = (x < 0) | (x > 0);
#endif
    m->clipped -= (x > most) | (x < least);
    m->flushed -= some & (y == 0);
#endif
}

/* sums of GROUP units by lanes to signal[k] and error[k] */
static inline __attribute__((always_inline)) void meter_reduce(vf (*s)[VECTORS], vf (*e)[VECTORS], float *signal, float *error)
{
#if VL == 16
    __m512 w[8], q[4];
    for (int k = 0; k < 8; k++)
        w[k] = _mm512_add_ps(_mm512_shuffle_f32x4((__m512)s[k][0], (__m512)e[k][0], 0x44),
                             _mm512_shuffle_f32x4((__m512)s[k][0], (__m512)e[k][0], 0xee));
    for (int k = 0; k < 4; k++)
        q[k] = _mm512_add_ps(_mm512_shuffle_f32x4(w[k], w[k + 4], 0x88), _mm512_shuffle_f32x4(w[k], w[k + 4], 0xdd));
    for (int k = 0; k < 4; k += 2) q[k] = _mm512_add_ps(_mm512_unpacklo_ps(q[k], q[k + 1]), _mm512_unpackhi_ps(q[k], q[k + 1]));
    const __m512d a = _mm512_castps_pd(q[0]), b = _mm512_castps_pd(q[2]);
    __m512 all = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
    all = _mm512_shuffle_f32x4(all, all, 0xd8);
    _mm256_storeu_ps(signal, _mm512_castps512_ps256(all));
    _mm256_storeu_ps(error, _mm512_extractf32x8_ps(all, 1));
#elif VL == 8
    __m256 w[4];
    for (int k = 0; k < 4; k++) {
        const __m256 a = (__m256)(s[k][0] + s[k][1]), b = (__m256)(e[k][0] + e[k][1]);
        w[k] = _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
    }
    for (int k = 0; k < 4; k += 2) w[k] = _mm256_add_ps(_mm256_unpacklo_ps(w[k], w[k + 1]), _mm256_unpackhi_ps(w[k], w[k + 1]));
    const __m256d a = _mm256_castps_pd(w[0]), b = _mm256_castps_pd(w[2]);
    const __m256 all = _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(a, b)), _mm256_castpd_ps(_mm256_unpackhi_pd(a, b)));
    _mm_storeu_ps(signal, _mm256_castps256_ps128(all));
    _mm_storeu_ps(error, _mm256_extractf128_ps(all, 1));
#else
    for (int k = 0; k < 4; k++) {
        const vf a = (s[k][0] + s[k][2]) + (s[k][1] + s[k][3]), b = (e[k][0] + e[k][2]) + (e[k][1] + e[k][3]);
        signal[k] = (a[0] + a[2]) + (a[1] + a[3]);
        error[k] = (b[0] + b[2]) + (b[1] + b[3]);
    }
#endif
}

/* up to GROUP units of `width` elements, a multiple of LANES; the sums of those that are missing are 0 */
static inline __attribute__((always_inline)) void meter_group(const float *x, const float *y, const uint8_t *codes, size_t count,
                                                              size_t width, const float *scale, const float *most,
                                                              const float *least, int source, int two_level,
                                                              const cm_meter_codes *c, cm_meter_lanes *m, float *signal,
                                                              float *error)
{
    vf s[GROUP][VECTORS], e[GROUP][VECTORS];
    const vf tensor = vf_broadcast(c->tensor);
    for (size_t k = 0; k < GROUP; k++) {
        for (int h = 0; h < VECTORS; h++) s[k][h] = e[k][h] = vf_set(0);
        if (k >= count) continue;
        const vf factor = vf_broadcast(scale[k]), high = vf_broadcast(most[k]), low = vf_broadcast(least[k]);
        for (size_t i = k * width; i < (k + 1) * width; i += LANES)
            for (size_t h = 0; h < VECTORS; h++) {
                const size_t at = i + h * VL;
                vf back;
                if (source == CM_METER_NUMBERS) {
                    back = vf_load(y + at);
                } else {
                    back = meter_value(codes + at, source, c) * factor;
                    if (two_level) back *= tensor;
                }
                meter_vector(vf_load(x + at), back, high, low, &s[k][h], &e[k][h], m);
            }
    }
    meter_reduce(s, e, signal, error);
}

static inline __attribute__((always_inline)) void meter_units(const float *x, const float *y, const uint8_t *codes, size_t units,
                                                              size_t width, const float *scale, const float *most,
                                                              const float *least, int source, int two_level,
                                                              const cm_meter_codes *given, cm_meter_lanes *lanes,
                                                              float *signal, float *error)
{
    const cm_meter_codes codes_of = *given;
    cm_meter_lanes m = *lanes;
    size_t u = 0;
    for (; u + GROUP <= units; u += GROUP)
        meter_group(x + u * width, y + u * width, codes + u * width, GROUP, width, scale + u, most + u, least + u, source,
                    two_level, &codes_of, &m, signal + u, error + u);
    if (u < units)
        meter_group(x + u * width, y + u * width, codes + u * width, units - u, width, scale + u, most + u, least + u, source,
                    two_level, &codes_of, &m, signal + u, error + u);
#if VL == 16
    m.clipped += (int32_t)(units * width / LANES) + (vi){0};
#endif
    *lanes = m;
}

#define CM_METER_CASE(source, two)                                                                                   \
    case (source) << 1 | (two):                                                                                      \
        if (width == 16) meter_units(x, y, codes, units, 16, scale, most, least, source, two, c, m, signal, error);  \
        else if (width == 32) meter_units(x, y, codes, units, 32, scale, most, least, source, two, c, m, signal, error); \
        else meter_units(x, y, codes, units, width, scale, most, least, source, two, c, m, signal, error);           \
        break;

/* sums of at most UNITS units to signal and error, which have room for whole groups; maxima and counts are added to */
static CM_NOINLINE void meter_sums(const float *x, const float *y, const uint8_t *codes, size_t units, size_t width,
                                   const float *scale, const float *most, const float *least, int source, int two_level,
                                   const cm_meter_codes *c, cm_meter_lanes *m, float *signal, float *error)
{
    switch (source << 1 | (two_level && source != CM_METER_NUMBERS)) {
        CM_METER_CASE(CM_METER_NUMBERS, 0)
#ifdef CM_HAVE_HALF_VALUES
        CM_METER_CASE(CM_METER_BYTES, 0) CM_METER_CASE(CM_METER_BYTES, 1)
        CM_METER_CASE(CM_METER_HALVES, 0) CM_METER_CASE(CM_METER_HALVES, 1)
        CM_METER_CASE(CM_METER_TABLE, 0) CM_METER_CASE(CM_METER_TABLE, 1)
        CM_METER_CASE(CM_METER_SIGNED, 0) CM_METER_CASE(CM_METER_SIGNED, 1)
        CM_METER_CASE(CM_METER_UNSIGNED, 0) CM_METER_CASE(CM_METER_UNSIGNED, 1)
#endif
    }
}

#endif
