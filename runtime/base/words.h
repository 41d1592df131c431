/* Words that people type: how far they are from words that exist. */
#ifndef PM_BASE_WORDS_H
#define PM_BASE_WORDS_H

#include <stdint.h>

/* Levenshtein's distance: the least number of letters to insert, delete or replace that turns `a` into `b`.
 * Of each the first 63 bytes count. */
uint32_t pm_edit_distance(const char *a, const char *b);

#endif
