/* Files of tokenizers that are wrong: each fault is named, and whatever is still read after damage is whole.
 */
#include "tokenizer_helpers.h"

static void expect_bad(const char *json, const char *part)
{
    pm_tokenizer *t;
    expect_failure(pm_tokenizer_parse(json, strlen(json), "here", &t, &error), PM_BAD_FILE, &error, part);
    expect_failure(error.status, PM_BAD_FILE, &error, "here: ");
    assert_null(t);
}

/* A copy of `text` where the first `from` is `to`. */
static char *replaced(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    if (!at) fail_msg("'%s' is not in the text", from);
    char *out = malloc(strlen(text) + strlen(to) + 1);
    assert_non_null(out);
    (void)sprintf(out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    return out;
}

static void wrong_tokenizer_json(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *part;
    } WRONG[] = {
        {"\"type\":\"BPE\"", "\"type\":\"WordPiece\"", "not of type \"BPE\""},
        {"\"dropout\":null", "\"dropout\":0.1", "dropout"},
        {"\"normalizer\":null", "\"normalizer\":{\"type\":\"NFC\"}", "sets \"normalizer\""},
        {"\"add_prefix_space\":false", "\"add_prefix_space\":true", "\"pre_tokenizer\" is not"},
        {"\"use_regex\":true", "\"use_regex\":false", "\"pre_tokenizer\" is not"},
        {"\"decoder\":{\"type\":\"ByteLevel\"", "\"decoder\":{\"type\":\"Metaspace\"", "\"decoder\""},
        {"\"continuing_subword_prefix\":null", "\"continuing_subword_prefix\":\"##\"",
         "continuing_subword_prefix"},
        {"\"ignore_merges\":false", "\"ignore_merges\":true", "ignore_merges"},
        {"\"lstrip\":false", "\"lstrip\":true", "sets \"lstrip\""},
        {"\"content\":\"<|mask|>\"", "\"content\":\"\"", "number 1 of its added token '' is taken"},
        {"\"content\":\"<|mask|>\"", "\"content\":7", "added token 1 lacks"},
        {"\"id\":600", "\"id\":601", "only 601 tokens"},
        {"\"id\":600", "\"id\":599", "is taken"},
        {"\"id\":1,", "\"id\":2,", "another one in the vocabulary"},
        {"\"content\":\"<|mask|>>\"", "\"content\":\"<|mask|>\"", "another one in the vocabulary"},
        {"\"#\":4,", "\"#\":3,", "the same number 3"},
        {"\"#\":4,", "\"#\":-4,", "'#' is not a whole number"},
        {"\"#\":4,", "\"#\":601,", "'#' is not a whole number"},
        {"\"#\":4,", "\"#\":\"4\",", "'#' is not a whole number"},
        {"\"#\":4,", "\"##\":4,", "single byte 0x23"},
        {"\"#\":4,", "\"# \":4,", "not written in the alphabet"},
        {"\"#\":4,", "\"\":4,", "token 4 is empty"},
        {"\"#\":4,", "\"!\":4,", "duplicate"},
        {"[\"t\",\"h\"]", "[\"t\",\"\u3042\"]", "merge 1 is of '\u3042'"},
        {"[\"t\",\"h\"]", "[\"zz\",\"h\"]", "merge 1 is of 'zz'"},
        {"[\"t\",\"h\"]", "[\"z\",\"q\"]", "merge 1 makes a text that is no token"},
        {"[\"t\",\"h\"]", "[\"<|mask|>\",\"h\"]", "merge 1 is of '<|mask|>'"},
        {"[\"t\",\"h\"]", "[\"t\"]", "merge 1 is not two tokens"},
        {"[\"t\",\"h\"]", "\"th\"", "merge 1 is not two tokens"},
        {"[\"t\",\"h\"]", "\"t h e\"", "merge 1 is of 'h e'"},
        {"[\"t\",\"h\"]", "[\"t\",\"h\"],[\"t\",\"h\"]", "merges 1 and 2 are of the same two"},
        {"\"merges\":[", "\"merged\":[", "lacks \"merges\""},
        {"\"vocab\":{", "\"words\":{", "has the number 600, and there are only 3 tokens"},
        {"\"model\":{", "\"models\":{", "it is not a tokenizer"},
        {"\"truncation\":null",
         "\"truncation\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
         "nested deeper"},
    };
    char *json = read_text(FIXTURES "/tokenizer.json");
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
        char *wrong = replaced(json, WRONG[i].from, WRONG[i].to);
        expect_bad(wrong, WRONG[i].part);
        free(wrong);
    }
    for (size_t size = 0; size < strlen(json); size += 97) {
        pm_tokenizer *t;
        expect_failure(pm_tokenizer_parse(json, size, "here", &t, &error), PM_BAD_FILE, &error, "malformed");
    }
    free(json);
}

