/* Runs the system's compressors; see compressors.h.
 *
 * A command's input is a socket and not a pipe: writing to a command that has ended then gives an error
 * instead of the signal SIGPIPE, whose handling belongs to the program that uses this library. */
#include "text/compressors.h"

#include "base/status.h"

#ifndef _WIN32

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum {
    SHELL_NOT_FOUND = 127
}; /* how a child ends whose command was missing, where posix_spawn cannot tell */

/* A command under way. */
typedef struct child {
    pid_t pid;
    int input, output; /* our ends; input is -1 when everything was written */
} child;

/* ---- Starting ------------------------------------------------------------------------------------------ */

/* Whether a variable of the environment would change what a compressor does. */
static bool has_options(const char *variable)
{
    static const char *const names[] = {"GZIP=", "BZIP=", "BZIP2=", "XZ_DEFAULTS=", "XZ_OPT="};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strncmp(variable, names[i], strlen(names[i])) == 0) return true;
    }
    return false;
}

/* The environment without those variables: an array from malloc of strings that are not. */
static char **plain_environment(void)
{
    size_t count = 0, kept = 0;
    while (environ && environ[count]) count++;
    char **plain = malloc((count + 1) * sizeof *plain);
    if (!plain) return NULL;
    for (size_t i = 0; i < count; i++) {
        if (!has_options(environ[i])) plain[kept++] = environ[i];
    }
    plain[kept] = NULL;
    return plain;
}

/* posix_spawnp() with standard input, output and no error output. Returns its error number. */
static int spawn(char *const arguments[], int input, int output, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    char **plain = plain_environment();
    if (!plain) return ENOMEM;
    int failure = posix_spawn_file_actions_init(&actions);
    if (failure == 0) {
        failure = posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
        if (failure == 0) failure = posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
        if (failure == 0)
            failure = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
        if (failure == 0) failure = posix_spawnp(pid, arguments[0], &actions, NULL, arguments, plain);
        (void)posix_spawn_file_actions_destroy(&actions);
    }
    free(plain);
    return failure;
}

static void close_if_open(int *fd)
{
    if (*fd >= 0) (void)close(*fd);
    *fd = -1;
}

/* Moves a descriptor away from 0, 1 and 2, which the child's own take the place of, and keeps it from being
 * handed to children. */
static bool prepare(int *fd)
{
    int moved = fcntl(*fd, F_DUPFD_CLOEXEC, 3);
    if (moved < 0) return false;
    (void)close(*fd);
    *fd = moved;
    return true;
}

/* Starts a command. Returns 0 or an error number. */
static int start(char *const arguments[], child *out)
{
    int input[2] = {-1, -1}, output[2] = {-1, -1}, failure = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, input) != 0 || pipe(output) != 0 || !prepare(&input[0]) ||
        !prepare(&input[1]) || !prepare(&output[0]) || !prepare(&output[1])) {
        failure = errno;
    }
    if (failure == 0) failure = spawn(arguments, input[0], output[1], &out->pid);
    close_if_open(&input[0]);
    close_if_open(&output[1]);
    if (failure != 0) {
        close_if_open(&input[1]);
        close_if_open(&output[0]);
    }
    out->input = input[1];
    out->output = output[0];
    return failure;
}

/* ---- Talking ------------------------------------------------------------------------------------------- */

/* Writes what the socket takes now. A command that does not want to read on says why by its exit status. */
static int write_some(child *to, const uint8_t *data, size_t size, size_t *written)
{
    ssize_t sent = send(to->input, data + *written, size - *written, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
        *written += (size_t)sent;
    } else if (errno == EPIPE || errno == ECONNRESET) {
        *written = size;
    } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        return errno;
    }
    if (*written == size) close_if_open(&to->input);
    return 0;
}

/* Reads and counts what is there; *end when nothing more will come. */
static int read_some(const child *from, uint64_t *bytes, bool *end)
{
    char buffer[65536];
    ssize_t got = read(from->output, buffer, sizeof buffer);
    if (got < 0) return errno == EINTR ? 0 : errno;
    *bytes += (uint64_t)got;
    *end = got == 0;
    return 0;
}

