#include "client/talk.h"

#include <errno.h>

#include "base/crc.h"
#include "client/verb.h"

void op_kick(struct client_op *op)
{
    op->is_kicked = true;
    if (op->machine.waiting > 0)
        machine_arrive(&op->machine);
}

static void op_progress(struct client_op *op)
{
    op->deadline_ns = io_now(op->client->io) + op->client->config.timeout_ns;
    op->call.deadline_ns = op->deadline_ns;
}

/* ---- the source ---- */

static bool has_content(const struct client_op *op)
{
    bool is_truncate = op->type == MSG_MODIFY && op->request.modify.mode == MODIFY_TRUNCATE;
    return verb_of(op->type)->has_content && !is_truncate && !op->is_asking;
}

/* The announced size, or UINT64_MAX. */
static uint64_t announced_size(const struct client_op *op)
{
    if (op->type == MSG_UPLOAD)
        return op->request.upload.size_known ? op->request.upload.size : UINT64_MAX;
    return op->request.modify.size_known ? op->request.modify.size : UINT64_MAX;
}

static void take_piece(struct client_op *op, const uint8_t *data, size_t size)
{
    uint64_t announced = announced_size(op), total = op->sent_size + size;
    op->is_source_busy = false;
    op->piece = data;
    op->piece_size = size;
    op->piece_count++;
    op->is_piece_ready = true;
    op->is_source_at_end = size == 0 || total == announced;
    if (total > announced || (size == 0 && announced != UINT64_MAX && total < announced))
        op->local_err = ERR(USAGE, 0);
    op_kick(op);
}

void client_source_filled(struct client_source *source, int64_t result)
{
    struct client_op *op = source->op;
    CHECK(op->is_source_busy && result <= FRAME_DATA_MAX);
    if (result >= 0) {
        take_piece(op, op->buffer, (size_t)result);
        return;
    }
    op->is_source_busy = false;
    op->local_err = ERR_RESULT(result);
    op_kick(op);
}

void client_source_lent(struct client_source *source, const uint8_t *data, size_t size)
{
    CHECK(source->op->is_source_busy && size <= FRAME_DATA_MAX);
    take_piece(source->op, data, size);
}

static void ask_source(struct client_op *op)
{
    op->is_source_busy = true;
    op->source->fill(op->source, op->buffer, FRAME_DATA_MAX);
}

bool talk_has_first_piece(struct client_op *op)
{
    if (!has_content(op) || op->is_piece_ready)
        return true;
    if (!op->is_source_busy && !err_is(op->local_err))
        ask_source(op);
    return op->is_piece_ready;
}

bool talk_rewind(struct client_op *op)
{
    op->sent_size = 0;
    op->sent_crc = 0;
    op->is_body_sent = false;
    op->has_head = false;
    op->has_left = true;
    if (!has_content(op) || op->piece_count == 0)
        return true;
    if (op->piece_count == 1 && !op->is_source_busy) { /* the first piece is still there */
        op->is_piece_ready = true;
        op->is_source_at_end = op->piece_size == 0 || op->piece_size == announced_size(op);
        return true;
    }
    if (op->is_source_busy || !op->source->rewind || !op->source->rewind(op->source))
        return false;
    op->piece_count = 0;
    op->is_piece_ready = op->is_source_at_end = false;
    return true;
}

/* ---- the sink ---- */

static void talk_stop(struct client_op *op, err_t err)
{
    if (!err_is(op->local_err))
        op->local_err = err;
    net_call_cancel(&op->call);
}

static err_t take_head(struct client_op *op, const struct frame *frame, struct span meta)
{
    if (frame->type != verb_of(op->type)->reply_type)
        return ERR(PROTOCOL, 0);
    op->has_head = true;
    TRY(verb_decode(op, meta));
    bool must_begin = op->sink && (!op->has_begun || op->type != MSG_FIND);
    if (must_begin)
        op->content_size = op->content_crc = 0;
    op->has_begun = true;
    return must_begin && op->sink->begin ? op->sink->begin(op->sink, op) : ERR_OK;
}

static err_t take_data(struct client_op *op, struct span data)
{
    if (data.size == 0)
        return ERR_OK;
    if (!op->sink || (op->type == MSG_FIND && data.size > op->reply.found.size - op->content_size))
        return ERR(PROTOCOL, 0);
    op->content_crc = crc32_update(op->content_crc, data.data, data.size);
    op->content_size += data.size;
    return op->sink->take(op->sink, data);
}

static void call_frame(
    struct net_call *call, const struct frame *frame, struct span meta, struct span data)
{
    struct client_op *op = call->context;
    err_t err = ERR_OK;
    op_progress(op);
    if (!op->has_head)
        err = take_head(op, frame, meta);
    else if (frame->type != MSG_DATA)
        err = ERR(PROTOCOL, 0);
    if (!err_is(err))
        err = take_data(op, data);
    if (err_is(err))
        talk_stop(op, err);
}

