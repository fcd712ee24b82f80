/* The chunk files that a stream writes but does not allocate in: copies of what other storages allocate,
 * and own ones that were lost and are brought back. Holding one makes it if need be.
 *
 *   known (an entry in the table): hold it
 *   a file without an entry, from before a crash: sync it, enter it
 *   no file, or one whose making was interrupted: lock, allocate, header page, sync, directory -> enter
 *
 * A file without an entry holds nothing that counts: no record of this stream names it yet. It is entered
 * only when it is durable, so a record never names a chunk that a power loss could take. Two at once for
 * one chunk: in a stream the second waits for the first; between loops the file's lock decides, which
 * ends with the process. doc/disk-format.md section "Chunk files". */
#ifndef CAIRN_DISK_MIRROR_CHUNK_H
#define CAIRN_DISK_MIRROR_CHUNK_H

#include "disk/stream.h"

enum { MIRROR_CHUNK_ATTEMPTS = 100 };
#define MIRROR_CHUNK_RETRY_NS UINT64_C(10000000)

/** Embedded in the operation; a new one is all zero. */
struct mirror_chunk {
    struct machine machine;
    struct stream *stream;
    struct machine *parent;
    struct chunk_key key;
    uint32_t seed;
    struct chunk_ref *ref;
    struct list link;    /* in stream->mirror_chunks while it makes one */
    struct list waiters; /* struct mirror_chunk: of the same chunk */
    struct io_op op;
    struct iovec iov;
    struct io_handle handle;
    struct io_stat stat;
    uint32_t done, attempts;
    bool is_durable, is_empty;
    uint8_t bytes[CHUNK_HEADER_BYTES];
    char path[CHUNK_NAME_MAX];
};

/** Hold the chunk file of `key`, whose slot headers are keyed with `seed`; the stream knows it then.
 * True: ref->file is there, or ref->err says why not. False: the same is so when `machine` has arrived.
 * `ref` is given back with chunk_release.
 * Errors: CONFLICT (it is there with another seed), CORRUPT (its header is damaged), NO_SPACE, BUSY
 * (no room in the stream's tables; or another loop takes too long to make it), NOT_FOUND (no mount
 * point is told for it), OFFLINE, IO (the stream has failed then), NO_RESOURCE. */
MUST bool mirror_chunk_acquire(struct mirror_chunk *chunk, struct stream *stream,
    const struct chunk_key *key, uint32_t seed, struct chunk_ref *ref, struct machine *machine);

/** Nobody gets to hold the chunk through mirror_chunk_acquire from here on: they wait. False: it is not
 * barred, since somebody holds it, makes it, or waits for it. */
MUST bool mirror_chunk_bar(
    struct mirror_chunk *bar, struct stream *stream, const struct chunk_key *key);
/** Nothing to do if it is not barred. */
void mirror_chunk_unbar(struct mirror_chunk *bar);

#endif
