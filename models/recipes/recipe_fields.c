/* The keys of a recipe and what each of them may be; see recipe_fields.h. */
#include "recipes/recipe_fields.h"

#include "base/text.h"
#include "sampling/masked_methods.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMAGE (1u << PM_KIND_IMAGE_DIFFUSION)
#define CLASSIFIER (1u << PM_KIND_IMAGE_CLASSIFIER)
#define PICTURES (IMAGE | CLASSIFIER)
#define CAUSAL (1u << PM_KIND_TEXT_AUTOREGRESSIVE)
#define MASKED (1u << PM_KIND_TEXT_MASKED)
#define TEXTUAL (CAUSAL | MASKED)
#define ALL (PICTURES | TEXTUAL)

static const char *const KINDS[] = {"image-diffusion", "image-classifier", "text-autoregressive",
                                    "text-masked", NULL};
static const char *const DECAYS[] = {"constant", "cosine", "linear", NULL};
static const char *const SCHEDULES[] = {"linear", "cosine", NULL};
static const char *const TARGETS[] = {"epsilon", "v", "x0", NULL};
static const char *const OBJECTIVES[] = {"t", "lambda", "k", "bert", NULL};
static const char *const MASKINGS[] = {"linear", "cosine", "polynomial", NULL};
static const char *const POSITIONS[] = {"rope", "rope-interleaved", "learned", NULL};
static const char *const NORMS[] = {"layer", "rms", NULL};
static const char *const MLPS[] = {"gelu", "swiglu", NULL};
const char *const pm_recipe_samplers[] = {PM_PICTURE_SAMPLERS, NULL};
const char *const pm_recipe_spacings[] = {"leading", "linspace", "trailing", "quadratic", NULL};

const char *const pm_masked_sampler_names[] = {PM_MASKED_METHODS(PM_METHOD_NAME) NULL};

_Static_assert(sizeof(pm_model_kind) == sizeof(unsigned) && sizeof(pm_lr_decay) == sizeof(unsigned) &&
                   sizeof(pm_schedule) == sizeof(unsigned) && sizeof(pm_target) == sizeof(unsigned) &&
                   sizeof(pm_positions) == sizeof(unsigned) && sizeof(pm_norm_kind) == sizeof(unsigned) &&
                   sizeof(pm_mlp_kind) == sizeof(unsigned) &&
                   sizeof(pm_masked_objective) == sizeof(unsigned) &&
                   sizeof(pm_mask_schedule) == sizeof(unsigned),
               "enumerations are read and written as unsigned");

/* A row begins with the member of pm_recipe, which is the path as well. */
#define ROW(member, of_type) .path = #member, .type = of_type, .at = offsetof(pm_recipe, member)
#define ROOM(member) .room = sizeof(((pm_recipe *)0)->member)

#define TEXT(member) ROW(member, PM_FIELD_TEXT), ROOM(member)
#define NAME(member, names) TEXT(member), .choices = names
#define CHOICE(member, names) ROW(member, PM_FIELD_CHOICE), .choices = names
#define BOOL(member) ROW(member, PM_FIELD_BOOL)
#define RANGE(from, to) .low = from, .high = to
#define U32(member, from, to) ROW(member, PM_FIELD_U32), RANGE(from, to)
#define U64(member) ROW(member, PM_FIELD_U64)
#define FLOAT(member, from, to) ROW(member, PM_FIELD_FLOAT), RANGE(from, to)
#define ENTRIES(member) .room = sizeof(((pm_recipe *)0)->member) / sizeof(((pm_recipe *)0)->member[0])
#define LIST(member, count, from, to) \
    ROW(member, PM_FIELD_LIST), ENTRIES(member), .count_at = offsetof(pm_recipe, count), RANGE(from, to)
#define TEXTS(member) ROW(member, PM_FIELD_TEXTS), ENTRIES(member)
#define FOR(for_kinds, value, text) .kinds = for_kinds, .fallback = value, .help = text

