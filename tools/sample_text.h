/* `pumice sample` for models of text. */
#ifndef PM_TOOLS_SAMPLE_TEXT_H
#define PM_TOOLS_SAMPLE_TEXT_H

#include "cli.h"

typedef struct cli_text_args {
    pm_text_options options;
    bool show;          /* redraw the canvas while a masked model fills it */
    const char *output; /* a file for the texts, or NULL */
} cli_text_args;

/* Draws texts and prints them: as they come when there is one from left to right, else one after the other,
 * with a line "--- NUMBER" before each of several. */
pm_status cli_sample_text(pm_device *device, const pm_model *model, const cli_text_args *args,
                          pm_error *error);

#endif
