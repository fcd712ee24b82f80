/* The storage's heartbeats over real sockets: several trackers, refusals, leaving, coming back. */
#include "tests/unit/tracker/town.h"

static struct town town; /* large */

TEST(every_tracker_hears_of_every_storage)
{
    town_open(&town);
    town_open_tracker(&town, 0);
    town_open_tracker(&town, 1);
    for (unsigned i = 0; i < TOWN_STORAGES; i++)
        town_start_storage(&town, town_storage(&town, i, "g1", "images"));
    for (unsigned i = 0; i < 2 * TOWN_STORAGES; i++)
        TURN_UNTIL(&town, town_is_running(&town, i % 2, i / 2 + 1));
    TURN_UNTIL(&town, heartbeat_welcome_count(&town.storages[0].heartbeat, NS_PER_S) == 2);
    EXPECT_EQ(town.storages[0].refused_count, 0);
    town_close(&town);
}

TEST(heartbeats_go_on_at_the_interval_and_a_tracker_may_ask_for_a_shorter_one)
{
    town_open(&town);
    town_open_tracker(&town, 0);
    struct town_storage *storage = town_storage(&town, 0, "g1", "images");
    storage->config.interval_ns = NS_PER_HOUR;
    town_start_storage(&town, storage);
    TURN_UNTIL(&town, storage->heartbeat.links[0].interval_ns == 20 * NS_PER_MS);
    uint64_t begin_ns = io_now(town.io);
    heartbeat_now(&storage->heartbeat); /* the first interval was the long one */
    TURN_UNTIL(&town, storage->heartbeat.links[0].sent >= 7);
    EXPECT(io_now(town.io) - begin_ns >= 5 * 20 * NS_PER_MS);
    town_close(&town);
}

TEST(a_dead_tracker_delays_no_other)
{
    town_open(&town);
    town_open_tracker(&town, 0);
    town_open_tracker(&town, 1);
    town_close_tracker(&town, 1);
    town.has_tracker[1] = true; /* the storage is to know its address */
    struct town_storage *storage = town_storage(&town, 0, "g1", "images");
    town.has_tracker[1] = false;
    town_start_storage(&town, storage);
    TURN_UNTIL(&town, storage->heartbeat.links[0].sent >= 5);
    EXPECT(town_is_running(&town, 0, 1));
    EXPECT_EQ(storage->heartbeat.links[1].sent, 0);
    EXPECT_EQ(heartbeat_welcome_count(&storage->heartbeat, NS_PER_S), 1);
    EXPECT_EQ(storage->refused_count, 0); /* being away is no refusal */
    town_open_tracker(&town, 1);
    TURN_UNTIL(&town, town_is_running(&town, 1, 1));
    town_close(&town);
}

TEST(a_tracker_that_never_answers_is_given_up_and_tried_again)
{
    town_open(&town);
    town_open_tracker(&town, 0);
    struct io_handle listener = IO_HANDLE_NONE; /* accepts nobody: connections wait in its queue */
    struct io_address silent;
    EXPECT_OK(io_address_parse("127.0.0.1:0", &silent));
    struct io_op op = {.kind = IO_LISTEN,
        .owner = &town.owner,
        .ret_handle = &listener,
        .address = &silent,
        .listen_count = 1};
    EXPECT(io_call(town.io, &op) >= 0);
    struct town_storage *storage = town_storage(&town, 0, "g1", "images");
    storage->config.trackers[storage->config.tracker_count++] = silent;
    storage->config.timeout_ns = 30 * NS_PER_MS;
    town_start_storage(&town, storage);
    struct heartbeat_link *link = &storage->heartbeat.links[1];
    for (unsigned i = 0; i < 3; i++) {
        TURN_UNTIL(&town, link->stage == HEARTBEAT_CONNECTING);
        TURN_UNTIL(&town, link->stage == HEARTBEAT_WAITING);
    }
    EXPECT(storage->heartbeat.links[0].sent > 3);
    io_handle_close(town.io, &listener);
    town_close(&town);
}

TEST(a_change_of_state_is_told_at_once_even_while_a_heartbeat_is_under_way)
{
    town_open(&town);
    town.tracker_config.interval_ns = NS_PER_HOUR;
    town_open_tracker(&town, 0);
    struct town_storage *storage = town_storage(&town, 0, "g1", "images");
    storage->config.interval_ns = NS_PER_HOUR;
    storage->says.state = STATE_CSYNCING;
    town_start_storage(&town, storage);
    TURN_UNTIL(&town, storage->heartbeat.links[0].is_beating);
    storage->says.state = STATE_RUNNING;
    heartbeat_now(&storage->heartbeat);
    TURN_UNTIL(&town, town_is_running(&town, 0, 1));
    storage->says.state = STATE_CLOSING;
    heartbeat_now(&storage->heartbeat);
    TURN_UNTIL(&town, !town_is_running(&town, 0, 1));
    EXPECT_EQ(town_known(&town, 0, 1)->life, REGISTRY_ALIVE);
    EXPECT(storage->heartbeat.links[0].sent <= 3);
    town_close(&town);
}

