/* Names of single files and the page in front of their content. Pure. */
#ifndef CAIRN_DISK_SINGLE_NAME_H
#define CAIRN_DISK_SINGLE_NAME_H

#include "disk/blocks.h"
#include "wire/record.h"

enum {
    SINGLE_PATH_MAX = 64,
    SINGLE_DIRECTORY_MAX = 16,
    SINGLE_DIRECTORIES = 256, /* beneath singles/ */
    SINGLE_META_MAX = SLOT_HEADER_SIZE + SLOT_ATTRIBUTES_MAX,
    SINGLE_SEED = 0, /* of the header's CRC: content can't stand where a header is */
};
#define SINGLE_NO_GROUP UINT32_MAX /* no checksum page is in the buffer */
_Static_assert(
    SINGLE_META_MAX <= (int)BLOCKS_PAGE_SIZE, "a header with its attributes fits its page");

/** "singles/1f/00000a-0123456789ab1f" */
void single_path(char path[SINGLE_PATH_MAX], const struct identity *identity);
/** "new/03/00000a-0123456789ab1f.2a-a" */
void single_new_path(char path[SINGLE_PATH_MAX], uint8_t stream, const struct identity *identity,
    struct version version);
/** "singles/1f", "new/03" */
void single_directory_path(char path[SINGLE_DIRECTORY_MAX], uint8_t directory);
void single_new_directory_path(char path[SINGLE_DIRECTORY_MAX], uint8_t stream);
/** Of a name in new/<stream>/, without the directory. The identity's suffix is not in it (empty).
 * False: not such a name. */
bool single_new_name_parse(const char *name, struct identity *ret, struct version *ret_version);

/** The same of a name in singles/<hh>/. */
bool single_final_name_parse(const char *name, struct identity *ret);

static inline uint8_t single_directory_of(const struct identity *identity)
{
    return (uint8_t)identity->clock;
}

/** A header with its attributes as bytes: returns the size, at most SINGLE_META_MAX. */
uint32_t single_meta_encode(const struct slot_header *header, struct span attributes, uint8_t *ret);

/** Decode what stands at the start of a file that is to be `identity`'s (NULL: any; its suffix is
 * compared only if it is given). Errors: CORRUPT (too short, damaged, another file's, no single's). */
MUST err_t single_meta_decode(
    struct span bytes, const struct identity *identity, struct slot_header *ret);

/** Is a content of this size one whose change in place marks the header (SLOT_CHANGING) before it
 * writes anything else? Those whose checksums are not all in the page behind the header. */
static inline bool single_is_marked(uint64_t content_size)
{
    return content_size > (uint64_t)BLOCKS_PER_GROUP * BLOCK_SIZE;
}

/** The place of a record's file that is a single one: home, or else target, with the header that the
 * record brings. False: neither is. */
bool single_record_meta(const struct record *record, struct span *ret_meta);

#endif
