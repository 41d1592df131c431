// Lanes that fetch for each other (PM_LANES, NAME_lanes.comp): a workgroup is one subgroup, with its lanes in order.
#ifndef PUMICE_LANES_GLSL
#define PUMICE_LANES_GLSL

#extension GL_KHR_shader_subgroup_ballot : require
#extension GL_KHR_shader_subgroup_shuffle : require

layout(constant_id = 9) const bool SHUFFLES = false; // which of two ways to show a value is the faster: rules.c

// What `lane`, which is the same for all, has as v.
#define PM_SHOW(type)                                  \
    type pm_show(type v, uint lane)                    \
    {                                                  \
        if (SHUFFLES) return subgroupShuffle(v, lane); \
        return subgroupBroadcast(v, lane);             \
    }
PM_SHOW(uint)
PM_SHOW(float)
PM_SHOW(vec4)

#endif
