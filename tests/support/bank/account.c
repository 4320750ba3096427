#include "tests/support/bank/account.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BIG_PROFILE_EVERY  100 /* every so many accounts, a profile in hash table encoding */
#define BIG_PROFILE_FIELDS 200
#define SESSION_EVERY      10
#define SESSION_MS         3600000
#define CLOCK_SLACK_MS     100 /* for times that two processes took */

void account_prefix(uint32_t id, char prefix[ACCOUNT_PREFIX_MAX])
{
    (void)snprintf(prefix, ACCOUNT_PREFIX_MAX, "{acct:%" PRIu32 "}:", id);
}

bool account_has_stream(uint32_t id)
{
    return id % 2 == 1;
}

static bool has_big_profile(uint32_t id)
{
    return id % BIG_PROFILE_EVERY == BIG_PROFILE_EVERY - 1;
}

void account_flag_text(uint32_t id, unsigned flag, char text[16])
{
    (void)snprintf(text, 16, id % 2 == 1 ? "%u" : "flag%u", flag);
}

void account_init(struct account *account, uint32_t id, int64_t now_ms)
{
    *account = (struct account){
        .balance = ACCOUNT_START_MONEY,
        .ledger_first = 1,
        .ledger_next = 3,
        .limit = id % 50,
        .flags = 1U << (id % ACCOUNT_FLAGS),
        .session_expires_ms = ACCOUNT_NEVER,
    };
    if (id % SESSION_EVERY == 0) {
        account->session = 1;
        account->session_expires_ms = now_ms + SESSION_MS;
    }
}

unsigned account_keys_loaded(const struct account *account)
{
    return account->session != 0 ? 6 : 5;
}

static void append_ledger(redisContext *context, uint32_t id, const char *prefix)
{
    if (account_has_stream(id)) {
        (void)redisAppendCommand(context, "XADD %sledger 1-1 entry 1", prefix);
        (void)redisAppendCommand(context, "XADD %sledger 2-1 entry 2", prefix);
    } else {
        (void)redisAppendCommand(context, "RPUSH %sledger 1", prefix);
        (void)redisAppendCommand(context, "RPUSH %sledger 2", prefix);
    }
}

static unsigned append_big_profile(redisContext *context, const char *prefix)
{
    for (unsigned i = 0; i < BIG_PROFILE_FIELDS; i++) {
        (void)redisAppendCommand(context, "HSET %sprofile field%u value%u", prefix, i, i);
    }
    return BIG_PROFILE_FIELDS;
}

unsigned account_append_load(redisContext *context, uint32_t id, const struct account *account)
{
    char prefix[ACCOUNT_PREFIX_MAX];
    char flag[16];
    account_prefix(id, prefix);
    account_flag_text(id, id % ACCOUNT_FLAGS, flag);
    unsigned count = 6;
    (void)redisAppendCommand(context, "SET %sbalance %lld", prefix, (long long)account->balance);
    append_ledger(context, id, prefix);
    (void)redisAppendCommand(context, "HSET %sprofile owner customer-%u version 0", prefix, id);
    (void)redisAppendCommand(context, "ZADD %slimits %u daily 7 weekly 0.5 rate", prefix,
                             account->limit);
    (void)redisAppendCommand(context, "SADD %sflags %s", prefix, flag);
    if (account->session != 0) {
        (void)redisAppendCommand(context, "SET %ssession %u PXAT %lld", prefix, account->session,
                                 (long long)account->session_expires_ms);
        count++;
    }
    if (has_big_profile(id)) {
        count += append_big_profile(context, prefix);
    }
    return count;
}

