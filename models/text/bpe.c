/* Byte pair encoding of one word.
 *
 * The word is a linked list of tokens, at first one for each byte. A heap has the merges that its neighbours
 * allow, the lowest rank first and then the leftmost; the best is made, and its two new pairs go in. What is
 * in the heap is never taken out when one of its tokens changes: it is looked at when it comes up. So a word
 * of n bytes takes O(n log n). */
#include "text/tokenizer_internal.h"

#include "base/checked.h"

#include <stdlib.h>

/* Of a word of n bytes. Token i began at byte i. */
typedef struct word_state {
    const pm_tokenizer *tokenizer;
    uint32_t *id;       /* [n], PM_NO_TOKEN: merged away */
    uint32_t *previous; /* [n], PM_NO_TOKEN: it is the first */
    uint32_t *next;     /* [n], PM_NO_TOKEN: it is the last */
    uint64_t *heap;     /* [heap_size]: rank << 32 | the left token's place */
    size_t heap_size;
} word_state;

/* At most n - 1 merges are made, and each puts two pairs in, after n - 1 at the beginning. */
enum { HEAP_ENTRIES_A_BYTE = 3, BYTES_A_BYTE = HEAP_ENTRIES_A_BYTE * 8 + 3 * 4 };

/* The rank of the merge of two tokens, or PM_NO_TOKEN. */
static uint32_t find_rank(const pm_tokenizer *t, uint32_t left, uint32_t right)
{
    uint32_t low = t->first_pair[left], end = t->first_pair[left + 1], high = end;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (t->pairs[middle].right < right) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < end && t->pairs[low].right == right ? t->pairs[low].rank : PM_NO_TOKEN;
}

static void heap_push(word_state *w, uint64_t entry)
{
    size_t at = w->heap_size++;
    while (at > 0 && w->heap[(at - 1) / 2] > entry) {
        w->heap[at] = w->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    w->heap[at] = entry;
}

static uint64_t heap_pop(word_state *w)
{
    uint64_t top = w->heap[0], entry = w->heap[--w->heap_size];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < w->heap_size; at = child) {
        if (child + 1 < w->heap_size && w->heap[child + 1] < w->heap[child]) child++;
        if (w->heap[child] >= entry) break;
        w->heap[at] = w->heap[child];
    }
    w->heap[at] = entry;
    return top;
}

/* Puts the pair of two places in, if it can be merged; either may be PM_NO_TOKEN. */
static void offer(word_state *w, uint32_t left, uint32_t right)
{
    if (left == PM_NO_TOKEN || right == PM_NO_TOKEN) return;
    uint32_t rank = find_rank(w->tokenizer, w->id[left], w->id[right]);
    if (rank != PM_NO_TOKEN) heap_push(w, (uint64_t)rank << 32 | left);
}

static void merge_all(word_state *w)
{
    while (w->heap_size > 0) {
        uint64_t best = heap_pop(w);
        uint32_t rank = (uint32_t)(best >> 32), left = (uint32_t)best;
        if (w->id[left] == PM_NO_TOKEN || w->next[left] == PM_NO_TOKEN) continue;
        uint32_t right = w->next[left];
        const pm_merge *merge = &w->tokenizer->merges[rank];
        if (w->id[left] != merge->left || w->id[right] != merge->right) continue;

        w->id[left] = merge->result;
        w->id[right] = PM_NO_TOKEN;
        w->next[left] = w->next[right];
        if (w->next[left] != PM_NO_TOKEN) w->previous[w->next[left]] = left;
        offer(w, w->previous[left], left);
        offer(w, left, w->next[left]);
    }
}

/* Lays the arrays out in the scratch memory. */
static bool begin_word(pm_bpe_scratch *scratch, size_t size, word_state *w)
{
    if (size > scratch->room) {
        size_t bytes;
        size_t room = size < 64 ? 64 : size;
        if (!pm_mul_size(room, BYTES_A_BYTE, &bytes)) return false;
        free(scratch->memory);
        scratch->room = 0;
        scratch->memory = malloc(bytes);
        if (!scratch->memory) return false;
        scratch->room = room;
    }
    w->heap = scratch->memory;
    w->id = (uint32_t *)(w->heap + HEAP_ENTRIES_A_BYTE * scratch->room);
    w->previous = w->id + scratch->room;
    w->next = w->previous + scratch->room;
    w->heap_size = 0;
    return true;
}

bool pm_bpe_word(const pm_tokenizer *tokenizer, pm_bpe_scratch *scratch, const uint8_t *word, size_t size,
                 uint32_t *ids, size_t *count)
{
    word_state w = {.tokenizer = tokenizer};
    if (!begin_word(scratch, size, &w)) return false;
    for (uint32_t i = 0; i < size; i++) {
        w.id[i] = tokenizer->byte_id[word[i]];
        w.previous[i] = i > 0 ? i - 1 : PM_NO_TOKEN;
        w.next[i] = i + 1 < size ? i + 1 : PM_NO_TOKEN;
    }
    for (uint32_t i = 0; i + 1 < size; i++) offer(&w, i, i + 1);
    merge_all(&w);

    *count = 0;
    for (uint32_t i = 0; i != PM_NO_TOKEN; i = w.next[i]) ids[(*count)++] = w.id[i];
    return true;
}
