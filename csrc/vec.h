/* One vector of the tier's natural width, as gcc/clang vector types: written once, the same bits everywhere. */
#ifndef CHIPMETER_VEC_H
#define CHIPMETER_VEC_H

#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define VL 16
#include <immintrin.h>
#elif defined(__AVX2__)
#define VL 8
#include <immintrin.h>
#elif defined(__SSE4_1__)
#define VL 4
#include <smmintrin.h>
#else
#define VL 4
#endif
#if defined(__FMA__) && !defined(__AVX512F__)
#include <immintrin.h>
#endif

typedef float vf __attribute__((vector_size(VL * 4)));
typedef int32_t vi __attribute__((vector_size(VL * 4)));
typedef uint32_t vu __attribute__((vector_size(VL * 4)));

static inline vf vf_load(const float *p) { vf x; memcpy(&x, p, sizeof x); return x; }
static inline void vf_store(float *p, vf x) { memcpy(p, &x, sizeof x); }
static inline vi vi_load(const int32_t *p) { vi x; memcpy(&x, p, sizeof x); return x; }
static inline void vi_store(int32_t *p, vi x) { memcpy(p, &x, sizeof x); }
static inline vf vf_set(float x) { return x - (vf){0}; }
static inline vi vi_set(int32_t x) { return x + (vi){0}; }

/* lanes that a caller will discard may overflow */
static inline vi vi_wrapping_add(vi a, vi b) { return (vi)((vu)a + (vu)b); }

static inline vf vf_of_integers(vi x)
{
#if VL == 16
    return (vf)_mm512_cvtepi32_ps((__m512i)x);
#else
    return __builtin_convertvector(x, vf);
#endif
}

/* lane-wise maximum; spelled out where the compiler does not find the instruction */
static inline vi vi_max(vi a, vi b)
{
#if VL == 16
    return (vi)_mm512_max_epi32((__m512i)a, (__m512i)b);
#elif VL == 8
    return (vi)_mm256_max_epi32((__m256i)a, (__m256i)b);
#elif defined(__SSE4_1__)
    return (vi)_mm_max_epi32((__m128i)a, (__m128i)b);
#else
    vi m = a > b;
    return (a & m) | (b & ~m);
#endif
}

static inline vi vi_min(vi a, vi b)
{
#if VL == 16
    return (vi)_mm512_min_epi32((__m512i)a, (__m512i)b);
#elif VL == 8
    return (vi)_mm256_min_epi32((__m256i)a, (__m256i)b);
#elif defined(__SSE4_1__)
    return (vi)_mm_min_epi32((__m128i)a, (__m128i)b);
#else
    vi m = a < b;
    return (a & m) | (b & ~m);
#endif
}

/* shift right by one count for all lanes: a vector of counts is one operation where the tier has variable shifts */
static inline vu vu_shift_right(vu x, uint32_t count)
{
#if VL >= 8
    return x >> (count + (vu){0});
#else
    return x >> count;
#endif
}

/* each lane by a count of its own; a count of 32 or more (as unsigned) leaves 0 */
static inline vu vu_shift_right_each(vu x, vu count)
{
#if VL == 16
    return (vu)_mm512_srlv_epi32((__m512i)x, (__m512i)count);
#elif VL == 8
    return (vu)_mm256_srlv_epi32((__m256i)x, (__m256i)count);
#else
    for (int l = 0; l < VL; l++) x[l] = count[l] < 32 ? x[l] >> count[l] : 0;
    return x;
#endif
}

static inline vu vu_shift_left_each(vu x, vu count)
{
#if VL == 16
    return (vu)_mm512_sllv_epi32((__m512i)x, (__m512i)count);
#elif VL == 8
    return (vu)_mm256_sllv_epi32((__m256i)x, (__m256i)count);
#else
    for (int l = 0; l < VL; l++) x[l] = count[l] < 32 ? x[l] << count[l] : 0;
    return x;
#endif
}

