/* Cairn: a distributed file store for very many small and medium files. This is the client.
 *
 *     struct cairn_options options = cairn_options_default();
 *     cairn_client *client;
 *     if (cairn_client_open(&options, &client) != CAIRN_OK) ...
 *     struct cairn_uploaded stored;
 *     if (cairn_upload(client, NULL, "hello", 5, &stored) != CAIRN_OK)
 *         fprintf(stderr, "%s\n", cairn_client_error(client));
 *     ... stored.id finds it again ...
 *     cairn_client_close(client);
 *
 * Every call blocks until it is done, or until options.timeout_ms have passed since it made
 * progress. It returns CAIRN_OK or one of enum cairn_error; results (`ret_...`) are set on CAIRN_OK
 * only. Requests that fail before their outcome is decided are repeated at the next mirror and the
 * next tracker; a repeated change carries the mark of the first attempt, so that it happens once.
 *
 * Threads: a client belongs to one thread at a time; threads that work side by side open one each.
 * Signals: no handler is installed, none is needed. After fork(), use only in the parent.
 *
 * Growth: structs that the caller fills begin with struct_size and are made by the
 * cairn_..._default() functions; structs that the library fills end in reserved room. A program
 * compiled against this header goes on working with every later library of the same soname. */
#ifndef CAIRN_CAIRN_H
#define CAIRN_CAIRN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CAIRN_VERSION_MAJOR 0
#define CAIRN_VERSION_MINOR 1

#if defined(__GNUC__)
#define CAIRN_API __attribute__((visibility("default")))
#else
#define CAIRN_API
#endif

/** Errors. The numbers are those of the wire protocol and never change their meaning. */
enum cairn_error {
    CAIRN_OK = 0,
    CAIRN_FAILED = 1,
    CAIRN_USAGE = 2,     /* the arguments, or an id, are malformed */
    CAIRN_NOT_FOUND = 3, /* no such file: never stored, or deleted */
    CAIRN_DENIED = 4,
    CAIRN_UNAVAILABLE = 5, /* nobody who could answer was reachable */
    CAIRN_CONFLICT = 6,    /* if_version did not hold, or the file changed during a find */
    CAIRN_CORRUPT = 7,     /* the content does not match its checksum, on no mirror */
    CAIRN_PARTIAL = 8,
    CAIRN_INTERRUPTED = 9,
    CAIRN_TIMEOUT = 10,
    CAIRN_BUSY = 11, /* limits of the servers are reached; all attempts were refused */
    CAIRN_NO_SPACE = 12,
    CAIRN_IO = 13,
    CAIRN_CANCELLED = 14, /* a callback of the caller asked to stop */
    CAIRN_PROTOCOL = 15,
    CAIRN_UNSUPPORTED = 16,
    CAIRN_TOO_LARGE = 17,       /* larger than a limit, or than the caller's buffer */
    CAIRN_IMMUTABLE = 18,       /* modify of a file that was stored immutable */
    CAIRN_OUTCOME_UNKNOWN = 19, /* the change may or may not have happened: look (cairn_stat) */
    CAIRN_OFFLINE = 20,         /* the disk of this file is offline */
    CAIRN_RANGE = 21,           /* the range lies outside the file */
    CAIRN_WRONG_NODE = 22,
    CAIRN_EXISTS = 23,
    CAIRN_CLOSED = 24,
    CAIRN_FOREIGN = 25,
    CAIRN_NO_RESOURCE = 26, /* this process ran out of descriptors, memory or ring entries */
    CAIRN_FORMAT = 27
};

/** Static text: "no such file"; "NOT_FOUND". Never NULL, also for numbers not known. */
CAIRN_API const char *cairn_error_text(int error);
CAIRN_API const char *cairn_error_name(int error);
/** "0.1.0": of the library that is linked, not of this header. */
CAIRN_API const char *cairn_version(void);

/* ---- the client ---- */

typedef struct cairn_client cairn_client;

