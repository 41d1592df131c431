/* Attention where matrix units multiply (precision fast): which blocks a workgroup takes, and the dispatches.
 * The kernels are attention*_matrix.comp. What they leave to each other is what the other kernels do, so that
 * either kind may follow the other. */
#include "ops/attention.h"

#include "base/checked.h"

#include <math.h>

/* ---- Blocks -------------------------------------------------------------------------------------------- */

/* Most own rows of a workgroup, and most bytes of its shared memory: where there is more, fewer workgroups
 * would share it, and have less to do while one of them waits. */
enum { MOST_ROWS = 64, MOST_BYTES = 32768 };

/* What is tried for each number of rows. Of those that fit, that one is taken of which a step has the most
 * pairs of rows for each row, and the first of these: it has registers for its own rows where that can be.
 * For Ada the compiler estimates the gradient of queries, in heads of 64, at 67 cycles for a pair of a query
 * and a key so, at 72 with these rows in shared memory, at 97 with two subgroups side by side as well, and at
 * 85 with 16 rows of the other side; for navi31 (Mesa 26) at 16, 26, 21 and 19. */
static const struct {
    uint32_t wide, theirs;
    bool kept;
} tries[] = {{1, 32, false}, {2, 32, false}, {4, 32, false}, {1, 32, true},
             {2, 32, true},  {4, 32, true},  {1, 16, true},  {2, 16, true}};

