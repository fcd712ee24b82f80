/* FastDFS's lists: groups, storages, ids, parameters; from what heartbeats told. */
#include "base/text.h"
#include "base/units.h"
#include "tracker/fdfs.h"

enum {
    ID_TEXT_MAX = 16,
    PARAMETERS_MAX = 512,
    ID_LINE_MAX = 16 + 1 + GROUP_NAME_MAX + 1 + REGISTRY_ADDRESS_MAX + 8, /* of storage_ids.conf */
    STATUS_ID_SIZE = 16,
    STATUS_ADDRESS_SIZE = 46,
};

size_t fdfs_page_size(const struct registry_tables *tables)
{
    size_t groups = (size_t)tables->groups_max * FDFS_GROUP_RECORD;
    size_t storages = (size_t)tables->storages_max * FDFS_STORAGE_RECORD_IPV6;
    return (groups > storages ? groups : storages) + PARAMETERS_MAX;
}

static const struct registry_storage *storage_at(const struct tracker *tracker, uint32_t index)
{
    const struct registry_storage *storage = &tracker->tables.storages[index];
    return storage->machine != 0 && storage->fastdfs_port != 0 ? storage : NULL;
}

#define STORAGE_EACH(storage, tracker)                                                       \
    for (uint32_t each_ = 0; each_ < (tracker)->tables.storages_max; each_++)                \
        for (const struct registry_storage *storage = storage_at((tracker), each_); storage; \
             storage = NULL)

static void id_of(const struct registry_storage *storage, char ret[ID_TEXT_MAX])
{
    struct text text;
    text_init(&text, ret, ID_TEXT_MAX);
    text_add(&text, "%u", storage->machine);
}

static uint8_t state_of(const struct registry_storage *storage)
{
    if (storage->life != REGISTRY_ALIVE)
        return FDFS_STATE_OFFLINE;
    switch (storage->state) {
    case STATE_INITING:
        return FDFS_STATE_INIT;
    case STATE_ACCEPTING:
        return FDFS_STATE_ONLINE;
    case STATE_DSYNCING:
    case STATE_DSYNCED:
        return FDFS_STATE_RECOVERY;
    case STATE_CSYNCING:
        return FDFS_STATE_SYNCING;
    case STATE_RUNNING:
        return FDFS_STATE_ACTIVE;
    default:
        return FDFS_STATE_OFFLINE;
    }
}

/* ---- groups ---- */

static void write_group(const struct tracker *tracker, uint32_t index, struct writer *w)
{
    struct registry_summary sum;
    struct fdfs_group_info info = {.name = tracker->tables.groups[index].name};
    registry_summarize_group(&tracker->registry, index, &sum);
    info.total_mb = sum.total_bytes / MIB;
    info.free_mb = sum.free_bytes / MIB;
    STORAGE_EACH(storage, tracker)
    {
        if (storage->group != index)
            continue;
        info.storage_count++;
        info.storage_port = storage->fastdfs_port;
        info.readable_count += registry_is_running(storage);
        info.path_count = storage->mounts_total;
    }
    info.writable_count = info.readable_count;
    fdfs_write_group(w, &info);
}

static uint8_t list_groups(const struct tracker *tracker, struct writer *w)
{
    for (uint32_t i = 0; i < tracker->tables.groups_max; i++)
        if (tracker->tables.groups[i].name[0] != '\0')
            write_group(tracker, i, w);
    return FDFS_OK;
}

static bool find_group(const struct tracker *tracker, const struct fdfs_head *head, uint32_t *ret)
{
    return registry_find_group(&tracker->registry, head->group, ret);
}

static uint8_t list_group(
    const struct tracker *tracker, const struct fdfs_head *head, struct writer *w)
{
    uint32_t index;
    if (!find_group(tracker, head, &index))
        return FDFS_ENOENT;
    write_group(tracker, index, w);
    return FDFS_OK;
}

/* ---- storages ---- */

static bool is_called(const struct registry_storage *storage, struct span name)
{
    char id[ID_TEXT_MAX], host[REGISTRY_ADDRESS_MAX];
    id_of(storage, id);
    fdfs_host_of(storage->address, host);
    return name.size == 0 || span_equals_text(name, id) || span_equals_text(name, host);
}

static void write_storage(const struct tracker *tracker, const struct registry_storage *storage,
    size_t address_size, struct writer *w)
{
    char id[ID_TEXT_MAX], host[REGISTRY_ADDRESS_MAX];
    uint64_t age_ns = io_now(tracker->io) - storage->heard_ns;
    uint64_t wall_ns = io_wall(tracker->io);
    id_of(storage, id);
    fdfs_host_of(storage->address, host);
    fdfs_write_storage(w,
        &(struct fdfs_storage_info){.state = state_of(storage),
            .id = id,
            .address = host,
            .version = "6.16",
            .joined_s = storage->first_started_ns / NS_PER_S,
            .up_s = storage->started_ns / NS_PER_S,
            .total_mb = storage->total_bytes / MIB,
            .free_mb = storage->free_bytes / MIB,
            .path_count = storage->mounts_total,
            .port = storage->fastdfs_port,
            .heartbeat_s = (wall_ns > age_ns ? wall_ns - age_ns : 0) / NS_PER_S},
        address_size);
}

