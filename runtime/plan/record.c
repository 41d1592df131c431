/* Pieces to command buffers. Recorded once, replayed at every run.
 *
 * A barrier stands before a piece only when its memory overlaps what was written (or, for what it writes,
 * also what was read) since the last barrier. A grain is a handful of pieces in one command buffer that take
 * half of a submit's time at most, or one piece; run.c submits as many grains together as their times
 * allow. */
#include "plan/plan.h"

#include "base/status.h"

#include <stdlib.h>
#include <string.h>

#define GRAIN_PIECES 32u

/* ---- Hazards ------------------------------------------------------------------------------------------- */

typedef struct hazards {
    pm_range *ranges; /* touched since the last barrier */
    bool *written;
    uint32_t count;
} hazards;

static bool overlap(const pm_range *a, const pm_range *b)
{
    return a->block == b->block && a->begin < b->end && b->begin < a->end;
}

static bool must_wait(const hazards *h, const pm_dispatch *dispatch, const pm_piece *piece)
{
    for (uint32_t b = 0; b < dispatch->n_bind; b++) {
        bool writes = dispatch->bind[b].access != PM_READ;
        for (uint32_t i = 0; i < h->count; i++) {
            if ((writes || h->written[i]) && overlap(&h->ranges[i], &piece->range[b])) return true;
        }
    }
    return false;
}

static void remember(hazards *h, const pm_dispatch *dispatch, const pm_piece *piece)
{
    for (uint32_t b = 0; b < dispatch->n_bind; b++) {
        h->ranges[h->count] = piece->range[b];
        h->written[h->count++] = dispatch->bind[b].access != PM_READ;
    }
}

static pm_status find_barriers(pm_plan *plan, pm_error *error)
{
    size_t most = (size_t)plan->n_pieces * PM_MAX_BINDINGS + 1;
    hazards h = {malloc(most * sizeof(pm_range)), malloc(most), 0};
    plan->stats.barriers = 0;
    for (uint32_t i = 0; h.ranges && h.written && i < plan->n_pieces; i++) {
        pm_piece *piece = &plan->pieces[i];
        const pm_dispatch *dispatch = &plan->dispatches[piece->dispatch];
        bool always = !pm_on(&plan->device->rules, PM_FEW_BARRIERS);
        piece->barrier = always || must_wait(&h, dispatch, piece);
        if (piece->barrier) {
            h.count = 0;
            plan->stats.barriers++;
        }
        remember(&h, dispatch, piece);
    }
    bool ok = h.ranges && h.written;
    free(h.ranges);
    free(h.written);
    return ok ? PM_OK : pm_fail(error, PM_NO_MEMORY, "plan: out of host memory");
}

/* ---- Recording ----------------------------------------------------------------------------------------- */

static void barrier(pm_plan *plan, VkCommandBuffer commands, VkPipelineStageFlags from, VkAccessFlags source,
                    VkPipelineStageFlags to, VkAccessFlags destination)
{
    VkMemoryBarrier memory = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = source,
        .dstAccessMask = destination,
    };
    plan->device->vk.vkCmdPipelineBarrier(commands, from, to, 0, 1, &memory, 0, NULL, 0, NULL);
}

#define COMPUTE VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT
#define TRANSFER VK_PIPELINE_STAGE_TRANSFER_BIT
#define SHADER_ANY (VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT)

void pm_plan_record_piece(pm_plan *plan, VkCommandBuffer commands, const pm_piece *piece, int64_t query)
{
    const struct VolkDeviceTable *vk = &plan->device->vk;
    uint32_t stamp = (uint32_t)query;
    const pm_dispatch *dispatch = &plan->dispatches[piece->dispatch];
    uint32_t push[PM_MAX_PUSH];
    memcpy(push, dispatch->push, sizeof push);
    push[0] = piece->base;
    if (piece->barrier || query >= 0) {
        barrier(plan, commands, COMPUTE, VK_ACCESS_SHADER_WRITE_BIT, COMPUTE, SHADER_ANY);
    }
    if (query >= 0) {
        vk->vkCmdResetQueryPool(commands, plan->timestamps, stamp, 2);
        vk->vkCmdWriteTimestamp(commands, COMPUTE, plan->timestamps, stamp);
    }
    vk->vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, piece->pipeline.pipeline);
    vk->vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, piece->pipeline.layout, 0, 1,
                                &piece->set, 0, NULL);
    vk->vkCmdPushConstants(commands, piece->pipeline.layout, VK_SHADER_STAGE_COMPUTE_BIT, 0,
                           dispatch->n_push * 4, push);
    vk->vkCmdDispatch(commands, piece->groups[0], piece->groups[1], piece->groups[2]);
    if (query >= 0) vk->vkCmdWriteTimestamp(commands, COMPUTE, plan->timestamps, stamp + 1);
}

void pm_plan_fence_in(pm_plan *plan, VkCommandBuffer commands, bool after)
{
    if (after) {
        barrier(plan, commands, COMPUTE, VK_ACCESS_SHADER_WRITE_BIT,
                COMPUTE | TRANSFER | VK_PIPELINE_STAGE_HOST_BIT,
                SHADER_ANY | VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_HOST_READ_BIT);
    } else {
        barrier(plan, commands, COMPUTE | TRANSFER, VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
                COMPUTE, SHADER_ANY);
    }
}

/* Every grain begins and ends with a full barrier, so that grains may be submitted apart or together, any
 * number of times, and so that copies in between see what was computed. */
