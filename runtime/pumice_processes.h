/* The operators that data and processes are made of: randomness, batches, masks, drawing tokens, diffusion.
 * What pumice_operators.h says of all operators holds here, too. Part of pumice.h. */
#ifndef PUMICE_PROCESSES_H
#define PUMICE_PROCESSES_H

#include <stdbool.h>
#include <stdint.h>

#include "pumice_graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* - randomness (ops/random.c). All of it is Philox4x32-10 with key (seed) and counter (element, step, sample,
 * stream): what a sample gets depends on its number and not on its place in a batch. */

/* The counter of a run: u32 [4] = step, first sample of the batch, seed (low word), seed (high word). */
pm_tensor pm_counter(pm_graph *graph);
/* step += 1, as the last thing of a run: what is emitted after it sees the next step. */
void pm_advance(pm_graph *graph, pm_tensor counter);
/* state = x, both u32 and of as many elements: what a run leaves for the next one (ops/assign.c). */
void pm_assign(pm_graph *graph, pm_tensor state, pm_tensor x);

/* u32 [count], all of them table[min(step, S-1)] for table u32 [S]: what a schedule says of the counter's
 * step. */
pm_tensor pm_at_step(pm_graph *graph, pm_tensor table, pm_tensor counter, uint32_t count);
/* u32 of x's shape: min(floor(x levels), levels - 1), and 0 for x <= 0: the row of a time in [0,1] in a table
 * of so many rows (ops/quantize.c). Not differentiable. */
pm_tensor pm_quantize(pm_graph *graph, pm_tensor x, uint32_t levels);

/* Standard normals and uniforms on [0,1) of a shape [B,...]: axis 0 counts samples. Not differentiable. */
pm_tensor pm_normal(pm_graph *graph, pm_tensor counter, uint32_t stream, pm_shape shape);
pm_tensor pm_uniform(pm_graph *graph, pm_tensor counter, uint32_t stream, pm_shape shape);
/* u32 [count], uniform below n. */
pm_tensor pm_random_index(pm_graph *graph, pm_tensor counter, uint32_t stream, uint32_t count, uint32_t n);
/* u32 [B]: an index drawn from softmax(logits [B,V]), by inversion of the running sum in order. Not
 * differentiable. */
pm_tensor pm_categorical(pm_graph *graph, pm_tensor logits, pm_tensor counter, uint32_t stream);
/* Zeroes each element of x [B,...] with probability p < 1 and divides the rest by 1 - p. The mask is
 * regenerated in the backward pass, never stored (ops/dropout.c). */
pm_tensor pm_dropout(pm_graph *graph, pm_tensor x, float p, pm_tensor counter, uint32_t stream);
/* Labels u32 [B], each replaced by null_label with probability p: the condition dropout of classifier-free
 * guidance. */
pm_tensor pm_drop_labels(pm_graph *graph, pm_tensor labels, float p, uint32_t null_label, pm_tensor counter,
                         uint32_t stream);

/* - tokens: batches of text and masks (ops/tokens.c, ops/mask_times.c, ops/mask_tokens.c). Each use of
 * randomness wants its own stream: with one stream for times and masks the two would be related. */

/* Windows of a text for the counter's step: corpus u32 [N] -> u32 [B,L], window i beginning anywhere in 0 ..
 * N-L with equal probability, drawn for sample counter[1] + i. */
pm_tensor pm_batch_tokens(pm_graph *graph, pm_tensor corpus, pm_tensor counter, uint32_t stream,
                          uint32_t batch, uint32_t length);

/* alpha(t), the probability that a token is still there at time t in [0,1], for masking in continuous time
 * (2406.07524, 2406.04329). */
typedef enum pm_mask_schedule {
    PM_MASKING_LINEAR,     /* 1 - (1-eps) t: "log-linear" */
    PM_MASKING_COSINE,     /* (1-2 eps) (1 - cos(pi/2 (1-t))) + eps: MD4's */
    PM_MASKING_POLYNOMIAL, /* (1-2 eps) (1 - t^power) + eps */
    PM_MASKING_FIXED,      /* 1 - power at all times, with weight 1: BERT's rate, which is no bound */
} pm_mask_schedule;

typedef struct pm_masking {
    pm_mask_schedule schedule;
    float eps, power;
    float t_min;     /* times are drawn from [t_min, 1], and are at least 2^-24: none is 0 */
    bool stratified; /* the times of a batch of B are (u + i/B) mod 1, with one u for all, drawn for the first
                      * sample: evenly spread. Alone of all that is random here, this depends on a sample's
                      * place i in its batch; two batches of one step are each spread by themselves. */
} pm_masking;

/* For the counter's step: times f32 [B] and with them *rate [B] = 1 - alpha(t), the probability of a mask,
 * and *weight [B] = -alpha'(t) / (1 - alpha(t)) (1 - t_min), the weight of the cross-entropy in the bound
 * (2406.04329 eq. 4; with alpha linear it is (1 - t_min) / t, whatever eps). Each may be NULL. All are
 * finite: a weight is at most 1/t (POLYNOMIAL: power / t). With eps > 0 the bound of COSINE and POLYNOMIAL
 * wants the term at t = 0 too, the eps L masked tokens that are left; with t_min > 0 what lies below t_min is
 * left out. eps is 0 or at least 2^-40, power within 1/64 .. 64. Not differentiable. */
