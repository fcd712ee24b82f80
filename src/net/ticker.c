#include "net/ticker.h"

#include <errno.h>

static void ticker_arm(struct net_ticker *ticker);

/* Members may leave while they are asked: the list is walked by moving it to another head. */
static void ticker_ask(struct net_ticker *ticker)
{
    struct list asking;
    list_init(&asking);
    for (struct list *node; (node = list_pop_front(&ticker->members)) != NULL;)
        list_push_back(&asking, node);
    for (struct list *node; (node = list_pop_front(&asking)) != NULL;) {
        list_push_back(&ticker->members, node);
        struct net_tick *member = CONTAINER_OF(node, struct net_tick, link);
        member->tick(member, io_now(ticker->io));
    }
}

static void ticker_wake(struct io_op *op)
{
    struct net_ticker *ticker = op->context;
    if (op->result != -ECANCELED) /* a refused timer still tells the time */
        ticker_ask(ticker);
    ticker_arm(ticker);
}

static void ticker_arm(struct net_ticker *ticker)
{
    if (list_is_empty(&ticker->members) || io_op_is_out(&ticker->op))
        return;
    ticker->op = (struct io_op){.kind = IO_TIMER,
        .fd = IO_FD_NONE,
        .wake = ticker_wake,
        .owner = ticker->owner,
        .context = ticker,
        .deadline_ns = io_now(ticker->io) + ticker->period_ns};
    io_submit(ticker->io, &ticker->op);
}

void net_ticker_init(
    struct net_ticker *ticker, struct io *io, struct owner *owner, uint64_t period_ns)
{
    *ticker = (struct net_ticker){.io = io, .owner = owner, .period_ns = period_ns};
    list_init(&ticker->members);
}

void net_ticker_join(struct net_ticker *ticker, struct net_tick *member)
{
    list_push_back(&ticker->members, &member->link);
    ticker_arm(ticker);
}

void net_ticker_leave(struct net_ticker *ticker, struct net_tick *member)
{
    if (!list_is_linked(&member->link))
        return;
    list_remove(&member->link);
    if (list_is_empty(&ticker->members))
        io_cancel(ticker->io, &ticker->op);
}

bool net_ticker_is_idle(const struct net_ticker *ticker)
{
    return !io_op_is_out(&ticker->op);
}
