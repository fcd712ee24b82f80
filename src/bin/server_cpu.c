#include "bin/server_cpu.h"

#include <jansson.h>

struct usage {
    uint64_t process; /* pid; 0: unknown */
    uint64_t cpu_ns;
};

static bool usage_parse(const char *text, struct usage *ret)
{
    json_t *root = json_loads(text, 0, NULL);
    const json_t *user = json_object_get(root, "cpu_user_ns");
    const json_t *system = json_object_get(root, "cpu_system_ns");
    bool is_good = json_is_integer(user) && json_is_integer(system);
    if (is_good)
        *ret = (struct usage){(uint64_t)json_integer_value(json_object_get(root, "pid")),
            (uint64_t)json_integer_value(user) + (uint64_t)json_integer_value(system)};
    json_decref(root);
    return is_good;
}

static bool usage_fetch(struct session *session, const struct io_address *server, struct usage *ret)
{
    struct client_op op;
    char *text;
    if (err_is(status_fetch(session, server, "", &op, &text)))
        return false;
    bool is_good = usage_parse(text, ret);
    mem_give(&session->mem, text);
    return is_good;
}

bool server_cpu_open(struct server_cpu *cpu, struct session *session)
{
    struct cluster_view view;
    struct usage ignored;
    cpu->count = 0;
    if (!cluster_view_load(&view, session))
        return false;
    for (size_t i = 0; i < view.count; i++)
        if (view.storages[i].is_running)
            cpu->servers[cpu->count++] = view.storages[i].address;
    for (size_t i = 0; i < cpu->count; i++)
        if (!usage_fetch(session, &cpu->servers[i], &ignored))
            return false;
    if (usage_fetch(session, &session->client.config.trackers[0], &ignored))
        cpu->servers[cpu->count++] = session->client.config.trackers[0];
    return cpu->count > 0;
}

/* Two roles of one process report the same process: on one host the pid tells. */
static bool was_counted(const struct server_cpu *cpu, const struct usage *usages, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (usages[i].process != 0 && usages[i].process == usages[index].process
            && memcmp(
                   cpu->servers[i].bytes, cpu->servers[index].bytes, sizeof cpu->servers[i].bytes)
                   == 0)
            return true;
    return false;
}

bool server_cpu_read(const struct server_cpu *cpu, struct session *session, uint64_t *ret_ns)
{
    struct usage usages[CLUSTER_STORAGES_MAX + 1];
    uint64_t total = 0;
    for (size_t i = 0; i < cpu->count; i++) {
        if (!usage_fetch(session, &cpu->servers[i], &usages[i]))
            return false;
        if (!was_counted(cpu, usages, i))
            total += usages[i].cpu_ns;
    }
    *ret_ns = total;
    return true;
}
