/* Assembly to blocks, blocks to loops, and what is in the innermost; see inner_loop.h. */
#include "inner_loop.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- What is in a listing ------------------------------------------------------------------------------ */

typedef enum dialect { AMD, INTEL, NVIDIA, ADRENO, UNKNOWN } dialect;

static const char *const dialects[] = {"Assembly", "GEN Assembly", "NAK assembly", "IR3 Assembly"};

typedef struct word {
    const char *at;
    size_t length;
} word;

typedef struct block {
    word label, target[2];
    size_t to[2]; /* the blocks of `target`; none: the number of blocks */
    bool falls;   /* goes on to the next block, too */
    bool marked;  /* in the loop that is looked at */
    uint32_t depth;
    double instructions, arithmetic, multiply_adds, matrices, cycles;
} block;

typedef struct code {
    dialect dialect;
    uint32_t lanes;
    block *blocks;
    size_t count, room;
    bool failed;
} code;

typedef enum kind { OTHER, ADD, MULTIPLY, MULTIPLY_ADD, MATRIX } kind;

/* By how a mnemonic begins; the first that fits. */
static const struct {
    const char *prefix;
    kind kind;
    uint32_t width; /* how many at once */
} mnemonics[] = {
    {"v_mad_u", OTHER, 1},
    {"v_mad_i", OTHER, 1},
    {"v_fma", MULTIPLY_ADD, 1},
    {"v_mac_", MULTIPLY_ADD, 1},
    {"v_mad_", MULTIPLY_ADD, 1},
    {"v_dual_fma", MULTIPLY_ADD, 1},
    {"v_pk_fma", MULTIPLY_ADD, 2},
    {"v_mul_f", MULTIPLY, 1},
    {"v_dual_mul_f", MULTIPLY, 1},
    {"v_pk_mul_f", MULTIPLY, 2},
    {"v_add_f", ADD, 1},
    {"v_sub_f", ADD, 1},
    {"v_subrev_f", ADD, 1},
    {"v_dual_add_f", ADD, 1},
    {"v_dual_sub", ADD, 1},
    {"v_pk_add_f", ADD, 2},
    {"v_wmma", MATRIX, 1},
    {"v_swmmac", MATRIX, 1},
    {"v_mfma", MATRIX, 1},
    {"mad", MULTIPLY_ADD, 1},
    {"mul", MULTIPLY, 1},
    {"add3", ADD, 1},
    {"add", ADD, 1},
    {"dpas", MATRIX, 1},
    {"ffma", MULTIPLY_ADD, 1},
    {"fmul", MULTIPLY, 1},
    {"fadd", ADD, 1},
    {"hfma2", MULTIPLY_ADD, 2},
    {"hmul2", MULTIPLY, 2},
    {"hadd2", ADD, 2},
    {"hmma", MATRIX, 1},
};

static bool begins(word w, const char *prefix)
{
    size_t length = strlen(prefix);
    return w.length >= length && memcmp(w.at, prefix, length) == 0;
}

static bool is(word w, const char *text)
{
    return w.length == strlen(text) && begins(w, text);
}

static bool same(word a, word b)
{
    return a.length == b.length && memcmp(a.at, b.at, a.length) == 0;
}

/* The next word of what is left of a line, up to blanks or an opening bracket; empty at the end. */
static word next_word(word *rest)
{
    while (rest->length && strchr(" \t(,", *rest->at)) rest->at++, rest->length--;
    word w = {rest->at, 0};
    while (w.length < rest->length && !strchr(" \t(,", w.at[w.length])) w.length++;
    rest->at += w.length;
    rest->length -= w.length;
    return w;
}

static const char *find(word in, const char *text)
{
    size_t length = strlen(text);
    for (size_t i = 0; i + length <= in.length; i++) {
        if (memcmp(in.at + i, text, length) == 0) return in.at + i;
    }
    return NULL;
}

