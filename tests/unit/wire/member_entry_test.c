#include "wire/member_entry.h"

#include "tests/lib/test.h"
#include "wire/msg.h"

static uint8_t bytes[256];

static struct writer begin(void)
{
    return (struct writer){.data = bytes, .capacity = sizeof bytes};
}

static struct member_entry sample(void)
{
    return (struct member_entry){.machine = 0x010203,
        .uuid = {{1, 2, 3}},
        .state = STATE_RUNNING,
        .flags = MEMBER_ALIVE | MEMBER_DRAINING,
        .address = span_of_text("10.0.0.7:7710")};
}

TEST(entries_come_back_one_behind_the_other)
{
    struct member_entry entry = sample(), back;
    struct writer w = begin();
    member_entry_encode(&entry, &w);
    entry.machine = 7;
    entry.address = span_of(NULL, 0);
    member_entry_encode(&entry, &w);
    EXPECT_EQ(w.size, 2 * 24 + 13);
    static const uint8_t first[] = {3, 2, 1, 0, 1, 2, 3};
    EXPECT(memcmp(bytes, first, sizeof first) == 0);
    EXPECT_EQ(bytes[20], STATE_RUNNING);
    EXPECT_EQ(bytes[21], 5);
    struct reader r = {.data = bytes, .size = w.size};
    EXPECT_OK(member_entry_decode(&r, &back));
    EXPECT_EQ(back.machine, 0x010203);
    EXPECT(span_equals_text(back.address, "10.0.0.7:7710"));
    EXPECT_OK(member_entry_decode(&r, &back));
    EXPECT_EQ(back.machine, 7);
    EXPECT_EQ(back.address.size, 0);
    EXPECT_EQ(r.at, r.size);
    EXPECT_ERR(member_entry_decode(&r, &back), PROTOCOL);
}

static err_t decode_changed(size_t at, uint8_t value, size_t size_less)
{
    struct member_entry entry = sample(), back;
    struct writer w = begin();
    member_entry_encode(&entry, &w);
    bytes[at] = value;
    struct reader r = {.data = bytes, .size = w.size - size_less};
    return member_entry_decode(&r, &back);
}

TEST(what_is_out_of_range_is_refused)
{
    EXPECT_OK(decode_changed(21, 0xff, 0)); /* flags of a later version */
    EXPECT_ERR(decode_changed(3, 1, 0), PROTOCOL);
    EXPECT_ERR(decode_changed(20, STATE_COUNT, 0), PROTOCOL);
    EXPECT_ERR(decode_changed(0, 3, 1), PROTOCOL);
    struct member_entry entry = sample(), back;
    entry.uuid = (struct nonce){{0}};
    struct writer w = begin();
    member_entry_encode(&entry, &w);
    struct reader r = {.data = bytes, .size = w.size};
    EXPECT_ERR(member_entry_decode(&r, &back), PROTOCOL);
    static char long_address[MEMBER_ENTRY_ADDRESS_MAX + 1];
    memset(long_address, 'a', MEMBER_ENTRY_ADDRESS_MAX);
    entry = sample();
    entry.address = span_of_text(long_address);
    w = begin();
    member_entry_encode(&entry, &w);
    r = (struct reader){.data = bytes, .size = w.size};
    EXPECT_ERR(member_entry_decode(&r, &back), PROTOCOL);
}
