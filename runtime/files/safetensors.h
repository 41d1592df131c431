/* safetensors files: named tensors and a few strings. (https://github.com/huggingface/safetensors, "Format")
 *
 * Eight bytes that say how long the header is, a JSON header, then the data of all tensors, little-endian,
 * row-major and without a hole. The reader trusts nothing: it makes every check of the reference
 * implementation and a few more, so that a file either is exactly what its header says or is refused with
 * PM_BAD_FILE. */
#ifndef PM_FILES_SAFETENSORS_H
#define PM_FILES_SAFETENSORS_H

#include "base/status.h"
#include "files/text_pair.h"

#define PM_SAFETENSORS_MAX_RANK 8
#define PM_SAFETENSORS_MAX_TENSORS 65536
#define PM_SAFETENSORS_MAX_HEADER 100000000 /* bytes, as in the reference */

/* Every element type of the format. Pumice computes with few of them; the others are known so that files can
 * be listed. */
typedef enum pm_element {
    PM_ELEMENT_BOOL,
    PM_ELEMENT_U8,
    PM_ELEMENT_I8,
    PM_ELEMENT_U16,
    PM_ELEMENT_I16,
    PM_ELEMENT_U32,
    PM_ELEMENT_I32,
    PM_ELEMENT_U64,
    PM_ELEMENT_I64,
    PM_ELEMENT_F16,
    PM_ELEMENT_BF16,
    PM_ELEMENT_F32,
    PM_ELEMENT_F64,
    PM_ELEMENT_C64,
    PM_ELEMENT_F8_E4M3,
    PM_ELEMENT_F8_E5M2,
    PM_ELEMENT_F8_E8M0,
    PM_ELEMENT_F6_E2M3,
    PM_ELEMENT_F6_E3M2,
    PM_ELEMENT_F4,
    PM_ELEMENT_COUNT
} pm_element;

/* As the format writes it, such as "BF16"; and how many bits an element has. */
const char *pm_element_name(pm_element element);
uint32_t pm_element_bits(pm_element element);

/* One tensor, of a file that was read or of one to write. */
typedef struct pm_safetensor {
    const char *name;
    pm_element element;
    uint32_t rank; /* 0: a single number */
    uint64_t shape[PM_SAFETENSORS_MAX_RANK];
    const void *data; /* in files of others it may be unaligned: copy out with memcpy */
    size_t bytes;     /* of data: the product of the shape times the element's size */
} pm_safetensor;

typedef struct pm_safetensors pm_safetensors;

/* Reads a file. *out owns everything that the functions below return, and is closed with
 * pm_safetensors_close. Fails with PM_IO, PM_BAD_FILE, PM_NO_MEMORY. */
pm_status pm_safetensors_open(const char *path, pm_safetensors **out, pm_error *error);

/* The same for a file that is in memory: `bytes` came from malloc and now belongs to *out, or is freed on
 * failure. `where` begins messages. */
pm_status pm_safetensors_from_bytes(uint8_t *bytes, size_t size, const char *where, pm_safetensors **out,
                                    pm_error *error);
void pm_safetensors_close(pm_safetensors *file);

/* The tensors, in the order of their data. `index` must be below the count. */
size_t pm_safetensors_count(const pm_safetensors *file);
const pm_safetensor *pm_safetensors_at(const pm_safetensors *file, size_t index);

/* The tensor of this name, or NULL. */
const pm_safetensor *pm_safetensors_find(const pm_safetensors *file, const char *name);

/* The strings of `__metadata__`, in the file's order; *count may become 0. pm_text_find() looks one up. */
const pm_text_pair *pm_safetensors_metadata(const pm_safetensors *file, size_t *count);

/* Writes a file, atomically (see file_io.h). As in the reference's files, large element types come first and
 * then names in order, which keeps every tensor aligned to its element; the data begins at a multiple of 64
 * bytes. Fails with PM_BAD_USAGE when the reader would not accept the result (a name twice or not UTF-8,
 * `bytes` unlike the shape, a limit exceeded), with PM_IO and PM_NO_MEMORY. */
pm_status pm_safetensors_write(const char *path, const pm_safetensor *tensors, size_t tensor_count,
                               const pm_text_pair *metadata, size_t metadata_count, pm_error *error);

/* The bytes of a tensor of this shape: false when they overflow or are no whole number. (For the reader, the
 * writer and tests.) */
bool pm_safetensor_bytes(pm_element element, uint32_t rank, const uint64_t *shape, size_t *bytes);

#endif
