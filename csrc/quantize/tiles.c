/* Any recipe over tiles of a matrix: a strip of tiles at a time finds its largest magnitudes, then their scales, then, the
 * strip still in cache, its codes. One pass over memory. */
#include "fpenv.h"
#include "quantize/adaptive.h"
#include "quantize/elements.h"
#include "quantize/largest.h"
#include "tier.h"

enum {
    STRIP = 1024,     /* elements of a strip of flat tiles: short, so that loads and arithmetic overlap */
    BAND = 1 << 15,   /* of tiles of several rows: a quarter of a second-level cache */
    FEW = 256,        /* columns at least: sixteen lines of memory of each row */
    AHEAD = 256,      /* elements encoded while as many of the next tiles come */
    TALL = 1024       /* rows whose strips leave the cache anyway: then whole pages of each row */
};

static inline void store_scales(const cm_tile_lanes *l, size_t first, size_t count, const cm_tiling *g, const cm_tile_spec *t)
{
    if (t->scale < CM_TILE_DIVIDE || t->scale > CM_TILE_TABLE) /* one byte each */
        for (size_t b = 0; b < count; b++) ((uint8_t *)g->scales)[first + b] = (uint8_t)l->stored[b];
    else
        memcpy((float *)g->scales + first, l->stored, count * sizeof(float));
    if (g->zeros)
        for (size_t b = 0; b < count; b++) g->zeros[first + b] = (int32_t)l->zero[b];
}

static inline void find_largest(cm_tile_lanes *l, cm_rows tiles, size_t count, size_t columns, const cm_tiling *g,
                                const cm_tile_spec *t)
{
    if (g->amax)
        for (size_t b = 0; b < count; b++) l->amax[b] = *g->amax;
    else if (columns == 1) largest_in_columns(tiles, count, l->amax);
    else if (columns == 16 && tiles.rows == 1) largest_in_tiles((cm_rows){tiles.x, 1, 0}, count, 16, l->amax);
    else if (columns == 32 && tiles.rows == 1) largest_in_tiles((cm_rows){tiles.x, 1, 0}, count, 32, l->amax);
    else if (count == 1 && tiles.rows == 1) l->amax[0] = largest_in_row(tiles.x, columns);
    else largest_in_tiles(tiles, count, columns, l->amax);
    if (t->scale == CM_TILE_AFFINE || t->scale == CM_TILE_NO_CLIPPING) {
        if (columns == 1) extremes_in_columns(tiles, count, l->least, l->most);
        else extremes_in_tiles(tiles, count, columns, l->least, l->most);
    }
}

/* Codes of tiles one column wide: every lane has its own factor. The rows of the tiles that come next are asked for meanwhile, as
 * many lines as arithmetic takes: finding their largest magnitudes would wait for each row anew. */
static inline void encode_columns(const cm_tile_lanes *l, cm_rows tiles, size_t count, const float *next, uint8_t *codes, size_t stride,
                                  const cm_plan *p)
{
    vu tame = ~(vu){0};
    for (size_t b = 0; b < count; b += VL) tame &= cm_tame(vu_load(l->amax + b), vf_load(l->factor + b));
    const int all = vi_sign_bits((vi)tame) == (uint32_t)((1ull << VL) - 1);
    for (size_t r = 0; r < tiles.rows; r++)
        for (size_t c = 0; c < count; c += AHEAD) {
            const size_t n = count - c < AHEAD ? count - c : AHEAD;
            for (size_t k = 0; k < n; k += 16) __builtin_prefetch(next + r * tiles.stride + c + k);
            encode_elements(tiles.x + r * tiles.stride + c, l->factor + c, l->zero + c, 1, all, codes + r * stride + c, n, p);
        }
}

/* tiles from `b` on, the first of which starts at tiles.x */
static inline void encode_tiles(const cm_tile_lanes *l, cm_rows tiles, size_t b, size_t count, size_t columns, uint8_t *codes,
                                size_t stride, const cm_plan *p)
{
    for (; b < count; b++, tiles.x += columns, codes += columns) {
        int tame = l->amax[b] < 0x7f800000u && (cm_bits32(l->factor[b]) & 0x7fffffffu) - 1 < 0x7f7fffffu;
        for (size_t r = 0; r < tiles.rows; r++)
            encode_elements(tiles.x + r * tiles.stride, l->factor + b, l->zero + b, 0, tame, codes + r * stride, columns, p);
    }
}

