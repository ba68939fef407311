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

    ctypedef struct cm_lanes:
        const float *value
        const int16_t *range

    ctypedef struct cm_lanes_args:
        size_t rows, columns, depth
        cm_lanes a, b
        const int32_t *ea
        const int16_t *eb
        const float *c
        float *d
        int32_t products, instruction, fraction_bits, groups

    ctypedef struct cm_binary_args:
        size_t rows, columns, words
        const uint8_t *a
        const uint8_t *b
        const int32_t *c
        int32_t *d
        int32_t both

    ctypedef struct cm_matmul_kernels:
        void (*pack_rows)(const float *, size_t, size_t, size_t, int32_t, float *, int32_t *, uint8_t *) noexcept nogil
        void (*pack_panels)(const float *, size_t, size_t, size_t, int32_t, float *, int32_t *, uint8_t *) noexcept nogil
        void (*fused)(const cm_fused_args *, size_t, size_t) noexcept nogil
        void (*chain_f32)(const cm_chain_args *, size_t, size_t) noexcept nogil
        void (*chain_f64)(const cm_chain_args *, size_t, size_t) noexcept nogil
        void (*integer)(const cm_integer_args *, size_t, size_t) noexcept nogil
        void (*lane_rows)(const float *, size_t, size_t, size_t, int32_t, int32_t, float *, int32_t *, int16_t *) noexcept nogil
        void (*lane_panels)(const float *, size_t, size_t, size_t, int32_t, int32_t, float *, int16_t *, int16_t *) noexcept nogil
        void (*exact)(const cm_lanes_args *, size_t, size_t) noexcept nogil
        void (*flushed)(const cm_lanes_args *, size_t, size_t) noexcept nogil
        void (*floored)(const cm_lanes_args *, size_t, size_t) noexcept nogil
        void (*binary)(const cm_binary_args *, size_t, size_t) noexcept nogil


cdef const cm_matmul_kernels *active_matmul = NULL  # of the active tier: see use_tier


cdef enum:
    PANEL = 16


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
        active_matmul.chain_f32(&args, row_begin, row_end)


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
        active_matmul.chain_f64(&args, row_begin, row_end)


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
        active_matmul.integer(&args, row_begin, row_end)


# The models of AMD's matrix cores, and binary instructions.

cdef enum:
    LANES = 32
    EXACT_PRODUCTS = 16


cdef size_t lane_panels_of(size_t columns) noexcept nogil:
    return (columns + LANES - 1) // LANES


def lane_rows(const float[:, ::1] x not None, int min_exponent, bint flush, float[:, ::1] value not None,
              int32_t[:, ::1] exponent not None, int16_t[:, ::1] spans not None):
    cdef size_t rows = x.shape[0], depth = x.shape[1], padded = value.shape[1]
    need(<size_t>value.shape[0] == rows and <size_t>exponent.shape[0] == rows and <size_t>exponent.shape[1] == padded
         and <size_t>spans.shape[0] == rows and spans.shape[1] == 2 and padded >= depth and rows > 0 and depth > 0,
         "lane_rows: shapes")
    with nogil:
        active_matmul.lane_rows(&x[0, 0], rows, depth, padded, min_exponent, flush, &value[0, 0], &exponent[0, 0],
                                &spans[0, 0])


def lane_panels(const float[:, ::1] x not None, int min_exponent, bint flush, float[:, :, ::1] value not None,
                int16_t[:, :, ::1] exponent not None, int16_t[:, ::1] spans not None):
    cdef size_t depth = x.shape[0], columns = x.shape[1], padded = value.shape[1], count = lane_panels_of(columns)
    need(<size_t>value.shape[0] == count and <size_t>exponent.shape[0] == count and value.shape[2] == LANES
         and exponent.shape[2] == LANES and <size_t>exponent.shape[1] == padded and padded >= depth
         and <size_t>spans.shape[0] == count * LANES and spans.shape[1] == 2 and columns > 0 and depth > 0,
         "lane_panels: shapes")
    with nogil:
        active_matmul.lane_panels(&x[0, 0], depth, columns, padded, min_exponent, flush, &value[0, 0, 0],
                                  &exponent[0, 0, 0], &spans[0, 0])


