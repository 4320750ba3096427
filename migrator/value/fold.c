#include "migrator/value/fold.h"

#include <math.h>
#include <stdlib.h>

#define SCORE_PURPOSE   UINT64_C(0x73636f7265)
#define SCORE_TEXT_ROOM 128

void fold_in_order(struct value_fold *fold, struct value_digest element)
{
    fold->sum = digest_pair(fold->sum, element);
    fold->elements++;
}

void fold_unordered(struct value_fold *fold, struct value_digest element)
{
    value_digest_add(&fold->sum, &element);
    fold->elements++;
}

bool fold_list(struct element_source *source, struct value_fold *fold)
{
    struct element element;
    enum element_status status;
    while ((status = element_next(source, &element)) == ELEMENT_READ) {
        fold_in_order(fold, digest_text(element_text(&element)));
    }
    return status == ELEMENT_NONE;
}

bool fold_set(struct element_source *source, struct value_fold *fold)
{
    struct element member;
    enum element_status status;
    while ((status = element_next(source, &member)) == ELEMENT_READ) {
        fold_unordered(fold, digest_text(element_text(&member)));
    }
    return status == ELEMENT_NONE;
}

bool fold_hash(struct element_source *source, struct value_fold *fold)
{
    struct element text;
    enum element_status status;
    while ((status = element_next(source, &text)) == ELEMENT_READ) {
        struct value_digest field = digest_text(element_text(&text));
        if (element_next(source, &text) != ELEMENT_READ) {
            return false;
        }
        fold_unordered(fold, digest_pair(field, digest_text(element_text(&text))));
    }
    return status == ELEMENT_NONE;
}

static bool score_of(const struct element *element, double *score)
{
    if (element->is_integer) {
        *score = (double)element->integer;
        return true;
    }
    return fold_parse_score(element->text, score);
}

bool fold_zset(struct element_source *source, struct value_fold *fold)
{
    struct element element;
    enum element_status status;
    while ((status = element_next(source, &element)) == ELEMENT_READ) {
        struct value_digest member = digest_text(element_text(&element));
        double score;
        if (element_next(source, &element) != ELEMENT_READ || !score_of(&element, &score) ||
            !fold_scored(fold, member, score)) {
            return false;
        }
    }
    return status == ELEMENT_NONE;
}

bool fold_scored(struct value_fold *fold, struct value_digest member, double score)
{
    if (isnan(score)) {
        return false;
    }
    double shown = score == 0 ? 0.0 : score;
    uint64_t bits;
    _Static_assert(sizeof(bits) == sizeof(shown), "a double has 64 bits");
    memcpy(&bits, &shown, sizeof(bits));
    const uint64_t numbers[] = {member.low, member.high, bits};
    fold_unordered(fold, digest_numbers(SCORE_PURPOSE, numbers, 3));
    return true;
}

bool fold_parse_score(struct slice text, double *score)
{
    char terminated[SCORE_TEXT_ROOM];
    if (text.len == 0 || text.len >= sizeof(terminated)) {
        return false;
    }
    memcpy(terminated, text.data, text.len);
    terminated[text.len] = '\0';
    char *end;
    *score = strtod(terminated, &end);
    return end == terminated + text.len;
}
