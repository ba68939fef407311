"""Thin doors from Python to the C kernels: re-check what memory safety needs, drop the GIL, call."""

from libc.stdint cimport int8_t, int32_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "chipmeter/kernels.h" nogil:
    ctypedef struct cm_encode_spec:
        int32_t mantissa_bits, min_exponent
        uint32_t max_code
        int32_t shift
        uint32_t sign[2]
        uint32_t zero[2]
        uint32_t overflow[2]
        uint32_t infinity[2]
        uint32_t nan[2]
        uint32_t nan_payload, negative
        int32_t has_sign, rounding, random_bits

    ctypedef struct cm_random:
        const uint32_t *words
        uint64_t seed, offset

    ctypedef struct cm_e8m0_spec:
        int32_t rule, ignore_sign
        uint32_t zero, negative, overflow, infinity, nan

    ctypedef struct cm_decode_spec:
        int32_t bits, mantissa_bits, bias, has_sign
        uint32_t max_code, infinity_code
        int32_t fnuz
        uint32_t zero_bits

    ctypedef struct cm_format_kernels:
        void (*encode_f32_u8)(const float *, uint8_t *, size_t, const cm_encode_spec *, const cm_random *) noexcept nogil
        void (*encode_f32_u16)(const float *, uint16_t *, size_t, const cm_encode_spec *, const cm_random *) noexcept nogil
        void (*encode_f32_u32)(const float *, uint32_t *, size_t, const cm_encode_spec *, const cm_random *) noexcept nogil
        void (*encode_f64_u8)(const double *, uint8_t *, size_t, const cm_encode_spec *, const cm_random *) noexcept nogil
        void (*encode_f64_u16)(const double *, uint16_t *, size_t, const cm_encode_spec *, const cm_random *) noexcept nogil
        void (*encode_f64_u32)(const double *, uint32_t *, size_t, const cm_encode_spec *, const cm_random *) noexcept nogil
        void (*encode_f32_e8m0)(const float *, uint8_t *, size_t, const cm_e8m0_spec *) noexcept nogil
        void (*encode_f64_e8m0)(const double *, uint8_t *, size_t, const cm_e8m0_spec *) noexcept nogil
        void (*decode_u8_f32)(const uint8_t *, float *, size_t, const cm_decode_spec *) noexcept nogil
        void (*decode_u16_f32)(const uint16_t *, float *, size_t, const cm_decode_spec *) noexcept nogil
        void (*philox)(uint32_t *, size_t, uint64_t, uint64_t) noexcept nogil

    ctypedef struct cm_mx_spec:
        int32_t rule, max_exponent
        uint32_t max_fraction
        int32_t element_mantissa, infinity_is_nan
        const cm_encode_spec *element

    ctypedef struct cm_nvfp4_spec:
        float tensor_scale, scale_min, scale_max, element_max
        const cm_encode_spec *scale
        const cm_decode_spec *scale_decode
        const cm_encode_spec *element

    ctypedef struct cm_quantize_kernels:
        uint32_t (*amax_f32)(const float *, size_t) noexcept nogil
        void (*mx_f32)(const float *, uint8_t *, uint8_t *, size_t, size_t, const cm_mx_spec *) noexcept nogil
        void (*nvfp4_f32)(const float *, uint8_t *, uint8_t *, size_t, size_t, const cm_nvfp4_spec *) noexcept nogil
        void (*scaled_f32_u8)(const float *, const float *, uint8_t *, size_t, size_t, const cm_encode_spec *) noexcept nogil
        void (*scaled_f32_s8)(const float *, const float *, int8_t *, size_t, size_t, int32_t, int32_t) noexcept nogil

    ctypedef struct cm_operand:
        const float *value
        const int32_t *exponent
        const uint8_t *flag
        int32_t mantissa_bits

    ctypedef struct cm_block_scales:
        const int32_t *significand
        const int32_t *exponent

    ctypedef struct cm_fused_args:
        size_t rows, columns, depth
        cm_operand a, b
        cm_block_scales scale_a, scale_b
        size_t scale_block
        int32_t scale_fraction
        const float *c
        int32_t c_min_exponent
        float *d
        int32_t fused, fraction_bits, floor_exponent, output, group

    ctypedef struct cm_chain_args:
        size_t rows, columns, depth, tile
        int32_t order
        const void *a
        const void *b
        const void *c
        void *d

    ctypedef struct cm_integer_args:
        size_t rows, columns, depth
        const int32_t *a
        const int32_t *b
        const int32_t *c
        int32_t *d
        int32_t clamp

    ctypedef struct cm_matmul_kernels:
        void (*pack_rows)(const float *, size_t, size_t, size_t, int32_t, float *, int32_t *, uint8_t *) noexcept nogil
        void (*pack_panels)(const float *, size_t, size_t, size_t, int32_t, float *, int32_t *, uint8_t *) noexcept nogil
        void (*fused)(const cm_fused_args *, size_t, size_t) noexcept nogil
        void (*chain_f32)(const cm_chain_args *, size_t, size_t) noexcept nogil
        void (*chain_f64)(const cm_chain_args *, size_t, size_t) noexcept nogil
        void (*integer)(const cm_integer_args *, size_t, size_t) noexcept nogil

    ctypedef struct cm_kernels:
        const char *tier
        const cm_format_kernels *formats
        const cm_quantize_kernels *quantize
        const cm_matmul_kernels *matmul

    size_t cm_tier_count()
    const cm_kernels *cm_tier(size_t)
    const char *cm_compiler()

