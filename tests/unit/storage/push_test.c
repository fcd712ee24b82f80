/* Pushing a stream to followers that a test scripts, in the simulator. */
#include "base/units.h"
#include "tests/lib/test.h"
#include "tests/unit/storage/follower.h"

#include <errno.h>

#include "sim/sweep.h"

static struct mirrors mirrors; /* large */

static const size_t sizes[] = {0, 1, 100, 2048, 2049, 16 * 1024, 16 * 1024 + 1, 70000, 600000};

static struct fid upload_all(struct fid fids[ARRAY_LEN(sizes)])
{
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        fids[i] = stand_upload(&mirrors.stand, sizes[i], (unsigned)i);
    return fids[0];
}

static void expect_all(uint32_t follower, const struct fid fids[ARRAY_LEN(sizes)])
{
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        follower_expect(&mirrors.followers[follower], &fids[i], sizes[i], (unsigned)i);
}

static bool never(void *context)
{
    (void)context;
    return false;
}

/* ---- what is sent ---- */

TEST(what_is_stored_while_the_follower_is_there_reaches_it)
{
    struct fid fids[ARRAY_LEN(sizes)];
    mirrors_open(&mirrors, 1, 1);
    mirrors_start(&mirrors);
    upload_all(fids);
    mirrors_expect_level(&mirrors);
    expect_all(0, fids);
    EXPECT_EQ(mirrors.followers[0].follows, 1);
    EXPECT_EQ(mirrors.followers[0].singles, 3);
    EXPECT_EQ(mirrors_push(&mirrors, 0)->left_out, 0);
    mirrors_close(&mirrors);
}

TEST(what_was_stored_before_the_follower_came_reaches_it_from_the_segments)
{
    struct fid fids[ARRAY_LEN(sizes)];
    mirrors_open(&mirrors, 2, 1);
    upload_all(fids);
    mirrors_start(&mirrors);
    mirrors_expect_level(&mirrors);
    expect_all(0, fids);
    mirrors_close(&mirrors);
}

TEST(modifies_and_deletes_reach_the_follower_in_the_order_of_the_log)
{
    struct fid fids[ARRAY_LEN(sizes)];
    mirrors_open(&mirrors, 3, 1);
    mirrors_start(&mirrors);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct fid fid = fids[i] = stand_upload(&mirrors.stand, sizes[i], 1);
        mirrors_expect_level(&mirrors); /* else a single file is overtaken */
        stand_modify(&mirrors.stand, &fid, MODIFY_APPEND, 0, 3000, 3);
        mirrors_expect_level(&mirrors);
        stand_modify(&mirrors.stand, &fid, MODIFY_WRITE, sizes[i] / 2, 1000, 4);
        stand_modify(&mirrors.stand, &fid, MODIFY_TRUNCATE, sizes[i] / 3, 0, 0);
        mirrors_expect_level(&mirrors);
        const struct follower_file *file = follower_find(&mirrors.followers[0], &fid.identity);
        EXPECT(file != NULL);
        EXPECT(!file->is_stale);
        stand_expect_content(&mirrors.stand, &fid, file->data, file->size);
    }
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        stand_remove(&mirrors.stand, &fids[i], true);
    mirrors_expect_level(&mirrors);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        EXPECT(follower_find(&mirrors.followers[0], &fids[i].identity)->is_deleted);
    mirrors_close(&mirrors);
}

TEST(a_single_file_that_was_changed_since_is_left_out_and_its_change_is_stale)
{
    mirrors_open(&mirrors, 4, 1);
    struct fid fid = stand_upload(&mirrors.stand, 300000, 1);
    stand_modify(&mirrors.stand, &fid, MODIFY_REPLACE, 0, 200000, 2);
    stand_modify(&mirrors.stand, &fid, MODIFY_WRITE, 1000, 500, 3);
    struct fid gone = stand_upload(&mirrors.stand, 300000, 4);
    stand_remove(&mirrors.stand, &gone, true);
    mirrors_start(&mirrors);
    mirrors_expect_level(&mirrors);
    EXPECT(follower_find(&mirrors.followers[0], &fid.identity)->is_stale);
    EXPECT(follower_find(&mirrors.followers[0], &gone.identity)->is_deleted);
    EXPECT_EQ(mirrors_push(&mirrors, 0)->left_out, 3);
    mirrors_close(&mirrors);
}

