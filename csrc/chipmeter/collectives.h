/* Reductions over ranks in a given association. The contract of all kernels is in kernels.h. */
#ifndef CHIPMETER_COLLECTIVES_H
#define CHIPMETER_COLLECTIVES_H

#include "chipmeter/formats.h"

enum cm_reduce_type { /* what the ranks hold */
    CM_REDUCE_F32, CM_REDUCE_F64, CM_REDUCE_BF16, CM_REDUCE_F16, CM_REDUCE_CODE8, CM_REDUCE_I8, CM_REDUCE_U8,
    CM_REDUCE_I16, CM_REDUCE_U16, CM_REDUCE_I32, CM_REDUCE_U32, CM_REDUCE_I64, CM_REDUCE_U64, CM_REDUCE_TYPES
};

enum cm_reduce_op { /* of operands a, b in this order */
    CM_REDUCE_SUM, CM_REDUCE_PROD,
    CM_REDUCE_MIN, CM_REDUCE_MAX,            /* a number beats NaN; -0 < +0; NaN only of two NaN, the canonical one */
    CM_REDUCE_MIN_SELECT, CM_REDUCE_MAX_SELECT, /* a < b ? a : b and a > b ? a : b */
    CM_REDUCE_OPS
};

enum cm_reduce_code { /* a stack machine; x is the contribution of a rank, top the top of the stack */
    CM_REDUCE_LOAD,      /* push x */
    CM_REDUCE_ADD,       /* top = top + x */
    CM_REDUCE_ADD_FIRST, /* top = x + top */
    CM_REDUCE_MERGE,     /* pop top; below = below + top */
    CM_REDUCE_MERGE_FIRST, /* pop top; below = top + below */
    CM_REDUCE_KEEP = 8   /* or-ed: the result stays in the accumulator's type, rounded by a later step */
};

enum cm_reduce_scale { CM_REDUCE_PLAIN, CM_REDUCE_PRODUCT /* x = round(x * scale) */, CM_REDUCE_FUSED /* and one rounding with the addition */ };

enum { CM_REDUCE_DEPTH = 40, CM_REDUCE_BLOCK = 16384, CM_REDUCE_SCRATCH = (CM_REDUCE_DEPTH + 3) * CM_REDUCE_BLOCK * 8 };

typedef struct {
    int32_t code, rank;
} cm_reduce_step;

typedef struct {
    int32_t type, op;
    int32_t wide;            /* small floats: sums stay float32 until the end */
    int32_t scaling;         /* enum cm_reduce_scale; sums of floats only */
    double scale;            /* a value of the ranks' type */
    int64_t divisor;         /* the result is divided by it; 0: not */
    const cm_encode_spec *encode; /* small floats: each rounding; stochastic words are numbered step * count + element */
    const cm_decode_spec *decode;
    uint64_t seed, count;
} cm_reduce_spec;

typedef struct {
    /* elements begin..end of every output = the program over the inputs, rank r of a step being input
     * (r + rotation) % ranks; outputs may be inputs. depth: of the program's stack. scratch: (depth + 3) blocks of
     * CM_REDUCE_BLOCK 8-byte words. stream: write past the caches */
    void (*reduce)(const void *const *inputs, size_t ranks, void *const *outputs, size_t n_outputs,
                   const cm_reduce_step *steps, size_t n_steps, size_t rotation, size_t begin, size_t end, int32_t stream,
                   const cm_reduce_spec *spec, void *scratch);
} cm_collective_kernels;

#endif
