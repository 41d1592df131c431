/* The implementations of stb_image and stb_image_write, configured and private to this file; see
 * image_codec.h. */
#include "files/image_codec.h"

#include <limits.h>
#include <stdlib.h>

#include <zlib.h>

/* A small file can promise, or unpack to, any amount. This is what the largest image that image.h allows
 * takes as RGBA with 16 bits a channel, with room for the filter bytes of its rows; stb gives up cleanly when
 * it gets NULL. */
static const size_t LARGEST_ALLOCATION = ((size_t)1 << 29) + ((size_t)1 << 20);

static void *bounded_malloc(size_t size)
{
    return size > LARGEST_ALLOCATION ? NULL : malloc(size);
}

static void *bounded_realloc(void *memory, size_t size)
{
    return size > LARGEST_ALLOCATION ? NULL : realloc(memory, size);
}

/* What stb_image_write calls instead of its own, weaker, compressor. */
static unsigned char *compress_with_zlib(const unsigned char *data, int size, int *out_size, int level)
{
    uLongf bytes = compressBound((uLong)size);
    unsigned char *out = malloc(bytes);
    if (!out) return NULL;
    if (compress2(out, &bytes, data, (uLong)size, level) != Z_OK || bytes > INT_MAX) {
        free(out);
        return NULL;
    }
    *out_size = (int)bytes;
    return out;
}

/* For the rest of this file: what is unused is reported at the end, where a pop would have undone it. */
#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#endif

#define STBI_MALLOC(size) bounded_malloc(size)
#define STBI_REALLOC(memory, size) bounded_realloc(memory, size)
#define STBI_FREE(memory) free(memory)
#define STBI_ASSERT(condition) \
    ((void)0)                     /* a library does not abort; what they check was checked for PNG and JPEG */
#define STBI_MAX_DIMENSIONS 16384 /* PM_IMAGE_MAX_SIDE */
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>

#define STBI_WRITE_NO_STDIO
#define STBIW_ZLIB_COMPRESS compress_with_zlib
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image_write.h>

uint8_t *pm_codec_decode(const uint8_t *bytes, size_t size, uint32_t *width, uint32_t *height,
                         uint32_t *channels, const char **reason)
{
    int w, h, c;
    *reason = "too large";
    if (size > INT_MAX) return NULL;
    uint8_t *pixels = stbi_load_from_memory(bytes, (int)size, &w, &h, &c, 0);
    if (!pixels) {
        const char *known = stbi_failure_reason();
        *reason = known ? known : "unknown reason";
        return NULL;
    }
    *width = (uint32_t)w;
    *height = (uint32_t)h;
    *channels = (uint32_t)c;
    return pixels;
}

uint8_t *pm_codec_encode_png(const uint8_t *pixels, uint32_t width, uint32_t height, uint32_t channels,
                             size_t *size)
{
    int bytes = 0;
    uint8_t *png = stbi_write_png_to_mem(pixels, (int)(width * channels), (int)width, (int)height,
                                         (int)channels, &bytes);
    *size = (size_t)bytes;
    return png;
}
