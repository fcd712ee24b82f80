/* The tracker over real sockets: what clients and operators see. */
#include "tests/unit/tracker/town.h"

static struct town town; /* large */

static void open_town_of(unsigned storages)
{
    static const char *const groups[] = {"g1", "g1", "g2", "g2"};
    town_open(&town);
    town_open_tracker(&town, 0);
    for (unsigned i = 0; i < storages; i++) { /* one after the other: groups come in that order */
        town_start_storage(&town, town_storage(&town, i, groups[i], "images"));
        TURN_UNTIL(&town, town_is_running(&town, 0, i + 1));
    }
}

TEST(storages_that_beat_are_named_to_clients)
{
    open_town_of(4);
    EXPECT(town_connect(&town, 0, ROLE_CLIENT, NULL));
    EXPECT_TEXT(town_ask(&town, QUERY_UPLOAD, "images", 0), "1234");
    EXPECT_TEXT(town.calls[0].group, "g1");
    EXPECT_TEXT(town_ask(&town, QUERY_UPLOAD, "images", 0), "3421");
    EXPECT_TEXT(town_ask(&town, QUERY_FIND, "g2", 0), "34");
    EXPECT_TEXT(town_ask(&town, QUERY_FIND, "g2", 0), "43");
    EXPECT_TEXT(town_ask(&town, QUERY_MODIFY, "g2", 4), "43");
    EXPECT_TEXT(town_ask(&town, QUERY_DELETE, "g1", 2), "21");
    EXPECT_TEXT(town_ask(&town, QUERY_FIND, "g9", 0), "UNAVAILABLE");
    EXPECT(strstr(town.calls[0].call.error_text, "g9") != NULL);
    EXPECT_TEXT(town_ask(&town, QUERY_UPLOAD, "logs", 0), "UNAVAILABLE");
    EXPECT_EQ(town.trackers[0].counters.queries, 8);
    EXPECT_EQ(town.trackers[0].counters.queries_refused, 2);
    town_close(&town);
}

TEST(a_restarted_tracker_is_complete_after_one_heartbeat_of_each)
{
    open_town_of(4);
    town_close_tracker(&town, 0);
    town_open_tracker(&town, 0);
    EXPECT(!town_known(&town, 0, 1));
    for (unsigned i = 0; i < 4; i++)
        TURN_UNTIL(&town, town_is_running(&town, 0, i + 1));
    for (unsigned i = 0; i < 4; i++)
        EXPECT(town.storages[i].heartbeat.links[0].sent >= 2);
    EXPECT(town_connect(&town, 0, ROLE_CLIENT, NULL));
    EXPECT_TEXT(town_ask(&town, QUERY_FIND, "g1", 0), "12");
    EXPECT_TEXT(town_ask(&town, QUERY_FIND, "g2", 0), "34");
    town_close(&town);
}

TEST(a_lost_connection_takes_a_storage_out_at_once)
{
    open_town_of(1);
    struct town_storage *second = town_storage(&town, 1, "g1", "images");
    second->config.retry_min_ns = second->config.retry_max_ns = NS_PER_HOUR;
    town_start_storage(&town, second);
    TURN_UNTIL(&town, town_is_running(&town, 0, 2));
    uint64_t before_ns = io_now(town.io);
    net_client_close(&second->heartbeat.links[0].client);
    TURN_UNTIL(&town, !town_is_running(&town, 0, 2));
    EXPECT(io_now(town.io) - before_ns < 2 * NS_PER_S); /* and not after the 5 s of silence */
    EXPECT_EQ(town_known(&town, 0, 2)->life, REGISTRY_DEAD);
    EXPECT(town_connect(&town, 0, ROLE_CLIENT, NULL));
    EXPECT_TEXT(town_ask(&town, QUERY_FIND, "g1", 0), "1");
    town_close(&town);
}

TEST(a_storage_that_falls_silent_is_dead_after_the_deadline_and_welcome_back)
{
    town_open(&town);
    town.tracker_config.registry.dead_ns = 60 * NS_PER_MS;
    town.tracker_config.interval_ns = NS_PER_HOUR;
    town_open_tracker(&town, 0);
    struct town_storage *storage = town_storage(&town, 0, "g1", "images");
    storage->config.interval_ns = NS_PER_HOUR;
    town_start_storage(&town, storage);
    TURN_UNTIL(&town, town_is_running(&town, 0, 1));
    TURN_UNTIL(&town, !town_is_running(&town, 0, 1));
    EXPECT_EQ(town_known(&town, 0, 1)->life, REGISTRY_DEAD);
    EXPECT_EQ(storage->heartbeat.links[0].sent, 1);
    heartbeat_now(&storage->heartbeat);
    TURN_UNTIL(&town, town_is_running(&town, 0, 1));
    town_close(&town);
}

