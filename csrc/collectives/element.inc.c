/* One type of accumulator; included with T, U (its unsigned image), NAME(x), FLOAT (0 or 1), NAN_MADE, NAN_CANONICAL,
 * QUIET and WIDE (in which it divides). */

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

static CM_NOINLINE void NAME(combine)(T *acc, const T *x, size_t n, int op, int first)
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