TEST(a_duplicate_machine_is_refused_loudly_once_and_the_first_stays)
{
    town_open(&town);
    town_open_tracker(&town, 0);
    town_start_storage(&town, town_storage(&town, 0, "g1", "images"));
    TURN_UNTIL(&town, town_is_running(&town, 0, 1));
    struct town_storage *twin = town_storage(&town, 1, "g1", "images");
    twin->config.machine = 1;
    town_start_storage(&town, twin);
    TURN_UNTIL(&town, twin->heartbeat.links[0].sent >= 5);
    EXPECT_EQ(twin->refused_count, 1);
    EXPECT_ERR(twin->refused_err, EXISTS);
    EXPECT(strstr(twin->refused_reason, "127.0.0.1:23000") != NULL);
    EXPECT(strstr(twin->refused_reason, "127.0.0.1:23001") != NULL);
    EXPECT_TEXT(town_known(&town, 0, 1)->address, "127.0.0.1:23000");
    EXPECT_EQ(heartbeat_welcome_count(&twin->heartbeat, NS_PER_HOUR), 0);
    town_stop_storage(&town, &town.storages[0]); /* goodbye frees the number */
    TURN_UNTIL(&town, town_is_running(&town, 0, 1));
    EXPECT_TEXT(town_known(&town, 0, 1)->address, "127.0.0.1:23001");
    town_close(&town);
}

TEST(a_wrong_secret_is_told_once)
{
    town_open(&town);
    EXPECT_OK(secret_read(span_of_text("the secret of nodes"), &town.secrets.node));
    town_open_tracker(&town, 0);
    struct secret wrong;
    EXPECT_OK(secret_read(span_of_text("another secret of nodes"), &wrong));
    struct town_storage *storage = town_storage(&town, 0, "g1", "images");
    storage->config.node_secret = &wrong;
    town_start_storage(&town, storage);
    TURN_UNTIL(&town, town.trackers[0].server.acceptor.listener.accepted >= 4);
    EXPECT_EQ(storage->refused_count, 1);
    EXPECT_ERR(storage->refused_err, DENIED);
    EXPECT(!town_known(&town, 0, 1));
    town_close(&town);
}

TEST(leaving_says_goodbye_to_every_tracker)
{
    town_open(&town);
    town_open_tracker(&town, 0);
    town_open_tracker(&town, 1);
    struct town_storage *storage = town_storage(&town, 0, "g1", "images");
    town_start_storage(&town, storage);
    TURN_UNTIL(&town, town_is_running(&town, 0, 1) && town_is_running(&town, 1, 1));
    EXPECT(!heartbeat_is_idle(&storage->heartbeat));
    town_stop_storage(&town, storage);
    EXPECT_EQ(town_known(&town, 0, 1)->life, REGISTRY_LEFT);
    EXPECT_EQ(town_known(&town, 1, 1)->life, REGISTRY_LEFT);
    town_close(&town);
}

TEST(leaving_works_in_every_stage_of_a_connection)
{
    town_open(&town);
    town_open_tracker(&town, 0);
    for (unsigned turns = 0; turns < 12; turns++) {
        struct town_storage *storage = town_storage(&town, 0, "g1", "images");
        town_start_storage(&town, storage);
        for (unsigned i = 0; i < turns; i++)
            town_turn(&town);
        town_stop_storage(&town, storage);
    }
    town_close(&town);
}

TEST(refusals_of_the_loop_only_delay_a_heartbeat)
{
    town_open(&town);
    town_open_tracker(&town, 0);
    for (uint64_t n = 1; n < 40; n++) {
        struct town_storage *storage = town_storage(&town, 0, "g1", "images");
        storage->config.timeout_ns = 100 * NS_PER_MS;
        town.io->ledger.refusal = (struct refusal){.countdown = n};
        town_start_storage(&town, storage);
        TURN_UNTIL(&town, town_is_running(&town, 0, 1));
        town.io->ledger.refusal = (struct refusal){0};
        town_stop_storage(&town, storage);
        TURN_UNTIL(&town, !town_is_running(&town, 0, 1));
    }
    town_close(&town);
}
