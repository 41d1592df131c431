/* Encodes text; see tokenizer.h. */
#include "text/tokenizer_internal.h"

#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

typedef struct encoder {
    const pm_tokenizer *tokenizer;
    const uint8_t *text; /* [size], all of it */
    size_t size;
    uint32_t *ids;
    size_t count, room;
    pm_bpe_scratch scratch;
    bool begins_special[256]; /* whether a special token begins with this byte */
    uint32_t ascii_id[128];   /* of characters: the token of each that is one byte, or PM_NO_TOKEN */
} encoder;

static pm_status no_memory(const encoder *e, pm_error *error)
{
    return pm_fail(error, PM_NO_MEMORY, "the memory of this machine ran out for the tokens of %zu bytes",
                   e->size);
}

/* Makes room for `more` ids: at most 2^31 in all, as the text has bytes. */
static bool reserve(encoder *e, size_t more)
{
    if (e->room - e->count >= more) return true;
    size_t room = e->room + e->room / 2 + more;
    uint32_t *ids = realloc(e->ids, room * sizeof *ids);
    if (!ids) return false;
    e->ids = ids;
    e->room = room;
    return true;
}

/* ---- Characters ---------------------------------------------------------------------------------------- */

static uint32_t find_character(const pm_tokenizer *t, uint32_t code_point)
{
    uint32_t low = 0, high = t->n_characters;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (t->code_points[middle] < code_point) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < t->n_characters && t->code_points[low] == code_point ? low : PM_NO_TOKEN;
}

static pm_status unknown_character(const encoder *e, size_t place, uint32_t code_point, pm_error *error)
{
    size_t line = 1, column = 1, length;
    for (size_t at = 0; at < place; at += length) {
        uint32_t passed;
        length = pm_utf8_read(e->text + at, e->size - at, &passed);
        column = passed == '\n' ? 1 : column + 1;
        line += passed == '\n';
    }
    if (code_point == PM_UTF8_MALFORMED) {
        return pm_fail(
            error, PM_BAD_USAGE,
            "line %zu, column %zu of the text (byte %zu) is the byte 0x%02x, which is not UTF-8 and "
            "not among the tokenizer's %u tokens: remove it",
            line, column, place, e->text[place], e->tokenizer->size);
    }
    char shown[5] = {0};
    (void)pm_utf8_write(code_point, (uint8_t *)shown);
    return pm_fail(error, PM_BAD_USAGE,
                   "line %zu, column %zu of the text (byte %zu) is the character '%s' (U+%04X), which is not "
                   "among the tokenizer's %u tokens: remove it",
                   line, column, place, shown, code_point, e->tokenizer->size);
}

/* Most of a text is ASCII, which needs no search. */
static void find_ascii(encoder *e)
{
    for (uint32_t i = 0; i < 128; i++) e->ascii_id[i] = find_character(e->tokenizer, i);
}

static size_t character_at(const encoder *e, size_t at, size_t to, uint32_t *code_point, uint32_t *id)
{
    *code_point = e->text[at];
    if (*code_point < 128) {
        *id = e->ascii_id[*code_point];
        return 1;
    }
    size_t length = pm_utf8_read(e->text + at, to - at, code_point);
    *id = *code_point == PM_UTF8_MALFORMED ? e->tokenizer->byte_id[e->text[at]]
                                           : find_character(e->tokenizer, *code_point);
    return length;
}

static pm_status encode_characters(encoder *e, size_t from, size_t to, pm_error *error)
{
    for (size_t at = from, length; at < to; at += length) {
        uint32_t code_point, id;
        length = character_at(e, at, to, &code_point, &id);
        if (id == PM_NO_TOKEN) return unknown_character(e, at, code_point, error);
        if (!reserve(e, 1)) return no_memory(e, error);
        e->ids[e->count++] = id;
    }
    return PM_OK;
}

/* ---- Bytes and BPE ------------------------------------------------------------------------------------- */

static pm_status encode_bytes(encoder *e, size_t from, size_t to, pm_error *error)
{
    if (!reserve(e, to - from)) return no_memory(e, error);
    for (size_t at = from; at < to; at++) e->ids[e->count++] = e->text[at];
    return PM_OK;
}

static pm_status encode_bpe(encoder *e, size_t from, size_t to, pm_error *error)
{
    for (size_t at = from; at < to;) {
        size_t size = pm_next_word(e->text + at, to - at), count;
        if (!reserve(e, size) ||
            !pm_bpe_word(e->tokenizer, &e->scratch, e->text + at, size, e->ids + e->count, &count)) {
            return no_memory(e, error);
        }
        e->count += count;
        at += size;
    }
    return PM_OK;
}

/* ---- All of a text ------------------------------------------------------------------------------------- */

/* Text without special tokens, from byte `from` to before byte `to`. */
static pm_status encode_part(encoder *e, size_t from, size_t to, pm_error *error)
{
    switch (e->tokenizer->kind) {
    case PM_TOKENIZER_BYTES:
        return encode_bytes(e, from, to, error);
    case PM_TOKENIZER_CHARACTERS:
        return encode_characters(e, from, to, error);
    case PM_TOKENIZER_BPE:
        return encode_bpe(e, from, to, error);
    }
    return PM_OK;
}

/* The longest special token that begins at byte `at`, or PM_NO_TOKEN. */
static uint32_t special_at(const encoder *e, size_t at)
{
    const pm_tokenizer *t = e->tokenizer;
    if (!e->begins_special[e->text[at]]) return PM_NO_TOKEN;
    for (uint32_t i = 0; i < t->n_special; i++) {
        const pm_token *token = &t->tokens[t->special[i]];
        if (token->size <= e->size - at && memcmp(t->text + token->at, e->text + at, token->size) == 0) {
            return t->special[i];
        }
    }
    return PM_NO_TOKEN;
}

static pm_status encode_all(encoder *e, bool allow_special, pm_error *error)
{
    const pm_tokenizer *t = e->tokenizer;
    for (uint32_t i = 0; allow_special && i < t->n_special; i++) {
        e->begins_special[t->text[t->tokens[t->special[i]].at]] = true;
    }
    size_t from = 0;
    for (size_t at = 0; allow_special && at < e->size;) {
        uint32_t id = special_at(e, at);
        if (id == PM_NO_TOKEN) {
            at++;
            continue;
        }
        pm_status status = encode_part(e, from, at, error);
        if (status != PM_OK) return status;
        if (!reserve(e, 1)) return no_memory(e, error);
        e->ids[e->count++] = id;
        at += t->tokens[id].size;
        from = at;
    }
    return encode_part(e, from, e->size, error);
}

pm_status pm_tokenizer_encode(const pm_tokenizer *tokenizer, const uint8_t *text, size_t size,
                              bool allow_special, uint32_t **ids, size_t *count, pm_error *error)
{
    *ids = NULL;
    *count = 0;
    if (size > PM_TOKENIZER_MAX_TEXT) {
        return pm_fail(error, PM_BAD_USAGE, "the text has %zu bytes; at most %d are encoded at once", size,
                       PM_TOKENIZER_MAX_TEXT);
    }
    encoder e = {.tokenizer = tokenizer, .text = text, .size = size};
    find_ascii(&e);
    pm_status status = reserve(&e, 1) ? encode_all(&e, allow_special, error) : no_memory(&e, error);
    free(e.scratch.memory);
    if (status != PM_OK) {
        free(e.ids);
        return status;
    }
    uint32_t *fitted = realloc(e.ids, (e.count > 0 ? e.count : 1) * sizeof *fitted);
    *ids = fitted ? fitted : e.ids;
    *count = e.count;
    return PM_OK;
}
