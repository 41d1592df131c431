/* Looks through a JPEG file before stb_image decodes it. Internal: use image.h. */
#ifndef PM_FILES_JPEG_CHECK_H
#define PM_FILES_JPEG_CHECK_H

#include "base/status.h"

/* Whether the bytes begin as a JPEG. */
bool pm_jpeg_is(const uint8_t *bytes, size_t size);

/* PM_BAD_FILE unless all segments up to the end marker lie within the file and every table that a scan uses
 * was defined before and is sound. *width and *height are in pixels and may be anything. */
pm_status pm_jpeg_check(const uint8_t *bytes, size_t size, const char *where, uint32_t *width,
                        uint32_t *height, pm_error *error);

#endif
