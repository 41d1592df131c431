/* A tokenizer as JSON, for the metadata of model files:
 *
 *     {"kind":"bytes"}
 *     {"kind":"characters","characters":[10,10,32,33,...],"bytes":[]}
 *     {"kind":"bpe","tokens":"! \" # ...","merges":[71,256,...]}
 *
 * "characters" and "bytes" are the first and last number of each run. "tokens" are those that are not
 * special, in order, in GPT-2's alphabet, which has no space; "merges" has two tokens' numbers for each, in
 * order. Each may have "special", an object of texts and numbers, in order of the numbers: the last ones,
 * except that BPE has them anywhere, and the others take the numbers that are left. */
#include "text/tokenizer_internal.h"

#include "files/file_error.h"

#include <stdlib.h>
#include <string.h>

/* ---- Reading: what is special -------------------------------------------------------------------------- */

/* Puts the special tokens where their numbers say, in entries[size]. */
static pm_status place_special(const json_t *special, const char *where, pm_vocabulary_entry *entries,
                               uint32_t size, pm_error *error)
{
    const char *text;
    json_t *value;
    json_object_foreach((json_t *)special, text, value)
    {
        uint64_t id;
        if (!pm_json_natural(value, size - 1, &id)) {
            return pm_fail_at(
                error, PM_BAD_FILE, where,
                "the number of its special token '%.60s' is not one below %u, its tokens in all", text, size);
        }
        const char *wrong = pm_special_text_wrong(text);
        if (wrong)
            return pm_fail_at(error, PM_BAD_FILE, where, "its special token %u %s", (unsigned)id, wrong);
        if (entries[id].text) {
            return pm_fail_at(error, PM_BAD_FILE, where, "two of its special tokens have the number %u",
                              (unsigned)id);
        }
        entries[id] = (pm_vocabulary_entry){text, strlen(text), true};
    }
    return PM_OK;
}

/* Allocates the entries of `ordinary` tokens and the special ones, and places those. */
static pm_status make_entries(const json_t *special, size_t ordinary, const char *where,
                              pm_vocabulary_entry **entries, uint32_t *size, pm_error *error)
{
    *entries = NULL;
    size_t n_special = special ? json_object_size(special) : 0;
    if (n_special > PM_TOKENIZER_MAX_SPECIAL || ordinary + n_special > PM_TOKENIZER_MAX_SIZE) {
        return pm_fail_at(error, PM_BAD_FILE, where,
                          "its tokenizer has %zu tokens, %zu of them special; the most are %u and %d",
                          ordinary + n_special, n_special, PM_TOKENIZER_MAX_SIZE, PM_TOKENIZER_MAX_SPECIAL);
    }
    *size = (uint32_t)(ordinary + n_special);
    *entries = calloc(*size + (size_t)1, sizeof **entries);
    if (!*entries) return pm_fail_memory(error, where);
    pm_status status = place_special(special, where, *entries, *size, error);
    if (status == PM_OK) return PM_OK;
    free(*entries);
    *entries = NULL;
    return status;
}

/* Appends the special tokens after those that are there. */
static pm_status append_special(pm_tokenizer *t, const json_t *special, const char *where, pm_error *error)
{
    pm_vocabulary_entry *entries;
    uint32_t size, first = t->size;
    pm_status status = make_entries(special, first, where, &entries, &size, error);
    for (uint32_t id = first; id < size && status == PM_OK; id++) {
        if (!entries[id].text) {
            status =
                pm_fail_at(error, PM_BAD_FILE, where, "its special tokens are not numbered from %u", first);
        } else if (!pm_tokenizer_append(t, entries[id].text, entries[id].size, true)) {
            status = pm_fail_memory(error, where);
        }
    }
    free(entries);
    return status;
}

/* ---- Reading: bytes and characters --------------------------------------------------------------------- */

/* Expands runs [first, last, ...], ascending and apart, to the numbers in them: out[*count], from malloc. */
static pm_status read_runs(const json_t *runs, const char *what, uint32_t low, uint32_t high,
                           const char *where, uint32_t **out, uint32_t *count, pm_error *error)
{
    *out = NULL;
    *count = 0;
    size_t n = json_array_size(runs);
    uint64_t first = 0, last = 0, least = low;
    bool good = json_is_array(runs) && n % 2 == 0;
    for (size_t i = 0; good && i < n; i += 2, least = last + 2) {
        good = pm_json_natural(json_array_get(runs, i), high, &first) &&
               pm_json_natural(json_array_get(runs, i + 1), high, &last) && first >= least && last >= first &&
               (last < 0xd800 || first > 0xdfff);
        *count += good ? (uint32_t)(last - first + 1) : 0;
    }
    if (!good) {
        return pm_fail_at(
            error, PM_BAD_FILE, where,
            "\"%s\" of its tokenizer is not a list of the first and last number of ascending runs "
            "from %u to %u",
            what, low, high);
    }
    *out = malloc((*count + (size_t)1) * sizeof **out);
    if (!*out) return pm_fail_memory(error, where);
    uint32_t *next = *out;
    for (size_t i = 0; i < n; i += 2) {
        (void)pm_json_natural(json_array_get(runs, i), high, &first);
        (void)pm_json_natural(json_array_get(runs, i + 1), high, &last);
        for (uint64_t value = first; value <= last; value++) *next++ = (uint32_t)value;
    }
    return PM_OK;
}

