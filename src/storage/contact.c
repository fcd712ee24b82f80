#include "storage/contact.h"

#include "base/units.h"
#include "storage/internal.h"
#include "wire/unit.h"

#define CALL_NS (3 * NS_PER_S)
#define RETRY_MIN_NS (100 * NS_PER_MS)
#define RETRY_MAX_NS (1 * NS_PER_S)
#define SAMPLE_SOON_NS (200 * NS_PER_MS)
#define SAMPLE_NS (1 * NS_PER_S)

static struct storage_loop *first_of(const struct contacts *contacts)
{
    return &contacts->storage->loops[0];
}

static uint64_t now_of(const struct contact *contact)
{
    return io_now(first_of(contact->contacts)->io);
}

static struct roster *roster_of(struct contacts *contacts)
{
    return &contacts->storage->membership.roster;
}

static bool loops_run(const struct contacts *contacts)
{
    const struct storage *storage = contacts->storage;
    return storage->verb == STORAGE_RUN && storage->answers == 0;
}

void contacts_init(struct contacts *contacts, struct storage *storage)
{
    *contacts = (struct contacts){.storage = storage};
}

/* ---- what the members say of us ---- */

static struct stream_floor *floor_of(struct contacts *contacts, uint8_t mount, uint8_t stream)
{
    for (uint32_t i = 0; i < contacts->floor_count; i++)
        if (contacts->floors[i].mount == mount && contacts->floors[i].stream == stream)
            return &contacts->floors[i].floor;
    if (contacts->floor_count == CONTACT_ROWS_MAX)
        return NULL;
    struct contact_floor *made = &contacts->floors[contacts->floor_count++];
    *made = (struct contact_floor){.mount = mount, .stream = stream};
    return &made->floor;
}

static void raise_to(uint64_t *value, uint64_t floor)
{
    if (*value < floor)
        *value = floor;
}

/* False: it makes no sense, or more streams than we can keep in mind. */
static bool read_floors(struct contacts *contacts, uint32_t count, struct reader *r)
{
    for (uint32_t i = 0; i < count && !r->failed; i++) {
        uint8_t mount = read_u8(r), stream = read_u8(r);
        (void)read_u16(r);
        uint32_t chunk = read_u32(r);
        uint64_t incarnation = read_u64(r), lsn = read_u64(r), clock = read_u64(r);
        struct stream_floor *floor = floor_of(contacts, mount, stream);
        if (r->failed || !floor)
            return false;
        floor->chunk = floor->chunk < chunk ? chunk : floor->chunk;
        raise_to(&floor->incarnation, incarnation);
        raise_to(&floor->lsn, lsn);
        raise_to(&contacts->incarnation_floor, incarnation);
        raise_to(&contacts->clock_floor, clock);
    }
    return !r->failed;
}

static bool read_removed(struct contacts *contacts, uint32_t count, struct reader *r)
{
    struct member_entry entry;
    for (uint32_t i = 0; i < count; i++) {
        if (err_is(member_entry_decode(r, &entry)))
            return false;
        if ((entry.flags & MEMBER_REMOVED) != 0)
            membership_told(&contacts->storage->membership, &entry, 1, false);
    }
    return true;
}

static bool take_recalled(struct contact *contact, struct span meta, struct span data)
{
    struct contacts *contacts = contact->contacts;
    struct msg_recalled msg;
    struct reader r = {.data = data.data, .size = data.size};
    if (err_is(msg_recalled_decode(meta, &msg)) || !read_floors(contacts, msg.count, &r)
        || !read_removed(contacts, msg.removed, &r))
        return false;
    if (memcmp(&msg.uuid, &contact->uuid, sizeof msg.uuid) != 0)
        return false;
    raise_to(&contacts->incarnation_floor, msg.incarnation);
    struct member_entry entry = {.machine = contact->machine,
        .uuid = contact->uuid,
        .state = msg.state < STATE_COUNT ? msg.state : 0};
    membership_told(&contacts->storage->membership, &entry, 1, true);
    contact->is_introduced = contact->is_recalled = true;
    contact->is_refused = false;
    contact->refused_code = 0;
    return true;
}

/* ---- how far the members are ---- */

