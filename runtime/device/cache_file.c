/* See cache_file.h. */
#include "device/cache_file.h"

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

static cache_header expected_header(const pm_device *device, const char *magic)
{
    cache_header header;
    VkPhysicalDeviceProperties properties;
    vkGetPhysicalDeviceProperties(device->physical, &properties);
    memset(&header, 0, sizeof header);
    memcpy(header.magic, magic, sizeof header.magic);
    header.vendor_id = properties.vendorID;
    header.device_id = properties.deviceID;
    header.driver_version = properties.driverVersion;
    memcpy(header.cache_uuid, properties.pipelineCacheUUID, VK_UUID_SIZE);
    return header;
}

bool pm_cache_folder(char path[PM_CACHE_PATH])
{
    enum { LONGEST = 300 };
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = pm_home_folder();
    bool has_xdg = xdg && *xdg;
    const char *base = has_xdg ? xdg : home;
    if (!base || strlen(base) > LONGEST) return false;
    (void)snprintf(path, PM_CACHE_PATH, "%s%s", base, has_xdg ? "" : "/.cache");
    if (mkdir(path, 0700) != 0 && errno != EEXIST) return false;
    strcat(path, "/pumice");
    return mkdir(path, 0700) == 0 || errno == EEXIST;
}

void pm_cache_file_path(const pm_device *device, const char *kind, char path[PM_CACHE_PATH])
{
    char folder[PM_CACHE_PATH];
    path[0] = '\0';
    if (!pm_cache_folder(folder)) return;
    (void)snprintf(path, PM_CACHE_PATH, "%.350s/%.16s-%08x-%08x-%.36s", folder, kind, device->facts.vendor_id,
                   device->facts.driver_version, device->facts.uuid);
}

void *pm_cache_file_read(const pm_device *device, const char *path, const char *magic, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    cache_header expected = expected_header(device, magic), header;
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

void pm_cache_file_write(const pm_device *device, const char *path, const char *magic, const void *blob,
                         size_t bytes)
{
    char temporary[PM_CACHE_PATH + 32];
    cache_header header = expected_header(device, magic);
    if (bytes == 0 || bytes > MAX_CACHE_BYTES || !path[0]) return;
    header.bytes = bytes;
    header.checksum = (uint32_t)crc32(0, blob, (uInt)bytes);
    (void)snprintf(temporary, sizeof temporary, "%s.%ld", path, (long)getpid());
    FILE *file = fopen(temporary, "wb");
    if (!file) return;
    bool written = fwrite(&header, sizeof header, 1, file) == 1 && fwrite(blob, bytes, 1, file) == 1;
    if (fclose(file) != 0) written = false;
    if (!written || rename(temporary, path) != 0) (void)remove(temporary);
}
