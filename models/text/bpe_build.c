/* Builds the tables of byte pair encoding out of a vocabulary and merges; see tokenizer_internal.h. */
#include "text/tokenizer_internal.h"

#include "base/checked.h"
#include "files/file_error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Tokens by their bytes ----------------------------------------------------------------------------- */

static int compare_bytes(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size)
{
    if (a_size != b_size) return a_size < b_size ? -1 : 1;
    return memcmp(a, b, a_size);
}

static int compare_texts(const pm_index_entry *a, const pm_index_entry *b)
{
    return compare_bytes(a->bytes, a->size, b->bytes, b->size);
}

/* The order of equal texts is fixed, too: not every qsort() keeps it. */
static int compare_entries(const void *a, const void *b)
{
    const pm_index_entry *x = a, *y = b;
    int order = compare_texts(x, y);
    return order ? order : (x->id > y->id) - (x->id < y->id);
}

/* The token of these bytes, or PM_NO_TOKEN. */
static uint32_t find_token(const pm_token_index *index, const uint8_t *bytes, size_t size)
{
    uint32_t low = 0, high = index->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const pm_index_entry *entry = &index->entries[middle];
        int order = compare_bytes(bytes, size, entry->bytes, entry->size);
        if (order == 0) return entry->id;
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return PM_NO_TOKEN;
}

/* Sorts the tokens and finds those of single bytes. */
static pm_status make_index(pm_tokenizer *t, const char *where, pm_token_index *index, pm_error *error)
{
    index->entries = malloc((t->size + (size_t)1) * sizeof *index->entries);
    if (!index->entries) return pm_fail_memory(error, where);
    for (uint32_t id = 0; id < t->size; id++) {
        const pm_token *token = &t->tokens[id];
        if (token->special) continue;
        const uint8_t *bytes = t->text + token->at;
        index->entries[index->count++] = (pm_index_entry){bytes, token->size, id};
        if (token->size == 1) t->byte_id[bytes[0]] = id;
    }
    qsort(index->entries, index->count, sizeof *index->entries, compare_entries);
    for (uint32_t i = 1; i < index->count; i++) {
        if (compare_texts(&index->entries[i - 1], &index->entries[i]) != 0) continue;
        return pm_fail_at(error, PM_BAD_FILE, where, "its tokens %u and %u are the same text",
                          index->entries[i - 1].id, index->entries[i].id);
    }
    for (unsigned byte = 0; byte < 256; byte++) {
        if (t->byte_id[byte] != PM_NO_TOKEN) continue;
        return pm_fail_at(
            error, PM_BAD_FILE, where,
            "no token is the single byte 0x%02x, so that not every text can be encoded: this is "
            "not a byte-level vocabulary",
            byte);
    }
    return PM_OK;
}

/* ---- The vocabulary ------------------------------------------------------------------------------------ */

/* Appends one token; `bytes` has room for all of its text. */
static pm_status append_entry(pm_tokenizer *t, const pm_vocabulary_entry *entry, uint8_t *bytes,
                              const char *where, pm_error *error)
{
    size_t size = entry->size;
    if (entry->special) {
        const char *wrong = pm_special_text_wrong(entry->text);
        if (wrong) return pm_fail_at(error, PM_BAD_FILE, where, "its special token %u %s", t->size, wrong);
        uint32_t same;
        if (pm_tokenizer_special(t, entry->text, &same)) {
            return pm_fail_at(error, PM_BAD_FILE, where, "its special tokens %u and %u are the same text",
                              same, t->size);
        }
        if (t->n_special >= PM_TOKENIZER_MAX_SPECIAL) {
            return pm_fail_at(error, PM_BAD_FILE, where, "it has more than %d special tokens",
                              PM_TOKENIZER_MAX_SPECIAL);
        }
        memcpy(bytes, entry->text, size);
    } else {
        size = pm_alphabet_read(entry->text, size, bytes);
        if (size == 0) return pm_fail_at(error, PM_BAD_FILE, where, "its token %u is empty", t->size);
        if (size == SIZE_MAX) {
            return pm_fail_at(error, PM_BAD_FILE, where,
                              "its token %u, '%.*s', is not written in the alphabet of byte-level BPE",
                              t->size, entry->size < 60 ? (int)entry->size : 60, entry->text);
        }
    }
    return pm_tokenizer_append(t, bytes, size, entry->special) ? PM_OK : pm_fail_memory(error, where);
}

static pm_status append_all(pm_tokenizer *t, const pm_vocabulary_entry *entries, uint32_t count,
                            const char *where, pm_error *error)
{
    size_t longest = 1;
    for (uint32_t i = 0; i < count; i++) {
        if (entries[i].size > longest) longest = entries[i].size;
    }
    uint8_t *bytes = malloc(longest);
    if (!bytes) return pm_fail_memory(error, where);
    pm_status status = PM_OK;
    for (uint32_t i = 0; i < count && status == PM_OK; i++) {
        status = append_entry(t, &entries[i], bytes, where, error);
    }
    free(bytes);
    return status;
}

pm_status pm_bpe_new(const pm_vocabulary_entry *entries, uint32_t count, size_t n_merges, const char *where,
                     pm_tokenizer **out, pm_token_index *index, pm_error *error)
{
    *out = NULL;
    *index = (pm_token_index){0};
    if (n_merges > PM_TOKENIZER_MAX_MERGES) {
        return pm_fail_at(error, PM_BAD_FILE, where, "it has %zu merges; at most %u can be read", n_merges,
                          PM_TOKENIZER_MAX_MERGES);
    }
    pm_tokenizer *t = pm_tokenizer_new(PM_TOKENIZER_BPE);
    if (t) t->merges = malloc((n_merges + 1) * sizeof *t->merges);
    pm_status status = t && t->merges ? PM_OK : pm_fail_memory(error, where);
    if (status == PM_OK) status = append_all(t, entries, count, where, error);
    if (status == PM_OK) status = make_index(t, where, index, error);
    if (status != PM_OK) {
        free(index->entries);
        *index = (pm_token_index){0};
        pm_tokenizer_destroy(t);
        return status;
    }
    *out = t;
    return PM_OK;
}

