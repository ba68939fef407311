/* Matrices of codes and of numbers turned over, a square in registers at a time. Memory is written in whole lines: a line that is
 * written in pieces, its neighbours in other pages, is fetched from memory and put back for each of them. */
#include "quantize/entries.h"
#include "tier.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum {
    LINE = 64,         /* bytes */
    RUN = 4 * LINE,    /* bytes of a row of the target that are written together */
    STREAMED = 1 << 20 /* bytes that the target reaches over from which its lines go past the caches */
};

/* Four perfect shuffles of sixteen rows leave them as columns. */
static inline void transpose_16x16(const uint8_t *from, size_t from_stride, uint8_t *to, size_t to_stride)
{
#if defined(__x86_64__)
    __m128i a[16], b[16];
    for (size_t i = 0; i < 16; i++) a[i] = _mm_loadu_si128((const __m128i *)(from + i * from_stride));
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 8; i++) b[2 * i] = _mm_unpacklo_epi8(a[i], a[i + 8]), b[2 * i + 1] = _mm_unpackhi_epi8(a[i], a[i + 8]);
        for (int i = 0; i < 8; i++) a[2 * i] = _mm_unpacklo_epi8(b[i], b[i + 8]), a[2 * i + 1] = _mm_unpackhi_epi8(b[i], b[i + 8]);
    }
    for (size_t i = 0; i < 16; i++) _mm_storeu_si128((__m128i *)(to + i * to_stride), a[i]);
#else
    for (size_t i = 0; i < 16; i++)
        for (size_t j = 0; j < 16; j++) to[i * to_stride + j] = from[j * from_stride + i];
#endif
}

/* whether a target's lines go past the caches; its stride and reach in bytes */
static inline int is_streamed(const void *to, size_t stride, size_t reach)
{
    return ((uintptr_t)to | stride) % LINE == 0 && reach >= STREAMED;
}

static inline void stream_line(void *to, const void *line)
{
#if defined(__x86_64__)
    for (size_t i = 0; i < LINE / 16; i++) _mm_stream_si128((__m128i *)to + i, _mm_load_si128((const __m128i *)line + i));
#else
    memcpy(to, line, LINE);
#endif
}

static inline void end_of_streams(void)
{
#if defined(__x86_64__)
    _mm_sfence();
#endif
}

/* Sixteen columns of some rows, whole lines: those of a row of the target one after the other, since each row is in another page. */
static inline __attribute__((always_inline)) void stream_codes(const uint8_t *from, size_t rows, size_t from_stride, uint8_t *to,
                                                               size_t to_stride)
{
    _Alignas(LINE) uint8_t lines[16][RUN];
    for (size_t i = 0; i < rows; i += 16) transpose_16x16(from + i * from_stride, from_stride, lines[0] + i, RUN);
    for (size_t j = 0; j < 16; j++)
        for (size_t i = 0; i < rows; i += LINE) stream_line(to + j * to_stride + i, lines[j] + i);
}

void CM_NAME(cm_transpose_u8)(const uint8_t *from, size_t rows, size_t columns, size_t from_stride, uint8_t *to, size_t to_stride)
{
    const size_t whole_rows = rows & ~(size_t)15, whole_columns = columns & ~(size_t)15;
    const size_t lines = is_streamed(to, to_stride, columns * to_stride) ? rows & ~(size_t)(LINE - 1) : 0;
    for (size_t i = 0; i < lines; i += RUN)
        for (size_t j = 0; j < whole_columns; j += 16) {
            const uint8_t *square = from + i * from_stride + j;
            uint8_t *turned = to + j * to_stride + i;
            if (i + RUN <= lines) stream_codes(square, RUN, from_stride, turned, to_stride);
            else stream_codes(square, lines - i, from_stride, turned, to_stride);
        }
    for (size_t j = 0; j < whole_columns; j += 16) /* along the lines that are written */
        for (size_t i = lines; i < whole_rows; i += 16)
            transpose_16x16(from + i * from_stride + j, from_stride, to + j * to_stride + i, to_stride);
    for (size_t j = 0; j < columns; j++)
        for (size_t i = j < whole_columns ? whole_rows : 0; i < rows; i++) to[j * to_stride + i] = from[i * from_stride + j];
    if (lines) end_of_streams();
}

