/* Recipes: reading, changing, writing and fitting them to data; see recipe.h. What keys there are is in
 * recipe_fields.c. */
#include "recipes/recipe.h"

#include "base/posix.h"
#include "files/file_error.h"
#include "files/file_io.h"
#include "files/json_util.h"
#include "recipes/recipe_fields.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST_FILE = 1 << 20, PATH_ROOM = 128, QUOTE_ROOM = 80, WANTS_ROOM = 160, MAX_FIELDS = 128 };

/* A recipe while it is read. */
typedef struct reader {
    const char *where; /* begins messages */
    pm_status failure; /* what a wrong value is: PM_BAD_FILE, or PM_BAD_USAGE for `--set` */
    pm_recipe *recipe;
    bool seen[MAX_FIELDS]; /* by index into pm_recipe_fields */
    pm_error *error;
} reader;

/* ---- Messages ------------------------------------------------------------------------------------------ */

/* Any value as a short piece of ASCII. */
static const char *quote(const json_t *value, char *buffer)
{
    char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    bool cut = text && strlen(text) > 60;
    (void)snprintf(buffer, QUOTE_ROOM, "%.60s%s", text ? text : "something else", cut ? "..." : "");
    free(text);
    return buffer;
}

static pm_status wrong_value(const reader *r, const pm_recipe_field *field, const json_t *value)
{
    char wants[WANTS_ROOM], got[QUOTE_ROOM];
    pm_field_wants(field, wants, sizeof wants);
    return pm_fail_at(r->error, r->failure, r->where, "%s must be %s, not %s", field->path, wants,
                      quote(value, got));
}

static pm_status unknown_key(const reader *r, const char *path)
{
    char nearest[PATH_ROOM];
    return pm_fail_at(r->error, r->failure, r->where, "unknown key %.100s; did you mean %s?", path,
                      pm_field_nearest(path, r->recipe->kind, nearest, sizeof nearest));
}

/* ---- Reading ------------------------------------------------------------------------------------------- */

static pm_status read_value(reader *r, const char *path, const json_t *value)
{
    const pm_recipe_field *field = pm_field_find(path);
    if (!field) return unknown_key(r, path);
    if (!pm_field_applies(field, r->recipe->kind)) {
        return pm_fail_at(r->error, r->failure, r->where, "%s is not for models of kind %s; take it out",
                          path, pm_model_kind_name(r->recipe->kind));
    }
    r->seen[field - pm_recipe_fields] = true;
    return pm_field_decode(field, value, r->recipe) ? PM_OK : wrong_value(r, field, value);
}

static bool is_section(const char *key)
{
    size_t length = strlen(key);
    for (size_t i = 0; i < pm_recipe_field_count; i++) {
        const char *path = pm_recipe_fields[i].path;
        if (strncmp(path, key, length) == 0 && path[length] == '.') return true;
    }
    return false;
}

static pm_status read_section(reader *r, const char *section, json_t *values)
{
    if (!json_is_object(values)) {
        char got[QUOTE_ROOM];
        return pm_fail_at(r->error, r->failure, r->where, "%s must be an object, not %s", section,
                          quote(values, got));
    }
    const char *key;
    json_t *value;
    json_object_foreach(values, key, value)
    {
        char path[PATH_ROOM];
        (void)snprintf(path, sizeof path, "%s.%s", section, key);
        pm_status status = read_value(r, path, value);
        if (status != PM_OK) return status;
    }
    return PM_OK;
}

static pm_status read_keys(reader *r, json_t *root)
{
    const char *key;
    json_t *value;
    json_object_foreach(root, key, value)
    {
        pm_status status;
        if (is_section(key)) {
            status = read_section(r, key, value);
        } else if (strchr(key, '.')) {
            status = pm_fail_at(r->error, r->failure, r->where,
                                "key %.100s has a dot in it; write {\"section\": {\"key\": value}}", key);
        } else {
            status = read_value(r, key, value);
        }
        if (status != PM_OK) return status;
    }
    return PM_OK;
}

/* The kind comes first: it decides which keys there are. */
static pm_status read_kind(reader *r, const json_t *root)
{
    const pm_recipe_field *field = pm_field_find("kind");
    const json_t *value = json_object_get(root, field->path);
    if (!value) return pm_fail_at(r->error, r->failure, r->where, "key kind is missing");
    return pm_field_decode(field, value, r->recipe) ? PM_OK : wrong_value(r, field, value);
}

