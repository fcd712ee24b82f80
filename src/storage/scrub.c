#include "storage/scrub.h"

#include "base/units.h"
#include "storage/server.h"

enum {
    SCRUB_UNIT,
    SCRUB_WALK,
    SCRUB_FILE,
    SCRUB_LOOK,
    SCRUB_SEEN,
    SCRUB_PIECE,
    SCRUB_HEALED,
    SCRUB_UNWIND,
    SCRUB_DONE,
    SCRUB_STAGES
};

static struct scrub *scrub_of(struct machine *machine)
{
    return CONTAINER_OF(machine, struct scrub, machine);
}

static bool is_ending(const struct scrub *scrub)
{
    return scrub->loop->phase != STORAGE_PHASE_RUNNING;
}

/* ---- suspects ---- */

static struct scrub_suspect *suspect_of(
    const struct scrub *scrub, const struct source_key *key, uint64_t unit)
{
    struct scrub_suspect *all = ((struct scrub *)(uintptr_t)scrub)->suspects;
    for (size_t i = 0; i < SCRUB_SUSPECTS; i++)
        if (all[i].unit == unit && source_key_equals(&all[i].key, key))
            return &all[i];
    return NULL;
}

bool scrub_is_suspect(const struct scrub *scrub, const struct source_key *key, uint64_t unit)
{
    return suspect_of(scrub, key, unit) != NULL;
}

void scrub_forget_suspect(struct scrub *scrub, const struct source_key *key, uint64_t unit)
{
    struct scrub_suspect *suspect = suspect_of(scrub, key, unit);
    if (suspect)
        suspect->unit = 0;
}

static void note_suspect(struct scrub *scrub)
{
    struct storage_loop *loop = scrub->loop;
    if (suspect_of(scrub, &scrub->key, scrub->unit))
        return;
    scrub->sums.suspects++;
    EVENT(&loop->log, ERROR, "unit_differs", &loop->owner,
        EVENT_MACHINE("origin", scrub->key.machine), EVENT_NUMBER("mount", scrub->key.mount),
        EVENT_NUMBER("stream", scrub->key.stream), EVENT_NUMBER("unit", scrub->unit),
        EVENT_NUMBER("files", scrub->seen.count), EVENT_NUMBER("expected", scrub->before.count));
    for (size_t i = 0; i < SCRUB_SUSPECTS; i++)
        if (scrub->suspects[i].unit == 0) {
            scrub->suspects[i] = (struct scrub_suspect){scrub->key, scrub->unit};
            return;
        }
}

/* ---- units ---- */

static const struct digest *digest_of(const struct scrub *scrub)
{
    static const struct digest none;
    const struct source *source = stream_source_find(scrub->stream, &scrub->key);
    if (!source)
        return &none;
    if (unit_is_bucket(scrub->unit))
        return &source->singles[scrub->unit - UNIT_BUCKET_FIRST];
    struct chunk_key key = {
        scrub->key.machine, scrub->key.mount, scrub->key.stream, (uint32_t)scrub->unit};
    const struct chunk_entry *entry = stream_chunk_find(scrub->stream, &key);
    return entry ? &entry->digest : &none;
}

/* The next unit of the present source from scrub->from on. */
static bool next_of_source(struct scrub *scrub)
{
    struct chunk_table *chunks = &scrub->stream->chunks;
    const struct chunk_entry *entry = NULL;
    if (!unit_is_bucket(scrub->from))
        entry = chunk_table_next(chunks, (uint16_t)scrub->source_at, (uint32_t)scrub->from);
    if (!entry && scrub->from < UNIT_BUCKET_FIRST)
        scrub->from = UNIT_BUCKET_FIRST;
    scrub->unit = entry ? entry->number : scrub->from;
    scrub->from = scrub->unit + 1;
    return scrub->unit < UNIT_BUCKET_FIRST + UNIT_BUCKETS;
}

static bool next_unit(struct scrub *scrub)
{
    const struct storage_config *config = &scrub->loop->storage->config;
    for (; scrub->mount_at < config->mount_count; scrub->mount_at++, scrub->stream_at = 0) {
        struct store_mount *mount =
            &scrub->loop->store.mounts[config->mount[scrub->mount_at].index];
        for (; mount->is_there && !mount->is_fenced && scrub->stream_at < mount->stream_count;
             scrub->stream_at++, scrub->source_at = 0, scrub->from = 0) {
            scrub->stream = mount->streams[scrub->stream_at];
            if (!scrub->stream || scrub->stream->state != STREAM_OPEN)
                continue;
            for (; scrub->source_at < scrub->stream->sources.count;
                 scrub->source_at++, scrub->from = 0) {
                scrub->key = scrub->stream->sources.all[scrub->source_at].key;
                if (next_of_source(scrub))
                    return true;
            }
        }
    }
    return false;
}

