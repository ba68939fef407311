/* What the files of the matrix family share: one file per arithmetic model, one table in matmul.c. */
#ifndef CHIPMETER_MATMUL_COMMON_H
#define CHIPMETER_MATMUL_COMMON_H

#include "tier.h"

#define CM_WINDOW 50

void CM_NAME(cm_pack_rows)(const float *x, size_t rows, size_t depth, size_t padded, int32_t min_exponent, float *value,
                           int32_t *exponent, uint8_t *flag);
void CM_NAME(cm_pack_panels)(const float *x, size_t depth, size_t columns, size_t padded, int32_t min_exponent, float *value,
                             int32_t *exponent, uint8_t *flag);
void CM_NAME(cm_panels)(const void *x, ptrdiff_t along, ptrdiff_t across, size_t size, size_t depth, size_t columns, size_t padded,
                        void *out);
/* codes of 1 or 2 bytes as numbers, and so in panels; which NaN a NaN becomes is left open */
void CM_NAME(cm_code_rows)(const void *codes, size_t bytes, size_t n, const cm_decode_spec *code, float *out);
void CM_NAME(cm_code_panels)(const void *x, ptrdiff_t along, ptrdiff_t across, size_t size, size_t depth, size_t columns, size_t padded,
                             const cm_decode_spec *code, float *out);
int CM_NAME(cm_exponents_within)(const cm_codes *x, size_t lines, size_t depth, int32_t limit);
/* one output by exact integer arithmetic: defines the model, and serves every case the vector kernel declines */
float CM_NAME(cm_fused_one)(const cm_fused_args *args, size_t row, size_t column);
void CM_NAME(cm_fused)(const cm_fused_args *args, size_t row_begin, size_t row_end);
size_t CM_NAME(cm_fused_codes_workspace)(const cm_fused_codes_args *args);
void CM_NAME(cm_fused_codes)(const cm_fused_codes_args *args, size_t row_begin, size_t row_end, void *workspace);
void CM_NAME(cm_chain_f32)(const cm_chain_args *args, size_t row_begin, size_t row_end);
void CM_NAME(cm_chain_f64)(const cm_chain_args *args, size_t row_begin, size_t row_end);
void CM_NAME(cm_fma_f32)(const float *x, const float *y, const float *z, float *out, size_t n);
void CM_NAME(cm_policy)(const cm_policy_args *args, size_t row_begin, size_t row_end);
size_t CM_NAME(cm_lanes_workspace)(void);
void CM_NAME(cm_exact)(const cm_lanes_args *args, size_t row_begin, size_t row_end, void *workspace);
void CM_NAME(cm_flushed)(const cm_lanes_args *args, size_t row_begin, size_t row_end, void *workspace);
void CM_NAME(cm_floored)(const cm_lanes_args *args, size_t row_begin, size_t row_end, void *workspace);
size_t CM_NAME(cm_integer_workspace)(void);
void CM_NAME(cm_integer)(const cm_integer_args *args, size_t row_begin, size_t row_end, void *workspace);
size_t CM_NAME(cm_binary_workspace)(void);
void CM_NAME(cm_binary)(const cm_binary_args *args, size_t row_begin, size_t row_end, void *workspace);
size_t CM_NAME(cm_grouped_workspace)(void);
void CM_NAME(cm_grouped)(const cm_grouped_args *args, size_t row_begin, size_t row_end, void *workspace);

#endif
