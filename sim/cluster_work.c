#include "sim/cluster_work.h"

#include <stdarg.h>

#include "base/crc.h"
#include "base/units.h"
#include "sim/mem.h"

enum { FILES_SEEN_MAX = 64 };

static uint64_t below(struct cluster_work *work, uint64_t n)
{
    return prng_below(work->prng, n);
}

static bool chance(struct cluster_work *work, unsigned percent)
{
    return below(work, 100) < percent;
}

__attribute__((format(printf, 2, 3))) static void fail(
    struct cluster_work *work, const char *format, ...)
{
    if (work->failure[0])
        return;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(work->failure, sizeof work->failure, format, arguments);
    va_end(arguments);
    sim_world_note(work->cluster->world, "FAILED: %s", work->failure);
}

/* ---- what is drawn ---- */

static const struct cluster_shape *any_shape(struct cluster_work *work)
{
    const struct cluster_options *options = &work->cluster->options;
    return &options->shapes[below(work, options->storages)];
}

/* Sizes around every edge that there is, and small ones most of the time. */
static uint32_t draw_size(struct cluster_work *work)
{
    const struct cluster_shape *shape = any_shape(work);
    uint32_t most = work->cluster->options.contents_max;
    uint32_t edges[] = {
        0, 1, shape->inline_max, shape->single_min, 4096, 65536, shape->chunk_size / 2};
    uint32_t size;
    switch (below(work, 8)) {
    case 0:
        size = edges[below(work, ARRAY_LEN(edges))] + (uint32_t)below(work, 3);
        size = size > 0 ? size - 1 : 0;
        break;
    case 1:
        size = (uint32_t)below(work, most);
        break;
    case 2:
    case 3:
        size = (uint32_t)below(work, shape->single_min);
        break;
    default:
        size = (uint32_t)below(work, 600);
    }
    return size <= most ? size : most;
}

static struct model_content *draw_content(struct cluster_work *work, uint32_t size)
{
    struct model_content *content = model_content_new(NULL, size);
    uint64_t mark = prng_next(work->prng);
    for (uint32_t i = 0; i < size; i += 8, mark = mark * UINT64_C(6364136223846793005) + 99)
        memcpy(content->data + i, &mark, size - i < 8 ? size - i : 8);
    return content;
}

/* The same few again and again, so that operations meet. */
static struct cluster_file *draw_file(struct cluster_work *work, bool is_for_change)
{
    struct cluster_file *files[FILES_SEEN_MAX];
    unsigned count = 0;
    for (struct list *node = work->model->files.prev; node != &work->model->files;
         node = node->prev) {
        struct cluster_file *file = CONTAINER_OF(node, struct cluster_file, link);
        if (is_for_change && file->open_changes >= CLUSTER_OPEN_CHANGES_MAX)
            continue;
        files[count++] = file;
        if (count == FILES_SEEN_MAX)
            break;
    }
    if (count == 0)
        return NULL;
    return files[below(work, count > 3 && chance(work, 40) ? 3 : count)];
}

static uint32_t draw_machine(struct cluster_work *work, const struct cluster_file *file)
{
    if (!work->skills.has_mirrors)
        return file ? file->fid.identity.origin : 0;
    if (chance(work, 50))
        return 0;
    return 1 + (uint32_t)below(work, work->cluster->options.storages);
}

static uint8_t draw_ack(struct cluster_work *work)
{
    if (chance(work, 20))
        return ACK_MEMORY;
    if (!work->skills.has_levels || work->cluster->options.storages == 1 || chance(work, 75))
        return ACK_LOCAL;
    return chance(work, 50) ? ACK_ONE : ACK_ALL;
}

static const struct cluster_version *newest_version(const struct cluster_file *file)
{
    const struct cluster_version *newest = NULL;
    LIST_EACH (node, &file->versions) {
        const struct cluster_version *it = CONTAINER_OF(node, struct cluster_version, link);
        if (!newest || version_compare(it->version, newest->version) > 0)
            newest = it;
    }
    return newest;
}

static uint64_t newest_size(const struct cluster_file *file)
{
    const struct cluster_version *newest = newest_version(file);
    return newest ? newest->content->size : 100;
}

/* Of the newest version, mostly. */
static struct version draw_if_version(struct cluster_work *work, const struct cluster_file *file)
{
    const struct cluster_version *newest = newest_version(file);
    if (!newest || !chance(work, 15))
        return (struct version){0};
    struct version version = newest->version;
    version.counter += chance(work, 20) ? 1 : 0;
    return version;
}

