# The doors of the matrix units.

cdef extern from "chipmeter/matmul.h" nogil:
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

    ctypedef struct cm_codes:
        const void *codes
        ptrdiff_t line, along
        int32_t bytes, shift, mantissa_bits, bias, magnitude_bits
        uint32_t max_code, infinity_code
        int32_t fnuz
        const uint8_t *scales

    ctypedef struct cm_fused_codes_args:
        size_t rows, columns, depth, padded
        cm_codes a, b
        size_t scale_block, scale_count
        const float *c
        int32_t c_min_exponent
        float *d
        int32_t fused, fraction_bits, floor_exponent, output, way
        uint8_t *left
        uint8_t *left_rows

    ctypedef struct cm_grouped_args:
        size_t rows, columns, depth
        const uint8_t *a
        const uint8_t *b
        ptrdiff_t a_line, a_along, b_line, b_along
        const uint8_t *scales_a
        const uint8_t *scales_b
        size_t scale_block, scale_count
        int32_t scale_fraction, fraction_bits
        const float *c
        float *d
        uint8_t *left
        uint8_t *left_rows

    ctypedef struct cm_chain_args:
        size_t rows, columns, depth, tile
        int32_t order
        const void *a
        const void *b
        const void *c
        void *d
        int32_t rounding
        const cm_decode_spec *code
        int32_t code_bytes
        float *room

    ctypedef struct cm_policy_args:
        size_t rows, columns, depth, tile, lanes
        int32_t policy
        const float *a
        const float *b
        const float *c
        float *d

    ctypedef struct cm_integer_args:
        size_t rows, columns, depth
        const void *a
        const void *b
        ptrdiff_t a_line, a_along, b_line, b_along
        int32_t a_signed, b_signed
        const int32_t *c
        int32_t *d
        int32_t clamp

    ctypedef struct cm_binary_args:
        size_t rows, columns, depth
        const uint8_t *a
        const uint8_t *b
        ptrdiff_t a_line, a_along, b_line, b_along
        const int32_t *c
        int32_t *d
        int32_t both

    ctypedef struct cm_lanes_args:
        size_t rows, columns, depth, padded
        cm_codes a, b
        const float *c
        float *d
        int32_t products, instruction, fraction_bits, groups

    ctypedef struct cm_matmul_kernels:
        void (*pack_rows)(const float *, size_t, size_t, size_t, int32_t, float *, int32_t *, uint8_t *) noexcept nogil
        void (*pack_panels)(const float *, size_t, size_t, size_t, int32_t, float *, int32_t *, uint8_t *) noexcept nogil
        void (*panels)(const void *, ptrdiff_t, ptrdiff_t, size_t, size_t, size_t, size_t, void *) noexcept nogil
        void (*code_panels)(const void *, ptrdiff_t, ptrdiff_t, size_t, size_t, size_t, size_t, const cm_decode_spec *,
                            float *) noexcept nogil
        int (*exponents_within)(const cm_codes *, size_t, size_t, int32_t) noexcept nogil
        void (*fused)(const cm_fused_args *, size_t, size_t) noexcept nogil
        size_t (*fused_codes_workspace)(const cm_fused_codes_args *) noexcept nogil
        void (*fused_codes)(const cm_fused_codes_args *, size_t, size_t, void *) noexcept nogil
        int32_t integer_products
        void (*chain_f32)(const cm_chain_args *, size_t, size_t) noexcept nogil
        void (*chain_f64)(const cm_chain_args *, size_t, size_t) noexcept nogil
        void (*fma_f32)(const float *, const float *, const float *, float *, size_t) noexcept nogil
        void (*policy)(const cm_policy_args *, size_t, size_t) noexcept nogil
        size_t (*lanes_workspace)() noexcept nogil
        void (*exact)(const cm_lanes_args *, size_t, size_t, void *) noexcept nogil
        void (*flushed)(const cm_lanes_args *, size_t, size_t, void *) noexcept nogil
        void (*floored)(const cm_lanes_args *, size_t, size_t, void *) noexcept nogil
        size_t (*integer_workspace)() noexcept nogil
        void (*integer)(const cm_integer_args *, size_t, size_t, void *) noexcept nogil
        size_t (*binary_workspace)() noexcept nogil
        void (*binary)(const cm_binary_args *, size_t, size_t, void *) noexcept nogil
        size_t (*grouped_workspace)() noexcept nogil
        void (*grouped)(const cm_grouped_args *, size_t, size_t, void *) noexcept nogil


