/* Facts in, choices out; see rules.h. */
#include "device/rules.h"

#include <string.h>

/* Without Vulkan's headers: a version as VK_MAKE_API_VERSION packs it. */
#define VULKAN_1_4 (1u << 22 | 4u << 12)

enum { AMD = 0x1002, NVIDIA = 0x10de, INTEL = 0x8086 }; /* vendor_id */

/* What the compilers of docs/drivers.md make of the register tiles, of 8x2, 8x1, 4x2 and 4x1 vec4s.
 *
 * AMD and NVIDIA keep 8x2 in registers, and it is their best: for each vec4 a matmul AB costs 309, 334, 321,
 * 343 on navi31 in precision exact and 178, 201, 188, 211 in f32 (inverse throughput), 1272, 1537, 1401, 1695
 * and 615, 862, 747, 1025 on Turing (cycles). 16x1, 4x4 and 12x2 gain at most 4 % and halve the occupancy.
 * Intel has registers for 8x1 and 4x2 alone: 2150 (with 236 spills), 1450, 1474, 1908 on an Arc A770M, in a
 * conv2d five times as much with 8x2; Apple's spills as well, and Adreno's has one of its 48 left. Others are
 * taken to be like these.
 *
 * Through shared memory, for each vec4 and 128 terms of a matmul AB, 8x2, 4x2 and 8x1 cost 1136, 1200, 1173
 * on navi31 in precision exact and 590, 646, 640 in f32; 2214, 2261, 2295 and 1118, 1192, 1194 on navi21;
 * 2636, 2981, 3521 and 1868, 2206, 2845 on Turing. Of the instructions of the inner loop of the one that is
 * taken 83 and 81 %, 86 and 84 %, 91 and 84 % are arithmetic. On an Arc A770M 4x2, 8x1 and 4x1
 * cost 13.4, 15.1 and 15.8 cycles for each multiply-add of a matmul in precision exact, and 19.6, 19.7
 * and 22.9 of a conv2d; but there 4x2 spills 77 to 119 registers and 8x1 up to 94, and so do some variants of
 * matmul. 4x1 never does, and is the only one where registers are few. */
static uint32_t tile_vec4s(const pm_device_facts *facts)
{
    return facts->vendor_id == AMD || facts->vendor_id == NVIDIA ? 16 : 8;
}

/* With more attention by matrix units spills. On Ada 32 take 255 registers (gradients of keys and values,
 * heads of 128), on navi31 16 take 192 and 20 spill (Mesa 25; of 26 32 do not), on Lunar Lake two of sums
 * take 226 of 256, with own rows in shared memory, and whatever is more spills. */
static uint32_t attention_fragments(const pm_device_facts *facts)
{
    return facts->vendor_id == NVIDIA ? 32 : facts->vendor_id == INTEL ? 2 : 16;
}

/* Whether the processor moves values between any of 8 lanes by one instruction. */
static bool has_avx2(void)
{
#if defined(__x86_64__) && defined(__GNUC__)
    return __builtin_cpu_supports("avx2");
#else
    return false;
#endif
}

/* Of Mesa's CPU driver. For subgroupBroadcast it looked for the first active lane, in a loop (22.3 at least);
 * 25 and 26 move the value out of a register. Version 25 is the first that has Vulkan 1.4; its own number
 * is 1. subgroupShuffle is one instruction of AVX2 for vectors of 8 lanes, in 22.3, too; for others a loop.
 */
pm_showing pm_showing_of(const pm_device_facts *facts)
{
    if (facts->driver_id != PM_DRIVER_ID_MESA_LLVMPIPE || !facts->subgroup_shows) return PM_SHOWS_SLOWLY;
    if (facts->api_version >= VULKAN_1_4 && facts->subgroup_size >= 8) return PM_SHOWS_BY_BROADCAST;
    return facts->subgroup_size == 8 && has_avx2() ? PM_SHOWS_BY_SHUFFLE : PM_SHOWS_SLOWLY;
}

/* Of which lavapipe compiles kernels of register tiles three to ten times as fast where sums leave them in a
 * loop, with LLVM 15 and 19, and runs them as fast. 22.3, 26.1 and 26.2 compile them fast anyway, and run
 * them at a quarter to two thirds of the speed then, but for 26.1 with LLVM 19. */
static bool is_mesa_25_0(const pm_device_facts *facts)
{
    return facts->driver_id == PM_DRIVER_ID_MESA_LLVMPIPE && strstr(facts->driver_info, "Mesa 25.0.") != NULL;
}

