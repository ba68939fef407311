/* Formats as the Python records state them, and inputs that visit every branch of the casts. */
#include "support.h"

int failures;
const char *tier_name = "";

const layout LAYOUTS[] = {
    {"e4m3fn", 4, 3, 7, NAN_ALL_ONES, 1, 0, 0},
    {"e4m3", 4, 3, 7, NAN_IEEE, 1, 0, 0},
    {"e5m2", 5, 2, 15, NAN_IEEE, 1, 0, 0},
    {"e3m4", 3, 4, 3, NAN_IEEE, 1, 0, 0},
    {"e4m3fnuz", 4, 3, 8, NAN_NEGATIVE_ZERO, 1, 0, 0},
    {"e5m2fnuz", 5, 2, 16, NAN_NEGATIVE_ZERO, 1, 0, 0},
    {"e4m3b11fnuz", 4, 3, 11, NAN_NEGATIVE_ZERO, 1, 0, 0},
    {"e2m3", 2, 3, 1, NAN_NONE, 1, 0, 0},
    {"e3m2", 3, 2, 3, NAN_NONE, 1, 0, 0},
    {"e2m1", 2, 1, 1, NAN_NONE, 1, 0, 0},
    {"ue4m3", 4, 3, 7, NAN_ALL_ONES, 0, 0, 0},
    {"bf16", 8, 7, 127, NAN_IEEE, 1, 0, 0},
    {"f16", 5, 10, 15, NAN_IEEE, 1, 0, 1},
    {"tf32", 8, 10, 127, NAN_IEEE, 1, 13, 0},
};
const size_t LAYOUT_COUNT = sizeof LAYOUTS / sizeof *LAYOUTS;

const layout *layout_named(const char *name)
{
    for (size_t i = 0; i < LAYOUT_COUNT; i++)
        if (strcmp(LAYOUTS[i].name, name) == 0) return &LAYOUTS[i];
    abort();
}

int layout_bits(const layout *f) { return f->has_sign + f->exponent_bits + f->mantissa_bits; }

uint32_t layout_max_code(const layout *f)
{
    uint32_t ones = (1u << (f->exponent_bits + f->mantissa_bits)) - 1;
    if (f->nan == NAN_IEEE) return (ones >> f->mantissa_bits << f->mantissa_bits) - 1;
    return f->nan == NAN_ALL_ONES ? ones - 1 : ones;
}

cm_encode_spec encode_spec(const layout *f, int rounding, int saturate)
{
    const int magnitude_bits = f->exponent_bits + f->mantissa_bits;
    const uint32_t max_code = layout_max_code(f), sign = f->has_sign ? 1u << magnitude_bits : 0;
    cm_encode_spec s = {
        .mantissa_bits = f->mantissa_bits,
        .min_exponent = 1 - f->bias,
        .max_code = max_code,
        .shift = f->shift,
        .nan_payload = f->payload ? (1u << f->mantissa_bits) - 1 : 0,
        .has_sign = f->has_sign,
        .rounding = rounding,
        .random_bits = 23,
    };
    for (uint32_t negative = 0; negative < 2; negative++) {
        uint32_t signed_ = negative ? sign : 0, nan;
        if (f->nan == NAN_NEGATIVE_ZERO) nan = 1u << magnitude_bits;
        else if (f->nan == NAN_NONE) nan = negative ? 0 : sign;
        else if (f->nan == NAN_ALL_ONES) nan = ((1u << magnitude_bits) - 1) | signed_;
        else nan = (max_code + 1 + (f->payload ? 0 : 1u << (f->mantissa_bits - 1))) | signed_;
        uint32_t beyond = saturate || f->nan == NAN_NONE ? max_code | signed_
                          : f->nan == NAN_IEEE           ? (max_code + 1) | signed_
                                                         : nan;
        int truncating = rounding == CM_TOWARD_ZERO || rounding == CM_ODD || rounding == (negative ? CM_UP : CM_DOWN);
        s.sign[negative] = signed_ << f->shift;
        s.zero[negative] = f->nan == NAN_NEGATIVE_ZERO ? 0 : signed_ << f->shift;
        s.overflow[negative] = (truncating ? max_code | signed_ : beyond) << f->shift;
        s.infinity[negative] = (negative && !f->has_sign ? nan : beyond) << f->shift;
        s.nan[negative] = nan << f->shift;
        s.negative = nan << f->shift;
    }
    return s;
}

