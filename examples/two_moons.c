/* Trains a denoiser on the two-moons points with DDPM's loss, draws new points with DDIM, and prints how far
 * they lie from the moons. Uses libpumice alone. */
#include <math.h>
#include <pumice.h>
#include <stdio.h>
#include <stdlib.h>

enum { POINTS = 4096, BATCH = 512, T = 100, WIDTH = 64, STEPS = 3000 };

#define CHECK(call) \
    if ((call) != PM_OK) return fprintf(stderr, "%s\n", error.message), (int)error.status

static pm_error error;

static pm_tensor layer(pm_graph *g, const char *name, pm_tensor x, uint32_t in, uint32_t out, pm_tensor add)
{
    pm_init uniform = {PM_INIT_UNIFORM, sqrtf(3.0f / (float)in)}, zero = {PM_INIT_ZERO, 0};
    pm_scope_push(g, name);
    pm_tensor weight = pm_param(g, "weight", PM_SHAPE(in, out), uniform);
    pm_tensor y = pm_linear(g, x, weight, pm_param(g, "bias", PM_SHAPE(out), zero), add);
    pm_scope_pop(g);
    return y;
}

/* The noise in x [B,2] at timestep t u32 [B]. */
static pm_tensor network(pm_graph *g, pm_tensor x, pm_tensor t)
{
    pm_tensor e = pm_embedding(g, pm_timestep_table(g, "timesteps", T, WIDTH), t);
    pm_tensor h = pm_silu(g, layer(g, "in", x, 2, WIDTH, layer(g, "time", e, WIDTH, WIDTH, PM_NONE)));
    h = pm_silu(g, layer(g, "middle", h, WIDTH, WIDTH, h));
    h = pm_silu(g, layer(g, "last", h, WIDTH, WIDTH, h));
    return layer(g, "out", h, WIDTH, 2, PM_NONE);
}

int main(void)
{
    static float points[POINTS][2], corrupt[T][2], steps[T][PM_STEP_COLUMNS];
    static float values[WIDTH * WIDTH], drawn[BATCH][2], rate = 2e-3f, value;
    static uint32_t timesteps[T];
    for (int i = 0; i < POINTS; i++) { /* on the upper half circle, or (odd) the lower */
        double angle = acos(-1.0) * (i / 2 + 0.5) / (POINTS / 2), sign = i % 2 ? -1 : 1;
        points[i][0] = (float)(sign * (cos(angle) - 0.5)), points[i][1] = (float)(sign * (sin(angle) - 0.25));
    }
    /* The cosine schedule (2102.09672 eq. 17), and a step of DDIM (2010.02502 eq. 12) from t to t - 1. */
    for (int t = 0; t < T; t++) {
        double a = cos((t + 1) * 1.55 / T), s = sqrt(1 - a * a), next = cos(t * 1.55 / T);
        double row[PM_STEP_COLUMNS] = {1 / a, -s / a, 1 / s, -a / s, next, sqrt(1 - next * next)};
        corrupt[t][0] = (float)a, corrupt[t][1] = (float)s;
        timesteps[T - 1 - t] = (uint32_t)t;
        for (int c = 0; c < PM_STEP_COLUMNS; c++) steps[T - 1 - t][c] = (float)row[c];
    }
    pm_device *device;
    CHECK(pm_device_open(NULL, &device, &error));
    puts(pm_device_choice(device));

    pm_graph *g = pm_graph_create(); /* one training step */
    pm_tensor c = pm_counter(g);
    pm_tensor data = pm_constant(g, "points", PM_DTYPE_F32, PM_SHAPE(POINTS, 2), points);
    pm_tensor x0 = pm_embedding(g, data, pm_random_index(g, c, 1, BATCH, POINTS));
    pm_tensor noise = pm_normal(g, c, 2, PM_SHAPE(BATCH, 2)), t = pm_random_index(g, c, 3, BATCH, T);
    pm_tensor schedule = pm_constant(g, "corrupt", PM_DTYPE_F32, PM_SHAPE(T, 2), corrupt);
    pm_tensor loss = pm_mse(g, network(g, pm_corrupt(g, x0, noise, t, schedule), t), noise, PM_NONE);
    pm_output(g, loss);
    pm_adamw_args adam = {0.9f, 0.999f, 1e-8f, .learning_rates = &rate, .n_learning_rates = 1};
    pm_adamw(g, pm_backward(g, loss), c, adam);
    pm_advance(g, c);
    pm_plan *train, *draw;
    CHECK(pm_plan_create(device, g, NULL, &train, &error));
    CHECK(pm_plan_run(train, STEPS, &error));
    CHECK(pm_plan_read(train, loss, &value, sizeof value, &error));

    pm_graph *s = pm_graph_create(); /* one reverse step, in place on the state x */
    pm_tensor sc = pm_counter(s), state = pm_state(s, "x", PM_DTYPE_F32, PM_SHAPE(BATCH, 2));
    pm_tensor now = pm_at_step(s, pm_constant(s, "t", PM_DTYPE_U32, PM_SHAPE(T), timesteps), sc, BATCH);
    pm_tensor table = pm_constant(s, "table", PM_DTYPE_F32, PM_SHAPE(T, PM_STEP_COLUMNS), steps);
    pm_denoise_step(s, state, network(s, state, now), PM_NONE, sc, table, 2);
    pm_advance(s, sc);
    CHECK(pm_plan_create(device, s, NULL, &draw, &error));
    for (uint32_t i = 0; i < pm_param_count(s); i++) { /* both graphs name the same parameters */
        pm_tensor to = pm_param_at(s, i), from = pm_find(g, pm_name_of(s, to));
        CHECK(pm_plan_read(train, from, values, pm_count_of(s, to) * sizeof(float), &error));
        CHECK(pm_plan_write(draw, to, values, pm_count_of(s, to) * sizeof(float), &error));
    }
    /* Sums of twelve uniform numbers are nearly normal. */
    for (int i = 0; i < 24 * BATCH; i++) drawn[i / 24][i % 2] += (float)rand() / (float)RAND_MAX - 0.5f;
    CHECK(pm_plan_write(draw, state, drawn, sizeof drawn, &error));
    CHECK(pm_plan_run(draw, T, &error));
    CHECK(pm_plan_read(draw, state, drawn, sizeof drawn, &error));
    double mean = 0, best = 9;
    for (int i = 0; i < BATCH; i++, best = 9) {
        for (int j = 0; j < POINTS; j++)
            best = fmin(best, hypot(drawn[i][0] - points[j][0], drawn[i][1] - points[j][1]));
        mean += best / BATCH;
    }
    printf("loss %.3f; %d points drawn, on average %.3f from the nearest moon\n", (double)value, BATCH, mean);
    pm_plan_destroy(draw), pm_plan_destroy(train), pm_graph_destroy(s), pm_graph_destroy(g);
    pm_device_close(device);
    return mean < 0.1 ? 0 : 1;
}
