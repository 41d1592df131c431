/* PNG files and their text chunks; see png.h. */
#include "files/png.h"

#include "base/checked.h"
#include "files/file_error.h"
#include "files/file_io.h"
#include "files/image_codec.h"

#include <stdlib.h>
#include <string.h>

#include <zlib.h>

enum {
    CHUNK_OVERHEAD = 12, /* length, type, check sum */
    HEADER_END = 8 + CHUNK_OVERHEAD + 13,
    LONGEST_KEY = 79
};
static const uint8_t SIGNATURE[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
static const size_t LARGEST_FILE = (size_t)1 << 30;
static const size_t LARGEST_CHUNK = 0x7fffffff; /* of the specification */

/* ---- Text as PNG wants it ------------------------------------------------------------------------------ */

static bool is_valid_key(const char *key)
{
    size_t length = strlen(key);
    if (length < 1 || length > LONGEST_KEY || key[0] == ' ' || key[length - 1] == ' ') return false;
    for (size_t i = 0; i < length; i++) {
        if (key[i] < 0x20 || key[i] > 0x7e || (key[i] == ' ' && key[i + 1] == ' ')) return false;
    }
    return true;
}

static bool is_ascii(const char *text)
{
    while (*text && (unsigned char)*text < 0x80) text++;
    return *text == 0;
}

/* Bytes of the UTF-8 sequence that begins at `at`, of which `left` can be read; 0 when it is malformed (RFC
 * 3629). */
static size_t utf8_sequence(const uint8_t *at, size_t left)
{
    static const uint32_t smallest[5] = {0, 0, 0x80, 0x800, 0x10000};
    if (at[0] < 0x80) return 1;
    size_t length = at[0] >= 0xf0 && at[0] < 0xf8 ? 4 : at[0] >= 0xe0 ? 3 : 2;
    if (at[0] < 0xc0 || at[0] >= 0xf8 || length > left) return 0;
    uint32_t code = at[0] & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80) return 0;
        code = code << 6 | (at[i] & 0x3fu);
    }
    bool allowed = code >= smallest[length] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
    return allowed ? length : 0;
}

static bool is_utf8(const uint8_t *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t length = utf8_sequence(text + at, size - at);
        if (length == 0) return false;
        at += length;
    }
    return true;
}

/* Latin-1, NUL-terminated, to UTF-8 from malloc. */
static char *utf8_from_latin1(const uint8_t *text, size_t size)
{
    char *out = malloc(2 * size + 1), *at = out;
    if (!out) return NULL;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < 0x80) {
            *at++ = (char)text[i];
        } else {
            *at++ = (char)(0xc0 | text[i] >> 6);
            *at++ = (char)(0x80 | (text[i] & 0x3f));
        }
    }
    *at = 0;
    return out;
}

/* ---- Writing ------------------------------------------------------------------------------------------- */

static void put_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (24 - 8 * i));
}

static size_t text_chunk_size(const pm_text_pair *text)
{
    size_t fields = is_ascii(text->value) ? 1 : 5; /* see write_text_chunk */
    return CHUNK_OVERHEAD + strlen(text->key) + fields + strlen(text->value);
}

/* Writes a chunk of text_chunk_size() bytes and returns where the next one goes. */
static uint8_t *write_text_chunk(uint8_t *at, const pm_text_pair *text)
{
    bool ascii = is_ascii(text->value);
    size_t total = text_chunk_size(text), key_bytes = strlen(text->key);
    /* tEXt: key, NUL, text. iTXt: key, NUL, not compressed, method 0, language (empty), NUL, translated key
     * (empty), NUL, text. */
    memset(at, 0, total);
    put_u32(at, (uint32_t)(total - CHUNK_OVERHEAD));
    memcpy(at + 4, ascii ? "tEXt" : "iTXt", 4);
    memcpy(at + 8, text->key, key_bytes);
    memcpy(at + 8 + key_bytes + (ascii ? 1 : 5), text->value, strlen(text->value));
    put_u32(at + total - 4, (uint32_t)crc32(0, at + 4, (uInt)(total - 8)));
    return at + total;
}

static pm_status check_texts(const char *path, const pm_text_pair *texts, size_t count, size_t *bytes,
                             pm_error *error)
{
    if (count > PM_PNG_MAX_TEXTS) {
        return pm_fail_at(error, PM_BAD_USAGE, path, "%zu texts to write; at most %d", count,
                          PM_PNG_MAX_TEXTS);
    }
    *bytes = 0;
    for (size_t i = 0; i < count; i++) {
        if (!is_valid_key(texts[i].key)) {
            return pm_fail_at(error, PM_BAD_USAGE, path, "'%s' cannot be the key of a PNG's text",
                              texts[i].key);
        }
        size_t length = strlen(texts[i].value);
        if (!is_utf8((const uint8_t *)texts[i].value, length) || length > LARGEST_CHUNK / 2) {
            return pm_fail_at(error, PM_BAD_USAGE, path, "the text of '%s' is not UTF-8, or too long",
                              texts[i].key);
        }
        *bytes += text_chunk_size(&texts[i]);
    }
    return PM_OK;
}