TEST(a_packed_content_that_was_overwritten_since_is_left_out_and_the_new_one_arrives)
{
    mirrors_open(&mirrors, 26, 1);
    struct fid fid = stand_upload(&mirrors.stand, 5000, 1); /* the log refers to it */
    stand_modify(&mirrors.stand, &fid, MODIFY_REPLACE, 0, 4900, 2);
    mirrors_start(&mirrors);
    mirrors_expect_level(&mirrors);
    follower_expect(&mirrors.followers[0], &fid, 4900, 2);
    EXPECT_EQ(mirrors_push(&mirrors, 0)->left_out, 1);
    EXPECT(push_misses(mirrors_push(&mirrors, 0), 3));
    mirrors_close(&mirrors);
}

static bool has_begun_single(void *context)
{
    (void)context;
    return mirrors_push(&mirrors, 0)->single.call && mirrors_push(&mirrors, 0)->single.at > 0;
}

TEST(a_single_file_that_changes_while_it_is_sent_ends_early_and_what_follows_goes_on)
{
    mirrors_open(&mirrors, 5, 1);
    sim_world_net(mirrors.stand.world)->window = 64 * 1024;
    struct fid fid = stand_upload(&mirrors.stand, 2000000, 1);
    mirrors_start(&mirrors);
    EXPECT(mirrors_run_until(&mirrors, has_begun_single, NULL));
    stand_modify(&mirrors.stand, &fid, MODIFY_WRITE, 1900000, 500, 3);
    struct fid next = stand_upload(&mirrors.stand, 500, 4);
    mirrors_expect_level(&mirrors);
    EXPECT_EQ(mirrors.followers[0].singles_cut, 1);
    EXPECT(follower_find(&mirrors.followers[0], &fid.identity)->is_stale);
    follower_expect(&mirrors.followers[0], &next, 500, 4);
    mirrors_close(&mirrors);
}

TEST(an_idle_stream_moves_watermark_and_position_about_once_a_second)
{
    mirrors_open(&mirrors, 6, 1);
    mirrors_start(&mirrors);
    struct fid fid = stand_upload(&mirrors.stand, 100, 1);
    mirrors_expect_level(&mirrors);
    sim_world_run_for(mirrors.stand.world, 2 * NS_PER_S);
    uint64_t before = mirrors.followers[0].pushes_came;
    EXPECT(mirrors.followers[0].watermark >= fid.identity.clock);
    sim_world_run_for(mirrors.stand.world, 10 * NS_PER_S);
    uint64_t came = mirrors.followers[0].pushes_came - before;
    EXPECT(came >= 8 && came <= 11);
    mirrors_close(&mirrors);
}

/* ---- connections ---- */

TEST(after_a_cut_at_any_frame_everything_arrives_without_a_gap)
{
    for (uint32_t cut = 1; cut < 24; cut++) {
        struct fid fids[ARRAY_LEN(sizes)];
        mirrors_open(&mirrors, 100 + cut, 1);
        upload_all(fids);
        mirrors.followers[0].cut_after = cut;
        mirrors_start(&mirrors);
        mirrors_expect_level(&mirrors);
        EXPECT(mirrors.followers[0].follows > 1 || cut > 5);
        expect_all(0, fids);
        mirrors_close(&mirrors);
    }
}

static bool has_pushes(void *context)
{
    return mirrors.followers[0].pushes_came >= *(uint64_t *)context;
}

TEST(a_position_moves_only_when_the_follower_says_so)
{
    uint64_t one = 1;
    mirrors_open(&mirrors, 7, 1);
    mirrors.followers[0].is_mute = true;
    mirrors_start(&mirrors);
    (void)stand_upload(&mirrors.stand, 100, 1);
    EXPECT(mirrors_run_until(&mirrors, has_pushes, &one));
    sim_world_run_for(mirrors.stand.world, 3 * NS_PER_S);
    EXPECT_EQ(mirrors_push(&mirrors, 0)->held_lsn, 0);
    EXPECT_EQ(mirrors_push(&mirrors, 0)->kept_lsn, 0);
    follower_answer(&mirrors.followers[0]);
    mirrors.followers[0].is_mute = false;
    mirrors_expect_level(&mirrors);
    mirrors_close(&mirrors);
}

