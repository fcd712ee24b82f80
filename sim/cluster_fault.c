#include "sim/cluster_fault.h"

#include "base/units.h"
#include "sim/content.h"

const char *cluster_fault_name(enum cluster_fault_kind kind)
{
    static const char *const names[CLUSTER_FAULT_COUNT] = {
#define X(name, text) text,
        CLUSTER_FAULTS(X)
#undef X
    };
    CHECK(kind < CLUSTER_FAULT_COUNT);
    return names[kind];
}

static uint64_t below(struct cluster_faults *faults, uint64_t n)
{
    return prng_below(faults->prng, n);
}

static unsigned any_storage(struct cluster_faults *faults)
{
    return (unsigned)below(faults, faults->cluster->options.storages);
}

static struct sim_node *any_node(struct cluster_faults *faults)
{
    struct cluster *cluster = faults->cluster;
    const struct cluster_options *options = &cluster->options;
    uint64_t draw = below(faults, 10);
    if (draw < 2)
        return cluster->trackers[below(faults, options->trackers)].node;
    if (draw < 4)
        return cluster->clients[below(faults, options->clients)].node;
    return cluster->storages[any_storage(faults)].node;
}

static unsigned any_mount(struct cluster_faults *faults, unsigned storage)
{
    return (unsigned)below(faults, faults->cluster->options.shapes[storage].mounts);
}

static struct sim_disk_faults *disk_of(struct cluster_faults *faults, unsigned storage)
{
    unsigned mount = any_mount(faults, storage);
    return sim_mount_faults(faults->cluster->storages[storage].node, cluster_mount_path(mount));
}

/* ---- directories whose sync failed ---- */

static bool is_directory(const char *path)
{
    const char *name = strrchr(path, '/') + 1;
    return strlen(name) <= strlen("singles") && !strchr(name, '.');
}

static void see_disk_op(void *context, const struct sim_disk_event *event)
{
    struct cluster_faults *faults = context;
    if (event->kind != IO_SYNC || event->result >= 0 || !is_directory(event->path))
        return;
    for (unsigned i = 0; i < faults->cluster->options.storages; i++)
        if (faults->cluster->storages[i].node == event->node)
            faults->has_lost_names[i] = true;
}

void cluster_faults_init(struct cluster_faults *faults, struct cluster *cluster,
    struct cluster_model *model, struct prng *prng, uint32_t allowed)
{
    *faults = (struct cluster_faults){.cluster = cluster,
        .model = model,
        .prng = prng,
        .allowed = allowed,
        .is_calm = true,
        .swapped = {-1, -1}};
    sim_world_observe(
        cluster->world, &(struct sim_observer){.context = faults, .disk_op = see_disk_op});
}

void cluster_faults_draw(struct cluster_faults *faults)
{
    faults->enabled = 0;
    uint64_t count = below(faults, 6); /* 0: a calm life */
    for (uint64_t i = 0; i < count; i++)
        faults->enabled |= BIT(below(faults, CLUSTER_FAULT_COUNT));
    faults->enabled &= faults->allowed;
}

void cluster_faults_storage_down(struct cluster_faults *faults, unsigned storage, bool has_crashed)
{
    struct sim_node *node = faults->cluster->storages[storage].node;
    /* An orderly end keeps what was acknowledged from memory, unless a disk failed before. */
    if (has_crashed || !faults->is_calm)
        cluster_model_crashed(faults->model, storage);
    /* A file system that could not sync a directory is not gone on with: its journal ends there, and
     * what is on disk is what counts. */
    if (faults->has_lost_names[storage])
        sim_node_power_loss(node);
    faults->has_lost_names[storage] = false;
}

/* ---- network ---- */

