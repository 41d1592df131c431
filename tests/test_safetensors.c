/* safetensors: round trips, every way in which a header can lie, random damage, faults while saving. */
#include "file_helpers.h"

#include "files/file_calls.h"
#include "files/safetensors.h"

#include <errno.h>

/* ---- Building files by hand ---------------------------------------------------------------------------- */

/* A file of this header and `data_bytes` bytes of data, from malloc. `announced` is the header's length as
 * the file says it; UINT64_MAX: the true one. */
static uint8_t *make_file(const char *header, uint64_t announced, size_t data_bytes, size_t *size)
{
    size_t length = strlen(header);
    uint8_t *bytes = calloc(1, 8 + length + data_bytes);
    assert_non_null(bytes);
    if (announced == UINT64_MAX) announced = length;
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(announced >> (8 * i));
    memcpy(bytes + 8, header, length);
    *size = 8 + length + data_bytes;
    return bytes;
}

static pm_status parse(const char *header, size_t data_bytes, pm_safetensors **file, pm_error *error)
{
    size_t size;
    uint8_t *bytes = make_file(header, UINT64_MAX, data_bytes, &size);
    return pm_safetensors_from_bytes(bytes, size, "file", file, error);
}

/* ---- Well-formed files --------------------------------------------------------------------------------- */

static const float WEIGHT[6] = {1, 2, 3, 4, 5, 6};
static const uint8_t MASK[3] = {7, 8, 9};
static const uint16_t HALF[1] = {0x3c00};
static const double WIDE[1] = {0.5};

static const pm_safetensor TENSORS[] = {
    {"mask", PM_ELEMENT_U8, 1, {3}, MASK, sizeof MASK},
    {"layer.weight", PM_ELEMENT_F32, 2, {2, 3}, WEIGHT, sizeof WEIGHT},
    {"nothing", PM_ELEMENT_F32, 2, {0, 5}, NULL, 0},
    {"number", PM_ELEMENT_F16, 0, {0}, HALF, sizeof HALF},
    {"wide \"\\ \xc3\xa9", PM_ELEMENT_F64, 1, {1}, WIDE, sizeof WIDE},
};
enum { TENSOR_COUNT = sizeof TENSORS / sizeof *TENSORS };
static const pm_text_pair METADATA[] = {{"config", "{\"a\": [1, 2]}\n"}, {"step", "42"}, {"empty", ""}};

static void check_against_tensors(const pm_safetensors *file)
{
    assert_int_equal(pm_safetensors_count(file), TENSOR_COUNT);
    for (size_t i = 0; i < TENSOR_COUNT; i++) {
        const pm_safetensor *wanted = &TENSORS[i], *found = pm_safetensors_find(file, wanted->name);
        assert_non_null(found);
        assert_string_equal(found->name, wanted->name);
        assert_int_equal(found->element, wanted->element);
        assert_int_equal(found->rank, wanted->rank);
        assert_memory_equal(found->shape, wanted->shape, sizeof found->shape);
        assert_int_equal(found->bytes, wanted->bytes);
        if (found->bytes > 0) assert_memory_equal(found->data, wanted->data, wanted->bytes);
        /* Read with pm_read_file, whose memory is aligned, every tensor lies on a multiple of its element's
         * size. */
        assert_int_equal((uintptr_t)found->data % (pm_element_bits(found->element) / 8), 0);
    }
    size_t count;
    const pm_text_pair *metadata = pm_safetensors_metadata(file, &count);
    assert_int_equal(count, 3);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(metadata[i].key, METADATA[i].key);
        assert_string_equal(pm_text_find(metadata, count, METADATA[i].key), METADATA[i].value);
    }
    assert_null(pm_text_find(metadata, count, "other"));
    assert_null(pm_safetensors_find(file, "layer"));
    assert_null(pm_safetensors_find(file, "__metadata__"));
}

