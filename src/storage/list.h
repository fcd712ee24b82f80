/* LIST: the rescue when ids were lost. Walks the slot maps and headers of every stream and the
 * directories of single files, a bounded step per request, and makes the ids again from the headers.
 *
 *   mount point 0: stream 0, stream 1, ... chunks by number, slots by offset; then singles/00 .. ff
 *   mount point 1: ...
 *
 * The cursor says where the walk goes on, and so which loop can go on: the owner of the stream, or
 * loop 0 for single files. What changes during a walk is seen or not; what does not is seen once.
 *
 * Cost per request: at most LIST_SLOTS headers, mostly read in windows of 64 KiB; the map of a chunk
 * that takes no new slots (twice 256 KiB for 64 MiB). Listing a directory blocks the loop, since the
 * kernel knows no other way: about 1 us per 10 names, LIST_DIRECTORIES of them at most in one request.
 * One walk at a time per loop, which owns the memory for it; a second one is answered BUSY. */
#ifndef CAIRN_STORAGE_LIST_H
#define CAIRN_STORAGE_LIST_H

#include "storage/store.h"
#include "wire/msg.h"

struct storage_config;

enum {
    LIST_COUNT_DEFAULT = 1000,
    LIST_COUNT_MAX = 2000, /* entries in one answer */
    LIST_SLOTS = 8192,     /* headers looked at in one request */
    LIST_CHUNKS = 8,       /* maps read in one request */
    LIST_DIRECTORIES = 32,
    LIST_NAMES = 512, /* of one directory, in one request */
    LIST_WINDOW = 64 * 1024,
    LIST_CURSOR_SIZE = 24,
};

enum list_area { LIST_PACKED = 1, LIST_SINGLES = 2 };

struct list_cursor {
    enum list_area area;
    uint8_t position; /* of the mount point in the configuration */
    uint8_t stream;   /* packed */
    uint32_t chunk, offset;
    uint16_t directory; /* singles */
    uint64_t clock;     /* singles: of the last one; 0: none yet */
};

/** Empty: the begin. Errors: USAGE (not a cursor of ours). */
MUST err_t list_cursor_decode(
    struct span bytes, const struct storage_config *config, struct list_cursor *ret);
/** Writes LIST_CURSOR_SIZE bytes. */
void list_cursor_encode(const struct list_cursor *cursor, uint8_t *ret);

/** The memory of a loop for its one walk. */
struct list_memory {
    struct mem *mem;
    uint8_t *images; /* both copies of a slot map */
    void *map;
    uint8_t *window;
    struct list_name {
        uint64_t clock;
        uint32_t origin;
    } * names;
    size_t image_size;
    bool is_taken;
};

uint64_t list_memory_bytes(uint32_t chunk_size);
/** Errors: BUSY, NO_RESOURCE; nothing is held then. */
MUST err_t list_memory_init(
    struct list_memory *memory, struct mem *mem, struct owner *owner, uint32_t chunk_size);
void list_memory_fini(struct list_memory *memory);

struct list_walk {
    struct machine machine;
    struct store *store;
    const struct storage_config *config;
    struct list_memory *memory;
    struct list_cursor cursor; /* afterwards: where to go on */
    bool is_over;              /* nothing is left */
    uint64_t since_ns;
    uint32_t count_max;
    struct writer page;                   /* entries as LISTED wants them */
    uint32_t count;                       /* entries */
    void (*done)(struct list_walk *walk); /* machine.err tells */
    void *context;
    /* its own */
    struct chunk_ref ref;
    struct slotmap map;
    uint32_t map_chunk; /* whose map is loaded; 0: none */
    bool is_held;       /* ref */
    uint64_t window_at;
    size_t window_size;
    uint32_t slots, chunks, directories;
    uint32_t name_count, name_at;
    bool has_more_names;
    int area_fd; /* of the chunk or single file being read */
    struct io_op op;
    struct iovec iov;
    struct io_handle handle;
    char path[64];
};

/** Walk on from walk->cursor on this loop. The caller fills store, config, memory (not taken),
 * cursor, since_ns, count_max, page, done. Errors: OFFLINE never: mount points that are out are
 * passed over. NO_RESOURCE, IO (a directory cannot be read). */
void list_start(struct list_walk *walk);

/** The loop that can go on from here. */
uint16_t list_loop(const struct list_cursor *cursor, uint16_t loop_count);

#endif
