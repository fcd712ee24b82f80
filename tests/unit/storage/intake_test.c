/* What one storage did, brought to another one: every kind of change, once. */
#include "sim/mem.h"
#include "tests/lib/test.h"
#include "tests/unit/storage/mirror_stand.h"
#include "tests/unit/storage/stand.h"

static const size_t sizes[] = {
    0, 1, 100, 2047, 2048, 2049, 16 * 1024, 16 * 1024 + 1, 70000, 200000};

TEST(what_one_storage_has_its_mirror_has_too)
{
    struct mirror_stand stand;
    struct fid fids[ARRAY_LEN(sizes)];
    mirror_stand_open(&stand, 1, 2, NULL);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        fids[i] = mirror_upload(&stand, 0, sizes[i], (unsigned)i);
    mirror_collect(&stand, 0);
    EXPECT_EQ(stand.cargo_count[0], ARRAY_LEN(sizes));
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        EXPECT_ERR(mirror_find(&stand, 1, &fids[i], sizes[i], (unsigned)i, NULL), NOT_FOUND);
    mirror_deliver_all(&stand, 1, 0, 0);
    for (unsigned round = 0; round < 2; round++) {
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
            EXPECT_OK(mirror_find(&stand, 1, &fids[i], sizes[i], (unsigned)i, NULL));
        mirror_expect_equal(&stand, 0, 1);
    }
    mirror_stand_close(&stand);
}

/* Sizes that grow and shrink a content through all places: home, target, single file, and back. */
static void change_a_lot(struct mirror_stand *stand, struct fid *fids, size_t count)
{
    static const size_t news[] = {3000, 40, 30000, 500, 16384, 90000, 10};
    for (size_t k = 0; k < ARRAY_LEN(news); k++) {
        for (size_t i = 0; i < count; i++) {
            mirror_modify(stand, 0, &fids[i], MODIFY_REPLACE, 0, news[k], (unsigned)(i + k));
            mirror_collect(stand, 0);
            mirror_modify(stand, 0, &fids[i], MODIFY_APPEND, 0, 700 * (i % 3), 3);
            mirror_collect(stand, 0);
            mirror_modify(stand, 0, &fids[i], MODIFY_WRITE, news[k] / 2, 900, 4);
            mirror_collect(stand, 0);
            mirror_modify(stand, 0, &fids[i], MODIFY_TRUNCATE, news[k] / 3 + 100 * i, 0, 0);
            mirror_collect(stand, 0);
        }
    }
}

static void expect_same(struct mirror_stand *stand, const struct fid *fid)
{
    struct store_call *calls[2];
    for (unsigned i = 0; i < 2; i++) {
        calls[i] = store_call_new(stand->world, CALL_FIND, 1);
        calls[i]->find.fid = *fid;
        EXPECT(store_call_run(calls[i], &stand->labs[i], store_lab_owner(&stand->labs[i], fid)));
    }
    EXPECT_EQ(calls[0]->err.code, calls[1]->err.code);
    EXPECT_EQ(calls[0]->found_size, calls[1]->found_size);
    EXPECT(calls[0]->found_size == 0 || calls[0]->found_size != calls[1]->found_size
           || memcmp(calls[0]->found, calls[1]->found, calls[0]->found_size) == 0);
    EXPECT(version_equals(calls[0]->version, calls[1]->version));
    store_call_free(calls[0]);
    store_call_free(calls[1]);
}

TEST(every_kind_of_change_reaches_the_mirror)
{
    struct mirror_stand stand;
    struct fid fids[ARRAY_LEN(sizes)];
    mirror_stand_open(&stand, 2, 2, NULL);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        fids[i] = mirror_upload(&stand, 0, sizes[i], (unsigned)i);
    mirror_collect(&stand, 0);
    change_a_lot(&stand, fids, ARRAY_LEN(sizes));
    stand.body_piece = 1000;
    mirror_deliver_all(&stand, 1, 0, 0);
    EXPECT_EQ(stand.fetches, 0);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        expect_same(&stand, &fids[i]);
    mirror_expect_equal(&stand, 0, 1);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        expect_same(&stand, &fids[i]);
    mirror_stand_close(&stand);
}

TEST(changes_that_come_again_change_nothing)
{
    struct mirror_stand stand;
    struct fid fids[4];
    mirror_stand_open(&stand, 3, 2, NULL);
    for (size_t i = 0; i < 4; i++)
        fids[i] = mirror_upload(&stand, 0, sizes[2 * i + 2], (unsigned)i);
    mirror_collect(&stand, 0);
    change_a_lot(&stand, fids, 4);
    mirror_remove(&stand, 0, &fids[1]);
    mirror_remove(&stand, 0, &fids[3]);
    mirror_collect(&stand, 0);
    mirror_deliver_all(&stand, 1, 0, 0);
    EXPECT(mirror_is_equal(&stand, 0, 1));
    for (size_t first = 0; first < stand.cargo_count[0]; first += 17)
        mirror_deliver_all(&stand, 1, 0, first);
    for (size_t i = 0; i < 4; i++)
        expect_same(&stand, &fids[i]);
    mirror_expect_equal(&stand, 0, 1);
    mirror_stand_close(&stand);
}

