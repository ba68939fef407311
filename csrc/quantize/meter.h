/* Sums of squares of up to 128 elements in binary32, in lanes: a vector of the tier at a time.
 *
 * Element i of a unit is added to lane i mod 16, in order; then lanes l and l + 8, l and l + 4, l and l + 2, the last two.
 * Differences, squares and sums are each rounded once. The square of a binary32 that is not tiny tells it from its neighbours, and
 * its root is the number: limits are compared with squares that are at hand, and the largest square is kept. */
#ifndef CHIPMETER_METER_H
#define CHIPMETER_METER_H

#include "fpenv.h"
#include "quantize/products.h"

enum { UNIT = 128, UNITS = 64, LANES = 16, VECTORS = LANES / VL, GROUP = VL == 16 ? 8 : 4 };

#ifdef __SANITIZE_ADDRESS__ /* whose checks would make minutes of compiling of it */
#define CM_METER_UNROLLED
#else
#define CM_METER_UNROLLED _Pragma("GCC unroll 8")
#endif

/* what a unit is compared with: numbers, or codes that become numbers in registers */
enum cm_meter_source { CM_METER_NUMBERS, CM_METER_BYTES, CM_METER_HALVES, CM_METER_TABLE, CM_METER_SIGNED, CM_METER_UNSIGNED };

typedef struct {
    int bits, mantissa_bits;
    float unit, tensor, table[16];
} cm_meter_codes;

