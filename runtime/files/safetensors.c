/* Reading safetensors files; see safetensors.h. Writing is in safetensors_write.c. */
#include "files/safetensors.h"

#include "base/checked.h"
#include "files/file_error.h"
#include "files/file_io.h"
#include "files/json_util.h"

#include <stdlib.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "Tensors are handed out as they lie in the file, which is little-endian"
#endif

static const struct {
    const char *name;
    uint32_t bits;
} elements[PM_ELEMENT_COUNT] = {
    [PM_ELEMENT_BOOL] = {"BOOL", 8},       [PM_ELEMENT_U8] = {"U8", 8},
    [PM_ELEMENT_I8] = {"I8", 8},           [PM_ELEMENT_U16] = {"U16", 16},
    [PM_ELEMENT_I16] = {"I16", 16},        [PM_ELEMENT_U32] = {"U32", 32},
    [PM_ELEMENT_I32] = {"I32", 32},        [PM_ELEMENT_U64] = {"U64", 64},
    [PM_ELEMENT_I64] = {"I64", 64},        [PM_ELEMENT_F16] = {"F16", 16},
    [PM_ELEMENT_BF16] = {"BF16", 16},      [PM_ELEMENT_F32] = {"F32", 32},
    [PM_ELEMENT_F64] = {"F64", 64},        [PM_ELEMENT_C64] = {"C64", 64},
    [PM_ELEMENT_F8_E4M3] = {"F8_E4M3", 8}, [PM_ELEMENT_F8_E5M2] = {"F8_E5M2", 8},
    [PM_ELEMENT_F8_E8M0] = {"F8_E8M0", 8}, [PM_ELEMENT_F6_E2M3] = {"F6_E2M3", 6},
    [PM_ELEMENT_F6_E3M2] = {"F6_E3M2", 6}, [PM_ELEMENT_F4] = {"F4", 4},
};

const char *pm_element_name(pm_element element)
{
    return elements[element].name;
}

uint32_t pm_element_bits(pm_element element)
{
    return elements[element].bits;
}

bool pm_safetensor_bytes(pm_element element, uint32_t rank, const uint64_t *shape, size_t *bytes)
{
    size_t bits = elements[element].bits;
    for (uint32_t i = 0; i < rank; i++) {
        if (shape[i] > SIZE_MAX || !pm_mul_size(bits, (size_t)shape[i], &bits)) return false;
    }
    *bytes = bits / 8;
    return bits % 8 == 0;
}

struct pm_safetensors {
    uint8_t *bytes;                /* the file; tensors point into it */
    json_t *header;                /* names and metadata point into it */
    pm_safetensor *tensors;        /* [count], in the order of their data */
    const pm_safetensor **by_name; /* [count], sorted */
    pm_text_pair *metadata;        /* [metadata_count] */
    size_t count, metadata_count;
};

/* What the parts of the parser share. */
typedef struct reader {
    pm_safetensors *file;
    const char *where;
    const uint8_t *data; /* after the header */
    size_t data_bytes;
    pm_error *error;
} reader;

#define BAD_FILE(reader, ...) pm_fail_at((reader)->error, PM_BAD_FILE, (reader)->where, __VA_ARGS__)

/* ---- One entry of the header --------------------------------------------------------------------------- */

static pm_status read_element(const reader *in, const json_t *entry, pm_safetensor *tensor)
{
    const char *name = json_string_value(json_object_get(entry, "dtype"));
    if (!name) return BAD_FILE(in, "tensor '%s' has no dtype that is a string", tensor->name);
    for (int i = 0; i < PM_ELEMENT_COUNT; i++) {
        if (strcmp(name, elements[i].name) == 0) {
            tensor->element = (pm_element)i;
            return PM_OK;
        }
    }
    return BAD_FILE(in, "tensor '%s' has the unknown dtype '%s'", tensor->name, name);
}

static pm_status read_shape(const reader *in, const json_t *entry, pm_safetensor *tensor)
{
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape)) return BAD_FILE(in, "tensor '%s' has no shape that is a list", tensor->name);
    size_t rank = json_array_size(shape);
    if (rank > PM_SAFETENSORS_MAX_RANK) {
        return BAD_FILE(in, "tensor '%s' has %zu dimensions; %d are supported", tensor->name, rank,
                        PM_SAFETENSORS_MAX_RANK);
    }
    tensor->rank = (uint32_t)rank;
    for (size_t i = 0; i < rank; i++) {
        if (!pm_json_natural(json_array_get(shape, i), INT64_MAX, &tensor->shape[i])) {
            return BAD_FILE(in, "tensor '%s' has a dimension that is not a whole number >= 0", tensor->name);
        }
    }
    return PM_OK;
}

