/* Pictures: PNG out and in, texts in PNG, JPEG in, cropping and resizing; malformed files and random damage
 * for each. */
#include "file_helpers.h"

#include "files/image.h"
#include "files/png.h"

#include <zlib.h>

/* ---- Helpers ------------------------------------------------------------------------------------------- */

static pm_image make_image(uint32_t width, uint32_t height, uint32_t channels)
{
    pm_error error;
    pm_image image;
    expect_ok(pm_image_create(width, height, channels, &image, &error), &error);
    for (size_t i = 0; i < (size_t)width * height * channels; i++)
        image.pixels[i] = (uint8_t)(i * 31 ^ i >> 4);
    return image;
}

static void put_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* Appends a sound chunk and returns where the next one goes. */
static uint8_t *put_chunk(uint8_t *at, const char *type, const void *data, size_t size)
{
    put_u32(at, (uint32_t)size);
    memcpy(at + 4, type, 4);
    if (size > 0) memcpy(at + 8, data, size);
    put_u32(at + 8 + size, (uint32_t)crc32(0, at + 4, (uInt)(size + 4)));
    return at + 12 + size;
}

/* A PNG file of this kind; `rows` are its lines with their filter bytes, `extra` is PLTE or tRNS or NULL. */
static size_t make_png(uint8_t *out, uint32_t width, uint32_t height, uint8_t depth, uint8_t colour,
                       const void *rows, size_t row_bytes, const char *extra, const void *extra_data,
                       size_t extra_bytes)
{
    uint8_t header[13] = {0}, packed[1000], *at = out + 8;
    uLongf packed_bytes = sizeof packed;
    memcpy(out, "\x89PNG\r\n\x1a\n", 8);
    put_u32(header, width);
    put_u32(header + 4, height);
    header[8] = depth;
    header[9] = colour;
    assert_int_equal(compress(packed, &packed_bytes, rows, (uLong)row_bytes), Z_OK);
    at = put_chunk(at, "IHDR", header, 13);
    if (extra) at = put_chunk(at, extra, extra_data, extra_bytes);
    at = put_chunk(at, "IDAT", packed, packed_bytes);
    return (size_t)(put_chunk(at, "IEND", NULL, 0) - out);
}

typedef struct jpeg {
    uint8_t bytes[600];
    size_t size, huffman, scan; /* where the first Huffman table and the scan begin */
} jpeg;

static void add_segment(jpeg *file, uint8_t marker, const void *data, size_t size)
{
    const uint8_t begin[4] = {0xff, marker, (uint8_t)((size + 2) >> 8), (uint8_t)(size + 2)};
    assert_true(file->size + size + 4 < sizeof file->bytes);
    memcpy(file->bytes + file->size, begin, 4);
    memcpy(file->bytes + file->size + 4, data, size);
    file->size += 4 + size;
}

