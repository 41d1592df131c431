/* Says in words what a plan is made of; with options.profile also what each kind of dispatch took. */
#include "plan/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct writer {
    void (*line)(void *user, const char *text);
    void *user;
} writer;

/* What all dispatches of one shader of one operator add up to. */
typedef struct row {
    char op[48]; /* "matmul + silu", where a node does for others */
    const char *shader;
    uint32_t dispatches;
    double flops, milliseconds;
} row;

static double mib(uint64_t bytes)
{
    return (double)bytes / 1048576.0;
}

static void read_timestamps(const pm_plan *plan)
{
    uint64_t ticks[2];
    for (uint32_t i = 0; plan->timestamps && i < plan->n_pieces; i++) {
        VkResult result = plan->device->vk.vkGetQueryPoolResults(
            plan->device->device, plan->timestamps, i * 2, 2, sizeof ticks, ticks, 8, VK_QUERY_RESULT_64_BIT);
        if (result != VK_SUCCESS) continue;
        plan->pieces[i].milliseconds =
            (double)(ticks[1] - ticks[0]) * (double)plan->device->facts.timestamp_period * 1e-6;
    }
}

static int by_cost(const void *a, const void *b)
{
    const row *x = a, *y = b;
    if (x->milliseconds != y->milliseconds) return x->milliseconds < y->milliseconds ? 1 : -1;
    return x->flops < y->flops ? 1 : x->flops > y->flops ? -1 : strcmp(x->shader, y->shader);
}

static const char *kind_of(const pm_node *node)
{
    return node->op->kind ? node->op->kind(node) : node->op->name;
}

/* What the dispatch is of: a node, or all that it does the work of. */
static void describe(const pm_plan *plan, const pm_dispatch *dispatch, char *text, size_t size)
{
    const pm_node *nodes = plan->graph->nodes;
    const pm_absorbed *absorbed = &dispatch->absorbed;
    (void)snprintf(text, size, "%s", nodes[absorbed->count ? absorbed->node[0] : dispatch->node].op->name);
    for (uint32_t i = 1; i <= absorbed->count; i++) {
        size_t used = strlen(text);
        uint32_t node = i < absorbed->count ? absorbed->node[i] : dispatch->node;
        (void)snprintf(text + used, size - used, " + %s", kind_of(&nodes[node]));
    }
}

static uint32_t collect(const pm_plan *plan, row *rows)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < plan->n_pieces; i++) {
        const pm_piece *piece = &plan->pieces[i];
        const pm_dispatch *dispatch = &plan->dispatches[piece->dispatch];
        char op[sizeof rows->op];
        uint32_t r = 0;
        describe(plan, dispatch, op, sizeof op);
        while (r < count && (strcmp(rows[r].op, op) != 0 || strcmp(rows[r].shader, dispatch->shader) != 0))
            r++;
        if (r == count) {
            rows[count] = (row){.shader = dispatch->shader};
            memcpy(rows[count++].op, op, sizeof op);
        }
        if (piece->base == 0) {
            rows[r].dispatches++;
            rows[r].flops += dispatch->flops;
        }
        rows[r].milliseconds += piece->milliseconds;
    }
    qsort(rows, count, sizeof *rows, by_cost);
    return count;
}

static void write_rows(const pm_plan *plan, const writer *out)
{
    char text[256];
    row *rows = calloc(plan->n_pieces + 1u, sizeof *rows);
    uint32_t count = rows ? collect(plan, rows) : 0;
    double total = 0;
    for (uint32_t i = 0; i < count; i++) total += rows[i].milliseconds;
    (void)snprintf(text, sizeof text, "%-24s %-26s %10s %10s%s", "operator", "shader", "dispatches", "GFLOP",
                   plan->timestamps ? "         ms   share" : "");
    if (count) out->line(out->user, text);
    for (uint32_t i = 0; i < count; i++) {
        int used = snprintf(text, sizeof text, "%-24s %-26s %10u %10.3f", rows[i].op, rows[i].shader,
                            rows[i].dispatches, rows[i].flops * 1e-9);
        if (plan->timestamps && used > 0 && total > 0) {
            (void)snprintf(text + used, sizeof text - (size_t)used, " %10.2f %6.1f%%", rows[i].milliseconds,
                           100 * rows[i].milliseconds / total);
        }
        out->line(out->user, text);
    }
    free(rows);
}

void pm_plan_explain(const pm_plan *plan, void (*line)(void *user, const char *text), void *user)
{
    const pm_plan_stats *s = &plan->stats;
    writer out = {line, user};
    char text[256];
    read_timestamps(plan);
    (void)snprintf(text, sizeof text, "nodes %u, dispatches %u in %u pieces, pipelines %u, %.3f GFLOP a run",
                   s->nodes, s->dispatches, s->pieces, s->pipelines, s->flops * 1e-9);
    line(user, text);
    (void)snprintf(
        text, sizeof text,
        "memory %.1f MiB: parameters and states %.1f, activations %.1f (%.1f without reuse), in %u blocks",
        mib(s->persistent_bytes + s->activation_bytes), mib(s->persistent_bytes), mib(s->activation_bytes),
        mib(s->unshared_bytes), plan->n_blocks);
    line(user, text);
    (void)snprintf(text, sizeof text,
                   "barriers %u, command buffers %u, submits of the last run %u (aim %.0f ms each)",
                   s->barriers, s->command_buffers, s->submits, plan->options.submit_seconds * 1e3);
    line(user, text);
    write_rows(plan, &out);
}
