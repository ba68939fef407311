/* Block quantisation: one pass over a few blocks finds their scales, a second, still in cache, writes their codes. */
#include "formats/encode.h"
#include "formats/encode_fast.h"
#include "fpenv.h"
#include "tier.h"

#define GROUP 16 /* blocks whose scales are computed side by side */
#define WIDE_GROUP 64 /* the same where they take divisions, whose latency more of them hide */

/* NaN patterns are larger than infinity as integers, so a NaN anywhere wins the maximum. */
static inline __attribute__((always_inline)) uint32_t amax_bits(const float *x, size_t n)
{
    vi largest = vi_set(0);
    size_t i = 0;
    for (; i + VL <= n; i += VL) largest = vi_max(largest, (vi)vf_load(x + i) & 0x7fffffff);
    uint32_t top = (uint32_t)vi_largest(largest);
    for (; i < n; i++) {
        uint32_t a = cm_bits32(x[i]) & 0x7fffffffu;
        top = a > top ? a : top;
    }
    return top;
}

/* Four accumulators hide the latency of the maximum, the prefetch that of memory. */
static uint32_t CM_NAME(amax_f32)(const float *x, size_t n)
{
    vi top[4] = {{0}, {0}, {0}, {0}};
    size_t i = 0;
    for (; i + 4 * VL <= n; i += 4 * VL) {
        for (size_t k = 0; k < 4 * VL; k += 16) __builtin_prefetch(x + i + k + CM_PREFETCH);
        for (size_t k = 0; k < 4; k++) top[k] = vi_max(top[k], (vi)vf_load(x + i + k * VL) & 0x7fffffff);
    }
    uint32_t most = (uint32_t)vi_largest(vi_max(vi_max(top[0], top[1]), vi_max(top[2], top[3])));
    uint32_t rest = amax_bits(x + i, n - i);
    return rest > most ? rest : most;
}

/* amax of 16 blocks of 16, transposed by halves as it shrinks: a third of the shuffles of 16 reductions */
static inline __attribute__((always_inline)) void amax_16x16(const float *x, uint32_t *amax)
{
#if VL == 16
    __m512i v[16];
    for (int b = 0; b < 16; b++) v[b] = (__m512i)((vi)vf_load(x + 16 * b) & 0x7fffffff);
    for (int b = 0; b < 8; b++)
        v[b] = _mm512_max_epi32(_mm512_unpacklo_epi32(v[2 * b], v[2 * b + 1]), _mm512_unpackhi_epi32(v[2 * b], v[2 * b + 1]));
    for (int b = 0; b < 4; b++)
        v[b] = _mm512_max_epi32(_mm512_unpacklo_epi64(v[2 * b], v[2 * b + 1]), _mm512_unpackhi_epi64(v[2 * b], v[2 * b + 1]));
    for (int width = 2; width; width /= 2)
        for (int b = 0; b < width; b++)
            v[b] = _mm512_max_epi32(_mm512_shuffle_i32x4(v[2 * b], v[2 * b + 1], 0x88),
                                    _mm512_shuffle_i32x4(v[2 * b], v[2 * b + 1], 0xdd));
    _mm512_storeu_si512(amax, v[0]);
#else
    for (int b = 0; b < 16; b++) amax[b] = amax_bits(x + 16 * b, 16);
#endif
}

static inline int has_fast_spec(const cm_encode_spec *element)
{
    return cm_fast_spec_holds(element) && cm_fast_spec_of(element).kind == CM_FAST_PLAIN;
}

/* The product or quotient of x and a scale with the one NaN that every compiler and tier writes: a positive one where
 * the scale is NaN or the operation invalid, else that of x. */
static inline uint32_t with_stable_nan(float x, float scale, float result)
{
    uint32_t of_x = cm_mask32((cm_bits32(x) & 0x7fffffffu) > 0x7f800000u);
    uint32_t of_scale = cm_mask32((cm_bits32(scale) & 0x7fffffffu) > 0x7f800000u);
    uint32_t made = cm_mask32((cm_bits32(result) & 0x7fffffffu) > 0x7f800000u);
    return cm_select32(of_x & ~of_scale, cm_bits32(x), cm_select32(made, 0x7fc00000u, cm_bits32(result)));
}

/* Codes of x * factor; `plain` says that no product is NaN and that the fast rule holds for the element. */
static inline __attribute__((always_inline)) void encode_block(const float *x, float factor, int plain, uint8_t *codes,
                                                               size_t n, const cm_encode_spec *element,
                                                               const cm_fast_spec *fast)
{
    size_t i = 0;
    if (plain)
        for (; i + VL <= n; i += VL)
            vu_store_u8(codes + i, cm_encode_fast((vu)(vf_load(x + i) * factor), fast, CM_FAST_PLAIN, 0));
    for (; i < n; i++) codes[i] = (uint8_t)cm_encode_f32(with_stable_nan(x[i], factor, x[i] * factor), CM_NEAREST_EVEN, element);
}

