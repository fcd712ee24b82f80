#include "sight/findings.h"

#include <inttypes.h>
#include <string.h>

enum {
    DESCRIPTORS_SOFT = 70, /* percent of the limit */
    GROWTH_FLOOR = 50,
    LOOSE_MIB = 64,
    DISK_SLOW_S = 5,
};

static const struct {
    const char *name, *next;
    unsigned urgency;
} codes[FINDING_COUNT] = {
#define X(name, urgency, next) {#name, next, urgency},
    FINDING_CODES(X)
#undef X
};

const char *finding_name(enum finding_code code)
{
    return codes[code].name;
}

unsigned finding_urgency(enum finding_code code)
{
    return codes[code].urgency;
}

const char *finding_next(enum finding_code code)
{
    return codes[code].next;
}

static struct sight_finding *finding_add(struct sight_findings *to, enum finding_code code,
    const struct census_row *row, struct text *text)
{
    to->total++;
    if (to->count == FINDINGS_MAX)
        return NULL;
    struct sight_finding *finding = &to->all[to->count++];
    *finding = (struct sight_finding){.code = code, .row = row};
    text_init(text, finding->sentence, sizeof finding->sentence);
    return finding;
}

/* ---- rows ---- */

static void add_whose(struct text *text, const struct census_key *key)
{
    text_add(text, " of %s (%s", key->operation ? key->operation : "nobody",
        direction_name((enum direction)key->direction));
    if (key->peer != 0)
        text_add(text, ", peer m%03" PRIu32, key->peer);
    if (key->origin != 0)
        text_add(text, ", objects of m%03" PRIu32, key->origin);
    text_add(
        text, ") at %s:%d %s", census_file_of(key->site), key->site->line, key->site->function);
}

static void add_rate(struct text *text, int64_t per_minute)
{
    if (per_minute > 0)
        text_add(text, ", %" PRId64 ".%" PRId64 " more each minute", per_minute / 1000,
            per_minute % 1000 / 100);
}

/* Descriptors that are left, at this rate. */
static uint64_t seconds_left(const struct sight *sight, int64_t per_minute)
{
    uint64_t limit = sight->options.descriptor_limit, used = sight->reality.last.fds;
    if (per_minute <= 0 || used == 0 || used >= limit)
        return 0;
    return (limit - used) * 60 * 1000 / (uint64_t)per_minute;
}

static void add_left(struct text *text, uint64_t seconds)
{
    if (seconds == 0)
        return;
    text_add(text, "; the limit is reached in ");
    text_add_duration(text, seconds * NS_PER_S);
}

static void judge_leak(const struct sight *sight, const struct census_row *row,
    const struct growth_series *series, struct sight_findings *to)
{
    struct text text;
    struct sight_finding *finding = finding_add(to, FINDING_LEAK, row, &text);
    if (!finding)
        return;
    finding->count = row->late;
    finding->per_minute = growth_late_per_minute(series, 0);
    if (row->key.kind == HELD_FD)
        finding->limit_s = seconds_left(sight, finding->per_minute);
    text_add(&text, "%" PRIu64 " %s", row->late, held_kind_name((enum held_kind)row->key.kind));
    add_whose(&text, &row->key);
    text_add(&text,
        row->key.kind == HELD_MEM ? " were taken while running" : " have outlived their request");
    add_rate(&text, finding->per_minute);
    add_left(&text, finding->limit_s);
}

static void judge_forsaken(const struct census_row *row, struct sight_findings *to)
{
    struct text text;
    struct sight_finding *finding = finding_add(to, FINDING_FORSAKEN, row, &text);
    if (!finding)
        return;
    finding->count = row->forsaken;
    text_add(&text, "%" PRIu64 " conn", row->forsaken);
    add_whose(&text, &row->key);
    text_add(&text, " are open although the other end is gone");
}