static VkResult record_grain(pm_plan *plan, const pm_grain *grain, VkCommandBuffer commands)
{
    const struct VolkDeviceTable *vk = &plan->device->vk;
    VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    VkResult result = vk->vkBeginCommandBuffer(commands, &begin);
    if (result != VK_SUCCESS) return result;
    pm_plan_fence_in(plan, commands, false);
    for (uint32_t i = grain->first; i < grain->first + grain->count; i++)
        pm_plan_record_piece(plan, commands, &plan->pieces[i], plan->timestamps ? (int64_t)i * 2 : -1);
    pm_plan_fence_in(plan, commands, true);
    return vk->vkEndCommandBuffer(commands);
}

static uint32_t node_of(const pm_plan *plan, const pm_grain *grain)
{
    return plan->dispatches[plan->pieces[grain->first].dispatch].node;
}

static pm_status form_grains(pm_plan *plan, pm_error *error)
{
    double most = plan->options.submit_seconds / 2;
    plan->grains = calloc(plan->n_pieces + 1u, sizeof *plan->grains);
    if (!plan->grains) return pm_fail(error, PM_NO_MEMORY, "plan: out of host memory");
    for (uint32_t i = 0; i < plan->n_pieces; i++) {
        pm_piece *piece = &plan->pieces[i];
        const pm_dispatch *dispatch = &plan->dispatches[piece->dispatch];
        piece->seconds = plan->costs[piece->dispatch].seconds_per_group * piece->groups[dispatch->split_axis];
        pm_grain *grain = plan->n_grains ? &plan->grains[plan->n_grains - 1] : NULL;
        bool other_node = grain && plan->traced && dispatch->node != node_of(plan, grain);
        if (!grain || other_node || grain->count == GRAIN_PIECES || grain->seconds + piece->seconds > most) {
            grain = &plan->grains[plan->n_grains++];
            grain->first = i;
        }
        grain->count++;
        grain->seconds += piece->seconds;
    }
    plan->stats.command_buffers = plan->n_grains;
    return PM_OK;
}

static VkResult create_timestamps(pm_plan *plan)
{
    if (!plan->options.profile || plan->device->facts.timestamp_period == 0.0f || plan->n_pieces == 0) {
        return VK_SUCCESS;
    }
    VkQueryPoolCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
        .queryType = VK_QUERY_TYPE_TIMESTAMP,
        .queryCount = plan->n_pieces * 2,
    };
    return plan->device->vk.vkCreateQueryPool(plan->device->device, &info, NULL, &plan->timestamps);
}

static VkResult allocate(const pm_plan *plan, VkCommandPool pool, uint32_t count, VkCommandBuffer *out)
{
    VkCommandBufferAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = pool,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = count,
    };
    return plan->device->vk.vkAllocateCommandBuffers(plan->device->device, &info, out);
}

static VkResult create_pool(const pm_plan *plan, VkCommandPoolCreateFlags flags, VkCommandPool *out)
{
    VkCommandPoolCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
        .flags = flags,
        .queueFamilyIndex = plan->device->queue_family,
    };
    return plan->device->vk.vkCreateCommandPool(plan->device->device, &info, NULL, out);
}

static VkResult allocate_commands(pm_plan *plan)
{
    VkResult result = create_pool(plan, 0, &plan->commands);
    for (uint32_t i = 0; result == VK_SUCCESS && i < plan->n_grains; i++)
        result = allocate(plan, plan->commands, 2, plan->grains[i].commands);
    return result;
}

VkResult pm_plan_begin_once(pm_plan *plan)
{
    const struct VolkDeviceTable *vk = &plan->device->vk;
    VkCommandBufferBeginInfo begin = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
        .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT,
    };
    VkResult result = VK_SUCCESS;
    if (plan->once) {
        result = vk->vkResetCommandPool(plan->device->device, plan->at_once, 0);
    } else {
        if (!plan->at_once) result = create_pool(plan, VK_COMMAND_POOL_CREATE_TRANSIENT_BIT, &plan->at_once);
        if (result == VK_SUCCESS) result = allocate(plan, plan->at_once, 1, &plan->once);
    }
    return result == VK_SUCCESS ? vk->vkBeginCommandBuffer(plan->once, &begin) : result;
}

pm_status pm_plan_record(pm_plan *plan, pm_error *error)
{
    pm_status status = find_barriers(plan, error);
    if (status == PM_OK) status = form_grains(plan, error);
    if (status != PM_OK) return status;
    VkResult result = create_timestamps(plan);
    if (result == VK_SUCCESS) result = allocate_commands(plan);
    for (uint32_t i = 0; result == VK_SUCCESS && i < plan->n_grains; i++) {
        const pm_grain *grain = &plan->grains[i];
        result = record_grain(plan, grain, grain->commands[0]);
        if (result == VK_SUCCESS) result = record_grain(plan, grain, grain->commands[1]);
    }
    return result == VK_SUCCESS ? PM_OK : pm_vk_fail(plan->device, result, "recording commands", error);
}

void pm_plan_unrecord(pm_plan *plan)
{
    const struct VolkDeviceTable *vk = &plan->device->vk;
    VkDevice device = plan->device->device;
    if (plan->commands) vk->vkDestroyCommandPool(device, plan->commands, NULL);
    if (plan->timestamps) vk->vkDestroyQueryPool(device, plan->timestamps, NULL);
    free(plan->grains);
    plan->commands = VK_NULL_HANDLE;
    plan->timestamps = VK_NULL_HANDLE;
    plan->grains = NULL;
    plan->n_grains = 0;
}