/* A JPEG of 16 x 8 pixels in colour, the left half of grey level 228, the right half 128. */
static jpeg make_jpeg(bool progressive)
{
    jpeg file = {.bytes = {0xff, 0xd8}, .size = 2};
    uint8_t quantization[65] = {0};
    memset(quantization + 1, 8, 64); /* a constant term of n is a grey level of 128 + n */
    add_segment(&file, 0xdb, quantization, 65);
    add_segment(&file, progressive ? 0xc2 : 0xc0, "\x08\0\x08\0\x10\3\1\x11\0\2\x11\0\3\x11\0", 15);
    /* Code 0: no bits follow. Code 10: 7 bits follow. */
    file.huffman = file.size;
    add_segment(&file, 0xc4, "\0\1\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\7", 19);
    if (!progressive)
        add_segment(&file, 0xc4, "\x10\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 18); /* 0: end of block */
    file.scan = file.size;
    add_segment(&file, 0xda, progressive ? "\3\1\0\2\0\3\0\0\0\0" : "\3\1\0\2\0\3\0\0\x3f\0", 10);
    /* +100, 0, 0 and -100, 0, 0: the differences of the constant terms of Y, Cb, Cr, after each 0 if there is
     * more than one scan */
    memcpy(file.bytes + file.size, progressive ? "\xb2\x11\xb3\x7f\xff\xd9" : "\xb2\x02\x36\x0f\xff\xd9", 6);
    file.size += 6;
    return file;
}

/* ---- PNG and its texts --------------------------------------------------------------------------------- */

static const pm_text_pair TEXTS[] = {
    {"parameters", "a boot\nNegative prompt: none\nSteps: 20, Seed: 7, Size: 28x28"},
    {"Author", "\xc3\x89mile \xe6\xbc\xa2 \xf0\x9f\x91\xbd"},
    {"empty", ""},
};

static void test_png_round_trip(void **state)
{
    (void)state;
    for (uint32_t channels = 1; channels <= 3; channels += 2) {
        pm_error error;
        pm_image image = make_image(23, 17, channels), read;
        pm_png_texts texts;
        const char *path = test_path("image.png");
        expect_ok(pm_png_write(path, &image, TEXTS, 3, &error), &error);
        expect_ok(pm_image_read(path, 0, &read, &error), &error);
        assert_int_equal(read.width, 23);
        assert_int_equal(read.height, 17);
        assert_int_equal(read.channels, channels);
        assert_memory_equal(read.pixels, image.pixels, 23 * 17 * channels);
        expect_ok(pm_png_read_texts(path, &texts, &error), &error);
        assert_int_equal(texts.count, 3);
        for (size_t i = 0; i < 3; i++) {
            assert_string_equal(texts.pairs[i].key, TEXTS[i].key);
            assert_string_equal(texts.pairs[i].value, TEXTS[i].value);
        }
        pm_png_texts_free(&texts);
        pm_image_free(&read);
        pm_image_free(&image);
    }
}

static void test_texts_of_others(void **state)
{
    (void)state;
    pm_error error;
    pm_png_texts texts;
    uint8_t file[1000], chunks[400], *at = chunks;
    size_t size = make_png(file, 1, 1, 8, 0, "\0\x80", 2, NULL, NULL, 0);
    at = put_chunk(at, "tEXt", "Latin\0caf\xe9", 10);
    at = put_chunk(at, "iTXt", "deep\0\0\0en\0tief\0value", 20);
    at = put_chunk(at, "iTXt", "packed\0\1\0\0\0xyz", 14);
    at = put_chunk(at, "zTXt", "packed\0\0xyz", 11);
    size_t added = (size_t)(at - chunks);
    memmove(file + 33 + added, file + 33, size - 33);
    memcpy(file + 33, chunks, added);
    expect_ok(pm_png_texts_from_bytes(file, size + added, "file", &texts, &error), &error);
    assert_int_equal(texts.count, 2);
    assert_string_equal(pm_text_find(texts.pairs, texts.count, "Latin"), "caf\xc3\xa9");
    assert_string_equal(pm_text_find(texts.pairs, texts.count, "deep"), "value");
    pm_png_texts_free(&texts);
}

static void test_texts_that_cannot_be_written(void **state)
{
    (void)state;
    pm_image image = make_image(2, 2, 1);
    char long_key[81];
    memset(long_key, 'k', 80);
    long_key[80] = 0;
    const pm_text_pair wrong[] = {{"", "x"},         {" a", "x"},           {"a ", "x"},
                                  {"a  b", "x"},     {"a\n", "x"},          {"\xc3\xa9", "x"},
                                  {long_key, "x"},   {"a", "\xff"},         {"a", "\xc3"},
                                  {"a", "\xc0\x80"}, {"a", "\xed\xa0\x80"}, {"a", "\xf4\x90\x80\x80"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        pm_error error = {0};
        expect_failure(pm_png_write(test_path("bad.png"), &image, &wrong[i], 1, &error), PM_BAD_USAGE, &error,
                       i < 7 ? "cannot be the key" : "not UTF-8");
    }
    pm_error error;
    pm_image empty = {0};
    expect_failure(pm_png_write(test_path("bad.png"), &empty, NULL, 0, &error), PM_BAD_USAGE, &error,
                   "empty");
    assert_int_equal(access(test_path("bad.png"), F_OK), -1);
    pm_image_free(&image);
}

static void test_malformed_png(void **state)
{
    (void)state;
    static const struct {
        const char *what; /* what is done to a sound file of IHDR, tEXt, IDAT, IEND */
        size_t at;
        uint8_t value;
        const char *message;
    } cases[] = {
        {"signature", 1, 'Q', "not a PNG"},
        {"line ends converted", 4, '\n', "not a PNG"},
        {"length of IHDR", 11, 14, "ends outside|damaged"},
        {"length beyond 2^31", 8, 0x80, "ends outside the file"},
        {"length beyond the file", 9, 0x01, "ends outside the file"},
        {"type that is no letters", 12, 0, "garbage"},
        {"type that is another chunk's", 13, 'X', "damaged"},
        {"width", 19, 9, "damaged"},
        {"check sum of IHDR", 29, 0, "damaged"},
        {"length of tEXt", 36, 200, "ends outside the file"},
        {"key", 42, 'z', "damaged"},
    };
    uint8_t sound[1000];
    size_t size = make_png(sound, 1, 1, 8, 0, "\0\x80", 2, "tEXt", "key\0value", 9);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pm_error error = {0};
        pm_png_texts texts;
        uint8_t file[1000];
        memcpy(file, sound, size);
        assert_int_not_equal(file[cases[i].at], cases[i].value);
        file[cases[i].at] = cases[i].value;
        const char *part = cases[i].message;
        if (strchr(part, '|')) part = "chunk IHDR"; /* a longer IHDR ends where another check sum would be */
        expect_failure(pm_png_texts_from_bytes(file, size, "file", &texts, &error), PM_BAD_FILE, &error,
                       part);
        assert_null(texts.pairs);
        if (i < 2) continue; /* no PNG: the decoder's message */
        pm_image image;
        expect_failure(pm_image_from_bytes(file, size, 0, "file", &image, &error), PM_BAD_FILE, &error, part);
    }
    for (size_t cut = 0; cut < size; cut++) {
        pm_error error = {0};
        pm_png_texts texts;
        assert_int_equal(pm_png_texts_from_bytes(sound, cut, "file", &texts, &error), PM_BAD_FILE);
    }
}

static void test_malformed_chunks(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        const char *data;
        size_t size;
        const char *message;
    } cases[] = {
        {"tEXt", "", 0, "no key of 1 to 79"},
        {"tEXt", "key without end", 15, "no key of 1 to 79"},
        {"tEXt", "\0value", 6, "no key of 1 to 79"},
        {"tEXt", "01234567890123456789012345678901234567890123456789012345678901234567890123456789\0v", 82,
         "no key of 1 to 79"},
        {"tEXt", "key\0val\0ue", 10, "NUL in its text"},
        {"iTXt", "key\0", 4, "too short"},
        {"iTXt", "key\0\0\0en", 8, "lacks a field"},
        {"iTXt", "key\0\0\0en\0tief", 13, "lacks a field"},
        {"iTXt", "key\0\0\0\0\0\xff", 9, "not UTF-8"},
        {"iTXt", "key\0\0\0\0\0a\0b", 11, "not UTF-8"},
        {"IHDR", "0123456789abc", 13, "does not begin with one IHDR"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pm_error error = {0};
        pm_png_texts texts;
        uint8_t file[1000];
        size_t size = make_png(file, 1, 1, 8, 0, "\0\x80", 2, cases[i].type, cases[i].data, cases[i].size);
        expect_failure(pm_png_texts_from_bytes(file, size, "file", &texts, &error), PM_BAD_FILE, &error,
                       cases[i].message);
    }
    pm_error error = {0};
    pm_png_texts texts;
    uint8_t file[20000], *at = file + 8;
    memcpy(file, "\x89PNG\r\n\x1a\n", 8);
    at = put_chunk(at, "IDAT", "x", 1);
    expect_failure(pm_png_texts_from_bytes(file, (size_t)(at - file), "file", &texts, &error), PM_BAD_FILE,
                   &error, "does not begin with one IHDR");
    at = put_chunk(file + 8, "IHDR", "0123456789abc", 13);
    for (int i = 0; i <= PM_PNG_MAX_TEXTS; i++) at = put_chunk(at, "tEXt", "k\0v", 3);
    expect_failure(pm_png_texts_from_bytes(file, (size_t)(at - file), "file", &texts, &error), PM_BAD_FILE,
                   &error, "more than 256 texts");
    size_t size = make_png(file, 1, 1, 8, 0, "\0\x80", 2, NULL, NULL, 0);
    expect_failure(pm_png_texts_from_bytes(file, size + 3, "file", &texts, &error), PM_BAD_FILE, &error,
                   "3 bytes follow the end");
}

/* ---- Pictures in --------------------------------------------------------------------------------------- */

static void check_pixels(const uint8_t *file, size_t size, uint32_t channels, const uint8_t *wanted,
                         size_t count)
{
    pm_error error;
    pm_image image;
    expect_ok(pm_image_from_bytes(file, size, channels, "file", &image, &error), &error);
    assert_int_equal((size_t)image.width * image.height * image.channels, count);
    assert_memory_equal(image.pixels, wanted, count);
    pm_image_free(&image);
}

static void test_kinds_of_png(void **state)
{
    (void)state;
    uint8_t file[1000];
    size_t size = make_png(file, 3, 1, 8, 0, "\0\x00\x80\xff", 4, NULL, NULL, 0); /* grey */
    check_pixels(file, size, 0, (const uint8_t[]){0, 128, 255}, 3);
    check_pixels(file, size, 3, (const uint8_t[]){0, 0, 0, 128, 128, 128, 255, 255, 255}, 9);
    size = make_png(file, 3, 1, 8, 2, "\0\xff\0\0\0\xff\0\0\0\xff", 10, NULL, NULL, 0); /* RGB */
    check_pixels(file, size, 0, (const uint8_t[]){255, 0, 0, 0, 255, 0, 0, 0, 255}, 9);
    check_pixels(file, size, 1, (const uint8_t[]){76, 150, 29}, 3);
    size = make_png(file, 2, 1, 8, 6, "\0\x0a\x14\x1e\x00\x0a\x14\x1e\xff", 9, NULL, NULL,
                    0); /* transparent, opaque */
    check_pixels(file, size, 0, (const uint8_t[]){255, 255, 255, 10, 20, 30}, 6);
    size = make_png(file, 2, 1, 8, 4, "\0\x00\x80\x00\x40", 5, NULL, NULL,
                    0); /* half transparent black on white */
    check_pixels(file, size, 0, (const uint8_t[]){127, 191}, 2);
    size = make_png(file, 2, 1, 16, 0, "\0\x12\x34\xab\xcd", 5, NULL, NULL, 0);
    check_pixels(file, size, 0, (const uint8_t[]){0x12, 0xab}, 2);
    size = make_png(file, 8, 1, 1, 0, "\0\xa5", 2, NULL, NULL, 0);
    check_pixels(file, size, 0, (const uint8_t[]){255, 0, 255, 0, 0, 255, 0, 255}, 8);
    size = make_png(file, 2, 1, 8, 3, "\0\x01\x00", 3, "PLTE", "\1\2\3\4\5\6", 6);
    check_pixels(file, size, 0, (const uint8_t[]){4, 5, 6, 1, 2, 3}, 6);
    size = make_png(file, 2, 1, 8, 0, "\0\x07\x09", 3, "tRNS", "\0\7", 2); /* a transparent grey level */
    check_pixels(file, size, 0, (const uint8_t[]){255, 9}, 2);
}

static void test_pictures_that_cannot_be_read(void **state)
{
    (void)state;
    pm_error error = {0};
    pm_image image;
    uint8_t file[1000] = {0};
    expect_failure(pm_image_from_bytes(file, 0, 0, "file", &image, &error), PM_BAD_FILE, &error,
                   "neither a PNG nor a JPEG");
    expect_failure(
        pm_image_from_bytes((const uint8_t *)"GIF89a\1\0\1\0\0\0\0;", 14, 0, "file", &image, &error),
        PM_BAD_FILE, &error, "neither a PNG nor a JPEG");
    expect_failure(pm_image_read(test_path("none.png"), 0, &image, &error), PM_IO, &error, "No such file");
    size_t size = make_png(file, 16385, 1, 8, 0, "\0", 1, NULL, NULL, 0);
    expect_failure(pm_image_from_bytes(file, size, 0, "file", &image, &error), PM_BAD_FILE, &error,
                   "has 16385 x 1 pixels");
    size = make_png(file, 16384, 16384, 8, 0, "\0", 1, NULL, NULL, 0);
    expect_failure(pm_image_from_bytes(file, size, 0, "file", &image, &error), PM_BAD_FILE, &error,
                   "has 16384 x 16384 pixels");
    size = make_png(file, 0, 1, 8, 0, "\0", 1, NULL, NULL, 0);
    expect_failure(pm_image_from_bytes(file, size, 0, "file", &image, &error), PM_BAD_FILE, &error,
                   "has 0 x 1 pixels");
    size = make_png(file, 2, 2, 8, 0, "\0\1\2\0\1", 5, NULL, NULL, 0);
    expect_failure(pm_image_from_bytes(file, size, 0, "file", &image, &error), PM_BAD_FILE, &error,
                   "corrupt");
    assert_null(image.pixels);
}

static void test_jpeg(void **state)
{
    (void)state;
    for (int progressive = 0; progressive < 2; progressive++) {
        pm_error error;
        pm_image read;
        jpeg file = make_jpeg(progressive);
        put_file(test_path("image.jpg"), file.bytes, file.size);
        expect_ok(pm_image_read(test_path("image.jpg"), 0, &read, &error), &error);
        assert_int_equal(read.width, 16);
        assert_int_equal(read.height, 8);
        assert_int_equal(read.channels, 3);
        for (size_t i = 0; i < 16 * 8 * 3; i++) assert_int_equal(read.pixels[i], i / 3 % 16 < 8 ? 228 : 128);
        pm_image_free(&read);
    }
}

static void test_malformed_jpeg(void **state)
{
    (void)state;
    pm_image read;
    const jpeg file = make_jpeg(false);
    const size_t tables = file.huffman, scan = file.scan;
    const struct {
        size_t at;
        uint8_t value;
        const char *message;
    } cases[] = {
        {tables + 1, 0xfe, "uses a table"},          /* the tables become a comment: none is defined */
        {tables + 1, 0xcc, "is of a kind that"},     /* arithmetic coding */
        {tables + 2, 0xff, "ends outside the file"}, /* the length */
        {tables + 4, 0x05, "malformed Huffman"},     /* table number 5 */
        {tables + 5, 3, "too many codes"},           /* three codes of one bit */
        {tables + 20, 255, "too many symbols"}, /* 255 more codes of 16 bits: more symbols than a table has */
        {scan + 4, 5, "malformed scan"},        /* five components */
        {scan + 5, 0x77, "uses a table or component"}, /* an unknown component */
        {scan + 6, 0x22, "uses a table"},              /* table 2 was not defined */
        {scan, 0, "garbage"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pm_error error = {0};
        jpeg damaged = file;
        damaged.bytes[cases[i].at] = cases[i].value;
        expect_failure(pm_image_from_bytes(damaged.bytes, damaged.size, 0, "file", &read, &error),
                       PM_BAD_FILE, &error, cases[i].message);
    }
    /* A table of 257 symbols, all of them there, for which the decoder's own table has no room. */
    pm_error error = {0};
    jpeg crowded = {.bytes = {0xff, 0xd8}, .size = 2};
    uint8_t table[17 + 257] = {[15] = 2, [16] = 255};
    add_segment(&crowded, 0xc4, table, sizeof table);
    memcpy(crowded.bytes + crowded.size, file.bytes + 2, file.size - 2);
    crowded.size += file.size - 2;
    expect_failure(pm_image_from_bytes(crowded.bytes, crowded.size, 0, "file", &read, &error), PM_BAD_FILE,
                   &error, "too many symbols");
    for (size_t cut = 0; cut < file.size; cut++) {
        pm_error error = {0};
        assert_int_equal(pm_image_from_bytes(file.bytes, cut, 0, "file", &read, &error), PM_BAD_FILE);
    }
}

/* Makes the check sums of a damaged PNG right, so that the damage gets as far as the decoder. */
static void repair_png(uint8_t *bytes, size_t size)
{
    for (size_t at = 8; at + 12 <= size;) {
        size_t length = (size_t)bytes[at] << 24 | (size_t)bytes[at + 1] << 16 | (size_t)bytes[at + 2] << 8 |
                        bytes[at + 3];
        if (length > size - at - 12) break;
        put_u32(bytes + at + 8 + length, (uint32_t)crc32(0, bytes + at + 4, (uInt)(length + 4)));
        at += 12 + length;
    }
}

static void test_random_damage(void **state)
{
    (void)state;
    const jpeg files[2] = {make_jpeg(false), make_jpeg(true)};
    uint8_t png[1000];
    size_t png_size =
        make_png(png, 3, 2, 8, 3, "\0\1\2\3\1\1\2\3", 8, "iTXt", "key\0\0\0en\0tief\0value", 19);
    uint64_t random = 3;
    int accepted[2] = {0}, texts_accepted = 0;
    for (int i = 0; i < 8000; i++) {
        pm_error error;
        pm_image read;
        size_t size;
        bool is_png = i % 2;
        uint8_t *bytes = is_png ? damaged_copy(png, png_size, &random, &size)
                                : damaged_copy(files[i / 2 % 2].bytes, files[i / 2 % 2].size, &random, &size);
        if (is_png) {
            pm_png_texts texts;
            repair_png(bytes, size);
            pm_status status = pm_png_texts_from_bytes(bytes, size, "file", &texts, &error);
            assert_true(status == PM_OK || status == PM_BAD_FILE);
            texts_accepted += status == PM_OK;
            pm_png_texts_free(&texts);
        }
        pm_status status = pm_image_from_bytes(bytes, size, 0, "file", &read, &error);
        assert_true(status == PM_OK || status == PM_BAD_FILE);
        accepted[is_png] += status == PM_OK;
        (void)(status == PM_OK && pm_image_is_grey(&read)); /* looks at every pixel */
        pm_image_free(&read);
        free(bytes);
    }
    assert_true(accepted[0] > 0 && texts_accepted > 0 && texts_accepted < 4000);
}

/* ---- Changing pictures --------------------------------------------------------------------------------- */

static void test_grey(void **state)
{
    (void)state;
    pm_image image = make_image(5, 4, 3);
    for (size_t i = 0; i < 60; i++) image.pixels[i] = (uint8_t)(i / 3);
    assert_true(pm_image_is_grey(&image));
    image.pixels[59]++;
    assert_false(pm_image_is_grey(&image));
    pm_image_free(&image);
}

static void test_fit_square(void **state)
{
    (void)state;
    pm_error error;
    pm_image image = make_image(6, 4, 1);
    static const uint8_t wide[24] = {9, 0,  0,  100, 100, 9, 9, 0,  0,  100, 100, 9,
                                     9, 50, 50, 200, 200, 9, 9, 50, 50, 200, 200, 9};
    memcpy(image.pixels, wide, 24);
    expect_ok(pm_image_fit_square(&image, 4, &error), &error); /* only cropped */
    assert_memory_equal(
        image.pixels, ((const uint8_t[]){0, 0, 100, 100, 0, 0, 100, 100, 50, 50, 200, 200, 50, 50, 200, 200}),
        16);
    expect_ok(pm_image_fit_square(&image, 1, &error), &error);
    assert_int_equal(image.pixels[0], 88); /* the mean, 87.5, rounded */
    expect_ok(pm_image_fit_square(&image, 3, &error), &error);
    for (int i = 0; i < 9; i++) assert_int_equal(image.pixels[i], 88);
    expect_failure(pm_image_fit_square(&image, 0, &error), PM_BAD_USAGE, &error, "0 x 0");
    pm_image_free(&image);

    /* Growing interpolates linearly between the centres of pixels. */
    image = make_image(2, 2, 1);
    memcpy(image.pixels, ((const uint8_t[]){0, 80, 0, 80}), 4);
    expect_ok(pm_image_fit_square(&image, 4, &error), &error);
    assert_memory_equal(image.pixels,
                        ((const uint8_t[]){0, 20, 60, 80, 0, 20, 60, 80, 0, 20, 60, 80, 0, 20, 60, 80}), 16);
    pm_image_free(&image);

    /* Shrinking and growing keep a flat colour, at odd ratios, in every channel. */
    image = make_image(31, 47, 3);
    for (size_t i = 0; i < 31 * 47 * 3; i++) image.pixels[i] = (uint8_t)(10 + 100 * (i % 3));
    for (uint32_t size = 1; size < 80; size += 6) {
        expect_ok(pm_image_fit_square(&image, size, &error), &error);
        assert_int_equal(image.width, size);
        for (size_t i = 0; i < (size_t)size * size * 3; i++)
            assert_int_equal(image.pixels[i], 10 + 100 * (i % 3));
    }
    pm_image_free(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_png_round_trip),
        cmocka_unit_test(test_texts_of_others),
        cmocka_unit_test(test_texts_that_cannot_be_written),
        cmocka_unit_test(test_malformed_png),
        cmocka_unit_test(test_malformed_chunks),
        cmocka_unit_test(test_kinds_of_png),
        cmocka_unit_test(test_pictures_that_cannot_be_read),
        cmocka_unit_test(test_jpeg),
        cmocka_unit_test(test_malformed_jpeg),
        cmocka_unit_test(test_random_damage),
        cmocka_unit_test(test_grey),
        cmocka_unit_test(test_fit_square),
    };
    return cmocka_run_group_tests_name("files: images", tests, make_test_directory, remove_test_directory);
}
