/* AVX-512 on a CPU that has none, so that those tiers' bits can be checked there: every intrinsic that the kernels call, in
 * AVX2 and C. Included before each kernel by `make emulated`. Most are SIMDe's; what it lacks, or does through other roundings
 * than the instruction's, is below. Slow, and never part of a build that is used. */
#ifndef CHIPMETER_TESTS_AVX512_H
#define CHIPMETER_TESTS_AVX512_H

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include <simde/x86/avx512.h>

#define EMULATED static inline __attribute__((always_inline))
#define EACH(lanes) for (int l = 0; l < (lanes); l++)

typedef float f32x16 __attribute__((vector_size(64)));
typedef float f32x8 __attribute__((vector_size(32)));
typedef double f64x8 __attribute__((vector_size(64)));
typedef int8_t i8x16 __attribute__((vector_size(16)));
typedef uint8_t u8x16 __attribute__((vector_size(16)));
typedef int16_t i16x32 __attribute__((vector_size(64)));
typedef int16_t i16x16 __attribute__((vector_size(32)));
typedef uint16_t u16x16 __attribute__((vector_size(32)));
typedef int32_t i32x16 __attribute__((vector_size(64)));
typedef int32_t i32x8 __attribute__((vector_size(32)));
typedef int64_t i64x8 __attribute__((vector_size(64)));

/* The rounding mode of one operation, until the environment is put back. Reading operands as volatile and results through
 * memory keeps the operation between the two. */
EMULATED unsigned rounding_of(int mode)
{
    unsigned before = _mm_getcsr();
    _mm_setcsr((before & ~0x6000u) | ((unsigned)mode & 3) << 13);
    return before;
}

#define BACK_TO(before, result)                                                                                         \
    __asm__ volatile("" ::"m"(result));                                                                                 \
    _mm_setcsr(before)

EMULATED __m512 emulated_sub_round_ps(__m512 a, __m512 b, int mode)
{
    unsigned before = rounding_of(mode);
    volatile f32x16 x = (f32x16)a;
    f32x16 r;
    EACH(16) r[l] = x[l] - ((f32x16)b)[l];
    BACK_TO(before, r);
    return (__m512)r;
}

EMULATED __m512d emulated_sub_round_pd(__m512d a, __m512d b, int mode)
{
    unsigned before = rounding_of(mode);
    volatile f64x8 x = (f64x8)a;
    f64x8 r;
    EACH(8) r[l] = x[l] - ((f64x8)b)[l];
    BACK_TO(before, r);
    return (__m512d)r;
}

#define ROUNDED(name, result, lanes, to, argument, from, operation)                                                      \
    EMULATED result name(argument a, int mode)                                                                          \
    {                                                                                                                   \
        unsigned before = rounding_of(mode);                                                                            \
        volatile from x = (from)a;                                                                                      \
        to r;                                                                                                           \
        EACH(lanes) r[l] = operation;                                                                                   \
        BACK_TO(before, r);                                                                                             \
        return (result)r;                                                                                               \
    }
ROUNDED(emulated_cvt_roundpd_ps, __m256, 8, f32x8, __m512d, f64x8, (float)x[l])
ROUNDED(emulated_cvt_roundps_epi32, __m512i, 16, i32x16, __m512, f32x16, _mm_cvtss_si32(_mm_set_ss(x[l])))
ROUNDED(emulated_roundscale_ps, __m512, 16, f32x16, __m512, f32x16,
        _mm_cvtss_f32(_mm_round_ss(_mm_setzero_ps(), _mm_set_ss(x[l]), _MM_FROUND_CUR_DIRECTION)))
ROUNDED(emulated_roundscale_pd, __m512d, 8, f64x8, __m512d, f64x8,
        _mm_cvtsd_f64(_mm_round_sd(_mm_setzero_pd(), _mm_set_sd(x[l]), _MM_FROUND_CUR_DIRECTION)))

