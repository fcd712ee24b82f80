#include "tests/unit/storage/mirror_stand.h"

#include <stdio.h>

#include "base/crc.h"
#include "disk/recount.h"
#include "sim/mem.h"
#include "storage/object.h"
#include "tests/lib/test.h"
#include "tests/unit/storage/stand.h"

/* ---- the storages ---- */

static const char *const names[MIRRORS_MAX] = {"s7", "s8", "s9"};

static void fetch_whole(struct intake_fetch *fetch);

err_t mirror_boot(struct mirror_stand *stand, unsigned index)
{
    struct store_lab *lab = &stand->labs[index];
    lab->members = (struct members){.number = 1};
    for (unsigned i = 0; i < stand->count; i++)
        if (i != index)
            lab->members.all[lab->members.count++] =
                (struct member){.machine = MIRROR_FIRST + i, .is_alive = true};
    err_t err = store_lab_boot(lab);
    for (unsigned i = 0; i < lab->options.loop_count && !err_is(err); i++) {
        lab->stores[i].fetch = fetch_whole;
        lab->stores[i].fetch_context = stand;
    }
    return err;
}

void mirror_stand_open_in(struct mirror_stand *stand, struct sim_world *world, unsigned count,
    const struct store_lab_options *options)
{
    struct store_lab_options small;
    store_lab_options_small(&small);
    *stand = (struct mirror_stand){.world = world, .count = count, .keeps_world = true};
    for (unsigned i = 0; i < count; i++) {
        struct store_lab_options own = options ? *options : small;
        own.store.machine = MIRROR_FIRST + i;
        own.name = names[i];
        memset(own.store.storage_uuid, (int)(0x50 + i), sizeof own.store.storage_uuid);
        store_lab_init(&stand->labs[i], stand->world, &own);
        EXPECT_OK(mirror_boot(stand, i));
    }
}

void mirror_stand_open(struct mirror_stand *stand, uint64_t seed, unsigned count,
    const struct store_lab_options *options)
{
    mirror_stand_open_in(stand, sim_world_new(seed), count, options);
    stand->keeps_world = false;
}

void mirror_stand_close(struct mirror_stand *stand)
{
    for (unsigned i = 0; i < stand->count; i++) {
        if (stand->labs[i].io[0])
            EXPECT(store_lab_close(&stand->labs[i]));
        for (size_t k = 0; k < stand->cargo_count[i]; k++)
            mirror_cargo_free(&stand->cargo[i][k]);
        sim_free(stand->cargo[i]);
    }
    if (!stand->keeps_world)
        sim_world_free(stand->world);
}

/* ---- reading a storage's files behind its back ---- */

static size_t read_file(
    struct store_lab *lab, const char *path, uint64_t offset, void *into, size_t size)
{
    char absolute[128];
    (void)snprintf(absolute, sizeof absolute, "%s/%s", STORE_LAB_PATH, path);
    int64_t result = sim_file_read(lab->node, absolute, offset, into, size);
    return result < 0 ? 0 : (size_t)result;
}

static uint32_t seed_of(struct store_lab *lab, const struct place *place)
{
    uint8_t bytes[CHUNK_HEADER_BYTES];
    struct chunk_header header;
    char path[CHUNK_NAME_MAX];
    struct chunk_key key = chunk_key_of(place);
    chunk_path(path, &key);
    if (place->kind != PLACE_PACKED || read_file(lab, path, 0, bytes, sizeof bytes) < sizeof bytes
        || err_is(chunk_header_decode(bytes, &header)))
        return 0;
    return header.seed;
}

static size_t read_slot(
    struct store_lab *lab, const struct place *place, uint32_t skip, void *into, size_t size)
{
    char path[CHUNK_NAME_MAX];
    struct chunk_key key = chunk_key_of(place);
    chunk_path(path, &key);
    return read_file(lab, path, (uint64_t)place->offset + skip, into, size);
}

/* Content of a single file, around its checksum pages. */
static size_t read_single(struct store_lab *lab, const struct identity *identity, uint64_t from,
    uint8_t *into, size_t size)
{
    char path[SINGLE_PATH_MAX];
    struct blocks_extent extent;
    size_t done = 0;
    single_path(path, identity);
    while (done < size && blocks_extent_next(from + done, from + size, &extent)) {
        size_t got = read_file(lab, path, extent.file_offset, into + done, extent.size);
        done += got;
        if (got < extent.size)
            break;
    }
    return done;
}

