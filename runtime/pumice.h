/* Pumice: a portable Vulkan-compute runtime that trains and samples neural networks on any vendor's GPU.
 *
 * The order of a program: open a device, build a graph out of tensors, differentiate it, plan it on the
 * device, run the plan as often as wanted, read tensors back. Building never returns an error: the first
 * wrong shape puts the graph in an error state that pm_graph_status() reports, and everything after it is a
 * no-op.
 *
 * Conventions. Tensors are dense and row-major; images are [batch, height, width, channels]. Functions that
 * can fail return a pm_status and take a pm_error (which may be NULL) for the message. Objects come from
 * *_create or *_open and go with *_destroy or *_close, which accept NULL. Nothing here is thread-safe on one
 * object; different objects may be used from different threads. */
#ifndef PUMICE_H
#define PUMICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Has the compiler hold arguments against a format; of mingw-w64 against C's, not against Windows'. */
#if defined(__GNUC__) && defined(_WIN32)
#define PM_PRINTF(format_index, first_arg) __attribute__((format(gnu_printf, format_index, first_arg)))
#elif defined(__GNUC__)
#define PM_PRINTF(format_index, first_arg) __attribute__((format(printf, format_index, first_arg)))
#else
#define PM_PRINTF(format_index, first_arg)
#endif

/* ---- Status -------------------------------------------------------------------------------------------- */

/* The numbers are the exit codes of the command. */
typedef enum pm_status {
    PM_OK = 0,
    PM_FAILED = 1,      /* a check or comparison failed */
    PM_BAD_USAGE = 2,   /* wrong arguments: a shape, an option, an unknown name */
    PM_BAD_FILE = 3,    /* a file is malformed or does not fit */
    PM_NO_DEVICE = 4,   /* no usable Vulkan device */
    PM_DEVICE_LOST = 5, /* the device stopped answering; the objects on it can only be destroyed */
    PM_NO_MEMORY = 6,   /* host or device memory ran out */
    PM_IO = 7,          /* reading or writing failed */
} pm_status;

typedef struct pm_error {
    pm_status status;
    char message[500]; /* one line, no newline at its end */
} pm_error;

/* A short English name of the status; never NULL. */
const char *pm_status_name(pm_status status);

/* ---- Devices ------------------------------------------------------------------------------------------- */

typedef struct pm_device pm_device;

/* How numbers are computed. PM_EXACT: f32, the same bits on every conformant driver. PM_F32: the same kernels
 * with fma, the same bits on one driver only. PM_FAST: as PM_F32, but matrix units multiply what they can,
 * with operands rounded to f16 and sums in f32; on a device without any (PM_MATRIX_UNITS) it is PM_F32. A
 * model trained so needs pm_loss_scale. */
typedef enum pm_precision { PM_EXACT = 0, PM_F32 = 1, PM_FAST = 2 } pm_precision;

typedef enum pm_device_type {
    PM_DEVICE_OTHER = 0,
    PM_DEVICE_INTEGRATED = 1,
    PM_DEVICE_DISCRETE = 2,
    PM_DEVICE_VIRTUAL = 3,
    PM_DEVICE_CPU = 4,
} pm_device_type;

/* What is known of a device: filled once, never changed. Sizes are in bytes. */
typedef struct pm_device_facts {
    uint32_t index;        /* position in the loader's list */
    char name[256];        /* as the driver reports it */
    char driver[256];      /* driver's name */
    char driver_info[256]; /* driver's version in words */
    char uuid[37];         /* of the device, 8-4-4-4-12 */
    pm_device_type type;
    uint32_t vendor_id, device_id, driver_id, driver_version;
    uint32_t api_version;        /* as VK_MAKE_API_VERSION packs it */
    uint64_t memory_bytes;       /* largest device-local heap */
    uint64_t max_allocation;     /* of one memory allocation */
    uint64_t max_storage_range;  /* of one storage buffer binding */
    uint64_t max_texel_elements; /* of one texel buffer view */
    uint32_t max_shared_bytes, max_invocations, max_groups[3];
    uint32_t buffer_alignment; /* every binding's offset is a multiple of it; at least 256 */
    uint32_t subgroup_size;
    bool subgroup_broadcast; /* invocations of a subgroup can show each other values, and vote */
    /* Rows, columns and terms of the fragments that matrix units multiply, f16 by f16 added up in f32, in
     * subgroups of matrix_subgroup; 0: there are none that this build can use. */
    uint32_t matrix[3], matrix_subgroup;
    bool subgroups_vary;    /* that size has to be asked for */
    float timestamp_period; /* nanoseconds a tick; 0: no timestamps */
    bool unified_memory;    /* device-local memory can be mapped */
    bool memory_budget;     /* VK_EXT_memory_budget */
    bool compute_queue;     /* has a queue for computing that does not draw as well */
    bool usable;            /* has a compute queue and Vulkan 1.2 */
} pm_device_facts;

/* A smaller device than there is, to pretend: tests of what happens where a device has little run anywhere.
 * 0 is the device's own. */
typedef struct pm_device_limits {
    uint64_t storage_range; /* bytes of one binding, of texel views as well */
    uint64_t shared;        /* bytes of shared memory of a workgroup */
    uint64_t invocations;   /* of a workgroup */
    uint64_t groups;        /* workgroups along an axis */
    uint64_t texels;        /* elements of a texel view */
    uint64_t memory;        /* bytes of device memory */
    uint64_t allocation;    /* bytes of one allocation */
    uint64_t submit;        /* milliseconds that one submit aims for, where a plan does not say */
    uint64_t tile[2];       /* rows and vec4 columns of every matrix tile, for whichever is best */
} pm_device_limits;

/* Reads "storage-range=8MiB,shared=16KiB,..." into *limits; what is not named stays. `from` begins messages:
 * where the text is from. Fails with PM_BAD_USAGE. */
pm_status pm_limits_parse(const char *from, const char *text, pm_device_limits *limits, pm_error *error);

/* Name and one line about limit number i; NULL beyond the last. */
const char *pm_limit_name(uint32_t i, const char **about);

