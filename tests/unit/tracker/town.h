/* Trackers, storages that are nothing but their heartbeats, and a client, on one real loop over
 * loopback: what the tests of tracker and heartbeat share. Times are short: a heartbeat every 20 ms
 * unless a test says otherwise. */
#ifndef CAIRN_TESTS_TRACKER_TOWN_H
#define CAIRN_TESTS_TRACKER_TOWN_H

#include "base/units.h"
#include "storage/heartbeat.h"
#include "tests/lib/test.h"
#include "tracker/tracker.h"

enum { TOWN_TRACKERS = 2, TOWN_STORAGES = 4, TOWN_CALLS = 4, TOWN_DATA_MAX = 2 << 20 };

struct town_storage {
    struct heartbeat heartbeat;
    struct heartbeat_config config;
    struct msg_heartbeat says; /* what fill() answers */
    char address[32];
    unsigned refused_count; /* calls of on_refused */
    err_t refused_err;
    char refused_reason[HEARTBEAT_REASON_MAX];
    bool is_open;
};

struct town_call { /* one request of the client */
    struct net_call call;
    err_t err;
    bool is_over;
    struct msg_error error;
    uint8_t type; /* of the first reply frame */
    uint32_t frame_count, answer_count;
    char group[GROUP_NAME_MAX + 1];
    size_t size; /* of data */
    uint8_t *data;
};

struct town {
    struct io *io;
    struct mem mem;
    struct owner owner;
    struct net_loop loop;
    struct handshake_secrets secrets;
    struct tracker_config tracker_config;
    struct tracker trackers[TOWN_TRACKERS];
    bool has_tracker[TOWN_TRACKERS];
    struct town_storage storages[TOWN_STORAGES];
    struct net_client client;
    bool is_client_ready, is_client_closed;
    err_t client_err;
    struct town_call calls[TOWN_CALLS];
};

void town_open(struct town *town);
/** Everybody leaves; checks that nothing is held. */
void town_close(struct town *town);
void town_turn(struct town *town);

/** Turn until `condition` or for 20 s. */
#define TURN_UNTIL(town, condition)                                            \
    do {                                                                       \
        uint64_t turn_end_ns = io_now((town)->io) + 20 * NS_PER_S;             \
        while (!(condition)) {                                                 \
            if (io_now((town)->io) > turn_end_ns)                              \
                test_fail(__FILE__, __LINE__, "turn until " #condition, 0, 0); \
            town_turn(town);                                                   \
        }                                                                      \
    } while (0)

/** Open tracker `index` with town->tracker_config; at its former port if it was open before. */
void town_open_tracker(struct town *town, unsigned index);
void town_close_tracker(struct town *town, unsigned index);

/** Set up storage `index` (machine index + 1, running, 100 GiB free), sending to every tracker that
 * is open; change what it is to say or its config, then start it. */
struct town_storage *town_storage(
    struct town *town, unsigned index, const char *group, const char *pool);
void town_start_storage(struct town *town, struct town_storage *storage);
/** Leave and wait for the end. */
void town_stop_storage(struct town *town, struct town_storage *storage);

/** Connect the client to tracker `index`; false: it was refused, town->client_err says why. */
bool town_connect(
    struct town *town, unsigned index, enum node_role role, const struct secret *secret);
void town_disconnect(struct town *town);
/** Begin a call; the fields come from `fields` of net_call_begin(&call->call). */
struct writer town_call_begin(struct town *town, unsigned index);
void town_call_start(struct town *town, unsigned index, uint8_t type, const struct writer *fields);
/** Ask the connected tracker and wait; the machines named, as digits, or the error's name. */
const char *town_ask(
    struct town *town, enum query_purpose purpose, const char *name, uint32_t origin);
/** Wait for the end of a call. Errors: how the call ended. */
MUST err_t town_call_wait(struct town *town, unsigned index);

/** What tracker `index` thinks of a machine; NULL: nothing. */
const struct registry_storage *town_known(
    const struct town *town, unsigned index, uint32_t machine);
/** It is alive and running there. */
bool town_is_running(const struct town *town, unsigned index, uint32_t machine);

#endif
