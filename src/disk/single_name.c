#include "disk/single_name.h"

#include <stdio.h>

void single_path(char path[SINGLE_PATH_MAX], const struct identity *identity)
{
    (void)snprintf(path, SINGLE_PATH_MAX, "singles/%02x/%06x-%014llx",
        single_directory_of(identity), identity->origin, (unsigned long long)identity->clock);
}

void single_new_path(char path[SINGLE_PATH_MAX], uint8_t stream, const struct identity *identity,
    struct version version)
{
    (void)snprintf(path, SINGLE_PATH_MAX, "new/%02x/%06x-%014llx.%llx-%x", stream, identity->origin,
        (unsigned long long)identity->clock, (unsigned long long)version.counter, version.machine);
}

void single_directory_path(char path[SINGLE_DIRECTORY_MAX], uint8_t directory)
{
    (void)snprintf(path, SINGLE_DIRECTORY_MAX, "singles/%02x", directory);
}

void single_new_directory_path(char path[SINGLE_DIRECTORY_MAX], uint8_t stream)
{
    (void)snprintf(path, SINGLE_DIRECTORY_MAX, "new/%02x", stream);
}

/* Lenient by sscanf, then strict: the name must be what we would have written. */
bool single_new_name_parse(const char *name, struct identity *ret, struct version *ret_version)
{
    unsigned origin, machine;
    unsigned long long clock, counter;
    if (strlen(name) >= SINGLE_PATH_MAX
        || sscanf(name, "%6x-%14llx.%16llx-%8x", &origin, &clock, &counter, &machine) != 4)
        return false;
    struct identity identity = {.clock = clock, .origin = origin};
    struct version version = {counter, machine};
    char again[SINGLE_PATH_MAX];
    single_new_path(again, 0, &identity, version);
    if (strcmp(again + strlen("new/00/"), name) != 0)
        return false;
    *ret = identity;
    *ret_version = version;
    return true;
}

bool single_final_name_parse(const char *name, struct identity *ret)
{
    unsigned origin;
    unsigned long long clock;
    if (strlen(name) >= SINGLE_PATH_MAX || sscanf(name, "%6x-%14llx", &origin, &clock) != 2)
        return false;
    struct identity identity = {.clock = clock, .origin = origin};
    char again[SINGLE_PATH_MAX];
    single_path(again, &identity);
    if (strcmp(again + strlen("singles/00/"), name) != 0)
        return false;
    *ret = identity;
    return true;
}

uint32_t single_meta_encode(const struct slot_header *header, struct span attributes, uint8_t *ret)
{
    CHECK(header->slot_size == 0 && header->attributes_size == attributes.size);
    return slot_meta_encode(header, attributes.data, NULL, SINGLE_SEED, ret);
}

err_t single_meta_decode(
    struct span bytes, const struct identity *identity, struct slot_header *ret)
{
    uint32_t need;
    struct slot_header header;
    err_t err = slot_meta_decode(bytes, SINGLE_SEED, &header, &need);
    if (err_has(err, ERR_CODE_PARTIAL))
        return ERR(CORRUPT, 0);
    TRY(err);
    if (header.slot_size != 0 || header.size > BLOCKS_CONTENT_MAX)
        return ERR(CORRUPT, 0);
    bool is_other =
        identity
        && (header.identity.clock != identity->clock || header.identity.origin != identity->origin
            || (identity->suffix[0] && !identity_equals(&header.identity, identity)));
    if (is_other)
        return ERR(CORRUPT, 0);
    *ret = header;
    return ERR_OK;
}

bool single_record_meta(const struct record *record, struct span *ret_meta)
{
    if (record->home.kind == PLACE_SINGLE)
        *ret_meta = record->home_meta;
    else if (record->target.kind == PLACE_SINGLE)
        *ret_meta = record->target_meta;
    else
        return false;
    return true;
}
