/* What functions that can fail return, and say. Part of pumice.h. */
#ifndef PUMICE_STATUS_H
#define PUMICE_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

/* Has the compiler hold arguments against a format; of mingw-w64 against C's, not against Windows'. */
#if defined(__GNUC__) && defined(_WIN32)
#define PM_PRINTF(format_index, first_arg) __attribute__((format(gnu_printf, format_index, first_arg)))
#elif defined(__GNUC__)
#define PM_PRINTF(format_index, first_arg) __attribute__((format(printf, format_index, first_arg)))
#else
#define PM_PRINTF(format_index, first_arg)
#endif

/* The numbers are the exit codes of the command. */
typedef enum pm_status {
    PM_OK = 0,
    PM_FAILED = 1,      /* a check or comparison failed */
    PM_BAD_USAGE = 2,   /* wrong arguments: a shape, an option, an unknown name */
    PM_BAD_FILE = 3,    /* a file is malformed or does not fit */
    PM_NO_DEVICE = 4,   /* no usable Vulkan device */
    PM_DEVICE_LOST = 5, /* the device stopped answering; the objects on it can only be destroyed */
    PM_NO_MEMORY = 6,   /* host or device memory ran out */
    PM_IO = 7,          /* reading or writing failed */
} pm_status;

typedef struct pm_error {
    pm_status status;
    char message[500]; /* one line, no newline at its end */
} pm_error;

/* A short English name of the status; never NULL. */
const char *pm_status_name(pm_status status);

#ifdef __cplusplus
}
#endif
#endif
