# The doors of block quantisation.

cdef extern from "chipmeter/quantize.h" nogil:
    ctypedef struct cm_tile_spec:
        int32_t scale, max_exponent
        uint32_t carry_from
        int32_t carry_overflows
        float limit, smallest
        int32_t power_of_two
        float tensor, scale_min, scale_max
        uint32_t zero_scale
        int32_t adaptive
        float tensor_amax, top
        const cm_encode_spec *scale_encode
        const cm_decode_spec *scale_decode
        int32_t element_kind
        const cm_encode_spec *element
        int32_t ties_to_zero, zeros
        float unit
        int32_t low, high, zero_point
        const float *midpoints
        int32_t midpoint_count, nan_code

    ctypedef struct cm_tiling:
        const float *x
        uint8_t *codes
        void *scales
        int32_t *zeros
        const uint32_t *amax
        size_t height, width, stride, code_stride, rows, columns, scale_stride
        void (*hear)(const cm_tiling *, const float *, const uint8_t *, size_t, size_t, size_t) noexcept nogil

    ctypedef struct cm_quantize_kernels:
        uint32_t (*amax_f32)(const float *, size_t) noexcept nogil
        void (*hadamard_f32)(const float *, float *, size_t, uint32_t, int) noexcept nogil
        void (*tiles_f32)(const cm_tiling *, const cm_tile_spec *) noexcept nogil


cdef const cm_quantize_kernels *active_quantize = NULL  # of the active tier: see use_tier


def amax_f32(const float[::1] x not None) -> int:
    """Bits of the largest magnitude; a NaN anywhere gives a NaN; 0 for an empty array."""
    cdef uint32_t bits = 0
    cdef size_t n = x.shape[0]
    if n:
        with nogil:
            bits = active_quantize.amax_f32(&x[0], n)
    return bits


def hadamard_f32(const float[::1] x not None, float[::1] y not None, uint32_t signs, bint inverse):
    """y = (x * signs) H / 4 of each 16 numbers; inverse: the signs last."""
    cdef size_t groups = x.shape[0] // 16
    need(x.shape[0] % 16 == 0 and y.shape[0] == x.shape[0], "whole groups of 16 numbers, as many in y as in x")
    need(signs < 65536, "16 signs")
    if groups:
        with nogil:
            active_quantize.hadamard_f32(&x[0], &y[0], groups, signs, inverse)


cdef class TileSpec:
    """A cm_tile_spec: one recipe. What a rule does not read may be left out."""

    cdef cm_tile_spec c
    cdef EncodeSpec scale_encode, element  # kept alive
    cdef DecodeSpec scale_decode
    cdef const float[::1] midpoints

    def __init__(self, int scale, int element_kind, *, int max_exponent=0, uint32_t carry_from=0, bint carry_overflows=False,
                 float limit=1, float smallest=0, bint power_of_two=False, float tensor=1, float scale_min=0,
                 float scale_max=0, uint32_t zero_scale=0, int adaptive=0, float tensor_amax=0, float top=1,
                 EncodeSpec scale_encode=None, DecodeSpec scale_decode=None,
                 EncodeSpec element=None, bint ties_to_zero=False, int zeros=0, float unit=1, int low=0, int high=0,
                 int zero_point=0, const float[::1] midpoints=None, int nan_code=0):
        need(0 <= scale <= 11 and 0 <= element_kind <= 2 and 0 <= zeros <= 2, "tile spec out of range")
        need(scale < 8 or (scale_encode is not None and scale_decode is not None), "8-bit scales need their format")
        need(element_kind != 0 or (element is not None and element.c.rounding <= 2), "float elements need their format")
        need(scale_encode is None or scale_encode.c.sign[1] != 0, "8-bit scales have the format of signed ones")
        need(element_kind != 2 or midpoints is not None, "a table needs its midpoints")
        need(adaptive == 0 or (adaptive <= 2 and scale == 9 and element_kind == 0), "adaptive: FP4 of Transformer Engine")
        need(-256 <= low <= 0 <= high <= 255 and -256 <= zero_point <= 255, "the integer range must fit a byte")
        self.scale_encode, self.scale_decode, self.element, self.midpoints = scale_encode, scale_decode, element, midpoints
        self.c.scale, self.c.element_kind, self.c.max_exponent = scale, element_kind, max_exponent
        self.c.carry_from, self.c.carry_overflows = carry_from, carry_overflows
        self.c.limit, self.c.smallest, self.c.power_of_two, self.c.tensor = limit, smallest, power_of_two, tensor
        self.c.scale_min, self.c.scale_max, self.c.zero_scale = scale_min, scale_max, zero_scale
        self.c.adaptive, self.c.tensor_amax, self.c.top = adaptive, tensor_amax, top
        self.c.scale_encode = NULL if scale_encode is None else &scale_encode.c
        self.c.scale_decode = NULL if scale_decode is None else &scale_decode.c
        self.c.element = NULL if element is None else &element.c
        self.c.ties_to_zero, self.c.zeros, self.c.unit = ties_to_zero, zeros, unit
        self.c.low, self.c.high, self.c.zero_point, self.c.nan_code = low, high, zero_point, nan_code
        self.c.midpoint_count = 0 if midpoints is None else <int>midpoints.shape[0]
        self.c.midpoints = &midpoints[0] if self.c.midpoint_count else NULL


