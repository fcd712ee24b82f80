#include "sim/cluster_call.h"

#include <errno.h>

#include "base/units.h"
#include "sim/mem.h"

/* ---- content out ---- */

static void give_piece(struct cluster_call *call)
{
    size_t left = call->body->size - call->sent;
    size_t size = left < call->asked ? left : call->asked;
    if (call->piece_max > 0 && size > call->piece_max)
        size = call->piece_max;
    const uint8_t *data = call->body->data + call->sent;
    call->sent += size;
    client_source_lent(&call->source, data, size);
}

static void on_timer(struct io_op *timer)
{
    struct cluster_call *call = timer->context;
    if (timer->result == -ECANCELED)
        client_source_filled(&call->source, -ECANCELED);
    else
        give_piece(call);
}

static void source_fill(struct client_source *source, uint8_t *buffer, size_t size)
{
    struct cluster_call *call = CONTAINER_OF(source, struct cluster_call, source);
    struct io *io = call->op.client->io;
    (void)buffer;
    call->asked = size;
    if (!prng_chance(&call->prng, call->late_per_million)) {
        give_piece(call);
        return;
    }
    call->timer = (struct io_op){.kind = IO_TIMER,
        .fd = IO_FD_NONE,
        .deadline_ns = io_now(io) + prng_below(&call->prng, call->late_ns + 1),
        .owner = &call->owner,
        .wake = on_timer,
        .context = call};
    io_submit(io, &call->timer);
}

static bool source_rewind(struct client_source *source)
{
    CONTAINER_OF(source, struct cluster_call, source)->sent = 0;
    return true;
}

static void source_cancel(struct client_source *source)
{
    struct cluster_call *call = CONTAINER_OF(source, struct cluster_call, source);
    io_cancel(call->op.client->io, &call->timer);
}

/* ---- content in ---- */

static err_t sink_take(struct client_sink *sink, struct span data)
{
    struct cluster_call *call = CONTAINER_OF(sink, struct cluster_call, sink);
    if (call->found_size + data.size > call->found_capacity) {
        call->found_capacity = (call->found_size + data.size) * 2;
        call->found = sim_grow(call->found, call->found_capacity);
    }
    if (data.size > 0)
        memcpy(call->found + call->found_size, data.data, data.size);
    call->found_size += data.size;
    return ERR_OK;
}

/* ---- life ---- */

static void on_done(struct client_op *op)
{
    struct cluster_call *call = op->context;
    call->err = op->machine.err;
    call->is_done = true;
    call->was_cut_off = err_is(call->err) && call->found_size > 0;
    if (!err_is(call->err) && op->type == MSG_UPLOAD) {
        bool does_fit = span_to_text(op->reply.uploaded.id, call->id, sizeof call->id);
        CHECK(does_fit);
    }
    owner_close(&call->owner);
}

struct cluster_call *cluster_call_new(struct cluster *cluster, uint8_t type, uint64_t seed)
{
    struct cluster_call *call = SIM_NEW(struct cluster_call);
    call->cluster = cluster;
    call->op.type = type;
    prng_init(&call->prng, seed);
    return call;
}

void cluster_call_free(struct cluster_call *call)
{
    model_content_unref(call->body);
    sim_free(call->found);
    sim_free(call);
}

static void set_id(struct cluster_call *call)
{
    struct span id = span_of_text(call->id);
    union client_request *request = &call->op.request;
    if (call->op.type == MSG_FIND)
        request->find.id = id;
    else if (call->op.type == MSG_MODIFY)
        request->modify.id = id;
    else if (call->op.type == MSG_DELETE)
        request->delete.id = id;
    else if (call->op.type == MSG_STAT)
        request->stat.id = id;
}

void cluster_call_start(struct cluster_call *call, unsigned client, uint32_t machine)
{
    struct client *through = &call->cluster->clients[client].client;
    set_id(call);
    io_tick(through->io); /* an idle loop has not looked at the clock for a while */
    owner_open(&call->owner, "call", DIRECTION_CLIENT, io_now(through->io));
    call->source = (struct client_source){
        .fill = source_fill, .rewind = source_rewind, .cancel = source_cancel};
    call->sink = (struct client_sink){.take = sink_take};
    call->op.done = on_done;
    call->op.context = call;
    call->op.machine_only = machine;
    if (call->body)
        call->op.source = &call->source;
    call->op.sink = &call->sink;
    client_start(through, &call->op);
}

static bool is_done(void *context)
{
    return ((const struct cluster_call *)context)->is_done;
}

void cluster_call_run(struct cluster_call *call, unsigned client, uint32_t machine)
{
    cluster_call_start(call, client, machine);
    bool has_ended = cluster_run_until(call->cluster, is_done, call, NS_PER_HOUR);
    CHECK(has_ended);
}