/* predicates of _CMP_*: the table of the instruction; bit 4 chooses only whether a quiet NaN signals */
EMULATED __mmask16 emulated_cmp_ps(__m512 a, __m512 b, int predicate)
{
    f32x16 x = (f32x16)a, y = (f32x16)b;
    unsigned mask = 0;
    EACH(16)
    {
        int unordered = x[l] != x[l] || y[l] != y[l], equal = x[l] == y[l], less = x[l] < y[l];
        int holds[8] = {equal, less, less | equal, unordered, !equal, !less, !(less | equal), !unordered};
        int of_unordered[8] = {1, 1, 1, 0, 0, 0, 0, 1}; /* what the upper half answers beside a NaN */
        int kind = predicate & 7;
        int result = predicate & 8 ? (kind == 3 ? 0 : kind == 7 ? 1 : unordered ? of_unordered[kind] : holds[kind]) : holds[kind];
        mask |= (unsigned)result << l;
    }
    return (__mmask16)mask;
}

EMULATED __mmask16 emulated_cmplt_epi32(__m512i a, __m512i b)
{
    unsigned mask = 0;
    EACH(16) mask |= (unsigned)(((i32x16)a)[l] < ((i32x16)b)[l]) << l;
    return (__mmask16)mask;
}

EMULATED int32_t emulated_reduce_max_epi32(__m512i a)
{
    int32_t most = ((i32x16)a)[0];
    EACH(16) most = ((i32x16)a)[l] > most ? ((i32x16)a)[l] : most;
    return most;
}

EMULATED __m512i emulated_srav_epi32(__m512i a, __m512i count)
{
    i32x16 x = (i32x16)a, n = (i32x16)count;
    EACH(16) x[l] >>= (uint32_t)n[l] > 31 ? 31 : n[l];
    return (__m512i)x;
}

EMULATED __m512i emulated_madd_epi16(__m512i a, __m512i b)
{
    i16x32 x = (i16x32)a, y = (i16x32)b;
    i32x16 r;
    EACH(16) r[l] = (int32_t)((uint32_t)(x[2 * l] * y[2 * l]) + (uint32_t)(x[2 * l + 1] * y[2 * l + 1]));
    return (__m512i)r;
}

EMULATED __m256 emulated_extractf32x8_ps(__m512 a, int half)
{
    f32x8 r;
    EACH(8) r[l] = ((f32x16)a)[l + 8 * (half & 1)];
    return (__m256)r;
}

EMULATED __m512 emulated_shuffle_f32x4(__m512 a, __m512 b, int control)
{
    f32x16 r;
    EACH(16) r[l] = ((f32x16)(l < 8 ? a : b))[(control >> l / 4 * 2 & 3) * 4 + l % 4];
    return (__m512)r;
}

EMULATED __m512 emulated_permute_ps(__m512 a, int control)
{
    f32x16 r;
    EACH(16) r[l] = ((f32x16)a)[l / 4 * 4 + (control >> l % 4 * 2 & 3)];
    return (__m512)r;
}

EMULATED __m512 emulated_cvtph_ps(__m256i a)
{
    f32x8 low = (f32x8)_mm256_cvtph_ps(_mm256_castsi256_si128(a)), high = (f32x8)_mm256_cvtph_ps(_mm256_extracti128_si256(a, 1));
    f32x16 r;
    EACH(16) r[l] = l < 8 ? low[l] : high[l - 8];
    return (__m512)r;
}

/* to nearest: the one mode that the kernels ask for */
EMULATED __m256i emulated_cvtps_ph(__m512 a, int mode)
{
    (void)mode;
    __m128i low = _mm256_cvtps_ph(emulated_extractf32x8_ps(a, 0), _MM_FROUND_TO_NEAREST_INT);
    return _mm256_set_m128i(_mm256_cvtps_ph(emulated_extractf32x8_ps(a, 1), _MM_FROUND_TO_NEAREST_INT), low);
}

EMULATED void emulated_stream_si512(void *p, __m512i a) { memcpy(p, &a, sizeof a); }

#define CONVERSION(name, result, lanes, to, argument, from, conversion)                                                 \
    EMULATED result name(argument a)                                                                                    \
    {                                                                                                                   \
        from x = (from)a;                                                                                               \
        to r;                                                                                                           \
        EACH(lanes) r[l] = conversion;                                                                                  \
        return (result)r;                                                                                               \
    }
