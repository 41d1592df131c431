/* `pumice inspect`: what a file holds. */
#include "cli.h"
#include "commands.h"

#include "base/text.h"
#include "files/file_error.h"
#include "files/file_io.h"
#include "files/idx.h"
#include "files/png.h"
#include "files/safetensors.h"
#include "sampling/model.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST_PNG = 1 << 30, HEAD_BYTES = 64 };

static struct {
    bool all;
} args;

static const cli_option options[] = {
    {.name = "all",
     .type = CLI_FLAG,
     .value = &args.all,
     .help = "every tensor, also the optimiser's and the average's"},
};

static void say_kind(const char *path, const char *kind)
{
    if (!cli.json) printf("%s: %s\n", path, kind);
}

/* Texts of a stranger's file: of their control characters only line breaks and tabs get to the terminal. */
static void print_text(const char *text)
{
    for (unsigned bytes; *text; text += bytes ? bytes : 1) {
        bytes = pm_control_bytes(text);
        putchar(bytes && *text != '\n' && *text != '\t' ? '?' : *text);
    }
}

static void print_pair(const pm_text_pair *pair, const char *between)
{
    print_text(pair->key);
    fputs(between, stdout);
    print_text(pair->value);
    putchar('\n');
}

/* ---- safetensors --------------------------------------------------------------------------------------- */

static void shape_text(const pm_safetensor *tensor, char *buffer, size_t size)
{
    size_t used = 0;
    (void)snprintf(buffer, size, "1");
    for (uint32_t i = 0; i < tensor->rank && used < size; i++) {
        used += (size_t)snprintf(buffer + used, size - used, "%s%" PRIu64, i ? "x" : "", tensor->shape[i]);
    }
}

static json_t *list_tensors(const pm_safetensors *file)
{
    json_t *list = json_array();
    uint64_t hidden_bytes = 0;
    size_t hidden = 0;
    char shape[200], size[32];
    for (size_t i = 0; i < pm_safetensors_count(file); i++) {
        const pm_safetensor *tensor = pm_safetensors_at(file, i);
        if (!args.all && !pm_model_is_weight(tensor->name)) {
            hidden++;
            hidden_bytes += tensor->bytes;
            continue;
        }
        shape_text(tensor, shape, sizeof shape);
        if (!cli.json) {
            char name[200];
            (void)snprintf(name, sizeof name, "%s", tensor->name);
            pm_make_printable(name);
            printf("  %-52s %-5s %-18s %10zu bytes\n", name, pm_element_name(tensor->element), shape,
                   tensor->bytes);
        }
        (void)json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:I}", "name", tensor->name, "type",
                                                    pm_element_name(tensor->element), "shape", shape, "bytes",
                                                    (json_int_t)tensor->bytes));
    }
    if (hidden && !cli.json) {
        printf("  and %zu more of the optimiser and the average, %s; --all lists them\n", hidden,
               cli_size(hidden_bytes, size, sizeof size));
    }
    return list;
}

static json_t *list_metadata(const pm_safetensors *file)
{
    size_t count;
    const pm_text_pair *pairs = pm_safetensors_metadata(file, &count);
    json_t *object = json_object();
    for (size_t i = 0; i < count; i++) {
        if (!cli.json) print_pair(&pairs[i], ": ");
        (void)json_object_set_new(object, pairs[i].key, json_string(pairs[i].value));
    }
    return object;
}

static pm_status inspect_foreign(const char *path, pm_error *error)
{
    pm_safetensors *file;
    pm_status status = pm_safetensors_open(path, &file, error);
    if (status != PM_OK) return status;
    say_kind(path, "safetensors, not from pumice");
    json_t *metadata = list_metadata(file);
    json_t *tensors = list_tensors(file);
    cli_result(json_pack("{s:s, s:s, s:o, s:o}", "file", path, "kind", "safetensors", "metadata", metadata,
                         "tensors", tensors));
    pm_safetensors_close(file);
    return PM_OK;
}

static pm_status inspect_safetensors(const char *path, pm_error *error)
{
    pm_model *model;
    pm_error why;
    if (pm_model_open(path, &model, &why) != PM_OK) return inspect_foreign(path, error);
    const pm_model_info info = pm_model_info_of(model);
    bool checkpoint = false;
    uint64_t bytes = 0;
    for (size_t i = 0; i < pm_safetensors_count(model->file); i++) {
        checkpoint |= !pm_model_is_weight(pm_safetensors_at(model->file, i)->name);
        bytes += pm_safetensors_at(model->file, i)->bytes;
    }
    const char *kind = checkpoint ? "checkpoint" : "model";
    char size[32];
    if (!cli.json) {
        printf("%s: %s of recipe %s (%s)\n", path, kind, info.name, info.kind);
        if (info.vocabulary)
            printf("  text of %" PRIu32 " kinds of tokens, %" PRIu32 " at once", info.vocabulary,
                   info.context);
        else
            printf("  pictures %" PRIu32 "x%" PRIu32 "x%" PRIu32 ", %" PRIu32 " classes", info.height,
                   info.width, info.channels, info.classes);
        printf(", %" PRIu64 " parameters, step %" PRIu64 ", %s\n", info.parameters, info.step,
               cli_size(bytes, size, sizeof size));
        printf("recipe:\n%s\ntensors:\n", info.config);
    }
    cli_result(json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:I, s:I, s:I, s:o, s:o}", "file", path,
                         "kind", kind, "name", info.name, "model", info.kind, "height", (int)info.height,
                         "width", (int)info.width, "channels", (int)info.channels, "classes",
                         (int)info.classes, "parameters", (json_int_t)info.parameters, "step",
                         (json_int_t)info.step, "bytes", (json_int_t)bytes, "recipe",
                         json_loads(info.config, 0, NULL), "tensors", list_tensors(model->file)));
    pm_model_close(model);
    return PM_OK;
}

