/* compare: an enumeration of all shards that shares no code with the proxy or the migrator.
 *
 *   compare --store file:DIR | FILE [--settle-ms 5000] [NAME=HOST:PORT...]
 *
 * Reads the topology, lists every key of every shard by SCAN, and finds fault with:
 *   - a key on a shard that neither owns its slot nor has an open migration's copy of it;
 *   - a key under __sluice: that is not the fence or the kept scripts, where no migration is open;
 *   - a key on a shard outside of the topology (NAME=HOST:PORT names those);
 *   - a verified copy that lacks a key, has one too many, or differs in type, value or expiry.
 * What differs is looked at again until it is equal or the settle time is over: mirrors may be on
 * their way. The result is JSON on standard output; exit code 0: no fault, 1: faults, 2: usage. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <hiredis/hiredis.h>
#include <jansson.h>

#include "tests/support/compare/copy.h"
#include "tests/support/compare/map.h"

#define RESERVED     "__sluice:"
#define SCAN_COUNT   "1000"
#define BATCH        100
#define FINDINGS_MAX 20
#define USAGE        2
#define ATTEMPT_MS   50

struct shard {
    redisContext *context;
    struct key *keys; /* sorted, no key twice */
    size_t count, capacity;
    size_t owned, copies, reserved;
};

/* Two keys of one name that must be equal; either may be absent. */
struct pair {
    const struct key *key;
    unsigned first, second; /* shards */
};

struct program {
    struct map map;
    struct shard shards[MAP_SHARDS_MAX];
    long settle_ms;
    struct pair *pairs;
    size_t npairs, pairs_capacity;
    size_t compared;
    size_t faults;
    json_t *findings; /* texts, the first FINDINGS_MAX */
};

static void *grown(void *memory, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity) {
        return memory;
    }
    *capacity = *capacity * 2 + 64;
    memory = realloc(memory, *capacity * size);
    if (memory == NULL) {
        abort();
    }
    return memory;
}

static void find_fault(struct program *program, const char *what, const struct key *key,
                       unsigned shard)
{
    program->faults++;
    if (json_array_size(program->findings) < FINDINGS_MAX) {
        /* Keys may be any bytes; JSON may not. */
        char name[128];
        size_t length = 0;
        for (size_t i = 0; i < key->length && length + 5 < sizeof(name); i++) {
            unsigned char byte = (unsigned char)key->data[i];
            length += (size_t)snprintf(name + length, sizeof(name) - length,
                                       byte >= ' ' && byte < 127 ? "%c" : "\\x%02x", byte);
        }
        json_t *text = json_sprintf("%s: key %s, slot %u, on %s", what, name, key->slot,
                                    program->map.shards[shard].name);
        (void)json_array_append_new(program->findings, text);
    }
}

/* --- listing -------------------------------------------------------------------------------- */

static int order_of_keys(const void *a, const void *b)
{
    const struct key *first = a;
    const struct key *second = b;
    size_t shorter = first->length < second->length ? first->length : second->length;
    int order = memcmp(first->data, second->data, shorter);
    if (order != 0) {
        return order;
    }
    return (first->length > second->length) - (first->length < second->length);
}

static void add_key(const struct map *map, struct shard *shard, const redisReply *name)
{
    shard->keys = grown(shard->keys, shard->count, &shard->capacity, sizeof(*shard->keys));
    struct key *key = &shard->keys[shard->count++];
    key->length = (size_t)name->len;
    key->data = malloc(key->length + 1);
    if (key->data == NULL) {
        abort();
    }
    memcpy(key->data, name->str, key->length);
    key->data[key->length] = '\0';
    key->slot = map_slot_of(map, key->data, key->length);
}

static void drop_doubles(struct shard *shard)
{
    size_t kept = 0;
    if (shard->count > 0) {
        qsort(shard->keys, shard->count, sizeof(*shard->keys), order_of_keys);
    }
    for (size_t i = 0; i < shard->count; i++) {
        if (kept > 0 && order_of_keys(&shard->keys[kept - 1], &shard->keys[i]) == 0) {
            free(shard->keys[i].data);
        } else {
            shard->keys[kept++] = shard->keys[i];
        }
    }
    shard->count = kept;
}

static bool list_keys(struct program *program, unsigned index)
{
    struct shard *shard = &program->shards[index];
    char cursor[32] = "0";
    do {
        redisReply *reply = redisCommand(shard->context, "SCAN %s COUNT " SCAN_COUNT, cursor);
        if (reply == NULL || reply->type != REDIS_REPLY_ARRAY || reply->elements != 2) {
            (void)fprintf(
                stderr, "compare: SCAN on %s fails: %s\n", program->map.shards[index].name,
                reply != NULL && reply->str != NULL ? reply->str : shard->context->errstr);
            return false;
        }
        (void)snprintf(cursor, sizeof(cursor), "%s", reply->element[0]->str);
        for (size_t i = 0; i < reply->element[1]->elements; i++) {
            add_key(&program->map, shard, reply->element[1]->element[i]);
        }
        freeReplyObject(reply);
    } while (strcmp(cursor, "0") != 0);
    drop_doubles(shard);
    return true;
}

