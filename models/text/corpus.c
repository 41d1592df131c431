/* A text, split and tokenized; see corpus.h. */
#include "text/corpus.h"

#include "base/status.h"
#include "data/text.h"

#include <stdlib.h>
#include <string.h>

static pm_status choose_tokenizer(const pm_corpus_options *o, const pm_text *text, pm_corpus *out,
                                  pm_error *error)
{
    pm_status status;
    if (o->tokenizer_json) {
        status = pm_tokenizer_parse(o->tokenizer_json, strlen(o->tokenizer_json), "the model's tokenizer",
                                    &out->tokenizer, error);
    } else if (strcmp(o->tokenizer, "bytes") == 0) {
        status = pm_tokenizer_bytes(&out->tokenizer, error);
    } else if (strcmp(o->tokenizer, "characters") == 0) {
        status = pm_tokenizer_characters(text->bytes, text->size, &out->tokenizer, error);
    } else {
        status = pm_tokenizer_load(o->tokenizer, &out->tokenizer, error);
    }
    if (status != PM_OK) return status;
    return pm_tokenizer_json(out->tokenizer, &out->tokenizer_json, error);
}

static pm_status tokenize(const pm_corpus *corpus, const pm_text *part, uint32_t **tokens, uint32_t *count,
                          pm_error *error)
{
    size_t n; /* at most as many as bytes, and so below 2^31 */
    if (part->size == 0) return PM_OK;
    pm_status status =
        pm_tokenizer_encode(corpus->tokenizer, part->bytes, part->size, true, tokens, &n, error);
    if (status == PM_OK) *count = (uint32_t)n;
    return status;
}

static pm_status split_and_tokenize(const pm_corpus_options *o, const pm_text *text, pm_corpus *out,
                                    pm_error *error)
{
    pm_text train = {0}, validation = {0};
    pm_status status = pm_text_split(text, (double)o->validation, o->split_seed, &train, &validation, error);
    if (status == PM_OK) status = tokenize(out, &train, &out->train, &out->n_train, error);
    if (status == PM_OK) status = tokenize(out, &validation, &out->validation, &out->n_validation, error);
    if (status == PM_OK) {
        out->train_text = (char *)train.bytes;
        out->train_bytes = train.size;
        out->validation_text = (char *)validation.bytes;
        out->validation_bytes = validation.size;
        train = validation = (pm_text){0};
    }
    pm_text_free(&train);
    pm_text_free(&validation);
    return status;
}

pm_status pm_corpus_open(const pm_corpus_options *options, pm_corpus *out, pm_error *error)
{
    pm_text text = {0};
    *out = (pm_corpus){0};
    pm_status status = pm_text_load(options->source, 0, &text, error);
    if (status == PM_OK) status = choose_tokenizer(options, &text, out, error);
    if (status == PM_OK) status = split_and_tokenize(options, &text, out, error);
    if (status != PM_OK) pm_corpus_close(out);
    pm_text_free(&text);
    return status;
}

void pm_corpus_close(pm_corpus *corpus)
{
    pm_tokenizer_destroy(corpus->tokenizer);
    free(corpus->tokenizer_json);
    free(corpus->train);
    free(corpus->validation);
    free(corpus->train_text);
    free(corpus->validation_text);
    *corpus = (pm_corpus){0};
}
