/* What the files of the self-test share: formats, deterministic inputs, hashes and the count of failures. */
#ifndef CHIPMETER_SELFTEST_SUPPORT_H
#define CHIPMETER_SELFTEST_SUPPORT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bits.h"
#include "chipmeter/kernels.h"

/* ---- failures -------------------------------------------------------------------------------------------------- */

extern int failures;
extern const char *tier_name; /* of the kernels under test, for messages */

#define EXPECT(holds, ...)                                                                                           \
    do {                                                                                                             \
        if (!(holds)) {                                                                                              \
            failures++;                                                                                              \
            fprintf(stderr, "%s:%d: [%s] ", __FILE__, __LINE__, tier_name);                                          \
            fprintf(stderr, __VA_ARGS__);                                                                            \
            fputc('\n', stderr);                                                                                     \
        }                                                                                                            \
    } while (0)

/* exactly n items on the heap, so that a sanitizer sees the first byte beyond them; never NULL */
static inline void *items(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size);
    if (!p) abort();
    return p;
}
#define NEW(type, n) ((type *)items((n), sizeof(type)))

/* ---- FNV-1a ---------------------------------------------------------------------------------------------------- */

#define HASH_START 0xcbf29ce484222325ull

static inline void hash(uint64_t *h, const void *data, size_t bytes)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < bytes; i++) *h = (*h ^ p[i]) * 0x100000001b3ull;
}

/* ---- inputs: integer arithmetic only, so every compiler and machine makes the same ------------------------------ */

static inline uint64_t next_random(uint64_t *state) /* splitmix64 */
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

/* any bits, special values, ties of narrow formats, everyday magnitudes */
void fill_f32(float *x, size_t n, uint64_t seed);
void fill_f64(double *x, size_t n, uint64_t seed);
/* finite, 2^low <= |x| < 2^(high + 1), or zero now and then */
void fill_between(float *x, size_t n, int low, int high, uint64_t seed);

/* ---- formats --------------------------------------------------------------------------------------------------- */

enum nan_kind { NAN_IEEE, NAN_ALL_ONES, NAN_NEGATIVE_ZERO, NAN_NONE };

typedef struct {
    const char *name;
    int exponent_bits, mantissa_bits, bias;
    enum nan_kind nan;
    int has_sign, shift, payload;
} layout;

extern const layout LAYOUTS[];
extern const size_t LAYOUT_COUNT;

const layout *layout_named(const char *name);
int layout_bits(const layout *f); /* without the padding of the container */
uint32_t layout_max_code(const layout *f);
cm_encode_spec encode_spec(const layout *f, int rounding, int saturate);
cm_decode_spec decode_spec(const layout *f);
/* x rounded to a format and decoded again: operands of a matrix unit */
void round_to(const cm_kernels *k, const layout *f, float *x, size_t n);

/* ---- the parts ------------------------------------------------------------------------------------------------- */

void known_answers(const cm_kernels *k);

typedef struct {
    const char *kernel;
    uint64_t value;
} result;

/* run every kernel of the table; returns how many results were written to `out` (room for 64) */
size_t sweep_formats(const cm_kernels *k, result *out);
size_t sweep_matmul(const cm_kernels *k, result *out);
size_t sweep_collectives(const cm_kernels *k, result *out);
size_t sweep_dequantize(const cm_kernels *k, result *out);

#endif
