/* Looks at a store's files with the eyes of a god and compares them with its tables and with the
 * reference model: nobody may be operating on it. */
#ifndef CAIRN_SIM_STORE_WALK_H
#define CAIRN_SIM_STORE_WALK_H

#include "sim/store_lab.h"
#include "sim/store_model.h"

enum { STORE_WALK_TEXT = 400, STORE_WALK_UNITS = 4096 };

struct store_unit {
    uint32_t stream, chunk, bucket;
    struct digest digest;
};

struct store_walk {
    struct store_lab *lab;
    struct store_model *model;
    bool has_faults;               /* what could not be unlinked may lie in new/ */
    char failure[STORE_WALK_TEXT]; /* empty: all is well */
    uint64_t live_bytes;           /* of slots in which something lives, and of single files */
    uint64_t disk_bytes;           /* of chunk files and single files */
    uint32_t chunk_count;
    struct store_unit *units; /* while it walks: what lives, counted from the headers */
    uint32_t unit_count;
};

/** Every chunk file: its slots by map and header, what lives in it against its entry in the table,
 * stray headers in free space; every single file; each against the model: what lives is a file of the
 * model, once, and every file of the model lives. Digests of all units, counted from the headers. Uploads of unknown outcome that turn out to live
 * become files of the model. False: walk->failure tells. */
bool store_walk(
    struct store_walk *walk, struct store_lab *lab, struct store_model *model, bool has_faults);

#endif
