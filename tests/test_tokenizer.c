/* Tokenizers: against what Hugging Face's library encodes (tests/fixtures/make_tokenizer.py), and text there
 * and back. Files that are wrong: test_tokenizer_files.c. */
#include "tokenizer_helpers.h"

#include "files/json_util.h"
#include "text/unicode_table.h"
#include "text/utf8.h"

/* ---- Helpers ------------------------------------------------------------------------------------------- */

static void expect_ids(const pm_tokenizer *t, const void *text, size_t size, bool allow_special,
                       const uint32_t *wanted, size_t n_wanted)
{
    uint32_t *ids;
    size_t count;
    expect_ok(pm_tokenizer_encode(t, text, size, allow_special, &ids, &count, &error), &error);
    for (size_t i = 0; i < count && i < n_wanted; i++) {
        if (ids[i] != wanted[i]) {
            fail_msg("'%.*s': token %zu is %u, not %u", (int)size, (const char *)text, i, ids[i], wanted[i]);
        }
    }
    assert_int_equal(count, n_wanted);
    free(ids);
}

#define EXPECT_IDS(t, text, special, ...)                                       \
    expect_ids(t, text, strlen(text), special, (const uint32_t[]){__VA_ARGS__}, \
               sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static void show(const pm_tokenizer *t, uint32_t id, size_t room, const char *wanted)
{
    char shown[64];
    pm_tokenizer_show(t, id, shown, room);
    assert_string_equal(shown, wanted);
}

/* ---- Characters of Unicode ----------------------------------------------------------------------------- */

static void utf8_is_read_as_it_is_written(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < 0x110000; c++) {
        uint8_t bytes[4];
        uint32_t read;
        size_t size = pm_utf8_write(c, bytes), wanted = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        bool surrogate = c >= 0xd800 && c < 0xe000;
        assert_int_equal(size, wanted);
        assert_int_equal(pm_utf8_read(bytes, size, &read), surrogate ? 1 : size);
        assert_int_equal(read, surrogate ? PM_UTF8_MALFORMED : c);
        if (size > 1) assert_int_equal(pm_utf8_read(bytes, size - 1, &read), 1);
    }
    static const char *const WRONG[] = {"\x80",
                                        "\xbf\x80",
                                        "\xc0\x80",
                                        "\xc1\xbf",
                                        "\xe0\x9f\xbf",
                                        "\xf0\x8f\xbf\xbf",
                                        "\xf4\x90\x80\x80",
                                        "\xf5\x80\x80\x80",
                                        "\xff",
                                        "\xc3(",
                                        "\xe2\x82(",
                                        "\xf0\x9f\x98("};
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
        uint32_t read;
        assert_int_equal(pm_utf8_read((const uint8_t *)WRONG[i], strlen(WRONG[i]), &read), 1);
        assert_int_equal(read, PM_UTF8_MALFORMED);
    }
}

static void kinds_of_characters(void **state)
{
    (void)state;
    for (size_t i = 0; i < pm_unicode_range_count; i++) {
        const pm_unicode_range *range = &pm_unicode_ranges[i];
        assert_true(range->first <= range->last && range->last < 0x110000);
        assert_true(i == 0 || range[-1].last < range->first);
        assert_int_equal(pm_unicode_kind_of(range->first), range->kind);
        assert_int_equal(pm_unicode_kind_of(range->last), range->kind);
    }
    static const uint32_t LETTERS[] = {'a',   'Z',   0xaa,  0xe9,   0x1c5,  0x2b0,
                                       0x430, 0x5d0, 0xe17, 0x3042, 0x4e00, 0x2fa1d};
    static const uint32_t NUMBERS[] = {'0', '9', 0xb2, 0xbd, 0x663, 0x968, 0x2167, 0x3007, 0x1d7ff};
    static const uint32_t SPACES[] = {' ',    '\t',   '\r',   0x85,   0xa0,  0x1680,
                                      0x2003, 0x2028, 0x2029, 0x202f, 0x3000};
    static const uint32_t OTHERS[] = {0,      8,      14,     0x1c,    '_',      '\'',     0x301,     0x180e,
                                      0x200b, 0x200d, 0xfeff, 0x1f600, 0x10ffff, 0x110000, 0xffffffff};
#define ALL(list, wanted)                                   \
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) \
    assert_int_equal(pm_unicode_kind_of(list[i]), wanted)
    ALL(LETTERS, PM_UNICODE_LETTER);
    ALL(NUMBERS, PM_UNICODE_NUMBER);
    ALL(SPACES, PM_UNICODE_SPACE);
    ALL(OTHERS, PM_UNICODE_OTHER);
}

