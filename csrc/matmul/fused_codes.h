/* What packing and the two step kernels of fused_codes.c share.
 *
 * The idea: an accumulator that starts at M = 1.5 * 2^n, n chosen so that its unit in the last place is the alignment
 * grid g = 2^(X - F). Under rounding toward minus infinity one fused multiply-add then floors a product to the grid and
 * adds it, exactly. Floor becomes truncation thus: A is packed as a * (1 + eta), which moves every product away from
 * zero, by less than its own last bit. A positive product still floors to its truncation; a negative one floors to
 * exactly one grid step below its truncation, always. The number of negative products, a population count of sign
 * words, is added back. Zeros are packed as tiny positive numbers so that they obey the same rule. */
#ifndef CHIPMETER_MATMUL_FUSED_CODES_H
#define CHIPMETER_MATMUL_FUSED_CODES_H

#include "bits.h"
#include "fpenv.h"
#include "matmul/common.h"
#include "vec.h"

#if VL == 4 && !defined(__x86_64__)
#define TILE_ROWS 4
#elif VL == 16
#define TILE_ROWS 4
#else
#define TILE_ROWS 2 /* sixteen registers */
#endif

#define BLOCK_DEPTH 256   /* of A and B packed at a time */
#define BLOCK_ROWS 64
#define BLOCK_COLUMNS 1024
#define LINE (BLOCK_DEPTH + 16) /* not a power of two, and room for the last whole vector */

#define NARROW_GROUPS 4   /* vectors of columns in a panel: one vector of packed exponents covers a panel */
#define WIDE_GROUPS 2
#define PANEL_MOST (NARROW_GROUPS * VL)

#define NARROW_BIAS_A 63  /* of a packed exponent byte: a sum is then the biased exponent of binary32 */
#define NARROW_BIAS_B 64
#define WIDE_BIAS 1024    /* of a packed exponent half: sums with a packed zero stay below all others */
#define NARROW_ETA 0x1p-16f
#define WIDE_ETA 0x1p-30
#define NARROW_ZERO 0x1p-120f
#define WIDE_ZERO 0x1p-600

#define INLINE static inline __attribute__((always_inline))

enum { CLASS_NAN = 1, CLASS_INFINITY = 2 };
enum { LEFT_GENERAL = 1, LEFT_INFINITE = 2 }; /* to the general kernel, or to infinities.c */

typedef struct {
    void *a;            /* BLOCK_ROWS x LINE: float or double */
    uint32_t *a_exponent; /* BLOCK_ROWS x LINE: the byte or half in every lane */
    uint32_t *a_signs;  /* BLOCK_ROWS x steps */
    void *b;            /* per panel: depth x panel width */
    uint32_t *b_exponent; /* per panel: depth x VL; lane l holds columns l, VL + l, ... */
    uint32_t *b_signs;  /* per panel: steps x panel width */
    float *c;           /* BLOCK_ROWS x panel width */
    uint8_t *row_class, *column_class;
    uint32_t *infinities;
} fused_block;

typedef struct {
    size_t fused;
    int32_t fraction_bits, floor_exponent, least, output;
    int32_t halves;     /* least is that of binary16, or the output is: the accumulator's exponent always needs care */
} step_rule;

/* TILE_ROWS rows of A and one panel of B for one step */
typedef struct {
    const void *a;      /* rows LINE apart */
    uint32_t a_signs[TILE_ROWS];
    const void *b;
    const uint32_t *b_signs;
    const uint32_t *a_exponent, *b_exponent;
    const uint32_t *next_a_exponent, *next_b_exponent; /* of the tile that comes next */
    float *c;           /* TILE_ROWS x panel width */
} step_tile;

/* one panel of a packed block: all its rows, all its steps */
typedef struct {
    const cm_fused_codes_args *args;
    const fused_block *block;
    size_t panel, width, rows, depth;
    int first;          /* the block of depth begins with the matrix */
} panel_run;

typedef struct {
    size_t width, size; /* columns of a panel, bytes of a packed value */
    size_t sets;        /* of largest exponents: 2 where even and odd k are aligned apart */
    int bytes;          /* packed exponents are bytes, else halves */
    uint32_t floor;     /* the least alignment exponent, in every place of a word */
} panel_form;

