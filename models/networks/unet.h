/* The U-Net of DDPM (Ho, Jain & Abbeel 2020, 2006.11239, appendix B): residual blocks with group
 * normalisation and a timestep embedding, self-attention at some resolutions, skip connections, and
 * optionally a class embedding whose last row is the null class of classifier-free guidance. */
#ifndef PM_NETWORKS_UNET_H
#define PM_NETWORKS_UNET_H

#include "pumice.h"

#define PM_UNET_LEVELS 6

typedef struct pm_unet_config {
    uint32_t height, width, channels; /* of the images */
    uint32_t base;                    /* channels of the first level */
    uint32_t levels;
    uint32_t multipliers[PM_UNET_LEVELS]; /* of base, per level */
    uint32_t blocks; /* residual blocks a level on the way down; one more on the way up */
    uint32_t n_attention;
    uint32_t
        attention[PM_UNET_LEVELS]; /* heights at which blocks end with self-attention, as the middle's do */
    uint32_t heads;
    uint32_t groups;    /* of the normalisation */
    float dropout;      /* inside residual blocks, while training */
    uint32_t classes;   /* 0: unconditional; else labels 0 .. classes-1, and `classes` is the null class */
    uint32_t timesteps; /* of the process: rows of the sinusoidal table */
} pm_unet_config;

/* Appends the network: x [B,H,W,C], timestep u32 [B], label u32 [B] (PM_NONE when unconditional) ->
 * prediction [B,H,W,C]. The last convolution and the last of every branch start at zero. `counter` switches
 * dropout on (PM_NONE: off, as for sampling). A configuration that does not fit puts the graph in its error
 * state. */
pm_tensor pm_unet(pm_graph *graph, const pm_unet_config *config, pm_tensor x, pm_tensor timestep,
                  pm_tensor label, pm_tensor counter);

#endif
