/* Files of a device in the user's cache folder. Each carries a key of device, driver and kind and a checksum
 * of its own; what does not match is as good as not there. Nobody is told of failures: a cache is never
 * needed. */
#ifndef PM_DEVICE_CACHE_FILE_H
#define PM_DEVICE_CACHE_FILE_H

#include "device/device.h"

enum { PM_CACHE_PATH = 512 };

/* $XDG_CACHE_HOME/pumice or ~/.cache/pumice, which is made when missing; false when neither can be. */
bool pm_cache_folder(char path[PM_CACHE_PATH]);

/* KIND-... in there; "" when there is no such folder. `kind` has up to 16 letters. */
void pm_cache_file_path(const pm_device *device, const char *kind, char path[PM_CACHE_PATH]);

/* What pm_cache_file_write wrote under the same `magic`, of 8 letters: kind and version of the contents. NULL
 * when anything about the file is not as expected. The caller frees it. */
void *pm_cache_file_read(const pm_device *device, const char *path, const char *magic, size_t *bytes);

/* Writes beside the target, and renames. */
void pm_cache_file_write(const pm_device *device, const char *path, const char *magic, const void *blob,
                         size_t bytes);

#endif
