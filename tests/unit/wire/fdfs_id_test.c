/* Names that FastDFS made: every kind taken apart as its fact sheet says, everything else refused. */
#include "tests/lib/test.h"
#include "wire/base64url.h"
#include "wire/fdfs_id.h"
#include "wire/fid.h"

static char name[256];

/* As FastDFS makes them: source, time, size word, CRC; [trunk place]; what stands behind. */
static struct span make(uint64_t word, const uint32_t *trunk, const char *rest)
{
    uint8_t core[20] = {192, 168, 1, 112}, place[12];
    char core_text[27], place_text[16];
    put_u32_be(core + 4, 1500000000);
    put_u64_be(core + 8, word);
    put_u32_be(core + 16, 0xdeadbeef);
    base64url_encode(core, sizeof core, core_text);
    for (int i = 0; trunk && i < 3; i++)
        put_u32_be(place + 4 * i, trunk[i]);
    if (trunk)
        base64url_encode(place, sizeof place, place_text);
    int size = snprintf(name, sizeof name, "M01/0A/1F/%.27s%.*s%s", core_text, trunk ? 16 : 0,
        trunk ? place_text : "", rest);
    return span_of(name, (size_t)size);
}

#define SMALL (UINT64_C(1) << 63 | UINT64_C(0x7abcde) << 32)
#define APPENDER (SMALL | UINT64_C(1) << 58)
#define TRUNK (SMALL | UINT64_C(1) << 59)

TEST(a_file_tells_path_source_time_size_and_crc)
{
    static const uint8_t source[4] = {192, 168, 1, 112};
    struct fdfs_id id;
    EXPECT_OK(fdfs_id_parse(make(SMALL | 4711, NULL, "123.jpg"), &id));
    EXPECT_EQ(id.path, 1);
    EXPECT(memcmp(id.source, source, 4) == 0);
    EXPECT_EQ(id.time_s, 1500000000);
    EXPECT_EQ(id.size, 4711);
    EXPECT_EQ(id.crc, 0xdeadbeef);
    EXPECT(!id.is_slave && !id.is_trunk && !id.is_appender);
    EXPECT(span_equals_text(id.rest, "123.jpg"));
}

TEST(a_file_of_four_gib_and_more_has_its_size_as_it_is)
{
    struct fdfs_id id;
    EXPECT_OK(fdfs_id_parse(make(UINT64_C(5) << 30, NULL, "1234567"), &id));
    EXPECT_EQ(id.size, UINT64_C(5) << 30);
    EXPECT_ERR(fdfs_id_parse(make(4711, NULL, "1234567"), &id), USAGE);
    EXPECT_ERR(fdfs_id_parse(make(UINT64_C(1) << 59, NULL, "1234567"), &id), USAGE);
}

TEST(an_appender_does_not_tell_its_size)
{
    struct fdfs_id id;
    EXPECT_OK(fdfs_id_parse(make(APPENDER, NULL, "12.html"), &id));
    EXPECT(id.is_appender && !id.is_slave);
    EXPECT_EQ(id.size, 0);
}

TEST(a_file_in_a_trunk_file_tells_its_place)
{
    static const uint32_t place[3] = {7, 4096, 512};
    struct fdfs_id id;
    EXPECT_OK(fdfs_id_parse(make(TRUNK | 300, place, "123.txt"), &id));
    EXPECT(id.is_trunk && !id.is_slave);
    EXPECT_EQ(id.trunk, 7);
    EXPECT_EQ(id.offset, 4096);
    EXPECT_EQ(id.allocated, 512);
    EXPECT_EQ(id.size, 300);
    EXPECT_EQ(id.name.size, 60);
    EXPECT_ERR(fdfs_id_parse(make(TRUNK | 300, NULL, "123.txt"), &id), USAGE);
}

TEST(what_is_no_suffix_part_makes_a_slave)
{
    static const char *const rests[] = {
        "123_150x150.jpg", "1234567-small", "x", "12a.txt", "1234567_x.tar.gz"};
    static const uint32_t place[3] = {7, 4096, 512};
    struct fdfs_id id;
    for (size_t i = 0; i < ARRAY_LEN(rests); i++) {
        EXPECT_OK(fdfs_id_parse(make(SMALL | 1, NULL, rests[i]), &id));
        EXPECT(id.is_slave);
        EXPECT_OK(fdfs_id_parse(make(TRUNK | 1, place, rests[i]), &id));
        EXPECT(id.is_slave && id.is_trunk);
    }
}

TEST(names_of_ours_and_other_texts_are_none)
{
    static const char *const texts[] = {"", "x", "M00/00/00/",
        "data/00/00/AAAAAAAAAAAAAAAAAAAAAAAAAAA1234567",
        "M00/0a/00/wKgBcFloLwCAerzeAAASZ96tvu8123.jpg",
        "M00/00/../wKgBcFloLwCAerzeAAASZ96tvu8123.jpg"};
    struct fdfs_id id;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        EXPECT_ERR(fdfs_id_parse(span_of_text(texts[i]), &id), USAGE);
    EXPECT_ERR(fdfs_id_parse(make(SMALL | UINT64_C(1) << 60, NULL, "123.jpg"), &id), USAGE);
    EXPECT_ERR(fdfs_id_parse(make(SMALL, NULL, ""), &id), USAGE);
    EXPECT_ERR(fdfs_id_parse(make(SMALL, NULL, "123/..g"), &id), USAGE);
    EXPECT_ERR(fdfs_id_parse(make(SMALL, NULL, "1234567_12345678901234567.123456"), &id), USAGE);
}

TEST(every_cut_of_a_name_is_a_slave_or_none)
{
    struct fdfs_id id;
    struct span whole = make(SMALL | 4711, NULL, "123.jpg");
    for (size_t size = 0; size < whole.size; size++) {
        err_t err = fdfs_id_parse(span_of(name, size), &id);
        EXPECT(err_is(err) || (id.is_slave && id.rest.size < SUFFIX_FIELD));
    }
}