static int scrub_unit(struct machine *machine)
{
    struct scrub *scrub = scrub_of(machine);
    if (is_ending(scrub) || !next_unit(scrub))
        return SCRUB_UNWIND;
    scrub->before = *digest_of(scrub);
    scrub->seen = (struct digest){0};
    scrub->walk.cursor = 0;
    scrub->sums.units++;
    return SCRUB_WALK;
}

static bool see(struct unit_walk *walk, const struct unit_file *file)
{
    struct scrub *scrub = walk->context;
    if (scrub->count == SCRUB_BATCH)
        return false;
    if (!(file->flags & UNIT_FILE_DELETED))
        scrub->batch[scrub->count++] = *file;
    return true;
}

/* The header can't be read: who opens the file finds it so. */
static void see_damage(struct unit_walk *walk, const struct unit_file *file, err_t err)
{
    struct scrub *scrub = walk->context;
    (void)err;
    if (scrub->count < SCRUB_BATCH && file->home.kind != PLACE_NONE)
        scrub->batch[scrub->count++] = *file;
}

static void walked(struct unit_walk *walk)
{
    struct scrub *scrub = walk->context;
    machine_arrive(&scrub->machine);
}

static int scrub_walk(struct machine *machine)
{
    struct scrub *scrub = scrub_of(machine);
    uint64_t cursor = scrub->walk.cursor;
    scrub->count = scrub->at = 0;
    scrub->walk = (struct unit_walk){.store = &scrub->loop->store,
        .stream = scrub->stream,
        .source = scrub->key,
        .unit = scrub->unit,
        .cursor = cursor,
        .memory = scrub->memory,
        .see = see,
        .see_damage = see_damage,
        .done = walked,
        .context = scrub};
    int wait = machine_wait_in(machine, SCRUB_FILE, 1);
    unit_walk_start(&scrub->walk);
    return wait;
}

/* ---- files ---- */

static int wait_for_tokens(struct scrub *scrub)
{
    scrub->is_waiting = true;
    return machine_wait_in(&scrub->machine, SCRUB_FILE, 1);
}

static int end_of_unit(struct scrub *scrub)
{
    const struct digest *after = digest_of(scrub);
    bool is_still = digest_equals(after, &scrub->before);
    if (is_still && !digest_equals(after, &scrub->seen) && !err_is(scrub->walk.machine.err))
        note_suspect(scrub);
    return SCRUB_UNIT;
}

static int scrub_file(struct machine *machine)
{
    struct scrub *scrub = scrub_of(machine);
    if (is_ending(scrub) || scrub->stream->state != STREAM_OPEN)
        return SCRUB_UNWIND;
    if (scrub->at == scrub->count)
        return scrub->walk.cursor != 0 && !err_is(scrub->walk.machine.err) ? SCRUB_WALK
                                                                           : end_of_unit(scrub);
    if (scrub->tokens < 0 && !scrub->is_hurried)
        return wait_for_tokens(scrub);
    const struct unit_file *file = &scrub->batch[scrub->at];
    digest_add(&scrub->seen, file_digest(&file->identity, file->version, file->size, file->crc), 1);
    scrub->tokens -= (int64_t)file->size + SLOT_HEADER_SIZE;
    scrub->sums.files++;
    return SCRUB_LOOK;
}

static int scrub_look(struct machine *machine)
{
    struct scrub *scrub = scrub_of(machine);
    const struct unit_file *file = &scrub->batch[scrub->at];
    struct fid fid = unit_fid(&scrub->loop->store, &file->identity, &file->home);
    int wait = machine_wait_in(machine, SCRUB_SEEN, 1);
    scrub->offset = 0;
    object_open_identity(&scrub->object, &scrub->loop->store, &fid, true, machine);
    return wait;
}

static void unlock(struct scrub *scrub)
{
    if (scrub->is_locked)
        file_unlock(&scrub->stream->locks, &scrub->lock);
    scrub->is_locked = false;
}

static int next_file(struct scrub *scrub)
{
    object_close(&scrub->object);
    unlock(scrub);
    scrub->at++;
    return SCRUB_FILE;
}

static void fetched(struct intake_fetch *fetch)
{
    machine_arrive(&CONTAINER_OF(fetch, struct scrub, fetch)->machine);
}

