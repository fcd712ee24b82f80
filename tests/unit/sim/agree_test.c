/* The simulator against the kernel: the same random scripts on both backends must give the same
 * results, errors included, and the same bytes. What only the simulator has (short transfers, lost
 * power) is off here. */
#include <ftw.h>

#include "io/backend.h"
#include "tests/unit/sim/copy.h"
#include "tests/unit/sim/lab.h"

enum { FILES = 4, STEPS = 120, SCRIPTS = 100, BYTES_MAX = 20000 };

/* One side: a loop, a directory, some descriptors. */
struct side {
    struct io *io;
    struct owner owner;
    struct io_handle root, files[FILES];
};

static void woken(struct io_op *op)
{
    op->context = NULL;
}

static int64_t run(struct side *side, struct io_op op)
{
    op.owner = &side->owner;
    op.wake = woken;
    io_submit(side->io, &op);
    for (unsigned turns = 0; io_op_is_out(&op); turns++) {
        EXPECT(turns < 10000);
        io_turn(side->io, true);
    }
    return op.result;
}

static void side_open(struct side *side, struct io *io, const char *path)
{
    side->io = io;
    owner_open(&side->owner, "agree", DIRECTION_OWN, 0);
    side->root = IO_HANDLE_NONE;
    for (size_t i = 0; i < FILES; i++)
        side->files[i] = IO_HANDLE_NONE;
    EXPECT(run(side, (struct io_op){.kind = IO_OPEN,
                         .fd = IO_FD_NONE,
                         .path = path,
                         .open_flags = IO_OPEN_READ | IO_OPEN_DIRECTORY,
                         .ret_handle = &side->root})
           >= 0);
}

static void side_close(struct side *side)
{
    for (size_t i = 0; i < FILES; i++)
        io_handle_close(side->io, &side->files[i]);
    io_handle_close(side->io, &side->root);
    owner_close(&side->owner);
}

/* A step of a script: drawn once, done on both sides. */
struct step {
    enum io_kind kind;
    size_t file; /* index in side->files */
    const char *path, *path_to;
    uint32_t open_flags, write_flags;
    uint64_t offset, size;
    uint8_t fill;
};

static struct step step_draw(struct prng *prng)
{
    static const enum io_kind kinds[] = {IO_OPEN, IO_OPEN, IO_OPEN, IO_READ, IO_WRITE, IO_WRITE,
        IO_WRITE, IO_SYNC, IO_ALLOCATE, IO_PUNCH, IO_RESIZE, IO_RENAME, IO_UNLINK, IO_MKDIR,
        IO_STAT, IO_LOCK};
    static const char *const paths[] = {
        "a", "b", "x", "x/a", "x/b", "x/y", "y", "y/a", "../a", "/a", "", "a/b", "./b", "x//a"};
    static const uint32_t modes[] = {IO_OPEN_READ, IO_OPEN_WRITE, IO_OPEN_READ | IO_OPEN_WRITE};
    struct step step = {
        .kind = kinds[prng_below(prng, ARRAY_LEN(kinds))],
        .file = (size_t)prng_below(prng, FILES),
        .path = paths[prng_below(prng, ARRAY_LEN(paths))],
        .path_to = paths[prng_below(prng, ARRAY_LEN(paths))],
        .open_flags = modes[prng_below(prng, ARRAY_LEN(modes))],
        .write_flags = prng_chance(prng, 200000) ? IO_WRITE_DSYNC : 0,
        .offset = prng_below(prng, 10000),
        .size = prng_below(prng, 10000),
        .fill = (uint8_t)prng_below(prng, 4),
    };
    step.open_flags |= prng_chance(prng, 600000) ? IO_OPEN_CREATE : 0;
    step.open_flags |= prng_chance(prng, 100000) ? IO_OPEN_EXCLUSIVE | IO_OPEN_CREATE : 0;
    if (prng_chance(prng, 150000)) /* with CREATE: undefined by the system */
        step.open_flags = IO_OPEN_READ | IO_OPEN_DIRECTORY;
    return step;
}

static bool speaks_of_names(enum io_kind kind)
{
    return kind == IO_OPEN || kind == IO_RENAME || kind == IO_UNLINK || kind == IO_MKDIR
           || kind == IO_STAT;
}

/* A descriptor as success: the numbers differ. */
static int64_t step_do(struct side *side, const struct step *step, struct io_stat *stat)
{
    static uint8_t data[BYTES_MAX];
    struct iovec iov = {data, step->size};
    bool is_named = speaks_of_names(step->kind);
    struct io_op op = {.kind = step->kind,
        .fd = is_named ? side->root.fd : side->files[step->file].fd,
        .open_flags = step->open_flags,
        .write_flags = step->write_flags,
        .offset = step->offset,
        .size = step->size,
        .path = is_named ? step->path : NULL,
        .path_to = step->kind == IO_RENAME ? step->path_to : NULL,
        .ret_stat = stat};
    if (step->kind == IO_UNLINK)
        op.open_flags &= IO_OPEN_DIRECTORY;
    if (step->kind == IO_OPEN) {
        io_handle_close(side->io, &side->files[step->file]);
        op.ret_handle = &side->files[step->file];
    } else if (!is_named && op.fd == IO_FD_NONE) {
        return 0;
    }
    if (step->kind == IO_READ || step->kind == IO_WRITE) {
        memset(data, step->fill, sizeof(data));
        op.iov = &iov;
        op.iov_count = 1;
    }
    int64_t result = run(side, op);
    return step->kind == IO_OPEN && result > 0 ? 0 : result;
}

