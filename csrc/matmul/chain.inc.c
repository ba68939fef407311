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

#ifdef __FMA__
/* Sequential tiles as a register block: each loaded vector of B serves CHAIN_TILE_ROWS rows. A block is as wide as a few
 * panels; its accumulators stay in one run of memory while its depth goes by. */
enum {
    CM_CHAIN(LANES) = (int)(sizeof(CHAIN_V) / sizeof(T)),
    CM_CHAIN(WIDTH) = (int)CHAIN_VECTORS * CM_CHAIN(LANES),
    CM_CHAIN(OF_PANEL) = CM_PANEL / CM_CHAIN(LANES), /* vectors */
    CM_CHAIN(PANELS) = CM_CHAIN(WIDTH) / CM_PANEL
};

/* one tile, or a piece of an endless one: acc becomes the sum from zero, or goes on from what it is */
static inline __attribute__((always_inline)) void CM_CHAIN(tile_as)(const T *const a[CHAIN_TILE_ROWS], const T *const b[CM_CHAIN(PANELS)], size_t depth, int add, int overwrite, T *total)
{
    CHAIN_V acc[CHAIN_TILE_ROWS][CHAIN_VECTORS];
    for (int r = 0; r < CHAIN_TILE_ROWS; r++) /* vector by vector, or they pass through memory */
        for (size_t v = 0; v < CHAIN_VECTORS; v++) {
            if (add) acc[r][v] = (CHAIN_V){0};
            else memcpy(&acc[r][v], total + ((size_t)r * CHAIN_VECTORS + v) * CM_CHAIN(LANES), sizeof acc[r][v]);
        }
#pragma GCC unroll 8
    for (size_t k = 0; k < depth; k++) { /* few iterations: their end is foreseen */
        CHAIN_V y[CHAIN_VECTORS];
        for (size_t v = 0; v < CHAIN_VECTORS; v++)
            memcpy(&y[v], b[v / CM_CHAIN(OF_PANEL)] + k * CM_PANEL + v % CM_CHAIN(OF_PANEL) * CM_CHAIN(LANES), sizeof y[v]);
        for (int r = 0; r < CHAIN_TILE_ROWS; r++) {
            CHAIN_V x = CHAIN_BROADCAST(a[r][k]);
            for (size_t v = 0; v < CHAIN_VECTORS; v++) acc[r][v] = CHAIN_MULTIPLY_ADD(x, y[v], acc[r][v]);
        }
    }
    for (int r = 0; r < CHAIN_TILE_ROWS; r++)
        for (size_t v = 0; v < CHAIN_VECTORS; v++, total += CM_CHAIN(LANES)) {
            CHAIN_V before;
            memcpy(&before, total, sizeof before);
            if (add && !overwrite) acc[r][v] = before + acc[r][v];
            memcpy(total, &acc[r][v], sizeof acc[r][v]);
        }
}

static CM_NOINLINE void CM_CHAIN(tile)(const T *const a[CHAIN_TILE_ROWS], const T *const b[CM_CHAIN(PANELS)], size_t depth, int add, int overwrite, T *total)
{
    if (add) CM_CHAIN(tile_as)(a, b, depth, 1, overwrite, total);
    else CM_CHAIN(tile_as)(a, b, depth, 0, 0, total);
}

static void CM_CHAIN(sequential_rows)(const cm_chain_args *args, size_t begin, size_t end)
{
    const size_t piece = args->tile ? args->tile : CHAIN_PIECE, panels = (args->columns + CM_PANEL - 1) / CM_PANEL, W = CM_CHAIN(WIDTH);
    T total[CHAIN_BLOCK_ROWS * CM_CHAIN(WIDTH)];
    for (size_t row0 = begin; row0 < end; row0 += CHAIN_BLOCK_ROWS) {
        const size_t rows = end - row0 < CHAIN_BLOCK_ROWS ? end - row0 : CHAIN_BLOCK_ROWS;
        for (size_t column = 0; column < args->columns; column += W) {
            const size_t width = args->columns - column < W ? args->columns - column : W;
            if (!args->c || width < W) memset(total, 0, sizeof total);
            for (size_t r = 0; args->c && r < rows; r++)
                memcpy(total + r * W, (const T *)args->c + (row0 + r) * args->columns + column, width * sizeof(T));
            for (size_t k = 0; k < args->depth; k += piece) {
                const size_t depth = args->depth - k < piece ? args->depth - k : piece;
                const T *a[CHAIN_TILE_ROWS], *b[CM_CHAIN(PANELS)];
                for (size_t p = 0; p < CM_CHAIN(PANELS); p++) { /* beyond the matrix any panel will do */
                    const size_t panel = column / CM_PANEL + p;
                    b[p] = (const T *)args->b + ((panel < panels ? panel : panels - 1) * args->depth + k) * CM_PANEL;
                }
                for (size_t row = 0; row < rows; row += CHAIN_TILE_ROWS) {
                    for (size_t r = 0; r < CHAIN_TILE_ROWS; r++) /* and any row beyond the block */
                        a[r] = (const T *)args->a + (row0 + (row + r < rows ? row + r : rows - 1)) * args->depth + k;
                    CM_CHAIN(tile)(a, b, depth, args->tile != 0, k == 0 && !args->c, total + row * W);
                }
            }
            for (size_t r = 0; r < rows; r++) {
                T *d = (T *)args->d + (row0 + r) * args->columns + column;
                for (size_t j = 0; j < width; j++) d[j] = CM_CHAIN(canonical)(total[r * W + j]);
            }
        }
    }
}
#endif

static void CM_CHAIN(rows)(const cm_chain_args *args, size_t begin, size_t end)
{
#ifdef __FMA__
    if (args->order == CM_ORDER_SEQUENTIAL) {
        CM_CHAIN(sequential_rows)(args, begin, end);
        return;
    }
#endif
    for (size_t panel = 0; panel * CM_PANEL < args->columns; panel++)
        for (size_t row = begin; row < end; row += CHAIN_ROWS)
            CM_CHAIN(panel)(args, row, end - row < CHAIN_ROWS ? end - row : CHAIN_ROWS, panel);
}

#undef CHAIN_ROWS
#undef T
#undef CM_FMA
#undef CM_CANONICAL
#undef CM_CHAIN
#undef CHAIN_V
#undef CHAIN_I
#undef CHAIN_BROADCAST
#undef CHAIN_MULTIPLY_ADD
