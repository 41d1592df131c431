/* `pumice bench`: how fast an operator, a training step or sampling runs on this device. */
#include "bench.h"
#include "commands.h"

#include "base/words.h"

#include <stdio.h>
#include <string.h>

bench_options bench_args;

const char *const bench_layouts[] = {"AB", "ABT", "ATB", NULL};

static const cli_option options[] = {
    {.name = "repeats",
     .type = CLI_COUNT,
     .argument = "N",
     .value = &bench_args.samples,
     .low = 1,
     .high = BENCH_MOST_SAMPLES,
     .fallback = "7",
     .help = "measurements, of which the median counts; least and most are printed beside it"},
    {.name = "baseline",
     .type = CLI_TEXT,
     .argument = "FILE",
     .value = &bench_args.baseline,
     .help = "what --json printed earlier: each row shows its old value and the ratio new to old, and is "
             "marked where all new measurements lie above all old ones, or all below; exit code 1 if any "
             "row is slower (or needs more memory) by that"},
    {.name = "markdown",
     .type = CLI_FLAG,
     .value = &bench_args.markdown,
     .help = "tables in Markdown, as docs/performance.md has them"},
    {.name = "backward",
     .type = CLI_FLAG,
     .value = &bench_args.backward,
     .help = "of matmul, conv and attention: also the gradient of every input, each by itself where it does "
             "not need the forward pass"},
    {.name = "layout",
     .type = CLI_CHOICE,
     .argument = "LAYOUT",
     .value = &bench_args.layout,
     .choices = bench_layouts,
     .fallback = "AB",
     .help = "of matmul: which operand lies transposed in memory: none, B or A"},
    {.name = "batch",
     .type = CLI_COUNT,
     .argument = "N",
     .value = &bench_args.batch,
     .low = 1,
     .high = 65536,
     .help = "of train, memory, start and sample; default: the recipe's, and 64"},
    {.name = "steps",
     .type = CLI_COUNT,
     .argument = "N",
     .value = &bench_args.steps,
     .low = BENCH_WARM_UP_STEPS + 2,
     .high = 1000,
     .fallback = "20",
     .help = "of sample: steps that are run, of which the first six do not count"},
    {.name = "seconds",
     .type = CLI_COUNT,
     .argument = "N",
     .value = &bench_args.seconds,
     .low = 1,
     .high = 3600,
     .fallback = "60",
     .help = "of tune: to begin no other measurement after"},
    {.name = "data",
     .type = CLI_TEXT,
     .argument = "PATH",
     .value = &bench_args.data,
     .environment = "PUMICE_DATA",
     .help = "of train, and of memory and start with a recipe: pictures or text; default: the recipe's"},
};

/* ---- Subjects ------------------------------------------------------------------------------------------ */

/* name, words after it (each with a space before it), least and most of them, check, run, what it is */
#define SUBJECTS(X)                                                                                          \
    X("matmul", " M N K", 3, 3, bench_check_shape, bench_run_shape, "[M,K] times [K,N]")                     \
    X("conv", " BATCH HEIGHT WIDTH IN OUT [KERNEL [STRIDE]]", 5, 7, bench_check_shape, bench_run_shape,      \
      "a convolution; kernel 3 and stride 1 if not said")                                                    \
    X("attention", " BATCH LENGTH HEADS WIDTH", 4, 4, bench_check_shape, bench_run_shape,                    \
      "attention, WIDTH channels a head")                                                                    \
    X("ops", " [NAME]", 0, 1, bench_check_ops, bench_run_ops,                                                \
      "every operator and its gradients, or those that begin so, and the share of the roof\n"                \
      "      that each reaches: of arithmetic or of memory, whichever bounds it")                            \
    X("roof", "", 0, 0, NULL, bench_run_roof,                                                                \
      "what the device can do at most: multiply-adds in registers, and copies of several sizes")             \
    X("suite", " [PART]", 0, 1, bench_check_suite, bench_run_suite,                                          \
      "what Pumice is held against, from one run: the roof; matmul in three layouts beside OpenBLAS's\n"     \
      "      sgemm, if that is installed; convolutions; training steps of a U-Net and a transformer\n"       \
      "      and what the host does in them; starts; a language model; memory. PART is roof, matmul,\n"      \
      "      conv, train, start, text or memory")                                                            \
    X("memory", " [RECIPE]", 0, 1, NULL, bench_run_memory,                                                   \
      "what training by a recipe, or by each that is built in, needs of the device's memory")                \
    X("start", " [RECIPE]", 0, 1, NULL, bench_run_start,                                                     \
      "from the start of a process to the end of its first training step, less a later step, without\n"      \
      "      caches and with them; without RECIPE kjv-ar, on text that is made up")                          \
    X("train", " RECIPE", 1, 1, NULL, bench_run_train, "a whole training step, and a matmul of 1024 x 1024") \
    X("tune", " [RECIPE]", 0, 1, NULL, bench_run_tune,                                                       \
      "measure which tile is the fastest for each class of shapes that a recipe needs, or of usual\n"        \
      "      ones, and keep that for later runs; GPUs do so on first use, for a few seconds")                \
    X("sample", " MODEL", 1, 1, NULL, bench_run_sample,                                                      \
      "a step of sampling, and that; of text, tokens a second")

