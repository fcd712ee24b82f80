#include "bin/top_screen.h"

#include <stdio.h>

#include "base/units.h"

enum { CELL_MAX = 24 };

/* ---- cells ---- */

/* "0", "0.4", "123", "45.6k", "1.2M" */
static const char *count_text(double value, char ret[CELL_MAX])
{
    static const char suffixes[] = {'k', 'M', 'G', 'T'};
    size_t at = 0;
    if (value < 999.5) {
        bool is_whole = (double)(uint64_t)value >= value || value >= 9.95;
        (void)snprintf(ret, CELL_MAX, is_whole || value < 0.05 ? "%.0f" : "%.1f", value);
        return ret;
    }
    for (value /= 1000; value >= 999.5 && at + 1 < ARRAY_LEN(suffixes); at++)
        value /= 1000;
    (void)snprintf(ret, CELL_MAX, value < 99.95 ? "%.1f%c" : "%.0f%c", value, suffixes[at]);
    return ret;
}

static const char *size_text(double bytes, char ret[CELL_MAX])
{
    struct text text;
    text_init(&text, ret, CELL_MAX);
    text_add_size(&text, bytes > 0 ? (uint64_t)bytes : 0);
    return ret;
}

static const char *duration_text(uint64_t ns, char ret[CELL_MAX])
{
    struct text text;
    text_init(&text, ret, CELL_MAX);
    if (ns > 0)
        text_add_duration(&text, ns);
    else
        text_add(&text, "-");
    return ret;
}

static const char *quantile_text(const struct timing *timing, double part, char ret[CELL_MAX])
{
    return duration_text(top_quantile_ns(timing, part), ret);
}

static const char *share_text(double part, double whole, char ret[CELL_MAX])
{
    if (whole > 0)
        (void)snprintf(ret, CELL_MAX, "%.0f%%", 100 * part / whole);
    else
        (void)snprintf(ret, CELL_MAX, "-");
    return ret;
}

/* What is longer than anybody waits still has to fit. */
static const char *lag_text(double seconds, char ret[CELL_MAX])
{
    double most = 9999.0 * (double)(NS_PER_DAY / NS_PER_S);
    return duration_text((uint64_t)((seconds < most ? seconds : most) * (double)NS_PER_S), ret);
}

static double per_second(double count, const struct top_sample *since)
{
    return since->time > 0 ? count / since->time : 0;
}

static double requests_of(const struct top_sample *since)
{
    double count = 0;
    for (size_t verb = 0; verb < TOP_VERBS; verb++)
        count += (double)timing_count(&since->verbs[verb]);
    return count;
}

/* ---- the cluster ---- */

static void add_head(const struct top_screen *screen, struct text *text)
{
    char free_bytes[CELL_MAX], total_bytes[CELL_MAX];
    text_add(text, "cairn top %s  %s%s%s  %llu/%llu running  %s free of %s\n", screen->clock,
        screen->colour, screen->health, screen->plain, (unsigned long long)screen->running,
        (unsigned long long)screen->storages, size_text((double)screen->free_bytes, free_bytes),
        size_text((double)screen->total_bytes, total_bytes));
}

static void add_quantiles(
    const struct top_sample *sum, const char *name, double part, struct text *text)
{
    char cell[CELL_MAX];
    text_add(text, "%-10s", name);
    for (size_t verb = 0; verb < TOP_VERBS; verb++)
        text_add(text, " %9s", quantile_text(&sum->verbs[verb], part, cell));
    text_add_char(text, '\n');
}

static void add_sum(const struct top_sample *sum, struct text *text)
{
    char in[CELL_MAX], out[CELL_MAX], sent[CELL_MAX], cell[CELL_MAX];
    text_add(text, "\n%-10s", "all");
    for (size_t verb = 0; verb < TOP_VERBS; verb++)
        text_add(text, " %9s", top_verb_names[verb]);
    text_add(text, " %9s\n%-10s", "errors", "per second");
    for (size_t verb = 0; verb < TOP_VERBS; verb++)
        text_add(text, " %9s",
            count_text(per_second((double)timing_count(&sum->verbs[verb]), sum), cell));
    text_add(text, " %9s\n", count_text(per_second(sum->errors, sum), cell));
    add_quantiles(sum, "half in", 0.5, text);
    add_quantiles(sum, "99% in", 0.99, text);
    text_add(text, "content    %s/s in, %s/s out, %s/s to mirrors; %s in flight\n",
        size_text(per_second(sum->bytes_in, sum), in),
        size_text(per_second(sum->bytes_out, sum), out),
        size_text(per_second(sum->sent, sum), sent), count_text(sum->in_flight, cell));
    if (sum->corrupt > 0 || sum->differing > 0)
        text_add(text, "damage     %s damaged reads since the start, %s units differ\n",
            count_text(sum->corrupt, in), count_text(sum->differing, out));
}

