/* One engine for every schedule: a small stack program over the ranks, run block by block so that partial sums stay
 * in the second-level cache. Elements are independent: any split of the range gives the same bits. */
#include "collectives/elements.h"
#include "formats/encode.h"
#include "vec.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

static inline int any_nan(vf x)
{
#if VL == 16
    return _mm512_cmp_ps_mask((__m512)x, (__m512)x, _CMP_UNORD_Q) != 0;
#elif VL == 8
    return _mm256_movemask_ps(_mm256_cmp_ps((__m256)x, (__m256)x, _CMP_UNORD_Q)) != 0;
#elif defined(__SSE2__)
    return _mm_movemask_ps(_mm_cmpunord_ps((__m128)x, (__m128)x)) != 0;
#else
    return vi_largest(-(vi)(x != x)) != 0;
#endif
}

static inline vf round_bf16(vf x) /* no NaN */
{
    vu b = (vu)x;
    return (vf)((b + 0x7fffu + (vu_shift_right(b, 16) & 1u)) & 0xffff0000u);
}

static inline __attribute__((always_inline)) vf sum_vector(vf a, vf b, int round)
{
    vf r = a + b;
    if (__builtin_expect(any_nan(r), 0)) {
        for (int l = 0; l < VL; l++) {
            float one = a[l] + b[l];
            if (one != one) r[l] = f32_settle(one, a[l], b[l]);
            else if (round) r[l] = cm_float32((cm_bits32(one) + 0x7fffu + (cm_bits32(one) >> 16 & 1u)) & 0xffff0000u);
        }
        return r;
    }
    return round ? round_bf16(r) : r;
}

/* acc = acc + x or x + acc, x of bfloat16 or float32; `round`: to bfloat16 */
#define CM_SUM_LOOP(load, one, round)                                                                                \
    {                                                                                                                \
        size_t i = 0;                                                                                                \
        if (first)                                                                                                   \
            for (; i + VL <= n; i += VL) vf_store(acc + i, sum_vector(load(x + i), vf_load(acc + i), round));        \
        else                                                                                                         \
            for (; i + VL <= n; i += VL) vf_store(acc + i, sum_vector(vf_load(acc + i), load(x + i), round));        \
        for (; i < n; i++) {                                                                                         \
            vf a = vf_set(acc[i]), b = vf_set(one(x[i]));                                                            \
            acc[i] = first ? sum_vector(b, a, round)[0] : sum_vector(a, b, round)[0];                                \
        }                                                                                                            \
        return;                                                                                                      \
    }
static inline vf load_bf16(const uint16_t *p) { return (vf)(vu_load_u16(p) << 16); }
static inline float one_bf16(uint16_t x) { return cm_float32((uint32_t)x << 16); }
static inline float one_f32(float x) { return x; }
static CM_NOINLINE void sum_f32_round(float *acc, const float *x, size_t n, int first) CM_SUM_LOOP(vf_load, one_f32, 1)
static CM_NOINLINE void sum_bf16(float *acc, const uint16_t *x, size_t n, int first) CM_SUM_LOOP(load_bf16, one_bf16, 1)
static CM_NOINLINE void sum_bf16_wide(float *acc, const uint16_t *x, size_t n, int first) CM_SUM_LOOP(load_bf16, one_bf16, 0)

/* acc = ((acc + x0) + x1) + ..., or x1 + (x0 + acc) if `first`, where acc may begin as `start`: up to CM_GROUP ranks in
 * one pass, the sums in registers. A NaN survives every addition, and rounding too as its low half is zero, so one look
 * at the end finds it; the vectors are then done again, step by step, in the order of the operands. */
