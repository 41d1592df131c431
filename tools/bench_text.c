/* A language model without a file, reading a prompt and adding token by token. */
#include "bench.h"
#include "bench_models.h"
#include "cpu_driver.h"

#include "sampling/autoregressive_sampler.h"

#include <stdio.h>
#include <string.h>

enum { PROMPT = 256, TOKENS = 64, WARM_UP = 8 };

/* ---- The device ---------------------------------------------------------------------------------------- */

pm_status bench_text_device_open(pm_device *device, uint64_t parameters, uint64_t texts, pm_device **out,
                                 pm_error *error)
{
    pm_device_options options = cli_device_options();
    *out = device;
    if (pm_device_facts_of(device)->type != PM_DEVICE_CPU || !cli_use_few_threads(parameters, texts))
        return PM_OK;
    pm_status status = pm_device_open(&options, out, error);
    cli_use_many_threads();
    return status;
}

void bench_text_device_close(pm_device *device, pm_device *opened)
{
    if (opened != device) pm_device_close(opened);
}

/* ---- The prompt ---------------------------------------------------------------------------------------- */

/* A pass that leaves keys and values, as the sampler makes it. */
static void build_prompt(pm_graph *graph, const void *user)
{
    const pm_transformer_config *config = user;
    pm_kv_cache cache = {0};
    pm_tensor tokens = pm_state(graph, "tokens", PM_DTYPE_U32, PM_SHAPE(1, PROMPT));
    (void)pm_transformer(graph, config, tokens, (pm_transformer_inputs){.cache = &cache});
}

/* ---- The sampler --------------------------------------------------------------------------------------- */

static pm_status keep_random(void *user, pm_plan *plan, const pm_graph *graph, pm_error *error)
{
    (void)user;
    (void)plan;
    (void)graph;
    (void)error;
    return PM_OK;
}

static bool on_token(void *user, uint32_t index, const uint32_t *tokens)
{
    (void)index;
    (void)tokens;
    return bench_clock_tick(user);
}

static pm_status sample(pm_device *device, const pm_transformer_config *config, uint32_t length,
                        bench_clock *c, pm_ar_timing *timing, pm_error *error)
{
    uint32_t prompt[PROMPT];
    for (uint32_t i = 0; i < PROMPT; i++) prompt[i] = i * 7 % config->vocabulary;
    *c = (bench_clock){.warm_up = WARM_UP};
    pm_ar_options options = {.batch = 1,
                             .length = length,
                             .draw = {.temperature = 1.0f},
                             .precision = cli_precision(),
                             .load = keep_random,
                             .token = on_token,
                             .user = c};
    return pm_autoregressive_sample(device, config, &options, prompt, PROMPT, timing, error);
}

/* ---- Rows ---------------------------------------------------------------------------------------------- */

static void text_row(bench_report *report, const char *name, const bench_timing *timing, uint32_t tokens)
{
    bench_figure figures[] = {
        {"tokens_per_second", "tokens/s", tokens / timing->median, BENCH_NUMBER},
        {"gflops", "GFLOP/s", timing->flops / timing->median * 1e-9, BENCH_NUMBER},
    };
    bench_report_row(report, "language model", name, timing, BENCH_FIGURES(figures));
}

/* Each run of the sampler plans anew and reads the prompt in its plan's first run, as a user meets it. */
static pm_status time_first_passes(pm_device *device, const pm_transformer_config *config, bench_timing *out,
                                   pm_error *error)
{
    double seconds[BENCH_MOST_SAMPLES];
    uint32_t taken = 0;
    bench_clock ignored;
    pm_ar_timing timing;
    pm_status status = sample(device, config, 1, &ignored, &timing, error); /* makes the pipelines */
    while (status == PM_OK && taken < bench_args.samples && !(cli_stopped() && taken > 0)) {
        status = sample(device, config, 1, &ignored, &timing, error);
        seconds[taken++] = timing.prompt_seconds;
    }
    *out = (bench_timing){0};
    if (status == PM_OK) bench_timing_from(out, seconds, taken);
    return status;
}

static pm_status time_tokens(pm_device *device, const pm_transformer_config *config, bench_timing *out,
                             pm_error *error)
{
    bench_clock tokens;
    pm_ar_timing ignored;
    pm_status status = sample(device, config, WARM_UP + TOKENS, &tokens, &ignored, error);
    *out = (bench_timing){0};
    if (status == PM_OK && tokens.count > 0) bench_timing_from(out, tokens.seconds, tokens.count);
    return status;
}

static pm_status prompt_rows(pm_device *device, const pm_transformer_config *config, const char *model,
                             bench_report *report, pm_error *error)
{
    char name[120];
    bench_timing timing;
    pm_status status = bench_time_graph(device, build_prompt, config, bench_args.samples, &timing, error);
    if (status != PM_OK) return status;
    (void)snprintf(name, sizeof name, "%s, a prompt of %d", model, PROMPT);
    text_row(report, name, &timing, PROMPT);
    status = time_first_passes(device, config, &timing, error);
    if (status != PM_OK) return status;
    (void)snprintf(name, sizeof name, "%s, a prompt of %d, first run of a plan", model, PROMPT);
    text_row(report, name, &timing, PROMPT);
    return PM_OK;
}

/* On the device as it is, if `pumice sample` would open it otherwise; and as that opens it. */
static pm_status token_rows(pm_device *device, const pm_transformer_config *config, const char *model,
                            bench_report *report, pm_error *error)
{
    char name[120];
    bench_timing timing;
    pm_device *other;
    pm_status status = bench_text_device_open(device, bench_transformer_parameters(config), 1, &other, error);
    if (status == PM_OK && other != device) {
        status = time_tokens(device, config, &timing, error);
        (void)snprintf(name, sizeof name, "%s, one token, with the driver's threads", model);
        if (status == PM_OK && timing.samples > 0) text_row(report, name, &timing, 1);
    }
    if (status == PM_OK) status = time_tokens(other, config, &timing, error);
    (void)snprintf(name, sizeof name, "%s, one token", model);
    if (status == PM_OK && timing.samples > 0) text_row(report, name, &timing, 1);
    bench_text_device_close(device, other);
    return status;
}

pm_status bench_text_rows(pm_device *device, bench_report *report, pm_error *error)
{
    const pm_transformer_config config = bench_llama();
    char model[60];
    (void)snprintf(model, sizeof model, "Llama of %.2f M", 1e-6 * bench_transformer_parameters(&config));
    pm_status status = prompt_rows(device, &config, model, report, error);
    return status == PM_OK ? token_rows(device, &config, model, report, error) : status;
}
