/* What an operator is: one static const pm_op per operator, in one .c file per family, listed in ops/table.c.
 * Tests, gradient check, device check, benchmark and documentation all come from that row.
 *
 *   shape      looks at node->in and node->attr, and declares the outputs with pm_node_output(); a wrong
 *              argument is pm_graph_fail(graph, PM_BAD_USAGE, "conv2d: ...shapes...").
 *   backward   emits the nodes of the gradient: grad_in[i] for each i with wants[i], from grad_out (PM_NONE
 *              where an output is not used). It may leave grad_in[i] PM_NONE: zero. NULL: the operator cannot
 *              be differentiated.
 *   lower      appends the dispatches that compute the node, in order.
 *   joins      where several nodes can be one dispatch; absorb, where one node can be two. See pm_op.
 *   reference  plain C in double, which a reader can hold against the formula: the oracle of every test.
 *   cases      shapes worth testing, odd ones included.
 */
#ifndef PM_OPS_OP_H
#define PM_OPS_OP_H

#include "device/rules.h"
#include "graph/graph.h"

#define PM_MAX_SPEC 16
#define PM_MAX_PUSH 32 /* 128 bytes: what every device has */
#define PM_MAX_BINDINGS (PM_MAX_INPUTS + PM_MAX_OUTPUTS)

/* ---- Lowering ------------------------------------------------------------------------------------------ */

typedef enum pm_access { PM_READ = 1, PM_WRITE = 2, PM_UPDATE = 3 } pm_access;

typedef struct pm_binding {
    pm_tensor tensor;
    pm_access access;
    uint32_t width; /* elements a shader reads at once: 1 or 4 (PM_INPUT or PM_INPUT4); only for inputs */
    /* Bytes of this tensor that one workgroup along the split axis covers; 0: bound whole in every piece. */
    uint32_t stride;
    uint32_t halo; /* bytes that a piece gets beyond those; where stride is not 0 */
} pm_binding;

/* The nodes before one that it does the work of, by index (pm_op.absorb). */
#define PM_MAX_ABSORBED 3u
typedef struct pm_absorbed {
    uint32_t node[PM_MAX_ABSORBED], count;
} pm_absorbed;

/* One dispatch: a shader, its constants and its operands. A dispatch that exceeds a limit of the device
 * (storage range, number of groups) or takes too long is run in pieces along the split axis: each piece gets
 * the bindings with a stride from its own first group on, and that group's number in the push constant
 * `base`. What is bound whole must fit by itself: a rule that binds large tensors so asks pm_dispatch_stays,
 * and if it does not, writes down several dispatches instead, each for a part of those tensors. */
typedef struct pm_dispatch {
    const char *shader;
    uint32_t spec[PM_MAX_SPEC], n_spec; /* spec[0] is the workgroup size */
    uint32_t push[PM_MAX_PUSH], n_push; /* push[0] is `base` */
    pm_binding bind[PM_MAX_BINDINGS];
    uint32_t n_bind;
    uint32_t groups[3], split_axis;
    uint32_t shared_bytes; /* shared memory of a workgroup */
    uint32_t subgroup;     /* 0, or the subgroups of the shader's variant for matrix units, which then runs */
    bool rounds;           /* the shader's variant that rounds operands to f16 runs */
    double flops;
    uint32_t node; /* index of the node it belongs to */
    pm_absorbed absorbed;
} pm_dispatch;

typedef struct pm_lowering {
    pm_graph *graph;
    const pm_rules *rules;
    pm_dispatch *dispatches;
    uint32_t count, capacity;
    uint32_t node; /* being lowered */
    pm_absorbed absorbed;
    bool failed;        /* host memory ran out */
    uint32_t first_row; /* of the node being lowered, where that is a block of rows (pm_lower_by_rows) */
    /* Bytes that one binding can have: of an input read one or four elements at once, and of any other
     * operand. */
    uint64_t input_range, input4_range, storage_range;
} pm_lowering;

/* Begins the next dispatch; `lanes` becomes specialization constant 0. Never NULL (a spare is returned on
 * failure). The pointer holds until the next pm_dispatch_begin. */
pm_dispatch *pm_dispatch_begin(pm_lowering *lowering, const char *shader, uint32_t lanes);
void pm_spec(pm_dispatch *dispatch, uint32_t value);
void pm_push_u32(pm_dispatch *dispatch, uint32_t value);
void pm_push_f32(pm_dispatch *dispatch, float value);
/* Bindings, in the order of the shader's binding numbers. `stride` as in pm_binding. */
void pm_bind_in(pm_dispatch *dispatch, pm_tensor tensor, uint32_t width, uint32_t stride);
void pm_bind_out(pm_dispatch *dispatch, pm_tensor tensor, uint32_t stride);
void pm_bind_update(pm_dispatch *dispatch, pm_tensor tensor, uint32_t stride);
/* Ends the dispatch: number of workgroups, and the axis along which it may be cut. */
void pm_groups(pm_dispatch *dispatch, uint32_t x, uint32_t y, uint32_t z, uint32_t split_axis, double flops);

