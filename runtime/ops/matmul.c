/* Matrix products: C = op(A) op(B) (+ bias) (+ residual), batched, in the layouts AB, AB^T and A^T B, so that
 * the products of the backward pass are forward products of another layout. */
#include "base/status.h"
#include "ops/check.h"
#include "ops/row_product.h"
#include "ops/table.h"
#include "ops/tile.h"

enum { IN_A, IN_B, IN_BIAS, IN_RESIDUAL, N_IN, IN_GATE = N_IN }; /* a gate comes by absorbing alone */

typedef struct matmul_attr {
    pm_layout layout;
    pm_gate_rows gate_rows; /* these two as in pm_product */
    uint32_t activation;
} matmul_attr;

/* What the shapes say, without the tensors; false where they do not fit. */
static bool find_product(pm_layout layout, pm_shape a, pm_shape b, pm_product *p)
{
    if (a.rank < 2 || a.rank > 3 || b.rank < 2 || b.rank > 3) return false;
    *p = (pm_product){.layout = layout, .batch = 1, .a_batched = a.rank == 3, .b_batched = b.rank == 3};
    if (p->a_batched && p->b_batched && a.dim[0] != b.dim[0]) return false;
    if (p->a_batched || p->b_batched) p->batch = p->a_batched ? a.dim[0] : b.dim[0];
    const uint32_t *a_dim = a.dim + (a.rank - 2), *b_dim = b.dim + (b.rank - 2);
    p->m = a_dim[layout == PM_ATB ? 1 : 0];
    p->k = a_dim[layout == PM_ATB ? 0 : 1];
    p->n = b_dim[layout == PM_ABT ? 0 : 1];
    return p->k == b_dim[layout == PM_ABT ? 1 : 0];
}

static void shape_matmul(pm_graph *graph, pm_node *node)
{
    static const char *const names[] = {"A B", "A B^T", "A^T B"};
    char a_text[64], b_text[64];
    for (uint32_t i = IN_A; i <= IN_RESIDUAL; i++) {
        if ((i < IN_BIAS || pm_is(node->in[i])) && !pm_check_operand(graph, node, i, PM_DTYPE_F32)) return;
    }
    pm_layout layout = PM_ATTR(matmul_attr, node)->layout;
    pm_shape a = pm_shape_of(graph, node->in[IN_A]), b = pm_shape_of(graph, node->in[IN_B]);
    pm_product p;
    if (!find_product(layout, a, b, &p)) {
        pm_graph_fail(graph, PM_BAD_USAGE, "matmul: A %s and B %s do not fit %s", pm_shape_text(a, a_text),
                      pm_shape_text(b, b_text), names[layout]);
        return;
    }
    pm_shape c = p.a_batched || p.b_batched ? PM_SHAPE(p.batch, p.m, p.n) : PM_SHAPE(p.m, p.n);
    pm_tensor bias = node->in[IN_BIAS], residual = node->in[IN_RESIDUAL];
    if (pm_is(bias) && !pm_shape_equal(pm_shape_of(graph, bias), PM_SHAPE(p.n))) {
        pm_graph_fail(graph, PM_BAD_USAGE, "matmul: the bias is %s, and the product is %s",
                      pm_shape_text(pm_shape_of(graph, bias), b_text), pm_shape_text(c, a_text));
    } else if (pm_is(residual) && !pm_shape_equal(pm_shape_of(graph, residual), c)) {
        pm_graph_fail(graph, PM_BAD_USAGE, "matmul: the residual is %s, and the product is %s",
                      pm_shape_text(pm_shape_of(graph, residual), b_text), pm_shape_text(c, a_text));
    } else {
        pm_node_output(graph, node, PM_DTYPE_F32, c);
    }
}

static pm_product product_of(const pm_graph *graph, const pm_node *node)
{
    pm_product p;
    (void)find_product(PM_ATTR(matmul_attr, node)->layout, pm_shape_of(graph, node->in[IN_A]),
                       pm_shape_of(graph, node->in[IN_B]), &p);
    p.a = node->in[IN_A];
    p.b = node->in[IN_B];
    p.bias = node->in[IN_BIAS];
    p.residual = node->in[IN_RESIDUAL];
    p.gate = node->in[IN_GATE];
    p.gate_rows = PM_ATTR(matmul_attr, node)->gate_rows;
    p.activation = PM_ATTR(matmul_attr, node)->activation;
    p.c = node->out[0];
    return p;
}

