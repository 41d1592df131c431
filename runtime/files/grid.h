/* Many small pictures as one, in rows and columns, enlarged and labelled. */
#ifndef PM_FILES_GRID_H
#define PM_FILES_GRID_H

#include "files/image.h"

typedef struct pm_grid {
    uint32_t columns;    /* 0: as near to a square as it goes */
    uint32_t scale;      /* each pixel becomes scale x scale; 0: 1 */
    uint32_t padding;    /* pixels between pictures and around them */
    uint32_t font_scale; /* of labels; 0: 1 */
    uint8_t background;  /* grey level; labels are black on a light one and white on a dark one */
    /* Each NULL, or an array of UTF-8 strings, any of them NULL or empty for none. */
    const char *const *row_labels;    /* [rows], left of the rows */
    const char *const *column_labels; /* [columns], above the columns */
    const char *const *cell_labels;   /* [count], below the pictures */
} pm_grid;

/* Rows of a grid of `count` pictures. *columns: in what pm_grid has, out what it comes to. */
uint32_t pm_grid_rows(uint32_t count, uint32_t *columns);

/* Composes `count` pictures [count][height][width][channels] (channels 1 or 3), row after row. A column is as
 * wide as its pictures or the longest label of any column or cell, so that none is cut. The caller frees *out
 * with pm_image_free. Fails with PM_BAD_USAGE when there is nothing to compose or the result exceeds the
 * limits of image.h, with PM_NO_MEMORY. */
pm_status pm_grid_compose(const pm_grid *grid, const uint8_t *pixels, uint32_t count, uint32_t height,
                          uint32_t width, uint32_t channels, pm_image *out, pm_error *error);

#endif
