/* Tokenizers: what all kinds share, and those of bytes and of characters; see tokenizer.h. */
#include "text/tokenizer_internal.h"

#include "text/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Building ------------------------------------------------------------------------------------------ */

pm_tokenizer *pm_tokenizer_new(pm_tokenizer_kind kind)
{
    pm_tokenizer *t = calloc(1, sizeof *t);
    if (!t) return NULL;
    t->kind = kind;
    for (size_t i = 0; i < 256; i++) t->byte_id[i] = PM_NO_TOKEN;
    return t;
}

void pm_tokenizer_destroy(pm_tokenizer *tokenizer)
{
    if (!tokenizer) return;
    free(tokenizer->tokens);
    free(tokenizer->text);
    free(tokenizer->special);
    free(tokenizer->code_points);
    free(tokenizer->merges);
    free(tokenizer->pairs);
    free(tokenizer->first_pair);
    free(tokenizer);
}

/* Makes room for `more` bytes of text and one token. */
static bool grow(pm_tokenizer *t, size_t more)
{
    if (t->text_room - t->text_size < more) {
        size_t room = 2 * t->text_room + more + 256;
        uint8_t *text = realloc(t->text, room);
        if (!text) return false;
        t->text = text;
        t->text_room = room;
    }
    if (t->size == t->room) {
        uint32_t room = 2 * t->room + 256;
        pm_token *tokens = realloc(t->tokens, room * sizeof *tokens);
        if (!tokens) return false;
        t->tokens = tokens;
        t->room = room;
    }
    return true;
}

/* Puts a special token where the longest stand first. */
static bool list_special(pm_tokenizer *t, uint32_t id, size_t size)
{
    if (t->n_special == t->special_room) {
        uint32_t room = 2 * t->special_room + 8;
        uint32_t *special = realloc(t->special, room * sizeof *special);
        if (!special) return false;
        t->special = special;
        t->special_room = room;
    }
    uint32_t at = t->n_special++;
    for (; at > 0 && t->tokens[t->special[at - 1]].size < size; at--) t->special[at] = t->special[at - 1];
    t->special[at] = id;
    return true;
}

bool pm_tokenizer_append(pm_tokenizer *tokenizer, const void *bytes, size_t size, bool special)
{
    pm_tokenizer *t = tokenizer;
    if (!grow(t, size) || (special && !list_special(t, t->size, size))) return false;
    memcpy(t->text + t->text_size, bytes, size);
    t->tokens[t->size++] = (pm_token){.at = t->text_size, .size = (uint32_t)size, .special = special};
    t->text_size += size;
    return true;
}

bool pm_tokenizer_append_characters(pm_tokenizer *tokenizer, const uint32_t *code_points, uint32_t n,
                                    const uint8_t *bytes, uint32_t n_bytes)
{
    pm_tokenizer *t = tokenizer;
    t->code_points = malloc((n + 1) * sizeof *code_points);
    if (!t->code_points) return false;
    if (n > 0) memcpy(t->code_points, code_points, n * sizeof *code_points);
    t->n_characters = n;
    for (uint32_t i = 0; i < n; i++) {
        uint8_t utf8[4];
        if (!pm_tokenizer_append(t, utf8, pm_utf8_write(code_points[i], utf8), false)) return false;
    }
    for (uint32_t i = 0; i < n_bytes; i++) {
        t->byte_id[bytes[i]] = t->size;
        if (!pm_tokenizer_append(t, &bytes[i], 1, false)) return false;
    }
    return true;
}

static pm_status no_memory(pm_error *error)
{
    return pm_fail(error, PM_NO_MEMORY, "the memory of this machine ran out for a tokenizer");
}

pm_status pm_tokenizer_bytes(pm_tokenizer **out, pm_error *error)
{
    *out = NULL;
    pm_tokenizer *t = pm_tokenizer_new(PM_TOKENIZER_BYTES);
    if (!t) return no_memory(error);
    for (uint32_t i = 0; i < 256; i++) {
        uint8_t byte = (uint8_t)i;
        t->byte_id[i] = i;
        if (!pm_tokenizer_append(t, &byte, 1, false)) {
            pm_tokenizer_destroy(t);
            return no_memory(error);
        }
    }
    *out = t;
    return PM_OK;
}

