/* How far codes and scales are from the truth: sums of squares in a fixed order, so that no tier and no split changes a bit.
 *
 * Differences and squares are binary64, each rounded once. Element i of a block is added to lane i mod 8, in order; then
 * neighbours (0 + 1, 2 + 3, ...), then the first half and the second, then the last two. Blocks are added to their chunk in
 * order. Chunks have a fixed place in the tensor, and every one has sums of its own. */
#include "quantize/entries.h"
#include "quantize/products.h"
#include "fpenv.h"
#include "tier.h"

typedef struct {
    double signal[8], error[8], largest[8];
    uint64_t clipped, flushed;
} lanes;

#if VL == 16
static inline __attribute__((always_inline)) void add_sixteen(__m512 a, __m512 b, __m512d *signal, __m512d *error, __m512d *largest)
{
    const __m512d a0 = _mm512_cvtps_pd(_mm512_castps512_ps256(a)), a1 = _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1));
    const __m512d b0 = _mm512_cvtps_pd(_mm512_castps512_ps256(b)), b1 = _mm512_cvtps_pd(_mm512_extractf32x8_ps(b, 1));
    const __m512d d0 = _mm512_sub_pd(a0, b0), d1 = _mm512_sub_pd(a1, b1);
    *signal = _mm512_fmadd_pd(a1, a1, _mm512_fmadd_pd(a0, a0, *signal)); /* squares of binary32 are exact */
    *error = _mm512_add_pd(_mm512_add_pd(*error, _mm512_mul_pd(d0, d0)), _mm512_mul_pd(d1, d1));
    *largest = _mm512_range_pd(_mm512_range_pd(*largest, d0, 11), d1, 11); /* of the magnitudes */
}
#endif

#define SPAN (VL == 16 ? 16 : 8)

/* n elements, a multiple of SPAN, of one block from a multiple of eight on; numbers above `high` or below `low` are clipped */
static inline __attribute__((always_inline)) void add_span(const float *x, const float *y, size_t n, float low, float high,
                                                           lanes *sums)
{
#if VL == 16
    __m512d signal = _mm512_loadu_pd(sums->signal), error = _mm512_loadu_pd(sums->error);
    __m512d largest = _mm512_loadu_pd(sums->largest);
    const __m512 least = _mm512_set1_ps(low), most = _mm512_set1_ps(high), zero = _mm512_setzero_ps();
    for (size_t i = 0; i < n; i += 16) {
        const __m512 a = _mm512_loadu_ps(x + i), b = _mm512_loadu_ps(y + i);
        add_sixteen(a, b, &signal, &error, &largest);
        const __mmask16 above = _mm512_cmp_ps_mask(a, most, _CMP_GT_OQ), below = _mm512_cmp_ps_mask(a, least, _CMP_LT_OQ);
        const __mmask16 some = _mm512_cmp_ps_mask(a, zero, _CMP_NEQ_OQ);
        sums->clipped += (uint64_t)__builtin_popcount((unsigned)(above | below));
        sums->flushed += (uint64_t)__builtin_popcount(_mm512_mask_cmp_ps_mask(some, b, zero, _CMP_EQ_OQ));
    }
    _mm512_storeu_pd(sums->signal, signal);
    _mm512_storeu_pd(sums->error, error);
    _mm512_storeu_pd(sums->largest, largest);
#elif VL == 8
    vd signal[2], error[2], largest[2];
    memcpy(signal, sums->signal, sizeof signal);
    memcpy(error, sums->error, sizeof error);
    memcpy(largest, sums->largest, sizeof largest);
    const vf least = vf_broadcast(low), most = vf_broadcast(high);
    vi clipped = {0}, flushed = {0};
    for (size_t i = 0; i < n; i += 8) {
        const vf a = vf_load(x + i), b = vf_load(y + i);
        vd wide[2], back[2];
        vf_widen(a, &wide[0], &wide[1]);
        vf_widen(b, &back[0], &back[1]);
        for (int h = 0; h < 2; h++) {
            const vd d = wide[h] - back[h];
            signal[h] += wide[h] * wide[h];
            error[h] += d * d;
            const vd magnitude = (vd)((vl)d & 0x7fffffffffffffffll);
            largest[h] = (vd)_mm256_max_pd((__m256d)magnitude, (__m256d)largest[h]); /* the second where the first is NaN */
        }
        clipped -= (a > most) | (a < least);
        flushed -= (a != 0) & (a == a) & (b == 0);
    }
    memcpy(sums->signal, signal, sizeof signal);
    memcpy(sums->error, error, sizeof error);
    memcpy(sums->largest, largest, sizeof largest);
    for (int l = 0; l < VL; l++) sums->clipped += (uint64_t)clipped[l], sums->flushed += (uint64_t)flushed[l];
#else
    uint32_t clipped[8] = {0}, flushed[8] = {0};
    for (size_t i = 0; i < n; i += 8)
        for (int j = 0; j < 8; j++) {
            const float a = x[i + (size_t)j], b = y[i + (size_t)j];
            const double wide = a, d = wide - b, magnitude = d < 0 ? -d : d;
            sums->signal[j] += wide * wide;
            sums->error[j] += d * d;
            sums->largest[j] = magnitude > sums->largest[j] ? magnitude : sums->largest[j];
            clipped[j] += (a > high) | (a < low);
            flushed[j] += ((a < 0) | (a > 0)) & (b == 0);
        }
    for (int j = 0; j < 8; j++) sums->clipped += clipped[j], sums->flushed += flushed[j];
#endif
}

