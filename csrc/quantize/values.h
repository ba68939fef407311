/* Codes of at most 8 bits to their numbers, a chunk at a time into a buffer that stays in the first-level cache. */
#ifndef CHIPMETER_QUANTIZE_VALUES_H
#define CHIPMETER_QUANTIZE_VALUES_H

#include "chipmeter/dequantize.h"
#include "formats/decode.h"

#define CM_VALUE_CHUNK 1024

/* ---- packed codes: code i at bit i * bits, from the lowest bit of the first byte --------------------------------- */

/* Four codes of six bits lie in three bytes: the bytes are spread to a word, the codes shifted to a byte each. */
static inline void cm_unpack_sixes(const uint8_t *restrict packed, uint8_t *restrict codes, size_t groups)
{
    size_t g = 0;
#if defined(__SSSE3__)
    typedef uint32_t words __attribute__((vector_size(16)));
    const __m128i spread = _mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1);
    for (; g + 6 <= groups; g += 4) { /* sixteen bytes are read, twelve used */
        words w = (words)_mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(packed + 3 * g)), spread);
        words out = (w & 0x3fu) | ((w << 2) & 0x3f00u) | ((w << 4) & 0x3f0000u) | ((w << 6) & 0x3f000000u);
        memcpy(codes + 4 * g, &out, sizeof out);
    }
#endif
    for (; g < groups; g++) {
        const uint8_t a = packed[3 * g], b = packed[3 * g + 1], c = packed[3 * g + 2];
        codes[4 * g] = a & 63, codes[4 * g + 1] = (uint8_t)((a >> 6 | b << 2) & 63);
        codes[4 * g + 2] = (uint8_t)((b >> 4 | c << 4) & 63), codes[4 * g + 3] = c >> 2;
    }
}

/* Codes first .. first + n, of which there are `count` in all, into a buffer with room for a group more; returns where the
 * first of them stands. */
static inline const uint8_t *cm_unpack(const uint8_t *packed, size_t first, size_t n, size_t count, int bits,
                                       uint8_t *restrict buffer)
{
    const size_t group = bits == 6 ? 4 : 2, bytes = bits == 6 ? 3 : 1;
    const size_t skip = first % group, groups = (skip + n + group - 1) / group, from = (first - skip) / group * bytes;
    const size_t all = (count * (size_t)bits + 7) / 8;
    size_t whole = groups;
    while (whole && from + whole * bytes > all) whole--; /* the last group of all may be short */
    const uint8_t *source = packed + from;
    if (bits == 6) {
        cm_unpack_sixes(source, buffer, whole);
        if (whole < groups) {
            uint8_t last[3] = {0};
            memcpy(last, source + 3 * whole, all - from - 3 * whole);
            cm_unpack_sixes(last, buffer + 4 * whole, 1);
        }
    } else {
        for (size_t g = 0; g < whole; g++) buffer[2 * g] = source[g] & 15, buffer[2 * g + 1] = source[g] >> 4;
    }
    return buffer + skip;
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

/* Whether a chunk holds an infinity or a NaN. */
static inline int cm_has_special(const uint8_t *restrict codes, size_t n, const cm_decode_spec *s)
{
    const uint8_t mask = (uint8_t)((s->has_sign ? 1u << (s->bits - 1) : 1u << s->bits) - 1);
    if (s->fnuz) {
        const uint8_t nan = (uint8_t)(1u << (s->bits - 1)), all = (uint8_t)(nan | mask);
        uint8_t found = 0;
        for (size_t i = 0; i < n; i++) found |= (uint8_t)((codes[i] & all) == nan);
        return found;
    }
    if (s->max_code >= mask) return 0;
    uint8_t top = 0;
    for (size_t i = 0; i < n; i++) {
        uint8_t m = codes[i] & mask;
        top = m > top ? m : top;
    }
    return top > s->max_code;
}

/* A float of at most five exponent bits whose field never reaches binary16's last is a binary16 with another bias. */
static inline int cm_is_like_half(const cm_decode_spec *s)
{
    return s->has_sign && s->mantissa_bits <= 7 && (s->max_code >> s->mantissa_bits) < 31;
}

#if VL == 16
#define CM_HALF_VECTOR(p)                                                                                            \
    __m256i w = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(p)));                                         \
    __m256i sign = _mm256_and_si256(_mm256_sll_epi16(w, sign_shift), _mm256_set1_epi16((short)0x8000));              \
    __m256i magnitude = _mm256_sll_epi16(_mm256_and_si256(w, _mm256_set1_epi16((short)mask)), fraction_shift);       \
    vf half = (vf)_mm512_cvtph_ps(_mm256_or_si256(sign, magnitude));
