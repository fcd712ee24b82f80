/* RECALL and MEMBER: what storages of a group ask each other, and operators of a storage. On
 * loop 0, which keeps the roster. */
#include "base/units.h"
#include "storage/internal.h"
#include "storage/native_op.h"

/* True: the request is gone to loop 0. */
static bool moves_to_first(struct storage_loop *loop, struct net_request *request)
{
    if (loop->index == 0)
        return false;
    net_request_move(request, &loop->storage->loops[0].server);
    return true;
}

static void page_left(struct native_op *op, err_t err)
{
    (void)err; /* nobody is there any more: nothing to do about it */
    native_op_close(op);
}

static void send_page(
    struct native_op *op, uint8_t type, const struct writer *fields, const struct writer *page)
{
    op->piece.rest = span_of(op->page, page->size);
    op->piece.is_last = true;
    op->piece.left = page_left;
    native_piece_send(op, type, fields);
}

/* An operation with a page, on loop 0; NULL: the request was answered. */
static struct native_op *open_with_page(struct native *native, struct net_request *request)
{
    struct native_op *op = native_op_open(native, request);
    if (op)
        op->page = pool_take(&native->pages, &native->owner);
    if (op && op->page)
        return op;
    if (op)
        native_op_fail(op, ERR(BUSY, 0));
    else
        native_refuse(native->loop, request, ERR(BUSY, 0));
    return NULL;
}

/* ---- RECALL ---- */

static void write_own_rows(
    const struct survey *survey, uint32_t machine, struct writer *page, struct msg_recalled *ret)
{
    for (uint32_t i = 0; i < survey->count; i++) {
        const struct survey_row *row = &survey->rows[i];
        if (row->machine != machine || ret->count == CONTACT_ROWS_MAX)
            continue;
        write_u8(page, row->mount);
        write_u8(page, row->stream);
        write_u16(page, 0);
        write_u32(page, row->chunk);
        write_u64(page, row->incarnation);
        write_u64(page, row->lsn);
        write_u64(page, row->watermark);
        ret->incarnation =
            row->incarnation > ret->incarnation ? row->incarnation : ret->incarnation;
        ret->count++;
    }
}

static void write_outcasts(
    const struct roster *roster, struct writer *page, struct msg_recalled *ret)
{
    for (uint32_t i = 0; i < roster->outcast_count; i++)
        member_entry_encode(&(struct member_entry){.machine = roster->outcasts[i].machine,
                                .uuid = roster->outcasts[i].uuid,
                                .flags = MEMBER_REMOVED},
            page);
    ret->removed = roster->outcast_count;
}

static void recall_surveyed(struct survey_waiter *waiter)
{
    struct native_op *op = CONTAINER_OF(waiter, struct native_op, survey);
    const struct storage *storage = op->native->loop->storage;
    struct writer page = {.data = op->page, .capacity = NATIVE_PAGE_SIZE};
    struct msg_recalled msg = {.uuid = storage->uuid, .state = storage->state};
    write_own_rows(&storage->survey, op->request->machine, &page, &msg);
    write_outcasts(&storage->membership.roster, &page, &msg);
    CHECK(!page.failed);
    struct writer fields = net_reply_begin(op->request);
    msg_recalled_encode(&msg, &fields);
    send_page(op, MSG_RECALLED, &fields, &page);
}

/* New disks under a number that is known: the old ones are lost, if an operator says so, or when nobody
 * has seen them for so long. */
static bool may_replace(
    const struct storage *storage, const struct roster_member *known, const struct msg_recall *msg)
{
    uint64_t away_ns = io_now(storage->loops[0].io) - known->alive_ns;
    if ((msg->flags & MEMBER_NEW) == 0 || known->member.is_alive)
        return false;
    return (msg->flags & MEMBER_REPLACING) != 0 || away_ns >= storage->config.claim_ns;
}

/* Is the asker the member that it says? Errors: PROTOCOL, WRONG_NODE, FOREIGN (removed), EXISTS (its
 * number is another's); *ret_text says more. */
