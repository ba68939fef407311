/* Block quantisation: scales and codes of blocks. The contract of all kernels is in kernels.h. */
#ifndef CHIPMETER_QUANTIZE_H
#define CHIPMETER_QUANTIZE_H

#include "chipmeter/formats.h"

enum cm_scale_rule {         /* the e8m0 byte of a block from its largest magnitude */
    CM_SCALE_FLOOR = 0,      /* OCP MX v1.0: power of two of amax over that of the element maximum */
    CM_SCALE_CEIL = 1,
    CM_SCALE_EVEN = 2,       /* half an element ulp is added to amax first */
    CM_SCALE_ROUND_UP = 3,   /* ceil(log2(amax / element maximum)): cuBLAS, Transformer Engine */
    CM_SCALE_HEADROOM = 4,   /* one above floor; 0 for a zero block: Trainium quantize_mx since NKI 0.5 */
    CM_SCALE_THREE_QUARTERS = 5 /* one above floor from a fraction of .75 on: compressed-tensors */
};

typedef struct {
    int32_t rule;                /* enum cm_scale_rule */
    int32_t max_exponent;        /* exponent of the largest element value */
    uint32_t max_fraction;       /* its 23-bit float32 fraction */
    int32_t element_mantissa;
    int32_t infinity_is_nan;     /* an infinite amax gives scale 255 */
    const cm_encode_spec *element; /* saturating */
} cm_mx_spec;

typedef struct {
    float tensor_scale;          /* second level s2; block scale = amax / 6 / s2 */
    float scale_min, scale_max;  /* clamp of the block scale before its cast */
    float element_max;           /* 6 for e2m1 */
    const cm_encode_spec *scale; /* e4m3 */
    const cm_decode_spec *scale_decode;
    const cm_encode_spec *element;
} cm_nvfp4_spec;

typedef struct {
    /* bits of max |x| over n elements; any NaN gives a NaN */
    uint32_t (*amax_f32)(const float *x, size_t n);
    /* x: blocks x block, contiguous; codes one byte per element, scales one byte per block */
    void (*mx_f32)(const float *x, uint8_t *codes, uint8_t *scales, size_t blocks, size_t block, const cm_mx_spec *spec);
    void (*nvfp4_f32)(const float *x, uint8_t *codes, uint8_t *scales, size_t blocks, size_t block, const cm_nvfp4_spec *spec);
    /* codes of x / scale, where each of `rows` rows of n elements has its own scale */
    void (*scaled_f32_u8)(const float *x, const float *scales, uint8_t *codes, size_t rows, size_t n, const cm_encode_spec *spec);
    void (*scaled_f32_s8)(const float *x, const float *scales, int8_t *codes, size_t rows, size_t n, int32_t low, int32_t high);
} cm_quantize_kernels;

#endif