struct cairn_options {
    size_t struct_size;
    const char *const *trackers; /* "HOST:PORT" each; NULL: 127.0.0.1:7700 */
    size_t tracker_count;
    const char *secret;  /* the cluster's client secret; NULL: none. Copied by open */
    uint32_t timeout_ms; /* longest silence of the servers within one call; 0: 15 s */
    uint32_t retries;    /* further attempts after the first; 0: 4 */
};

static inline struct cairn_options cairn_options_default(void)
{
    struct cairn_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    return options;
}

/** Make a client; connects to nobody yet.
 * Errors: USAGE (a tracker's address, CAIRN_IO_BACKEND), NO_RESOURCE (memory, descriptors). The
 * caller ends it with cairn_client_close. */
CAIRN_API int cairn_client_open(const struct cairn_options *options, cairn_client **ret_client);

/** Close connections and free everything. NULL is allowed. */
CAIRN_API void cairn_client_close(cairn_client *client);

/** A sentence about the last call that failed: which server, what. Valid until the next call. */
CAIRN_API const char *cairn_client_error(const cairn_client *client);

/* ---- words ---- */

/** Text of a file id with NUL: 77 characters at most. */
enum {
    CAIRN_ID_SIZE = 96,
    CAIRN_POOL_SIZE = 64,
    CAIRN_CONTENT_TYPE_SIZE = 128,
    CAIRN_METADATA_SIZE = 2048
};

#define CAIRN_SIZE_UNKNOWN UINT64_MAX

/** Who holds a change when it is acknowledged. */
enum cairn_ack {
    CAIRN_ACK_DEFAULT = 0, /* as the storages are configured; local unless they say otherwise */
    CAIRN_ACK_MEMORY = 1,  /* visible, may be lost with the server process or the power */
    CAIRN_ACK_LOCAL = 2,   /* durable on the disk of one storage */
    CAIRN_ACK_ONE = 3,     /* and durable at one mirror */
    CAIRN_ACK_ALL = 4      /* and durable at all mirrors */
};

enum cairn_mutable {
    CAIRN_MUTABLE_DEFAULT = 0, /* as the pool says */
    CAIRN_MUTABLE_YES = 1,
    CAIRN_MUTABLE_NO = 2
};

/** A file's version: a total order, written counter.machine; 0.0 is none. */
struct cairn_file_version {
    uint64_t counter;
    uint32_t machine;
    uint32_t reserved;
};

/** Gives the next bytes of a content, at most `size`: returns how many, 0 at the end, negative to
 * give up (the call then ends with CANCELLED and nothing is stored). */
typedef int64_t cairn_read_fn(void *context, void *buffer, size_t size);
/** Takes the next bytes of a content, in order. Returns 0, or not 0 to give up (CANCELLED). */
typedef int cairn_write_fn(void *context, const void *data, size_t size);

/* ---- upload ---- */

struct cairn_upload {
    size_t struct_size;
    const char *pool;         /* NULL: "default" */
    const char *suffix;       /* "jpg", at most 6 of [A-Za-z0-9_-]; NULL: none */
    const char *content_type; /* NULL: none */
    const char *metadata;     /* any text of the caller's; NULL: none */
    uint64_t expires;         /* unix seconds; 0: never */
    uint32_t slack_percent;   /* room to grow in place, at most 1000 */
    uint32_t slack_bytes;     /* the same in bytes; not together with slack_percent */
    uint32_t ack;             /* enum cairn_ack */
    uint32_t mutability;      /* enum cairn_mutable */
};

static inline struct cairn_upload cairn_upload_default(void)
{
    struct cairn_upload upload;
    memset(&upload, 0, sizeof upload);
    upload.struct_size = sizeof upload;
    return upload;
}

struct cairn_uploaded {
    char id[CAIRN_ID_SIZE];
    struct cairn_file_version version;
    uint64_t size;
    uint32_t crc; /* CRC-32 (IEEE) of the content */
    uint32_t ack; /* what holds: never less than asked for */
    uint32_t holder_count;
    uint32_t machine; /* that stored it */
    uint64_t reserved[4];
};