/* ---- the call ---- */

static void call_sent(struct net_call *call)
{
    struct client_op *op = call->context;
    op->has_left = true;
    op_progress(op);
    op_kick(op);
}

static void call_end(struct net_call *call, err_t err)
{
    struct client_op *op = call->context;
    op->is_call_out = false;
    op->was_ready = op->link_to->net.is_ready;
    op->call_err = err;
    if (err_has(err, ERR_CODE_TIMEOUT))
        link_suspect(op->link_to);
    link_release(op->link_to);
    op_kick(op);
}

static void query_frame(
    struct net_call *call, const struct frame *frame, struct span meta, struct span data)
{
    struct client_op *op = call->context;
    struct msg_answer answer;
    err_t err = frame->type == MSG_ANSWER ? msg_answer_decode(meta, &answer) : ERR(PROTOCOL, 0);
    if (!err_is(err))
        err = route_decode(data, answer.count, &op->route);
    if (err_is(err))
        op->call_err = err;
    op->has_head = true;
}

/* call_end overwrites call_err: what query_frame found wrong counts more. */
static void query_end(struct net_call *call, err_t err)
{
    struct client_op *op = call->context;
    err_t found = op->call_err;
    call_end(call, err);
    if (!err_is(err) && err_is(found))
        op->call_err = found;
}

static void start_query(struct client_op *op)
{
    struct msg_query query = {.purpose = op->route.purpose, .origin = op->route.origin};
    if (op->route.purpose == QUERY_UPLOAD) {
        *(op->route.is_group ? &query.group : &query.pool) = span_of_text(op->route.name);
        query.size = announced_size(op) == UINT64_MAX ? 0 : announced_size(op);
    } else {
        query.group = span_of_text(op->route.name);
    }
    op->call.on_frame = query_frame;
    op->call.on_sent = NULL;
    op->call.on_end = query_end;
    struct writer fields = net_call_begin(&op->call);
    msg_query_encode(&query, &fields);
    op->call_err = net_call_start(&op->link_to->net, &op->call, MSG_QUERY, 0, &fields, NULL, 0);
}

static void count_sent(struct client_op *op)
{
    op->sent_crc = crc32_update(op->sent_crc, op->piece, op->piece_size);
    op->sent_size += op->piece_size;
    op->is_piece_ready = false;
    op->is_body_sent = op->is_source_at_end;
    op->has_left = false;
}

static void start_request(struct client_op *op)
{
    struct iovec data = {(void *)(uintptr_t)op->piece, op->piece_size};
    bool has_piece = has_content(op);
    bool has_more = has_piece && !op->is_source_at_end;
    op->call.on_frame = call_frame;
    op->call.on_sent = has_more ? call_sent : NULL;
    op->call.on_end = call_end;
    struct writer fields = net_call_begin(&op->call);
    verb_encode(op, &fields);
    op->call_err = net_call_start(&op->link_to->net, &op->call, op->type, has_more ? FRAME_MORE : 0,
        &fields, &data, has_piece && op->piece_size > 0 ? 1 : 0);
    if (err_is(op->call_err))
        return;
    if (op->type == MSG_UPLOAD)
        op->request.upload.is_retry = 1; /* from here on: the server looks whether it has it */
    if (has_piece)
        count_sent(op);
    else
        op->is_body_sent = true;
}

/* Finds may try the next mirror when one is silent; a change waits for its answer. */
static uint64_t attempt_deadline_ns(const struct client_op *op)
{
    uint64_t half_ns = op->client->config.timeout_ns / 2;
    uint64_t soon_ns = io_now(op->client->io) + half_ns;
    bool may_be_repeated = op->is_asking || !verb_of(op->type)->is_change;
    return may_be_repeated && soon_ns < op->deadline_ns ? soon_ns : op->deadline_ns;
}

void talk_start(struct client_op *op)
{
    bool is_light = op->is_asking || op->type == MSG_STATUS;
    op->has_head = false;
    op->call_err = link_pick(&op->client->links, &op->asked, is_light, &op->link_to);
    if (err_is(op->call_err))
        return;
    op->call.context = op;
    op->call.deadline_ns = attempt_deadline_ns(op);
    if (op->is_asking)
        start_query(op);
    else
        start_request(op);
    op->is_call_out = !err_is(op->call_err);
}

void talk_feed(struct client_op *op)
{
    if (op->is_asking || !has_content(op) || op->is_body_sent || !op->is_call_out)
        return;
    if (err_is(op->local_err)) {
        net_call_cancel(&op->call);
        return;
    }
    if (op->is_piece_ready && op->has_left) {
        struct iovec data = {(void *)(uintptr_t)op->piece, op->piece_size};
        bool has_more = !op->is_source_at_end;
        count_sent(op);
        net_call_send(&op->call, &data, op->piece_size > 0 ? 1 : 0, has_more);
    } else if (!op->is_piece_ready && op->has_left && !op->is_source_busy) {
        ask_source(op);
    }
}