/* ---- cargo ---- */

void mirror_cargo_free(struct cargo *cargo)
{
    sim_free(cargo->bytes);
    sim_free(cargo->body);
}

void mirror_cargo_set(struct cargo *cargo, const struct entry *entry)
{
    size_t size = entry_size(&entry->record), took;
    uint8_t *bytes = sim_alloc(size);
    struct writer w = {bytes, size, 0, false};
    entry_encode(entry, &w);
    EXPECT(!w.failed && w.size == size);
    EXPECT_OK(entry_decode(span_of(bytes, size), &cargo->entry, &took));
    sim_free(cargo->bytes);
    cargo->bytes = bytes;
}

static bool take_body(struct cargo *cargo, uint8_t *body, size_t size, uint32_t crc)
{
    bool is_it = crc32_update(0, body, size) == crc;
    cargo->body = body;
    cargo->body_size = size;
    cargo->has_body = true;
    return is_it;
}

/* The content that the record references, if it is still there. */
static bool add_content(struct store_lab *lab, struct entry *entry, struct cargo *cargo)
{
    struct record *record = &entry->record;
    bool at_target = record->flags & RECORD_AT_TARGET;
    const struct place *place = at_target ? &record->target : &record->home;
    if (record->kind == RECORD_DELETE)
        return true;
    size_t size = record->content_size;
    if (place->kind == PLACE_SINGLE) {
        bool is_inline = record->flags & RECORD_INLINE;
        bool is_none = record->kind == RECORD_TRUNCATE && !(record->flags & RECORD_RENAMES);
        uint8_t *body = sim_alloc(size + 1);
        if (is_none)
            size = 0;
        if (is_inline)
            memcpy(body, record->content.data, size);
        else
            size = read_single(lab, &record->identity, record->content_offset, body, size);
        record->flags &= (uint8_t)~RECORD_INLINE;
        return take_body(cargo, body, size, is_none ? 0 : record->content_crc) || is_none;
    }
    if (record->flags & RECORD_INLINE)
        return true;
    uint8_t *content = sim_alloc(size + 1);
    struct span meta = at_target ? record->target_meta : record->home_meta;
    size = read_slot(lab, place, (uint32_t)meta.size, content, size);
    cargo->body = content; /* freed with it */
    record->flags |= RECORD_INLINE;
    record->content = span_of(content, size);
    return size == record->content_size && crc32_update(0, content, size) == record->content_crc;
}

static void keep(struct mirror_stand *stand, unsigned index, const struct cargo *cargo)
{
    if (stand->cargo_count[index] == stand->cargo_capacity[index]) {
        stand->cargo_capacity[index] = stand->cargo_capacity[index] * 2 + 16;
        stand->cargo[index] = sim_grow(
            stand->cargo[index], stand->cargo_capacity[index] * sizeof *stand->cargo[index]);
    }
    stand->cargo[index][stand->cargo_count[index]++] = *cargo;
}

static void take_record(struct mirror_stand *stand, unsigned index, const struct record *record)
{
    struct store_lab *lab = &stand->labs[index];
    if (!record_is_change(record) || record->origin != lab->options.store.machine)
        return;
    struct cargo cargo = {0};
    struct entry entry = {seed_of(lab, &record->home), seed_of(lab, &record->target), *record};
    if (!add_content(lab, &entry, &cargo)) {
        mirror_cargo_free(&cargo);
        return;
    }
    mirror_cargo_set(&cargo, &entry);
    keep(stand, index, &cargo);
}

/* ---- the log ---- */

struct segments {
    char paths[LOG_SEGMENTS_MAX][64];
    struct log_segment_header headers[LOG_SEGMENTS_MAX];
    unsigned count;
    struct store_lab *lab;
};

static void see_file(void *context, const char *path, uint64_t size)
{
    struct segments *all = context;
    uint8_t page[LOG_PAGE];
    const char *begin = STORE_LAB_PATH "/log/00/";
    if (strncmp(path, begin, strlen(begin)) != 0 || all->count == LOG_SEGMENTS_MAX
        || sim_file_read(all->lab->node, path, 0, page, sizeof page) < (int64_t)sizeof page
        || err_is(log_segment_decode(page, &all->headers[all->count])))
        return;
    (void)size;
    (void)snprintf(all->paths[all->count++], sizeof all->paths[0], "%s", path);
}

