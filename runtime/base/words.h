/* Words that people type: lists of them, and how far they are from words that exist. */
#ifndef PM_BASE_WORDS_H
#define PM_BASE_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Levenshtein's distance: the least number of letters to insert, delete or replace that turns `a` into `b`.
 * Of each the first 63 bytes count. */
uint32_t pm_edit_distance(const char *a, const char *b);

/* The nearest of some words to `word`: the first of those at the least distance. Begins with `word` alone. */
typedef struct pm_nearest {
    const char *word, *best;
    uint32_t distance; /* of `best`; 0: it is the word */
} pm_nearest;
void pm_nearest_try(pm_nearest *nearest, const char *candidate);
/* Whether the nearest is near enough to be worth asking for. */
bool pm_nearest_likely(const pm_nearest *nearest);

/* The next word of a list with commas between, cut to what `word` has room for; false at the end. *rest is
 * the list, which has at least one word, then what is left of it, then NULL. */
bool pm_word_next(const char **rest, char *word, size_t size);

#endif
