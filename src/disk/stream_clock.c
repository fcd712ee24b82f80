/* The ids of a stream: the clock, its lease, and the watermark below which no id is to come.
 *
 *   ids drawn  ...a b c d e f g h          c and f are held (under way): watermark b
 *   lease      ......................|     durable: after a crash ids go on behind it */
#include "disk/stream.h"

void stream_renew_lease(struct stream *stream)
{
    struct record record = {.kind = RECORD_LEASE,
        .time_ns = io_wall(stream->options.io),
        .watermark = atomic_load(&stream->options.clock->last) + ID_CLOCK_LEASE};
    uint64_t wall = id_clock_of_wall(record.time_ns) + ID_CLOCK_LEASE;
    if (record.watermark < wall)
        record.watermark = wall;
    if (stream->is_lease_out || !binlog_has_room(&stream->log, record_size(&record)))
        return;
    stream->is_lease_out = !err_is(binlog_append_detached(&stream->log, &record));
}

bool stream_take_clock(struct stream *stream, struct log_waiter *waiter, struct machine *machine,
    uint64_t *ret, err_t *ret_err)
{
    *ret_err = ERR_OK;
    if (stream->state != STREAM_OPEN) {
        *ret_err = ERR(OFFLINE, 0);
        return true;
    }
    uint64_t clock = id_clock_take(stream->options.clock, io_wall(stream->options.io));
    if (clock > ID_CLOCK_MAX) {
        *ret_err = ERR(BUSY, 0);
        return true;
    }
    if (clock + ID_CLOCK_LEASE / 2 > stream->lease)
        stream_renew_lease(stream);
    if (clock > stream->lease) {
        binlog_wait(&stream->log, waiter, machine);
        return false;
    }
    *ret = clock;
    return true;
}

void stream_hold_clock(struct stream *stream, struct clock_hold *hold, uint64_t clock)
{
    struct list *newest = stream->held_clocks.prev;
    CHECK(newest == &stream->held_clocks
          || CONTAINER_OF(newest, struct clock_hold, link)->clock < clock);
    hold->clock = clock;
    list_push_back(&stream->held_clocks, &hold->link);
}

void stream_release_clock(struct clock_hold *hold)
{
    if (list_is_linked(&hold->link))
        list_remove(&hold->link);
}

bool stream_holds_clock(const struct stream *stream, uint64_t clock)
{
    LIST_EACH (node, &stream->held_clocks)
        if (CONTAINER_OF(node, struct clock_hold, link)->clock == clock)
            return true;
    return false;
}

/* The clock is raised to what is promised, so that nobody draws below it, and no promise goes beyond
 * the lease, so that this holds after a crash as well. */
uint64_t stream_watermark_stamp(struct stream *stream)
{
    if (stream->state != STREAM_OPEN)
        return stream->watermark;
    uint64_t last = atomic_load(&stream->options.clock->last);
    uint64_t wall = id_clock_of_wall(io_wall(stream->options.io));
    uint64_t clock = last > wall ? last : wall;
    if (clock > stream->lease)
        clock = stream->lease;
    id_clock_raise(stream->options.clock, clock);
    if (list_is_empty(&stream->held_clocks))
        return clock;
    uint64_t held = CONTAINER_OF(stream->held_clocks.next, struct clock_hold, link)->clock;
    return held - 1 < clock ? held - 1 : clock;
}

/* Records without one (0), leases and positions (another meaning), other members' changes: not ours. */
void stream_note_watermark(struct stream *stream, const struct record *record)
{
    bool is_stamped = record->kind != RECORD_LEASE && record->kind != RECORD_POSITION
                      && record->origin == stream->options.machine && record->source_lsn == 0;
    if (is_stamped && record->watermark > stream->watermark)
        stream->watermark = record->watermark;
}

uint64_t stream_watermark(struct stream *stream)
{
    bool is_durable = stream->log.lsn_next == stream->log.lsn_durable + 1;
    if (stream->state != STREAM_OPEN || !is_durable)
        return stream->watermark;
    uint64_t watermark = stream_watermark_stamp(stream);
    CHECK(watermark >= stream->watermark);
    stream->watermark = watermark;
    uint64_t wall = id_clock_of_wall(io_wall(stream->options.io));
    uint64_t last = atomic_load(&stream->options.clock->last);
    if ((last > wall ? last : wall) + ID_CLOCK_LEASE / 2 > stream->lease)
        stream_renew_lease(stream);
    return watermark;
}
