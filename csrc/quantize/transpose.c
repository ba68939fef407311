/* Codes turned over, for the copy of a tensor that is quantised along its other axis. */
#include "quantize/entries.h"
#include "tier.h"

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

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

void CM_NAME(cm_transpose_u8)(const uint8_t *from, size_t rows, size_t columns, size_t from_stride, uint8_t *to, size_t to_stride)
{
    const size_t whole_rows = rows & ~(size_t)15, whole_columns = columns & ~(size_t)15;
    for (size_t j = 0; j < whole_columns; j += 16) /* along the lines that are written */
        for (size_t i = 0; i < whole_rows; i += 16)
            transpose_16x16(from + i * from_stride + j, from_stride, to + j * to_stride + i, to_stride);
    for (size_t j = 0; j < columns; j++)
        for (size_t i = j < whole_columns ? whole_rows : 0; i < rows; i++) to[j * to_stride + i] = from[i * from_stride + j];
}
