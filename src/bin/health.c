#include "bin/health.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/units.h"

enum { LOW_SPACE_PERCENT = 5, LAG_MAX_S = 10 };

/* The next place for a finding; past the limit they are only counted. */
static struct finding *finding_add(struct health *health, const char *code)
{
    health->total_count++;
    if (health->count == HEALTH_FINDINGS_MAX)
        return NULL;
    struct finding *finding = &health->findings[health->count++];
    *finding = (struct finding){.code = code};
    return finding;
}

static void describe(struct finding *finding, const struct cluster_storage *storage,
    const char *format, const char *state, uint64_t age_ns)
{
    char address[IO_ADDRESS_TEXT_MAX];
    struct text text;
    if (!finding)
        return;
    io_address_format(&storage->address, address);
    text_init(&text, finding->sentence, sizeof finding->sentence);
    text_add(&text, "m%03" PRIu32 " (%s, group %s) %s", storage->machine, address, storage->group,
        format);
    if (state)
        text_add(&text, " %s", state);
    if (age_ns > 0)
        text_add_duration(&text, age_ns);
    (void)snprintf(finding->next, sizeof finding->next, "cairn status --server %s", address);
}

static void judge_storage(struct health *health, const struct cluster_storage *storage)
{
    uint64_t age_ns = storage->age_ms * NS_PER_MS;
    if (strcmp(storage->state, "dead") == 0) {
        describe(finding_add(health, "STORAGE_DEAD"), storage, "silent for ", NULL, age_ns);
        return;
    }
    if (strcmp(storage->state, "left") == 0 || strcmp(storage->state, "removed") == 0)
        return; /* it went in order */
    if (!storage->is_running)
        describe(finding_add(health, "STORAGE_NOT_RUNNING"), storage, "is", storage->state, 0);
    if (storage->mounts_online < storage->mounts_total)
        describe(finding_add(health, "DISK_OFFLINE"), storage, "has mount points that are offline",
            NULL, 0);
    if (storage->lag_ms > LAG_MAX_S * 1000)
        describe(finding_add(health, "MIRROR_LAGGING"), storage, "is behind its group by ", NULL,
            storage->lag_ms * NS_PER_MS);
    if (storage->is_running && storage->free_bytes < storage->total_bytes / 100 * LOW_SPACE_PERCENT)
        describe(finding_add(health, "LOW_SPACE"), storage, "has less than 5 % free", NULL, 0);
}

static bool is_first_mention(const struct cluster_view *view, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (strcmp(view->storages[i].group, view->storages[index].group) == 0)
            return false;
    return true;
}

static void judge_group(struct health *health, const struct cluster_view *view, size_t index)
{
    const char *group = view->storages[index].group;
    size_t members = 0, running = 0;
    for (size_t i = 0; i < view->count; i++) {
        const struct cluster_storage *storage = &view->storages[i];
        if (strcmp(storage->group, group) != 0 || strcmp(storage->state, "left") == 0
            || strcmp(storage->state, "removed") == 0)
            continue;
        members++;
        running += storage->is_running;
    }
    if (running == members)
        return;
    health->is_error |= running == 0;
    struct finding *finding =
        finding_add(health, running == 0 ? "GROUP_UNAVAILABLE" : "GROUP_DEGRADED");
    if (!finding)
        return;
    (void)snprintf(finding->sentence, sizeof finding->sentence,
        "group %s: %zu of %zu storages running", group, running, members);
    (void)snprintf(finding->next, sizeof finding->next, "cairn status --json");
}

void health_judge(const struct cluster_view *view, struct health *ret)
{
    *ret = (struct health){0};
    if (view->count == 0) {
        struct finding *finding = finding_add(ret, "NO_STORAGE");
        ret->is_error = true;
        (void)snprintf(finding->sentence, sizeof finding->sentence,
            "no storage has told this tracker of itself");
        (void)snprintf(finding->next, sizeof finding->next, "cairn storage --help");
        return;
    }
    for (size_t i = 0; i < view->count; i++)
        if (is_first_mention(view, i))
            judge_group(ret, view, i);
    for (size_t i = 0; i < view->count; i++)
        judge_storage(ret, &view->storages[i]);
}

const char *health_name(const struct health *health)
{
    if (health->is_error)
        return "HEALTH_ERR";
    return health->total_count > 0 ? "HEALTH_WARN" : "HEALTH_OK";
}
