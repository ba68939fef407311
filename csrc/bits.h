/* Bit patterns of binary32 and binary64, and powers of two built from them. */
#ifndef CHIPMETER_BITS_H
#define CHIPMETER_BITS_H

#include <stdint.h>
#include <string.h>

static inline uint32_t cm_bits32(float x) { uint32_t b; memcpy(&b, &x, 4); return b; }
static inline float cm_float32(uint32_t b) { float x; memcpy(&x, &b, 4); return x; }
static inline uint64_t cm_bits64(double x) { uint64_t b; memcpy(&b, &x, 8); return b; }
static inline double cm_float64(uint64_t b) { double x; memcpy(&x, &b, 8); return x; }

/* 2^e for -1022 <= e <= 1023 */
static inline double cm_exp2(int32_t e) { return cm_float64((uint64_t)(int64_t)(e + 1023) << 52); }

/* all ones when the condition holds: chained ?: defeats the vectoriser, masks do not */
static inline uint32_t cm_mask32(int condition) { return (uint32_t)-(int32_t)(condition != 0); }
static inline uint32_t cm_select32(uint32_t mask, uint32_t yes, uint32_t no) { return (yes & mask) | (no & ~mask); }

/* the NaN that every kernel with binary32 output writes (NVIDIA's canonical NaN), and its binary64 sibling */
#define CM_NAN32 0x7FFFFFFFu
#define CM_NAN64 0x7FF8000000000000ull

#endif
