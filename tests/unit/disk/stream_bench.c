#include "tests/unit/disk/stream_bench.h"

#include "base/crc.h"
#include "disk/checkpoint.h"
#include "sim/mem.h"

/* ---- a disk, and the process on it ---- */

static void call(struct stream_bench *bench, struct io_op op)
{
    op.owner = &bench->owner;
    EXPECT(io_call(bench->io, &op) >= 0);
}

static void format(struct stream_bench *bench)
{
    static const char *const directories[] = {
        "/d/chunks", "/d/ckpt", "/d/log", "/d/new", "/d/singles"};
    bench->io = sim_loop_new(bench->world, bench->node, 0);
    owner_open(&bench->owner, "bench", DIRECTION_OWN, 0);
    for (size_t i = 0; i < ARRAY_LEN(directories); i++)
        call(bench, (struct io_op){.kind = IO_MKDIR, .fd = IO_FD_NONE, .path = directories[i]});
    struct io_handle handle = IO_HANDLE_NONE;
    call(bench, (struct io_op){.kind = IO_OPEN,
                    .fd = IO_FD_NONE,
                    .path = "/d",
                    .open_flags = IO_OPEN_READ | IO_OPEN_DIRECTORY,
                    .ret_handle = &handle});
    call(bench, (struct io_op){.kind = IO_SYNC, .fd = handle.fd});
    io_handle_close(bench->io, &handle);
    owner_close(&bench->owner);
    sim_loop_free(bench->io);
    bench->io = NULL;
}

static const struct io_handle *root_of(void *context, const struct chunk_key *key)
{
    struct stream_bench *bench = context;
    (void)key;
    return &bench->root;
}

static void on_fence(struct stream *stream, err_t err)
{
    struct stream_bench *bench = stream->options.context;
    (void)err;
    bench->is_fenced = true;
}

void bench_init(struct stream_bench *bench, uint64_t seed)
{
    static const struct sim_disk_options disk = {.capacity = 64 << 20,
        .direct_alignment = 512,
        .read_ns = 50000,
        .write_ns = 4000,
        .sync_ns = 200000,
        .meta_ns = 10000};
    *bench = (struct stream_bench){.world = sim_world_new(seed), .root = IO_HANDLE_NONE};
    bench->node = sim_node_new(bench->world, "s1", NULL);
    sim_mount_new(bench->node, "/d", &disk);
    bench->options = (struct stream_options){.mem = &bench->mem,
        .files = &bench->files,
        .root = &bench->root,
        .clock = &bench->clock,
        .machine = BENCH_MACHINE,
        .incarnation = 1,
        .chunk_size = BENCH_CHUNK,
        .log_segment_size = 64 << 10,
        .log_buffer_size = 32 << 10,
        .log_segment_count_max = 6,
        .free_slot_count = 64,
        .chunk_count_max = 64,
        .source_count_max = 3,
        .checkpoint_bytes = 1 << 20,
        .on_fence = on_fence,
        .context = bench};
    format(bench);
}

bool bench_is_up(const struct stream_bench *bench)
{
    return bench->io && !sim_node_is_down(bench->node);
}

static void bury(struct stream_bench *bench)
{
    sim_mem_bury(&bench->mem);
    bench->io = NULL;
    bench->has_stream = bench->has_files = false;
    bench->root = IO_HANDLE_NONE;
}

void bench_kill(struct stream_bench *bench, bool loses_power)
{
    if (!sim_node_is_down(bench->node)) {
        if (loses_power)
            sim_node_power_loss(bench->node);
        else
            sim_node_kill(bench->node);
    }
    bury(bench);
}

static void give_back(struct stream_bench *bench)
{
    if (bench->has_files)
        chunk_files_fini(&bench->files);
    bench->has_files = false;
    io_handle_close(bench->io, &bench->root);
    owner_close(&bench->owner);
    ledger_check_empty(&bench->io->ledger);
    sim_loop_free(bench->io);
    bench->io = NULL;
}

static err_t boot(struct stream_bench *bench)
{
    bench->io = sim_loop_new(bench->world, bench->node, 0);
    bench->options.io = bench->io;
    bench->is_fenced = false;
    atomic_store(&bench->clock.last, 0);
    owner_open(&bench->owner, "bench", DIRECTION_OWN, 0);
    mem_init(&bench->mem, &bench->io->ledger);
    struct io_op op = {.kind = IO_OPEN,
        .fd = IO_FD_NONE,
        .path = "/d",
        .open_flags = IO_OPEN_READ | IO_OPEN_DIRECTORY,
        .ret_handle = &bench->root,
        .owner = &bench->owner};
    int64_t result = io_call(bench->io, &op);
    if (result < 0)
        return ERR_RESULT(result);
    TRY(chunk_files_init(&bench->files, bench->io, &bench->mem, 16, root_of, bench));
    bench->has_files = true;
    TRY(stream_open(&bench->stream, &bench->options));
    bench->has_stream = true;
    return ERR_OK;
}

