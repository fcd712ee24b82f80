#include "base/stage.h"

#include "base/probe.h"

void run_queue_init(struct run_queue *queue)
{
    list_init(&queue->ready);
    list_init(&queue->machines);
    queue->now_ns = 0;
    queue->recorder = NULL;
    queue->deeds = (struct deeds){0};
}

static void machine_move(struct machine *machine, int next)
{
    const struct machine_kind *kind = machine->kind;
    CHECK(next >= 0 && next < kind->stage_count);
    CHECK(next == kind->unwind || next == machine->stage
          || (kind->stages[machine->stage].edges & BIT(next)) != 0);
    machine->stage = (uint8_t)next;
    machine->stage_ns = machine->queue->now_ns;
    PROBE3(stage__enter, machine, kind->name, kind->stages[next].name);
#ifndef CAIRN_NO_SIGHT
    if (machine->queue->recorder)
        recorder_add(machine->queue->recorder, machine->stage_ns, kind->name,
            kind->stages[next].name, &machine->owner, machine->err.code);
#endif
}

/* It has nothing left to do but its answer. */
static void machine_end(struct machine *machine)
{
    uint64_t duration_ns = machine->queue->now_ns - machine->owner.born_ns;
    list_remove(&machine->link);
    PROBE4(operation__end, machine, machine->kind->name, machine->err.code, duration_ns);
#ifndef CAIRN_NO_SIGHT
    deed_add(
        &machine->queue->deeds, machine->kind, machine->kind->name, machine->err.code, duration_ns);
#endif
}

static void machine_run(struct machine *machine)
{
    CHECK(!machine->running && machine->waiting == 0);
    machine->running = true;
    for (;;) {
        bool is_done = machine->stage == machine->kind->done;
        int next = machine->kind->stages[machine->stage].run(machine);
        if (next == STAGE_END) {
            CHECK(is_done); /* the machine may be gone: touch nothing */
            return;
        }
        if (next == STAGE_WAIT) {
            CHECK(machine->waiting > 0 || list_is_linked(&machine->ready));
            machine->running = false;
            return;
        }
        CHECK(machine->waiting == 0);
        machine_move(machine, next);
        if (next == machine->kind->done)
            machine_end(machine);
    }
}

size_t run_queue_run(struct run_queue *queue)
{
    size_t count = 0;
    for (struct list *node; (node = list_pop_front(&queue->ready)) != NULL; count++)
        machine_run(CONTAINER_OF(node, struct machine, ready));
    return count;
}

void machine_start(struct machine *machine, const struct machine_kind *kind,
    struct run_queue *queue, enum direction direction)
{
    CHECK(kind->stage_count <= 64 && kind->unwind < kind->stage_count);
    machine->kind = kind;
    machine->queue = queue;
    machine->err = ERR_OK;
    machine->ready = (struct list){NULL, NULL};
    machine->link = (struct list){NULL, NULL};
    machine->stage = 0;
    machine->stage_ns = queue->now_ns;
    machine->waiting = 0;
    machine->running = false;
    owner_open(&machine->owner, kind->name, direction, queue->now_ns);
    list_push_back(&queue->machines, &machine->link);
    list_push_back(&queue->ready, &machine->ready);
    PROBE3(operation__start, machine, kind->name, (int)direction);
}

int machine_wait_in(struct machine *machine, int next, unsigned arrivals)
{
    CHECK(machine->running && arrivals > 0);
    machine_move(machine, next);
    machine->waiting = (uint16_t)(machine->waiting + arrivals);
    return STAGE_WAIT;
}

void machine_arrive(struct machine *machine)
{
    CHECK(machine->waiting > 0);
    if (--machine->waiting == 0)
        list_push_back(&machine->queue->ready, &machine->ready);
}

void machine_arrive_now(struct machine *machine)
{
    CHECK(machine->waiting > 0);
    if (--machine->waiting == 0) {
        if (machine->running) /* the last arrival came before the stage returned: let it return */
            list_push_back(&machine->queue->ready, &machine->ready);
        else
            machine_run(machine);
    }
}

int machine_fail(struct machine *machine, err_t err)
{
    CHECK(err_is(err));
    if (!err_is(machine->err))
        machine->err = err;
    PROBE4(operation__fail, machine, machine->kind->name, err.code, err.os);
    return machine->kind->unwind;
}

const char *machine_stage_name(const struct machine *machine)
{
    return machine->kind->stages[machine->stage].name;
}