cdef enum:
    PANEL = 16

cdef const cm_kernels *active = cm_tier(0)
if active is NULL:
    raise ImportError("chipmeter's kernels need an x86-64-v2 CPU (SSE4.2) or newer; this CPU has none of the built tiers")


# ---- tiers --------------------------------------------------------------------------------------------------------

def tiers() -> tuple:
    return tuple([cm_tier(i).tier.decode() for i in range(cm_tier_count())])


def active_tier() -> str:
    return active.tier.decode()


def use_tier(str name not None) -> None:
    global active
    for i in range(cm_tier_count()):
        if cm_tier(i).tier.decode() == name:
            active = cm_tier(i)
            return
    raise ValueError(f"unknown tier {name!r}; this build and CPU have: {', '.join(tiers())}")


def compiler() -> str:
    return cm_compiler().decode()


cdef int need(bint holds, str what) except -1:
    if not holds:
        raise ValueError(what)
    return 0


# ---- formats ------------------------------------------------------------------------------------------------------

cdef class EncodeSpec:
    """A cm_encode_spec: pairs are (positive, negative)."""

    cdef cm_encode_spec c

    def __init__(self, int mantissa_bits, int min_exponent, uint32_t max_code, int shift, tuple sign not None,
                 tuple zero not None, tuple overflow not None, tuple infinity not None, tuple nan not None,
                 uint32_t nan_payload, uint32_t negative, bint has_sign, int rounding, int random_bits):
        need(0 <= mantissa_bits <= 23 and 0 <= shift <= 31 and 0 <= rounding <= 6 and 1 <= random_bits <= 32,
             "encode spec out of range")
        self.c.mantissa_bits, self.c.min_exponent, self.c.max_code, self.c.shift = mantissa_bits, min_exponent, max_code, shift
        for i in range(2):
            self.c.sign[i], self.c.zero[i], self.c.overflow[i] = sign[i], zero[i], overflow[i]
            self.c.infinity[i], self.c.nan[i] = infinity[i], nan[i]
        self.c.nan_payload = nan_payload
        self.c.negative, self.c.has_sign, self.c.rounding, self.c.random_bits = negative, has_sign, rounding, random_bits


