/* Draws one picture of each class from a model file and writes them as a PNG: sample MODEL OUT.png
 * [GUIDANCE]. Uses libpumice alone. */
#include <pumice_models.h>
#include <stdio.h>
#include <stdlib.h>

static bool show(void *user, uint32_t done, uint32_t total)
{
    (void)user;
    fprintf(stderr, "\rstep %u of %u", done, total);
    return true;
}

int main(int argc, char **argv)
{
    pm_error error = {0};
    pm_device *device = NULL;
    pm_model *model = NULL;
    uint8_t *pixels = NULL;
    if (argc < 3) return fprintf(stderr, "usage: %s MODEL OUT.png [GUIDANCE]\n", argv[0]), PM_BAD_USAGE;

    pm_status status = pm_device_open(NULL, &device, &error);
    if (status == PM_OK) status = pm_model_open(argv[1], &model, &error);
    if (status == PM_OK) {
        pm_model_info info = pm_model_info_of(model);
        pm_sample_options options = pm_sample_defaults();
        options.count = info.classes ? info.classes : 10;
        options.seed = 7;
        options.progress = show;
        if (argc > 3) options.guidance = strtof(argv[3], NULL);
        printf("%s: %ux%u, %u classes, on %s\n", info.name, info.width, info.height, info.classes,
               pm_device_facts_of(device)->name);
        pixels = malloc((size_t)options.count * info.height * info.width * info.channels);
        status = PM_NO_MEMORY;
        if (pixels) status = pm_model_sample(device, model, &options, pixels, NULL, &error);
        if (status == PM_OK) {
            status = pm_write_png(argv[2], pixels, options.count, 0, info.height, info.width, info.channels,
                                  NULL, &error);
        }
    }
    fprintf(stderr, "\n%s\n", status == PM_OK ? argv[2] : error.message);
    free(pixels);
    pm_model_close(model);
    pm_device_close(device);
    return (int)status;
}
