#include "disk/mount_image.h"

#include "base/crc.h"
#include "disk/slotmap.h"

enum { GROUP_FIELD = 24, WITNESS_AT = 2048, WITNESS_SIZE = 24, FLAG_CLEAN = 1, FLAG_UNFILLED = 2 };

/* One copy; all numbers little endian. Zeros up to WITNESS_AT, then 256 witnesses. */
struct copy_head {
    uint8_t magic[8];
    uint32_t format;
    uint32_t crc; /* CRC-32 of the copy with this field 0 */
    uint64_t generation;
    uint8_t cluster_uuid[UUID_SIZE];
    uint8_t storage_uuid[UUID_SIZE];
    uint8_t mount_uuid[UUID_SIZE];
    uint32_t machine;
    uint16_t index;
    uint16_t stream_count;
    uint8_t group[GROUP_FIELD]; /* zero padded */
    uint32_t chunk_size;
    uint32_t log_segment_size;
    uint64_t single_min;
    uint64_t created_ns;
    uint64_t epoch;
    uint64_t incarnation;
    uint64_t expected_files;
    uint64_t expected_bytes;
    uint64_t written_ns;
    uint32_t flags;
    uint32_t reserved;
};
_Static_assert(sizeof(struct copy_head) == 176, "cairn.mount");
_Static_assert(offsetof(struct copy_head, crc) == 12, "cairn.mount");
_Static_assert(offsetof(struct copy_head, cluster_uuid) == 24, "cairn.mount");
_Static_assert(offsetof(struct copy_head, machine) == 72, "cairn.mount");
_Static_assert(offsetof(struct copy_head, group) == 80, "cairn.mount");
_Static_assert(offsetof(struct copy_head, chunk_size) == 104, "cairn.mount");
_Static_assert(offsetof(struct copy_head, single_min) == 112, "cairn.mount");
_Static_assert(offsetof(struct copy_head, epoch) == 128, "cairn.mount");
_Static_assert(offsetof(struct copy_head, expected_files) == 144, "cairn.mount");
_Static_assert(offsetof(struct copy_head, flags) == 168, "cairn.mount");
_Static_assert(WITNESS_AT + MOUNT_INDEX_COUNT * WITNESS_SIZE == MOUNT_COPY_SIZE, "cairn.mount");
_Static_assert(sizeof(struct mount_witness) == WITNESS_SIZE, "written as it is");

static const uint8_t copy_magic[8] = {'C', 'A', 'I', 'R', 'N', 'M', 'N', 'T'};

bool uuid_is_none(const uint8_t uuid[UUID_SIZE])
{
    static const uint8_t none[UUID_SIZE];
    return uuid_equals(uuid, none);
}

bool uuid_equals(const uint8_t a[UUID_SIZE], const uint8_t b[UUID_SIZE])
{
    return memcmp(a, b, UUID_SIZE) == 0;
}

static bool group_is_valid(const char *group)
{
    size_t size = 0;
    for (; size <= GROUP_NAME_MAX && group[size] != '\0'; size++) {
        char c = group[size];
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')))
            return false;
    }
    return size >= 1 && size <= GROUP_NAME_MAX;
}

bool mount_image_is_valid(const struct mount_image *image)
{
    const struct mount_identity *identity = &image->identity;
    const struct mount_shape *shape = &image->shape;
    return image->generation > 0 && identity->machine >= 1 && identity->machine <= MACHINE_MAX
           && !uuid_is_none(identity->storage_uuid) && !uuid_is_none(identity->mount_uuid)
           && group_is_valid(identity->group) && shape->stream_count >= 1
           && shape->stream_count <= MOUNT_STREAMS_MAX && chunk_size_is_valid(shape->chunk_size)
           && shape->log_segment_size >= MOUNT_LOG_SEGMENT_MIN
           && shape->log_segment_size % MOUNT_LOG_SEGMENT_MIN == 0;
}

static uint32_t copy_crc(const uint8_t *bytes)
{
    static const uint8_t zero[4];
    size_t at = offsetof(struct copy_head, crc), after = at + sizeof zero;
    uint32_t crc = crc32_update(0, bytes, at);
    crc = crc32_update(crc, zero, sizeof zero);
    return crc32_update(crc, bytes + after, MOUNT_COPY_SIZE - after);
}

