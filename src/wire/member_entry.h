/* Members of a group in the data of a frame: HEARTBEAT_ACK and MEMBER_REPLY.
 *
 *   entry   | machine u32 | uuid 16 | state u8 | flags u8 | address TEXT |
 *
 * Entries follow each other without gaps. doc/protocol.md, section "Members". */
#ifndef CAIRN_WIRE_MEMBER_ENTRY_H
#define CAIRN_WIRE_MEMBER_ENTRY_H

#include "base/bytes.h"
#include "base/err.h"
#include "wire/version.h"

enum {
    MEMBER_ALIVE = 1, /* its heartbeats come */
    MEMBER_NEW = 2,   /* it holds nothing yet, and may not know anybody: nothing to learn from it */
    MEMBER_DRAINING = 4, /* gets no uploads */
    MEMBER_REMOVED = 8,  /* this UUID is no member any more, for ever */
    MEMBER_FLAGS = 15,
    MEMBER_REPLACING =
        16, /* of RECALL only: an operator says that the disks known before are lost */
    MEMBER_ENTRY_ADDRESS_MAX = 64,
    MEMBER_ENTRY_SIZE_MAX = 4 + 16 + 1 + 1 + 2 + MEMBER_ENTRY_ADDRESS_MAX,
};

struct member_entry {
    uint32_t machine;
    struct nonce uuid;
    uint8_t state; /* enum storage_state; 0: not known */
    uint8_t flags;
    struct span address; /* "host:port"; "": not known; points into the bytes */
};

/** Append; fails (writer.failed) when it does not fit. */
void member_entry_encode(const struct member_entry *entry, struct writer *w);
/** The next entry of `r`. Errors: PROTOCOL (ends early, or a field is out of range). Flags that are
 * not known are left out. */
MUST err_t member_entry_decode(struct reader *r, struct member_entry *ret);

#endif
