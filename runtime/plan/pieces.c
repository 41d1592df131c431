/* Dispatches to pieces: a dispatch that binds more than the device's storage range, has more workgroups than
 * an axis allows, or proved to take too long, is cut along its split axis. Each piece gets its pipeline and
 * descriptor set here. */
#include "plan/plan.h"

#include "base/checked.h"
#include "base/status.h"
#include "device/shaders_embedded.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(PM_MAX_SPEC <= PM_PIPELINE_SPEC && PM_MAX_BINDINGS <= PM_PIPELINE_BINDINGS,
               "a pipeline has room for what a dispatch may have");

/* ---- Cutting ------------------------------------------------------------------------------------------- */

static uint64_t round_up(uint64_t value, uint64_t multiple)
{
    return (value + multiple - 1) / multiple * multiple;
}

static uint64_t greatest_common_divisor(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Every sliced binding has to start where the device allows. */
uint64_t pm_plan_granule(const pm_plan *plan, const pm_dispatch *dispatch)
{
    uint64_t granule = 1, alignment = plan->device->facts.buffer_alignment;
    for (uint32_t b = 0; b < dispatch->n_bind; b++) {
        uint64_t stride = dispatch->bind[b].stride;
        if (!stride) continue;
        uint64_t step = alignment / greatest_common_divisor(alignment, stride);
        granule = granule / greatest_common_divisor(granule, step) * step;
    }
    return granule;
}

static uint64_t texel_bytes(const pm_binding *binding)
{
    return 4ull * binding->width;
}

/* Whether all inputs can be texel buffers: those that are bound whole must fit in a view; the others can be
 * cut until they do. */
static bool can_use_texels(const pm_plan *plan, const pm_dispatch *dispatch)
{
    if (!pm_on(&plan->device->rules, PM_TEXEL_INPUTS) || dispatch->subgroup) return false;
    for (uint32_t b = 0; b < dispatch->n_bind; b++) {
        const pm_binding *binding = &dispatch->bind[b];
        if (binding->access != PM_READ || binding->stride) continue;
        uint64_t texels = round_up(pm_bytes_of(plan->graph, binding->tensor), 16) / texel_bytes(binding);
        if (texels > plan->device->facts.max_texel_elements) return false;
    }
    return true;
}

/* Most workgroups along the split axis that one piece may have; 0 with a message when the dispatch cannot be
 * cut enough. */
static uint64_t groups_per_piece(const pm_plan *plan, const pm_dispatch *dispatch, bool texels,
                                 pm_error *error)
{
    const pm_device_facts *facts = &plan->device->facts;
    uint64_t range_limit = facts->max_storage_range, pretended = plan->device->limits.storage_range;
    uint64_t most = facts->max_groups[dispatch->split_axis];
    char text[64];
    if (pretended && pretended < range_limit) range_limit = pretended;
    for (uint32_t b = 0; b < dispatch->n_bind; b++) {
        const pm_binding *binding = &dispatch->bind[b];
        uint64_t limit = range_limit & ~15ull;
        uint64_t bytes = pm_bytes_of(plan->graph, binding->tensor);
        bool texel = texels && binding->access == PM_READ;
        if (texel) limit = facts->max_texel_elements * texel_bytes(binding);
        if (texel && pretended && limit > range_limit) limit = range_limit;
        if (bytes <= limit) continue;
        uint64_t fits =
            binding->stride && limit > binding->halo ? (limit - binding->halo) / binding->stride : 0;
        if (fits < most) most = fits;
        if (most == 0) {
            (void)pm_fail(error, PM_BAD_USAGE,
                          "%s: a tensor of shape %s (%.1f MiB) exceeds the %.1f MiB that %s binds at once, "
                          "and it cannot "
                          "be split",
                          dispatch->shader, pm_shape_text(pm_shape_of(plan->graph, binding->tensor), text),
                          (double)bytes / 1048576.0, (double)limit / 1048576.0, facts->name);
            return 0;
        }
    }
    return most;
}

static pm_status check_other_axes(const pm_plan *plan, const pm_dispatch *dispatch, pm_error *error)
{
    for (uint32_t axis = 0; axis < 3; axis++) {
        if (axis == dispatch->split_axis || dispatch->groups[axis] <= plan->device->facts.max_groups[axis])
            continue;
        return pm_fail(error, PM_BAD_USAGE, "%s: %u workgroups along axis %u, more than %s allows (%u)",
                       dispatch->shader, dispatch->groups[axis], axis, plan->device->facts.name,
                       plan->device->facts.max_groups[axis]);
    }
    return PM_OK;
}

/* Dispatch rules ask the device's rules for sizes, so that this is a fault of theirs. */
static pm_status check_workgroup(const pm_plan *plan, const pm_dispatch *dispatch, pm_error *error)
{
    const pm_device_facts *facts = &plan->device->facts;
    if (dispatch->spec[0] <= facts->max_invocations && dispatch->shared_bytes <= facts->max_shared_bytes)
        return PM_OK;
    return pm_fail(error, PM_FAILED,
                   "%s: workgroups of %u with %u bytes of shared memory, and %s has %u and %u",
                   dispatch->shader, dispatch->spec[0], dispatch->shared_bytes, facts->name,
                   facts->max_invocations, facts->max_shared_bytes);
}

static pm_piece *add_piece(pm_plan *plan)
{
    if (plan->n_pieces == plan->cap_pieces) {
        uint32_t larger = plan->cap_pieces ? plan->cap_pieces * 2 : 512;
        pm_piece *moved = realloc(plan->pieces, larger * sizeof *moved);
        if (!moved) return NULL;
        plan->pieces = moved;
        plan->cap_pieces = larger;
    }
    pm_piece *piece = &plan->pieces[plan->n_pieces++];
    memset(piece, 0, sizeof *piece);
    return piece;
}

/* The bytes of each binding that a piece covers. */
static void find_ranges(const pm_plan *plan, const pm_dispatch *dispatch, pm_piece *piece)
{
    for (uint32_t b = 0; b < dispatch->n_bind; b++) {
        const pm_binding *binding = &dispatch->bind[b];
        pm_range whole = pm_plan_range(plan, binding->tensor);
        pm_range *range = &piece->range[b];
        *range = whole;
        if (binding->stride) {
            range->begin += (uint64_t)binding->stride * piece->base;
            uint64_t end = range->begin + (uint64_t)binding->stride * piece->groups[dispatch->split_axis] +
                           binding->halo;
            if (end < whole.end) range->end = end;
        }
        /* Rounded to whole vec4: the rest is padding that belongs to this tensor. */
        range->end = range->begin + round_up(range->end - range->begin, 16);
        const pm_placement *root = &plan->placements[pm_info(plan->graph, binding->tensor)->base];
        bool room = range->end + PM_VIEW_SLACK <= root->offset + root->bytes;
        if (piece->texels && binding->access == PM_READ && room && range->end >= whole.end &&
            pm_needs_slack(&plan->device->rules, range->end - range->begin)) {
            range->end += PM_VIEW_SLACK;
        }
    }
}

static pm_pipeline_key key_of(const pm_plan *plan, const pm_dispatch *dispatch, bool texels)
{
    pm_pipeline_key key = {
        .shader = dispatch->shader,
        .variant =
            (texels ? PM_SHADER_TEXEL : 0u) | (plan->options.precision != PM_EXACT ? PM_SHADER_FMA : 0u),
        .n_bind = dispatch->n_bind,
        .n_push = dispatch->n_push,
        .n_spec = dispatch->n_spec,
        .subgroup = dispatch->subgroup,
    };
    if (dispatch->rounds) key.variant |= PM_SHADER_ROUNDED;
    if (dispatch->subgroup) {
        key.variant = PM_SHADER_MATRIX | (plan->device->rules.bf16 ? PM_SHADER_BF16 : 0u);
    } else {
        uint64_t groups = (uint64_t)dispatch->groups[0] * dispatch->groups[1] * dispatch->groups[2];
        key.subgroup = pm_subgroup_for(&plan->device->rules, dispatch->spec[0], groups * dispatch->spec[0]);
    }
    for (uint32_t b = 0; texels && b < dispatch->n_bind; b++) {
        if (dispatch->bind[b].access == PM_READ) key.texel_mask |= 1u << b;
    }
    memcpy(key.spec, dispatch->spec, sizeof dispatch->spec);
    return key;
}

/* Workgroups along the split axis of one piece: all of them, or as many as limits and time allow, in whole
 * granules. 0 with a message when that is impossible. */
static uint32_t piece_size(const pm_plan *plan, uint32_t index, bool texels, pm_error *error)
{
    const pm_dispatch *dispatch = &plan->dispatches[index];
    uint32_t total = dispatch->groups[dispatch->split_axis];
    uint64_t most = groups_per_piece(plan, dispatch, texels, error);
    uint64_t by_time = pm_ceil_div(total, plan->parts[index]);
    uint64_t size = most < by_time ? most : by_time;
    if (most == 0 || size >= total) return (uint32_t)size;
    uint64_t granule = pm_plan_granule(plan, dispatch);
    size = size < granule && granule <= most ? granule : size / granule * granule;
    if (size == 0) {
        (void)pm_fail(error, PM_BAD_USAGE, "%s: the device's storage range is too small for the rows of %s",
                      plan->graph->nodes[dispatch->node].op->name, dispatch->shader);
    }
    return (uint32_t)(size < total ? size : total);
}

/* How a dispatch is cut, and what its pieces run. */
typedef struct cut {
    uint32_t size; /* workgroups along the split axis of a piece */
    bool texels;
    pm_pipeline_key key;
} cut;

static pm_status choose_cut(pm_plan *plan, uint32_t index, cut *out, pm_error *error)
{
    const pm_dispatch *dispatch = &plan->dispatches[index];
    out->texels = can_use_texels(plan, dispatch);
    out->size = piece_size(plan, index, out->texels, error);
    if (out->size == 0 && out->texels) { /* storage buffers reach further */
        out->texels = false;
        out->size = piece_size(plan, index, out->texels, error);
    }
    if (out->size == 0) return PM_BAD_USAGE;
    out->key = key_of(plan, dispatch, out->texels);
    pm_status status = check_other_axes(plan, dispatch, error);
    return status == PM_OK ? check_workgroup(plan, dispatch, error) : status;
}

static pm_status add_pieces(pm_plan *plan, uint32_t index, const cut *cut, pm_error *error)
{
    const pm_dispatch *dispatch = &plan->dispatches[index];
    uint32_t total = dispatch->groups[dispatch->split_axis];
    pm_pipeline pipeline;
    pm_status status = pm_pipeline_get(plan->device, &cut->key, &pipeline, error);
    for (uint64_t base = 0; status == PM_OK && base < total; base += cut->size) {
        pm_piece *piece = add_piece(plan);
        if (!piece) return pm_fail(error, PM_NO_MEMORY, "plan: out of host memory");
        piece->dispatch = index;
        piece->base = (uint32_t)base;
        memcpy(piece->groups, dispatch->groups, sizeof piece->groups);
        piece->groups[dispatch->split_axis] = (uint32_t)(total - base < cut->size ? total - base : cut->size);
        piece->pipeline = pipeline;
        piece->texels = cut->texels;
        find_ranges(plan, dispatch, piece);
    }
    return status;
}

/* All pieces; their pipelines are made at once. */
static pm_status cut_all(pm_plan *plan, pm_error *error)
{
    uint32_t count = plan->n_dispatches;
    pm_status status = PM_OK;
    cut *cuts = calloc(count + 1u, sizeof *cuts);
    pm_pipeline_key *keys = calloc(count + 1u, sizeof *keys);
    if (!cuts || !keys) status = pm_fail(error, PM_NO_MEMORY, "plan: out of host memory");
    for (uint32_t i = 0; status == PM_OK && i < count; i++) {
        status = choose_cut(plan, i, &cuts[i], error);
        keys[i] = cuts[i].key;
    }
    if (status == PM_OK) status = pm_pipelines_make(plan->device, keys, count, error);
    for (uint32_t i = 0; status == PM_OK && i < count; i++) status = add_pieces(plan, i, &cuts[i], error);
    free(cuts);
    free(keys);
    return status;
}

/* ---- Descriptors --------------------------------------------------------------------------------------- */

static bool is_texel(const pm_plan *plan, const pm_piece *piece, uint32_t b)
{
    return piece->texels && plan->dispatches[piece->dispatch].bind[b].access == PM_READ;
}

static pm_status create_pool(const pm_plan *plan, const pm_piece *pieces, uint32_t count, pm_bound *out,
                             pm_error *error)
{
    uint32_t texels = 1, buffers = 1;
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t b = 0; b < plan->dispatches[pieces[i].dispatch].n_bind; b++)
            *(is_texel(plan, &pieces[i], b) ? &texels : &buffers) += 1;
    }
    VkDescriptorPoolSize sizes[] = {{VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER, texels},
                                    {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, buffers}};
    VkDescriptorPoolCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
        .maxSets = count + 1,
        .poolSizeCount = 2,
        .pPoolSizes = sizes,
    };
    *out = (pm_bound){.views = calloc(texels, sizeof(VkBufferView))};
    if (!out->views) return pm_fail(error, PM_NO_MEMORY, "plan: out of host memory");
    VkResult result = plan->device->vk.vkCreateDescriptorPool(plan->device->device, &info, NULL, &out->pool);
    return result == VK_SUCCESS ? PM_OK : pm_vk_fail(plan->device, result, "making descriptors", error);
}

