/* Shared by the parts of the binlog (binlog.c, binlog_prepare.c); for nobody else. */
#ifndef CAIRN_DISK_BINLOG_PARTS_H
#define CAIRN_DISK_BINLOG_PARTS_H

#include "disk/binlog.h"

enum { LOG_ZERO_PIECE = 1 << 20 }; /* zeros are written in pieces of this size */

/** Index of the oldest segment that a checkpoint covers and nobody needs; -1: none. */
int binlog_find_to_recycle(const struct binlog *log);
/** The same, also of those that somebody needs. */
int binlog_find_to_break(const struct binlog *log);
/** NULL: no such file. */
struct log_segment *binlog_find_segment(struct binlog *log, uint64_t number);
/** An operation in the mount point's directory, paid for by the log. */
struct io_op binlog_segment_op(struct binlog *log, enum io_kind kind);
uint32_t binlog_open_flags(const struct binlog *log);

/** There may be something to commit, or a next segment to commit into. */
void binlog_commit_kick(struct binlog *log);
/** Begin to make the next segment ready; later: there may be one to recycle. */
void binlog_prepare_start(struct binlog *log);
void binlog_prepare_kick(struct binlog *log);
#endif
