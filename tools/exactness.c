/* The exactness run and its first departure; see exactness.h. */
#include "exactness.h"

#include "tiny.h"
#include "tiny_text.h"

#include "base/status.h"
#include "files/file_io.h"
#include "plan/trace.h"
#include "pumice_models.h"

#include <zlib.h>

enum { STEPS = 50, TRACED_STEPS = 2, TRACED_RUNS = 2, TEXT_MODELS = 3 };

const char *const exactness_names[EXACTNESS_SUMS] = {
    "the U-Net's checkpoint",         "pictures", "the autoregressive checkpoint", "the masked checkpoint",
    "the timeless masked checkpoint", "texts",
};

static const char *const files[] = {
    "exactness.safetensors",          "exactness.png",
    "exactness-ar.safetensors",       "exactness-masked.safetensors",
    "exactness-timeless.safetensors",
};

static const uint32_t expected_sums[] = {
#include "exactness_sums.inc"
    0};

typedef struct run_of_all {
    pm_device *device;
    const char *folder;
    uint32_t steps;      /* of training */
    uint32_t texts;      /* checksum of all texts so far */
    const char *stage;   /* what is under way */
    uint32_t stage_runs; /* of plans, in this stage */
    /* of a trace */
    FILE *write;
    uint32_t at, column; /* tensors so far, and on this line of the file */
    char *first;
    size_t first_size;
} run_of_all;

static void begin_stage(run_of_all *all, const char *stage)
{
    all->stage = stage;
    all->stage_runs = all->column = 0;
    if (all->write) fprintf(all->write, "\n    /* %s */", stage);
}

static const char *path_of(const run_of_all *all, uint32_t which, char path[512])
{
    (void)snprintf(path, 512, "%s/%s", all->folder, files[which]);
    return path;
}

/* ---- Training ------------------------------------------------------------------------------------------ */

static pm_status train(run_of_all *all, pm_recipe *recipe, const pm_training_data *data, uint32_t which,
                       pm_error *error)
{
    char path[512];
    pm_trainer *trainer = NULL;
    recipe->training.steps = STEPS;
    pm_status status = pm_trainer_create(all->device, recipe, data, NULL, &trainer, error);
    if (status == PM_OK) status = pm_trainer_run(trainer, all->steps, error);
    if (status == PM_OK) status = pm_trainer_save(trainer, path_of(all, which, path), error);
    pm_trainer_destroy(trainer);
    return status;
}

static pm_status train_pictures(run_of_all *all, pm_error *error)
{
    pm_dataset data = tiny_dataset();
    pm_recipe recipe;
    begin_stage(all, "training the U-Net");
    pm_status status = tiny_fitted_recipe(&recipe, error);
    if (status == PM_OK) status = train(all, &recipe, &(pm_training_data){.pictures = &data}, 0, error);
    free(data.pixels);
    free(data.labels);
    return status;
}

static pm_status train_text(run_of_all *all, uint32_t which, pm_error *error)
{
    static const char *const stages[TEXT_MODELS] = {"training the autoregressive model",
                                                    "training the masked model",
                                                    "training the timeless masked model"};
    pm_recipe recipe;
    pm_training_data data = {.n_tokens = TINY_TEXT};
    char *json = NULL;
    uint32_t *tokens = NULL;
    begin_stage(all, stages[which]);
    pm_status status = tiny_text_open(which, &recipe, &json, &tokens, error);
    data.tokens = tokens;
    data.tokenizer = json;
    if (status == PM_OK) status = train(all, &recipe, &data, 2 + which, error);
    free(json);
    free(tokens);
    return status;
}

/* ---- Sampling ------------------------------------------------------------------------------------------ */

