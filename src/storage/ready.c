#include "storage/ready.h"

#include "base/units.h"
#include "storage/internal.h"

/* Ids that a member saw may be ahead of what it has complete: uploads that were under way. */
#define CLOCK_MARGIN (UINT64_C(60) << ID_CLOCK_SEQUENCE_BITS)

static uint64_t now_of(const struct storage *storage)
{
    return io_now(storage->loops[0].io);
}

/* ---- facts ---- */

static void look_at_mounts(const struct storage *storage, struct readiness_facts *facts)
{
    facts->is_all_new = true;
    for (uint32_t i = 0; i < storage->mounts.count; i++) {
        const struct storage_mount *it = &storage->mounts.all[i];
        if (err_is(it->err))
            continue;
        facts->has_unfilled |= it->mount.image.status.is_unfilled;
        facts->is_all_new &= it->mount.image.status.is_unfilled;
    }
}

static bool is_refused(const struct storage *storage)
{
    for (uint32_t i = 0; i < MEMBERS_MAX; i++)
        if (storage->contacts.all[i].is_refused)
            return true;
    return storage->membership.roster.is_outcast;
}

static struct readiness_facts gather(const struct storage *storage)
{
    const struct storage_filling *filling = &storage->filling;
    struct readiness_facts facts = {.is_closing = storage->is_stop_begun,
        .is_lost = filling->is_needed && filling->is_needed(storage),
        .is_alone = storage->config.is_alone,
        .is_outcast = is_refused(storage),
        .trackers = storage->config.tracker_count,
        .members = roster_member_count(&storage->membership.roster),
        .is_listening = storage->listening == storage->loop_count,
        .can_fill = filling->start != NULL,
        .is_filling_over = !storage->ready.is_fill_due && filling->is_over
                           && storage->ready.fills > 0 && filling->is_over(storage)};
    struct contacts_sums sums;
    contacts_sum(&storage->contacts, facts.is_listening, now_of(storage), &sums);
    facts.pending = sums.pending;
    facts.recalled = sums.recalled;
    /* what logs do not have any more only filling brings: without, it would be waited for for ever */
    facts.behind = filling->start ? sums.behind : 0;
    if (storage->is_heartbeat_on)
        facts.trackers_answered = heartbeat_answered_count(&storage->heartbeat);
    look_at_mounts(storage, &facts);
    return facts;
}

/* ---- effects ---- */

static void note_filled(struct storage *storage)
{
    for (uint32_t i = 0; i < storage->mounts.count; i++)
        storage->mounts.all[i].mount.image.status.is_unfilled = false;
    contacts_ask_again(&storage->contacts);
    storage->status_ns = storage->refresh_ns = 0; /* on the disks with the next tick */
}

/* What members know of a storage that lost its disks is written in stone: nothing may be used twice. */
static void raise_floors(struct storage *storage)
{
    const struct contacts *contacts = &storage->contacts;
    struct storage_ready *ready = &storage->ready;
    memcpy(ready->floors, contacts->floors, sizeof ready->floors);
    ready->floor_count = contacts->floor_count;
    if (contacts->clock_floor > 0)
        id_clock_raise(&storage->clock, contacts->clock_floor + CLOCK_MARGIN);
    if (contacts->incarnation_floor < storage->mounts.incarnation)
        return;
    storage->mounts.incarnation = storage->incarnation = contacts->incarnation_floor + 1;
}

struct stream_floor ready_floor(const struct storage *storage, uint8_t mount, uint8_t stream)
{
    for (uint32_t i = 0; i < storage->ready.floor_count; i++)
        if (storage->ready.floors[i].mount == mount && storage->ready.floors[i].stream == stream)
            return storage->ready.floors[i].floor;
    return (struct stream_floor){0};
}

static void say_state(struct storage *storage)
{
    struct storage_loop *first = &storage->loops[0];
    const struct readiness *readiness = &storage->ready.readiness;
    EVENT(&first->log, INFO, "state", &first->owner,
        EVENT_TEXT("state", storage_state_name(readiness->state)),
        EVENT_TEXT("waits", readiness_wait_text(readiness->wait)));
}

/* Before all loops listen nobody is told of a later state than ACCEPTING. */
static void do_step(struct storage *storage, struct readiness_effects *ret)
{
    struct readiness_facts facts = gather(storage);
    readiness_step(&storage->ready.readiness, &facts, ret);
    if (ret->begin_fill)
        storage->ready.is_fill_due = true;
    if (ret->is_filled)
        note_filled(storage);
    if (ret->may_open && facts.has_unfilled)
        raise_floors(storage);
    if (ret->has_changed)
        say_state(storage);
}

/* ---- before the streams are open ---- */

static err_t begin_to_wait(struct storage *storage)
{
    TRY(member_open_net(&storage->loops[0]));
    storage->ready.is_waiting = true;
    beat_start(storage);
    return ERR_OK;
}

err_t ready_begin(struct storage *storage, bool *ret_may_open)
{
    struct readiness_effects effects;
    readiness_init(&storage->ready.readiness);
    do_step(storage, &effects);
    *ret_may_open = effects.may_open;
    return effects.may_open ? ERR_OK : begin_to_wait(storage);
}

bool ready_go_on(struct storage *storage)
{
    struct readiness_effects effects;
    heartbeat_go_on(&storage->heartbeat);
    contacts_step(&storage->contacts, now_of(storage));
    do_step(storage, &effects);
    if (effects.may_open)
        storage->ready.is_waiting = false;
    return effects.may_open;
}

/* ---- while all loops run ---- */

void ready_listening(struct storage *storage, uint8_t *ret_state)
{
    struct readiness_effects effects;
    do_step(storage, &effects);
    *ret_state = storage->ready.readiness.state;
}

void ready_running(struct storage *storage)
{
    storage->membership.told_state = storage->run_state;
    beat_set_state(storage, storage->run_state);
    ready_step(storage);
}

/* Trackers send clients to who runs: the loops know first. */
static void announce(struct storage *storage)
{
    uint8_t state = storage->ready.readiness.state;
    if (storage->state == state)
        return;
    membership_step(&storage->membership);
    if (state != STATE_RUNNING || membership_has_told(&storage->membership, state))
        beat_set_state(storage, state);
}

void ready_step(struct storage *storage)
{
    struct readiness_effects effects;
    do_step(storage, &effects);
    announce(storage);
    if (!storage->ready.is_fill_due || !storage->filling.start)
        return;
    storage->ready.is_fill_due = false;
    storage->ready.fills++;
    storage->filling.start(storage);
}
