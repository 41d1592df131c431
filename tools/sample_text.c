/* `pumice sample` for models of text; see sample_text.h. */
#include "sample_text.h"

#include "files/file_error.h"
#include "files/file_io.h"

#include "base/posix.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_COLUMN = 0, SHOWN_WIDTH = 100 };

typedef struct job {
    const cli_text_args *args;
    cli_progress progress;
    bool streams;       /* tokens go to stdout as they come */
    bool redraws;       /* the canvas overwrites itself */
    uint32_t lines;     /* that the last canvas took */
    uint32_t last_step; /* whose canvas was shown */
} job;

/* ---- While it runs ------------------------------------------------------------------------------------- */

static bool on_gained(void *user, uint32_t index, const char *bytes, size_t count)
{
    job *j = user;
    (void)index;
    if (j->streams) {
        (void)fwrite(bytes, 1, count, stdout);
        (void)fflush(stdout);
    }
    return !cli_stopped();
}

/* Writes a canvas in lines of at most SHOWN_WIDTH characters, over the one before it where that is possible,
 * and counts them. */
static void draw_canvas(job *j, const char *text)
{
    uint32_t column = FIRST_COLUMN, lines = 1;
    if (j->redraws && j->lines > 0) fprintf(stderr, "\x1b[%uA\r\x1b[J", j->lines);
    for (const char *at = text; *at; at++) {
        bool begins = ((unsigned char)*at & 0xc0) != 0x80; /* a character, and not the rest of one */
        if (*at == '\n' || (begins && column == SHOWN_WIDTH)) {
            (void)fputc('\n', stderr);
            column = FIRST_COLUMN;
            lines++;
            if (*at == '\n') continue;
        }
        (void)fputc((unsigned char)*at < ' ' ? ' ' : *at, stderr);
        column += begins;
    }
    (void)fputc('\n', stderr);
    (void)fflush(stderr);
    j->lines = lines;
}

static bool on_canvas(void *user, uint32_t step, uint32_t steps, uint32_t index, const char *text)
{
    job *j = user;
    if (j->args->show && index == 0) draw_canvas(j, text);
    if (!j->args->show && index == 0) {
        j->progress.total = steps;
        cli_progress_update(&j->progress, step, NULL);
    }
    return !cli_stopped();
}

/* ---- Results ------------------------------------------------------------------------------------------- */

static void print_texts(const job *j, const pm_texts *texts)
{
    for (uint32_t i = 0; i < texts->count && !cli.json; i++) {
        if (j->streams) break;
        if (texts->count > 1) printf("%s--- %" PRIu32 "\n", i ? "\n" : "", j->args->options.first + i);
        (void)fwrite(texts->texts[i], 1, texts->sizes[i], stdout);
    }
    if (!cli.json) putchar('\n');
}

/* All texts in one file, a newline after each. */
static pm_status write_texts(const char *path, const pm_texts *texts, pm_error *error)
{
    pm_bytes *chunks = calloc(2 * (size_t)texts->count, sizeof *chunks);
    if (!chunks) return pm_fail_memory(error, path);
    for (uint32_t i = 0; i < texts->count; i++) {
        chunks[2 * i] = (pm_bytes){texts->texts[i], texts->sizes[i]};
        chunks[2 * i + 1] = (pm_bytes){"\n", 1};
    }
    pm_status status = pm_write_file(path, chunks, 2 * (size_t)texts->count, error);
    free(chunks);
    return status;
}

/* JSON holds UTF-8 alone: what is none is shown as the replacement character, byte by byte. */
static json_t *json_text(const char *bytes, size_t size)
{
    json_t *whole = json_stringn(bytes, size);
    if (whole) return whole;
    char *clean = malloc(3 * size + 1);
    size_t length = 0;
    for (size_t i = 0; clean && i < size; i++) {
        if ((unsigned char)bytes[i] < 0x80) {
            clean[length++] = bytes[i];
        } else {
            memcpy(clean + length, "\xef\xbf\xbd", 3);
            length += 3;
        }
    }
    json_t *text = clean ? json_stringn(clean, length) : NULL;
    free(clean);
    return text;
}

static void report(const pm_texts *texts)
{
    json_t *list = json_array();
    double rate = texts->seconds > 0 ? texts->tokens / texts->seconds : 0;
    for (uint32_t i = 0; i < texts->count; i++)
        (void)json_array_append_new(list, json_text(texts->texts[i], texts->sizes[i]));
    if (texts->prompt_tokens) {
        cli_say("prompt: %" PRIu32 " tokens in %.2f s; then %" PRIu32 " tokens in %.2f s (%.3g tokens/s)",
                texts->prompt_tokens, texts->prompt_seconds, texts->tokens, texts->seconds, rate);
    } else {
        cli_say("%" PRIu32 " tokens in %" PRIu32 " passes and %.2f s (%.3g tokens/s)", texts->tokens,
                texts->passes, texts->seconds, rate);
    }
    if (texts->stopped) cli_say("stopped: this is what there is");
    cli_result(json_pack("{s:o, s:I, s:I, s:I, s:f, s:f, s:f, s:b}", "texts", list, "prompt_tokens",
                         (json_int_t)texts->prompt_tokens, "tokens", (json_int_t)texts->tokens, "passes",
                         (json_int_t)texts->passes, "prompt_seconds", texts->prompt_seconds, "seconds",
                         texts->seconds, "tokens_per_second", rate, "stopped", (int)texts->stopped));
}

pm_status cli_sample_text(pm_device *device, const pm_model *model, const cli_text_args *args,
                          pm_error *error)
{
    pm_texts texts;
    const pm_model_info info = pm_model_info_of(model);
    bool masked = strcmp(info.kind, "text-masked") == 0;
    job j = {.args = args, .redraws = isatty(STDERR_FILENO)};
    pm_text_options options = args->options;
    j.streams = !masked && options.count == 1 && !cli.json;
    options.gained = on_gained;
    options.canvas = on_canvas;
    options.user = &j;
    if (args->output) {
        pm_status writable = cli_check_writable(args->output, error);
        if (writable != PM_OK) return writable;
    }
    cli_catch_signals();
    if (j.streams && options.prompt) {
        (void)fputs(options.prompt, stdout);
        (void)fflush(stdout);
    }
    bool bar = masked && !args->show;
    if (bar) cli_progress_begin(&j.progress, "sampling", "steps", 0, 1);
    pm_status status = pm_model_generate(device, model, &options, &texts, error);
    if (bar) cli_progress_end(&j.progress);
    if (status == PM_OK) print_texts(&j, &texts);
    if (status == PM_OK && args->output) status = write_texts(args->output, &texts, error);
    if (status == PM_OK) report(&texts);
    pm_texts_free(&texts);
    return status;
}
