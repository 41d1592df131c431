/* Attention into a cache: a causal pass over a whole text has the bits of passes over its parts, whose keys
 * and values come from a cache, with rotary positions, grouped heads and heads of any width; the same for
 * masks by block. What a cache holds beyond the last query is not looked at. Then the errors. */
/* ctest labels: device */
#include "device_helpers.h"

#include "graph/graph.h"

#include <math.h>
#include <stdlib.h>

enum { SAMPLES = 4, LENGTH = 75, CAPACITY = 80, MOST = SAMPLES * CAPACITY * 64 };

typedef struct setting {
    uint32_t heads, kv_heads, head_width;
    pm_rope_pairs pairs;
} setting;

/* A network of one attention: over the whole text, or over `rows` positions from `first` on. */
typedef struct network {
    pm_graph *graph;
    pm_plan *plan;
    pm_tensor q, k, v, first, k_cache, v_cache, y;
    uint32_t rows;
} network;

typedef struct text {
    float q[MOST], k[MOST], v[MOST]; /* [SAMPLES, LENGTH, width] */
    float y[MOST];                   /* attention over all of it */
} text;

static void finish(network *net, pm_tensor y, uint64_t storage_range)
{
    pm_error error = {0};
    net->y = y;
    pm_output(net->graph, y);
    expect_ok(plan_within(storage_range, device, net->graph, NULL, &net->plan, &error), &error);
}

static void begin(network *net, const setting *s, uint32_t rows)
{
    *net = (network){.graph = pm_graph_create(), .rows = rows};
    pm_shape of_q = PM_SHAPE(SAMPLES, rows, s->heads * s->head_width);
    pm_shape of_k = PM_SHAPE(SAMPLES, rows, s->kv_heads * s->head_width);
    net->q = pm_state(net->graph, "q", PM_DTYPE_F32, of_q);
    net->k = pm_state(net->graph, "k", PM_DTYPE_F32, of_k);
    net->v = pm_state(net->graph, "v", PM_DTYPE_F32, of_k);
}

static pm_attention_args args_of(const setting *s)
{
    return (pm_attention_args){.heads = s->heads, .kv_heads = s->kv_heads, .mask = PM_MASK_CAUSAL};
}

static void build_whole(network *net, const setting *s, uint64_t storage_range)
{
    begin(net, s, LENGTH);
    pm_graph *g = net->graph;
    pm_tensor table = pm_rope_table(g, "table", CAPACITY, s->head_width, 10000.0f);
    pm_tensor q = pm_rope(g, net->q, table, s->heads, s->pairs, PM_NONE);
    pm_tensor k = pm_rope(g, net->k, table, s->kv_heads, s->pairs, PM_NONE);
    finish(net, pm_attention(g, q, k, net->v, args_of(s)), storage_range);
}

static void build_part(network *net, const setting *s, uint32_t rows)
{
    begin(net, s, rows);
    pm_graph *g = net->graph;
    pm_shape of_cache = PM_SHAPE(SAMPLES, CAPACITY, s->kv_heads * s->head_width);
    pm_tensor table = pm_rope_table(g, "table", CAPACITY, s->head_width, 10000.0f);
    net->first = pm_state(g, "first", PM_DTYPE_U32, PM_SHAPE(1));
    net->k_cache = pm_state(g, "k_cache", PM_DTYPE_F32, of_cache);
    net->v_cache = pm_state(g, "v_cache", PM_DTYPE_F32, of_cache);
    pm_tensor k = pm_rope(g, net->k, table, s->kv_heads, s->pairs, net->first);
    pm_tensor q = pm_rope(g, net->q, table, s->heads, s->pairs, net->first);
    pm_tensor keys = pm_cache_write(g, net->k_cache, k, net->first);
    pm_tensor values = pm_cache_write(g, net->v_cache, net->v, net->first);
    pm_attention_args args = args_of(s);
    args.first = net->first;
    finish(net, pm_attention(g, q, keys, values, args), 0);
}

static void destroy(network *net)
{
    pm_plan_destroy(net->plan);
    pm_graph_destroy(net->graph);
}

/* Numbers in [-scale, scale]. */
static void fill(float *values, uint32_t count, float scale, uint32_t state)
{
    for (uint32_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        values[i] = ((float)(state >> 8) / 8388608.0f - 1.0f) * scale;
    }
}

/* Rows first .. first + net->rows - 1 of each sample to the device. */
static void write_rows(const network *net, pm_tensor tensor, const float *all, uint32_t first)
{
    static float part[MOST];
    pm_shape shape = pm_shape_of(net->graph, tensor);
    size_t width = shape.dim[2];
    for (uint32_t b = 0; b < SAMPLES; b++) {
        memcpy(part + b * net->rows * width, all + (b * LENGTH + first) * width,
               net->rows * width * sizeof(float));
    }
    write_to(net->plan, tensor, part, pm_bytes_of(net->graph, tensor));
}

