/* A text as a model is trained on it and measured on it: loaded, split, tokenized. */
#ifndef PM_TEXT_CORPUS_H
#define PM_TEXT_CORPUS_H

#include "text/tokenizer.h"

typedef struct pm_corpus {
    pm_tokenizer *tokenizer;
    char *tokenizer_json;
    uint32_t *train, *validation; /* tokens; NULL where there are none */
    uint32_t n_train, n_validation;
    char *train_text, *validation_text; /* the bytes that they were made of */
    size_t train_bytes, validation_bytes;
} pm_corpus;

typedef struct pm_corpus_options {
    const char *source; /* "kjv", a text file or a folder of them */
    /* "characters" (of the training part and of the validation part), "bytes", or what pm_tokenizer_load
     * reads. */
    const char *tokenizer;
    const char *tokenizer_json; /* of a model: it then decides, and `tokenizer` is not looked at */
    float validation;           /* part that is kept for validation */
    uint64_t split_seed;        /* decides which part */
} pm_corpus_options;

/* Fails with PM_IO, PM_BAD_FILE (a file is no text, or has a character that the tokenizer does not know),
 * PM_NO_MEMORY. The caller closes it; pm_corpus_close accepts a zeroed one. */
pm_status pm_corpus_open(const pm_corpus_options *options, pm_corpus *out, pm_error *error);
void pm_corpus_close(pm_corpus *corpus);

#endif
