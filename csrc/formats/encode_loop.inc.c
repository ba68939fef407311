/* The loop of one cast; included once per (source, code width) with CM_SOURCE, CM_BITS, CM_CODE, CM_ENCODE_ONE and
 * CM_LOOP defined. One copy per rounding mode, so that each inner loop is straight-line code. */

static CM_NOINLINE void CM_NAME(CM_LOOP)(const CM_SOURCE *restrict x, CM_CODE *restrict codes, size_t n, const cm_encode_spec *given,
                                         const cm_random *random)
{
    const cm_encode_spec copy = *given, *spec = &copy; /* a local the compiler knows no store can alias */
#ifdef CM_FAST
    if (cm_fast_spec_holds(spec) && (sizeof(CM_CODE) == 4 || spec->shift == 0)) {
        const cm_fast_spec fast = cm_fast_spec_of(spec);
        for (; n >= CM_FAST_CHUNK; x += CM_FAST_CHUNK, codes += CM_FAST_CHUNK, n -= CM_FAST_CHUNK)
            if (CM_FAST(x, codes, &fast)) /* a NaN somewhere: once more, by the general rule */
                for (size_t i = 0; i < CM_FAST_CHUNK; i++)
                    codes[i] = (CM_CODE)cm_encode_f32(cm_bits32(x[i]), CM_NEAREST_EVEN, spec);
    }
#endif
#define CM_ONE_MODE(mode)                                                                                            \
    case mode:                                                                                                       \
        for (size_t i = 0; i < n; i++) codes[i] = (CM_CODE)CM_ENCODE_ONE(CM_BITS(x[i]), mode, spec);                 \
        break;
    switch (spec->rounding) {
        CM_ONE_MODE(CM_NEAREST_EVEN)
        CM_ONE_MODE(CM_NEAREST_AWAY)
        CM_ONE_MODE(CM_TOWARD_ZERO)
        CM_ONE_MODE(CM_UP)
        CM_ONE_MODE(CM_DOWN)
        CM_ONE_MODE(CM_ODD)
    default: {
        cm_random left = *random; /* what the chunks to come use */
#ifdef CM_STOCHASTIC
        const int symmetric = cm_fast_symmetric(spec) && (sizeof(CM_CODE) == 4 || spec->shift == 0);
#endif
        for (uint32_t words[CM_FAST_CHUNK]; n;) {
            const size_t count = n < CM_FAST_CHUNK ? n : CM_FAST_CHUNK;
            const uint32_t *word = cm_random_words(words, count, &left);
#ifdef CM_STOCHASTIC
            if (count == CM_FAST_CHUNK && symmetric && CM_STOCHASTIC(x, word, codes, spec, random->rule) == 0)
                ; /* no NaN: done */
            else
#endif
                for (size_t i = 0; i < count; i++)
                    if (x[i] != x[i]) /* widening would quiet the payload */
                        codes[i] = (CM_CODE)CM_ENCODE_ONE(CM_BITS(x[i]), CM_TOWARD_ZERO, spec);
                    else
                        codes[i] = (CM_CODE)cm_encode_stochastic(cm_bits64((double)x[i]), word[i], random->rule, spec);
            x += count, codes += count, n -= count;
        }
    }
    }
}
#undef CM_ONE_MODE
#undef CM_FAST
#undef CM_STOCHASTIC
#undef CM_SOURCE
#undef CM_BITS
#undef CM_CODE
#undef CM_ENCODE_ONE
#undef CM_LOOP