static err_t check_asker(
    struct storage *storage, uint32_t machine, const struct msg_recall *msg, struct text *ret_text)
{
    struct roster *roster = &storage->membership.roster;
    struct roster_member *known = roster_find(roster, machine);
    text_add(ret_text, "a member says its machine number, its UUID and its address");
    if (machine == 0 || machine > MACHINE_MAX || nonce_is_none(&msg->uuid)
        || msg->address.size >= MEMBER_ENTRY_ADDRESS_MAX)
        return ERR(PROTOCOL, 0);
    text_init(ret_text, ret_text->data, ret_text->capacity);
    text_add(ret_text, "this is machine %u of group %s", roster->machine, storage->config.group);
    if (!span_equals_text(msg->group, storage->config.group))
        return ERR(WRONG_NODE, 0);
    if (machine == roster->machine)
        return ERR(EXISTS, 0);
    text_init(ret_text, ret_text->data, ret_text->capacity);
    text_add(ret_text, "machine %u was removed from group %s: it comes back with empty disks only",
        machine, storage->config.group);
    if (roster_is_outcast(roster, machine, &msg->uuid))
        return ERR(FOREIGN, 0);
    bool is_other = known && !known->member.is_removed
                    && memcmp(&known->member.uuid, &msg->uuid, sizeof msg->uuid) != 0;
    if (!is_other)
        return ERR_OK;
    if (may_replace(storage, known, msg))
        return membership_remove(&storage->membership, machine);
    text_init(ret_text, ret_text->data, ret_text->capacity);
    text_add(ret_text,
        "machine %u is known with another UUID (%s); if those disks are lost, start the new one "
        "with"
        " replace_lost = yes, or: cairn member remove m%03u",
        machine, known->member.is_alive ? "and is alive" : "away", machine);
    return ERR(EXISTS, 0);
}

static void introduce(struct storage *storage, uint32_t machine, const struct msg_recall *msg)
{
    struct member_entry entry = {.machine = machine,
        .uuid = msg->uuid,
        .state = msg->state < STATE_COUNT ? msg->state : 0,
        .flags = msg->flags & (MEMBER_NEW | MEMBER_DRAINING),
        .address = msg->address};
    membership_told(&storage->membership, &entry, 1, true);
}

void native_recall(struct native *native, struct net_request *request)
{
    struct storage *storage = native->loop->storage;
    struct msg_recall msg;
    char data[256];
    struct text text;
    if (moves_to_first(native->loop, request))
        return;
    err_t err = msg_recall_decode(request->meta, &msg);
    if (err_is(err)) {
        native_refuse(native->loop, request, err);
        return;
    }
    text_init(&text, data, sizeof data);
    err = check_asker(storage, request->machine, &msg, &text);
    if (err_is(err)) {
        native_refuse_saying(native->loop, request, err, text.data);
        return;
    }
    introduce(storage, request->machine, &msg);
    struct native_op *op = open_with_page(native, request);
    if (!op)
        return;
    op->survey.surveyed = recall_surveyed;
    survey_wait(&storage->survey, &op->survey);
}

/* ---- MEMBER ---- */

static void write_members(const struct storage *storage, struct writer *page)
{
    const struct roster *roster = &storage->membership.roster;
    member_entry_encode(
        &(struct member_entry){.machine = roster->machine,
            .uuid = roster->uuid,
            .state = storage->state,
            .flags = (uint8_t)(MEMBER_ALIVE | (roster->is_draining ? MEMBER_DRAINING : 0)),
            .address = span_of_text(storage->address)},
        page);
    for (uint32_t i = 0; i < roster->count; i++) {
        const struct roster_member *it = &roster->all[i];
        char address[IO_ADDRESS_TEXT_MAX] = "";
        if (it->member.is_removed)
            continue; /* among the outcasts */
        if (it->member.address.family != 0)
            (void)io_address_format(&it->member.address, address);
        member_entry_encode(&(struct member_entry){.machine = it->member.machine,
                                .uuid = it->member.uuid,
                                .state = it->member.state,
                                .flags = (uint8_t)((it->member.is_alive ? MEMBER_ALIVE : 0)
                                                   | (it->is_draining ? MEMBER_DRAINING : 0)),
                                .address = span_of_text(address)},
            page);
    }
    struct msg_recalled ignored = {.count = 0};
    write_outcasts(roster, page, &ignored);
}

static void reply_member(struct native_op *op, bool is_done, const char *text)
{
    struct writer page = {.data = op->page, .capacity = NATIVE_PAGE_SIZE};
    write_members(op->native->loop->storage, &page);
    CHECK(!page.failed);
    struct writer fields = net_reply_begin(op->request);
    msg_member_reply_encode(
        &(struct msg_member_reply){.is_done = is_done, .text = span_of_text(text)}, &fields);
    send_page(op, MSG_MEMBER_REPLY, &fields, &page);
}

