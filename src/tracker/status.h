/* What a tracker knows, as JSON for operators and programs:
 *
 *   {"role":"tracker","started":S,"now":S,
 *    "storages":[{"machine":1,"uuid":"hex","group":"g1","pool":"p","address":"H:P",
 *                 "http_address":"H:P","state":"running","life":"alive","age_ms":120,"free":B,
 *                 "total":B,"load":0,"mounts_online":1,"mounts_total":1,"incarnation":1,
 *                 "started":S,"first_started":S}, ...],
 *    "groups":[{"group":"g1","pool":"p","members":2,"alive":2,"running":2,"free":B,"total":B}, ...],
 *    "pools":[{"pool":"p","balance":"loop","groups":1,"members":2,"alive":2,"running":2,"free":B,
 *              "total":B}, ...]}
 *
 * S unix seconds, B bytes. state is "dead" or "left" for who is not alive. age_ms: since last heard. */
#ifndef CAIRN_TRACKER_STATUS_H
#define CAIRN_TRACKER_STATUS_H

#include "core/registry.h"

struct status_times {
    uint64_t started_wall_ns; /* of the tracker */
    uint64_t now_wall_ns;
    uint64_t now_ns; /* the registry's clock */
};

/** Bytes that any status over these tables fits into. */
size_t status_size_max(const struct registry_tables *tables);

/** Append; w has room for status_size_max(). */
void status_write(
    const struct registry *registry, const struct status_times *times, struct writer *w);

#endif
