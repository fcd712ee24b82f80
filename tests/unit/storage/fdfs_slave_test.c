#include "storage/fdfs_slave.h"

#include "tests/lib/test.h"

#define PACKED "M0A/03/04/oYYBAGux3ICYKjtMAAAAHm7i4hcAQIDBAAQAEAAAACA444.txt"
#define SINGLE "M0A/03/4C/oYYBAGux3ICUKjtMAAAAAG7i4hc444.txt"

static struct fdfs_name name;

static err_t parse(const char *text)
{
    return fdfs_name_parse("group1", span_of_text(text), &name);
}

TEST(names_of_files_are_ids_without_their_group)
{
    EXPECT_OK(parse(PACKED));
    EXPECT_EQ(name.tail.size, 0);
    EXPECT_EQ(name.fid.chunk, 0x01020304);
    EXPECT_TEXT(name.fid.group, "group1");
    EXPECT_OK(parse(SINGLE));
    EXPECT(!name.fid.is_packed);
    EXPECT_ERR(parse(""), USAGE);
    EXPECT_ERR(parse("M0A/03/4C/../../../../etc/passwd"), USAGE);
    EXPECT_ERR(parse("M00/00/00/fwAAUmsDsdyAUAdeAAAAHm7i4hc444.txt"), UNSUPPORTED);
}

TEST(names_of_slaves_tell_the_place_of_their_master_and_a_tail)
{
    EXPECT_OK(parse("M0A/03/04/oYYBAGux3ICYKjtMAAAAHm7i4hcAQIDBAAQAEAAAACA444_150x150.jpg"));
    EXPECT(span_equals_text(name.tail, "444_150x150.jpg"));
    EXPECT_EQ(name.fid.chunk, 0x01020304);
    EXPECT_TEXT(name.fid.identity.suffix, "");
    EXPECT_OK(parse("M0A/03/4C/oYYBAGux3ICUKjtMAAAAAG7i4hc444-a_long_prefix_16.tar.gz"));
    EXPECT(span_equals_text(name.tail, "444-a_long_prefix_16.tar.gz"));
    EXPECT(!name.fid.is_packed);
    EXPECT_ERR(parse(SINGLE "0123456789012345678901234567890"), USAGE);
    EXPECT_ERR(parse("M0A/03/4D/oYYBAGux3ICUKjtMAAAAAG7i4hc444_s.jpg"), USAGE);
}

TEST(a_tail_is_made_of_the_masters_digits_prefix_and_suffix)
{
    char tail[FDFS_TAIL_MAX + 1];
    static const char longest[] = "0123456-a_long_prefix_.tar.gz";
    EXPECT_EQ(fdfs_tail_make("444.txt", span_of_text("_s"), span_of_text("jpg"), tail), 9);
    EXPECT_TEXT(tail, "444_s.jpg");
    (void)fdfs_tail_make(".tar.gz", span_of_text("x"), span_of_text(""), tail);
    EXPECT_TEXT(tail, "x");
    (void)fdfs_tail_make("0123456", span_of_text("-a_long_prefix_"), span_of_text("tar.gz"), tail);
    EXPECT_TEXT(tail, longest);
}

static uint8_t lists[2][SLOT_ATTRIBUTES_MAX];

/* `list` with a slave more, in the other buffer. */
static struct span with(struct span list, const char *tail, const struct fid *fid)
{
    struct writer w = {list.data == lists[0] ? lists[1] : lists[0], SLOT_ATTRIBUTES_MAX, 0, false};
    fdfs_slave_put(list, span_of_text(tail), fid, &w);
    return w.failed ? span_of(NULL, 0) : span_of(w.data, w.size);
}

TEST(slaves_are_put_found_replaced_and_removed_and_other_attributes_stay)
{
    uint8_t start[64], last[SLOT_ATTRIBUTES_MAX];
    struct writer w = {start, sizeof start, 0, false};
    attribute_write(&w, ATTRIBUTE_POOL, span_of_text("pool"));
    attribute_write(&w, ATTRIBUTE_METADATA, span_of_text("meta"));
    EXPECT_OK(parse(PACKED));
    struct fid packed = name.fid, found;
    EXPECT_OK(parse(SINGLE));
    struct fid single = name.fid;
    struct span list = with(span_of(start, w.size), "444_a.jpg", &packed);
    list = with(list, "444_b.jpg", &single);
    EXPECT(fdfs_slave_find(list, span_of_text("444_a.jpg"), "group1", &found));
    EXPECT(memcmp(&found, &packed, sizeof found) == 0);
    EXPECT(fdfs_slave_find(list, span_of_text("444_b.jpg"), "group1", &found));
    EXPECT(memcmp(&found, &single, sizeof found) == 0);
    EXPECT(!fdfs_slave_find(list, span_of_text("444_c.jpg"), "group1", &found));
    list = with(list, "444_a.jpg", &single);
    EXPECT(fdfs_slave_find(list, span_of_text("444_a.jpg"), "group1", &found));
    EXPECT_EQ(found.is_packed, false);
    EXPECT(fdfs_slave_at(list, 1, "group1", &found) && !fdfs_slave_at(list, 2, "group1", &found));
    EXPECT(span_equals_text(attribute_find(list, ATTRIBUTE_POOL), "pool"));
    EXPECT(span_equals_text(attribute_find(list, ATTRIBUTE_METADATA), "meta"));
    w = (struct writer){last, sizeof last, 0, false};
    fdfs_slave_remove(list, span_of_text("444_a.jpg"), &w);
    EXPECT(!fdfs_slave_find(span_of(last, w.size), span_of_text("444_a.jpg"), "group1", &found));
    EXPECT(fdfs_slave_find(span_of(last, w.size), span_of_text("444_b.jpg"), "group1", &found));
}

TEST(a_list_that_is_full_or_damaged_is_no_list)
{
    struct span list = span_of(lists[0], 0);
    char tail[32];
    struct fid found;
    int count = 0;
    EXPECT_OK(parse(PACKED));
    struct fid fid = name.fid;
    for (; count < 100; count++) {
        (void)snprintf(tail, sizeof tail, "444_%03d.jpg", count);
        struct span more = with(list, tail, &fid);
        if (!more.data)
            break;
        list = more;
    }
    EXPECT(count >= 15 && count < 100);
    EXPECT(fdfs_slave_at(list, (size_t)count - 1, "group1", &found));
    for (size_t size = 0; size < list.size; size++)
        (void)fdfs_slave_find(
            span_of(list.data, size), span_of_text("444_099.jpg"), "group1", &found);
}