typedef struct {
    vi largest; /* bits of a square */
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

/* Codes without a zero among them flush nothing. Limits are those of squares but for numbers, which may lie anywhere. */
static inline __attribute__((always_inline)) void meter_vector(vf x, vf y, vf most, vf least, int numbers, int flush, vf *signal,
                                                               vf *error, cm_meter_lanes *m)
{
    const vf d = x - y, square = x * x, lost = d * d;
    *signal += square;
    *error += lost;
    m->largest = vi_max(m->largest, (vi)lost); /* NaN as well, but the sums tell */
#if VL == 16
    const __m512 zero = _mm512_setzero_ps();
    const __m512i one = _mm512_set1_epi32(1);
    __mmask16 beyond = _mm512_cmp_ps_mask(numbers ? (__m512)x : (__m512)square, (__m512)most, _CMP_GT_OQ);
    if (numbers) beyond |= _mm512_cmp_ps_mask((__m512)x, (__m512)least, _CMP_LT_OQ);
    m->clipped = (vi)_mm512_mask_add_epi32((__m512i)m->clipped, beyond, (__m512i)m->clipped, one);
    if (!flush) return;
    const __mmask16 some = _mm512_cmp_ps_mask((__m512)x, zero, _CMP_NEQ_OQ);
    const __mmask16 none = _mm512_mask_cmp_ps_mask(some, (__m512)y, zero, _CMP_EQ_OQ);
    m->flushed = (vi)_mm512_mask_add_epi32((__m512i)m->flushed, none, (__m512i)m->flushed, one);
#else
    m->clipped -= numbers ? (x > most) | (x < least) : square > most;
    if (!flush) return;
#if VL == 8
    const vi some = (vi)_mm256_cmp_ps((__m256)x, _mm256_setzero_ps(), _CMP_NEQ_OQ);
#else
    const vi some = (x < 0) | (x > 0);
#endif
    m->flushed -= some & (y == 0);
#endif
}

/* The sums of GROUP units by lanes to signal[k] and error[k]: halves of two vectors change places until every lane is a sum. */
#if VL == 16
typedef __m512 cm_folded;
static inline __attribute__((always_inline)) cm_folded meter_fold(const vf *s, const vf *e)
{
    return _mm512_add_ps(_mm512_mask_blend_ps(0xff00, (__m512)*s, (__m512)*e), _mm512_shuffle_f32x4((__m512)*s, (__m512)*e, 0x4e));
}
static inline __attribute__((always_inline)) void meter_reduce(const cm_folded *w, float *signal, float *error)
{
    __m512 q[4];
    for (int k = 0; k < 4; k++) /* quads: signal k, error k, signal k + 4, error k + 4 */
        q[k] = _mm512_add_ps(_mm512_shuffle_f32x4(w[k], w[k + 4], 0x88), _mm512_shuffle_f32x4(w[k], w[k + 4], 0xdd));
    const __m512 a = _mm512_add_ps(_mm512_mask_blend_ps(0xcccc, q[0], q[1]), _mm512_shuffle_ps(q[0], q[1], 0x4e));
    const __m512 b = _mm512_add_ps(_mm512_mask_blend_ps(0xcccc, q[2], q[3]), _mm512_shuffle_ps(q[2], q[3], 0x4e));
    __m512 all = _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x88), _mm512_shuffle_ps(a, b, 0xdd));
    all = _mm512_shuffle_f32x4(all, all, 0xd8);
    _mm256_storeu_ps(signal, _mm512_castps512_ps256(all));
    _mm256_storeu_ps(error, _mm512_extractf32x8_ps(all, 1));
}
#elif VL == 8
typedef __m256 cm_folded;
static inline __attribute__((always_inline)) cm_folded meter_fold(const vf *s, const vf *e)
{
    const __m256 a = (__m256)(s[0] + s[1]), b = (__m256)(e[0] + e[1]);
    return _mm256_add_ps(_mm256_blend_ps(a, b, 0xf0), _mm256_permute2f128_ps(a, b, 0x21));
}
static inline __attribute__((always_inline)) void meter_reduce(const cm_folded *w, float *signal, float *error)
{
    const __m256 a = _mm256_add_ps(_mm256_blend_ps(w[0], w[1], 0xcc), _mm256_shuffle_ps(w[0], w[1], 0x4e));
    const __m256 b = _mm256_add_ps(_mm256_blend_ps(w[2], w[3], 0xcc), _mm256_shuffle_ps(w[2], w[3], 0x4e));
    const __m256 all = _mm256_add_ps(_mm256_shuffle_ps(a, b, 0x88), _mm256_shuffle_ps(a, b, 0xdd));
    _mm_storeu_ps(signal, _mm256_castps256_ps128(all));
    _mm_storeu_ps(error, _mm256_extractf128_ps(all, 1));
}
#else
typedef struct {
    float signal, error;
} cm_folded;
static inline cm_folded meter_fold(const vf *s, const vf *e)
{
    const vf a = (s[0] + s[2]) + (s[1] + s[3]), b = (e[0] + e[2]) + (e[1] + e[3]);
    return (cm_folded){(a[0] + a[2]) + (a[1] + a[3]), (b[0] + b[2]) + (b[1] + b[3])};
}
static inline void meter_reduce(const cm_folded *w, float *signal, float *error)
{
    for (int k = 0; k < 4; k++) signal[k] = w[k].signal, error[k] = w[k].error;
}
#endif

/* how units are compared, constants after inlining */
typedef struct {
    int source, two_level, flush;
} cm_meter_kind;

static inline __attribute__((always_inline)) cm_folded meter_unit(const float *x, const float *y, const uint8_t *codes, size_t width,
                                                                  float scale, float most, float least, const cm_meter_kind kind,
                                                                  const cm_meter_codes *c, cm_meter_lanes *m)
{
    vf s[VECTORS], e[VECTORS];
    const vf factor = vf_broadcast(scale), high = vf_broadcast(most), low = vf_broadcast(least), tensor = vf_broadcast(c->tensor);
    for (int h = 0; h < VECTORS; h++) s[h] = e[h] = vf_set(0);
#pragma GCC unroll 2
    for (size_t i = 0; i < width; i += LANES)
        for (size_t h = 0; h < VECTORS; h++) {
            const size_t at = i + h * VL;
            vf back;
            if (kind.source == CM_METER_NUMBERS) {
                back = vf_load(y + at);
            } else {
                back = meter_value(codes + at, kind.source, c) * factor;
                if (kind.two_level) back *= tensor;
            }
            meter_vector(vf_load(x + at), back, high, low, kind.source == CM_METER_NUMBERS, kind.flush, &s[h], &e[h], m);
        }
    return meter_fold(s, e);
}

