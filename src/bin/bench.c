/* cairn bench: how fast is this cluster, and what does it cost the servers? */
#include "bin/verbs.h"

#include <inttypes.h>

#include "base/prng.h"
#include "base/units.h"
#include "bin/latency.h"
#include "bin/server_cpu.h"
#include "bin/session.h"

enum { CELL_VALUES_MAX = 16, CLIENTS_MAX = 1024, FILES_MAX = 1 << 20, BODY_SIZE_MAX = 64 << 20 };

struct bench_options {
    struct common common;
    const char *sizes, *clients, *acks, *pool;
    uint64_t duration_ns;
    uint64_t rate;  /* uploads per second, all clients together; 0: as fast as it goes */
    uint64_t count; /* uploads after which a line ends; 0: only time ends it */
    bool must_keep, puts_only;
};

struct bench_file {
    char id[FID_TEXT_MAX];
    uint32_t crc;
};

enum bench_phase { PHASE_PUT, PHASE_GET, PHASE_REMOVE };

struct bench_client {
    struct client_op op;
    struct client_source source;
    struct client_sink sink;
    struct bench *bench;
    const struct bench_file *file; /* that is being found or removed */
    uint64_t source_at, source_offset;
    uint64_t started_ns;
    struct io_op pause; /* until its turn comes, with a rate */
};

struct cell {
    uint64_t size;
    uint8_t ack;
    enum bench_phase phase;
    uint64_t client_count;
    uint64_t started_ns, ended_ns, cpu_ns;
    uint64_t errors, corrupt;
    uint64_t due_ns; /* with a rate: when the next upload may begin */
    struct latency latency;
};

struct bench {
    struct session session;
    const struct bench_options *options;
    uint64_t sizes[CELL_VALUES_MAX], clients[CELL_VALUES_MAX];
    uint8_t acks[4];
    size_t size_count, client_count, ack_count;
    uint8_t *body; /* twice the largest size: each file starts elsewhere */
    uint64_t body_size;
    struct bench_client *slots;
    struct bench_file *files;
    size_t file_count, remove_next;
    struct cell cell;
    struct server_cpu cpu;
    struct prng prng;
    size_t active;
    bool is_cpu_known;
    char failure[CLIENT_SENTENCE_MAX];
};

/* ---- contents ---- */

static void source_fill(struct client_source *source, uint8_t *buffer, size_t size)
{
    struct bench_client *client = CONTAINER_OF(source, struct bench_client, source);
    uint64_t left = client->bench->cell.size - client->source_at;
    size_t count = left < size ? (size_t)left : size;
    (void)buffer;
    const uint8_t *data = client->bench->body + client->source_offset + client->source_at;
    client->source_at += count;
    client_source_lent(source, data, count);
}

static bool source_rewind(struct client_source *source)
{
    CONTAINER_OF(source, struct bench_client, source)->source_at = 0;
    return true;
}

static err_t sink_take(struct client_sink *sink, struct span data)
{
    (void)sink;
    (void)data; /* the client computes the checksum itself */
    return ERR_OK;
}

/* ---- one operation after the other, per client ---- */

static bool is_over(const struct bench *bench)
{
    const struct cell *cell = &bench->cell;
    if (bench->session.was_interrupted)
        return true;
    if (cell->phase == PHASE_REMOVE)
        return bench->remove_next == bench->file_count;
    uint64_t most = bench->options->count > 0 ? bench->options->count : FILES_MAX;
    if (cell->phase == PHASE_PUT && bench->file_count + bench->active >= most)
        return true;
    return io_now(bench->session.io) - cell->started_ns >= bench->options->duration_ns;
}

static struct span pool_of(const struct bench *bench)
{
    return bench->options->pool ? span_of_text(bench->options->pool) : span_of(NULL, 0);
}

static void client_done(struct client_op *op);

