/* Registry: every rule of its header, then random events with invariants. */
#include "base/prng.h"
#include "base/units.h"
#include "core/registry.h"
#include "tests/lib/test.h"

enum { STORAGES = 6, GROUPS = 3, POOLS = 3, CANDIDATES = 6 };

struct fixture {
    struct registry registry;
    struct registry_storage storages[STORAGES];
    struct registry_group groups[GROUPS];
    struct registry_pool pools[POOLS];
    struct balance_candidate candidates[CANDIDATES];
    struct registry_effects effects; /* of the last event */
    struct registry_answer answer;   /* of the last query */
    uint64_t now_ns;
};

static void open_with(struct fixture *f, const struct registry_pool_config *pools, uint32_t count)
{
    memset(f, 0, sizeof *f);
    f->now_ns = 1000 * NS_PER_S;
    EXPECT_OK(registry_init(&f->registry,
        &(struct registry_config){.dead_ns = 5 * NS_PER_S,
            .claim_ns = 60 * NS_PER_S,
            .forget_ns = 24 * NS_PER_HOUR,
            .lag_max_ns = 10 * NS_PER_S,
            .policy = BALANCE_LOOP,
            .pools = pools,
            .pool_count = count},
        &(struct registry_tables){.storages = f->storages,
            .groups = f->groups,
            .pools = f->pools,
            .candidates = f->candidates,
            .storages_max = STORAGES,
            .groups_max = GROUPS,
            .pools_max = POOLS}));
}

/* A heartbeat of machine m: UUID m, address 10.0.0.m:1, connection m, running, 100 GiB of 200. */
struct beat {
    struct msg_heartbeat heartbeat;
    uint64_t connection;
    char address[32];
};

static struct beat beat_of(uint32_t machine, const char *group, const char *pool)
{
    struct beat beat = {.connection = machine};
    (void)snprintf(beat.address, sizeof beat.address, "10.0.0.%u:1", machine);
    beat.heartbeat = (struct msg_heartbeat){.machine = machine,
        .uuid = {{(uint8_t)machine, 1}},
        .group = span_of_text(group),
        .pool = span_of_text(pool),
        .state = STATE_RUNNING,
        .total_bytes = 200 * GIB,
        .free_bytes = 100 * GIB};
    return beat;
}

static err_t send(struct fixture *f, struct beat *beat)
{
    if (beat->heartbeat.address.size == 0)
        beat->heartbeat.address = span_of_text(beat->address);
    registry_step(&f->registry,
        &(struct registry_event){.kind = REGISTRY_HEARTBEAT,
            .now_ns = f->now_ns,
            .connection = beat->connection,
            .heartbeat = &beat->heartbeat},
        &f->effects);
    return f->effects.err;
}

static err_t send_plain(struct fixture *f, uint32_t machine, const char *group, const char *pool)
{
    struct beat beat = beat_of(machine, group, pool);
    return send(f, &beat);
}

static err_t goodbye(struct fixture *f, uint32_t machine)
{
    registry_step(&f->registry,
        &(struct registry_event){.kind = REGISTRY_GOODBYE,
            .now_ns = f->now_ns,
            .goodbye = &(struct msg_goodbye){.machine = machine, .uuid = {{(uint8_t)machine, 1}}}},
        &f->effects);
    return f->effects.err;
}

/* All that LOST or TICK brings; returns how many changes, effects are those of the last. */
static unsigned settle(struct fixture *f, enum registry_event_kind kind, uint64_t connection)
{
    struct registry_effects effects;
    for (unsigned count = 0;; count++) {
        registry_step(&f->registry,
            &(struct registry_event){.kind = kind, .now_ns = f->now_ns, .connection = connection},
            &effects);
        if (!effects.is_more)
            return count;
        f->effects = effects;
    }
}

static err_t ask(
    struct fixture *f, enum query_purpose purpose, const char *name, uint32_t origin, uint64_t size)
{
    struct span span = span_of_text(name);
    struct msg_query query = {.purpose = (uint8_t)purpose, .origin = origin, .size = size};
    if (purpose == QUERY_UPLOAD)
        query.pool = span;
    else
        query.group = span;
    return registry_query(&f->registry, &query, &f->answer);
}

/* The machines of the last answer as digits. */
static const char *named(const struct fixture *f)
{
    static char digits[REGISTRY_ANSWER_MAX + 1];
    for (uint32_t i = 0; i < f->answer.count; i++)
        digits[i] = (char)('0' + f->answer.storages[i].machine);
    digits[f->answer.count] = '\0';
    return digits;
}

static const char *found(struct fixture *f, const char *group)
{
    EXPECT_OK(ask(f, QUERY_FIND, group, 0, 0));
    return named(f);
}

