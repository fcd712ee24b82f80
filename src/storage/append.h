/* The step that all changes share: a record goes into the log, with room waited for. */
#ifndef CAIRN_STORAGE_APPEND_H
#define CAIRN_STORAGE_APPEND_H

#include "disk/stream.h"

enum append_result { APPEND_DONE, APPEND_WAIT, APPEND_FAILED };

/** Append `record` for `machine`, which arrives when its commit has ended (APPEND_DONE). APPEND_WAIT:
 * there is no room; call again when `machine` has arrived. APPEND_FAILED: *ret_err. */
enum append_result change_append(struct stream *stream, struct log_append *append,
    struct log_waiter *waiter, const struct record *record, struct machine *machine,
    err_t *ret_err);

#endif