static void run_whole(const network *net, text *t)
{
    pm_error error = {0};
    write_to(net->plan, net->q, t->q, pm_bytes_of(net->graph, net->q));
    write_to(net->plan, net->k, t->k, pm_bytes_of(net->graph, net->k));
    write_to(net->plan, net->v, t->v, pm_bytes_of(net->graph, net->v));
    expect_ok(pm_plan_run(net->plan, 1, &error), &error);
    read_from(net->plan, net->y, t->y, pm_bytes_of(net->graph, net->y));
}

/* Runs positions first .. first + rows - 1 through the cache, and compares them with the whole text's. */
static void run_part(const network *net, const text *t, uint32_t first)
{
    static float y[MOST];
    pm_error error = {0};
    size_t width = pm_shape_of(net->graph, net->y).dim[2];
    write_rows(net, net->q, t->q, first);
    write_rows(net, net->k, t->k, first);
    write_rows(net, net->v, t->v, first);
    write_to(net->plan, net->first, &first, pm_bytes_of(net->graph, net->first));
    expect_ok(pm_plan_run(net->plan, 1, &error), &error);
    read_from(net->plan, net->y, y, pm_bytes_of(net->graph, net->y));
    for (uint32_t b = 0; b < SAMPLES; b++) {
        const float *wanted = t->y + (b * LENGTH + first) * width;
        if (memcmp(wanted, y + b * net->rows * width, net->rows * width * sizeof(float)) != 0)
            fail_msg("sample %u, %u positions from %u on: the bits differ", b, net->rows, first);
    }
}

static void spoil_cache(const network *net)
{
    static float values[MOST];
    for (uint32_t i = 0; i < MOST; i++) values[i] = i % 3 ? NAN : INFINITY;
    write_to(net->plan, net->k_cache, values, pm_bytes_of(net->graph, net->k_cache));
    write_to(net->plan, net->v_cache, values, pm_bytes_of(net->graph, net->v_cache));
}

static void copy_cache(const network *from, const network *to)
{
    static float values[MOST];
    read_from(from->plan, from->k_cache, values, pm_bytes_of(from->graph, from->k_cache));
    write_to(to->plan, to->k_cache, values, pm_bytes_of(to->graph, to->k_cache));
    read_from(from->plan, from->v_cache, values, pm_bytes_of(from->graph, from->v_cache));
    write_to(to->plan, to->v_cache, values, pm_bytes_of(to->graph, to->v_cache));
}

/* Attention over a random text, with scores large enough to make the running maximum move. */
static void make_text(text *t, const setting *s, uint64_t storage_range)
{
    network whole;
    fill(t->q, MOST, 3.0f, 1);
    fill(t->k, MOST, 3.0f, 2);
    fill(t->v, MOST, 1.0f, 3);
    build_whole(&whole, s, storage_range);
    run_whole(&whole, t);
    if (storage_range)
        assert_true(pm_plan_stats_of(whole.plan).pieces > pm_plan_stats_of(whole.plan).dispatches);
    destroy(&whole);
}

static const setting settings[] = {
    {4, 4, 8, PM_ROPE_HALVES},
    {4, 2, 8, PM_ROPE_NEIGHBOURS},
    {3, 1, 6, PM_ROPE_HALVES},
    {1, 1, 64, PM_ROPE_NEIGHBOURS},
};
enum { SETTINGS = sizeof settings / sizeof settings[0] };

static void singles_have_the_bits_of_the_whole(void **state)
{
    static text t;
    (void)state;
    for (uint32_t i = 0; i < SETTINGS; i++) {
        network single;
        make_text(&t, &settings[i], 0);
        build_part(&single, &settings[i], 1);
        spoil_cache(&single);
        for (uint32_t first = 0; first < LENGTH; first++) run_part(&single, &t, first);
        destroy(&single);
    }
}

static void a_chunk_then_singles_have_the_bits_of_the_whole(void **state)
{
    enum { CHUNK = 37 };
    static text t;
    (void)state;
    for (uint32_t i = 1; i < SETTINGS; i++) {
        network chunk, single;
        make_text(&t, &settings[i], 0);
        build_part(&chunk, &settings[i], CHUNK);
        build_part(&single, &settings[i], 1);
        spoil_cache(&chunk);
        run_part(&chunk, &t, 0);
        copy_cache(&chunk, &single);
        for (uint32_t first = CHUNK; first < LENGTH; first++) run_part(&single, &t, first);
        destroy(&chunk);
        destroy(&single);
    }
}

/* Chunks that follow one another, the last of which begins in the middle of the one before: written anew. */
static void chunks_have_the_bits_of_the_whole(void **state)
{
    static const uint32_t firsts[] = {0, 29, 46};
    static text t;
    network chunk;
    (void)state;
    make_text(&t, &settings[1], 0);
    build_part(&chunk, &settings[1], 29);
    spoil_cache(&chunk);
    for (uint32_t i = 0; i < 3; i++) run_part(&chunk, &t, firsts[i]);
    destroy(&chunk);
}