static bool reason_has(const struct fixture *f, const char *part)
{
    if (!strstr(f->effects.reason, part))
        (void)fprintf(stderr, "  reason: %s\n", f->effects.reason);
    return strstr(f->effects.reason, part) != NULL;
}

/* ---- joining, dying, leaving ---- */

TEST(a_storage_is_named_from_its_first_heartbeat_on)
{
    struct fixture f;
    open_with(&f, NULL, 0);
    EXPECT_ERR(ask(&f, QUERY_FIND, "g1", 0, 0), UNAVAILABLE);
    EXPECT_OK(send_plain(&f, 3, "g1", "images"));
    EXPECT_EQ(f.effects.change, REGISTRY_JOINED);
    EXPECT_EQ(f.effects.machine, 3);
    EXPECT_TEXT(found(&f, "g1"), "3");
    EXPECT_TEXT(f.answer.storages[0].address, "10.0.0.3:1");
    EXPECT_TEXT(f.answer.group, "g1");
    EXPECT_OK(ask(&f, QUERY_UPLOAD, "images", 0, 0));
    EXPECT_TEXT(named(&f), "3");
    EXPECT_OK(send_plain(&f, 3, "g1", "images"));
    EXPECT_EQ(f.effects.change, REGISTRY_UNCHANGED);
    EXPECT_EQ(f.registry.storage_count, 1);
}

TEST(silence_kills_at_the_deadline_and_not_before)
{
    struct fixture f;
    open_with(&f, NULL, 0);
    EXPECT_OK(send_plain(&f, 1, "g1", "p"));
    f.now_ns += 5 * NS_PER_S - 1;
    EXPECT_EQ(settle(&f, REGISTRY_TICK, 0), 0);
    EXPECT_TEXT(found(&f, "g1"), "1");
    f.now_ns += 1;
    EXPECT_EQ(settle(&f, REGISTRY_TICK, 0), 1);
    EXPECT_EQ(f.effects.change, REGISTRY_DIED);
    EXPECT_EQ(f.effects.machine, 1);
    EXPECT_ERR(ask(&f, QUERY_FIND, "g1", 0, 0), UNAVAILABLE);
    EXPECT_EQ(settle(&f, REGISTRY_TICK, 0), 0);
    EXPECT_OK(send_plain(&f, 1, "g1", "p"));
    EXPECT_EQ(f.effects.change, REGISTRY_RETURNED);
    EXPECT_TEXT(found(&f, "g1"), "1");
}

TEST(a_lost_connection_is_known_at_once)
{
    struct fixture f;
    open_with(&f, NULL, 0);
    EXPECT_OK(send_plain(&f, 1, "g1", "p"));
    EXPECT_OK(send_plain(&f, 2, "g1", "p"));
    EXPECT_EQ(settle(&f, REGISTRY_LOST, 1), 1);
    EXPECT_EQ(f.effects.change, REGISTRY_DIED);
    EXPECT_TEXT(found(&f, "g1"), "2");
}

TEST(the_loss_of_an_old_connection_does_not_harm_a_storage_that_reconnected)
{
    struct fixture f;
    open_with(&f, NULL, 0);
    struct beat beat = beat_of(1, "g1", "p");
    EXPECT_OK(send(&f, &beat));
    beat.connection = 77;
    EXPECT_OK(send(&f, &beat));
    EXPECT_EQ(settle(&f, REGISTRY_LOST, 1), 0);
    EXPECT_TEXT(found(&f, "g1"), "1");
    EXPECT_EQ(settle(&f, REGISTRY_LOST, 77), 1);
}

TEST(a_goodbye_ends_it_at_once_and_needs_the_right_uuid)
{
    struct fixture f;
    open_with(&f, NULL, 0);
    EXPECT_ERR(goodbye(&f, 1), NOT_FOUND);
    EXPECT_ERR(goodbye(&f, 0), NOT_FOUND);
    EXPECT_OK(send_plain(&f, 1, "g1", "p"));
    struct beat other = beat_of(2, "g1", "p");
    other.heartbeat.uuid.bytes[1] = 9;
    EXPECT_OK(send(&f, &other));
    EXPECT_ERR(goodbye(&f, 2), NOT_FOUND);
    EXPECT_OK(goodbye(&f, 1));
    EXPECT_EQ(f.effects.change, REGISTRY_DEPARTED);
    EXPECT_TEXT(found(&f, "g1"), "2");
    EXPECT_OK(goodbye(&f, 1));
    EXPECT_EQ(f.effects.change, REGISTRY_UNCHANGED);
    EXPECT_EQ(settle(&f, REGISTRY_LOST, 1), 0);
}