static pm_status read_extent(const reader *in, const json_t *entry, pm_safetensor *tensor)
{
    const json_t *offsets = json_object_get(entry, "data_offsets");
    uint64_t begin, end;
    if (json_array_size(offsets) != 2 || !pm_json_natural(json_array_get(offsets, 0), INT64_MAX, &begin) ||
        !pm_json_natural(json_array_get(offsets, 1), INT64_MAX, &end)) {
        return BAD_FILE(in, "tensor '%s' has no data_offsets of two whole numbers", tensor->name);
    }
    if (begin > end || end > in->data_bytes) {
        return BAD_FILE(in, "the data of tensor '%s' lies outside the file; was it downloaded completely?",
                        tensor->name);
    }
    size_t bytes;
    if (!pm_safetensor_bytes(tensor->element, tensor->rank, tensor->shape, &bytes)) {
        return BAD_FILE(in, "the size of tensor '%s' overflows or is no whole number of bytes", tensor->name);
    }
    if (bytes != end - begin) {
        return BAD_FILE(in, "tensor '%s' has %ju bytes of data, and %zu by its shape", tensor->name,
                        (uintmax_t)(end - begin), bytes);
    }
    tensor->data = in->data + begin;
    tensor->bytes = bytes;
    return PM_OK;
}

static pm_status read_entry(const reader *in, const char *name, const json_t *entry, pm_safetensor *tensor)
{
    tensor->name = name;
    if (!json_is_object(entry)) return BAD_FILE(in, "the entry of tensor '%s' is not an object", name);
    pm_status status = read_element(in, entry, tensor);
    if (status == PM_OK) status = read_shape(in, entry, tensor);
    if (status == PM_OK) status = read_extent(in, entry, tensor);
    if (status == PM_OK && json_object_size(entry) != 3) {
        return BAD_FILE(in, "tensor '%s' has keys beside dtype, shape and data_offsets", name);
    }
    return status;
}

static pm_status read_metadata(const reader *in, json_t *object)
{
    pm_safetensors *file = in->file;
    if (!json_is_object(object)) return BAD_FILE(in, "its __metadata__ is not an object");
    file->metadata = calloc(json_object_size(object) + 1, sizeof *file->metadata);
    if (!file->metadata) return pm_fail_memory(in->error, in->where);
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        if (!json_is_string(value))
            return BAD_FILE(in, "the value of '%s' in its __metadata__ is not a string", key);
        file->metadata[file->metadata_count++] = (pm_text_pair){key, json_string_value(value)};
    }
    return PM_OK;
}

/* ---- All entries together ------------------------------------------------------------------------------ */

static int compare_data(const void *a, const void *b)
{
    const pm_safetensor *x = a, *y = b;
    const uint8_t *from_x = x->data, *from_y = y->data;
    if (from_x != from_y) return from_x < from_y ? -1 : 1;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1; /* the empty ones first */
    return strcmp(x->name, y->name);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(const pm_safetensor *const *)a)->name, (*(const pm_safetensor *const *)b)->name);
}

/* No hole in which something could hide, no byte that two tensors share, nothing after the end. */
static pm_status check_layout(const reader *in)
{
    const uint8_t *expected = in->data;
    for (size_t i = 0; i < in->file->count; i++) {
        const pm_safetensor *tensor = &in->file->tensors[i];
        if ((const uint8_t *)tensor->data != expected) {
            return BAD_FILE(in, "the data of tensor '%s' does not begin where that of the one before it ends",
                            tensor->name);
        }
        expected += tensor->bytes;
    }
    size_t rest = in->data_bytes - (size_t)(expected - in->data);
    if (rest != 0) return BAD_FILE(in, "%zu bytes at its end belong to no tensor", rest);
    return PM_OK;
}

