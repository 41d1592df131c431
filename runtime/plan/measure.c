/* The first runs of a plan: every dispatch by itself, waited for and timed. Nothing is known of a kernel on a
 * device until it has run there, so a dispatch with much to do begins with a small piece, and each piece may
 * be so many times larger than the largest before it, as long as that should take no longer than a submit
 * may. Small enough steps keep even a device that is fifty times slower than a CPU driver far from any
 * watchdog. Dispatches with next to nothing to do go a few at a time. */
#include "plan/plan.h"

#include "base/clock.h"
#include "base/status.h"

#include <string.h>

#define GROWTH 16u
/* Dispatches that go together, and operations plus bytes that they have together at most. */
#define TOGETHER 8u
#define WORK_TOGETHER 5e5
/* A dispatch that ran in one go in this many aims runs so again: a driver's compiler may have had its part in
 * the first time. */
#define AIMS_TO_REPEAT 4

static double work_of_group(const pm_plan *plan, const pm_dispatch *dispatch)
{
    double work = dispatch->flops;
    for (uint32_t b = 0; b < dispatch->n_bind; b++)
        work += (double)pm_bytes_of(plan->graph, dispatch->bind[b].tensor);
    return work / dispatch->groups[dispatch->split_axis];
}

/* Workgroups that the next submit of a dispatch may have, of `rest`. */
static uint32_t allowed(const pm_plan *plan, uint32_t index, uint32_t rest)
{
    const pm_dispatch *dispatch = &plan->dispatches[index];
    const pm_cost *cost = &plan->costs[index];
    double aim = plan->options.submit_seconds, groups;
    if (cost->most == 0) {
        groups = plan->device->rules.first_work / (work_of_group(plan, dispatch) + 1);
    } else if (rest <= cost->most && cost->seconds_of_most <= AIMS_TO_REPEAT * aim) {
        groups = rest;
    } else {
        double by_growth = (double)cost->most * GROWTH;
        groups = aim / (cost->seconds_per_group + 1e-12);
        if (by_growth < groups) groups = by_growth;
    }
    if (groups >= rest) return rest;
    uint64_t granule = pm_plan_granule(plan, dispatch);
    uint64_t whole = groups < 1 ? 0 : (uint64_t)groups / granule * granule;
    if (whole == 0) whole = granule;
    return whole < rest ? (uint32_t)whole : rest;
}

static void remember(pm_cost *cost, uint32_t groups, double seconds)
{
    double each = seconds / groups;
    if (cost->seconds_per_group == 0 || each < cost->seconds_per_group || groups > cost->most)
        cost->seconds_per_group = each;
    if (groups > cost->most || (groups == cost->most && seconds < cost->seconds_of_most)) {
        cost->most = groups;
        cost->seconds_of_most = seconds;
    }
}

/* Pieces to go in one submit, bound already. */
typedef struct gathered {
    const pm_piece *pieces[TOGETHER];
    uint32_t count;
    double work;
} gathered;

static double work_of(const pm_plan *plan, const pm_piece *piece)
{
    const pm_dispatch *dispatch = &plan->dispatches[piece->dispatch];
    return work_of_group(plan, dispatch) * piece->groups[dispatch->split_axis] + 1;
}

static VkResult record_all(pm_plan *plan, const gathered *g)
{
    const struct VolkDeviceTable *vk = &plan->device->vk;
    VkResult result = pm_plan_begin_once(plan);
    if (result != VK_SUCCESS) return result;
    for (uint32_t i = 0; i < g->count; i++) {
        pm_plan_fence_in(plan, plan->once, false);
        pm_plan_record_piece(plan, plan->once, g->pieces[i], -1);
    }
    pm_plan_fence_in(plan, plan->once, true);
    return vk->vkEndCommandBuffer(plan->once);
}

