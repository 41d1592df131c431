/* Trains a denoiser on the two-moons points with DDPM's loss, draws new points with DDIM, and prints how far they lie from
 * the moons. Uses libpumice alone. */
#include <math.h>
#include <pumice.h>
#include <stdio.h>
#include <stdlib.h>

enum { POINTS = 4096, BATCH = 512, T = 100, WIDTH = 64, STEPS = 1500 };

#define CHECK(call)                                                                                                    \
    do {                                                                                                               \
        if ((call) != PM_OK) return fprintf(stderr, "%s\n", error.message), (int)error.status;                         \
    } while (0)

static pm_error error;
static double abar[T]; /* cosine schedule, 2102.09672 eq. 17 */

/* Point i of the upper (odd: lower) half circle. */
static void moon(int i, float *out)
{
    double angle = acos(-1.0) * (i / 2 + 0.5) / (POINTS / 2);
    out[0] = (float)(i % 2 ? 1 - cos(angle) - 0.5 : cos(angle) - 0.5);
    out[1] = (float)(i % 2 ? 0.5 - sin(angle) - 0.25 : sin(angle) - 0.25);
}

static pm_tensor layer(pm_graph *g, const char *name, pm_tensor x, uint32_t in, uint32_t out, pm_tensor residual)
{
    pm_scope_push(g, name);
    pm_tensor w = pm_param(g, "weight", PM_SHAPE(in, out), (pm_init){PM_INIT_UNIFORM, sqrtf(3.0f / (float)in)});
    pm_tensor y = pm_linear(g, x, w, pm_param(g, "bias", PM_SHAPE(out), (pm_init){PM_INIT_ZERO, 0}), residual);
    pm_scope_pop(g);
    return y;
}

/* Predicts the noise in x [B,2] at timestep t u32 [B]. */
static pm_tensor network(pm_graph *g, pm_tensor x, pm_tensor t)
{
    pm_tensor e = pm_embedding(g, pm_timestep_table(g, "timesteps", T, WIDTH), t);
    pm_tensor h = pm_silu(g, layer(g, "in", x, 2, WIDTH, layer(g, "time", e, WIDTH, WIDTH, PM_NONE)));
    h = pm_silu(g, layer(g, "middle", h, WIDTH, WIDTH, h));
    h = pm_silu(g, layer(g, "middle2", h, WIDTH, WIDTH, h));
    return layer(g, "out", h, WIDTH, 2, PM_NONE);
}

