/* The whole way once: upload, find, stat, delete, modify; an orderly end; and all of it again. */
#include "sim/mem.h"
#include "sim/store_call.h"
#include "tests/lib/test.h"

struct stand {
    struct sim_world *world;
    struct store_lab lab;
};

static void stand_open(struct stand *stand, uint64_t seed)
{
    struct store_lab_options options;
    store_lab_options_small(&options);
    stand->world = sim_world_new(seed);
    store_lab_init(&stand->lab, stand->world, &options);
    EXPECT_OK(store_lab_boot(&stand->lab));
}

static void stand_reopen(struct stand *stand)
{
    EXPECT(store_lab_close(&stand->lab));
    EXPECT_OK(store_lab_boot(&stand->lab));
}

static void stand_close(struct stand *stand)
{
    EXPECT(store_lab_close(&stand->lab));
    sim_world_free(stand->world);
}

static void fill(uint8_t *data, size_t size, unsigned mark)
{
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(mark * 31 + i * 7 + (i >> 8));
}

static struct fid upload(struct stand *stand, size_t size, unsigned mark)
{
    struct store_call *call = store_call_new(stand->world, CALL_UPLOAD, mark);
    uint8_t *data = sim_alloc(size + 1);
    fill(data, size, mark);
    store_call_set_content(call, data, size);
    call->upload.request.is_mutable = true;
    call->upload.request.ack = ACK_LOCAL;
    EXPECT(store_call_run(call, &stand->lab, &stand->lab.stores[0]));
    EXPECT_OK(call->err);
    EXPECT(call->is_told);
    EXPECT_EQ(call->upload.result.size, size);
    struct fid fid = call->upload.result.fid;
    store_call_free(call);
    sim_free(data);
    return fid;
}

static void expect_content(
    struct stand *stand, const struct fid *fid, const uint8_t *data, size_t size)
{
    struct store_call *call = store_call_new(stand->world, CALL_FIND, 1);
    call->find.fid = *fid;
    EXPECT(store_call_run(call, &stand->lab, &stand->lab.stores[0]));
    EXPECT_OK(call->err);
    EXPECT_EQ(call->found_size, size);
    EXPECT(size == 0 || memcmp(call->found, data, size) == 0);
    store_call_free(call);
    call = store_call_new(stand->world, CALL_STAT, 1);
    call->stat.fid = *fid;
    EXPECT(store_call_run(call, &stand->lab, &stand->lab.stores[0]));
    EXPECT_OK(call->err);
    EXPECT_EQ(call->found_total, size);
    store_call_free(call);
}

static void expect_marked(struct stand *stand, const struct fid *fid, size_t size, unsigned mark)
{
    uint8_t *data = sim_alloc(size + 1);
    fill(data, size, mark);
    expect_content(stand, fid, data, size);
    sim_free(data);
}

static err_t find_err(struct stand *stand, const struct fid *fid)
{
    struct store_call *call = store_call_new(stand->world, CALL_FIND, 1);
    call->find.fid = *fid;
    EXPECT(store_call_run(call, &stand->lab, &stand->lab.stores[0]));
    err_t err = call->err;
    store_call_free(call);
    return err;
}

static void remove_file(struct stand *stand, const struct fid *fid, bool existed)
{
    struct store_call *call = store_call_new(stand->world, CALL_REMOVE, 1);
    call->remove.fid = *fid;
    call->remove.ack = ACK_LOCAL;
    EXPECT(store_call_run(call, &stand->lab, &stand->lab.stores[0]));
    EXPECT_OK(call->err);
    EXPECT(call->is_told);
    EXPECT_EQ(call->remove.result.existed, existed);
    store_call_free(call);
}