static void client_begin(struct bench_client *client)
{
    struct bench *bench = client->bench;
    struct cell *cell = &bench->cell;
    struct client_op *op = &client->op;
    *op = (struct client_op){.done = client_done, .context = client};
    client->started_ns = bench->session.io->backend->now_ns(bench->session.io);
    bench->active++;
    if (cell->phase == PHASE_PUT) {
        client->source_at = 0;
        client->source_offset = prng_below(&bench->prng, bench->body_size - cell->size + 1);
        op->type = MSG_UPLOAD;
        op->source = &client->source;
        op->request.upload = (struct msg_upload){.pool = pool_of(bench),
            .ack = cell->ack,
            .is_mutable = 2,
            .size_known = 1,
            .size = cell->size};
    } else if (cell->phase == PHASE_GET) {
        client->file = &bench->files[prng_below(&bench->prng, bench->file_count)];
        op->type = MSG_FIND;
        op->sink = &client->sink;
        op->request.find = (struct msg_find){.id = span_of_text(client->file->id)};
    } else {
        client->file = &bench->files[bench->remove_next++];
        op->type = MSG_DELETE;
        op->request.delete =
            (struct msg_delete){.id = span_of_text(client->file->id), .ack = ACK_MEMORY};
    }
    client_start(&bench->session.client, op);
}

static void pause_over(struct io_op *pause)
{
    struct bench_client *client = pause->context;
    client->bench->active--;
    if (!is_over(client->bench))
        client_begin(client);
}

/* The next upload of this client: now, or when the rate allows it. */
static void client_next(struct bench_client *client)
{
    struct bench *bench = client->bench;
    struct cell *cell = &bench->cell;
    uint64_t now_ns = bench->session.io->backend->now_ns(bench->session.io);
    if (bench->options->rate == 0 || cell->phase != PHASE_PUT) {
        client_begin(client);
        return;
    }
    if (cell->due_ns + NS_PER_S
        < now_ns) /* what was missed is not caught up for longer than that */
        cell->due_ns = now_ns - NS_PER_S;
    cell->due_ns += NS_PER_S / bench->options->rate;
    if (cell->due_ns <= now_ns) {
        client_begin(client);
        return;
    }
    bench->active++;
    client->pause = (struct io_op){.kind = IO_TIMER,
        .fd = IO_FD_NONE,
        .owner = &bench->session.owner,
        .deadline_ns = cell->due_ns,
        .wake = pause_over,
        .context = client};
    io_submit(bench->session.io, &client->pause);
}

static void note_success(struct bench_client *client)
{
    struct bench *bench = client->bench;
    struct client_op *op = &client->op;
    struct cell *cell = &bench->cell;
    latency_add(
        &cell->latency, bench->session.io->backend->now_ns(bench->session.io) - client->started_ns);
    if (cell->phase == PHASE_PUT) {
        struct bench_file *file = &bench->files[bench->file_count++];
        (void)span_to_text(op->reply.uploaded.id, file->id, sizeof file->id);
        file->crc = op->content_crc;
    } else if (cell->phase == PHASE_GET) {
        cell->corrupt += op->content_crc != client->file->crc || op->content_size != cell->size;
    }
}

static void client_done(struct client_op *op)
{
    struct bench_client *client = op->context;
    struct bench *bench = client->bench;
    bench->active--;
    if (!err_is(op->machine.err)) {
        note_success(client);
    } else {
        bench->cell.errors++;
        memcpy(bench->failure, op->sentence, sizeof bench->failure);
        if (bench->cell.errors > 100 + 4 * bench->cell.client_count)
            return; /* this client gives up; the others too, soon */
    }
    if (!is_over(bench))
        client_next(client);
}

/* ---- cells ---- */

static void run_phase(struct bench *bench, enum bench_phase phase)
{
    struct cell *cell = &bench->cell;
    uint64_t cpu_ns = 0;
    cell->phase = phase;
    cell->errors = cell->corrupt = 0;
    cell->latency = (struct latency){0};
    bench->remove_next = 0;
    if (phase != PHASE_REMOVE && bench->is_cpu_known)
        bench->is_cpu_known = server_cpu_read(&bench->cpu, &bench->session, &cpu_ns);
    cell->started_ns = cell->due_ns = io_now(bench->session.io);
    for (size_t i = 0; i < cell->client_count && !is_over(bench); i++)
        client_next(&bench->slots[i]);
    while (bench->active > 0)
        session_turn(&bench->session);
    cell->ended_ns = io_now(bench->session.io);
    if (phase != PHASE_REMOVE && bench->is_cpu_known) {
        bench->is_cpu_known = server_cpu_read(&bench->cpu, &bench->session, &cell->cpu_ns);
        cell->cpu_ns -= cpu_ns;
    }
}

