#include "sight/report.h"

#include <stdio.h>

#include "base/json.h"
#include "sight/findings.h"

enum { ROW_JSON_MAX = 640, TAIL_JSON_MAX = 4096 };

enum sight_question sight_question_of(struct span what)
{
    if (span_equals_text(what, "res"))
        return SIGHT_ASKS_RES;
    if (span_equals_text(what, "dump"))
        return SIGHT_ASKS_DUMP;
    return span_equals_text(what, "doctor") ? SIGHT_ASKS_DOCTOR : SIGHT_ASKS_NOTHING;
}

static void write_head(struct json *json, const struct sight *sight, const char *role)
{
    const struct io *home = sight->options.loops[0];
    json_text(json, "role", role);
    json_number(json, "machine", sight->options.machine);
    json_number(json, "process", sight->options.process);
    json_number(json, "loops", sight->options.loop_count);
    json_number(
        json, "running_s", sight->is_watching ? (io_now(home) - sight->run_ns) / NS_PER_S : 0);
}

/* JSON numbers of ours are unsigned: what shrinks is told as text. */
static void write_rate(struct json *json, const char *key, int64_t per_minute)
{
    char text[32];
    int64_t tenths = per_minute / 100;
    (void)snprintf(text, sizeof text, "%s%lld.%lld", tenths < 0 ? "-" : "+",
        (long long)(tenths < 0 ? -tenths : tenths) / 10,
        (long long)(tenths < 0 ? -tenths : tenths) % 10);
    json_text(json, key, text);
}

static void write_key(struct json *json, const struct census_key *key)
{
    json_text(json, "kind", held_kind_name((enum held_kind)key->kind));
    json_text(json, "direction", direction_name((enum direction)key->direction));
    json_text(json, "operation", key->operation ? key->operation : "");
    json_number(json, "origin", key->origin);
    json_number(json, "peer", key->peer);
    json_text(json, "class", life_name((enum life)key->life));
    json_text(json, "file", census_file_of(key->site));
    json_number(json, "line", (uint64_t)key->site->line);
    json_text(json, "function", key->site->function);
}

static void write_row(struct json *json, const struct sight *sight, const struct census_row *row)
{
    const struct growth_series *series = growth_find(sight->growth, &row->key);
    uint64_t now_ns = sight->shown->now_ns;
    json_begin_object(json, NULL);
    write_key(json, &row->key);
    json_number(json, "count", row->count);
    json_number(json, "bytes", row->bytes);
    json_number(
        json, "oldest_ms", now_ns > row->oldest_ns ? (now_ns - row->oldest_ns) / NS_PER_MS : 0);
    json_number(json, "late", row->late);
    json_number(json, "overdue", row->overdue);
    json_number(json, "forsaken", row->forsaken);
    json_number(json, "handle", row->handle > 0 ? (uint64_t)row->handle : 0);
    json_number(json, "object", row->object_clock);
    if (series) {
        write_rate(json, "per_minute", growth_per_minute(series, 0));
        write_rate(json, "per_minute_10", growth_per_minute(series, 1));
        write_rate(json, "per_minute_60", growth_per_minute(series, 2));
        json_bool(json, "leak", growth_is_leak(series));
    }
    json_end(json);
}

static void write_kinds(struct json *json, const struct sight *sight)
{
    json_begin_object(json, "kinds");
    for (int kind = 0; kind < HELD_COUNT; kind++) {
        json_begin_object(json, held_kind_name((enum held_kind)kind));
        json_number(json, "count", sight->shown->held[kind]);
        json_number(json, "bytes", sight->shown->bytes[kind]);
        json_number(json, "max", sight->shown->held_max[kind]);
        json_end(json);
    }
    json_end(json);
    json_number(json, "fd_max", sight->shown->fd_max > 0 ? (uint64_t)sight->shown->fd_max : 0);
    json_number(json, "descriptor_limit", sight->options.descriptor_limit);
}

static void write_suspects(
    struct json *json, const char *key, const struct reality_suspects *suspects)
{
    json_begin_array(json, key);
    unsigned told = 0;
    for (uint32_t i = 0; i < suspects->count && told < REALITY_TOLD; i++) {
        if (suspects->all[i].times < REALITY_TIMES)
            continue;
        told++;
        json_begin_object(json, NULL);
        json_number(json, "number", suspects->all[i].number);
        json_text(json, "name", suspects->all[i].name);
        json_end(json);
    }
    json_end(json);
}

static void write_reality(struct json *json, const struct sight *sight)
{
    const struct reality *reality = &sight->reality;
    if (!sight->options.has_kernel)
        return;
    json_begin_object(json, "kernel");
    json_number(json, "comparisons", reality->passes);
    json_number(json, "fds", reality->last.fds);
    json_number(
        json, "fd_highest", reality->last.fd_highest > 0 ? (uint64_t)reality->last.fd_highest : 0);
    json_number(json, "maps", reality->last.maps);
    json_number(json, "map_bytes", reality->last.map_bytes);
    json_number(json, "loose_bytes", reality->last.loose_bytes);
    json_number(json, "forsaken", reality->last.forsaken);
    json_number(json, "fds_unknown", reality_unknown(&reality->fd_suspects));
    json_number(json, "fds_missing", reality->last.fds_missing);
    json_number(json, "maps_unknown", reality_unknown(&reality->map_suspects));
    json_number(json, "maps_missing", reality->last.maps_missing);
    write_suspects(json, "unknown_fds", &reality->fd_suspects);
    write_suspects(json, "unknown_maps", &reality->map_suspects);
    json_end(json);
}

