/* Packing and calling, once for the known answers and for the sweep. */
#include "matrix.h"

void *panels_of(const void *b, size_t depth, size_t columns, size_t size)
{
    unsigned char *p = items(panel_count(columns) * depth * CM_PANEL, size);
    for (size_t j = 0; j < columns; j++)
        for (size_t k = 0; k < depth; k++)
            memcpy(p + ((j / CM_PANEL * depth + k) * CM_PANEL + j % CM_PANEL) * size,
                   (const unsigned char *)b + (k * columns + j) * size, size);
    return p;
}

static void decode_scale(uint8_t code, int fraction, int32_t *significand, int32_t *exponent)
{
    if (fraction == 0) {
        *significand = code == 0xff ? -1 : 1;
        *exponent = code - 127;
    } else {
        int32_t field = code >> 3 & 15, low = code & 7; /* the top bit of a ue4m3 byte is ignored */
        *significand = (code & 0x7f) == 0x7f ? -1 : field ? low + 8 : low;
        *exponent = (field ? field : 1) - 7;
    }
}

/* scale codes (lines x given) to terms (lines or panels, scales), padded with the scale 1 */
static void scale_terms(const uint8_t *codes, size_t lines, size_t given, size_t scales, int fraction, int panels,
                        int32_t *significand, int32_t *exponent)
{
    const size_t padded = panels ? panel_count(lines) * CM_PANEL : lines;
    for (size_t i = 0; i < padded; i++)
        for (size_t s = 0; s < scales; s++) {
            size_t at = panels ? (i / CM_PANEL * scales + s) * CM_PANEL + i % CM_PANEL : i * scales + s;
            if (i < lines && s < given) decode_scale(codes[i * given + s], fraction, &significand[at], &exponent[at]);
            else significand[at] = 1 << fraction, exponent[at] = 0;
        }
}

void fused_product(const cm_kernels *k, const fused_unit *u, size_t rows, size_t columns, size_t depth, const float *a,
                   const float *b, const uint8_t *scale_a, const uint8_t *scale_b, const float *c, float *d)
{
    const layout *la = layout_named(u->a), *lb = layout_named(u->b);
    const size_t step = (size_t)(u->scale_block > u->fused ? u->scale_block : u->fused);
    const size_t padded = (depth + step - 1) / step * step, wide = panel_count(columns) * CM_PANEL;
    float *va = NEW(float, rows * padded), *vb = NEW(float, padded * wide);
    int32_t *ea = NEW(int32_t, rows * padded), *eb = NEW(int32_t, padded * wide);
    uint8_t *fa = NEW(uint8_t, rows), *fb = NEW(uint8_t, wide);
    k->matmul->pack_rows(a, rows, depth, padded, 1 - la->bias, va, ea, fa);
    k->matmul->pack_panels(b, depth, columns, padded, 1 - lb->bias, vb, eb, fb);

    const size_t block = (size_t)u->scale_block, scales = block ? padded / block : 0;
    const size_t given = block ? (depth + block - 1) / block : 0;
    int32_t *ssa = NEW(int32_t, rows * scales), *sea = NEW(int32_t, rows * scales);
    int32_t *ssb = NEW(int32_t, wide * scales), *seb = NEW(int32_t, wide * scales);
    if (block) {
        scale_terms(scale_a, rows, given, scales, u->scale_fraction, 0, ssa, sea);
        scale_terms(scale_b, columns, given, scales, u->scale_fraction, 1, ssb, seb);
    }
    cm_fused_args args = {
        .rows = rows,
        .columns = columns,
        .depth = padded,
        .a = {va, ea, fa, la->mantissa_bits},
        .b = {vb, eb, fb, lb->mantissa_bits},
        .scale_a = {block ? ssa : NULL, block ? sea : NULL},
        .scale_b = {block ? ssb : NULL, block ? seb : NULL},
        .scale_block = block,
        .scale_fraction = u->scale_fraction,
        .c = c,
        .c_min_exponent = u->c_min_exponent,
        .d = d,
        .fused = u->fused,
        .fraction_bits = u->fraction_bits,
        .floor_exponent = u->floor_exponent,
        .output = u->output,
        .group = u->group,
    };
    k->matmul->fused(&args, 0, rows);

    float *again = NEW(float, rows * columns); /* threads split the rows: no bit may change */
    args.d = again;
    k->matmul->fused(&args, 0, rows / 3);
    k->matmul->fused(&args, rows / 3, rows);
    EXPECT(memcmp(again, d, rows * columns * sizeof *d) == 0, "fused: a split over rows changed bits");

    for (size_t i = 0; i < rows; i++) fa[i] = CM_OUT_OF_WINDOW; /* every output by the integer arithmetic that defines it */
    k->matmul->fused(&args, 0, rows);
    EXPECT(memcmp(again, d, rows * columns * sizeof *d) == 0, "fused: the vector path differs from exact integers");

    void *all[] = {va, vb, ea, eb, fa, fb, ssa, sea, ssb, seb, again};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}
