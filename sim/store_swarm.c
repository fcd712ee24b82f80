#include "sim/store_swarm.h"

#include <stdarg.h>

#include "base/crc.h"
#include "sim/mem.h"

enum { IN_FLIGHT_MAX = 6, FILES_MAX = 64, METADATA_MAX = 200 };
enum { LARGE_SIZE = BLOCKS_PER_GROUP * BLOCK_SIZE, LARGE_TAIL = 300000, LARGE_FILES_MAX = 2 };
#define PATIENCE_NS UINT64_C(60000000000)        /* virtual: longer is a hang */
#define PATIENCE_LARGE_NS UINT64_C(600000000000) /* 64 MiB may be written, in pieces, slowly */

/* An operation in flight, and what the model knows of it. */
struct flight {
    struct store_call *call; /* NULL: this place is free */
    struct model_file *file; /* all but uploads */
    struct model_change *change;
    struct model_upload *upload;
    uint64_t began;
    uint32_t number;
    bool is_clock_seen;
    bool expects_refusal; /* the harness asked for something that must be refused */
};

struct swarm {
    const struct store_swarm_options *options;
    struct store_swarm_result *result;
    struct sim_world *world;
    struct store_lab lab;
    struct store_model model;
    struct prng prng;
    struct flight flights[IN_FLIGHT_MAX];
    unsigned in_flight_max;
    uint32_t size_max; /* of contents */
    enum store_swarm_fault fault;
    bool has_fault;      /* one was switched on in this life */
    bool has_stepped;    /* the wall clock jumped: ids may have to wait for a lease */
    bool has_lost_names; /* the sync of a directory failed */
    bool walks_often;
    bool is_small;  /* the disk may run full */
    bool has_large; /* some files grow to more than one checksum group (63.5 MiB) */
    uint32_t number;
    uint8_t metadata[METADATA_MAX];
};

static uint64_t below(struct swarm *swarm, uint64_t n)
{
    return prng_below(&swarm->prng, n);
}

static bool chance(struct swarm *swarm, unsigned percent)
{
    return below(swarm, 100) < percent;
}

__attribute__((format(printf, 2, 3))) static void fail(struct swarm *swarm, const char *format, ...)
{
    char *text = swarm->result->failure;
    if (text[0])
        return;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof swarm->result->failure, format, arguments);
    va_end(arguments);
    sim_world_note(swarm->world, "FAILED: %s", text);
}

static bool has_failed(const struct swarm *swarm)
{
    return swarm->result->failure[0] != '\0';
}

/* ---- what is drawn ---- */

static uint32_t round_up(uint32_t size, uint32_t unit)
{
    return (size + unit - 1) / unit * unit;
}

static void draw_sizes(struct swarm *swarm, struct store_lab_options *options)
{
    static const uint32_t singles[] = {1024, 4096, 8192, 12000, 16384, 24576};
    static const uint32_t inlines[] = {0, 64, 1024, 4096, UINT32_MAX};
    struct store_config *store = &options->store;
    bool has_blocks = chance(swarm, 8); /* slots with block tables */
    store->single_min = has_blocks ? 90000 : singles[below(swarm, ARRAY_LEN(singles))];
    if (swarm->has_large && store->single_min < 8192)
        store->single_min = 8192; /* zeros of a large file may have to be written in such pieces */
    store->inline_max = inlines[below(swarm, ARRAY_LEN(inlines))];
    if (store->inline_max > store->single_min)
        store->inline_max = store->single_min;
    store->piece_size = has_blocks ? 65536 : chance(swarm, 50) ? 4096 : 16384;
    uint32_t chunk = chance(swarm, 60) ? 64 : 64 + 64 * (uint32_t)below(swarm, 4);
    if (chunk * 1024 < 3 * store->single_min)
        chunk = round_up(3 * store->single_min, 65536) / 1024;
    store->chunk_size = chunk * 1024;
    store->log_buffer_size =
        round_up(store->single_min + 8192 + (uint32_t)below(swarm, 16384), 4096);
    store->log_segment_size = store->log_buffer_size * (1 + (uint32_t)below(swarm, 3)) + 4096;
    store->log_segment_count_max = 3 + (uint32_t)below(swarm, 5);
    store->checkpoint_bytes = store->log_segment_size * (1 + below(swarm, 4));
    store->free_slot_count = 4 + (uint32_t)below(swarm, 60);
    store->chunk_file_count = 5u * options->stream_count + 6 + (uint32_t)below(swarm, 20);
    options->chunk_count_max = 256;
    swarm->size_max = has_blocks ? 200000 : 3 * store->single_min;
    if (chance(swarm, 10))
        swarm->size_max = 150000;
}

static void draw_options(struct swarm *swarm, struct store_lab_options *options)
{
    store_lab_options_small(options);
    sim_disk_options_draw(&options->disk, &swarm->prng);
    options->loop_count = chance(swarm, 25) ? 2 : 1;
    options->stream_count =
        (uint8_t)(options->loop_count + (chance(swarm, 25) ? below(swarm, 2) : 0));
    draw_sizes(swarm, options);
    swarm->is_small = chance(swarm, 15);
    options->disk.capacity = 256 << 20;
    if (swarm->is_small) {
        uint64_t logs = (uint64_t)options->stream_count * (LOG_SEGMENTS_MIN + 1)
                        * options->store.log_segment_size;
        uint64_t chunks = (2u * options->stream_count + below(swarm, 6))
                          * (options->store.chunk_size + 4 * SLOTMAP_IMAGE_ALIGN);
        options->disk.capacity = (1 << 20) + (64 << 10) + logs + chunks;
        options->reserve_bytes = 128 << 10;
    }
    if (swarm->has_large) {
        swarm->is_small = false;
        options->disk.capacity = 4 << 28;
        options->reserve_bytes = 0;
        options->store.piece_size = chance(swarm, 50) ? 65536 : 262144;
        if (chance(swarm, 70)) { /* a whole download fits between two writes of a change */
            options->disk.read_ns = 1000;
            options->disk.write_ns = 3000000;
        }
    }
    swarm->fault = chance(swarm, 45)
                       ? (enum store_swarm_fault)(1 + below(swarm, SWARM_FAULT_COUNT - 1))
                       : SWARM_FAULT_NONE;
    swarm->walks_often = chance(swarm, 5) || swarm->options->trace;
    static const uint8_t widths[] = {1, 2, 4, 6};
    swarm->in_flight_max = widths[below(swarm, ARRAY_LEN(widths))];
    if (swarm->has_large)
        swarm->in_flight_max = IN_FLIGHT_MAX;
}

