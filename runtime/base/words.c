/* See words.h. */
#include "base/words.h"

#include <stdio.h>
#include <string.h>

uint32_t pm_edit_distance(const char *a, const char *b)
{
    enum { LONGEST = 63 };
    uint32_t row[LONGEST + 1]; /* distances of what was read of `a` to each beginning of `b` */
    uint32_t length = (uint32_t)strnlen(b, LONGEST);
    for (uint32_t j = 0; j <= length; j++) row[j] = j;
    for (uint32_t i = 0; i < LONGEST && a[i]; i++) {
        uint32_t diagonal = row[0];
        row[0] = i + 1;
        for (uint32_t j = 1; j <= length; j++) {
            uint32_t best = diagonal + (a[i] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[length];
}

void pm_nearest_try(pm_nearest *nearest, const char *candidate)
{
    uint32_t distance = pm_edit_distance(nearest->word, candidate);
    if (nearest->best && distance >= nearest->distance) return;
    nearest->best = candidate;
    nearest->distance = distance;
}

bool pm_nearest_likely(const pm_nearest *nearest)
{
    return nearest->best && nearest->distance <= 1 + strlen(nearest->word) / 2;
}

bool pm_word_next(const char **rest, char *word, size_t size)
{
    if (!*rest) return false;
    size_t length = strcspn(*rest, ",");
    (void)snprintf(word, size, "%.*s", (int)(length < size ? length : size - 1), *rest);
    *rest = (*rest)[length] ? *rest + length + 1 : NULL;
    return true;
}
