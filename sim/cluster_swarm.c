#include "sim/cluster_swarm.h"

#include <stdarg.h>

#include "base/units.h"
#include "sim/cluster_settle.h"
#include "sim/mem.h"

enum { LIVES_MAX = 3 };
#define PATIENCE_NS (20 * NS_PER_MINUTE) /* virtual: longer is a hang */
#define HEALING_NS (3 * NS_PER_MINUTE)   /* until everybody runs and holds the same */

struct swarm {
    const struct cluster_swarm_options *options;
    struct cluster_swarm_result *result;
    struct cluster cluster;
    struct cluster_model model;
    struct cluster_faults faults;
    struct cluster_work work;
    struct prng prng;
};

/* What is not repaired yet in all cases: disks that say they wrote and did not, or wrote elsewhere. Without
 * mirrors lost disks need not be. */
static uint32_t bearable_faults(const struct cluster_swarm_options *options)
{
    uint64_t lies = BIT(CLUSTER_FAULT_LOST_WRITES) | BIT(CLUSTER_FAULT_MISDIRECTED);
    uint64_t losses = BIT(CLUSTER_FAULT_EMPTIED) | BIT(CLUSTER_FAULT_ROT);
    uint64_t all = BIT(CLUSTER_FAULT_COUNT) - 1;
    if (options->has_no_mirrors)
        return (uint32_t)(all & ~(BIT(CLUSTER_FAULT_EMPTIED) | BIT(CLUSTER_FAULT_SWAPPED)));
    return (uint32_t)(all & ~(options->has_bad_disks ? lies : lies | losses));
}

__attribute__((format(printf, 2, 3))) static bool fail(struct swarm *swarm, const char *format, ...)
{
    char *text = swarm->result->failure;
    if (text[0])
        return false;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, CLUSTER_SWARM_FAILURE, format, arguments);
    va_end(arguments);
    sim_world_note(swarm->cluster.world, "FAILED: %s", text);
    return false;
}

static bool has_failed(struct swarm *swarm)
{
    if (swarm->work.failure[0])
        (void)fail(swarm, "%s", swarm->work.failure);
    return swarm->result->failure[0] != '\0';
}

static void on_down(void *context, unsigned storage, bool has_crashed)
{
    struct swarm *swarm = context;
    const struct cluster_storage *it = &swarm->cluster.storages[storage];
    sim_world_note(swarm->cluster.world, "m%03u is down%s%s", storage + 1,
        has_crashed ? ", crashed" : "",
        !has_crashed && err_is(it->result) ? ": it could not start" : "");
    cluster_faults_storage_down(&swarm->faults, storage, has_crashed);
}

/* ---- phase one: operations and faults ---- */

static bool one_has_ended(void *context)
{
    const struct cluster_work *work = context;
    for (unsigned i = 0; i < CLUSTER_FLIGHTS_MAX; i++)
        if (work->flights[i].call && work->flights[i].call->is_done)
            return true;
    return false;
}

static bool wait_for_one(struct swarm *swarm)
{
    bool has_ended = cluster_run_until(&swarm->cluster, one_has_ended, &swarm->work, PATIENCE_NS);
    if (!has_ended) {
        char text[CLUSTER_SWARM_FAILURE / 2];
        cluster_describe(&swarm->cluster, text, sizeof text);
        return fail(swarm, "an operation hangs: %s", text);
    }
    (void)cluster_work_judge(&swarm->work);
    return !has_failed(swarm);
}

static void pass_time(struct swarm *swarm)
{
    uint64_t draw = prng_below(&swarm->prng, 100);
    uint64_t most_ns = draw < 80 ? 3 * NS_PER_MS : draw < 97 ? 300 * NS_PER_MS : 6 * NS_PER_S;
    cluster_run_for(&swarm->cluster, prng_below(&swarm->prng, most_ns));
    (void)cluster_work_judge(&swarm->work);
}

static bool operate(struct swarm *swarm)
{
    static const uint8_t widths[] = {1, 3, 6, 8};
    unsigned operations = 30 + (unsigned)prng_below(&swarm->prng, 120);
    unsigned often = 3 + (unsigned)prng_below(&swarm->prng, 20);
    swarm->work.width = widths[prng_below(&swarm->prng, ARRAY_LEN(widths))];
    for (unsigned i = 0; i < operations && !has_failed(swarm); i++) {
        if (prng_below(&swarm->prng, often) == 0)
            cluster_faults_happen(&swarm->faults);
        while (cluster_work_in_flight(&swarm->work) >= swarm->work.width)
            if (!wait_for_one(swarm))
                return false;
        cluster_work_begin(&swarm->work);
        if (prng_below(&swarm->prng, 3) == 0)
            pass_time(swarm);
    }
    return !has_failed(swarm);
}

/* ---- phase two: healing ---- */

