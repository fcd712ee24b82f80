#include "tests/unit/disk/single_bench.h"

#include <errno.h>

#include "base/crc.h"

/* ---- the world ---- */

static int64_t bench_call(struct bench *bench, struct io_op op)
{
    op.owner = &bench->owner;
    return io_call(bench->io, &op);
}

static void make_directory(struct bench *bench, const char *path)
{
    struct io_op op = {.kind = IO_MKDIR, .fd = bench->root.fd, .path = path};
    int64_t result = bench_call(bench, op);
    EXPECT(result == 0 || result == -EEXIST);
    struct io_handle handle = IO_HANDLE_NONE;
    op = (struct io_op){.kind = IO_OPEN,
        .fd = bench->root.fd,
        .path = path,
        .open_flags = IO_OPEN_READ | IO_OPEN_DIRECTORY,
        .ret_handle = &handle};
    EXPECT(bench_call(bench, op) >= 0);
    EXPECT_EQ(bench_call(bench, (struct io_op){.kind = IO_SYNC, .fd = handle.fd}), 0);
    io_handle_close(bench->io, &handle);
    EXPECT_EQ(bench_call(bench, (struct io_op){.kind = IO_SYNC, .fd = bench->root.fd}), 0);
}

static void bench_begin(struct bench *bench)
{
    bench->mount = (struct single_mount){bench->io, &bench->root, BENCH_STREAM};
    single_dirty_init(&bench->dirty, &bench->mount);
}

void bench_open(struct bench *bench, struct io *io, struct io_handle *root, uint64_t content_max)
{
    bench->io = io;
    bench->root = IO_HANDLE_NONE;
    bench->content_max = content_max;
    bench->identity = (struct identity){.clock = 0x123456789a02, .origin = 9, .suffix = "ab1.jpg"};
    bench->model.data = calloc(1, content_max);
    owner_open(&bench->owner, "bench", DIRECTION_OWN, 0);
    if (root)
        io_handle_move(&bench->root, root);
    else
        EXPECT(bench_call(bench, (struct io_op){.kind = IO_OPEN,
                                     .fd = IO_FD_NONE,
                                     .path = "/d",
                                     .open_flags = IO_OPEN_READ | IO_OPEN_DIRECTORY,
                                     .ret_handle = &bench->root})
               >= 0);
    static const char *const names[] = {"singles", "singles/02", "new", "new/03"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        make_directory(bench, names[i]);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) /* each entry durable in its parent */
        make_directory(bench, names[i]);
    bench_begin(bench);
}

void bench_open_sim(struct bench *bench, struct sim_world *world,
    const struct sim_disk_options *options, uint64_t content_max)
{
    *bench = (struct bench){.world = world, .node = sim_node_new(world, "s1", NULL)};
    sim_mount_new(bench->node, "/d", options);
    bench_open(bench, sim_loop_new(world, bench->node, 0), NULL, content_max);
}

static void log_clear(struct bench *bench)
{
    while (bench->log_count > 0) {
        union {
            const uint8_t *data;
            void *memory;
        } record = {bench->log[--bench->log_count].data};
        free(record.memory);
    }
}

void bench_close(struct bench *bench)
{
    log_clear(bench);
    free(bench->model.data);
    single_dirty_close(&bench->dirty);
    io_handle_close(bench->io, &bench->root);
    owner_close(&bench->owner);
    if (bench->world)
        ledger_check_empty(&bench->io->ledger);
}

static err_t survey(void *context, struct single_survey *survey)
{
    struct bench *bench = context;
    bench->survey_count++;
    for (uint32_t i = 0; i < bench->log_count; i++) {
        struct record record;
        size_t size;
        EXPECT_OK(record_decode(bench->log[i], &record, &size));
        single_survey_record(survey, &record);
    }
    return ERR_OK;
}

