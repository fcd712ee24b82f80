/* doc/disk-format.md says what the code writes: the tables are read from the document, and what the
 * encoders make is compared with them byte by byte. */
#include "disk/blocks.h"
#include "disk/checkpoint.h"
#include "disk/chunk_table.h"
#include "disk/members_image.h"
#include "disk/mount_image.h"
#include "disk/names_image.h"
#include "disk/packed.h"
#include "disk/single_name.h"
#include "disk/slotmap.h"
#include "tests/lib/test.h"

/* A row of a table. Up to 8 bytes: a number. More: the bytes value, value + 1, ...; 0: zeros. */
struct field {
    uint32_t offset, size;
    uint64_t value;
};

/* ---- the document ---- */

static char document[1 << 17];

static const char *document_text(void)
{
    if (document[0] == '\0') {
        FILE *file = fopen(DISK_FORMAT_DOC, "rb");
        EXPECT(file != NULL);
        size_t size = fread(document, 1, sizeof document - 1, file);
        (void)fclose(file);
        EXPECT(size > 1000 && size < sizeof document - 1);
    }
    return document;
}

static void expect_line(const char *line)
{
    if (!strstr(document_text(), line))
        (void)fprintf(stderr, "  doc/disk-format.md lacks: %s", line);
    EXPECT(strstr(document_text(), line) != NULL);
}

/* "| 16 | 8 | ..." in the line that begins at `line`: both columns are plain numbers. */
static bool row_parse(const char *line, uint32_t *ret_offset, uint32_t *ret_size)
{
    int end = 0;
    return sscanf(line, "| %u | %u |%n", ret_offset, ret_size, &end) == 2 && end > 0;
}

/* The section's rows with plain numbers are exactly `fields`. */
static void expect_rows(const char *heading, const struct field *fields, size_t count)
{
    char title[128];
    (void)snprintf(title, sizeof title, "\n%s\n", heading);
    const char *line = strstr(document_text(), title);
    EXPECT(line != NULL);
    size_t row = 0;
    for (line = strchr(line + 1, '\n'); line && line[1] != '#'; line = strchr(line + 1, '\n')) {
        uint32_t offset, size;
        if (!row_parse(line + 1, &offset, &size))
            continue;
        EXPECT(row < count);
        EXPECT_EQ(offset, fields[row].offset);
        EXPECT_EQ(size, fields[row].size);
        row++;
    }
    EXPECT_EQ(row, count);
}

/* ---- bytes ---- */

/* Bit by bit, so that the checksum too is compared with something else than itself. */
static uint32_t plain_crc(uint32_t crc, const uint8_t *data, size_t size)
{
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0xedb88320) : 0);
    }
    return ~crc;
}

static void expect_field(const uint8_t *bytes, const struct field *field)
{
    for (uint32_t i = 0; i < field->size; i++) {
        uint8_t wanted = (uint8_t)(field->size <= 8 ? field->value >> 8 * i
                                                    : field->value + (field->value ? i : 0));
        if (bytes[field->offset + i] != wanted)
            (void)fprintf(stderr, "  field at %u, byte %u\n", field->offset, i);
        EXPECT_EQ(bytes[field->offset + i], wanted);
    }
}

/* The document's section has these rows, they cover `size` bytes without gaps, and `bytes` has their
 * values. */
static void expect_layout(const char *heading, const struct field *fields, size_t count,
    const uint8_t *bytes, uint32_t size)
{
    expect_rows(heading, fields, count);
    uint32_t end = 0;
    for (size_t i = 0; i < count; i++) {
        EXPECT_EQ(fields[i].offset, end);
        end += fields[i].size;
        expect_field(bytes, &fields[i]);
    }
    EXPECT_EQ(end, size);
}
#define EXPECT_LAYOUT(heading, fields, bytes, size) \
    expect_layout((heading), (fields), ARRAY_LEN(fields), (bytes), (size))

static void fill(uint8_t *bytes, size_t size, uint8_t value)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value + i);
}

static const struct identity sample_identity = {0x112233445566, 0x0a0b0c, "001.txt"};
static const uint64_t suffix_number = 0x7478742e313030; /* "001.txt" */

static const struct place sample_place = {.kind = PLACE_PACKED,
    .mount = 0x21,
    .stream = 0x22,
    .machine = 0x0a0b0c,
    .chunk = 0x31323334,
    .offset = 0x41424340,
    .slot_size = 0x1234 * SLOT_UNIT,
    .birth = 0x51525354555657};

/* ---- binlog ---- */

static struct log_segment_header sample_segment(void)
{
    struct log_segment_header header = {.number = 0x1112131415161718,
        .incarnation = 0x2122232425262728,
        .salt = 0x3132333435363738,
        .first_lsn = 0x4142434445464748,
        .previous_number = 0x5152535455565758,
        .previous_end = 0x6162636465666768,
        .machine = 0x0a0b0c,
        .mount = 0x71,
        .stream = 0x72};
    fill(header.storage_uuid, 16, 0x80);
    fill(header.mount_uuid, 16, 0x90);
    return header;
}

