/* STATUS "ops": everything in flight on all loops. A message visits every loop, which writes what it has. */
#include "storage/internal.h"
#include "storage/native_op.h"

static void ops_travel(struct io *here, struct io_message *message)
{
    struct native_ops *ops = CONTAINER_OF(message, struct native_ops, message);
    struct storage_loop *home = ops->op->native->loop;
    struct storage *storage = home->storage;
    if (ops->at == storage->loop_count) {
        ops_page_end(&ops->page);
        native_page_send(ops->op, ops->writer.size);
        return;
    }
    ops_page_add(&ops->page, storage->loops[ops->at++].io);
    bool is_last = ops->at == storage->loop_count;
    io_post(here, is_last ? home->io : storage->loops[ops->at].io, message);
}

void native_ops(struct native *native, struct net_request *request, bool shows_resting)
{
    struct storage *storage = native->loop->storage;
    struct native_op *op = native_op_open(native, request);
    if (op)
        op->page = pool_take(&native->pages, &native->owner);
    if (!op || !op->page) {
        if (op)
            native_op_fail(op, ERR(BUSY, 0));
        else
            native_refuse(native->loop, request, ERR(BUSY, 0));
        return;
    }
    struct native_ops *ops = &op->file.ops;
    *ops =
        (struct native_ops){.op = op, .writer = {.data = op->page, .capacity = NATIVE_PAGE_SIZE}};
    ops_page_begin(
        &ops->page, &ops->writer, "storage", storage->config.machine_number, shows_resting);
    ops->message.deliver = ops_travel;
    io_post(native->loop->io, storage->loops[0].io, &ops->message);
}
