/* The backend: a loop's operations become tasks; what they yield comes home in a turn. */
#include "sim/parts.h"

enum { SOON_NS = 5000, TIMER_SLACK_NS = 60000, POST_NS = 8000 };

static struct sim_task *task_of(const struct io_op *op)
{
    return (struct sim_task *)(uintptr_t)op->backend[0]; /* NULL once it is completed */
}

static void task_init(
    struct sim_task *task, struct sim_node *node, struct sim_loop *loop, struct io_op *op)
{
    *task = (struct sim_task){.node = node, .loop = loop, .op = op};
    op->backend[0] = (uintptr_t)task;
    bool has_fd = op->fd != IO_FD_NONE && op->kind != IO_NOP && op->kind != IO_TIMER;
    task->description = has_fd ? sim_fd_get(node, op->fd) : NULL;
    if (task->description)
        task->description->references++;
    if (has_fd && !task->description)
        task->forced = -EBADF;
    if (op->kind == IO_NOP)
        task->forced = (int)op->result; /* a refusal by the ledger on its way home */
    else if (!task->forced)
        task->forced = sim_node_refuse(node, op->kind);
    list_push_back(&node->tasks, &task->link);
}

static void task_end(struct sim_task *task)
{
    sim_event_cancel(task->node->world, &task->event);
    list_remove(&task->link);
    if (task->description)
        sim_description_unref(task->description);
    task->op->backend[0] = 0;
}

static void task_free(struct sim_task *task)
{
    if (task->loop)
        sim_blocks_give(&task->node->world->tasks, task);
}

static bool kind_is_net(enum io_kind kind)
{
    return kind >= IO_LISTEN && kind <= IO_SHUTDOWN;
}

void sim_task_abandon(struct sim_task *task)
{
    if (kind_is_net(task->op->kind))
        sim_net_forget(task);
    task_end(task);
    task_free(task);
}

static bool crash_is_due(struct sim_node *node)
{
    node->disk_op_count++;
    return node->crash_countdown > 0 && --node->crash_countdown == 0;
}

void sim_task_finish(struct sim_task *task, int64_t result)
{
    struct sim_node *node = task->node;
    struct sim_loop *loop = task->loop;
    struct io_op *op = task->op;
    bool is_disk = sim_kind_is_disk(op->kind);
    sim_trace_task(task, result);
    if (is_disk)
        sim_disk_observe(task, result);
    op->result = result;
    task_end(task);
    task_free(task);
    if (loop) {
        list_push_back(&loop->completed, &op->link);
        sim_loop_wake(loop);
    }
    if (is_disk && crash_is_due(node))
        sim_node_crash(node, node->crash_how);
}

static int64_t task_effect(struct sim_task *task)
{
    enum io_kind kind = task->op->kind;
    bool is_disk = sim_kind_is_disk(kind), is_net = kind_is_net(kind);
    if (task->forced) {
        if (is_disk)
            sim_disk_refuse(task);
        if (is_net)
            sim_net_forget(task);
        return task->forced;
    }
    return is_disk ? sim_disk_execute(task) : is_net ? sim_net_execute(task) : 0;
}

static void task_run(struct sim_world *world, struct sim_event *event)
{
    (void)world;
    struct sim_task *task = CONTAINER_OF(event, struct sim_task, event);
    int64_t result = task_effect(task);
    if (result != SIM_PENDING)
        sim_task_finish(task, result);
}

void sim_task_schedule(struct sim_task *task, uint64_t at_ns)
{
    struct sim_world *world = task->node->world;
    sim_event_cancel(world, &task->event);
    task->event.run = task_run;
    sim_event_at(world, &task->event, at_ns);
}

/* A deadline that passes first ends the operation, or comes too late to stop it. */
static void schedule_disk(struct sim_task *task)
{
    uint64_t now_ns = sim_node_now(task->node), due_ns = now_ns + sim_disk_latency(task);
    uint64_t deadline_ns = task->op->deadline_ns;
    if (deadline_ns && due_ns > deadline_ns && prng_chance(&task->node->prng, 700000)) {
        task->forced = -ETIME;
        due_ns = deadline_ns > now_ns ? deadline_ns : now_ns + 1;
    } else {
        sim_disk_begin(task);
    }
    sim_task_schedule(task, due_ns);
}