/* Submits them and waits. The time is shared out by work: of what goes together it is little. */
static pm_status time_all(pm_plan *plan, gathered *g, pm_error *error)
{
    if (g->count == 0) return PM_OK;
    VkResult result = record_all(plan, g);
    if (result != VK_SUCCESS) return pm_vk_fail(plan->device, result, "recording commands", error);
    double start = pm_seconds();
    pm_status status = pm_queue_submit(plan->device, 1, &plan->once, &plan->last_value, error);
    if (status == PM_OK) status = pm_queue_wait(plan->device, plan->last_value, error);
    double seconds = pm_seconds() - start;
    for (uint32_t i = 0; status == PM_OK && i < g->count; i++) {
        const pm_piece *piece = g->pieces[i];
        uint32_t axis = plan->dispatches[piece->dispatch].split_axis;
        remember(&plan->costs[piece->dispatch], piece->groups[axis],
                 seconds * work_of(plan, piece) / g->work);
    }
    plan->stats.submits++;
    *g = (gathered){.count = 0};
    return status;
}

static void gather(const pm_plan *plan, gathered *g, const pm_piece *piece)
{
    g->pieces[g->count++] = piece;
    g->work += work_of(plan, piece);
}

/* One piece, all of it or in parts. */
static pm_status time_piece(pm_plan *plan, const pm_piece *piece, pm_error *error)
{
    uint32_t total = piece->groups[plan->dispatches[piece->dispatch].split_axis];
    pm_status status = PM_OK;
    for (uint32_t done = 0; status == PM_OK && done < total;) {
        uint32_t groups = allowed(plan, piece->dispatch, total - done);
        pm_piece part = *piece;
        pm_bound bound = {0};
        gathered g = {.count = 0};
        if (groups < total)
            status = pm_plan_part_of(plan, piece, piece->base + done, groups, &bound, &part, error);
        gather(plan, &g, &part);
        if (status == PM_OK) status = time_all(plan, &g, error);
        pm_bound_release(plan->device, &bound);
        done += groups;
    }
    return status;
}

/* Whether it has little to do, and did not prove slow all the same. */
static bool is_small(const pm_plan *plan, const pm_piece *piece)
{
    const pm_dispatch *dispatch = &plan->dispatches[piece->dispatch];
    double seconds = plan->costs[piece->dispatch].seconds_per_group * piece->groups[dispatch->split_axis];
    return work_of(plan, piece) <= WORK_TOGETHER && seconds <= plan->options.submit_seconds / TOGETHER;
}

pm_status pm_plan_measure(pm_plan *plan, pm_error *error)
{
    pm_status status = PM_OK;
    gathered small = {.count = 0};
    plan->stats.submits = 0;
    for (uint32_t i = 0; status == PM_OK && i < plan->n_pieces; i++) {
        const pm_piece *piece = &plan->pieces[i];
        bool fits = small.count < TOGETHER && small.work + work_of(plan, piece) <= WORK_TOGETHER;
        if (!fits || !is_small(plan, piece)) status = time_all(plan, &small, error);
        if (is_small(plan, piece)) {
            gather(plan, &small, piece);
        } else if (status == PM_OK) {
            status = time_piece(plan, piece, error);
        }
    }
    return status == PM_OK ? time_all(plan, &small, error) : status;
}

void pm_plan_guess(pm_plan *plan)
{
    for (uint32_t i = 0; i < plan->n_dispatches; i++) {
        const pm_dispatch *dispatch = &plan->dispatches[i];
        plan->costs[i].seconds_per_group = work_of_group(plan, dispatch) / plan->device->rules.work_rate;
    }
    plan->measured_runs = PM_MEASURED_RUNS;
}

bool pm_plan_choose_parts(pm_plan *plan)
{
    bool changed = false;
    for (uint32_t i = 0; i < plan->n_dispatches; i++) {
        const pm_dispatch *dispatch = &plan->dispatches[i];
        uint32_t groups = dispatch->groups[dispatch->split_axis], parts = 1;
        double times = plan->costs[i].seconds_per_group * groups / plan->options.submit_seconds;
        if (times > 2) parts = times < groups ? (uint32_t)times + 1 : groups;
        changed |= parts != plan->parts[i];
        plan->parts[i] = parts;
    }
    return changed;
}