static void lower_matmul(pm_lowering *lowering, const pm_node *node)
{
    pm_lower_product(lowering, product_of(lowering->graph, node));
}

/* The kernels' order is bias, gate, residual, activation: what comes earlier there cannot follow later. */
static bool absorb(const pm_lowering *lowering, pm_node *node, const pm_node *reader)
{
    matmul_attr *attr = (matmul_attr *)(void *)node->attr;
    pm_product p = product_of(lowering->graph, node);
    pm_addend addends[] = {{.x = p.bias, .feature = PM_BIAS_EPILOGUE},
                           {.x = p.residual, .feature = PM_RESIDUAL_EPILOGUE}};
    if (attr->activation || pm_addends_inside(lowering, addends, 2) < 2) return false;
    pm_follower follower = pm_follower_of(lowering, reader, node->out[0], p.k / 4);
    if (follower.activation) {
        attr->activation = follower.activation;
    } else if (pm_is(follower.factor)) {
        bool whole = p.batch == 1 && p.n % 4 == 0 && pm_fits_whole(lowering, follower.factor, 4);
        if (pm_is(p.residual) || pm_is(p.gate) || !whole) return false;
        node->in[IN_GATE] = follower.factor;
        node->n_in = IN_GATE + 1;
        attr->gate_rows = pm_gate_dense(p.n);
    } else if (pm_is(follower.addend)) {
        if (pm_is(p.residual) || !pm_is(p.gate)) return false; /* without a gate it gains nothing */
        node->in[IN_RESIDUAL] = follower.addend;
    } else {
        return false;
    }
    node->out[0] = reader->out[0];
    return true;
}

static bool see_through(const pm_lowering *lowering, pm_node *node, const pm_node *maker)
{
    matmul_attr *attr = (matmul_attr *)(void *)node->attr;
    if (!pm_same_place(lowering->graph, node->in[IN_GATE], maker->out[0])) return false;
    pm_strided view = maker->op->view(lowering->graph, maker);
    if (!pm_fits_whole(lowering, maker->in[0], 4) ||
        !pm_gate_see_through(&attr->gate_rows, &view, product_of(lowering->graph, node).n))
        return false;
    node->in[IN_GATE] = maker->in[0];
    return true;
}

static bool joins(const pm_lowering *lowering, const pm_node *first, const pm_node *other)
{
    pm_product a = product_of(lowering->graph, first), b = product_of(lowering->graph, other);
    return pm_row_products_join(lowering, &a, &b);
}

static bool lower_joined(pm_lowering *lowering, const pm_node *const *nodes, uint32_t count)
{
    pm_product products[PM_ROW_MATRICES];
    for (uint32_t i = 0; i < count; i++) products[i] = product_of(lowering->graph, nodes[i]);
    return pm_lower_row_products(lowering, products, count);
}

static void reference_matmul(const pm_reference *ref)
{
    const pm_host *a = &ref->in[IN_A], *b = &ref->in[IN_B];
    pm_layout layout = PM_ATTR(matmul_attr, ref->node)->layout;
    pm_product p;
    (void)find_product(layout, a->shape, b->shape, &p);
    for (uint32_t i = 0; i < ref->out[0].count; i++) {
        uint32_t z = i / (p.m * p.n), row = i / p.n % p.m, column = i % p.n;
        uint32_t a_first = p.a_batched ? z * p.m * p.k : 0, b_first = p.b_batched ? z * p.k * p.n : 0;
        double sum = 0.0;
        for (uint32_t k = 0; k < p.k; k++) {
            uint32_t a_at = layout == PM_ATB ? k * p.m + row : row * p.k + k;
            uint32_t b_at = layout == PM_ABT ? column * p.k + k : k * p.n + column;
            sum += a->f[a_first + a_at] * b->f[b_first + b_at];
        }
        if (ref->in[IN_BIAS].count) sum += ref->in[IN_BIAS].f[column];
        if (ref->in[IN_RESIDUAL].count) sum += ref->in[IN_RESIDUAL].f[i];
        ref->out[0].f[i] = sum;
    }
}