/* ---- Merges -------------------------------------------------------------------------------------------- */

/* *result is the token that two make side by side, or PM_NO_TOKEN. */
static pm_status find_result(const pm_tokenizer *t, const pm_token_index *index, const pm_token *left,
                             const pm_token *right, const char *where, uint32_t *result, pm_error *error)
{
    size_t size = (size_t)left->size + right->size;
    uint8_t few[64], *bytes = size <= sizeof few ? few : malloc(size);
    if (!bytes) return pm_fail_memory(error, where);
    memcpy(bytes, t->text + left->at, left->size);
    memcpy(bytes + left->size, t->text + right->at, right->size);
    *result = find_token(index, bytes, size);
    if (bytes != few) free(bytes);
    return PM_OK;
}

pm_status pm_bpe_add_merge(pm_tokenizer *tokenizer, const pm_token_index *index, uint32_t left,
                           uint32_t right, const char *where, pm_error *error)
{
    pm_tokenizer *t = tokenizer;
    if (t->tokens[left].special || t->tokens[right].special) {
        return pm_fail_at(error, PM_BAD_FILE, where, "its merge %u is of a special token", t->n_merges + 1);
    }
    uint32_t result = PM_NO_TOKEN;
    pm_status status = find_result(t, index, &t->tokens[left], &t->tokens[right], where, &result, error);
    if (status != PM_OK) return status;
    if (result == PM_NO_TOKEN) {
        return pm_fail_at(error, PM_BAD_FILE, where,
                          "its merge %u makes a text that is no token, or a special one", t->n_merges + 1);
    }
    t->merges[t->n_merges++] = (pm_merge){left, right, result};
    return PM_OK;
}

/* The token written as `text`, which is part of the next merge. */
static pm_status find_written(const pm_tokenizer *t, const pm_token_index *index, const char *text,
                              size_t size, const char *where, uint32_t *id, pm_error *error)
{
    uint8_t few[64], *bytes = size <= sizeof few ? few : malloc(size);
    if (!bytes) return pm_fail_memory(error, where);
    size_t read = pm_alphabet_read(text, size, bytes);
    *id = read == SIZE_MAX ? PM_NO_TOKEN : find_token(index, bytes, read);
    if (bytes != few) free(bytes);
    if (*id != PM_NO_TOKEN) return PM_OK;
    return pm_fail_at(error, PM_BAD_FILE, where,
                      "its merge %u is of '%.*s', which is no token or a special one", t->n_merges + 1,
                      size < 60 ? (int)size : 60, text);
}

pm_status pm_bpe_add_written_merge(pm_tokenizer *tokenizer, const pm_token_index *index, const char *left,
                                   size_t left_size, const char *right, size_t right_size, const char *where,
                                   pm_error *error)
{
    uint32_t ids[2];
    pm_status status = find_written(tokenizer, index, left, left_size, where, &ids[0], error);
    if (status == PM_OK) {
        status = find_written(tokenizer, index, right, right_size, where, &ids[1], error);
    }
    if (status != PM_OK) return status;
    return pm_bpe_add_merge(tokenizer, index, ids[0], ids[1], where, error);
}

/* ---- Pairs --------------------------------------------------------------------------------------------- */

typedef struct ranked_pair {
    uint32_t left, right, rank;
} ranked_pair;

static int compare_pairs(const void *a, const void *b)
{
    const ranked_pair *x = a, *y = b;
    if (x->left != y->left) return x->left < y->left ? -1 : 1;
    if (x->right != y->right) return x->right < y->right ? -1 : 1;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

pm_status pm_bpe_finish(pm_tokenizer *tokenizer, const char *where, pm_error *error)
{
    pm_tokenizer *t = tokenizer;
    ranked_pair *sorted = malloc((t->n_merges + (size_t)1) * sizeof *sorted);
    t->pairs = malloc((t->n_merges + (size_t)1) * sizeof *t->pairs);
    t->first_pair = calloc(t->size + (size_t)1, sizeof *t->first_pair);
    t->n_paired = t->size;
    if (!sorted || !t->pairs || !t->first_pair) {
        free(sorted);
        return pm_fail_memory(error, where);
    }
    for (uint32_t i = 0; i < t->n_merges; i++) {
        sorted[i] = (ranked_pair){t->merges[i].left, t->merges[i].right, i};
        t->first_pair[t->merges[i].left + 1]++;
    }
    for (uint32_t i = 0; i < t->size; i++) t->first_pair[i + 1] += t->first_pair[i];
    qsort(sorted, t->n_merges, sizeof *sorted, compare_pairs);
    pm_status status = PM_OK;
    for (uint32_t i = 0; i < t->n_merges; i++) {
        t->pairs[i] = (pm_pair){sorted[i].right, sorted[i].rank};
        if (i == 0 || sorted[i - 1].left != sorted[i].left || sorted[i - 1].right != sorted[i].right)
            continue;
        status = pm_fail_at(error, PM_BAD_FILE, where, "its merges %u and %u are of the same two tokens",
                            sorted[i - 1].rank + 1, sorted[i].rank + 1);
        break;
    }
    free(sorted);
    return status;
}
