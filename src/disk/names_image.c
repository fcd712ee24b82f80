#include "disk/names_image.h"

#include "base/crc.h"

enum { ENTRIES_AT = 64, ENTRY_SIZE = 64 };

/* One copy; all numbers little endian. Then the entries (an id as text, then zeros), then zeros. */
struct copy_head {
    uint8_t magic[8];
    uint32_t format;
    uint32_t crc; /* CRC-32 of the copy with this field 0 */
    uint64_t generation;
    uint8_t storage_uuid[UUID_SIZE];
    uint32_t machine;
    uint32_t count;
    uint8_t reserved[16];
};
_Static_assert(sizeof(struct copy_head) == ENTRIES_AT, "cairn.names");
_Static_assert(offsetof(struct copy_head, crc) == 12, "cairn.names");
_Static_assert(offsetof(struct copy_head, storage_uuid) == 24, "cairn.names");
_Static_assert(offsetof(struct copy_head, count) == 44, "cairn.names");
_Static_assert(ENTRIES_AT + NAMES_MAPS_MAX * ENTRY_SIZE == MEMBERS_COPY_SIZE, "cairn.names");
_Static_assert((int)NAMES_ID_MAX < (int)ENTRY_SIZE, "cairn.names");

static const uint8_t copy_magic[8] = {'C', 'A', 'I', 'R', 'N', 'N', 'A', 'M'};

static uint32_t copy_crc(const uint8_t *bytes)
{
    static const uint8_t zero[4];
    size_t at = offsetof(struct copy_head, crc), after = at + sizeof zero;
    uint32_t crc = crc32_update(0, bytes, at);
    crc = crc32_update(crc, zero, sizeof zero);
    return crc32_update(crc, bytes + after, MEMBERS_COPY_SIZE - after);
}

void names_image_encode(const struct names_image *image, uint8_t ret[MEMBERS_COPY_SIZE])
{
    CHECK(image->generation > 0 && image->count <= NAMES_MAPS_MAX);
    struct copy_head head = {.format = NAMES_FILE_FORMAT,
        .generation = image->generation,
        .machine = image->machine,
        .count = image->count};
    memcpy(head.magic, copy_magic, sizeof copy_magic);
    memcpy(head.storage_uuid, image->storage_uuid, UUID_SIZE);
    memset(ret, 0, MEMBERS_COPY_SIZE);
    memcpy(ret, &head, sizeof head);
    for (uint32_t i = 0; i < image->count; i++)
        memcpy(ret + ENTRIES_AT + i * (size_t)ENTRY_SIZE, image->maps[i], sizeof image->maps[i]);
    put_u32(ret + offsetof(struct copy_head, crc), copy_crc(ret));
}

err_t names_image_decode(
    const uint8_t bytes[MEMBERS_COPY_SIZE], unsigned copy, struct names_image *ret)
{
    struct copy_head head;
    memcpy(&head, bytes, sizeof head);
    if (memcmp(head.magic, copy_magic, sizeof copy_magic) != 0 || head.crc != copy_crc(bytes))
        return ERR(CORRUPT, 0);
    if (head.format != NAMES_FILE_FORMAT)
        return ERR(FORMAT, 0);
    if (head.generation == 0 || head.generation % MEMBERS_COPIES != copy
        || head.count > NAMES_MAPS_MAX)
        return ERR(CORRUPT, 0);
    *ret = (struct names_image){
        .generation = head.generation, .machine = head.machine, .count = head.count};
    memcpy(ret->storage_uuid, head.storage_uuid, UUID_SIZE);
    for (uint32_t i = 0; i < head.count; i++)
        memcpy(ret->maps[i], bytes + ENTRIES_AT + i * (size_t)ENTRY_SIZE, NAMES_ID_MAX);
    return ERR_OK;
}
