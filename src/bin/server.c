#include "bin/server.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "base/units.h"
#include "bin/date.h"
#include "bin/file.h"
#include "bin/json_line.h"
#include "bin/verbs.h"
#include "io/backend.h"
#include "io/drill.h"

static const char *const log_levels[] = {"debug", "info", "warn", "error", NULL};
static const char *const log_formats[] = {"text", "json", NULL};

static const struct config_key settings_keys[] = {
    {.name = "log_level",
        CONFIG_AT_ENUM(struct server_settings, log_level),
        .default_text = "info",
        .choices = log_levels,
        .help = "less important events are not logged"},
    {.name = "log_format",
        CONFIG_AT_ENUM(struct server_settings, log_format),
        .default_text = "text",
        .choices = log_formats,
        .help = "of the log on standard error"},
    {.name = "io_backend",
        CONFIG_AT_ENUM(struct server_settings, io_backend),
        .default_text = "auto",
        .choices = backend_choices,
        .help = "auto: io_uring, or epoll with a few threads where the host forbids io_uring"},
    {.name = "insecure_listen",
        CONFIG_AT_BOOL(struct server_settings, insecure_listen),
        .default_text = "no",
        .help = "listen beyond loopback without secrets: everybody can read, write and delete"},
};
static const struct config_table settings_table = {
    .section = "server", .keys = settings_keys, .count = ARRAY_LEN(settings_keys)};

/* ---- flags and file ---- */

static void print_help(struct server *server)
{
    static const size_t capacity = sizeof server->content;
    struct text text;
    text_init(&text, server->content, capacity);
    config_print_flags(&server->config, &text);
    (void)printf("Usage: cairn %s %s\n\n%s\n\nOptions:\n", server->verb->name, server->verb->usage,
        server->verb->about);
    (void)printf(
        "  --config FILE             read keys from an INI file; flags count more\n"
        "  --check                   print the effective configuration and its sums, and end\n"
        "  --json                    the ready line as JSON\n"
        "  -h, --help                this text\n"
        "\nEvery flag is also a key of the file, with _ for -:\n%s",
        server->content);
    (void)printf("\nExamples:\n%s\n%s", server->verb->examples, VERB_EXIT_CODES);
}