/* ---- MX: a power of two per block ------------------------------------------------------------------------------- */

static inline uint32_t mx_scale_byte(uint32_t amax, const cm_mx_spec *spec)
{
    uint32_t nan = cm_mask32(amax > 0x7f800000u) | (cm_mask32(amax == 0x7f800000u) & cm_mask32(spec->infinity_is_nan));
    int32_t byte = (int32_t)(amax >> 23) - spec->max_exponent;
    uint32_t fraction = amax & 0x7fffffu;
    if (spec->rule == CM_SCALE_EVEN) { /* a carry out of the fraction raises the exponent */
        uint32_t rounded = amax + (1u << (22 - spec->element_mantissa));
        nan |= cm_mask32(rounded >= 0x7f800000u) & cm_mask32(spec->infinity_is_nan);
        byte = (int32_t)(rounded >> 23) - spec->max_exponent;
    }
    if (spec->rule == CM_SCALE_CEIL) byte += fraction > 0;
    if (spec->rule == CM_SCALE_ROUND_UP) byte += fraction > spec->max_fraction;
    if (spec->rule == CM_SCALE_HEADROOM) byte += amax > 0;
    if (spec->rule == CM_SCALE_THREE_QUARTERS) byte += fraction >= 0x600000;
    byte = byte < 0 ? 0 : byte > 254 ? 254 : byte;
    return cm_select32(nan, 255, (uint32_t)byte);
}

/* 2^(127 - byte) as float32 bits; exact for every byte, subnormal for 254, NaN for 255 */
static inline uint32_t mx_inverse_scale(uint32_t byte)
{
    uint32_t bits = cm_select32(cm_mask32(byte == 254), 0x00400000u, (254 - byte) << 23);
    return cm_select32(cm_mask32(byte == 255), 0x7fc00000u, bits);
}

static CM_NOINLINE void mx_loop(const float *restrict x, uint8_t *restrict codes, uint8_t *restrict scales, size_t blocks,
                                size_t block, const cm_mx_spec *given)
{
    const cm_mx_spec spec = *given;
    const cm_encode_spec element = *given->element;
    const int has_fast = has_fast_spec(&element);
    const cm_fast_spec fast = cm_fast_spec_of(&element);
    while (blocks) {
        size_t count = blocks < GROUP ? blocks : GROUP;
        uint32_t amax[GROUP] = {0}, inverse[GROUP];
        uint8_t bytes[GROUP];
        for (size_t b = 0; b < count; b++) amax[b] = amax_bits(x + b * block, block);
        for (size_t b = 0; b < GROUP; b++) {
            uint32_t byte = mx_scale_byte(amax[b], &spec);
            bytes[b] = (uint8_t)byte;
            inverse[b] = mx_inverse_scale(byte);
        }
        memcpy(scales, bytes, count);
        for (size_t b = 0; b < count; b++) {
            __builtin_prefetch(x + b * block + CM_PREFETCH);
            __builtin_prefetch(x + b * block + CM_PREFETCH + 16);
            encode_block(x + b * block, cm_float32(inverse[b]), has_fast && bytes[b] != 255 && amax[b] <= 0x7f800000u,
                         codes + b * block, block, &element, &fast);
        }
        x += count * block, codes += count * block, scales += count, blocks -= count;
    }
}

static void CM_NAME(mx_f32)(const float *x, uint8_t *codes, uint8_t *scales, size_t blocks, size_t block,
                            const cm_mx_spec *spec)
{
    cm_fpenv saved = cm_fpenv_enter();
    mx_loop(x, codes, scales, blocks, block, spec);
    cm_fpenv_leave(saved);
}

/* ---- NVFP4: an e4m3 scale per block under a tensor scale -------------------------------------------------------- */

/* positive scale codes to float32; the one above the largest is NaN */
static inline vf decode_scales(vu code, const cm_decode_spec *spec)
{
    const uint32_t mantissa = (uint32_t)spec->mantissa_bits;
    vu normal = (code << (23 - mantissa)) + ((uint32_t)(127 - spec->bias) << 23);
    vf unit = vf_set(cm_float32((uint32_t)(128 - spec->bias - spec->mantissa_bits) << 23));
    vu subnormal = (vu)(vf_of_integers((vi)code) * unit);
    vu small = (vu)(code < (1u << mantissa) + (vu){0}), nan = (vu)(code > spec->max_code + (vu){0});
    return (vf)((((subnormal & small) | (normal & ~small)) & ~nan) | (0x7fc00000u & nan));
}

