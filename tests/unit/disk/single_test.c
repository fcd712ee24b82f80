/* Single files on a disk without faults (but with short transfers): what is written is read back, and
 * every change keeps content and checksums exact. Damage is found. */
#include <errno.h>

#include "base/crc.h"
#include "sim/sweep.h"
#include "tests/unit/disk/single_bench.h"
#include "tests/unit/io/fixture.h"

#define GROUP ((uint64_t)BLOCKS_PER_GROUP * BLOCK_SIZE)

static void start(struct bench *bench, uint64_t seed, uint64_t content_max)
{
    bench_open_sim(bench, sim_world_new(seed), NULL, content_max);
}

static void end(struct bench *bench)
{
    bench_close(bench);
    sim_world_free(bench->world);
}

static struct job *job_with(enum job_kind kind, uint64_t offset, const uint8_t *data, size_t size)
{
    struct job *job = job_new(kind);
    job->offset = offset;
    job->content = span_of(data, size);
    return job;
}

static err_t run_once(struct bench *bench, struct job *job)
{
    EXPECT(bench_run(bench, job));
    err_t err = job->err;
    free(job);
    return err;
}

static void put(struct bench *bench, enum job_kind kind, uint64_t offset, size_t size)
{
    uint8_t *data = bytes_new(bench->counter, size);
    EXPECT_OK(run_once(bench, job_with(kind, offset, data, size)));
    free(data);
}

static err_t cut(struct bench *bench, uint64_t size)
{
    struct job *job = job_new(JOB_TRUNCATE);
    job->size = size;
    return run_once(bench, job);
}

static err_t read_at(struct bench *bench, uint64_t offset, uint64_t size)
{
    struct job *job = job_new(JOB_READ);
    job->offset = offset;
    job->size = size;
    job->out = malloc(bench->content_max + BLOCK_SIZE);
    EXPECT(bench_run(bench, job));
    err_t err = job->err;
    if (!err_is(err)) {
        uint64_t left = bench->model.size - offset;
        EXPECT_EQ(job->reader.data.size, size < left ? size : left);
        EXPECT(
            memcmp(job->reader.data.data, bench->model.data + offset, job->reader.data.size) == 0);
        EXPECT_EQ(single_reader_room(&job->reader, offset, size),
            job->reader.range.end - job->reader.range.begin);
    }
    free(job->out);
    free(job);
    return err;
}

static const char *path_of(const struct bench *bench)
{
    static char path[SINGLE_PATH_MAX + 3] = "/d/";
    single_path(path + 3, &bench->identity);
    return path;
}

/* ---- names ---- */

TEST(names_are_read_back_and_other_names_are_not_taken_for_ours)
{
    struct identity identity = {.clock = 0x7fffffffffff1f, .origin = 0xfffffe}, found;
    struct version version = {UINT64_MAX, 0xabcdef}, found_version;
    char path[SINGLE_PATH_MAX];
    single_path(path, &identity);
    EXPECT_TEXT(path, "singles/1f/fffffe-7fffffffffff1f");
    single_new_path(path, 0xab, &identity, version);
    EXPECT_TEXT(path, "new/ab/fffffe-7fffffffffff1f.ffffffffffffffff-abcdef");
    EXPECT(single_new_name_parse(path + 7, &found, &found_version));
    EXPECT(identity_equals(&found, &identity) && version_equals(found_version, version));
    static const char *const others[] = {"", "x", "fffffe-7fffffffffff1f",
        "fffffe-7fffffffffff1f.1", "fffffe-7fffffffffff1f.1-", "ffffe-7fffffffffff1f.1-1",
        "fffffe-7fffffffffff1f.01-1", "fffffe-7fffffffffff1f.1-1x", "FFFFFE-7fffffffffff1f.1-1",
        " fffffe-7fffffffffff1f.1-1"};
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        EXPECT(!single_new_name_parse(others[i], &found, &found_version));
}

TEST(a_checksum_of_zeros_is_computed_without_the_zeros)
{
    static const uint8_t zeros[5000];
    for (size_t size = 0; size < sizeof zeros; size += 37)
        EXPECT_EQ(fill_zeros_crc(size), crc32_update(0, zeros, size));
}

/* ---- contents ---- */