/* Of the last binding: its halo. */
void pm_bind_halo(pm_dispatch *dispatch, uint32_t bytes);

/* Whether loops of one invocation may make so many rounds on this device (pm_rules.most_rounds). If not, the
 * graph fails with a message that names the operator and `what` makes its loops so long. */
bool pm_rounds_fit(pm_lowering *lowering, const char *op, const char *what, uint64_t rounds);

/* A temporary of `count` elements that lives within the node being lowered. */
pm_tensor pm_scratch(pm_lowering *lowering, pm_dtype dtype, uint32_t count);

/* ---- Operands above the device's range ----------------------------------------------------------------- */

/* Every binding begins at a multiple of this many bytes. */
#define PM_BIND_ALIGN 256u

/* The most bytes that one binding may have, a multiple of PM_BIND_ALIGN: of an input of which a shader reads
 * `width` elements at once, or (width 0) of what it writes. */
uint64_t pm_reach(const pm_lowering *lowering, uint32_t width);
bool pm_fits_whole(const pm_lowering *lowering, pm_tensor tensor, uint32_t width);

/* Whether all that the last dispatch binds can be bound: whole, or in pieces that begin where every device
 * can bind. If not, the dispatch is taken back, for others to be written down instead. */
bool pm_dispatch_stays(pm_lowering *lowering);

/* Some bytes of a tensor, as a tensor of its own that begins at a multiple of PM_BIND_ALIGN; `skip` is how
 * many bytes that is before `begin`. */
pm_tensor pm_part(pm_lowering *lowering, pm_tensor tensor, uint64_t begin, uint64_t end, uint32_t *skip);

/* A window: the part of an operand that one of several dispatches sees. A kernel with windows does what it
 * would do with the whole operand, but leaves alone what needs elements outside; sums go on from where the
 * window before left them, so that their order is that of the whole. Each window but the last has a multiple
 * of PM_BIND_ALIGN bytes.
 *
 *   for (pm_window w = pm_window_first(lowering, x, width); pm_window_is(&w); pm_window_next(&w)) ...  */
typedef struct pm_window {
    pm_lowering *lowering;
    pm_tensor whole, tensor; /* all of the operand; what this window binds */
    uint64_t begin, end, bytes, most;
} pm_window;

/* The window that sees all. */
pm_window pm_window_all(pm_lowering *lowering, pm_tensor tensor);
pm_window pm_window_first(pm_lowering *lowering, pm_tensor tensor, uint32_t width);
bool pm_window_is(const pm_window *window);
void pm_window_next(pm_window *window);
/* The other half is shaders/include/window.glsl: its specialization constant, and PM_PUSH_WINDOW, for a
 * kernel that reads the operand in units of so many bytes. */
void pm_spec_window(pm_dispatch *dispatch, const pm_window *window);
void pm_push_window(pm_dispatch *dispatch, const pm_window *window, uint32_t unit);

/* For operators that bind whole what has little for each row of axis 0 (labels, statistics), while no row
 * needs another: lowers `node` by `lower`, in one go, or where the tensors in `whole` exceed the range, as
 * nodes of fewer rows that follow each other. `rows` has all tensors with such rows, in[0] among them. Bit i
 * of both is input i, PM_OUT_BIT(i) output i; `scratch` is the bytes of a row in scratch tensors bound whole.
 */
#define PM_OUT_BIT(i) (1u << (PM_MAX_INPUTS + (i)))
pm_tensor *pm_node_tensor(pm_node *node, uint32_t bit);
void pm_lower_by_rows(pm_lowering *lowering, const pm_node *node, uint32_t rows, uint32_t whole,
                      uint64_t scratch, void (*lower)(pm_lowering *lowering, const pm_node *node));
/* The same in blocks of so many rows, of which each begins where it can be bound. */
void pm_lower_by_blocks(pm_lowering *lowering, const pm_node *node, uint32_t rows, uint32_t block,
                        void (*lower)(pm_lowering *lowering, const pm_node *node));

/* ---- Reference ----------------------------------------------------------------------------------------- */

/* A format of 16 bits that matrix units multiply: rounding moves a number by `share` of it at most, to
 * whichever side, or to zero, if it is smaller than `least` and the format would have it denormal. */
typedef struct pm_half_format {
    double share, least;
} pm_half_format;
extern const pm_half_format pm_f16, pm_bf16;