static bool connect_all(struct program *program)
{
    for (unsigned i = 0; i < program->map.nshards; i++) {
        struct timeval patience = {.tv_sec = 5};
        redisContext *context = redisConnectWithTimeout(program->map.shards[i].host,
                                                        program->map.shards[i].port, patience);
        program->shards[i].context = context;
        if (context == NULL || context->err != 0) {
            (void)fprintf(stderr, "compare: cannot connect to %s\n", program->map.shards[i].name);
            return false;
        }
    }
    return true;
}

/* --- placement ------------------------------------------------------------------------------ */

static bool is_reserved(const struct key *key)
{
    return key->length >= strlen(RESERVED) && memcmp(key->data, RESERVED, strlen(RESERVED)) == 0;
}

static bool has_open_move(const struct map *map, int shard)
{
    for (unsigned i = 0; i < map->nmoves; i++) {
        if (map->moves[i].source == shard || map->moves[i].target == shard) {
            return true;
        }
    }
    return map->shards[shard].has_debt;
}

static void check_reserved(struct program *program, unsigned shard, const struct key *key)
{
    program->shards[shard].reserved++;
    bool is_fence = strcmp(key->data, RESERVED "fence") == 0;
    bool is_scripts = strcmp(key->data, RESERVED "scripts") == 0;
    if (!is_fence && !is_scripts && !has_open_move(&program->map, (int)shard)) {
        find_fault(program, "metadata left behind", key, shard);
    }
}

static void check_place(struct program *program, unsigned shard, const struct key *key)
{
    const struct map *map = &program->map;
    if (map->owner[key->slot] == (int)shard) {
        program->shards[shard].owned++;
        return;
    }
    int move = map->move[key->slot];
    bool is_copy = move >= 0 &&
                   (map->moves[move].source == (int)shard || map->moves[move].target == (int)shard);
    if (is_copy) {
        program->shards[shard].copies++;
    } else if (!map->shards[shard].has_debt) {
        find_fault(program, "not on its slot's shard", key, shard);
    }
}

static void check_places(struct program *program)
{
    for (unsigned shard = 0; shard < program->map.nshards; shard++) {
        for (size_t i = 0; i < program->shards[shard].count; i++) {
            const struct key *key = &program->shards[shard].keys[i];
            if (!program->map.shards[shard].is_in_topology) {
                find_fault(program, "on a shard outside of the topology", key, shard);
            } else if (is_reserved(key)) {
                check_reserved(program, shard, key);
            } else {
                check_place(program, shard, key);
            }
        }
    }
}

/* --- copies --------------------------------------------------------------------------------- */

static void add_pair(struct program *program, const struct key *key, const struct map_move *move)
{
    program->pairs =
        grown(program->pairs, program->npairs, &program->pairs_capacity, sizeof(*program->pairs));
    program->pairs[program->npairs++] = (struct pair){
        .key = key, .first = (unsigned)move->source, .second = (unsigned)move->target};
}

static const struct key *find_key(const struct shard *shard, const struct key *key)
{
    return shard->count == 0 ? NULL
                             : bsearch(key, shard->keys, shard->count, sizeof(*key), order_of_keys);
}

/* Every key of a verified migration's slots, on whichever side it is. */
static void collect_pairs(struct program *program)
{
    for (unsigned shard = 0; shard < program->map.nshards; shard++) {
        for (size_t i = 0; i < program->shards[shard].count; i++) {
            const struct key *key = &program->shards[shard].keys[i];
            int index = program->map.move[key->slot];
            if (index < 0 || is_reserved(key) || !program->map.moves[index].is_complete) {
                continue;
            }
            const struct map_move *move = &program->map.moves[index];
            if (move->source == (int)shard ||
                (move->target == (int)shard &&
                 find_key(&program->shards[move->source], key) == NULL)) {
                add_pair(program, key, move);
            }
        }
    }
    program->compared = program->npairs;
}

/* Compares up to BATCH pairs of the same two shards; keeps those that differ at kept[...]. */
static bool compare_batch(struct program *program, const struct pair *pairs, size_t count,
                          struct pair *kept, size_t *nkept)
{
    const struct key *keys[BATCH];
    struct copy first[BATCH];
    struct copy second[BATCH];
    for (size_t i = 0; i < count; i++) {
        keys[i] = pairs[i].key;
        first[i] = second[i] = (struct copy){.expires_ms = -2};
    }
    bool is_read = copy_read(program->shards[pairs[0].first].context, keys, count, first) &&
                   copy_read(program->shards[pairs[0].second].context, keys, count, second);
    for (size_t i = 0; i < count; i++) {
        if (is_read && !copy_equal(&first[i], &second[i])) {
            kept[(*nkept)++] = pairs[i];
        }
        copy_fini(&first[i]);
        copy_fini(&second[i]);
    }
    return is_read;
}

