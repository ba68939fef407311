/* Largest magnitudes and extremes of tiles. */
#ifndef CHIPMETER_LARGEST_H
#define CHIPMETER_LARGEST_H

#include "quantize/scales.h"

/* where rows of x lie: `stride` elements apart */
typedef struct {
    const float *x;
    size_t rows, stride;
} cm_rows;

/* the last vector of a row, zeros behind it */
static inline vf load_part(const float *x, size_t n)
{
    float part[VL] = {0};
    memcpy(part, x, n * sizeof *x);
    return vf_load(part);
}

/* NaN patterns are larger than infinity as integers, so a NaN anywhere wins the maximum. */
static inline __attribute__((always_inline)) vi fold_row(const float *x, size_t n, vi top)
{
    size_t i = 0;
    for (; i + VL <= n; i += VL) top = vi_max(top, (vi)vf_load(x + i) & 0x7fffffff);
    if (i < n) top = vi_max(top, (vi)load_part(x + i, n - i) & 0x7fffffff);
    return top;
}

static inline __attribute__((always_inline)) vi fold_tile(cm_rows tile, size_t columns)
{
    vi top = vi_set(0);
    for (size_t r = 0; r < tile.rows; r++) top = fold_row(tile.x + r * tile.stride, columns, top);
    return top;
}

/* maxima of VL vectors, transposed by halves as they shrink: a third of the shuffles of VL reductions */
static inline __attribute__((always_inline)) vi largest_of_each(const vi *given)
{
#if VL == 16
    __m512i v[16];
    for (int b = 0; b < 8; b++) {
        __m512i p = (__m512i)given[2 * b], q = (__m512i)given[2 * b + 1];
        v[b] = _mm512_max_epi32(_mm512_unpacklo_epi32(p, q), _mm512_unpackhi_epi32(p, q));
    }
    for (int b = 0; b < 4; b++)
        v[b] = _mm512_max_epi32(_mm512_unpacklo_epi64(v[2 * b], v[2 * b + 1]), _mm512_unpackhi_epi64(v[2 * b], v[2 * b + 1]));
    for (int width = 2; width; width /= 2)
        for (int b = 0; b < width; b++)
            v[b] = _mm512_max_epi32(_mm512_shuffle_i32x4(v[2 * b], v[2 * b + 1], 0x88),
                                    _mm512_shuffle_i32x4(v[2 * b], v[2 * b + 1], 0xdd));
    return (vi)v[0];
#elif VL == 8
    __m256i v[4];
    for (int b = 0; b < 4; b++) {
        __m256i p = (__m256i)given[2 * b], q = (__m256i)given[2 * b + 1];
        v[b] = _mm256_max_epi32(_mm256_unpacklo_epi32(p, q), _mm256_unpackhi_epi32(p, q));
    }
    for (int b = 0; b < 2; b++)
        v[b] = _mm256_max_epi32(_mm256_unpacklo_epi64(v[2 * b], v[2 * b + 1]), _mm256_unpackhi_epi64(v[2 * b], v[2 * b + 1]));
    return (vi)_mm256_max_epi32(_mm256_permute2x128_si256(v[0], v[1], 0x20), _mm256_permute2x128_si256(v[0], v[1], 0x31));
#else
    vi each;
    for (int b = 0; b < VL; b++) each[b] = vi_largest(given[b]);
    return each;
#endif
}

/* `columns` constant after inlining where it is a common block */
static inline __attribute__((always_inline)) void largest_in_tiles(cm_rows tile, size_t count, size_t columns, uint32_t *amax)
{
    size_t b = 0;
    for (; b + VL <= count; b += VL) {
        vi top[VL];
        for (size_t k = 0; k < VL; k++, tile.x += columns) {
            top[k] = fold_tile(tile, columns);
        }
        vi_store((int32_t *)amax + b, largest_of_each(top));
    }
    for (; b < count; b++, tile.x += columns) amax[b] = (uint32_t)vi_largest(fold_tile(tile, columns));
}

/* one tile, four accumulators to hide the latency of the maximum, a prefetch to hide that of memory */
static inline uint32_t largest_in_row(const float *x, size_t n)
{
    vi top[4] = {{0}, {0}, {0}, {0}};
    size_t i = 0;
    for (; i + 4 * VL <= n; i += 4 * VL) {
        for (size_t k = 0; k < 4 * VL; k += 16) __builtin_prefetch(x + i + k + CM_PREFETCH);
        for (size_t k = 0; k < 4; k++) top[k] = vi_max(top[k], (vi)vf_load(x + i + k * VL) & 0x7fffffff);
    }
    return (uint32_t)vi_largest(fold_row(x + i, n - i, vi_max(vi_max(top[0], top[1]), vi_max(top[2], top[3]))));
}

/* tiles one column wide */
static inline void largest_in_columns(cm_rows tiles, size_t count, uint32_t *amax)
{
    memset(amax, 0, count * sizeof *amax);
    for (size_t r = 0; r < tiles.rows; r++) {
        const float *x = tiles.x + r * tiles.stride;
        size_t i = 0;
        for (; i + VL <= count; i += VL)
            vi_store((int32_t *)amax + i, vi_max(vi_load((int32_t *)amax + i), (vi)vf_load(x + i) & 0x7fffffff));
        for (; i < count; i++) {
            uint32_t a = cm_bits32(x[i]) & 0x7fffffffu;
            amax[i] = a > amax[i] ? a : amax[i];
        }
    }
}

/* least and largest numbers, 0 among them; NaN does not count */
static inline void extremes_in_tiles(cm_rows tile, size_t count, size_t columns, float *least, float *most)
{
    for (size_t b = 0; b < count; b++, tile.x += columns) {
        vf low = vf_set(0), high = vf_set(0);
        for (size_t r = 0; r < tile.rows; r++) {
            const float *x = tile.x + r * tile.stride;
            for (size_t i = 0; i < columns; i += VL) {
                vf v = i + VL <= columns ? vf_load(x + i) : load_part(x + i, columns - i);
                low = vf_least(v, low);
                high = vf_where(v > high, v, high);
            }
        }
        least[b] = most[b] = 0;
        for (int k = 0; k < VL; k++) {
            least[b] = low[k] < least[b] ? low[k] : least[b];
            most[b] = high[k] > most[b] ? high[k] : most[b];
        }
    }
}

static inline void extremes_in_columns(cm_rows tiles, size_t count, float *least, float *most)
{
    memset(least, 0, count * sizeof *least);
    memset(most, 0, count * sizeof *most);
    for (size_t r = 0; r < tiles.rows; r++) {
        const float *x = tiles.x + r * tiles.stride;
        for (size_t i = 0; i < count; i++) {
            least[i] = x[i] < least[i] ? x[i] : least[i];
            most[i] = x[i] > most[i] ? x[i] : most[i];
        }
    }
}

#endif
