/* What those who follow a stream rely on: being told, and the watermark: no id at or below it ever
 * appears in a later record, whatever is under way, crashes, or happens to the clock. */
#include <errno.h>
#include <stdlib.h>

#include "sim/mem.h"
#include "tests/lib/test.h"
#include "tests/unit/storage/stand.h"

enum { STREAMS = 3, FLIGHTS = 6, TOLD_MAX = 4000 };

/* ---- reading a log from its beginning ---- */

struct drain {
    struct machine machine;
    struct stream *stream;
    struct log_read read;
    bool is_over;
    void (*each)(void *context, const struct record *record);
    void *context;
};

enum { DRAIN_READ, DRAIN_TAKE, DRAIN_UNWIND, DRAIN_DONE };

static struct drain *drain_of(struct machine *machine)
{
    return CONTAINER_OF(machine, struct drain, machine);
}

static int drain_read(struct machine *machine)
{
    struct drain *drain = drain_of(machine);
    int wait = machine_wait_in(machine, DRAIN_TAKE, 1);
    bool is_there = log_tail_read(&drain->stream->tail, &drain->read, machine);
    if (is_there)
        machine_arrive(machine);
    return wait;
}

static int drain_take(struct machine *machine)
{
    struct drain *drain = drain_of(machine);
    if (err_is(drain->read.err))
        return machine_fail(machine, drain->read.err);
    for (size_t at = 0; at < drain->read.size;) {
        struct record record;
        size_t size;
        err_t err =
            record_decode(span_of(drain->read.buffer + at, drain->read.size - at), &record, &size);
        if (err_is(err))
            return machine_fail(machine, err);
        drain->each(drain->context, &record);
        at += size;
    }
    bool is_end = drain->read.size == 0;
    drain->read.lsn = drain->read.lsn_next;
    return is_end ? DRAIN_UNWIND : DRAIN_READ;
}

static int drain_unwind(struct machine *machine)
{
    drain_of(machine)->is_over = true;
    return DRAIN_DONE;
}

static int drain_done(struct machine *machine)
{
    owner_close(&machine->owner);
    return STAGE_END;
}

static const struct stage drain_stages[] = {
    {"read", drain_read, BIT(DRAIN_TAKE), 0},
    {"take", drain_take, BIT(DRAIN_READ), 0},
    {"unwind", drain_unwind, BIT(DRAIN_DONE), 0},
    {"done", drain_done, 0, 0},
};
static const struct machine_kind drain_kind = {"drain", drain_stages, 4, DRAIN_UNWIND, DRAIN_DONE};

static bool drain_is_over(void *context)
{
    return ((struct drain *)context)->is_over;
}

static void read_whole_log(struct stand *stand, struct stream *stream,
    void (*each)(void *context, const struct record *record), void *context)
{
    struct drain drain = {.stream = stream, .each = each, .context = context};
    size_t size = stream->options.log_buffer_size;
    uint8_t *buffer = aligned_alloc(LOG_PAGE, size);
    log_read_open(&drain.read, &stream->tail, buffer, size);
    drain.read.lsn = log_tail_first(&stream->tail);
    machine_start(&drain.machine, &drain_kind, &stream->options.io->run, DIRECTION_SYNC_SEND);
    EXPECT(sim_world_run_until(stand->world, drain_is_over, &drain, UINT64_C(10000000000)));
    EXPECT_OK(drain.machine.err);
    log_read_close(&drain.read);
    free(buffer);
}

/* ---- the property ---- */

struct told {
    uint64_t lsn, watermark;
};

struct lifetime {
    struct stand stand;
    struct prng prng;
    struct store_call *flights[FLIGHTS];
    struct told told[STREAMS][TOLD_MAX];
    uint32_t told_count[STREAMS];
    uint8_t content[40000];
    uint64_t uploads, moved;
    bool forgets_holds; /* canary: ids under way do not hold the watermark back */
};

static uint64_t below(struct lifetime *life, uint64_t n)
{
    return prng_below(&life->prng, n);
}