/* Every sampler of the Gaussian process, with guidance, without, and without classes, into one file. */
static pm_status sample_pictures(run_of_all *all, pm_error *error)
{
    static const struct {
        const char *stage, *sampler, *spacing;
        float eta, guidance;
    } kinds[] = {{"pictures by ddim, guided", "ddim", NULL, 0.0f, 2.0f},
                 {"pictures by ddpm", "ddpm", NULL, 0.0f, 1.0f},
                 {"pictures by ddpm-large, without classes", "ddpm-large", NULL, 0.0f, 0.0f},
                 {"pictures by ddim, random", "ddim", "quadratic", 0.5f, 1.0f}};
    enum { KINDS = sizeof kinds / sizeof kinds[0], EACH = 3, PIXELS = TINY_SIDE * TINY_SIDE };
    static uint8_t pixels[KINDS * EACH * PIXELS];
    char path[512];
    pm_model *model = NULL;
    pm_status status = pm_model_open(path_of(all, 0, path), &model, error);
    for (uint32_t i = 0; status == PM_OK && i < KINDS; i++) {
        pm_sample_options options = pm_sample_defaults();
        begin_stage(all, kinds[i].stage);
        options.count = EACH;
        options.sampler = kinds[i].sampler;
        options.spacing = kinds[i].spacing;
        options.eta = kinds[i].eta;
        options.guidance = kinds[i].guidance;
        status = pm_model_sample(all->device, model, &options, pixels + i * EACH * PIXELS, NULL, error);
    }
    if (status == PM_OK)
        status = pm_write_png(path_of(all, 1, path), pixels, KINDS * EACH, EACH, TINY_SIDE, TINY_SIDE, 1,
                              NULL, error);
    pm_model_close(model);
    return status;
}

static pm_status write_texts(run_of_all *all, const pm_model *model, const pm_text_options *options,
                             pm_error *error)
{
    pm_texts texts;
    pm_status status = pm_model_generate(all->device, model, options, &texts, error);
    for (uint32_t i = 0; status == PM_OK && i < texts.count; i++) {
        all->texts = (uint32_t)crc32(all->texts, (const Bytef *)texts.texts[i], (uInt)texts.sizes[i] + 1);
    }
    pm_texts_free(&texts);
    return status;
}

/* Left to right: drawn with every cut, and greedy, past the end of the context. */
static pm_status sample_causal(run_of_all *all, pm_error *error)
{
    char path[512];
    pm_model *model = NULL;
    pm_text_options options = pm_text_defaults();
    options.count = 2;
    options.prompt = "the sto";
    options.length = 30;
    options.top_k = 9;
    options.top_p = 0.9f;
    options.min_p = 0.01f;
    options.repetition = 1.1f;
    pm_status status = pm_model_open(path_of(all, 2, path), &model, error);
    begin_stage(all, "text from left to right");
    if (status == PM_OK) status = write_texts(all, model, &options, error);
    options.temperature = 0.0f;
    begin_stage(all, "text from left to right, greedy");
    if (status == PM_OK) status = write_texts(all, model, &options, error);
    pm_model_close(model);
    return status;
}

/* By every sampler, each with a setting of its own. */
static pm_status sample_masked(run_of_all *all, uint32_t which, pm_error *error)
{
    char path[512], stage[100];
    const char *const *names = pm_text_sampler_names();
    pm_model *model = NULL;
    pm_status status = pm_model_open(path_of(all, which, path), &model, error);
    for (uint32_t i = 0; status == PM_OK && names[i]; i++) {
        pm_text_options options = pm_text_defaults();
        bool timeless = which == 4;
        if (!timeless && strcmp(names[i], "cached") == 0) continue;
        (void)snprintf(stage, sizeof stage, "text by %s%s", names[i], timeless ? ", timeless" : "");
        begin_stage(all, stage);
        options.count = 2;
        options.infill = timeless && strcmp(names[i], "random") == 0 ? "the [2-4] a [3]." : "the [9] a [4].";
        options.sampler = names[i];
        options.steps = 5;
        options.guidance = strcmp(names[i], "low-confidence") == 0 ? 2.0f : 1.0f;
        options.temperature = strcmp(names[i], "entropy") == 0 ? 0.0f : 1.0f;
        options.position_temperature = strcmp(names[i], "margin") == 0 ? 0.5f : 0.0f;
        options.final_argmax = strcmp(names[i], "any-order") == 0;
        status = write_texts(all, model, &options, error);
    }
    pm_model_close(model);
    return status;
}

static pm_status do_all(run_of_all *all, pm_error *error)
{
    pm_status status = train_pictures(all, error);
    for (uint32_t i = 0; status == PM_OK && i < TEXT_MODELS; i++) status = train_text(all, i, error);
    if (status == PM_OK) status = sample_pictures(all, error);
    if (status == PM_OK) status = sample_causal(all, error);
    if (status == PM_OK) status = sample_masked(all, 3, error);
    if (status == PM_OK) status = sample_masked(all, 4, error);
    return status;
}

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

