/* cairn up: tracker and storage in one process. */
#include "bin/storage_process.h"
#include "bin/verbs.h"

#include <unistd.h>

#include "base/units.h"

enum { PORT_BETWEEN = 10, TRACKER_CONNECTIONS = 256 };
enum { FASTDFS_STORAGE_PORT = 23000, FASTDFS_TRACKER_PORT = 22122 };
/* Where fewer files may be open, what there is goes to the native door. */
enum { HTTP_DESCRIPTORS_MIN = 128 };

struct up_settings {
    const char *data, *host;
    uint64_t port;
    bool fastdfs;
};

static const struct config_key keys[] = {
    {.name = "data",
        CONFIG_AT_TEXT(struct up_settings, data),
        .default_text = "cairn-data",
        .min = 1,
        .max = 4000,
        .help = "directory of the files; made and formatted on the first start"},
    {.name = "port",
        CONFIG_AT_INTEGER(struct up_settings, port),
        .default_text = "7700",
        .max = 65505,
        .unit = "port",
        .help = "of the tracker; the storage takes the one 10 above; 0: any free ports"},
    {.name = "host",
        CONFIG_AT_TEXT(struct up_settings, host),
        .default_text = "127.0.0.1",
        .max = 45,
        .help = "address to listen on"},
    {.name = "fastdfs",
        CONFIG_AT_BOOL(struct up_settings, fastdfs),
        .default_text = "no",
        .help =
            "serve FastDFS's clients too: tracker port 22122, storage port 23000 (port 0: any)"},
};
static const struct config_table up_table = {
    .section = "up", .keys = keys, .count = ARRAY_LEN(keys)};

struct up {
    struct storage_process process;
    struct up_settings settings;
    char mount[8192], listen[80], http_listen[80], fastdfs_listen[80];
};

static void address_text(const struct up *up, uint64_t port, char *text, size_t size)
{
    bool is_v6 = strchr(up->settings.host, ':') != NULL;
    (void)snprintf(text, size, is_v6 ? "[%s]:%u" : "%s:%u", up->settings.host, (unsigned)port);
}

/* Mount points are absolute; --data starts at the working directory. */
static bool mount_text(struct up *up)
{
    const char *data = up->settings.data;
    char directory[4096] = "";
    if (data[0] != '/' && !getcwd(directory, sizeof directory))
        return false;
    int size =
        snprintf(up->mount, sizeof up->mount, "%s%s%s", directory, data[0] != '/' ? "/" : "", data);
    return size > 0 && (size_t)size < sizeof up->mount;
}

static void make_data_directory(struct up *up)
{
    struct server *server = &up->process.server;
    struct io_op make = {
        .kind = IO_MKDIR, .fd = IO_FD_NONE, .path = up->mount, .owner = &server->owner};
    (void)io_call(server->io, &make); /* what is wrong with it, opening it will say */
}

/* The keys of the storage follow from ours, unless they were given. */
static void fill_in(struct up *up)
{
    struct server *server = &up->process.server;
    uint64_t port = up->settings.port;
    address_text(up, port > 0 ? port + PORT_BETWEEN : 0, up->listen, sizeof up->listen);
    address_text(
        up, port > 0 ? port + 2 * PORT_BETWEEN : 0, up->http_listen, sizeof up->http_listen);
    server_set_default(server, "machine", "m001");
    server_set_default(server, "group", "g1");
    server_set_default(server, "listen", up->listen);
    address_text(
        up, port > 0 ? FASTDFS_STORAGE_PORT : 0, up->fastdfs_listen, sizeof up->fastdfs_listen);
    if (up->settings.fastdfs)
        server_set_default(server, "fastdfs_listen", up->fastdfs_listen);
    if (limit_raise(LIMIT_FILES).soft >= HTTP_DESCRIPTORS_MIN)
        server_set_default(server, "http_listen", up->http_listen);
    if (mount_text(up))
        server_set_default(server, "mount", up->mount);
    else
        config_problem(&server->config, "data: the path is too long");
}

/* An eighth of a low limit of open files: the storage needs the rest. */
static uint32_t tracker_connections(void)
{
    uint64_t share = limit_raise(LIMIT_FILES).soft / 8;
    return share < TRACKER_CONNECTIONS ? (uint32_t)share : TRACKER_CONNECTIONS;
}

