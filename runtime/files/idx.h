/* IDX files, the format of MNIST and its relatives: a magic number, the sizes, the numbers. Plain or
 * gzipped. */
#ifndef PM_FILES_IDX_H
#define PM_FILES_IDX_H

#include "base/status.h"

#define PM_IDX_MAX_RANK 8

/* The third byte of the file. */
typedef enum pm_idx_type {
    PM_IDX_U8 = 0x08,
    PM_IDX_I8 = 0x09,
    PM_IDX_I16 = 0x0b,
    PM_IDX_I32 = 0x0c,
    PM_IDX_F32 = 0x0d,
    PM_IDX_F64 = 0x0e
} pm_idx_type;

typedef struct pm_idx {
    pm_idx_type type;
    uint32_t rank; /* 1 to PM_IDX_MAX_RANK */
    uint32_t shape[PM_IDX_MAX_RANK];
    void *data; /* row-major, in this machine's byte order; from malloc */
    size_t bytes;
} pm_idx;

/* Reads a file, gzipped if it begins like one. The data must be exactly as long as the header says: a gzipped
 * file is never unpacked further than that. The caller frees *out with pm_idx_free. Fails with PM_IO,
 * PM_BAD_FILE, PM_NO_MEMORY. */
pm_status pm_idx_read(const char *path, pm_idx *out, pm_error *error);

/* The same for a file that is in memory; `where` begins messages. */
pm_status pm_idx_from_bytes(const uint8_t *bytes, size_t size, const char *where, pm_idx *out,
                            pm_error *error);

/* Frees the data; `idx` may be all zero. */
void pm_idx_free(pm_idx *idx);

#endif