static const uint64_t sizes[] = {0, 1, 4095, 4096, 65535, 65536, 65537, 131072, 200000};

TEST(a_file_of_any_size_is_read_back)
{
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct bench bench;
        start(&bench, i, 1 << 20);
        EXPECT_ERR(read_at(&bench, 0, 1), NOT_FOUND);
        put(&bench, JOB_UPLOAD, 0, sizes[i]);
        bench_verify(&bench);
        EXPECT_EQ(sim_file_size(bench.node, path_of(&bench)),
            sizes[i] == 0 ? 4096 : (int64_t)(8192 + sizes[i]));
        EXPECT_EQ(bench_count_new(&bench), 0);
        end(&bench);
    }
}

TEST(content_may_come_in_pieces_of_any_size)
{
    static const size_t pieces[] = {1, 7, 4096, 65535, 65536, 65537, 100000};
    uint8_t *data = bytes_new(1, 200000);
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        struct bench bench;
        start(&bench, i, 1 << 20);
        size_t size = pieces[i] == 1 ? 300 : 200000;
        struct job *job = job_with(JOB_UPLOAD, 0, data, size);
        job->piece = size == 200000 && pieces[i] == 7 ? 4099 : pieces[i];
        EXPECT_OK(run_once(&bench, job));
        bench_verify(&bench);
        job = job_with(JOB_APPEND, 0, data, size);
        job->piece = pieces[i] == 7 ? 4099 : pieces[i];
        EXPECT_OK(run_once(&bench, job));
        bench_verify(&bench);
        end(&bench);
    }
    free(data);
}

TEST(any_range_is_read_and_only_its_blocks_are_touched)
{
    struct bench bench;
    start(&bench, 1, 1 << 20);
    put(&bench, JOB_UPLOAD, 0, 200000);
    static const uint64_t at[] = {0, 1, 65535, 65536, 65537, 131072, 199999, 200000};
    for (size_t i = 0; i < ARRAY_LEN(at); i++)
        for (size_t j = 0; j < ARRAY_LEN(at); j++)
            EXPECT_OK(read_at(&bench, at[i], at[j]));
    EXPECT_ERR(read_at(&bench, 200001, 1), RANGE);
    sim_file_flip_bit(bench.node, path_of(&bench), 8192 + 65536 + 5, 0);
    EXPECT_OK(read_at(&bench, 0, 65536));
    EXPECT_OK(read_at(&bench, 131072, 68928));
    EXPECT_ERR(read_at(&bench, 65535, 2), CORRUPT);
    end(&bench);
}

TEST(attributes_stay_until_they_are_changed)
{
    struct bench bench;
    start(&bench, 1, 1 << 20);
    uint8_t *data = bytes_new(1, 1000);
    struct job *job = job_with(JOB_UPLOAD, 0, data, 1000);
    job->attributes = span_of_text("first attributes");
    EXPECT_OK(run_once(&bench, job));
    for (unsigned round = 0; round < 3; round++) {
        job = job_with(JOB_READ, 0, NULL, 0);
        job->out = malloc(bench.content_max + BLOCK_SIZE);
        job->size = 1;
        EXPECT(bench_run(&bench, job));
        EXPECT(span_equals_text(job->reader.attributes,
            round == 2 ? "a second, longer set of attributes" : "first attributes"));
        EXPECT_EQ(job->reader.header.flags, SLOT_MUTABLE);
        free(job->out);
        free(job);
        job = job_with(JOB_WRITE, 0, NULL, 0);
        if (round == 1)
            job->attributes = span_of_text("a second, longer set of attributes");
        EXPECT_OK(run_once(&bench, job));
        bench_verify(&bench);
    }
    free(data);
    end(&bench);
}

TEST(every_boundary_is_written_over_appended_and_cut)
{
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        for (size_t j = 0; j < ARRAY_LEN(sizes); j++) {
            struct bench bench;
            start(&bench, i * 100 + j, 1 << 20);
            put(&bench, JOB_UPLOAD, 0, sizes[i]);
            put(&bench, JOB_APPEND, 0, sizes[j]);
            bench_verify(&bench);
            put(&bench, JOB_WRITE, sizes[j], sizes[i]);
            bench_verify(&bench);
            put(&bench, JOB_WRITE, sizes[j] / 2, 3);
            bench_verify(&bench);
            EXPECT_OK(cut(&bench, sizes[j]));
            bench_verify(&bench);
            EXPECT_OK(cut(&bench, 400000));
            bench_verify(&bench);
            EXPECT_OK(cut(&bench, sizes[i]));
            bench_verify(&bench);
            put(&bench, JOB_PATCH, sizes[i] / 3, sizes[j]);
            bench_verify(&bench);
            end(&bench);
        }
    }
}

