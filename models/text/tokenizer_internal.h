/* What the files of the tokenizer share; see tokenizer.h. */
#ifndef PM_TEXT_TOKENIZER_INTERNAL_H
#define PM_TEXT_TOKENIZER_INTERNAL_H

#include "text/tokenizer.h"

#include "base/status.h"
#include "files/json_util.h"

#define PM_NO_TOKEN 0xffffffffu

/* The largest file that is read, and the longest text of a special token, in bytes. */
#define PM_TOKENIZER_MAX_FILE ((size_t)128 << 20)
#define PM_TOKENIZER_MAX_SPECIAL_BYTES 1000

typedef struct pm_token {
    size_t at;     /* in the tokenizer's text */
    uint32_t size; /* bytes, never 0 */
    bool special;
} pm_token;

/* Left and right, side by side, become `result`. */
typedef struct pm_merge {
    uint32_t left, right, result;
} pm_merge;

/* A merge as it is looked up: those of one left token stand together, by their right token. */
typedef struct pm_pair {
    uint32_t right, rank;
} pm_pair;

struct pm_tokenizer {
    pm_tokenizer_kind kind;
    uint32_t size, room;
    pm_token *tokens; /* [size] */
    uint8_t *text;    /* of all tokens */
    size_t text_size, text_room;

    uint32_t *special; /* [n_special], ids, longest first */
    uint32_t n_special, special_room;

    uint32_t byte_id[256]; /* the token of a single byte, or PM_NO_TOKEN */

    /* Characters: token i is code_points[i]. */
    uint32_t *code_points; /* [n_characters], ascending */
    uint32_t n_characters;

    /* BPE. The pairs of left token i are pairs[first_pair[i]] to pairs[first_pair[i + 1] - 1]. */
    pm_merge *merges; /* [n_merges], in order of rank */
    uint32_t n_merges;
    pm_pair *pairs;       /* [n_merges] */
    uint32_t *first_pair; /* [n_paired + 1]: tokens from n_paired on, added later, are in no merge */
    uint32_t n_paired;
};

/* ---- tokenizer.c: building ----------------------------------------------------------------------------- */

/* One without tokens; NULL when memory ran out. */
pm_tokenizer *pm_tokenizer_new(pm_tokenizer_kind kind);

/* Appends a token; false when memory ran out. The caller has checked that it is within the limits. */
bool pm_tokenizer_append(pm_tokenizer *tokenizer, const void *bytes, size_t size, bool special);

/* Appends the tokens of a tokenizer of characters: `code_points`, ascending, then `bytes`, ascending. */
bool pm_tokenizer_append_characters(pm_tokenizer *tokenizer, const uint32_t *code_points, uint32_t n,
                                    const uint8_t *bytes, uint32_t n_bytes);

/* What is wrong with the text of a special token, or NULL. */
const char *pm_special_text_wrong(const char *text);

/* ---- bpe_build.c --------------------------------------------------------------------------------------- */

/* A token of a vocabulary, as files write it: in GPT-2's alphabet, or a special one as it is shown. */
typedef struct pm_vocabulary_entry {
    const char *text; /* NULL: none yet */
    size_t size;
    bool special;
} pm_vocabulary_entry;

/* A token by its bytes. */
typedef struct pm_index_entry {
    const uint8_t *bytes;
    uint32_t size, id;
} pm_index_entry;

/* The tokens of a tokenizer by their bytes, special ones left out; valid until a token is appended. */
typedef struct pm_token_index {
    pm_index_entry *entries; /* [count], by size, then bytes; from malloc */
    uint32_t count;
} pm_token_index;

/* A tokenizer of these tokens, the i-th of number i, with room for n_merges merges, and its index. Fails with
 * PM_BAD_FILE when a text is not of the alphabet, is there twice, or a byte has no token; PM_NO_MEMORY. */
pm_status pm_bpe_new(const pm_vocabulary_entry *entries, uint32_t count, size_t n_merges, const char *where,
                     pm_tokenizer **out, pm_token_index *index, pm_error *error);

/* Appends the merge of two tokens, of which there is room for one more. Fails with PM_BAD_FILE when one of
 * them is special or what they make is no token. */
pm_status pm_bpe_add_merge(pm_tokenizer *tokenizer, const pm_token_index *index, uint32_t left,
                           uint32_t right, const char *where, pm_error *error);

/* The same for tokens in the alphabet, [left_size] and [right_size] bytes. Fails also when one is no token.
 */
pm_status pm_bpe_add_written_merge(pm_tokenizer *tokenizer, const pm_token_index *index, const char *left,
                                   size_t left_size, const char *right, size_t right_size, const char *where,
                                   pm_error *error);

/* Makes the pairs out of the merges: the last step. Fails with PM_BAD_FILE when a merge is there twice;
 * PM_NO_MEMORY. */
pm_status pm_bpe_finish(pm_tokenizer *tokenizer, const char *where, pm_error *error);

/* ---- bpe.c --------------------------------------------------------------------------------------------- */

/* The memory of pm_bpe_word(), which grows as needed; all zero: none yet. */
typedef struct pm_bpe_scratch {
    void *memory;
    size_t room; /* of the longest word, in bytes */
} pm_bpe_scratch;

/* Encodes one word of `size` bytes: writes at most as many ids, returns how many in *count; false when memory
 * ran out. Takes O(size log size). */
bool pm_bpe_word(const pm_tokenizer *tokenizer, pm_bpe_scratch *scratch, const uint8_t *word, size_t size,
                 uint32_t *ids, size_t *count);

/* ---- pretokenize.c ------------------------------------------------------------------------------------- */

/* How many of the `left` > 0 bytes at `at` are the next word in the sense of GPT-2's pattern. */
size_t pm_next_word(const uint8_t *at, size_t left);

/* ---- byte_alphabet.c: GPT-2's way to write bytes as printable characters ------------------------------- */

/* Bytes as UTF-8 in that alphabet: 1 or 2 bytes for each at `out`; returns how many in all. */
size_t pm_alphabet_write(const uint8_t *bytes, size_t size, char *out);

/* And back, at most `size` bytes at `out`; returns how many, or SIZE_MAX for a character outside of it. */
size_t pm_alphabet_read(const char *text, size_t size, uint8_t *out);

/* ---- Reading, `where` begins messages ------------------------------------------------------------------ */

/* Copies {"text":number,...}, numbers below `size`, to entries[size]: [size] is at least the object's. Texts
 * stay the object's. Fails with PM_BAD_FILE. (vocabulary.c) */
pm_status pm_read_vocabulary(const json_t *vocab, pm_vocabulary_entry *entries, uint32_t size,
                             const char *where, pm_error *error);

/* tokenizer_json.c: what pm_tokenizer_json() wrote. */
pm_status pm_tokenizer_from_json(const json_t *root, const char *where, pm_tokenizer **out, pm_error *error);

/* tokenizer_hub.c: Hugging Face's tokenizer.json. */
pm_status pm_tokenizer_from_hub(const json_t *root, const char *where, pm_tokenizer **out, pm_error *error);

/* vocabulary.c: vocab.json, and merges.txt of `merges_size` bytes. */
pm_status pm_tokenizer_from_gpt2(const json_t *vocab, const char *vocab_where, const char *merges,
                                 size_t merges_size, const char *merges_where, pm_tokenizer **out,
                                 pm_error *error);

#endif
