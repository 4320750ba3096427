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

/* A loop that only spins would be owed time by all it gave way to, little as its weight is, and the
 * kernel's fair scheduler pays in whole slices: the awaited program would wait for up to 4 ms now
 * and then. So it gives back what it got at every turn. */
static void *spin(void *context)
{
    (void)context;
    while (sched_yield() == 0) {
    }
    return NULL;
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
