#include "bin/nodes.h"

#include <inttypes.h>

#include "bin/parse.h"

static struct node *node_add(struct nodes *nodes)
{
    if (nodes->count == NODES_MAX)
        return NULL;
    struct node *node = &nodes->all[nodes->count++];
    *node = (struct node){.storage = NULL};
    return node;
}

static void add_trackers(struct nodes *nodes, const struct session *session)
{
    const struct client_config *config = &session->client.config;
    char address[IO_ADDRESS_TEXT_MAX];
    for (size_t i = 0; i < config->tracker_count; i++) {
        struct node *node = node_add(nodes);
        if (!node)
            return;
        node->address = config->trackers[i];
        if (config->tracker_count == 1)
            (void)snprintf(node->name, sizeof node->name, "tracker");
        else
            (void)snprintf(node->name, sizeof node->name, "tracker-%s",
                io_address_format(&node->address, address));
    }
}

static void add_storage(struct nodes *nodes, const struct cluster_storage *storage)
{
    struct node *node = node_add(nodes);
    if (!node)
        return;
    node->storage = storage;
    node->address = storage->address;
    (void)snprintf(node->name, sizeof node->name, "m%03" PRIu32, storage->machine);
}

static bool add_named(struct nodes *nodes, struct session *session, const char *name)
{
    uint64_t machine = 0;
    struct io_address address;
    if (strcmp(name, "tracker") == 0) {
        add_trackers(nodes, session);
        return true;
    }
    if (!err_is(io_address_parse(name, &address))) {
        struct node *node = node_add(nodes);
        if (node) {
            node->address = address;
            (void)snprintf(node->name, sizeof node->name, "%s", name);
        }
        return true;
    }
    bool is_machine = parse_machine(name, &machine);
    for (size_t i = 0; is_machine && i < nodes->view.count; i++)
        if (nodes->view.storages[i].machine == machine) {
            add_storage(nodes, &nodes->view.storages[i]);
            return true;
        }
    if (is_machine)
        session_fail(session, name, ERR(NOT_FOUND, 0), "the tracker knows no such storage");
    else
        session_fail(session, name, ERR(USAGE, 0), "wanted: m001, tracker or HOST:PORT");
    return false;
}

static bool needs_view(const char *const *names, size_t count)
{
    struct io_address address;
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], "tracker") != 0 && err_is(io_address_parse(names[i], &address)))
            return true;
    return count == 0;
}

bool nodes_find(
    struct nodes *nodes, struct session *session, const char *const *names, size_t count)
{
    nodes->count = 0;
    nodes->view.count = 0;
    if (needs_view(names, count) && !cluster_view_load(&nodes->view, session))
        return false;
    bool is_good = true;
    for (size_t i = 0; i < count; i++)
        is_good = add_named(nodes, session, names[i]) && is_good;
    if (count > 0)
        return is_good;
    add_trackers(nodes, session);
    for (size_t i = 0; i < nodes->view.count; i++)
        if (nodes->view.storages[i].is_alive)
            add_storage(nodes, &nodes->view.storages[i]);
    return true;
}

json_t *node_ask(const struct node *node, struct session *session, const char *what)
{
    struct client_op op;
    char *text;
    err_t err = status_fetch(session, &node->address, what, &op, &text);
    if (err_is(err)) {
        session_fail(session, node->name, err, op.sentence);
        return NULL;
    }
    json_t *root = json_loads(text, 0, NULL);
    mem_give(&session->mem, text);
    if (!root)
        session_fail(session, node->name, ERR(PROTOCOL, 0), "its answer is no JSON");
    return root;
}

uint64_t json_number_of(const json_t *object, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(object, key));
    return value > 0 ? (uint64_t)value : 0;
}

const char *json_text_of(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}
