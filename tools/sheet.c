/* Sheets of pictures with labels; see sheet.h. */
#include "sheet.h"

#include "files/grid.h"
#include "files/png.h"
#include "sampling/model.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_NAMED_COLUMNS = 16, SMALLEST_SIDE = 64 };

void cli_resolve_sampling(const pm_model *model, pm_sample_options *options)
{
    const pm_recipe *recipe = &model->recipe;
    if (!options->sampler) options->sampler = recipe->sampling.sampler;
    if (!options->spacing) options->spacing = recipe->sampling.spacing;
    if (!options->steps) options->steps = recipe->sampling.steps;
    if (options->eta < 0) options->eta = recipe->sampling.eta;
    if (isnan(options->guidance)) options->guidance = recipe->data.classes ? recipe->sampling.guidance : 1.0f;
    options->precision = cli_precision();
    options->seed = cli.seed;
}

const char *cli_class_name(const pm_model_info *info, uint32_t class, char *buffer, size_t size)
{
    if (class >= info->classes) return "none";
    if (info->class_names && info->class_names[class][0]) return info->class_names[class];
    (void)snprintf(buffer, size, "%" PRIu32, class);
    return buffer;
}

void cli_sheet_parameters(const cli_sheet *sheet, char *buffer, size_t size)
{
    const pm_model_info info = pm_model_info_of(sheet->model);
    const pm_sample_options *o = sheet->options;
    char name[16];
    size_t used = 0;
    for (uint32_t i = 0; o->labels && i < sheet->period && i < o->count && used + 64 < size / 2; i++) {
        used +=
            (size_t)snprintf(buffer + used, size - used, "%s%s",
                             i ? ", " : "class: ", cli_class_name(&info, o->labels[i], name, sizeof name));
    }
    if (used == 0) used = (size_t)snprintf(buffer, size, "pictures without classes");
    (void)snprintf(buffer + used, size - used,
                   "\nSteps: %" PRIu32 ", Sampler: %s, CFG scale: %g, Seed: %" PRIu64 ", Size: %" PRIu32
                   "x%" PRIu32 ", Model: %s, Trained steps: %" PRIu64
                   ", Spacing: %s, Eta: %g, Pictures: %" PRIu32 ", First: %" PRIu64
                   ", Precision: %s, Version: pumice %s",
                   o->steps, o->sampler, (double)o->guidance, o->seed, info.width, info.height, info.name,
                   info.step, o->spacing, (double)o->eta, o->count, o->first, cli.precision, PM_VERSION);
}

/* Small pictures are enlarged to a size at which a person sees something. */
static uint32_t default_scale(const pm_model_info *info)
{
    uint32_t side = info->width > info->height ? info->width : info->height;
    return side >= SMALLEST_SIDE ? 1 : SMALLEST_SIDE / side;
}

pm_status cli_sheet_write(const cli_sheet *sheet, const char *path, const uint8_t *pixels, uint32_t first,
                          uint32_t count, pm_error *error)
{
    const pm_model_info info = pm_model_info_of(sheet->model);
    const uint32_t *labels = sheet->options->labels;
    char parameters[4096], numbers[64][16];
    const char **names = labels && sheet->names ? calloc(count, sizeof *names) : NULL;
    if (labels && sheet->names && !names) return pm_fail(error, PM_NO_MEMORY, "%s: out of host memory", path);
    for (uint32_t i = 0; names && i < count; i++) {
        uint32_t label = labels[first + i];
        names[i] = cli_class_name(&info, label, numbers[label < 64 ? label : 0], sizeof numbers[0]);
    }
    pm_grid grid = {
        .columns = sheet->columns, .scale = sheet->scale, .padding = count > 1 ? 2 : 0, .background = 255};
    bool in_columns = labels && sheet->period > 1 && sheet->period <= MOST_NAMED_COLUMNS;
    if (!grid.columns && in_columns && count >= sheet->period) grid.columns = sheet->period;
    if (!grid.scale) grid.scale = default_scale(&info);
    bool column_is_class =
        in_columns && grid.columns == sheet->period && first % sheet->period == 0 && count >= sheet->period;
    if (column_is_class) {
        grid.column_labels = names;
    } else {
        grid.cell_labels = names;
    }
    cli_sheet_parameters(sheet, parameters, sizeof parameters);
    pm_text_pair text = {"parameters", parameters};
    pm_image image = {0};
    pm_status status =
        pm_grid_compose(&grid, pixels, count, info.height, info.width, info.channels, &image, error);
    if (status == PM_OK) status = pm_png_write(path, &image, &text, 1, error);
    pm_image_free(&image);
    free(names);
    return status;
}
