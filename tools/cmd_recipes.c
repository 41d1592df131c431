/* `pumice recipes`: what can be trained by name, one of them in full, and every key that `--set` takes. */
#include "cli.h"
#include "commands.h"

#include <stdio.h>
#include <stdlib.h>

static struct {
    bool keys;
} args;

static const cli_option options[] = {
    {.name = "keys",
     .type = CLI_FLAG,
     .value = &args.keys,
     .help = "every key of a recipe: meaning, values, default"},
};

static pm_status list_all(pm_error *error)
{
    json_t *list = json_array();
    for (const char *const *name = pm_recipe_names(); *name; name++) {
        pm_recipe recipe;
        pm_status status = pm_recipe_load(*name, &recipe, error);
        if (status != PM_OK) {
            json_decref(list);
            return status;
        }
        if (!cli.json) printf("%-20s %s\n", *name, recipe.description);
        (void)json_array_append_new(
            list, json_pack("{s:s, s:s}", "name", *name, "description", recipe.description));
    }
    cli_result(json_pack("{s:o}", "recipes", list));
    return PM_OK;
}

static pm_status run(uint32_t count, const char *const *arguments, pm_error *error)
{
    if (args.keys) {
        pm_recipe_describe(cli_print_line, NULL);
        return PM_OK;
    }
    if (count == 0) return list_all(error);
    pm_recipe recipe;
    pm_status status = pm_recipe_load(arguments[0], &recipe, error);
    if (status != PM_OK) return status;
    char *text = pm_recipe_json(&recipe);
    if (!text) return pm_fail(error, PM_NO_MEMORY, "%s: out of host memory", arguments[0]);
    puts(text);
    free(text);
    return PM_OK;
}

const cli_verb cli_recipes = {
    .name = "recipes",
    .summary = "list the recipes that `pumice train` knows by name, or print one in full",
    .arguments = "[RECIPE]",
    .most = 1,
    .about = "A recipe is a JSON text: data, network, process and training of one model. What is\n"
             "printed can be saved, changed, and given to `pumice train` as a file.\n",
    .examples = "  pumice recipes\n      the names\n"
                "  pumice recipes fashion-tiny > mine.json\n      a beginning for one of your own\n"
                "  pumice recipes --keys\n      what each key means\n",
    CLI_OPTIONS(options),
    .words = pm_recipe_names,
    .run = run,
};
