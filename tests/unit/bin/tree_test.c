/* Walking trees, reading and writing local files, and the manifest file: on a real file system. */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bin/file.h"
#include "bin/resume.h"
#include "bin/walk.h"
#include "io/backend.h"
#include "tests/lib/test.h"

static struct io *io;
static struct mem mem;
static struct owner owner;
static char root[64];

static void begin(void)
{
    EXPECT_OK(backend_io_new(&(struct backend_options){.loop_count = 1}, &io));
    mem_init(&mem, &io->ledger);
    owner_open(&owner, "test", DIRECTION_OWN, 0);
    (void)snprintf(root, sizeof root, "/tmp/cairn-tree-XXXXXX");
    EXPECT(mkdtemp(root) != NULL && chdir(root) == 0);
}

static void end(void)
{
    owner_close(&owner);
    ledger_check_empty(&io->ledger);
    io->backend->free(io);
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf %s", root);
    EXPECT(chdir("/") == 0 && system(command) == 0);
}

static void make_file(const char *path, const char *content)
{
    FILE *file = fopen(path, "w");
    EXPECT(file && fputs(content, file) >= 0 && fclose(file) == 0);
}

/* The names of a walk, each with what came of it: "+" file, "-" skipped, "!" failed. */
static const char *walked(char *const *roots, size_t count, bool is_recursive)
{
    static char bytes[2048];
    static struct walk walk;
    struct walk_entry entry;
    struct text text;
    enum walk_result result;
    text_init(&text, bytes, sizeof bytes);
    walk_init(&walk, io, &mem, &owner, roots, count, is_recursive);
    while ((result = walk_next(&walk, &entry)) != WALK_END)
        text_add(&text, "%s%s ",
            result == WALK_FILE      ? "+"
            : result == WALK_SKIPPED ? "-"
                                     : "!",
            entry.path);
    walk_fini(&walk);
    return bytes;
}

TEST(a_tree_is_walked_in_the_order_of_names)
{
    begin();
    EXPECT(mkdir("t", 0755) == 0 && mkdir("t/b", 0755) == 0 && mkdir("t/empty", 0755) == 0);
    make_file("t/c", "c");
    make_file("t/a", "a");
    make_file("t/b/z", "z");
    make_file("t/b/y", "y");
    char name[] = "t";
    EXPECT_TEXT(walked((char *[]){name}, 1, true), "+t/a +t/b/y +t/b/z +t/c ");
    char slash[] = "t/";
    EXPECT_TEXT(walked((char *[]){slash}, 1, true), "+t/a +t/b/y +t/b/z +t/c ");
    end();
}

TEST(a_directory_needs_recursion_and_what_is_missing_is_named)
{
    begin();
    EXPECT(mkdir("t", 0755) == 0);
    char tree[] = "t", missing[] = "missing", stream[] = "-";
    EXPECT_TEXT(walked((char *[]){tree, missing, stream}, 3, false), "!t !missing +- ");
    end();
}

TEST(links_lead_to_files_and_not_into_cycles)
{
    begin();
    EXPECT(mkdir("t", 0755) == 0);
    make_file("t/a", "a");
    EXPECT(symlink("a", "t/file") == 0 && symlink(".", "t/cycle") == 0
           && symlink("nowhere", "t/loose") == 0 && mkfifo("t/pipe", 0644) == 0
           && symlink("t", "link") == 0);
    char name[] = "t", link[] = "link";
    EXPECT_TEXT(walked((char *[]){name}, 1, true), "+t/a -t/cycle +t/file !t/loose -t/pipe ");
    EXPECT_TEXT(walked((char *[]){link}, 1, true),
        "+link/a -link/cycle +link/file !link/loose -link/pipe ");
    end();
}

TEST(a_walk_may_stop_anywhere)
{
    begin();
    EXPECT(mkdir("t", 0755) == 0 && mkdir("t/b", 0755) == 0);
    make_file("t/b/y", "y");
    static struct walk walk;
    struct walk_entry entry;
    char name[] = "t";
    walk_init(&walk, io, &mem, &owner, (char *[]){name}, 1, true);
    EXPECT_EQ(walk_next(&walk, &entry), WALK_FILE);
    EXPECT_EQ(entry.stat.size, 1);
    EXPECT(entry.stat.modify_ns > UINT64_C(1500000000000000000));
    walk_fini(&walk);
    end();
}

TEST(a_sink_shows_its_file_when_it_is_whole)
{
    begin();
    static struct file_sink file;
    EXPECT_OK(file_sink_open(&file, io, &owner, IO_FD_NONE, "out", NULL));
    EXPECT_OK(file.sink.take(&file.sink, span_of_text("content")));
    EXPECT(access("out", F_OK) != 0 && access("out.cairn-part", F_OK) == 0);
    EXPECT_OK(file_sink_finish(&file));
    file_sink_close(&file);
    EXPECT(access("out", F_OK) == 0 && access("out.cairn-part", F_OK) != 0);
    EXPECT_OK(file_sink_open(&file, io, &owner, IO_FD_NONE, "never", NULL));
    file_sink_close(&file);
    EXPECT(access("never", F_OK) != 0 && access("never.cairn-part", F_OK) != 0);
    end();
}

