/* Tokenizers as the tests of them make and compare them; each function fails the test when something is
 * wrong. */
#ifndef PM_TESTS_TOKENIZER_HELPERS_H
#define PM_TESTS_TOKENIZER_HELPERS_H

#include "file_helpers.h"

#include "text/tokenizer_internal.h"

#define FIXTURES PM_SOURCE_DIR "/tests/fixtures/tokenizer"

static pm_error error;

static inline pm_tokenizer *load(const char *path)
{
    pm_tokenizer *t;
    expect_ok(pm_tokenizer_load(path, &t, &error), &error);
    return t;
}

static inline pm_tokenizer *parse(const char *json)
{
    pm_tokenizer *t;
    expect_ok(pm_tokenizer_parse(json, strlen(json), "here", &t, &error), &error);
    return t;
}

static inline char *json_of(const pm_tokenizer *t)
{
    char *json;
    expect_ok(pm_tokenizer_json(t, &json, &error), &error);
    return json;
}

static inline pm_tokenizer *characters_of(const char *text)
{
    pm_tokenizer *t;
    expect_ok(pm_tokenizer_characters((const uint8_t *)text, strlen(text), &t, &error), &error);
    return t;
}

/* Encodes, decodes and compares; the ids, if wanted. */
static inline void round_trip(const pm_tokenizer *t, const uint8_t *text, size_t size, bool allow_special)
{
    uint32_t *ids;
    size_t count, back_size;
    uint8_t *back;
    expect_ok(pm_tokenizer_encode(t, text, size, allow_special, &ids, &count, &error), &error);
    for (size_t i = 0; i < count; i++) {
        assert_true(ids[i] < pm_tokenizer_size(t));
        assert_true(allow_special || !pm_tokenizer_is_special(t, ids[i]));
    }
    expect_ok(pm_tokenizer_decode(t, ids, count, &back, &back_size, &error), &error);
    assert_int_equal(back_size, size);
    assert_memory_equal(back, text, size);
    assert_int_equal(back[size], 0);
    free(ids);
    free(back);
}

static inline char *read_text(const char *path)
{
    size_t size;
    uint8_t *bytes = get_file(path, &size);
    bytes[size] = 0;
    return (char *)bytes;
}

#endif