pm_tensor pm_mask_times(pm_graph *graph, pm_tensor counter, uint32_t stream, uint32_t batch,
                        pm_masking masking, pm_tensor *rate, pm_tensor *weight);
/* u32 [B]: how many of L tokens to mask, k uniform on 1 .. L; stratified k = 1 + floor(((u + i/B) mod 1) L),
 * with u and i as above. *weight f32 [B] = L/k (RADD's k-DCE, 2406.03736), or NULL. */
pm_tensor pm_mask_counts(pm_graph *graph, pm_tensor counter, uint32_t stream, uint32_t batch, uint32_t length,
                         bool stratified, pm_tensor *weight);

/* Masks tokens u32 [B,L]: each with probability rate f32 [B] (in units of 2^-32); or, with rate u32 [B],
 * exactly so many of each row, all subsets alike (all where there are fewer). `fixed` u32 [B,L] or PM_NONE:
 * where it is not 0 nothing is masked. -> [B,L] with mask_token where masked; *labels u32 [B,L] = the token
 * where it was masked, else 0xffffffff, which losses ignore; may be NULL. Token e of row i draws element e of
 * sample counter[1] + i. Not differentiable. */
pm_tensor pm_mask_tokens(pm_graph *graph, pm_tensor tokens, pm_tensor rate, uint32_t mask_token,
                         pm_tensor fixed, pm_tensor counter, uint32_t stream, pm_tensor *labels);

/* u32 [B]: sum over i of tokens[b,i] base^i, modulo 2^32, for tokens u32 [B,L]; with base^L < 2^31. With
 * pm_embedding it makes a table of a network: a denoiser that is known exactly. */
pm_tensor pm_digits(pm_graph *graph, pm_tensor tokens, uint32_t base);

/* - tokens: drawing (ops/draw_tokens.c, ops/reveal.c) */

/* What says how sure a row is of the token that it drew; all after temperature and cuts, higher is surer. */
typedef enum pm_confidence {
    PM_CONFIDENCE_DRAWN,   /* the probability of the token that was drawn (LLaDA, MaskGIT) */
    PM_CONFIDENCE_MAX,     /* the highest probability */
    PM_CONFIDENCE_MARGIN,  /* highest minus second highest */
    PM_CONFIDENCE_ENTROPY, /* sum of p log p: minus the entropy (Dream) */
    PM_CONFIDENCE_RANDOM,  /* a uniform number */
} pm_confidence;

typedef struct pm_draw_args {
    float temperature; /* divides logits; 0: the most probable token, the lowest index of equals */
    uint32_t top_k;    /* the k most probable, and whatever equals the last of them; 0: all */
    float top_p;       /* the fewest most probable that have at least this mass, and whatever equals the last
                        * of them (1904.09751); 0 or 1: all */
    float min_p;       /* those of at least min_p times the highest probability; 0: all */
    float repetition;  /* divides positive logits, multiplies negative ones, of tokens in `seen` (1909.05858);
                        * 0 or 1: none */
    pm_confidence confidence;
    uint32_t rows_per_sample; /* rows R are samples x this many; 0: 1 */
} pm_draw_args;

/* u32 [R]: a token of each row of logits [R,V], V up to 2^18, drawn from the softmax by inversion: a uniform
 * number of 32 bits against exact running sums, so that a token of probability p is drawn with p to within
 * 2^-32 (a race of f32 exponentials or Gumbel noise would starve tokens below 1e-6); weights below 2^-40 of
 * the highest count as 0. Cuts are made in the order k, p (of the mass that k left), min-p; what has the same
 * logit as the last one kept is kept. seen u32 [R/rows_per_sample, V] (nonzero: seen before) or PM_NONE.
 * *confidence f32 [R] may be NULL; with temperature 0 it is that of temperature 1. Row r draws for sample
 * counter[1] + r / rows_per_sample, element r % rows_per_sample. Fails unless temperature is 0 or in [1e-6,
 * 1e6], top_p and min_p are in [0,1], repetition is 0 or in [1e-3, 1e3]. Not differentiable. */
pm_tensor pm_draw_tokens(pm_graph *graph, pm_tensor logits, pm_tensor seen, pm_tensor counter,
                         uint32_t stream, pm_draw_args args, pm_tensor *confidence);

typedef enum pm_reveal_mode {
    PM_REVEAL_COUNT,     /* the surest masked positions, amount u32 [S,B] of them */
    PM_REVEAL_THRESHOLD, /* those of confidence >= threshold, and at least amount u32 [S,B] */
    PM_REVEAL_RATE,      /* each masked position by itself with probability amount f32 [S,B] */
} pm_reveal_mode;

typedef struct pm_reveal_args {
    pm_reveal_mode mode;
    uint32_t mask_token;
    float threshold;
    /* > 0: instead of the surest, positions drawn one after another with probability proportional to
     * exp(confidence / position_temperature) (Dream's alg_temp), by a Gumbel race of 32-bit uniforms. */
    float position_temperature;
} pm_reveal_args;