static uint64_t hash_of(const uint8_t *data, size_t size)
{
    uint64_t hash = size;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ data[i]) * UINT64_C(1099511628211);
    return hash;
}

/* Everything that can be read through the open descriptors. */
static uint64_t view(struct side *side)
{
    static uint8_t data[2 * BYTES_MAX];
    uint64_t hash = 0;
    for (size_t i = 0; i < FILES; i++) {
        struct iovec iov = {data, sizeof(data)};
        struct io_stat stat = {0};
        if (side->files[i].fd == IO_FD_NONE)
            continue;
        (void)run(
            side, (struct io_op){.kind = IO_STAT, .fd = side->files[i].fd, .ret_stat = &stat});
        int64_t size = run(side,
            (struct io_op){.kind = IO_READ, .fd = side->files[i].fd, .iov = &iov, .iov_count = 1});
        hash = hash * 31 + (stat.is_directory ? 1 : stat.size);
        hash = hash * 31 + (size < 0 ? (uint64_t)size : hash_of(data, (size_t)size));
    }
    return hash;
}

static void explain(const struct step *step, int64_t simulated, int64_t real)
{
    if (simulated != real)
        (void)fprintf(stderr, "  %s %s -> %s flags %x offset %llu size %llu: sim %lld, real %lld\n",
            io_kind_name(step->kind), step->path, step->path_to, step->open_flags,
            (unsigned long long)step->offset, (unsigned long long)step->size, (long long)simulated,
            (long long)real);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *at)
{
    (void)status, (void)type, (void)at;
    return remove(path);
}

static void remove_all(const char *path)
{
    EXPECT_EQ(nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static void script(struct side *simulated, struct side *real, uint64_t seed)
{
    struct prng prng;
    prng_init(&prng, seed);
    for (int i = 0; i < STEPS; i++) {
        struct step step = step_draw(&prng);
        struct io_stat stats[2] = {0};
        int64_t a = step_do(simulated, &step, &stats[0]);
        int64_t b = step_do(real, &step, &stats[1]);
        explain(&step, a, b);
        EXPECT_EQ(a, b);
        EXPECT_EQ(stats[0].is_directory, stats[1].is_directory);
        if (!stats[0].is_directory)
            EXPECT_EQ(stats[0].size, stats[1].size);
        EXPECT_EQ(view(simulated), view(real));
    }
}

static void directory_new(char path[64])
{
    (void)snprintf(path, 64, "/tmp/cairn-sim-XXXXXX");
    EXPECT(mkdtemp(path) != NULL);
}

/* A loop on this machine's kernel; false where io_uring is forbidden. */
static bool real_new(struct io **ret)
{
    err_t err = backend_io_new(&(struct backend_options){.entries = 16}, ret);
    if (err_is(err)) {
        (void)fprintf(stderr, "  skipped: %s\n", backend_explain(err));
        return false;
    }
    return true;
}

TEST(the_simulator_answers_as_the_kernel_does)
{
    struct io *io;
    char path[64];
    if (!real_new(&io))
        return;
    for (uint64_t seed = 0; seed < SCRIPTS; seed++) {
        struct lab lab = lab_new(seed, NULL);
        struct side simulated, real;
        directory_new(path);
        side_open(&simulated, lab.io, "/d");
        side_open(&real, io, path);
        script(&simulated, &real, seed);
        side_close(&real);
        remove_all(path);
        side_close(&simulated);
        ledger_check_empty(&lab.io->ledger);
        lab_free(&lab);
    }
    io->backend->free(io);
}

TEST(the_machine_that_copies_runs_on_the_kernel_too)
{
    struct io *io;
    char path[64], from[80], to[80], data[5000], read[5000];
    if (!real_new(&io))
        return;
    directory_new(path);
    (void)snprintf(from, sizeof(from), "%s/from", path);
    (void)snprintf(to, sizeof(to), "%s/to", path);
    FILE *file = fopen(from, "w");
    memset(data, 'c', sizeof(data));
    EXPECT(file && fwrite(data, 1, sizeof(data), file) == sizeof(data) && fclose(file) == 0);
    struct copy copy;
    copy_start(&copy, io, from, to);
    while (!copy.is_done)
        io_turn(io, true);
    EXPECT_OK(copy.machine.err);
    file = fopen(to, "r");
    EXPECT(file && fread(read, 1, sizeof(read), file) == sizeof(read) && fclose(file) == 0);
    EXPECT(memcmp(data, read, sizeof(data)) == 0);
    copy_start(&copy, io, to, "/nonexistent/x");
    while (!copy.is_done)
        io_turn(io, true);
    EXPECT_ERR(copy.machine.err, NOT_FOUND);
    ledger_check_empty(&io->ledger);
    io->backend->free(io);
    remove_all(path);
}
