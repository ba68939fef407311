/* Every format and quantisation kernel over every option, at sizes around each tier's vector and chunk lengths. */
#include "support.h"

static const size_t SIZES[] = {0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 97, 1023, 1024, 1025, 2049, 3333};
enum { SIZE_COUNT = sizeof SIZES / sizeof *SIZES, LARGEST = 3333 };

/* one size: exact buffers, so that a store past the end is seen; random words that are given or counted */
static void encode(const cm_format_kernels *f, const float *x, const double *y, size_t n, int width, const cm_encode_spec *spec,
                   const uint32_t *words, uint64_t *h)
{
    const cm_random random = {words, 2026, ((uint64_t)1 << 34) + 1, CM_STOCHASTIC_TRUNCATED};
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

/* One tile shape over a matrix with a row and a column to spare, so that strides and tails are seen. */
static void quantize(const cm_kernels *k, const float *x, size_t rows, size_t columns, size_t tiles, const cm_tile_spec *spec,
                     uint64_t *h)
{
    const size_t width = columns == 1 ? tiles : columns * tiles + (rows > 1 ? columns / 3 : 0), height = rows > 1 ? 2 * rows + rows / 3 : 1;
    const size_t across = (width + columns - 1) / columns, down = (height + rows - 1) / rows;
    const int wide = spec->scale >= CM_TILE_DIVIDE && spec->scale <= CM_TILE_TABLE;
    uint8_t *codes = NEW(uint8_t, height * width);
    void *scales = items(down * across, wide ? 4 : 1);
    int32_t *zeros = spec->scale == CM_TILE_AFFINE ? NEW(int32_t, down * across) : NULL;
    const cm_tiling tiling = {x, codes, scales, zeros, NULL, height, width, width + (rows > 1), width, rows, columns, across, NULL, NULL};
    k->quantize->tiles_f32(&tiling, spec);
    hash(h, codes, height * width);
    hash(h, scales, down * across * (wide ? 4 : 1));
    if (zeros) hash(h, zeros, down * across * sizeof *zeros);
    free(codes);
    free(scales);
    free(zeros);
}

/* flat blocks, blocks down columns, tiles of two dimensions, odd sizes */
static void quantize_shapes(const cm_kernels *k, const float *x, const cm_tile_spec *spec, uint64_t *h)
{
    static const struct {
        size_t rows, columns, tiles;
    } shapes[] = {{1, 16, 201}, {1, 32, 101}, {1, 5, 101}, {1, 128, 21}, {1, 1500, 2}, {32, 1, 37}, {16, 1, 1}, {4, 24, 5}, {128, 7, 1}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        quantize(k, x, shapes[s].rows, shapes[s].columns, shapes[s].tiles, spec, h);
}

static uint64_t powers(const cm_kernels *k, const float *x)
{
    static const struct {
        const char *name;
        int32_t max_exponent;
    } elements[] = {{"e4m3fn", 8}, {"e5m2", 15}, {"e2m3", 2}, {"e3m2", 4}, {"e2m1", 2}};
    static const uint32_t carries[] = {0x800000, 1, 0x780000, 0x600001, 0};
    uint64_t h = HASH_START;
    for (size_t e = 0; e < sizeof elements / sizeof *elements; e++)
        for (size_t c = 0; c < sizeof carries / sizeof *carries; c++)
            for (int rounding = CM_NEAREST_EVEN; rounding <= CM_TOWARD_ZERO; rounding++) {
                const cm_encode_spec element = encode_spec(layout_named(elements[e].name), rounding, 1);
                const cm_tile_spec spec = {.scale = CM_TILE_POWER, .max_exponent = elements[e].max_exponent, .carry_from = carries[c],
                                           .carry_overflows = c == 2, .element = &element};
                quantize_shapes(k, x, &spec, &h);
            }
    return h;
}

static uint64_t numbers(const cm_kernels *k, const float *x)
{
    static const char *const elements[] = {"e4m3fn", "e2m1", "e4m3fnuz"};
    uint64_t h = HASH_START;
    for (int scale = CM_TILE_DIVIDE; scale <= CM_TILE_MULTIPLIER; scale++)
        for (int option = 0; option < 6; option++) {
            const cm_encode_spec element = encode_spec(layout_named(elements[option % 3]), option == 4 ? CM_NEAREST_AWAY : CM_NEAREST_EVEN, 1);
            const cm_tile_spec spec = {.scale = scale, .limit = option % 3 == 1 ? 6 : 240, .smallest = option % 2 ? 0x1p-13f : 0,
                                       .power_of_two = option > 2, .element = &element, .ties_to_zero = option == 4,
                                       .zeros = option == 4 ? CM_ZERO_CODES_POSITIVE : CM_ZEROS_KEPT};
            quantize_shapes(k, x, &spec, &h);
        }
    return h;
}

static uint64_t integers(const cm_kernels *k, const float *x)
{
    static const float midpoints[] = {-0.75f, -0.25f, 0.125f, 0.5f};
    uint64_t h = HASH_START;
    for (int scale = CM_TILE_SYMMETRIC; scale <= CM_TILE_AFFINE; scale++)
        for (int option = 0; option < 3; option++) {
            const cm_tile_spec spec = {.scale = scale, .element_kind = CM_ELEMENT_INTEGER, .unit = 1, .low = option == 2 ? 0 : option ? -8 : -128,
                                       .high = option == 2 ? 15 : option ? 7 : 127, .zero_point = option == 2 ? 8 : 0};
            if (scale != CM_TILE_NO_CLIPPING || option < 2) quantize_shapes(k, x, &spec, &h);
        }
    const cm_tile_spec mxint8 = {.scale = CM_TILE_POWER, .carry_from = 0x800000, .element_kind = CM_ELEMENT_INTEGER, .unit = 64,
                                 .low = -127, .high = 127};
    quantize_shapes(k, x, &mxint8, &h);
    const cm_tile_spec table = {.scale = CM_TILE_TABLE, .element_kind = CM_ELEMENT_TABLE, .midpoints = midpoints, .midpoint_count = 4,
                                .nan_code = 2};
    quantize_shapes(k, x, &table, &h);
    return h;
}

/* a tensor scale or one of a row, over which the elements are divided */
static uint64_t divided_integers(const cm_kernels *k, const float *x)
{
    uint64_t h = HASH_START;
    for (int bits = 4; bits <= 8; bits += 4)
        for (int power = 0; power < 2; power++) {
            const int high = (1 << (bits - 1)) - 1;
            const cm_tile_spec spec = {.scale = CM_TILE_DIVIDE, .limit = (float)high, .power_of_two = power, .low = -high, .high = high,
                                       .element_kind = CM_ELEMENT_INTEGER, .unit = 1};
            quantize_shapes(k, x, &spec, &h);
            quantize(k, x, 1, 4096, 1, &spec, &h);
            quantize(k, x + 1024, 1, 3000, 1, &spec, &h);
        }
    return h;
}

static uint64_t fp4(const cm_kernels *k, const float *x)
{
    static const float tensors[] = {1, 0x1.234p-9f, 0x1.fep7f, 0x1p-140f};
    const cm_encode_spec element = encode_spec(layout_named("e2m1"), CM_NEAREST_EVEN, 1);
    const cm_encode_spec scale = encode_spec(layout_named("e4m3fn"), CM_NEAREST_EVEN, 1);
    const cm_decode_spec back = decode_spec(layout_named("e4m3fn"));
    uint64_t h = HASH_START;
    for (int rule = CM_TILE_FP4_TORCHAO; rule <= CM_TILE_FP4_COMPRESSED; rule++)
        for (size_t t = 0; t < sizeof tensors / sizeof *tensors; t++) {
            const cm_tile_spec spec = {.scale = rule, .limit = 6, .tensor = tensors[t], .scale_min = 0x1p-6f, .scale_max = 448,
                                       .zero_scale = 0x20, .scale_encode = &scale, .scale_decode = &back, .element = &element,
                                       .zeros = rule == CM_TILE_FP4_TE ? CM_ZERO_NUMBERS_POSITIVE : CM_ZEROS_KEPT};
            quantize_shapes(k, x, &spec, &h);
        }
    return h;
}

/* tiles of one row and of sixteen, whole and cut off, under both errors and second levels from small to none that is finite */
static uint64_t adaptive(const cm_kernels *k, const float *x)
{
    static const float amaxes[] = {0x1.8p7f, 0x1p-130f, 0x1p120f};
    const cm_encode_spec element = encode_spec(layout_named("e2m1"), CM_NEAREST_EVEN, 1);
    const cm_encode_spec scale = encode_spec(layout_named("e4m3fn"), CM_NEAREST_EVEN, 1);
    const cm_decode_spec back = decode_spec(layout_named("e4m3fn"));
    uint64_t h = HASH_START;
    for (int error = CM_ADAPTIVE_ABSOLUTE; error <= CM_ADAPTIVE_SQUARED; error++)
        for (size_t t = 0; t < sizeof amaxes / sizeof *amaxes; t++) {
            const cm_tile_spec spec = {.scale = CM_TILE_FP4_TE, .limit = 6, .tensor = 2688 / amaxes[t], .scale_max = 448, .adaptive = error,
                                       .tensor_amax = amaxes[t], .top = 2688, .scale_encode = &scale, .scale_decode = &back,
                                       .element = &element, .zeros = CM_ZERO_NUMBERS_POSITIVE};
            quantize(k, x, 1, 16, 201, &spec, &h);
            quantize(k, x, 16, 16, 5, &spec, &h);
        }
    return h;
}

static uint64_t hadamard(const cm_kernels *k, const float *x)
{
    float y[4096];
    uint64_t h = HASH_START;
    for (int inverse = 0; inverse < 2; inverse++) {
        k->quantize->hadamard_f32(x, y, 256, 0xa5c3, inverse);
        hash(&h, y, sizeof y);
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
    *out++ = (result){"tiles powers", powers(k, blocks)};
    *out++ = (result){"tiles numbers", numbers(k, blocks)};
    *out++ = (result){"tiles integers", integers(k, blocks)};
    *out++ = (result){"tiles divided integers", divided_integers(k, blocks)};
    *out++ = (result){"tiles fp4", fp4(k, blocks)};
    *out++ = (result){"tiles 4 over 6", adaptive(k, blocks)};
    *out++ = (result){"hadamard", hadamard(k, blocks)};
    free(x);
    free(y);
    free(words);
    free(blocks);
    return (size_t)(out - start);
}