static void alphabet_there_and_back(void **state)
{
    (void)state;
    uint8_t bytes[256], back[256];
    char text[512];
    for (size_t i = 0; i < 256; i++) bytes[i] = (uint8_t)i;
    size_t size = pm_alphabet_write(bytes, 256, text);
    assert_int_equal(size, 94 + 2 * 162); /* only 33 to 126 are one byte of UTF-8 */
    assert_int_equal(pm_alphabet_read(text, size, back), 256);
    assert_memory_equal(back, bytes, 256);
    size = pm_alphabet_write((const uint8_t *)" \n\xad\x7f\xa1", 5, text);
    assert_int_equal(size, 10);
    assert_memory_equal(text, "\u0120\u010a\u0143\u0121\u00a1", 10);
    static const char *const OUTSIDE[] = {" ", "\n", "\u00a0", "\u00ad", "\u0144", "\u3042", "\xff"};
    for (size_t i = 0; i < sizeof OUTSIDE / sizeof *OUTSIDE; i++) {
        assert_true(pm_alphabet_read(OUTSIDE[i], strlen(OUTSIDE[i]), back) == SIZE_MAX);
    }
}

/* ---- Bytes and characters ------------------------------------------------------------------------------ */

static void bytes_are_their_own_numbers(void **state)
{
    (void)state;
    pm_tokenizer *t;
    expect_ok(pm_tokenizer_bytes(&t, &error), &error);
    assert_int_equal(pm_tokenizer_size(t), 256);
    assert_int_equal(pm_tokenizer_kind_of(t), PM_TOKENIZER_BYTES);
    uint8_t all[256];
    uint32_t ids[256];
    for (uint32_t i = 0; i < 256; i++) all[i] = (uint8_t)(ids[i] = 255 - i);
    expect_ids(t, all, 256, true, ids, 256);
    round_trip(t, all, 256, false);
    round_trip(t, NULL, 0, true);
    char *json = json_of(t);
    assert_string_equal(json, "{\"kind\":\"bytes\"}");
    free(json);

    uint32_t end, found;
    expect_ok(pm_tokenizer_add_special(t, PM_END_OF_TEXT, &end, &error), &error);
    assert_int_equal(end, 256);
    assert_int_equal(pm_tokenizer_size(t), 257);
    assert_true(pm_tokenizer_special(t, PM_END_OF_TEXT, &found) && found == 256);
    assert_true(pm_tokenizer_is_special(t, 256) && !pm_tokenizer_is_special(t, 255));
    assert_false(pm_tokenizer_is_special(t, 257));
    EXPECT_IDS(t, "a<|endoftext|>b", true, 'a', 256, 'b');
    EXPECT_IDS(t, "<|en", true, '<', '|', 'e', 'n');
    json = json_of(t);
    assert_string_equal(json, "{\"kind\":\"bytes\",\"special\":{\"<|endoftext|>\":256}}");
    pm_tokenizer *again = parse(json);
    EXPECT_IDS(again, "<|endoftext|>", true, 256);
    pm_tokenizer_destroy(again);
    free(json);

    expect_failure(pm_tokenizer_add_special(t, PM_END_OF_TEXT, &end, &error), PM_BAD_USAGE, &error,
                   "already");
    expect_failure(pm_tokenizer_add_special(t, "", &end, &error), PM_BAD_USAGE, &error, "is empty");
    expect_failure(pm_tokenizer_add_special(t, "\xff", &end, &error), PM_BAD_USAGE, &error, "not UTF-8");
    show(t, '\n', 8, "\\n");
    show(t, 0x80, 8, "\\x80");
    show(t, 'A', 8, "A");
    show(t, '\\', 8, "\\\\");
    show(t, 256, 64, "<|endoftext|>");
    show(t, 256, 14, "<|endoftext|>");
    show(t, 256, 13, "<|endofte...");
    show(t, 257, 8, "");
    pm_tokenizer_destroy(t);
}