struct figures {
    double ops, mib, ops_per_cpu_second;
};

static struct figures figures_of(const struct bench *bench)
{
    const struct cell *cell = &bench->cell;
    double seconds = (double)(cell->ended_ns - cell->started_ns) / (double)NS_PER_S;
    double count = (double)cell->latency.count;
    struct figures figures = {0};
    if (seconds > 0) {
        figures.ops = count / seconds;
        figures.mib = count * (double)cell->size / (double)MIB / seconds;
    }
    if (bench->is_cpu_known && cell->cpu_ns > 0)
        figures.ops_per_cpu_second = count / ((double)cell->cpu_ns / (double)NS_PER_S);
    return figures;
}

static void report_json(const struct bench *bench, const struct figures *figures)
{
    const struct cell *cell = &bench->cell;
    struct json_line json;
    json_line_begin(&json);
    json_line_add_text(&json, "operation", cell->phase == PHASE_PUT ? "put" : "get");
    json_line_add_number(&json, "size", cell->size);
    json_line_add_number(&json, "clients", cell->client_count);
    json_line_add_text(&json, "ack", ack_name(cell->ack));
    json_line_add_number(&json, "operations", cell->latency.count);
    json_line_add_number(&json, "duration_ns", cell->ended_ns - cell->started_ns);
    json_line_add_real(&json, "operations_per_second", figures->ops);
    json_line_add_real(&json, "mib_per_second", figures->mib);
    json_line_add_number(&json, "p50_ns", latency_quantile(&cell->latency, 500));
    json_line_add_number(&json, "p99_ns", latency_quantile(&cell->latency, 990));
    json_line_add_number(&json, "max_ns", cell->latency.max_ns);
    if (bench->is_cpu_known) {
        json_line_add_number(&json, "server_cpu_ns", cell->cpu_ns);
        json_line_add_real(&json, "operations_per_server_cpu_second", figures->ops_per_cpu_second);
    }
    json_line_add_number(&json, "errors", cell->errors);
    json_line_add_number(&json, "corrupt", cell->corrupt);
    json_line_print(&json, stdout);
}

static void add_padded(struct text *text, int width, uint64_t duration_ns)
{
    char bytes[32];
    struct text part;
    text_init(&part, bytes, sizeof bytes);
    text_add_duration(&part, duration_ns);
    text_add(text, "%*s", width, bytes);
}

static void report_table(const struct bench *bench, const struct figures *figures)
{
    const struct cell *cell = &bench->cell;
    char line[256], size[32];
    struct text text, size_text;
    text_init(&text, line, sizeof line);
    text_init(&size_text, size, sizeof size);
    text_add_size(&size_text, cell->size);
    text_add(&text, "%-4s %8s %8" PRIu64 "  %-7s", cell->phase == PHASE_PUT ? "put" : "get", size,
        cell->client_count, ack_name(cell->ack));
    text_add(&text, "%10.0f %9.1f", figures->ops, figures->mib);
    add_padded(&text, 10, latency_quantile(&cell->latency, 500));
    add_padded(&text, 10, latency_quantile(&cell->latency, 990));
    if (bench->is_cpu_known)
        text_add(&text, "%12.0f", figures->ops_per_cpu_second);
    else
        text_add(&text, "%12s", "?");
    text_add(&text, "%8" PRIu64, cell->errors + cell->corrupt);
    (void)printf("%s\n", line);
    (void)fflush(stdout);
}

static void report_cell(struct bench *bench)
{
    struct figures figures = figures_of(bench);
    if (bench->options->common.is_json)
        report_json(bench, &figures);
    else
        report_table(bench, &figures);
    struct tally *tally = &bench->session.tally;
    tally->succeeded += bench->cell.latency.count;
    if (bench->cell.errors > 0)
        session_fail(
            &bench->session, "operations failed, the last one", ERR(FAILED, 0), bench->failure);
    if (bench->cell.corrupt > 0) {
        session_fail(
            &bench->session, "finds", ERR(CORRUPT, 0), "the content is not what was stored");
        tally->first_code = ERR_CODE_CORRUPT;
    }
}