void pm_bound_release(pm_device *device, pm_bound *bound)
{
    if (bound->pool) device->vk.vkDestroyDescriptorPool(device->device, bound->pool, NULL);
    for (uint32_t i = 0; i < bound->n_views; i++)
        device->vk.vkDestroyBufferView(device->device, bound->views[i], NULL);
    free(bound->views);
    *bound = (pm_bound){0};
}

static VkFormat format_of(const pm_plan *plan, const pm_binding *binding)
{
    if (pm_dtype_of(plan->graph, binding->tensor) != PM_DTYPE_F32) return VK_FORMAT_R32_UINT;
    return binding->width == 4 ? VK_FORMAT_R32G32B32A32_SFLOAT : VK_FORMAT_R32_SFLOAT;
}

static VkResult create_view(pm_plan *plan, const pm_binding *binding, const pm_range *range, pm_bound *bound,
                            VkBufferView *out)
{
    VkBufferViewCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_VIEW_CREATE_INFO,
        .buffer = plan->blocks[range->block].buffer,
        .format = format_of(plan, binding),
        .offset = range->begin,
        .range = range->end - range->begin,
    };
    VkResult result = plan->device->vk.vkCreateBufferView(plan->device->device, &info, NULL, out);
    if (result == VK_SUCCESS) bound->views[bound->n_views++] = *out;
    return result;
}