static inline double sum_lanes(const double *lane)
{
    const double a = lane[0] + lane[1], b = lane[2] + lane[3], c = lane[4] + lane[5], d = lane[6] + lane[7];
    return (a + c) + (b + d);
}

static inline void add_block(double signal, double error, cm_error_sums *chunk, uint64_t *octaves)
{
    chunk->signal += signal;
    chunk->error += error;
    if (error == 0) {
        chunk->exact++;
    } else if (signal > 0 && signal <= 0x1.fffffffffffffp1023 && error <= 0x1.fffffffffffffp1023) {
        /* floor(log2(signal / error)), from the exponents, less 1 where the fraction of the signal is the smaller */
        octaves[1024 + ((int64_t)(cm_bits64(signal) - cm_bits64(error)) >> 52)]++;
    }
}

static inline void end_block(lanes *sums, cm_error_sums *chunk, uint64_t *octaves)
{
    add_block(sum_lanes(sums->signal), sum_lanes(sums->error), chunk, octaves);
    memset(sums->signal, 0, sizeof sums->signal);
    memset(sums->error, 0, sizeof sums->error);
}

#if VL == 16
/* Whole blocks of a multiple of 16 elements, without zero points, NaN or infinity among values and scales: all sums of a block
 * stay in registers. */
static inline __attribute__((always_inline)) void measure_blocks(const float *x, const float *values, const float *scales,
                                                                 size_t blocks, size_t run, const cm_value_spec *spec,
                                                                 const cm_measure_spec *how, int two_level, lanes *sums,
                                                                 cm_error_sums *chunk, uint64_t *octaves)
{
    const __m512 tensor = _mm512_set1_ps(spec->tensor_scale), zero = _mm512_setzero_ps();
    const __m512i one = _mm512_set1_epi32(1);
    __m512d largest = _mm512_loadu_pd(sums->largest);
    __m512i clipped = _mm512_setzero_si512(), flushed = clipped;
    for (size_t k = 0; k < blocks; k++) {
        const __m512 scale = _mm512_set1_ps(scales[k]);
        __m512 most = _mm512_mul_ps(_mm512_set1_ps(how->high), scale), least = _mm512_mul_ps(_mm512_set1_ps(how->low), scale);
        if (two_level) most = _mm512_mul_ps(most, tensor), least = _mm512_mul_ps(least, tensor);
        const __m512 lower = _mm512_min_ps(most, least); /* the scale may be negative */
        most = _mm512_max_ps(most, least), least = lower;
        __m512d signal = _mm512_setzero_pd(), error = signal;
        for (size_t i = 0; i < run; i += 16, x += 16, values += 16) {
            const __m512 a = _mm512_loadu_ps(x);
            __m512 b = _mm512_mul_ps(_mm512_loadu_ps(values), scale);
            if (two_level) b = _mm512_mul_ps(b, tensor);
            add_sixteen(a, b, &signal, &error, &largest);
            const __mmask16 above = _mm512_cmp_ps_mask(a, most, _CMP_GT_OQ), below = _mm512_cmp_ps_mask(a, least, _CMP_LT_OQ);
            clipped = _mm512_mask_add_epi32(clipped, above | below, clipped, one);
            const __mmask16 some = _mm512_cmp_ps_mask(a, zero, _CMP_NEQ_OQ);
            flushed = _mm512_mask_add_epi32(flushed, _mm512_mask_cmp_ps_mask(some, b, zero, _CMP_EQ_OQ), flushed, one);
        }
        /* neighbours of both sums side by side, then halves, as sum_lanes adds them */
        const __m512d pairs = _mm512_add_pd(_mm512_unpacklo_pd(signal, error), _mm512_unpackhi_pd(signal, error));
        const __m256d fours = _mm256_add_pd(_mm512_castpd512_pd256(pairs), _mm512_extractf64x4_pd(pairs, 1));
        const __m128d both = _mm_add_pd(_mm256_castpd256_pd128(fours), _mm256_extractf128_pd(fours, 1));
        add_block(_mm_cvtsd_f64(both), _mm_cvtsd_f64(_mm_unpackhi_pd(both, both)), chunk, octaves);
    }
    _mm512_storeu_pd(sums->largest, largest);
    sums->clipped += (uint64_t)_mm512_reduce_add_epi32(clipped);
    sums->flushed += (uint64_t)_mm512_reduce_add_epi32(flushed);
}
#endif

