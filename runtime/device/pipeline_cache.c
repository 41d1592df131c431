/* The driver's pipeline cache on disk. Drivers check such a blob less than they should (one flipped bit has
 * crashed one), so the file carries a key of device and driver and a checksum of its own, and anything that
 * does not match is ignored. */
#include "device/device.h"

#include "base/posix.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define MAX_CACHE_BYTES (256u << 20)

typedef struct cache_header {
    char magic[8];
    uint32_t vendor_id, device_id, driver_version, checksum;
    uint8_t cache_uuid[VK_UUID_SIZE];
    uint64_t bytes;
} cache_header;

static cache_header expected_header(const pm_device *device)
{
    cache_header header;
    VkPhysicalDeviceProperties properties;
    vkGetPhysicalDeviceProperties(device->physical, &properties);
    memset(&header, 0, sizeof header);
    memcpy(header.magic, "PUMICE01", 8);
    header.vendor_id = properties.vendorID;
    header.device_id = properties.deviceID;
    header.driver_version = properties.driverVersion;
    memcpy(header.cache_uuid, properties.pipelineCacheUUID, VK_UUID_SIZE);
    return header;
}

/* $XDG_CACHE_HOME/pumice or ~/.cache/pumice, made when missing; "" when neither is there. */
static void choose_path(pm_device *device)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char folder[400];
    device->cache_path[0] = '\0';
    if (xdg && *xdg) {
        (void)snprintf(folder, sizeof folder, "%s", xdg);
    } else if (home && *home) {
        (void)snprintf(folder, sizeof folder, "%s/.cache", home);
    } else {
        return;
    }
    if (strlen(folder) > 300) return;
    if (mkdir(folder, 0700) != 0 && errno != EEXIST) return;
    strcat(folder, "/pumice");
    if (mkdir(folder, 0700) != 0 && errno != EEXIST) return;
    (void)snprintf(device->cache_path, sizeof device->cache_path, "%s/pipelines-%08x-%08x-%.36s", folder,
                   device->facts.vendor_id, device->facts.driver_version, device->facts.uuid);
}

/* The blob inside the file when everything about it is as expected; the caller frees it. */
static void *read_blob(const pm_device *device, size_t *bytes)
{
    FILE *file = fopen(device->cache_path, "rb");
    cache_header expected = expected_header(device), header;
    void *blob = NULL;
    *bytes = 0;
    if (!file) return NULL;
    if (fread(&header, sizeof header, 1, file) == 1 && header.bytes > 0 && header.bytes <= MAX_CACHE_BYTES) {
        blob = malloc((size_t)header.bytes);
        if (blob && fread(blob, (size_t)header.bytes, 1, file) == 1) *bytes = (size_t)header.bytes;
        expected.bytes = header.bytes;
        expected.checksum = *bytes ? (uint32_t)crc32(0, blob, (uInt)*bytes) : 0;
        if (memcmp(&expected, &header, sizeof header) != 0) *bytes = 0;
    }
    (void)fclose(file);
    if (*bytes == 0) {
        free(blob);
        return NULL;
    }
    return blob;
}

void pm_pipeline_cache_load(pm_device *device)
{
    size_t bytes = 0;
    choose_path(device);
    void *blob = device->cache_path[0] ? read_blob(device, &bytes) : NULL;
    VkPipelineCacheCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO,
        .initialDataSize = bytes,
        .pInitialData = blob,
    };
    if (device->vk.vkCreatePipelineCache(device->device, &info, NULL, &device->cache) != VK_SUCCESS) {
        device->cache = VK_NULL_HANDLE;
    }
    free(blob);
}

static void write_blob(const pm_device *device, const void *blob, size_t bytes)
{
    char temporary[600];
    cache_header header = expected_header(device);
    header.bytes = bytes;
    header.checksum = (uint32_t)crc32(0, blob, (uInt)bytes);
    (void)snprintf(temporary, sizeof temporary, "%s.%ld", device->cache_path, (long)getpid());
    FILE *file = fopen(temporary, "wb");
    if (!file) return;
    bool written = fwrite(&header, sizeof header, 1, file) == 1 && fwrite(blob, bytes, 1, file) == 1;
    if (fclose(file) != 0) written = false;
    if (!written || rename(temporary, device->cache_path) != 0) (void)remove(temporary);
}

void pm_pipeline_cache_save(pm_device *device)
{
    size_t bytes = 0;
    if (!device->cache || !device->cache_path[0] || device->lost) return;
    if (device->vk.vkGetPipelineCacheData(device->device, device->cache, &bytes, NULL) != VK_SUCCESS) return;
    if (bytes == 0 || bytes > MAX_CACHE_BYTES) return;
    void *blob = malloc(bytes);
    if (!blob) return;
    if (device->vk.vkGetPipelineCacheData(device->device, device->cache, &bytes, blob) == VK_SUCCESS &&
        bytes > 0) {
        write_blob(device, blob, bytes);
    }
    free(blob);
}
