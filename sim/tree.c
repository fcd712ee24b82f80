#include "sim/tree.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { CHANGES_MAX = 4096 };

static struct sim_inode *inode_new(struct sim_tree *tree, bool is_directory)
{
    struct sim_inode *inode = SIM_NEW(struct sim_inode);
    inode->number = ++tree->inode_last;
    inode->is_directory = is_directory;
    sim_content_init(&inode->content, tree->buffers);
    list_init(&inode->entries);
    if (is_directory)
        inode->buckets = sim_alloc(SIM_NAME_BUCKETS * sizeof(struct sim_entry *));
    list_push_back(&tree->inodes, &inode->link);
    return inode;
}

static void inode_free(struct sim_inode *inode)
{
    list_remove(&inode->link);
    sim_content_clear(&inode->content);
    for (struct list *node; (node = list_pop_front(&inode->entries));)
        sim_free(CONTAINER_OF(node, struct sim_entry, link));
    sim_free(inode->buckets);
    sim_free(inode);
}

static bool inode_is_wanted(const struct sim_inode *inode)
{
    return inode->links > 0 || inode->durables > 0 || inode->changes > 0 || inode->opens > 0
           || !list_is_empty(&inode->entries);
}

static void inode_settle(struct sim_tree *tree, struct sim_inode *inode)
{
    if (inode != tree->root && !inode_is_wanted(inode))
        inode_free(inode);
}

static unsigned name_bucket(const char *name)
{
    uint32_t hash = 2166136261u;
    for (; *name; name++)
        hash = (hash ^ (uint8_t)*name) * 16777619u;
    return hash % SIM_NAME_BUCKETS;
}

static struct sim_entry *entry_find(const struct sim_inode *directory, const char *name)
{
    struct sim_entry *entry = directory->buckets[name_bucket(name)];
    while (entry && strcmp(entry->name, name) != 0)
        entry = entry->chain;
    return entry;
}

static struct sim_entry *entry_make(struct sim_inode *directory, const char *name)
{
    struct sim_entry *entry = entry_find(directory, name);
    if (entry)
        return entry;
    entry = SIM_NEW(struct sim_entry);
    (void)snprintf(entry->name, sizeof(entry->name), "%s", name);
    entry->directory = directory;
    struct sim_entry **bucket = &directory->buckets[name_bucket(name)];
    entry->chain = *bucket;
    *bucket = entry;
    list_push_back(&directory->entries, &entry->link);
    return entry;
}

/* An entry that names nothing in either image is gone. */
static void entry_settle(struct sim_tree *tree, struct sim_entry *entry)
{
    if (entry->now || entry->durable || entry->changes > 0)
        return;
    struct sim_inode *directory = entry->directory;
    struct sim_entry **at = &directory->buckets[name_bucket(entry->name)];
    while (*at != entry)
        at = &(*at)->chain;
    *at = entry->chain;
    list_remove(&entry->link);
    sim_free(entry);
    inode_settle(tree, directory);
}

static void entry_set_now(struct sim_tree *tree, struct sim_entry *entry, struct sim_inode *inode)
{
    struct sim_inode *old = entry->now;
    if (old == inode)
        return;
    entry->now = inode;
    if (inode) {
        entry->directory->live++;
        inode->links++;
        inode->entry = entry;
    }
    if (!old)
        return;
    entry->directory->live--;
    old->links--;
    if (old->entry == entry)
        old->entry = NULL;
    if (old->links == 0 && old->opens == 0)
        tree->pages_used -= old->content.pages_allocated;
    inode_settle(tree, old);
}

static void entry_set_durable(
    struct sim_tree *tree, struct sim_entry *entry, struct sim_inode *inode)
{
    struct sim_inode *old = entry->durable;
    if (old == inode)
        return;
    entry->durable = inode;
    if (inode)
        inode->durables++;
    if (!old)
        return;
    old->durables--;
    inode_settle(tree, old);
}

static void change_end(struct sim_tree *tree, struct sim_change *change, bool is_kept);

static void change_begin(
    struct sim_tree *tree, struct sim_inode *inode, struct sim_entry *from, struct sim_entry *to)
{
    if (tree->change_count == CHANGES_MAX) /* the kernel has written the oldest by itself */
        change_end(tree, CONTAINER_OF(tree->changes.next, struct sim_change, link), true);
    tree->change_count++;
    struct sim_change *change = SIM_NEW(struct sim_change);
    change->sequence = ++tree->sequence;
    change->directory = to ? to->directory : from->directory;
    change->inode = inode;
    change->from = from;
    change->to = to;
    inode->changes++;
    if (from)
        from->changes++;
    if (to)
        to->changes++;
    list_push_back(&tree->changes, &change->link);
}

