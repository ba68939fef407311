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

cm_codes codes_of(const cm_kernels *k, const layout *f, const float *x, size_t lines, size_t depth, ptrdiff_t line, ptrdiff_t along)
{
    const size_t n = lines * depth;
    const int bytes = f->shift ? 4 : layout_bits(f) > 8 ? 2 : 1;
    const cm_encode_spec to = encode_spec(f, CM_NEAREST_EVEN, 0); /* infinity stays infinity */
    void *codes = items(n, (size_t)bytes);
    if (bytes == 4) memcpy(codes, x, n * 4); /* tf32 codes are float32 patterns */
    else if (bytes == 2) k->formats->encode_f32_u16(x, codes, n, &to, NULL);
    else k->formats->encode_f32_u8(x, codes, n, &to, NULL);
    const cm_decode_spec s = decode_spec(f);
    return (cm_codes){
        .codes = codes,
        .line = line,
        .along = along,
        .bytes = bytes,
        .shift = f->shift,
        .mantissa_bits = f->mantissa_bits,
        .bias = f->bias,
        .magnitude_bits = f->exponent_bits + f->mantissa_bits,
        .max_code = layout_max_code(f),
        .infinity_code = s.infinity_code,
        .fnuz = s.fnuz,
    };
}

void from_codes(const cm_kernels *k, const fused_unit *u, int floored, size_t rows, size_t columns, size_t depth, size_t padded, const float *a,
                const float *b, const uint8_t *scale_a, const uint8_t *scale_b, const float *c, const float *want)
{
    const layout *la = layout_named(u->a), *lb = layout_named(u->b);
    const int narrow = la->mantissa_bits <= 3 && lb->mantissa_bits <= 3 && la->exponent_bits <= 5 && lb->exponent_bits <= 5
                       && la->bias <= 16 && lb->bias <= 16 && u->fraction_bits <= 13
                       && !u->scale_block && u->floor_exponent <= (u->output == CM_RNE_F16 ? -20 : -126);
    const int window = !u->scale_block && la->exponent_bits <= 5 && lb->exponent_bits <= 5;
    const int taken[] = {[CM_WIDE] = !floored, [CM_NARROW] = narrow && !floored, [CM_INTEGER] = window && u->fused <= 8 && !floored,
                         [CM_FLOORED] = window && floored == 1, [CM_PARITIES] = window && floored == 2};
    for (int way = CM_WIDE; way <= CM_PARITIES; way++) {
        if (!taken[way]) continue;
        float *d = NEW(float, rows * columns);
        uint8_t *left = NEW(uint8_t, rows * columns), *left_rows = NEW(uint8_t, rows);
        cm_fused_codes_args args = {
            .rows = rows,
            .columns = columns,
            .depth = depth,
            .padded = padded,
            .a = codes_of(k, la, a, rows, depth, (ptrdiff_t)depth, 1),
            .b = codes_of(k, lb, b, columns, depth, 1, (ptrdiff_t)columns),
            .scale_block = (size_t)u->scale_block,
            .scale_count = u->scale_block ? (depth + (size_t)u->scale_block - 1) / (size_t)u->scale_block : 0,
            .c = c,
            .c_min_exponent = u->c_min_exponent,
            .d = d,
            .fused = u->fused,
            .fraction_bits = u->fraction_bits,
            .floor_exponent = u->floor_exponent,
            .output = u->output,
            .way = way,
            .left = left,
            .left_rows = left_rows,
        };
        args.a.scales = u->scale_block ? scale_a : NULL;
        args.b.scales = u->scale_block ? scale_b : NULL;
        void *workspace = items(k->matmul->fused_codes_workspace(&args), 1);
        k->matmul->fused_codes(&args, 0, rows / 3, workspace);
        k->matmul->fused_codes(&args, rows / 3, rows, workspace);
        size_t given = 0;
        for (size_t i = 0; i < rows * columns; i++) {
            EXPECT(left[i] || memcmp(&d[i], &want[i], sizeof *d) == 0, "fused from codes, %s x %s, way %d, element %zu: %a, not %a",
                   u->a, u->b, way, i, (double)d[i], (double)want[i]);
            EXPECT(!left[i] || left_rows[i / columns], "fused from codes: an unmarked row");
            given += !left[i];
        }
        EXPECT(given > 0 || rows * columns < 100, "fused from codes, %s x %s, way %d: nothing computed", u->a, u->b, way);
        void *all[] = {d, left, left_rows, workspace, (void *)args.a.codes, (void *)args.b.codes};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    }
}

/* e2m1 in groups straight from codes, B in either order, must give the same bits where it gives any */
static void from_groups(const cm_kernels *k, const fused_unit *u, size_t rows, size_t columns, size_t depth, const float *a,
                        const float *b, const uint8_t *scale_a, const uint8_t *scale_b, const float *c, const float *want)
{
    const cm_codes ca = codes_of(k, layout_named(u->a), a, rows, depth, (ptrdiff_t)depth, 1);
    const cm_codes cb = codes_of(k, layout_named(u->b), b, columns, depth, 1, (ptrdiff_t)columns);
    uint8_t *turned = NEW(uint8_t, depth * columns);
    for (size_t i = 0; i < depth; i++)
        for (size_t j = 0; j < columns; j++) turned[j * depth + i] = ((const uint8_t *)cb.codes)[i * columns + j];
    void *workspace = items(k->matmul->grouped_workspace(), 1);
    for (int by_columns = 0; by_columns < 2; by_columns++) {
        float *d = NEW(float, rows * columns);
        uint8_t *left = NEW(uint8_t, rows * columns), *left_rows = NEW(uint8_t, rows);
        const cm_grouped_args args = {
            .rows = rows,
            .columns = columns,
            .depth = depth,
            .a = ca.codes,
            .b = by_columns ? turned : cb.codes,
            .a_line = (ptrdiff_t)depth,
            .a_along = 1,
            .b_line = by_columns ? (ptrdiff_t)depth : 1,
            .b_along = by_columns ? 1 : (ptrdiff_t)columns,
            .scales_a = scale_a,
            .scales_b = scale_b,
            .scale_block = (size_t)u->scale_block,
            .scale_count = (depth + (size_t)u->scale_block - 1) / (size_t)u->scale_block,
            .scale_fraction = u->scale_fraction,
            .fraction_bits = u->fraction_bits,
            .c = c,
            .d = d,
            .left = left,
            .left_rows = left_rows,
        };
        k->matmul->grouped(&args, 0, rows / 3, workspace);
        k->matmul->grouped(&args, rows / 3, rows, workspace);
        size_t given = 0;
        for (size_t i = 0; i < rows * columns; i++) {
            EXPECT(left[i] || memcmp(&d[i], &want[i], sizeof *d) == 0, "groups from codes, element %zu: %a, not %a", i, (double)d[i],
                   (double)want[i]);
            EXPECT(!left[i] || left_rows[i / columns], "groups from codes: an unmarked row");
            given += !left[i];
        }
        EXPECT(given > 0 || rows * columns < 100, "groups from codes: nothing computed");
        void *all[] = {d, left, left_rows};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    }
    void *all[] = {turned, workspace, (void *)ca.codes, (void *)cb.codes};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
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

    if (!u->group) from_codes(k, u, 0, rows, columns, depth, padded, a, b, scale_a, scale_b, c, d);
    else from_groups(k, u, rows, columns, depth, a, b, scale_a, scale_b, c, d);

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
