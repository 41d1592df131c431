/* Grids of pictures and the font of their labels. */
#include "file_helpers.h"

#include "files/font.h"
#include "files/grid.h"

static int count_ink(const pm_image *image, uint32_t left, uint32_t top, uint32_t width, uint32_t height)
{
    int count = 0;
    for (uint32_t y = top; y < top + height; y++) {
        for (uint32_t x = left; x < left + width; x++) count += image->pixels[y * image->width + x] == 255;
    }
    return count;
}

static void test_font(void **state)
{
    (void)state;
    assert_int_equal(pm_font_width(""), 0);
    assert_int_equal(pm_font_width("A"), 5);
    assert_int_equal(pm_font_width("Ankle boot"), 59);
    assert_int_equal(pm_font_width("\xc3\xa9\xe6\xbc\xa2"), 11);
    /* No two characters look the same, and only the space is empty. */
    uint8_t seen[95][35];
    pm_error error;
    pm_image image;
    for (int c = 0; c < 95; c++) {
        const char text[2] = {(char)(' ' + c), 0};
        expect_ok(pm_image_create(5, 7, 1, &image, &error), &error);
        pm_font_draw(&image, 0, 0, text, 1, 255);
        assert_int_equal(count_ink(&image, 0, 0, 5, 7) == 0, c == 0);
        memcpy(seen[c], image.pixels, 35);
        for (int other = 0; other < c; other++) assert_memory_not_equal(seen[c], seen[other], 35);
        pm_image_free(&image);
    }
    /* What lies outside is cut off; a scale multiplies the area. */
    expect_ok(pm_image_create(12, 14, 1, &image, &error), &error);
    pm_font_draw(&image, 0, 0, "L", 2, 255);
    assert_int_equal(count_ink(&image, 0, 0, 12, 14), 11 * 4);
    pm_font_draw(&image, 11, 13, "MMMM", 3, 255);
    pm_font_draw(&image, 500, 500, "M", 1, 255);
    assert_int_equal(count_ink(&image, 0, 0, 12, 14), 11 * 4 + 1);
    pm_image_free(&image);
}

static void test_grid_places_pictures(void **state)
{
    (void)state;
    pm_error error;
    pm_image out;
    uint8_t pixels[5 * 2 * 3];
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(i + 1);
    const pm_grid grid = {.columns = 2, .scale = 2, .padding = 1, .background = 200};
    expect_ok(pm_grid_compose(&grid, pixels, 5, 2, 3, 1, &out, &error), &error);
    assert_int_equal(out.width, 1 + 2 * 7);
    assert_int_equal(out.height, 1 + 3 * 5);
    size_t background = 0;
    for (uint32_t y = 0; y < out.height; y++) {
        for (uint32_t x = 0; x < out.width; x++) {
            uint8_t wanted = 200;
            uint32_t in_x = (x + 6) % 7, in_y = (y + 4) % 5, index = (y + 4) / 5 * 2 - 2 + (x + 6) / 7 - 1;
            if (x > 0 && y > 0 && in_x < 6 && in_y < 4 && index < 5)
                wanted = pixels[index * 6 + in_y / 2 * 3 + in_x / 2];
            background += wanted == 200;
            assert_int_equal(out.pixels[y * out.width + x], wanted);
        }
    }
    assert_int_equal(background, 15 * 16 - 5 * 24);
    pm_image_free(&out);

    uint32_t columns = 0;
    assert_int_equal(pm_grid_rows(10, &columns), 3);
    assert_int_equal(columns, 4);
}

static void test_grid_labels(void **state)
{
    (void)state;
    pm_error error;
    pm_image out;
    const uint8_t pixels[4] = {1, 2, 3, 4};
    const char *rows[2] = {"a", NULL}, *columns[2] = {"Ankle boot", ""}, *cells[4] = {"x", NULL, "y", "z"};
    const pm_grid grid = {
        .columns = 2, .padding = 2, .row_labels = rows, .column_labels = columns, .cell_labels = cells};
    expect_ok(pm_grid_compose(&grid, pixels, 4, 1, 1, 1, &out, &error), &error);
    /* 2 + (5 + 4) for the rows' labels; columns as wide as the longest label, 59, + 2; rows of 1 + 9, + 2; 9
     * for the columns' labels */
    assert_int_equal(out.width, 2 + 9 + 2 * (59 + 2));
    assert_int_equal(out.height, 2 + 9 + 2 * (10 + 2));
    assert_true(count_ink(&out, 11, 2, 59, 7) > 50);     /* Ankle boot */
    assert_int_equal(count_ink(&out, 72, 2, 59, 7), 0);  /* no label */
    assert_true(count_ink(&out, 2, 11, 5, 8) > 5);       /* a */
    assert_int_equal(count_ink(&out, 2, 23, 5, 10), 0);  /* no label */
    assert_true(count_ink(&out, 11, 14, 59, 7) > 5);     /* x */
    assert_int_equal(count_ink(&out, 72, 14, 59, 7), 0); /* no label */
    assert_true(count_ink(&out, 72, 26, 59, 7) > 5);     /* z */
    pm_image_free(&out);
}

static void test_grid_limits(void **state)
{
    (void)state;
    pm_error error = {0};
    pm_image out;
    const uint8_t pixel = 0;
    const pm_grid plain = {0}, wide = {.columns = UINT32_MAX}, huge = {.scale = 1025},
                  padded = {.padding = UINT32_MAX};
    const pm_grid tall = {.columns = 1, .padding = 1000};
    expect_failure(pm_grid_compose(&plain, &pixel, 0, 1, 1, 1, &out, &error), PM_BAD_USAGE, &error,
                   "no picture");
    expect_failure(pm_grid_compose(&plain, &pixel, 1, 1, 1, 2, &out, &error), PM_BAD_USAGE, &error,
                   "2 channels");
    expect_failure(pm_grid_compose(&wide, &pixel, 1, 1, 1, 1, &out, &error), PM_BAD_USAGE, &error,
                   "too large");
    expect_failure(pm_grid_compose(&huge, &pixel, 1, 1, 1, 1, &out, &error), PM_BAD_USAGE, &error,
                   "too large");
    expect_failure(pm_grid_compose(&padded, &pixel, 1, 1, 1, 1, &out, &error), PM_BAD_USAGE, &error,
                   "too large");
    expect_failure(pm_grid_compose(&tall, &pixel, 20, 1, 1, 1, &out, &error), PM_BAD_USAGE, &error,
                   "2001 x 21020 pixels");
    expect_failure(pm_grid_compose(&plain, &pixel, UINT32_MAX, 1, 1, 1, &out, &error), PM_BAD_USAGE, &error,
                   "65536 x 65536 pixels");
    assert_null(out.pixels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_font),
        cmocka_unit_test(test_grid_places_pictures),
        cmocka_unit_test(test_grid_labels),
        cmocka_unit_test(test_grid_limits),
    };
    return cmocka_run_group_tests_name("files: grids", tests, NULL, NULL);
}