TEST(a_deleted_file_is_gone_at_the_mirror_whatever_comes_late)
{
    struct mirror_stand stand;
    struct fid fids[ARRAY_LEN(sizes)];
    mirror_stand_open(&stand, 4, 2, NULL);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        fids[i] = mirror_upload(&stand, 0, sizes[i], (unsigned)i);
        mirror_collect(&stand, 0);
        mirror_modify(&stand, 0, &fids[i], MODIFY_REPLACE, 0, sizes[i] + 50, 5);
        mirror_collect(&stand, 0);
        mirror_remove(&stand, 0, &fids[i]);
        mirror_collect(&stand, 0);
    }
    EXPECT_EQ(stand.cargo_count[0], 3 * ARRAY_LEN(sizes));
    for (size_t i = stand.cargo_count[0]; i-- > 0;) { /* the deletes come first */
        struct mirror_result result = mirror_deliver(&stand, 1, &stand.cargo[0][i]);
        EXPECT_OK(result.err);
        EXPECT_EQ(result.verdict, i % 3 == 2 ? APPLY_APPLIED : APPLY_FINAL);
        EXPECT_EQ(result.is_held, i % 3 == 2);
    }
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        EXPECT_ERR(mirror_find(&stand, 1, &fids[i], 0, 0, NULL), NOT_FOUND);
    mirror_expect_equal(&stand, 0, 1);
    mirror_deliver_all(&stand, 1, 0, 0);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        EXPECT_ERR(mirror_find(&stand, 1, &fids[i], 0, 0, NULL), NOT_FOUND);
    mirror_expect_equal(&stand, 0, 1);
    mirror_stand_close(&stand);
}

TEST(slots_that_the_origin_uses_again_are_used_again_at_the_mirror)
{
    struct mirror_stand stand;
    enum { FILES = 60 };
    struct fid fids[FILES];
    mirror_stand_open(&stand, 5, 2, NULL);
    for (unsigned round = 0; round < 6; round++) {
        for (unsigned i = 0; i < FILES; i++) {
            fids[i] = mirror_upload(&stand, 0, 200 + (i * 977 + round * 313) % 5000, i);
            mirror_collect(&stand, 0);
        }
        for (unsigned i = 0; i < FILES; i++) {
            if ((i + round) % 7 == 0)
                continue;
            mirror_remove(&stand, 0, &fids[i]);
            mirror_collect(&stand, 0);
        }
    }
    mirror_deliver_all(&stand, 1, 0, 0);
    EXPECT(mirror_is_equal(&stand, 0, 1));
    for (unsigned i = 0; i < FILES; i++)
        expect_same(&stand, &fids[i]);
    mirror_expect_equal(&stand, 0, 1);
    mirror_stand_close(&stand);
}

/* Contents in targets of one storage, changed at another in every way: nothing is changed in place. */
TEST(a_target_of_another_storage_is_never_changed_in_place)
{
    static const size_t grown[] = {1500, 12000, 50000};
    static const struct {
        uint8_t mode;
        uint64_t offset;
        size_t size;
    } changes[] = {{MODIFY_REPLACE, 0, 900}, {MODIFY_APPEND, 0, 300}, {MODIFY_APPEND, 0, 40000},
        {MODIFY_WRITE, 1000, 200}, {MODIFY_TRUNCATE, 20, 0}, {MODIFY_TRUNCATE, 1200, 0},
        {MODIFY_TRUNCATE, 70000, 0}, {MODIFY_WRITE, 700, 30000}};
    struct mirror_stand stand;
    mirror_stand_open(&stand, 6, 2, NULL);
    for (size_t i = 0; i < ARRAY_LEN(grown); i++) {
        for (size_t k = 0; k < ARRAY_LEN(changes); k++) {
            struct fid fid = mirror_upload(&stand, 0, 100, 1);
            mirror_modify(&stand, 0, &fid, MODIFY_REPLACE, 0, grown[i], 2);
            mirror_collect(&stand, 0);
            mirror_deliver_all(&stand, 1, 0, stand.cargo_count[0] - 2);
            mirror_modify(&stand, 1, &fid, changes[k].mode, changes[k].offset, changes[k].size, 3);
            mirror_collect(&stand, 1);
            const struct record *record = &stand.cargo[1][stand.cargo_count[1] - 1].entry.record;
            if (record->flags & RECORD_AT_TARGET)
                EXPECT_EQ(record->target.machine, MIRROR_FIRST + 1);
            mirror_deliver_all(&stand, 0, 1, stand.cargo_count[1] - 1);
            expect_same(&stand, &fid);
        }
    }
    EXPECT_EQ(stand.fetches, 0);
    mirror_expect_equal(&stand, 0, 1);
    mirror_stand_close(&stand);
}
