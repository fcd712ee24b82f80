/* POSITIONS and UNITS: how far this storage is, and the digests of what it has. */
#include "storage/native_op.h"

/* ---- units ---- */

static bool write_digest(
    struct writer *page, uint64_t unit, const struct digest *digest, uint64_t changed_ns)
{
    if (FRAME_DATA_MAX - page->size < UNIT_DIGEST_SIZE)
        return false;
    unit_digest_encode(
        &(struct unit_digest){
            .unit = unit, .digest = digest->sum, .files = digest->count, .changed_ns = changed_ns},
        page);
    return true;
}

/* Units without files are left out: nothing is there, for whoever has them too. Returns where to go
 * on; 0: nothing is left. */
static uint64_t write_units(
    struct stream *stream, const struct source *source, uint64_t from, struct writer *page)
{
    uint16_t index = source_index(&stream->sources, source);
    const struct chunk_entry *entry = NULL;
    while (!unit_is_bucket(from)
           && (entry = chunk_table_next(&stream->chunks, index, (uint32_t)from)) != NULL) {
        bool is_empty = entry->digest.count == 0 && entry->digest.sum == 0;
        if (!is_empty && !write_digest(page, entry->number, &entry->digest, entry->changed_ns))
            return entry->number;
        from = entry->number + UINT64_C(1);
    }
    uint64_t bucket = unit_is_bucket(from) ? from - UNIT_BUCKET_FIRST : 0;
    for (; bucket < UNIT_BUCKETS; bucket++) {
        const struct digest *digest = &source->singles[bucket];
        bool is_empty = digest->count == 0 && digest->sum == 0;
        uint64_t unit = UNIT_BUCKET_FIRST + bucket;
        if (!is_empty && !write_digest(page, unit, digest, source->changed_ns[bucket]))
            return unit;
    }
    return 0;
}

void native_units(struct native *native, struct net_request *request)
{
    struct msg_units msg;
    struct stream *stream;
    err_t err = msg_units_decode(request->meta, &msg);
    if (err_is(err)) {
        native_refuse(native->loop, request, err);
        return;
    }
    if (!native_node_stream(native->loop, request, msg.machine, msg.mount, msg.stream, &stream))
        return;
    struct native_op *op = native_node_open(native, request);
    if (!op)
        return;
    struct source_key key = {msg.machine, msg.mount, msg.stream};
    const struct source *source = stream_source_find(stream, &key);
    struct writer page = {.data = op->sheet, .capacity = FRAME_DATA_MAX};
    uint64_t next = source ? write_units(stream, source, msg.from, &page) : 0;
    struct writer fields = net_reply_begin(request);
    msg_units_reply_encode(
        &(struct msg_units_reply){.count = (uint32_t)(page.size / UNIT_DIGEST_SIZE), .next = next},
        &fields);
    native_sheet_send(op, page.size, MSG_UNITS_REPLY, &fields);
}

/* ---- positions: a message visits every loop ---- */

/* A source is known to one stream by its files, and perhaps to others by slots in its chunks. */
static bool is_kept_by(
    const struct storage_loop *loop, const struct stream *stream, const struct source *source)
{
    struct stream_place place = store_route(&loop->store, &source->key);
    return place.mount == stream->options.mount && place.stream == stream->options.stream;
}

static void write_position(struct stream *stream, const struct source *source, struct writer *page)
{
    struct unit_position position = {.machine = source->key.machine,
        .mount = source->key.mount,
        .stream = source->key.stream,
        .incarnation = source->incarnation,
        .lsn = source->lsn,
        .coverage = stream_coverage(stream, source)};
    if (source == &stream->sources.all[0])
        position.lsn = stream->log.lsn_durable;
    if (FRAME_DATA_MAX - page->size >= UNIT_POSITION_SIZE)
        unit_position_encode(&position, page);
}

static void write_mount(
    const struct storage_loop *loop, const struct store_mount *mount, struct writer *page)
{
    for (size_t i = 0; i < ARRAY_LEN(mount->streams); i++) {
        struct stream *stream = mount->streams[i];
        uint32_t count = stream && stream->state == STREAM_OPEN ? stream->sources.count : 0;
        for (uint32_t k = 0; k < count; k++)
            if (is_kept_by(loop, stream, &stream->sources.all[k]))
                write_position(stream, &stream->sources.all[k], page);
    }
}

void positions_write(const struct storage_loop *loop, struct writer *page)
{
    const struct storage_config *config = &loop->storage->config;
    for (uint32_t i = 0; loop->is_store_open && i < config->mount_count; i++) {
        const struct store_mount *mount = &loop->store.mounts[config->mount[i].index];
        if (mount->is_there && !mount->is_fenced)
            write_mount(loop, mount, page);
    }
}

/* As this loop knows them; none where there is no room: members that have so many streams ask in vain. */
static uint8_t write_maps(const struct names *names, const char *group, struct writer *page)
{
    char text[FID_TEXT_MAX];
    size_t skip = strlen(group) + 1;
    if (FRAME_DATA_MAX - page->size < (size_t)NAMES_MAPS_MAX * (2 + FID_TEXT_MAX))
        return 0;
    for (uint32_t i = 0; i < names->count; i++) {
        size_t size = fid_format(&names->maps[i], text);
        write_text(page, span_of(text + skip, size - skip));
    }
    return (uint8_t)names->count;
}

static void positions_home(struct native_op *op)
{
    struct native_positions *positions = &op->file.positions;
    struct storage_loop *home = op->native->loop;
    struct msg_positions_reply reply = {.state = home->storage->loops[0].state,
        .count = (uint32_t)(positions->page.size / UNIT_POSITION_SIZE),
        .maps = write_maps(&home->names, home->store.config.group, &positions->page)};
    struct writer fields = net_reply_begin(op->request);
    msg_positions_reply_encode(&reply, &fields);
    native_sheet_send(op, positions->page.size, MSG_POSITIONS_REPLY, &fields);
}

static void positions_travel(struct io *here, struct io_message *message)
{
    struct native_positions *positions = CONTAINER_OF(message, struct native_positions, message);
    struct native_op *op = positions->op;
    struct storage_loop *home = op->native->loop;
    struct storage *storage = home->storage;
    if (positions->at == storage->loop_count) {
        positions_home(op);
        return;
    }
    positions_write(&storage->loops[positions->at++], &positions->page);
    bool is_last = positions->at == storage->loop_count;
    io_post(here, is_last ? home->io : storage->loops[positions->at].io, message);
}

void native_positions(struct native *native, struct net_request *request)
{
    struct native_op *op = native_node_open(native, request);
    if (!op)
        return;
    struct storage *storage = native->loop->storage;
    op->file.positions = (struct native_positions){
        .op = op, .page = {.data = op->sheet, .capacity = FRAME_DATA_MAX}};
    op->file.positions.message.deliver = positions_travel;
    io_post(native->loop->io, storage->loops[0].io, &op->file.positions.message);
}