static void pieces_have_the_same_bits(void **state)
{
    static text whole, pieces;
    (void)state;
    for (uint32_t i = 0; i < SETTINGS; i += 3) { /* two samples of which begin where a device can bind */
        const setting *s = &settings[i];
        make_text(&whole, s, 0);
        size_t bytes = (size_t)SAMPLES * LENGTH * s->heads * s->head_width * sizeof(float);
        make_text(&pieces, s, bytes * 3 / 4);
        assert_memory_equal(whole.y, pieces.y, bytes);
    }
}

/* By block, without a cache: the last queries alone have the bits that they have among all. */
static void last_queries_have_the_same_bits(void **state)
{
    enum { LAST = 21, BLOCK = 12 };
    static text t, alone;
    (void)state;
    for (uint32_t i = 0; i < SETTINGS; i++) {
        const setting *s = &settings[i];
        size_t width = (size_t)s->heads * s->head_width;
        pm_attention_args args = args_of(s);
        network all, last;
        args.mask = PM_MASK_BLOCK;
        args.block = BLOCK;
        fill(t.q, MOST, 3.0f, 1);
        fill(t.k, MOST, 3.0f, 2);
        fill(t.v, MOST, 1.0f, 3);
        begin(&all, s, LENGTH);
        finish(&all, pm_attention(all.graph, all.q, all.k, all.v, args), 0);
        run_whole(&all, &t);
        begin(&last, s, LENGTH);
        pm_tensor q = pm_slice(last.graph, last.q, 1, LENGTH - LAST, LENGTH);
        finish(&last, pm_attention(last.graph, q, last.k, last.v, args), 0);
        memcpy(&alone, &t, sizeof t);
        run_whole(&last, &alone);
        for (size_t b = 0; b < SAMPLES; b++) {
            assert_memory_equal(t.y + (b * LENGTH + LENGTH - LAST) * width, alone.y + b * LAST * width,
                                LAST * width * sizeof(float));
        }
        destroy(&all);
        destroy(&last);
    }
}

static void wrong_arguments_are_refused(void **state)
{
    static const struct {
        pm_attention_args args;
        bool first;
        const char *message;
    } wrong[] = {
        {{.heads = 4, .kv_heads = 3}, false, "4 heads of queries and 3 of keys"},
        {{.heads = 0}, false, "0 heads of queries"},
        {{.heads = 4, .mask = PM_MASK_BLOCK}, false, "blocks of 0 positions"},
        {{.heads = 4, .mask = (pm_mask)3}, false, "3 is no mask"},
        {{.heads = 4, .mask = PM_MASK_NONE}, true, "the mask must be PM_MASK_CAUSAL"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        pm_error error = {0};
        pm_graph *g = pm_graph_create();
        pm_tensor x = pm_state(g, "x", PM_DTYPE_F32, PM_SHAPE(1, 5, 16));
        pm_attention_args args = wrong[i].args;
        if (wrong[i].first) args.first = pm_state(g, "first", PM_DTYPE_U32, PM_SHAPE(1));
        (void)pm_attention(g, x, x, x, args);
        expect_failure(pm_graph_status(g, &error), PM_BAD_USAGE, &error, wrong[i].message);
        pm_graph_destroy(g);
    }
}

static void with_first_there_is_no_gradient(void **state)
{
    pm_error error = {0};
    pm_graph *g = pm_graph_create();
    (void)state;
    pm_tensor x = pm_param(g, "x", PM_SHAPE(1, 5, 16), (pm_init){PM_INIT_NORMAL, 1.0f});
    pm_attention_args args = {.heads = 2, .mask = PM_MASK_CAUSAL};
    args.first = pm_state(g, "first", PM_DTYPE_U32, PM_SHAPE(1));
    (void)pm_backward(g, pm_sum(g, pm_attention(g, x, x, x, args)));
    expect_failure(pm_graph_status(g, &error), PM_BAD_USAGE, &error, "cannot be differentiated");
    pm_graph_destroy(g);
}

static void a_cache_must_be_a_state(void **state)
{
    pm_error error = {0};
    pm_graph *g = pm_graph_create();
    (void)state;
    pm_tensor x = pm_state(g, "x", PM_DTYPE_F32, PM_SHAPE(1, 5, 16));
    pm_tensor first = pm_state(g, "first", PM_DTYPE_U32, PM_SHAPE(1));
    (void)pm_cache_write(g, pm_affine(g, x, 1.0f, 0.0f), x, first);
    expect_failure(pm_graph_status(g, &error), PM_BAD_USAGE, &error, "a state [B,Tmax,C]");
    pm_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(singles_have_the_bits_of_the_whole),
        cmocka_unit_test(a_chunk_then_singles_have_the_bits_of_the_whole),
        cmocka_unit_test(chunks_have_the_bits_of_the_whole),
        cmocka_unit_test(pieces_have_the_same_bits),
        cmocka_unit_test(last_queries_have_the_same_bits),
        cmocka_unit_test(wrong_arguments_are_refused),
        cmocka_unit_test(with_first_there_is_no_gradient),
        cmocka_unit_test(a_cache_must_be_a_state),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