static void wrong_own_json(void **state)
{
    (void)state;
#define CHARACTERS(list) "{\"kind\":\"characters\",\"characters\":" list ",\"bytes\":[]}"
#define SPECIAL(object) "{\"kind\":\"bytes\",\"special\":" object "}"
    static const char *const WRONG[][2] = {
        {"", "malformed"},
        {"[]", "it is not a tokenizer"},
        {"{}", "it is not a tokenizer"},
        {"{\"!\":0}", "name its folder"},
        {"{\"kind\":7}", "the kind of its tokenizer is not"},
        {"{\"kind\":\"words\"}", "the kind of its tokenizer is not"},
        {"{\"kind\":\"bytes\",\"bytes\":[]}", "\"bytes\", which is not known"},
        {"{\"kind\":\"characters\"}", "\"characters\" of its tokenizer is not"},
        {CHARACTERS("[32]"), "\"characters\" of its tokenizer is not"},
        {CHARACTERS("[32,31]"), "\"characters\" of its tokenizer is not"},
        {CHARACTERS("[32,33,34,35]"), "\"characters\" of its tokenizer is not"},
        {CHARACTERS("[32,33,33,35]"), "\"characters\" of its tokenizer is not"},
        {CHARACTERS("[55296,55296]"), "\"characters\" of its tokenizer is not"},
        {CHARACTERS("[55000,57344]"), "\"characters\" of its tokenizer is not"},
        {CHARACTERS("[32,1114112]"), "\"characters\" of its tokenizer is not"},
        {CHARACTERS("[-1,32]"), "\"characters\" of its tokenizer is not"},
        {CHARACTERS("[0,55295,57344,1114111]"), "has 1112064 characters"},
        {CHARACTERS("[]"), "has 0 characters"},
        {"{\"kind\":\"characters\",\"characters\":[32,32],\"bytes\":[127,128]}",
         "\"bytes\" of its tokenizer"},
        {SPECIAL("[]"), "\"special\" of its tokenizer is not"},
        {SPECIAL("{\"<a>\":257}"), "'<a>' is not one below 257"},
        {SPECIAL("{\"<a>\":0}"), "not numbered from 256"},
        {SPECIAL("{\"<a>\":256,\"<b>\":256}"), "have the number 256"},
        {SPECIAL("{\"\":256}"), "special token 256 is empty"},
        {"{\"kind\":\"bpe\",\"merges\":[]}", "lacks \"tokens\""},
        {"{\"kind\":\"bpe\",\"tokens\":\"a\",\"merges\":[0]}", "lacks \"tokens\""},
        {"{\"kind\":\"bpe\",\"tokens\":\"a b\",\"merges\":[]}", "single byte 0x00"},
        {"{\"kind\":\"bpe\",\"tokens\":\"a a\",\"merges\":[]}", "tokens 0 and 1 are the same text"},
        {"{\"kind\":\"bpe\",\"tokens\":\"a  b\",\"merges\":[]}", "token 1 is empty"},
        {"{\"kind\":\"bpe\",\"tokens\":\"\",\"merges\":[]}", "token 0 is empty"},
    };
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++) expect_bad(WRONG[i][0], WRONG[i][1]);

    pm_tokenizer *t = load(FIXTURES);
    char *json = json_of(t);
    pm_tokenizer_destroy(t);
    static const char *const WRONG_BPE[][3] = {
        {"\"merges\":[", "\"merges\":[0,2,", "merge 1 is of a special token"},
        {"\"merges\":[", "\"merges\":[2,3,", "merge 1 makes a text that is no token"},
        {"\"merges\":[", "\"merges\":[2,601,", "merge 1 is not of two numbers below 601"},
        {"\"merges\":[", "\"merges\":[2,", "lacks \"tokens\""},
        {"\"<|mask|>\":1", "\"<|mask|>\":601", "is not one below 601"},
        {"\"<|mask|>\":1", "\"<|mask|>\":0", "have the number 0"},
        {"! \\\" #", "! \\\" \\\"", "are the same text"},
    };
    for (size_t i = 0; i < sizeof WRONG_BPE / sizeof *WRONG_BPE; i++) {
        char *wrong = replaced(json, WRONG_BPE[i][0], WRONG_BPE[i][1]);
        expect_bad(wrong, WRONG_BPE[i][2]);
        free(wrong);
    }
    free(json);
}

