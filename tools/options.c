/* Reading a command line by the tables of options.h, and help from the same tables. */
#include "options.h"

#include "base/words.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Numbers ------------------------------------------------------------------------------------------- */

bool cli_parse_natural(const char *text, uint64_t *out)
{
    char *end;
    if (*text < '0' || *text > '9') return false;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno || *end) return false;
    *out = value;
    return true;
}

bool cli_parse_real(const char *text, double *out)
{
    /* strtod would also take spaces, "nan", "inf" and hexadecimal. */
    char *end;
    if (!*text || strspn(text, "+-.0123456789eE") != strlen(text)) return false;
    double value = strtod(text, &end);
    if (*end || !isfinite(value)) return false;
    *out = value;
    return true;
}

/* ---- Values -------------------------------------------------------------------------------------------- */

static pm_status wrong(const char *from, const char *wants, const char *text, pm_error *error)
{
    return pm_fail(error, PM_BAD_USAGE, "%s must be %s, not \"%.60s\"", from, wants, text);
}

static pm_status store_count(const cli_option *option, const char *from, const char *text, pm_error *error)
{
    uint64_t value;
    char wants[80];
    if (!cli_parse_natural(text, &value) || (double)value < option->low || (double)value > option->high) {
        (void)snprintf(wants, sizeof wants, "a whole number from %.0f to %.0f", option->low, option->high);
        return wrong(from, wants, text, error);
    }
    *(uint32_t *)option->value = (uint32_t)value;
    return PM_OK;
}

static pm_status parse_in_range(const cli_option *option, const char *from, const char *text, double *out,
                                pm_error *error)
{
    char wants[80];
    if (cli_parse_real(text, out) && *out >= option->low && *out <= option->high) return PM_OK;
    (void)snprintf(wants, sizeof wants, "a number from %g to %g", option->low, option->high);
    return wrong(from, wants, text, error);
}

static pm_status store_reals(const cli_option *option, const char *from, const char *text, pm_error *error)
{
    cli_reals *reals = option->value;
    reals->count = 0;
    for (const char *at = text;; at++) {
        char one[40];
        size_t length = strcspn(at, ",");
        if (reals->count == CLI_MOST_REALS) {
            return pm_fail(error, PM_BAD_USAGE, "%s takes at most %d numbers", from, CLI_MOST_REALS);
        }
        (void)snprintf(one, sizeof one, "%.*s", (int)(length < 39 ? length : 39), at);
        pm_status status = parse_in_range(option, from, one, &reals->items[reals->count++], error);
        if (status != PM_OK) return status;
        at += length;
        if (!*at) return PM_OK;
    }
}

static pm_status store_choice(const cli_option *option, const char *from, const char *text, pm_error *error)
{
    char list[200] = "one of";
    for (uint32_t i = 0; option->choices[i]; i++) {
        if (strcmp(option->choices[i], text) == 0) {
            *(const char **)option->value = option->choices[i];
            return PM_OK;
        }
        size_t used = strlen(list);
        (void)snprintf(list + used, sizeof list - used, "%s %s", i ? "," : "", option->choices[i]);
    }
    return wrong(from, list, text, error);
}

/* `from` begins messages: the option as it was written, or a variable's name. */
static pm_status store(const cli_option *option, const char *from, const char *text, pm_error *error)
{
    switch (option->type) {
    case CLI_FLAG:
        *(bool *)option->value = true;
        return PM_OK;
    case CLI_TEXT:
        if (!*text) return pm_fail(error, PM_BAD_USAGE, "%s must not be empty", from);
        *(const char **)option->value = text;
        return PM_OK;
    case CLI_CHOICE:
        return store_choice(option, from, text, error);
    case CLI_COUNT:
        return store_count(option, from, text, error);
    case CLI_SEED:
        if (cli_parse_natural(text, (uint64_t *)option->value)) return PM_OK;
        return wrong(from, "a whole number from 0 to 18446744073709551615", text, error);
    case CLI_REAL:
        return parse_in_range(option, from, text, option->value, error);
    case CLI_REALS:
        return store_reals(option, from, text, error);
    case CLI_PARSED:
        return option->parse(from, text, option->value, error);
    case CLI_TEXTS:
        break;
    }
    cli_texts *texts = option->value;
    if (texts->count == CLI_MOST_TEXTS) {
        return pm_fail(error, PM_BAD_USAGE, "%s may be given at most %d times", from, CLI_MOST_TEXTS);
    }
    texts->items[texts->count++] = text;
    return PM_OK;
}

/* What holds when the line says nothing: the default, or what the environment says. A flag's variable counts
 * unless it is empty or "0". */