int main(void)
{
    static float points[POINTS][2], corrupt[T][2], steps[T][PM_STEP_COLUMNS], samples[BATCH][2], rate = 2e-3f;
    static uint32_t timesteps[T], counter[4] = {0, 0, 1, 0};
    for (int i = 0; i < POINTS; i++) moon(i, points[i]);
    for (int t = 0; t < T; t++) {
        abar[t] = pow(cos((t + 1.8) / (T + 1.8) * acos(0.0)) / cos(0.8 / (T + 1.8) * acos(0.0)), 2);
        if (abar[t] < 1e-4) abar[t] = 1e-4;
        corrupt[t][0] = (float)sqrt(abar[t]);
        corrupt[t][1] = (float)sqrt(1 - abar[t]);
    }
    for (int i = 0; i < T; i++) { /* DDIM (2010.02502 eq. 12): step i goes from timestep t to t - 1 */
        int t = T - 1 - i;
        double a = sqrt(abar[t]), s = sqrt(1 - abar[t]), next = t ? abar[t - 1] : 1.0;
        double row[] = {1 / a, -s / a, 1 / s, -a / s, sqrt(next), sqrt(1 - next), 0, 0};
        for (int c = 0; c < PM_STEP_COLUMNS; c++) steps[i][c] = (float)row[c];
        timesteps[i] = (uint32_t)t;
    }
    pm_device *device;
    CHECK(pm_device_open(NULL, &device, &error));
    puts(pm_device_choice(device));

    pm_graph *g = pm_graph_create(); /* one training step */
    pm_tensor c = pm_counter(g), loss, drawn = pm_random_index(g, c, 1, BATCH, POINTS);
    pm_tensor x0 = pm_embedding(g, pm_constant(g, "points", PM_DTYPE_F32, PM_SHAPE(POINTS, 2), points), drawn);
    pm_tensor noise = pm_normal(g, c, 2, PM_SHAPE(BATCH, 2)), t = pm_random_index(g, c, 3, BATCH, T);
    pm_tensor x = pm_corrupt(g, x0, noise, t, pm_constant(g, "corrupt", PM_DTYPE_F32, PM_SHAPE(T, 2), corrupt));
    pm_output(g, loss = pm_mse(g, network(g, x, t), noise, PM_NONE));
    pm_adamw(g, pm_backward(g, loss), c,
             (pm_adamw_args){0.9f, 0.999f, 1e-8f, 0, 1, &rate, 1, .ema = 0, .ema_warmup = false});
    pm_advance(g, c);
    pm_plan *train, *draw;
    CHECK(pm_plan_create(device, g, NULL, &train, &error));
    for (int i = 0; i < STEPS; i += 300) {
        float value;
        CHECK(pm_plan_run(train, 300, &error));
        CHECK(pm_plan_read(train, loss, &value, sizeof value, &error));
        printf("step %4d  loss %.3f\n", i + 300, (double)value);
    }

    pm_graph *s = pm_graph_create(); /* one reverse step */
    pm_tensor sc = pm_counter(s), state = pm_state(s, "x", PM_DTYPE_F32, PM_SHAPE(BATCH, 2));
    pm_tensor now = pm_at_step(s, pm_constant(s, "t", PM_DTYPE_U32, PM_SHAPE(T), timesteps), sc, BATCH);
    pm_tensor eps = network(s, state, now);
    pm_denoise_step(s, state, eps, eps, sc, pm_constant(s, "table", PM_DTYPE_F32, PM_SHAPE(T, PM_STEP_COLUMNS), steps), 2);
    pm_advance(s, sc);
    CHECK(pm_plan_create(device, s, NULL, &draw, &error));
    for (uint32_t i = 0; i < pm_param_count(s); i++) { /* both graphs have the same parameters */
        static float values[WIDTH * WIDTH];
        size_t bytes = pm_count_of(s, pm_param_at(s, i)) * sizeof(float);
        CHECK(pm_plan_read(train, pm_find(g, pm_name_of(s, pm_param_at(s, i))), values, bytes, &error));
        CHECK(pm_plan_write(draw, pm_param_at(s, i), values, bytes, &error));
    }
    for (int i = 0; i < BATCH; i++) { /* normal numbers by Box and Muller */
        double r = sqrt(-2 * log((rand() + 1.0) / (RAND_MAX + 1.0))), a = 4 * acos(0.0) * rand() / RAND_MAX;
        samples[i][0] = (float)(r * cos(a)), samples[i][1] = (float)(r * sin(a));
    }
    CHECK(pm_plan_write(draw, state, samples, sizeof samples, &error));
    CHECK(pm_plan_write(draw, sc, counter, sizeof counter, &error));
    CHECK(pm_plan_run(draw, T, &error));
    CHECK(pm_plan_read(draw, state, samples, sizeof samples, &error));
    double mean = 0;
    for (int i = 0; i < BATCH; i++) {
        double best = 9;
        for (int j = 0; j < POINTS; j++) {
            double d = hypot((double)(samples[i][0] - points[j][0]), (double)(samples[i][1] - points[j][1]));
            if (d < best) best = d;
        }
        mean += best / BATCH;
    }
    printf("%d points drawn, on average %.3f from the nearest moon\n", BATCH, mean);
    pm_plan_destroy(draw), pm_plan_destroy(train);
    pm_graph_destroy(s), pm_graph_destroy(g);
    pm_device_close(device);
    return mean < 0.1 ? 0 : 1;
}
