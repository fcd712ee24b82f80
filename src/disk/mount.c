#include "disk/mount.h"

#include <errno.h>

#include "disk/mount_file.h"

static err_t open_file(struct mount *mount)
{
    int64_t result = mount_call(mount, (struct io_op){
                                           .kind = IO_OPEN,
                                           .fd = mount->directory.fd,
                                           .path = MOUNT_FILE,
                                           .open_flags = IO_OPEN_READ | IO_OPEN_WRITE,
                                           .ret_handle = &mount->file,
                                       });
    if (result == -ENOENT)
        return mount_refuse(mount, MOUNT_NOT_FORMATTED);
    return result < 0 ? ERR_RESULT(result) : ERR_OK;
}

/* The newest good copy. A copy of a later format is not passed over for an older one: the later
 * program has written since. */
static err_t read_file(struct mount *mount)
{
    err_t errs[MOUNT_COPIES];
    struct mount_image image;
    for (unsigned copy = 0; copy < MOUNT_COPIES; copy++) {
        errs[copy] = mount_read_copy(mount, copy);
        if (err_has(errs[copy], ERR_CODE_NO_RESOURCE)) /* says nothing about the copy */
            return errs[copy];
        if (!err_is(errs[copy]))
            errs[copy] = mount_image_decode(mount->page, copy, &image);
        if (err_has(errs[copy], ERR_CODE_FORMAT))
            return mount_refuse(mount, MOUNT_LATER_FORMAT);
        if (!err_is(errs[copy]) && image.generation > mount->image.generation)
            mount->image = image;
    }
    mount->copy_is_damaged = err_is(errs[0]) || err_is(errs[1]);
    if (mount->image.generation > 0)
        return ERR_OK;
    unsigned unread = err_has(errs[1], ERR_CODE_IO);
    return err_has(errs[unread], ERR_CODE_IO) ? errs[unread] : mount_refuse(mount, MOUNT_DAMAGED);
}

static bool uuid_differs(const uint8_t found[UUID_SIZE], const uint8_t expected[UUID_SIZE])
{
    return !uuid_is_none(found) && !uuid_is_none(expected) && !uuid_equals(found, expected);
}

static err_t judge_identity(struct mount *mount)
{
    const struct mount_identity *found = &mount->image.identity, *expected = &mount->expected;
    if (uuid_differs(found->cluster_uuid, expected->cluster_uuid))
        return mount_refuse(mount, MOUNT_OTHER_CLUSTER);
    if (uuid_differs(found->storage_uuid, expected->storage_uuid))
        return mount_refuse(mount, MOUNT_OTHER_STORAGE);
    if (found->machine != expected->machine)
        return mount_refuse(mount, MOUNT_OTHER_MACHINE);
    if (expected->group[0] != '\0' && strcmp(found->group, expected->group) != 0)
        return mount_refuse(mount, MOUNT_OTHER_GROUP);
    if (found->index != expected->index)
        return mount_refuse(mount, MOUNT_SWAPPED);
    if (uuid_differs(found->mount_uuid, expected->mount_uuid))
        return mount_refuse(mount, MOUNT_REPLACED);
    return ERR_OK;
}

static err_t judge_directories(struct mount *mount)
{
    for (size_t i = 0; i < MOUNT_DIRECTORY_COUNT; i++) {
        struct io_stat stat;
        int64_t result = mount_call(mount, (struct io_op){
                                               .kind = IO_STAT,
                                               .fd = mount->directory.fd,
                                               .path = mount_directories[i],
                                               .ret_stat = &stat,
                                           });
        if (result == -ENOENT || (result >= 0 && !stat.is_directory))
            return mount_refuse(mount, MOUNT_INCOMPLETE);
        if (result < 0)
            return ERR_RESULT(result);
    }
    return ERR_OK;
}

static err_t ask_space(struct mount *mount)
{
    struct io_stat stat;
    int64_t result = mount_call(
        mount, (struct io_op){.kind = IO_SPACE, .fd = mount->directory.fd, .ret_stat = &stat});
    if (result < 0)
        return ERR_RESULT(result);
    mount->total_bytes = stat.size;
    mount->free_bytes = stat.allocated;
    return ERR_OK;
}

static err_t open_steps(struct mount *mount)
{
    TRY(mount_hold(mount));
    TRY(open_file(mount));
    TRY(read_file(mount));
    TRY(judge_identity(mount));
    TRY(judge_directories(mount));
    return ask_space(mount);
}

err_t mount_open(struct mount *mount, struct io *io, const struct mount_open_options *options)
{
    mount_begin(mount, io, options->path);
    mount->expected = options->expected;
    mount->reserve_bytes = options->reserve_bytes;
    err_t err = open_steps(mount);
    if (err_is(err))
        mount_close(mount);
    mount->was_clean = !err_is(err) && mount->image.status.is_clean;
    return err;
}

