/* Texts with blanks: how they are written; see infill.h. */
#include "sampling/infill.h"

#include "base/status.h"

#include <stdlib.h>
#include <string.h>

enum { FREE_LEAST = 1, FREE_MOST = 16, LONGEST_BLANK = 65536, UNDERSCORES = 3 };

/* ---- Reading a template -------------------------------------------------------------------------------- */

static const char *read_number(const char *at, uint32_t *number)
{
    uint32_t value = 0;
    if (*at < '0' || *at > '9') return NULL;
    for (; *at >= '0' && *at <= '9'; at++) {
        value = value * 10 + (uint32_t)(*at - '0');
        if (value > LONGEST_BLANK) return NULL;
    }
    *number = value;
    return at;
}

/* "[7]", "[2-9]" or "___" at this place: what is behind it, or NULL where no blank begins. *wrong tells a
 * bracket that is no blank. */
static const char *read_blank(const char *at, uint32_t *least, uint32_t *most, bool *wrong)
{
    if (*at == '_') {
        size_t length = strspn(at, "_");
        *least = FREE_LEAST;
        *most = FREE_MOST;
        return length >= UNDERSCORES ? at + length : NULL;
    }
    if (*at != '[') return NULL;
    const char *end = read_number(at + 1, least);
    *most = *least;
    if (end && *end == '-') end = read_number(end + 1, most);
    *wrong = !end || *end != ']' || *most == 0 || *most < *least;
    return *wrong ? NULL : end + 1;
}

static pm_status add_part(pm_infill *out, const pm_tokenizer *tokenizer, const char *text, size_t size,
                          uint32_t least, uint32_t most, pm_error *error)
{
    if (out->count > PM_MOST_BLANKS)
        return pm_fail(error, PM_BAD_USAGE, "infill: more than %d blanks", PM_MOST_BLANKS);
    pm_infill_part *part = &out->parts[out->count++];
    *part = (pm_infill_part){.least = least, .most = most};
    size_t n;
    pm_status status =
        pm_tokenizer_encode(tokenizer, (const uint8_t *)text, size, false, &part->tokens, &n, error);
    if (status == PM_OK) part->n = (uint32_t)n;
    return status;
}

pm_status pm_infill_parse(const pm_tokenizer *tokenizer, const char *text, pm_infill *out, pm_error *error)
{
    char *given = malloc(strlen(text) + 1);
    size_t size = 0;
    pm_status status = given ? PM_OK : pm_fail(error, PM_NO_MEMORY, "infill: out of host memory");
    *out = (pm_infill){0};
    for (const char *at = text; status == PM_OK && *at;) {
        uint32_t least = 0, most = 0;
        bool wrong = false;
        const char *behind = read_blank(at, &least, &most, &wrong);
        if (wrong) {
            status =
                pm_fail(error, PM_BAD_USAGE,
                        "infill: \"%.12s\" is no blank; write [7], [2-9] or ___, and \\[ for a bracket", at);
        } else if (behind) {
            status = add_part(out, tokenizer, given, size, least, most, error);
            size = 0;
            at = behind;
        } else {
            if (*at == '\\' && (at[1] == '[' || at[1] == '_' || at[1] == '\\')) at++;
            given[size++] = *at++;
        }
    }
    if (status == PM_OK && out->count == 0)
        status = pm_fail(error, PM_BAD_USAGE, "infill: there is no blank; write [7], [2-9] or ___");
    if (status == PM_OK && size > 0) status = add_part(out, tokenizer, given, size, 0, 0, error);
    free(given);
    return status;
}

pm_status pm_infill_from_ends(const pm_tokenizer *tokenizer, const char *prompt, uint32_t length,
                              const char *suffix, pm_infill *out, pm_error *error)
{
    const char *begin = prompt ? prompt : "";
    *out = (pm_infill){0};
    pm_status status = add_part(out, tokenizer, begin, strlen(begin), length, length, error);
    if (status != PM_OK || !suffix || !*suffix) return status;
    return add_part(out, tokenizer, suffix, strlen(suffix), 0, 0, error);
}

void pm_infill_free(pm_infill *infill)
{
    for (uint32_t i = 0; i < infill->count; i++) free(infill->parts[i].tokens);
    *infill = (pm_infill){0};
}

/* ---- Canvases ------------------------------------------------------------------------------------------ */

uint64_t pm_infill_length(const pm_infill *infill)
{
    uint64_t length = 0;
    for (uint32_t i = 0; i < infill->count; i++)
        length += (uint64_t)infill->parts[i].n + infill->parts[i].most;
    return length;
}

static uint32_t put(const pm_infill_part *part, uint32_t mask, uint32_t *canvas)
{
    for (uint32_t i = 0; i < part->n; i++) canvas[i] = part->tokens[i];
    for (uint32_t i = 0; i < part->least; i++) canvas[part->n + i] = mask;
    return part->n + part->least;
}

uint32_t pm_infill_canvas(const pm_infill *infill, uint32_t mask, uint32_t *canvas)
{
    uint32_t length = 0;
    for (uint32_t i = 0; i < infill->count; i++) length += put(&infill->parts[i], mask, canvas + length);
    return length;
}
