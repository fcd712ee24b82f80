#include "storage/object.h"

#include <errno.h>

#include "base/crc.h"

enum {
    OBJECT_BUFFER,
    OBJECT_ACQUIRE,
    OBJECT_READ,
    OBJECT_HEADER,
    OBJECT_WITNESS,
    OBJECT_WITNESSED,
    OBJECT_TENANTS,
    OBJECT_SINGLE,
    OBJECT_SINGLE_OPEN,
    OBJECT_CONTENT,
    OBJECT_CONTENT_READ,
    OBJECT_SINGLE_READ,
    OBJECT_UNWIND,
    OBJECT_DONE,
    OBJECT_STAGES
};

static struct object *object_of(struct machine *machine)
{
    return CONTAINER_OF(machine, struct object, machine);
}

static int object_submit_read(struct object *object, int next, void *into, size_t size, uint64_t at)
{
    int wait = machine_wait_in(&object->machine, next, 1);
    object->iov = (struct iovec){into, size};
    object->op = (struct io_op){.kind = IO_READ,
        .fd = object->ref.file->handle.fd,
        .offset = at,
        .iov = &object->iov,
        .iov_count = 1,
        .owner = &object->machine.owner,
        .wake = io_wake_machine,
        .context = &object->machine};
    io_submit(object->store->io, &object->op);
    return wait;
}

/* ---- a buffer: small for small slots, else a work buffer ---- */

static int object_buffer(struct machine *machine)
{
    struct object *object = object_of(machine);
    bool is_small =
        object->place.kind == PLACE_PACKED && object->place.slot_size <= STORE_SMALL_SIZE;
    struct buffer_claim *claim = is_small ? &object->small : &object->work;
    if (!claim->data && claim->pool == NULL) {
        struct pool *pool = is_small ? &object->store->small_buffers : &object->store->work_buffers;
        if (!buffer_claim(claim, pool, machine))
            return machine_wait_in(machine, OBJECT_BUFFER, 1);
    }
    if (!claim->data)
        return machine_fail(machine, ERR(BUSY, 0));
    object->buffer = claim->data;
    object->buffer_size = claim->pool->slot_size;
    return object->place.kind == PLACE_PACKED ? OBJECT_ACQUIRE : OBJECT_SINGLE;
}

/* ---- packed ---- */

static int object_acquire(struct machine *machine)
{
    struct object *object = object_of(machine);
    struct chunk_key key = chunk_key_of(&object->place);
    object->have = 0;
    object->want = object->place.slot_size;
    size_t meta_only = SLOT_META_MAX < object->want ? SLOT_META_MAX : object->want;
    if (!object->wants_content)
        object->want = meta_only;
    if (object->want > object->buffer_size)
        object->want = object->buffer_size;
    if (chunk_acquire(&object->store->files, &key, &object->ref, machine))
        return OBJECT_READ;
    return machine_wait_in(machine, OBJECT_READ, 1);
}

static int object_read_slot(struct machine *machine)
{
    struct object *object = object_of(machine);
    if (!object->ref.file)
        return machine_fail(machine, object->ref.err);
    return object_submit_read(object, OBJECT_HEADER, object->buffer + object->have,
        object->want - object->have, object->place.offset + object->have);
}

static void object_keep_meta(struct object *object, const struct slot_header *header)
{
    uint32_t size = slot_meta_size(header->slot_size, header->attributes_size);
    memcpy(object->meta, object->buffer, size);
    object->attributes = slot_attributes(span_of(object->meta, size), header);
}

/* Names of slaves don't tell the suffix of their master: an empty one means any. */
static bool header_is_ours(const struct object *object, const struct slot_header *header)
{
    if (object->identity.suffix[0] != '\0')
        return identity_equals(&header->identity, &object->identity);
    return header->identity.clock == object->identity.clock
           && header->identity.origin == object->identity.origin;
}

static bool header_is_home(const struct object *object, const struct slot_header *header)
{
    return header_is_ours(object, header) && !(header->flags & (SLOT_DELETED | SLOT_TARGET))
           && header->slot_size == object->place.slot_size;
}

