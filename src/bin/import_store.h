/* The files of a FastDFS storage, as its store paths hold them, one after the other:
 *
 *   DIR/data/HH/HH/NAME      a file, an appender, a slave        DIR/data/HH/HH/NAME-m   its metadata
 *   DIR/data/HH/HH/000001    a trunk file (import_trunk.h)       metadata of its files: as above
 *
 * The first DIR is store path M00, the second M01, ... Other files and directories are not of interest. */
#ifndef CAIRN_BIN_IMPORT_STORE_H
#define CAIRN_BIN_IMPORT_STORE_H

#include "bin/import_trunk.h"
#include "bin/walk.h"

/* Metadata and the attributes that an import sets have room in a file's header together. */
enum { IMPORT_METADATA_MAX = 900 };

struct import_item {
    char name[FDFS_NAME_MAX + 1]; /* without the group */
    struct fdfs_id id;            /* of `name` */
    char path[MANIFEST_PATH_MAX]; /* the file that has the content */
    uint64_t base, size;          /* where in it */
    uint64_t modify_ns;
    bool is_crc_known;   /* else nothing tells what it should be: appenders, slaves */
    bool lacks_metadata; /* there is some that does not fit or can't be read: store->text says so */
    char metadata[IMPORT_METADATA_MAX];
    size_t metadata_size;
};

struct import_store {
    struct io *io;
    struct mem *mem;
    struct owner *owner;
    char *const *roots;
    size_t root_count, root;
    char data_path[MANIFEST_PATH_MAX]; /* "DIR/data" */
    char *data_roots[1];               /* of `walk` */
    struct walk walk;
    bool is_walking, is_in_trunk;
    struct trunk_scan scan;
    char trunk_path[MANIFEST_PATH_MAX];
    uint64_t trunk_modify_ns;
    char text[MANIFEST_PATH_MAX + 256]; /* of the last result */
};

void import_store_init(struct import_store *store, struct io *io, struct mem *mem,
    struct owner *owner, char *const *roots, size_t root_count);
void import_store_fini(struct import_store *store);

enum import_result {
    IMPORT_FILE,
    IMPORT_BAD,    /* store->text says what is damaged or could not be read; *ret_err how */
    IMPORT_NOTICE, /* store->text says what was left out on purpose */
    IMPORT_END,
};

enum import_result import_store_next(
    struct import_store *store, struct import_item *ret, err_t *ret_err);

#endif
