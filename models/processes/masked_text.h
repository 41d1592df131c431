/* The masked process with a transformer as its denoiser. */
#ifndef PM_PROCESSES_MASKED_TEXT_H
#define PM_PROCESSES_MASKED_TEXT_H

#include "networks/transformer.h"
#include "processes/masked.h"

/* What the denoiser's functions read; must live as long as graphs are built with it. */
typedef struct pm_text_denoiser {
    const pm_transformer_config *config;
    pm_tensor counter; /* switches dropout on; PM_NONE: off */
    /* Canvases shorter than this are continued with masks, which the network sees and nobody fills: it was
     * trained on windows of one length and knows shorter texts only as the known part of such. 0: no. */
    uint32_t pad_to;
} pm_text_denoiser;

/* A denoiser that is the transformer of `text`, with its head fused into the loss where that saves memory. */
pm_denoiser pm_denoiser_of(pm_text_denoiser *text);

#endif