TEST(credit_is_never_exceeded_and_a_record_larger_than_it_goes_alone)
{
    struct fid fids[40];
    for (uint32_t credit = 0; credit <= 40000; credit += 8000) {
        mirrors_open(&mirrors, 8, 1);
        for (unsigned i = 0; i < ARRAY_LEN(fids); i++)
            fids[i] = stand_upload(&mirrors.stand, i * 400, i);
        (void)stand_upload(&mirrors.stand, 300000, 1);
        mirrors.followers[0].credit = credit; /* checked by the follower */
        mirrors.followers[0].is_mute = true;
        mirrors_start(&mirrors);
        for (unsigned i = 0; i < 200; i++) {
            sim_world_run_for(mirrors.stand.world, 5 * NS_PER_MS);
            follower_answer(&mirrors.followers[0]);
        }
        mirrors.followers[0].is_mute = false;
        mirrors_expect_level(&mirrors);
        for (unsigned i = 0; i < ARRAY_LEN(fids); i++)
            follower_expect(&mirrors.followers[0], &fids[i], i * 400, i);
        EXPECT(credit < 16000 || mirrors.followers[0].under_way_max > 0);
        mirrors_close(&mirrors);
    }
}

TEST(a_log_behind_the_ring_is_read_from_disk_once_however_small_the_credit)
{
    struct fid fids[100];
    mirrors_open(&mirrors, 27, 1);
    for (unsigned i = 0; i < ARRAY_LEN(fids); i++)
        fids[i] = stand_upload(&mirrors.stand, 1500, i);
    mirrors.followers[0].credit = 8000;
    mirrors_start(&mirrors);
    mirrors_expect_level(&mirrors);
    for (unsigned i = 0; i < ARRAY_LEN(fids); i++)
        follower_expect(&mirrors.followers[0], &fids[i], 1500, i);
    const struct stream *stream = mirrors.pushes.streams[0].stream;
    EXPECT(mirrors.followers[0].pushes_came > 40);
    EXPECT(stream->tail.disk_reads > 0);
    EXPECT(stream->tail.disk_reads <= 16);
    mirrors_close(&mirrors);
}

static bool waits_long(void *context)
{
    (void)context;
    const struct push *push = mirrors_push(&mirrors, 0);
    return push->state == PUSH_WAITING
           && push->next_ns > sim_world_now(mirrors.stand.world) + NS_PER_S * 9 / 10;
}

TEST(a_member_that_comes_is_not_waited_for_any_longer)
{
    mirrors_open(&mirrors, 28, 1);
    (void)stand_upload(&mirrors.stand, 500, 1);
    mirrors.followers[0].errors_left = 1000;
    mirrors.followers[0].error = ERR(BUSY, 0);
    mirrors_start(&mirrors);
    EXPECT(mirrors_run_until(&mirrors, waits_long, NULL));
    mirrors.followers[0].errors_left = 0;
    pushes_greet(&mirrors.pushes, mirrors_push(&mirrors, 0)->machine);
    sim_world_run_for(mirrors.stand.world, 400 * NS_PER_MS);
    EXPECT_EQ(mirrors_push(&mirrors, 0)->state, PUSH_RUNNING);
    mirrors_close(&mirrors);
}

static bool second_is_level(void *context)
{
    (void)context;
    return mirrors_push(&mirrors, 1)->held_lsn >= mirrors.pushes.streams[0].stream->log.lsn_durable;
}

