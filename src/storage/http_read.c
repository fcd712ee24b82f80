/* GET and HEAD of a file.
 *
 *   find --header known--> judge: conditions, ranges --> 304, 412, 416, HEAD: the find ends here
 *                                                   `--> put, put ... (each range is a find of its own,
 *                                                        bound to the version of the first) */
#include <stdio.h>

#include "base/units.h"
#include "storage/http_op.h"
#include "storage/http_type.h"

static const struct span *header_of(const struct http_op *op, enum http_header header)
{
    const struct span *value = &op->request->head.headers[header];
    return value->data ? value : NULL;
}

static uint64_t seconds_of(uint64_t ns)
{
    return ns / NS_PER_S;
}

/* ---- conditions: RFC 9110 13.2.2 ---- */

static bool was_modified_after(const struct http_op *op, enum http_header header)
{
    uint64_t seconds;
    const struct span *value = header_of(op, header);
    return !http_date_parse(*value, &seconds) || seconds_of(op->answer.header.modify_ns) > seconds;
}

/* 0: go on. */
static unsigned judge_conditions(const struct http_op *op, struct span tag)
{
    const struct span *if_match = header_of(op, HTTP_HEADER_IF_MATCH);
    const struct span *if_none = header_of(op, HTTP_HEADER_IF_NONE_MATCH);
    uint64_t seconds;
    if (if_match && !http_tag_matches(*if_match, tag, true))
        return 412;
    const struct span *since = header_of(op, HTTP_HEADER_IF_UNMODIFIED_SINCE);
    if (!if_match && since && http_date_parse(*since, &seconds)
        && was_modified_after(op, HTTP_HEADER_IF_UNMODIFIED_SINCE))
        return 412;
    if (if_none)
        return http_tag_matches(*if_none, tag, false) ? 304 : 0;
    if (header_of(op, HTTP_HEADER_IF_MODIFIED_SINCE)
        && !was_modified_after(op, HTTP_HEADER_IF_MODIFIED_SINCE))
        return 304;
    return 0;
}

/* If-Range: a tag or a date that must be exactly that of the file, else the whole is sent. */
static bool ranges_count(const struct http_op *op, struct span tag)
{
    const struct span *value = header_of(op, HTTP_HEADER_IF_RANGE);
    uint64_t seconds;
    if (!value)
        return true;
    if (value->size > 0 && (value->data[0] == '"' || value->data[0] == 'W'))
        return http_tag_matches(*value, tag, true);
    return http_date_parse(*value, &seconds) && seconds == seconds_of(op->answer.header.modify_ns);
}

/* ---- ranges ---- */

static uint64_t size_of_range(const struct http_range *range)
{
    return range->last - range->first + 1;
}

static int part_head(const struct http_op *op, const struct http_range *range, char *ret)
{
    const struct http_find_answer *answer = &op->answer;
    return snprintf(ret, HTTP_PART_HEAD_MAX,
        "%s--%s\r\nContent-Type: %s\r\nContent-Range: bytes %llu-%llu/%llu\r\n\r\n",
        range == answer->ranges ? "" : "\r\n", answer->boundary, answer->content_type,
        (unsigned long long)range->first, (unsigned long long)range->last,
        (unsigned long long)answer->header.size);
}

static uint64_t multipart_size(const struct http_op *op)
{
    char head[HTTP_PART_HEAD_MAX];
    uint64_t size = 8 + strlen(op->answer.boundary); /* CR LF -- boundary -- CR LF */
    for (int i = 0; i < op->answer.range_count; i++)
        size += (uint64_t)part_head(op, &op->answer.ranges[i], head)
                + size_of_range(&op->answer.ranges[i]);
    return size;
}

static void judge_ranges(struct http_op *op, struct span tag)
{
    struct http_find_answer *answer = &op->answer;
    const struct span *value = header_of(op, HTTP_HEADER_RANGE);
    answer->status = 200;
    answer->range_count = 0;
    answer->body_size = answer->header.size;
    if (!value || op->request->head.method != HTTP_METHOD_GET || !ranges_count(op, tag))
        return;
    int count = http_range_parse(*value, answer->header.size, answer->ranges);
    if (count < 0)
        return;
    answer->status = count == 0 ? 416 : 206;
    answer->range_count = count;
    if (count == 1)
        answer->body_size = size_of_range(&answer->ranges[0]);
    if (count <= 1)
        return;
    (void)snprintf(answer->boundary, sizeof answer->boundary, "%016llx",
        (unsigned long long)io_random(op->door.loop->io));
    answer->body_size = multipart_size(op);
}

