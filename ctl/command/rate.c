#include "ctl/command/rate.h"

#include <stdio.h>
#include <string.h>

void rate_init(struct rate_reading *reading)
{
    *reading = (struct rate_reading){
        .rate = {.copied = RATE_COPIED_DEFAULT, .verified = RATE_VERIFIED_DEFAULT}};
}

/* Keys a second; 0 when the record does not tell. */
static uint64_t shown(const json_t *record)
{
    uint64_t keys = view_number(record, "keys");
    uint64_t ms = view_number(record, "ms");
    if (keys < RATE_KEYS_MIN || view_flag(record, "throttled")) {
        return 0;
    }
    return keys * 1000 / (ms > 0 ? ms : 1);
}

void rate_note(struct rate_reading *reading, const json_t *record)
{
    const char *kind = view_text(record, "kind");
    const char *id = view_text(record, "migration");
    struct rate *next = &reading->next;
    if (strcmp(kind, "backfill") == 0) {
        next->copied = shown(record);
        (void)snprintf(next->migration, sizeof(next->migration), "%s", id);
    } else if (strcmp(kind, "verify") == 0 && strcmp(next->migration, id) == 0) {
        next->verified = shown(record);
        if (next->copied > 0 && next->verified > 0) {
            reading->rate = *next;
        }
    }
}

static bool on_record(void *context, struct slice text)
{
    /* Parsing is most of the work, and most records are of other kinds. */
    if (memmem(text.data, text.len, "\"backfill\"", 10) == NULL &&
        memmem(text.data, text.len, "\"verify\"", 8) == NULL) {
        return true;
    }
    json_t *record = json_loadb(text.data, text.len, 0, NULL);
    if (record != NULL) {
        rate_note(context, record);
    }
    json_decref(record);
    return true;
}

bool rate_read(struct store *store, struct rate *rate, struct error *err)
{
    struct rate_reading reading;
    rate_init(&reading);
    bool ok = store_journal(store, on_record, &reading, err);
    *rate = reading.rate;
    return ok;
}

static uint64_t lesser(uint64_t rate, uint64_t throttle)
{
    return throttle > 0 && throttle < rate ? throttle : rate;
}

/* The throttles hold for the copying, and again for the verification. */
static double walk_seconds(uint64_t rate, uint64_t keys, uint64_t bytes,
                           const struct migration_options *options)
{
    double seconds = (double)keys / (double)lesser(rate, options->keys_per_second);
    if (options->bytes_per_second == 0) {
        return seconds;
    }
    double by_bytes = (double)bytes / (double)options->bytes_per_second;
    return by_bytes > seconds ? by_bytes : seconds;
}

uint64_t rate_estimate_ms(const struct rate *rate, uint64_t keys, uint64_t bytes,
                          const struct migration_options *options)
{
    return (uint64_t)(1000 * (walk_seconds(rate->copied, keys, bytes, options) +
                              walk_seconds(rate->verified, keys, bytes, options)));
}
