/* Every matrix kernel over every model, at shapes around the row blocks, panels and steps. */
#include "matrix.h"

static const struct {
    size_t rows, columns, depth;
} SHAPES[] = {{1, 1, 1}, {2, 3, 5}, {3, 15, 16}, {4, 16, 17}, {5, 17, 33}, {9, 33, 64}, {6, 31, 96}, {17, 47, 130}};
enum { SHAPE_COUNT = sizeof SHAPES / sizeof *SHAPES };

static const fused_unit UNITS[] = {
    /* Volta to Blackwell, T */
    {"f16", "f16", 4, 23, -131, CM_RZ_F32, -126, 0, 0, 0},
    {"f16", "f16", 4, 23, -131, CM_RZ_F32, -14, 0, 0, 0},
    {"f16", "f16", 8, 24, -20, CM_RNE_F16, -14, 0, 0, 0},
    {"bf16", "bf16", 8, 24, -132, CM_RZ_F32, -126, 0, 0, 0},
    {"bf16", "bf16", 16, 25, -133, CM_RZ_F32, -126, 0, 0, 0},
    {"tf32", "tf32", 8, 25, -133, CM_RZ_F32, -126, 0, 0, 0},
    {"e4m3fn", "e5m2", 32, 13, -133, CM_RZ_E8M13, -126, 0, 0, 0},
    {"e5m2", "e4m3fn", 32, 13, -21, CM_RNE_F16, -14, 0, 0, 0},
    {"e3m2", "e2m3", 32, 25, -133, CM_RZ_F32, -126, 0, 0, 0},
    /* nobody's: odd parameters at both ends of what the kernel takes */
    {"e4m3", "e3m4", 3, 10, -400, CM_RZ_F32, -126, 0, 0, 0},
    {"e4m3fnuz", "e5m2fnuz", 1, 25, -15, CM_RZ_E8M13, -126, 0, 0, 0},
    /* block scaled: ST and GST */
    {"e4m3fn", "e5m2", 32, 25, -133, CM_RZ_F32, -126, 0, 32, 0},
    {"e2m1", "e2m1", 64, 35, -139, CM_RZ_F32, -126, 16, 32, 0},
    {"e2m1", "e2m1", 64, 35, -139, CM_RZ_F32, -126, 16, 16, 0},
    {"e2m1", "e2m1", 64, 35, -139, CM_RZ_F32, -126, 16, 16, 3},
};

/* Data of one kind per line of the output, so that a hard line must not disturb its neighbours: everyday numbers,
 * the whole exponent range, cancellation, and now and then NaN or infinity. `stride` walks along depth. */
static void operand(const cm_kernels *k, const layout *f, float *x, size_t lines, size_t depth, size_t line, size_t stride,
                    uint64_t seed)
{
    const int least = 1 - f->bias - f->mantissa_bits;
    const int most = (int)(layout_max_code(f) >> f->mantissa_bits) - f->bias;
    float *values = NEW(float, depth);
    for (size_t i = 0; i < lines; i++) {
        const size_t kind = (i + seed) % 6;
        if (kind == 1) fill_between(values, depth, least, most, seed + i);
        else if (kind == 2) fill_between(values, depth, most - 1, most, seed + i);
        else if (kind == 3) fill_between(values, depth, least, least + 2, seed + i);
        else fill_between(values, depth, least > -6 ? least : -6, most < 6 ? most : 6, seed + i);
        round_to(k, f, values, depth);
        if (kind == 4) for (size_t j = 1; j < depth; j += 2) values[j] = -values[j - 1];
        if (kind == 5 && f->nan == NAN_IEEE) values[depth / 2] = cm_float32(i % 12 < 6 ? 0x7f800000u : 0xff800000u);
        if (kind == 5 && f->nan != NAN_NONE && i % 4 == 1) values[depth / 3] = cm_float32(0x7fc00000u);
        for (size_t j = 0; j < depth; j++) x[i * line + j * stride] = values[j];
    }
    free(values);
}