static pm_status fill_missing(reader *r)
{
    for (size_t i = 0; i < pm_recipe_field_count; i++) {
        const pm_recipe_field *field = &pm_recipe_fields[i];
        if (r->seen[i] || !pm_field_applies(field, r->recipe->kind)) continue;
        if (!field->fallback) {
            char wants[WANTS_ROOM];
            pm_field_wants(field, wants, sizeof wants);
            return pm_fail_at(r->error, r->failure, r->where, "key %s is missing; it must be %s", field->path,
                              wants);
        }
        json_t *value = json_loads(field->fallback, JSON_DECODE_ANY, NULL);
        if (!value) return pm_fail_memory(r->error, r->where);
        bool fits = pm_field_decode(field, value, r->recipe);
        json_decref(value);
        if (!fits) {
            return pm_fail_at(r->error, PM_FAILED, r->where, "the default of %s does not fit itself",
                              field->path);
        }
    }
    return PM_OK;
}

/* Rules that tie one key to another. */
static pm_status check_together(const pm_recipe *recipe, const char *where, pm_status failure,
                                pm_error *error)
{
    uint32_t names = 0;
    while (names < 64 && recipe->data.class_names[names][0]) names++;
    if (names > 0 && names != recipe->data.classes) {
        return pm_fail_at(error, failure, where, "data.class_names has %u names, but data.classes is %u",
                          names, recipe->data.classes);
    }
    if (recipe->kind == PM_KIND_IMAGE_DIFFUSION && recipe->sampling.steps > recipe->process.timesteps) {
        return pm_fail_at(error, failure, where,
                          "sampling.steps is %u, more than the %u of process.timesteps",
                          recipe->sampling.steps, recipe->process.timesteps);
    }
    if (pm_kind_is_text(recipe->kind) && recipe->transformer.width % recipe->transformer.heads) {
        return pm_fail_at(error, failure, where,
                          "transformer.width %u is no multiple of transformer.heads %u",
                          recipe->transformer.width, recipe->transformer.heads);
    }
    return PM_OK;
}

/* What the network takes from elsewhere in the recipe. */
static void share(pm_recipe *recipe)
{
    if (recipe->kind == PM_KIND_IMAGE_DIFFUSION) {
        recipe->unet.height = recipe->data.height;
        recipe->unet.width = recipe->data.width;
        recipe->unet.channels = recipe->data.channels;
        recipe->unet.classes = recipe->data.classes;
        recipe->unet.timesteps = recipe->process.timesteps;
    } else if (pm_kind_is_text(recipe->kind)) {
        bool causal = recipe->kind == PM_KIND_TEXT_AUTOREGRESSIVE;
        recipe->transformer.mask = causal ? PM_MASK_CAUSAL : PM_MASK_NONE;
    } else {
        recipe->classifier.height = recipe->data.height;
        recipe->classifier.width = recipe->data.width;
        recipe->classifier.channels = recipe->data.channels;
        recipe->classifier.classes = recipe->data.classes;
    }
}

static pm_status read_recipe(json_t *root, const char *where, pm_recipe *out, pm_error *error)
{
    reader r = {.where = where, .failure = PM_BAD_FILE, .recipe = out, .error = error};
    if (pm_recipe_field_count > MAX_FIELDS)
        return pm_fail_at(error, PM_FAILED, where, "MAX_FIELDS is too small");
    if (!json_is_object(root)) return pm_fail_at(error, PM_BAD_FILE, where, "a recipe must be a JSON object");
    pm_status status = read_kind(&r, root);
    if (status == PM_OK) status = read_keys(&r, root);
    if (status == PM_OK) status = fill_missing(&r);
    if (status == PM_OK) status = check_together(out, where, PM_BAD_FILE, error);
    if (status == PM_OK) share(out);
    return status;
}

pm_status pm_recipe_parse(const char *json, const char *where, pm_recipe *out, pm_error *error)
{
    static const pm_json_limits limits = {.depth = 8, .values = 4000};
    memset(out, 0, sizeof *out);
    json_t *root;
    pm_status status = pm_json_parse(json, strlen(json), &limits, where, &root, error);
    if (status != PM_OK) return status;
    status = read_recipe(root, where, out, error);
    json_decref(root);
    return status;
}

/* ---- By name ------------------------------------------------------------------------------------------- */

bool pm_kind_is_text(pm_model_kind kind)
{
    return kind == PM_KIND_TEXT_AUTOREGRESSIVE || kind == PM_KIND_TEXT_MASKED;
}

pm_masked_config pm_recipe_masking(const pm_recipe *recipe)
{
    return (pm_masked_config){
        .objective = recipe->masked.objective,
        .masking = {.schedule = recipe->masked.schedule,
                    .eps = recipe->masked.eps,
                    .power = recipe->masked.power,
                    .t_min = recipe->masked.t_min,
                    .stratified = recipe->masked.stratified},
        .time_conditioned = recipe->transformer.time,
    };
}

const char *const *pm_recipe_names(void)
{
    return pm_embedded_recipe_names;
}

