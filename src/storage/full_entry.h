/* The whole of a file as this storage holds it, as an entry of kind RECORD_FULL for another member.
 * doc/protocol.md section "Between storages". Pure. */
#ifndef CAIRN_STORAGE_FULL_ENTRY_H
#define CAIRN_STORAGE_FULL_ENTRY_H

#include "storage/object.h"
#include "wire/entry.h"

enum {
    /* an entry without content */
    FULL_ENTRY_PLAIN_MAX = ENTRY_HEADER_SIZE + RECORD_HEADER_SIZE + 2 * SLOT_META_MAX + 8,
};

/** Bytes of the entry; `is_inline`: with the content. */
size_t full_entry_size(const struct object *object, bool is_inline);

/** Write the entry of an open object; `is_inline`: with its content, all of which is in object->data
 * then. All or nothing: w->failed when it does not fit. Errors: CORRUPT (the home's forward does not
 * belong to the content: nothing is written). */
MUST err_t full_entry_write(const struct object *object, bool is_inline, struct writer *w);

#endif