static void begin_upload(struct lifetime *life, struct store_call **flight)
{
    struct store_call *call =
        store_call_new(life->stand.world, CALL_UPLOAD, prng_next(&life->prng));
    size_t size = below(life, 4) == 0 ? below(life, sizeof life->content) : below(life, 3000);
    store_call_set_content(call, life->content, size);
    call->piece_max = 1 + below(life, 4000);
    call->delay_ns_max = (uint32_t)below(life, 3) * 400000000;
    call->cut_at = below(life, 6) == 0 ? below(life, size + 1) : SIZE_MAX;
    call->upload.request.ack = below(life, 3) == 0 ? ACK_MEMORY : ACK_LOCAL;
    *flight = call;
    life->uploads++;
    store_call_start(call, &life->stand.lab.stores[0]);
}

static void drop_holds(struct lifetime *life)
{
    for (unsigned i = 0; i < STREAMS; i++) {
        struct stream *stream = store_lab_stream(&life->stand.lab, i);
        for (struct list *node; (node = list_pop_front(&stream->held_clocks)) != NULL;) {
        }
    }
}

static void ask(struct lifetime *life, unsigned index)
{
    struct stream *stream = store_lab_stream(&life->stand.lab, index);
    if (life->forgets_holds)
        drop_holds(life);
    uint64_t watermark = stream_watermark(stream);
    uint32_t count = life->told_count[index];
    if (count == TOLD_MAX)
        return;
    if (count > 0) {
        EXPECT(watermark >= life->told[index][count - 1].watermark || watermark == 0);
        life->moved += watermark > life->told[index][count - 1].watermark;
    }
    if (watermark > 0)
        life->told[index][life->told_count[index]++] =
            (struct told){stream->log.lsn_durable, watermark};
}

static void end_flights(struct lifetime *life, bool are_dead)
{
    for (unsigned i = 0; i < FLIGHTS; i++) {
        if (!life->flights[i])
            continue;
        while (!are_dead && !life->flights[i]->is_done)
            EXPECT(sim_world_step(life->stand.world));
        store_call_free(life->flights[i]);
        life->flights[i] = NULL;
    }
}

static void restart(struct lifetime *life)
{
    struct store_lab *lab = &life->stand.lab;
    uint64_t how = below(life, 3);
    if (how == 0) {
        end_flights(life, false);
        EXPECT(store_lab_close(lab));
    } else {
        store_lab_kill(lab, how == 1);
        end_flights(life, true);
    }
    if (below(life, 2) == 0)
        sim_node_clock_set(lab->node, -(int64_t)below(life, 200000000000), 0);
    EXPECT_OK(store_lab_boot(lab));
}

static void live(struct lifetime *life)
{
    uint64_t dice = below(life, 1000);
    struct store_call **flight = &life->flights[below(life, FLIGHTS)];
    if (dice < 200) {
        if (*flight && (*flight)->is_done) {
            store_call_free(*flight);
            *flight = NULL;
        }
        if (!*flight)
            begin_upload(life, flight);
    } else if (dice < 300) {
        ask(life, (unsigned)below(life, STREAMS));
    } else if (dice < 970) {
        (void)sim_world_step(life->stand.world);
    } else if (dice < 985) {
        sim_world_run_for(life->stand.world, below(life, 3000000000));
    } else if (dice < 993) {
        int64_t by = (int64_t)below(life, 100000000000) - 60000000000;
        sim_node_clock_set(life->stand.lab.node, by, 0);
    } else if (dice < 997) {
        restart(life);
    }
}

/* ---- the judgement: every record of a log in order ---- */

struct judge {
    const struct told *told;
    uint32_t count, at;
    uint64_t stamped; /* the highest that a record before carried */
    uint64_t uploads;
    bool is_wrong;
};