static void witness_learn(struct mount_witness *known, const struct mount_witness *told)
{
    if (told->generation > known->generation)
        *known = *told;
}

void mount_learn(struct mount *mount, const struct mount *other)
{
    const struct mount_identity *identity = &other->image.identity;
    CHECK(uuid_equals(identity->storage_uuid, mount->image.identity.storage_uuid));
    for (size_t i = 0; i < MOUNT_INDEX_COUNT; i++)
        witness_learn(&mount->image.witness[i], &other->image.witness[i]);
    struct mount_witness self = {.generation = other->image.generation};
    memcpy(self.mount_uuid, identity->mount_uuid, UUID_SIZE);
    witness_learn(&mount->image.witness[identity->index], &self);
}

const struct mount_witness *mount_witness_of(const struct mount *mount, uint8_t index)
{
    const struct mount_witness *witness = &mount->image.witness[index];
    return witness->generation > 0 ? witness : NULL;
}

/* One write behind with one copy damaged: the newest copy rotted, and nothing but a status is lost. */
static err_t judge_age(struct mount *mount)
{
    const struct mount_image *image = &mount->image;
    const struct mount_witness *seen = &image->witness[image->identity.index];
    if (seen->generation <= image->generation)
        return ERR_OK;
    if (!uuid_equals(seen->mount_uuid, image->identity.mount_uuid))
        return mount_refuse(mount, MOUNT_REPLACED);
    if (mount->copy_is_damaged && seen->generation == image->generation + 1)
        return ERR_OK;
    return mount_refuse(mount, MOUNT_STALE);
}

/* Write the image as the next generation, durably. */
static err_t store_now(struct mount *mount)
{
    uint64_t generation = mount_next_generation(mount);
    mount->image.status.written_ns = io_wall(mount->io);
    mount_encode_next(mount);
    TRY(mount_write_copy(mount, (unsigned)(generation % MOUNT_COPIES)));
    TRY(mount_sync(mount, &mount->file));
    TRY(mount_sync(mount, &mount->directory));
    mount->image.generation = generation;
    return ERR_OK;
}

err_t mount_enter(struct mount *mount)
{
    CHECK(mount->file.fd != IO_FD_NONE && !mount->is_entered);
    TRY(judge_age(mount));
    struct mount_image *image = &mount->image;
    if (uuid_is_none(image->identity.cluster_uuid))
        memcpy(image->identity.cluster_uuid, mount->expected.cluster_uuid, UUID_SIZE);
    image->status.epoch++;
    image->status.is_clean = false;
    err_t err = store_now(mount);
    if (err_is(err))
        mount_write_failed(mount, err);
    mount->is_entered = !err_is(err);
    return err;
}

err_t mount_finish(struct mount *mount)
{
    CHECK(mount->is_entered && !mount->is_updating);
    if (err_is(mount->fenced))
        return ERR(OFFLINE, 0);
    mount->image.status.is_clean = true;
    err_t err = store_now(mount);
    if (err_is(err))
        mount_write_failed(mount, err);
    return err;
}

void mount_close(struct mount *mount)
{
    CHECK(!mount->is_updating);
    if (mount->owner.operation == NULL)
        return;
    io_handle_close(mount->io, &mount->file);
    io_handle_close(mount->io, &mount->directory); /* the lock goes with it */
    owner_close(&mount->owner);
}

void mount_fence(struct mount *mount, err_t cause)
{
    CHECK(err_is(cause));
    if (!err_is(mount->fenced))
        mount->fenced = cause;
}

enum mount_state mount_state(const struct mount *mount)
{
    if (err_is(mount->fenced))
        return MOUNT_STATE_FENCED;
    if (mount->is_read_only)
        return MOUNT_STATE_READ_ONLY;
    return mount->free_bytes <= mount->reserve_bytes ? MOUNT_STATE_FULL : MOUNT_STATE_ONLINE;
}

const char *mount_state_name(enum mount_state state)
{
    static const char *const names[MOUNT_STATE_COUNT] = {
#define X(name, text) text,
        MOUNT_STATES(X)
#undef X
    };
    CHECK(state < MOUNT_STATE_COUNT);
    return names[state];
}

uint64_t mount_free_for_upload(const struct mount *mount)
{
    return mount_state(mount) == MOUNT_STATE_ONLINE ? mount->free_bytes - mount->reserve_bytes : 0;
}

void mount_space_taken(struct mount *mount, uint64_t size)
{
    mount->free_bytes -= size < mount->free_bytes ? size : mount->free_bytes;
}
