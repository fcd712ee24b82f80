/* cairn res: what every node holds, by place in the code, owner, direction, peer and age. */
#include "bin/verbs.h"

#include <unistd.h>

#include "base/units.h"
#include "bin/nodes.h"
#include "bin/res_table.h"

struct res_options {
    struct common common;
    bool is_all;
    const char *by, *save, *diff;
    uint64_t older_ns;
};

static const char *const columns[] = {"", "site", "owner", "direction", "peer", "class"};

static bool by_parse(const char *text, enum res_by *ret)
{
    *ret = RES_BY_ALL;
    for (size_t i = 1; text && i < ARRAY_LEN(columns); i++)
        if (strcmp(text, columns[i]) == 0) {
            *ret = (enum res_by)i;
            return true;
        }
    return text == NULL;
}

static bool is_kind(const char *word)
{
    for (int kind = 0; kind < HELD_COUNT; kind++)
        if (strcmp(word, held_kind_name((enum held_kind)kind)) == 0)
            return true;
    return false;
}

/* Roles of one process hold together: on one host the process number tells. */
static bool was_read(const struct nodes *nodes, const uint64_t *processes, size_t index)
{
    const struct io_address *address = &nodes->all[index].address;
    for (size_t i = index + 1; i < nodes->count; i++)
        if (processes[i] != 0 && processes[i] == processes[index]
            && memcmp(nodes->all[i].address.bytes, address->bytes, sizeof address->bytes) == 0)
            return true;
    return false;
}

/* Storages first: of a process with two roles they are the ones that look by themselves. */
static void read_nodes(struct session *session, const struct nodes *nodes, const char *kind,
    uint64_t older_ns, struct res_table *table)
{
    uint64_t processes[NODES_MAX] = {0};
    for (size_t i = nodes->count; i-- > 0;) {
        json_t *answer = node_ask(&nodes->all[i], session, "res");
        if (!answer)
            continue;
        processes[i] = json_number_of(answer, "process");
        if (!was_read(nodes, processes, i))
            res_table_read(table, answer, nodes->all[i].name, kind, older_ns / NS_PER_MS);
        json_decref(answer);
    }
}

static bool subtract_saved(struct session *session, struct res_table *table, const char *path)
{
    json_t *saved = json_load_file(path, 0, NULL);
    bool is_good = saved && res_table_subtract(table, saved);
    json_decref(saved);
    if (!is_good)
        session_fail(session, path, ERR(USAGE, 0), "a file of cairn res --save is wanted");
    return is_good;
}

static void save(struct session *session, const struct res_table *table, const char *path)
{
    json_t *all = res_table_save(table);
    if (json_dump_file(all, path, JSON_COMPACT) != 0)
        session_fail(session, path, ERR(IO, 0), "it cannot be written");
    json_decref(all);
}

static void print(const struct session *session, const struct res_table *table)
{
    if (!session->common->is_json)
        res_table_print_head();
    for (size_t i = 0; i < table->count; i++) {
        if (!session->common->is_json) {
            res_row_print(&table->rows[i]);
            continue;
        }
        json_t *row = res_row_json(&table->rows[i]);
        (void)json_dumpf(row, stdout, JSON_COMPACT);
        json_decref(row);
        (void)printf("\n");
    }
    (void)fflush(stdout);
}

struct res_request {
    const char *kind;
    const char *const *names;
    size_t name_count;
    enum res_by by;
};

static void res_run(
    struct session *session, const struct res_options *options, const struct res_request *request)
{
    struct res_table table;
    void *block;
    if (err_is(mem_take(&session->mem, &session->owner, sizeof(struct nodes), 0, &block)))
        return;
    struct nodes *nodes = block;
    if (err_is(res_table_init(&table, &session->mem, &session->owner))) {
        mem_give(&session->mem, nodes);
        return;
    }
    bool is_good = nodes_find(nodes, session, request->names, request->name_count);
    if (is_good)
        read_nodes(session, nodes, request->kind, options->older_ns, &table);
    if (is_good && options->save)
        save(session, &table, options->save);
    if (is_good && options->diff)
        is_good = subtract_saved(session, &table, options->diff);
    res_table_group(&table, request->by);
    res_table_sort(&table);
    if (is_good)
        print(session, &table);
    session->tally.succeeded += is_good && table.count > 0;
    if (table.left_off > 0)
        session_note(session, "%llu rows had no room", (unsigned long long)table.left_off);
    res_table_fini(&table, &session->mem);
    mem_give(&session->mem, nodes);
}

static int res_main(const struct verb *verb, int argc, char **argv)
{
    struct res_options options = {.common = COMMON_DEFAULT};
    int first;
    enum args_result parsed = args_parse(verb, argc, argv, &options, &first, stdout, stderr);
    if (parsed != ARGS_OK)
        return args_exit_code(parsed);
    struct res_request request = {.kind = ""};
    if (!by_parse(options.by, &request.by))
        return usage_exit(verb, "--by wants site, owner, direction, peer or class");
    if (first < argc && is_kind(argv[first]))
        request.kind = argv[first++];
    request.names = (const char *const *)(void *)(argv + first);
    request.name_count = (size_t)(argc - first);
    if (options.is_all && request.name_count > 0)
        return usage_exit(verb, "either nodes or --all");
    struct session session;
    int code = session_open(&session, "res", &options.common, 1, 1);
    if (code != 0)
        return code;
    res_run(&session, &options, &request);
    code = session_exit_code(&session);
    session_close(&session);
    return code;
}

static const struct arg rows[] = {
    {.name = "all",
        .kind = ARG_FLAG,
        .text = "every tracker and storage (the same as naming none)",
        .offset = offsetof(struct res_options, is_all)},
    {.name = "by",
        .kind = ARG_TEXT,
        .value = "COLUMN",
        .text = "put together by site, owner, direction, peer or class",
        .offset = offsetof(struct res_options, by)},
    {.name = "older",
        .kind = ARG_DURATION,
        .value = "TIME",
        .text = "only where the oldest is older than this",
        .offset = offsetof(struct res_options, older_ns),
        .min = 0,
        .max = 365 * NS_PER_DAY},
    {.name = "save",
        .kind = ARG_TEXT,
        .value = "FILE",
        .text = "keep what is held now",
        .offset = offsetof(struct res_options, save)},
    {.name = "diff",
        .kind = ARG_TEXT,
        .value = "FILE",
        .text = "only what has changed since it was kept: acquired since, and still held",
        .offset = offsetof(struct res_options, diff)},
    COMMON_ROWS(struct res_options),
};

const struct verb res_verb = {
    .name = "res",
    .brief = "what every node holds: where it was acquired, for whom, since when",
    .usage = "[fd|map|mem|conn|op|slot|timer|space] [NODE...|--all] [options]",
    .about =
        "Prints a row for everything alike that a node holds: descriptors, mappings, memory,\n"
        "connections, operations, pool slots, timers, reserved space; with the place in the code,\n"
        "the direction (client, sync-send, sync-recv ...), the owner (the machine that the "
        "objects\n"
        "come from), the machine at the other end, how long it is expected to be held (class), "
        "the\n"
        "age of the oldest and the growth per minute. LATE: held for longer than 8 s although it\n"
        "was for one request; OVERDUE: for longer than 5 minutes; LEAK: late ones that only "
        "become\n"
        "more; FORSAKEN: the other end is gone. NODE: m001, tracker, HOST:PORT.",
    .examples = "  cairn res fd --by site\n"
                "  cairn res slot m002 --older 60s\n"
                "  cairn res --save before; cairn res --diff before",
    .args = {rows, ARRAY_LEN(rows)},
    .run = res_main,
};
