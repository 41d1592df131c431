/* Tiles that were measured: kept and found by class, ignored when the file or what it says is not as it has
 * to be, measured on first use where the rules say so; and whatever they are, they change no bit. */
/* ctest labels: device */
#include "device_helpers.h"

#include "device/cache_file.h"
#include "ops/tile.h"
#include "plan/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BATCH = 2, SIDE = 9, CHANNELS = 12, ROWS = 1100, WIDTH = 36, GRADIENT = 1 << 16 };

static uint32_t lines;

static void say(void *user, const char *line)
{
    assert_non_null(strstr(line, "tuning: "));
    lines++;
    (void)user;
}

/* Products and convolutions with their gradients. */
static pm_graph *build(pm_tensor *gradient)
{
    pm_graph *g = pm_graph_create();
    pm_init normal = {PM_INIT_NORMAL, 1};
    pm_conv2d_args pad = {.pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1};
    pm_tensor x = pm_param(g, "x", PM_SHAPE(BATCH, SIDE, SIDE, CHANNELS), normal);
    pm_tensor y = pm_conv2d(g, x, pm_param(g, "k", PM_SHAPE(3, 3, CHANNELS, 8), normal), pad);
    pm_tensor a = pm_param(g, "a", PM_SHAPE(ROWS, WIDTH), normal);
    pm_tensor z = pm_linear(g, a, pm_param(g, "w", PM_SHAPE(WIDTH, 52), normal), PM_NONE, PM_NONE);
    pm_tensor loss = pm_add(g, pm_sum(g, pm_mul(g, y, y)), pm_sum(g, pm_mul(g, z, z)));
    *gradient = pm_backward(g, loss);
    return g;
}

static void run(pm_device *on, float *out)
{
    pm_error error = {0};
    pm_plan *plan;
    pm_tensor gradient;
    pm_graph *g = build(&gradient);
    assert_true(pm_bytes_of(g, gradient) <= GRADIENT * sizeof *out);
    expect_ok(pm_plan_create(on, g, NULL, &plan, &error), &error);
    run_once(plan);
    read_from(plan, gradient, out, pm_bytes_of(g, gradient));
    pm_plan_destroy(plan);
    pm_graph_destroy(g);
}

/* The caches of this test lie in a folder of its own. */
static char folder[] = "/tmp/pumice-tuning-XXXXXX";

static pm_device *open_own(uint64_t off)
{
    pm_error error = {0};
    pm_device *own;
    expect_ok(pm_device_open(&(pm_device_options){.off = off, .say = say}, &own, &error), &error);
    own->tuning.n_known = 0;
    return own;
}

static float before[GRADIENT], after[GRADIENT];

static void any_tile_gives_the_same_bits(void **state)
{
    uint32_t count;
    pm_device *own = open_own(0);
    (void)state;
    own->tuning.n_tuned = 0;
    run(own, before);
    assert_true(own->tuning.n_asked >= 4);
    /* The gradient of the weights has sums so long that they may take several dispatches. */
    bool in_parts = false, conv_weight = false;
    for (uint32_t s = 0; s < own->tuning.n_asked; s++) {
        in_parts |= own->tuning.asked[s].kind == PM_TILED_ATB && own->tuning.asked[s].k >= ROWS;
        conv_weight |= own->tuning.asked[s].kind == PM_TILED_CONV_WEIGHT;
    }
    assert_true(in_parts && conv_weight);
    const pm_tile_size *sizes = pm_tile_sizes(&own->rules, PM_TILED_AB, &count);
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t s = 0; s < own->tuning.n_asked; s++)
            pm_tuning_set(&own->tuning, &own->tuning.asked[s], sizes[i]);
        memset(after, 0, sizeof after);
        run(own, after);
        assert_memory_equal(before, after, sizeof before);
    }
    pm_device_close(own);
}

