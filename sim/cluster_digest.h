/* Looks at the digests of all storages with the eyes of a god: equal means the same live files,
 * versions and bytes, also of files that no client knows of. */
#ifndef CAIRN_SIM_CLUSTER_DIGEST_H
#define CAIRN_SIM_CLUSTER_DIGEST_H

#include "sim/cluster.h"

/** Have all storages the same digest of every unit? Every storage is up. False: `text` names one that
 * differs. */
bool cluster_digests_agree(const struct cluster *cluster, char *text, size_t size);

#endif
