#include "bin/nodes.h"

#include <inttypes.h>

#include "bin/parse.h"

static void add(struct nodes *nodes, const struct io_address *address, const char *name,
    const char *more, bool is_tracker)
{
    if (nodes->count == NODES_MAX)
        return;
    struct node *node = &nodes->all[nodes->count++];
    *node = (struct node){.address = *address, .is_tracker = is_tracker};
    (void)snprintf(node->name, sizeof node->name, "%s%s", name, more);
}

static void add_storage(struct nodes *nodes, const struct cluster_storage *storage)
{
    char name[NODE_NAME_MAX];
    (void)snprintf(name, sizeof name, "m%03" PRIu32, storage->machine);
    add(nodes, &storage->address, name, "", false);
}

static bool add_trackers(struct session *session, struct nodes *ret)
{
    struct client_config config;
    char address[IO_ADDRESS_TEXT_MAX];
    if (!common_trackers(session->verb, session->common, &config))
        return false;
    for (uint32_t i = 0; i < config.tracker_count; i++)
        add(ret, &config.trackers[i], "tracker ", io_address_format(&config.trackers[i], address),
            true);
    return true;
}

static bool find_storage(
    struct session *session, const char *word, const struct cluster_view *view, struct nodes *ret)
{
    uint64_t machine;
    if (!parse_machine(word, &machine)) {
        session_fail(session, word, ERR(USAGE, 0), "a storage (m001) or HOST:PORT is wanted");
        return false;
    }
    for (size_t i = 0; i < view->count; i++)
        if (view->storages[i].machine == machine)
            add_storage(ret, &view->storages[i]);
    if (ret->count == 0)
        session_fail(session, word, ERR(NOT_FOUND, 0), "the tracker knows no such storage");
    return ret->count > 0;
}

static bool choose(
    struct session *session, const char *word, struct cluster_view *view, struct nodes *ret)
{
    if (!cluster_view_load(view, session))
        return false;
    if (word)
        return find_storage(session, word, view, ret);
    if (!add_trackers(session, ret))
        return false;
    for (size_t i = 0; i < view->count; i++)
        if (view->storages[i].is_alive)
            add_storage(ret, &view->storages[i]);
    return true;
}

bool nodes_choose(struct session *session, const char *word, struct nodes *ret)
{
    struct io_address address;
    void *view;
    ret->count = 0;
    if (word && strchr(word, ':') && !err_is(io_address_parse(word, &address))) {
        add(ret, &address, word, "", false);
        return true;
    }
    err_t err = mem_take(&session->mem, &session->owner, sizeof(struct cluster_view), 0, &view);
    if (err_is(err)) {
        session_fail(session, "memory", err, err_sentence(err.code));
        return false;
    }
    bool is_good = choose(session, word, view, ret);
    mem_give(&session->mem, view);
    return is_good;
}
