#include "bin/storage_process.h"

#include <inttypes.h>

#include "base/units.h"
#include "io/process.h"
#include "sight/report.h"

enum { OWN_DESCRIPTORS = 4 }; /* standard streams, signals */
enum { READY_TIMERS_MAX = 1000 };
#define READY_TIMER_NS (5 * NS_PER_MS)

/* What a tracker beside us holds: its own sum, without its loop, which is ours. */
static uint32_t tracker_descriptors(const struct storage_process *process)
{
    const struct tracker_config *config = &process->tracker_config;
    return process->has_tracker ? (uint32_t)tracker_role_descriptors(config) : 0;
}

/* ---- sums ---- */

static void check_memory(struct server *server, const struct storage_budget *budget)
{
    uint64_t memory = limits_memory_size();
    char text_data[1024];
    struct text text;
    if (budget->memory_sum <= memory)
        return;
    text_init(&text, text_data, sizeof text_data);
    storage_budget_print_memory(budget, &text);
    text_add(&text, ", but this host has ");
    text_add_size(&text, memory);
    config_problem(&server->config, "%s: lower a number, or give it more", text_data);
}

void storage_process_check(struct storage_process *process)
{
    struct server *server = &process->server;
    struct storage_config *config = &process->config;
    storage_config_check(config, &server->config);
    server_load_secrets(server, config->client_secret_file, config->node_secret_file);
    server_load_http_secret(server, config->http_secret_file);
    server_load_token_secret(server, config->http_token_secret_file);
    server_listen(server, "listen", &config->listen_address);
    server_listen_openly(server, "fastdfs_listen", &config->fastdfs_address);
    if (config->http_write == HTTP_ACCESS_OPEN)
        server_listen(server, "http_listen", &config->http_address);
    if (server->config.problem_count > 0)
        return; /* the sums would be those of another configuration */
    struct storage_budget budget;
    err_t err = storage_budget(
        &(struct storage_budget_request){.config = config,
            .loops = config->loops > 0 ? (uint32_t)config->loops : limits_cpu_count(),
            .reserved = OWN_DESCRIPTORS + tracker_descriptors(process),
            .descriptor_limit = limit_raise(LIMIT_FILES).soft},
        &budget);
    for (unsigned i = STORAGE_DESCRIPTORS_BASE + 1; i < STORAGE_DESCRIPTORS_COUNT; i++)
        server_sum_add(server, storage_descriptors_name(i), budget.descriptors[i]);
    if (process->has_tracker)
        server_sum_add(server, "tracker: connections and listener", tracker_descriptors(process));
    if (!err_is(err))
        check_memory(server, &budget);
}

/* ---- loop 0 ---- */

static void on_signal(struct signal_watch *watch, enum signal_wish wish)
{
    struct storage_process *process = watch->context;
    if (wish != SIGNAL_WISH_END)
        return;
    process->is_stopping = true;
    io_cancel(watch->io, &process->timer);
    storage_stop(&process->storage);
}

static bool tracker_knows_storage(const struct storage_process *process)
{
    const struct registry_tables *tables = &process->tracker.tracker.tables;
    for (uint32_t i = 0; i < tables->storages_max; i++)
        if (tables->storages[i].machine != 0 && tables->storages[i].state == STATE_RUNNING)
            return true;
    return false;
}

static void print_ready(struct storage_process *process)
{
    const struct storage *storage = &process->storage;
    struct server_addresses addresses = {.storage = storage_address(storage),
        .http = storage_http_address(storage),
        .fastdfs = storage_fastdfs_address(storage)};
    if (process->has_tracker) {
        addresses.tracker = tracker_address(&process->tracker.tracker);
        addresses.fastdfs_tracker = tracker_fastdfs_address(&process->tracker.tracker);
        addresses.http_tracker = tracker_http_address(&process->tracker.tracker);
    }
    server_print_ready(&process->server, &addresses, storage->loops[0].io);
}

/* Ready is who can be used: not before the first heartbeat has reached our tracker. */
static void print_ready_when_known(struct io_op *timer)
{
    struct storage_process *process = timer->context;
    if (process->is_stopping)
        return;
    if (!process->has_tracker || tracker_knows_storage(process)
        || process->timer_count++ == READY_TIMERS_MAX) {
        print_ready(process);
        return;
    }
    struct io *io = process->storage.loops[0].io;
    process->timer.deadline_ns = io_now(io) + READY_TIMER_NS;
    io_submit(io, &process->timer);
}

static void on_running(struct storage *storage, void *context)
{
    struct storage_process *process = context;
    server_log_start(
        &process->server, &storage->loops[0].log, storage->budget.memory_sum, storage->loops[0].io);
    process->timer = (struct io_op){.kind = IO_TIMER,
        .fd = IO_FD_NONE,
        .owner = &storage->loops[0].owner,
        .wake = print_ready_when_known,
        .context = process};
    print_ready_when_known(&process->timer);
}

