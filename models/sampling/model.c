/* Model files: opening, checking, and putting weights into a plan; see model.h. */
#include "sampling/model.h"

#include "base/status.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *metadata(const pm_safetensors *file, const char *key)
{
    size_t count;
    const pm_text_pair *pairs = pm_safetensors_metadata(file, &count);
    return pm_text_find(pairs, count, key);
}

static pm_status read_tokenizer(pm_model *model, const char *path, pm_error *error)
{
    const char *json = model->tokenizer_json = metadata(model->file, PM_META_TOKENIZER);
    if (!json)
        return pm_fail(error, PM_BAD_FILE, "%s: a model of text without a tokenizer (no %s in its metadata)",
                       path, PM_META_TOKENIZER);
    pm_status status = pm_tokenizer_parse(json, strlen(json), path, &model->tokenizer, error);
    uint32_t vocabulary = model->recipe.transformer.vocabulary;
    if (status != PM_OK || pm_tokenizer_size(model->tokenizer) == vocabulary) return status;
    return pm_fail(error, PM_BAD_FILE, "%s: the tokenizer has %u tokens, but the network %u", path,
                   pm_tokenizer_size(model->tokenizer), vocabulary);
}

static pm_status read_header(pm_model *model, const char *path, pm_error *error)
{
    const char *recipe = metadata(model->file, PM_META_RECIPE), *step = metadata(model->file, PM_META_STEP);
    const char *format = metadata(model->file, PM_META_FORMAT);
    if (!recipe || !step || !format) {
        return pm_fail(error, PM_BAD_FILE,
                       "%s: a safetensors file, but not one that pumice wrote (no %s in its metadata)", path,
                       !recipe ? PM_META_RECIPE
                       : !step ? PM_META_STEP
                               : PM_META_FORMAT);
    }
    if (strcmp(format, PM_FORMAT_VERSION) != 0) {
        return pm_fail(error, PM_BAD_FILE, "%s: format %s, this build reads %s", path, format,
                       PM_FORMAT_VERSION);
    }
    char *end;
    errno = 0;
    model->step = strtoull(step, &end, 10);
    if (errno || *end || *step < '0' || *step > '9') {
        return pm_fail(error, PM_BAD_FILE, "%s: %s is no number: %.40s", path, PM_META_STEP, step);
    }
    pm_status status = pm_recipe_parse(recipe, path, &model->recipe, error);
    if (status != PM_OK)
        return PM_BAD_FILE == status ? status : pm_fail_prefix(error, PM_BAD_FILE, "in the file's recipe");
    if (pm_kind_is_text(model->recipe.kind)) status = read_tokenizer(model, path, error);
    if (status != PM_OK) return status;
    model->config = pm_recipe_json(&model->recipe);
    return model->config ? PM_OK : pm_fail(error, PM_NO_MEMORY, "%s: out of host memory", path);
}

bool pm_model_is_weight(const char *name)
{
    static const char *const others[] = {PM_PREFIX_AVERAGE, PM_PREFIX_FIRST_MOMENT, PM_PREFIX_SECOND_MOMENT};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (strncmp(name, others[i], strlen(others[i])) == 0) return false;
    }
    return true;
}

pm_status pm_model_open(const char *path, pm_model **out, pm_error *error)
{
    *out = NULL;
    pm_model *model = calloc(1, sizeof *model);
    if (!model) return pm_fail(error, PM_NO_MEMORY, "%s: out of host memory", path);
    pm_status status = pm_safetensors_open(path, &model->file, error);
    if (status == PM_OK) status = read_header(model, path, error);
    if (status != PM_OK) {
        pm_model_close(model);
        return status;
    }
    for (size_t i = 0; i < pm_safetensors_count(model->file); i++) {
        const pm_safetensor *tensor = pm_safetensors_at(model->file, i);
        if (pm_model_is_weight(tensor->name)) model->parameters += tensor->bytes / 4;
    }
    for (uint32_t i = 0; i < 64; i++) model->class_names[i] = model->recipe.data.class_names[i];
    *out = model;
    return PM_OK;
}

void pm_model_close(pm_model *model)
{
    if (!model) return;
    pm_tokenizer_destroy(model->tokenizer);
    pm_safetensors_close(model->file);
    free(model->config);
    free(model);
}

pm_model_info pm_model_info_of(const pm_model *model)
{
    const pm_recipe *recipe = &model->recipe;
    return (pm_model_info){
        .name = recipe->name,
        .kind = pm_model_kind_name(recipe->kind),
        .config = model->config,
        .height = recipe->data.height,
        .width = recipe->data.width,
        .channels = recipe->data.channels,
        .vocabulary = recipe->transformer.vocabulary,
        .context = recipe->transformer.context,
        .classes = recipe->data.classes,
        .class_names = recipe->data.class_names[0][0] ? model->class_names : NULL,
        .parameters = model->parameters,
        .step = model->step,
    };
}

pm_status pm_model_tensor(const pm_safetensors *file, const char *prefix, const char *path, pm_shape shape,
                          float *out, pm_error *error)
{
    char name[256];
    (void)snprintf(name, sizeof name, "%s%s", prefix, path);
    const pm_safetensor *tensor = pm_safetensors_find(file, name);
    if (!tensor) return pm_fail(error, PM_BAD_FILE, "tensor %s is missing", name);
    bool fits = tensor->element == PM_ELEMENT_F32 && tensor->rank == shape.rank;
    for (uint32_t i = 0; fits && i < shape.rank; i++) fits = tensor->shape[i] == shape.dim[i];
    if (!fits)
        return pm_fail(error, PM_BAD_FILE, "tensor %s does not have the shape or type that its recipe says",
                       name);
    memcpy(out, tensor->data, tensor->bytes);
    return PM_OK;
}

pm_status pm_model_load_into(const pm_model *model, pm_plan *plan, const pm_graph *graph, pm_error *error)
{
    pm_status status = PM_OK;
    for (uint32_t i = 0; status == PM_OK && i < pm_param_count(graph); i++) {
        pm_tensor param = pm_param_at(graph, i);
        const char *path = pm_name_of(graph, param);
        uint32_t count = pm_count_of(graph, param);
        char average[256];
        (void)snprintf(average, sizeof average, PM_PREFIX_AVERAGE "%s", path);
        const char *prefix = pm_safetensors_find(model->file, average) ? PM_PREFIX_AVERAGE : "";
        float *values = malloc(count * sizeof *values);
        if (!values) return pm_fail(error, PM_NO_MEMORY, "%s: out of host memory", path);
        status = pm_model_tensor(model->file, prefix, path, pm_shape_of(graph, param), values, error);
        if (status == PM_OK) status = pm_plan_write(plan, param, values, count * sizeof *values, error);
        free(values);
    }
    return status;
}