TEST(a_segment_header_is_as_documented)
{
    static uint8_t page[LOG_PAGE];
    struct log_segment_header header = sample_segment();
    log_segment_encode(&header, page);
    const struct field fields[] = {{0, 4, LOG_SEGMENT_MAGIC},
        {4, 4, plain_crc(0, page + 8, LOG_PAGE - 8)}, {8, 4, 2}, {12, 4, 0x0a0b0c}, {16, 16, 0x80},
        {32, 16, 0x90}, {48, 8, 0x1112131415161718}, {56, 8, 0x2122232425262728},
        {64, 8, 0x3132333435363738}, {72, 8, 0x4142434445464748}, {80, 8, 0x5152535455565758},
        {88, 8, 0x6162636465666768}, {96, 1, 0x71}, {97, 1, 0x72}, {98, 3998, 0}};
    EXPECT_LAYOUT("### Segment header", fields, page, LOG_PAGE);
    EXPECT(memcmp(page, "CLS1", 4) == 0);
}

TEST(a_batch_header_is_as_documented)
{
    static uint8_t batch[2 * LOG_PAGE];
    struct log_segment_header segment = sample_segment();
    struct log_batch_header header = {.size = sizeof batch,
        .used = 5000,
        .record_count = 3,
        .first_lsn = 0x4142434445464749,
        .durable_lsn = 0x4142434445464748};
    fill(batch + LOG_BATCH_HEADER_SIZE, 5000 - LOG_BATCH_HEADER_SIZE, 1);
    log_batch_seal(batch, &header, &segment);
    uint8_t key[24];
    put_u64(key, segment.salt);
    put_u64(key + 8, segment.number);
    put_u64(key + 16, segment.incarnation);
    uint32_t crc = plain_crc(plain_crc(0, key, sizeof key), batch + 8, sizeof batch - 8);
    const struct field fields[] = {{0, 4, LOG_BATCH_MAGIC}, {4, 4, crc}, {8, 4, sizeof batch},
        {12, 4, 5000}, {16, 4, 3}, {20, 4, 0}, {24, 8, 0x4142434445464749},
        {32, 8, 0x4142434445464748}, {40, 8, segment.number}, {48, 8, segment.incarnation},
        {56, 8, 0}};
    EXPECT_LAYOUT("### Batch header", fields, batch, LOG_BATCH_HEADER_SIZE);
    EXPECT(memcmp(batch, "CLB1", 4) == 0);
}

static struct record sample_record(void)
{
    struct record record = {.lsn = 0x0102030405060708,
        .incarnation = 0x1112131415161718,
        .origin = 0x0a0b0c,
        .mount = 0x21,
        .stream = 0x22,
        .kind = RECORD_WRITE,
        .flags = RECORD_INLINE | RECORD_FREES,
        .identity = sample_identity,
        .version = {0x3132333435363738, 0x0d0e0f},
        .base = {0x4142434445464748, 0x0c0d0e},
        .time_ns = 0x5152535455565758,
        .watermark = 0x6162636465666768,
        .home = sample_place,
        .target = sample_place,
        .freed = sample_place,
        .content_offset = 0x7172737475767778,
        .total_size = 0x0192939495969798,
        .content_size = 5,
        .content_crc = 0xa1a2a3a4,
        .home_meta = span_of_text("home meta"),
        .target_meta = span_of_text("the target meta"),
        .entries = span_of_text("entry 1 entry 2 "),
        .content = span_of_text("bytes")};
    record.target.kind = PLACE_SINGLE;
    record.freed.chunk++;
    fill(record.nonce.bytes, 16, 0xb0);
    return record;
}

TEST(a_record_is_as_documented)
{
    uint8_t bytes[512], places[3][24];
    struct record record = sample_record();
    struct writer w = {bytes, sizeof bytes, 0, false};
    record_encode(&record, &w, NULL);
    static const char behind[] = "home metathe target metaentry 1 entry 2 bytes\0\0";
    EXPECT_EQ(w.size, (216 + 45 + 7) / 8 * 8);
    EXPECT(memcmp(bytes + 216, behind, w.size - 216) == 0);
    place_encode(&record.home, places[0]);
    place_encode(&record.target, places[1]);
    place_encode(&record.freed, places[2]);
    EXPECT(memcmp(bytes + 112, places, sizeof places) == 0);
    memset(bytes + 112, 0, sizeof places); /* compared; zeros for the table */
    uint32_t crc = get_u32(bytes + 4);
    const struct field fields[] = {{0, 4, w.size}, {4, 4, crc}, {8, 8, 0x0102030405060708},
        {16, 8, 0x1112131415161718}, {24, 4, 0x0a0b0c}, {28, 1, 0x21}, {29, 1, 0x22}, {30, 1, 3},
        {31, 1, 9}, {32, 8, sample_identity.clock}, {40, 4, 0x0a0b0c}, {44, 7, suffix_number},
        {51, 1, 0}, {52, 4, 0x0d0e0f}, {56, 8, 0x3132333435363738}, {64, 8, 0x4142434445464748},
        {72, 4, 0x0c0d0e}, {76, 2, 9}, {78, 2, 15}, {80, 16, 0xb0}, {96, 8, 0x5152535455565758},
        {104, 8, 0x6162636465666768}, {112, 24, 0}, {136, 24, 0}, {160, 24, 0},
        {184, 8, 0x7172737475767778}, {192, 8, 0x0192939495969798}, {200, 4, 5},
        {204, 4, 0xa1a2a3a4}, {208, 4, 2}, {212, 4, 0}};
    EXPECT_LAYOUT("### Record header", fields, bytes, RECORD_HEADER_SIZE);
    memcpy(bytes + 112, places, sizeof places);
    EXPECT_EQ(crc, plain_crc(0, bytes + 8, w.size - 8));
}