static pm_status read_characters(const json_t *root, const char *where, pm_tokenizer **out, pm_error *error)
{
    uint32_t *characters, *numbers = NULL, n = 0, n_bytes = 0;
    pm_status status = read_runs(json_object_get(root, "characters"), "characters", 0, 0x10ffff, where,
                                 &characters, &n, error);
    if (status == PM_OK) {
        status =
            read_runs(json_object_get(root, "bytes"), "bytes", 0x80, 0xff, where, &numbers, &n_bytes, error);
    }
    if (status == PM_OK && (n + n_bytes == 0 || n + n_bytes > PM_TOKENIZER_MAX_SIZE)) {
        status =
            pm_fail_at(error, PM_BAD_FILE, where, "its tokenizer has %u characters; there must be 1 to %u",
                       n + n_bytes, PM_TOKENIZER_MAX_SIZE);
    }
    if (status == PM_OK) {
        uint8_t bytes[256];
        for (uint32_t i = 0; i < n_bytes; i++) bytes[i] = (uint8_t)numbers[i];
        *out = pm_tokenizer_new(PM_TOKENIZER_CHARACTERS);
        if (!*out || !pm_tokenizer_append_characters(*out, characters, n, bytes, n_bytes)) {
            status = pm_fail_memory(error, where);
        }
    }
    free(characters);
    free(numbers);
    return status == PM_OK ? append_special(*out, json_object_get(root, "special"), where, error) : status;
}

/* ---- Reading: BPE -------------------------------------------------------------------------------------- */

/* Gives the words of `text` the numbers that are left. */
static void place_words(const char *text, pm_vocabulary_entry *entries)
{
    for (const char *end; text; text = end ? end + 1 : NULL) {
        end = strchr(text, ' ');
        while (entries->text) entries++;
        entries->text = text;
        entries->size = end ? (size_t)(end - text) : strlen(text);
    }
}

static pm_status read_merges(const json_t *merges, pm_tokenizer *t, const pm_token_index *index,
                             const char *where, pm_error *error)
{
    for (size_t i = 0; i < json_array_size(merges); i += 2) {
        uint64_t left, right;
        if (!pm_json_natural(json_array_get(merges, i), t->size - 1, &left) ||
            !pm_json_natural(json_array_get(merges, i + 1), t->size - 1, &right)) {
            return pm_fail_at(error, PM_BAD_FILE, where, "its merge %zu is not of two numbers below %u",
                              i / 2 + 1, t->size);
        }
        pm_status status = pm_bpe_add_merge(t, index, (uint32_t)left, (uint32_t)right, where, error);
        if (status != PM_OK) return status;
    }
    return pm_bpe_finish(t, where, error);
}

static pm_status read_bpe(const json_t *root, const char *where, pm_tokenizer **out, pm_error *error)
{
    const char *text = json_string_value(json_object_get(root, "tokens"));
    const json_t *merges = json_object_get(root, "merges");
    if (!text || !json_is_array(merges) || json_array_size(merges) % 2 != 0) {
        return pm_fail_at(
            error, PM_BAD_FILE, where,
            "its tokenizer lacks \"tokens\", a text, or \"merges\", a list of pairs of numbers");
    }
    size_t words = 1;
    for (const char *at = text; *at; at++) words += *at == ' ';
    pm_vocabulary_entry *entries;
    uint32_t size;
    pm_status status = make_entries(json_object_get(root, "special"), words, where, &entries, &size, error);
    if (status != PM_OK) return status;
    place_words(text, entries);
    pm_token_index index;
    status = pm_bpe_new(entries, size, json_array_size(merges) / 2, where, out, &index, error);
    if (status == PM_OK) status = read_merges(merges, *out, &index, where, error);
    free(index.entries);
    free(entries);
    return status;
}

/* Fails when an object has a key that is not among `known`. */
static pm_status check_keys(const json_t *root, const char *const *known, const char *where, pm_error *error)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)root, key, value)
    {
        size_t i = 0;
        while (known[i] && strcmp(known[i], key) != 0) i++;
        if (!known[i]) {
            return pm_fail_at(error, PM_BAD_FILE, where, "its tokenizer has \"%.60s\", which is not known",
                              key);
        }
    }
    return PM_OK;
}

