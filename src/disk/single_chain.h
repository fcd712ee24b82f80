/* A chain of disk operations on behalf of a machine, one in flight at a time: each is begun by the
 * function that ran when the one before it had ended well.
 *
 *   begin -> [chain_read -> next] -> [chain_write -> next] -> ... -> chain_end: the machine arrives
 *                 `--- an operation that fails ends the chain: the machine arrives, chain->err
 *
 * The machine's owner pays for everything. The chain gives nothing back: whoever embeds it has a
 * close or abandon that does. For the modules named single_* only. */
#ifndef CAIRN_DISK_SINGLE_CHAIN_H
#define CAIRN_DISK_SINGLE_CHAIN_H

#include "base/bytes.h"
#include "io/io.h"

struct single_chain;
struct single_pour;
typedef void single_chain_next(struct single_chain *chain);

struct single_chain {
    struct io *io;
    struct machine *machine; /* arrives at the end */
    single_chain_next *done; /* instead of that, if not NULL: a chain inside a chain */
    single_chain_next *next;
    void *context;  /* of done */
    err_t err;      /* how it ended */
    bool tolerates; /* `next` runs after the coming operation however it ends: see result */
    int64_t result; /* of the last operation; bytes moved, for transfers */
    struct io_op op;
    struct iovec iov;
    union { /* transfer: what is left */
        uint8_t *data;
        const uint8_t *constant;
    };
    size_t left;
    int64_t moved;
    uint64_t offset;
    struct io_stat stat;
    struct io_handle *opened;      /* chain_sync_path */
    single_chain_next *after_sync; /* chain_sync_path */
    struct single_pour *pour;      /* single_pour.h */
    bool is_active;
};

/** Nothing is under way. Once, before the first use. */
void chain_init(struct single_chain *chain, struct io *io, struct machine *machine);
/** A step of the parent begins. CHECKs that none is under way. */
void chain_begin(struct single_chain *chain);
void chain_end(struct single_chain *chain, err_t err);

/* Each begins one operation; `next` runs when it went well. `path` stays put until then. */
void chain_open(struct single_chain *chain, int root, const char *path, uint32_t flags,
    struct io_handle *handle, single_chain_next *next);
/** Reads until `size` bytes or the end of the file: chain->result says how many. */
void chain_read(struct single_chain *chain, int fd, void *data, size_t size, uint64_t offset,
    single_chain_next *next);
/** Writes all of it. */
void chain_write(struct single_chain *chain, int fd, struct span bytes, uint64_t offset,
    single_chain_next *next);
void chain_sync(struct single_chain *chain, int fd, single_chain_next *next);
void chain_resize(struct single_chain *chain, int fd, uint64_t size, single_chain_next *next);
/** -> chain->stat */
void chain_stat(struct single_chain *chain, int fd, single_chain_next *next);
void chain_rename(struct single_chain *chain, int root, const char *path, const char *path_to,
    single_chain_next *next);
void chain_unlink(struct single_chain *chain, int root, const char *path, single_chain_next *next);
/** Opens `path` into `handle`, syncs it and closes it. After a failure it may still be open. */
void chain_sync_path(struct single_chain *chain, int root, const char *path, uint32_t flags,
    struct io_handle *handle, single_chain_next *next);

/** Where single files are. Stays put as long as something that was opened with it is open. */
struct single_mount {
    struct io *io;
    const struct io_handle *root; /* the mount point's directory */
    uint8_t stream;
};

#endif
