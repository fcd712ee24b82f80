#include "wire/fid.h"

#include "base/prng.h"
#include "tests/lib/test.h"
#include "wire/base64url.h"

#define PUBLISHED_PACKED "group1/M0A/03/04/oYYBAGux3ICYKjtMAAAAHm7i4hcAQIDBAAQAEAAAACA444.txt"
#define PUBLISHED_SINGLE "group1/M0A/03/4C/oYYBAGux3ICUKjtMAAAAAG7i4hc444.txt"
#define PUBLISHED_LARGEST \
    "ABCDEFGHIJKLMNOP/MFF/FF/FF/____AP____-Yf_____________8_________8AAAABA.abc-_9"

static struct fid sample_packed(void)
{
    return (struct fid){
        .group = "group1",
        .identity = {.clock = UINT64_C(0x6bb1dc80) << 23 | 0x2a3b4c,
            .origin = 100001,
            .suffix = "444.txt"},
        .size = 30,
        .crc = 0x6ee2e217,
        .chunk = 0x01020304,
        .offset = 0x00100040,
        .slot_size = 0x80,
        .mount = 0x0a,
        .stream = 3,
        .is_packed = true,
    };
}

static struct fid sample_single(void)
{
    struct fid fid = sample_packed();
    fid.is_packed = false;
    fid.chunk = fid.offset = fid.slot_size = 0;
    fid.is_mutable = true;
    fid.size = 0;
    return fid;
}

static bool fids_equal(const struct fid *a, const struct fid *b)
{
    return strcmp(a->group, b->group) == 0 && identity_equals(&a->identity, &b->identity)
           && a->size == b->size && a->crc == b->crc && a->chunk == b->chunk
           && a->offset == b->offset && a->slot_size == b->slot_size && a->mount == b->mount
           && a->stream == b->stream && a->is_mutable == b->is_mutable
           && a->is_packed == b->is_packed;
}

static err_t parse(const char *text)
{
    struct fid fid;
    return fid_parse(span_of_text(text), &fid);
}

static void random_name(struct prng *random, char *ret, size_t length)
{
    static const char alphabet[] = "abcxyzABCXYZ0189";
    for (size_t i = 0; i < length; i++)
        ret[i] = alphabet[prng_below(random, sizeof alphabet - 1)];
    ret[length] = '\0';
}

static struct fid random_fid(struct prng *random)
{
    struct fid fid = {
        .is_packed = prng_chance(random, 500000), .is_mutable = prng_chance(random, 500000)};
    random_name(random, fid.group, 1 + prng_below(random, GROUP_NAME_MAX));
    char suffix[SUFFIX_MAX + 1];
    random_name(random, suffix, prng_below(random, SUFFIX_MAX + 1));
    suffix_part(span_of_text(suffix), prng_next(random), fid.identity.suffix);
    fid.identity.clock = prng_next(random) & FID_CLOCK_MAX;
    fid.identity.origin = 1 + (uint32_t)prng_below(random, MACHINE_MAX);
    fid.size = fid.is_mutable ? 0 : (uint32_t)prng_next(random);
    fid.crc = (uint32_t)prng_next(random);
    fid.mount = (uint8_t)prng_next(random);
    fid.stream = (uint8_t)prng_next(random);
    if (fid.is_packed) {
        fid.chunk = 1 + (uint32_t)prng_below(random, UINT32_MAX);
        fid.offset = (uint32_t)prng_below(random, UINT32_MAX) & ~63u;
        uint64_t room = (UINT64_C(1) << 32) - fid.offset;
        fid.slot_size = (uint32_t)(prng_below(random, room / 64) + 1) * 64;
        if (fid.slot_size == 0)
            fid.slot_size = 64;
    }
    return fid;
}

TEST(random_ids_survive_a_round_trip)
{
    struct prng random;
    prng_init(&random, 1);
    for (int i = 0; i < 20000; i++) {
        struct fid in = random_fid(&random), out;
        char text[FID_TEXT_MAX], again[FID_TEXT_MAX];
        size_t length = fid_format(&in, text);
        EXPECT_EQ(strlen(text), length);
        EXPECT(length <= 77);
        EXPECT_OK(fid_parse(span_of(text, length), &out));
        EXPECT(fids_equal(&in, &out));
        EXPECT_EQ(fid_format(&out, again), length);
        EXPECT_TEXT(again, text);
    }
}

