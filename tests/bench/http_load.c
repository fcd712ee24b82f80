/* http_load: requests from a list over many connections, as fast as the server answers; for any HTTP/1.1
 * server. One thread, a ring, one request under way for each connection. Not a test.
 *
 *   http_load --help
 *
 * The list has a line for each request: METHOD TAB PATH TAB BODY-SIZE [TAB HEADER]. Bodies are random
 * bytes. Answers must have a Content-Length; their bodies are copied and thrown away. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/prng.h"
#include "bin/args.h"
#include "tests/bench/limits.h"

enum { HEAD_MAX = 1024, ANSWER_MAX = 64 << 10, BODY_MAX = 64 << 20, FIELDS = 4 };

struct options {
    const char *list;
    uint64_t port, connections, duration_ns, cpu;
    bool is_once;
};

struct request {
    const char *fields[FIELDS]; /* method, path, "", header or NULL */
    uint64_t body_size;
};

struct client {
    _Alignas(64) int fd;
    bool has_head;
    uint64_t started_ns;
    uint64_t left; /* bytes of the answer's body still to come */
    size_t got;    /* bytes of the answer's head so far */
    int status;
    struct iovec out[2];
    struct msghdr message;
    char head[HEAD_MAX];
    char answer[ANSWER_MAX];
};

struct run {
    const struct options *options;
    struct request *requests;
    size_t request_count, next;
    uint64_t body_max;
    char *text, *body;
    struct client *clients;
    struct io_uring ring;
    struct prng prng;
    uint64_t begin_ns, end_ns, ended_ns, count, bytes;
    uint64_t statuses[6]; /* by their first digit; 0: none */
    size_t active;
    struct latency latency;
};

/* ---- the list ---- */

static bool parse_line(char *line, struct request *ret)
{
    char *rest = line;
    for (size_t i = 0; i < FIELDS; i++) {
        ret->fields[i] = rest;
        char *tab = rest ? strchr(rest, '\t') : NULL;
        if (tab)
            *tab++ = '\0';
        rest = tab;
    }
    return ret->fields[2] && parse_size(ret->fields[2], &ret->body_size)
           && ret->body_size <= BODY_MAX;
}

static char *file_read(const char *path)
{
    FILE *file = fopen(path, "rb");
    CHECK(file && fseek(file, 0, SEEK_END) == 0);
    long size = ftell(file);
    char *text = size >= 0 ? malloc((size_t)size + 1) : NULL;
    CHECK(text && fseek(file, 0, SEEK_SET) == 0);
    CHECK(fread(text, 1, (size_t)size, file) == (size_t)size);
    text[size] = '\0';
    (void)fclose(file);
    return text;
}

