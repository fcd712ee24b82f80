/* cairn top: a live screen of the cluster. */
#include "bin/verbs.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/units.h"
#include "bin/date.h"
#include "bin/health.h"
#include "bin/top_screen.h"
#include "io/process.h"

enum { SCREEN_SIZE = 128 * 1024, LINES_DEFAULT = 24 };

struct top_options {
    struct common common;
    uint64_t interval_ns;
    bool is_once;
};

struct top_node {
    uint32_t machine;
    bool has_last;
    struct top_sample last, now;
};

/* What lives as long as the verb; one block. */
struct top {
    struct session *session;
    const struct top_options *options;
    struct cluster_view view;
    struct health health;
    bool has_tracker; /* it answered the last time */
    struct top_node nodes[CLUSTER_STORAGES_MAX];
    struct top_row rows[CLUSTER_STORAGES_MAX];
    size_t count;
    char screen[SCREEN_SIZE];
    /* the terminal */
    bool is_live, has_keys, is_over;
    struct termios before;
    struct io_handle keyboard;
    struct io_op key_op;
    struct iovec key_iov;
    char key;
};

/* ---- readings ---- */

static struct top_node *node_of(struct top *top, uint32_t machine)
{
    for (size_t i = 0; i < top->count; i++)
        if (top->nodes[i].machine == machine)
            return &top->nodes[i];
    if (top->count == CLUSTER_STORAGES_MAX)
        return NULL;
    struct top_node *node = &top->nodes[top->count++];
    *node = (struct top_node){.machine = machine};
    return node;
}

/* A tracker that does not answer is no reason to stop: the storages it named are asked all the same. */
static err_t read_cluster(struct top *top)
{
    struct client_op op;
    struct io_address any = {.family = 0};
    char *text;
    err_t err = status_fetch(top->session, &any, "", &op, &text);
    top->has_tracker = !err_is(err);
    if (!top->has_tracker) {
        if (top->count == 0)
            session_fail(top->session, "tracker", err, op.sentence);
        return err;
    }
    bool is_good = cluster_view_parse(&top->view, text);
    mem_give(&top->session->mem, text);
    health_judge(&top->view, &top->health);
    return is_good ? ERR_OK : ERR(PROTOCOL, 0);
}

static bool read_storage(
    struct top *top, const struct cluster_storage *storage, struct top_sample *ret)
{
    struct client_op op;
    char *text;
    if (!storage->is_alive
        || err_is(status_fetch(top->session, &storage->address, "metrics", &op, &text)))
        return false;
    bool is_good = top_sample_parse(ret, text);
    mem_give(&top->session->mem, text);
    return is_good;
}

static void read_storages(struct top *top)
{
    for (size_t i = 0; i < top->view.count && !top->session->was_interrupted; i++) {
        struct top_node *node = node_of(top, top->view.storages[i].machine);
        if (!node)
            continue;
        struct top_row *row = &top->rows[node - top->nodes];
        bool is_there = read_storage(top, &top->view.storages[i], &node->now);
        (void)snprintf(row->name, sizeof row->name, "m%03" PRIu32, node->machine);
        row->is_there = is_there && node->has_last;
        if (row->is_there)
            top_sample_since(&row->since, &node->last, &node->now);
        node->last = node->now;
        node->has_last = is_there;
    }
}

/* ---- what is shown ---- */

static size_t lines_of_terminal(void)
{
    struct winsize size = {0};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0)
        return LINES_DEFAULT;
    return size.ws_row;
}

static void fill_head(const struct top *top, struct top_screen *screen)
{
    bool has_colour = process_is_terminal(STANDARD_OUTPUT) && !getenv("NO_COLOR");
    bool is_good = top->has_tracker && top->health.total_count == 0;
    char date[DATE_TEXT_MAX];
    (void)date_format(io_wall(top->session->io), date);
    (void)snprintf(screen->clock, sizeof screen->clock, "%.8s", date + sizeof "2026-11-23");
    screen->health = top->has_tracker ? health_name(&top->health) : "NO TRACKER";
    screen->colour = !has_colour ? "" : is_good ? "\033[32m" : "\033[33m";
    screen->plain = has_colour ? "\033[0m" : "";
    screen->storages = top->view.count;
    for (size_t i = 0; i < top->view.count; i++) {
        const struct cluster_storage *storage = &top->view.storages[i];
        screen->running += storage->is_running;
        screen->free_bytes += storage->is_running ? storage->free_bytes : 0;
        screen->total_bytes += storage->is_running ? storage->total_bytes : 0;
    }
}

