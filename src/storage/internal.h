/* What the files of the storage server share. */
#ifndef CAIRN_STORAGE_INTERNAL_H
#define CAIRN_STORAGE_INTERNAL_H

#include "storage/push_hold.h"
#include "storage/server.h"

enum {
    STORAGE_TICK_MS = 100,
    STORAGE_REFRESH_MS = 1000,
    STORAGE_STATUS_S = 60,
    STORAGE_MIRROR_IDLE_S = 60
};

/* ---- member.c: what each loop does ---- */

/** The net layer of a loop, once: before the streams are open if loop 0 has to wait.
 * Errors: BUSY, NO_RESOURCE. */
MUST err_t member_open_net(struct storage_loop *loop);
/** Begin what `loop->command` says. */
void member_obey(struct storage_loop *loop);
/** After a turn: has what takes time (open, drain, close) come to its end? Then answer. */
void member_go_on(struct storage_loop *loop);
/** Report `verb` as done to loop 0. */
void member_answer(struct storage_loop *loop, enum storage_verb verb);
/** store.on_fence. */
void member_on_fence(void *context, uint8_t mount, err_t err);

/* ---- push_loop.c ---- */

/** Streams are open: get ready to push them. Errors: BUSY, NO_RESOURCE. */
MUST err_t push_open(struct storage_loop *loop);
/** A hook of members.h. */
void push_members_changed(struct storage_loop *loop);
/** Nothing more is to be pushed: true when all connections are closed. */
bool push_rest(struct storage_loop *loop);
void push_close(struct storage_loop *loop);
/** Is this acknowledgement level one that we can give? 0 becomes the storage's own. Errors: USAGE (no
 * level), UNAVAILABLE (there is no mirror): *ret_text says more. */
MUST err_t push_check_ack(const struct storage_loop *loop, uint8_t *ack, const char **ret_text);
/** What a change itself waits for: the rest is up to the mirrors. */
static inline uint8_t push_own_ack(uint8_t ack)
{
    return ack < ACK_LOCAL ? ack : ACK_LOCAL;
}
/** Who holds a change that has not been to mirrors: this storage, if `reached` is durable. */
void push_hold_none(struct push_hold *hold, const struct storage_loop *loop, uint8_t reached);
/** Wait until mirrors hold `append` (nothing was appended: what is durable now) of `stream` (NULL:
 * nothing to wait for) at `level`, up to ack_timeout. hold->done and ->context are the caller's. */
void push_hold_append(struct push_hold *hold, struct storage_loop *loop,
    const struct stream *stream, const struct log_append *append, uint8_t level);

/* ---- tour.c ---- */

/** Loop 0: begin a tour, now or when the present one is home. */
void tour_request(struct storage *storage);
/** Loop 0: call waiter->toured once, after a whole tour. */
void tour_wait(struct storage *storage, struct storage_tour_waiter *waiter);
/** Loop 0: a loop names mount points that failed there. */
void tour_on_fence_word(struct io *here, struct io_message *message);

/* ---- status.c: sums over the loops, of the last tour ---- */

struct storage_counters report_sum_counters(const struct storage *storage);
struct storage_mount_report report_sum_mount(const struct storage *storage, uint32_t position);

/* ---- beat.c: what loop 0 does each second, and its heartbeats ---- */

/** Once. Before the loops run it does no more than heartbeats and contacts. */
void beat_start(struct storage *storage);
void beat_stop(struct storage *storage);
/** MEMBER_NEW, MEMBER_DRAINING. */
uint8_t beat_flags(const struct storage *storage);
bool beat_is_idle(const struct storage *storage);
void beat_refresh_soon(struct storage *storage);
/** Room for uploads and size of all mount points: what their disks have left above the reserve, and
 * what small files can reuse in chunks that are there. As of the last tour. */
void storage_space(const struct storage *storage, uint64_t *ret_total, uint64_t *ret_free);
/** The state has changed: tell trackers and loops. */
void beat_set_state(struct storage *storage, uint8_t state);

#endif
