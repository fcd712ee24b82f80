/* Status: the JSON of a small cluster word for word, and its bound. */
#include "base/units.h"
#include "tests/lib/test.h"
#include "tracker/status.h"

enum { STORAGES = 2, GROUPS = 2, POOLS = 2 };

struct fixture {
    struct registry registry;
    struct registry_storage storages[STORAGES];
    struct registry_group groups[GROUPS];
    struct registry_pool pools[POOLS];
    struct balance_candidate candidates[STORAGES];
};

static void open_fixture(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    EXPECT_OK(registry_init(&f->registry,
        &(struct registry_config){.dead_ns = 5 * NS_PER_S, .forget_ns = NS_PER_HOUR},
        &(struct registry_tables){
            f->storages, f->groups, f->pools, f->candidates, STORAGES, GROUPS, POOLS}));
}

static void send(struct fixture *f, const struct msg_heartbeat *heartbeat, uint64_t now_ns)
{
    struct registry_effects effects;
    registry_step(&f->registry,
        &(struct registry_event){.kind = REGISTRY_HEARTBEAT,
            .now_ns = now_ns,
            .connection = heartbeat->machine,
            .heartbeat = heartbeat},
        &effects);
    EXPECT_OK(effects.err);
}

TEST(a_tracker_shows_what_it_knows)
{
    struct fixture f;
    open_fixture(&f);
    struct msg_heartbeat heartbeat = {.machine = 7,
        .uuid = {{0xab, 1}},
        .group = span_of_text("g1"),
        .pool = span_of_text("images"),
        .address = span_of_text("127.0.0.1:23000"),
        .http_address = span_of_text("127.0.0.1:8080"),
        .state = STATE_RUNNING,
        .started_ns = 20 * NS_PER_S,
        .first_started_ns = 10 * NS_PER_S,
        .total_bytes = 100,
        .free_bytes = 60,
        .load = 3,
        .mounts_online = 1,
        .mounts_total = 2,
        .incarnation = 4};
    send(&f, &heartbeat, 1000 * NS_PER_MS);
    char bytes[2048] = {0};
    struct writer w = {.data = (uint8_t *)bytes, .capacity = sizeof bytes};
    status_write(&f.registry,
        &(struct status_times){.started_wall_ns = 5 * NS_PER_S,
            .now_wall_ns = 30 * NS_PER_S,
            .now_ns = 1120 * NS_PER_MS},
        &w);
    EXPECT(!w.failed);
    EXPECT_TEXT(bytes,
        "{\"role\":\"tracker\",\"started\":5,\"now\":30,\"storages\":[{\"machine\":7,"
        "\"uuid\":\"ab010000000000000000000000000000\",\"group\":\"g1\",\"pool\":\"images\","
        "\"address\":\"127.0.0.1:23000\",\"http_address\":\"127.0.0.1:8080\",\"state\":\"running\","
        "\"life\":\"alive\",\"age_ms\":120,\"free\":60,\"total\":100,\"load\":3,"
        "\"mounts_online\":1,\"mounts_total\":2,\"incarnation\":4,"
        "\"lag_records\":0,\"lag_ms\":0,\"draining\":false,\"started\":20,"
        "\"first_started\":10}],\"groups\":[{\"group\":\"g1\",\"pool\":\"images\",\"members\":1,"
        "\"alive\":1,\"running\":1,\"free\":60,\"total\":100}],\"pools\":[{\"pool\":\"images\","
        "\"balance\":\"loop\",\"groups\":1,\"members\":1,\"alive\":1,\"running\":1,\"free\":60,"
        "\"total\":100}]}");
}

TEST(who_is_not_alive_is_shown_as_such)
{
    struct fixture f;
    open_fixture(&f);
    struct msg_heartbeat heartbeat = {.machine = 7,
        .uuid = {{1}},
        .group = span_of_text("g1"),
        .pool = span_of_text("p"),
        .address = span_of_text("127.0.0.1:1"),
        .state = STATE_RUNNING};
    send(&f, &heartbeat, 0);
    struct registry_effects effects;
    registry_step(
        &f.registry, &(struct registry_event){.kind = REGISTRY_LOST, .connection = 7}, &effects);
    char bytes[2048] = {0};
    struct writer w = {.data = (uint8_t *)bytes, .capacity = sizeof bytes};
    status_write(&f.registry, &(struct status_times){0}, &w);
    EXPECT(strstr(bytes, "\"state\":\"dead\",\"life\":\"dead\"") != NULL);
}

TEST(the_bound_holds_with_every_field_at_its_limit)
{
    struct fixture f;
    open_fixture(&f);
    char address[REGISTRY_ADDRESS_MAX], pool[REGISTRY_POOL_NAME_MAX], group[GROUP_NAME_MAX];
    memset(address, 'a', sizeof address);
    memset(pool, 'p', sizeof pool);
    memset(group, 'g', sizeof group);
    for (uint32_t i = 0; i < STORAGES; i++) {
        pool[0] = group[0] = (char)('A' + i);
        struct msg_heartbeat heartbeat = {.machine = MACHINE_MAX - i,
            .uuid = {{1}},
            .group = span_of(group, sizeof group),
            .pool = span_of(pool, sizeof pool),
            .address = span_of(address, sizeof address - 1),
            .http_address = span_of(address, sizeof address - 1),
            .state = STATE_ACCEPTING,
            .started_ns = UINT64_MAX,
            .first_started_ns = UINT64_MAX,
            .total_bytes = UINT64_MAX,
            .free_bytes = UINT64_MAX,
            .load = UINT32_MAX,
            .mounts_online = UINT32_MAX,
            .mounts_total = UINT32_MAX,
            .incarnation = UINT64_MAX};
        send(&f, &heartbeat, 0);
    }
    static char bytes[8192];
    size_t size_max = status_size_max(&f.registry.tables);
    EXPECT(size_max <= sizeof bytes);
    struct writer w = {.data = (uint8_t *)bytes, .capacity = size_max};
    status_write(&f.registry,
        &(struct status_times){
            .started_wall_ns = UINT64_MAX, .now_wall_ns = UINT64_MAX, .now_ns = UINT64_MAX},
        &w);
    EXPECT(!w.failed);
    EXPECT(w.size > size_max / 2); /* and it is not a wild guess */
}
