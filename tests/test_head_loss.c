/* The head with its loss, in chunks, against the same by pm_matmul and pm_cross_entropy; and what it is for:
 * memory. */
/* ctest labels: device */
#include "device_helpers.h"

#include <math.h>
#include <stdlib.h>

enum { X, WEIGHT, BIAS, ROW_WEIGHT, PARAMS };

typedef struct problem {
    pm_graph *graph;
    pm_tensor param[PARAMS], labels;
    uint32_t vocabulary;
    pm_layout layout;
} problem;

/* `table` rows of a tied weight, or 0. */
static problem make(uint32_t rows, uint32_t width, uint32_t vocabulary, uint32_t table)
{
    problem p = {pm_graph_create(), {PM_NONE}, PM_NONE, vocabulary, table ? PM_ABT : PM_AB};
    const pm_init init = {PM_INIT_UNIFORM, 0.5f};
    p.param[X] = pm_param(p.graph, "x", PM_SHAPE(rows, width), init);
    p.param[WEIGHT] =
        pm_param(p.graph, "weight", table ? PM_SHAPE(table, width) : PM_SHAPE(width, vocabulary), init);
    p.param[BIAS] = pm_param(p.graph, "bias", PM_SHAPE(vocabulary), init);
    p.param[ROW_WEIGHT] = pm_param(p.graph, "row_weight", PM_SHAPE(rows), init);
    uint32_t *labels = malloc(rows * sizeof *labels);
    assert_non_null(labels);
    for (uint32_t i = 0; i < rows; i++) labels[i] = i % 5 == 3 ? 0xffffffffu : i * 7919 % vocabulary;
    p.labels = pm_constant(p.graph, "labels", PM_DTYPE_U32, PM_SHAPE(rows), labels);
    free(labels);
    return p;
}

static pm_tensor fused(const problem *p)
{
    return pm_head_loss(p->graph, p->param[X], p->param[WEIGHT], p->layout, p->vocabulary, p->param[BIAS],
                        p->labels, p->param[ROW_WEIGHT]);
}

static pm_tensor apart(const problem *p)
{
    pm_tensor weight = p->param[WEIGHT];
    if (p->layout == PM_ABT) weight = pm_slice(p->graph, weight, 0, 0, p->vocabulary);
    pm_tensor logits = pm_matmul(p->graph, p->param[X], weight, p->layout, p->param[BIAS], PM_NONE);
    return pm_cross_entropy(p->graph, logits, p->labels, p->param[ROW_WEIGHT]);
}

static float *read_all(const problem *p, pm_plan *plan, pm_tensor tensor)
{
    pm_error error = {0};
    size_t bytes = (size_t)pm_count_of(p->graph, tensor) * sizeof(float);
    float *data = malloc(bytes);
    assert_non_null(data);
    expect_ok(pm_plan_read(plan, tensor, data, bytes, &error), &error);
    return data;
}

/* The largest difference, relative to b's element or to the root mean square of b, whichever is larger: as
 * operators are held against their references. */
static double departure(const float *a, const float *b, uint32_t count)
{
    double worst = 0, square = 0;
    for (uint32_t i = 0; i < count; i++) square += (double)b[i] * (double)b[i] / count;
    assert_true(square > 0);
    for (uint32_t i = 0; i < count; i++) {
        double error = fabs((double)a[i] - (double)b[i]) / fmax(fabs((double)b[i]), sqrt(square));
        if (!(error <= worst)) worst = error;
    }
    return worst;
}

