/* Operations are begun. */
#include "sim/mem.h"
#include "sim/store_swarm_parts.h"

static struct store_call *call_new(struct swarm *swarm, enum store_call_kind kind)
{
    struct store_call *call = store_call_new(swarm->world, kind, prng_next(&swarm->prng));
    static const uint32_t pieces[] = {0, 0, 1000, 5000, 20000};
    call->piece_max = pieces[swarm_below(swarm, ARRAY_LEN(pieces))];
    call->delay_ns_max = swarm_chance(swarm, 50) ? 0 : 2000000;
    return call;
}

static void draw_nonce(struct swarm *swarm, struct nonce *ret)
{
    prng_fill(&swarm->prng, ret->bytes, sizeof ret->bytes);
}

static void launch(struct swarm *swarm, struct flight *flight, struct store *store)
{
    flight->number = ++swarm->number;
    flight->began = ++swarm->model.seq;
    flight->call->context = swarm;
    flight->call->on_result = swarm_see_result;
    store_call_start(flight->call, store);
    swarm->result->operations++;
}

const char *flight_kind_name(const struct flight *flight)
{
    static const char *const names[] = {"upload", "find", "stat", "modify", "delete"};
    return names[flight->call->kind];
}

unsigned long long flight_clock(const struct flight *flight)
{
    return flight->file ? (unsigned long long)flight->file->fid.identity.clock : 0;
}

static void begin_upload(struct swarm *swarm, struct flight *flight)
{
    static const uint8_t text[] = "image/png";
    struct store_call *call = flight->call = call_new(swarm, CALL_UPLOAD);
    struct upload_request *request = &call->upload.request;
    struct model_content *content = swarm_draw_content(swarm, swarm_draw_size(swarm));
    store_call_set_content(call, content->data, content->size);
    request->is_mutable = swarm_chance(swarm, 75);
    request->slack = swarm_chance(swarm, 50) ? (uint32_t)swarm_below(swarm, 60)
                                             : SLACK_IS_BYTES | (uint32_t)swarm_below(swarm, 3000);
    request->ack = swarm_chance(swarm, 25) ? ACK_MEMORY : ACK_LOCAL;
    request->size_known = swarm_chance(swarm, 50);
    request->size = content->size;
    request->crc_known = swarm_chance(swarm, 30);
    request->crc = model_content_crc(content);
    request->metadata =
        span_of(swarm->metadata, swarm_below(swarm, 3) ? 0 : swarm_below(swarm, METADATA_MAX));
    request->content_type = span_of(text, sizeof text - 1);
    request->suffix = swarm_chance(swarm, 50) ? span_of(text + 6, 3) : span_of(NULL, 0);
    draw_nonce(swarm, &request->nonce);
    if (swarm_chance(swarm, 4) && content->size > 1) {
        call->cut_at = swarm_below(swarm, content->size);
        call->piece_max = 1 + content->size / 3;
        flight->expects_refusal = true;
    } else if (swarm_chance(swarm, 2)) {
        request->crc_known = true;
        request->crc ^= 1;
        flight->expects_refusal = true;
    } else if (swarm_chance(swarm, 2)) {
        request->size_known = true;
        request->size++;
        flight->expects_refusal = true;
    }
    struct model_upload *upload = flight->upload = SIM_NEW(struct model_upload);
    upload->content = content;
    upload->is_mutable = request->is_mutable;
    upload->metadata_size = request->metadata.size;
    unsigned loop = (unsigned)swarm_below(swarm, swarm->lab.options.loop_count);
    launch(swarm, flight, &swarm->lab.stores[loop]);
    sim_world_note(swarm->world, "#%u upload %llu bytes%s%s%s", flight->number,
        (unsigned long long)content->size, request->ack == ACK_MEMORY ? " from memory" : "",
        request->is_mutable ? " mutable" : "", flight->expects_refusal ? " (bad)" : "");
}

static struct store *any_store(struct swarm *swarm, const struct fid *fid)
{
    if (swarm_chance(swarm, 70))
        return store_lab_owner(&swarm->lab, fid);
    return &swarm->lab.stores[swarm_below(swarm, swarm->lab.options.loop_count)];
}