/* One flag that is no key. False: it is none of these. */
static bool take_own_flag(struct server *server, int argc, char **argv, int *at)
{
    const char *word = argv[*at];
    if (strcmp(word, "--json") == 0) {
        server->is_json = true;
    } else if (strcmp(word, "--check") == 0) {
        server->must_check = true;
    } else if (strcmp(word, "--config") == 0 && *at + 1 < argc) {
        server->config_path = argv[++*at];
    } else if (strncmp(word, "--config=", 9) == 0) {
        server->config_path = word + 9;
    } else {
        return false;
    }
    ++*at;
    return true;
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

/* The file first, wherever --config stands: flags count more. Its own flags are noted on the way;
 * those that are keys are taken in the second pass. */
static void find_own_flags(struct server *server, int argc, char **argv)
{
    for (int at = 1; at < argc;)
        if (!take_own_flag(server, argc, argv, &at))
            at++;
}

static void take_flags(struct server *server, int argc, char **argv)
{
    for (int at = 1; at < argc;) {
        if (take_own_flag(server, argc, argv, &at))
            continue;
        err_t err = config_flag(&server->config, argc, argv, &at);
        if (!err_has(err, ERR_CODE_NOT_FOUND))
            continue; /* taken, or noted as a problem */
        config_unknown_flag(&server->config, argv[at]);
        at++;
    }
}

static void take_file(struct server *server)
{
    size_t size;
    err_t err = file_load(server->io, &server->owner, server->config_path, server->content,
        sizeof server->content, &size);
    if (err_is(err)) {
        config_problem(&server->config, "%s: %s: a readable file of at most 256 KiB is wanted",
            server->config_path, err.os ? strerror(err.os) : err_sentence(err.code));
        return;
    }
    err = config_read(&server->config, server->config_path, span_of(server->content, size));
    (void)err; /* every problem is noted; config_finish tells */
}

enum args_result server_begin(struct server *server, const struct verb *verb,
    const struct server_table *tables, size_t table_count, int argc, char **argv)
{
    static const char *const sections[] = {"server", "tracker", "storage", "up", NULL};
    server->verb = verb;
    config_init(&server->config);
    server->config.other_sections = sections;
    for (size_t i = 0; i < table_count; i++)
        config_add(&server->config, tables[i].table, tables[i].target);
    config_add(&server->config, &settings_table, &server->settings);
    if (wants_help(argc, argv)) {
        print_help(server);
        return ARGS_HELP;
    }
    err_t err = backend_io_new(&(struct backend_options){.loop_count = 1}, &server->io);
    if (err_is(err)) {
        (void)usage_error(verb->name, backend_explain(err));
        return ARGS_BAD;
    }
    owner_open(&server->owner, "start", DIRECTION_OWN, 0);
    find_own_flags(server, argc, argv);
    if (server->config_path)
        take_file(server);
    take_flags(server, argc, argv);
    server_sum_add(server, "standard streams and signals", 4);
    return ARGS_OK;
}

void server_set_default(struct server *server, const char *name, const char *value)
{
    char key[64];
    char *words[] = {key, (char *)(uintptr_t)value, NULL};
    int at = 0;
    (void)snprintf(key, sizeof key, "--%s", name);
    for (size_t i = 0; i < server->config.slot_count; i++) {
        const struct config_slot *slot = &server->config.slots[i];
        if (strcmp(slot->key->name, name) == 0 && slot->origin == CONFIG_FROM_DEFAULT) {
            err_t err = config_flag(&server->config, 2, words, &at);
            CHECK(!err_has(err, ERR_CODE_NOT_FOUND)); /* what is wrong with the value is noted */
        }
    }
}

static void load_secret(struct server *server, const char *path, struct secret *ret)
{
    size_t size;
    if (path[0] == '\0')
        return;
    err_t err =
        file_load(server->io, &server->owner, path, server->content, 4 * SECRET_SIZE_MAX, &size);
    if (!err_is(err))
        err = secret_read(span_of(server->content, size), ret);
    if (err_is(err))
        config_problem(&server->config,
            "%s: a readable file with a secret of 16 to 64 characters is wanted", path);
}

void server_load_secrets(struct server *server, const char *client_path, const char *node_path)
{
    load_secret(server, client_path, &server->secrets.client);
    load_secret(server, node_path, &server->secrets.node);
}

void server_load_http_secret(struct server *server, const char *path)
{
    load_secret(server, path, &server->http_secret);
}

void server_load_token_secret(struct server *server, const char *path)
{
    size_t size = 0;
    if (path[0] == '\0')
        return;
    err_t err =
        file_load(server->io, &server->owner, path, server->content, 4 * SECRET_SIZE_MAX, &size);
    while (size > 0 && strchr("\r\n", (char)server->content[size - 1]))
        size--;
    if (err_is(err) || size == 0 || size > SECRET_SIZE_MAX) {
        config_problem(&server->config,
            "%s: a readable file with FastDFS's secret key of 1 to 64 characters is wanted", path);
        return;
    }
    memcpy(server->token_secret.bytes, server->content, size);
    server->token_secret.size = (uint8_t)size;
}

/* ---- checks ---- */

void server_sum_add(struct server *server, const char *holder, uint64_t count)
{
    CHECK(server->sum_count < SERVER_SUMS_MAX);
    server->sums[server->sum_count++] = (struct server_sum){holder, count};
}

static bool secrets_are_set(const struct server *server)
{
    return secret_is_set(&server->secrets.client) && secret_is_set(&server->secrets.node);
}

void server_listen(struct server *server, const char *key, const struct io_address *address)
{
    char origin[128], text[IO_ADDRESS_TEXT_MAX];
    struct text where;
    if (address->family == 0 || io_address_is_loopback(address) || secrets_are_set(server)
        || server->settings.insecure_listen)
        return;
    text_init(&where, origin, sizeof origin);
    config_add_origin(&server->config, key, &where);
    config_problem(&server->config,
        "%s (%s): %s is beyond loopback, where everybody could read, write and delete: set "
        "client_secret_file and node_secret_file, or say --insecure-listen",
        key, origin, io_address_format(address, text));
}

void server_listen_openly(struct server *server, const char *key, const struct io_address *address)
{
    char text[IO_ADDRESS_TEXT_MAX];
    if (address->family == 0 || io_address_is_loopback(address) || server->settings.insecure_listen)
        return;
    config_problem(&server->config,
        "%s: %s is beyond loopback, and this protocol has no secrets: everybody who reaches it "
        "could "
        "read, write and delete; say --insecure-listen if the network keeps others out",
        key, io_address_format(address, text));
}

static uint64_t sum_of(const struct server *server)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < server->sum_count; i++)
        sum += server->sums[i].count;
    return sum;
}

