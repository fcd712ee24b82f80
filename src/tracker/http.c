/* The HTTP door of a tracker: where to go, for programs that know nothing of Cairn. doc/http.md.
 *
 *   GET /status                    what the tracker knows, as JSON (status.h)
 *   GET /metrics                   the same for Prometheus (metrics.c)
 *   GET /assign?pool=P&size=N      storages to upload to, best first, as JSON
 *   POST /<pool>, PUT /<pool>/<name>             307 to a storage that takes it
 *   GET, HEAD, PUT, PATCH, POST, DELETE /<id>    307 to a storage that has it
 *
 * Nothing of a body is read: who sends one first asks (Expect: 100-continue), or has a short one. */
#include "base/json.h"
#include "base/units.h"
#include "doors/metrics_page.h"
#include "net/http_error.h"
#include "tracker/internal.h"

enum {
    TARGET_MAX = 400, /* bytes of path and query that are repeated in a Location */
    ASSIGNED_MAX = 8, /* storages named */
};

static struct tracker *tracker_of(const struct http_request *request)
{
    return request->server->config.role;
}

static void refuse(struct http_request *request, unsigned status, err_t err, const char *text)
{
    tracker_of(request)->counters.http_refused++;
    struct writer w = http_reply_begin(request, status);
    if (status == 405)
        http_header_add(&w, "Allow", "GET, HEAD, PUT, POST, PATCH, DELETE");
    http_reply_error(request, &w, status, err, text);
}

static bool is_reading(const struct http_request *request)
{
    enum http_verb method = request->head.method;
    return method == HTTP_METHOD_GET || method == HTTP_METHOD_HEAD;
}

/* ---- whom to ask ---- */

/* The best storage that has an HTTP door, and those behind it. False: the request was refused. */
static bool ask(
    struct http_request *request, const struct msg_query *query, struct registry_answer *ret)
{
    struct tracker *tracker = tracker_of(request);
    err_t err = registry_query(&tracker->registry, query, ret);
    if (err_is(err)) {
        refuse(request, http_status_of(err), err, ret->reason);
        return false;
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < ret->count; i++)
        if (ret->storages[i].http_address[0] != '\0')
            ret->storages[count++] = ret->storages[i];
    ret->count = count;
    if (count == 0)
        refuse(request, 503, ERR(UNAVAILABLE, 0), "no storage of this group has an HTTP door");
    return count > 0;
}

static void redirect(struct http_request *request, const struct msg_query *query)
{
    const struct http_head *head = &request->head;
    struct registry_answer answer;
    if (head->path.size + head->query.size > TARGET_MAX) {
        refuse(request, 414, ERR(TOO_LARGE, 0), "path and query are too long to be sent elsewhere");
        return;
    }
    if (!ask(request, query, &answer))
        return;
    struct writer w = http_reply_begin(request, 307);
    http_header_add(&w, "Location", "http://%s%.*s%s%.*s", answer.storages[0].http_address,
        (int)head->path.size, (const char *)head->path.data, head->query.data ? "?" : "",
        (int)head->query.size, (const char *)head->query.data);
    http_header_add(&w, "Cache-Control", "no-store");
    http_reply(request, &w, 0, NULL, 0, NULL);
    http_request_end(request);
}

static void write_assigned(struct json *json, const struct registry_answer *answer)
{
    char text[REGISTRY_ADDRESS_MAX + 8];
    json_begin_object(json, NULL);
    json_text(json, "group", answer->group);
    json_begin_array(json, "storages");
    for (uint32_t i = 0; i < answer->count && i < ASSIGNED_MAX; i++) {
        const struct registry_named *named = &answer->storages[i];
        struct text url;
        json_begin_object(json, NULL);
        json_number(json, "machine", named->machine);
        json_text(json, "group", named->group);
        text_init(&url, text, sizeof text);
        text_add(&url, "http://%s", named->http_address);
        json_text(json, "url", text);
        json_end(json);
    }
    json_end(json);
    json_end(json);
}

static void assign(struct http_request *request)
{
    struct registry_answer answer;
    uint8_t bytes[ASSIGNED_MAX * 160 + 64];
    struct writer body = {bytes, sizeof bytes, 0, false};
    struct json json;
    struct span query = request->head.query;
    struct msg_query wanted = {.purpose = QUERY_UPLOAD,
        .pool = http_query_find(query, "pool"),
        .group = http_query_find(query, "group")};
    err_t err;
    if (http_query_number(query, "size", &wanted.size, &err) && err_is(err)) {
        refuse(request, 400, err, "size: not a number of bytes");
        return;
    }
    if (!ask(request, &wanted, &answer))
        return;
    json_begin(&json, &body);
    write_assigned(&json, &answer);
    write_u8(&body, '\n');
    CHECK(!body.failed);
    struct writer w = http_reply_begin(request, 200);
    http_header_add(&w, "Content-Type", "application/json");
    http_header_add(&w, "Cache-Control", "no-store");
    http_reply_with(request, &w, span_of(bytes, body.size));
    http_request_end(request);
}

