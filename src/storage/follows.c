/* What the followers of a loop have in common: memory, and the timer that logs their positions. See follow.h. */
#include "storage/follow.h"

#include "base/units.h"
#include "storage/server.h"

/* ---- memory ---- */

static size_t assembly_size(const struct store_config *config)
{
    return config->log_buffer_size + FOLLOW_HEAD; /* a larger record can't be logged here */
}

uint64_t follows_bytes(const struct store_config *store, uint32_t intake_max)
{
    return pool_bytes(sizeof(struct follow_intake), intake_max, 0)
           + pool_bytes(assembly_size(store), FOLLOW_ASSEMBLIES, 0)
           + pool_bytes(sizeof(struct follower), FOLLOW_SOURCES, 0);
}

static err_t take(struct follows *follows)
{
    struct storage_loop *loop = follows->loop;
    struct ledger *ledger = &loop->io->ledger;
    TRY(pool_init(&follows->intakes, &loop->mem, ledger, "follow.intakes",
        sizeof(struct follow_intake), loop->storage->budget.intake_max, 0, &follows->owner));
    TRY(pool_init(&follows->assemblies, &loop->mem, ledger, "follow.assemblies",
        assembly_size(&loop->store.config), FOLLOW_ASSEMBLIES, 0, &follows->owner));
    TRY(pool_init(&follows->followers_pool, &loop->mem, ledger, "follow.sources",
        sizeof(struct follower), FOLLOW_SOURCES, 0, &follows->owner));
    follows->followers_pool.life = LIFE_PROCESS;
    return ERR_OK;
}

static void give(struct follows *follows)
{
    for (struct list *node; (node = list_pop_front(&follows->followers)) != NULL;) {
        struct follower *follower = CONTAINER_OF(node, struct follower, link);
        owner_close(&follower->owner);
        pool_give(&follows->followers_pool, follower);
    }
    if (follows->followers_pool.mem)
        pool_fini(&follows->followers_pool);
    if (follows->assemblies.mem)
        pool_fini(&follows->assemblies);
    if (follows->intakes.mem)
        pool_fini(&follows->intakes);
    owner_close(&follows->owner);
}

err_t follows_init(struct follows *follows, struct storage_loop *loop)
{
    *follows = (struct follows){.loop = loop};
    list_init(&follows->followers);
    owner_open(&follows->owner, "follows", DIRECTION_SYNC_RECV, io_now(loop->io));
    err_t err = take(follows);
    if (err_is(err))
        give(follows);
    return err;
}

void follows_fini(struct follows *follows)
{
    CHECK(!follows->is_ticking);
    give(follows);
}

/* ---- positions are logged now and then ---- */

static void log_positions(struct follows *follows, uint64_t now_ns, bool must)
{
    LIST_EACH (node, &follows->followers) {
        struct follower *follower = CONTAINER_OF(node, struct follower, link);
        if (!must && !follower->has_news
            && now_ns - follower->logged_ns < FOLLOW_QUIET_MS * NS_PER_MS)
            continue;
        follower->has_news = false;
        follower->logged_ns = now_ns;
        stream_position_log(follower->stream, follower->source);
    }
}

static void follows_ticked(struct net_tick *tick, uint64_t now_ns)
{
    struct follows *follows = CONTAINER_OF(tick, struct follows, tick);
    if (now_ns < follows->logged_ns + FOLLOW_LOG_MS * NS_PER_MS)
        return;
    follows->logged_ns = now_ns;
    log_positions(follows, now_ns, false);
}

void follows_begin_ticking(struct follows *follows)
{
    if (follows->is_ticking)
        return;
    follows->is_ticking = true;
    follows->tick.tick = follows_ticked;
    net_ticker_join(&follows->loop->net.ticker, &follows->tick);
}

void follows_stop(struct follows *follows)
{
    if (!follows->is_ticking)
        return;
    log_positions(follows, io_now(follows->loop->io), true);
    net_ticker_leave(&follows->loop->net.ticker, &follows->tick);
    follows->is_ticking = false;
}
