/* What the kernels of AMD's models share: operands in panels of CM_LANES columns with biased 16-bit exponents, and the
 * walk over tiles of ROWS rows and GROUP columns, two vectors side by side. */
#ifndef CHIPMETER_MATMUL_LANES_H
#define CHIPMETER_MATMUL_LANES_H

#include "bits.h"
#include "fpenv.h"
#include "matmul/common.h"
#include "vec.h"

#define ROWS 4
#define GROUP (2 * VL) /* columns of a tile; a panel holds CM_LANES / GROUP of them */

typedef int16_t vs __attribute__((vector_size(VL * 4)));
typedef uint16_t vus __attribute__((vector_size(VL * 4)));

static inline vs vs_load(const int16_t *p) { vs x; memcpy(&x, p, sizeof x); return x; }

/* compilers find the instructions for 16-bit maxima and minima in the comparison with a selection */
static inline vs vs_max(vs a, vs b)
{
#if VL == 16
    return (vs)_mm512_max_epi16((__m512i)a, (__m512i)b);
#elif VL == 8
    return (vs)_mm256_max_epi16((__m256i)a, (__m256i)b);
#else
    vs m = a > b;
    return (a & m) | (b & ~m);
#endif
}

static inline vs vs_min_unsigned(vs a, vs b)
{
#if VL == 16
    return (vs)_mm512_min_epu16((__m512i)a, (__m512i)b);
#elif VL == 8
    return (vs)_mm256_min_epu16((__m256i)a, (__m256i)b);
#else
    vs m = (vus)a < (vus)b;
    return (a & m) | (b & ~m);
#endif
}

/* the left and right vector of 32-bit lanes out of a group of 16-bit ones (see column_of in lanes.c) */
static inline vi vs_half(vs x, int right) { return right ? (vi)x >> 16 : (vi)((vu)x << 16) >> 16; }

static inline int vi_any(vi x)
{
#if VL == 16
    return _mm512_test_epi32_mask((__m512i)x, (__m512i)x) != 0;
#elif VL == 8
    return !_mm256_testz_si256((__m256i)x, (__m256i)x);
#else
    return (x[0] | x[1] | x[2] | x[3]) != 0;
#endif
}

/* one tile's corner: pointers to ROWS rows of A (a short block repeats its last row) and to GROUP columns of B */
typedef struct {
    const float *a[ROWS];
    const int32_t *ea[ROWS];
    const float *b;
    const int16_t *eb;
    int32_t low, high; /* least and largest sum of exponents any product of the tile may have; high is huge for NaN, Inf */
    float c[ROWS][GROUP];
} cm_tile;

static inline void tile_open(cm_tile *t, const cm_lanes_args *args, size_t row0, size_t rows, size_t first)
{
    const size_t panel = first / CM_LANES * CM_LANES, width = args->columns - first < GROUP ? args->columns - first : GROUP;
    int32_t low[2] = {CM_EXPONENT_NONE, CM_EXPONENT_NONE}, high[2] = {CM_EXPONENT_EMPTY, CM_EXPONENT_EMPTY};
    memset(t->c, 0, sizeof t->c);
    for (size_t r = 0; r < ROWS; r++) {
        size_t row = row0 + (r < rows ? r : rows - 1);
        t->a[r] = args->a.value + row * args->depth;
        t->ea[r] = args->ea + row * args->depth;
        if (args->c) memcpy(t->c[r], args->c + row * args->columns + first, width * sizeof(float));
        if (args->a.range[2 * row] < low[0]) low[0] = args->a.range[2 * row];
        if (args->a.range[2 * row + 1] > high[0]) high[0] = args->a.range[2 * row + 1];
    }
    for (size_t j = first; j < first + GROUP; j++) {
        if (args->b.range[2 * j] < low[1]) low[1] = args->b.range[2 * j];
        if (args->b.range[2 * j + 1] > high[1]) high[1] = args->b.range[2 * j + 1];
    }
    t->low = low[0] + low[1], t->high = high[0] + high[1];
    t->b = args->b.value + panel * args->depth + (first - panel);
    t->eb = args->eb + panel * args->depth + (first - panel);
}

static inline void tile_close(const cm_tile *t, const cm_lanes_args *args, size_t row0, size_t rows, size_t first)
{
    const size_t width = args->columns - first < GROUP ? args->columns - first : GROUP;
    for (size_t r = 0; r < rows; r++) {
        float *d = args->d + (row0 + r) * args->columns + first;
        for (size_t l = 0; l < width; l++) d[l] = t->c[r][l] == t->c[r][l] ? t->c[r][l] : cm_float32(CM_NAN32);
    }
}

/* Calls work(args, tile) for every tile of the rows. */
static inline __attribute__((always_inline)) void every_tile(const cm_lanes_args *args, size_t begin, size_t end,
                                                             void (*work)(const cm_lanes_args *, cm_tile *))
{
    for (size_t first = 0; first < args->columns; first += GROUP)
        for (size_t row = begin; row < end; row += ROWS) {
            cm_tile t;
            size_t rows = end - row < ROWS ? end - row : ROWS;
            tile_open(&t, args, row, rows, first);
            work(args, &t);
            tile_close(&t, args, row, rows, first);
        }
}

#endif
