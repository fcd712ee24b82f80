#include <stdarg.h>

#include "sim/mem.h"
#include "sim/store_swarm_parts.h"

#define PATIENCE_NS UINT64_C(60000000000)        /* virtual: longer is a hang */
#define PATIENCE_LARGE_NS UINT64_C(600000000000) /* 64 MiB may be written, in pieces, slowly */

void swarm_fail(struct swarm *swarm, const char *format, ...)
{
    char *text = swarm->result->failure;
    if (text[0])
        return;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof swarm->result->failure, format, arguments);
    va_end(arguments);
    sim_world_note(swarm->world, "FAILED: %s", text);
}

/* ---- a life of the process ---- */

static bool is_directory(const char *path)
{
    const char *name = strrchr(path, '/') + 1;
    return strlen(name) <= strlen("singles") && !strchr(name, '.');
}

static void see_disk_op(void *context, const struct sim_disk_event *event)
{
    struct swarm *swarm = context;
    if (event->kind == IO_SYNC && event->result < 0 && is_directory(event->path))
        swarm->has_lost_names = true;
}

static bool something_happened(void *context)
{
    const struct swarm *swarm = context;
    if (!store_lab_is_up(&swarm->lab))
        return true;
    for (unsigned i = 0; i < IN_FLIGHT_MAX; i++)
        if (swarm->flights[i].call && swarm->flights[i].call->is_done)
            return true;
    return false;
}

static unsigned flights_count(const struct swarm *swarm)
{
    unsigned count = 0;
    for (unsigned i = 0; i < IN_FLIGHT_MAX; i++)
        count += swarm->flights[i].call != NULL;
    return count;
}

static void describe_hang(struct swarm *swarm)
{
    char text[400];
    store_lab_describe(&swarm->lab, text, sizeof text);
    swarm_fail(swarm, "hangs:%s", text);
}

static void walk(struct swarm *swarm, const char *when)
{
    struct store_walk walk;
    if (!store_walk(&walk, &swarm->lab, &swarm->model, swarm->has_fault))
        swarm_fail(swarm, "%s: %s", when, walk.failure);
}

static void clear_faults(struct swarm *swarm)
{
    *sim_mount_faults(swarm->lab.node, STORE_LAB_PATH) = (struct sim_disk_faults){0};
    *sim_node_refusal(swarm->lab.node) = (struct sim_refusal){0};
    sim_node_fd_limit(swarm->lab.node, 1024);
    for (unsigned i = 0; i < STORE_LAB_LOOPS_MAX; i++)
        if (swarm->lab.io[i])
            swarm->lab.io[i]->ledger.refusal = (struct refusal){0};
}

/* Turn the world until an operation ends; false: the process died, or hangs. */
static bool wait_for_one(struct swarm *swarm)
{
    uint64_t patience_ns = swarm->has_large ? PATIENCE_LARGE_NS : PATIENCE_NS;
    bool happened = sim_world_run_until(swarm->world, something_happened, swarm, patience_ns);
    if (!happened && swarm->has_fault) { /* what waits for a fault to pass goes on then */
        clear_faults(swarm);
        happened = sim_world_run_until(swarm->world, something_happened, swarm, patience_ns);
    }
    if (!happened) {
        describe_hang(swarm);
        return false;
    }
    if (!store_lab_is_up(&swarm->lab))
        return false;
    for (unsigned i = 0; i < IN_FLIGHT_MAX; i++)
        if (swarm->flights[i].call && swarm->flights[i].call->is_done)
            swarm_see_done(swarm, &swarm->flights[i]);
    if (flights_count(swarm) == 0 && swarm->lab.fences == 0 && swarm->walks_often)
        walk(swarm, "between operations");
    return !swarm_has_failed(swarm);
}

static bool wait_for_all(struct swarm *swarm)
{
    while (flights_count(swarm) > 0)
        if (!wait_for_one(swarm))
            return false;
    return store_lab_is_up(&swarm->lab);
}

