/* Packing for the kernels of AMD's models, from codes of any format and strides, and their walk over tiles. */
#include "matmul/fused_decode.h"
#include "matmul/lanes.h"

size_t CM_NAME(cm_lanes_workspace)(void) { return sizeof(lanes_block) + 64; }

typedef struct {
    vf value;
    vi exponent; /* biased, EXPONENT_ZERO where not finite or zero */
} packed_lanes;

typedef struct {
    vi low, high, special;
} vector_range;

static inline packed_lanes pack(vu code, const cm_codes *f, int flush, vector_range *range)
{
    lanes x = decode(code, f);
    const vu magnitude = (vu)x.value & 0x7fffffffu, sign = (vu)x.value & 0x80000000u;
    if (flush) x.zero |= (vi)(magnitude < (uint32_t)(128 - f->bias) << 23);
    const vi e = (vi)x.exponent - f->bias;
    range->low = vi_min(range->low, (e & ~x.zero) | (EXPONENT_EMPTY & x.zero));
    range->high = vi_max(range->high, (e & ~x.zero) | (-EXPONENT_EMPTY & x.zero));
    range->special |= x.nan | x.infinity;
    const vu infinity = (sign | 0x7f800000u) & (vu)x.infinity, nan = CM_NAN32 & (vu)x.nan;
    return (packed_lanes){(vf)(((vu)x.value & ~(vu)x.zero) | infinity | nan), ((e + EXPONENT_BIAS) & ~x.zero) | (EXPONENT_ZERO & x.zero)};
}

static vector_range no_range(void) { return (vector_range){vi_set(EXPONENT_EMPTY), vi_set(-EXPONENT_EMPTY), vi_set(0)}; }

static lane_range range_of(vector_range x)
{
    return (lane_range){-vi_largest(-x.low), vi_largest(x.high), vi_sign_bits(x.special) != 0};
}

/* of the `depth` elements from k0 on, those there are; the rest are zeros */
static size_t present(const cm_lanes_args *args, size_t k0, size_t depth)
{
    return k0 >= args->depth ? 0 : args->depth - k0 < depth ? args->depth - k0 : depth;
}

static CM_NOINLINE void pack_rows(const cm_lanes_args *args, size_t row, size_t rows, size_t k0, size_t depth, int flush, lanes_block *to)
{
    const cm_codes f = args->a;
    const size_t real = present(args, k0, depth), whole = (depth + VL - 1) / VL * VL;
    vector_range range = no_range();
    for (size_t r = 0; r < rows; r++) {
        uint32_t raw[DEPTH];
        gather(raw, &f, real ? (ptrdiff_t)(row + r) * f.line + (ptrdiff_t)k0 * f.along : 0, f.along, real, whole);
        for (size_t k = 0; k < whole; k += VL) {
            const packed_lanes x = pack(vu_load(raw + k), &f, flush, &range);
            vf_store(to->a + r * DEPTH + k, x.value);
            vi_store(to->ea + r * DEPTH + k, (x.exponent & 0xffff) | x.exponent << 16);
        }
    }
    to->of_a = range_of(range);
}

static CM_NOINLINE void pack_group(const cm_lanes_args *args, size_t column, size_t width, size_t k0, size_t depth, int flush, float *value,
                                   int16_t *exponent, lane_range *of)
{
    const cm_codes f = args->b;
    const size_t real = present(args, k0, depth);
    vector_range range = no_range();
    for (size_t k = 0; k < depth; k++, value += GROUP, exponent += GROUP) {
        uint32_t raw[GROUP];
        gather(raw, &f, k < real ? (ptrdiff_t)column * f.line + (ptrdiff_t)(k0 + k) * f.along : 0, f.line, k < real ? width : 0, GROUP);
        const packed_lanes left = pack(vu_load(raw), &f, flush, &range), right = pack(vu_load(raw + VL), &f, flush, &range);
        vf_store(value, left.value), vf_store(value + VL, right.value);
        const vi both = (left.exponent & 0xffff) | right.exponent << 16;
        memcpy(exponent, &both, sizeof both);
    }
    *of = range_of(range);
}

static void one_tile(const cm_lanes_args *args, const lanes_block *block, size_t row, size_t rows, size_t column, size_t j, size_t k0,
                     size_t depth, tile_function *work)
{
    const size_t width = args->columns - column < GROUP ? args->columns - column : GROUP;
    const lane_range x = block->of_a, y = block->of_b[j / GROUP];
    const float *from = k0 ? args->d : args->c;
    cm_tile t = {.b = block->b + j * depth, .eb = block->eb + j * depth, .first = k0, .depth = depth, .low = x.low + y.low,
                 .high = x.high + y.high, .special = x.special || y.special};
    for (size_t r = 0; r < ROWS; r++) {
        const size_t taken = r < rows ? r : rows - 1;
        t.a[r] = block->a + taken * DEPTH, t.ea[r] = block->ea + taken * DEPTH;
        if (from) memcpy(t.c[r], from + (row + taken) * args->columns + column, width * sizeof(float));
    }
    work(args, &t);
    for (size_t r = 0; r < rows; r++) {
        float *d = args->d + (row + r) * args->columns + column;
        for (size_t l = 0; l < width; l++) d[l] = t.c[r][l] == t.c[r][l] ? t.c[r][l] : cm_float32(CM_NAN32);
    }
}

void CM_NAME(lane_tiles)(const cm_lanes_args *args, size_t begin, size_t end, int flush, tile_function *work, void *workspace)
{
    lanes_block *block = (void *)((unsigned char *)workspace + (64 - (uintptr_t)workspace % 64) % 64);
    const size_t most = DEPTH / (size_t)args->products * (size_t)args->products;
    for (size_t column0 = 0; column0 < args->columns; column0 += BLOCK) {
        const size_t columns = args->columns - column0 < BLOCK ? args->columns - column0 : BLOCK;
        for (size_t k0 = 0; k0 < args->padded; k0 += most) {
            const size_t depth = args->padded - k0 < most ? args->padded - k0 : most;
            for (size_t j = 0; j < columns; j += GROUP)
                pack_group(args, column0 + j, columns - j < GROUP ? columns - j : GROUP, k0, depth, flush, block->b + j * depth,
                           block->eb + j * depth, &block->of_b[j / GROUP]);
            for (size_t row = begin; row < end; row += ROWS) {
                const size_t rows = end - row < ROWS ? end - row : ROWS;
                pack_rows(args, row, rows, k0, depth, flush, block);
                for (size_t j = 0; j < columns; j += GROUP) one_tile(args, block, row, rows, column0 + j, j, k0, depth, work);
            }
        }
    }
}