cdef class E8M0Spec:
    cdef cm_e8m0_spec c

    def __init__(self, int rule, bint ignore_sign, uint32_t zero, uint32_t negative, uint32_t overflow,
                 uint32_t infinity, uint32_t nan):
        self.c.rule, self.c.ignore_sign, self.c.zero, self.c.negative = rule, ignore_sign, zero, negative
        self.c.overflow, self.c.infinity, self.c.nan = overflow, infinity, nan


cdef class DecodeSpec:
    cdef cm_decode_spec c

    def __init__(self, int bits, int mantissa_bits, int bias, bint has_sign, uint32_t max_code, uint32_t infinity_code,
                 bint fnuz, uint32_t zero_bits):
        need(1 <= bits <= 32 and 0 <= mantissa_bits <= 23 and -100 < bias < 256, "decode spec out of range")
        self.c.bits, self.c.mantissa_bits, self.c.bias, self.c.has_sign = bits, mantissa_bits, bias, has_sign
        self.c.max_code, self.c.infinity_code, self.c.fnuz, self.c.zero_bits = max_code, infinity_code, fnuz, zero_bits


cdef cm_random checked(size_t n, size_t codes, EncodeSpec spec, const uint32_t[::1] words, uint64_t seed,
                       uint64_t offset) except *:
    """Check the lengths of one cast and gather its random words."""
    cdef cm_random random
    need(codes == n, "x and codes differ in length")
    need(words is None or <size_t>words.shape[0] == n, "one random word per element")
    random.words = &words[0] if words is not None and n else NULL
    random.seed, random.offset = seed, offset
    return random


def encode_f32_u8(const float[::1] x not None, uint8_t[::1] codes not None, EncodeSpec spec not None,
                   const uint32_t[::1] words, uint64_t seed, uint64_t offset):
    cdef cm_random random = checked(x.shape[0], codes.shape[0], spec, words, seed, offset)
    if x.shape[0]:
        with nogil:
            active.formats.encode_f32_u8(&x[0], &codes[0], x.shape[0], &spec.c, &random)


def encode_f32_u16(const float[::1] x not None, uint16_t[::1] codes not None, EncodeSpec spec not None,
                   const uint32_t[::1] words, uint64_t seed, uint64_t offset):
    cdef cm_random random = checked(x.shape[0], codes.shape[0], spec, words, seed, offset)
    if x.shape[0]:
        with nogil:
            active.formats.encode_f32_u16(&x[0], &codes[0], x.shape[0], &spec.c, &random)


def encode_f32_u32(const float[::1] x not None, uint32_t[::1] codes not None, EncodeSpec spec not None,
                   const uint32_t[::1] words, uint64_t seed, uint64_t offset):
    cdef cm_random random = checked(x.shape[0], codes.shape[0], spec, words, seed, offset)
    if x.shape[0]:
        with nogil:
            active.formats.encode_f32_u32(&x[0], &codes[0], x.shape[0], &spec.c, &random)


def encode_f64_u8(const double[::1] x not None, uint8_t[::1] codes not None, EncodeSpec spec not None,
                   const uint32_t[::1] words, uint64_t seed, uint64_t offset):
    cdef cm_random random = checked(x.shape[0], codes.shape[0], spec, words, seed, offset)
    if x.shape[0]:
        with nogil:
            active.formats.encode_f64_u8(&x[0], &codes[0], x.shape[0], &spec.c, &random)


def encode_f64_u16(const double[::1] x not None, uint16_t[::1] codes not None, EncodeSpec spec not None,
                   const uint32_t[::1] words, uint64_t seed, uint64_t offset):
    cdef cm_random random = checked(x.shape[0], codes.shape[0], spec, words, seed, offset)
    if x.shape[0]:
        with nogil:
            active.formats.encode_f64_u16(&x[0], &codes[0], x.shape[0], &spec.c, &random)