/* Sizes around every edge that there is, and small ones most of the time. */
static uint32_t draw_size(struct swarm *swarm)
{
    const struct store_config *config = &swarm->lab.options.store;
    uint32_t edges[] = {0, 1, config->inline_max, config->single_min, 4096, 65536,
        config->piece_size, config->chunk_size / 2};
    uint32_t size;
    if (swarm->has_large && chance(swarm, 20)) /* a single file, which may grow */
        return config->single_min + (uint32_t)below(swarm, 4096);
    switch (below(swarm, 8)) {
    case 0:
        size = edges[below(swarm, ARRAY_LEN(edges))] + (uint32_t)below(swarm, 3);
        size = size > 0 ? size - 1 : 0;
        break;
    case 1:
        size = (uint32_t)below(swarm, swarm->size_max);
        break;
    case 2:
    case 3:
        size = (uint32_t)below(swarm, config->single_min);
        break;
    default:
        size = (uint32_t)below(swarm, 600);
    }
    return size <= swarm->size_max ? size : swarm->size_max;
}

static struct model_content *draw_content(struct swarm *swarm, uint32_t size)
{
    struct model_content *content = model_content_new(NULL, size);
    uint64_t mark = prng_next(&swarm->prng);
    for (uint32_t i = 0; i < size; i += 8, mark = mark * UINT64_C(6364136223846793005) + 99)
        memcpy(content->data + i, &mark, size - i < 8 ? size - i : 8);
    return content;
}

static uint64_t size_of(const struct model_file *file)
{
    return file->current.content ? file->current.content->size : 0;
}

/* So large that its tail lies about the border of the first two groups. */
static bool is_large(const struct model_file *file)
{
    return size_of(file) > LARGE_SIZE - 2 * LARGE_TAIL;
}

static uint64_t draw_large_size(struct swarm *swarm)
{
    return LARGE_SIZE - LARGE_TAIL + below(swarm, 2 * LARGE_TAIL);
}

static struct model_file *draw_file(struct swarm *swarm, bool wants_changeable)
{
    struct model_file *files[FILES_MAX];
    unsigned count = 0;
    LIST_EACH (node, &swarm->model.files) {
        struct model_file *file = CONTAINER_OF(node, struct model_file, link);
        unsigned pending = 0;
        LIST_EACH (other, &file->pending)
            pending++;
        if (wants_changeable && pending == MODEL_PENDING_MAX)
            continue;
        if (count < FILES_MAX)
            files[count++] = file;
        else if (chance(swarm, 50))
            files[below(swarm, FILES_MAX)] = file;
    }
    if (count == 0)
        return NULL;
    for (unsigned i = 0; swarm->has_large && i < count; i++)
        if (is_large(files[i]) && chance(swarm, 60))
            return files[i];
    /* the same few again and again, so that operations meet */
    unsigned last = count > 3 && chance(swarm, 40) ? 3 : count;
    return files[count - 1 - below(swarm, last)];
}

/* ---- starting operations ---- */

static struct store_call *call_new(struct swarm *swarm, enum store_call_kind kind)
{
    struct store_call *call = store_call_new(swarm->world, kind, prng_next(&swarm->prng));
    static const uint32_t pieces[] = {0, 0, 1000, 5000, 20000};
    call->piece_max = pieces[below(swarm, ARRAY_LEN(pieces))];
    call->delay_ns_max = chance(swarm, 50) ? 0 : 2000000;
    return call;
}

static void draw_nonce(struct swarm *swarm, struct nonce *ret)
{
    prng_fill(&swarm->prng, ret->bytes, sizeof ret->bytes);
}

static void on_result(struct store_call *call);

static void launch(struct swarm *swarm, struct flight *flight, struct store *store)
{
    flight->number = ++swarm->number;
    flight->began = ++swarm->model.seq;
    flight->call->context = swarm;
    flight->call->on_result = on_result;
    store_call_start(flight->call, store);
    swarm->result->operations++;
}

static const char *kind_name(const struct flight *flight)
{
    static const char *const names[] = {"upload", "find", "stat", "modify", "delete"};
    return names[flight->call->kind];
}

static unsigned long long clock_of(const struct flight *flight)
{
    return flight->file ? (unsigned long long)flight->file->fid.identity.clock : 0;
}

