/* The patcher of `exact` shaders, on modules that the build's own glslc makes, and on what the library
 * embeds. */
/* ctest labels: posix (it runs programs of the build's machine) */
#include "unit.h"

#include "device/shaders_embedded.h"
#include "spirv_exact.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct module {
    uint32_t *words;
    size_t count;
} module;

static void read_module(const char *path, module *m)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    long size = ftell(file);
    assert_true(size > 0 && size % 4 == 0);
    rewind(file);
    m->count = (size_t)size / 4;
    m->words = malloc((size_t)size);
    assert_non_null(m->words);
    assert_int_equal(fread(m->words, 4, m->count, file), m->count);
    (void)fclose(file);
}

/* Compiles a shader whose main() is `body`, on line 7 of "try.comp"; x, y, z are floats and v, w vectors. */
static module compile(const char *body)
{
    char source[] = "/tmp/pumice-exact-XXXXXX", binary[64], command[512];
    int descriptor = mkstemp(source);
    assert_true(descriptor >= 0);
    FILE *file = fdopen(descriptor, "w");
    assert_non_null(file);
    (void)fprintf(
        file,
        "#version 450\n#extension GL_GOOGLE_cpp_style_line_directive : require\n#line 3 \"try.comp\"\n"
        "layout(binding = 0) buffer B { float x, y, z; vec4 v, w; int i; uint u; mat4 m; };\n"
        "layout(local_size_x = 1) in;\nvoid main()\n{\n%s\n}\n",
        body);
    assert_int_equal(fclose(file), 0);
    (void)snprintf(binary, sizeof binary, "%s.spv", source);
    (void)snprintf(command, sizeof command, "%s -fshader-stage=comp --target-env=vulkan1.2 -O0 -g %s -o %s",
                   PM_GLSLC, source, binary);
    assert_int_equal(system(command), 0);
    module m;
    read_module(binary, &m);
    (void)remove(source);
    (void)remove(binary);
    return m;
}

/* How many instructions have one of the opcodes, or decorate something with NoContraction. */
static size_t count_ops(const module *m, uint32_t first, uint32_t last, bool no_contraction)
{
    size_t n = 0;
    for (size_t at = 5; at < m->count; at += m->words[at] >> 16) {
        uint32_t op = m->words[at] & 0xffff;
        if (no_contraction)
            n += op == 71 && m->words[at + 2] == 42;
        else
            n += op >= first && op <= last;
    }
    return n;
}

static size_t decorations(const module *m)
{
    return count_ops(m, 0, 0, true);
}

static void marks_all_arithmetic(void **state)
{
    (void)state;
    module in = compile("x = x * y + z; v = v * x - w; z = -x; i = i * 3 + int(u);"), out, again;
    assert_int_equal(decorations(&in), 0);
    assert_int_equal(pm_spirv_make_exact(in.words, in.count, &out.words, &out.count, NULL), PM_OK);
    /* x*y, +z, v*x, -w, -x; the integer operations stay as they are. */
    assert_int_equal(decorations(&out), 5);
    assert_int_equal(out.count, in.count + 3 * 5);
    assert_int_equal(count_ops(&out, 127, 142, false), count_ops(&in, 127, 142, false));
    /* What was marked once is complete. */
    assert_int_equal(pm_spirv_make_exact(out.words, out.count, &again.words, &again.count, NULL), PM_OK);
    assert_int_equal(again.count, out.count);
    assert_memory_equal(again.words, out.words, 4 * out.count);
    free(in.words);
    free(out.words);
    free(again.words);
}

static void keeps_what_precise_marked(void **state)
{
    (void)state;
    module in = compile("precise float a = x * y + z; x = a; if (w.x * w.x > 1.0) i = 0;"), out;
    size_t marked = decorations(&in);
    assert_true(marked >= 2);
    assert_int_equal(pm_spirv_make_exact(in.words, in.count, &out.words, &out.count, NULL), PM_OK);
    assert_int_equal(decorations(&out), marked + 1);
    free(in.words);
    free(out.words);
}