/* Published ids never change their meaning: these texts are in people's databases. */
TEST(published_ids_keep_their_text)
{
    struct fid packed = sample_packed(), single = sample_single(), largest = sample_single(), out;
    char text[FID_TEXT_MAX];
    (void)fid_format(&packed, text);
    EXPECT_TEXT(text, PUBLISHED_PACKED);
    EXPECT_OK(fid_parse(span_of_text(PUBLISHED_PACKED), &out));
    EXPECT(fids_equal(&packed, &out));
    (void)fid_format(&single, text);
    EXPECT_TEXT(text, PUBLISHED_SINGLE);
    EXPECT_OK(fid_parse(span_of_text(PUBLISHED_SINGLE), &out));
    EXPECT(fids_equal(&single, &out));
    largest = (struct fid){
        .group = "ABCDEFGHIJKLMNOP",
        .identity = {FID_CLOCK_MAX, MACHINE_MAX, ".abc-_9"},
        .size = FID_SIZE_MAX,
        .crc = UINT32_MAX,
        .chunk = UINT32_MAX,
        .offset = 0xffffffc0,
        .slot_size = 64,
        .mount = 255,
        .stream = 255,
        .is_packed = true,
    };
    EXPECT_EQ(fid_format(&largest, text), 77);
    EXPECT_TEXT(text, PUBLISHED_LARGEST);
    EXPECT_OK(fid_parse(span_of_text(PUBLISHED_LARGEST), &out));
    EXPECT(fids_equal(&largest, &out));
}

/* What a FastDFS client does with a file name (fact sheet, section 5), on its own reading. */
struct fastdfs_view {
    uint32_t source_id;
    uint32_t unix_seconds;
    uint64_t size; /* of a normal or trunk file */
    uint32_t crc;
    bool is_appender, is_trunk, is_slave;
};

static struct fastdfs_view fastdfs_decode(const char *id)
{
    uint8_t core[20];
    struct fastdfs_view view = {};
    const char *name = strchr(id, '/') + 1; /* M00/HH/HH/... */
    EXPECT(base64url_decode(span_of(name + 10, 27), core, 20));
    EXPECT_EQ(core[3], 0); /* that is how a reader tells an id from an IPv4 address */
    view.source_id = get_u32(core);
    view.unix_seconds = get_u32_be(core + 4);
    uint64_t word = get_u64_be(core + 8);
    view.is_appender = (word & UINT64_C(1) << 58) != 0;
    view.is_trunk = (word & UINT64_C(1) << 59) != 0;
    view.size = word >> 63 ? word & UINT32_MAX : word;
    view.crc = get_u32_be(core + 16);
    size_t length = strlen(name);
    view.is_slave = length > 60 || (length > 44 && !view.is_trunk);
    return view;
}

TEST(a_fastdfs_client_reads_source_time_size_and_crc_from_our_ids)
{
    struct prng random;
    prng_init(&random, 2);
    for (int i = 0; i < 5000; i++) {
        struct fid fid = random_fid(&random);
        char text[FID_TEXT_MAX];
        (void)fid_format(&fid, text);
        struct fastdfs_view view = fastdfs_decode(text);
        EXPECT_EQ(view.source_id, fid.identity.origin);
        EXPECT_EQ(view.unix_seconds, fid.identity.clock >> 23);
        EXPECT_EQ(view.crc, fid.crc);
        EXPECT_EQ(view.size, fid.size);
        EXPECT_EQ(view.is_appender, fid.is_mutable);
        EXPECT_EQ(view.is_trunk, fid.is_packed);
        EXPECT(!view.is_slave);
    }
}

TEST(a_size_of_4_gib_takes_the_appender_form)
{
    struct fid fid = sample_single(), out;
    char text[FID_TEXT_MAX];
    fid.is_mutable = false;
    fid.size = UINT64_C(0xffffffff);
    (void)fid_format(&fid, text);
    EXPECT_OK(fid_parse(span_of_text(text), &out));
    EXPECT_EQ(out.size, UINT64_C(0xffffffff));
    EXPECT(!out.is_mutable);
    fid.size = UINT64_C(1) << 32;
    (void)fid_format(&fid, text);
    EXPECT_OK(fid_parse(span_of_text(text), &out));
    EXPECT_EQ(out.size, 0);
    EXPECT(out.is_mutable);
    EXPECT(fastdfs_decode(text).is_appender);
}