static void switch_fault_on(struct swarm *swarm)
{
    struct sim_disk_faults *faults = sim_mount_faults(swarm->lab.node, STORE_LAB_PATH);
    uint32_t rate = swarm_chance(swarm, 50) ? 3000 : 60000;
    swarm->has_fault = true;
    sim_world_note(swarm->world, "fault %d", (int)swarm->fault);
    switch (swarm->fault) {
    case SWARM_FAULT_WRITE:
        faults->write_error_per_million = rate;
        break;
    case SWARM_FAULT_READ:
        faults->read_error_per_million = rate;
        break;
    case SWARM_FAULT_SYNC:
        faults->sync_error_per_million = rate;
        break;
    case SWARM_FAULT_FULL:
        faults->is_full = true;
        break;
    case SWARM_FAULT_DESCRIPTORS:
        sim_node_fd_limit(
            swarm->lab.node, sim_node_fd_count(swarm->lab.node) + (unsigned)swarm_below(swarm, 4));
        break;
    case SWARM_FAULT_REFUSAL:
        *sim_node_refusal(swarm->lab.node) = (struct sim_refusal){
            .countdown = 1 + swarm_below(swarm, 60), .for_ever = swarm_chance(swarm, 20)};
        break;
    case SWARM_FAULT_HELD:
        swarm->lab.io[0]->ledger.refusal = (struct refusal){
            .countdown = 1 + swarm_below(swarm, 300), .for_ever = swarm_chance(swarm, 20)};
        break;
    default:
        swarm->has_fault = false;
    }
}

static void step_clock(struct swarm *swarm)
{
    static const int64_t steps[] = {-3600, -100, -1, 1, 100, 100000};
    int64_t by = steps[swarm_below(swarm, ARRAY_LEN(steps))];
    sim_world_note(swarm->world, "the wall clock jumps by %lld s", (long long)by);
    sim_node_clock_set(swarm->lab.node, by * 1000000000, 0);
    swarm->has_stepped |= by > 0;
}

/* Returns false when the process died. Operations may still be in flight otherwise. */
static bool live(struct swarm *swarm, unsigned operations)
{
    unsigned fault_at = UINT32_MAX, fault_end = UINT32_MAX;
    if (swarm->fault != SWARM_FAULT_NONE && swarm_chance(swarm, 60)) {
        fault_at = (unsigned)swarm_below(swarm, operations);
        fault_end = fault_at + 1 + (unsigned)swarm_below(swarm, operations);
    }
    for (unsigned begun = 0; begun < operations && swarm->lab.fences == 0;) {
        if (begun == fault_at)
            switch_fault_on(swarm);
        if (begun == fault_end)
            clear_faults(swarm);
        if (swarm_chance(swarm, 2))
            step_clock(swarm);
        unsigned at = 0;
        while (at < swarm->in_flight_max && swarm->flights[at].call)
            at++;
        if (at < swarm->in_flight_max) {
            swarm_begin(swarm, &swarm->flights[at]);
            begun++;
            if (swarm_chance(swarm, 30))
                sim_world_run_for(swarm->world, swarm_below(swarm, 2000000));
        } else if (!wait_for_one(swarm)) {
            return false;
        }
        if (!store_lab_is_up(&swarm->lab) || swarm_has_failed(swarm))
            return false;
    }
    return true;
}

static err_t read_from(
    struct swarm *swarm, const struct model_file *file, uint64_t offset, struct store_call **ret)
{
    struct store_call *call = store_call_new(swarm->world, CALL_FIND, 1);
    call->find.fid = file->fid;
    call->find.offset = offset;
    *ret = call;
    return store_call_run(call, &swarm->lab, store_lab_owner(&swarm->lab, &file->fid))
               ? call->err
               : ERR(INTERRUPTED, 0);
}

