/* An upload, a crash behind every single disk operation, a restart: what is stored is known by its mark,
 * and what is known is stored. */
#include "sim/mem.h"
#include "tests/lib/test.h"
#include "tests/unit/storage/stand.h"

static uint8_t content[40000];
static const struct nonce mark = {{7, 7, 7}};

static struct store_call *upload_call(struct stand *stand, size_t size)
{
    struct store_call *call = store_call_new(stand->world, CALL_UPLOAD, 1);
    store_call_set_content(call, content, size);
    call->upload.request.ack = ACK_LOCAL;
    call->upload.request.nonce = mark;
    call->upload.request.is_mutable = true;
    return call;
}

static struct fid repeat(struct stand *stand, size_t size, err_t *ret_err)
{
    struct store *store = &stand->lab.stores[0];
    struct fid fid = {0};
    struct store_call *call = upload_call(stand, size);
    call->upload.known = recent_find(&store->recent, &mark);
    call->piece_max = 3000;
    EXPECT(store_call_run(call, &stand->lab, store));
    *ret_err = call->err;
    if (!err_is(call->err))
        fid = store_call_result(call)->fid;
    store_call_free(call);
    return fid;
}

static void expect_one_file(struct stand *stand, size_t size, const struct fid *told)
{
    err_t err;
    bool was_known = recent_find(&stand->lab.stores[0].recent, &mark) != NULL;
    EXPECT_EQ(store_lab_stream(&stand->lab, 0)->live_count, was_known);
    EXPECT(was_known || !told);
    struct fid fid = repeat(stand, size, &err);
    EXPECT_OK(err);
    EXPECT_EQ(store_lab_stream(&stand->lab, 0)->live_count, 1);
    stand_expect_content(stand, &fid, content, size);
    if (told) {
        EXPECT_EQ(fid.identity.clock, told->identity.clock);
        EXPECT(memcmp(&fid, told, sizeof fid) == 0);
    }
    (void)repeat(stand, size - 1, &err);
    EXPECT_ERR(err, CONFLICT);
}

/* Returns false when the upload went through before the crash was due. */
static bool crash_once(size_t size, uint64_t nth, enum sim_crash how, uint64_t *ret_known)
{
    struct stand stand;
    struct fid fid;
    stand_open(&stand, nth, NULL);
    struct store_call *call = upload_call(&stand, size);
    sim_world_crash_at(stand.world, stand.lab.node, nth, how);
    bool is_over = store_call_run(call, &stand.lab, &stand.lab.stores[0]);
    bool is_told = call->is_told;
    if (is_told)
        fid = store_call_result(call)->fid;
    sim_world_crash_at(stand.world, stand.lab.node, 0, SIM_CRASH_NONE);
    store_lab_kill(&stand.lab, how == SIM_CRASH_POWER);
    store_call_free(call);
    EXPECT_OK(store_lab_boot(&stand.lab));
    *ret_known += !is_told && recent_find(&stand.lab.stores[0].recent, &mark);
    expect_one_file(&stand, size, is_told ? &fid : NULL);
    stand_close(&stand);
    return !is_over;
}

TEST(what_a_crash_leaves_of_an_upload_is_known_by_its_mark_or_not_there)
{
    static const size_t sizes[] = {100, 5000, 40000};
    stand_fill(content, sizeof content, 1);
    uint64_t known = 0;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        for (enum sim_crash how = SIM_CRASH_KILL; how <= SIM_CRASH_POWER; how++)
            for (uint64_t nth = 1; crash_once(sizes[i], nth, how, &known); nth++) {
            }
    EXPECT(known > 0); /* committed, and not answered */
}

TEST(a_restart_in_order_knows_what_is_in_the_newest_segment)
{
    struct stand stand;
    stand_fill(content, sizeof content, 1);
    stand_open(&stand, 1, NULL);
    struct store_call *call = upload_call(&stand, 3000);
    EXPECT(store_call_run(call, &stand.lab, &stand.lab.stores[0]));
    struct fid fid = store_call_result(call)->fid;
    store_call_free(call);
    stand_reopen(&stand);
    expect_one_file(&stand, 3000, &fid);
    stand_close(&stand);
}
