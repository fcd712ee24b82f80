/* What the files of the tracker share. */
#ifndef CAIRN_TRACKER_INTERNAL_H
#define CAIRN_TRACKER_INTERNAL_H

#include "tracker/tracker.h"

enum {
    ANSWER_SIZE_MAX = REGISTRY_TOLD_MAX * MEMBER_ENTRY_SIZE_MAX,
};
_Static_assert(ANSWER_SIZE_MAX >= REGISTRY_ANSWER_MAX * (4 + 2 + REGISTRY_ADDRESS_MAX), "answers");

/* Two operators at a time are enough; the third is told BUSY. */
enum { TRACKER_PAGES = 2 };

struct tracker_answer {
    struct iovec data;
    uint8_t bytes[ANSWER_SIZE_MAX];
};

struct tracker_page {
    size_t size, sent; /* bytes of JSON or metrics; those that were given to the connection */
    struct net_request *request;
    struct sight_waiter sight;
    uint8_t question; /* enum sight_question */
    struct iovec data;
    uint8_t bytes[];
};

/** Bytes that the metrics of a tracker with these tables fit into (metrics.c). */
size_t tracker_metrics_size(const struct registry_tables *tables);
/** What Prometheus reads; text->is_cut if there was no room. */
void tracker_write_metrics(const struct tracker *tracker, struct text *text);

/** Bytes of a page: status and metrics have room whatever the tables hold. */
static inline size_t tracker_page_size(const struct registry_tables *tables)
{
    size_t status = status_size_max(tables), metrics = tracker_metrics_size(tables);
    return status > metrics ? status : metrics;
}

/** Serve one request (requests.c). */
void tracker_on_request(struct net_server *server, struct net_request *request);

/** The FastDFS door (fdfs.c): memory and listening, if the configuration names an address.
 * Errors: BUSY, NO_RESOURCE, those of listening; tracker_fdfs_give_back() undoes what was done. */
MUST err_t tracker_fdfs_start(struct tracker *tracker);
void tracker_fdfs_give_back(struct tracker *tracker);

/** The HTTP door (http.c): listening, if the configuration names an address. Errors: BUSY, NO_RESOURCE,
 * those of listening. */
MUST err_t tracker_http_start(struct tracker *tracker);

/** What the tracker knows, as JSON; w has room for tracker_page_size() (requests.c). */
void tracker_write_status(const struct tracker *tracker, struct writer *w);

/** Log what an event changed; nothing if it changed nothing. */
void tracker_log_change(struct tracker *tracker, const struct registry_effects *effects);

#endif