def encode_f64_u32(const double[::1] x not None, uint32_t[::1] codes not None, EncodeSpec spec not None,
                   const uint32_t[::1] words, uint64_t seed, uint64_t offset):
    cdef cm_random random = checked(x.shape[0], codes.shape[0], spec, words, seed, offset)
    if x.shape[0]:
        with nogil:
            active.formats.encode_f64_u32(&x[0], &codes[0], x.shape[0], &spec.c, &random)


def encode_f32_e8m0(const float[::1] x not None, uint8_t[::1] codes not None, E8M0Spec spec not None):
    cdef size_t n = x.shape[0]
    need(<size_t>codes.shape[0] == n, "x and codes differ in length")
    if n:
        with nogil:
            active.formats.encode_f32_e8m0(&x[0], &codes[0], n, &spec.c)


def encode_f64_e8m0(const double[::1] x not None, uint8_t[::1] codes not None, E8M0Spec spec not None):
    cdef size_t n = x.shape[0]
    need(<size_t>codes.shape[0] == n, "x and codes differ in length")
    if n:
        with nogil:
            active.formats.encode_f64_e8m0(&x[0], &codes[0], n, &spec.c)


def decode_u8_f32(const uint8_t[::1] codes not None, float[::1] x not None, DecodeSpec spec not None):
    cdef size_t n = codes.shape[0]
    need(<size_t>x.shape[0] == n, "codes and x differ in length")
    if n:
        with nogil:
            active.formats.decode_u8_f32(&codes[0], &x[0], n, &spec.c)


def decode_u16_f32(const uint16_t[::1] codes not None, float[::1] x not None, DecodeSpec spec not None):
    cdef size_t n = codes.shape[0]
    need(<size_t>x.shape[0] == n, "codes and x differ in length")
    if n:
        with nogil:
            active.formats.decode_u16_f32(&codes[0], &x[0], n, &spec.c)


def philox(uint32_t[::1] words not None, uint64_t seed, uint64_t offset):
    cdef size_t n = words.shape[0]
    if n:
        with nogil:
            active.formats.philox(&words[0], n, seed, offset)


# ---- block quantisation -------------------------------------------------------------------------------------------

def amax_f32(const float[::1] x not None) -> int:
    """Bits of the largest magnitude; a NaN anywhere gives a NaN; 0 for an empty array."""
    cdef uint32_t bits = 0
    cdef size_t n = x.shape[0]
    if n:
        with nogil:
            bits = active.quantize.amax_f32(&x[0], n)
    return bits


def mx_f32(const float[:, ::1] x not None, uint8_t[:, ::1] codes not None, uint8_t[::1] scales not None, int rule,
           int max_exponent, uint32_t max_fraction, bint infinity_is_nan, EncodeSpec element not None):
    cdef size_t blocks = x.shape[0], block = x.shape[1]
    cdef cm_mx_spec spec
    need(<size_t>codes.shape[0] == blocks and <size_t>codes.shape[1] == block and <size_t>scales.shape[0] == blocks,
         "x, codes and scales differ in shape")
    if blocks == 0 or block == 0:
        return
    spec.rule, spec.max_exponent, spec.max_fraction = rule, max_exponent, max_fraction
    spec.element_mantissa, spec.infinity_is_nan, spec.element = element.c.mantissa_bits, infinity_is_nan, &element.c
    with nogil:
        active.quantize.mx_f32(&x[0, 0], &codes[0, 0], &scales[0], blocks, block, &spec)