/* ---- Others -------------------------------------------------------------------------------------------- */

static pm_status inspect_png(const char *path, pm_error *error)
{
    uint8_t *bytes;
    size_t size;
    uint32_t width = 0, height = 0;
    pm_png_texts texts = {0};
    pm_status status = pm_read_file(path, LARGEST_PNG, &bytes, &size, error);
    if (status != PM_OK) return status;
    status = pm_png_check(bytes, size, path, &width, &height, error);
    if (status == PM_OK) status = pm_png_texts_from_bytes(bytes, size, path, &texts, error);
    free(bytes);
    if (status != PM_OK) return status;
    json_t *object = json_object();
    say_kind(path, "PNG");
    if (!cli.json) printf("  %" PRIu32 "x%" PRIu32 " pixels\n", width, height);
    for (size_t i = 0; i < texts.count; i++) {
        if (!cli.json) print_pair(&texts.pairs[i], ":\n");
        (void)json_object_set_new(object, texts.pairs[i].key, json_string(texts.pairs[i].value));
    }
    cli_result(json_pack("{s:s, s:s, s:i, s:i, s:o}", "file", path, "kind", "png", "width", (int)width,
                         "height", (int)height, "texts", object));
    pm_png_texts_free(&texts);
    return PM_OK;
}

static pm_status inspect_idx(const char *path, pm_error *error)
{
    pm_idx idx;
    pm_status status = pm_idx_read(path, &idx, error);
    if (status != PM_OK) return status;
    json_t *shape = json_array();
    say_kind(path, "IDX");
    if (!cli.json) printf("  ");
    for (uint32_t i = 0; i < idx.rank; i++) {
        if (!cli.json) printf("%s%" PRIu32, i ? "x" : "", idx.shape[i]);
        (void)json_array_append_new(shape, json_integer(idx.shape[i]));
    }
    if (!cli.json) printf(" elements of type 0x%02x, %zu bytes\n", (unsigned)idx.type, idx.bytes);
    cli_result(json_pack("{s:s, s:s, s:i, s:o, s:I}", "file", path, "kind", "idx", "type", (int)idx.type,
                         "shape", shape, "bytes", (json_int_t)idx.bytes));
    pm_idx_free(&idx);
    return PM_OK;
}

static pm_status inspect_recipe(const char *path, pm_error *error)
{
    pm_recipe recipe;
    pm_status status = pm_recipe_read(path, &recipe, error);
    char *whole = status == PM_OK ? pm_recipe_json(&recipe) : NULL;
    if (!whole) return status == PM_OK ? pm_fail_memory(error, path) : status;
    say_kind(path, "recipe");
    if (!cli.json) puts(whole);
    cli_result(
        json_pack("{s:s, s:s, s:o}", "file", path, "kind", "recipe", "recipe", json_loads(whole, 0, NULL)));
    free(whole);
    return PM_OK;
}

/* ---- Which --------------------------------------------------------------------------------------------- */

/* The first bytes of a file; *size how many there are. */
static pm_status read_head(const char *path, uint8_t *head, size_t *size, pm_error *error)
{
    FILE *file = fopen(path, "rb");
    if (!file) return pm_fail_at(error, PM_IO, path, "cannot be opened: %s", strerror(errno));
    *size = fread(head, 1, HEAD_BYTES, file);
    bool failed = ferror(file) != 0;
    int reason = errno;
    (void)fclose(file);
    return failed ? pm_fail_at(error, PM_IO, path, "cannot be read: %s", strerror(reason)) : PM_OK;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

static pm_status run(uint32_t count, const char *const *arguments, pm_error *error)
{
    uint8_t head[HEAD_BYTES + 1] = {0};
    size_t size = 0;
    char path[4096];
    (void)count;
    pm_status status = cli_find_model(arguments[0], path, sizeof path, error);
    if (status == PM_OK) status = read_head(path, head, &size, error);
    if (status != PM_OK) return status;
    bool gzip = size >= 2 && head[0] == 0x1f && head[1] == 0x8b;
    if (pm_png_is(head, size)) return inspect_png(path, error);
    /* A header's length is 64 bits, of which the highest are zero. */
    if (size > 8 && !head[7] && head[8] == '{') return inspect_safetensors(path, error);
    if (gzip || (size >= 4 && !head[0] && !head[1] && head[2] >= 8 && head[2] <= 0x0e))
        return inspect_idx(path, error);
    if (head[strspn((char *)head, " \t\r\n")] == '{') return inspect_recipe(path, error);
    if (ends_with(path, ".safetensors")) return inspect_safetensors(path, error);
    return pm_fail_at(error, PM_BAD_FILE, path,
                      "no file that pumice knows: neither safetensors, PNG, IDX nor a recipe");
}

const cli_verb cli_inspect = {
    .name = "inspect",
    .summary = "say what a file holds: a model, a checkpoint, a PNG, a data file, a recipe",
    .arguments = "FILE",
    .least = 1,
    .most = 1,
    .about = "Of a model or a checkpoint: its recipe, the step it was saved at, and its tensors. Of\n"
             "a PNG: how it was made. Of an IDX file: its shape. A recipe is checked and printed\n"
             "with every default. The file is read as if it came from a stranger.\n",
    .examples = "  pumice inspect out/mine/checkpoint.safetensors\n      where the training stands\n"
                "  pumice inspect picture.png --json\n      the parameters, for a script\n",
    CLI_OPTIONS(options),
    .run = run,
};