/* ---- the answer's head ---- */

static void keep_content_type(struct http_op *op, struct span attributes)
{
    struct span type = attribute_find(attributes, ATTRIBUTE_CONTENT_TYPE);
    char *field = op->answer.content_type;
    if (type.size > 0 && span_to_text(type, field, sizeof op->answer.content_type)) {
        for (char *at = field; *at != '\0'; at++)
            if (*at < ' ' || *at > '~')
                *at = ' '; /* a client's bytes never become header lines */
        return;
    }
    struct span found = span_of_text(http_type_of_suffix(op->fid.identity.suffix));
    CHECK(span_to_text(found, field, sizeof op->answer.content_type));
}

/* ?download: save as; ?download=NAME: under that name. */
static void add_disposition(const struct http_op *op, struct writer *w)
{
    char name[HTTP_NAME_MAX];
    struct span value = http_query_find(op->request->head.query, "download");
    if (!value.data || err_is(http_decode(value, true, name, sizeof name)))
        return;
    for (char *at = name; *at != '\0'; at++)
        if (*at == '"' || *at == '\\' || (uint8_t)*at < ' ' || *at == 0x7f)
            *at = '_';
    if (name[0] == '\0')
        http_header_add(w, "Content-Disposition", "attachment");
    else
        http_header_add(w, "Content-Disposition", "attachment; filename=\"%s\"", name);
}

static void add_validators(const struct http_op *op, struct writer *w)
{
    const struct slot_header *header = &op->answer.header;
    const struct storage_config *config = &op->door.loop->storage->config;
    char tag[HTTP_TAG_MAX], date[HTTP_DATE_SIZE + 1];
    bool is_mutable = (header->flags & SLOT_MUTABLE) != 0;
    http_tag_format(header->version, tag);
    http_date_format(seconds_of(header->modify_ns), date);
    http_header_text(w, "ETag", tag);
    http_header_text(w, "Last-Modified", date);
    const char *cache = is_mutable ? config->http_cache_mutable : config->http_cache_immutable;
    if (cache[0] != '\0')
        http_header_text(w, "Cache-Control", cache);
}

static struct writer answer_head(struct http_op *op)
{
    const struct http_find_answer *answer = &op->answer;
    struct writer w = http_answer_begin(op->door.loop, op->request, answer->status);
    add_validators(op, &w);
    http_header_text(&w, "Accept-Ranges", "bytes");
    if (answer->range_count > 1)
        http_header_add(&w, "Content-Type", "multipart/byteranges; boundary=%s", answer->boundary);
    else
        http_header_text(&w, "Content-Type", answer->content_type);
    http_header_text(&w, "X-Content-Type-Options", "nosniff");
    if (answer->range_count == 1)
        http_header_add(&w, "Content-Range", "bytes %llu-%llu/%llu",
            (unsigned long long)answer->ranges[0].first, (unsigned long long)answer->ranges[0].last,
            (unsigned long long)answer->header.size);
    add_disposition(op, &w);
    return w;
}

/* ---- judging ---- */

static void choose_range(struct find *find, const struct http_find_answer *answer)
{
    const struct http_range *range = &answer->ranges[answer->range_at];
    if (answer->range_count == 0)
        return;
    find->offset = range->first;
    find->size = size_of_range(range);
}

/* Errors: CANCELLED: answered without content. */
static err_t judge(struct find *find)
{
    struct http_op *op = find->context;
    struct http_find_answer *answer = &op->answer;
    char text[HTTP_TAG_MAX];
    if (op->is_told) {
        choose_range(find, answer);
        return ERR_OK;
    }
    answer->header = find->object.header;
    keep_content_type(op, find->object.attributes);
    http_tag_format(answer->header.version, text);
    struct span tag = span_of_text(text);
    answer->status = judge_conditions(op, tag);
    if (answer->status == 0)
        judge_ranges(op, tag);
    bool has_content = answer->status == 200 || answer->status == 206;
    if (!has_content || op->request->head.method == HTTP_METHOD_HEAD)
        return ERR(CANCELLED, 0);
    choose_range(find, answer);
    return ERR_OK;
}

