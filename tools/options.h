/* The one table of each verb: its arguments and options. Parsing, `--help`, the completion of the shell and
 * the manual all follow from it, so that none of them can say what another does not do. */
#ifndef PM_TOOLS_OPTIONS_H
#define PM_TOOLS_OPTIONS_H

#include "base/status.h"

typedef enum cli_type {
    CLI_FLAG,   /* bool: no argument */
    CLI_TEXT,   /* const char * */
    CLI_CHOICE, /* const char *, one of `choices` */
    CLI_COUNT,  /* uint32_t from low to high */
    CLI_SEED,   /* uint64_t */
    CLI_REAL,   /* double from low to high */
    CLI_TEXTS,  /* cli_texts: may be given several times */
    CLI_REALS,  /* cli_reals: numbers from low to high with commas between them */
    CLI_PARSED, /* what `parse` makes of it; may be given several times */
} cli_type;

enum { CLI_MOST_TEXTS = 64, CLI_MOST_REALS = 16 };

typedef struct cli_texts {
    const char *items[CLI_MOST_TEXTS];
    uint32_t count;
} cli_texts;

typedef struct cli_reals {
    double items[CLI_MOST_REALS];
    uint32_t count;
} cli_reals;

/* One option. Its value lies where `value` points, of the C type that `type` says. */
typedef struct cli_option {
    const char *name; /* without the dashes */
    char letter;      /* of the short form, or 0 */
    cli_type type;
    const char *argument; /* what help calls it; NULL for a flag */
    void *value;
    bool *given; /* set when the user gave it; may be NULL */
    double low, high;
    const char *const *choices; /* ended by NULL */
    pm_status (*parse)(const char *from, const char *text, void *value, pm_error *error);
    const char *fallback;    /* read like an argument when nothing is given; NULL: the value stays as it is */
    const char *environment; /* a variable that counts when the option is not given, or NULL */
    const char *help;
} cli_option;

typedef struct cli_verb {
    const char *name;
    const char *summary;   /* one line: what it does */
    const char *arguments; /* as usage shows them, "" for none */
    uint32_t least, most;  /* number of arguments */
    const char *about;     /* paragraphs, lines of up to 80 characters */
    const char *examples;  /* lines "command\n    what it does\n" */
    const cli_option *options;
    uint32_t n_options;
    /* Words that complete the first argument, ended by NULL; NULL: files. */
    const char *const *(*words)(void);
    pm_status (*run)(uint32_t count, const char *const *arguments, pm_error *error);
} cli_verb;

/* The middle of an option that counts, into the uint32_t `target`. */
#define CLI_N(target, from, to) \
    .type = CLI_COUNT, .argument = "N", .value = &(target), .low = from, .high = to

#define CLI_OPTIONS(array) .options = array, .n_options = (uint32_t)(sizeof(array) / sizeof((array)[0]))

/* All verbs, ended by NULL, and the options that each of them takes (main.c). */
extern const cli_verb *const cli_verbs[];
extern const cli_option cli_global_options[];
extern const uint32_t cli_n_global_options;

/* What a command line says. */
typedef struct cli_line {
    const cli_verb *verb; /* NULL: none was given */
    const char *const *arguments;
    uint32_t n_arguments;
    bool help, version;
} cli_line;

/* Reads a command line: stores defaults, then what the environment says, then what the line says, into the
 * options' values. `room` holds the arguments that are not options: argc of them at most. PM_BAD_USAGE names
 * what is wrong, and for a misspelt word the nearest that exists. */
pm_status cli_parse(int argc, char **argv, const char **room, cli_line *out, pm_error *error);

/* Prints the help of a verb, or of the whole command when it is NULL, to standard output. */
void cli_help(const cli_verb *verb);

/* "-n, --count N" in `buffer`. */
const char *cli_option_form(const cli_option *option, char *buffer, size_t size);

/* Strict numbers: all of `text`, decimal, nothing around it. */
bool cli_parse_natural(const char *text, uint64_t *out);
bool cli_parse_real(const char *text, double *out);

#endif