/* What can be turned off: optional features of devices, and what is only done for speed. None changes a
 * result. */
typedef enum pm_feature {
    PM_TEXEL_INPUTS,
    PM_EVEN_VIEWS,
    PM_CPU_KERNELS,
    PM_SHARED_FETCHES,
    PM_SHARED_TILES,
    PM_MATRIX_UNITS,
    PM_MAPPED_MEMORY,
    PM_COMPUTE_QUEUE,
    PM_MEMORY_BUDGET,
    PM_PIPELINE_CACHE,
    PM_PARALLEL_PIPELINES,
    PM_TUNED_TILES,
    PM_MEMORY_REUSE,
    PM_FEW_BARRIERS,
    PM_SUBMIT_MERGING,
    PM_WHOLE_DISPATCHES,
    PM_BIAS_EPILOGUE,
    PM_SAMPLE_EPILOGUE,
    PM_RESIDUAL_EPILOGUE,
    PM_GATED_UNITS,
    PM_TALL_PRODUCTS,
    PM_ROW_PRODUCTS,
    PM_JOINED_PRODUCTS,
    PM_JOINED_CACHES,
    PM_ROW_NORMS,
    PM_ATTENTION_PRODUCTS,
    PM_PRODUCT_CONVOLUTIONS,
    PM_LOGITS_IN_PLACE,
    PM_CACHED_DECODE,
    PM_SKIPPED_STEPS,
    PM_FEATURES /* how many there are */
} pm_feature;

/* Its name, and one line about it. */
const char *pm_feature_name(pm_feature feature, const char **about);

/* Reads "name,name,..." and adds bit 1 << feature of each to *off. Fails with PM_BAD_USAGE. */
pm_status pm_features_parse(const char *from, const char *text, uint32_t *off, pm_error *error);

/* Whether the device, of these facts, has any use for the feature. */
bool pm_feature_offered(const pm_device_facts *facts, pm_feature feature);

typedef struct pm_device_options {
    /* Index, part of the name, beginning of the UUID, or "cpu". NULL: $PUMICE_DEVICE, then the rule. */
    const char *select;
    pm_device_limits limits; /* before those of $PUMICE_LIMIT, which count where these are 0 */
    uint32_t off;            /* bits 1 << pm_feature; those of $PUMICE_OFF are off as well */
    /* Plans make their pipelines, with the compiler's statistics where the driver has any, and nothing else:
     * running one does nothing, writing to it is forgotten, what is read is zero. For drivers that only
     * compile, and for all that is asked of a compiler. */
    bool compile_only;
    /* Is told, in one line, what takes seconds and happens once (tiles that are measured on first use), and
     * what proved to be of no use on the device. May be NULL. */
    void (*say)(void *user, const char *line);
    void *user;
} pm_device_options;

/* Lists all devices that the loader shows, usable or not. *count holds the capacity on entry and the number
 * of devices on return; `facts` may be NULL when the capacity is 0. Fails with PM_NO_DEVICE when there is no
 * loader or no driver, or when a driver fails to enumerate. */
pm_status pm_device_list(pm_device_facts *facts, uint32_t *count, pm_error *error);

/* Opens a device; `options` may be NULL. The rule, when nothing is selected: discrete before integrated
 * before virtual before CPU, then the lower index. The caller closes it, after every plan on it is destroyed.
 * Fails with PM_NO_DEVICE when there is no usable device or none that matches, PM_BAD_USAGE when a limit is
 * above the device's own or a variable cannot be read, PM_NO_MEMORY. */
pm_status pm_device_open(const pm_device_options *options, pm_device **out, pm_error *error);
void pm_device_close(pm_device *device);

/* Owned by the device; with the limits that it pretends. */
const pm_device_facts *pm_device_facts_of(const pm_device *device);

/* Whether a feature is used: offered, and not turned off. */
bool pm_device_uses(const pm_device *device, pm_feature feature);

/* Measures which tile is the fastest for each class of products and convolutions that plans of this device
 * have asked for so far, and keeps that on disk for later ones, `again` also where it is known; *tuned is of
 * how many classes. No result changes by a bit in precision exact. GPUs are tuned on first use, when a plan
 * asks for what is not known yet; CPU drivers, whose compilers take long, only by this function. `say` may be
 * NULL. Fails as running a plan may. */
typedef struct pm_tune_options {
    double seconds; /* to begin no other measurement after */
    bool again;
    void (*say)(void *user, const char *line);
    void *user;
} pm_tune_options;
pm_status pm_device_tune(pm_device *device, const pm_tune_options *options, uint32_t *tuned, pm_error *error);

/* Bytes that tensors can still have on it: what is left of the budget that the driver gives this process
 * (VK_EXT_memory_budget), where it tells one, and of memory_bytes. It changes as others use the device. */
uint64_t pm_device_memory_free(const pm_device *device);

/* One line that says why this device was chosen, what limits it pretends and what is off. Owned by the
 * device.
 */
const char *pm_device_choice(const pm_device *device);

/* ---- Tensors and graphs -------------------------------------------------------------------------------- */

#define PM_MAX_RANK 4

typedef enum pm_dtype { PM_DTYPE_F32 = 0, PM_DTYPE_U32 = 1, PM_DTYPE_U8 = 2 } pm_dtype;

typedef struct pm_shape {
    uint32_t rank;
    uint32_t dim[PM_MAX_RANK];
} pm_shape;

/* PM_SHAPE(32, 28, 28, 1) */
#define PM_SHAPE(...)                                                                     \
    ((pm_shape){.rank = (uint32_t)(sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t)), \
                .dim = {__VA_ARGS__}})

typedef struct pm_graph pm_graph;

/* A handle into its graph, valid as long as that. id 0 is "no tensor": what optional arguments take and what
 * a failed graph returns. */
typedef struct pm_tensor {
    uint32_t id;
} pm_tensor;

#define PM_NONE ((pm_tensor){0})

/* NULL when host memory ran out. The caller destroys it, after every plan that was made from it. */
pm_graph *pm_graph_create(void);
void pm_graph_destroy(pm_graph *graph);

