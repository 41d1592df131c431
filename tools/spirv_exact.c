/* The patcher behind precision `exact`. Vulkan's table "Precision of core SPIR-V Instructions" promises
 * correct rounding for +, -, * and conversions only, and lets a driver fuse a multiply and an add unless the
 * results carry NoContraction. GLSL's `precise` would give that, but it has to be written on every variable;
 * here nothing can be forgotten, and an operation without a promise stops the build. */
#include "spirv_exact.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SPIRV_MAGIC = 0x07230203,
    SPIRV_HEADER_WORDS = 5,

    OP_STRING = 7,
    OP_LINE = 8,
    OP_EXT_INST_IMPORT = 11,
    OP_EXT_INST = 12,
    OP_TYPE_FIRST = 19, /* OpTypeVoid */
    OP_TYPE_LAST = 39,  /* OpTypeForwardPointer */
    OP_FUNCTION = 54,
    OP_DECORATE = 71,
    OP_MEMBER_DECORATE = 72,
    OP_F_NEGATE = 127,
    OP_F_ADD = 129,
    OP_F_SUB = 131,
    OP_F_MUL = 133,
    OP_VECTOR_TIMES_SCALAR = 142,
    OP_NO_LINE = 317,

    DECORATION_RELAXED_PRECISION = 0,
    DECORATION_NO_CONTRACTION = 42,
};

/* An instruction whose result differs from driver to driver. */
typedef struct forbidden_op {
    uint32_t first, last; /* opcodes */
    const char *name;
} forbidden_op;

static const forbidden_op forbidden_ops[] = {
    {87, 94, "texture sampling"},
    {116, 116, "OpQuantizeToF16"},
    {136, 136, "division (OpFDiv)"},
    {140, 140, "OpFRem"},
    {141, 141, "mod() (OpFMod)"},
    {143, 146, "a matrix product"},
    {147, 147, "outerProduct()"},
    {148, 148, "dot()"},
    {264, 266, "a group sum of floats"},
    {350, 350, "a subgroup sum of floats"},
    {352, 352, "a subgroup product of floats"},
    {4459, 4459, "a cooperative matrix product"},
    {5359, 5359, "a cooperative matrix product"},
    {6035, 6035, "an atomic add of floats"},
};

/* The instructions of GLSL.std.450 that round correctly, or not at all. All others are forbidden. */
static const uint32_t allowed_glsl[] = {
    2,          /* RoundEven (Round, 1, may take halves either way) */
    3,  4,  5,  /* Trunc, FAbs, SAbs */
    6,  7,      /* FSign, SSign */
    8,  9,      /* Floor, Ceil */
    37, 38, 39, /* FMin, UMin, SMin */
    40, 41, 42, /* FMax, UMax, SMax */
    43, 44, 45, /* FClamp, UClamp, SClamp */
    48,         /* Step */
    62,         /* UnpackHalf2x16 */
    73, 74, 75, /* FindILsb, FindSMsb, FindUMsb */
    79, 80, 81, /* NMin, NMax, NClamp */
};

