/* The keys of a recipe, as one table: reading, `--set`, writing and the list of keys all follow from it. To
 * add a key, add a member to pm_recipe and a row to the table. */
#ifndef PM_RECIPES_RECIPE_FIELDS_H
#define PM_RECIPES_RECIPE_FIELDS_H

#include "base/words.h"
#include "recipes/recipe.h"

#include <jansson.h>

typedef enum pm_field_type {
    PM_FIELD_TEXT,   /* a char array */
    PM_FIELD_CHOICE, /* an enumeration, counted from 0 in the order of `choices` */
    PM_FIELD_BOOL,
    PM_FIELD_U32,
    PM_FIELD_U64, /* above 2^63 - 1, which jansson cannot hold, it is written as text */
    PM_FIELD_FLOAT,
    PM_FIELD_LIST,  /* of u32 */
    PM_FIELD_TEXTS, /* a list of texts; it ends before the first that is empty */
} pm_field_type;

typedef struct pm_recipe_field {
    const char *path; /* "section.key", or "key" */
    pm_field_type type;
    size_t at;                  /* where it lies in pm_recipe, in bytes */
    double low, high;           /* range of a number, or of each in a list; both ends belong to it */
    uint32_t room;              /* bytes of a text with its NUL, or entries of a list */
    size_t count_at;            /* PM_FIELD_LIST: where the number of its entries lies */
    const char *const *choices; /* of PM_FIELD_CHOICE, and of some texts; ended by NULL */
    unsigned kinds;             /* bits 1 << pm_model_kind: models that it means something for */
    const char *fallback;       /* JSON of the value when it is left out; NULL: it must be there */
    const char *help;
} pm_recipe_field;

extern const pm_recipe_field pm_recipe_fields[];
extern const size_t pm_recipe_field_count;

#define PM_PICTURE_SAMPLERS "ddim", "ddpm", "ddpm-large"

/* What sampling.sampler, sampling.spacing and generation.sampler may be; each ended by NULL. */
extern const char *const pm_recipe_samplers[];
extern const char *const pm_masked_sampler_names[];
extern const char *const pm_recipe_spacings[];

bool pm_field_applies(const pm_recipe_field *field, pm_model_kind kind);

/* The field with this path, or NULL. */
const pm_recipe_field *pm_field_find(const char *path);

/* The path of a field or section for this kind of model that `path` comes nearest to by edit distance; a key
 * that was put into a wrong section is known by its last part. */
const char *pm_field_nearest(const char *path, pm_model_kind kind, char *buffer, size_t size);

/* What the field takes, such as "a whole number from 1 to 4096". */
void pm_field_wants(const pm_recipe_field *field, char *buffer, size_t size);

/* Stores a value: false when it is of the wrong type or out of range, and then the recipe may be half changed
 * in this field. */
bool pm_field_decode(const pm_recipe_field *field, const json_t *value, pm_recipe *recipe);

/* The value as JSON, which the caller releases; NULL when memory ran out. */
json_t *pm_field_encode(const pm_recipe_field *field, const pm_recipe *recipe);

/* The recipes that were built in: names, ended by NULL, and their JSON texts. (The build makes the file.) */
extern const char *const pm_embedded_recipe_names[];
extern const char *const pm_embedded_recipe_texts[];

#endif