static void take_segment(struct mirror_stand *stand, unsigned index, struct segments *all,
    unsigned at, uint8_t *bytes, size_t capacity)
{
    struct store_lab *lab = &stand->labs[index];
    int64_t got = sim_file_read(lab->node, all->paths[at], 0, bytes, capacity);
    size_t size = got < 0 ? 0 : (size_t)got;
    for (unsigned i = 0; i < all->count; i++) /* what was cut is no part of the log */
        if (all->headers[i].previous_number == all->headers[at].number
            && size > all->headers[i].previous_end)
            size = (size_t)all->headers[i].previous_end;
    for (size_t offset = LOG_PAGE; offset + LOG_PAGE <= size;) {
        struct log_batch_header batch;
        struct span rest = span_of(bytes + offset, size - offset);
        if (err_is(log_batch_peek(rest, &batch)) || batch.size > rest.size
            || err_is(log_batch_check(rest, &all->headers[at], &batch)))
            return;
        for (size_t k = LOG_BATCH_HEADER_SIZE; k < batch.used;) {
            struct record record;
            size_t took;
            EXPECT_OK(record_decode(span_of(rest.data + k, batch.used - k), &record, &took));
            uint64_t durable = store_lab_stream(lab, 0)->log.lsn_durable;
            if (record.lsn > stand->lsn_taken[index] && record.lsn <= durable) {
                take_record(stand, index, &record);
                stand->lsn_taken[index] = record.lsn;
            }
            k += took;
        }
        offset += batch.size;
    }
}

void mirror_collect(struct mirror_stand *stand, unsigned index)
{
    struct store_lab *lab = &stand->labs[index];
    struct segments *all = sim_alloc(sizeof *all);
    size_t capacity = lab->options.store.log_segment_size;
    uint8_t *bytes = sim_alloc(capacity);
    *all = (struct segments){.lab = lab};
    sim_node_each_file(lab->node, see_file, all);
    for (uint64_t last = 0;;) { /* in order of their numbers */
        unsigned next = all->count;
        for (unsigned i = 0; i < all->count; i++)
            if (all->headers[i].number > last
                && (next == all->count || all->headers[i].number < all->headers[next].number))
                next = i;
        if (next == all->count)
            break;
        last = all->headers[next].number;
        take_segment(stand, index, all, next, bytes, capacity);
    }
    sim_free(bytes);
    sim_free(all);
}

/* ---- intakes ---- */

struct delivery {
    struct intake intake;
    struct body body;
    const struct cargo *cargo;
    size_t sent, piece;
    bool is_over;
};

static void body_fill(struct delivery *delivery)
{
    size_t left = delivery->cargo->body_size - delivery->sent;
    size_t size = delivery->piece > 0 && left > delivery->piece ? delivery->piece : left;
    delivery->body.data = span_of(delivery->cargo->body + delivery->sent, size);
    delivery->sent += size;
    delivery->body.is_last = delivery->sent == delivery->cargo->body_size;
}

static void body_next(struct body *body, struct machine *machine)
{
    body_fill(CONTAINER_OF(body, struct delivery, body));
    machine_arrive(machine);
}

static void delivered(struct intake *intake)
{
    CONTAINER_OF(intake, struct delivery, intake)->is_over = true;
}

static struct delivery *deliver_start(
    struct mirror_stand *stand, unsigned index, const struct cargo *cargo)
{
    struct store_lab *lab = &stand->labs[index];
    struct delivery *delivery = SIM_NEW(struct delivery);
    delivery->cargo = cargo;
    delivery->piece = stand->body_piece;
    delivery->intake.entry = cargo->entry;
    delivery->intake.done = delivered;
    if (cargo->has_body) {
        delivery->body.next = body_next;
        body_fill(delivery);
        delivery->intake.content = &delivery->body;
    }
    struct source_key home = intake_home_source(&cargo->entry.record);
    uint16_t loop = store_route(&lab->stores[0], &home).loop;
    intake_start(&delivery->intake, &lab->stores[loop]);
    return delivery;
}

