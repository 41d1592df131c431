/* A font of 5 x 7 pixels, for labels on pictures. */
#ifndef PM_FILES_FONT_H
#define PM_FILES_FONT_H

#include "files/image.h"

enum {
    PM_FONT_ADVANCE = 6,
    PM_FONT_HEIGHT = 7
}; /* pixels from a character to the next, and of one from top to bottom */

/* Width of a text in pixels at scale 1, without the gap after its last character. Every character beyond
 * ASCII (counted as UTF-8) is one that is drawn as '?'. */
uint32_t pm_font_width(const char *text);

/* Draws a text with its upper left corner at (x, y), each pixel of the font `scale` pixels wide and high, in
 * all channels of `image` with the value `ink`. What lies outside the image is not drawn. */
void pm_font_draw(pm_image *image, uint32_t x, uint32_t y, const char *text, uint32_t scale, uint8_t ink);

#endif
