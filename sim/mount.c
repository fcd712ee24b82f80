/* Mounts, their manners and faults, and what a god may ask and do. */
#include <string.h>

#include "sim/parts.h"

void sim_disk_options_draw(struct sim_disk_options *options, struct prng *prng)
{
    static const uint32_t shorts[] = {0, 0, 5000, 200000};
    static const uint32_t writebacks[] = {0, 10000, 300000};
    static const uint32_t speeds[] = {1, 1, 3, 30}; /* NVMe .. a busy spinning disk */
    uint32_t speed = speeds[prng_below(prng, ARRAY_LEN(speeds))];
    *options = (struct sim_disk_options){
        .capacity = UINT64_C(1) << 30,
        .direct_alignment = prng_chance(prng, 500000) ? 512 : 4096,
        .short_per_million = shorts[prng_below(prng, ARRAY_LEN(shorts))],
        .writeback_per_million = writebacks[prng_below(prng, ARRAY_LEN(writebacks))],
        .read_ns = 60000 * speed,
        .write_ns = 4000,
        .sync_ns = 300000 * speed,
        .meta_ns = 15000,
        .is_journaled = prng_chance(prng, 500000),
        .sync_makes_name_durable = prng_chance(prng, 500000),
        .garbles = prng_chance(prng, 500000),
    };
}

static uint32_t rate_draw(struct prng *prng)
{
    static const uint32_t rates[] = {0, 0, 0, 0, 0, 1000, 10000, 50000};
    return rates[prng_below(prng, ARRAY_LEN(rates))];
}

void sim_disk_faults_draw(struct sim_disk_faults *faults, struct prng *prng)
{
    *faults = (struct sim_disk_faults){
        .read_error_per_million = rate_draw(prng),
        .write_error_per_million = rate_draw(prng),
        .sync_error_per_million = rate_draw(prng),
        .lost_write_per_million = rate_draw(prng),
        .misdirected_write_per_million = rate_draw(prng),
        .latency_factor = prng_chance(prng, 100000) ? 100 : 1,
    };
}

static struct sim_disk *disk_new(struct sim_node *node, const struct sim_disk_options *options)
{
    struct sim_disk *disk = SIM_NEW(struct sim_disk);
    prng_init(&disk->prng, prng_next(&node->prng));
    if (options)
        disk->options = *options;
    else
        sim_disk_options_draw(&disk->options, &disk->prng);
    sim_tree_init(&disk->tree, &node->world->pages, disk->options.is_journaled);
    return disk;
}

static void disk_free(struct sim_disk *disk)
{
    sim_tree_clear(&disk->tree);
    sim_free(disk);
}

void sim_mount_new(struct sim_node *node, const char *path, const struct sim_disk_options *options)
{
    CHECK(path[0] == '/' && strlen(path) < SIM_PATH_MAX);
    struct sim_mount *mount = SIM_NEW(struct sim_mount);
    mount->node = node;
    mount->path = sim_text_copy(path);
    mount->disk = disk_new(node, options);
    list_push_back(&node->mounts, &mount->link);
}

void sim_mount_free(struct sim_mount *mount)
{
    disk_free(mount->disk);
    sim_free(mount->path);
    sim_free(mount);
}

struct sim_mount *sim_mount_find(struct sim_node *node, const char *path, const char **ret_rest)
{
    struct sim_mount *best = NULL;
    size_t best_size = 0;
    LIST_EACH (at, &node->mounts) {
        struct sim_mount *mount = CONTAINER_OF(at, struct sim_mount, link);
        size_t size = strlen(mount->path);
        bool is_under =
            strncmp(path, mount->path, size) == 0 && (path[size] == '/' || path[size] == '\0');
        if (is_under && size > best_size) {
            best = mount;
            best_size = size;
        }
    }
    if (best)
        *ret_rest = path + best_size;
    return best;
}

static struct sim_mount *mount_of(struct sim_node *node, const char *path)
{
    const char *rest;
    struct sim_mount *mount = sim_mount_find(node, path, &rest);
    CHECK(mount != NULL);
    return mount;
}

struct sim_disk_options *sim_mount_options(struct sim_node *node, const char *path)
{
    return &mount_of(node, path)->disk->options;
}

