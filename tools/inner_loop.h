/* The loop in which a kernel does its multiply-adds, out of the assembly that a driver's compiler shows. */
#ifndef PM_TOOLS_INNER_LOOP_H
#define PM_TOOLS_INNER_LOOP_H

#include <stdint.h>

/* All of one round, and -1 where the kernel has no such loop or the assembly does not tell. Of the loops that
 * have no other with multiply-adds inside, it is the one with most of them. */
typedef struct inner_loop {
    double share;         /* instructions that multiply or add floats, or matrices, of all: 0 to 1 */
    double multiply_adds; /* of each lane; -1 too where matrix units do them */
    double cycles; /* until the next round, without waits for memory: as NVIDIA's compiler in Mesa says */
    /* Multiply-adds of each lane in the whole kernel, loops counted as in the compiler's estimate of cycles:
     * AMD's takes 8 rounds for granted, 4 of a loop in a loop, and 2 of any further in; Intel's 10 of each.
     */
    double counted;
} inner_loop;

/* `dialect`: the name that the driver has for the assembly; one that is not known gives -1 everywhere, as
 * does a listing of NULL. -1 too when there is no host memory. `lanes`: of a subgroup. */
inner_loop inner_loop_of(const char *dialect, const char *listing, uint32_t lanes);

#endif
