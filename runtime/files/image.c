/* Small pictures; see image.h. */
#include "files/image.h"

#include "files/file_error.h"
#include "files/file_io.h"
#include "files/image_codec.h"
#include "files/jpeg_check.h"
#include "files/png.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const size_t LARGEST_FILE = (size_t)1 << 30;

static bool size_is_allowed(uint32_t width, uint32_t height)
{
    return width > 0 && height > 0 && width <= PM_IMAGE_MAX_SIDE && height <= PM_IMAGE_MAX_SIDE &&
           width <= PM_IMAGE_MAX_PIXELS / height;
}

pm_status pm_image_create(uint32_t width, uint32_t height, uint32_t channels, pm_image *out, pm_error *error)
{
    memset(out, 0, sizeof *out);
    if (!size_is_allowed(width, height) || (channels != 1 && channels != 3)) {
        return pm_fail(
            error, PM_BAD_USAGE,
            "an image of %u x %u pixels and %u channels; at most %d a side, %u pixels, 1 or 3 channels",
            width, height, channels, PM_IMAGE_MAX_SIDE, PM_IMAGE_MAX_PIXELS);
    }
    uint8_t *pixels = calloc((size_t)width * height, channels);
    if (!pixels)
        return pm_fail(error, PM_NO_MEMORY, "no memory for an image of %u x %u pixels", width, height);
    *out = (pm_image){.width = width, .height = height, .channels = channels, .pixels = pixels};
    return PM_OK;
}

void pm_image_free(pm_image *image)
{
    free(image->pixels);
    memset(image, 0, sizeof *image);
}

/* ---- Reading ------------------------------------------------------------------------------------------- */

/* Converts from what a file has (1: grey, 2: grey and alpha, 3: RGB, 4: RGBA) to 1 or 3 channels. */
static void convert_pixels(const uint8_t *from, uint32_t from_channels, pm_image *to)
{
    uint32_t colours = from_channels < 3 ? 1 : 3;
    bool has_alpha = from_channels % 2 == 0;
    size_t count = (size_t)to->width * to->height;
    uint8_t *out = to->pixels;
    for (size_t i = 0; i < count; i++, from += from_channels, out += to->channels) {
        uint32_t alpha = has_alpha ? from[colours] : 255, rgb[3];
        for (uint32_t c = 0; c < 3; c++) {
            rgb[c] = (from[colours == 3 ? c : 0] * alpha + 255 * (255 - alpha) + 127) / 255;
        }
        if (to->channels == 3) {
            for (uint32_t c = 0; c < 3; c++) out[c] = (uint8_t)rgb[c];
        } else if (colours == 1) {
            out[0] = (uint8_t)rgb[0];
        } else { /* luma of ITU-R BT.601 in 1/1000 */
            out[0] = (uint8_t)((299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2] + 500) / 1000);
        }
    }
}

/* Checks what stb_image does not: the limits of image.h, the check sums of a PNG, the tables of a JPEG. */
static pm_status check_before_decoding(const uint8_t *bytes, size_t size, const char *where, pm_error *error)
{
    uint32_t width, height;
    pm_status status;
    if (pm_png_is(bytes, size)) {
        status = pm_png_check(bytes, size, where, &width, &height, error);
    } else if (pm_jpeg_is(bytes, size)) {
        status = pm_jpeg_check(bytes, size, where, &width, &height, error);
    } else {
        return pm_fail_at(error, PM_BAD_FILE, where, "it is neither a PNG nor a JPEG file");
    }
    if (status == PM_OK && !size_is_allowed(width, height)) {
        return pm_fail_at(error, PM_BAD_FILE, where,
                          "has %u x %u pixels; 1 to %d a side and %u in all can be read", width, height,
                          PM_IMAGE_MAX_SIDE, PM_IMAGE_MAX_PIXELS);
    }
    return status;
}

pm_status pm_image_from_bytes(const uint8_t *bytes, size_t size, uint32_t channels, const char *where,
                              pm_image *out, pm_error *error)
{
    memset(out, 0, sizeof *out);
    pm_status status = check_before_decoding(bytes, size, where, error);
    if (status != PM_OK) return status;
    uint32_t width, height, file_channels;
    const char *reason;
    uint8_t *decoded = pm_codec_decode(bytes, size, &width, &height, &file_channels, &reason);
    if (!decoded) return pm_fail_at(error, PM_BAD_FILE, where, "its image data is corrupt: %s", reason);
    if (channels == 0) channels = file_channels < 3 ? 1 : 3;
    status = pm_image_create(width, height, channels, out, error);
    if (status == PM_OK) {
        convert_pixels(decoded, file_channels, out);
    } else {
        status = pm_fail_prefix(error, status, "%s", where);
    }
    free(decoded);
    return status;
}

