/* IDX files; see idx.h. */
#include "files/idx.h"

#include "base/checked.h"
#include "files/file_error.h"
#include "files/file_io.h"

#include <stdlib.h>
#include <string.h>

#include <zlib.h>

/* Largest file, and largest content of a gzipped one: zlib counts in 32 bits. */
static const size_t LARGEST = (size_t)1 << 31;

/* Where the content comes from: memory, or memory through zlib. */
typedef struct source {
    z_stream zip;
    bool zipped, ended;
    const uint8_t *bytes; /* what is left, when it is not zipped */
    size_t left;
} source;

static pm_status source_open(source *in, const uint8_t *bytes, size_t size, const char *where,
                             pm_error *error)
{
    memset(in, 0, sizeof *in);
    if (size > LARGEST) return pm_fail_at(error, PM_BAD_FILE, where, "it is larger than 2 GiB");
    in->bytes = bytes;
    in->left = size;
    in->zipped = size >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
    if (!in->zipped) return PM_OK;
    in->zip.next_in = (z_const Bytef *)bytes;
    in->zip.avail_in = (uInt)size;
    /* 15: the largest window; + 16: a gzip header and check sum are required. */
    if (inflateInit2(&in->zip, 15 + 16) != Z_OK) return pm_fail_memory(error, where);
    return PM_OK;
}

static void source_close(source *in)
{
    if (in->zipped) (void)inflateEnd(&in->zip);
}

/* Unpacks up to `size` bytes and says how many there were. */
static pm_status inflate_some(source *in, uint8_t *data, size_t size, size_t *got, const char *where,
                              pm_error *error)
{
    in->zip.next_out = data;
    in->zip.avail_out = (uInt)size;
    while (in->zip.avail_out > 0 && !in->ended) {
        int result = inflate(&in->zip, Z_NO_FLUSH);
        if (result == Z_MEM_ERROR) return pm_fail_memory(error, where);
        if (result == Z_BUF_ERROR) break; /* the input is used up */
        if (result != Z_OK && result != Z_STREAM_END) {
            return pm_fail_at(error, PM_BAD_FILE, where, "its gzip data is corrupt: %s",
                              in->zip.msg ? in->zip.msg : "unknown reason");
        }
        in->ended = result == Z_STREAM_END;
    }
    *got = size - in->zip.avail_out;
    return PM_OK;
}

/* Fetches exactly `size` bytes. */
static pm_status source_read(source *in, void *data, size_t size, const char *where, pm_error *error)
{
    size_t got = in->left < size ? in->left : size;
    if (in->zipped) {
        pm_status status = inflate_some(in, data, size, &got, where, error);
        if (status != PM_OK) return status;
    } else {
        memcpy(data, in->bytes, got);
        in->bytes += got;
        in->left -= got;
    }
    if (got == size) return PM_OK;
    return pm_fail_at(error, PM_BAD_FILE, where, "it ends too early; was it downloaded completely?");
}

/* Nothing may be left; of a gzipped file this is where the check sum is looked at. */
static pm_status source_expect_end(source *in, const char *where, pm_error *error)
{
    size_t excess = in->left;
    if (in->zipped) {
        uint8_t byte;
        pm_status status = inflate_some(in, &byte, 1, &excess, where, error);
        if (status != PM_OK) return status;
        if (excess == 0 && !in->ended) {
            return pm_fail_at(error, PM_BAD_FILE, where,
                              "its gzip data ends too early; was it downloaded completely?");
        }
        excess += in->zip.avail_in;
    }
    if (excess == 0) return PM_OK;
    return pm_fail_at(error, PM_BAD_FILE, where, "it is longer than its header says");
}

static size_t element_size(uint8_t type)
{
    switch (type) {
    case PM_IDX_U8:
    case PM_IDX_I8:
        return 1;
    case PM_IDX_I16:
        return 2;
    case PM_IDX_I32:
    case PM_IDX_F32:
        return 4;
    case PM_IDX_F64:
        return 8;
    default:
        return 0;
    }
}

