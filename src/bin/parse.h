/* Words of the command line as values: numbers with units, ranges, versions, times. Pure. Every
 * function returns false, and leaves `ret` as it was, for what it does not understand whole. */
#ifndef CAIRN_BIN_PARSE_H
#define CAIRN_BIN_PARSE_H

#include "wire/version.h"

/** Decimal digits only. */
MUST bool parse_number(const char *text, uint64_t *ret);

/** The number of "m001", "M1", "1". */
MUST bool parse_machine(const char *text, uint64_t *ret);

/** "4096", "4K", "4KiB", "4k", "4M", "1G", "2T" (powers of 1024); "4kB", "4MB" (powers of 1000). */
MUST bool parse_size(const char *text, uint64_t *ret_bytes);

/** "10" (seconds), "500ms", "10s", "5m", "2h", "7d" -> nanoseconds. */
MUST bool parse_duration(const char *text, uint64_t *ret_ns);

/** "A-B" (both included, as HTTP counts) or "A-" (to the end). size 0: to the end. */
struct byte_range {
    uint64_t offset;
    uint64_t size;
};
MUST bool parse_range(const char *text, struct byte_range *ret);

/** "20%" or a size in bytes, as the wire carries it (SLACK_IS_BYTES). At most 1000 % or 1 GiB. */
MUST bool parse_slack(const char *text, uint32_t *ret);

/** "counter.machine". */
MUST bool parse_version(const char *text, struct version *ret);

/** A point in time as unix nanoseconds: "1700000000", "2026-11-23", "2026-11-23T12:30[:15][Z]"
 * (UTC), or "2h" = so long before `now_ns`. */
MUST bool parse_time(const char *text, uint64_t now_ns, uint64_t *ret_ns);

/** "memory", "local", "one", "all" -> enum ack_level. */
MUST bool parse_ack(const char *text, uint8_t *ret);

#endif
