/* What a tracker tells, judged: every danger has its name. */
#include "bin/health.h"
#include "tests/lib/test.h"

#define STORAGE(machine, group, state, free, total, online, mounts)                              \
    "{\"machine\":" #machine ",\"group\":\"" group "\",\"pool\":\"p\",\"address\":\"10.0.0.1:77" \
    "1" #machine "\",\"state\":\"" state "\",\"age_ms\":130000,\"free\":" #free                  \
    ",\"total\":" #total ",\"mounts_online\":" #online ",\"mounts_total\":" #mounts "}"

static struct cluster_view view;
static struct health health;

static void judge(const char *text)
{
    EXPECT(cluster_view_parse(&view, text));
    health_judge(&view, &health);
}

static bool has(const char *code)
{
    for (size_t i = 0; i < health.count; i++)
        if (strcmp(health.findings[i].code, code) == 0)
            return true;
    return false;
}

TEST(a_cluster_where_all_runs_is_well)
{
    judge("{\"storages\":[" STORAGE(1, "g1", "running", 50, 100, 2, 2) "," STORAGE(
        2, "g1", "running", 50, 100, 2, 2) "]}");
    EXPECT_TEXT(health_name(&health), "HEALTH_OK");
    EXPECT_EQ(health.total_count, 0);
    EXPECT_EQ(view.count, 2);
    EXPECT(view.storages[0].is_first_of_group && !view.storages[1].is_first_of_group);
}

TEST(a_dead_member_degrades_its_group)
{
    judge("{\"storages\":[" STORAGE(1, "g1", "dead", 50, 100, 2, 2) "," STORAGE(
        2, "g1", "running", 50, 100, 2, 2) "]}");
    EXPECT_TEXT(health_name(&health), "HEALTH_WARN");
    EXPECT(has("STORAGE_DEAD") && has("GROUP_DEGRADED") && !has("GROUP_UNAVAILABLE"));
    EXPECT(strstr(health.findings[1].sentence, "silent for 2m10s") != NULL);
    EXPECT(strstr(health.findings[1].next, "cairn status --server 10.0.0.1:7711") != NULL);
    EXPECT(view.storages[1].is_first_of_group);
}

TEST(a_group_without_a_running_member_is_an_error)
{
    judge("{\"storages\":[" STORAGE(1, "g1", "csyncing", 50, 100, 2, 2) "]}");
    EXPECT_TEXT(health_name(&health), "HEALTH_ERR");
    EXPECT(has("GROUP_UNAVAILABLE") && has("STORAGE_NOT_RUNNING"));
}

#define LAGGING(ms)                                                                               \
    "{\"storages\":[{\"machine\":2,\"group\":\"g1\",\"pool\":\"p\",\"address\":\"10.0.0.1:7712\"" \
    ",\"state\":\"running\",\"free\":50,\"total\":100,\"lag_records\":7,\"lag_ms\":" #ms "}]}"

TEST(a_mirror_that_lags_is_named_with_its_lag)
{
    judge(LAGGING(9000));
    EXPECT(!has("MIRROR_LAGGING"));
    judge(LAGGING(65000));
    EXPECT(has("MIRROR_LAGGING"));
    EXPECT(strstr(health.findings[0].sentence, "behind its group by 1m05s") != NULL);
    EXPECT_TEXT(health.findings[0].next, "cairn status --server 10.0.0.1:7712");
}

TEST(an_offline_disk_and_little_space_are_named)
{
    judge("{\"storages\":[" STORAGE(1, "g1", "running", 4, 100, 1, 2) "]}");
    EXPECT(has("DISK_OFFLINE") && has("LOW_SPACE") && health.total_count == 2);
    EXPECT_TEXT(health_name(&health), "HEALTH_WARN");
}

TEST(who_left_in_order_is_no_danger)
{
    judge("{\"storages\":[" STORAGE(1, "g1", "left", 0, 0, 0, 0) "," STORAGE(
        2, "g1", "running", 50, 100, 2, 2) "]}");
    EXPECT_TEXT(health_name(&health), "HEALTH_OK");
}

TEST(nobody_is_an_error)
{
    judge("{\"storages\":[]}");
    EXPECT(has("NO_STORAGE"));
    EXPECT_TEXT(health_name(&health), "HEALTH_ERR");
}

TEST(more_findings_than_fit_are_counted)
{
    static char text[64 * 1024];
    size_t size = (size_t)snprintf(text, sizeof text, "{\"storages\":[");
    for (int i = 1; i <= 100; i++)
        size += (size_t)snprintf(text + size, sizeof text - size,
            "%s{\"machine\":%d,\"group\":\"g%d\",\"pool\":\"p\",\"address\":\"10.0.0.1:7710\","
            "\"state\":\"dead\",\"age_ms\":1}",
            i > 1 ? "," : "", i, i);
    (void)snprintf(text + size, sizeof text - size, "]}");
    judge(text);
    EXPECT_EQ(health.count, HEALTH_FINDINGS_MAX);
    EXPECT_EQ(health.total_count, 200);
}

TEST(what_is_no_status_of_a_tracker_is_refused)
{
    EXPECT(!cluster_view_parse(&view, "{}"));
    EXPECT(!cluster_view_parse(&view, "[1"));
    EXPECT(!cluster_view_parse(&view, "{\"storages\":7}"));
    EXPECT(cluster_view_parse(&view, "{\"storages\":[{\"machine\":1},7,null]}"));
    EXPECT_EQ(view.count, 0);
}
