/* Listeners, and the network's operations. */
#include "sim/net.h"

#include <string.h>

#include "sim/stream.h"

enum { BACKLOG_MAX = 128, SYN_RETRY_NS = 500000000, RETRY_SOON_NS = 2000 };
#define CONNECT_MAX_NS (UINT64_C(60) * 1000000000)

void sim_net_retry_all(struct list *waiting)
{
    for (struct list *at; (at = list_pop_front(waiting));) {
        struct sim_task *task = CONTAINER_OF(at, struct sim_task, waiting);
        task->forced = 0; /* its deadline, if it waited for one */
        sim_task_schedule(
            task, task->node->world->now_ns + sim_latency(&task->node->prng, RETRY_SOON_NS));
    }
}

/* Until something happens to the queue, or the deadline passes. */
static int64_t wait_in(struct list *waiting, struct sim_task *task)
{
    if (task->is_cancelled)
        return -ECANCELED;
    list_push_back(waiting, &task->waiting);
    if (task->op->deadline_ns) {
        task->forced = -ETIME;
        sim_task_schedule(task, task->op->deadline_ns);
    }
    return SIM_PENDING;
}

static bool is_any(const struct io_address *address)
{
    static const uint8_t zeros[16];
    return memcmp(address->bytes, zeros, address->family == 4 ? 4 : 16) == 0;
}

static bool hosts_are_equal(const struct io_address *a, const struct io_address *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, a->family == 4 ? 4 : 16) == 0;
}

/* Whether connections to `address` of `node` come to a listener at `listening`. */
static bool is_heard(const struct io_address *listening, const struct io_address *address)
{
    return listening->port == address->port
           && (is_any(listening) || is_any(address) || hosts_are_equal(listening, address));
}

static struct sim_node *node_at(struct sim_node *from, const struct io_address *address)
{
    if (io_address_is_loopback(address) || is_any(address))
        return from;
    LIST_EACH (at, &from->world->nodes) {
        struct sim_node *node = CONTAINER_OF(at, struct sim_node, link);
        if (hosts_are_equal(&node->host, address))
            return node;
    }
    return NULL;
}

static bool is_ours(const struct sim_node *node, const struct io_address *address)
{
    return is_any(address) || io_address_is_loopback(address)
           || hosts_are_equal(address, &node->host);
}

static bool is_taken(struct sim_node *node, const struct io_address *address, bool is_shared)
{
    LIST_EACH (at, &node->world->net.listeners) {
        const struct sim_listener *listener = CONTAINER_OF(at, struct sim_listener, link);
        if (listener->node == node && is_heard(&listener->address, address)
            && !(is_shared && listener->is_shared))
            return true;
    }
    return false;
}

static uint16_t free_port(struct sim_node *node, struct io_address address)
{
    do {
        node->port_last = node->port_last < 20000 || node->port_last == 29999
                              ? 20000
                              : (uint16_t)(node->port_last + 1);
        address.port = node->port_last;
    } while (is_taken(node, &address, false));
    return address.port;
}

static int64_t open_socket(struct sim_node *node, enum sim_description_kind kind, void *socket)
{
    struct sim_description *description = sim_description_new(node, kind);
    description->socket = socket;
    int fd = sim_fd_open(node, description);
    CHECK(fd >= 0); /* room was checked */
    return fd;
}

static int64_t execute_listen(struct sim_task *task)
{
    struct sim_node *node = task->node;
    struct io_address *address = task->op->address;
    bool is_shared = task->op->listen_count > 1;
    if (node->fd_count >= node->fd_limit)
        return -EMFILE;
    if (!is_ours(node, address))
        return -EADDRNOTAVAIL;
    if (address->port == 0)
        address->port = free_port(node, *address);
    else if (is_taken(node, address, is_shared))
        return -EADDRINUSE;
    struct sim_listener *listener = SIM_NEW(struct sim_listener);
    listener->node = node;
    listener->address = *address;
    listener->is_shared = is_shared;
    list_init(&listener->backlog);
    list_init(&listener->acceptors);
    list_push_back(&node->world->net.listeners, &listener->link);
    return open_socket(node, SIM_LISTENER, listener);
}

static void listener_close(struct sim_listener *listener)
{
    for (struct list *at; (at = list_pop_front(&listener->backlog));) {
        struct sim_end *end = CONTAINER_OF(at, struct sim_end, backlog);
        if (listener->node->farewell != SIM_FAREWELL_SILENCE)
            sim_connection_reset(end->connection);
        sim_end_close(end);
    }
    CHECK(list_is_empty(&listener->acceptors)); /* they hold the description */
    list_remove(&listener->link);
    sim_free(listener);
}

void sim_net_close(struct sim_description *description)
{
    if (description->kind == SIM_LISTENER)
        listener_close(description->socket);
    else
        sim_end_close(description->socket);
}

static int64_t execute_accept(struct sim_task *task)
{
    struct sim_listener *listener = task->description->socket;
    struct sim_node *node = task->node;
    if (list_is_empty(&listener->backlog))
        return wait_in(&listener->acceptors, task);
    if (node->fd_count >= node->fd_limit)
        return -EMFILE;
    struct sim_end *end = CONTAINER_OF(list_pop_front(&listener->backlog), struct sim_end, backlog);
    listener->backlog_count--;
    if (task->op->address)
        *task->op->address = sim_end_peer(end)->address;
    return open_socket(node, SIM_CONNECTION, end);
}

