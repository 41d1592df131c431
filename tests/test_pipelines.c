/* Pipelines are made once per key, by several threads or by one, and a failure names its shader; the driver's
 * cache on disk is used when every byte of it is as it was written, and else ignored. */
/* ctest labels: device */
#include "device_helpers.h"

#include "base/threads.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- Threads ------------------------------------------------------------------------------------------- */

enum { CALLS = 5000 };

static atomic_uint calls[CALLS];

static void count_call(void *user, uint32_t index)
{
    assert_ptr_equal(user, calls);
    (void)atomic_fetch_add(&calls[index], 1);
}

static void every_index_is_called_once(void **state)
{
    const uint32_t most[] = {0, 1, 2, 7, UINT32_MAX};
    (void)state;
    for (uint32_t m = 0; m < sizeof most / sizeof most[0]; m++) {
        for (uint32_t i = 0; i < CALLS; i++) atomic_init(&calls[i], 0);
        pm_for_each(CALLS - 1, most[m], count_call, calls);
        pm_for_each(0, most[m], count_call, calls);
        for (uint32_t i = 0; i < CALLS; i++) assert_int_equal(calls[i], i < CALLS - 1);
    }
}

/* ---- Pipelines ----------------------------------------------------------------------------------------- */

enum { KEYS = 40 };

/* Element-wise kernels, of which some are equal. */
static void fill_keys(pm_pipeline_key keys[KEYS])
{
    for (uint32_t i = 0; i < KEYS; i++) {
        keys[i] = (pm_pipeline_key){
            .shader = "binary", .n_bind = 3, .n_push = 2, .n_spec = 2, .spec = {8 + 8 * (i % 10), i % 2}};
    }
}

static void equal_keys_are_one_pipeline(void **state)
{
    pm_pipeline_key keys[KEYS];
    fill_keys(keys);
    (void)state;
    for (uint32_t alone = 0; alone < 2; alone++) {
        pm_error error = {0};
        pm_device *own;
        pm_device_options options = {.off = (uint64_t)alone << PM_PARALLEL_PIPELINES};
        expect_ok(pm_device_open(&options, &own, &error), &error);
        expect_ok(pm_pipelines_make(own, keys, KEYS / 2, &error), &error);
        expect_ok(pm_pipelines_make(own, keys, KEYS, &error), &error);
        assert_int_equal(own->n_pipelines, 10);
        for (uint32_t i = 0; i < KEYS; i++) {
            pm_pipeline a, b;
            expect_ok(pm_pipeline_get(own, &keys[i], &a, &error), &error);
            expect_ok(pm_pipeline_get(own, &keys[(i + 10) % KEYS], &b, &error), &error);
            assert_true(a.pipeline == b.pipeline);
        }
        assert_int_equal(own->n_pipelines, 10);
        pm_device_close(own);
    }
}

static PFN_vkCreateComputePipelines create_pipelines;

static VKAPI_ATTR VkResult VKAPI_CALL refuse_eight(VkDevice on, VkPipelineCache cache, uint32_t count,
                                                   const VkComputePipelineCreateInfo *infos,
                                                   const VkAllocationCallbacks *callbacks, VkPipeline *out)
{
    const uint32_t *lanes = infos[0].stage.pSpecializationInfo->pData;
    *out = VK_NULL_HANDLE;
    if (lanes[0] == 8) return VK_ERROR_OUT_OF_DEVICE_MEMORY;
    return create_pipelines(on, cache, count, infos, callbacks, out);
}

static void a_failure_names_the_shader_and_spares_the_others(void **state)
{
    pm_error error = {0};
    pm_device *own;
    pm_pipeline_key keys[KEYS];
    fill_keys(keys);
    (void)state;
    expect_ok(pm_device_open(NULL, &own, &error), &error);
    create_pipelines = own->vk.vkCreateComputePipelines;
    own->vk.vkCreateComputePipelines = refuse_eight;
    expect_failure(pm_pipelines_make(own, keys, KEYS, &error), PM_NO_MEMORY, &error, "binary: ");
    assert_int_equal(own->n_pipelines, 9);
    own->vk.vkCreateComputePipelines = create_pipelines;
    expect_ok(pm_pipelines_make(own, keys, KEYS, &error), &error);
    assert_int_equal(own->n_pipelines, 10);
    keys[3].shader = "no_such_kernel";
    expect_failure(pm_pipelines_make(own, keys, KEYS, &error), PM_FAILED, &error, "no_such_kernel");
    pm_device_close(own);
}