/* Of a large file most of the time only what changes reach is read. */
static err_t read_file(struct swarm *swarm, const struct model_file *file, struct store_call **ret)
{
    if (!swarm_is_large(file) || swarm_chance(swarm, 10))
        return read_from(swarm, file, 0, ret);
    err_t err = read_from(swarm, file, LARGE_SIZE - 2 * LARGE_TAIL, ret);
    if (!err_has(err, ERR_CODE_RANGE))
        return err;
    store_call_free(*ret);
    return read_from(swarm, file, 0, ret);
}

/* Every file is read whole, and is one of what it may be; from here on it is that. */
static bool settle(struct swarm *swarm)
{
    LIST_EACH (node, &swarm->model.files) {
        struct model_file *file = CONTAINER_OF(node, struct model_file, link);
        struct store_call *call;
        err_t err = read_file(swarm, file, &call);
        if (err_has(err, ERR_CODE_INTERRUPTED)) {
            store_call_free(call);
            return false;
        }
        struct model_candidates candidates;
        model_candidates_after_crash(file, &candidates);
        unsigned at = 0;
        while (at < candidates.count && !swarm_read_matches(call, &candidates.states[at]))
            at++;
        if (at < candidates.count)
            store_model_settle(file, &candidates.states[at]);
        else
            swarm_fail(swarm,
                "after a restart %llx gives %s, version %llu, %zu bytes; %u states are possible, "
                "the newest version %llu, %llu bytes%s",
                (unsigned long long)file->fid.identity.clock, err_name(err.code),
                (unsigned long long)call->version.counter, call->found_size, candidates.count,
                (unsigned long long)file->current.version,
                file->current.content ? (unsigned long long)file->current.content->size : 0,
                file->current.content ? "" : " (deleted)");
        model_candidates_free(&candidates);
        store_call_free(call);
        if (swarm_has_failed(swarm))
            return false;
    }
    return true;
}

static void forget_uploads(struct swarm *swarm)
{
    for (struct list *node; (node = list_pop_front(&swarm->model.uploads));) {
        struct model_upload *upload = CONTAINER_OF(node, struct model_upload, link);
        model_content_unref(upload->content);
        sim_free(upload);
    }
}

static void arm_crash(struct swarm *swarm, uint64_t within)
{
    enum sim_crash how = swarm_chance(swarm, 50) ? SIM_CRASH_KILL : SIM_CRASH_POWER;
    sim_world_crash_at(swarm->world, swarm->lab.node, 1 + swarm_below(swarm, within), how);
}

static void disarm_crash(struct swarm *swarm)
{
    sim_world_crash_at(swarm->world, swarm->lab.node, 0, SIM_CRASH_NONE);
}

/* Boots until it succeeds; the first attempts may be crashed. */
static void boot(struct swarm *swarm)
{
    clear_faults(swarm);
    swarm->has_lost_names = false;
    for (unsigned attempt = 0;; attempt++) {
        bool may_crash = attempt < 3 && swarm_chance(swarm, 30);
        if (may_crash)
            arm_crash(swarm, 120);
        err_t err = store_lab_boot(&swarm->lab);
        swarm->result->boots++;
        swarm->has_fault = false;
        disarm_crash(swarm);
        if (!err_is(err) && !may_crash)
            return;
        if (!err_is(err)) { /* the second time must find the same */
            store_lab_kill(&swarm->lab, swarm_chance(swarm, 50));
            continue;
        }
        if (!may_crash) {
            swarm_fail(swarm, "recovery failed with %s (%s:%d)", err_name(err.code),
                err.site ? err.site->file : "", err.site ? err.site->line : 0);
            return;
        }
    }
}

/* What is there after a restart, is compared with what may be. */
static void look_around(struct swarm *swarm)
{
    if (settle(swarm))
        walk(swarm, "after a restart");
    forget_uploads(swarm);
}

static void end_in_order(struct swarm *swarm)
{
    if (!store_lab_close(&swarm->lab))
        swarm->result->crashes++;
}

