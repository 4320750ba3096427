/* What the bank knows of one account: the exact value of each of its keys. All keys share one hash
 * tag, so one account lives in one slot:
 *
 *   {acct:7}:balance   string  a number        {acct:7}:pair1, pair2  strings, written together
 *   {acct:7}:savings   string  a number        {acct:7}:box1 or box2  a string, renamed to and fro
 *   {acct:7}:ledger    list, or stream for odd accounts, of consecutive numbers
 *   {acct:7}:profile   hash, large for some    {acct:7}:session  string with an exact expiry, or
 * none {acct:7}:limits    sorted set              {acct:7}:code     string with a short relative
 * expiry {acct:7}:flags     set, of numbers for odd accounts
 *
 * Pure but for account_append_read and account_append_load, which queue commands. */
#ifndef TESTS_SUPPORT_BANK_ACCOUNT_H
#define TESTS_SUPPORT_BANK_ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hiredis/hiredis.h>

#define ACCOUNT_FLAGS        12   /* how many flags an account may have */
#define ACCOUNT_START_MONEY  1000 /* what each balance is loaded with */
#define ACCOUNT_PREFIX_MAX   32
#define ACCOUNT_NEVER        (-1) /* session_expires_ms: no expiry */
#define ACCOUNT_READ_REPLIES 9    /* of account_append_read */

struct account {
    int64_t balance;
    int64_t savings;       /* 0 and never written: no key */
    uint32_t ledger_first; /* entries ledger_first .. ledger_next - 1 */
    uint32_t ledger_next;
    uint32_t profile; /* version; 0 is as loaded */
    uint32_t limit;   /* score of "daily" */
    uint32_t flags;   /* bit i: member i; 0: no key */
    uint32_t pair;    /* 0: no keys */
    uint32_t box;     /* value; 0: no key */
    bool has_savings;
    bool is_box2;     /* under which of its two names */
    uint32_t session; /* 0: no key */
    int64_t session_expires_ms;
    uint32_t code;       /* 0: never set */
    int64_t code_min_ms; /* wall clock: it is there before this, */
    int64_t code_max_ms; /* and gone after this */
};

/* "{acct:7}:" */
void account_prefix(uint32_t id, char prefix[ACCOUNT_PREFIX_MAX]);
bool account_has_stream(uint32_t id); /* else a list */
void account_flag_text(uint32_t id, unsigned flag, char text[16]);

/* As loaded at wall clock `now_ms`. */
void account_init(struct account *account, uint32_t id, int64_t now_ms);
/* Queues the commands that create it; returns how many. */
unsigned account_append_load(redisContext *context, uint32_t id, const struct account *account);
unsigned account_keys_loaded(const struct account *account);

/* Queues the ACCOUNT_READ_REPLIES commands that read all of it. */
void account_append_read(redisContext *context, uint32_t id);
/* Whether their replies are what the account must be, read between the two wall clock times. When
 * not, `why` gets the first difference. */
bool account_matches(const struct account *account, uint32_t id, redisReply *const *replies,
                     int64_t from_ms, int64_t to_ms, char *why, size_t why_size);
/* The money in the replies, whatever was expected. */
int64_t account_money_read(redisReply *const *replies);

#endif
