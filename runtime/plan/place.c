/* Memory by lifetime: every root tensor gets an offset in one of a few large blocks, so that tensors which
 * are never alive together may share bytes. Largest first, each at the lowest offset that is free during its
 * whole life ("greedy by size", 2001.03288); persistent tensors simply live from the first dispatch to the
 * last. */
#include "plan/plan.h"

#include "base/status.h"

#include <stdlib.h>
#include <string.h>

#define LARGEST_BLOCK ((VkDeviceSize)1 << 30)
#define SMALLEST_BLOCK ((VkDeviceSize)1 << 20) /* that is tried when a driver refuses larger ones */

/* The last dispatch of the node that dispatch d belongs to. */
static uint32_t last_of_node(const pm_plan *plan, uint32_t d)
{
    uint32_t node = plan->dispatches[d].node;
    while (d + 1 < plan->n_dispatches && plan->dispatches[d + 1].node == node) d++;
    return d;
}

static void find_lifetimes(pm_plan *plan)
{
    const pm_graph *graph = plan->graph;
    for (uint32_t id = 1; id < plan->n_tensors; id++) {
        const pm_tensor_info *info = &graph->tensors[id];
        pm_placement *placement = &plan->placements[id];
        if (info->base != id) continue;
        placement->persistent = info->kind != PM_KIND_TEMP;
        placement->first = placement->persistent ? 0 : PM_NEVER;
        placement->last = placement->persistent || info->is_output ? PM_NEVER : 0;
        placement->used = placement->persistent;
    }
    for (uint32_t d = 0; d < plan->n_dispatches; d++) {
        uint32_t end = d;
        if (plan->traced) end = last_of_node(plan, d);
        for (uint32_t b = 0; b < plan->dispatches[d].n_bind; b++) {
            pm_tensor tensor = plan->dispatches[d].bind[b].tensor;
            pm_placement *placement = &plan->placements[graph->tensors[tensor.id].base];
            placement->used = true;
            if (d < placement->first) placement->first = d;
            if (end > placement->last) placement->last = end;
        }
    }
}

static int by_size(const void *a, const void *b)
{
    const pm_placement *x = *(pm_placement *const *)a, *y = *(pm_placement *const *)b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return x < y ? -1 : x > y; /* a fixed order among equals */
}

static int by_offset(const void *a, const void *b)
{
    const pm_placement *x = *(pm_placement *const *)a, *y = *(pm_placement *const *)b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static bool alive_together(const pm_placement *a, const pm_placement *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* Lowest free offset for `item` in `block` among the `n` tensors placed so far, or block_size when there is
 * none. */
static VkDeviceSize lowest_free(pm_placement *const *placed, uint32_t n, const pm_placement *item,
                                uint32_t block, VkDeviceSize block_size, pm_placement **neighbours)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (placed[i]->block == block && alive_together(placed[i], item)) neighbours[count++] = placed[i];
    }
    qsort(neighbours, count, sizeof *neighbours, by_offset);
    VkDeviceSize at = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (neighbours[i]->offset >= at + item->bytes) break;
        VkDeviceSize end = neighbours[i]->offset + neighbours[i]->bytes;
        if (end > at) at = end;
    }
    return at + item->bytes <= block_size ? at : block_size;
}

static pm_status place_all(pm_plan *plan, pm_placement **items, uint32_t n, pm_placement **neighbours,
                           pm_error *error)
{
    VkDeviceSize limit = plan->largest_block;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t block = 0;
        VkDeviceSize at = limit;
        if (items[i]->bytes > limit) {
            return pm_fail(error, PM_NO_MEMORY,
                           "a tensor of %.1f MiB is larger than one allocation may be (%.1f MiB)",
                           (double)items[i]->bytes / 1048576.0, (double)limit / 1048576.0);
        }
        for (; block < PM_MAX_BLOCKS; block++) {
            at = lowest_free(items, i, items[i], block, limit, neighbours);
            if (at < limit) break;
        }
        if (block == PM_MAX_BLOCKS) {
            return pm_fail(error, PM_NO_MEMORY,
                           "the plan needs more than %d blocks of %.1f MiB: use a smaller batch or model",
                           PM_MAX_BLOCKS, (double)limit / 1048576.0);
        }
        items[i]->block = block;
        items[i]->offset = at;
        if (block >= plan->n_blocks) plan->n_blocks = block + 1;
        if (at + items[i]->bytes > plan->block_bytes[block]) plan->block_bytes[block] = at + items[i]->bytes;
    }
    return PM_OK;
}

/* What each root tensor needs, in a fixed order; returns how many there are. */
static uint32_t find_items(pm_plan *plan, pm_placement **items)
{
    VkDeviceSize alignment = plan->device->facts.buffer_alignment;
    uint32_t n = 0;
    find_lifetimes(plan);
    for (uint32_t id = 1; id < plan->n_tensors; id++) {
        pm_placement *placement = &plan->placements[id];
        if (!placement->used) continue;
        if (!pm_on(&plan->device->rules, PM_MEMORY_REUSE)) { /* all alive together */
            placement->first = 0;
            placement->last = PM_NEVER;
        }
        placement->bytes =
            (pm_bytes_of(plan->graph, (pm_tensor){id}) + alignment - 1) / alignment * alignment;
        if (pm_needs_slack(&plan->device->rules, placement->bytes)) placement->bytes += alignment;
        *(placement->persistent ? &plan->stats.persistent_bytes : &plan->stats.unshared_bytes) +=
            placement->bytes;
        items[n++] = placement;
    }
    qsort(items, n, sizeof *items, by_size);
    return n;
}