static inline __attribute__((always_inline)) void meter_units(const float *x, const float *y, const uint8_t *codes, size_t units,
                                                              size_t width, const float *scale, const float *most,
                                                              const float *least, const cm_meter_kind kind,
                                                              const cm_meter_codes *given, cm_meter_lanes *lanes,
                                                              float *signal, float *error)
{
    const cm_meter_codes codes_of = *given;
    cm_meter_lanes m = *lanes;
    cm_folded w[GROUP];
    size_t u = 0;
    for (; u + GROUP <= units; u += GROUP) {
        CM_METER_UNROLLED
        for (size_t k = 0; k < GROUP; k++)
            w[k] = meter_unit(x + (u + k) * width, y + (u + k) * width, codes + (u + k) * width, width, scale[u + k], most[u + k],
                              least[u + k], kind, &codes_of, &m);
        meter_reduce(w, signal + u, error + u);
    }
    if (u < units) {
        memset(w, 0, sizeof w);
        for (size_t k = 0; k < units - u; k++)
            w[k] = meter_unit(x + (u + k) * width, y + (u + k) * width, codes + (u + k) * width, width, scale[u + k], most[u + k],
                              least[u + k], kind, &codes_of, &m);
        meter_reduce(w, signal + u, error + u);
    }
    *lanes = m;
}

#define CM_METER_UNITS(width, kind) meter_units(x, y, codes, units, width, scale, most, least, kind, c, m, signal, error)
#define CM_METER_CASE(source, two, flush, usual) /* a constant width only where most recipes of the kind have it */      \
    case (source) << 2 | (two) << 1 | (flush):                                                                       \
        if ((usual) && width == (usual)) CM_METER_UNITS(usual, ((cm_meter_kind){source, two, flush}));               \
        else CM_METER_UNITS(width, ((cm_meter_kind){source, two, flush}));                                           \
        break;

/* Sums of at most UNITS units to signal and error, which have room for whole groups; maxima and counts are added to. `most` is
 * squared but for numbers, which need `least`. */
static CM_NOINLINE void meter_sums(const float *x, const float *y, const uint8_t *codes, size_t units, size_t width,
                                   const float *scale, const float *most, const float *least, int source, int two_level, int flush,
                                   const cm_meter_codes *c, cm_meter_lanes *m, float *signal, float *error)
{
    switch (source << 2 | (two_level && source != CM_METER_NUMBERS) << 1 | (flush || source > CM_METER_HALVES || source == CM_METER_NUMBERS)) {
        CM_METER_CASE(CM_METER_NUMBERS, 0, 1, 0)
#ifdef CM_HAVE_HALF_VALUES
        CM_METER_CASE(CM_METER_BYTES, 0, 0, 32)
        CM_METER_CASE(CM_METER_BYTES, 1, 0, 0)
        CM_METER_CASE(CM_METER_BYTES, 0, 1, 32)
        CM_METER_CASE(CM_METER_BYTES, 1, 1, 0)
        CM_METER_CASE(CM_METER_HALVES, 0, 0, 0)
        CM_METER_CASE(CM_METER_HALVES, 1, 0, 0)
        CM_METER_CASE(CM_METER_HALVES, 0, 1, 0)
        CM_METER_CASE(CM_METER_HALVES, 1, 1, 0)
        CM_METER_CASE(CM_METER_TABLE, 0, 1, 32)
        CM_METER_CASE(CM_METER_TABLE, 1, 1, 16)
        CM_METER_CASE(CM_METER_SIGNED, 0, 1, 0)
        CM_METER_CASE(CM_METER_SIGNED, 1, 1, 0)
        CM_METER_CASE(CM_METER_UNSIGNED, 0, 1, 0)
        CM_METER_CASE(CM_METER_UNSIGNED, 1, 1, 0)
#endif
    }
}

#endif