TEST(an_id_cut_anywhere_is_refused)
{
    static const char *const ids[] = {PUBLISHED_PACKED, PUBLISHED_SINGLE, PUBLISHED_LARGEST};
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        for (size_t size = 0; size < strlen(ids[i]); size++) {
            char *copy = malloc(size + 1); /* its own block: sanitizers see its end */
            EXPECT(copy != NULL);
            memcpy(copy, ids[i], size);
            struct fid fid;
            err_t err = fid_parse(span_of(copy, size), &fid);
            free(copy);
            EXPECT_ERR(err, USAGE);
        }
    }
}

TEST(an_id_with_something_behind_it_is_refused)
{
    EXPECT_ERR(parse(PUBLISHED_PACKED "x"), USAGE);
    EXPECT_ERR(parse(PUBLISHED_SINGLE "/"), USAGE);
    EXPECT_ERR(
        fid_parse(span_of(PUBLISHED_SINGLE, sizeof PUBLISHED_SINGLE), &(struct fid){}), USAGE);
    EXPECT_ERR(parse(" " PUBLISHED_SINGLE), USAGE);
}

/* Every byte of an id replaced by every byte: what is still an id has that one spelling. */
TEST(every_changed_byte_is_refused_or_means_another_id)
{
    static const char *const ids[] = {PUBLISHED_PACKED, PUBLISHED_SINGLE};
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        for (size_t at = 0; at < strlen(ids[i]); at++) {
            for (int byte = 0; byte < 256; byte++) {
                char text[FID_TEXT_MAX], again[FID_TEXT_MAX];
                (void)snprintf(text, sizeof text, "%s", ids[i]);
                text[at] = (char)byte;
                struct fid fid;
                if (err_is(fid_parse(span_of(text, strlen(ids[i])), &fid)))
                    continue;
                EXPECT_EQ(fid_format(&fid, again), strlen(ids[i]));
                EXPECT(memcmp(text, again, strlen(ids[i])) == 0);
            }
        }
    }
}

TEST(paths_that_climb_are_refused)
{
    static const char *const tries[] = {
        "",
        "/",
        "..",
        "../",
        "group1/../../etc/passwd",
        "group1/M00/../../etc/passwd",
        "../M0A/03/04/oYYBAGux3ICYKjtMAAAAHm7i4hcBAgMEABAAQAAAAIA444.txt",
        "group1/M0A/../04/oYYBAGux3ICYKjtMAAAAHm7i4hcBAgMEABAAQAAAAIA444.txt",
        "group1//M0A/03/04/x",
        "/group1/M0A/03/04/x",
        "group1/M0A/03/04/",
        "group1/M0A/03/04",
        "group1/M0A/03/04/../../../../../../../../etc/passwd",
        "group.1/M00/00/00/x",
        "group_1/M00/00/00/x",
        "/M00/00/00/x",
        "abcdefghijklmnopq/M00/00/00/x",
    };
    for (size_t i = 0; i < ARRAY_LEN(tries); i++)
        EXPECT_ERR(parse(tries[i]), USAGE);
}

static err_t parse_replaced(const char *id, size_t at, const char *part)
{
    char text[FID_TEXT_MAX];
    (void)snprintf(text, sizeof text, "%s", id);
    memcpy(text + at, part, strlen(part));
    return parse(text);
}

TEST(foreign_alphabets_are_refused)
{
    /* group1/M0A/03/04/... : group at 0, M at 7, hex at 8, 11, 14; base64 at 17, 44; suffix at 60 */
    EXPECT_ERR(parse_replaced(PUBLISHED_PACKED, 0, "gr-up1"), USAGE);
    EXPECT_ERR(parse_replaced(PUBLISHED_PACKED, 7, "N"), USAGE);
    EXPECT_ERR(parse_replaced(PUBLISHED_PACKED, 7, "m"), USAGE);
    EXPECT_ERR(parse_replaced(PUBLISHED_PACKED, 8, "0a"), USAGE); /* lower case */
    EXPECT_ERR(parse_replaced(PUBLISHED_PACKED, 8, "0G"), USAGE);
    EXPECT_ERR(parse_replaced(PUBLISHED_PACKED, 11, "+3"), USAGE);
    EXPECT_ERR(parse_replaced(PUBLISHED_PACKED, 20, "+"), USAGE); /* the other base64 */
    EXPECT_ERR(parse_replaced(PUBLISHED_PACKED, 20, "/"), USAGE);
    EXPECT_ERR(parse_replaced(PUBLISHED_PACKED, 43, "="), USAGE);
    EXPECT_ERR(parse_replaced(PUBLISHED_PACKED, 50, "="), USAGE);
    EXPECT_ERR(parse_replaced(PUBLISHED_PACKED, 60, "a"), USAGE);
    EXPECT_ERR(parse_replaced(PUBLISHED_PACKED, 60, "44444.."), USAGE);
    EXPECT_ERR(parse_replaced(PUBLISHED_PACKED, 60, "444444."), USAGE);
    EXPECT_ERR(parse_replaced(PUBLISHED_PACKED, 60, "44.a/b."), USAGE);
    EXPECT_ERR(parse_replaced(PUBLISHED_PACKED, 60, "44.a..b"), USAGE);
    EXPECT_ERR(parse_replaced(PUBLISHED_PACKED, 60, "44.ab.."), USAGE);
    EXPECT_ERR(parse_replaced(PUBLISHED_PACKED, 60, "44..abc"), USAGE);
    EXPECT_OK(parse_replaced(PUBLISHED_PACKED, 60, "44.a.bc"));
    EXPECT_OK(parse_replaced(PUBLISHED_PACKED, 60, "4444444"));
    EXPECT_OK(parse_replaced(PUBLISHED_PACKED, 60, ".A_-zz9"));
}

