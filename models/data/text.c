/* Text files and folders of them; see text.h. */
#include "data/text.h"

#include "data/dataset_internal.h"
#include "data/names.h"
#include "files/file_error.h"
#include "files/file_io.h"

#include "base/posix.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void pm_text_free(pm_text *text)
{
    free(text->bytes);
    *text = (pm_text){0};
}

/* ---- Sources that have a name -------------------------------------------------------------------------- */

/* The file `name` of data if the folder FOLDER/BELOW has it: then *path is it, from malloc. */
static pm_status look_in(const char *folder, const char *below, const char *name, char **path,
                         pm_error *error)
{
    if (!folder || !*folder) return PM_OK;
    char *inner = pm_join_path(folder, below, name);
    if (!inner) return pm_fail_memory(error, name);
    struct stat info;
    if (stat(inner, &info) == 0) {
        *path = inner;
    } else {
        free(inner);
    }
    return PM_OK;
}

pm_status pm_text_find(const char *source, char **path, pm_error *error)
{
    *path = NULL;
    if (strcmp(source, "kjv") != 0) {
        *path = strdup(source);
        return *path ? PM_OK : pm_fail_memory(error, source);
    }
    const char *xdg = getenv("XDG_DATA_HOME");
    bool has_xdg = xdg && *xdg;
    const struct {
        const char *folder, *below;
    } places[] = {
        {getenv("PUMICE_DATA"), "kjv"},
        {"out", "data/kjv"},
        {has_xdg ? xdg : pm_home_folder(), has_xdg ? "pumice/kjv" : ".local/share/pumice/kjv"},
    };
    for (size_t i = 0; i < sizeof places / sizeof *places && !*path; i++) {
        pm_status status = look_in(places[i].folder, places[i].below, ".txt", path, error);
        if (status != PM_OK) return status;
    }
    if (*path) return PM_OK;
    return pm_fail_at(
        error, PM_IO, "kjv",
        "the King James Bible is not here; tools/kjv.sh writes it to out/data/kjv.txt, which is "
        "looked for below the current directory, as kjv.txt is in $PUMICE_DATA");
}

/* ---- Folders ------------------------------------------------------------------------------------------- */

/* What kind of thing a path in a folder is. */
typedef enum entry_kind { ENTRY_FILE, ENTRY_FOLDER, ENTRY_OTHER } entry_kind;

/* A link to a folder is neither: following it could lead in circles. */
static pm_status examine(const char *path, entry_kind *kind, pm_error *error)
{
    struct stat itself, info;
    if (lstat(path, &itself) != 0 || stat(path, &info) != 0)
        return pm_fail_at(error, PM_IO, path, "cannot be looked up: %s", strerror(errno));
    *kind = S_ISREG(info.st_mode) ? ENTRY_FILE : S_ISDIR(itself.st_mode) ? ENTRY_FOLDER : ENTRY_OTHER;
    return PM_OK;
}

/* Adds the path of an entry to files or folders, or counts it as skipped. */
static pm_status add_entry(const char *folder, const char *name, pm_names *files, pm_names *folders,
                           size_t *skipped, pm_error *error)
{
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) return PM_OK;
    if (name[0] == '.') {
        ++*skipped;
        return PM_OK;
    }
    char *path = pm_join_path(folder, name, "");
    if (!path) return pm_fail_memory(error, folder);
    entry_kind kind = ENTRY_OTHER;
    pm_status status = examine(path, &kind, error);
    if (status == PM_OK && kind == ENTRY_OTHER) ++*skipped;
    if (status == PM_OK && kind != ENTRY_OTHER && !pm_names_add(kind == ENTRY_FILE ? files : folders, path))
        status = pm_fail_memory(error, path);
    free(path);
    return status;
}

/* Adds the entries of one folder. */
static pm_status list_folder(const char *folder, pm_names *files, pm_names *folders, size_t *skipped,
                             pm_error *error)
{
    DIR *stream = opendir(folder);
    if (!stream) return pm_fail_at(error, PM_IO, folder, "cannot be opened: %s", strerror(errno));
    pm_status status = PM_OK;
    while (status == PM_OK) {
        errno = 0;
        const struct dirent *entry = readdir(stream);
        if (!entry) {
            if (errno != 0) status = pm_fail_at(error, PM_IO, folder, "cannot be read: %s", strerror(errno));
            break;
        }
        status = add_entry(folder, entry->d_name, files, folders, skipped, error);
    }
    (void)closedir(stream);
    return status;
}