/* ---- beginning ---- */

static void set_body(
    struct cluster_work *work, struct cluster_call *call, const struct model_content *body)
{
    static const uint32_t pieces[] = {0, 0, 700, 5000, 20000};
    call->body = model_content_ref((struct model_content *)(uintptr_t)body);
    call->piece_max = pieces[below(work, ARRAY_LEN(pieces))];
    if (call->piece_max > 0 && body->size / call->piece_max > 30)
        call->piece_max = 0;
    call->late_per_million = chance(work, 30) ? 300000 : 0;
    call->late_ns = 3 * NS_PER_MS;
}

static void launch(struct cluster_work *work, struct cluster_flight *flight)
{
    flight->number = ++work->number;
    work->operations++;
    cluster_answer_begin(work->model, flight->file, &flight->answer);
    cluster_call_start(flight->call, flight->client, flight->machine);
}

static struct cluster_call *call_new(
    struct cluster_work *work, struct cluster_flight *flight, uint8_t type)
{
    flight->call = cluster_call_new(work->cluster, type, prng_next(work->prng));
    if (flight->file)
        memcpy(flight->call->id, flight->file->id, sizeof flight->call->id);
    return flight->call;
}

static void start_upload(
    struct cluster_work *work, struct cluster_flight *flight, const struct nonce *nonce)
{
    static const uint8_t text[] = "image/png";
    struct cluster_change *change = flight->change;
    struct cluster_call *call = call_new(work, flight, MSG_UPLOAD);
    set_body(work, call, change->body);
    call->op.request.upload = (struct msg_upload){.ack = change->ack,
        .nonce = nonce ? *nonce : (struct nonce){{0}},
        .is_mutable = flight->is_mutable,
        .size_known = nonce || chance(work, 50),
        .size = change->body->size,
        .slack = chance(work, 50) ? (uint32_t)below(work, 60)
                                  : SLACK_IS_BYTES | (uint32_t)below(work, 3000),
        .suffix = chance(work, 50) ? span_of(text + 6, 3) : span_of(NULL, 0),
        .content_type = chance(work, 30) ? span_of(text, sizeof text - 1) : span_of(NULL, 0)};
    launch(work, flight);
    sim_world_note(work->cluster->world, "#%u upload of %zu bytes, ack %u, at m%03u%s",
        flight->number, change->body->size, change->ack, flight->machine,
        nonce                ? ", again"
        : flight->is_mutable ? ", mutable"
                             : "");
}

static void begin_upload(struct cluster_work *work, struct cluster_flight *flight)
{
    struct model_content *body = draw_content(work, draw_size(work));
    flight->change = cluster_change_new(MSG_UPLOAD, body);
    model_content_unref(body);
    flight->change->ack = draw_ack(work);
    flight->is_mutable = chance(work, 80);
    flight->machine =
        chance(work, 40) ? 1 + (uint32_t)below(work, work->cluster->options.storages) : 0;
    start_upload(work, flight, NULL);
}

static void begin_find(struct cluster_work *work, struct cluster_flight *flight)
{
    struct cluster_file *file = flight->file;
    struct cluster_call *call = call_new(work, flight, MSG_FIND);
    struct msg_find *find = &call->op.request.find;
    uint64_t size = newest_size(file);
    if (chance(work, 40)) {
        find->offset = below(work, size + 2);
        find->size = below(work, size + 10);
    }
    find->if_version = chance(work, 70) ? (struct version){0} : draw_if_version(work, file);
    flight->machine = draw_machine(work, file);
    find->local_only = work->skills.has_mirrors && flight->machine > 0 && chance(work, 20);
    launch(work, flight);
    sim_world_note(work->cluster->world, "#%u find %s from %llu, %llu bytes, at m%03u%s",
        flight->number, file->id, (unsigned long long)find->offset, (unsigned long long)find->size,
        flight->machine, find->local_only ? " only" : "");
}

static void begin_stat(struct cluster_work *work, struct cluster_flight *flight)
{
    (void)call_new(work, flight, MSG_STAT);
    flight->machine = draw_machine(work, flight->file);
    launch(work, flight);
    sim_world_note(work->cluster->world, "#%u stat %s at m%03u", flight->number, flight->file->id,
        flight->machine);
}

