/* `pumice bench`: what its subjects share. Each kind of subject is one file, bench_NAME.c, and one row of the
 * table in cmd_bench.c. */
#ifndef PM_TOOLS_BENCH_H
#define PM_TOOLS_BENCH_H

#include "bench_report.h"
#include "bench_time.h"
#include "cli.h"

#include "recipes/recipe.h"

/* What the options say. */
typedef struct bench_options {
    const char *data, *layout, *baseline;
    uint32_t samples, batch, steps, seconds;
    bool backward, markdown;
} bench_options;

extern bench_options bench_args;

/* What `layout` may be, in the order of pm_layout; ended by NULL. */
extern const char *const bench_layouts[];

/* Steps of sampling that do not count: in the first the plan measures itself, in the next the queue fills. */
enum { BENCH_WARM_UP_STEPS = 6 };

typedef struct bench_subject {
    const char *name, *usage; /* usage: the words after the name, " M N K" */
    uint32_t least, most;     /* number of them */
    /* Looks at the words before a device is opened; may be NULL. */
    pm_status (*check)(uint32_t count, const char *const *words, pm_error *error);
    pm_status (*run)(pm_device *device, uint32_t count, const char *const *words, bench_report *report,
                     pm_error *error);
} bench_subject;

/* bench_roof.c: what a device can do at most, per second: by the least time that was measured. */
enum { BENCH_COPIES = 4 };
typedef struct bench_roof {
    double flops; /* of multiply-adds in registers, in the command's precision */
    /* Read and written by copies of 64 KiB, 1 MiB, 8 MiB and 64 MiB: how long a kernel of so many bytes has
     * to take, be it because of its start, of caches or of memory. */
    double copies[BENCH_COPIES];
    double matmul; /* operations of a matmul of 1024 x 1024, by the median */
} bench_roof;

/* The rate, read and written, of a copy that moves about as many bytes. */
double bench_copy_roof(const bench_roof *roof, double bytes);

/* Measures them, with a row for each. */
pm_status bench_measure_roof(pm_device *device, bench_report *report, bench_roof *out, pm_error *error);
/* A row of a timing with its rates and, with a roof, which shares of it they are. */
void bench_kernel_row(bench_report *report, const char *name, const bench_timing *timing,
                      const bench_roof *roof);

/* bench_kernel.c: an operator as rows. */
typedef enum bench_gradients {
    BENCH_NO_GRADIENT,
    BENCH_OTHER_GRADIENTS, /* but those that are nothing but the operator again, as a matmul's are */
    BENCH_ALL_GRADIENTS,
} bench_gradients;

typedef struct bench_kernel {
    const char *name; /* of the row */
    const char *op;   /* of the operator that `build` is about */
    bench_build *build;
    const void *user;
    bench_gradients gradients;
} bench_kernel;

/* Times it, and its gradients: each by itself, from a gradient of the output that is given, unless they need
 * what only the forward pass has; then all of them together with it. `roof` may be NULL. */
pm_status bench_kernel_rows(pm_device *device, const bench_kernel *kernel, const bench_roof *roof,
                            bench_report *report, pm_error *error);

/* bench_shapes.c: n is BATCH HEIGHT WIDTH IN OUT KERNEL STRIDE, as the command takes them. */
pm_tensor bench_build_conv(pm_graph *graph, const uint32_t *n);

/* bench_model.c: a recipe with the batch that the options say, and with that data unless it is NULL. */
pm_status bench_load_recipe(const char *name, const char *data, pm_recipe *out, pm_error *error);

/* bench_memory.c: peak memory of the training plan of a recipe, or (NULL) of all that are built in, whose
 * data need not be here. */
pm_status bench_memory_rows(pm_device *device, const char *recipe, bench_report *report, pm_error *error);

/* bench_text.c: the device as `pumice sample` opens it for `texts` texts, token by token, by a model of so
 * many parameters: *out is `device`, or another that bench_text_device_close closes. */
pm_status bench_text_device_open(pm_device *device, uint64_t parameters, uint64_t texts, pm_device **out,
                                 pm_error *error);
void bench_text_device_close(pm_device *device, pm_device *opened);

/* A language model without a file, reading a prompt and adding token by token. */
pm_status bench_text_rows(pm_device *device, bench_report *report, pm_error *error);

/* bench_start.c: processes that are begun, to the end of their first training step; NULL: kjv-ar, on text
 * that is made up. */
pm_status bench_start_rows(const char *recipe, const char *data, bench_report *report, pm_error *error);

/* The subjects. */
pm_status bench_run_start(pm_device *device, uint32_t count, const char *const *words, bench_report *report,
                          pm_error *error);
pm_status bench_run_memory(pm_device *device, uint32_t count, const char *const *words, bench_report *report,
                           pm_error *error);
pm_status bench_check_suite(uint32_t count, const char *const *words, pm_error *error);
pm_status bench_run_suite(pm_device *device, uint32_t count, const char *const *words, bench_report *report,
                          pm_error *error);
pm_status bench_run_roof(pm_device *device, uint32_t count, const char *const *words, bench_report *report,
                         pm_error *error);
pm_status bench_check_shape(uint32_t count, const char *const *words, pm_error *error);
pm_status bench_run_shape(pm_device *device, uint32_t count, const char *const *words, bench_report *report,
                          pm_error *error);
pm_status bench_check_ops(uint32_t count, const char *const *words, pm_error *error);
pm_status bench_run_ops(pm_device *device, uint32_t count, const char *const *words, bench_report *report,
                        pm_error *error);
pm_status bench_run_train(pm_device *device, uint32_t count, const char *const *words, bench_report *report,
                          pm_error *error);
pm_status bench_run_tune(pm_device *device, uint32_t count, const char *const *words, bench_report *report,
                         pm_error *error);
pm_status bench_run_sample(pm_device *device, uint32_t count, const char *const *words, bench_report *report,
                           pm_error *error);

#endif
