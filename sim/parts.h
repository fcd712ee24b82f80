/* What the parts of the simulator share; harnesses include world.h, disk.h and net.h only.
 *
 * An operation given to a loop becomes a *task*: an event at the time when its effect happens. The
 * effect is the kernel's; then the op joins the loop's completed list and the loop is turned,
 * perhaps a little later, perhaps together with others. */
#ifndef CAIRN_SIM_PARTS_H
#define CAIRN_SIM_PARTS_H

#include <errno.h>

#include "base/heap.h"
#include "sim/disk.h"
#include "sim/net.h"
#include "sim/tree.h"

/* Events at the same time run in the order in which they were set. */
struct sim_event {
    struct heap_node node;
    void (*run)(struct sim_world *world, struct sim_event *event);
};

/** A direction between two nodes that is not as it should be. */
struct sim_link {
    struct list link;
    struct sim_node *from, *to;
    bool is_cut;
    uint64_t clogged_until_ns;
};

struct sim_net {
    struct sim_net_options options;
    struct prng prng;
    struct list links, listeners, connections;
};

struct sim_world {
    uint64_t seed, now_ns, hash, op_count;
    struct heap events;
    struct prng prng; /* the harness's */
    struct prng turns;
    struct sim_net net;
    struct list nodes;
    struct list dead_loops;
    struct sim_blocks pages, tasks;
    struct sim_observer observer;
    FILE *trace;
    bool trace_is_brief;     /* notes only */
    struct sim_notes *notes; /* NULL: none are kept */
    uint32_t turn_delay_ns;  /* longest wait of a completed op for its loop; drawn */
    unsigned node_count;
};

struct sim_mount {
    struct list link; /* in node->mounts */
    struct sim_node *node;
    char *path;
    struct sim_disk *disk;
};

struct sim_disk {
    struct sim_disk_options options;
    struct sim_disk_faults faults;
    struct sim_tree tree;
    struct prng prng;
};

/** What peers see of a process that dies: its kernel closes, resets, or nothing comes any more. */
enum sim_farewell { SIM_FAREWELL_CLOSE, SIM_FAREWELL_RESET, SIM_FAREWELL_SILENCE };

struct sim_node {
    struct list link;
    struct sim_world *world;
    char *name;
    struct io_address host;
    unsigned index;
    unsigned boots;
    bool is_up;
    struct list loops, tasks, mounts;
    struct prng prng;                      /* what belongs to no disk */
    struct sim_description **descriptions; /* by descriptor */
    unsigned description_size;
    unsigned fd_count, fd_limit;
    uint64_t busy_until_ns; /* the process does not run before */
    uint64_t wall_anchor_ns, wall_at_anchor_ns;
    int32_t drift_ppm;
    struct sim_refusal refusal;
    uint64_t disk_op_count, crash_countdown;
    enum sim_crash crash_how;
    enum sim_farewell farewell; /* CLOSE while it is up */
    uint16_t port_last, ephemeral_last;
};

struct sim_loop {
    struct io io;
    struct list link;
    struct sim_node *node;
    struct list completed; /* ops by op->link, results set */
    struct io_message *messages, **messages_end;
    struct sim_event turn;
    struct prng prng;
    bool is_turning, is_dead;
};

enum sim_description_kind { SIM_FILE, SIM_DIRECTORY, SIM_LISTENER, SIM_CONNECTION };

/* An open file: shared by its descriptor and by the operations in flight on it. */
struct sim_description {
    enum sim_description_kind kind;
    unsigned references;
    bool may_read, may_write, is_direct;
    struct sim_node *node;
    struct sim_mount *mount;
    struct sim_inode *inode;
    void *socket;
};

struct sim_task {
    struct sim_event event;
    struct list link; /* in node->tasks, in order of submission */
    struct sim_node *node;
    struct sim_loop *loop; /* NULL: io_call */
    struct io_op *op;
    struct sim_description *description; /* of op->fd; NULL: none */
    int forced;                          /* -errno instead of the effect; 0: none */
    struct sim_snapshot snapshot;        /* IO_SYNC of a file */
    uint64_t change_sequence;            /* IO_SYNC: name changes before it was submitted */
    bool has_snapshot;
    struct list waiting; /* network: in the socket's queue */
    uint64_t began_ns;   /* IO_CONNECT: when it first knocked; 0: not yet */
    struct sim_end *end; /* IO_CONNECT: made at the other side already */
    bool is_cancelled;   /* it ends where it would wait */
};

