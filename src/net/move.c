/* What a connection of the native protocol takes along to another loop (accepted_move.c): its
 * handshake, the bytes that were not read, and the request that makes it move. */
#include "net/connection.h"

void connection_leave(struct accepted *accepted)
{
    request_close(net_connection_of(accepted)->moving);
}

void connection_stay(struct accepted *accepted)
{
    struct net_request *request = net_connection_of(accepted)->moving;
    net_reply_error(request, ERR(BUSY, 0), (struct version){});
    net_request_end(request);
}

/* ---- on the other loop ---- */

static bool copy_unread(struct net_input *to, const struct net_input *from)
{
    uint32_t unread = from->end - from->begin;
    if (unread == 0)
        return true;
    to->small = net_buffer_take(&to->buffers->small, to->owner);
    if (!to->small)
        return false;
    memcpy(to->small->data, from->small->data + from->begin, unread);
    to->end = unread;
    return true;
}

static struct net_buffer *copy_frame(struct net_input *to, const struct net_request *from)
{
    struct net_buffers *buffers = to->buffers;
    bool is_large = from->buffer->capacity == NET_LARGE_SIZE;
    struct net_buffer *copy =
        net_buffer_take(is_large ? &buffers->large : &buffers->small, to->owner);
    if (!copy)
        return NULL;
    memcpy(copy->data, from->meta.data, from->meta.size);
    memcpy(copy->data + from->meta.size, from->data.data, from->data.size);
    return copy;
}

static void copy_state(struct net_connection *to, const struct net_connection *from)
{
    to->handshake = from->handshake;
    to->is_body_open = from->is_body_open;
    to->body_id = from->body_id;
    to->accepted.is_input_over = from->accepted.is_input_over;
    to->fault = from->fault;
    to->is_fault_told = from->is_fault_told;
}

static void copy_request(
    struct net_connection *to, const struct net_request *from, struct net_buffer *buffer)
{
    struct net_request *request = request_open(to);
    request->frame = from->frame;
    request->buffer = buffer;
    request->meta = span_of(buffer->data, from->meta.size);
    request->data = span_of(buffer->data + from->meta.size, from->data.size);
    request->has_more = from->has_more;
    if (to->is_body_open)
        to->body = request;
}

bool connection_take(struct accepted *accepted, struct accepted *accepted_from)
{
    struct net_connection *to = net_connection_of(accepted);
    const struct net_connection *from = net_connection_of(accepted_from);
    struct net_input *input = &accepted->stream.input;
    struct net_buffer *buffer = NULL;
    if (copy_unread(input, &accepted_from->stream.input))
        buffer = copy_frame(input, from->moving);
    if (buffer)
        to->spare = pool_take(&net_server_of(to)->requests, &accepted->machine.owner);
    if (!to->spare) {
        net_buffer_drop(&buffer);
        return false;
    }
    copy_state(to, from);
    copy_request(to, from->moving, buffer);
    return true;
}

void connection_taken(struct accepted *accepted)
{
    struct net_connection *c = net_connection_of(accepted);
    struct net_server *server = net_server_of(c);
    server->config.on_request(server, CONTAINER_OF(c->requests.next, struct net_request, link));
}
