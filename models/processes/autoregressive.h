/* The autoregressive process: text is destroyed by cutting off its last token, and made by adding one. A text
 * of L tokens begins with the token V, which is none of the V real ones; so a window is modelled whole, from
 * its first token on, and the loss is exact: the chain rule. */
#ifndef PM_PROCESSES_AUTOREGRESSIVE_H
#define PM_PROCESSES_AUTOREGRESSIVE_H

#include "networks/transformer.h"

/* What the network reads to predict tokens u32 [B,L]: token V, then all tokens but the last. */
pm_tensor pm_autoregressive_inputs(pm_graph *graph, const pm_transformer_config *config, pm_tensor tokens);

/* [1], nats a token: the mean of -log p(x_i | x_<i) over windows u32 [B,L]. `counter` switches dropout on
 * (PM_NONE: off). */
pm_tensor pm_autoregressive_loss(pm_graph *graph, const pm_transformer_config *config, pm_tensor tokens,
                                 pm_tensor counter);

#endif