TEST(changes_that_can_not_be_are_refused_and_leave_the_file_as_it_was)
{
    struct bench bench;
    start(&bench, 1, 1 << 22);
    uint8_t *data = bytes_new(1, SINGLE_WRITE_MAX + 1);
    EXPECT_ERR(run_once(&bench, job_with(JOB_WRITE, 0, data, 1)), NOT_FOUND);
    put(&bench, JOB_UPLOAD, 0, 100);
    EXPECT_ERR(run_once(&bench, job_with(JOB_WRITE, 101, data, 1)), RANGE);
    EXPECT_ERR(run_once(&bench, job_with(JOB_WRITE, 0, data, SINGLE_WRITE_MAX + 1)), TOO_LARGE);
    EXPECT_ERR(cut(&bench, BLOCKS_CONTENT_MAX + 1), TOO_LARGE);
    bench_verify(&bench);
    put(&bench, JOB_WRITE, 37, SINGLE_WRITE_MAX); /* 17 blocks */
    bench_verify(&bench);
    free(data);
    end(&bench);
}

TEST(what_is_given_up_leaves_nothing_behind)
{
    struct bench bench;
    start(&bench, 1, 1 << 20);
    uint8_t *data = bytes_new(1, 150000);
    for (unsigned round = 0; round < 2; round++) {
        for (enum job_kind kind = JOB_UPLOAD; kind <= JOB_TRUNCATE; kind++) {
            if (round == 0 && kind != JOB_UPLOAD)
                continue;
            struct job *job = job_with(kind, 0, data, 150000);
            job->size = 300000;
            job->is_given_up = true;
            EXPECT_OK(run_once(&bench, job));
            bench_verify(&bench);
            EXPECT_EQ(bench_count_new(&bench), 0);
        }
        if (round == 0)
            put(&bench, JOB_UPLOAD, 0, 100000);
        EXPECT_EQ(sim_file_size(bench.node, path_of(&bench)), 8192 + 100000);
    }
    free(data);
    end(&bench);
}

TEST(a_leftover_of_the_same_name_goes_first)
{
    struct bench bench;
    start(&bench, 1, 1 << 20);
    uint8_t *data = bytes_new(1, 1000);
    struct job *job = job_with(JOB_UPLOAD, 0, data, 1000);
    job->is_given_up = true;
    char path[SINGLE_PATH_MAX];
    single_new_path(path, BENCH_STREAM, &bench.identity, (struct version){1, BENCH_MACHINE});
    struct io_handle handle = IO_HANDLE_NONE;
    struct io_op op = {.kind = IO_OPEN,
        .fd = bench.root.fd,
        .path = path,
        .open_flags = IO_OPEN_WRITE | IO_OPEN_CREATE,
        .ret_handle = &handle,
        .owner = &bench.owner};
    EXPECT(io_call(bench.io, &op) >= 0);
    io_handle_close(bench.io, &handle);
    EXPECT_EQ(bench_count_new(&bench), 1);
    EXPECT_OK(run_once(&bench, job));
    EXPECT_EQ(bench_count_new(&bench), 0);
    free(data);
    end(&bench);
}

TEST(a_file_of_more_than_one_group_keeps_its_checksums)
{
    static const uint64_t ends[] = {GROUP - 1, GROUP, GROUP + 1, 2 * GROUP + 70000};
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        struct bench bench;
        struct sim_disk_options options = {.capacity = 1 << 30, .direct_alignment = 512};
        bench_open_sim(&bench, sim_world_new(i), &options, 3 * GROUP);
        put(&bench, JOB_UPLOAD, 0, 100);
        EXPECT_OK(cut(&bench, ends[i] - 70000)); /* zeros */
        put(&bench, JOB_APPEND, 0, 70000);
        put(&bench, JOB_APPEND, 0, 70000);
        put(&bench, JOB_APPEND, 0, 70000);
        bench_verify(&bench);
        if (ends[i] < 2 * GROUP)
            put(&bench, JOB_WRITE, GROUP - 100000, 200000);
        EXPECT_OK(cut(&bench, ends[i])); /* from the end: what goes is combined */
        bench_verify(&bench);
        put(&bench, JOB_PATCH, 5, 70000);
        bench_verify(&bench);
        EXPECT_OK(cut(&bench, 100000)); /* from the start: what stays is combined */
        bench_verify(&bench);
        end(&bench);
    }
}