TEST(a_connection_on_which_nothing_comes_is_closed_and_those_that_beat_stay)
{
    town_open(&town);
    town.tracker_config.idle_ns = 100 * NS_PER_MS;
    town_open_tracker(&town, 0);
    town_start_storage(&town, town_storage(&town, 0, "g1", "images"));
    EXPECT(town_connect(&town, 0, ROLE_CLIENT, NULL));
    TURN_UNTIL(&town, town.is_client_closed);
    EXPECT_ERR(town.client_err, CLOSED);
    EXPECT(town_is_running(&town, 0, 1));
    EXPECT_EQ(town.trackers[0].server.acceptor.listener.accepted, 2);
    town_close(&town);
}

TEST(status_is_json_for_everybody)
{
    open_town_of(2);
    EXPECT(town_connect(&town, 0, ROLE_CLIENT, NULL));
    struct writer fields = town_call_begin(&town, 0);
    msg_status_encode(&(struct msg_status){.what = span_of_text("")}, &fields);
    town_call_start(&town, 0, MSG_STATUS, &fields);
    EXPECT_OK(town_call_wait(&town, 0));
    EXPECT_EQ(town.calls[0].type, MSG_STATUS_REPLY);
    const char *json = (const char *)town.calls[0].data;
    EXPECT(strncmp(json, "{\"role\":\"tracker\",", 18) == 0);
    EXPECT(strstr(json, "\"machine\":2,") && strstr(json, "\"state\":\"running\""));
    EXPECT_EQ(json[town.calls[0].size - 1], '}');
    town_close(&town);
}

static void crowd(struct tracker *tracker, uint32_t count)
{
    char address[] = "a-storage-with-a-rather-long-name.example.org:23000";
    for (uint32_t machine = 1; machine <= count; machine++) {
        struct registry_effects effects;
        struct msg_heartbeat heartbeat = {.machine = machine,
            .uuid = {{1}},
            .group = span_of_text("g1"),
            .pool = span_of_text("images"),
            .address = span_of_text(address),
            .http_address = span_of_text(address),
            .state = STATE_RUNNING};
        registry_step(&tracker->registry,
            &(struct registry_event){.kind = REGISTRY_HEARTBEAT,
                .now_ns = io_now(tracker->io),
                .connection = UINT64_MAX,
                .heartbeat = &heartbeat},
            &effects);
        EXPECT_OK(effects.err);
    }
}

static unsigned count_of(const char *text, const char *part)
{
    unsigned count = 0;
    for (const char *at = strstr(text, part); at; at = strstr(at + 1, part))
        count++;
    return count;
}

TEST(a_long_status_comes_in_several_frames_and_only_so_many_at_a_time)
{
    town_open(&town);
    town.tracker_config.storages_max = 1500;
    town_open_tracker(&town, 0);
    crowd(&town.trackers[0], 1500);
    EXPECT(town_connect(&town, 0, ROLE_CLIENT, NULL));
    for (unsigned i = 0; i < 3; i++) {
        struct writer fields = town_call_begin(&town, i);
        msg_status_encode(&(struct msg_status){.what = span_of_text("status")}, &fields);
        town_call_start(&town, i, MSG_STATUS, &fields);
    }
    EXPECT_OK(town_call_wait(&town, 0));
    EXPECT_OK(town_call_wait(&town, 1));
    EXPECT_ERR(town_call_wait(&town, 2), BUSY);
    EXPECT(town.calls[0].frame_count > 2);
    EXPECT_EQ(count_of((const char *)town.calls[0].data, "\"machine\":"), 1500);
    EXPECT_EQ(town.calls[0].data[town.calls[0].size - 1], '}');
    EXPECT_EQ(town.trackers[0].pages.free_count, town.trackers[0].pages.count);
    town_close(&town);
}

static err_t call_with(uint8_t type, const void *bytes, size_t size)
{
    struct writer fields = town_call_begin(&town, 0);
    write_bytes(&fields, bytes, size);
    town_call_start(&town, 0, type, &fields);
    return town_call_wait(&town, 0);
}

TEST(malformed_and_foreign_requests_are_refused_and_the_connection_goes_on)
{
    static const uint8_t types[] = {MSG_HEARTBEAT, MSG_GOODBYE, MSG_QUERY, MSG_STATUS};
    open_town_of(1);
    EXPECT(town_connect(&town, 0, ROLE_NODE, NULL));
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        EXPECT_ERR(call_with(types[i], "\xff", 1), PROTOCOL);
    EXPECT_ERR(call_with(MSG_UPLOAD, "", 0), UNSUPPORTED);
    EXPECT_ERR(call_with(MSG_STATUS, "\x03\x00owl", 5), UNSUPPORTED);
    EXPECT_OK(call_with(MSG_PING, "", 0));
    EXPECT_EQ(town.calls[0].type, MSG_PONG);
    struct writer fields = town_call_begin(&town, 0);
    msg_goodbye_encode(&(struct msg_goodbye){.machine = 9}, &fields);
    town_call_start(&town, 0, MSG_GOODBYE, &fields);
    EXPECT_ERR(town_call_wait(&town, 0), NOT_FOUND);
    EXPECT_TEXT(town_ask(&town, QUERY_FIND, "g1", 0), "1");
    town_close(&town);
}

