/* Whole files, written so that a crash leaves the old one or the new one. Control plane only. */
#ifndef LIB_BASE_FILE_H
#define LIB_BASE_FILE_H

#include "lib/base/buffer.h"
#include "lib/base/error.h"

/* Appends the file's bytes to `content`. False with errno's words (ENOENT sets *is_missing, which
 * may be null). */
bool file_read(const char *path, struct buffer *content, bool *is_missing, struct error *err)
    __attribute__((warn_unused_result));
/* Creates or truncates, writes all, fsyncs the file (not its folder). */
bool file_write(const char *path, struct slice content, struct error *err)
    __attribute__((warn_unused_result));
/* fsync of a folder: names created in it survive a power cut. */
bool file_sync_folder(const char *path, struct error *err) __attribute__((warn_unused_result));

#endif
