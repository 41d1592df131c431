/* Operands in rows of whole vec4s, and products lowered to tiles; see tile.h. */
#include "ops/tile.h"

#include "device/tuning.h"
#include "ops/row_product.h"
#include "ops/slab.h"

void pm_spec_tile(pm_dispatch *dispatch, const pm_tile *tile, uint32_t n)
{
    pm_spec(dispatch, tile->rows);
    pm_spec(dispatch, tile->columns);
    pm_spec(dispatch, pm_is_quads(n));
}

/* A copy of a matrix, or some, into whole vec4s: of what the window has of them. */
typedef struct padding {
    pm_tensor out;
    uint32_t rows, width, rows_out, all_rows;
    pm_slab slab;
} padding;

static void pad_window(pm_lowering *lowering, const padding *p, const pm_window *x, bool cut)
{
    uint32_t quads = pm_ceil_div(p->width, 4);
    pm_dispatch *d = pm_dispatch_begin(lowering, "matmul_pad", lowering->rules->lanes);
    pm_spec(d, !cut);
    pm_spec_window(d, x);
    pm_push_slab(d, &p->slab, p->all_rows * quads);
    pm_push_u32(d, p->slab.rows);
    pm_push_divisor(d, quads);
    pm_push_divisor(d, p->rows_out);
    pm_push_u32(d, p->rows);
    pm_push_u32(d, p->width);
    pm_push_window(d, x, 4);
    pm_bind_in(d, x->tensor, 1, cut ? pm_slab_stride(&p->slab, p->width) : 0);
    pm_bind_update(d, p->out, pm_slab_stride(&p->slab, quads * 4));
    pm_slab_groups(d, &p->slab);
}

pm_tensor pm_padded(pm_lowering *lowering, pm_tensor x, uint32_t count, uint32_t rows, uint32_t width,
                    uint32_t rows_out)
{
    if (pm_is_quads(width) && rows == rows_out) return x;
    uint32_t quads = pm_ceil_div(width, 4), all_rows = count * rows_out;
    uint64_t elements = (uint64_t)count * rows_out * quads * 4;
    pm_tensor padded =
        pm_scratch(lowering, PM_DTYPE_F32, elements <= UINT32_MAX ? (uint32_t)elements : UINT32_MAX);
    if (!pm_is(padded)) return PM_NONE; /* too large, and the graph says so */
    padding p = {padded,   rows,     width,
                 rows_out, all_rows, pm_slab_of(lowering, all_rows, quads, pm_slab_turns(lowering))};
    pm_window all = pm_window_all(lowering, x);
    pad_window(lowering, &p, &all, rows == rows_out);
    if (pm_dispatch_stays(lowering)) return padded;
    for (pm_window w = pm_window_first(lowering, x, 1); pm_window_is(&w); pm_window_next(&w)) {
        pad_window(lowering, &p, &w, false);
    }
    return padded;
}

/* Of the matrices, what a window has of them. */
static void prepare_window(pm_lowering *lowering, const pm_window *x, uint32_t count, uint32_t rows,
                           uint32_t width, bool flip, pm_tensor prepared)
{
    uint32_t lanes = lowering->rules->lanes, quads = pm_count_of(lowering->graph, prepared) / 4;
    pm_dispatch *d = pm_dispatch_begin(lowering, "conv2d_flip", lanes);
    pm_spec(d, flip);
    pm_spec_window(d, x);
    pm_push_u32(d, quads);
    pm_push_divisor(d, pm_round4(flip ? rows : width) / 4);
    pm_push_divisor(d, pm_round4(flip ? width : rows));
    pm_push_u32(d, count);
    pm_push_u32(d, rows);
    pm_push_u32(d, width);
    pm_push_window(d, x, 4);
    pm_bind_in(d, x->tensor, 1, 0);
    pm_bind_update(d, prepared, lanes * 16);
    pm_groups(d, pm_ceil_div(quads, lanes), 1, 1, 0, 0);
}