/* The line up to `text`, if it has it. */
static word before(word line, const char *text)
{
    const char *at = find(line, text);
    if (at) line.length = (size_t)(at - line.at);
    return line;
}

/* The number behind `text` in the line, or `otherwise`. */
static double number_behind(word line, const char *text, double otherwise)
{
    const char *at = find(line, text);
    unsigned number;
    return at && sscanf(at + strlen(text), "%u", &number) == 1 ? number : otherwise;
}

/* ---- Lines to blocks ----------------------------------------------------------------------------------- */

static block *begin_block(code *code, word label)
{
    if (code->count == code->room) {
        size_t larger = code->room ? 2 * code->room : 64;
        block *moved = realloc(code->blocks, larger * sizeof *moved);
        code->failed = code->failed || !moved;
        if (!moved) return NULL;
        code->blocks = moved;
        code->room = larger;
    }
    code->blocks[code->count] = (block){.label = label, .falls = true};
    return &code->blocks[code->count++];
}

/* The label that a line is, or empty. */
static word label_of(dialect dialect, word line)
{
    word rest = line, first = next_word(&rest);
    if (dialect == NVIDIA)
        return begins(first, "block") ? next_word(&rest) : (word){line.at, 0}; /* its number */
    if (!rest.length && first.length > 1 && first.at == line.at && first.at[first.length - 1] == ':') {
        return (word){first.at, first.length - 1};
    }
    return (word){line.at, 0};
}

static bool is_instruction(dialect dialect, word line)
{
    bool indented = *line.at == ' ' || *line.at == '\t';
    switch (dialect) {
    case AMD:
        return indented;
    case INTEL: /* what is indented explains the message of the line before */
        return !indented && find(line, "(") != NULL;
    case NVIDIA:
        return (indented || *line.at == '@') && find(line, "// delay=");
    case ADRENO:
        return !indented && !strchr(";@", *line.at);
    case UNKNOWN:
        break;
    }
    return false;
}

/* What stands before the mnemonic: predicates, flags, and at NVIDIA's the results. */
static word behind_prefixes(dialect dialect, word line)
{
    const char *results = dialect == NVIDIA ? find(line, " = ") : NULL;
    if (results) {
        line.length -= (size_t)(results + 3 - line.at);
        line.at = results + 3;
    }
    for (;;) {
        while (line.length && (*line.at == ' ' || *line.at == '\t')) line.at++, line.length--;
        if (!line.length || !strchr("(@", *line.at)) return line;
        char end = *line.at == '(' ? ')' : ' ';
        while (line.length && *line.at != end) line.at++, line.length--;
        if (line.length) line.at++, line.length--;
    }
}

static kind kind_of(dialect dialect, word mnemonic, word operands, uint32_t *width)
{
    for (size_t i = 0; i < sizeof mnemonics / sizeof mnemonics[0]; i++) {
        if (!begins(mnemonic, mnemonics[i].prefix)) continue;
        *width = mnemonics[i].width;
        if (mnemonics[i].kind == MATRIX || dialect == AMD || dialect == NVIDIA) return mnemonics[i].kind;
        if (dialect == ADRENO) return find(mnemonic, ".f") ? mnemonics[i].kind : OTHER;
        (void)next_word(&operands); /* 8) */
        word result = next_word(&operands);
        return result.length && result.at[result.length - 1] == 'F' ? mnemonics[i].kind : OTHER;
    }
    return OTHER;
}

/* Counts one operation; `times`: of each lane. True when it multiplies or adds. */
static bool count(code *code, block *b, word mnemonic, word operands, double times)
{
    uint32_t width = 1;
    kind kind = kind_of(code->dialect, mnemonic, operands, &width);
    if (kind == MULTIPLY || kind == MULTIPLY_ADD) b->multiply_adds += times * width;
    if (kind == MATRIX) b->matrices += times;
    return kind != OTHER;
}

