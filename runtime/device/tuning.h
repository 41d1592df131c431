/* Which tile serves which class of shapes on this device, as it was measured (plan/tune.c) and kept on disk.
 * Only tiles that the rules allow are ever chosen by it, and a tile changes no bit of a result. */
#ifndef PM_DEVICE_TUNING_H
#define PM_DEVICE_TUNING_H

#include "device/rules.h"

struct pm_device;

/* What a tile is for: a product in one of three layouts (pm_layout), a convolution, or the gradient of its
 * weights; from PM_TILED_MATRIX on the same by matrix units. */
typedef enum pm_tiled {
    PM_TILED_AB,
    PM_TILED_ABT,
    PM_TILED_ATB,
    PM_TILED_CONV,
    PM_TILED_CONV_WEIGHT,
    PM_TILED_KINDS,
    PM_TILED_MATRIX = PM_TILED_KINDS
} pm_tiled;

/* `count` outputs of m rows and n elements, each a sum of k terms. */
typedef struct pm_tiled_shape {
    uint32_t kind, count, m, n, k;
} pm_tiled_shape;

/* Rows and vec4 columns of an invocation's tile, of matrix units' of a workgroup's block; rows 0: what the
 * rules say. */
typedef struct pm_tile_size {
    uint32_t rows, columns;
} pm_tile_size;

/* The tile of a class: of all shapes whose sizes lie between the same powers of two. */
typedef struct pm_tuned {
    pm_tiled_shape shape; /* one of the class, which was measured */
    pm_tile_size tile;
} pm_tuned;

enum { PM_MOST_TUNED = 256 };

typedef struct pm_tuning {
    pm_tuned tuned[PM_MOST_TUNED];
    pm_tiled_shape asked[PM_MOST_TUNED]; /* one of each class that plans asked for */
    uint32_t n_tuned, n_asked;
    const pm_tuned *known; /* comes with Pumice; for what was not measured here */
    uint32_t n_known;
    bool measuring; /* then `forced` is what every shape gets */
    pm_tile_size forced;
} pm_tuning;

/* Sizes that are tried on a device for a kind (pm_tiled): `count` of them in the order of preference. */
const pm_tile_size *pm_tile_sizes(const pm_rules *rules, uint32_t kind, uint32_t *count);

/* Whether a size is one of those, and the device has registers for it. */
bool pm_tile_allowed(const pm_rules *rules, uint32_t kind, pm_tile_size size);

/* The rules for the tile of a shape: `rules`, or a copy of them in *copy that pins the tile as it was
 * measured. The shape is noted among those that are asked for. */
const pm_rules *pm_tuned_rules(const pm_rules *rules, const pm_tiled_shape *shape, pm_rules *copy);

/* The entry of a shape's class, of what was measured here or else of what comes with Pumice, or NULL; and a
 * new one in place of what was there. */
const pm_tuned *pm_tuning_find(const pm_tuning *tuning, const pm_tiled_shape *shape);
void pm_tuning_set(pm_tuning *tuning, const pm_tiled_shape *shape, pm_tile_size tile);

/* What comes with Pumice (known_tiles.c), if anything does for such a device. */
void pm_tuning_know(pm_tuning *tuning, const pm_device_facts *facts);

/* From and to the disk; see cache_file.h. */
void pm_tuning_load(struct pm_device *device);
void pm_tuning_save(const struct pm_device *device);

#endif
