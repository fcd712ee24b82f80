/* What the system gives this process: descriptors, locked memory, processors, memory. */
#ifndef CAIRN_IO_LIMITS_H
#define CAIRN_IO_LIMITS_H

#include "base/err.h"

enum limit_kind { LIMIT_FILES, LIMIT_LOCKED_BYTES, LIMIT_COUNT };

struct limit {
    uint64_t soft, hard; /* UINT64_MAX: none */
};

struct limit limit_get(enum limit_kind kind);
/** Set the soft limit to the hard one; returns what holds then. Never fails: what cannot be raised
 * stays. */
struct limit limit_raise(enum limit_kind kind);

/** Processors that this process may run on (its affinity mask, which containers narrow). */
unsigned limits_cpu_count(void);
/** Bytes of memory of the host, or the limit of the control group if that is less. */
uint64_t limits_memory_size(void);

#endif
