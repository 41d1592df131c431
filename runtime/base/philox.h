/* Random numbers by counting: Philox4x32-10 (Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as
 * easy as 1, 2, 3"). A draw is a function of its key and its counter, so it needs no state and comes out the
 * same in C, in GLSL (shaders/include/philox.glsl), on every device and in every order.
 *
 * Everything random in Pumice uses key = (seed low, seed high) and counter = (element / 4, step, sample,
 * stream). A stream is one use of randomness; those below are taken. */
#ifndef PM_BASE_PHILOX_H
#define PM_BASE_PHILOX_H

#include <stdbool.h>
#include <stdint.h>

#define PM_STREAM_PERMUTE 0xffffffffu /* pm_permute() */

/* Four words of 32 random bits. */
void pm_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* Uniform in [0, 1), a multiple of 2^-24: the top 24 bits. */
float pm_uniform01(uint32_t bits);

/* Uniform in (0, 1], a multiple of 2^-24: what a logarithm can take. */
float pm_uniform01_positive(uint32_t bits);

/* Uniform integer below n > 0 (0 for n = 0). Some values are likelier than others by at most n / 2^32. */
uint32_t pm_below(uint32_t bits, uint32_t n);

/* Whether something of probability `rate` happens: bits < rate 2^32. Always with rate 1, never with rate 0.
 */
bool pm_happens(uint32_t bits, float rate);

/* The same by number: for element `element` of sample `sample`, at counter (step, sample of the first, seed
 * low, seed high) and stream. What the device decides position by position (pm_reveal with PM_REVEAL_RATE),
 * the host can know beforehand. */
bool pm_happens_at(const uint32_t counter[4], uint32_t stream, uint32_t sample, uint32_t element, float rate);

/* Exponentially distributed, -log((bits + 1/2) 2^-32), from 2^-33 to 22.9, with small numbers as fine as
 * large ones: of many of these the least decides a race. */
float pm_exponential(uint32_t bits);

/* Four independent standard normals, none beyond 5.77, from four words (Box & Muller 1958). */
void pm_normal4(const uint32_t bits[4], float out[4]);

/* Where i goes in a random permutation of 0 .. n-1 that key and epoch choose: a shuffle that is never stored.
 * i < n <= 2^31; an i out of range gives some number below n, and n = 0 gives 0. */
uint32_t pm_permute(uint32_t i, uint32_t n, const uint32_t key[2], uint32_t epoch);

#endif