/* Whole matrices of whole vec4s, both ways. */
static void flip_quads(pm_lowering *lowering, pm_tensor x, uint32_t count, uint32_t rows, uint32_t width,
                       pm_tensor flipped)
{
    uint32_t lanes = lowering->rules->lanes, blocks = count * (rows / 4) * (width / 4);
    pm_dispatch *d = pm_dispatch_begin(lowering, "conv2d_flip_quads", lanes);
    pm_push_u32(d, blocks);
    pm_push_divisor(d, rows / 4);
    pm_push_divisor(d, width / 4);
    pm_push_u32(d, count);
    pm_push_u32(d, rows);
    pm_bind_in(d, x, 4, 0);
    pm_bind_out(d, flipped, 0);
    pm_groups(d, pm_ceil_div(blocks, lanes), 1, 1, 0, 0);
}

pm_tensor pm_prepared(pm_lowering *lowering, pm_tensor x, uint32_t count, uint32_t rows, uint32_t width,
                      bool flip)
{
    pm_tensor prepared = pm_scratch(lowering, PM_DTYPE_F32, count * pm_round4(rows) * pm_round4(width));
    bool whole = pm_fits_whole(lowering, x, 4) && pm_fits_whole(lowering, prepared, 4);
    if (flip && pm_is_quads(rows) && pm_is_quads(width) && whole) {
        flip_quads(lowering, x, count, rows, width, prepared);
        return prepared;
    }
    for (pm_window w = pm_window_first(lowering, x, 1); pm_window_is(&w); pm_window_next(&w)) {
        prepare_window(lowering, &w, count, rows, width, flip, prepared);
    }
    return prepared;
}

uint32_t pm_stride_of(uint64_t elements)
{
    return elements <= UINT32_MAX / 4 ? (uint32_t)elements * 4 : 0;
}

/* ---- Products ------------------------------------------------------------------------------------------ */

/* A product with its operands in whole vec4s, and the sizes of one matrix of each in elements. Rows of A may
 * be longer than what they have. */
typedef struct padded_product {
    pm_product p; /* a, b and residual are the padded ones */
    uint32_t n4, k4, a_size, b_size;
    uint32_t a_row, b_row; /* from a row, as it lies in memory, to the next */
} padded_product;

/* Whether to transpose B first: a CPU driver fetches the same terms of many columns one after the other,
 * which a cache keeps badly where they are a power of two apart. B has to serve enough rows. */
static bool turns_b(const pm_lowering *lowering, const pm_product *p)
{
    enum { LEAST_ROWS = 1024, MOST_ELEMENTS = 1 << 22 };
    return pm_on(lowering->rules, PM_TURNED_PRODUCTS) && p->layout == PM_ABT && !p->b_batched &&
           p->m >= LEAST_ROWS && (uint64_t)p->n * p->k <= MOST_ELEMENTS;
}

/* Whether to copy A into rows that are a cache line longer: the lanes of a CPU driver's tile read as many
 * rows at once, four terms of each at a time, and rows a multiple of 2 KiB apart push each other out of the
 * first-level cache before the rest of their lines is read. A has to serve enough columns. */
static bool spreads_a(const pm_lowering *lowering, const pm_product *p, uint32_t k4)
{
    enum { LEAST_ROWS = 64, LEAST_COLUMNS = 512, SPACING = 512, MOST_ELEMENTS = 1 << 24 };
    return pm_on(lowering->rules, PM_SPREAD_ROWS) && p->layout != PM_ATB && p->batch == 1 &&
           p->m >= LEAST_ROWS && p->n >= LEAST_COLUMNS && k4 % SPACING == 0 &&
           (uint64_t)p->m * k4 <= MOST_ELEMENTS;
}

