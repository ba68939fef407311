/* Answers that are known without running anything: the standards' limits, Random123's vectors, and cases that tell
 * the generations of matrix units apart (MMA-Sim 2.1.1; Khattak and Mikaitis, arXiv:2512.07004). */
#include "matrix.h"

/* ---- matrix units ---------------------------------------------------------------------------------------------- */

#define F16_F32(fused, bits, floor) {"f16", "f16", fused, bits, floor, CM_RZ_F32, -126, 0, 0, 0}
static const fused_unit VOLTA = F16_F32(4, 23, -131), AMPERE = F16_F32(8, 24, -132), HOPPER = F16_F32(16, 25, -133);
static const fused_unit AMPERE_F16 = {"f16", "f16", 8, 24, -20, CM_RNE_F16, -14, 0, 0, 0};
static const fused_unit AMPERE_BF16 = {"bf16", "bf16", 8, 24, -132, CM_RZ_F32, -126, 0, 0, 0};
static const fused_unit HOPPER_BF16 = {"bf16", "bf16", 16, 25, -133, CM_RZ_F32, -126, 0, 0, 0};
static const fused_unit HOPPER_TF32 = {"tf32", "tf32", 8, 25, -133, CM_RZ_F32, -126, 0, 0, 0};
static const fused_unit ADA_FP8 = {"e4m3fn", "e4m3fn", 16, 13, -132, CM_RZ_E8M13, -126, 0, 0, 0};
static const fused_unit HOPPER_FP8 = {"e4m3fn", "e4m3fn", 32, 13, -133, CM_RZ_E8M13, -126, 0, 0, 0};
static const fused_unit MXFP8 = {"e4m3fn", "e4m3fn", 32, 25, -133, CM_RZ_F32, -126, 0, 32, 0};
static const fused_unit MXFP4 = {"e2m1", "e2m1", 64, 35, -139, CM_RZ_F32, -126, 16, 32, 0};
static const fused_unit NVFP4 = {"e2m1", "e2m1", 64, 35, -139, CM_RZ_F32, -126, 16, 16, 3};

enum { ROWS = 5, COLUMNS = 17, SCALES = 4 }; /* every output is the same dot product: all lanes, and the tails */

/* one dot product of `depth` <= 64 elements, with scale codes (one per block) or NULL, at every place of the output */
static void expect_dot(const cm_kernels *k, const char *what, const fused_unit *u, size_t depth, const float *x,
                       const float *y, const uint8_t *scale_x, const uint8_t *scale_y, uint32_t c, uint32_t expected)
{
    float *a = NEW(float, ROWS * depth), *b = NEW(float, depth * COLUMNS);
    float *d = NEW(float, ROWS * COLUMNS), *addend = NEW(float, ROWS * COLUMNS);
    uint8_t *sa = NEW(uint8_t, ROWS * SCALES), *sb = NEW(uint8_t, COLUMNS * SCALES);
    size_t scales = u->scale_block ? (depth + (size_t)u->scale_block - 1) / (size_t)u->scale_block : 0;
    for (size_t i = 0; i < ROWS; i++) {
        memcpy(a + i * depth, x, depth * sizeof *x);
        for (size_t n = 0; n < scales; n++) sa[i * scales + n] = scale_x[n];
    }
    for (size_t j = 0; j < COLUMNS; j++) {
        for (size_t i = 0; i < depth; i++) b[i * COLUMNS + j] = y[i];
        for (size_t n = 0; n < scales; n++) sb[j * scales + n] = scale_y[n];
    }
    for (size_t i = 0; i < ROWS * COLUMNS; i++) addend[i] = cm_float32(c);
    fused_product(k, u, ROWS, COLUMNS, depth, a, b, sa, sb, addend, d);
    for (size_t i = 0; i < ROWS * COLUMNS; i++)
        EXPECT(cm_bits32(d[i]) == expected, "%s, output %zu: 0x%08x, expected 0x%08x", what, i, cm_bits32(d[i]), expected);
    void *all[] = {a, b, d, addend, sa, sb};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}
#define DOT(k, what, u, n, x, y, c, expected) expect_dot(k, what, u, n, x, y, NULL, NULL, c, expected)