static pm_status read_header(source *in, const char *where, pm_idx *out, pm_error *error)
{
    uint8_t magic[4], sizes[4 * PM_IDX_MAX_RANK];
    pm_status status = source_read(in, magic, sizeof magic, where, error);
    if (status != PM_OK) return status;
    if (magic[0] != 0 || magic[1] != 0 || element_size(magic[2]) == 0) {
        return pm_fail_at(error, PM_BAD_FILE, where,
                          "it is not an IDX file (begins with %02x %02x %02x %02x)", magic[0], magic[1],
                          magic[2], magic[3]);
    }
    if (magic[3] == 0 || magic[3] > PM_IDX_MAX_RANK) {
        return pm_fail_at(error, PM_BAD_FILE, where, "it has %u dimensions; 1 to %d are supported", magic[3],
                          PM_IDX_MAX_RANK);
    }
    out->type = (pm_idx_type)magic[2];
    out->rank = magic[3];
    status = source_read(in, sizes, 4 * (size_t)out->rank, where, error);
    if (status != PM_OK) return status;

    out->bytes = element_size(magic[2]);
    for (uint32_t i = 0; i < out->rank; i++) {
        const uint8_t *s = &sizes[4 * i];
        out->shape[i] = (uint32_t)s[0] << 24 | (uint32_t)s[1] << 16 | (uint32_t)s[2] << 8 | s[3];
        if (!pm_mul_size(out->bytes, out->shape[i], &out->bytes) || out->bytes > LARGEST) {
            return pm_fail_at(error, PM_BAD_FILE, where, "its header promises more than 2 GiB of data");
        }
    }
    return PM_OK;
}

/* Before anything is allocated: can the rest of the file hold this much? Deflate packs 1032 to 1 at its very
 * best. */
static bool can_hold(const source *in, size_t bytes)
{
    return in->zipped ? bytes / 1032 <= in->zip.avail_in + (size_t)64 : bytes <= in->left;
}

/* IDX is big-endian. */
static void swap_bytes(uint8_t *data, size_t bytes, size_t element)
{
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    (void)data, (void)bytes, (void)element;
#else
    for (size_t at = 0; element > 1 && at < bytes; at += element) {
        for (size_t i = 0; i < element / 2; i++) {
            uint8_t kept = data[at + i];
            data[at + i] = data[at + element - 1 - i];
            data[at + element - 1 - i] = kept;
        }
    }
#endif
}

static pm_status read_all(source *in, const char *where, pm_idx *out, pm_error *error)
{
    pm_status status = read_header(in, where, out, error);
    if (status != PM_OK) return status;
    if (!can_hold(in, out->bytes)) {
        return pm_fail_at(error, PM_BAD_FILE, where,
                          "it is shorter than its header says; was it downloaded completely?");
    }
    out->data = malloc(out->bytes + 1); /* + 1: malloc(0) may be NULL */
    if (!out->data) return pm_fail_memory(error, where);
    status = source_read(in, out->data, out->bytes, where, error);
    if (status == PM_OK) status = source_expect_end(in, where, error);
    if (status == PM_OK) swap_bytes(out->data, out->bytes, element_size((uint8_t)out->type));
    return status;
}

pm_status pm_idx_from_bytes(const uint8_t *bytes, size_t size, const char *where, pm_idx *out,
                            pm_error *error)
{
    source in;
    memset(out, 0, sizeof *out);
    pm_status status = source_open(&in, bytes, size, where, error);
    if (status == PM_OK) {
        status = read_all(&in, where, out, error);
        source_close(&in);
    }
    if (status != PM_OK) pm_idx_free(out);
    return status;
}

pm_status pm_idx_read(const char *path, pm_idx *out, pm_error *error)
{
    uint8_t *bytes;
    size_t size;
    memset(out, 0, sizeof *out);
    pm_status status = pm_read_file(path, LARGEST, &bytes, &size, error);
    if (status != PM_OK) return status;
    status = pm_idx_from_bytes(bytes, size, path, out, error);
    free(bytes);
    return status;
}

void pm_idx_free(pm_idx *idx)
{
    free(idx->data);
    memset(idx, 0, sizeof *idx);
}