static void characters_in_order(void **state)
{
    (void)state;
    pm_tokenizer *t = characters_of("b\u00e9a\xff\u3042 b\xfe");
    assert_int_equal(pm_tokenizer_kind_of(t), PM_TOKENIZER_CHARACTERS);
    assert_int_equal(pm_tokenizer_size(t), 7);
    EXPECT_IDS(t, " ab\u00e9\u3042\xfe\xff", false, 0, 1, 2, 3, 4, 5, 6);
    size_t size;
    assert_memory_equal(pm_tokenizer_token(t, 3, &size), "\u00e9", 2);
    assert_int_equal(size, 2);
    assert_null(pm_tokenizer_token(t, 7, &size));
    char *json = json_of(t);
    assert_string_equal(json, "{\"kind\":\"characters\",\"characters\":[32,32,97,98,233,233,12354,12354],"
                              "\"bytes\":[254,255]}");
    pm_tokenizer *again = parse(json);
    EXPECT_IDS(again, "\u3042\xff", false, 4, 6);
    free(json);
    pm_tokenizer_destroy(again);

    uint32_t *ids;
    size_t count;
    const char *unknown = "ab\n", *second = "ab \xe3\x81\x82\u00e9\u010d a", *third = "a\xfd";
    expect_failure(pm_tokenizer_encode(t, (const uint8_t *)unknown, 3, false, &ids, &count, &error),
                   PM_BAD_USAGE, &error,
                   "line 1, column 3 of the text (byte 2) is the character '?' (U+000A)");
    assert_true(ids == NULL && count == 0);
    expect_failure(
        pm_tokenizer_encode(t, (const uint8_t *)second, strlen(second), false, &ids, &count, &error),
        PM_BAD_USAGE, &error, "column 6 of the text (byte 8) is the character '\u010d' (U+010D)");
    expect_failure(pm_tokenizer_encode(t, (const uint8_t *)third, 2, false, &ids, &count, &error),
                   PM_BAD_USAGE, &error, "column 2 of the text (byte 1) is the byte 0xfd");
    pm_tokenizer_destroy(t);

    t = characters_of("a\nb");
    expect_failure(pm_tokenizer_encode(t, (const uint8_t *)"a\nba\nbbc", 8, false, &ids, &count, &error),
                   PM_BAD_USAGE, &error, "line 3, column 3 of the text (byte 7) is the character 'c'");
    pm_tokenizer_destroy(t);
    expect_failure(pm_tokenizer_characters(NULL, 0, &t, &error), PM_BAD_USAGE, &error, "empty");
}

/* Every character that there is, and every byte that can be wrong; and texts of random bytes. */
static void characters_of_anything(void **state)
{
    (void)state;
    size_t size = 0;
    uint8_t *text = malloc(0x110000 * 4 + 128);
    assert_non_null(text);
    for (uint32_t c = 0; c < 0x110000 - 0x20000; c++) {
        if (c < 0xd800 || c >= 0xe000) size += pm_utf8_write(c, text + size);
    }
    for (unsigned byte = 0x80; byte < 0x100; byte++) text[size++] = (uint8_t)byte;
    pm_tokenizer *t;
    expect_ok(pm_tokenizer_characters(text, size, &t, &error), &error);
    assert_int_equal(pm_tokenizer_size(t), 0x110000 - 0x20000 - 0x800 + 128);
    round_trip(t, text, size, false);
    char *json = json_of(t);
    assert_string_equal(
        json, "{\"kind\":\"characters\",\"characters\":[0,55295,57344,983039],\"bytes\":[128,255]}");
    pm_tokenizer *again = parse(json);
    round_trip(again, text, size, false);
    free(json);
    pm_tokenizer_destroy(again);
    pm_tokenizer_destroy(t);

    uint64_t random = 11;
    for (int i = 0; i < 20; i++) {
        for (size = 0; size < 50; size++) text[size] = (uint8_t)next_random(&random);
        expect_ok(pm_tokenizer_characters(text, size, &t, &error), &error);
        round_trip(t, text, size, false);
        pm_tokenizer_destroy(t);
    }
    free(text);
}

