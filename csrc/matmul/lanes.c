/* Packing for the kernels of AMD's models.
 *
 * B lies in panels of CM_LANES columns. Exponents are those of the un-normalised significands, biased so that the sum of
 * two is not negative while a product with a zero is: the largest exponent is then a signed maximum and the smallest an
 * unsigned minimum, both blind to zeros. Within each group of two vectors the exponents of column l of the left and of
 * the right vector are neighbours: one 32-bit lane holds both. */
#include "matmul/lanes.h"

#define ZERO (-16384)

/* where column j of a panel keeps its exponent */
static inline size_t place_of(size_t j)
{
    size_t group = j / GROUP * GROUP, inside = j % GROUP;
    return group + 2 * (inside % VL) + inside / VL;
}

static inline int16_t exponent_of(float x, int32_t min_exponent, int32_t *low, int32_t *high)
{
    uint32_t magnitude = cm_bits32(x) & 0x7fffffffu;
    int32_t e = (int32_t)(magnitude >> 23) - 127;
    e = e < min_exponent ? min_exponent : e;
    int32_t top = magnitude >= 0x7f800000u ? CM_EXPONENT_NONE : e;
    if (magnitude == 0) return ZERO;
    *low = e < *low ? e : *low;
    *high = top > *high ? top : *high;
    return (int16_t)(e + CM_EXPONENT_BIAS);
}

/* flushed operands: subnormal numbers of the format, and zeros of both signs, become +0 */
static inline float taken(float x, int32_t min_exponent, int32_t flush)
{
    uint32_t magnitude = cm_bits32(x) & 0x7fffffffu;
    return flush && (int32_t)(magnitude >> 23) - 127 < min_exponent ? 0.0f : x;
}

void CM_NAME(cm_lane_rows)(const float *x, size_t rows, size_t depth, size_t padded, int32_t min_exponent, int32_t flush,
                           float *value, int32_t *exponent, int16_t *range)
{
    for (size_t i = 0; i < rows; i++, x += depth, value += padded, exponent += padded, range += 2) {
        int32_t low = CM_EXPONENT_NONE, high = CM_EXPONENT_EMPTY;
        for (size_t k = 0; k < padded; k++) {
            value[k] = k < depth ? taken(x[k], min_exponent, flush) : 0.0f;
            uint32_t e = (uint16_t)exponent_of(value[k], min_exponent, &low, &high);
            exponent[k] = (int32_t)(e << 16 | e);
        }
        range[0] = (int16_t)low, range[1] = (int16_t)high;
    }
}

void CM_NAME(cm_lane_panels)(const float *x, size_t depth, size_t columns, size_t padded, int32_t min_exponent, int32_t flush,
                             float *value, int16_t *exponent, int16_t *range)
{
    for (size_t j0 = 0; j0 < columns; j0 += CM_LANES, range += 2 * CM_LANES) {
        int32_t low[CM_LANES], high[CM_LANES];
        size_t width = columns - j0 < CM_LANES ? columns - j0 : CM_LANES;
        for (size_t j = 0; j < CM_LANES; j++) low[j] = CM_EXPONENT_NONE, high[j] = CM_EXPONENT_EMPTY;
        for (size_t k = 0; k < padded; k++, value += CM_LANES, exponent += CM_LANES)
            for (size_t j = 0; j < CM_LANES; j++) {
                value[j] = k < depth && j < width ? taken(x[k * columns + j0 + j], min_exponent, flush) : 0.0f;
                exponent[place_of(j)] = exponent_of(value[j], min_exponent, &low[j], &high[j]);
            }
        for (size_t j = 0; j < CM_LANES; j++) range[2 * j] = (int16_t)low[j], range[2 * j + 1] = (int16_t)high[j];
    }
}