def nvfp4_f32(const float[:, ::1] x not None, uint8_t[:, ::1] codes not None, uint8_t[::1] scales not None,
              float tensor_scale, float scale_min, float scale_max, float element_max, EncodeSpec scale not None,
              DecodeSpec scale_decode not None, EncodeSpec element not None):
    cdef size_t blocks = x.shape[0], block = x.shape[1]
    cdef cm_nvfp4_spec spec
    need(<size_t>codes.shape[0] == blocks and <size_t>codes.shape[1] == block and <size_t>scales.shape[0] == blocks,
         "x, codes and scales differ in shape")
    if blocks == 0 or block == 0:
        return
    spec.tensor_scale, spec.scale_min, spec.scale_max, spec.element_max = tensor_scale, scale_min, scale_max, element_max
    spec.scale, spec.scale_decode, spec.element = &scale.c, &scale_decode.c, &element.c
    with nogil:
        active.quantize.nvfp4_f32(&x[0, 0], &codes[0, 0], &scales[0], blocks, block, &spec)


def scaled_f32_u8(const float[:, ::1] x not None, const float[::1] scales not None, uint8_t[:, ::1] codes not None,
                  EncodeSpec element not None):
    cdef size_t rows = x.shape[0], n = x.shape[1]
    need(<size_t>codes.shape[0] == rows and <size_t>codes.shape[1] == n and <size_t>scales.shape[0] == rows,
         "x, codes and scales differ in shape")
    if rows and n:
        with nogil:
            active.quantize.scaled_f32_u8(&x[0, 0], &scales[0], &codes[0, 0], rows, n, &element.c)


def scaled_f32_s8(const float[:, ::1] x not None, const float[::1] scales not None, int8_t[:, ::1] codes not None,
                  int low, int high):
    cdef size_t rows = x.shape[0], n = x.shape[1]
    need(<size_t>codes.shape[0] == rows and <size_t>codes.shape[1] == n and <size_t>scales.shape[0] == rows,
         "x, codes and scales differ in shape")
    need(-128 <= low <= high <= 127, "the integer range must lie in int8")
    if rows and n:
        with nogil:
            active.quantize.scaled_f32_s8(&x[0, 0], &scales[0], &codes[0, 0], rows, n, low, high)


# ---- matrix units -------------------------------------------------------------------------------------------------

cdef size_t panels(size_t columns) noexcept nogil:
    return (columns + PANEL - 1) // PANEL


def pack_rows(const float[:, ::1] x not None, int min_exponent, float[:, ::1] value not None,
              int32_t[:, ::1] exponent not None, uint8_t[::1] flag not None):
    cdef size_t rows = x.shape[0], depth = x.shape[1], padded = value.shape[1]
    need(<size_t>value.shape[0] == rows and <size_t>exponent.shape[0] == rows and <size_t>flag.shape[0] == rows
         and <size_t>exponent.shape[1] == padded and padded >= depth and rows > 0 and depth > 0, "pack_rows: shapes")
    with nogil:
        active.matmul.pack_rows(&x[0, 0], rows, depth, padded, min_exponent, &value[0, 0], &exponent[0, 0], &flag[0])


def pack_panels(const float[:, ::1] x not None, int min_exponent, float[:, :, ::1] value not None,
                int32_t[:, :, ::1] exponent not None, uint8_t[::1] flag not None):
    cdef size_t depth = x.shape[0], columns = x.shape[1], padded = value.shape[1], count = panels(columns)
    need(<size_t>value.shape[0] == count and <size_t>exponent.shape[0] == count and value.shape[2] == PANEL
         and exponent.shape[2] == PANEL and <size_t>exponent.shape[1] == padded and padded >= depth
         and <size_t>flag.shape[0] == count * PANEL and columns > 0 and depth > 0, "pack_panels: shapes")
    with nogil:
        active.matmul.pack_panels(&x[0, 0], depth, columns, padded, min_exponent, &value[0, 0, 0], &exponent[0, 0, 0],
                                  &flag[0])