static void fused_answers(const cm_kernels *k)
{
    const float cut[] = {-4096, -0.5f, -0.25f, -0.125f}, by[] = {2048, 1, 1, 1};
    DOT(k, "2^23 - 2^23 - .875, Volta", &VOLTA, 4, cut, by, 0x4b000000, 0x00000000);
    DOT(k, "2^23 - 2^23 - .875, Ampere", &AMPERE, 4, cut, by, 0x4b000000, 0xbf000000);
    DOT(k, "2^23 - 2^23 - .875, Hopper", &HOPPER, 4, cut, by, 0x4b000000, 0xbf400000);

    const float carry[] = {1.5f, 0x1p-12f, 0x1p-12f}, one[] = {1.0f, 0x1p-12f, 0x1p-12f};
    const float with_carry[] = {1.5f, 0x1p-11f, 0x1p-11f}, without[] = {2.25f, 0x1p-11f, 0x1p-11f};
    DOT(k, "1.5 * 1.5 + 2 * 2^-23, un-normalised product", &VOLTA, 3, carry, with_carry, 0, 0x40100001);
    DOT(k, "1 * 2.25 + 2 * 2^-23", &VOLTA, 3, one, without, 0, 0x40100000);

    const float nothing[] = {0}, unit[] = {1};
    DOT(k, "13-bit accumulator, Ada", &ADA_FP8, 1, nothing, unit, 0x3f8003ff, 0x3f800000);
    DOT(k, "13-bit accumulator, Hopper", &HOPPER_FP8, 1, nothing, unit, 0x3f8003ff, 0x3f800000);
    DOT(k, "13-bit accumulator, subnormal", &HOPPER_FP8, 1, nothing, unit, 0x000007ff, 0x00000400);

    const float top[] = {0x1p64f}, over[] = {0x1p40f}, under[] = {0x1p39f};
    DOT(k, "bf16, past the largest float32", &AMPERE_BF16, 1, top, over, 0x7f7fffff, 0x7f800000);
    DOT(k, "bf16, below the next float32", &AMPERE_BF16, 1, top, under, 0x7f7fffff, 0x7f7fffff);

    const float tiny[] = {0x1p-11f}, sixteen[] = {16}, nearly[] = {0x1.ffcp3f};
    DOT(k, "f16 tie to even, down", &AMPERE_F16, 1, tiny, unit, 0x3f800000, 0x3f800000);
    DOT(k, "f16 tie to even, up", &AMPERE_F16, 1, tiny, unit, 0x3f802000, 0x3f804000);
    DOT(k, "f16 overflow", &AMPERE_F16, 1, sixteen, unit, 0x477fe000, 0x7f800000);
    DOT(k, "f16, just short of overflow", &AMPERE_F16, 1, nearly, unit, 0x477fe000, 0x477fe000);

    float small[16], smaller[16];
    for (int i = 0; i < 16; i++) small[i] = i < 8 ? 0x1p-76f : 0, smaller[i] = 0x1p-80f;
    DOT(k, "eight products of 2^-152", &HOPPER_BF16, 16, small, small, 0, 0x00000001);
    DOT(k, "sixteen products of 2^-160", &HOPPER_BF16, 16, smaller, smaller, 0, 0x00000000);

    const float infinite[] = {cm_float32(0x7f800000)}, minus[] = {-1}, nan[] = {cm_float32(0xffc00001)};
    DOT(k, "infinity", &HOPPER_TF32, 1, infinite, unit, 0, 0x7f800000);
    DOT(k, "infinity - infinity", &HOPPER_TF32, 1, infinite, minus, 0x7f800000, CM_NAN32);
    DOT(k, "infinity * 0", &HOPPER_TF32, 1, infinite, nothing, 0, CM_NAN32);
    DOT(k, "NaN", &HOPPER_TF32, 1, nan, unit, 0, CM_NAN32);
    DOT(k, "-0 alone is +0", &HOPPER, 1, nothing, minus, 0x80000000, 0x00000000);
}

static void scaled_answers(const cm_kernels *k)
{
    float one[64] = {1}, half[64] = {1.5f}, cancel[64] = {1, 1}, by[64] = {1, -1}, none[64] = {0};
    uint8_t e4m3_one[] = {0x38, 0x38, 0x38, 0x38}, minus[] = {0xb8, 0x38, 0x38, 0x38}, nan[] = {0x7f, 0x38, 0x38, 0x38};
    expect_dot(k, "NVFP4 1 * 1", &NVFP4, 64, one, one, e4m3_one, e4m3_one, 0, 0x3f800000);
    expect_dot(k, "NVFP4, the sign of a scale is ignored", &NVFP4, 64, one, one, minus, e4m3_one, 0, 0x3f800000);
    expect_dot(k, "NVFP4, a NaN scale on zeros", &NVFP4, 64, none, none, nan, e4m3_one, 0, CM_NAN32);
    uint8_t least[] = {0x00, 0x7f}, ones[] = {0x7f, 0x7f}, huge[] = {127 + 40, 0x7f};
    expect_dot(k, "MXFP8 1.5 * 1.5 * 2^-127", &MXFP8, 32, half, half, least, ones, 0, 0x00900000);
    expect_dot(k, "MXFP4, an empty group does not align", &MXFP4, 64, none, none, huge, ones, 0x3f800000, 0x3f800000);
    expect_dot(k, "MXFP4, a cancelled group aligns", &MXFP4, 64, cancel, by, huge, ones, 0x3f800000, 0x00000000);
}