static void compare(uint32_t rows, uint32_t width, uint32_t vocabulary, uint32_t table)
{
    static const char *const names[] = {"x", "weight", "bias", "row weight"};
    problem p = make(rows, width, vocabulary, table);
    pm_error error = {0};
    pm_plan *plan = NULL;
    pm_tensor loss[2] = {fused(&p), apart(&p)}, gradient[2][PARAMS];
    for (int i = 0; i < 2; i++) {
        pm_output(p.graph, loss[i]);
        pm_gradients(p.graph, loss[i], p.param, PARAMS, gradient[i]);
        for (int k = 0; k < PARAMS; k++) pm_output(p.graph, gradient[i][k]);
    }
    expect_ok(pm_plan_create(device, p.graph, NULL, &plan, &error), &error);
    expect_ok(pm_plan_run(plan, 1, &error), &error);
    float *a = read_all(&p, plan, loss[0]), *b = read_all(&p, plan, loss[1]);
    if (memcmp(a, b, sizeof *a) != 0) fail_msg("the loss is %.9g, not %.9g", (double)*a, (double)*b);
    free(a);
    free(b);
    for (int k = 0; k < PARAMS; k++) {
        uint32_t count = pm_count_of(p.graph, p.param[k]);
        a = read_all(&p, plan, gradient[0][k]);
        b = read_all(&p, plan, gradient[1][k]);
        double worst = departure(a, b, count);
        bool same = memcmp(a, b, count * sizeof *a) == 0;
        if (!(worst <= 1e-5)) fail_msg("the gradient of %s departs by %.2e", names[k], worst);
        if (k != BIAS && !same) fail_msg("the gradient of %s has other bits", names[k]);
        if (k == WEIGHT) { /* of rows beyond the vocabulary nothing */
            for (uint32_t i = vocabulary * width; table && i < count; i++) assert_true(a[i] == 0.0f);
        }
        free(a);
        free(b);
    }
    pm_plan_destroy(plan);
    pm_graph_destroy(p.graph);
}

static void agrees_with_its_parts(void **state)
{
    (void)state;
    compare(600, 12, 8200, 0); /* 448 rows and 152 */
    compare(600, 12, 8200, 8201);
    compare(520, 7, 16387, 16389); /* three chunks, the last of eight rows; nothing a multiple of four */
    compare(50, 8, 257, 258);      /* one chunk */
}

static void needs_no_memory_for_the_logits(void **state)
{
    enum { ROWS = 4096, WIDTH = 128, VOCABULARY = 8192 };
    (void)state;
    for (uint32_t table = 0; table <= VOCABULARY + 1; table += VOCABULARY + 1) {
        problem p = make(ROWS, WIDTH, VOCABULARY, table);
        pm_error error = {0};
        pm_plan *plan = NULL;
        pm_output(p.graph, pm_backward(p.graph, fused(&p)));
        expect_ok(pm_plan_create(device, p.graph, NULL, &plan, &error), &error);
        double logits = (double)ROWS * VOCABULARY * 4;
        double used = (double)pm_plan_stats_of(plan).activation_bytes / logits;
        if (!(used < 0.5)) fail_msg("%.2f times the logits in memory", used);
        pm_plan_destroy(plan);
        pm_graph_destroy(p.graph);
    }
}

static void expect_refusal(problem *p, const char *part)
{
    pm_error error = {0};
    expect_failure(pm_graph_status(p->graph, &error), PM_BAD_USAGE, &error, part);
    pm_graph_destroy(p->graph);
    *p = make(6, 4, 9, 11);
}

static void wrong_arguments_are_refused(void **state)
{
    (void)state;
    problem p = make(6, 4, 9, 8);
    (void)fused(&p);
    expect_refusal(&p, "of N >= V");
    p.layout = PM_ATB;
    (void)fused(&p);
    expect_refusal(&p, "of N >= V");
    p.layout = PM_AB;
    (void)fused(&p);
    expect_refusal(&p, "they are 6x4 and 11x4");
    p.vocabulary = 10; /* and the bias is [9] */
    (void)fused(&p);
    expect_refusal(&p, "a bias must be f32 [10]");
    p.param[ROW_WEIGHT] = p.param[BIAS];
    (void)fused(&p);
    expect_refusal(&p, "row weights f32 [6]");
    p.labels = p.param[ROW_WEIGHT];
    (void)fused(&p);
    expect_refusal(&p, "labels must be u32 [6]");
    pm_graph_destroy(p.graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_its_parts),
        cmocka_unit_test(needs_no_memory_for_the_logits),
        cmocka_unit_test(wrong_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
