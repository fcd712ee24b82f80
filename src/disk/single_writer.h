/* Makes a single file out of place, for an upload or a replace.
 *
 *   open -> write ... write -> finish -> [the caller's record is committed] -> single_rename
 *      `------- abandon -------'   `---- abandon: close and unlink
 *
 * open, write, finish, abandon each arrive at the machine, once; then writer->chain.err tells. After
 * an error the only call is abandon, which never fails: what it can't unlink, recovery will.
 * One descriptor while open, a second one (the directory's) inside finish. */
#ifndef CAIRN_DISK_SINGLE_WRITER_H
#define CAIRN_DISK_SINGLE_WRITER_H

#include "disk/single_chain.h"
#include "disk/single_name.h"
#include "disk/single_pour.h"

struct single_writer {
    struct single_chain chain;
    const struct single_mount *mount;
    struct io_handle handle, directory;
    struct identity identity;
    struct version version;
    struct single_pour pour;
    struct slot_header header; /* after finish began */
    struct span attributes;
    uint32_t meta_size;
    bool exists; /* there is a file in new/ that is nobody else's */
    char path[SINGLE_PATH_MAX], directory_path[SINGLE_DIRECTORY_MAX];
};

/** Create the file; a leftover of the same name goes first. `page` (BLOCKS_PAGE_SIZE bytes) is lent
 * until abandon or single_writer_close. A writer must be all zero before its first open.
 * Errors: NO_SPACE, NO_RESOURCE, IO. */
void single_writer_open(struct single_writer *writer, const struct single_mount *mount,
    struct machine *machine, const struct identity *identity, struct version version,
    uint8_t *page);

/** Add `content` (any size) at the end; it is lent until the arrival.
 * Errors: NO_SPACE, IO, TOO_LARGE (above BLOCKS_CONTENT_MAX). */
void single_writer_write(struct single_writer *writer, struct span content);

/** Write header and attributes (at most SLOT_ATTRIBUTES_MAX bytes, lent until the arrival), sync file
 * and directory, close the file. Of `header` the writer sets identity, version, birth, size, slot_size,
 * content_crc and attributes_size. Durable: content and name in new/, at the arrival. Errors: NO_SPACE, IO. */
void single_writer_finish(
    struct single_writer *writer, const struct slot_header *header, struct span attributes);

static inline uint64_t single_writer_size(const struct single_writer *writer)
{
    return writer->pour.fill.position;
}
static inline uint32_t single_writer_crc(const struct single_writer *writer)
{
    return writer->pour.fill.crc;
}
/** After finish: the header as it stands on disk, in the page. */
static inline struct span single_writer_meta(const struct single_writer *writer)
{
    return span_of(writer->pour.fill.page, writer->meta_size);
}
/** After finish: RENAMES, sizes, CRC and meta of a RECORD_UPLOAD or RECORD_REPLACE. The meta goes
 * to the target if the record says AT_TARGET. content_size is cut at UINT32_MAX; total_size counts. */
void single_writer_record(const struct single_writer *writer, struct record *record);

/** Close and unlink whatever there is; arrives at `machine` (that of open). Also if open was never
 * called. */
void single_writer_abandon(struct single_writer *writer, struct machine *machine);
/** Close and leave the file where it is: after the rename, or when the commit's outcome is unknown. */
void single_writer_close(struct single_writer *writer);

#endif