/* The header of a home: it is the content's, or it forwards. */
static int object_take_home(struct object *object, const struct slot_header *header)
{
    if (!header_is_home(object, header))
        return machine_fail(&object->machine, ERR(NOT_FOUND, 0));
    object->home_header = *header;
    object->home_seed = object->ref.file->header.seed;
    object->has_home_header = true;
    if (!(header->flags & SLOT_FORWARDED)) {
        object->header = *header;
        object_keep_meta(object, header);
        return OBJECT_CONTENT;
    }
    chunk_release(&object->store->files, &object->ref);
    object->place = header->other;
    object->at_target = true;
    if (object->place.kind == PLACE_SINGLE) {
        buffer_claim_end(&object->small);
        object->small.pool = NULL;
        return OBJECT_BUFFER;
    }
    if (object->place.kind != PLACE_PACKED
        || object->place.offset > object->store->config.chunk_size)
        return machine_fail(&object->machine, ERR(CORRUPT, 0));
    if (object->place.slot_size > object->buffer_size && !object->work.data) {
        buffer_claim_end(&object->small);
        object->small.pool = NULL;
        return OBJECT_BUFFER;
    }
    return OBJECT_ACQUIRE;
}

static int object_take_target(struct object *object, const struct slot_header *header)
{
    bool is_it = header_is_ours(object, header) && (header->flags & SLOT_TARGET)
                 && !(header->flags & SLOT_DELETED) && header->slot_size == object->place.slot_size;
    if (!is_it)
        return machine_fail(&object->machine, ERR(CORRUPT, 0)); /* moved on, or damage */
    object->header = *header;
    object_keep_meta(object, header);
    return OBJECT_CONTENT;
}

static int object_header(struct machine *machine)
{
    struct object *object = object_of(machine);
    if (object->op.result < 0)
        return machine_fail(machine, ERR_RESULT(object->op.result));
    object->have += (size_t)object->op.result;
    bool at_end = object->op.result == 0;
    struct slot_header header;
    uint32_t need = 0;
    err_t err = slot_meta_decode(
        span_of(object->buffer, object->have), object->ref.file->header.seed, &header, &need);
    if (err_has(err, ERR_CODE_PARTIAL) && !at_end && need <= object->buffer_size) {
        if (object->want < need)
            object->want = need;
        return OBJECT_READ;
    }
    if (err_is(err))
        return OBJECT_WITNESS;
    return object->at_target ? object_take_target(object, &header)
                             : object_take_home(object, &header);
}

/* ---- the header is bad: does the slot map say that a slot is there? ---- */

/* Byte of the map's image that holds the bit of this slot: in `starts`, or in `frees`. */
static int witness_read(struct object *object, bool of_frees)
{
    uint32_t chunk_size = object->store->config.chunk_size;
    size_t half = slotmap_memory_size(chunk_size) / 2;
    uint64_t at = chunk_size + SLOTMAP_IMAGE_HEADER_SIZE + object->place.offset / SLOT_UNIT / 8;
    object->have = of_frees ? 1 : 0;
    return object_submit_read(
        object, OBJECT_WITNESSED, object->buffer + object->have, 1, at + (of_frees ? half : 0));
}

/* The map says live as soon as a record is durable, the header comes when it is applied: it may be a
 * new tenant's, for whom we hold no lock. Damage is what is bad still after all that was durable when
 * it was first met is applied. */
static int witness_again(struct object *object, const struct binlog *log)
{
    if (object->is_settled)
        return machine_fail(&object->machine, ERR(CORRUPT, 0));
    if (!object->has_witness)
        object->witness_lsn = log->lsn_durable;
    object->has_witness = true;
    object->is_settled = binlog_applied_lsn(log) >= object->witness_lsn;
    object->have = 0;
    return OBJECT_READ;
}

/* Where the tombstones were dropped with an earlier file of this chunk, nothing stands. */
static bool was_dropped(const struct object *object)
{
    bool is_blank = object->have >= SLOT_HEADER_SIZE;
    for (size_t i = 0; i < SLOT_HEADER_SIZE && is_blank; i++)
        is_blank = object->buffer[i] == 0;
    return is_blank && object->identity.clock <= object->ref.file->header.gone_birth;
}

/* Slots of others have no map here. Not here (yet): what lies behind all that their records told, or is
 * younger than all that we have heard of. Gone: a younger tenant took its place. Else it is damage, or
 * the slot was used twice since: the other storages tell. */
