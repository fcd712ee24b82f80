/* cairn tracker: a tracker alone. */
#include "bin/tracker_role.h"
#include "bin/verbs.h"
#include "io/loop.h"
#include "io/panic.h"
#include "io/signal.h"
#include "sight/report.h"

struct tracker_process {
    struct server server;
    struct tracker_settings settings;
    struct tracker_role role;
    struct tracker_config config;
    struct signal_watch signals;
    struct panic_source panic;
    int code;
};

static void on_signal(struct signal_watch *watch, enum signal_wish wish)
{
    struct tracker_process *process = watch->context;
    if (wish == SIGNAL_WISH_END)
        tracker_role_drain(&process->role, process->settings.drain_ns);
}

static void tracker_turn_until_over(struct tracker_process *process, struct io *io)
{
    err_t err = signal_watch(io, &process->signals, on_signal, process);
    if (err_is(err)) {
        process->code = server_fail(&process->server, "signals", err);
        tracker_role_drain(&process->role, 0);
    } else {
        server_log_start(&process->server, &process->role.log, process->role.mem.bytes, io);
        server_print_ready(&process->server,
            &(struct server_addresses){.tracker = tracker_address(&process->role.tracker),
                .fastdfs_tracker = tracker_fastdfs_address(&process->role.tracker),
                .http_tracker = tracker_http_address(&process->role.tracker)},
            io);
    }
    while (!tracker_role_is_over(&process->role))
        io_turn(io, true);
    tracker_role_close(&process->role);
    if (err_is(err))
        return;
    signal_unwatch(&process->signals);
    while (!signal_watch_is_idle(&process->signals))
        io_turn(io, true);
}

static void tracker_body(struct io *io, uint16_t loop_index, void *context)
{
    struct tracker_process *process = context;
    CHECK(loop_index == 0);
    panic_enter(&process->panic, io);
    err_t err = tracker_role_open(&process->role, &process->server, io, &process->config, true);
    if (err_is(err))
        process->code = server_fail(&process->server, process->settings.listen, err);
    else {
        server_begin_drill(io, &process->role.log);
        tracker_turn_until_over(process, io);
    }
    panic_leave(&process->panic, io);
}

static int tracker_serve(struct tracker_process *process)
{
    struct loop_group group;
    signal_block();
    process->panic = (struct panic_source){
        .role = "tracker", .more = sight_panic_rows, .context = &process->role.tracker.sight};
    panic_install(&process->panic);
    err_t err = loop_group_start(&group,
        &(struct loop_group_options){
            .backend = (enum backend_choice)process->server.settings.io_backend,
            .count = 1,
            .first_here = true},
        tracker_body, process);
    if (!err_is(err))
        loop_group_join(&group);
    panic_install(NULL);
    if (err_is(err))
        return server_fail_loops(&process->server, err);
    return process->code;
}

static int tracker_main(const struct verb *verb, int argc, char **argv)
{
    struct tracker_process process = {.code = 0};
    struct server_table tables[] = {{&tracker_settings_table, &process.settings}};
    enum args_result result =
        server_begin(&process.server, verb, tables, ARRAY_LEN(tables), argc, argv);
    if (result == ARGS_OK) {
        tracker_settings_take(&process.server, &process.settings, &process.config);
        result = server_check(&process.server);
    }
    return result == ARGS_OK ? tracker_serve(&process) : args_exit_code(result);
}

static void print_help(const struct verb *verb)
{
    char *words[] = {(char *)(uintptr_t)verb->name, (char *)(uintptr_t) "--help", NULL};
    (void)tracker_main(verb, 2, words);
}

const struct verb tracker_verb = {
    .name = "tracker",
    .brief = "run a tracker: it knows which storages are there",
    .usage = "[--listen HOST:PORT] [options]",
    .about =
        "Learns from the storages' heartbeats who is there, and names them to clients. Keeps no\n"
        "state: after a restart it is complete within a heartbeat. Any number of trackers may\n"
        "run; storages and clients are given all of them. Prints a line with its address when\n"
        "it is ready, and ends on SIGTERM or SIGINT after what is under way.",
    .examples =
        "  cairn tracker --listen 10.0.0.1:7700 --client-secret-file c --node-secret-file n\n"
        "  cairn tracker --config /etc/cairn/tracker.conf --check",
    .run = tracker_main,
    .print_help = print_help,
};