static void fill_scales(uint8_t *codes, size_t n, int fraction, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t r = next_random(&seed);
        codes[i] = (uint8_t)(r % 4 == 0 ? r >> 32 : fraction ? 0x20 + (r >> 32) % 64 : 117 + (r >> 32) % 20);
    }
}

static uint64_t fused(const cm_kernels *k, const fused_unit *u)
{
    uint64_t h = HASH_START;
    for (size_t s = 0; s < SHAPE_COUNT; s++)
        for (int with_c = 0; with_c < 2; with_c++) {
            const size_t m = SHAPES[s].rows, n = SHAPES[s].columns, depth = SHAPES[s].depth;
            const size_t scales = u->scale_block ? (depth + (size_t)u->scale_block - 1) / (size_t)u->scale_block : 0;
            float *a = NEW(float, m * depth), *b = NEW(float, depth * n), *c = NEW(float, m * n), *d = NEW(float, m * n);
            uint8_t *sa = NEW(uint8_t, m * scales), *sb = NEW(uint8_t, n * scales);
            operand(k, layout_named(u->a), a, m, depth, depth, 1, s + 10);
            operand(k, layout_named(u->b), b, n, depth, 1, n, s + 20);
            fill_scales(sa, m * scales, u->scale_fraction, s + 30);
            fill_scales(sb, n * scales, u->scale_fraction, s + 40);
            fill_f32(c, m * n, s + 50);
            if (u->c_min_exponent == -14) round_to(k, layout_named("f16"), c, m * n);
            fused_product(k, u, m, n, depth, a, b, sa, sb, with_c ? c : NULL, d);
            hash(&h, d, m * n * sizeof *d);
            void *all[] = {a, b, c, d, sa, sb};
            for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
        }
    return h;
}

static uint64_t chain(const cm_kernels *k, int wide)
{
    static const struct {
        size_t tile;
        int order;
    } orders[] = {{0, CM_ORDER_SEQUENTIAL}, {32, CM_ORDER_SEQUENTIAL}, {1, CM_ORDER_PAIRWISE}, {7, CM_ORDER_PAIRWISE},
                  {128, CM_ORDER_PAIRWISE}, {16, CM_ORDER_F64}, {512, CM_ORDER_F64}};
    const size_t size = wide ? sizeof(double) : sizeof(float);
    uint64_t h = HASH_START;
    for (size_t s = 0; s < SHAPE_COUNT; s++)
        for (size_t o = 0; o < sizeof orders / sizeof *orders; o++)
            for (int with_c = 0; with_c < 2; with_c++) {
                const size_t m = SHAPES[s].rows, n = SHAPES[s].columns, depth = SHAPES[s].depth;
                void *a = items(m * depth, size), *b = items(depth * n, size), *c = items(m * n, size), *d = items(m * n, size);
                float *x = NEW(float, m * depth), *y = NEW(float, depth * n);
                operand(k, layout_named("bf16"), x, m, depth, depth, 1, s + 60);
                operand(k, layout_named("tf32"), y, n, depth, 1, n, s + 70);
                for (size_t i = 0; i < m * depth; i++) wide ? (void)(((double *)a)[i] = x[i]) : (void)(((float *)a)[i] = x[i]);
                for (size_t i = 0; i < depth * n; i++) wide ? (void)(((double *)b)[i] = y[i]) : (void)(((float *)b)[i] = y[i]);
                if (wide) fill_f64(c, m * n, s + 80);
                else fill_f32(c, m * n, s + 80);
                void *panels = panels_of(b, depth, n, size);
                cm_chain_args args = {m, n, depth, orders[o].tile, orders[o].order, a, panels, with_c ? c : NULL, d, CM_CHAIN_NEAREST, NULL, 0, NULL};
                void (*kernel)(const cm_chain_args *, size_t, size_t) = wide ? k->matmul->chain_f64 : k->matmul->chain_f32;
                kernel(&args, 0, m / 2);
                kernel(&args, m / 2, m);
                hash(&h, d, m * n * size);
                void *all[] = {a, b, c, d, x, y, panels};
                for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
            }
    return h;
}

