/* Who asks for metrics: a page of the pool, a tour, the text. */
#include "doors/metrics_page.h"
#include "storage/internal.h"
#include "storage/metrics.h"

/* Families of every role, of mirrors (three lines for each stream of each), of a mount point (its histogram,
 * twenty gauges, its path). */
enum {
    METRICS_SIZE = METRICS_PAGE_COMMON_SIZE + 64 * 1024,
    METRICS_MOUNT_SIZE = 12 * 1024,
};

static size_t page_size(const struct storage_config *config)
{
    return METRICS_SIZE + config->mount_count * (size_t)METRICS_MOUNT_SIZE;
}

uint64_t metrics_bytes(const struct storage_config *config)
{
    return pool_bytes(sizeof(struct metrics_scrape) + page_size(config), METRICS_SCRAPES, 0);
}

err_t metrics_open(struct storage *storage, struct mem *mem, struct owner *owner)
{
    return pool_init(&storage->scrapes, mem, &storage->loops[0].io->ledger, "storage.metrics",
        sizeof(struct metrics_scrape) + page_size(&storage->config), METRICS_SCRAPES, 0, owner);
}

void metrics_close(struct storage *storage)
{
    if (storage->scrapes.mem)
        pool_fini(&storage->scrapes);
    storage->scrapes.mem = NULL;
}

static void toured(struct storage_tour_waiter *waiter)
{
    struct metrics_scrape *scrape = CONTAINER_OF(waiter, struct metrics_scrape, tour);
    text_init(&scrape->text, scrape->data, page_size(&scrape->storage->config));
    metrics_write(scrape->storage, &scrape->text);
    scrape->ready(scrape);
}

struct metrics_scrape *metrics_scrape_begin(struct storage *storage, struct owner *owner,
    void (*ready)(struct metrics_scrape *scrape), void *context)
{
    struct metrics_scrape *scrape = pool_take(&storage->scrapes, owner);
    if (!scrape)
        return NULL;
    *scrape = (struct metrics_scrape){
        .storage = storage, .tour.toured = toured, .ready = ready, .context = context};
    tour_wait(storage, &scrape->tour);
    return scrape;
}

void metrics_scrape_end(struct metrics_scrape *scrape)
{
    pool_give(&scrape->storage->scrapes, scrape);
}
