/* Writing safetensors files; see safetensors.h. */
#include "files/safetensors.h"

#include "base/checked.h"
#include "files/file_error.h"
#include "files/file_io.h"
#include "files/json_util.h"

#include <stdlib.h>
#include <string.h>

static const size_t DATA_ALIGNMENT = 64;

static int compare_for_writing(const void *a, const void *b)
{
    const pm_safetensor *x = *(const pm_safetensor *const *)a, *y = *(const pm_safetensor *const *)b;
    uint32_t bits_x = pm_element_bits(x->element), bits_y = pm_element_bits(y->element);
    if (bits_x != bits_y) return bits_x > bits_y ? -1 : 1;
    return strcmp(x->name, y->name);
}

static pm_status check_tensor(const char *path, const pm_safetensor *tensor, pm_error *error)
{
    if (!tensor->name || strcmp(tensor->name, "__metadata__") == 0) {
        return pm_fail_at(error, PM_BAD_USAGE, path, "a tensor cannot be named __metadata__ or have no name");
    }
    size_t bytes;
    if (tensor->rank > PM_SAFETENSORS_MAX_RANK || tensor->element >= PM_ELEMENT_COUNT ||
        !pm_safetensor_bytes(tensor->element, tensor->rank, tensor->shape, &bytes) ||
        bytes != tensor->bytes) {
        return pm_fail_at(error, PM_BAD_USAGE, path,
                          "tensor '%s' to write has %zu bytes, unlike its shape and type", tensor->name,
                          tensor->bytes);
    }
    return PM_OK;
}

/* The header's entry of a tensor whose data begins at `begin`; NULL when memory ran out. */
static json_t *make_entry(const pm_safetensor *tensor, size_t begin)
{
    json_t *shape = json_array();
    for (uint32_t i = 0; i < tensor->rank; i++) {
        if (json_array_append_new(shape, json_integer((json_int_t)tensor->shape[i])) != 0) {
            json_decref(shape);
            return NULL;
        }
    }
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", pm_element_name(tensor->element), "shape", shape,
                     "data_offsets", (json_int_t)begin, (json_int_t)(begin + tensor->bytes));
}

/* Adds a value under a new key. jansson refuses keys and strings that are not UTF-8. Takes over `value`. */
static pm_status add_value(json_t *object, const char *key, json_t *value, const char *path, pm_error *error)
{
    if (json_object_get(object, key)) {
        json_decref(value);
        return pm_fail_at(error, PM_BAD_USAGE, path, "the name '%s' is to be written twice", key);
    }
    if (json_object_set_new(object, key, value) == 0) return PM_OK;
    return pm_fail_at(error, PM_BAD_USAGE, path, "'%s' to be written, or its value, is not UTF-8 text", key);
}

static pm_status add_metadata(json_t *header, const pm_text_pair *pairs, size_t count, const char *path,
                              pm_error *error)
{
    json_t *metadata = json_object();
    pm_status status = metadata ? PM_OK : pm_fail_memory(error, path);
    for (size_t i = 0; i < count && status == PM_OK; i++) {
        status = add_value(metadata, pairs[i].key, json_string(pairs[i].value), path, error);
    }
    if (status == PM_OK) return add_value(header, "__metadata__", metadata, path, error);
    json_decref(metadata);
    return status;
}

/* Fills the header's object from tensors in their order of writing. */
static pm_status fill_header(json_t *header, const pm_safetensor **order, size_t count, const char *path,
                             pm_error *error)
{
    size_t begin = 0;
    for (size_t i = 0; i < count; i++) {
        size_t end;
        if (!pm_add_size(begin, order[i]->bytes, &end) || end > INT64_MAX) {
            return pm_fail_at(error, PM_BAD_USAGE, path, "the tensors to write have too many bytes together");
        }
        json_t *entry = make_entry(order[i], begin);
        if (!entry) return pm_fail_memory(error, path);
        pm_status status = add_value(header, order[i]->name, entry, path, error);
        if (status != PM_OK) return status;
        begin = end;
    }
    return PM_OK;
}

static pm_status write_all(const char *path, const json_t *header, const pm_safetensor **order, size_t count,
                           pm_error *error)
{
    char *text = json_dumps(header, JSON_COMPACT);
    if (!text) return pm_fail_memory(error, path);
    size_t length = strlen(text), data_at = 0;
    (void)pm_align_size(8 + length, DATA_ALIGNMENT,
                        &data_at); /* length is that of a string in memory: no overflow */
    uint8_t size_field[8], spaces[64];
    memset(spaces, ' ', sizeof spaces);
    for (int i = 0; i < 8; i++) size_field[i] = (uint8_t)((uint64_t)(data_at - 8) >> (8 * i));

    pm_file_writer *writer = NULL;
    pm_status status = PM_OK;
    if (data_at - 8 > PM_SAFETENSORS_MAX_HEADER) {
        status =
            pm_fail_at(error, PM_BAD_USAGE, path, "the header to write would have %zu bytes", data_at - 8);
    }
    if (status == PM_OK) status = pm_file_begin(path, &writer, error);
    if (status == PM_OK) status = pm_file_append(writer, size_field, sizeof size_field, error);
    if (status == PM_OK) status = pm_file_append(writer, text, length, error);
    if (status == PM_OK) status = pm_file_append(writer, spaces, data_at - 8 - length, error);
    for (size_t i = 0; i < count && status == PM_OK; i++) {
        status = pm_file_append(writer, order[i]->data, order[i]->bytes, error);
    }
    free(text);
    if (status == PM_OK) return pm_file_commit(writer, error);
    pm_file_abort(writer);
    return status;
}

pm_status pm_safetensors_write(const char *path, const pm_safetensor *tensors, size_t tensor_count,
                               const pm_text_pair *metadata, size_t metadata_count, pm_error *error)
{
    if (tensor_count + (metadata_count > 0) > PM_SAFETENSORS_MAX_TENSORS ||
        metadata_count > PM_SAFETENSORS_MAX_TENSORS) {
        return pm_fail_at(error, PM_BAD_USAGE, path, "more than %d tensors or strings to write",
                          PM_SAFETENSORS_MAX_TENSORS);
    }
    for (size_t i = 0; i < tensor_count; i++) {
        pm_status status = check_tensor(path, &tensors[i], error); /* sorting relies on names and types */
        if (status != PM_OK) return status;
    }
    json_t *header = json_object();
    const pm_safetensor **order = calloc(tensor_count + 1, sizeof *order);
    pm_status status = header && order ? PM_OK : pm_fail_memory(error, path);
    if (status == PM_OK) {
        for (size_t i = 0; i < tensor_count; i++) order[i] = &tensors[i];
        qsort(order, tensor_count, sizeof *order, compare_for_writing);
        if (metadata_count > 0) status = add_metadata(header, metadata, metadata_count, path, error);
    }
    if (status == PM_OK) status = fill_header(header, order, tensor_count, path, error);
    if (status == PM_OK) status = write_all(path, header, order, tensor_count, error);
    json_decref(header);
    free(order);
    return status;
}