TEST(a_record_extension_is_as_documented)
{
    static uint8_t bytes[512];
    struct record record = {.kind = RECORD_UPLOAD,
        .flags = RECORD_EXTENDED,
        .source_incarnation = 0x0102030405060708,
        .source_lsn = 0x1112131415161718,
        .digest_delta = 0x2122232425262728,
        .live_delta = -1};
    struct writer w = {bytes, sizeof bytes, 0, false};
    record_encode(&record, &w, NULL);
    EXPECT_EQ(w.size, (size_t)RECORD_HEADER_SIZE + RECORD_EXTENSION_SIZE);
    const struct field fields[] = {{0, 8, 0x0102030405060708}, {8, 8, 0x1112131415161718},
        {16, 8, 0x2122232425262728}, {24, 1, 0xff}, {25, 15, 0}};
    EXPECT_LAYOUT(
        "### Record extension", fields, bytes + RECORD_HEADER_SIZE, RECORD_EXTENSION_SIZE);
}

TEST(kinds_and_flags_are_as_documented)
{
    static const struct {
        unsigned flag;
        const char *name;
    } flags[] = {{RECORD_INLINE, "INLINE"}, {RECORD_AT_TARGET, "AT_TARGET"},
        {RECORD_RENAMES, "RENAMES"}, {RECORD_FREES, "FREES"}, {RECORD_TAKES, "TAKES"},
        {RECORD_EXTENDED, "EXTENDED"}, {SLOT_DELETED, "DELETED"}, {SLOT_FORWARDED, "FORWARDED"},
        {SLOT_TARGET, "TARGET"}, {SLOT_MUTABLE, "MUTABLE"}, {SLOT_STALE, "STALE"},
        {SLOT_PUNCHED, "PUNCHED"}, {SLOT_CHANGING, "CHANGING"}};
    char line[128];
    for (uint8_t kind = 1; kind < RECORD_KIND_COUNT; kind++) {
        (void)snprintf(line, sizeof line, "\n| %u | %s |", kind, record_kind_name(kind));
        expect_line(line);
    }
    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        (void)snprintf(line, sizeof line, "\n| %u | %s |", flags[i].flag, flags[i].name);
        expect_line(line);
    }
    static const unsigned attributes[] = {
        ATTRIBUTE_POOL, ATTRIBUTE_CONTENT_TYPE, ATTRIBUTE_METADATA, ATTRIBUTE_EXPIRES};
    static const char *const names[] = {"pool", "content type", "metadata", "expires"};
    for (size_t i = 0; i < ARRAY_LEN(attributes); i++) {
        (void)snprintf(line, sizeof line, "\n| %u | %s, ", attributes[i], names[i]);
        expect_line(line);
    }
}

/* ---- slots ---- */

TEST(a_place_is_as_documented)
{
    uint8_t bytes[24];
    place_encode(&sample_place, bytes);
    const struct field fields[] = {{0, 1, 1}, {1, 1, 0x21}, {2, 1, 0x22}, {3, 3, 0x0a0b0c},
        {6, 3, 0x1234}, {9, 7, 0x51525354555657}, {16, 4, 0x31323334}, {20, 4, 0x41424340}};
    EXPECT_LAYOUT("### Place", fields, bytes, 24);
}

static struct slot_header sample_header(uint32_t slot_size, uint16_t attributes_size)
{
    struct slot_header header = {.identity = sample_identity,
        .version = {0x3132333435363738, 0x0d0e0f},
        .birth = {0x4142434445464748, 0x0c0d0e},
        .create_ns = 0x5152535455565758,
        .modify_ns = 0x6162636465666768,
        .size = 70000,
        .slot_size = slot_size,
        .content_crc = 0xa1a2a3a4,
        .attributes_size = attributes_size,
        .flags = SLOT_TARGET | SLOT_MUTABLE};
    fill(header.nonce.bytes, 16, 0xb0);
    return header;
}

static uint32_t meta_crc(const uint8_t *meta, uint32_t size, uint32_t seed)
{
    static uint8_t copy[4 + SLOT_META_MAX];
    put_u32(copy, seed);
    memcpy(copy + 4, meta, size);
    put_u32(copy + 8, 0);
    return plain_crc(0, copy, size + 4);
}