static void change_at_random(struct bench *bench, struct prng *prng)
{
    size_t size = prng_chance(prng, 300000) ? prng_below(prng, 10) : prng_below(prng, 150000);
    uint64_t offset = prng_below(prng, bench->model.size + 1);
    if (prng_chance(prng, 200000))
        size = BLOCK_SIZE;
    if (prng_chance(prng, 300000))
        offset = offset / BLOCK_SIZE * BLOCK_SIZE;
    bool has_room =
        bench->model.size + size < bench->content_max && offset + size < bench->content_max;
    switch (has_room ? prng_below(prng, 7) : 6) {
    case 0:
        put(bench, JOB_REPLACE, 0, size);
        break;
    case 1:
    case 2:
        put(bench, JOB_WRITE, offset, size);
        break;
    case 3:
    case 4:
        put(bench, JOB_APPEND, 0, size);
        break;
    case 5:
        put(bench, JOB_PATCH, offset, size);
        break;
    default:
        EXPECT_OK(cut(bench, prng_chance(prng, 500000) ? offset : prng_below(prng, 400000)));
    }
}

TEST(random_changes_agree_with_the_model)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct bench bench;
        struct prng prng;
        start(&bench, seed, 1 << 20);
        prng_init(&prng, seed);
        put(&bench, JOB_UPLOAD, 0, 100000);
        for (unsigned i = 0; i < 40; i++) {
            change_at_random(&bench, &prng);
            bench_verify(&bench);
            if (prng_chance(&prng, 100000))
                EXPECT_OK(run_once(&bench, job_new(JOB_CHECKPOINT)));
        }
        end(&bench);
    }
}

TEST(random_changes_agree_with_the_model_on_a_real_disk)
{
    struct fixture fixture;
    struct bench bench = {0};
    struct prng prng;
    fixture_open(&fixture, &(struct backend_options){.entries = 64});
    bench_open(&bench, fixture.io, &fixture.directory, 1 << 20);
    prng_init(&prng, 1);
    put(&bench, JOB_UPLOAD, 0, 100000);
    for (unsigned i = 0; i < 40; i++) {
        change_at_random(&bench, &prng);
        bench_verify(&bench);
    }
    EXPECT_OK(run_once(&bench, job_new(JOB_CHECKPOINT)));
    bench_recover(&bench);
    EXPECT_OK(run_once(&bench, job_new(JOB_DELETE)));
    bench_verify(&bench);
    static const char *const names[] = {"singles/02", "singles", "new/03", "new"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct io_op op = fixture_op(&fixture, IO_UNLINK, bench.root.fd);
        op.path = names[i];
        op.open_flags = IO_OPEN_DIRECTORY;
        EXPECT_EQ(io_call(fixture.io, &op), 0);
    }
    io_handle_move(&fixture.directory, &bench.root);
    ledger_pass(&fixture.directory.held, &fixture.owner);
    bench_close(&bench);
    fixture_close(&fixture);
}

/* ---- damage ---- */

TEST(damage_of_header_entry_or_block_is_found)
{
    static const uint64_t harmful[] = {0, 4, 8, 20, 32, 48, 100, 127, 128, 135, /* header */
        4096 + 32, 4096 + 32 + 4, 8192, 8192 + 65535, 8192 + 65536, 8192 + 99999};
    static const uint64_t harmless[] = {200, 4095, 4096, 4096 + 31, 4096 + 40, 8191};
    for (size_t i = 0; i < ARRAY_LEN(harmful) + ARRAY_LEN(harmless); i++) {
        bool harms = i < ARRAY_LEN(harmful);
        struct bench bench;
        start(&bench, i, 1 << 20);
        uint8_t *data = bytes_new(1, 100000);
        struct job *job = job_with(JOB_UPLOAD, 0, data, 100000);
        job->attributes = span_of_text("abcdefgh");
        EXPECT_OK(run_once(&bench, job));
        free(data);
        sim_file_flip_bit(
            bench.node, path_of(&bench), harms ? harmful[i] : harmless[i - ARRAY_LEN(harmful)], 3);
        if (harms)
            EXPECT_ERR(read_at(&bench, 0, 100000), CORRUPT);
        else
            bench_verify(&bench);
        end(&bench);
    }
}