/* Writes and reads at once, so that neither side waits for the other. Returns 0 or an error number. */
static int talk(child *with, const uint8_t *data, size_t size, uint64_t *bytes)
{
    size_t written = 0;
    bool end = false;
    int failure = 0;
    if (size == 0) close_if_open(&with->input);
    while (!end && failure == 0) {
        /* poll() passes over a descriptor of -1. */
        struct pollfd ready[2] = {{.fd = with->output, .events = POLLIN},
                                  {.fd = with->input, .events = POLLOUT}};
        if (poll(ready, 2, -1) < 0) {
            if (errno == EINTR) continue;
            return errno;
        }
        if (ready[1].revents) failure = write_some(with, data, size, &written);
        if (ready[0].revents && failure == 0) failure = read_some(with, bytes, &end);
    }
    return failure;
}

/* Waits for the end. Returns 0 or an error number; *result as waitpid() gives it. */
static int finish(child *of, bool give_up, int *result)
{
    close_if_open(&of->input);
    close_if_open(&of->output);
    if (give_up) (void)kill(of->pid, SIGKILL);
    while (waitpid(of->pid, result, 0) < 0) {
        if (errno != EINTR) return errno;
    }
    return 0;
}

/* ---- Compressors --------------------------------------------------------------------------------------- */

static pm_status compress_by(char *const arguments[], const uint8_t *data, size_t size, pm_compressed *out,
                             pm_error *error)
{
    child command = {0};
    int result = 0, failure = start(arguments, &command);
    if (failure == ENOENT || failure == ENOTDIR) return PM_OK;
    if (failure != 0)
        return pm_fail(error, PM_IO, "%s cannot be started: %s", out->command, strerror(failure));
    failure = talk(&command, data, size, &out->bytes);
    int wait_failure = finish(&command, failure != 0, &result);
    if (failure == 0) failure = wait_failure;
    if (failure != 0) {
        return pm_fail(error, PM_IO, "%s cannot be talked to: %s", out->command, strerror(failure));
    }
    out->installed = !(WIFEXITED(result) && WEXITSTATUS(result) == SHELL_NOT_FOUND);
    if (out->installed && result != 0) {
        bool exited = WIFEXITED(result);
        return pm_fail(error, PM_FAILED, "%s failed on %zu bytes (%s %d)", out->command, size,
                       exited ? "exit status" : "signal", exited ? WEXITSTATUS(result) : WTERMSIG(result));
    }
    return PM_OK;
}

#else

/* Windows brings none of them. */
static pm_status compress_by(char *const arguments[], const uint8_t *data, size_t size, pm_compressed *out,
                             pm_error *error)
{
    (void)arguments, (void)data, (void)size, (void)out, (void)error;
    return PM_OK;
}

#endif

pm_status pm_compress(const uint8_t *data, size_t size, pm_compressed out[PM_COMPRESSORS], pm_error *error)
{
    /* exec() wants them writable, and writes to none. */
    static char gzip[] = "gzip", bzip2[] = "bzip2", xz[] = "xz", best[] = "-9", extreme[] = "-9e";
    static const char *const names[PM_COMPRESSORS] = {"gzip -9", "bzip2 -9", "xz -9e"};
    char *const arguments[PM_COMPRESSORS][3] = {{gzip, best}, {bzip2, best}, {xz, extreme}};
    uint64_t characters = pm_count_characters(data, size);
    for (int i = 0; i < PM_COMPRESSORS; i++) out[i] = (pm_compressed){.command = names[i]};
    for (int i = 0; i < PM_COMPRESSORS; i++) {
        pm_status status = compress_by(arguments[i], data, size, &out[i], error);
        if (status != PM_OK) return status;
        if (!out[i].installed) out[i].bytes = 0;
        if (characters > 0) out[i].bits_per_character = 8.0 * (double)out[i].bytes / (double)characters;
    }
    return PM_OK;
}
