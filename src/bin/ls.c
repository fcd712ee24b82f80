/* cairn ls: everything that is stored, from the slot maps: the rescue when ids were lost. */
#include "bin/verbs.h"

#include <inttypes.h>

#include "base/units.h"
#include "bin/cluster_view.h"
#include "bin/date.h"
#include "bin/session.h"

enum { PAGE_COUNT = 1000 };

struct ls_options {
    struct common common;
    struct arg_list storages;
    const char *since, *group;
};

struct ls {
    struct session session;
    const struct ls_options *options;
    uint64_t since_ns;
    struct client_sink sink;
    uint8_t page[FRAME_DATA_MAX];
    size_t page_size;
    char cursor[FRAME_META_MAX];
    size_t cursor_size;
};

static err_t page_take(struct client_sink *sink, struct span data)
{
    struct ls *ls = CONTAINER_OF(sink, struct ls, sink);
    if (data.size > sizeof ls->page - ls->page_size)
        return ERR(TOO_LARGE, 0);
    memcpy(ls->page + ls->page_size, data.data, data.size);
    ls->page_size += data.size;
    return ERR_OK;
}

static err_t page_begin(struct client_sink *sink, const struct client_op *op)
{
    (void)op;
    CONTAINER_OF(sink, struct ls, sink)->page_size = 0;
    return ERR_OK;
}

static void print_entry(
    const struct ls *ls, struct span id, uint64_t size, uint64_t modify_ns, struct version version)
{
    if (ls->options->common.is_json) {
        struct json_line json;
        json_line_begin(&json);
        json_line_add_span(&json, "id", id);
        json_line_add_number(&json, "size", size);
        json_line_add_number(&json, "modify_ns", modify_ns);
        json_line_add_version(&json, "version", version);
        json_line_print(&json, stdout);
        return;
    }
    char date[DATE_TEXT_MAX];
    (void)printf("%.*s\t%" PRIu64 "\t%s\t%" PRIu64 ".%" PRIu32 "\n", (int)id.size,
        (const char *)id.data, size, date_format(modify_ns, date), version.counter,
        version.machine);
}

static err_t print_page(struct ls *ls, uint32_t count)
{
    struct reader reader = {.data = ls->page, .size = ls->page_size};
    for (uint32_t i = 0; i < count; i++) {
        struct span id = read_text(&reader);
        uint64_t size = read_u64(&reader), modify_ns = read_u64(&reader);
        struct version version = {.counter = read_u64(&reader), .machine = read_u32(&reader)};
        if (reader.failed)
            return ERR(PROTOCOL, 0);
        print_entry(ls, id, size, modify_ns, version);
        ls->session.tally.succeeded++;
    }
    (void)fflush(stdout);
    return ERR_OK;
}

/* One page; sets the cursor for the next, empty at the end. */
static err_t list_page(struct ls *ls, struct client_op *op, const struct io_address *storage)
{
    *op = (struct client_op){.type = MSG_LIST, .sink = &ls->sink, .server = *storage};
    op->request.list = (struct msg_list){.cursor = span_of(ls->cursor, ls->cursor_size),
        .since_ns = ls->since_ns,
        .count_max = PAGE_COUNT};
    TRY(session_run(&ls->session, op));
    struct span cursor = op->reply.listed.cursor;
    memcpy(ls->cursor, cursor.data, cursor.size);
    ls->cursor_size = cursor.size;
    return print_page(ls, op->reply.listed.count);
}

static void list_storage(struct ls *ls, const struct io_address *storage)
{
    struct client_op op;
    char name[IO_ADDRESS_TEXT_MAX];
    ls->cursor_size = 0;
    do {
        err_t err = list_page(ls, &op, storage);
        if (err_is(err)) {
            session_fail(&ls->session, io_address_format(storage, name), err, op.sentence);
            return;
        }
    } while (ls->cursor_size > 0 && !ls->session.was_interrupted);
}

static void list_named(struct ls *ls)
{
    for (size_t i = 0; i < ls->options->storages.count; i++) {
        const char *name = ls->options->storages.items[i];
        struct io_address address;
        err_t err = io_address_parse(name, &address);
        if (err_is(err))
            session_fail(&ls->session, name, err, "HOST:PORT of a storage is wanted");
        else
            list_storage(ls, &address);
    }
}

/* One running storage of each group holds all files of the group. */
static void list_cluster(struct ls *ls)
{
    struct cluster_view view;
    if (!cluster_view_load(&view, &ls->session))
        return;
    for (size_t i = 0; i < view.count; i++) {
        const struct cluster_storage *storage = &view.storages[i];
        bool is_wanted = !ls->options->group || strcmp(storage->group, ls->options->group) == 0;
        if (is_wanted && storage->is_first_of_group)
            list_storage(ls, &storage->address);
    }
}

static int ls_main(const struct verb *verb, int argc, char **argv)
{
    struct ls_options options = {.common = COMMON_DEFAULT};
    int first;
    enum args_result parsed = args_parse(verb, argc, argv, &options, &first, stdout, stderr);
    if (parsed != ARGS_OK)
        return args_exit_code(parsed);
    if (first != argc)
        return usage_exit(verb, "only options are wanted");
    struct ls ls = {.options = &options, .sink = {.take = page_take, .begin = page_begin}};
    int code = session_open(&ls.session, "ls", &options.common, 1, 1);
    if (code != 0)
        return code;
    if (options.since && !parse_time(options.since, io_wall(ls.session.io), &ls.since_ns)) {
        (void)usage_error("ls", "--since wants a time like 2026-01-31, 2h (ago) or unix seconds");
        session_close(&ls.session);
        return err_exit_code(ERR_CODE_USAGE);
    }
    if (options.storages.count > 0)
        list_named(&ls);
    else
        list_cluster(&ls);
    code = session_exit_code(&ls.session);
    session_close(&ls.session);
    return code;
}

static const struct arg rows[] = {
    {.name = "since",
        .kind = ARG_TEXT,
        .value = "TIME",
        .text = "only what was modified since: 2026-01-31, 2h (ago), unix seconds",
        .offset = offsetof(struct ls_options, since)},
    {.name = "group",
        .kind = ARG_TEXT,
        .value = "GROUP",
        .text = "only this group",
        .offset = offsetof(struct ls_options, group)},
    {.name = "storage",
        .kind = ARG_LIST,
        .value = "HOST:PORT",
        .text = "ask these storages, without a tracker; repeatable",
        .offset = offsetof(struct ls_options, storages)},
    COMMON_ROWS(struct ls_options),
};

const struct verb ls_verb = {
    .name = "ls",
    .brief = "list what is stored: the rescue when ids were lost",
    .usage = "[--since TIME] [options]",
    .about =
        "Walks the slot maps of one storage per group and prints a line per file:\n"
        "ID<TAB>SIZE<TAB>MODIFIED<TAB>VERSION, in the order of the disks. Reads every slot map:\n"
        "meant for rescue and audit, not for daily use. Files that are stored or deleted\n"
        "meanwhile may or may not be listed.",
    .examples = "  cairn ls --since 2h\n"
                "  cairn ls --json | jq -r 'select(.size > 1000000) | .id'",
    .args = {rows, ARRAY_LEN(rows)},
    .run = ls_main,
};
