/* Whole files brought from another member: what is missing, what is damaged. */
#include "base/units.h"
#include "tests/lib/test.h"
#include "tests/unit/storage/group.h"

static struct group group = {.is_still = true};

static void open_two(uint64_t seed, unsigned loops)
{
    group_open(&group, seed, 2, loops);
    group_start(&group, 0);
    group_start(&group, 1);
    group_introduce(&group);
}

static uint64_t sum_of(unsigned index, size_t offset)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < group.loop_count; i++)
        sum += *(const uint64_t *)(const void
                *)((const char *)&group.houses[index].storage->loops[i].pulls + offset);
    return sum;
}
#define COUNT(index, field) sum_of((index), offsetof(struct pulls, field))

static void chunk_name(const struct fid *fid, char name[96])
{
    char path[CHUNK_NAME_MAX];
    struct chunk_key key = {fid->identity.origin, fid->mount, fid->stream, fid->chunk};
    chunk_path(path, &key);
    (void)snprintf(name, 96, "/m0/%s", path);
}

static void single_name(const struct fid *fid, char name[96])
{
    char path[SINGLE_PATH_MAX];
    single_path(path, &fid->identity);
    (void)snprintf(name, 96, "/m0/%s", path);
}

/* One bit of the file's `offset`-th byte, from the header on, at storage `index`. */
static void flip(unsigned index, const struct fid *fid, uint64_t offset)
{
    char name[96];
    if (fid->is_packed)
        chunk_name(fid, name);
    else
        single_name(fid, name);
    sim_file_flip_bit(
        group.houses[index].node, name, (fid->is_packed ? fid->offset : 0) + offset, 5);
}

TEST(a_file_that_has_not_come_yet_is_brought_when_it_is_looked_for)
{
    static const size_t sizes[] = {0, 1, 3000, 5000, 16000, 17000, 200000};
    for (unsigned loops = 1; loops <= 2; loops++) {
        open_two(loops, loops);
        for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
            struct fid fid = group_put(&group, 0, sizes[i], i);
            EXPECT_ERR(group_find_err(&group, 1, &fid, true), NOT_FOUND);
            group_expect(&group, 1, &fid, sizes[i], i);
            EXPECT_OK(group_find_err(&group, 1, &fid, true));
            group_expect(&group, 0, &fid, sizes[i], i);
        }
        EXPECT_EQ(COUNT(1, pulled), ARRAY_LEN(sizes));
        EXPECT_EQ(COUNT(1, repaired), 0);
        EXPECT_EQ(COUNT(0, pulled), 0);
        group_close(&group);
    }
}

TEST(a_file_that_outgrew_its_slot_is_brought_whole)
{
    open_two(3, 1);
    struct fid grows = group_put(&group, 0, 1000, 1), leaves = group_put(&group, 0, 1000, 2);
    group_modify(&group, 0, &grows, MODIFY_REPLACE, 0, 9000, 3);
    group_modify(&group, 0, &leaves, MODIFY_REPLACE, 0, 90000, 4);
    group_expect(&group, 1, &grows, 9000, 3);
    group_expect(&group, 1, &leaves, 90000, 4);
    group_stop(&group, 1);
    group_start(&group, 1);
    group_introduce(&group);
    EXPECT_OK(group_find_err(&group, 1, &grows, true));
    EXPECT_OK(group_find_err(&group, 1, &leaves, true));
    group_close(&group);
}

TEST(a_file_that_has_not_come_yet_is_brought_before_it_is_modified)
{
    open_two(4, 1);
    struct fid fid = group_put(&group, 0, 3000, 1), single = group_put(&group, 0, 50000, 2);
    group_modify(&group, 1, &fid, MODIFY_REPLACE, 0, 2000, 3);
    group_modify(&group, 1, &single, MODIFY_REPLACE, 0, 60000, 4);
    group_expect(&group, 1, &fid, 2000, 3);
    group_expect(&group, 1, &single, 60000, 4);
    group_close(&group);
}