static void member_saved(struct membership_waiter *waiter, err_t err)
{
    struct native_op *op = CONTAINER_OF(waiter, struct native_op, saved);
    if (err_is(err))
        native_op_fail(op, err);
    else
        reply_member(op, true, "");
}

/* May this be done here? Errors: WRONG_NODE (drain is said to the storage itself, remove to the
 * others), NOT_FOUND, CONFLICT (alive), UNSUPPORTED; *ret_text says what would be done, or why not. */
static err_t check_member(struct storage *storage, const struct msg_member *msg, struct text *ret)
{
    struct roster *roster = &storage->membership.roster;
    bool is_self = msg->machine == roster->machine;
    struct roster_member *known = is_self ? NULL : roster_find(roster, msg->machine);
    bool is_drain = msg->verb == MEMBER_DRAIN || msg->verb == MEMBER_UNDRAIN;
    if (!is_drain && msg->verb != MEMBER_REMOVE && msg->verb != MEMBER_ADOPT) {
        text_add(ret, "a storage knows list, drain, undrain, remove and adopt");
        return ERR(UNSUPPORTED, 0);
    }
    if (is_drain != is_self) {
        text_add(ret, "this is machine %u: %s", roster->machine,
            is_drain ? "drain is said to the machine itself"
                     : "this is said to the others of its group");
        return ERR(WRONG_NODE, 0);
    }
    if (is_drain) {
        text_add(ret, "machine %u gets %s", msg->machine,
            msg->verb == MEMBER_DRAIN ? "no uploads any more" : "uploads again");
        return ERR_OK;
    }
    if (!known || known->member.is_removed) {
        text_add(ret, "machine %u is no member of group %s", msg->machine, storage->config.group);
        return ERR(NOT_FOUND, 0);
    }
    if (known->member.is_alive) {
        text_add(ret, "machine %u is alive: %s", msg->machine,
            msg->verb == MEMBER_ADOPT ? "it brings its changes itself" : "stop it first");
        return ERR(CONFLICT, 0);
    }
    if (msg->verb == MEMBER_ADOPT) {
        text_add(
            ret, "what others hold of machine %u and this storage lacks is fetched", msg->machine);
        return ERR_OK;
    }
    text_add(ret,
        "machine %u is no member any more: logs are not kept for it, and it comes back with empty "
        "disks"
        " only",
        msg->machine);
    return ERR_OK;
}

static err_t do_member(struct storage *storage, const struct msg_member *msg)
{
    if (msg->verb == MEMBER_REMOVE)
        return membership_remove(&storage->membership, msg->machine);
    if (msg->verb == MEMBER_ADOPT) {
        (void)reconcile_request(&storage->reconcile, false);
        return ERR_OK;
    }
    membership_drain(&storage->membership, msg->verb == MEMBER_DRAIN);
    beat_set_state(storage, storage->state); /* trackers hear of it now */
    return ERR_OK;
}

static void change_members(struct native_op *op, const struct msg_member *msg)
{
    struct storage *storage = op->native->loop->storage;
    char data[256];
    struct text text;
    text_init(&text, data, sizeof data);
    err_t err = check_member(storage, msg, &text);
    if (!err_is(err) && msg->is_sure)
        err = do_member(storage, msg);
    if (err_is(err)) {
        struct writer fields = net_reply_begin(op->request);
        error_encode(err, text.data, (struct version){0}, &fields);
        op->native->loop->counters.refused++;
        net_reply(op->request, MSG_ERROR, 0, &fields, NULL, 0, NULL);
        native_op_close(op);
    } else if (msg->is_sure) {
        op->saved.saved = member_saved;
        membership_wait_saved(&storage->membership, &op->saved);
    } else {
        reply_member(op, false, text.data);
    }
}

void native_member(struct native *native, struct net_request *request)
{
    struct msg_member msg;
    if (moves_to_first(native->loop, request))
        return;
    err_t err = msg_member_decode(request->meta, &msg);
    if (err_is(err)) {
        native_refuse(native->loop, request, err);
        return;
    }
    struct native_op *op = open_with_page(native, request);
    if (op && msg.verb == MEMBER_LIST)
        reply_member(op, true, "");
    else if (op)
        change_members(op, &msg);
}
