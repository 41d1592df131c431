/* Which step reveals what: windows of blocks, amounts for each sample, and what follows from them. */
#include "sampling/masked_schedule.h"

#include "base/checked.h"
#include "base/philox.h"
#include "base/status.h"
#include "sampling/masked_methods.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define HALF_PI 1.57079632679489661923

/* So large that what is left of a softmax is its maximum, and so small that logits stay finite. */
#define SHARP 1048576.0f

#define METHOD(method, ...) {.name = method, __VA_ARGS__},
static const pm_masked_method methods[] = {PM_MASKED_METHODS(METHOD)};

const pm_masked_method *pm_masked_method_named(const char *name)
{
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        if (strcmp(methods[i].name, name) == 0) return &methods[i];
    }
    return NULL;
}

/* ---- Memory -------------------------------------------------------------------------------------------- */

/* Tokens a step where tokens are counted; 0: the number of steps is given. */
static uint32_t tokens_a_step(const pm_masked_sampling *o, const pm_masked_method *method)
{
    if (method->hitting) return 1;
    if (method->mode == PM_REVEAL_RATE) return 0;
    if (o->tokens_per_step) return o->tokens_per_step;
    return o->steps == 0 || method->mode == PM_REVEAL_THRESHOLD ? 1 : 0;
}

static uint32_t most_steps(const pm_masked_sampling *o, uint32_t length)
{
    uint32_t block = o->block && o->block < length ? o->block : length;
    uint32_t blocks = pm_ceil_div(length, block);
    uint32_t each = tokens_a_step(o, pm_masked_method_named(o->sampler));
    if (each) return blocks * pm_ceil_div(block, each);
    uint32_t steps = o->steps ? o->steps : length;
    return steps > blocks ? steps : blocks;
}

void pm_masked_schedule_destroy(pm_masked_schedule *schedule)
{
    if (!schedule) return;
    free(schedule->window);
    free(schedule->count);
    free(schedule->rate);
    free(schedule->time);
    free(schedule->order);
    free(schedule->sharpen);
    free(schedule->active);
    free(schedule);
}

pm_status pm_masked_schedule_create(const pm_masked_sampling *options, uint32_t batch, uint32_t length,
                                    uint32_t mask_token, pm_masked_schedule **out, pm_error *error)
{
    bool by_rate = pm_masked_method_named(options->sampler)->mode == PM_REVEAL_RATE;
    uint32_t steps = most_steps(options, length);
    size_t cells;
    *out = NULL;
    if (!pm_mul_size(steps, batch, &cells) || cells >= 1u << 31) {
        return pm_fail(error, PM_BAD_USAGE, "masked sampler: %u steps for %u samples are too many", steps,
                       batch);
    }
    pm_masked_schedule *s = calloc(1, sizeof *s);
    if (!s) return pm_fail(error, PM_NO_MEMORY, "masked sampler: out of host memory");
    s->capacity = steps;
    s->batch = batch;
    s->length = length;
    s->mask_token = mask_token;
    s->window = calloc(2 * (size_t)steps, sizeof *s->window);
    if (by_rate) s->rate = calloc(cells, sizeof *s->rate);
    if (!by_rate) s->count = calloc(cells, sizeof *s->count);
    s->time = calloc(cells, sizeof *s->time);
    s->order = calloc((size_t)batch * length, sizeof *s->order);
    s->sharpen = calloc(steps, sizeof *s->sharpen);
    s->active = calloc(steps, sizeof *s->active);
    if (!s->window || !(by_rate ? (void *)s->rate : (void *)s->count) || !s->time || !s->order ||
        !s->sharpen || !s->active) {
        pm_masked_schedule_destroy(s);
        return pm_fail(error, PM_NO_MEMORY, "masked sampler: out of host memory");
    }
    *out = s;
    return PM_OK;
}

/* ---- Random numbers ------------------------------------------------------------------------------------ */

static uint32_t draw(uint64_t seed, uint32_t stream, uint32_t sample, uint32_t step, uint32_t element)
{
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t counter[4] = {element / 4, step, sample, stream}, bits[4];
    pm_philox4x32(counter, key, bits);
    return bits[element % 4];
}

