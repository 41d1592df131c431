/* Products of one row, which a text from left to right is made of: shaders/row_product.comp. */
#ifndef PM_OPS_ROW_PRODUCT_H
#define PM_OPS_ROW_PRODUCT_H

#include "ops/tile.h"

/* Appends the dispatch of a product of one row whose operands are padded to whole vec4s (`terms` of K), as
 * pm_lower_product has them; false where it is not such a product, or cannot be bound in one go. */
bool pm_lower_row_product(pm_lowering *lowering, const pm_product *product, uint32_t terms);

#endif
