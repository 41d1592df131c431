/* The list of operators, from table.h. */
#include "ops/table.h"

#include <stddef.h>

#define ROW(name) &pm_op_##name,
const pm_op *const pm_op_table[] = {PM_OPERATORS(ROW) NULL};