static void loop_submit(struct io *io, struct io_op *op)
{
    struct sim_loop *loop = loop_of(io);
    struct sim_node *node = loop->node;
    if (loop->is_dead)
        return;
    CHECK(op->kind != IO_LIST); /* io_call only */
    struct sim_task *task = sim_blocks_take(&node->world->tasks);
    task_init(task, node, loop, op);
    uint64_t now_ns = sim_node_now(node);
    if (op->kind == IO_TIMER && !task->forced) {
        uint64_t due_ns = op->deadline_ns > now_ns ? op->deadline_ns : now_ns;
        sim_task_schedule(task, due_ns + 1 + prng_below(&node->prng, TIMER_SLACK_NS));
    } else if (task->forced || !sim_kind_is_disk(op->kind)) {
        sim_task_schedule(task, now_ns + sim_latency(&node->prng, SOON_NS));
    } else {
        schedule_disk(task);
    }
}

/* Whether a cancel comes too late to stop it. */
static bool is_under_way(struct sim_task *task)
{
    enum io_kind kind = task->op->kind;
    if (kind == IO_TIMER || kind == IO_CONNECT || sim_net_is_waiting(task))
        return false;
    return prng_chance(&task->node->prng, 500000);
}

static void loop_cancel(struct io *io, struct io_op *op)
{
    struct sim_task *task = task_of(op);
    if (loop_of(io)->is_dead || !task || op->kind == IO_NOP)
        return;
    if (task->forced && !sim_net_is_waiting(task) && !task->end)
        return; /* its end is decided */
    task->is_cancelled = true;
    if (is_under_way(task))
        return;
    if (sim_kind_is_disk(op->kind))
        sim_disk_cancel(task);
    if (kind_is_net(op->kind))
        sim_net_forget(task);
    task->forced = -ECANCELED;
    struct sim_node *node = task->node;
    sim_task_schedule(task, sim_node_now(node) + sim_latency(&node->prng, SOON_NS));
}

static void loop_call(struct io *io, struct io_op *op)
{
    struct sim_loop *loop = loop_of(io);
    struct sim_node *node = loop->node;
    op->result = op->kind == IO_NOP ? 0 : -EIO;
    if (loop->is_dead)
        return;
    bool can_wait = kind_is_net(op->kind) && op->kind != IO_LISTEN;
    CHECK(!can_wait); /* a call must end without other loops running */
    struct sim_task task;
    task_init(&task, node, NULL, op);
    uint64_t until_ns = sim_node_now(node);
    if (op->kind == IO_TIMER)
        until_ns = op->deadline_ns > until_ns ? op->deadline_ns : until_ns;
    else
        until_ns += sim_disk_latency(&task);
    if (!task.forced && sim_kind_is_disk(op->kind))
        sim_disk_begin(&task);
    sim_task_finish(&task, task_effect(&task));
    if (loop->is_dead) {
        op->result = -EIO;
        return;
    }
    node->busy_until_ns = until_ns;
    io->now_ns = until_ns;
}

static void wait_for_arrival(struct sim_loop *loop)
{
    struct sim_world *world = loop->node->world;
    while (!loop->is_dead && list_is_empty(&loop->completed) && !loop->messages) {
        bool goes_on = sim_world_step(world);
        CHECK(goes_on); /* a loop waits for what can't come */
    }
}

static void deliver_messages(struct sim_loop *loop)
{
    struct io_message *message = loop->messages;
    loop->messages = NULL;
    loop->messages_end = &loop->messages;
    while (message && !loop->is_dead) {
        struct io_message *next = message->next;
        message->next = NULL;
        message->deliver(&loop->io, message);
        message = next;
    }
}

/* What is there now; what arrives while it is delivered waits for the next turn. */
static void deliver_completed(struct sim_loop *loop)
{
    struct list *last = loop->completed.prev;
    for (bool more = !list_is_empty(&loop->completed); more && !loop->is_dead;) {
        struct list *at = list_pop_front(&loop->completed);
        more = at != last;
        struct io_op *op = CONTAINER_OF(at, struct io_op, link);
        io_complete(&loop->io, op, op->result);
    }
}

static void loop_turn(struct io *io, bool may_wait)
{
    struct sim_loop *loop = loop_of(io);
    CHECK(!loop->is_turning); /* a turn within a turn */
    if (loop->is_dead)
        return;
    loop->is_turning = true;
    if (may_wait)
        wait_for_arrival(loop);
    io_tick(io);
    deliver_completed(loop);
    deliver_messages(loop);
    loop->is_turning = false;
    if (!list_is_empty(&loop->completed) || loop->messages)
        sim_loop_wake(loop);
}