static bool heal(struct swarm *swarm)
{
    cluster_faults_heal(&swarm->faults);
    while (cluster_work_in_flight(&swarm->work) > 0)
        if (!wait_for_one(swarm))
            return false;
    if (!cluster_close_clients(&swarm->cluster, PATIENCE_NS)) /* their connections may be dead */
        return fail(swarm, "the clients do not close");
    cluster_run_for(&swarm->cluster, 8 * NS_PER_S); /* the longest pause is over */
    cluster_faults_heal(&swarm->faults); /* what was fenced while the last operations ended */
    struct cluster_settle settle = {.cluster = &swarm->cluster,
        .model = &swarm->model,
        .skills = swarm->work.skills,
        .is_damaged = swarm->faults.is_damaged};
    if (!cluster_settle(&settle, HEALING_NS))
        return fail(swarm, "after healing: %s", settle.failure);
    cluster_work_forget_unsure(&swarm->work);
    swarm->faults.is_calm = true;
    swarm->faults.is_damaged = false;
    memset(swarm->model.is_distrusted, 0, sizeof swarm->model.is_distrusted);
    memset(swarm->faults.is_degraded, 0, sizeof swarm->faults.is_degraded);
    return true;
}

static bool begin(struct swarm *swarm)
{
    cluster_boot_all(&swarm->cluster);
    if (cluster_run_until(&swarm->cluster, cluster_is_whole, &swarm->cluster, HEALING_NS))
        return true;
    char text[CLUSTER_SWARM_FAILURE / 2];
    cluster_describe(&swarm->cluster, text, sizeof text);
    return fail(swarm, "does not start: %s", text);
}

static bool end(struct swarm *swarm)
{
    if (cluster_stop_all(&swarm->cluster, PATIENCE_NS))
        return true;
    char text[CLUSTER_SWARM_FAILURE / 2];
    cluster_describe(&swarm->cluster, text, sizeof text);
    return fail(swarm, "does not end: %s", text);
}

/* Without mirrors nobody can tell what a disk that lied should hold. */
static bool is_past_healing(const struct swarm *swarm)
{
    bool is_distrusted = false;
    for (unsigned i = 0; i < swarm->cluster.options.storages; i++)
        is_distrusted |= swarm->model.is_distrusted[i];
    return is_distrusted && !swarm->work.skills.has_mirrors;
}

static void run(struct swarm *swarm)
{
    uint64_t lives = 1 + prng_below(&swarm->prng, LIVES_MAX);
    bool is_well = begin(swarm);
    for (uint64_t life = 0; life < lives && is_well; life++) {
        cluster_faults_draw(&swarm->faults);
        is_well = operate(swarm);
        if (is_well && is_past_healing(swarm))
            return;
        is_well = is_well && heal(swarm);
    }
    if (is_well)
        (void)end(swarm);
}

static void count(struct swarm *swarm)
{
    struct cluster_swarm_result *result = swarm->result;
    result->hash = sim_world_hash(swarm->cluster.world);
    result->io_count = sim_world_op_count(swarm->cluster.world);
    result->virtual_ns = sim_world_now(swarm->cluster.world);
    result->operations = swarm->work.operations;
    result->succeeded = swarm->work.succeeded;
    result->reads = swarm->work.reads;
    for (unsigned i = 0; i < swarm->cluster.options.storages; i++)
        result->boots += swarm->cluster.storages[i].boots;
    memcpy(result->faults, swarm->faults.counts, sizeof result->faults);
}

/* Losses come as faults; and a frame should not take longer than the patience of a client. */
static void tame_net(struct sim_net_options *net, const struct cluster_options *options)
{
    net->loss_per_million = 0;
    if (net->delay_ns >= 5 * NS_PER_MS && net->window < 262144)
        net->window = 262144;
    if (options->contents_max > 100000 && net->delay_ns > 500000)
        net->delay_ns = 500000;
}

void cluster_swarm_run(
    const struct cluster_swarm_options *options, struct cluster_swarm_result *ret)
{
    *ret = (struct cluster_swarm_result){0};
    struct swarm *swarm = SIM_NEW(struct swarm);
    struct cluster_options drawn;
    swarm->options = options;
    swarm->result = ret;
    prng_init(&swarm->prng, options->seed ^ UINT64_C(0x636c7573));
    cluster_options_draw(&drawn, &swarm->prng);
    (void)cluster_options_text(&drawn, ret->options, sizeof ret->options);
    cluster_open(&swarm->cluster, options->seed, &drawn, options->trace, !options->is_verbose);
    sim_world_keep_notes(swarm->cluster.world, &ret->story);
    sim_world_note(swarm->cluster.world, "%s", ret->options);
    swarm->cluster.on_down = on_down;
    swarm->cluster.context = swarm;
    tame_net(sim_world_net(swarm->cluster.world), &drawn);
    cluster_model_init(&swarm->model, drawn.storages);
    cluster_faults_init(
        &swarm->faults, &swarm->cluster, &swarm->model, &swarm->prng, bearable_faults(options));
    swarm->faults.has_mirrors = !options->has_no_mirrors;
    swarm->work = (struct cluster_work){.cluster = &swarm->cluster,
        .model = &swarm->model,
        .faults = &swarm->faults,
        .skills = {!options->has_no_mirrors, !options->has_no_mirrors},
        .prng = &swarm->prng};
    run(swarm);
    count(swarm);
    cluster_close(&swarm->cluster);
    cluster_work_free(&swarm->work);
    cluster_model_free(&swarm->model);
    sim_free(swarm);
}