TEST(a_follower_that_takes_nothing_holds_nobody_up)
{
    mirrors_open(&mirrors, 9, 2);
    sim_world_net(mirrors.stand.world)->window = 64 * 1024;
    mirrors.followers[0].is_deaf = true;
    mirrors_start(&mirrors);
    for (unsigned i = 0; i < 5; i++) {
        struct fid fid = stand_upload(&mirrors.stand, 300000, i);
        EXPECT(mirrors_run_until(&mirrors, second_is_level, NULL));
        follower_expect(&mirrors.followers[1], &fid, 300000, i);
    }
    EXPECT_EQ(mirrors_push(&mirrors, 0)->held_lsn, 0);
    mirrors.followers[0].is_deaf = false;
    mirrors_expect_level(&mirrors); /* its connection timed out meanwhile */
    EXPECT(mirrors.followers[0].follows > 1);
    mirrors_close(&mirrors);
}

TEST(a_connection_that_stands_still_leaves_buffers_to_the_others)
{
    mirrors_open(&mirrors, 27, 2);
    mirrors.options.buffer_count = PUSH_BUFFERS_MIN;
    for (unsigned i = 0; i < 120; i++)
        (void)stand_upload(&mirrors.stand, 1900, i % 9);
    sim_world_net(mirrors.stand.world)->window = 8 * 1024;
    mirrors.members.count = 1;
    mirrors_start(&mirrors);
    uint64_t one = 1;
    EXPECT(mirrors_run_until(&mirrors, has_pushes, &one));
    sim_net_clog(mirrors.stand.lab.node, mirrors.followers[0].node, 4 * NS_PER_S);
    sim_world_run_for(mirrors.stand.world, 100 * NS_PER_MS);
    mirrors.followers[0].is_up = false;
    mirrors.members.count = 2;
    mirrors.members.number++;
    pushes_members(&mirrors.pushes, &mirrors.members);
    uint64_t begin_ns = sim_world_now(mirrors.stand.world);
    mirrors_expect_level(&mirrors);
    EXPECT(sim_world_now(mirrors.stand.world) - begin_ns < NS_PER_S);
    EXPECT(mirrors_push(&mirrors, 0)->buffers_held > 1);
    mirrors.followers[0].is_up = true;
    mirrors_expect_level(&mirrors);
    mirrors_close(&mirrors);
}

TEST(two_followers_at_different_positions_each_get_what_they_lack)
{
    struct fid fids[ARRAY_LEN(sizes)];
    mirrors_open(&mirrors, 10, 2);
    mirrors_start(&mirrors);
    sim_net_partition(mirrors.stand.lab.node, mirrors.followers[1].node);
    upload_all(fids);
    mirrors.followers[1].is_up = false;
    mirrors_expect_level(&mirrors);
    EXPECT_EQ(mirrors.followers[1].records, 0);
    sim_net_heal_all(mirrors.stand.world);
    mirrors.followers[1].is_up = true;
    struct fid later = stand_upload(&mirrors.stand, 700, 70);
    mirrors_expect_level(&mirrors);
    expect_all(0, fids);
    expect_all(1, fids);
    follower_expect(&mirrors.followers[1], &later, 700, 70);
    mirrors_close(&mirrors);
}

TEST(a_follower_that_answers_an_error_is_asked_again_with_back_off)
{
    mirrors_open(&mirrors, 11, 1);
    mirrors.followers[0].errors_left = 5;
    mirrors.followers[0].error = ERR(NO_SPACE, 0);
    uint64_t begin_ns = sim_world_now(mirrors.stand.world);
    struct fid fid = stand_upload(&mirrors.stand, 100, 1);
    mirrors_start(&mirrors);
    mirrors_expect_level(&mirrors);
    follower_expect(&mirrors.followers[0], &fid, 100, 1);
    EXPECT_EQ(mirrors.followers[0].follows, 6);
    EXPECT(sim_world_now(mirrors.stand.world) - begin_ns > 1500 * NS_PER_MS);
    mirrors_close(&mirrors);
}

