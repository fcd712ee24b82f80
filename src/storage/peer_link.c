#include "storage/peer_link.h"

#include "base/units.h"
#include "storage/server.h"

static void over(struct peer_link *link, err_t err)
{
    struct machine *machine = link->machine;
    link->machine = NULL;
    link->is_out = false;
    if (!err_is(link->err))
        link->err = err;
    if (machine)
        machine_arrive(machine);
}

static void on_frame(
    struct net_call *call, const struct frame *frame, struct span meta, struct span data)
{
    struct peer_link *link = call->context;
    if (frame->type != MSG_DATA) {
        link->type = frame->type;
        link->meta_size = meta.size < sizeof link->meta ? meta.size : sizeof link->meta;
        memcpy(link->meta, meta.data, link->meta_size);
    }
    if (data.size > link->capacity - link->size) {
        link->err = ERR(TOO_LARGE, 0);
        return;
    }
    if (data.size > 0)
        memcpy(link->data + link->size, data.data, data.size);
    link->size += data.size;
}

static void on_end(struct net_call *call, err_t err)
{
    over(call->context, err);
}

static void on_closed(struct net_client *client, err_t err)
{
    struct peer_link *link = client->config.context;
    (void)err; /* its call was told */
    link->is_hung_up = false;
}

static bool speaks_to(const struct peer_link *link, const struct member *member)
{
    const struct io_address *a = &link->client.config.address, *b = &member->address;
    return link->client.is_running && !link->is_hung_up && a->port == b->port
           && a->family == b->family && memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

static err_t connect_to(struct peer_link *link, const struct member *member)
{
    const struct storage *storage = link->loop->storage;
    return net_client_start(&link->client, &link->loop->net,
        &(struct net_client_config){.address = member->address,
            .secret = &storage->options.secrets->node,
            .role = ROLE_NODE,
            .direction = DIRECTION_REBUILD,
            .machine = storage->config.machine_number,
            .call_max = PEER_LINK_CALLS,
            .connect_timeout_ns = PEER_LINK_TIMEOUT_S * NS_PER_S / 6,
            .send_timeout_ns = PEER_LINK_TIMEOUT_S * NS_PER_S,
            .on_closed = on_closed,
            .context = link});
}

static struct peer_link *line_of(struct peer_link *link)
{
    return link->through ? link->through : link;
}

err_t peer_link_begin(struct peer_link *link, struct storage_loop *loop,
    const struct member *member, struct writer *ret_fields)
{
    CHECK(!link->is_out);
    struct peer_link *line = line_of(link);
    bool is_here = line->loop == loop && speaks_to(line, member);
    if (!is_here && line->client.is_running)
        return ERR(BUSY, 0);
    line->loop = link->loop = loop;
    if (!is_here)
        TRY(connect_to(line, member));
    link->call = (struct net_call){.on_frame = on_frame,
        .on_end = on_end,
        .context = link,
        .deadline_ns = io_now(loop->io) + PEER_LINK_TIMEOUT_S * NS_PER_S};
    link->body = (struct iovec){0};
    *ret_fields = net_call_begin(&link->call);
    return ERR_OK;
}

void peer_link_ask(
    struct peer_link *link, uint8_t type, const struct writer *fields, struct machine *machine)
{
    link->err = ERR_OK;
    link->type = 0;
    link->size = link->meta_size = 0;
    link->machine = machine;
    link->is_out = true;
    err_t err = net_call_start(
        &line_of(link)->client, &link->call, type, 0, fields, &link->body, link->body.iov_len > 0);
    if (err_is(err))
        over(link, err);
}

void peer_link_hang_up(struct peer_link *link)
{
    if (!link->is_hung_up && link->client.is_running) {
        link->is_hung_up = true;
        net_client_close(&link->client);
    }
}

bool peer_link_is_idle(const struct peer_link *link)
{
    return link->through ? !link->is_out : !link->client.is_running;
}