TEST(a_slot_header_is_as_documented)
{
    static const uint32_t table[] = {0xc1c2c3c4, 0xd1d2d3d4};
    static const uint32_t seed = 0xe1e2e3e4;
    uint8_t meta[SLOT_META_MAX], attributes[32];
    struct writer w = {attributes, sizeof attributes, 0, false};
    attribute_write(&w, ATTRIBUTE_POOL, span_of_text("photo"));
    attribute_write(&w, ATTRIBUTE_METADATA, span_of_text("xyz"));
    struct slot_header header = sample_header(70400, (uint16_t)w.size);
    uint32_t size = slot_meta_encode(&header, attributes, table, seed, meta);
    EXPECT_EQ(size, 128 + 14 + 8 + 2);
    EXPECT(memcmp(meta + 128, "\1\5\0photo\3\3\0xyz", 14) == 0);
    EXPECT_EQ(get_u32(meta + 142), table[0]);
    EXPECT_EQ(get_u32(meta + 146), table[1]);
    EXPECT_EQ(get_u16(meta + 150), 0);
    const struct field fields[] = {{0, 4, SLOT_MAGIC}, {4, 4, meta_crc(meta, size, seed)},
        {8, 8, sample_identity.clock}, {16, 4, 0x0a0b0c}, {20, 7, suffix_number}, {27, 1, 12},
        {28, 4, 1100}, {32, 8, 0x3132333435363738}, {40, 4, 0x0d0e0f}, {44, 4, 0xa1a2a3a4},
        {48, 8, 70000}, {56, 8, 0x5152535455565758}, {64, 8, 0x6162636465666768}, {72, 16, 0xb0},
        {88, 24, 0}, {112, 2, 14}, {114, 2, 0}, {116, 4, 0x0c0d0e}, {120, 8, 0x4142434445464748}};
    EXPECT_LAYOUT("### Slot header", fields, meta, SLOT_HEADER_SIZE);
    EXPECT(memcmp(meta, "CSL1", 4) == 0);
}

TEST(the_other_place_of_a_slot_is_where_the_document_says)
{
    uint8_t meta[SLOT_META_MAX], place[24];
    struct slot_header header = sample_header(256, 0);
    header.size = 100;
    header.other = sample_place;
    EXPECT_EQ(slot_meta_encode(&header, NULL, NULL, 1, meta), 128);
    place_encode(&sample_place, place);
    EXPECT(memcmp(meta + 88, place, sizeof place) == 0);
}

TEST(a_tombstone_is_as_documented)
{
    uint8_t meta[SLOT_META_MAX], nothing[SLOT_META_MAX] = {0};
    struct record record = sample_record();
    struct slot_header header;
    uint32_t need, size = packed_tombstone(&record, &sample_place, 5, meta);
    EXPECT_OK(slot_meta_decode(span_of(meta, size), 5, &header, &need));
    EXPECT_EQ(header.flags, SLOT_DELETED);
    EXPECT(identity_equals(&header.identity, &record.identity));
    EXPECT(version_equals(header.version, record.version));
    EXPECT(version_equals(header.birth, (struct version){sample_place.birth, 0x0a0b0c}));
    EXPECT(memcmp(header.nonce.bytes, record.nonce.bytes, 16) == 0);
    EXPECT_EQ(header.modify_ns, record.time_ns);
    EXPECT_EQ(header.slot_size, sample_place.slot_size);
    EXPECT_EQ(size, slot_meta_size(sample_place.slot_size, 0));
    EXPECT(memcmp(meta + 44, nothing, 20) == 0);                       /* content, created */
    EXPECT(memcmp(meta + 88, nothing, 28) == 0);                       /* other, attributes */
    EXPECT(memcmp(meta + 128, nothing, size - SLOT_HEADER_SIZE) == 0); /* table */
}

TEST(block_tables_begin_above_64_kib)
{
    EXPECT_EQ(slot_table_entries(65536), 0);
    EXPECT_EQ(slot_table_entries(65536 + 64), 2);
    EXPECT_EQ(slot_table_entries(SLOT_SIZE_MAX), 128);
    EXPECT_EQ(slot_capacity(65536, 0), 65536 - 128);
    EXPECT_EQ(slot_capacity(65536 + 64, 3), 65536 + 64 - 144);
    EXPECT_EQ(SLOT_META_MAX, 1672);
    EXPECT_EQ(SLOT_SIZE_MAX, 8 << 20);
}

/* ---- files ---- */

TEST(a_chunk_header_is_as_documented)
{
    uint8_t bytes[CHUNK_HEADER_BYTES];
    struct chunk_header header = {.key = {0x0a0b0c, 0x21, 0x22, 0x31323334},
        .chunk_size = 0x41424340,
        .seed = 0x51525354,
        .created_ns = 0x6162636465666768,
        .gone_birth = 0x7172737475767778};
    fill(header.storage_uuid, 16, 0x80);
    chunk_header_encode(&header, bytes);
    const struct field fields[] = {{0, 4, CHUNK_MAGIC},
        {4, 4, plain_crc(0, bytes + 8, sizeof bytes - 8)}, {8, 4, 1}, {12, 4, 0x0a0b0c},
        {16, 1, 0x21}, {17, 1, 0x22}, {18, 2, 0}, {20, 4, 0x31323334}, {24, 4, 0x41424340},
        {28, 4, 0x51525354}, {32, 8, 0x6162636465666768}, {40, 16, 0x80},
        {56, 8, 0x7172737475767778}, {64, 64, 0}};
    EXPECT_LAYOUT("## Chunk files", fields, bytes, CHUNK_HEADER_BYTES);
    EXPECT(memcmp(bytes, "CCH1", 4) == 0);
    EXPECT_EQ(CHUNK_HEADER_SIZE, 4096);
}

