/* Dot products of small integers, as many of depth at once in a 32-bit lane as the tier multiplies in one instruction.
 *
 * A is packed as signed and B as unsigned bytes where the tier has such products four at a time (SHIFTED: B carries an
 * offset that the kernel takes back); elsewhere both are pairs of 16-bit numbers. */
#ifndef CHIPMETER_MATMUL_DOTS_H
#define CHIPMETER_MATMUL_DOTS_H

#include "vec.h"

#if VL == 16 && defined(__AVX512VNNI__)
typedef uint8_t packed_a, packed_b; /* the sign of A's bytes is the instruction's affair */
#define TOGETHER 4                  /* of depth, in one 32-bit lane */
#define SHIFTED 1
#define MULTIPLY_ADD(acc, a, b) ((vi)_mm512_dpbusd_epi32((__m512i)(acc), (__m512i)(b), (__m512i)(a)))
#else
typedef int16_t packed_a, packed_b;
#define TOGETHER 2
#define SHIFTED 0
#if VL == 16
#define MULTIPLY_ADD(acc, a, b) vi_wrapping_add(acc, (vi)_mm512_madd_epi16((__m512i)(a), (__m512i)(b)))
#elif VL == 8
#define MULTIPLY_ADD(acc, a, b) vi_wrapping_add(acc, (vi)_mm256_madd_epi16((__m256i)(a), (__m256i)(b)))
#elif defined(__SSE4_1__)
#define MULTIPLY_ADD(acc, a, b) vi_wrapping_add(acc, (vi)_mm_madd_epi16((__m128i)(a), (__m128i)(b)))
#else
#define MULTIPLY_ADD(acc, a, b) vi_wrapping_add(vi_wrapping_add(acc, ((vi)((vu)(a) << 16) >> 16) * ((vi)((vu)(b) << 16) >> 16)), ((a) >> 16) * ((b) >> 16))
#endif
#endif

#endif
