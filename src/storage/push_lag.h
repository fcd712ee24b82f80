/* How far the log had come when: so that "behind by so many records" can be told in bytes and in
 * time. A bounded row of samples; when it is full two and two become one, and samples are taken half as
 * often: what is long ago is known less exactly. Pure. */
#ifndef CAIRN_STORAGE_PUSH_LAG_H
#define CAIRN_STORAGE_PUSH_LAG_H

#include "base/err.h"

enum { PUSH_LAG_SAMPLES = 64 };

struct push_lag_sample {
    uint64_t at_ns, lsn, bytes; /* up to this LSN, durable; bytes of log so far */
};

struct push_lag {
    struct push_lag_sample samples[PUSH_LAG_SAMPLES]; /* oldest first; the newest is the present */
    uint32_t count;
    uint64_t interval_ns; /* between samples that are kept */
};

/** The log stands at `lsn` now. */
void push_lag_note(struct push_lag *lag, uint64_t now_ns, uint64_t lsn, uint64_t bytes);

/** Everybody has everything up to `lsn`: what was before is not asked for any more. */
void push_lag_forget(struct push_lag *lag, uint64_t lsn);

/** Who has everything up to `lsn`: since when has it not had the next record (0: it has all), and how
 * many bytes of log it lacks (those before the first sample are not counted). */
void push_lag_of(const struct push_lag *lag, uint64_t lsn, uint64_t now_ns, uint64_t *ret_ns,
    uint64_t *ret_bytes);

#endif