/* The 20 and 12 bytes behind the text, so that fields can be set that fid_format would refuse. */
struct raw {
    uint8_t core[20], place[12];
    const char *low;
    bool is_packed;
};

static struct raw raw_sample(void)
{
    struct raw raw = {.low = "04", .is_packed = true};
    EXPECT(base64url_decode(span_of(&PUBLISHED_PACKED[17], 27), raw.core, 20));
    EXPECT(base64url_decode(span_of(&PUBLISHED_PACKED[44], 16), raw.place, 12));
    return raw;
}

static err_t raw_parse(const struct raw *raw)
{
    char text[FID_TEXT_MAX] = "", core[28] = "", place[17] = "";
    base64url_encode(raw->core, 20, core);
    if (raw->is_packed)
        base64url_encode(raw->place, 12, place);
    (void)snprintf(text, sizeof text, "group1/M0A/03/%s/%s%s444.txt", raw->low, core, place);
    return parse(text);
}

static err_t parse_with_origin(uint32_t origin)
{
    struct raw raw = raw_sample();
    put_u32(raw.core, origin);
    return raw_parse(&raw);
}

TEST(the_origin_must_be_a_machine_number)
{
    EXPECT_ERR(parse_with_origin(0), USAGE);
    EXPECT_OK(parse_with_origin(1));
    EXPECT_OK(parse_with_origin(MACHINE_MAX));
    EXPECT_ERR(parse_with_origin(MACHINE_MAX + 1), USAGE);
    EXPECT_ERR(parse_with_origin(0x7f000001), USAGE);
}

static err_t parse_with_word(uint64_t word, bool is_packed)
{
    struct raw raw = raw_sample();
    raw.is_packed = is_packed;
    if (!is_packed)
        raw.low = "56";
    put_u64_be(raw.core + 8, word);
    return raw_parse(&raw);
}

TEST(the_size_word_must_be_ours)
{
    const uint64_t sequence = UINT64_C(0x123456) << 32, size = 30;
    const uint64_t native = UINT64_C(9) << 60 | sequence, packed = UINT64_C(1) << 59;
    EXPECT_OK(parse_with_word(native | packed | size, true));
    EXPECT_OK(parse_with_word(native | size, false));
    EXPECT_OK(parse_with_word(native | UINT64_C(1) << 58, false));
    EXPECT_ERR(parse_with_word(native | UINT64_C(1) << 58 | size, false), USAGE);
    EXPECT_ERR(parse_with_word(native | size, true), USAGE); /* 16 more characters, not packed */
    EXPECT_ERR(parse_with_word(native | packed | size, false), USAGE);
    EXPECT_ERR(parse_with_word(UINT64_C(1) << 60 | sequence | size, false), USAGE); /* no bit 63 */
    for (int bit = 55; bit <= 57; bit++)
        EXPECT_ERR(parse_with_word(native | size | UINT64_C(1) << bit, false), USAGE);
}

TEST(ids_of_fastdfs_and_of_other_formats_are_unsupported)
{
    const uint64_t sequence = UINT64_C(0x123456) << 32;
    EXPECT_ERR(parse("group1/M00/00/00/fwAAUmsDsdyAUAdeAAAAbui4hZc444.txt"), UNSUPPORTED);
    EXPECT_ERR(parse("group1/M00/00/00/fwAAUmsDsdyAUAdeAAAAbui4hZc444_big.txt"), UNSUPPORTED);
    EXPECT_ERR(parse_with_word(UINT64_C(5) << 32, false), UNSUPPORTED); /* FastDFS, over 4 GiB */
    for (uint64_t format = 2; format <= 7; format++)
        EXPECT_ERR(
            parse_with_word(UINT64_C(1) << 63 | format << 60 | sequence, false), UNSUPPORTED);
}

