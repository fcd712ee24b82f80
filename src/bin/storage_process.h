/* A storage as a process, alone (cairn storage) or with a tracker on its first loop (cairn up). */
#ifndef CAIRN_BIN_STORAGE_PROCESS_H
#define CAIRN_BIN_STORAGE_PROCESS_H

#include "bin/tracker_role.h"
#include "io/loop.h"
#include "io/panic.h"
#include "io/signal.h"
#include "storage/server.h"

/** About 2 MiB; all zero at the start. */
struct storage_process {
    struct server server;
    struct storage_config config;
    struct tracker_config tracker_config; /* if has_tracker */
    bool has_tracker;
    struct storage storage;
    struct storage_options options;
    struct tracker_role tracker;
    struct loop_group group;
    struct signal_watch signals;
    struct io_op timer; /* looks whether our tracker knows our storage: then we are ready */
    unsigned timer_count;
    struct panic_source panic;
    bool is_tracker_open, is_watching, is_stopping;
    int code;
};

/** Check the configuration between keys, and its sums. Call it before server_check(). */
void storage_process_check(struct storage_process *process);

/** Serve until a signal ends it; returns the exit code. */
int storage_process_run(struct storage_process *process);

#endif
