/* Many small pictures as one; see grid.h. */
#include "files/grid.h"

#include "files/font.h"

#include <string.h>

enum { LARGEST_FACTOR = 1024 }; /* of scale, padding and font_scale: keeps every sum below within 64 bits */

/* Where things lie, in pixels of the result. 64 bits wide, so that a size which is too large is seen as
 * one. */
typedef struct layout {
    uint64_t columns, rows;
    uint64_t scale, padding, font;
    uint64_t picture_width, picture_height; /* enlarged */
    uint64_t column_width, row_height;      /* with the cells' labels, without padding */
    uint64_t left, top;                     /* of the first cell */
    uint64_t label_height;                  /* of a line of text and the gap beside it */
} layout;

uint32_t pm_grid_rows(uint32_t count, uint32_t *columns)
{
    if (*columns == 0) {
        *columns = 1;
        while ((uint64_t)*columns * *columns < count) (*columns)++;
    }
    return count / *columns + (count % *columns != 0);
}

static uint64_t longest_label(const char *const *labels, uint64_t count)
{
    uint64_t longest = 0;
    for (uint64_t i = 0; labels && i < count; i++) {
        uint32_t width = labels[i] ? pm_font_width(labels[i]) : 0;
        if (width > longest) longest = width;
    }
    return longest;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static layout make_layout(const pm_grid *grid, uint32_t count, uint32_t height, uint32_t width)
{
    layout at = {.scale = grid->scale ? grid->scale : 1,
                 .padding = grid->padding,
                 .font = grid->font_scale ? grid->font_scale : 1};
    uint32_t columns = grid->columns;
    at.rows = pm_grid_rows(count, &columns);
    at.columns = columns;
    at.picture_width = width * at.scale;
    at.picture_height = height * at.scale;
    at.label_height = (PM_FONT_HEIGHT + 2) * at.font;

    uint64_t widest =
        larger(longest_label(grid->column_labels, columns), longest_label(grid->cell_labels, count));
    at.column_width = larger(at.picture_width, widest * at.font);
    at.row_height = at.picture_height + (grid->cell_labels ? at.label_height : 0);
    uint64_t row_label = longest_label(grid->row_labels, at.rows);
    at.left = at.padding + (row_label ? (row_label + 4) * at.font : 0);
    at.top = at.padding + (grid->column_labels ? at.label_height : 0);
    return at;
}

/* Copies picture number `index`, enlarged, to the upper left corner (x, y). */
static void draw_picture(pm_image *out, const uint8_t *pixels, size_t width, size_t height, size_t scale,
                         size_t x, size_t y)
{
    size_t channels = out->channels;
    for (size_t row = 0; row < height * scale; row++) {
        uint8_t *to = out->pixels + ((y + row) * out->width + x) * channels;
        const uint8_t *from = pixels + row / scale * width * channels;
        for (size_t column = 0; column < width * scale; column++) {
            memcpy(to + column * channels, from + column / scale * channels, channels);
        }
    }
}

/* Draws a label, centred on a column of the grid. */
static void draw_centred(pm_image *out, const layout *at, uint64_t left, uint64_t top, const char *label,
                         uint8_t ink)
{
    uint64_t text_width = pm_font_width(label) * at->font;
    pm_font_draw(out, (uint32_t)(left + (at->column_width - text_width) / 2), (uint32_t)top, label,
                 (uint32_t)at->font, ink);
}

static void draw_margins(pm_image *out, const pm_grid *grid, const layout *at, uint8_t ink)
{
    for (uint64_t i = 0; grid->column_labels && i < at->columns; i++) {
        const char *label = grid->column_labels[i];
        uint64_t left = at->left + i * (at->column_width + at->padding);
        if (label) draw_centred(out, at, left, at->padding, label, ink);
    }
    for (uint64_t i = 0; grid->row_labels && i < at->rows; i++) {
        const char *label = grid->row_labels[i];
        uint64_t top = at->top + i * (at->row_height + at->padding), text_height = PM_FONT_HEIGHT * at->font;
        uint64_t space = at->picture_height > text_height ? at->picture_height - text_height : 0;
        if (label)
            pm_font_draw(out, (uint32_t)at->padding, (uint32_t)(top + space / 2), label, (uint32_t)at->font,
                         ink);
    }
}

static void draw_cells(pm_image *out, const pm_grid *grid, const layout *at, const uint8_t *pixels,
                       uint32_t count, uint32_t height, uint32_t width, uint8_t ink)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t left = at->left + i % at->columns * (at->column_width + at->padding);
        uint64_t top = at->top + i / at->columns * (at->row_height + at->padding);
        draw_picture(out, pixels + (size_t)i * height * width * out->channels, width, height, at->scale,
                     left + (at->column_width - at->picture_width) / 2, top);
        const char *label = grid->cell_labels ? grid->cell_labels[i] : NULL;
        if (label) draw_centred(out, at, left, top + at->picture_height + 2 * at->font, label, ink);
    }
}

pm_status pm_grid_compose(const pm_grid *grid, const uint8_t *pixels, uint32_t count, uint32_t height,
                          uint32_t width, uint32_t channels, pm_image *out, pm_error *error)
{
    memset(out, 0, sizeof *out);
    if (count == 0 || height == 0 || width == 0) {
        return pm_fail(error, PM_BAD_USAGE, "there is no picture to put into a grid");
    }
    if (grid->columns > PM_IMAGE_MAX_SIDE || grid->scale > LARGEST_FACTOR || grid->padding > LARGEST_FACTOR ||
        grid->font_scale > LARGEST_FACTOR || height > PM_IMAGE_MAX_SIDE || width > PM_IMAGE_MAX_SIDE) {
        return pm_fail(error, PM_BAD_USAGE,
                       "the scale, padding or columns of the picture grid are too large");
    }
    layout at = make_layout(grid, count, height, width);
    uint64_t full_width = at.left + at.columns * (at.column_width + at.padding);
    uint64_t full_height = at.top + at.rows * (at.row_height + at.padding);
    if (full_width > PM_IMAGE_MAX_SIDE || full_height > PM_IMAGE_MAX_SIDE) {
        return pm_fail(
            error, PM_BAD_USAGE,
            "a grid of %u pictures would have %ju x %ju pixels; take fewer pictures or a smaller scale",
            count, (uintmax_t)full_width, (uintmax_t)full_height);
    }
    pm_status status = pm_image_create((uint32_t)full_width, (uint32_t)full_height, channels, out, error);
    if (status != PM_OK) return status;
    memset(out->pixels, grid->background, (size_t)full_width * full_height * channels);
    uint8_t ink = grid->background < 128 ? 255 : 0;
    draw_cells(out, grid, &at, pixels, count, height, width, ink);
    draw_margins(out, grid, &at, ink);
    return PM_OK;
}
