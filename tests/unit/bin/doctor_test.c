/* What nodes tell, judged: each finding has its name, its urgency and a remedy. */
#include "bin/doctor_judge.h"
#include "tests/lib/test.h"

static struct doctor doctor;

static json_t *parse(const char *text)
{
    json_t *root = json_loads(text, 0, NULL);
    EXPECT(root != NULL);
    return root;
}

static void judge_storage(const char *text)
{
    json_t *status = parse(text);
    memset(&doctor, 0, sizeof doctor);
    doctor_judge_storage(&doctor, "m001", status);
    doctor_finish(&doctor);
    json_decref(status);
}

static const struct doctor_finding *find(const char *code)
{
    for (size_t i = 0; i < doctor.count; i++)
        if (strcmp(doctor.findings[i].code, code) == 0)
            return &doctor.findings[i];
    return NULL;
}

#define MOUNT(state, room)                                                                   \
    "{\"path\":\"/d\",\"state\":\"" state "\",\"why\":\"it was swapped\",\"total\":1000000," \
    "\"room\":" #room ",\"reusable\":0,\"lost_chunks\":0,\"rotten_batches\":0}"
#define STORAGE(more)                                                                           \
    "{\"state\":\"running\",\"waits\":\"\",\"trackers_welcome\":1,\"connections\":10,"          \
    "\"budget\":{\"is_shrunk\":false,\"descriptor_limit\":64,\"descriptors\":{\"connections\":" \
    "100}}" more "}"

TEST(a_storage_that_is_well_has_no_findings)
{
    judge_storage(STORAGE(",\"mounts\":[" MOUNT("online",
        900000) "],\"mirrors\":[{\"machine\":2,"
                "\"state\":\"running\",\"lag_ms\":500}],\"members\":[{\"machine\":2,\"alive\":true,"
                "\"connected\":true}],\"compared\":{\"remaining\":0}"));
    EXPECT_EQ(doctor.total, 0);
}

TEST(disks_that_are_out_full_or_nearly_full_are_told)
{
    judge_storage(STORAGE(",\"mounts\":[" MOUNT("out", 900000) "]"));
    EXPECT_EQ(find("DISK_OFFLINE")->urgency, 1);
    EXPECT(strstr(find("DISK_OFFLINE")->sentence, "/d is out: it was swapped"));
    judge_storage(STORAGE(",\"mounts\":[" MOUNT("full", 0) "]"));
    EXPECT_EQ(find("DISK_FULL")->urgency, 1);
    EXPECT(!find("DISK_OFFLINE"));
    judge_storage(STORAGE(",\"mounts\":[" MOUNT("online", 20000) "]"));
    EXPECT_EQ(find("DISK_NEARLY_FULL")->urgency, 2);
}

TEST(mirrors_that_lag_rebuild_or_differ_are_told)
{
    judge_storage(STORAGE(",\"mirrors\":[{\"machine\":2,\"state\":\"running\",\"lag_ms\":65000,"
                          "\"lag_records\":7}]"));
    EXPECT(strstr(find("MIRROR_LAGGING")->sentence, "m002 is behind by 7 records, 1m05s"));
    judge_storage(STORAGE(",\"mirrors\":[{\"machine\":2,\"state\":\"must-rebuild\"}]"));
    EXPECT(find("MIRROR_REBUILDS"));
    judge_storage(STORAGE(",\"compared\":{\"remaining\":3,\"files_failed\":1}"));
    EXPECT(strstr(find("NOT_EQUAL")->sentence, "3 units differ"));
}

TEST(members_that_live_and_cannot_be_reached_are_a_trap_of_the_configuration)
{
    judge_storage(STORAGE(",\"members\":[{\"machine\":2,\"alive\":true,\"connected\":false,"
                          "\"address\":\"10.0.0.2:7710\"}]"));
    EXPECT(strstr(find("MEMBER_UNREACHABLE")->sentence, "at 10.0.0.2:7710"));
    EXPECT(strstr(find("MEMBER_UNREACHABLE")->next, "--advertise"));
    judge_storage(
        STORAGE(",\"members\":[{\"machine\":2,\"alive\":false,\"connected\":false},"
                "{\"machine\":3,\"alive\":true,\"connected\":true,\"number_is_taken\":true}]"));
    EXPECT(!find("MEMBER_UNREACHABLE"));
    EXPECT_EQ(find("NUMBER_TAKEN")->urgency, 1);
}

TEST(queues_budgets_and_states_are_told)
{
    judge_storage("{\"state\":\"csyncing\",\"waits\":\"it catches up\",\"connections\":90,"
                  "\"trackers_welcome\":0,\"corrupt_reads\":2,\"budget\":{\"is_shrunk\":true,"
                  "\"descriptor_limit\":64,\"descriptors\":{\"connections\":100}}}");
    EXPECT(find("NOT_RUNNING") && find("CONNECTIONS") && find("BUDGET_SHRUNK") && find("DAMAGE"));
    EXPECT_TEXT(doctor.findings[0].code, "NO_TRACKER"); /* the only one of urgency 1 */
    EXPECT_TEXT(doctor.findings[doctor.count - 1].code, "BUDGET_SHRUNK");
}

TEST(clocks_are_compared_with_each_other_not_with_ours)
{
    memset(&doctor, 0, sizeof doctor);
    doctor_judge_clock(&doctor, 1000, 5000);
    doctor_judge_clock(&doctor, 1002, 5001);
    doctor_finish(&doctor);
    EXPECT_EQ(doctor.total, 0);
    doctor_judge_clock(&doctor, 1009, 5001);
    doctor_finish(&doctor);
    EXPECT(strstr(find("CLOCKS_APART")->sentence, "8 s apart"));
}

TEST(the_findings_of_a_node_keep_their_details)
{
    json_t *answer = parse("{\"findings\":[{\"code\":\"LEAK\",\"urgency\":1,\"sentence\":\"12 fd\","
                           "\"next\":\"mend it\",\"kind\":\"fd\"}]}");
    memset(&doctor, 0, sizeof doctor);
    doctor_judge_node(&doctor, "m002", answer);
    json_decref(answer);
    doctor_finish(&doctor);
    EXPECT_TEXT(json_string_value(json_object_get(find("LEAK")->details, "kind")), "fd");
    EXPECT_TEXT(find("LEAK")->node, "m002");
    doctor_free(&doctor);
}

TEST(a_group_that_cannot_be_reached_is_urgent)
{
    struct cluster_view view;
    EXPECT(cluster_view_parse(&view, "{\"storages\":[{\"machine\":1,\"group\":\"g1\",\"pool\":"
                                     "\"p\",\"address\":\"10.0.0.1:7711\","
                                     "\"state\":\"dead\"}]}"));
    memset(&doctor, 0, sizeof doctor);
    doctor_judge_cluster(&doctor, &view);
    doctor_judge_unreachable(&doctor, "m001", "10.0.0.1:7711");
    doctor_finish(&doctor);
    EXPECT(find("STORAGE_DEAD") && find("GROUP_UNAVAILABLE") && find("UNREACHABLE"));
    EXPECT_EQ(doctor.findings[doctor.count - 1].urgency, 1);
}
