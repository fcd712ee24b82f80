/* Who may do what at the HTTP door: open, off, or with a signature that expires. */
#include <stdio.h>

#include "base/units.h"
#include "storage/http_op.h"
#include "wire/fdfs_meta.h"

void http_access_sign(const struct secret *secret, const char *method, struct span path,
    uint64_t expires, struct key32 *ret)
{
    uint8_t text[HTTP_TARGET_MAX + 64];
    struct writer w = {text, sizeof text, 0, false};
    char number[24];
    int number_size = snprintf(number, sizeof number, "%llu", (unsigned long long)expires);
    write_bytes(&w, method, strlen(method));
    write_u8(&w, '\n');
    write_bytes(&w, path.data, path.size);
    write_u8(&w, '\n');
    write_bytes(&w, number, (size_t)number_size);
    CHECK(!w.failed);
    auth_sign(secret, span_of(text, w.size), ret);
}

static err_t check_signature(struct storage_loop *loop, const struct http_request *request)
{
    const struct http_head *head = &request->head;
    const struct secret *secret = loop->storage->options.http_secret;
    struct key32 given, wanted;
    uint64_t expires;
    err_t err = ERR_OK;
    if (!http_query_number(head->query, "expires", &expires, &err) || err_is(err) || !secret
        || !secret_is_set(secret)
        || !http_hex_read(
            http_query_find(head->query, "signature"), given.bytes, sizeof given.bytes))
        return ERR(DENIED, 0);
    if (io_wall(loop->io) / NS_PER_S > expires)
        return ERR(DENIED, 0);
    const char *method = head->method == HTTP_METHOD_HEAD ? "GET" : http_method_name(head->method);
    http_access_sign(secret, method, head->path, expires, &wanted);
    return auth_proof_equals(&given, &wanted) ? ERR_OK : ERR(DENIED, 0);
}

/* A link as FastDFS signs it: the name without its group. */
static bool has_token(struct storage_loop *loop, const struct http_request *request)
{
    const struct http_head *head = &request->head;
    const struct secret *secret = loop->storage->options.token_secret;
    struct span inner = span_of(head->path.data + 1, head->path.size - 1);
    const uint8_t *slash = memchr(inner.data, '/', inner.size);
    uint64_t time_s;
    err_t err;
    if (!secret || secret->size == 0 || !slash
        || !http_query_number(head->query, "ts", &time_s, &err) || err_is(err))
        return false;
    size_t skip = (size_t)(slash + 1 - inner.data);
    return fdfs_token_is_valid(http_query_find(head->query, "token"),
        span_of(slash + 1, inner.size - skip), span_of(secret->bytes, secret->size), time_s,
        io_wall(loop->io) / NS_PER_S, loop->storage->config.http_token_ttl_ns / NS_PER_S);
}

err_t http_access_check(
    struct storage_loop *loop, const struct http_request *request, bool is_change)
{
    const struct storage_config *config = &loop->storage->config;
    switch (is_change ? config->http_write : config->http_read) {
    case HTTP_ACCESS_OPEN:
        return ERR_OK;
    case HTTP_ACCESS_SIGNED:
        if (!is_change && has_token(loop, request))
            return ERR_OK;
        return check_signature(loop, request);
    default:
        return ERR(DENIED, 0);
    }
}