static bool is_ready(void *context)
{
    struct stream_bench *bench = context;
    return !bench_is_up(bench) || stream_is_ready(&bench->stream);
}

bool bench_boot(struct stream_bench *bench)
{
    err_t err = boot(bench);
    if (!err_is(err))
        EXPECT(sim_world_run_until(bench->world, is_ready, bench, UINT64_C(60000000000)));
    if (!bench_is_up(bench)) {
        bury(bench);
        return false;
    }
    EXPECT_OK(err);
    EXPECT_EQ(bench->stream.state, STREAM_OPEN);
    return true;
}

err_t bench_boot_refused(struct stream_bench *bench)
{
    err_t err = boot(bench);
    EXPECT(err_is(err));
    give_back(bench);
    return err;
}

static bool is_quiet(void *context)
{
    struct stream_bench *bench = context;
    return !bench_is_up(bench) || stream_close_is_quiet(&bench->stream);
}

bool bench_close(struct stream_bench *bench)
{
    stream_close_begin(&bench->stream);
    EXPECT(sim_world_run_until(bench->world, is_quiet, bench, UINT64_C(60000000000)));
    if (!bench_is_up(bench)) {
        bury(bench);
        return false;
    }
    stream_close_end(&bench->stream);
    bench->has_stream = false;
    give_back(bench);
    return true;
}

void bench_free(struct stream_bench *bench)
{
    if (bench->io)
        EXPECT(bench_close(bench));
    sim_world_free(bench->world);
}

struct checkpoint_wish {
    struct stream_bench *bench;
    uint64_t count;
};

static bool is_taken(void *context)
{
    struct checkpoint_wish *wish = context;
    return wish->bench->stream.checkpoint->count > wish->count;
}

void bench_checkpoint(struct stream_bench *bench)
{
    struct checkpoint *checkpoint = bench->stream.checkpoint;
    for (int i = 0; i < 2; i++) { /* the first may have begun before */
        struct checkpoint_wish wish = {bench, checkpoint->count};
        checkpoint_request(checkpoint);
        EXPECT(sim_world_run_until(bench->world, is_taken, &wish, UINT64_C(60000000000)));
    }
}

/* ---- jobs ---- */

enum {
    JOB_RESERVE,
    JOB_HOLD,
    JOB_HELD,
    JOB_COMMITTED,
    JOB_APPLIED,
    JOB_UNWIND,
    JOB_DONE,
    JOB_STAGES
};

static struct bench_job *job_of(struct machine *machine)
{
    return CONTAINER_OF(machine, struct bench_job, machine);
}

static int job_reserve(struct machine *machine)
{
    struct bench_job *job = job_of(machine);
    if (job->reserve_size == 0)
        return JOB_HOLD;
    if (!stream_reserve(&job->bench->stream, &job->reservation, job->reserve_size, machine))
        return machine_wait_in(machine, JOB_RESERVE, 1);
    if (err_is(job->reservation.err))
        return machine_fail(machine, job->reservation.err);
    job->record.home = job->reservation.place;
    return JOB_HOLD;
}

static int job_hold(struct machine *machine)
{
    struct bench_job *job = job_of(machine);
    if (job->seed == 0
        || mirror_chunk_acquire(
            &job->chunk, &job->bench->stream, &job->key, job->seed, &job->ref, machine))
        return JOB_HELD;
    return machine_wait_in(machine, JOB_HELD, 1);
}

static int job_held(struct machine *machine)
{
    struct bench_job *job = job_of(machine);
    if (err_is(job->ref.err))
        return machine_fail(machine, job->ref.err);
    if (job->record.kind == 0)
        return JOB_UNWIND;
    int wait = machine_wait_in(machine, JOB_COMMITTED, 1);
    err_t err = binlog_append(&job->bench->stream.log, &job->append, &job->record, machine);
    EXPECT_OK(err);
    return wait;
}

static int job_committed(struct machine *machine)
{
    struct bench_job *job = job_of(machine);
    if (err_is(job->append.err))
        return machine_fail(machine, job->append.err);
    int wait = machine_wait_in(machine, JOB_APPLIED, 1);
    packed_apply_start(&job->apply, &job->bench->stream, &job->append.record, machine);
    return wait;
}

static int job_applied(struct machine *machine)
{
    struct bench_job *job = job_of(machine);
    return err_is(job->apply.err) ? machine_fail(machine, job->apply.err) : JOB_UNWIND;
}

static int job_unwind(struct machine *machine)
{
    struct bench_job *job = job_of(machine);
    bool was_appended = job->append.buffer != NULL;
    binlog_release(&job->bench->stream.log, &job->append);
    stream_reserve_end(&job->bench->stream, &job->reservation, was_appended);
    if (!job->keeps_ref)
        chunk_release(&job->bench->files, &job->ref);
    job->err = machine->err;
    return JOB_DONE;
}