TEST(a_follower_in_front_of_the_log_has_to_rebuild_and_is_served_again_when_it_has)
{
    mirrors_open(&mirrors, 12, 1);
    stream_retain(store_lab_stream(&mirrors.stand.lab, 0), UINT64_MAX);
    for (unsigned i = 0; i < 300; i++)
        (void)stand_upload(&mirrors.stand, 2000, i % 7);
    mirrors_start(&mirrors);
    sim_world_run_for(mirrors.stand.world, 30 * NS_PER_S);
    struct push *push = mirrors_push(&mirrors, 0);
    EXPECT_EQ(push->state, PUSH_MUST_REBUILD);
    EXPECT_EQ(mirrors.followers[0].pushes_came, 0);
    EXPECT(mirrors.followers[0].follows > 3 && mirrors.followers[0].follows < 15);
    mirrors.followers[0].lsn = push->stream->stream->log.lsn_durable;
    mirrors.followers[0].incarnation = push->stream->stream->options.incarnation;
    struct fid fid = stand_upload(&mirrors.stand, 100, 1);
    mirrors_expect_level(&mirrors);
    EXPECT_EQ(push->state, PUSH_RUNNING);
    follower_expect(&mirrors.followers[0], &fid, 100, 1);
    mirrors_close(&mirrors);
}

static void expect_ahead(uint64_t incarnation, uint64_t lsn)
{
    mirrors_open(&mirrors, 13, 1);
    mirrors.followers[0].incarnation = incarnation;
    mirrors.followers[0].lsn = lsn;
    (void)stand_upload(&mirrors.stand, 100, 1);
    (void)stand_upload(&mirrors.stand, 100, 2);
    mirrors_start(&mirrors);
    sim_world_run_for(mirrors.stand.world, 2 * NS_PER_S);
    EXPECT_EQ(mirrors_push(&mirrors, 0)->state, PUSH_AHEAD);
    EXPECT_EQ(mirrors.followers[0].pushes_came, 0);
    EXPECT_EQ(mirrors.aheads, 1);
    mirrors_close(&mirrors);
}

TEST(a_follower_that_knows_more_than_the_log_has_gets_nothing_and_it_is_told)
{
    expect_ahead(1, 1000); /* later records */
    expect_ahead(2, 1);    /* a later incarnation */
    expect_ahead(0, 2);    /* a record of another incarnation than ours */
}

TEST(a_member_that_is_removed_has_no_claim_on_the_log_and_is_left)
{
    mirrors_open(&mirrors, 14, 2);
    mirrors_start(&mirrors);
    (void)stand_upload(&mirrors.stand, 100, 1);
    mirrors_expect_level(&mirrors);
    mirrors.followers[1].is_mute = true;
    (void)stand_upload(&mirrors.stand, 100, 1);
    mirrors.followers[1].is_up = false;
    mirrors_expect_level(&mirrors);
    sim_world_run_for(mirrors.stand.world, 2 * NS_PER_S);
    uint64_t kept = mirrors_push(&mirrors, 1)->kept_lsn;
    EXPECT_EQ(mirrors.pushes.streams[0].retained_lsn, kept);
    EXPECT(mirrors_push(&mirrors, 0)->kept_lsn > kept);
    mirrors.members.all[1].is_removed = true;
    mirrors.members.number++;
    pushes_members(&mirrors.pushes, &mirrors.members);
    EXPECT(mirrors.pushes.streams[0].retained_lsn > kept);
    sim_world_run_for(mirrors.stand.world, NS_PER_S);
    EXPECT_EQ(mirrors_push(&mirrors, 1)->state, PUSH_OFF);
    uint64_t follows = mirrors.followers[1].follows;
    sim_world_run_for(mirrors.stand.world, 5 * NS_PER_S);
    EXPECT_EQ(mirrors.followers[1].follows, follows);
    mirrors_close(&mirrors);
}

TEST(the_log_is_kept_from_where_the_slowest_would_go_on)
{
    mirrors_open(&mirrors, 15, 2);
    mirrors.followers[1].kept_lag = 3;
    mirrors_start(&mirrors);
    for (unsigned i = 0; i < 10; i++)
        (void)stand_upload(&mirrors.stand, 100, i);
    mirrors_expect_level(&mirrors);
    uint64_t held = mirrors_push(&mirrors, 1)->held_lsn;
    EXPECT_EQ(mirrors_push(&mirrors, 1)->kept_lsn, held - 3);
    EXPECT_EQ(mirrors.pushes.streams[0].retained_lsn, held - 3);
    mirrors_close(&mirrors);
}