/* Which characters, and which bytes that are not UTF-8, a text has. */
typedef struct found_characters {
    uint8_t character[0x110000];
    uint8_t byte[256];
    uint32_t code_points[0x110000]; /* the characters, as a list */
    uint8_t bytes[256];
    uint32_t n, n_bytes;
} found_characters;

static void find_characters(const uint8_t *text, size_t size, found_characters *found)
{
    for (size_t at = 0; at < size;) {
        uint32_t code_point = text[at];
        size_t length = code_point < 128 ? 1 : pm_utf8_read(text + at, size - at, &code_point);
        if (code_point == PM_UTF8_MALFORMED) {
            found->byte[text[at]] = 1;
        } else {
            found->character[code_point] = 1;
        }
        at += length;
    }
    for (uint32_t i = 0; i < 0x110000; i++) {
        if (found->character[i]) found->code_points[found->n++] = i;
    }
    for (uint32_t i = 0; i < 256; i++) {
        if (found->byte[i]) found->bytes[found->n_bytes++] = (uint8_t)i;
    }
}

pm_status pm_tokenizer_characters(const uint8_t *text, size_t size, pm_tokenizer **out, pm_error *error)
{
    *out = NULL;
    if (size == 0) {
        return pm_fail(error, PM_BAD_USAGE,
                       "a tokenizer of characters is made of those of a text, and this one is empty");
    }
    found_characters *found = calloc(1, sizeof *found);
    if (!found) return no_memory(error);
    find_characters(text, size, found);

    pm_status status = PM_OK;
    pm_tokenizer *t = NULL;
    if (found->n + found->n_bytes > PM_TOKENIZER_MAX_SIZE) {
        status = pm_fail(error, PM_BAD_USAGE,
                         "the text has %u different characters; a tokenizer has room "
                         "for %u",
                         found->n, PM_TOKENIZER_MAX_SIZE);
    } else {
        t = pm_tokenizer_new(PM_TOKENIZER_CHARACTERS);
        if (!t ||
            !pm_tokenizer_append_characters(t, found->code_points, found->n, found->bytes, found->n_bytes)) {
            pm_tokenizer_destroy(t);
            t = NULL;
            status = no_memory(error);
        }
    }
    free(found);
    *out = t;
    return status;
}

/* ---- Special tokens ------------------------------------------------------------------------------------ */

const char *pm_special_text_wrong(const char *text)
{
    size_t size = strlen(text);
    if (size == 0) return "is empty";
    if (size > PM_TOKENIZER_MAX_SPECIAL_BYTES) return "is longer than 1000 bytes";
    for (size_t at = 0; at < size;) {
        uint32_t code_point;
        at += pm_utf8_read((const uint8_t *)text + at, size - at, &code_point);
        if (code_point == PM_UTF8_MALFORMED) return "is not UTF-8";
    }
    return NULL;
}

pm_status pm_tokenizer_add_special(pm_tokenizer *tokenizer, const char *text, uint32_t *id, pm_error *error)
{
    const char *wrong = pm_special_text_wrong(text);
    if (wrong) return pm_fail(error, PM_BAD_USAGE, "the special token '%.60s' %s", text, wrong);
    if (pm_tokenizer_special(tokenizer, text, id)) {
        return pm_fail(error, PM_BAD_USAGE, "the tokenizer has the special token '%.60s' already", text);
    }
    if (tokenizer->n_special >= PM_TOKENIZER_MAX_SPECIAL || tokenizer->size >= PM_TOKENIZER_MAX_SIZE) {
        return pm_fail(error, PM_BAD_USAGE,
                       "the tokenizer has no room for the special token '%.60s': at most %u tokens, %d of "
                       "them special",
                       text, PM_TOKENIZER_MAX_SIZE, PM_TOKENIZER_MAX_SPECIAL);
    }
    *id = tokenizer->size;
    if (!pm_tokenizer_append(tokenizer, text, strlen(text), true)) return no_memory(error);
    return PM_OK;
}

