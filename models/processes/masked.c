/* The masked process as a graph: corrupt, ask the network, score what was masked. */
#include "processes/masked.h"

#include "base/status.h"

#include <stdlib.h>
#include <string.h>

/* Streams of randomness: when, and which. */
enum { STREAM_TIME = 0x210, STREAM_MASK = 0x211 };

/* What a batch becomes. */
typedef struct corrupted {
    uint32_t batch, length;
    pm_tensor tokens; /* u32 [B,L], with masks */
    pm_tensor time;   /* f32 [B], or PM_NONE for a network without */
    pm_tensor labels; /* u32 [B L]: ignored but where there is a mask */
    pm_tensor weight; /* f32 [B L] */
} corrupted;

pm_status pm_masked_config_from_names(const char *objective, const char *schedule, pm_masked_config *out,
                                      pm_error *error)
{
    static const char *const objectives[] = {"t", "lambda", "k", "bert"};
    static const char *const schedules[] = {"linear", "cosine", "polynomial"};
    uint32_t o = 0, s = 0;
    while (o < 4 && strcmp(objective, objectives[o]) != 0) o++;
    while (s < 3 && strcmp(schedule, schedules[s]) != 0) s++;
    if (o == 4) {
        return pm_fail(error, PM_BAD_USAGE, "objective '%s' is none of t, lambda, k, bert", objective);
    }
    if (s == 3) {
        return pm_fail(error, PM_BAD_USAGE, "masking schedule '%s' is none of linear, cosine, polynomial",
                       schedule);
    }
    *out = (pm_masked_config){
        .objective = (pm_masked_objective)o,
        .masking = {.schedule = (pm_mask_schedule)s,
                    .eps = s == 0 ? 1e-3f : 1e-4f,
                    .power = o == PM_MASKED_BERT ? 0.15f : 2.0f,
                    .t_min = 1e-3f,
                    .stratified = true},
    };
    return PM_OK;
}

/* ---- Checks -------------------------------------------------------------------------------------------- */

static bool is_u32_matrix(const pm_graph *graph, pm_tensor tensor)
{
    return pm_dtype_of(graph, tensor) == PM_DTYPE_U32 && pm_shape_of(graph, tensor).rank == 2;
}

/* What only this process can know; the operators check the rest. */
static bool check(pm_graph *graph, const pm_masked_config *config, const pm_denoiser *denoiser,
                  pm_tensor tokens, pm_tensor fixed)
{
    if (pm_graph_status(graph, NULL) != PM_OK) return false;
    const char *wrong = NULL;
    bool k = config->objective == PM_MASKED_K, bert = config->objective == PM_MASKED_BERT;
    if (!tokens.id || !is_u32_matrix(graph, tokens)) {
        wrong = "tokens must be u32 [B,L]";
    } else if (denoiser->vocabulary == 0) {
        wrong = "the denoiser has no vocabulary";
    } else if ((k || bert) && config->time_conditioned) {
        wrong = "objectives k and bert have no time: the network must do without";
    } else if (k && fixed.id) {
        wrong = "objective k draws the number of masks from 1 .. L and takes no fixed tokens: use lambda";
    } else if (config->per_free_token && !fixed.id) {
        wrong = "a mean over free tokens needs to know which tokens are fixed";
    } else if (bert && !(config->masking.power > 0.0f && config->masking.power <= 1.0f)) {
        wrong = "the rate of objective bert must be in (0, 1]";
    }
    if (wrong) pm_graph_fail(graph, PM_BAD_USAGE, "masked process: %s", wrong);
    return !wrong;
}

/* ---- Corruption ---------------------------------------------------------------------------------------- */

/* L over the number of tokens of each row that are not fixed, f32 [B]. The count becomes an index, and the
 * index a quotient, by tables. */
static pm_tensor free_token_factor(pm_graph *graph, const corrupted *c, pm_tensor fixed)
{
    static const float one = 1.0f;
    float *quotients = malloc(((size_t)c->length + 1) * sizeof *quotients);
    if (!quotients) {
        pm_graph_fail(graph, PM_NO_MEMORY, "masked process: out of host memory");
        return PM_NONE;
    }
    for (uint32_t n = 0; n <= c->length; n++) quotients[n] = n ? (float)c->length / (float)n : 0.0f;
    pm_tensor zero_is_one = pm_constant(graph, "masked.free", PM_DTYPE_F32, PM_SHAPE(1, 1), &one);
    pm_tensor factor =
        pm_constant(graph, "masked.factor", PM_DTYPE_F32, PM_SHAPE(c->length + 1, 1), quotients);
    free(quotients);
    pm_tensor is_free = pm_embedding(graph, zero_is_one, fixed); /* an index beyond the table gives 0 */
    is_free = pm_reshape(graph, is_free, PM_SHAPE(c->batch, c->length));
    pm_tensor count = pm_sum_to(graph, is_free, PM_SHAPE(c->batch, 1));
    float scale = 1.0f / (float)(c->length + 1);
    pm_tensor place = pm_affine(graph, pm_reshape(graph, count, PM_SHAPE(c->batch)), scale, 0.5f * scale);
    pm_tensor row = pm_quantize(graph, place, c->length + 1);
    return pm_reshape(graph, pm_embedding(graph, factor, row), PM_SHAPE(c->batch));
}

