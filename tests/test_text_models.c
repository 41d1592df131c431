/* Text models as a whole, on a 4-state Markov chain whose entropy is known: trained nets reach it from above,
 * left to right and masked; a resumed run equals an undisturbed one; generated texts do not depend on batch,
 * prompt and cache; blanks and ends keep what was given. */
/* ctest labels: device slow */
#include "unit.h"

#include "files/file_io.h"
#include "sampling/model.h"
#include "training/score_text.h"
#include "training/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The chain stays where it is with probability 0.85 and goes to each other state with 0.05; it begins in any
 * state alike. The entropy of L states is log 4 + (L-1) h, with h = 0.587501 nats a step. */
enum { STATES = 4, WINDOW = 32, TRAIN = 400000, FRESH = 400 * WINDOW };
#define STAY 0.85
#define CONTEXT ", \"context\": 32"

static pm_device *device;
static char folder[] = "/tmp/pumice-test-XXXXXX";
static uint32_t *train_tokens, *fresh_tokens;
static pm_tokenizer *tokenizer;
static char *tokenizer_json;

static double uniform(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) * 0x1p-53;
}

static void walk(uint32_t *tokens, uint32_t count, uint32_t fresh_every, uint64_t seed)
{
    uint64_t state = seed;
    for (uint32_t i = 0; i < count; i++) {
        bool anew = i == 0 || (fresh_every && i % fresh_every == 0);
        double u = uniform(&state);
        uint32_t other = (uint32_t)(uniform(&state) * (STATES - 1));
        if (anew)
            tokens[i] = (uint32_t)(u * STATES);
        else
            tokens[i] = u < STAY ? tokens[i - 1] : (tokens[i - 1] + 1 + other) % STATES;
    }
}

/* -log p of the windows of a text under the chain itself, each without what stands before it: what no model
 * can beat but by luck. */
static double true_nats(const uint32_t *tokens, uint32_t count, uint32_t window)
{
    double nats = 0.0;
    for (uint32_t i = 0; i < count; i++) {
        double p = i % window == 0              ? 1.0 / STATES
                   : tokens[i] == tokens[i - 1] ? STAY
                                                : (1 - STAY) / (STATES - 1);
        nats -= log(p);
    }
    return nats;
}

static int set_up(void **state)
{
    pm_error error = {0};
    (void)state;
    train_tokens = malloc(TRAIN * sizeof *train_tokens);
    fresh_tokens = malloc(FRESH * sizeof *fresh_tokens);
    walk(train_tokens, TRAIN, 0, 1);
    walk(fresh_tokens, FRESH, WINDOW, 2);
    bool good = mkdtemp(folder) &&
                pm_tokenizer_characters((const uint8_t *)"abcd", 4, &tokenizer, &error) == PM_OK &&
                pm_tokenizer_json(tokenizer, &tokenizer_json, &error) == PM_OK &&
                pm_device_open(NULL, &device, &error) == PM_OK;
    if (!good) fprintf(stderr, "%s\n", error.message);
    return good ? 0 : -1;
}

