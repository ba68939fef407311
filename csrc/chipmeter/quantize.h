/* Block quantisation: scales and codes of blocks. The contract of all kernels is in kernels.h. */
#ifndef CHIPMETER_QUANTIZE_H
#define CHIPMETER_QUANTIZE_H

#include "chipmeter/formats.h"

enum cm_tile_scale {         /* how a tile gets its scale, and its elements their factor, from the largest magnitude */
    CM_TILE_POWER,           /* an e8m0 byte; elements times 2^(127 - byte) */
    CM_TILE_DIVIDE,          /* float32 amax / limit; x / scale (DeepSeek-V3) */
    CM_TILE_RECIPROCAL,      /* the same scale; x * (1 / scale) (DeepGEMM) */
    CM_TILE_MULTIPLIER,      /* S = limit / amax; x * S, and 1 / S is stored (Transformer Engine) */
    CM_TILE_SYMMETRIC,       /* integers: amax / ((high - low) / 2) (torchao, as the next two) */
    CM_TILE_NO_CLIPPING,     /* max(least / low, most / high) */
    CM_TILE_AFFINE,          /* (most - least) / (high - low) and a zero point */
    CM_TILE_TABLE,           /* float32 amax; x * (1 / max(amax, 1e-38)) (bitsandbytes) */
    CM_TILE_FP4_TORCHAO,     /* e4m3 below a tensor scale, in the float32 operations of each library */
    CM_TILE_FP4_TE,
    CM_TILE_FP4_MODELOPT,
    CM_TILE_FP4_COMPRESSED
};
enum cm_adaptive {           /* by which error a tile takes the better of two scales, amax to 4 or to 6 */
    CM_ADAPTIVE_NONE,
    CM_ADAPTIVE_ABSOLUTE,
    CM_ADAPTIVE_SQUARED
};
enum cm_element_kind { CM_ELEMENT_FLOAT, CM_ELEMENT_INTEGER, CM_ELEMENT_TABLE };
enum cm_zeros {
    CM_ZEROS_KEPT,           /* with their sign */
    CM_ZERO_NUMBERS_POSITIVE,/* -0 becomes +0; what rounds to zero from below keeps its sign */
    CM_ZERO_CODES_POSITIVE   /* both become +0 */
};

typedef struct {
    int32_t scale;               /* enum cm_tile_scale */
    int32_t max_exponent;        /* POWER: byte = exponent of amax - max_exponent, ... */
    uint32_t carry_from;         /* ... and 1 more for 23-bit fractions from here on (but for amax 0) */
    int32_t carry_overflows;     /* a carry out of the largest exponent gives 255, as infinity does */
    float limit;                 /* what amax becomes */
    float smallest;              /* amax is at least this */
    int32_t power_of_two;        /* float32 scales rounded up to powers of two */
    float tensor;                /* FP4: the second level, what the library divides by or multiplies with */
    float scale_min, scale_max;  /* FP4: clamp of the block scale before its cast */
    uint32_t zero_scale;         /* FP4_COMPRESSED: the code for a scale that rounds to zero */
    int32_t adaptive;            /* FP4_TE, rows of 16: enum cm_adaptive */
    float tensor_amax, top;      /* adaptive: the tensor's largest magnitude, and what scale and element make of it at most */
    const cm_encode_spec *scale_encode;
    const cm_decode_spec *scale_decode;
    int32_t element_kind;        /* enum cm_element_kind */
    const cm_encode_spec *element; /* FLOAT: saturating; nearest even, nearest away or toward zero */
    int32_t ties_to_zero;        /* FLOAT: nearest away, of the float32 below */
    int32_t zeros;               /* FLOAT: enum cm_zeros */
    float unit;                  /* INTEGER: steps per 1 */
    int32_t low, high, zero_point; /* INTEGER */
    const float *midpoints;      /* TABLE: ascending; the code is how many are below */
    int32_t midpoint_count, nan_code;
} cm_tile_spec;

typedef struct cm_tiling {
    const float *x;
    uint8_t *codes;
    void *scales;                /* bytes of POWER and FP4, else float32; rows of tiles `scale_stride` apart */
    int32_t *zeros;              /* NULL, or zero points as scales lie */
    const uint32_t *amax;        /* NULL, or the bits of largest magnitudes already known: ... */
    size_t height, width;
    size_t stride, code_stride;  /* from row to row of x and of codes, in elements */
    size_t rows, columns;        /* of a tile; those at the ends are smaller */
    size_t scale_stride;
    /* NULL, or told of every strip of tiles that is done, the scales of which begin at `first` */
    void (*hear)(const struct cm_tiling *tiling, const float *x, const uint8_t *codes, size_t first, size_t count, size_t columns);
    void *listener;
} cm_tiling;

typedef struct {
    /* bits of max |x| over n elements; any NaN gives a NaN */
    uint32_t (*amax_f32)(const float *x, size_t n);
    /* the same, and the bits of each block of `columns` elements */
    /* y = (x * signs) H / 4 of each 16 numbers, H the Sylvester matrix, bit i of `signs` set where the i-th is negative; inverse:
     * the signs last. Every NaN is the positive quiet one. x may be y. */
    void (*hadamard_f32)(const float *x, float *y, size_t groups, uint32_t signs, int inverse);
    void (*tiles_f32)(const cm_tiling *tiling, const cm_tile_spec *spec);
} cm_quantize_kernels;

#endif