static err_t recover(struct bench *bench)
{
    struct single_redo redo = {.mount = &bench->mount,
        .owner = &bench->owner,
        .dirty = &bench->dirty,
        .survey = survey,
        .context = bench};
    for (uint32_t i = 0; i < bench->log_count; i++) {
        struct record record;
        size_t size;
        EXPECT_OK(record_decode(bench->log[i], &record, &size));
        TRY(single_redo(&redo, &record));
    }
    TRY(single_redo_finish(&redo));
    return single_clean_new(&bench->mount, &bench->owner, NULL, NULL, NULL);
}

void bench_recover(struct bench *bench)
{
    EXPECT_OK(recover(bench));
}

bool bench_try_recover(struct bench *bench)
{
    err_t err = recover(bench);
    EXPECT(err_is(err) == sim_node_is_down(bench->node));
    return !err_is(err);
}

void bench_reboot(struct bench *bench)
{
    CHECK(sim_node_is_down(bench->node));
    bench->io = sim_loop_new(bench->world, bench->node, 0);
    owner_open(&bench->owner, "bench", DIRECTION_OWN, 0);
    bench->root = IO_HANDLE_NONE;
    EXPECT(bench_call(bench, (struct io_op){.kind = IO_OPEN,
                                 .fd = IO_FD_NONE,
                                 .path = "/d",
                                 .open_flags = IO_OPEN_READ | IO_OPEN_DIRECTORY,
                                 .ret_handle = &bench->root})
           >= 0);
    bench_begin(bench);
}

static void count_entry(void *context, const char *name, bool is_directory)
{
    (void)name, (void)is_directory;
    ++*(unsigned *)context;
}

unsigned bench_count_new(struct bench *bench)
{
    struct io_handle handle = IO_HANDLE_NONE;
    unsigned count = 0;
    EXPECT(bench_call(bench, (struct io_op){.kind = IO_OPEN,
                                 .fd = bench->root.fd,
                                 .path = "new/03",
                                 .open_flags = IO_OPEN_READ | IO_OPEN_DIRECTORY,
                                 .ret_handle = &handle})
           >= 0);
    EXPECT_EQ(
        bench_call(bench,
            (struct io_op){
                .kind = IO_LIST, .fd = handle.fd, .each_entry = count_entry, .context = &count}),
        0);
    io_handle_close(bench->io, &handle);
    return count;
}

/* ---- the model ---- */

static void model_change(struct bench *bench, const struct job *job)
{
    struct model *model = &bench->model;
    uint64_t end = job->offset + job->content.size;
    model->version = job->version;
    switch (job->kind) {
    case JOB_UPLOAD:
    case JOB_REPLACE:
        model->exists = true;
        model->size = job->content.size;
        memcpy(model->data, job->content.data, job->content.size);
        break;
    case JOB_PATCH:
    case JOB_WRITE:
        if (job->content.size > 0)
            memcpy(model->data + job->offset, job->content.data, job->content.size);
        model->size = end > model->size ? end : model->size;
        break;
    case JOB_APPEND:
        memcpy(model->data + model->size, job->content.data, job->content.size);
        model->size += job->content.size;
        break;
    case JOB_TRUNCATE:
        if (model->written > model->size)
            memset(model->data + model->size, 0, model->written - model->size);
        model->written = model->size;
        model->size = job->size;
        break;
    case JOB_DELETE:
        model->exists = false;
        break;
    default:
        break;
    }
    if (job->kind != JOB_TRUNCATE && model->size > model->written)
        model->written = model->size;
}

/* ---- the machine ---- */

enum {
    START,
    READER_OPENED,
    OPENED,
    HEAD_COPIED,
    POUR,
    TAIL,
    FINISH,
    PREPARED,
    APPLIED,
    READ,
    UNWIND,
    CLOSED,
    DONE,
    STAGES
};

static struct job *job_of(struct machine *machine)
{
    return CONTAINER_OF(machine, struct job, machine);
}

static bool job_makes(const struct job *job)
{
    return job->kind == JOB_UPLOAD || job->kind == JOB_REPLACE || job->kind == JOB_PATCH;
}