static void run_cell(struct bench *bench, uint64_t size, uint64_t client_count, uint8_t ack)
{
    bench->cell.size = size;
    bench->cell.client_count = client_count;
    bench->cell.ack = ack;
    bench->file_count = 0;
    run_phase(bench, PHASE_PUT);
    report_cell(bench);
    if (bench->file_count > 0 && !bench->options->puts_only && !bench->session.was_interrupted) {
        run_phase(bench, PHASE_GET);
        report_cell(bench);
    }
    if (!bench->options->must_keep && bench->file_count > 0)
        run_phase(bench, PHASE_REMOVE);
}

static void run_all(struct bench *bench)
{
    if (!bench->options->common.is_json)
        (void)printf("%-4s %8s %8s  %-7s%10s %9s%10s%10s%12s%8s\n", "op", "size", "clients", "ack",
            "ops/s", "MiB/s", "p50", "p99", "ops/cpu-s", "errors");
    for (size_t a = 0; a < bench->ack_count; a++)
        for (size_t s = 0; s < bench->size_count; s++)
            for (size_t c = 0; c < bench->client_count && !bench->session.was_interrupted; c++)
                run_cell(bench, bench->sizes[s], bench->clients[c], bench->acks[a]);
}

/* ---- options and memory ---- */

static const char *next_item(const char *list, char *item, size_t size)
{
    size_t length = strcspn(list, ",");
    (void)span_to_text(span_of(list, length), item, size);
    return list[length] == ',' ? list + length + 1 : NULL;
}

static bool parse_numbers(const char *list, uint64_t max, uint64_t *values, size_t *ret_count)
{
    size_t count = 0;
    char item[32];
    while (list) {
        list = next_item(list, item, sizeof item);
        if (count == CELL_VALUES_MAX || !parse_size(item, &values[count]) || values[count] == 0
            || values[count] > max)
            return false;
        count++;
    }
    *ret_count = count;
    return true;
}

static bool parse_acks(const char *list, struct bench *bench)
{
    char item[32];
    while (list) {
        list = next_item(list, item, sizeof item);
        if (bench->ack_count == ARRAY_LEN(bench->acks)
            || !parse_ack(item, &bench->acks[bench->ack_count]))
            return false;
        bench->ack_count++;
    }
    return true;
}

static bool options_take(struct bench *bench)
{
    const struct bench_options *options = bench->options;
    if (!parse_numbers(options->sizes, BODY_SIZE_MAX, bench->sizes, &bench->size_count))
        return usage_error("bench", "--sizes wants sizes up to 64M like 4K,1M");
    if (!parse_numbers(options->clients, CLIENTS_MAX, bench->clients, &bench->client_count))
        return usage_error("bench", "--clients wants numbers up to 1024 like 1,8,32");
    if (!parse_acks(options->acks, bench))
        return usage_error("bench", "--ack wants levels like local,memory");
    return true;
}

static uint64_t largest(const uint64_t *values, size_t count)
{
    uint64_t max = 0;
    for (size_t i = 0; i < count; i++)
        max = values[i] > max ? values[i] : max;
    return max;
}

static err_t take_memory(struct bench *bench, size_t slot_count)
{
    void *body, *slots, *files;
    struct session *session = &bench->session;
    bench->body_size = 2 * largest(bench->sizes, bench->size_count);
    TRY(mem_take(&session->mem, &session->owner, (size_t)bench->body_size, 4096, &body));
    bench->body = body;
    TRY(mem_take(&session->mem, &session->owner, slot_count * sizeof *bench->slots, 0, &slots));
    bench->slots = slots;
    TRY(mem_take(&session->mem, &session->owner, FILES_MAX * sizeof *bench->files, 0, &files));
    bench->files = files;
    prng_init(&bench->prng, io_random(session->io));
    for (uint64_t i = 0; i + 8 <= bench->body_size; i += 8)
        put_u64(bench->body + i, prng_next(&bench->prng));
    for (size_t i = 0; i < slot_count; i++) {
        struct bench_client *client = &bench->slots[i];
        *client = (struct bench_client){.bench = bench,
            .source = {.fill = source_fill, .rewind = source_rewind},
            .sink = {.take = sink_take},
            .op = {.done = client_done, .context = client}};
    }
    return ERR_OK;
}