static bool is_path(const char *name)
{
    size_t length = strlen(name);
    return pm_last_separator(name) || (length >= 5 && strcmp(name + length - 5, ".json") == 0);
}

pm_status pm_recipe_read(const char *path, pm_recipe *out, pm_error *error)
{
    uint8_t *text;
    size_t size;
    pm_status status = pm_read_file(path, LARGEST_FILE, &text, &size, error);
    if (status != PM_OK) return status;
    /* A NUL would end the text early: what comes after it would go unread. */
    status = memchr(text, 0, size) ? pm_fail_at(error, PM_BAD_FILE, path, "not a text file")
                                   : pm_recipe_parse((const char *)text, path, out, error);
    free(text);
    return status;
}

static pm_status unknown_recipe(const char *name, pm_error *error)
{
    char known[300] = "";
    pm_nearest nearest = {.word = name};
    for (const char *const *at = pm_embedded_recipe_names; *at; at++) {
        size_t used = strlen(known);
        (void)snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", *at);
        pm_nearest_try(&nearest, *at);
    }
    return pm_fail_at(
        error, PM_BAD_USAGE, name,
        "no such recipe; did you mean %s? There are %s; a file needs a slash or .json in its name",
        nearest.best, known);
}

pm_status pm_recipe_load(const char *name_or_path, pm_recipe *out, pm_error *error)
{
    memset(out, 0, sizeof *out);
    if (is_path(name_or_path)) return pm_recipe_read(name_or_path, out, error);
    for (size_t i = 0; pm_embedded_recipe_names[i]; i++) {
        if (strcmp(pm_embedded_recipe_names[i], name_or_path) == 0) {
            return pm_recipe_parse(pm_embedded_recipe_texts[i], name_or_path, out, error);
        }
    }
    return unknown_recipe(name_or_path, error);
}

/* ---- One value ----------------------------------------------------------------------------------------- */

/* "[text]" as JSON, or NULL: the brackets let any kind of value pass, and a list do without its own. */
static json_t *parse_bracketed(const char *text)
{
    size_t length = strlen(text);
    char *bracketed = malloc(length + 3);
    if (!bracketed) return NULL;
    (void)snprintf(bracketed, length + 3, "[%s]", text);
    json_t *list = json_loads(bracketed, JSON_REJECT_DUPLICATES, NULL);
    free(bracketed);
    return list;
}

/* The value of an assignment as JSON, which the caller releases. */
static json_t *assigned_value(const pm_recipe_field *field, const char *text)
{
    bool wants_list = field->type == PM_FIELD_LIST || field->type == PM_FIELD_TEXTS;
    bool wants_text = field->type == PM_FIELD_TEXT || field->type == PM_FIELD_CHOICE;
    json_t *list = parse_bracketed(text);
    json_t *only = json_array_size(list) == 1 ? json_array_get(list, 0) : NULL;
    if (wants_list && list && !json_is_array(only)) return list;
    if (only && (!wants_text || json_is_string(only))) {
        json_incref(only);
        json_decref(list);
        return only;
    }
    json_decref(list);
    return json_string(text);
}

pm_status pm_recipe_set(pm_recipe *recipe, const char *assignment, pm_error *error)
{
    pm_recipe changed = *recipe;
    reader r = {.where = "recipe", .failure = PM_BAD_USAGE, .recipe = &changed, .error = error};
    const char *equals = strchr(assignment, '=');
    if (!equals) {
        return pm_fail_at(error, PM_BAD_USAGE, r.where, "%.100s is no assignment; write training.batch=64",
                          assignment);
    }
    char path[PATH_ROOM];
    size_t length = (size_t)(equals - assignment);
    (void)snprintf(path, sizeof path, "%.*s", (int)(length < sizeof path ? length : sizeof path - 1),
                   assignment);
    const pm_recipe_field *field = pm_field_find(path);
    if (!field) return unknown_key(&r, path);
    if (strcmp(path, "kind") == 0) {
        return pm_fail_at(error, PM_BAD_USAGE, r.where,
                          "kind cannot be changed; start from a recipe of that kind");
    }
    json_t *value = assigned_value(field, equals + 1);
    if (!value) return pm_fail_at(error, PM_BAD_USAGE, r.where, "the value of %s is not UTF-8", path);
    pm_status status = read_value(&r, path, value);
    json_decref(value);
    if (status != PM_OK) return status;
    share(&changed);
    *recipe = changed;
    return PM_OK;
}

/* ---- Writing ------------------------------------------------------------------------------------------- */

/* Takes `value` over: false when memory ran out. */
static bool put(json_t *root, const char *path, json_t *value)
{
    const char *dot = strchr(path, '.');
    if (!dot) return json_object_set_new(root, path, value) == 0;
    char section[32];
    (void)snprintf(section, sizeof section, "%.*s", (int)(dot - path), path);
    json_t *object = json_object_get(root, section);
    if (!object) {
        object = json_object();
        if (json_object_set_new(root, section, object) != 0) {
            json_decref(value);
            return false;
        }
    }
    return json_object_set_new(object, dot + 1, value) == 0;
}

