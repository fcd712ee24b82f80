#include "storage/roster.h"

void roster_init(
    struct roster *roster, uint32_t machine, const struct nonce *uuid, uint32_t member_max)
{
    CHECK(member_max <= MEMBERS_MAX);
    *roster =
        (struct roster){.machine = machine, .uuid = *uuid, .member_max = member_max, .number = 1};
}

static bool same_uuid(const struct nonce *a, const struct nonce *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static bool same_address(const struct io_address *a, const struct io_address *b)
{
    return a->family == b->family && a->port == b->port
           && memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

struct roster_member *roster_find(struct roster *roster, uint32_t machine)
{
    for (uint32_t i = 0; i < roster->count; i++)
        if (roster->all[i].member.machine == machine)
            return &roster->all[i];
    return NULL;
}

bool roster_is_outcast(const struct roster *roster, uint32_t machine, const struct nonce *uuid)
{
    for (uint32_t i = 0; i < roster->outcast_count; i++)
        if (roster->outcasts[i].machine == machine && same_uuid(&roster->outcasts[i].uuid, uuid))
            return true;
    return false;
}

uint32_t roster_member_count(const struct roster *roster)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < roster->count; i++)
        count += !roster->all[i].member.is_removed;
    return count;
}

void roster_copy(const struct roster *roster, struct members *ret)
{
    *ret = (struct members){.count = roster->count, .number = roster->number};
    for (uint32_t i = 0; i < roster->count; i++)
        ret->all[i] = roster->all[i].member;
}

/* ---- kept ---- */

void roster_load(struct roster *roster, const struct members_image *image, uint64_t now_ns)
{
    roster->generation = image->generation;
    roster->is_draining = image->is_draining;
    for (uint32_t i = 0; i < image->count; i++) {
        const struct members_entry *entry = &image->entries[i];
        struct nonce uuid;
        memcpy(uuid.bytes, entry->uuid, sizeof uuid.bytes);
        if (entry->is_removed && roster->outcast_count < ROSTER_OUTCASTS_MAX)
            roster->outcasts[roster->outcast_count++] =
                (struct roster_outcast){.machine = entry->machine, .uuid = uuid};
        else if (!entry->is_removed && roster->count < MEMBERS_MAX)
            roster->all[roster->count++] = (struct roster_member){.alive_ns = now_ns,
                .member = {.machine = entry->machine, .uuid = uuid, .address = entry->address}};
    }
    roster->number++;
}

void roster_store(const struct roster *roster, struct members_image *ret)
{
    *ret = (struct members_image){.generation = roster->generation + 1,
        .machine = roster->machine,
        .is_draining = roster->is_draining};
    memcpy(ret->storage_uuid, roster->uuid.bytes, UUID_SIZE);
    for (uint32_t i = 0; i < roster->count; i++) {
        const struct member *member = &roster->all[i].member;
        if (member->is_removed)
            continue; /* it is among the outcasts */
        struct members_entry *entry = &ret->entries[ret->count++];
        entry->machine = member->machine;
        entry->address = member->address;
        memcpy(entry->uuid, member->uuid.bytes, UUID_SIZE);
    }
    for (uint32_t i = 0; i < roster->outcast_count; i++) {
        struct members_entry *entry = &ret->entries[ret->count++];
        entry->machine = roster->outcasts[i].machine;
        entry->is_removed = true;
        memcpy(entry->uuid, roster->outcasts[i].uuid.bytes, UUID_SIZE);
    }
}

/* ---- removed ---- */

static bool cast_out(struct roster *roster, uint32_t machine, const struct nonce *uuid)
{
    if (roster_is_outcast(roster, machine, uuid))
        return true;
    if (roster->outcast_count == ROSTER_OUTCASTS_MAX)
        return false;
    roster->outcasts[roster->outcast_count++] =
        (struct roster_outcast){.machine = machine, .uuid = *uuid};
    roster->is_unsaved = true;
    return true;
}

err_t roster_remove(struct roster *roster, uint32_t machine)
{
    struct roster_member *known = roster_find(roster, machine);
    if (!known || known->member.is_removed)
        return ERR(NOT_FOUND, 0);
    if (!cast_out(roster, machine, &known->member.uuid))
        return ERR(BUSY, 0);
    known->member.is_removed = true;
    known->member.is_alive = false;
    known->clash_ns = 0;
    roster->number++;
    return ERR_OK;
}

