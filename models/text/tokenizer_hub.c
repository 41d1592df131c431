/* Reads tokenizer.json of Hugging Face, where it describes byte-level BPE as GPT-2 has it. What would encode
 * differently is refused, never passed over. */
#include "text/tokenizer_internal.h"

#include "files/file_error.h"

#include <stdlib.h>
#include <string.h>

/* ---- What it asks for ---------------------------------------------------------------------------------- */

/* Absent, null, false, or an empty text: not used. */
static bool unused(const json_t *value)
{
    return !value || json_is_null(value) || json_is_false(value) ||
           (json_is_string(value) && *json_string_value(value) == 0);
}

static bool has_type(const json_t *object, const char *type)
{
    const char *is = json_string_value(json_object_get(object, "type"));
    return is && strcmp(is, type) == 0;
}

static pm_status refuse_used(const json_t *object, const char *const *keys, const char *of, const char *where,
                             pm_error *error)
{
    for (; *keys; keys++) {
        if (unused(json_object_get(object, *keys))) continue;
        return pm_fail_at(error, PM_BAD_FILE, where,
                          "its %s sets \"%s\"; only byte-level BPE as of GPT-2, which has no such thing, is "
                          "supported",
                          of, *keys);
    }
    return PM_OK;
}

static pm_status check_pipeline(const json_t *root, const char *where, pm_error *error)
{
    static const char *const NO_ROOT[] = {"normalizer", NULL};
    static const char *const NO_MODEL[] = {"continuing_subword_prefix", "end_of_word_suffix", "byte_fallback",
                                           "ignore_merges", NULL};
    const json_t *model = json_object_get(root, "model");
    const json_t *words = json_object_get(root, "pre_tokenizer");
    const json_t *by_pattern = json_object_get(words, "use_regex");
    const json_t *dropout = json_object_get(model, "dropout");
    if (json_object_get(model, "type") && !has_type(model, "BPE")) {
        return pm_fail_at(error, PM_BAD_FILE, where, "its model is not of type \"BPE\"");
    }
    if (!unused(dropout) && json_number_value(dropout) != 0) {
        return pm_fail_at(error, PM_BAD_FILE, where, "its model has dropout: its encoding is random");
    }
    if (!has_type(words, "ByteLevel") || !json_is_false(json_object_get(words, "add_prefix_space")) ||
        (by_pattern && !json_is_true(by_pattern))) {
        return pm_fail_at(
            error, PM_BAD_FILE, where,
            "its \"pre_tokenizer\" is not of type \"ByteLevel\" with \"add_prefix_space\" false and "
            "\"use_regex\" true, which is the only one that is supported");
    }
    if (!has_type(json_object_get(root, "decoder"), "ByteLevel")) {
        return pm_fail_at(error, PM_BAD_FILE, where, "its \"decoder\" is not of type \"ByteLevel\"");
    }
    pm_status status = refuse_used(root, NO_ROOT, "file", where, error);
    return status == PM_OK ? refuse_used(model, NO_MODEL, "model", where, error) : status;
}

/* ---- Vocabulary and added tokens ----------------------------------------------------------------------- */

/* How many of the added tokens are not in the vocabulary; checks each of them. */
static pm_status count_added(const json_t *added, const json_t *vocab, const char *where, size_t *count,
                             pm_error *error)
{
    static const char *const NO_ADDED[] = {"single_word", "lstrip", "rstrip", NULL};
    *count = 0;
    size_t i;
    json_t *token;
    json_array_foreach((json_t *)added, i, token)
    {
        const char *text = json_string_value(json_object_get(token, "content"));
        uint64_t id;
        if (!text || !pm_json_natural(json_object_get(token, "id"), PM_TOKENIZER_MAX_SIZE - 1, &id)) {
            return pm_fail_at(error, PM_BAD_FILE, where,
                              "its added token %zu lacks \"content\", a text, or \"id\", a number below %u",
                              i, PM_TOKENIZER_MAX_SIZE);
        }
        pm_status status = refuse_used(token, NO_ADDED, "added token", where, error);
        if (status != PM_OK) return status;
        const json_t *known = json_object_get(vocab, text);
        *count += !known;
        if (known && (uint64_t)json_integer_value(known) != id) {
            return pm_fail_at(error, PM_BAD_FILE, where,
                              "its added token '%.60s' has the number %u and another one in the vocabulary",
                              text, (unsigned)id);
        }
    }
    return PM_OK;
}