static void begin_upload(struct swarm *swarm, struct flight *flight)
{
    static const uint8_t text[] = "image/png";
    struct store_call *call = flight->call = call_new(swarm, CALL_UPLOAD);
    struct upload_request *request = &call->upload.request;
    struct model_content *content = draw_content(swarm, draw_size(swarm));
    store_call_set_content(call, content->data, content->size);
    request->is_mutable = chance(swarm, 75);
    request->slack = chance(swarm, 50) ? (uint32_t)below(swarm, 60)
                                       : SLACK_IS_BYTES | (uint32_t)below(swarm, 3000);
    request->ack = chance(swarm, 25) ? ACK_MEMORY : ACK_LOCAL;
    request->size_known = chance(swarm, 50);
    request->size = content->size;
    request->crc_known = chance(swarm, 30);
    request->crc = model_content_crc(content);
    request->metadata = span_of(swarm->metadata, below(swarm, 3) ? 0 : below(swarm, METADATA_MAX));
    request->content_type = span_of(text, sizeof text - 1);
    request->suffix = chance(swarm, 50) ? span_of(text + 6, 3) : span_of(NULL, 0);
    draw_nonce(swarm, &request->nonce);
    if (chance(swarm, 4) && content->size > 1) {
        call->cut_at = below(swarm, content->size);
        call->piece_max = 1 + content->size / 3;
        flight->expects_refusal = true;
    } else if (chance(swarm, 2)) {
        request->crc_known = true;
        request->crc ^= 1;
        flight->expects_refusal = true;
    } else if (chance(swarm, 2)) {
        request->size_known = true;
        request->size++;
        flight->expects_refusal = true;
    }
    struct model_upload *upload = flight->upload = SIM_NEW(struct model_upload);
    upload->content = content;
    upload->is_mutable = request->is_mutable;
    upload->metadata_size = request->metadata.size;
    unsigned loop = (unsigned)below(swarm, swarm->lab.options.loop_count);
    launch(swarm, flight, &swarm->lab.stores[loop]);
    sim_world_note(swarm->world, "#%u upload %llu bytes%s%s%s", flight->number,
        (unsigned long long)content->size, request->ack == ACK_MEMORY ? " from memory" : "",
        request->is_mutable ? " mutable" : "", flight->expects_refusal ? " (bad)" : "");
}

static struct store *any_store(struct swarm *swarm, const struct fid *fid)
{
    if (chance(swarm, 70))
        return store_lab_owner(&swarm->lab, fid);
    return &swarm->lab.stores[below(swarm, swarm->lab.options.loop_count)];
}

/* Mostly around the border of the groups: a whole download takes long. */
static void draw_range(struct swarm *swarm, const struct model_file *file, struct find *find)
{
    uint64_t size = file->current.content ? size_of(file) : 100;
    if (is_large(file) && chance(swarm, 95)) {
        find->offset = size - below(swarm, 2 * LARGE_TAIL);
        find->size = below(swarm, 2 * LARGE_TAIL);
    } else if (chance(swarm, 40)) {
        find->offset = below(swarm, size + 2);
        find->size = below(swarm, size + 10);
    }
}

static void begin_find(struct swarm *swarm, struct flight *flight)
{
    struct model_file *file = flight->file;
    struct store_call *call = flight->call = call_new(swarm, CALL_FIND);
    call->find.fid = file->fid;
    draw_range(swarm, file, &call->find);
    if (chance(swarm, 10))
        call->find.if_version = (struct version){
            file->current.version + below(swarm, 2), swarm->lab.options.store.machine};
    launch(swarm, flight, any_store(swarm, &file->fid));
    sim_world_note(swarm->world, "#%u find %llx from %llu, %llu bytes", flight->number,
        clock_of(flight), (unsigned long long)call->find.offset,
        (unsigned long long)call->find.size);
}

static void begin_stat(struct swarm *swarm, struct flight *flight)
{
    struct store_call *call = flight->call = call_new(swarm, CALL_STAT);
    call->stat.fid = flight->file->fid;
    launch(swarm, flight, any_store(swarm, &flight->file->fid));
    sim_world_note(swarm->world, "#%u stat %llx", flight->number, clock_of(flight));
}

static struct version draw_if_version(struct swarm *swarm, const struct model_file *file)
{
    if (!chance(swarm, 15))
        return (struct version){0};
    uint64_t counter = file->current.version + (chance(swarm, 30) ? 1 : 0);
    return (struct version){counter ? counter : 1, swarm->lab.options.store.machine};
}

/* Mode and offset; returns the size of the body. */
static uint32_t draw_change(
    struct swarm *swarm, const struct model_file *file, struct model_change *change)
{
    uint64_t size = size_of(file);
    change->mode = (uint8_t)(1 + below(swarm, 4));
    uint32_t body = draw_size(swarm);
    if (change->mode == MODIFY_APPEND && size > swarm->size_max)
        body = (uint32_t)below(swarm, 100);
    if (change->mode == MODIFY_TRUNCATE) {
        change->offset = chance(swarm, 70) ? below(swarm, size + 1) : draw_size(swarm);
        body = 0;
    } else if (change->mode == MODIFY_WRITE) {
        change->offset = below(swarm, size + 1) + (chance(swarm, 3) ? 1 : 0);
    }
    return body;
}

/* It is a single file already, so that it grows by a hole. */
static bool grows_large(struct swarm *swarm, const struct model_file *file)
{
    unsigned count = 0;
    if (!swarm->has_large || size_of(file) <= swarm->lab.options.store.single_min)
        return false;
    LIST_EACH (node, &swarm->model.files)
        count += is_large(CONTAINER_OF(node, struct model_file, link));
    return count < LARGE_FILES_MAX;
}

/* In place, around the border of the groups, most of the time; else the file is made small again. */
static uint32_t draw_large_change(
    struct swarm *swarm, const struct model_file *file, struct model_change *change)
{
    unsigned choice = (unsigned)below(swarm, 100);
    uint32_t body = (uint32_t)below(swarm, swarm->lab.options.store.single_min);
    if (!is_large(file) || choice < 15) {
        change->mode = MODIFY_TRUNCATE;
        change->offset = draw_large_size(swarm);
        return 0;
    }
    if (choice >= 95)
        return draw_change(swarm, file, change);
    change->mode = choice < 75 ? MODIFY_WRITE : MODIFY_APPEND;
    if (change->mode == MODIFY_WRITE)
        change->offset = size_of(file) - below(swarm, 2 * LARGE_TAIL);
    return body;
}

