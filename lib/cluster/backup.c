/* The file: a line "sluice-backup 1 <bytes of the document>", the document, then a record of the
 * journal a line, and a last line "end <records>", by which one that was cut short is known. */
#include "lib/cluster/backup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/memory.h"
#include "lib/topology/document.h"

#define FILE_MAX_BYTES ((size_t)4 << 30)

/* --- into a store -------------------------------------------------------------------------- */

static bool is_first(void *context, struct slice record)
{
    (void)record;
    *(bool *)context = true;
    return false;
}

static bool check_empty(struct store *to, struct error *err)
{
    bool is_missing = false, has_records = false;
    struct topology *topology = store_read(to, &is_missing, err);
    if (topology != NULL) {
        (void)error_set(err, "there is a topology in %s already, of epoch %llu", store_url(to),
                        (unsigned long long)topology->epoch);
        topology_free(topology);
        return false;
    }
    if (!is_missing || !store_prepare(to, err) || !store_journal(to, is_first, &has_records, err)) {
        return false;
    }
    return !has_records ||
           error_set(err,
                     "there is a journal without a topology in %s: a copy was cut short; remove "
                     "what is there, or name another place",
                     store_url(to));
}

struct carrying {
    struct store *to;
    uint64_t records;
    bool has_failed;
    struct error *err;
};

static bool carry_record(void *context, struct slice record)
{
    struct carrying *carrying = context;
    carrying->has_failed = !store_append(carrying->to, record, carrying->err);
    carrying->records += carrying->has_failed ? 0 : 1;
    return !carrying->has_failed;
}

/* The end of it: from here on programs start on the store. */
static bool import_topology(struct store *to, const struct topology *topology, struct error *err)
{
    switch (store_import(to, topology, err)) {
    case CAS_DONE:
        return true;
    case CAS_UNKNOWN:
        return error_prefix(err, "whether the topology was written is unknown: look with "
                                 "sluicectl status");
    case CAS_LOST:
    case CAS_FAILED:
        break;
    }
    return false;
}

bool backup_copy(struct store *from, struct store *to, struct backup_extent *extent,
                 struct error *err)
{
    struct carrying carrying = {.to = to, .err = err};
    if (!check_empty(to, err)) {
        return false;
    }
    struct topology *topology = store_read(from, NULL, err);
    bool ok = topology != NULL && store_journal(from, carry_record, &carrying, err) &&
              !carrying.has_failed && import_topology(to, topology, err);
    if (ok) {
        *extent = (struct backup_extent){topology->epoch, carrying.records};
    }
    topology_free(topology);
    return ok;
}

/* --- into a file --------------------------------------------------------------------------- */

struct writing {
    FILE *file;
    uint64_t records;
};

static bool write_record(void *context, struct slice record)
{
    struct writing *writing = context;
    (void)fwrite(record.data, 1, record.len, writing->file); /* ferror tells */
    (void)fputc('\n', writing->file);
    writing->records++;
    return ferror(writing->file) == 0;
}

static void write_document(FILE *file, const struct topology *topology)
{
    struct buffer text;
    buffer_init(&text, SIZE_MAX);
    document_format(topology, &text);
    struct slice document = buffer_slice(&text);
    (void)fprintf(file, "sluice-backup 1 %zu\n", document.len);
    (void)fwrite(document.data, 1, document.len, file); /* ferror tells */
    buffer_fini(&text);
}

static bool write_all(struct store *from, FILE *file, struct backup_extent *extent,
                      struct error *err)
{
    struct writing writing = {.file = file};
    struct topology *topology = store_read(from, NULL, err);
    if (topology == NULL) {
        return false;
    }
    write_document(file, topology);
    bool ok = store_journal(from, write_record, &writing, err);
    (void)fprintf(file, "end %llu\n", (unsigned long long)writing.records);
    *extent = (struct backup_extent){topology->epoch, writing.records};
    topology_free(topology);
    if (ok && (fflush(file) != 0 || ferror(file) != 0 || fsync(fileno(file)) != 0)) {
        ok = error_set(err, "cannot write the backup: %s", strerror(errno));
    }
    return ok;
}

bool backup_write(struct store *from, const char *path, struct backup_extent *extent,
                  struct error *err)
{
    char *tmp = mem_printf("%s.tmp", path);
    FILE *file = fopen(tmp, "we");
    bool ok = file != NULL || error_set(err, "cannot make \"%s\": %s", tmp, strerror(errno));
    if (file != NULL) {
        ok = write_all(from, file, extent, err);
        (void)fclose(file);
    }
    if (ok && rename(tmp, path) != 0) {
        ok = error_set(err, "cannot rename \"%s\": %s", tmp, strerror(errno));
    }
    if (!ok) {
        (void)unlink(tmp); /* of no use to anybody */
    }
    mem_free(tmp);
    return ok;
}

/* --- out of a file ------------------------------------------------------------------------- */

/* The next line without its newline; false at the end. */
static bool next_line(struct slice *rest, struct slice *line)
{
    const char *end = rest->len > 0 ? memchr(rest->data, '\n', rest->len) : NULL;
    if (end == NULL) {
        return false;
    }
    *line = (struct slice){rest->data, (size_t)(end - rest->data)};
    *rest = (struct slice){end + 1, rest->len - line->len - 1};
    return true;
}

static bool cut_short(const char *path, struct error *err)
{
    return error_set(err, "\"%s\" is no whole backup of a store", path);
}

/* The document is cut off the front of *rest. */
static struct topology *parse_front(const char *path, struct slice *rest, struct error *err)
{
    struct slice line;
    char text[64];
    size_t bytes = 0;
    if (!next_line(rest, &line) || line.len >= sizeof(text)) {
        (void)cut_short(path, err);
        return NULL;
    }
    memcpy(text, line.data, line.len);
    text[line.len] = '\0';
    if (sscanf(text, "sluice-backup 1 %zu", &bytes) != 1 || bytes > rest->len) {
        (void)cut_short(path, err);
        return NULL;
    }
    struct topology *topology = document_parse((struct slice){rest->data, bytes}, err);
    *rest = (struct slice){rest->data + bytes, rest->len - bytes};
    return topology;
}

/* Two passes: nothing is written before the end was seen. */
static bool check_records(const char *path, struct slice rest, uint64_t *records, struct error *err)
{
    struct slice line = {"", 0};
    char end[40];
    *records = 0;
    while (next_line(&rest, &line) && line.len > 0 && line.data[0] == '{') {
        (*records)++;
    }
    (void)snprintf(end, sizeof(end), "end %llu", (unsigned long long)*records);
    return (rest.len == 0 && slice_equal(line, slice_of(end))) || cut_short(path, err);
}

static bool restore_text(const char *path, struct slice rest, struct store *to,
                         struct backup_extent *extent, struct error *err)
{
    struct topology *topology = parse_front(path, &rest, err);
    bool ok = topology != NULL && check_records(path, rest, &extent->records, err) &&
              check_empty(to, err);
    for (uint64_t i = 0; ok && i < extent->records; i++) {
        struct slice record;
        ok = next_line(&rest, &record) && store_append(to, record, err);
    }
    ok = ok && import_topology(to, topology, err);
    extent->epoch = ok ? topology->epoch : 0;
    topology_free(topology);
    return ok;
}

bool backup_restore(const char *path, struct store *to, struct backup_extent *extent,
                    struct error *err)
{
    struct buffer text;
    buffer_init(&text, FILE_MAX_BYTES);
    bool ok = file_read(path, &text, NULL, err) &&
              restore_text(path, buffer_slice(&text), to, extent, err);
    buffer_fini(&text);
    return ok;
}