/* `rows` rows of *width elements in longer ones; PM_NONE where they are too many. */
static pm_tensor spread_rows(pm_lowering *lowering, pm_tensor x, uint32_t rows, uint32_t *width)
{
    enum { CACHE_LINE = 16 };
    uint32_t longer = *width + CACHE_LINE;
    pm_tensor spread = pm_scratch(lowering, PM_DTYPE_F32, rows * longer);
    if (pm_is(spread)) pm_lower_longer_rows(lowering, x, spread, rows, *width, longer);
    *width = longer;
    return spread;
}

static padded_product pad_product(pm_lowering *lowering, pm_product p)
{
    bool turned = turns_b(lowering, &p);
    if (turned) p.layout = PM_AB;
    bool batched = p.batch > 1, a_transposed = p.layout == PM_ATB, b_transposed = p.layout == PM_ABT;
    uint32_t n4 = pm_round4(p.n), k4 = pm_round4(p.k), a_count = batched && p.a_batched ? p.batch : 1;
    uint32_t b_count = batched && p.b_batched ? p.batch : 1;
    padded_product q = {.p = p, .n4 = n4, .k4 = k4};
    q.p.a = a_transposed ? pm_padded(lowering, p.a, a_count, p.k, p.m, k4)
                         : pm_padded(lowering, p.a, a_count, p.m, p.k, p.m);
    q.p.b = turned         ? pm_prepared(lowering, p.b, 1, p.n, p.k, true)
            : b_transposed ? pm_padded(lowering, p.b, b_count, p.n, p.k, p.n)
                           : pm_padded(lowering, p.b, b_count, p.k, p.n, k4);
    if (pm_is(p.residual)) q.p.residual = pm_padded(lowering, p.residual, p.batch, p.m, p.n, p.m);
    q.a_row = a_transposed ? pm_round4(p.m) : k4;
    q.b_row = b_transposed ? k4 : n4;
    if (spreads_a(lowering, &p, k4)) q.p.a = spread_rows(lowering, q.p.a, p.m, &q.a_row);
    q.a_size = (a_transposed ? k4 : p.m) * q.a_row;
    q.b_size = (b_transposed ? p.n : k4) * q.b_row;
    return q;
}

/* One dispatch of a product: `terms` terms of every sum of columns `column` to `column + columns`, a multiple
 * of four as is `column`, unless it ends the row. The tensors are parts of the operands, in which what it
 * needs begins `..._first` elements on; strides are those of the split axis, y or for a batch z. */
typedef struct product_part {
    pm_tensor a, b, c, residual; /* residual: none but in the last terms, like the bias */
    uint32_t a_first, b_first, c_first, residual_first;
    uint32_t a_stride, b_stride, c_stride, residual_stride; /* bytes */
    uint32_t terms, column, columns;
    bool in_parts, is_later, is_last, batched;
} product_part;

static void bind_in(pm_dispatch *d, pm_tensor tensor, uint32_t stride, uint32_t halo)
{
    pm_bind_in(d, tensor, 4, stride);
    pm_bind_halo(d, halo);
}

static void push_gate(pm_dispatch *d, const pm_gate_rows *gate)
{
    pm_push_u32(d, gate->first / 4);
    pm_push_u32(d, gate->sample / 4);
    pm_push_u32(d, gate->row / 4);
    pm_push_divisor(d, gate->rows ? gate->rows : 1);
}