static void begin_modify(struct swarm *swarm, struct flight *flight)
{
    struct model_file *file = flight->file;
    struct store_call *call = flight->call = call_new(swarm, CALL_MODIFY);
    struct modify_request *request = &call->modify.request;
    struct model_change *change = flight->change = SIM_NEW(struct model_change);
    change->kind = MODEL_MODIFY;
    request->fid = file->fid;
    uint32_t body = grows_large(swarm, file) || is_large(file)
                        ? draw_large_change(swarm, file, change)
                        : draw_change(swarm, file, change);
    request->mode = change->mode;
    change->content = draw_content(swarm, body);
    request->offset = change->offset;
    store_call_set_content(call, change->content->data, body);
    request->if_version = draw_if_version(swarm, file);
    change->if_version = request->if_version.counter;
    request->ack = ACK_LOCAL;
    if (change->mode != MODIFY_TRUNCATE) {
        request->size_known = chance(swarm, 50);
        request->size = body;
        request->crc_known = chance(swarm, 30);
        request->crc = model_content_crc(change->content);
        if (chance(swarm, 3) && body > 1) {
            call->cut_at = below(swarm, body);
            call->piece_max = 1 + body / 3;
            flight->expects_refusal = true;
        } else if (chance(swarm, 2)) {
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
        clock_of(flight), modes[change->mode], (unsigned long long)change->offset, body,
        flight->expects_refusal ? " (bad)" : "");
}

static void begin_remove(struct swarm *swarm, struct flight *flight)
{
    struct store_call *call = flight->call = call_new(swarm, CALL_REMOVE);
    struct model_change *change = flight->change = SIM_NEW(struct model_change);
    change->kind = MODEL_REMOVE;
    call->remove.fid = flight->file->fid;
    call->remove.ack = ACK_LOCAL;
    call->remove.if_version = draw_if_version(swarm, flight->file);
    change->if_version = call->remove.if_version.counter;
    draw_nonce(swarm, &call->remove.nonce);
    store_model_begin(&swarm->model, flight->file, change);
    launch(swarm, flight, store_lab_owner(&swarm->lab, &flight->file->fid));
    sim_world_note(swarm->world, "#%u delete %llx", flight->number, clock_of(flight));
}

static void begin_any(struct swarm *swarm, struct flight *flight)
{
    *flight = (struct flight){0};
    unsigned choice = (unsigned)below(swarm, 100);
    flight->file = choice < 30 ? NULL : draw_file(swarm, choice >= 60);
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

/* ---- answers ---- */

static void see_clock(struct swarm *swarm, struct flight *flight)
{
    struct upload *upload = &flight->call->upload;
    if (flight->is_clock_seen || upload->header.identity.clock == 0)
        return;
    flight->is_clock_seen = true;
    flight->upload->identity = upload->header.identity;
    flight->upload->stream = upload->stream ? upload->stream->options.stream : 0;
    if (!store_model_take_clock(&swarm->model, upload->header.identity.clock))
        fail(swarm, "#%u: clock %llx was given out twice", flight->number,
            (unsigned long long)upload->header.identity.clock);
}

static void upload_told(struct swarm *swarm, struct flight *flight)
{
    const struct file_result *result = &flight->call->upload.result;
    const struct model_content *content = flight->upload->content;
    see_clock(swarm, flight);
    bool is_memory = result->ack == ACK_MEMORY && !swarm->options->acknowledges_early;
    if (flight->expects_refusal)
        fail(swarm, "#%u: a bad upload was acknowledged", flight->number);
    if (result->size != content->size || result->crc != model_content_crc(content))
        fail(swarm, "#%u: told %llu bytes, CRC %08x", flight->number,
            (unsigned long long)result->size, result->crc);
    if (is_memory && flight->call->upload.request.ack != ACK_MEMORY)
        fail(swarm, "#%u: asked for local, told memory", flight->number);
    struct fid again;
    char text[FID_TEXT_MAX];
    size_t size = fid_format(&result->fid, text);
    if (err_is(fid_parse(span_of(text, size), &again)))
        fail(swarm, "#%u: id %s can't be parsed", flight->number, text);
    if (!is_memory)
        store_model_durable(&swarm->model, result->fid.stream, flight->began);
    (void)store_model_uploaded(&swarm->model, &again, flight->upload->content,
        flight->upload->is_mutable, is_memory, flight->upload->metadata_size);
    model_content_unref(flight->upload->content);
    sim_free(flight->upload);
    flight->upload = NULL;
    sim_world_note(swarm->world, "#%u told: uploaded %llx %s", flight->number,
        (unsigned long long)result->fid.identity.clock, text);
}

static void change_told(struct swarm *swarm, struct flight *flight)
{
    const struct file_result *result = store_call_result(flight->call);
    bool is_modify = flight->call->kind == CALL_MODIFY;
    if (flight->expects_refusal)
        fail(swarm, "#%u: a bad change was acknowledged", flight->number);
    if (is_modify || result->existed)
        store_model_durable(&swarm->model, flight->file->fid.stream, flight->began);
    bool is_possible = store_model_acknowledged(&swarm->model, flight->file, flight->change,
        result->existed, result->version.counter, result->size);
    flight->change = NULL;
    if (!is_possible)
        fail(swarm, "#%u: %s of %llx told version %llu, %llu bytes, existed %u", flight->number,
            kind_name(flight), clock_of(flight), (unsigned long long)result->version.counter,
            (unsigned long long)result->size, result->existed);
    const struct model_content *content = flight->file->current.content;
    if (is_modify && is_possible && result->crc != model_content_crc(content))
        fail(swarm, "#%u: modify of %llx told a wrong CRC", flight->number, clock_of(flight));
    sim_world_note(swarm->world, "#%u told: version %llu, %llu bytes", flight->number,
        (unsigned long long)result->version.counter, (unsigned long long)result->size);
}

static struct flight *flight_of(struct swarm *swarm, const struct store_call *call)
{
    for (unsigned i = 0; i < IN_FLIGHT_MAX; i++)
        if (swarm->flights[i].call == call)
            return &swarm->flights[i];
    UNREACHABLE("a call that is not in flight");
}

static void on_result(struct store_call *call)
{
    struct swarm *swarm = call->context;
    struct flight *flight = flight_of(swarm, call);
    if (call->kind == CALL_UPLOAD)
        upload_told(swarm, flight);
    else if (flight->change)
        change_told(swarm, flight);
}

static bool range_matches(
    const struct store_call *call, const struct model_state *state, uint64_t offset, uint64_t size)
{
    if (!state->content || state->version != call->version.counter
        || state->content->size != call->found_total || offset > state->content->size)
        return false;
    uint64_t left = state->content->size - offset;
    uint64_t want = size == 0 || size > left ? left : size;
    return call->found_size == want
           && model_content_matches(state->content, offset, span_of(call->found, (size_t)want));
}

static bool read_matches(const struct store_call *call, const struct model_state *state)
{
    uint64_t if_version = call->kind == CALL_FIND ? call->find.if_version.counter : 0;
    uint64_t offset = call->kind == CALL_FIND ? call->find.offset : 0;
    switch (call->err.code) {
    case ERR_CODE_OK:
        if (if_version && if_version != state->version)
            return false;
        if (call->kind == CALL_FIND)
            return range_matches(call, state, offset, call->find.size);
        return state->content && state->version == call->version.counter
               && state->content->size == call->found_total;
    case ERR_CODE_NOT_FOUND:
        return !state->content;
    case ERR_CODE_CONFLICT:
        return state->content && if_version && if_version != state->version;
    case ERR_CODE_RANGE:
        return state->content && offset > state->content->size;
    default:
        return false;
    }
}

static bool is_passing_error(const struct swarm *swarm, err_t err)
{
    switch (err.code) {
    case ERR_CODE_BUSY:
        return swarm->has_stepped || swarm->has_fault;
    case ERR_CODE_NO_SPACE:
        return swarm->is_small || swarm->has_fault;
    case ERR_CODE_OFFLINE:
    case ERR_CODE_OUTCOME_UNKNOWN:
        return swarm->lab.fences > 0;
    case ERR_CODE_IO:
    case ERR_CODE_NO_RESOURCE:
    case ERR_CODE_DENIED:
        return swarm->has_fault;
    default:
        return false;
    }
}

static void read_done(struct swarm *swarm, struct flight *flight)
{
    const struct store_call *call = flight->call;
    bool is_away = call->store != store_lab_owner(&swarm->lab, &flight->file->fid);
    bool is_answer = !is_passing_error(swarm, call->err)
                     && !(is_away && err_has(call->err, ERR_CODE_UNAVAILABLE));
    struct model_candidates candidates;
    model_candidates_get(flight->file, flight->began, &candidates);
    bool matches = !is_answer;
    for (unsigned i = 0; i < candidates.count && !matches; i++)
        matches = read_matches(call, &candidates.states[i]);
    bool has_changed = candidates.count > 1;
    if (!matches && has_changed && call->kind == CALL_FIND && call->is_told
        && err_has(call->err, ERR_CODE_CONFLICT))
        matches = true; /* changed under a download */
    model_candidates_free(&candidates);
    if (!matches && flight->began >= flight->file->history_lost)
        fail(swarm, "#%u: %s of %llx ended with %s, version %llu, %zu of %llu bytes (%s:%d)",
            flight->number, kind_name(flight), clock_of(flight), err_name(call->err.code),
            (unsigned long long)call->version.counter, call->found_size,
            (unsigned long long)call->found_total, call->err.site ? call->err.site->file : "",
            call->err.site ? call->err.site->line : 0);
    if (!err_is(call->err) && call->metadata_size != flight->file->metadata_size)
        fail(swarm, "#%u: %s of %llx: %zu bytes of metadata, had %zu", flight->number,
            kind_name(flight), clock_of(flight), call->metadata_size, flight->file->metadata_size);
}

/* Must the change be refused with this error, on a state that the file may have had? */
static bool is_refusal(const struct flight *flight, const struct model_state *state, err_t err)
{
    const struct model_change *change = flight->change;
    switch (err.code) {
    case ERR_CODE_NOT_FOUND:
        return !state->content && change->kind == MODEL_MODIFY;
    case ERR_CODE_IMMUTABLE:
        return state->content && !flight->file->is_mutable;
    case ERR_CODE_CONFLICT:
        return state->content && change->if_version && change->if_version != state->version;
    case ERR_CODE_RANGE:
        return state->content && change->mode == MODIFY_WRITE
               && change->offset > state->content->size;
    default:
        return false;
    }
}

static bool is_bad_input_error(const struct flight *flight, err_t err)
{
    return flight->expects_refusal
           && (err_has(err, ERR_CODE_CLOSED) || err_has(err, ERR_CODE_CORRUPT)
               || err_has(err, ERR_CODE_PROTOCOL));
}

static void change_done(struct swarm *swarm, struct flight *flight)
{
    struct store_call *call = flight->call;
    if (!err_is(call->err))
        return; /* told */
    if (!flight->change) {
        fail(swarm, "#%u: %s was told and then failed with %s", flight->number, kind_name(flight),
            err_name(call->err.code));
        return;
    }
    bool is_fine = is_passing_error(swarm, call->err) || is_bad_input_error(flight, call->err);
    struct model_candidates candidates;
    model_candidates_get(flight->file, flight->began, &candidates);
    for (unsigned i = 0; i < candidates.count && !is_fine; i++)
        is_fine = is_refusal(flight, &candidates.states[i], call->err);
    model_candidates_free(&candidates);
    if (!is_fine)
        fail(swarm, "#%u: %s of %llx ended with %s (%s:%d)", flight->number, kind_name(flight),
            clock_of(flight), err_name(call->err.code), call->err.site ? call->err.site->file : "",
            call->err.site ? call->err.site->line : 0);
    if (err_has(call->err, ERR_CODE_OUTCOME_UNKNOWN))
        flight->change = NULL; /* stays pending */
    else
        store_model_refused(flight->change);
    flight->change = NULL;
}

static void upload_forget(struct flight *flight)
{
    model_content_unref(flight->upload->content);
    sim_free(flight->upload);
    flight->upload = NULL;
}

static void upload_done(struct swarm *swarm, struct flight *flight)
{
    struct store_call *call = flight->call;
    see_clock(swarm, flight);
    if (!flight->upload)
        return; /* told */
    if (!err_is(call->err))
        fail(swarm, "#%u: upload ended well and was not told", flight->number);
    else if (!is_passing_error(swarm, call->err) && !is_bad_input_error(flight, call->err))
        fail(swarm, "#%u: upload ended with %s (%s:%d)", flight->number, err_name(call->err.code),
            call->err.site ? call->err.site->file : "", call->err.site ? call->err.site->line : 0);
    if (err_has(call->err, ERR_CODE_OUTCOME_UNKNOWN)) {
        list_push_back(&swarm->model.uploads, &flight->upload->link);
        flight->upload = NULL;
    } else {
        upload_forget(flight);
    }
}

static void see_done(struct swarm *swarm, struct flight *flight)
{
    sim_world_note(swarm->world, "#%u %s over: %s", flight->number, kind_name(flight),
        err_name(flight->call->err.code));
    if (flight->call->kind == CALL_UPLOAD)
        upload_done(swarm, flight);
    else if (flight->call->kind == CALL_FIND || flight->call->kind == CALL_STAT)
        read_done(swarm, flight);
    else
        change_done(swarm, flight);
    store_call_free(flight->call);
    flight->call = NULL;
}

/* The process died: what was in flight may have happened. */
static void see_death(struct swarm *swarm)
{
    for (unsigned i = 0; i < IN_FLIGHT_MAX; i++) {
        struct flight *flight = &swarm->flights[i];
        if (!flight->call)
            continue;
        if (flight->upload) {
            see_clock(swarm, flight);
            if (flight->is_clock_seen)
                list_push_back(&swarm->model.uploads, &flight->upload->link);
            else
                upload_forget(flight);
        }
        store_call_free(flight->call);
        *flight = (struct flight){0};
    }
    if (swarm->has_lost_names)
        sim_node_power_loss(swarm->lab.node);
    store_lab_bury(&swarm->lab);
    swarm->result->crashes++;
}

/* ---- a life of the process ---- */

static bool is_directory(const char *path)
{
    const char *name = strrchr(path, '/') + 1;
    return strlen(name) <= strlen("singles") && !strchr(name, '.');
}

static void see_disk_op(void *context, const struct sim_disk_event *event)
{
    struct swarm *swarm = context;
    if (event->kind == IO_SYNC && event->result < 0 && is_directory(event->path))
        swarm->has_lost_names = true;
}

static bool something_happened(void *context)
{
    const struct swarm *swarm = context;
    if (!store_lab_is_up(&swarm->lab))
        return true;
    for (unsigned i = 0; i < IN_FLIGHT_MAX; i++)
        if (swarm->flights[i].call && swarm->flights[i].call->is_done)
            return true;
    return false;
}

static unsigned flights_count(const struct swarm *swarm)
{
    unsigned count = 0;
    for (unsigned i = 0; i < IN_FLIGHT_MAX; i++)
        count += swarm->flights[i].call != NULL;
    return count;
}

static void describe_hang(struct swarm *swarm)
{
    char text[400];
    store_lab_describe(&swarm->lab, text, sizeof text);
    fail(swarm, "hangs:%s", text);
}

static void walk(struct swarm *swarm, const char *when)
{
    struct store_walk walk;
    if (!store_walk(&walk, &swarm->lab, &swarm->model, swarm->has_fault))
        fail(swarm, "%s: %s", when, walk.failure);
}

static void clear_faults(struct swarm *swarm)
{
    *sim_mount_faults(swarm->lab.node, STORE_LAB_PATH) = (struct sim_disk_faults){0};
    *sim_node_refusal(swarm->lab.node) = (struct sim_refusal){0};
    sim_node_fd_limit(swarm->lab.node, 1024);
    for (unsigned i = 0; i < STORE_LAB_LOOPS_MAX; i++)
        if (swarm->lab.io[i])
            swarm->lab.io[i]->ledger.refusal = (struct refusal){0};
}

/* Turn the world until an operation ends; false: the process died, or hangs. */
static bool wait_for_one(struct swarm *swarm)
{
    uint64_t patience_ns = swarm->has_large ? PATIENCE_LARGE_NS : PATIENCE_NS;
    bool happened = sim_world_run_until(swarm->world, something_happened, swarm, patience_ns);
    if (!happened && swarm->has_fault) { /* what waits for a fault to pass goes on then */
        clear_faults(swarm);
        happened = sim_world_run_until(swarm->world, something_happened, swarm, patience_ns);
    }
    if (!happened) {
        describe_hang(swarm);
        return false;
    }
    if (!store_lab_is_up(&swarm->lab))
        return false;
    for (unsigned i = 0; i < IN_FLIGHT_MAX; i++)
        if (swarm->flights[i].call && swarm->flights[i].call->is_done)
            see_done(swarm, &swarm->flights[i]);
    if (flights_count(swarm) == 0 && swarm->lab.fences == 0 && swarm->walks_often)
        walk(swarm, "between operations");
    return !has_failed(swarm);
}

static bool wait_for_all(struct swarm *swarm)
{
    while (flights_count(swarm) > 0)
        if (!wait_for_one(swarm))
            return false;
    return store_lab_is_up(&swarm->lab);
}

static void switch_fault_on(struct swarm *swarm)
{
    struct sim_disk_faults *faults = sim_mount_faults(swarm->lab.node, STORE_LAB_PATH);
    uint32_t rate = chance(swarm, 50) ? 3000 : 60000;
    swarm->has_fault = true;
    sim_world_note(swarm->world, "fault %d", (int)swarm->fault);
    switch (swarm->fault) {
    case SWARM_FAULT_WRITE:
        faults->write_error_per_million = rate;
        break;
    case SWARM_FAULT_READ:
        faults->read_error_per_million = rate;
        break;
    case SWARM_FAULT_SYNC:
        faults->sync_error_per_million = rate;
        break;
    case SWARM_FAULT_FULL:
        faults->is_full = true;
        break;
    case SWARM_FAULT_DESCRIPTORS:
        sim_node_fd_limit(
            swarm->lab.node, sim_node_fd_count(swarm->lab.node) + (unsigned)below(swarm, 4));
        break;
    case SWARM_FAULT_REFUSAL:
        *sim_node_refusal(swarm->lab.node) =
            (struct sim_refusal){.countdown = 1 + below(swarm, 60), .for_ever = chance(swarm, 20)};
        break;
    case SWARM_FAULT_HELD:
        swarm->lab.io[0]->ledger.refusal =
            (struct refusal){.countdown = 1 + below(swarm, 300), .for_ever = chance(swarm, 20)};
        break;
    default:
        swarm->has_fault = false;
    }
}

static void step_clock(struct swarm *swarm)
{
    static const int64_t steps[] = {-3600, -100, -1, 1, 100, 100000};
    int64_t by = steps[below(swarm, ARRAY_LEN(steps))];
    sim_world_note(swarm->world, "the wall clock jumps by %lld s", (long long)by);
    sim_node_clock_set(swarm->lab.node, by * 1000000000, 0);
    swarm->has_stepped |= by > 0;
}

/* Returns false when the process died. Operations may still be in flight otherwise. */
static bool live(struct swarm *swarm, unsigned operations)
{
    unsigned fault_at = UINT32_MAX, fault_end = UINT32_MAX;
    if (swarm->fault != SWARM_FAULT_NONE && chance(swarm, 60)) {
        fault_at = (unsigned)below(swarm, operations);
        fault_end = fault_at + 1 + (unsigned)below(swarm, operations);
    }
    for (unsigned begun = 0; begun < operations && swarm->lab.fences == 0;) {
        if (begun == fault_at)
            switch_fault_on(swarm);
        if (begun == fault_end)
            clear_faults(swarm);
        if (chance(swarm, 2))
            step_clock(swarm);
        unsigned at = 0;
        while (at < swarm->in_flight_max && swarm->flights[at].call)
            at++;
        if (at < swarm->in_flight_max) {
            begin_any(swarm, &swarm->flights[at]);
            begun++;
            if (chance(swarm, 30))
                sim_world_run_for(swarm->world, below(swarm, 2000000));
        } else if (!wait_for_one(swarm)) {
            return false;
        }
        if (!store_lab_is_up(&swarm->lab) || has_failed(swarm))
            return false;
    }
    return true;
}

static err_t read_from(
    struct swarm *swarm, const struct model_file *file, uint64_t offset, struct store_call **ret)
{
    struct store_call *call = store_call_new(swarm->world, CALL_FIND, 1);
    call->find.fid = file->fid;
    call->find.offset = offset;
    *ret = call;
    return store_call_run(call, &swarm->lab, store_lab_owner(&swarm->lab, &file->fid))
               ? call->err
               : ERR(INTERRUPTED, 0);
}

/* Of a large file most of the time only what changes reach is read. */
static err_t read_file(struct swarm *swarm, const struct model_file *file, struct store_call **ret)
{
    if (!is_large(file) || chance(swarm, 10))
        return read_from(swarm, file, 0, ret);
    err_t err = read_from(swarm, file, LARGE_SIZE - 2 * LARGE_TAIL, ret);
    if (!err_has(err, ERR_CODE_RANGE))
        return err;
    store_call_free(*ret);
    return read_from(swarm, file, 0, ret);
}

/* Every file is read whole, and is one of what it may be; from here on it is that. */
static bool settle(struct swarm *swarm)
{
    LIST_EACH (node, &swarm->model.files) {
        struct model_file *file = CONTAINER_OF(node, struct model_file, link);
        struct store_call *call;
        err_t err = read_file(swarm, file, &call);
        if (err_has(err, ERR_CODE_INTERRUPTED)) {
            store_call_free(call);
            return false;
        }
        struct model_candidates candidates;
        model_candidates_after_crash(file, &candidates);
        unsigned at = 0;
        while (at < candidates.count && !read_matches(call, &candidates.states[at]))
            at++;
        if (at < candidates.count)
            store_model_settle(file, &candidates.states[at]);
        else
            fail(swarm,
                "after a restart %llx gives %s, version %llu, %zu bytes; %u states are possible, "
                "the newest version %llu, %llu bytes%s",
                (unsigned long long)file->fid.identity.clock, err_name(err.code),
                (unsigned long long)call->version.counter, call->found_size, candidates.count,
                (unsigned long long)file->current.version,
                file->current.content ? (unsigned long long)file->current.content->size : 0,
                file->current.content ? "" : " (deleted)");
        model_candidates_free(&candidates);
        store_call_free(call);
        if (has_failed(swarm))
            return false;
    }
    return true;
}

static void forget_uploads(struct swarm *swarm)
{
    for (struct list *node; (node = list_pop_front(&swarm->model.uploads));) {
        struct model_upload *upload = CONTAINER_OF(node, struct model_upload, link);
        model_content_unref(upload->content);
        sim_free(upload);
    }
}

static void arm_crash(struct swarm *swarm, uint64_t within)
{
    enum sim_crash how = chance(swarm, 50) ? SIM_CRASH_KILL : SIM_CRASH_POWER;
    sim_world_crash_at(swarm->world, swarm->lab.node, 1 + below(swarm, within), how);
}

static void disarm_crash(struct swarm *swarm)
{
    sim_world_crash_at(swarm->world, swarm->lab.node, 0, SIM_CRASH_NONE);
}

/* Boots until it succeeds; the first attempts may be crashed. */
static void boot(struct swarm *swarm)
{
    clear_faults(swarm);
    swarm->has_lost_names = false;
    for (unsigned attempt = 0;; attempt++) {
        bool may_crash = attempt < 3 && chance(swarm, 30);
        if (may_crash)
            arm_crash(swarm, 120);
        err_t err = store_lab_boot(&swarm->lab);
        swarm->result->boots++;
        swarm->has_fault = false;
        disarm_crash(swarm);
        if (!err_is(err) && !may_crash)
            return;
        if (!err_is(err)) { /* the second time must find the same */
            store_lab_kill(&swarm->lab, chance(swarm, 50));
            continue;
        }
        if (!may_crash) {
            fail(swarm, "recovery failed with %s (%s:%d)", err_name(err.code),
                err.site ? err.site->file : "", err.site ? err.site->line : 0);
            return;
        }
    }
}

/* What is there after a restart, is compared with what may be. */
static void look_around(struct swarm *swarm)
{
    if (settle(swarm))
        walk(swarm, "after a restart");
    forget_uploads(swarm);
}

static void end_in_order(struct swarm *swarm)
{
    if (!store_lab_close(&swarm->lab))
        swarm->result->crashes++;
}

static void end_life(struct swarm *swarm)
{
    bool is_alive = wait_for_all(swarm);
    if (has_failed(swarm))
        return;
    if (!is_alive) {
        see_death(swarm);
        return;
    }
    clear_faults(swarm);
    swarm->result->fences += swarm->lab.fences > 0;
    disarm_crash(swarm);
    if (swarm->lab.fences == 0 && !swarm->has_fault && chance(swarm, 50)) {
        for (unsigned i = 0; i < IN_FLIGHT_MAX; i++)
            CHECK(!swarm->flights[i].call);
        if (settle(swarm))
            walk(swarm, "at rest");
        if (has_failed(swarm))
            return;
    }
    /* A file system that could not sync a directory is not gone on with: journals end there. The
     * machine is restarted, and what is on disk is what counts. */
    if (swarm->has_lost_names) {
        store_lab_kill(&swarm->lab, true);
        return;
    }
    switch (below(swarm, 4)) {
    case 0:
        arm_crash(swarm, 40);
        end_in_order(swarm);
        disarm_crash(swarm);
        break;
    case 1:
        store_lab_kill(&swarm->lab, chance(swarm, 50));
        break;
    default:
        end_in_order(swarm);
    }
}

static void run(struct swarm *swarm)
{
    unsigned lives = 1 + (unsigned)below(swarm, 4);
    for (unsigned life = 0; life < lives && !has_failed(swarm); life++) {
        boot(swarm);
        if (has_failed(swarm))
            return;
        look_around(swarm);
        if (has_failed(swarm))
            return;
        if (chance(swarm, swarm->fault == SWARM_FAULT_NONE ? 70 : 35))
            arm_crash(swarm, chance(swarm, 50) ? 100 : 600);
        bool is_alive = live(swarm, 15 + (unsigned)below(swarm, 70));
        if (has_failed(swarm))
            return;
        if (is_alive)
            end_life(swarm);
        else
            see_death(swarm);
    }
    if (has_failed(swarm))
        return;
    clear_faults(swarm);
    boot(swarm);
    if (!has_failed(swarm))
        look_around(swarm);
    if (has_failed(swarm))
        return;
    end_in_order(swarm);
    boot(swarm);
    if (!has_failed(swarm))
        look_around(swarm);
    if (!has_failed(swarm))
        end_in_order(swarm);
}

void store_swarm_run(const struct store_swarm_options *options, struct store_swarm_result *ret)
{
    *ret = (struct store_swarm_result){0};
    struct swarm *swarm = SIM_NEW(struct swarm);
    swarm->options = options;
    swarm->result = ret;
    swarm->has_large = options->has_large || options->seed % STORE_SWARM_LARGE == 0;
    swarm->world = sim_world_new(options->seed);
    sim_world_trace_to(swarm->world, options->trace);
    prng_init(&swarm->prng, options->seed ^ UINT64_C(0x73776172));
    memset(swarm->metadata, 'm', sizeof swarm->metadata);
    store_model_init(&swarm->model);
    struct store_lab_options lab;
    draw_options(swarm, &lab);
    lab.disk.ignores_sync_of = options->ignores_sync_of;
    store_lab_init(&swarm->lab, swarm->world, &lab);
    sim_world_observe(
        swarm->world, &(struct sim_observer){.context = swarm, .disk_op = see_disk_op});
    run(swarm);
    ret->hash = sim_world_hash(swarm->world);
    ret->io_count = sim_world_op_count(swarm->world);
    if (swarm->lab.io[0]) {
        sim_node_kill(swarm->lab.node);
        store_lab_bury(&swarm->lab);
    }
    for (unsigned i = 0; i < IN_FLIGHT_MAX; i++) {
        if (swarm->flights[i].upload)
            upload_forget(&swarm->flights[i]);
        if (swarm->flights[i].call)
            store_call_free(swarm->flights[i].call);
    }
    store_model_free(&swarm->model);
    sim_world_free(swarm->world);
    sim_free(swarm);
}
