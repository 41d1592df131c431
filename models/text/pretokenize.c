/* Cuts text into words as GPT-2's pattern does:
 *
 *     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *
 * The first alternative that matches wins. In words: an English contraction; one space, or none, and a run of
 * letters, of numbers, or of anything else that is not white space; a run of white space without its last
 * character, which is left to the word that follows; white space. A byte that is not UTF-8 is "anything
 * else". */
#include "text/tokenizer_internal.h"

#include "text/unicode_table.h"
#include "text/utf8.h"

#include <string.h>

pm_unicode_kind pm_unicode_kind_of(uint32_t code_point)
{
    size_t low = 0, high = pm_unicode_range_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const pm_unicode_range *range = &pm_unicode_ranges[middle];
        if (code_point < range->first) {
            high = middle;
        } else if (code_point > range->last) {
            low = middle + 1;
        } else {
            return range->kind;
        }
    }
    return PM_UNICODE_OTHER;
}

/* The kind of the character at `at` and its bytes. */
static pm_unicode_kind next_kind(const uint8_t *at, size_t left, size_t *length)
{
    uint32_t code_point;
    *length = pm_utf8_read(at, left, &code_point);
    return pm_unicode_kind_of(code_point);
}

/* The bytes of a run of one kind; of its last character in *last. */
static size_t run_bytes(const uint8_t *at, size_t left, pm_unicode_kind kind, size_t *last)
{
    size_t size = 0, length;
    *last = 0;
    while (size < left && next_kind(at + size, left - size, &length) == kind) {
        size += length;
        *last = length;
    }
    return size;
}

/* The bytes of a contraction, or 0. */
static size_t contraction_bytes(const uint8_t *at, size_t left)
{
    if (left < 2 || at[0] != '\'') return 0;
    if (memchr("stmd", at[1], 4)) return 2;
    if (left < 3) return 0;
    bool two = memcmp(at + 1, "re", 2) == 0 || memcmp(at + 1, "ve", 2) == 0 || memcmp(at + 1, "ll", 2) == 0;
    return two ? 3 : 0;
}

size_t pm_next_word(const uint8_t *at, size_t left)
{
    size_t contraction = contraction_bytes(at, left);
    if (contraction > 0) return contraction;

    size_t space = at[0] == ' ' && left > 1 ? 1 : 0, length, last;
    pm_unicode_kind kind = next_kind(at + space, left - space, &length);
    if (kind != PM_UNICODE_SPACE) return space + run_bytes(at + space, left - space, kind, &last);

    size_t size = run_bytes(at, left, PM_UNICODE_SPACE, &last);
    return size == left || size == last ? size : size - last;
}