/* One of the loops that listen there: the kernel's choice. */
static struct sim_listener *draw_listener(struct sim_node *node, const struct io_address *address)
{
    struct sim_listener *chosen = NULL;
    unsigned count = 0;
    LIST_EACH (at, &node->world->net.listeners) {
        struct sim_listener *listener = CONTAINER_OF(at, struct sim_listener, link);
        if (listener->node != node || !is_heard(&listener->address, address))
            continue;
        if (prng_below(&node->world->net.prng, ++count) == 0)
            chosen = listener;
    }
    return chosen;
}

static struct sim_end *enqueue(
    struct sim_task *task, struct sim_node *to, struct sim_listener *listener)
{
    struct sim_node *from = task->node;
    struct sim_connection *connection = sim_connection_new(from, to);
    bool is_local = io_address_is_loopback(task->op->address);
    connection->ends[1].address = *task->op->address;
    connection->ends[0].address = is_local ? *task->op->address : from->host;
    from->ephemeral_last = from->ephemeral_last < 32768 || from->ephemeral_last == 60999
                               ? 32768
                               : (uint16_t)(from->ephemeral_last + 1);
    connection->ends[0].address.port = from->ephemeral_last;
    list_push_back(&listener->backlog, &connection->ends[1].backlog);
    listener->backlog_count++;
    sim_net_retry_all(&listener->acceptors);
    return &connection->ends[0];
}

/* Nobody answers: once more later, for a minute in all. */
static int64_t connect_again(struct sim_task *task)
{
    uint64_t now_ns = task->node->world->now_ns;
    if (now_ns - task->began_ns > CONNECT_MAX_NS)
        return -ETIMEDOUT;
    uint64_t next_ns = now_ns + SYN_RETRY_NS + (now_ns - task->began_ns) / 2;
    uint64_t deadline_ns = task->op->deadline_ns;
    bool is_last = deadline_ns && next_ns >= deadline_ns;
    if (is_last)
        task->forced = -ETIME;
    sim_task_schedule(task, is_last ? deadline_ns : next_ns);
    return SIM_PENDING;
}

/* The answer is on its way home. */
static int64_t answer_connect(struct sim_task *task, struct sim_node *to, int result)
{
    task->forced = result;
    sim_task_schedule(task, task->node->world->now_ns + sim_net_delay(to, task->node));
    return SIM_PENDING;
}

/* The first word has reached the other node. */
static int64_t knock(struct sim_task *task)
{
    struct sim_node *from = task->node, *to = node_at(from, task->op->address);
    if (!to)
        return -ECONNREFUSED;
    bool is_dead = !to->is_up && to->farewell == SIM_FAREWELL_SILENCE;
    bool is_clogged = sim_net_clogged_until(from, to) > from->world->now_ns;
    if (is_dead || is_clogged || !sim_net_is_open(from, to) || !sim_net_is_open(to, from))
        return connect_again(task);
    struct sim_listener *listener = draw_listener(to, task->op->address);
    if (!listener)
        return answer_connect(task, to, -ECONNREFUSED);
    if (listener->backlog_count >= BACKLOG_MAX)
        return connect_again(task);
    task->end = enqueue(task, to, listener);
    return answer_connect(task, to, 0);
}

static int64_t execute_connect(struct sim_task *task)
{
    struct sim_node *node = task->node;
    if (node->fd_count >= node->fd_limit) {
        sim_net_forget(task);
        return -EMFILE;
    }
    if (task->end) {
        struct sim_end *end = task->end;
        task->end = NULL;
        return open_socket(node, SIM_CONNECTION, end);
    }
    if (task->began_ns > 0)
        return knock(task);
    task->began_ns = node->world->now_ns + 1;
    struct sim_node *to = node_at(node, task->op->address);
    sim_task_schedule(task, task->began_ns + (to ? sim_net_delay(node, to) : 0));
    return SIM_PENDING;
}

static int64_t execute_transfer(struct sim_task *task)
{
    struct sim_end *end = task->description->socket;
    if (task->op->kind == IO_SHUTDOWN) {
        sim_end_shutdown(end);
        return 0;
    }
    bool receives = task->op->kind == IO_RECV;
    int64_t result = receives ? sim_end_receive(end, task) : sim_end_send(end, task);
    return result == SIM_PENDING ? wait_in(receives ? &end->receivers : &end->senders, task)
                                 : result;
}

int64_t sim_net_execute(struct sim_task *task)
{
    enum io_kind kind = task->op->kind;
    const struct sim_description *description = task->description;
    if (kind == IO_LISTEN)
        return execute_listen(task);
    if (kind == IO_CONNECT)
        return execute_connect(task);
    if (!description)
        return -EBADF;
    if (kind == IO_ACCEPT)
        return description->kind == SIM_LISTENER ? execute_accept(task) : -EINVAL;
    return description->kind == SIM_CONNECTION ? execute_transfer(task) : -ENOTSOCK;
}

void sim_net_forget(struct sim_task *task)
{
    if (list_is_linked(&task->waiting))
        list_remove(&task->waiting);
    if (task->end)
        sim_end_close(task->end);
    task->end = NULL;
}

bool sim_net_is_waiting(const struct sim_task *task)
{
    return list_is_linked(&task->waiting);
}