/* What says how a model is trained and changes nothing of it is only written where it is not as usual, so
 * that a file does not depend on which of these there are. */
static bool goes_without_saying(const pm_recipe_field *field, const pm_recipe *recipe)
{
    return strcmp(field->path, "training.recompute") == 0 && !recipe->training.recompute;
}

char *pm_recipe_json(const pm_recipe *recipe)
{
    json_t *root = json_object();
    bool good = root != NULL;
    for (size_t i = 0; good && i < pm_recipe_field_count; i++) {
        const pm_recipe_field *field = &pm_recipe_fields[i];
        if (pm_field_applies(field, recipe->kind) && !goes_without_saying(field, recipe))
            good = put(root, field->path, pm_field_encode(field, recipe));
    }
    char *text = good ? json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(root);
    return text;
}

/* ---- Fitting to data ----------------------------------------------------------------------------------- */

static pm_status agree(const pm_recipe *recipe, const char *path, uint32_t *says, uint32_t is,
                       pm_error *error)
{
    const pm_recipe_field *field = pm_field_find(path);
    if (is < 1 || (double)is > field->high) {
        return pm_fail(error, PM_BAD_FILE, "%s: %s of the data is %u; it must be from 1 to %.0f",
                       recipe->data.source, path, is, field->high);
    }
    if (*says != 0 && *says != is) {
        return pm_fail(error, PM_BAD_FILE,
                       "%s: %s of the data is %u, but of %s it is %u; use other data, or another recipe",
                       recipe->data.source, path, is, recipe->name, *says);
    }
    *says = is;
    return PM_OK;
}

pm_status pm_recipe_fit_text(pm_recipe *recipe, uint32_t vocabulary, pm_error *error)
{
    pm_recipe fitted = *recipe;
    pm_status status =
        agree(recipe, "transformer.vocabulary", &fitted.transformer.vocabulary, vocabulary, error);
    if (status == PM_OK) status = check_together(&fitted, recipe->name, PM_BAD_USAGE, error);
    if (status != PM_OK) return status;
    share(&fitted);
    *recipe = fitted;
    return PM_OK;
}

/* Copies what fits, never a part of a UTF-8 character, and no control characters: the recipe has to be
 * readable again. */
static void copy_class_name(char *out, size_t room, const char *name, uint32_t number)
{
    size_t length = strlen(name);
    if (length >= room) {
        length = room - 1;
        while (length > 0 && ((unsigned char)name[length] & 0xc0) == 0x80) length--;
    }
    memset(out, 0, room);
    memcpy(out, name, length);
    const pm_recipe_field *field = pm_field_find("data.class_names");
    pm_recipe scratch = {0};
    json_t *list = json_pack("[s]", out);
    if (!list || !pm_field_decode(field, list, &scratch)) (void)snprintf(out, room, "class %u", number);
    json_decref(list);
}

pm_status pm_recipe_fit(pm_recipe *recipe, uint32_t height, uint32_t width, uint32_t channels,
                        uint32_t classes, const char *const *class_names, pm_error *error)
{
    pm_recipe fitted = *recipe;
    pm_status status = agree(recipe, "data.height", &fitted.data.height, height, error);
    if (status == PM_OK) status = agree(recipe, "data.width", &fitted.data.width, width, error);
    if (status == PM_OK) status = agree(recipe, "data.channels", &fitted.data.channels, channels, error);
    if (status == PM_OK && classes > 1)
        status = agree(recipe, "data.classes", &fitted.data.classes, classes, error);
    if (status != PM_OK) return status;
    if (classes <= 1 && recipe->kind == PM_KIND_IMAGE_CLASSIFIER) {
        return pm_fail(error, PM_BAD_FILE, "%s: a classifier needs data of two classes or more",
                       recipe->data.source);
    }
    if (classes <= 1 && recipe->data.classes > 1) {
        return pm_fail(error, PM_BAD_FILE, "%s: the data has no classes, but %s has %u", recipe->data.source,
                       recipe->name, recipe->data.classes);
    }
    if (classes <= 1) fitted.data.classes = 0; /* pictures of one class need no label */
    for (uint32_t i = 0; class_names && i < fitted.data.classes; i++) {
        copy_class_name(fitted.data.class_names[i], sizeof fitted.data.class_names[i], class_names[i], i);
    }
    status = check_together(&fitted, recipe->name, PM_BAD_USAGE, error);
    if (status != PM_OK) return status;
    share(&fitted);
    *recipe = fitted;
    return PM_OK;
}