static int mirror_witness(struct object *object, struct stream *stream)
{
    struct chunk_key key = chunk_key_of(&object->place);
    struct source_key source_key = source_key_of(&object->home);
    const struct chunk_entry *entry = stream_chunk_find(stream, &key);
    bool is_unheard = !stream_covers(stream, &source_key, object->identity.clock);
    if (!entry || object->place.offset >= entry->end || is_unheard || was_dropped(object))
        return machine_fail(&object->machine, ERR(NOT_FOUND, 0));
    int wait = machine_wait_in(&object->machine, OBJECT_TENANTS, 1);
    slot_scan_tenants(&object->scan, object->store, &object->home, object->identity.clock,
        &object->identity, object->buffer, &object->machine);
    return wait;
}

static int object_tenants(struct machine *machine)
{
    struct object *object = object_of(machine);
    struct stream *stream =
        object->store->mounts[object->local.mount].streams[object->local.stream];
    if (err_is(object->scan.err))
        return machine_fail(machine, object->scan.err);
    if (object->scan.youngest > object->identity.clock)
        return machine_fail(machine, ERR(NOT_FOUND, 0));
    return witness_again(object, &stream->log);
}

static int object_witness(struct machine *machine)
{
    struct object *object = object_of(machine);
    struct stream *stream =
        object->store->mounts[object->local.mount].streams[object->local.stream];
    if (object->at_target || !stream) /* moved on, or damage: the owner loop tells */
        return machine_fail(machine, ERR(CORRUPT, 0));
    if (object->place.machine != object->store->config.machine)
        return mirror_witness(object, stream);
    struct active_chunk *active = stream_active_of(stream, object->place.chunk);
    if (!active)
        return witness_read(object, false);
    struct slotmap_slot slot = slotmap_query(&active->map, object->place.offset);
    return slot.kind == SLOTMAP_LIVE ? witness_again(object, &stream->log)
                                     : machine_fail(machine, ERR(NOT_FOUND, 0));
}

static int object_witnessed(struct machine *machine)
{
    struct object *object = object_of(machine);
    if (object->op.result < 0)
        return machine_fail(machine, ERR_RESULT(object->op.result));
    if (object->op.result == 1 && object->have == 0)
        return witness_read(object, true);
    unsigned bit = object->place.offset / SLOT_UNIT % 8;
    bool is_live =
        object->op.result == 1 && (object->buffer[0] >> bit & 1) && !(object->buffer[1] >> bit & 1);
    return machine_fail(machine, is_live ? ERR(CORRUPT, 0) : ERR(NOT_FOUND, 0));
}

/* ---- content of a slot: what is missing of it is read, then all of it verified ---- */

static err_t slot_verify(const struct object *object, struct span content)
{
    const struct slot_header *header = &object->header;
    if (slot_table_entries(header->slot_size) == 0)
        return crc32_update(0, content.data, content.size) == header->content_crc ? ERR_OK
                                                                                  : ERR(CORRUPT, 0);
    uint32_t table[SLOT_SIZE_MAX / SLOT_BLOCK_SIZE];
    uint32_t size = slot_meta_size(header->slot_size, header->attributes_size);
    uint64_t count = blocks_count(header->size);
    for (uint32_t i = 0; i < count; i++)
        table[i] = slot_table_entry(span_of(object->meta, size), header, i);
    struct blocks_range range = blocks_covering(header->size, 0, header->size);
    return blocks_verify(&range, table, content.data, NULL);
}

static bool id_is_true(const struct object *object)
{
    const struct slot_header *header = &object->header;
    if (object->is_by_identity)
        return true;
    bool says_ask = (header->flags & SLOT_MUTABLE) || header->size > FID_SIZE_MAX;
    if (object->id_is_mutable != says_ask)
        return false;
    return says_ask ? object->id_crc == 0
                    : object->id_size == header->size && object->id_crc == header->content_crc;
}

static int object_content(struct machine *machine)
{
    struct object *object = object_of(machine);
    const struct slot_header *header = &object->header;
    uint32_t meta = slot_meta_size(header->slot_size, header->attributes_size);
    if (!id_is_true(object))
        return machine_fail(machine, ERR(NOT_FOUND, 0));
    if (!object->wants_content)
        return OBJECT_UNWIND;
    object->want = meta + header->size;
    if (object->want > object->buffer_size)
        return machine_fail(machine, ERR(CORRUPT, 0));
    if (object->have < object->want)
        return object_submit_read(object, OBJECT_CONTENT_READ, object->buffer + object->have,
            object->want - object->have, object->place.offset + object->have);
    struct span content = span_of(object->buffer + meta, (size_t)header->size);
    err_t err = slot_verify(object, content);
    if (err_is(err))
        return machine_fail(machine, err);
    object->data = content;
    object->data_offset = 0;
    return OBJECT_UNWIND;
}

