#include "storage/push_report.h"

#include "base/units.h"
#include "storage/push.h"

/* ---- on the loop ---- */

/* What has nothing for the mirror does not count as lag. */
static uint64_t position_of(const struct push *push)
{
    bool has_all = push->state == PUSH_RUNNING && push->held_lsn == push->sent_lsn;
    return has_all ? push->read_lsn : push->held_lsn;
}

static void report(const struct push *push, struct push_report *ret)
{
    const struct push_stream *stream = push->stream;
    const struct pushes_options *options = &stream->pushes->options;
    uint64_t durable = stream->stream->log.lsn_durable, position = position_of(push);
    *ret = (struct push_report){.machine = push->machine,
        .mount = stream->stream->options.mount,
        .stream = stream->stream->options.stream,
        .state = (uint8_t)push->state,
        .is_window_open = push_window_is_open(&options->window, io_wall(options->net->io)),
        .held_lsn = push->held_lsn,
        .kept_lsn = push->kept_lsn,
        .lag_records = durable > position ? durable - position : 0,
        .records_sent = push->records_sent,
        .bytes_sent = push->bytes_sent,
        .left_out = push->left_out,
        .err_code = (int32_t)push->err.code};
    push_lag_of(&stream->lag, position, io_now(options->net->io), &ret->lag_ns, &ret->lag_bytes);
}

void pushes_report(struct pushes *pushes)
{
    pushes->report_count = 0;
    for (uint32_t i = 0; i < pushes->stream_count; i++)
        PUSH_EACH(&pushes->streams[i], push)
    if (push->is_wanted)
        report(push, &pushes->reports[pushes->report_count++]);
}

/* ---- at home ---- */

struct cursor {
    const struct storage_loop_report *reports;
    uint16_t loop_count, loop;
    uint32_t index;
};

static const struct push_report *next(struct cursor *at)
{
    for (; at->loop < at->loop_count; at->loop++, at->index = 0)
        if (at->index < at->reports[at->loop].push_count)
            return &at->reports[at->loop].pushes[at->index++];
    return NULL;
}

/* The least machine number above `machine`; 0: none. */
static uint32_t next_machine(struct cursor at, uint32_t machine)
{
    uint32_t least = 0;
    for (const struct push_report *it; (it = next(&at)) != NULL;)
        if (it->machine > machine && (least == 0 || it->machine < least))
            least = it->machine;
    return least;
}

struct push_lag_sum push_lag_of_mirror(
    const struct storage_loop_report *reports, uint16_t loop_count, uint32_t machine)
{
    struct cursor at = {.reports = reports, .loop_count = loop_count};
    struct push_lag_sum sum = {0};
    for (const struct push_report *it; (it = next(&at)) != NULL;) {
        if (it->machine != machine)
            continue;
        sum.records += it->lag_records;
        sum.bytes += it->lag_bytes;
        sum.ns = it->lag_ns > sum.ns ? it->lag_ns : sum.ns;
    }
    return sum;
}

/* The state that most wants to be known: of several streams the worst. */
static const char *state_of(struct cursor at, uint32_t machine)
{
    static const uint8_t urgency[PUSH_STATE_COUNT] = {[PUSH_RUNNING] = 1,
        [PUSH_CONNECTING] = 2,
        [PUSH_WAITING] = 3,
        [PUSH_MUST_REBUILD] = 4,
        [PUSH_AHEAD] = 5};
    uint8_t state = PUSH_OFF;
    bool is_window_open = true;
    for (const struct push_report *it; (it = next(&at)) != NULL;) {
        if (it->machine != machine)
            continue;
        is_window_open = it->is_window_open;
        state = urgency[it->state] > urgency[state] ? it->state : state;
    }
    return state == PUSH_RUNNING && !is_window_open ? "outside-window"
                                                    : push_state_name((enum push_state)state);
}

static void write_stream(struct json *json, const struct push_report *it)
{
    json_begin_object(json, NULL);
    json_number(json, "mount", it->mount);
    json_number(json, "stream", it->stream);
    json_text(json, "state", push_state_name((enum push_state)it->state));
    json_number(json, "held_lsn", it->held_lsn);
    json_number(json, "kept_lsn", it->kept_lsn);
    json_number(json, "lag_records", it->lag_records);
    json_number(json, "lag_bytes", it->lag_bytes);
    json_number(json, "lag_ms", it->lag_ns / NS_PER_MS);
    json_number(json, "records_sent", it->records_sent);
    json_number(json, "bytes_sent", it->bytes_sent);
    json_number(json, "left_out", it->left_out);
    json_text(json, "last_error", it->err_code == 0 ? "" : err_name(it->err_code));
    json_end(json);
}

static void write_mirror(struct json *json, struct cursor at, uint32_t machine, bool has_details)
{
    struct push_lag_sum lag = push_lag_of_mirror(at.reports, at.loop_count, machine);
    json_begin_object(json, NULL);
    json_number(json, "machine", machine);
    json_text(json, "state", state_of(at, machine));
    json_number(json, "lag_records", lag.records);
    json_number(json, "lag_bytes", lag.bytes);
    json_number(json, "lag_ms", lag.ns / NS_PER_MS);
    json_begin_array(json, "streams");
    for (const struct push_report *it; has_details && (it = next(&at)) != NULL;)
        if (it->machine == machine)
            write_stream(json, it);
    json_end(json);
    json_end(json);
}

void push_status_write(
    struct json *json, const struct storage_loop_report *reports, uint16_t loop_count)
{
    struct cursor at = {.reports = reports, .loop_count = loop_count};
    uint32_t count = 0, machine = 0;
    for (uint16_t i = 0; i < loop_count; i++)
        count += reports[i].push_count;
    json_begin_array(json, "mirrors");
    while ((machine = next_machine(at, machine)) != 0)
        write_mirror(json, at, machine, count <= PUSH_REPORT_DETAILS_MAX);
    json_end(json);
}
