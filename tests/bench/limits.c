/* limits: what this machine can do, as plain loops, to compare Cairn with in the same run.
 *
 *   limits --help
 *
 * Not a test: figures drift. Listens on loopback, on a free port; ends by itself. */
#include "tests/bench/limits.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/text.h"
#include "bin/args.h"

enum { VALUES_MAX = 16 };

struct options {
    const char *work, *sizes, *clients, *threads, *directory;
    uint64_t duration_ns, in_flight, data_size;
    bool is_json, discards, must_keep;
};

struct list {
    uint64_t values[VALUES_MAX];
    size_t count;
};

static const struct work_row {
    const char *name;
    bool is_net;
    bool is_default;
} works[WORK_COUNT] = {
    [WORK_GET] = {"get", true, true},
    [WORK_SENDFILE] = {"sendfile", true, false},
    [WORK_PUT_MEMORY] = {"put-memory", true, true},
    [WORK_PUT_DURABLE] = {"put-durable", true, true},
    [WORK_PUT_DIRECT] = {"put-direct", true, false},
    [WORK_READ] = {"read", false, true},
    [WORK_COLD_READ] = {"cold-read", false, true},
    [WORK_APPEND_SYNC] = {"append-sync", false, true},
    [WORK_APPEND_DIRECT] = {"append-direct", false, true},
    [WORK_APPEND_BATCHES] = {"append-direct-32", false, true},
};

/* ---- output ---- */

static double per(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0 : (double)part / (double)whole;
}

static void print_json(const struct cell *cell, const struct result *result)
{
    (void)printf("{\"operation\":\"%s\",\"size\":%" PRIu64 ",\"clients\":%u,\"threads\":%u,"
                 "\"in_flight\":%u,\"client_checks\":%s,\"operations\":%" PRIu64
                 ",\"duration_ns\":%" PRIu64 ",\"operations_per_second\":%.1f,\"p50_ns\":%" PRIu64
                 ",\"p99_ns\":%" PRIu64 ",\"max_ns\":%" PRIu64 ",\"server_cpu_ns\":%" PRIu64
                 ",\"commits\":%" PRIu64 "}\n",
        works[cell->work].name, cell->size, cell->client_count, cell->thread_count, cell->in_flight,
        cell->client_checks ? "true" : "false", result->count, result->duration_ns,
        per(result->count, result->duration_ns) * 1e9, latency_quantile(&result->latency, 500),
        latency_quantile(&result->latency, 990), result->latency.max_ns, result->server_cpu_ns,
        result->commits);
}

static void print_row(const struct cell *cell, const struct result *result)
{
    char size[32];
    struct text text;
    text_init(&text, size, sizeof size);
    text_add_size(&text, cell->size);
    (void)printf("%-17s %8s %7u %7u %10.0f %9.1f %10.2f %9.1f %9.1f %9.1f\n",
        works[cell->work].name, size, cell->client_count, cell->thread_count,
        per(result->count, result->duration_ns) * 1e9,
        per(result->count * cell->size, result->duration_ns) * 1e9 / (double)MIB,
        per(result->server_cpu_ns, result->count) / 1e3,
        (double)latency_quantile(&result->latency, 500) / 1e3,
        (double)latency_quantile(&result->latency, 990) / 1e3, per(result->count, result->commits));
}

/* ---- cells ---- */

static void run_cell(const struct options *options, const struct cell *cell)
{
    struct result result = {0};
    if (works[cell->work].is_net)
        net_cell_run(cell, &result);
    else
        disk_cell_run(cell, &result);
    if (options->is_json)
        print_json(cell, &result);
    else
        print_row(cell, &result);
    (void)fflush(stdout);
}

static void run_net_cells(const struct options *options, struct cell *cell,
    const struct list *sizes, const struct list *clients, const struct list *threads)
{
    for (size_t t = 0; t < threads->count; t++)
        for (size_t s = 0; s < sizes->count; s++)
            for (size_t c = 0; c < clients->count; c++) {
                cell->thread_count = (unsigned)threads->values[t];
                cell->size = sizes->values[s];
                cell->client_count = (unsigned)clients->values[c];
                bool is_small = cell->work == WORK_PUT_DIRECT && cell->size <= INLINE_MAX;
                if (cell->client_count >= cell->thread_count && !is_small)
                    run_cell(options, cell);
            }
}

/* ---- options ---- */

static bool parse_list(const char *text, uint64_t max, struct list *ret)
{
    char item[32];
    while (text) {
        size_t length = strcspn(text, ",");
        uint64_t value;
        if (ret->count == VALUES_MAX || !span_to_text(span_of(text, length), item, sizeof item)
            || !parse_size(item, &value) || value == 0 || value > max)
            return false;
        ret->values[ret->count++] = value;
        text = text[length] == ',' ? text + length + 1 : NULL;
    }
    return true;
}

static bool is_named(const char *list, const char *name)
{
    size_t size = strlen(name);
    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (strcspn(at, ",") == size && memcmp(at, name, size) == 0)
            return true;
    return false;
}

static bool is_wanted(const struct options *options, enum work work)
{
    return options->work ? is_named(options->work, works[work].name) : works[work].is_default;
}

static bool are_sizes_good(const struct list *sizes, uint64_t data_size)
{
    for (size_t i = 0; i < sizes->count; i++) {
        uint64_t size = sizes->values[i];
        if (size % PAGE != 0 || size > data_size
            || (size > SUM_BLOCK ? size % SUM_BLOCK != 0 : SUM_BLOCK % size != 0))
            return false;
    }
    return true;
}