static void test_round_trip(void **state)
{
    (void)state;
    pm_error error;
    pm_safetensors *file;
    const char *path = test_path("model.safetensors");
    expect_ok(pm_safetensors_write(path, TENSORS, TENSOR_COUNT, METADATA, 3, &error), &error);
    expect_ok(pm_safetensors_open(path, &file, &error), &error);
    check_against_tensors(file);
    assert_string_equal(pm_safetensors_at(file, 0)->name,
                        "wide \"\\ \xc3\xa9"); /* the largest elements come first */
    assert_int_equal((uintptr_t)pm_safetensors_at(file, 0)->data % PM_MOST_ALIGNMENT, 0);
    pm_safetensors_close(file);
    pm_safetensors_close(NULL);
}

static void test_writing_is_reproducible(void **state)
{
    (void)state;
    pm_error error;
    pm_safetensor reversed[TENSOR_COUNT];
    for (size_t i = 0; i < TENSOR_COUNT; i++) reversed[i] = TENSORS[TENSOR_COUNT - 1 - i];
    expect_ok(pm_safetensors_write(test_path("a"), TENSORS, TENSOR_COUNT, METADATA, 3, &error), &error);
    expect_ok(pm_safetensors_write(test_path("b"), reversed, TENSOR_COUNT, METADATA, 3, &error), &error);
    size_t size_a, size_b;
    uint8_t *a = get_file(test_path("a"), &size_a), *b = get_file(test_path("b"), &size_b);
    assert_int_equal(size_a, size_b);
    assert_memory_equal(a, b, size_a);
    free(a);
    free(b);
}

