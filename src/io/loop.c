#include "io/loop.h"

static void loops_free(struct loop_group *group, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct io *io = group->loops[i].io;
        ledger_check_empty(&io->ledger);
        io->backend->free(io);
    }
}

static err_t loops_make(struct loop_group *group)
{
    for (uint16_t i = 0; i < group->options.count; i++) {
        struct backend_options options = {.choice = group->options.backend,
            .entries = group->options.entries,
            .loop_index = i,
            .loop_count = group->options.count,
            .pin = group->options.pin};
        group->loops[i] = (struct loop){.group = group, .index = i};
        err_t err = backend_io_new(&options, &group->loops[i].io);
        if (err_is(err)) {
            loops_free(group, i);
            return err;
        }
        if (i == 0) /* loops that post to each other have the same */
            group->options.backend = backend_choice_of(group->loops[0].io);
    }
    return ERR_OK;
}

static void body_run(struct loop *loop)
{
    const struct io_backend *backend = loop->io->backend;
    loop->group->body(loop->io, loop->index, loop->group->context);
    if (backend->leave != NULL)
        backend->leave(loop->io);
}

static void *loop_run(void *context)
{
    struct loop *loop = context;
    struct loop_group *group = loop->group;
    (void)pthread_mutex_lock(&group->gate);
    bool is_given_up = group->is_given_up;
    (void)pthread_mutex_unlock(&group->gate);
    if (!is_given_up)
        body_run(loop);
    return NULL;
}

static unsigned first_thread(const struct loop_group *group)
{
    return group->options.first_here ? 1 : 0;
}

static void threads_join(struct loop_group *group, unsigned end)
{
    for (unsigned i = first_thread(group); i < end; i++)
        (void)pthread_join(group->loops[i].thread, NULL);
}

static int threads_start(struct loop_group *group, unsigned *ret_end)
{
    int error = 0;
    unsigned i = first_thread(group);
    for (; i < group->options.count && error == 0; i++)
        error = pthread_create(&group->loops[i].thread, NULL, loop_run, &group->loops[i]);
    *ret_end = error == 0 ? i : i - 1;
    return error;
}

err_t loop_group_start(struct loop_group *group, const struct loop_group_options *options,
    loop_body_fn *body, void *context)
{
    CHECK(options->count > 0 && options->count <= LOOP_COUNT_MAX);
    *group = (struct loop_group){.options = *options, .body = body, .context = context};
    TRY(loops_make(group));
    (void)pthread_mutex_init(&group->gate, NULL);
    (void)pthread_mutex_lock(&group->gate);
    unsigned end;
    int error = threads_start(group, &end);
    group->is_given_up = error != 0;
    (void)pthread_mutex_unlock(&group->gate);
    if (error == 0)
        return ERR_OK;
    threads_join(group, end);
    loops_free(group, options->count);
    (void)pthread_mutex_destroy(&group->gate);
    return ERR(NO_RESOURCE, error);
}

void loop_group_join(struct loop_group *group)
{
    if (group->options.first_here)
        body_run(&group->loops[0]);
    threads_join(group, group->options.count);
    loops_free(group, group->options.count);
    (void)pthread_mutex_destroy(&group->gate);
}

struct io *loop_group_io(const struct loop_group *group, uint16_t index)
{
    CHECK(index < group->options.count);
    return group->loops[index].io;
}
