/* Sampling pictures: one plan holds one reverse step for a batch; a trajectory is that plan replayed, all on
 * the device. */
#include "base/philox.h"
#include "base/status.h"
#include "plan/advice.h"
#include "sampling/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Streams of randomness of sampling: the first noise (step 0) and the noise of each step. */
enum { STREAM_START = 0x100, STREAM_STEP = 0x101 };

#define DEFAULT_BATCH 64u

typedef struct sampling {
    const pm_model *model;
    const pm_recipe *recipe;
    pm_sample_options options; /* with every default filled in */
    pm_sampler sampler;
    bool doubled;        /* conditional and unconditional rows in one batch */
    bool random;         /* the steps use noise */
    uint32_t pixels;     /* elements of one picture */
    float *table;        /* [steps][PM_STEP_COLUMNS] */
    uint32_t *timesteps; /* [steps] */
    pm_graph *graph;
    pm_plan *plan;
    pm_tensor x, labels, counter, weight, x0;
    float *host; /* [batch] pictures */
    uint8_t *preview;
} sampling;

pm_sample_options pm_sample_defaults(void)
{
    return (pm_sample_options){.count = 1, .eta = -1.0f, .guidance = NAN};
}

/* ---- Options ------------------------------------------------------------------------------------------- */

static pm_status fill_options(sampling *s, const pm_sample_options *given, pm_error *error)
{
    const pm_recipe *recipe = s->recipe;
    pm_sample_options *o = &s->options;
    *o = *given;
    if (recipe->kind != PM_KIND_IMAGE_DIFFUSION) {
        return pm_fail(error, PM_BAD_USAGE, "%s is a classifier: it has nothing to sample", recipe->name);
    }
    if (o->count == 0) o->count = 1;
    if (!o->sampler) o->sampler = recipe->sampling.sampler;
    if (!o->spacing) o->spacing = recipe->sampling.spacing;
    if (o->steps == 0) o->steps = recipe->sampling.steps;
    if (o->eta < 0.0f) o->eta = recipe->sampling.eta;
    if (isnan(o->guidance)) o->guidance = recipe->unet.classes ? recipe->sampling.guidance : 1.0f;
    if (o->batch == 0) o->batch = DEFAULT_BATCH;
    if (o->batch > o->count) o->batch = o->count;
    if (!isfinite(o->guidance) || !isfinite(o->eta)) {
        return pm_fail(error, PM_BAD_USAGE, "guidance and eta must be finite numbers");
    }
    if (!recipe->unet.classes && o->guidance != 1.0f) {
        return pm_fail(error, PM_BAD_USAGE, "%s was trained without classes: guidance must be 1",
                       recipe->name);
    }
    return pm_sampler_from_names(o->sampler, o->spacing, o->steps, (double)o->eta, &s->sampler, error);
}

static pm_status compute_tables(sampling *s, pm_error *error)
{
    pm_gaussian *process = NULL;
    uint32_t steps = s->options.steps;
    s->table = malloc((size_t)steps * PM_STEP_COLUMNS * sizeof *s->table);
    s->timesteps = malloc((size_t)steps * sizeof *s->timesteps);
    if (!s->table || !s->timesteps) return pm_fail(error, PM_NO_MEMORY, "sampling: out of host memory");
    pm_status status = pm_gaussian_create(&s->recipe->process, &process, error);
    if (status == PM_OK) status = pm_gaussian_steps(process, &s->sampler, s->table, s->timesteps, error);
    pm_gaussian_destroy(process);
    for (uint32_t i = 0; status == PM_OK && i < steps; i++) {
        s->random |= s->table[i * PM_STEP_COLUMNS + PM_STEP_OUT_Z] != 0.0f;
    }
    return status;
}

/* ---- One reverse step as a graph ----------------------------------------------------------------------- */