TEST(a_slot_map_is_as_documented)
{
    static uint8_t image[8192];
    static uint64_t memory[1024];
    struct slotmap_identity identity = {
        .origin = 0x0a0b0c, .chunk = 0x31323334, .chunk_size = 256 << 10, .mount = 9, .stream = 8};
    struct slotmap map;
    struct slotmap_release release;
    uint32_t offset, image_size = (uint32_t)slotmap_image_size(identity.chunk_size);
    EXPECT(slotmap_memory_size(identity.chunk_size) <= sizeof memory && image_size <= sizeof image);
    slotmap_init(&map, memory, &identity);
    EXPECT_OK(slotmap_allocate_tail(&map, 192, &offset));
    EXPECT_OK(slotmap_allocate_tail(&map, 640, &offset));
    EXPECT_OK(slotmap_release(&map, 4096, &release));
    EXPECT_EQ(slotmap_store(&map, image), 1);
    uint32_t crc = get_u32(image + 12);
    put_u32(image + 12, 0);
    EXPECT_EQ(crc, plain_crc(0, image, image_size));
    put_u32(image + 12, crc);
    const struct field fields[] = {{0, 8, 0x50414d4e52494143}, {8, 4, 1}, {12, 4, crc},
        {16, 4, 0x0a0b0c}, {20, 4, 0x31323334}, {24, 8, 1}, {32, 4, 256 << 10},
        {36, 4, 4096 + 192 + 640}, {40, 4, 1}, {44, 4, 10}, {48, 4, 1}, {52, 4, 3}, {56, 1, 9},
        {57, 1, 8}, {58, 6, 0}};
    EXPECT_LAYOUT("## Slot map", fields, image, SLOTMAP_IMAGE_HEADER_SIZE);
    uint32_t words = (256 << 10) / 64 / 64;
    EXPECT_EQ(get_u64(image + 64 + 8), 1 | 1 << 3);
    EXPECT_EQ(get_u64(image + 64 + 8 * words + 8), 1);
}

static struct source sample_source(uint32_t machine)
{
    struct source source = {.key = {machine, 0x51, 0x52},
        .incarnation = 99, /* where the follower is: not written */
        .lsn = 99,
        .coverage = {99, 98, 97},
        .kept_incarnation = 0x0102030405060708,
        .kept_lsn = 0x1112131415161718,
        .kept_coverage = {0x2122232425262728, 0x7172737475767778, 0x8182838485868788},
        .lost_clock = 0x9192939495969798,
        .gone_birth = 0x6162636465666768};
    source.singles[0] = (struct digest){0x3132333435363738, 0x41};
    source.singles[63] = (struct digest){0x5152535455565758, 0x61};
    return source;
}

enum {
    SAMPLE_CHECKPOINT = CHECKPOINT_HEADER_SIZE + SOURCE_IMAGE_SIZE + 2 * CHUNK_ENTRY_IMAGE_SIZE
};

static struct checkpoint_header sample_checkpoint(void)
{
    struct checkpoint_header header = {.generation = 0x0102030405060708,
        .lsn = 0x1112131415161718,
        .incarnation = 0x2122232425262728,
        .lease = 0x3132333435363738,
        .live_count = 0x4142434445464748,
        .machine = 0x0a0b0c,
        .mount = 0x51,
        .stream = 0x52,
        .is_clean = true,
        .next_chunk = 0x61626364,
        .active_chunk = 0x71727374,
        .sealing_chunk = 0x81828384,
        .next_chunk_ready = 0x91929394,
        .chunk_size = 0xa1a2a3a4,
        .source_count = 1,
        .chunk_count = 2};
    fill(header.storage_uuid, 16, 0x80);
    fill(header.mount_uuid, 16, 0x90);
    return header;
}

static void sample_checkpoint_entries(uint8_t *bytes)
{
    static const struct chunk_entry sample[] = {{.number = 0x01020304,
                                                    .end = 0x11121314,
                                                    .live_count = 0x21222324,
                                                    .free_bytes = 0x31323334},
        {.source = 0x0102, .number = 7, .is_unmapped = true, .digest = {0x4142434445464748, 0x51}}};
    struct chunk_entry entries[2];
    memcpy(entries, sample, sizeof entries);
    struct chunk_table table = {.entries = entries, .count = 2, .capacity = 2};
    struct source source = sample_source(0x0a0b0c);
    struct source_table sources = {.all = &source, .count = 1, .capacity = 1};
    struct writer w = {bytes, SAMPLE_CHECKPOINT, CHECKPOINT_HEADER_SIZE, false};
    source_table_encode(&sources, &w);
    chunk_table_encode(&table, &w);
    EXPECT(!w.failed && w.size == SAMPLE_CHECKPOINT);
}

