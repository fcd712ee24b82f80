/* An upload that is asked for again. Its client does not know what became of the first request, which may
 * have come to any loop: so every loop is asked, one after the other, before anything is stored.
 *
 *   home -> loop -> loop ... -> home      durable here: its id goes home
 *                    | waits              appended: until that upload has ended
 *                                         not yet appended: that upload will not be; the repetition is
 *
 * A loop waits for a commit at most, never for a client. */
#ifndef CAIRN_STORAGE_RETRY_H
#define CAIRN_STORAGE_RETRY_H

#include "io/io.h"
#include "storage/recent.h"

struct storage_loop;
struct store;

/** A question on its way; embedded in the request's operation. */
struct upload_ask {
    struct io_message message;
    struct list link; /* in store->asks, while it waits */
    struct storage_loop *home, *at;
    uint16_t visited;
    struct nonce nonce;
    bool is_known;
    struct recent_upload known;               /* if it is */
    void (*answered)(struct upload_ask *ask); /* at home, once */
    void *context;
};

/** Ask all loops for ask->nonce. Owns: `ask` until `answered`. */
void upload_ask_start(struct upload_ask *ask, struct storage_loop *home);
/** An upload of this loop has ended: who waits looks again. */
void upload_asks_go_on(struct store *store);

#endif