static void start_modify(
    struct cluster_work *work, struct cluster_flight *flight, const struct nonce *nonce)
{
    static const char *const modes[] = {"", "replace", "write", "append", "truncate"};
    const struct cluster_change *change = flight->change;
    struct cluster_call *call = call_new(work, flight, MSG_MODIFY);
    bool has_body = change->mode != MODIFY_TRUNCATE;
    call->op.request.modify = (struct msg_modify){.mode = change->mode,
        .nonce = nonce ? *nonce : (struct nonce){{0}},
        .ack = change->ack,
        .offset = change->offset,
        .if_version = change->if_version,
        .size_known = has_body && chance(work, 50),
        .size = has_body ? change->body->size : 0};
    if (has_body)
        set_body(work, call, change->body);
    launch(work, flight);
    sim_world_note(work->cluster->world,
        "#%u modify %s: %s at %llu, %zu bytes, if %llu.%u, at m%03u%s", flight->number,
        flight->file->id, modes[change->mode], (unsigned long long)change->offset,
        change->body->size, (unsigned long long)change->if_version.counter,
        change->if_version.machine, flight->machine, nonce ? ", again" : "");
}

static void begin_modify(struct cluster_work *work, struct cluster_flight *flight)
{
    struct cluster_file *file = flight->file;
    uint64_t size = newest_size(file), offset = 0;
    uint8_t mode = (uint8_t)(1 + below(work, 4));
    uint32_t body_size = draw_size(work);
    if (mode == MODIFY_APPEND && size > work->cluster->options.contents_max)
        body_size = (uint32_t)below(work, 100);
    if (mode == MODIFY_TRUNCATE) {
        offset = chance(work, 70) ? below(work, size + 1) : draw_size(work);
        body_size = 0;
    } else if (mode == MODIFY_WRITE) {
        offset = below(work, size + 1) + (chance(work, 3) ? 1 : 0);
    }
    struct model_content *body = draw_content(work, body_size);
    struct cluster_change *change = flight->change = cluster_change_new(MSG_MODIFY, body);
    model_content_unref(body);
    change->mode = mode;
    change->offset = offset;
    change->if_version = draw_if_version(work, file);
    change->ack = draw_ack(work);
    flight->machine = draw_machine(work, file);
    cluster_file_begin(file, change);
    start_modify(work, flight, NULL);
}

static void start_delete(
    struct cluster_work *work, struct cluster_flight *flight, const struct nonce *nonce)
{
    const struct cluster_change *change = flight->change;
    struct cluster_call *call = call_new(work, flight, MSG_DELETE);
    call->op.request.delete = (struct msg_delete){.ack = change->ack,
        .nonce = nonce ? *nonce : (struct nonce){{0}},
        .if_version = change->if_version};
    launch(work, flight);
    sim_world_note(work->cluster->world, "#%u delete %s, if %llu.%u, at m%03u%s", flight->number,
        flight->file->id, (unsigned long long)change->if_version.counter,
        change->if_version.machine, flight->machine, nonce ? ", again" : "");
}

static void begin_delete(struct cluster_work *work, struct cluster_flight *flight)
{
    flight->change = cluster_change_new(MSG_DELETE, NULL);
    flight->change->if_version = draw_if_version(work, flight->file);
    flight->change->ack = draw_ack(work);
    flight->machine = draw_machine(work, flight->file);
    cluster_file_begin(flight->file, flight->change);
    start_delete(work, flight, NULL);
}

/* The outcome of an earlier change is unknown: the client asks again, with the same nonce. */
static void begin_again(struct cluster_work *work, struct cluster_flight *flight)
{
    struct cluster_unsure unsure = work->unsure[--work->unsure_count];
    flight->file = unsure.file;
    flight->change = unsure.change;
    flight->is_mutable = unsure.is_mutable;
    flight->client = unsure.client;
    unsure.change->outcome = CHANGE_PENDING;
    if (unsure.change->type == MSG_UPLOAD) {
        start_upload(work, flight, &unsure.nonce);
        return;
    }
    flight->machine = work->skills.has_mirrors ? 0 : unsure.file->fid.identity.origin;
    if (unsure.change->type == MSG_MODIFY)
        start_modify(work, flight, &unsure.nonce);
    else
        start_delete(work, flight, &unsure.nonce);
}