/* narrow codes, one per lane */
static inline vu vu_load_u8(const uint8_t *p)
{
#if VL == 16
    return (vu)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
#elif VL == 8
    return (vu)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
#else
    return (vu){p[0], p[1], p[2], p[3]};
#endif
}

static inline vu vu_load_u16(const uint16_t *p)
{
#if VL == 16
    return (vu)_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
#elif VL == 8
    return (vu)_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
#else
    return (vu){p[0], p[1], p[2], p[3]};
#endif
}

/* the low 8 or 16 bits of each lane; lanes must fit */
static inline void vu_store_u8(uint8_t *p, vu x)
{
#if VL == 16
    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8((__m512i)x));
#elif VL == 8
    __m128i half = _mm_packus_epi32(_mm256_castsi256_si128((__m256i)x), _mm256_extracti128_si256((__m256i)x, 1));
    _mm_storel_epi64((__m128i *)p, _mm_packus_epi16(half, half));
#else
    for (int l = 0; l < VL; l++) p[l] = (uint8_t)x[l];
#endif
}

static inline void vu_store_u16(uint16_t *p, vu x)
{
#if VL == 16
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi32_epi16((__m512i)x));
#elif VL == 8
    _mm_storeu_si128((__m128i *)p, _mm_packus_epi32(_mm256_castsi256_si128((__m256i)x), _mm256_extracti128_si256((__m256i)x, 1)));
#else
    for (int l = 0; l < VL; l++) p[l] = (uint16_t)x[l];
#endif
}

/* binary16, to nearest even, overflow to infinity; NaN payloads follow the instruction's own rule */
#if VL == 16
#define CM_HAVE_F16C
static inline void vh_store(uint16_t *p, vf x)
{
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph((__m512)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
#elif VL == 8 && defined(__F16C__)
#define CM_HAVE_F16C
static inline void vh_store(uint16_t *p, vf x)
{
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph((__m256)x, _MM_FROUND_TO_NEAREST_INT));
}
#endif

static inline void vu_store_u32(uint32_t *p, vu x) { memcpy(p, &x, sizeof x); }

/* whether any lane of a mask, all ones or zero each, is set */
static inline int vu_any(vu mask)
{
#if VL == 16
    return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask) != 0;
#elif VL == 8
    return !_mm256_testz_si256((__m256i)mask, (__m256i)mask);
#elif defined(__SSE4_1__)
    return _mm_movemask_epi8((__m128i)mask) != 0;
#else
    uint32_t any = 0;
    for (int l = 0; l < VL; l++) any |= mask[l];
    return any != 0;
#endif
}

static inline int32_t vi_largest(vi x)
{
#if VL == 16
    return _mm512_reduce_max_epi32((__m512i)x);
#elif VL == 8
    __m128i m = _mm_max_epi32(_mm256_castsi256_si128((__m256i)x), _mm256_extracti128_si256((__m256i)x, 1));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
    return _mm_cvtsi128_si32(_mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1)));
#else
    int32_t top = x[0];
    for (int l = 1; l < VL; l++) top = x[l] > top ? x[l] : top;
    return top;
#endif
}

/* truncation toward zero; lanes must lie within int32 */
static inline vi vi_truncate(vf x)
{
#if VL == 16
    return (vi)_mm512_cvttps_epi32((__m512)x);
#elif VL == 8
    return (vi)_mm256_cvttps_epi32((__m256)x);
#elif defined(__SSE4_1__)
    return (vi)_mm_cvttps_epi32((__m128)x);
#else
    return __builtin_convertvector(x, vi);
#endif
}

/* ---- chains of multiply-adds under rounding toward minus infinity (fpenv.h) ------------------------------------- */

typedef double vd __attribute__((vector_size(VL * 4)));
typedef int64_t vl __attribute__((vector_size(VL * 4)));

static inline vd vd_load(const double *p) { vd x; memcpy(&x, p, sizeof x); return x; }
static inline void vd_store(double *p, vd x) { memcpy(p, &x, sizeof x); }
static inline vu vu_load(const uint32_t *p) { vu x; memcpy(&x, p, sizeof x); return x; }