/* f16 rounds an eighth as much as bf16, and drivers that offer bf16 offer both. */
static void choose_fragments(const pm_device_facts *facts, pm_rules *rules)
{
    rules->bf16 = !pm_on(rules, PM_MATRIX_F16) && facts->matrix_bf16[0] != 0;
    rules->matrix_subgroup = facts->matrix_subgroup;
    memcpy(rules->matrix, rules->bf16 ? facts->matrix_bf16 : facts->matrix, sizeof rules->matrix);
    if (!pm_on(rules, PM_MATRIX_F16) && !rules->bf16) rules->on &= ~PM_BIT(PM_MATRIX_UNITS);
    if (!pm_on(rules, PM_MATRIX_UNITS)) rules->on &= ~PM_BIT(PM_MATRIX_ATTENTION);
}

/* Of other vendors nothing is known. */
uint32_t pm_few_subgroup(const pm_device_facts *facts)
{
    bool known = facts->vendor_id == AMD || facts->vendor_id == INTEL;
    const uint32_t *sizes = facts->subgroup_sizes;
    return known && facts->subgroups_asked && sizes[0] < sizes[1] ? sizes[0] : 0;
}

/* What fills the device takes the size that the driver chooses: by the compilers' estimates no other is
 * better for any class of kernels (docs/devices.md has the table). Of 32 lanes instead of 64 a lane of a
 * product through shared memory takes 1.00 times as long on navi10 and navi21, 1.10 on navi31 and gfx1201,
 * one of an element-wise kernel 1.13 to 1.21. Intel's compiler takes the most lanes, up to 16 or from Xe2 on
 * 32, of which nothing spills; with twice as many all products spill and take 1.2 to 1.3 times as long, and
 * element-wise kernels run 0.94 to 0.98 of the instructions. Matrix units of AMD with 32 lanes: 1.04 on
 * navi31 and 1.06 on gfx1201 by Mesa 26 (0.75 on navi31 by 25).
 *
 * What does not fill it, such as every kernel of a text that is written token by token, takes as long as one
 * subgroup does, and is best spread over all processors: the least size. By the compilers' latencies of all
 * such dispatches, added up, a token of kjv-ar takes 0.92 of the time on navi10, 0.91 on navi21, 0.57 on
 * navi31 and gfx1201, the small ones of a training step of fashion-small 0.85, 0.84 and 0.68; on dg2 0.98
 * (without attention, which has the least size anyway, 0.81) and 0.92, on lnl 0.96 and 0.82. Few lanes are
 * those that the smallest of such devices runs all at once in subgroups of the least size: 24 units of 7
 * threads of 8 lanes, or of cards 96 units. */
static void choose_subgroups(const pm_device_facts *facts, const pm_device_limits *limits, pm_rules *rules)
{
    rules->most_subgroups = facts->most_subgroups;
    if (facts->subgroups_asked) rules->subgroup = (uint32_t)limits->subgroup;
    if (!rules->subgroup && pm_on(rules, PM_SUBGROUP_SIZES)) rules->few_subgroup = pm_few_subgroup(facts);
    rules->few_lanes = facts->type == PM_DEVICE_DISCRETE ? 4096 : 1024;
}

/* 512 terms of two operands whose rows are 1 KiB long are a second-level cache of 1 MiB: with vectors of 256
 * bits that many are the fastest on such a processor, and on one with 2 MiB twice as many. Of 512 bits a tile
 * reads twice as much of each row, and taking its sums up again costs more than the cache saves: 4096 are. */
static uint32_t near_terms(const pm_device_facts *facts)
{
    enum { MOST = 4096, BYTES = 2048 };
    uint32_t terms = facts->subgroup_size >= 16 ? MOST : 512;
    while (terms < MOST && (uint64_t)terms * 2 * BYTES <= facts->core_cache) terms *= 2;
    return terms;
}

