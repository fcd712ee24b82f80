#include "bin/res_table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "base/units.h"
#include "bin/nodes.h"

#define SEVERAL UINT64_MAX

err_t res_table_init(struct res_table *table, struct mem *mem, struct owner *owner)
{
    void *rows;
    TRY(mem_take(mem, owner, RES_ROWS_MAX * sizeof(struct res_row), 0, &rows));
    *table = (struct res_table){.rows = rows};
    return ERR_OK;
}

void res_table_fini(struct res_table *table, struct mem *mem)
{
    mem_give(mem, table->rows);
}

/* ---- reading ---- */

static void take_word(char *to, size_t size, const json_t *object, const char *key)
{
    (void)snprintf(to, size, "%s", json_text_of(object, key));
}

/* "+12.3" -> 123 */
static int64_t rate_of(const json_t *object, const char *key)
{
    const char *text = json_text_of(object, key);
    char *end;
    long long whole = strtoll(text, &end, 10);
    long long tenth = *end == '.' ? strtoll(end + 1, NULL, 10) : 0;
    return whole * 10 + (text[0] == '-' ? -tenth : tenth);
}

static void row_read(struct res_row *row, const json_t *from, const char *node)
{
    *row = (struct res_row){.origin = json_number_of(from, "origin"),
        .peer = json_number_of(from, "peer"),
        .count = (int64_t)json_number_of(from, "count"),
        .bytes = (int64_t)json_number_of(from, "bytes"),
        .oldest_ms = json_number_of(from, "oldest_ms"),
        .late = json_number_of(from, "late"),
        .overdue = json_number_of(from, "overdue"),
        .forsaken = json_number_of(from, "forsaken"),
        .per_minute = rate_of(from, "per_minute"),
        .is_leak = json_is_true(json_object_get(from, "leak"))};
    (void)snprintf(row->node, sizeof row->node, "%s", node);
    take_word(row->kind, sizeof row->kind, from, "kind");
    take_word(row->direction, sizeof row->direction, from, "direction");
    take_word(row->operation, sizeof row->operation, from, "operation");
    take_word(row->life, sizeof row->life, from, "class");
    (void)snprintf(row->site, sizeof row->site, "%s:%" PRIu64 " %s", json_text_of(from, "file"),
        json_number_of(from, "line"), json_text_of(from, "function"));
}

void res_table_read(struct res_table *table, const json_t *answer, const char *node,
    const char *kind, uint64_t older_ms)
{
    const json_t *rows = json_object_get(answer, "rows");
    table->left_off += json_number_of(answer, "rows_left_off");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *from = json_array_get(rows, i);
        if (kind[0] != '\0' && strcmp(json_text_of(from, "kind"), kind) != 0)
            continue;
        if (json_number_of(from, "oldest_ms") < older_ms)
            continue;
        if (table->count == RES_ROWS_MAX)
            table->left_off++;
        else
            row_read(&table->rows[table->count++], from, node);
    }
}

/* ---- putting together ---- */

static bool agrees(const struct res_row *a, const struct res_row *b, enum res_by by)
{
    if (strcmp(a->node, b->node) != 0 || strcmp(a->kind, b->kind) != 0)
        return false;
    switch (by) {
    case RES_BY_SITE:
        return strcmp(a->site, b->site) == 0;
    case RES_BY_OWNER:
        return a->origin == b->origin && strcmp(a->operation, b->operation) == 0;
    case RES_BY_DIRECTION:
        return strcmp(a->direction, b->direction) == 0;
    case RES_BY_PEER:
        return a->peer == b->peer;
    case RES_BY_CLASS:
        return strcmp(a->life, b->life) == 0;
    default:
        return strcmp(a->site, b->site) == 0 && a->origin == b->origin && a->peer == b->peer
               && strcmp(a->operation, b->operation) == 0 && strcmp(a->life, b->life) == 0
               && strcmp(a->direction, b->direction) == 0;
    }
}

static void merge_word(char *to, const char *from)
{
    if (strcmp(to, from) != 0)
        memcpy(to, "*", 2);
}

static void merge(struct res_row *to, const struct res_row *from)
{
    to->count += from->count;
    to->bytes += from->bytes;
    to->late += from->late;
    to->overdue += from->overdue;
    to->forsaken += from->forsaken;
    to->per_minute += from->per_minute;
    to->is_leak |= from->is_leak;
    to->oldest_ms = from->oldest_ms > to->oldest_ms ? from->oldest_ms : to->oldest_ms;
    to->origin = to->origin == from->origin ? to->origin : SEVERAL;
    to->peer = to->peer == from->peer ? to->peer : SEVERAL;
    merge_word(to->direction, from->direction);
    merge_word(to->operation, from->operation);
    merge_word(to->life, from->life);
    merge_word(to->site, from->site);
}

void res_table_group(struct res_table *table, enum res_by by)
{
    size_t kept = 0;
    for (size_t i = 0; i < table->count; i++) {
        size_t k = 0;
        while (k < kept && !agrees(&table->rows[k], &table->rows[i], by))
            k++;
        if (k < kept)
            merge(&table->rows[k], &table->rows[i]);
        else
            table->rows[kept++] = table->rows[i];
    }
    table->count = kept;
}

