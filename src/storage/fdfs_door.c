#include "storage/fdfs_door.h"

#include "base/units.h"
#include "storage/fdfs_op.h"
#include "storage/internal.h"

static void on_request(struct fdfs_server *server, struct fdfs_request *request);

uint64_t fdfs_door_bytes(const struct storage_config *config, uint32_t connection_max)
{
    if (config->fastdfs_address.family == 0)
        return 0;
    return pool_bytes(sizeof(struct fdfs_op), config->fastdfs_request_max, 0)
           + fdfs_server_bytes(connection_max);
}

err_t fdfs_door_open(struct fdfs_door *door, struct storage_loop *loop)
{
    const struct storage_config *config = &loop->storage->config;
    if (config->fastdfs_address.family == 0)
        return ERR_OK;
    return door_open(&door->door, loop, "fastdfs", "fastdfs.operations", sizeof(struct fdfs_op),
        config->fastdfs_request_max);
}

err_t fdfs_door_listen(struct fdfs_door *door)
{
    if (!door->door.is_open)
        return ERR_OK;
    struct storage_loop *loop = door->door.loop;
    const struct storage_config *config = &loop->storage->config;
    struct fdfs_server_config server = {.on_request = on_request, .role = loop};
    server.exchange =
        door_listen(&door->door, &config->fastdfs_address, &loop->command.fastdfs_address);
    server.exchange.connection_max = loop->storage->budget.fastdfs_connection_max;
    server.exchange.idle_timeout_ns = config->fastdfs_idle_timeout_ns;
    server.exchange.head_timeout_ns = 10 * NS_PER_S;
    TRY(fdfs_server_start(&door->server, &loop->net, &server));
    door->door.server = &door->server.exchange;
    return ERR_OK;
}

/* ---- operations ---- */

void fdfs_refuse_request(struct storage_loop *loop, struct fdfs_request *request, uint8_t status)
{
    loop->counters.refused++;
    fdfs_reply(request, status, span_of(NULL, 0));
    fdfs_request_end(request);
}

struct fdfs_op *fdfs_op_open(struct storage_loop *loop, struct fdfs_request *request)
{
    struct fdfs_op *op =
        door_op_open(&loop->fdfs.door, &request->exchange, offsetof(struct fdfs_op, file));
    if (op)
        op->request = request;
    else
        fdfs_refuse_request(loop, request, FDFS_EBUSY);
    return op;
}

void fdfs_op_reply(struct fdfs_op *op)
{
    struct fdfs_request *request = op->request;
    fdfs_reply(request, FDFS_OK, span_of(op->answer, op->answer_size));
    door_op_close(&op->door);
    fdfs_request_end(request);
}

void fdfs_op_end(struct fdfs_op *op)
{
    struct fdfs_request *request = op->request;
    door_op_close(&op->door);
    fdfs_request_end(request);
}

void fdfs_op_fail(struct fdfs_op *op, err_t err)
{
    struct fdfs_request *request = op->request;
    struct storage_loop *loop = op->door.loop;
    bool is_told = op->is_told;
    if (loop->state < STATE_RUNNING && err_has(err, ERR_CODE_NOT_FOUND))
        err = ERR(UNAVAILABLE, 0); /* what it has not heard of may be elsewhere */
    door_op_close(&op->door);
    if (is_told)
        fdfs_request_end(request); /* cut in the middle: the client knows */
    else
        fdfs_refuse_request(loop, request, fdfs_status_of(err));
}

void fdfs_op_move(struct fdfs_op *op, const struct fid *fid)
{
    struct fdfs_request *request = op->request;
    struct storage_loop *loop = op->door.loop;
    uint16_t owner = store_owner_loop(&loop->store, fid);
    CHECK(owner != loop->index && !op->is_told);
    door_op_close(&op->door);
    fdfs_request_move(request, &loop->storage->loops[owner].fdfs.server);
}

/* ---- mirrors ---- */

static void hold_over(struct push_hold *hold)
{
    fdfs_op_reply(CONTAINER_OF(hold, struct fdfs_op, hold));
}

void fdfs_op_hold(struct fdfs_op *op, const struct stream *stream, const struct log_append *append)
{
    struct storage_loop *loop = op->door.loop;
    if (op->ack < ACK_ONE) {
        fdfs_op_reply(op);
        return;
    }
    push_hold_none(&op->hold, loop, ACK_LOCAL);
    op->hold.done = hold_over;
    push_hold_append(&op->hold, loop, stream, append, op->ack);
}

/* ---- content ---- */

static void body_begun(struct door_op *door)
{
    struct fdfs_op *op = CONTAINER_OF(door, struct fdfs_op, door);
    if (err_is(door->body.err))
        fdfs_op_fail(op, door->body.err);
    else
        op->begin(op);
}

void fdfs_body_begin(struct fdfs_op *op, void (*begin)(struct fdfs_op *op))
{
    op->begin = begin;
    door_body_begin(&op->door, body_begun);
}

/* ---- which command ---- */

err_t fdfs_choose_ack(const struct storage_loop *loop, uint8_t *ret)
{
    const char *text;
    *ret = 0;
    return push_check_ack(loop, ret, &text);
}

/* Changes run where the file belongs. False: the connection goes there. */
static bool is_at_home(struct fdfs_op *op)
{
    if (fdfs_is_owner(op->door.loop, &op->fid))
        return true;
    fdfs_op_move(op, &op->fid);
    return false;
}

static void change_resolved(struct fdfs_op *op)
{
    uint8_t command = op->request->head.command;
    if (!is_at_home(op))
        return;
    if (command == FDFS_SET_METADATA)
        fdfs_set_metadata(op);
    else if (command == FDFS_REGENERATE)
        fdfs_regenerate(op);
    else if (command == FDFS_UPLOAD_SLAVE)
        fdfs_upload_slave(op);
    else
        fdfs_change(op);
}