static void answer_without_content(struct http_op *op)
{
    struct http_request *request = op->request;
    struct storage_loop *loop = op->door.loop;
    const struct http_find_answer *answer = &op->answer;
    struct writer w;
    switch (answer->status) {
    case 412:
        op->has_condition = true;
        http_op_fail(op, ERR(CONFLICT, 0));
        return;
    case 416:
        w = http_answer_begin(loop, request, 416);
        http_header_add(
            &w, "Content-Range", "bytes */%llu", (unsigned long long)answer->header.size);
        break;
    case 304:
        w = http_answer_begin(loop, request, 304);
        add_validators(op, &w);
        break;
    default:
        w = answer_head(op);
        break;
    }
    uint64_t size = answer->status == 200 ? answer->header.size : 0;
    loop->counters.finds++;
    http_op_close(op);
    http_reply(request, &w, size, NULL, 0, NULL);
    http_request_end(request);
}

/* ---- content ---- */

static unsigned add_part_frame(
    struct http_op *op, struct iovec *data, unsigned count, bool is_first, bool is_last)
{
    struct http_find_answer *answer = &op->answer;
    if (answer->range_count < 2)
        return count;
    if (is_first) {
        int size = part_head(op, &answer->ranges[answer->range_at], answer->part);
        memmove(&data[1], &data[0], sizeof data[0] * count++);
        data[0] = (struct iovec){answer->part, (size_t)size};
    }
    if (is_last && answer->range_at + 1 == answer->range_count) {
        int size = snprintf(answer->end, sizeof answer->end, "\r\n--%s--\r\n", answer->boundary);
        data[count++] = (struct iovec){answer->end, (size_t)size};
    }
    return count;
}

static void put(struct outlet *outlet, struct span data, bool is_last, struct machine *machine)
{
    struct http_op *op = CONTAINER_OF(outlet, struct http_op, door.outlet);
    struct storage_loop *loop = op->door.loop;
    struct find *find = &op->file.find;
    bool is_first = find->at - data.size == find->offset;
    struct iovec iov[NET_DATA_PIECES] = {{(void *)(uintptr_t)data.data, data.size}};
    unsigned count = add_part_frame(op, iov, data.size > 0 ? 1 : 0, is_first, is_last);
    op->door.outlet_machine = machine;
    loop->counters.bytes_out += data.size;
    if (op->is_told) {
        http_reply_data(op->request, iov, count, door_piece_sent);
        return;
    }
    op->is_told = true;
    loop->counters.finds++;
    struct writer w = answer_head(op);
    http_reply(op->request, &w, op->answer.body_size, iov, count, door_piece_sent);
}

static void start_find(struct http_op *op);

static void known(struct find *find)
{
    struct http_op *op = find->context;
    op->version = find->object.header.version;
}

/* The owner's loop has to look: the connection goes there, and asks again. */
static void move_to_owner(struct http_op *op)
{
    struct http_request *request = op->request;
    struct storage_loop *loop = op->door.loop;
    uint16_t owner = store_owner_loop(&loop->store, &op->fid);
    http_op_close(op);
    if (owner == loop->index)
        http_answer_error(loop, request, 503, ERR(UNAVAILABLE, 0), NULL);
    else
        http_request_move(request, &loop->storage->loops[owner].http.server);
}

static void send_on(struct http_op *op)
{
    struct http_request *request = op->request;
    struct storage_loop *loop = op->door.loop;
    door_op_leave(&op->door);
    http_send_on(loop, request, ERR(NOT_FOUND, 0));
}

static void over(struct find *find)
{
    struct http_op *op = find->context;
    struct http_find_answer *answer = &op->answer;
    err_t err = find->machine.err;
    if (err_has(err, ERR_CODE_CANCELLED) && !op->is_told && answer->status != 0)
        answer_without_content(op);
    else if (err_has(err, ERR_CODE_UNAVAILABLE) && !op->is_told)
        move_to_owner(op);
    else if (err_has(err, ERR_CODE_NOT_FOUND) && op->door.loop->state < STATE_RUNNING)
        send_on(op); /* what it has not heard of may be elsewhere */
    else if (err_is(err))
        http_op_fail(op, err);
    else if (++answer->range_at < answer->range_count)
        start_find(op);
    else {
        struct http_request *request = op->request;
        http_op_close(op);
        http_request_end(request);
    }
}

static void start_find(struct http_op *op)
{
    op->file.find = (struct find){.fid = op->fid,
        .if_version = op->version,
        .judge = judge,
        .on_result = known,
        .done = over,
        .context = op};
    find_start(&op->file.find, &op->door.loop->store, &op->door.outlet);
}

void http_read(struct storage_loop *loop, struct http_request *request, const struct fid *fid)
{
    struct http_op *op = http_op_open(loop, request);
    if (!op)
        return;
    op->fid = *fid;
    op->door.outlet = (struct outlet){.put = put};
    start_find(op);
}
