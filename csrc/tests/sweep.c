/* Every format and quantisation kernel over every option, at sizes around each tier's vector and chunk lengths. */
#include "support.h"

static const size_t SIZES[] = {0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 97, 1023, 1024, 1025, 2049, 3333};
enum { SIZE_COUNT = sizeof SIZES / sizeof *SIZES, LARGEST = 3333 };

/* one size: exact buffers, so that a store past the end is seen; random words that are given or counted */
static void encode(const cm_format_kernels *f, const float *x, const double *y, size_t n, int width, const cm_encode_spec *spec,
                   const uint32_t *words, uint64_t *h)
{
    const cm_random random = {words, 2026, ((uint64_t)1 << 34) + 1};
    float *single = NEW(float, n);
    double *wide = NEW(double, n);
    void *codes = items(n, (size_t)width);
    if (x) {
        memcpy(single, x, n * sizeof *x);
        if (width == 1) f->encode_f32_u8(single, codes, n, spec, &random);
        else if (width == 2) f->encode_f32_u16(single, codes, n, spec, &random);
        else f->encode_f32_u32(single, codes, n, spec, &random);
    } else if (y) {
        memcpy(wide, y, n * sizeof *y);
        if (width == 1) f->encode_f64_u8(wide, codes, n, spec, &random);
        else if (width == 2) f->encode_f64_u16(wide, codes, n, spec, &random);
        else f->encode_f64_u32(wide, codes, n, spec, &random);
    }
    hash(h, codes, n * (size_t)width);
    free(single);
    free(wide);
    free(codes);
}

/* the numbers are x, or y where x is NULL */
static uint64_t encode_all(const cm_kernels *k, const float *x, const double *y, const uint32_t *words)
{
    uint64_t h = HASH_START;
    for (size_t i = 0; i < LAYOUT_COUNT; i++) {
        const int width = LAYOUTS[i].shift ? 4 : layout_bits(&LAYOUTS[i]) > 8 ? 2 : 1;
        for (int rounding = CM_NEAREST_EVEN; rounding <= CM_STOCHASTIC; rounding++)
            for (int saturate = 0; saturate < 2; saturate++)
                for (size_t s = 0; s < SIZE_COUNT; s++) {
                    cm_encode_spec spec = encode_spec(&LAYOUTS[i], rounding, saturate);
                    spec.random_bits = 1 + (int32_t)(s * 7 % 32);
                    encode(k->formats, x, y, SIZES[s], width, &spec, s % 2 ? words : NULL, &h);
                }
    }
    return h;
}

static uint64_t encode_powers(const cm_kernels *k, const float *x, const double *y)
{
    uint64_t h = HASH_START;
    uint8_t *codes = NEW(uint8_t, LARGEST);
    for (int rule = CM_E8M0_NEAREST_UP; rule <= CM_E8M0_CEIL; rule++)
        for (int torch = 0; torch < 2; torch++) {
            cm_e8m0_spec spec = {rule, torch, torch ? 0 : 255, 255, torch ? 254 : 255, 255, 255};
            k->formats->encode_f32_e8m0(x, codes, LARGEST, &spec);
            hash(&h, codes, LARGEST);
            k->formats->encode_f64_e8m0(y, codes, LARGEST, &spec);
            hash(&h, codes, LARGEST);
        }
    free(codes);
    return h;
}

static uint64_t decode_all(const cm_kernels *k, int wide)
{
    uint64_t h = HASH_START;
    const size_t count = wide ? 65536 : 256;
    for (size_t i = 0; i < LAYOUT_COUNT; i++) {
        const layout *f = &LAYOUTS[i];
        if (f->shift || (layout_bits(f) > 8) != wide) continue;
        const cm_decode_spec spec = decode_spec(f);
        for (size_t s = 0; s <= SIZE_COUNT; s++) {
            size_t n = s < SIZE_COUNT ? SIZES[s] : count;
            float *x = NEW(float, n);
            uint16_t *codes = NEW(uint16_t, n);
            uint8_t *narrow = NEW(uint8_t, n);
            for (size_t c = 0; c < n; c++) codes[c] = (uint16_t)(c * 31), narrow[c] = (uint8_t)(c * 31);
            if (wide) k->formats->decode_u16_f32(codes, x, n, &spec);
            else k->formats->decode_u8_f32(narrow, x, n, &spec);
            hash(&h, x, n * sizeof *x);
            free(x);
            free(codes);
            free(narrow);
        }
    }
    return h;
}

static uint64_t philox(const cm_kernels *k)
{
    uint64_t h = HASH_START;
    uint32_t words[97];
    for (uint64_t offset = 0; offset < 6; offset++) {
        k->formats->philox(words, 97, 0x0123456789abcdefull, ((uint64_t)1 << 34) - 2 + offset);
        hash(&h, words, sizeof words);
    }
    return h;
}

/* ---- block quantisation ---------------------------------------------------------------------------------------- */

static uint64_t amax(const cm_kernels *k, const float *x)
{
    uint64_t h = HASH_START;
    for (size_t s = 0; s < SIZE_COUNT; s++)
        for (size_t at = 0; at < 6; at++) { /* from different starts, so that a NaN or an infinity leads or is missing */
            size_t n = SIZES[s] < 40 ? SIZES[s] : SIZES[s] - at;
            uint32_t largest = k->quantize->amax_f32(x + at, n);
            hash(&h, &largest, sizeof largest);
        }
    return h;
}

