/* GPT-2's way to write bytes as printable characters, so that tokens can be keys of JSON and words of a line.
 *
 * The bytes 33 to 126, 161 to 172 and 174 to 255 are the characters of the same number; the 68 others, in
 * order, are U+0100 and on. */
#include "text/tokenizer_internal.h"

#include "text/utf8.h"

static uint32_t character_of(uint8_t byte)
{
    if (byte <= 32) return 256u + byte;
    if (byte >= 127 && byte <= 160) return 256u + 33u + (byte - 127u);
    if (byte == 173) return 256u + 33u + 34u;
    return byte;
}

/* The byte that a character stands for, or -1. */
static int byte_of(uint32_t character)
{
    if (character >= 256 + 33 + 35) return -1;
    if (character == 256 + 33 + 34) return 173;
    if (character >= 256 + 33) return (int)(character - 256 - 33 + 127);
    if (character >= 256) return (int)(character - 256);
    return character_of((uint8_t)character) == character ? (int)character : -1;
}

size_t pm_alphabet_write(const uint8_t *bytes, size_t size, char *out)
{
    size_t written = 0;
    for (size_t i = 0; i < size; i++) {
        written += pm_utf8_write(character_of(bytes[i]), (uint8_t *)out + written);
    }
    return written;
}

size_t pm_alphabet_read(const char *text, size_t size, uint8_t *out)
{
    size_t count = 0;
    for (size_t at = 0; at < size;) {
        uint32_t character;
        at += pm_utf8_read((const uint8_t *)text + at, size - at, &character);
        int byte = byte_of(character);
        if (byte < 0) return SIZE_MAX;
        out[count++] = (uint8_t)byte;
    }
    return count;
}
