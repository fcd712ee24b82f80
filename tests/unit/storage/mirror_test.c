/* Whole storages of one group, in the simulator: what one takes, the others have. */
#include "base/units.h"
#include "tests/lib/test.h"
#include "tests/unit/storage/group.h"

enum { KEEPERS = 3 };

static const size_t sizes[] = {0, 1, 100, 3000, 16 * 1024, 16 * 1024 + 1, 70000, 300000};

struct digests {
    uint64_t sum, files;
};

/* Of everything that the storage holds, own or not. */
static struct digests digests_of(const struct group *group, unsigned index)
{
    struct digests all = {0, 0};
    const struct storage *storage = group->houses[index].storage;
    for (uint16_t l = 0; l < storage->loop_count; l++) {
        const struct store_mount *mount = &storage->loops[l].store.mounts[0];
        for (unsigned s = 0; s < mount->stream_count; s++) {
            const struct stream *stream = mount->streams[s];
            for (uint32_t i = 0; stream && i < stream->chunks.count; i++) {
                all.sum += stream->chunks.entries[i].digest.sum;
                all.files += stream->chunks.entries[i].digest.count;
            }
            for (uint32_t i = 0; stream && i < stream->sources.count; i++)
                for (unsigned k = 0; k < SOURCE_BUCKETS; k++) {
                    all.sum += stream->sources.all[i].singles[k].sum;
                    all.files += stream->sources.all[i].singles[k].count;
                }
        }
    }
    return all;
}

static bool are_equal(struct group *group, void *context)
{
    const uint64_t *files = context;
    struct digests first = digests_of(group, 0);
    bool are = first.files == *files;
    for (unsigned i = 1; i < group->count; i++) {
        struct digests other = digests_of(group, i);
        are &= other.sum == first.sum && other.files == first.files;
    }
    return are;
}

static void expect_equal(struct group *group, uint64_t files)
{
    EXPECT(group_run_until(group, are_equal, &files));
}

static void open_all(struct group *group, uint64_t seed, unsigned count, unsigned loops)
{
    group_open(group, seed, count, loops);
    for (unsigned i = 0; i < count; i++)
        group_start(group, i);
    group_introduce(group);
}

static void put_all(struct group *group, struct fid fids[KEEPERS][ARRAY_LEN(sizes)])
{
    for (unsigned from = 0; from < group->count; from++)
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
            fids[from][i] = group_put(group, from, sizes[i], (unsigned)(from * 10 + i));
}

static void expect_all(struct group *group, struct fid fids[KEEPERS][ARRAY_LEN(sizes)])
{
    for (unsigned from = 0; from < group->count; from++)
        for (unsigned at = 0; at < group->count; at++)
            for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
                group_expect(group, at, &fids[from][i], sizes[i], (unsigned)(from * 10 + i));
}

TEST(what_any_storage_of_a_group_takes_all_have)
{
    for (unsigned loops = 1; loops <= GROUP_LOOPS_MAX; loops++) {
        struct group group = {0};
        struct fid fids[KEEPERS][ARRAY_LEN(sizes)];
        open_all(&group, loops, KEEPERS, loops);
        put_all(&group, fids);
        expect_equal(&group, KEEPERS * ARRAY_LEN(sizes));
        expect_all(&group, fids);
        for (unsigned i = 0; i < KEEPERS; i++)
            group_stop(&group, i);
        group_close(&group);
    }
}

TEST(changes_and_deletes_at_any_storage_reach_all)
{
    struct group group = {0};
    struct fid fids[KEEPERS][ARRAY_LEN(sizes)];
    open_all(&group, 7, KEEPERS, 2);
    put_all(&group, fids);
    expect_equal(&group, KEEPERS * ARRAY_LEN(sizes));
    for (unsigned from = 0; from < KEEPERS; from++)
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
            unsigned at = (unsigned)((from + i) % KEEPERS);
            static const uint8_t modes[] = {MODIFY_REPLACE, MODIFY_APPEND, MODIFY_WRITE};
            if (i % 4 == 3)
                group_remove(&group, at, &fids[from][i], true);
            else
                group_modify(&group, at, &fids[from][i], modes[i % 3], 0, 500 + 9000 * i, 77);
        }
    expect_equal(&group, KEEPERS * (ARRAY_LEN(sizes) - 2));
    for (unsigned at = 0; at < KEEPERS; at++) {
        EXPECT_ERR(group_find_err(&group, at, &fids[0][3], false), NOT_FOUND);
        group_expect(&group, at, &fids[1][0], 500, 77);
    }
    for (unsigned i = 0; i < KEEPERS; i++)
        group_stop(&group, i);
    group_close(&group);
}