/* Compute or load a vector once: with sixteen registers compilers repeat a load in every use, and build a constant from
 * three instructions there, where loads and instructions are what limits. */
static inline vf vf_keep(vf x)
{
#if VL == 8 && defined(__GNUC__)
    __asm__("" : "+x"(x));
#endif
    return x;
}
static inline vi vi_keep(vi x) { return (vi)vf_keep((vf)x); }
static inline vu vu_keep(vu x) { return (vu)vf_keep((vf)x); }

static inline vf vf_broadcast(float x)
{
#if VL == 16
    return (vf)_mm512_set1_ps(x);
#elif VL == 8
    return (vf)_mm256_set1_ps(x);
#else
    return (vf){x, x, x, x};
#endif
}
static inline vd vd_broadcast(double x)
{
#if VL == 16
    return (vd)_mm512_set1_pd(x);
#elif VL == 8
    return (vd)_mm256_set1_pd(x);
#else
    return (vd){x, x};
#endif
}

/* a * b + c for products that are exact: with or without fusion the same bits */
static inline vf vf_multiply_add(vf a, vf b, vf c)
{
#if VL == 16
    return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif VL == 8 && defined(__FMA__)
    return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return a * b + c;
#endif
}

static inline vd vd_multiply_add(vd a, vd b, vd c)
{
#if VL == 16
    return (vd)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif VL == 8 && defined(__FMA__)
    return (vd)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#else
    return a * b + c;
#endif
}

/* the lower and upper half of the lanes, widened */
static inline void vf_widen(vf x, vd *low, vd *high)
{
#if VL == 16
    *low = (vd)_mm512_cvtps_pd(_mm512_castps512_ps256((__m512)x));
    *high = (vd)_mm512_cvtps_pd(_mm512_extractf32x8_ps((__m512)x, 1));
#elif VL == 8
    *low = (vd)_mm256_cvtps_pd(_mm256_castps256_ps128((__m256)x));
    *high = (vd)_mm256_cvtps_pd(_mm256_extractf128_ps((__m256)x, 1));
#else
    *low = (vd){x[0], x[1]}, *high = (vd){x[2], x[3]};
#endif
}

static inline void vi_widen(vi x, vl *low, vl *high)
{
#if VL == 16
    *low = (vl)_mm512_cvtepi32_epi64(_mm512_castsi512_si256((__m512i)x));
    *high = (vl)_mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64((__m512i)x, 1));
#elif VL == 8
    *low = (vl)_mm256_cvtepi32_epi64(_mm256_castsi256_si128((__m256i)x));
    *high = (vl)_mm256_cvtepi32_epi64(_mm256_extracti128_si256((__m256i)x, 1));
#else
    *low = (vl){x[0], x[1]}, *high = (vl){x[2], x[3]};
#endif
}

static inline void vi_to_doubles(vi x, vd *low, vd *high)
{
#if VL == 16
    *low = (vd)_mm512_cvtepi32_pd(_mm512_castsi512_si256((__m512i)x));
    *high = (vd)_mm512_cvtepi32_pd(_mm512_extracti64x4_epi64((__m512i)x, 1));
#elif VL == 8
    *low = (vd)_mm256_cvtepi32_pd(_mm256_castsi256_si128((__m256i)x));
    *high = (vd)_mm256_cvtepi32_pd(_mm256_extracti128_si256((__m256i)x, 1));
#else
    *low = (vd){x[0], x[1]}, *high = (vd){x[2], x[3]};
#endif
}

/* lane-wise maximum and minimum of numbers */
static inline vd vd_max(vd a, vd b)
{
#if VL == 16
    return (vd)_mm512_max_pd((__m512d)a, (__m512d)b);
#elif VL == 8
    return (vd)_mm256_max_pd((__m256d)a, (__m256d)b);
#else
    vl m = a > b;
    return (vd)(((vl)a & m) | ((vl)b & ~m));
#endif
}