static int object_content_read(struct machine *machine)
{
    struct object *object = object_of(machine);
    if (object->op.result <= 0)
        return machine_fail(
            machine, object->op.result < 0 ? ERR_RESULT(object->op.result) : ERR(CORRUPT, 0));
    object->have += (size_t)object->op.result;
    return OBJECT_CONTENT;
}

/* ---- single ---- */

static int object_single(struct machine *machine)
{
    struct object *object = object_of(machine);
    struct store_mount *mount = &object->store->mounts[object->local.mount];
    object->is_single = true;
    object->mount = (struct single_mount){object->store->io, &mount->root, object->local.stream};
    object->single = (struct single_reader){.handle = IO_HANDLE_NONE};
    int wait = machine_wait_in(machine, OBJECT_SINGLE_OPEN, 1);
    single_reader_open(&object->single, &object->mount, machine, &object->identity, object->buffer);
    return wait;
}

/* A single file's name has no stream in it: its header tells whose it is. */
static bool single_is_home(const struct object *object)
{
    const struct place *own = &object->header.other;
    return object->at_target
           || (own->kind == PLACE_SINGLE && own->mount == object->home.mount
               && own->stream == object->home.stream);
}

static int object_single_open(struct machine *machine)
{
    struct object *object = object_of(machine);
    err_t err = object->single.chain.err;
    if (err_has(err, ERR_CODE_NOT_FOUND) && object->at_target)
        err = ERR(CORRUPT, 0); /* moved on, or lost */
    if (err_is(err))
        return machine_fail(machine, err);
    object->header = object->single.header;
    object->attributes = object->single.attributes;
    if (object->header.flags & SLOT_DELETED || !id_is_true(object) || !single_is_home(object))
        return machine_fail(machine, ERR(NOT_FOUND, 0));
    if (!object->wants_content || object->header.size > object->store->config.piece_size)
        return OBJECT_UNWIND;
    object->read_offset = 0;
    object->read_size = object->header.size;
    return OBJECT_SINGLE_READ;
}

static int object_single_read(struct machine *machine)
{
    struct object *object = object_of(machine);
    if (object->read_size > 0 && object->read_size != UINT64_MAX) {
        uint64_t size = object->read_size;
        object->read_size = UINT64_MAX; /* asked for */
        int wait = machine_wait_in(machine, OBJECT_SINGLE_READ, 1);
        single_reader_read(
            &object->single, object->read_offset, size, object->buffer + SINGLE_READER_BUFFER);
        return wait;
    }
    if (object->read_size == UINT64_MAX) {
        if (err_is(object->single.chain.err))
            return machine_fail(machine, object->single.chain.err);
        object->data = object->single.data;
    } else {
        object->data = span_of(object->buffer, 0);
    }
    object->data_offset = object->read_offset;
    return OBJECT_UNWIND;
}

/* ---- ends of a step ---- */

static int object_unwind(struct machine *machine)
{
    struct object *object = object_of(machine);
    object->err = machine->err;
    bool is_fenced = object->store->mounts[object->local.mount].is_fenced;
    if (is_fenced && err_has(object->err, ERR_CODE_CORRUPT))
        object->err = ERR(OFFLINE, 0); /* a change that was not applied to its end */
    object->is_open = !err_is(machine->err);
    if (!object->is_open)
        object_close(object);
    return OBJECT_DONE;
}

/* What an open object holds stays with the machine's owner, which object_close() closes. */
static int object_done(struct machine *machine)
{
    struct object *object = object_of(machine);
    machine_arrive(object->parent);
    return STAGE_END;
}

