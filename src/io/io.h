/* The seam. All time, randomness, disk and network pass through one `struct io` per loop.
 * Operations are data; there are three backends: io_uring (src/io/uring.c), epoll with worker threads
 * where io_uring is forbidden (src/io/epoll.c), and the simulator (sim/). Above this header nothing
 * knows which world it is in.
 *
 *   io_submit(op)   the operation begins; op, its buffers and its path stay put until op->wake
 *   io_turn()       waits, delivers completions (op->wake), messages, and runs the run queue
 *   io_cancel(op)   a request; the completion still comes, with -ECANCELED or as it happened
 *   io_call(op)     the same operation, done before it returns: start-up, offline tools; never in
 *                   a running loop. op->wake is not called.
 *
 * Life of an op: idle -> submitted -> (wake) idle. One op per field, embedded in its machine. */
#ifndef CAIRN_IO_IO_H
#define CAIRN_IO_IO_H

#include <sys/uio.h> /* struct iovec */

#include "base/ledger.h"
#include "base/stage.h"

enum io_kind {
    IO_NOP,
    /* files; `fd` is a directory where a `path` is given (IO_FD_NONE: path is absolute) */
    IO_OPEN,     /* path, open_flags -> *ret_handle */
    IO_READ,     /* fd, iov, offset -> bytes (short at the end of the file, short at will) */
    IO_WRITE,    /* fd, iov, offset, write_flags -> bytes (short at will) */
    IO_SYNC,     /* fd: fdatasync; of a directory handle: its entries are durable */
    IO_ALLOCATE, /* fd, offset, size: blocks reserved and the file grown (fallocate) */
    IO_PUNCH,    /* fd, offset, size: whole blocks given back, reads as zeros, size kept */
    IO_RESIZE,   /* fd, size: ftruncate */
    IO_RENAME,   /* fd, path, path_to (same directory handle), replaces */
    IO_UNLINK,   /* fd, path; open_flags IO_OPEN_DIRECTORY: rmdir */
    IO_MKDIR,    /* fd, path; exists already: -EEXIST */
    IO_STAT,     /* fd, path (NULL: the handle itself) -> ret_stat */
    IO_SPACE,    /* fd -> ret_stat: total, free bytes of the file system */
    IO_LOCK,     /* fd: exclusive lock for as long as the handle is open; taken: -EWOULDBLOCK */
    IO_LIST,     /* fd (a directory handle): each_entry per name, in no order; io_call only */
    /* network */
    IO_LISTEN,   /* address, listen_index/_count -> *ret_handle, and address gets the real port */
    IO_ACCEPT,   /* fd -> *ret_handle, *address of the peer */
    IO_CONNECT,  /* address -> *ret_handle */
    IO_RECV,     /* fd, iov[0] -> bytes; 0: the peer closed */
    IO_SEND,     /* fd, iov -> bytes (short at will) */
    IO_SHUTDOWN, /* fd: both directions; pending receives end with 0 */
    /* time */
    IO_TIMER, /* deadline_ns (absolute, io_now) -> 0 when reached */
    IO_KIND_COUNT
};

const char *io_kind_name(enum io_kind kind);

#define IO_FD_NONE (-1)

/* IO_READ, IO_WRITE: the descriptor's own position: pipes, terminals, standard input and output */
#define IO_OFFSET_STREAM UINT64_MAX

enum { /* open_flags */
    IO_OPEN_READ = 1,
    IO_OPEN_WRITE = 2,
    IO_OPEN_CREATE = 4,    /* mode 0640 */
    IO_OPEN_EXCLUSIVE = 8, /* with CREATE: must not exist */
    IO_OPEN_DIRECT = 16,   /* O_DIRECT; where the file system refuses it: -EINVAL */
    IO_OPEN_DIRECTORY = 32,
    IO_STAT_NO_FOLLOW = 64, /* IO_STAT only: of a symbolic link itself, not of what it names */
};

enum {                  /* write_flags */
    IO_WRITE_DSYNC = 1, /* durable when complete: data and the size */
};

/** An address as bytes: IPv4 mapped into IPv6 form is not used; family tells. */
struct io_address {
    uint8_t bytes[16];
    uint16_t port;
    uint8_t family; /* 4, 6; 0: none */
};

/** "127.0.0.1:80", "[::1]:80", "localhost:80". Errors: USAGE. Resolves no names but localhost. */
MUST err_t io_address_parse(const char *text, struct io_address *ret);
enum { IO_ADDRESS_TEXT_MAX = 64 };
/** Returns `text` (at least IO_ADDRESS_TEXT_MAX bytes). */
const char *io_address_format(const struct io_address *address, char *text);
bool io_address_is_loopback(const struct io_address *address);

struct io_stat {
    uint64_t size;      /* bytes; IO_SPACE: bytes in total */
    uint64_t allocated; /* bytes on disk; IO_SPACE: bytes free for us */
    uint64_t inode;
    uint64_t modify_ns; /* when the content was changed last, unix time; IO_SPACE: 0 */
    bool is_directory;
    bool is_regular; /* neither: a link (with IO_STAT_NO_FOLLOW), a device, a socket ... */
};

struct io;

/** A descriptor that is held. fd is IO_FD_NONE when it is not. Filled by the op that opens it. */
struct io_handle {
    int fd;
    struct held held;
};
#define IO_HANDLE_NONE ((struct io_handle){.fd = IO_FD_NONE})

