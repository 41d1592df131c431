/* The same bits everywhere: trains 20 steps of a tiny image model and of two tiny text models, samples them,
 * and prints the checksums of the checkpoints, of the pictures' file and of the texts. With the expected
 * checksums as arguments, fails when they differ.
 *
 * exactness FOLDER [CHECKPOINT PICTURES CHECKPOINT CHECKPOINT TEXTS] */
#include "tiny.h"
#include "tiny_text.h"

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

static pm_status train_text(pm_device *device, uint32_t which, const char *path, pm_error *error)
{
    pm_recipe recipe;
    pm_trainer *trainer = NULL;
    pm_training_data data = {.n_tokens = TINY_TEXT};
    char *json = NULL;
    uint32_t *tokens = NULL;
    pm_status status = tiny_text_open(which, &recipe, &json, &tokens, error);
    data.tokens = tokens;
    data.tokenizer = json;
    if (status == PM_OK) status = pm_trainer_create(device, &recipe, &data, NULL, &trainer, error);
    if (status == PM_OK) status = pm_trainer_run(trainer, 20, error);
    if (status == PM_OK) status = pm_trainer_save(trainer, path, error);
    pm_trainer_destroy(trainer);
    free(json);
    free(tokens);
    return status;
}

/* Appends what a model writes to `all`, which has room for it. */
static pm_status write_texts(pm_device *device, const pm_model *model, pm_text_options options, char *all,
                             pm_error *error)
{
    pm_texts texts;
    pm_status status = pm_model_generate(device, model, &options, &texts, error);
    for (uint32_t i = 0; status == PM_OK && i < texts.count; i++) {
        strcat(all, texts.texts[i]);
        strcat(all, "|");
    }
    pm_texts_free(&texts);
    return status;
}

/* Left to right: drawn with every cut, and greedy, past the end of the context. */
static pm_status sample_causal(pm_device *device, const char *path, char *all, pm_error *error)
{
    pm_model *model = NULL;
    pm_text_options options = pm_text_defaults();
    options.count = 2;
    options.prompt = "the sto";
    options.length = 30;
    options.top_k = 9;
    options.top_p = 0.9f;
    options.min_p = 0.01f;
    options.repetition = 1.1f;
    pm_status status = pm_model_open(path, &model, error);
    if (status == PM_OK) status = write_texts(device, model, options, all, error);
    options.temperature = 0.0f;
    if (status == PM_OK) status = write_texts(device, model, options, all, error);
    pm_model_close(model);
    return status;
}

static pm_status sample_masked(pm_device *device, const char *path, char *all, pm_error *error)
{
    static const char *const samplers[] = {"ancestral", "first-hitting", "low-confidence",
                                           "entropy",   "margin",        "threshold"};
    pm_model *model = NULL;
    pm_status status = pm_model_open(path, &model, error);
    for (uint32_t i = 0; status == PM_OK && i < sizeof samplers / sizeof samplers[0]; i++) {
        pm_text_options options = pm_text_defaults();
        options.count = 2;
        options.infill = "the [9] a [4].";
        options.sampler = samplers[i];
        options.steps = 5;
        options.guidance = i == 2 ? 2.0f : 1.0f;
        options.temperature = i == 3 ? 0.0f : 1.0f;
        options.position_temperature = i == 4 ? 0.5f : 0.0f;
        status = write_texts(device, model, options, all, error);
    }
    pm_model_close(model);
    return status;
}

enum { SUMS = 5 };

static pm_status run(pm_device *device, const char *folder, uint32_t sums[SUMS], pm_error *error)
{
    char path[SUMS - 1][512], texts[4096] = "";
    static const char *const names[] = {"exactness.safetensors", "exactness.png", "exactness-ar.safetensors",
                                        "exactness-masked.safetensors"};
    for (int i = 0; i < SUMS - 1; i++) (void)snprintf(path[i], sizeof path[i], "%s/%s", folder, names[i]);
    pm_status status = train(device, path[0], error);
    if (status == PM_OK) status = sample(device, path[0], path[1], error);
    if (status == PM_OK) status = train_text(device, 0, path[2], error);
    if (status == PM_OK) status = train_text(device, 1, path[3], error);
    if (status == PM_OK) status = sample_causal(device, path[2], texts, error);
    if (status == PM_OK) status = sample_masked(device, path[3], texts, error);
    for (int i = 0; status == PM_OK && i < SUMS - 1; i++) status = checksum(path[i], &sums[i], error);
    sums[SUMS - 1] = (uint32_t)crc32(0, (const Bytef *)texts, (uInt)strlen(texts));
    return status;
}

int main(int argc, char **argv)
{
    uint32_t sums[SUMS] = {0};
    bool same = true;
    pm_error error = {0};
    pm_device *device = NULL;
    if (argc != 2 && argc != 2 + SUMS)
        return fprintf(stderr, "usage: exactness FOLDER [%d CHECKSUMS]\n", SUMS), PM_BAD_USAGE;
    pm_status status = pm_device_open(NULL, &device, &error);
    if (status == PM_OK) status = run(device, argv[1], sums, &error);
    if (status != PM_OK) return fprintf(stderr, "%s\n", error.message), (int)status;
    const pm_device_facts *facts = pm_device_facts_of(device);
    for (int i = 0; i < SUMS; i++) {
        char got[16];
        (void)snprintf(got, sizeof got, "%08x", sums[i]);
        printf("%s ", got);
        if (argc == 2 + SUMS) same &= strcmp(argv[2 + i], got) == 0;
    }
    printf("(%s, %s)\n", facts->name, facts->driver_info);
    pm_device_close(device);
    if (same) return PM_OK;
    fprintf(stderr, "expected");
    for (int i = 0; i < SUMS; i++) fprintf(stderr, " %s", argv[2 + i]);
    fputc('\n', stderr);
    return PM_FAILED;
}