static CM_NOINLINE void nvfp4_loop(const float *restrict x, uint8_t *restrict codes, uint8_t *restrict scales,
                                   size_t blocks, size_t block, const cm_nvfp4_spec *given)
{
    const cm_encode_spec element = *given->element;
    const cm_fast_spec scale_fast = cm_fast_spec_of(given->scale);
    const cm_decode_spec scale_decode = *given->scale_decode;
    const int has_fast = has_fast_spec(&element);
    const cm_fast_spec fast = cm_fast_spec_of(&element);
    const float top = given->element_max, least = given->scale_min, most = given->scale_max;
    const float tensor = given->tensor_scale, inverse_tensor = 1.0f / tensor;
    while (blocks) {
        size_t count = blocks < WIDE_GROUP ? blocks : WIDE_GROUP;
        uint32_t amax[WIDE_GROUP] = {0};
        float factor[WIDE_GROUP];
        uint8_t bytes[WIDE_GROUP];
        if (count == WIDE_GROUP && block == 16)
            for (size_t b = 0; b < count; b += 16) amax_16x16(x + 16 * b, amax + b);
        else
            for (size_t b = 0; b < count; b++) amax[b] = amax_bits(x + b * block, block);
        for (size_t b = 0; b < WIDE_GROUP; b += VL) {
            vu bits;
            memcpy(&bits, amax + b, sizeof bits);
            vf scale = (vf)bits / top / tensor;
            /* what is not at least `least` takes it, the NaN of infinity over infinity too; NaN in the block stays NaN */
            vu low = (vu)~(scale >= least), high = (vu)(scale > most), nan = (vu)((vi)bits > 0x7f800000);
            vu clamped = ((vu)scale & ~low & ~high) | ((vu)vf_set(least) & low) | ((vu)vf_set(most) & high);
            vu code = cm_encode_fast(clamped, &scale_fast, CM_FAST_PLAIN, 0);
            code = (code & ~nan) | (0x7fu & nan);
            vu_store_u8(bytes + b, code);
            vf_store(factor + b, inverse_tensor / decode_scales(code, &scale_decode));
        }
        memcpy(scales, bytes, count);
        for (size_t b = 0; b < count; b++) {
            __builtin_prefetch(x + b * block + CM_PREFETCH);
            int finite = amax[b] < 0x7f800000u && (cm_bits32(factor[b]) & 0x7fffffffu) < 0x7f800000u;
            encode_block(x + b * block, factor[b], has_fast && finite, codes + b * block, block, &element, &fast);
        }
        x += count * block, codes += count * block, scales += count, blocks -= count;
    }
}

static void CM_NAME(nvfp4_f32)(const float *x, uint8_t *codes, uint8_t *scales, size_t blocks, size_t block,
                               const cm_nvfp4_spec *spec)
{
    cm_fpenv saved = cm_fpenv_enter();
    nvfp4_loop(x, codes, scales, blocks, block, spec);
    cm_fpenv_leave(saved);
}

static CM_NOINLINE void scaled_float_loop(const float *restrict x, const float *restrict scales, uint8_t *restrict codes,
                                          size_t rows, size_t n, const cm_encode_spec *given)
{
    const cm_encode_spec element = *given;
    for (size_t r = 0; r < rows; r++, x += n, codes += n) {
        float scale = scales[r];
        for (size_t i = 0; i < n; i++)
            codes[i] = (uint8_t)cm_encode_f32(with_stable_nan(x[i], scale, x[i] / scale), CM_NEAREST_EVEN, &element);
    }
}

static void CM_NAME(scaled_f32_u8)(const float *x, const float *scales, uint8_t *codes, size_t rows, size_t n,
                                   const cm_encode_spec *spec)
{
    cm_fpenv saved = cm_fpenv_enter();
    scaled_float_loop(x, scales, codes, rows, n, spec);
    cm_fpenv_leave(saved);
}

/* Adding and subtracting 1.5 * 2^23 rounds to the nearest integer, ties to even, once |y| is clamped below 2^22. */
static CM_NOINLINE void scaled_integer_loop(const float *restrict x, const float *restrict scales, int8_t *restrict codes,
                                            size_t rows, size_t n, float low, float high)
{
    const float magic = 12582912.0f;
    for (size_t r = 0; r < rows; r++, x += n, codes += n) {
        float scale = scales[r];
        for (size_t i = 0; i < n; i++) {
            float y = x[i] / scale;
            y = y == y ? y : 0.0f;
            y = y < low ? low : y;
            y = y > high ? high : y;
            codes[i] = (int8_t)(int32_t)((y + magic) - magic);
        }
    }
}

static void CM_NAME(scaled_f32_s8)(const float *x, const float *scales, int8_t *codes, size_t rows, size_t n, int32_t low,
                                   int32_t high)
{
    cm_fpenv saved = cm_fpenv_enter();
    scaled_integer_loop(x, scales, codes, rows, n, (float)low, (float)high);
    cm_fpenv_leave(saved);
}

const cm_quantize_kernels CM_NAME(cm_quantize) = {
    .amax_f32 = CM_NAME(amax_f32),
    .mx_f32 = CM_NAME(mx_f32),
    .nvfp4_f32 = CM_NAME(nvfp4_f32),
    .scaled_f32_u8 = CM_NAME(scaled_f32_u8),
    .scaled_f32_s8 = CM_NAME(scaled_f32_s8),
};
