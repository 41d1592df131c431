/* Counts the characters of UTF-8 text; see compressors.h. */
#include "text/compressors.h"

/* The length of the code point that begins at `at`, of which `left` bytes are there; 1 if it is malformed.
 * Unicode 15, table 3-7: the second byte's range is narrower after E0 and F0 (overlong forms), ED
 * (surrogates) and F4 (beyond U+10FFFF). */
static size_t code_point_bytes(const uint8_t *at, size_t left)
{
    uint8_t first = at[0];
    size_t length = first < 0xc2 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 1;
    if (length == 1 || length > left) return 1;
    uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (at[1] < low || at[1] > high) return 1;
    for (size_t i = 2; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80) return 1;
    }
    return length;
}

uint64_t pm_count_characters(const uint8_t *data, size_t size)
{
    uint64_t count = 0;
    for (size_t at = 0; at < size; count++) at += code_point_bytes(data + at, size - at);
    return count;
}