TEST(damage_is_never_sealed_under_a_good_checksum)
{
    struct bench bench;
    start(&bench, 1, 1 << 20);
    put(&bench, JOB_UPLOAD, 0, 100000);
    sim_file_flip_bit(bench.node, path_of(&bench), 8192 + 70000, 3);
    uint8_t *data = bytes_new(1, 1000);
    EXPECT_ERR(run_once(&bench, job_with(JOB_WRITE, 80000, data, 1000)), CORRUPT);
    EXPECT_ERR(run_once(&bench, job_with(JOB_PATCH, 10, data, 1000)), CORRUPT);
    EXPECT_ERR(cut(&bench, 90000), CORRUPT);
    put(&bench, JOB_APPEND, 0, 1000);
    EXPECT_ERR(read_at(&bench, 70000, 1), CORRUPT);
    EXPECT_OK(read_at(&bench, 0, 65536));
    EXPECT_EQ(bench_count_new(&bench), 0);
    free(data);
    end(&bench);
}

TEST(a_file_that_is_too_short_is_corrupt)
{
    static const uint64_t lengths[] = {0, 100, 4096, 8191, 8192, 100000, 8192 + 99999};
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        struct bench bench;
        start(&bench, i, 1 << 20);
        put(&bench, JOB_UPLOAD, 0, 100000);
        struct io_handle handle = IO_HANDLE_NONE;
        struct io_op op = {.kind = IO_OPEN,
            .fd = IO_FD_NONE,
            .path = path_of(&bench),
            .open_flags = IO_OPEN_WRITE,
            .ret_handle = &handle,
            .owner = &bench.owner};
        EXPECT(io_call(bench.io, &op) >= 0);
        op = (struct io_op){
            .kind = IO_RESIZE, .fd = handle.fd, .size = lengths[i], .owner = &bench.owner};
        EXPECT_EQ(io_call(bench.io, &op), 0);
        io_handle_close(bench.io, &handle);
        EXPECT_ERR(read_at(&bench, 0, 100000), CORRUPT);
        EXPECT_ERR(cut(&bench, 99000), CORRUPT);
        end(&bench);
    }
}

TEST(another_files_content_under_our_name_is_corrupt)
{
    struct bench bench;
    start(&bench, 1, 1 << 20);
    put(&bench, JOB_UPLOAD, 0, 1000);
    char from[SINGLE_PATH_MAX], to[SINGLE_PATH_MAX];
    single_path(from, &bench.identity);
    bench.identity.clock += 256;
    single_path(to, &bench.identity);
    struct io_op op = {
        .kind = IO_RENAME, .fd = bench.root.fd, .path = from, .path_to = to, .owner = &bench.owner};
    EXPECT_EQ(io_call(bench.io, &op), 0);
    EXPECT_ERR(read_at(&bench, 0, 1), CORRUPT);
    bench.identity.clock -= 256;
    EXPECT_ERR(read_at(&bench, 0, 1), NOT_FOUND);
    end(&bench);
}

/* ---- readers and changes ---- */