def fused(tuple a not None, tuple b not None, const float[:, ::1] c, int c_min_exponent, float[:, ::1] d not None,
          int a_mantissa, int b_mantissa, int fused_products, int fraction_bits, int floor_exponent, int output, int group,
          size_t scale_block, int scale_fraction, tuple scale_a, tuple scale_b, size_t row_begin, size_t row_end):
    cdef const float[:, ::1] a_value = a[0]
    cdef const int32_t[:, ::1] a_exponent = a[1]
    cdef const uint8_t[::1] a_flag = a[2]
    cdef const float[:, :, ::1] b_value = b[0]
    cdef const int32_t[:, :, ::1] b_exponent = b[1]
    cdef const uint8_t[::1] b_flag = b[2]
    cdef const int32_t[:, ::1] sa_significand
    cdef const int32_t[:, ::1] sa_exponent
    cdef const int32_t[:, :, ::1] sb_significand
    cdef const int32_t[:, :, ::1] sb_exponent
    cdef cm_fused_args args
    cdef size_t rows = d.shape[0], columns = d.shape[1], depth = a_value.shape[1], count = panels(columns), scales
    need(rows > 0 and columns > 0 and depth > 0 and row_begin <= row_end <= rows, "fused: an empty or outside range")
    need(<size_t>a_value.shape[0] == rows and <size_t>a_exponent.shape[0] == rows and <size_t>a_exponent.shape[1] == depth
         and <size_t>a_flag.shape[0] == rows, "fused: packed a")
    need(<size_t>b_value.shape[0] == count and <size_t>b_value.shape[1] == depth and b_value.shape[2] == PANEL
         and <size_t>b_exponent.shape[0] == count and <size_t>b_exponent.shape[1] == depth and b_exponent.shape[2] == PANEL
         and <size_t>b_flag.shape[0] == count * PANEL, "fused: packed b")
    need(c is None or (<size_t>c.shape[0] == rows and <size_t>c.shape[1] == columns), "fused: c")
    need(1 <= fused_products <= 64 and depth % fused_products == 0 and 0 <= output <= 2 and 10 <= fraction_bits <= 35,
         "fused: parameters")
    # the vector kernel's int32 sums hold 32 products of at most 25 fraction bits
    need(group > 0 or (fused_products <= 32 and fraction_bits <= 25), "fused: ungrouped steps are at most 32 products, 25 bits")
    need(group == 0 or (group <= 64 and fused_products % group == 0 and fused_products // group <= 4 and scale_block > 0
                        and output == 0 and a_mantissa == 1 and b_mantissa == 1 and scale_block % group == 0), "fused: groups")
    args.rows, args.columns, args.depth = rows, columns, depth
    args.a.value, args.a.exponent, args.a.flag, args.a.mantissa_bits = (
        &a_value[0, 0], &a_exponent[0, 0], &a_flag[0], a_mantissa)
    args.b.value, args.b.exponent, args.b.flag, args.b.mantissa_bits = (
        &b_value[0, 0, 0], &b_exponent[0, 0, 0], &b_flag[0], b_mantissa)
    args.scale_block, args.scale_fraction = scale_block, scale_fraction
    args.scale_a.significand = args.scale_a.exponent = NULL
    args.scale_b.significand = args.scale_b.exponent = NULL
    if scale_block:
        sa_significand, sa_exponent = scale_a
        sb_significand, sb_exponent = scale_b
        scales = depth // scale_block
        need(scales * scale_block == depth and (scale_block % fused_products == 0 or group > 0), "fused: scale block")
        need(<size_t>sa_significand.shape[0] == rows and <size_t>sa_significand.shape[1] == scales
             and <size_t>sa_exponent.shape[0] == rows and <size_t>sa_exponent.shape[1] == scales, "fused: scales of a")
        need(<size_t>sb_significand.shape[0] == count and <size_t>sb_significand.shape[1] == scales
             and sb_significand.shape[2] == PANEL and <size_t>sb_exponent.shape[0] == count
             and <size_t>sb_exponent.shape[1] == scales and sb_exponent.shape[2] == PANEL, "fused: scales of b")
        args.scale_a.significand, args.scale_a.exponent = &sa_significand[0, 0], &sa_exponent[0, 0]
        args.scale_b.significand, args.scale_b.exponent = &sb_significand[0, 0, 0], &sb_exponent[0, 0, 0]
    args.c = &c[0, 0] if c is not None else NULL
    args.c_min_exponent = c_min_exponent
    args.d = &d[0, 0]
    args.fused, args.fraction_bits, args.floor_exponent = fused_products, fraction_bits, floor_exponent
    args.output, args.group = output, group
    with nogil:
        active.matmul.fused(&args, row_begin, row_end)


