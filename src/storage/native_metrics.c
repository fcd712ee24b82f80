/* STATUS "metrics": what /metrics tells, at the native door. */
#include "storage/metrics.h"
#include "storage/native_op.h"

static void metrics_left(struct native_op *op, err_t err)
{
    (void)err; /* nobody is there any more: nothing to do about it */
    metrics_scrape_end(op->file.scrape);
    native_op_close(op);
}

static void scrape_ready(struct metrics_scrape *scrape)
{
    struct native_op *op = scrape->context;
    if (scrape->text.is_cut) {
        metrics_scrape_end(scrape);
        native_op_fail(op, ERR(TOO_LARGE, 0));
        return;
    }
    op->piece.rest = span_of(scrape->data, scrape->text.size);
    op->piece.is_last = true;
    op->piece.left = metrics_left;
    struct writer fields = net_reply_begin(op->request);
    msg_status_reply_encode(&(struct msg_status_reply){.state = scrape->storage->state}, &fields);
    native_piece_send(op, MSG_STATUS_REPLY, &fields);
}

void native_metrics(struct native *native, struct net_request *request)
{
    struct storage *storage = native->loop->storage;
    if (native->loop->index != 0) {
        net_request_move(request, &storage->loops[0].server);
        return;
    }
    struct native_op *op = native_op_open(native, request);
    if (!op) {
        native_refuse(native->loop, request, ERR(BUSY, 0));
        return;
    }
    op->file.scrape = metrics_scrape_begin(storage, &native->owner, scrape_ready, op);
    if (!op->file.scrape)
        native_op_fail(op, ERR(BUSY, 0));
}