/* ---- what the tracker knows ---- */

static void page_sent(struct exchange *exchange, err_t err)
{
    struct tracker *tracker = tracker_of(http_request_of(exchange));
    (void)err; /* nobody is there any more: nothing to do about it */
    pool_give(&tracker->pages, exchange->op);
    exchange_end(exchange);
}

static void send_page(
    struct http_request *request, struct tracker_page *page, const char *content_type, size_t size)
{
    request->exchange.op = page;
    struct writer w = http_reply_begin(request, 200);
    http_header_add(&w, "Content-Type", "%s", content_type);
    http_header_add(&w, "Cache-Control", "no-store");
    page->data = (struct iovec){page->bytes, size};
    http_reply(request, &w, size, &page->data, 1, page_sent);
}

static void tell_metrics(struct http_request *request)
{
    struct tracker *tracker = tracker_of(request);
    struct tracker_page *page = pool_take(&tracker->pages, &tracker->http.exchange.acceptor.owner);
    struct text text;
    if (!page) {
        refuse(request, 503, ERR(BUSY, 0), NULL);
        return;
    }
    text_init(&text, (char *)page->bytes, tracker_page_size(&tracker->tables));
    tracker_write_metrics(tracker, &text);
    CHECK(!text.is_cut);
    send_page(request, page, METRICS_CONTENT_TYPE, text.size);
}

static void tell_status(struct http_request *request)
{
    struct tracker *tracker = tracker_of(request);
    struct tracker_page *page = pool_take(&tracker->pages, &tracker->http.exchange.acceptor.owner);
    if (!page) {
        refuse(request, 503, ERR(BUSY, 0), NULL);
        return;
    }
    struct writer content = {.data = page->bytes, .capacity = tracker_page_size(&tracker->tables)};
    tracker_write_status(tracker, &content);
    CHECK(!content.failed);
    send_page(request, page, "application/json", content.size);
}

/* ---- the door ---- */

static uint8_t purpose_of(enum http_verb method)
{
    if (method == HTTP_METHOD_GET || method == HTTP_METHOD_HEAD)
        return QUERY_FIND;
    return method == HTTP_METHOD_DELETE ? QUERY_DELETE : QUERY_MODIFY;
}

/* "group1/M00/..." names a file, ours or one that came from FastDFS. False: it does not. */
static bool names_file(struct span inner, struct msg_query *ret)
{
    struct fid fid;
    if (!fid_group_of(inner, &ret->group))
        return false;
    if (!err_is(fid_parse(inner, &fid)))
        ret->origin = fid.identity.origin;
    return true;
}

static void serve_path(struct http_request *request)
{
    const struct http_head *head = &request->head;
    struct span inner = span_of(head->path.data + 1, head->path.size - 1);
    struct msg_query query = {.purpose = purpose_of(head->method)};
    if (names_file(inner, &query)) {
        redirect(request, &query);
        return;
    }
    if (head->method != HTTP_METHOD_POST && head->method != HTTP_METHOD_PUT) {
        refuse(request, 404, ERR(NOT_FOUND, 0),
            "no file id: GET /<id>, /status, /assign; POST /<pool> stores a file");
        return;
    }
    const uint8_t *slash = memchr(inner.data, '/', inner.size);
    query = (struct msg_query){.purpose = QUERY_UPLOAD,
        .pool = slash ? span_of(inner.data, (size_t)(slash - inner.data)) : inner,
        .size = head->has_length ? head->content_length : 0};
    redirect(request, &query);
}

static void on_request(struct http_server *server, struct http_request *request)
{
    struct tracker *tracker = server->config.role;
    const struct http_head *head = &request->head;
    tracker->counters.http_requests++;
    if (head->method == HTTP_METHOD_OTHER || head->method == HTTP_METHOD_OPTIONS)
        refuse(request, 405, ERR(UNSUPPORTED, 0), "no such method here");
    else if (is_reading(request) && span_equals_text(head->path, "/status"))
        tell_status(request);
    else if (is_reading(request) && span_equals_text(head->path, "/metrics"))
        tell_metrics(request);
    else if (is_reading(request) && span_equals_text(head->path, "/assign"))
        assign(request);
    else
        serve_path(request);
}

err_t tracker_http_start(struct tracker *tracker)
{
    const struct tracker_config *config = &tracker->config;
    if (config->http_address.family == 0)
        return ERR_OK;
    TRY(http_server_start(&tracker->http, &tracker->loop,
        &(struct http_server_config){.exchange = {.address = config->http_address,
                                         .listen_count = 1,
                                         .connection_max = config->http_connection_max,
                                         .idle_timeout_ns = config->idle_ns,
                                         .head_timeout_ns = 10 * NS_PER_S,
                                         .send_timeout_ns = 10 * NS_PER_S},
            .on_request = on_request,
            .role = tracker}));
    tracker->has_http = true;
    return ERR_OK;
}