INLINE uint32_t halves_floor(int32_t exponent) { return (uint32_t)(exponent + 2 * WIDE_BIAS) * 0x00010001u; }

/* one step of a tile; `shared` holds its largest exponents on entry, those of the next tile on return */
typedef void step_function(const step_tile *t, const step_rule *u, size_t groups, uint32_t *shared);

/* the largest exponents of the first tile; every other tile's are found by its predecessor */
static CM_NOINLINE void first_exponents(const step_tile *t, size_t fused, const panel_form *form, uint32_t *shared)
{
    for (size_t i = 0; i < form->sets * TILE_ROWS; i++) {
        vu largest = form->floor + (vu){0};
        for (size_t k = i / TILE_ROWS; k < fused; k += form->sets) {
            vu e = vu_load(t->next_b_exponent + k * VL) + t->next_a_exponent[i % TILE_ROWS * LINE + k];
            largest = form->bytes ? vu_max_bytes(largest, e) : vu_max_halves(largest, e);
        }
        vu_store_u32(shared + i * VL, largest);
    }
}

INLINE void every_step(const panel_run *run, const panel_form form, step_function *step)
{
    const cm_fused_codes_args *args = run->args;
    const fused_block *block = run->block;
    const size_t W = form.width, L = (size_t)args->fused, steps = run->depth / L, size = form.size;
    const size_t groups = (run->width + VL - 1) / VL, tiles = (run->rows + TILE_ROWS - 1) / TILE_ROWS;
    const unsigned char *a = block->a, *b = (const unsigned char *)block->b + run->panel * W * run->depth * size;
    const uint32_t *b_exponent = block->b_exponent + run->panel * run->depth * VL;
    const int halves = args->output == CM_RNE_F16, least = halves ? -14 : -126;
    step_rule rule = {L, args->fraction_bits, args->floor_exponent, 0, args->output, 0};
    step_tile t = {.next_a_exponent = block->a_exponent, .next_b_exponent = b_exponent};
    uint32_t largest[2 * TILE_ROWS * VL];
    first_exponents(&t, L, &form, largest);
    for (size_t s = 0; s < steps; s++) {
        rule.least = run->first && s == 0 ? args->c_min_exponent : least;
        rule.halves = halves || rule.least != -126;
        t.b = b + s * L * W * size;
        t.b_signs = block->b_signs + (run->panel * steps + s) * W;
        for (size_t i = 0; i < tiles; i++) {
            const size_t row = i * TILE_ROWS, next = i + 1 < tiles ? s : s + 1 < steps ? s + 1 : 0;
            t.a = a + (row * LINE + s * L) * size;
            t.next_a_exponent = block->a_exponent + (i + 1 < tiles ? row + TILE_ROWS : 0) * LINE + next * L;
            t.next_b_exponent = b_exponent + next * L * VL;
            for (size_t r = 0; r < TILE_ROWS; r++) t.a_signs[r] = block->a_signs[(row + r) * steps + s];
            t.a_exponent = block->a_exponent + row * LINE + s * L;
            t.b_exponent = b_exponent + s * L * VL;
            t.c = block->c + row * W;
            step(&t, &rule, groups, largest);
        }
    }
}

size_t CM_NAME(fused_infinities_workspace)(const cm_fused_codes_args *args, size_t rows);
void CM_NAME(fused_infinities)(const cm_fused_codes_args *args, size_t begin, size_t end, void *workspace);

/* one file per way of holding the sums */
void CM_NAME(fused_narrow_panel)(const panel_run *run);
void CM_NAME(fused_wide_panel)(const panel_run *run);
void CM_NAME(fused_integer_panel)(const panel_run *run);
void CM_NAME(fused_floored_panel)(const panel_run *run);
void CM_NAME(fused_parities_panel)(const panel_run *run);

void CM_NAME(fused_pack_rows)(const cm_fused_codes_args *args, size_t row, size_t rows, size_t k0, size_t depth, const fused_block *to);
void CM_NAME(fused_pack_panel)(const cm_fused_codes_args *args, size_t column, size_t width, size_t k0, size_t depth,
                               const fused_block *to);

#endif
