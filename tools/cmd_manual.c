/* `pumice completion` and `pumice manual`: what the option tables say, for bash and for man. */
#include "cli.h"
#include "commands.h"

#include <stdio.h>
#include <string.h>

/* ---- Completion ---------------------------------------------------------------------------------------- */

static void print_names(const cli_option *options, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) printf("--%s ", options[i].name);
}

static void print_choices(const cli_option *options, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (options[i].type != CLI_CHOICE) continue;
        printf("        --%s) COMPREPLY=($(compgen -W \"", options[i].name);
        for (const char *const *choice = options[i].choices; *choice; choice++) printf("%s ", *choice);
        printf("\" -- \"$word\")); return ;;\n");
    }
}

static void print_verb_completion(const cli_verb *verb)
{
    printf("    %s)\n        case $before in\n", verb->name);
    print_choices(verb->options, verb->n_options);
    printf("        esac\n        if [[ $word == -* ]]; then\n            COMPREPLY=($(compgen -W \"");
    print_names(verb->options, verb->n_options);
    print_names(cli_global_options, cli_n_global_options);
    printf("--help\" -- \"$word\"))\n        else\n            COMPREPLY=($(compgen -f");
    if (verb->words) {
        printf(" -W \"");
        for (const char *const *word = verb->words(); *word; word++) printf("%s ", *word);
        printf("\"");
    }
    printf(" -- \"$word\"))\n        fi ;;\n");
}

static pm_status run_completion(uint32_t count, const char *const *arguments, pm_error *error)
{
    (void)count;
    (void)arguments;
    (void)error;
    printf(
        "# Completion of pumice for bash. Made by `pumice completion`.\n"
        "_pumice() {\n"
        "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} verb=${COMP_WORDS[1]}\n"
        "    COMPREPLY=()\n"
        "    if [[ $COMP_CWORD == 1 ]]; then\n        COMPREPLY=($(compgen -W \"");
    for (const cli_verb *const *verb = cli_verbs; *verb; verb++) printf("%s ", (*verb)->name);
    printf("--help --version\" -- \"$word\")); return\n    fi\n    case $before in\n");
    print_choices(cli_global_options, cli_n_global_options);
    printf("    esac\n    case $verb in\n");
    for (const cli_verb *const *verb = cli_verbs; *verb; verb++) print_verb_completion(*verb);
    printf("    esac\n}\ncomplete -o filenames -F _pumice pumice\n");
    return PM_OK;
}

const cli_verb cli_completion = {
    .name = "completion",
    .summary = "print the completion of this command for bash",
    .arguments = "",
    .about = "Once it is loaded, the tabulator key completes verbs, options, choices and names.\n",
    .examples = "  source <(pumice completion)\n      for this shell\n"
                "  pumice completion > ~/.local/share/bash-completion/completions/pumice\n      for every "
                "shell to come\n",
    .run = run_completion,
};

/* ---- Manual -------------------------------------------------------------------------------------------- */

/* Text for troff: a backslash and a dash are escaped, and a line does not begin with a control character. */
static void print_troff(const char *text)
{
    bool first = true;
    for (; *text; text++) {
        if (first && (*text == '.' || *text == '\'')) printf("\\&");
        if (*text == '\\') {
            printf("\\e");
        } else if (*text == '-') {
            printf("\\-");
        } else {
            putchar(*text);
        }
        first = *text == '\n';
    }
}

static void print_manual_options(const cli_option *options, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        char form[100];
        printf(".TP\n\\fB");
        print_troff(cli_option_form(&options[i], form, sizeof form));
        printf("\\fR\n");
        print_troff(options[i].help);
        if (options[i].fallback) printf(" (default: %s)", options[i].fallback);
        if (options[i].environment) printf(" [$%s]", options[i].environment);
        putchar('\n');
    }
}

static void print_manual_verb(const cli_verb *verb)
{
    printf(".SH PUMICE ");
    for (const char *c = verb->name; *c; c++) putchar(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
    printf("\n.B pumice %s\n.I ", verb->name);
    print_troff(verb->arguments);
    printf("\n.PP\n");
    print_troff(verb->summary);
    printf(".\n.PP\n");
    print_troff(verb->about);
    print_manual_options(verb->options, verb->n_options);
    printf(".PP\nExamples:\n.PP\n.nf\n");
    print_troff(verb->examples);
    printf(".fi\n");
}

static pm_status run_manual(uint32_t count, const char *const *arguments, pm_error *error)
{
    static const char *const codes[] = {"done",
                                        "a check or comparison failed",
                                        "wrong usage",
                                        "a file is malformed or does not fit",
                                        "no usable device",
                                        "the device was lost",
                                        "out of memory",
                                        "reading or writing failed"};
    (void)count;
    (void)arguments;
    (void)error;
    printf(".TH PUMICE 1 \"\" \"pumice " PM_VERSION "\" \"User Commands\"\n"
           ".SH NAME\npumice \\- train and sample small diffusion models on any Vulkan device\n"
           ".SH SYNOPSIS\n.B pumice\n.I VERB [ARGUMENTS] [OPTIONS]\n"
           ".SH DESCRIPTION\nResults go to standard output, talk and progress to standard error.\n"
           ".SH OPTIONS OF EVERY VERB\n");
    print_manual_options(cli_global_options, cli_n_global_options);
    for (const cli_verb *const *verb = cli_verbs; *verb; verb++) print_manual_verb(*verb);
    printf(".SH EXIT STATUS\n");
    for (int i = 0; i < 8; i++) printf(".TP\n.B %d\n%s\n", i, codes[i]);
    return PM_OK;
}

const cli_verb cli_manual = {
    .name = "manual",
    .summary = "print the manual page of this command",
    .arguments = "",
    .about = "Troff text, as man reads it.\n",
    .examples = "  pumice manual | man -l -\n      read it\n",
    .run = run_manual,
};