static inline vd vd_min(vd a, vd b)
{
#if VL == 16
    return (vd)_mm512_min_pd((__m512d)a, (__m512d)b);
#elif VL == 8
    return (vd)_mm256_min_pd((__m256d)a, (__m256d)b);
#else
    vl m = a < b;
    return (vd)(((vl)a & m) | ((vl)b & ~m));
#endif
}

/* truncation toward zero; lanes must lie within int32 */
static inline vi vd_truncate(vd low, vd high)
{
#if VL == 16
    return (vi)_mm512_inserti32x8(_mm512_castsi256_si512(_mm512_cvttpd_epi32((__m512d)low)), _mm512_cvttpd_epi32((__m512d)high), 1);
#elif VL == 8
    return (vi)_mm256_insertf128_si256(_mm256_castsi128_si256(_mm256_cvttpd_epi32((__m256d)low)), _mm256_cvttpd_epi32((__m256d)high), 1);
#elif defined(__SSE4_1__)
    return (vi)_mm_unpacklo_epi64(_mm_cvttpd_epi32((__m128d)low), _mm_cvttpd_epi32((__m128d)high));
#else
    return (vi){(int32_t)low[0], (int32_t)low[1], (int32_t)high[0], (int32_t)high[1]};
#endif
}

/* toward minus infinity, whatever the rounding mode */
static inline vf vf_floor(vf x)
{
#if VL == 16
    return (vf)_mm512_roundscale_ps((__m512)x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
#elif VL == 8
    return (vf)_mm256_round_ps((__m256)x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
#elif defined(__SSE4_1__)
    return (vf)_mm_round_ps((__m128)x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
#else
    for (int l = 0; l < VL; l++) x[l] = __builtin_floorf(x[l]);
    return x;
#endif
}

static inline vd vd_floor(vd x)
{
#if VL == 16
    return (vd)_mm512_roundscale_pd((__m512d)x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
#elif VL == 8
    return (vd)_mm256_round_pd((__m256d)x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
#elif defined(__SSE4_1__)
    return (vd)_mm_round_pd((__m128d)x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
#else
    for (int l = 0; l < VL / 2; l++) x[l] = __builtin_floor(x[l]);
    return x;
#endif
}

/* floor of lanes within int32 */
static inline vi vf_floor_to_integer(vf x)
{
#if VL == 16
    return (vi)_mm512_cvt_roundps_epi32((__m512)x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
#else
    return vi_truncate(vf_floor(x));
#endif
}

/* x * 2^-count cut toward minus infinity, for any count from 0 */
static inline vi vi_floor_shift(vi x, vi count)
{
#if VL == 16
    return (vi)_mm512_srav_epi32((__m512i)x, (__m512i)count);
#elif VL == 8
    return (vi)_mm256_srav_epi32((__m256i)x, (__m256i)count);
#else
    return x >> vi_min(count, vi_set(31));
#endif
}

/* the low 32 bits of x * 2^count for counts up to 31, else 0 */
static inline vi vi_shift_left(vi x, vi count)
{
#if VL == 16
    return (vi)_mm512_sllv_epi32((__m512i)x, (__m512i)count);
#elif VL == 8
    return (vi)_mm256_sllv_epi32((__m256i)x, (__m256i)count);
#else
    return (vi)((vu)x << ((vu)count & 31)) & ((vu)count < 32);
#endif
}

/* rounded to binary32 */
static inline vf vd_narrow(vd low, vd high)
{
#if VL == 16
    return (vf)_mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps((__m512d)low)), _mm512_cvtpd_ps((__m512d)high), 1);
#elif VL == 8
    return (vf)_mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps((__m256d)low)), _mm256_cvtpd_ps((__m256d)high), 1);
#else
    return (vf){(float)low[0], (float)low[1], (float)high[0], (float)high[1]};
#endif
}

/* lane-wise maximum of unsigned bytes and of unsigned 16-bit halves */
static inline vu vu_max_bytes(vu a, vu b)
{
#if VL == 16
    return (vu)_mm512_max_epu8((__m512i)a, (__m512i)b);
#elif VL == 8
    return (vu)_mm256_max_epu8((__m256i)a, (__m256i)b);
#elif defined(__SSE4_1__)
    return (vu)_mm_max_epu8((__m128i)a, (__m128i)b);
#else
    typedef uint8_t bytes __attribute__((vector_size(VL * 4)));
    bytes x = (bytes)a, y = (bytes)b, m = (bytes)(x > y);
    return (vu)((x & m) | (y & ~m));
#endif
}

static inline vu vu_max_halves(vu a, vu b)
{
#if VL == 16
    return (vu)_mm512_max_epu16((__m512i)a, (__m512i)b);
#elif VL == 8
    return (vu)_mm256_max_epu16((__m256i)a, (__m256i)b);
#elif defined(__SSE4_1__)
    return (vu)_mm_max_epu16((__m128i)a, (__m128i)b);
#else
    typedef uint16_t halves __attribute__((vector_size(VL * 4)));
    halves x = (halves)a, y = (halves)b, m = (halves)(x > y);
    return (vu)((x & m) | (y & ~m));
#endif
}

/* set bits of each lane */
typedef struct { vu table, nibble, bytes, halves; } vu_counter; /* constants of the count, where it needs any */

static inline vu_counter vu_counter_open(void)
{
#if VL == 8
    const __m128i table = _mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    return (vu_counter){vu_keep((vu)_mm256_broadcastsi128_si256(table)), vu_keep((vu)_mm256_set1_epi8(15)),
                        vu_keep((vu)_mm256_set1_epi8(1)), vu_keep((vu)_mm256_set1_epi16(1))};
#else
    return (vu_counter){{0}, {0}, {0}, {0}};
#endif
}

static inline vi vu_count_ones(vu x, const vu_counter *c)
{
    (void)c;
#if VL == 16 && defined(__AVX512VPOPCNTDQ__)
    return (vi)_mm512_popcnt_epi32((__m512i)x);
#elif VL == 16
    const __m512i table = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    const __m512i nibble = _mm512_set1_epi8(15);
    __m512i low = _mm512_and_si512((__m512i)x, nibble), high = _mm512_and_si512(_mm512_srli_epi32((__m512i)x, 4), nibble);
    __m512i count = _mm512_add_epi8(_mm512_shuffle_epi8(table, low), _mm512_shuffle_epi8(table, high));
    return (vi)_mm512_madd_epi16(_mm512_maddubs_epi16(count, _mm512_set1_epi8(1)), _mm512_set1_epi16(1));
#elif VL == 8
    const __m256i table = (__m256i)c->table, nibble = (__m256i)c->nibble;
    __m256i low = _mm256_and_si256((__m256i)x, nibble), high = _mm256_and_si256(_mm256_srli_epi32((__m256i)x, 4), nibble);
    __m256i count = _mm256_add_epi8(_mm256_shuffle_epi8(table, low), _mm256_shuffle_epi8(table, high));
    return (vi)_mm256_madd_epi16(_mm256_maddubs_epi16(count, (__m256i)c->bytes), (__m256i)c->halves);
#else
    x = x - ((x >> 1) & 0x55555555u);
    x = (x & 0x33333333u) + ((x >> 2) & 0x33333333u);
    x = (x + (x >> 4)) & 0x0f0f0f0fu;
    x += x >> 8;
    return (vi)((x + (x >> 16)) & 63);
#endif
}

/* 1 where a number that is not -0 is negative */
static inline vi vf_is_negative(vf x)
{
#if VL == 16
    return (vi)((vu)x >> 31);
#else
    return -(vi)(x < (vf){0});
#endif
}

/* a difference that is exact, and never -0 where the tier can choose a rounding for one operation */
static inline vf vf_exact_difference(vf a, vf b)
{
#if VL == 16
    return (vf)_mm512_sub_round_ps((__m512)a, (__m512)b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
    return a - b;
#endif
}

static inline vd vd_exact_difference(vd a, vd b)
{
#if VL == 16
    return (vd)_mm512_sub_round_pd((__m512d)a, (__m512d)b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
    return a - b;
#endif
}

/* 64-bit lanes of a non-negative low and a high word each, lower half of the lanes first */
static inline void vl_of_words(vi low_words, vi high_words, vl *low, vl *high)
{
#if VL == 16
    const __m512i first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i second = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    *low = (vl)_mm512_permutex2var_epi32((__m512i)low_words, first, (__m512i)high_words);
    *high = (vl)_mm512_permutex2var_epi32((__m512i)low_words, second, (__m512i)high_words);
#else
    vl a, b;
    vi_widen(high_words, low, high);
    vi_widen(low_words, &a, &b);
    *low = *low * (1ll << 32) + a, *high = *high * (1ll << 32) + b;
#endif
}

/* normal numbers, cut toward zero to binary32 */
static inline vf vd_narrow_toward_zero(vd low, vd high)
{
#if VL == 16
    __m256 a = _mm512_cvt_roundpd_ps((__m512d)low, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
    __m256 b = _mm512_cvt_roundpd_ps((__m512d)high, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
    return (vf)_mm512_insertf32x8(_mm512_castps256_ps512(a), b, 1);
#else
    return vd_narrow((vd)((vl)low & ~0x1fffffffll), (vd)((vl)high & ~0x1fffffffll));
#endif
}

/* a bit per lane where the mask's sign is set, lane 0 lowest */
static inline uint32_t vi_sign_bits(vi x)
{
#if VL == 16
    return _mm512_movepi32_mask((__m512i)x);
#elif VL == 8
    return (uint32_t)_mm256_movemask_ps((__m256)x);
#elif defined(__SSE4_1__)
    return (uint32_t)_mm_movemask_ps((__m128)x);
#else
    uint32_t bits = 0;
    for (int l = 0; l < VL; l++) bits |= (uint32_t)((uint32_t)x[l] >> 31) << l;
    return bits;
#endif
}

/* binary16, to nearest even whatever the rounding mode, and back; a zero result is +0 */
static inline vf vf_round_to_half(vf x)
{
#if VL == 16
    vf r = (vf)_mm512_cvtph_ps(_mm512_cvtps_ph((__m512)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
#elif VL == 8 && defined(__F16C__)
    vf r = (vf)_mm256_cvtph_ps(_mm256_cvtps_ph((__m256)x, _MM_FROUND_TO_NEAREST_INT));
#else
    vu bits = (vu)x, magnitude = bits & 0x7fffffffu;
    vu normal = (magnitude + 0xfffu + ((magnitude >> 13) & 1)) & ~0x1fffu;
    vu over = (vu)(normal >= 0x47800000u);
    normal = (0x7f800000u & over) | (normal & ~over);
    /* below 2^-14: a multiple of 2^-24, found in integers since the rounding mode may be any */
    vf scaled = (vf)magnitude * 0x1p24f;
    vi whole = vi_truncate((vf)((vu)scaled & (vu)(magnitude < 0x38800000u)));
    vf rest = scaled - __builtin_convertvector(whole, vf);
    vi up = (rest > vf_broadcast(0.5f)) | ((rest == vf_broadcast(0.5f)) & -(whole & 1));
    vu subnormal = (vu)(__builtin_convertvector(whole - up, vf) * 0x1p-24f);
    vu small = (vu)(magnitude < 0x38800000u);
    vf r = (vf)((bits & 0x80000000u) | (subnormal & small) | (normal & ~small));
#endif
    r = (vf)((vi)r & ~(r == (vf){0}));
    vi nan = x != x;
    return (vf)(((vi)x & nan) | ((vi)r & ~nan));
}

#endif
