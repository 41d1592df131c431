/* Text to learn from, in memory, as bytes: what a tokenizer makes of it comes later. */
#ifndef PM_DATA_TEXT_H
#define PM_DATA_TEXT_H

#include "pumice.h"

typedef struct pm_text {
    uint8_t *bytes; /* [size], followed by a NUL that size does not count; NULL when nothing was loaded */
    size_t size;
    size_t files;   /* how many it was read from */
    size_t skipped; /* entries of a folder that were passed over */
} pm_text;

/* The most bytes of a text, so that an index fits 31 bits. */
#define PM_TEXT_MAX_BYTES 0x7fffffff

/* Where a data set of text is.
 *
 * "kjv", the King James Bible as tools/kjv.sh writes it, is the first that is there of $PUMICE_DATA/kjv.txt,
 * out/data/kjv.txt below the current directory, and $XDG_DATA_HOME/pumice/kjv.txt (~/.local/share when that
 * is not set). Any other source is a path and is taken as it is; a file named kjv is "./kjv".
 *
 * *path comes from malloc and is the caller's. Fails with PM_IO, and says how to get the text, when there is
 * none; PM_NO_MEMORY. */
pm_status pm_text_find(const char *source, char **path, pm_error *error);

/* Loads a source (see pm_text_find): a text file, or all text files of a folder and of the folders in it, in
 * the order of the bytes of their paths, with a newline between two where the first does not end with one.
 *
 * Of a folder these are passed over and counted: names that begin with a dot, files with a NUL byte in them,
 * which are not text, links to other folders, and what is neither file nor folder. `max_bytes` is the most
 * that the whole may have; 0: PM_TEXT_MAX_BYTES, which is also the most that it can be.
 *
 * The caller frees *out, which is all zero after a failure: PM_IO when something cannot be read, PM_BAD_FILE
 * when there is no text in it, when a file that was named itself has a NUL byte, or when it is too large;
 * PM_NO_MEMORY. */
pm_status pm_text_load(const char *source, size_t max_bytes, pm_text *out, pm_error *error);

/* Cuts `text` into PM_TEXT_PIECES pieces of about the same size and gives some of them to *validation: whole
 * pieces in an order shuffled by `seed`, until they have at least the `fraction` of all bytes. *train is the
 * others. Both keep the order of the text, and every byte is in one of them.
 *
 * A cut is at the end of a line; where none is near, after a space; where there is no space either, between
 * two UTF-8 characters. A text of short lines and few bytes makes fewer pieces.
 *
 * fraction: 0 to 0.9, usually PM_TEXT_VALIDATION_FRACTION. With 0 *validation is empty. Otherwise neither is:
 * fails with PM_BAD_USAGE when the text does not make two pieces, or when fraction is out of range;
 * PM_NO_MEMORY. The caller frees both, which are all zero after a failure. */
pm_status pm_text_split(const pm_text *text, double fraction, uint64_t seed, pm_text *train,
                        pm_text *validation, pm_error *error);

#define PM_TEXT_PIECES 100
#define PM_TEXT_VALIDATION_FRACTION 0.05

/* Frees what is in it and leaves it all zero. */
void pm_text_free(pm_text *text);

#endif