static void judge_record(void *context, const struct record *record)
{
    struct judge *judge = context;
    uint64_t highest = judge->stamped;
    while (judge->at < judge->count && judge->told[judge->at].lsn < record->lsn)
        judge->at++;
    if (judge->at > 0 && judge->told[judge->at - 1].watermark > highest)
        highest = judge->told[judge->at - 1].watermark;
    if (record->kind == RECORD_UPLOAD) {
        judge->uploads++;
        judge->is_wrong |= record->identity.clock <= highest;
        judge->is_wrong |= record->watermark == 0;
    }
    bool is_stamped = record->kind == RECORD_UPLOAD;
    if (is_stamped && record->watermark > judge->stamped)
        judge->stamped = record->watermark;
}

static uint64_t life_run(struct lifetime *life, uint64_t seed)
{
    struct store_lab_options options;
    store_lab_options_small(&options);
    options.stream_count = STREAMS;
    options.store.retains_log = true;
    options.store.log_segment_count_max = 40;
    options.store.log_ring_size = 16 * 1024;
    prng_init(&life->prng, seed);
    stand_open(&life->stand, seed, &options);
    for (int i = 0; i < 3000; i++)
        live(life);
    end_flights(life, false);
    uint64_t wrong = 0, uploads = 0;
    for (unsigned i = 0; i < STREAMS; i++) {
        struct judge judge = {.told = life->told[i], .count = life->told_count[i]};
        read_whole_log(&life->stand, store_lab_stream(&life->stand.lab, i), judge_record, &judge);
        wrong += judge.is_wrong;
        uploads += judge.uploads;
    }
    EXPECT(uploads > 20);
    stand_close(&life->stand);
    return wrong;
}

static struct lifetime life;

TEST(no_id_at_or_below_a_watermark_ever_appears_in_a_later_record)
{
    uint64_t moved = 0;
    for (uint64_t seed = 1; seed <= 25; seed++) {
        life = (struct lifetime){0};
        EXPECT_EQ(life_run(&life, seed), 0);
        moved += life.moved;
    }
    EXPECT(moved > 500);
}

TEST(canary_a_watermark_that_does_not_wait_for_ids_under_way_is_found)
{
    uint64_t wrong = 0;
    for (uint64_t seed = 1; seed <= 25 && wrong == 0; seed++) {
        life = (struct lifetime){.forgets_holds = true};
        wrong = life_run(&life, seed);
    }
    EXPECT(wrong > 0);
}

TEST(the_watermark_of_an_idle_stream_follows_the_wall_clock)
{
    struct stand stand;
    stand_open(&stand, 1, NULL);
    struct stream *stream = store_lab_stream(&stand.lab, 0);
    uint64_t before = stream_watermark(stream);
    for (int i = 0; i < 100; i++) {
        sim_world_run_for(stand.world, UINT64_C(5000000000));
        (void)stream_watermark(stream);
    }
    uint64_t behind = id_clock_of_wall(io_wall(stream->options.io)) - stream_watermark(stream);
    EXPECT(stream_watermark(stream) > before);
    EXPECT(behind <= (UINT64_C(6) << ID_CLOCK_SEQUENCE_BITS));
    stand_close(&stand);
}

static struct store_call *slow_upload(struct stand *stand, const uint8_t *content, size_t size)
{
    struct store_call *call = store_call_new(stand->world, CALL_UPLOAD, 1);
    store_call_set_content(call, content, size);
    call->piece_max = 500;
    call->delay_ns_max = 500000000;
    call->upload.request.ack = ACK_LOCAL;
    call->upload.request.size_known = true;
    call->upload.request.size = size;
    store_call_start(call, &stand->lab.stores[0]);
    return call;
}

static void end_upload(struct stand *stand, struct store_call *call)
{
    while (!call->is_done)
        EXPECT(sim_world_step(stand->world));
    store_call_free(call);
}

TEST(a_single_file_under_way_holds_the_watermark_back_until_it_ends)
{
    struct stand stand;
    static const uint8_t content[20000];
    stand_open(&stand, 1, NULL);
    struct stream *stream = store_lab_stream(&stand.lab, 0);
    struct store_call *call = slow_upload(&stand, content, sizeof content);
    sim_world_run_for(stand.world, UINT64_C(2000000000));
    EXPECT(!call->is_done);
    uint64_t watermark = stream_watermark(stream);
    EXPECT_EQ(watermark, call->upload.header.identity.clock - 1);
    end_upload(&stand, call);
    EXPECT(stream_watermark(stream) > watermark + 1);
    stand_close(&stand);
}

