#include "client/client.h"

#include "base/units.h"
#include "client/op.h"

/* Deadlines are exact to this; shorter would wake an idle loop for nothing. */
#define TICK_NS (50 * NS_PER_MS)

/* A server that is there answers the handshake in milliseconds: a quarter of the patience leaves
 * time for the others. */
static uint64_t connect_timeout_ns(uint64_t timeout_ns)
{
    uint64_t quarter_ns = timeout_ns / 4;
    return quarter_ns < 5 * NS_PER_S ? quarter_ns : 5 * NS_PER_S;
}

static err_t client_init_links(struct client *client, size_t link_count)
{
    client->links = (struct link_pool){.net = &client->net,
        .mem = client->mem,
        .secret = &client->config.secret,
        .per_server_max = client->config.connections_max,
        .call_max = client->config.operations_max + 1,
        .connect_timeout_ns = connect_timeout_ns(client->config.timeout_ns),
        .send_timeout_ns = client->config.timeout_ns};
    return link_pool_init(&client->links, link_count, &client->owner);
}

err_t client_init(
    struct client *client, struct io *io, struct mem *mem, const struct client_config *config)
{
    size_t link_count = config->operations_max + LINK_SPARE_COUNT;
    if (config->tracker_count == 0 || config->tracker_count > CLIENT_TRACKERS_MAX)
        return ERR(USAGE, 0);
    CHECK(config->connections_max > 0 && config->operations_max > 0 && config->timeout_ns > 0);
    *client = (struct client){.io = io, .mem = mem, .config = *config};
    list_init(&client->operations);
    owner_open(&client->owner, "client", DIRECTION_CLIENT, io_now(io));
    err_t err = net_loop_init(&client->net, io, mem,
        &(struct net_loop_config){.small_count = (uint32_t)link_count,
            .large_count = config->operations_max + 1,
            .tick_ns = TICK_NS});
    if (err_is(err))
        return err;
    err = client_init_links(client, link_count);
    if (err_is(err))
        net_loop_fini(&client->net);
    return err;
}

void client_cancel_all(struct client *client, err_t err)
{
    LIST_EACH (node, &client->operations)
        op_give_up(CONTAINER_OF(node, struct client_op, link), err);
}

void client_shutdown(struct client *client)
{
    CHECK(list_is_empty(&client->operations));
    client->is_shut_down = true;
    link_pool_shutdown(&client->links);
}

bool client_is_closed(const struct client *client)
{
    return client->is_shut_down && client->links.running_count == 0
           && net_loop_is_idle(&client->net);
}

void client_fini(struct client *client)
{
    CHECK(client_is_closed(client));
    link_pool_fini(&client->links);
    net_loop_fini(&client->net);
    owner_close(&client->owner);
}
