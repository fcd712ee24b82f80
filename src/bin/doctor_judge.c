#include "bin/doctor_judge.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

#include "base/units.h"
#include "bin/nodes.h"

enum { CLOCKS_APART_S = 3, LAG_LONG_S = 10, SPACE_LOW_PERCENT = 5, SHED_PERCENT = 85 };

static struct doctor_finding *finding_add(
    struct doctor *doctor, unsigned urgency, const char *node, const char *code)
{
    doctor->total++;
    if (doctor->count == DOCTOR_FINDINGS_MAX)
        return NULL;
    struct doctor_finding *finding = &doctor->findings[doctor->count++];
    *finding = (struct doctor_finding){.urgency = urgency};
    (void)snprintf(finding->node, sizeof finding->node, "%s", node);
    (void)snprintf(finding->code, sizeof finding->code, "%s", code);
    return finding;
}

__attribute__((format(printf, 6, 7))) static void find(struct doctor *doctor, unsigned urgency,
    const char *node, const char *code, const char *next, const char *format, ...)
{
    struct doctor_finding *finding = finding_add(doctor, urgency, node, code);
    va_list list;
    if (!finding)
        return;
    (void)snprintf(finding->next, sizeof finding->next, "%s", next);
    va_start(list, format);
    (void)vsnprintf(finding->sentence, sizeof finding->sentence, format, list);
    va_end(list);
}

/* ---- the nodes' own ---- */

void doctor_judge_node(struct doctor *doctor, const char *node, const json_t *answer)
{
    const json_t *findings = json_object_get(answer, "findings");
    for (size_t i = 0; i < json_array_size(findings); i++) {
        json_t *from = json_array_get(findings, i);
        struct doctor_finding *finding = finding_add(
            doctor, (unsigned)json_number_of(from, "urgency"), node, json_text_of(from, "code"));
        if (!finding)
            return;
        (void)snprintf(
            finding->sentence, sizeof finding->sentence, "%s", json_text_of(from, "sentence"));
        (void)snprintf(finding->next, sizeof finding->next, "%s", json_text_of(from, "next"));
        finding->details = json_incref(from);
    }
}

/* ---- disks ---- */

static void judge_mount(struct doctor *doctor, const char *node, const json_t *mount)
{
    const char *path = json_text_of(mount, "path"), *state = json_text_of(mount, "state");
    uint64_t total = json_number_of(mount, "total"), room = json_number_of(mount, "room");
    if (strcmp(state, "online") != 0 && strcmp(state, "full") != 0) {
        find(doctor, 1, node, "DISK_OFFLINE",
            "replace or repair the disk; what it held is brought from the mirrors",
            "mount point %s is %s: %s", path, state, json_text_of(mount, "why"));
        return;
    }
    uint64_t reusable = json_number_of(mount, "reusable");
    if (room + reusable == 0)
        find(doctor, 1, node, "DISK_FULL", "delete files, or add a group to the pool",
            "mount point %s has no room for uploads", path);
    else if (room + reusable < total / 100 * SPACE_LOW_PERCENT)
        find(doctor, 2, node, "DISK_NEARLY_FULL", "delete files, or add a group to the pool",
            "mount point %s has less than %d %% left", path, SPACE_LOW_PERCENT);
    uint64_t lost = json_number_of(mount, "lost_chunks"),
             rot = json_number_of(mount, "rotten_batches");
    if (lost + rot > 0)
        find(doctor, 2, node, "DAMAGE",
            "cairn check --deep reads everything and repairs from mirrors",
            "mount point %s: %" PRIu64 " chunk files lost, %" PRIu64 " batches of the log damaged",
            path, lost, rot);
}

/* ---- mirrors ---- */

static void judge_mirror(struct doctor *doctor, const char *node, const json_t *mirror)
{
    uint64_t machine = json_number_of(mirror, "machine"), lag = json_number_of(mirror, "lag_ms");
    const char *state = json_text_of(mirror, "state");
    char lag_data[32];
    struct text text;
    if (strcmp(state, "ahead") == 0 || strcmp(state, "must-rebuild") == 0)
        find(doctor, 2, node, "MIRROR_REBUILDS", "wait; cairn status shows how far it is",
            "mirror m%03" PRIu64 " is %s: it is filled by comparing", machine, state);
    if (lag < LAG_LONG_S * 1000)
        return;
    text_init(&text, lag_data, sizeof lag_data);
    text_add_duration(&text, lag * NS_PER_MS);
    find(doctor, 2, node, "MIRROR_LAGGING",
        "look at that mirror's disks and network; push_rate and push_window limit it, too",
        "mirror m%03" PRIu64 " is behind by %" PRIu64 " records, %s", machine,
        json_number_of(mirror, "lag_records"), lag_data);
}

static void judge_member(struct doctor *doctor, const char *node, const json_t *member)
{
    uint64_t machine = json_number_of(member, "machine");
    if (json_is_true(json_object_get(member, "number_is_taken")))
        find(doctor, 1, node, "NUMBER_TAKEN", "give one of the two another --machine",
            "two storages say that they are m%03" PRIu64, machine);
    if (!json_is_true(json_object_get(member, "alive"))
        || json_is_true(json_object_get(member, "removed"))
        || json_is_true(json_object_get(member, "connected")))
        return;
    find(doctor, 2, node, "MEMBER_UNREACHABLE",
        "its --advertise must be an address that the others reach; look at firewalls",
        "m%03" PRIu64 " sends heartbeats, but cannot be reached from here at %s", machine,
        json_text_of(member, "address"));
}