bool pm_tokenizer_special(const pm_tokenizer *tokenizer, const char *text, uint32_t *id)
{
    size_t size = strlen(text);
    for (uint32_t i = 0; i < tokenizer->n_special; i++) {
        const pm_token *token = &tokenizer->tokens[tokenizer->special[i]];
        if (token->size == size && memcmp(tokenizer->text + token->at, text, size) == 0) {
            *id = tokenizer->special[i];
            return true;
        }
    }
    return false;
}

bool pm_tokenizer_is_special(const pm_tokenizer *tokenizer, uint32_t id)
{
    return id < tokenizer->size && tokenizer->tokens[id].special;
}

/* ---- What it has --------------------------------------------------------------------------------------- */

pm_tokenizer_kind pm_tokenizer_kind_of(const pm_tokenizer *tokenizer)
{
    return tokenizer->kind;
}

uint32_t pm_tokenizer_size(const pm_tokenizer *tokenizer)
{
    return tokenizer->size;
}

const uint8_t *pm_tokenizer_token(const pm_tokenizer *tokenizer, uint32_t id, size_t *size)
{
    *size = 0;
    if (id >= tokenizer->size) return NULL;
    *size = tokenizer->tokens[id].size;
    return tokenizer->text + tokenizer->tokens[id].at;
}

pm_status pm_tokenizer_decode(const pm_tokenizer *tokenizer, const uint32_t *ids, size_t count,
                              uint8_t **text, size_t *size, pm_error *error)
{
    *text = NULL;
    *size = 0;
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        if (ids[i] >= tokenizer->size) {
            return pm_fail(error, PM_BAD_USAGE,
                           "token %zu is number %u, and the tokenizer's %u tokens are numbered from 0", i,
                           ids[i], tokenizer->size);
        }
        total += tokenizer->tokens[ids[i]].size;
        if (total > PM_TOKENIZER_MAX_TEXT) {
            return pm_fail(error, PM_BAD_USAGE, "%zu tokens make a text of more than %d bytes", count,
                           PM_TOKENIZER_MAX_TEXT);
        }
    }
    uint8_t *joined = malloc(total + 1);
    if (!joined) return no_memory(error);
    for (size_t i = 0, at = 0; i < count; i++) {
        const pm_token *token = &tokenizer->tokens[ids[i]];
        memcpy(joined + at, tokenizer->text + token->at, token->size);
        at += token->size;
    }
    joined[total] = 0;
    *text = joined;
    *size = total;
    return PM_OK;
}

/* Of one character as it is shown: at most two bytes as \xNN, and a NUL. */
enum { SHOWN_BYTES = 12 };

/* One character of [length] bytes, or one byte that is none, as a terminal may have it. */
static void show_character(const uint8_t *at, size_t length, uint32_t code_point, char out[SHOWN_BYTES])
{
    const char *known = code_point == '\n'   ? "\\n"
                        : code_point == '\t' ? "\\t"
                        : code_point == '\r' ? "\\r"
                        : code_point == '\\' ? "\\\\"
                                             : NULL;
    bool control = code_point < 0x20 || (code_point >= 0x7f && code_point < 0xa0);
    if (known) {
        (void)snprintf(out, SHOWN_BYTES, "%s", known);
    } else if (control || code_point == PM_UTF8_MALFORMED) {
        for (size_t i = 0; i < length; i++) (void)snprintf(out + 4 * i, 5, "\\x%02x", at[i]);
    } else {
        memcpy(out, at, length);
        out[length] = 0;
    }
}

void pm_tokenizer_show(const pm_tokenizer *tokenizer, uint32_t id, char *out, size_t room)
{
    size_t size, written = 0, cut = 0; /* cut: the last place where "..." fits */
    const uint8_t *token = pm_tokenizer_token(tokenizer, id, &size);
    out[0] = 0;
    for (size_t at = 0, length; at < size; at += length) {
        uint32_t code_point;
        char shown[SHOWN_BYTES];
        length = pm_utf8_read(token + at, size - at, &code_point);
        show_character(token + at, length, code_point, shown);
        size_t bytes = strlen(shown);
        if (written + bytes + 1 > room) {
            memcpy(out + cut, "...", 4);
            return;
        }
        memcpy(out + written, shown, bytes + 1);
        written += bytes;
        if (written + 4 <= room) cut = written;
    }
}
