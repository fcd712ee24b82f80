/* Entries: round trips, byte by byte arrival, damage. */
#include "wire/entry.h"

#include "tests/lib/test.h"

static uint8_t bytes[8192], content[3000];

static struct entry some_entry(uint32_t content_size)
{
    memset(content, 0x5a, sizeof content);
    struct entry entry = {.home_seed = 7, .target_seed = 9};
    entry.record = (struct record){.lsn = 40,
        .incarnation = 2,
        .origin = 3,
        .kind = RECORD_UPLOAD,
        .flags = RECORD_INLINE,
        .identity = {.clock = 99, .origin = 3},
        .version = {1, 3},
        .content_size = content_size,
        .content = span_of(content, content_size)};
    return entry;
}

TEST(entries_come_back_one_behind_the_other)
{
    struct writer w = {bytes, sizeof bytes, 0, false};
    for (uint32_t i = 0; i < 3; i++) {
        struct entry entry = some_entry(i * 1000);
        entry_encode(&entry, &w);
    }
    EXPECT(!w.failed);
    size_t at = 0;
    for (uint32_t i = 0; i < 3; i++) {
        struct entry entry;
        size_t size;
        EXPECT_OK(entry_decode(span_of(bytes + at, w.size - at), &entry, &size));
        EXPECT_EQ(entry.home_seed, 7u);
        EXPECT_EQ(entry.target_seed, 9u);
        EXPECT_EQ(entry.record.content.size, i * 1000);
        EXPECT_EQ(size, entry_size(&entry.record));
        at += size;
    }
    EXPECT_EQ(at, w.size);
}

TEST(an_entry_that_is_not_all_there_says_how_much_it_needs)
{
    struct writer w = {bytes, sizeof bytes, 0, false};
    struct entry entry = some_entry(100);
    entry_encode(&entry, &w);
    size_t need;
    for (size_t have = 0; have < w.size; have++) {
        EXPECT_ERR(entry_decode(span_of(bytes, have), &entry, &need), PARTIAL);
        EXPECT_EQ(need, have < ENTRY_HEADER_SIZE ? (size_t)ENTRY_HEADER_SIZE : w.size);
    }
}

TEST(a_damaged_entry_is_refused)
{
    struct writer w = {bytes, sizeof bytes, 0, false};
    struct entry entry = some_entry(100);
    entry_encode(&entry, &w);
    size_t need;
    for (size_t i = ENTRY_HEADER_SIZE; i < w.size; i++) {
        bytes[i] ^= 1;
        EXPECT(err_is(entry_decode(span_of(bytes, w.size), &entry, &need)));
        bytes[i] ^= 1;
    }
    put_u32(bytes, 20);
    EXPECT_ERR(entry_decode(span_of(bytes, w.size), &entry, &need), PROTOCOL);
    put_u32(bytes, UINT32_MAX);
    EXPECT_ERR(entry_decode(span_of(bytes, w.size), &entry, &need), PROTOCOL);
}

TEST(an_entry_that_does_not_fit_leaves_nothing)
{
    struct entry entry = some_entry(100);
    struct writer w = {bytes, entry_size(&entry.record) - 1, 0, false};
    entry_encode(&entry, &w);
    EXPECT(w.failed);
    EXPECT_EQ(w.size, 0u);
}
