/* Text models so small that training steps take milliseconds on the slowest driver, left to right and
 * masked; between them they have every choice that the network has. */
#ifndef PM_TOOLS_TINY_TEXT_H
#define PM_TOOLS_TINY_TEXT_H

#include "text/tokenizer.h"
#include "training/trainer.h"

#include <stdlib.h>
#include <string.h>

enum { TINY_TEXT = 2000 };

static const char *const tiny_text_recipes[] = {
    "{\"name\": \"tiny-ar\", \"kind\": \"text-autoregressive\", \"data\": {\"source\": \"memory\"},"
    " \"transformer\": {\"context\": 24, \"width\": 24, \"layers\": 2, \"heads\": 4, \"kv_heads\": 2,"
    "  \"norm\": \"layer\", \"mlp\": \"gelu\", \"tied\": false, \"dropout\": 0.1},"
    " \"training\": {\"batch\": 5, \"steps\": 40, \"learning_rate\": 0.01, \"warmup\": 4, \"decay\": "
    "\"cosine\","
    "  \"weight_decay\": 0.01, \"ema\": 0.9, \"seed\": 3}}",
    "{\"name\": \"tiny-masked\", \"kind\": \"text-masked\", \"data\": {\"source\": \"memory\"},"
    " \"transformer\": {\"context\": 24, \"width\": 24, \"layers\": 2, \"heads\": 3,"
    "  \"positions\": \"rope-interleaved\", \"time\": true},"
    " \"masked\": {\"objective\": \"t\", \"schedule\": \"cosine\"},"
    " \"training\": {\"batch\": 5, \"steps\": 40, \"learning_rate\": 0.01, \"warmup\": 4, \"decay\": "
    "\"cosine\","
    "  \"weight_decay\": 0.01, \"ema\": 0.9, \"seed\": 4}}",
    /* a masked network that is told no time, which the sampler "cached" needs */
    "{\"name\": \"tiny-timeless\", \"kind\": \"text-masked\", \"data\": {\"source\": \"memory\"},"
    " \"transformer\": {\"context\": 24, \"width\": 16, \"layers\": 1, \"heads\": 2},"
    " \"masked\": {\"objective\": \"lambda\"},"
    " \"training\": {\"batch\": 4, \"steps\": 40, \"learning_rate\": 0.01, \"seed\": 5}}",
};

/* Words of a fixed generator. */
static inline void tiny_text(char *text)
{
    static const char *const words[] = {"the ", "stone ", "floats ", "on ", "a ", "sea.\n", "light ", "and "};
    uint32_t state = 7, size = 0;
    while (size + 8 < TINY_TEXT) {
        state = state * 1664525u + 1013904223u;
        const char *word = words[state >> 29];
        memcpy(text + size, word, strlen(word));
        size += (uint32_t)strlen(word);
    }
    memset(text + size, 'a', TINY_TEXT - size);
}

/* The recipe fitted to the text, the tokenizer's JSON and the tokens; the caller frees the last two. */
static inline pm_status tiny_text_open(uint32_t which, pm_recipe *recipe, char **json, uint32_t **tokens,
                                       pm_error *error)
{
    char text[TINY_TEXT];
    size_t count;
    pm_tokenizer *tokenizer = NULL;
    tiny_text(text);
    pm_status status = pm_recipe_parse(tiny_text_recipes[which], "tiny", recipe, error);
    if (status == PM_OK)
        status = pm_tokenizer_characters((const uint8_t *)text, sizeof text, &tokenizer, error);
    if (status == PM_OK) status = pm_tokenizer_json(tokenizer, json, error);
    if (status == PM_OK)
        status =
            pm_tokenizer_encode(tokenizer, (const uint8_t *)text, sizeof text, false, tokens, &count, error);
    if (status == PM_OK) status = pm_recipe_fit_text(recipe, pm_tokenizer_size(tokenizer), error);
    pm_tokenizer_destroy(tokenizer);
    return status;
}

#endif