/* Flat blocks of a common size, a vector of them at a time: no question between them where all are tame. */
static inline __attribute__((always_inline)) void encode_blocks(const cm_tile_lanes *l, const float *x, size_t count, size_t columns,
                                                                uint8_t *codes, const cm_plan *given, int path, int divide)
{
    const cm_plan copy = *given, *p = &copy;
    size_t b = 0;
    for (; b + VL <= count; b += VL) {
        uint32_t tame = vi_sign_bits((vi)cm_tame(vu_load(l->amax + b), vf_load(l->factor + b)));
        if (path == PATH_INTEGER || path == PATH_TABLE || tame == (uint32_t)((1ull << VL) - 1))
            for (size_t k = 0; k < VL; k++)
                encode_run(x + (b + k) * columns, l->factor + b + k, l->zero + b + k, codes + (b + k) * columns, columns, p, path, divide, 0);
        else
            for (size_t k = 0; k < VL; k++)
                encode_elements(x + (b + k) * columns, l->factor + b + k, l->zero + b + k, 0, tame >> k & 1,
                                codes + (b + k) * columns, columns, given);
    }
    encode_tiles(l, (cm_rows){x + b * columns, 1, 0}, b, count, columns, codes + b * columns, 0, given);
}

#define CM_BLOCKS_CASE(path)                                                                                         \
    case path:                                                                                                       \
        if (p->divide) encode_blocks(l, x, count, columns, codes, p, path, 1);                                       \
        else encode_blocks(l, x, count, columns, codes, p, path, 0);                                                 \
        break;
static inline __attribute__((always_inline)) void encode_flat(const cm_tile_lanes *l, const float *x, size_t count, size_t columns,
                                                              uint8_t *codes, const cm_plan *p)
{
    switch (p->path) {
        CM_BLOCKS_CASE(PATH_FAST)
        CM_BLOCKS_CASE(PATH_FAST_POSITIVE_ZERO)
        CM_BLOCKS_CASE(PATH_INTEGER)
    default: encode_tiles(l, (cm_rows){x, 1, 0}, 0, count, columns, codes, 0, p);
    }
}

/* `count` whole tiles, or one of which `columns` are left, next to each other */
static inline void do_strip(cm_tile_lanes *l, cm_rows tiles, size_t count, size_t columns, const float *next, uint8_t *codes,
                            size_t first, const cm_tiling *g, const cm_plan *p)
{
    find_largest(l, tiles, count, columns, g, p->t);
    if (p->t->adaptive) choose_scales(l, tiles, count, columns, p->t, &p->scale_fast);
    else find_scales(l, count, p->t, &p->scale_fast);
    store_scales(l, first, count, g, p->t);
    if (columns == 1) encode_columns(l, tiles, count, next, codes, g->code_stride, p);
    else if (columns == 16 && tiles.rows == 1) encode_flat(l, tiles.x, count, 16, codes, p);
    else if (columns == 32 && tiles.rows == 1) encode_flat(l, tiles.x, count, 32, codes, p);
    else encode_tiles(l, tiles, 0, count, columns, codes, g->code_stride, p);
    if (g->hear) g->hear(g, tiles.x, codes, first, count, columns);
}

static inline size_t strip_of(size_t rows, size_t columns)
{
    size_t count = (rows == 1 ? STRIP : BAND) / (rows * columns);
    size_t least = columns > 1 ? 1 : rows > TALL ? CM_MOST_LANES : FEW;
    return count < least ? least : count > CM_MOST_LANES ? CM_MOST_LANES : count;
}

static CM_NOINLINE void tiles_loop(const cm_tiling *g, const cm_tile_spec *t)
{
    const cm_plan p = cm_plan_of(t);
    cm_tile_lanes l;
    memset(&l, 0, sizeof l);
    size_t at = 0;
    for (size_t top = 0; top < g->height; top += g->rows) {
        const size_t rows = g->height - top < g->rows ? g->height - top : g->rows;
        const size_t whole = g->width / g->columns, strip = strip_of(rows, g->columns);
        cm_rows tiles = {g->x + top * g->stride, rows, g->stride};
        uint8_t *codes = g->codes + top * g->code_stride;
        for (size_t done = 0; done < whole;) {
            const size_t count = whole - done < strip ? whole - done : strip;
            const float *beside = tiles.x + count * g->columns, *below = g->x + (top + g->rows) * g->stride;
            const float *next = done + count < whole || top + g->rows >= g->height ? beside : below;
            do_strip(&l, tiles, count, g->columns, next, codes, at + done, g, &p);
            tiles.x += count * g->columns, codes += count * g->columns, done += count;
        }
        if (g->width % g->columns) do_strip(&l, tiles, 1, g->width % g->columns, tiles.x, codes, at + whole, g, &p);
        at += g->scale_stride;
    }
}

void CM_NAME(cm_tiles_f32)(const cm_tiling *tiling, const cm_tile_spec *spec)
{
    cm_fpenv saved = cm_fpenv_enter();
    tiles_loop(tiling, spec);
    cm_fpenv_leave(saved);
}
