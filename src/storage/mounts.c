#include "storage/mounts.h"

#include "base/text.h"
#include "disk/slotmap.h"

enum { CHUNKS_MIN = 16 };

static const struct storage_mount_config *config_of(
    const struct storage_mounts *mounts, uint32_t position)
{
    return &mounts->config->mount[position];
}

uint32_t mounts_position(const struct storage_config *config, uint8_t index)
{
    uint32_t position = 0;
    while (position < config->mount_count && config->mount[position].index != index)
        position++;
    return position;
}

/* ---- saying no ---- */

static void note_out(struct storage_mount *it, err_t err, const char *why)
{
    struct storage_mounts *mounts = it->mounts;
    struct text text;
    it->err = err;
    text_init(&text, it->why, sizeof it->why);
    text_add(&text, "%s", why);
    if (!mounts->log)
        return;
    uint32_t position = (uint32_t)(it - mounts->all);
    EVENT(mounts->log, ERROR, "mount_point_out", mounts->owner,
        EVENT_NUMBER("index", config_of(mounts, position)->index),
        EVENT_TEXT("path", config_of(mounts, position)->path), EVENT_TEXT("why", why),
        EVENT_ERR(err));
}

static void leave_out(struct storage_mount *it, err_t err)
{
    char why[MOUNT_REFUSAL_TEXT_MAX];
    (void)mount_refusal_text(&it->mount, why);
    note_out(it, err, why[0] != '\0' ? why : err_sentence(err.code));
    mount_close(&it->mount);
    it->is_open = false;
}

void mounts_fence(struct storage_mounts *mounts, uint32_t position, err_t err)
{
    struct storage_mount *it = &mounts->all[position];
    if (err_is(it->err))
        return;
    mount_fence(&it->mount, err);
    note_out(it, err, "a write or sync failed: it is fenced, nothing on it is trusted");
}

/* ---- opening ---- */

static struct mount_identity identity_of(const struct storage_mounts *mounts, uint32_t position)
{
    struct mount_identity identity = {
        .machine = mounts->config->machine_number, .index = config_of(mounts, position)->index};
    memcpy(identity.storage_uuid, mounts->storage_uuid, UUID_SIZE);
    bool does_fit =
        span_to_text(span_of_text(mounts->config->group), identity.group, sizeof identity.group);
    CHECK(does_fit);
    return identity;
}

static err_t open_one(struct storage_mounts *mounts, uint32_t position)
{
    struct storage_mount *it = &mounts->all[position];
    struct mount_open_options options = {
        .path = config_of(mounts, position)->path, .expected = identity_of(mounts, position)};
    err_t err = mount_open(&it->mount, mounts->io, &options);
    if (err_is(err))
        return err;
    it->is_open = true;
    it->mount.reserve_bytes = storage_reserve_bytes(mounts->config, it->mount.total_bytes);
    memcpy(mounts->storage_uuid, it->mount.image.identity.storage_uuid, UUID_SIZE);
    return ERR_OK;
}

static bool is_unformatted(const struct storage_mount *it)
{
    return it->mount.refusal == MOUNT_NOT_FORMATTED || it->mount.refusal == MOUNT_NO_DIRECTORY;
}

static void open_formatted(struct storage_mounts *mounts)
{
    for (uint32_t i = 0; i < mounts->count; i++) {
        struct storage_mount *it = &mounts->all[i];
        err_t err = open_one(mounts, i);
        if (err_is(err) && !is_unformatted(it))
            leave_out(it, err);
    }
}

/* ---- formatting ---- */

/* The highest generation of the mount point `index` that the others know; 0: there was none. */
static uint64_t seen_by_others(const struct storage_mounts *mounts, uint8_t index)
{
    uint64_t seen = 0;
    for (uint32_t i = 0; i < mounts->count; i++) {
        const struct mount_witness *witness =
            mounts->all[i].is_open ? mount_witness_of(&mounts->all[i].mount, index) : NULL;
        if (witness && witness->generation > seen)
            seen = witness->generation;
    }
    return seen;
}

static void make_uuid(struct io *io, uint8_t ret[UUID_SIZE])
{
    uint64_t random[2] = {io_random(io), io_random(io)};
    memcpy(ret, random, UUID_SIZE);
    ret[6] = (uint8_t)((ret[6] & 0x0f) | 0x40); /* RFC 4122, version 4 */
    ret[8] = (uint8_t)((ret[8] & 0x3f) | 0x80);
}

