/* The id clock of a storage: 55 bits, unix seconds << 23 | sequence. It may run ahead of the wall
 * clock, never back: ids are unique across restarts, clock steps and reused slots (DESIGN section 3).
 *
 * One counter for all loops of the storage (the only thing that they share); each stream leases
 * ahead in its own log (RECORD_LEASE) what it may issue, so that after a crash the clock begins
 * above everything that may have been issued. */
#ifndef CAIRN_DISK_CLOCK_H
#define CAIRN_DISK_CLOCK_H

#include <stdatomic.h>
#include <stdint.h>

enum { ID_CLOCK_SEQUENCE_BITS = 23 };
#define ID_CLOCK_MAX ((1ull << 55) - 1)
/* A stream leases a minute ahead: one record per half minute. */
#define ID_CLOCK_LEASE (60ull << ID_CLOCK_SEQUENCE_BITS)

struct id_clock {
    _Atomic uint64_t last;
};

static inline uint64_t id_clock_of_wall(uint64_t wall_ns)
{
    return (wall_ns / 1000000000u) << ID_CLOCK_SEQUENCE_BITS;
}

/** Never below `floor` from here on (recovery). */
static inline void id_clock_raise(struct id_clock *clock, uint64_t floor)
{
    uint64_t last = atomic_load(&clock->last);
    while (last < floor && !atomic_compare_exchange_weak(&clock->last, &last, floor)) {
    }
}

/** The next id: above all before, not below the wall clock. */
static inline uint64_t id_clock_take(struct id_clock *clock, uint64_t wall_ns)
{
    uint64_t wall = id_clock_of_wall(wall_ns);
    uint64_t last = atomic_load(&clock->last), next;
    do {
        next = last + 1 > wall ? last + 1 : wall;
    } while (!atomic_compare_exchange_weak(&clock->last, &last, next));
    return next;
}

#endif
