/* FOLLOW, PUSH and PUSH_SINGLE: see follow.h. */
#include "base/units.h"
#include "io/drill.h"
#include "storage/follow.h"
#include "storage/internal.h"
#include "storage/native_op.h"

/* ---- FOLLOW ---- */

static struct follows *follows_of(const struct native_op *op)
{
    return &op->native->loop->follows;
}

static struct follower *find_follower(struct follows *follows, const struct source_key *key)
{
    LIST_EACH (node, &follows->followers) {
        struct follower *follower = CONTAINER_OF(node, struct follower, link);
        if (source_key_equals(&follower->key, key))
            return follower;
    }
    return NULL;
}

static void refuse(struct native_op *op, err_t err, const char *text)
{
    struct writer fields = net_reply_begin(op->request);
    op->native->loop->counters.refused++;
    error_encode(err, text ? text : err_sentence(err.code), (struct version){0}, &fields);
    net_reply(op->request, MSG_ERROR, 0, &fields, NULL, 0, NULL);
    native_op_close(op);
}

/* Who pushes to us must be one of us: a number alone is not enough. */
static err_t check_peer(
    const struct native_op *op, const struct msg_follow *msg, const char **ret_text)
{
    const struct storage_loop *loop = op->native->loop;
    uint32_t machine = op->request->machine;
    const struct member *member = members_find(&loop->members, machine);
    *ret_text = "this storage is in another group";
    if (!span_equals_text(msg->group, loop->store.config.group))
        return ERR(WRONG_NODE, 0);
    *ret_text = "the machine number is this storage's own: two storages have the same";
    if (machine == loop->store.config.machine)
        return ERR(DENIED, 0);
    *ret_text = "this storage knows no such member of its group (yet)";
    if (!member)
        return ERR(DENIED, 0);
    *ret_text = "that member was removed from the group";
    if (member->is_removed)
        return ERR(DENIED, 0);
    *ret_text = "this machine number belongs to a storage with another UUID";
    if (!nonce_is_none(&member->uuid) && memcmp(&member->uuid, &msg->uuid, sizeof msg->uuid) != 0)
        return ERR(DENIED, 0);
    *ret_text = NULL;
    return ERR_OK;
}

static err_t open_follower(struct follows *follows, const struct source_key *key,
    const struct stream_place *place, struct follower **ret)
{
    struct stream *stream;
    struct source *source;
    TRY(store_stream_at(&follows->loop->store, place, &stream));
    TRY(stream_source_add(stream, key, &source));
    struct follower *follower = find_follower(follows, key);
    if (!follower) {
        follower = pool_take(&follows->followers_pool, &follows->owner);
        if (!follower)
            return ERR(BUSY, 0);
        follower_init(follower, key, io_now(follows->loop->io));
        list_init(&follower->pushes);
        list_push_back(&follows->followers, &follower->link);
    }
    follower->stream = stream;
    follower->source = source;
    *ret = follower;
    return ERR_OK;
}

static void reply_followed(struct native_op *op, const struct follower *follower)
{
    struct writer fields = net_reply_begin(op->request);
    msg_followed_encode(&(struct msg_followed){.state = op->native->loop->state,
                            .incarnation = follower->source->incarnation,
                            .lsn = follower->source->lsn,
                            .credit = FOLLOW_CREDIT},
        &fields);
    net_reply(op->request, MSG_FOLLOWED, 0, &fields, NULL, 0, NULL);
    native_op_close(op);
}

/* The log begins behind what is held here: what lies between comes by comparing only. */
static bool has_gap(const struct source *source, const struct msg_follow *msg)
{
    return msg->lsn_first > source->lsn + 1;
}

/* Who follows anew has given up its old connection, even if the old one does not know that (it lost its
 * power): what waits there for the rest of a content would hold locks until it is overdue. */
static void cut_old(struct follower *follower, uint64_t connection)
{
    LIST_EACH (node, &follower->pushes) {
        struct follow_push *push = CONTAINER_OF(node, struct follow_push, link);
        if (push->op->request->connection_number != connection)
            net_request_cut(push->op->request);
    }
    follower->connection = connection;
}