TEST(a_packed_file_has_no_id_while_its_content_comes_in_and_holds_nothing_back)
{
    struct stand stand;
    static const uint8_t content[10000];
    stand_open(&stand, 1, NULL);
    struct stream *stream = store_lab_stream(&stand.lab, 0);
    struct store_call *call = slow_upload(&stand, content, sizeof content);
    sim_world_run_for(stand.world, UINT64_C(2000000000));
    EXPECT(!call->is_done);
    EXPECT_EQ(call->upload.header.identity.clock, 0);
    uint64_t watermark = stream_watermark(stream);
    EXPECT(watermark >= id_clock_of_wall(io_wall(stream->options.io)));
    while (!call->is_done)
        EXPECT(sim_world_step(stand.world));
    EXPECT(call->upload.header.identity.clock > watermark);
    store_call_free(call);
    stand_close(&stand);
}

/* ---- watchers ---- */

struct counter {
    struct stream_watcher watcher;
    struct stream *stream;
    uint64_t lsn;
    unsigned calls;
    bool leaves; /* when it is told */
};

static void count_moved(struct stream_watcher *watcher)
{
    struct counter *counter = CONTAINER_OF(watcher, struct counter, watcher);
    counter->calls++;
    counter->lsn = counter->stream->log.lsn_durable;
    if (counter->leaves)
        stream_unwatch(watcher);
}

TEST(watchers_are_told_of_every_commit_and_may_leave_when_told)
{
    struct stand stand;
    stand_open(&stand, 1, NULL);
    struct stream *stream = store_lab_stream(&stand.lab, 0);
    struct counter stays = {.stream = stream, .watcher.moved = count_moved};
    struct counter leaves = {.stream = stream, .watcher.moved = count_moved, .leaves = true};
    stream_watch(stream, &leaves.watcher);
    stream_watch(stream, &stays.watcher);
    for (unsigned i = 0; i < 5; i++) {
        (void)stand_upload(&stand, 100, i);
        sim_world_run_for(stand.world, 1000000);
        EXPECT_EQ(stays.lsn, stream->log.lsn_durable);
    }
    EXPECT(stays.calls >= 5);
    EXPECT_EQ(leaves.calls, 1);
    stream_unwatch(&stays.watcher);
    stream_unwatch(&stays.watcher);
    stand_close(&stand);
}

TEST(watchers_are_told_when_the_stream_fails)
{
    struct stand stand;
    stand_open(&stand, 1, NULL);
    struct stream *stream = store_lab_stream(&stand.lab, 0);
    struct counter counter = {.stream = stream, .watcher.moved = count_moved};
    stream_watch(stream, &counter.watcher);
    stream_fail(stream, ERR(IO, EIO));
    sim_world_run_for(stand.world, 1000000);
    EXPECT(counter.calls > 0);
    stream_unwatch(&counter.watcher);
    stand_close(&stand);
}

TEST(watchers_are_told_when_retained_records_are_given_up)
{
    struct stand stand;
    stand_open(&stand, 1, NULL);
    struct stream *stream = store_lab_stream(&stand.lab, 0);
    struct counter counter = {.stream = stream, .watcher.moved = count_moved};
    stream_watch(stream, &counter.watcher);
    stream_retain(stream, 0);
    EXPECT(!stream_retain_is_broken(stream));
    for (unsigned i = 0; i < 400 && !stream_retain_is_broken(stream); i++)
        (void)stand_upload(&stand, 2000, i);
    EXPECT(stream_retain_is_broken(stream));
    EXPECT(log_tail_first(&stream->tail) > 1);
    stream_retain(stream, stream->log.lsn_durable);
    EXPECT(!stream_retain_is_broken(stream));
    (void)stand_upload(&stand, 2000, 1);
    stream_unwatch(&counter.watcher);
    stand_close(&stand);
}