/* ---- window and rate ---- */

TEST(outside_of_its_window_nothing_is_pushed)
{
    mirrors_open(&mirrors, 16, 1);
    uint64_t now_s = io_wall(mirrors.stand.lab.io[0]) / NS_PER_S % 86400;
    mirrors.options.window =
        (struct push_window){(uint32_t)((now_s + 60) % 86400), (uint32_t)((now_s + 600) % 86400)};
    mirrors_start(&mirrors);
    struct fid fid = stand_upload(&mirrors.stand, 100, 1);
    sim_world_run_for(mirrors.stand.world, 50 * NS_PER_S);
    EXPECT_EQ(mirrors.followers[0].pushes_came, 0);
    mirrors_expect_level(&mirrors);
    follower_expect(&mirrors.followers[0], &fid, 100, 1);
    mirrors_close(&mirrors);
}

TEST(a_rate_is_kept_for_batches_and_for_single_files)
{
    mirrors_open(&mirrors, 17, 1);
    mirrors.options.rate = 100 * 1000;
    for (unsigned i = 0; i < 30; i++)
        (void)stand_upload(&mirrors.stand, 10000, i);
    (void)stand_upload(&mirrors.stand, 1500000, 1);
    mirrors_start(&mirrors);
    uint64_t begin_ns = sim_world_now(mirrors.stand.world);
    mirrors_expect_level(&mirrors);
    uint64_t took_ns = sim_world_now(mirrors.stand.world) - begin_ns;
    EXPECT(took_ns >= 12 * NS_PER_S && took_ns <= 22 * NS_PER_S);
    mirrors_close(&mirrors);
}

/* ---- write concern ---- */

static bool hold_is_done;

static void hold_done(struct push_hold *hold)
{
    (void)hold;
    EXPECT(!hold_is_done);
    hold_is_done = true;
}

static bool is_hold_done(void *context)
{
    (void)context;
    return hold_is_done;
}

static void wait_hold(struct push_hold *hold, uint8_t level, uint64_t lsn)
{
    *hold = (struct push_hold){.level = level,
        .deadline_ns = io_now(mirrors.stand.lab.io[0]) + 3 * NS_PER_S,
        .done = hold_done};
    hold_is_done = false;
    push_hold_wait(hold, &mirrors.pushes, store_lab_stream(&mirrors.stand.lab, 0), lsn);
}

static void expect_hold(uint8_t level, uint64_t lsn, uint8_t reached, const char *holders)
{
    struct push_hold hold;
    wait_hold(&hold, level, lsn);
    EXPECT(mirrors_run_until(&mirrors, is_hold_done, NULL));
    EXPECT_EQ(hold.reached, reached);
    EXPECT_TEXT(hold.holders, holders);
}

TEST(write_concern_is_reached_when_mirrors_hold_the_record)
{
    mirrors_open(&mirrors, 18, 2);
    mirrors_start(&mirrors);
    (void)stand_upload(&mirrors.stand, 100, 1);
    expect_hold(ACK_ALL, 0, ACK_ALL, "m007,m010,m011");
    (void)stand_upload(&mirrors.stand, 300000, 1);
    expect_hold(ACK_ALL, 0, ACK_ALL, "m007,m010,m011");
    mirrors.followers[0].is_mute = true;
    (void)stand_upload(&mirrors.stand, 100, 1);
    uint64_t begin_ns = sim_world_now(mirrors.stand.world);
    expect_hold(ACK_ONE, 0, ACK_ONE, "m007,m011");
    EXPECT(sim_world_now(mirrors.stand.world) - begin_ns < 100 * NS_PER_MS);
    mirrors_close(&mirrors);
}