/* How far rounding moves x at most. */
double pm_half_rounding(const pm_half_format *format, double x);

/* Host copies of a node's tensors: f for f32 (computed in double), u for u32 and u8 (one element each). */
typedef struct pm_host {
    pm_shape shape;
    uint32_t count;
    double *f;
    uint32_t *u;
} pm_host;

typedef struct pm_reference {
    const pm_graph *graph;
    const pm_node *node;
    pm_host in[PM_MAX_INPUTS]; /* .count 0 where an optional input is absent */
    pm_host out[PM_MAX_OUTPUTS];
    const pm_half_format *half; /* for pm_op.rounding: what operands are rounded to */
} pm_reference;

/* ---- Test cases ---------------------------------------------------------------------------------------- */

/* One case builds a small graph around the operator out of leaves, from up to eight numbers, and returns the
 * output that a random linear functional is then applied to, so that the gradient arriving at the operator is
 * never all ones. Differentiable leaves are parameters made by pm_case_leaf: they are what the gradient check
 * perturbs. */
typedef struct pm_case {
    const char *name;
    pm_tensor (*build)(pm_graph *graph, const uint32_t *p);
    uint32_t p[10];
    double tolerance;    /* of the device against the reference, relative to the output's scale; 0: 1e-5 */
    double least_scale;  /* of an output, where terms of that size may cancel: a rounding of them remains */
    bool no_gradient;    /* there is nothing to differentiate */
    bool no_differences; /* so many elements that central differences would take minutes: others have them */
    bool bench;          /* a size worth timing: for `pumice bench` alone, too large for the reference */
    bool large; /* takes the reference a second: for `pumice check --large`, which GPUs get unasked */
} pm_case;

/* A parameter with uniform values in [-scale, scale]. */
pm_tensor pm_case_leaf(pm_graph *graph, const char *name, pm_shape shape, float scale);
/* A u32 constant with pseudo-random values below n. */
pm_tensor pm_case_indices(pm_graph *graph, const char *name, pm_shape shape, uint32_t n);

/* ---- The operator -------------------------------------------------------------------------------------- */

enum { PM_MAX_JOINED = 3 };

struct pm_strided;

typedef struct pm_op {
    const char *name;
    /* A sum of products of an element of input 0 and one of input 1, rounded to 16 bits in precisions fast
     * and rounded; other inputs are added. */
    bool products;
    uint32_t updates; /* bit i: input i is a state that the node writes in place */
    void (*shape)(pm_graph *graph, pm_node *node);
    void (*backward)(pm_graph *graph, const pm_node *node, const pm_tensor *grad_out, const bool *wants,
                     pm_tensor *grad_in);
    void (*lower)(pm_lowering *lowering, const pm_node *node);
    /* Both or none: whether `other`, a later node of the same operator, can be computed with `first` in one
     * dispatch; and what computes `count` of them, at most PM_MAX_JOINED, so. It returns false, and appends
     * nothing, when that cannot be bound. */
    bool (*joins)(const pm_lowering *lowering, const pm_node *first, const pm_node *other);
    bool (*lower_joined)(pm_lowering *lowering, const pm_node *const *nodes, uint32_t count);
    /* Where nothing but `reader`, a later node, reads what `node` makes: makes of `node` one of the same
     * operator, for `lower` alone, that makes what `reader` does, and returns true. Or returns false. */
    bool (*absorb)(const pm_lowering *lowering, pm_node *node, const pm_node *reader);
    /* Whether `node` can read what `maker` reads instead of what that makes, by its `view`; if so, it then
     * does. */
    bool (*see_through)(const pm_lowering *lowering, pm_node *node, const pm_node *maker);
    /* Where the output is a strided view of input 0 (ops/layout.h): that view. */
    struct pm_strided (*view)(const pm_graph *graph, const pm_node *node);
    const char *(*kind)(const pm_node *node); /* the name of this one, where the operator is several */
    void (*reference)(const pm_reference *ref);
    /* Of an operator of several products, in precisions fast and rounded: how far the rounding of operands to
     * ref->half may move each element of the outputs at most, into ref->out. NULL: it has none. */
    void (*rounding)(const pm_reference *ref);
    const pm_case *cases;
    uint32_t n_cases;
} pm_op;

/* Every operator, ended by NULL (ops/table.c). */
extern const pm_op *const pm_op_table[];

#define PM_CASES(array) .cases = array, .n_cases = (uint32_t)(sizeof(array) / sizeof((array)[0]))

/* The attributes of a node, as the struct that the operator stored. */
#define PM_ATTR(type, node) ((const type *)(const void *)(node)->attr)

#endif
