/* Quantised tensors: back to numbers, and how far they are from the truth. The contract of all kernels is in kernels.h. */
#ifndef CHIPMETER_DEQUANTIZE_H
#define CHIPMETER_DEQUANTIZE_H

#include "chipmeter/quantize.h"

enum cm_value_kind {
    CM_VALUE_FLOAT = 0,   /* by `format` */
    CM_VALUE_TABLE = 1,   /* of 16 entries, by the low four bits */
    CM_VALUE_SIGNED = 2,  /* the code as int8, times `unit` */
    CM_VALUE_UNSIGNED = 3
};

/* How a code of at most 8 bits, one per byte or packed, becomes a number, and what stands above the block scales. */
typedef struct {
    int32_t kind;          /* enum cm_value_kind */
    int32_t bits;          /* distance of codes: 8, or 4 or 6 where packed */
    int32_t packed;        /* code i at bit i * bits, from the lowest of the first byte */
    int32_t two_level;     /* whether products are multiplied by the tensor scale */
    float tensor_scale;    /* 1 where there is none */
    float unit;
    float table[16];
    const cm_decode_spec *format;
} cm_value_spec;

/* A tensor as lines of n contiguous elements: (outer, length, middle) of them. `run` elements of a line share a scale, and
 * `repeat` lines along `length` share a line of scales; both ends may be short. */
typedef struct {
    size_t n, run, length, repeat, middle;
} cm_grid;

/* Chunks of a tensor, whose sums do not depend on who adds them: `lines` whole lines each, or, where that is 0, `segment`
 * elements of a line, a multiple of `run`. Numbers beyond `low` and `high`, in steps of the scale, count as clipped. */
typedef struct {
    size_t lines, segment;
    float low, high;
    const float *given;    /* NULL, or what the tensor came back as, instead of codes times scales */
} cm_measure_spec;

typedef struct {
    double signal, error;  /* sums of squares */
    double largest;        /* magnitude of a difference; NaN are left out, and make `error` NaN */
    uint64_t clipped, flushed;
    uint64_t exact;        /* blocks without error */
} cm_error_sums;

enum { CM_OCTAVES = 2048 };

typedef struct {
    /* lines begin..end of `lines`; `codes`, `scales`, `zeros` (NULL: none) and x are those of the whole tensor */
    void (*dequantize)(const uint8_t *codes, const float *scales, const float *zeros, float *x, size_t begin, size_t end,
                       size_t lines, const cm_grid *grid, const cm_value_spec *spec);
    /* chunks begin..end of the difference to x, grids without middle lines and whose runs are the blocks; adds to octaves[1024 + n]
     * the blocks whose signal is 2^n to 2^(n + 1) times their error */
    void (*measure)(const float *x, const uint8_t *codes, const float *scales, const float *zeros, size_t begin, size_t end,
                    size_t lines, const cm_grid *grid, const cm_value_spec *spec, const cm_measure_spec *how,
                    cm_error_sums *chunks, uint64_t *octaves);
    /* tiles_f32 of one chunk, tiles of one row, and its difference; `table` has the numbers of 8-bit scales (NULL: they are float32) */
    void (*tiles_measured)(const cm_tiling *tiling, const cm_tile_spec *tiles, const float *table, const cm_value_spec *spec,
                           const cm_measure_spec *how, cm_error_sums *chunk, uint64_t *octaves);
    /* groups of two codes of 4 bits, or four of 6, to one byte, or three; the first code lowest */
    void (*pack)(const uint8_t *codes, uint8_t *packed, size_t groups, int bits);
    /* to[j][i] = from[i][j]; strides in elements */
    void (*transpose_u8)(const uint8_t *from, size_t rows, size_t columns, size_t from_stride, uint8_t *to, size_t to_stride);
    void (*transpose_u32)(const uint32_t *from, size_t rows, size_t columns, size_t from_stride, uint32_t *to, size_t to_stride);
} cm_dequantize_kernels;

#endif
