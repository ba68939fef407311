# The door of reductions over ranks.

from libc.stdlib cimport free, malloc

cdef extern from "chipmeter/collectives.h" nogil:
    enum:
        CM_REDUCE_BLOCK
        CM_REDUCE_DEPTH
        CM_REDUCE_TYPES
        CM_REDUCE_OPS

    ctypedef struct cm_reduce_step:
        int32_t code, rank

    ctypedef struct cm_reduce_spec:
        int32_t type, op, wide, scaling
        double scale
        int64_t divisor
        const cm_encode_spec *encode
        const cm_decode_spec *decode
        uint64_t seed, count

    ctypedef struct cm_collective_kernels:
        void (*reduce)(const void *const *, size_t, void *const *, size_t, const cm_reduce_step *, size_t, size_t, size_t,
                       size_t, int32_t, const cm_reduce_spec *, void *) noexcept nogil


cdef const cm_collective_kernels *active_collectives = NULL  # of the active tier: see use_tier


cdef int check_program(const int32_t[:, ::1] steps, Py_ssize_t first, Py_ssize_t last, Py_ssize_t ranks, int depth) except -1:
    cdef Py_ssize_t i
    cdef int level = 0, code
    for i in range(first, last):
        code = steps[i, 0] & 7
        need(0 <= steps[i, 0] < 16 and code <= 4, "unknown step")
        if code <= 2:
            need(0 <= steps[i, 1] < ranks, "a step names a rank that does not exist")
            level += code == 0
            need(1 <= level <= depth, "a program adds to nothing or is too deep")
        else:
            level -= 1
            need(level >= 1, "a program merges nothing")
    need(level == 1, "a program must leave one value")
    return 0


def reduce(const uint8_t[:, ::1] inputs not None, uint8_t[:, ::1] outputs not None, const int32_t[:, ::1] steps not None,
           int depth, const int64_t[:, ::1] segments not None, Py_ssize_t begin, Py_ssize_t end, int type, int op,
           bint wide, int scaling, double scale, int64_t divisor, EncodeSpec encode, DecodeSpec decode, uint64_t seed,
           bint stream, uint8_t[::1] scratch not None):
    """Rows are ranks; segments: first and end element, first and end step, rotation; outputs may be the inputs."""
    cdef Py_ssize_t i, low, high, ranks = inputs.shape[0], n_outputs = outputs.shape[0], count, item
    cdef cm_reduce_spec spec
    cdef const void **sources
    cdef void **targets
    need(0 <= type < CM_REDUCE_TYPES and 0 <= op < CM_REDUCE_OPS and 0 <= scaling <= 2, "unknown type, operation or scaling")
    need(0 < depth <= CM_REDUCE_DEPTH and steps.shape[1] == 2 and segments.shape[1] == 5, "the program has a wrong shape")
    need(scratch.shape[0] >= (<Py_ssize_t>depth + 3) * CM_REDUCE_BLOCK * 8, "scratch is too small")
    need(inputs.shape[1] == outputs.shape[1], "inputs and outputs differ in length")
    item = (4, 8, 2, 2, 1, 1, 1, 2, 2, 4, 4, 8, 8)[type]
    need(not 2 <= type <= 4 or (encode is not None and decode is not None), "small floats need their specs")
    need(scaling == 0 or (type <= 4 and op == 0 and not (scaling == 2 and type == 4)), "only sums of floats are scaled")
    need(divisor >= 0, "the divisor must not be negative")
    count = inputs.shape[1] // item
    need(0 <= begin <= end <= count and ranks > 0, "the range lies outside the arrays")
    for i in range(segments.shape[0]):
        need(0 <= segments[i, 0] <= segments[i, 1] <= count and 0 <= segments[i, 2] < segments[i, 3] <= steps.shape[0]
             and 0 <= segments[i, 4] < ranks, "a segment lies outside the arrays")
        if i == 0 or segments[i, 2] != segments[i - 1, 2] or segments[i, 3] != segments[i - 1, 3]:
            check_program(steps, segments[i, 2], segments[i, 3], ranks, depth)
    if begin == end or n_outputs == 0:
        return
    spec.type, spec.op, spec.wide, spec.scaling, spec.scale = type, op, wide, scaling, scale
    spec.divisor, spec.seed, spec.count = divisor, seed, count
    spec.encode = NULL if encode is None else &encode.c
    spec.decode = NULL if decode is None else &decode.c
    sources = <const void **>malloc(<size_t>(ranks + n_outputs) * sizeof(void *))
    if sources == NULL:
        raise MemoryError()
    targets = <void **>(sources + ranks)
    for i in range(ranks):
        sources[i] = &inputs[i, 0]
    for i in range(n_outputs):
        targets[i] = &outputs[i, 0]
    with nogil:
        for i in range(segments.shape[0]):
            low, high = max(begin, segments[i, 0]), min(end, segments[i, 1])
            if low < high:
                active_collectives.reduce(sources, ranks, targets, n_outputs, <const cm_reduce_step *>&steps[segments[i, 2], 0],
                                          segments[i, 3] - segments[i, 2], segments[i, 4], low, high, stream, &spec, &scratch[0])
    free(sources)
