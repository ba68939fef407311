/* One type of accumulator; included with T, U (its unsigned image), NAME(x), FLOAT (0 or 1), NAN_MADE, NAN_CANONICAL,
 * QUIET and WIDE (in which it divides); floats also FMA. */

static inline U NAME(bits)(T x) { U b; memcpy(&b, &x, sizeof b); return b; }
static inline T NAME(value)(U b) { T x; memcpy(&x, &b, sizeof x); return x; }

/* The NaN of an operation: the first operand's payload, quieted, else the second's, else the default. */
static inline T NAME(settle)(T r, T a, T b)
{
#if FLOAT
    U quiet = (U)(QUIET), nan_a = (U)-(U)(a != a), nan_b = (U)-(U)(b != b), nan_r = (U)-(U)(r != r);
    U second = (nan_b & (NAME(bits)(b) | quiet)) | (~nan_b & (U)(NAN_MADE));
    U chosen = (nan_a & (NAME(bits)(a) | quiet)) | (~nan_a & second);
    return NAME(value)((nan_r & chosen) | (~nan_r & NAME(bits)(r)));
#else
    (void)a, (void)b;
    return r;
#endif
}

static inline __attribute__((always_inline)) T NAME(one)(T a, T b, int op)
{
    switch (op) {
#if FLOAT
    case CM_REDUCE_SUM: return NAME(settle)(a + b, a, b);
    case CM_REDUCE_PROD: return NAME(settle)(a * b, a, b);
    case CM_REDUCE_MIN:
    case CM_REDUCE_MAX: {
        U greater = (U)-(U)(a > b), less = (U)-(U)(a < b), equal = (U)-(U)(a == b), nan_a = (U)-(U)(a != a), nan_b = (U)-(U)(b != b);
        U x = NAME(bits)(a), y = NAME(bits)(b);
        U tie = op == CM_REDUCE_MAX ? (x & y) : (x | y); /* equal numbers differ at most in the sign of zero */
        U ordered = op == CM_REDUCE_MAX ? (greater & x) | (less & y) : (less & x) | (greater & y);
        U number = ordered | (equal & tie) | (nan_a & ~nan_b & y) | (nan_b & ~nan_a & x);
        return NAME(value)(number | (nan_a & nan_b & (U)(NAN_CANONICAL)));
    }
#else
    case CM_REDUCE_SUM: return (T)((uint64_t)a + (uint64_t)b);
    case CM_REDUCE_PROD: return (T)((uint64_t)a * (uint64_t)b);
    case CM_REDUCE_MIN:
#endif
    case CM_REDUCE_MIN_SELECT: return a < b ? a : b;
    default: return a > b ? a : b;
    }
}

/* acc = acc + x or x + acc, every case of NaN and zeros as it should be */
static CM_NOINLINE void NAME(settled)(T *acc, const T *x, size_t n, int op, int first)
{
#define CM_CASE(kind)                                                                                                \
    case kind:                                                                                                       \
        if (first)                                                                                                   \
            for (size_t i = 0; i < n; i++) acc[i] = NAME(one)(x[i], acc[i], kind);                                   \
        else                                                                                                         \
            for (size_t i = 0; i < n; i++) acc[i] = NAME(one)(acc[i], x[i], kind);                                   \
        break;
    switch (op) {
        CM_CASE(CM_REDUCE_SUM)
        CM_CASE(CM_REDUCE_PROD)
        CM_CASE(CM_REDUCE_MIN)
        CM_CASE(CM_REDUCE_MAX)
        CM_CASE(CM_REDUCE_MIN_SELECT)
        CM_CASE(CM_REDUCE_MAX_SELECT)
    }
#undef CM_CASE
}

typedef T NAME(vector) __attribute__((vector_size(4 * VL)));
typedef U NAME(image) __attribute__((vector_size(4 * VL)));

static inline __attribute__((always_inline)) NAME(vector) NAME(pick)(NAME(image) mask, NAME(vector) a, NAME(vector) b)
{
    return (NAME(vector))(((NAME(image))a & mask) | ((NAME(image))b & ~mask));
}

static inline __attribute__((always_inline)) NAME(vector) NAME(next)(NAME(vector) r, NAME(vector) x, int op, int first)
{
    const NAME(vector) a = first ? x : r, b = first ? r : x;
    switch (op) {
#if FLOAT
    case CM_REDUCE_SUM: return r + x;
    case CM_REDUCE_PROD: return r * x;
#else
    case CM_REDUCE_SUM: return (NAME(vector))((NAME(image))r + (NAME(image))x);
    case CM_REDUCE_PROD:
        if (sizeof(T) == 1) { /* no instruction multiplies bytes: those of even places and of odd ones, in words */
            word_vector even = (word_vector)r * (word_vector)x & 0xff, odd = ((word_vector)r >> 8) * ((word_vector)x & 0xff00);
            return (NAME(vector))(even | odd);
        }
        return (NAME(vector))((NAME(image))r * (NAME(image))x);
#endif
    case CM_REDUCE_MIN: return NAME(pick)((NAME(image))(x < r), x, r);
    case CM_REDUCE_MAX: return NAME(pick)((NAME(image))(x > r), x, r);
    case CM_REDUCE_MIN_SELECT: return NAME(pick)((NAME(image))(a < b), a, b);
    default: return NAME(pick)((NAME(image))(a > b), a, b);
    }
}

