#include "storage/membership.h"

#include "base/units.h"
#include "storage/internal.h"

/* A disk that refused is not asked more often. */
#define SAVE_AGAIN_NS (5 * NS_PER_S)

static struct storage_loop *first_of(struct membership *membership)
{
    return &membership->storage->loops[0];
}

err_t membership_open(struct membership *membership, struct storage *storage)
{
    struct members_image image;
    bool is_found = false, is_complete = true;
    *membership = (struct membership){.storage = storage, .is_open = true};
    list_init(&membership->waiters);
    roster_init(&membership->roster, storage->config.machine_number, &storage->uuid,
        storage->budget.member_max);
    TRY(members_file_load(&storage->mounts, &image, &is_found, &is_complete));
    if (!is_found)
        return ERR_OK;
    roster_load(&membership->roster, &image, io_now(storage->loops[0].io));
    membership->roster.is_unsaved = !is_complete;
    return ERR_OK;
}

/* ---- news ---- */

static void tell_news(
    struct membership *membership, enum roster_news news, const struct member_entry *entry)
{
    static const char *const names[] = {
        [ROSTER_JOINED] = "member_joined",
        [ROSTER_REPLACED] = "member_replaced",
        [ROSTER_CLASH] = "member_number_is_taken",
        [ROSTER_FULL] = "members_full",
    };
    struct storage_loop *first = first_of(membership);
    if (news >= ARRAY_LEN(names) || !names[news])
        return;
    bool is_bad = news == ROSTER_CLASH || news == ROSTER_FULL;
    if (is_bad && io_now(first->io) < membership->complain_ns)
        return; /* every heartbeat brings it again */
    if (is_bad)
        membership->complain_ns = io_now(first->io) + NS_PER_MINUTE;
    event_write(&first->log, is_bad ? EVENT_ERROR : EVENT_INFO, names[news], &first->owner,
        (const struct event_field[]){
            EVENT_MACHINE("member", entry->machine), EVENT_SPAN("address", entry->address)},
        2, SITE());
}

/* ---- kept ---- */

static void tell_waiters(struct membership *membership, err_t err)
{
    struct list *node;
    while ((node = list_pop_front(&membership->waiters)) != NULL) {
        struct membership_waiter *waiter = CONTAINER_OF(node, struct membership_waiter, link);
        waiter->saved(waiter, err);
    }
}

void membership_wait_saved(struct membership *membership, struct membership_waiter *waiter)
{
    list_push_back(&membership->waiters, &waiter->link);
    membership->save_ns = 0;
}

static void save_if_due(struct membership *membership);

static void saved(struct members_file *file)
{
    struct membership *membership = CONTAINER_OF(file, struct membership, file);
    struct storage_loop *first = first_of(membership);
    membership->is_saving = false;
    membership->roster.generation = file->generation;
    if (file->failed > 0 || !membership->roster.is_unsaved)
        tell_waiters(membership, file->err);
    if (file->failed == 0) {
        save_if_due(membership);
        return;
    }
    membership->roster.is_unsaved = true;
    membership->save_ns = io_now(first->io) + SAVE_AGAIN_NS;
    EVENT(&first->log, WARN, "members_not_saved", &first->owner,
        EVENT_NUMBER("mounts", file->failed), EVENT_ERR(file->err));
}

static void save(struct membership *membership)
{
    struct members_image image;
    struct roster *roster = &membership->roster;
    roster_store(roster, &image);
    roster->is_unsaved = false;
    membership->is_saving = true;
    members_file_start(&membership->file, &membership->storage->mounts, &image, saved);
}

static void save_if_due(struct membership *membership)
{
    uint64_t now_ns = io_now(first_of(membership)->io);
    if (membership->roster.is_unsaved && !membership->is_saving && now_ns >= membership->save_ns)
        save(membership);
}

void membership_told(struct membership *membership, const struct member_entry *members,
    uint32_t count, bool from_itself)
{
    uint64_t now_ns = io_now(first_of(membership)->io);
    for (uint32_t i = 0; i < count; i++) {
        enum roster_news news = roster_tell(&membership->roster, &members[i], from_itself, now_ns);
        tell_news(membership, news, &members[i]);
    }
    save_if_due(membership);
}

