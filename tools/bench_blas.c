/* OpenBLAS at run time; see bench_blas.h. */
#include "bench_blas.h"

#include "base/clock.h"
#include "base/library.h"
#include "base/status.h"
#include "base/threads.h"

#include <stdlib.h>

/* Of CBLAS. */
enum { ROW_MAJOR = 101, NO_TRANSPOSE = 111, TRANSPOSE = 112 };

#define SECONDS_PER_SAMPLE 0.05
enum { WARM_UP_RUNS = 3 };

static pm_function *function(const bench_blas *blas, const char *name)
{
    return pm_library_function(blas->library, name);
}

bool bench_blas_open(bench_blas *out)
{
    static const char *const names[] = {"libopenblas.so.0", "libopenblas.0.dylib", "libopenblas.dll"};
    *out = (bench_blas){.threads = pm_cores()};
    for (uint32_t i = 0; !out->library && i < sizeof names / sizeof names[0]; i++)
        out->library = pm_library_open(names[i]);
    if (!out->library) return false;
    pm_function *sgemm = function(out, "cblas_sgemm"), *threads = function(out, "openblas_set_num_threads"),
                *config = function(out, "openblas_get_config");
    if (!sgemm || !threads || !config) {
        bench_blas_close(out);
        return false;
    }
    out->sgemm = (void (*)(int, int, int, int, int, int, float, const float *, int, const float *, int, float,
                           float *, int))sgemm;
    ((void (*)(int))threads)((int)out->threads);
    out->config = ((char *(*)(void))config)();
    return true;
}

void bench_blas_close(bench_blas *blas)
{
    pm_library_close(blas->library);
    *blas = (bench_blas){0};
}

void bench_blas_product(const bench_blas *blas, pm_layout layout, uint32_t size, const float *a,
                        const float *b, float *c)
{
    int n = (int)size;
    blas->sgemm(ROW_MAJOR, layout == PM_ATB ? TRANSPOSE : NO_TRANSPOSE,
                layout == PM_ABT ? TRANSPOSE : NO_TRANSPOSE, n, n, n, 1.0f, a, n, b, n, 0.0f, c, n);
}

static double time_products(const bench_blas *blas, pm_layout layout, uint32_t size, float *const matrix[3],
                            uint32_t runs)
{
    double start = pm_seconds();
    for (uint32_t i = 0; i < runs; i++)
        bench_blas_product(blas, layout, size, matrix[0], matrix[1], matrix[2]);
    return (pm_seconds() - start) / runs;
}

pm_status bench_blas_time(const bench_blas *blas, pm_layout layout, uint32_t size, uint32_t samples,
                          double *seconds, pm_error *error)
{
    size_t count = (size_t)size * size;
    float *matrix[3];
    for (uint32_t i = 0; i < 3; i++) matrix[i] = malloc(count * sizeof *matrix[i]);
    bool there = matrix[0] && matrix[1] && matrix[2];
    for (size_t i = 0; there && i < 2 * count; i++)
        matrix[i / count][i % count] = (float)(i * 2654435761u % 2048) / 1024 - 1;
    if (there) {
        (void)time_products(blas, layout, size, matrix, WARM_UP_RUNS);
        double once = time_products(blas, layout, size, matrix, 1);
        uint32_t runs = once < SECONDS_PER_SAMPLE ? (uint32_t)(SECONDS_PER_SAMPLE / (once + 1e-6)) + 1 : 1;
        for (uint32_t i = 0; i < samples; i++) seconds[i] = time_products(blas, layout, size, matrix, runs);
    }
    for (uint32_t i = 0; i < 3; i++) free(matrix[i]);
    return there ? PM_OK : pm_fail(error, PM_NO_MEMORY, "bench: out of host memory");
}
