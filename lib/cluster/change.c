#include "lib/cluster/change.h"

#include "lib/base/buffer.h"
#include "lib/base/clock.h"
#include "lib/base/random.h"
#include "lib/topology/document.h"

/* Losing so often in a row needs that many others who won: something spins. */
#define CHANGE_TRIES 100

/* One round's result. */
enum round {
    ROUND_DONE,
    ROUND_AGAIN,
    ROUND_FAILED
};

struct loop {
    struct store *store;
    cluster_change_fn *change;
    void *context;
    uint64_t unknown_epoch; /* of a document that may have been written; 0: none */
    struct buffer unknown;  /* its text */
    uint64_t epoch;         /* the result */
};

/* The document that we do not know to have written is the one that stands. */
static bool is_ours(const struct loop *loop, const struct topology *topology)
{
    struct buffer text;
    if (loop->unknown_epoch != topology->epoch) {
        return false;
    }
    buffer_init(&text, SIZE_MAX);
    document_format(topology, &text);
    bool is_equal = slice_equal(buffer_slice(&text), buffer_slice(&loop->unknown));
    buffer_fini(&text);
    return is_equal;
}

static void remember(struct loop *loop, const struct topology *next)
{
    loop->unknown_epoch = next->epoch;
    buffer_clear(&loop->unknown);
    document_format(next, &loop->unknown);
}

static enum round write_next(struct loop *loop, const struct topology *next, struct error *err)
{
    switch (store_cas(loop->store, next, err)) {
    case CAS_DONE:
        loop->epoch = next->epoch;
        return ROUND_DONE;
    case CAS_LOST:
        clock_sleep_ms(random_system() % 4); /* so that two do not lose in step */
        return ROUND_AGAIN;
    case CAS_UNKNOWN:
        remember(loop, next);
        return ROUND_AGAIN;
    default:
        return ROUND_FAILED;
    }
}

static enum round decide(struct loop *loop, const struct topology *present, struct error *err)
{
    if (is_ours(loop, present)) {
        loop->epoch = present->epoch;
        return ROUND_DONE;
    }
    struct topology *next = topology_next(present);
    enum round round = ROUND_FAILED;
    switch (loop->change(next, loop->context, err)) {
    case CHANGE_WRITE:
        round = write_next(loop, next, err);
        break;
    case CHANGE_NOTHING:
        loop->epoch = present->epoch;
        round = ROUND_DONE;
        break;
    case CHANGE_REFUSED:
        break;
    }
    topology_free(next);
    return round;
}

static enum round try_once(struct loop *loop, struct error *err)
{
    struct topology *present = store_read(loop->store, NULL, err);
    if (present == NULL) {
        if (loop->unknown_epoch > 0) {
            (void)error_prefix(err, "whether epoch %llu was written is unknown",
                               (unsigned long long)loop->unknown_epoch);
        }
        return ROUND_FAILED;
    }
    enum round round = decide(loop, present, err);
    topology_free(present);
    return round;
}

bool cluster_change(struct store *store, cluster_change_fn *change, void *context, uint64_t *epoch,
                    struct error *err)
{
    struct loop loop = {.store = store, .change = change, .context = context};
    enum round round = ROUND_AGAIN;
    buffer_init(&loop.unknown, SIZE_MAX);
    for (unsigned i = 0; i < CHANGE_TRIES && round == ROUND_AGAIN; i++) {
        round = try_once(&loop, err);
    }
    buffer_fini(&loop.unknown);
    if (round == ROUND_AGAIN) {
        return error_set(err,
                         "lost %d compare-and-swaps in a row on \"%s\": who else is changing the "
                         "topology?",
                         CHANGE_TRIES, store_url(store));
    }
    if (epoch != NULL) {
        *epoch = loop.epoch;
    }
    return round == ROUND_DONE;
}