void native_follow(struct native *native, struct net_request *request)
{
    struct storage_loop *loop = native->loop;
    struct msg_follow msg;
    err_t err = msg_follow_decode(request->meta, &msg);
    if (err_is(err)) {
        native_refuse(loop, request, err);
        return;
    }
    struct source_key key = {request->machine, msg.mount, msg.stream};
    struct stream_place place = store_route(&loop->store, &key);
    const struct store_mount *mount = &loop->store.mounts[place.mount];
    if (mount->is_there && place.loop != loop->index) {
        net_request_move(request, &loop->storage->loops[place.loop].server);
        return;
    }
    struct native_op *op = native_op_open(native, request);
    if (!op) {
        native_refuse(loop, request, ERR(BUSY, 0));
        return;
    }
    const char *text = NULL;
    struct follower *follower;
    err = check_peer(op, &msg, &text);
    if (!err_is(err) && !mount->is_there)
        err = ERR(OFFLINE, 0);
    if (!err_is(err))
        err = open_follower(&loop->follows, &key, &place, &follower);
    if (err_is(err)) {
        refuse(op, err, text);
        return;
    }
    cut_old(follower, request->connection_number);
    request->owner->direction =
        DIRECTION_SYNC_RECV; /* from now on; all that comes on it is pushed */
    if (has_gap(follower->source, &msg))
        reconcile_note_lost(loop);
    follows_begin_ticking(&loop->follows);
    if (loop->is_push_open)
        pushes_greet(&loop->pushes, key.machine);
    reply_followed(op, follower);
}

/* ---- the end of a push ---- */

static void pushed_sent(struct net_request *request, err_t err)
{
    (void)err;
    native_op_close(request->op);
}

static void reply_pushed(struct follow_push *push)
{
    struct native_op *op = push->op;
    const struct source *source = push->follower->source;
    struct writer fields = net_reply_begin(op->request);
    msg_pushed_encode(
        &(struct msg_pushed){
            .held_lsn = source->lsn, .kept_lsn = source->kept_lsn, .missed = push->missed_count},
        &fields);
    op->is_told = true;
    op->request->op = op;
    push->iov = (struct iovec){push->missed, 8 * (size_t)push->missed_count};
    if (push->missed_count == 0) {
        net_reply(op->request, MSG_PUSHED, 0, &fields, NULL, 0, NULL);
        native_op_close(op);
        return;
    }
    net_reply(op->request, MSG_PUSHED, 0, &fields, &push->iov, 1, pushed_sent);
}

/* Everything up to lsn_to is durable, or has no effect here. */
static void move_position(struct follow_push *push)
{
    struct source *source = push->follower->source;
    if (position_compare(
            push->terms.incarnation, push->terms.lsn_to, source->incarnation, source->lsn)
        < 0)
        return; /* an earlier connection's; another one has gone on */
    source->incarnation = push->terms.incarnation;
    source->lsn = push->terms.lsn_to;
    struct coverage *coverage = &source->coverage;
    coverage_lose(coverage, coverage->watermark + 1, push->terms.lost_clock);
    if (coverage->watermark < push->terms.watermark)
        coverage->watermark = push->terms.watermark;
}

static void give_assembly(struct follows *follows, struct follow_push *push)
{
    if (push->assembly)
        pool_give(&follows->assemblies, push->assembly);
    push->assembly = NULL;
    push->assembled = 0;
}

static void fail_push(struct follow_push *push, err_t err, const char *why)
{
    push->is_fed = true;
    if (err_is(push->err))
        return;
    push->err = err;
    push->why = why;
}

/* It and all behind it: the position stays where it is, the sender begins there again. */
static void fail_from(struct follow_push *push, err_t err, const char *why)
{
    struct list *end = &push->follower->pushes;
    for (struct list *node = &push->link; node != end; node = node->next)
        fail_push(CONTAINER_OF(node, struct follow_push, link), err, why);
}