/* Another storage of the group says that this UUID was removed. */
static enum roster_news hear_of_removal(struct roster *roster, const struct member_entry *entry)
{
    struct roster_member *known = roster_find(roster, entry->machine);
    if (entry->machine == roster->machine && same_uuid(&entry->uuid, &roster->uuid)) {
        bool is_news = !roster->is_outcast;
        roster->is_outcast = true;
        return is_news ? ROSTER_CHANGED : ROSTER_SAME;
    }
    if (known && !known->member.is_removed && same_uuid(&known->member.uuid, &entry->uuid))
        return err_is(roster_remove(roster, entry->machine)) ? ROSTER_FULL : ROSTER_CHANGED;
    if (roster_is_outcast(roster, entry->machine, &entry->uuid))
        return ROSTER_SAME;
    return cast_out(roster, entry->machine, &entry->uuid) ? ROSTER_CHANGED : ROSTER_FULL;
}

/* ---- told ---- */

/* A port of 0 is that of a storage which does not listen yet. */
static bool parse_address(struct span text, struct io_address *ret)
{
    char copy[MEMBER_ENTRY_ADDRESS_MAX];
    return text.size > 0 && span_to_text(text, copy, sizeof copy)
           && !err_is(io_address_parse(copy, ret)) && ret->port != 0;
}

static bool set_address(struct roster *roster, struct member *member, struct span text)
{
    struct io_address address;
    if (!parse_address(text, &address) || same_address(&address, &member->address))
        return false;
    member->address = address;
    roster->is_unsaved = true;
    return true;
}

static enum roster_news update(struct roster *roster, struct roster_member *known,
    const struct member_entry *entry, bool is_believed, uint64_t now_ns)
{
    struct member *member = &known->member;
    struct member before = *member;
    bool is_alive = (entry->flags & MEMBER_ALIVE) != 0, has_moved = false;
    if (is_alive)
        known->alive_ns = now_ns;
    if (is_alive)
        known->is_new = (entry->flags & MEMBER_NEW) != 0;
    if (is_alive || is_believed || member->address.family == 0)
        has_moved = set_address(roster, member, entry->address);
    if (is_alive || is_believed) {
        member->is_alive = true;
        member->state = entry->state;
        known->is_draining = (entry->flags & MEMBER_DRAINING) != 0;
    }
    if (!has_moved && before.is_alive == member->is_alive && before.state == member->state)
        return ROSTER_SAME;
    roster->number++;
    return ROSTER_CHANGED;
}

static enum roster_news enter(struct roster *roster, struct roster_member *place,
    const struct member_entry *entry, uint64_t now_ns)
{
    bool is_taken_over = place->member.machine != 0;
    *place = (struct roster_member){
        .member = {.machine = entry->machine, .uuid = entry->uuid, .state = entry->state},
        .alive_ns = now_ns};
    roster->is_unsaved = true;
    roster->number++;
    (void)update(roster, place, entry, false, now_ns);
    return is_taken_over ? ROSTER_REPLACED : ROSTER_JOINED;
}

static enum roster_news note_clash(
    struct roster_member *known, const struct member_entry *entry, uint64_t now_ns)
{
    bool is_news = known->clash_ns == 0 || !same_uuid(&known->clash_uuid, &entry->uuid);
    known->clash_ns = now_ns > 0 ? now_ns : 1;
    known->clash_uuid = entry->uuid;
    return is_news ? ROSTER_CLASH : ROSTER_SAME;
}

enum roster_news roster_tell(
    struct roster *roster, const struct member_entry *entry, bool from_itself, uint64_t now_ns)
{
    if ((entry->flags & MEMBER_REMOVED) != 0)
        return hear_of_removal(roster, entry);
    if (entry->machine == roster->machine)
        return ROSTER_SAME;
    if (roster_is_outcast(roster, entry->machine, &entry->uuid))
        return (entry->flags & MEMBER_ALIVE) != 0 ? ROSTER_OUTCAST : ROSTER_SAME;
    struct roster_member *known = roster_find(roster, entry->machine);
    if (known && same_uuid(&known->member.uuid, &entry->uuid))
        return update(roster, known, entry, from_itself, now_ns);
    if (known && !known->member.is_removed)
        return note_clash(known, entry, now_ns);
    if ((entry->flags & MEMBER_NEW) != 0)
        return ROSTER_SAME;
    if (known)
        return enter(roster, known, entry, now_ns);
    if (roster->count >= roster->member_max)
        return ROSTER_FULL;
    return enter(roster, &roster->all[roster->count++], entry, now_ns);
}

void roster_see(struct roster *roster, uint32_t machine, uint64_t now_ns)
{
    struct roster_member *known = roster_find(roster, machine);
    if (!known || known->member.is_removed)
        return;
    known->alive_ns = now_ns;
    roster->number += !known->member.is_alive;
    known->member.is_alive = true;
}

void roster_age(struct roster *roster, uint64_t now_ns, uint64_t dead_ns)
{
    for (uint32_t i = 0; i < roster->count; i++) {
        struct roster_member *it = &roster->all[i];
        if (!it->member.is_alive || now_ns - it->alive_ns < dead_ns)
            continue;
        it->member.is_alive = false;
        roster->number++;
    }
}