static bool list_read(struct run *run)
{
    size_t lines = 0;
    run->text = file_read(run->options->list);
    for (const char *at = run->text; (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    run->requests = calloc(lines + 1, sizeof *run->requests);
    CHECK(run->requests);
    for (char *line = run->text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = '\0';
        struct request *request = &run->requests[run->request_count++];
        if (!parse_line(line, request))
            return false;
        if (request->body_size > run->body_max)
            run->body_max = request->body_size;
    }
    return run->request_count > 0;
}

/* ---- one request ---- */

static void receive(struct run *run, struct client *client)
{
    size_t at = client->has_head ? 0 : client->got;
    size_t room = ANSWER_MAX - 1 - at; /* a head is ended with a zero */
    if (client->has_head && client->left < room)
        room = client->left;
    struct io_uring_sqe *sqe = ring_sqe(&run->ring);
    io_uring_prep_recv(sqe, client->fd, client->answer + at, room, 0);
    sqe_name(sqe, client, TAG_RECV);
}

static void send_rest(struct run *run, struct client *client)
{
    struct io_uring_sqe *sqe = ring_sqe(&run->ring);
    client->message = (struct msghdr){.msg_iov = client->out, .msg_iovlen = 2};
    io_uring_prep_sendmsg(sqe, client->fd, &client->message, MSG_NOSIGNAL | MSG_WAITALL);
    sqe_name(sqe, client, TAG_SEND);
}

static void begin(struct run *run, struct client *client)
{
    if (run->options->is_once && run->next == run->request_count) {
        run->active--;
        return;
    }
    const struct request *request = &run->requests[run->next++ % run->request_count];
    const char *header = request->fields[3];
    int size = snprintf(client->head, HEAD_MAX, "%s %s HTTP/1.1\r\nHost: x\r\n%s%s",
        request->fields[0], request->fields[1], header ? header : "", header ? "\r\n" : "");
    if (request->body_size > 0)
        size += snprintf(client->head + size, HEAD_MAX - (size_t)size,
            "Content-Length: %" PRIu64 "\r\n", request->body_size);
    size += snprintf(client->head + size, HEAD_MAX - (size_t)size, "\r\n");
    CHECK(size < HEAD_MAX);
    client->out[0] = (struct iovec){client->head, (size_t)size};
    client->out[1] = (struct iovec){run->body + prng_below(&run->prng, 4096), request->body_size};
    client->has_head = false;
    client->got = 0;
    client->started_ns = clock_ns(CLOCK_MONOTONIC);
    send_rest(run, client);
    receive(run, client);
}

/* An answer that ends the connection is a failure of the run. */
static void check_result(const struct client *client, const char *what, int result)
{
    if (result > 0)
        return;
    (void)fprintf(stderr, "http_load: %s: %s, after status %d: %.40s\n", what,
        result == 0 ? "closed" : strerror(-result), client->status, client->head);
    exit(1);
}

static void sent(struct run *run, struct client *client, int result)
{
    check_result(client, "send", result);
    size_t size = (size_t)result;
    for (size_t i = 0; i < 2; i++) {
        size_t part = size < client->out[i].iov_len ? size : client->out[i].iov_len;
        client->out[i].iov_base = (char *)client->out[i].iov_base + part;
        client->out[i].iov_len -= part;
        size -= part;
    }
    if (client->out[0].iov_len + client->out[1].iov_len > 0)
        send_rest(run, client);
}

static void finished(struct run *run, struct client *client)
{
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    if (now >= run->begin_ns && now < run->end_ns) {
        run->count++;
        run->ended_ns = now;
        run->statuses[client->status / 100 % 6]++;
        latency_add(&run->latency, now - client->started_ns);
    }
    if (now < run->end_ns)
        begin(run, client);
    else
        run->active--;
}

static uint64_t content_length(const char *head)
{
    for (const char *line = head; (line = strstr(line, "\r\n")) != NULL; line += 2)
        if (strncasecmp(line + 2, "content-length:", 15) == 0)
            return strtoull(line + 17, NULL, 10);
    return 0;
}

/* Returns false while the head is not there. */
static bool take_head(struct client *client)
{
    client->answer[client->got] = '\0';
    char *end = strstr(client->answer, "\r\n\r\n");
    if (!end) {
        CHECK(client->got < ANSWER_MAX / 2);
        return false;
    }
    *end = '\0';
    client->status = atoi(client->answer + sizeof "HTTP/1.1");
    client->has_head = true;
    size_t body = client->got - (size_t)(end + 4 - client->answer);
    uint64_t length = content_length(client->answer);
    CHECK(body <= length);
    client->left = length - body;
    return true;
}

static void received(struct run *run, struct client *client, int result)
{
    check_result(client, "receive", result);
    run->bytes += (uint64_t)result;
    if (client->has_head) {
        client->left -= (uint64_t)result;
    } else {
        client->got += (size_t)result;
        if (!take_head(client)) {
            receive(run, client);
            return;
        }
    }
    if (client->left == 0)
        finished(run, client);
    else
        receive(run, client);
}

static void turn(struct run *run)
{
    struct io_uring_cqe *cqe;
    unsigned head, count = 0;
    int result = io_uring_submit_and_wait(&run->ring, 1);
    CHECK(result >= 0 || result == -EINTR);
    io_uring_for_each_cqe(&run->ring, head, cqe)
    {
        if (cqe_tag(cqe) == TAG_RECV)
            received(run, cqe_of(cqe), cqe->res);
        else
            sent(run, cqe_of(cqe), cqe->res);
        count++;
    }
    io_uring_cq_advance(&run->ring, count);
}

/* ---- the run ---- */

static void connect_to(struct client *client, uint64_t port)
{
    int one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr = {htonl(INADDR_LOOPBACK)}};
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(client->fd >= 0);
    CHECK(setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0);
    if (setsockopt(client->fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5) != 0)
        (void)setsockopt(client->fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
    CHECK(connect(client->fd, (struct sockaddr *)&address, sizeof address) == 0);
}

static void measure(struct run *run)
{
    const struct options *options = run->options;
    uint64_t warm_up_ns = options->is_once ? 0 : 100 * NS_PER_MS;
    run->begin_ns = clock_ns(CLOCK_MONOTONIC) + warm_up_ns;
    run->end_ns = run->begin_ns + options->duration_ns;
    run->active = options->connections;
    for (size_t i = 0; i < options->connections; i++)
        begin(run, &run->clients[i]);
    while (run->active > 0)
        turn(run);
}

static void print(const struct run *run)
{
    uint64_t spent = run->ended_ns > run->begin_ns ? run->ended_ns - run->begin_ns : 1;
    (void)printf("{\"operations\":%" PRIu64 ",\"duration_ns\":%" PRIu64
                 ",\"operations_per_second\":%.1f,\"p50_ns\":%" PRIu64 ",\"p99_ns\":%" PRIu64
                 ",\"bytes\":%" PRIu64 ",\"good\":%" PRIu64 ",\"bad\":%" PRIu64 "}\n",
        run->count, spent, (double)run->count * 1e9 / (double)spent,
        latency_quantile(&run->latency, 500), latency_quantile(&run->latency, 990), run->bytes,
        run->statuses[2], run->count - run->statuses[2]);
}

static int run_all(const struct options *options)
{
    struct run run = {.options = options};
    if (!list_read(&run)) {
        (void)fprintf(stderr, "http_load: %s: a line is no request\n", options->list);
        return 2;
    }
    if (options->cpu < CONNECTIONS_MAX)
        pin_to((unsigned)options->cpu);
    prng_init(&run.prng, 1);
    size_t body_size = run.body_max + 2 * PAGE;
    run.body = pages_new(body_size);
    for (size_t i = 0; i + 8 <= body_size; i += 8)
        put_u64((uint8_t *)run.body + i, prng_next(&run.prng));
    size_t clients_size = sizeof *run.clients * options->connections;
    run.clients = pages_new(clients_size);
    ring_open(&run.ring);
    for (size_t i = 0; i < options->connections; i++)
        connect_to(&run.clients[i], options->port);
    measure(&run);
    print(&run);
    io_uring_queue_exit(&run.ring);
    pages_free(run.clients, clients_size);
    pages_free(run.body, body_size);
    free(run.requests);
    free(run.text);
    return 0;
}

static const struct arg rows[] = {
    {.name = "list",
        .kind = ARG_TEXT,
        .value = "FILE",
        .text = "the requests, in order, again and again",
        .offset = offsetof(struct options, list)},
    {.name = "once",
        .kind = ARG_FLAG,
        .text = "each request of the list once, then end",
        .offset = offsetof(struct options, is_once)},
    {.name = "port",
        .kind = ARG_NUMBER,
        .value = "PORT",
        .text = "of the server on 127.0.0.1",
        .offset = offsetof(struct options, port),
        .min = 1,
        .max = 65535},
    {.name = "connections",
        .kind = ARG_NUMBER,
        .value = "N",
        .text = "one request at a time each (32)",
        .offset = offsetof(struct options, connections),
        .min = 1,
        .max = 1024},
    {.name = "seconds",
        .kind = ARG_DURATION,
        .value = "TIME",
        .text = "at most (1s), after 0.1 s of warming up",
        .offset = offsetof(struct options, duration_ns),
        .min = NS_PER_MS,
        .max = 5 * NS_PER_MINUTE},
    {.name = "cpu",
        .kind = ARG_NUMBER,
        .value = "N",
        .text = "run there (anywhere)",
        .offset = offsetof(struct options, cpu),
        .max = 1023},
};

int main(int argc, char **argv)
{
    struct options options = {.connections = 32, .duration_ns = NS_PER_S, .cpu = UINT64_MAX};
    int first;
    const struct verb verb = {.name = "http_load",
        .brief = "requests from a list over many connections",
        .usage = "--list FILE --port PORT [options]",
        .about = "Asks an HTTP/1.1 server on loopback, and prints one JSON object.",
        .args = {rows, ARRAY_LEN(rows)}};
    enum args_result parsed = args_parse(&verb, argc, argv, &options, &first, stdout, stderr);
    if (parsed != ARGS_OK)
        return parsed == ARGS_HELP ? 0 : 2;
    if (!options.list || options.port == 0) {
        (void)fprintf(stderr, "http_load: --list and --port are wanted\n");
        return 2;
    }
    return run_all(&options);
}
