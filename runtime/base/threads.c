/* See threads.h: POSIX threads, or Windows' own. */
#include "base/threads.h"

#include <stdatomic.h>

#ifdef _WIN32
#include <windows.h>
typedef HANDLE thread;
#else
#include <pthread.h>
#include <unistd.h>
typedef pthread_t thread;
#endif

enum { MOST_THREADS = 16 };

typedef struct pool {
    atomic_uint next;
    uint32_t count;
    void (*work)(void *user, uint32_t index);
    void *user;
} pool;

static void take_part(pool *p)
{
    for (;;) {
        uint32_t index = atomic_fetch_add(&p->next, 1);
        if (index >= p->count) return;
        p->work(p->user, index);
    }
}

#ifdef _WIN32

static DWORD WINAPI run(void *p)
{
    take_part(p);
    return 0;
}

static int begin(thread *t, pool *p)
{
    *t = CreateThread(NULL, 0, run, p, 0, NULL);
    return *t != NULL;
}

static void join(thread t)
{
    (void)WaitForSingleObject(t, INFINITE);
    (void)CloseHandle(t);
}

uint32_t pm_cores(void)
{
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    return (uint32_t)info.dwNumberOfProcessors;
}

uint64_t pm_core_cache(void)
{
    return 0;
}

#else

static void *run(void *p)
{
    take_part(p);
    return NULL;
}

static int begin(thread *t, pool *p)
{
    return pthread_create(t, NULL, run, p) == 0;
}

static void join(thread t)
{
    (void)pthread_join(t, NULL);
}

uint32_t pm_cores(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (uint32_t)count : 1;
}

uint64_t pm_core_cache(void)
{
#ifdef _SC_LEVEL2_CACHE_SIZE /* of the GNU C library */
    long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
    return bytes > 0 ? (uint64_t)bytes : 0;
#else
    return 0;
#endif
}

#endif

void pm_for_each(uint32_t count, uint32_t most, void (*work)(void *user, uint32_t index), void *user)
{
    pool p = {.count = count, .work = work, .user = user};
    thread others[MOST_THREADS];
    uint32_t n = 0, wanted = pm_cores();
    if (wanted > most) wanted = most;
    if (wanted > MOST_THREADS) wanted = MOST_THREADS;
    if (wanted > count) wanted = count;
    atomic_init(&p.next, 0);
    while (n + 1 < wanted && begin(&others[n], &p)) n++;
    take_part(&p);
    for (uint32_t i = 0; i < n; i++) join(others[i]);
}
