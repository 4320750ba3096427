/* awake: keeps every core of its affinity busy with loops of the idle class, until it is ended.
 *
 * Everything else goes before them. A core of a virtual machine that sleeps has to wait for its
 * host when it is woken, and that, not the programs, is what latencies would tell of. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static void fail(const char *what, int error)
{
    (void)fprintf(stderr, "awake: %s: %s\n", what, strerror(error));
    exit(EXIT_FAILURE);
}

/* Gives way to the core's other thread, where it has two. */
static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void *spin(void *context)
{
    (void)context;
    for (;;) {
        relax();
    }
}

static void start_on(int core)
{
    pthread_t thread;
    pthread_attr_t attributes;
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(core, &cores);
    (void)pthread_attr_init(&attributes);
    (void)pthread_attr_setaffinity_np(&attributes, sizeof(cores), &cores);
    int error = pthread_create(&thread, &attributes, spin, NULL);
    if (error != 0) {
        fail("pthread_create", error);
    }
    (void)pthread_attr_destroy(&attributes);
}

int main(void)
{
    const struct sched_param none = {.sched_priority = 0};
    cpu_set_t cores;
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (sched_setscheduler(0, SCHED_IDLE, &none) != 0) {
        fail("sched_setscheduler", errno);
    }
    if (sched_getaffinity(0, sizeof(cores), &cores) != 0) {
        fail("sched_getaffinity", errno);
    }
    for (int core = 0; core < CPU_SETSIZE; core++) {
        if (CPU_ISSET(core, &cores)) {
            start_on(core);
        }
    }
    for (;;) {
        (void)pause();
    }
}