TEST(the_entries_of_a_checkpoint_are_as_documented)
{
    uint8_t bytes[SAMPLE_CHECKPOINT];
    sample_checkpoint_entries(bytes);
    const struct field source[] = {{0, 4, 0x0a0b0c}, {4, 1, 0x51}, {5, 1, 0x52}, {6, 2, 0},
        {8, 8, 0x0102030405060708}, {16, 8, 0x1112131415161718}, {24, 8, 0x2122232425262728},
        {32, 8, 0x6162636465666768}, {40, 8, 0x7172737475767778}, {48, 8, 0x8182838485868788},
        {56, 8, 0x9192939495969798}, {64, 8, 0x3132333435363738}, {72, 8, 0x41}};
    EXPECT_LAYOUT("### Source entry", source, bytes + CHECKPOINT_HEADER_SIZE, 80);
    EXPECT_EQ(get_u64(bytes + CHECKPOINT_HEADER_SIZE + 64 + 63 * 16), 0x5152535455565758);
    EXPECT_EQ(get_u64(bytes + CHECKPOINT_HEADER_SIZE + 64 + 63 * 16 + 8), 0x61);
    const uint8_t *chunks = bytes + CHECKPOINT_HEADER_SIZE + SOURCE_IMAGE_SIZE;
    const struct field entry[] = {{0, 4, 0x01020304}, {4, 4, 0x11121314}, {8, 4, 0x21222324},
        {12, 4, 0x31323334}, {16, 2, 0}, {18, 2, 0}, {20, 4, 0}, {24, 8, 0}, {32, 8, 0}};
    EXPECT_LAYOUT("### Chunk entry", entry, chunks, CHUNK_ENTRY_IMAGE_SIZE);
    const struct field mirrored[] = {{0, 4, 7}, {4, 4, 0}, {8, 4, 0}, {12, 4, 0}, {16, 2, 0x0102},
        {18, 2, 1}, {20, 4, 0}, {24, 8, 0x4142434445464748}, {32, 8, 0x51}};
    EXPECT_LAYOUT(
        "### Chunk entry", mirrored, chunks + CHUNK_ENTRY_IMAGE_SIZE, CHUNK_ENTRY_IMAGE_SIZE);
}

TEST(a_checkpoint_is_as_documented)
{
    uint8_t bytes[SAMPLE_CHECKPOINT];
    sample_checkpoint_entries(bytes);
    struct checkpoint_header header = sample_checkpoint();
    checkpoint_seal(bytes, sizeof bytes, &header);
    const struct field fields[] = {{0, 4, CHECKPOINT_MAGIC},
        {4, 4, plain_crc(0, bytes + 8, sizeof bytes - 8)}, {8, 4, 2}, {12, 4, 0x0a0b0c},
        {16, 1, 0x51}, {17, 1, 0x52}, {18, 1, 1}, {19, 1, 0}, {20, 4, 0x61626364},
        {24, 8, 0x0102030405060708}, {32, 8, 0x1112131415161718}, {40, 8, 0x2122232425262728},
        {48, 8, 0x3132333435363738}, {56, 8, 0x4142434445464748}, {64, 4, 1},
        {68, 4, SAMPLE_CHECKPOINT - 160}, {72, 4, 0x71727374}, {76, 4, 0xa1a2a3a4}, {80, 4, 2},
        {84, 4, 0x81828384}, {88, 16, 0x80}, {104, 16, 0x90}, {120, 4, 0x91929394}, {124, 36, 0}};
    EXPECT_LAYOUT("## Checkpoints", fields, bytes, CHECKPOINT_HEADER_SIZE);
    uint8_t longer[sizeof bytes + 9] = {0};
    memcpy(longer, bytes, sizeof bytes);
    longer[sizeof bytes] = 0xff; /* of a checkpoint that was longer */
    EXPECT_OK(checkpoint_open(span_of(longer, sizeof longer), &header));
    EXPECT_EQ(header.format, 2);
    EXPECT_EQ(header.source_count, 1);
    EXPECT_EQ(checkpoint_chunks_at(&header), 160 + SOURCE_IMAGE_SIZE);
    EXPECT_ERR(checkpoint_open(span_of(bytes, sizeof bytes - 1), &header), CORRUPT);
    EXPECT(memcmp(bytes, "CCP1", 4) == 0);
}

static void reseal(uint8_t *bytes, size_t size)
{
    put_u32(bytes + 4, plain_crc(0, bytes + 8, size - 8));
}

TEST(a_checkpoint_of_a_later_format_is_refused_and_a_damaged_one_is_not_taken_for_it)
{
    uint8_t bytes[SAMPLE_CHECKPOINT];
    sample_checkpoint_entries(bytes);
    struct checkpoint_header header = sample_checkpoint();
    checkpoint_seal(bytes, sizeof bytes, &header);
    put_u32(bytes + 8, 3);
    EXPECT_ERR(checkpoint_open(span_of(bytes, sizeof bytes), &header), CORRUPT);
    reseal(bytes, sizeof bytes);
    EXPECT_ERR(checkpoint_open(span_of(bytes, sizeof bytes), &header), FORMAT);
    put_u32(bytes + 8, 2);
    put_u32(bytes + 64, 2); /* more sources than there are bytes */
    reseal(bytes, sizeof bytes);
    EXPECT_ERR(checkpoint_open(span_of(bytes, sizeof bytes), &header), CORRUPT);
}

