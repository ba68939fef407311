/* Binary matrix instructions: the bits that differ, or the bits set in both, counted into a 32-bit accumulator. */
#include "matmul/common.h"

#include <string.h>

static inline uint64_t word_at(const uint8_t *bytes, size_t at)
{
    uint64_t w;
    memcpy(&w, bytes + 8 * at, sizeof w);
    return w;
}

void CM_NAME(cm_binary)(const cm_binary_args *args, size_t row_begin, size_t row_end)
{
    const size_t words = args->words, columns = args->columns;
    const uint64_t both = args->both ? ~0ull : 0;
    for (size_t j = 0; j < columns; j++)
        for (size_t i = row_begin; i < row_end; i++) {
            const uint8_t *a = args->a + 8 * words * i, *b = args->b + 8 * words * j;
            uint32_t count = args->c ? (uint32_t)args->c[i * columns + j] : 0;
            for (size_t w = 0; w < words; w++) {
                uint64_t x = word_at(a, w), y = word_at(b, w);
                count += (uint32_t)__builtin_popcountll(((x & y) & both) | ((x ^ y) & ~both));
            }
            args->d[i * columns + j] = (int32_t)count;
        }
}
