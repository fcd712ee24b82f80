/* The metrics of a storage, as Prometheus reads them (doc/metrics.md): on loop 0, after a tour that brings
 * what the loops tell (tour.c). STATUS "metrics" and the HTTP door's /metrics ask for them.
 *
 *   metrics_scrape_begin -> (a tour) -> scrape->ready -> metrics_scrape_end */
#ifndef CAIRN_STORAGE_METRICS_H
#define CAIRN_STORAGE_METRICS_H

#include "base/pool.h"
#include "base/text.h"
#include "storage/server.h"

/* Two scrapers at a time; the third is told BUSY. */
enum { METRICS_SCRAPES = 2 };

struct metrics_scrape {
    struct storage *storage;
    struct storage_tour_waiter tour;
    void (*ready)(struct metrics_scrape *scrape); /* text is there, unless text.is_cut */
    void *context;
    struct iovec iov; /* the caller's */
    struct text text;
    char data[];
};

/** Bytes of memory, once per storage. */
uint64_t metrics_bytes(const struct storage_config *config);
/** On loop 0. Errors: BUSY, NO_RESOURCE; nothing is held then. */
MUST err_t metrics_open(struct storage *storage, struct mem *mem, struct owner *owner);
/** Nothing to do if it is not open. */
void metrics_close(struct storage *storage);

/** On loop 0: ask for the metrics; `ready` is called later, `owner` pays until metrics_scrape_end(). NULL: as
 * many as may are under way. */
struct metrics_scrape *metrics_scrape_begin(struct storage *storage, struct owner *owner,
    void (*ready)(struct metrics_scrape *scrape), void *context);
void metrics_scrape_end(struct metrics_scrape *scrape);

/** Append all families. Loop 0, after a tour. */
void metrics_write(const struct storage *storage, struct text *text);

#endif