cdef const cm_matmul_kernels *active_matmul = NULL  # of the active tier: see use_tier


cdef enum:
    PANEL = 16
    CHAIN_ROWS = 96


cdef size_t panels(size_t columns) noexcept nogil:
    return (columns + PANEL - 1) // PANEL


def pack_rows(const float[:, ::1] x not None, int min_exponent, float[:, ::1] value not None,
              int32_t[:, ::1] exponent not None, uint8_t[::1] flag not None):
    cdef size_t rows = x.shape[0], depth = x.shape[1], padded = value.shape[1]
    need(<size_t>value.shape[0] == rows and <size_t>exponent.shape[0] == rows and <size_t>flag.shape[0] == rows
         and <size_t>exponent.shape[1] == padded and padded >= depth and rows > 0 and depth > 0, "pack_rows: shapes")
    with nogil:
        active_matmul.pack_rows(&x[0, 0], rows, depth, padded, min_exponent, &value[0, 0], &exponent[0, 0], &flag[0])


def pack_panels(const float[:, ::1] x not None, int min_exponent, float[:, :, ::1] value not None,
                int32_t[:, :, ::1] exponent not None, uint8_t[::1] flag not None):
    cdef size_t depth = x.shape[0], columns = x.shape[1], padded = value.shape[1], count = panels(columns)
    need(<size_t>value.shape[0] == count and <size_t>exponent.shape[0] == count and value.shape[2] == PANEL
         and exponent.shape[2] == PANEL and <size_t>exponent.shape[1] == padded and padded >= depth
         and <size_t>flag.shape[0] == count * PANEL and columns > 0 and depth > 0, "pack_panels: shapes")
    with nogil:
        active_matmul.pack_panels(&x[0, 0], depth, columns, padded, min_exponent, &value[0, 0, 0], &exponent[0, 0, 0],
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
        active_matmul.fused(&args, row_begin, row_end)


cdef class CodeSpec:
    """How the codes of an operand are laid out; checked once, so that the kernels may trust it."""

    cdef cm_codes fields

    def __init__(self, int shift, int mantissa_bits, int bias, int magnitude_bits, uint32_t max_code, uint32_t infinity_code,
                 bint fnuz):
        need(0 <= mantissa_bits <= 10 and mantissa_bits < magnitude_bits <= mantissa_bits + 8 and 0 <= shift <= 16
             and 1 <= bias <= 127, "CodeSpec: fields")
        self.fields.shift, self.fields.mantissa_bits, self.fields.bias = shift, mantissa_bits, bias
        self.fields.magnitude_bits, self.fields.max_code, self.fields.infinity_code = magnitude_bits, max_code, infinity_code
        self.fields.fnuz = fnuz
        self.fields.scales = NULL


cdef int take_codes(cm_codes *codes, CodeSpec spec, const uint8_t[:, :] x8, const uint16_t[:, :] x16, const uint32_t[:, :] x32,
                    bint transposed) except -1:
    """Fill in one matrix of any strides; `transposed` for B, whose lines are columns."""
    cdef ptrdiff_t first, second, size
    codes[0] = spec.fields
    if x8 is not None:
        codes.codes, codes.bytes, first, second = &x8[0, 0], 1, x8.strides[0], x8.strides[1]
    elif x16 is not None:
        codes.codes, codes.bytes, first, second = &x16[0, 0], 2, x16.strides[0], x16.strides[1]
    else:
        codes.codes, codes.bytes, first, second = &x32[0, 0], 4, x32.strides[0], x32.strides[1]
    size = codes.bytes
    need(first % size == 0 and second % size == 0 and spec.fields.shift + spec.fields.magnitude_bits < 8 * size,
         "codes: strides or width")
    codes.line, codes.along = (second // size, first // size) if transposed else (first // size, second // size)
    return 0


def exponents_within(x not None, CodeSpec spec not None, int limit) -> bool:
    cdef const uint8_t[:, :] x8 = x if x.itemsize == 1 else None
    cdef const uint16_t[:, :] x16 = x if x.itemsize == 2 else None
    cdef const uint32_t[:, :] x32 = x if x.itemsize == 4 else None
    cdef cm_codes codes
    cdef size_t lines = x.shape[0], depth = x.shape[1]
    cdef int within
    need(lines > 0 and depth > 0 and 0 <= limit <= 300, "exponents_within: shape or limit")
    take_codes(&codes, spec, x8, x16, x32, False)
    with nogil:
        within = active_matmul.exponents_within(&codes, lines, depth, limit)
    return within != 0


def panels_of(x not None, out not None) -> None:
    """Copy x (depth x columns) of unsigned integers, any strides, to out (panels x padded x PANEL) of the same type."""
    cdef const uint8_t[:, :] x8 = x if x.itemsize == 1 else None
    cdef const uint16_t[:, :] x16 = x if x.itemsize == 2 else None
    cdef const uint32_t[:, :] x32 = x if x.itemsize == 4 else None
    cdef const uint64_t[:, :] x64 = x if x.itemsize == 8 else None
    cdef uint8_t[::1] target = out.reshape(-1).view("u1")
    cdef ptrdiff_t first = x.strides[0], second = x.strides[1]
    cdef size_t depth = x.shape[0], columns = x.shape[1], size = x.itemsize, padded = out.shape[1]
    cdef const void *source
    need(depth > 0 and columns > 0 and out.itemsize == size and out.ndim == 3 and <size_t>out.shape[0] == panels(columns)
         and out.shape[2] == PANEL and padded >= depth and first % <ptrdiff_t>size == 0 and second % <ptrdiff_t>size == 0,
         "panels_of: shapes or strides")
    if x8 is not None:
        source = &x8[0, 0]
    elif x16 is not None:
        source = &x16[0, 0]
    elif x32 is not None:
        source = &x32[0, 0]
    else:
        source = &x64[0, 0]
    with nogil:
        active_matmul.panels(source, first // <ptrdiff_t>size, second // <ptrdiff_t>size, size, depth, columns, padded,
                             &target[0])


def code_panels(x not None, DecodeSpec code not None, float[:, :, ::1] out not None) -> None:
    """Copy codes of one or two bytes, any strides, to panels as panels_of does, decoded."""
    cdef const uint8_t[:, :] x8 = x if x.itemsize == 1 else None
    cdef const uint16_t[:, :] x16 = x if x.itemsize != 1 else None
    cdef ptrdiff_t first = x.strides[0], second = x.strides[1], size = x.itemsize
    cdef size_t depth = x.shape[0], columns = x.shape[1], padded = out.shape[1]
    cdef const void *source
    need(depth > 0 and columns > 0 and <size_t>out.shape[0] == panels(columns) and out.shape[2] == PANEL and padded >= depth
         and first % size == 0 and second % size == 0 and code.c.bits <= 8 * size, "code_panels: shapes, strides or width")
    if x8 is not None:
        source = &x8[0, 0]
    else:
        source = &x16[0, 0]
    with nogil:
        active_matmul.code_panels(source, first // size, second // size, size, depth, columns, padded, &code.c, &out[0, 0, 0])


cdef class FusedCodes:
    """One product of the fused model from codes: arguments checked once, then run by ranges of rows."""

    cdef cm_fused_codes_args args
    cdef object alive

    def __init__(self, a not None, CodeSpec a_spec not None, b not None, CodeSpec b_spec not None, const float[:, ::1] c,
                 int c_min_exponent, float[:, ::1] d not None, size_t padded, int fused_products, int fraction_bits,
                 int floor_exponent, int output, int way, size_t scale_block, const uint8_t[:, ::1] a_scales,
                 const uint8_t[:, ::1] b_scales, uint8_t[:, ::1] left not None, uint8_t[::1] left_rows not None):
        cdef size_t rows = d.shape[0], columns = d.shape[1], depth = a.shape[1]
        cdef const uint8_t[:, :] a8 = a if a.itemsize == 1 else None, b8 = b if b.itemsize == 1 else None
        cdef const uint16_t[:, :] a16 = a if a.itemsize == 2 else None, b16 = b if b.itemsize == 2 else None
        cdef const uint32_t[:, :] a32 = a if a.itemsize == 4 else None, b32 = b if b.itemsize == 4 else None
        need(rows > 0 and columns > 0 and depth > 0 and a.ndim == b.ndim == 2 and a.shape[0] == rows
             and b.shape == (depth, columns), "fused_codes: shapes")
        need(c is None or (<size_t>c.shape[0] == rows and <size_t>c.shape[1] == columns), "fused_codes: c")
        need(<size_t>left.shape[0] == rows and <size_t>left.shape[1] == columns and <size_t>left_rows.shape[0] == rows,
             "fused_codes: left")
        need(1 <= fused_products <= 32 and padded >= depth and padded % fused_products == 0 and 0 <= output <= 2
             and 10 <= fraction_bits <= 25 and -400 <= floor_exponent <= -15, "fused_codes: parameters")
        take_codes(&self.args.a, a_spec, a8, a16, a32, False)
        take_codes(&self.args.b, b_spec, b8, b16, b32, True)
        need(0 <= way <= 4, "fused_codes: unknown way")
        need(way != 1 or (fraction_bits <= 13 and scale_block == 0 and narrow_enough(&self.args.a)
                          and narrow_enough(&self.args.b)), "fused_codes: not narrow")
        need(way < 2 or (fused_products <= (8 if way == 3 else 16) and scale_block == 0), "fused_codes: not for int32 sums")
        need(way < 3 or (fraction_bits == 24 and output == 0 and c_min_exponent == -126
                         and (way == 3 or fused_products % 2 == 0)), "fused_codes: not a floored step")
        self.args.scale_block = scale_block
        if scale_block:
            self.args.scale_count = (depth + scale_block - 1) // scale_block
            need(scale_block % fused_products == 0 and a_scales is not None and b_scales is not None
                 and <size_t>a_scales.shape[0] == rows and <size_t>b_scales.shape[0] == columns
                 and <size_t>a_scales.shape[1] == self.args.scale_count
                 and <size_t>b_scales.shape[1] == self.args.scale_count, "fused_codes: scales")
            self.args.a.scales, self.args.b.scales = &a_scales[0, 0], &b_scales[0, 0]
        self.args.rows, self.args.columns, self.args.depth, self.args.padded = rows, columns, depth, padded
        self.args.c = &c[0, 0] if c is not None else NULL
        self.args.c_min_exponent, self.args.d = c_min_exponent, &d[0, 0]
        self.args.fused, self.args.fraction_bits, self.args.floor_exponent = fused_products, fraction_bits, floor_exponent
        self.args.output, self.args.way = output, way
        self.args.left, self.args.left_rows = &left[0, 0], &left_rows[0]
        self.alive = (a, b, c, d, a_scales, b_scales, left, left_rows)

    def workspace(self) -> int:
        return active_matmul.fused_codes_workspace(&self.args)

    def run(self, size_t row_begin, size_t row_end, uint8_t[::1] workspace not None) -> None:
        need(row_begin <= row_end <= self.args.rows, "fused_codes: rows")
        need(<size_t>workspace.shape[0] >= active_matmul.fused_codes_workspace(&self.args), "fused_codes: workspace")
        with nogil:
            active_matmul.fused_codes(&self.args, row_begin, row_end, &workspace[0])


cdef bint narrow_enough(const cm_codes *f) noexcept:
    """Whether exponents lie in -15..16 and significands have at most 4 bits."""
    cdef int fields = 1 << (f.magnitude_bits - f.mantissa_bits)
    return f.mantissa_bits <= 3 and 1 - f.bias >= -15 and fields - 1 - f.bias <= 16


def integer_products() -> int:
    return active_matmul.integer_products


def grouped_workspace() -> int:
    return active_matmul.grouped_workspace()


def grouped(const uint8_t[:, :] a not None, const uint8_t[:, :] b not None, const uint8_t[:, ::1] scales_a not None,
            const uint8_t[:, ::1] scales_b not None, size_t scale_block, int scale_fraction, int fraction_bits,
            const float[:, ::1] c, float[:, ::1] d not None, uint8_t[:, ::1] left not None, uint8_t[::1] left_rows not None,
            size_t row_begin, size_t row_end, uint8_t[::1] workspace not None):
    cdef cm_grouped_args args
    cdef size_t rows = d.shape[0], columns = d.shape[1], depth = a.shape[1]
    need(rows > 0 and columns > 0 and depth > 0 and <size_t>a.shape[0] == rows and <size_t>b.shape[0] == depth
         and <size_t>b.shape[1] == columns and row_begin <= row_end <= rows, "grouped: shapes or rows")
    need((scale_block == 16 or scale_block == 32) and (scale_fraction == 0 or scale_fraction == 3)
         and 25 <= fraction_bits <= 35, "grouped: parameters")
    args.scale_count = (depth + scale_block - 1) // scale_block
    need(<size_t>scales_a.shape[0] == rows and <size_t>scales_b.shape[0] == columns
         and <size_t>scales_a.shape[1] == args.scale_count and <size_t>scales_b.shape[1] == args.scale_count,
         "grouped: scales")
    need(c is None or (<size_t>c.shape[0] == rows and <size_t>c.shape[1] == columns), "grouped: c")
    need(<size_t>left.shape[0] == rows and <size_t>left.shape[1] == columns and <size_t>left_rows.shape[0] == rows
         and <size_t>workspace.shape[0] >= active_matmul.grouped_workspace(), "grouped: left or workspace")
    args.rows, args.columns, args.depth = rows, columns, depth
    args.a, args.a_line, args.a_along = &a[0, 0], a.strides[0], a.strides[1]
    args.b, args.b_line, args.b_along = &b[0, 0], b.strides[1], b.strides[0]
    args.scales_a, args.scales_b, args.scale_block = &scales_a[0, 0], &scales_b[0, 0], scale_block
    args.scale_fraction, args.fraction_bits = scale_fraction, fraction_bits
    args.c = &c[0, 0] if c is not None else NULL
    args.d, args.left, args.left_rows = &d[0, 0], &left[0, 0], &left_rows[0]
    with nogil:
        active_matmul.grouped(&args, row_begin, row_end, &workspace[0])


def chain_f32(a not None, DecodeSpec code, float[:, ::1] room, const float[:, :, ::1] b not None, const float[:, ::1] c,
              float[:, ::1] d not None, size_t tile, int order, int rounding, size_t row_begin, size_t row_end):
    """Without `code`, a holds numbers; with it, codes of one or two bytes, and `room` what one block of rows decodes to."""
    cdef const float[:, ::1] numbers = a if code is None else None
    cdef const uint8_t[:, ::1] x8 = a if code is not None and a.itemsize == 1 else None
    cdef const uint16_t[:, ::1] x16 = a if code is not None and a.itemsize != 1 else None
    cdef cm_chain_args args
    cdef size_t rows = d.shape[0], columns = d.shape[1], depth = a.shape[1]
    need(rows > 0 and columns > 0 and depth > 0 and row_begin <= row_end <= rows, "chain: an empty or outside range")
    need(code is None or (room is not None and <size_t>room.shape[1] == depth and code.c.bits <= 8 * <int>a.itemsize
                          and <size_t>room.shape[0] >= min(<size_t>CHAIN_ROWS, row_end - row_begin)), "chain: codes or room")
    need(<size_t>a.shape[0] == rows and <size_t>b.shape[0] == panels(columns) and <size_t>b.shape[1] == depth
         and b.shape[2] == PANEL and (c is None or (<size_t>c.shape[0] == rows and <size_t>c.shape[1] == columns)),
         "chain: shapes")
    args.rows, args.columns, args.depth, args.tile, args.order, args.rounding = rows, columns, depth, tile, order, rounding
    args.code, args.room, args.code_bytes = NULL, NULL, a.itemsize
    if numbers is not None:
        args.a = &numbers[0, 0]
    elif x8 is not None:
        args.a = &x8[0, 0]
    else:
        args.a = &x16[0, 0]
    if code is not None:
        args.code, args.room = &code.c, &room[0, 0]
    args.b, args.c, args.d = &b[0, 0, 0], &c[0, 0] if c is not None else NULL, &d[0, 0]
    with nogil:
        active_matmul.chain_f32(&args, row_begin, row_end)


def chain_f64(const double[:, ::1] a not None, const double[:, :, ::1] b not None, const double[:, ::1] c,
              double[:, ::1] d not None, size_t tile, int order, int rounding, size_t row_begin, size_t row_end):
    cdef cm_chain_args args
    cdef size_t rows = d.shape[0], columns = d.shape[1], depth = a.shape[1]
    need(rows > 0 and columns > 0 and depth > 0 and row_begin <= row_end <= rows, "chain: an empty or outside range")
    need(<size_t>a.shape[0] == rows and <size_t>b.shape[0] == panels(columns) and <size_t>b.shape[1] == depth
         and b.shape[2] == PANEL and (c is None or (<size_t>c.shape[0] == rows and <size_t>c.shape[1] == columns)),
         "chain: shapes")
    args.rows, args.columns, args.depth, args.tile, args.order, args.rounding = rows, columns, depth, tile, order, rounding
    args.a, args.b, args.c, args.d = &a[0, 0], &b[0, 0, 0], &c[0, 0] if c is not None else NULL, &d[0, 0]
    args.code = NULL
    with nogil:
        active_matmul.chain_f64(&args, row_begin, row_end)


def fma_f32(const float[::1] x not None, const float[::1] y not None, const float[::1] z not None, float[::1] out not None):
    cdef size_t n = out.shape[0]
    need(<size_t>x.shape[0] == n and <size_t>y.shape[0] == n and <size_t>z.shape[0] == n, "fma: lengths")
    if n:
        with nogil:
            active_matmul.fma_f32(&x[0], &y[0], &z[0], &out[0], n)


def policy(const float[:, ::1] a not None, const float[:, :, ::1] b not None, const float[:, ::1] c,
           float[:, ::1] d not None, size_t tile, size_t lanes, int policy, size_t row_begin, size_t row_end):
    cdef cm_policy_args args
    cdef size_t rows = d.shape[0], columns = d.shape[1], depth = a.shape[1]
    need(rows > 0 and columns > 0 and depth > 0 and row_begin <= row_end <= rows, "policy: an empty or outside range")
    need(tile > 0 and 1 <= lanes <= 4 and 0 <= policy <= 1, "policy: parameters")
    need(<size_t>a.shape[0] == rows and <size_t>b.shape[0] == panels(columns) and <size_t>b.shape[1] == depth
         and b.shape[2] == PANEL and (c is None or (<size_t>c.shape[0] == rows and <size_t>c.shape[1] == columns)),
         "policy: shapes")
    args.rows, args.columns, args.depth, args.tile, args.lanes, args.policy = rows, columns, depth, tile, lanes, policy
    args.a, args.b, args.c, args.d = &a[0, 0], &b[0, 0, 0], &c[0, 0] if c is not None else NULL, &d[0, 0]
    with nogil:
        active_matmul.policy(&args, row_begin, row_end)


def integer_workspace() -> int:
    return active_matmul.integer_workspace()


def integer(const uint8_t[:, :] a not None, bint a_signed, const uint8_t[:, :] b not None, bint b_signed, const int32_t[:, ::1] c,
            int32_t[:, ::1] d not None, int clamp, size_t row_begin, size_t row_end, uint8_t[::1] workspace not None):
    cdef cm_integer_args args
    cdef size_t rows = d.shape[0], columns = d.shape[1], depth = a.shape[1]
    need(rows > 0 and columns > 0 and depth > 0 and row_begin <= row_end <= rows, "integer: an empty or outside range")
    need(<size_t>a.shape[0] == rows and <size_t>b.shape[1] == columns and <size_t>b.shape[0] == depth and 0 <= clamp <= 1024
         and (c is None or (<size_t>c.shape[0] == rows and <size_t>c.shape[1] == columns)), "integer: shapes")
    need(<size_t>workspace.shape[0] >= active_matmul.integer_workspace(), "integer: workspace")
    args.rows, args.columns, args.depth, args.clamp = rows, columns, depth, clamp
    args.a, args.b, args.c, args.d = &a[0, 0], &b[0, 0], &c[0, 0] if c is not None else NULL, &d[0, 0]
    args.a_line, args.a_along, args.b_along, args.b_line = a.strides[0], a.strides[1], b.strides[0], b.strides[1]
    args.a_signed, args.b_signed = a_signed, b_signed
    with nogil:
        active_matmul.integer(&args, row_begin, row_end, &workspace[0])


def binary_workspace() -> int:
    return active_matmul.binary_workspace()


def binary(const uint8_t[:, :] a not None, const uint8_t[:, :] b not None, const int32_t[:, ::1] c, int32_t[:, ::1] d not None,
           bint both, size_t row_begin, size_t row_end, uint8_t[::1] workspace not None):
    cdef cm_binary_args args
    cdef size_t rows = d.shape[0], columns = d.shape[1], depth = a.shape[1]
    need(rows > 0 and columns > 0 and depth > 0 and row_begin <= row_end <= rows, "binary: an empty or outside range")
    need(<size_t>a.shape[0] == rows and <size_t>b.shape[1] == columns and <size_t>b.shape[0] == depth
         and (c is None or (<size_t>c.shape[0] == rows and <size_t>c.shape[1] == columns)), "binary: shapes")
    need(<size_t>workspace.shape[0] >= active_matmul.binary_workspace(), "binary: workspace")
    args.rows, args.columns, args.depth, args.both = rows, columns, depth, both
    args.a, args.b, args.c, args.d = &a[0, 0], &b[0, 0], &c[0, 0] if c is not None else NULL, &d[0, 0]
    args.a_line, args.a_along, args.b_along, args.b_line = a.strides[0], a.strides[1], b.strides[0], b.strides[1]
    with nogil:
        active_matmul.binary(&args, row_begin, row_end, &workspace[0])


# The models of AMD's matrix cores.

cdef enum:
    EXACT_PRODUCTS = 16


def lanes_workspace() -> int:
    return active_matmul.lanes_workspace()


def lanes(str model not None, a not None, CodeSpec a_spec not None, b not None, CodeSpec b_spec not None, const float[:, ::1] c,
          float[:, ::1] d not None, size_t padded, int products, int instruction, int fraction_bits, int groups, size_t row_begin,
          size_t row_end, uint8_t[::1] workspace not None):
    cdef const uint8_t[:, :] a8 = a if a.itemsize == 1 else None, b8 = b if b.itemsize == 1 else None
    cdef const uint16_t[:, :] a16 = a if a.itemsize == 2 else None, b16 = b if b.itemsize == 2 else None
    cdef const uint32_t[:, :] a32 = a if a.itemsize == 4 else None, b32 = b if b.itemsize == 4 else None
    cdef size_t rows = d.shape[0], columns = d.shape[1], depth = a.shape[1]
    cdef cm_lanes_args args
    cdef void (*kernel)(const cm_lanes_args *, size_t, size_t, void *) noexcept nogil
    need(rows > 0 and columns > 0 and depth > 0 and row_begin <= row_end <= rows, "lanes: an empty or outside range")
    need(a.ndim == b.ndim == 2 and a.shape[0] == rows and b.shape == (depth, columns)
         and (c is None or (<size_t>c.shape[0] == rows and <size_t>c.shape[1] == columns)), "lanes: shapes")
    need(1 <= products <= EXACT_PRODUCTS and instruction > 0 and instruction % products == 0 and padded >= depth
         and padded % instruction == 0, "lanes: products and instruction")
    need(<size_t>workspace.shape[0] >= active_matmul.lanes_workspace(), "lanes: workspace")
    take_codes(&args.a, a_spec, a8, a16, a32, False)
    take_codes(&args.b, b_spec, b8, b16, b32, True)
    if model == "exact":
        kernel = active_matmul.exact
    elif model == "flushed":
        need(products == 2 or products == 4, "flushed: products")
        kernel = active_matmul.flushed
    else:
        need(model == "floored", "lanes: model")
        need(10 <= fraction_bits <= 24 and (groups == 1 or (groups == 2 and products % 2 == 0)), "floored: parameters")
        kernel = active_matmul.floored
    args.rows, args.columns, args.depth, args.padded = rows, columns, depth, padded
    args.c, args.d = &c[0, 0] if c is not None else NULL, &d[0, 0]
    args.products, args.instruction, args.fraction_bits, args.groups = products, instruction, fraction_bits, groups
    with nogil:
        kernel(&args, row_begin, row_end, &workspace[0])
