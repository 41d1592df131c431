/* The build's own tool for compiled shaders; it is not installed.
 *
 *   embed_shaders --exact IN.spv OUT.spv      marks the module for precision `exact` (spirv_exact.h)
 *   embed_shaders OUT.c [NAME[.texel][.fma].spv | NAME.matrix[.bf16].spv ...]
 *                                             writes one C file that defines what device/shaders_embedded.h
 * declares */
#include "device/shaders_embedded.h"
#include "spirv_exact.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct shader {
    const char *path;
    char name[64];
    uint32_t variant;
} shader;

/* Far above any shader, far below any limit of the machine. */
enum { MAX_WORDS = 1 << 24 };

static pm_status read_words(const char *path, uint32_t **words, size_t *count, pm_error *error)
{
    FILE *file = fopen(path, "rb");
    if (!file) return pm_fail(error, PM_IO, "%s: %s", path, strerror(errno));
    pm_status status = PM_OK;
    long size = -1;
    if (fseek(file, 0, SEEK_END) == 0) size = ftell(file);
    if (size < 0 || fseek(file, 0, SEEK_SET) != 0)
        status = pm_fail(error, PM_IO, "%s: %s", path, strerror(errno));
    else if (size == 0 || size % 4 != 0 || size / 4 > MAX_WORDS)
        status = pm_fail(error, PM_BAD_FILE, "%s: %ld bytes are not a SPIR-V module", path, size);
    if (status == PM_OK) {
        *count = (size_t)size / 4;
        *words = malloc((size_t)size);
        if (!*words)
            status = pm_fail(error, PM_NO_MEMORY, "%s: out of memory", path);
        else if (fread(*words, 4, *count, file) != *count) {
            free(*words);
            status = pm_fail(error, PM_IO, "%s: cannot be read", path);
        }
    }
    (void)fclose(file);
    return status;
}

/* Closes what was written and tells whether all of it arrived. */
static pm_status close_written(FILE *file, const char *path, pm_error *error)
{
    bool failed = ferror(file) != 0;
    if (fclose(file) != 0 || failed) return pm_fail(error, PM_IO, "%s: cannot be written", path);
    return PM_OK;
}

static pm_status make_exact(const char *in, const char *out, pm_error *error)
{
    uint32_t *words, *patched;
    size_t count, patched_count;
    pm_status status = read_words(in, &words, &count, error);
    if (status != PM_OK) return status;
    status = pm_spirv_make_exact(words, count, &patched, &patched_count, error);
    free(words);
    if (status == PM_FAILED) return status; /* its message names the source */
    if (status != PM_OK) return pm_fail_prefix(error, status, "%s", in);

    FILE *file = fopen(out, "wb");
    if (!file) {
        status = pm_fail(error, PM_IO, "%s: %s", out, strerror(errno));
    } else {
        (void)fwrite(patched, 4, patched_count, file);
        status = close_written(file, out, error);
    }
    free(patched);
    return status;
}

/* Takes name and variant out of the file's name. */
static pm_status parse_name(const char *path, shader *s, pm_error *error)
{
    const char *base = strrchr(path, '/');
    base = base ? base + 1 : path;
    const char *dot = strchr(base, '.');
    size_t length = dot ? (size_t)(dot - base) : 0;
    if (length == 0 || length >= sizeof s->name)
        return pm_fail(error, PM_BAD_USAGE, "%s: not NAME[.texel][.fma].spv", path);
    *s = (shader){.path = path};
    memcpy(s->name, base, length);
    if (strstr(dot, ".texel.")) s->variant |= PM_SHADER_TEXEL;
    if (strstr(dot, ".fma.")) s->variant |= PM_SHADER_FMA;
    if (strstr(dot, ".matrix.")) s->variant |= PM_SHADER_MATRIX;
    if (strstr(dot, ".bf16.")) s->variant |= PM_SHADER_BF16;
    if (strstr(dot, ".rounded.")) s->variant |= PM_SHADER_ROUNDED;
    return PM_OK;
}

static int compare_shaders(const void *a, const void *b)
{
    const shader *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : (x->variant > y->variant) - (x->variant < y->variant);
}

static pm_status write_words(FILE *file, const shader *s, size_t index, size_t *count, pm_error *error)
{
    uint32_t *words;
    pm_status status = read_words(s->path, &words, count, error);
    if (status != PM_OK) return status;
    (void)fprintf(file, "\nstatic const uint32_t words_%zu[] = {", index);
    for (size_t i = 0; i < *count; i++) (void)fprintf(file, "%s%u,", i % 16 ? "" : "\n", words[i]);
    (void)fprintf(file, "\n};\n");
    free(words);
    return PM_OK;
}

static pm_status write_c(FILE *file, const shader *shaders, size_t n, size_t *counts, pm_error *error)
{
    (void)fprintf(file, "/* Made by embed_shaders from the compiled shaders. */\n"
                        "#include \"device/shaders_embedded.h\"\n");
    for (size_t i = 0; i < n; i++) {
        pm_status status = write_words(file, &shaders[i], i, &counts[i], error);
        if (status != PM_OK) return status;
    }
    (void)fprintf(file, "\nconst uint32_t pm_shader_binary_count = %zu;\n", n);
    (void)fprintf(file, "const pm_shader_binary pm_shader_binaries[] = {\n");
    for (size_t i = 0; i < n; i++)
        (void)fprintf(file, "    {\"%s\", %u, words_%zu, %zu},\n", shaders[i].name, shaders[i].variant, i,
                      counts[i]);
    /* C has no array of length zero: with no shader at all the table still has this entry, which nobody
     * counts. */
    (void)fprintf(file, "    {0, 0, 0, 0},\n};\n");
    return PM_OK;
}

static pm_status embed(const char *out, char **paths, size_t n, pm_error *error)
{
    shader *shaders = calloc(n + 1, sizeof *shaders);
    size_t *counts = calloc(n + 1, sizeof *counts);
    pm_status status = PM_OK;
    if (!shaders || !counts) status = pm_fail(error, PM_NO_MEMORY, "out of memory for %zu shaders", n);
    for (size_t i = 0; i < n && status == PM_OK; i++) status = parse_name(paths[i], &shaders[i], error);
    if (status == PM_OK) {
        qsort(shaders, n, sizeof *shaders, compare_shaders);
        FILE *file = fopen(out, "w");
        if (!file) {
            status = pm_fail(error, PM_IO, "%s: %s", out, strerror(errno));
        } else {
            status = write_c(file, shaders, n, counts, error);
            pm_status closed = close_written(file, out, status == PM_OK ? error : NULL);
            if (status == PM_OK) status = closed;
            if (status != PM_OK) (void)remove(out);
        }
    }
    free(shaders);
    free(counts);
    return status;
}

int main(int argc, char **argv)
{
    pm_error error;
    pm_status status;
    if (argc == 4 && strcmp(argv[1], "--exact") == 0)
        status = make_exact(argv[2], argv[3], &error);
    else if (argc >= 2 && argv[1][0] != '-')
        status = embed(argv[1], argv + 2, (size_t)argc - 2, &error);
    else
        status = pm_fail(&error, PM_BAD_USAGE,
                         "usage: embed_shaders --exact IN OUT | embed_shaders OUT.c [IN.spv ...]");
    if (status != PM_OK) (void)fprintf(stderr, "embed_shaders: %s\n", error.message);
    return (int)status;
}
