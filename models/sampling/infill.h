/* Texts with blanks: what is given, and how many tokens are to be drawn where. */
#ifndef PM_SAMPLING_INFILL_H
#define PM_SAMPLING_INFILL_H

#include "sampling/generate.h"

enum { PM_MOST_BLANKS = 32 };

/* A given piece of text, and the blank of `least` to `most` tokens that follows it (0 and 0: none does). */
typedef struct pm_infill_part {
    uint32_t *tokens; /* owned */
    uint32_t n;
    uint32_t least, most;
} pm_infill_part;

typedef struct pm_infill {
    pm_infill_part parts[PM_MOST_BLANKS + 1];
    uint32_t count;
} pm_infill;

/* Parses a template (see pm_text_options.infill). Fails with PM_BAD_USAGE when it has no blank, more than
 * PM_MOST_BLANKS, or one that is written wrong; and where the tokenizer does not know a character. The caller
 * frees *out with pm_infill_free, also after a failure. */
pm_status pm_infill_parse(const pm_tokenizer *tokenizer, const char *text, pm_infill *out, pm_error *error);

/* prompt, a blank of `length` tokens, suffix; either may be NULL. */
pm_status pm_infill_from_ends(const pm_tokenizer *tokenizer, const char *prompt, uint32_t length,
                              const char *suffix, pm_infill *out, pm_error *error);
void pm_infill_free(pm_infill *infill);

/* Tokens in all, with blanks as long as they may be. */
uint64_t pm_infill_length(const pm_infill *infill);

/* The canvas u32 [pm_infill_length], with `mask` in blanks, each as long as its `least`. Returns its length.
 */
uint32_t pm_infill_canvas(const pm_infill *infill, uint32_t mask, uint32_t *canvas);

/* Decides the length of every free blank: the one under which what follows it, up to the next blank, is most
 * probable given all that precedes it, token by token; exact for a network that knows all conditionals. A
 * blank with nothing behind it is as long as it may be. Sets least = most. */
pm_status pm_infill_choose_lengths(pm_generation *g, pm_infill *infill, pm_error *error);

#endif