static void judge_overdue(
    const struct sight *sight, const struct census_row *row, struct sight_findings *to)
{
    struct text text;
    struct sight_finding *finding = finding_add(to, FINDING_OVERDUE, row, &text);
    if (!finding)
        return;
    finding->count = row->overdue;
    text_add(&text, "%" PRIu64 " %s", row->overdue, held_kind_name((enum held_kind)row->key.kind));
    add_whose(&text, &row->key);
    text_add(&text, ", the oldest for ");
    text_add_duration(&text, sight->shown->now_ns - row->oldest_ns);
}

static void judge_growth(const struct sight *sight, const struct census_row *row,
    const struct growth_series *series, struct sight_findings *to)
{
    uint64_t limit = sight->options.descriptor_limit, used = sight->reality.last.fds;
    struct text text;
    if (row->key.kind != HELD_FD || used < limit * GROWTH_FLOOR / 100)
        return;
    int64_t slow = growth_per_minute(series, 1);
    uint64_t left = seconds_left(sight, slow);
    if (left == 0 || left > 3600 || series->rings[1].count < 5)
        return;
    struct sight_finding *finding = finding_add(to, FINDING_GROWTH, row, &text);
    if (!finding)
        return;
    finding->count = row->count;
    finding->per_minute = slow;
    finding->limit_s = left;
    text_add(&text, "%" PRIu64 " fd", row->count);
    add_whose(&text, &row->key);
    add_rate(&text, slow);
    add_left(&text, left);
}

/* The seam's operations of src/disk are on disks, and those that wait for other things are timers. */
static void judge_disk(
    const struct sight *sight, const struct census_row *row, struct sight_findings *to)
{
    struct text text;
    uint64_t age_ns = sight->shown->now_ns - row->oldest_ns;
    if (row->key.kind != HELD_OP || row->oldest_ns > sight->shown->now_ns
        || age_ns < DISK_SLOW_S * NS_PER_S || !strstr(row->key.site->file, "src/disk/"))
        return;
    struct sight_finding *finding = finding_add(to, FINDING_DISK_SLOW, row, &text);
    if (!finding)
        return;
    finding->count = row->count;
    text_add(&text, "%" PRIu64 " op", row->count);
    add_whose(&text, &row->key);
    text_add(&text, " on a disk, the oldest under way for ");
    text_add_duration(&text, age_ns);
}

static void judge_row(
    const struct sight *sight, const struct census_row *row, struct sight_findings *to)
{
    const struct growth_series *series = growth_find(sight->growth, &row->key);
    bool is_leak = series && growth_is_leak(series) && row->late > 0;
    if (is_leak)
        judge_leak(sight, row, series, to);
    else if (series)
        judge_growth(sight, row, series, to);
    if (series && growth_is_forsaken(series) && row->forsaken > 0)
        judge_forsaken(row, to);
    judge_disk(sight, row, to);
    if (row->overdue > 0 && !is_leak)
        judge_overdue(sight, row, to);
}

/* ---- the process ---- */

static void add_suspects(struct text *text, const struct reality_suspects *suspects, bool is_fd)
{
    unsigned told = 0;
    for (uint32_t i = 0; i < suspects->count && told < 3; i++)
        if (suspects->all[i].times >= REALITY_TIMES)
            text_add(text, is_fd ? "%s%" PRIu64 " %s" : "%s%" PRIx64 " %s",
                told++ == 0 ? ": " : ", ", suspects->all[i].number, suspects->all[i].name);
}

static void judge_unknown(const struct reality_suspects *suspects, enum finding_code code,
    const char *what, struct sight_findings *to)
{
    struct text text;
    uint64_t unknown = reality_unknown(suspects);
    struct sight_finding *finding = unknown > 0 ? finding_add(to, code, NULL, &text) : NULL;
    if (!finding)
        return;
    finding->count = unknown;
    text_add(&text, "the kernel has %" PRIu64 " %s that are in no ledger", unknown, what);
    add_suspects(&text, suspects, code == FINDING_UNKNOWN_DESCRIPTORS);
}

