/* What a backend asks of the host: its clocks, its chance, its processors. */
#ifndef CAIRN_IO_HOST_H
#define CAIRN_IO_HOST_H

#include "io/io.h"

uint64_t host_now_ns(struct io *io);  /* io_backend.now_ns */
uint64_t host_wall_ns(struct io *io); /* io_backend.wall_ns */

enum { HOST_CHANCE_COUNT = 64 };

/** Random numbers of the kernel, got 64 at a time; zeroed: none is there yet. */
struct host_chance {
    unsigned left;
    uint64_t numbers[HOST_CHANCE_COUNT];
};
/** Good enough for nonces and challenges; one system call per 64 numbers. */
uint64_t host_chance_next(struct host_chance *chance);

/** Pin this thread to the CPU of loop `index` of `count`, if there are that many. CPU c serves the
 * connections of the listener at place c mod count (socket.h), so a loop gets a CPU that agrees
 * with its place; if some loop finds none, all go by order. To stay unpinned costs speed only. */
void host_pin_thread(uint16_t index, uint16_t count);

#endif
