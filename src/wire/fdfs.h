/* FastDFS's client protocol, as its clients speak it (6.x): requests from bytes, answers to bytes.
 * doc/fastdfs.md; every number is big endian, every length counts bytes.
 *
 *   request   | body length 8 | command 1 | flags 1  | parameters .... | content ...... |
 *   answer    | body length 8 | 100      1 | status 1 | body ........... |
 *
 * No version, no request id: one request at a time, answered in order. Pure. */
#ifndef CAIRN_WIRE_FDFS_H
#define CAIRN_WIRE_FDFS_H

#include "base/bytes.h"
#include "base/err.h"

enum {
    FDFS_HEADER_SIZE = 10,
    FDFS_PARAMETERS_MAX = 8 * 1024, /* of a request, without content */
    FDFS_GROUP_SIZE = 16,
    FDFS_SUFFIX_SIZE = 6,  /* "ext" of a file name, without the dot */
    FDFS_PREFIX_SIZE = 16, /* of a slave's name */
    FDFS_NAME_MAX = 127,   /* of a file, without the group */
    FDFS_CHANGED_NAME_MIN = 44,
    FDFS_ANSWER = 100, /* the command of every answer */
};

/* name, number, what it is called */
#define FDFS_COMMANDS(X)                                              \
    X(UPLOAD, 11, "upload")                                           \
    X(DELETE, 12, "delete")                                           \
    X(SET_METADATA, 13, "set metadata")                               \
    X(DOWNLOAD, 14, "download")                                       \
    X(GET_METADATA, 15, "get metadata")                               \
    X(LINK, 20, "create link")                                        \
    X(UPLOAD_SLAVE, 21, "upload slave")                               \
    X(QUERY_FILE, 22, "query file info")                              \
    X(UPLOAD_APPENDER, 23, "upload appender")                         \
    X(APPEND, 24, "append")                                           \
    X(MODIFY, 34, "modify")                                           \
    X(TRUNCATE, 36, "truncate")                                       \
    X(REGENERATE, 38, "regenerate appender name")                     \
    X(STORAGE_ID, 70, "storage id of an address")                     \
    X(STORAGE_STATUS, 71, "status of a storage")                      \
    X(STORAGE_IDS, 69, "fetch storage ids")                           \
    X(PARAMETERS, 75, "get parameters")                               \
    X(QUIT, 82, "quit")                                               \
    X(LIST_GROUP, 90, "list one group")                               \
    X(LIST_GROUPS, 91, "list all groups")                             \
    X(LIST_STORAGES, 92, "list storages")                             \
    X(DELETE_STORAGE, 93, "delete storage")                           \
    X(SET_TRUNK, 94, "set trunk server")                              \
    X(LEADER, 95, "get leader")                                       \
    X(TRACKER_STAT, 96, "tracker cluster stat")                       \
    X(STORAGE_STAT, 97, "storage cluster stat")                       \
    X(VOLUME_STAT, 98, "volume stat")                                 \
    X(STORE, 101, "query store, any group, one storage")              \
    X(FETCH, 102, "query fetch, one storage")                         \
    X(UPDATE, 103, "query update")                                    \
    X(STORE_GROUP, 104, "query store, given group, one storage")      \
    X(FETCH_ALL, 105, "query fetch, all storages")                    \
    X(STORE_ALL, 106, "query store, any group, all storages")         \
    X(STORE_GROUP_ALL, 107, "query store, given group, all storages") \
    X(DELETE_GROUP, 108, "delete group")                              \
    X(PING, 111, "active test")

enum fdfs_command {
#define X(name, number, text) FDFS_##name = (number),
    FDFS_COMMANDS(X)
#undef X
};

/** What a command is called; NULL: no client's command. */
const char *fdfs_command_name(uint8_t command);

/** Statuses: errno values of Linux, whatever the host. */
enum fdfs_status {
    FDFS_OK = 0,
    FDFS_EPERM = 1,
    FDFS_ENOENT = 2,
    FDFS_EIO = 5,
    FDFS_EAGAIN = 11,
    FDFS_EACCES = 13,
    FDFS_EBUSY = 16,
    FDFS_EEXIST = 17,
    FDFS_EINVAL = 22,
    FDFS_EFBIG = 27,
    FDFS_ENOSPC = 28,
    FDFS_EOPNOTSUPP = 95,
};

/** The status that goes with an error. */
uint8_t fdfs_status_of(err_t err);

/** Flags of QUERY_FILE, in the byte that is the status of answers. */
enum { FDFS_FLAG_NO_CRC = 1, FDFS_FLAG_SILENT = 2 };

struct fdfs_head {
    uint64_t body_size; /* parameters and content */
    uint8_t command;
    uint8_t flags;
    struct span group;    /* without padding; empty: the command has none */
    struct span name;     /* of the file, without the group; slaves: of the master */
    struct span suffix;   /* without dot and padding */
    struct span prefix;   /* of a slave */
    struct span metadata; /* SET_METADATA */
    struct span text;     /* what else there is: see the fact sheet of the command */
    uint64_t offset;      /* DOWNLOAD, MODIFY; TRUNCATE: the new size */
    uint64_t size;        /* DOWNLOAD: 0 to the end; else of the content */
    uint8_t path;         /* UPLOAD: index of a mount point, 255 any */
    bool is_merge;        /* SET_METADATA */
};

enum { FDFS_NEED_MORE = -1, FDFS_LOST = -2 };

/**
 * Decode header and parameters at the start of `bytes`; content follows them. Spans point into
 * `bytes`.
 *
 * Returns FDFS_OK: *ret_size bytes were header and parameters, ret->size of content follow where the
 * command has any (fdfs_has_content). FDFS_NEED_MORE. FDFS_LOST: the length is negative, nothing can
 * follow. Else the status to be answered: *ret_size is the header's, the body is to be thrown away;
 * ret->command and ret->body_size are set.
 */
int fdfs_decode(struct span bytes, struct fdfs_head *ret, size_t *ret_size);

bool fdfs_has_content(uint8_t command);

/** The header of an answer. */
void fdfs_answer_header(uint8_t status, uint64_t body_size, uint8_t ret[FDFS_HEADER_SIZE]);

/** The source that the name of a file tells (also of a slave): a machine number of ours, or an IPv4
 * address in FastDFS's own names. False: no such name. */
bool fdfs_name_source(struct span name, uint32_t *ret);

/** The dotted suffix and prefix of names: [A-Za-z0-9._-]*. */
bool fdfs_word_is_valid(struct span word);

#endif