static pm_status write_set(pm_plan *plan, pm_bound *bound, pm_piece *piece, pm_error *error)
{
    const pm_dispatch *dispatch = &plan->dispatches[piece->dispatch];
    VkWriteDescriptorSet writes[PM_MAX_BINDINGS];
    VkDescriptorBufferInfo buffers[PM_MAX_BINDINGS];
    VkBufferView views[PM_MAX_BINDINGS];
    VkDescriptorSetAllocateInfo allocate = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
        .descriptorPool = bound->pool,
        .descriptorSetCount = 1,
        .pSetLayouts = &piece->pipeline.set_layout,
    };
    VkResult result = plan->device->vk.vkAllocateDescriptorSets(plan->device->device, &allocate, &piece->set);
    for (uint32_t b = 0; result == VK_SUCCESS && b < dispatch->n_bind; b++) {
        const pm_range *range = &piece->range[b];
        writes[b] = (VkWriteDescriptorSet){
            .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
            .dstSet = piece->set,
            .dstBinding = b,
            .descriptorCount = 1,
            .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
            .pBufferInfo = &buffers[b],
            .pTexelBufferView = &views[b],
        };
        buffers[b] = (VkDescriptorBufferInfo){plan->blocks[range->block].buffer, range->begin,
                                              range->end - range->begin};
        if (is_texel(plan, piece, b)) {
            writes[b].descriptorType = VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER;
            result = create_view(plan, &dispatch->bind[b], range, bound, &views[b]);
        }
    }
    if (result != VK_SUCCESS) return pm_vk_fail(plan->device, result, "making descriptors", error);
    plan->device->vk.vkUpdateDescriptorSets(plan->device->device, dispatch->n_bind, writes, 0, NULL);
    return PM_OK;
}