TEST(the_entries_of_a_checkpoint_are_read_as_they_were_written)
{
    uint8_t bytes[SAMPLE_CHECKPOINT];
    sample_checkpoint_entries(bytes);
    struct source sources[2] = {{.key = {0x0a0b0c, 0x51, 0x52}}};
    struct source_table table = {.all = sources, .count = 1, .capacity = 2};
    struct reader r = {bytes, sizeof bytes, CHECKPOINT_HEADER_SIZE, false};
    EXPECT_OK(source_table_decode(&table, 1, &r));
    EXPECT_EQ(sources[0].lsn, 0x1112131415161718);
    EXPECT_EQ(sources[0].kept_incarnation, 0x0102030405060708);
    EXPECT_EQ(sources[0].coverage.watermark, 0x2122232425262728);
    EXPECT_EQ(sources[0].singles[63].sum, 0x5152535455565758);
    struct chunk_entry entries[2];
    struct chunk_table chunks = {.entries = entries, .capacity = 2};
    struct reader first = r;
    EXPECT_ERR(chunk_table_decode(&chunks, 2, 1, 2, &r), CORRUPT); /* there is no source 0x102 */
    chunks.count = 0;
    EXPECT_OK(chunk_table_decode(&chunks, 2, 0x103, 2, &first));
    EXPECT_EQ(chunk_table_find(&chunks, 0x0102, 7)->digest.count, 0x51);
    EXPECT(chunk_table_find(&chunks, 0x0102, 7)->is_unmapped);
    EXPECT(!chunk_table_find(&chunks, 0, 0x01020304)->is_unmapped);
    EXPECT_EQ(chunk_table_find(&chunks, 0, 0x01020304)->free_bytes, 0x31323334);
    EXPECT(chunk_table_find(&chunks, 0, 7) == NULL);
}

TEST(sources_of_another_stream_or_more_than_fit_are_refused)
{
    uint8_t bytes[SAMPLE_CHECKPOINT];
    sample_checkpoint_entries(bytes);
    struct source sources[1] = {{.key = {1, 0x51, 0x52}}};
    struct source_table table = {.all = sources, .count = 1, .capacity = 1};
    struct reader r = {bytes, sizeof bytes, CHECKPOINT_HEADER_SIZE, false};
    EXPECT_ERR(source_table_decode(&table, 2, &r), BUSY);
    EXPECT_ERR(source_table_decode(&table, 0, &r), CORRUPT);
    EXPECT_ERR(source_table_decode(&table, 1, &r), FOREIGN);
    struct reader cut = {bytes, CHECKPOINT_HEADER_SIZE + 70, CHECKPOINT_HEADER_SIZE, false};
    EXPECT_ERR(source_table_decode(&table, 1, &cut), CORRUPT);
}

/* As a second implementation would compute it: Python, from the document alone. */
TEST(the_digest_of_a_file_is_as_documented)
{
    const struct identity identity = {
        .clock = 0x1122334455667788 & ((1ull << 55) - 1), .origin = 7, .suffix = "abc.jpg"};
    const struct version version = {3, 9};
    EXPECT_EQ(file_digest(&identity, version, 1234567, 0xcafebabe), UINT64_C(0xc4f7d274282a30ef));
}

static struct mount_image sample_mount(void)
{
    struct mount_image image = {.generation = 0x0102030405060708,
        .identity = {.machine = 0x0a0b0c, .index = 9, .group = "g1"},
        .shape = {4, 0x01020300, 0x00102000, 0x1112131415161718, 0x2122232425262728},
        .status = {0x3132333435363738, 0x4142434445464748, 0x5152535455565758, 0x6162636465666768,
            0x7172737475767778, true, true}};
    fill(image.identity.cluster_uuid, 16, 0x80);
    fill(image.identity.storage_uuid, 16, 0x90);
    fill(image.identity.mount_uuid, 16, 0xa0);
    memcpy(image.witness[9].mount_uuid, image.identity.mount_uuid, 16);
    image.witness[9].generation = image.generation;
    image.witness[255].generation = 0x81;
    return image;
}

TEST(a_copy_in_cairn_mount_is_as_documented)
{
    static uint8_t bytes[MOUNT_COPY_SIZE];
    struct mount_image image = sample_mount();
    mount_image_encode(&image, bytes);
    uint32_t crc = get_u32(bytes + 12);
    put_u32(bytes + 12, 0);
    EXPECT_EQ(crc, plain_crc(0, bytes, sizeof bytes));
    put_u32(bytes + 12, crc);
    EXPECT(memcmp(bytes + 80, "g1", 2) == 0);
    memset(bytes + 80, 0, 2); /* compared; zeros for the table */
    const struct field fields[] = {{0, 8, 0x544e4d4e52494143}, {8, 4, 1}, {12, 4, crc},
        {16, 8, 0x0102030405060708}, {24, 16, 0x80}, {40, 16, 0x90}, {56, 16, 0xa0},
        {72, 4, 0x0a0b0c}, {76, 2, 9}, {78, 2, 4}, {80, 24, 0}, {104, 4, 0x01020300},
        {108, 4, 0x00102000}, {112, 8, 0x1112131415161718}, {120, 8, 0x2122232425262728},
        {128, 8, 0x3132333435363738}, {136, 8, 0x4142434445464748}, {144, 8, 0x5152535455565758},
        {152, 8, 0x6162636465666768}, {160, 8, 0x7172737475767778}, {168, 4, 3}, {172, 4, 0},
        {176, 1872, 0}};
    EXPECT_LAYOUT("## Mount point", fields, bytes, 2048);
    EXPECT_EQ(bytes[2048 + 9 * 24], 0xa0);
    EXPECT_EQ(get_u64(bytes + 2048 + 9 * 24 + 16), image.generation);
    EXPECT_EQ(bytes[2048 + 255 * 24 + 16], 0x81);
}