static const struct stage object_stages[OBJECT_STAGES] = {
    [OBJECT_BUFFER] = {"buffer", object_buffer,
        BIT(OBJECT_ACQUIRE) | BIT(OBJECT_SINGLE) | BIT(OBJECT_SINGLE_READ), 5000},
    [OBJECT_ACQUIRE] = {"acquire", object_acquire, BIT(OBJECT_READ), 5000},
    [OBJECT_READ] = {"read", object_read_slot, BIT(OBJECT_HEADER), 5000},
    [OBJECT_HEADER] = {"header", object_header,
        BIT(OBJECT_READ) | BIT(OBJECT_WITNESS) | BIT(OBJECT_CONTENT) | BIT(OBJECT_BUFFER)
            | BIT(OBJECT_ACQUIRE),
        5000},
    [OBJECT_WITNESS] = {"witness", object_witness,
        BIT(OBJECT_WITNESSED) | BIT(OBJECT_TENANTS) | BIT(OBJECT_READ), 5000},
    [OBJECT_TENANTS] = {"tenants", object_tenants, BIT(OBJECT_READ), 5000},
    [OBJECT_WITNESSED] = {"witnessed", object_witnessed, BIT(OBJECT_WITNESSED), 5000},
    [OBJECT_SINGLE] = {"single", object_single, BIT(OBJECT_SINGLE_OPEN), 5000},
    [OBJECT_SINGLE_OPEN] = {"single-open", object_single_open, BIT(OBJECT_SINGLE_READ), 5000},
    [OBJECT_CONTENT] = {"content", object_content, BIT(OBJECT_CONTENT_READ), 5000},
    [OBJECT_CONTENT_READ] = {"content-read", object_content_read, BIT(OBJECT_CONTENT), 5000},
    [OBJECT_SINGLE_READ] = {"single-read", object_single_read, 0, 5000},
    [OBJECT_UNWIND] = {"unwind", object_unwind, BIT(OBJECT_DONE), 0},
    [OBJECT_DONE] = {"done", object_done, 0, 0},
};
static const struct machine_kind object_kind = {
    "object", object_stages, OBJECT_STAGES, OBJECT_UNWIND, OBJECT_DONE};

void object_open(struct object *object, struct store *store, const struct fid *fid,
    bool wants_content, struct machine *parent)
{
    *object = (struct object){.store = store,
        .parent = parent,
        .identity = fid->identity,
        .id_size = fid->size,
        .id_crc = fid->crc,
        .id_is_mutable = fid->is_mutable,
        .home = {.kind = fid->is_packed ? PLACE_PACKED : PLACE_SINGLE,
            .mount = fid->mount,
            .stream = fid->stream,
            .machine = fid->identity.origin,
            .chunk = fid->chunk,
            .offset = fid->offset,
            .slot_size = fid->slot_size},
        .single = {.handle = IO_HANDLE_NONE},
        .wants_content = wants_content};
    object->place = object->home;
    object->local = store_place_of(store, fid);
    machine_start(&object->machine, &object_kind, &store->io->run, parent->owner.direction);
    owner_set_object(&object->machine.owner, fid->identity.clock, fid->identity.origin);
}

void object_open_identity(struct object *object, struct store *store, const struct fid *fid,
    bool wants_content, struct machine *parent)
{
    object_open(object, store, fid, wants_content, parent);
    object->is_by_identity = true;
}

void object_read(struct object *object, uint64_t offset, uint64_t size)
{
    CHECK(object->is_open && size <= object->store->config.piece_size);
    uint64_t total = object->header.size;
    object->err = offset > total ? ERR(RANGE, 0) : ERR_OK;
    if (size > total - offset && !err_is(object->err))
        size = total - offset;
    if (!err_is(object->err) && object->is_single) {
        struct owner owner = object->machine.owner; /* it still pays for what is open */
        object->read_offset = offset;
        object->read_size = size;
        machine_start(&object->machine, &object_kind, &object->store->io->run, owner.direction);
        object->machine.owner = owner;
        object->machine.stage = OBJECT_SINGLE_READ;
        return;
    }
    if (!err_is(
            object->err)) { /* all of a slot's content was read and verified when it was opened */
        uint32_t meta = slot_meta_size(object->header.slot_size, object->header.attributes_size);
        object->data = span_of(object->buffer + meta + offset, (size_t)size);
        object->data_offset = offset;
    }
    machine_arrive(object->parent);
}

void object_close(struct object *object)
{
    if (!object->store)
        return;
    single_reader_close(&object->single);
    chunk_release(&object->store->files, &object->ref);
    buffer_claim_end(&object->small);
    buffer_claim_end(&object->work);
    object->is_open = false;
    owner_close(&object->machine.owner);
    object->store = NULL;
}
