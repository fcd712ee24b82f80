#include "storage/check.h"

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/crc.h"
#include "disk/chunkfile.h"
#include "disk/single_name.h"
#include "io/backend.h"
#include "tests/unit/storage/hall.h"

enum { COUNT = 40 };

static struct hall hall;
static struct visitor visitor;
static uint8_t content[400000];
static char ids[COUNT][FID_TEXT_MAX];
static enum check_kind wanted; /* what is remembered */
static char found_path[512], found_id[FID_TEXT_MAX];

static void fill(void)
{
    for (size_t i = 0; i < COUNT; i++) {
        size_t size = i % 4 == 3 ? 70000 + i * 3000 : i * 400;
        struct put put = {.is_mutable = i % 2 == 0};
        bytes_make(content, size, i);
        EXPECT_EQ(visitor_put(&visitor, content, size, &put, ids[i], NULL), 0);
    }
    struct version any = {0};
    EXPECT_EQ(visitor_modify(&visitor, ids[2], MODIFY_REPLACE, 0, content, 9000, any, NULL), 0);
    EXPECT_EQ(visitor_modify(&visitor, ids[4], MODIFY_REPLACE, 0, content, 90000, any, NULL), 0);
    EXPECT_EQ(visitor_delete(&visitor, ids[0], NULL), 0);
    EXPECT_EQ(visitor_delete(&visitor, ids[7], NULL), 0);
}

static void begin(void)
{
    hall_make(&hall, 1, 2);
    EXPECT_OK(hall_start(&hall));
    visitor_open(&visitor, &hall);
    fill();
}

static void begin_stopped(void)
{
    begin();
    visitor_close(&visitor);
    hall_stop(&hall);
}

static void on_finding(void *context, const struct check_finding *finding)
{
    (void)context;
    if (finding->kind != wanted)
        return;
    (void)snprintf(found_path, sizeof found_path, "%s", finding->path);
    (void)snprintf(found_id, sizeof found_id, "%s", finding->id);
}

static err_t run(struct check *check)
{
    static struct mem mem;
    struct io *io;
    found_path[0] = found_id[0] = '\0';
    EXPECT_OK(backend_io_new(&(struct backend_options){.entries = 16}, &io));
    mem_init(&mem, &io->ledger);
    *check =
        (struct check){.io = io, .mem = &mem, .path = hall.mounts[0], .on_finding = on_finding};
    err_t err = check_run(check);
    ledger_check_empty(&io->ledger);
    io->backend->free(io);
    return err;
}

static uint32_t hash;

static int hash_file(const char *path, const struct stat *stat, int flag, struct FTW *walk)
{
    static uint8_t bytes[1 << 20];
    (void)walk;
    hash = crc32_update(hash, path, strlen(path));
    hash = crc32_update(hash, &stat->st_mtim, sizeof stat->st_mtim);
    int fd = flag == FTW_F ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    for (ssize_t size; fd >= 0 && (size = read(fd, bytes, sizeof bytes)) > 0;)
        hash = crc32_update(hash, bytes, (size_t)size);
    if (fd >= 0)
        (void)close(fd);
    return 0;
}

static uint32_t hash_all(void)
{
    hash = 0;
    EXPECT_EQ(nftw(hall.mounts[0], hash_file, 16, FTW_PHYS), 0);
    return hash;
}

/* Overwrite three bytes of a file of the mount point. */
static void damage(const char *path, uint64_t offset)
{
    char whole[512];
    (void)snprintf(whole, sizeof whole, "%s/%s", hall.mounts[0], path);
    int fd = open(whole, O_WRONLY | O_CLOEXEC);
    EXPECT(fd >= 0);
    EXPECT_EQ(pwrite(fd, "rot", 3, (off_t)offset), 3);
    (void)close(fd);
}

static void chunk_of(const char *id, char path[CHUNK_NAME_MAX], struct fid *fid)
{
    EXPECT_OK(fid_parse(span_of_text(id), fid));
    chunk_path(path, &(struct chunk_key){7, fid->mount, fid->stream, fid->chunk});
}

static void expect_one(struct check *check, enum check_kind kind)
{
    char data[8192];
    struct text text;
    text_init(&text, data, sizeof data);
    wanted = kind;
    EXPECT_OK(run(check));
    check_print(check, &text);
    if (check->counts.findings[kind] != 1)
        (void)fprintf(stderr, "%s", data);
    EXPECT_EQ(check->counts.findings[kind], 1);
    EXPECT_ERR(check_verdict(check), CORRUPT);
    EXPECT(strstr(data, check_kind_name(kind)) != NULL);
    EXPECT(strstr(data, "DAMAGED") != NULL);
}

TEST(a_mount_point_that_was_left_in_order_is_good_and_is_not_written)
{
    static struct check check;
    char data[8192];
    struct writer w = {.data = (uint8_t *)data, .capacity = sizeof data - 1};
    begin_stopped();
    uint32_t before = hash_all();
    EXPECT_OK(run(&check));
    EXPECT_EQ(hash_all(), before);
    EXPECT_OK(check_verdict(&check));
    EXPECT_EQ(check.counts.live_files, COUNT - 2);
    EXPECT_EQ(check.counts.singles, COUNT / 4 - 1 + 1);
    EXPECT_EQ(check.counts.log_records, 0);
    for (int i = 0; i < CHECK_KIND_COUNT; i++)
        EXPECT_EQ(check.counts.findings[i], 0);
    check_print_json(&check, &w);
    EXPECT(!w.failed);
    data[w.size] = '\0';
    EXPECT(strstr(data, "\"live_files\":38") && strstr(data, "\"damaged\":false"));
    hall_remove(&hall);
}

