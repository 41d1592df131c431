/* `pumice eval` for models of text. */
#ifndef PM_TOOLS_EVAL_TEXT_H
#define PM_TOOLS_EVAL_TEXT_H

#include "cli.h"
#include "training/score_text.h"

typedef struct cli_eval_text_args {
    const char
        *data; /* another text, of which then all is scored; NULL: the validation part of the model's */
    pm_score_options score;
    bool markdown;
} cli_eval_text_args;

/* Bits a character of the validation text by the model, and by general compressors. */
pm_status cli_eval_text(pm_device *device, const pm_model *model, const cli_eval_text_args *args,
                        pm_error *error);

#endif