/* PM_OK, or the first thing that went wrong while building. */
pm_status pm_graph_status(const pm_graph *graph, pm_error *error);

/* Puts the graph in its error state, unless it is in one; for functions that build networks. */
void pm_graph_fail(pm_graph *graph, pm_status status, const char *format, ...) PM_PRINTF(3, 4);

/* Names of parameters made between push and pop begin with "name." ; scopes nest. */
void pm_scope_push(pm_graph *graph, const char *name);
void pm_scope_pop(pm_graph *graph);

pm_shape pm_shape_of(const pm_graph *graph, pm_tensor tensor);
pm_dtype pm_dtype_of(const pm_graph *graph, pm_tensor tensor);
/* Number of elements; 0 for PM_NONE. */
uint32_t pm_count_of(const pm_graph *graph, pm_tensor tensor);

/* How a parameter starts: value 0 or 1, N(0, amount^2), or uniform on [-amount, amount]. Drawn on the host
 * from the plan's seed and the parameter's path, so that it depends on neither the device nor the other
 * parameters. */
typedef enum pm_init_kind { PM_INIT_ZERO, PM_INIT_ONE, PM_INIT_NORMAL, PM_INIT_UNIFORM } pm_init_kind;
typedef struct pm_init {
    pm_init_kind kind;
    float amount;
} pm_init;

/* A trainable f32 tensor. All parameters of a graph lie in one flat arena, in the order of their creation.
 * The path (scopes and name) must be new: it is what names the parameter in messages and files. A tensor,
 * this or any other, has at least one element and fewer than 2^31. */
pm_tensor pm_param(pm_graph *graph, const char *name, pm_shape shape, pm_init init);

/* A tensor that keeps its contents from run to run: written by the host (pm_plan_write) or by operators that
 * say so. Zero when the plan is made. */
pm_tensor pm_state(pm_graph *graph, const char *name, pm_dtype dtype, pm_shape shape);

/* A tensor that never changes; `data` is copied. */
pm_tensor pm_constant(pm_graph *graph, const char *name, pm_dtype dtype, pm_shape shape, const void *data);

/* Keeps a tensor readable by the host after a run; otherwise its memory is reused within the run. */
void pm_output(pm_graph *graph, pm_tensor tensor);

/* Parameters by position (creation order), and any named tensor (parameter, state, constant) by path. */
uint32_t pm_param_count(const pm_graph *graph);
pm_tensor pm_param_at(const pm_graph *graph, uint32_t index);
pm_tensor pm_find(const pm_graph *graph, const char *path);
/* The path of a named tensor; "" for others. Owned by the graph. */
const char *pm_name_of(const pm_graph *graph, pm_tensor tensor);

/* ---- Operators ----------------------------------------------------------------------------------------- */
/* Each appends nodes and returns the result. Shapes in brackets; a wrong one puts the graph in its error
 * state. All are differentiable with respect to their f32 tensors unless they say otherwise. Reductions add
 * in an order that the shapes alone decide. */

/* - element by element (ops/elementwise.c) */

/* x sigmoid(x) */
pm_tensor pm_silu(pm_graph *graph, pm_tensor x);
/* The tanh form: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) */
pm_tensor pm_gelu(pm_graph *graph, pm_tensor x);
pm_tensor pm_sigmoid(pm_graph *graph, pm_tensor x);
pm_tensor pm_tanh_of(pm_graph *graph, pm_tensor x);
/* alpha x + beta */
pm_tensor pm_affine(pm_graph *graph, pm_tensor x, float alpha, float beta);
/* a + b and a * b; b may have extent 1 (or be missing leading axes) where a has more, and is then
 * repeated. */
pm_tensor pm_add(pm_graph *graph, pm_tensor a, pm_tensor b);
pm_tensor pm_mul(pm_graph *graph, pm_tensor a, pm_tensor b);
/* silu(gate) * up, of one shape: the gate of SwiGLU (2002.05202). */
pm_tensor pm_silu_mul(pm_graph *graph, pm_tensor gate, pm_tensor up);

/* - sums (ops/reduce.c) */

/* Repeats x along axes of extent 1 (or missing leading axes) to `shape`; and its adjoint, the sum over those
 * axes. */
pm_tensor pm_broadcast(pm_graph *graph, pm_tensor x, pm_shape shape);
pm_tensor pm_sum_to(pm_graph *graph, pm_tensor x, pm_shape shape);
/* Sum of all elements, [1]. */
pm_tensor pm_sum(pm_graph *graph, pm_tensor x);

/* - moving data (ops/layout.c, ops/resample.c) */

/* The same elements under another shape of as many; no data moves: both name the same memory. */
pm_tensor pm_reshape(pm_graph *graph, pm_tensor x, pm_shape shape);
/* a, then b, along `axis`; the other extents are equal. f32 or u32. */
pm_tensor pm_concat(pm_graph *graph, pm_tensor a, pm_tensor b, uint32_t axis);
/* Elements begin .. end-1 along `axis`. f32 or u32. */
pm_tensor pm_slice(pm_graph *graph, pm_tensor x, uint32_t axis, uint32_t begin, uint32_t end);
/* Output axis i is input axis order[i]; `order` has as many entries as x has axes. f32 or u32. */
pm_tensor pm_transpose(pm_graph *graph, pm_tensor x, const uint32_t *order);
/* Nearest-neighbour up-sampling by an integer factor, [B,H,W,C] -> [B,fH,fW,C]. */
pm_tensor pm_upsample_nearest(pm_graph *graph, pm_tensor x, uint32_t factor);
/* Mean over factor x factor squares, [B,fH,fW,C] -> [B,H,W,C]; H and W must be multiples of factor. */
pm_tensor pm_avg_pool(pm_graph *graph, pm_tensor x, uint32_t factor);

/* - linear maps (ops/matmul.c, ops/conv2d.c) */

typedef enum pm_layout { PM_AB = 0, PM_ABT = 1, PM_ATB = 2 } pm_layout;