static int tear_down(void **state)
{
    char command[64];
    (void)state;
    free(train_tokens);
    free(fresh_tokens);
    free(tokenizer_json);
    pm_tokenizer_destroy(tokenizer);
    pm_device_close(device);
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static const char *path_of(const char *name)
{
    static char paths[4][128];
    static int next;
    next = (next + 1) % 4;
    (void)snprintf(paths[next], sizeof paths[next], "%s/%s", folder, name);
    return paths[next];
}

static pm_recipe recipe_of(const char *kind, uint32_t steps, const char *more)
{
    static const char form[] = "{\"name\": \"chain\", \"kind\": \"%s\", \"data\": {\"source\": \"memory\"},"
                               " \"transformer\": {\"width\": 32, \"layers\": 2, \"heads\": 2%s},"
                               " \"training\": {\"batch\": 32, \"steps\": %u, \"learning_rate\": 0.004,"
                               " \"warmup\": 20, \"decay\": \"cosine\", \"ema\": 0.98}}";
    char json[900];
    pm_recipe recipe;
    pm_error error = {0};
    (void)snprintf(json, sizeof json, form, kind, more, steps);
    expect_ok(pm_recipe_parse(json, "chain", &recipe, &error), &error);
    expect_ok(pm_recipe_fit_text(&recipe, STATES, &error), &error);
    return recipe;
}

static pm_trainer *start(const pm_recipe *recipe)
{
    pm_trainer *trainer;
    pm_error error = {0};
    pm_training_data data = {.tokens = train_tokens, .n_tokens = TRAIN, .tokenizer = tokenizer_json};
    expect_ok(pm_trainer_create(device, recipe, &data, NULL, &trainer, &error), &error);
    return trainer;
}

static pm_model *train(const pm_recipe *recipe, const char *name)
{
    pm_error error = {0};
    pm_model *model;
    pm_trainer *trainer = start(recipe);
    expect_ok(pm_trainer_run(trainer, recipe->training.steps, &error), &error);
    expect_ok(pm_trainer_export(trainer, path_of(name), &error), &error);
    pm_trainer_destroy(trainer);
    expect_ok(pm_model_open(path_of(name), &model, &error), &error);
    return model;
}

/* ---- Learning ------------------------------------------------------------------------------------------ */

/* How far above the chain's own -log p a trained model is, as a part of it; and the interval of that. */
static double excess(const pm_model *model, uint32_t draws, double *half)
{
    pm_error error = {0};
    pm_text_score score;
    pm_score_options options = {.stride = WINDOW, .draws = draws, .batch = 64};
    expect_ok(pm_score_text(device, model, fresh_tokens, FRESH, &options, &score, &error), &error);
    assert_int_equal(score.tokens, FRESH);
    double truth = true_nats(fresh_tokens, FRESH, model->recipe.transformer.context);
    *half = 3 * score.deviation / truth;
    print_message("%s: %.5f nats a token, %.5f by the chain itself, %+.2f %% +- %.2f\n",
                  pm_model_info_of(model).kind, score.nats / FRESH, truth / FRESH,
                  100 * (score.nats / truth - 1), 100 * *half);
    return score.nats / truth - 1;
}

static pm_model *causal, *masked;

static void left_to_right_reaches_the_entropy(void **state)
{
    double half;
    (void)state;
    pm_recipe recipe = recipe_of("text-autoregressive", 400, CONTEXT);
    causal = train(&recipe, "causal");
    double above = excess(causal, 0, &half);
    assert_true(half == 0.0); /* exact */
    assert_in_range((long long)(1e6 * above + 1e7), (long long)(1e7 - 2e3), (long long)(1e7 + 2e4));
}

static double nats_of(uint32_t from, uint32_t count, uint32_t stride)
{
    pm_error error = {0};
    pm_text_score score;
    pm_score_options options = {.stride = stride, .batch = 4};
    expect_ok(pm_score_text(device, causal, fresh_tokens + from, count, &options, &score, &error), &error);
    assert_int_equal(score.tokens, count);
    return score.nats;
}

/* Windows that overlap: each scores what the one before did not, given what it shares with it. By the chain
 * rule that is a whole window less its beginning. */
static void overlapping_windows_add_up(void **state)
{
    enum { STRIDE = 10, WINDOWS = 4, COUNT = WINDOW + (WINDOWS - 1) * STRIDE };
    (void)state;
    double sum = nats_of(0, WINDOW, WINDOW);
    for (uint32_t w = 1; w < WINDOWS; w++) {
        sum += nats_of(w * STRIDE, WINDOW, WINDOW) - nats_of(w * STRIDE, WINDOW - STRIDE, WINDOW);
    }
    double got = nats_of(0, COUNT, STRIDE), apart = nats_of(0, COUNT, WINDOW);
    assert_true(fabs(got - sum) < 1e-4 * sum);
    assert_true(fabs(apart - sum) > 1e-3 * sum); /* windows apart know less: another number */
}

/* The model that is exported is the average of the weights, not the weights of the last step. */
static void the_average_is_exported(void **state)
{
    pm_error error = {0};
    pm_safetensors *whole, *model;
    (void)state;
    pm_recipe recipe = recipe_of("text-autoregressive", 30, CONTEXT);
    pm_trainer *trainer = start(&recipe);
    expect_ok(pm_trainer_run(trainer, 10, &error), &error);
    expect_ok(pm_trainer_save(trainer, path_of("all"), &error), &error);
    expect_ok(pm_trainer_export(trainer, path_of("average"), &error), &error);
    pm_trainer_destroy(trainer);
    expect_ok(pm_safetensors_open(path_of("all"), &whole, &error), &error);
    expect_ok(pm_safetensors_open(path_of("average"), &model, &error), &error);
    const pm_safetensor *average = pm_safetensors_find(whole, "ema.embedding.weight"),
                        *last = pm_safetensors_find(whole, "embedding.weight"),
                        *exported = pm_safetensors_find(model, "embedding.weight");
    assert_memory_equal(exported->data, average->data, average->bytes);
    assert_memory_not_equal(exported->data, last->data, last->bytes);
    pm_safetensors_close(whole);
    pm_safetensors_close(model);
}

static void masked_reaches_the_entropy(void **state)
{
    double half;
    (void)state;
    pm_recipe recipe = recipe_of("text-masked", 2500, ", \"context\": 16");
    recipe.training.batch = 48;
    pm_model *model = train(&recipe, "entropy");
    double above = excess(model, 40, &half);
    pm_model_close(model);
    assert_true(half > 0.0 && half < 0.012);
    assert_true(above > -half); /* it is a bound */
    assert_true(above < 0.02);
}

/* ---- Resuming ------------------------------------------------------------------------------------------ */

static void resume_is_bitwise(void **state)
{
    static const char *const kinds[] = {"text-autoregressive", "text-masked"};
    pm_error error = {0};
    (void)state;
    for (uint32_t k = 0; k < 2; k++) {
        /* Every choice of the network that the other tests leave at its default. */
        pm_recipe recipe = recipe_of(
            kinds[k], 12,
            k == 0 ? CONTEXT
                ", \"positions\": \"learned\", \"mlp\": \"gelu\", \"norm\": \"layer\", \"tied\": false, "
                "\"dropout\": 0.1"
                   : CONTEXT
                ", \"positions\": \"rope-interleaved\", \"kv_heads\": 1, \"time\": true, \"dropout\": 0.1");
        if (k == 1) recipe.masked.objective = PM_MASKED_T;
        pm_trainer *whole = start(&recipe), *first = start(&recipe), *second = start(&recipe);
        expect_ok(pm_trainer_run(whole, 12, &error), &error);
        expect_ok(pm_trainer_save(whole, path_of("whole"), &error), &error);
        expect_ok(pm_trainer_run(first, 5, &error), &error);
        expect_ok(pm_trainer_save(first, path_of("half"), &error), &error);
        expect_ok(pm_trainer_resume(second, path_of("half"), &error), &error);
        expect_ok(pm_trainer_run(second, 7, &error), &error);
        expect_ok(pm_trainer_save(second, path_of("resumed"), &error), &error);
        uint8_t *a, *b;
        size_t n, m;
        expect_ok(pm_read_file(path_of("whole"), 1u << 28, &a, &n, &error), &error);
        expect_ok(pm_read_file(path_of("resumed"), 1u << 28, &b, &m, &error), &error);
        assert_int_equal(n, m);
        assert_memory_equal(a, b, n);
        free(a);
        free(b);
        pm_trainer_destroy(whole);
        pm_trainer_destroy(first);
        pm_trainer_destroy(second);
    }
}

/* ---- Generating ---------------------------------------------------------------------------------------- */

static void a_masked_model_for_what_follows(void **state)
{
    (void)state;
    pm_recipe recipe = recipe_of("text-masked", 800, CONTEXT);
    masked = train(&recipe, "masked");
}

static pm_texts generate(const pm_model *model, pm_text_options options)
{
    pm_error error = {0};
    pm_texts texts;
    expect_ok(pm_model_generate(device, model, &options, &texts, &error), &error);
    return texts;
}

static void texts_do_not_depend_on_the_batch(void **state)
{
    (void)state;
    for (uint32_t k = 0; k < 2; k++) {
        pm_text_options options = pm_text_defaults();
        options.count = 3;
        options.seed = 5;
        options.prompt = "ab";
        options.length = 20;
        pm_texts together = generate(k ? masked : causal, options);
        options.batch = 1;
        pm_texts alone = generate(k ? masked : causal, options);
        options.count = 1;
        options.first = 2;
        pm_texts third = generate(k ? masked : causal, options);
        for (uint32_t i = 0; i < 3; i++) {
            assert_int_equal(strlen(together.texts[i]), 22);
            assert_string_equal(together.texts[i], alone.texts[i]);
        }
        assert_string_equal(together.texts[2], third.texts[0]);
        assert_string_not_equal(together.texts[0], together.texts[1]);
        pm_texts_free(&together);
        pm_texts_free(&alone);
        pm_texts_free(&third);
    }
}

/* A greedy text goes on the same way from any of its own beginnings: a token that was read with the prompt
 * counts like one that was written into the cache, also after the context began anew. */
static void beginnings_continue_alike(void **state)
{
    char beginning[64];
    (void)state;
    pm_text_options options = pm_text_defaults();
    options.temperature = 0.0f;
    options.prompt = "abcdd";
    options.length = 25;
    pm_texts whole = generate(causal, options);
    for (uint32_t n = 6; n < 28; n += 7) {
        (void)snprintf(beginning, sizeof beginning, "%.*s", (int)n, whole.texts[0]);
        options.prompt = beginning;
        options.length = 30 - n;
        pm_texts rest = generate(causal, options);
        assert_string_equal(rest.texts[0], whole.texts[0]);
        pm_texts_free(&rest);
    }
    pm_texts_free(&whole);
    options.prompt = "c";
    options.length = 100; /* three contexts */
    options.temperature = 1.0f;
    pm_texts lengthy = generate(causal, options);
    assert_int_equal(lengthy.sizes[0], 101);
    uint32_t stays = 0;
    for (uint32_t i = 1; i < 101; i++) stays += lengthy.texts[0][i] == lengthy.texts[0][i - 1];
    assert_in_range(stays, 65, 98); /* 85 on average */
    pm_texts_free(&lengthy);
}

static void stops_end_a_text(void **state)
{
    (void)state;
    pm_text_options options = pm_text_defaults();
    const char *stop = "d";
    options.stop = &stop;
    options.n_stop = 1;
    options.count = 8;
    options.prompt = "da"; /* what is given does not end it */
    options.length = 60;
    pm_texts texts = generate(causal, options);
    for (uint32_t i = 0; i < 8; i++) {
        assert_memory_equal(texts.texts[i], "da", 2);
        assert_null(strchr(texts.texts[i] + 2, 'd'));
        assert_int_equal(texts.sizes[i], strlen(texts.texts[i]));
    }
    pm_texts_free(&texts);
}

static void blanks_are_filled_and_the_rest_is_kept(void **state)
{
    (void)state;
    pm_text_options options = pm_text_defaults();
    options.infill = "aa[3]bb[2]dd";
    options.count = 4;
    pm_texts texts = generate(masked, options);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(texts.sizes[i], 11);
        assert_memory_equal(texts.texts[i], "aa", 2);
        assert_memory_equal(texts.texts[i] + 5, "bb", 2);
        assert_memory_equal(texts.texts[i] + 9, "dd", 2);
    }
    assert_int_equal(texts.tokens, 20);
    pm_texts_free(&texts);
    /* Between equal states a short blank is likelier than a long one, since each step may leave; between
     * different ones a longer one leaves more places to change. */
    options.count = 1;
    options.infill = "aaaa[1-8]aaaa";
    pm_texts equal = generate(masked, options);
    options.infill = "aaaa[1-8]cccc";
    pm_texts different = generate(masked, options);
    assert_int_equal(equal.sizes[0], 9);
    assert_in_range(different.sizes[0], 14, 16);
    pm_texts_free(&equal);
    pm_texts_free(&different);
    options.infill = NULL;
    options.prompt = "b";
    options.suffix = "c";
    options.length = 6;
    pm_texts ends = generate(masked, options);
    assert_int_equal(ends.sizes[0], 8);
    assert_int_equal(ends.texts[0][0], 'b');
    assert_int_equal(ends.texts[0][7], 'c');
    pm_texts_free(&ends);
}