enum { CM_GROUP = 8 };
#define CM_GROUP_LOOP(load, one, round)                                                                              \
    {                                                                                                                \
        size_t i = 0;                                                                                                \
        for (; i + 4 * VL <= n; i += 4 * VL) {                                                                       \
            vf r[4];                                                                                                 \
            for (int j = 0; j < 4; j++) r[j] = start ? load(start + i + j * VL) : vf_load(acc + i + j * VL);         \
            for (size_t k = 0; k < m; k++)                                                                           \
                for (int j = 0; j < 4; j++) {                                                                        \
                    vf sum = r[j] + load(x[k] + i + j * VL);                                                         \
                    r[j] = (round) ? round_bf16(sum) : sum;                                                          \
                }                                                                                                    \
            if (__builtin_expect(any_nan((r[0] + r[1]) + (r[2] + r[3])), 0))                                         \
                for (int j = 0; j < 4; j++) {                                                                        \
                    r[j] = start ? load(start + i + j * VL) : vf_load(acc + i + j * VL);                             \
                    for (size_t k = 0; k < m; k++) {                                                                 \
                        vf own = load(x[k] + i + j * VL);                                                            \
                        r[j] = first ? sum_vector(own, r[j], round) : sum_vector(r[j], own, round);                  \
                    }                                                                                                \
                }                                                                                                    \
            for (int j = 0; j < 4; j++) vf_store(acc + i + j * VL, r[j]);                                            \
        }                                                                                                            \
        for (; i < n; i++) {                                                                                         \
            vf r = vf_set(start ? one(start[i]) : acc[i]);                                                           \
            for (size_t k = 0; k < m; k++) {                                                                         \
                vf own = vf_set(one(x[k][i]));                                                                       \
                r = first ? sum_vector(own, r, round) : sum_vector(r, own, round);                                   \
            }                                                                                                        \
            acc[i] = r[0];                                                                                           \
        }                                                                                                            \
    }
static CM_NOINLINE void group_bf16(float *acc, const uint16_t *start, const uint16_t *const *x, size_t m, size_t n, int first)
    CM_GROUP_LOOP(load_bf16, one_bf16, 1)
static CM_NOINLINE void group_bf16_wide(float *acc, const uint16_t *start, const uint16_t *const *x, size_t m, size_t n, int first)
    CM_GROUP_LOOP(load_bf16, one_bf16, 0)

typedef struct {
    const cm_reduce_spec *spec;
    void *codes;       /* a block of storage */
    float *decoded;    /* a block */
    size_t at, step;   /* of the random words */
    int plain_bf16;    /* bfloat16, to nearest even: rounded in the vector loop */
} context;

static inline size_t storage_size(int type)
{
    static const uint8_t sizes[CM_REDUCE_TYPES] = {4, 8, 2, 2, 1, 1, 1, 2, 2, 4, 4, 8, 8};
    return sizes[type];
}

static inline int is_small(int type) { return type == CM_REDUCE_BF16 || type == CM_REDUCE_F16 || type == CM_REDUCE_CODE8; }
static inline size_t accumulator_size(int type) { return is_small(type) ? 4 : storage_size(type); }

static void decode_small(float *y, const void *x, size_t n, const cm_reduce_spec *s)
{
    if (s->type == CM_REDUCE_CODE8) CM_NAME(cm_formats).decode_u8_f32(x, y, n, s->decode);
    else CM_NAME(cm_formats).decode_u16_f32(x, y, n, s->decode);
}

static void encode_small(void *codes, const float *x, size_t n, const context *c)
{
    const cm_random random = {NULL, c->spec->seed, (uint64_t)c->step * c->spec->count + c->at, CM_STOCHASTIC_TRUNCATED};
    if (c->spec->type == CM_REDUCE_CODE8) CM_NAME(cm_formats).encode_f32_u8(x, codes, n, c->spec->encode, &random);
    else CM_NAME(cm_formats).encode_f32_u16(x, codes, n, c->spec->encode, &random);
}

static void round_small(float *x, size_t n, const context *c)
{
    encode_small(c->codes, x, n, c);
    decode_small(x, c->codes, n, c->spec);
}

/* up to CM_GROUP ranks or results of the accumulator's type, one after the other */
static void combine(void *acc, const void *start, const void *const *x, size_t m, size_t n, int first, const context *c)
{
    const int op = c->spec->op;
    switch (c->spec->type) {
    case CM_REDUCE_F64: f64_group(acc, start, x, m, n, op, first); return;
    case CM_REDUCE_I8: i8_group(acc, start, x, m, n, op, first); return;
    case CM_REDUCE_U8: u8_group(acc, start, x, m, n, op, first); return;
    case CM_REDUCE_I16: i16_group(acc, start, x, m, n, op, first); return;
    case CM_REDUCE_U16: u16_group(acc, start, x, m, n, op, first); return;
    case CM_REDUCE_I32: i32_group(acc, start, x, m, n, op, first); return;
    case CM_REDUCE_U32: u32_group(acc, start, x, m, n, op, first); return;
    case CM_REDUCE_I64: i64_group(acc, start, x, m, n, op, first); return;
    case CM_REDUCE_U64: u64_group(acc, start, x, m, n, op, first); return;
    default: f32_group(acc, start, x, m, n, op, first);
    }
}

