/* Products of one row, which a text from left to right is made of: shaders/row_product.comp. */
#ifndef PM_OPS_ROW_PRODUCT_H
#define PM_OPS_ROW_PRODUCT_H

#include "ops/tile.h"

/* Appends the dispatch of a product of one row whose operands are padded to whole vec4s (`terms` of K), as
 * pm_lower_product has them; false where it is not such a product, or cannot be bound whole. */
bool pm_lower_row_product(pm_lowering *lowering, const pm_product *product, uint32_t terms);

/* Several products of the same row with different matrices can be one dispatch. */
enum { PM_ROW_MATRICES = 3 };

/* Whether that may be one dispatch on this device: no residual, whole vec4s, and matrices that lie in one
 * tensor, as parameters do. */
bool pm_row_products_join(const pm_lowering *lowering, const pm_product *first, const pm_product *other);
/* Appends it; false, and nothing, when it cannot be bound. */
bool pm_lower_row_products(pm_lowering *lowering, const pm_product *products, uint32_t count);

#endif
