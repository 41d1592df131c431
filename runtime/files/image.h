/* Small pictures: 8-bit grey or RGB, read from PNG or JPEG, cropped, resized. */
#ifndef PM_FILES_IMAGE_H
#define PM_FILES_IMAGE_H

#include "base/status.h"

#define PM_IMAGE_MAX_SIDE 16384
#define PM_IMAGE_MAX_PIXELS (1u << 26)

typedef struct pm_image {
    uint32_t width, height;
    uint32_t channels; /* 1: grey, 3: RGB */
    uint8_t *pixels;   /* [height][width][channels], from malloc */
} pm_image;

/* Allocates pixels of value 0. Fails with PM_BAD_USAGE when a side is 0 or a limit above is exceeded or
 * `channels` is neither 1 nor 3, with PM_NO_MEMORY. The caller frees *out with pm_image_free. */
pm_status pm_image_create(uint32_t width, uint32_t height, uint32_t channels, pm_image *out, pm_error *error);

/* Frees the pixels; `image` may be all zero. */
void pm_image_free(pm_image *image);

/* Reads a PNG or JPEG file. `channels`: 1, 3, or 0 for what the file has. 16-bit samples become 8-bit ones;
 * what is transparent is laid on white. The caller frees *out with pm_image_free. Fails with PM_IO, with
 * PM_BAD_FILE (no such picture, corrupt, larger than the limits above), PM_NO_MEMORY. */
pm_status pm_image_read(const char *path, uint32_t channels, pm_image *out, pm_error *error);

/* The same for a file that is in memory; `where` begins messages. */
pm_status pm_image_from_bytes(const uint8_t *bytes, size_t size, uint32_t channels, const char *where,
                              pm_image *out, pm_error *error);

/* Whether all pixels have red = green = blue; true for grey images. */
bool pm_image_is_grey(const pm_image *image);

/* The largest square in the middle, resized to size x size: averages of the covered pixels when it shrinks,
 * linear interpolation when it grows. Replaces the pixels of *image. Fails with PM_BAD_USAGE for a size of 0
 * or above the limit, with PM_NO_MEMORY. */
pm_status pm_image_fit_square(pm_image *image, uint32_t size, pm_error *error);

#endif
