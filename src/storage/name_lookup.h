/* What file an old name means: reads the maps that the storage knows, the newest first, a page of each
 * (decision 24).
 *
 *   name_lookup_begin (is it an old name of this group at all?) -> name_lookup_start -> done()
 *
 * Of a slave's name that no map has, its master is looked for: then `tail` is what stands behind place and
 * size, as in fdfs_slave.h. Runs on any loop; a map that only its owner can judge is UNAVAILABLE there. */
#ifndef CAIRN_STORAGE_NAME_LOOKUP_H
#define CAIRN_STORAGE_NAME_LOOKUP_H

#include "storage/fdfs_slave.h"
#include "storage/names.h"
#include "storage/operation.h"
#include "wire/fdfs_id.h"

struct name_lookup {
    struct fdfs_id id;     /* spans point into the name that was given */
    struct fdfs_name name; /* result: tail empty unless it is a master's */
    err_t err;             /* result */
    struct fid asked;      /* the map that was read last */
    void (*done)(struct name_lookup *lookup);
    void *context;
    /* its own */
    struct storage_loop *loop;
    struct names_key key;
    struct outlet outlet;
    struct find find;
    uint32_t map_next; /* counts down */
    uint32_t page, page_count, pages_read;
    bool is_for_master, is_found, has_more;
};

/** May `name` (without its group) be one that a map has? False: there is nothing to look up. Cheap. */
bool name_lookup_begin(struct name_lookup *lookup, struct storage_loop *loop, struct span name);

/** Set done and context before. Errors at the end: NOT_FOUND, CORRUPT, FORMAT, OFFLINE, BUSY, IO;
 * UNAVAILABLE: only the loop that owns lookup->asked can tell: go there and start again; on that loop:
 * no other member could be asked. */
void name_lookup_start(struct name_lookup *lookup);

#endif