/** Store `size` bytes. `how` may be NULL (all defaults).
 * Durable on return as how->ack says; by default it survives the power loss of the storage. The
 * library verifies that the server's CRC is that of the bytes given.
 * Errors: USAGE, DENIED, UNAVAILABLE, TIMEOUT, BUSY, NO_SPACE, TOO_LARGE, OUTCOME_UNKNOWN (a file
 * whose id nobody knows may exist), CORRUPT (the server stored other bytes). */
CAIRN_API int cairn_upload(cairn_client *client, const struct cairn_upload *how, const void *data,
    size_t size, struct cairn_uploaded *ret_uploaded);

/** The same from a callback; never more than 256 KiB are held. `size` may be CAIRN_SIZE_UNKNOWN;
 * else the callback must give exactly so many (USAGE). Repeated at another storage only as long as
 * the bytes given are still held: a large stream that breaks in the middle is an error.
 * Errors: as cairn_upload; CANCELLED. */
CAIRN_API int cairn_upload_stream(cairn_client *client, const struct cairn_upload *how,
    uint64_t size, cairn_read_fn *read, void *context, struct cairn_uploaded *ret_uploaded);

/* ---- find ---- */

struct cairn_find {
    size_t struct_size;
    uint64_t offset;
    uint64_t size;                        /* 0: to the end */
    struct cairn_file_version if_version; /* CONFLICT unless the file has it; 0.0: any */
    uint32_t machine;                     /* only this storage, nothing from a peer; 0: any */
    uint32_t reserved;
};

static inline struct cairn_find cairn_find_default(void)
{
    struct cairn_find find;
    memset(&find, 0, sizeof find);
    find.struct_size = sizeof find;
    return find;
}

struct cairn_found {
    struct cairn_file_version version;
    uint64_t total;                /* bytes of the whole file */
    uint64_t offset;               /* of the bytes given */
    uint64_t size;                 /* how many were given */
    uint64_t create_ns, modify_ns; /* unix time in nanoseconds */
    uint32_t crc;     /* of the whole content; compared by the library if all of it came */
    uint32_t machine; /* that answered */
    char content_type[CAIRN_CONTENT_TYPE_SIZE];
    uint64_t reserved[4];
};

/** Read a file, or a range of it, into `buffer`. `how` may be NULL.
 * All bytes are of one version. A whole file is checked against its CRC here as well.
 * Errors: NOT_FOUND, CONFLICT, RANGE, CORRUPT, TOO_LARGE (needs more than `capacity`), DENIED,
 * UNAVAILABLE, TIMEOUT, BUSY, OFFLINE, UNSUPPORTED (an id of another system), USAGE. */
CAIRN_API int cairn_find(cairn_client *client, const char *id, const struct cairn_find *how,
    void *buffer, size_t capacity, struct cairn_found *ret_found);

/** The same to a callback, in pieces of at most 256 KiB. Goes on at another mirror after an
 * interruption, with the next byte of the same version. On an error, the bytes given so far are
 * right unless it is CORRUPT.
 * Errors: as cairn_find; CANCELLED. */
CAIRN_API int cairn_find_stream(cairn_client *client, const char *id, const struct cairn_find *how,
    cairn_write_fn *write, void *context, struct cairn_found *ret_found);

/* ---- modify ---- */

enum cairn_modify_mode {
    CAIRN_REPLACE = 1, /* the whole content */
    CAIRN_WRITE = 2,   /* at `offset`, which must not lie beyond the end */
    CAIRN_APPEND = 3,  /* at the end */
    CAIRN_TRUNCATE = 4 /* to `offset` bytes; no content is given */
};

struct cairn_modify {
    size_t struct_size;
    uint32_t mode; /* enum cairn_modify_mode; 0: REPLACE */
    uint32_t ack;  /* enum cairn_ack */
    uint64_t offset;
    struct cairn_file_version if_version; /* compare and set; 0.0: whatever it is */
};

static inline struct cairn_modify cairn_modify_default(void)
{
    struct cairn_modify modify;
    memset(&modify, 0, sizeof modify);
    modify.struct_size = sizeof modify;
    return modify;
}