/* Numbers 0 .. -(n-1) in random order (Fisher & Yates), the same for a sample whatever its batch. */
static void shuffle(uint64_t seed, uint32_t sample, uint32_t n, float *order)
{
    for (uint32_t i = 0; i < n; i++) order[i] = -(float)i;
    for (uint32_t i = n; i > 1; i--) {
        uint32_t j = pm_below(draw(seed, PM_STREAM_MASKED_ORDER, sample, 0, i - 1), i);
        float swap = order[j];
        order[j] = order[i - 1];
        order[i - 1] = swap;
    }
}

/* ---- Times --------------------------------------------------------------------------------------------- */

/* 1 - alpha(t), the share of masks, and its inverse. */
static double rate_at(const pm_masking *masking, double t)
{
    if (masking->schedule == PM_MASKING_COSINE) return sin(HALF_PI * t);
    if (masking->schedule == PM_MASKING_POLYNOMIAL) return pow(t, (double)masking->power);
    return t;
}

static double time_of(const pm_masking *masking, double rate)
{
    if (masking->schedule == PM_MASKING_COSINE) return asin(rate) / HALF_PI;
    if (masking->schedule == PM_MASKING_POLYNOMIAL) return pow(rate, 1 / (double)masking->power);
    return rate;
}

/* ---- One block ----------------------------------------------------------------------------------------- */

static uint32_t masks_in(const pm_masked_schedule *s, const uint32_t *row, uint32_t begin, uint32_t end)
{
    uint32_t n = 0;
    for (uint32_t i = begin; i < end; i++) n += row[i] == s->mask_token;
    return n;
}

/* Rates of `steps` even steps of time, of which the last reveals all. */
static void fill_rates(pm_masked_schedule *s, const pm_masked_sampling *o, uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++) {
        double t = (double)(steps - i) / steps, before = rate_at(&o->masking, t);
        double after = rate_at(&o->masking, (double)(steps - i - 1) / steps);
        for (uint32_t b = 0; b < s->batch; b++) {
            size_t at = (size_t)(s->steps + i) * s->batch + b;
            s->rate[at] = i + 1 == steps ? 1.0f : (float)((before - after) / before);
            s->time[at] = (float)t;
        }
        s->active[s->steps + i] = true;
    }
}

/* Of n masks, so many in each step: `each`, or (0) shares that differ by at most one, larger ones first. */
static uint32_t share(uint32_t n, uint32_t each, uint32_t steps, uint32_t i)
{
    if (each == 0) return n / steps + (i < n % steps);
    if (i >= pm_ceil_div(n, each)) return 0;
    return n - i * each < each ? n - i * each : each;
}

static void fill_counts(pm_masked_schedule *s, const pm_masked_sampling *o, const pm_masked_method *method,
                        const uint32_t *canvas, uint32_t first, uint32_t steps)
{
    uint32_t begin = s->window[2 * s->steps], end = s->window[2 * s->steps + 1];
    uint32_t each = tokens_a_step(o, method);
    for (uint32_t b = 0; b < s->batch; b++) {
        const uint32_t *row = canvas + (size_t)b * s->length;
        uint32_t n = masks_in(s, row, begin, end), left = masks_in(s, row, begin, s->length);
        double rate = 1.0;
        for (uint32_t i = 0; i < steps; i++) {
            size_t at = (size_t)(s->steps + i) * s->batch + b;
            uint32_t amount = s->count[at] = share(n, each, steps, i);
            if (method->hitting && left) { /* the latest of `left` times that are uniform below `rate` */
                double u = (draw(o->seed, PM_STREAM_MASKED_HITTING, first + b, i, 0) + 0.5) / 4294967296.0;
                rate *= pow(u, 1.0 / left);
            } else {
                rate = (double)left / s->length; /* the time that has as many masks as there are */
            }
            s->time[at] = (float)time_of(&o->masking, rate);
            left -= amount;
            s->active[s->steps + i] |= amount > 0;
        }
    }
}

