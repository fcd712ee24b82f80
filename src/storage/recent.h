/* Uploads that became durable lately, by the nonce of their request: an upload whose answer was lost and
 * that is asked for again gets the id that it has already. A window of fixed size per loop, filled by
 * every durable record of an upload, own or received, and after a start by those that recovery reads. */
#ifndef CAIRN_STORAGE_RECENT_H
#define CAIRN_STORAGE_RECENT_H

#include "base/map.h"
#include "wire/fid.h"
#include "wire/record.h"

/** What was answered, or would have been. */
struct recent_upload {
    struct nonce nonce;
    struct identity identity;
    struct place home;
    struct version version;
    uint64_t size; /* of the content, bytes */
    uint64_t lsn;  /* of the record in the log of its local stream */
    uint32_t crc;
    bool is_mutable;
};

struct recent {
    struct mem *mem;
    struct recent_upload *uploads; /* ring */
    uint32_t capacity, next;       /* next: the place that is filled next */
    struct map by_nonce;           /* -> index */
};

/** Bytes of a window of `capacity`. */
uint64_t recent_bytes(uint32_t capacity);
/** capacity 0: nothing is remembered. Errors: BUSY, NO_RESOURCE; nothing is held then. */
MUST err_t recent_init(
    struct recent *recent, struct mem *mem, uint32_t capacity, uint64_t seed, struct owner *owner);
/** Nothing to do if it was not initialised. */
void recent_fini(struct recent *recent);

/** A RECORD_UPLOAD is durable. The oldest upload is forgotten when the window is full. */
void recent_note(struct recent *recent, const struct record *record);
/** NULL: not known (any more). */
const struct recent_upload *recent_find(const struct recent *recent, const struct nonce *nonce);

/** The id of the file, in `group`. */
struct fid recent_fid(const struct recent_upload *upload, const char *group);

#endif