pm_status pm_png_write(const char *path, const pm_image *image, const pm_text_pair *texts, size_t count,
                       pm_error *error)
{
    size_t text_bytes = 0, png_bytes;
    pm_status status = check_texts(path, texts, count, &text_bytes, error);
    if (status != PM_OK) return status;
    if (!image->pixels) return pm_fail_at(error, PM_BAD_USAGE, path, "the image to write is empty");
    uint8_t *png =
        pm_codec_encode_png(image->pixels, image->width, image->height, image->channels, &png_bytes);
    uint8_t *chunks = malloc(text_bytes + 1), *at = chunks;
    if (png && chunks) {
        for (size_t i = 0; i < count; i++) at = write_text_chunk(at, &texts[i]);
        const pm_bytes parts[] = {
            {png, HEADER_END}, {chunks, text_bytes}, {png + HEADER_END, png_bytes - HEADER_END}};
        status = pm_write_file(path, parts, 3, error);
    } else {
        status = pm_fail_memory(error, path);
    }
    free(chunks);
    free(png);
    return status;
}

/* ---- Reading ------------------------------------------------------------------------------------------- */

typedef struct chunk {
    char type[5];
    const uint8_t *data;
    size_t size;
} chunk;

static uint32_t get_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Reads the chunk at *at and moves *at behind it. */
static pm_status next_chunk(const uint8_t *bytes, size_t size, size_t *at, const char *where, chunk *out,
                            pm_error *error)
{
    size_t left = size - *at;
    if (left < CHUNK_OVERHEAD) {
        return pm_fail_at(error, PM_BAD_FILE, where, "the PNG is cut off; was it downloaded completely?");
    }
    const uint8_t *begin = bytes + *at;
    out->size = get_u32(begin);
    memcpy(out->type, begin + 4, 4);
    out->type[4] = 0;
    out->data = begin + 8;
    for (int i = 0; i < 4; i++) {
        if (out->type[i] < 'A' || out->type[i] > 'z' || (out->type[i] > 'Z' && out->type[i] < 'a')) {
            return pm_fail_at(error, PM_BAD_FILE, where, "the PNG has garbage at byte %zu", *at);
        }
    }
    if (out->size > LARGEST_CHUNK || out->size > left - CHUNK_OVERHEAD) {
        return pm_fail_at(error, PM_BAD_FILE, where, "chunk %s at byte %zu of the PNG ends outside the file",
                          out->type, *at);
    }
    if (crc32(0, begin + 4, (uInt)(out->size + 4)) != get_u32(out->data + out->size)) {
        return pm_fail_at(error, PM_BAD_FILE, where,
                          "chunk %s at byte %zu of the PNG is damaged (its check sum is wrong)", out->type,
                          *at);
    }
    *at += out->size + CHUNK_OVERHEAD;
    return PM_OK;
}

/* Visits every chunk from the first, which must be IHDR, to IEND, and leaves *end behind that. */
static pm_status for_each_chunk(const uint8_t *bytes, size_t size, const char *where,
                                pm_status (*visit)(void *user, const chunk *found), void *user, size_t *end,
                                pm_error *error)
{
    if (!pm_png_is(bytes, size)) return pm_fail_at(error, PM_BAD_FILE, where, "it is not a PNG file");
    size_t at = sizeof SIGNATURE;
    for (bool first = true;; first = false) {
        chunk found;
        pm_status status = next_chunk(bytes, size, &at, where, &found, error);
        if (status != PM_OK) return status;
        bool is_header = strcmp(found.type, "IHDR") == 0;
        if (is_header != first || (is_header && found.size != 13)) {
            return pm_fail_at(error, PM_BAD_FILE, where, "the PNG does not begin with one IHDR chunk");
        }
        if (visit) status = visit(user, &found);
        if (status != PM_OK) return status;
        if (strcmp(found.type, "IEND") == 0) break;
    }
    *end = at;
    return PM_OK;
}

bool pm_png_is(const uint8_t *bytes, size_t size)
{
    return size >= sizeof SIGNATURE && memcmp(bytes, SIGNATURE, sizeof SIGNATURE) == 0;
}

pm_status pm_png_check(const uint8_t *bytes, size_t size, const char *where, uint32_t *width,
                       uint32_t *height, pm_error *error)
{
    size_t end;
    *width = *height = 0;
    pm_status status = for_each_chunk(bytes, size, where, NULL, NULL, &end, error);
    if (status == PM_OK) { /* so the first chunk is a whole IHDR */
        *width = get_u32(bytes + 16);
        *height = get_u32(bytes + 20);
    }
    return status;
}