static pm_status place_added(const json_t *added, const char *where, pm_vocabulary_entry *entries,
                             uint32_t size, pm_error *error)
{
    size_t i;
    json_t *token;
    json_array_foreach((json_t *)added, i, token)
    {
        const char *text = json_string_value(json_object_get(token, "content"));
        json_int_t id = json_integer_value(json_object_get(token, "id"));
        if (id >= size) {
            return pm_fail_at(error, PM_BAD_FILE, where,
                              "its added token '%.60s' has the number %u, and there are only %u tokens", text,
                              (unsigned)id, size);
        }
        pm_vocabulary_entry *entry = &entries[id];
        if (entry->text && (entry->special || strcmp(entry->text, text) != 0)) {
            return pm_fail_at(error, PM_BAD_FILE, where, "the number %u of its added token '%.60s' is taken",
                              (unsigned)id, text);
        }
        *entry = (pm_vocabulary_entry){text, strlen(text), true};
    }
    return PM_OK;
}

static pm_status read_tokens(const json_t *root, const char *where, pm_vocabulary_entry **entries,
                             uint32_t *size, pm_error *error)
{
    *entries = NULL;
    const json_t *vocab = json_object_get(json_object_get(root, "model"), "vocab");
    const json_t *added = json_object_get(root, "added_tokens");
    size_t new_ones;
    pm_status status = count_added(added, vocab, where, &new_ones, error);
    if (status != PM_OK) return status;
    size_t count = json_object_size(vocab) + new_ones;
    if (count == 0 || count > PM_TOKENIZER_MAX_SIZE) {
        return pm_fail_at(error, PM_BAD_FILE, where, "it has %zu tokens; there must be 1 to %u", count,
                          PM_TOKENIZER_MAX_SIZE);
    }
    *size = (uint32_t)count;
    *entries = calloc(count, sizeof **entries);
    if (!*entries) return pm_fail_memory(error, where);
    status = pm_read_vocabulary(vocab, *entries, *size, where, error);
    return status == PM_OK ? place_added(added, where, *entries, *size, error) : status;
}

/* ---- Merges -------------------------------------------------------------------------------------------- */

/* One merge, "left right" or ["left", "right"]. */
static pm_status read_merge(const json_t *merge, pm_tokenizer *t, const pm_token_index *index,
                            const char *where, pm_error *error)
{
    const char *left = json_string_value(merge), *right = NULL;
    size_t left_size = 0;
    if (left) {
        const char *space = strchr(left, ' ');
        left_size = space ? (size_t)(space - left) : 0;
        right = space ? space + 1 : NULL;
    } else if (json_array_size(merge) == 2) {
        left = json_string_value(json_array_get(merge, 0));
        right = json_string_value(json_array_get(merge, 1));
        left_size = left ? strlen(left) : 0;
    }
    if (!left || !right) {
        return pm_fail_at(error, PM_BAD_FILE, where, "its merge %u is not two tokens", t->n_merges + 1);
    }
    return pm_bpe_add_written_merge(t, index, left, left_size, right, strlen(right), where, error);
}

pm_status pm_tokenizer_from_hub(const json_t *root, const char *where, pm_tokenizer **out, pm_error *error)
{
    *out = NULL;
    pm_status status = check_pipeline(root, where, error);
    if (status != PM_OK) return status;
    const json_t *merges = json_object_get(json_object_get(root, "model"), "merges");
    if (!json_is_array(merges)) {
        return pm_fail_at(error, PM_BAD_FILE, where, "its model lacks \"merges\", a list");
    }
    pm_vocabulary_entry *entries;
    uint32_t size = 0;
    pm_token_index index = {0};
    status = read_tokens(root, where, &entries, &size, error);
    if (status == PM_OK)
        status = pm_bpe_new(entries, size, json_array_size(merges), where, out, &index, error);
    for (size_t i = 0; status == PM_OK && i < json_array_size(merges); i++) {
        status = read_merge(json_array_get(merges, i), *out, &index, where, error);
    }
    if (status == PM_OK) status = pm_bpe_finish(*out, where, error);
    free(index.entries);
    free(entries);
    if (status != PM_OK) {
        pm_tokenizer_destroy(*out);
        *out = NULL;
    }
    return status;
}
