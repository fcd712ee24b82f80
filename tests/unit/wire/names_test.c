/* Maps of old names: what was added is found, nothing else; keys of the kinds of names. */
#include "tests/lib/test.h"
#include "wire/names.h"

enum { PAGES = 8 };
static uint8_t pages[PAGES][NAMES_PAGE_SIZE];

static const char flat[] = "M00/0A/1F/wKgBcFloLwCAerzeAAASZ96tvu8123.jpg";
static const char id_text[] = "M00/00/04/AQAAAFloLwCQAAAAAAASZ96tvu8123.jpg";

static struct fdfs_id parse(const char *name)
{
    struct fdfs_id id;
    EXPECT_OK(fdfs_id_parse(span_of_text(name), &id));
    return id;
}

static struct names_key key_of(const char *name)
{
    struct fdfs_id id = parse(name);
    struct names_key key;
    names_key_of(&id, &key);
    return key;
}

static struct names_key numbered(uint32_t number)
{
    struct names_key key = {.has_rest = true};
    put_u32(key.bytes, number * 2654435761u);
    put_u32(key.bytes + 4, number);
    return key;
}

static void clear(void)
{
    for (int i = 0; i < PAGES; i++)
        names_page_init(pages[i]);
}

static void add(const struct names_key *key, const char *id)
{
    uint32_t page = names_page_of(key, PAGES);
    while (!names_page_add(pages[page], key, span_of_text(id)))
        page = (page + 1) % PAGES;
}

/* Empty: not found. */
static struct span find(const struct names_key *key)
{
    struct span id = {0};
    bool has_more = true;
    uint32_t page = names_page_of(key, PAGES);
    for (int i = 0; i < PAGES && has_more && id.size == 0; i++, page = (page + 1) % PAGES)
        EXPECT_OK(names_page_find(span_of(pages[page], NAMES_PAGE_SIZE), key, &id, &has_more));
    return id;
}

TEST(what_was_added_is_found_also_behind_its_page)
{
    char id[16];
    clear();
    uint32_t count = PAGES * NAMES_PAGE_ENTRIES - 3; /* nearly full: many passed their page */
    for (uint32_t i = 0; i < count; i++) {
        struct names_key key = numbered(i);
        (void)snprintf(id, sizeof id, "id%u", i);
        add(&key, id);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct names_key key = numbered(i);
        (void)snprintf(id, sizeof id, "id%u", i);
        EXPECT(span_equals_text(find(&key), id));
    }
    for (uint32_t i = count; i < 2 * count; i++) {
        struct names_key key = numbered(i);
        EXPECT_EQ(find(&key).size, 0);
    }
}

TEST(another_suffix_part_is_another_name_but_for_who_does_not_know_it)
{
    struct names_key key = key_of(flat),
                     other = key_of("M00/0A/1F/wKgBcFloLwCAerzeAAASZ96tvu8124.jpg");
    struct fdfs_id slave = parse("M00/0A/1F/wKgBcFloLwCAerzeAAASZ96tvu8123_small.png");
    struct names_key master;
    clear();
    add(&key, id_text);
    EXPECT(span_equals_text(find(&key), id_text));
    EXPECT_EQ(find(&other).size, 0);
    names_key_of_master(&slave, &master);
    EXPECT(span_equals_text(find(&master), id_text));
    struct names_key whole = key_of("M00/0A/1F/wKgBcFloLwCAerzeAAASZ96tvu8123_small.png");
    EXPECT_EQ(find(&whole).size, 0);
}

TEST(of_a_name_in_a_trunk_file_source_and_random_bits_do_not_count)
{
    /* the same place, time, size and CRC; another source, other random bits */
    struct names_key a = key_of("M00/0A/1F/wKgBcFloLwCIerzeAAABLN6tvu8AAAABwAAEAAAAAIA123.txt");
    struct names_key b = key_of("M00/0A/1F/TQAAAFloLwCIAAAAAAABLN6tvu8AAAABwAAEAAAAAIA123.txt");
    struct names_key c = key_of("M00/0A/1F/TQAAAFloLwCIAAAAAAABLN6tvu8AAAABwAAIAAAAAIA123.txt");
    struct names_key d = key_of("M01/0A/1F/TQAAAFloLwCIAAAAAAABLN6tvu8AAAABwAAEAAAAAIA123.txt");
    EXPECT(memcmp(a.bytes, b.bytes, sizeof a.bytes) == 0);
    EXPECT(memcmp(a.bytes, c.bytes, sizeof a.bytes) != 0);
    EXPECT(memcmp(b.bytes, d.bytes, sizeof b.bytes) != 0);
}

TEST(what_is_no_page_is_refused)
{
    struct names_key key = key_of(flat);
    struct span id;
    bool has_more;
    struct span page = span_of(pages[0], NAMES_PAGE_SIZE);
    clear();
    EXPECT_ERR(names_page_find(span_of(pages[0], 100), &key, &id, &has_more), CORRUPT);
    pages[0][0] ^= 1;
    EXPECT_ERR(names_page_find(page, &key, &id, &has_more), CORRUPT);
    clear();
    put_u16(pages[0] + 4, NAMES_FORMAT + 1);
    EXPECT_ERR(names_page_find(page, &key, &id, &has_more), FORMAT);
    clear();
    put_u16(pages[0] + 6, NAMES_PAGE_ENTRIES + 1);
    EXPECT_ERR(names_page_find(page, &key, &id, &has_more), CORRUPT);
    clear();
    EXPECT(names_page_add(pages[0], &key, span_of_text(id_text)));
    EXPECT_OK(names_page_find(page, &key, &id, &has_more));
    pages[0][NAMES_HEAD_SIZE + 23] = NAMES_ID_MAX + 1;
    EXPECT_ERR(names_page_find(page, &key, &id, &has_more), CORRUPT);
}