static bool is_over(const struct follow_push *push)
{
    return push->is_fed && push->running == 0 && !push->is_waiting;
}

static void end_push(struct follows *follows, struct follow_push *push)
{
    list_remove(&push->link);
    give_assembly(follows, push);
    if (err_is(push->err)) {
        follows->pushes_refused++;
        refuse(push->op, push->err, push->why);
        return;
    }
    follows->pushes_taken++;
    follows->records_taken += push->begun;
    follows->records_missed += push->missed_count;
    push->follower->has_news |= push->begun > 0;
    move_position(push);
    reply_pushed(push);
}

static void end_pushes(struct follows *follows, struct follower *follower)
{
    while (!list_is_empty(&follower->pushes)) {
        struct follow_push *push = CONTAINER_OF(follower->pushes.next, struct follow_push, link);
        if (!is_over(push))
            return;
        end_push(follows, push);
    }
}

/* ---- one entry: an intake, here or on the loop that keeps the file ---- */

static void feed(struct follows *follows, struct follower *follower);

static void feed_hungry(struct follows *follows)
{
    if (!follows->is_hungry)
        return;
    follows->is_hungry = false;
    LIST_EACH (node, &follows->followers)
        feed(follows, CONTAINER_OF(node, struct follower, link));
}

static void take_result(struct follow_intake *one)
{
    struct follow_push *push = one->push;
    struct follows *follows = &one->home->follows;
    const struct intake *intake = &one->intake;
    if (err_is(intake->err)) {
        fail_from(push, intake->err, intake->why);
    } else if (!intake->is_held) {
        put_u64(push->missed + 8 * (size_t)push->missed_count, one->lsn);
        push->missed_count++;
    }
    push->running--;
    struct follower *follower = push->follower;
    if (DRILL_IS_ON(one->home->io, SYNC_RECV_FD))
        DRILL_LEAK_FD(one->home->io, &follower->owner);
    pool_give(&follows->intakes, one);
    feed(follows, follower);
    feed_hungry(follows);
}

static void result_arrived(struct io *here, struct io_message *message)
{
    (void)here;
    take_result(CONTAINER_OF(message, struct follow_intake, message));
}

static void intake_over(struct intake *intake)
{
    struct follow_intake *one = CONTAINER_OF(intake, struct follow_intake, intake);
    if (one->there == one->home) {
        take_result(one);
        return;
    }
    one->message.deliver = result_arrived;
    io_post(one->there->io, one->home->io, &one->message);
}

static void intake_arrived(struct io *here, struct io_message *message)
{
    struct follow_intake *one = CONTAINER_OF(message, struct follow_intake, message);
    (void)here;
    intake_start(&one->intake, &one->there->store);
}

static void start_intake(
    struct follow_push *push, struct follow_intake *one, const struct entry *entry)
{
    struct storage_loop *home = push->op->native->loop;
    struct source_key source = intake_home_source(&entry->record);
    struct stream_place place = store_route(&home->store, &source);
    one->home = home;
    one->there = &home->storage->loops[place.loop];
    one->push = push;
    one->lsn = entry->record.lsn;
    one->intake.entry = *entry;
    one->intake.done = intake_over;
    push->begun++;
    push->running++;
    if (one->there == home) {
        intake_start(&one->intake, &home->store);
        return;
    }
    one->message.deliver = intake_arrived;
    io_post(home->io, one->there->io, &one->message);
}

/* It must stand in the stream that is pushed, where the push says. */
static err_t check_entry(
    const struct follow_push *push, const struct entry *entry, const char **ret_why)
{
    const struct record *record = &entry->record;
    const struct source_key *key = &push->follower->key;
    *ret_why = "the push brings a record of another stream";
    if (record->origin != key->machine || record->mount != key->mount
        || record->stream != key->stream)
        return ERR(PROTOCOL, 0);
    *ret_why = "the push brings a record that does not stand where it says";
    if (record->lsn <= push->terms.lsn_from || record->lsn > push->terms.lsn_to
        || record->kind == RECORD_FULL)
        return ERR(PROTOCOL, 0);
    *ret_why = "the push brings more entries than it says";
    if (push->begun == push->terms.count)
        return ERR(PROTOCOL, 0);
    *ret_why = NULL;
    return ERR_OK;
}