/* a sum of two that is rounded to odd in binary64, so that one more rounding is the only one */
static inline double odd_sum(double a, double b)
{
    double s = a + b, bb = s - a, error = (a - (s - bb)) + (b - bb);
    uint64_t bits = cm_bits64(s);
    if (error != 0 && s - s == 0 && !(bits & 1)) bits += ((error > 0) == (s > 0)) ? 1 : (uint64_t)-1;
    return cm_float64(bits);
}

/* acc = round(x * scale + acc), one rounding; x decoded, of 16 bits. A product of two of them is exact in binary64 */
static void fuse_slow(float *acc, const float *x, size_t n, const context *c)
{
    for (size_t i = 0; i < n; i++) {
        double product = f64_settle((double)x[i] * c->spec->scale, x[i], 0), sum = f64_settle(odd_sum(product, acc[i]), product, acc[i]);
        uint16_t code = (uint16_t)cm_encode_f64(cm_bits64(sum), CM_NEAREST_EVEN, c->spec->encode);
        decode_small(acc + i, &code, 1, c->spec);
    }
}

/* The same in binary32, where the product is exact too if it is neither tiny nor huge: the sum is rounded to odd, which
 * leaves the rounding to 16 bits the only one. */
static CM_NOINLINE void fuse_small(float *acc, const float *x, size_t n, const context *c)
{
    const vf scale = vf_set((float)c->spec->scale), tiny = vf_set(0x1p-126f), huge = vf_set(0x1p127f);
    const vu sign = (vu){0} + 0x80000000u;
    size_t i = 0;
    for (; i + VL <= n; i += VL) {
        vf own = vf_load(x + i), before = vf_load(acc + i), product = own * scale, sum = product + before;
        vf part = sum - product, error = (product - (sum - part)) + (before - part);
        vu inexact = (vu)(error != (vf){0}), odd = (vu){0} - ((vu)sum & 1u);
        vu away = (vu)(((vu)error ^ (vu)sum) & sign) == 0; /* the exact sum is larger than its rounding */
        vu step = (away & 1u) | (~away & 0xffffffffu);
        vf rounded = (vf)((vu)sum + (step & inexact & ~odd));
        vf size = (vf)((vu)product & ~sign);
        vu good = (vu)((vf)((vu)sum & ~sign) < huge) & ((vu)(size >= tiny) | (vu)(own == (vf){0}));
        if (__builtin_expect(vu_any(~good), 0)) fuse_slow(acc + i, x + i, VL, c);
        else vf_store(acc + i, rounded);
    }
    fuse_slow(acc + i, x + i, n - i, c);
    round_small(acc, n, c);
}

/* acc = round(x * scale + acc), one rounding, rank after rank; 16 bits: one rank, decoded */
static void fuse(void *acc, const void *const *x, size_t m, size_t n, const context *c)
{
    if (c->spec->type == CM_REDUCE_F64) f64_fuse(acc, x, m, n, c->spec->scale);
    else if (c->spec->type == CM_REDUCE_F32) f32_fuse(acc, x, m, n, (float)c->spec->scale);
    else if (c->spec->encode->rounding == CM_NEAREST_EVEN) fuse_small(acc, x[0], n, c);
    else fuse_slow(acc, x[0], n, c);
}

static CM_NOINLINE void scale_block(void *into, size_t n, const context *c)
{
    if (c->spec->type == CM_REDUCE_F64) {
        double *x = into;
        for (size_t i = 0; i < n; i++) x[i] = f64_settle(x[i] * c->spec->scale, x[i], 0);
        return;
    }
    float *x = into, scale = (float)c->spec->scale;
    for (size_t i = 0; i < n; i++) x[i] = f32_settle(x[i] * scale, x[i], 0);
    if (is_small(c->spec->type)) round_small(x, n, c);
}

/* x as the accumulator's type, scaled; where nothing is to be done, x itself */
static const void *operand(const void *x, void *into, size_t n, int scaled, const context *c)
{
    const cm_reduce_spec *s = c->spec;
    if (is_small(s->type)) decode_small(into, x, n, s);
    else if (!scaled) return x;
    else memcpy(into, x, n * accumulator_size(s->type));
    if (scaled) scale_block(into, n, c);
    return into;
}