/* a [batch, rows, width] as one matrix [batch rows, width]. */
static pm_tensor stacked(pm_graph *graph, pm_tensor a)
{
    pm_shape shape = pm_shape_of(graph, a);
    if (shape.rank == 2) return a;
    return pm_reshape(graph, a, PM_SHAPE(shape.dim[0] * shape.dim[1], shape.dim[2]));
}

/* The product, summed over the batch when the operand that it is the gradient of serves the whole batch.
 * Where both operands are batched and A is transposed, the sum over the batch is one product of the stacked
 * matrices. */
static pm_tensor gradient_of(pm_graph *graph, pm_tensor operand, pm_tensor a, pm_tensor b, pm_layout layout)
{
    pm_shape shape = pm_shape_of(graph, operand);
    bool over_batch = shape.rank == 2, a_batched = pm_shape_of(graph, a).rank == 3;
    if (over_batch && layout == PM_ATB && a_batched && pm_shape_of(graph, b).rank == 3) {
        a = stacked(graph, a);
        b = stacked(graph, b);
    }
    pm_tensor gradient = pm_matmul(graph, a, b, layout, PM_NONE, PM_NONE);
    if (pm_ok(graph) && pm_shape_of(graph, gradient).rank > shape.rank) {
        gradient = pm_sum_to(graph, gradient, shape);
    }
    return gradient;
}

static void backward_matmul(pm_graph *graph, const pm_node *node, const pm_tensor *grad_out,
                            const bool *wants, pm_tensor *grad_in)
{
    pm_tensor a = node->in[IN_A], b = node->in[IN_B], dc = grad_out[0];
    switch (PM_ATTR(matmul_attr, node)->layout) {
    case PM_AB:
        if (wants[IN_A]) grad_in[IN_A] = gradient_of(graph, a, dc, b, PM_ABT);
        if (wants[IN_B]) grad_in[IN_B] = gradient_of(graph, b, a, dc, PM_ATB);
        break;
    case PM_ABT:
        if (wants[IN_A]) grad_in[IN_A] = gradient_of(graph, a, dc, b, PM_AB);
        if (wants[IN_B]) grad_in[IN_B] = gradient_of(graph, b, dc, a, PM_ATB);
        break;
    case PM_ATB:
        if (wants[IN_A]) grad_in[IN_A] = gradient_of(graph, a, b, dc, PM_ABT);
        if (wants[IN_B]) grad_in[IN_B] = gradient_of(graph, b, a, dc, PM_AB);
        break;
    }
    if (wants[IN_BIAS]) grad_in[IN_BIAS] = pm_sum_to(graph, dc, pm_shape_of(graph, node->in[IN_BIAS]));
    if (wants[IN_RESIDUAL]) grad_in[IN_RESIDUAL] = dc;
}

/* p: layout, m, n, k, batch of A (0: none), batch of B, bias, residual. */
static pm_tensor case_matmul(pm_graph *graph, const uint32_t *p)
{
    pm_layout layout = (pm_layout)p[0];
    uint32_t m = p[1], n = p[2], k = p[3], batch = p[4] ? p[4] : p[5];
    uint32_t a_rows = layout == PM_ATB ? k : m, a_width = layout == PM_ATB ? m : k;
    uint32_t b_rows = layout == PM_ABT ? n : k, b_width = layout == PM_ABT ? k : n;
    pm_tensor a =
        pm_case_leaf(graph, "a", p[4] ? PM_SHAPE(p[4], a_rows, a_width) : PM_SHAPE(a_rows, a_width), 1.0f);
    pm_tensor b =
        pm_case_leaf(graph, "b", p[5] ? PM_SHAPE(p[5], b_rows, b_width) : PM_SHAPE(b_rows, b_width), 1.0f);
    pm_tensor bias = p[6] ? pm_case_leaf(graph, "bias", PM_SHAPE(n), 1.0f) : PM_NONE;
    pm_shape c = batch ? PM_SHAPE(batch, m, n) : PM_SHAPE(m, n);
    pm_tensor residual = p[7] ? pm_case_leaf(graph, "residual", c, 1.0f) : PM_NONE;
    return pm_matmul(graph, a, b, layout, bias, residual);
}

