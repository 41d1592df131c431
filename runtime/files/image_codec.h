/* The one door to stb_image and stb_image_write, whose implementations live in image_codec.c. Internal: use
 * image.h and png.h. */
#ifndef PM_FILES_IMAGE_CODEC_H
#define PM_FILES_IMAGE_CODEC_H

#include <stddef.h>
#include <stdint.h>

/* Decodes a PNG or JPEG, which pm_png_check() or pm_jpeg_check() has passed, to [height][width][channels]
 * with 1 to 4 channels. NULL when it is corrupt; *reason, static text, says why. The caller frees the
 * result. */
uint8_t *pm_codec_decode(const uint8_t *bytes, size_t size, uint32_t *width, uint32_t *height,
                         uint32_t *channels, const char **reason);

/* Encodes as PNG; NULL when memory ran out. width * height * channels must be below 2^30. The caller frees
 * it. */
uint8_t *pm_codec_encode_png(const uint8_t *pixels, uint32_t width, uint32_t height, uint32_t channels,
                             size_t *size);

#endif