TEST(the_dead_are_shown_for_a_day_and_then_forgotten_with_their_group_and_pool)
{
    struct fixture f;
    open_with(&f, NULL, 0);
    EXPECT_OK(send_plain(&f, 1, "g1", "p"));
    f.now_ns += 24 * NS_PER_HOUR - 1;
    EXPECT_EQ(settle(&f, REGISTRY_TICK, 0), 1);
    EXPECT_EQ(f.effects.change, REGISTRY_DIED);
    EXPECT_EQ(f.registry.storage_count, 1);
    f.now_ns += 1;
    EXPECT_EQ(settle(&f, REGISTRY_TICK, 0), 1);
    EXPECT_EQ(f.effects.change, REGISTRY_FORGOTTEN);
    EXPECT_EQ(f.effects.machine, 1);
    EXPECT_EQ(f.registry.storage_count, 0);
    EXPECT_EQ(f.groups[0].name[0], '\0');
    EXPECT_EQ(f.pools[0].name[0], '\0');
}

TEST(a_change_of_state_is_told_with_the_state_before)
{
    struct fixture f;
    open_with(&f, NULL, 0);
    struct beat beat = beat_of(1, "g1", "p");
    beat.heartbeat.state = STATE_CSYNCING;
    EXPECT_OK(send(&f, &beat));
    EXPECT_ERR(ask(&f, QUERY_FIND, "g1", 0, 0), UNAVAILABLE);
    EXPECT_ERR(ask(&f, QUERY_UPLOAD, "p", 0, 0), UNAVAILABLE);
    beat.heartbeat.state = STATE_RUNNING;
    EXPECT_OK(send(&f, &beat));
    EXPECT_EQ(f.effects.change, REGISTRY_MOVED);
    EXPECT_EQ(f.effects.state_before, STATE_CSYNCING);
    EXPECT_TEXT(found(&f, "g1"), "1");
    for (uint8_t state = 1; state < STATE_COUNT; state++) {
        beat.heartbeat.state = state;
        EXPECT_OK(send(&f, &beat));
        EXPECT_EQ(err_is(ask(&f, QUERY_FIND, "g1", 0, 0)), state != STATE_RUNNING);
    }
}

/* ---- refusals ---- */

TEST(a_second_uuid_for_a_living_machine_number_is_refused_naming_both_addresses)
{
    struct fixture f;
    open_with(&f, NULL, 0);
    EXPECT_OK(send_plain(&f, 1, "g1", "p"));
    struct beat twin = beat_of(1, "g1", "p");
    twin.heartbeat.uuid.bytes[1] = 9;
    twin.heartbeat.address = span_of_text("10.9.9.9:1");
    twin.connection = 5;
    EXPECT_ERR(send(&f, &twin), EXISTS);
    EXPECT(reason_has(&f, "machine number 1"));
    EXPECT(reason_has(&f, "10.0.0.1:1"));
    EXPECT(reason_has(&f, "10.9.9.9:1"));
    EXPECT_TEXT(found(&f, "g1"), "1");
    EXPECT_TEXT(f.answer.storages[0].address, "10.0.0.1:1");
    EXPECT_EQ(settle(&f, REGISTRY_LOST, 5), 0);
    EXPECT_OK(send_plain(&f, 1, "g1", "p"));
}

TEST(a_number_stays_claimed_for_a_while_after_death_and_not_after_goodbye)
{
    struct fixture f;
    open_with(&f, NULL, 0);
    EXPECT_OK(send_plain(&f, 1, "g1", "p"));
    EXPECT_EQ(settle(&f, REGISTRY_LOST, 1), 1);
    struct beat twin = beat_of(1, "g2", "q");
    twin.heartbeat.uuid.bytes[1] = 9;
    f.now_ns += 60 * NS_PER_S - 1;
    EXPECT_ERR(send(&f, &twin), EXISTS);
    f.now_ns += 1;
    EXPECT_OK(send(&f, &twin));
    EXPECT_EQ(f.effects.change, REGISTRY_REPLACED);
    EXPECT_EQ(f.registry.storage_count, 1);
    EXPECT_TEXT(found(&f, "g2"), "1");
    EXPECT_ERR(send_plain(&f, 1, "g2", "q"), EXISTS);

    open_with(&f, NULL, 0);
    EXPECT_OK(send_plain(&f, 1, "g1", "p"));
    EXPECT_OK(goodbye(&f, 1));
    EXPECT_OK(send(&f, &twin));
    EXPECT_EQ(f.effects.change, REGISTRY_REPLACED);
}

TEST(the_same_uuid_at_another_address_is_a_copied_disk_while_the_first_lives)
{
    struct fixture f;
    open_with(&f, NULL, 0);
    EXPECT_OK(send_plain(&f, 1, "g1", "p"));
    struct beat copy = beat_of(1, "g1", "p");
    copy.heartbeat.address = span_of_text("10.9.9.9:1");
    copy.connection = 5;
    EXPECT_ERR(send(&f, &copy), EXISTS);
    EXPECT(reason_has(&f, "10.0.0.1:1"));
    EXPECT(reason_has(&f, "10.9.9.9:1"));
    EXPECT_EQ(settle(&f, REGISTRY_LOST, 1), 1);
    EXPECT_OK(send(&f, &copy));
    EXPECT_EQ(f.effects.change, REGISTRY_RETURNED);
    EXPECT_TEXT(found(&f, "g1"), "1");
    EXPECT_TEXT(f.answer.storages[0].address, "10.9.9.9:1");
}