struct waiting {
    const struct delivery *delivery;
    const struct store_lab *lab;
};

static bool is_over(void *context)
{
    const struct waiting *waiting = context;
    return waiting->delivery->is_over || !store_lab_is_up(waiting->lab);
}

struct mirror_result mirror_deliver(
    struct mirror_stand *stand, unsigned index, const struct cargo *cargo)
{
    struct delivery *delivery = deliver_start(stand, index, cargo);
    struct waiting waiting = {delivery, &stand->labs[index]};
    bool is_there = sim_world_run_until(stand->world, is_over, &waiting, UINT64_C(600000000000));
    EXPECT(is_there);
    struct mirror_result result = {.err = delivery->intake.err,
        .verdict = delivery->intake.verdict,
        .is_held = delivery->intake.is_held,
        .is_over = delivery->is_over};
    sim_free(delivery);
    return result;
}

void mirror_deliver_all(struct mirror_stand *stand, unsigned index, unsigned from, size_t first)
{
    for (size_t i = first; i < stand->cargo_count[from]; i++) {
        struct mirror_result result = mirror_deliver(stand, index, &stand->cargo[from][i]);
        EXPECT(result.is_over);
        EXPECT_OK(result.err);
    }
}

/* ---- whole files ---- */

static bool find_content(struct store_lab *lab, const struct identity *identity,
    const struct place *home, struct record *record, uint8_t metas[2][SLOT_META_MAX],
    struct slot_header *ret)
{
    struct slot_header header = {0};
    uint32_t need;
    struct place place = *home;
    if (home->kind == PLACE_PACKED) {
        size_t got = read_slot(lab, home, 0, metas[0], SLOT_META_MAX);
        if (err_is(slot_meta_decode(span_of(metas[0], got), seed_of(lab, home), &header, &need))
            || !identity_equals(&header.identity, identity)
            || (header.flags & (SLOT_DELETED | SLOT_TARGET)))
            return false;
        record->home_meta =
            span_of(metas[0], slot_meta_size(header.slot_size, header.attributes_size));
        if (header.flags & SLOT_FORWARDED) {
            place = record->target = header.other;
            record->flags |= RECORD_AT_TARGET;
        }
    }
    bool at_target = record->flags & RECORD_AT_TARGET;
    uint8_t *meta = metas[at_target];
    if (place.kind == PLACE_PACKED && at_target) {
        size_t got = read_slot(lab, &place, 0, meta, SLOT_META_MAX);
        if (err_is(slot_meta_decode(span_of(meta, got), seed_of(lab, &place), &header, &need)))
            return false;
    } else if (place.kind == PLACE_SINGLE) {
        char path[SINGLE_PATH_MAX];
        single_path(path, identity);
        size_t got = read_file(lab, path, 0, meta, SLOT_META_MAX);
        if (err_is(single_meta_decode(span_of(meta, got), identity, &header))
            || header.flags & SLOT_DELETED)
            return false;
    }
    struct span bytes = span_of(meta, slot_meta_size(header.slot_size, header.attributes_size));
    if (at_target)
        record->target_meta = bytes;
    else
        record->home_meta = bytes;
    *ret = header;
    return true;
}

bool mirror_full(struct mirror_stand *stand, unsigned index, const struct identity *identity,
    const struct place *home, struct cargo *ret)
{
    struct store_lab *lab = &stand->labs[index];
    uint8_t metas[2][SLOT_META_MAX];
    struct slot_header header;
    struct entry entry = {.record = {.kind = RECORD_FULL,
                              .origin = lab->options.store.machine,
                              .identity = *identity,
                              .home = *home}};
    struct record *record = &entry.record;
    if (!find_content(lab, identity, home, record, metas, &header))
        return false;
    record->version = header.version;
    record->nonce = header.nonce;
    record->time_ns = header.modify_ns;
    record->total_size = header.size;
    record->content_size = (uint32_t)header.size;
    record->content_crc = header.content_crc;
    entry.home_seed = seed_of(lab, home);
    entry.target_seed = seed_of(lab, &record->target);
    *ret = (struct cargo){0};
    bool is_there = add_content(lab, &entry, ret);
    if (is_there)
        mirror_cargo_set(ret, &entry);
    else
        mirror_cargo_free(ret);
    return is_there;
}