static void modify(struct stand *stand, const struct fid *fid, uint8_t mode, uint64_t offset,
    size_t size, unsigned mark)
{
    struct store_call *call = store_call_new(stand->world, CALL_MODIFY, mark);
    uint8_t *data = sim_alloc(size + 1);
    fill(data, size, mark);
    store_call_set_content(call, data, size);
    call->modify.request.fid = *fid;
    call->modify.request.mode = mode;
    call->modify.request.offset = offset;
    call->modify.request.ack = ACK_LOCAL;
    EXPECT(store_call_run(call, &stand->lab, &stand->lab.stores[0]));
    EXPECT_OK(call->err);
    EXPECT(call->is_told);
    store_call_free(call);
    sim_free(data);
}

static const size_t sizes[] = {0, 1, 100, 2048, 2049, 16 * 1024, 16 * 1024 + 1, 70000, 200000};

TEST(an_empty_store_opens_and_closes_again)
{
    struct stand stand;
    stand_open(&stand, 1);
    stand_reopen(&stand);
    stand_close(&stand);
}

TEST(what_was_uploaded_is_found_before_and_after_a_restart)
{
    struct stand stand;
    struct fid fids[ARRAY_LEN(sizes)];
    stand_open(&stand, 2);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        fids[i] = upload(&stand, sizes[i], (unsigned)i);
        EXPECT_EQ(fids[i].is_packed, sizes[i] <= 16 * 1024);
    }
    for (unsigned round = 0; round < 2; round++) {
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
            expect_marked(&stand, &fids[i], sizes[i], (unsigned)i);
        stand_reopen(&stand);
    }
    stand_close(&stand);
}

TEST(what_was_deleted_is_not_found_before_and_after_a_restart)
{
    struct stand stand;
    struct fid fids[ARRAY_LEN(sizes)];
    stand_open(&stand, 3);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        fids[i] = upload(&stand, sizes[i], (unsigned)i);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i += 2)
        remove_file(&stand, &fids[i], true);
    for (unsigned round = 0; round < 2; round++) {
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
            if (i % 2 == 1)
                expect_marked(&stand, &fids[i], sizes[i], (unsigned)i);
            else
                EXPECT_ERR(find_err(&stand, &fids[i]), NOT_FOUND);
        }
        remove_file(&stand, &fids[0], false);
        stand_reopen(&stand);
    }
    stand_close(&stand);
}

TEST(a_modified_file_has_its_new_content_before_and_after_a_restart)
{
    struct stand stand;
    stand_open(&stand, 4);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
            struct fid fid = upload(&stand, sizes[i], 1);
            modify(&stand, &fid, MODIFY_REPLACE, 0, sizes[k], 2);
            expect_marked(&stand, &fid, sizes[k], 2);
            uint8_t *data = sim_alloc(sizes[k] + 3001);
            fill(data, sizes[k], 2);
            modify(&stand, &fid, MODIFY_APPEND, 0, 3000, 3);
            fill(data + sizes[k], 3000, 3);
            expect_content(&stand, &fid, data, sizes[k] + 3000);
            modify(&stand, &fid, MODIFY_WRITE, sizes[k] / 2, 1000, 4);
            fill(data + sizes[k] / 2, 1000, 4);
            expect_content(&stand, &fid, data, sizes[k] + 3000);
            modify(&stand, &fid, MODIFY_TRUNCATE, sizes[k] / 3, 0, 0);
            expect_content(&stand, &fid, data, sizes[k] / 3);
            stand_reopen(&stand);
            expect_content(&stand, &fid, data, sizes[k] / 3);
            remove_file(&stand, &fid, true);
            sim_free(data);
        }
    }
    stand_close(&stand);
}

TEST(what_was_acknowledged_survives_a_power_loss)
{
    struct stand stand;
    struct fid fids[ARRAY_LEN(sizes)];
    stand_open(&stand, 5);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        fids[i] = upload(&stand, sizes[i], (unsigned)i);
    for (unsigned round = 0; round < 3; round++) {
        store_lab_kill(&stand.lab, true);
        EXPECT_OK(store_lab_boot(&stand.lab));
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
            expect_marked(&stand, &fids[i], sizes[i], (unsigned)i);
    }
    stand_close(&stand);
}
