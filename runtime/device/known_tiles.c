/* Tiles for devices that are known, where the rules' own are slower: what tools/known_tiles.sh printed there.
 */
#include "device/rules.h"
#include "device/tuning.h"

typedef struct known_device {
    uint32_t driver_id, subgroup_size; /* as Vulkan says */
    const pm_tuned *tiles;
    uint32_t count;
} known_device;

#define KNOWN(driver, lanes, tiles)                          \
    {                                                        \
        driver, lanes, tiles, sizeof tiles / sizeof tiles[0] \
    }

/* Mesa's CPU driver, vectors of 256 bits, 22.3.6 on an Intel Xeon. (Of 512 bits, 25.0.7 and 26.2.6, the
 * rules' own won every class.) */
static const pm_tuned lavapipe_256[] = {
    {{PM_TILED_AB, 1, 4096, 1024, 256}, {8, 8}},
    {{PM_TILED_CONV_WEIGHT, 32, 288, 32, 784}, {32, 1}},
};

static const known_device devices[] = {
    KNOWN(PM_DRIVER_ID_MESA_LLVMPIPE, 8, lavapipe_256),
};

void pm_tuning_know(pm_tuning *tuning, const pm_device_facts *facts)
{
    for (uint32_t i = 0; i < sizeof devices / sizeof devices[0]; i++) {
        const known_device *d = &devices[i];
        if (d->driver_id != facts->driver_id || d->subgroup_size != facts->subgroup_size) continue;
        tuning->known = d->tiles;
        tuning->n_known = d->count;
    }
}