static void wrong_folders(void **state)
{
    (void)state;
    pm_tokenizer *t;
    const char *folder = test_path("folder"), *merges = test_path("folder/merges.txt");
    assert_int_equal(mkdir(folder, 0777), 0);
    expect_failure(pm_tokenizer_load(test_path("nothing"), &t, &error), PM_IO, &error,
                   "nothing: cannot be looked up");
    expect_failure(pm_tokenizer_load(folder, &t, &error), PM_IO, &error, "neither tokenizer.json nor both");
    char *vocab = read_text(FIXTURES "/vocab.json");
    put_file(test_path("folder/vocab.json"), vocab, strlen(vocab));
    expect_failure(pm_tokenizer_load(folder, &t, &error), PM_IO, &error, "neither tokenizer.json nor both");
    expect_failure(pm_tokenizer_load(test_path("folder/vocab.json"), &t, &error), PM_BAD_FILE, &error,
                   "vocab.json: it is not a tokenizer");
    static const char *const MERGES[][2] = {
        {"#version: 0.2\nt h\nt\n", "merges.txt: line 3 is not two tokens"},
        {"t h\n#version: 0.2\n", "merge 2 is of '#version:'"},
        {"t  h\n", "line 1 is not"},
        {" h\n", "line 1 is not"},
        {"t \n", "line 1 is not"},
        {"t h e\n", "line 1 is not"},
        {"t h\nt h", "merges 1 and 2 are of the same"},
        {"t h\nt q", "merge 2 makes a text that is no token"},
        {"t h\nxyz q", "merge 2 is of 'xyz'"},
        {"<|mask|> h", "merge 1 is of '<|mask|>'"},
    };
    for (size_t i = 0; i < sizeof MERGES / sizeof *MERGES; i++) {
        put_file(merges, MERGES[i][0], strlen(MERGES[i][0]));
        expect_failure(pm_tokenizer_load(folder, &t, &error), PM_BAD_FILE, &error, MERGES[i][1]);
        assert_null(t);
    }
    put_file(merges, "#version: 0.2\r\nt h\r\n\r\n\xc4\xa0 th",
             strlen("#version: 0.2\r\nt h\r\n\r\n\xc4\xa0 th"));
    t = load(folder);
    assert_int_equal(t->n_merges, 2);
    pm_tokenizer_destroy(t);
    free(vocab);
}

/* A copy that is JSON still: up to three digits or letters are others. */
static uint8_t *altered_copy(const char *text, uint64_t *random, size_t *size)
{
    *size = strlen(text);
    uint8_t *copy = malloc(*size);
    assert_non_null(copy);
    memcpy(copy, text, *size);
    for (uint64_t edits = 1 + next_random(random) % 3; edits > 0;) {
        uint8_t *at = copy + next_random(random) % *size;
        bool digit = *at >= '0' && *at <= '9', letter = *at >= 'a' && *at <= 'z';
        if (!digit && !letter) continue;
        *at = (uint8_t)(digit ? '1' + next_random(random) % 9 : 'a' + next_random(random) % 26);
        edits--;
    }
    return copy;
}

/* Whatever is still read after damage must be a whole tokenizer. */
static void damaged_json(void **state)
{
    (void)state;
    pm_tokenizer *bpe = load(FIXTURES), *characters = characters_of("a tokenizer\n\u00e9\u3042\xff");
    uint32_t id;
    expect_ok(pm_tokenizer_add_special(characters, PM_END_OF_TEXT, &id, &error), &error);
    char *texts[] = {read_text(FIXTURES "/tokenizer.json"), json_of(bpe), json_of(characters)};
    uint64_t random = 3;
    unsigned accepted = 0, refused = 0;
    for (unsigned i = 0; i < 2000; i++) {
        const char *text = texts[i % 3];
        size_t size;
        uint8_t *damaged = i % 2 ? altered_copy(text, &random, &size)
                                 : damaged_copy((const uint8_t *)text, strlen(text), &random, &size);
        pm_tokenizer *t;
        pm_status status = pm_tokenizer_parse((const char *)damaged, size, "here", &t, &error);
        free(damaged);
        if (status != PM_OK) {
            expect_failure(status, PM_BAD_FILE, &error, "here: ");
            assert_null(t);
            refused++;
            continue;
        }
        accepted++;
        char *json = json_of(t);
        pm_tokenizer *again = parse(json);
        assert_int_equal(pm_tokenizer_size(again), pm_tokenizer_size(t));
        if (t->kind == PM_TOKENIZER_BPE)
            round_trip(again, (const uint8_t *)"the rain's \xff<|mask|>", 20, i % 2);
        pm_tokenizer_destroy(again);
        pm_tokenizer_destroy(t);
        free(json);
    }
    assert_true(accepted > 40 && refused > 500);
    for (size_t i = 0; i < 3; i++) free(texts[i]);
    pm_tokenizer_destroy(bpe);
    pm_tokenizer_destroy(characters);
}
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_tokenizer_json),
        cmocka_unit_test(wrong_own_json),
        cmocka_unit_test(wrong_folders),
        cmocka_unit_test(damaged_json),
    };
    return cmocka_run_group_tests(tests, make_test_directory, remove_test_directory);
}
