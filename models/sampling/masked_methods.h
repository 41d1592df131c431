/* The samplers of masked text: one list, of which all that names or knows them is made. */
#ifndef PM_SAMPLING_MASKED_METHODS_H
#define PM_SAMPLING_MASKED_METHODS_H

/* METHOD(name, members of pm_masked_method...); what each does: sampling/masked_sampler.h. */
#define PM_MASKED_METHODS(METHOD)                                                \
    METHOD("ancestral", .mode = PM_REVEAL_RATE)                                  \
    METHOD("cached", .mode = PM_REVEAL_RATE, .cached = true)                     \
    METHOD("first-hitting", .confidence = PM_CONFIDENCE_RANDOM, .hitting = true) \
    METHOD("any-order", .permuted = true)                                        \
    METHOD("left-to-right", .left_to_right = true)                               \
    METHOD("random", .confidence = PM_CONFIDENCE_RANDOM)                         \
    METHOD("low-confidence", .confidence = PM_CONFIDENCE_DRAWN)                  \
    METHOD("entropy", .confidence = PM_CONFIDENCE_ENTROPY)                       \
    METHOD("margin", .confidence = PM_CONFIDENCE_MARGIN)                         \
    METHOD("max-prob", .confidence = PM_CONFIDENCE_MAX)                          \
    METHOD("threshold", .mode = PM_REVEAL_THRESHOLD, .confidence = PM_CONFIDENCE_DRAWN)

/* PM_MASKED_METHODS(PM_METHOD_NAME): the names, with a comma behind each. */
#define PM_METHOD_NAME(method, ...) method,
/* PM_MASKED_METHODS(PM_METHOD_LISTED): the same in one literal. */
#define PM_METHOD_LISTED(method, ...) method ", "

#endif