struct io_op {
    void (*wake)(struct io_op *op);
    struct owner *owner;     /* who pays; never NULL at submit */
    const struct site *site; /* set by io_submit */
    int64_t result;          /* >= 0, or -errno; set before wake */
    enum io_kind kind;
    int fd;
    uint64_t offset;
    uint64_t size;
    const struct iovec *iov; /* stays put until wake */
    unsigned iov_count;
    uint32_t open_flags;
    uint32_t write_flags;
    const char *path;
    const char *path_to;
    struct io_handle *ret_handle;
    enum life handle_life; /* expected life of what it opens */
    struct io_address *address;
    uint16_t listen_index, listen_count; /* this loop's place among those that share the address */
    struct io_stat *ret_stat;
    void (*each_entry)(void *context, const char *name, bool is_directory);
    void *context;
    uint64_t deadline_ns; /* IO_TIMER; others: 0 none, else ends with -ETIME when passed */
    /* the backend's */
    struct held held; /* HELD_OP while submitted, HELD_TIMER for IO_TIMER */
    struct list link;
    enum io_kind kind_refused; /* op.c: the kind it had when the ledger refused it */
    uint64_t backend[11];
};

/** A message from one loop to another of the same process. Delivered in the order posted. `from` is
 * the caller's own loop; a thread that has none gives `to` for both. */
struct io_message {
    struct io_message *next;
    void (*deliver)(struct io *here, struct io_message *message);
};

struct io_backend {
    const char *name; /* for people: io_uring, epoll */
    void (*submit)(struct io *io, struct io_op *op);
    void (*cancel)(struct io *io, struct io_op *op);
    void (*call)(struct io *io, struct io_op *op);
    void (*turn)(struct io *io, bool may_wait);
    void (*post)(struct io *from, struct io *to, struct io_message *message);
    void (*close)(struct io *io, int fd); /* cannot fail */
    uint64_t (*now_ns)(struct io *io);
    uint64_t (*wall_ns)(struct io *io);
    uint64_t (*random)(struct io *io);
    void (*leave)(struct io *io); /* after its last turn: what it posted goes out; NULL: has gone */
    void (*free)(struct io *io);
};

struct io {
    const struct io_backend *backend;
    struct ledger ledger;
    struct ledger *own; /* what the backend itself holds; NULL: nothing */
    struct run_queue run;
    uint64_t now_ns;     /* monotonic; refreshed once per turn */
    struct drill *drill; /* io/drill.h; NULL: none */
    void *role;          /* the server whose loop this is: for messages */
    uint16_t loop_index;
    uint64_t turns; /* so far */
};

/** For backends: set up the common part. */
void io_init(struct io *io, const struct io_backend *backend);
/** For backends: the clock has moved; call it before completions are delivered. */
void io_tick(struct io *io);
/** For backends: an op has ended; releases its ledger entry, enters a new handle, then wakes. */
void io_complete(struct io *io, struct io_op *op, int64_t result);

/** For backends: io_complete(op->result) of all that is in `done` now, linked by op->link. What their
 * wakes add waits for the next turn, so that a turn ends. Returns how many. */
size_t io_complete_all(struct io *io, struct list *done);

/** Begin `op`. Never refused to the caller: a refusal arrives as a completion (-ENOBUFS). */
void io_submit_at(struct io *io, struct io_op *op, const struct site *site);
#define io_submit(io, op) io_submit_at((io), (op), SITE())

/** Do `op` now; returns op->result. For start-up and offline tools. */
int64_t io_call_at(struct io *io, struct io_op *op, const struct site *site);
#define io_call(io, op) io_call_at((io), (op), SITE())

void io_cancel(struct io *io, struct io_op *op);
/** Deliver what has come; with may_wait, wait for at least one completion or message first. */
void io_turn(struct io *io, bool may_wait);
void io_post(struct io *from, struct io *to, struct io_message *message);

static inline bool io_op_is_out(const struct io_op *op)
{
    return held_is_held(&op->held);
}

/** Give a descriptor back: needs nothing, cannot fail; nothing to do if none. */
void io_handle_close(struct io *io, struct io_handle *handle);
/** Move `from` into `to`; `from` becomes none. */
void io_handle_move(struct io_handle *to, struct io_handle *from);
/** Hand a descriptor to another loop of the process: leave this ledger without closing. The number
 * goes there in a message; nobody holds it until io_handle_adopt(). */
int io_handle_release(struct io *io, struct io_handle *handle);
/** The other half: enter `fd` here. */
void io_handle_adopt_at(struct io *io, struct io_handle *handle, int fd, struct owner *owner,
    enum life life, const struct site *site);
#define io_handle_adopt(io, handle, fd, owner, life) \
    io_handle_adopt_at((io), (handle), (fd), (owner), (life), SITE())

static inline uint64_t io_now(const struct io *io)
{
    return io->now_ns;
}
static inline uint64_t io_wall(struct io *io)
{
    return io->backend->wall_ns(io);
}
static inline uint64_t io_random(struct io *io)
{
    return io->backend->random(io);
}

/** wake function for ops embedded in machines: set op->context to the machine. */
void io_wake_machine(struct io_op *op);

#endif
