/* A key and its value, as the metadata of a safetensors file and the text chunks of a PNG have them. */
#ifndef PM_FILES_TEXT_PAIR_H
#define PM_FILES_TEXT_PAIR_H

#include <stddef.h>
#include <string.h>

/* Both are NUL-terminated UTF-8. Who owns them is said where pairs are returned. */
typedef struct pm_text_pair {
    const char *key, *value;
} pm_text_pair;

/* The value of the first pair with this key, or NULL. */
static inline const char *pm_text_find(const pm_text_pair *pairs, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(pairs[i].key, key) == 0) return pairs[i].value;
    }
    return NULL;
}

#endif