/* Notes where a branch goes. True when the line ends its block. */
static bool branch(const code *code, block *b, word mnemonic, word operands)
{
    word next;
    switch (code->dialect) {
    case AMD:
        if (begins(mnemonic, "s_endpgm")) b->falls = false;
        if (!begins(mnemonic, "s_branch") && !begins(mnemonic, "s_cbranch")) return !b->falls;
        b->target[0] = next_word(&operands);
        b->falls = begins(mnemonic, "s_cbranch");
        return true;
    case INTEL: /* if, else, endif and break only lead forward */
        if (!begins(mnemonic, "while")) return false;
        while ((next = next_word(&operands)).length) {
            if (begins(next, "LABEL")) b->target[0] = next;
        }
        return true;
    case ADRENO:
        if (is(mnemonic, "end")) b->falls = false;
        if (!is(mnemonic, "jump") && !begins(mnemonic, "br")) return !b->falls;
        while ((next = next_word(&operands)).length) {
            if (*next.at == '#') b->target[0] = (word){next.at + 1, next.length - 1};
        }
        b->falls = !is(mnemonic, "jump");
        return true;
    case NVIDIA:
    case UNKNOWN:
        break;
    }
    return false;
}

/* The end of one of NVIDIA's blocks, with the numbers of those that it leads to: `} -> [13, 14]`. */
static void read_successors(block *b, word line)
{
    const char *open = find(line, "[");
    b->falls = false;
    if (!open) return;
    line = before((word){open + 1, line.length - (size_t)(open + 1 - line.at)}, "]");
    b->target[0] = next_word(&line);
    b->target[1] = next_word(&line);
}

/* True when the next line begins another block. */
static bool read_instruction(code *code, block *b, word line)
{
    double delay = number_behind(line, "// delay=", 0);
    double repeated = 1 + number_behind(line, "(rpt", 0), idle = number_behind(line, "(nop", 0);
    word text = before(before(line, "//"), ";");
    word operands = behind_prefixes(code->dialect, text), mnemonic = next_word(&operands);
    double times = repeated;
    if (code->dialect == INTEL) times = number_behind(operands, "(", code->lanes) / code->lanes;
    if (!mnemonic.length) return false;
    bool arithmetic = count(code, b, mnemonic, operands, times);
    const char *second = find(operands, " :: "); /* of two at once */
    if (second) {
        word rest = {second + 4, operands.length - (size_t)(second + 4 - operands.at)};
        word other = next_word(&rest);
        arithmetic = count(code, b, other, rest, times) || arithmetic;
    }
    b->instructions += repeated + idle;
    if (arithmetic) b->arithmetic += repeated;
    b->cycles += delay;
    return branch(code, b, mnemonic, operands);
}

static size_t block_of(const code *code, word label)
{
    size_t i = 0;
    while (i < code->count && !(label.length && same(code->blocks[i].label, label))) i++;
    return i;
}

static void read_listing(code *code, const char *listing)
{
    block *b = begin_block(code, (word){listing, 0});
    bool ended = false;
    for (const char *at = listing; *at && b; at += *at == '\n') {
        word line = {at, strcspn(at, "\n")};
        word label = label_of(code->dialect, line);
        at += line.length;
        if (label.length) {
            b = begin_block(code, label);
            ended = false;
        } else if (code->dialect == NVIDIA && *line.at == '}') {
            read_successors(b, line);
        } else if (line.length && is_instruction(code->dialect, line)) {
            if (ended) b = begin_block(code, (word){at, 0});
            if (b) ended = read_instruction(code, b, line);
        }
    }
    for (size_t i = 0; i < code->count; i++) {
        for (size_t k = 0; k < 2; k++) code->blocks[i].to[k] = block_of(code, code->blocks[i].target[k]);
    }
}

/* ---- Blocks to loops ----------------------------------------------------------------------------------- */