static void decode_checks_numbers(void **state)
{
    (void)state;
    pm_tokenizer *t = characters_of("ab");
    uint8_t *text;
    size_t size;
    const uint32_t ids[] = {0, 1, 2};
    expect_failure(pm_tokenizer_decode(t, ids, 3, &text, &size, &error), PM_BAD_USAGE, &error,
                   "token 2 is number 2, and the tokenizer's 2 tokens");
    assert_true(text == NULL && size == 0);
    pm_tokenizer_destroy(t);
}

/* ---- Byte pair encoding -------------------------------------------------------------------------------- */

static uint8_t *from_hex(const char *hex, size_t *size)
{
    *size = strlen(hex) / 2;
    uint8_t *bytes = malloc(*size + 1);
    assert_non_null(bytes);
    for (size_t i = 0; i < *size; i++) {
        unsigned byte;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        bytes[i] = (uint8_t)byte;
    }
    bytes[*size] = 0;
    return bytes;
}

/* Compares with all cases of the fixture but those with `without` in them, if given; returns how many. */
static size_t compare_with_cases(const pm_tokenizer *t, const char *without)
{
    char *json = read_text(FIXTURES "/cases.json");
    json_t *root = json_loads(json, JSON_REJECT_DUPLICATES, NULL), *cases = json_object_get(root, "cases");
    size_t compared = 0, i;
    json_t *one;
    json_array_foreach(cases, i, one)
    {
        size_t size;
        uint8_t *text = from_hex(json_string_value(json_object_get(one, "text")), &size);
        const json_t *ids = json_object_get(one, "ids");
        uint32_t *wanted = malloc((json_array_size(ids) + 1) * sizeof *wanted);
        assert_non_null(wanted);
        for (size_t k = 0; k < json_array_size(ids); k++) {
            wanted[k] = (uint32_t)json_integer_value(json_array_get(ids, k));
        }
        if (!without || !strstr((const char *)text, without)) {
            expect_ids(t, text, size, true, wanted, json_array_size(ids));
            compared++;
        }
        round_trip(t, text, size, true);
        round_trip(t, text, size, false);
        free(wanted);
        free(text);
    }
    json_decref(root);
    free(json);
    return compared;
}

static void bpe_as_the_library_has_it(void **state)
{
    (void)state;
    pm_tokenizer *t = load(FIXTURES); /* tokenizer.json */
    assert_int_equal(pm_tokenizer_size(t), 601);
    assert_int_equal(pm_tokenizer_kind_of(t), PM_TOKENIZER_BPE);
    uint32_t id;
    assert_true(pm_tokenizer_special(t, PM_END_OF_TEXT, &id) && id == 0);
    assert_true(pm_tokenizer_special(t, "<|mask|>>", &id) && id == 600);
    assert_false(pm_tokenizer_special(t, "the", &id));
    size_t cases = compare_with_cases(t, NULL);
    assert_true(cases > 200);

    char *json = json_of(t);
    pm_tokenizer *again = parse(json);
    char *json_again = json_of(again);
    assert_string_equal(json, json_again);
    assert_int_equal(compare_with_cases(again, NULL), cases);
    assert_true(strlen(json) < 9000);
    free(json_again);
    free(json);
    pm_tokenizer_destroy(again);
    pm_tokenizer_destroy(t);
}

static void bpe_of_vocabulary_and_merges(void **state)
{
    (void)state;
    static const char *const NAMES[] = {"vocab.json", "merges.txt"};
    for (size_t i = 0; i < 2; i++) {
        char path[512];
        (void)snprintf(path, sizeof path, FIXTURES "/%s", NAMES[i]);
        char *text = read_text(path);
        put_file(test_path(NAMES[i]), text, strlen(text));
        free(text);
    }
    pm_tokenizer *t = load(test_directory);
    assert_int_equal(pm_tokenizer_size(t), 600);
    assert_true(pm_tokenizer_is_special(t, 0) && pm_tokenizer_is_special(t, 1));
    for (uint32_t id = 2; id < 600; id++) assert_false(pm_tokenizer_is_special(t, id));
    assert_true(compare_with_cases(t, "<|mask|>>") > 200); /* which these files cannot say */
    pm_tokenizer_destroy(t);
}