static void trouble_net(struct cluster_faults *faults, enum cluster_fault_kind kind)
{
    struct sim_node *a = any_node(faults), *b = any_node(faults);
    if (kind == CLUSTER_FAULT_NET) {
        struct sim_net_options *net = sim_world_net(faults->cluster->world);
        net->loss_per_million = (uint32_t)below(faults, 50000);
        net->reset_per_million = (uint32_t)below(faults, 5000);
        return;
    }
    if (a == b)
        return;
    if (kind == CLUSTER_FAULT_PARTITION)
        sim_net_partition(a, b);
    else if (kind == CLUSTER_FAULT_CUT)
        sim_net_cut(a, b);
    else if (kind == CLUSTER_FAULT_CLOG)
        sim_net_clog(a, b, below(faults, 5 * NS_PER_S));
    else
        sim_net_reset(a, b);
}

/* ---- processes ---- */

static void trouble_process(
    struct cluster_faults *faults, enum cluster_fault_kind kind, unsigned storage)
{
    struct cluster *cluster = faults->cluster;
    struct sim_node *node = cluster->storages[storage].node;
    if (!cluster->storages[storage].is_up)
        return;
    switch (kind) {
    case CLUSTER_FAULT_KILL:
    case CLUSTER_FAULT_POWER:
        cluster_kill_storage(cluster, storage, kind == CLUSTER_FAULT_POWER);
        break;
    case CLUSTER_FAULT_CRASH:
        sim_world_crash_at(cluster->world, node, 1 + below(faults, 200),
            below(faults, 2) ? SIM_CRASH_KILL : SIM_CRASH_POWER);
        break;
    case CLUSTER_FAULT_RESTART:
        cluster_stop_storage(cluster, storage);
        break;
    case CLUSTER_FAULT_PAUSE:
        sim_node_pause(node, below(faults, 7 * NS_PER_S));
        break;
    case CLUSTER_FAULT_DESCRIPTORS:
        sim_node_fd_limit(node, sim_node_fd_count(node) + (unsigned)below(faults, 4));
        break;
    default:
        *sim_node_refusal(node) = (struct sim_refusal){
            .countdown = 1 + below(faults, 300), .for_ever = below(faults, 8) == 0};
    }
}

static void trouble_tracker(struct cluster_faults *faults)
{
    struct cluster *cluster = faults->cluster;
    unsigned index = (unsigned)below(faults, cluster->options.trackers);
    if (cluster->trackers[index].io)
        cluster_kill_tracker(cluster, index);
    else
        cluster_boot_tracker(cluster, index);
}

static void step_clock(struct cluster_faults *faults, unsigned storage)
{
    static const int64_t steps[] = {-31536000, -86400, -3600, -10, -1, 1, 10, 3600, 86400};
    int64_t by = steps[below(faults, ARRAY_LEN(steps))];
    int32_t drift = below(faults, 3) ? 0 : (int32_t)below(faults, 2000) - 1000;
    sim_world_note(faults->cluster->world, "clock of m%03u: %lld s", storage + 1, (long long)by);
    sim_node_clock_set(faults->cluster->storages[storage].node, by * (int64_t)NS_PER_S, drift);
}

/* ---- disks ---- */

static void trouble_disk(
    struct cluster_faults *faults, enum cluster_fault_kind kind, unsigned storage)
{
    struct sim_disk_faults *disk = disk_of(faults, storage);
    uint32_t rate = below(faults, 2) ? 3000 : 60000;
    switch (kind) {
    case CLUSTER_FAULT_READ_ERRORS:
        disk->read_error_per_million = rate;
        break;
    case CLUSTER_FAULT_WRITE_ERRORS:
        disk->write_error_per_million = rate;
        break;
    case CLUSTER_FAULT_SYNC_ERRORS:
        disk->sync_error_per_million = rate;
        break;
    case CLUSTER_FAULT_SLOW:
        disk->latency_factor = 30;
        break;
    case CLUSTER_FAULT_FULL:
        disk->is_full = true;
        break;
    default:
        disk->is_offline = true;
    }
}

/* Somebody must keep everything: at most one storage loses state between two healings. */
static bool may_lose(const struct cluster_faults *faults, unsigned storage)
{
    for (unsigned i = 0; i < faults->cluster->options.storages && faults->has_mirrors; i++)
        if (i != storage && faults->is_degraded[i])
            return false;
    return !faults->has_mirrors || faults->cluster->options.storages > 1;
}

