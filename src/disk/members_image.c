#include "disk/members_image.h"

#include "base/crc.h"

enum { ENTRIES_AT = 64, ENTRY_SIZE = 64, FLAG_DRAINING = 1, ENTRY_REMOVED = 1 };

/* One copy; all numbers little endian. Then the entries, then zeros. */
struct copy_head {
    uint8_t magic[8];
    uint32_t format;
    uint32_t crc; /* CRC-32 of the copy with this field 0 */
    uint64_t generation;
    uint8_t storage_uuid[UUID_SIZE];
    uint32_t machine;
    uint32_t count;
    uint32_t flags;
    uint8_t reserved[12];
};
_Static_assert(sizeof(struct copy_head) == ENTRIES_AT, "cairn.members");
_Static_assert(offsetof(struct copy_head, crc) == 12, "cairn.members");
_Static_assert(offsetof(struct copy_head, storage_uuid) == 24, "cairn.members");
_Static_assert(offsetof(struct copy_head, flags) == 48, "cairn.members");

struct copy_entry {
    uint32_t machine;
    uint8_t flags;
    uint8_t family; /* of the address: 4, 6; 0: none */
    uint16_t port;
    uint8_t address[16];
    uint8_t uuid[UUID_SIZE];
    uint8_t reserved[24];
};
_Static_assert(sizeof(struct copy_entry) == ENTRY_SIZE, "cairn.members");
_Static_assert(offsetof(struct copy_entry, address) == 8, "cairn.members");
_Static_assert(offsetof(struct copy_entry, uuid) == 24, "cairn.members");
_Static_assert(ENTRIES_AT + MEMBERS_ENTRIES_MAX * ENTRY_SIZE == MEMBERS_COPY_SIZE, "cairn.members");

static const uint8_t copy_magic[8] = {'C', 'A', 'I', 'R', 'N', 'M', 'E', 'M'};

static bool machine_is_valid(uint32_t machine)
{
    return machine >= 1 && machine <= MACHINE_MAX;
}

static bool entry_is_valid(const struct members_entry *entry)
{
    uint8_t family = entry->address.family;
    return machine_is_valid(entry->machine) && !uuid_is_none(entry->uuid)
           && (family == 0 || family == 4 || family == 6);
}

bool members_image_is_valid(const struct members_image *image)
{
    bool is_valid = image->generation > 0 && machine_is_valid(image->machine)
                    && !uuid_is_none(image->storage_uuid) && image->count <= MEMBERS_ENTRIES_MAX;
    for (uint32_t i = 0; is_valid && i < image->count; i++)
        is_valid = entry_is_valid(&image->entries[i]);
    return is_valid;
}

static uint32_t copy_crc(const uint8_t *bytes)
{
    static const uint8_t zero[4];
    size_t at = offsetof(struct copy_head, crc), after = at + sizeof zero;
    uint32_t crc = crc32_update(0, bytes, at);
    crc = crc32_update(crc, zero, sizeof zero);
    return crc32_update(crc, bytes + after, MEMBERS_COPY_SIZE - after);
}

static void encode_entry(const struct members_entry *entry, uint8_t *at)
{
    struct copy_entry copy = {.machine = entry->machine,
        .flags = entry->is_removed ? ENTRY_REMOVED : 0,
        .family = entry->address.family,
        .port = entry->address.port};
    memcpy(copy.address, entry->address.bytes, sizeof copy.address);
    memcpy(copy.uuid, entry->uuid, UUID_SIZE);
    memcpy(at, &copy, sizeof copy);
}

void members_image_encode(const struct members_image *image, uint8_t ret[MEMBERS_COPY_SIZE])
{
    CHECK(members_image_is_valid(image));
    struct copy_head head = {.format = MEMBERS_FORMAT,
        .generation = image->generation,
        .machine = image->machine,
        .count = image->count,
        .flags = image->is_draining ? FLAG_DRAINING : 0};
    memcpy(head.magic, copy_magic, sizeof copy_magic);
    memcpy(head.storage_uuid, image->storage_uuid, UUID_SIZE);
    memset(ret, 0, MEMBERS_COPY_SIZE);
    memcpy(ret, &head, sizeof head);
    for (uint32_t i = 0; i < image->count; i++)
        encode_entry(&image->entries[i], ret + ENTRIES_AT + i * (size_t)ENTRY_SIZE);
    put_u32(ret + offsetof(struct copy_head, crc), copy_crc(ret));
}

static void decode_entry(const uint8_t *at, struct members_entry *ret)
{
    struct copy_entry copy;
    memcpy(&copy, at, sizeof copy);
    *ret = (struct members_entry){.machine = copy.machine,
        .address = {.port = copy.port, .family = copy.family},
        .is_removed = (copy.flags & ENTRY_REMOVED) != 0};
    memcpy(ret->address.bytes, copy.address, sizeof copy.address);
    memcpy(ret->uuid, copy.uuid, UUID_SIZE);
}

err_t members_image_decode(
    const uint8_t bytes[MEMBERS_COPY_SIZE], unsigned copy, struct members_image *ret)
{
    struct copy_head head;
    memcpy(&head, bytes, sizeof head);
    if (memcmp(head.magic, copy_magic, sizeof copy_magic) != 0 || head.crc != copy_crc(bytes))
        return ERR(CORRUPT, 0);
    if (head.format != MEMBERS_FORMAT)
        return ERR(FORMAT, 0);
    struct members_image image = {.generation = head.generation,
        .machine = head.machine,
        .is_draining = (head.flags & FLAG_DRAINING) != 0,
        .count = head.count};
    memcpy(image.storage_uuid, head.storage_uuid, UUID_SIZE);
    for (uint32_t i = 0; i < image.count && i < MEMBERS_ENTRIES_MAX; i++)
        decode_entry(bytes + ENTRIES_AT + i * (size_t)ENTRY_SIZE, &image.entries[i]);
    if (!members_image_is_valid(&image) || image.generation % MEMBERS_COPIES != copy)
        return ERR(CORRUPT, 0);
    *ret = image;
    return ERR_OK;
}
