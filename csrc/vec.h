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

/* shift right by one count for all lanes: a vector of counts is one operation where the tier has variable shifts */
static inline vu vu_shift_right(vu x, uint32_t count)
{
#if VL >= 8
    return x >> (count + (vu){0});
#else
    return x >> count;
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

#endif