/* (1 + 2^-12)^2 - (1 + 2^-11): 2^-24 with one rounding, 0 with two. A contracted or split multiply-add shows here. */
static void chain_answers(const cm_kernels *k)
{
    const float a[] = {-1, 1 + 0x1p-12f}, b[] = {1 + 0x1p-11f, 1 + 0x1p-12f};
    static const struct {
        const char *what;
        size_t tile;
        int order;
        float expected;
    } cases[] = {
        {"fused multiply-add", 0, CM_ORDER_SEQUENTIAL, 0x1p-24f},
        {"rounded products", 2, CM_ORDER_PAIRWISE, 0},
        {"binary64", 2, CM_ORDER_F64, 0x1p-24f},
    };
    float *panels = panels_of(b, 2, 1, sizeof *b);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float d = 1;
        cm_chain_args args = {1, 1, 2, cases[i].tile, cases[i].order, a, panels, NULL, &d, CM_CHAIN_NEAREST, NULL, 0, NULL};
        k->matmul->chain_f32(&args, 0, 1);
        EXPECT(cm_bits32(d) == cm_bits32(cases[i].expected), "chain, %s: %a", cases[i].what, (double)d);
    }
    free(panels);
}

static void integer_answers(const cm_kernels *k)
{
    const int8_t a[] = {127, 127}, b[] = {127, 127};
    const int32_t c = INT32_MAX - 20000;
    int32_t d = 0;
    void *workspace = items(k->matmul->integer_workspace(), 1);
    cm_integer_args args = {.rows = 1, .columns = 1, .depth = 2, .a = a, .b = b, .a_line = 2, .a_along = 1, .b_line = 1,
                            .b_along = 1, .a_signed = 1, .b_signed = 1, .c = &c, .d = &d, .clamp = 0};
    k->matmul->integer(&args, 0, 1, workspace);
    EXPECT(d == INT32_MIN + (2 * 127 * 127 - 20001), "integer, wrapping: %d", d);
    args.clamp = 32;
    k->matmul->integer(&args, 0, 1, workspace);
    EXPECT(d == INT32_MAX, "integer, clamped: %d", d);
    free(workspace);
}

/* ---- formats --------------------------------------------------------------------------------------------------- */

/* every code that is a number decodes to something that encodes to it again, and a NaN stays one */
static void round_trips(const cm_kernels *k)
{
    for (size_t i = 0; i < LAYOUT_COUNT; i++) {
        const layout *f = &LAYOUTS[i];
        if (f->shift) continue; /* tf32 is its own float32 pattern */
        const size_t n = (size_t)1 << layout_bits(f);
        const cm_encode_spec to = encode_spec(f, CM_NEAREST_EVEN, 0);
        const cm_decode_spec from = decode_spec(f);
        float *x = NEW(float, n);
        uint16_t *codes = NEW(uint16_t, n), *again = NEW(uint16_t, n);
        uint8_t *narrow = NEW(uint8_t, n);
        for (size_t c = 0; c < n; c++) codes[c] = (uint16_t)c, narrow[c] = (uint8_t)c;
        if (n > 256) {
            k->formats->decode_u16_f32(codes, x, n, &from);
            k->formats->encode_f32_u16(x, again, n, &to, NULL);
        } else {
            k->formats->decode_u8_f32(narrow, x, n, &from);
            k->formats->encode_f32_u8(x, narrow, n, &to, NULL);
            for (size_t c = 0; c < n; c++) again[c] = narrow[c];
        }
        for (size_t c = 0; c < n; c++)
            EXPECT(x[c] != x[c] ? again[c] == (to.nan[c >> (layout_bits(f) - 1)] | (again[c] & to.nan_payload)) : again[c] == c,
                   "%s: code 0x%zx decodes to %a, which encodes to 0x%x", f->name, c, (double)x[c], again[c]);
        void *all[] = {x, codes, again, narrow};
        for (size_t j = 0; j < sizeof all / sizeof *all; j++) free(all[j]);
    }
}

static void format_answers(const cm_kernels *k)
{
    const float x[] = {464, 465, -1e30f, 0x1p-10f, 0x1.8p-9f, 0x1p-149f};
    const uint8_t expected[] = {0x7e, 0x7f, 0xff, 0x00, 0x02, 0x00};
    uint8_t codes[6];
    cm_encode_spec spec = encode_spec(layout_named("e4m3fn"), CM_NEAREST_EVEN, 0);
    k->formats->encode_f32_u8(x, codes, 6, &spec, NULL);
    for (int i = 0; i < 6; i++) EXPECT(codes[i] == expected[i], "e4m3fn of %a: 0x%02x", (double)x[i], codes[i]);

    const double trap = 1 + 0x1p-4 + 0x1p-40; /* above a tie of e4m3fn, on it once it has passed through float32 */
    spec = encode_spec(layout_named("e4m3fn"), CM_NEAREST_EVEN, 0);
    k->formats->encode_f64_u8(&trap, codes, 1, &spec, NULL);
    EXPECT(codes[0] == 0x39, "binary64 was rounded twice: 0x%02x", codes[0]);

    const uint32_t random123[] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}; /* philox4x32-10, all zero */
    uint32_t words[4];
    k->formats->philox(words, 4, 0, 0);
    EXPECT(memcmp(words, random123, sizeof words) == 0, "philox: %08x %08x %08x %08x", words[0], words[1], words[2], words[3]);
}

void known_answers(const cm_kernels *k)
{
    format_answers(k);
    round_trips(k);
    fused_answers(k);
    scaled_answers(k);
    chain_answers(k);
    integer_answers(k);
}
