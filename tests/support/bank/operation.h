/* One operation on one account: the command, the only right reply, and what the account is then.
 * Pure: the command is built here and sent by worker.c. */
#ifndef TESTS_SUPPORT_BANK_OPERATION_H
#define TESTS_SUPPORT_BANK_OPERATION_H

#include "lib/base/random.h"
#include "tests/support/bank/account.h"

enum expectation {
    EXPECT_STATUS,  /* +OK */
    EXPECT_INTEGER, /* number */
    EXPECT_TEXT,    /* text */
    EXPECT_NIL,
    EXPECT_CODE, /* the account's short-lived code: there or gone, as its times say */
};

struct operation {
    char *command; /* as redisFormatCommand made it; freed with operation_fini */
    int length;
    enum expectation expectation;
    int64_t number;
    char text[32];
    bool is_write;
    struct account next;  /* the account once it has been executed */
    int64_t pot_change;   /* what the worker holds between two accounts, then */
    uint32_t code_ttl_ms; /* not 0: the code's times are set when the reply is there */
};

/* What a worker may choose from. */
struct operation_choice {
    uint32_t id;
    const struct account *account;
    int64_t pot;            /* money taken from one account and not yet given to another */
    unsigned write_percent; /* how many of a hundred change something */
    bool has_eval;
    int64_t now_ms;
};

void operation_choose(struct operation *operation, const struct operation_choice *choice,
                      struct random *random);
/* INCRBY of the whole pot, or nothing when it is empty (false). */
bool operation_settle(struct operation *operation, const struct operation_choice *choice);
void operation_fini(struct operation *operation);

/* Whether the reply is the right one; `why` says what it should have been. An error reply is not
 * for here. */
bool operation_accepts(const struct operation *operation, const struct operation_choice *choice,
                       const redisReply *reply, char *why, size_t why_size);

#endif
