/* `pumice eval` for models of text; see eval_text.h. */
#include "eval_text.h"

#include "sampling/model.h"
#include "text/compressors.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Half of the interval of 95 % that n draws give, in standard errors (Student's t). */
static double quantile_95(uint32_t n)
{
    static const double t[] = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306,
                               2.262,  2.228, 2.201, 2.179, 2.160, 2.145, 2.131};
    uint32_t freedom = n - 1, known = sizeof t / sizeof t[0];
    return freedom <= known ? t[freedom - 1] : 1.96 + 2.5 / freedom;
}

typedef struct scored {
    const cli_eval_text_args *args;
    const pm_model *model;
    pm_corpus corpus;
    const uint32_t *tokens; /* of the corpus: what is scored */
    uint32_t n;
    const char *text; /* its bytes */
    size_t bytes;
    pm_text_score score;
    uint64_t characters; /* of the tokens that were scored */
    cli_progress progress;
} scored;

static pm_status open_text(scored *s, pm_error *error)
{
    const pm_recipe *recipe = &s->model->recipe;
    pm_corpus_options options = {
        .source = s->args->data ? s->args->data : recipe->data.source,
        .tokenizer_json = s->model->tokenizer_json,
        .validation = s->args->data ? 0.0f : recipe->data.validation,
        .split_seed = recipe->data.split_seed,
    };
    pm_status status = pm_corpus_open(&options, &s->corpus, error);
    if (status != PM_OK) return status;
    bool whole = s->args->data || s->corpus.n_validation == 0;
    s->tokens = whole ? s->corpus.train : s->corpus.validation;
    s->n = whole ? s->corpus.n_train : s->corpus.n_validation;
    s->text = whole ? s->corpus.train_text : s->corpus.validation_text;
    s->bytes = whole ? s->corpus.train_bytes : s->corpus.validation_bytes;
    return PM_OK;
}

/* The characters that the first `count` tokens stand for. */
static uint64_t characters_of(const scored *s, uint32_t count)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        size_t size;
        (void)pm_tokenizer_token(s->corpus.tokenizer, s->tokens[i], &size);
        bytes += size;
    }
    return pm_count_characters((const uint8_t *)s->text, bytes < s->bytes ? bytes : s->bytes);
}

static bool on_progress(void *user, uint32_t done, uint32_t total)
{
    scored *s = user;
    s->progress.total = total;
    cli_progress_update(&s->progress, done, NULL);
    return !cli_stopped();
}

static void print_row(const cli_eval_text_args *args, const char *what, double bits, double half)
{
    char number[48];
    if (cli.json) return;
    if (half > 0)
        (void)snprintf(number, sizeof number, "<= %.3f +- %.3f", bits, half);
    else
        (void)snprintf(number, sizeof number, "%.3f", bits);
    printf(args->markdown ? "| %s | %s |\n" : "%-46s %s\n", what, number);
}

static json_t *print_compressors(const scored *s, const pm_compressed *all)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < PM_COMPRESSORS; i++) {
        if (!all[i].installed) {
            cli_say("%s is not installed", all[i].command);
            continue;
        }
        print_row(s->args, all[i].command, all[i].bits_per_character, 0);
        (void)json_array_append_new(list, json_pack("{s:s, s:I, s:f}", "command", all[i].command, "bytes",
                                                    (json_int_t)all[i].bytes, "bits_per_character",
                                                    all[i].bits_per_character));
    }
    return list;
}

static void print_scores(const scored *s, const pm_compressed *compressed)
{
    const pm_text_score *score = &s->score;
    bool exact = s->model->recipe.kind == PM_KIND_TEXT_AUTOREGRESSIVE;
    double unit = log(2.0) * (double)s->characters;
    double bits = score->nats / unit,
           half = exact ? 0.0 : quantile_95(score->draws) * score->deviation / unit;
    char what[160];
    if (exact) {
        (void)snprintf(what, sizeof what, "%s, exact", s->model->recipe.name);
    } else {
        (void)snprintf(what, sizeof what, "%s, a bound, %s, %u draws", s->model->recipe.name,
                       s->model->recipe.transformer.time ? "in continuous time" : "k-DCE", score->draws);
    }
    if (s->args->markdown && !cli.json)
        printf("| %" PRIu64 " characters | bits a character |\n|---|---|\n", s->characters);
    else
        cli_say("%" PRIu64 " characters in %" PRIu32 " windows of %" PRIu32 " tokens: bits a character",
                s->characters, score->windows, s->model->recipe.transformer.context);
    print_row(s->args, what, bits, half);
    json_t *others = print_compressors(s, compressed);
    cli_result(json_pack("{s:s, s:f, s:f, s:b, s:f, s:I, s:i, s:i, s:i, s:o}", "model", s->model->recipe.name,
                         "bits_per_character", bits, "half_interval_95", half, "exact", (int)exact,
                         "nats_per_token", score->nats / score->tokens, "characters",
                         (json_int_t)s->characters, "tokens", (int)score->tokens, "windows",
                         (int)score->windows, "draws", (int)score->draws, "compressors", others));
}

pm_status cli_eval_text(pm_device *device, const pm_model *model, const cli_eval_text_args *args,
                        pm_error *error)
{
    scored s = {.args = args, .model = model};
    pm_compressed compressed[PM_COMPRESSORS];
    pm_score_options options = args->score;
    options.progress = on_progress;
    options.user = &s;
    pm_status status = open_text(&s, error);
    if (status == PM_OK) {
        cli_progress_begin(&s.progress, "scoring", "windows", 0, 1);
        status = pm_score_text(device, model, s.tokens, s.n, &options, &s.score, error);
        cli_progress_end(&s.progress);
    }
    if (status == PM_OK) status = pm_compress((const uint8_t *)s.text, s.bytes, compressed, error);
    if (status == PM_OK) s.characters = characters_of(&s, s.score.tokens);
    if (status == PM_OK) print_scores(&s, compressed);
    pm_corpus_close(&s.corpus);
    return status;
}