#define CM_HAVE_HALF_VALUES
#elif VL == 8 && defined(__F16C__)
#define CM_HALF_VECTOR(p)                                                                                            \
    __m128i w = _mm_cvtepu8_epi16(_mm_loadl_epi64((const __m128i *)(p)));                                            \
    __m128i sign = _mm_and_si128(_mm_sll_epi16(w, sign_shift), _mm_set1_epi16((short)0x8000));                       \
    __m128i magnitude = _mm_sll_epi16(_mm_and_si128(w, _mm_set1_epi16((short)mask)), fraction_shift);                \
    vf half = (vf)_mm256_cvtph_ps(_mm_or_si128(sign, magnitude));
#define CM_HAVE_HALF_VALUES
#endif

/* n numbers, n a multiple of VL; codes must be readable to there */
static inline void cm_float_values(const uint8_t *restrict codes, float *restrict x, size_t n, int special,
                                   const cm_decode_spec *s)
{
    size_t i = 0;
#ifdef CM_HAVE_HALF_VALUES
    if (!special && cm_is_like_half(s)) {
        const __m128i sign_shift = _mm_cvtsi32_si128(16 - s->bits), fraction_shift = _mm_cvtsi32_si128(10 - s->mantissa_bits);
        const int mask = (1 << (s->bits - 1)) - 1;
        const float scale = (float)cm_exp2(15 - s->bias);
        for (; i < n; i += VL) {
            CM_HALF_VECTOR(codes + i)
            vf_store(x + i, half * scale);
        }
    }
#endif
    const float smallest = s->bias == 127 ? 0.0f : (float)cm_exp2(1 - s->bias - s->mantissa_bits);
    (void)special;
    for (; i < n; i += VL) vf_store(x + i, cm_decode_vector(vu_load_u8(codes + i), s, s->bias == 127, smallest));
}

static inline void cm_table_values(const uint8_t *restrict codes, float *restrict x, size_t n, const float *table)
{
#if VL == 16
    const __m512 all = _mm512_loadu_ps(table);
    for (size_t i = 0; i < n; i += VL) vf_store(x + i, (vf)_mm512_permutexvar_ps((__m512i)vu_load_u8(codes + i), all));
#elif VL == 8
    const __m256 low = _mm256_loadu_ps(table), high = _mm256_loadu_ps(table + 8);
    for (size_t i = 0; i < n; i += VL) {
        const __m256i at = (__m256i)vu_load_u8(codes + i);
        vf_store(x + i, (vf)_mm256_blendv_ps(_mm256_permutevar8x32_ps(low, at), _mm256_permutevar8x32_ps(high, at),
                                             _mm256_castsi256_ps(_mm256_slli_epi32(at, 28))));
    }
#else
    for (size_t i = 0; i < n; i++) x[i] = table[codes[i] & 15];
#endif
}

static inline void cm_integer_values(const uint8_t *restrict codes, float *restrict x, size_t n, int has_sign, float unit)
{
    if (has_sign)
        for (size_t i = 0; i < n; i++) x[i] = (float)(int8_t)codes[i] * unit;
    else
        for (size_t i = 0; i < n; i++) x[i] = (float)codes[i] * unit;
}

/* `n` numbers of codes first .. first + n of a tensor of `count`, at most CM_VALUE_CHUNK, into a buffer of one vector more;
 * what lies behind them there is undefined but initialised. Returns whether any is an infinity or a NaN. */
static inline int cm_values(const uint8_t *codes, size_t first, size_t n, size_t count, const cm_value_spec *spec,
                            float *restrict x)
{
    uint8_t buffer[CM_VALUE_CHUNK + 64];
    const uint8_t *from = codes + first;
    size_t padded = (n + VL - 1) / VL * VL;
    if (spec->packed) {
        from = cm_unpack(codes, first, n, count, spec->bits, buffer);
        memset((uint8_t *)(uintptr_t)from + n, 0, 32);
    } else if (padded != n) {
        memcpy(buffer, from, n);
        memset(buffer + n, 0, padded - n);
        from = buffer;
    }
    int special = 0;
    switch (spec->kind) {
    case CM_VALUE_TABLE: cm_table_values(from, x, padded, spec->table); break;
    case CM_VALUE_FLOAT:
        special = cm_has_special(from, n, spec->format);
        cm_float_values(from, x, padded, special, spec->format);
        break;
    default: cm_integer_values(from, x, padded, spec->kind == CM_VALUE_SIGNED, spec->unit);
    }
    return special;
}

#endif
