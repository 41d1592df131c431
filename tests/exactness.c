/* The same bits everywhere: trains 20 steps of a tiny diffusion model, samples it, and prints the checksums
 * of the checkpoint and of the pictures' files. With the expected checksums as arguments, fails when they
 * differ.
 *
 * exactness FOLDER [CHECKPOINT PICTURES] */
#include "tiny.h"

#include "files/file_io.h"
#include "pumice_models.h"

#include <stdio.h>
#include <zlib.h>

static pm_status checksum(const char *path, uint32_t *out, pm_error *error)
{
    uint8_t *bytes;
    size_t size;
    pm_status status = pm_read_file(path, 1u << 28, &bytes, &size, error);
    if (status != PM_OK) return status;
    *out = (uint32_t)crc32(0, bytes, (uInt)size);
    free(bytes);
    return PM_OK;
}

static pm_status train(pm_device *device, const char *path, pm_error *error)
{
    pm_dataset data = tiny_dataset();
    pm_recipe recipe;
    pm_trainer *trainer = NULL;
    pm_status status = tiny_fitted_recipe(&recipe, error);
    if (status == PM_OK)
        status =
            pm_trainer_create(device, &recipe, &(pm_training_data){.pictures = &data}, NULL, &trainer, error);
    if (status == PM_OK) status = pm_trainer_run(trainer, 20, error);
    if (status == PM_OK) status = pm_trainer_save(trainer, path, error);
    pm_trainer_destroy(trainer);
    free(data.pixels);
    free(data.labels);
    return status;
}

/* DDIM with guidance, then DDPM without, into one picture file. */
static pm_status sample(pm_device *device, const char *model_path, const char *path, pm_error *error)
{
    static uint8_t pixels[6 * TINY_SIDE * TINY_SIDE];
    pm_model *model = NULL;
    pm_sample_options options = pm_sample_defaults();
    options.count = 3;
    pm_status status = pm_model_open(model_path, &model, error);
    if (status == PM_OK) status = pm_model_sample(device, model, &options, pixels, NULL, error);
    options.sampler = "ddpm";
    options.guidance = 1;
    if (status == PM_OK) {
        status = pm_model_sample(device, model, &options, pixels + 3 * TINY_SIDE * TINY_SIDE, NULL, error);
    }
    if (status == PM_OK) status = pm_write_png(path, pixels, 6, 3, TINY_SIDE, TINY_SIDE, 1, NULL, error);
    pm_model_close(model);
    return status;
}

int main(int argc, char **argv)
{
    char checkpoint[512], pictures[512], got[2][16];
    uint32_t sums[2] = {0, 0};
    pm_error error = {0};
    pm_device *device = NULL;
    if (argc != 2 && argc != 4)
        return fprintf(stderr, "usage: exactness FOLDER [CHECKPOINT PICTURES]\n"), PM_BAD_USAGE;
    (void)snprintf(checkpoint, sizeof checkpoint, "%s/exactness.safetensors", argv[1]);
    (void)snprintf(pictures, sizeof pictures, "%s/exactness.png", argv[1]);
    pm_status status = pm_device_open(NULL, &device, &error);
    if (status == PM_OK) status = train(device, checkpoint, &error);
    if (status == PM_OK) status = sample(device, checkpoint, pictures, &error);
    if (status == PM_OK) status = checksum(checkpoint, &sums[0], &error);
    if (status == PM_OK) status = checksum(pictures, &sums[1], &error);
    if (status != PM_OK) return fprintf(stderr, "%s\n", error.message), (int)status;
    const pm_device_facts *facts = pm_device_facts_of(device);
    for (int i = 0; i < 2; i++) (void)snprintf(got[i], sizeof got[i], "%08x", sums[i]);
    printf("%s %s (%s, %s)\n", got[0], got[1], facts->name, facts->driver_info);
    pm_device_close(device);
    if (argc != 4 || (strcmp(argv[2], got[0]) == 0 && strcmp(argv[3], got[1]) == 0)) return PM_OK;
    fprintf(stderr, "expected %s %s\n", argv[2], argv[3]);
    return PM_FAILED;
}
