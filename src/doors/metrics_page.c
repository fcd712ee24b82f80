#include "doors/metrics_page.h"

#include "base/units.h"

/* ---- on the loop ---- */

static uint64_t length_of(const struct list *head)
{
    uint64_t length = 0;
    LIST_EACH (node, head)
        length++;
    return length;
}

void loop_sample_take(struct loop_sample *sample, const struct io *io, const struct mem *mem)
{
    const struct ledger *ledger = &io->ledger;
    memcpy(sample->held, ledger->count, sizeof sample->held);
    memcpy(sample->held_max, ledger->count_max, sizeof sample->held_max);
    memcpy(sample->held_bytes, ledger->bytes, sizeof sample->held_bytes);
    memcpy(sample->held_limit, ledger->limit, sizeof sample->held_limit);
    sample->fd_max = ledger->fd_max;
    sample->memory = mem->bytes;
    sample->memory_max = mem->bytes_max;
    sample->turns = io->turns;
    sample->machines = length_of(&io->run.machines);
    sample->ready = length_of(&io->run.ready);
}

/* ---- who it is ---- */

static const struct metric info = {METRIC_GAUGE, 0, "cairn_info",
    "always 1; the labels say who this is: role, version, machine, group, pool", NULL};
static const struct metric head_rows[] = {
    {METRIC_AT_GAUGE_NS(struct metrics_head, started_wall_ns), "cairn_start_time_seconds",
        "when the server was started, unix time", NULL},
    {METRIC_AT_GAUGE_NS(struct metrics_head, now_wall_ns), "cairn_time_seconds",
        "the server's own clock, unix time", NULL},
};
/* Of the process: told by the role that knows it. */
static const struct metric process_rows[] = {
    {METRIC_AT_COUNTER_NS(struct metrics_head, cpu_user_ns), "cairn_cpu_seconds_total",
        "processor time of the process, by mode", "mode=\"user\""},
    {METRIC_AT_COUNTER_NS(struct metrics_head, cpu_system_ns), "cairn_cpu_seconds_total",
        "processor time of the process, by mode", "mode=\"system\""},
    {METRIC_AT_GAUGE(struct metrics_head, descriptor_limit), "cairn_descriptor_limit",
        "descriptors that the process may open", NULL},
};

void metrics_write_head(const struct metrics_head *head, struct text *text)
{
    struct metric_object object = {head, NULL};
    metric_begin(&info, text);
    text_add(text, "%s{role=\"%s\",version=\"%s\",machine=\"m%03u\",group=\"", info.name,
        head->role, head->version, head->machine);
    metric_add_label_value(text, head->group);
    text_add(text, "\",pool=\"");
    metric_add_label_value(text, head->pool);
    text_add(text, "\"} 1\n");
    metric_print(head_rows, ARRAY_LEN(head_rows), &object, 1, text);
    if (head->descriptor_limit > 0)
        metric_print(process_rows, ARRAY_LEN(process_rows), &object, 1, text);
}

/* ---- loops ---- */

static const struct metric loop_rows[] = {
    {METRIC_AT_COUNTER(struct loop_sample, turns), "cairn_loop_turns_total",
        "turns of each loop: how often it looked for what has come", NULL},
    {METRIC_AT_GAUGE(struct loop_sample, machines), "cairn_loop_machines",
        "operations and connections that exist on each loop, with what rests", NULL},
    {METRIC_AT_GAUGE(struct loop_sample, ready), "cairn_loop_ready",
        "those of them that waited for their turn when the loop was asked", NULL},
    {METRIC_AT_GAUGE(struct loop_sample, memory), "cairn_memory_bytes",
        "memory taken at start, of each loop", NULL},
    {METRIC_AT_GAUGE(struct loop_sample, memory_max), "cairn_memory_max_bytes",
        "the most that it was", NULL},
};

enum { LOOP_LABEL_MAX = 24, LOOPS_MAX = 256 };