static void begin(struct fdfs_op *op)
{
    switch (op->request->head.command) {
    case FDFS_DOWNLOAD:
        fdfs_resolve(op, fdfs_download);
        break;
    case FDFS_QUERY_FILE:
        fdfs_resolve(op, fdfs_query);
        break;
    case FDFS_GET_METADATA:
        fdfs_resolve(op, fdfs_get_metadata);
        break;
    case FDFS_DELETE:
        fdfs_delete(op);
        break;
    default:
        fdfs_resolve(op, change_resolved);
    }
}

/* ---- names that were imported (decision 24) ---- */

static void looked_up(struct name_lookup *lookup)
{
    struct fdfs_op *op = lookup->context;
    struct storage_loop *loop = op->door.loop;
    if (err_has(lookup->err, ERR_CODE_UNAVAILABLE) && !fdfs_is_owner(loop, &lookup->asked)) {
        fdfs_op_move(op, &lookup->asked);
        return;
    }
    if (err_is(lookup->err)) {
        fdfs_op_fail(op, lookup->err);
        return;
    }
    op->name = lookup->name;
    begin(op);
}

static void look_up(struct fdfs_op *op)
{
    struct name_lookup *lookup = &op->file.lookup;
    lookup->context = op;
    lookup->done = looked_up;
    if (name_lookup_begin(lookup, op->door.loop, op->request->head.name))
        name_lookup_start(lookup);
    else
        fdfs_op_fail(op, ERR(NOT_FOUND, 0));
}

static bool is_read(uint8_t command)
{
    return command == FDFS_DOWNLOAD || command == FDFS_QUERY_FILE || command == FDFS_GET_METADATA;
}

/* What can be told from the name alone. Errors: USAGE (no name, or not one of this group, or no
 * appender's), and those of the store. */
static err_t check(const struct storage_loop *loop, const struct fdfs_head *head,
    struct fdfs_name *ret_name, struct fdfs_id *ret_old, uint8_t *ret_ack)
{
    const char *group = loop->store.config.group;
    bool is_appenders = head->command == FDFS_APPEND || head->command == FDFS_MODIFY
                        || head->command == FDFS_TRUNCATE || head->command == FDFS_REGENERATE;
    if (head->group.data && !span_equals_text(head->group, group))
        return ERR(USAGE, 0);
    err_t err = fdfs_name_parse(group, head->name, ret_name);
    *ret_old = (struct fdfs_id){0};
    if (err_has(err, ERR_CODE_UNSUPPORTED))
        TRY(fdfs_id_parse(head->name, ret_old));
    else if (err_is(err))
        return err;
    bool is_old = ret_old->name.data != NULL;
    bool is_appender = is_old ? ret_old->is_appender : ret_name->fid.is_mutable;
    bool is_slave = is_old ? ret_old->is_slave : ret_name->tail.size > 0;
    if (is_appenders && (!is_appender || is_slave))
        return ERR(USAGE, 0);
    if (head->command == FDFS_UPLOAD_SLAVE && is_slave)
        return ERR(USAGE, 0); /* a slave has no slaves */
    if (!is_old)
        TRY(store_check_id(&loop->store, &ret_name->fid));
    if (loop->state < STATE_RUNNING && !is_read(head->command))
        return ERR(UNAVAILABLE, 0); /* changes would be based on what may be old */
    return is_read(head->command) ? ERR_OK : fdfs_choose_ack(loop, ret_ack);
}

static void serve_file(struct storage_loop *loop, struct fdfs_request *request)
{
    struct fdfs_name name;
    struct fdfs_id old;
    uint8_t ack = 0;
    err_t err = check(loop, &request->head, &name, &old, &ack);
    if (err_is(err)) {
        fdfs_refuse_request(loop, request, fdfs_status_of(err));
        return;
    }
    struct fdfs_op *op = fdfs_op_open(loop, request);
    if (!op)
        return;
    op->name = name;
    op->ack = ack;
    op->old = old;
    op->is_old = old.name.data != NULL;
    if (op->is_old)
        look_up(op);
    else
        begin(op);
}

static void serve(struct storage_loop *loop, struct fdfs_request *request)
{
    switch (request->head.command) {
    case FDFS_UPLOAD:
    case FDFS_UPLOAD_APPENDER:
        fdfs_upload(loop, request);
        break;
    case FDFS_UPLOAD_SLAVE:
    case FDFS_APPEND:
    case FDFS_MODIFY:
    case FDFS_TRUNCATE:
    case FDFS_REGENERATE:
    case FDFS_DELETE:
    case FDFS_SET_METADATA:
    case FDFS_GET_METADATA:
    case FDFS_DOWNLOAD:
    case FDFS_QUERY_FILE:
        serve_file(loop, request);
        break;
    case FDFS_LINK:
        fdfs_refuse_request(loop, request, FDFS_EOPNOTSUPP);
        break;
    default:
        fdfs_refuse_request(loop, request, FDFS_EINVAL);
    }
}

static void on_request(struct fdfs_server *server, struct fdfs_request *request)
{
    struct storage_loop *loop = server->config.role;
    if (request->head.command == FDFS_PING) {
        fdfs_reply(request, FDFS_OK, span_of(NULL, 0));
        fdfs_request_end(request);
    } else if (loop->phase < STORAGE_PHASE_RUNNING) {
        fdfs_refuse_request(loop, request, FDFS_EAGAIN);
    } else {
        serve(loop, request);
    }
}