/* Names of those that shaders are most likely to try; the number serves for the rest. */
static const struct {
    uint32_t number;
    const char *name;
} glsl_names[] = {
    {1, "round"},   {10, "fract"},      {13, "sin"},       {14, "cos"},   {15, "tan"},
    {19, "sinh"},   {20, "cosh"},       {21, "tanh"},      {26, "pow"},   {27, "exp"},
    {28, "log"},    {29, "exp2"},       {30, "log2"},      {31, "sqrt"},  {32, "inversesqrt"},
    {46, "mix"},    {49, "smoothstep"}, {50, "fma"},       {53, "ldexp"}, {58, "packHalf2x16"},
    {66, "length"}, {67, "distance"},   {69, "normalize"},
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* What one pass over the module learns and carries along. */
typedef struct module {
    const uint32_t *words;
    size_t count;
    uint32_t bound;         /* every id is below it */
    size_t *string_at;      /* [bound] position of the OpString that made the id, or 0 */
    unsigned char *marked;  /* [bound] the id has NoContraction */
    unsigned char *is_glsl; /* [bound] the id is an import of GLSL.std.450 */
    size_t types_at;        /* where annotations end and types begin */
    uint32_t *unmarked;     /* arithmetic results that lack NoContraction */
    size_t unmarked_count;
    uint32_t line, file; /* of the last OpLine; line 0: unknown */
} module;

static bool is_arithmetic(uint32_t op)
{
    return op == OP_F_NEGATE || op == OP_F_ADD || op == OP_F_SUB || op == OP_F_MUL ||
           op == OP_VECTOR_TIMES_SCALAR;
}

static const char *forbidden_name(uint32_t op)
{
    for (size_t i = 0; i < COUNT(forbidden_ops); i++)
        if (op >= forbidden_ops[i].first && op <= forbidden_ops[i].last) return forbidden_ops[i].name;
    return NULL;
}

static bool glsl_allowed(uint32_t number)
{
    for (size_t i = 0; i < COUNT(allowed_glsl); i++)
        if (allowed_glsl[i] == number) return true;
    return false;
}

/* Literal strings of SPIR-V end in a zero byte; one that does not is the mark of a broken module. */
static bool string_ends(const uint32_t *at, size_t words)
{
    return words > 0 && memchr(at, 0, words * sizeof *at) != NULL;
}

static pm_status refuse(const module *m, const char *what, pm_error *error)
{
    char where[200] = "";
    if (m->line && m->string_at[m->file]) {
        const char *file = (const char *)&m->words[m->string_at[m->file] + 2];
        (void)snprintf(where, sizeof where, "%s:%u: ", file, m->line);
    }
    return pm_fail(
        error, PM_FAILED,
        "%s%s has no promised rounding in Vulkan: use +, -, * or shaders/include/exact.glsl, or PM_MAD",
        where, what);
}

static pm_status refuse_glsl(const module *m, uint32_t number, pm_error *error)
{
    char what[64];
    (void)snprintf(what, sizeof what, "GLSL.std.450 instruction %u", number);
    for (size_t i = 0; i < COUNT(glsl_names); i++)
        if (glsl_names[i].number == number) (void)snprintf(what, sizeof what, "%s()", glsl_names[i].name);
    return refuse(m, what, error);
}

static pm_status broken(size_t at, pm_error *error)
{
    return pm_fail(error, PM_BAD_FILE, "not a SPIR-V module: bad instruction at word %zu", at);
}

/* Reads the instruction of `length` words at `at`. */
static pm_status read_instruction(module *m, size_t at, uint32_t op, uint32_t length, pm_error *error)
{
    const uint32_t *w = &m->words[at];
    if ((op == OP_LINE || op == OP_NO_LINE || (op >= OP_TYPE_FIRST && op <= OP_TYPE_LAST)) && !m->types_at)
        m->types_at = at;

    switch (op) {
    case OP_STRING:
        if (length < 3 || w[1] >= m->bound || !string_ends(w + 2, length - 2)) return broken(at, error);
        m->string_at[w[1]] = at;
        return PM_OK;
    case OP_LINE:
        if (length != 4 || w[1] >= m->bound) return broken(at, error);
        m->file = w[1];
        m->line = w[2];
        return PM_OK;
    case OP_FUNCTION:
    case OP_NO_LINE:
        m->line = 0;
        return PM_OK;
    case OP_EXT_INST_IMPORT:
        if (length < 3 || w[1] >= m->bound || !string_ends(w + 2, length - 2)) return broken(at, error);
        m->is_glsl[w[1]] = strcmp((const char *)(w + 2), "GLSL.std.450") == 0;
        return PM_OK;
    case OP_EXT_INST:
        if (length < 5 || w[3] >= m->bound) return broken(at, error);
        if (m->is_glsl[w[3]] && !glsl_allowed(w[4])) return refuse_glsl(m, w[4], error);
        return PM_OK;
    case OP_DECORATE:
        if (length < 3 || w[1] >= m->bound) return broken(at, error);
        if (w[2] == DECORATION_RELAXED_PRECISION) return refuse(m, "mediump or lowp", error);
        if (w[2] == DECORATION_NO_CONTRACTION) m->marked[w[1]] = 1;
        return PM_OK;
    case OP_MEMBER_DECORATE:
        if (length < 4) return broken(at, error);
        if (w[3] == DECORATION_RELAXED_PRECISION) return refuse(m, "mediump or lowp", error);
        return PM_OK;
    default:
        break;
    }
    if (forbidden_name(op)) return refuse(m, forbidden_name(op), error);
    if (is_arithmetic(op)) {
        if (length < 4 || w[2] >= m->bound) return broken(at, error);
        if (!m->marked[w[2]]) m->unmarked[m->unmarked_count++] = w[2];
        m->marked[w[2]] = 1;
    }
    return PM_OK;
}

static pm_status read_module(module *m, pm_error *error)
{
    for (size_t at = SPIRV_HEADER_WORDS; at < m->count;) {
        uint32_t op = m->words[at] & 0xffff, length = m->words[at] >> 16;
        if (length == 0 || length > m->count - at) return broken(at, error);
        pm_status status = read_instruction(m, at, op, length, error);
        if (status != PM_OK) return status;
        at += length;
    }
    if (!m->types_at) return pm_fail(error, PM_BAD_FILE, "not a SPIR-V module: it has no types");
    return PM_OK;
}

/* Writes the module with the missing decorations at the end of its annotations. */
static pm_status write_module(const module *m, uint32_t **out, size_t *out_count, pm_error *error)
{
    size_t count = m->count + 3 * m->unmarked_count;
    uint32_t *patched = malloc(count * sizeof *patched);
    if (!patched)
        return pm_fail(error, PM_NO_MEMORY, "out of memory for a SPIR-V module of %zu words", count);
    memcpy(patched, m->words, m->types_at * sizeof *patched);
    uint32_t *next = patched + m->types_at;
    for (size_t i = 0; i < m->unmarked_count; i++) {
        *next++ = 3u << 16 | OP_DECORATE;
        *next++ = m->unmarked[i];
        *next++ = DECORATION_NO_CONTRACTION;
    }
    memcpy(next, m->words + m->types_at, (m->count - m->types_at) * sizeof *patched);
    *out = patched;
    *out_count = count;
    return PM_OK;
}

pm_status pm_spirv_make_exact(const uint32_t *words, size_t count, uint32_t **out, size_t *out_count,
                              pm_error *error)
{
    if (count <= SPIRV_HEADER_WORDS || words[0] != SPIRV_MAGIC)
        return pm_fail(error, PM_BAD_FILE, "not a SPIR-V module: wrong magic or too short");
    /* Ids are dense in what compilers make; a bound beyond the words is a broken module, not one to allocate
     * for. */
    module m = {.words = words, .count = count, .bound = words[3]};
    if (m.bound > count) return pm_fail(error, PM_BAD_FILE, "not a SPIR-V module: bound %u of ids", m.bound);
    m.string_at = calloc(m.bound + 1, sizeof *m.string_at);
    m.marked = calloc(m.bound + 1, 1);
    m.is_glsl = calloc(m.bound + 1, 1);
    m.unmarked = malloc(count * sizeof *m.unmarked);

    pm_status status;
    if (m.string_at && m.marked && m.is_glsl && m.unmarked) {
        status = read_module(&m, error);
        if (status == PM_OK) status = write_module(&m, out, out_count, error);
    } else {
        status = pm_fail(error, PM_NO_MEMORY, "out of memory for a SPIR-V module of %zu words", count);
    }
    free(m.string_at);
    free(m.marked);
    free(m.is_glsl);
    free(m.unmarked);
    return status;
}
