/* UTF-8, as far as tokenizers need it. */
#ifndef PM_TEXT_UTF8_H
#define PM_TEXT_UTF8_H

#include <stddef.h>
#include <stdint.h>

#define PM_UTF8_MALFORMED 0xffffffffu

/* Reads the character at `at`, of which `left` > 0 bytes are there: returns its bytes, 1 to 4, and
 * *code_point. Where no well-formed character begins (Unicode 15, table 3-7) that is PM_UTF8_MALFORMED, of
 * one byte. */
size_t pm_utf8_read(const uint8_t *at, size_t left, uint32_t *code_point);

/* Writes a character that is no surrogate and at most U+10FFFF; returns its bytes. */
size_t pm_utf8_write(uint32_t code_point, uint8_t out[4]);

#endif
