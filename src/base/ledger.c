#include "base/ledger.h"

#include <stdio.h>

enum { HELD_MARK = HELD_COUNT }; /* kind of the marks of walks */

static const char *const kind_names[HELD_COUNT] = {
#define X(name, text) text,
    HELD_KINDS(X)
#undef X
};

static const char *const direction_names[DIRECTION_COUNT] = {
#define X(name, text) text,
    DIRECTIONS(X)
#undef X
};

const char *held_kind_name(enum held_kind kind)
{
    CHECK(kind < HELD_COUNT);
    return kind_names[kind];
}

const char *direction_name(enum direction direction)
{
    CHECK(direction < DIRECTION_COUNT);
    return direction_names[direction];
}

const char *life_name(enum life life)
{
    static const char *const names[LIFE_COUNT] = {"request", "connection", "segment", "process"};
    CHECK(life < LIFE_COUNT);
    return names[life];
}

void ledger_init(struct ledger *ledger)
{
    *ledger = (struct ledger){.fd_max = -1};
    for (size_t i = 0; i < HELD_COUNT; i++)
        list_init(&ledger->kinds[i]);
}

static bool refusal_fires(struct refusal *refusal)
{
    refusal->seen++;
    if (refusal->fired && refusal->for_ever)
        return true;
    if (refusal->countdown == 0 || --refusal->countdown > 0)
        return false;
    refusal->fired = true;
    return true;
}

#ifdef CAIRN_NO_SIGHT

/* Nothing but whether a thing is held, which operations and descriptors go by: to measure the rest. */

err_t ledger_acquire_at(
    struct ledger *ledger, struct held *held, const struct claim *claim, const struct site *site)
{
    if (refusal_fires(&ledger->refusal))
        return (err_t){site, ERR_CODE_BUSY, 0};
    ledger_enter_at(ledger, held, claim, site);
    return ERR_OK;
}

void ledger_enter_at(
    struct ledger *ledger, struct held *held, const struct claim *claim, const struct site *site)
{
    (void)ledger;
    (void)site;
    held->link.next = held->link.prev = &held->link;
    held->size = claim->size;
    held->handle = claim->handle;
}

void ledger_release(struct ledger *ledger, struct held *held, enum held_kind kind)
{
    (void)ledger;
    (void)kind;
    held->link.next = held->link.prev = NULL;
}

void ledger_pass(struct held *held, struct owner *to)
{
    (void)held;
    (void)to;
}

#else

err_t ledger_acquire_at(
    struct ledger *ledger, struct held *held, const struct claim *claim, const struct site *site)
{
    uint64_t limit = ledger->limit[claim->kind];
    if (limit > 0 && ledger->count[claim->kind] >= limit)
        return (err_t){site, ERR_CODE_BUSY, 0};
    if (refusal_fires(&ledger->refusal))
        return (err_t){site, ERR_CODE_BUSY, 0};
    ledger_enter_at(ledger, held, claim, site);
    return ERR_OK;
}

void ledger_enter_at(
    struct ledger *ledger, struct held *held, const struct claim *claim, const struct site *site)
{
    CHECK(claim->kind < HELD_COUNT && claim->owner != NULL);
    CHECK(!held_is_held(held));
    held->site = site;
    held->owner = claim->owner;
    held->size = claim->size;
    held->handle = claim->handle;
    held->born_ns = ledger->now_ns;
    held->kind = (uint8_t)claim->kind;
    held->life = (uint8_t)claim->life;
    list_push_back(&ledger->kinds[claim->kind], &held->link);
    claim->owner->held++;
    ledger->bytes[claim->kind] += claim->size;
    if (++ledger->count[claim->kind] > ledger->count_max[claim->kind])
        ledger->count_max[claim->kind] = ledger->count[claim->kind];
    if (claim->kind == HELD_FD && claim->handle > ledger->fd_max)
        ledger->fd_max = claim->handle;
}

void ledger_release(struct ledger *ledger, struct held *held, enum held_kind kind)
{
    CHECK(held_is_held(held));
    CHECK(held->kind == kind);
    CHECK(ledger->count[kind] > 0 && held->owner->held > 0);
    CHECK(ledger->bytes[kind] >= held->size);
    list_remove(&held->link);
    held->owner->held--;
    ledger->count[kind]--;
    ledger->bytes[kind] -= held->size;
    held->owner = NULL;
}

void ledger_pass(struct held *held, struct owner *to)
{
    CHECK(held_is_held(held));
    CHECK(held->owner->held > 0);
    held->owner->held--;
    held->owner = to;
    to->held++;
}

#endif

void owner_open(
    struct owner *owner, const char *operation, enum direction direction, uint64_t now_ns)
{
    *owner = (struct owner){.operation = operation, .direction = direction, .born_ns = now_ns};
}

void owner_close(struct owner *owner)
{
    CHECK(owner->held == 0);
    owner->operation = NULL;
}

void ledger_check_empty(const struct ledger *ledger)
{
    for (size_t i = 0; i < HELD_COUNT; i++) {
        LIST_EACH (node, &ledger->kinds[i]) {
            const struct held *held = CONTAINER_OF(node, struct held, link);
            if (held->kind == HELD_MARK)
                continue;
            (void)fprintf(stderr, "still held: %s %lld by %s, %s:%d (%s)\n", kind_names[i],
                (long long)held->handle, held->owner->operation, held->site->file, held->site->line,
                held->site->function);
        }
        CHECK(ledger->count[i] == 0);
    }
}

/* ---- walks ---- */

void ledger_walk_begin(struct ledger *ledger, struct ledger_walk *walk)
{
    *walk = (struct ledger_walk){.mark = {.kind = HELD_MARK}, .began_ns = ledger->now_ns};
    list_push_front(&ledger->kinds[0], &walk->mark.link);
}

/* Lists are in the order of birth: what comes behind the first newcomer is new, too. */
static bool kind_is_over(
    const struct ledger *ledger, const struct ledger_walk *walk, struct list *next)
{
    if (next == &ledger->kinds[walk->kind])
        return true;
    const struct held *held = CONTAINER_OF(next, struct held, link);
    return held->kind != HELD_MARK && held->born_ns > walk->began_ns;
}

bool ledger_walk_step(struct ledger *ledger, struct ledger_walk *walk, size_t count,
    void (*visit)(void *context, const struct held *held), void *context)
{
    struct list *mark = &walk->mark.link;
    while (count > 0) {
        struct list *next = mark->next;
        bool is_over = kind_is_over(ledger, walk, next);
        list_remove(mark);
        if (is_over && ++walk->kind == HELD_COUNT)
            return true;
        if (is_over) {
            list_push_front(&ledger->kinds[walk->kind], mark);
            continue;
        }
        list_insert_between(mark, next, next->next);
        const struct held *held = CONTAINER_OF(next, struct held, link);
        if (held->kind != HELD_MARK)
            visit(context, held);
        count--;
    }
    return false;
}

void ledger_walk_end(struct ledger_walk *walk)
{
    if (held_is_held(&walk->mark))
        list_remove(&walk->mark.link);
}
