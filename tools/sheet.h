/* A sheet of sampled pictures as a PNG that says how it was made. */
#ifndef PM_TOOLS_SHEET_H
#define PM_TOOLS_SHEET_H

#include "cli.h"

typedef struct cli_sheet {
    const pm_model *model;
    const pm_sample_options *options; /* resolved; labels [count], or NULL for a model without classes */
    uint32_t period;                  /* labels repeat after so many; columns by default */
    uint32_t columns, scale;          /* 0: chosen */
    bool names;                       /* write the classes' names on the sheet */
} cli_sheet;

/* Replaces every option that says "the recipe's" by what the recipe says, and sets precision and seed to the
 * command's. */
void cli_resolve_sampling(const pm_model *model, pm_sample_options *options);

/* Composes pictures first .. first+count-1 of the sheet, and writes them. */
pm_status cli_sheet_write(const cli_sheet *sheet, const char *path, const uint8_t *pixels, uint32_t first,
                          uint32_t count, pm_error *error);

/* How the pictures were made, in the form that users of image generators read: a description, then "Steps:
 * 50, ...". */
void cli_sheet_parameters(const cli_sheet *sheet, char *buffer, size_t size);

/* The name of a class, its number as text in `buffer` when it has none, "none" for the null class. */
const char *cli_class_name(const pm_model_info *info, uint32_t class, char *buffer, size_t size);

#endif
