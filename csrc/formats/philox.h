/* Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): four words per counter. */
#ifndef CHIPMETER_PHILOX_H
#define CHIPMETER_PHILOX_H

#include "vec.h"

/* 64-bit lanes, a counter in each: products take the low halves, so what lies in the high ones never matters */
typedef uint64_t vq __attribute__((vector_size(VL * 4)));

enum {
    CM_PHILOX_LANES = VL / 2,
    CM_PHILOX_STREAMS = 4, /* vectors in flight: they hide the latency of the products */
    CM_PHILOX_WORDS = 4 * CM_PHILOX_LANES * CM_PHILOX_STREAMS
};

static inline vq vq_multiply_low(vq a, vq b)
{
#if VL == 16
    return (vq)_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif VL == 8
    return (vq)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(__SSE4_1__)
    return (vq)_mm_mul_epu32((__m128i)a, (__m128i)b);
#else
    return (a & 0xffffffffu) * (b & 0xffffffffu);
#endif
}

/* four words of each counter, in memory order when the lanes hold the counters that vq_counters puts there */
static inline void vq_store_words(uint32_t *words, const vq c[4])
{
    vq low = (c[0] & 0xffffffffu) | c[1] << 32, high = (c[2] & 0xffffffffu) | c[3] << 32;
#if VL == 16
    vq first = (vq)_mm512_unpacklo_epi64((__m512i)low, (__m512i)high), second = (vq)_mm512_unpackhi_epi64((__m512i)low, (__m512i)high);
#elif VL == 8
    vq first = (vq)_mm256_unpacklo_epi64((__m256i)low, (__m256i)high), second = (vq)_mm256_unpackhi_epi64((__m256i)low, (__m256i)high);
#else
    vq first = {low[0], high[0]}, second = {low[1], high[1]};
#endif
    memcpy(words, &first, sizeof first);
    memcpy(words + VL, &second, sizeof second);
}

static inline vq vq_counters(uint64_t first)
{
    vq counters;
    for (int p = 0; p < CM_PHILOX_LANES; p++) counters[p] = first + (uint64_t)(p % 2 * (CM_PHILOX_LANES / 2) + p / 2);
    return counters;
}

/* CM_PHILOX_WORDS words from counter `first` on; counters have 62 bits, as word indices have 64 */
static inline void cm_philox_block(uint32_t *words, uint64_t first, const uint64_t keys[20])
{
    vq c[CM_PHILOX_STREAMS][4];
    for (int s = 0; s < CM_PHILOX_STREAMS; s++) {
        c[s][0] = vq_counters(first + (uint64_t)(s * CM_PHILOX_LANES)) & 0x3fffffffffffffffu;
        c[s][1] = c[s][0] >> 32;
        c[s][2] = c[s][3] = (vq){0};
    }
    const vq m0 = 0xD2511F53u + (vq){0}, m1 = 0xCD9E8D57u + (vq){0};
#pragma GCC unroll 10
    for (int round = 0; round < 10; round++)
#pragma GCC unroll 4
        for (int s = 0; s < CM_PHILOX_STREAMS; s++) {
            vq p0 = vq_multiply_low(c[s][0], m0), p1 = vq_multiply_low(c[s][2], m1);
            c[s][0] = p1 >> 32 ^ c[s][1] ^ keys[2 * round];
            c[s][2] = p0 >> 32 ^ c[s][3] ^ keys[2 * round + 1];
            c[s][1] = p1, c[s][3] = p0;
        }
    for (int s = 0; s < CM_PHILOX_STREAMS; s++) vq_store_words(words + s * 4 * CM_PHILOX_LANES, c[s]);
}

/* word i is word (offset + i) mod 4 of the block of counter (offset + i) / 4 */
static inline void cm_philox_fill(uint32_t *words, size_t n, uint64_t seed, uint64_t offset)
{
    uint64_t keys[20];
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) keys[2 * round] = k0, keys[2 * round + 1] = k1;
    uint32_t block[CM_PHILOX_WORDS];
    uint64_t counter = offset >> 2;
    size_t skip = offset & 3;
    while (n) {
        if (skip == 0 && n >= CM_PHILOX_WORDS) {
            cm_philox_block(words, counter, keys);
            words += CM_PHILOX_WORDS, n -= CM_PHILOX_WORDS;
        } else {
            const size_t count = n < CM_PHILOX_WORDS - skip ? n : CM_PHILOX_WORDS - skip;
            cm_philox_block(block, counter, keys);
            memcpy(words, block + skip, count * sizeof *words);
            words += count, n -= count;
            skip = (skip + count) % CM_PHILOX_WORDS;
            if (skip) return; /* n is 0 */
        }
        counter += CM_PHILOX_WORDS / 4;
    }
}

#endif
