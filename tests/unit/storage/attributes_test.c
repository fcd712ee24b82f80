/* Changes of attributes alone: the content, the id and whether a file may change stay as they are. */
#include "sim/mem.h"
#include "tests/lib/test.h"
#include "tests/unit/storage/stand.h"

static const size_t sizes[] = {0, 1, 100, 2048, 16 * 1024, 70000, 200000};
static const size_t metadata_sizes[] = {10, 400, 900, 0, 30};

static size_t wanted; /* bytes of metadata that edit() is to leave */

static err_t edit(struct modify *modify, struct span attributes, struct writer *w)
{
    uint8_t bytes[2 * SLOT_ATTRIBUTES_MAX];
    (void)modify;
    if (wanted == SIZE_MAX)
        return ERR(EXISTS, 0);
    stand_fill(bytes, wanted, 9);
    attributes_write_but(w, attributes, ATTRIBUTE_METADATA);
    attribute_write(w, ATTRIBUTE_METADATA, span_of(bytes, wanted));
    return ERR_OK;
}

static err_t try_edit(struct stand *stand, const struct fid *fid, size_t size)
{
    struct store_call *call = store_call_new(stand->world, CALL_MODIFY, 1);
    wanted = size;
    store_call_set_content(call, "", 0);
    call->modify.request = (struct modify_request){
        .fid = *fid, .mode = MODIFY_ATTRIBUTES, .ack = ACK_LOCAL, .edit = edit};
    EXPECT(store_call_run(call, &stand->lab, &stand->lab.stores[0]));
    err_t err = call->err;
    store_call_free(call);
    return err;
}

static void expect_metadata(
    struct stand *stand, const struct fid *fid, size_t size, bool is_mutable)
{
    struct store_call *call = store_call_new(stand->world, CALL_STAT, 1);
    call->stat.fid = *fid;
    EXPECT(store_call_run(call, &stand->lab, &stand->lab.stores[0]));
    EXPECT_OK(call->err);
    EXPECT_EQ(call->metadata_size, size);
    EXPECT_EQ((call->flags & SLOT_MUTABLE) != 0, is_mutable);
    store_call_free(call);
}

static struct fid upload(struct stand *stand, size_t size, bool is_mutable)
{
    struct store_call *call = store_call_new(stand->world, CALL_UPLOAD, 1);
    uint8_t *data = sim_alloc(size + 1);
    stand_fill(data, size, 1);
    store_call_set_content(call, data, size);
    call->upload.request.is_mutable = is_mutable;
    call->upload.request.ack = ACK_LOCAL;
    EXPECT(store_call_run(call, &stand->lab, &stand->lab.stores[0]));
    EXPECT_OK(call->err);
    struct fid fid = call->upload.result.fid;
    store_call_free(call);
    sim_free(data);
    return fid;
}

TEST(attributes_change_and_the_content_stays_before_and_after_a_restart)
{
    struct stand stand;
    stand_open(&stand, 31, NULL);
    for (size_t i = 0; i < 2 * ARRAY_LEN(sizes); i++) {
        bool is_mutable = i % 2 == 0;
        size_t size = sizes[i / 2];
        struct fid fid = upload(&stand, size, is_mutable);
        for (size_t k = 0; k < ARRAY_LEN(metadata_sizes); k++) {
            EXPECT_OK(try_edit(&stand, &fid, metadata_sizes[k]));
            expect_metadata(&stand, &fid, metadata_sizes[k], is_mutable);
            stand_expect(&stand, &fid, size, 1);
            stand_reopen(&stand);
            expect_metadata(&stand, &fid, metadata_sizes[k], is_mutable);
            stand_expect(&stand, &fid, size, 1);
        }
        stand_remove(&stand, &fid, true);
    }
    stand_close(&stand);
}

TEST(changed_attributes_survive_a_power_loss)
{
    struct stand stand;
    struct fid fids[ARRAY_LEN(sizes)];
    stand_open(&stand, 32, NULL);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        fids[i] = upload(&stand, sizes[i], false);
    for (size_t k = 0; k < ARRAY_LEN(metadata_sizes); k++) {
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
            EXPECT_OK(try_edit(&stand, &fids[i], metadata_sizes[k]));
        store_lab_kill(&stand.lab, true);
        EXPECT_OK(store_lab_boot(&stand.lab));
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
            expect_metadata(&stand, &fids[i], metadata_sizes[k], false);
            stand_expect(&stand, &fids[i], sizes[i], 1);
        }
    }
    stand_close(&stand);
}

TEST(attributes_stay_when_the_content_changes_and_goes_elsewhere)
{
    struct stand stand;
    stand_open(&stand, 33, NULL);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
            struct fid fid = upload(&stand, sizes[i], true);
            EXPECT_OK(try_edit(&stand, &fid, 500));
            stand_modify(&stand, &fid, MODIFY_REPLACE, 0, sizes[k], 2);
            expect_metadata(&stand, &fid, 500, true);
            EXPECT_OK(try_edit(&stand, &fid, 900));
            stand_modify(&stand, &fid, MODIFY_REPLACE, 0, sizes[i], 3);
            expect_metadata(&stand, &fid, 900, true);
            stand_expect(&stand, &fid, sizes[i], 3);
            stand_reopen(&stand);
            expect_metadata(&stand, &fid, 900, true);
            stand_expect(&stand, &fid, sizes[i], 3);
            stand_remove(&stand, &fid, true);
        }
    }
    stand_close(&stand);
}

TEST(a_change_of_attributes_that_is_refused_changes_nothing)
{
    struct stand stand;
    stand_open(&stand, 34, NULL);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct fid fid = upload(&stand, sizes[i], false);
        EXPECT_OK(try_edit(&stand, &fid, 20));
        EXPECT_ERR(try_edit(&stand, &fid, SIZE_MAX), EXISTS);
        EXPECT_ERR(try_edit(&stand, &fid, SLOT_ATTRIBUTES_MAX), TOO_LARGE);
        expect_metadata(&stand, &fid, 20, false);
        stand_expect(&stand, &fid, sizes[i], 1);
        stand_remove(&stand, &fid, true);
        EXPECT_ERR(try_edit(&stand, &fid, 20), NOT_FOUND);
    }
    stand_close(&stand);
}