/* op(A) op(B) + bias + residual. A is [M,K] ([K,M] for PM_ATB), B is [K,N] ([N,K] for PM_ABT); either may
 * have a leading batch axis; a matrix without one serves every batch. bias [N] and residual [(batch,) M,N]
 * may be PM_NONE. Each output adds its K products in order, then bias, then residual. */
pm_tensor pm_matmul(pm_graph *graph, pm_tensor a, pm_tensor b, pm_layout layout, pm_tensor bias,
                    pm_tensor residual);
/* x [..., in] times weight [in, out], + bias [out] (or PM_NONE), + residual [..., out] (or PM_NONE). */
pm_tensor pm_linear(pm_graph *graph, pm_tensor x, pm_tensor weight, pm_tensor bias, pm_tensor residual);

typedef struct pm_conv2d_args {
    pm_tensor bias;       /* [Cout] or PM_NONE */
    pm_tensor per_sample; /* [B,Cout], added to every pixel of its sample, or PM_NONE */
    pm_tensor residual;   /* [B,Ho,Wo,Cout] or PM_NONE */
    uint32_t stride;      /* 1 or 2; 0 counts as 1 */
    uint32_t pad_top, pad_left, pad_bottom, pad_right;
} pm_conv2d_args;

/* Cross-correlation of x [B,H,W,Cin] with weight [kh,kw,Cin,Cout], zeros outside: [B,Ho,Wo,Cout] with
 * Ho = (H + pads - kh) / stride + 1, likewise Wo. Kernels are at most 16x16, and each pad is smaller than the
 * kernel. */
pm_tensor pm_conv2d(pm_graph *graph, pm_tensor x, pm_tensor weight, pm_conv2d_args args);

/* - normalisation (ops/norm.c) */

typedef struct pm_norm_args {
    pm_tensor gamma, beta; /* [C] or PM_NONE */
    /* Modulation (adaLN, FiLM), y (1 + scale) + shift: [B,C] for each sample, or x's own shape for each
     * position, both the same way; or PM_NONE. */
    pm_tensor scale, shift;
    float eps; /* added to the variance, at least 1e-30; 0: 1e-5 */
    bool silu; /* apply x sigmoid(x) to the result */
    bool rms;  /* of layer_norm alone: divide by the root mean square, subtract no mean (1910.07467) */
} pm_norm_args;

/* Group normalisation (1803.08494) of x [B,...,C] over the positions and the C/groups channels of a group;
 * biased variance. */
pm_tensor pm_group_norm(pm_graph *graph, pm_tensor x, uint32_t groups, pm_norm_args args);
/* Layer normalisation (1607.06450) of x [...,C] over C. */
pm_tensor pm_layer_norm(pm_graph *graph, pm_tensor x, pm_norm_args args);

/* - softmax and attention (ops/softmax.c, ops/attention.c) */

/* exp(x) / sum exp(x) over the last axis, in x's shape. */
pm_tensor pm_softmax(pm_graph *graph, pm_tensor x);

/* Which keys a query sees: all; those up to its own position; those up to the end of its own block of
 * `block` positions. A rule and never a matrix. */
typedef enum pm_mask { PM_MASK_NONE = 0, PM_MASK_CAUSAL = 1, PM_MASK_BLOCK = 2 } pm_mask;

typedef struct pm_attention_args {
    uint32_t heads;
    uint32_t kv_heads; /* of k and v, a divisor of heads: neighbouring query heads share one (grouped-query
                        * attention, 2305.13245); 0: as many as heads */
    pm_mask mask;
    uint32_t block; /* positions of a block, for PM_MASK_BLOCK */
    /* u32 [1]: the position of the first query among the keys, known only at run time: attention into a
     * cache, of which what lies beyond the last query's position is not looked at. PM_NONE: Tk - Tq. With it
     * the result cannot be differentiated, and the mask must be PM_MASK_CAUSAL. */
    pm_tensor first;
} pm_attention_args;

/* softmax(Q K^T / sqrt(D)) V per head, for q [B,Tq,H*D] and k, v [B,Tk,G*D] with G = kv_heads; a head is D
 * neighbouring channels. Causal: query i sees keys 0 .. i + Tk - Tq. Memory is linear in the length: the
 * forward pass keeps the log-sum-exp of each row, and the backward pass recomputes the probabilities
 * (2205.14135). A query's result has the same bits whatever other queries there are, and whether its keys
 * come from a cache. */
pm_tensor pm_attention(pm_graph *graph, pm_tensor q, pm_tensor k, pm_tensor v, pm_attention_args args);

/* Writes rows [B,T,C] to positions first .. first+T-1 of cache [B,Tmax,C], a pm_state, in place; first is u32
 * [1]; what would lie beyond the end is dropped. Returns the cache as it is from then on. Not
 * differentiable. */
pm_tensor pm_cache_write(pm_graph *graph, pm_tensor cache, pm_tensor rows, pm_tensor first);

/* - positions (ops/rope.c) */

/* Which two channels of a head a rotation turns: i and i + D/2 (GPT-NeoX), or 2i and 2i+1 (the paper). */
typedef enum pm_rope_pairs { PM_ROPE_HALVES = 0, PM_ROPE_NEIGHBOURS = 1 } pm_rope_pairs;

/* f32 constant [positions, D]: row p has cos(p theta^(-2i/D)) for i < D/2, then the sines; in double. D is
 * even. */
pm_tensor pm_rope_table(pm_graph *graph, const char *name, uint32_t positions, uint32_t head_width,
                        float theta);
/* Rotary positions (2104.09864): x [B,T,H*D], row t of each head turned by row first + t of the table; first
 * u32 [1], or PM_NONE: 0. Positions beyond the table use its last row. Differentiable in x. */
pm_tensor pm_rope(pm_graph *graph, pm_tensor x, pm_tensor table, uint32_t heads, pm_rope_pairs pairs,
                  pm_tensor first);

/* - tables (ops/embedding.c) */

/* Rows of table [V,D] by index u32 [...] -> [...,D]; an index >= V gives zeros. The gradient adds in order of
 * the indices. */
