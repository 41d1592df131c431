/* Which characters are letters, numbers and white space. */
#ifndef PM_TEXT_UNICODE_TABLE_H
#define PM_TEXT_UNICODE_TABLE_H

#include <stddef.h>
#include <stdint.h>

typedef enum pm_unicode_kind {
    PM_UNICODE_OTHER,  /* everything else, and what is unassigned */
    PM_UNICODE_LETTER, /* general categories L* */
    PM_UNICODE_NUMBER, /* N* */
    PM_UNICODE_SPACE,  /* the property White_Space */
} pm_unicode_kind;

typedef struct pm_unicode_range {
    uint32_t first, last; /* both included */
    pm_unicode_kind kind;
} pm_unicode_range;

/* Of unicode_table.c, which says the version of Unicode: ascending and apart. */
extern const pm_unicode_range pm_unicode_ranges[];
extern const size_t pm_unicode_range_count;

/* Any number is accepted; beyond U+10FFFF everything is PM_UNICODE_OTHER. */
pm_unicode_kind pm_unicode_kind_of(uint32_t code_point);

#endif