void account_append_read(redisContext *context, uint32_t id)
{
    char p[ACCOUNT_PREFIX_MAX];
    account_prefix(id, p);
    (void)redisAppendCommand(context,
                             "MGET %sbalance %ssavings %spair1 %spair2 %sbox1 %sbox2 %ssession", p,
                             p, p, p, p, p, p);
    (void)redisAppendCommand(
        context, account_has_stream(id) ? "XRANGE %sledger - +" : "LRANGE %sledger 0 -1", p);
    (void)redisAppendCommand(context, "HMGET %sprofile owner version", p);
    (void)redisAppendCommand(context, "HLEN %sprofile", p);
    (void)redisAppendCommand(context, "ZSCORE %slimits daily", p);
    (void)redisAppendCommand(context, "ZCARD %slimits", p);
    (void)redisAppendCommand(context, "SMEMBERS %sflags", p);
    (void)redisAppendCommand(context, "PEXPIRETIME %ssession", p);
    (void)redisAppendCommand(context, "GET %scode", p);
}

/* --- comparing ------------------------------------------------------------------------------ */

/* One comparison: where the first difference goes. */
struct check {
    uint32_t id;
    char *why;
    size_t why_size;
};

static bool differs(const struct check *check, const char *key, const char *wanted,
                    const redisReply *got)
{
    char integer[24];
    (void)snprintf(integer, sizeof(integer), "%lld", got != NULL ? got->integer : 0);
    const char *text = got == NULL                        ? "no reply"
                       : got->type == REDIS_REPLY_NIL     ? "nothing"
                       : got->type == REDIS_REPLY_INTEGER ? integer
                       : got->type == REDIS_REPLY_ARRAY   ? "other elements"
                                                          : got->str;
    (void)snprintf(check->why, check->why_size, "{acct:%" PRIu32 "}:%s must be %s, but is %s",
                   check->id, key, wanted, text);
    return false;
}

static bool is_text(const redisReply *reply, const char *text)
{
    return reply->type == REDIS_REPLY_STRING && strcmp(reply->str, text) == 0;
}

/* A string key that holds a number, or is absent. */
static bool check_number(const struct check *check, const char *key, bool is_there, int64_t number,
                         const redisReply *reply)
{
    char text[24] = "nothing";
    if (!is_there) {
        return reply->type == REDIS_REPLY_NIL || differs(check, key, text, reply);
    }
    (void)snprintf(text, sizeof(text), "%" PRId64, number);
    return is_text(reply, text) || differs(check, key, text, reply);
}

static bool check_integer(const struct check *check, const char *key, int64_t number,
                          const redisReply *reply)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%" PRId64, number);
    return (reply->type == REDIS_REPLY_INTEGER && reply->integer == number) ||
           differs(check, key, text, reply);
}

static bool check_strings(const struct check *check, const struct account *account,
                          const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 7) {
        return differs(check, "(MGET)", "seven values", reply);
    }
    redisReply *const *value = reply->element;
    bool has_box = account->box != 0;
    return check_number(check, "balance", true, account->balance, value[0]) &&
           check_number(check, "savings", account->has_savings, account->savings, value[1]) &&
           check_number(check, "pair1", account->pair != 0, account->pair, value[2]) &&
           check_number(check, "pair2", account->pair != 0, account->pair, value[3]) &&
           check_number(check, "box1", has_box && !account->is_box2, account->box, value[4]) &&
           check_number(check, "box2", has_box && account->is_box2, account->box, value[5]) &&
           check_number(check, "session", account->session != 0, account->session, value[6]);
}

/* The number of a ledger's entry: of a list "7", of a stream its field's value. */
static const redisReply *ledger_entry(const redisReply *element)
{
    if (element->type == REDIS_REPLY_STRING) {
        return element;
    }
    if (element->type == REDIS_REPLY_ARRAY && element->elements == 2 &&
        element->element[1]->type == REDIS_REPLY_ARRAY && element->element[1]->elements == 2) {
        return element->element[1]->element[1];
    }
    return NULL;
}

