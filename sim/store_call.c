#include "sim/store_call.h"

#include "sim/mem.h"

struct store_call *store_call_new(struct sim_world *world, enum store_call_kind kind, uint64_t seed)
{
    struct store_call *call = SIM_NEW(struct store_call);
    call->world = world;
    call->kind = kind;
    call->cut_at = SIZE_MAX;
    prng_init(&call->prng, seed);
    return call;
}

void store_call_free(struct store_call *call)
{
    sim_free(call->content);
    sim_free(call->found);
    sim_free(call);
}

void store_call_set_content(struct store_call *call, const void *data, size_t size)
{
    sim_free(call->content);
    call->content = sim_alloc(size + 1);
    if (size > 0)
        memcpy(call->content, data, size);
    call->content_size = size;
}

/* ---- waiting a little: pieces and puts take time ---- */

static void call_later(struct store_call *call, void (*wake)(struct io_op *op))
{
    uint64_t wait_ns = 1 + (call->delay_ns_max ? prng_below(&call->prng, call->delay_ns_max) : 0);
    call->timer = (struct io_op){.kind = IO_TIMER,
        .fd = IO_FD_NONE,
        .deadline_ns = io_now(call->store->io) + wait_ns,
        .owner = &call->owner,
        .wake = wake,
        .context = call};
    io_submit(call->store->io, &call->timer);
}

/* ---- body ---- */

static void body_fill(struct store_call *call)
{
    struct body *body = &call->body;
    size_t left = call->content_size - call->sent, size = left;
    if (call->piece_max > 0 && size > call->piece_max)
        size = 1 + prng_below(&call->prng, call->piece_max);
    if (call->sent + size > call->cut_at) {
        body->data = span_of(NULL, 0);
        body->err = ERR(CLOSED, 0);
        return;
    }
    body->data = span_of(call->content + call->sent, size);
    call->sent += size;
    body->is_last = call->sent == call->content_size;
}

static void body_wake(struct io_op *op)
{
    struct store_call *call = op->context;
    body_fill(call);
    machine_arrive_now(call->waiting);
}

static void body_next(struct body *body, struct machine *machine)
{
    struct store_call *call = CONTAINER_OF(body, struct store_call, body);
    CHECK(!body->is_last);
    call->waiting = machine;
    call_later(call, body_wake);
}

/* ---- outlet ---- */

static void outlet_wake(struct io_op *op)
{
    struct store_call *call = op->context;
    size_t need = call->found_size + call->putting.size;
    if (need > call->found_capacity) {
        call->found_capacity = need * 2;
        call->found = sim_grow(call->found, call->found_capacity);
    }
    if (call->putting.size > 0)
        memcpy(call->found + call->found_size, call->putting.data, call->putting.size);
    call->found_size = need;
    machine_arrive_now(call->waiting);
}

static void outlet_put(
    struct outlet *outlet, struct span data, bool is_last, struct machine *machine)
{
    struct store_call *call = CONTAINER_OF(outlet, struct store_call, outlet);
    (void)is_last;
    call->putting = data;
    call->waiting = machine;
    call_later(call, outlet_wake);
}

/* ---- results ---- */

static void call_tell(struct store_call *call)
{
    CHECK(!call->is_told && !call->is_done);
    call->is_told = true;
    if (call->on_result)
        call->on_result(call);
}

static void call_done(struct store_call *call, err_t err)
{
    CHECK(!call->is_done);
    call->is_done = true;
    call->err = err;
    owner_close(&call->owner);
}

static void upload_on_result(struct upload *upload)
{
    call_tell(upload->context);
}

static void upload_on_done(struct upload *upload)
{
    call_done(upload->context, upload->machine.err);
}

static void see_object(struct store_call *call, const struct object *object)
{
    call->found_total = object->header.size;
    call->version = object->header.version;
    call->flags = object->header.flags;
    call->nonce = object->header.nonce;
    call->metadata_size = attribute_find(object->attributes, ATTRIBUTE_METADATA).size;
}

static void find_on_result(struct find *find)
{
    see_object(find->context, &find->object);
    call_tell(find->context);
}

static void find_on_done(struct find *find)
{
    call_done(find->context, find->machine.err);
}

static void stat_on_result(struct stat_file *stat)
{
    see_object(stat->context, &stat->object);
    call_tell(stat->context);
}

static void stat_on_done(struct stat_file *stat)
{
    call_done(stat->context, stat->machine.err);
}

static void modify_on_result(struct modify *modify)
{
    call_tell(modify->context);
}

static void modify_on_done(struct modify *modify)
{
    call_done(modify->context, modify->machine.err);
}

static void remove_on_result(struct remove_file *remove)
{
    call_tell(remove->context);
}

static void remove_on_done(struct remove_file *remove)
{
    call_done(remove->context, remove->machine.err);
}

const struct file_result *store_call_result(const struct store_call *call)
{
    switch (call->kind) {
    case CALL_UPLOAD:
        return &call->upload.result;
    case CALL_MODIFY:
        return &call->modify.result;
    case CALL_REMOVE:
        return &call->remove.result;
    default:
        return NULL;
    }
}

/* ---- start ---- */

void store_call_start(struct store_call *call, struct store *store)
{
    call->store = store;
    owner_open(&call->owner, "call", DIRECTION_CLIENT, io_now(store->io));
    call->body.next = body_next;
    call->outlet.put = outlet_put;
    switch (call->kind) {
    case CALL_UPLOAD:
        body_fill(call);
        call->upload.context = call;
        call->upload.on_result = upload_on_result;
        call->upload.done = upload_on_done;
        upload_start(&call->upload, store, &call->body);
        break;
    case CALL_FIND:
        call->find.context = call;
        call->find.on_result = find_on_result;
        call->find.done = find_on_done;
        find_start(&call->find, store, &call->outlet);
        break;
    case CALL_STAT:
        call->stat.context = call;
        call->stat.on_result = stat_on_result;
        call->stat.done = stat_on_done;
        stat_start(&call->stat, store);
        break;
    case CALL_MODIFY:
        body_fill(call);
        call->modify.context = call;
        call->modify.on_result = modify_on_result;
        call->modify.done = modify_on_done;
        modify_start(&call->modify, store,
            call->modify.request.mode == MODIFY_TRUNCATE ? NULL : &call->body);
        break;
    case CALL_REMOVE:
        call->remove.context = call;
        call->remove.on_result = remove_on_result;
        call->remove.done = remove_on_done;
        remove_start(&call->remove, store);
        break;
    case CALL_KIND_COUNT:
        UNREACHABLE("no kind");
    }
}

struct waiting_run {
    struct store_call *call;
    struct store_lab *lab;
};

static bool run_is_over(void *context)
{
    struct waiting_run *run = context;
    return run->call->is_done || !store_lab_is_up(run->lab);
}

bool store_call_run(struct store_call *call, struct store_lab *lab, struct store *store)
{
    store_call_start(call, store);
    struct waiting_run run = {call, lab};
    bool is_over = sim_world_run_until(lab->world, run_is_over, &run, UINT64_C(600000000000));
    CHECK(is_over);
    return call->is_done;
}