static void lower_part(pm_lowering *lowering, const padded_product *q, const product_part *part,
                       const pm_tile *tile)
{
    enum { HAS_BIAS = 1, IS_BATCHED = 2 }; /* of shaders/matmul.comp */
    enum { PART_ALL = 0, PART_FIRST = 1, PART_LATER = 2 };
    const pm_product *p = &q->p;
    bool batched = part->batched, bias = part->is_last && pm_is(p->bias), residual = pm_is(part->residual);
    bool gate = part->is_last && pm_is(p->gate);
    uint32_t halo = part->in_parts ? PM_BIND_ALIGN : 0; /* a part may begin so far behind its binding */
    pm_dispatch *d = pm_dispatch_begin(lowering, PM_TILE_SHADER(tile, "matmul"), tile->lanes);
    pm_spec(d, tile->rows);
    pm_spec(d, tile->columns);
    pm_spec(d, pm_is_quads(p->n) && pm_is_quads(part->c_first));
    pm_spec(d, p->layout);
    pm_spec_epilogue(d, residual, gate, part->is_last ? p->activation : 0);
    pm_spec(d, !part->in_parts ? PART_ALL : part->is_later ? PART_LATER : PART_FIRST);
    pm_spec_shared(d, lowering->rules, tile);
    d->rounds = !p->keeps_f32 && pm_rounds(lowering->rules, p->m, p->n);
    const uint32_t numbers[] = {p->m,
                                part->columns,
                                part->terms,
                                batched && p->a_batched ? q->a_size / 4 : 0,
                                batched && p->b_batched ? q->b_size / 4 : 0,
                                batched ? p->m * q->n4 / 4 : 0,
                                tile->log2_lanes,
                                (bias ? HAS_BIAS : 0u) | (batched ? IS_BATCHED : 0u),
                                q->a_row / 4,
                                q->b_row / 4,
                                part->a_first / 4,
                                part->b_first / 4,
                                part->residual_first / 4,
                                part->c_first,
                                part->column / 4,
                                p->n};
    for (uint32_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) pm_push_u32(d, numbers[i]);
    push_gate(d, &p->gate_rows);
    bind_in(d, part->a, part->a_stride, halo);
    bind_in(d, part->b, part->b_stride, halo);
    if (bias) {
        pm_bind_in(d, p->bias, 4, 0);
    } else {
        bind_in(d, part->b, part->b_stride, halo);
    }
    if (residual) {
        bind_in(d, part->residual, part->residual_stride, halo);
    } else {
        bind_in(d, part->a, part->a_stride, halo);
    }
    pm_bind_update(d, part->c, part->c_stride);
    pm_bind_halo(d, halo);
    if (gate) {
        pm_bind_in(d, p->gate, 4, 0);
    } else {
        bind_in(d, part->a, part->a_stride, halo);
    }
    pm_groups(d, tile->groups_x, tile->groups_y, batched ? p->batch : 1, batched ? 2 : 1,
              2.0 * p->m * part->columns * part->terms * (batched ? p->batch : 1));
}

/* For so many matrices of that many columns: what was found for the whole product, else by rule. */
static pm_tile tile_of_product(const pm_lowering *lowering, const padded_product *q, uint32_t count,
                               uint32_t columns)
{
    const pm_product *p = &q->p;
    pm_rules tuned, rules = *lowering->rules;
    if (p->keeps_f32) rules.on &= ~PM_BIT(PM_MATRIX_UNITS);
    pm_tiled_shape shape = pm_tiled_shape_of(&rules, (pm_tiled)p->layout, p->batch, p->m, p->n, q->k4);
    return pm_tile_for(pm_tuned_rules(&rules, &shape, &tuned), count, p->m, columns);
}

static void lower_whole(pm_lowering *lowering, const padded_product *q)
{
    const pm_product *p = &q->p;
    bool batched = p->batch > 1;
    pm_tile tile = tile_of_product(lowering, q, p->batch, p->n);
    uint64_t rows = batched ? p->m : tile.group_rows;
    uint32_t a_slice = batched               ? (p->a_batched ? q->a_size : 0)
                       : p->layout == PM_ATB ? 0
                                             : tile.group_rows * q->a_row;
    product_part part = {.a = p->a,
                         .b = p->b,
                         .c = p->c,
                         .residual = p->residual,
                         .a_stride = pm_stride_of(a_slice),
                         .b_stride = pm_stride_of(batched && p->b_batched ? q->b_size : 0),
                         .c_stride = pm_stride_of(rows * p->n),
                         .residual_stride = pm_stride_of(rows * q->n4),
                         .terms = q->k4,
                         .columns = p->n,
                         .is_last = true,
                         .in_parts = p->goes_on,
                         .is_later = p->goes_on,
                         .batched = batched};
    lower_part(lowering, q, &part, &tile);
}

