/* INVENTORY, HARVEST and FETCH: the files of a unit, and whole files for a peer. */
#include "storage/native_op.h"

/* ---- inventory ---- */

static bool see_file(struct unit_walk *walk, const struct unit_file *file)
{
    struct native_op *op = walk->context;
    struct writer *page = &op->file.inventory.page;
    if (FRAME_DATA_MAX - page->size < UNIT_FILE_SIZE)
        return false;
    unit_file_encode(file, page);
    op->file.inventory.count++;
    return true;
}

static void inventory_over(struct unit_walk *walk)
{
    struct native_op *op = walk->context;
    if (err_is(walk->machine.err)) {
        native_op_fail(op, walk->machine.err);
        return;
    }
    struct writer fields = net_reply_begin(op->request);
    msg_inventory_reply_encode(
        &(struct msg_inventory_reply){.count = op->file.inventory.count, .next = walk->cursor},
        &fields);
    native_sheet_send(op, op->file.inventory.page.size, MSG_INVENTORY_REPLY, &fields);
}

void native_inventory(struct native *native, struct net_request *request)
{
    struct msg_inventory msg;
    struct stream *stream;
    err_t err = msg_inventory_decode(request->meta, &msg);
    if (!err_is(err) && !unit_is_valid(msg.unit))
        err = ERR(PROTOCOL, 0);
    if (err_is(err)) {
        native_refuse(native->loop, request, err);
        return;
    }
    if (!native_node_stream(native->loop, request, msg.machine, msg.mount, msg.stream, &stream))
        return;
    struct native_op *op = native_node_open(native, request);
    if (!op)
        return;
    op->walk_memory = pool_take(&native->node.walks, &native->owner);
    if (!op->walk_memory) {
        native_op_fail(op, ERR(BUSY, 0));
        return;
    }
    op->file.inventory.count = 0;
    op->file.inventory.page = (struct writer){.data = op->sheet, .capacity = FRAME_DATA_MAX};
    op->file.inventory.walk = (struct unit_walk){.store = &native->loop->store,
        .stream = stream,
        .source = {msg.machine, msg.mount, msg.stream},
        .unit = msg.unit,
        .cursor = msg.cursor,
        .memory = op->walk_memory,
        .see = see_file,
        .done = inventory_over,
        .context = op};
    unit_walk_start(&op->file.inventory.walk);
}

/* ---- harvest ---- */

static void harvest_over(struct harvest *harvest)
{
    struct native_op *op = harvest->context;
    if (err_is(harvest->machine.err)) {
        native_op_fail(op, harvest->machine.err);
        return;
    }
    struct writer fields = net_reply_begin(op->request);
    msg_harvested_encode(&(struct msg_harvested){.count = harvest->count}, &fields);
    native_sheet_send(op, harvest->page.size, MSG_HARVESTED, &fields);
}

/* All wants are of one home source: that of the first says on which loop. */
static err_t harvest_source(struct net_request *request, struct place *ret_home)
{
    struct msg_harvest msg;
    struct reader r = {.data = request->data.data, .size = request->data.size};
    struct identity identity;
    TRY(msg_harvest_decode(request->meta, &msg));
    bool is_whole = !request->has_more && msg.count > 0 && msg.count <= NATIVE_HARVEST_MAX
                    && request->data.size == (size_t)msg.count * UNIT_WANT_SIZE;
    if (!is_whole)
        return ERR(PROTOCOL, 0);
    return unit_want_decode(&r, &identity, ret_home);
}

void native_harvest(struct native *native, struct net_request *request)
{
    struct place home;
    struct stream *stream;
    err_t err = harvest_source(request, &home);
    if (err_is(err)) {
        native_refuse(native->loop, request, err);
        return;
    }
    if (!native_node_stream(native->loop, request, home.machine, home.mount, home.stream, &stream))
        return;
    struct native_op *op = native_node_open(native, request);
    if (!op)
        return;
    op->file.harvest = (struct harvest){.store = &native->loop->store,
        .wants = request->data,
        .page = {.data = op->sheet, .capacity = native->node.sheets.slot_size},
        .done = harvest_over,
        .context = op};
    harvest_start(&op->file.harvest);
}

/* ---- fetch ---- */

static void fetch_frame_sent(struct net_request *request, err_t err)
{
    struct native_op *op = request->op;
    op->piece.left(op, err);
}

static void fetch_piece_left(struct native_op *op, err_t err)
{
    struct writer fields;
    if (!err_is(err) && op->piece.rest.size > 0) { /* what was behind the entry's frame */
        fields = net_reply_begin(op->request);
        native_piece_send(op, MSG_DATA, &fields);
        return;
    }
    op->outlet.err = err;
    machine_arrive(op->outlet_machine);
}