/* p: leading axes of x (two), in, out, bias, residual. */
static pm_tensor case_linear(pm_graph *graph, const uint32_t *p)
{
    pm_tensor x = pm_case_leaf(graph, "x", PM_SHAPE(p[0], p[1], p[2]), 1.0f);
    pm_tensor weight = pm_case_leaf(graph, "weight", PM_SHAPE(p[2], p[3]), 1.0f);
    pm_tensor bias = p[4] ? pm_case_leaf(graph, "bias", PM_SHAPE(p[3]), 1.0f) : PM_NONE;
    pm_tensor residual = p[5] ? pm_case_leaf(graph, "residual", PM_SHAPE(p[0], p[1], p[3]), 1.0f) : PM_NONE;
    return pm_linear(graph, x, weight, bias, residual);
}

/* One shape of C in the three layouts, to be timed. */
#define BENCH_LAYOUTS(of, m, n, k)                                                          \
    {.name = "AB, " of, .build = case_matmul, .p = {PM_AB, m, n, k}, .bench = true},        \
        {.name = "AB^T, " of, .build = case_matmul, .p = {PM_ABT, m, n, k}, .bench = true}, \
    {                                                                                       \
        .name = "A^T B, " of, .build = case_matmul, .p = {PM_ATB, m, n, k}, .bench = true   \
    }

static const pm_case cases_matmul[] = {
    {.name = "AB, one element", .build = case_matmul, .p = {PM_AB, 1, 1, 1}},
    {.name = "AB, whole vectors", .build = case_matmul, .p = {PM_AB, 20, 36, 12}},
    {.name = "AB^T, whole vectors", .build = case_matmul, .p = {PM_ABT, 20, 36, 12}},
    {.name = "A^T B, whole vectors", .build = case_matmul, .p = {PM_ATB, 20, 36, 12}},
    {.name = "AB, odd, bias", .build = case_matmul, .p = {PM_AB, 33, 27, 17, 0, 0, 1}},
    {.name = "AB^T, odd, bias and residual", .build = case_matmul, .p = {PM_ABT, 17, 33, 5, 0, 0, 1, 1}},
    {.name = "A^T B, odd, residual", .build = case_matmul, .p = {PM_ATB, 13, 7, 35, 0, 0, 0, 1}},
    {.name = "AB, one column", .build = case_matmul, .p = {PM_AB, 70, 1, 9, 0, 0, 1}},
    {.name = "AB^T, one row", .build = case_matmul, .p = {PM_ABT, 1, 19, 8}},
    {.name = "AB, one row", .build = case_matmul, .p = {PM_AB, 1, 300, 20, 0, 0, 1, 1}},
    {.name = "AB, one row, odd", .build = case_matmul, .p = {PM_AB, 1, 45, 7, 0, 0, 0, 1}},
    {.name = "AB^T, one row, odd, bias", .build = case_matmul, .p = {PM_ABT, 1, 150, 9, 0, 0, 1}},
    {.name = "A^T B, one row", .build = case_matmul, .p = {PM_ATB, 1, 40, 8}},
    {.name = "A^T B, one term", .build = case_matmul, .p = {PM_ATB, 6, 10, 1}},
    {.name = "AB, batched", .build = case_matmul, .p = {PM_AB, 5, 8, 4, 3, 3, 1, 1}},
    {.name = "AB^T, batched, odd", .build = case_matmul, .p = {PM_ABT, 6, 7, 3, 2, 2, 1, 1}},
    {.name = "A^T B, batched, odd", .build = case_matmul, .p = {PM_ATB, 6, 7, 3, 2, 2, 0, 1}},
    {.name = "AB, B serves the batch", .build = case_matmul, .p = {PM_AB, 5, 12, 8, 3, 0, 1, 1}},
    {.name = "AB, A serves the batch", .build = case_matmul, .p = {PM_AB, 5, 6, 8, 0, 3, 1}},
    {.name = "AB^T, A serves the batch", .build = case_matmul, .p = {PM_ABT, 5, 6, 8, 0, 3}},
    {.name = "A^T B, B serves the batch", .build = case_matmul, .p = {PM_ATB, 5, 6, 8, 3, 0}},
    {.name = "A^T B, A serves the batch", .build = case_matmul, .p = {PM_ATB, 4, 6, 7, 0, 3}},
    {.name = "AB^T, tall", .build = case_matmul, .p = {PM_ABT, 1030, 12, 20}},
    {.name = "AB^T, tall, odd, bias and residual",
     .build = case_matmul,
     .p = {PM_ABT, 1025, 9, 7, 0, 0, 1, 1}},
    {.name = "AB, several workgroups", .build = case_matmul, .p = {PM_AB, 130, 140, 8, 0, 0, 1}},
    {.name = "linear", .build = case_linear, .p = {3, 5, 12, 16, 1, 1}},
    {.name = "linear, odd", .build = case_linear, .p = {3, 5, 7, 9, 1, 1}},
    {.name = "AB, rows 2 KiB apart",
     .build = case_matmul,
     .p = {PM_AB, 70, 512, 512, 0, 0, 1},
     .large = true},
    {.name = "AB^T, rows 2 KiB apart, odd", .build = case_matmul, .p = {PM_ABT, 65, 513, 510}, .large = true},
    {.name = "AB, large", .build = case_matmul, .p = {PM_AB, 385, 514, 259}, .large = true},
    {.name = "AB^T, large", .build = case_matmul, .p = {PM_ABT, 257, 384, 320}, .large = true},
    BENCH_LAYOUTS("1024", 1024, 1024, 1024),
    BENCH_LAYOUTS("tall, 25088x32, k 64", 25088, 32, 64),
    BENCH_LAYOUTS("wide, 64x8192, k 256", 64, 8192, 256),
    BENCH_LAYOUTS("deep, 256x256, k 4096", 256, 256, 4096),
    BENCH_LAYOUTS("odd, 511x509, k 507", 511, 509, 507),
    BENCH_LAYOUTS("tiny, 32x32, k 32", 32, 32, 32),
    BENCH_LAYOUTS("one row, 1x1024, k 256", 1, 1024, 256),
    {.name = "linear, 16x256, 256 to 1024",
     .build = case_linear,
     .p = {16, 256, 256, 1024, 1, 0},
     .bench = true},
};

