/* Folds the elements of a source into a digest, by the type of value they make up: in order for a
 * list, without order for a set, a hash and a sorted set. Pure. */
#ifndef MIGRATOR_VALUE_FOLD_H
#define MIGRATOR_VALUE_FOLD_H

#include "migrator/value/digest.h"
#include "migrator/value/element.h"

/* Zeroed before the first fold; a value in several nodes is folded node by node. */
struct value_fold {
    struct value_digest sum;
    uint64_t elements; /* members, fields, entries */
};

/* All four read the source to its end; false when it is damaged. */
typedef bool (*fold_fn)(struct element_source *source, struct value_fold *fold);
bool fold_list(struct element_source *source, struct value_fold *fold)
    __attribute__((warn_unused_result));
bool fold_set(struct element_source *source, struct value_fold *fold)
    __attribute__((warn_unused_result));
bool fold_hash(struct element_source *source, struct value_fold *fold)
    __attribute__((warn_unused_result));
/* A member, then its score as a text or an integer. */
bool fold_zset(struct element_source *source, struct value_fold *fold)
    __attribute__((warn_unused_result));

/* The next element at the end of a list. */
void fold_in_order(struct value_fold *fold, struct value_digest element);
/* One more element of a value without order. */
void fold_unordered(struct value_fold *fold, struct value_digest element);

/* One member of a sorted set. False when the score is no number. -0 counts as 0: Redis' listpack
 * has no -0, its skiplist has, and RESTORE moves a member from one to the other. */
bool fold_scored(struct value_fold *fold, struct value_digest member, double score)
    __attribute__((warn_unused_result));
/* A score as Redis writes it, "inf" and "-inf" included; locale must be C, as it is by default. */
bool fold_parse_score(struct slice text, double *score) __attribute__((warn_unused_result));

#endif
