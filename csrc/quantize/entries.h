/* Entries of the tables in dequantize.c and quantize.c that live in files of their own. */
#ifndef CHIPMETER_ENTRIES_H
#define CHIPMETER_ENTRIES_H

#include "tier.h"

void CM_NAME(cm_transpose_u8)(const uint8_t *from, size_t rows, size_t columns, size_t from_stride, uint8_t *to, size_t to_stride);
void CM_NAME(cm_transpose_u32)(const uint32_t *from, size_t rows, size_t columns, size_t from_stride, uint32_t *to, size_t to_stride);
void CM_NAME(cm_pack)(const uint8_t *codes, uint8_t *packed, size_t groups, int bits);
void CM_NAME(cm_measure)(const float *x, const uint8_t *codes, const float *scales, const float *zeros, size_t begin, size_t end,
                         size_t lines, const cm_grid *grid, const cm_value_spec *spec, const cm_measure_spec *how,
                         cm_error_sums *chunks, uint64_t *octaves);
void CM_NAME(cm_tiles_f32)(const cm_tiling *tiling, const cm_tile_spec *spec);
void CM_NAME(cm_tiles_measured)(const cm_tiling *tiling, const cm_tile_spec *tiles, const float *table, const cm_value_spec *spec,
                                const cm_measure_spec *how, cm_error_sums *chunk, uint64_t *octaves);

#endif