/* Bytes begin .. end of a tensor of f32, and how many elements into what is bound they begin. */
static pm_tensor part_of(pm_lowering *lowering, pm_tensor tensor, uint64_t begin, uint64_t end,
                         uint32_t *first)
{
    pm_tensor part = pm_part(lowering, tensor, begin * 4, end * 4, first);
    *first /= 4;
    return part;
}

/* Rows of `width` elements that one binding holds, wherever they begin: a multiple of four, and at least
 * that. */
static uint32_t rows_in_reach(const pm_lowering *lowering, uint32_t width)
{
    uint64_t rows = (pm_reach(lowering, 4) - PM_BIND_ALIGN) / ((uint64_t)width * 4) / 4 * 4;
    if (rows > UINT32_MAX / 4 * 4) rows = UINT32_MAX / 4 * 4;
    return rows < 4 ? 4 : (uint32_t)rows;
}

/* The tile for rows so long that few of them can be bound: the flattest, unless the best will do. */
static pm_tile tile_in_reach(const pm_lowering *lowering, const padded_product *q, uint32_t columns,
                             uint32_t row_elements)
{
    pm_tile tile = tile_of_product(lowering, q, 1, columns);
    uint64_t rows = tile.group_rows > 64 ? tile.group_rows : 64; /* so many begin where they can be bound */
    uint64_t bytes = rows * row_elements * 4 + PM_BIND_ALIGN;
    return bytes <= pm_reach(lowering, 0) ? tile : pm_flattest_tile(lowering->rules, q->p.m, columns);
}

/* Terms of a sum that one dispatch may add up, four a round: a multiple of 256, so that windows behind the
 * first begin where they can be bound. */
static uint32_t most_terms(const pm_lowering *lowering)
{
    uint32_t rounds = lowering->rules->most_rounds;
    return rounds < UINT32_MAX / 4 ? rounds / 64 * 256 : UINT32_MAX / 256 * 256;
}

/* The same for this product. Where A is transposed, both operands are read across their rows, a page or more
 * apart from one term to the next, which no cache foresees: of long sums it then pays to keep what all
 * workgroups read near, some terms at a time. */
static uint32_t terms_at_once(const pm_lowering *lowering, const pm_product *p)
{
    uint32_t most = most_terms(lowering), near = lowering->rules->near_terms;
    return p->layout == PM_ATB && p->batch == 1 && p->k >= 2 * near && near < most ? near : most;
}

/* Some terms, term .. term + terms, of some columns of matrix z of the batch. */
static void lower_terms(pm_lowering *lowering, const padded_product *q, uint32_t z, product_part part,
                        uint32_t term)
{
    const pm_product *p = &q->p;
    bool a_transposed = p->layout == PM_ATB, b_transposed = p->layout == PM_ABT;
    uint64_t a_at = p->a_batched ? (uint64_t)z * q->a_size : 0;
    uint64_t b_at = p->b_batched ? (uint64_t)z * q->b_size : 0;
    uint64_t c_at = (uint64_t)z * p->m * p->n, d_at = (uint64_t)z * p->m * q->n4;
    uint32_t b_row = b_transposed ? part.column : term, b_rows = b_transposed ? part.columns : part.terms;
    uint32_t longest = !a_transposed && q->a_row > q->n4 ? q->a_row : q->n4; /* of the rows that are cut */
    pm_tile tile = tile_in_reach(lowering, q, part.columns, longest);
    part.in_parts = true;
    part.is_later = p->goes_on || term > 0;
    part.is_last = term + part.terms == q->k4;
    part.b = part_of(lowering, p->b, b_at + (uint64_t)b_row * q->b_row,
                     b_at + (uint64_t)(b_row + b_rows) * q->b_row, &part.b_first);
    part.b_first += b_transposed ? term : 0;
    if (a_transposed) {
        part.a = part_of(lowering, p->a, a_at + (uint64_t)term * q->a_row,
                         a_at + (uint64_t)(term + part.terms) * q->a_row, &part.a_first);
    } else {
        part.a = part_of(lowering, p->a, a_at, a_at + q->a_size, &part.a_first);
        part.a_first += term;
        part.a_stride = pm_stride_of((uint64_t)tile.group_rows * q->a_row);
    }
    part.c = part_of(lowering, p->c, c_at, c_at + (uint64_t)p->m * p->n, &part.c_first);
    part.c_stride = pm_stride_of((uint64_t)tile.group_rows * p->n);
    if (part.is_last && pm_is(p->residual)) {
        part.residual =
            part_of(lowering, p->residual, d_at, d_at + (uint64_t)p->m * q->n4, &part.residual_first);
        part.residual_stride = pm_stride_of((uint64_t)tile.group_rows * q->n4);
    }
    lower_part(lowering, q, &part, &tile);
}