static void add_up(pm_plan *plan)
{
    VkDeviceSize total = 0;
    for (uint32_t i = 0; i < plan->n_blocks; i++) {
        bool power_of_two = (plan->block_bytes[i] & (plan->block_bytes[i] - 1)) == 0;
        if (power_of_two && pm_on(&plan->device->rules, PM_EVEN_VIEWS))
            plan->block_bytes[i] += plan->device->facts.buffer_alignment;
        total += plan->block_bytes[i];
    }
    plan->stats.activation_bytes = total - plan->stats.persistent_bytes;
}

pm_status pm_plan_place(pm_plan *plan, pm_error *error)
{
    const pm_device_facts *facts = &plan->device->facts;
    free(plan->placements);
    plan->placements = calloc(plan->n_tensors, sizeof *plan->placements);
    pm_placement **items = calloc(plan->n_tensors, sizeof *items);
    pm_placement **neighbours = calloc(plan->n_tensors, sizeof *neighbours);
    pm_status status = PM_OK;
    plan->n_blocks = 0;
    memset(plan->block_bytes, 0, sizeof plan->block_bytes);
    plan->stats.persistent_bytes = plan->stats.unshared_bytes = 0;
    if (plan->largest_block == 0) {
        /* The advertised size has to hold what add_up may put behind a block, too. */
        plan->largest_block = facts->max_allocation - facts->buffer_alignment;
        if (plan->largest_block > LARGEST_BLOCK) plan->largest_block = LARGEST_BLOCK;
    }
    if (plan->placements && items && neighbours) {
        uint32_t n = find_items(plan, items);
        status = place_all(plan, items, n, neighbours, error);
        add_up(plan);
    } else {
        status = pm_fail(error, PM_NO_MEMORY, "plan: out of host memory");
    }
    free(items);
    free(neighbours);
    return status;
}

/* ---- Blocks -------------------------------------------------------------------------------------------- */

static void destroy_blocks(pm_plan *plan)
{
    for (uint32_t i = 0; i < plan->n_blocks; i++) pm_block_destroy(plan->device, &plan->blocks[i]);
}

static pm_status create_blocks(pm_plan *plan, pm_error *error)
{
    pm_status status = PM_OK;
    for (uint32_t i = 0; status == PM_OK && i < plan->n_blocks; i++) {
        status = pm_block_create(plan->device, plan->block_bytes[i], plan->device->storage_type,
                                 plan->device->storage_mapped, &plan->blocks[i], error);
    }
    if (status != PM_OK) destroy_blocks(plan);
    return status;
}

/* Half the size of the largest block that there is, as long as every tensor fits in one; false when blocks
 * cannot be smaller. */
static bool place_smaller(pm_plan *plan)
{
    VkDeviceSize alignment = plan->device->facts.buffer_alignment, largest = 0, tensor = 0;
    for (uint32_t i = 0; i < plan->n_blocks; i++) {
        if (plan->block_bytes[i] > largest) largest = plan->block_bytes[i];
    }
    for (uint32_t id = 1; id < plan->n_tensors; id++) {
        if (plan->placements[id].used && plan->placements[id].bytes > tensor)
            tensor = plan->placements[id].bytes;
    }
    VkDeviceSize smaller = (largest / 2 + alignment - 1) / alignment * alignment;
    if (smaller < SMALLEST_BLOCK) smaller = SMALLEST_BLOCK;
    if (smaller < tensor) smaller = tensor;
    plan->largest_block = smaller;
    return smaller + alignment < largest && pm_plan_place(plan, NULL) == PM_OK;
}

static pm_status too_large(const pm_plan *plan, const char *why, uint64_t available, pm_error *error)
{
    uint64_t activations = plan->stats.activation_bytes, persistent = plan->stats.persistent_bytes;
    return pm_fail(error, PM_NO_MEMORY,
                   "%s: %.1f MiB needed (%.1f for parameters and states, %.1f for activations) of %.1f MiB "
                   "free%s" PM_PLAN_TOO_LARGE,
                   plan->device->facts.name, (double)(persistent + activations) / 1048576.0,
                   (double)persistent / 1048576.0, (double)activations / 1048576.0,
                   (double)available / 1048576.0, why);
}

pm_status pm_plan_allocate(pm_plan *plan, pm_error *error)
{
    uint64_t available = pm_device_memory_free(plan->device);
    if (plan->stats.activation_bytes + plan->stats.persistent_bytes > available)
        return too_large(plan, "", available, error);
    pm_status status = create_blocks(plan, error);
    while (status == PM_NO_MEMORY && place_smaller(plan)) status = create_blocks(plan, error);
    if (status != PM_NO_MEMORY) return status;
    return too_large(plan, ", but the driver refuses it", available, error);
}

pm_range pm_plan_range(const pm_plan *plan, pm_tensor tensor)
{
    const pm_tensor_info *info = pm_info(plan->graph, tensor);
    const pm_placement *placement = &plan->placements[info->base];
    VkDeviceSize begin = placement->offset + info->offset;
    return (pm_range){placement->block, begin, begin + pm_bytes_of(plan->graph, tensor)};
}
