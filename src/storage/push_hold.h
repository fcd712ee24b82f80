/* Write concern: waits until mirrors hold a record of a stream durably.
 *
 *   fill -> push_hold_wait -> ... done (once; may come from inside)
 *
 * Ends when the level is reached, when it cannot be reached any more (every mirror holds the record or
 * never will by a push: it has something newer), or at the deadline. */
#ifndef CAIRN_STORAGE_PUSH_HOLD_H
#define CAIRN_STORAGE_PUSH_HOLD_H

#include "storage/members.h"
#include "wire/msg.h"

struct pushes;
struct push_stream;
struct stream;

enum { PUSH_HOLDERS_TEXT_MAX = (MEMBERS_MAX + 1) * 10 };

struct push_hold {
    struct list link; /* in stream->holds */
    struct push_stream *stream;
    uint64_t lsn;
    uint8_t level;        /* ACK_ONE, ACK_ALL */
    uint64_t deadline_ns; /* of the loop's clock */
    void (*done)(struct push_hold *hold);
    void *context;
    /* result */
    uint8_t reached;                     /* ACK_LOCAL .. ACK_ALL */
    uint32_t holder_count;               /* this storage is one */
    char holders[PUSH_HOLDERS_TEXT_MAX]; /* "m001,m002": this storage first */
};

/** Wait for `lsn` of `stream`, which is durable here. 0: everything that is durable now. */
void push_hold_wait(
    struct push_hold *hold, struct pushes *pushes, const struct stream *stream, uint64_t lsn);

/** Members that count: 0: nobody could hold anything. */
uint32_t pushes_mirror_count(const struct pushes *pushes);

#endif