static int complain(const char *what)
{
    (void)fprintf(stderr, "limits: %s\n", what);
    return 2;
}

static void run_all(const struct options *options, const struct list *sizes,
    const struct list *clients, const struct list *threads)
{
    struct data_file data;
    data_file_open(&data, options->directory, options->data_size);
    struct cell cell = {.in_flight = (unsigned)options->in_flight,
        .client_checks = !options->discards,
        .duration_ns = options->duration_ns,
        .directory = options->directory,
        .data = &data};
    if (!options->is_json)
        (void)printf("%-17s %8s %7s %7s %10s %9s %10s %9s %9s %9s\n", "operation", "size",
            "clients", "threads", "op/s", "MiB/s", "CPU us/op", "p50 us", "p99 us", "op/commit");
    for (cell.work = 0; cell.work < WORK_COUNT; cell.work++) {
        if (!is_wanted(options, cell.work))
            continue;
        cell.size = PAGE;
        cell.thread_count = cell.client_count = 1;
        if (works[cell.work].is_net)
            run_net_cells(options, &cell, sizes, clients, threads);
        else
            run_cell(options, &cell);
    }
    data_file_close(&data);
    if (!options->must_keep)
        data_file_remove(options->directory);
}

static int limits_main(const struct verb *verb, int argc, char **argv)
{
    struct options options = {.sizes = "4K,64K,1M,16M",
        .clients = "1,8,32,128",
        .threads = "1",
        .directory = "/tmp",
        .duration_ns = NS_PER_S,
        .in_flight = 1,
        .data_size = GIB};
    struct list sizes = {0}, clients = {0}, threads = {0};
    int first;
    enum args_result parsed = args_parse(verb, argc, argv, &options, &first, stdout, stderr);
    if (parsed != ARGS_OK)
        return parsed == ARGS_HELP ? 0 : 2;
    if (!parse_list(options.sizes, 64 * MIB, &sizes) || !are_sizes_good(&sizes, options.data_size))
        return complain(
            "--sizes wants 4K, 8K, ... 64K, or multiples of 64K up to 64M and the data");
    if (!parse_list(options.clients, CONNECTIONS_MAX, &clients))
        return complain("--clients wants numbers up to 1024 like 1,8,32");
    if (!parse_list(options.threads, THREADS_MAX, &threads))
        return complain("--threads wants numbers up to 8 like 1,2");
    run_all(&options, &sizes, &clients, &threads);
    return 0;
}

static const struct arg rows[] = {
    {.name = "work",
        .kind = ARG_TEXT,
        .value = "LIST",
        .text = "get sendfile put-memory put-durable put-direct read cold-read append-sync "
                "append-direct\n"
                "append-direct-32 (all but sendfile\n"
                "and put-direct, which is for sizes above 64K)",
        .offset = offsetof(struct options, work)},
    {.name = "sizes",
        .kind = ARG_TEXT,
        .value = "LIST",
        .text = "sizes of bodies (4K,64K,1M,16M)",
        .offset = offsetof(struct options, sizes)},
    {.name = "clients",
        .kind = ARG_TEXT,
        .value = "LIST",
        .text = "connections, one request at a time each (1,8,32,128)",
        .offset = offsetof(struct options, clients)},
    {.name = "threads",
        .kind = ARG_TEXT,
        .value = "LIST",
        .text = "1: a server on CPU 0, clients on CPU 1; n: n of both, connections steered (1)",
        .offset = offsetof(struct options, threads)},
    {.name = "in-flight",
        .kind = ARG_NUMBER,
        .value = "N",
        .text = "commits at the same time (1)",
        .offset = offsetof(struct options, in_flight),
        .min = 1,
        .max = 15},
    {.name = "discard",
        .kind = ARG_FLAG,
        .text = "clients throw bodies away; default: they copy and verify them",
        .offset = offsetof(struct options, discards)},
    {.name = "seconds",
        .kind = ARG_DURATION,
        .value = "TIME",
        .text = "for each cell (1s), after 0.2 s of warming up",
        .offset = offsetof(struct options, duration_ns),
        .min = NS_PER_MS,
        .max = NS_PER_MINUTE},
    {.name = "dir",
        .kind = ARG_TEXT,
        .value = "DIR",
        .text = "where files are made (/tmp)",
        .offset = offsetof(struct options, directory)},
    {.name = "data",
        .kind = ARG_SIZE,
        .value = "SIZE",
        .text = "size of the file that is read (1G)",
        .offset = offsetof(struct options, data_size),
        .min = MIB,
        .max = 64 * GIB},
    {.name = "keep",
        .kind = ARG_FLAG,
        .text = "leave DIR/limits.data there for the next run",
        .offset = offsetof(struct options, must_keep)},
    {.name = "json",
        .kind = ARG_FLAG,
        .text = "an object a line",
        .offset = offsetof(struct options, is_json)},
};

int main(int argc, char **argv)
{
    const struct verb verb = {.name = "limits",
        .brief = "what this machine can do, as plain loops",
        .usage = "[options]",
        .about = "Measures a server that is nothing but a socket, a read or write and a checksum.",
        .args = {rows, ARRAY_LEN(rows)}};
    return limits_main(&verb, argc, argv);
}