static uint32_t most_of(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* Lanes that share a row of scores. */
static uint32_t lanes_of_row(const pm_rules *rules, const pm_attention_block *block)
{
    return block->wide * rules->matrix_subgroup / rules->matrix[0];
}

/* The arrays of attention_matrix.glsl, and two numbers of each of their rows. */
static uint32_t bytes_of(const pm_rules *rules, const pm_attention_block *block, uint32_t width)
{
    enum { HALF = 2, FLOAT = 4, NUMBERS = 2, PADDING = 8 };
    uint32_t m = rules->matrix[0], rows = block->high * m, leaving = rows * block->wide * rules->matrix[1];
    return HALF * (2 * block->theirs + block->kept) * (width + PADDING) +
           HALF * rows * (block->theirs + PADDING) +
           FLOAT * most_of(rows * (block->theirs + PADDING / 2), leaving) +
           FLOAT * rows * (lanes_of_row(rules, block) + 1) + FLOAT * NUMBERS * block->theirs;
}

/* Whether subgroups and lanes share everything out evenly. */
static bool is_even(const pm_rules *rules, const pm_attention_block *block, uint32_t width)
{
    uint32_t m = rules->matrix[0], n = rules->matrix[1], k = rules->matrix[2];
    uint32_t busy = most_of(1, block->wide * n < block->theirs ? block->wide : block->theirs / n);
    return rules->matrix_subgroup % m == 0 && block->theirs / 4 % lanes_of_row(rules, block) == 0 &&
           block->theirs % (n * busy) == 0 && block->theirs % k == 0 && width % (n * block->wide) == 0 &&
           width % k == 0 && (block->kept || block->high * m <= 2 * block->theirs);
}

static bool fits(const pm_rules *rules, const pm_attention_block *block, uint32_t width, uint32_t tensors,
                 uint32_t results)
{
    uint32_t sums = results * width / (block->wide * rules->matrix[1]);
    uint32_t held = block->kept ? 0 : tensors * width / rules->matrix[2];
    return is_even(rules, block, width) && sums + held <= rules->attention_fragments &&
           block->lanes <= rules->shared_lanes && block->shared_bytes <= rules->shared_bytes &&
           block->shared_bytes <= MOST_BYTES;
}

/* Whether registers suffice for a lane to fetch its part of a step's rows before it waits for any: counted in
 * fours, as NVIDIA's lanes hold sums, own rows, and what was fetched. There gradients of keys and values, in
 * heads of 128, would spill (64 of these), and gradients of queries do not (48). On Intel those of two
 * tensors would, in heads of 32. By the compilers' estimates a kernel takes 0.73 to 0.89 of the time so on
 * Turing, Ada and Hopper, with no register more, 0.63 to 0.89 on Lunar Lake, and 0.61 to 0.98 on navi31 and
 * gfx1201 (Mesa 26), with as many subgroups at once. AMD's and Intel's take any loop for a number of rounds,
 * where this has 2 to 16. */
static bool can_fetch_ahead(const pm_rules *rules, const pm_attention_block *block, uint32_t width,
                            uint32_t tensors, uint32_t results)
{
    enum { MOST = 48, OF_SUMS = 2 };
    uint32_t quads = 2 * block->theirs * width / 4, sums = results * width / (block->wide * rules->matrix[1]);
    uint32_t held = block->kept ? 0 : tensors * width / rules->matrix[2];
    if (quads / 2 % block->lanes != 0) return false; /* some lanes would have more of them */
    if (rules->attention_fragments < 4) return tensors == 1;
    return OF_SUMS * sums + held + quads / block->lanes <= MOST;
}

pm_attention_block pm_attention_block_for(const pm_rules *rules, uint32_t width, uint32_t rows,
                                          uint32_t tensors, uint32_t results)
{
    enum { TRIES = sizeof tries / sizeof tries[0], UNIT = 1024 };
    pm_attention_block best = {0};
    uint32_t m = rules->matrix[0], most = 0;
    /* On Intel two results spill, whatever the block; and a single one, where it is one fragment wide. */
    if (results > 1 && rules->attention_fragments < 4) return best;
    for (uint32_t high = MOST_ROWS / m; high > 0; high /= 2) {
        if (high > 1 && high / 2 * m >= rows) continue; /* half of them suffice */
        for (uint32_t i = 0; i < TRIES; i++) {
            pm_attention_block block = {.high = high, .wide = tries[i].wide, .theirs = tries[i].theirs};
            uint32_t pairs = UNIT * high * m * block.theirs / (high * m + block.theirs); /* of a row */
            block.kept = tries[i].kept ? tensors * high * m : 0;
            block.lanes = high * block.wide * rules->matrix_subgroup;
            block.shared_bytes = bytes_of(rules, &block, width);
            if (pairs <= most || !fits(rules, &block, width, tensors, results)) continue;
            most = pairs;
            best = block;
            best.ahead = can_fetch_ahead(rules, &block, width, tensors, results);
        }
    }
    return best;
}

/* ---- Dispatches ---------------------------------------------------------------------------------------- */

/* A kernel: tensors and results of its own side; of the gradients of keys and values, which. */
typedef struct kernel {
    const char *shader;
    uint32_t tensors, results;
    double products;
    bool over_keys, wants_k, wants_v;
} kernel;

static const kernel forward = {"attention_matrix", 1, 1, 2, .over_keys = false};
static const kernel query_gradient = {"attention_dq_matrix", 2, 1, 3, .over_keys = false};
static const kernel key_gradients = {"attention_dkv_matrix", 2, 2, 4, true, true, true};
static const kernel key_gradient = {"attention_dkv_matrix", 2, 1, 3, true, true, false};
static const kernel value_gradient = {"attention_dkv_matrix", 1, 1, 2, true, false, true};

static void push_numbers(pm_dispatch *d, const pm_attention_geometry *g)
{
    pm_push_u32(d, g->queries);
    pm_push_u32(d, g->keys);
    pm_push_u32(d, g->heads);
    pm_push_f32(d, (float)(1.0 / sqrt((double)g->head_width)));
    pm_push_u32(d, g->block);
}

static void spec_numbers(pm_dispatch *d, const pm_rules *rules, const pm_attention_geometry *g,
                         const pm_attention_block *block)
{
    pm_spec(d, g->head_width);
    pm_spec(d, g->mask);
    pm_spec(d, g->group);
    for (uint32_t i = 0; i < 3; i++) pm_spec(d, rules->matrix[i]);
    pm_spec(d, rules->matrix_subgroup);
    pm_spec(d, block->high);
    pm_spec(d, block->wide);
    pm_spec(d, block->theirs);
    pm_spec(d, block->kept);
    pm_spec(d, block->ahead);
}

/* The dispatch, whose operands are still to be bound; NULL where matrix units have none for these shapes. */
static pm_dispatch *begin(pm_lowering *lowering, const pm_attention_geometry *g, const kernel *kernel)
{
    const pm_rules *rules = lowering->rules;
    if (!pm_on(rules, PM_MATRIX_UNITS) || !pm_on(rules, PM_MATRIX_ATTENTION) || !pm_attention_is_half(g))
        return NULL;
    uint32_t mine = kernel->over_keys ? g->keys : g->queries;
    uint64_t theirs = kernel->over_keys ? (uint64_t)g->queries * g->group : g->keys;
    pm_attention_block block =
        pm_attention_block_for(rules, g->head_width, mine, kernel->tensors, kernel->results);
    if (block.lanes == 0) return NULL;
    (void)pm_rounds_fit(lowering, "attention", "sequences of this length", theirs);
    pm_dispatch *d = pm_dispatch_begin(lowering, kernel->shader, block.lanes);
    spec_numbers(d, rules, g, &block);
    if (kernel->over_keys) pm_spec(d, kernel->wants_k);
    if (kernel->over_keys) pm_spec(d, kernel->wants_v);
    push_numbers(d, g);
    d->subgroup = rules->matrix_subgroup;
    d->shared_bytes = block.shared_bytes;
    pm_groups(d, pm_ceil_div(mine, block.high * rules->matrix[0]), kernel->over_keys ? g->kv_heads : g->heads,
              g->samples, 2, 2.0 * kernel->products * pm_attention_pairs(g) * g->width);
    return d;
}

static void bind_rows(pm_dispatch *d, const pm_attention_geometry *g, const pm_node *node)
{
    pm_bind_in(d, node->in[Q], 4, pm_attention_query_stride(g));
    pm_bind_in(d, node->in[K], 4, pm_attention_key_stride(g));
    pm_bind_in(d, node->in[V], 4, pm_attention_key_stride(g));
}

bool pm_attention_append_matrix(pm_lowering *lowering, const pm_node *node)
{
    pm_attention_geometry g = pm_attention_geometry_of(lowering->graph, node);
    pm_dispatch *d = pm_is(node->in[FIRST]) ? NULL : begin(lowering, &g, &forward);
    if (!d) return false;
    bind_rows(d, &g, node);
    pm_bind_out(d, node->out[0], pm_attention_query_stride(&g));
    pm_bind_out(d, node->out[1], 0);
    return true;
}

bool pm_attention_append_dq_matrix(pm_lowering *lowering, const pm_node *node, pm_tensor deltas)
{
    pm_attention_geometry g = pm_attention_geometry_of(lowering->graph, node);
    pm_dispatch *d = begin(lowering, &g, &query_gradient);
    if (!d) return false;
    bind_rows(d, &g, node);
    pm_bind_in(d, node->in[OUT], 4, pm_attention_query_stride(&g));
    pm_bind_in(d, node->in[DOUT], 4, pm_attention_query_stride(&g));
    pm_bind_in(d, node->in[LOG_SUMS], 1, 0);
    pm_bind_out(d, node->out[Q], pm_attention_query_stride(&g));
    pm_bind_out(d, deltas, 0);
    return true;
}

static bool append_dkv(pm_lowering *lowering, const pm_node *node, pm_tensor deltas, const kernel *kernel)
{
    pm_attention_geometry g = pm_attention_geometry_of(lowering->graph, node);
    pm_dispatch *d = begin(lowering, &g, kernel);
    if (!d) return false;
    bind_rows(d, &g, node);
    pm_bind_in(d, node->in[DOUT], 4, pm_attention_query_stride(&g));
    pm_bind_in(d, node->in[LOG_SUMS], 1, 0);
    pm_bind_in(d, deltas, 1, 0);
    pm_bind_out(d, node->out[K], pm_attention_key_stride(&g));
    pm_bind_out(d, node->out[V], pm_attention_key_stride(&g));
    return true;
}

bool pm_attention_append_dkv_matrix(pm_lowering *lowering, const pm_node *node, pm_tensor deltas)
{
    /* Where there is a block for the gradient of keys, one for that of values needs less. */
    return append_dkv(lowering, node, deltas, &key_gradients) ||
           (append_dkv(lowering, node, deltas, &key_gradient) &&
            append_dkv(lowering, node, deltas, &value_gradient));
}
