// Kernels with a lane for each (sample, group of channels): the quads of a row that hold channels of the
// group, and which of their components do.
#ifndef PUMICE_NORM_GROUP_GLSL
#define PUMICE_NORM_GROUP_GLSL

struct group_range {
    uint sample_index, begin, end; // channels
};

group_range group_of(uint index, uint channels, uint group_channels)
{
    uint groups = channels / group_channels;
    group_range g;
    g.sample_index = index / groups;
    g.begin = (index % groups) * group_channels;
    g.end = g.begin + group_channels;
    return g;
}

// v, with the components outside of the group set to zero.
vec4 group_only(group_range g, uint quad, vec4 v)
{
    uvec4 channel = uvec4(0, 1, 2, 3) + 4 * quad;
    v = mix(vec4(0.0), v, greaterThanEqual(channel, uvec4(g.begin)));
    return mix(vec4(0.0), v, lessThan(channel, uvec4(g.end)));
}

#define EACH_GROUP_QUAD(g, quad) for (uint quad = (g).begin / 4; 4 * quad < (g).end; quad++)

#endif
