/* A few threads that do what waits for a device, in the order given, several at once.
 *
 *   workers_start -> workers_give (-> workers_take_back)* -> done(op) -> workers_end
 *
 * For backends without a kernel that does it. An operation given is the workers' until `done`. */
#ifndef CAIRN_IO_WORKERS_H
#define CAIRN_IO_WORKERS_H

#include <pthread.h>

#include "io/io.h"

enum { WORKERS_MAX = 16 };

struct workers {
    pthread_mutex_t lock;
    pthread_cond_t has_work;
    struct list queue; /* of op->link */
    bool is_ending;
    /** Called by a worker: op ends with `result`. */
    void (*done)(void *context, struct io_op *op, int64_t result);
    void *context;
    unsigned count;
    pthread_t threads[WORKERS_MAX];
};

/** Start `count` threads, which take no signals. Errors: NO_RESOURCE; then there are none. */
MUST err_t workers_start(struct workers *workers, unsigned count,
    void (*done)(void *context, struct io_op *op, int64_t result), void *context);
/** plain_run(op) on one of the threads. */
void workers_give(struct workers *workers, struct io_op *op);
/** True: no thread had begun `op`, and none will; `done` is not called. */
MUST bool workers_take_back(struct workers *workers, struct io_op *op);
/** Wait for the threads to end. CHECKs that nothing waits for them. */
void workers_end(struct workers *workers);

#endif