/* ---- the test's own way to bring whole files: what pull.h does over the network ---- */

struct whole {
    struct delivery delivery; /* first */
    struct cargo cargo;
    struct intake_fetch *fetch;
    struct machine machine;
};

static void whole_brought(struct intake *intake)
{
    struct whole *whole =
        CONTAINER_OF(CONTAINER_OF(intake, struct delivery, intake), struct whole, delivery);
    struct intake_fetch *fetch = whole->fetch;
    fetch->err = intake->err;
    mirror_cargo_free(&whole->cargo);
    sim_free(whole);
    fetch->done(fetch);
}

static void fetch_whole(struct intake_fetch *fetch)
{
    struct mirror_stand *stand = fetch->store->fetch_context;
    stand->fetches++;
    fetch->err = stand->refuses_fetch ? ERR(UNAVAILABLE, 0) : ERR(NOT_FOUND, 0);
    for (unsigned i = 0; i < stand->count && !stand->refuses_fetch; i++) {
        uint32_t machine = MIRROR_FIRST + i;
        struct cargo cargo;
        if (machine == fetch->store->config.machine
            || (fetch->from_machine != 0 && fetch->from_machine != machine)
            || !mirror_full(stand, i, &fetch->identity, &fetch->home, &cargo))
            continue;
        struct whole *whole = SIM_NEW(struct whole);
        whole->cargo = cargo;
        whole->fetch = fetch;
        whole->delivery.cargo = &whole->cargo;
        whole->delivery.intake.entry = cargo.entry;
        whole->delivery.intake.is_repair = fetch->is_repair;
        whole->delivery.intake.done = whole_brought;
        if (cargo.has_body) {
            whole->delivery.body.next = body_next;
            body_fill(&whole->delivery);
            whole->delivery.intake.content = &whole->delivery.body;
        }
        intake_start(&whole->delivery.intake, fetch->store);
        return;
    }
    fetch->done(fetch);
}

/* ---- operations ---- */

static struct store_call *call_new(
    struct mirror_stand *stand, enum store_call_kind kind, size_t size, unsigned mark)
{
    struct store_call *call = store_call_new(stand->world, kind, mark);
    uint8_t *data = sim_alloc(size + 1);
    stand_fill(data, size, mark);
    store_call_set_content(call, data, size);
    sim_free(data);
    return call;
}

static err_t call_run(
    struct mirror_stand *stand, unsigned index, struct store_call *call, const struct fid *fid)
{
    struct store_lab *lab = &stand->labs[index];
    struct store *store = fid ? store_lab_owner(lab, fid) : &lab->stores[0];
    EXPECT(store_call_run(call, lab, store));
    return call->err;
}

struct fid mirror_upload(struct mirror_stand *stand, unsigned index, size_t size, unsigned mark)
{
    struct store_call *call = call_new(stand, CALL_UPLOAD, size, mark);
    call->upload.request.is_mutable = true;
    call->upload.request.ack = ACK_LOCAL;
    EXPECT_OK(call_run(stand, index, call, NULL));
    struct fid fid = call->upload.result.fid;
    store_call_free(call);
    return fid;
}

err_t mirror_try_modify(struct mirror_stand *stand, unsigned index, const struct fid *fid,
    uint8_t mode, uint64_t offset, size_t size, unsigned mark)
{
    struct store_call *call = call_new(stand, CALL_MODIFY, size, mark);
    call->modify.request.fid = *fid;
    call->modify.request.mode = mode;
    call->modify.request.offset = offset;
    call->modify.request.ack = ACK_LOCAL;
    err_t err = call_run(stand, index, call, fid);
    store_call_free(call);
    return err;
}

void mirror_modify(struct mirror_stand *stand, unsigned index, const struct fid *fid, uint8_t mode,
    uint64_t offset, size_t size, unsigned mark)
{
    EXPECT_OK(mirror_try_modify(stand, index, fid, mode, offset, size, mark));
}

void mirror_remove(struct mirror_stand *stand, unsigned index, const struct fid *fid)
{
    struct store_call *call = call_new(stand, CALL_REMOVE, 0, 0);
    call->remove.fid = *fid;
    call->remove.ack = ACK_LOCAL;
    EXPECT_OK(call_run(stand, index, call, fid));
    EXPECT(call->remove.result.existed);
    store_call_free(call);
}

