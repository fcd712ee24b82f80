#include "storage/push_hold.h"

#include "base/text.h"
#include "storage/push.h"

struct tally {
    uint32_t mirrors, holders, missing; /* missing: won't come to hold it */
};

static struct tally count(const struct push_stream *stream, uint64_t lsn)
{
    const struct pushes *pushes = stream->pushes;
    struct tally tally = {0};
    for (uint32_t i = 0; i < pushes->members.count; i++) {
        if (pushes->members.all[i].is_removed)
            continue;
        const struct push *push = i < pushes->options.peers_max ? &stream->all[i] : NULL;
        tally.mirrors++;
        tally.holders += push && push_holds(push, lsn);
        tally.missing += !push || push_misses(push, lsn);
    }
    return tally;
}

static void write_holders(struct push_hold *hold, const struct pushes *pushes)
{
    struct text text;
    text_init(&text, hold->holders, sizeof hold->holders);
    text_add(&text, "m%03u", pushes->options.store->config.machine);
    hold->holder_count = 1;
    for (uint32_t i = 0; hold->stream && i < pushes->options.peers_max; i++) {
        const struct push *push = &hold->stream->all[i];
        if (!push_holds(push, hold->lsn))
            continue;
        text_add(&text, ",m%03u", push->machine);
        hold->holder_count++;
    }
}

static void finish(struct push_hold *hold, const struct pushes *pushes, const struct tally *tally)
{
    bool by_all = tally->mirrors > 0 && tally->holders == tally->mirrors;
    hold->reached = by_all ? ACK_ALL : tally->holders > 0 ? ACK_ONE : ACK_LOCAL;
    write_holders(hold, pushes);
    if (list_is_linked(&hold->link))
        list_remove(&hold->link);
    hold->done(hold);
}

static bool is_over(const struct push_hold *hold, const struct tally *tally)
{
    uint32_t wanted = hold->level == ACK_ALL ? tally->mirrors : 1;
    return tally->holders >= wanted || tally->holders + tally->missing == tally->mirrors;
}

void push_holds_look(struct push_stream *stream)
{
    LIST_EACH_SAFE (node, &stream->holds) {
        struct push_hold *hold = CONTAINER_OF(node, struct push_hold, link);
        struct tally tally = count(stream, hold->lsn);
        if (is_over(hold, &tally))
            finish(hold, stream->pushes, &tally);
    }
}

void push_holds_tick(struct push_stream *stream, uint64_t now_ns)
{
    LIST_EACH_SAFE (node, &stream->holds) {
        struct push_hold *hold = CONTAINER_OF(node, struct push_hold, link);
        struct tally tally = count(stream, hold->lsn);
        if (is_over(hold, &tally) || now_ns >= hold->deadline_ns)
            finish(hold, stream->pushes, &tally);
    }
}

void push_hold_wait(
    struct push_hold *hold, struct pushes *pushes, const struct stream *stream, uint64_t lsn)
{
    hold->link = (struct list){NULL, NULL};
    hold->lsn = lsn;
    hold->stream = pushes_find(pushes, stream);
    if (!hold->stream || pushes->is_stopping) {
        finish(hold, pushes, &(struct tally){0});
        return;
    }
    if (lsn == 0)
        hold->lsn = stream->log.lsn_durable;
    struct tally tally = count(hold->stream, hold->lsn);
    if (is_over(hold, &tally))
        finish(hold, pushes, &tally);
    else
        list_push_back(&hold->stream->holds, &hold->link);
}

uint32_t pushes_mirror_count(const struct pushes *pushes)
{
    uint32_t mirrors = 0;
    for (uint32_t i = 0; i < pushes->members.count; i++)
        mirrors += !pushes->members.all[i].is_removed;
    return mirrors;
}