static uint8_t list_storages(
    const struct tracker *tracker, const struct fdfs_head *head, struct writer *w)
{
    uint32_t index;
    size_t address_size = tracker->config.fastdfs_wide ? FDFS_IPV6_TEXT : FDFS_IPV4_TEXT;
    bool is_found = head->text.size == 0;
    if (!find_group(tracker, head, &index))
        return FDFS_ENOENT;
    STORAGE_EACH(storage, tracker)
    {
        char host[REGISTRY_ADDRESS_MAX];
        fdfs_host_of(storage->address, host);
        if (storage->group == index && strlen(host) > FDFS_IPV4_TEXT)
            address_size = FDFS_IPV6_TEXT;
    }
    STORAGE_EACH(storage, tracker)
    {
        if (storage->group != index || !is_called(storage, head->text))
            continue;
        is_found = true;
        write_storage(tracker, storage, address_size, w);
    }
    return is_found ? FDFS_OK : FDFS_ENOENT;
}

static const struct registry_storage *find_storage(
    const struct tracker *tracker, const struct fdfs_head *head)
{
    uint32_t index;
    if (!find_group(tracker, head, &index))
        return NULL;
    STORAGE_EACH(storage, tracker)
    if (storage->group == index && is_called(storage, head->text))
        return storage;
    return NULL;
}

static uint8_t tell_status(
    const struct tracker *tracker, const struct fdfs_head *head, struct writer *w)
{
    const struct registry_storage *storage = find_storage(tracker, head);
    char id[ID_TEXT_MAX], host[REGISTRY_ADDRESS_MAX];
    uint8_t port[4];
    if (!storage)
        return FDFS_ENOENT;
    id_of(storage, id);
    fdfs_host_of(storage->address, host);
    put_u32_be(port, storage->fastdfs_port);
    write_u8(w, state_of(storage));
    write_bytes(w, port, sizeof port);
    fdfs_write_padded(w, span_of_text(id), STATUS_ID_SIZE);
    fdfs_write_padded(w, span_of_text(host), STATUS_ADDRESS_SIZE);
    return FDFS_OK;
}

/* ---- ids ---- */

static size_t service_of(const struct registry_storage *storage, char *ret, size_t size)
{
    char host[REGISTRY_ADDRESS_MAX];
    struct text text;
    fdfs_host_of(storage->address, host);
    text_init(&text, ret, size);
    text_add(&text, "%s:%u", host, storage->fastdfs_port);
    return strlen(ret);
}

static uint8_t tell_id(
    const struct tracker *tracker, const struct fdfs_head *head, struct writer *w)
{
    uint32_t index;
    char service[REGISTRY_ADDRESS_MAX + 8], id[ID_TEXT_MAX];
    if (!find_group(tracker, head, &index))
        return FDFS_ENOENT;
    STORAGE_EACH(storage, tracker)
    {
        (void)service_of(storage, service, sizeof service);
        if (storage->group != index || !span_equals_text(head->text, service))
            continue;
        id_of(storage, id);
        write_bytes(w, id, strlen(id));
        return FDFS_OK;
    }
    return FDFS_ENOENT;
}

/* Lines of storage_ids.conf from number `start` on. */
static uint8_t list_ids(const struct tracker *tracker, struct span request, struct writer *w)
{
    uint32_t total = 0, count = 0;
    if (request.size != 5)
        return FDFS_EINVAL;
    uint32_t start = get_u32_be(request.data);
    uint8_t *head = writer_take(w, 8);
    CHECK(head != NULL);
    STORAGE_EACH(storage, tracker)
    {
        char service[REGISTRY_ADDRESS_MAX + 8], line[ID_LINE_MAX];
        struct text text;
        if (total++ < start)
            continue;
        (void)service_of(storage, service, sizeof service);
        text_init(&text, line, sizeof line);
        text_add(&text, "%u %s %s\n", storage->machine, tracker->tables.groups[storage->group].name,
            service);
        write_bytes(w, line, strlen(line));
        count++;
    }
    put_u32_be(head, total);
    put_u32_be(head + 4, count);
    return FDFS_OK;
}

static uint8_t tell_parameters(struct writer *w)
{
    static const char text[] = "use_storage_id=1\nid_type_in_filename=id\nstore_path=0\n"
                               "reserved_storage_space=0\nuse_trunk_file=0\n"
                               "store_slave_file_use_link=0\n";
    write_bytes(w, text, sizeof text - 1);
    return FDFS_OK;
}

/* ---- deletes: who is gone is forgotten by itself; memberships are ended by cairn member ---- */

static uint8_t refuse_delete(const struct tracker *tracker, const struct fdfs_head *head)
{
    bool is_group = head->command == FDFS_DELETE_GROUP;
    uint32_t index;
    if (!find_group(tracker, head, &index) || (!is_group && !find_storage(tracker, head)))
        return FDFS_ENOENT;
    STORAGE_EACH(storage, tracker)
    if (storage->group == index && storage->life == REGISTRY_ALIVE
        && (is_group || is_called(storage, head->text)))
        return FDFS_EBUSY;
    return FDFS_EOPNOTSUPP;
}

uint8_t fdfs_list(struct tracker *tracker, const struct fdfs_head *head, struct writer *w)
{
    switch (head->command) {
    case FDFS_LIST_GROUPS:
        return list_groups(tracker, w);
    case FDFS_LIST_GROUP:
        return list_group(tracker, head, w);
    case FDFS_LIST_STORAGES:
        return list_storages(tracker, head, w);
    case FDFS_STORAGE_STATUS:
        return tell_status(tracker, head, w);
    case FDFS_STORAGE_ID:
        return tell_id(tracker, head, w);
    case FDFS_STORAGE_IDS:
        return list_ids(tracker, head->text, w);
    case FDFS_PARAMETERS:
        return tell_parameters(w);
    default:
        return refuse_delete(tracker, head);
    }
}
