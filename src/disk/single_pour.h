/* Writes content into a single file, front to back, around its checksum pages: single_fill with the
 * operations that it asks for. */
#ifndef CAIRN_DISK_SINGLE_POUR_H
#define CAIRN_DISK_SINGLE_POUR_H

#include "disk/single_chain.h"
#include "disk/single_fill.h"

struct single_pour {
    struct single_fill fill;
    struct span left;  /* of the content that is being written */
    uint64_t zeros;    /* to be taken */
    struct span flush; /* entries being written */
    int fd;
    single_chain_next *then;
};

/* Each is a step of `chain`, behind chain_begin(); `then` runs when it went well. */
/** Write all of `content`; entries of full groups too. */
void pour_write(struct single_pour *pour, struct single_chain *chain, struct span content,
    single_chain_next *then);
/** Take zeros: their entries are written, they are not. */
void pour_zeros(
    struct single_pour *pour, struct single_chain *chain, uint64_t size, single_chain_next *then);
/** Write the entries that are left. */
void pour_finish(struct single_pour *pour, struct single_chain *chain, single_chain_next *then);

#endif
