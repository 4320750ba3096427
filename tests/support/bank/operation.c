#include "tests/support/bank/operation.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/assert.h"
#include "lib/base/clock.h"

#define LEDGER_MAX     12 /* entries; then it is trimmed */
#define LEDGER_KEPT    3
#define AMOUNT_MAX     50
#define CODE_TTL_MS    1500 /* at most */
#define SESSION_MS     600000
#define CLOCK_SLACK_MS 100

/* What each builder gets. */
struct builder {
    struct operation *operation;
    const struct operation_choice *choice;
    struct random *random;
    char prefix[ACCOUNT_PREFIX_MAX];
};

static void command(const struct builder *builder, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    builder->operation->length =
        redisvFormatCommand(&builder->operation->command, format, arguments);
    va_end(arguments);
    ASSERT(builder->operation->length > 0);
}

static void expect_integer(const struct builder *builder, int64_t number)
{
    builder->operation->expectation = EXPECT_INTEGER;
    builder->operation->number = number;
}

static void expect_number_text(const struct builder *builder, bool is_there, int64_t number)
{
    builder->operation->expectation = is_there ? EXPECT_TEXT : EXPECT_NIL;
    (void)snprintf(builder->operation->text, sizeof(builder->operation->text), "%" PRId64, number);
}

static uint32_t below(const struct builder *builder, uint32_t bound)
{
    return (uint32_t)random_below(builder->random, bound);
}

/* --- reads ---------------------------------------------------------------------------------- */

static void read_balance(const struct builder *b)
{
    command(b, "GET %sbalance", b->prefix);
    expect_number_text(b, true, b->choice->account->balance);
}

static void read_savings(const struct builder *b)
{
    command(b, "GET %ssavings", b->prefix);
    expect_number_text(b, b->choice->account->has_savings, b->choice->account->savings);
}

static void read_profile(const struct builder *b)
{
    command(b, "HGET %sprofile version", b->prefix);
    expect_number_text(b, true, b->choice->account->profile);
}

static void read_limit(const struct builder *b)
{
    command(b, "ZSCORE %slimits daily", b->prefix);
    expect_number_text(b, true, b->choice->account->limit);
}

static void read_flag(const struct builder *b)
{
    unsigned flag = below(b, ACCOUNT_FLAGS);
    char text[16];
    account_flag_text(b->choice->id, flag, text);
    command(b, "SISMEMBER %sflags %s", b->prefix, text);
    expect_integer(b, (b->choice->account->flags >> flag) & 1);
}

static void read_ledger(const struct builder *b)
{
    const struct account *account = b->choice->account;
    command(b, account_has_stream(b->choice->id) ? "XLEN %sledger" : "LLEN %sledger", b->prefix);
    expect_integer(b, account->ledger_next - account->ledger_first);
}

static void read_pair(const struct builder *b)
{
    command(b, "EXISTS %spair1 %spair2", b->prefix, b->prefix);
    expect_integer(b, b->choice->account->pair != 0 ? 2 : 0);
}

static void read_code(const struct builder *b)
{
    command(b, "GET %scode", b->prefix);
    b->operation->expectation = EXPECT_CODE;
}

static void read_expiry(const struct builder *b)
{
    const struct account *account = b->choice->account;
    command(b, "PEXPIRETIME %ssession", b->prefix);
    expect_integer(b, account->session != 0 ? account->session_expires_ms : -2);
}

/* --- writes --------------------------------------------------------------------------------- */

/* One leg of a transfer between two accounts: out of a balance into the worker's pot, or back. */
static void write_transfer(const struct builder *b)
{
    struct operation *operation = b->operation;
    bool is_credit = b->choice->pot > 0 && (below(b, 3) > 0 || operation->next.balance <= 0);
    int64_t amount = 1 + below(b, AMOUNT_MAX);
    if (is_credit) {
        amount = amount < b->choice->pot ? amount : b->choice->pot;
        command(b, "INCRBY %sbalance %lld", b->prefix, (long long)amount);
        operation->next.balance += amount;
        operation->pot_change = -amount;
    } else {
        command(b, "DECRBY %sbalance %lld", b->prefix, (long long)amount);
        operation->next.balance -= amount;
        operation->pot_change = amount;
    }
    expect_integer(b, operation->next.balance);
}

static void write_inside(const struct builder *b)
{
    static const char script[] = "redis.call('DECRBY', KEYS[1], ARGV[1]) "
                                 "return redis.call('INCRBY', KEYS[2], ARGV[1])";
    if (!b->choice->has_eval) {
        write_transfer(b);
        return;
    }
    struct account *next = &b->operation->next;
    int64_t amount = (int64_t)below(b, 2 * AMOUNT_MAX) - AMOUNT_MAX;
    command(b, "EVAL %s 2 %sbalance %ssavings %lld", script, b->prefix, b->prefix,
            (long long)amount);
    next->balance -= amount;
    next->savings += amount;
    next->has_savings = true;
    expect_integer(b, next->savings);
}