def tiles_f32(const float[:, :, :] x not None, uint8_t[:, :, :] codes not None, scales not None, zeros,
              const uint32_t[::1] amax, size_t rows, size_t columns, TileSpec spec not None):
    """Quantise matrices x[i], or a part of their rows or columns, in tiles of `rows` by `columns`.

    The last axis of each array is contiguous. scales: uint8 of 8-bit scales, else float32.
    """
    cdef size_t count = x.shape[0], height = x.shape[1], width = x.shape[2], down, across, i
    cdef bint wide = 1 <= spec.c.scale <= 7
    cdef uint8_t[:, :, :] narrow = None
    cdef float[:, :, :] numbers = None
    cdef int32_t[:, :, :] points = None
    cdef cm_tiling g
    need(rows > 0 and columns > 0, "tiles have at least one row and one column")
    down, across = (height + rows - 1) // rows, (width + columns - 1) // columns
    if wide:
        numbers = scales
    else:
        narrow = scales
    need(<size_t>codes.shape[0] == count and <size_t>codes.shape[1] == height and <size_t>codes.shape[2] == width,
         "x and codes differ in shape")
    need(tuple(scales.shape) == (count, down, across), "scales of the wrong shape")
    if zeros is not None:
        need(tuple(zeros.shape) == (count, down, across), "zero points of the wrong shape")
        points = zeros
    need(amax is None or amax.shape[0] == 1, "one largest magnitude")
    need(spec.c.adaptive == 0 or (columns == 16 and rows <= 16), "adaptive scales are of tiles of at most 16 rows of 16")
    if count == 0 or height == 0 or width == 0:
        return
    need(width == 1 or (x.strides[2] == 4 and codes.strides[2] == 1), "the last axis must be contiguous")
    need(height == 1 or (x.strides[1] % 4 == 0 and x.strides[1] >= 0 and codes.strides[1] >= 0),
         "rows must follow each other upward in memory")
    need(across == 1 or scales.strides[2] == scales.itemsize, "the last axis of scales must be contiguous")
    need(points is None or (zeros.strides[2] == 4 and zeros.strides[1] // 4 == scales.strides[1] // scales.itemsize),
         "scales and zero points differ in rows")
    g.height, g.width, g.rows, g.columns = height, width, rows, columns
    g.stride, g.code_stride = <size_t>x.strides[1] // 4, <size_t>codes.strides[1]
    g.amax, g.hear = NULL, NULL
    if amax is not None:
        g.amax = &amax[0]
    g.zeros = NULL
    if wide:
        g.scale_stride = <size_t>numbers.strides[1] // 4
    else:
        g.scale_stride = <size_t>narrow.strides[1]
    with nogil:
        for i in range(count):
            g.x, g.codes = &x[i, 0, 0], &codes[i, 0, 0]
            if wide:
                g.scales = &numbers[i, 0, 0]
            else:
                g.scales = &narrow[i, 0, 0]
            if points is not None:
                g.zeros = &points[i, 0, 0]
            active_quantize.tiles_f32(&g, &spec.c)