enum {
#if defined(__AVX2__)
    SIDE = 8
#else
    SIDE = 4
#endif
};

static inline void transpose_side(const uint32_t *from, size_t from_stride, uint32_t *to, size_t to_stride)
{
#if defined(__AVX2__)
    __m256 a[8], b[8];
    for (size_t i = 0; i < 4; i++) { /* rows i and i + 4 by halves: what is left is to turn over two 4x4 at once */
        const float *low = (const float *)(const void *)(from + i * from_stride);
        const float *high = (const float *)(const void *)(from + (i + 4) * from_stride);
        a[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(low)), _mm_loadu_ps(high), 1);
        a[i + 4] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(low + 4)), _mm_loadu_ps(high + 4), 1);
    }
    for (size_t i = 0; i < 8; i += 2) b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]), b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
    for (size_t i = 0; i < 8; i += 4)
        for (size_t k = 0; k < 2; k++) {
            __m256d p = _mm256_castps_pd(b[i + k]), q = _mm256_castps_pd(b[i + k + 2]);
            _mm256_storeu_pd((double *)(void *)(to + (i + 2 * k) * to_stride), _mm256_unpacklo_pd(p, q));
            _mm256_storeu_pd((double *)(void *)(to + (i + 2 * k + 1) * to_stride), _mm256_unpackhi_pd(p, q));
        }
#elif defined(__x86_64__)
    __m128i a[4], b[4];
    for (size_t i = 0; i < 4; i++) a[i] = _mm_loadu_si128((const __m128i *)(from + i * from_stride));
    for (size_t i = 0; i < 2; i++) b[2 * i] = _mm_unpacklo_epi32(a[i], a[i + 2]), b[2 * i + 1] = _mm_unpackhi_epi32(a[i], a[i + 2]);
    for (size_t i = 0; i < 2; i++) {
        _mm_storeu_si128((__m128i *)(to + 2 * i * to_stride), _mm_unpacklo_epi32(b[i], b[i + 2]));
        _mm_storeu_si128((__m128i *)(to + (2 * i + 1) * to_stride), _mm_unpackhi_epi32(b[i], b[i + 2]));
    }
#else
    for (size_t i = 0; i < SIDE; i++)
        for (size_t j = 0; j < SIDE; j++) to[j * to_stride + i] = from[i * from_stride + j];
#endif
}

/* SIDE columns of sixteen rows */
static inline void stream_numbers(const uint32_t *from, size_t from_stride, uint32_t *to, size_t to_stride)
{
    _Alignas(LINE) uint32_t lines[SIDE][16];
    for (size_t i = 0; i < 16; i += SIDE) transpose_side(from + i * from_stride, from_stride, lines[0] + i, 16);
    for (size_t j = 0; j < SIDE; j++) stream_line(to + j * to_stride, lines[j]);
}

void CM_NAME(cm_transpose_u32)(const uint32_t *from, size_t rows, size_t columns, size_t from_stride, uint32_t *to, size_t to_stride)
{
    const size_t whole_rows = rows - rows % SIDE, whole_columns = columns - columns % SIDE;
    const size_t lines = is_streamed(to, 4 * to_stride, 4 * columns * to_stride) ? rows & ~(size_t)15 : 0;
    for (size_t i = 0; i < lines; i += 16) /* along the rows that are read: they come from memory */
        for (size_t j = 0; j < whole_columns; j += SIDE)
            stream_numbers(from + i * from_stride + j, from_stride, to + j * to_stride + i, to_stride);
    if (lines) end_of_streams();
    for (size_t i = lines; i < whole_rows; i += SIDE)
        for (size_t j = 0; j < whole_columns; j += SIDE)
            transpose_side(from + i * from_stride + j, from_stride, to + j * to_stride + i, to_stride);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = i < whole_rows ? whole_columns : 0; j < columns; j++) to[j * to_stride + i] = from[i * from_stride + j];
}
