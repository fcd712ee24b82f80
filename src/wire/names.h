/* Maps of old names: which id of ours an imported file has. A map is a file of pages, a hash table; a name
 * is looked up with one read. Decision 24; bytes: doc/disk-format.md, section "Maps of names". Pure.
 *
 *   page 4096   | "CNMP" 4 | format 2 | count 2 | more 1 | 0 ...  64 | entry 84 | entry 84 | ...
 *   entry 84    | key 16 | rest 7 | length 1 | id 60 (without the group, then zeros) |
 *
 * An entry stands in the page that its key names; where that is full, in the next that is not (behind the
 * last comes the first), and `more` is set in those that it passed. */
#ifndef CAIRN_WIRE_NAMES_H
#define CAIRN_WIRE_NAMES_H

#include "wire/fdfs_id.h"

enum {
    NAMES_FORMAT = 1,
    NAMES_PAGE_SIZE = 4096,
    NAMES_HEAD_SIZE = 64,
    NAMES_KEY_SIZE = 16,
    NAMES_ID_MAX = 60,
    NAMES_ENTRY_SIZE = NAMES_KEY_SIZE + FDFS_REST_LENGTH + 1 + NAMES_ID_MAX,
    NAMES_PAGE_ENTRIES = (NAMES_PAGE_SIZE - NAMES_HEAD_SIZE) / NAMES_ENTRY_SIZE,
    NAMES_PAGES_MAX = (1 << 20) - 1, /* a map is smaller than 4 GiB: its size is in its id */
};

struct names_key {
    uint8_t bytes[NAMES_KEY_SIZE];
    uint8_t rest[FDFS_REST_LENGTH];
    bool has_rest; /* else it is not compared */
};

/** The key of this name; of a slave's name also that of its master, whose suffix it does not tell. */
void names_key_of(const struct fdfs_id *id, struct names_key *ret);
void names_key_of_master(const struct fdfs_id *slave, struct names_key *ret);

/** The page where a key begins, of `page_count`. */
uint32_t names_page_of(const struct names_key *key, uint32_t page_count);

void names_page_init(uint8_t page[NAMES_PAGE_SIZE]);
/** Add an entry: `id` is without its group. False: the page is full; `more` is set then. */
bool names_page_add(uint8_t page[NAMES_PAGE_SIZE], const struct names_key *key, struct span id);

/** Look for a key. *ret_id points into `page`: empty if it is not there; *ret_more: the next page may
 * have it. Errors: CORRUPT (no page of a map), FORMAT (of a later version). */
MUST err_t names_page_find(
    struct span page, const struct names_key *key, struct span *ret_id, bool *ret_more);

#endif