CONVERSION(emulated_cvtps_pd, __m512d, 8, f64x8, __m256, f32x8, x[l])
CONVERSION(emulated_cvtpd_ps, __m256, 8, f32x8, __m512d, f64x8, (float)x[l])
CONVERSION(emulated_cvtepi32_ps, __m512, 16, f32x16, __m512i, i32x16, (float)x[l])
CONVERSION(emulated_cvtepi32_pd, __m512d, 8, f64x8, __m256i, i32x8, x[l])
CONVERSION(emulated_cvtepi32_epi64, __m512i, 8, i64x8, __m256i, i32x8, x[l])
CONVERSION(emulated_cvtepi32_epi16, __m256i, 16, i16x16, __m512i, i32x16, (int16_t)x[l])
CONVERSION(emulated_cvtepi32_epi8, __m128i, 16, i8x16, __m512i, i32x16, (int8_t)x[l])
CONVERSION(emulated_cvtepu8_epi32, __m512i, 16, i32x16, __m128i, u8x16, x[l])
CONVERSION(emulated_cvtepu16_epi32, __m512i, 16, i32x16, __m256i, u16x16, x[l])
CONVERSION(emulated_cvttps_epi32, __m512i, 16, i32x16, __m512, f32x16, _mm_cvttss_si32(_mm_set_ss(x[l])))
CONVERSION(emulated_cvttpd_epi32, __m256i, 8, i32x8, __m512d, f64x8, _mm_cvttsd_si32(_mm_set_sd(x[l])))

#undef _mm512_cmp_ps_mask
#undef _mm512_cvt_roundpd_ps
#undef _mm512_cvt_roundps_epi32
#undef _mm512_cvtps_ph
#undef _mm512_extractf32x8_ps
#undef _mm512_madd_epi16
#undef _mm512_mask_cmp_ps_mask
#undef _mm512_permute_ps
#undef _mm512_roundscale_pd
#undef _mm512_roundscale_ps
#undef _mm512_shuffle_f32x4
#undef _mm512_sub_round_pd
#undef _mm512_sub_round_ps
#define _mm512_cmp_ps_mask emulated_cmp_ps
#define _mm512_cmplt_epi32_mask emulated_cmplt_epi32
#define _mm512_cvt_roundpd_ps emulated_cvt_roundpd_ps
#define _mm512_cvt_roundps_epi32 emulated_cvt_roundps_epi32
#define _mm512_cvtepi32_epi16 emulated_cvtepi32_epi16
#define _mm512_cvtepi32_epi64 emulated_cvtepi32_epi64
#define _mm512_cvtepi32_epi8 emulated_cvtepi32_epi8
#define _mm512_cvtepi32_pd emulated_cvtepi32_pd
#define _mm512_cvtepi32_ps emulated_cvtepi32_ps
#define _mm512_cvtepu16_epi32 emulated_cvtepu16_epi32
#define _mm512_cvtepu8_epi32 emulated_cvtepu8_epi32
#define _mm512_cvtpd_ps emulated_cvtpd_ps
#define _mm512_cvtph_ps emulated_cvtph_ps
#define _mm512_cvtps_pd emulated_cvtps_pd
#define _mm512_cvtps_ph emulated_cvtps_ph
#define _mm512_cvttpd_epi32 emulated_cvttpd_epi32
#define _mm512_cvttps_epi32 emulated_cvttps_epi32
#define _mm512_extractf32x8_ps emulated_extractf32x8_ps
#define _mm512_madd_epi16 emulated_madd_epi16
#define _mm512_mask_cmp_ps_mask(k, a, b, predicate) ((__mmask16)((k) & emulated_cmp_ps(a, b, predicate)))
#define _mm512_permute_ps emulated_permute_ps
#define _mm512_reduce_max_epi32 emulated_reduce_max_epi32
#define _mm512_roundscale_pd emulated_roundscale_pd
#define _mm512_roundscale_ps emulated_roundscale_ps
#define _mm512_shuffle_f32x4 emulated_shuffle_f32x4
#define _mm512_srav_epi32 emulated_srav_epi32
#define _mm512_stream_si512 emulated_stream_si512
#define _mm512_sub_round_pd emulated_sub_round_pd
#define _mm512_sub_round_ps emulated_sub_round_ps

/* what the kernels ask the compiler */
#define __AVX512F__ 1
#define __AVX512BW__ 1
#define __AVX512CD__ 1
#define __AVX512DQ__ 1
#define __AVX512VL__ 1
#ifdef EMULATE_VNNI
#define __AVX512VNNI__ 1
#define __AVX512VBMI__ 1
#define __AVX512VBMI2__ 1
#define __AVX512VPOPCNTDQ__ 1
#define __AVX512BITALG__ 1
#endif
#endif
