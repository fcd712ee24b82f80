/* Disks of a simulated node: mounts with capacity and manners, faults that can be switched on, and
 * questions that only a god may ask. Paths are absolute. */
#ifndef CAIRN_SIM_DISK_H
#define CAIRN_SIM_DISK_H

#include "sim/world.h"

/** The manners of a disk: legal behaviour that programs must bear. Drawn from the seed. */
struct sim_disk_options {
    uint64_t capacity;              /* bytes */
    uint32_t direct_alignment;      /* of buffer, offset and size with O_DIRECT: 512 or 4096 */
    uint32_t short_per_million;     /* reads and writes that do less than asked */
    uint32_t writeback_per_million; /* overwritten dirty sectors that had reached the disk */
    uint32_t read_ns, write_ns, sync_ns, meta_ns; /* means: a read or direct write; one into the
                                                     page cache; a sync; a change of names */
    bool is_journaled;            /* name changes become durable in order, whichever is synced */
    bool sync_makes_name_durable; /* of the file synced, as ext4 does */
    bool garbles;                 /* a write in flight at power loss may leave noise in its bytes */
    bool refuses_direct;          /* O_DIRECT: -EINVAL at open; never drawn */
    const char *ignores_sync_of;  /* a liar, for canaries: syncs of whatever has this in its path do
                                     nothing, with success; never drawn */
};

void sim_disk_options_draw(struct sim_disk_options *options, struct prng *prng);

/** Faults, all off at first. */
struct sim_disk_faults {
    uint32_t read_error_per_million;        /* -EIO */
    uint32_t write_error_per_million;       /* -EIO, nothing written */
    uint32_t sync_error_per_million;        /* -EIO; no retry heals it */
    uint32_t lost_write_per_million;        /* success, but the old bytes stay */
    uint32_t misdirected_write_per_million; /* success, but the bytes lie elsewhere on the disk */
    uint32_t latency_factor;                /* 0 or 1: none; 100: a dying disk */
    bool is_full;                           /* -ENOSPC for whatever needs a new block */
    bool is_offline;                        /* -EIO for everything */
};

/** Each is off in most draws, mild in some, heavy in few; is_full and is_offline stay off. */
void sim_disk_faults_draw(struct sim_disk_faults *faults, struct prng *prng);

/** An empty disk at `path` ("/data/m0"). options NULL: drawn, capacity 1 GiB. */
void sim_mount_new(struct sim_node *node, const char *path, const struct sim_disk_options *options);
/** The mount that holds `path`, to change at any time. */
struct sim_disk_options *sim_mount_options(struct sim_node *node, const char *path);
struct sim_disk_faults *sim_mount_faults(struct sim_node *node, const char *path);
/** An empty disk in its place. The node must be down. */
void sim_mount_replace(struct sim_node *node, const char *path);
/** Put the disk of `path` into another node's (or the same node's) `to_path`. Both must be down. */
void sim_mount_swap(
    struct sim_node *node, const char *path, struct sim_node *to_node, const char *to_path);

/** Latent sector errors: reads of these sectors end with -EIO until they are written whole. */
void sim_file_make_bad(struct sim_node *node, const char *path, uint64_t offset, uint64_t size);
/** Bit rot: one bit of the byte at `offset`, on disk and, unless dirty, in the cache. */
void sim_file_flip_bit(struct sim_node *node, const char *path, uint64_t offset, unsigned bit);
/** Overwrite behind everybody's back. */
void sim_file_corrupt(
    struct sim_node *node, const char *path, uint64_t offset, const void *data, uint64_t size);

/** True if a power loss now would certainly leave the file under this name with exactly these
 * bytes in the range. False if there is no such file. */
bool sim_file_range_is_durable(
    struct sim_node *node, const char *path, uint64_t offset, uint64_t size);
/** Size of a file; -ENOENT if there is none. */
int64_t sim_file_size(struct sim_node *node, const char *path);
/** What a read would return, without charge and fault: bytes, or -ENOENT. */
int64_t sim_file_read(
    struct sim_node *node, const char *path, uint64_t offset, void *ret_data, uint64_t size);
/** Call `each` for every file, in order of birth, with its absolute path. */
void sim_node_each_file(struct sim_node *node,
    void (*each)(void *context, const char *path, uint64_t size), void *context);

/** One operation on a disk that took effect. */
struct sim_disk_event {
    struct sim_node *node;
    const char *path; /* as it is named now; gone after the call */
    enum io_kind kind;
    uint32_t write_flags;
    bool is_direct;
    uint64_t offset, size;
    int64_t result;
};

/** What a harness wants to be told of. */
struct sim_observer {
    void *context;
    void (*disk_op)(void *context, const struct sim_disk_event *event); /* NULL: nothing */
    /** Bytes of a file were silently damaged by a fault (lost or misdirected write). */
    void (*damage)(
        void *context, struct sim_node *node, const char *path, uint64_t offset, uint64_t size);
};
void sim_world_observe(struct sim_world *world, const struct sim_observer *observer);

#endif
