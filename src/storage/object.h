/* A file's content, opened for reading: resolves the id (home, one hop of a forward, packed or
 * single), verifies the header, and gives out verified bytes. A machine step inside an operation.
 *
 *   object_open -> (arrives) header, attributes, size -> object_read ... -> object_close
 *
 * No lock: a change under way makes it fail with CORRUPT where they meet. Whoever gets CORRUPT takes
 * the lock of the file (on the loop that owns it) and asks again; CORRUPT then is damage. */
#ifndef CAIRN_STORAGE_OBJECT_H
#define CAIRN_STORAGE_OBJECT_H

#include "storage/buffer_claim.h"
#include "storage/slot_scan.h"

struct object {
    struct machine machine;
    struct store *store;
    struct machine *parent;
    struct identity identity;
    uint64_t id_size; /* what the id tells of the content; 0 where it says to ask */
    uint32_t id_crc;
    bool id_is_mutable;
    bool is_by_identity;       /* the three above tell nothing */
    err_t err;                 /* of the last step */
    struct place home;         /* where the id points */
    struct place place;        /* where the content is: home itself, a slot, or a single file */
    struct stream_place local; /* the stream that keeps it here */
    struct slot_header home_header;
    uint32_t home_seed;        /* has_home_header: of the home's chunk */
    struct slot_header header; /* of the content: version, size, CRC, times */
    struct span attributes;    /* valid until close */
    struct span data;          /* of the last object_read (or of open) */
    uint64_t data_offset;      /* where in the content */
    bool has_home_header;      /* the home is packed and its header was good */
    bool is_open;
    /* its own */
    struct buffer_claim small, work;
    uint8_t *buffer;
    size_t buffer_size, have, want;
    struct chunk_ref ref;
    struct chunk_ref home_ref;
    struct io_op op;
    struct iovec iov;
    struct single_mount mount;
    struct single_reader single;
    struct slot_scan scan;
    bool is_single, at_target, wants_content;
    uint64_t witness_lsn; /* what must be applied before a bad header is damage */
    bool has_witness, is_settled;
    uint64_t read_offset, read_size;
    uint8_t meta[SLOT_META_MAX];
};

/** Open. An id that tells another size, CRC, mutability or stream than the file's own names nothing:
 * the stream decides which loop a change runs on, and clients believe the rest without asking.
 * wants_content: read the content along with the header where it fits (it is then in ->data,
 * verified, from data_offset 0). Arrives at `parent`; object->err: NOT_FOUND, CORRUPT, OFFLINE, BUSY,
 * NO_RESOURCE, IO. */
void object_open(struct object *object, struct store *store, const struct fid *fid,
    bool wants_content, struct machine *parent);

/** The same for a peer, who knows identity and home but not what else the id says. */
void object_open_identity(struct object *object, struct store *store, const struct fid *fid,
    bool wants_content, struct machine *parent);

/** Read [offset, offset + size) of the content; size at most config.piece_size. Arrives; ->data has
 * exactly these bytes (cut at the end of the content), verified. Errors: RANGE, CORRUPT, IO. */
void object_read(struct object *object, uint64_t offset, uint64_t size);

/** What the file of this header counts in its unit's digest. `header` is the content's. */
static inline uint64_t header_digest(const struct slot_header *header)
{
    return file_digest(&header->identity, header->version, header->size, header->content_crc);
}

/** How much of its content's attributes a forward in a slot of this size keeps: all, or none if they
 * don't fit. They are a copy for people: those of the content count. */
static inline uint16_t forward_attributes_size(uint32_t slot_size, const struct span *attributes)
{
    bool does_fit = slot_meta_size(slot_size, (uint32_t)attributes->size) <= slot_size;
    return does_fit ? (uint16_t)attributes->size : 0;
}

/** Give everything back; at any time but between a call and its arrival. Nothing to do is fine. */
void object_close(struct object *object);

#endif
