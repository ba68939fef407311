/* Codes and scales back to numbers, and their errors: every kind of code, packing and grid, with scales of all sorts. */
#include "support.h"

enum { LINES = 24, LENGTH = 1100, COUNT = LINES * LENGTH };

static const cm_grid GRIDS[] = {
    {LENGTH, 32, 1, 1, 1}, {LENGTH, 16, 1, 1, 1}, {LENGTH, LENGTH, 1, 1, 1}, {LENGTH, 5, 1, 1, 1},
    {LENGTH, 128, 12, 8, 1}, {LENGTH, 1, 6, 4, 1}, {LENGTH, 16, 4, 3, 3},
};
enum { GRID_COUNT = sizeof GRIDS / sizeof *GRIDS };

static size_t scales_of(const cm_grid *g)
{
    return LINES / g->length / g->middle * ((g->length + g->repeat - 1) / g->repeat) * g->middle * ((g->n + g->run - 1) / g->run);
}

/* kinds 0..3 of codes, float formats by their place in LAYOUTS */
static cm_value_spec value_spec(int kind, const cm_decode_spec *format, int packed_bits, int two_level)
{
    cm_value_spec spec = {kind, packed_bits ? packed_bits : 8, packed_bits != 0, two_level, two_level ? 0x1.23p-5f : 1, 0x1p-6f,
                          {0}, format};
    for (int i = 0; i < 16; i++) spec.table[i] = (float)(i * i - 40) * 0.125f;
    return spec;
}

typedef uint64_t (*work)(const cm_kernels *k, const uint8_t *codes, const float *scales, const float *zeros, const float *x,
                         const cm_grid *grid, const cm_value_spec *spec, uint64_t h);

static uint64_t restore(const cm_kernels *k, const uint8_t *codes, const float *scales, const float *zeros, const float *x,
                        const cm_grid *grid, const cm_value_spec *spec, uint64_t h)
{
    float *y = NEW(float, COUNT);
    (void)x;
    k->dequantize->dequantize(codes, scales, zeros, y, 0, 7, LINES, grid, spec);
    k->dequantize->dequantize(codes, scales, zeros, y, 7, LINES, LINES, grid, spec);
    hash(&h, y, COUNT * sizeof *y);
    free(y);
    return h;
}

static uint64_t measure(const cm_kernels *k, const uint8_t *codes, const float *scales, const float *zeros, const float *x,
                        const cm_grid *grid, const cm_value_spec *spec, uint64_t h)
{
    if (grid->middle != 1 || grid->run == 1) return h;
    for (int lines = 0; lines < 2; lines++) {
        const size_t segment = grid->run * (grid->run < 300 ? 300 / grid->run : 1);
        const cm_measure_spec how = {lines ? 5 : 0, lines ? 0 : segment, -7, 7, NULL};
        const size_t chunks = lines ? (LINES + 4) / 5 : LINES * ((LENGTH + segment - 1) / segment);
        cm_error_sums *found = NEW(cm_error_sums, chunks);
        uint64_t *octaves = NEW(uint64_t, CM_OCTAVES);
        k->dequantize->measure(x, codes, scales, zeros, 0, chunks, LINES, grid, spec, &how, found, octaves);
        for (size_t c = 0; c < chunks; c++) {
            if (found[c].error != found[c].error) found[c].error = -1; /* the bits of a NaN sum are nobody's */
            if (found[c].signal != found[c].signal) found[c].signal = -1;
        }
        hash(&h, found, chunks * sizeof *found);
        hash(&h, octaves, CM_OCTAVES * sizeof *octaves);
        free(found);
        free(octaves);
    }
    return h;
}