TEST(write_concern_that_is_not_reached_by_the_deadline_tells_who_holds_it)
{
    mirrors_open(&mirrors, 19, 2);
    mirrors_start(&mirrors);
    (void)stand_upload(&mirrors.stand, 100, 1);
    mirrors_expect_level(&mirrors);
    mirrors.followers[0].is_mute = true;
    (void)stand_upload(&mirrors.stand, 100, 2);
    uint64_t begin_ns = sim_world_now(mirrors.stand.world);
    expect_hold(ACK_ALL, 0, ACK_ONE, "m007,m011");
    EXPECT(sim_world_now(mirrors.stand.world) - begin_ns >= 3 * NS_PER_S);
    mirrors.followers[1].is_mute = true;
    (void)stand_upload(&mirrors.stand, 100, 3);
    expect_hold(ACK_ONE, 0, ACK_LOCAL, "m007");
    mirrors_close(&mirrors);
}

TEST(what_a_follower_misses_is_not_held_and_nobody_waits_for_it)
{
    mirrors_open(&mirrors, 20, 2);
    mirrors_start(&mirrors);
    (void)stand_upload(&mirrors.stand, 100, 1);
    mirrors_expect_level(&mirrors);
    uint64_t lsn = store_lab_stream(&mirrors.stand.lab, 0)->log.lsn_durable + 1;
    mirrors.followers[1].missed[mirrors.followers[1].missed_count++] = lsn;
    (void)stand_upload(&mirrors.stand, 100, 2);
    uint64_t begin_ns = sim_world_now(mirrors.stand.world);
    expect_hold(ACK_ALL, lsn, ACK_ONE, "m007,m010");
    EXPECT(sim_world_now(mirrors.stand.world) - begin_ns < NS_PER_S);
    mirrors_expect_level(&mirrors);
    expect_hold(ACK_ALL, lsn, ACK_ONE, "m007,m010"); /* also afterwards */
    mirrors_close(&mirrors);
}

TEST(who_waits_for_mirrors_is_answered_when_pushing_stops)
{
    struct push_hold hold;
    mirrors_open(&mirrors, 21, 1);
    mirrors.followers[0].is_mute = true;
    mirrors_start(&mirrors);
    (void)stand_upload(&mirrors.stand, 100, 1);
    wait_hold(&hold, ACK_ONE, 0);
    EXPECT(!hold_is_done);
    mirrors_stop(&mirrors);
    EXPECT(hold_is_done);
    EXPECT_EQ(hold.reached, ACK_LOCAL);
    mirrors_close(&mirrors);
}

/* ---- refusals ---- */

static const size_t swept[] = {100, 3000, 40000};

static bool is_level_or_failed(void *context)
{
    const struct stream *stream = store_lab_stream(&mirrors.stand.lab, 0);
    (void)context;
    return stream->state != STREAM_OPEN
           || mirrors_push(&mirrors, 0)->held_lsn >= stream->log.lsn_durable;
}

static void run_refused(void *context, struct sim_world *world, struct sim_attempt *attempt)
{
    struct fid fids[ARRAY_LEN(swept)];
    (void)context;
    mirrors_open_in(&mirrors, world, 1);
    for (size_t i = 0; i < ARRAY_LEN(swept); i++)
        fids[i] = stand_upload(&mirrors.stand, swept[i], (unsigned)i);
    mirrors_start(&mirrors);
    sim_attempt_arm(attempt, mirrors.stand.lab.io[0]);
    sim_world_run_for(world, 250 * NS_PER_MS);
    bool fired = sim_attempt_disarm(attempt);
    EXPECT(mirrors_push(&mirrors, 0)->held_lsn <= mirrors.followers[0].lsn);
    EXPECT(mirrors_run_until(&mirrors, is_level_or_failed, NULL));
    for (size_t i = 0; i < ARRAY_LEN(swept); i++) {
        const struct follower_file *file = follower_find(&mirrors.followers[0], &fids[i].identity);
        bool is_damaged = attempt->what == SIM_SWEEP_OPS && attempt->error == EIO;
        EXPECT(file || is_damaged || store_lab_stream(&mirrors.stand.lab, 0)->state != STREAM_OPEN);
        if (file)
            follower_expect(&mirrors.followers[0], &fids[i], swept[i], (unsigned)i);
    }
    mirrors_close(&mirrors);
    /* the loop that was armed is gone by now; the sweep asks whoever stands in its place */
    attempt->armed = sim_loop_new(world, mirrors.stand.lab.node, 0);
    attempt->armed->ledger.refusal.fired = fired;
}