static void empty_disk(struct cluster_faults *faults, unsigned storage)
{
    struct cluster *cluster = faults->cluster;
    if (!may_lose(faults, storage) || faults->swapped[0] >= 0)
        return;
    unsigned mount = any_mount(faults, storage);
    cluster_kill_storage(cluster, storage, true);
    sim_world_note(cluster->world, "m%03u: mount point %u is emptied", storage + 1, mount);
    sim_mount_replace(cluster->storages[storage].node, cluster_mount_path(mount));
    cluster_model_lost(faults->model, storage, (int)mount);
    faults->is_degraded[storage] = true;
}

static void swap_disks(struct cluster_faults *faults, unsigned a, unsigned b, unsigned mount)
{
    struct cluster *cluster = faults->cluster;
    cluster_kill_storage(cluster, a, false);
    cluster_kill_storage(cluster, b, false);
    sim_world_note(
        cluster->world, "m%03u and m%03u: mount point %u is swapped", a + 1, b + 1, mount);
    sim_mount_swap(cluster->storages[a].node, cluster_mount_path(mount), cluster->storages[b].node,
        cluster_mount_path(mount));
}

static void trouble_swap(struct cluster_faults *faults, unsigned storage)
{
    unsigned other = any_storage(faults), mount = any_mount(faults, storage);
    if (other == storage || faults->swapped[0] >= 0
        || mount >= faults->cluster->options.shapes[other].mounts)
        return;
    swap_disks(faults, storage, other, mount);
    faults->swapped[0] = (int)storage;
    faults->swapped[1] = (int)other;
    faults->swapped_mount = (int)mount;
}

struct rot {
    struct prng *prng;
    const char *root;
    char path[256];
    uint64_t size;
    unsigned seen;
};

static void pick_file(void *context, const char *path, uint64_t size)
{
    struct rot *rot = context;
    bool is_content = strncmp(path, rot->root, strlen(rot->root)) == 0
                      && (strstr(path, "/chunks/") || strstr(path, "/singles/"));
    if (!is_content || size <= SIM_PAGE_SIZE || strlen(path) >= sizeof rot->path)
        return;
    if (prng_below(rot->prng, ++rot->seen) == 0) {
        (void)snprintf(rot->path, sizeof rot->path, "%s", path);
        rot->size = size;
    }
}

/* A few bits of one chunk file or single file, behind its first page. */
static void rot_file(struct cluster_faults *faults, unsigned storage)
{
    struct sim_node *node = faults->cluster->storages[storage].node;
    unsigned mount = any_mount(faults, storage);
    struct rot rot = {.prng = faults->prng, .root = cluster_mount_path(mount)};
    if (!may_lose(faults, storage))
        return;
    sim_node_each_file(node, pick_file, &rot);
    if (rot.seen == 0)
        return;
    uint64_t flips = 1 + below(faults, 40);
    sim_world_note(faults->cluster->world, "m%03u: %llu bits of %s rot", storage + 1,
        (unsigned long long)flips, rot.path);
    for (uint64_t i = 0; i < flips; i++)
        sim_file_flip_bit(node, rot.path, SIM_PAGE_SIZE + below(faults, rot.size - SIM_PAGE_SIZE),
            (unsigned)below(faults, 8));
    cluster_model_lost(faults->model, storage, (int)mount);
    faults->is_degraded[storage] = faults->is_damaged = true;
}

static void damage_writes(
    struct cluster_faults *faults, enum cluster_fault_kind kind, unsigned storage)
{
    if (!may_lose(faults, storage))
        return;
    struct sim_disk_faults *disk = disk_of(faults, storage);
    if (kind == CLUSTER_FAULT_LOST_WRITES)
        disk->lost_write_per_million = 20000;
    else
        disk->misdirected_write_per_million = 20000;
    cluster_model_lost(faults->model, storage, -1);
    faults->model->is_distrusted[storage] = true; /* until all is healed */
    faults->is_degraded[storage] = faults->is_damaged = true;
}

/* ---- */