TEST(content_of_a_single_file_lies_where_the_document_says)
{
    static const uint64_t group = 66584576;
    EXPECT_EQ(blocks_file_offset(0), 8192);
    EXPECT_EQ(blocks_file_offset(group - 1), 8192 + group - 1);
    EXPECT_EQ(blocks_file_offset(group), 4096 * 3 + group);
    EXPECT_EQ(blocks_file_size(0), 4096);
    EXPECT_EQ(blocks_entry_place(1015).page_offset, 4096);
    EXPECT_EQ(blocks_entry_place(1015).index, 1015);
    EXPECT_EQ(blocks_entry_place(1016).page_offset, 4096 + 66588672);
    EXPECT_EQ(blocks_entry_place(1016).index, 0);
    EXPECT_EQ(BLOCKS_PAGE_HEADER_SIZE, 32);
}

TEST(names_are_as_documented)
{
    char path[SINGLE_PATH_MAX], chunk[CHUNK_NAME_MAX], log[LOG_NAME_MAX], at[CHECKPOINT_NAME_MAX];
    single_path(path, &sample_identity);
    EXPECT_TEXT(path, "singles/66/0a0b0c-00112233445566");
    single_new_path(path, 3, &sample_identity, (struct version){0x2a, 10});
    EXPECT_TEXT(path, "new/03/0a0b0c-00112233445566.2a-a");
    chunk_path(chunk, &(struct chunk_key){0x0a0b0c, 1, 2, 0x1f});
    EXPECT_TEXT(chunk, "chunks/0a0b0c-01-02-0000001f");
    binlog_segment_path(log, 3, 0x1f);
    EXPECT_TEXT(log, "log/03/000000000000001f");
    checkpoint_path(at, 3, 7);
    EXPECT_TEXT(at, "ckpt/03.1");
}

TEST(members_are_as_documented)
{
    static uint8_t copy[MEMBERS_COPY_SIZE];
    struct members_image image = {
        .generation = 0x1112131415161718, .machine = 0x0a0b0c, .is_draining = true, .count = 1};
    struct members_entry *entry = &image.entries[0];
    *entry = (struct members_entry){
        .machine = 0x0d0e0f, .address = {.port = 0x1e1f, .family = 6}, .is_removed = true};
    fill(image.storage_uuid, 16, 0x80);
    fill(entry->address.bytes, 16, 0x40);
    fill(entry->uuid, 16, 0x90);
    members_image_encode(&image, copy);
    uint8_t plain[MEMBERS_COPY_SIZE];
    memcpy(plain, copy, sizeof plain);
    put_u32(plain + 12, 0);
    const struct field head[] = {{0, 8, 0x4d454d4e52494143}, {8, 4, 1},
        {12, 4, plain_crc(0, plain, sizeof plain)}, {16, 8, image.generation}, {24, 16, 0x80},
        {40, 4, 0x0a0b0c}, {44, 4, 1}, {48, 4, 1}, {52, 12, 0}};
    EXPECT_LAYOUT("## Members", head, copy, 64);
    const struct field fields[] = {{0, 4, 0x0d0e0f}, {4, 1, 1}, {5, 1, 6}, {6, 2, 0x1e1f},
        {8, 16, 0x40}, {24, 16, 0x90}, {40, 24, 0}};
    EXPECT_LAYOUT("### Member entry", fields, copy + 64, 64);
}

TEST(the_list_of_maps_is_as_documented)
{
    static uint8_t copy[MEMBERS_COPY_SIZE];
    struct names_image image = {.generation = 0x1112131415161718, .machine = 0x0a0b0c, .count = 1};
    fill(image.storage_uuid, 16, 0x80);
    memcpy(image.maps[0], "ABCDEFGH", 9);
    names_image_encode(&image, copy);
    uint8_t plain[MEMBERS_COPY_SIZE];
    memcpy(plain, copy, sizeof plain);
    put_u32(plain + 12, 0);
    const struct field head[] = {{0, 8, 0x4d414e4e52494143}, {8, 4, 1},
        {12, 4, plain_crc(0, plain, sizeof plain)}, {16, 8, image.generation}, {24, 16, 0x80},
        {40, 4, 0x0a0b0c}, {44, 4, 1}, {48, 16, 0}};
    EXPECT_LAYOUT("## Names", head, copy, 64);
    EXPECT(memcmp(copy + 64, "ABCDEFGH\0", 9) == 0);
}

TEST(maps_of_names_are_as_documented)
{
    static uint8_t page[NAMES_PAGE_SIZE];
    struct names_key key = {.has_rest = true};
    fill(key.bytes, 16, 0x40);
    fill(key.rest, 7, 0x60);
    names_page_init(page);
    uint8_t id[NAMES_ID_MAX];
    fill(id, sizeof id, 0x10);
    for (int i = 0; i <= NAMES_PAGE_ENTRIES; i++)
        EXPECT_EQ(names_page_add(page, &key, span_of(id, sizeof id)), i < NAMES_PAGE_ENTRIES);
    const struct field head[] = {
        {0, 4, 0x504d4e43}, {4, 2, 1}, {6, 2, NAMES_PAGE_ENTRIES}, {8, 1, 1}, {9, 55, 0}};
    EXPECT_LAYOUT("## Maps of names", head, page, 64);
    const struct field entry[] = {
        {0, 16, 0x40}, {16, 7, 0x66656463626160}, {23, 1, 60}, {24, 60, 0x10}};
    EXPECT_LAYOUT("### Name entry", entry, page + 64 + 84, 84);
}
