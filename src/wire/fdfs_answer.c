#include "wire/fdfs_answer.h"

enum { RW_BOTH = 6, ID_SIZE = 16, COUNTER_HEARTBEAT = 41 };

size_t fdfs_address_size(const char *const *addresses, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(addresses[i]) > FDFS_IPV4_TEXT)
            return FDFS_IPV6_TEXT;
    return FDFS_IPV4_TEXT;
}

void fdfs_write_padded(struct writer *w, struct span text, size_t size)
{
    if (text.size > size) {
        w->failed = true;
        return;
    }
    uint8_t *at = writer_take(w, size);
    if (!at)
        return;
    memset(at, 0, size);
    if (text.size > 0)
        memcpy(at, text.data, text.size);
}

void fdfs_write_number(struct writer *w, uint64_t number)
{
    uint8_t bytes[8];
    put_u64_be(bytes, number);
    write_bytes(w, bytes, sizeof bytes);
}

static void put_text(struct writer *w, const char *text, size_t size)
{
    fdfs_write_padded(w, span_of_text(text), size);
}

static void write_u32_be(struct writer *w, uint32_t number)
{
    uint8_t bytes[4];
    put_u32_be(bytes, number);
    write_bytes(w, bytes, sizeof bytes);
}

void fdfs_write_file(struct writer *w, const char *group, struct span name)
{
    put_text(w, group, FDFS_GROUP_SIZE);
    write_bytes(w, name.data, name.size);
}

void fdfs_write_file_info(struct writer *w, const struct fdfs_file_info *info, bool is_wide)
{
    fdfs_write_number(w, info->size);
    fdfs_write_number(w, info->time_s);
    fdfs_write_number(
        w, (uint64_t)(int64_t)(int32_t)info->crc); /* sign extended, as FastDFS does */
    size_t size = is_wide ? FDFS_IPV6_TEXT : fdfs_address_size(&info->address, 1);
    put_text(w, info->address, size + 1);
}

void fdfs_write_group(struct writer *w, const struct fdfs_group_info *info)
{
    put_text(w, info->name, FDFS_GROUP_SIZE + 1);
    const uint64_t numbers[] = {info->total_mb, info->free_mb, info->reserved_mb, 0, /* trunk */
        info->storage_count, info->storage_port, info->readable_count, info->writable_count,
        0, /* current write server */
        info->path_count, FDFS_SUBDIRECTORIES, 0};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        fdfs_write_number(w, numbers[i]);
}

void fdfs_write_storage(struct writer *w, const struct fdfs_storage_info *info, size_t address_size)
{
    write_u8(w, info->state);
    write_u8(w, RW_BOTH);
    put_text(w, info->id, ID_SIZE);
    put_text(w, info->address, address_size + 1);
    put_text(w, "", ID_SIZE); /* source: nobody's */
    put_text(w, info->version, FDFS_VERSION_SIZE);
    const uint64_t numbers[] = {info->joined_s, info->up_s, info->total_mb, info->free_mb,
        info->reserved_mb, 0, info->path_count, FDFS_SUBDIRECTORIES, 0, info->port};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        fdfs_write_number(w, numbers[i]);
    for (int i = 0; i < 3; i++)
        write_u32_be(w, 0); /* connections */
    for (int i = 0; i < FDFS_STORAGE_COUNTERS; i++)
        fdfs_write_number(w, i == COUNTER_HEARTBEAT ? info->heartbeat_s : 0);
    write_u8(w, 0); /* no trunk server */
}
