/* A mount point of disk format 1, made from doc/disk-format.md alone (format_v1.py), opens and holds
 * what it was given: the document suffices, and old disks stay readable. */
#include "base/crc.h"
#include "disk/mount.h"
#include "disk/stream.h"
#include "tests/unit/sim/lab.h"

#define ROOT "/d/m"
#define CHUNK "/d/m/chunks/000007-03-00-00000001"
#define SINGLE_NAME "000007-32a9f880000004"
#define CLOCK ((UINT64_C(1700000000)) << 23)
enum { CHUNK_BYTES = 256 << 10, SEED = 0x5eed0001, SINGLE_AT = 8192 };

static const struct {
    const char *file;
    uint32_t offset;
    const char *hex;
} pieces[] = {
#include "tests/unit/disk/format_v1.def"
};

struct place_of_test {
    struct lab lab;
    struct mem mem;
    struct io_handle root;
    struct chunk_files files;
    struct id_clock clock;
    struct stream stream;
    bool is_fenced;
};

/* ---- putting it on a disk ---- */

static uint8_t nibble(char c)
{
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static void write_piece(struct lab *lab, const char *path, uint32_t offset, const char *hex)
{
    uint8_t bytes[64];
    size_t size = strlen(hex) / 2;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(nibble(hex[2 * i]) << 4 | nibble(hex[2 * i + 1]));
    struct io_handle handle;
    EXPECT(lab_open(lab, &handle, path, IO_OPEN_WRITE | IO_OPEN_CREATE) >= 0);
    EXPECT_EQ(lab_write(lab, handle.fd, offset, bytes, size), (int64_t)size);
    io_handle_close(lab->io, &handle);
}

static void resize(struct lab *lab, const char *path, uint64_t size)
{
    struct io_handle handle;
    EXPECT(lab_open(lab, &handle, path, IO_OPEN_WRITE) >= 0);
    EXPECT(lab_on(lab, IO_RESIZE, handle.fd, 0, size) >= 0);
    io_handle_close(lab->io, &handle);
}

static void lay_out(struct lab *lab)
{
    static const char *const directories[] = {"", "/chunks", "/singles", "/new", "/log", "/ckpt",
        "/log/00", "/new/00", "/singles/04", "/singles/ff"};
    char path[96];
    for (size_t i = 0; i < ARRAY_LEN(directories); i++) {
        (void)snprintf(path, sizeof path, ROOT "%s", directories[i]);
        EXPECT(lab_named(lab, IO_MKDIR, path, NULL, 0) >= 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        (void)snprintf(path, sizeof path, ROOT "/%s", pieces[i].file);
        write_piece(lab, path, pieces[i].offset, pieces[i].hex);
    }
    /* zeros at the end of files are not among the pieces */
    resize(lab, ROOT "/cairn.mount", 2 * MOUNT_COPY_SIZE);
    resize(lab, ROOT "/ckpt/00.1", 176);
    resize(lab, ROOT "/log/00/0000000000000001", 64 << 10);
    resize(lab, ROOT "/log/00/0000000000000002", 64 << 10);
    resize(lab, CHUNK, CHUNK_BYTES + 2 * 4096);
}

/* ---- opening it ---- */

static const struct io_handle *root_of(void *context, const struct chunk_key *key)
{
    const struct place_of_test *test = context;
    return key->machine == 7 && key->mount == 3 ? &test->root : NULL;
}

static void on_fence(struct stream *stream, err_t err)
{
    (void)err;
    struct place_of_test *test = stream->options.context;
    test->is_fenced = true;
}

static void open_mount(struct place_of_test *test, struct mount_image *ret)
{
    struct mount mount;
    struct mount_open_options options = {.path = ROOT,
        .expected = {.machine = 7, .index = 3, .group = "g1"},
        .reserve_bytes = 1 << 20};
    EXPECT_OK(mount_open(&mount, test->lab.io, &options));
    EXPECT(!mount.copy_is_damaged && !mount.was_clean);
    *ret = mount.image;
    mount_close(&mount);
}

static void begin(struct place_of_test *test, const struct stream_options *options)
{
    EXPECT_OK(stream_open(&test->stream, options));
    while (!stream_is_ready(&test->stream))
        io_turn(test->lab.io, true);
    EXPECT_EQ(test->stream.state, STREAM_OPEN);
}

static void end(struct place_of_test *test)
{
    stream_close_begin(&test->stream);
    while (!stream_close_is_quiet(&test->stream))
        io_turn(test->lab.io, true);
    stream_close_end(&test->stream);
}

static void open_stream(struct place_of_test *test)
{
    static struct mount_image image;
    struct io *io = test->lab.io;
    open_mount(test, &image);
    EXPECT(lab_open(&test->lab, &test->root, ROOT, IO_OPEN_READ | IO_OPEN_DIRECTORY) >= 0);
    mem_init(&test->mem, &io->ledger);
    EXPECT_OK(chunk_files_init(&test->files, io, &test->mem, 8, root_of, test));
    struct stream_options options = {.io = io,
        .mem = &test->mem,
        .files = &test->files,
        .root = &test->root,
        .clock = &test->clock,
        .machine = image.identity.machine,
        .mount = image.identity.index,
        .stream = 0,
        .incarnation = image.status.incarnation,
        .chunk_size = image.shape.chunk_size,
        .log_segment_size = image.shape.log_segment_size,
        .log_buffer_size = 32 << 10,
        .log_segment_count_max = 4,
        .free_slot_count = 64,
        .chunk_count_max = 16,
        .checkpoint_bytes = 1 << 20,
        .on_fence = on_fence,
        .context = test};
    memcpy(options.storage_uuid, image.identity.storage_uuid, UUID_SIZE);
    memcpy(options.mount_uuid, image.identity.mount_uuid, UUID_SIZE);
    begin(test, &options);
}

static struct place_of_test *test_open(void)
{
    struct place_of_test *test = calloc(1, sizeof *test);
    EXPECT(test != NULL);
    test->lab = lab_new(1, NULL);
    lay_out(&test->lab);
    open_stream(test);
    return test;
}

static void test_close(struct place_of_test *test)
{
    EXPECT(!test->is_fenced);
    end(test);
    chunk_files_fini(&test->files);
    io_handle_close(test->lab.io, &test->root);
    ledger_check_empty(&test->lab.io->ledger);
    lab_free(&test->lab);
    free(test);
}

/* ---- looking into it ---- */

static uint8_t bytes[96 << 10];

static void read_file(struct place_of_test *test, const char *path, uint64_t offset, size_t size)
{
    struct io_handle handle;
    EXPECT(lab_open(&test->lab, &handle, path, IO_OPEN_READ) >= 0);
    EXPECT_EQ(lab_read(&test->lab, handle.fd, offset, bytes, size), (int64_t)size);
    io_handle_close(test->lab.io, &handle);
}

static struct slot_header read_slot(struct place_of_test *test, uint32_t offset, uint32_t size)
{
    struct slot_header header;
    uint32_t need;
    read_file(test, CHUNK, offset, size);
    EXPECT_OK(slot_meta_decode(span_of(bytes, size), SEED, &header, &need));
    EXPECT_EQ(header.slot_size, size);
    EXPECT_EQ(header.identity.origin, 7);
    EXPECT_TEXT(header.identity.suffix, "000.txt");
    return header;
}

/* "the first bytes", zeros, "the last bytes". */
static void expect_content(const uint8_t *content, size_t size, const char *first)
{
    EXPECT(memcmp(content, first, 15) == 0);
    EXPECT(memcmp(content + size - 14, "the last bytes", 14) == 0);
    for (size_t i = 15; i < size - 14; i++)
        EXPECT_EQ(content[i], 0);
}

TEST(recovery_applies_the_log_of_version_1)
{
    struct place_of_test *test = test_open();
    struct stream *stream = &test->stream;
    EXPECT_EQ(stream->replayed, 7); /* 3 to 9; the checkpoint covers 1 and 2, 10 is torn */
    EXPECT_EQ(stream->rotten_batches, 0);
    EXPECT(stream->was_torn);
    EXPECT_EQ(stream->lost_chunks, 0);
    EXPECT_EQ(stream->live_count, 3);
    EXPECT_EQ(stream->options.incarnation, 2);
    EXPECT(atomic_load(&test->clock.last) == CLOCK + (UINT64_C(60) << 23));
    EXPECT(stream->lease > CLOCK + (UINT64_C(60) << 23));
    EXPECT_EQ(stream->chunks.count, 1);
    EXPECT_EQ(stream->chunks.entries[0].live_count, 3); /* a home, a target, a large one */
    EXPECT_EQ(stream->chunks.entries[0].free_bytes, 192);
    EXPECT_EQ(stream->chunks.entries[0].end, 4096 + 256 + 192 + 512 + 70144);
    test_close(test);
}

static uint64_t digest_of(const struct slot_header *header)
{
    return file_digest(&header->identity, header->version, header->size, header->content_crc);
}

TEST(digests_that_version_1_lacks_are_counted_at_the_start_and_kept)
{
    struct place_of_test *test = test_open();
    struct slot_header target = read_slot(test, 4096 + 256 + 192, 512);
    struct slot_header large = read_slot(test, 4096 + 256 + 192 + 512, 70144);
    struct slot_header single;
    read_file(test, ROOT "/singles/04/" SINGLE_NAME, 0, 4096);
    EXPECT_OK(single_meta_decode(span_of(bytes, 4096), NULL, &single));
    for (int round = 0; round < 2; round++) {
        const struct digest *chunk = &test->stream.chunks.entries[0].digest;
        const struct digest *bucket =
            &test->stream.sources.all[0].singles[source_bucket(&single.identity)];
        EXPECT_EQ(chunk->count, 2);
        EXPECT_EQ(chunk->sum, digest_of(&target) + digest_of(&large));
        EXPECT_EQ(bucket->count, 1);
        EXPECT_EQ(bucket->sum, digest_of(&single));
        struct stream_options options = test->stream.options;
        end(test);
        begin(test, &options);
    }
    EXPECT_EQ(test->stream.replayed, 0);
    test_close(test);
}

TEST(a_home_of_version_1_forwards_to_its_target)
{
    struct place_of_test *test = test_open();
    struct slot_header home = read_slot(test, 4096, 256);
    EXPECT_EQ(home.flags, SLOT_MUTABLE | SLOT_FORWARDED);
    EXPECT_EQ(home.version.counter, 2);
    EXPECT_EQ(home.size, 300);
    EXPECT_EQ(home.create_ns, UINT64_C(1700000000000000001));
    EXPECT_EQ(home.modify_ns, UINT64_C(1700000000000000000));
    EXPECT_EQ(home.other.kind, PLACE_PACKED);
    EXPECT_EQ(home.other.offset, 4096 + 256 + 192);
    EXPECT_EQ(home.other.slot_size, 512);
    EXPECT_EQ(home.other.birth, CLOCK + 5);
    struct span pool = attribute_find(slot_attributes(span_of(bytes, 256), &home), ATTRIBUTE_POOL);
    EXPECT(span_equals_text(pool, "photo"));
    struct slot_header target = read_slot(test, home.other.offset, 512);
    EXPECT_EQ(target.flags, SLOT_MUTABLE | SLOT_TARGET);
    EXPECT_EQ(target.identity.clock, home.identity.clock);
    EXPECT_EQ(target.birth.counter, CLOCK + 5);
    EXPECT_EQ(target.birth.machine, 7);
    EXPECT_EQ(target.other.offset, 4096);
    const uint8_t *content = bytes + slot_meta_size(512, target.attributes_size);
    expect_content(content, 300, "the first bytes");
    EXPECT_EQ(crc32_update(0, content, 300), target.content_crc);
    test_close(test);
}

TEST(a_slot_that_version_1_deleted_is_free_and_wiped)
{
    struct place_of_test *test = test_open();
    read_file(test, CHUNK, 4096 + 256, 192);
    for (size_t i = 0; i < 192; i++)
        EXPECT_EQ(bytes[i], 0);
    struct slotmap_slot slot = slotmap_query(&test->stream.active.map, 4096 + 256);
    EXPECT_EQ(slot.kind, SLOTMAP_FREE);
    EXPECT_EQ(slot.size, 192);
    test_close(test);
}

TEST(a_referenced_content_of_version_1_is_whole)
{
    struct place_of_test *test = test_open();
    struct slot_header header = read_slot(test, 4096 + 256 + 192 + 512, 70144);
    EXPECT_EQ(header.size, 70000);
    uint32_t table[2];
    const uint8_t *content = bytes + slot_meta_size(70144, 0);
    blocks_compute(span_of(content, 70000), table);
    for (uint32_t i = 0; i < 2; i++)
        EXPECT_EQ(slot_table_entry(span_of(bytes, 70144), &header, i), table[i]);
    expect_content(content, 70000, "the first bytes");
    test_close(test);
}

TEST(a_single_file_of_version_1_takes_its_name_and_its_change)
{
    struct place_of_test *test = test_open();
    struct slot_header header;
    read_file(test, ROOT "/singles/04/" SINGLE_NAME, 0, SINGLE_AT + 5000);
    EXPECT_OK(single_meta_decode(span_of(bytes, 4096), NULL, &header));
    EXPECT_EQ(header.version.counter, 2);
    EXPECT_EQ(header.birth.counter, 1);
    EXPECT_EQ(header.other.kind, PLACE_SINGLE);
    EXPECT_EQ(header.other.mount, 3);
    EXPECT_EQ(header.size, 5000);
    expect_content(bytes + SINGLE_AT, 5000, "thHELLOst bytes");
    uint32_t crc = crc32_update(0, bytes + SINGLE_AT, 5000);
    EXPECT_EQ(header.content_crc, crc);
    EXPECT_EQ(get_u32(bytes + 4096 + 32), crc);
    test_close(test);
}

TEST(what_was_recovered_is_there_after_a_clean_end)
{
    struct place_of_test *test = test_open();
    end(test);
    struct stream_options options = test->stream.options;
    begin(test, &options);
    EXPECT_EQ(test->stream.replayed, 0);
    EXPECT(!test->stream.was_torn);
    EXPECT_EQ(test->stream.live_count, 3);
    test_close(test);
}
