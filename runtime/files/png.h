/* PNG files out, with text chunks that say how a picture was made; and those texts in again. (PNG, third
 * edition, W3C 2025: https://www.w3.org/TR/png-3/) */
#ifndef PM_FILES_PNG_H
#define PM_FILES_PNG_H

#include "base/status.h"
#include "files/image.h"
#include "files/text_pair.h"

#define PM_PNG_MAX_TEXTS 256

/* Writes `image` as `path`, atomically (see file_io.h), with one text chunk a pair before the pixels: tEXt
 * when the value is ASCII, else iTXt. Keys are 1 to 79 printable ASCII characters without spaces at either
 * end or twice in a row; values are UTF-8. Fails with PM_BAD_USAGE when they are not, or the image is empty,
 * with PM_IO, PM_NO_MEMORY. */
pm_status pm_png_write(const char *path, const pm_image *image, const pm_text_pair *texts, size_t count,
                       pm_error *error);

typedef struct pm_png_texts {
    pm_text_pair *pairs; /* in the file's order; keys may repeat */
    size_t count;
} pm_png_texts;

/* Reads the tEXt and uncompressed iTXt chunks of a file, as UTF-8; compressed ones are skipped. Every chunk's
 * length and check sum is verified, and nothing may follow the last. The caller frees *out with
 * pm_png_texts_free. Fails with PM_IO, PM_BAD_FILE, PM_NO_MEMORY. */
pm_status pm_png_read_texts(const char *path, pm_png_texts *out, pm_error *error);

/* The same for a file that is in memory; `where` begins messages. */
pm_status pm_png_texts_from_bytes(const uint8_t *bytes, size_t size, const char *where, pm_png_texts *out,
                                  pm_error *error);
void pm_png_texts_free(pm_png_texts *texts);

/* Whether the bytes begin as a PNG. */
bool pm_png_is(const uint8_t *bytes, size_t size);

/* PM_BAD_FILE if a chunk is cut off or damaged; what follows the last chunk is not looked at: picture files
 * in the wild have all sorts of things there. *width and *height are in pixels and may be anything. */
pm_status pm_png_check(const uint8_t *bytes, size_t size, const char *where, uint32_t *width,
                       uint32_t *height, pm_error *error);

#endif