/* Leaves only the pairs that differ. */
static bool compare_pairs(struct program *program)
{
    size_t nkept = 0;
    for (size_t i = 0; i < program->npairs;) {
        struct pair batch[BATCH] = {program->pairs[i++]};
        size_t count = 1;
        while (i < program->npairs && count < BATCH && program->pairs[i].first == batch[0].first &&
               program->pairs[i].second == batch[0].second) {
            batch[count++] = program->pairs[i++];
        }
        if (!compare_batch(program, batch, count, program->pairs, &nkept)) {
            return false;
        }
    }
    program->npairs = nkept;
    return true;
}

static long now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool check_copies(struct program *program)
{
    collect_pairs(program);
    long deadline = now_ms() + program->settle_ms;
    while (program->npairs > 0) {
        if (!compare_pairs(program)) {
            return false;
        }
        if (program->npairs == 0 || now_ms() >= deadline) {
            break;
        }
        struct timespec pause = {.tv_nsec = ATTEMPT_MS * 1000000L};
        (void)nanosleep(&pause, NULL);
    }
    for (size_t i = 0; i < program->npairs; i++) {
        find_fault(program, "the two copies differ", program->pairs[i].key,
                   program->pairs[i].first);
    }
    return true;
}

/* --- result --------------------------------------------------------------------------------- */

static void print_result(struct program *program)
{
    json_t *shards = json_array();
    size_t keys = 0;
    size_t copies = 0;
    for (unsigned i = 0; i < program->map.nshards; i++) {
        const struct shard *shard = &program->shards[i];
        keys += shard->owned;
        copies += shard->copies;
        (void)json_array_append_new(
            shards, json_pack("{s:s, s:I, s:I, s:I}", "name", program->map.shards[i].name, "keys",
                              (json_int_t)shard->owned, "copies", (json_int_t)shard->copies,
                              "reserved", (json_int_t)shard->reserved));
    }
    json_t *result = json_pack(
        "{s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:O}", "ok", program->faults == 0, "epoch",
        (json_int_t)program->map.epoch, "keys", (json_int_t)keys, "copies", (json_int_t)copies,
        "compared", (json_int_t)program->compared, "unequal", (json_int_t)program->npairs, "faults",
        (json_int_t)program->faults, "shards", shards, "findings", program->findings);
    (void)json_dumpf(result, stdout, JSON_INDENT(2));
    (void)puts("");
    json_decref(result);
}

static void free_all(struct program *program)
{
    for (unsigned i = 0; i < program->map.nshards; i++) {
        struct shard *shard = &program->shards[i];
        for (size_t j = 0; j < shard->count; j++) {
            free(shard->keys[j].data);
        }
        free(shard->keys);
        if (shard->context != NULL) {
            redisFree(shard->context);
        }
    }
    free(program->pairs);
    json_decref(program->findings);
    map_free(&program->map);
}

static bool run(struct program *program)
{
    bool is_done = connect_all(program);
    for (unsigned i = 0; is_done && i < program->map.nshards; i++) {
        is_done = list_keys(program, i);
    }
    if (is_done) {
        check_places(program);
        is_done = check_copies(program);
    }
    if (is_done) {
        print_result(program);
    }
    return is_done && program->faults == 0;
}

static int usage(void)
{
    (void)fprintf(stderr,
                  "usage: compare --store file:DIR|FILE [--settle-ms N] [NAME=HOST:PORT...]\n");
    return USAGE;
}

int main(int argc, char **argv)
{
    static struct program program = {.settle_ms = 5000};
    static const struct option options[] = {{"store", required_argument, NULL, 's'},
                                            {"settle-ms", required_argument, NULL, 'm'},
                                            {NULL, 0, NULL, 0}};
    const char *source = NULL;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 's') {
            source = optarg;
        } else if (option == 'm') {
            program.settle_ms = strtol(optarg, NULL, 10);
        } else {
            return usage();
        }
    }
    if (source == NULL) {
        return usage();
    }
    program.findings = json_array();
    bool is_good = map_read(&program.map, source);
    for (int i = optind; is_good && i < argc; i++) {
        is_good = map_add_shard(&program.map, argv[i]);
    }
    is_good = is_good && run(&program);
    free_all(&program);
    return is_good ? EXIT_SUCCESS : EXIT_FAILURE;
}
