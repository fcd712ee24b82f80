/* libcairn: the blocking interface of include/cairn/cairn.h over the operations of client.h. One
 * loop per client; a call starts one operation and turns the loop until it is done. */
#include "cairn/cairn.h"

#include <errno.h>

#include "base/units.h"
#include "client/client.h"
#include "io/backend.h"

enum { TIMEOUT_MS_DEFAULT = 15000, RETRIES_DEFAULT = 4, RING_ENTRIES = 64 };

/* The numbers of the header are those of the wire. */
#define X(name, number, exit_code, text) \
    _Static_assert((int)CAIRN_##name == number, "the header and the wire disagree: " text);
ERR_CODES(X)
#undef X
_Static_assert((int)CAIRN_ACK_ALL == ACK_ALL && (int)CAIRN_TRUNCATE == MODIFY_TRUNCATE
                   && (int)CAIRN_ID_SIZE == FID_TEXT_MAX,
    "the header and the wire disagree");

struct cairn_client {
    struct io *io;
    struct mem mem;
    struct owner owner;
    struct client client;
    struct client_op op;
    uint8_t *buffer; /* for sources with a callback */
    bool is_done;
    char sentence[CLIENT_SENTENCE_MAX];
};

const char *cairn_error_text(int error)
{
    return err_sentence(error);
}

const char *cairn_error_name(int error)
{
    return err_name(error);
}

const char *cairn_version(void)
{
    return CAIRN_VERSION;
}

const char *cairn_client_error(const cairn_client *client)
{
    return client->sentence;
}

/* ---- the client ---- */

static err_t take_trackers(const struct cairn_options *options, struct client_config *config)
{
    static const char *const loopback = "127.0.0.1:7700";
    const char *const *trackers = options->trackers ? options->trackers : &loopback;
    size_t count = options->trackers ? options->tracker_count : 1;
    if (count == 0 || count > CLIENT_TRACKERS_MAX)
        return ERR(USAGE, 0);
    for (size_t i = 0; i < count; i++)
        TRY(io_address_parse(trackers[i], &config->trackers[i]));
    config->tracker_count = count;
    return ERR_OK;
}

static err_t take_options(const struct cairn_options *options, struct client_config *config)
{
    const struct cairn_options defaults = cairn_options_default();
    options = options ? options : &defaults;
    if (options->struct_size < sizeof *options) /* the first version: nothing is shorter */
        return ERR(USAGE, 0);
    uint32_t timeout_ms = options->timeout_ms ? options->timeout_ms : TIMEOUT_MS_DEFAULT;
    *config = (struct client_config){.timeout_ns = ns_from_ms(timeout_ms),
        .retries = options->retries ? options->retries : RETRIES_DEFAULT,
        .connections_max = 1,
        .operations_max = 1};
    if (options->secret)
        TRY(secret_read(span_of_text(options->secret), &config->secret));
    return take_trackers(options, config);
}

static err_t open_parts(struct cairn_client *client, const struct client_config *config)
{
    void *buffer;
    TRY(mem_take(&client->mem, &client->owner, FRAME_DATA_MAX, 4096, &buffer));
    err_t err = client_init(&client->client, client->io, &client->mem, config);
    if (err_is(err))
        mem_give(&client->mem, buffer);
    else
        client->buffer = buffer;
    return err;
}

static err_t client_new(const struct cairn_options *options, struct cairn_client **ret_client)
{
    struct client_config config;
    struct io *io;
    TRY(take_options(options, &config));
    TRY(backend_io_new(&(struct backend_options){.entries = RING_ENTRIES, .loop_count = 1}, &io));
    struct cairn_client *client = mem_object_new(sizeof *client, 0);
    err_t err = client ? ERR_OK : ERR(NO_RESOURCE, ENOMEM);
    if (!err_is(err)) {
        *client = (struct cairn_client){.io = io};
        mem_init(&client->mem, &io->ledger);
        owner_open(&client->owner, "libcairn", DIRECTION_CLIENT, 0);
        err = open_parts(client, &config);
    }
    if (err_is(err)) {
        mem_object_free(client);
        io->backend->free(io);
        return err;
    }
    *ret_client = client;
    return ERR_OK;
}

int cairn_client_open(const struct cairn_options *options, cairn_client **ret_client)
{
    return client_new(options, ret_client).code;
}

void cairn_client_close(cairn_client *client)
{
    if (!client)
        return;
    struct io *io = client->io;
    client_shutdown(&client->client);
    while (!client_is_closed(&client->client))
        io_turn(io, true);
    client_fini(&client->client);
    mem_give(&client->mem, client->buffer);
    owner_close(&client->owner);
    mem_object_free(client);
    io->backend->free(io);
}

/* ---- one call ---- */

static int refuse(struct cairn_client *client, int error, const char *sentence)
{
    struct text text;
    text_init(&text, client->sentence, sizeof client->sentence);
    text_add(&text, "%s", sentence);
    return error;
}

static void call_done(struct client_op *op)
{
    ((struct cairn_client *)op->context)->is_done = true;
}

static struct client_op *call_begin(struct cairn_client *client, uint8_t type)
{
    client->op = (struct client_op){.type = type, .done = call_done, .context = client};
    client->is_done = false;
    return &client->op;
}

static int call_run(struct cairn_client *client)
{
    io_turn(client->io, false); /* the clock may have stood for long */
    client_start(&client->client, &client->op);
    while (!client->is_done)
        io_turn(client->io, true);
    memcpy(client->sentence, client->op.sentence, sizeof client->sentence);
    return client->op.machine.err.code;
}

static struct cairn_file_version version_out(struct version version)
{
    return (struct cairn_file_version){version.counter, version.machine, 0};
}

static struct version version_in(struct cairn_file_version version)
{
    return (struct version){version.counter, version.machine};
}

static struct span span_of_text_or_none(const char *text)
{
    return text ? span_of_text(text) : span_of(NULL, 0);
}

/* A text of a reply into a field of the caller's, cut if need be. */
static void text_out(struct span span, char *field, size_t size)
{
    size_t length = span.size < size ? span.size : size - 1;
    if (length > 0)
        memcpy(field, span.data, length);
    field[length] = '\0';
}

/* ---- contents ---- */

struct memory_source {
    struct client_source source;
    const uint8_t *data;
    size_t size, at;
};

static void memory_fill(struct client_source *source, uint8_t *buffer, size_t size)
{
    struct memory_source *memory = CONTAINER_OF(source, struct memory_source, source);
    size_t left = memory->size - memory->at, count = left < size ? left : size;
    const uint8_t *data = memory->data ? memory->data + memory->at : buffer;
    memory->at += count;
    client_source_lent(source, data, count);
}

static bool memory_rewind(struct client_source *source)
{
    CONTAINER_OF(source, struct memory_source, source)->at = 0;
    return true;
}

static struct memory_source memory_source(const void *data, size_t size)
{
    return (struct memory_source){
        .source = {.fill = memory_fill, .rewind = memory_rewind}, .data = data, .size = size};
}

struct callback_source {
    struct client_source source;
    cairn_read_fn *read;
    void *context;
    uint64_t left; /* of the announced size */
    bool is_at_end;
};

/* Whole pieces, however little the callback gives at a time. */
static void callback_fill(struct client_source *source, uint8_t *buffer, size_t size)
{
    struct callback_source *from = CONTAINER_OF(source, struct callback_source, source);
    size_t want = from->left < size ? (size_t)from->left : size, count = 0;
    while (count < want && !from->is_at_end) {
        int64_t result = from->read(from->context, buffer + count, want - count);
        if (result < 0 || (uint64_t)result > want - count) {
            client_source_filled(source, -ECANCELED);
            return;
        }
        from->is_at_end = result == 0;
        count += (size_t)result;
    }
    if (from->left != CAIRN_SIZE_UNKNOWN)
        from->left -= count;
    client_source_filled(source, (int64_t)count);
}

static struct callback_source callback_source(cairn_read_fn *read, void *context, uint64_t size)
{
    return (struct callback_source){
        .source = {.fill = callback_fill}, .read = read, .context = context, .left = size};
}

struct memory_sink {
    struct client_sink sink;
    uint8_t *data;
    size_t capacity, size;
};

static err_t memory_begin(struct client_sink *sink, const struct client_op *op)
{
    struct memory_sink *memory = CONTAINER_OF(sink, struct memory_sink, sink);
    memory->size = 0;
    return op->type == MSG_FIND && op->reply.found.size > memory->capacity ? ERR(TOO_LARGE, 0)
                                                                           : ERR_OK;
}

static err_t memory_take(struct client_sink *sink, struct span data)
{
    struct memory_sink *memory = CONTAINER_OF(sink, struct memory_sink, sink);
    if (data.size > memory->capacity - memory->size)
        return ERR(TOO_LARGE, 0);
    memcpy(memory->data + memory->size, data.data, data.size);
    memory->size += data.size;
    return ERR_OK;
}

static struct memory_sink memory_sink(void *data, size_t capacity)
{
    return (struct memory_sink){
        .sink = {.take = memory_take, .begin = memory_begin}, .data = data, .capacity = capacity};
}

struct callback_sink {
    struct client_sink sink;
    cairn_write_fn *write;
    void *context;
};

static err_t callback_take(struct client_sink *sink, struct span data)
{
    struct callback_sink *to = CONTAINER_OF(sink, struct callback_sink, sink);
    return to->write(to->context, data.data, data.size) == 0 ? ERR_OK : ERR(CANCELLED, 0);
}

/* ---- upload ---- */

static bool slack_of(const struct cairn_upload *how, uint32_t *ret)
{
    if (how->slack_percent > 1000 || how->slack_bytes >= SLACK_IS_BYTES
        || (how->slack_percent > 0 && how->slack_bytes > 0))
        return false;
    *ret = how->slack_bytes > 0 ? how->slack_bytes | SLACK_IS_BYTES : how->slack_percent;
    return true;
}

static uint8_t ack_of(uint32_t ack)
{
    return (uint8_t)ack; /* the same numbers */
}

static int upload(cairn_client *client, const struct cairn_upload *how, uint64_t size,
    struct client_source *source, struct cairn_uploaded *ret)
{
    const struct cairn_upload defaults = cairn_upload_default();
    how = how ? how : &defaults;
    uint32_t slack;
    if (how->struct_size < sizeof *how || how->ack > CAIRN_ACK_ALL || !slack_of(how, &slack)
        || how->mutability > CAIRN_MUTABLE_NO)
        return refuse(client, CAIRN_USAGE, "struct cairn_upload: a field is out of its range");
    static const uint8_t mutability[] = {2, 1, 0};
    struct client_op *op = call_begin(client, MSG_UPLOAD);
    op->source = source;
    op->buffer = client->buffer;
    op->request.upload = (struct msg_upload){.pool = span_of_text_or_none(how->pool),
        .ack = ack_of(how->ack),
        .is_mutable = mutability[how->mutability],
        .size_known = size != CAIRN_SIZE_UNKNOWN,
        .size = size != CAIRN_SIZE_UNKNOWN ? size : 0,
        .slack = slack,
        .suffix = span_of_text_or_none(how->suffix),
        .content_type = span_of_text_or_none(how->content_type),
        .expires = how->expires,
        .metadata = span_of_text_or_none(how->metadata)};
    int error = call_run(client);
    if (error != CAIRN_OK)
        return error;
    const struct msg_uploaded *uploaded = &op->reply.uploaded;
    *ret = (struct cairn_uploaded){.version = version_out(uploaded->version),
        .size = uploaded->size,
        .crc = uploaded->crc,
        .ack = uploaded->ack,
        .holder_count = uploaded->holder_count,
        .machine = uploaded->machine};
    text_out(uploaded->id, ret->id, sizeof ret->id);
    return CAIRN_OK;
}

int cairn_upload(cairn_client *client, const struct cairn_upload *how, const void *data,
    size_t size, struct cairn_uploaded *ret_uploaded)
{
    struct memory_source from = memory_source(data, size);
    return upload(client, how, size, &from.source, ret_uploaded);
}

int cairn_upload_stream(cairn_client *client, const struct cairn_upload *how, uint64_t size,
    cairn_read_fn *read, void *context, struct cairn_uploaded *ret_uploaded)
{
    struct callback_source from = callback_source(read, context, size);
    return upload(client, how, size, &from.source, ret_uploaded);
}

/* ---- find ---- */

static int find(cairn_client *client, const char *id, const struct cairn_find *how,
    struct client_sink *sink, struct cairn_found *ret)
{
    const struct cairn_find defaults = cairn_find_default();
    how = how ? how : &defaults;
    if (how->struct_size < sizeof *how)
        return refuse(client, CAIRN_USAGE, "struct cairn_find: struct_size is too small");
    struct client_op *op = call_begin(client, MSG_FIND);
    op->sink = sink;
    op->machine_only = how->machine;
    op->request.find = (struct msg_find){.id = span_of_text(id),
        .offset = how->offset,
        .size = how->size,
        .if_version = version_in(how->if_version),
        .local_only = how->machine != 0};
    int error = call_run(client);
    if (error != CAIRN_OK)
        return error;
    const struct msg_found *found = &op->reply.found;
    *ret = (struct cairn_found){.version = version_out(found->version),
        .total = found->total,
        .offset = found->offset,
        .size = op->content_size,
        .create_ns = found->create_ns,
        .modify_ns = found->modify_ns,
        .crc = found->crc,
        .machine = op->answered_by};
    text_out(found->content_type, ret->content_type, sizeof ret->content_type);
    return CAIRN_OK;
}

int cairn_find(cairn_client *client, const char *id, const struct cairn_find *how, void *buffer,
    size_t capacity, struct cairn_found *ret_found)
{
    struct memory_sink to = memory_sink(buffer, capacity);
    return find(client, id, how, &to.sink, ret_found);
}

int cairn_find_stream(cairn_client *client, const char *id, const struct cairn_find *how,
    cairn_write_fn *write, void *context, struct cairn_found *ret_found)
{
    struct callback_sink to = {.sink = {.take = callback_take}, .write = write, .context = context};
    return find(client, id, how, &to.sink, ret_found);
}

/* ---- modify ---- */

static int modify(cairn_client *client, const char *id, const struct cairn_modify *how,
    uint64_t size, struct client_source *source, struct cairn_modified *ret)
{
    const struct cairn_modify defaults = cairn_modify_default();
    how = how ? how : &defaults;
    if (how->struct_size < sizeof *how || how->ack > CAIRN_ACK_ALL || how->mode > CAIRN_TRUNCATE)
        return refuse(client, CAIRN_USAGE, "struct cairn_modify: a field is out of its range");
    bool is_truncate = how->mode == CAIRN_TRUNCATE;
    struct client_op *op = call_begin(client, MSG_MODIFY);
    op->source = is_truncate ? NULL : source;
    op->buffer = client->buffer;
    op->request.modify = (struct msg_modify){.id = span_of_text(id),
        .ack = ack_of(how->ack),
        .mode = how->mode == 0 ? MODIFY_REPLACE : (uint8_t)how->mode,
        .offset = how->offset,
        .size_known = is_truncate || size != CAIRN_SIZE_UNKNOWN,
        .size = is_truncate || size == CAIRN_SIZE_UNKNOWN ? 0 : size,
        .if_version = version_in(how->if_version)};
    int error = call_run(client);
    if (error != CAIRN_OK)
        return error;
    const struct msg_modified *modified = &op->reply.modified;
    *ret = (struct cairn_modified){.version = version_out(modified->version),
        .size = modified->size,
        .crc = modified->crc,
        .ack = modified->ack,
        .holder_count = modified->holder_count,
        .machine = op->answered_by};
    return CAIRN_OK;
}

int cairn_modify(cairn_client *client, const char *id, const struct cairn_modify *how,
    const void *data, size_t size, struct cairn_modified *ret_modified)
{
    struct memory_source from = memory_source(data, size);
    return modify(client, id, how, size, &from.source, ret_modified);
}

int cairn_modify_stream(cairn_client *client, const char *id, const struct cairn_modify *how,
    uint64_t size, cairn_read_fn *read, void *context, struct cairn_modified *ret_modified)
{
    struct callback_source from = callback_source(read, context, size);
    return modify(client, id, how, size, &from.source, ret_modified);
}

/* ---- delete, stat ---- */

int cairn_delete_file(cairn_client *client, const char *id, const struct cairn_delete *how,
    struct cairn_deleted *ret_deleted)
{
    const struct cairn_delete defaults = cairn_delete_default();
    how = how ? how : &defaults;
    if (how->struct_size < sizeof *how || how->ack > CAIRN_ACK_ALL)
        return refuse(client, CAIRN_USAGE, "struct cairn_delete: a field is out of its range");
    struct client_op *op = call_begin(client, MSG_DELETE);
    op->request.delete = (struct msg_delete){
        .id = span_of_text(id), .ack = ack_of(how->ack), .if_version = version_in(how->if_version)};
    int error = call_run(client);
    if (error != CAIRN_OK)
        return error;
    const struct msg_deleted *deleted = &op->reply.deleted;
    *ret_deleted = (struct cairn_deleted){.existed = deleted->existed,
        .ack = deleted->ack,
        .holder_count = deleted->holder_count,
        .machine = op->answered_by};
    return CAIRN_OK;
}

int cairn_stat(cairn_client *client, const char *id, struct cairn_stated *ret_stated)
{
    struct client_op *op = call_begin(client, MSG_STAT);
    op->request.stat = (struct msg_stat){.id = span_of_text(id)};
    int error = call_run(client);
    if (error != CAIRN_OK)
        return error;
    const struct msg_stated *stated = &op->reply.stated;
    *ret_stated = (struct cairn_stated){.version = version_out(stated->version),
        .size = stated->size,
        .capacity = stated->capacity,
        .create_ns = stated->create_ns,
        .modify_ns = stated->modify_ns,
        .expires = stated->expires,
        .crc = stated->crc,
        .origin = stated->origin,
        .machine = op->answered_by,
        .is_mutable = stated->is_mutable,
        .is_packed = stated->is_packed,
        .is_forwarded = stated->is_forwarded};
    text_out(stated->pool, ret_stated->pool, sizeof ret_stated->pool);
    text_out(stated->content_type, ret_stated->content_type, sizeof ret_stated->content_type);
    text_out(stated->metadata, ret_stated->metadata, sizeof ret_stated->metadata);
    return CAIRN_OK;
}

/* ---- list, status ---- */

/* Which storage to walk: the one named, else the first of the group, else of an upload's group. */
static int find_storage(cairn_client *client, const struct cairn_list *how, struct io_address *ret)
{
    if (how->storage) {
        if (err_is(io_address_parse(how->storage, ret)))
            return refuse(client, CAIRN_USAGE, "struct cairn_list: storage is not HOST:PORT");
        return CAIRN_OK;
    }
    struct client_op *op = call_begin(client, MSG_QUERY);
    op->request.query = (struct msg_query){.purpose = how->group ? QUERY_FIND : QUERY_UPLOAD,
        .group = span_of_text_or_none(how->group)};
    int error = call_run(client);
    if (error != CAIRN_OK)
        return error;
    if (op->route.count == 0)
        return refuse(client, CAIRN_UNAVAILABLE, "the tracker names no storage");
    *ret = op->route.candidates[0].address;
    return CAIRN_OK;
}

static int give_entries(
    cairn_client *client, struct span page, uint32_t count, cairn_entry_fn *each, void *context)
{
    struct reader reader = {.data = page.data, .size = page.size};
    for (uint32_t i = 0; i < count; i++) {
        struct cairn_entry entry = {0};
        text_out(read_text(&reader), entry.id, sizeof entry.id);
        entry.size = read_u64(&reader);
        entry.modify_ns = read_u64(&reader);
        entry.version.counter = read_u64(&reader);
        entry.version.machine = read_u32(&reader);
        if (reader.failed)
            return refuse(client, CAIRN_PROTOCOL, "the storage sent a list that is cut short");
        if (each(context, &entry) != 0)
            return refuse(client, CAIRN_CANCELLED, err_sentence(ERR_CODE_CANCELLED));
    }
    return CAIRN_OK;
}

int cairn_list_files(
    cairn_client *client, const struct cairn_list *how, cairn_entry_fn *each, void *context)
{
    enum { PAGE_COUNT = 1000 };
    const struct cairn_list defaults = cairn_list_default();
    how = how ? how : &defaults;
    if (how->struct_size < sizeof *how)
        return refuse(client, CAIRN_USAGE, "struct cairn_list: struct_size is too small");
    uint8_t cursor[FRAME_META_MAX];
    size_t cursor_size = 0;
    struct io_address storage;
    int error = find_storage(client, how, &storage);
    while (error == CAIRN_OK) {
        struct memory_sink to = memory_sink(client->buffer, FRAME_DATA_MAX);
        struct client_op *op = call_begin(client, MSG_LIST);
        op->sink = &to.sink;
        op->server = storage;
        op->request.list = (struct msg_list){.cursor = span_of(cursor, cursor_size),
            .since_ns = how->since_ns,
            .count_max = PAGE_COUNT};
        error = call_run(client);
        if (error != CAIRN_OK)
            break;
        error =
            give_entries(client, span_of(to.data, to.size), op->reply.listed.count, each, context);
        cursor_size = op->reply.listed.cursor.size;
        memcpy(cursor, op->reply.listed.cursor.data, cursor_size);
        if (cursor_size == 0)
            break;
    }
    return error;
}

int cairn_status(cairn_client *client, const char *server, const char *what, char *buffer,
    size_t capacity, size_t *ret_size)
{
    struct io_address address = {.family = 0};
    if (capacity == 0 || (server && err_is(io_address_parse(server, &address))))
        return refuse(client, CAIRN_USAGE, "server is HOST:PORT, and capacity at least 1");
    struct memory_sink to = memory_sink(buffer, capacity - 1);
    struct client_op *op = call_begin(client, MSG_STATUS);
    op->sink = &to.sink;
    op->server = address;
    op->request.status = (struct msg_status){.what = span_of_text_or_none(what)};
    int error = call_run(client);
    if (error != CAIRN_OK)
        return error;
    buffer[to.size] = '\0';
    *ret_size = to.size;
    return CAIRN_OK;
}
