/* cairn status: the cluster on one screen. */
#include "bin/verbs.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

#include "base/units.h"
#include "bin/health.h"
#include "io/process.h"

enum { LAG_TEXT_MAX = 32 };

struct status_options {
    struct common common;
    const char *server, *what;
};

struct colours {
    const char *good, *warn, *bad, *plain;
};

static struct colours colours_of_terminal(void)
{
    static const struct colours none = {"", "", "", ""};
    static const struct colours some = {"\033[32m", "\033[33m", "\033[31m", "\033[0m"};
    return process_is_terminal(STANDARD_OUTPUT) && !getenv("NO_COLOR") ? some : none;
}

static void print_size(const char *before, uint64_t size)
{
    char bytes[32];
    struct text text;
    text_init(&text, bytes, sizeof bytes);
    text_add_size(&text, size);
    (void)printf("%s%s", before, bytes);
}

static void print_summary(const struct cluster_view *view, const struct health *health)
{
    struct colours colours = colours_of_terminal();
    size_t running = 0;
    uint64_t free_bytes = 0, total_bytes = 0;
    for (size_t i = 0; i < view->count; i++) {
        running += view->storages[i].is_running;
        free_bytes += view->storages[i].is_running ? view->storages[i].free_bytes : 0;
        total_bytes += view->storages[i].is_running ? view->storages[i].total_bytes : 0;
    }
    const char *colour = health->is_error           ? colours.bad
                         : health->total_count == 0 ? colours.good
                                                    : colours.warn;
    (void)printf("cluster  %s%s%s  %zu/%zu storages running", colour, health_name(health),
        colours.plain, running, view->count);
    print_size("  ", free_bytes);
    print_size(" free of ", total_bytes);
    (void)printf("\n");
    for (size_t i = 0; i < health->count; i++)
        (void)printf("  %s%-20s%s %s  -> %s\n", colours.warn, health->findings[i].code,
            colours.plain, health->findings[i].sentence, health->findings[i].next);
    if (health->total_count > health->count)
        (void)printf("  and %zu more: cairn status --json\n", health->total_count - health->count);
}

/* How far behind its group; "-": nobody knows, or it is alone. */
static const char *lag_text(const struct cluster_storage *storage, char ret[LAG_TEXT_MAX])
{
    struct text text;
    text_init(&text, ret, LAG_TEXT_MAX);
    if (storage->is_alive && storage->lag_ms > 0)
        text_add_duration(&text, storage->lag_ms * NS_PER_MS);
    else
        text_add(&text, "-");
    return ret;
}

static void print_storages(const struct cluster_view *view)
{
    char address[IO_ADDRESS_TEXT_MAX], lag[LAG_TEXT_MAX];
    (void)printf("\n%-6s %-12s %-16s %-10s %-8s %-22s %s\n", "name", "pool", "group", "state",
        "lag", "address", "free");
    for (size_t i = 0; i < view->count; i++) {
        const struct cluster_storage *storage = &view->storages[i];
        (void)printf("m%03" PRIu32 "   %-12s %-16s %-10s %-8s %-22s", storage->machine,
            storage->pool, storage->group, storage->is_draining ? "draining" : storage->state,
            lag_text(storage, lag), io_address_format(&storage->address, address));
        print_size(" ", storage->free_bytes);
        print_size(" of ", storage->total_bytes);
        (void)printf("\n");
    }
    (void)fflush(stdout);
}

/* The server's own JSON as one line, with our judgement added to that of a tracker. */
static bool print_json(const char *text, const struct health *health)
{
    json_t *root = json_loads(text, 0, NULL);
    if (health) {
        json_t *codes = json_array();
        for (size_t i = 0; i < health->count; i++)
            (void)json_array_append_new(codes, json_string(health->findings[i].code));
        (void)json_object_set_new(root, "health", json_string(health_name(health)));
        (void)json_object_set_new(root, "findings", codes);
    }
    bool is_good = root && json_dumpf(root, stdout, JSON_COMPACT) == 0;
    json_decref(root);
    (void)printf("\n");
    (void)fflush(stdout);
    return is_good;
}

static void print_pretty(const char *text)
{
    json_t *root = json_loads(text, 0, NULL);
    if (root)
        (void)json_dumpf(root, stdout, JSON_INDENT(2));
    json_decref(root);
    (void)printf("\n");
    (void)fflush(stdout);
}

static void show_cluster(struct session *session, const char *text)
{
    struct cluster_view view;
    struct health health;
    if (!cluster_view_parse(&view, text)) {
        session_fail(session, "tracker", ERR(PROTOCOL, 0), "its status names no storages");
        return;
    }
    health_judge(&view, &health);
    if (session->common->is_json) {
        (void)print_json(text, &health);
        return;
    }
    print_summary(&view, &health);
    print_storages(&view);
}

static void status_run(struct session *session, const struct status_options *options)
{
    struct client_op op;
    struct io_address server = {.family = 0};
    char *text;
    bool is_cluster = !options->server && options->what[0] == '\0';
    if (options->server && err_is(io_address_parse(options->server, &server))) {
        session_fail(session, options->server, ERR(USAGE, 0), "HOST:PORT is wanted");
        return;
    }
    err_t err = status_fetch(session, &server, options->what, &op, &text);
    if (err_is(err)) {
        session_fail(session, options->server ? options->server : "cluster", err, op.sentence);
        return;
    }
    session->tally.succeeded++;
    if (is_cluster)
        show_cluster(session, text);
    else if (session->common->is_json)
        (void)print_json(text, NULL);
    else
        print_pretty(text);
    mem_give(&session->mem, text);
}

static int status_main(const struct verb *verb, int argc, char **argv)
{
    struct status_options options = {.common = COMMON_DEFAULT, .what = ""};
    int first;
    enum args_result parsed = args_parse(verb, argc, argv, &options, &first, stdout, stderr);
    if (parsed != ARGS_OK)
        return args_exit_code(parsed);
    if (first != argc)
        return usage_exit(verb, "only options are wanted");
    struct session session;
    int code = session_open(&session, "status", &options.common, 1, 1);
    if (code != 0)
        return code;
    status_run(&session, &options);
    code = session_exit_code(&session);
    session_close(&session);
    return code;
}

static const struct arg rows[] = {
    {.name = "server",
        .kind = ARG_TEXT,
        .value = "HOST:PORT",
        .text = "what this tracker or storage tells of itself, all of it",
        .offset = offsetof(struct status_options, server)},
    {.name = "what",
        .kind = ARG_TEXT,
        .value = "PART",
        .text = "only this part of it",
        .offset = offsetof(struct status_options, what)},
    COMMON_ROWS(struct status_options),
};

const struct verb status_verb = {
    .name = "status",
    .brief = "the cluster on one screen: what is well, what is not, what to type next",
    .usage = "[--server HOST:PORT] [options]",
    .about =
        "Asks a tracker and prints the state of the cluster: HEALTH_OK; HEALTH_WARN if files are\n"
        "in danger; HEALTH_ERR if some can't be reached. What is wrong has a name (STORAGE_DEAD,\n"
        "GROUP_DEGRADED, MIRROR_LAGGING, DISK_OFFLINE ...) and the command to type next.",
    .examples = "  cairn status\n"
                "  cairn status --json | jq -r .health\n"
                "  cairn status --server 127.0.0.1:7710",
    .args = {rows, ARRAY_LEN(rows)},
    .run = status_main,
};
