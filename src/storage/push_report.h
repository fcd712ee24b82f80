/* How far mirrors are with what is pushed to them, for the tour and for status. */
#ifndef CAIRN_STORAGE_PUSH_REPORT_H
#define CAIRN_STORAGE_PUSH_REPORT_H

#include "base/json.h"
#include "storage/report.h"

struct pushes;

enum { PUSH_REPORT_DETAILS_MAX = 256 }; /* more streams times mirrors: only sums are told */

/** Of one stream and mirror. */
struct push_report {
    uint32_t machine;
    uint8_t mount, stream, state; /* enum push_state */
    bool is_window_open;
    uint64_t held_lsn, kept_lsn, lag_records, lag_bytes, lag_ns;
    uint64_t records_sent, bytes_sent, left_out;
    int32_t err_code; /* why the last connection ended */
};

/** Write the reports of this loop into its own table: pushes->reports, report_count. */
void pushes_report(struct pushes *pushes);

/** "mirrors": [ { machine, state, lag, streams: [...] } ], from the reports of all loops. */
void push_status_write(
    struct json *json, const struct storage_loop_report *reports, uint16_t loop_count);

/** The largest lag: for heartbeats and health. */
struct push_lag_sum {
    uint64_t records, bytes, ns;
};
struct push_lag_sum push_lag_of_mirror(
    const struct storage_loop_report *reports, uint16_t loop_count, uint32_t machine);

#endif
