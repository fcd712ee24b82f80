#include "client/link.h"

err_t link_pool_init(struct link_pool *pool, size_t count, struct owner *owner)
{
    void *links;
    TRY(mem_take(pool->mem, owner, count * sizeof *pool->links, 0, &links));
    pool->links = links;
    pool->count = count;
    return ERR_OK;
}

void link_pool_shutdown(struct link_pool *pool)
{
    for (size_t i = 0; i < pool->count; i++)
        net_client_close(&pool->links[i].net);
}

void link_pool_fini(struct link_pool *pool)
{
    CHECK(pool->running_count == 0);
    mem_give(pool->mem, pool->links);
    pool->links = NULL;
}

bool address_equals(const struct io_address *a, const struct io_address *b)
{
    size_t size = a->family == 4 ? 4 : sizeof a->bytes;
    return a->family == b->family && a->port == b->port && memcmp(a->bytes, b->bytes, size) == 0;
}

static void link_closed(struct net_client *net, err_t err)
{
    struct link *link = CONTAINER_OF(net, struct link, net);
    (void)err; /* every call on it was told */
    link->is_suspect = false;
    link->pool->running_count--;
}

static err_t link_start(struct link_pool *pool, struct link *link, const struct io_address *address)
{
    link->pool = pool;
    link->is_suspect = false;
    TRY(net_client_start(&link->net, pool->net,
        &(struct net_client_config){.address = *address,
            .secret = pool->secret,
            .role = ROLE_CLIENT,
            .direction = DIRECTION_CLIENT,
            .call_max = pool->call_max,
            .connect_timeout_ns = pool->connect_timeout_ns,
            .send_timeout_ns = pool->send_timeout_ns,
            .on_closed = link_closed}));
    pool->running_count++;
    return ERR_OK;
}

static bool is_usable(const struct link *link)
{
    const struct net_client *net = &link->net;
    return net->is_running && !link->is_suspect && !net->is_unwinding
           && !stream_is_lost(&net->stream) && net->call_count < net->config.call_max;
}

/* What is there: for one address, and room for another. */
struct survey {
    struct link *best;   /* usable, fewest calls */
    struct link *free;   /* not running */
    struct link *oldest; /* idle, to whomever: may be closed */
    size_t same_count;
};

static void survey_link(struct survey *survey, struct link *link, const struct io_address *address)
{
    if (!link->net.is_running) {
        survey->free = link;
        return;
    }
    if (is_usable(link) && address_equals(&link->net.config.address, address)) {
        survey->same_count++;
        if (!survey->best || link->net.call_count < survey->best->net.call_count)
            survey->best = link;
    }
    if (link->net.call_count == 0 && (!survey->oldest || link->used_ns < survey->oldest->used_ns))
        survey->oldest = link;
}

err_t link_pick(
    struct link_pool *pool, const struct io_address *address, bool is_light, struct link **ret)
{
    struct survey survey = {0};
    for (size_t i = 0; i < pool->count; i++)
        survey_link(&survey, &pool->links[i], address);
    struct link *link = survey.best;
    bool is_good = link && (is_light || link->net.call_count == 0);
    if (!is_good && survey.same_count < pool->per_server_max && survey.free) {
        TRY(link_start(pool, survey.free, address));
        link = survey.free;
    }
    if (!link) {
        if (survey.oldest)
            net_client_close(&survey.oldest->net);
        return ERR(BUSY, 0);
    }
    link->used_ns = io_now(pool->net->io);
    *ret = link;
    return ERR_OK;
}

void link_suspect(struct link *link)
{
    link->is_suspect = true;
}

void link_release(struct link *link)
{
    if (link->is_suspect && link->net.is_running && link->net.call_count == 0)
        net_client_close(&link->net);
}