pm_status pm_plan_cut(pm_plan *plan, pm_error *error)
{
    pm_bound_release(plan->device, &plan->bound);
    plan->n_pieces = 0;
    pm_status status = cut_all(plan, error);
    bool bind = !plan->device->compile_only; /* there is memory to bind */
    if (status == PM_OK && bind)
        status = create_pool(plan, plan->pieces, plan->n_pieces, &plan->bound, error);
    for (uint32_t i = 0; status == PM_OK && bind && i < plan->n_pieces; i++) {
        status = write_set(plan, &plan->bound, &plan->pieces[i], error);
    }
    plan->stats.pieces = plan->n_pieces;
    plan->stats.pipelines = plan->device->n_pipelines;
    return status;
}

pm_status pm_plan_part_of(pm_plan *plan, const pm_piece *whole, uint32_t base, uint32_t groups,
                          pm_bound *bound, pm_piece *out, pm_error *error)
{
    const pm_dispatch *dispatch = &plan->dispatches[whole->dispatch];
    *out = *whole;
    out->base = base;
    out->groups[dispatch->split_axis] = groups;
    find_ranges(plan, dispatch, out);
    pm_status status = create_pool(plan, out, 1, bound, error);
    return status == PM_OK ? write_set(plan, bound, out, error) : status;
}
