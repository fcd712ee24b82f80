/* The loops of one process: one backend and one thread each, sharing nothing but mailboxes.
 *
 *   loop_group_start -> (bodies run) -> loop_group_join
 *
 * All loops exist before the first body runs, so a body may post to any of them at once. A loop is
 * given back only after every body has returned: until then it may be posted to, and the message
 * stays undelivered if its loop does not turn any more. */
#ifndef CAIRN_IO_LOOP_H
#define CAIRN_IO_LOOP_H

#include <pthread.h>

#include "io/backend.h"

enum { LOOP_COUNT_MAX = 64 };

/** Runs one loop until it is to end; it returns when the loop holds nothing. */
typedef void loop_body_fn(struct io *io, uint16_t loop_index, void *context);

struct loop_group_options {
    enum backend_choice backend; /* all loops have the same */
    uint16_t count;              /* 1..LOOP_COUNT_MAX */
    unsigned entries;            /* of each ring; 0: the default of uring.h */
    bool pin;                    /* pin each to a CPU if there are at least `count` */
    bool first_here;             /* loop 0 runs in loop_group_join(), on the thread that calls it */
};

struct loop {
    struct loop_group *group;
    struct io *io;
    pthread_t thread;
    uint16_t index;
};

struct loop_group {
    struct loop_group_options options;
    loop_body_fn *body;
    void *context;
    pthread_mutex_t gate; /* closed until every thread is there */
    bool is_given_up;
    struct loop loops[LOOP_COUNT_MAX];
};

/** Make the loops and start their bodies. `group` and `context` stay put until the join.
 * Errors: those of backend_io_new(); NO_RESOURCE (no thread). Then no body has run, and nothing is
 * held. */
MUST err_t loop_group_start(struct loop_group *group, const struct loop_group_options *options,
    loop_body_fn *body, void *context);

/** Run loop 0 if it is to run here, wait for all bodies, and give the loops back. CHECKs that they
 * hold nothing. */
void loop_group_join(struct loop_group *group);

/** The seam of loop `index`, for io_post(). */
struct io *loop_group_io(const struct loop_group *group, uint16_t index);

#endif
