/* Pushing as a part of a storage's loop: what it gets from the configuration, and when it begins and ends. */
#include "storage/internal.h"

static void on_ahead(void *context, const struct push *push)
{
    struct storage_loop *loop = context;
    if (loop->on_behind_itself)
        loop->on_behind_itself(loop, push->machine);
}

static struct pushes_options options_of(struct storage_loop *loop)
{
    const struct storage *storage = loop->storage;
    const struct storage_config *config = &storage->config;
    return (struct pushes_options){.store = &loop->store,
        .net = &loop->net,
        .log = &loop->log,
        .node_secret = &storage->options.secrets->node,
        .uuid = storage->uuid,
        .peers_max = storage->budget.peers_max,
        .buffer_count = (uint32_t)config->push_buffers,
        .window = config->push_window_parsed,
        .rate = config->push_rate / storage->loop_count,
        .send_timeout_ns = config->send_timeout_ns,
        .on_ahead = on_ahead,
        .context = loop};
}

void push_members_changed(struct storage_loop *loop)
{
    if (loop->is_push_open)
        pushes_members(&loop->pushes, &loop->members);
    else if (loop->members.count > 0 && loop->phase < STORAGE_PHASE_DRAINING)
        EVENT(&loop->log, ERROR, "no_room_for_mirrors", &loop->owner,
            EVENT_NUMBER("members", loop->members.count));
}

err_t push_open(struct storage_loop *loop)
{
    struct pushes_options options = options_of(loop);
    if (options.peers_max > 0) {
        TRY(pushes_init(&loop->pushes, &options));
        loop->is_push_open = true;
    }
    members_hook(loop, push_members_changed);
    return ERR_OK;
}

bool push_rest(struct storage_loop *loop)
{
    if (!loop->is_push_open)
        return true;
    pushes_stop(&loop->pushes);
    return pushes_is_idle(&loop->pushes);
}

void push_close(struct storage_loop *loop)
{
    if (loop->is_push_open)
        pushes_fini(&loop->pushes);
    loop->is_push_open = false;
}