/* The files below a folder, sorted. The list of folders grows while it is walked. */
static pm_status list_files(const char *root, pm_names *files, size_t *skipped, pm_error *error)
{
    pm_names folders = {0};
    pm_status status = pm_names_add(&folders, root) ? PM_OK : pm_fail_memory(error, root);
    for (size_t i = 0; i < folders.count && status == PM_OK; i++) {
        status = list_folder(folders.list[i], files, &folders, skipped, error);
    }
    pm_names_free(&folders);
    pm_names_sort(files);
    return status;
}

/* ---- Files --------------------------------------------------------------------------------------------- */

/* Whether a file's first bytes have a NUL: one that large programs and models show at once, without reading
 * all of it. */
static bool begins_as_binary(const char *path)
{
    char start[4096];
    FILE *file = fopen(path, "rb");
    if (!file) return false; /* who reads it will say why */
    size_t got = fread(start, 1, sizeof start, file);
    (void)fclose(file);
    return memchr(start, 0, got) != NULL;
}

/* Adds a file's bytes to the end of *out. */
static pm_status append(pm_text *out, const uint8_t *bytes, size_t size, size_t max_bytes, const char *path,
                        pm_error *error)
{
    bool newline = out->size > 0 && out->bytes[out->size - 1] != '\n';
    if (size == 0) return PM_OK;
    if (size + newline > max_bytes - out->size) {
        return pm_fail_at(error, PM_BAD_FILE, path,
                          "with this file the text has %zu bytes, more than the %zu that it may have",
                          out->size + size + newline, max_bytes);
    }
    uint8_t *larger = realloc(out->bytes, out->size + size + newline + 1);
    if (!larger) return pm_fail_memory(error, path);
    out->bytes = larger;
    if (newline) larger[out->size++] = '\n';
    memcpy(larger + out->size, bytes, size);
    out->size += size;
    larger[out->size] = 0;
    return PM_OK;
}

/* Appends a file of a folder unless it is binary. */
static pm_status append_file(const char *path, size_t max_bytes, pm_text *out, pm_error *error)
{
    if (begins_as_binary(path)) {
        out->skipped++;
        return PM_OK;
    }
    uint8_t *bytes;
    size_t size;
    pm_status status = pm_read_file(path, max_bytes, &bytes, &size, error);
    if (status != PM_OK) return status;
    if (size > 0 && memchr(bytes, 0, size)) {
        out->skipped++;
    } else {
        status = append(out, bytes, size, max_bytes, path, error);
        if (status == PM_OK) out->files++;
    }
    free(bytes);
    return status;
}

static pm_status load_folder(const char *path, size_t max_bytes, pm_text *out, pm_error *error)
{
    pm_names files = {0};
    pm_status status = list_files(path, &files, &out->skipped, error);
    for (size_t i = 0; i < files.count && status == PM_OK; i++) {
        status = append_file(files.list[i], max_bytes, out, error);
    }
    pm_names_free(&files);
    if (status == PM_OK && out->size == 0) {
        status = pm_fail_at(error, PM_BAD_FILE, path, "there is no text in it (%zu entries passed over)",
                            out->skipped);
    }
    return status;
}

static pm_status load_file(const char *path, size_t max_bytes, pm_text *out, pm_error *error)
{
    pm_status status = pm_read_file(path, max_bytes, &out->bytes, &out->size, error);
    if (status != PM_OK) return status;
    if (out->size == 0) return pm_fail_at(error, PM_BAD_FILE, path, "is empty; there is no text in it");
    const uint8_t *nul = memchr(out->bytes, 0, out->size);
    if (nul) {
        return pm_fail_at(error, PM_BAD_FILE, path, "is not text: byte %zu of it is NUL",
                          (size_t)(nul - out->bytes));
    }
    out->files = 1;
    return PM_OK;
}

pm_status pm_text_load(const char *source, size_t max_bytes, pm_text *out, pm_error *error)
{
    *out = (pm_text){0};
    if (max_bytes == 0 || max_bytes > PM_TEXT_MAX_BYTES) max_bytes = PM_TEXT_MAX_BYTES;
    char *path;
    pm_status status = pm_text_find(source, &path, error);
    if (status != PM_OK) return status;
    struct stat info;
    if (stat(path, &info) != 0) {
        status = pm_fail_at(error, PM_IO, path, "cannot be opened: %s", strerror(errno));
    } else if (S_ISDIR(info.st_mode)) {
        status = load_folder(path, max_bytes, out, error);
    } else {
        status = load_file(path, max_bytes, out, error);
    }
    free(path);
    if (status != PM_OK) pm_text_free(out);
    return status;
}