static void begin_find(struct swarm *swarm, struct flight *flight)
{
    struct model_file *file = flight->file;
    struct store_call *call = flight->call = call_new(swarm, CALL_FIND);
    call->find.fid = file->fid;
    swarm_draw_range(swarm, file, &call->find);
    if (swarm_chance(swarm, 10))
        call->find.if_version = (struct version){
            file->current.version + swarm_below(swarm, 2), swarm->lab.options.store.machine};
    launch(swarm, flight, any_store(swarm, &file->fid));
    sim_world_note(swarm->world, "#%u find %llx from %llu, %llu bytes", flight->number,
        flight_clock(flight), (unsigned long long)call->find.offset,
        (unsigned long long)call->find.size);
}

static void begin_stat(struct swarm *swarm, struct flight *flight)
{
    struct store_call *call = flight->call = call_new(swarm, CALL_STAT);
    call->stat.fid = flight->file->fid;
    launch(swarm, flight, any_store(swarm, &flight->file->fid));
    sim_world_note(swarm->world, "#%u stat %llx", flight->number, flight_clock(flight));
}

static void begin_modify(struct swarm *swarm, struct flight *flight)
{
    struct model_file *file = flight->file;
    struct store_call *call = flight->call = call_new(swarm, CALL_MODIFY);
    struct modify_request *request = &call->modify.request;
    struct model_change *change = flight->change = SIM_NEW(struct model_change);
    change->kind = MODEL_MODIFY;
    request->fid = file->fid;
    uint32_t body = swarm_draw_change(swarm, file, change);
    request->mode = change->mode;
    change->content = swarm_draw_content(swarm, body);
    request->offset = change->offset;
    store_call_set_content(call, change->content->data, body);
    request->if_version = swarm_draw_if_version(swarm, file);
    change->if_version = request->if_version.counter;
    request->ack = ACK_LOCAL;
    if (change->mode != MODIFY_TRUNCATE) {
        request->size_known = swarm_chance(swarm, 50);
        request->size = body;
        request->crc_known = swarm_chance(swarm, 30);
        request->crc = model_content_crc(change->content);
        if (swarm_chance(swarm, 3) && body > 1) {
            call->cut_at = swarm_below(swarm, body);
            call->piece_max = 1 + body / 3;
            flight->expects_refusal = true;
        } else if (swarm_chance(swarm, 2)) {
            request->crc_known = true;
            request->crc ^= 1;
            flight->expects_refusal = true;
        }
    }
    draw_nonce(swarm, &request->nonce);
    store_model_begin(&swarm->model, file, change);
    launch(swarm, flight, store_lab_owner(&swarm->lab, &file->fid));
    static const char *const modes[] = {"", "replace", "write", "append", "truncate"};
    sim_world_note(swarm->world, "#%u modify %llx: %s at %llu, %u bytes%s", flight->number,
        flight_clock(flight), modes[change->mode], (unsigned long long)change->offset, body,
        flight->expects_refusal ? " (bad)" : "");
}

static void begin_remove(struct swarm *swarm, struct flight *flight)
{
    struct store_call *call = flight->call = call_new(swarm, CALL_REMOVE);
    struct model_change *change = flight->change = SIM_NEW(struct model_change);
    change->kind = MODEL_REMOVE;
    call->remove.fid = flight->file->fid;
    call->remove.ack = ACK_LOCAL;
    call->remove.if_version = swarm_draw_if_version(swarm, flight->file);
    change->if_version = call->remove.if_version.counter;
    draw_nonce(swarm, &call->remove.nonce);
    store_model_begin(&swarm->model, flight->file, change);
    launch(swarm, flight, store_lab_owner(&swarm->lab, &flight->file->fid));
    sim_world_note(swarm->world, "#%u delete %llx", flight->number, flight_clock(flight));
}

void swarm_begin(struct swarm *swarm, struct flight *flight)
{
    *flight = (struct flight){0};
    unsigned choice = (unsigned)swarm_below(swarm, 100);
    flight->file = choice < 30 ? NULL : swarm_draw_file(swarm, choice >= 60);
    if (!flight->file)
        begin_upload(swarm, flight);
    else if (choice < 52)
        begin_find(swarm, flight);
    else if (choice < 60)
        begin_stat(swarm, flight);
    else if (choice < 86)
        begin_modify(swarm, flight);
    else
        begin_remove(swarm, flight);
}
