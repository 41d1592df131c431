/* What general compressors need for a text: the marks that a language model's bits per character are read
 * against. */
#ifndef PM_TEXT_COMPRESSORS_H
#define PM_TEXT_COMPRESSORS_H

#include "pumice.h"

#define PM_COMPRESSORS 3

typedef struct pm_compressed {
    const char *command;       /* "gzip -9", "bzip2 -9", "xz -9e" */
    bool installed;            /* otherwise the rest is 0 */
    uint64_t bytes;            /* of the compressed file */
    double bits_per_character; /* 8 bytes / pm_count_characters(); 0 for no data */
} pm_compressed;

/* Runs the system's gzip, bzip2 and xz, each as strong as it gets, on `size` bytes. The commands are found by
 * PATH and run without a shell and without the options that the environment has for them; one that is missing
 * is no failure. xz takes about a second for a megabyte.
 *
 * Fails with PM_FAILED when a command does, PM_IO when it cannot be started or talked to, PM_NO_MEMORY. */
pm_status pm_compress(const uint8_t *data, size_t size, pm_compressed out[PM_COMPRESSORS], pm_error *error);

/* The characters of UTF-8 text, that is its code points (Unicode 15, table 3-7). A byte that is no part of a
 * well-formed one counts as a character of its own. */
uint64_t pm_count_characters(const uint8_t *data, size_t size);

#endif