pm_status pm_image_read(const char *path, uint32_t channels, pm_image *out, pm_error *error)
{
    uint8_t *bytes;
    size_t size;
    memset(out, 0, sizeof *out);
    pm_status status = pm_read_file(path, LARGEST_FILE, &bytes, &size, error);
    if (status != PM_OK) return status;
    status = pm_image_from_bytes(bytes, size, channels, path, out, error);
    free(bytes);
    return status;
}

/* ---- Looking and changing ------------------------------------------------------------------------------ */

bool pm_image_is_grey(const pm_image *image)
{
    if (image->channels == 1) return true;
    size_t count = (size_t)image->width * image->height;
    for (const uint8_t *p = image->pixels; count > 0; count--, p += 3) {
        if (p[0] != p[1] || p[1] != p[2]) return false;
    }
    return true;
}

/* Resizes `lines` lines of `from_count` pixels to `to_count`; a pixel lies `step` samples after the one
 * before, a line `from_line` or `to_line` after the line before. Each result is a mean weighted by a triangle
 * that is as wide as two target pixels when it shrinks, and as two source pixels (linear interpolation) when
 * it grows. */
static void resize_axis(const double *from, size_t from_line, uint32_t from_count, double *to, size_t to_line,
                        uint32_t to_count, size_t lines, size_t step, size_t channels)
{
    double scale = (double)from_count / to_count, reach = scale > 1 ? scale : 1;
    for (uint32_t x = 0; x < to_count; x++) {
        double centre = (x + 0.5) * scale - 0.5;
        double lowest = ceil(centre - reach), highest = floor(centre + reach);
        uint32_t first = lowest < 0 ? 0 : (uint32_t)lowest;
        uint32_t last = highest > from_count - 1 ? from_count - 1 : (uint32_t)highest;
        double total = 0;
        for (uint32_t i = first; i <= last; i++) total += 1 - fabs(i - centre) / reach;
        for (size_t line = 0; line < lines; line++) {
            for (size_t c = 0; c < channels; c++) {
                double sum = 0;
                for (uint32_t i = first; i <= last; i++) {
                    sum += (1 - fabs(i - centre) / reach) * from[line * from_line + i * step + c];
                }
                to[line * to_line + x * step + c] = sum / total;
            }
        }
    }
}

/* The square of side `side` in the middle of `image`, resized to `size`. row is [side] pixels, narrow
 * [side][size] and square [size][size]. */
static void crop_and_resize(const pm_image *image, uint32_t side, uint32_t size, double *row, double *narrow,
                            double *square, uint8_t *out)
{
    size_t channels = image->channels, left = (image->width - side) / 2, top = (image->height - side) / 2;
    for (size_t y = 0; y < side; y++) {
        const uint8_t *from = image->pixels + ((top + y) * image->width + left) * channels;
        for (size_t i = 0; i < side * channels; i++) row[i] = from[i];
        resize_axis(row, 0, side, narrow + y * size * channels, 0, size, 1, channels, channels);
    }
    /* Down the columns: a line is now a column, and a step is a row. */
    resize_axis(narrow, channels, side, square, channels, size, size, size * channels, channels);
    for (size_t i = 0; i < (size_t)size * size * channels; i++) out[i] = (uint8_t)(square[i] + 0.5);
}

pm_status pm_image_fit_square(pm_image *image, uint32_t size, pm_error *error)
{
    pm_image fitted;
    pm_status status = pm_image_create(size, size, image->channels, &fitted, error);
    if (status != PM_OK) return status;
    uint32_t side = image->width < image->height ? image->width : image->height;
    size_t pixel = (size_t)image->channels * sizeof(double);
    double *row = malloc(side * pixel), *narrow = malloc((size_t)side * size * pixel);
    double *square = malloc((size_t)size * size * pixel);
    if (row && narrow && square) {
        crop_and_resize(image, side, size, row, narrow, square, fitted.pixels);
        pm_image_free(image);
        *image = fitted;
    } else {
        pm_image_free(&fitted);
        status = pm_fail(error, PM_NO_MEMORY, "no memory to resize an image of %u x %u pixels", image->width,
                         image->height);
    }
    free(row);
    free(narrow);
    free(square);
    return status;
}