/* Maps of old names that the member knows: what it tells and is no map of ours is left out. */
static bool take_maps(struct contact *contact, uint32_t count, struct reader *r)
{
    struct names_book *book = &contact->contacts->storage->names;
    for (uint32_t i = 0; i < count; i++) {
        struct span id = read_text(r);
        if (r->failed)
            return false;
        if (err_is(names_add(book, id)))
            continue;
    }
    return true;
}

static bool take_positions(struct contact *contact, struct span meta, struct span data)
{
    struct msg_positions_reply msg;
    struct reader r = {.data = data.data, .size = data.size};
    if (err_is(msg_positions_reply_decode(meta, &msg)))
        return false;
    contact->row_count = 0;
    contact->is_cut = false;
    for (uint32_t i = 0; i < msg.count; i++) {
        struct unit_position position;
        if (err_is(unit_position_decode(&r, &position)))
            return false;
        if (position.machine != contact->machine)
            continue; /* it follows that one, as we do */
        struct contact_row row = {.mount = position.mount,
            .stream = position.stream,
            .incarnation = position.incarnation,
            .lsn = position.lsn};
        contact->is_cut |= contact->row_count == CONTACT_ROWS_MAX;
        if (contact->row_count < CONTACT_ROWS_MAX)
            contact->rows[contact->row_count++] = row;
    }
    contact->is_sampled = true;
    return take_maps(contact, msg.maps, &r);
}

static bool is_reached(
    const struct survey *survey, uint32_t machine, const struct contact_row *row, uint64_t *ret_lag)
{
    const struct survey_row *own = survey_find(survey, machine, row->mount, row->stream);
    uint64_t incarnation = own ? own->incarnation : 0, lsn = own ? own->lsn : 0;
    *ret_lag = row->lsn > lsn ? row->lsn - lsn : 0;
    return position_compare(incarnation, lsn, row->incarnation, row->lsn) >= 0;
}

static void drop_reached(struct contact *contact, const struct survey *survey)
{
    uint32_t left = 0;
    contact->lag_records = 0;
    for (uint32_t i = 0; i < contact->row_count; i++) {
        uint64_t lag;
        if (is_reached(survey, contact->machine, &contact->rows[i], &lag))
            continue;
        contact->lag_records += lag;
        contact->rows[left++] = contact->rows[i];
    }
    contact->row_count = left;
    contact->is_caught_up |= contact->is_sampled && left == 0 && !contact->is_cut;
}

static void surveyed(struct survey_waiter *waiter)
{
    struct contacts *contacts = CONTAINER_OF(waiter, struct contacts, waiter);
    contacts->is_surveying = false;
    for (uint32_t i = 0; i < MEMBERS_MAX; i++)
        drop_reached(&contacts->all[i], &contacts->storage->survey);
}

static void compare_with_own(struct contacts *contacts)
{
    bool is_needed = false;
    for (uint32_t i = 0; i < MEMBERS_MAX; i++)
        is_needed |= contacts->all[i].row_count > 0
                     || (contacts->all[i].is_sampled && !contacts->all[i].is_caught_up);
    if (!is_needed || contacts->is_surveying || !loops_run(contacts))
        return;
    contacts->is_surveying = true;
    contacts->waiter.surveyed = surveyed;
    survey_wait(&contacts->storage->survey, &contacts->waiter);
}

/* ---- calls ---- */

static void tell_refusal(struct contact *contact, err_t err, const char *reason)
{
    struct storage_loop *first = first_of(contact->contacts);
    if (contact->refused_code == err.code)
        return;
    contact->refused_code = err.code;
    EVENT(&first->log, ERROR, "member_refuses", &first->owner,
        EVENT_MACHINE("member", contact->machine), EVENT_TEXT("reason", reason), EVENT_ERR(err));
}

static void call_frame(
    struct net_call *call, const struct frame *frame, struct span meta, struct span data)
{
    struct contact *contact = call->context;
    bool is_good = false;
    contact->heard_ns = now_of(contact);
    if (frame->type == MSG_RECALLED)
        is_good = take_recalled(contact, meta, data);
    else if (frame->type == MSG_POSITIONS_REPLY)
        is_good = take_positions(contact, meta, data);
    if (!is_good || (frame->flags & FRAME_MORE) != 0)
        net_client_close(&contact->client);
}

