/* A denoiser that is known exactly: the conditionals of a table (discrete_laws.h) as a network, by looking
 * them up. */
#ifndef PM_TESTS_ORACLE_H
#define PM_TESTS_ORACLE_H

#include "discrete_laws.h"
#include "processes/masked.h"

typedef struct oracle {
    const law_table *table;
    pm_tensor tokens, time; /* what it was last given */
} oracle;

static inline pm_tensor oracle_logits(void *user, pm_graph *graph, pm_tensor tokens, pm_tensor time)
{
    static float logs[LAW_CANVASES * LAW_LENGTH * LAW_BASE];
    oracle *o = user;
    const law_table *t = o->table;
    uint32_t rows = pm_shape_of(graph, tokens).dim[0], width = t->length * t->base;
    for (uint32_t c = 0; c < t->canvases; c++) {
        for (uint32_t i = 0; i < width; i++) {
            double p = t->cond[c][i / t->base][i % t->base];
            logs[c * width + i] = p > 0 ? (float)log(p) : -100.0f;
        }
    }
    o->tokens = tokens;
    o->time = time;
    pm_tensor table = pm_constant(graph, "oracle", PM_DTYPE_F32, PM_SHAPE(t->canvases, width), logs);
    pm_tensor logits = pm_embedding(graph, table, pm_digits(graph, tokens, t->base + 1));
    return pm_reshape(graph, logits, PM_SHAPE(rows, t->length, t->base));
}

static inline pm_denoiser oracle_denoiser(oracle *o)
{
    return (pm_denoiser){.logits = oracle_logits, .user = o, .vocabulary = o->table->base};
}

#endif