static pm_status build(sampling *s, pm_error *error)
{
    pm_graph *graph = s->graph = pm_graph_create();
    if (!graph) return pm_fail(error, PM_NO_MEMORY, "sampling: out of host memory");
    const pm_unet_config *net = &s->recipe->unet;
    uint32_t batch = s->options.batch, steps = s->options.steps;
    uint32_t rows = s->doubled ? 2 * batch : batch;
    s->x = pm_state(graph, "sample.x", PM_DTYPE_F32, PM_SHAPE(batch, net->height, net->width, net->channels));
    s->labels = pm_state(graph, "sample.labels", PM_DTYPE_U32, PM_SHAPE(batch));
    s->counter = pm_counter(graph);
    pm_tensor table =
        pm_constant(graph, "sample.table", PM_DTYPE_F32, PM_SHAPE(steps, PM_STEP_COLUMNS), s->table);
    pm_tensor timesteps = pm_constant(graph, "sample.timesteps", PM_DTYPE_U32, PM_SHAPE(steps), s->timesteps);
    pm_tensor t = pm_at_step(graph, timesteps, s->counter, rows);
    pm_tensor x = s->doubled ? pm_repeat_batch(graph, s->x) : s->x;
    pm_tensor labels = s->doubled ? pm_guide_labels(graph, s->labels, net->classes) : s->labels;
    pm_tensor prediction = pm_unet(graph, net, x, t, net->classes ? labels : PM_NONE, PM_NONE);
    if (s->doubled) {
        pm_tensor weight =
            pm_constant(graph, "sample.guidance", PM_DTYPE_F32, PM_SHAPE(1), &s->options.guidance);
        prediction = pm_guide(graph, prediction, weight);
    }
    pm_tensor noise = PM_NONE; /* the column OUT_Z is zero */
    if (s->random) noise = pm_normal(graph, s->counter, STREAM_STEP, pm_shape_of(graph, s->x));
    s->x0 = pm_denoise_step(graph, s->x, prediction, noise, s->counter, table, 1.0f);
    pm_output(graph, s->x0);
    pm_advance(graph, s->counter);
    return pm_graph_status(graph, error);
}

/* The same for fewer pictures at a time. */
static pm_graph *rebuild(void *user, uint32_t index, uint32_t batch)
{
    sampling s = *(const sampling *)user;
    (void)index;
    s.options.batch = batch;
    if (build(&s, NULL) == PM_OK) return s.graph;
    pm_graph_destroy(s.graph);
    return NULL;
}

static pm_status make_plan(sampling *s, pm_device *device, pm_error *error)
{
    pm_plan_options options = {.precision = s->options.precision};
    pm_status status = build(s, error);
    if (status != PM_OK) return status;
    return pm_plan_create_batch(device, s->graph, &options, s->options.batch, rebuild, s, &s->plan, error);
}

/* ---- Running ------------------------------------------------------------------------------------------- */

static uint32_t label_of(const sampling *s, uint32_t index)
{
    uint32_t classes = s->recipe->unet.classes;
    if (classes == 0) return 0;
    if (s->options.guidance == 0.0f) return classes; /* unconditional: one pass with the null class */
    uint32_t label =
        s->options.labels ? s->options.labels[index < s->options.count ? index : 0] : index % classes;
    return label < classes ? label : classes;
}

/* Pure noise for pictures first .. first+batch-1, counted like all randomness: by picture and element. */
static void draw_start(const sampling *s, uint64_t first)
{
    uint32_t key[2] = {(uint32_t)s->options.seed, (uint32_t)(s->options.seed >> 32)};
    for (uint32_t b = 0; b < s->options.batch; b++) {
        float *out = s->host + (size_t)b * s->pixels;
        for (uint32_t i = 0; i < s->pixels; i += 4) {
            uint32_t counter[4] = {i / 4, 0, (uint32_t)(first + b), STREAM_START}, bits[4];
            float values[4];
            pm_philox4x32(counter, key, bits);
            pm_normal4(bits, values);
            for (uint32_t j = 0; j < 4 && i + j < s->pixels; j++) out[i + j] = values[j];
        }
    }
}

static pm_status start_batch(sampling *s, uint32_t done, pm_error *error)
{
    uint64_t first = s->options.first + done;
    uint32_t batch = s->options.batch;
    uint32_t counter[4] = {0, (uint32_t)first, (uint32_t)s->options.seed, (uint32_t)(s->options.seed >> 32)};
    draw_start(s, first);
    pm_status status =
        pm_plan_write(s->plan, s->x, s->host, (size_t)batch * s->pixels * sizeof *s->host, error);
    if (status == PM_OK) status = pm_plan_write(s->plan, s->counter, counter, sizeof counter, error);
    if (status == PM_OK && s->recipe->unet.classes) {
        uint32_t *labels = malloc(batch * sizeof *labels);
        if (!labels) return pm_fail(error, PM_NO_MEMORY, "sampling: out of host memory");
        for (uint32_t b = 0; b < batch; b++) labels[b] = label_of(s, done + b);
        status = pm_plan_write(s->plan, s->labels, labels, batch * sizeof *labels, error);
        free(labels);
    }
    return status;
}

