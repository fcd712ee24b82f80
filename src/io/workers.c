#include "io/workers.h"

#include <signal.h>

#include "io/plain.h"

enum { STACK_SIZE = 256 * 1024 };

/* The next operation, or NULL when the threads are to end. */
static struct io_op *next_wait(struct workers *workers)
{
    (void)pthread_mutex_lock(&workers->lock);
    while (list_is_empty(&workers->queue) && !workers->is_ending)
        (void)pthread_cond_wait(&workers->has_work, &workers->lock);
    struct list *node = list_pop_front(&workers->queue);
    (void)pthread_mutex_unlock(&workers->lock);
    return node ? CONTAINER_OF(node, struct io_op, link) : NULL;
}

static void *work(void *context)
{
    struct workers *workers = context;
    struct io_op *op;
    while ((op = next_wait(workers)) != NULL)
        workers->done(workers->context, op, plain_run(op));
    return NULL;
}

/* Signals are for the loop that watches them. */
static int thread_start(struct workers *workers, pthread_t *ret)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error != 0)
        return error;
    (void)pthread_attr_setstacksize(&attributes, STACK_SIZE);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(ret, &attributes, work, workers);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    return error;
}

err_t workers_start(struct workers *workers, unsigned count,
    void (*done)(void *context, struct io_op *op, int64_t result), void *context)
{
    CHECK(count > 0 && count <= WORKERS_MAX);
    *workers = (struct workers){.done = done, .context = context};
    list_init(&workers->queue);
    (void)pthread_mutex_init(&workers->lock, NULL);
    (void)pthread_cond_init(&workers->has_work, NULL);
    for (; workers->count < count; workers->count++) {
        int error = thread_start(workers, &workers->threads[workers->count]);
        if (error != 0) {
            workers_end(workers);
            return ERR(NO_RESOURCE, error);
        }
    }
    return ERR_OK;
}

void workers_give(struct workers *workers, struct io_op *op)
{
    (void)pthread_mutex_lock(&workers->lock);
    list_push_back(&workers->queue, &op->link);
    (void)pthread_mutex_unlock(&workers->lock);
    (void)pthread_cond_signal(&workers->has_work);
}

bool workers_take_back(struct workers *workers, struct io_op *op)
{
    (void)pthread_mutex_lock(&workers->lock);
    bool is_waiting = list_is_linked(&op->link);
    if (is_waiting)
        list_remove(&op->link);
    (void)pthread_mutex_unlock(&workers->lock);
    return is_waiting;
}

void workers_end(struct workers *workers)
{
    (void)pthread_mutex_lock(&workers->lock);
    CHECK(list_is_empty(&workers->queue));
    workers->is_ending = true;
    (void)pthread_mutex_unlock(&workers->lock);
    (void)pthread_cond_broadcast(&workers->has_work);
    for (unsigned i = 0; i < workers->count; i++)
        (void)pthread_join(workers->threads[i], NULL);
    (void)pthread_cond_destroy(&workers->has_work);
    (void)pthread_mutex_destroy(&workers->lock);
}