/* Masking rates f32 [B] or counts u32 [B]; with them time and weight, f32 [B]. */
static pm_tensor draw_rates(pm_graph *graph, const pm_masked_config *config, const corrupted *c,
                            pm_tensor counter, pm_tensor *time, pm_tensor *weight)
{
    pm_masking masking = config->masking;
    pm_tensor rate = PM_NONE;
    *time = PM_NONE;
    if (config->objective == PM_MASKED_K) {
        return pm_mask_counts(graph, counter, STREAM_TIME, c->batch, c->length, masking.stratified, weight);
    }
    if (config->objective == PM_MASKED_LAMBDA) {
        masking.schedule = PM_MASKING_LINEAR;
        masking.eps = 0.0f;
    }
    if (config->objective == PM_MASKED_BERT) masking.schedule = PM_MASKING_FIXED;
    *time = pm_mask_times(graph, counter, STREAM_TIME, c->batch, masking, &rate, weight);
    if (config->objective == PM_MASKED_BERT) {
        *weight = pm_affine(graph, *weight, 0.0f, 1.0f / masking.power); /* a mean over masked tokens */
    }
    return rate;
}

static corrupted corrupt(pm_graph *graph, const pm_masked_config *config, const pm_denoiser *denoiser,
                         pm_tensor tokens, pm_tensor fixed, pm_tensor counter)
{
    pm_shape shape = pm_shape_of(graph, tokens);
    corrupted c = {.batch = shape.dim[0], .length = shape.dim[1]};
    pm_tensor weight = PM_NONE, time = PM_NONE, labels = PM_NONE;
    pm_tensor rate = draw_rates(graph, config, &c, counter, &time, &weight);
    c.tokens =
        pm_mask_tokens(graph, tokens, rate, denoiser->vocabulary, fixed, counter, STREAM_MASK, &labels);
    if (config->time_conditioned) c.time = time;
    if (config->per_free_token) weight = pm_mul(graph, weight, free_token_factor(graph, &c, fixed));
    uint32_t rows = c.batch * c.length;
    weight = pm_broadcast(graph, pm_reshape(graph, weight, PM_SHAPE(c.batch, 1)), shape);
    c.weight = pm_reshape(graph, weight, PM_SHAPE(rows));
    c.labels = pm_reshape(graph, labels, PM_SHAPE(rows));
    return c;
}

/* ---- Scores -------------------------------------------------------------------------------------------- */

static pm_tensor cross_entropy_of_logits(pm_graph *graph, const pm_denoiser *denoiser, const corrupted *c)
{
    pm_tensor logits = denoiser->logits(denoiser->user, graph, c->tokens, c->time);
    logits = pm_reshape(graph, logits, PM_SHAPE(c->batch * c->length, denoiser->vocabulary));
    return pm_cross_entropy(graph, logits, c->labels, c->weight);
}

pm_tensor pm_masked_loss(pm_graph *graph, const pm_masked_config *config, const pm_denoiser *denoiser,
                         pm_tensor tokens, pm_tensor fixed, pm_tensor counter)
{
    if (!check(graph, config, denoiser, tokens, fixed)) return PM_NONE;
    corrupted c = corrupt(graph, config, denoiser, tokens, fixed, counter);
    if (!denoiser->loss) return cross_entropy_of_logits(graph, denoiser, &c);
    return denoiser->loss(denoiser->user, graph, c.tokens, c.time, c.labels, c.weight);
}

pm_tensor pm_masked_bound(pm_graph *graph, const pm_masked_config *config, const pm_denoiser *denoiser,
                          pm_tensor tokens, pm_tensor fixed, pm_tensor counter)
{
    if (!check(graph, config, denoiser, tokens, fixed)) return PM_NONE;
    pm_masked_config own = *config;
    own.per_free_token = false;
    corrupted c = corrupt(graph, &own, denoiser, tokens, fixed, counter);
    pm_tensor loss = cross_entropy_of_logits(graph, denoiser, &c), rows = PM_NONE;
    pm_gradients(graph, loss, &c.weight, 1, &rows); /* of a weighted mean: each row's own loss, over B L */
    pm_tensor terms = pm_reshape(graph, pm_mul(graph, rows, c.weight), PM_SHAPE(c.batch, c.length));
    pm_tensor sums = pm_reshape(graph, pm_sum_to(graph, terms, PM_SHAPE(c.batch, 1)), PM_SHAPE(c.batch));
    return pm_affine(graph, sums, (float)c.batch * (float)c.length, 0.0f);
}