TEST(a_sink_beneath_a_directory_does_not_follow_links_out_of_it)
{
    begin();
    struct io_handle directory = IO_HANDLE_NONE;
    EXPECT(mkdir("in", 0755) == 0 && mkdir("out", 0755) == 0
           && symlink("../out", "in/relative") == 0 && symlink(root, "in/absolute") == 0);
    struct io_op open = {.kind = IO_OPEN,
        .fd = IO_FD_NONE,
        .path = "in",
        .open_flags = IO_OPEN_READ | IO_OPEN_DIRECTORY,
        .ret_handle = &directory,
        .owner = &owner};
    EXPECT(io_call(io, &open) >= 0);
    static const char *const bad[] = {
        "relative/x", "relative/new/x", "absolute/x", "absolute/out/x"};
    static struct file_sink file;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        err_t err = file_sink_open(&file, io, &owner, directory.fd, bad[i], NULL);
        EXPECT(err_is(err) && err.os == EXDEV);
    }
    EXPECT(rmdir("out") == 0); /* still empty */
    EXPECT_OK(file_sink_open(&file, io, &owner, directory.fd, "a/b/c", NULL));
    EXPECT_OK(file_sink_finish(&file));
    file_sink_close(&file);
    EXPECT(access("in/a/b/c", F_OK) == 0);
    io_handle_close(io, &directory);
    end();
}

static struct manifest_line line_of(const char *path, uint64_t size)
{
    struct manifest_line line = {.size = size, .modify_ns = 7, .crc = 9};
    (void)snprintf(line.id, sizeof line.id, "id-of-%s", path);
    (void)snprintf(line.path, sizeof line.path, "%s", path);
    return line;
}

static void append(struct resume *resume, const char *path, uint64_t size)
{
    struct manifest_line line = line_of(path, size);
    EXPECT_OK(resume_append(resume, &line));
}

TEST(what_was_appended_is_known_after_loading)
{
    begin();
    struct resume resume;
    EXPECT_OK(resume_open(&resume, io, &mem, &owner, "m", false));
    append(&resume, "a", 1);
    append(&resume, "b", 2);
    append(&resume, "a", 3);
    resume_close(&resume);
    EXPECT_OK(resume_open(&resume, io, &mem, &owner, "m", true));
    EXPECT(resume_knows(&resume, "a", 3, 7) && resume_knows(&resume, "b", 2, 7));
    EXPECT(!resume_knows(&resume, "a", 1, 7)); /* an older line does not count */
    EXPECT(!resume_knows(&resume, "b", 2, 8) && !resume_knows(&resume, "c", 2, 7));
    resume_close(&resume);
    end();
}

TEST(of_two_lines_of_a_path_the_last_is_read)
{
    begin();
    struct resume resume;
    struct manifest_line line;
    size_t at = 0;
    EXPECT_OK(resume_open(&resume, io, &mem, &owner, "m", false));
    append(&resume, "a", 1);
    append(&resume, "b", 2);
    append(&resume, "a", 3);
    resume_close(&resume);
    EXPECT_OK(resume_open_to_read(&resume, io, &mem, &owner, "m"));
    EXPECT(resume_next(&resume, &at, &line) && strcmp(line.path, "b") == 0);
    EXPECT(resume_next(&resume, &at, &line) && strcmp(line.path, "a") == 0 && line.size == 3);
    EXPECT(!resume_next(&resume, &at, &line));
    resume_close(&resume);
    end();
}

TEST(a_torn_line_is_cut_off_and_forgotten)
{
    begin();
    struct resume resume;
    EXPECT_OK(resume_open(&resume, io, &mem, &owner, "m", false));
    append(&resume, "a", 1);
    append(&resume, "b", 2);
    EXPECT(truncate("m", (off_t)resume.offset - 3) == 0);
    resume_close(&resume);
    EXPECT_OK(resume_open(&resume, io, &mem, &owner, "m", true));
    EXPECT(resume_knows(&resume, "a", 1, 7) && !resume_knows(&resume, "b", 2, 7));
    append(&resume, "c", 3);
    resume_close(&resume);
    EXPECT_OK(resume_open_to_read(&resume, io, &mem, &owner, "m"));
    struct manifest_line line;
    size_t at = 0;
    EXPECT(resume_next(&resume, &at, &line) && strcmp(line.path, "a") == 0);
    EXPECT(resume_next(&resume, &at, &line) && strcmp(line.path, "c") == 0);
    EXPECT(!resume_next(&resume, &at, &line) && resume.bad_count == 0);
    resume_close(&resume);
    end();
}

TEST(a_manifest_is_never_overwritten)
{
    begin();
    struct resume resume;
    make_file("m", "precious");
    EXPECT_ERR(resume_open(&resume, io, &mem, &owner, "m", false), EXISTS);
    EXPECT_ERR(resume_open_to_read(&resume, io, &mem, &owner, "missing"), NOT_FOUND);
    struct stat stat_now;
    EXPECT(stat("m", &stat_now) == 0 && stat_now.st_size == 8);
    end();
}

TEST(a_small_file_is_loaded_whole_or_not_at_all)
{
    begin();
    char data[8];
    size_t size;
    make_file("f", "12345678");
    EXPECT_OK(file_load(io, &owner, "f", data, sizeof data, &size));
    EXPECT_EQ(size, 8);
    EXPECT_ERR(file_load(io, &owner, "f", data, 7, &size), TOO_LARGE);
    EXPECT_ERR(file_load(io, &owner, "missing", data, 7, &size), NOT_FOUND);
    end();
}
