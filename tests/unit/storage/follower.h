/* A follower that a test scripts: a server on a node of its own that speaks FOLLOW, PUSH and
 * PUSH_SINGLE, keeps what it was sent as files in memory, and checks what a sender must never do:
 * leave a gap, send an LSN twice on one connection, exceed the credit. */
#ifndef CAIRN_TESTS_STORAGE_FOLLOWER_H
#define CAIRN_TESTS_STORAGE_FOLLOWER_H

#include "net/server.h"
#include "sim/net.h"
#include "storage/push.h"
#include "storage/push_hold.h"
#include "tests/unit/storage/stand.h"

enum { FOLLOWER_FILES = 512, FOLLOWER_PUSHES = 64, FOLLOWERS = 3, FOLLOWER_MISSED = 16 };

struct follower_file {
    struct identity identity;
    struct version version;
    uint8_t *data;
    size_t size;
    bool is_deleted, is_stale;
};

struct follower_push {
    struct net_request *request; /* NULL: free, or the connection is gone */
    uint8_t *body;
    size_t size;
    uint64_t lsn_from, lsn_to, incarnation, content_size;
    uint32_t count;
    bool is_single, is_whole, is_used;
    uint8_t missed_bytes[8 * FOLLOWER_MISSED];
    struct iovec missed;
};

struct follower {
    struct sim_node *node, *peer;
    struct io *io;
    struct mem mem;
    struct net_loop net;
    struct net_server server;
    struct follower_file files[FOLLOWER_FILES];
    uint32_t file_count;
    struct follower_push pushes[FOLLOWER_PUSHES];
    uint64_t incarnation, lsn; /* durable: what FOLLOWED says */
    uint64_t came_lsn;         /* on this connection */
    uint32_t credit;
    size_t under_way, under_way_max;
    /* the script */
    bool is_mute;         /* PUSH is not answered (until follower_answer) */
    bool is_deaf;         /* bodies are not read to their end */
    uint32_t cut_after;   /* frames: then the connection is cut; 0: never */
    uint32_t errors_left; /* pushes that are answered with `error` */
    err_t error;
    uint64_t missed[FOLLOWER_MISSED];
    uint32_t missed_count;
    uint64_t kept_lag; /* kept_lsn stays so far behind */
    /* what happened */
    uint64_t follows, pushes_came, singles, singles_cut, frames, records, watermark, last_push_ns;
    bool is_up;
};

/** A store that pushes, and its followers. */
struct mirrors {
    struct stand stand;
    struct net_loop net;
    struct pushes pushes;
    struct pushes_options options;
    struct members members;
    struct event_log log;
    struct follower followers[FOLLOWERS];
    uint32_t follower_count;
    uint32_t aheads;
    bool is_open, owns_world;
};

/** A store, `count` followers, no connection yet. */
void mirrors_open(struct mirrors *mirrors, uint64_t seed, uint32_t count);
/** The same in a world that is the caller's, also after the close. */
void mirrors_open_in(struct mirrors *mirrors, struct sim_world *world, uint32_t count);
/** Begin to push with mirrors->options, which may have been changed. */
void mirrors_start(struct mirrors *mirrors);
void mirrors_stop(struct mirrors *mirrors);
void mirrors_close(struct mirrors *mirrors);

struct push *mirrors_push(struct mirrors *mirrors, uint32_t follower);
/** Turn until every follower that is up has everything. */
void mirrors_expect_level(struct mirrors *mirrors);
bool mirrors_run_until(struct mirrors *mirrors, bool (*is_true)(void *context), void *context);

/** Answer what was held back, as far as it goes. */
void follower_answer(struct follower *follower);
/** What it has for this file; NULL: nothing. */
const struct follower_file *follower_find(
    const struct follower *follower, const struct identity *identity);
void follower_expect(
    const struct follower *follower, const struct fid *fid, size_t size, unsigned mark);

#endif
