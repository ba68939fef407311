# The door that quantises and measures, chunk after chunk, while a chunk is in the cache.

def tiles_measured(const float[:, ::1] x not None, uint8_t[:, ::1] codes not None, scales not None, int32_t[:, ::1] zeros,
                   size_t block, TileSpec spec not None, ValueSpec value not None, const float[::1] scale_table,
                   size_t begin, size_t end, size_t chunk_lines, size_t segment, float low, float high,
                   double[:, ::1] sums not None, uint64_t[:, ::1] counts not None, uint64_t[::1] octaves not None):
    """Chunks begin..end of lines in blocks, as `tiles_f32` and then `measure` treat them.

    scale_table: numbers of the 256 scale bytes, or None for float32 scales.
    """
    cdef size_t height = x.shape[0], width = x.shape[1], grid = (width + block - 1) // block if block else 0
    cdef bint wide = 1 <= spec.c.scale <= 7
    cdef uint8_t[:, ::1] narrow = None
    cdef float[:, ::1] floats = None
    cdef cm_tiling g
    cdef cm_measure_spec how
    cdef cm_error_sums found
    cdef size_t across, most, c, top, left, i, j
    cdef const float *table = &scale_table[0] if scale_table is not None else NULL
    need(block > 0 and height > 0 and width > 0, "blocks and lines must not be empty")
    need(<size_t>codes.shape[0] == height and <size_t>codes.shape[1] == width, "x and codes differ in shape")
    need(tuple(scales.shape) == (height, grid), "scales of the wrong shape")
    need(zeros is None or (<size_t>zeros.shape[0] == height and <size_t>zeros.shape[1] == grid), "zero points of the wrong shape")
    need(chunk_lines > 0 or (segment > 0 and segment % block == 0), "no chunks of these lines")
    need(wide == (table is NULL) and (wide or scale_table.shape[0] == 256), "8-bit scales need the table of their numbers")
    need(value.c.packed == 0, "codes come one per byte")
    across = 1 if chunk_lines else (width + segment - 1) // segment
    most = (height + chunk_lines - 1) // chunk_lines if chunk_lines else height * across
    need(begin <= end <= most, "chunks out of range")
    need(<size_t>sums.shape[0] == end - begin and sums.shape[1] == 3 and <size_t>counts.shape[0] == end - begin
         and counts.shape[1] == 3 and octaves.shape[0] == 2048, "sums and chunks differ in number")
    if wide:
        floats = scales
    else:
        narrow = scales
    g.stride, g.code_stride, g.scale_stride, g.rows, g.columns = width, width, grid, 1, block
    g.amax, g.zeros, g.hear = NULL, NULL, NULL
    how.low, how.high, how.given, how.lines, how.segment = low, high, NULL, chunk_lines, segment
    with nogil:
        for c in range(begin, end):
            if chunk_lines:
                top, left, g.width = c * chunk_lines, 0, width
                g.height = chunk_lines if top + chunk_lines < height else height - top
            else:
                top, left, g.height = c // across, c % across * segment, 1
                g.width = segment if left + segment < width else width - left
            j = left // block
            g.x, g.codes = &x[top, left], &codes[top, left]
            if wide:
                g.scales = &floats[top, j]
            else:
                g.scales = &narrow[top, j]
            if zeros is not None:
                g.zeros = &zeros[top, j]
            active_dequantize.tiles_measured(&g, &spec.c, table, &value.c, &how, &found, &octaves[0])
            i = c - begin
            sums[i, 0], sums[i, 1], sums[i, 2] = found.signal, found.error, found.largest
            counts[i, 0], counts[i, 1], counts[i, 2] = found.clipped, found.flushed, found.exact
