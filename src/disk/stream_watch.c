/* Telling those who follow a stream that its log has moved.
 *
 *   commit -> kick -> [run queue] TELL each watcher -> SLEEP -> ... -> UNWIND -> DONE */
#include "disk/stream.h"

enum { WATCH_SLEEP, WATCH_TELL, WATCH_UNWIND, WATCH_DONE, WATCH_STAGES };

static struct stream *stream_of(struct machine *machine)
{
    return CONTAINER_OF(machine, struct stream, watch);
}

static int watch_sleep(struct machine *machine)
{
    struct stream *stream = stream_of(machine);
    if (stream->closing == STREAM_CLOSING_LOG)
        return WATCH_UNWIND;
    stream->is_watch_idle = true;
    return machine_wait_in(machine, WATCH_TELL, 1);
}

static int watch_tell(struct machine *machine)
{
    struct stream *stream = stream_of(machine);
    struct list told;
    stream->tells_applied = false;
    list_init(&told);
    for (struct list *node; (node = list_pop_front(&stream->watchers)) != NULL;)
        list_push_back(&told, node);
    for (struct list *node; (node = list_pop_front(&told)) != NULL;) {
        struct stream_watcher *watcher = CONTAINER_OF(node, struct stream_watcher, link);
        list_push_back(&stream->watchers, node);
        watcher->moved(watcher);
    }
    return WATCH_SLEEP;
}

static int watch_unwind(struct machine *machine)
{
    (void)machine;
    return WATCH_DONE;
}

static int watch_done(struct machine *machine)
{
    owner_close(&machine->owner);
    return STAGE_END;
}

static const struct stage watch_stages[WATCH_STAGES] = {
    [WATCH_SLEEP] = {"sleep", watch_sleep, BIT(WATCH_TELL), 0},
    [WATCH_TELL] = {"tell", watch_tell, BIT(WATCH_SLEEP), STAGE_RESTS},
    [WATCH_UNWIND] = {"unwind", watch_unwind, BIT(WATCH_DONE), 0},
    [WATCH_DONE] = {"done", watch_done, 0, 0},
};
static const struct machine_kind watch_kind = {
    "log-watch", watch_stages, WATCH_STAGES, WATCH_UNWIND, WATCH_DONE};

void stream_watch_start(struct stream *stream)
{
    machine_start(&stream->watch, &watch_kind, &stream->options.io->run, DIRECTION_OWN);
}

static void wake(struct stream *stream)
{
    if (!stream->is_watch_idle)
        return;
    stream->is_watch_idle = false;
    machine_arrive(&stream->watch);
}

void stream_watch_kick(struct stream *stream)
{
    if (!list_is_empty(&stream->watchers))
        wake(stream);
}

void stream_watch_stop(struct stream *stream)
{
    CHECK(list_is_empty(&stream->watchers));
    wake(stream);
}

void stream_watch(struct stream *stream, struct stream_watcher *watcher)
{
    list_push_back(&stream->watchers, &watcher->link);
}

void stream_unwatch(struct stream_watcher *watcher)
{
    if (list_is_linked(&watcher->link))
        list_remove(&watcher->link);
}

bool stream_retain_is_broken(const struct stream *stream)
{
    uint64_t first = log_tail_first(&stream->tail);
    return first > 0 && first - 1 > stream->log.lsn_retained;
}