/* ---- told to the loops ---- */

static void word_acknowledged(struct io *here, struct io_message *message);

static void word_arrived(struct io *here, struct io_message *message)
{
    struct members_word *word = CONTAINER_OF(message, struct members_word, message);
    struct storage_loop *loop = word->loop;
    if (loop->phase == STORAGE_PHASE_RUNNING) {
        loop->state = word->state;
        if (word->members.number != loop->members.number)
            members_take(loop, &word->members);
    }
    word->message.deliver = word->acknowledged;
    io_post(here, loop->first, &word->message);
}

static void send_word(struct membership *membership, struct storage_loop *loop)
{
    struct members_word *word = &loop->members_word;
    if (word->is_out) {
        word->is_due = true;
        return;
    }
    roster_copy(&membership->roster, &word->members);
    word->loop = loop;
    word->state = membership->told_state;
    word->is_out = true;
    word->is_due = false;
    word->acknowledged = word_acknowledged;
    word->message.deliver = word_arrived;
    io_post(first_of(membership)->io, loop->io, &word->message);
}

static void word_acknowledged(struct io *here, struct io_message *message)
{
    struct members_word *word = CONTAINER_OF(message, struct members_word, message);
    struct membership *membership = &word->loop->storage->membership;
    (void)here;
    word->is_out = false;
    if (word->is_due && !membership->is_closed)
        send_word(membership, word->loop);
}

static void tell_loops(struct membership *membership)
{
    struct storage *storage = membership->storage;
    membership->told_number = membership->roster.number;
    membership->told_state = storage->ready.readiness.state;
    for (uint16_t i = 0; i < storage->loop_count; i++)
        send_word(membership, &storage->loops[i]);
}

/* ---- each tick ---- */

void membership_step(struct membership *membership)
{
    struct storage *storage = membership->storage;
    uint64_t now_ns = io_now(first_of(membership)->io);
    if (!membership->is_open || membership->is_closed)
        return;
    roster_age(&membership->roster, now_ns, storage->config.member_wait_ns);
    save_if_due(membership);
    if (!membership->roster.is_unsaved && !membership->is_saving)
        tell_waiters(membership, ERR_OK);
    bool is_news = membership->told_number != membership->roster.number
                   || membership->told_state != storage->ready.readiness.state;
    if (is_news && storage->verb == STORAGE_RUN && storage->answers == 0)
        tell_loops(membership);
}

bool membership_has_told(const struct membership *membership, uint8_t state)
{
    const struct storage *storage = membership->storage;
    for (uint16_t i = 0; i < storage->loop_count; i++)
        if (storage->loops[i].members_word.is_out)
            return false;
    return membership->told_state == state;
}

/* ---- operators ---- */

err_t membership_remove(struct membership *membership, uint32_t machine)
{
    struct storage_loop *first = first_of(membership);
    TRY(roster_remove(&membership->roster, machine));
    EVENT(&first->log, WARN, "member_removed", &first->owner, EVENT_MACHINE("member", machine));
    return ERR_OK;
}

void membership_drain(struct membership *membership, bool is_draining)
{
    struct storage_loop *first = first_of(membership);
    if (membership->roster.is_draining == is_draining)
        return;
    membership->roster.is_draining = is_draining;
    membership->roster.is_unsaved = true;
    EVENT(&first->log, WARN, "draining", &first->owner,
        EVENT_TEXT("uploads", is_draining ? "go elsewhere" : "come again"));
}

/* ---- the end ---- */

void membership_close(struct membership *membership)
{
    if (!membership->is_open)
        return;
    tell_waiters(membership, ERR(CANCELLED, 0));
    membership->is_closed = true;
    save_if_due(membership);
}

bool membership_is_idle(const struct membership *membership)
{
    const struct storage *storage = membership->storage;
    if (!membership->is_open)
        return true;
    for (uint16_t i = 0; i < storage->loop_count; i++)
        if (storage->loops[i].members_word.is_out)
            return false;
    return !membership->is_saving;
}