void cluster_work_begin(struct cluster_work *work)
{
    unsigned at = 0;
    while (at < work->width && work->flights[at].call)
        at++;
    if (at == work->width)
        return;
    struct cluster_flight *flight = &work->flights[at];
    *flight =
        (struct cluster_flight){.client = (uint8_t)below(work, work->cluster->options.clients)};
    if (work->unsure_count > 0 && chance(work, 30)) {
        begin_again(work, flight);
        return;
    }
    uint64_t draw = below(work, 100);
    flight->file = draw < 25 ? NULL : draw_file(work, draw >= 60);
    if (!flight->file)
        begin_upload(work, flight);
    else if (draw < 55)
        begin_find(work, flight);
    else if (draw < 60)
        begin_stat(work, flight);
    else if (draw < 92)
        begin_modify(work, flight);
    else
        begin_delete(work, flight);
}

/* ---- judging ---- */

/* Errors that faults may cause; without faults only a full pool may. */
static bool is_passing_error(const struct cluster_work *work, err_t err)
{
    switch (err.code) {
    case ERR_CODE_BUSY:
        return true;
    case ERR_CODE_UNAVAILABLE:
    case ERR_CODE_TIMEOUT:
    case ERR_CODE_CLOSED:
    case ERR_CODE_OFFLINE:
    case ERR_CODE_OUTCOME_UNKNOWN:
    case ERR_CODE_IO:
    case ERR_CODE_NO_SPACE:
    case ERR_CODE_NO_RESOURCE:
        return !work->faults->is_calm;
    case ERR_CODE_CORRUPT:
        return work->faults->is_damaged;
    case ERR_CODE_WRONG_NODE:
        return !work->skills.has_mirrors || !work->faults->is_calm;
    default:
        return false;
    }
}

static bool is_refusal(const struct cluster_work *work, const struct cluster_flight *flight)
{
    const struct cluster_file *file = flight->file;
    const struct cluster_change *change = flight->change;
    switch (flight->call->err.code) {
    case ERR_CODE_NOT_FOUND:
        return file != NULL;
    case ERR_CODE_CONFLICT:
        if (change)
            return !version_is_none(change->if_version) && cluster_model_may_conflict(file, change);
        return flight->call->op.type == MSG_FIND;
    case ERR_CODE_IMMUTABLE:
        return change && change->type == MSG_MODIFY && !file->is_mutable;
    case ERR_CODE_RANGE:
        return change
                   ? change->mode == MODIFY_WRITE && change->offset > 0
                   : flight->call->op.type == MSG_FIND && flight->call->op.request.find.offset > 0;
    default:
        return is_passing_error(work, flight->call->err);
    }
}

static void keep_unsure(struct cluster_work *work, const struct cluster_flight *flight)
{
    const union client_request *request = &flight->call->op.request;
    if (work->unsure_count == CLUSTER_UNSURE_MAX) {
        if (!flight->file)
            cluster_change_free(flight->change);
        return;
    }
    work->unsure[work->unsure_count++] = (struct cluster_unsure){.file = flight->file,
        .change = flight->change,
        .nonce = flight->call->op.type == MSG_UPLOAD   ? request->upload.nonce
                 : flight->call->op.type == MSG_MODIFY ? request->modify.nonce
                                                       : request->delete.nonce,
        .is_mutable = flight->is_mutable,
        .client = flight->client};
}

static void judge_failed_change(struct cluster_work *work, struct cluster_flight *flight)
{
    bool is_unknown = err_has(flight->call->err, ERR_CODE_OUTCOME_UNKNOWN);
    bool was_unsure = flight->change->may_repeat;
    if (flight->file)
        cluster_model_failed(
            flight->file, flight->change, is_unknown || was_unsure, is_unknown || was_unsure);
    else if (is_unknown)
        flight->change->outcome = CHANGE_UNKNOWN;
    else
        cluster_change_free(flight->change);
    if (is_unknown) {
        flight->change->may_repeat = true;
        keep_unsure(work, flight);
    }
}

static void judge_change(struct cluster_work *work, struct cluster_flight *flight)
{
    const union client_reply *reply = &flight->call->op.reply;
    struct cluster_model *model = work->model;
    bool is_well;
    flight->change->may_repeat |= flight->call->op.may_have_happened;
    if (!flight->file)
        is_well = cluster_model_uploaded(
                      model, &flight->answer, flight->change, &reply->uploaded, flight->is_mutable)
                  != NULL;
    else if (flight->change->type == MSG_MODIFY)
        is_well = cluster_model_modified(
            model, flight->file, flight->change, &flight->answer, &reply->modified);
    else
        is_well = cluster_model_deleted(
            model, flight->file, flight->change, &flight->answer, &reply->deleted);
    if (!is_well)
        fail(work, "#%u: %s", flight->number, model->failure);
}

