#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "tests/unit/io/fixture.h"

static const struct backend_options plain_options = {.entries = 64};

static int64_t transfer(struct fixture *fixture, enum io_kind kind, int fd, uint64_t offset,
    void *bytes, size_t size, uint32_t write_flags)
{
    struct iovec iov = {bytes, size};
    struct io_op op = fixture_op(fixture, kind, fd);
    op.iov = &iov;
    op.iov_count = 1;
    op.offset = offset;
    op.write_flags = write_flags;
    return fixture_run(fixture, &op);
}

static int64_t change_name(
    struct fixture *fixture, enum io_kind kind, const char *path, const char *path_to)
{
    struct io_op op = fixture_op(fixture, kind, fixture->directory.fd);
    op.path = path;
    op.path_to = path_to;
    return fixture_run(fixture, &op);
}

static struct io_stat stat_of(struct fixture *fixture, int fd, const char *path)
{
    struct io_stat status = {.size = 0};
    struct io_op op = fixture_op(fixture, IO_STAT, fd);
    op.path = path;
    op.ret_stat = &status;
    EXPECT_EQ(fixture_run(fixture, &op), 0);
    return status;
}

static int64_t open_result(struct fixture *fixture, const char *path, uint32_t open_flags)
{
    struct io_handle file = IO_HANDLE_NONE;
    struct io_op op = fixture_op(fixture, IO_OPEN, fixture->directory.fd);
    op.path = path;
    op.open_flags = open_flags;
    op.ret_handle = &file;
    int64_t result = fixture_run(fixture, &op);
    io_handle_close(fixture->io, &file);
    return result;
}

TEST(what_is_written_is_read_back)
{
    struct fixture fixture;
    struct io_handle file;
    char bytes[16] = {0};
    fixture_open(&fixture, &plain_options);
    fixture_file(&fixture, "f", IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE, &file);
    EXPECT_EQ(transfer(&fixture, IO_WRITE, file.fd, 3, (char[]){"stone"}, 5, 0), 5);
    EXPECT_EQ(transfer(&fixture, IO_WRITE, file.fd, 8, (char[]){"s!"}, 2, IO_WRITE_DSYNC), 2);
    EXPECT_EQ(transfer(&fixture, IO_READ, file.fd, 3, bytes, 7, 0), 7);
    EXPECT_TEXT(bytes, "stones!");
    struct io_op sync = fixture_op(&fixture, IO_SYNC, file.fd);
    EXPECT_EQ(fixture_run(&fixture, &sync), 0);
    sync = fixture_op(&fixture, IO_SYNC, fixture.directory.fd);
    EXPECT_EQ(fixture_run(&fixture, &sync), 0);
    EXPECT_EQ(stat_of(&fixture, file.fd, NULL).size, 10);
    io_handle_close(fixture.io, &file);
    fixture_close(&fixture);
}

TEST(a_read_is_short_at_the_end_of_the_file_and_empty_beyond)
{
    struct fixture fixture;
    struct io_handle file;
    char bytes[16];
    fixture_open(&fixture, &plain_options);
    fixture_file(&fixture, "f", IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE, &file);
    EXPECT_EQ(transfer(&fixture, IO_WRITE, file.fd, 0, (char[]){"12345"}, 5, 0), 5);
    EXPECT_EQ(transfer(&fixture, IO_READ, file.fd, 3, bytes, sizeof bytes, 0), 2);
    EXPECT_EQ(transfer(&fixture, IO_READ, file.fd, 5, bytes, sizeof bytes, 0), 0);
    EXPECT_EQ(transfer(&fixture, IO_READ, file.fd, 500, bytes, sizeof bytes, 0), 0);
    io_handle_close(fixture.io, &file);
    fixture_close(&fixture);
}

TEST(pieces_are_written_and_read_in_order)
{
    struct fixture fixture;
    struct io_handle file;
    char first[4] = "abcd", second[2] = "ef", got[7] = {0};
    struct iovec out[2] = {{first, 4}, {second, 2}}, in[2] = {{got, 1}, {got + 1, 5}};
    fixture_open(&fixture, &plain_options);
    fixture_file(&fixture, "f", IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE, &file);
    for (uint32_t flags = 0; flags <= IO_WRITE_DSYNC; flags++) {
        struct io_op op = fixture_op(&fixture, IO_WRITE, file.fd);
        op.iov = out;
        op.iov_count = 2;
        op.offset = 100 * flags;
        op.write_flags = flags;
        EXPECT_EQ(fixture_run(&fixture, &op), 6);
        op.kind = IO_READ;
        op.iov = in;
        EXPECT_EQ(fixture_run(&fixture, &op), 6);
        EXPECT_TEXT(got, "abcdef");
    }
    io_handle_close(fixture.io, &file);
    fixture_close(&fixture);
}