static uint64_t policy(const cm_kernels *k, int kind)
{
    static const struct {
        size_t tile, lanes;
    } columns[] = {{1, 1}, {7, 2}, {32, 4}, {64, 3}, {512, 2}};
    uint64_t h = HASH_START;
    for (size_t s = 0; s < SHAPE_COUNT; s++)
        for (size_t o = 0; o < sizeof columns / sizeof *columns; o++)
            for (int with_c = 0; with_c < 2; with_c++) {
                const size_t m = SHAPES[s].rows, n = SHAPES[s].columns, depth = SHAPES[s].depth;
                float *a = NEW(float, m * depth), *b = NEW(float, depth * n), *c = NEW(float, m * n), *d = NEW(float, m * n);
                operand(k, layout_named("bf16"), a, m, depth, depth, 1, s + 100);
                operand(k, layout_named("tf32"), b, n, depth, 1, n, s + 110);
                fill_f32(c, m * n, s + 120);
                float *panels = panels_of(b, depth, n, sizeof *b);
                cm_policy_args args = {m, n, depth, columns[o].tile, columns[o].lanes, kind, a, panels, with_c ? c : NULL, d};
                k->matmul->policy(&args, 0, m / 2);
                k->matmul->policy(&args, m / 2, m);
                hash(&h, d, m * n * sizeof *d);
                void *all[] = {a, b, c, d, panels};
                for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
            }
    return h;
}

static uint64_t elementwise(const cm_kernels *k)
{
    enum { N = 3001 };
    float *x = NEW(float, N), *y = NEW(float, N), *z = NEW(float, N), *d = NEW(float, N);
    uint64_t h = HASH_START, state = 130;
    for (int round = 0; round < 3; round++) {
        fill_f32(x, N, 140 + (uint64_t)round);
        fill_f32(y, N, 150 + (uint64_t)round);
        if (round == 1) /* any code */
            for (size_t i = 0; i < N; i++) x[i] = cm_float32((uint32_t)next_random(&state)), y[i] = cm_float32((uint32_t)next_random(&state));
        memset(z, 0, N * sizeof *z);
        if (round < 2) /* what remains beside the negated product lies below its last place */
            k->matmul->fma_f32(x, y, z, z, N);
        for (size_t i = 0; i < N; i++) z[i] = cm_float32(round < 2 ? cm_bits32(z[i]) ^ 1u << 31 : (uint32_t)next_random(&state));
        k->matmul->fma_f32(x, y, z, d, N);
        hash(&h, d, N * sizeof *d);
    }
    void *all[] = {x, y, z, d};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    return h;
}

static uint64_t integer(const cm_kernels *k)
{
    uint64_t h = HASH_START;
    for (size_t s = 0; s < SHAPE_COUNT; s++)
        for (int32_t clamp = 0; clamp <= 32; clamp += 16) {
            const size_t m = SHAPES[s].rows, n = SHAPES[s].columns, depth = SHAPES[s].depth;
            int8_t *a = NEW(int8_t, m * depth);
            uint8_t *b = NEW(uint8_t, depth * n), *again = NEW(uint8_t, depth * n);
            int32_t *c = NEW(int32_t, m * n), *d = NEW(int32_t, m * n), *e = NEW(int32_t, m * n);
            void *workspace = items(k->matmul->integer_workspace(), 1);
            uint64_t state = s + 90;
            for (size_t i = 0; i < m * depth; i++) a[i] = (int8_t)next_random(&state);
            for (size_t i = 0; i < depth * n; i++) b[i] = (uint8_t)next_random(&state);
            for (size_t i = 0; i < m * n; i++) c[i] = i % 3 ? INT32_MAX - (int32_t)(i * 100) : INT32_MIN + (int32_t)i;
            cm_integer_args args = {m, n, depth, a, b, (ptrdiff_t)depth, 1, 1, (ptrdiff_t)n, 1, 0, c, d, clamp};
            k->matmul->integer(&args, 0, m, workspace);
            hash(&h, d, m * n * sizeof *d);

            for (size_t i = 0; i < depth; i++) /* B by columns, and the rows in two parts: no bit may change */
                for (size_t j = 0; j < n; j++) again[j * depth + i] = b[i * n + j];
            args.b = again, args.b_line = (ptrdiff_t)depth, args.b_along = 1, args.d = e;
            k->matmul->integer(&args, 0, m / 2, workspace);
            k->matmul->integer(&args, m / 2, m, workspace);
            EXPECT(memcmp(d, e, m * n * sizeof *d) == 0, "integer: strides or a split over rows changed bits");
            void *all[] = {a, b, again, c, d, e, workspace};
            for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
        }
    return h;
}

