/* Running a plan.
 *
 * Watchdogs reset a device that works on one submit for about two seconds, so submits are bounded by time,
 * and by time that is measured: estimates from operations counted have been wrong by factors of a hundred.
 * The first runs measure every dispatch alone (measure.c); from then on as many grains go together as fill
 * options.submit_seconds. The time of every submit that the host waits for goes on being compared with what
 * was expected: a device that has become slower (heat, others who use it) gets smaller submits at once, and
 * smaller pieces when a single one is too long. On a CPU driver no watchdog looks, a piece of another size
 * may have to be compiled anew, and all of a run's dispatches one by one take longer than the run: there the
 * first times are guesses, and nothing is cut (PM_WHOLE_DISPATCHES). */
#include "plan/plan.h"
#include "plan/trace.h"

#include "base/clock.h"
#include "base/status.h"

#include <math.h>
#include <string.h>

#define MOST_GRAINS 64u /* of one submit */
#define SLOWER 1.25     /* times what was expected, until it is believed */
#define FASTER 0.8
#define LATE_UNTIL_CUT 2u /* once may be the host's fault */

/* ---- What submits take --------------------------------------------------------------------------------- */

/* Multiplies what the pieces of a grain are thought to take. */
static void rescale(pm_plan *plan, pm_grain *grain, double factor)
{
    grain->seconds *= factor;
    for (uint32_t i = grain->first; i < grain->first + grain->count; i++) {
        pm_piece *piece = &plan->pieces[i];
        const pm_dispatch *dispatch = &plan->dispatches[piece->dispatch];
        pm_cost *cost = &plan->costs[piece->dispatch];
        piece->seconds *= factor;
        double each = piece->seconds / piece->groups[dispatch->split_axis];
        if (factor < 1 || each > cost->seconds_per_group) cost->seconds_per_group = each;
    }
}

static void learn(pm_plan *plan, const pm_flight *flight, double seconds, bool sure)
{
    double aim = plan->options.submit_seconds, ratio = seconds / (flight->expected + 1e-9);
    bool slower = ratio > SLOWER && seconds > aim / 2, faster = ratio < FASTER && sure;
    for (uint32_t i = flight->first; i < flight->first + flight->count; i++) {
        pm_grain *grain = &plan->grains[i];
        if (slower || faster) rescale(plan, grain, slower ? ratio : sqrt(ratio > 0.01 ? ratio : 0.01));
        grain->late = seconds > 2 * aim && grain->seconds > 2 * aim ? grain->late + 1 : 0;
        bool whole = pm_on(&plan->device->rules, PM_WHOLE_DISPATCHES);
        if (grain->late >= LATE_UNTIL_CUT && !whole) plan->too_slow = true;
    }
}

/* Waits for the oldest submit. Only when it really had to be waited for is it known when it ended. */
static pm_status land(pm_plan *plan, pm_error *error)
{
    pm_flight flight = plan->flights[0];
    bool waits = !pm_queue_reached(plan->device, flight.value);
    pm_status status = pm_queue_wait(plan->device, flight.value, error);
    double now = pm_seconds(), begun = flight.begun > plan->last_end ? flight.begun : plan->last_end;
    bool sure = plan->end_is_sure || flight.begun >= plan->last_end;
    if (status == PM_OK && waits) learn(plan, &flight, now - begun, sure);
    plan->last_end = now;
    plan->end_is_sure = waits;
    plan->n_flights--;
    memmove(plan->flights, plan->flights + 1, plan->n_flights * sizeof *plan->flights);
    return status;
}

/* ---- Submits ------------------------------------------------------------------------------------------- */

/* What others submitted to this device in the meantime must not count as ours. */
static pm_status queue_is_ours(pm_plan *plan, pm_error *error)
{
    if (plan->device->submitted == plan->last_value) return PM_OK;
    plan->n_flights = 0;
    return pm_queue_wait(plan->device, plan->device->submitted, error);
}

static pm_status run_measured(pm_plan *plan, pm_error *error)
{
    VkCommandBuffer batch[MOST_GRAINS];
    uint32_t most = pm_on(&plan->device->rules, PM_SUBMIT_MERGING) ? MOST_GRAINS : 1;
    uint32_t turn = ++plan->runs % 2;
    pm_status status = queue_is_ours(plan, error);
    plan->stats.submits = 0;
    /* The run before the last had the same command buffers. */
    while (status == PM_OK && plan->n_flights > 0 && plan->flights[0].run + 1 < plan->runs)
        status = land(plan, error);
    for (uint32_t i = 0; status == PM_OK && i < plan->n_grains;) {
        pm_flight flight = {.first = i, .run = plan->runs};
        while (i < plan->n_grains && flight.count < most &&
               (flight.count == 0 ||
                flight.expected + plan->grains[i].seconds <= plan->options.submit_seconds)) {
            flight.expected += plan->grains[i].seconds;
            batch[flight.count++] = plan->grains[i++].commands[turn];
        }
        if (plan->n_flights == PM_MAX_FLIGHTS) status = land(plan, error);
        flight.begun = pm_seconds();
        if (status == PM_OK)
            status = pm_queue_submit(plan->device, flight.count, batch, &plan->last_value, error);
        if (status != PM_OK) break;
        flight.value = plan->last_value;
        plan->flights[plan->n_flights++] = flight;
        plan->stats.submits++;
    }
    return status;
}

static pm_status remake(pm_plan *plan, pm_error *error)
{
    pm_status status = pm_plan_wait(plan, error);
    plan->too_slow = false;
    if (status != PM_OK) return status;
    pm_plan_unrecord(plan);
    if (pm_plan_choose_parts(plan)) status = pm_plan_cut(plan, error);
    return status == PM_OK ? pm_plan_record(plan, error) : status;
}

static pm_status run_measuring(pm_plan *plan, pm_error *error)
{
    pm_status status = pm_plan_wait(plan, error);
    if (status == PM_OK) status = queue_is_ours(plan, error);
    if (status == PM_OK) status = pm_plan_measure(plan, error);
    if (status == PM_OK && ++plan->measured_runs == PM_MEASURED_RUNS) status = remake(plan, error);
    return status;
}

static pm_status run_once(pm_plan *plan, pm_error *error)
{
    bool watched;
    pm_status status = pm_trace_run(plan, &watched, error);
    if (status != PM_OK || watched) return status;
    if (plan->too_slow) status = remake(plan, error);
    if (status != PM_OK) return status;
    return plan->measured_runs < PM_MEASURED_RUNS ? run_measuring(plan, error) : run_measured(plan, error);
}

pm_status pm_plan_run(pm_plan *plan, uint32_t times, pm_error *error)
{
    pm_status status = PM_OK;
    if (plan->device->compile_only) return PM_OK;
    for (uint32_t i = 0; status == PM_OK && i < times; i++) {
        double begun = pm_thread_seconds(), driver = plan->device->driver_seconds;
        status = run_once(plan, error);
        plan->stats.host_seconds = pm_thread_seconds() - begun - (plan->device->driver_seconds - driver);
    }
    return status;
}

pm_status pm_plan_wait(pm_plan *plan, pm_error *error)
{
    pm_status status = PM_OK;
    if (plan->device->compile_only) return PM_OK;
    while (status == PM_OK && plan->n_flights > 0) status = land(plan, error);
    return status == PM_OK ? pm_queue_wait(plan->device, plan->last_value, error) : status;
}