/* ---- storages ---- */

static void add_storage(const struct top_row *row, struct text *text)
{
    const struct top_sample *since = &row->since;
    char requests[CELL_MAX], errors[CELL_MAX], find[CELL_MAX], upload[CELL_MAX], lag[CELL_MAX];
    char records[CELL_MAX], descriptors[CELL_MAX], memory[CELL_MAX], cpu[CELL_MAX];
    if (!row->is_there) {
        text_add(text, "%-6s %s\n", row->name, "does not answer");
        return;
    }
    text_add(text, "%-6s %-9s %6s %6s %8s %8s %8s %6s %4s %4s %5s\n", row->name, since->state,
        count_text(per_second(requests_of(since), since), requests),
        count_text(per_second(since->errors, since), errors),
        quantile_text(&since->verbs[TOP_FIND], 0.99, find),
        quantile_text(&since->verbs[TOP_UPLOAD], 0.99, upload), lag_text(since->lag, lag),
        count_text(since->lag_records, records),
        share_text(since->descriptors, since->descriptor_limit, descriptors),
        share_text(since->memory, since->memory_budget, memory),
        share_text(since->cpu, since->time, cpu));
}

static void add_storages(const struct top_screen *screen, struct text *text)
{
    text_add(text, "\n%-6s %-9s %6s %6s %8s %8s %8s %6s %4s %4s %5s\n", "", "state", "req/s",
        "err/s", "find 99%", "put 99%", "lag", "behind", "fds", "mem", "cpu");
    for (size_t i = 0; i < screen->count; i++)
        add_storage(&screen->rows[i], text);
}

/* ---- disks ---- */

static void add_disk(const struct top_row *row, const struct top_mount *mount, struct text *text)
{
    const struct top_sample *since = &row->since;
    char name[CELL_MAX], room[CELL_MAX], total[CELL_MAX], commits[CELL_MAX];
    char half[CELL_MAX], most[CELL_MAX], log[CELL_MAX], files[CELL_MAX];
    double left = mount->free + mount->reusable - mount->reserve;
    (void)snprintf(name, sizeof name, "%s/%u", row->name, mount->index);
    text_add(text, "%-8s %-6s %8s of %8s %6s %8s %8s %8s %5s\n", name,
        mount->online > 0 ? "online" : "OUT", size_text(left, room), size_text(mount->total, total),

        count_text(per_second((double)timing_count(&mount->commits), since), commits),
        quantile_text(&mount->commits, 0.5, half), quantile_text(&mount->commits, 0.99, most),
        size_text(mount->log_bytes, log), count_text(mount->files, files));
}

static void add_disks(const struct top_screen *screen, struct text *text)
{
    text_add(text, "\n%-8s %-6s %8s    %8s %6s %8s %8s %8s %5s\n", "disk", "", "room", "", "sync/s",
        "half in", "99% in", "log", "files");
    for (size_t i = 0; i < screen->count; i++)
        for (unsigned k = 0; screen->rows[i].is_there && k < screen->rows[i].since.mount_count; k++)
            add_disk(&screen->rows[i], &screen->rows[i].since.mounts[k], text);
}

/* ---- all of it ---- */

static void limit_lines(struct text *text, size_t from, size_t lines)
{
    size_t seen = 0, left_out = 0, cut = text->size;
    for (size_t at = from; at < text->size; at++) {
        if (text->data[at] != '\n')
            continue;
        seen++;
        if (seen + 1 == lines)
            cut = at + 1;
        left_out += seen >= lines;
    }
    if (seen <= lines)
        return;
    text_cut_to(text, cut);
    text_add(text, "and %zu lines more: make the window higher\n", left_out);
}

void top_screen_format(const struct top_screen *screen, size_t lines, struct text *text)
{
    struct top_sample sum = {0};
    size_t from = text->size;
    for (size_t i = 0; i < screen->count; i++)
        if (screen->rows[i].is_there)
            top_sample_add(&sum, &screen->rows[i].since);
    add_head(screen, text);
    add_sum(&sum, text);
    add_storages(screen, text);
    add_disks(screen, text);
    if (lines > 1)
        limit_lines(text, from, lines);
}
