/* Collects whole packed files as entries of kind RECORD_FULL in one page: HARVEST. In the order they
 * are wanted; what is not here, or lies in a single file, is left out. Ends when the page is full.
 *
 *   NEXT -> OPENED -> NEXT ...      a mismatch: again under the file's lock (as find.c) */
#ifndef CAIRN_STORAGE_HARVEST_H
#define CAIRN_STORAGE_HARVEST_H

#include "storage/full_entry.h"

struct harvest {
    struct machine machine;
    struct store *store;
    struct span wants;                     /* encoded (wire/unit.h); borrowed until done */
    struct writer page;                    /* of the caller: entries */
    uint32_t count;                        /* of them */
    void (*done)(struct harvest *harvest); /* machine.err tells */
    void *context;
    /* its own */
    size_t at; /* in wants */
    struct object object;
    struct stream *stream; /* of the lock */
    struct file_lock lock;
    bool under_lock;
};

/** Fill store, wants, page, done. The loop owns every file that is wanted; the others are left out.
 * Errors: PROTOCOL (a want is malformed), BUSY, NO_RESOURCE, IO. Damaged files are left out and
 * counted in store->corrupt_reads. */
void harvest_start(struct harvest *harvest);

#endif
