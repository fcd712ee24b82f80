#include "doors/ops_page.h"

#include <stdlib.h>

#include "base/text.h"
#include "base/units.h"

/* An entry needs about 350 bytes; the end of the page has to fit behind the last one. */
enum { ENTRY_SIZE_MAX = 640, END_SIZE = 128, WAITS_TEXT_MAX = 160 };

/* A machine of the list, and what the ledger has under its name. */
struct row {
    const struct owner *owner;
    const struct machine *machine;
    const struct io_op *op; /* the newest that is out */
    uint32_t held[HELD_COUNT];
};

bool ops_page_is_asked(struct span what, bool *ret_shows_resting)
{
    *ret_shows_resting = span_equals_text(what, "ops all");
    return *ret_shows_resting || span_equals_text(what, "ops");
}

void ops_page_begin(struct ops_page *page, struct writer *writer, const char *role,
    uint32_t machine, bool shows_resting)
{
    *page = (struct ops_page){.writer = writer, .shows_resting = shows_resting};
    json_begin(&page->json, writer);
    json_begin_object(&page->json, NULL);
    json_text(&page->json, "role", role);
    json_number(&page->json, "machine", machine);
    json_begin_array(&page->json, "operations");
}

/* ---- who holds what ---- */

static int compare_rows(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t)((const struct row *)a)->owner;
    uintptr_t y = (uintptr_t)((const struct row *)b)->owner;
    return (x > y) - (x < y);
}

static int compare_born(const void *a, const void *b)
{
    uint64_t x = ((const struct row *)a)->owner->born_ns;
    uint64_t y = ((const struct row *)b)->owner->born_ns;
    return (x > y) - (x < y);
}

static void count_held(struct row *rows, size_t count, const struct ledger *ledger)
{
    for (int kind = 0; kind < HELD_COUNT; kind++)
        LIST_EACH (node, &ledger->kinds[kind]) {
            struct held *held = CONTAINER_OF(node, struct held, link);
            struct row key = {.owner = held->owner};
            struct row *row = bsearch(&key, rows, count, sizeof *rows, compare_rows);
            if (!row)
                continue;
            row->held[kind]++;
            if (kind == HELD_OP)
                row->op = CONTAINER_OF(held, struct io_op, held);
        }
}

/* ---- one row ---- */

static bool is_resting(const struct machine *machine)
{
    return machine->kind->stages[machine->stage].deadline_ms == STAGE_RESTS;
}

/* The compiler is called in the build directory: its names of sources begin there. */
static const char *file_of(const struct site *site)
{
    const char *file = site->file;
    while (strncmp(file, "../", 3) == 0)
        file += 3;
    return file;
}

static void write_waits(struct json *json, const struct row *row)
{
    const struct machine *machine = row->machine;
    char data[WAITS_TEXT_MAX];
    struct text text;
    text_init(&text, data, sizeof data);
    if (list_is_linked(&machine->ready) || machine->running)
        text_add(&text, "its turn");
    else if (row->op && row->op->kind == IO_TIMER)
        text_add(&text, "timer (%s:%d)", file_of(row->op->site), row->op->site->line);
    else if (row->op)
        text_add(&text, "%s %d (%s:%d)", io_kind_name(row->op->kind), row->op->fd,
            file_of(row->op->site), row->op->site->line);
    else
        text_add(&text, "%u arrivals", machine->waiting);
    json_text(json, "waits", text.data);
}

static void write_held(struct json *json, const struct row *row)
{
    json_begin_object(json, "held");
    for (int kind = 0; kind < HELD_COUNT; kind++)
        if (row->held[kind] > 0)
            json_number(json, held_kind_name((enum held_kind)kind), row->held[kind]);
    json_end(json);
}

static void write_row(struct json *json, const struct row *row, const struct io *io)
{
    const struct machine *machine = row->machine;
    const struct stage *stage = &machine->kind->stages[machine->stage];
    uint64_t deadline_ms = stage->deadline_ms == STAGE_RESTS ? 0 : stage->deadline_ms;
    uint64_t stage_ms = (io_now(io) - machine->stage_ns) / NS_PER_MS;
    json_begin_object(json, NULL);
    json_number(json, "loop", io->loop_index);
    json_text(json, "kind", machine->kind->name);
    json_text(json, "direction", direction_name(machine->owner.direction));
    json_text(json, "stage", stage->name);
    json_number(json, "age_ms", (io_now(io) - machine->owner.born_ns) / NS_PER_MS);
    json_number(json, "stage_ms", stage_ms);
    json_number(json, "deadline_ms", deadline_ms);
    json_bool(json, "overdue", deadline_ms > 0 && stage_ms > deadline_ms);
    write_waits(json, row);
    json_text(json, "error", err_is(machine->err) ? err_name(machine->err.code) : "");
    json_number(json, "peer", machine->owner.peer_machine);
    json_number(json, "origin", machine->owner.object_origin);
    json_number(json, "object", machine->owner.object_clock);
    write_held(json, row);
    json_end(json);
}

/* ---- one loop ---- */

void ops_page_add(struct ops_page *page, const struct io *io)
{
    struct row rows[OPS_PAGE_MACHINES_MAX];
    size_t count = 0;
    LIST_EACH (node, &io->run.machines) {
        const struct machine *machine = CONTAINER_OF(node, struct machine, link);
        bool rests = is_resting(machine);
        page->resting += rests;
        if (rests && !page->shows_resting)
            continue;
        if (count == ARRAY_LEN(rows))
            page->cut++;
        else
            rows[count++] = (struct row){.owner = &machine->owner, .machine = machine};
    }
    qsort(rows, count, sizeof *rows, compare_rows);
    count_held(rows, count, &io->ledger);
    qsort(rows, count, sizeof *rows, compare_born);
    for (size_t i = 0; i < count; i++) {
        if (page->writer->capacity - page->writer->size < ENTRY_SIZE_MAX + END_SIZE)
            page->cut++;
        else
            write_row(&page->json, &rows[i], io);
    }
}

void ops_page_end(struct ops_page *page)
{
    json_end(&page->json);
    json_number(&page->json, "resting", page->resting);
    json_number(&page->json, "cut", page->cut);
    json_end(&page->json);
}
