/* What loop 0 does each second: free space, the tour; and what trackers are told. */
#include "base/units.h"
#include "storage/internal.h"

static uint32_t load_of(const struct storage *storage)
{
    uint32_t load = 0;
    for (uint16_t i = 0; i < storage->loop_count; i++)
        load += storage->reports[i].operations;
    return load;
}

void storage_space(const struct storage *storage, uint64_t *ret_total, uint64_t *ret_free)
{
    mounts_space(&storage->mounts, ret_total, ret_free);
    for (uint32_t k = 0; k < storage->mounts.count; k++) {
        if (!mounts_takes_uploads(&storage->mounts.all[k]))
            continue;
        for (uint16_t i = 0; i < storage->loop_count; i++)
            *ret_free += storage->reports[i].mounts[k].reusable_bytes;
    }
}

/* Nothing was ever stored here, and streams are closed: nobody can learn anything from it. */
static bool is_new(const struct storage *storage)
{
    if (storage->state != STATE_INITING)
        return false;
    for (uint32_t i = 0; i < storage->mounts.count; i++)
        if (!err_is(storage->mounts.all[i].err)
            && !storage->mounts.all[i].mount.image.status.is_unfilled)
            return false;
    return true;
}

uint8_t beat_flags(const struct storage *storage)
{
    uint8_t flags = storage->membership.roster.is_draining ? MEMBER_DRAINING : 0;
    return is_new(storage) ? flags | MEMBER_NEW : flags;
}

static void on_answer(void *context, const struct member_entry *members, uint32_t count)
{
    struct storage *storage = context;
    membership_told(&storage->membership, members, count, false);
}

static void fill(void *context, struct msg_heartbeat *ret)
{
    const struct storage *storage = context;
    *ret = (struct msg_heartbeat){.machine = storage->config.machine_number,
        .uuid = storage->uuid,
        .group = span_of_text(storage->config.group),
        .pool = span_of_text(storage->config.pool),
        .address = span_of_text(storage->address),
        .http_address = span_of_text(storage->http_address),
        .state = storage->state,
        .started_ns = storage->started_wall_ns,
        .first_started_ns = storage->mounts.created_ns,
        .load = load_of(storage),
        .mounts_online = mounts_online(&storage->mounts),
        .mounts_total = storage->config.mount_count,
        .incarnation = storage->mounts.incarnation,
        .flags = beat_flags(storage),
        .fastdfs_port = storage_fastdfs_address(storage)->port};
    struct contacts_sums sums;
    contacts_sum(&storage->contacts, true, io_now(storage->loops[0].io), &sums);
    ret->lag_records = sums.lag_records;
    ret->lag_ns = sums.lag_ns;
    storage_space(storage, &ret->total_bytes, &ret->free_bytes);
}

static void on_refused(
    void *context, const struct io_address *tracker, err_t err, const char *reason)
{
    struct storage_loop *first = &((struct storage *)context)->loops[0];
    char address[IO_ADDRESS_TEXT_MAX];
    EVENT(&first->log, ERROR, "tracker_refuses", &first->owner,
        EVENT_TEXT("tracker", io_address_format(tracker, address)), EVENT_TEXT("reason", reason),
        EVENT_ERR(err));
}

static void start_heartbeats(struct storage *storage)
{
    const struct storage_config *config = &storage->config;
    struct heartbeat_config heartbeat;
    heartbeat_config_default(&heartbeat);
    memcpy(heartbeat.trackers, config->tracker, sizeof heartbeat.trackers);
    heartbeat.tracker_count = config->tracker_count;
    heartbeat.node_secret = &storage->options.secrets->node;
    heartbeat.machine = config->machine_number;
    heartbeat.uuid = storage->uuid;
    heartbeat.interval_ns = config->heartbeat_interval_ns;
    heartbeat.fill = fill;
    heartbeat.on_refused = on_refused;
    heartbeat.on_answer = on_answer;
    heartbeat.context = storage;
    heartbeat_start(&storage->heartbeat, &storage->loops[0].net, &heartbeat);
    storage->is_heartbeat_on = true;
}

/* ---- free space ---- */

static void refreshed(struct storage_mounts *mounts)
{
    struct storage *storage = CONTAINER_OF(mounts, struct storage, mounts);
    if (!storage->is_stop_begun)
        tour_request(storage);
}

static void count_files(struct storage *storage)
{
    for (uint32_t k = 0; k < storage->mounts.count; k++) {
        struct mount_status *status = &storage->mounts.all[k].mount.image.status;
        status->expected_files = 0;
        for (uint16_t i = 0; i < storage->loop_count; i++)
            status->expected_files += storage->reports[i].mounts[k].live_files;
    }
}

static bool loops_run(const struct storage *storage)
{
    return storage->verb == STORAGE_RUN && storage->answers == 0;
}

static void ticked(struct net_tick *tick, uint64_t now_ns)
{
    struct storage *storage = CONTAINER_OF(tick, struct storage, tick);
    contacts_step(&storage->contacts, now_ns);
    membership_step(&storage->membership);
    names_step(&storage->names);
    if (loops_run(storage))
        ready_step(storage);
    if (now_ns < storage->refresh_ns || storage->mounts.refreshing > 0 || !loops_run(storage))
        return;
    bool writes_status = now_ns >= storage->status_ns;
    storage->refresh_ns = now_ns + STORAGE_REFRESH_MS * NS_PER_MS;
    if (writes_status)
        storage->status_ns = now_ns + STORAGE_STATUS_S * NS_PER_S;
    count_files(storage);
    mounts_refresh(&storage->mounts, writes_status);
}

void beat_refresh_soon(struct storage *storage)
{
    storage->refresh_ns = 0;
}

/* ---- life ---- */

void beat_start(struct storage *storage)
{
    if (storage->is_ticking)
        return;
    storage->mounts.refreshed = refreshed;
    storage->tick.tick = ticked;
    storage->is_ticking = true;
    net_ticker_join(&storage->loops[0].net.ticker, &storage->tick);
    start_heartbeats(storage);
}

void beat_stop(struct storage *storage)
{
    if (storage->is_ticking)
        net_ticker_leave(&storage->loops[0].net.ticker, &storage->tick);
    storage->is_ticking = false;
    if (storage->is_heartbeat_on)
        heartbeat_leave(&storage->heartbeat);
    contacts_leave(&storage->contacts);
    membership_close(&storage->membership);
    names_close(&storage->names);
}

bool beat_is_idle(const struct storage *storage)
{
    return !storage->tour.is_out && !storage->survey.is_out && storage->mounts.refreshing == 0
           && sight_is_idle(&storage->sight) && contacts_is_idle(&storage->contacts)
           && membership_is_idle(&storage->membership) && names_is_idle(&storage->names)
           && (!storage->is_heartbeat_on || heartbeat_is_idle(&storage->heartbeat));
}

void beat_set_state(struct storage *storage, uint8_t state)
{
    storage->state = state;
    if (storage->is_heartbeat_on)
        heartbeat_now(&storage->heartbeat);
}