/* Line by line over what was there: the terminal never shows an empty screen. */
static void draw(const char *text, bool is_live)
{
    if (is_live)
        (void)printf("\033[H");
    while (*text != '\0') {
        size_t size = strcspn(text, "\n");
        (void)printf("%.*s%s", (int)size, text, is_live ? "\033[K" : "");
        text += size + (text[size] == '\n');
        if (!is_live || *text != '\0')
            (void)printf("\n");
    }
    if (is_live)
        (void)printf("\033[J");
    (void)fflush(stdout);
}

static void show_screen(struct top *top)
{
    struct top_screen screen = {.rows = top->rows, .count = top->count};
    struct text text;
    text_init(&text, top->screen, sizeof top->screen);
    fill_head(top, &screen);
    top_screen_format(&screen, top->is_live ? lines_of_terminal() : 0, &text);
    draw(top->screen, top->is_live);
}

static json_t *verbs_json(const struct top_sample *since)
{
    json_t *verbs = json_object();
    for (size_t i = 0; i < TOP_VERBS; i++) {
        const struct timing *timing = &since->verbs[i];
        double count = (double)timing_count(timing);
        json_t *verb =
            json_pack("{s:f,s:I,s:I}", "per_second", since->time > 0 ? count / since->time : 0.0,
                "half_ns", (json_int_t)top_quantile_ns(timing, 0.5), "most_ns",
                (json_int_t)top_quantile_ns(timing, 0.99));
        (void)json_object_set_new(verbs, top_verb_names[i], verb);
    }
    return verbs;
}

static void show_json(const struct top *top)
{
    for (size_t i = 0; i < top->count; i++) {
        const struct top_sample *since = &top->rows[i].since;
        json_t *row = json_pack(
            "{s:s,s:b}", "node", top->rows[i].name, "answers", (int)top->rows[i].is_there);
        if (top->rows[i].is_there) {
            json_t *more = json_pack("{s:s,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f}", "state", since->state,
                "seconds", since->time, "errors", since->errors, "bytes_in", since->bytes_in,
                "bytes_out", since->bytes_out, "lag_seconds", since->lag, "lag_records",
                since->lag_records, "descriptors", since->descriptors, "cpu_seconds", since->cpu);
            (void)json_object_update_new(row, more);
            (void)json_object_set_new(row, "verbs", verbs_json(since));
        }
        (void)json_dumpf(row, stdout, JSON_COMPACT);
        (void)printf("\n");
        json_decref(row);
    }
    (void)fflush(stdout);
}

/* ---- keys and time ---- */

static void listen_to_keys(struct top *top);

static void key_came(struct io_op *op)
{
    struct top *top = op->context;
    if (op->result <= 0)
        return; /* nobody types any more */
    if (top->key == 'q' || top->key == 'Q')
        top->is_over = true;
    else
        listen_to_keys(top);
}

static void listen_to_keys(struct top *top)
{
    top->key_iov = (struct iovec){&top->key, 1};
    top->key_op = (struct io_op){.kind = IO_READ,
        .fd = top->keyboard.fd,
        .iov = &top->key_iov,
        .iov_count = 1,
        .offset = IO_OFFSET_STREAM,
        .owner = &top->session->owner,
        .wake = key_came,
        .context = top};
    io_submit(top->session->io, &top->key_op);
}

static void open_terminal(struct top *top)
{
    top->is_live = !top->options->is_once && !top->session->common->is_json
                   && process_is_terminal(STANDARD_OUTPUT);
    if (!top->is_live)
        return;
    (void)printf("\033[?1049h\033[?25l\033[2J"); /* another screen, no cursor */
    if (!process_is_terminal(STANDARD_INPUT) || tcgetattr(STDIN_FILENO, &top->before) != 0
        || err_is(process_stream_open(
            top->session->io, STANDARD_INPUT, &top->session->owner, &top->keyboard)))
        return;
    struct termios raw = top->before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO); /* keys as they come; Ctrl-C still is a signal */
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    top->has_keys = true;
    listen_to_keys(top);
}

static void close_terminal(struct top *top)
{
    if (!top->is_live)
        return;
    if (top->has_keys) {
        io_cancel(top->session->io, &top->key_op);
        while (io_op_is_out(&top->key_op))
            io_turn(top->session->io, true);
        io_handle_close(top->session->io, &top->keyboard);
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &top->before);
    }
    (void)printf("\033[?25h\033[?1049l");
    (void)fflush(stdout);
}