const pm_recipe_field pm_recipe_fields[] = {
    {TEXT(name), FOR(ALL, NULL, "what the recipe is called")},
    {TEXT(description), FOR(ALL, "\"\"", "one line on what it makes")},
    {CHOICE(kind, KINDS), FOR(ALL, NULL, "what is trained")},

    {TEXT(data.source),
     FOR(ALL, "\"fashion-mnist\"",
         "\"fashion-mnist\", or a directory of pictures or IDX files; of text: \"kjv\", a file or a folder")},
    {TEXT(data.tokenizer),
     FOR(TEXTUAL, "\"characters\"",
         "\"characters\" (those of the text), \"bytes\", or GPT-2's files: tokenizer.json or a folder")},
    {FLOAT(data.validation, 0, 0.5), FOR(TEXTUAL, "0.05", "part of the text that is kept for validation")},
    {U64(data.split_seed), FOR(TEXTUAL, "0", "decides which part")},
    {BOOL(data.mirror), FOR(PICTURES, "false", "mirror pictures left-right at random while training")},
    {U32(data.size, 0, 1024),
     FOR(PICTURES, "0", "crop and scale the pictures of a folder to this height and width; 0: leave them")},
    {U32(data.height, 0, 1024), FOR(PICTURES, "0", "pixels; 0: as the data says")},
    {U32(data.width, 0, 1024), FOR(PICTURES, "0", "pixels; 0: as the data says")},
    {U32(data.channels, 0, 4), FOR(PICTURES, "0", "1 for grey, 3 for colour; 0: as the data says")},
    {U32(data.classes, 0, 64), FOR(PICTURES, "0", "number of classes; 0: as the data says")},
    {TEXTS(data.class_names), FOR(PICTURES, "[]", "what the classes are called; empty: as the data says")},

    {U32(unet.base, 2, 1024),
     FOR(IMAGE, NULL, "channels of the first level; even, and a multiple of unet.groups")},
    {LIST(unet.multipliers, unet.levels, 1, 16),
     FOR(IMAGE, NULL,
         "channels of each level, as multiples of unet.base; each level halves height and width")},
    {U32(unet.blocks, 1, 8),
     FOR(IMAGE, "1", "residual blocks of a level on the way down; the way up has one more")},
    {LIST(unet.attention, unet.n_attention, 1, 1024),
     FOR(IMAGE, "[]", "heights at which blocks end with self-attention; the middle always has it")},
    {U32(unet.heads, 1, 64), FOR(IMAGE, "1", "of attention")},
    {U32(unet.groups, 1, 64), FOR(IMAGE, "8", "of group normalisation")},
    {FLOAT(unet.dropout, 0, 0.9), FOR(IMAGE, "0.0", "probability, inside residual blocks while training")},

    {U32(classifier.base, 1, 256),
     FOR(CLASSIFIER, NULL, "channels of the first stage; the second has twice as many")},
    {U32(classifier.features, 1, 256), FOR(CLASSIFIER, "64", "width of the layer before the logits")},
    {FLOAT(classifier.dropout, 0, 0.9),
     FOR(CLASSIFIER, "0.0", "probability, on the features while training")},

    {U32(transformer.vocabulary, 0, 1000000), FOR(TEXTUAL, "0", "tokens; 0: as the tokenizer says")},
    {U32(transformer.context, 2, 65536),
     FOR(TEXTUAL, NULL, "tokens of a window: the most that are seen at once")},
    {U32(transformer.width, 2, 8192), FOR(TEXTUAL, NULL, "of the features; a multiple of transformer.heads")},
    {U32(transformer.layers, 1, PM_TRANSFORMER_LAYERS), FOR(TEXTUAL, NULL, "blocks of attention and MLP")},
    {U32(transformer.heads, 1, 128), FOR(TEXTUAL, NULL, "of attention")},
    {U32(transformer.kv_heads, 0, 128),
     FOR(TEXTUAL, "0", "heads of keys and values, a divisor of transformer.heads; 0: as many")},
    {U32(transformer.hidden, 0, 32768),
     FOR(TEXTUAL, "0", "width inside the MLP; 0: 4 transformer.width, or 8/3 of it with swiglu")},
    {CHOICE(transformer.positions, POSITIONS), FOR(TEXTUAL, "\"rope\"", "how positions are told")},
    {FLOAT(transformer.theta, 2, 1e9), FOR(TEXTUAL, "10000.0", "base of rotary positions")},
    {CHOICE(transformer.norm, NORMS), FOR(TEXTUAL, "\"rms\"", "RMSNorm or LayerNorm")},
    {CHOICE(transformer.mlp, MLPS), FOR(TEXTUAL, "\"swiglu\"", "the MLP's activation")},
    {BOOL(transformer.tied), FOR(TEXTUAL, "true", "use the embedding table as the head")},
    {BOOL(transformer.time), FOR(MASKED, "false", "tell the network the time of the process (adaLN)")},
    {FLOAT(transformer.dropout, 0, 0.9), FOR(TEXTUAL, "0.0", "probability, while training")},

    {CHOICE(masked.objective, OBJECTIVES), FOR(MASKED, "\"k\"",
                                               "the loss: \"k\" (so many masks, the least noisy), \"t\" or "
                                               "\"lambda\" (a time or a rate), or \"bert\" (one "
                                               "rate, no bound)")},
    {CHOICE(masked.schedule, MASKINGS),
     FOR(MASKED, "\"linear\"", "of objective t: how the rate of masks grows with time")},
    {FLOAT(masked.eps, 0, 0.5), FOR(MASKED, "0.001", "probability that a token is never masked")},
    {FLOAT(masked.power, 0, 100),
     FOR(MASKED, "2.0", "of schedule polynomial: its exponent; of objective bert: the rate, 0.15")},
    {FLOAT(masked.t_min, 0, 0.5), FOR(MASKED, "0.001", "the earliest time")},
    {BOOL(masked.stratified), FOR(MASKED, "true", "spread the times of a batch evenly")},
    {CHOICE(process.schedule, SCHEDULES), FOR(IMAGE, "\"cosine\"", "how the noise grows with time")},
    {U32(process.timesteps, 2, 10000), FOR(IMAGE, "1000", "T; the linear schedule needs more than 20")},
    {CHOICE(process.target, TARGETS), FOR(IMAGE, "\"v\"", "what the network predicts")},

    {U32(training.batch, 1, 4096), FOR(ALL, NULL, "pictures, or windows of text, in a step")},
    {U32(training.steps, 1, 10000000), FOR(ALL, NULL, "of the whole training")},
    {FLOAT(training.learning_rate, 1e-9, 1), FOR(ALL, NULL, "at its highest")},
    {U32(training.warmup, 0, 1000000), FOR(ALL, "0", "steps over which the learning rate rises from 0")},
    {CHOICE(training.decay, DECAYS),
     FOR(ALL, "\"constant\"", "how the learning rate falls, to 0 at the last step")},
    {FLOAT(training.beta1, 0, 0.9999), FOR(ALL, "0.9", "AdamW: decay of the mean of gradients")},
    {FLOAT(training.beta2, 0, 0.999999), FOR(ALL, "0.999", "AdamW: decay of the mean of their squares")},
    {FLOAT(training.eps, 1e-12, 1), FOR(ALL, "1e-8", "AdamW: added to the root of that mean")},
    {FLOAT(training.weight_decay, 0, 1),
     FOR(ALL, "0.0", "AdamW: of matrices and kernels, times the learning rate")},
    {FLOAT(training.clip_norm, 0, 1e6), FOR(ALL, "1.0", "largest norm of the whole gradient; 0: any")},
    {FLOAT(training.ema, 0, 0.999999), FOR(ALL, "0.0", "decay of the average of the weights; 0: no average")},
    {BOOL(training.recompute),
     FOR(ALL, "false",
         "compute activations again instead of keeping them: less memory, more work, the same bits")},
    {BOOL(training.ema_warmup), FOR(ALL, "true", "let that decay start low, as (1 + step) / (10 + step)")},
    {FLOAT(training.label_dropout, 0, 1),
     FOR(IMAGE, "0.15", "probability of the null class, which guidance needs")},
    {U64(training.seed), FOR(ALL, "0", "of all that is random")},
    {U32(training.save_every, 0, 10000000), FOR(ALL, "0", "steps between checkpoints; 0: only at the end")},
    {U32(training.sample_every, 0, 10000000),
     FOR(IMAGE | TEXTUAL, "0", "steps between samples; 0: only at the end")},

    {NAME(sampling.sampler, pm_recipe_samplers), FOR(IMAGE, "\"ddim\"", "unless the command says otherwise")},
    {NAME(sampling.spacing, pm_recipe_spacings), FOR(IMAGE, "\"trailing\"", "which timesteps it visits")},
    {U32(sampling.steps, 1, 10000), FOR(IMAGE, "50", "at most process.timesteps")},
    {FLOAT(sampling.eta, 0, 1), FOR(IMAGE, "0.0", "of DDIM: 0 is deterministic, 1 as random as DDPM")},
    {FLOAT(sampling.guidance, 0, 100),
     FOR(IMAGE, "2.0", "weight of the class: 1 is the model alone, more is clearer and less varied")},

    {NAME(generation.sampler, pm_masked_sampler_names),
     FOR(MASKED, "\"ancestral\"", "unless the command says otherwise")},
    {U32(generation.steps, 0, 100000), FOR(MASKED, "0", "network passes; 0: one for each token")},
    {U32(generation.block, 0, 65536),
     FOR(MASKED, "0", "tokens of a block, which are filled from left to right; 0: all at once")},
    {FLOAT(generation.temperature, 0, 10), FOR(TEXTUAL, "1.0", "0 takes the most probable token")},
    {U32(generation.top_k, 0, 1000000), FOR(TEXTUAL, "0", "draw from so many tokens; 0: from all")},
    {FLOAT(generation.top_p, 0, 1),
     FOR(TEXTUAL, "1.0", "draw from the fewest tokens that have so much probability")},
    {FLOAT(generation.min_p, 0, 1),
     FOR(TEXTUAL, "0.0", "draw from tokens of so much of the highest probability")},
    {FLOAT(generation.repetition, 0, 10), FOR(CAUSAL, "1.0", "penalty of tokens that were there; 1: none")},
    {FLOAT(generation.position_temperature, 0, 100),
     FOR(MASKED, "0.0", "of the choice of positions, where a sampler ranks them")},
    {FLOAT(generation.threshold, 0, 1),
     FOR(MASKED, "0.9", "of sampler threshold: reveal what is as sure as this")},
};

