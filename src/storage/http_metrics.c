/* GET /metrics at the HTTP door: on loop 0, where the tour comes home. */
#include "storage/http_op.h"
#include "storage/metrics.h"

static void scrape_sent(struct exchange *exchange, err_t err)
{
    (void)err; /* nobody is there any more: nothing to do about it */
    metrics_scrape_end(exchange->op);
    exchange_end(exchange);
}

static void scrape_ready(struct metrics_scrape *scrape)
{
    struct http_request *request = scrape->context;
    if (scrape->text.is_cut) {
        struct storage_loop *loop = &scrape->storage->loops[0];
        metrics_scrape_end(scrape);
        http_answer_error(loop, request, 500, ERR(TOO_LARGE, 0), NULL);
        return;
    }
    struct writer w = http_reply_begin(request, 200);
    http_header_add(&w, "Content-Type", METRICS_CONTENT_TYPE);
    scrape->iov = (struct iovec){scrape->data, scrape->text.size};
    http_reply(request, &w, scrape->text.size, &scrape->iov, 1, scrape_sent);
}

bool http_metrics(struct storage_loop *loop, struct http_request *request)
{
    const struct http_head *head = &request->head;
    struct storage *storage = loop->storage;
    bool is_get = head->method == HTTP_METHOD_GET || head->method == HTTP_METHOD_HEAD;
    if (!is_get || !storage->config.http_metrics || !span_equals_text(head->path, "/metrics"))
        return false;
    if (loop->index != 0) {
        http_request_move(request, &storage->loops[0].http.server);
        return true;
    }
    request->exchange.op =
        metrics_scrape_begin(storage, &loop->http.door.owner, scrape_ready, request);
    if (!request->exchange.op)
        http_answer_error(loop, request, 503, ERR(BUSY, 0), "others are reading the metrics");
    return true;
}