static err_t format_one(struct storage_mounts *mounts, uint32_t position, uint32_t streams)
{
    struct storage_mount *it = &mounts->all[position];
    const struct storage_config *config = mounts->config;
    uint64_t seen = seen_by_others(mounts, config_of(mounts, position)->index);
    if (seen > 0 && !config->replace_lost)
        return mount_refuse(&it->mount, MOUNT_EMPTIED);
    if (uuid_is_none(mounts->storage_uuid))
        make_uuid(mounts->io, mounts->storage_uuid);
    struct mount_format_options options = {.path = config_of(mounts, position)->path,
        .identity = identity_of(mounts, position),
        .shape = {.stream_count = (uint16_t)streams,
            .chunk_size = (uint32_t)config->chunk_size,
            .log_segment_size = (uint32_t)config->log_segment_size,
            .single_min = config->single_min},
        .generation_min = seen,
        .is_unfilled = true};
    TRY(mount_format(&it->mount, mounts->io, &options));
    if (mounts->log)
        EVENT(mounts->log, INFO, "mount_point_formatted", mounts->owner,
            EVENT_TEXT("path", options.path), EVENT_NUMBER("streams", streams));
    it->is_new = true;
    return open_one(mounts, position);
}

static void format_empty(struct storage_mounts *mounts, uint32_t streams)
{
    for (uint32_t i = 0; i < mounts->count; i++) {
        struct storage_mount *it = &mounts->all[i];
        if (it->is_open || err_is(it->err))
            continue;
        err_t err = format_one(mounts, i, streams);
        if (err_is(err))
            leave_out(it, err);
    }
}

/* ---- judging and entering ---- */

static void learn_all(struct storage_mounts *mounts)
{
    for (uint32_t i = 0; i < mounts->count; i++)
        for (uint32_t k = 0; k < mounts->count; k++)
            if (i != k && mounts->all[i].is_open && mounts->all[k].is_open)
                mount_learn(&mounts->all[i].mount, &mounts->all[k].mount);
}

static err_t judge_shape(const struct storage_mounts *mounts, struct storage_mount *it)
{
    const struct mount_shape *shape = &it->mount.image.shape;
    const struct storage_config *config = mounts->config;
    char why[MOUNT_REFUSAL_TEXT_MAX];
    struct text text;
    if (shape->chunk_size == config->chunk_size
        && shape->log_segment_size == config->log_segment_size)
        return ERR_OK;
    text_init(&text, why, sizeof why);
    text_add(&text,
        "%s was formatted with other sizes; set chunk_size = %u and log_segment_size = %u",
        it->mount.path, shape->chunk_size, shape->log_segment_size);
    err_t err = ERR(USAGE, 0);
    note_out(it, err, why);
    mount_close(&it->mount);
    it->is_open = false;
    return err;
}

static err_t enter_one(struct storage_mounts *mounts, struct storage_mount *it)
{
    TRY(judge_shape(mounts, it));
    TRY(mount_enter(&it->mount));
    const struct mount_image *image = &it->mount.image;
    if (image->status.incarnation > mounts->incarnation)
        mounts->incarnation = image->status.incarnation;
    if (mounts->created_ns == 0 || image->shape.created_ns < mounts->created_ns)
        mounts->created_ns = image->shape.created_ns;
    return ERR_OK;
}

static void enter_all(struct storage_mounts *mounts)
{
    for (uint32_t i = 0; i < mounts->count; i++) {
        struct storage_mount *it = &mounts->all[i];
        if (!it->is_open)
            continue;
        err_t err = enter_one(mounts, it);
        if (err_is(err) && it->is_open)
            leave_out(it, err);
    }
    if (mounts->incarnation == 0)
        mounts->incarnation = 1;
}

