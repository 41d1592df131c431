// Values per sample (an element of axis 0, of `size` elements) for a flat pass over groups of four, which
// need not end where samples do: PM_PER_SAMPLE(value, quad, size, count) is vec4 of float value(uint sample)
// for the elements of group number `quad` of the whole tensor; past its `count` elements, the last sample's.
#ifndef PUMICE_PER_SAMPLE_GLSL
#define PUMICE_PER_SAMPLE_GLSL

uint pm_sample_of(uint element, uint size, uint count)
{
    return min(element, count - 1) / size;
}

#define PM_PER_SAMPLE(value, quad, size, count)                               \
    ((size) % 4 == 0 ? vec4(value((quad) / ((size) / 4)))                     \
                     : vec4(value(pm_sample_of(4 * (quad), size, count)),     \
                            value(pm_sample_of(4 * (quad) + 1, size, count)), \
                            value(pm_sample_of(4 * (quad) + 2, size, count)), \
                            value(pm_sample_of(4 * (quad) + 3, size, count))))

#endif