static void job_commit(struct job *job, struct record *record)
{
    struct bench *bench = job->bench;
    record->lsn = bench->log_count + 1;
    record->origin = BENCH_MACHINE;
    record->home = (struct place){.kind = PLACE_SINGLE, .machine = BENCH_MACHINE};
    size_t size = record_size(record);
    struct writer w = {.data = malloc(size), .capacity = size};
    record_encode(record, &w, record);
    CHECK(!w.failed && bench->log_count < BENCH_RECORDS_MAX);
    bench->log[bench->log_count++] = span_of(w.data, w.size);
    job->is_committed = true;
    model_change(bench, job);
}

static int open_writer(struct job *job)
{
    int wait = machine_wait_in(&job->machine, OPENED, 1);
    single_writer_open(&job->writer, &job->bench->mount, &job->machine, &job->bench->identity,
        job->version, job->page);
    return wait;
}

static int start_delete(struct job *job)
{
    struct record record = {.kind = RECORD_DELETE, .identity = job->bench->identity};
    record.version = job->version;
    job_commit(job, &record);
    int wait = machine_wait_in(&job->machine, APPLIED, 1);
    single_unlink(
        &job->entry, &job->bench->mount, &job->machine, &job->bench->identity, &job->bench->dirty);
    return wait;
}

static int start_checkpoint(struct job *job)
{
    int wait = machine_wait_in(&job->machine, APPLIED, 1);
    single_dirty_sync(&job->bench->dirty, &job->machine);
    return wait;
}

static int job_start(struct machine *machine)
{
    struct job *job = job_of(machine);
    struct bench *bench = job->bench;
    if (job->kind == JOB_UPLOAD || job->kind == JOB_REPLACE)
        return open_writer(job);
    if (job->kind == JOB_DELETE)
        return start_delete(job);
    if (job->kind == JOB_CHECKPOINT)
        return start_checkpoint(job);
    if (job->kind == JOB_READ || job->kind == JOB_PATCH) {
        int wait = machine_wait_in(machine, READER_OPENED, 1);
        single_reader_open(
            &job->reader, &bench->mount, machine, &bench->identity, job->reader_buffer);
        return wait;
    }
    int wait = machine_wait_in(machine, OPENED, 1);
    single_change_open(&job->change, &bench->mount, machine, &bench->identity, job->change_buffer);
    return wait;
}

static int read_piece(struct job *job)
{
    uint64_t size =
        job->piece && job->piece < job->size - job->at ? job->piece : job->size - job->at;
    int wait = machine_wait_in(&job->machine, READ, 1);
    single_reader_read(&job->reader, job->offset + job->at, size, job->out + job->at);
    return wait;
}

static int job_reader_opened(struct machine *machine)
{
    struct job *job = job_of(machine);
    if (err_is(job->reader.chain.err))
        return machine_fail(machine, job->reader.chain.err);
    return job->kind == JOB_PATCH ? open_writer(job) : read_piece(job);
}

static int prepare_change(struct job *job)
{
    struct single_update update = {.version = job->version,
        .nonce = {{1, 2, 3}},
        .modify_ns = 77,
        .has_attributes = job->attributes.size > 0,
        .attributes = job->attributes};
    if (job->kind == JOB_TRIM)
        return UNWIND;
    int next = job->kind == JOB_APPEND ? POUR : PREPARED;
    int wait = machine_wait_in(&job->machine, next, 1);
    if (job->kind == JOB_WRITE)
        single_change_write(&job->change, &update, job->offset, job->content);
    else if (job->kind == JOB_APPEND)
        single_change_append(&job->change, &update);
    else
        single_change_truncate(&job->change, &update, job->size);
    return wait;
}

static int job_opened(struct machine *machine)
{
    struct job *job = job_of(machine);
    err_t err = job_makes(job) ? job->writer.chain.err : job->change.chain.err;
    if (err_is(err))
        return machine_fail(machine, err);
    if (!job_makes(job))
        return prepare_change(job);
    if (job->kind != JOB_PATCH)
        return POUR;
    int wait = machine_wait_in(machine, HEAD_COPIED, 1);
    single_copy_range(&job->copy, &job->reader, &job->writer, 0, job->offset, job->copy_buffer,
        sizeof job->copy_buffer);
    return wait;
}