static void what_the_device_does_not_allow_is_not_chosen(void **state)
{
    pm_device *own = open_own(0);
    pm_rules copy;
    pm_tiled_shape shape = {PM_TILED_AB, 1, 100, 100, 100}, near = {PM_TILED_AB, 1, 128, 65, 90};
    pm_tiled_shape other = {PM_TILED_AB, 1, 129, 100, 100};
    const pm_tile_size wrong[] = {{0, 0}, {6, 2}, {64, 64}, {UINT32_MAX, 1}, {16, 0}};
    (void)state;
    own->tuning.n_tuned = 0;
    pm_tuning_set(&own->tuning, &shape, (pm_tile_size){4, 4});
    const pm_rules *chosen = pm_tuned_rules(&own->rules, &near, &copy);
    assert_int_equal(chosen->tile[0], own->rules.tile_vec4s < 16 ? 0 : 4); /* its class */
    assert_ptr_equal(pm_tuned_rules(&own->rules, &other, &copy), &own->rules);
    for (uint32_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        pm_tuning_set(&own->tuning, &shape, wrong[i]);
        assert_ptr_equal(pm_tuned_rules(&own->rules, &near, &copy), &own->rules);
    }
    assert_int_equal(own->tuning.n_tuned, 1);
    pm_device_close(own);
}

/* Blocks of matrix units, by the rules of a device that has some. */
static void blocks_of_matrix_units_are_tuned_by_themselves(void **state)
{
    pm_device *own = open_own(0);
    pm_rules copy, rules = own->rules;
    uint32_t count;
    (void)state;
    rules.on |= PM_BIT(PM_MATRIX_UNITS);
    rules.is_cpu = false;
    rules.matrix[0] = rules.matrix[1] = rules.matrix[2] = 16;
    rules.matrix_subgroup = 32;
    rules.shared_lanes = 256;
    rules.shared_bytes = 49152;
    rules.tile_vec4s = 16;
    own->tuning.n_tuned = 0;
    pm_tiled_shape plain = {PM_TILED_AB, 1, 1000, 1000, 1000};
    pm_tiled_shape shape = pm_tiled_shape_of(&rules, PM_TILED_AB, 1, 1000, 1000, 1000);
    assert_int_equal(shape.kind, PM_TILED_AB + PM_TILED_MATRIX);
    assert_int_equal(pm_tiled_shape_of(&own->rules, PM_TILED_AB, 1, 1000, 1000, 1000).kind, PM_TILED_AB);
    const pm_tile_size *blocks = pm_tile_sizes(&rules, PM_TILED_MATRIX, &count);
    for (uint32_t i = 0; i < count; i++) {
        pm_tuning_set(&own->tuning, &shape, blocks[i]);
        const pm_rules *chosen = pm_tuned_rules(&rules, &shape, &copy);
        pm_tile tile = pm_tile_for(chosen, 1, 1000, 1000);
        assert_true(tile.part_rows != 0);
        assert_int_equal(tile.group_rows, blocks[i].rows);
        assert_int_equal(tile.columns << tile.log2_lanes, blocks[i].columns);
        assert_ptr_equal(pm_tuned_rules(&rules, &plain, &copy),
                         &rules); /* nothing is known of the other kind */
    }
    /* A block that the device has no room for, from whatever file. */
    rules.shared_bytes = 16384;
    pm_tuning_set(&own->tuning, &shape, blocks[0]);
    pm_tile tile = pm_tile_for(pm_tuned_rules(&rules, &shape, &copy), 1, 1000, 1000);
    assert_true(tile.part_rows != 0 &&
                tile.group_rows * (tile.columns << tile.log2_lanes) < blocks[0].rows * blocks[0].columns);
    pm_tuning_set(&own->tuning, &shape, (pm_tile_size){8, 2}); /* a register tile is no block */
    assert_ptr_equal(pm_tuned_rules(&rules, &shape, &copy), &rules);
    pm_device_close(own);
}

