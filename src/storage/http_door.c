#include "storage/http_door.h"

#include "storage/http_op.h"

static void on_request(struct http_server *server, struct http_request *request);

uint64_t http_door_bytes(const struct storage_config *config, uint32_t connection_max)
{
    if (config->http_address.family == 0)
        return 0;
    return pool_bytes(sizeof(struct http_op), config->http_request_max, 0)
           + http_server_bytes(connection_max);
}

uint32_t http_door_connections(const struct storage_config *config)
{
    if (config->http_address.family == 0 || config->http_elsewhere == HTTP_ELSEWHERE_REFUSE)
        return 0;
    bool is_proxy = config->http_elsewhere == HTTP_ELSEWHERE_PROXY;
    return ELSEWHERE_CONNECTIONS + (is_proxy ? HTTP_TUNNELS_MAX : 0);
}

err_t http_door_open(struct http_door *door, struct storage_loop *loop)
{
    const struct storage_config *config = &loop->storage->config;
    if (config->http_address.family == 0)
        return ERR_OK;
    return door_open(&door->door, loop, "http", "http.operations", sizeof(struct http_op),
        config->http_request_max);
}

err_t http_door_listen(struct http_door *door)
{
    if (!door->door.is_open)
        return ERR_OK;
    struct storage_loop *loop = door->door.loop;
    const struct storage_config *config = &loop->storage->config;
    struct http_server_config server = {.on_request = on_request, .role = loop};
    server.exchange = door_listen(&door->door, &config->http_address, &loop->command.http_address);
    server.exchange.connection_max = loop->storage->budget.http_connection_max;
    server.exchange.idle_timeout_ns = config->http_idle_timeout_ns;
    server.exchange.head_timeout_ns = config->http_head_timeout_ns;
    TRY(http_server_start(&door->server, &loop->net, &server));
    if (config->http_elsewhere != HTTP_ELSEWHERE_REFUSE && config->tracker_count > 0)
        elsewhere_open(&door->elsewhere, loop);
    door->door.server = &door->server.exchange;
    return ERR_OK;
}

void http_door_cut(struct http_door *door)
{
    elsewhere_close(&door->elsewhere);
    door_cut(&door->door);
}

void http_door_drain(struct http_door *door)
{
    elsewhere_close(&door->elsewhere);
    door_drain(&door->door);
}

bool http_door_is_idle(const struct http_door *door)
{
    return door_is_idle(&door->door) && elsewhere_is_idle(&door->elsewhere);
}

/* ---- operations ---- */

struct http_op *http_op_open(struct storage_loop *loop, struct http_request *request)
{
    struct http_op *op =
        door_op_open(&loop->http.door, &request->exchange, offsetof(struct http_op, file));
    if (op)
        op->request = request;
    else
        http_answer_error(loop, request, 503, ERR(BUSY, 0), NULL);
    return op;
}

void http_op_close(struct http_op *op)
{
    door_op_close(&op->door);
}

/* ---- which verb ---- */

static bool is_change(enum http_verb method)
{
    return method != HTTP_METHOD_GET && method != HTTP_METHOD_HEAD;
}

/* "/group1/M00/..." is an id; "/pool", "/pool/name" is not. False: neither. */
static bool split_path(struct span path, struct span *ret_first, struct span *ret_rest)
{
    struct span inner = span_of(path.data + 1, path.size - 1);
    const uint8_t *slash = memchr(inner.data, '/', inner.size);
    *ret_first = slash ? span_of(inner.data, (size_t)(slash - inner.data)) : inner;
    *ret_rest = slash ? span_of(slash + 1, inner.size - ret_first->size - 1) : span_of(NULL, 0);
    return path.data[0] == '/';
}

static void serve_file(
    struct storage_loop *loop, struct http_request *request, const struct fid *fid)
{
    switch (request->head.method) {
    case HTTP_METHOD_GET:
    case HTTP_METHOD_HEAD:
        http_read(loop, request, fid);
        return;
    case HTTP_METHOD_DELETE:
    case HTTP_METHOD_PUT:
    case HTTP_METHOD_PATCH:
    case HTTP_METHOD_POST:
        break;
    default:
        http_answer_error(loop, request, 405, ERR(UNSUPPORTED, 0), "no such method here");
        return;
    }
    uint16_t owner = store_owner_loop(&loop->store, fid);
    if (owner != loop->index)
        http_request_move(request, &loop->storage->loops[owner].http.server);
    else if (request->head.method == HTTP_METHOD_DELETE)
        http_delete(loop, request, fid);
    else
        http_modify(loop, request, fid);
}