TEST(a_storage_that_was_away_catches_up_where_it_was)
{
    for (unsigned way = 0; way < 3; way++) {
        struct group group = {0};
        struct fid fids[KEEPERS][ARRAY_LEN(sizes)], more[ARRAY_LEN(sizes)];
        open_all(&group, 20 + way, 2, 1);
        put_all(&group, fids);
        expect_equal(&group, 2 * ARRAY_LEN(sizes));
        if (way == 0)
            group_stop(&group, 1);
        else
            group_kill(&group, 1, way == 2);
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
            more[i] = group_put(&group, 0, sizes[i], 50);
        group_start(&group, 1);
        group_introduce(&group);
        expect_equal(&group, 3 * ARRAY_LEN(sizes));
        expect_all(&group, fids);
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
            group_expect(&group, 1, &more[i], sizes[i], 50);
        for (unsigned i = 0; i < 2; i++)
            group_stop(&group, i);
        group_close(&group);
    }
}

static uint64_t records_of(const struct group *it)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < it->count; i++)
        for (uint16_t l = 0; l < it->houses[i].storage->loop_count; l++) {
            const struct store_mount *mount = &it->houses[i].storage->loops[l].store.mounts[0];
            for (unsigned s = 0; s < mount->stream_count; s++)
                sum += mount->streams[s] ? mount->streams[s]->log.record_count : 0;
        }
    return sum;
}

TEST(storages_that_have_nothing_to_do_hardly_write)
{
    struct group group = {0};
    struct fid fids[KEEPERS][ARRAY_LEN(sizes)];
    open_all(&group, 7, KEEPERS, 2);
    put_all(&group, fids);
    expect_equal(&group, 3 * ARRAY_LEN(sizes));
    group_run_for(&group, 70 * NS_PER_S);
    uint64_t before = records_of(&group);
    group_run_for(&group, 600 * NS_PER_S);
    uint64_t sources = 3 * 4, minutes = 10; /* positions, leases, what comparing finds covered */
    EXPECT(records_of(&group) - before <= 5 * sources * minutes);
    group_close(&group);
}

TEST(a_mirror_without_space_takes_what_it_missed_when_there_is_space_again)
{
    struct group group = {0};
    struct fid fids[KEEPERS][ARRAY_LEN(sizes)], more[ARRAY_LEN(sizes)];
    open_all(&group, 30, 2, 1);
    put_all(&group, fids);
    expect_equal(&group, 2 * ARRAY_LEN(sizes));
    struct sim_disk_faults *faults = sim_mount_faults(group.houses[1].node, "/m0");
    faults->is_full = true;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        more[i] = group_put(&group, 0, sizes[i], 60);
    group_run_for(&group, 5 * NS_PER_S);
    uint64_t files = 3 * ARRAY_LEN(sizes);
    EXPECT(!are_equal(&group, &files));
    faults->is_full = false;
    expect_equal(&group, files);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        group_expect(&group, 1, &more[i], sizes[i], 60);
    for (unsigned i = 0; i < 2; i++)
        group_stop(&group, i);
    group_close(&group);
}

TEST(slots_that_are_used_again_quickly_are_used_again_in_order_at_the_mirror)
{
    enum { FILES = 40, ROUNDS = 6 };
    struct group group = {0};
    struct fid fids[FILES];
    uint64_t files = 0;
    open_all(&group, 31, 2, 1);
    group_run_for(&group, 2 * NS_PER_S); /* followed: the logs are kept from here on */
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < FILES; i++)
            fids[i] = group_put(&group, 0, 300 + (i * 977 + round * 1313) % 2300, i);
        for (unsigned i = 0; i < FILES; i++)
            if ((i + round) % 9 != 0)
                group_remove(&group, 0, &fids[i], true);
            else
                files++;
        if (round < ROUNDS - 3)
            expect_equal(&group, files);
        if (round == ROUNDS - 3) /* all that follows comes at once */
            group_stop(&group, 1);
    }
    group_start(&group, 1);
    group_introduce(&group);
    expect_equal(&group, files);
    for (unsigned i = 0; i < 2; i++)
        group_stop(&group, i);
    group_close(&group);
}