TEST(a_mount_point_in_use_or_of_nobody_is_refused)
{
    static struct check check;
    begin();
    EXPECT_ERR(run(&check), BUSY);
    EXPECT(strstr(check.why, "a server uses it") != NULL);
    visitor_close(&visitor);
    hall_stop(&hall);
    (void)snprintf(hall.mounts[0], sizeof hall.mounts[0], "%s", hall.directory);
    EXPECT_ERR(run(&check), NOT_FOUND);
    EXPECT(strstr(check.why, "not a mount point") != NULL);
    hall_remove(&hall);
}

TEST(damage_of_every_kind_is_found_and_named)
{
    static struct check check;
    char path[CHUNK_NAME_MAX], single[SINGLE_PATH_MAX];
    struct fid fid;
    begin_stopped();
    chunk_of(ids[10], path, &fid);
    damage(path, fid.offset + SLOT_HEADER_SIZE + 500);
    expect_one(&check, CHECK_SLOT_CONTENT);
    EXPECT_TEXT(found_path, path);
    EXPECT_TEXT(found_id, ids[10]);
    chunk_of(ids[12], path, &fid);
    damage(path, fid.offset + 20);
    expect_one(&check, CHECK_SLOT_HEADER);
    EXPECT_OK(fid_parse(span_of_text(ids[11]), &fid));
    single_path(single, &fid.identity);
    damage(single, 2 * 4096 + 70000);
    expect_one(&check, CHECK_SINGLE_CONTENT);
    EXPECT_TEXT(found_id, ids[11]);
    damage(single, 30);
    expect_one(&check, CHECK_SINGLE_HEADER);
    EXPECT_OK(fid_parse(span_of_text(ids[4]), &fid));
    single_path(single, &fid.identity);
    char whole[512];
    (void)snprintf(whole, sizeof whole, "%s/%s", hall.mounts[0], single);
    EXPECT_EQ(unlink(whole), 0);
    expect_one(&check, CHECK_TARGET_MISSING);
    EXPECT_TEXT(found_id, ids[4]);
    chunk_of(ids[10], path, &fid);
    damage(path, 4 << 20);
    damage(path, (4 << 20) + slotmap_image_size(4 << 20));
    expect_one(&check, CHECK_CHUNK_MAP);
    damage(path, 8);
    expect_one(&check, CHECK_CHUNK_HEADER);
    (void)snprintf(whole, sizeof whole, "%s/%s", hall.mounts[0], path);
    EXPECT_EQ(unlink(whole), 0);
    expect_one(&check, CHECK_CHUNK_MISSING);
    damage("cairn.mount", 100);
    EXPECT_OK(run(&check));
    EXPECT_EQ(check.counts.findings[CHECK_MOUNT_COPY], 1);
    damage("cairn.mount", MOUNT_COPY_SIZE + 100);
    EXPECT_ERR(run(&check), CORRUPT);
    hall_remove(&hall);
}

TEST(a_mark_that_no_record_will_end_is_damage)
{
    static struct check check;
    char single[SINGLE_PATH_MAX], whole[512];
    uint8_t bytes[SINGLE_META_MAX];
    struct slot_header header;
    struct fid fid;
    begin_stopped();
    EXPECT_OK(fid_parse(span_of_text(ids[11]), &fid));
    single_path(single, &fid.identity);
    (void)snprintf(whole, sizeof whole, "%s/%s", hall.mounts[0], single);
    int fd = open(whole, O_RDWR | O_CLOEXEC);
    struct span meta = span_of(bytes, sizeof bytes);
    EXPECT_EQ(pread(fd, bytes, sizeof bytes, 0), (ssize_t)sizeof bytes);
    EXPECT_OK(single_meta_decode(meta, &fid.identity, &header));
    header.flags |= SLOT_CHANGING;
    uint8_t marked[SINGLE_META_MAX];
    uint32_t size = single_meta_encode(&header, slot_attributes(meta, &header), marked);
    EXPECT_EQ(pwrite(fd, marked, size, 0), (ssize_t)size);
    (void)close(fd);
    expect_one(&check, CHECK_SINGLE_CONTENT);
    EXPECT_TEXT(found_id, ids[11]);
    hall_remove(&hall);
}

TEST(after_a_kill_what_the_log_will_apply_is_not_judged)
{
    static struct check check;
    uint16_t port;
    int status;
    hall_make(&hall, 1, 2);
    pid_t child = hall_fork(&hall, &port);
    visitor_open_port(&visitor, port);
    fill();
    EXPECT_EQ(kill(child, SIGKILL), 0);
    EXPECT_EQ(waitpid(child, &status, 0), child);
    visitor_close(&visitor);
    EXPECT_OK(run(&check));
    EXPECT_OK(check_verdict(&check));
    EXPECT(check.counts.log_records >= COUNT);
    EXPECT(check.counts.pending > 0);
    EXPECT_OK(hall_start(&hall));
    hall_stop(&hall);
    EXPECT_OK(run(&check));
    EXPECT_OK(check_verdict(&check));
    EXPECT_EQ(check.counts.live_files, COUNT - 2);
    EXPECT_EQ(check.counts.pending, 0);
    hall_remove(&hall);
}
