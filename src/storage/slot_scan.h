/* What stands in a piece of a chunk file, by the slot headers that are there: for chunks of others,
 * which have no slot map here. A machine step inside an intake.
 *
 * Headers can't be forged by content (their CRC is keyed), and a tenant that has gone keeps its header
 * as a tombstone until a younger tenant's bytes are written over it. So every header that overlaps the
 * piece tells the birth of a tenant that was there, and every live tenant's header is found: those that
 * begin inside, and, going backwards, up to the first live one that begins before.
 *
 *   scan: | ... dead ... | live | dead | [ piece: header? header? ... ) |
 *                        ^ stop <-------'--------------------------->
 */
#ifndef CAIRN_STORAGE_SLOT_SCAN_H
#define CAIRN_STORAGE_SLOT_SCAN_H

#include "storage/store.h"

enum {
    SLOT_SCAN_BUFFER = 16 * 1024,
    /* positions looked at with one read; a header that begins at the last one is in it */
    SLOT_SCAN_WINDOW = (SLOT_SCAN_BUFFER - SLOT_META_MAX) / SLOT_UNIT * SLOT_UNIT,
};

struct slot_scan {
    struct machine machine;
    struct store *store;
    struct machine *parent;
    err_t err; /* NOT_FOUND: no such chunk file; IO, NO_RESOURCE, OFFLINE, CORRUPT (its header) */
    /* what was found: header */
    struct slot_header header;
    bool has_header;
    /* what was found: tenants */
    uint64_t youngest;   /* birth; 0: nobody was here */
    struct place tenant; /* a live one that is older; kind NONE: none, or no other */
    struct slot_header tenant_header;
    /* asked for */
    struct chunk_key key;
    uint32_t offset, size;
    uint64_t birth;
    const struct identity *home_of; /* this identity's home is not a tenant; NULL: all are */
    /* its own */
    struct chunk_ref ref;
    struct io_op op;
    struct iovec iov;
    uint8_t *buffer;
    uint32_t have, want, at; /* bytes there; position in the file of the first */
    uint32_t next;           /* first position that was not looked at yet */
    bool is_backward, is_header_only, is_over;
};

/** Read the header at `place`: scan->has_header, ->header. `buffer` (SLOT_SCAN_BUFFER bytes) is lent
 * until the arrival. Not finding a good one is no error. */
void slot_scan_header(struct slot_scan *scan, struct store *store, const struct place *place,
    uint8_t *buffer, struct machine *parent);

/** Who is or was in `place`, for a tenant born at `birth`: ->youngest, and the first live tenant that is
 * older in ->tenant, ->tenant_header. */
void slot_scan_tenants(struct slot_scan *scan, struct store *store, const struct place *place,
    uint64_t birth, const struct identity *home_of, uint8_t *buffer, struct machine *parent);
/** The next live tenant that is older: ->tenant. */
void slot_scan_next(struct slot_scan *scan, struct machine *parent);

/** The birth of who has, or had, this header: that of the placement, or of the identity at home. */
uint64_t slot_scan_birth(const struct slot_header *header);

#endif