/* A mismatch: a change under way, or damage: the lock tells. */
static int meet_damage(struct scrub *scrub, err_t err)
{
    const struct unit_file *file = &scrub->batch[scrub->at];
    object_close(&scrub->object);
    if (!scrub->is_locked) {
        scrub->is_locked = true;
        if (file_lock(&scrub->stream->locks, &scrub->lock, &file->identity, &scrub->machine))
            return SCRUB_LOOK;
        return machine_wait_in(&scrub->machine, SCRUB_LOOK, 1);
    }
    unlock(scrub);
    scrub->sums.damaged++;
    if (!scrub->loop->store.fetch) {
        EVENT(&scrub->loop->log, ERROR, "damaged", &scrub->loop->owner,
            EVENT_MACHINE("origin", file->identity.origin),
            EVENT_NUMBER("clock", file->identity.clock), EVENT_ERR(err));
        return next_file(scrub);
    }
    scrub->fetch = (struct intake_fetch){.store = &scrub->loop->store,
        .identity = file->identity,
        .home = file->home,
        .is_repair = true,
        .done = fetched};
    int wait = machine_wait_in(&scrub->machine, SCRUB_HEALED, 1);
    scrub->loop->store.fetch(&scrub->fetch);
    return wait;
}

static int scrub_healed(struct machine *machine)
{
    struct scrub *scrub = scrub_of(machine);
    scrub->sums.repaired += !err_is(scrub->fetch.err);
    return next_file(scrub);
}

static int read_piece(struct scrub *scrub)
{
    uint64_t left = scrub->object.header.size - scrub->offset;
    uint32_t piece = scrub->loop->store.config.piece_size;
    int wait = machine_wait_in(&scrub->machine, SCRUB_PIECE, 1);
    object_read(&scrub->object, scrub->offset, left < piece ? left : piece);
    return wait;
}

static int scrub_seen(struct machine *machine)
{
    struct scrub *scrub = scrub_of(machine);
    err_t err = scrub->object.err;
    if (err_has(err, ERR_CODE_CORRUPT))
        return meet_damage(scrub, err);
    if (err_is(err))
        return next_file(scrub); /* deleted meanwhile, or not now */
    bool is_read = !scrub->object.is_single
                   || scrub->object.header.size <= scrub->loop->store.config.piece_size;
    scrub->sums.bytes += scrub->object.header.size;
    return is_read ? next_file(scrub) : read_piece(scrub);
}

static int scrub_piece(struct machine *machine)
{
    struct scrub *scrub = scrub_of(machine);
    err_t err = scrub->object.err;
    if (err_has(err, ERR_CODE_CORRUPT))
        return meet_damage(scrub, err);
    scrub->offset += scrub->object.data.size;
    if (err_is(err) || scrub->offset >= scrub->object.header.size || is_ending(scrub))
        return next_file(scrub);
    return read_piece(scrub);
}

/* ---- the way out ---- */

static int scrub_unwind(struct machine *machine)
{
    struct scrub *scrub = scrub_of(machine);
    object_close(&scrub->object);
    unlock(scrub);
    return SCRUB_DONE;
}

static int scrub_done(struct machine *machine)
{
    struct scrub *scrub = scrub_of(machine);
    struct storage_loop *loop = scrub->loop;
    owner_close(&machine->owner);
    loop->store.running--;
    scrub->sums.ended_ns = io_now(loop->io);
    scrub->last = scrub->sums;
    scrub->is_running = scrub->is_hurried = false;
    scrub->next_ns = scrub->sums.ended_ns + SCRUB_PAUSE_S * NS_PER_S;
    return STAGE_END;
}

static const struct stage scrub_stages[SCRUB_STAGES] = {
    [SCRUB_UNIT] = {"unit", scrub_unit, BIT(SCRUB_WALK), 0},
    [SCRUB_WALK] = {"walk", scrub_walk, BIT(SCRUB_FILE), 0},
    [SCRUB_FILE] = {"file", scrub_file,
        BIT(SCRUB_FILE) | BIT(SCRUB_WALK) | BIT(SCRUB_UNIT) | BIT(SCRUB_LOOK), 0},
    [SCRUB_LOOK] = {"look", scrub_look, BIT(SCRUB_SEEN), 30000},
    [SCRUB_SEEN] = {"seen", scrub_seen,
        BIT(SCRUB_FILE) | BIT(SCRUB_PIECE) | BIT(SCRUB_LOOK) | BIT(SCRUB_HEALED), 5000},
    [SCRUB_PIECE] = {"piece", scrub_piece,
        BIT(SCRUB_FILE) | BIT(SCRUB_PIECE) | BIT(SCRUB_LOOK) | BIT(SCRUB_HEALED), 5000},
    [SCRUB_HEALED] = {"healed", scrub_healed, BIT(SCRUB_FILE), 60000},
    [SCRUB_UNWIND] = {"unwind", scrub_unwind, BIT(SCRUB_DONE), 0},
    [SCRUB_DONE] = {"done", scrub_done, 0, 0},
};
static const struct machine_kind scrub_kind = {
    "scrub", scrub_stages, SCRUB_STAGES, SCRUB_UNWIND, SCRUB_DONE};