static int compare(const void *left, const void *right)
{
    const struct res_row *a = left, *b = right;
    if (a->is_leak != b->is_leak)
        return a->is_leak ? -1 : 1;
    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    int by_site = strcmp(a->site, b->site);
    return by_site != 0 ? by_site : strcmp(a->node, b->node);
}

void res_table_sort(struct res_table *table)
{
    qsort(table->rows, table->count, sizeof *table->rows, compare);
}

/* ---- saved ---- */

json_t *res_row_json(const struct res_row *row)
{
    return json_pack("{sssssssssssssIsIsIsIsIsIsIsIsfsb}", "node", row->node, "kind", row->kind,
        "direction", row->direction, "operation", row->operation, "class", row->life, "site",
        row->site, "origin", (json_int_t)row->origin, "peer", (json_int_t)row->peer, "count",
        (json_int_t)row->count, "bytes", (json_int_t)row->bytes, "oldest_ms",
        (json_int_t)row->oldest_ms, "late", (json_int_t)row->late, "overdue",
        (json_int_t)row->overdue, "forsaken", (json_int_t)row->forsaken, "per_minute",
        (double)row->per_minute / 10, "leak", row->is_leak);
}

json_t *res_table_save(const struct res_table *table)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < table->count; i++)
        (void)json_array_append_new(rows, res_row_json(&table->rows[i]));
    return json_pack("{siso}", "cairn_res", 1, "rows", rows);
}

static void row_restore(struct res_row *row, const json_t *from)
{
    *row = (struct res_row){.origin = (uint64_t)json_integer_value(json_object_get(from, "origin")),
        .peer = (uint64_t)json_integer_value(json_object_get(from, "peer")),
        .count = -json_integer_value(json_object_get(from, "count")),
        .bytes = -json_integer_value(json_object_get(from, "bytes"))};
    take_word(row->node, sizeof row->node, from, "node");
    take_word(row->kind, sizeof row->kind, from, "kind");
    take_word(row->direction, sizeof row->direction, from, "direction");
    take_word(row->operation, sizeof row->operation, from, "operation");
    take_word(row->life, sizeof row->life, from, "class");
    take_word(row->site, sizeof row->site, from, "site");
}

bool res_table_subtract(struct res_table *table, const json_t *saved)
{
    const json_t *rows = json_object_get(saved, "rows");
    if (json_number_of(saved, "cairn_res") != 1 || !json_is_array(rows))
        return false;
    for (size_t i = 0; i < json_array_size(rows) && table->count < RES_ROWS_MAX; i++)
        row_restore(&table->rows[table->count++], json_array_get(rows, i));
    res_table_group(table, RES_BY_ALL);
    size_t kept = 0;
    for (size_t i = 0; i < table->count; i++)
        if (table->rows[i].count != 0)
            table->rows[kept++] = table->rows[i];
    table->count = kept;
    return true;
}

/* ---- for people ---- */

static const char *machine_text(uint64_t machine, char text[RES_WORD_MAX])
{
    if (machine == 0 || machine == SEVERAL)
        (void)snprintf(text, RES_WORD_MAX, "%s", machine == 0 ? "-" : "*");
    else
        (void)snprintf(text, RES_WORD_MAX, "m%03" PRIu64, machine);
    return text;
}

void res_table_print_head(void)
{
    (void)printf("%-8s %-5s %8s %10s %8s %7s  %-9s %-6s %-6s %-10s %s\n", "node", "kind", "count",
        "bytes", "oldest", "+/min", "dir", "owner", "peer", "class", "site");
}

static void print_marks(const struct res_row *row)
{
    if (row->is_leak)
        (void)printf("  LEAK");
    if (row->overdue > 0)
        (void)printf("  OVERDUE %" PRIu64, row->overdue);
    else if (row->late > 0)
        (void)printf("  LATE %" PRIu64, row->late);
    if (row->forsaken > 0)
        (void)printf("  FORSAKEN %" PRIu64, row->forsaken);
}

void res_row_print(const struct res_row *row)
{
    char bytes_data[32], age_data[32], origin[RES_WORD_MAX], peer[RES_WORD_MAX];
    struct text bytes, age;
    text_init(&bytes, bytes_data, sizeof bytes_data);
    text_init(&age, age_data, sizeof age_data);
    if (row->bytes < 0)
        text_add(&bytes, "-");
    text_add_size(&bytes, (uint64_t)(row->bytes < 0 ? -row->bytes : row->bytes));
    text_add_duration(&age, row->oldest_ms * NS_PER_MS);
    (void)printf("%-8s %-5s %8" PRId64 " %10s %8s %+7.1f  %-9s %-6s %-6s %-10s %s (%s)", row->node,
        row->kind, row->count, bytes_data, age_data, (double)row->per_minute / 10, row->direction,
        machine_text(row->origin, origin), machine_text(row->peer, peer), row->life, row->site,
        row->operation);
    print_marks(row);
    (void)printf("\n");
}
