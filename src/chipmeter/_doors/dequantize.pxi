# The doors from codes and scales back to numbers.

cdef extern from "chipmeter/dequantize.h" nogil:
    ctypedef struct cm_value_spec:
        int32_t kind, bits, packed, two_level
        float tensor_scale, unit
        float table[16]
        const cm_decode_spec *format

    ctypedef struct cm_grid:
        size_t n, run, length, repeat, middle

    ctypedef struct cm_measure_spec:
        size_t lines, segment
        float low, high
        const float *given

    ctypedef struct cm_error_sums:
        double signal, error, largest
        uint64_t clipped, flushed, exact

    ctypedef struct cm_dequantize_kernels:
        void (*dequantize)(const uint8_t *, const float *, const float *, float *, size_t, size_t, size_t, const cm_grid *,
                           const cm_value_spec *) noexcept nogil
        void (*measure)(const float *, const uint8_t *, const float *, const float *, size_t, size_t, size_t, const cm_grid *,
                        const cm_value_spec *, const cm_measure_spec *, cm_error_sums *, uint64_t *) noexcept nogil
        void (*tiles_measured)(const cm_tiling *, const cm_tile_spec *, const float *, const cm_value_spec *,
                               const cm_measure_spec *, cm_error_sums *, uint64_t *) noexcept nogil
        void (*pack)(const uint8_t *, uint8_t *, size_t, int) noexcept nogil
        void (*transpose_u8)(const uint8_t *, size_t, size_t, size_t, uint8_t *, size_t) noexcept nogil
        void (*transpose_u32)(const uint32_t *, size_t, size_t, size_t, uint32_t *, size_t) noexcept nogil


cdef const cm_dequantize_kernels *active_dequantize = NULL  # of the active tier: see use_tier


cdef class ValueSpec:
    """A cm_value_spec: kind 0 is a float format, 1 a table of 16, 2 and 3 signed and unsigned integers."""

    cdef cm_value_spec c
    cdef DecodeSpec format

    def __init__(self, int kind, int bits, bint packed, bint two_level, float tensor_scale, float unit, tuple table,
                 DecodeSpec format):
        need(0 <= kind <= 3 and (bits in (4, 6) if packed else bits == 8), "value spec out of range")
        need((kind == 0) == (format is not None) and (kind == 1) == (table is not None),
             "a format for kind 0, a table for kind 1")
        need(table is None or len(table) == 16, "a table has 16 entries")
        need(format is None or format.c.bits <= 8, "codes have at most 8 bits")
        self.c.kind, self.c.bits, self.c.packed, self.c.two_level = kind, bits, packed, two_level
        self.c.tensor_scale, self.c.unit = tensor_scale, unit
        for i in range(16):
            self.c.table[i] = table[i] if table is not None else 0
        self.format = format
        self.c.format = &format.c if format is not None else NULL


cdef class Grid:
    """A cm_grid: a tensor as (outer, length, middle) lines of n elements."""

    cdef cm_grid c

    def __init__(self, size_t n, size_t run, size_t length, size_t repeat, size_t middle):
        need(n > 0 and run > 0 and length > 0 and repeat > 0 and middle > 0, "a grid has no empty axis")
        self.c.n, self.c.run, self.c.length, self.c.repeat, self.c.middle = n, run, length, repeat, middle


