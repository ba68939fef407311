/* Operands of the matrix kernels: exact float32 values with the exponents of their un-normalised significands.
 *
 * The packed order serves the inner loops: rows of A run along depth; B lies in panels of CM_PANEL columns, so that
 * one step of depth is one run of memory. Padding is zeros, which contribute nothing but the exponent floor. */
#include "bits.h"
#include "formats/decode.h"
#include "matmul/common.h"

/* Elements with exponents in +-CM_WINDOW keep every intermediate of the vector kernels a normal float32. */
static inline uint32_t pack_one(float x, int32_t min_exponent, float *value, int32_t *exponent)
{
    uint32_t magnitude = cm_bits32(x) & 0x7fffffffu;
    *value = x;
    if (magnitude == 0) {
        *exponent = CM_ZERO_EXPONENT;
        return CM_IN_WINDOW;
    }
    int32_t e = (int32_t)(magnitude >> 23) - 127;
    if (e < min_exponent) e = min_exponent;
    *exponent = e;
    if (magnitude >= 0x7f800000u) return CM_HAS_NONFINITE;
    return e < -CM_WINDOW || e > CM_WINDOW ? CM_OUT_OF_WINDOW : CM_IN_WINDOW;
}

void CM_NAME(cm_pack_rows)(const float *x, size_t rows, size_t depth, size_t padded, int32_t min_exponent, float *value,
                           int32_t *exponent, uint8_t *flag)
{
    for (size_t i = 0; i < rows; i++, x += depth, value += padded, exponent += padded) {
        uint32_t worst = 0;
        for (size_t k = 0; k < depth; k++) {
            uint32_t one = pack_one(x[k], min_exponent, &value[k], &exponent[k]);
            worst = one > worst ? one : worst;
        }
        for (size_t k = depth; k < padded; k++) value[k] = 0.0f, exponent[k] = CM_ZERO_EXPONENT;
        flag[i] = (uint8_t)worst;
    }
}

void CM_NAME(cm_pack_panels)(const float *x, size_t depth, size_t columns, size_t padded, int32_t min_exponent, float *value,
                             int32_t *exponent, uint8_t *flag)
{
    for (size_t j0 = 0; j0 < columns; j0 += CM_PANEL) {
        uint32_t worst[CM_PANEL] = {0};
        size_t width = columns - j0 < CM_PANEL ? columns - j0 : CM_PANEL;
        for (size_t k = 0; k < padded; k++, value += CM_PANEL, exponent += CM_PANEL) {
            for (size_t j = 0; j < CM_PANEL; j++) {
                float v = k < depth && j < width ? x[k * columns + j0 + j] : 0.0f;
                uint32_t one = pack_one(v, min_exponent, &value[j], &exponent[j]);
                worst[j] = one > worst[j] ? one : worst[j];
            }
        }
        for (size_t j = 0; j < CM_PANEL; j++) flag[j0 + j] = (uint8_t)worst[j];
    }
}

#define PANELS_OF(name, type)                                                                                        \
    static void name(const type *x, ptrdiff_t along, ptrdiff_t across, size_t depth, size_t columns, size_t padded, type *out) \
    {                                                                                                                \
        for (size_t j0 = 0; j0 < columns; j0 += CM_PANEL) {                                                          \
            const size_t width = columns - j0 < CM_PANEL ? columns - j0 : CM_PANEL;                                  \
            for (size_t k = 0; k < padded; k++, out += CM_PANEL) {                                                   \
                const type *from = k < depth ? x + (ptrdiff_t)k * along + (ptrdiff_t)j0 * across : x;                \
                if (k < depth && across == 1 && width == CM_PANEL) {                                                 \
                    memcpy(out, from, CM_PANEL * sizeof(type));                                                      \
                    continue;                                                                                        \
                }                                                                                                    \
                for (size_t j = 0; j < CM_PANEL; j++)                                                                \
                    out[j] = k < depth && j < width ? from[(ptrdiff_t)j * across] : 0;                               \
            }                                                                                                        \
        }                                                                                                            \
    }
PANELS_OF(panels_8, uint8_t)
PANELS_OF(panels_16, uint16_t)
PANELS_OF(panels_32, uint32_t)
PANELS_OF(panels_64, uint64_t)

void CM_NAME(cm_panels)(const void *x, ptrdiff_t along, ptrdiff_t across, size_t size, size_t depth, size_t columns, size_t padded,
                        void *out)
{
    if (size == 1) panels_8(x, along, across, depth, columns, padded, out);
    else if (size == 2) panels_16(x, along, across, depth, columns, padded, out);
    else if (size == 4) panels_32(x, along, across, depth, columns, padded, out);
    else panels_64(x, along, across, depth, columns, padded, out);
}

void CM_NAME(cm_code_rows)(const void *codes, size_t bytes, size_t n, const cm_decode_spec *code, float *out)
{
    if (bytes == 1) CM_NAME(cm_decode_u8_f32)(codes, out, n, code);
    else if (code->bits != 16 || code->mantissa_bits != 7 || code->bias != 127) CM_NAME(cm_decode_u16_f32)(codes, out, n, code);
    else /* the upper halves of binary32: only a NaN's payload differs from what decoding gives */
        for (size_t i = 0; i < n; i++) out[i] = cm_float32((uint32_t)((const uint16_t *)codes)[i] << 16);
}

#define CODES_DEPTH 128 /* of a panel: codes that pass through the first-level cache on their way to numbers */

void CM_NAME(cm_code_panels)(const void *x, ptrdiff_t along, ptrdiff_t across, size_t size, size_t depth, size_t columns, size_t padded,
                             const cm_decode_spec *code, float *out)
{
    uint16_t codes[CODES_DEPTH * CM_PANEL];
    for (size_t k = 0, steps; k < padded; k += steps) { /* by runs of rows, whose cache lines serve several panels */
        steps = padded - k < CODES_DEPTH ? padded - k : CODES_DEPTH;
        const size_t given = k >= depth ? 0 : depth - k < steps ? depth - k : steps;
        for (size_t j0 = 0; j0 < columns; j0 += CM_PANEL) {
            const size_t width = columns - j0 < CM_PANEL ? columns - j0 : CM_PANEL;
            const char *from = (const char *)x + ((given ? (ptrdiff_t)k * along : 0) + (ptrdiff_t)j0 * across) * (ptrdiff_t)size;
            float *to = out + j0 * padded + k * CM_PANEL;
            CM_NAME(cm_panels)(from, along, across, size, given, width, steps, codes);
            CM_NAME(cm_code_rows)(codes, size, steps * CM_PANEL, code, to);
        }
    }
}