static uint64_t binary(const cm_kernels *k)
{
    uint64_t h = HASH_START;
    for (size_t s = 0; s < SHAPE_COUNT; s++)
        for (int both = 0; both < 2; both++) {
            const size_t m = SHAPES[s].rows, n = SHAPES[s].columns, depth = 5 * SHAPES[s].depth;
            uint8_t *a = NEW(uint8_t, m * depth), *b = NEW(uint8_t, depth * n), *again = NEW(uint8_t, depth * n);
            int32_t *c = NEW(int32_t, m * n), *d = NEW(int32_t, m * n), *e = NEW(int32_t, m * n);
            void *workspace = items(k->matmul->binary_workspace(), 1);
            uint64_t state = s + 200;
            for (size_t i = 0; i < m * depth; i++) a[i] = (uint8_t)next_random(&state);
            for (size_t i = 0; i < depth * n; i++) b[i] = (uint8_t)next_random(&state);
            for (size_t i = 0; i < m * n; i++) c[i] = INT32_MAX - (int32_t)(i % 7 * 1000);
            memset(a, 0xff, depth); /* every bit of a line counts */
            cm_binary_args args = {m, n, depth, a, b, (ptrdiff_t)depth, 1, 1, (ptrdiff_t)n, c, d, both};
            k->matmul->binary(&args, 0, m, workspace);
            hash(&h, d, m * n * sizeof *d);

            for (size_t i = 0; i < depth; i++) /* as for integers */
                for (size_t j = 0; j < n; j++) again[j * depth + i] = b[i * n + j];
            args.b = again, args.b_line = (ptrdiff_t)depth, args.b_along = 1, args.d = e;
            k->matmul->binary(&args, 0, m / 2, workspace);
            k->matmul->binary(&args, m / 2, m, workspace);
            EXPECT(memcmp(d, e, m * n * sizeof *d) == 0, "binary: strides or a split over rows changed bits");
            void *all[] = {a, b, again, c, d, e, workspace};
            for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
        }
    return h;
}

/* models of AMD: the model, layouts of a and b, products per step, depth of an instruction, fraction bits, groups */
static const struct {
    const char *model, *a, *b;
    int products, instruction, fraction_bits, groups;
} LANES[] = {
    {"exact", "f16", "f16", 4, 16, 20, 1},      {"exact", "bf16", "bf16", 2, 8, 14, 1},
    {"exact", "e5m2", "bf16", 16, 16, 9, 1},    {"flushed", "f16", "f16", 4, 16, 0, 1},
    {"flushed", "bf16", "bf16", 2, 8, 0, 1},    {"floored", "f16", "f16", 8, 16, 24, 1},
    {"floored", "bf16", "bf16", 8, 16, 24, 1},  {"floored", "tf32", "tf32", 4, 8, 24, 1},
    {"floored", "f16", "e5m2", 3, 3, 10, 1},    {"floored", "e4m3fnuz", "e5m2fnuz", 16, 32, 24, 2},
};
enum { LANES_COUNT = sizeof LANES / sizeof *LANES };