/* ---- The cache on disk --------------------------------------------------------------------------------- */

enum { BLOB = 300 };

static PFN_vkCreatePipelineCache create_cache;
static size_t handed; /* bytes that the driver was given */

static VKAPI_ATTR VkResult VKAPI_CALL note_cache(VkDevice on, const VkPipelineCacheCreateInfo *info,
                                                 const VkAllocationCallbacks *callbacks, VkPipelineCache *out)
{
    VkPipelineCacheCreateInfo empty = {.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO};
    handed = info->initialDataSize;
    for (uint32_t i = 0; i < handed; i++)
        assert_int_equal(((const uint8_t *)info->pInitialData)[i], i * 7 % 256);
    return create_cache(on, &empty, callbacks, out);
}

static VKAPI_ATTR VkResult VKAPI_CALL give_blob(VkDevice on, VkPipelineCache cache, size_t *bytes, void *data)
{
    (void)on, (void)cache;
    *bytes = BLOB;
    for (uint32_t i = 0; data && i < BLOB; i++) ((uint8_t *)data)[i] = (uint8_t)(i * 7 % 256);
    return VK_SUCCESS;
}

static size_t load(pm_device *own)
{
    own->vk.vkDestroyPipelineCache(own->device, own->cache, NULL);
    own->cache = VK_NULL_HANDLE;
    pm_pipeline_cache_load(own);
    return handed;
}

static void write_bytes(const char *path, const uint8_t *bytes, size_t count)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

static void a_doctored_cache_is_ignored(void **state)
{
    pm_error error = {0};
    pm_device *own;
    uint8_t bytes[BLOB + 500];
    char folder[] = "/tmp/pumice-cache-XXXXXX";
    (void)state;
    assert_non_null(mkdtemp(folder));
    expect_ok(pm_device_open(&(pm_device_options){0}, &own, &error), &error);
    assert_int_equal(setenv("XDG_CACHE_HOME", folder, 1),
                     0); /* not before: drivers have folders there, too */
    create_cache = own->vk.vkCreatePipelineCache;
    own->vk.vkCreatePipelineCache = note_cache;
    own->vk.vkGetPipelineCacheData = give_blob;
    assert_int_equal(load(own), 0);
    pm_pipeline_cache_save(own);
    FILE *file = fopen(own->cache_path, "rb");
    assert_non_null(file);
    size_t count = fread(bytes, 1, sizeof bytes, file);
    assert_int_equal(fclose(file), 0);
    assert_in_range(count, BLOB + 1, sizeof bytes - 1);
    assert_int_equal(load(own), BLOB);
    for (size_t i = 0; i < count; i++) {
        bytes[i] ^= (uint8_t)(1u << i % 8);
        write_bytes(own->cache_path, bytes, count);
        assert_int_equal(load(own), 0);
        bytes[i] ^= (uint8_t)(1u << i % 8);
    }
    for (size_t i = 0; i < count; i += 11) {
        write_bytes(own->cache_path, bytes, i);
        assert_int_equal(load(own), 0);
    }
    write_bytes(own->cache_path, bytes, count);
    assert_int_equal(load(own), BLOB);
    char path[sizeof own->cache_path], below[64];
    (void)snprintf(path, sizeof path, "%s", own->cache_path);
    pm_device_close(own);
    assert_int_equal(unlink(path), 0);
    (void)snprintf(below, sizeof below, "%s/pumice", folder);
    assert_int_equal(rmdir(below), 0); /* nothing else was left there */
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_index_is_called_once),
        cmocka_unit_test(equal_keys_are_one_pipeline),
        cmocka_unit_test(a_failure_names_the_shader_and_spares_the_others),
        cmocka_unit_test(a_doctored_cache_is_ignored),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
