/* LIST: see list.h. */
#include "storage/native_op.h"

static void page_left(struct native_op *op, err_t err)
{
    (void)err; /* nobody is there any more: nothing to do about it */
    native_op_close(op);
}

static void list_over(struct list_walk *walk)
{
    struct native_op *op = walk->context;
    uint8_t cursor[LIST_CURSOR_SIZE];
    if (err_is(walk->machine.err)) {
        native_op_fail(op, walk->machine.err);
        return;
    }
    list_cursor_encode(&walk->cursor, cursor);
    op->piece.rest = span_of(op->page, walk->page.size);
    op->piece.is_last = true;
    op->piece.left = page_left;
    op->native->loop->counters.lists++;
    struct writer fields = net_reply_begin(op->request);
    msg_listed_encode(
        &(struct msg_listed){
            .cursor = span_of(cursor, walk->is_over ? 0 : sizeof cursor), .count = walk->count},
        &fields);
    native_piece_send(op, MSG_LISTED, &fields);
}

static void start(
    struct native_op *op, const struct msg_list *msg, const struct list_cursor *cursor)
{
    struct storage_loop *loop = op->native->loop;
    uint32_t count_max = msg->count_max ? msg->count_max : LIST_COUNT_DEFAULT;
    op->file.list = (struct list_walk){.store = &loop->store,
        .config = &loop->storage->config,
        .memory = &op->native->list,
        .cursor = *cursor,
        .since_ns = msg->since_ns,
        .count_max = count_max < LIST_COUNT_MAX ? count_max : LIST_COUNT_MAX,
        .page = {.data = op->page, .capacity = NATIVE_PAGE_SIZE},
        .done = list_over,
        .context = op};
    list_start(&op->file.list);
}

void native_list(struct native *native, struct net_request *request)
{
    struct storage_loop *loop = native->loop;
    struct msg_list msg;
    struct list_cursor cursor;
    err_t err = msg_list_decode(request->meta, &msg);
    if (!err_is(err))
        err = list_cursor_decode(msg.cursor, &loop->storage->config, &cursor);
    if (err_is(err)) {
        native_refuse(loop, request, err);
        return;
    }
    uint16_t owner = list_loop(&cursor, loop->storage->loop_count);
    if (owner != loop->index) {
        net_request_move(request, &loop->storage->loops[owner].server);
        return;
    }
    struct native_op *op = native->list.is_taken ? NULL : native_op_open(native, request);
    if (op)
        op->page = pool_take(&native->pages, &native->owner);
    if (op && op->page)
        start(op, &msg, &cursor);
    else if (op)
        native_op_fail(op, ERR(BUSY, 0));
    else
        native_refuse_saying(loop, request, ERR(BUSY, 0), "another list is being made; try again");
}
