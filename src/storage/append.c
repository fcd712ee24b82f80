#include "storage/append.h"

enum append_result change_append(struct stream *stream, struct log_append *append,
    struct log_waiter *waiter, const struct record *record, struct machine *machine, err_t *ret_err)
{
    if (stream->state != STREAM_OPEN) {
        *ret_err = ERR(OFFLINE, 0);
        return APPEND_FAILED;
    }
    if (!binlog_has_room(&stream->log, record_size(record))) {
        binlog_wait(&stream->log, waiter, machine);
        return APPEND_WAIT;
    }
    *ret_err = binlog_append(&stream->log, append, record, machine);
    return err_is(*ret_err) ? APPEND_FAILED : APPEND_DONE;
}