static void add_rank(void *top, const void *x, size_t n, int first, int keep, const context *c)
{
    const cm_reduce_spec *s = c->spec;
    const int round = is_small(s->type) && !s->wide && !keep;
    if (s->type == CM_REDUCE_BF16 && s->op == CM_REDUCE_SUM && s->scaling == CM_REDUCE_PLAIN && (c->plain_bf16 || !round)) {
        if (round) sum_bf16(top, x, n, first);
        else sum_bf16_wide(top, x, n, first);
        return;
    }
    if (s->scaling == CM_REDUCE_FUSED) {
        const void *own = operand(x, c->decoded, n, 0, c);
        fuse(top, &own, 1, n, c);
        return;
    }
    const void *own = operand(x, c->decoded, n, s->scaling == CM_REDUCE_PRODUCT, c);
    combine(top, NULL, &own, 1, n, first, c);
    if (round && s->op <= CM_REDUCE_PROD) round_small(top, n, c);
}

static void merge(void *below, const void *top, size_t n, int first, int keep, const context *c)
{
    const cm_reduce_spec *s = c->spec;
    const int round = is_small(s->type) && !s->wide && !keep && s->op <= CM_REDUCE_PROD;
    if (round && s->op == CM_REDUCE_SUM && c->plain_bf16) {
        sum_f32_round(below, top, n, first);
        return;
    }
    combine(below, NULL, &top, 1, n, first, c);
    if (round) round_small(below, n, c);
}

static void divide(void *acc, size_t n, const cm_reduce_spec *s)
{
    switch (s->type) {
    case CM_REDUCE_F64: f64_divide(acc, n, s->divisor); return;
    case CM_REDUCE_I8: i8_divide(acc, n, s->divisor); return;
    case CM_REDUCE_U8: u8_divide(acc, n, s->divisor); return;
    case CM_REDUCE_I16: i16_divide(acc, n, s->divisor); return;
    case CM_REDUCE_U16: u16_divide(acc, n, s->divisor); return;
    case CM_REDUCE_I32: i32_divide(acc, n, s->divisor); return;
    case CM_REDUCE_U32: u32_divide(acc, n, s->divisor); return;
    case CM_REDUCE_I64: i64_divide(acc, n, s->divisor); return;
    case CM_REDUCE_U64: u64_divide(acc, n, s->divisor); return;
    default: f32_divide(acc, n, s->divisor);
    }
}

static void narrow_bf16(uint16_t *codes, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + VL <= n; i += VL) vu_store_u16(codes + i, vu_shift_right((vu)vf_load(x + i), 16));
    for (; i < n; i++) codes[i] = (uint16_t)(cm_bits32(x[i]) >> 16);
}

static void write_block(void *to, const void *from, size_t bytes, int stream)
{
#if defined(__SSE2__)
    if (stream && bytes >= 4096) {
        char *out = to;
        const char *in = from;
        size_t lead = (size_t)(-(uintptr_t)out & 63);
        memcpy(out, in, lead);
        size_t i = lead;
        for (; i + 64 <= bytes; i += 64) {
#if VL == 16
            _mm512_stream_si512((__m512i *)(out + i), _mm512_loadu_si512(in + i));
#else
            for (size_t k = 0; k < 64; k += 16)
                _mm_stream_si128((__m128i *)(out + i + k), _mm_loadu_si128((const __m128i *)(in + i + k)));
#endif
        }
        memcpy(out + i, in + i, bytes - i);
        return;
    }
#else
    (void)stream;
#endif
    memcpy(to, from, bytes);
}

/* How many of the next steps are plain, after a load perhaps, that one pass can take together; does them. */
static size_t add_group(void *top, const void *const *inputs, size_t ranks, const cm_reduce_step *steps, size_t left,
                        size_t rotation, size_t at, size_t n, const context *c)
{
    const cm_reduce_spec *s = c->spec;
    const int small = is_small(s->type);
    if (s->scaling != CM_REDUCE_PLAIN && (s->scaling != CM_REDUCE_FUSED || small)) return 0;
    if (small && (s->type != CM_REDUCE_BF16 || s->op != CM_REDUCE_SUM || !(c->plain_bf16 || s->wide))) return 0;
    const void *x[CM_GROUP + 1];
    /* a bfloat16 is loaded by its decoder, which quiets NaN; other types as they are */
    const size_t loads = steps[0].code == CM_REDUCE_LOAD && !small && s->scaling == CM_REDUCE_PLAIN;
    if (left < loads + 2) return 0;
    const int code = steps[loads].code, first = code == CM_REDUCE_ADD_FIRST;
    if (!first && code != CM_REDUCE_ADD) return 0;
    size_t m = 0;
    for (; m < loads + CM_GROUP && m < left && (m < loads || steps[m].code == code); m++) {
        size_t rank = (size_t)steps[m].rank + rotation;
        x[m] = (const char *)inputs[rank < ranks ? rank : rank - ranks] + at * storage_size(s->type);
    }
    if (m < 2) return 0;
    if (s->scaling == CM_REDUCE_FUSED) fuse(top, x, m, n, c);
    else if (!small) combine(top, loads ? x[0] : NULL, x + loads, m - loads, n, first, c);
    else if (s->wide) group_bf16_wide(top, NULL, (const uint16_t *const *)x, m, n, first);
    else group_bf16(top, NULL, (const uint16_t *const *)x, m, n, first);
    return m;
}