void mount_image_encode(const struct mount_image *image, uint8_t ret[MOUNT_COPY_SIZE])
{
    CHECK(mount_image_is_valid(image));
    const struct mount_identity *identity = &image->identity;
    struct copy_head head = {
        .format = MOUNT_FORMAT,
        .generation = image->generation,
        .machine = identity->machine,
        .index = identity->index,
        .stream_count = image->shape.stream_count,
        .chunk_size = image->shape.chunk_size,
        .log_segment_size = image->shape.log_segment_size,
        .single_min = image->shape.single_min,
        .created_ns = image->shape.created_ns,
        .epoch = image->status.epoch,
        .incarnation = image->status.incarnation,
        .expected_files = image->status.expected_files,
        .expected_bytes = image->status.expected_bytes,
        .written_ns = image->status.written_ns,
        .flags = (image->status.is_clean ? FLAG_CLEAN : 0u)
                 | (image->status.is_unfilled ? FLAG_UNFILLED : 0u),
    };
    memcpy(head.magic, copy_magic, sizeof copy_magic);
    memcpy(head.cluster_uuid, identity->cluster_uuid, UUID_SIZE);
    memcpy(head.storage_uuid, identity->storage_uuid, UUID_SIZE);
    memcpy(head.mount_uuid, identity->mount_uuid, UUID_SIZE);
    memcpy(head.group, identity->group, strlen(identity->group));
    memset(ret, 0, MOUNT_COPY_SIZE);
    memcpy(ret, &head, sizeof head);
    memcpy(ret + WITNESS_AT, image->witness, sizeof image->witness);
    struct mount_witness self = {.generation = image->generation};
    memcpy(self.mount_uuid, identity->mount_uuid, UUID_SIZE);
    memcpy(ret + WITNESS_AT + identity->index * (size_t)WITNESS_SIZE, &self, sizeof self);
    put_u32(ret + offsetof(struct copy_head, crc), copy_crc(ret));
}

static void head_to_image(const struct copy_head *head, struct mount_image *ret)
{
    struct mount_identity *identity = &ret->identity;
    memcpy(identity->cluster_uuid, head->cluster_uuid, UUID_SIZE);
    memcpy(identity->storage_uuid, head->storage_uuid, UUID_SIZE);
    memcpy(identity->mount_uuid, head->mount_uuid, UUID_SIZE);
    memcpy(identity->group, head->group, sizeof identity->group);
    identity->machine = head->machine;
    identity->index = (uint8_t)head->index;
    ret->generation = head->generation;
    ret->shape = (struct mount_shape){
        .stream_count = head->stream_count,
        .chunk_size = head->chunk_size,
        .log_segment_size = head->log_segment_size,
        .single_min = head->single_min,
        .created_ns = head->created_ns,
    };
    ret->status = (struct mount_status){
        .epoch = head->epoch,
        .incarnation = head->incarnation,
        .expected_files = head->expected_files,
        .expected_bytes = head->expected_bytes,
        .written_ns = head->written_ns,
        .is_clean = (head->flags & FLAG_CLEAN) != 0,
        .is_unfilled = (head->flags & FLAG_UNFILLED) != 0,
    };
}

err_t mount_image_decode(
    const uint8_t bytes[MOUNT_COPY_SIZE], unsigned copy, struct mount_image *ret)
{
    struct copy_head head;
    memcpy(&head, bytes, sizeof head);
    if (memcmp(head.magic, copy_magic, sizeof copy_magic) != 0 || head.crc != copy_crc(bytes))
        return ERR(CORRUPT, 0);
    if (head.format != MOUNT_FORMAT)
        return ERR(FORMAT, 0);
    struct mount_image image;
    head_to_image(&head, &image);
    memcpy(image.witness, bytes + WITNESS_AT, sizeof image.witness);
    if (!mount_image_is_valid(&image) || head.index >= MOUNT_INDEX_COUNT
        || image.generation % MOUNT_COPIES != copy)
        return ERR(CORRUPT, 0);
    *ret = image;
    return ERR_OK;
}