/* What the visitor of text chunks needs. */
typedef struct text_reader {
    pm_png_texts *texts;
    const char *where;
    pm_error *error;
} text_reader;

/* The part of an iTXt chunk after its key, as UTF-8 from malloc in *value; NULL there when it is
 * compressed. */
static pm_status read_international(const text_reader *in, const uint8_t *at, size_t left, char **value)
{
    *value = NULL;
    if (left < 2)
        return pm_fail_at(in->error, PM_BAD_FILE, in->where, "an iTXt chunk of the PNG is too short");
    bool compressed = at[0] != 0;
    at += 2;
    left -= 2;
    for (int field = 0; field < 2; field++) { /* language, translated key */
        const uint8_t *end = memchr(at, 0, left);
        if (!end)
            return pm_fail_at(in->error, PM_BAD_FILE, in->where, "an iTXt chunk of the PNG lacks a field");
        left -= (size_t)(end + 1 - at);
        at = end + 1;
    }
    if (compressed) return PM_OK;
    if (memchr(at, 0, left) || !is_utf8(at, left)) {
        return pm_fail_at(in->error, PM_BAD_FILE, in->where, "an iTXt chunk of the PNG is not UTF-8 text");
    }
    *value = calloc(left + 1, 1);
    if (!*value) return pm_fail_memory(in->error, in->where);
    memcpy(*value, at, left);
    return PM_OK;
}

static pm_status read_plain(const text_reader *in, const uint8_t *at, size_t left, char **value)
{
    if (memchr(at, 0, left)) {
        return pm_fail_at(in->error, PM_BAD_FILE, in->where, "a tEXt chunk of the PNG has a NUL in its text");
    }
    *value = utf8_from_latin1(at, left);
    return *value ? PM_OK : pm_fail_memory(in->error, in->where);
}

static pm_status visit_text(void *user, const chunk *found)
{
    const text_reader *in = user;
    bool plain = strcmp(found->type, "tEXt") == 0;
    if (!plain && strcmp(found->type, "iTXt") != 0) return PM_OK;
    const uint8_t *key_end = memchr(found->data, 0, found->size);
    size_t key_bytes = key_end ? (size_t)(key_end - found->data) : 0;
    if (key_bytes < 1 || key_bytes > LONGEST_KEY) {
        return pm_fail_at(in->error, PM_BAD_FILE, in->where,
                          "a text chunk of the PNG has no key of 1 to %d bytes", LONGEST_KEY);
    }
    if (in->texts->count >= PM_PNG_MAX_TEXTS) {
        return pm_fail_at(in->error, PM_BAD_FILE, in->where, "the PNG has more than %d texts",
                          PM_PNG_MAX_TEXTS);
    }
    const uint8_t *rest = key_end + 1;
    size_t left = found->size - key_bytes - 1;
    char *value = NULL;
    pm_status status =
        plain ? read_plain(in, rest, left, &value) : read_international(in, rest, left, &value);
    if (status != PM_OK || !value) return status;
    char *key = utf8_from_latin1(found->data, key_bytes);
    if (!key) {
        free(value);
        return pm_fail_memory(in->error, in->where);
    }
    in->texts->pairs[in->texts->count++] = (pm_text_pair){key, value};
    return PM_OK;
}

pm_status pm_png_texts_from_bytes(const uint8_t *bytes, size_t size, const char *where, pm_png_texts *out,
                                  pm_error *error)
{
    memset(out, 0, sizeof *out);
    out->pairs = calloc(PM_PNG_MAX_TEXTS, sizeof *out->pairs);
    if (!out->pairs) return pm_fail_memory(error, where);
    text_reader reader = {.texts = out, .where = where, .error = error};
    size_t end = 0;
    pm_status status = for_each_chunk(bytes, size, where, visit_text, &reader, &end, error);
    if (status == PM_OK && end != size) {
        status = pm_fail_at(error, PM_BAD_FILE, where, "%zu bytes follow the end of the PNG", size - end);
    }
    if (status != PM_OK) pm_png_texts_free(out);
    return status;
}

pm_status pm_png_read_texts(const char *path, pm_png_texts *out, pm_error *error)
{
    uint8_t *bytes;
    size_t size;
    memset(out, 0, sizeof *out);
    pm_status status = pm_read_file(path, LARGEST_FILE, &bytes, &size, error);
    if (status != PM_OK) return status;
    status = pm_png_texts_from_bytes(bytes, size, path, out, error);
    free(bytes);
    return status;
}

void pm_png_texts_free(pm_png_texts *texts)
{
    for (size_t i = 0; i < texts->count; i++) {
        free((char *)texts->pairs[i].key);
        free((char *)texts->pairs[i].value);
    }
    free(texts->pairs);
    memset(texts, 0, sizeof *texts);
}
