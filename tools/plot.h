/* The curve of a training run as an SVG file. */
#ifndef PM_TOOLS_PLOT_H
#define PM_TOOLS_PLOT_H

#include "base/status.h"

typedef struct cli_point {
    double x, y;
} cli_point;

/* Writes `points` (x rising) as a curve with logarithmic y, together with its smoothed form; points whose y
 * is not finite and positive are left out. `title` is shown above. Fails with PM_IO, PM_NO_MEMORY. */
pm_status cli_plot_write(const char *path, const char *title, const char *x_label, const char *y_label,
                         const cli_point *points, size_t count, pm_error *error);

#endif