pm_tensor pm_embedding(pm_graph *graph, pm_tensor table, pm_tensor index);

/* - randomness (ops/random.c). All of it is Philox4x32-10 with key (seed) and counter (element, step, sample,
 * stream): what a sample gets depends on its number and not on its place in a batch. */

/* The counter of a run: u32 [4] = step, first sample of the batch, seed (low word), seed (high word). */
pm_tensor pm_counter(pm_graph *graph);
/* step += 1, as the last thing of a run: what is emitted after it sees the next step. */
void pm_advance(pm_graph *graph, pm_tensor counter);
/* state = x, both u32 and of as many elements: what a run leaves for the next one (ops/assign.c). */
void pm_assign(pm_graph *graph, pm_tensor state, pm_tensor x);

/* u32 [count], all of them table[min(step, S-1)] for table u32 [S]: what a schedule says of the counter's
 * step. */
pm_tensor pm_at_step(pm_graph *graph, pm_tensor table, pm_tensor counter, uint32_t count);
/* u32 of x's shape: min(floor(x levels), levels - 1), and 0 for x <= 0: the row of a time in [0,1] in a table
 * of so many rows (ops/quantize.c). Not differentiable. */
pm_tensor pm_quantize(pm_graph *graph, pm_tensor x, uint32_t levels);

/* Standard normals and uniforms on [0,1) of a shape [B,...]: axis 0 counts samples. Not differentiable. */
pm_tensor pm_normal(pm_graph *graph, pm_tensor counter, uint32_t stream, pm_shape shape);
pm_tensor pm_uniform(pm_graph *graph, pm_tensor counter, uint32_t stream, pm_shape shape);
/* u32 [count], uniform below n. */
pm_tensor pm_random_index(pm_graph *graph, pm_tensor counter, uint32_t stream, uint32_t count, uint32_t n);
/* u32 [B]: an index drawn from softmax(logits [B,V]), by inversion of the running sum in order. Not
 * differentiable. */
pm_tensor pm_categorical(pm_graph *graph, pm_tensor logits, pm_tensor counter, uint32_t stream);
/* Zeroes each element of x [B,...] with probability p < 1 and divides the rest by 1 - p. The mask is
 * regenerated in the backward pass, never stored (ops/dropout.c). */
pm_tensor pm_dropout(pm_graph *graph, pm_tensor x, float p, pm_tensor counter, uint32_t stream);
/* Labels u32 [B], each replaced by null_label with probability p: the condition dropout of classifier-free
 * guidance. */
pm_tensor pm_drop_labels(pm_graph *graph, pm_tensor labels, float p, uint32_t null_label, pm_tensor counter,
                         uint32_t stream);

/* - losses (ops/loss.c): [1] */

/* Mean over all elements of weight * (prediction - target)^2; weight has the shape of the prediction, or [B],
 * or is PM_NONE. */
pm_tensor pm_mse(pm_graph *graph, pm_tensor prediction, pm_tensor target, pm_tensor weight);
/* Mean over the R rows of weight * -log softmax(logits [R,V])[label u32 [R]]; weight [R] or PM_NONE; V is at
 * most 2^20. A row whose label is >= V is ignored: it adds 0, and still counts in the mean. */
pm_tensor pm_cross_entropy(pm_graph *graph, pm_tensor logits, pm_tensor labels, pm_tensor weight);

/* The same loss straight from the features, without ever storing the logits [R,V] and their gradient: logits
 * = x [R,D] op(weight) + bias [V] (or PM_NONE), for weight [D,V] (PM_AB) or [N,D] with N >= V (PM_ABT: tied
 * to an embedding table, of which the first V rows, V being `vocabulary`, count; the gradient of the others
 * is 0). Logits are made, used and made again in the backward pass, a few rows at a time (ops/head_loss.c):
 * up to 2^22 of them, or 256 rows. Loss, d x and d weight have the same bits as from pm_matmul and
 * pm_cross_entropy. labels u32 [R], row_weight [R] or PM_NONE, and V, as there. */
pm_tensor pm_head_loss(pm_graph *graph, pm_tensor x, pm_tensor weight, pm_layout layout, uint32_t vocabulary,
                       pm_tensor bias, pm_tensor labels, pm_tensor row_weight);

/* - tokens: batches of text and masks (ops/tokens.c, ops/mask_times.c, ops/mask_tokens.c). Each use of
 * randomness wants its own stream: with one stream for times and masks the two would be related. */

/* Windows of a text for the counter's step: corpus u32 [N] -> u32 [B,L], window i beginning anywhere in 0 ..
 * N-L with equal probability, drawn for sample counter[1] + i. */
pm_tensor pm_batch_tokens(pm_graph *graph, pm_tensor corpus, pm_tensor counter, uint32_t stream,
                          uint32_t batch, uint32_t length);

/* alpha(t), the probability that a token is still there at time t in [0,1], for masking in continuous time
 * (2406.07524, 2406.04329). */
typedef enum pm_mask_schedule {
    PM_MASKING_LINEAR,     /* 1 - (1-eps) t: "log-linear" */
    PM_MASKING_COSINE,     /* (1-2 eps) (1 - cos(pi/2 (1-t))) + eps: MD4's */
    PM_MASKING_POLYNOMIAL, /* (1-2 eps) (1 - t^power) + eps */
    PM_MASKING_FIXED,      /* 1 - power at all times, with weight 1: BERT's rate, which is no bound */
} pm_mask_schedule;

typedef struct pm_masking {
    pm_mask_schedule schedule;
    float eps, power;
    float t_min;     /* times are drawn from [t_min, 1], and are at least 2^-24: none is 0 */
    bool stratified; /* the times of a batch of B are (u + i/B) mod 1, with one u for all, drawn for the first
                      * sample: evenly spread. Alone of all that is random here, this depends on a sample's
                      * place i in its batch; two batches of one step are each spread by themselves. */
} pm_masking;

