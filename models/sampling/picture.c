/* Pictures to a PNG; see pumice_models.h. */
#include "files/grid.h"
#include "files/png.h"
#include "pumice_models.h"

pm_status pm_write_png(const char *path, const uint8_t *pixels, uint32_t count, uint32_t columns,
                       uint32_t height, uint32_t width, uint32_t channels, const char *parameters,
                       pm_error *error)
{
    pm_image image = {0};
    pm_grid grid = {.columns = columns, .padding = count > 1 ? 2 : 0};
    pm_text_pair text = {"parameters", parameters};
    pm_status status = pm_grid_compose(&grid, pixels, count, height, width, channels, &image, error);
    if (status == PM_OK) status = pm_png_write(path, &image, &text, parameters ? 1 : 0, error);
    pm_image_free(&image);
    return status;
}
