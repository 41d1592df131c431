/* Finds out what a tokenizer's file or folder is; see tokenizer.h. */
#include "text/tokenizer_internal.h"

#include "base/checked.h"
#include "files/file_error.h"
#include "files/file_io.h"

#include "base/posix.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The largest that the formats allow: a vocabulary, merges as pairs, and room for added tokens. */
static const pm_json_limits LIMITS = {.depth = 32, .values = 6u << 20};

pm_status pm_tokenizer_parse(const char *json, size_t size, const char *where, pm_tokenizer **out,
                             pm_error *error)
{
    *out = NULL;
    json_t *root;
    pm_status status = pm_json_parse(json, size, &LIMITS, where, &root, error);
    if (status != PM_OK) return status;
    if (json_object_get(root, "kind")) {
        status = pm_tokenizer_from_json(root, where, out, error);
    } else if (json_object_get(root, "model")) {
        status = pm_tokenizer_from_hub(root, where, out, error);
    } else {
        status =
            pm_fail_at(error, PM_BAD_FILE, where,
                       "it is not a tokenizer: it has neither \"kind\" nor \"model\" (for vocab.json, name "
                       "its folder, which must have merges.txt as well)");
    }
    json_decref(root);
    return status;
}

static pm_status load_file(const char *path, pm_tokenizer **out, pm_error *error)
{
    uint8_t *data;
    size_t size;
    pm_status status = pm_read_file(path, PM_TOKENIZER_MAX_FILE, &data, &size, error);
    if (status != PM_OK) return status;
    status = pm_tokenizer_parse((const char *)data, size, path, out, error);
    free(data);
    return status;
}

static pm_status load_gpt2(const char *vocab_path, const char *merges_path, pm_tokenizer **out,
                           pm_error *error)
{
    uint8_t *merges = NULL, *text = NULL;
    size_t merges_size, size;
    json_t *vocab = NULL;
    pm_status status = pm_read_file(merges_path, PM_TOKENIZER_MAX_FILE, &merges, &merges_size, error);
    if (status == PM_OK) status = pm_read_file(vocab_path, PM_TOKENIZER_MAX_FILE, &text, &size, error);
    if (status == PM_OK) status = pm_json_parse(text, size, &LIMITS, vocab_path, &vocab, error);
    if (status == PM_OK) {
        status = pm_tokenizer_from_gpt2(vocab, vocab_path, (const char *)merges, merges_size, merges_path,
                                        out, error);
    }
    json_decref(vocab);
    free(text);
    free(merges);
    return status;
}

/* FOLDER/NAME, from malloc; NULL when memory ran out. */
static char *join(const char *folder, const char *name)
{
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = malloc(size);
    if (path) (void)snprintf(path, size, "%s/%s", folder, name);
    return path;
}

static bool is_there(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

static pm_status load_folder(const char *folder, pm_tokenizer **out, pm_error *error)
{
    char *whole = join(folder, "tokenizer.json"), *vocab = join(folder, "vocab.json");
    char *merges = join(folder, "merges.txt");
    pm_status status;
    if (!whole || !vocab || !merges) {
        status = pm_fail_memory(error, folder);
    } else if (is_there(whole)) {
        status = load_file(whole, out, error);
    } else if (is_there(vocab) && is_there(merges)) {
        status = load_gpt2(vocab, merges, out, error);
    } else {
        status = pm_fail_at(error, PM_IO, folder,
                            "the folder has neither tokenizer.json nor both vocab.json and merges.txt");
    }
    free(whole);
    free(vocab);
    free(merges);
    return status;
}

pm_status pm_tokenizer_load(const char *path, pm_tokenizer **out, pm_error *error)
{
    *out = NULL;
    struct stat info;
    if (stat(path, &info) != 0) {
        return pm_fail_at(error, PM_IO, path, "cannot be looked up: %s", strerror(errno));
    }
    return S_ISDIR(info.st_mode) ? load_folder(path, out, error) : load_file(path, out, error);
}