cm_decode_spec decode_spec(const layout *f)
{
    return (cm_decode_spec){
        .bits = layout_bits(f),
        .mantissa_bits = f->mantissa_bits,
        .bias = f->bias,
        .has_sign = f->has_sign,
        .max_code = layout_max_code(f),
        .infinity_code = f->nan == NAN_IEEE ? layout_max_code(f) + 1 : 0,
        .fnuz = f->nan == NAN_NEGATIVE_ZERO,
    };
}

void round_to(const cm_kernels *k, const layout *f, float *x, size_t n)
{
    const cm_encode_spec to = encode_spec(f, CM_NEAREST_EVEN, 1);
    const cm_decode_spec back = decode_spec(f);
    if (f->shift) { /* tf32 codes are float32 patterns already */
        uint32_t *codes = NEW(uint32_t, n);
        k->formats->encode_f32_u32(x, codes, n, &to, NULL);
        memcpy(x, codes, n * sizeof *x);
        free(codes);
    } else if (layout_bits(f) > 8) {
        uint16_t *codes = NEW(uint16_t, n);
        k->formats->encode_f32_u16(x, codes, n, &to, NULL);
        k->formats->decode_u16_f32(codes, x, n, &back);
        free(codes);
    } else {
        uint8_t *codes = NEW(uint8_t, n);
        k->formats->encode_f32_u8(x, codes, n, &to, NULL);
        k->formats->decode_u8_f32(codes, x, n, &back);
        free(codes);
    }
}

static const uint64_t SPECIAL[] = {
    /* binary64 patterns: zeros, infinities, NaNs, subnormals of both types, limits of float32, float16, e4m3fn, e5m2 */
    0x0000000000000000, 0x7ff0000000000000, 0x7ff8000000000000, 0x7ff0000020000000, 0x7fffffffe0000000,
    0x36a0000000000000, 0x0000000000000001, 0x380fffffc0000000, 0x3810000000000000, 0x47efffffe0000000,
    0x47effffff0000000, 0x40effc0000000000, 0x40effe0000000000, 0x40f0000000000000, 0x407c000000000000,
    0x407d000000000000, 0x407d000000000001, 0x40ec000000000000, 0x40ee000000000000, 0x3f50000000000000,
    0x3f50000000000001, 0x3f4fffffffffffff, 0x3e60000000000000, 0x3fb999999999999a, 0x4018000000000000,
    0x401c000000000000, 0x3fd0000000000000, 0x3fd8000000000000, 0x3ff0000000000000, 0x3ff0000000000001,
};

static uint64_t any_f64(size_t i, uint64_t *state)
{
    uint64_t r = next_random(state);
    switch (i % 5) {
    case 0: return r;                                                            /* any bits */
    case 1: return SPECIAL[r % (sizeof SPECIAL / sizeof *SPECIAL)] | (r & (1ull << 63));
    case 2: return (r & 0x801fe00000000000ull) | ((1008 + (r >> 58) % 32) << 52); /* eight fraction bits: many ties */
    case 3: return (r & 0x800fffffe0000000ull) | ((1011 + (r >> 53) % 24) << 52); /* everyday float32 */
    default: return (r & 0x800fffffffffffffull) | ((864 + r % 280) << 52);        /* from 2^-159 to 2^120 */
    }
}

void fill_f64(double *x, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) x[i] = cm_float64(any_f64(i, &seed));
}

/* the same values, cut to float32 by bit operations: a conversion would depend on the rounding mode */
void fill_f32(float *x, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t b = any_f64(i, &seed);
        uint32_t sign = (uint32_t)(b >> 63) << 31, fraction = (uint32_t)(b >> 29) & 0x7fffffu;
        int64_t field = (int64_t)(b >> 52 & 0x7ff);
        if (i % 5 == 0) x[i] = cm_float32((uint32_t)b);
        else if (field == 0x7ff) x[i] = cm_float32(sign | 0x7f800000u | fraction);
        else if (field > 1023 + 127) x[i] = cm_float32(sign | 0x7f7fffffu);
        else if (field > 1023 - 127) x[i] = cm_float32(sign | (uint32_t)(field - 896) << 23 | fraction);
        else if (field > 1023 - 150) x[i] = cm_float32(sign | (fraction | 0x800000u) >> (897 - field));
        else x[i] = cm_float32(sign);
    }
}

void fill_between(float *x, size_t n, int low, int high, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t r = next_random(&seed);
        uint32_t field = (uint32_t)(low + (int)((r >> 40) % (uint64_t)(high - low + 1)) + 127);
        x[i] = r % 13 == 0 ? 0.0f : cm_float32(((uint32_t)r & 0x807fffffu) | field << 23);
    }
}