static void judge_compared(struct doctor *doctor, const char *node, const json_t *compared)
{
    uint64_t remaining = json_number_of(compared, "remaining");
    uint64_t failed = json_number_of(compared, "files_failed");
    if (remaining + failed == 0)
        return;
    find(doctor, 2, node, "NOT_EQUAL", "cairn check compares now and says what differs",
        "after the last comparison %" PRIu64 " units differ from a mirror, %" PRIu64
        " files could not be brought",
        remaining, failed);
}

/* ---- the process ---- */

static void judge_queue(struct doctor *doctor, const char *node, const json_t *status)
{
    const json_t *budget = json_object_get(status, "budget");
    uint64_t most = json_number_of(json_object_get(budget, "descriptors"), "connections");
    uint64_t now = json_number_of(status, "connections");
    if (most > 0 && now * 100 >= most * SHED_PERCENT)
        find(doctor, 2, node, "CONNECTIONS", "raise max_connections, or find out who they are",
            "%" PRIu64 " of at most %" PRIu64 " connections: more are answered busy", now, most);
    if (json_is_true(json_object_get(budget, "is_shrunk")))
        find(doctor, 3, node, "BUDGET_SHRUNK",
            "raise the limit of open files: ulimit -n, LimitNOFILE=",
            "the limit of %" PRIu64 " open files is too low for what is configured",
            json_number_of(budget, "descriptor_limit"));
    if (json_number_of(status, "trackers_welcome") == 0)
        find(doctor, 1, node, "NO_TRACKER",
            "look at its log: is --tracker right, do the secrets agree?",
            "no tracker takes its heartbeats");
}

void doctor_judge_storage(struct doctor *doctor, const char *node, const json_t *status)
{
    static const struct {
        const char *key;
        void (*judge)(struct doctor *doctor, const char *node, const json_t *item);
    } lists[] = {{"mounts", judge_mount}, {"mirrors", judge_mirror}, {"members", judge_member}};
    const char *state = json_text_of(status, "state");
    if (strcmp(state, "running") != 0)
        find(doctor, 2, node, "NOT_RUNNING", "wait, or look at what it waits for", "it is %s: %s",
            state, json_text_of(status, "waits"));
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        const json_t *list = json_object_get(status, lists[i].key);
        for (size_t k = 0; k < json_array_size(list); k++)
            lists[i].judge(doctor, node, json_array_get(list, k));
    }
    judge_compared(doctor, node, json_object_get(status, "compared"));
    judge_queue(doctor, node, status);
    uint64_t corrupt = json_number_of(status, "corrupt_reads");
    if (corrupt > 0)
        find(doctor, 2, node, "DAMAGE",
            "cairn check --deep reads everything and repairs from mirrors",
            "%" PRIu64 " reads met damage since the start", corrupt);
}

/* ---- the cluster ---- */

void doctor_judge_clock(struct doctor *doctor, uint64_t node_s, uint64_t own_s)
{
    int64_t apart = (int64_t)(node_s - own_s);
    if (!doctor->has_clock)
        doctor->clock_least_ms = doctor->clock_most_ms = apart * 1000;
    doctor->has_clock = true;
    if (apart * 1000 < doctor->clock_least_ms)
        doctor->clock_least_ms = apart * 1000;
    if (apart * 1000 > doctor->clock_most_ms)
        doctor->clock_most_ms = apart * 1000;
}

void doctor_judge_cluster(struct doctor *doctor, const struct cluster_view *view)
{
    struct health health;
    health_judge(view, &health);
    for (size_t i = 0; i < health.count; i++) {
        const struct finding *it = &health.findings[i];
        bool is_lost = strcmp(it->code, "GROUP_UNAVAILABLE") == 0
                       || strcmp(it->code, "STORAGE_DEAD") == 0
                       || strcmp(it->code, "NO_STORAGE") == 0;
        bool is_group = strncmp(it->code, "GROUP", 5) == 0;
        if (is_lost || is_group) /* the others are known better from the storages themselves */
            find(doctor, is_lost ? 1 : 2, "cluster", it->code, it->next, "%s", it->sentence);
    }
}

void doctor_judge_unreachable(struct doctor *doctor, const char *node, const char *address)
{
    find(doctor, 1, node, "UNREACHABLE",
        "is its --advertise an address that clients reach? is a firewall between?",
        "it sends heartbeats to the tracker, but does not answer at %s", address);
}

static int compare(const void *left, const void *right)
{
    const struct doctor_finding *a = left, *b = right;
    if (a->urgency != b->urgency)
        return a->urgency < b->urgency ? -1 : 1;
    int by_node = strcmp(a->node, b->node);
    return by_node != 0 ? by_node : strcmp(a->code, b->code);
}

void doctor_finish(struct doctor *doctor)
{
    int64_t apart_s = (doctor->clock_most_ms - doctor->clock_least_ms) / 1000;
    if (doctor->has_clock && apart_s > CLOCKS_APART_S)
        find(doctor, 2, "cluster", "CLOCKS_APART", "let all hosts keep time by NTP",
            "the clocks of the nodes are %" PRId64 " s apart", apart_s);
    qsort(doctor->findings, doctor->count, sizeof *doctor->findings, compare);
}

void doctor_free(struct doctor *doctor)
{
    for (size_t i = 0; i < doctor->count; i++)
        json_decref(doctor->findings[i].details);
}
