// The cross entropy's gradient: weight / rows * (softmax - [column is the label]), times the gradient of the
// loss; with PM_IN_PLACE it takes the place of the logits. Reference: reference_cross_entropy_backward in
// runtime/ops/loss.c.
#include "pumice.glsl"
#include "exact.glsl"

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint count;
    uint width;
} p;

PM_INPUT4(0, record) // log sum exp, label, weight / rows, loss of the row
PM_INPUT(1, grad_loss)
#ifdef PM_IN_PLACE
PM_INOUT4(2, grad);
vec4 logits(uint i) { return grad[i]; }
#else
PM_OUTPUT4(2, grad);
PM_INPUT4(3, logits)
#endif

#include "each_quad.glsl"

void main()
{
    float scale = grad_loss(0);
    bool ragged = p.width % 4 != 0;
    PM_EACH_QUAD(i, p.count)
    {
        uint element = 4 * (p.base * PM_QUADS_PER_GROUP + i);
        uint row = element / p.width, column = element - row * p.width;
        vec4 r = record(row);
        vec4 lse = vec4(r.x), k = vec4(r.z);
        vec4 to_label = r.y - (float(column) + vec4(0.0, 1.0, 2.0, 3.0));
        if (ragged) { // later elements of the four may be of later rows
            [[unroll]] for (uint c = 1; c < 4; c++)
            {
                if (++column == p.width) {
                    column = 0;
                    row = min(row + 1, (p.count - 1) / p.width);
                    r = record(row);
                }
                lse[c] = r.x;
                k[c] = r.z;
                to_label[c] = r.y - float(column);
            }
        }
        vec4 hit = mix(vec4(0.0), vec4(1.0), equal(to_label, vec4(0.0)));
        vec4 v = pm_flush((scale * k) * (pm_exp(logits(i) - lse) - hit));
        grad[i] = PM_KEEP(v, i, p.count);
    }
}
