/* A group of whole storages in the simulator, each on its own node, and somebody who asks them as a
 * client or a peer would: one question at a time. */
#ifndef CAIRN_TESTS_STORAGE_GROUP_H
#define CAIRN_TESTS_STORAGE_GROUP_H

#include "net/client.h"
#include "sim/disk.h"
#include "sim/net.h"
#include "storage/server.h"
#include "wire/unit.h"

enum { GROUP_MAX = 3, GROUP_LOOPS_MAX = 2 };

struct group_house {
    struct sim_node *node;
    struct config *config;
    struct storage_config storage_config;
    struct storage *storage;
    struct io *loops[GROUP_LOOPS_MAX];
    bool is_over[GROUP_LOOPS_MAX];
    bool is_there, has_run;
    struct net_client client; /* the asker's */
    bool is_connected;
};

struct group {
    struct sim_world *world;
    unsigned count, loop_count;
    const char *const *flags; /* more than the fixture's own; NULL-terminated; NULL: none */
    bool is_still;            /* no pushes: what differs stays so until somebody compares */
    struct handshake_secrets secrets;
    struct group_house houses[GROUP_MAX];
    struct sim_node *asker;
    struct io *asker_io;
    struct mem asker_mem;
    struct net_loop asker_loop;
    char *log; /* of all storages */
    size_t log_size;
};

struct group_answer {
    err_t err;
    uint8_t type;
    uint8_t meta[FRAME_META_MAX];
    size_t meta_size;
    uint8_t *data; /* of all frames; the group's: valid until the next question */
    size_t size;
};

/** Nodes with empty disks, and an asker; nothing runs. Chunks of 256 KiB, singles above 16 KiB. */
void group_open(struct group *group, uint64_t seed, unsigned count, unsigned loop_count);
void group_close(struct group *group);
/** Storage `index` (machine index + 1) runs, and is connected. */
void group_start(struct group *group, unsigned index);
/** In order; every ledger is empty then. */
void group_stop(struct group *group, unsigned index);
void group_kill(struct group *group, unsigned index, bool loses_power);
/** Throw away what is on its disk (it is down). */
void group_wipe(struct group *group, unsigned index);
/** Each storage that runs learns who runs beside it, and who does not. */
void group_introduce(struct group *group);
void group_run_for(struct group *group, uint64_t ns);
bool group_run_until(
    struct group *group, bool (*is_true)(struct group *group, void *context), void *context);
bool group_logged(const struct group *group, const char *part);

/** Ask and wait for the whole answer. */
void group_ask(struct group *group, unsigned index, uint8_t type, const struct writer *fields,
    const void *data, size_t size, struct group_answer *ret);
struct writer group_fields(void);

/* ---- files; `mark` names a content ---- */

void group_fill(uint8_t *data, size_t size, unsigned mark);
struct fid group_put(struct group *group, unsigned index, size_t size, unsigned mark);
/** Errors: those of MODIFY. */
MUST err_t group_try_modify(struct group *group, unsigned index, const struct fid *fid,
    uint8_t mode, uint64_t offset, size_t size, unsigned mark);
void group_modify(struct group *group, unsigned index, const struct fid *fid, uint8_t mode,
    uint64_t offset, size_t size, unsigned mark);
void group_remove(struct group *group, unsigned index, const struct fid *fid, bool existed);
/** Errors: those of FIND. */
MUST err_t group_find_err(
    struct group *group, unsigned index, const struct fid *fid, bool local_only);
void group_expect(
    struct group *group, unsigned index, const struct fid *fid, size_t size, unsigned mark);
struct place group_home(const struct fid *fid);

#endif