/* What comes with Pumice serves where nothing was measured, and only what the device allows of it. */
static void known_tiles_serve_until_others_are_measured(void **state)
{
    static const pm_tuned known[] = {{{PM_TILED_AB, 1, 100, 100, 100}, {4, 4}},
                                     {{PM_TILED_AB, 1, 1000, 100, 100}, {6, 2}}};
    pm_device *own = open_own(0);
    pm_rules copy, rules = own->rules;
    (void)state;
    rules.tile_vec4s = 64;
    own->tuning.n_tuned = 0;
    own->tuning.known = known;
    own->tuning.n_known = 2;
    assert_int_equal(pm_tuned_rules(&rules, &known[0].shape, &copy)->tile[1], 4);
    assert_ptr_equal(pm_tuned_rules(&rules, &known[1].shape, &copy), &rules);
    pm_tuning_set(&own->tuning, &known[0].shape, (pm_tile_size){0, 0}); /* measured: the rules' own */
    assert_ptr_equal(pm_tuned_rules(&rules, &known[0].shape, &copy), &rules);
    pm_device_close(own);
}

static void file_of(const pm_device *on, uint8_t *bytes, size_t *count, bool write)
{
    char path[PM_CACHE_PATH];
    pm_cache_file_path(on, "tiles", path);
    FILE *file = fopen(path, write ? "wb" : "rb");
    assert_non_null(file);
    if (write) assert_int_equal(fwrite(bytes, 1, *count, file), *count);
    if (!write) *count = fread(bytes, 1, 1 << 16, file);
    assert_int_equal(fclose(file), 0);
}

static void tuning_is_kept_and_a_doctored_file_ignored(void **state)
{
    static uint8_t bytes[1 << 16];
    size_t count;
    uint32_t tuned, again;
    pm_error error = {0};
    pm_device *own = open_own(0);
    pm_tune_options options = {.seconds = 1e3, .say = say};
    (void)state;
    assert_int_equal(own->tuning.n_tuned, 0); /* an empty folder */
    run(own, before);
    lines = 0;
    expect_ok(pm_device_tune(own, &options, &tuned, &error), &error);
    assert_int_equal(tuned, own->tuning.n_asked);
    assert_int_equal(lines, tuned);
    expect_ok(pm_device_tune(own, &options, &again, &error), &error);
    assert_int_equal(again, 0); /* all is known */
    run(own, after);
    assert_memory_equal(before, after, sizeof before);
    pm_device_close(own);

    own = open_own(0);
    assert_int_equal(own->tuning.n_tuned, tuned);
    file_of(own, bytes, &count, false);
    for (size_t i = 0; i < count; i += i < 100 ? 1 : 7) {
        bytes[i] ^= (uint8_t)(1u << i % 8);
        file_of(own, bytes, &count, true);
        own->tuning.n_tuned = 0;
        pm_tuning_load(own);
        assert_int_equal(own->tuning.n_tuned, 0);
        bytes[i] ^= (uint8_t)(1u << i % 8);
    }
    file_of(own, bytes, &count, true);
    pm_tuning_load(own);
    assert_int_equal(own->tuning.n_tuned, tuned);
    pm_device_close(own);
}

static void first_use_is_measured_where_the_rules_say_so(void **state)
{
    pm_device *own = open_own(0);
    (void)state;
    own->tuning.n_tuned = 0;
    lines = 0;
    run(own, before);
    assert_int_equal(own->tuning.n_tuned, 0); /* a CPU driver: by command alone */
    assert_int_equal(lines, 0);
    own->rules.tune_seconds = 1e3; /* as a GPU, with time enough */
    run(own, after);
    assert_int_equal(own->tuning.n_tuned, own->tuning.n_asked);
    assert_true(lines > 0);
    assert_memory_equal(before, after, sizeof before);
    pm_device_close(own);
    own = open_own(PM_BIT(PM_TUNED_TILES));
    assert_null(own->rules.tuning);
    own->rules.tune_seconds = 1e3;
    run(own, after);
    assert_int_equal(own->tuning.n_asked, 0);
    assert_memory_equal(before, after, sizeof before);
    pm_device_close(own);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) && setenv("XDG_CACHE_HOME", folder, 1) == 0 ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[64];
    (void)state;
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_tile_gives_the_same_bits),
        cmocka_unit_test(what_the_device_does_not_allow_is_not_chosen),
        cmocka_unit_test(blocks_of_matrix_units_are_tuned_by_themselves),
        cmocka_unit_test(known_tiles_serve_until_others_are_measured),
        cmocka_unit_test(tuning_is_kept_and_a_doctored_file_ignored),
        cmocka_unit_test(first_use_is_measured_where_the_rules_say_so),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
