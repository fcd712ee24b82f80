/* cairn ops: everything that the servers have in flight. */
#include "bin/verbs.h"

#include <inttypes.h>
#include <jansson.h>

#include "base/units.h"
#include "bin/nodes.h"

enum { OPS_CELL_MAX = 48 };

struct ops_options {
    struct common common;
    uint64_t older_ns;
    bool is_all, shows_resting;
};

struct ops_view {
    struct session *session;
    const struct ops_options *options;
    uint64_t shown, overdue, resting, cut;
};

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static uint64_t number_of(const json_t *object, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(object, key));
    return value > 0 ? (uint64_t)value : 0;
}

static const char *duration(uint64_t duration_ms, char ret[OPS_CELL_MAX])
{
    struct text text;
    text_init(&text, ret, OPS_CELL_MAX);
    text_add_duration(&text, duration_ms * NS_PER_MS);
    return ret;
}

/* "2 slot, 1 op" */
static const char *held_text(const json_t *operation, char ret[OPS_CELL_MAX])
{
    struct text text;
    json_t *held = json_object_get(operation, "held"), *count;
    const char *kind;
    text_init(&text, ret, OPS_CELL_MAX);
    json_object_foreach(held, kind, count) text_add(&text, "%s%" PRIu64 " %s",
        text.size > 0 ? ", " : "", (uint64_t)json_integer_value(count), kind);
    return text.size > 0 ? ret : "-";
}

static const char *peer_text(const json_t *operation, char ret[OPS_CELL_MAX])
{
    uint64_t peer = number_of(operation, "peer");
    if (peer == 0)
        return "-";
    (void)snprintf(ret, OPS_CELL_MAX, "m%03" PRIu64, peer);
    return ret;
}

static void print_row(const struct node *node, const json_t *operation)
{
    char age[OPS_CELL_MAX], stage_age[OPS_CELL_MAX], limit[OPS_CELL_MAX], peer[OPS_CELL_MAX];
    char held[OPS_CELL_MAX];
    uint64_t deadline_ms = number_of(operation, "deadline_ms");
    bool is_overdue = json_is_true(json_object_get(operation, "overdue"));
    (void)printf("%-5s %-14s %-16s %-9s %-5s %8s%s\n", node->name, text_of(operation, "kind"),
        text_of(operation, "stage"), text_of(operation, "direction"), peer_text(operation, peer),
        duration(number_of(operation, "age_ms"), age), is_overdue ? "  OVERDUE" : "");
    (void)printf("      in this stage %s", duration(number_of(operation, "stage_ms"), stage_age));
    if (deadline_ms > 0)
        (void)printf(" of %s", duration(deadline_ms, limit));
    (void)printf(
        "; holds %s; waits for %s\n", held_text(operation, held), text_of(operation, "waits"));
    if (number_of(operation, "object") > 0)
        (void)printf("      object %" PRIu64 " of m%03" PRIu64 "\n", number_of(operation, "object"),
            number_of(operation, "origin"));
}

static void show(struct ops_view *view, const struct node *node, json_t *operation)
{
    if (number_of(operation, "age_ms") < view->options->older_ns / NS_PER_MS)
        return;
    view->shown++;
    view->overdue += json_is_true(json_object_get(operation, "overdue"));
    if (!view->session->common->is_json) {
        print_row(node, operation);
        return;
    }
    (void)json_object_set_new(operation, "node", json_string(node->name));
    (void)json_dumpf(operation, stdout, JSON_COMPACT);
    (void)printf("\n");
}

static void show_node(struct ops_view *view, const struct node *node, const char *text)
{
    json_t *root = json_loads(text, 0, NULL), *operation;
    json_t *operations = json_object_get(root, "operations");
    size_t index;
    if (!json_is_array(operations))
        session_fail(view->session, node->name, ERR(PROTOCOL, 0), "it named no operations");
    json_array_foreach(operations, index, operation) show(view, node, operation);
    view->resting += number_of(root, "resting");
    view->cut += number_of(root, "cut");
    json_decref(root);
}