static void fill_block(pm_masked_schedule *s, const pm_masked_sampling *o, const uint32_t *canvas,
                       uint32_t first, uint32_t begin, uint32_t end, uint32_t steps)
{
    const pm_masked_method *method = pm_masked_method_named(o->sampler);
    for (uint32_t i = 0; i < steps; i++) {
        s->window[2 * (s->steps + i)] = begin;
        s->window[2 * (s->steps + i) + 1] = end;
        s->sharpen[s->steps + i] = o->final_argmax && i + 1 == steps ? SHARP : 1.0f;
        s->active[s->steps + i] = false;
    }
    if (method->mode == PM_REVEAL_RATE) {
        fill_rates(s, o, steps);
    } else {
        fill_counts(s, o, method, canvas, first, steps);
    }
    s->steps += steps;
}

/* ---- All of a run -------------------------------------------------------------------------------------- */

/* Marks as active only the steps that reveal something in some row: which one it is that reveals a position
 * follows from random numbers alone, whatever the network says. */
static void find_active(pm_masked_schedule *s, const pm_masked_sampling *o, const uint32_t *canvas,
                        uint32_t first)
{
    for (uint32_t step = 0; step < s->steps; step++) s->active[step] = false;
    for (size_t at = 0; at < (size_t)s->batch * s->length; at++) {
        uint32_t b = (uint32_t)(at / s->length), position = (uint32_t)(at % s->length);
        uint32_t counter[4] = {0, first, (uint32_t)o->seed, (uint32_t)(o->seed >> 32)};
        bool masked = canvas[at] == s->mask_token;
        for (uint32_t step = 0; step < s->steps && masked; step++) {
            if (position < s->window[2 * step] || position >= s->window[2 * step + 1]) continue;
            float rate = s->rate[(size_t)step * s->batch + b];
            counter[0] = step;
            if (!pm_happens_at(counter, PM_STREAM_MASKED_REVEAL, b, position, rate)) continue;
            s->active[step] = true;
            masked = false;
        }
    }
}

static bool any_mask(const pm_masked_schedule *s, const uint32_t *canvas, uint32_t begin, uint32_t end)
{
    for (uint32_t b = 0; b < s->batch; b++) {
        if (masks_in(s, canvas + (size_t)b * s->length, begin, end)) return true;
    }
    return false;
}

/* The blocks that have masks, from the first column with one: how many, or the j-th as [*begin, *end). */
static uint32_t find_blocks(const pm_masked_schedule *s, uint32_t block, const uint32_t *canvas, uint32_t j,
                            uint32_t *begin, uint32_t *end)
{
    uint32_t found = 0, from = 0;
    if (block == 0) block = s->length;
    while (block < s->length && from < s->length && !any_mask(s, canvas, from, from + 1)) from++;
    while (from < s->length) {
        uint32_t to = s->length - from < block ? s->length : from + block;
        if (any_mask(s, canvas, from, to) && found++ == j) {
            *begin = from;
            *end = to;
        }
        from = to;
    }
    return found;
}

void pm_masked_schedule_fill(pm_masked_schedule *s, const pm_masked_sampling *o, const uint32_t *canvas,
                             uint32_t first)
{
    const pm_masked_method *method = pm_masked_method_named(o->sampler);
    uint32_t begin = 0, end = 0, total = o->steps ? o->steps : s->length;
    uint32_t blocks = find_blocks(s, o->block, canvas, 0, &begin, &end), each = tokens_a_step(o, method);
    s->steps = 0;
    for (uint32_t j = 0; j < blocks; j++) {
        (void)find_blocks(s, o->block, canvas, j, &begin, &end);
        uint32_t steps = 1;
        if (total > blocks) {
            steps = (uint32_t)((uint64_t)(j + 1) * total / blocks - (uint64_t)j * total / blocks);
        }
        if (each) steps = pm_ceil_div(end - begin, each);
        fill_block(s, o, canvas, first, begin, end, steps);
    }
    if (method->cached) find_active(s, o, canvas, first);
    for (uint32_t b = 0; b < s->batch; b++) {
        float *order = s->order + (size_t)b * s->length;
        if (method->permuted) shuffle(o->seed, first + b, s->length, order);
        for (uint32_t i = 0; method->left_to_right && i < s->length; i++) order[i] = -(float)i;
    }
}