static int job_done(struct machine *machine)
{
    struct bench_job *job = job_of(machine);
    owner_close(&machine->owner);
    job->is_over = true;
    return STAGE_END;
}

static const struct stage job_stages[JOB_STAGES] = {
    [JOB_RESERVE] = {"reserve", job_reserve, BIT(JOB_HOLD), 0},
    [JOB_HOLD] = {"hold", job_hold, BIT(JOB_HELD), 0},
    [JOB_HELD] = {"held", job_held, BIT(JOB_COMMITTED), 0},
    [JOB_COMMITTED] = {"committed", job_committed, BIT(JOB_APPLIED), 0},
    [JOB_APPLIED] = {"applied", job_applied, 0, 0},
    [JOB_UNWIND] = {"unwind", job_unwind, BIT(JOB_DONE), 0},
    [JOB_DONE] = {"done", job_done, 0, 0},
};
static const struct machine_kind job_kind = {"job", job_stages, JOB_STAGES, JOB_UNWIND, JOB_DONE};

void bench_start(struct stream_bench *bench, struct bench_job *job)
{
    job->bench = bench;
    job->is_over = false;
    job->ref = (struct chunk_ref){0};
    job->append = (struct log_append){0};
    job->reservation = (struct reservation){0};
    machine_start(&job->machine, &job_kind, &bench->io->run, DIRECTION_OWN);
}

static bool job_is_over(void *context)
{
    struct bench_job *job = context;
    return job->is_over || !bench_is_up(job->bench);
}

void bench_wait(struct stream_bench *bench, struct bench_job *job)
{
    EXPECT(sim_world_run_until(bench->world, job_is_over, job, UINT64_C(60000000000)));
}

/* ---- files of the peer ---- */

struct chunk_key bench_key(uint32_t number)
{
    return (struct chunk_key){BENCH_PEER, 1, 2, number};
}

struct source_key bench_source(void)
{
    return (struct source_key){BENCH_PEER, 1, 2};
}

uint64_t bench_file_digest(const struct bench_file *file)
{
    return file_digest(
        &file->header.identity, file->header.version, file->header.size, file->header.content_crc);
}

void bench_file_init(struct stream_bench *bench, struct bench_file *file, uint32_t index,
    uint64_t version, uint8_t fill)
{
    *file = (struct bench_file){0};
    memset(file->content, fill, sizeof file->content);
    struct slot_header *header = &file->header;
    *header = (struct slot_header){
        .identity = {.clock = 1000 + index, .origin = BENCH_PEER, .suffix = "abcdef."},
        .version = {version, BENCH_PEER},
        .size = sizeof file->content,
        .slot_size = 256,
        .content_crc = crc32_update(0, file->content, sizeof file->content),
        .flags = SLOT_MUTABLE};
    uint32_t size = slot_meta_encode(header, NULL, NULL, BENCH_SEED, file->meta);
    file->job.bench = bench;
    file->job.key = bench_key(1);
    file->job.seed = BENCH_SEED;
    file->job.record = (struct record){.kind = version == 1 ? RECORD_UPLOAD : RECORD_REPLACE,
        .flags = RECORD_INLINE | RECORD_EXTENDED | (version == 1 ? RECORD_TAKES : 0),
        .origin = BENCH_PEER,
        .mount = 1,
        .stream = 2,
        .identity = header->identity,
        .version = header->version,
        .home = {.kind = PLACE_PACKED,
            .machine = BENCH_PEER,
            .mount = 1,
            .stream = 2,
            .chunk = 1,
            .offset = CHUNK_HEADER_SIZE + 256 * index,
            .slot_size = 256},
        .total_size = sizeof file->content,
        .content_size = sizeof file->content,
        .content_crc = header->content_crc,
        .source_incarnation = 3,
        .source_lsn = 100 + version,
        .digest_delta = bench_file_digest(file),
        .live_delta = version == 1,
        .home_meta = {file->meta, size},
        .content = {file->content, sizeof file->content}};
}

bool bench_file_is_there(struct stream_bench *bench, const struct bench_file *file)
{
    char path[CHUNK_NAME_MAX + 3] = "/d/";
    uint8_t bytes[256];
    struct slot_header header;
    uint32_t need;
    chunk_path(path + 3, &file->job.key);
    if (sim_file_read(bench->node, path, file->job.record.home.offset, bytes, sizeof bytes)
        != sizeof bytes)
        return false;
    return !err_is(slot_meta_decode(span_of(bytes, sizeof bytes), BENCH_SEED, &header, &need))
           && identity_equals(&header.identity, &file->header.identity)
           && version_equals(header.version, file->header.version)
           && memcmp(bytes + slot_meta_size(256, 0), file->content, sizeof file->content) == 0;
}