TEST(direct_writes_go_past_the_page_cache_and_are_read_back)
{
    static _Alignas(4096) char out[8192], in[8192];
    struct fixture fixture;
    struct io_handle file;
    uint32_t flags = IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_DIRECT;
    fixture_open(&fixture, &plain_options);
    fixture_file(&fixture, "f", flags, &file);
    memset(out, 'x', sizeof out);
    EXPECT_EQ(transfer(&fixture, IO_WRITE, file.fd, 4096, out, sizeof out, IO_WRITE_DSYNC), 8192);
    EXPECT_EQ(transfer(&fixture, IO_READ, file.fd, 4096, in, sizeof in, 0), 8192);
    EXPECT(memcmp(out, in, sizeof out) == 0);
    EXPECT_EQ(transfer(&fixture, IO_WRITE, file.fd, 1, out, 4096, 0), -EINVAL);
    io_handle_close(fixture.io, &file);
    fixture_close(&fixture);
}

TEST(an_open_file_can_grow_be_punched_and_be_cut)
{
    static char bytes[65536];
    struct fixture fixture;
    struct io_handle file;
    fixture_open(&fixture, &plain_options);
    fixture_file(&fixture, "f", IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE, &file);
    struct io_op op = fixture_op(&fixture, IO_ALLOCATE, file.fd);
    op.size = sizeof bytes;
    EXPECT_EQ(fixture_run(&fixture, &op), 0);
    EXPECT_EQ(stat_of(&fixture, file.fd, NULL).size, sizeof bytes);
    EXPECT(stat_of(&fixture, file.fd, NULL).allocated >= sizeof bytes);
    memset(bytes, 'x', sizeof bytes);
    EXPECT_EQ(transfer(&fixture, IO_WRITE, file.fd, 0, bytes, sizeof bytes, 0), sizeof bytes);
    op = fixture_op(&fixture, IO_PUNCH, file.fd);
    op.offset = 4096;
    op.size = 8192;
    EXPECT_EQ(fixture_run(&fixture, &op), 0);
    EXPECT_EQ(transfer(&fixture, IO_READ, file.fd, 4095, bytes, 8194, 0), 8194);
    EXPECT(bytes[0] == 'x' && bytes[1] == 0 && bytes[8192] == 0 && bytes[8193] == 'x');
    EXPECT_EQ(stat_of(&fixture, file.fd, NULL).size, sizeof bytes);
    op = fixture_op(&fixture, IO_RESIZE, file.fd);
    op.size = 77;
    EXPECT_EQ(fixture_run(&fixture, &op), 0);
    EXPECT_EQ(stat_of(&fixture, file.fd, NULL).size, 77);
    io_handle_close(fixture.io, &file);
    fixture_close(&fixture);
}

TEST(names_are_made_changed_and_removed)
{
    struct fixture fixture;
    struct io_handle file;
    fixture_open(&fixture, &plain_options);
    EXPECT_EQ(change_name(&fixture, IO_MKDIR, "d", NULL), 0);
    EXPECT_EQ(change_name(&fixture, IO_MKDIR, "d", NULL), -EEXIST);
    EXPECT(stat_of(&fixture, fixture.directory.fd, "d").is_directory);
    fixture_file(&fixture, "d/f", IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_EXCLUSIVE, &file);
    EXPECT_EQ(transfer(&fixture, IO_WRITE, file.fd, 0, (char[]){"1"}, 1, 0), 1);
    io_handle_close(fixture.io, &file);
    EXPECT_EQ(change_name(&fixture, IO_RENAME, "d/f", "g"), 0);
    EXPECT_EQ(change_name(&fixture, IO_RENAME, "d/f", "g"), -ENOENT);
    struct io_stat status = stat_of(&fixture, fixture.directory.fd, "g");
    EXPECT(status.size == 1 && !status.is_directory && status.inode != 0);
    EXPECT_EQ(change_name(&fixture, IO_UNLINK, "g", NULL), 0);
    EXPECT_EQ(change_name(&fixture, IO_UNLINK, "g", NULL), -ENOENT);
    EXPECT_EQ(change_name(&fixture, IO_UNLINK, "d", NULL), -EISDIR);
    struct io_op op = fixture_op(&fixture, IO_UNLINK, fixture.directory.fd);
    op.path = "d";
    op.open_flags = IO_OPEN_DIRECTORY;
    EXPECT_EQ(fixture_run(&fixture, &op), 0);
    fixture_close(&fixture);
}