static int job_head_copied(struct machine *machine)
{
    struct job *job = job_of(machine);
    return err_is(job->copy.err) ? machine_fail(machine, job->copy.err) : POUR;
}

static int job_pour(struct machine *machine)
{
    struct job *job = job_of(machine);
    err_t err = job_makes(job) ? job->writer.chain.err : job->change.chain.err;
    if (err_is(err))
        return machine_fail(machine, err);
    uint64_t left = job->content.size - job->at;
    if (left == 0)
        return job->kind == JOB_PATCH ? TAIL : FINISH;
    struct span piece =
        span_of(job->content.data + job->at, job->piece && job->piece < left ? job->piece : left);
    job->at += piece.size;
    int wait = machine_wait_in(machine, POUR, 1);
    if (job_makes(job))
        single_writer_write(&job->writer, piece);
    else
        single_change_append_write(&job->change, piece);
    return wait;
}

static int job_tail(struct machine *machine)
{
    struct job *job = job_of(machine);
    uint64_t from = job->offset + job->content.size, size = job->reader.header.size;
    if (from >= size)
        return FINISH;
    int wait = machine_wait_in(machine, FINISH, 1);
    single_copy_range(&job->copy, &job->reader, &job->writer, from, size, job->copy_buffer,
        sizeof job->copy_buffer);
    return wait;
}

static int job_finish(struct machine *machine)
{
    struct job *job = job_of(machine);
    if (err_is(job->copy.err))
        return machine_fail(machine, job->copy.err);
    int wait = machine_wait_in(machine, PREPARED, 1);
    struct slot_header header = {.create_ns = 5, .modify_ns = 6, .flags = SLOT_MUTABLE};
    if (job_makes(job))
        single_writer_finish(&job->writer, &header, job->attributes);
    else
        single_change_append_finish(&job->change);
    return wait;
}

static int job_prepared(struct machine *machine)
{
    struct job *job = job_of(machine);
    struct bench *bench = job->bench;
    err_t err = job_makes(job) ? job->writer.chain.err : job->change.chain.err;
    if (err_is(err))
        return machine_fail(machine, err);
    if (job->is_given_up)
        return UNWIND;
    struct record record = {.kind = job->kind == JOB_UPLOAD ? RECORD_UPLOAD : RECORD_REPLACE,
        .home = {.kind = PLACE_SINGLE}};
    if (job->kind == JOB_PATCH)
        record.kind = RECORD_WRITE; /* what was asked for, although it went out of place */
    if (job_makes(job))
        single_writer_record(&job->writer, &record);
    else
        single_change_record(&job->change, &record);
    job_commit(job, &record);
    int wait = machine_wait_in(machine, APPLIED, 1);
    if (job_makes(job))
        single_rename(
            &job->entry, &bench->mount, machine, &bench->identity, job->version, &bench->dirty);
    else
        single_change_apply(&job->change, &record, &bench->dirty);
    return wait;
}

static int job_applied(struct machine *machine)
{
    struct job *job = job_of(machine);
    err_t err = job->entry.chain.err;
    if (job->kind == JOB_CHECKPOINT)
        err = job->bench->dirty.chain.err;
    else if (job->kind != JOB_DELETE && !job_makes(job))
        err = job->change.chain.err;
    if (job->kind == JOB_CHECKPOINT && !err_is(err))
        log_clear(job->bench);
    return err_is(err) ? machine_fail(machine, err) : UNWIND;
}

static int job_read(struct machine *machine)
{
    struct job *job = job_of(machine);
    if (err_is(job->reader.chain.err))
        return machine_fail(machine, job->reader.chain.err);
    job->at += job->reader.data.size;
    bool is_over =
        !job->piece || job->at == job->size || job->offset + job->at == job->reader.header.size;
    return is_over ? UNWIND : read_piece(job);
}

static int job_unwind(struct machine *machine)
{
    struct job *job = job_of(machine);
    single_reader_close(&job->reader);
    if (job->kind == JOB_CHECKPOINT)
        single_dirty_close(&job->bench->dirty);
    if (job->is_committed)
        return CLOSED;
    int wait = machine_wait_in(machine, CLOSED, 2);
    single_writer_abandon(&job->writer, machine);
    single_change_abandon(&job->change, machine);
    return wait;
}