cdef size_t checked_grid(size_t elements, size_t codes, size_t scales, const float[::1] zeros, Grid grid,
                         ValueSpec spec) except? 0:
    """Check the sizes of a tensor's parts against each other; give the number of lines."""
    cdef size_t unit = grid.c.n * grid.c.length * grid.c.middle
    need(elements % unit == 0, "the elements are not whole lines of the grid")
    need(codes == (elements * <size_t>spec.c.bits + 7) // 8, "codes and elements differ in number")
    cdef size_t rows = elements // unit * ((grid.c.length + grid.c.repeat - 1) // grid.c.repeat) * grid.c.middle
    need(scales == rows * ((grid.c.n + grid.c.run - 1) // grid.c.run), "scales and blocks differ in number")
    need(zeros is None or <size_t>zeros.shape[0] == scales, "zeros and scales differ in number")
    return elements // grid.c.n


def dequantize(const uint8_t[::1] codes not None, const float[::1] scales not None, const float[::1] zeros,
               float[::1] x not None, size_t begin, size_t end, Grid grid not None, ValueSpec spec not None):
    """Lines begin..end of x from codes and scales of the whole tensor."""
    cdef size_t lines = checked_grid(x.shape[0], codes.shape[0], scales.shape[0], zeros, grid, spec)
    need(begin <= end <= lines, "lines out of range")
    cdef const float *low = &zeros[0] if zeros is not None and zeros.shape[0] else NULL
    if begin < end:
        with nogil:
            active_dequantize.dequantize(&codes[0], &scales[0], low, &x[0], begin, end, lines, &grid.c, &spec.c)


def measure(const float[::1] x not None, const uint8_t[::1] codes not None, const float[::1] scales not None,
            const float[::1] zeros, size_t begin, size_t end, Grid grid not None, ValueSpec spec not None, size_t chunk_lines,
            size_t segment, float low, float high, const float[::1] given,
            double[:, ::1] sums not None, uint64_t[:, ::1] counts not None, uint64_t[::1] octaves not None):
    """Sums of chunks begin..end: (signal, error, largest) and (clipped, flushed, exact); octaves are added to."""
    cdef size_t lines = checked_grid(x.shape[0], codes.shape[0], scales.shape[0], zeros, grid, spec)
    cdef size_t chunks = end - begin, all_chunks, i
    cdef cm_measure_spec how
    cdef cm_error_sums found[64]
    need(grid.c.middle == 1 and (chunk_lines > 0 or (segment > 0 and segment % grid.c.run == 0)), "no chunks of this grid")
    all_chunks = (lines + chunk_lines - 1) // chunk_lines if chunk_lines else lines * ((grid.c.n + segment - 1) // segment)
    need(begin <= end <= all_chunks and chunks <= 64, "chunks out of range, or more than 64 at a time")
    need(<size_t>sums.shape[0] == chunks and sums.shape[1] == 3 and <size_t>counts.shape[0] == chunks and counts.shape[1] == 3,
         "sums and chunks differ in number")
    need(octaves.shape[0] == 2048, "there are 2048 octaves")
    need(given is None or given.shape[0] == x.shape[0], "x and what is given differ in length")
    how.lines, how.segment, how.low, how.high = chunk_lines, segment, low, high
    how.given = &given[0] if given is not None and given.shape[0] else NULL
    cdef const float *zero = &zeros[0] if zeros is not None and zeros.shape[0] else NULL
    if begin == end:
        return
    with nogil:
        active_dequantize.measure(&x[0], &codes[0], &scales[0], zero, begin, end, lines, &grid.c, &spec.c, &how,
                                  found, &octaves[0])
    for i in range(chunks):
        sums[i, 0], sums[i, 1], sums[i, 2] = found[i].signal, found[i].error, found[i].largest
        counts[i, 0], counts[i, 1], counts[i, 2] = found[i].clipped, found[i].flushed, found[i].exact


cdef int need_transposes(const Py_ssize_t *source, const Py_ssize_t *source_strides, const Py_ssize_t *target,
                         const Py_ssize_t *target_strides, Py_ssize_t size) except -1:
    """Check shapes and strides of a matrix and of one to hold it turned over, elements of `size` bytes."""
    need(target[0] == source[1] and target[1] == source[0], "source and target differ in shape")
    need((source_strides[1] == size or source[1] <= 1) and (target_strides[1] == size or target[1] <= 1),
         "the last axis is not contiguous")
    need((source_strides[0] >= 0 and source_strides[0] % size == 0 or source[0] <= 1)
         and (target_strides[0] >= 0 and target_strides[0] % size == 0 or target[0] <= 1),
         "rows must ascend in memory, by whole elements")
    return 0


def transpose_u8(const uint8_t[:, :] source not None, uint8_t[:, :] target not None):
    """target[j, i] = source[i, j]; the last axis of both is contiguous."""
    need_transposes(source.shape, source.strides, target.shape, target.strides, 1)
    if source.shape[0] and source.shape[1]:
        with nogil:
            active_dequantize.transpose_u8(&source[0, 0], source.shape[0], source.shape[1], source.strides[0],
                                           &target[0, 0], target.strides[0])


def transpose_u32(const uint32_t[:, :] source not None, uint32_t[:, :] target not None):
    """target[j, i] = source[i, j]; the last axis of both is contiguous."""
    need_transposes(source.shape, source.strides, target.shape, target.strides, 4)
    if source.shape[0] and source.shape[1]:
        with nogil:
            active_dequantize.transpose_u32(&source[0, 0], source.shape[0], source.shape[1], source.strides[0] // 4,
                                            &target[0, 0], target.strides[0] // 4)


def pack(const uint8_t[::1] codes not None, uint8_t[::1] packed not None, int bits):
    """Whole groups of codes of 4 or 6 bits, densely, the first code in the lowest bits."""
    need(bits == 4 or bits == 6, "codes of 4 or 6 bits")
    cdef size_t unit = 2 if bits == 4 else 4, groups = codes.shape[0] // unit
    need(<size_t>codes.shape[0] == groups * unit, "codes must fill whole groups")
    need(<size_t>packed.shape[0] == groups * (1 if bits == 4 else 3), "codes and packed bytes differ in number")
    if groups:
        with nogil:
            active_dequantize.pack(&codes[0], &packed[0], groups, bits)