/* Nothing is free: again when something comes back; refused: nothing will. */
static void starve(struct follows *follows, struct follow_push *push, const struct pool *pool)
{
    follows->is_hungry = true;
    if (pool->free_count > 0)
        fail_from(push, ERR(BUSY, 0), NULL);
}

/* False: nothing is free, again later; or the push has failed. */
static bool begin_entry(
    struct follows *follows, struct follow_push *push, const struct entry *entry)
{
    const char *why;
    err_t err = check_entry(push, entry, &why);
    if (err_is(err)) {
        fail_from(push, err, why);
        return false;
    }
    struct follow_intake *one = pool_take(&follows->intakes, &push->follower->owner);
    if (!one) {
        starve(follows, push, &follows->intakes);
        return false;
    }
    *one = (struct follow_intake){0};
    start_intake(push, one, entry);
    return true;
}

/* ---- frames ---- */

static void frame_arrived(struct net_request *request)
{
    struct native_op *op = request->op;
    struct follow_push *push = &op->file.push;
    struct follows *follows = follows_of(op);
    push->is_waiting = false;
    push->rest = request->data;
    op->native->loop->counters.bytes_in += request->data.size;
    if (err_is(request->body_err))
        fail_from(push, request->body_err, NULL);
    feed(follows, push->follower);
    feed_hungry(follows);
}

static void ask_for_frame(struct follow_push *push)
{
    struct net_request *request = push->op->request;
    push->is_waiting = true;
    request->op = push->op;
    net_request_next_data(request, frame_arrived);
}

static void drop_front(struct span *span, size_t size)
{
    *span = span_of(span->data + size, span->size - size);
}

enum feed_result {
    FEED_ON,   /* there may be more to do */
    FEED_WAIT, /* nothing is free now, or the push has failed */
    FEED_NEED, /* the next frame is needed */
};

/* What is here of an entry that goes on in the next frame. */
static enum feed_result assemble(struct follows *follows, struct follow_push *push, size_t need)
{
    if (need > follows->assemblies.slot_size) {
        fail_from(push, ERR(TOO_LARGE, 0),
            "the record is larger than log_buffer_size of this storage allows");
        return FEED_WAIT;
    }
    if (push->rest.size == 0)
        return FEED_NEED;
    if (!push->assembly)
        push->assembly = pool_take(&follows->assemblies, &push->follower->owner);
    if (!push->assembly) {
        starve(follows, push, &follows->assemblies);
        return FEED_WAIT;
    }
    size_t left = need - push->assembled;
    size_t size = left < push->rest.size ? left : push->rest.size;
    memcpy(push->assembly + push->assembled, push->rest.data, size);
    push->assembled += size;
    drop_front(&push->rest, size);
    return FEED_ON;
}

/* The entry at the front: begun, or assembled a little more. */
static enum feed_result feed_entry(struct follows *follows, struct follow_push *push)
{
    struct entry entry;
    size_t size;
    bool is_assembled = push->assembled > 0;
    struct span bytes = is_assembled ? span_of(push->assembly, push->assembled) : push->rest;
    err_t err = entry_decode(bytes, &entry, &size);
    if (err_has(err, ERR_CODE_PARTIAL))
        return assemble(follows, push, size);
    if (err_is(err)) {
        fail_from(push, err, "an entry of the push is damaged");
        return FEED_WAIT;
    }
    if (!begin_entry(follows, push, &entry))
        return FEED_WAIT;
    if (is_assembled)
        push->assembled = 0; /* its bytes stay until all that runs has ended */
    else
        drop_front(&push->rest, size);
    return FEED_ON;
}

/* All frames were taken up: are all entries here? */
static void end_of_frames(struct follow_push *push)
{
    if (push->assembled > 0)
        fail_from(push, ERR(PROTOCOL, 0), "the push ends within an entry");
    else if (push->begun != push->terms.count)
        fail_from(push, ERR(PROTOCOL, 0), "the push brings fewer entries than it says");
    push->is_fed = true;
}