TEST(a_reader_keeps_the_file_that_a_replace_put_aside)
{
    struct bench bench;
    start(&bench, 1, 1 << 20);
    put(&bench, JOB_UPLOAD, 0, 70000);
    struct single_reader reader = {0};
    struct job *job = job_new(JOB_TRIM); /* lends its machine's place */
    uint8_t head[SINGLE_READER_BUFFER], *out = malloc(2 * BLOCK_SIZE);
    run_queue_init(&bench.io->run);
    machine_start(&job->machine, &(struct machine_kind){.name = "x", .stage_count = 1},
        &bench.io->run, DIRECTION_OWN);
    (void)list_pop_front(&bench.io->run.ready);
    job->machine.waiting = 10;
    single_reader_open(&reader, &bench.mount, &job->machine, &bench.identity, head);
    while (reader.chain.is_active)
        EXPECT(sim_world_step(bench.world));
    EXPECT_OK(reader.chain.err);
    uint8_t *before = malloc(70000);
    memcpy(before, bench.model.data, 70000);
    put(&bench, JOB_REPLACE, 0, 1000);
    single_reader_read(&reader, 0, 70000, out);
    while (reader.chain.is_active)
        EXPECT(sim_world_step(bench.world));
    EXPECT_OK(reader.chain.err);
    EXPECT(memcmp(reader.data.data, before, 70000) == 0);
    single_reader_close(&reader);
    list_remove(&job->machine.link);
    free(job);
    free(out);
    free(before);
    bench_verify(&bench);
    end(&bench);
}

/* A download of the end of a file of two groups, from a little before the border between them on, and
 * the changes in place that it meets. */
enum { MEETING_STATES = 4, MEETING_TAIL = 16 * BLOCK_SIZE };
#define MEETING_FROM (GROUP - 4 * (uint64_t)BLOCK_SIZE)

struct meeting {
    struct bench bench;
    struct prng prng;
    struct job *reading;
    uint64_t begin, turns; /* of the world; the download begins at `begin` */
    struct {
        struct version version;
        uint64_t size;
        uint8_t tail[MEETING_TAIL]; /* of the content, from MEETING_FROM on */
    } states[MEETING_STATES];
    unsigned count;
};

static void meeting_keep(struct meeting *meeting)
{
    const struct model *model = &meeting->bench.model;
    CHECK(meeting->count < MEETING_STATES && model->size <= MEETING_FROM + MEETING_TAIL);
    meeting->states[meeting->count].version = model->version;
    meeting->states[meeting->count].size = model->size;
    memcpy(meeting->states[meeting->count++].tail, model->data + MEETING_FROM, MEETING_TAIL);
}

static void meeting_open(struct meeting *meeting, uint64_t seed)
{
    struct sim_disk_options options;
    prng_init(&meeting->prng, seed);
    sim_disk_options_draw(&options, &meeting->prng);
    options.capacity = 1 << 30;
    if (prng_chance(&meeting->prng, 800000)) { /* a whole download between two writes */
        options.read_ns = 1000;
        options.write_ns = 3000000;
    }
    meeting->count = 0;
    bench_open_sim(&meeting->bench, sim_world_new(seed), &options, 2 * GROUP);
    put(&meeting->bench, JOB_UPLOAD, 0, 100);
    EXPECT_OK(cut(&meeting->bench, GROUP + 150000));
    put(&meeting->bench, JOB_WRITE, GROUP - 250000, 400000);
    meeting_keep(meeting);
}

static struct job *meeting_change(struct meeting *meeting, const uint8_t *data)
{
    uint64_t size = meeting->bench.model.size, some = prng_below(&meeting->prng, 150000);
    struct job *job;
    switch (prng_below(&meeting->prng, 8)) {
    case 0:
        return job_with(JOB_APPEND, 0, data, some);
    case 1:
        job = job_new(JOB_TRUNCATE);
        job->size = GROUP - 100000 + some;
        return job;
    case 2:
        return job_with(JOB_WRITE, size - 1000, data, some); /* and behind the end */
    default:
        return job_with(JOB_WRITE, size - 200000, data, 100000 + some / 2);
    }
}

/* Which state the download has; it has one, whole. */
static unsigned meeting_judge(const struct meeting *meeting, const struct job *reading)
{
    const struct slot_header *header = &reading->reader.header;
    unsigned at = 0;
    while (at < meeting->count && !version_equals(meeting->states[at].version, header->version))
        at++;
    EXPECT(at < meeting->count);
    EXPECT_EQ(header->size, meeting->states[at].size);
    EXPECT_EQ(reading->at, header->size > MEETING_FROM ? header->size - MEETING_FROM : 0);
    EXPECT(memcmp(reading->out, meeting->states[at].tail, reading->at) == 0);
    return at;
}

struct outcomes {
    unsigned first, later, conflict;
};