static void fired(struct io_op *op)
{
    *(bool *)op->context = true;
}

/* Until `until_ns`, a key or a signal. */
static void wait_until(struct top *top, uint64_t until_ns)
{
    struct io *io = top->session->io;
    bool is_over = false;
    struct io_op timer = {.kind = IO_TIMER,
        .fd = IO_FD_NONE,
        .deadline_ns = until_ns,
        .owner = &top->session->owner,
        .wake = fired,
        .context = &is_over};
    io_submit(io, &timer);
    while (!is_over) {
        session_turn(top->session);
        if (top->is_over || top->session->was_interrupted)
            io_cancel(io, &timer);
    }
}

/* ---- the verb ---- */

static void rounds(struct top *top)
{
    for (size_t round = 0; !top->is_over && !top->session->was_interrupted; round++) {
        uint64_t began_ns = io_now(top->session->io);
        err_t err = read_cluster(top);
        if (err_is(err) && top->count == 0)
            return;
        read_storages(top);
        if (top->session->was_interrupted)
            return;
        if (round > 0 && top->session->common->is_json)
            show_json(top);
        else if (round > 0 || top->is_live)
            show_screen(top);
        top->session->tally.succeeded++;
        if (round > 0 && top->options->is_once)
            return;
        wait_until(top, began_ns + top->options->interval_ns);
    }
}

static void top_run(struct session *session, const struct top_options *options)
{
    void *block;
    err_t err = mem_take(&session->mem, &session->owner, sizeof(struct top), 0, &block);
    if (err_is(err)) {
        session_fail(session, "memory", err, err_sentence(err.code));
        return;
    }
    struct top *top = block;
    *top = (struct top){.session = session,
        .options = options,
        .keyboard = IO_HANDLE_NONE,
        .key_op.fd = IO_FD_NONE};
    open_terminal(top);
    rounds(top);
    close_terminal(top);
    if (top->is_live) /* Ctrl-C is how a live screen is left */
        session->was_interrupted = false;
    mem_give(&session->mem, block);
}

static int top_main(const struct verb *verb, int argc, char **argv)
{
    struct top_options options = {.common = COMMON_DEFAULT, .interval_ns = 2 * NS_PER_S};
    int first;
    enum args_result parsed = args_parse(verb, argc, argv, &options, &first, stdout, stderr);
    if (parsed != ARGS_OK)
        return args_exit_code(parsed);
    if (first != argc)
        return usage_exit(verb, "only options are wanted");
    options.common.is_quiet = true; /* no progress bar on the screen */
    struct session session;
    int code = session_open(&session, "top", &options.common, 1, 1);
    if (code != 0)
        return code;
    top_run(&session, &options);
    code = session_exit_code(&session);
    session_close(&session);
    return code;
}

static const struct arg rows[] = {
    {.name = "interval",
        .kind = ARG_DURATION,
        .value = "TIME",
        .text = "between two readings (2s)",
        .offset = offsetof(struct top_options, interval_ns),
        .min = 100 * NS_PER_MS,
        .max = NS_PER_HOUR},
    {.name = "once",
        .kind = ARG_FLAG,
        .text = "two readings, one screen, and out: for pipes and mails",
        .offset = offsetof(struct top_options, is_once)},
    COMMON_ROWS(struct top_options),
};

const struct verb top_verb = {
    .name = "top",
    .brief = "the cluster live: rates, latencies, lag, disks, budget",
    .usage = "[--interval TIME] [--once] [options]",
    .about =
        "Reads the metrics of all storages again and again and shows what happened in between:\n"
        "requests a second and their latencies (half and 99 of 100 were faster; exact to a factor\n"
        "of two), content, what each storage does, how far its mirrors are behind it, how much of\n"
        "its descriptors and memory is used, and its disks: room above the reserve, durable "
        "writes\n"
        "and how long they take, log since the last checkpoint. q or Ctrl-C ends it. When "
        "standard\n"
        "output is no terminal, screens follow each other without control characters.",
    .examples = "  cairn top\n"
                "  cairn top --once --interval 10s\n"
                "  cairn top --json | jq -c 'select(.lag_seconds > 1)'",
    .args = {rows, ARRAY_LEN(rows)},
    .run = top_main,
};
