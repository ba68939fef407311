/* The reduction engine over every type and operation, along a chain and a tree, at sizes around vectors and blocks. */
#include "support.h"

enum { RANKS = 7 };
static const size_t SIZES[] = {1, 3, 15, 16, 17, 33, 97, 1025};
static const int ITEMS[CM_REDUCE_TYPES] = {4, 8, 2, 2, 1, 1, 1, 2, 2, 4, 4, 8, 8};

static const cm_reduce_step CHAIN[] = {{CM_REDUCE_LOAD, 1}, {CM_REDUCE_ADD, 2}, {CM_REDUCE_ADD, 3}, {CM_REDUCE_ADD, 4},
                                       {CM_REDUCE_ADD, 5}, {CM_REDUCE_ADD_FIRST, 6}, {CM_REDUCE_ADD, 0}};
static const cm_reduce_step TREE[] = {{CM_REDUCE_LOAD, 0}, {CM_REDUCE_ADD | CM_REDUCE_KEEP, 1}, {CM_REDUCE_ADD, 2},
                                      {CM_REDUCE_LOAD, 3}, {CM_REDUCE_ADD_FIRST, 4}, {CM_REDUCE_LOAD, 5}, {CM_REDUCE_ADD, 6},
                                      {CM_REDUCE_MERGE_FIRST, 0}, {CM_REDUCE_MERGE, 0}};

static void one(const cm_kernels *k, const cm_reduce_spec *given, size_t n, uint64_t *h)
{
    cm_reduce_spec spec = *given;
    const size_t item = (size_t)ITEMS[spec.type];
    const void *inputs[RANKS];
    void *outputs[2];
    for (size_t r = 0; r < RANKS; r++) {
        char *x = items(n, item);
        if (spec.type == CM_REDUCE_F32) fill_f32((float *)(void *)x, n, r + n);
        else if (spec.type == CM_REDUCE_F64) fill_f64((double *)(void *)x, n, r + n);
        else {
            uint64_t state = r * 31 + n;
            for (size_t i = 0; i < n * item; i++) x[i] = (char)next_random(&state);
        }
        inputs[r] = x;
    }
    for (size_t i = 0; i < 2; i++) outputs[i] = items(n, item);
    spec.count = n;
    char *scratch = items(6 * (size_t)CM_REDUCE_BLOCK, 8);
    for (int tree = 0; tree < 2; tree++) {
        const cm_reduce_step *steps = tree ? TREE : CHAIN;
        const size_t length = tree ? sizeof TREE / sizeof *TREE : sizeof CHAIN / sizeof *CHAIN;
        k->collectives->reduce(inputs, RANKS, outputs, 2, steps, length, n % RANKS, 0, n, tree, &spec, scratch);
        EXPECT(memcmp(outputs[0], outputs[1], n * item) == 0, "two outputs of one reduction differ");
        hash(h, outputs[0], n * item);
    }
    for (size_t r = 0; r < RANKS; r++) free((void *)(uintptr_t)inputs[r]);
    for (size_t i = 0; i < 2; i++) free(outputs[i]);
    free(scratch);
}

static uint64_t reduction(const cm_kernels *k, int type, int op)
{
    uint64_t h = HASH_START;
    const layout *f = layout_named(type == CM_REDUCE_BF16 ? "bf16" : type == CM_REDUCE_F16 ? "f16" : "e4m3");
    const int small = type >= CM_REDUCE_BF16 && type <= CM_REDUCE_CODE8;
    for (size_t s = 0; s < sizeof SIZES / sizeof *SIZES; s++)
        for (int variant = 0; variant < 5; variant++) {
            cm_encode_spec encode = encode_spec(f, variant == 4 ? CM_STOCHASTIC : CM_NEAREST_EVEN, type == CM_REDUCE_CODE8);
            encode.random_bits = 32;
            const cm_decode_spec decode = decode_spec(f);
            cm_reduce_spec spec = {.type = type, .op = op, .scale = 0.25, .encode = &encode, .decode = &decode, .seed = 9};
            const int scaled = op == CM_REDUCE_SUM && type <= CM_REDUCE_CODE8;
            spec.wide = variant == 1 && small;
            if (variant == 2 && scaled) spec.scaling = CM_REDUCE_PRODUCT;
            if (variant == 3 && scaled && type != CM_REDUCE_CODE8) spec.scaling = CM_REDUCE_FUSED;
            if (variant == 3 && op == CM_REDUCE_PROD) spec.divisor = 3;
            one(k, &spec, SIZES[s], &h);
        }
    return h;
}

size_t sweep_collectives(const cm_kernels *k, result *out)
{
    static char names[CM_REDUCE_TYPES][32];
    for (int type = 0; type < CM_REDUCE_TYPES; type++) {
        uint64_t h = HASH_START;
        for (int op = 0; op < CM_REDUCE_OPS; op++) {
            const uint64_t part = reduction(k, type, op);
            hash(&h, &part, sizeof part);
        }
        snprintf(names[type], sizeof names[type], "reduce type%d", type);
        *out++ = (result){names[type], h};
    }
    return CM_REDUCE_TYPES;
}