TEST(a_group_is_in_one_pool)
{
    struct fixture f;
    open_with(&f, NULL, 0);
    EXPECT_OK(send_plain(&f, 1, "g1", "images"));
    EXPECT_ERR(send_plain(&f, 2, "g1", "logs"), CONFLICT);
    EXPECT(reason_has(&f, "group g1 belongs to pool images (machine 1"));
    EXPECT(reason_has(&f, "not to pool logs (machine 2"));
    EXPECT_EQ(f.registry.storage_count, 1);
    EXPECT_OK(send_plain(&f, 1, "g1", "logs")); /* alone it may move its group */
    EXPECT_ERR(ask(&f, QUERY_UPLOAD, "images", 0, 0), UNAVAILABLE);
    EXPECT_OK(ask(&f, QUERY_UPLOAD, "logs", 0, 0));
    EXPECT_OK(send_plain(&f, 2, "g1", "logs"));
    EXPECT_EQ(settle(&f, REGISTRY_LOST, 1), 1);
    EXPECT_OK(send_plain(&f, 2, "g1", "images"));
    EXPECT_ERR(send_plain(&f, 1, "g1", "logs"), CONFLICT);
}

TEST(a_machine_stays_in_its_group)
{
    struct fixture f;
    open_with(&f, NULL, 0);
    EXPECT_OK(send_plain(&f, 1, "g1", "p"));
    EXPECT_ERR(send_plain(&f, 1, "g2", "p"), CONFLICT);
    EXPECT(reason_has(&f, "belongs to group g1, not to g2"));
    EXPECT_EQ(settle(&f, REGISTRY_LOST, 1), 1);
    EXPECT_ERR(send_plain(&f, 1, "g2", "p"), CONFLICT);
}

TEST(fields_out_of_range_are_refused_with_a_reason_that_is_safe_to_print)
{
    struct fixture f;
    open_with(&f, NULL, 0);
    char long_address[REGISTRY_ADDRESS_MAX + 1];
    memset(long_address, 'a', sizeof long_address);
    struct span texts[] = {span_of_text(""), span_of_text("no spaces"), span_of_text("x\ny"),
        span_of(long_address, REGISTRY_ADDRESS_MAX)};
    struct msg_heartbeat good = beat_of(1, "g1", "p").heartbeat;
    good.address = span_of_text("10.0.0.1:1");
    for (unsigned i = 0; i < 11; i++) {
        struct beat beat = {.heartbeat = good, .address = ""};
        struct msg_heartbeat *h = &beat.heartbeat;
        if (i == 0)
            h->machine = 0;
        else if (i == 1)
            h->machine = MACHINE_MAX + 1;
        else if (i == 2)
            h->uuid = (struct nonce){{0}};
        else if (i < 5)
            h->group = texts[i - 3];
        else if (i < 8)
            h->pool = texts[i - 5];
        else if (i == 8)
            h->address = texts[3];
        else if (i == 9)
            h->http_address = texts[3];
        else
            h->state = STATE_COUNT;
        EXPECT_ERR(send(&f, &beat), USAGE);
        EXPECT(f.effects.reason[0] != '\0');
        for (const char *p = f.effects.reason; *p; p++)
            EXPECT(*p >= ' ' && *p < 0x7f);
        EXPECT_EQ(f.registry.storage_count, 0);
    }
    struct beat beat = {.heartbeat = good};
    beat.heartbeat.state = 0;
    EXPECT_ERR(send(&f, &beat), USAGE);
    beat.heartbeat = good;
    beat.heartbeat.address = span_of_text("");
    EXPECT_ERR(send(&f, &beat), USAGE);
    beat.heartbeat.address = span_of_text("10.0.0.1:1\"");
    EXPECT_ERR(send(&f, &beat), USAGE);
    beat.heartbeat.address = span_of("10.0.0.1\0", 9);
    EXPECT_ERR(send(&f, &beat), USAGE);
    beat.heartbeat.address = span_of_text("[fe80::1%eth0]:23000");
    EXPECT_OK(send(&f, &beat));
}

