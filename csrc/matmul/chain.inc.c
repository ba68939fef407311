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
/* Sequential tiles as a register block of CHAIN_TILE_ROWS rows: each loaded vector of B serves them all. A block stays in
 * registers for a piece of depth; the sum of the tiles before waits on the stack. */
enum {
    CM_CHAIN(LANES) = (int)(sizeof(CHAIN_V) / sizeof(T)),
    CM_CHAIN(WIDTH) = CHAIN_VECTORS * CM_CHAIN(LANES)
};

/* where a piece of a block of the output begins: with what lies in d, with zero, or with the first tile's own sum */
enum CM_CHAIN(start) { CM_CHAIN(GOES_ON), CM_CHAIN(FROM_ZERO), CM_CHAIN(FRESH) };

static inline __attribute__((always_inline)) void CM_CHAIN(piece)(const T *const a[CHAIN_TILE_ROWS], const T *const b[CHAIN_VECTORS], size_t depth, size_t tile, int start, int last, T *d, size_t stride)
{
    CHAIN_V total[CHAIN_TILE_ROWS][CHAIN_VECTORS], acc[CHAIN_TILE_ROWS][CHAIN_VECTORS];
    for (int r = 0; r < CHAIN_TILE_ROWS; r++) /* vector by vector, or they pass through memory */
        for (int v = 0; v < CHAIN_VECTORS; v++) {
            total[r][v] = (CHAIN_V){0};
            if (!start) memcpy(&total[r][v], d + (size_t)r * stride + v * CM_CHAIN(LANES), sizeof total[r][v]);
        }
    for (size_t k = 0; k < depth;) {
        const size_t end = tile && depth - k > tile ? k + tile : depth;
        const int overwrites = start == CM_CHAIN(FRESH) && k == 0;
        for (int r = 0; r < CHAIN_TILE_ROWS; r++)
            for (int v = 0; v < CHAIN_VECTORS; v++) acc[r][v] = tile ? (CHAIN_V){0} : total[r][v];
#pragma GCC unroll 2
        for (; k < end; k++) {
            CHAIN_V y[CHAIN_VECTORS];
            for (int v = 0; v < CHAIN_VECTORS; v++) memcpy(&y[v], b[v] + k * CM_PANEL, sizeof y[v]);
            for (int r = 0; r < CHAIN_TILE_ROWS; r++) {
                CHAIN_V x = CHAIN_BROADCAST(a[r][k]);
                for (int v = 0; v < CHAIN_VECTORS; v++) acc[r][v] = CHAIN_MULTIPLY_ADD(x, y[v], acc[r][v]);
            }
        }
        for (int r = 0; r < CHAIN_TILE_ROWS; r++)
            for (int v = 0; v < CHAIN_VECTORS; v++) total[r][v] = tile && !overwrites ? total[r][v] + acc[r][v] : acc[r][v];
    }
    for (int r = 0; r < CHAIN_TILE_ROWS; r++)
        for (int v = 0; v < CHAIN_VECTORS; v++) {
            CHAIN_V x = total[r][v];
            CHAIN_I nan = (CHAIN_I)(x != x);
            if (last) x = (CHAIN_V)(((CHAIN_I)x & ~nan) | ((CHAIN_I)(CM_CANONICAL - (CHAIN_V){0}) & nan));
            memcpy(d + (size_t)r * stride + v * CM_CHAIN(LANES), &x, sizeof x);
        }
}

static CM_NOINLINE __attribute__((aligned(64))) void CM_CHAIN(tiles)(const T *const a[CHAIN_TILE_ROWS], const T *const b[CHAIN_VECTORS], size_t depth, size_t tile, int start, int last, T *d, size_t stride)
{
    if (tile) CM_CHAIN(piece)(a, b, depth, tile, start, last, d, stride);
    else CM_CHAIN(piece)(a, b, depth, 0, start, last, d, stride);
}

static void CM_CHAIN(sequential_rows)(const cm_chain_args *args, size_t begin, size_t end)
{
    const size_t columns = args->columns, panels = (columns + CM_PANEL - 1) / CM_PANEL, W = CM_CHAIN(WIDTH);
    const size_t piece = args->tile ? (args->tile < CHAIN_PIECE ? CHAIN_PIECE / args->tile : 1) * args->tile : CHAIN_PIECE;
    for (size_t row0 = begin; row0 < end; row0 += CM_CHAIN_ROWS)
        for (size_t k = 0; k < args->depth; k += piece)
            for (size_t column = 0; column < columns; column += W)
                for (size_t row = row0; row < end && row < row0 + CM_CHAIN_ROWS; row += CHAIN_TILE_ROWS) {
                    const size_t depth = args->depth - k < piece ? args->depth - k : piece;
                    const size_t rows = end - row < CHAIN_TILE_ROWS ? end - row : CHAIN_TILE_ROWS;
                    const size_t width = columns - column < W ? columns - column : W;
                    const int whole = rows == CHAIN_TILE_ROWS && width == W, last = k + depth == args->depth;
                    const T *a[CHAIN_TILE_ROWS], *b[CHAIN_VECTORS];
                    T edge[CHAIN_TILE_ROWS * CM_CHAIN(WIDTH)] = {0}, *d = (T *)args->d + row * columns + column;
                    for (size_t r = 0; r < CHAIN_TILE_ROWS; r++) /* beyond the matrix any row will do */
                        a[r] = (const T *)args->a + (row + (r < rows ? r : 0)) * args->depth + k;
                    for (size_t v = 0; v < CHAIN_VECTORS; v++) { /* and any panel */
                        const size_t at = column + v * CM_CHAIN(LANES), panel = at / CM_PANEL < panels ? at / CM_PANEL : panels - 1;
                        b[v] = (const T *)args->b + (panel * args->depth + k) * CM_PANEL + at % CM_PANEL;
                    }
                    int start = k ? CM_CHAIN(GOES_ON) : args->c ? CM_CHAIN(GOES_ON) : CM_CHAIN(FRESH);
                    if (k == 0 && args->c)
                        for (size_t r = 0; r < rows; r++)
                            memcpy(d + r * columns, (const T *)args->c + (row + r) * columns + column, width * sizeof(T));
                    if (!whole)
                        for (size_t r = 0; r < rows; r++) memcpy(edge + r * W, d + r * columns, width * sizeof(T));
                    CM_CHAIN(tiles)(a, b, depth, args->tile, start, last, whole ? d : edge, whole ? columns : W);
                    if (!whole)
                        for (size_t r = 0; r < rows; r++) memcpy(d + r * columns, edge + r * W, width * sizeof(T));
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
