/* OpenBLAS's sgemm, as a yardstick of what the machine's cores can do: found at run time, where it is
 * installed. */
#ifndef PM_TOOLS_BENCH_BLAS_H
#define PM_TOOLS_BENCH_BLAS_H

#include "pumice.h"

typedef struct bench_blas {
    void *library;
    void (*sgemm)(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha,
                  const float *a, int a_stride, const float *b, int b_stride, float beta, float *c,
                  int c_stride);
    const char *config; /* as it describes itself */
    uint32_t threads;
} bench_blas;

/* False where it is not installed. With as many threads as there are cores. */
bool bench_blas_open(bench_blas *out);
void bench_blas_close(bench_blas *blas);

/* C = op(A) op(B) for square matrices, row by row. */
void bench_blas_product(const bench_blas *blas, pm_layout layout, uint32_t size, const float *a,
                        const float *b, float *c);

/* Seconds of one product, `samples` times, measured as plans are. Fails with PM_NO_MEMORY. */
pm_status bench_blas_time(const bench_blas *blas, pm_layout layout, uint32_t size, uint32_t samples,
                          double *seconds, pm_error *error);

#endif