TEST(a_refusal_anywhere_delays_a_push_and_loses_nothing)
{
    struct sim_sweep sweep = {.seed = 24,
        .kinds = BIT(IO_OPEN) | BIT(IO_READ) | BIT(IO_CONNECT) | BIT(IO_SEND) | BIT(IO_RECV),
        .error = ENOBUFS,
        .run = run_refused};
    EXPECT(sim_sweep(&sweep) > 50);
}

TEST(what_the_disk_cannot_read_is_left_out_and_holds_up_nothing_behind_it)
{
    struct sim_sweep sweep = {
        .seed = 25, .kinds = BIT(IO_OPEN) | BIT(IO_READ), .error = EIO, .run = run_refused};
    EXPECT(sim_sweep(&sweep) > 20);
}

/* ---- status and lag ---- */

static const char *status_of(char *text, size_t size)
{
    struct writer w = {.data = (uint8_t *)text, .capacity = size - 1};
    struct json json;
    struct storage_loop_report report = {0};
    pushes_report(&mirrors.pushes);
    report.pushes = mirrors.pushes.reports;
    report.push_count = mirrors.pushes.report_count;
    json_begin(&json, &w);
    json_begin_object(&json, NULL);
    push_status_write(&json, &report, 1);
    json_end(&json);
    EXPECT(!w.failed);
    text[w.size] = '\0';
    return text;
}

TEST(status_tells_each_mirror_with_position_and_lag)
{
    char text[4096];
    mirrors_open(&mirrors, 23, 2);
    mirrors_start(&mirrors);
    (void)stand_upload(&mirrors.stand, 100, 1);
    mirrors_expect_level(&mirrors);
    mirrors.followers[1].is_mute = true;
    (void)stand_upload(&mirrors.stand, 100, 1);
    sim_world_run_for(mirrors.stand.world, 3 * NS_PER_S);
    status_of(text, sizeof text);
    EXPECT(strstr(text, "{\"machine\":10,\"state\":\"running\",\"lag_records\":0,\"lag_bytes\":0,"
                        "\"lag_ms\":0,\"streams\":[{\"mount\":0,\"stream\":0,")
           != NULL);
    const char *second = strstr(text, "{\"machine\":11,\"state\":\"running\",\"lag_records\":");
    EXPECT(second != NULL);
    EXPECT(strncmp(strstr(second, "lag_records"), "lag_records\":0", 14) != 0);
    EXPECT(strtoull(strstr(second, "lag_ms\":") + 8, NULL, 10) >= 2500);
    mirrors_close(&mirrors);
}

TEST(lag_is_told_in_time_and_bytes_and_ends_when_all_is_held)
{
    uint64_t lag_ns, lag_bytes;
    mirrors_open(&mirrors, 22, 1);
    mirrors_start(&mirrors);
    (void)stand_upload(&mirrors.stand, 100, 1);
    mirrors_expect_level(&mirrors);
    struct push_stream *stream = &mirrors.pushes.streams[0];
    mirrors.followers[0].is_mute = true;
    for (unsigned i = 0; i < 10; i++)
        (void)stand_upload(&mirrors.stand, 2000, i);
    EXPECT(!mirrors_run_until(&mirrors, never, NULL)); /* a minute; the answers time out */
    push_lag_of(&stream->lag, mirrors_push(&mirrors, 0)->held_lsn, io_now(mirrors.stand.lab.io[0]),
        &lag_ns, &lag_bytes);
    EXPECT(lag_ns > 55 * NS_PER_S && lag_ns < 65 * NS_PER_S);
    EXPECT(lag_bytes > 20000 && lag_bytes < 100000);
    mirrors.followers[0].is_mute = false;
    mirrors_expect_level(&mirrors);
    push_lag_of(&stream->lag, mirrors_push(&mirrors, 0)->held_lsn, io_now(mirrors.stand.lab.io[0]),
        &lag_ns, &lag_bytes);
    EXPECT_EQ(lag_ns, 0);
    EXPECT_EQ(lag_bytes, 0);
    mirrors_close(&mirrors);
}
