/* What of a text is for validation; see text.h.
 *
 * Whole stretches are kept back, not single lines: lines next to each other are so much alike that a model
 * which learned by heart what is around a line would seem to know it. */
#include "data/text.h"

#include "base/checked.h"
#include "base/philox.h"
#include "base/status.h"

#include <stdlib.h>
#include <string.h>

#define STREAM_PIECES 0xfffffffdu /* the shuffle's own stream; see base/philox.h */

enum {
    PIECES = PM_TEXT_PIECES,
    SHORTEST_SEARCH = 4096, /* bytes in which the end of a line is looked for, even when pieces are shorter */
};

/* ---- Cuts ---------------------------------------------------------------------------------------------- */

/* Where to cut at or after `at`, which is inside the text. */
static size_t cut_near(const pm_text *text, size_t at)
{
    const uint8_t *bytes = text->bytes;
    size_t search = text->size / PIECES / 2, left = text->size - at;
    if (search < SHORTEST_SEARCH) search = SHORTEST_SEARCH;
    if (search > left) search = left;
    /* From one byte before: `at` itself may be right after the end of a line. */
    for (const char *end = "\n "; *end; end++) {
        const uint8_t *found = memchr(bytes + at - 1, *end, search + 1);
        if (found) return (size_t)(found - bytes) + 1;
    }
    for (int i = 0; i < 3 && at < text->size && (bytes[at] & 0xc0) == 0x80; i++) at++;
    return at;
}

/* Fills cuts[0 .. pieces] with where the pieces begin and end and returns their number: each has at least a
 * byte. */
static uint32_t cut_text(const pm_text *text, size_t cuts[PIECES + 1])
{
    uint32_t pieces = 0;
    cuts[0] = 0;
    for (size_t i = 1; i < PIECES; i++) {
        size_t at = (size_t)((uint64_t)text->size * i / PIECES);
        if (at <= cuts[pieces]) continue;
        size_t cut = cut_near(text, at);
        if (cut > cuts[pieces] && cut < text->size) cuts[++pieces] = cut;
    }
    cuts[++pieces] = text->size;
    return pieces;
}

/* ---- The choice ---------------------------------------------------------------------------------------- */

/* The pieces in random order (Fisher and Yates's shuffle). */
static void shuffle_pieces(uint32_t pieces, uint64_t seed, uint32_t order[PIECES])
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    for (uint32_t i = 0; i < pieces; i++) order[i] = i;
    for (uint32_t i = pieces - 1; i > 0; i--) {
        const uint32_t counter[4] = {i, 0, 0, STREAM_PIECES};
        uint32_t bits[4];
        pm_philox4x32(counter, key, bits);
        uint32_t other = pm_below(bits[0], i + 1), kept = order[i];
        order[i] = order[other];
        order[other] = kept;
    }
}

/* Says which pieces are for validation: at least one, never all. Returns how many bytes they have. */
static size_t choose(const size_t *cuts, uint32_t pieces, double fraction, uint64_t seed, bool *chosen)
{
    uint32_t order[PIECES];
    size_t bytes = 0;
    shuffle_pieces(pieces, seed, order);
    memset(chosen, 0, PIECES * sizeof *chosen);
    for (uint32_t i = 0; i + 1 < pieces; i++) {
        if (i > 0 && (double)bytes >= fraction * (double)cuts[pieces]) break;
        chosen[order[i]] = true;
        bytes += cuts[order[i] + 1] - cuts[order[i]];
    }
    return bytes;
}

/* ---- The split ----------------------------------------------------------------------------------------- */

/* An empty text with memory for `size` bytes. */
static bool make_room(pm_text *text, size_t size)
{
    size_t room;
    *text = (pm_text){0};
    if (!pm_add_size(size, 1, &room)) return false;
    text->bytes = calloc(room, 1);
    return text->bytes != NULL;
}

static void append(pm_text *text, const uint8_t *bytes, size_t size)
{
    memcpy(text->bytes + text->size, bytes, size);
    text->size += size;
}

pm_status pm_text_split(const pm_text *text, double fraction, uint64_t seed, pm_text *train,
                        pm_text *validation, pm_error *error)
{
    *train = *validation = (pm_text){0};
    if (!(fraction >= 0 && fraction <= 0.9))
        return pm_fail(error, PM_BAD_USAGE, "the validation fraction of a text is from 0 to 0.9");
    size_t cuts[PIECES + 1] = {0}, held_out = 0;
    bool chosen[PIECES] = {false};
    uint32_t pieces = text->size > 0 ? cut_text(text, cuts) : 0;
    if (fraction > 0) {
        if (pieces < 2) {
            return pm_fail(
                error, PM_BAD_USAGE,
                "the text has %zu bytes in a single line, too little to keep a part of it back for "
                "validation; set the validation fraction to 0",
                text->size);
        }
        held_out = choose(cuts, pieces, fraction, seed, chosen);
    }
    if (!make_room(train, text->size - held_out) || !make_room(validation, held_out)) {
        pm_text_free(train);
        return pm_fail(error, PM_NO_MEMORY, "a text of %zu bytes: the memory of this machine ran out",
                       text->size);
    }
    for (uint32_t i = 0; i < pieces; i++)
        append(chosen[i] ? validation : train, text->bytes + cuts[i], cuts[i + 1] - cuts[i]);
    return PM_OK;
}
