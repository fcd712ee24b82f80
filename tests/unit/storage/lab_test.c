/* The whole way once: upload, find, stat, delete, modify; an orderly end; and all of it again. */
#include "sim/mem.h"
#include "tests/lib/test.h"
#include "tests/unit/storage/stand.h"

static const size_t sizes[] = {0, 1, 100, 2048, 2049, 16 * 1024, 16 * 1024 + 1, 70000, 200000};

TEST(an_empty_store_opens_and_closes_again)
{
    struct stand stand;
    stand_open(&stand, 1, NULL);
    stand_reopen(&stand);
    stand_close(&stand);
}

TEST(what_was_uploaded_is_found_before_and_after_a_restart)
{
    struct stand stand;
    struct fid fids[ARRAY_LEN(sizes)];
    stand_open(&stand, 2, NULL);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        fids[i] = stand_upload(&stand, sizes[i], (unsigned)i);
        EXPECT_EQ(fids[i].is_packed, sizes[i] <= 16 * 1024);
    }
    for (unsigned round = 0; round < 2; round++) {
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
            stand_expect(&stand, &fids[i], sizes[i], (unsigned)i);
        stand_reopen(&stand);
    }
    stand_close(&stand);
}

TEST(what_was_deleted_is_not_found_before_and_after_a_restart)
{
    struct stand stand;
    struct fid fids[ARRAY_LEN(sizes)];
    stand_open(&stand, 3, NULL);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        fids[i] = stand_upload(&stand, sizes[i], (unsigned)i);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i += 2)
        stand_remove(&stand, &fids[i], true);
    for (unsigned round = 0; round < 2; round++) {
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
            if (i % 2 == 1)
                stand_expect(&stand, &fids[i], sizes[i], (unsigned)i);
            else
                EXPECT_ERR(stand_find_err(&stand, &fids[i]), NOT_FOUND);
        }
        stand_remove(&stand, &fids[0], false);
        stand_reopen(&stand);
    }
    stand_close(&stand);
}

TEST(a_modified_file_has_its_new_content_before_and_after_a_restart)
{
    struct stand stand;
    stand_open(&stand, 4, NULL);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
            struct fid fid = stand_upload(&stand, sizes[i], 1);
            stand_modify(&stand, &fid, MODIFY_REPLACE, 0, sizes[k], 2);
            stand_expect(&stand, &fid, sizes[k], 2);
            uint8_t *data = sim_alloc(sizes[k] + 3001);
            stand_fill(data, sizes[k], 2);
            stand_modify(&stand, &fid, MODIFY_APPEND, 0, 3000, 3);
            stand_fill(data + sizes[k], 3000, 3);
            stand_expect_content(&stand, &fid, data, sizes[k] + 3000);
            stand_modify(&stand, &fid, MODIFY_WRITE, sizes[k] / 2, 1000, 4);
            stand_fill(data + sizes[k] / 2, 1000, 4);
            stand_expect_content(&stand, &fid, data, sizes[k] + 3000);
            stand_modify(&stand, &fid, MODIFY_TRUNCATE, sizes[k] / 3, 0, 0);
            stand_expect_content(&stand, &fid, data, sizes[k] / 3);
            stand_reopen(&stand);
            stand_expect_content(&stand, &fid, data, sizes[k] / 3);
            stand_remove(&stand, &fid, true);
            sim_free(data);
        }
    }
    stand_close(&stand);
}

TEST(what_was_acknowledged_survives_a_power_loss)
{
    struct stand stand;
    struct fid fids[ARRAY_LEN(sizes)];
    stand_open(&stand, 5, NULL);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        fids[i] = stand_upload(&stand, sizes[i], (unsigned)i);
    for (unsigned round = 0; round < 3; round++) {
        store_lab_kill(&stand.lab, true);
        EXPECT_OK(store_lab_boot(&stand.lab));
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
            stand_expect(&stand, &fids[i], sizes[i], (unsigned)i);
    }
    stand_close(&stand);
}