static pm_status store_defaults(const cli_option *options, uint32_t count, pm_error *error)
{
    for (uint32_t i = 0; i < count; i++) {
        const cli_option *option = &options[i];
        const char *text = option->environment ? getenv(option->environment) : NULL;
        pm_status status = PM_OK;
        if (option->fallback) status = store(option, option->name, option->fallback, error);
        if (status == PM_OK && text && *text && !(option->type == CLI_FLAG && strcmp(text, "0") == 0)) {
            status = store(option, option->environment, text, error);
            if (option->given) *option->given = true;
        }
        if (status != PM_OK) return status;
    }
    return PM_OK;
}

/* ---- The line ------------------------------------------------------------------------------------------ */

typedef struct reader {
    int argc, at;
    char **argv;
    const char **room;
    cli_line *line;
    pm_error *error;
} reader;

static pm_status unknown_verb(const char *word, pm_error *error)
{
    pm_nearest nearest = {.word = word};
    for (const cli_verb *const *verb = cli_verbs; *verb; verb++) pm_nearest_try(&nearest, (*verb)->name);
    return pm_fail(error, PM_BAD_USAGE, "no verb \"%.60s\"; did you mean %s? `pumice --help` lists them",
                   word, nearest.best);
}

static bool name_is(const cli_option *option, const char *name, size_t length)
{
    return strlen(option->name) == length && strncmp(option->name, name, length) == 0;
}

/* The option by its name, or by its letter when `length` is 0: the verb's first, then everybody's. */
static const cli_option *find_option(const cli_verb *verb, const char *name, size_t length)
{
    for (uint32_t i = 0; verb && i < verb->n_options; i++) {
        const cli_option *option = &verb->options[i];
        if (length ? name_is(option, name, length) : option->letter == *name) return option;
    }
    for (uint32_t i = 0; i < cli_n_global_options; i++) {
        const cli_option *option = &cli_global_options[i];
        if (length ? name_is(option, name, length) : option->letter == *name) return option;
    }
    return NULL;
}

static pm_status unknown_option(const reader *r, const char *word)
{
    const cli_verb *verb = r->line->verb;
    char plain[64];
    size_t length = strcspn(word, "=");
    (void)snprintf(plain, sizeof plain, "%.*s", (int)(length < 63 ? length : 63), word);
    pm_nearest nearest = {.word = plain + strspn(plain, "-")};
    for (uint32_t i = 0; verb && i < verb->n_options; i++) pm_nearest_try(&nearest, verb->options[i].name);
    for (uint32_t i = 0; i < cli_n_global_options; i++) pm_nearest_try(&nearest, cli_global_options[i].name);
    const char *space = verb ? " " : "", *name = verb ? verb->name : "";
    if (!verb) {
        return pm_fail(r->error, PM_BAD_USAGE,
                       "unknown option %s before the verb; did you mean --%s? A verb's own options follow it",
                       plain, nearest.best);
    }
    if (!pm_nearest_likely(&nearest)) {
        return pm_fail(r->error, PM_BAD_USAGE, "unknown option %s; `pumice%s%s --help` lists what there is",
                       plain, space, name);
    }
    return pm_fail(r->error, PM_BAD_USAGE,
                   "unknown option %s; did you mean --%s? `pumice%s%s --help` lists them all", plain,
                   nearest.best, space, name);
}

/* One option: "--name VALUE", "--name=VALUE", "-n VALUE" or "-nVALUE". */
static pm_status read_option(reader *r, const char *word)
{
    bool is_long = word[1] == '-';
    const char *name = word + (is_long ? 2 : 1), *inline_value = NULL;
    size_t length = is_long ? strcspn(name, "=") : 0;
    const cli_option *option = is_long && length == 0 ? NULL : find_option(r->line->verb, name, length);
    if (!option) return unknown_option(r, word);
    char from[80];
    if (is_long) {
        (void)snprintf(from, sizeof from, "--%s", option->name);
    } else {
        (void)snprintf(from, sizeof from, "-%c", option->letter);
    }
    if (is_long && name[length] == '=') inline_value = name + length + 1;
    if (!is_long && name[1]) inline_value = name + 1;
    if (option->given) *option->given = true;
    if (option->type == CLI_FLAG) {
        if (inline_value) return pm_fail(r->error, PM_BAD_USAGE, "%s takes no argument", from);
        return store(option, from, "", r->error);
    }
    if (!inline_value && r->at == r->argc) {
        return pm_fail(r->error, PM_BAD_USAGE, "%s needs an argument: %s", from, option->argument);
    }
    return store(option, from, inline_value ? inline_value : r->argv[r->at++], r->error);
}

static pm_status read_argument(reader *r, const char *word)
{
    cli_line *line = r->line;
    if (line->verb) {
        r->room[line->n_arguments++] = word;
        return PM_OK;
    }
    for (const cli_verb *const *verb = cli_verbs; *verb; verb++) {
        if (strcmp((*verb)->name, word) == 0) line->verb = *verb;
    }
    if (!line->verb) return unknown_verb(word, r->error);
    return store_defaults(line->verb->options, line->verb->n_options, r->error);
}