/* For the counter's step: times f32 [B] and with them *rate [B] = 1 - alpha(t), the probability of a mask,
 * and *weight [B] = -alpha'(t) / (1 - alpha(t)) (1 - t_min), the weight of the cross-entropy in the bound
 * (2406.04329 eq. 4; with alpha linear it is (1 - t_min) / t, whatever eps). Each may be NULL. All are
 * finite: a weight is at most 1/t (POLYNOMIAL: power / t). With eps > 0 the bound of COSINE and POLYNOMIAL
 * wants the term at t = 0 too, the eps L masked tokens that are left; with t_min > 0 what lies below t_min is
 * left out. eps is 0 or at least 2^-40, power within 1/64 .. 64. Not differentiable. */
pm_tensor pm_mask_times(pm_graph *graph, pm_tensor counter, uint32_t stream, uint32_t batch,
                        pm_masking masking, pm_tensor *rate, pm_tensor *weight);
/* u32 [B]: how many of L tokens to mask, k uniform on 1 .. L; stratified k = 1 + floor(((u + i/B) mod 1) L),
 * with u and i as above. *weight f32 [B] = L/k (RADD's k-DCE, 2406.03736), or NULL. */
pm_tensor pm_mask_counts(pm_graph *graph, pm_tensor counter, uint32_t stream, uint32_t batch, uint32_t length,
                         bool stratified, pm_tensor *weight);

/* Masks tokens u32 [B,L]: each with probability rate f32 [B] (in units of 2^-32); or, with rate u32 [B],
 * exactly so many of each row, all subsets alike (all where there are fewer). `fixed` u32 [B,L] or PM_NONE:
 * where it is not 0 nothing is masked. -> [B,L] with mask_token where masked; *labels u32 [B,L] = the token
 * where it was masked, else 0xffffffff, which losses ignore; may be NULL. Token e of row i draws element e of
 * sample counter[1] + i. Not differentiable. */
pm_tensor pm_mask_tokens(pm_graph *graph, pm_tensor tokens, pm_tensor rate, uint32_t mask_token,
                         pm_tensor fixed, pm_tensor counter, uint32_t stream, pm_tensor *labels);

/* u32 [B]: sum over i of tokens[b,i] base^i, modulo 2^32, for tokens u32 [B,L]; with base^L < 2^31. With
 * pm_embedding it makes a table of a network: a denoiser that is known exactly. */
pm_tensor pm_digits(pm_graph *graph, pm_tensor tokens, uint32_t base);

/* - tokens: drawing (ops/draw_tokens.c, ops/reveal.c) */

/* What says how sure a row is of the token that it drew; all after temperature and cuts, higher is surer. */
typedef enum pm_confidence {
    PM_CONFIDENCE_DRAWN,   /* the probability of the token that was drawn (LLaDA, MaskGIT) */
    PM_CONFIDENCE_MAX,     /* the highest probability */
    PM_CONFIDENCE_MARGIN,  /* highest minus second highest */
    PM_CONFIDENCE_ENTROPY, /* sum of p log p: minus the entropy (Dream) */
    PM_CONFIDENCE_RANDOM,  /* a uniform number */
} pm_confidence;

typedef struct pm_draw_args {
    float temperature; /* divides logits; 0: the most probable token, the lowest index of equals */
    uint32_t top_k;    /* the k most probable, and whatever equals the last of them; 0: all */
    float top_p;       /* the fewest most probable that have at least this mass, and whatever equals the last
                        * of them (1904.09751); 0 or 1: all */
    float min_p;       /* those of at least min_p times the highest probability; 0: all */
    float repetition;  /* divides positive logits, multiplies negative ones, of tokens in `seen` (1909.05858);
                        * 0 or 1: none */
    pm_confidence confidence;
    uint32_t rows_per_sample; /* rows R are samples x this many; 0: 1 */
} pm_draw_args;

/* u32 [R]: a token of each row of logits [R,V], V up to 2^18, drawn from the softmax by inversion: a uniform
 * number of 32 bits against exact running sums, so that a token of probability p is drawn with p to within
 * 2^-32 (a race of f32 exponentials or Gumbel noise would starve tokens below 1e-6); weights below 2^-40 of
 * the highest count as 0. Cuts are made in the order k, p (of the mass that k left), min-p; what has the same
 * logit as the last one kept is kept. seen u32 [R/rows_per_sample, V] (nonzero: seen before) or PM_NONE.
 * *confidence f32 [R] may be NULL; with temperature 0 it is that of temperature 1. Row r draws for sample
 * counter[1] + r / rows_per_sample, element r % rows_per_sample. Fails unless temperature is 0 or in [1e-6,
 * 1e6], top_p and min_p are in [0,1], repetition is 0 or in [1e-3, 1e3]. Not differentiable. */
pm_tensor pm_draw_tokens(pm_graph *graph, pm_tensor logits, pm_tensor seen, pm_tensor counter,
                         uint32_t stream, pm_draw_args args, pm_tensor *confidence);

typedef enum pm_reveal_mode {
    PM_REVEAL_COUNT,     /* the surest masked positions, amount u32 [S,B] of them */
    PM_REVEAL_THRESHOLD, /* those of confidence >= threshold, and at least amount u32 [S,B] */
    PM_REVEAL_RATE,      /* each masked position by itself with probability amount f32 [S,B] */
} pm_reveal_mode;

typedef struct pm_reveal_args {
    pm_reveal_mode mode;
    uint32_t mask_token;
    float threshold;
    /* > 0: instead of the surest, positions drawn one after another with probability proportional to
     * exp(confidence / position_temperature) (Dream's alg_temp), by a Gumbel race of 32-bit uniforms. */
    float position_temperature;
} pm_reveal_args;

/* Writes tokens u32 [B,L] into canvas u32 [B,L], a pm_state with L up to 32768, in place, where it holds
 * mask_token, at the positions that the mode chooses among window [begin,end) of row min(step,S-1) of window
 * u32 [S,2] (PM_NONE: all positions), by row min(step,S-1) of amount; confidence f32 [B,L] (PM_REVEAL_RATE
 * needs none); of equals the lowest position comes first, and all are revealed where fewer are masked than
 * asked for. Chance: position i of row b draws for sample counter[1] + b, element i (with PM_REVEAL_RATE as
 * pm_happens_at of base/philox.h says, so that a host can know beforehand). Returns the canvas as it is from
 * then on. Fails unless position_temperature is 0 or in [1e-6, 1e6]. Not differentiable. */
