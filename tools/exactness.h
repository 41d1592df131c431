/* The same bits everywhere: one run of everything that exists, on tiny models, whose checksums are the same
 * on every conformant driver in precision `exact`; and the first operator at which a driver departs from it.
 *
 * The run: 50 training steps of a U-Net and of text models (left to right, masked, masked without a time),
 * then pictures and texts by every sampler, all from fixed seeds. */
#ifndef PM_TOOLS_EXACTNESS_H
#define PM_TOOLS_EXACTNESS_H

#include "pumice.h"

#include <stdio.h>

enum { EXACTNESS_SUMS = 6 };

/* What each sum is of. */
extern const char *const exactness_names[EXACTNESS_SUMS];

/* Does the run, with its files in `folder`, and fills in CRC-32s of checkpoints, pictures and texts. */
pm_status exactness_run(pm_device *device, const char *folder, uint32_t sums[EXACTNESS_SUMS],
                        pm_error *error);

/* Does the first steps of the same run node by node and holds a checksum of every tensor that a node writes
 * against the expected one, which is built in. `first` says which departs first, with stage, node, operator,
 * tensor and shape; "" when none does. Where a driver may choose (signs of zeros, denormals, which NaN), the
 * sums do not tell. Fails only when the run could not be done. */
pm_status exactness_trace(pm_device *device, const char *folder, char *first, size_t size, pm_error *error);

/* The same, but writes the sums as tools/exactness_sums.inc has them. */
pm_status exactness_write_sums(pm_device *device, const char *folder, FILE *file, pm_error *error);

/* Removes what either of them left in the folder. */
void exactness_clean(const char *folder);

#endif
