/* The common part of the seam: ledger, handles, delivery. The backends do the rest. */
#include <errno.h>

#include "base/probe.h"
#include "io/io.h"

const char *io_kind_name(enum io_kind kind)
{
    static const char *const names[IO_KIND_COUNT] = {"nop", "open", "read", "write", "sync",
        "allocate", "punch", "resize", "rename", "unlink", "mkdir", "stat", "space", "lock", "list",
        "listen", "accept", "connect", "recv", "send", "shutdown", "timer"};
    CHECK(kind < IO_KIND_COUNT);
    return names[kind];
}

void io_init(struct io *io, const struct io_backend *backend)
{
    *io = (struct io){.backend = backend};
    ledger_init(&io->ledger);
    run_queue_init(&io->run);
}

static void op_enter_handle(struct io *io, struct io_op *op)
{
    bool opens = op->kind == IO_OPEN || op->kind == IO_LISTEN || op->kind == IO_ACCEPT
                 || op->kind == IO_CONNECT;
    if (!opens || op->result < 0)
        return;
    CHECK(op->ret_handle != NULL && op->ret_handle->fd == IO_FD_NONE);
    op->ret_handle->fd = (int)op->result;
    ledger_enter_at(&io->ledger, &op->ret_handle->held,
        &(struct claim){
            .kind = HELD_FD, .life = op->handle_life, .handle = op->result, .owner = op->owner},
        op->site);
}

void io_complete(struct io *io, struct io_op *op, int64_t result)
{
    op->result = result;
    ledger_release(&io->ledger, &op->held, (enum held_kind)op->held.kind);
    if (op->kind_refused != IO_NOP) { /* give the kind back: a retry must not become a NOP */
        op->kind = op->kind_refused;
        op->kind_refused = IO_NOP;
    }
    PROBE4(io__complete, op->owner->operation, (int)op->kind, op->fd, op->result);
    op_enter_handle(io, op);
    op->wake(op);
}

size_t io_complete_all(struct io *io, struct list *done)
{
    size_t count = 0;
    struct list *last = done->prev;
    while (!list_is_empty(done)) {
        struct list *node = list_pop_front(done);
        struct io_op *op = CONTAINER_OF(node, struct io_op, link);
        io_complete(io, op, op->result);
        count++;
        if (node == last)
            break;
    }
    return count;
}

/* A refusal by the ledger must not wake inside submit: it travels as a NOP that fails. */
static void op_refuse(struct io *io, struct io_op *op, const struct site *site)
{
    ledger_enter_at(&io->ledger, &op->held,
        &(struct claim){.kind = HELD_OP, .life = LIFE_REQUEST, .owner = op->owner}, site);
    op->kind_refused = op->kind;
    op->kind = IO_NOP;
    op->result = -ENOBUFS;
    io->backend->submit(io, op);
}

void io_submit_at(struct io *io, struct io_op *op, const struct site *site)
{
    CHECK(op->wake != NULL && op->owner != NULL && !io_op_is_out(op));
    op->site = site;
    op->result = 0;
    op->kind_refused = IO_NOP;
    err_t err = ledger_acquire_at(&io->ledger, &op->held,
        &(struct claim){.kind = op->kind == IO_TIMER ? HELD_TIMER : HELD_OP,
            .life = LIFE_REQUEST,
            .handle = op->fd,
            .owner = op->owner},
        site);
    PROBE4(io__submit, op->owner->operation, (int)op->kind, op->fd, site->function);
    if (err_is(err))
        op_refuse(io, op, site);
    else
        io->backend->submit(io, op);
}

int64_t io_call_at(struct io *io, struct io_op *op, const struct site *site)
{
    CHECK(op->owner != NULL && !io_op_is_out(op));
    op->site = site;
    op->result = 0;
    err_t err = ledger_acquire_at(&io->ledger, &op->held,
        &(struct claim){
            .kind = HELD_OP, .life = LIFE_REQUEST, .handle = op->fd, .owner = op->owner},
        site);
    if (err_is(err)) {
        op->result = -ENOBUFS;
        return op->result;
    }
    io->backend->call(io, op); /* sets op->result */
    ledger_release(&io->ledger, &op->held, HELD_OP);
    op_enter_handle(io, op);
    return op->result;
}

void io_cancel(struct io *io, struct io_op *op)
{
    if (io_op_is_out(op))
        io->backend->cancel(io, op);
}

void io_tick(struct io *io)
{
    io->now_ns = io->backend->now_ns(io);
    io->ledger.now_ns = io->run.now_ns = io->now_ns;
}

void io_turn(struct io *io, bool may_wait)
{
    bool idle = list_is_empty(&io->run.ready);
    io->turns++;
    io->backend->turn(io, may_wait && idle);
    io_tick(io);
    run_queue_run(&io->run);
}

void io_post(struct io *from, struct io *to, struct io_message *message)
{
    CHECK(message->deliver != NULL && from->backend == to->backend);
    from->backend->post(from, to, message);
}

void io_handle_close(struct io *io, struct io_handle *handle)
{
    if (handle->fd == IO_FD_NONE)
        return;
    ledger_release(&io->ledger, &handle->held, HELD_FD);
    io->backend->close(io, handle->fd);
    handle->fd = IO_FD_NONE;
}

int io_handle_release(struct io *io, struct io_handle *handle)
{
    int fd = handle->fd;
    CHECK(fd != IO_FD_NONE);
    ledger_release(&io->ledger, &handle->held, HELD_FD);
    handle->fd = IO_FD_NONE;
    return fd;
}

void io_handle_adopt_at(struct io *io, struct io_handle *handle, int fd, struct owner *owner,
    enum life life, const struct site *site)
{
    CHECK(handle->fd == IO_FD_NONE && fd != IO_FD_NONE);
    handle->fd = fd;
    struct claim claim = {.kind = HELD_FD, .life = life, .handle = fd, .owner = owner};
    ledger_enter_at(&io->ledger, &handle->held, &claim, site);
}

void io_handle_move(struct io_handle *to, struct io_handle *from)
{
    CHECK(to->fd == IO_FD_NONE);
    to->fd = from->fd;
    if (held_is_held(&from->held)) { /* relink the entry in place of the old one */
        to->held = from->held;
        to->held.link.next->prev = &to->held.link;
        to->held.link.prev->next = &to->held.link;
        from->held.link = (struct list){NULL, NULL};
    }
    from->fd = IO_FD_NONE;
}

void io_wake_machine(struct io_op *op)
{
    machine_arrive_now(op->context);
}