static int job_closed(struct machine *machine)
{
    struct job *job = job_of(machine);
    single_writer_close(&job->writer);
    single_change_close(&job->change);
    return DONE;
}

static int job_done(struct machine *machine)
{
    struct job *job = job_of(machine);
    owner_close(&machine->owner);
    job->err = machine->err;
    job->is_done = true;
    return STAGE_END;
}

#define ANY ((1u << STAGES) - 1)
static const struct stage job_stages[STAGES] = {
    [START] = {"start", job_start, ANY, 0},
    [READER_OPENED] = {"reader-opened", job_reader_opened, ANY, 0},
    [OPENED] = {"opened", job_opened, ANY, 0},
    [HEAD_COPIED] = {"head-copied", job_head_copied, ANY, 0},
    [POUR] = {"pour", job_pour, ANY, 0},
    [TAIL] = {"tail", job_tail, ANY, 0},
    [FINISH] = {"finish", job_finish, ANY, 0},
    [PREPARED] = {"prepared", job_prepared, ANY, 0},
    [APPLIED] = {"applied", job_applied, ANY, 0},
    [READ] = {"read", job_read, ANY, 0},
    [UNWIND] = {"unwind", job_unwind, ANY, 0},
    [CLOSED] = {"closed", job_closed, ANY, 0},
    [DONE] = {"done", job_done, 0, 0},
};
static const struct machine_kind job_machine = {"job", job_stages, STAGES, UNWIND, DONE};

struct job *job_new(enum job_kind kind)
{
    struct job *job = calloc(1, sizeof *job);
    job->kind = kind;
    return job;
}

void bench_begin_job(struct bench *bench, struct job *job)
{
    job->bench = bench;
    job->version = (struct version){++bench->counter, BENCH_MACHINE};
    machine_start(&job->machine, &job_machine, &bench->io->run, DIRECTION_CLIENT);
}

void bench_step(struct bench *bench)
{
    if (!bench->node)
        io_turn(bench->io, true);
    else if (!list_is_empty(&bench->io->run.ready))
        io_turn(bench->io, false);
    else
        EXPECT(sim_world_step(bench->world));
}

bool bench_run(struct bench *bench, struct job *job)
{
    bench_begin_job(bench, job);
    for (unsigned turns = 0; !job->is_done; turns++) {
        if (bench->node && sim_node_is_down(bench->node))
            return false;
        EXPECT(turns < 100000);
        bench_step(bench);
    }
    return true;
}

void bench_do(struct bench *bench, struct job *job)
{
    EXPECT(bench_run(bench, job));
    EXPECT_OK(job->err);
}

static void verify_header(const struct bench *bench, const struct job *job)
{
    const struct slot_header *header = &job->reader.header;
    EXPECT_EQ(header->size, bench->model.size);
    EXPECT_EQ(header->content_crc, crc32_update(0, bench->model.data, bench->model.size));
    EXPECT(version_equals(header->version, bench->model.version));
    EXPECT(identity_equals(&header->identity, &bench->identity));
}

void bench_verify(struct bench *bench)
{
    struct job *job = job_new(JOB_READ);
    job->size = UINT64_MAX;
    job->out = malloc(bench->content_max + BLOCK_SIZE);
    EXPECT(bench_run(bench, job));
    if (bench->model.exists) {
        EXPECT_OK(job->err);
        verify_header(bench, job);
        EXPECT_EQ(job->reader.data.size, bench->model.size);
        EXPECT(memcmp(job->reader.data.data, bench->model.data, bench->model.size) == 0);
    } else {
        EXPECT_ERR(job->err, NOT_FOUND);
    }
    free(job->out);
    free(job);
}

uint8_t *bytes_new(uint64_t seed, size_t size)
{
    struct prng prng;
    prng_init(&prng, seed);
    uint8_t *bytes = malloc(size + 8);
    for (size_t i = 0; i < size; i += 8)
        put_u64(bytes + i, prng_next(&prng));
    return bytes;
}