/* Turns the world until the job is over; the download begins on the way. */
static void meeting_turn(struct meeting *meeting, struct job *job)
{
    while (!job->is_done) {
        if (meeting->turns++ == meeting->begin)
            bench_begin_job(&meeting->bench, meeting->reading);
        bench_step(&meeting->bench);
    }
}

static void meeting_changes(struct meeting *meeting)
{
    uint8_t *data = bytes_new(1, 200000);
    for (unsigned i = 0; i + 1 < MEETING_STATES; i++) {
        struct job *job = meeting_change(meeting, data + i);
        bench_begin_job(&meeting->bench, job);
        meeting_turn(meeting, job);
        EXPECT_OK(job->err);
        free(job);
        meeting_keep(meeting);
    }
    free(data);
}

static void meet(struct meeting *meeting, struct outcomes *outcomes)
{
    struct job *reading = meeting->reading = job_new(JOB_READ);
    reading->offset = MEETING_FROM;
    reading->size = MEETING_TAIL;
    reading->piece = (1 + prng_below(&meeting->prng, 6)) * BLOCK_SIZE;
    reading->out = malloc(MEETING_TAIL + BLOCK_SIZE);
    meeting->begin = prng_below(&meeting->prng, 70);
    meeting->turns = 0;
    meeting_changes(meeting);
    if (meeting->turns <= meeting->begin)
        bench_begin_job(&meeting->bench, reading);
    while (!reading->is_done)
        bench_step(&meeting->bench);
    EXPECT(!err_is(reading->err) || err_has(reading->err, ERR_CODE_CORRUPT));
    if (err_is(reading->err))
        outcomes->conflict++;
    else if (meeting_judge(meeting, reading) == 0)
        outcomes->first++;
    else
        outcomes->later++;
    free(reading->out);
    free(reading);
}

TEST(a_download_over_the_border_of_two_groups_is_one_version_or_none)
{
    struct outcomes outcomes = {0};
    struct meeting *meeting = malloc(sizeof *meeting);
    for (uint64_t seed = 1; seed <= 300; seed++) {
        meeting_open(meeting, seed);
        meet(meeting, &outcomes);
        end(&meeting->bench);
    }
    free(meeting);
    EXPECT(outcomes.first > 0 && outcomes.later > 0 && outcomes.conflict > 0);
}

/* ---- the dirty set ---- */

TEST(a_file_that_finds_no_room_in_the_dirty_set_is_synced_by_its_change)
{
    struct bench bench;
    start(&bench, 1, 1 << 20);
    put(&bench, JOB_UPLOAD, 0, 70000);
    put(&bench, JOB_WRITE, 10, 10);
    EXPECT(!sim_file_range_is_durable(bench.node, path_of(&bench), 0, 4096));
    EXPECT_OK(run_once(&bench, job_new(JOB_CHECKPOINT)));
    EXPECT(sim_file_range_is_durable(bench.node, path_of(&bench), 0, 8192 + 70000));
    EXPECT(single_dirty_is_empty(&bench.dirty));
    for (uint32_t i = 0; i < SINGLE_DIRTY_FILES; i++) {
        struct identity identity = {.clock = 0x102 + 256 * (uint64_t)i, .origin = 1};
        EXPECT(single_dirty_add_file(&bench.dirty, &identity));
        EXPECT(single_dirty_add_file(&bench.dirty, &identity));
    }
    EXPECT(!single_dirty_add_file(&bench.dirty, &bench.identity));
    put(&bench, JOB_WRITE, 10, 10);
    EXPECT(sim_file_range_is_durable(bench.node, path_of(&bench), 0, 8192 + 70000));
    EXPECT_OK(run_once(&bench, job_new(JOB_CHECKPOINT))); /* all those files are gone */
    EXPECT(single_dirty_is_empty(&bench.dirty));
    end(&bench);
}