static bool check_ledger(const struct check *check, const struct account *account,
                         const redisReply *reply)
{
    char wanted[64];
    size_t length = account->ledger_next - account->ledger_first;
    (void)snprintf(wanted, sizeof(wanted), "entries %" PRIu32 " to %" PRIu32, account->ledger_first,
                   account->ledger_next - 1);
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != length) {
        return differs(check, "ledger", wanted, reply);
    }
    for (size_t i = 0; i < length; i++) {
        char text[16];
        const redisReply *entry = ledger_entry(reply->element[i]);
        (void)snprintf(text, sizeof(text), "%zu", account->ledger_first + i);
        if (entry == NULL || !is_text(entry, text)) {
            return differs(check, "ledger", wanted, entry);
        }
    }
    return true;
}

static bool check_profile(const struct check *check, const struct account *account,
                          const redisReply *fields, const redisReply *length)
{
    char owner[32];
    (void)snprintf(owner, sizeof(owner), "customer-%" PRIu32, check->id);
    if (fields->type != REDIS_REPLY_ARRAY || fields->elements != 2 ||
        !is_text(fields->element[0], owner)) {
        return differs(check, "profile", owner, fields);
    }
    unsigned count = 2 + (has_big_profile(check->id) ? BIG_PROFILE_FIELDS : 0);
    return check_number(check, "profile version", true, account->profile, fields->element[1]) &&
           check_integer(check, "profile length", count, length);
}

static bool check_flags(const struct check *check, const struct account *account,
                        const redisReply *reply)
{
    char wanted[32];
    (void)snprintf(wanted, sizeof(wanted), "flags %#x", account->flags);
    uint32_t seen = 0;
    if (reply->type != REDIS_REPLY_ARRAY) {
        return differs(check, "flags", wanted, reply);
    }
    for (size_t i = 0; i < reply->elements; i++) {
        unsigned flag = 0;
        char text[16] = "";
        while (flag < ACCOUNT_FLAGS && !is_text(reply->element[i], text)) {
            account_flag_text(check->id, flag++, text);
        }
        if (!is_text(reply->element[i], text)) {
            return differs(check, "flags", wanted, reply->element[i]);
        }
        seen |= 1U << (flag - 1);
    }
    return seen == account->flags || differs(check, "flags", wanted, reply);
}

static bool check_code(const struct check *check, const struct account *account,
                       const redisReply *reply, const int64_t times_ms[2])
{
    char wanted[24];
    (void)snprintf(wanted, sizeof(wanted), "%" PRIu32, account->code);
    if (reply->type == REDIS_REPLY_NIL) {
        return account->code == 0 || times_ms[1] + CLOCK_SLACK_MS >= account->code_min_ms ||
               differs(check, "code", wanted, reply);
    }
    if (!is_text(reply, wanted)) {
        return differs(check, "code", wanted, reply);
    }
    return times_ms[0] - CLOCK_SLACK_MS <= account->code_max_ms ||
           differs(check, "code", "gone: it has expired", reply);
}

bool account_matches(const struct account *account, uint32_t id, redisReply *const *replies,
                     int64_t from_ms, int64_t to_ms, char *why, size_t why_size)
{
    struct check check = {.id = id, .why = why, .why_size = why_size};
    /* PEXPIRETIME: -2 no key, -1 no expiry. */
    int64_t expires_ms = account->session == 0 ? -2 : account->session_expires_ms;
    const int64_t times_ms[2] = {from_ms, to_ms};
    return check_strings(&check, account, replies[0]) &&
           check_ledger(&check, account, replies[1]) &&
           check_profile(&check, account, replies[2], replies[3]) &&
           check_number(&check, "limits daily", true, account->limit, replies[4]) &&
           check_integer(&check, "limits length", 3, replies[5]) &&
           check_flags(&check, account, replies[6]) &&
           check_integer(&check, "session expiry", expires_ms, replies[7]) &&
           check_code(&check, account, replies[8], times_ms);
}

int64_t account_money_read(redisReply *const *replies)
{
    int64_t money = 0;
    const redisReply *strings = replies[0];
    for (size_t i = 0; strings->type == REDIS_REPLY_ARRAY && i < 2 && i < strings->elements; i++) {
        if (strings->element[i]->type == REDIS_REPLY_STRING) {
            money += strtoll(strings->element[i]->str, NULL, 10);
        }
    }
    return money;
}
