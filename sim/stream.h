/* Private: listeners, and connections as two ends with a queue of segments each way.
 *
 *   send -> [out: segments in order] -- delay, loss, cuts, clogs --> [in of the peer] -> recv
 *
 * An end without a description is closed; the connection goes when both are and nothing moves. */
#ifndef CAIRN_SIM_STREAM_H
#define CAIRN_SIM_STREAM_H

#include "sim/net.h"
#include "sim/parts.h"

enum sim_segment_kind { SIM_DATA, SIM_FIN, SIM_RESET };

struct sim_segment {
    struct list link;
    enum sim_segment_kind kind;
    uint64_t arrives_ns;
    size_t size, at; /* bytes, and how many are read already */
    uint8_t data[];
};

struct sim_end {
    struct sim_connection *connection;
    struct sim_node *node;
    struct io_address address;
    struct list out, in; /* segments */
    uint64_t out_bytes, in_bytes;
    struct sim_event event; /* arrival of the first of `out` */
    uint64_t last_arrival_ns, stalled_since_ns;
    struct list receivers, senders; /* tasks, by task->waiting */
    struct list backlog;            /* in listener->backlog until accepted */
    int error;                      /* errno that operations end with; 0: none */
    bool has_fin;                   /* the peer sends no more */
    bool is_shut;                   /* by us: both directions */
    bool is_closed;
    bool is_silent; /* its machine died without a word */
};

struct sim_connection {
    struct list link;       /* in world->net.connections */
    struct sim_end ends[2]; /* who connected, who accepted */
};

struct sim_listener {
    struct list link; /* in world->net.listeners */
    struct sim_node *node;
    struct io_address address;
    bool is_shared;
    struct list backlog; /* ends */
    unsigned backlog_count;
    struct list acceptors; /* tasks */
};

static inline struct sim_end *sim_end_peer(struct sim_end *end)
{
    struct sim_end *ends = end->connection->ends;
    return end == &ends[0] ? &ends[1] : &ends[0];
}

/** Time that a segment from one node to another takes now. */
uint64_t sim_net_delay(struct sim_node *from, struct sim_node *to);
/** Whether segments from one to the other arrive at all. */
bool sim_net_is_open(struct sim_node *from, struct sim_node *to);
/** Until when what is sent stands still; 0: it does not. */
uint64_t sim_net_clogged_until(struct sim_node *from, struct sim_node *to);

struct sim_connection *sim_connection_new(struct sim_node *from, struct sim_node *to);
void sim_connection_free(struct sim_connection *connection);
/** Both ends break. */
void sim_connection_reset(struct sim_connection *connection);
/** The description is gone; how the peer learns of it depends on the node's farewell. */
void sim_end_close(struct sim_end *end);
int64_t sim_end_receive(struct sim_end *end, struct sim_task *task);
int64_t sim_end_send(struct sim_end *end, struct sim_task *task);
void sim_end_shutdown(struct sim_end *end);

/** Let the tasks of a queue try again. */
void sim_net_retry_all(struct list *waiting);

#endif