TEST(a_full_table_refuses_newcomers_and_keeps_those_it_knows)
{
    struct fixture f;
    open_with(&f, NULL, 0);
    for (uint32_t machine = 1; machine <= STORAGES; machine++)
        EXPECT_OK(send_plain(&f, machine, machine < 4 ? "g1" : "g2", "p"));
    EXPECT_ERR(send_plain(&f, 7, "g1", "p"), BUSY);
    EXPECT(reason_has(&f, "6 of 6 storages"));
    EXPECT_OK(send_plain(&f, 6, "g2", "p"));

    open_with(&f, NULL, 0);
    EXPECT_OK(send_plain(&f, 1, "g1", "a"));
    EXPECT_OK(send_plain(&f, 2, "g2", "b"));
    EXPECT_OK(send_plain(&f, 3, "g3", "c"));
    EXPECT_ERR(send_plain(&f, 4, "g4", "a"), BUSY);
    EXPECT_ERR(send_plain(&f, 3, "g3", "d"), BUSY);
    EXPECT_EQ(f.registry.storage_count, 3);
    EXPECT_OK(goodbye(&f, 1));
    f.now_ns += 24 * NS_PER_HOUR;
    EXPECT(settle(&f, REGISTRY_TICK, 0) > 0);
    EXPECT_OK(send_plain(&f, 4, "g4", "a"));
}

TEST(wrong_pools_in_the_configuration_are_refused)
{
    static const struct registry_pool_config bad[] = {
        {"", BALANCE_LOOP, NULL},
        {"a b", BALANCE_LOOP, NULL},
        {"p", BALANCE_COUNT, NULL},
        {"p", BALANCE_MASTER, NULL},
        {"p", BALANCE_LOOP, "g1"},
    };
    struct fixture f;
    open_with(&f, NULL, 0);
    for (size_t i = 0; i <= ARRAY_LEN(bad); i++) {
        struct registry_config config = f.registry.config;
        struct registry_pool_config twice[] = {
            {"p", BALANCE_LOOP, NULL}, {"p", BALANCE_TURN, NULL}};
        bool is_last = i == ARRAY_LEN(bad);
        config.pools = is_last ? twice : &bad[i];
        config.pool_count = is_last ? 2 : 1;
        struct registry other;
        memset(f.pools, 0, sizeof f.pools);
        EXPECT_ERR(registry_init(&other, &config, &f.registry.tables), USAGE);
    }
    struct registry_pool_config many[] = {{"a", BALANCE_LOOP, NULL}, {"b", BALANCE_LOOP, NULL},
        {"c", BALANCE_LOOP, NULL}, {"d", BALANCE_LOOP, NULL}};
    struct registry_config config = {.pools = many, .pool_count = 4};
    struct registry other;
    memset(f.pools, 0, sizeof f.pools);
    EXPECT_ERR(registry_init(&other, &config, &f.registry.tables), BUSY);
}

/* ---- queries ---- */

static void three_groups(struct fixture *f)
{
    for (uint32_t machine = 1; machine <= 6; machine++) {
        static const char *const groups[] = {"g1", "g2", "g3"};
        struct beat beat = beat_of(machine, groups[(machine - 1) / 2], "p");
        beat.heartbeat.free_bytes = (10 + machine) * GIB;
        beat.heartbeat.load = 10 - machine;
        EXPECT_OK(send(f, &beat));
    }
}

TEST(uploads_go_round_groups_and_round_the_members_of_each)
{
    struct fixture f;
    open_with(&f, NULL, 0);
    three_groups(&f);
    static const char *const expected[] = {"123456", "345621", "562143", "214365", "436512"};
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        EXPECT_OK(ask(&f, QUERY_UPLOAD, "p", 0, 0));
        EXPECT_TEXT(named(&f), expected[i]);
    }
    EXPECT_TEXT(f.answer.group, "g2");
}

