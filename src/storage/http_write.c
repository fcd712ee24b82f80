/* POST and PUT of new files. */
#include "base/units.h"
#include "storage/http_op.h"
#include "storage/internal.h"
#include "storage/placement.h"

/* ---- what the request says beside its content ---- */

err_t http_ack_of(const struct storage_loop *loop, const struct http_request *request, uint8_t *ret)
{
    static const char *const names[] = {"memory", "local", "one", "all"};
    struct span value = http_query_find(request->head.query, "ack");
    const char *text;
    if (!value.data)
        value = request->head.headers[HTTP_HEADER_ACK];
    *ret = value.data ? UINT8_MAX : 0;
    for (uint8_t i = 0; i < ARRAY_LEN(names) && value.data; i++)
        if (span_equals_text(value, names[i]))
            *ret = (uint8_t)(i + 1);
    return push_check_ack(loop, ret, &text);
}

static int hex_of(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool http_hex_read(struct span text, uint8_t *ret, size_t size)
{
    if (text.size != 2 * size)
        return false;
    for (size_t i = 0; i < size; i++) {
        int high = hex_of(text.data[2 * i]), low = hex_of(text.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        ret[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

err_t http_nonce_of(const struct http_request *request, struct nonce *ret)
{
    struct span value = request->head.headers[HTTP_HEADER_NONCE];
    *ret = (struct nonce){0};
    if (value.data && !http_hex_read(value, ret->bytes, sizeof ret->bytes))
        return ERR(USAGE, 0);
    return ERR_OK;
}

/* "photo.jpeg" -> "jpeg"; what is no suffix is left out. */
static void set_suffix(struct http_op *op, struct span name)
{
    if (name.size == 0) /* POST /pool */
        return;
    size_t at = name.size;
    while (at > 0 && name.data[at - 1] != '.' && name.data[at - 1] != '/')
        at--;
    struct span suffix = span_of(name.data + at, name.size - at);
    if (at == 0 || name.data[at - 1] != '.' || !suffix_is_valid(suffix))
        suffix = span_of(NULL, 0);
    (void)span_to_text(suffix, op->suffix, sizeof op->suffix);
}

/* Mutable or not, expiry, slack: from the query. */
static err_t read_options(
    const struct storage_loop *loop, const struct http_request *request, struct upload_request *ret)
{
    struct span query = request->head.query;
    uint64_t value;
    err_t err;
    ret->is_mutable = loop->storage->config.mutable_files;
    if (http_query_number(query, "mutable", &value, &err))
        ret->is_mutable = value != 0;
    TRY(err);
    if (http_query_number(query, "lifetime", &value, &err))
        ret->expires = io_wall(loop->io) / NS_PER_S + value;
    TRY(err);
    struct span slack = request->head.headers[HTTP_HEADER_SLACK];
    ret->slack = loop->store.config.slack_default;
    if (slack.data && (!http_number(slack, &value) || value > GIB))
        return ERR(USAGE, 0);
    if (slack.data)
        ret->slack = (uint32_t)value | SLACK_IS_BYTES;
    TRY(http_nonce_of(request, &ret->nonce));
    return http_ack_of(loop, request, &ret->ack);
}

/* What curl says of any content unless it is told better means nothing. */
static struct span content_type_of(const struct http_head *head)
{
    struct span type = head->headers[HTTP_HEADER_CONTENT_TYPE];
    return type.data && span_equals_text(type, "application/x-www-form-urlencoded")
               ? (struct span){0}
               : type;
}

/* ---- the operation ---- */

static void upload_tell(struct http_op *op)
{
    const struct upload *upload = &op->file.upload;
    op->door.loop->counters.uploads++;
    http_answer_change(op, 201, &upload->result.fid, &upload->result);
}

static void upload_told(struct upload *upload)
{
    http_op_changed(upload->context, upload->result.ack);
}

static void upload_over(struct upload *upload)
{
    struct http_op *op = upload->context;
    if (err_has(upload->machine.err, ERR_CODE_IO))
        store_fence(upload->store, upload->request.mount, upload->machine.err);
    http_op_over(op, upload->machine.err, upload->stream, &upload->append);
}

static void begin(struct door_op *door)
{
    struct http_op *op = http_op_of(door);
    struct storage_loop *loop = door->loop;
    const struct http_request *request = op->request;
    const struct http_head *head = &request->head;
    struct upload *upload = &op->file.upload;
    *upload = (struct upload){.context = op, .on_result = upload_told, .done = upload_over};
    upload->request = (struct upload_request){.mount = op->mount,
        .pool = span_of_text(loop->storage->config.pool),
        .content_type = content_type_of(head),
        .metadata = head->headers[HTTP_HEADER_META],
        .size_known = head->has_length && !op->is_form,
        .size = head->content_length};
    err_t err = op->door.body.err;
    if (!err_is(err))
        err = read_options(loop, request, &upload->request);
    op->tell = upload_tell;
    op->ack = upload->request.ack;
    upload->request.ack = push_own_ack(op->ack);
    if (err_is(err)) {
        http_op_fail(op, err);
        return;
    }
    if (op->is_form) {
        upload->request.content_type = span_of_text(op->form.type);
        set_suffix(op, span_of_text(op->form.name));
    }
    upload->request.suffix = span_of_text(op->suffix);
    upload_start(upload, &loop->store, &op->door.body);
}

/* A mount point, and a loop that owns a stream of it: streams are fixed at format, loops are not. */
static bool place(struct storage_loop *loop, struct http_request *request, uint8_t *ret_mount)
{
    const struct storage_config *config = &loop->storage->config;
    uint64_t size = request->head.has_length ? request->head.content_length : 0;
    bool is_packed = request->head.has_length && size <= config->single_min;
    err_t err = placement_pick(&loop->store, config, &loop->cursor, size, is_packed, ret_mount);
    if (err_is(err)) {
        http_answer_error(loop, request, http_status_of(err), err, NULL);
        return false;
    }
    uint32_t streams = loop->store.mounts[*ret_mount].stream_count;
    if (loop->index >= streams) {
        http_request_move(request, &loop->storage->loops[loop->index % streams].http.server);
        return false;
    }
    return true;
}

static bool is_form(const struct http_request *request)
{
    struct http_form form;
    struct span type = request->head.headers[HTTP_HEADER_CONTENT_TYPE];
    return type.data && !err_is(http_form_init(&form, type));
}

void http_upload(
    struct storage_loop *loop, struct http_request *request, struct span pool, struct span name)
{
    const struct http_head *head = &request->head;
    uint8_t mount;
    if (pool.size > 0 && !span_equals_text(pool, loop->storage->config.pool)) {
        http_send_on(loop, request, ERR(WRONG_NODE, 0));
        return;
    }
    if (!head->has_length && !head->is_chunked) {
        http_answer_error(
            loop, request, 411, ERR(USAGE, 0), "say how long the content is, or send it in chunks");
        return;
    }
    if (!place(loop, request, &mount))
        return;
    struct http_op *op = http_op_open(loop, request);
    if (!op)
        return;
    op->mount = mount;
    op->is_form = head->method == HTTP_METHOD_POST && is_form(request);
    if (op->is_form) {
        err_t err = http_form_init(&op->form, head->headers[HTTP_HEADER_CONTENT_TYPE]);
        CHECK(!err_is(err));
        op->door.filter = http_form_filter;
    }
    struct span suffix = http_query_find(head->query, "suffix");
    if (suffix.data && suffix_is_valid(suffix))
        (void)span_to_text(suffix, op->suffix, sizeof op->suffix);
    else
        set_suffix(op, name);
    door_body_begin(&op->door, begin);
}