void cluster_fault_inject(struct cluster_faults *faults, enum cluster_fault_kind kind, int at)
{
    unsigned storage = at >= 0 ? (unsigned)at : any_storage(faults);
    faults->counts[kind]++;
    faults->is_calm = false;
    sim_world_note(
        faults->cluster->world, "fault: %s (m%03u)", cluster_fault_name(kind), storage + 1);
    if (kind <= CLUSTER_FAULT_NET)
        trouble_net(faults, kind);
    else if (kind == CLUSTER_FAULT_TRACKER)
        trouble_tracker(faults);
    else if (kind == CLUSTER_FAULT_CLOCK)
        step_clock(faults, storage);
    else if (kind >= CLUSTER_FAULT_READ_ERRORS && kind <= CLUSTER_FAULT_OFFLINE)
        trouble_disk(faults, kind, storage);
    else if (kind == CLUSTER_FAULT_EMPTIED)
        empty_disk(faults, storage);
    else if (kind == CLUSTER_FAULT_SWAPPED)
        trouble_swap(faults, storage);
    else if (kind == CLUSTER_FAULT_ROT)
        rot_file(faults, storage);
    else if (kind >= CLUSTER_FAULT_LOST_WRITES)
        damage_writes(faults, kind, storage);
    else
        trouble_process(faults, kind, storage);
}

static void clear_disks(struct cluster_faults *faults, unsigned storage)
{
    struct sim_node *node = faults->cluster->storages[storage].node;
    for (unsigned i = 0; i < faults->cluster->options.shapes[storage].mounts; i++)
        *sim_mount_faults(node, cluster_mount_path(i)) = (struct sim_disk_faults){0};
    *sim_node_refusal(node) = (struct sim_refusal){0};
    sim_node_fd_limit(node, 1 << 20);
    sim_world_crash_at(faults->cluster->world, node, 0, SIM_CRASH_NONE);
}

static void swap_back(struct cluster_faults *faults)
{
    if (faults->swapped[0] < 0)
        return;
    swap_disks(faults, (unsigned)faults->swapped[0], (unsigned)faults->swapped[1],
        (unsigned)faults->swapped_mount);
    faults->swapped[0] = faults->swapped[1] = -1;
}

/* What passes by itself, after a while. */
static void recover_something(struct cluster_faults *faults)
{
    struct cluster *cluster = faults->cluster;
    unsigned storage = any_storage(faults);
    switch (below(faults, 4)) {
    case 0:
        sim_net_heal_all(cluster->world);
        break;
    case 1:
        clear_disks(faults, storage);
        break;
    case 2:
        if (below(faults, 4) == 0)
            swap_back(faults);
        break;
    default:
        cluster_boot_tracker(cluster, (unsigned)below(faults, cluster->options.trackers));
    }
    cluster_boot_storage(cluster, storage);
}

void cluster_faults_happen(struct cluster_faults *faults)
{
    if (!faults->enabled)
        return;
    if (below(faults, 3) == 0) {
        recover_something(faults);
        return;
    }
    enum cluster_fault_kind kind;
    do
        kind = (enum cluster_fault_kind)below(faults, CLUSTER_FAULT_COUNT);
    while (!(faults->enabled & BIT(kind)));
    cluster_fault_inject(faults, kind, -1);
}

/* A fenced mount point comes back with the next start. */
static bool needs_restart(const struct cluster_storage *storage)
{
    return storage->is_up
           && mounts_usable(&storage->storage->mounts) < storage->storage_config.mount_count;
}

void cluster_faults_heal(struct cluster_faults *faults)
{
    struct cluster *cluster = faults->cluster;
    struct sim_net_options *net = sim_world_net(cluster->world);
    sim_world_note(cluster->world, "all faults pass");
    sim_net_heal_all(cluster->world);
    net->loss_per_million = net->reset_per_million = 0;
    for (unsigned i = 0; i < cluster->options.storages; i++)
        clear_disks(faults, i);
    swap_back(faults);
    for (unsigned i = 0; i < cluster->options.storages; i++)
        if (needs_restart(&cluster->storages[i]) || faults->has_lost_names[i])
            cluster_kill_storage(cluster, i, faults->has_lost_names[i]);
    cluster_boot_all(cluster);
}