static void ask(struct ops_view *view, const struct node *node)
{
    struct client_op op;
    char *text;
    const char *what = view->options->shows_resting ? "ops all" : "ops";
    err_t err = status_fetch(view->session, &node->address, what, &op, &text);
    if (err_is(err)) {
        session_fail(view->session, node->name, err, op.sentence);
        return;
    }
    view->session->tally.succeeded++;
    show_node(view, node, text);
    mem_give(&view->session->mem, text);
}

static void print_sum(const struct ops_view *view)
{
    (void)printf("%" PRIu64 " in flight, %" PRIu64 " overdue; %" PRIu64 " at rest%s\n", view->shown,
        view->overdue, view->resting, view->options->shows_resting ? " (shown)" : "");
    if (view->cut > 0)
        (void)printf("%" PRIu64 " more: there was no room for them in the answers\n", view->cut);
}

static void ops_run(struct session *session, const struct ops_options *options, const char *word)
{
    struct ops_view view = {.session = session, .options = options};
    void *block;
    err_t err = mem_take(&session->mem, &session->owner, sizeof(struct nodes), 0, &block);
    if (err_is(err)) {
        session_fail(session, "memory", err, err_sentence(err.code));
        return;
    }
    struct nodes *nodes = block;
    if (nodes_find(nodes, session, &word, word ? 1 : 0)) {
        for (size_t i = 0; i < nodes->count && !session->was_interrupted; i++)
            ask(&view, &nodes->all[i]);
        if (!session->common->is_json)
            print_sum(&view);
    }
    (void)fflush(stdout);
    mem_give(&session->mem, block);
}

static int ops_main(const struct verb *verb, int argc, char **argv)
{
    struct ops_options options = {.common = COMMON_DEFAULT};
    int first;
    enum args_result parsed = args_parse(verb, argc, argv, &options, &first, stdout, stderr);
    if (parsed != ARGS_OK)
        return args_exit_code(parsed);
    if (argc - first > 1 || (argc - first == 1 && options.is_all))
        return usage_exit(verb, "one node, or --all");
    struct session session;
    int code = session_open(&session, "ops", &options.common, 1, 1);
    if (code != 0)
        return code;
    ops_run(&session, &options, first < argc ? argv[first] : NULL);
    code = session_exit_code(&session);
    session_close(&session);
    return code;
}

static const struct arg rows[] = {
    {.name = "all",
        .kind = ARG_FLAG,
        .text = "every tracker and every storage (what is asked without NODE, too)",
        .offset = offsetof(struct ops_options, is_all)},
    {.name = "older",
        .kind = ARG_DURATION,
        .value = "TIME",
        .text = "only what began so long ago",
        .offset = offsetof(struct ops_options, older_ns)},
    {.name = "resting",
        .kind = ARG_FLAG,
        .text = "also what waits for work: idle connections, logs, checkpoints",
        .offset = offsetof(struct ops_options, shows_resting)},
    COMMON_ROWS(struct ops_options),
};

const struct verb ops_verb = {
    .name = "ops",
    .brief = "everything in flight: stage, age, deadline, what it holds and waits for",
    .usage = "[NODE | --all] [--older TIME] [options]",
    .about =
        "Asks storages and trackers for every request, sync stream, rebuild, scrub and checkpoint\n"
        "that is under way: its stage and how long it has been there (OVERDUE: longer than that\n"
        "stage should last), what it holds (slot, fd, mem ... as in the ledger) and what it waits\n"
        "for: an operation of the kernel with its descriptor and the place in the source, its "
        "turn\n"
        "in the loop, or arrivals from other machines, locks and buffers. NODE is a storage "
        "(m001)\n"
        "or HOST:PORT of any server.",
    .examples = "  cairn ops\n"
                "  cairn ops m002 --older 5s\n"
                "  cairn ops --json | jq -c 'select(.overdue)'",
    .args = {rows, ARRAY_LEN(rows)},
    .run = ops_main,
};
