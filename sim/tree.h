/* The name space of one simulated file system: inodes, directory entries, and which of the changes
 * to them the disk holds already.
 *
 * Every create, unlink, rename and mkdir is a *change*: visible at once, durable when its directory
 * was synced; a power loss keeps or drops each one that was not. */
#ifndef CAIRN_SIM_TREE_H
#define CAIRN_SIM_TREE_H

#include "sim/content.h"

enum { SIM_NAME_BUCKETS = 64, SIM_NAME_MAX = 255, SIM_PATH_MAX = 4096 };

struct sim_entry {
    struct list link;            /* in directory->entries */
    struct sim_entry *chain;     /* same bucket */
    struct sim_inode *directory; /* where the name stands */
    struct sim_inode *now;       /* what it names; NULL: nothing */
    struct sim_inode *durable;   /* what it would name after a power loss that keeps no change */
    unsigned changes;            /* pending changes that speak of it */
    uint64_t durable_sequence;   /* of the change that gave it its durable meaning */
    char name[SIM_NAME_MAX + 1];
};

struct sim_inode {
    struct list link; /* in tree->inodes */
    uint64_t number;
    bool is_directory, is_marked;
    unsigned links;    /* entries that name it now */
    unsigned durables; /* entries that name it on disk */
    unsigned changes;  /* pending changes that speak of it */
    unsigned opens;
    struct sim_entry *entry; /* one of the entries that name it now, for paths */
    const void *lock;        /* who holds the lock */
    struct sim_content content;
    struct list entries; /* directories; in order of birth */
    struct sim_entry **buckets;
    unsigned live; /* directories: entries that name something now */
};

struct sim_change {
    struct list link; /* in tree->changes, in order */
    uint64_t sequence;
    struct sim_inode *directory; /* its sync makes the change durable */
    struct sim_inode *inode;
    struct sim_entry *from; /* no longer names inode; NULL: a create */
    struct sim_entry *to;   /* names inode; NULL: an unlink */
};

struct sim_tree {
    struct sim_inode *root;
    struct sim_blocks *buffers;
    struct list inodes, changes;
    uint64_t sequence; /* of the last change */
    uint64_t inode_last;
    uint64_t pages_used; /* blocks of all files that are linked or open */
    size_t change_count;
    bool is_journaled; /* changes reach the disk in their order, whichever directory is synced */
};

void sim_tree_init(struct sim_tree *tree, struct sim_blocks *buffers, bool is_journaled);
void sim_tree_clear(struct sim_tree *tree);

/** Where a path leads. */
struct sim_place {
    struct sim_inode *directory; /* of the last name; NULL: the path is the root itself */
    struct sim_inode *inode;     /* NULL: the last name does not exist */
    char name[SIM_NAME_MAX + 1];
};

/** Walk `path` (no leading slash needed) from `from`. Returns 0, -ENOENT, -ENOTDIR, -ENAMETOOLONG,
 * or -EXDEV for "..", as openat2 with RESOLVE_BENEATH. */
int sim_tree_walk(struct sim_inode *from, const char *path, struct sim_place *ret);

/** Create at `place`, where nothing is. */
struct sim_inode *sim_tree_create(
    struct sim_tree *tree, const struct sim_place *place, bool is_directory);
/** Remove the name at `place`; the inode lives on while it is open. */
void sim_tree_unlink(struct sim_tree *tree, const struct sim_place *place);
/** Move what is at `from` to `to`, replacing what is there. */
void sim_tree_rename(
    struct sim_tree *tree, const struct sim_place *from, const struct sim_place *to);

/** Changes of `directory` up to `sequence` are durable. */
void sim_tree_sync(struct sim_tree *tree, struct sim_inode *directory, uint64_t sequence);
/** The sync failed: they will never be synced again; each is on disk by chance. */
void sim_tree_sync_fail(
    struct sim_tree *tree, struct sim_inode *directory, uint64_t sequence, struct prng *prng);
/** The changes that made the names of `inode` are durable (ext4 at fsync of a new file). */
void sim_tree_sync_names(struct sim_tree *tree, struct sim_inode *inode, uint64_t sequence);

void sim_tree_open(struct sim_inode *inode);
void sim_tree_close(struct sim_tree *tree, struct sim_inode *inode);

/** Whether a power loss would certainly leave the inode under its present name. */
bool sim_inode_is_named_durably(const struct sim_tree *tree, const struct sim_inode *inode);
/** Its path beneath the root ("a/b"; "" for the root, "(unlinked)"). Returns `text`. */
const char *sim_inode_path(
    const struct sim_tree *tree, const struct sim_inode *inode, char text[SIM_PATH_MAX]);

/** Power loss: each pending change is kept or dropped; nothing is open; contents follow `loss`. */
void sim_tree_crash(struct sim_tree *tree, const struct sim_loss *loss, struct prng *prng);
#endif