/* Whether a round of a loop may go from one block to another. */
static bool leads(const code *code, size_t from, size_t to)
{
    const block *b = &code->blocks[from];
    return b->to[0] == to || b->to[1] == to || (b->falls && from + 1 == to);
}

/* Marks the blocks of the loop that begins at `head`: all from which one comes back to it without going
 * through it. False where no loop begins. */
static bool mark_loop(code *code, size_t head)
{
    bool any = false, more = true;
    for (size_t i = 0; i < code->count; i++) {
        code->blocks[i].marked = i >= head && leads(code, i, head);
        any = any || code->blocks[i].marked;
    }
    code->blocks[head].marked = any;
    while (any && more) {
        more = false;
        for (size_t to = code->count; to-- > 0;) {
            if (!code->blocks[to].marked || to == head) continue;
            for (size_t from = 0; from < code->count; from++) {
                if (code->blocks[from].marked || !leads(code, from, to)) continue;
                code->blocks[from].marked = more = true;
            }
        }
    }
    return any;
}

static void find_depths(code *code)
{
    for (size_t head = 0; head < code->count; head++) {
        if (!mark_loop(code, head)) continue;
        for (size_t i = 0; i < code->count; i++) code->blocks[i].depth += code->blocks[i].marked;
    }
}

/* The sum of the marked blocks, or one whose depth is 0 when a loop with multiply-adds lies inside. */
static block sum_marked(const code *code, size_t head)
{
    block sum = {.depth = 1};
    for (size_t i = 0; i < code->count; i++) {
        const block *b = &code->blocks[i];
        if (!b->marked) continue;
        if (b->depth != code->blocks[head].depth && b->multiply_adds + b->matrices > 0) sum.depth = 0;
        sum.instructions += b->instructions;
        sum.arithmetic += b->arithmetic;
        sum.multiply_adds += b->multiply_adds;
        sum.matrices += b->matrices;
        sum.cycles += b->cycles;
    }
    return sum;
}

/* How often a compiler takes a block in so many loops to run, for its estimate of cycles. */
static double runs(dialect dialect, uint32_t depth)
{
    double times = 1;
    for (uint32_t d = 0; d < depth; d++) times *= dialect == INTEL ? 10 : d == 0 ? 8 : d == 1 ? 4 : 2;
    return times;
}

static double counted(const code *code)
{
    double sum = 0;
    for (size_t i = 0; i < code->count; i++)
        sum += runs(code->dialect, code->blocks[i].depth) * code->blocks[i].multiply_adds;
    return sum;
}

static inner_loop innermost(code *code)
{
    inner_loop loop = {-1, -1, -1, -1};
    block best = {0};
    find_depths(code);
    for (size_t head = 0; head < code->count; head++) {
        if (!mark_loop(code, head)) continue;
        block sum = sum_marked(code, head);
        if (sum.depth && sum.matrices + sum.multiply_adds > best.matrices + best.multiply_adds) best = sum;
    }
    if (!best.depth) return loop;
    loop.share = best.arithmetic / best.instructions;
    if (best.matrices == 0) loop.multiply_adds = best.multiply_adds;
    if (code->dialect == NVIDIA) loop.cycles = best.cycles;
    if (best.matrices == 0 && code->dialect <= INTEL) loop.counted = counted(code);
    return loop;
}

inner_loop inner_loop_of(const char *dialect, const char *listing, uint32_t lanes)
{
    inner_loop loop = {-1, -1, -1, -1};
    code code = {.dialect = UNKNOWN, .lanes = lanes ? lanes : 1};
    for (size_t i = 0; listing && i < sizeof dialects / sizeof dialects[0]; i++) {
        if (strcmp(dialects[i], dialect) == 0) code.dialect = (enum dialect)i;
    }
    if (code.dialect == UNKNOWN) return loop;
    read_listing(&code, listing);
    if (!code.failed) loop = innermost(&code);
    free(code.blocks);
    return loop;
}