static int bench_run(struct bench *bench)
{
    uint64_t slot_count = largest(bench->clients, bench->client_count);
    int code = session_open(&bench->session, "bench", &bench->options->common, (uint32_t)slot_count,
        (uint32_t)slot_count + 1);
    if (code != 0)
        return code;
    err_t err = take_memory(bench, (size_t)slot_count);
    if (err_is(err)) {
        session_fail(&bench->session, "memory", err, NULL);
    } else {
        bench->is_cpu_known = server_cpu_open(&bench->cpu, &bench->session);
        if (!bench->is_cpu_known)
            session_note(&bench->session, "the servers do not tell their CPU time");
        run_all(bench);
    }
    mem_give(&bench->session.mem, bench->files);
    mem_give(&bench->session.mem, bench->slots);
    mem_give(&bench->session.mem, bench->body);
    code = session_exit_code(&bench->session);
    session_close(&bench->session);
    return code;
}

static int bench_main(const struct verb *verb, int argc, char **argv)
{
    struct bench_options options = {.common = COMMON_DEFAULT,
        .sizes = "4K,64K,1M,16M",
        .clients = "1,8,32,128",
        .acks = "local,memory",
        .duration_ns = 2 * NS_PER_S};
    int first;
    enum args_result parsed = args_parse(verb, argc, argv, &options, &first, stdout, stderr);
    if (parsed != ARGS_OK)
        return args_exit_code(parsed);
    if (first != argc)
        return usage_exit(verb, "only options are wanted");
    struct bench bench = {.options = &options};
    return options_take(&bench) ? bench_run(&bench) : err_exit_code(ERR_CODE_USAGE);
}

static const struct arg rows[] = {
    {.name = "sizes",
        .kind = ARG_TEXT,
        .value = "LIST",
        .text = "file sizes (4K,64K,1M,16M)",
        .offset = offsetof(struct bench_options, sizes)},
    {.name = "clients",
        .kind = ARG_TEXT,
        .value = "LIST",
        .text = "clients at once, a connection each (1,8,32,128)",
        .offset = offsetof(struct bench_options, clients)},
    {.name = "ack",
        .kind = ARG_TEXT,
        .value = "LIST",
        .text = "acknowledgement levels (local,memory)",
        .offset = offsetof(struct bench_options, acks)},
    {.name = "seconds",
        .kind = ARG_DURATION,
        .value = "TIME",
        .text = "for each line (2s)",
        .offset = offsetof(struct bench_options, duration_ns),
        .min = NS_PER_MS,
        .max = NS_PER_HOUR},
    {.name = "pool",
        .kind = ARG_TEXT,
        .value = "POOL",
        .text = "store in this pool (default)",
        .offset = offsetof(struct bench_options, pool)},
    {.name = "rate",
        .kind = ARG_NUMBER,
        .value = "N",
        .text = "uploads per second, of all clients together (as fast as it goes)",
        .offset = offsetof(struct bench_options, rate),
        .min = 1,
        .max = 1000000},
    {.name = "count",
        .kind = ARG_NUMBER,
        .value = "N",
        .text = "uploads of each line at most (what the time allows)",
        .offset = offsetof(struct bench_options, count),
        .min = 1,
        .max = FILES_MAX},
    {.name = "puts-only",
        .kind = ARG_FLAG,
        .text = "find nothing",
        .offset = offsetof(struct bench_options, puts_only)},
    {.name = "keep",
        .kind = ARG_FLAG,
        .text = "leave the files there (default: delete them)",
        .offset = offsetof(struct bench_options, must_keep)},
    COMMON_ROWS(struct bench_options),
};

const struct verb bench_verb = {
    .name = "bench",
    .brief = "measure uploads and finds, and their cost in server CPU time",
    .usage = "[options]",
    .about =
        "Uploads files of random content and finds them again, for every combination of size,\n"
        "number of clients and acknowledgement; each client has one request in flight. Every find\n"
        "is checked against the CRC of what was uploaded. A line tells operations and MiB per\n"
        "second, p50 and p99 of the time that a client waits, and operations per second of CPU\n"
        "time that the server processes used (user and system, as they report it themselves).\n"
        "The files are deleted after each cell; deletes are not measured.",
    .examples = "  cairn bench\n"
                "  cairn bench --sizes 4K --clients 32 --ack local --seconds 10s --json",
    .args = {rows, ARRAY_LEN(rows)},
    .run = bench_main,
};
