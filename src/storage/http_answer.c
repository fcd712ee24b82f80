/* What every answer of the HTTP door has in common. */
#include <stdio.h>

#include "base/json.h"
#include "storage/http_op.h"
#include "storage/internal.h"

/* ---- tags ---- */

void http_tag_format(struct version version, char ret[HTTP_TAG_MAX])
{
    struct writer w = {.data = (uint8_t *)ret, .capacity = HTTP_TAG_MAX - 1};
    write_bytes(&w, "\"", 1);
    write_decimal(&w, version.counter);
    write_bytes(&w, ".", 1);
    write_decimal(&w, version.machine);
    write_bytes(&w, "\"", 1);
    CHECK(!w.failed);
    ret[w.size] = '\0';
}

bool http_tag_parse(struct span value, struct version *ret)
{
    char text[HTTP_TAG_MAX], again[HTTP_TAG_MAX];
    unsigned long long counter;
    unsigned machine;
    if (!span_to_text(value, text, sizeof text)
        || sscanf(text, "\"%20llu.%10u\"", &counter, &machine) != 2)
        return false;
    *ret = (struct version){counter, machine};
    http_tag_format(*ret, again);
    return strcmp(text, again) == 0;
}

/* ---- CORS ---- */

/* Is `origin` one of the words in `list`, or is that "*"? */
static bool origin_is_allowed(const char *list, struct span origin)
{
    for (const char *at = list; *at != '\0';) {
        size_t size = strcspn(at, " ,");
        if ((size == 1 && *at == '*')
            || (size == origin.size && memcmp(at, origin.data, size) == 0))
            return true;
        at += size;
        at += strspn(at, " ,");
    }
    return false;
}

static bool add_cors(
    const struct storage_config *config, const struct http_request *request, struct writer *w)
{
    struct span origin = request->head.headers[HTTP_HEADER_ORIGIN];
    if (config->http_cors[0] == '\0' || !origin.data || origin.size > 200
        || !origin_is_allowed(config->http_cors, origin))
        return false;
    http_header_add(
        w, "Access-Control-Allow-Origin", "%.*s", (int)origin.size, (const char *)origin.data);
    http_header_add(w, "Vary", "Origin");
    http_header_add(
        w, "Access-Control-Expose-Headers", "ETag, Location, Content-Range, Accept-Ranges");
    return true;
}

void http_answer_options(struct storage_loop *loop, struct http_request *request)
{
    static const char methods[] = "GET, HEAD, PUT, POST, PATCH, DELETE, OPTIONS";
    struct writer w = http_reply_begin(request, 204);
    http_header_add(&w, "Allow", "%s", methods);
    if (add_cors(&loop->storage->config, request, &w)) {
        http_header_add(&w, "Access-Control-Allow-Methods", "%s", methods);
        http_header_add(&w, "Access-Control-Allow-Headers",
            "Content-Type, Content-Range, Range, If-Match, If-None-Match, If-Range, X-Cairn-Ack, "
            "X-Cairn-Nonce, X-Cairn-Meta, X-Cairn-Slack");
        http_header_add(&w, "Access-Control-Max-Age", "86400");
    }
    http_reply(request, &w, 0, NULL, 0, NULL);
    http_request_end(request);
}

struct writer http_answer_begin(
    struct storage_loop *loop, struct http_request *request, unsigned status)
{
    struct writer w = http_reply_begin(request, status);
    (void)add_cors(&loop->storage->config, request, &w);
    return w;
}

/* ---- errors ---- */

/* The body is small and goes into the frame's own area, behind the head. */
static void reply_json(struct http_request *request, struct writer *w, struct span json)
{
    http_header_add(w, "Content-Type", "application/json");
    http_reply_with(request, w, json);
    http_request_end(request);
}

void http_answer_error(struct storage_loop *loop, struct http_request *request, unsigned status,
    err_t err, const char *text)
{
    loop->counters.refused++;
    struct writer w = http_answer_begin(loop, request, status);
    if (status == 405)
        http_header_add(&w, "Allow", "GET, HEAD, DELETE");
    http_reply_error(request, &w, status, err, text);
}

void http_op_fail(struct http_op *op, err_t err)
{
    struct http_request *request = op->request;
    struct storage_loop *loop = op->door.loop;
    unsigned status = http_status_of(err);
    if (status == 409 && op->has_condition)
        status = 412;
    bool is_told = op->is_told;
    http_op_close(op);
    if (is_told || exchange_is_gone(&request->exchange))
        http_request_end(request); /* cut in the middle: the client knows */
    else
        http_answer_error(loop, request, status, err, NULL);
}

/* ---- changes ---- */

const char *http_ack_name(uint8_t ack)
{
    static const char *const names[] = {"none", "memory", "local", "one", "all"};
    return ack < sizeof names / sizeof names[0] ? names[ack] : "none";
}

static void hold_over(struct push_hold *hold)
{
    struct http_op *op = CONTAINER_OF(hold, struct http_op, hold);
    op->tell(op);
    http_op_close(op);
}

void http_op_changed(struct http_op *op, uint8_t ack)
{
    op->is_told = true;
    push_hold_none(&op->hold, op->door.loop, ack);
    if (op->ack < ACK_ONE)
        op->tell(op);
}

void http_op_over(
    struct http_op *op, err_t err, const struct stream *stream, const struct log_append *append)
{
    if (!op->is_told) {
        http_op_fail(op, err);
    } else if (op->ack < ACK_ONE) {
        http_op_close(op);
    } else {
        op->hold.done = hold_over;
        push_hold_append(&op->hold, op->door.loop, stream, append, op->ack);
    }
}

void http_answer_change(
    struct http_op *op, unsigned status, const struct fid *fid, const struct file_result *result)
{
    uint8_t bytes[300 + PUSH_HOLDERS_TEXT_MAX];
    char id[FID_TEXT_MAX], tag[HTTP_TAG_MAX], version[HTTP_TAG_MAX], crc[9];
    struct writer body = {bytes, sizeof bytes, 0, false};
    struct json json;
    size_t size = fid_format(fid, id);
    http_tag_format(result->version, tag);
    (void)snprintf(version, sizeof version, "%llu.%u", (unsigned long long)result->version.counter,
        result->version.machine);
    (void)snprintf(crc, sizeof crc, "%08x", result->crc);
    json_begin(&json, &body);
    json_begin_object(&json, NULL);
    json_text(&json, "id", id);
    json_text(&json, "version", version);
    json_number(&json, "size", result->size);
    json_text(&json, "crc32", crc);
    json_text(&json, "ack", http_ack_name(op->hold.reached));
    json_text(&json, "holders", op->hold.holders);
    json_end(&json);
    write_u8(&body, '\n');
    struct writer w = http_answer_begin(op->door.loop, op->request, status);
    if (status == 201)
        http_header_add(&w, "Location", "/%.*s", (int)size, id);
    http_header_add(&w, "ETag", "%s", tag);
    reply_json(op->request, &w, span_of(bytes, body.size));
}