static void feed_push(struct follows *follows, struct follow_push *push)
{
    while (!push->is_fed && !push->is_waiting) {
        bool keeps_assembly = push->assembly && push->assembled == 0;
        if (keeps_assembly && push->running > 0)
            return; /* an intake reads it */
        bool is_empty = push->rest.size == 0 && push->assembled == 0;
        enum feed_result result = is_empty ? FEED_NEED : feed_entry(follows, push);
        if (result == FEED_WAIT)
            return;
        if (result == FEED_ON)
            continue;
        if (!push->op->request->has_more)
            end_of_frames(push);
        else if (push->running > 0)
            return; /* they read this frame's bytes */
        else
            ask_for_frame(push);
    }
}

/* ---- PUSH_SINGLE: the content follows the entry ---- */

static void body_arrived(struct io *here, struct io_message *message)
{
    struct follow_intake *one = CONTAINER_OF(message, struct follow_intake, body_message);
    (void)here;
    machine_arrive(one->body_machine);
}

static void single_frame_arrived(struct net_request *request)
{
    struct native_op *op = request->op;
    struct follow_push *push = &op->file.push;
    struct follow_intake *one = push->single;
    push->is_waiting = false;
    one->body.data = request->data;
    one->body.is_last = !request->has_more;
    one->body.err = request->body_err;
    op->native->loop->counters.bytes_in += request->data.size;
    if (one->there == one->home) {
        machine_arrive(one->body_machine);
        return;
    }
    one->body_message.deliver = body_arrived;
    io_post(one->home->io, one->there->io, &one->body_message);
}

static void body_wanted(struct follow_intake *one)
{
    struct follow_push *push = one->push;
    push->is_waiting = true;
    push->op->request->op = push->op;
    net_request_next_data(push->op->request, single_frame_arrived);
}

static void want_arrived(struct io *here, struct io_message *message)
{
    (void)here;
    body_wanted(CONTAINER_OF(message, struct follow_intake, body_message));
}

static void body_next(struct body *body, struct machine *machine)
{
    struct follow_intake *one = CONTAINER_OF(body, struct follow_intake, body);
    one->body_machine = machine;
    body->data = span_of(NULL, 0);
    if (one->there == one->home) {
        body_wanted(one);
        return;
    }
    one->body_message.deliver = want_arrived;
    io_post(one->there->io, one->home->io, &one->body_message);
}

static void feed_single(struct follows *follows, struct follow_push *push)
{
    struct entry entry;
    size_t size;
    const char *why = NULL;
    err_t err = entry_decode(push->rest, &entry, &size);
    if (!err_is(err) && size > FOLLOW_HEAD)
        err = ERR(PROTOCOL, 0);
    if (!err_is(err)) {
        memcpy(push->head, push->rest.data, size);
        err = entry_decode(span_of(push->head, size), &entry, &size);
    }
    if (!err_is(err))
        err = check_entry(push, &entry, &why);
    if (err_is(err)) {
        fail_from(push, err_has(err, ERR_CODE_PARTIAL) ? ERR(PROTOCOL, 0) : err, why);
        return;
    }
    struct follow_intake *one = pool_take(&follows->intakes, &push->follower->owner);
    if (!one) {
        starve(follows, push, &follows->intakes);
        return;
    }
    *one = (struct follow_intake){0};
    drop_front(&push->rest, size);
    one->body = (struct body){
        .data = push->rest, .is_last = !push->op->request->has_more, .next = body_next};
    one->intake.content = &one->body;
    push->single = one;
    push->is_fed = true;
    start_intake(push, one, &entry);
}

/* ---- in order ---- */

static void feed(struct follows *follows, struct follower *follower)
{
    LIST_EACH (node, &follower->pushes) {
        struct follow_push *push = CONTAINER_OF(node, struct follow_push, link);
        if (!push->is_fed && push->terms.is_single)
            feed_single(follows, push);
        else if (!push->is_fed)
            feed_push(follows, push);
        if (!push->is_fed)
            break;
    }
    end_pushes(follows, follower);
}