pm_status exactness_run(pm_device *device, const char *folder, uint32_t sums[EXACTNESS_SUMS], pm_error *error)
{
    char path[512];
    run_of_all all = {.device = device, .folder = folder, .steps = STEPS};
    pm_status status = do_all(&all, error);
    for (uint32_t i = 0; status == PM_OK && i < EXACTNESS_SUMS - 1; i++)
        status = checksum(path_of(&all, i, path), &sums[i], error);
    sums[EXACTNESS_SUMS - 1] = all.texts;
    return status;
}

void exactness_clean(const char *folder)
{
    char path[512];
    run_of_all all = {.folder = folder};
    for (uint32_t i = 0; i < EXACTNESS_SUMS - 1; i++) (void)remove(path_of(&all, i, path));
}

/* ---- Node by node -------------------------------------------------------------------------------------- */

static pm_status begin_run(void *user, pm_plan *plan, bool *watch, pm_error *error)
{
    run_of_all *all = user;
    (void)plan, (void)error;
    *watch = ++all->stage_runs <= TRACED_RUNS;
    return PM_OK;
}

/* Zero for both zeros and for denormals, which drivers may flush; one NaN for all. */
static uint32_t canonical(uint32_t bits)
{
    uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude < 0x00800000u) return 0;
    return magnitude > 0x7f800000u ? 0x7fc00000u : bits;
}

static pm_status sum_of(pm_plan *plan, pm_tensor tensor, uint32_t *sum, pm_error *error)
{
    size_t bytes = pm_bytes_of(plan->graph, tensor);
    uint32_t *words = calloc(1, bytes + 4);
    if (!words) return pm_fail(error, PM_NO_MEMORY, "exactness: out of host memory");
    pm_status status = pm_plan_read(plan, tensor, words, bytes, error);
    if (pm_dtype_of(plan->graph, tensor) == PM_DTYPE_F32) {
        for (size_t i = 0; i < bytes / 4; i++) words[i] = canonical(words[i]);
    }
    *sum = (uint32_t)crc32(0, (const Bytef *)words, (uInt)bytes);
    free(words);
    return status;
}

static void say_departure(run_of_all *all, const pm_plan *plan, uint32_t node, pm_tensor tensor)
{
    char where[200], what[200];
    (void)snprintf(all->first, all->first_size, "%s, step %u: %s, writes other bits to %s", all->stage,
                   all->stage_runs, pm_node_text(plan->graph, node, where, sizeof where),
                   pm_tensor_text(plan->graph, tensor, what, sizeof what));
}

static pm_status after_node(void *user, pm_plan *plan, uint32_t node, pm_error *error)
{
    run_of_all *all = user;
    pm_tensor written[PM_MAX_WRITES];
    uint32_t count = pm_node_writes(&plan->graph->nodes[node], written), sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!pm_plan_holds(plan, written[i])) continue;
        pm_status status = sum_of(plan, written[i], &sum, error);
        if (status != PM_OK) return status;
        if (all->write) fprintf(all->write, "%s0x%08x,", all->column++ % 9 ? " " : "\n    ", sum);
        uint32_t at = all->at++;
        bool known = at + 1 < sizeof expected_sums / sizeof expected_sums[0];
        if (all->write || (known && expected_sums[at] == sum)) continue;
        say_departure(all, plan, node, written[i]);
        return pm_fail(error, PM_FAILED, "%.400s", all->first);
    }
    return PM_OK;
}

static pm_status trace_all(run_of_all *all, pm_error *error)
{
    pm_trace trace = {begin_run, after_node, all};
    all->device->trace = &trace;
    pm_status status = do_all(all, error);
    all->device->trace = NULL;
    return status;
}

pm_status exactness_trace(pm_device *device, const char *folder, char *first, size_t size, pm_error *error)
{
    run_of_all all = {
        .device = device, .folder = folder, .steps = TRACED_STEPS, .first = first, .first_size = size};
    first[0] = '\0';
    pm_status status = trace_all(&all, error);
    return first[0] ? PM_OK : status;
}

pm_status exactness_write_sums(pm_device *device, const char *folder, FILE *file, pm_error *error)
{
    run_of_all all = {.device = device, .folder = folder, .steps = TRACED_STEPS, .write = file};
    fprintf(file,
            "/* Of each tensor that a node of the exactness run writes: written by `exactness --nodes`. */");
    pm_status status = trace_all(&all, error);
    fputc('\n', file);
    return status;
}