static void check_descriptors(struct server *server)
{
    struct limit limit = limit_raise(LIMIT_FILES);
    uint64_t sum = sum_of(server);
    if (sum <= limit.soft)
        return;
    char names[512];
    struct text text;
    text_init(&text, names, sizeof names);
    for (size_t i = 0; i < server->sum_count; i++)
        text_add(&text, "%s%" PRIu64 " %s", i > 0 ? " + " : "", server->sums[i].count,
            server->sums[i].holder);
    config_problem(&server->config,
        "%" PRIu64 " descriptors may be needed (%s), but the limit of open files is %" PRIu64
        ": raise it (ulimit -Hn, LimitNOFILE=) or lower a number",
        sum, names, limit.soft);
}

static void print_check(struct server *server)
{
    struct text text;
    text_init(&text, server->content, sizeof server->content);
    config_print(&server->config, &text);
    (void)printf("%s\n# descriptors at most:\n", server->content);
    for (size_t i = 0; i < server->sum_count; i++)
        (void)printf("#   %8" PRIu64 "  %s\n", server->sums[i].count, server->sums[i].holder);
    (void)printf("#   %8" PRIu64 "  together, of %" PRIu64 " that are allowed\n", sum_of(server),
        limit_get(LIMIT_FILES).soft);
    (void)fflush(stdout);
}

static void print_check_json(struct server *server)
{
    struct text text;
    text_init(&text, server->content, sizeof server->content);
    config_print_json(&server->config, &text);
    (void)printf("{\"configuration\":%s,\"descriptors\":%" PRIu64 ",\"descriptors_limit\":%" PRIu64
                 "}\n",
        server->content, sum_of(server), limit_get(LIMIT_FILES).soft);
    (void)fflush(stdout);
}

enum args_result server_check(struct server *server)
{
    check_descriptors(server);
    owner_close(&server->owner);
    server->io->backend->free(server->io);
    if (err_is(config_finish(&server->config))) {
        (void)fprintf(stderr, "%s", config_problems(&server->config));
        return ARGS_BAD;
    }
    if (!server->must_check)
        return ARGS_OK;
    if (server->is_json)
        print_check_json(server);
    else
        print_check(server);
    return ARGS_HELP;
}

/* ---- talk ---- */