struct sim_disk_faults *sim_mount_faults(struct sim_node *node, const char *path)
{
    return &mount_of(node, path)->disk->faults;
}

void sim_mount_replace(struct sim_node *node, const char *path)
{
    struct sim_mount *mount = mount_of(node, path);
    CHECK(!node->is_up);
    struct sim_disk *fresh = disk_new(node, &mount->disk->options);
    disk_free(mount->disk);
    mount->disk = fresh;
}

void sim_mount_swap(
    struct sim_node *node, const char *path, struct sim_node *to_node, const char *to_path)
{
    CHECK(!node->is_up && !to_node->is_up && node->world == to_node->world);
    struct sim_mount *a = mount_of(node, path), *b = mount_of(to_node, to_path);
    struct sim_disk *disk = a->disk;
    a->disk = b->disk;
    b->disk = disk;
}

static struct sim_inode *file_find(
    struct sim_node *node, const char *path, struct sim_mount **ret_mount)
{
    const char *rest;
    struct sim_place place;
    *ret_mount = sim_mount_find(node, path, &rest);
    if (!*ret_mount || sim_tree_walk((*ret_mount)->disk->tree.root, rest, &place) < 0)
        return NULL;
    return place.inode && !place.inode->is_directory ? place.inode : NULL;
}

static struct sim_content *content_of(struct sim_node *node, const char *path)
{
    struct sim_mount *mount;
    struct sim_inode *inode = file_find(node, path, &mount);
    CHECK(inode != NULL);
    return &inode->content;
}

void sim_file_make_bad(struct sim_node *node, const char *path, uint64_t offset, uint64_t size)
{
    struct sim_content *content = content_of(node, path);
    CHECK(offset + size <= content->size);
    sim_content_make_bad(content, offset, size);
}

void sim_file_corrupt(
    struct sim_node *node, const char *path, uint64_t offset, const void *data, uint64_t size)
{
    struct sim_content *content = content_of(node, path);
    CHECK(offset + size <= content->size);
    sim_content_corrupt(content, offset, data, size);
}

void sim_file_flip_bit(struct sim_node *node, const char *path, uint64_t offset, unsigned bit)
{
    uint8_t byte;
    sim_content_read_durable(content_of(node, path), offset, &byte, 1);
    byte ^= (uint8_t)BIT(bit % 8);
    sim_file_corrupt(node, path, offset, &byte, 1);
}

bool sim_file_range_is_durable(
    struct sim_node *node, const char *path, uint64_t offset, uint64_t size)
{
    struct sim_mount *mount;
    const struct sim_inode *inode = file_find(node, path, &mount);
    return inode && sim_inode_is_named_durably(&mount->disk->tree, inode)
           && sim_content_range_is_durable(&inode->content, offset, size);
}

int64_t sim_file_size(struct sim_node *node, const char *path)
{
    struct sim_mount *mount;
    const struct sim_inode *inode = file_find(node, path, &mount);
    return inode ? (int64_t)inode->content.size : -ENOENT;
}

int64_t sim_file_read(
    struct sim_node *node, const char *path, uint64_t offset, void *ret_data, uint64_t size)
{
    struct sim_mount *mount;
    const struct sim_inode *inode = file_find(node, path, &mount);
    if (!inode)
        return -ENOENT;
    uint64_t left = offset < inode->content.size ? inode->content.size - offset : 0;
    size = size < left ? size : left;
    sim_content_read(&inode->content, offset, ret_data, size);
    return (int64_t)size;
}

void sim_node_each_file(struct sim_node *node,
    void (*each)(void *context, const char *path, uint64_t size), void *context)
{
    char text[2 * SIM_PATH_MAX];
    LIST_EACH (at, &node->mounts) {
        struct sim_mount *mount = CONTAINER_OF(at, struct sim_mount, link);
        LIST_EACH_SAFE (other, &mount->disk->tree.inodes) {
            struct sim_inode *inode = CONTAINER_OF(other, struct sim_inode, link);
            if (!inode->is_directory && inode->entry)
                each(context, sim_mount_inode_path(mount, inode, text), inode->content.size);
        }
    }
}