static void serve_pool(struct storage_loop *loop, struct http_request *request)
{
    struct span pool, name;
    bool is_upload =
        request->head.method == HTTP_METHOD_POST || request->head.method == HTTP_METHOD_PUT;
    if (!split_path(request->head.path, &pool, &name))
        http_answer_error(loop, request, 400, ERR(USAGE, 0), "not a path");
    else if (is_upload)
        http_upload(loop, request, pool, name);
    else
        http_answer_error(loop, request, 404, ERR(NOT_FOUND, 0),
            "no file id: GET /<id>; POST /<pool> stores a file");
}

/* ---- names that were imported (decision 24) ---- */

static void looked_up(struct name_lookup *lookup)
{
    struct http_op *op = lookup->context;
    struct storage_loop *loop = op->door.loop;
    struct http_request *request = op->request;
    struct fid fid = lookup->name.fid, asked = lookup->asked;
    bool is_slave = lookup->name.tail.size > 0; /* that was made here: the FastDFS door knows it */
    err_t err = !err_is(lookup->err) && is_slave ? ERR(NOT_FOUND, 0) : lookup->err;
    uint16_t owner = store_owner_loop(&loop->store, &asked);
    door_op_leave(&op->door);
    if (err_has(err, ERR_CODE_UNAVAILABLE) && owner != loop->index)
        http_request_move(request, &loop->storage->loops[owner].http.server);
    else if (err_is(err))
        http_answer_error(loop, request, http_status_of(err), err, NULL);
    else
        serve_file(loop, request, &fid);
}

/* False: it is no such name, or we know none. */
static bool look_up(struct storage_loop *loop, struct http_request *request)
{
    struct span path = request->head.path, group, name;
    struct fdfs_id id;
    if (!split_path(path, &group, &name) || !span_equals_text(group, loop->store.config.group)
        || err_is(fdfs_id_parse(name, &id)) || loop->names.count == 0)
        return false;
    struct http_op *op = http_op_open(loop, request);
    if (!op)
        return true; /* answered */
    op->file.lookup.context = op;
    op->file.lookup.done = looked_up;
    CHECK(name_lookup_begin(&op->file.lookup, loop, name));
    name_lookup_start(&op->file.lookup);
    return true;
}

static void serve(struct storage_loop *loop, struct http_request *request)
{
    struct span path = request->head.path;
    struct fid fid;
    if (http_metrics(loop, request))
        return;
    err_t err = http_access_check(loop, request, is_change(request->head.method));
    if (err_is(err)) {
        http_answer_error(loop, request, 403, err, NULL);
        return;
    }
    struct span inner = span_of(path.data + 1, path.size - 1), group;
    err = fid_parse(inner, &fid);
    if (err_is(err) && fid_group_of(inner, &group)
        && !span_equals_text(group, loop->store.config.group)) {
        http_send_on(loop, request, ERR(WRONG_NODE, 0));
        return;
    }
    if (err_has(err, ERR_CODE_UNSUPPORTED) && look_up(loop, request))
        return;
    if (err_is(err)) {
        serve_pool(loop, request);
        return;
    }
    err = store_check_id(&loop->store, &fid);
    if (err_has(err, ERR_CODE_WRONG_NODE))
        http_send_on(loop, request, err);
    else if (err_is(err))
        http_answer_error(loop, request, http_status_of(err), err, NULL);
    else
        serve_file(loop, request, &fid);
}

static bool is_reading(uint8_t method)
{
    return method == HTTP_METHOD_GET || method == HTTP_METHOD_HEAD || method == HTTP_METHOD_OPTIONS;
}

static void on_request(struct http_server *server, struct http_request *request)
{
    struct storage_loop *loop = server->config.role;
    if (loop->phase < STORAGE_PHASE_RUNNING)
        http_answer_error(loop, request, 503, ERR(UNAVAILABLE, 0), "the storage is starting");
    else if (loop->state < STATE_RUNNING && !is_reading((uint8_t)request->head.method))
        http_send_on(loop, request, ERR(UNAVAILABLE, 0));
    else if (request->head.method == HTTP_METHOD_OPTIONS)
        http_answer_options(loop, request);
    else
        serve(loop, request);
}
