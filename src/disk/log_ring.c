#include "disk/log_ring.h"

void log_ring_init(struct log_ring *ring, uint8_t *data, size_t size)
{
    CHECK(size % 8 == 0);
    *ring = (struct log_ring){.data = data, .size = size};
}

/* Positions go on: a cursor from before fits the same LSN or none. */
void log_ring_clear(struct log_ring *ring)
{
    ring->tail = ring->head;
    ring->first_lsn = ring->next_lsn = 0;
}

/* Bytes from `position` to the end of the memory. */
static size_t room_ahead(const struct log_ring *ring, uint64_t position)
{
    return ring->size - (size_t)(position % ring->size);
}

static const uint8_t *bytes_at(const struct log_ring *ring, uint64_t position)
{
    return ring->data + position % ring->size;
}

/* The record at or behind `position`: its position; *ret_size its bytes. */
static uint64_t record_at(const struct log_ring *ring, uint64_t position, size_t *ret_size)
{
    *ret_size = get_u32(bytes_at(ring, position));
    if (*ret_size > 0)
        return position;
    position += room_ahead(ring, position);
    *ret_size = get_u32(bytes_at(ring, position));
    return position;
}

static void drop_oldest(struct log_ring *ring)
{
    size_t size;
    ring->tail = record_at(ring, ring->tail, &size) + size;
    ring->first_lsn++;
}

static void put_record(struct log_ring *ring, struct span record)
{
    size_t ahead = room_ahead(ring, ring->head);
    size_t skip = ahead < record.size ? ahead : 0;
    while (ring->first_lsn < ring->next_lsn
           && ring->head + skip + record.size - ring->tail > ring->size)
        drop_oldest(ring);
    if (ring->first_lsn == ring->next_lsn)
        ring->tail = ring->head + skip; /* nothing is there any more */
    if (skip > 0)
        put_u32(ring->data + ring->head % ring->size, 0);
    ring->head += skip;
    memcpy(ring->data + ring->head % ring->size, record.data, record.size);
    ring->head += record.size;
    ring->next_lsn++;
}

void log_ring_put(struct log_ring *ring, uint64_t first_lsn, struct span records)
{
    if (ring->next_lsn != first_lsn) {
        log_ring_clear(ring);
        ring->first_lsn = ring->next_lsn = first_lsn;
    }
    for (size_t at = 0; at < records.size;) {
        size_t size = get_u32(records.data + at);
        CHECK(size > 0 && size % 8 == 0 && at + size <= records.size);
        if (size <= ring->size) {
            put_record(ring, span_of(records.data + at, size));
        } else {
            uint64_t next = ring->next_lsn + 1;
            log_ring_clear(ring);
            ring->first_lsn = ring->next_lsn = next;
        }
        at += size;
    }
}

bool log_ring_has(const struct log_ring *ring, uint64_t lsn)
{
    return lsn >= ring->first_lsn && lsn < ring->next_lsn;
}

static uint64_t find_position(
    const struct log_ring *ring, uint64_t lsn, const struct log_ring_cursor *cursor)
{
    size_t size;
    if (cursor->lsn == lsn && cursor->position >= ring->tail && cursor->position < ring->head)
        return cursor->position;
    uint64_t position = record_at(ring, ring->tail, &size);
    for (uint64_t at = ring->first_lsn; at < lsn; at++)
        position = record_at(ring, position + size, &size);
    return position;
}

size_t log_ring_get(const struct log_ring *ring, uint64_t lsn, struct log_ring_cursor *cursor,
    uint8_t *into, size_t capacity, uint64_t *ret_next)
{
    CHECK(log_ring_has(ring, lsn));
    uint64_t position = find_position(ring, lsn, cursor);
    size_t done = 0;
    while (lsn < ring->next_lsn) {
        size_t size;
        position = record_at(ring, position, &size);
        if (done + size > capacity)
            break;
        memcpy(into + done, bytes_at(ring, position), size);
        done += size;
        position += size;
        lsn++;
    }
    *cursor = (struct log_ring_cursor){lsn, position};
    *ret_next = lsn;
    return done;
}
