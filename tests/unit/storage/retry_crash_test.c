/* An upload, a crash behind every single disk operation, a restart: what is stored is known by its mark,
 * and what is known is stored. */
#include <stdlib.h>

#include "sim/mem.h"
#include "storage/retry.h"
#include "storage/server.h"
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
        char id[FID_TEXT_MAX] = "", id_told[FID_TEXT_MAX] = "";
        (void)fid_format(&fid, id);
        (void)fid_format(told, id_told);
        EXPECT_TEXT(id, id_told);
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

/* ---- what is on its way to the log when it is asked for again ---- */

static void note_answer(struct upload_ask *ask)
{
    *(bool *)ask->context = true;
}

static struct storage *one_loop(struct store_lab *lab)
{
    struct storage *storage = calloc(1, sizeof *storage);
    struct storage_loop *loop = &storage->loops[0];
    struct store_config config = lab->options.store;
    config.loop_count = 1;
    storage->loop_count = 1;
    loop->storage = storage;
    loop->io = sim_loop_new(lab->world, lab->node, 0);
    mem_init(&loop->mem, &loop->io->ledger);
    EXPECT_OK(store_init(&loop->store, loop->io, &loop->mem, &storage->clock, &config));
    struct store_mount_options mount = {.path = STORE_LAB_PATH,
        .stream_count = 1,
        .incarnation = 1,
        .chunk_count_max = lab->options.chunk_count_max,
        .does_not_wait = true};
    memset(mount.mount_uuid, 0xa5, sizeof mount.mount_uuid);
    EXPECT_OK(store_open_mount(&loop->store, &mount));
    while (!stream_is_ready(loop->store.mounts[0].streams[0]))
        EXPECT(sim_world_step(lab->world));
    loop->is_store_open = true;
    return storage;
}

static void end_loop(struct storage *storage, struct sim_world *world)
{
    struct storage_loop *loop = &storage->loops[0];
    store_close_begin(&loop->store);
    while (!store_close_is_quiet(&loop->store))
        EXPECT(sim_world_step(world));
    store_close_end(&loop->store);
    sim_loop_free(loop->io);
    free(storage);
}

TEST(an_upload_whose_commit_is_under_way_is_waited_for)
{
    struct stand stand;
    stand_open(&stand, 1, NULL);
    EXPECT(store_lab_close(&stand.lab));
    struct storage *storage = one_loop(&stand.lab);
    struct store *store = &storage->loops[0].store;
    struct store_call *call = upload_call(&stand, 3000);
    store_call_start(call, store);
    while (!call->upload.append.buffer)
        EXPECT(sim_world_step(stand.world));
    bool is_answered = false;
    struct upload_ask ask = {.nonce = mark, .answered = note_answer, .context = &is_answered};
    upload_ask_start(&ask, &storage->loops[0]);
    while (!list_is_linked(&ask.link))
        EXPECT(sim_world_step(stand.world));
    EXPECT(!call->is_done && !call->upload.is_superseded);
    while (!is_answered)
        EXPECT(sim_world_step(stand.world));
    EXPECT(call->is_done);
    EXPECT_OK(call->err);
    EXPECT(ask.is_known);
    EXPECT_EQ(ask.known.identity.clock, store_call_result(call)->fid.identity.clock);
    store_call_free(call);
    end_loop(storage, stand.world);
    EXPECT_OK(store_lab_boot(&stand.lab));
    stand_close(&stand);
}