static void end_life(struct swarm *swarm)
{
    bool is_alive = wait_for_all(swarm);
    if (swarm_has_failed(swarm))
        return;
    if (!is_alive) {
        swarm_see_death(swarm);
        return;
    }
    clear_faults(swarm);
    swarm->result->fences += swarm->lab.fences > 0;
    disarm_crash(swarm);
    if (swarm->lab.fences == 0 && !swarm->has_fault && swarm_chance(swarm, 50)) {
        for (unsigned i = 0; i < IN_FLIGHT_MAX; i++)
            CHECK(!swarm->flights[i].call);
        if (settle(swarm))
            walk(swarm, "at rest");
        if (swarm_has_failed(swarm))
            return;
    }
    /* A file system that could not sync a directory is not gone on with: journals end there. The
     * machine is restarted, and what is on disk is what counts. */
    if (swarm->has_lost_names) {
        store_lab_kill(&swarm->lab, true);
        return;
    }
    switch (swarm_below(swarm, 4)) {
    case 0:
        arm_crash(swarm, 40);
        end_in_order(swarm);
        disarm_crash(swarm);
        break;
    case 1:
        store_lab_kill(&swarm->lab, swarm_chance(swarm, 50));
        break;
    default:
        end_in_order(swarm);
    }
}

static void run(struct swarm *swarm)
{
    unsigned lives = 1 + (unsigned)swarm_below(swarm, 4);
    for (unsigned life = 0; life < lives && !swarm_has_failed(swarm); life++) {
        boot(swarm);
        if (swarm_has_failed(swarm))
            return;
        look_around(swarm);
        if (swarm_has_failed(swarm))
            return;
        if (swarm_chance(swarm, swarm->fault == SWARM_FAULT_NONE ? 70 : 35))
            arm_crash(swarm, swarm_chance(swarm, 50) ? 100 : 600);
        bool is_alive = live(swarm, 15 + (unsigned)swarm_below(swarm, 70));
        if (swarm_has_failed(swarm))
            return;
        if (is_alive)
            end_life(swarm);
        else
            swarm_see_death(swarm);
    }
    if (swarm_has_failed(swarm))
        return;
    clear_faults(swarm);
    boot(swarm);
    if (!swarm_has_failed(swarm))
        look_around(swarm);
    if (swarm_has_failed(swarm))
        return;
    end_in_order(swarm);
    boot(swarm);
    if (!swarm_has_failed(swarm))
        look_around(swarm);
    if (!swarm_has_failed(swarm))
        end_in_order(swarm);
}

void store_swarm_run(const struct store_swarm_options *options, struct store_swarm_result *ret)
{
    *ret = (struct store_swarm_result){0};
    struct swarm *swarm = SIM_NEW(struct swarm);
    swarm->options = options;
    swarm->result = ret;
    swarm->has_large = options->has_large || options->seed % STORE_SWARM_LARGE == 0;
    swarm->world = sim_world_new(options->seed);
    sim_world_trace_to(swarm->world, options->trace);
    prng_init(&swarm->prng, options->seed ^ UINT64_C(0x73776172));
    memset(swarm->metadata, 'm', sizeof swarm->metadata);
    store_model_init(&swarm->model);
    struct store_lab_options lab;
    swarm_draw_options(swarm, &lab);
    lab.disk.ignores_sync_of = options->ignores_sync_of;
    store_lab_init(&swarm->lab, swarm->world, &lab);
    sim_world_observe(
        swarm->world, &(struct sim_observer){.context = swarm, .disk_op = see_disk_op});
    run(swarm);
    ret->hash = sim_world_hash(swarm->world);
    ret->io_count = sim_world_op_count(swarm->world);
    if (swarm->lab.io[0]) {
        sim_node_kill(swarm->lab.node);
        store_lab_bury(&swarm->lab);
    }
    for (unsigned i = 0; i < IN_FLIGHT_MAX; i++) {
        if (swarm->flights[i].upload)
            flight_forget_upload(&swarm->flights[i]);
        if (swarm->flights[i].call)
            store_call_free(swarm->flights[i].call);
    }
    store_model_free(&swarm->model);
    sim_world_free(swarm->world);
    sim_free(swarm);
}