static void test_what_the_format_allows(void **state)
{
    (void)state;
    pm_error error;
    pm_safetensors *file;
    static const struct {
        const char *header;
        size_t data, tensors;
    } cases[] = {
        {"{}", 0, 0},
        {"{}      ", 0, 0},
        {"{\"__metadata__\":{}}", 0, 0},
        {"{ \"a\" : {\"shape\":[ ],\"data_offsets\":[0,4],\"dtype\":\"F32\"} }", 4, 1},
        {"{\"a\":{\"dtype\":\"F4\",\"shape\":[2],\"data_offsets\":[0,1]}}", 1, 1},
        {"{\"a\":{\"dtype\":\"F6_E2M3\",\"shape\":[4],\"data_offsets\":[0,3]}}", 3, 1},
        {"{\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]},"
         "\"a\":{\"dtype\":\"BOOL\",\"shape\":[1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]},"
         "\"z\":{\"dtype\":\"I64\",\"shape\":[7,0],\"data_offsets\":[1,1]}}",
         3, 3},
        {"{\"\":{\"dtype\":\"C64\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect_ok(parse(cases[i].header, cases[i].data, &file, &error), &error);
        assert_int_equal(pm_safetensors_count(file), cases[i].tensors);
        pm_safetensors_close(file);
    }
}

static void test_every_element_type(void **state)
{
    (void)state;
    for (int i = 0; i < PM_ELEMENT_COUNT; i++) {
        pm_error error;
        pm_safetensors *file;
        char header[200];
        uint32_t bytes = pm_element_bits((pm_element)i); /* of 8 elements */
        (void)snprintf(header, sizeof header,
                       "{\"a\":{\"dtype\":\"%s\",\"shape\":[8],\"data_offsets\":[0,%u]}}",
                       pm_element_name((pm_element)i), bytes);
        expect_ok(parse(header, bytes, &file, &error), &error);
        assert_int_equal(pm_safetensors_at(file, 0)->element, i);
        pm_safetensors_close(file);
    }
}

/* ---- Malformed files ----------------------------------------------------------------------------------- */

/* One tensor with this dtype, shape and these offsets, as text. */
#define ENTRY(dtype, shape, offsets) "{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define ONE(dtype, shape, offsets) "{\"a\":" ENTRY(dtype, shape, offsets) "}"
#define BYTES(begin, end, size) ENTRY("\"U8\"", "[" #size "]", "[" #begin "," #end "]")

static void test_malformed_headers(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data;
        const char *message;
    } cases[] = {
        /* not JSON, or not the right JSON */
        {"", 0, "does not begin with '{'"},
        {" {}", 0, "does not begin with '{'"},
        {"[]", 0, "does not begin with '{'"},
        {"{", 0, "does not begin with '{'"},
        {"{ ", 0, "malformed"},
        {"{}}", 0, "malformed"},
        {"{} x", 0, "neither text nor a whole number"},
        {"{\"a\":1}", 0, "is not an object"},
        {"{\"a\":\"b\"}", 0, "is not an object"},
        {"{\"a\":[]}", 0, "is not an object"},
        {"{\"a\\u0000b\":" BYTES(0, 1, 1) "}", 1, "malformed"},
        {"{\"a\xff\":" BYTES(0, 1, 1) "}", 1, "malformed"},
        {"{\"a\":{\"b\":{\"c\":{}}}}", 0, "nested deeper than 3"},
        {"{[[[[[[[[[[", 0, "nested deeper than 3"},
        {"{\"a", 0, "malformed"},
        {"{\"a\\", 0, "malformed"},
        /* the same name twice */
        {"{\"a\":" BYTES(0, 1, 1) ",\"a\":" BYTES(1, 2, 1) "}", 2, "duplicate"},
        {"{\"a\":" BYTES(0, 1, 1) ",\"\\u0061\":" BYTES(1, 2, 1) "}", 2, "duplicate"},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "duplicate"},
        {"{\"a\":{\"dtype\":\"U8\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "duplicate"},
        /* metadata */
        {"{\"__metadata__\":[]}", 0, "not an object"},
        {"{\"__metadata__\":\"x\"}", 0, "not an object"},
        {"{\"__metadata__\":{\"k\":1}}", 0, "not a string"},
        {"{\"__metadata__\":{\"k\":{}}}", 0, "not a string"},
        {"{\"__metadata__\":{\"k\":null}}", 0, "neither text nor a whole number"},
        /* keys */
        {"{\"a\":{}}", 0, "no dtype"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, "no data_offsets"},
        {"{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, "no shape"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"more\":1}}", 1, "keys beside"},
        /* dtype */
        {ONE("1", "[1]", "[0,1]"), 1, "no dtype that is a string"},
        {ONE("\"F31\"", "[1]", "[0,4]"), 4, "unknown dtype 'F31'"},
        {ONE("\"f32\"", "[1]", "[0,4]"), 4, "unknown dtype"},
        /* shape */
        {ONE("\"U8\"", "1", "[0,1]"), 1, "no shape that is a list"},
        {ONE("\"U8\"", "[\"1\"]", "[0,1]"), 1, "not a whole number >= 0"},
        {ONE("\"U8\"", "[[1]]", "[0,1]"), 1, "nested deeper"},
        {ONE("\"U8\"", "[-1]", "[0,1]"), 1, "neither text nor a whole number"},
        {ONE("\"U8\"", "[1.0]", "[0,1]"), 1, "neither text nor a whole number"},
        {ONE("\"U8\"", "[1e0]", "[0,1]"), 1, "neither text nor a whole number"},
        {ONE("\"U8\"", "[true]", "[0,1]"), 1, "neither text nor a whole number"},
        {ONE("\"U8\"", "[01]", "[0,1]"), 1, "malformed"},
        {ONE("\"U8\"", "[99999999999999999999]", "[0,1]"), 1, "malformed"},
        {ONE("\"U8\"", "[1,1,1,1,1,1,1,1,1]", "[0,1]"), 1, "has 9 dimensions"},
        {ONE("\"U8\"", "[4294967296,4294967296]", "[0,1]"), 1, "overflows"},
        {ONE("\"F64\"", "[2305843009213693952]", "[0,1]"), 1, "overflows"},
        {ONE("\"U8\"", "[4611686018427387904,4,1]", "[0,0]"), 0, "overflows"},
        {ONE("\"F4\"", "[3]", "[0,2]"), 2, "no whole number of bytes"},
        {ONE("\"F32\"", "[2]", "[0,4]"), 4, "4 bytes of data, and 8 by its shape"},
        {ONE("\"F32\"", "[]", "[0,8]"), 8, "8 bytes of data, and 4 by its shape"},
        {ONE("\"U8\"", "[0]", "[0,1]"), 1, "1 bytes of data, and 0 by its shape"},
        /* offsets */
        {ONE("\"U8\"", "[1]", "1"), 1, "no data_offsets of two"},
        {ONE("\"U8\"", "[1]", "[0]"), 1, "no data_offsets of two"},
        {ONE("\"U8\"", "[1]", "[0,1,1]"), 1, "no data_offsets of two"},
        {ONE("\"U8\"", "[1]", "{\"0\":0,\"1\":1}"), 1, "no data_offsets of two"},
        {ONE("\"U8\"", "[1]", "[0,\"1\"]"), 1, "no data_offsets of two"},
        {ONE("\"U8\"", "[1]", "[-1,0]"), 1, "neither text nor a whole number"},
        {ONE("\"U8\"", "[1]", "[1,0]"), 1, "lies outside the file"},
        {ONE("\"U8\"", "[2]", "[0,2]"), 1, "lies outside the file"},
        {ONE("\"U8\"", "[9223372036854775807]", "[0,9223372036854775807]"), 1, "lies outside the file"},
        /* all tensors together */
        {ONE("\"U8\"", "[1]", "[0,1]"), 2, "1 bytes at its end belong to no tensor"},
        {"{}", 1, "1 bytes at its end belong to no tensor"},
        {ONE("\"U8\"", "[1]", "[1,2]"), 2, "does not begin where"},
        {"{\"a\":" BYTES(0, 1, 1) ",\"b\":" BYTES(2, 3, 1) "}", 3, "'b' does not begin where"},
        {"{\"a\":" BYTES(0, 2, 2) ",\"b\":" BYTES(1, 3, 2) "}", 3, "'b' does not begin where"},
        {"{\"a\":" BYTES(0, 2, 2) ",\"b\":" BYTES(0, 2, 2) "}", 2, "'b' does not begin where"},
        {"{\"a\":" BYTES(0, 2, 2) ",\"b\":" BYTES(1, 1, 0) "}", 2, "'b' does not begin where"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pm_error error = {0};
        pm_safetensors *file;
        expect_failure(parse(cases[i].header, cases[i].data, &file, &error), PM_BAD_FILE, &error,
                       cases[i].message);
        assert_null(file);
        assert_ptr_equal(strstr(error.message, "file: "), error.message);
    }
}

static void test_malformed_lengths(void **state)
{
    (void)state;
    static const struct {
        uint64_t announced;
        const char *message;
    } cases[] = {
        {0, "does not begin"},
        {1, "does not begin"},
        {3, "ends outside the file"},
        {100000000, "ends outside the file"},
        {100000001, "not a safetensors file"},
        {UINT64_MAX - 1, "not a safetensors file"},
        {UINT64_MAX - 7, "not a safetensors file"}, /* 8 + N is 0 */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pm_error error = {0};
        pm_safetensors *file;
        size_t size;
        uint8_t *bytes = make_file("{}", cases[i].announced, 0, &size);
        expect_failure(pm_safetensors_from_bytes(bytes, size, "file", &file, &error), PM_BAD_FILE, &error,
                       cases[i].message);
    }
    for (size_t size = 0; size < 8; size++) {
        pm_error error = {0};
        pm_safetensors *file;
        expect_failure(pm_safetensors_from_bytes(calloc(1, 8), size, "file", &file, &error), PM_BAD_FILE,
                       &error, "too few");
    }
}

static void test_too_many_tensors(void **state)
{
    (void)state;
    /* 65537 empty tensors; then a header that is one long list, which is refused before it is parsed */
    size_t room = (PM_SAFETENSORS_MAX_TENSORS + 1) * 64 + 16;
    char *header = malloc(room), *at = header;
    assert_non_null(header);
    for (int i = 0; i <= PM_SAFETENSORS_MAX_TENSORS; i++) {
        at += snprintf(at, 80, "%c\"%d\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}",
                       i ? ',' : '{', i);
    }
    strcpy(at, "}");
    pm_error error;
    pm_safetensors *file;
    expect_failure(parse(header, 0, &file, &error), PM_BAD_FILE, &error, "it has 65537 tensors");

    memcpy(header, "{\"a\":[", 6);
    for (size_t i = 6; i + 1 < room; i++) header[i] = i % 2 ? ',' : '0';
    header[room - 1] = 0;
    expect_failure(parse(header, 0, &file, &error), PM_BAD_FILE, &error, "more than 1310720 values");
    free(header);
}

static void test_names_cannot_drive_a_terminal(void **state)
{
    (void)state;
    pm_error error;
    pm_safetensors *file;
    const char *header = "{\"\\u001b[2J\\n\":" ENTRY("\"F31\"", "[1]", "[0,1]") "}";
    expect_failure(parse(header, 1, &file, &error), PM_BAD_FILE, &error, "tensor '?[2J?'");
}

static void test_every_truncation(void **state)
{
    (void)state;
    pm_error error;
    size_t size;
    expect_ok(pm_safetensors_write(test_path("whole"), TENSORS, TENSOR_COUNT, METADATA, 3, &error), &error);
    uint8_t *bytes = get_file(test_path("whole"), &size);
    for (size_t cut = 0; cut < size; cut++) {
        pm_safetensors *file;
        uint8_t *part = malloc(cut ? cut : 1);
        assert_non_null(part);
        memcpy(part, bytes, cut);
        assert_int_equal(pm_safetensors_from_bytes(part, cut, "file", &file, &error), PM_BAD_FILE);
    }
    free(bytes);
}

static void test_random_damage(void **state)
{
    (void)state;
    pm_error error;
    size_t size;
    uint64_t random = 1, sum = 0;
    expect_ok(pm_safetensors_write(test_path("whole"), TENSORS, TENSOR_COUNT, METADATA, 3, &error), &error);
    uint8_t *bytes = get_file(test_path("whole"), &size);
    int accepted = 0;
    for (int i = 0; i < 4000; i++) {
        size_t damaged_size;
        uint8_t *damaged = damaged_copy(bytes, size, &random, &damaged_size);
        pm_safetensors *file;
        pm_status status = pm_safetensors_from_bytes(damaged, damaged_size, "file", &file, &error);
        if (status != PM_OK) {
            assert_int_equal(status, PM_BAD_FILE);
            continue;
        }
        accepted++;
        for (size_t t = 0; t < pm_safetensors_count(file); t++) {
            const pm_safetensor *tensor = pm_safetensors_at(file, t);
            for (size_t b = 0; b < tensor->bytes; b++) sum += ((const uint8_t *)tensor->data)[b];
        }
        pm_safetensors_close(file);
    }
    assert_true(accepted > 0 && accepted < 4000 && sum > 0);
    free(bytes);
}

/* ---- Writing ------------------------------------------------------------------------------------------- */

static void test_writer_refuses_what_the_reader_would(void **state)
{
    (void)state;
    const char *path = test_path("refused");
    const struct {
        pm_safetensor tensors[2];
        size_t count;
        const char *message;
    } cases[] = {
        {{{"a", PM_ELEMENT_U8, 1, {3}, MASK, 3}, {"a", PM_ELEMENT_U8, 1, {3}, MASK, 3}}, 2, "twice"},
        {{{"__metadata__", PM_ELEMENT_U8, 1, {3}, MASK, 3}}, 1, "__metadata__"},
        {{{NULL, PM_ELEMENT_U8, 1, {3}, MASK, 3}}, 1, "no name"},
        {{{"a", PM_ELEMENT_U8, 1, {3}, MASK, 2}}, 1, "unlike its shape"},
        {{{"a", PM_ELEMENT_F4, 1, {3}, MASK, 1}}, 1, "unlike its shape"},
        {{{"a", PM_ELEMENT_U8, 9, {3}, MASK, 3}}, 1, "unlike its shape"},
        {{{"a", PM_ELEMENT_COUNT, 1, {3}, MASK, 3}}, 1, "unlike its shape"},
        {{{"a", PM_ELEMENT_F64, 2, {UINT64_MAX, 2}, MASK, 3}}, 1, "unlike its shape"},
        {{{"\xff", PM_ELEMENT_U8, 1, {3}, MASK, 3}}, 1, "not UTF-8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pm_error error = {0};
        expect_failure(pm_safetensors_write(path, cases[i].tensors, cases[i].count, NULL, 0, &error),
                       PM_BAD_USAGE, &error, cases[i].message);
    }
    pm_error error;
    const pm_text_pair twice[] = {{"k", "1"}, {"k", "2"}}, not_text[] = {{"k", "\xc3"}};
    expect_failure(pm_safetensors_write(path, NULL, 0, twice, 2, &error), PM_BAD_USAGE, &error, "twice");
    expect_failure(pm_safetensors_write(path, NULL, 0, not_text, 1, &error), PM_BAD_USAGE, &error,
                   "not UTF-8");
    assert_int_equal(access(path, F_OK), -1);
}

static int writes_left;

/* A disk that is full after a number of writes. */
static ssize_t write_until_full(int fd, const void *data, size_t size)
{
    if (writes_left-- > 0) return pm_system_file_calls.write(fd, data, size);
    errno = ENOSPC;
    return -1;
}

static void test_full_disk_keeps_the_old_checkpoint(void **state)
{
    (void)state;
    pm_error error;
    pm_safetensors *file;
    const char *path = test_path("checkpoint");
    expect_ok(pm_safetensors_write(path, TENSORS, TENSOR_COUNT, METADATA, 3, &error), &error);
    pm_file_calls full = pm_system_file_calls;
    full.write = write_until_full;
    int failures = 0;
    for (pm_status status = PM_IO; status != PM_OK; failures++) {
        writes_left = failures;
        pm_file_calls_in_use = &full;
        status = pm_safetensors_write(path, &TENSORS[1], 1, NULL, 0, &error);
        pm_file_calls_in_use = &pm_system_file_calls;
        if (status == PM_OK) break;
        expect_failure(status, PM_IO, &error, "No space left on device");
        expect_ok(pm_safetensors_open(path, &file, &error), &error);
        check_against_tensors(file);
        pm_safetensors_close(file);
    }
    assert_true(failures >= 3);
    expect_ok(pm_safetensors_open(path, &file, &error), &error);
    assert_int_equal(pm_safetensors_count(file), 1);
    pm_safetensors_close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_writing_is_reproducible),
        cmocka_unit_test(test_what_the_format_allows),
        cmocka_unit_test(test_every_element_type),
        cmocka_unit_test(test_malformed_headers),
        cmocka_unit_test(test_malformed_lengths),
        cmocka_unit_test(test_too_many_tensors),
        cmocka_unit_test(test_names_cannot_drive_a_terminal),
        cmocka_unit_test(test_every_truncation),
        cmocka_unit_test(test_random_damage),
        cmocka_unit_test(test_writer_refuses_what_the_reader_would),
        cmocka_unit_test(test_full_disk_keeps_the_old_checkpoint),
    };
    return cmocka_run_group_tests_name("files: safetensors", tests, make_test_directory,
                                       remove_test_directory);
}
