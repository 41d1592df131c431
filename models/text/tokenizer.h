/* Tokenizers: text to numbers and back.
 *
 * A tokenizer has `size` tokens, numbered from 0. A token is a string of bytes, so that decoding is to join
 * them; what was encoded always comes back byte for byte, well-formed UTF-8 or not. Of three kinds:
 *
 * - bytes: 256 tokens, a byte each.
 * - characters: the distinct Unicode characters of a text, in the order of their code points. Bytes of the
 *   text that are not UTF-8 are tokens as well, after the characters, in order. Anything else cannot be
 *   encoded.
 * - BPE: byte pair encoding (1508.07909) over bytes, as of GPT-2: text is cut into words by a fixed pattern,
 *   and in each word the pair of neighbours that comes first in a list of merges becomes one token, until
 *   none is left. It encodes any bytes.
 *
 * Each kind may have special tokens besides, such as the one that ends a text. A special token stands for a
 * place, not for the text that it is shown as: no text gives its number unless the caller allows that.
 *
 * A tokenizer is written as JSON, whole, for the metadata of a model file. Once made it does not change, but
 * by pm_tokenizer_add_special(); several threads may use it. */
#ifndef PM_TEXT_TOKENIZER_H
#define PM_TEXT_TOKENIZER_H

#include "pumice.h"

typedef struct pm_tokenizer pm_tokenizer;

typedef enum pm_tokenizer_kind {
    PM_TOKENIZER_BYTES,
    PM_TOKENIZER_CHARACTERS,
    PM_TOKENIZER_BPE,
} pm_tokenizer_kind;

#define PM_TOKENIZER_MAX_SIZE (1u << 20)   /* tokens */
#define PM_TOKENIZER_MAX_MERGES (1u << 20) /* of BPE */
#define PM_TOKENIZER_MAX_SPECIAL 4096      /* special tokens */
#define PM_TOKENIZER_MAX_TEXT 0x7fffffff   /* bytes that are encoded or decoded at once */

/* What GPT-2 and many after it call the special token between two texts. */
#define PM_END_OF_TEXT "<|endoftext|>"

/* ---- Making one ---------------------------------------------------------------------------------------- */

/* All of these put a tokenizer in *out, which goes to pm_tokenizer_destroy; NULL after a failure. */

/* The 256 bytes. Fails with PM_NO_MEMORY. */
pm_status pm_tokenizer_bytes(pm_tokenizer **out, pm_error *error);

/* The characters of `text`, [size] bytes. Fails with PM_BAD_USAGE when it is empty, PM_NO_MEMORY. */
pm_status pm_tokenizer_characters(const uint8_t *text, size_t size, pm_tokenizer **out, pm_error *error);

/* Reads a file, with what pm_tokenizer_json() wrote or a Hugging Face tokenizer.json, or a folder, which has
 * either tokenizer.json (taken first) or both vocab.json and merges.txt, as GPT-2 was published.
 *
 * Of tokenizer.json, what encodes as GPT-2 does is accepted: the model BPE, pre-tokenizer and decoder
 * ByteLevel, no normalizer; its added tokens become special tokens. With vocab.json and merges.txt, which do
 * not say what is special, it is what no merge makes and what is written <...>, such as <|endoftext|>.
 *
 * Fails with PM_IO; with PM_BAD_FILE when something in it is malformed, contradictory, too large or asks for
 * another way to encode; PM_NO_MEMORY. */
pm_status pm_tokenizer_load(const char *path, pm_tokenizer **out, pm_error *error);

/* The same for JSON in memory, [size] bytes; `where` begins messages. */
pm_status pm_tokenizer_parse(const char *json, size_t size, const char *where, pm_tokenizer **out,
                             pm_error *error);

/* Adds a special token, shown as `text`: 1 to 1000 bytes of UTF-8. *id, its number, is the size so far.
 * Fails with PM_BAD_USAGE when there is one of this text already, or too many; PM_NO_MEMORY. */
pm_status pm_tokenizer_add_special(pm_tokenizer *tokenizer, const char *text, uint32_t *id, pm_error *error);

void pm_tokenizer_destroy(pm_tokenizer *tokenizer);

/* All of the tokenizer as one line of JSON, which pm_tokenizer_parse() reads: *json ends with a NUL, comes
 * from malloc and is the caller's. Equal tokenizers give equal text. Fails with PM_NO_MEMORY. */
pm_status pm_tokenizer_json(const pm_tokenizer *tokenizer, char **json, pm_error *error);

/* ---- Text to tokens and back --------------------------------------------------------------------------- */

/* Encodes `size` bytes of text: *ids, [*count], comes from malloc, is never NULL and is the caller's. Both
 * are zero after a failure.
 *
 * With allow_special, where the text has a special token as it is shown, the longest that begins there, its
 * number comes out, and what is before and after is encoded apart. Without it that is text like any other:
 * the right choice for text that others wrote.
 *
 * Fails with PM_BAD_USAGE when the text has a character (named, with its place) that a tokenizer of
 * characters does not know, or is longer than PM_TOKENIZER_MAX_TEXT; PM_NO_MEMORY. */
pm_status pm_tokenizer_encode(const pm_tokenizer *tokenizer, const uint8_t *text, size_t size,
                              bool allow_special, uint32_t **ids, size_t *count, pm_error *error);

/* Joins the bytes of `count` tokens, special ones as they are shown: *text ends with a NUL that *size does
 * not count, comes from malloc and is the caller's. Fails with PM_BAD_USAGE when a number is not below the
 * tokenizer's size, or the text gets too long; PM_NO_MEMORY. */
pm_status pm_tokenizer_decode(const pm_tokenizer *tokenizer, const uint32_t *ids, size_t count,
                              uint8_t **text, size_t *size, pm_error *error);

/* ---- What it has --------------------------------------------------------------------------------------- */

pm_tokenizer_kind pm_tokenizer_kind_of(const pm_tokenizer *tokenizer);

/* How many tokens, special ones included: a model's vocabulary. */
uint32_t pm_tokenizer_size(const pm_tokenizer *tokenizer);

/* The bytes of a token, [*size], not NUL-terminated; NULL and 0 when there is no such token. They belong to
 * the tokenizer and stay until a special token is added. */
const uint8_t *pm_tokenizer_token(const pm_tokenizer *tokenizer, uint32_t id, size_t *size);

/* A token for a terminal: control characters, backslashes and what is not UTF-8 become \n, \t, \r, \\ or \xNN
 * for each byte. What does not fit in `room` bytes ends with "...", NUL included; room is at least 8. */
void pm_tokenizer_show(const pm_tokenizer *tokenizer, uint32_t id, char *out, size_t room);

/* Whether there is a special token shown as `text`, and its number. */
bool pm_tokenizer_special(const pm_tokenizer *tokenizer, const char *text, uint32_t *id);

/* Whether the token of this number is special. */
bool pm_tokenizer_is_special(const pm_tokenizer *tokenizer, uint32_t id);

#endif