static void change_end(struct sim_tree *tree, struct sim_change *change, bool is_kept)
{
    struct sim_entry *from = change->from, *to = change->to;
    struct sim_inode *inode = change->inode;
    if (is_kept && from && from->durable == inode)
        entry_set_durable(tree, from, NULL);
    if (is_kept && to && change->sequence > to->durable_sequence) {
        entry_set_durable(tree, to, inode);
        to->durable_sequence = change->sequence; /* an older change never undoes a newer one */
    }
    list_remove(&change->link);
    sim_free(change);
    tree->change_count--;
    inode->changes--;
    inode_settle(tree, inode);
    if (from) {
        from->changes--;
        entry_settle(tree, from);
    }
    if (to) {
        to->changes--;
        entry_settle(tree, to);
    }
}

void sim_tree_sync(struct sim_tree *tree, struct sim_inode *directory, uint64_t sequence)
{
    LIST_EACH_SAFE (node, &tree->changes) {
        struct sim_change *change = CONTAINER_OF(node, struct sim_change, link);
        if (change->sequence > sequence)
            break;
        if (tree->is_journaled || change->directory == directory)
            change_end(tree, change, true);
    }
}

void sim_tree_sync_fail(
    struct sim_tree *tree, struct sim_inode *directory, uint64_t sequence, struct prng *prng)
{
    LIST_EACH_SAFE (node, &tree->changes) {
        struct sim_change *change = CONTAINER_OF(node, struct sim_change, link);
        if (change->sequence > sequence)
            break;
        if (change->directory == directory)
            change_end(tree, change, prng_chance(prng, 500000));
    }
}

void sim_tree_sync_names(struct sim_tree *tree, struct sim_inode *inode, uint64_t sequence)
{
    uint64_t last = 0;
    LIST_EACH (node, &tree->changes) {
        struct sim_change *change = CONTAINER_OF(node, struct sim_change, link);
        if (change->inode == inode && change->sequence <= sequence)
            last = change->sequence;
    }
    LIST_EACH_SAFE (node, &tree->changes) {
        struct sim_change *change = CONTAINER_OF(node, struct sim_change, link);
        if (change->sequence <= last && (tree->is_journaled || change->inode == inode))
            change_end(tree, change, true);
    }
}

void sim_tree_init(struct sim_tree *tree, struct sim_blocks *buffers, bool is_journaled)
{
    *tree = (struct sim_tree){.buffers = buffers, .is_journaled = is_journaled};
    list_init(&tree->inodes);
    list_init(&tree->changes);
    tree->root = inode_new(tree, true);
}

void sim_tree_clear(struct sim_tree *tree)
{
    for (struct list *node; (node = list_pop_front(&tree->changes));)
        sim_free(CONTAINER_OF(node, struct sim_change, link));
    LIST_EACH_SAFE (node, &tree->inodes)
        inode_free(CONTAINER_OF(node, struct sim_inode, link));
}

/* Take the next name off `path`: 1 if there is one, 0 at the end, or -errno. */
static int path_next(const char **path, char name[SIM_NAME_MAX + 1])
{
    for (;;) {
        *path += strspn(*path, "/");
        size_t size = strcspn(*path, "/");
        if (size == 0)
            return 0;
        if (size > SIM_NAME_MAX)
            return -ENAMETOOLONG;
        memcpy(name, *path, size);
        name[size] = '\0';
        *path += size;
        if (strcmp(name, "..") == 0)
            return -EXDEV;
        if (strcmp(name, ".") != 0)
            return 1;
    }
}

int sim_tree_walk(struct sim_inode *from, const char *path, struct sim_place *ret)
{
    struct sim_place place = {.inode = from};
    char name[SIM_NAME_MAX + 1];
    for (int more; (more = path_next(&path, name)) != 0;) {
        if (more < 0)
            return more;
        if (!place.inode)
            return -ENOENT;
        if (!place.inode->is_directory)
            return -ENOTDIR;
        place.directory = place.inode;
        memcpy(place.name, name, sizeof(name));
        struct sim_entry *entry = entry_find(place.directory, name);
        place.inode = entry ? entry->now : NULL;
    }
    *ret = place;
    return 0;
}

struct sim_inode *sim_tree_create(
    struct sim_tree *tree, const struct sim_place *place, bool is_directory)
{
    CHECK(place->directory && !place->inode);
    struct sim_inode *inode = inode_new(tree, is_directory);
    struct sim_entry *entry = entry_make(place->directory, place->name);
    change_begin(tree, inode, NULL, entry);
    entry_set_now(tree, entry, inode);
    return inode;
}

void sim_tree_unlink(struct sim_tree *tree, const struct sim_place *place)
{
    struct sim_entry *entry = entry_find(place->directory, place->name);
    CHECK(entry && entry->now == place->inode);
    change_begin(tree, place->inode, entry, NULL);
    entry_set_now(tree, entry, NULL);
}

void sim_tree_rename(
    struct sim_tree *tree, const struct sim_place *from, const struct sim_place *to)
{
    CHECK(from->inode && from->inode != to->inode);
    struct sim_entry *old = entry_find(from->directory, from->name);
    struct sim_entry *new = entry_make(to->directory, to->name);
    change_begin(tree, from->inode, old, new);
    entry_set_now(tree, new, from->inode);
    entry_set_now(tree, old, NULL);
}

