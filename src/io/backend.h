/* Which backend of the seam a process runs on: io_uring, or epoll with worker threads where io_uring
 * is missing, forbidden or too old.
 *
 * The choice is the caller's; where that is "auto", the environment's (CAIRN_IO_BACKEND=io_uring,
 * epoll or auto); where that is silent too, io_uring if the host lets us, else epoll. */
#ifndef CAIRN_IO_BACKEND_H
#define CAIRN_IO_BACKEND_H

#include "io/io.h"

enum backend_choice { BACKEND_AUTO, BACKEND_IO_URING, BACKEND_EPOLL, BACKEND_CHOICE_COUNT };

/** "auto", "io_uring", "epoll", NULL: for configuration. */
extern const char *const backend_choices[BACKEND_CHOICE_COUNT + 1];

struct backend_options {
    enum backend_choice choice;
    unsigned entries; /* io_uring: as in uring.h */
    uint16_t loop_index, loop_count;
    bool pin; /* as in uring.h */
};

/** Make the backend of one loop; see uring_io_new(), epoll_io_new().
 * Errors: UNSUPPORTED (io_uring was chosen and is refused; no epoll), NO_RESOURCE, USAGE (the
 * environment names no backend); backend_explain() says it to a person. */
MUST err_t backend_io_new(const struct backend_options *options, struct io **ret);

/** What `io` runs on; never BACKEND_AUTO. */
enum backend_choice backend_choice_of(const struct io *io);

/** One sentence that says why backend_io_new() failed and what to do. Static text. */
const char *backend_explain(err_t err);

/** Why `io` is not what "auto" wants first, as one sentence; NULL: it is, or it was chosen. Asks the
 * host again: for start-up. */
const char *backend_why(const struct io *io, enum backend_choice choice);

#endif