def lanes(str model not None, tuple a not None, tuple b not None, const float[:, ::1] c, float[:, ::1] d not None,
          int products, int instruction, int fraction_bits, int groups, size_t row_begin, size_t row_end):
    cdef const float[:, ::1] a_value = a[0]
    cdef const int32_t[:, ::1] a_exponent = a[1]
    cdef const int16_t[:, ::1] a_range = a[2]
    cdef const float[:, :, ::1] b_value = b[0]
    cdef const int16_t[:, :, ::1] b_exponent = b[1]
    cdef const int16_t[:, ::1] b_range = b[2]
    cdef size_t rows = d.shape[0], columns = d.shape[1], depth = a_value.shape[1], count = lane_panels_of(columns)
    cdef cm_lanes_args args
    cdef void (*kernel)(const cm_lanes_args *, size_t, size_t) noexcept nogil
    need(rows > 0 and columns > 0 and depth > 0 and row_begin <= row_end <= rows, "lanes: an empty or outside range")
    need(<size_t>a_value.shape[0] == rows and <size_t>a_exponent.shape[0] == rows
         and <size_t>a_exponent.shape[1] == depth and <size_t>a_range.shape[0] == rows and a_range.shape[1] == 2,
         "lanes: packed a")
    need(<size_t>b_value.shape[0] == count and <size_t>b_value.shape[1] == depth and b_value.shape[2] == LANES
         and <size_t>b_exponent.shape[0] == count and <size_t>b_exponent.shape[1] == depth
         and b_exponent.shape[2] == LANES and <size_t>b_range.shape[0] == count * LANES and b_range.shape[1] == 2,
         "lanes: packed b")
    need(c is None or (<size_t>c.shape[0] == rows and <size_t>c.shape[1] == columns), "lanes: c")
    need(1 <= products <= EXACT_PRODUCTS and instruction > 0 and instruction % products == 0 and depth % instruction == 0,
         "lanes: products and instruction")
    if model == "exact":
        need(0 <= fraction_bits <= 23, "exact: fraction bits")
        kernel = active_matmul.exact
    elif model == "flushed":
        need(products == 2 or products == 4, "flushed: products")
        kernel = active_matmul.flushed
    else:
        need(model == "floored", "lanes: model")
        need(10 <= fraction_bits <= 24 and (groups == 1 or (groups == 2 and products % 2 == 0)), "floored: parameters")
        kernel = active_matmul.floored
    args.rows, args.columns, args.depth = rows, columns, depth
    args.a.value, args.a.range, args.ea = &a_value[0, 0], &a_range[0, 0], &a_exponent[0, 0]
    args.b.value, args.b.range, args.eb = &b_value[0, 0, 0], &b_range[0, 0], &b_exponent[0, 0, 0]
    args.c, args.d = &c[0, 0] if c is not None else NULL, &d[0, 0]
    args.products, args.instruction, args.fraction_bits, args.groups = products, instruction, fraction_bits, groups
    with nogil:
        kernel(&args, row_begin, row_end)


def binary(const uint8_t[:, ::1] a not None, const uint8_t[:, ::1] b not None, const int32_t[:, ::1] c,
           int32_t[:, ::1] d not None, bint both, size_t row_begin, size_t row_end):
    cdef size_t rows = d.shape[0], columns = d.shape[1], size = a.shape[1]
    cdef cm_binary_args args
    need(rows > 0 and columns > 0 and size > 0 and row_begin <= row_end <= rows, "binary: an empty or outside range")
    need(<size_t>a.shape[0] == rows and <size_t>b.shape[0] == columns and <size_t>b.shape[1] == size and size % 8 == 0
         and (c is None or (<size_t>c.shape[0] == rows and <size_t>c.shape[1] == columns)), "binary: shapes")
    args.rows, args.columns, args.words, args.both = rows, columns, size // 8, both
    args.a, args.b, args.c, args.d = &a[0, 0], &b[0, 0], &c[0, 0] if c is not None else NULL, &d[0, 0]
    with nogil:
        active_matmul.binary(&args, row_begin, row_end)