TEST(a_record_that_can_not_be_meant_is_refused)
{
    struct bench bench;
    start(&bench, 1, 1 << 20);
    put(&bench, JOB_UPLOAD, 0, 1000);
    uint8_t entry[8] = {0xff, 0xff, 0xff, 0xff};
    struct single_redo redo = {.mount = &bench.mount, .owner = &bench.owner, .dirty = &bench.dirty};
    struct record records[] = {
        {.kind = RECORD_WRITE, .content_offset = UINT64_MAX},
        {.kind = RECORD_TRUNCATE, .total_size = UINT64_MAX},
        {.kind = RECORD_APPEND, .entries = {entry, 8}},
    };
    for (size_t i = 0; i < ARRAY_LEN(records); i++) {
        records[i].home.kind = PLACE_SINGLE;
        records[i].identity = bench.identity;
        EXPECT_ERR(single_redo(&redo, &records[i]), CORRUPT);
        records[i].home.kind = PLACE_PACKED; /* not ours */
        EXPECT_OK(single_redo(&redo, &records[i]));
    }
    bench_verify(&bench);
    end(&bench);
}

TEST(a_content_that_moved_into_a_slot_frees_its_file_unless_a_later_one_took_its_place)
{
    for (unsigned is_later = 0; is_later < 2; is_later++) {
        struct bench bench;
        start(&bench, 1, 1 << 20);
        put(&bench, JOB_UPLOAD, 0, 1000);
        if (is_later)
            put(&bench, JOB_REPLACE, 0, 1000);
        struct single_redo redo = {
            .mount = &bench.mount, .owner = &bench.owner, .dirty = &bench.dirty};
        struct record record = {.kind = RECORD_REPLACE,
            .flags = RECORD_FREES,
            .identity = bench.identity,
            .version = {1, BENCH_MACHINE + 1},
            .home = {.kind = PLACE_PACKED},
            .freed = {.kind = PLACE_SINGLE}};
        EXPECT_OK(single_redo(&redo, &record));
        EXPECT_OK(single_redo(&redo, &record));
        bench.model.exists = is_later;
        bench_verify(&bench);
        end(&bench);
    }
}

/* ---- refusals ---- */

struct refused {
    enum job_kind kind;
    unsigned failures, committed;
};

static void sweep_job(void *context, struct sim_world *world, struct sim_attempt *attempt)
{
    struct refused *refused = context;
    struct bench bench;
    bench_open_sim(&bench, world, NULL, 1 << 20);
    if (refused->kind != JOB_UPLOAD)
        put(&bench, JOB_UPLOAD, 0, 100000);
    if (refused->kind == JOB_CHECKPOINT)
        put(&bench, JOB_WRITE, 10, 10);
    uint8_t *data = bytes_new(9, 150000);
    struct job *job = job_with(refused->kind, refused->kind == JOB_WRITE ? 40000 : 0, data,
        refused->kind == JOB_WRITE ? 50000 : 150000);
    job->size = 70000;
    job->out = malloc(bench.content_max + BLOCK_SIZE);
    sim_attempt_arm(attempt, bench.io);
    EXPECT(bench_run(&bench, job));
    bool fired = sim_attempt_disarm(attempt);
    if (fired && !job->is_committed && refused->kind != JOB_TRIM)
        EXPECT(err_has(job->err, ERR_CODE_IO) || err_has(job->err, ERR_CODE_NO_SPACE)
               || err_has(job->err, ERR_CODE_NO_RESOURCE) || err_has(job->err, ERR_CODE_BUSY));
    if (!fired)
        EXPECT_OK(job->err);
    refused->failures += err_is(job->err);
    if (err_is(job->err) && job->is_committed) {
        refused->committed++;
        bench_recover(&bench); /* the mount point was fenced: the log knows */
    }
    EXPECT_OK(single_clean_new(&bench.mount, &bench.owner, NULL, NULL, NULL));
    bench_verify(&bench);
    EXPECT_EQ(bench_count_new(&bench), 0);
    free(job->out);
    free(job);
    free(data);
    bench_close(&bench);
}

TEST(a_refusal_anywhere_is_the_right_error_and_leaves_old_or_new)
{
    for (enum job_kind kind = JOB_UPLOAD; kind < JOB_KIND_COUNT; kind++) {
        struct refused refused = {.kind = kind};
        uint64_t runs =
            sim_sweep(&(struct sim_sweep){.seed = kind, .context = &refused, .run = sweep_job});
        EXPECT(runs > 4);
        EXPECT(kind == JOB_TRIM || refused.failures > 0);
        EXPECT(kind == JOB_TRIM || kind == JOB_READ || kind == JOB_CHECKPOINT
               || refused.committed > 0);
    }
}
