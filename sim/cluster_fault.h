/* What can happen to a cluster, drawn from a seed: each life enables a few kinds, so that every
 * combination comes up. What a fault takes from a storage is told to the model. */
#ifndef CAIRN_SIM_CLUSTER_FAULT_H
#define CAIRN_SIM_CLUSTER_FAULT_H

#include "sim/cluster_model.h"

#define CLUSTER_FAULTS(X)                                                               \
    X(PARTITION, "partition")     /* two nodes do not hear each other */                \
    X(CUT, "cut")                 /* one does not hear the other */                     \
    X(CLOG, "clog")               /* bytes stand still for a while */                   \
    X(RESET, "reset")             /* connections break */                               \
    X(NET, "bad net")             /* segments are lost and late, sends reset */         \
    X(KILL, "kill")               /* of a storage */                                    \
    X(POWER, "power")             /* of a storage */                                    \
    X(CRASH, "crash")             /* right after one of its next disk operations */     \
    X(RESTART, "restart")         /* in order */                                        \
    X(TRACKER, "tracker")         /* killed, or back */                                 \
    X(PAUSE, "pause")             /* a process stands still */                          \
    X(CLOCK, "clock")             /* steps, up to a year, and drift */                  \
    X(READ_ERRORS, "read errors") /* of a disk, some */                                 \
    X(WRITE_ERRORS, "write errors")                                                     \
    X(SYNC_ERRORS, "sync errors") /* and what they covered is lost */                   \
    X(SLOW, "slow disk")                                                                \
    X(FULL, "full disk")                                                                \
    X(OFFLINE, "dead disk")       /* every operation fails */                           \
    X(DESCRIPTORS, "descriptors") /* none can be opened */                              \
    X(REFUSAL, "refusal")         /* one operation of a node, or all from it on */      \
    X(EMPTIED, "disk emptied")    /* a new disk in its place, while the node is down */ \
    X(SWAPPED, "disks swapped")   /* between two storages */                            \
    X(ROT, "bit rot")                                                                   \
    X(LOST_WRITES, "lost writes")                                                       \
    X(MISDIRECTED, "misdirected writes")

enum cluster_fault_kind {
#define X(name, text) CLUSTER_FAULT_##name,
    CLUSTER_FAULTS(X)
#undef X
        CLUSTER_FAULT_COUNT
};

const char *cluster_fault_name(enum cluster_fault_kind kind);

struct cluster_faults {
    struct cluster *cluster;
    struct cluster_model *model;
    struct prng *prng;
    uint32_t enabled; /* BIT(kind) */
    uint32_t allowed; /* those that the storages bear by now */
    bool has_mirrors; /* what one storage loses, another keeps */
    bool is_calm;     /* nothing has happened since the last healing */
    bool is_damaged;  /* bytes were changed behind a storage's back */
    /* by storage: */
    bool has_lost_names[CLUSTER_STORAGES_MAX]; /* a directory's sync failed: its journal is dead */
    bool is_degraded[CLUSTER_STORAGES_MAX];    /* lost state since the last healing */
    int swapped[2], swapped_mount;             /* storages whose disks are swapped; -1: none */
    uint64_t counts[CLUSTER_FAULT_COUNT];
};

void cluster_faults_init(struct cluster_faults *faults, struct cluster *cluster,
    struct cluster_model *model, struct prng *prng, uint32_t allowed);
/** Enable a few kinds, or none, for the next life. */
void cluster_faults_draw(struct cluster_faults *faults);
/** One of the enabled kinds happens, or one that happened passes, or somebody boots. */
void cluster_faults_happen(struct cluster_faults *faults);
/** This kind, now, to a storage drawn (`storage` -1) or named. Nothing if it cannot. */
void cluster_fault_inject(struct cluster_faults *faults, enum cluster_fault_kind kind, int storage);
/** All faults pass: networks, disks, disks in their places; everybody boots. */
void cluster_faults_heal(struct cluster_faults *faults);
/** Called by the owner of cluster->on_down. */
void cluster_faults_storage_down(struct cluster_faults *faults, unsigned storage, bool has_crashed);

#endif