pm_tensor pm_reveal(pm_graph *graph, pm_tensor canvas, pm_tensor tokens, pm_tensor confidence,
                    pm_tensor amount, pm_tensor window, pm_tensor counter, uint32_t stream,
                    pm_reveal_args args);

/* seen u32 [B,V], a pm_state: marks tokens u32 [B] with 1, in place; a token >= V marks nothing. Returns it
 * as it is from then on. */
pm_tensor pm_mark_seen(pm_graph *graph, pm_tensor seen, pm_tensor tokens);

/* - optimiser (ops/optimizer.c) */

typedef struct pm_adamw_args {
    float beta1, beta2;          /* decay of both moments, in [0, 1) */
    float eps;                   /* added to the root of the second moment; at least 1e-20 */
    float weight_decay;          /* of parameters of rank 2 and more, times the learning rate (1711.05101) */
    float clip_norm;             /* gradients are scaled down to this global norm; 0: not */
    const float *learning_rates; /* one per step, in double computed by the caller; the last one holds on */
    uint32_t n_learning_rates;
    float ema;       /* decay of the exponential moving average; 0: none */
    bool ema_warmup; /* decay min(ema, (1 + step) / (10 + step)) */
} pm_adamw_args;

typedef struct pm_adamw_state {
    pm_tensor first_moment, second_moment; /* states, flat like the arena, "optimizer.m" and "optimizer.v" */
    pm_tensor average;                     /* EMA of the parameters, "optimizer.ema"; PM_NONE without */
    pm_tensor grad_norm;                   /* [1], before clipping; an output */
} pm_adamw_state;

/* Euclidean norm of all elements, [1]. Not differentiable. */
pm_tensor pm_norm_of(pm_graph *graph, pm_tensor x);
/* Scaling of the loss, for precision fast, whose gradients pass through f16: multiply the loss by `scale`
 * before pm_backward and the gradient by `inverse` after it, then call pm_loss_scale_update with the norm of
 * the gradient. States: "loss_scale.scale" and ".inverse" [1], powers of two, which the first update sets
 * while they are zero, unless they are written before it; "loss_scale.counts" u32 [2]: good steps since the
 * scale changed, and steps that were skipped. */
#define PM_LOSS_SCALE_FIRST 65536.0f
#define PM_LOSS_SCALE_PATIENCE 2000u /* good steps after which the scale doubles */
typedef struct pm_loss_scale_state {
    pm_tensor scale, inverse, counts;
} pm_loss_scale_state;
pm_loss_scale_state pm_loss_scale(pm_graph *graph);
void pm_loss_scale_update(pm_graph *graph, pm_loss_scale_state state, pm_tensor grad_norm);

/* One step of AdamW (1711.05101, algorithm 2) on all parameters, in place, from a flat gradient, with
 * clipping and EMA. `counter` gives the step; call it once a graph. A step whose gradient norm is not below
 * 2^60, or is NaN, is skipped: parameters and moments stay. The first update of the average copies the
 * parameters. */
pm_adamw_state pm_adamw(pm_graph *graph, pm_tensor gradient, pm_tensor counter, pm_adamw_args args);

/* - diffusion (ops/diffusion.c) */

/* Sinusoidal timestep embedding table, row t: [sin | cos] of t / 10000^(i/(D/2 - 1)) for t = 0 .. T-1; [T,D]
 * (DDPM's form). */
pm_tensor pm_timestep_table(pm_graph *graph, const char *name, uint32_t timesteps, uint32_t width);
/* table[t,0] a + table[t,1] b per sample: q_sample (2006.11239 eq. 4) with a = x0, b = noise; the v target
 * (2202.00512) with its own table. a, b [B,...], t u32 [B], table [T,2]; a t >= T gives zeros. Differentiable
 * in a and b. */
pm_tensor pm_corrupt(pm_graph *graph, pm_tensor a, pm_tensor b, pm_tensor t, pm_tensor table);

/* Columns c of the step table of pm_denoise_step. From x, the prediction and noise z:
 *   x0     = c[X0_X] x + c[X0_PRED] prediction, then clipped to [-clip, clip]
 *   eps    = c[NOISE_X] x + c[NOISE_X0] x0
 *   next x = c[OUT_X0] x0 + c[OUT_NOISE] eps + c[OUT_X] x + c[OUT_Z] z */
typedef enum pm_step_column {
    PM_STEP_X0_X,
    PM_STEP_X0_PRED,
    PM_STEP_NOISE_X,
    PM_STEP_NOISE_X0,
    PM_STEP_OUT_X0,
    PM_STEP_OUT_NOISE,
    PM_STEP_OUT_X,
    PM_STEP_OUT_Z,
    PM_STEP_COLUMNS
} pm_step_column;

/* One reverse step on x [B,...], a pm_state, in place: DDPM (2006.11239 alg. 2) and DDIM (2010.02502 eq. 12)
 * by the row of table [S,PM_STEP_COLUMNS] that is the counter's step; steps beyond the table use its last
 * row. prediction and noise have x's shape; noise PM_NONE counts as zero. Returns the x0 estimate, after
 * clipping (clip 0: none). Not differentiable. */
pm_tensor pm_denoise_step(pm_graph *graph, pm_tensor x, pm_tensor prediction, pm_tensor noise,
                          pm_tensor counter, pm_tensor table, float clip);
/* Classifier-free guidance (2207.12598): u + w (c - u), [B,...], for prediction [2B,...] = conditional rows
 * c, then unconditional ones u, and weight w [1]. Where w is 1 the result is c itself, bit for bit. */
pm_tensor pm_guide(pm_graph *graph, pm_tensor prediction, pm_tensor weight);
/* u32 [n] -> [2n]: the labels, then null_label n times; and x [B,...] -> [2B,...] twice the same: the doubled
 * batch. */