#define SUBJECT_ROW(name, usage, least, most, check, run, about) {name, usage, least, most, check, run},
#define SUBJECT_NAME(name, usage, least, most, check, run, about) name,
#define SUBJECT_HELP(name, usage, least, most, check, run, about) "  " name usage "\n      " about "\n"

static const bench_subject subjects[] = {SUBJECTS(SUBJECT_ROW)};
static const char *const names[] = {SUBJECTS(SUBJECT_NAME) NULL};

static const char *const *subject_names(void)
{
    return names;
}

static pm_status find_subject(uint32_t count, const char *const *words, const bench_subject **out,
                              pm_error *error)
{
    pm_nearest nearest = {.word = words[0]};
    *out = NULL;
    for (uint32_t i = 0; names[i]; i++) {
        pm_nearest_try(&nearest, names[i]);
        if (strcmp(names[i], words[0]) == 0) *out = &subjects[i];
    }
    if (!*out) {
        return pm_fail(error, PM_BAD_USAGE, "nothing to bench called \"%.40s\"; did you mean %s?", words[0],
                       nearest.best);
    }
    if (count - 1 < (*out)->least || count - 1 > (*out)->most) {
        return pm_fail(error, PM_BAD_USAGE, "pumice bench %s takes%s", words[0],
                       *(*out)->usage ? (*out)->usage : " no more words");
    }
    return (*out)->check ? (*out)->check(count, words, error) : PM_OK;
}

/* ---- The verb ------------------------------------------------------------------------------------------ */

static pm_status measure(const bench_subject *subject, pm_device *device, uint32_t count,
                         const char *const *words, bench_report *report, pm_error *error)
{
    const pm_device_facts *facts = pm_device_facts_of(device);
    bench_report_device(report, facts->name, facts->driver_info, cli.precision);
    pm_status status = subject->run(device, count, words, report, error);
    if (status != PM_OK) return status;
    cli_result(json_pack("{s:s, s:s, s:s, s:O}", "device", facts->name, "driver", facts->driver_info,
                         "precision", cli.precision, "results", report->rows));
    return bench_report_verdict(report, error);
}

static pm_status run(uint32_t count, const char *const *words, pm_error *error)
{
    pm_device *device = NULL;
    const bench_subject *subject;
    bench_report report;
    pm_status status = find_subject(count, words, &subject, error);
    if (status != PM_OK) return status;
    status = bench_report_begin(&report, bench_args.baseline, bench_args.markdown, error);
    if (status == PM_OK) status = cli_open_device(&device, error);
    if (status == PM_OK) {
        cli_catch_signals();
        status = measure(subject, device, count, words, &report, error);
    }
    bench_report_end(&report);
    pm_device_close(device);
    return status;
}

const cli_verb cli_bench = {
    .name = "bench",
    .summary = "measure how fast an operator, a training step or sampling runs on this device",
    .arguments = "SUBJECT ...",
    .least = 1,
    .most = 8,
    .about = "SUBJECT is one of\n" SUBJECTS(
        SUBJECT_HELP) "Shares, of the roof and of the matmul rate, can be compared between devices.\n",
    .examples = "  pumice bench matmul 1024 1024 1024 --precision f32\n      the rate of this device\n"
                "  pumice bench ops conv2d --json >before.json\n      ... and after a change:\n"
                "  pumice bench ops conv2d --baseline before.json\n      what has become slower or faster\n"
                "  pumice bench train fashion-small\n      how long training would take\n",
    CLI_OPTIONS(options),
    .words = subject_names,
    .run = run,
};
