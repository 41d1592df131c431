// Second stage of the cross entropy, a lane a row: merges the runs in order, and leaves what the sum over
// rows and the gradient need: [log sum exp, label (-1: ignored), weight / rows, -log softmax at the label],
// and the row's term of the loss.
#version 460
#include "pumice.glsl"
#include "exact.glsl"

layout(constant_id = 1) const bool WEIGHTED = false;

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint rows;
    uint width;
    uint runs;
    float one_over_rows;
} p;

PM_INPUT(0, logits)
PM_INPUT(1, greatest)
PM_INPUT(2, sums)
PM_INPUT_UINT(3, labels)
PM_INPUT(4, weight)
PM_OUTPUT4(5, record);
PM_OUTPUT(6, term);

void main()
{
    uint row = gl_GlobalInvocationID.x;
    if (row >= p.rows - p.base * gl_WorkGroupSize.x) return;
    float most = greatest(row * p.runs);
    for (uint i = 1; i < p.runs; i++) most = max(most, greatest(row * p.runs + i));
    float sum = 0.0;
    for (uint i = 0; i < p.runs; i++) {
        sum += sums(row * p.runs + i) * pm_exp(greatest(row * p.runs + i) - most);
    }
    float lse = most + pm_log(sum);
    uint label = labels(row);
    bool counts = label < p.width;
    float loss = counts ? lse - logits(row * p.width + min(label, p.width - 1)) : 0.0;
    float scale = counts ? (WEIGHTED ? p.one_over_rows * weight(row) : p.one_over_rows) : 0.0;
    record[row] = vec4(lse, counts ? float(label) : -1.0, scale, loss);
    term[row] = pm_flush(scale * loss);
}