static uint64_t over_all(const cm_kernels *k, work work_on)
{
    uint64_t h = HASH_START, state = 11;
    float *x = NEW(float, COUNT);
    fill_between(x, COUNT, -6, 4, 12);
    for (size_t layout = 0; layout <= LAYOUT_COUNT + 2; layout++) {
        const int is_float = layout < LAYOUT_COUNT;
        if (is_float && (layout_bits(&LAYOUTS[layout]) > 8 || LAYOUTS[layout].shift || !LAYOUTS[layout].has_sign)) continue;
        const int width = is_float ? layout_bits(&LAYOUTS[layout]) : layout == LAYOUT_COUNT ? 4 : 8;
        const cm_decode_spec format = is_float ? decode_spec(&LAYOUTS[layout]) : (cm_decode_spec){0};
        for (int packed = 0; packed <= (width == 4 || width == 6); packed++)
            for (size_t g = 0; g < GRID_COUNT; g++) {
                const size_t bytes = packed ? ((size_t)COUNT * (size_t)width + 7) / 8 : COUNT, count = scales_of(&GRIDS[g]);
                uint8_t *codes = NEW(uint8_t, bytes);
                float *scales = NEW(float, count), *zeros = NEW(float, count);
                for (size_t i = 0; i < bytes; i++) codes[i] = (uint8_t)next_random(&state);
                if (g % 2) fill_f32(scales, count, layout + 1); /* NaN and infinities among them */
                else fill_between(scales, count, -3, 3, layout + 1);
                for (size_t i = 0; i < count; i++) zeros[i] = (float)(int32_t)(next_random(&state) % 16);
                const cm_value_spec spec = value_spec(is_float ? CM_VALUE_FLOAT : (int)(layout - LAYOUT_COUNT) + 1,
                                                      is_float ? &format : NULL, packed ? width : 0, g % 3 == 1);
                h = work_on(k, codes, scales, g % 3 == 2 ? zeros : NULL, x, &GRIDS[g], &spec, h);
                free(codes);
                free(scales);
                free(zeros);
            }
    }
    free(x);
    return h;
}

/* where a line of memory begins in what has one to spare */
static void *line_in(void *p) { return (void *)(((uintptr_t)p + 63) / 64 * 64); }

/* sizes on both sides of what is streamed, parts of a matrix */
static uint64_t transpose(const cm_kernels *k)
{
    static const size_t sizes[] = {1, 15, 16, 17, 33, 64, 1088};
    uint64_t h = HASH_START, state = 13;
    for (size_t a = 0; a < 7; a++)
        for (size_t b = 0; b < 7; b++) {
            const size_t rows = sizes[a], columns = sizes[b], stride = columns + a;
            uint8_t *from = NEW(uint8_t, rows * stride), *room = NEW(uint8_t, columns * rows + 64), *to = line_in(room);
            for (size_t i = 0; i < rows * stride; i++) from[i] = (uint8_t)next_random(&state);
            k->dequantize->transpose_u8(from, rows, columns, stride, to, rows);
            hash(&h, to, rows * columns);
            free(from);
            free(room);
        }
    return h;
}

static uint64_t transpose_numbers(const cm_kernels *k)
{
    static const size_t sizes[] = {1, 7, 8, 17, 48, 1104};
    uint64_t h = HASH_START, state = 19;
    for (size_t a = 0; a < 6; a++)
        for (size_t b = 0; b < 6; b++) {
            const size_t rows = sizes[a], columns = sizes[b], stride = columns + a;
            uint32_t *from = NEW(uint32_t, rows * stride), *room = NEW(uint32_t, columns * rows + 16), *to = line_in(room);
            for (size_t i = 0; i < rows * stride; i++) from[i] = (uint32_t)next_random(&state);
            k->dequantize->transpose_u32(from, rows, columns, stride, to, rows);
            hash(&h, to, columns * rows * sizeof *to);
            free(from);
            free(room);
        }
    return h;
}

static uint64_t pack(const cm_kernels *k)
{
    uint64_t h = HASH_START, state = 17;
    for (size_t groups = 1; groups < 70; groups += 3)
        for (int bits = 4; bits <= 6; bits += 2) {
            const size_t unit = bits == 4 ? 2 : 4, bytes = bits == 4 ? 1 : 3;
            uint8_t *codes = NEW(uint8_t, groups * unit), *packed = NEW(uint8_t, groups * bytes);
            for (size_t i = 0; i < groups * unit; i++) codes[i] = (uint8_t)next_random(&state);
            k->dequantize->pack(codes, packed, groups, bits);
            hash(&h, packed, groups * bytes);
            free(codes);
            free(packed);
        }
    return h;
}

size_t sweep_dequantize(const cm_kernels *k, result *out)
{
    out[0] = (result){"dequantize", over_all(k, restore)};
    out[1] = (result){"measure", over_all(k, measure)};
    out[2] = (result){"transpose_u8", transpose(k)};
    out[3] = (result){"transpose_u32", transpose_numbers(k)};
    out[4] = (result){"pack", pack(k)};
    return 5;
}