static void run_turn(struct sim_world *world, struct sim_event *event)
{
    struct sim_loop *loop = CONTAINER_OF(event, struct sim_loop, turn);
    if (loop->is_turning)
        return;
    if (loop->node->busy_until_ns > world->now_ns)
        sim_event_at(world, event, loop->node->busy_until_ns);
    else
        io_turn(&loop->io, false);
}

void sim_loop_wake(struct sim_loop *loop)
{
    struct sim_world *world = loop->node->world;
    if (loop->is_dead || loop->is_turning || heap_is_linked(&loop->turn.node))
        return;
    uint64_t delay_ns = world->turn_delay_ns;
    uint64_t at_ns = sim_node_now(loop->node);
    at_ns += delay_ns ? prng_below(&world->turns, delay_ns) : 0;
    sim_event_at(world, &loop->turn, at_ns);
}

static void loop_post(struct io *from, struct io *to, struct io_message *message)
{
    struct sim_loop *loop = loop_of(to);
    CHECK(loop_of(from)->node == loop->node);
    if (loop_of(from)->is_dead || loop->is_dead)
        return;
    message->next = NULL;
    *loop->messages_end = message;
    loop->messages_end = &message->next;
    if (loop->is_turning || heap_is_linked(&loop->turn.node))
        return;
    uint64_t wait_ns = sim_latency(&loop->node->prng, POST_NS);
    sim_event_at(loop->node->world, &loop->turn, sim_node_now(loop->node) + wait_ns);
}

static void loop_close(struct io *io, int fd)
{
    if (!loop_of(io)->is_dead)
        sim_fd_close(loop_of(io)->node, fd);
}

static uint64_t loop_now(struct io *io)
{
    return sim_node_now(loop_of(io)->node);
}

static uint64_t loop_wall(struct io *io)
{
    return sim_node_wall(loop_of(io)->node);
}

static uint64_t loop_random(struct io *io)
{
    return prng_next(&loop_of(io)->prng);
}

static const struct io_backend backend = {
    .submit = loop_submit,
    .cancel = loop_cancel,
    .call = loop_call,
    .turn = loop_turn,
    .post = loop_post,
    .close = loop_close,
    .now_ns = loop_now,
    .wall_ns = loop_wall,
    .random = loop_random,
    .free = sim_loop_free,
};

struct io *sim_loop_new(struct sim_world *world, struct sim_node *node, uint16_t loop_index)
{
    CHECK(node->world == world);
    struct sim_loop *loop = SIM_NEW(struct sim_loop);
    io_init(&loop->io, &backend);
    loop->io.loop_index = loop_index;
    loop->node = node;
    io_tick(&loop->io);
    loop->turn.run = run_turn;
    loop->messages_end = &loop->messages;
    list_init(&loop->completed);
    node->boots += node->is_up ? 0 : 1;
    node->farewell = SIM_FAREWELL_CLOSE;
    node->is_up = true;
    prng_init(&loop->prng, world->seed * 31 + node->index * UINT64_C(1000003)
                               + node->boots * UINT64_C(257) + loop_index);
    list_push_back(&node->loops, &loop->link);
    return &loop->io;
}

void sim_loop_kill(struct sim_loop *loop)
{
    struct sim_world *world = loop->node->world;
    loop->is_dead = true;
    sim_event_cancel(world, &loop->turn);
    list_init(&loop->completed); /* the ops are the dead process's memory */
    loop->messages = NULL;
    list_remove(&loop->link);
    list_push_back(&world->dead_loops, &loop->link);
}

void sim_loop_free(struct io *io)
{
    struct sim_loop *loop = loop_of(io);
    struct sim_node *node = loop->node;
    if (loop->is_dead) {
        list_remove(&loop->link);
        sim_free(loop);
        return;
    }
    ledger_check_empty(&io->ledger);
    CHECK(!loop->is_turning && list_is_empty(&loop->completed) && !loop->messages);
    sim_event_cancel(node->world, &loop->turn);
    list_remove(&loop->link);
    sim_free(loop);
    if (list_is_empty(&node->loops)) {
        CHECK(node->fd_count == 0);
        node->is_up = false;
    }
}

struct sim_node *sim_loop_node(struct io *io)
{
    return loop_of(io)->node;
}