/* elements from..to of a line, whole blocks but for the line's end */
static inline void measure_segment(const float *x, const uint8_t *codes, const float *scales, const float *zeros, size_t line,
                                   size_t from, size_t to, size_t count, const cm_grid *grid, const cm_value_spec *spec,
                                   const cm_measure_spec *how, cm_error_sums *chunk, uint64_t *octaves)
{
    const size_t run = grid->run, piece = run > CM_VALUE_CHUNK ? CM_VALUE_CHUNK : CM_VALUE_CHUNK / run * run;
    const int plain_tensor = cm_is_finite_positive(spec->tensor_scale);
    float values[CM_VALUE_CHUNK + VL], product[CM_VALUE_CHUNK], tail_x[SPAN], tail_y[SPAN];
    lanes sums = {0};
    size_t at = from;
    while (at < to) {
        size_t n = to - at < piece ? to - at : piece;
        if (run > CM_VALUE_CHUNK && n > run - at % run) n = run - at % run; /* not beyond a long block */
        const float *truth = x + line * grid->n + at;
        const float *y = product;
        if (how->given) {
            y = how->given + line * grid->n + at;
        } else {
            int safe = !cm_values(codes, line * grid->n + at, n, count, spec, values) && plain_tensor;
#if VL == 16
            if (safe && !zeros && run % 16 == 0 && n % run == 0 && cm_all_finite(scales + at / run, n / run)) {
                if (spec->two_level) measure_blocks(truth, values, scales + at / run, n / run, run, spec, how, 1, &sums, chunk, octaves);
                else measure_blocks(truth, values, scales + at / run, n / run, run, spec, how, 0, &sums, chunk, octaves);
                at += n;
                continue;
            }
#endif
            cm_products(values, scales, zeros, product, at, n, safe, grid, spec);
        }
        for (size_t i = 0, next; i < n; i = next) {
            const size_t block = (at + i) / run;
            next = (block + 1) * run - at;
            next = next < n ? next : n;
            const float zero = zeros ? zeros[block] : 0, scale = scales[block];
            float above = (how->high - zero) * scale, below = (how->low - zero) * scale;
            if (spec->two_level) above *= spec->tensor_scale, below *= spec->tensor_scale;
            if (below > above) { /* a negative scale */
                const float other = below;
                below = above, above = other;
            }
            const size_t whole = (next - i) & ~(size_t)(SPAN - 1), rest = next - i - whole;
            add_span(truth + i, y + i, whole, below, above, &sums);
            if (rest) {
                memset(tail_x, 0, sizeof tail_x);
                memset(tail_y, 0, sizeof tail_y);
                memcpy(tail_x, truth + i + whole, rest * sizeof *tail_x);
                memcpy(tail_y, y + i + whole, rest * sizeof *tail_y);
                add_span(tail_x, tail_y, SPAN, below, above, &sums);
            }
            if (at + next == (block + 1) * run || at + next == grid->n) end_block(&sums, chunk, octaves);
        }
        at += n;
    }
    for (int j = 0; j < 8; j++) chunk->largest = sums.largest[j] > chunk->largest ? sums.largest[j] : chunk->largest;
    chunk->clipped += sums.clipped;
    chunk->flushed += sums.flushed;
}

static CM_NOINLINE void measure_loop(const float *x, const uint8_t *codes, const float *scales, const float *zeros, size_t begin,
                                     size_t end, size_t lines, const cm_grid *given, const cm_value_spec *spec,
                                     const cm_measure_spec *how, cm_error_sums *chunks, uint64_t *octaves)
{
    const cm_grid grid = *given;
    const size_t per_line = cm_scales_per_line(&grid);
    for (size_t c = begin; c < end; c++) {
        cm_error_sums sums = {0};
        if (how->lines) { /* chunks of whole lines */
            const size_t first = c * how->lines, last = first + how->lines < lines ? first + how->lines : lines;
            for (size_t line = first; line < last; line++) {
                const size_t row = cm_scale_row(&grid, line) * per_line;
                measure_segment(x, codes, scales + row, zeros ? zeros + row : NULL, line, 0, grid.n, lines * grid.n, &grid, spec,
                                how, &sums, octaves);
            }
        } else { /* several chunks in a line */
            const size_t in_line = (grid.n + how->segment - 1) / how->segment, line = c / in_line;
            const size_t from = c % in_line * how->segment, to = from + how->segment < grid.n ? from + how->segment : grid.n;
            const size_t row = cm_scale_row(&grid, line) * per_line;
            measure_segment(x, codes, scales + row, zeros ? zeros + row : NULL, line, from, to, lines * grid.n, &grid, spec, how,
                            &sums, octaves);
        }
        chunks[c - begin] = sums;
    }
}

void CM_NAME(cm_measure)(const float *x, const uint8_t *codes, const float *scales, const float *zeros, size_t begin, size_t end,
                         size_t lines, const cm_grid *grid, const cm_value_spec *spec, const cm_measure_spec *how,
                         cm_error_sums *chunks, uint64_t *octaves)
{
    cm_fpenv saved = cm_fpenv_enter();
    measure_loop(x, codes, scales, zeros, begin, end, lines, grid, spec, how, chunks, octaves);
    cm_fpenv_leave(saved);
}