static void accepts_what_rounds_correctly(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "x = abs(x); y = floor(y) + ceil(z); z = trunc(x);",
        "x = min(x, y); y = max(y, z); z = clamp(x, 0.0, 1.0); v = min(v, w);",
        "x = intBitsToFloat(floatBitsToInt(y) >> 1); i = int(y); z = float(u);",
        "u = u / 3u % 5u; i = findMSB(u); i = i / 7; u = bitCount(u);",
        "x = x < y ? x : z; if (isnan(x)) y = roundEven(z); x = step(y, z) * sign(x);",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        module in = compile(bodies[i]), out;
        assert_int_equal(pm_spirv_make_exact(in.words, in.count, &out.words, &out.count, NULL), PM_OK);
        free(in.words);
        free(out.words);
    }
}

static void refuses_what_drivers_round_as_they_like(void **state)
{
    (void)state;
    static const struct {
        const char *body, *named;
    } cases[] = {
        {"x = y / z;", "division"},
        {"v = v / x;", "division"},
        {"x = mod(y, z);", "mod()"},
        {"x = dot(v, w);", "dot()"},
        {"x = fma(x, y, z);", "fma()"},
        {"x = exp(y);", "exp()"},
        {"x = exp2(y);", "exp2()"},
        {"x = log(y);", "log()"},
        {"x = sqrt(y);", "sqrt()"},
        {"v = inversesqrt(v);", "invers"},
        {"x = pow(y, z);", "pow()"},
        {"x = sin(y);", "sin()"},
        {"x = tanh(y);", "tanh()"},
        {"x = mix(x, y, z);", "mix()"},
        {"x = length(v);", "length()"},
        {"v = normalize(v);", "normaliz"},
        {"v = m * v;", "matrix"},
        {"m = m * x;", "matrix"},
        {"x = fract(y);", "fract()"},
        {"x = round(y);", "round()"},
        {"m = outerProduct(v, w);", "outer"},
        {"x = atan(y);", "GLSL.std.450"},
        {"x = distance(v, w);", "distan"},
        {"mediump float a = x * y; x = a;", "mediump"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        module in = compile(cases[i].body);
        pm_error error;
        uint32_t *words = NULL;
        size_t count = 0;
        assert_int_equal(pm_spirv_make_exact(in.words, in.count, &words, &count, &error), PM_FAILED);
        assert_null(words);
        assert_non_null(strstr(error.message, cases[i].named));
        /* Decorations come before the code and have no line. */
        if (strcmp(cases[i].named, "mediump") != 0) assert_non_null(strstr(error.message, "try.comp:7: "));
        free(in.words);
    }
}

/* A constant is folded before the optimiser could merge it with the next one: all three multiplications are
 * left. */
static void optimiser_merges_no_constants(void **state)
{
    (void)state;
    module in = compile("x = x * 1.1 * 1.3 * 0.7;"), out;
    assert_int_equal(pm_spirv_make_exact(in.words, in.count, &out.words, &out.count, NULL), PM_OK);
    char before[] = "/tmp/pumice-exact-XXXXXX", after[64], command[256];
    int descriptor = mkstemp(before);
    assert_true(descriptor >= 0);
    FILE *file = fdopen(descriptor, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(out.words, 4, out.count, file), out.count);
    assert_int_equal(fclose(file), 0);
    (void)snprintf(after, sizeof after, "%s.opt", before);
    (void)snprintf(command, sizeof command, "%s -O %s -o %s", PM_SPIRV_OPT, before, after);
    assert_int_equal(system(command), 0);
    module optimised;
    read_module(after, &optimised);
    assert_int_equal(count_ops(&optimised, 133, 133, false), 3);
    (void)remove(before);
    (void)remove(after);
    free(in.words);
    free(out.words);
    free(optimised.words);
}

static void survives_broken_modules(void **state)
{
    (void)state;
    module in = compile("x = x * y + z; v = abs(v) * x;");
    uint32_t *words = malloc(4 * in.count), *out, seed = 1;
    size_t count;
    pm_error error;
    assert_non_null(words);
    assert_int_equal(pm_spirv_make_exact(in.words, 5, &out, &count, &error), PM_BAD_FILE);
    memcpy(words, in.words, 4 * in.count);
    words[5] &= 0xffff; /* an instruction of no length */
    assert_int_equal(pm_spirv_make_exact(words, in.count, &out, &count, &error), PM_BAD_FILE);
    words[5] |= 0xffff0000; /* one that is longer than the module */
    assert_int_equal(pm_spirv_make_exact(words, in.count, &out, &count, &error), PM_BAD_FILE);
    words[3] = 0xffffffff; /* more ids than words (checked first) */
    assert_int_equal(pm_spirv_make_exact(words, in.count, &out, &count, &error), PM_BAD_FILE);
    for (size_t run = 0; run < 20000; run++) {
        memcpy(words, in.words, 4 * in.count);
        for (int change = 0; change < 3; change++) {
            seed = seed * 1664525u + 1013904223u;
            words[(seed >> 8) % in.count] ^= 1u << (seed & 31);
        }
        size_t length = run % 2 ? in.count : (seed >> 4) % in.count;
        /* Its own block, so that a sanitizer sees one word read too far. */
        uint32_t *cut = malloc(4 * length + 1);
        assert_non_null(cut);
        memcpy(cut, words, 4 * length);
        if (pm_spirv_make_exact(cut, length, &out, &count, &error) == PM_OK) free(out);
        free(cut);
    }
    free(words);
    free(in.words);
}

/* Kernels of products have those of precision rounded behind all others, reading storage buffers and texels.
 */
static bool is_rounded(uint32_t i)
{
    const pm_shader_binary *b = &pm_shader_binaries[i];
    const uint32_t first = PM_SHADER_FMA | PM_SHADER_ROUNDED, second = first | PM_SHADER_TEXEL;
    if (!(b->variant & PM_SHADER_ROUNDED)) return false;
    assert_true(b->variant == first || b->variant == second);
    assert_string_equal(b->name, b[-1].name);
    if (b->variant == second) assert_int_equal(b[-1].variant, first);
    return true;
}

/* Every kernel has all variants, one after another. A probe, which measures what `exact` must not use, has
 * those of f32 alone. */
static void embedded_table_is_sorted_and_exact(void **state)
{
    uint32_t expected = 0, rounded = 0;
    (void)state;
    for (uint32_t i = 0; i < pm_shader_binary_count; i++) {
        const pm_shader_binary *b = &pm_shader_binaries[i];
        if (is_rounded(i)) {
            rounded++;
            continue;
        }
        if (b->variant & PM_SHADER_MATRIX) { /* of a shared-memory tile after the others, or alone */
            assert_true(strstr(b->name, "_matrix") || strcmp(b->name, b[-1].name) == 0);
            continue;
        }
        bool is_probe = strncmp(b->name, "probe_", 6) == 0;
        while (is_probe && !(expected & PM_SHADER_FMA)) expected++;
        assert_int_equal(b->variant, expected);
        expected = (expected + 1) % 4;
        assert_true(b->word_count > 5 && b->words[0] == 0x07230203);
        if (i > 0 && b->variant > b[-1].variant)
            assert_string_equal(b->name, b[-1].name);
        else if (i > 0)
            assert_true(strcmp(b[-1].name, b->name) < 0);
        if (b->variant & PM_SHADER_FMA) continue;
        uint32_t *words;
        size_t count;
        assert_int_equal(pm_spirv_make_exact(b->words, b->word_count, &words, &count, NULL), PM_OK);
        assert_int_equal(count, b->word_count);
        free(words);
    }
    assert_true(rounded > 0 && rounded % 2 == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(marks_all_arithmetic),
        cmocka_unit_test(keeps_what_precise_marked),
        cmocka_unit_test(accepts_what_rounds_correctly),
        cmocka_unit_test(refuses_what_drivers_round_as_they_like),
        cmocka_unit_test(optimiser_merges_no_constants),
        cmocka_unit_test(survives_broken_modules),
        cmocka_unit_test(embedded_table_is_sorted_and_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