/* ---- life ---- */

static void begin(struct scrub *scrub)
{
    struct storage_loop *loop = scrub->loop;
    scrub->is_running = true;
    scrub->pass++;
    scrub->sums = (struct scrub_sums){.started_ns = io_now(loop->io)};
    scrub->mount_at = scrub->stream_at = scrub->source_at = 0;
    scrub->from = 0;
    scrub->object.store = NULL;
    loop->store.running++;
    machine_start(&scrub->machine, &scrub_kind, &loop->io->run, DIRECTION_OWN);
}

static void fill_tokens(struct scrub *scrub, uint64_t now_ns)
{
    uint64_t rate = scrub->loop->storage->config.scrub_rate / scrub->loop->storage->loop_count;
    uint64_t passed_ns = now_ns - scrub->token_ns;
    if (passed_ns > NS_PER_S)
        passed_ns = NS_PER_S;
    scrub->token_ns = now_ns;
    scrub->tokens += (int64_t)(rate * passed_ns / NS_PER_S);
    if (scrub->tokens > (int64_t)rate)
        scrub->tokens = (int64_t)rate;
}

static void on_tick(struct net_tick *tick, uint64_t now_ns)
{
    struct scrub *scrub = CONTAINER_OF(tick, struct scrub, tick);
    bool is_wanted = scrub->loop->storage->config.scrub_rate > 0 && now_ns >= scrub->next_ns;
    fill_tokens(scrub, now_ns);
    if (scrub->is_waiting && (scrub->tokens >= 0 || scrub->is_hurried || is_ending(scrub))) {
        scrub->is_waiting = false;
        machine_arrive(&scrub->machine);
    }
    if (!scrub->is_running && (is_wanted || scrub->is_hurried) && !is_ending(scrub))
        begin(scrub);
}

uint64_t scrub_bytes(void)
{
    return sizeof(struct unit_walk_memory);
}

err_t scrub_open(struct storage_loop *loop)
{
    struct scrub *scrub = &loop->scrub;
    void *block;
    *scrub = (struct scrub){.loop = loop, .tick = {.tick = on_tick}};
    owner_open(&scrub->owner, "scrub", DIRECTION_OWN, io_now(loop->io));
    err_t err = mem_take(&loop->mem, &scrub->owner, sizeof(struct unit_walk_memory), 0, &block);
    if (err_is(err)) {
        owner_close(&scrub->owner);
        return err;
    }
    scrub->memory = block;
    scrub->is_open = scrub->is_ticking = true;
    scrub->next_ns = io_now(loop->io) + SCRUB_PAUSE_S * NS_PER_S;
    net_ticker_join(&loop->net.ticker, &scrub->tick);
    return ERR_OK;
}

bool scrub_rest(struct storage_loop *loop)
{
    struct scrub *scrub = &loop->scrub;
    if (!scrub->is_open)
        return true;
    if (scrub->is_running)
        return false;
    if (scrub->is_ticking)
        net_ticker_leave(&loop->net.ticker, &scrub->tick);
    scrub->is_ticking = false;
    return true;
}

void scrub_close(struct storage_loop *loop)
{
    struct scrub *scrub = &loop->scrub;
    if (!scrub->is_open)
        return;
    CHECK(!scrub->is_running);
    if (scrub->is_ticking)
        net_ticker_leave(&loop->net.ticker, &scrub->tick);
    mem_give(&loop->mem, scrub->memory);
    owner_close(&scrub->owner);
    scrub->is_open = false;
}

uint64_t scrub_request(struct scrub *scrub)
{
    scrub->is_hurried = true; /* a pass that is under way hurries; the one asked for follows it */
    if (scrub->is_running)
        scrub->next_ns = 0;
    return scrub->pass + 1;
}

bool scrub_is_over(const struct scrub *scrub, uint64_t pass)
{
    return scrub->pass > pass || (scrub->pass == pass && !scrub->is_running);
}