static uint64_t mx(const cm_kernels *k, const float *x)
{
    static const struct {
        const char *name;
        int32_t max_exponent;
        uint32_t max_fraction;
    } elements[] = {{"e4m3fn", 8, 0x600000}, {"e5m2", 15, 0x600000}, {"e2m3", 2, 0x700000}, {"e3m2", 4, 0x600000},
                    {"e2m1", 2, 0x400000}};
    static const size_t blocks_of[] = {32, 16, 5};
    uint64_t h = HASH_START;
    for (size_t e = 0; e < sizeof elements / sizeof *elements; e++)
        for (int rule = CM_SCALE_FLOOR; rule <= CM_SCALE_ROUND_UP; rule++)
            for (int infinity_is_nan = 0; infinity_is_nan < 2; infinity_is_nan++)
                for (size_t b = 0; b < 3; b++) {
                    const size_t block = blocks_of[b], blocks = 101, n = block * blocks;
                    const layout *f = layout_named(elements[e].name);
                    const cm_encode_spec element = encode_spec(f, CM_NEAREST_EVEN, 1);
                    const cm_mx_spec spec = {rule, elements[e].max_exponent, elements[e].max_fraction, f->mantissa_bits,
                                             infinity_is_nan, &element};
                    uint8_t *codes = NEW(uint8_t, n), *scales = NEW(uint8_t, blocks);
                    k->quantize->mx_f32(x, codes, scales, blocks, block, &spec);
                    hash(&h, codes, n);
                    hash(&h, scales, blocks);
                    free(codes);
                    free(scales);
                }
    return h;
}

static uint64_t nvfp4(const cm_kernels *k, const float *x)
{
    static const float tensor_scales[] = {1, 0x1.234p-9f, 0x1.fep7f, 0x1p-140f};
    enum { BLOCK = 16, BLOCKS = 201 };
    const cm_encode_spec element = encode_spec(layout_named("e2m1"), CM_NEAREST_EVEN, 1);
    const cm_encode_spec scale = encode_spec(layout_named("e4m3fn"), CM_NEAREST_EVEN, 0);
    const cm_decode_spec back = decode_spec(layout_named("e4m3fn"));
    uint64_t h = HASH_START;
    for (size_t t = 0; t < sizeof tensor_scales / sizeof *tensor_scales; t++) {
        const cm_nvfp4_spec spec = {tensor_scales[t], 0x1p-6f, 448, 6, &scale, &back, &element};
        uint8_t *codes = NEW(uint8_t, BLOCK * BLOCKS), *scales = NEW(uint8_t, BLOCKS);
        k->quantize->nvfp4_f32(x, codes, scales, BLOCKS, BLOCK, &spec);
        hash(&h, codes, BLOCK * BLOCKS);
        hash(&h, scales, BLOCKS);
        free(codes);
        free(scales);
    }
    return h;
}

static uint64_t scaled(const cm_kernels *k, const float *x, int integers)
{
    const float infinity = cm_float32(0x7f800000u), nan = cm_float32(0x7fc00000u);
    const float by[] = {1, 0x1.8p-3f, 0x1.000002p2f, 0x1p-149f, 3.0e38f, 0x1p-126f, 7, infinity, nan};
    enum { ROWS = sizeof by / sizeof *by };
    uint64_t h = HASH_START;
    for (size_t s = 1; s < SIZE_COUNT; s++) {
        const size_t n = SIZES[s] / ROWS + 1;
        uint8_t *codes = NEW(uint8_t, ROWS * n);
        for (int option = 0; option < 3; option++) {
            cm_encode_spec spec = encode_spec(&LAYOUTS[option], CM_NEAREST_EVEN, 1);
            if (integers) k->quantize->scaled_f32_s8(x, by, (int8_t *)codes, ROWS, n, option ? -127 : -128, option == 2 ? 7 : 127);
            else k->quantize->scaled_f32_u8(x, by, codes, ROWS, n, &spec);
            hash(&h, codes, ROWS * n);
        }
        free(codes);
    }
    return h;
}

size_t sweep_formats(const cm_kernels *k, result *out)
{
    float *x = NEW(float, LARGEST + 6);
    double *y = NEW(double, LARGEST);
    uint32_t *words = NEW(uint32_t, LARGEST);
    uint64_t state = 3;
    fill_f32(x, LARGEST + 6, 1);
    fill_f64(y, LARGEST, 2);
    for (size_t i = 0; i < LARGEST; i++) words[i] = (uint32_t)next_random(&state);
    result *start = out;
    *out++ = (result){"encode_f32", encode_all(k, x, NULL, words)};
    *out++ = (result){"encode_f64", encode_all(k, NULL, y, words)};
    *out++ = (result){"encode_e8m0", encode_powers(k, x, y)};
    *out++ = (result){"decode_u8_f32", decode_all(k, 0)};
    *out++ = (result){"decode_u16_f32", decode_all(k, 1)};
    *out++ = (result){"philox", philox(k)};
    float *blocks = NEW(float, 4096);
    fill_f32(blocks, 4096, 4);
    fill_between(blocks + 1024, 3072, -20, 8, 5); /* most blocks finite, or every scale would be NaN */
    *out++ = (result){"amax_f32", amax(k, x)};
    *out++ = (result){"mx_f32", mx(k, blocks)};
    *out++ = (result){"nvfp4_f32", nvfp4(k, blocks)};
    *out++ = (result){"scaled_f32_u8", scaled(k, x, 0)};
    *out++ = (result){"scaled_f32_s8", scaled(k, x, 1)};
    free(x);
    free(y);
    free(words);
    free(blocks);
    return (size_t)(out - start);
}
