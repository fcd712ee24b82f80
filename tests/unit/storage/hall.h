/* A storage on the real backend in a temporary directory, its loops in threads of their own, and a
 * client that speaks one blocking socket. What the tests of the role share. */
#ifndef CAIRN_TESTS_STORAGE_HALL_H
#define CAIRN_TESTS_STORAGE_HALL_H

#include <sys/types.h>

#include "io/loop.h"
#include "storage/server.h"
#include "tests/lib/test.h"

enum { HALL_FLAGS_MAX = 48, HALL_MOUNTS_MAX = 4 };

struct hall {
    char directory[128];               /* m0, m1 ... are in it */
    char mounts[HALL_MOUNTS_MAX][192]; /* "/tmp/.../m0" */
    const char *flags[HALL_FLAGS_MAX]; /* more than the fixture's own */
    uint32_t mount_count, loops;
    uint64_t descriptor_limit;
    struct config *config;
    struct storage_config storage_config;
    struct handshake_secrets secrets;
    struct storage *storage;
    struct loop_group group;
    int signal_pipe[2]; /* a byte: it runs, or it is over */
    struct io_message stop, fence;
    uint8_t fence_mount;
    bool is_up;
    char log[64 * 1024];
    size_t log_size;
    pthread_mutex_t log_lock;
};

/** A directory with `mounts` empty mount points; nothing runs. Small sizes: chunks of 4 MiB, single
 * files from 64 KiB, segments of 1 MiB. */
void hall_make(struct hall *hall, uint32_t mounts, uint32_t loops);
/** Remove the directory. */
void hall_remove(struct hall *hall);
/** Start; returns when it is running. Errors: what it ended with. */
MUST err_t hall_start(struct hall *hall);
/** Begin the end, and wait for it; everything must have been given back. */
void hall_stop(struct hall *hall);
/** Only begin. */
void hall_begin_stop(struct hall *hall);
void hall_join(struct hall *hall);
bool hall_logged(struct hall *hall, const char *part);
/** A write to mount point `mount` failed on loop `loop`: what its stream says then. */
void hall_fence(struct hall *hall, uint16_t loop, uint8_t mount);
/** Start it in a child process, to be killed. */
pid_t hall_fork(struct hall *hall, uint16_t *ret_port);
unsigned hall_descriptors(void); /* of this process */

/* ---- the client ---- */

struct visitor {
    int fd;
    uint64_t next_id;
    uint8_t *buffer; /* received, not yet taken */
    size_t size;
    char error_text[256];
    struct version error_version;
};

struct reply {
    int code; /* enum err_code of an ERROR frame; 0 */
    uint8_t type;
    uint64_t request;
    uint8_t meta[FRAME_META_MAX];
    size_t meta_size;
    uint8_t *data; /* visitor's; of all frames */
    size_t size;
};

enum { VISITOR_DATA_MAX = 32 << 20 };

void visitor_open(struct visitor *visitor, const struct hall *hall);
void visitor_open_port(struct visitor *visitor, uint16_t port);
void visitor_close(struct visitor *visitor);
uint64_t visitor_send(struct visitor *visitor, uint8_t type, const struct writer *meta,
    const void *data, size_t size);
/** The next whole reply (all its frames, which no other reply may be among). False: closed. */
bool visitor_receive(struct visitor *visitor, struct reply *ret);

struct put {
    const char *pool, *suffix;
    uint8_t ack, is_mutable;
    bool size_unknown;
    struct nonce nonce; /* none: a new one */
    bool is_retry;
    size_t frame_size; /* 0: as large as they may be */
};
/** Upload; the code of the answer. Result in `id` and `uploaded` (may be NULL). */
int visitor_put(struct visitor *visitor, const void *data, size_t size, const struct put *put,
    char id[FID_TEXT_MAX], struct msg_uploaded *uploaded);
/** The same in two parts: the first `part` bytes; then the rest, and the answer. */
void visitor_put_begin(
    struct visitor *visitor, const void *data, size_t size, const struct put *put, size_t part);
int visitor_put_end(struct visitor *visitor, const void *rest, size_t size, char id[FID_TEXT_MAX]);
/** Find; bytes in *ret (valid until the next call). */
int visitor_get(struct visitor *visitor, const char *id, uint64_t offset, uint64_t size,
    struct span *ret, struct msg_found *found);
int visitor_modify(struct visitor *visitor, const char *id, uint8_t mode, uint64_t offset,
    const void *data, size_t size, struct version if_version, struct msg_modified *ret);
int visitor_delete(struct visitor *visitor, const char *id, bool *ret_existed);
int visitor_stat(struct visitor *visitor, const char *id, struct msg_stated *ret);
/** All ids, one after the other, each NUL-terminated, into `ids`; returns how many. */
size_t visitor_list(struct visitor *visitor, char *ids, size_t count_max, uint32_t page);
/** The text of STATUS, NUL-terminated. */
const char *visitor_status(struct visitor *visitor);
int visitor_ping(struct visitor *visitor);

void bytes_make(uint8_t *data, size_t size, uint64_t seed);

#endif
