/* `cairn check --offline DIR`: reads a mount point that no server uses, from end to end, and says what
 * is wrong with it. Never writes; takes the lock, so that no server starts meanwhile.
 *
 *   cairn.mount   both copies                      checkpoints   the newest good one of each stream
 *   log           every batch behind it            chunk files   map, headers, every content's CRC
 *   single files  header, every block              new/          what no start has cleaned up yet
 *
 * A mount point that was not left in order has records behind its checkpoint which the next start
 * applies again: what they touch is not judged (counted as pending).
 *
 * Uses io_call: for a process of its own. Memory: about 20 MiB. */
#ifndef CAIRN_STORAGE_CHECK_H
#define CAIRN_STORAGE_CHECK_H

#include "base/json.h"
#include "base/map.h"
#include "base/text.h"
#include "disk/checkpoint.h"
#include "disk/mount_image.h"

/* name, is it damage, what it says */
#define CHECK_KINDS(X)                                                                            \
    X(MOUNT_COPY, false, "one copy of cairn.mount is damaged; the other is good")                 \
    X(CHECKPOINT, true, "no good checkpoint although the stream has log or chunks")               \
    X(LOG_MISSING, true, "records behind the checkpoint are missing from the log")                \
    X(LOG_ROT, true, "a batch below the durable end of the log is damaged")                       \
    X(LOG_TORN, false, "the log ends in a batch that was never finished; the next start cuts it") \
    X(CHUNK_MISSING, true, "a chunk file is missing")                                             \
    X(CHUNK_HEADER, true, "the header of a chunk file is damaged or names another")               \
    X(CHUNK_MAP, true, "both copies of a slot map are damaged")                                   \
    X(CHUNK_ORPHAN, false, "a chunk file that its stream does not know")                          \
    X(SLOT_HEADER, true, "the header of a live slot is damaged")                                  \
    X(SLOT_CONTENT, true, "a content does not match its checksum")                                \
    X(TARGET_MISSING, true, "a file was moved, and what it was moved to is not there")            \
    X(SINGLE_HEADER, true, "the header of a single file is damaged")                              \
    X(SINGLE_CONTENT, true, "a block of a single file does not match its checksum")               \
    X(ORPHAN, false, "a file that is nobody's")                                                   \
    X(UNREADABLE, true, "it cannot be read")

enum check_kind {
#define X(name, is_damage, text) CHECK_##name,
    CHECK_KINDS(X)
#undef X
        CHECK_KIND_COUNT
};

const char *check_kind_name(enum check_kind kind);
const char *check_kind_sentence(enum check_kind kind);
bool check_kind_is_damage(enum check_kind kind);

struct check_finding {
    enum check_kind kind;
    const char *path; /* beneath the mount point; gone after the call */
    uint64_t offset;  /* in the file */
    const char *id;   /* of the file concerned, or "" */
};

struct check_counts {
    uint64_t live_files, live_bytes; /* contents at home here */
    uint64_t chunks, slots, free_bytes, fresh_bytes;
    uint64_t singles;
    uint64_t streams, log_records; /* behind the checkpoints */
    uint64_t pending;              /* files that were not judged */
    uint64_t findings[CHECK_KIND_COUNT];
};

struct check {
    /* the caller's */
    struct io *io;
    struct mem *mem;
    const char *path;                                                       /* absolute */
    void (*on_finding)(void *context, const struct check_finding *finding); /* may be NULL */
    void *context;
    /* results */
    struct check_counts counts;
    struct mount_image image;
    const char *why; /* of an error that ended it early */
    /* its own */
    struct owner owner;
    struct io_handle root;
    struct map touched; /* id clocks that records behind the checkpoints touch */
    bool has_touched, is_touched_full;
    uint8_t *buffer; /* CHECK_BUFFER */
    uint8_t *images;
    void *map_memory;
    struct chunk_table table; /* of the stream being checked */
    struct checkpoint_header checkpoint;
    bool has_checkpoint;
};

enum { CHECK_BUFFER = 9 << 20, CHECK_TOUCHED_MAX = 1 << 18 };

/** Check all of it. What is damaged is a finding, not an error.
 * Errors: NOT_FOUND (no mount point), BUSY (a server uses it), CORRUPT (cairn.mount is damaged in both
 * copies), FORMAT, IO, NO_RESOURCE; check->why says it to a person. Nothing is held afterwards. */
MUST err_t check_run(struct check *check);

/** Is anything damaged? Errors: CORRUPT (exit code 7). */
MUST err_t check_verdict(const struct check *check);

void check_finding_print(const struct check_finding *finding, struct text *text);
/** A few lines: what was found, counts, verdict. */
void check_print(const struct check *check, struct text *text);
/** {"path":"","machine":1,"index":0,"live_files":N,...,"findings":{"SLOT_CONTENT":N},"damaged":false} */
void check_print_json(const struct check *check, struct writer *w);

#endif