void sim_tree_open(struct sim_inode *inode)
{
    inode->opens++;
}

void sim_tree_close(struct sim_tree *tree, struct sim_inode *inode)
{
    CHECK(inode->opens > 0);
    inode->opens--;
    if (inode->links == 0 && inode->opens == 0)
        tree->pages_used -= inode->content.pages_allocated;
    inode_settle(tree, inode);
}

bool sim_inode_is_named_durably(const struct sim_tree *tree, const struct sim_inode *inode)
{
    for (; inode != tree->root; inode = inode->entry->directory)
        if (!inode->entry || inode->entry->durable != inode || inode->changes > 0)
            return false;
    return true;
}

const char *sim_inode_path(
    const struct sim_tree *tree, const struct sim_inode *inode, char text[SIM_PATH_MAX])
{
    size_t at = SIM_PATH_MAX - 1;
    text[at] = '\0';
    for (; inode != tree->root; inode = inode->entry->directory) {
        size_t size = inode->entry ? strlen(inode->entry->name) : 0;
        if (size == 0 || at < size + 1)
            return "(unlinked)";
        at -= size;
        memcpy(text + at, inode->entry->name, size);
        text[--at] = '/';
    }
    return text[at] == '/' ? text + at + 1 : text + at;
}

/* Which pending changes the disk has: a journal keeps a beginning of them; without one each is on
 * its own, but what happened to one inode keeps its order. */
static void changes_crash(struct sim_tree *tree, const struct sim_loss *loss, struct prng *prng)
{
    bool has_lost = false;
    LIST_EACH (node, &tree->inodes)
        CONTAINER_OF(node, struct sim_inode, link)->is_marked = false;
    while (!list_is_empty(&tree->changes)) {
        struct sim_change *change = CONTAINER_OF(tree->changes.next, struct sim_change, link);
        bool may_keep = tree->is_journaled ? !has_lost : !change->inode->is_marked;
        bool is_kept = may_keep && prng_chance(prng, loss->keep_per_million);
        has_lost |= !is_kept;
        change->inode->is_marked |= !is_kept;
        change_end(tree, change, is_kept);
    }
}

static void mark_reachable(struct sim_inode *inode)
{
    inode->is_marked = true;
    LIST_EACH (node, &inode->entries) {
        struct sim_inode *child = CONTAINER_OF(node, struct sim_entry, link)->durable;
        if (child && !child->is_marked)
            mark_reachable(child);
    }
}

/* Names that nothing on disk leads to are forgotten with all they contain. */
static void forget_unreachable(struct sim_tree *tree)
{
    LIST_EACH (node, &tree->inodes)
        CONTAINER_OF(node, struct sim_inode, link)->is_marked = false;
    mark_reachable(tree->root);
    LIST_EACH_SAFE (node, &tree->inodes) {
        struct sim_inode *inode = CONTAINER_OF(node, struct sim_inode, link);
        if (!inode->is_marked)
            inode_free(inode);
    }
}

/* The names on disk are the names now: counted afresh. */
static void adopt_durable(struct sim_tree *tree)
{
    LIST_EACH (node, &tree->inodes) {
        struct sim_inode *inode = CONTAINER_OF(node, struct sim_inode, link);
        inode->links = inode->durables = inode->live = 0;
        inode->entry = NULL;
    }
    LIST_EACH (node, &tree->inodes) {
        struct sim_inode *directory = CONTAINER_OF(node, struct sim_inode, link);
        LIST_EACH_SAFE (at, &directory->entries) {
            struct sim_entry *entry = CONTAINER_OF(at, struct sim_entry, link);
            entry->now = entry->durable;
            if (!entry->now) {
                entry_settle(tree, entry);
                continue;
            }
            entry->now->links++;
            entry->now->durables++;
            entry->now->entry = entry;
            directory->live++;
        }
    }
}

static uint64_t tree_pages(const struct sim_tree *tree)
{
    uint64_t pages = 0;
    LIST_EACH (node, &tree->inodes) {
        const struct sim_inode *inode = CONTAINER_OF(node, struct sim_inode, link);
        pages += inode->content.pages_allocated;
    }
    return pages;
}

void sim_tree_crash(struct sim_tree *tree, const struct sim_loss *loss, struct prng *prng)
{
    LIST_EACH (node, &tree->inodes)
        CHECK(CONTAINER_OF(node, struct sim_inode, link)->opens == 0);
    tree->root->opens++; /* nothing is freed by counts while the images differ */
    changes_crash(tree, loss, prng);
    forget_unreachable(tree);
    adopt_durable(tree);
    tree->root->opens--;
    LIST_EACH (node, &tree->inodes)
        sim_content_crash(&CONTAINER_OF(node, struct sim_inode, link)->content, loss, prng);
    tree->pages_used = tree_pages(tree);
}