/* It knows no secrets: on loopback only. */
static void take_tracker_http(struct up *up)
{
    struct tracker_config *config = &up->process.tracker_config;
    uint64_t port = up->settings.port;
    struct io_address address;
    char text[80];
    address_text(up, port > 0 ? port + 3 * PORT_BETWEEN : 0, text, sizeof text);
    config->http_connection_max = tracker_connections();
    if (up->process.config.http_listen[0] != '\0' && !err_is(io_address_parse(text, &address))
        && io_address_is_loopback(&address))
        config->http_address = address;
}

static void take_tracker(struct up *up)
{
    struct storage_process *process = &up->process;
    char text[80];
    address_text(up, up->settings.port, text, sizeof text);
    tracker_config_default(&process->tracker_config);
    process->has_tracker = true;
    process->tracker_config.shares_loop = true;
    process->tracker_config.connection_max = tracker_connections();
    process->tracker_config.secrets = &process->server.secrets;
    if (err_is(io_address_parse(text, &process->tracker_config.address)))
        config_problem(&process->server.config, "host = %s: not an address; write 127.0.0.1 or ::1",
            up->settings.host);
    uint64_t fastdfs_port = up->settings.port > 0 ? FASTDFS_TRACKER_PORT : 0;
    address_text(up, fastdfs_port, text, sizeof text);
    process->tracker_config.fastdfs_connection_max = tracker_connections();
    process->tracker_config.fastdfs_wide = process->config.fastdfs_wide;
    if (up->settings.fastdfs && process->config.fastdfs_listen[0] != '\0')
        (void)err_is(io_address_parse(text, &process->tracker_config.fastdfs_address));
    server_listen_openly(&process->server, "fastdfs", &process->tracker_config.fastdfs_address);
    take_tracker_http(up);
    if (process->config.trackers.count > 0)
        config_problem(&process->server.config,
            "tracker: cairn up brings its own; for others, run cairn storage");
}

/* Tracker and storage are one process: nobody has to know the node secret but us. */
static void make_node_secret(struct storage_process *process)
{
    struct handshake_secrets *secrets = &process->server.secrets;
    if (!secret_is_set(&secrets->client) || secret_is_set(&secrets->node))
        return;
    secrets->node.size = SECRET_SIZE_MAX;
    for (size_t i = 0; i < SECRET_SIZE_MAX; i += 8)
        put_u64(secrets->node.bytes + i, io_random(process->server.io));
}

static enum args_result up_check(struct up *up)
{
    struct storage_process *process = &up->process;
    fill_in(up);
    take_tracker(up);
    server_load_secrets(
        &process->server, process->config.client_secret_file, process->config.node_secret_file);
    make_node_secret(process);
    server_listen(&process->server, "host", &process->tracker_config.address);
    storage_process_check(process);
    if (!process->server.must_check && process->server.config.problem_count == 0)
        make_data_directory(up);
    return server_check(&process->server);
}

static int up_main(const struct verb *verb, int argc, char **argv)
{
    struct up up = {.settings = {.port = 0}};
    struct server_table tables[] = {
        {&up_table, &up.settings}, {&storage_config_table, &up.process.config}};
    enum args_result result =
        server_begin(&up.process.server, verb, tables, ARRAY_LEN(tables), argc, argv);
    if (result == ARGS_OK)
        result = up_check(&up);
    return result == ARGS_OK ? storage_process_run(&up.process) : args_exit_code(result);
}

static void print_help(const struct verb *verb)
{
    char *words[] = {(char *)(uintptr_t)verb->name, (char *)(uintptr_t) "--help", NULL};
    (void)up_main(verb, 2, words);
}

const struct verb up_verb = {
    .name = "up",
    .brief = "all in one: tracker and storage, in the foreground",
    .usage = "[--data DIR] [--port N] [options]",
    .about =
        "Starts a tracker and a storage in one process, on loopback, without any configuration.\n"
        "Prints a line with their addresses when it is ready:\n"
        "  ready tracker=127.0.0.1:7700 storage=127.0.0.1:7710 http=127.0.0.1:7720 "
        "http_tracker=127.0.0.1:7730 io=io_uring\n"
        "Ends on SIGTERM or SIGINT after what is under way. Listening beyond loopback wants\n"
        "secrets. All keys of a storage can be given, too.",
    .examples = "  cairn up\n"
                "  cairn up --data /srv/cairn --port 0 --json\n"
                "  cairn up --fastdfs\n"
                "  cairn up --host 0.0.0.0 --advertise 10.0.0.7:7710 --client-secret-file s",
    .run = up_main,
    .print_help = print_help,
};