/* The first frame: the entry, and as much of the content as fits. */
static void send_entry(struct native_op *op)
{
    struct native_fetch *fetch = &op->file.fetch;
    struct native_piece *piece = &op->piece;
    size_t room = FRAME_DATA_MAX - fetch->entry_size;
    size_t size = piece->rest.size < room ? piece->rest.size : room;
    fetch->iov[0] = (struct iovec){fetch->entry, fetch->entry_size};
    fetch->iov[1] = (struct iovec){(void *)(uintptr_t)piece->rest.data, size};
    piece->rest = span_of(piece->rest.data + size, piece->rest.size - size);
    piece->is_begun = true;
    op->request->op = op;
    op->is_told = true;
    op->native->loop->counters.bytes_out += fetch->entry_size + size;
    struct writer fields = net_reply_begin(op->request);
    msg_fetched_encode(
        &(struct msg_fetched){.content_size = fetch->find.object.header.size}, &fields);
    bool has_more = piece->rest.size > 0 || !piece->is_last;
    net_reply(op->request, MSG_FETCHED, has_more ? FRAME_MORE : 0, &fields, fetch->iov,
        size > 0 ? 2 : 1, fetch_frame_sent);
}

/* It is there: that is all that was asked. */
static void send_head(struct native_op *op)
{
    struct writer fields = net_reply_begin(op->request);
    msg_fetched_encode(
        &(struct msg_fetched){.content_size = op->file.fetch.find.object.header.size}, &fields);
    op->is_told = true;
    net_reply(op->request, MSG_FETCHED, 0, &fields, NULL, 0, NULL);
}

/* It was deleted: whoever still has it may believe that. */
static void send_gone(struct native_op *op)
{
    struct writer fields = net_reply_begin(op->request);
    msg_fetched_encode(&(struct msg_fetched){.is_gone = 1}, &fields);
    op->is_told = true;
    net_reply(op->request, MSG_FETCHED, 0, &fields, NULL, 0, NULL);
    native_op_close(op);
}

static void fetch_put(
    struct outlet *outlet, struct span data, bool is_last, struct machine *machine)
{
    struct native_op *op = CONTAINER_OF(outlet, struct native_op, outlet);
    op->outlet_machine = machine;
    if (op->file.fetch.is_head_only) {
        send_head(op);
        outlet->err = ERR(CANCELLED, 0);
        machine_arrive(machine);
        return;
    }
    if (err_is(op->file.fetch.err)) {
        outlet->err = op->file.fetch.err;
        machine_arrive(machine);
        return;
    }
    op->piece.rest = data;
    op->piece.is_last = is_last;
    op->piece.left = fetch_piece_left;
    if (!op->is_told) {
        send_entry(op);
        return;
    }
    struct writer fields = net_reply_begin(op->request);
    native_piece_send(op, MSG_DATA, &fields);
}

static void fetch_known(struct find *find)
{
    struct native_op *op = find->context;
    struct native_fetch *fetch = &op->file.fetch;
    struct writer w = {.data = fetch->entry, .capacity = sizeof fetch->entry};
    fetch->err = full_entry_write(&find->object, false, &w);
    CHECK(!w.failed);
    fetch->entry_size = w.size;
}

static void fetch_over(struct find *find)
{
    struct native_op *op = find->context;
    const struct native_fetch *fetch = &op->file.fetch;
    bool is_head = fetch->is_head_only && op->is_told;
    bool is_missing = err_has(find->machine.err, ERR_CODE_NOT_FOUND);
    if (fetch->is_head_only && fetch->is_covered && is_missing)
        send_gone(op);
    else if (err_is(find->machine.err) && !is_head)
        native_op_fail(op, find->machine.err);
    else
        native_op_close(op);
}

static err_t fetch_source(struct net_request *request, struct identity *ret_identity,
    struct place *ret_home, bool *ret_head_only)
{
    struct msg_fetch msg;
    TRY(msg_fetch_decode(request->meta, &msg));
    struct identity identity = {.clock = msg.clock, .origin = msg.origin};
    if (msg.suffix.size != SUFFIX_FIELD || msg.home.size != 24)
        return ERR(PROTOCOL, 0);
    memcpy(identity.suffix, msg.suffix.data, SUFFIX_FIELD);
    place_decode(msg.home.data, ret_home);
    *ret_identity = identity;
    *ret_head_only = msg.head_only != 0;
    return unit_home_is_valid(&identity, ret_home) ? ERR_OK : ERR(PROTOCOL, 0);
}

void native_fetch(struct native *native, struct net_request *request)
{
    struct identity identity;
    struct place home;
    struct stream *stream;
    bool is_head_only;
    err_t err = fetch_source(request, &identity, &home, &is_head_only);
    if (err_is(err)) {
        native_refuse(native->loop, request, err);
        return;
    }
    if (!native_node_stream(native->loop, request, home.machine, home.mount, home.stream, &stream))
        return;
    bool is_early = home.machine == native->loop->store.config.machine
                    && stream_holds_clock(stream, identity.clock);
    struct native_op *op = is_early ? NULL : native_op_open(native, request);
    if (!op) {
        native_refuse(native->loop, request, ERR(BUSY, 0));
        return;
    }
    op->outlet = (struct outlet){.put = fetch_put};
    op->file.fetch.err = ERR_OK;
    op->file.fetch.is_head_only = is_head_only;
    struct source_key key = source_key_of(&home);
    op->file.fetch.is_covered =
        stream_covers(stream, &key, identity.clock); /* before it is looked for */
    op->file.fetch.find = (struct find){.fid = unit_fid(&native->loop->store, &identity, &home),
        .is_by_identity = true,
        .local_only = true,
        .on_result = fetch_known,
        .done = fetch_over,
        .context = op};
    find_start(&op->file.fetch.find, &native->loop->store, &op->outlet);
}
