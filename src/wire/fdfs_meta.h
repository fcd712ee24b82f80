/* FastDFS metadata lists, and the tokens of its HTTP links. Pure.
 *
 *   list   name 0x02 value 0x01 name 0x02 value ...    sorted by name; names once */
#ifndef CAIRN_WIRE_FDFS_META_H
#define CAIRN_WIRE_FDFS_META_H

#include "base/bytes.h"
#include "base/err.h"

enum {
    FDFS_META_NAME_MAX = 64,
    FDFS_META_VALUE_MAX = 256,
    FDFS_META_ITEMS_MAX = 128,
    FDFS_TOKEN_SIZE = 32,
    FDFS_TOKEN_SECRET_MAX = 128,
};

/** Write `given` as a list in order; with `old` (a list from here; empty: none) what `given` does not
 * name stays. The last of equal names in `given` counts. Errors: USAGE (a record without a name or a
 * separator; a name or value that is too long), TOO_LARGE (items, or the writer's room). */
MUST err_t fdfs_meta_merge(struct span old, struct span given, struct writer *w);

/** The token of a link: lower-case hex MD5 of name, secret and the seconds in decimal. `name`:
 * without group, "M00/...". CHECKs that the secret is not longer than FDFS_TOKEN_SECRET_MAX. */
void fdfs_token(
    struct span name, struct span secret, uint64_t time_s, char ret[FDFS_TOKEN_SIZE + 1]);

/** Does `token` belong to name and time, and is it still good at `now_s`? In constant time. */
bool fdfs_token_is_valid(struct span token, struct span name, struct span secret, uint64_t time_s,
    uint64_t now_s, uint64_t ttl_s);

#endif