static void call_end(struct net_call *call, err_t err)
{
    struct contact *contact = call->context;
    contact->is_asking = false;
    if (!err_is(err))
        return;
    bool is_final = err_has(err, ERR_CODE_FOREIGN) || err_has(err, ERR_CODE_EXISTS);
    contact->is_refused |= is_final;
    if (is_final || err_has(err, ERR_CODE_DENIED) || err_has(err, ERR_CODE_WRONG_NODE))
        tell_refusal(contact, err, call->error_text);
    net_client_close(&contact->client);
}

static void start_call(struct contact *contact, uint8_t type, const struct writer *fields)
{
    contact->call.on_frame = call_frame;
    contact->call.on_end = call_end;
    contact->call.context = contact;
    contact->call.deadline_ns = now_of(contact) + CALL_NS;
    err_t err = net_call_start(&contact->client, &contact->call, type, 0, fields, NULL, 0);
    contact->is_asking = !err_is(err); /* else the connection is going: on_closed is on its way */
}

static void ask_recall(struct contact *contact)
{
    const struct storage *storage = contact->contacts->storage;
    struct writer fields = net_call_begin(&contact->call);
    contact->flags = beat_flags(storage);
    msg_recall_encode(
        &(struct msg_recall){.uuid = storage->uuid,
            .group = span_of_text(storage->config.group),
            .address = span_of_text(storage->address),
            .state = storage->state,
            .flags =
                (uint8_t)(contact->flags | (storage->config.replace_lost ? MEMBER_REPLACING : 0))},
        &fields);
    start_call(contact, MSG_RECALL, &fields);
}

static void ask_positions(struct contact *contact)
{
    struct writer fields = net_call_begin(&contact->call);
    msg_positions_encode(&(struct msg_positions){}, &fields);
    contact->asked_ns = now_of(contact);
    start_call(contact, MSG_POSITIONS, &fields);
}

/* ---- connections ---- */

static void on_ready(struct net_client *client)
{
    struct contact *contact = client->config.context;
    contact->stage = CONTACT_THERE;
    contact->is_introduced = false;
}

static void on_closed(struct net_client *client, err_t err)
{
    struct contact *contact = client->config.context;
    uint64_t now_ns = now_of(contact);
    (void)err; /* who is away is tried again; refusals were told */
    if (contact->is_introduced || contact->away_ns == 0)
        contact->away_ns = now_ns;
    if (contact->is_introduced)
        contact->retry_ns = RETRY_MIN_NS;
    contact->stage = CONTACT_AWAY;
    contact->is_asking = contact->is_introduced = false;
    contact->next_ns = now_ns + contact->retry_ns / 2
                       + io_random(first_of(contact->contacts)->io) % (contact->retry_ns / 2 + 1);
    contact->retry_ns = 2 * contact->retry_ns < RETRY_MAX_NS ? 2 * contact->retry_ns : RETRY_MAX_NS;
}

static void connect_contact(struct contact *contact, const struct io_address *address)
{
    const struct storage *storage = contact->contacts->storage;
    err_t err = net_client_start(&contact->client, &first_of(contact->contacts)->net,
        &(struct net_client_config){.address = *address,
            .secret = &storage->options.secrets->node,
            .role = ROLE_NODE,
            .direction = DIRECTION_OWN,
            .machine = storage->config.machine_number,
            .call_max = 1,
            .connect_timeout_ns = CALL_NS,
            .send_timeout_ns = CALL_NS,
            .on_ready = on_ready,
            .on_closed = on_closed,
            .context = contact});
    if (err_is(err))
        contact->next_ns = now_of(contact) + contact->retry_ns; /* the loop has no room now */
    else
        contact->stage = CONTACT_CONNECTING;
}

/* ---- what is due ---- */

/* A number may have gone to another UUID, which is somebody else. False: not yet. */
static bool take_identity(struct contacts *contacts, struct contact *contact,
    const struct member *member, uint64_t now_ns)
{
    if (contact->machine != 0 && memcmp(&contact->uuid, &member->uuid, sizeof contact->uuid) == 0)
        return true;
    if (contact->stage != CONTACT_AWAY) {
        net_client_close(&contact->client);
        return false;
    }
    *contact = (struct contact){.contacts = contacts,
        .machine = member->machine,
        .uuid = member->uuid,
        .retry_ns = RETRY_MIN_NS,
        .away_ns = now_ns};
    return true;
}

/* A machine that lost its power says nothing, and its connection stays for a while: who has not
 * answered lately is not seen. */
