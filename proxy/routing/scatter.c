#include "proxy/routing/scatter.h"

#include "lib/base/assert.h"
#include "lib/base/memory.h"

struct scatter {
    struct router *router;
    scatter_fn *done;
    void *context;
    uint64_t owner_epoch; /* when it was sent */
    unsigned first_shard, nshards, ncommands, pending;
    struct request **parts; /* [shard * ncommands + command] */
};

static unsigned count_parts(const struct scatter *scatter)
{
    return scatter->nshards * scatter->ncommands;
}

static void finish(struct scatter *scatter)
{
    scatter->done(scatter->context, scatter);
    for (unsigned i = 0; i < count_parts(scatter); i++) {
        request_give(router_pool(scatter->router), scatter->parts[i]);
    }
    mem_free(scatter->parts);
    mem_free(scatter);
}

static void on_part_done(struct request *part)
{
    struct scatter *scatter = part->owner;
    ASSERT(scatter->pending > 0);
    scatter->pending--;
    if (scatter->pending == 0) {
        finish(scatter);
    }
}

static struct request *new_part(struct scatter *scatter, const struct request *request,
                                unsigned shard, struct slice bytes)
{
    struct request *part = request_take(router_pool(scatter->router));
    part->owner = scatter;
    part->done = on_part_done;
    part->command = request->command;
    part->protocol = request->protocol; /* behind what its client has sent before */
    part->slot = SLOT_NONE;
    part->shard = shard;
    part->arrived_us = request->arrived_us;
    buffer_add(&part->bytes, bytes.data, bytes.len);
    return part;
}

static void send_parts(struct scatter *scatter, const struct request *request,
                       const struct slice *commands)
{
    struct router *router = scatter->router;
    unsigned nparts = scatter->pending = count_parts(scatter);
    ASSERT(nparts > 0);
    scatter->parts = mem_alloc(nparts * sizeof(struct request *));
    for (unsigned i = 0; i < nparts; i++) {
        scatter->parts[i] =
            new_part(scatter, request, scatter->first_shard + i / scatter->ncommands,
                     commands[i % scatter->ncommands]);
    }
    /* The last answer frees the scatter, perhaps before this returns. */
    struct request **parts = mem_dup(scatter->parts, nparts * sizeof(struct request *));
    for (unsigned i = 0; i < nparts; i++) {
        router_dispatch(router, parts[i], buffer_slice(&parts[i]->bytes));
    }
    mem_free(parts);
}

static struct scatter *scatter_new(struct router *router, scatter_fn *done, void *context)
{
    struct scatter *scatter = mem_zalloc(sizeof(*scatter));
    scatter->router = router;
    scatter->done = done;
    scatter->context = context;
    scatter->owner_epoch = router_snapshot(router)->topology->owner_epoch;
    return scatter;
}

void scatter_send(struct router *router, const struct request *request,
                  const struct slice *commands, unsigned ncommands, scatter_fn *done, void *context)
{
    struct scatter *scatter = scatter_new(router, done, context);
    scatter->nshards = router_snapshot(router)->topology->nshards;
    scatter->ncommands = ncommands;
    send_parts(scatter, request, commands);
}

void scatter_send_one(struct router *router, const struct request *request, unsigned shard,
                      const struct slice *commands, unsigned ncommands, scatter_fn *done,
                      void *context)
{
    struct scatter *scatter = scatter_new(router, done, context);
    scatter->first_shard = shard;
    scatter->nshards = 1;
    scatter->ncommands = ncommands;
    send_parts(scatter, request, commands);
}

unsigned scatter_shards(const struct scatter *scatter)
{
    return scatter->nshards;
}

struct shard_answer scatter_answer(const struct scatter *scatter, unsigned shard, unsigned command)
{
    ASSERT(shard < scatter->nshards && command < scatter->ncommands);
    struct request *part = scatter->parts[shard * scatter->ncommands + command];
    return (struct shard_answer){buffer_slice(&part->reply), part->is_error};
}

struct shard_answer *scatter_answers(const struct scatter *scatter, unsigned command)
{
    struct shard_answer *answers = mem_alloc(scatter->nshards * sizeof(*answers));
    for (unsigned i = 0; i < scatter->nshards; i++) {
        answers[i] = scatter_answer(scatter, i, command);
    }
    return answers;
}

bool scatter_is_outdated(const struct scatter *scatter)
{
    return router_snapshot(scatter->router)->topology->owner_epoch != scatter->owner_epoch;
}