err_t mirror_find(struct mirror_stand *stand, unsigned index, const struct fid *fid, size_t size,
    unsigned mark, struct version *ret_version)
{
    struct store_call *call = store_call_new(stand->world, CALL_FIND, 1);
    call->find.fid = *fid;
    call->find.local_only = true;
    err_t err = call_run(stand, index, call, fid);
    if (!err_is(err) && size != SIZE_MAX) {
        uint8_t *data = sim_alloc(size + 1);
        stand_fill(data, size, mark);
        EXPECT_EQ(call->found_size, size);
        EXPECT(call->found_size == size && (size == 0 || memcmp(call->found, data, size) == 0));
        sim_free(data);
    }
    if (!err_is(err) && ret_version)
        *ret_version = call->version;
    store_call_free(call);
    return err;
}

/* ---- equality ---- */

static const struct digest *digest_at(
    struct store_lab *lab, const struct source_key *key, uint32_t chunk, unsigned bucket)
{
    static const struct digest none;
    struct stream *stream = store_lab_stream(lab, key->stream);
    if (chunk != 0) {
        struct chunk_key chunk_key = {key->machine, key->mount, key->stream, chunk};
        const struct chunk_entry *entry = stream_chunk_find(stream, &chunk_key);
        return entry ? &entry->digest : &none;
    }
    const struct source *source = stream_source_find(stream, key);
    return source ? &source->singles[bucket] : &none;
}

bool mirror_is_equal(struct mirror_stand *stand, unsigned a, unsigned b)
{
    bool is_equal = true;
    struct store_lab *first = &stand->labs[a], *second = &stand->labs[b];
    for (unsigned m = 0; m < stand->count; m++)
        for (unsigned s = 0; s < first->options.stream_count; s++) {
            struct source_key key = {MIRROR_FIRST + m, 0, (uint8_t)s};
            for (unsigned i = 0; i < SOURCE_BUCKETS; i++)
                is_equal &=
                    digest_equals(digest_at(first, &key, 0, i), digest_at(second, &key, 0, i));
            for (uint32_t chunk = 1; chunk < 600; chunk++)
                is_equal &= digest_equals(
                    digest_at(first, &key, chunk, 0), digest_at(second, &key, chunk, 0));
        }
    return is_equal;
}

enum { KEPT_MAX = 4096 };

static size_t digests_of(struct stream *stream, struct digest *ret)
{
    size_t count = 0;
    for (uint32_t i = 0; i < stream->chunks.count && count < KEPT_MAX; i++)
        ret[count++] = stream->chunks.entries[i].digest;
    for (uint32_t i = 0; i < stream->sources.count; i++)
        for (unsigned k = 0; k < SOURCE_BUCKETS && count < KEPT_MAX; k++)
            ret[count++] = stream->sources.all[i].singles[k];
    return count;
}

void mirror_expect_counted(struct mirror_stand *stand, unsigned index)
{
    struct store_lab *lab = &stand->labs[index];
    struct digest *told = sim_alloc(2 * KEPT_MAX * sizeof *told), *counted = told + KEPT_MAX;
    uint8_t *window = sim_alloc(64 * 1024);
    EXPECT(store_lab_close(lab));
    EXPECT_OK(mirror_boot(stand, index));
    for (unsigned i = 0; i < lab->options.stream_count; i++) {
        struct stream *stream = store_lab_stream(lab, i);
        size_t count = digests_of(stream, told);
        EXPECT_OK(stream_recount(stream, window, 64 * 1024));
        EXPECT_EQ(digests_of(stream, counted), count);
        unsigned differences = 0;
        for (size_t k = 0; k < count; k++)
            differences += !digest_equals(&told[k], &counted[k]);
        EXPECT_EQ(differences, 0);
    }
    sim_free(window);
    sim_free(told);
}

void mirror_expect_equal(struct mirror_stand *stand, unsigned a, unsigned b)
{
    EXPECT(mirror_is_equal(stand, a, b));
    mirror_expect_counted(stand, a);
    mirror_expect_counted(stand, b);
    EXPECT(mirror_is_equal(stand, a, b));
}
