/* What a storage knows of itself, as JSON for operators and programs. Loop 0 only, after a tour.
 *
 *   {"schema_version":1,"role":"storage","machine":1,"uuid":"hex","group":"g","pool":"p",
 *    "address":"H:P","http_address":"","state":"running","started":S,"now":S,"uptime":S,
 *    "waits":"sentence","draining":false,"lag_records":N,"lag_ms":N,"filled_files":N,"files_to_fill":N,
 *    "fill_left_ms":N,
 *    "members":[{"machine":N,"address":"H:P","state":"running","alive":true,"removed":false,
 *                "draining":false,"connected":true,"caught_up":true,"lag_records":N,
 *                "number_is_taken":false}],
 *    "cpu_user_ns":N,"cpu_system_ns":N,"incarnation":N,
 *    "total":B,"free":B,"live_files":N,"connections":N,"operations":N,
 *    "budget":{"descriptor_limit":N,"descriptor_sum":N,"is_shrunk":false,"descriptors":{holder:N},
 *              "memory_sum":B,"memory":{holder:B}},
 *    "held":{kind:{"now":N,"max":N}},"fd_max":N,"memory":{"now":B,"max":B},
 *    "mounts":[{"index":0,"path":"/d","state":"online","why":"","total":B,"free":B,"reserve":B,
 *               "room":B,"epoch":N,"live_files":N,"chunks":N,"streams":N,"full_streams":N,
 *               "log_bytes":B,"log_commits":N,"log_records":N,"checkpoints":N,
 *               "checkpoint_age_ms":N,"lost_chunks":N,"rotten_batches":N,"torn_streams":N,
 *               "replayed":N}],
 *    "counters":{"uploads":N,...},"corrupt_reads":N,
 *    "loops":[{"index":0,"connections":N,"accepted":N,"connections_refused":N,"requests":N,
 *              "operations":N,"memory":B,"held":{kind:N}}]}
 *
 * S unix seconds, B bytes. Mount states: those of disk/mount.h, and "out" with "why". */
#ifndef CAIRN_STORAGE_STATUS_H
#define CAIRN_STORAGE_STATUS_H

#include "storage/server.h"

enum { STORAGE_STATUS_SCHEMA = 1 };

/** Append; writer.failed if there is no room. */
void storage_status_write(const struct storage *storage, struct writer *w);

#endif
