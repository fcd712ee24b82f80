/* When a loop may push, and how fast: a window of the day (UTC) and a rate. Pure.
 *
 * The rate is a bucket of tokens, a token a byte, filled by time up to what one second gives. Who has
 * tokens may send a whole frame and owes the rest: nobody waits for a bucket larger than it is. */
#ifndef CAIRN_STORAGE_PUSH_GATE_H
#define CAIRN_STORAGE_PUSH_GATE_H

#include "base/err.h"

enum { PUSH_RATE_MIN = 128 * 1024 }; /* bytes per second, of a storage with up to 64 loops */

struct push_window {
    uint32_t begin_s,
        end_s; /* seconds of the day; equal: always; end before begin: over midnight */
};

/** "" (always) or "22:00-06:30". False: neither. */
bool push_window_parse(const char *text, struct push_window *ret);
/** Is `wall_ns` (unix time) in the window? */
bool push_window_is_open(const struct push_window *window, uint64_t wall_ns);

struct push_rate {
    uint64_t rate;   /* bytes per second; 0: no limit */
    int64_t tokens;  /* negative: owed */
    uint64_t now_ns; /* of the last look */
};

void push_rate_init(struct push_rate *rate, uint64_t bytes_per_second, uint64_t now_ns);
/** May something be sent now? */
bool push_rate_allows(struct push_rate *rate, uint64_t now_ns);
/** `size` bytes are sent. */
void push_rate_spend(struct push_rate *rate, uint64_t size);

#endif