void server_log_write(void *context, enum event_level level, struct span line)
{
    const struct server *server = context;
    char date[DATE_TEXT_MAX] = "";
    struct timespec now;
    (void)level;
    if (server->settings.log_format == 0 && clock_gettime(CLOCK_REALTIME, &now) == 0) {
        date_format((uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec, date);
        (void)fprintf(stderr, "%s %.*s\n", date, (int)line.size, (const char *)line.data);
    } else {
        (void)fprintf(stderr, "%.*s\n", (int)line.size, (const char *)line.data);
    }
}

void server_log_init(const struct server *server, struct event_log *log, struct io *io)
{
    event_log_init(log, server_log_write, (void *)(uintptr_t)server);
    log->level = (enum event_level)server->settings.log_level;
    log->is_json = server->settings.log_format == 1;
    log->now_ns = &io->now_ns;
}

static void log_backend(const struct server *server, struct event_log *log, const struct io *io)
{
    const char *why = backend_why(io, (enum backend_choice)server->settings.io_backend);
    if (why)
        EVENT(log, WARN, "io_backend", NULL, EVENT_TEXT("name", io->backend->name),
            EVENT_TEXT("why", why));
    else
        EVENT(log, INFO, "io_backend", NULL, EVENT_TEXT("name", io->backend->name));
}

void server_log_start(
    struct server *server, struct event_log *log, uint64_t memory_bytes, const struct io *io)
{
    log_backend(server, log, io);
    for (size_t i = 0; i < server->sum_count; i++)
        EVENT(log, INFO, "budget", NULL, EVENT_TEXT("holder", server->sums[i].holder),
            EVENT_NUMBER("descriptors", server->sums[i].count));
    EVENT(log, INFO, "budget_total", NULL, EVENT_NUMBER("descriptors", sum_of(server)),
        EVENT_NUMBER("descriptors_limit", limit_get(LIMIT_FILES).soft),
        EVENT_SIZE("memory", memory_bytes), EVENT_SIZE("memory_of_host", limits_memory_size()));
    if (server->settings.insecure_listen && !secrets_are_set(server))
        EVENT(log, WARN, "insecure_listen", NULL,
            EVENT_TEXT("danger", "everybody who reaches this port can read, write and delete"));
}

void server_begin_drill(struct io *io, struct event_log *log)
{
    const char *name = getenv("CAIRN_DRILL");
    if (!name || name[0] == '\0')
        return;
    enum drill_kind kind = drill_find(name);
    if (kind == DRILL_NONE || err_is(drill_open(io, kind)))
        EVENT(log, ERROR, "no_drill", NULL, EVENT_TEXT("name", name));
    else
        EVENT(log, WARN, "drill", NULL, EVENT_TEXT("name", name),
            EVENT_TEXT("danger", "this process leaks on purpose"));
}

void server_print_ready(
    const struct server *server, const struct server_addresses *addresses, const struct io *io)
{
    const struct {
        const char *name;
        const struct io_address *address;
    } all[] = {{"tracker", addresses->tracker}, {"storage", addresses->storage},
        {"http", addresses->http}, {"fastdfs", addresses->fastdfs},
        {"fastdfs_tracker", addresses->fastdfs_tracker}, {"http_tracker", addresses->http_tracker}};
    char text[IO_ADDRESS_TEXT_MAX];
    struct json_line json;
    json_line_begin(&json);
    json_line_add_bool(&json, "ready", true);
    if (!server->is_json)
        (void)printf("ready");
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if (!all[i].address || all[i].address->family == 0)
            continue;
        (void)io_address_format(all[i].address, text);
        if (server->is_json)
            json_line_add_text(&json, all[i].name, text);
        else
            (void)printf(" %s=%s", all[i].name, text);
    }
    if (server->is_json) {
        json_line_add_text(&json, "io", io->backend->name);
        json_line_print(&json, stdout);
    } else {
        (void)printf(" io=%s\n", io->backend->name);
    }
    (void)fflush(stdout);
}

int server_fail(const struct server *server, const char *what, err_t err)
{
    (void)fprintf(stderr, "cairn %s: %s: %s%s%s%s\n", server->verb->name, what,
        err_sentence(err.code), err.os ? " (" : "", err.os ? strerror(err.os) : "",
        err.os ? ")" : "");
    return err_exit_code(err.code);
}

int server_fail_loops(const struct server *server, err_t err)
{
    (void)fprintf(stderr, "cairn %s: loops: %s\n", server->verb->name, backend_explain(err));
    return err_exit_code(err.code);
}