def chain_f32(const float[:, ::1] a not None, const float[:, :, ::1] b not None, const float[:, ::1] c,
              float[:, ::1] d not None, size_t tile, int order, size_t row_begin, size_t row_end):
    cdef cm_chain_args args
    cdef size_t rows = d.shape[0], columns = d.shape[1], depth = a.shape[1]
    need(rows > 0 and columns > 0 and depth > 0 and row_begin <= row_end <= rows, "chain: an empty or outside range")
    need(<size_t>a.shape[0] == rows and <size_t>b.shape[0] == panels(columns) and <size_t>b.shape[1] == depth
         and b.shape[2] == PANEL and (c is None or (<size_t>c.shape[0] == rows and <size_t>c.shape[1] == columns)),
         "chain: shapes")
    args.rows, args.columns, args.depth, args.tile, args.order = rows, columns, depth, tile, order
    args.a, args.b, args.c, args.d = &a[0, 0], &b[0, 0, 0], &c[0, 0] if c is not None else NULL, &d[0, 0]
    with nogil:
        active.matmul.chain_f32(&args, row_begin, row_end)


def chain_f64(const double[:, ::1] a not None, const double[:, :, ::1] b not None, const double[:, ::1] c,
              double[:, ::1] d not None, size_t tile, int order, size_t row_begin, size_t row_end):
    cdef cm_chain_args args
    cdef size_t rows = d.shape[0], columns = d.shape[1], depth = a.shape[1]
    need(rows > 0 and columns > 0 and depth > 0 and row_begin <= row_end <= rows, "chain: an empty or outside range")
    need(<size_t>a.shape[0] == rows and <size_t>b.shape[0] == panels(columns) and <size_t>b.shape[1] == depth
         and b.shape[2] == PANEL and (c is None or (<size_t>c.shape[0] == rows and <size_t>c.shape[1] == columns)),
         "chain: shapes")
    args.rows, args.columns, args.depth, args.tile, args.order = rows, columns, depth, tile, order
    args.a, args.b, args.c, args.d = &a[0, 0], &b[0, 0, 0], &c[0, 0] if c is not None else NULL, &d[0, 0]
    with nogil:
        active.matmul.chain_f64(&args, row_begin, row_end)


def integer(const int32_t[:, ::1] a not None, const int32_t[:, :, ::1] b not None, const int32_t[:, ::1] c,
            int32_t[:, ::1] d not None, int clamp, size_t row_begin, size_t row_end):
    cdef cm_integer_args args
    cdef size_t rows = d.shape[0], columns = d.shape[1], depth = a.shape[1]
    need(rows > 0 and columns > 0 and depth > 0 and row_begin <= row_end <= rows, "integer: an empty or outside range")
    need(<size_t>a.shape[0] == rows and <size_t>b.shape[0] == panels(columns) and <size_t>b.shape[1] == depth
         and b.shape[2] == PANEL and clamp >= 0
         and (c is None or (<size_t>c.shape[0] == rows and <size_t>c.shape[1] == columns)), "integer: shapes")
    args.rows, args.columns, args.depth, args.clamp = rows, columns, depth, clamp
    args.a, args.b, args.c, args.d = &a[0, 0], &b[0, 0, 0], &c[0, 0] if c is not None else NULL, &d[0, 0]
    with nogil:
        active.matmul.integer(&args, row_begin, row_end)
