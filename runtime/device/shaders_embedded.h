/* The compiled shaders, as the build embeds them: one entry for each variant of each shaders/NAME.comp. The
 * arrays are in a C file that the build generates. */
#ifndef PM_DEVICE_SHADERS_EMBEDDED_H
#define PM_DEVICE_SHADERS_EMBEDDED_H

#include <stdint.h>

/* Bits of `variant`; none of them is storage buffers, precision exact. */
enum {
    PM_SHADER_TEXEL = 1,    /* inputs are uniform texel buffers */
    PM_SHADER_FMA = 2,      /* precision f32: PM_MAD is fma() */
    PM_SHADER_MATRIX = 4,   /* by itself: matrix units, of storage buffers, for precision fast, in f16 */
    PM_SHADER_BF16 = 8,     /* with that: in bf16 */
    PM_SHADER_ROUNDED = 16, /* with PM_SHADER_FMA: operands of products are rounded to f16 */
};

typedef struct pm_shader_binary {
    const char *name;      /* NAME of shaders/NAME.comp */
    uint32_t variant;      /* PM_SHADER_* bits */
    const uint32_t *words; /* a SPIR-V module, valid for Vulkan 1.2 */
    uint32_t word_count;
} pm_shader_binary;

/* Sorted by name (as strcmp orders), then by variant. */
extern const pm_shader_binary pm_shader_binaries[];
extern const uint32_t pm_shader_binary_count;

#endif
