/* The masked (absorbing) process: each token turns, on its own, into a mask at a random time and stays one;
 * a network that sees what is left says what was there (D3PM 2107.03006, MDLM 2406.07524, MD4 2406.04329,
 * RADD 2406.03736, LLaDA 2502.09992; with one fixed rate, BERT 1810.04805).
 *
 * Two properties that other implementations enforce on the network's output hold here by construction. The
 * network has logits for the V real tokens only, so that a mask has probability zero. And only masked
 * positions are ever scored (by labels) or written (by pm_reveal), so that a token that is there stays
 * ("carry-over"), whatever the network says of it.
 *
 * It is the only process on tokens in this build. There are no transition matrices (D3PM's uniform, Gaussian
 * and nearest-neighbour ones, and with them no index of a step to be off by one), no score network (SEDD), no
 * mixture of masks and other tokens (GIDD), and no clean copy beside the masked tokens (block diffusion). In
 * particular nothing here puts a prediction into a posterior, for which it would have to be the one that
 * leaves a token's own place out: a mask tells nothing of its token, so that both predictions are the same.
 */
#ifndef PM_PROCESSES_MASKED_H
#define PM_PROCESSES_MASKED_H

#include "pumice.h"

/* A network that fills in masks. */
typedef struct pm_denoiser {
    /* Logits f32 [B,L,V] over the real tokens, from tokens u32 [B,L], where V is the mask, and time f32 [B]
     * (PM_NONE: the network is not told). */
    pm_tensor (*logits)(void *user, pm_graph *graph, pm_tensor tokens, pm_tensor time);
    /* Optional, for a vocabulary so large that [B L,V] should never be stored: the mean over B L rows of
     * row_weight [B L] * -log softmax(logits)[labels u32 [B L]], as pm_cross_entropy gives it (see
     * pm_head_loss). NULL: pm_cross_entropy of the logits. */
    pm_tensor (*loss)(void *user, pm_graph *graph, pm_tensor tokens, pm_tensor time, pm_tensor labels,
                      pm_tensor row_weight);
    void *user;
    uint32_t vocabulary; /* V: the real tokens are 0 .. V-1, the mask is token V */
} pm_denoiser;

typedef enum pm_masked_objective {
    /* t uniform, weight -alpha'/(1-alpha): the bound in continuous time (2406.07524 eq. 10, 2406.04329
     * eq. 4). */
    PM_MASKED_T,
    /* The masking rate itself uniform, weight 1/rate (RADD's lambda-DCE; LLaDA's loss). The same as T under
     * the linear schedule with eps 0. */
    PM_MASKED_LAMBDA,
    /* The number k of masks uniform on 1 .. L, weight L/k: any-order autoregression (RADD's k-DCE), the
     * estimator of least variance, and without a cut at t_min. */
    PM_MASKED_K,
    /* One rate, masking.power; the mean loss of a masked token. Not a bound of anything (BERT). */
    PM_MASKED_BERT,
} pm_masked_objective;

typedef struct pm_masked_config {
    pm_masked_objective objective;
    pm_masking masking;    /* of PM_MASKED_T whole; of the others t_min, stratified and (BERT) power */
    bool time_conditioned; /* tell the network t (PM_MASKED_T) or the rate (PM_MASKED_LAMBDA) */
    /* Divide a sample's loss by the number of its tokens that are not fixed, instead of by L (the loss of
     * supervised fine-tuning in 2502.09992). `fixed` must then not be all of a row. */
    bool per_free_token;
} pm_masked_config;

/* From names: "t", "lambda", "k" or "bert"; and "linear", "cosine" or "polynomial". The rest gets the values
 * that the papers train with: eps 1e-3 (linear) or 1e-4, power 2 (a quadratic schedule; of BERT: 0.15), t_min
 * 1e-3, stratified times. Fails with PM_BAD_USAGE for other names. */
pm_status pm_masked_config_from_names(const char *objective, const char *schedule, pm_masked_config *out,
                                      pm_error *error);

/* Training: masks tokens u32 [B,L] for the counter's step and sample numbers, and returns the loss, [1], in
 * nats a token: an estimate of the bound on -log p(tokens) / L, but for BERT. `fixed` u32 [B,L] or PM_NONE:
 * where it is not 0, the token is given (a prompt): never masked, never scored.
 *
 * How far from a bound it is, with a perfect network: T and LAMBDA leave out the times below t_min, and so
 * t_min times the loss of a token whose neighbours are all known; an eps leaves out rates above 1 - eps (eps
 * times the loss of a token of which nothing is known) and, but for the linear schedule, those below eps.
 *
 * PM_MASKED_K with `fixed`, and with a time, is refused: k is drawn from 1 .. L, not from the free ones. */
pm_tensor pm_masked_loss(pm_graph *graph, const pm_masked_config *config, const pm_denoiser *denoiser,
                         pm_tensor tokens, pm_tensor fixed, pm_tensor counter);

/* Evaluation: the same estimate for each sample by itself, f32 [B], in nats a sequence; the interval of their
 * mean follows from their spread if times are not stratified, and from the means of batches if they are. Made
 * from the logits: denoiser->loss is not used. */
pm_tensor pm_masked_bound(pm_graph *graph, const pm_masked_config *config, const pm_denoiser *denoiser,
                          pm_tensor tokens, pm_tensor fixed, pm_tensor counter);

#endif
