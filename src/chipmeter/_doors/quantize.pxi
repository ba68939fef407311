# The doors of block quantisation.

cdef extern from "chipmeter/quantize.h" nogil:
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


cdef const cm_quantize_kernels *active_quantize = NULL  # of the active tier: see use_tier


def amax_f32(const float[::1] x not None) -> int:
    """Bits of the largest magnitude; a NaN anywhere gives a NaN; 0 for an empty array."""
    cdef uint32_t bits = 0
    cdef size_t n = x.shape[0]
    if n:
        with nogil:
            bits = active_quantize.amax_f32(&x[0], n)
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
        active_quantize.mx_f32(&x[0, 0], &codes[0, 0], &scales[0], blocks, block, &spec)


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
        active_quantize.nvfp4_f32(&x[0, 0], &codes[0, 0], &scales[0], blocks, block, &spec)


def scaled_f32_u8(const float[:, ::1] x not None, const float[::1] scales not None, uint8_t[:, ::1] codes not None,
                  EncodeSpec element not None):
    cdef size_t rows = x.shape[0], n = x.shape[1]
    need(<size_t>codes.shape[0] == rows and <size_t>codes.shape[1] == n and <size_t>scales.shape[0] == rows,
         "x, codes and scales differ in shape")
    if rows and n:
        with nogil:
            active_quantize.scaled_f32_u8(&x[0, 0], &scales[0], &codes[0, 0], rows, n, &element.c)


def scaled_f32_s8(const float[:, ::1] x not None, const float[::1] scales not None, int8_t[:, ::1] codes not None,
                  int low, int high):
    cdef size_t rows = x.shape[0], n = x.shape[1]
    need(<size_t>codes.shape[0] == rows and <size_t>codes.shape[1] == n and <size_t>scales.shape[0] == rows,
         "x, codes and scales differ in shape")
    need(-128 <= low <= high <= 127, "the integer range must lie in int8")
    if rows and n:
        with nogil:
            active_quantize.scaled_f32_s8(&x[0, 0], &scales[0], &codes[0, 0], rows, n, low, high)