static void write_each_loop(const struct loop_sample *samples, size_t count, struct text *text)
{
    struct metric_object objects[LOOPS_MAX];
    char labels[LOOPS_MAX][LOOP_LABEL_MAX];
    count = count < LOOPS_MAX ? count : LOOPS_MAX;
    for (size_t i = 0; i < count; i++) {
        struct text label;
        text_init(&label, labels[i], LOOP_LABEL_MAX);
        text_add(&label, "loop=\"%zu\"", i);
        objects[i] = (struct metric_object){&samples[i], labels[i]};
    }
    metric_print(loop_rows, ARRAY_LEN(loop_rows), objects, count, text);
}

/* What the ledgers of all loops have, by kind; limit 0: none. */
static const struct {
    struct metric metric;
    size_t offset;
} ledger_rows[] = {
    {{METRIC_GAUGE, 0, "cairn_held", "things held now, by kind of the ledger", NULL},
        offsetof(struct loop_sample, held)},
    {{METRIC_GAUGE, 0, "cairn_held_max", "the most that was held at one time, by kind", NULL},
        offsetof(struct loop_sample, held_max)},
    {{METRIC_GAUGE, 0, "cairn_held_bytes", "bytes of what is held, by kind", NULL},
        offsetof(struct loop_sample, held_bytes)},
    {{METRIC_GAUGE, 0, "cairn_held_limit", "how many may be held, by kind; 0: no limit", NULL},
        offsetof(struct loop_sample, held_limit)},
};

static void write_ledger(const struct loop_sample *samples, size_t count, struct text *text)
{
    for (size_t row = 0; row < ARRAY_LEN(ledger_rows); row++) {
        metric_begin(&ledger_rows[row].metric, text);
        for (size_t kind = 0; kind < HELD_COUNT; kind++) {
            uint64_t sum = 0, one;
            for (size_t i = 0; i < count; i++) {
                const char *at = (const char *)&samples[i] + ledger_rows[row].offset;
                memcpy(&one, at + kind * sizeof one, sizeof one);
                sum += one;
            }
            metric_sample(&ledger_rows[row].metric, sum, text, "kind=\"%s\"",
                held_kind_name((enum held_kind)kind));
        }
    }
}

static const struct metric fd_max_row = {METRIC_GAUGE, 0, "cairn_descriptor_max",
    "highest descriptor number that was ever in use", NULL};

void metrics_write_loops(const struct loop_sample *samples, size_t count, struct text *text)
{
    int64_t fd_max = 0;
    for (size_t i = 0; i < count; i++)
        fd_max = samples[i].fd_max > fd_max ? samples[i].fd_max : fd_max;
    write_each_loop(samples, count, text);
    write_ledger(samples, count, text);
    metric_begin(&fd_max_row, text);
    metric_sample(&fd_max_row, (uint64_t)fd_max, text, "%s", "");
}

/* ---- what machines did ---- */

static const struct metric operations = {METRIC_COUNTER, 0, "cairn_operations_total",
    "operations that ended, by kind and result (ok, or the name of the error)", NULL};
static const struct metric durations = {METRIC_TIMING, 0, "cairn_operation_seconds",
    "how long operations took, by kind, from their first stage to their end", NULL};

/* "not_found" of NOT_FOUND */
static const char *result_name(int32_t code, char ret[32])
{
    size_t size = 0;
    for (const char *at = err_name(code); *at != '\0' && size + 1 < 32; at++)
        ret[size++] = (char)(*at >= 'A' && *at <= 'Z' ? *at | 0x20 : *at);
    ret[size] = '\0';
    return ret;
}

void metrics_write_deeds(const struct deeds *deeds, struct text *text)
{
    char name[32];
    metric_begin(&operations, text);
    for (size_t i = 0; i < DEED_KINDS_MAX; i++)
        for (int32_t code = 0; code < DEED_CODES_MAX; code++)
            if (deeds->rows[i].results[code] > 0)
                metric_sample(&operations, deeds->rows[i].results[code], text,
                    "kind=\"%s\",result=\"%s\"", deeds->rows[i].name, result_name(code, name));
    metric_begin(&durations, text);
    for (size_t i = 0; i < DEED_KINDS_MAX; i++)
        if (deeds->rows[i].key)
            metric_sample_timing(
                &durations, &deeds->rows[i].timing, text, "kind=\"%s\"", deeds->rows[i].name);
}
