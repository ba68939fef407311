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

/* where a piece of a block of the output begins: with what lies in d, or with the first tile's own sum */
enum CM_CHAIN(start) { CM_CHAIN(GOES_ON), CM_CHAIN(FRESH) };

/* some depth of A (rows a_stride apart) and of one block of columns; d is read unless fresh */
typedef struct {
    const T *a, *b[CHAIN_VECTORS];
    size_t a_stride, rows, depth, tile;
    int start, last;
} CM_CHAIN(strip);

static inline __attribute__((always_inline)) void CM_CHAIN(block)(const CM_CHAIN(strip) *s, size_t row, size_t tile, T *d, size_t stride)
{
    CHAIN_V total[CHAIN_TILE_ROWS][CHAIN_VECTORS], acc[CHAIN_TILE_ROWS][CHAIN_VECTORS];
    const T *a[CHAIN_TILE_ROWS], *b[CHAIN_VECTORS];
    for (size_t r = 0; r < CHAIN_TILE_ROWS; r++) a[r] = s->a + (row + r < s->rows ? row + r : s->rows - 1) * s->a_stride;
    for (int v = 0; v < CHAIN_VECTORS; v++) b[v] = s->b[v];
    for (int r = 0; r < CHAIN_TILE_ROWS; r++) /* vector by vector, or they pass through memory */
        for (int v = 0; v < CHAIN_VECTORS; v++) {
            total[r][v] = (CHAIN_V){0};
            if (s->start == CM_CHAIN(GOES_ON)) memcpy(&total[r][v], d + (size_t)r * stride + v * CM_CHAIN(LANES), sizeof total[r][v]);
        }
    for (size_t k = 0; k < s->depth;) {
        const size_t end = tile && s->depth - k > tile ? k + tile : s->depth;
        const int overwrites = s->start == CM_CHAIN(FRESH) && k == 0;
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
    CHAIN_I nan = {0};
    for (int r = 0; r < CHAIN_TILE_ROWS; r++)
        for (int v = 0; v < CHAIN_VECTORS; v++) {
            nan |= (CHAIN_I)(total[r][v] != total[r][v]);
            memcpy(d + (size_t)r * stride + v * CM_CHAIN(LANES), &total[r][v], sizeof total[r][v]);
        }
    if (s->last && vu_any((vu)nan))
        for (size_t r = 0; r < CHAIN_TILE_ROWS; r++)
            for (size_t j = 0; j < CM_CHAIN(WIDTH); j++) d[r * stride + j] = CM_CHAIN(canonical)(d[r * stride + j]);
}

/* a function that begins a cache line: its loop is short, and slower by a tenth where it lies badly */
static CM_NOINLINE __attribute__((aligned(64))) void CM_CHAIN(blocks)(const CM_CHAIN(strip) *s, T *d, size_t stride)
{
    if (s->tile)
        for (size_t row = 0; row < s->rows; row += CHAIN_TILE_ROWS) CM_CHAIN(block)(s, row, s->tile, d + row * stride, stride);
    else
        for (size_t row = 0; row < s->rows; row += CHAIN_TILE_ROWS) CM_CHAIN(block)(s, row, 0, d + row * stride, stride);
}

/* rows of a strip that are no whole block, or columns that are none */
static void CM_CHAIN(edge)(const CM_CHAIN(strip) *s, T *d, size_t stride, size_t width)
{
    T held[CHAIN_TILE_ROWS * CM_CHAIN(WIDTH)] = {0};
    for (size_t r = 0; r < s->rows; r++) memcpy(held + r * CM_CHAIN(WIDTH), d + r * stride, width * sizeof(T));
    CM_CHAIN(blocks)(s, held, CM_CHAIN(WIDTH));
    for (size_t r = 0; r < s->rows; r++) memcpy(d + r * stride, held + r * CM_CHAIN(WIDTH), width * sizeof(T));
}

/* one block of columns for some rows */
static void CM_CHAIN(columns)(CM_CHAIN(strip) s, T *d, size_t stride, size_t width)
{
    const size_t rows = s.rows, whole = width == CM_CHAIN(WIDTH) ? rows - rows % CHAIN_TILE_ROWS : 0;
    const T *a = s.a;
    s.rows = whole;
    CM_CHAIN(blocks)(&s, d, stride);
    for (size_t row = whole; row < rows; row += CHAIN_TILE_ROWS) {
        s.a = a + row * s.a_stride;
        s.rows = rows - row < CHAIN_TILE_ROWS ? rows - row : CHAIN_TILE_ROWS;
        CM_CHAIN(edge)(&s, d + row * stride, stride, width);
    }
}

static void CM_CHAIN(sequential_rows)(const cm_chain_args *args, size_t begin, size_t end)
{
    const size_t columns = args->columns, panels = (columns + CM_PANEL - 1) / CM_PANEL, W = CM_CHAIN(WIDTH);
    const size_t piece = args->tile ? (args->tile < CHAIN_PIECE ? CHAIN_PIECE / args->tile : 1) * args->tile : CHAIN_PIECE;
    if (args->c) memcpy((T *)args->d + begin * columns, (const T *)args->c + begin * columns, (end - begin) * columns * sizeof(T));
    for (size_t row = begin; row < end; row += CM_CHAIN_ROWS)
        for (size_t k = 0; k < args->depth; k += piece) {
            CM_CHAIN(strip) s = {.a = (const T *)args->a + row * args->depth + k, .a_stride = args->depth, .tile = args->tile};
            s.rows = end - row < CM_CHAIN_ROWS ? end - row : CM_CHAIN_ROWS;
            s.depth = args->depth - k < piece ? args->depth - k : piece;
            s.start = k || args->c ? CM_CHAIN(GOES_ON) : CM_CHAIN(FRESH);
            s.last = k + s.depth == args->depth;
            for (size_t column = 0; column < columns; column += W) {
                for (size_t v = 0; v < CHAIN_VECTORS; v++) { /* beyond the matrix any panel will do */
                    const size_t at = column + v * CM_CHAIN(LANES), panel = at / CM_PANEL < panels ? at / CM_PANEL : panels - 1;
                    s.b[v] = (const T *)args->b + (panel * args->depth + k) * CM_PANEL + at % CM_PANEL;
                }
                CM_CHAIN(columns)(s, (T *)args->d + row * columns + column, columns, columns - column < W ? columns - column : W);
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