pm_status pm_tokenizer_from_json(const json_t *root, const char *where, pm_tokenizer **out, pm_error *error)
{
    static const struct {
        const char *kind, *keys[5];
    } KINDS[] = {
        {"bytes", {"kind", "special", NULL}},
        {"characters", {"kind", "characters", "bytes", "special", NULL}},
        {"bpe", {"kind", "tokens", "merges", "special", NULL}},
    };
    *out = NULL;
    const char *kind = json_string_value(json_object_get(root, "kind"));
    size_t i = 0;
    while (kind && i < 3 && strcmp(kind, KINDS[i].kind) != 0) i++;
    if (!kind || i == 3) {
        return pm_fail_at(error, PM_BAD_FILE, where,
                          "the kind of its tokenizer is not \"bytes\", \"characters\" or \"bpe\"");
    }
    const json_t *special = json_object_get(root, "special");
    if (special && !json_is_object(special)) {
        return pm_fail_at(error, PM_BAD_FILE, where, "\"special\" of its tokenizer is not an object");
    }
    pm_status status = check_keys(root, KINDS[i].keys, where, error);
    if (status == PM_OK && i == 0) {
        status = pm_tokenizer_bytes(out, error);
        if (status == PM_OK) status = append_special(*out, special, where, error);
    }
    if (status == PM_OK && i == 1) status = read_characters(root, where, out, error);
    if (status == PM_OK && i == 2) status = read_bpe(root, where, out, error);
    if (status != PM_OK) {
        pm_tokenizer_destroy(*out);
        *out = NULL;
    }
    return status;
}

/* ---- Writing ------------------------------------------------------------------------------------------- */

/* Each of these puts new values into *root; false when memory ran out. */

static bool append_number(json_t *list, uint32_t number)
{
    return json_array_append_new(list, json_integer((json_int_t)number)) == 0;
}

/* One run after another; numbers ascend. */
typedef struct run_writer {
    json_t *list;
    bool any;
    uint32_t first, last;
} run_writer;

static bool end_run(run_writer *w)
{
    return !w->any || (append_number(w->list, w->first) && append_number(w->list, w->last));
}

static bool write_run_number(run_writer *w, uint32_t number)
{
    if (w->any && number == w->last + 1) {
        w->last = number;
        return true;
    }
    if (!end_run(w)) return false;
    *w = (run_writer){w->list, true, number, number};
    return true;
}

static bool write_characters(const pm_tokenizer *t, json_t *root)
{
    run_writer characters = {.list = json_array()}, bytes = {.list = json_array()};
    bool good = json_object_set_new(root, "characters", characters.list) == 0;
    good = json_object_set_new(root, "bytes", bytes.list) == 0 && good;
    for (uint32_t i = 0; good && i < t->n_characters; i++) {
        good = write_run_number(&characters, t->code_points[i]);
    }
    for (uint32_t i = 0; good && i < 256; i++) {
        if (t->byte_id[i] != PM_NO_TOKEN) good = write_run_number(&bytes, i);
    }
    return good && end_run(&characters) && end_run(&bytes);
}

static bool write_bpe(const pm_tokenizer *t, json_t *root)
{
    char *text = malloc(2 * t->text_size + t->size + 1);
    if (!text) return false;
    size_t size = 0;
    for (uint32_t id = 0; id < t->size; id++) {
        const pm_token *token = &t->tokens[id];
        if (token->special) continue;
        if (size > 0) text[size++] = ' ';
        size += pm_alphabet_write(t->text + token->at, token->size, text + size);
    }
    bool good = json_object_set_new(root, "tokens", json_stringn(text, size)) == 0;
    free(text);
    json_t *merges = json_array();
    good = json_object_set_new(root, "merges", merges) == 0 && good;
    for (uint32_t i = 0; good && i < t->n_merges; i++) {
        good = append_number(merges, t->merges[i].left) && append_number(merges, t->merges[i].right);
    }
    return good;
}

static bool write_special(const pm_tokenizer *t, json_t *root)
{
    if (t->n_special == 0) return true;
    json_t *special = json_object();
    if (json_object_set_new(root, "special", special) != 0) return false;
    for (uint32_t id = 0; id < t->size; id++) {
        const pm_token *token = &t->tokens[id];
        if (!token->special) continue;
        char text[PM_TOKENIZER_MAX_SPECIAL_BYTES + 1];
        memcpy(text, t->text + token->at, token->size);
        text[token->size] = 0;
        if (json_object_set_new(special, text, json_integer((json_int_t)id)) != 0) return false;
    }
    return true;
}

pm_status pm_tokenizer_json(const pm_tokenizer *tokenizer, char **json, pm_error *error)
{
    static const char *const KINDS[] = {
        [PM_TOKENIZER_BYTES] = "bytes", [PM_TOKENIZER_CHARACTERS] = "characters", [PM_TOKENIZER_BPE] = "bpe"};
    *json = NULL;
    json_t *root = json_object();
    bool good = root && json_object_set_new(root, "kind", json_string(KINDS[tokenizer->kind])) == 0;
    if (good && tokenizer->kind == PM_TOKENIZER_CHARACTERS) good = write_characters(tokenizer, root);
    if (good && tokenizer->kind == PM_TOKENIZER_BPE) good = write_bpe(tokenizer, root);
    if (good) good = write_special(tokenizer, root);
    if (good) *json = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    if (*json) return PM_OK;
    return pm_fail(error, PM_NO_MEMORY, "the memory of this machine ran out for a tokenizer's JSON");
}