/* Older files have "left right" where newer ones have ["left","right"]. */
static void bpe_with_merges_as_text(void **state)
{
    (void)state;
    char *json = read_text(FIXTURES "/tokenizer.json");
    json_t *root = json_loads(json, 0, NULL);
    json_t *merges = json_object_get(json_object_get(root, "model"), "merges");
    for (size_t i = 0; i < json_array_size(merges); i++) {
        const json_t *pair = json_array_get(merges, i);
        json_t *text = json_sprintf("%s %s", json_string_value(json_array_get(pair, 0)),
                                    json_string_value(json_array_get(pair, 1)));
        assert_int_equal(json_array_set_new(merges, i, text), 0);
    }
    char *older = json_dumps(root, JSON_COMPACT);
    pm_tokenizer *t = parse(older);
    assert_true(compare_with_cases(t, NULL) > 200);
    pm_tokenizer_destroy(t);
    free(older);
    json_decref(root);
    free(json);
}

static void special_only_when_allowed(void **state)
{
    (void)state;
    pm_tokenizer *t = load(FIXTURES "/tokenizer.json");
    const char *text = "x<|mask|>>y<|endoftext|>";
    uint32_t id;
    round_trip(t, (const uint8_t *)text, strlen(text), false); /* which checks that none is special */
    EXPECT_IDS(t, "<|mask|>><|mask|><|endoftext|>", true, 600, 1, 0);
    expect_ok(pm_tokenizer_add_special(t, "<|pad|>", &id, &error), &error);
    EXPECT_IDS(t, "<|pad|><|mask|>", true, 601, 1);
    char *json = json_of(t);
    pm_tokenizer *again = parse(json);
    EXPECT_IDS(again, "<|pad|><|mask|>", true, 601, 1);
    round_trip(again, (const uint8_t *)text, strlen(text), true);
    pm_tokenizer_destroy(again);
    free(json);
    pm_tokenizer_destroy(t);
}

/* Bytes that are no text come back; a word of a million bytes takes no longer than it must (its square would
 * be minutes). */
static void bpe_of_any_bytes(void **state)
{
    (void)state;
    pm_tokenizer *t = load(FIXTURES);
    uint64_t random = 5;
    size_t size = 1000000;
    uint8_t *text = malloc(size);
    assert_non_null(text);
    for (int i = 0; i < 300; i++) {
        size_t length = next_random(&random) % 80;
        for (size_t k = 0; k < length; k++) {
            uint64_t r = next_random(&random);
            text[k] = r % 3 == 0 ? (uint8_t) "the rain's 12 \n"[(r >> 8) % 15] : (uint8_t)(r >> 8);
        }
        round_trip(t, text, length, i % 2 == 0);
    }
    for (size_t i = 0; i < size; i++) text[i] = (uint8_t) "thean"[next_random(&random) % 5];
    round_trip(t, text, size, true);
    memset(text, ' ', size);
    round_trip(t, text, size, true);
    free(text);
    pm_tokenizer_destroy(t);
}
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8_is_read_as_it_is_written), cmocka_unit_test(kinds_of_characters),
        cmocka_unit_test(alphabet_there_and_back),       cmocka_unit_test(bytes_are_their_own_numbers),
        cmocka_unit_test(characters_in_order),           cmocka_unit_test(characters_of_anything),
        cmocka_unit_test(decode_checks_numbers),         cmocka_unit_test(bpe_as_the_library_has_it),
        cmocka_unit_test(bpe_of_vocabulary_and_merges),  cmocka_unit_test(bpe_with_merges_as_text),
        cmocka_unit_test(special_only_when_allowed),     cmocka_unit_test(bpe_of_any_bytes),
    };
    return cmocka_run_group_tests(tests, make_test_directory, remove_test_directory);
}