const size_t pm_recipe_field_count = sizeof pm_recipe_fields / sizeof pm_recipe_fields[0];

const char *pm_model_kind_name(pm_model_kind kind)
{
    return KINDS[kind];
}

/* ---- Finding a field ----------------------------------------------------------------------------------- */

bool pm_field_applies(const pm_recipe_field *field, pm_model_kind kind)
{
    return field->kinds >> kind & 1u;
}

const pm_recipe_field *pm_field_find(const char *path)
{
    for (size_t i = 0; i < pm_recipe_field_count; i++) {
        if (strcmp(pm_recipe_fields[i].path, path) == 0) return &pm_recipe_fields[i];
    }
    return NULL;
}

static const char *last_part(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

const char *pm_field_nearest(const char *path, pm_model_kind kind, char *buffer, size_t size)
{
    uint32_t best = UINT32_MAX;
    for (size_t i = 0; i < pm_recipe_field_count; i++) {
        const pm_recipe_field *field = &pm_recipe_fields[i];
        if (!pm_field_applies(field, kind)) continue;
        uint32_t whole = pm_edit_distance(path, field->path);
        uint32_t last = pm_edit_distance(last_part(path), last_part(field->path)) + 1;
        uint32_t distance = whole < last ? whole : last;
        if (distance < best) {
            best = distance;
            (void)snprintf(buffer, size, "%s", field->path);
        }
        const char *dot = strchr(field->path, '.');
        if (!dot || strchr(path, '.')) continue;
        char section[32];
        (void)snprintf(section, sizeof section, "%.*s", (int)(dot - field->path), field->path);
        distance = pm_edit_distance(path, section);
        if (distance < best) {
            best = distance;
            (void)snprintf(buffer, size, "%s", section);
        }
    }
    return buffer;
}

/* ---- What a field takes -------------------------------------------------------------------------------- */

static void append(char *buffer, size_t size, const char *text)
{
    size_t used = strlen(buffer);
    (void)snprintf(buffer + used, size - used, "%s", text);
}

static void list_choices(const char *const *choices, char *buffer, size_t size)
{
    buffer[0] = 0;
    for (size_t i = 0; choices[i]; i++) {
        if (i > 0) append(buffer, size, choices[i + 1] ? ", " : " or ");
        append(buffer, size, choices[i]);
    }
}

void pm_field_wants(const pm_recipe_field *field, char *buffer, size_t size)
{
    if (field->choices) {
        list_choices(field->choices, buffer, size);
        return;
    }
    switch (field->type) {
    case PM_FIELD_TEXT:
        (void)snprintf(buffer, size, "text of at most %u bytes without control characters", field->room - 1);
        break;
    case PM_FIELD_BOOL:
        (void)snprintf(buffer, size, "true or false");
        break;
    case PM_FIELD_U32:
        (void)snprintf(buffer, size, "a whole number from %.0f to %.0f", field->low, field->high);
        break;
    case PM_FIELD_U64:
        (void)snprintf(buffer, size, "a whole number from 0 to %llu", (unsigned long long)UINT64_MAX);
        break;
    case PM_FIELD_FLOAT:
        (void)snprintf(buffer, size, "a number from %g to %g", field->low, field->high);
        break;
    case PM_FIELD_LIST:
        (void)snprintf(buffer, size, "a list of %sat most %u whole numbers from %.0f to %.0f",
                       field->fallback ? "" : "at least one and ", field->room, field->low, field->high);
        break;
    case PM_FIELD_TEXTS:
        (void)snprintf(buffer, size,
                       "a list of at most %u texts of 1 to %zu bytes without control characters", field->room,
                       sizeof((pm_recipe *)0)->data.class_names[0] - 1);
        break;
    case PM_FIELD_CHOICE:
        break; /* it has choices */
    }
}

void pm_recipe_describe(void (*line)(void *user, const char *text), void *user)
{
    for (size_t i = 0; i < pm_recipe_field_count; i++) {
        const pm_recipe_field *field = &pm_recipe_fields[i];
        char wants[160], value[96] = "required", text[500];
        pm_field_wants(field, wants, sizeof wants);
        if (field->fallback) (void)snprintf(value, sizeof value, "default %s", field->fallback);
        char only[96] = "";
        for (unsigned kind = 0; KINDS[kind] && field->kinds != ALL; kind++) {
            if (!(field->kinds >> kind & 1u)) continue;
            append(only, sizeof only, *only ? ", " : "; only for ");
            append(only, sizeof only, KINDS[kind]);
        }
        (void)snprintf(text, sizeof text, "%-24s %s (%s; %s%s)", field->path, field->help, wants, value,
                       only);
        line(user, text);
    }
}

/* ---- From JSON ----------------------------------------------------------------------------------------- */

/* Control characters are refused: texts of a model file are shown on terminals. (UTF-8 was checked by the
 * parser.) */
static bool decode_text(const json_t *value, char *out, size_t room)
{
    const char *text = json_string_value(value);
    if (!text || strlen(text) >= room) return false;
    for (const char *at = text; *at; at++) {
        if (pm_control_bytes(at)) return false;
    }
    memset(out, 0, room); /* two recipes that say the same are the same bytes */
    memcpy(out, text, strlen(text));
    return true;
}

static bool find_choice(const char *const *choices, const json_t *value, unsigned *out)
{
    const char *text = json_string_value(value);
    for (unsigned i = 0; text && choices[i]; i++) {
        if (strcmp(text, choices[i]) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

static bool decode_u32(const pm_recipe_field *field, const json_t *value, uint32_t *out)
{
    if (!json_is_integer(value)) return false;
    json_int_t number = json_integer_value(value);
    if ((double)number < field->low || (double)number > field->high) return false;
    *out = (uint32_t)number;
    return true;
}

static bool decode_u64(const json_t *value, uint64_t *out)
{
    if (json_is_integer(value)) {
        *out = (uint64_t)json_integer_value(value);
        return json_integer_value(value) >= 0;
    }
    const char *text = json_string_value(value);
    if (!text || *text < '0' || *text > '9') return false;
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && *end == 0;
}

static bool decode_float(const pm_recipe_field *field, const json_t *value, float *out)
{
    if (!json_is_number(value)) return false;
    double number = json_number_value(value);
    if (!(number >= field->low && number <= field->high)) return false;
    *out = (float)number;
    return true;
}

static bool decode_list(const pm_recipe_field *field, const json_t *value, uint32_t *out, uint32_t *count)
{
    size_t n = json_array_size(value);
    if (!json_is_array(value) || n > field->room || (n == 0 && !field->fallback)) return false;
    memset(out, 0, field->room * sizeof *out);
    *count = (uint32_t)n;
    for (size_t i = 0; i < n; i++) {
        if (!decode_u32(field, json_array_get(value, i), &out[i])) return false;
    }
    return true;
}

static bool decode_texts(const pm_recipe_field *field, const json_t *value, pm_recipe *recipe)
{
    size_t n = json_array_size(value), length = sizeof recipe->data.class_names[0];
    if (!json_is_array(value) || n > field->room) return false;
    char *out = (char *)recipe + field->at;
    memset(out, 0, field->room * length);
    for (size_t i = 0; i < n; i++) {
        if (!decode_text(json_array_get(value, i), out + i * length, length) || !out[i * length])
            return false;
    }
    return true;
}

bool pm_field_decode(const pm_recipe_field *field, const json_t *value, pm_recipe *recipe)
{
    void *at = (char *)recipe + field->at;
    unsigned index;
    switch (field->type) {
    case PM_FIELD_TEXT:
        return (!field->choices || find_choice(field->choices, value, &index)) &&
               decode_text(value, at, field->room);
    case PM_FIELD_CHOICE:
        if (!find_choice(field->choices, value, &index)) return false;
        memcpy(at, &index, sizeof index);
        return true;
    case PM_FIELD_BOOL:
        *(bool *)at = json_is_true(value);
        return json_is_boolean(value);
    case PM_FIELD_U32:
        return decode_u32(field, value, at);
    case PM_FIELD_U64:
        return decode_u64(value, at);
    case PM_FIELD_FLOAT:
        return decode_float(field, value, at);
    case PM_FIELD_LIST:
        return decode_list(field, value, at, (uint32_t *)(void *)((char *)recipe + field->count_at));
    case PM_FIELD_TEXTS:
        return decode_texts(field, value, recipe);
    }
    return false;
}

/* ---- To JSON ------------------------------------------------------------------------------------------- */

/* The shortest decimal that reads as the same float, so that 0.1f is written as 0.1. */
static json_t *encode_float(float value)
{
    char text[40];
    for (int digits = 1; digits <= 9; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if ((float)strtod(text, NULL) == value) break;
    }
    return json_real(strtod(text, NULL));
}

static json_t *encode_u64(uint64_t value)
{
    if (value <= INT64_MAX) return json_integer((json_int_t)value);
    char text[24];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return json_string(text);
}

static json_t *encode_list(const uint32_t *values, uint32_t count)
{
    json_t *list = json_array();
    for (uint32_t i = 0; list && i < count; i++) {
        if (json_array_append_new(list, json_integer(values[i])) == 0) continue;
        json_decref(list);
        list = NULL;
    }
    return list;
}

static json_t *encode_texts(const pm_recipe_field *field, const pm_recipe *recipe)
{
    const char *text = (const char *)recipe + field->at;
    json_t *list = json_array();
    for (uint32_t i = 0; list && i < field->room && *text; i++, text += sizeof recipe->data.class_names[0]) {
        if (json_array_append_new(list, json_string(text)) == 0) continue;
        json_decref(list);
        list = NULL;
    }
    return list;
}

json_t *pm_field_encode(const pm_recipe_field *field, const pm_recipe *recipe)
{
    const void *at = (const char *)recipe + field->at;
    unsigned index;
    switch (field->type) {
    case PM_FIELD_TEXT:
        return json_string(at);
    case PM_FIELD_CHOICE:
        memcpy(&index, at, sizeof index);
        return json_string(field->choices[index]);
    case PM_FIELD_BOOL:
        return json_boolean(*(const bool *)at);
    case PM_FIELD_U32:
        return json_integer(*(const uint32_t *)at);
    case PM_FIELD_U64:
        return encode_u64(*(const uint64_t *)at);
    case PM_FIELD_FLOAT:
        return encode_float(*(const float *)at);
    case PM_FIELD_LIST:
        return encode_list(at, *(const uint32_t *)(const void *)((const char *)recipe + field->count_at));
    case PM_FIELD_TEXTS:
        return encode_texts(field, recipe);
    }
    return NULL;
}