static pm_status check_arguments(const cli_line *line, pm_error *error)
{
    const cli_verb *verb = line->verb;
    if (!verb || line->help || line->version) return PM_OK;
    if (line->n_arguments < verb->least) {
        return pm_fail(error, PM_BAD_USAGE, "pumice %s needs %s; `pumice %s --help` says more", verb->name,
                       verb->arguments, verb->name);
    }
    if (line->n_arguments > verb->most) {
        return pm_fail(error, PM_BAD_USAGE, "unexpected argument \"%.60s\": pumice %s takes %s",
                       line->arguments[verb->most], verb->name, *verb->arguments ? verb->arguments : "none");
    }
    return PM_OK;
}

pm_status cli_parse(int argc, char **argv, const char **room, cli_line *out, pm_error *error)
{
    *out = (cli_line){.arguments = room};
    reader r = {.argc = argc, .at = 1, .argv = argv, .room = room, .line = out, .error = error};
    pm_status status = store_defaults(cli_global_options, cli_n_global_options, error);
    bool only_arguments = false;
    while (status == PM_OK && r.at < argc) {
        const char *word = argv[r.at++];
        if (only_arguments || word[0] != '-' || !word[1]) {
            status = read_argument(&r, word);
        } else if (strcmp(word, "--") == 0) {
            only_arguments = true;
        } else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            out->help = true;
        } else if (strcmp(word, "--version") == 0) {
            out->version = true;
        } else {
            status = read_option(&r, word);
        }
    }
    return status == PM_OK ? check_arguments(out, error) : status;
}

/* ---- Help ---------------------------------------------------------------------------------------------- */

const char *cli_option_form(const cli_option *option, char *buffer, size_t size)
{
    char letter[8] = "";
    if (option->letter) (void)snprintf(letter, sizeof letter, "-%c, ", option->letter);
    (void)snprintf(buffer, size, "%s--%s%s%s", letter, option->name, option->argument ? " " : "",
                   option->argument ? option->argument : "");
    return buffer;
}

enum { HELP_COLUMN = 26, HELP_WIDTH = 100 };

/* Prints words with line breaks, from column HELP_COLUMN on; *column is where the line stands. */
static void print_words(const char *text, int *column)
{
    while (*text) {
        int length = (int)strcspn(text, " ");
        if (*column + 1 + length > HELP_WIDTH) {
            printf("\n%*s", HELP_COLUMN, "");
            *column = HELP_COLUMN;
        }
        *column += printf("%s%.*s", *column > HELP_COLUMN ? " " : "", length, text);
        text += length;
        text += strspn(text, " ");
    }
}

static void print_option(const cli_option *option)
{
    char form[100], more[120];
    int column = printf("  %s%-*s", option->letter ? "" : "    ", HELP_COLUMN - 4 - (option->letter ? -2 : 2),
                        cli_option_form(option, form, sizeof form));
    if (column > HELP_COLUMN) {
        printf("\n%*s", HELP_COLUMN, "");
    } else {
        printf("%*s", HELP_COLUMN - column, "");
    }
    column = HELP_COLUMN;
    print_words(option->help, &column);
    if (option->fallback) {
        (void)snprintf(more, sizeof more, "(default: %s)", option->fallback);
        print_words(more, &column);
    }
    if (option->environment) {
        (void)snprintf(more, sizeof more, "[$%s]", option->environment);
        print_words(more, &column);
    }
    putchar('\n');
}

static void print_options(const char *title, const cli_option *options, uint32_t count)
{
    if (count) printf("\n%s\n", title);
    for (uint32_t i = 0; i < count; i++) print_option(&options[i]);
}

void cli_help(const cli_verb *verb)
{
    if (verb) {
        printf("pumice %s: %s\n\nUsage: pumice %s%s%s [OPTIONS]\n\n%s", verb->name, verb->summary, verb->name,
               *verb->arguments ? " " : "", verb->arguments, verb->about);
        print_options("Options:", verb->options, verb->n_options);
        print_options("Options of every verb:", cli_global_options, cli_n_global_options);
        printf("\nExamples:\n%s", verb->examples);
        return;
    }
    printf("Pumice trains small diffusion models and draws pictures with them, on any GPU that has a Vulkan "
           "driver,\n"
           "and on the CPU where there is none.\n\nUsage: pumice VERB [ARGUMENTS] [OPTIONS]\n\nVerbs:\n");
    for (const cli_verb *const *each = cli_verbs; *each; each++)
        printf("  %-12s%s\n", (*each)->name, (*each)->summary);
    print_options("Options of every verb:", cli_global_options, cli_n_global_options);
    printf("\nBegin with:\n"
           "  pumice devices                        what this machine has\n"
           "  pumice sample fashion-small -n 80     pictures from the model that comes with Pumice\n"
           "  pumice train fashion-tiny --minutes 2 a model of your own\n"
           "`pumice VERB --help` says more about each.\n");
}