static void trim_ledger(const struct builder *b)
{
    struct account *next = &b->operation->next;
    uint32_t first = next->ledger_next - LEDGER_KEPT;
    if (account_has_stream(b->choice->id)) {
        command(b, "XTRIM %sledger MAXLEN = %d", b->prefix, LEDGER_KEPT);
        expect_integer(b, first - next->ledger_first);
    } else {
        command(b, "LTRIM %sledger -%d -1", b->prefix, LEDGER_KEPT);
        b->operation->expectation = EXPECT_STATUS;
    }
    next->ledger_first = first;
}

static void write_ledger(const struct builder *b)
{
    struct operation *operation = b->operation;
    uint32_t entry = operation->next.ledger_next;
    if (entry - operation->next.ledger_first >= LEDGER_MAX) {
        trim_ledger(b);
        return;
    }
    operation->next.ledger_next++;
    if (account_has_stream(b->choice->id)) {
        command(b, "XADD %sledger %u-1 entry %u", b->prefix, entry, entry);
        operation->expectation = EXPECT_TEXT;
        (void)snprintf(operation->text, sizeof(operation->text), "%" PRIu32 "-1", entry);
    } else {
        command(b, "RPUSH %sledger %u", b->prefix, entry);
        expect_integer(b, operation->next.ledger_next - operation->next.ledger_first);
    }
}

static void write_profile(const struct builder *b)
{
    b->operation->next.profile++;
    command(b, "HSET %sprofile version %u", b->prefix, b->operation->next.profile);
    expect_integer(b, 0);
}

static void write_limit(const struct builder *b)
{
    b->operation->next.limit++;
    command(b, "ZINCRBY %slimits 1 daily", b->prefix);
    expect_number_text(b, true, b->operation->next.limit);
}

static void write_flag(const struct builder *b)
{
    unsigned flag = below(b, ACCOUNT_FLAGS);
    uint32_t bit = 1U << flag;
    char text[16];
    account_flag_text(b->choice->id, flag, text);
    bool is_set = (b->operation->next.flags & bit) != 0;
    command(b, is_set ? "SREM %sflags %s" : "SADD %sflags %s", b->prefix, text);
    b->operation->next.flags ^= bit;
    expect_integer(b, 1);
}

static void write_pair(const struct builder *b)
{
    struct account *next = &b->operation->next;
    if (next->pair != 0 && below(b, 3) == 0) {
        command(b, "UNLINK %spair1 %spair2", b->prefix, b->prefix);
        next->pair = 0;
        expect_integer(b, 2);
        return;
    }
    next->pair = 1 + below(b, UINT32_MAX - 1);
    next->pair += next->pair == b->choice->account->pair;
    command(b, "MSET %spair1 %u %spair2 %u", b->prefix, next->pair, b->prefix, next->pair);
    b->operation->expectation = EXPECT_STATUS;
}

static void write_box(const struct builder *b)
{
    struct account *next = &b->operation->next;
    b->operation->expectation = EXPECT_STATUS;
    if (next->box == 0) {
        next->box = 1 + below(b, 1000000);
        command(b, "SET %sbox1 %u", b->prefix, next->box);
        next->is_box2 = false;
    } else if (below(b, 4) == 0) {
        command(b, next->is_box2 ? "DEL %sbox2" : "DEL %sbox1", b->prefix);
        next->box = 0;
        next->is_box2 = false;
        expect_integer(b, 1);
    } else {
        command(b, next->is_box2 ? "RENAME %sbox2 %sbox1" : "RENAME %sbox1 %sbox2", b->prefix,
                b->prefix);
        next->is_box2 = !next->is_box2;
    }
}

static void write_code(const struct builder *b)
{
    struct operation *operation = b->operation;
    operation->code_ttl_ms = 50 + below(b, CODE_TTL_MS);
    operation->next.code = b->choice->account->code + 1;
    command(b, "SET %scode %u PX %u", b->prefix, operation->next.code, operation->code_ttl_ms);
    operation->next.code_min_ms = b->choice->now_ms + operation->code_ttl_ms;
    operation->next.code_max_ms = INT64_MAX;
    operation->expectation = EXPECT_STATUS;
}

static void write_session(const struct builder *b)
{
    struct account *next = &b->operation->next;
    int64_t expires_ms = b->choice->now_ms + SESSION_MS + below(b, SESSION_MS);
    expires_ms += expires_ms == next->session_expires_ms;
    uint32_t kind = next->session == 0 ? 0 : below(b, 3);
    if (kind == 0) {
        next->session++;
        next->session_expires_ms = expires_ms;
        command(b, "SET %ssession %u PXAT %lld", b->prefix, next->session, (long long)expires_ms);
        b->operation->expectation = EXPECT_STATUS;
    } else if (kind == 1 && next->session_expires_ms != ACCOUNT_NEVER) {
        next->session_expires_ms = ACCOUNT_NEVER;
        command(b, "PERSIST %ssession", b->prefix);
        expect_integer(b, 1);
    } else {
        next->session_expires_ms = expires_ms;
        command(b, "PEXPIREAT %ssession %lld", b->prefix, (long long)expires_ms);
        expect_integer(b, 1);
    }
}