TEST(each_pool_is_balanced_by_its_own_policy)
{
    static const struct registry_pool_config pools[] = {{"p", BALANCE_MAXDISK, NULL}};
    static const struct registry_pool_config by_load[] = {{"p", BALANCE_LOAD, NULL}};
    static const struct registry_pool_config by_master[] = {{"p", BALANCE_MASTER, "g2"}};
    static const struct registry_pool_config by_turn[] = {{"p", BALANCE_TURN, NULL}};
    static const struct {
        const struct registry_pool_config *pools;
        const char *first, *second;
    } table[] = {
        {pools, "563412", "653412"},
        {by_load, "654321", "654321"},
        {by_master, "345612", "435612"},
        {by_turn, "123456", "213456"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct fixture f;
        open_with(&f, table[i].pools, 1);
        three_groups(&f);
        EXPECT_OK(ask(&f, QUERY_UPLOAD, "p", 0, 0));
        EXPECT_TEXT(named(&f), table[i].first);
        EXPECT_OK(ask(&f, QUERY_UPLOAD, "p", 0, 0));
        EXPECT_TEXT(named(&f), table[i].second);
    }
}

TEST(a_groups_room_is_the_least_of_its_members)
{
    struct fixture f;
    open_with(&f, NULL, 0);
    struct beat small = beat_of(1, "g1", "p"), large = beat_of(2, "g1", "p");
    small.heartbeat.free_bytes = 1 * GIB;
    small.heartbeat.total_bytes = 2 * GIB;
    small.heartbeat.state = STATE_CSYNCING; /* not running: it still has to hold what comes */
    EXPECT_OK(send(&f, &small));
    EXPECT_OK(send(&f, &large));
    struct registry_summary sum;
    registry_summarize_group(&f.registry, 0, &sum);
    EXPECT_EQ(sum.free_bytes, 1 * GIB);
    EXPECT_EQ(sum.total_bytes, 2 * GIB);
    EXPECT_EQ(sum.members, 2);
    EXPECT_EQ(sum.running, 1);
    EXPECT_OK(ask(&f, QUERY_UPLOAD, "p", 0, 1 * GIB));
    EXPECT_TEXT(named(&f), "2");
    EXPECT_ERR(ask(&f, QUERY_UPLOAD, "p", 0, 1 * GIB + 1), NO_SPACE);
    small.heartbeat.state = STATE_INITING; /* does not know its disks yet */
    EXPECT_OK(send(&f, &small));
    EXPECT_OK(ask(&f, QUERY_UPLOAD, "p", 0, 1 * GIB + 1));
    EXPECT_EQ(settle(&f, REGISTRY_LOST, 2), 1);
    registry_summarize_group(&f.registry, 0, &sum);
    EXPECT_EQ(sum.free_bytes, 0);
    EXPECT_EQ(sum.alive, 1);
}

TEST(full_groups_get_no_uploads_and_still_answer_finds)
{
    struct fixture f;
    open_with(&f, NULL, 0);
    struct beat full = beat_of(1, "g1", "p"), roomy = beat_of(2, "g2", "p");
    full.heartbeat.free_bytes = 0;
    EXPECT_OK(send(&f, &full));
    EXPECT_ERR(ask(&f, QUERY_UPLOAD, "p", 0, 0), NO_SPACE);
    EXPECT(strstr(f.answer.reason, "p") != NULL);
    EXPECT_OK(send(&f, &roomy));
    for (int i = 0; i < 3; i++) {
        EXPECT_OK(ask(&f, QUERY_UPLOAD, "p", 0, 0));
        EXPECT_TEXT(named(&f), "2");
    }
    EXPECT_TEXT(found(&f, "g1"), "1");
    EXPECT_OK(ask(&f, QUERY_MODIFY, "g1", 1, 0));
    EXPECT_TEXT(named(&f), "1");
}

TEST(finds_are_spread_over_the_running_members)
{
    struct fixture f;
    open_with(&f, NULL, 0);
    for (uint32_t machine = 1; machine <= 3; machine++)
        EXPECT_OK(send_plain(&f, machine, "g1", "p"));
    EXPECT_TEXT(found(&f, "g1"), "123");
    EXPECT_TEXT(found(&f, "g1"), "231");
    EXPECT_OK(ask(&f, QUERY_MODIFY, "g1", 2, 0)); /* does not turn the wheel of finds */
    EXPECT_TEXT(found(&f, "g1"), "312");
}

TEST(modify_and_delete_name_the_origin_first_if_it_is_running)
{
    struct fixture f;
    open_with(&f, NULL, 0);
    for (uint32_t machine = 1; machine <= 3; machine++)
        EXPECT_OK(send_plain(&f, machine, "g1", "p"));
    EXPECT_OK(ask(&f, QUERY_MODIFY, "g1", 2, 0));
    EXPECT_TEXT(named(&f), "213");
    EXPECT_OK(ask(&f, QUERY_DELETE, "g1", 3, 0));
    EXPECT_TEXT(named(&f), "312");
    EXPECT_EQ(settle(&f, REGISTRY_LOST, 3), 1);
    EXPECT_OK(ask(&f, QUERY_DELETE, "g1", 3, 0));
    EXPECT_TEXT(named(&f), "12");
}

TEST(an_upload_without_a_pool_takes_the_only_one)
{
    struct fixture f;
    open_with(&f, NULL, 0);
    EXPECT_ERR(ask(&f, QUERY_UPLOAD, "", 0, 0), UNAVAILABLE);
    EXPECT_OK(send_plain(&f, 1, "g1", "p"));
    EXPECT_OK(ask(&f, QUERY_UPLOAD, "", 0, 0));
    EXPECT_TEXT(named(&f), "1");
    EXPECT_OK(send_plain(&f, 2, "g2", "q"));
    EXPECT_ERR(ask(&f, QUERY_UPLOAD, "", 0, 0), USAGE);
    EXPECT_ERR(ask(&f, QUERY_UPLOAD, "r", 0, 0), UNAVAILABLE);
    EXPECT(strstr(f.answer.reason, "r") != NULL);
}

TEST(an_upload_that_names_a_group_goes_there_whatever_its_pool)
{
    struct fixture f;
    struct msg_query query = {.purpose = QUERY_UPLOAD};
    open_with(&f, NULL, 0);
    for (uint32_t machine = 1; machine <= 3; machine++)
        EXPECT_OK(send_plain(&f, machine, (const char *[]){"g1", "g2", "g3"}[machine - 1],
            machine == 3 ? "q" : "p"));
    query.group = span_of_text("g2");
    EXPECT_OK(registry_query(&f.registry, &query, &f.answer));
    EXPECT_TEXT(named(&f), "2");
    query.group = span_of_text("g4");
    EXPECT_ERR(registry_query(&f.registry, &query, &f.answer), UNAVAILABLE);
}

TEST(unknown_names_and_purposes_are_refused)
{
    struct fixture f;
    open_with(&f, NULL, 0);
    EXPECT_OK(send_plain(&f, 1, "g1", "p"));
    EXPECT_ERR(ask(&f, QUERY_FIND, "g2", 0, 0), UNAVAILABLE);
    EXPECT_ERR(ask(&f, QUERY_FIND, "", 0, 0), UNAVAILABLE);
    EXPECT_ERR(ask(&f, (enum query_purpose)9, "g1", 0, 0), USAGE);
    EXPECT_ERR(ask(&f, (enum query_purpose)0, "g1", 0, 0), USAGE);
    EXPECT_EQ(f.answer.count, 0);
}

TEST(a_pools_sums_do_not_overflow)
{
    struct fixture f;
    open_with(&f, NULL, 0);
    for (uint32_t machine = 1; machine <= 2; machine++) {
        struct beat beat = beat_of(machine, machine == 1 ? "g1" : "g2", "p");
        beat.heartbeat.free_bytes = beat.heartbeat.total_bytes = UINT64_MAX - 1;
        EXPECT_OK(send(&f, &beat));
    }
    struct registry_summary sum;
    registry_summarize_pool(&f.registry, 0, &sum);
    EXPECT(sum.free_bytes == UINT64_MAX && sum.total_bytes == UINT64_MAX);
    EXPECT_EQ(sum.running, 2);
}

TEST(sums_are_of_ones_own_groups_from_accepting_on)
{
    struct fixture f;
    open_with(&f, NULL, 0);
    EXPECT_OK(send_plain(&f, 1, "g1", "a"));
    struct beat other = beat_of(2, "g2", "b");
    other.heartbeat.state = STATE_ACCEPTING;
    other.heartbeat.free_bytes = 7;
    EXPECT_OK(send(&f, &other));
    struct registry_summary sum;
    registry_summarize_pool(&f.registry, 0, &sum);
    EXPECT_EQ(sum.members, 1);
    EXPECT_EQ(sum.free_bytes, 100 * GIB);
    registry_summarize_pool(&f.registry, 1, &sum);
    EXPECT_EQ(sum.members, 1);
    EXPECT_EQ(sum.running, 0);
    EXPECT_EQ(sum.free_bytes, 7);
}

TEST(the_load_of_a_group_is_that_of_a_running_member)
{
    static const struct registry_pool_config by_load[] = {{"p", BALANCE_LOAD, NULL}};
    struct fixture f;
    open_with(&f, by_load, 1);
    struct beat idle = beat_of(1, "g1", "p"), busy = beat_of(2, "g1", "p"),
                middling = beat_of(3, "g2", "p");
    idle.heartbeat.state = STATE_CSYNCING;
    busy.heartbeat.load = 9;
    middling.heartbeat.load = 5;
    EXPECT_OK(send(&f, &idle));
    EXPECT_OK(send(&f, &busy));
    EXPECT_OK(send(&f, &middling));
    EXPECT_OK(ask(&f, QUERY_UPLOAD, "p", 0, 0));
    EXPECT_TEXT(named(&f), "32");
}

TEST(a_configured_pool_stays_when_its_last_group_is_forgotten)
{
    static const struct registry_pool_config pools[] = {
        {"other", BALANCE_TURN, NULL}, {"p", BALANCE_MAXDISK, NULL}};
    struct fixture f;
    open_with(&f, pools, 2);
    EXPECT_OK(send_plain(&f, 1, "g1", "p"));
    EXPECT_OK(send_plain(&f, 2, "g2", "q"));
    f.now_ns += 24 * NS_PER_HOUR;
    EXPECT_EQ(settle(&f, REGISTRY_TICK, 0), 4);
    uint32_t index;
    EXPECT(registry_find_pool(&f.registry, span_of_text("p"), &index));
    EXPECT_EQ(f.pools[index].policy, BALANCE_MAXDISK);
    EXPECT(registry_find_pool(&f.registry, span_of_text("other"), &index));
    EXPECT(!registry_find_pool(&f.registry, span_of_text("q"), &index));
}

/* ---- random events ---- */

static void expect_tables_whole(const struct fixture *f)
{
    uint32_t in_use = 0, linked = 0, pool_groups[POOLS] = {0};
    for (uint32_t i = 0; i < STORAGES; i++) {
        const struct registry_storage *storage = &f->storages[i];
        if (storage->machine == 0)
            continue;
        in_use++;
        EXPECT(f->groups[storage->group].name[0] != '\0');
        for (uint32_t j = 0; j < i; j++)
            EXPECT(f->storages[j].machine != storage->machine);
    }
    for (uint32_t g = 0; g < GROUPS; g++) {
        if (f->groups[g].name[0] == '\0')
            continue;
        EXPECT(f->groups[g].first != 0);
        EXPECT(f->pools[f->groups[g].pool].name[0] != '\0');
        pool_groups[f->groups[g].pool]++;
        for (uint32_t next = f->groups[g].first; next != 0; next = f->storages[next - 1].next) {
            EXPECT_EQ(f->storages[next - 1].group, g);
            EXPECT(++linked <= in_use);
        }
    }
    EXPECT_EQ(linked, in_use);
    EXPECT_EQ(f->registry.storage_count, in_use);
    for (uint32_t p = 0; p < POOLS; p++)
        EXPECT_EQ(f->pools[p].group_count, pool_groups[p]);
}

static const struct registry_storage *storage_named(const struct fixture *f, uint32_t machine)
{
    for (uint32_t i = 0; i < STORAGES; i++)
        if (f->storages[i].machine == machine)
            return &f->storages[i];
    return NULL;
}

static void expect_answer_true(struct fixture *f, enum query_purpose purpose, const char *name)
{
    uint64_t size = purpose == QUERY_UPLOAD ? 5 : 0;
    if (err_is(ask(f, purpose, name, 1, size))) {
        EXPECT(f->answer.count == 0 && f->answer.reason[0] != '\0');
        return;
    }
    EXPECT(f->answer.count > 0);
    for (uint32_t i = 0; i < f->answer.count; i++) {
        const struct registry_storage *storage = storage_named(f, f->answer.storages[i].machine);
        EXPECT(storage && registry_is_running(storage));
        EXPECT(f->now_ns - storage->heard_ns < 5 * NS_PER_S);
        const struct registry_group *group = &f->groups[storage->group];
        EXPECT_TEXT(purpose == QUERY_UPLOAD ? f->pools[group->pool].name : group->name, name);
        EXPECT(size == 0 || storage->free_bytes >= size);
    }
}

static void random_event(struct fixture *f, struct prng *prng)
{
    static const char *const groups[] = {"g1", "g2", "g3", "g4"};
    static const char *const pools[] = {"a", "b", "c", "d"};
    uint32_t machine = 1 + (uint32_t)prng_below(prng, 8);
    struct nonce before = {{0}};
    const struct registry_storage *known = storage_named(f, machine);
    bool was_alive = known && known->life == REGISTRY_ALIVE;
    if (known)
        before = known->uuid;
    struct beat beat = beat_of(machine, groups[prng_below(prng, 8) == 0 ? 3 : machine % 3],
        pools[prng_below(prng, 8) == 0 ? prng_below(prng, 4) : machine % 3]);
    beat.heartbeat.uuid.bytes[1] = prng_below(prng, 10) == 0;
    beat.heartbeat.state =
        prng_below(prng, 3) == 0 ? (uint8_t)(1 + prng_below(prng, 8)) : STATE_RUNNING;
    beat.heartbeat.free_bytes = prng_below(prng, 3) * 5;
    beat.connection = machine + 100 * prng_below(prng, 3);
    switch (prng_below(prng, 8)) {
    case 0:
        (void)settle(f, REGISTRY_LOST, beat.connection);
        break;
    case 1:
        (void)goodbye(f, machine);
        break;
    case 2:
        f->now_ns += prng_below(prng, 40) == 0 ? 24 * NS_PER_HOUR : prng_below(prng, 3 * NS_PER_S);
        break;
    default:
        (void)send(f, &beat);
        known = storage_named(f, machine);
        if (was_alive) /* a living storage cannot be pushed aside */
            EXPECT(known && memcmp(&known->uuid, &before, sizeof before) == 0);
    }
    (void)settle(f, REGISTRY_TICK, 0);
}

TEST(random_events_keep_the_tables_whole_and_the_answers_true)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct fixture f;
        struct prng prng;
        prng_init(&prng, seed);
        open_with(&f, NULL, 0);
        for (unsigned i = 0; i < 400; i++) {
            random_event(&f, &prng);
            expect_tables_whole(&f);
            expect_answer_true(&f, QUERY_UPLOAD, "a");
            expect_answer_true(&f, QUERY_FIND, "g1");
            expect_answer_true(&f, QUERY_DELETE, "g2");
        }
    }
}