const pm_op pm_op_matmul = {
    .name = "matmul",
    .products = true,
    .shape = shape_matmul,
    .backward = backward_matmul,
    .lower = lower_matmul,
    .joins = joins,
    .lower_joined = lower_joined,
    .absorb = absorb,
    .see_through = see_through,
    .reference = reference_matmul,
    PM_CASES(cases_matmul),
};

pm_tensor pm_matmul(pm_graph *graph, pm_tensor a, pm_tensor b, pm_layout layout, pm_tensor bias,
                    pm_tensor residual)
{
    matmul_attr attr = {.layout = layout};
    return pm_emit(graph, &pm_op_matmul, (pm_tensor[N_IN]){a, b, bias, residual}, N_IN, &attr, sizeof attr,
                   NULL);
}

pm_tensor pm_linear(pm_graph *graph, pm_tensor x, pm_tensor weight, pm_tensor bias, pm_tensor residual)
{
    if (!pm_ok(graph)) return PM_NONE;
    char x_text[64], w_text[64];
    pm_shape shape = pm_shape_of(graph, x), w = pm_shape_of(graph, weight);
    uint32_t in = shape.rank ? shape.dim[shape.rank - 1] : 0;
    if (in == 0 || w.rank != 2 || w.dim[0] != in) {
        pm_graph_fail(graph, PM_BAD_USAGE, "linear: x %s does not fit the weight %s",
                      pm_shape_text(shape, x_text), pm_shape_text(w, w_text));
        return PM_NONE;
    }
    uint32_t rows = pm_count_of(graph, x) / in, out = w.dim[1];
    shape.dim[shape.rank - 1] = out;
    if (pm_is(residual)) {
        if (!pm_shape_equal(pm_shape_of(graph, residual), shape)) {
            pm_graph_fail(graph, PM_BAD_USAGE, "linear: the residual is %s, and the result is %s",
                          pm_shape_text(pm_shape_of(graph, residual), w_text), pm_shape_text(shape, x_text));
            return PM_NONE;
        }
        residual = pm_reshape(graph, residual, PM_SHAPE(rows, out));
    }
    pm_tensor y = pm_matmul(graph, pm_reshape(graph, x, PM_SHAPE(rows, in)), weight, PM_AB, bias, residual);
    return pm_reshape(graph, y, shape);
}
