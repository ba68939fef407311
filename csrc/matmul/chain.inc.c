/* IEEE chains for one element type; included for float and double with T, CM_FMA, CM_CANONICAL and CM_CHAIN defined.
 *
 * sequential: acc = fma(a_k, b_k, acc), k ascending; for operands whose products are exact in T this is also
 * acc + a_k * b_k with one rounding. pairwise: rounded products, neighbours added level by level, an odd one carried
 * up. f64: products and sums in binary64, one rounding at the end of the tile. A tile's sum is added to the
 * accumulator; with tile = 0 the whole depth is one sequential chain that starts at the accumulator. */

#define CHAIN_ROWS 8

static inline T CM_CHAIN(canonical)(T x) { return x == x ? x : CM_CANONICAL; }

static void CM_CHAIN(sequential)(const T *const *a, const T *b, size_t begin, size_t end, T acc[CHAIN_ROWS][CM_PANEL])
{
    for (size_t k = begin; k < end; k++)
        for (int r = 0; r < CHAIN_ROWS; r++)
            for (int j = 0; j < CM_PANEL; j++) acc[r][j] = CM_FMA(a[r][k], b[k * CM_PANEL + j], acc[r][j]);
}

/* levels[i] holds the sum of 2^i consecutive products while bit i of the count is set, as in binary counting */
static void CM_CHAIN(pairwise)(const T *const *a, const T *b, size_t begin, size_t end, T acc[CHAIN_ROWS][CM_PANEL])
{
    for (int r = 0; r < CHAIN_ROWS; r++) {
        T levels[32][CM_PANEL];
        size_t count = 0;
        for (size_t k = begin; k < end; k++, count++) {
            T sum[CM_PANEL];
            for (int j = 0; j < CM_PANEL; j++) sum[j] = a[r][k] * b[k * CM_PANEL + j];
            int level = 0;
            for (; count >> level & 1; level++)
                for (int j = 0; j < CM_PANEL; j++) sum[j] = levels[level][j] + sum[j];
            memcpy(levels[level], sum, sizeof sum);
        }
        int first = 1;
        for (int level = 0; count >> level; level++) {
            if (!(count >> level & 1)) continue;
            for (int j = 0; j < CM_PANEL; j++) acc[r][j] = first ? levels[level][j] : levels[level][j] + acc[r][j];
            first = 0;
        }
    }
}

static void CM_CHAIN(binary64)(const T *const *a, const T *b, size_t begin, size_t end, T acc[CHAIN_ROWS][CM_PANEL])
{
    for (int r = 0; r < CHAIN_ROWS; r++) {
        double sum[CM_PANEL] = {0};
        for (size_t k = begin; k < end; k++)
            for (int j = 0; j < CM_PANEL; j++) sum[j] += (double)a[r][k] * (double)b[k * CM_PANEL + j];
        for (int j = 0; j < CM_PANEL; j++) acc[r][j] = (T)sum[j];
    }
}

static CM_NOINLINE void CM_CHAIN(panel)(const cm_chain_args *args, size_t row0, size_t rows, size_t panel)
{
    const size_t first = panel * CM_PANEL, depth = args->depth;
    const size_t width = args->columns - first < CM_PANEL ? args->columns - first : CM_PANEL;
    const T *b = (const T *)args->b + panel * depth * CM_PANEL, *a[CHAIN_ROWS];
    T total[CHAIN_ROWS][CM_PANEL], part[CHAIN_ROWS][CM_PANEL];
    memset(total, 0, sizeof total);
    for (size_t r = 0; r < CHAIN_ROWS; r++) {
        size_t row = row0 + (r < rows ? r : rows - 1);
        a[r] = (const T *)args->a + row * depth;
        if (args->c) memcpy(total[r], (const T *)args->c + row * args->columns + first, width * sizeof(T));
    }
    if (args->tile == 0) CM_CHAIN(sequential)(a, b, 0, depth, total);
    for (size_t k = 0; args->tile && k < depth; k += args->tile) {
        size_t end = depth - k < args->tile ? depth : k + args->tile;
        memset(part, 0, sizeof part);
        if (args->order == CM_ORDER_SEQUENTIAL) CM_CHAIN(sequential)(a, b, k, end, part);
        else if (args->order == CM_ORDER_PAIRWISE) CM_CHAIN(pairwise)(a, b, k, end, part);
        else CM_CHAIN(binary64)(a, b, k, end, part);
        int start = k == 0 && !args->c; /* the first tile overwrites an accumulator nobody supplied */
        for (int r = 0; r < CHAIN_ROWS; r++)
            for (int j = 0; j < CM_PANEL; j++) total[r][j] = start ? part[r][j] : total[r][j] + part[r][j];
    }
    for (size_t r = 0; r < rows; r++) {
        T *d = (T *)args->d + (row0 + r) * args->columns + first;
        for (size_t j = 0; j < width; j++) d[j] = CM_CHAIN(canonical)(total[r][j]);
    }
}

static void CM_CHAIN(rows)(const cm_chain_args *args, size_t begin, size_t end)
{
    for (size_t panel = 0; panel * CM_PANEL < args->columns; panel++)
        for (size_t row = begin; row < end; row += CHAIN_ROWS)
            CM_CHAIN(panel)(args, row, end - row < CHAIN_ROWS ? end - row : CHAIN_ROWS, panel);
}

#undef CHAIN_ROWS
#undef T
#undef CM_FMA
#undef CM_CANONICAL
#undef CM_CHAIN