/* [-1,1] to 0 .. 255, rounded. */
static void to_bytes(const float *values, size_t count, uint8_t *out)
{
    for (size_t i = 0; i < count; i++) {
        float v = (values[i] + 1.0f) * 127.5f + 0.5f;
        out[i] = v >= 255.0f ? 255 : v > 0.0f ? (uint8_t)v : 0;
    }
}

static pm_status read_pictures(sampling *s, pm_tensor tensor, uint32_t count, uint8_t *out, pm_error *error)
{
    size_t elements = (size_t)s->options.batch * s->pixels;
    pm_status status = pm_plan_read(s->plan, tensor, s->host, elements * sizeof *s->host, error);
    if (status == PM_OK) to_bytes(s->host, (size_t)count * s->pixels, out);
    return status;
}

/* One batch from noise to pictures; *stopped tells that the caller's progress function asked to end. */
static pm_status run_batch(sampling *s, uint32_t done, uint8_t *pixels, bool *stopped, pm_error *error)
{
    const pm_sample_options *o = &s->options;
    uint32_t count = o->count - done < o->batch ? o->count - done : o->batch;
    uint32_t batches = (o->count + o->batch - 1) / o->batch;
    pm_status status = start_batch(s, done, error);
    for (uint32_t step = 0; status == PM_OK && step < o->steps && !*stopped; step++) {
        status = pm_plan_run(s->plan, 1, error);
        if (status == PM_OK && o->preview_every && o->preview && (step + 1) % o->preview_every == 0) {
            status = read_pictures(s, s->x0, count, s->preview, error);
            if (status == PM_OK) o->preview(o->user, step + 1, done, count, s->preview);
        }
        if (status == PM_OK && o->progress)
            *stopped = !o->progress(o->user, done / o->batch * o->steps + step + 1, batches * o->steps);
    }
    if (status != PM_OK) return status;
    /* A trajectory that was cut short gives its estimate of the finished pictures, which is what a viewer
     * expects. */
    return read_pictures(s, *stopped ? s->x0 : s->x, count, pixels + (size_t)done * s->pixels, error);
}

static pm_status run(sampling *s, pm_device *device, uint8_t *pixels, uint32_t *made, pm_error *error)
{
    bool stopped = false;
    s->doubled = s->options.guidance != 1.0f && s->options.guidance != 0.0f;
    pm_status status = compute_tables(s, error);
    if (status == PM_OK) status = make_plan(s, device, error);
    if (status == PM_OK) status = pm_model_load_into(s->model, s->plan, s->graph, error);
    s->pixels = s->recipe->unet.height * s->recipe->unet.width * s->recipe->unet.channels;
    s->host = malloc((size_t)s->options.batch * s->pixels * sizeof *s->host);
    s->preview = malloc((size_t)s->options.batch * s->pixels);
    if (status == PM_OK && (!s->host || !s->preview)) {
        status = pm_fail(error, PM_NO_MEMORY, "sampling: out of host memory");
    }
    for (uint32_t done = 0; status == PM_OK && done < s->options.count && !stopped;
         done += s->options.batch) {
        status = run_batch(s, done, pixels, &stopped, error);
        if (status == PM_OK) {
            *made = done + s->options.batch < s->options.count ? done + s->options.batch : s->options.count;
        }
    }
    return status;
}

pm_status pm_model_sample(pm_device *device, const pm_model *model, const pm_sample_options *options,
                          uint8_t *pixels, uint32_t *made, pm_error *error)
{
    uint32_t counted = 0;
    sampling s = {.model = model, .recipe = &model->recipe};
    pm_status status = fill_options(&s, options, error);
    if (status == PM_OK) status = run(&s, device, pixels, &counted, error);
    if (made) *made = counted;
    pm_plan_destroy(s.plan);
    pm_graph_destroy(s.graph);
    free(s.table);
    free(s.timesteps);
    free(s.host);
    free(s.preview);
    return status;
}