void sight_write_res(const struct sight *sight, const char *role, struct writer *w)
{
    const struct census *census = sight->shown;
    uint32_t left_off = 0;
    struct json json;
    json_begin(&json, w);
    json_begin_object(&json, NULL);
    write_head(&json, sight, role);
    write_kinds(&json, sight);
    write_reality(&json, sight);
    json_begin_array(&json, "rows");
    for (uint32_t i = 0; i < census->count; i++) {
        if (w->size + ROW_JSON_MAX + TAIL_JSON_MAX > w->capacity)
            left_off++;
        else
            write_row(&json, sight, &census->rows[i]);
    }
    json_end(&json);
    json_number(&json, "rows_left_off", left_off);
    json_number(&json, "unlisted", census->unlisted);
    json_end(&json);
}

static void write_finding(struct json *json, const struct sight_finding *finding)
{
    json_begin_object(json, NULL);
    json_text(json, "code", finding_name(finding->code));
    json_number(json, "urgency", finding_urgency(finding->code));
    json_text(json, "sentence", finding->sentence);
    json_text(json, "next", finding_next(finding->code));
    json_number(json, "count", finding->count);
    json_number(json, "limit_s", finding->limit_s);
    write_rate(json, "per_minute", finding->per_minute);
    if (finding->row)
        write_key(json, &finding->row->key);
    json_end(json);
}

void sight_write_doctor(const struct sight *sight, const char *role, struct writer *w)
{
    struct sight_findings findings;
    struct json json;
    findings_collect(sight, &findings);
    json_begin(&json, w);
    json_begin_object(&json, NULL);
    write_head(&json, sight, role);
    write_kinds(&json, sight);
    write_reality(&json, sight);
    json_begin_array(&json, "findings");
    for (uint32_t i = 0; i < findings.count; i++)
        write_finding(&json, &findings.all[i]);
    json_end(&json);
    json_number(&json, "findings_left_off", findings.total - findings.count);
    json_end(&json);
}

/* ---- the report of a crash ---- */

static void put_row(struct panic_writer *w, const struct census_row *row)
{
    panic_put_text(w, "  ");
    panic_put_number(w, row->count);
    panic_put_text(w, " ");
    panic_put_text(w, held_kind_name((enum held_kind)row->key.kind));
    panic_put_text(w, " at ");
    panic_put_site(w, row->key.site);
    panic_put_text(w, " op=");
    panic_put_text(w, row->key.operation ? row->key.operation : "-");
    panic_put_text(w, " direction=");
    panic_put_text(w, direction_name((enum direction)row->key.direction));
    if (row->key.peer != 0) {
        panic_put_text(w, " peer=");
        panic_put_machine(w, row->key.peer);
    }
    if (row->key.origin != 0) {
        panic_put_text(w, " origin=");
        panic_put_machine(w, row->key.origin);
    }
    if (row->late > 0) {
        panic_put_text(w, " late=");
        panic_put_number(w, row->late);
    }
    panic_put_text(w, "\n");
}

void sight_panic_rows(const void *context, struct panic_writer *w)
{
    const struct sight *sight = context;
    const struct census *census = sight->shown;
    if (!sight->is_open || !census)
        return;
    panic_put_text(w, "held by place, as of the last pass; number of passes ");
    panic_put_number(w, sight->number);
    panic_put_text(w, "\n");
    for (uint32_t i = 0; i < census->count && i < CENSUS_ROWS; i++)
        if (census->rows[i].key.kind != HELD_MEM || census->rows[i].late > 0)
            put_row(w, &census->rows[i]);
}

void sight_write_dump(const struct sight *sight, const char *role, struct writer *w)
{
    struct panic_writer out = {
        .fd = -1, .buffer = (char *)w->data + w->size, .capacity = w->capacity - w->size};
    struct panic_source source = {.role = role,
        .machine = sight->options.machine,
        .more = sight_panic_rows,
        .context = sight};
    for (uint16_t i = 0; i < sight->options.loop_count; i++)
        source.loops[i] = sight->options.loops[i];
    panic_report(&source, &out);
    w->size += out.size;
}

void sight_write(
    const struct sight *sight, enum sight_question question, const char *role, struct writer *w)
{
    if (question == SIGHT_ASKS_RES)
        sight_write_res(sight, role, w);
    else if (question == SIGHT_ASKS_DOCTOR)
        sight_write_doctor(sight, role, w);
    else
        sight_write_dump(sight, role, w);
}