TEST(an_open_says_why_it_failed)
{
    struct fixture fixture;
    fixture_open(&fixture, &plain_options);
    uint32_t create = IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_EXCLUSIVE;
    EXPECT_EQ(open_result(&fixture, "f", IO_OPEN_READ), -ENOENT);
    EXPECT(open_result(&fixture, "f", create) >= 0);
    EXPECT_EQ(open_result(&fixture, "f", create), -EEXIST);
    EXPECT_EQ(open_result(&fixture, "f", IO_OPEN_READ | IO_OPEN_DIRECTORY), -ENOTDIR);
    EXPECT_EQ(open_result(&fixture, "f/g", IO_OPEN_READ), -ENOTDIR);
    EXPECT_EQ(open_result(&fixture, "d", IO_OPEN_READ), -ENOENT);
    fixture_close(&fixture);
}

TEST(no_path_leaves_its_directory_handle)
{
    static const char *const paths[] = {"../x", "/etc/passwd", "d/../../x", "out/passwd", ".."};
    struct fixture fixture;
    char link[96];
    fixture_open(&fixture, &plain_options);
    (void)snprintf(link, sizeof link, "%s/out", fixture.path);
    EXPECT_EQ(symlink("/etc", link), 0);
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        EXPECT(open_result(&fixture, paths[i], IO_OPEN_READ) < 0);
        struct io_stat status;
        struct io_op op = fixture_op(&fixture, IO_STAT, fixture.directory.fd);
        op.path = paths[i];
        op.ret_stat = &status;
        EXPECT(fixture_run(&fixture, &op) < 0);
        EXPECT(io_call(fixture.io, &op) < 0);
    }
    EXPECT_EQ(change_name(&fixture, IO_MKDIR, "../x", NULL), -EXDEV);
    EXPECT_EQ(change_name(&fixture, IO_UNLINK, "/tmp/x", NULL), -EXDEV);
    EXPECT_EQ(change_name(&fixture, IO_UNLINK, "", NULL), -EXDEV);
    EXPECT_EQ(change_name(&fixture, IO_RENAME, "out", "../x"), -EXDEV);
    EXPECT_EQ(change_name(&fixture, IO_MKDIR, "..x", NULL), 0);
    fixture_close(&fixture);
}

TEST(space_says_how_much_the_disk_has)
{
    struct fixture fixture;
    struct io_stat space = {.size = 0};
    fixture_open(&fixture, &plain_options);
    struct io_op op = fixture_op(&fixture, IO_SPACE, fixture.directory.fd);
    op.ret_stat = &space;
    EXPECT_EQ(fixture_run(&fixture, &op), 0);
    EXPECT(space.size > 0 && space.allocated > 0 && space.allocated <= space.size);
    fixture_close(&fixture);
}

TEST(a_lock_is_exclusive_for_as_long_as_its_handle_is_open)
{
    struct fixture fixture;
    struct io_handle first, second;
    fixture_open(&fixture, &plain_options);
    fixture_file(&fixture, "lock", IO_OPEN_WRITE | IO_OPEN_CREATE, &first);
    fixture_file(&fixture, "lock", IO_OPEN_WRITE, &second);
    struct io_op one = fixture_op(&fixture, IO_LOCK, first.fd);
    struct io_op two = fixture_op(&fixture, IO_LOCK, second.fd);
    EXPECT_EQ(fixture_run(&fixture, &one), 0);
    EXPECT_EQ(fixture_run(&fixture, &two), -EWOULDBLOCK);
    io_handle_close(fixture.io, &first);
    EXPECT_EQ(fixture_run(&fixture, &two), 0);
    io_handle_close(fixture.io, &second);
    fixture_close(&fixture);
}

TEST(a_pipe_is_read_and_written_at_its_own_position)
{
    struct fixture fixture;
    int ends[2];
    char bytes[4] = {0};
    fixture_open(&fixture, &plain_options);
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    struct iovec iov = {bytes, 3};
    struct io_op read = fixture_op(&fixture, IO_READ, ends[0]);
    read.iov = &iov;
    read.iov_count = 1;
    read.offset = IO_OFFSET_STREAM;
    io_submit(fixture.io, &read); /* before there is anything: the loop must not block */
    io_turn(fixture.io, false);
    EXPECT_EQ(transfer(&fixture, IO_WRITE, ends[1], IO_OFFSET_STREAM, (char[]){"abc"}, 3, 0), 3);
    fixture_wait(&fixture, &read);
    EXPECT_EQ(read.result, 3);
    EXPECT_TEXT(bytes, "abc");
    (void)close(ends[0]);
    (void)close(ends[1]);
    fixture_close(&fixture);
}

