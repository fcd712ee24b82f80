/* The end of an import: a map of the names that a manifest has (wire/names.h), stored like a file, and told
 * to the storages of the group. */
#ifndef CAIRN_BIN_IMPORT_MAP_H
#define CAIRN_BIN_IMPORT_MAP_H

#include "bin/resume.h"
#include "bin/session.h"

/* What a map is called in the manifest: names behind the last line of it are in none. */
#define IMPORT_MAP_PATH "map"

enum {
    IMPORT_MAP_NAMES_MAX = 2 * 1024 * 1024
}; /* in one map: 230 MiB of memory while it is made */

struct import_map {
    struct session *session;
    const char *group;
    const char *manifest; /* its path */
    uint8_t ack;
    uint64_t names; /* result: that new maps have */
    uint64_t maps;  /* result: that were made */
};

/** Store maps of what is new in the manifest, and tell them, and the last one of before, to the storages
 * that run. Their lines are appended to the manifest. Errors: those of reading it, of memory, of the
 * upload, of telling; said to the user already. */
MUST err_t import_map_run(struct import_map *map);

#endif
