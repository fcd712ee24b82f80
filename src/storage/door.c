#include "storage/door.h"

#include "storage/server.h"

err_t door_open(struct door *door, struct storage_loop *loop, const char *name,
    const char *pool_name, size_t op_size, uint64_t op_max)
{
    *door = (struct door){.loop = loop};
    owner_open(&door->owner, name, DIRECTION_OWN, io_now(loop->io));
    list_init(&door->running);
    err_t err = pool_init(&door->ops, &loop->mem, &loop->io->ledger, pool_name, op_size,
        (size_t)op_max, 0, &door->owner);
    if (err_is(err))
        owner_close(&door->owner);
    door->is_open = !err_is(err);
    return err;
}

struct exchange_config door_listen(
    struct door *door, const struct io_address *address, const struct io_address *shared)
{
    const struct storage_loop *loop = door->loop;
    return (struct exchange_config){.address = loop->index == 0 ? *address : *shared,
        .listen_index = loop->index,
        .listen_count = loop->storage->loop_count,
        .ops = &door->ops,
        .send_timeout_ns = loop->storage->config.send_timeout_ns};
}

void door_drain(struct door *door)
{
    if (door->server)
        acceptor_drain(&door->server->acceptor);
}

void door_cut(struct door *door)
{
    if (door->server)
        acceptor_cut(&door->server->acceptor);
}

bool door_is_idle(const struct door *door)
{
    return door->running_count == 0 && (!door->server || acceptor_is_idle(&door->server->acceptor));
}

void door_close(struct door *door)
{
    if (door->server)
        acceptor_fini(&door->server->acceptor);
    if (door->is_open) {
        CHECK(door->running_count == 0);
        pool_fini(&door->ops);
        owner_close(&door->owner);
    }
    door->is_open = false;
    door->server = NULL;
}

/* ---- operations ---- */

void *door_op_open(struct door *door, struct exchange *exchange, size_t clear_size)
{
    struct door_op *op = exchange->room;
    if (!op)
        return NULL;
    exchange->room = NULL;
    ledger_pass(pool_held(&door->ops, op), &door->owner);
    memset(op, 0, clear_size);
    op->door = door;
    op->loop = door->loop;
    op->exchange = exchange;
    exchange->op = op;
    list_push_back(&door->running, &op->link);
    door->running_count++;
    return op;
}

void door_op_close(struct door_op *op)
{
    struct door *door = op->door;
    list_remove(&op->link);
    door->running_count--;
    pool_give(&door->ops, op);
}

void door_op_leave(struct door_op *op)
{
    struct exchange *exchange = op->exchange;
    CHECK(!exchange->is_ended && !exchange->room);
    list_remove(&op->link);
    op->door->running_count--;
    exchange->op = NULL;
    exchange->room = op;
}

/* ---- content ---- */

static void woken(struct door_op *op)
{
    void (*begin)(struct door_op *) = op->begin;
    op->begin = NULL;
    if (begin)
        begin(op);
    else
        machine_arrive(op->body_machine);
}

static void pulled(struct exchange *exchange)
{
    struct door_op *op = exchange->op;
    op->loop->counters.bytes_in += exchange->data.size;
    op->body.err = exchange->body_err;
    if (!op->filter) {
        op->body.data = exchange->data;
        op->body.is_last = !exchange->has_more;
    }
    op->piece = exchange->data;
    if (!err_is(exchange->body_err) && op->filter && !op->filter(op))
        exchange_next_data(exchange, pulled);
    else
        woken(op);
}

/* Content that is there already still has to arrive later: by way of the run queue. */
static void body_next(struct body *body, struct machine *machine)
{
    struct door_op *op = CONTAINER_OF(body, struct door_op, body);
    op->body_machine = machine;
    body->data = span_of(NULL, 0);
    if (op->filter && op->filter(op))
        machine_arrive(machine);
    else
        exchange_next_data(op->exchange, pulled);
}

void door_body_begin(struct door_op *op, void (*begin)(struct door_op *op))
{
    op->body = (struct body){.is_last = !op->exchange->has_more, .next = body_next};
    op->begin = begin;
    if (op->exchange->has_more)
        exchange_next_data(op->exchange, pulled);
    else
        woken(op);
}

void door_piece_sent(struct exchange *exchange, err_t err)
{
    struct door_op *op = exchange->op;
    op->outlet.err = err;
    machine_arrive(op->outlet_machine);
}