static void cpu_time(void *context, uint64_t *ret_user_ns, uint64_t *ret_system_ns)
{
    struct process_cpu cpu = process_cpu();
    (void)context;
    *ret_user_ns = cpu.user_ns;
    *ret_system_ns = cpu.system_ns;
}

/* The tracker first: the storage is told its real port. */
static err_t open_beside(struct storage_process *process, struct io *io)
{
    if (process->has_tracker) {
        TRY(tracker_role_open(
            &process->tracker, &process->server, io, &process->tracker_config, false));
        process->is_tracker_open = true;
        process->storage.config.tracker[0] = *tracker_address(&process->tracker.tracker);
        process->storage.config.tracker_count = 1;
    }
    TRY(signal_watch(io, &process->signals, on_signal, process));
    process->is_watching = true;
    return ERR_OK;
}

/* The storage has gone, and said goodbye: now the tracker. */
static void close_beside(struct storage_process *process, struct io *io)
{
    if (process->is_tracker_open) {
        tracker_role_drain(&process->tracker, NS_PER_S);
        while (!tracker_role_is_over(&process->tracker))
            io_turn(io, true);
        tracker_role_close(&process->tracker);
    }
    if (!process->is_watching)
        return;
    signal_unwatch(&process->signals);
    while (!signal_watch_is_idle(&process->signals))
        io_turn(io, true);
}

static void first_body(struct storage_process *process, struct io *io)
{
    struct storage *storage = &process->storage;
    char address[IO_ADDRESS_TEXT_MAX];
    err_t err = open_beside(process, io);
    storage_loop_enter(storage, 0, io, io);
    server_begin_drill(io, &storage->loops[0].log);
    if (err_is(err)) {
        bool is_tracker = process->has_tracker && !process->is_tracker_open;
        process->code = server_fail(&process->server,
            is_tracker ? io_address_format(&process->tracker_config.address, address) : "start",
            err);
        storage_stop(storage);
    }
    storage_loop_run(storage, 0);
    close_beside(process, io);
}

static void body(struct io *io, uint16_t loop_index, void *context)
{
    struct storage_process *process = context;
    panic_enter(&process->panic, io);
    if (loop_index == 0) {
        first_body(process, io);
    } else {
        storage_loop_enter(&process->storage, loop_index, io, loop_group_io(&process->group, 0));
        server_begin_drill(io, &process->storage.loops[loop_index].log);
        storage_loop_run(&process->storage, loop_index);
    }
    panic_leave(&process->panic, io);
}

/* ---- the process ---- */

static int fail_open(struct storage_process *process, err_t err)
{
    char text_data[1024];
    struct text text;
    text_init(&text, text_data, sizeof text_data);
    storage_budget_print_descriptors(&process->storage.budget, &text);
    (void)fprintf(stderr, "cairn %s: %s\n", process->server.verb->name, text_data);
    return err_exit_code(err.code);
}

static int fail_start(struct storage_process *process, err_t err)
{
    const char *why = process->storage.why;
    if (why[0] == '\0')
        return server_fail(&process->server, "start", err);
    (void)fprintf(stderr, "cairn %s: %s\n", process->server.verb->name, why);
    return err_exit_code(err.code);
}

int storage_process_run(struct storage_process *process)
{
    struct server *server = &process->server;
    signal_block();
    process->options = (struct storage_options){.config = &process->config,
        .secrets = &server->secrets,
        .http_secret = &server->http_secret,
        .token_secret = &server->token_secret,
        .processors = limits_cpu_count(),
        .reserved_descriptors = OWN_DESCRIPTORS + tracker_descriptors(process),
        .descriptor_limit = limit_get(LIMIT_FILES).soft,
        .write_log = server_log_write,
        .log_level = (enum event_level)server->settings.log_level,
        .log_is_json = server->settings.log_format == 1,
        .on_running = on_running,
        .cpu_time = cpu_time,
        .process = process_id(),
        .has_kernel = true,
        .context = process};
    err_t err = storage_open(&process->storage, &process->options);
    if (err_is(err))
        return fail_open(process, err);
    process->panic = (struct panic_source){.role = "storage",
        .machine = process->config.machine_number,
        .more = sight_panic_rows,
        .context = &process->storage.sight};
    panic_install(&process->panic);
    uint16_t count = process->storage.loop_count;
    err = loop_group_start(&process->group,
        &(struct loop_group_options){.backend = (enum backend_choice)server->settings.io_backend,
            .count = count,
            .pin = count > 1,
            .first_here = true},
        body, process);
    if (!err_is(err))
        loop_group_join(&process->group);
    panic_install(NULL);
    if (err_is(err))
        return server_fail_loops(server, err);
    err = storage_result(&process->storage);
    if (process->code == 0 && err_is(err))
        return fail_start(process, err);
    return process->code;
}