/* Lanes that `next` may have got wrong: a NaN has a payload of its own, and survives every sum and product; it loses to
 * every number in min and max unless it came first, and then survives; zeros of both signs compare alike. */
static inline __attribute__((always_inline)) NAME(image) NAME(doubtful)(NAME(vector) r, int op)
{
#if FLOAT
    if (op <= CM_REDUCE_PROD) return (NAME(image))(r != r);
    if (op <= CM_REDUCE_MAX) return (NAME(image))(r != r) | (NAME(image))(r == (NAME(vector)){0});
#else
    (void)op;
#endif
    return (NAME(image))r ^ (NAME(image))r;
}

/* acc = ((acc + x0) + x1) + ..., or x1 + (x0 + acc) if `first`, where acc may begin as `start`: several ranks in one
 * pass, the partial results in registers. What is in doubt at the end is done again, step by step. */
static inline __attribute__((always_inline)) void NAME(pass)(T *acc, const T *start, const T *const *x, size_t m, size_t n,
                                                             const int op, int first)
{
    enum { WIDTH = 4 * VL / sizeof(T), TILE = 4 * WIDTH };
    size_t i = 0;
    for (; i + TILE <= n; i += TILE) {
        const T *from = start ? start + i : acc + i;
        NAME(vector) r[4];
        memcpy(r, from, sizeof r);
        for (size_t k = 0; k < m; k++)
            for (int j = 0; j < 4; j++) {
                NAME(vector) own;
                memcpy(&own, x[k] + i + j * WIDTH, sizeof own);
                r[j] = NAME(next)(r[j], own, op, first);
            }
        NAME(image) doubt = (NAME(doubtful)(r[0], op) | NAME(doubtful)(r[1], op)) | (NAME(doubtful)(r[2], op) | NAME(doubtful)(r[3], op));
        if (FLOAT && op <= CM_REDUCE_MAX && __builtin_expect(vu_any((vu)doubt), 0)) {
            if (start) memcpy(acc + i, start + i, sizeof r);
            for (size_t k = 0; k < m; k++) NAME(settled)(acc + i, x[k] + i, TILE, op, first);
        } else {
            memcpy(acc + i, r, sizeof r);
        }
    }
    if (i == n) return;
    if (start) memcpy(acc + i, start + i, (n - i) * sizeof(T));
    for (size_t k = 0; k < m; k++) NAME(settled)(acc + i, x[k] + i, n - i, op, first);
}

static CM_NOINLINE void NAME(group)(void *acc, const void *start, const void *const *parts, size_t m, size_t n, int op, int first)
{
    const T *const *x = (const T *const *)parts;
#define CM_CASE(kind) case kind: NAME(pass)(acc, start, x, m, n, kind, first); break;
    switch (op) {
        CM_CASE(CM_REDUCE_SUM)
        CM_CASE(CM_REDUCE_PROD)
        CM_CASE(CM_REDUCE_MIN)
        CM_CASE(CM_REDUCE_MAX)
        CM_CASE(CM_REDUCE_MIN_SELECT)
        CM_CASE(CM_REDUCE_MAX_SELECT)
    }
#undef CM_CASE
}

#if FLOAT
static inline __attribute__((always_inline)) void NAME(fuse_tile)(T *acc, const T *const *x, size_t m, size_t at, const size_t n, T scale)
{
    T r[256 / sizeof(T)];
    int nan = 0;
    memcpy(r, acc + at, n * sizeof(T));
    for (size_t k = 0; k < m; k++)
        for (size_t i = 0; i < n; i++) r[i] = FMA(x[k][at + i], scale, r[i]);
    for (size_t i = 0; i < n; i++) nan |= r[i] != r[i];
    if (__builtin_expect(!nan, 1)) {
        memcpy(acc + at, r, n * sizeof(T));
        return;
    }
    for (size_t k = 0; k < m; k++)
        for (size_t i = at; i < at + n; i++) acc[i] = NAME(settle)(FMA(x[k][i], scale, acc[i]), x[k][i], acc[i]);
}

/* acc = round(x * scale + acc), one rounding, rank after rank */
static CM_NOINLINE void NAME(fuse)(void *acc, const void *const *parts, size_t m, size_t n, T scale)
{
    enum { TILE = 256 / sizeof(T) };
    const T *const *x = (const T *const *)parts;
    size_t at = 0;
    for (; at + TILE <= n; at += TILE) NAME(fuse_tile)(acc, x, m, at, TILE, scale);
    NAME(fuse_tile)(acc, x, m, at, n - at, scale);
}
#endif

static CM_NOINLINE void NAME(divide)(T *acc, size_t n, int64_t divisor)
{
    for (size_t i = 0; i < n; i++) acc[i] = (T)((WIDE)acc[i] / (WIDE)divisor);
}
#undef T
#undef U
#undef NAME
#undef FLOAT
#undef NAN_MADE
#undef NAN_CANONICAL
#undef QUIET
#undef WIDE
#undef FMA