static bool is_silent(const struct contact *contact, uint64_t now_ns)
{
    return now_ns - contact->heard_ns >= contact->contacts->storage->config.member_wait_ns / 2;
}

static void ask_what_is_due(struct contact *contact, uint64_t now_ns)
{
    const struct contacts *contacts = contact->contacts;
    bool is_urgent = contacts->storage->state != STATE_RUNNING;
    uint64_t interval_ns = is_urgent ? SAMPLE_SOON_NS : SAMPLE_NS;
    if (!contact->is_introduced || contact->flags != beat_flags(contacts->storage)
        || is_silent(contact, now_ns))
        ask_recall(contact);
    else if (loops_run(contacts) && contact->row_count == 0
             && (now_ns >= contact->asked_ns + interval_ns || contact->is_cut
                 || !contact->is_sampled))
        ask_positions(contact);
}

static void step_contact(struct contact *contact, const struct member *member, uint64_t now_ns)
{
    if (member->is_removed) {
        net_client_close(&contact->client);
        contact->row_count = 0;
        return;
    }
    if (contact->is_introduced) {
        contact->away_ns = 0;
        if (!is_silent(contact, now_ns))
            roster_see(roster_of(contact->contacts), contact->machine, now_ns);
    }
    if (contact->stage == CONTACT_AWAY && now_ns >= contact->next_ns && member->address.family != 0)
        connect_contact(contact, &member->address);
    else if (contact->stage == CONTACT_THERE && !contact->is_asking)
        ask_what_is_due(contact, now_ns);
}

void contacts_step(struct contacts *contacts, uint64_t now_ns)
{
    const struct roster *roster = roster_of(contacts);
    if (contacts->is_leaving)
        return;
    for (uint32_t i = 0; i < roster->count; i++)
        if (take_identity(contacts, &contacts->all[i], &roster->all[i].member, now_ns))
            step_contact(&contacts->all[i], &roster->all[i].member, now_ns);
    compare_with_own(contacts);
}

void contacts_ask_again(struct contacts *contacts)
{
    for (uint32_t i = 0; i < MEMBERS_MAX; i++) {
        struct contact *contact = &contacts->all[i];
        contact->is_sampled = contact->is_caught_up = contact->is_cut = false;
        contact->row_count = 0;
    }
}

void contacts_leave(struct contacts *contacts)
{
    contacts->is_leaving = true;
    survey_leave(&contacts->waiter);
    contacts->is_surveying = false;
    for (uint32_t i = 0; i < MEMBERS_MAX; i++)
        net_client_close(&contacts->all[i].client);
}

bool contacts_is_idle(const struct contacts *contacts)
{
    for (uint32_t i = 0; i < MEMBERS_MAX; i++)
        if (contacts->all[i].client.is_running)
            return false;
    return true;
}

/* ---- sums ---- */

static void sum_contact(const struct contact *contact, bool with_positions, uint64_t now_ns,
    uint64_t wait_ns, struct contacts_sums *ret)
{
    bool is_given_up = contact->away_ns > 0 && now_ns - contact->away_ns >= wait_ns;
    bool is_known = contact->is_recalled && (!with_positions || contact->is_sampled);
    bool is_behind = with_positions && (contact->row_count > 0 || contact->is_cut);
    ret->pending += !is_known && !is_given_up;
    ret->recalled += contact->is_recalled;
    ret->behind += is_known && with_positions && !contact->is_caught_up && !is_given_up;
    if (!is_behind || !contact->is_introduced)
        return;
    ret->lag_records += contact->lag_records;
    raise_to(&ret->lag_ns, now_ns - contact->asked_ns);
}

void contacts_sum(const struct contacts *contacts, bool with_positions, uint64_t now_ns,
    struct contacts_sums *ret)
{
    const struct storage *storage = contacts->storage;
    const struct roster *roster = &storage->membership.roster;
    *ret = (struct contacts_sums){0};
    for (uint32_t i = 0; i < roster->count; i++) {
        if (roster->all[i].member.is_removed)
            continue;
        if (!with_positions && roster->all[i].member.is_alive && roster->all[i].is_new)
            ret->recalled++; /* what all have lost nobody waits for */
        else if (contacts->all[i].machine == 0)
            ret->pending++; /* not tried yet */
        else
            sum_contact(
                &contacts->all[i], with_positions, now_ns, storage->config.member_wait_ns, ret);
    }
}
