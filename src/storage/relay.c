/* A find or stat that only the owner of the file can do. The struct native_relay of the asker travels
 * between the two loops; who holds the message may touch it.
 *
 *   home                                  owner
 *   begin   ------------------------->    find or stat on an operation of its own
 *   piece   <-------------------------    put()
 *           ------------------------->    sent: the machine goes on
 *   ended   <-------------------------    done
 *
 * The asker counts as running at home, so no loop closes its streams before the answer is home. */
#include "storage/native_op.h"

static struct native_relay *relay_of(struct io_message *message)
{
    return CONTAINER_OF(message, struct native_relay, message);
}

static void relay_post(struct native_relay *relay, struct storage_loop *from,
    struct storage_loop *to, void (*deliver)(struct io *here, struct io_message *message))
{
    relay->message.deliver = deliver;
    io_post(from->io, to->io, &relay->message);
}

/* ---- at home ---- */

static void sent_arrived(struct io *here, struct io_message *message);

static void piece_left(struct native_op *op, err_t err)
{
    op->relay.err = err;
    relay_post(&op->relay, op->relay.home, op->relay.owner, sent_arrived);
}

static void piece_arrived(struct io *here, struct io_message *message)
{
    struct native_relay *relay = relay_of(message);
    struct native_op *op = relay->asker;
    (void)here;
    op->piece.rest = relay->piece;
    op->piece.is_last = relay->is_last;
    op->piece.left = piece_left;
    if (!op->is_told) {
        native_found_send(op, &relay->header, relay->attributes, relay->offset, relay->end);
        return;
    }
    struct writer fields = net_reply_begin(op->request);
    native_piece_send(op, MSG_DATA, &fields);
}

static void ended_arrived(struct io *here, struct io_message *message)
{
    struct native_relay *relay = relay_of(message);
    struct native_op *op = relay->asker;
    (void)here;
    if (err_is(relay->err)) {
        native_op_fail(op, relay->err);
        return;
    }
    if (op->type == MSG_STAT)
        native_stated_send(op, &relay->header, relay->attributes, relay->is_packed,
            relay->is_forwarded, relay->capacity);
    native_op_close(op);
}

/* ---- at the owner ---- */

static void end(struct native_relay *relay, err_t err)
{
    struct native_op *worker = relay->worker;
    relay->err = err;
    relay->worker = NULL;
    if (worker)
        native_op_close(worker);
    relay_post(relay, relay->owner, relay->home, ended_arrived);
}

static void copy_result(struct native_relay *relay, const struct object *object)
{
    relay->header = object->header;
    memcpy(relay->attributes_bytes, object->attributes.data, object->attributes.size);
    relay->attributes = span_of(relay->attributes_bytes, object->attributes.size);
    relay->is_packed = object->place.kind == PLACE_PACKED;
    relay->is_forwarded = !place_equals(&object->home, &object->place);
    relay->capacity = relay->is_packed
                          ? slot_capacity(object->header.slot_size, object->header.attributes_size)
                          : object->header.size;
}

static void put(struct outlet *outlet, struct span data, bool is_last, struct machine *machine)
{
    struct native_op *worker = CONTAINER_OF(outlet, struct native_op, outlet);
    struct native_relay *relay = worker->worked_for;
    worker->outlet_machine = machine;
    relay->piece = data;
    relay->is_last = is_last;
    relay_post(relay, relay->owner, relay->home, piece_arrived);
}

static void sent_arrived(struct io *here, struct io_message *message)
{
    struct native_relay *relay = relay_of(message);
    (void)here;
    relay->worker->outlet.err = relay->err;
    machine_arrive(relay->worker->outlet_machine);
}

static void found(struct find *find)
{
    struct native_op *worker = find->context;
    copy_result(worker->worked_for, &find->object);
    worker->worked_for->offset = find->offset;
    worker->worked_for->end = find->end;
}

static void find_over(struct find *find)
{
    struct native_op *worker = find->context;
    end(worker->worked_for, find->machine.err);
}

static void stated(struct stat_file *stat)
{
    struct native_op *worker = stat->context;
    copy_result(worker->worked_for, &stat->object);
}

static void stat_over(struct stat_file *stat)
{
    struct native_op *worker = stat->context;
    end(worker->worked_for, stat->machine.err);
}

static void work(struct native_relay *relay, struct native_op *worker)
{
    struct store *store = &relay->owner->store;
    const struct native_op *asker = relay->asker; /* it waits: nobody else touches it */
    relay->worker = worker;
    worker->worked_for = relay;
    worker->type = asker->type;
    if (asker->type == MSG_STAT) {
        worker->file.stat = (struct stat_file){
            .fid = asker->fid, .on_result = stated, .done = stat_over, .context = worker};
        stat_start(&worker->file.stat, store);
        return;
    }
    worker->outlet = (struct outlet){.put = put};
    worker->file.find = (struct find){.fid = asker->fid,
        .offset = asker->file.find.offset,
        .size = asker->file.find.size,
        .if_version = asker->file.find.if_version,
        .local_only = asker->file.find.local_only,
        .on_result = found,
        .done = find_over,
        .context = worker};
    find_start(&worker->file.find, store, &worker->outlet);
}

static void begin_arrived(struct io *here, struct io_message *message)
{
    struct native_relay *relay = relay_of(message);
    (void)here;
    struct native_op *worker = native_op_open(&relay->owner->native, NULL);
    if (worker)
        work(relay, worker);
    else
        end(relay, ERR(BUSY, 0));
}

void native_relay_begin(struct native_op *op)
{
    struct storage_loop *home = op->native->loop;
    uint16_t owner = store_owner_loop(&home->store, &op->fid);
    if (owner == home->index) {
        native_op_fail(op, ERR(UNAVAILABLE, 0));
        return;
    }
    op->relay.asker = op;
    op->relay.home = home;
    op->relay.owner = &home->storage->loops[owner];
    relay_post(&op->relay, home, op->relay.owner, begin_arrived);
}
