/* Open chunk files of one loop: a bounded cache of descriptors, least recently used first out.
 *
 *   acquire -> ready (at once, or the machine arrives) -> release
 *
 * A chunk file: | header page 4096 | slots ... up to chunk_size | slot map, copy 0 | copy 1 |
 * Its header names it and carries the random seed that keys the CRCs of its slot headers.
 * Format: doc/disk-format.md section "Chunk files". */
#ifndef CAIRN_DISK_CHUNKFILE_H
#define CAIRN_DISK_CHUNKFILE_H

#include "base/map.h"
#include "io/io.h"

enum {
    CHUNK_MAGIC = 0x31484343, /* "CCH1" */
    CHUNK_FORMAT = 1,
    CHUNK_HEADER_BYTES = 128, /* used bytes of the header page */
    CHUNK_NAME_MAX = 64,
};

/** Names a chunk file at this storage. */
struct chunk_key {
    uint32_t machine; /* its allocator */
    uint8_t mount;    /* the allocator's index of it, which is in ids */
    uint8_t stream;
    uint32_t number;
};

struct chunk_header {
    struct chunk_key key;
    uint32_t chunk_size; /* bytes, header page included, slot maps not */
    uint32_t seed;
    uint64_t created_ns;
    uint8_t storage_uuid[16];
    /* Copy of another's chunk: it was made when a file of this name, or one of its source, had been dropped:
     * what was born up to then, and has no header here, is gone. 0: nothing is known to be. */
    uint64_t gone_birth;
};

void chunk_header_encode(const struct chunk_header *header, uint8_t ret[CHUNK_HEADER_BYTES]);
/** Errors: CORRUPT, FORMAT. */
MUST err_t chunk_header_decode(const uint8_t bytes[CHUNK_HEADER_BYTES], struct chunk_header *ret);

/** "chunks/00000a-00-01-0000001f" */
void chunk_path(char path[CHUNK_NAME_MAX], const struct chunk_key *key);
/** The key of such a name (without directory). False: not one. */
bool chunk_name_parse(const char *name, struct chunk_key *ret);

struct chunk_file {
    struct list link; /* least recently used first, or the free list */
    struct chunk_key key;
    struct io_handle handle;
    struct chunk_header header;
    struct list waiters; /* struct chunk_ref, while opening */
    struct io_op op;
    struct iovec iov;
    struct chunk_files *files;
    uint32_t pins;
    uint32_t have; /* bytes of the header read so far */
    err_t err;
    enum { CHUNK_FILE_FREE, CHUNK_FILE_OPENING, CHUNK_FILE_READY, CHUNK_FILE_FAILED } state;
    bool is_forgotten; /* while it was being opened */
    uint8_t bytes[CHUNK_HEADER_BYTES];
    char path[CHUNK_NAME_MAX];
};

/** A use of a chunk file, embedded in the operation. file NULL: not held. */
struct chunk_ref {
    struct list link;
    struct chunk_file *file;
    struct machine *machine;
    struct chunk_key key;
    err_t err;
};

struct chunk_files {
    struct io *io;
    struct mem *mem;
    struct chunk_file *all;
    uint32_t count;
    struct list free; /* without a descriptor */
    struct list used; /* least recently used first */
    struct map by_key;
    struct list hungry; /* struct chunk_ref: every file is pinned; served at a release */
    struct owner owner;
    const struct io_handle *(*root_of)(void *context, const struct chunk_key *key);
    void *context;
    uint64_t hits, misses;
};

/** A cache for `count` descriptors. root_of tells in which directory a key's file is (NULL: none).
 * Errors: BUSY, NO_RESOURCE. */
MUST err_t chunk_files_init(struct chunk_files *files, struct io *io, struct mem *mem,
    uint32_t count, const struct io_handle *(*root_of)(void *context, const struct chunk_key *key),
    void *context);
void chunk_files_fini(struct chunk_files *files);

/** Hold the file of `key`. True: ref->file is there, or ref->err says why not (NOT_FOUND: also if its
 * making did not come as far as the header; OFFLINE, IO, CORRUPT, NO_RESOURCE). False: the same is so
 * when `machine` has arrived. */
MUST bool chunk_acquire(struct chunk_files *files, const struct chunk_key *key,
    struct chunk_ref *ref, struct machine *machine);
/** Hold it if its file is open already. False: it is not. */
MUST bool chunk_acquire_open(
    struct chunk_files *files, const struct chunk_key *key, struct chunk_ref *ref);
/** Nothing to do if it is not held. */
void chunk_release(struct chunk_files *files, struct chunk_ref *ref);
/** Another use of the same file. */
void chunk_ref_copy(struct chunk_ref *to, const struct chunk_ref *from);

/** Does anybody hold it, or wait for it? */
bool chunk_is_held(struct chunk_files *files, const struct chunk_key *key);
/** Close the descriptor of a file that is gone, unless somebody holds it (then at the last release).
 * Whoever waits for it hears NOT_FOUND. */
void chunk_forget(struct chunk_files *files, const struct chunk_key *key);

/** The same with io_call, for start-up: errors as above. */
MUST err_t chunk_acquire_now(
    struct chunk_files *files, const struct chunk_key *key, struct chunk_ref *ref);

#endif