static void judge_read(struct cluster_work *work, struct cluster_flight *flight)
{
    const struct cluster_call *call = flight->call;
    const struct msg_found *found = &call->op.reply.found;
    const struct msg_stated *stated = &call->op.reply.stated;
    bool is_find = call->op.type == MSG_FIND;
    struct cluster_view view = {.version = is_find ? found->version : stated->version,
        .total = is_find ? found->total : stated->size,
        .offset = is_find ? found->offset : 0,
        .size = is_find ? call->found_size : 0,
        .data = is_find ? call->found : NULL};
    work->reads++;
    if (!cluster_model_seen(work->model, flight->file, &flight->answer, &view))
        fail(work, "#%u: %s", flight->number, work->model->failure);
}

static void judge_error(struct cluster_work *work, struct cluster_flight *flight)
{
    const struct cluster_call *call = flight->call;
    if (!is_refusal(work, flight))
        fail(work, "#%u ended with %s%s: %s", flight->number, err_name(call->err.code),
            work->faults->is_calm ? ", without any fault" : "", call->op.sentence);
    bool is_missing = err_has(call->err, ERR_CODE_NOT_FOUND) && flight->file
                      && (!flight->change || !flight->change->may_repeat);
    if (is_missing && !cluster_model_not_found(work->model, flight->file, &flight->answer))
        fail(work, "#%u: %s (%s)", flight->number, work->model->failure, call->op.sentence);
    if (flight->change)
        judge_failed_change(work, flight);
}

/* Who has answered. A find without a machine may have gone from one storage to another. */
static int answering(const struct cluster_flight *flight)
{
    const struct cluster_call *call = flight->call;
    if (flight->machine > 0)
        return (int)flight->machine - 1;
    if (err_is(call->err) || call->op.type == MSG_FIND)
        return -1;
    return (int)call->op.answered_by - 1;
}

static void note_end(struct cluster_work *work, const struct cluster_flight *flight)
{
    const struct client_op *op = &flight->call->op;
    struct version version = {0};
    if (err_is(flight->call->err)) {
        sim_world_note(work->cluster->world, "#%u over: %s %s", flight->number,
            err_name(flight->call->err.code), op->sentence);
        return;
    }
    if (op->type == MSG_UPLOAD)
        version = op->reply.uploaded.version;
    else if (op->type == MSG_MODIFY)
        version = op->reply.modified.version;
    else if (op->type == MSG_FIND)
        version = op->reply.found.version;
    else if (op->type == MSG_STAT)
        version = op->reply.stated.version;
    sim_world_note(work->cluster->world, "#%u over: OK by m%03u, version %llu.%u%s", flight->number,
        op->answered_by, (unsigned long long)version.counter, version.machine,
        op->type == MSG_DELETE && !op->reply.deleted.existed ? ", was not there" : "");
}

static void judge(struct cluster_work *work, struct cluster_flight *flight)
{
    struct cluster_call *call = flight->call;
    note_end(work, flight);
    flight->answer.storage = answering(flight);
    if (err_is(call->err))
        judge_error(work, flight);
    else if (flight->change)
        judge_change(work, flight);
    else
        judge_read(work, flight);
    work->succeeded += !err_is(call->err);
    cluster_call_free(call);
    *flight = (struct cluster_flight){0};
}

unsigned cluster_work_judge(struct cluster_work *work)
{
    unsigned count = 0;
    for (unsigned i = 0; i < CLUSTER_FLIGHTS_MAX; i++) {
        if (!work->flights[i].call || !work->flights[i].call->is_done)
            continue;
        judge(work, &work->flights[i]);
        count++;
    }
    return count;
}

unsigned cluster_work_in_flight(const struct cluster_work *work)
{
    unsigned count = 0;
    for (unsigned i = 0; i < CLUSTER_FLIGHTS_MAX; i++)
        count += work->flights[i].call != NULL;
    return count;
}

void cluster_work_forget_unsure(struct cluster_work *work)
{
    for (unsigned i = 0; i < work->unsure_count; i++)
        if (!work->unsure[i].file)
            cluster_change_free(work->unsure[i].change);
    work->unsure_count = 0;
}

void cluster_work_free(struct cluster_work *work)
{
    cluster_work_forget_unsure(work);
    for (unsigned i = 0; i < CLUSTER_FLIGHTS_MAX; i++) {
        struct cluster_flight *flight = &work->flights[i];
        if (!flight->call)
            continue;
        if (!flight->file && flight->change)
            cluster_change_free(flight->change);
        cluster_call_free(flight->call);
        *flight = (struct cluster_flight){0};
    }
}
