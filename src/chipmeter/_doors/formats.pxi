# The doors of the number formats: casts, decodes, random words.

cdef extern from "chipmeter/formats.h" nogil:
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
        int32_t rule

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


cdef const cm_format_kernels *active_formats = NULL  # of the active tier: see use_tier


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
                       uint64_t offset, int rule) except *:
    """Check the lengths of one cast and gather its random words."""
    cdef cm_random random
    need(codes == n, "x and codes differ in length")
    need(words is None or <size_t>words.shape[0] == n, "one random word per element")
    need(0 <= rule <= 3 and (rule == 0 or spec.c.random_bits <= 31), "stochastic rule out of range")
    random.words = &words[0] if words is not None and n else NULL
    random.seed, random.offset, random.rule = seed, offset, rule
    return random


def encode_f32_u8(const float[::1] x not None, uint8_t[::1] codes not None, EncodeSpec spec not None,
                  const uint32_t[::1] words, uint64_t seed, uint64_t offset, int rule=0):
    cdef cm_random random = checked(x.shape[0], codes.shape[0], spec, words, seed, offset, rule)
    if x.shape[0]:
        with nogil:
            active_formats.encode_f32_u8(&x[0], &codes[0], x.shape[0], &spec.c, &random)


def encode_f32_u16(const float[::1] x not None, uint16_t[::1] codes not None, EncodeSpec spec not None,
                   const uint32_t[::1] words, uint64_t seed, uint64_t offset, int rule=0):
    cdef cm_random random = checked(x.shape[0], codes.shape[0], spec, words, seed, offset, rule)
    if x.shape[0]:
        with nogil:
            active_formats.encode_f32_u16(&x[0], &codes[0], x.shape[0], &spec.c, &random)


def encode_f32_u32(const float[::1] x not None, uint32_t[::1] codes not None, EncodeSpec spec not None,
                   const uint32_t[::1] words, uint64_t seed, uint64_t offset, int rule=0):
    cdef cm_random random = checked(x.shape[0], codes.shape[0], spec, words, seed, offset, rule)
    if x.shape[0]:
        with nogil:
            active_formats.encode_f32_u32(&x[0], &codes[0], x.shape[0], &spec.c, &random)


def encode_f64_u8(const double[::1] x not None, uint8_t[::1] codes not None, EncodeSpec spec not None,
                  const uint32_t[::1] words, uint64_t seed, uint64_t offset, int rule=0):
    cdef cm_random random = checked(x.shape[0], codes.shape[0], spec, words, seed, offset, rule)
    if x.shape[0]:
        with nogil:
            active_formats.encode_f64_u8(&x[0], &codes[0], x.shape[0], &spec.c, &random)


def encode_f64_u16(const double[::1] x not None, uint16_t[::1] codes not None, EncodeSpec spec not None,
                   const uint32_t[::1] words, uint64_t seed, uint64_t offset, int rule=0):
    cdef cm_random random = checked(x.shape[0], codes.shape[0], spec, words, seed, offset, rule)
    if x.shape[0]:
        with nogil:
            active_formats.encode_f64_u16(&x[0], &codes[0], x.shape[0], &spec.c, &random)


def encode_f64_u32(const double[::1] x not None, uint32_t[::1] codes not None, EncodeSpec spec not None,
                   const uint32_t[::1] words, uint64_t seed, uint64_t offset, int rule=0):
    cdef cm_random random = checked(x.shape[0], codes.shape[0], spec, words, seed, offset, rule)
    if x.shape[0]:
        with nogil:
            active_formats.encode_f64_u32(&x[0], &codes[0], x.shape[0], &spec.c, &random)


def encode_f32_e8m0(const float[::1] x not None, uint8_t[::1] codes not None, E8M0Spec spec not None):
    cdef size_t n = x.shape[0]
    need(<size_t>codes.shape[0] == n, "x and codes differ in length")
    if n:
        with nogil:
            active_formats.encode_f32_e8m0(&x[0], &codes[0], n, &spec.c)


def encode_f64_e8m0(const double[::1] x not None, uint8_t[::1] codes not None, E8M0Spec spec not None):
    cdef size_t n = x.shape[0]
    need(<size_t>codes.shape[0] == n, "x and codes differ in length")
    if n:
        with nogil:
            active_formats.encode_f64_e8m0(&x[0], &codes[0], n, &spec.c)


def decode_u8_f32(const uint8_t[::1] codes not None, float[::1] x not None, DecodeSpec spec not None):
    cdef size_t n = codes.shape[0]
    need(<size_t>x.shape[0] == n, "codes and x differ in length")
    if n:
        with nogil:
            active_formats.decode_u8_f32(&codes[0], &x[0], n, &spec.c)


def decode_u16_f32(const uint16_t[::1] codes not None, float[::1] x not None, DecodeSpec spec not None):
    cdef size_t n = codes.shape[0]
    need(<size_t>x.shape[0] == n, "codes and x differ in length")
    if n:
        with nogil:
            active_formats.decode_u16_f32(&codes[0], &x[0], n, &spec.c)


def philox(uint32_t[::1] words not None, uint64_t seed, uint64_t offset):
    cdef size_t n = words.shape[0]
    if n:
        with nogil:
            active_formats.philox(&words[0], n, seed, offset)
