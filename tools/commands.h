/* The verbs, one in each cmd_*.c. */
#ifndef PM_TOOLS_COMMANDS_H
#define PM_TOOLS_COMMANDS_H

#include "options.h"

extern const cli_verb cli_devices, cli_check, cli_train, cli_sample, cli_eval, cli_bench, cli_inspect,
    cli_systems, cli_recipes, cli_completion, cli_manual;

#endif
