/* Outputs beside infinities, from bits instead of numbers.
 *
 * Once an infinity has entered the chain finite terms change nothing, so the steps may run with zeros in its place: if
 * they end finite, nothing overflowed before it came. What remains is whether any infinity meets a zero and which signs
 * the infinite products have: three bits per element, 32 of depth at a time. */
#include "matmul/fused_codes.h"
#include "matmul/fused_decode.h"

enum { INFINITE, ZERO, NEGATIVE, KINDS };

static size_t words_of(const cm_fused_codes_args *args) { return (args->depth + 31) / 32; }

size_t CM_NAME(fused_infinities_workspace)(const cm_fused_codes_args *args, size_t rows)
{
    return (rows + VL) * words_of(args) * KINDS * sizeof(uint32_t);
}

INLINE vi zeros(lanes x) { return x.zero & ~x.nan & ~x.infinity; }

static CM_NOINLINE void row_bits(const cm_fused_codes_args *args, size_t row, uint32_t *to)
{
    for (size_t k = 0; k < args->depth; k += 32, to += KINDS) {
        uint32_t raw[32];
        const size_t n = args->depth - k < 32 ? args->depth - k : 32;
        gather(raw, &args->a, (ptrdiff_t)row * args->a.line + (ptrdiff_t)k * args->a.along, args->a.along, n, 32);
        memset(to, 0, KINDS * sizeof *to);
        for (size_t i = 0; i < 32; i += VL) {
            const lanes x = decode(vu_load(raw + i), &args->a);
            to[INFINITE] |= vi_sign_bits(x.infinity) << i, to[ZERO] |= vi_sign_bits(zeros(x)) << i;
            to[NEGATIVE] |= vi_sign_bits((vi)(vu_load(raw + i) << (uint32_t)(31 - args->a.magnitude_bits - args->a.shift))) << i;
        }
    }
}

static CM_NOINLINE void column_bits(const cm_fused_codes_args *args, size_t column, size_t width, uint32_t *to)
{
    for (size_t k0 = 0; k0 < args->depth; k0 += 32, to += KINDS * VL) {
        vu found[KINDS] = {{0}};
        for (size_t k = k0; k < k0 + 32 && k < args->depth; k++) {
            uint32_t raw[VL];
            gather(raw, &args->b, (ptrdiff_t)column * args->b.line + (ptrdiff_t)k * args->b.along, args->b.line, width, VL);
            const lanes x = decode(vu_load(raw), &args->b);
            const vu bit = (1u << (k - k0)) + (vu){0};
            found[INFINITE] |= (vu)x.infinity & bit, found[ZERO] |= (vu)zeros(x) & bit;
            found[NEGATIVE] |= (vu)((vi)(vu_load(raw) << (uint32_t)(31 - args->b.magnitude_bits - args->b.shift)) >> 31) & bit;
        }
        for (int i = 0; i < KINDS; i++) vu_store_u32(to + i * VL, found[i]);
    }
}

static CM_NOINLINE void one_vector(const cm_fused_codes_args *args, size_t row, size_t column, size_t width, const uint32_t *a,
                                   const uint32_t *b)
{
    vu nan = {0}, plus = {0}, minus = {0};
    for (size_t i = 0; i < words_of(args); i++, a += KINDS, b += KINDS * VL) {
        const vu infinite = vu_load(b + INFINITE * VL), zero = vu_load(b + ZERO * VL), sign = vu_load(b + NEGATIVE * VL) ^ a[NEGATIVE];
        nan |= (infinite & a[ZERO]) | (zero & a[INFINITE]);
        plus |= (infinite | a[INFINITE]) & ~sign, minus |= (infinite | a[INFINITE]) & sign;
    }
    for (size_t l = 0; l < width; l++) {
        const size_t at = row * args->columns + column + l;
        if (args->left[at] != LEFT_INFINITE) continue;
        const uint32_t c = args->c ? cm_bits32(args->c[at]) : 0, infinity = 0x7f800000u;
        const int up = plus[l] || c == infinity, down = minus[l] || c == (infinity | 1u << 31);
        args->d[at] = cm_float32(nan[l] || (up && down) ? CM_NAN32 : down ? infinity | 1u << 31 : infinity);
        args->left[at] = 0;
    }
}

void CM_NAME(fused_infinities)(const cm_fused_codes_args *args, size_t begin, size_t end, void *workspace)
{
    const size_t words = words_of(args) * KINDS;
    uint32_t *const of_columns = workspace, *const of_rows = of_columns + words * VL;
    int any = 0;
    for (size_t row = begin; row < end; row++) {
        if (!(args->left_rows[row] & LEFT_INFINITE)) continue;
        any = 1;
        row_bits(args, row, of_rows + (row - begin) * words);
    }
    for (size_t column = 0; any && column < args->columns; column += VL) {
        const size_t width = args->columns - column < VL ? args->columns - column : VL;
        column_bits(args, column, width, of_columns);
        for (size_t row = begin; row < end; row++) {
            const uint8_t *left = args->left + row * args->columns + column;
            if (args->left_rows[row] & LEFT_INFINITE && memchr(left, LEFT_INFINITE, width))
                one_vector(args, row, column, width, of_rows + (row - begin) * words, of_columns);
        }
    }
    for (size_t row = begin; row < end; row++) args->left_rows[row] &= LEFT_GENERAL;
}