/* Instead of a result: the operation waits. */
#define SIM_PENDING INT64_MIN

static inline struct sim_loop *loop_of(struct io *io)
{
    return CONTAINER_OF(io, struct sim_loop, io);
}

void sim_event_at(struct sim_world *world, struct sim_event *event, uint64_t at_ns);
void sim_event_cancel(struct sim_world *world, struct sim_event *event);
/** Fold numbers into the trace hash. */
void sim_world_mix(struct sim_world *world, uint64_t value);
/** min + something around mean, sometimes ten times that. */
uint64_t sim_latency(struct prng *prng, uint64_t mean_ns);

void sim_node_free(struct sim_node *node);
/** The process's clocks: it sees no time before it runs again. */
uint64_t sim_node_now(const struct sim_node *node);
uint64_t sim_node_wall(const struct sim_node *node);
/** -errno if the operation is to be refused, else 0. */
int sim_node_refuse(struct sim_node *node, enum io_kind kind);
void sim_node_crash(struct sim_node *node, enum sim_crash how);

void sim_trace_task(const struct sim_task *task, int64_t result);
/** Absolute path of an inode. Returns `text`. */
const char *sim_mount_inode_path(
    const struct sim_mount *mount, const struct sim_inode *inode, char text[2 * SIM_PATH_MAX]);

/** The effect has happened: the op goes home with `result`; the task is gone. */
void sim_task_finish(struct sim_task *task, int64_t result);
/** The op will never go home; the task is gone. */
void sim_task_abandon(struct sim_task *task);
/** (Re)set the time of the task's effect. */
void sim_task_schedule(struct sim_task *task, uint64_t at_ns);
void sim_loop_wake(struct sim_loop *loop);
/** The loops of a node that went down: nothing reaches them any more. */
void sim_loop_kill(struct sim_loop *loop);

struct sim_description *sim_description_new(struct sim_node *node, enum sim_description_kind kind);
void sim_description_unref(struct sim_description *description);
/** The lowest free descriptor, or -EMFILE; takes over the caller's reference on success. */
int sim_fd_open(struct sim_node *node, struct sim_description *description);
struct sim_description *sim_fd_get(struct sim_node *node, int fd);
void sim_fd_close(struct sim_node *node, int fd);
void sim_fd_close_all(struct sim_node *node);

struct sim_mount *sim_mount_find(struct sim_node *node, const char *path, const char **ret_rest);
void sim_mount_free(struct sim_mount *mount);
static inline uint64_t sim_disk_pages_free(const struct sim_disk *disk)
{
    uint64_t all = disk->faults.is_full ? 0 : disk->options.capacity / SIM_PAGE_SIZE;
    return all > disk->tree.pages_used ? all - disk->tree.pages_used : 0;
}
bool sim_kind_is_disk(enum io_kind kind);
/** Time that the operation takes. */
uint64_t sim_disk_latency(struct sim_task *task);
/** Before it is in flight: what a sync covers. */
void sim_disk_begin(struct sim_task *task);
/** The effect. Returns the result. */
int64_t sim_disk_execute(struct sim_task *task);
/** The effect of a refused operation. */
void sim_disk_refuse(struct sim_task *task);
/** It was cancelled before its effect. */
void sim_disk_cancel(struct sim_task *task);
/** The machine dies while it is in flight. */
void sim_disk_interrupt(struct sim_task *task, enum sim_crash how);
/** Those of them that speak of names: disk_name.c. */
int64_t sim_execute_open(struct sim_task *task);
int64_t sim_execute_mkdir(struct sim_task *task);
int64_t sim_execute_unlink(struct sim_task *task);
int64_t sim_execute_rename(struct sim_task *task);
int64_t sim_execute_stat(struct sim_task *task);
int64_t sim_execute_list(struct sim_task *task);
/** Tell the observer. */
void sim_disk_observe(struct sim_task *task, int64_t result);

/* net.c */

void sim_net_init(struct sim_net *net, uint64_t seed);
void sim_net_clear(struct sim_net *net);
/** The effect: a result, or SIM_PENDING; then it is scheduled again or waits in a queue. */
int64_t sim_net_execute(struct sim_task *task);
/** The task ends without its effect: out of its queue. */
void sim_net_forget(struct sim_task *task);
bool sim_net_is_waiting(const struct sim_task *task);
/** The last reference to a socket is gone. */
void sim_net_close(struct sim_description *description);

#endif