static pm_status read_entries(const reader *in)
{
    pm_safetensors *file = in->file;
    size_t entries = json_object_size(file->header);
    if (entries > PM_SAFETENSORS_MAX_TENSORS) {
        return BAD_FILE(in, "it has %zu tensors; %d are supported", entries, PM_SAFETENSORS_MAX_TENSORS);
    }
    file->tensors = calloc(entries + 1, sizeof *file->tensors);
    file->by_name = calloc(entries + 1, sizeof *file->by_name);
    if (!file->tensors || !file->by_name) return pm_fail_memory(in->error, in->where);

    const char *name;
    json_t *entry;
    json_object_foreach(file->header, name, entry)
    {
        bool is_metadata = strcmp(name, "__metadata__") == 0;
        pm_status status = is_metadata ? read_metadata(in, entry)
                                       : read_entry(in, name, entry, &file->tensors[file->count++]);
        if (status != PM_OK) return status;
    }
    qsort(file->tensors, file->count, sizeof *file->tensors, compare_data);
    for (size_t i = 0; i < file->count; i++) file->by_name[i] = &file->tensors[i];
    qsort(file->by_name, file->count, sizeof *file->by_name, compare_names);
    return check_layout(in);
}

/* Finds the header and the data in the bytes of the file, and parses the header. */
static pm_status read_header(reader *in, const uint8_t *bytes, size_t size)
{
    if (size < 8) return BAD_FILE(in, "it has %zu bytes, too few for a safetensors file", size);
    uint64_t header_bytes = 0;
    for (int i = 7; i >= 0; i--) header_bytes = header_bytes << 8 | bytes[i];
    if (header_bytes > PM_SAFETENSORS_MAX_HEADER) {
        return BAD_FILE(in, "its header would have %ju bytes; it is not a safetensors file",
                        (uintmax_t)header_bytes);
    }
    if (header_bytes > size - 8) {
        return BAD_FILE(in, "its header ends outside the file; was it downloaded completely?");
    }
    if (header_bytes < 2 || bytes[8] != '{') return BAD_FILE(in, "its header does not begin with '{'");
    in->data = bytes + 8 + header_bytes;
    in->data_bytes = size - 8 - (size_t)header_bytes;

    /* header > entry > list; and for each tensor at most 8 + 2 numbers, 3 keys and as many brackets */
    const pm_json_limits limits = {.depth = 3, .values = 20 * PM_SAFETENSORS_MAX_TENSORS, .naturals = true};
    pm_status status =
        pm_json_parse(bytes + 8, (size_t)header_bytes, &limits, in->where, &in->file->header, in->error);
    if (status == PM_OK && !json_is_object(in->file->header))
        return BAD_FILE(in, "its header is not an object");
    return status;
}

pm_status pm_safetensors_from_bytes(uint8_t *bytes, size_t size, const char *where, pm_safetensors **out,
                                    pm_error *error)
{
    *out = NULL;
    pm_safetensors *file = calloc(1, sizeof *file);
    if (!file) {
        free(bytes);
        return pm_fail_memory(error, where);
    }
    file->bytes = bytes;
    reader in = {.file = file, .where = where, .error = error};
    pm_status status = read_header(&in, bytes, size);
    if (status == PM_OK) status = read_entries(&in);
    if (status != PM_OK) {
        pm_safetensors_close(file);
        return status;
    }
    *out = file;
    return PM_OK;
}

pm_status pm_safetensors_open(const char *path, pm_safetensors **out, pm_error *error)
{
    /* Read, not mapped: a mapped file that someone truncates kills the process that looks at it, and one that
     * someone overwrites changes after it was checked. */
    *out = NULL;
    uint8_t *bytes;
    size_t size;
    pm_status status = pm_read_file(path, SIZE_MAX / 2, &bytes, &size, error);
    return status == PM_OK ? pm_safetensors_from_bytes(bytes, size, path, out, error) : status;
}

void pm_safetensors_close(pm_safetensors *file)
{
    if (!file) return;
    json_decref(file->header);
    free(file->tensors);
    free(file->by_name);
    free(file->metadata);
    free(file->bytes);
    free(file);
}

/* ---- Looking things up --------------------------------------------------------------------------------- */

size_t pm_safetensors_count(const pm_safetensors *file)
{
    return file->count;
}

const pm_safetensor *pm_safetensors_at(const pm_safetensors *file, size_t index)
{
    return &file->tensors[index];
}

const pm_safetensor *pm_safetensors_find(const pm_safetensors *file, const char *name)
{
    const pm_safetensor wanted = {.name = name}, *key = &wanted;
    const pm_safetensor **found =
        bsearch(&key, file->by_name, file->count, sizeof *file->by_name, compare_names);
    return found ? *found : NULL;
}

const pm_text_pair *pm_safetensors_metadata(const pm_safetensors *file, size_t *count)
{
    *count = file->metadata_count;
    return file->metadata;
}