static struct secret secret_of(const char *text)
{
    struct secret secret;
    EXPECT_OK(secret_read(span_of_text(text), &secret));
    return secret;
}

static err_t beat_as_client(void)
{
    struct writer fields = town_call_begin(&town, 0);
    msg_heartbeat_encode(&(struct msg_heartbeat){.machine = 5,
                             .uuid = {{5}},
                             .group = span_of_text("g1"),
                             .pool = span_of_text("images"),
                             .address = span_of_text("127.0.0.1:5"),
                             .state = STATE_RUNNING},
        &fields);
    town_call_start(&town, 0, MSG_HEARTBEAT, &fields);
    return town_call_wait(&town, 0);
}

TEST(node_verbs_need_the_node_role_where_a_secret_is_set)
{
    town_open(&town);
    town.secrets.node = secret_of("the secret of nodes");
    town_open_tracker(&town, 0);
    struct town_storage *storage = town_storage(&town, 0, "g1", "images");
    storage->config.node_secret = &town.secrets.node;
    town_start_storage(&town, storage);
    TURN_UNTIL(&town, town_is_running(&town, 0, 1));
    EXPECT(town_connect(&town, 0, ROLE_CLIENT, NULL));
    EXPECT_ERR(beat_as_client(), DENIED);
    EXPECT(!town_known(&town, 0, 5));
    EXPECT_TEXT(town_ask(&town, QUERY_FIND, "g1", 0), "1");
    EXPECT(!town_connect(&town, 0, ROLE_NODE, NULL));
    EXPECT_ERR(town.client_err, DENIED);
    EXPECT(town_connect(&town, 0, ROLE_NODE, &town.secrets.node));
    EXPECT_OK(beat_as_client());
    EXPECT(town_is_running(&town, 0, 5));
    town_close(&town);
}

TEST(a_drain_finishes_what_is_under_way_and_accepts_nobody)
{
    open_town_of(1);
    EXPECT(town_connect(&town, 0, ROLE_CLIENT, NULL));
    struct writer fields = town_call_begin(&town, 0);
    msg_query_encode(
        &(struct msg_query){.purpose = QUERY_FIND, .group = span_of_text("g1")}, &fields);
    town_call_start(&town, 0, MSG_QUERY, &fields);
    EXPECT_OK(town_call_wait(&town, 0));
    tracker_drain(&town.trackers[0]);
    TURN_UNTIL(&town, town.is_client_closed);
    EXPECT(!town_connect(&town, 0, ROLE_CLIENT, NULL));
    town_stop_storage(&town, &town.storages[0]);
    TURN_UNTIL(&town, tracker_is_idle(&town.trackers[0]));
    town_close(&town);
}

/* Some refusals only delay: the tracker has to serve all the same. */
static void expect_serves_then_close(void)
{
    town.has_tracker[0] = true;
    EXPECT(town_connect(&town, 0, ROLE_CLIENT, NULL));
    EXPECT_TEXT(town_ask(&town, QUERY_FIND, "g1", 0), "UNAVAILABLE");
    town_close_tracker(&town, 0);
    town.trackers[0].io = NULL; /* the next one takes any port */
}

TEST(opening_a_tracker_gives_everything_back_whatever_is_refused)
{
    town_open(&town);
    struct refusal *refusal = &town.io->ledger.refusal;
    unsigned failed = 0;
    for (uint64_t step = 1; step == 1 || refusal->fired; step++) {
        uint64_t held = town.io->ledger.count[HELD_MEM], fds = town.io->ledger.count[HELD_FD];
        *refusal = (struct refusal){.countdown = step};
        err_t err = tracker_open(&town.trackers[0], town.io, &town.mem, &town.tracker_config);
        bool is_refused = refusal->fired;
        *refusal = (struct refusal){0};
        EXPECT(is_refused || !err_is(err));
        if (err_is(err)) {
            failed++;
            EXPECT_EQ(town.io->ledger.count[HELD_MEM], held);
            EXPECT_EQ(town.io->ledger.count[HELD_FD], fds);
        } else {
            expect_serves_then_close();
        }
        refusal->fired = is_refused;
    }
    EXPECT(failed > 8);
    town_close(&town);
}

TEST(pools_that_make_no_sense_keep_a_tracker_from_opening)
{
    static const struct registry_pool_config pool = {"no pool", BALANCE_LOOP, NULL};
    town_open(&town);
    town.tracker_config.registry.pools = &pool;
    town.tracker_config.registry.pool_count = 1;
    EXPECT_ERR(tracker_open(&town.trackers[0], town.io, &town.mem, &town.tracker_config), USAGE);
    town.trackers[0].io = NULL;
    town_close(&town);
}
