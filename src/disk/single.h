/* Large files on their own: a file per content, beneath the mount point.
 *
 *   singles/<hh>/<origin>-<clock>                      where readers find it; hh = clock & 0xff
 *   new/<stream>/<origin>-<clock>.<counter>-<machine>  while it is made; never visible
 *
 *   made out of place   single_writer: new/..., synced -> record (RENAMES) -> single_rename
 *   changed in place    single_change: prepare -> record -> apply
 *   read                single_reader: header, then ranges, each block verified before it is given
 *   gone                record (DELETE, FREES) -> single_unlink
 *   checkpoint          single_dirty: syncs what was touched since the last one
 *   start               single_redo: applies the log again
 *
 * What stands under a final name has had a good header. Only changes in place write over it, after
 * their record is durable: a header that is bad at start is healed from the log.
 * A header's `birth` is the version from which on log records count for the file: the one that made
 * it, or that shrank it in place. What older ones did is durable when such a record is committed, and
 * they are never redone: they would write over bytes that were appended since and are only referenced.
 *
 * Format: doc/disk-format.md section "Single files"; positions in disk/blocks.h. */
#ifndef CAIRN_DISK_SINGLE_H
#define CAIRN_DISK_SINGLE_H

#include "disk/single_change.h"
#include "disk/single_copy.h"
#include "disk/single_dirty.h"
#include "disk/single_entry.h"
#include "disk/single_name.h"
#include "disk/single_reader.h"
#include "disk/single_redo.h"
#include "disk/single_writer.h"

#endif
