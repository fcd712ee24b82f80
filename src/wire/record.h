/* The binlog's bytes: segments, batches, records. doc/disk-format.md section "Binlog".
 *
 *   segment   | header page 4096 | batch | batch | ... | never written or older bytes |
 *   batch     | header 64 | record | record | ... | zeros up to a multiple of 4096 |
 *   record    | header 216 | [extension 40] | home meta | target meta | block entries | content | pad to 8 |
 *
 * A batch is one commit. Its CRC is keyed with the segment's salt, number and incarnation: bytes of
 * an earlier life of the same file never pass. It carries the highest LSN known durable when it was
 * written, so that recovery can tell a torn tail (cut it) from rot (repair it).
 * A record is physical: `home meta` and `target meta` are the slot headers as they are to stand on
 * disk, `content` the bytes to be written at content_offset. Applied twice is harmless. */
#ifndef CAIRN_WIRE_RECORD_H
#define CAIRN_WIRE_RECORD_H

#include "wire/slot.h"

enum {
    LOG_PAGE = 4096,
    LOG_SEGMENT_MAGIC = 0x31534c43, /* "CLS1" */
    LOG_BATCH_MAGIC = 0x31424c43,   /* "CLB1" */
    LOG_FORMAT = 2,                 /* 1: no record has an extension; read as well */
    LOG_BATCH_HEADER_SIZE = 64,
    RECORD_HEADER_SIZE = 216,
    RECORD_EXTENSION_SIZE = 40,
    RECORD_CONTENT_MAX = SLOT_SIZE_MAX,
    RECORD_ENTRIES_MAX = 160,
};

struct log_segment_header {
    uint8_t storage_uuid[16];
    uint8_t mount_uuid[16];
    uint64_t number; /* 1, 2, ...; also the file's name */
    uint64_t incarnation;
    uint64_t salt; /* random */
    uint64_t first_lsn;
    uint64_t previous_number; /* where the log was cut or ended before: 0 for the very first */
    uint64_t previous_end;    /* bytes in that segment that are part of the log */
    uint32_t machine;
    uint8_t mount, stream;
};

void log_segment_encode(const struct log_segment_header *header, uint8_t ret[LOG_PAGE]);
/** Errors: CORRUPT (not a segment header), FORMAT (another format number). */
MUST err_t log_segment_decode(const uint8_t page[LOG_PAGE], struct log_segment_header *ret);

struct log_batch_header {
    uint32_t size; /* with header and padding: a multiple of LOG_PAGE */
    uint32_t used; /* with header, without padding */
    uint32_t record_count;
    uint64_t first_lsn;
    uint64_t durable_lsn; /* every record up to here was known durable when this was written */
};

/** Finish the batch in `batch` (size bytes, records from LOG_BATCH_HEADER_SIZE on, zero padded):
 * write its header. */
void log_batch_seal(uint8_t *batch, const struct log_batch_header *header,
    const struct log_segment_header *segment);
/** Look at a batch header only (magic and sizes in range): the size to read. Errors: CORRUPT. */
MUST err_t log_batch_peek(struct span bytes, struct log_batch_header *ret);
/** Check a whole batch. `bytes` has at least header.size bytes. Errors: CORRUPT. */
MUST err_t log_batch_check(
    struct span bytes, const struct log_segment_header *segment, struct log_batch_header *ret);

enum record_kind {
    RECORD_UPLOAD = 1,
    RECORD_REPLACE = 2,  /* whole content */
    RECORD_WRITE = 3,    /* content_size bytes at content_offset */
    RECORD_APPEND = 4,   /* bytes behind the committed end; may be referenced */
    RECORD_TRUNCATE = 5, /* total_size says where */
    RECORD_DELETE = 6,
    RECORD_LEASE = 7,    /* ids up to `watermark` may have been issued */
    RECORD_ACTIVATE = 8, /* home.chunk takes new slots from here on */
    RECORD_FULL = 9,     /* whole content as another member holds it; never pushed */
    RECORD_POSITION =
        10, /* a source is followed up to (source_incarnation, source_lsn); of its ids up to
                           * `watermark` those from content_offset to total_size may be missed */
    RECORD_KIND_COUNT
};

enum {                    /* record flags */
    RECORD_INLINE = 1,    /* content is in the record */
    RECORD_AT_TARGET = 2, /* content belongs at `target`, else at `home` */
    RECORD_RENAMES = 4,   /* a single file was made in new/ and takes its place by rename */
    RECORD_TAKES = 16,    /* the slot that the content goes to was free before this record */
    RECORD_FREES = 8,     /* the slot or file at `freed` is free from here on */
    RECORD_EXTENDED = 32, /* has the extension: see struct record */
};

struct record {
    uint64_t lsn;
    uint64_t incarnation;
    uint32_t origin; /* machine that made this change, with its mount and stream */
    uint8_t mount, stream;
    uint8_t kind;
    uint8_t flags;
    struct identity identity;
    struct version version;
    struct version base; /* the version this change was based on; 0.0 for upload */
    struct nonce nonce;
    uint64_t time_ns;
    /* LEASE, POSITION: see there. ACTIVATE: 0. Own changes: every id at or below it that was born in
     * this stream has its upload here or before in the log, or never will (format 1: not so) */
    uint64_t watermark;
    struct place home, target, freed;
    uint64_t content_offset; /* in the file's content */
    uint64_t total_size;     /* of the file's content after this change */
    uint32_t content_size;   /* of the bytes in this record */
    uint32_t content_crc;    /* of the bytes in this record */
    /* The extension; all zero without RECORD_EXTENDED.
     * Received records: where the record stands in the stream of its origin (origin, mount, stream
     * above); own records: 0.0, and `incarnation` and `lsn` say it. */
    uint64_t source_incarnation, source_lsn;
    /* What the digest of the home's unit (its chunk, or its bucket of single files) changes by at
     * this storage, modulo 2^64; and its number of files: +1, 0, -1. */
    uint64_t digest_delta;
    int8_t live_delta;
    struct span home_meta; /* empty: home's header does not change */
    struct span target_meta;
    struct span entries; /* single files: {block index u32, CRC u32} ... */
    struct span content; /* if RECORD_INLINE */
};

/** Bytes of a record on disk, a multiple of 8. */
size_t record_size(const struct record *record);
/** Encode at the writer's end; fails (writer.failed) when it does not fit. Points `stored` (may be
 * NULL) to the copies inside the buffer: same fields, spans into the batch. */
void record_encode(const struct record *record, struct writer *w, struct record *stored);
/** Decode the record at the start of `bytes`; *ret_size is what it took. Spans point into bytes.
 * Errors: CORRUPT (CRC, sizes or a field out of range). */
MUST err_t record_decode(struct span bytes, struct record *ret, size_t *ret_size);
/** The same without checking: for a batch that this process has just encoded. */
size_t record_view(const uint8_t *bytes, struct record *ret);

/** A change of a file; else the record is about the stream only. */
static inline bool record_is_change(const struct record *record)
{
    return (record->kind >= RECORD_UPLOAD && record->kind <= RECORD_DELETE)
           || record->kind == RECORD_FULL;
}

const char *record_kind_name(uint8_t kind);

#endif
