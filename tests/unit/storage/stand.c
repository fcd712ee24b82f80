#include "tests/unit/storage/stand.h"

#include "sim/mem.h"
#include "tests/lib/test.h"

void stand_open(struct stand *stand, uint64_t seed, const struct store_lab_options *options)
{
    struct store_lab_options small;
    store_lab_options_small(&small);
    stand->world = sim_world_new(seed);
    store_lab_init(&stand->lab, stand->world, options ? options : &small);
    EXPECT_OK(store_lab_boot(&stand->lab));
}

void stand_reopen(struct stand *stand)
{
    EXPECT(store_lab_close(&stand->lab));
    EXPECT_OK(store_lab_boot(&stand->lab));
}

void stand_close(struct stand *stand)
{
    EXPECT(store_lab_close(&stand->lab));
    sim_world_free(stand->world);
}

void stand_fill(uint8_t *data, size_t size, unsigned mark)
{
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(mark * 31 + i * 7 + (i >> 8));
}

static struct store_call *call_new(
    struct stand *stand, enum store_call_kind kind, size_t size, unsigned mark)
{
    struct store_call *call = store_call_new(stand->world, kind, mark);
    uint8_t *data = sim_alloc(size + 1);
    stand_fill(data, size, mark);
    store_call_set_content(call, data, size);
    sim_free(data);
    return call;
}

/* Runs and frees; told and error exclude each other. */
static err_t call_end(struct stand *stand, struct store_call *call)
{
    EXPECT(store_call_run(call, &stand->lab, &stand->lab.stores[0]));
    EXPECT_EQ(call->is_told, !err_is(call->err));
    return call->err;
}

err_t stand_try_upload(struct stand *stand, size_t size, unsigned mark, struct fid *ret_fid)
{
    struct store_call *call = call_new(stand, CALL_UPLOAD, size, mark);
    call->upload.request.is_mutable = true;
    call->upload.request.ack = ACK_LOCAL;
    err_t err = call_end(stand, call);
    if (!err_is(err)) {
        EXPECT_EQ(call->upload.result.size, size);
        *ret_fid = call->upload.result.fid;
    }
    store_call_free(call);
    return err;
}

struct fid stand_upload(struct stand *stand, size_t size, unsigned mark)
{
    struct fid fid = {0};
    EXPECT_OK(stand_try_upload(stand, size, mark, &fid));
    return fid;
}

err_t stand_try_modify(struct stand *stand, const struct fid *fid, uint8_t mode, uint64_t offset,
    size_t size, unsigned mark)
{
    struct store_call *call = call_new(stand, CALL_MODIFY, size, mark);
    call->modify.request.fid = *fid;
    call->modify.request.mode = mode;
    call->modify.request.offset = offset;
    call->modify.request.ack = ACK_LOCAL;
    err_t err = call_end(stand, call);
    store_call_free(call);
    return err;
}

void stand_modify(struct stand *stand, const struct fid *fid, uint8_t mode, uint64_t offset,
    size_t size, unsigned mark)
{
    EXPECT_OK(stand_try_modify(stand, fid, mode, offset, size, mark));
}

void stand_remove(struct stand *stand, const struct fid *fid, bool existed)
{
    struct store_call *call = store_call_new(stand->world, CALL_REMOVE, 1);
    call->remove.fid = *fid;
    call->remove.ack = ACK_LOCAL;
    EXPECT_OK(call_end(stand, call));
    EXPECT_EQ(call->remove.result.existed, existed);
    store_call_free(call);
}

err_t stand_find_err(struct stand *stand, const struct fid *fid)
{
    struct store_call *call = store_call_new(stand->world, CALL_FIND, 1);
    call->find.fid = *fid;
    err_t err = call_end(stand, call);
    store_call_free(call);
    return err;
}

void stand_expect_content(
    struct stand *stand, const struct fid *fid, const uint8_t *data, size_t size)
{
    struct store_call *call = store_call_new(stand->world, CALL_FIND, 1);
    call->find.fid = *fid;
    EXPECT_OK(call_end(stand, call));
    EXPECT_EQ(call->found_size, size);
    EXPECT(size == 0 || memcmp(call->found, data, size) == 0);
    store_call_free(call);
    call = store_call_new(stand->world, CALL_STAT, 1);
    call->stat.fid = *fid;
    EXPECT_OK(call_end(stand, call));
    EXPECT_EQ(call->found_total, size);
    store_call_free(call);
}

void stand_expect(struct stand *stand, const struct fid *fid, size_t size, unsigned mark)
{
    uint8_t *data = sim_alloc(size + 1);
    stand_fill(data, size, mark);
    stand_expect_content(stand, fid, data, size);
    sim_free(data);
}
