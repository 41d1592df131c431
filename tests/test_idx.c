/* IDX files: every element type, gzip, every way in which a header can lie, random damage. */
#include "file_helpers.h"

#include "files/idx.h"

#include <zlib.h>

static const uint8_t IMAGES[] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2,  0,  0,
                                 0, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

/* gzip of `size` bytes, from malloc. */
static uint8_t *gzip(const void *bytes, size_t size, size_t *zipped_size)
{
    z_stream zip = {0};
    size_t room = size + 1000;
    uint8_t *out = malloc(room);
    assert_non_null(out);
    assert_int_equal(deflateInit2(&zip, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    zip.next_in = (z_const Bytef *)bytes;
    zip.avail_in = (uInt)size;
    zip.next_out = out;
    zip.avail_out = (uInt)room;
    assert_int_equal(deflate(&zip, Z_FINISH), Z_STREAM_END);
    *zipped_size = room - zip.avail_out;
    (void)deflateEnd(&zip);
    return out;
}

static void check_images(const pm_idx *idx)
{
    assert_int_equal(idx->type, PM_IDX_U8);
    assert_int_equal(idx->rank, 3);
    assert_int_equal(idx->shape[0], 2);
    assert_int_equal(idx->shape[1], 2);
    assert_int_equal(idx->shape[2], 3);
    assert_int_equal(idx->bytes, 12);
    assert_memory_equal(idx->data, IMAGES + 16, 12);
}

static void test_plain_and_gzipped(void **state)
{
    (void)state;
    pm_error error;
    pm_idx idx;
    size_t size;
    uint8_t *zipped = gzip(IMAGES, sizeof IMAGES, &size);
    put_file(test_path("plain"), IMAGES, sizeof IMAGES);
    put_file(test_path("zipped"), zipped, size); /* what it is follows from content, not from the name */
    free(zipped);
    expect_ok(pm_idx_read(test_path("plain"), &idx, &error), &error);
    check_images(&idx);
    pm_idx_free(&idx);
    expect_ok(pm_idx_read(test_path("zipped"), &idx, &error), &error);
    check_images(&idx);
    pm_idx_free(&idx);
    assert_null(idx.data);
    pm_idx_free(&idx);
    expect_failure(pm_idx_read(test_path("none"), &idx, &error), PM_IO, &error, "No such file");
}

static void test_element_types(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[24];
        size_t size;
        pm_idx_type type;
    } cases[] = {
        {{0, 0, 0x09, 1, 0, 0, 0, 1, 0xff}, 9, PM_IDX_I8},
        {{0, 0, 0x0b, 1, 0, 0, 0, 2, 0xff, 0xfe, 0x01, 0x02}, 12, PM_IDX_I16},
        {{0, 0, 0x0c, 1, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xfd}, 12, PM_IDX_I32},
        {{0, 0, 0x0d, 1, 0, 0, 0, 1, 0x3f, 0xc0, 0, 0}, 12, PM_IDX_F32},
        {{0, 0, 0x0e, 1, 0, 0, 0, 1, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0}, 16, PM_IDX_F64},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pm_error error;
        pm_idx idx;
        expect_ok(pm_idx_from_bytes(cases[i].bytes, cases[i].size, "file", &idx, &error), &error);
        assert_int_equal(idx.type, cases[i].type);
        switch (cases[i].type) {
        case PM_IDX_I8:
            assert_int_equal(*(int8_t *)idx.data, -1);
            break;
        case PM_IDX_I16:
            assert_int_equal(((int16_t *)idx.data)[0], -2);
            assert_int_equal(((int16_t *)idx.data)[1], 0x102);
            break;
        case PM_IDX_I32:
            assert_int_equal(*(int32_t *)idx.data, -3);
            break;
        case PM_IDX_F32:
            assert_true(*(float *)idx.data == 1.5f);
            break;
        default:
            assert_true(*(double *)idx.data == 1.5);
            break;
        }
        pm_idx_free(&idx);
    }
}

static void test_malformed(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[64];
        size_t size;
        const char *message;
    } cases[] = {
        {{0}, 0, "ends too early"},
        {{0, 0, 8}, 3, "ends too early"},
        {{1, 0, 8, 1, 0, 0, 0, 1, 5}, 9, "not an IDX file (begins with 01 00 08 01)"},
        {{0, 1, 8, 1, 0, 0, 0, 1, 5}, 9, "not an IDX file"},
        {{0, 0, 7, 1, 0, 0, 0, 1, 5}, 9, "not an IDX file"},
        {{0, 0, 0x0a, 1, 0, 0, 0, 1, 5}, 9, "not an IDX file"},
        {{0, 0, 0x0f, 1, 0, 0, 0, 1, 5}, 9, "not an IDX file"},
        {{0, 0, 8, 0, 5}, 5, "has 0 dimensions"},
        {{0, 0, 8, 9, 0, 0, 0, 1}, 41, "has 9 dimensions"},
        {{0, 0, 8, 255}, 64, "has 255 dimensions"},
        {{0, 0, 8, 2, 0, 0, 0, 1}, 8, "ends too early"},
        {{0, 0, 8, 1, 0, 0, 0, 2, 5}, 9, "shorter than its header says"},
        {{0, 0, 8, 1, 0, 0, 0, 1, 5, 6}, 10, "longer than its header says"},
        {{0, 0, 8, 1, 0, 0, 0, 0, 5}, 9, "longer than its header says"},
        {{0, 0, 0x0c, 1, 0, 0, 0, 1, 5}, 9, "shorter than its header says"},
        {{0, 0, 8, 1, 0xff, 0xff, 0xff, 0xff, 5}, 9, "more than 2 GiB"},
        {{0, 0, 8, 2, 0x80, 0, 0, 0, 0, 0, 0, 2}, 12, "more than 2 GiB"},
        {{0, 0, 0x0e, 4, 0x80, 0, 0, 0, 0x80, 0, 0, 0, 0x80, 0, 0, 0, 0x80, 0, 0, 0}, 20, "more than 2 GiB"},
        {{0, 0, 8, 1, 0x7f, 0xff, 0xff, 0xff}, 8, "shorter than its header says"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pm_error error = {0};
        pm_idx idx;
        expect_failure(pm_idx_from_bytes(cases[i].bytes, cases[i].size, "file", &idx, &error), PM_BAD_FILE,
                       &error, cases[i].message);
        assert_null(idx.data);

        /* The same lie inside a gzip file. */
        size_t size;
        uint8_t *zipped = gzip(cases[i].bytes, cases[i].size, &size);
        pm_status status = pm_idx_from_bytes(zipped, size, "file", &idx, &error);
        if (status != PM_BAD_FILE) fail_msg("case %zu is accepted when it is gzipped", i);
        assert_null(idx.data);
        free(zipped);
    }
}

static void test_malformed_gzip(void **state)
{
    (void)state;
    pm_error error;
    pm_idx idx;
    size_t size;
    uint8_t *zipped = gzip(IMAGES, sizeof IMAGES, &size);
    for (size_t cut = 0; cut < size; cut++) { /* cut off, the check sum and the length at the end included */
        assert_int_equal(pm_idx_from_bytes(zipped, cut, "file", &idx, &error), PM_BAD_FILE);
    }
    zipped[size - 5] ^= 1; /* the check sum */
    expect_failure(pm_idx_from_bytes(zipped, size, "file", &idx, &error), PM_BAD_FILE, &error,
                   "incorrect data check");
    zipped[size - 5] ^= 1;
    zipped = realloc(zipped, size + 1);
    assert_non_null(zipped);
    zipped[size] = 0; /* a byte behind the end */
    expect_failure(pm_idx_from_bytes(zipped, size + 1, "file", &idx, &error), PM_BAD_FILE, &error,
                   "longer than");
    free(zipped);
}

static void test_gzip_bombs(void **state)
{
    (void)state;
    pm_error error;
    pm_idx idx;
    size_t size, content = 1 << 24;
    /* 16 MiB of zeros behind a header that says 12 bytes: unpacked no further than that. */
    uint8_t *large = calloc(content, 1);
    assert_non_null(large);
    memcpy(large, IMAGES, sizeof IMAGES);
    uint8_t *zipped = gzip(large, content, &size);
    assert_true(size < content / 900);
    expect_failure(pm_idx_from_bytes(zipped, size, "file", &idx, &error), PM_BAD_FILE, &error, "longer than");
    free(zipped);
    /* A header that says 1 GiB in a file that cannot hold it: refused before memory is taken. */
    memcpy(large, (const uint8_t[]){0, 0, 8, 1, 0x40, 0, 0, 0}, 8);
    zipped = gzip(large, 1000, &size);
    expect_failure(pm_idx_from_bytes(zipped, size, "file", &idx, &error), PM_BAD_FILE, &error,
                   "shorter than");
    free(zipped);
    /* And the densest that deflate can do is accepted. */
    memcpy(large, (const uint8_t[]){0, 0, 8, 1, 0, 0xff, 0xff, 0xf8}, 8);
    zipped = gzip(large, content, &size);
    expect_ok(pm_idx_from_bytes(zipped, size, "file", &idx, &error), &error);
    pm_idx_free(&idx);
    free(zipped);
    free(large);
}

static void test_random_damage(void **state)
{
    (void)state;
    pm_error error;
    size_t zipped_size;
    uint8_t *zipped = gzip(IMAGES, sizeof IMAGES, &zipped_size);
    uint64_t random = 2;
    int accepted = 0;
    for (int i = 0; i < 6000; i++) {
        size_t size;
        uint8_t *bytes = i % 2 ? damaged_copy(zipped, zipped_size, &random, &size)
                               : damaged_copy(IMAGES, sizeof IMAGES, &random, &size);
        pm_idx idx;
        pm_status status = pm_idx_from_bytes(bytes, size, "file", &idx, &error);
        assert_true(status == PM_OK || status == PM_BAD_FILE);
        accepted += status == PM_OK;
        pm_idx_free(&idx);
        free(bytes);
    }
    assert_true(accepted > 0 && accepted < 6000);
    free(zipped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_and_gzipped), cmocka_unit_test(test_element_types),
        cmocka_unit_test(test_malformed),         cmocka_unit_test(test_malformed_gzip),
        cmocka_unit_test(test_gzip_bombs),        cmocka_unit_test(test_random_damage),
    };
    return cmocka_run_group_tests_name("files: IDX", tests, make_test_directory, remove_test_directory);
}