TEST(operations_on_a_descriptor_that_is_none_end_with_an_error)
{
    static const enum io_kind kinds[] = {IO_READ, IO_WRITE, IO_SYNC, IO_ALLOCATE, IO_PUNCH,
        IO_RESIZE, IO_SPACE, IO_LOCK, IO_ACCEPT, IO_RECV, IO_SEND, IO_SHUTDOWN, IO_STAT};
    struct fixture fixture;
    struct io_stat status;
    struct io_handle handle = IO_HANDLE_NONE;
    char byte = 0;
    struct iovec iov = {&byte, 1};
    fixture_open(&fixture, &plain_options);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct io_op op = fixture_op(&fixture, kinds[i], 9999);
        op.iov = &iov;
        op.iov_count = 1;
        op.size = 1;
        op.ret_stat = &status;
        op.ret_handle = &handle;
        EXPECT_EQ(fixture_run(&fixture, &op), -EBADF);
        EXPECT_EQ(io_call(fixture.io, &op), -EBADF);
    }
    fixture_close(&fixture);
}

struct names {
    unsigned files, directories;
};

static void count_entry(void *context, const char *name, bool is_directory)
{
    struct names *names = context;
    EXPECT(name[0] == 'n' && strlen(name) == 4);
    ++*(is_directory ? &names->directories : &names->files);
}

TEST(a_list_names_every_entry_once)
{
    struct fixture fixture;
    struct names names = {0, 0};
    fixture_open(&fixture, &plain_options);
    for (unsigned i = 0; i < 600; i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "n%03u", i);
        struct io_op op = fixture_op(&fixture, IO_MKDIR, fixture.directory.fd);
        op.path = name;
        if (i % 100 == 0)
            EXPECT_EQ(io_call(fixture.io, &op), 0);
        else
            EXPECT(open_result(&fixture, name, IO_OPEN_WRITE | IO_OPEN_CREATE) >= 0);
    }
    struct io_op list = fixture_op(&fixture, IO_LIST, fixture.directory.fd);
    list.each_entry = count_entry;
    list.context = &names;
    for (unsigned i = 1; i <= 2; i++) { /* a second list begins at the beginning again */
        EXPECT_EQ(io_call(fixture.io, &list), 0);
        EXPECT(names.files == 594 * i && names.directories == 6 * i);
    }
    fixture_close(&fixture);
}

/* Each kind by io_call, on one file. */
TEST(calls_do_what_operations_do)
{
    struct fixture fixture;
    struct io_handle file = IO_HANDLE_NONE;
    char bytes[8] = "stone";
    struct iovec iov = {bytes, 5};
    struct io_stat status;
    fixture_open(&fixture, &plain_options);
    int directory = fixture.directory.fd;
    struct io_op steps[] = {
        {.kind = IO_OPEN,
            .fd = directory,
            .path = "f",
            .ret_handle = &file,
            .open_flags = IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE},
        {.kind = IO_ALLOCATE, .size = 100},
        {.kind = IO_WRITE, .iov = &iov, .iov_count = 1, .write_flags = IO_WRITE_DSYNC},
        {.kind = IO_READ, .iov = &iov, .iov_count = 1},
        {.kind = IO_SYNC},
        {.kind = IO_SYNC, .fd = directory},
        {.kind = IO_PUNCH, .size = 4096},
        {.kind = IO_RESIZE, .size = 5},
        {.kind = IO_STAT, .ret_stat = &status},
        {.kind = IO_LOCK},
        {.kind = IO_RENAME, .fd = directory, .path = "f", .path_to = "g"},
        {.kind = IO_STAT, .fd = directory, .path = "g", .ret_stat = &status},
        {.kind = IO_UNLINK, .fd = directory, .path = "g"},
        {.kind = IO_NOP},
        {.kind = IO_TIMER, .deadline_ns = 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        steps[i].owner = &fixture.owner;
        steps[i].fd = steps[i].fd == 0 ? file.fd : steps[i].fd;
        EXPECT(io_call(fixture.io, &steps[i]) >= 0);
    }
    EXPECT_EQ(steps[2].result, 5);
    EXPECT_EQ(status.size, 5);
    io_handle_close(fixture.io, &file);
    fixture_close(&fixture);
}