pm_rules pm_rules_for(const pm_device_facts *facts, const pm_device_limits *limits, uint64_t off)
{
    pm_rules rules = {
        .lanes = 64,
        /* Of AMD's subgroups of 64, the only ones before RDNA, a workgroup of 32 lanes leaves half idle. */
        .gemm_lanes = facts->subgroup_size >= 64 ? 64 : 32,
        .tile_vec4s = tile_vec4s(facts),
        /* Of 32 rows the gradient of keys and values spills on Intel and Apple, and needs 252 registers on
         * navi31 and 160 on Turing; of 16 it needs 84 and 96, and costs 4 % more there, 10 % less on Intel.
         */
        .attention_block = 16,
        /* Of two the compilers estimate 0.75, 0.81 and 0.82 of the time a row (forward, gradients of queries,
         * of keys and values) on navi21, 0.66, 0.65 and 0.63 on Ada, with 128 and up to 144 registers instead
         * of 64 and 96. Of four 0.64, 0.78 and 1.29 on navi21, with 256. */
        .attention_rows = tile_vec4s(facts) >= 16 ? 2 : 1,
        .attention_fragments = attention_fragments(facts),
        .most_rounds = UINT32_MAX,
        .near_terms = UINT32_MAX / 4,
        .group_lanes = facts->max_invocations < 256 ? 128 : 256,
        .tile = {(uint32_t)limits->tile[0], (uint32_t)limits->tile[1]},
        .first_work = 5e5,
        .work_rate = 2e10,
        /* A CPU driver takes half a second to compile each kernel that is tried. */
        .tune_seconds = facts->type == PM_DEVICE_CPU ? 0.0 : 3.0,
    };
    for (uint32_t i = 0; i < PM_FEATURES; i++) {
        if (pm_feature_offered(facts, (pm_feature)i) && !(off >> i & 1u)) rules.on |= PM_BIT(i);
    }
    choose_fragments(facts, &rules);
    choose_subgroups(facts, limits, &rules);
    /* PM_TEXEL_INPUTS: CPU drivers check loads from storage buffers lane by lane; texel fetches are one
     * straight vector load, two to three times faster. PM_EVEN_VIEWS: lavapipe compiles a kernel anew, for
     * half a second, when a buffer's size becomes a power of two or stops being one, and when bits 8 to 15 of
     * a texel view's size become all zero or stop being so (measured on 22.3). */
    rules.is_cpu = pm_on(&rules, PM_CPU_KERNELS);
    rules.leaves_in_loop = is_mesa_25_0(facts);
    rules.shuffles = pm_showing_of(facts) == PM_SHOWS_BY_SHUFFLE;
    if (rules.is_cpu) {
        rules.first_work = 1e8; /* a piece may have to be compiled anew */
        /* CPU drivers run the lanes of one workgroup as vectors in a loop, on one thread: a workgroup that is
         * one vector wide keeps register tiles in registers. */
        rules.gemm_lanes = facts->subgroup_size >= 16 ? 16 : 8;
        rules.lanes = 32;
        rules.tile_vec4s = 64;
        rules.attention_block = 32;
        rules.attention_bytes = 9u << 20;
        rules.near_terms = near_terms(facts);
        rules.idle = rules.on & (PM_BIT(PM_SHARED_TILES) | PM_BIT(PM_MATRIX_UNITS) | PM_BIT(PM_MATRIX_F16) |
                                 PM_BIT(PM_MATRIX_ATTENTION));
        rules.on &= ~rules.idle;
    }
    if (!rules.is_cpu) rules.on &= ~(PM_BIT(PM_TURNED_PRODUCTS) | PM_BIT(PM_SPREAD_ROWS));
    if (!rules.is_cpu || rules.gemm_lanes != facts->subgroup_size) rules.on &= ~PM_BIT(PM_SHARED_FETCHES);
    if (pm_on(&rules, PM_SHARED_TILES) || pm_on(&rules, PM_MATRIX_UNITS)) {
        rules.shared_lanes = facts->max_invocations < 256 ? facts->max_invocations : 256;
        rules.shared_bytes = facts->max_shared_bytes;
    }
    /* Mesa's CPU driver ends all loops of an invocation, without a word, after 65535 rounds. */
    if (facts->driver_id == PM_DRIVER_ID_MESA_LLVMPIPE) rules.most_rounds = 65535;
    return rules;
}

uint32_t pm_subgroup_for(const pm_rules *rules, uint32_t lanes, uint64_t all_lanes)
{
    uint32_t size = rules->subgroup;
    if (size == 0 && all_lanes <= rules->few_lanes) size = rules->few_subgroup;
    return (uint64_t)size * rules->most_subgroups >= lanes ? size : 0;
}

int pm_device_rank(pm_device_type type)
{
    switch (type) {
    case PM_DEVICE_DISCRETE:
        return 4;
    case PM_DEVICE_INTEGRATED:
        return 3;
    case PM_DEVICE_VIRTUAL:
        return 2;
    case PM_DEVICE_CPU:
        return 1;
    case PM_DEVICE_OTHER:
        break;
    }
    return 0;
}

const char *pm_device_type_name(pm_device_type type)
{
    switch (type) {
    case PM_DEVICE_DISCRETE:
        return "discrete GPU";
    case PM_DEVICE_INTEGRATED:
        return "integrated GPU";
    case PM_DEVICE_VIRTUAL:
        return "virtual GPU";
    case PM_DEVICE_CPU:
        return "CPU";
    case PM_DEVICE_OTHER:
        break;
    }
    return "other";
}
