/* cairn check in a running cluster: every storage compares itself with its mirrors, now. */
#ifndef CAIRN_BIN_CHECK_CLUSTER_H
#define CAIRN_BIN_CHECK_CLUSTER_H

#include "bin/session.h"

/** Ask all storages that the trackers know, wait, and say how it went. Returns the exit code: 0 equal and
 * whole; 7: something differs still, or is damaged; 5: somebody could not be asked. */
int check_cluster(const struct common *common, bool is_deep);

#endif