/* Where the stream goes on: behind the last push that waits, else behind what is held. */
static void expected_position(
    const struct follower *follower, uint64_t *ret_incarnation, uint64_t *ret_lsn)
{
    *ret_incarnation = follower->source->incarnation;
    *ret_lsn = follower->source->lsn;
    if (list_is_empty(&follower->pushes))
        return;
    const struct follow_push *last = CONTAINER_OF(follower->pushes.prev, struct follow_push, link);
    if (err_is(last->err))
        return;
    *ret_incarnation = last->terms.incarnation;
    *ret_lsn = last->terms.lsn_to;
}

static err_t check_push(const struct net_request *request, const struct follower *follower,
    const struct follow_terms *terms, const char **ret_text)
{
    uint64_t incarnation, lsn;
    *ret_text = "the push comes before FOLLOW, or on another connection";
    if (!follower || follower->connection != request->connection_number)
        return ERR(CONFLICT, 0);
    *ret_text = NULL;
    if (follower->stream->state != STREAM_OPEN)
        return ERR(OFFLINE, 0);
    expected_position(follower, &incarnation, &lsn);
    *ret_text = "the push does not join what is held";
    bool joins = terms->incarnation >= incarnation && terms->lsn_from <= lsn
                 && terms->lsn_to >= terms->lsn_from && terms->incarnation != 0;
    if (!joins)
        return ERR(CONFLICT, 0);
    *ret_text = "the push has more entries than any may have";
    if (terms->count > FOLLOW_ENTRIES || terms->watermark > FID_CLOCK_MAX
        || terms->lost_clock > FID_CLOCK_MAX)
        return ERR(PROTOCOL, 0);
    *ret_text = NULL;
    return ERR_OK;
}

static void begin_push(struct native *native, struct net_request *request,
    const struct source_key *key, const struct follow_terms *terms)
{
    struct follows *follows = &native->loop->follows;
    struct native_op *op = native_op_open(native, request);
    if (!op) {
        native_refuse(native->loop, request, ERR(BUSY, 0));
        return;
    }
    struct follower *follower = find_follower(follows, key);
    const char *text;
    err_t err = check_push(request, follower, terms, &text);
    if (err_is(err)) {
        refuse(op, err, text);
        return;
    }
    struct follow_push *push = &op->file.push;
    memset(push, 0, offsetof(struct follow_push, missed));
    push->op = op;
    push->follower = follower;
    push->terms = *terms;
    push->rest = request->data;
    request->op = op;
    native->loop->counters.bytes_in += request->data.size;
    list_push_back(&follower->pushes, &push->link);
    feed(follows, follower);
}

void native_push(struct native *native, struct net_request *request)
{
    struct msg_push msg;
    err_t err = msg_push_decode(request->meta, &msg);
    if (err_is(err)) {
        native_refuse(native->loop, request, err);
        return;
    }
    struct source_key key = {request->machine, msg.mount, msg.stream};
    struct follow_terms terms = {.incarnation = msg.incarnation,
        .lsn_from = msg.lsn_from,
        .lsn_to = msg.lsn_to,
        .watermark = msg.watermark,
        .lost_clock = msg.lost_clock,
        .count = msg.count};
    begin_push(native, request, &key, &terms);
}

void native_push_single(struct native *native, struct net_request *request)
{
    struct msg_push_single msg;
    err_t err = msg_push_single_decode(request->meta, &msg);
    if (err_is(err)) {
        native_refuse(native->loop, request, err);
        return;
    }
    struct source_key key = {request->machine, msg.mount, msg.stream};
    struct follow_terms terms = {.incarnation = msg.incarnation,
        .lsn_from = msg.lsn_from,
        .lsn_to = msg.lsn_to,
        .watermark = msg.watermark,
        .lost_clock = msg.lost_clock,
        .count = 1,
        .is_single = true};
    begin_push(native, request, &key, &terms);
}