static uint64_t lanes(const cm_kernels *k, size_t at)
{
    const layout *fa = layout_named(LANES[at].a), *fb = layout_named(LANES[at].b);
    const int flush = LANES[at].model[1] == 'l' && LANES[at].model[2] == 'u';
    void (*kernel)(const cm_lanes_args *, size_t, size_t, void *) =
        flush ? k->matmul->flushed : LANES[at].model[0] == 'e' ? k->matmul->exact : k->matmul->floored;
    const size_t whole = (size_t)LANES[at].instruction;
    uint64_t h = HASH_START;
    for (size_t s = 0; s < SHAPE_COUNT; s++)
        for (int with_c = 0; with_c < 2; with_c++) {
            const size_t m = SHAPES[s].rows, n = SHAPES[s].columns, depth = SHAPES[s].depth;
            const size_t padded = (depth + whole - 1) / whole * whole;
            float *a = NEW(float, m * depth), *b = NEW(float, depth * n), *c = NEW(float, m * n), *d = NEW(float, m * n);
            void *workspace = items(k->matmul->lanes_workspace(), 1);
            operand(k, fa, a, m, depth, depth, 1, s + 160);
            operand(k, fb, b, n, depth, 1, n, s + 170);
            fill_f32(c, m * n, s + 180);
            cm_lanes_args args = {
                .rows = m,
                .columns = n,
                .depth = depth,
                .padded = padded,
                .a = codes_of(k, fa, a, m, depth, (ptrdiff_t)depth, 1),
                .b = codes_of(k, fb, b, n, depth, 1, (ptrdiff_t)n),
                .c = with_c ? c : NULL,
                .d = d,
                .products = LANES[at].products,
                .instruction = LANES[at].instruction,
                .fraction_bits = LANES[at].fraction_bits,
                .groups = LANES[at].groups,
            };
            kernel(&args, 0, m / 2, workspace);
            kernel(&args, m / 2, m, workspace);
            hash(&h, d, m * n * sizeof *d);
            if (LANES[at].fraction_bits == 24) {
                const fused_unit u = {LANES[at].a, LANES[at].b, LANES[at].products, 24, -126, CM_RZ_F32, -126, 0, 0, 0};
                from_codes(k, &u, LANES[at].groups, m, n, depth, padded, a, b, NULL, NULL, args.c, d);
            }
            void *all[] = {a, b, c, d, workspace, (void *)args.a.codes, (void *)args.b.codes};
            for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
        }
    return h;
}

size_t sweep_matmul(const cm_kernels *k, result *out)
{
    static char names[sizeof UNITS / sizeof *UNITS][64];
    result *start = out;
    for (size_t i = 0; i < sizeof UNITS / sizeof *UNITS; i++) {
        const fused_unit *u = &UNITS[i];
        snprintf(names[i], sizeof names[i], "fused %s %s L%d F%d out%d c%d g%d s%d/%d", u->a, u->b, u->fused, u->fraction_bits,
                 u->output, u->c_min_exponent, u->group, u->scale_block, u->scale_fraction);
        *out++ = (result){names[i], fused(k, u)};
    }
    static char more[LANES_COUNT][64];
    for (size_t i = 0; i < LANES_COUNT; i++) {
        snprintf(more[i], sizeof more[i], "%s %s %s L%d F%d g%d", LANES[i].model, LANES[i].a, LANES[i].b, LANES[i].products,
                 LANES[i].fraction_bits, LANES[i].groups);
        *out++ = (result){more[i], lanes(k, i)};
    }
    *out++ = (result){"chain_f32", chain(k, 0)};
    *out++ = (result){"chain_f64", chain(k, 1)};
    *out++ = (result){"policy bf16 products", policy(k, CM_POLICY_BF16_PRODUCTS)};
    *out++ = (result){"policy element sums", policy(k, CM_POLICY_ELEMENT_SUMS)};
    *out++ = (result){"fma_f32", elementwise(k)};
    *out++ = (result){"integer", integer(k)};
    *out++ = (result){"binary", binary(k)};
    return (size_t)(out - start);
}
