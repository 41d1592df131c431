/* Characters of UTF-8 text: reads, writes and counts them; see utf8.h and compressors.h. */
#include "text/compressors.h"
#include "text/utf8.h"

/* The second byte's range is narrower after E0 and F0 (overlong forms), ED (surrogates) and F4 (beyond
 * U+10FFFF). */
size_t pm_utf8_read(const uint8_t *at, size_t left, uint32_t *code_point)
{
    uint8_t first = at[0];
    *code_point = first < 0x80 ? first : PM_UTF8_MALFORMED;
    size_t length = first < 0xc2 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 1;
    if (length == 1 || length > left) return 1;
    uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (at[1] < low || at[1] > high) return 1;
    uint32_t value = first & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80) return 1;
        value = value << 6 | (at[i] & 0x3fu);
    }
    *code_point = value;
    return length;
}

size_t pm_utf8_write(uint32_t code_point, uint8_t out[4])
{
    if (code_point < 0x80) {
        out[0] = (uint8_t)code_point;
        return 1;
    }
    size_t length = code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--) {
        out[i] = (uint8_t)(0x80 | (code_point & 0x3f));
        code_point >>= 6;
    }
    out[0] = (uint8_t)((0xf00u >> length & 0xf0u) | code_point);
    return length;
}

uint64_t pm_count_characters(const uint8_t *data, size_t size)
{
    uint64_t count = 0;
    uint32_t code_point;
    for (size_t at = 0; at < size; count++) at += pm_utf8_read(data + at, size - at, &code_point);
    return count;
}
