/* See tuning.h. */
#include "device/tuning.h"

#include "device/cache_file.h"

#include <stdlib.h>
#include <string.h>

#define MAGIC "PMTUNE02"

static const pm_tile_size cpu_sizes[] = {{16, 4}, {64, 1}, {32, 2}, {16, 2}, {8, 4}, {32, 1},
                                         {16, 1}, {12, 3}, {4, 4},  {8, 8},  {4, 8}};
static const pm_tile_size matrix_blocks[] = {{128, 32}, {128, 16}, {64, 16}, {128, 8}};
static const pm_tile_size gpu_sizes[] = {{8, 2}, {8, 1}, {4, 2}, {4, 1}, {16, 1}, {4, 4}};

#define COUNT(array) ((uint32_t)(sizeof(array) / sizeof(array)[0]))

const pm_tile_size *pm_tile_sizes(const pm_rules *rules, uint32_t kind, uint32_t *count)
{
    bool matrix = kind >= PM_TILED_MATRIX;
    *count = matrix ? COUNT(matrix_blocks) : rules->is_cpu ? COUNT(cpu_sizes) : COUNT(gpu_sizes);
    if (matrix) return matrix_blocks;
    return rules->is_cpu ? cpu_sizes : gpu_sizes;
}

/* Asked of what a file says, too. Whether a block of matrix units fits is seen to where it is chosen. */
bool pm_tile_allowed(const pm_rules *rules, uint32_t kind, pm_tile_size size)
{
    uint32_t count;
    const pm_tile_size *sizes = pm_tile_sizes(rules, kind, &count);
    for (uint32_t i = 0; i < count; i++) {
        if (sizes[i].rows == size.rows && sizes[i].columns == size.columns)
            return kind >= PM_TILED_MATRIX || size.rows * size.columns <= rules->tile_vec4s;
    }
    return false;
}

/* n lies in (2^(c-1), 2^c]. */
static uint32_t class_of(uint32_t n)
{
    uint32_t c = 0;
    while (c < 31 && n > 1u << c) c++;
    return c;
}

static bool same_class(const pm_tiled_shape *a, const pm_tiled_shape *b)
{
    return a->kind == b->kind && class_of(a->count) == class_of(b->count) &&
           class_of(a->m) == class_of(b->m) && class_of(a->n) == class_of(b->n) &&
           class_of(a->k) == class_of(b->k);
}

/* Of a shape's class; `count` where there is none. */
static uint32_t index_among(const pm_tuned *tuned, uint32_t count, const pm_tiled_shape *shape)
{
    uint32_t i = 0;
    while (i < count && !same_class(&tuned[i].shape, shape)) i++;
    return i;
}

const pm_tuned *pm_tuning_find(const pm_tuning *tuning, const pm_tiled_shape *shape)
{
    uint32_t i = index_among(tuning->tuned, tuning->n_tuned, shape);
    if (i < tuning->n_tuned) return &tuning->tuned[i];
    i = index_among(tuning->known, tuning->n_known, shape);
    return i < tuning->n_known ? &tuning->known[i] : NULL;
}

static void note(pm_tuning *tuning, const pm_tiled_shape *shape)
{
    for (uint32_t i = 0; i < tuning->n_asked; i++) {
        if (same_class(&tuning->asked[i], shape)) return;
    }
    if (tuning->n_asked < PM_MOST_TUNED) tuning->asked[tuning->n_asked++] = *shape;
}

const pm_rules *pm_tuned_rules(const pm_rules *rules, const pm_tiled_shape *shape, pm_rules *copy)
{
    pm_tuning *tuning = rules->tuning;
    bool matrix = shape->kind >= PM_TILED_MATRIX;
    if (!tuning || (rules->tile[0] && !matrix)) return rules;
    if (!tuning->measuring) note(tuning, shape);
    const pm_tuned *known = pm_tuning_find(tuning, shape);
    pm_tile_size size = tuning->measuring ? tuning->forced : known ? known->tile : (pm_tile_size){0, 0};
    if (!pm_tile_allowed(rules, shape->kind, size)) return rules;
    *copy = *rules;
    uint32_t *pinned = matrix ? copy->matrix_block : copy->tile;
    pinned[0] = size.rows;
    pinned[1] = size.columns;
    return copy;
}

void pm_tuning_set(pm_tuning *tuning, const pm_tiled_shape *shape, pm_tile_size tile)
{
    uint32_t i = index_among(tuning->tuned, tuning->n_tuned, shape);
    if (i == PM_MOST_TUNED) return;
    if (i == tuning->n_tuned) tuning->n_tuned++;
    tuning->tuned[i] = (pm_tuned){*shape, tile};
}

void pm_tuning_load(pm_device *device)
{
    char path[PM_CACHE_PATH];
    size_t bytes = 0;
    pm_tuning *tuning = &device->tuning;
    pm_cache_file_path(device, "tiles", path);
    pm_tuned *blob = path[0] ? pm_cache_file_read(device, path, MAGIC, &bytes) : NULL;
    if (blob && bytes % sizeof *blob == 0 && bytes <= sizeof tuning->tuned) {
        memcpy(tuning->tuned, blob, bytes);
        tuning->n_tuned = (uint32_t)(bytes / sizeof *blob);
    }
    free(blob);
}

void pm_tuning_save(const pm_device *device)
{
    char path[PM_CACHE_PATH];
    const pm_tuning *tuning = &device->tuning;
    pm_cache_file_path(device, "tiles", path);
    pm_cache_file_write(device, path, MAGIC, tuning->tuned, tuning->n_tuned * sizeof tuning->tuned[0]);
}