/* Matrix z of the batch, in dispatches that each have as many rows of B, and of A if it is transposed, as can
 * be bound (terms of the sums, or, where B is transposed, columns of C), and no more terms than a loop may
 * have rounds for. */
static void lower_matrix(pm_lowering *lowering, const padded_product *q, uint32_t z)
{
    const pm_product *p = &q->p;
    bool b_transposed = p->layout == PM_ABT;
    uint32_t terms = terms_at_once(lowering, p), columns = p->n;
    if (b_transposed) {
        columns = rows_in_reach(lowering, q->k4);
    } else {
        uint32_t rows = rows_in_reach(lowering, q->n4);
        if (rows < terms) terms = rows;
        rows = rows_in_reach(lowering, pm_round4(p->m));
        if (p->layout == PM_ATB && rows < terms) terms = rows;
    }
    for (uint32_t column = 0; column < p->n; column += columns) {
        product_part part = {.column = column, .columns = columns < p->n - column ? columns : p->n - column};
        for (uint32_t term = 0; term < q->k4; term += part.terms) {
            part.terms = terms < q->k4 - term ? terms : q->k4 - term;
            lower_terms(lowering, q, z, part, term);
        }
    }
}

static void lower_product(pm_lowering *lowering, pm_product p)
{
    bool tall = pm_on(lowering->rules, PM_TALL_PRODUCTS);
    if (tall && p.batch > 1 && p.a_batched && !p.b_batched && p.layout != PM_ATB) {
        p.m *= p.batch; /* one tall matrix */
        p.batch = 1;
    }
    padded_product q = pad_product(lowering, p);
    if (pm_lower_row_product(lowering, &q.p, q.k4)) return;
    if (q.k4 <= terms_at_once(lowering, &q.p)) {
        lower_whole(lowering, &q);
        if (pm_dispatch_stays(lowering)) return;
    }
    for (uint32_t z = 0; z < p.batch; z++) lower_matrix(lowering, &q, z);
}

void pm_lower_product(pm_lowering *lowering, pm_product p)
{
    uint64_t rows = (uint64_t)p.batch * p.m;
    pm_addend addends[] = {{p.bias, 1, (uint32_t)rows, p.n, PM_BIAS_EPILOGUE},
                           {p.residual, (uint32_t)rows, 1, p.n, PM_RESIDUAL_EPILOGUE}};
    uint32_t inside = pm_addends_inside(lowering, addends, 2);
    pm_tensor out = p.c;
    p.c = pm_addends_begin(lowering, addends, inside, 2, out);
    if (inside < 1) p.bias = PM_NONE;
    if (inside < 2) p.residual = PM_NONE;
    lower_product(lowering, p);
    pm_lower_addends(lowering, p.c, addends, inside, 2, out);
}
