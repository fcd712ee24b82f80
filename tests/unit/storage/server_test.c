#include <unistd.h>

#include "base/crc.h"
#include "tests/unit/storage/hall.h"

static struct hall hall;
static struct visitor visitor;
static uint8_t content[8 << 20];

static const size_t sizes[] = {0, 1, 100, 4096, 16 * 1024, 16 * 1024 + 1, 60000, 64 * 1024,
    64 * 1024 + 1, 200000, 262144, 1 << 20, 5000000};

static void begin(uint32_t mounts, uint32_t loops)
{
    hall_make(&hall, mounts, loops);
    EXPECT_OK(hall_start(&hall));
    visitor_open(&visitor, &hall);
}

static void end(void)
{
    visitor_close(&visitor);
    hall_stop(&hall);
    hall_remove(&hall);
}

static void expect_content(const char *id, const uint8_t *data, size_t size)
{
    struct span got;
    struct msg_found found;
    int code = visitor_get(&visitor, id, 0, 0, &got, &found);
    if (code)
        (void)fprintf(stderr, "%s: %s\n", id, visitor.error_text);
    EXPECT_EQ(code, 0);
    EXPECT_EQ(got.size, size);
    EXPECT_EQ(found.total, size);
    EXPECT(size == 0 || memcmp(got.data, data, size) == 0);
    EXPECT_EQ(found.crc, crc32_update(0, data, size));
}

TEST(starts_empty_answers_ping_and_stops)
{
    unsigned before = hall_descriptors();
    begin(1, 1);
    EXPECT_EQ(visitor_ping(&visitor), 0);
    end();
    EXPECT_EQ(hall_descriptors(), before);
}

TEST(contents_of_all_sizes_come_back)
{
    static char ids[ARRAY_LEN(sizes)][FID_TEXT_MAX];
    begin(1, 2);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        bytes_make(content, sizes[i], i);
        EXPECT_EQ(visitor_put(&visitor, content, sizes[i], NULL, ids[i], NULL), 0);
        expect_content(ids[i], content, sizes[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        bytes_make(content, sizes[i], i);
        expect_content(ids[i], content, sizes[i]);
    }
    end();
}