pm_tensor pm_guide_labels(pm_graph *graph, pm_tensor labels, uint32_t null_label);
pm_tensor pm_repeat_batch(pm_graph *graph, pm_tensor x);

/* - data (ops/batch.c) */

/* A batch of images for the counter's step: images number step*B + counter[1] + i, i < B, of a sequence that
 * goes through a fresh pseudo-random permutation of the N images each epoch, and begins again after 2^32.
 * pixels u8 [N,H,W,C] -> [B,H,W,C] in [-1,1] (value/127.5 - 1), optionally mirrored left-right with
 * probability 1/2; *labels u32 [B] from all_labels u32 [N]. Not differentiable. */
pm_tensor pm_batch_images(pm_graph *graph, pm_tensor pixels, pm_tensor all_labels, pm_tensor counter,
                          uint32_t batch, bool mirror, pm_tensor *labels);

/* ---- Differentiation ----------------------------------------------------------------------------------- */

/* Appends the gradient of the one-element tensor `loss` with respect to every parameter, laid out like the
 * parameter arena (reverse-mode differentiation; a parameter that the loss does not depend on gets zeros).
 * Call it once, after the last pm_param. Returns the flat gradient [arena elements]. */
pm_tensor pm_backward(pm_graph *graph, pm_tensor loss);

/* Appends d loss / d wrt[i], of wrt[i]'s shape, for `count` f32 tensors; out[i] is PM_NONE where the loss
 * does not depend on wrt[i]. */
void pm_gradients(pm_graph *graph, pm_tensor loss, const pm_tensor *wrt, uint32_t count, pm_tensor *out);

/* Marks where one block of a network ends and the next begins. Nothing comes of it but for pm_recompute. */
void pm_boundary(pm_graph *graph);
/* To be called before pm_backward or pm_gradients, which then keep of what lies between two boundaries only
 * what others use, and compute the rest once more: less memory, about a third more operations, the same bits.
 */
void pm_recompute(pm_graph *graph);

/* The part of a flat tensor (gradient, moment, average) that belongs to a parameter, in the parameter's
 * shape. */
pm_tensor pm_param_view(pm_graph *graph, pm_tensor arena, pm_tensor param);

/* ---- Plans --------------------------------------------------------------------------------------------- */

typedef struct pm_plan pm_plan;

typedef struct pm_plan_options {
    pm_precision precision;
    uint64_t seed; /* of the parameters' initial values */
    /* Aim for the GPU time of one submit; 0: the device's limit, or 0.1, a CPU's 0.5. */
    double submit_seconds;
    bool profile; /* measure every dispatch with timestamps, at some cost */
} pm_plan_options;

typedef struct pm_plan_stats {
    uint32_t nodes, dispatches, pieces, barriers, pipelines, command_buffers;
    uint32_t submits;          /* of the last run */
    double host_seconds;       /* of the last run: what the host did besides submitting and waiting */
    uint64_t persistent_bytes; /* parameters, states, constants */
    uint64_t activation_bytes; /* memory for everything else, after reuse */
    uint64_t unshared_bytes;   /* what that would be without reuse */
    double flops;              /* of one run: multiply and add count as two */
} pm_plan_stats;

/* Lowers, places in memory and records the graph on the device. Fails with the graph's own error, with
 * PM_NO_MEMORY when it does not fit, or with PM_BAD_USAGE when something that cannot be split exceeds the
 * device's storage range.
 *
 * Tensors above that range are split, with the same results bit for bit. What it must hold, of one tensor:
 *   - what one workgroup covers and what makes it begin where every device can bind: up to 128 neighbouring
 *     rows (along the last axis) where rows are not to be torn, as in matmul, softmax, cross entropy and
 *     layer normalisation; 64 lines of an image in pooling; in convolution, attention and group
 *     normalisation a sample, or as many, up to 64, as have a multiple of 256 bytes together;
 *   - a convolution's weights of one tap;
 *   - a bias, a gain, a table of steps or of positions, the indices of an embedding's gradient, and in the
 *     gradient of layer normalisation one number for each row.
 *
 * The graph must outlive the plan and must not grow while it is used. The caller destroys it. */
pm_status pm_plan_create(pm_device *device, pm_graph *graph, const pm_plan_options *options, pm_plan **out,
                         pm_error *error);
void pm_plan_destroy(pm_plan *plan);

/* What such a plan would need, in *out: nodes, dispatches, flops and memory, without allocating anything on
 * the device. The graph may be planned afterwards. Fails as pm_plan_create does, but not for what is free. */
pm_status pm_plan_needs(pm_device *device, pm_graph *graph, const pm_plan_options *options,
                        pm_plan_stats *out, pm_error *error);

/* Submits the plan `times` times in a row and returns when all but the last few submits are done;
 * pm_plan_wait waits for the rest. Fails with PM_DEVICE_LOST, from then on at every call on this device. */
pm_status pm_plan_run(pm_plan *plan, uint32_t times, pm_error *error);
pm_status pm_plan_wait(pm_plan *plan, pm_error *error);

/* Copies a whole tensor from or to the host, waiting for the device first. Only states, parameters, constants
 * and outputs have lasting contents. Fails with PM_BAD_USAGE unless `bytes` is the tensor's size and the plan
 * uses it, with PM_DEVICE_LOST. */
pm_status pm_plan_read(pm_plan *plan, pm_tensor tensor, void *data, size_t bytes, pm_error *error);
pm_status pm_plan_write(pm_plan *plan, pm_tensor tensor, const void *data, size_t bytes, pm_error *error);

pm_plan_stats pm_plan_stats_of(const pm_plan *plan);

/* Calls `line` once for each line of a description of the plan: what was lowered to what, memory, barriers,
 * submits; with options.profile also the measured time of each dispatch. */
void pm_plan_explain(const pm_plan *plan, void (*line)(void *user, const char *text), void *user);

#ifdef __cplusplus
}
#endif
#endif