static void judge_missing(
    uint64_t count, enum finding_code code, const char *what, struct sight_findings *to)
{
    struct text text;
    struct sight_finding *finding = count > 0 ? finding_add(to, code, NULL, &text) : NULL;
    if (!finding)
        return;
    finding->count = count;
    text_add(&text, "%" PRIu64 " %s of the ledgers are not there any more", count, what);
}

static void judge_loose(const struct reality *reality, struct sight_findings *to)
{
    struct text text;
    uint64_t loose = reality->last.loose_bytes;
    struct sight_finding *finding =
        loose > LOOSE_MIB * MIB ? finding_add(to, FINDING_LOOSE_MEMORY, NULL, &text) : NULL;
    if (!finding)
        return;
    finding->count = loose;
    text_add_size(&text, loose);
    text_add(&text, " more are mapped than the ledgers know of");
}

static void judge_descriptors(const struct sight *sight, struct sight_findings *to)
{
    struct text text;
    uint64_t limit = sight->options.descriptor_limit, used = sight->reality.last.fds;
    struct sight_finding *finding = used * 100 >= limit * DESCRIPTORS_SOFT
                                        ? finding_add(to, FINDING_DESCRIPTORS, NULL, &text)
                                        : NULL;
    if (!finding)
        return;
    finding->count = used;
    text_add(&text, "%" PRIu64 " of %" PRIu64 " descriptors are in use", used, limit);
}

static void judge_process(const struct sight *sight, struct sight_findings *to)
{
    const struct reality *reality = &sight->reality;
    if (!sight->options.has_kernel || reality->passes == 0)
        return;
    judge_descriptors(sight, to);
    judge_missing(reality->last.fds_missing, FINDING_MISSING_DESCRIPTORS, "descriptors", to);
    judge_missing(reality->last.maps_missing, FINDING_MISSING_MAPPINGS, "mappings", to);
    judge_unknown(&reality->fd_suspects, FINDING_UNKNOWN_DESCRIPTORS, "descriptors", to);
    judge_unknown(&reality->map_suspects, FINDING_UNKNOWN_MAPPINGS, "mappings of files", to);
    judge_loose(reality, to);
}

void findings_collect(const struct sight *sight, struct sight_findings *ret)
{
    ret->count = ret->total = 0;
    judge_process(sight, ret);
    for (uint32_t i = 0; i < sight->shown->count; i++)
        judge_row(sight, &sight->shown->rows[i], ret);
    for (uint32_t i = 1; i < ret->count; i++) { /* few: by insertion, in order within an urgency */
        struct sight_finding one = ret->all[i];
        uint32_t k = i;
        for (; k > 0 && finding_urgency(ret->all[k - 1].code) > finding_urgency(one.code); k--)
            ret->all[k] = ret->all[k - 1];
        ret->all[k] = one;
    }
}

/* ---- the log ---- */

static void log_row(
    struct sight *sight, const struct census_row *row, const char *event, const char *sentence)
{
    struct owner owner = {.operation = row->key.operation,
        .direction = (enum direction)row->key.direction,
        .peer_machine = row->key.peer,
        .object_origin = row->key.origin};
    EVENT(sight->options.log, WARN, event, &owner,
        EVENT_TEXT("kind", held_kind_name((enum held_kind)row->key.kind)),
        EVENT_TEXT("what", sentence));
}

void findings_log(struct sight *sight)
{
    struct sight_findings findings;
    if (!sight->options.log)
        return;
    findings_collect(sight, &findings);
    for (uint32_t i = 0; i < findings.count; i++) {
        const struct sight_finding *finding = &findings.all[i];
        if (finding->code != FINDING_LEAK && finding->code != FINDING_FORSAKEN)
            continue;
        struct growth_series *series =
            (struct growth_series *)(uintptr_t)growth_find(sight->growth, &finding->row->key);
        if (series->is_told)
            continue;
        series->is_told = true;
        log_row(sight, finding->row, finding->code == FINDING_LEAK ? "leak" : "forsaken",
            finding->sentence);
    }
}