/* --- choosing ------------------------------------------------------------------------------- */

typedef void build_fn(const struct builder *builder);

static build_fn *const reads[] = {
    read_balance, read_balance, read_savings, read_profile, read_limit,
    read_flag,    read_ledger,  read_pair,    read_code,    read_expiry,
};
static build_fn *const writes[] = {
    write_transfer, write_transfer, write_transfer, write_transfer, write_inside,
    write_ledger,   write_profile,  write_limit,    write_flag,     write_pair,
    write_box,      write_code,     write_session,
};

static void begin(struct operation *operation, const struct operation_choice *choice)
{
    *operation = (struct operation){.next = *choice->account};
}

void operation_choose(struct operation *operation, const struct operation_choice *choice,
                      struct random *random)
{
    begin(operation, choice);
    struct builder builder = {.operation = operation, .choice = choice, .random = random};
    account_prefix(choice->id, builder.prefix);
    operation->is_write = random_below(random, 100) < choice->write_percent;
    if (operation->is_write) {
        writes[random_below(random, sizeof(writes) / sizeof(writes[0]))](&builder);
    } else {
        reads[random_below(random, sizeof(reads) / sizeof(reads[0]))](&builder);
    }
}

bool operation_settle(struct operation *operation, const struct operation_choice *choice)
{
    if (choice->pot == 0) {
        return false;
    }
    begin(operation, choice);
    struct builder builder = {.operation = operation, .choice = choice};
    account_prefix(choice->id, builder.prefix);
    operation->is_write = true;
    command(&builder, "INCRBY %sbalance %lld", builder.prefix, (long long)choice->pot);
    operation->next.balance += choice->pot;
    operation->pot_change = -choice->pot;
    expect_integer(&builder, operation->next.balance);
    return true;
}

void operation_fini(struct operation *operation)
{
    free(operation->command); /* hiredis took it from malloc */
    operation->command = NULL;
}

/* --- judging -------------------------------------------------------------------------------- */

static bool accepts_code(const struct operation_choice *choice, const redisReply *reply)
{
    const struct account *account = choice->account;
    char text[16];
    (void)snprintf(text, sizeof(text), "%" PRIu32, account->code);
    if (reply->type == REDIS_REPLY_NIL) {
        return account->code == 0 ||
               (int64_t)clock_wall_ms() + CLOCK_SLACK_MS >= account->code_min_ms;
    }
    return reply->type == REDIS_REPLY_STRING && strcmp(reply->str, text) == 0 &&
           choice->now_ms - CLOCK_SLACK_MS <= account->code_max_ms;
}

static bool is_right(const struct operation *operation, const struct operation_choice *choice,
                     const redisReply *reply)
{
    switch (operation->expectation) {
    case EXPECT_STATUS:
        return reply->type == REDIS_REPLY_STATUS && strcmp(reply->str, "OK") == 0;
    case EXPECT_INTEGER:
        return reply->type == REDIS_REPLY_INTEGER && reply->integer == operation->number;
    case EXPECT_TEXT:
        return reply->type == REDIS_REPLY_STRING && strcmp(reply->str, operation->text) == 0;
    case EXPECT_NIL:
        return reply->type == REDIS_REPLY_NIL;
    case EXPECT_CODE:
        return accepts_code(choice, reply);
    }
    return false;
}

/* "GET {acct:7}:balance": the words of the command, for people. */
static void describe(const struct operation *operation, char *text, size_t size)
{
    size_t length = 0;
    const char *end = operation->command + operation->length;
    for (const char *line = operation->command; line < end;) {
        const char *stop = memchr(line, '\r', (size_t)(end - line));
        size_t size_of_line = stop != NULL ? (size_t)(stop - line) : (size_t)(end - line);
        if (*line != '*' && *line != '$' && length + size_of_line + 2 < size) {
            memcpy(text + length, line, size_of_line);
            length += size_of_line;
            text[length++] = ' ';
        }
        line += size_of_line + 2;
    }
    text[length > 0 ? length - 1 : 0] = '\0';
}

bool operation_accepts(const struct operation *operation, const struct operation_choice *choice,
                       const redisReply *reply, char *why, size_t why_size)
{
    if (is_right(operation, choice, reply)) {
        return true;
    }
    char words[256];
    char wanted[32];
    describe(operation, words, sizeof(words));
    (void)snprintf(wanted, sizeof(wanted), "%" PRId64, operation->number);
    (void)snprintf(why, why_size, "%s: must answer %s, but answered %s (%lld)", words,
                   operation->expectation == EXPECT_INTEGER  ? wanted
                   : operation->expectation == EXPECT_TEXT   ? operation->text
                   : operation->expectation == EXPECT_STATUS ? "OK"
                   : operation->expectation == EXPECT_NIL    ? "nothing"
                                                             : "its code, unless expired",
                   reply->str != NULL ? reply->str : "", reply->integer);
    return false;
}