err_t mounts_open(struct storage_mounts *mounts, struct io *io, struct mem *mem,
    struct owner *owner, const struct storage_config *config, uint32_t streams,
    struct event_log *log)
{
    *mounts =
        (struct storage_mounts){.io = io, .mem = mem, .owner = owner, .config = config, .log = log};
    void *block;
    TRY(mem_take(mem, owner, config->mount_count * sizeof *mounts->all, 0, &block));
    mounts->all = block;
    mounts->count = config->mount_count;
    for (uint32_t i = 0; i < mounts->count; i++)
        mounts->all[i].mounts = mounts;
    open_formatted(mounts);
    format_empty(mounts, streams);
    learn_all(mounts);
    enter_all(mounts);
    return mounts_usable(mounts) > 0 ? ERR_OK : mounts->all[mounts->count - 1].err;
}

void mounts_plan(const struct storage_mounts *mounts, struct storage_mount_plan *ret)
{
    for (uint32_t i = 0; i < mounts->count; i++) {
        const struct storage_mount *it = &mounts->all[i];
        const struct mount_shape *shape = &it->mount.image.shape;
        ret[i] = (struct storage_mount_plan){.is_usable = !err_is(it->err)};
        if (!ret[i].is_usable)
            continue;
        memcpy(ret[i].mount_uuid, it->mount.image.identity.mount_uuid, UUID_SIZE);
        ret[i].stream_count = shape->stream_count;
        ret[i].total_bytes = it->mount.total_bytes;
        ret[i].free_bytes = it->mount.free_bytes;
        ret[i].reserve_bytes = it->mount.reserve_bytes;
        ret[i].chunk_count_max = (uint32_t)(it->mount.total_bytes / shape->chunk_size) + CHUNKS_MIN;
    }
}

/* ---- while it runs ---- */

static void update_ended(struct mount_update *update, err_t err)
{
    struct storage_mount *it = CONTAINER_OF(update, struct storage_mount, update);
    struct storage_mounts *mounts = it->mounts;
    if (err_is(it->mount.fenced) && !err_is(it->err))
        mounts_fence(mounts, (uint32_t)(it - mounts->all), err);
    if (--mounts->refreshing == 0)
        mounts->refreshed(mounts);
}

void mounts_refresh(struct storage_mounts *mounts, bool writes_status)
{
    CHECK(mounts->refreshing == 0);
    mounts->refreshing = 1; /* ours, so that it does not end before all have begun */
    for (uint32_t i = 0; i < mounts->count; i++) {
        struct storage_mount *it = &mounts->all[i];
        if (err_is(it->err))
            continue;
        it->mount.image.status.incarnation = mounts->incarnation;
        if (mount_update_start(&it->update, &it->mount, writes_status, update_ended))
            mounts->refreshing++;
    }
    if (--mounts->refreshing == 0)
        mounts->refreshed(mounts);
}

void mounts_finish(struct storage_mounts *mounts)
{
    for (uint32_t i = 0; i < mounts->count; i++) {
        struct storage_mount *it = &mounts->all[i];
        if (err_is(it->err))
            continue;
        it->mount.image.status.incarnation = mounts->incarnation;
        err_t err = mount_finish(&it->mount);
        if (err_is(err))
            note_out(it, err, "its last status could not be written; the next start recovers");
    }
}

void mounts_close(struct storage_mounts *mounts)
{
    for (uint32_t i = 0; i < mounts->count; i++)
        mount_close(&mounts->all[i].mount);
    mem_give(mounts->mem, mounts->all);
    mounts->all = NULL;
    mounts->count = 0;
}

uint32_t mounts_usable(const struct storage_mounts *mounts)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < mounts->count; i++)
        count += !err_is(mounts->all[i].err);
    return count;
}

bool mounts_takes_uploads(const struct storage_mount *mount)
{
    enum mount_state state = mount_state(&mount->mount);
    return !err_is(mount->err) && (state == MOUNT_STATE_ONLINE || state == MOUNT_STATE_FULL);
}

uint32_t mounts_online(const struct storage_mounts *mounts)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < mounts->count; i++)
        count += mounts_takes_uploads(&mounts->all[i]);
    return count;
}

void mounts_space(const struct storage_mounts *mounts, uint64_t *ret_total, uint64_t *ret_free)
{
    *ret_total = *ret_free = 0;
    for (uint32_t i = 0; i < mounts->count; i++) {
        const struct storage_mount *it = &mounts->all[i];
        if (err_is(it->err))
            continue;
        *ret_total += it->mount.total_bytes;
        *ret_free += mount_free_for_upload(&it->mount);
    }
}