static void expect_refused(const pm_model *model, pm_text_options options, const char *part)
{
    pm_error error = {0};
    pm_texts texts;
    expect_failure(pm_model_generate(device, model, &options, &texts, &error), PM_BAD_USAGE, &error, part);
    pm_texts_free(&texts);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    pm_text_options options = pm_text_defaults();
    options.infill = "a[0]b";
    expect_refused(masked, options, "is no blank");
    options.infill = "a[9-3]b";
    expect_refused(masked, options, "is no blank");
    options.infill = "ab";
    expect_refused(masked, options, "there is no blank");
    options.infill = "a[100]b";
    expect_refused(masked, options, "32 tokens at once");
    options.infill = "a___";
    expect_refused(causal, options, "from left to right");
    options.prompt = "x";
    options.infill = NULL;
    expect_refused(causal, options, "x");
    options.prompt = NULL;
    options.length = 33;
    expect_refused(masked, options, "32 tokens at once");
    options.length = 8;
    options.sampler = "ancestrl";
    expect_refused(masked, options, "ancestrl");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(left_to_right_reaches_the_entropy),
        cmocka_unit_test(overlapping_windows_add_up),
        cmocka_unit_test(the_average_is_exported),
        cmocka_unit_test(masked_reaches_the_entropy),
        cmocka_unit_test(resume_is_bitwise),
        cmocka_unit_test(a_masked_model_for_what_follows),
        cmocka_unit_test(texts_do_not_depend_on_the_batch),
        cmocka_unit_test(beginnings_continue_alike),
        cmocka_unit_test(stops_end_a_text),
        cmocka_unit_test(blanks_are_filled_and_the_rest_is_kept),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    int failed = cmocka_run_group_tests(tests, set_up, tear_down);
    pm_model_close(causal);
    pm_model_close(masked);
    return failed;
}
