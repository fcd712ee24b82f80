/* Registry: members of one group: what they are told, how they are ranked, who was removed. */
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

/* ---- members of a group ---- */

static struct beat lagging(uint32_t machine, uint64_t lag_ns)
{
    struct beat beat = beat_of(machine, "g1", "p");
    beat.heartbeat.lag_ns = lag_ns;
    beat.heartbeat.lag_records = lag_ns / NS_PER_MS;
    return beat;
}

TEST(who_lags_behind_is_named_after_those_that_are_caught_up)
{
    struct fixture f;
    open_with(&f, NULL, 0);
    struct beat first = lagging(1, 10 * NS_PER_S + 1), second = lagging(2, 10 * NS_PER_S);
    struct beat third = lagging(3, 0);
    EXPECT_OK(send(&f, &first));
    EXPECT_OK(send(&f, &second));
    EXPECT_OK(send(&f, &third));
    EXPECT_EQ(f.storages[0].lag_records, 10000);
    EXPECT_TEXT(found(&f, "g1"), "231");
    EXPECT_TEXT(found(&f, "g1"), "321");
    EXPECT_TEXT(found(&f, "g1"), "231");
    EXPECT_OK(ask(&f, QUERY_MODIFY, "g1", 1, 0));
    EXPECT_EQ(f.answer.storages[2].machine, 1); /* even as the origin */
    EXPECT_OK(ask(&f, QUERY_MODIFY, "g1", 3, 0));
    EXPECT_EQ(f.answer.storages[0].machine, 3);
    EXPECT_OK(ask(&f, QUERY_UPLOAD, "p", 0, 1));
    EXPECT_EQ(f.answer.storages[2].machine, 1);
    goodbye(&f, 2), goodbye(&f, 3);
    EXPECT_TEXT(found(&f, "g1"), "1"); /* better than nobody */
}

TEST(who_drains_gets_no_uploads_and_everything_else)
{
    struct fixture f;
    open_with(&f, NULL, 0);
    struct beat first = beat_of(1, "g1", "p");
    first.heartbeat.flags = MEMBER_DRAINING;
    EXPECT_OK(send(&f, &first));
    EXPECT_ERR(ask(&f, QUERY_UPLOAD, "p", 0, 1), UNAVAILABLE);
    EXPECT_OK(send_plain(&f, 2, "g1", "p"));
    for (int i = 0; i < 3; i++) {
        EXPECT_OK(ask(&f, QUERY_UPLOAD, "p", 0, 1));
        EXPECT_TEXT(named(&f), "2");
    }
    EXPECT_OK(ask(&f, QUERY_MODIFY, "g1", 1, 0));
    EXPECT_TEXT(named(&f), "12");
    EXPECT_EQ(strlen(found(&f, "g1")), 2);
}

TEST(a_storage_is_told_the_others_of_its_group_the_living_first)
{
    struct fixture f;
    struct member_entry told[REGISTRY_TOLD_MAX];
    open_with(&f, NULL, 0);
    for (uint32_t machine = 1; machine <= 3; machine++)
        EXPECT_OK(send_plain(&f, machine, "g1", "p"));
    EXPECT_OK(send_plain(&f, 4, "g2", "p"));
    struct beat fresh = beat_of(5, "g1", "p");
    fresh.heartbeat.state = STATE_INITING;
    fresh.heartbeat.flags = MEMBER_NEW | MEMBER_ALIVE; /* others' flags are not taken from it */
    EXPECT_OK(send(&f, &fresh));
    goodbye(&f, 5);
    EXPECT_OK(send(&f, &fresh));
    settle(&f, REGISTRY_LOST, 3);
    EXPECT_EQ(registry_tell_members(&f.registry, 1, told), 3);
    EXPECT_EQ(told[0].machine, 5);
    EXPECT_EQ(told[0].flags, MEMBER_ALIVE | MEMBER_NEW);
    EXPECT_EQ(told[0].state, STATE_INITING);
    EXPECT_EQ(told[1].machine, 2);
    EXPECT_EQ(told[1].flags, MEMBER_ALIVE);
    EXPECT_EQ(told[1].uuid.bytes[0], 2);
    EXPECT(span_equals_text(told[1].address, "10.0.0.2:1"));
    EXPECT_EQ(told[2].machine, 3);
    EXPECT_EQ(told[2].flags, 0);
    EXPECT_EQ(registry_tell_members(&f.registry, 4, told), 0);
    EXPECT_EQ(registry_tell_members(&f.registry, 9, told), 0);
    EXPECT_EQ(registry_tell_members(&f.registry, 0, told), 0);
}

static err_t take_out(struct fixture *f, uint32_t machine)
{
    registry_step(&f->registry,
        &(struct registry_event){.kind = REGISTRY_REMOVE, .now_ns = f->now_ns, .machine = machine},
        &f->effects);
    return f->effects.err;
}

TEST(who_was_removed_is_refused_under_its_uuid_and_its_number_is_free)
{
    struct fixture f;
    struct member_entry told[REGISTRY_TOLD_MAX];
    open_with(&f, NULL, 0);
    EXPECT_OK(send_plain(&f, 1, "g1", "p"));
    EXPECT_OK(send_plain(&f, 2, "g1", "p"));
    EXPECT_ERR(take_out(&f, 1), CONFLICT);
    EXPECT(reason_has(&f, "10.0.0.1:1"));
    EXPECT_ERR(take_out(&f, 7), NOT_FOUND);
    EXPECT_ERR(take_out(&f, 0), NOT_FOUND);
    settle(&f, REGISTRY_LOST, 1);
    EXPECT_OK(take_out(&f, 1));
    EXPECT_EQ(f.effects.change, REGISTRY_TAKEN_OUT);
    EXPECT_ERR(send_plain(&f, 1, "g1", "p"), DENIED);
    EXPECT(reason_has(&f, "10.0.0.1:1"));
    EXPECT_EQ(registry_tell_members(&f.registry, 2, told), 1);
    EXPECT_EQ(told[0].flags, MEMBER_REMOVED);
    struct beat replacement = beat_of(1, "g1", "p");
    replacement.heartbeat.uuid = (struct nonce){{9, 9}};
    EXPECT_OK(send(&f, &replacement));
    EXPECT_EQ(f.effects.change, REGISTRY_REPLACED);
    EXPECT_ERR(send_plain(&f, 1, "g1", "p"), EXISTS); /* the old one */
}

TEST(a_storage_may_find_its_address_while_it_starts)
{
    struct fixture f;
    open_with(&f, NULL, 0);
    struct beat beat = beat_of(1, "g1", "p");
    beat.heartbeat.state = STATE_INITING;
    beat.heartbeat.address = span_of_text("10.0.0.1:0");
    EXPECT_OK(send(&f, &beat));
    EXPECT_OK(send_plain(&f, 1, "g1", "p"));
    EXPECT_TEXT(f.storages[0].address, "10.0.0.1:1");
    beat.heartbeat.state = STATE_RUNNING;
    EXPECT_ERR(send(&f, &beat), EXISTS);
}
