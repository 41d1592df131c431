/* Rewrites the live nodes before they are lowered: where the result of one is read by one later node alone,
 * it may do what that one does (pm_op.absorb), in its place; and where what it reads only lies elsewhere in
 * another tensor, it may read that (pm_op.see_through). The graph stays as it is: `nodes` is a copy. */
#include "plan/plan.h"

#include <stdlib.h>

/* Live nodes that a node may be put behind: what it reads has to be kept that long. */
#define LOOK_AHEAD 16u

/* By root: how many operands of live nodes lie in it, and the last such node; and what makes it. */
typedef struct use {
    uint32_t readers, reader, maker;
} use;

typedef struct fusion {
    const pm_lowering *lowering;
    pm_node *nodes;
    bool *live;
    pm_absorbed *absorbed;
    use *uses;
} fusion;

static use *use_of(const fusion *f, pm_tensor tensor)
{
    return &f->uses[pm_info(f->lowering->graph, tensor)->base];
}

static void find_uses(const fusion *f)
{
    const pm_graph *graph = f->lowering->graph;
    for (uint32_t i = 0; i < graph->n_tensors; i++) f->uses[i] = (use){.maker = PM_NEVER};
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const pm_node *node = &f->nodes[n];
        for (uint32_t i = 0; f->live[n] && i < node->n_in; i++) {
            if (!pm_is(node->in[i])) continue;
            use_of(f, node->in[i])->readers++;
            use_of(f, node->in[i])->reader = n;
        }
        for (uint32_t i = 0; f->live[n] && i < node->n_out; i++) use_of(f, node->out[i])->maker = n;
    }
}

/* Whether a node makes one tensor that anybody reads, that is nowhere else, and changes nothing. */
static bool makes_one(const fusion *f, const pm_node *node)
{
    const pm_graph *graph = f->lowering->graph;
    const pm_tensor_info *made = pm_info(graph, node->out[0]);
    for (uint32_t i = 1; i < node->n_out; i++) {
        if (use_of(f, node->out[i])->readers > 0 || pm_info(graph, node->out[i])->is_output) return false;
    }
    return !node->op->updates && made->base == node->out[0].id && made->kind == PM_KIND_TEMP;
}

/* Whether a node reads all of what another makes, as it is. */
static bool reads_all(const pm_graph *graph, const pm_node *node, pm_tensor made)
{
    for (uint32_t i = 0; i < node->n_in; i++) {
        if (pm_same_place(graph, node->in[i], made))
            return pm_bytes_of(graph, node->in[i]) == pm_bytes_of(graph, made);
    }
    return false;
}

/* Whether what node `of` reads is still the same when node `at` runs, and few nodes are in between. */
static bool stays_until(const fusion *f, uint32_t of, uint32_t at, uint32_t most)
{
    uint32_t between = 0;
    for (uint32_t n = of + 1; n < at; n++) {
        if (!f->live[n]) continue;
        if (++between > most || pm_disturbs(f->lowering->graph, &f->nodes[n], &f->nodes[of])) return false;
    }
    return true;
}

/* Puts what node n and its only reader do where the reader is. */
static void try_absorb(const fusion *f, uint32_t n)
{
    const pm_graph *graph = f->lowering->graph;
    pm_node node = f->nodes[n];
    if (!node.op->absorb || !makes_one(f, &node)) return;
    const use *made = use_of(f, node.out[0]);
    uint32_t at = made->reader;
    if (made->readers != 1 || pm_info(graph, node.out[0])->is_output || at <= n) return;
    const pm_node *reader = &f->nodes[at];
    pm_absorbed absorbed = f->absorbed[n];
    if (absorbed.count == PM_MAX_ABSORBED || f->absorbed[at].count > 0) return;
    if (!makes_one(f, reader) || !reads_all(graph, reader, node.out[0])) return;
    if (!stays_until(f, n, at, LOOK_AHEAD)) return;
    if (!node.op->absorb(f->lowering, &node, reader)) return;
    absorbed.node[absorbed.count++] = n;
    f->absorbed[at] = absorbed;
    f->nodes[at] = node;
    f->live[n] = false;
    for (uint32_t i = 0; i < node.n_in; i++) {
        if (use_of(f, node.in[i])->reader == n) use_of(f, node.in[i])->reader = at;
    }
}

/* One operand of node n. */
static bool try_to_see_through(const fusion *f, uint32_t n)
{
    const pm_graph *graph = f->lowering->graph;
    pm_node *node = &f->nodes[n];
    for (uint32_t i = 0; i < node->n_in; i++) {
        uint32_t maker = pm_is(node->in[i]) ? use_of(f, node->in[i])->maker : PM_NEVER;
        if (maker >= n || !f->nodes[maker].op->view) continue;
        const pm_node *made = &f->nodes[maker];
        if (makes_one(f, made) && reads_all(graph, node, made->out[0]) &&
            stays_until(f, maker, n, graph->n_nodes) && node->op->see_through(f->lowering, node, made))
            return true;
    }
    return false;
}

bool pm_plan_fuse(const pm_lowering *lowering, pm_node *nodes, bool *live, pm_absorbed *absorbed)
{
    const pm_graph *graph = lowering->graph;
    fusion f = {lowering, nodes, live, absorbed, malloc(graph->n_tensors * sizeof *f.uses)};
    if (!f.uses) return false;
    find_uses(&f);
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        if (live[n]) try_absorb(&f, n);
    }
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        while (live[n] && nodes[n].op->see_through && try_to_see_through(&f, n)) continue;
    }
    free(f.uses);
    return true;
}
