/* VERIFY: compare with the other members now, and tell how it went. On loop 0. */
#include "base/json.h"
#include "base/units.h"
#include "storage/native_op.h"

static void write_sums(struct json *json, const struct reconcile_sums *sums)
{
    json_number(json, "members", sums->members);
    json_number(json, "members_failed", sums->members_failed);
    json_number(json, "units", sums->units);
    json_number(json, "files", sums->files);
    json_number(json, "differed", sums->differed);
    json_number(json, "remaining", sums->remaining);
    json_number(json, "taken", sums->taken);
    json_number(json, "repaired", sums->repaired);
    json_number(json, "deleted", sums->deleted);
    json_number(json, "held_back", sums->held_back);
    json_number(json, "failed", sums->failed);
    json_number(json, "bytes", sums->bytes);
    json_number(json, "read_files", sums->read_files);
    json_number(json, "read_bytes", sums->read_bytes);
    json_number(json, "damaged", sums->damaged);
    json_number(json, "healed", sums->healed);
    json_number(json, "suspects", sums->suspects);
    uint64_t took_ns = sums->ended_ns > sums->started_ns ? sums->ended_ns - sums->started_ns : 0;
    json_number(json, "took_ms", took_ns / NS_PER_MS);
}

static size_t write_page(
    const struct storage *storage, uint64_t pass, bool is_over, uint8_t *page, size_t capacity)
{
    struct writer w = {.data = page, .capacity = capacity};
    struct json json;
    bool has_begun = storage->reconcile.pass >= pass;
    json_begin(&json, &w);
    json_begin_object(&json, NULL);
    json_number(&json, "machine", storage->config.machine_number);
    json_number(&json, "pass", pass);
    json_bool(&json, "is_over", is_over);
    write_sums(&json, has_begun ? &storage->reconcile.shown : &(struct reconcile_sums){0});
    json_end(&json);
    CHECK(!w.failed);
    return w.size;
}

void native_verify(struct native *native, struct net_request *request)
{
    struct storage_loop *loop = native->loop;
    struct storage *storage = loop->storage;
    struct msg_verify msg;
    err_t err = msg_verify_decode(request->meta, &msg);
    if (err_is(err)) {
        native_refuse(loop, request, err);
        return;
    }
    if (loop->index != 0) {
        net_request_move(request, &storage->loops[0].server);
        return;
    }
    if (!storage->reconcile.is_ticking) {
        native_refuse_saying(loop, request, ERR(UNAVAILABLE, 0), "it does not compare now");
        return;
    }
    struct native_op *op = native_node_open(native, request);
    if (!op)
        return;
    uint64_t pass = msg.pass > 0 ? msg.pass : reconcile_request(&storage->reconcile, msg.is_deep);
    bool is_over = reconcile_is_over(&storage->reconcile, pass);
    size_t size = write_page(storage, pass, is_over, op->sheet, FRAME_DATA_MAX);
    struct writer fields = net_reply_begin(request);
    msg_verified_encode(&(struct msg_verified){.pass = pass, .is_over = is_over}, &fields);
    native_sheet_send(op, size, MSG_VERIFIED, &fields);
}
