/* A vocabulary and merges as GPT-2 was published: vocab.json, {"text":number,...}, and merges.txt, a line of
 * two tokens for each merge, the first one first. */
#include "text/tokenizer_internal.h"

#include "files/file_error.h"

#include <stdlib.h>
#include <string.h>

pm_status pm_read_vocabulary(const json_t *vocab, pm_vocabulary_entry *entries, uint32_t size,
                             const char *where, pm_error *error)
{
    const char *text;
    json_t *value;
    json_object_foreach((json_t *)vocab, text, value)
    {
        uint64_t id;
        if (!pm_json_natural(value, size - 1, &id)) {
            return pm_fail_at(
                error, PM_BAD_FILE, where,
                "the number of its token '%.60s' is not a whole number below %u, as many as it has "
                "tokens",
                text, size);
        }
        if (entries[id].text) {
            return pm_fail_at(error, PM_BAD_FILE, where,
                              "its tokens '%.60s' and '%.60s' have the same number %u", entries[id].text,
                              text, (unsigned)id);
        }
        entries[id] = (pm_vocabulary_entry){.text = text, .size = strlen(text)};
    }
    return PM_OK;
}

/* ---- merges.txt ---------------------------------------------------------------------------------------- */

/* A line's two tokens, in the file's text. */
typedef struct merge_line {
    const char *left, *right;
    size_t left_size, right_size;
} merge_line;

typedef struct merge_reader {
    const char *text, *where;
    size_t size, at, line; /* `line` is the number of the line that was read last */
} merge_reader;

/* Reads the next merge; *found is false at the end. Empty lines and a first line "#version..." are passed
 * over. */
static pm_status next_merge(merge_reader *r, merge_line *out, bool *found, pm_error *error)
{
    *found = false;
    while (r->at < r->size) {
        const char *line = r->text + r->at, *end = memchr(line, '\n', r->size - r->at);
        size_t length = end ? (size_t)(end - line) : r->size - r->at;
        r->at += length + (end != NULL);
        r->line++;
        if (length > 0 && line[length - 1] == '\r') length--;
        bool version = r->line == 1 && length >= 8 && memcmp(line, "#version", 8) == 0;
        if (length == 0 || version) continue;

        const char *space = memchr(line, ' ', length);
        size_t left = space ? (size_t)(space - line) : 0, right = space ? length - left - 1 : 0;
        if (left == 0 || right == 0 || memchr(space + 1, ' ', right)) {
            return pm_fail_at(error, PM_BAD_FILE, r->where,
                              "line %zu is not two tokens with one space between", r->line);
        }
        *out = (merge_line){line, space + 1, left, right};
        *found = true;
        return PM_OK;
    }
    return PM_OK;
}

/* ---- What is special ----------------------------------------------------------------------------------- */

static void mark_brackets(pm_vocabulary_entry *entries, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++) {
        size_t n = entries[i].size;
        entries[i].special = n >= 3 && entries[i].text[0] == '<' && entries[i].text[n - 1] == '>';
    }
}

/* What a merge makes is an ordinary token after all. */
static pm_status unmark_made(const merge_line *merge, const json_t *vocab, pm_vocabulary_entry *entries,
                             const char *where, pm_error *error)
{
    if (merge->left[0] != '<' || merge->right[merge->right_size - 1] != '>') return PM_OK;
    char *made = malloc(merge->left_size + merge->right_size + 1);
    if (!made) return pm_fail_memory(error, where);
    memcpy(made, merge->left, merge->left_size);
    memcpy(made + merge->left_size, merge->right, merge->right_size);
    made[merge->left_size + merge->right_size] = 0;
    const json_t *id = json_object_get(vocab, made);
    if (id) entries[json_integer_value(id)].special = false;
    free(made);
    return PM_OK;
}

/* Marks special tokens, and counts merges. */
static pm_status mark_special(const json_t *vocab, pm_vocabulary_entry *entries, uint32_t size,
                              merge_reader reader, size_t *n_merges, pm_error *error)
{
    mark_brackets(entries, size);
    *n_merges = 0;
    for (;;) {
        merge_line merge;
        bool found;
        pm_status status = next_merge(&reader, &merge, &found, error);
        if (status != PM_OK || !found) return status;
        ++*n_merges;
        status = unmark_made(&merge, vocab, entries, reader.where, error);
        if (status != PM_OK) return status;
    }
}

/* ---- Both ---------------------------------------------------------------------------------------------- */

static pm_status add_merges(pm_tokenizer *t, const pm_token_index *index, merge_reader reader,
                            pm_error *error)
{
    for (;;) {
        merge_line m;
        bool found;
        pm_status status = next_merge(&reader, &m, &found, error);
        if (status != PM_OK) return status;
        if (!found) return pm_bpe_finish(t, reader.where, error);
        status = pm_bpe_add_written_merge(t, index, m.left, m.left_size, m.right, m.right_size, reader.where,
                                          error);
        if (status != PM_OK) return status;
    }
}

pm_status pm_tokenizer_from_gpt2(const json_t *vocab, const char *vocab_where, const char *merges,
                                 size_t merges_size, const char *merges_where, pm_tokenizer **out,
                                 pm_error *error)
{
    *out = NULL;
    size_t size = json_object_size(vocab), n_merges;
    if (size == 0 || size > PM_TOKENIZER_MAX_SIZE) {
        return pm_fail_at(error, PM_BAD_FILE, vocab_where, "it is not an object of 1 to %u tokens",
                          PM_TOKENIZER_MAX_SIZE);
    }
    pm_vocabulary_entry *entries = calloc(size, sizeof *entries);
    if (!entries) return pm_fail_memory(error, vocab_where);
    merge_reader reader = {.text = merges, .where = merges_where, .size = merges_size};
    pm_token_index index = {0};
    pm_status status = pm_read_vocabulary(vocab, entries, (uint32_t)size, vocab_where, error);
    if (status == PM_OK) {
        status = mark_special(vocab, entries, (uint32_t)size, reader, &n_merges, error);
    }
    if (status == PM_OK) {
        status = pm_bpe_new(entries, (uint32_t)size, n_merges, vocab_where, out, &index, error);
    }
    if (status == PM_OK) status = add_merges(*out, &index, reader, error);
    free(index.entries);
    free(entries);
    if (status != PM_OK) {
        pm_tokenizer_destroy(*out);
        *out = NULL;
    }
    return status;
}
