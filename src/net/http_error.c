#include "net/http_error.h"

#include "base/json.h"

unsigned http_status_of(err_t err)
{
    switch (err.code) {
    case ERR_CODE_USAGE:
    case ERR_CODE_PROTOCOL:
    case ERR_CODE_CLOSED:
    case ERR_CODE_UNSUPPORTED:
        return 400;
    case ERR_CODE_DENIED:
        return 403;
    case ERR_CODE_NOT_FOUND:
    case ERR_CODE_WRONG_NODE:
        return 404;
    case ERR_CODE_IMMUTABLE:
        return 405;
    case ERR_CODE_CONFLICT:
        return 409;
    case ERR_CODE_TOO_LARGE:
        return 413;
    case ERR_CODE_RANGE:
        return 416;
    case ERR_CODE_NO_SPACE:
        return 507;
    case ERR_CODE_UNAVAILABLE:
    case ERR_CODE_BUSY:
    case ERR_CODE_OFFLINE:
    case ERR_CODE_NO_RESOURCE:
        return 503;
    case ERR_CODE_TIMEOUT:
        return 504;
    default:
        return 500;
    }
}

static void add_name(struct json *json, err_t err)
{
    char name[32];
    size_t i = 0;
    for (const char *at = err_name(err.code); *at != '\0' && i + 1 < sizeof name; at++)
        name[i++] = (char)(*at >= 'A' && *at <= 'Z' ? *at | 0x20 : *at);
    name[i] = '\0';
    json_text(json, "error", name);
}

void http_reply_error(struct http_request *request, struct writer *headers, unsigned status,
    err_t err, const char *text)
{
    uint8_t bytes[HTTP_ERROR_SIZE];
    struct writer body = {bytes, sizeof bytes, 0, false};
    struct json json;
    const char *message = text ? text : err_sentence(err.code);
    size_t size = strlen(message);
    json_begin(&json, &body);
    json_begin_object(&json, NULL);
    json_number(&json, "status", status);
    add_name(&json, err);
    json_span(&json, "message", span_of(message, size < 320 ? size : 320));
    json_end(&json);
    write_u8(&body, '\n');
    if (status == 503)
        http_header_add(headers, "Retry-After", "1");
    http_header_add(headers, "Content-Type", "application/json");
    http_reply_with(request, headers, span_of(bytes, body.size));
    http_request_end(request);
}
