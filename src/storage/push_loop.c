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

/* ---- write concern, for the doors ---- */

err_t push_check_ack(const struct storage_loop *loop, uint8_t *ack, const char **ret_text)
{
    bool has_mirrors = loop->is_push_open && pushes_mirror_count(&loop->pushes) > 0;
    if (*ack == 0)
        *ack = (uint8_t)(ACK_MEMORY + loop->storage->config.ack);
    *ret_text = "no mirror holds it: this storage knows no other in its group; ask for local or "
                "memory";
    if ((*ack == ACK_ONE || *ack == ACK_ALL) && !has_mirrors)
        return ERR(UNAVAILABLE, 0);
    *ret_text = "no such acknowledgement level";
    return *ack <= ACK_ALL ? ERR_OK : ERR(USAGE, 0);
}

void push_hold_none(struct push_hold *hold, const struct storage_loop *loop, uint8_t reached)
{
    struct text text;
    text_init(&text, hold->holders, sizeof hold->holders);
    if (reached >= ACK_LOCAL)
        text_add(&text, "m%03u", loop->storage->config.machine_number);
    hold->reached = reached;
    hold->holder_count = 1;
}

void push_hold_append(struct push_hold *hold, struct storage_loop *loop,
    const struct stream *stream, const struct log_append *append, uint8_t level)
{
    hold->level = level;
    hold->deadline_ns = io_now(loop->io) + loop->storage->config.ack_timeout_ns;
    push_hold_wait(hold, &loop->pushes, stream, append->record.lsn);
}