TEST(what_nobody_has_is_not_found_and_who_cannot_ask_says_so)
{
    open_two(5, 2);
    struct fid fid = group_put(&group, 0, 3000, 1), gone = group_put(&group, 0, 3000, 2);
    group_remove(&group, 0, &gone, true);
    EXPECT_ERR(group_find_err(&group, 1, &gone, false), NOT_FOUND);
    group_stop(&group, 0);
    EXPECT_ERR(group_find_err(&group, 1, &fid, false), UNAVAILABLE); /* not known to be away */
    group_introduce(&group);
    EXPECT_ERR(group_find_err(&group, 1, &fid, false), UNAVAILABLE);
    EXPECT_ERR(group_try_modify(&group, 1, &fid, MODIFY_REPLACE, 0, 10, 1), UNAVAILABLE);
    EXPECT_ERR(group_find_err(&group, 1, &fid, true), NOT_FOUND);
    group_start(&group, 0);
    group_introduce(&group);
    group_expect(&group, 1, &fid, 3000, 1);
    group_close(&group);
}

/* What was written is on the disk, so that it can rot there. */
static void settle(void)
{
    for (unsigned i = 0; i < group.count; i++) {
        group_stop(&group, i);
        group_start(&group, i);
    }
    group_introduce(&group);
}

static void expect_repaired(unsigned index, const struct fid *fid, size_t size, unsigned mark)
{
    uint64_t before = COUNT(index, repaired), damaged = COUNT(index, damaged);
    EXPECT_ERR(group_find_err(&group, index, fid, true), CORRUPT);
    group_expect(&group, index, fid, size, mark);
    EXPECT_EQ(COUNT(index, repaired), before + 1);
    EXPECT_EQ(COUNT(index, damaged), damaged + 1);
    EXPECT_OK(group_find_err(&group, index, fid, true));
    group_expect(&group, index, fid, size, mark);
    EXPECT_EQ(COUNT(index, repaired), before + 1);
}

TEST(a_flipped_bit_anywhere_is_never_served_and_repaired_by_one_find)
{
    static const size_t sizes[] = {3000, 9000, 40000};
    open_two(6, 1);
    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
        struct fid fid = group_put(&group, 0, sizes[i], i);
        group_expect(&group, 1, &fid, sizes[i], i);
        for (unsigned index = 0; index < 2; index++) {
            uint64_t content = fid.is_packed ? 300 : 9000;
            settle();
            if (getenv("GROUP_LOG"))
                (void)fprintf(stderr, "size %zu at %u\n", sizes[i], index);
            flip(index, &fid, content); /* in the content */
            expect_repaired(index, &fid, sizes[i], i);
            if (index == 1 && fid.is_packed)
                continue; /* its mirror has not heard of it: it is missing there */
            settle();
            flip(index, &fid, 40); /* in the header */
            expect_repaired(index, &fid, sizes[i], i);
        }
    }
    group_close(&group);
}

TEST(damage_that_nobody_can_repair_is_told_once_and_never_served)
{
    open_two(7, 1);
    struct fid fid = group_put(&group, 0, 3000, 1);
    settle();
    flip(0, &fid, 1000);
    for (unsigned i = 0; i < 3; i++)
        EXPECT_ERR(group_find_err(&group, 0, &fid, false), CORRUPT);
    EXPECT_EQ(COUNT(0, damaged), 1);
    EXPECT_EQ(COUNT(0, repaired), 0);
    EXPECT_ERR(group_find_err(&group, 1, &fid, false), UNAVAILABLE);
    group_close(&group);
}

TEST(both_damaged_copies_stay_refused)
{
    open_two(8, 1);
    struct fid fid = group_put(&group, 0, 30000, 1);
    group_expect(&group, 1, &fid, 30000, 1);
    settle();
    flip(0, &fid, 9000);
    flip(1, &fid, 9100);
    EXPECT_ERR(group_find_err(&group, 0, &fid, false), CORRUPT);
    EXPECT_ERR(group_find_err(&group, 1, &fid, false), CORRUPT);
    group_close(&group);
}