static err_t parse_with_place(uint32_t chunk, uint32_t offset, uint32_t slot_size)
{
    struct raw raw = raw_sample();
    put_u32_be(raw.place, chunk);
    put_u32_be(raw.place + 4, offset);
    put_u32_be(raw.place + 8, slot_size);
    raw.low = (chunk & 255) == 0 ? "00" : (chunk & 255) == 255 ? "FF" : "01";
    return raw_parse(&raw);
}

TEST(the_place_must_lie_in_a_chunk_file)
{
    EXPECT_OK(parse_with_place(1, 0, 64));
    EXPECT_ERR(parse_with_place(0, 0, 64), USAGE);
    EXPECT_OK(parse_with_place(UINT32_MAX, 0, 64));
    EXPECT_OK(parse_with_place(256, 0, 64));
    EXPECT_ERR(parse_with_place(1, 1, 64), USAGE);
    EXPECT_ERR(parse_with_place(1, 63, 64), USAGE);
    EXPECT_ERR(parse_with_place(1, 0, 0), USAGE);
    EXPECT_ERR(parse_with_place(1, 0, 65), USAGE);
    EXPECT_OK(parse_with_place(1, 0xffffffc0, 64)); /* ends at 4 GiB exactly */
    EXPECT_ERR(parse_with_place(1, 0xffffffc0, 128), USAGE);
    EXPECT_OK(parse_with_place(1, 64, 0xffffffc0));
    EXPECT_ERR(parse_with_place(1, 128, 0xffffffc0), USAGE);
}

TEST(the_directory_must_agree_with_the_chunk_or_the_clock)
{
    EXPECT_ERR(parse_replaced(PUBLISHED_PACKED, 14, "05"), USAGE);
    EXPECT_ERR(parse_replaced(PUBLISHED_SINGLE, 14, "05"), USAGE);
}

TEST(the_result_is_left_alone_on_failure)
{
    struct fid fid = sample_packed(), before = fid;
    EXPECT_ERR(fid_parse(span_of_text(PUBLISHED_SINGLE "x"), &fid), USAGE);
    EXPECT(fids_equal(&fid, &before));
}

TEST(group_names_are_letters_and_digits)
{
    EXPECT(group_name_is_valid(span_of_text("a")));
    EXPECT(group_name_is_valid(span_of_text("ABCDEFGHIJKLMN09")));
    EXPECT(!group_name_is_valid(span_of_text("")));
    EXPECT(!group_name_is_valid(span_of(NULL, 0)));
    EXPECT(!group_name_is_valid(span_of_text("ABCDEFGHIJKLMN09x")));
    EXPECT(!group_name_is_valid(span_of_text("a b")));
    EXPECT(!group_name_is_valid(span_of_text("a-b")));
    EXPECT(!group_name_is_valid(span_of("a\0b", 3)));
}

TEST(suffix_parts_are_digits_a_dot_and_the_suffix)
{
    char part[SUFFIX_FIELD + 1];
    suffix_part(span_of_text("jpg"), 321, part);
    EXPECT_TEXT(part, "123.jpg");
    suffix_part(span_of_text(""), 7654321, part);
    EXPECT_TEXT(part, "1234567");
    suffix_part(span_of_text("tar-gz"), 9, part);
    EXPECT_TEXT(part, ".tar-gz");
    suffix_part(span_of_text("7z"), UINT64_MAX, part);
    EXPECT_TEXT(part, "5161.7z");
    EXPECT(suffix_is_valid(span_of_text("")));
    EXPECT(suffix_is_valid(span_of_text("A_-z09")));
    EXPECT(!suffix_is_valid(span_of_text("toolong")));
    EXPECT(suffix_is_valid(span_of_text("tar.gz")));
    EXPECT(!suffix_is_valid(span_of_text(".a")));
    EXPECT(!suffix_is_valid(span_of_text("a.")));
    EXPECT(!suffix_is_valid(span_of_text("a..b")));
    EXPECT(!suffix_is_valid(span_of_text(".")));
    EXPECT(!suffix_is_valid(span_of_text("a/b")));
}
