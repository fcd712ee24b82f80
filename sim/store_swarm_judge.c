/* Answers are compared with what the model allows. */
#include "sim/mem.h"
#include "sim/store_swarm_parts.h"

static void see_clock(struct swarm *swarm, struct flight *flight)
{
    struct upload *upload = &flight->call->upload;
    if (flight->is_clock_seen || upload->header.identity.clock == 0)
        return;
    flight->is_clock_seen = true;
    flight->upload->identity = upload->header.identity;
    flight->upload->stream = upload->stream ? upload->stream->options.stream : 0;
    if (!store_model_take_clock(&swarm->model, upload->header.identity.clock))
        swarm_fail(swarm, "#%u: clock %llx was given out twice", flight->number,
            (unsigned long long)upload->header.identity.clock);
}

static void upload_told(struct swarm *swarm, struct flight *flight)
{
    const struct file_result *result = &flight->call->upload.result;
    const struct model_content *content = flight->upload->content;
    see_clock(swarm, flight);
    bool is_memory = result->ack == ACK_MEMORY && !swarm->options->acknowledges_early;
    if (flight->expects_refusal)
        swarm_fail(swarm, "#%u: a bad upload was acknowledged", flight->number);
    if (result->size != content->size || result->crc != model_content_crc(content))
        swarm_fail(swarm, "#%u: told %llu bytes, CRC %08x", flight->number,
            (unsigned long long)result->size, result->crc);
    if (is_memory && flight->call->upload.request.ack != ACK_MEMORY)
        swarm_fail(swarm, "#%u: asked for local, told memory", flight->number);
    struct fid again;
    char text[FID_TEXT_MAX];
    size_t size = fid_format(&result->fid, text);
    if (err_is(fid_parse(span_of(text, size), &again)))
        swarm_fail(swarm, "#%u: id %s can't be parsed", flight->number, text);
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
        swarm_fail(swarm, "#%u: a bad change was acknowledged", flight->number);
    if (is_modify || result->existed)
        store_model_durable(&swarm->model, flight->file->fid.stream, flight->began);
    bool is_possible = store_model_acknowledged(&swarm->model, flight->file, flight->change,
        result->existed, result->version.counter, result->size);
    flight->change = NULL;
    if (!is_possible)
        swarm_fail(swarm, "#%u: %s of %llx told version %llu, %llu bytes, existed %u",
            flight->number, flight_kind_name(flight), flight_clock(flight),
            (unsigned long long)result->version.counter, (unsigned long long)result->size,
            result->existed);
    const struct model_content *content = flight->file->current.content;
    if (is_modify && is_possible && result->crc != model_content_crc(content))
        swarm_fail(
            swarm, "#%u: modify of %llx told a wrong CRC", flight->number, flight_clock(flight));
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

void swarm_see_result(struct store_call *call)
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

bool swarm_read_matches(const struct store_call *call, const struct model_state *state)
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
        matches = swarm_read_matches(call, &candidates.states[i]);
    bool has_changed = candidates.count > 1;
    if (!matches && has_changed && call->kind == CALL_FIND && call->is_told
        && err_has(call->err, ERR_CODE_CONFLICT))
        matches = true; /* changed under a download */
    model_candidates_free(&candidates);
    if (!matches && flight->began >= flight->file->history_lost)
        swarm_fail(swarm, "#%u: %s of %llx ended with %s, version %llu, %zu of %llu bytes (%s:%d)",
            flight->number, flight_kind_name(flight), flight_clock(flight),
            err_name(call->err.code), (unsigned long long)call->version.counter, call->found_size,
            (unsigned long long)call->found_total, call->err.site ? call->err.site->file : "",
            call->err.site ? call->err.site->line : 0);
    if (!err_is(call->err) && call->metadata_size != flight->file->metadata_size)
        swarm_fail(swarm, "#%u: %s of %llx: %zu bytes of metadata, had %zu", flight->number,
            flight_kind_name(flight), flight_clock(flight), call->metadata_size,
            flight->file->metadata_size);
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
        swarm_fail(swarm, "#%u: %s was told and then failed with %s", flight->number,
            flight_kind_name(flight), err_name(call->err.code));
        return;
    }
    bool is_fine = is_passing_error(swarm, call->err) || is_bad_input_error(flight, call->err);
    struct model_candidates candidates;
    model_candidates_get(flight->file, flight->began, &candidates);
    for (unsigned i = 0; i < candidates.count && !is_fine; i++)
        is_fine = is_refusal(flight, &candidates.states[i], call->err);
    model_candidates_free(&candidates);
    if (!is_fine)
        swarm_fail(swarm, "#%u: %s of %llx ended with %s (%s:%d)", flight->number,
            flight_kind_name(flight), flight_clock(flight), err_name(call->err.code),
            call->err.site ? call->err.site->file : "", call->err.site ? call->err.site->line : 0);
    if (err_has(call->err, ERR_CODE_OUTCOME_UNKNOWN))
        flight->change = NULL; /* stays pending */
    else
        store_model_refused(flight->change);
    flight->change = NULL;
}

void flight_forget_upload(struct flight *flight)
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
        swarm_fail(swarm, "#%u: upload ended well and was not told", flight->number);
    else if (!is_passing_error(swarm, call->err) && !is_bad_input_error(flight, call->err))
        swarm_fail(swarm, "#%u: upload ended with %s (%s:%d)", flight->number,
            err_name(call->err.code), call->err.site ? call->err.site->file : "",
            call->err.site ? call->err.site->line : 0);
    if (err_has(call->err, ERR_CODE_OUTCOME_UNKNOWN)) {
        list_push_back(&swarm->model.uploads, &flight->upload->link);
        flight->upload = NULL;
    } else {
        flight_forget_upload(flight);
    }
}

void swarm_see_done(struct swarm *swarm, struct flight *flight)
{
    sim_world_note(swarm->world, "#%u %s over: %s", flight->number, flight_kind_name(flight),
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
void swarm_see_death(struct swarm *swarm)
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
                flight_forget_upload(flight);
        }
        store_call_free(flight->call);
        *flight = (struct flight){0};
    }
    if (swarm->has_lost_names)
        sim_node_power_loss(swarm->lab.node);
    store_lab_bury(&swarm->lab);
    swarm->result->crashes++;
}
