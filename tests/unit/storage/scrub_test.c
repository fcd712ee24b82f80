/* Everything is read: what has rotted is found, repaired from another member, and told once. */
#include "base/units.h"
#include "tests/lib/test.h"
#include "tests/unit/storage/group.h"

enum { FILES = 21 };

static struct group group = {.is_still = true};
static struct fid fids[FILES];
static const size_t sizes[] = {700, 3000, 9000, 16000, 17000, 70000, 200000};

static void open_two(uint64_t seed)
{
    group_open(&group, seed, 2, 1);
    group_start(&group, 0);
    group_start(&group, 1);
    group_introduce(&group);
    for (unsigned i = 0; i < FILES; i++)
        fids[i] = group_put(&group, 0, sizes[i % ARRAY_LEN(sizes)], i);
}

static struct scrub *scrub_at(unsigned index)
{
    return &group.houses[index].storage->loops[0].scrub;
}

struct wanted {
    unsigned index;
    uint64_t pass;
};

static bool is_scrubbed(struct group *it, void *context)
{
    const struct wanted *wanted = context;
    (void)it;
    return scrub_is_over(scrub_at(wanted->index), wanted->pass);
}

static struct scrub_sums scrub(unsigned index)
{
    struct wanted wanted = {index, scrub_request(scrub_at(index))};
    EXPECT(group_run_until(&group, is_scrubbed, &wanted));
    return scrub_at(index)->last;
}

static bool is_compared(struct group *it, void *context)
{
    const struct wanted *wanted = context;
    (void)it;
    return reconcile_is_over(&group.houses[wanted->index].storage->reconcile, wanted->pass);
}

static struct reconcile_sums compare(unsigned index)
{
    struct reconcile *reconcile = &group.houses[index].storage->reconcile;
    struct wanted wanted = {index, reconcile_request(reconcile, false)};
    EXPECT(group_run_until(&group, is_compared, &wanted));
    return reconcile->shown;
}

static void settle(void)
{
    for (unsigned i = 0; i < group.count; i++) {
        group_stop(&group, i);
        group_start(&group, i);
    }
    group_introduce(&group);
}

static void flip(unsigned index, const struct fid *fid, uint64_t offset)
{
    char name[96], path[64];
    struct chunk_key key = {fid->identity.origin, fid->mount, fid->stream, fid->chunk};
    if (fid->is_packed)
        chunk_path(path, &key);
    else
        single_path(path, &fid->identity);
    (void)snprintf(name, sizeof name, "/m0/%s", path);
    sim_file_flip_bit(
        group.houses[index].node, name, (fid->is_packed ? fid->offset : 0) + offset, 5);
}

static void expect_all(unsigned index)
{
    for (unsigned i = 0; i < FILES; i++) {
        EXPECT_OK(group_find_err(&group, index, &fids[i], true));
        group_expect(&group, index, &fids[i], sizes[i % ARRAY_LEN(sizes)], i);
    }
}

TEST(a_pass_reads_every_file_once_and_finds_nothing_where_nothing_is)
{
    open_two(1);
    struct scrub_sums sums = scrub(0);
    EXPECT_EQ(sums.files, FILES);
    EXPECT_EQ(sums.damaged + sums.suspects, 0);
    EXPECT(sums.bytes >= 3 * 315000);
    EXPECT_EQ(scrub(1).files, 0);
    (void)compare(1);
    EXPECT_EQ(scrub(1).files, FILES);
    EXPECT_EQ(scrub(1).damaged + scrub(1).suspects, 0);
    group_close(&group);
}

TEST(flipped_bits_in_contents_are_repaired_by_one_pass)
{
    open_two(2);
    (void)compare(1);
    settle();
    for (unsigned index = 0; index < 2; index++) {
        for (unsigned i = 0; i < FILES; i += 2)
            flip(index, &fids[i], fids[i].is_packed ? 400 : 9000 + 100 * i);
        struct scrub_sums sums = scrub(index);
        EXPECT_EQ(sums.damaged, (FILES + 1) / 2);
        EXPECT_EQ(sums.repaired, (FILES + 1) / 2);
        sums = scrub(index);
        EXPECT_EQ(sums.damaged + sums.suspects, 0);
        expect_all(index);
    }
    EXPECT_EQ(compare(0).differed, 0);
    group_close(&group);
}

TEST(a_lost_header_makes_its_unit_suspect_and_the_next_comparison_brings_the_file)
{
    open_two(3);
    (void)compare(1);
    settle();
    flip(0, &fids[1], 40);
    flip(0, &fids[4], 40);
    struct scrub_sums sums = scrub(0);
    EXPECT(sums.suspects >= 1);
    EXPECT(group_logged(&group, "unit_differs"));
    struct reconcile_sums compared = compare(0);
    EXPECT_EQ(compared.repaired, 2);
    expect_all(0);
    sums = scrub(0);
    EXPECT_EQ(sums.suspects + sums.damaged, 0);
    EXPECT_EQ(compare(0).differed, 0);
    group_close(&group);
}

TEST(who_is_alone_tells_what_is_damaged_and_repairs_nothing)
{
    group_open(&group, 4, 1, 1);
    group_start(&group, 0);
    struct fid fid = group_put(&group, 0, 30000, 1);
    group_stop(&group, 0);
    group_start(&group, 0);
    flip(0, &fid, 9000);
    struct scrub_sums sums = scrub(0);
    EXPECT_EQ(sums.damaged, 1);
    EXPECT_EQ(sums.repaired, 0);
    EXPECT_ERR(group_find_err(&group, 0, &fid, false), CORRUPT);
    EXPECT(group_logged(&group, "damaged"));
    group_close(&group);
}

TEST(it_reads_by_itself_at_its_rate)
{
    static const char *const slow[] = {"--scrub-rate=64KiB", NULL};
    group.flags = slow;
    open_two(5);
    group_run_for(&group, (SCRUB_PAUSE_S + 2) * NS_PER_S);
    EXPECT(scrub_at(0)->is_running);
    EXPECT(scrub_at(0)->sums.bytes < 600000);
    group_run_for(&group, 30 * NS_PER_S);
    EXPECT(!scrub_at(0)->is_running);
    EXPECT_EQ(scrub_at(0)->last.files, FILES);
    group_close(&group);
    group.flags = NULL;
}