static CM_NOINLINE void run_block(const void *const *inputs, size_t ranks, void *const *outputs, size_t n_outputs,
                                  const cm_reduce_step *steps, size_t n_steps, size_t rotation, size_t at, size_t n,
                                  int stream, int in_place, const cm_reduce_spec *spec, char *scratch)
{
    const size_t item = storage_size(spec->type), block = (size_t)CM_REDUCE_BLOCK * 8;
    context c = {spec, scratch, (float *)(scratch + block), at, 0, 0};
    c.plain_bf16 = spec->type == CM_REDUCE_BF16 && spec->encode->rounding == CM_NEAREST_EVEN;
    char *levels[CM_REDUCE_DEPTH + 1]; /* below the first of the stack is the decoded block */
    for (size_t l = 0; l <= CM_REDUCE_DEPTH; l++) levels[l] = scratch + (l + 1) * block;
    if (in_place) levels[1] = (char *)outputs[0] + at * item;
    char **top = levels;
    for (size_t i = 0; i < n_steps; i++) {
        const int loads = steps[i].code == CM_REDUCE_LOAD;
        size_t done = add_group(top[loads], inputs, ranks, steps + i, n_steps - i, rotation, at, n, &c);
        if (done) {
            top += loads;
            i += done - 1;
            continue;
        }
        const int code = steps[i].code & 7, keep = steps[i].code & CM_REDUCE_KEEP;
        c.step = i;
        if (code == CM_REDUCE_MERGE || code == CM_REDUCE_MERGE_FIRST) {
            merge(top[-1], top[0], n, code == CM_REDUCE_MERGE_FIRST, keep, &c);
            top--;
            continue;
        }
        size_t rank = (size_t)steps[i].rank + rotation;
        const char *x = (const char *)inputs[rank < ranks ? rank : rank - ranks] + at * item;
        if (code == CM_REDUCE_LOAD) {
            top++;
            const void *value = operand(x, *top, n, spec->scaling != CM_REDUCE_PLAIN, &c);
            if (value != *top) memcpy(*top, value, n * accumulator_size(spec->type));
        } else {
            add_rank(*top, x, n, code == CM_REDUCE_ADD_FIRST, keep, &c);
        }
    }
    c.step = n_steps;
    if (spec->divisor) divide(*top, n, spec);
    const void *result = *top;
    if (is_small(spec->type)) {
        /* without a stochastic division or wide sum the values are already of the type, and encoding is exact */
        if (c.plain_bf16 && !spec->wide && !spec->divisor) narrow_bf16(c.codes, (const float *)*top, n);
        else encode_small(c.codes, (const float *)*top, n, &c);
        result = c.codes;
    }
    if (in_place) return;
    for (size_t r = 0; r < n_outputs; r++) write_block((char *)outputs[r] + at * item, result, n * item, stream);
}

static void CM_NAME(reduce)(const void *const *inputs, size_t ranks, void *const *outputs, size_t n_outputs,
                            const cm_reduce_step *steps, size_t n_steps, size_t rotation, size_t begin, size_t end,
                            int32_t stream, const cm_reduce_spec *spec, void *scratch)
{
    cm_fpenv saved = cm_fpenv_enter();
    /* the only result of a type that is added as it is stored takes shape where it belongs, unless it is an input too */
    int in_place = n_outputs == 1 && !is_small(spec->type) && !stream;
    for (size_t r = 0; r < ranks; r++) in_place &= inputs[r] != outputs[0];
    for (size_t at = begin; at < end; at += CM_REDUCE_BLOCK) {
        size_t n = end - at < CM_REDUCE_BLOCK ? end - at : CM_REDUCE_BLOCK;
        run_block(inputs, ranks, outputs, n_outputs, steps, n_steps, rotation, at, n, stream, in_place, spec, scratch);
    }
#if defined(__SSE2__)
    if (stream) _mm_sfence();
#endif
    cm_fpenv_leave(saved);
}

const cm_collective_kernels CM_NAME(cm_collectives) = {.reduce = CM_NAME(reduce)};