struct cairn_modified {
    struct cairn_file_version version; /* the new one */
    uint64_t size;                     /* of the whole file now */
    uint32_t crc;                      /* of the whole file now */
    uint32_t ack;
    uint32_t holder_count;
    uint32_t machine;
    uint64_t reserved[4];
};

/** Change a mutable file; the id stays. Readers see the old or the new content, never a mix.
 * Errors: as cairn_upload; NOT_FOUND, CONFLICT, IMMUTABLE, RANGE. OUTCOME_UNKNOWN: the connection
 * broke after the change was sent and no mirror could tell. */
CAIRN_API int cairn_modify(cairn_client *client, const char *id, const struct cairn_modify *how,
    const void *data, size_t size, struct cairn_modified *ret_modified);
CAIRN_API int cairn_modify_stream(cairn_client *client, const char *id,
    const struct cairn_modify *how, uint64_t size, cairn_read_fn *read, void *context,
    struct cairn_modified *ret_modified);

/* ---- delete, stat ---- */

struct cairn_delete {
    size_t struct_size;
    uint32_t ack; /* enum cairn_ack */
    uint32_t reserved;
    struct cairn_file_version if_version;
};

static inline struct cairn_delete cairn_delete_default(void)
{
    struct cairn_delete how;
    memset(&how, 0, sizeof how);
    how.struct_size = sizeof how;
    return how;
}

struct cairn_deleted {
    uint32_t existed; /* 0: it was gone already */
    uint32_t ack;
    uint32_t holder_count;
    uint32_t machine;
    uint64_t reserved[4];
};

/** Delete a file, for ever. Errors: NOT_FOUND, CONFLICT, and those of every request. */
CAIRN_API int cairn_delete_file(cairn_client *client, const char *id,
    const struct cairn_delete *how, struct cairn_deleted *ret_deleted);

struct cairn_stated {
    struct cairn_file_version version;
    uint64_t size;
    uint64_t capacity; /* bytes that fit without moving */
    uint64_t create_ns, modify_ns;
    uint64_t expires;
    uint32_t crc;
    uint32_t origin;  /* machine where it was uploaded */
    uint32_t machine; /* that answered */
    uint8_t is_mutable, is_packed, is_forwarded, reserved_byte;
    char pool[CAIRN_POOL_SIZE];
    char content_type[CAIRN_CONTENT_TYPE_SIZE];
    char metadata[CAIRN_METADATA_SIZE];
    uint64_t reserved[4];
};

/** Errors: NOT_FOUND, and those of every request. */
CAIRN_API int cairn_stat(cairn_client *client, const char *id, struct cairn_stated *ret_stated);

/* ---- list, status ---- */

struct cairn_list {
    size_t struct_size;
    const char *storage; /* HOST:PORT; NULL: one that a tracker names for `group` */
    const char *group;   /* NULL: the group where an upload would go now */
    uint64_t since_ns;   /* only what was modified then or later; 0: all */
};

static inline struct cairn_list cairn_list_default(void)
{
    struct cairn_list list;
    memset(&list, 0, sizeof list);
    list.struct_size = sizeof list;
    return list;
}

struct cairn_entry {
    char id[CAIRN_ID_SIZE];
    struct cairn_file_version version;
    uint64_t size;
    uint64_t modify_ns;
    uint64_t reserved[2];
};

/** Returns 0 to go on, else the walk ends with CANCELLED. */
typedef int cairn_entry_fn(void *context, const struct cairn_entry *entry);

/** Walk everything that one storage holds, in the order of its disks: slow, for rescue and audit.
 * Files stored or deleted meanwhile may or may not be seen. */
CAIRN_API int cairn_list_files(
    cairn_client *client, const struct cairn_list *how, cairn_entry_fn *each, void *context);

/** The status of a server as JSON text with NUL in `buffer`; *ret_size without the NUL.
 * `server`: HOST:PORT of a tracker or storage; NULL: a tracker of the options. `what`: "" for the
 * overview. Errors: TOO_LARGE (more than `capacity`), and those of every request. */
CAIRN_API int cairn_status(cairn_client *client, const char *server, const char *what, char *buffer,
    size_t capacity, size_t *ret_size);

#ifdef __cplusplus
}
#endif

#endif
