/* How far a storage is: a message that visits every loop and brings home the positions of all streams,
 * its own and those that it follows. Loop 0 asks; one at a time. */
#ifndef CAIRN_STORAGE_SURVEY_H
#define CAIRN_STORAGE_SURVEY_H

#include "base/list.h"
#include "base/mem.h"
#include "io/io.h"

struct storage;

enum { SURVEY_ROWS_MAX = 8192 }; /* what a frame can carry; streams beyond are left out */

/** A stream of a storage of the group, as it is known here. */
struct survey_row {
    uint32_t machine;
    uint8_t mount, stream;
    uint32_t chunk;            /* highest number of a chunk of it that is kept here; 0: none */
    uint64_t incarnation, lsn; /* own: the last durable record; else followed up to here */
    uint64_t watermark;        /* of its ids */
};

/** Waits for a survey that begins after it was asked for. */
struct survey_waiter {
    struct list link;
    uint64_t number;
    void (*surveyed)(struct survey_waiter *waiter);
};

struct survey {
    struct io_message message;
    struct storage *storage;
    uint16_t at; /* loop */
    bool is_out, is_wanted;
    uint64_t number; /* of the newest that began */
    struct survey_row *rows;
    uint32_t count;
    bool is_cut; /* there are more rows than fit */
    struct list waiters;
};

/** Errors: BUSY, NO_RESOURCE. */
MUST err_t survey_init(
    struct survey *survey, struct storage *storage, struct mem *mem, struct owner *owner);
void survey_fini(struct survey *survey, struct mem *mem);
/** Loop 0: call waiter->surveyed once, after a whole survey; rows are good until it returns. Only
 * while all loops run. */
void survey_wait(struct survey *survey, struct survey_waiter *waiter);
/** The waiter does not wait any more; nothing to do if it did not. */
void survey_leave(struct survey_waiter *waiter);
/** The row of a stream; NULL: not known here. */
const struct survey_row *survey_find(
    const struct survey *survey, uint32_t machine, uint8_t mount, uint8_t stream);

#endif