/* Writes tokens u32 [B,L] into canvas u32 [B,L], a pm_state with L up to 32768, in place, where it holds
 * mask_token, at the positions that the mode chooses among window [begin,end) of row min(step,S-1) of window
 * u32 [S,2] (PM_NONE: all positions), by row min(step,S-1) of amount; confidence f32 [B,L] (PM_REVEAL_RATE
 * needs none); of equals the lowest position comes first, and all are revealed where fewer are masked than
 * asked for. Chance: position i of row b draws for sample counter[1] + b, element i (with PM_REVEAL_RATE as
 * pm_happens_at of base/philox.h says, so that a host can know beforehand). Returns the canvas as it is from
 * then on. Fails unless position_temperature is 0 or in [1e-6, 1e6]. Not differentiable. */
pm_tensor pm_reveal(pm_graph *graph, pm_tensor canvas, pm_tensor tokens, pm_tensor confidence,
                    pm_tensor amount, pm_tensor window, pm_tensor counter, uint32_t stream,
                    pm_reveal_args args);

/* seen u32 [B,V], a pm_state: marks tokens u32 [B] with 1, in place; a token >= V marks nothing. Returns it
 * as it is from then on. */
pm_tensor pm_mark_seen(pm_graph *graph, pm_tensor seen, pm_tensor tokens);

/* - diffusion (ops/diffusion.c) */

/* Sinusoidal timestep embedding table, row t: [sin | cos] of t / 10000^(i/(D/2 - 1)) for t = 0 .. T-1; [T,D]
 * (DDPM's form). */
pm_tensor pm_timestep_table(pm_graph *graph, const char *name, uint32_t timesteps, uint32_t width);
/* table[t,0] a + table[t,1] b per sample: q_sample (2006.11239 eq. 4) with a = x0, b = noise; the v target
 * (2202.00512) with its own table. a, b [B,...], t u32 [B], table [T,2]; a t >= T gives zeros. Differentiable
 * in a and b. */
pm_tensor pm_corrupt(pm_graph *graph, pm_tensor a, pm_tensor b, pm_tensor t, pm_tensor table);

/* Columns c of the step table of pm_denoise_step. From x, the prediction and noise z:
 *   x0     = c[X0_X] x + c[X0_PRED] prediction, then clipped to [-clip, clip]
 *   eps    = c[NOISE_X] x + c[NOISE_X0] x0
 *   next x = c[OUT_X0] x0 + c[OUT_NOISE] eps + c[OUT_X] x + c[OUT_Z] z */
typedef enum pm_step_column {
    PM_STEP_X0_X,
    PM_STEP_X0_PRED,
    PM_STEP_NOISE_X,
    PM_STEP_NOISE_X0,
    PM_STEP_OUT_X0,
    PM_STEP_OUT_NOISE,
    PM_STEP_OUT_X,
    PM_STEP_OUT_Z,
    PM_STEP_COLUMNS
} pm_step_column;

/* One reverse step on x [B,...], a pm_state, in place: DDPM (2006.11239 alg. 2) and DDIM (2010.02502 eq. 12)
 * by the row of table [S,PM_STEP_COLUMNS] that is the counter's step; steps beyond the table use its last
 * row. prediction and noise have x's shape; noise PM_NONE counts as zero. Returns the x0 estimate, after
 * clipping (clip 0: none). Not differentiable. */
pm_tensor pm_denoise_step(pm_graph *graph, pm_tensor x, pm_tensor prediction, pm_tensor noise,
                          pm_tensor counter, pm_tensor table, float clip);
/* Classifier-free guidance (2207.12598): u + w (c - u), [B,...], for prediction [2B,...] = conditional rows
 * c, then unconditional ones u, and weight w [1]. Where w is 1 the result is c itself, bit for bit. */
pm_tensor pm_guide(pm_graph *graph, pm_tensor prediction, pm_tensor weight);
/* u32 [n] -> [2n]: the labels, then null_label n times; and x [B,...] -> [2B,...] twice the same: the doubled
 * batch. */
pm_tensor pm_guide_labels(pm_graph *graph, pm_tensor labels, uint32_t null_label);
pm_tensor pm_repeat_batch(pm_graph *graph, pm_tensor x);

/* - data (ops/batch.c) */

/* A batch of images for the counter's step: images number step*B + counter[1] + i, i < B, of a sequence that
 * goes through a fresh pseudo-random permutation of the N images each epoch, and begins again after 2^32.
 * pixels u8 [N,H,W,C] -> [B,H,W,C] in [-1,1] (value/127.5 - 1), optionally mirrored left-right with
 * probability 1/2; *labels u32 [B] from all_labels u32 [N]. Not differentiable. */
pm_tensor pm_batch_images(pm_graph *graph, pm_tensor pixels, pm_tensor all_labels, pm_tensor counter,
                          uint32_t batch, bool mirror, pm_tensor *labels);

#ifdef __cplusplus
}
#endif
#endif
