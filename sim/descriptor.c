/* Descriptors of a node's process, and what they stand for. */
#include "sim/parts.h"

enum { FD_FIRST = 3 };

struct sim_description *sim_description_new(struct sim_node *node, enum sim_description_kind kind)
{
    struct sim_description *description = SIM_NEW(struct sim_description);
    description->kind = kind;
    description->node = node;
    description->references = 1;
    return description;
}

void sim_description_unref(struct sim_description *description)
{
    CHECK(description->references > 0);
    if (--description->references > 0)
        return;
    struct sim_inode *inode = description->inode;
    if (inode && inode->lock == description)
        inode->lock = NULL;
    if (inode)
        sim_tree_close(&description->mount->disk->tree, inode);
    if (description->socket)
        sim_net_close(description);
    sim_free(description);
}

static void table_grow(struct sim_node *node)
{
    unsigned size = node->description_size ? 2 * node->description_size : 64;
    node->descriptions = sim_grow(node->descriptions, size * sizeof(struct sim_description *));
    for (unsigned i = node->description_size; i < size; i++)
        node->descriptions[i] = NULL;
    node->description_size = size;
}

int sim_fd_open(struct sim_node *node, struct sim_description *description)
{
    if (node->fd_count >= node->fd_limit)
        return -EMFILE;
    unsigned fd = FD_FIRST;
    while (fd < node->description_size && node->descriptions[fd])
        fd++;
    if (fd >= node->description_size)
        table_grow(node);
    node->descriptions[fd] = description;
    node->fd_count++;
    return (int)fd;
}

struct sim_description *sim_fd_get(struct sim_node *node, int fd)
{
    return fd >= 0 && (unsigned)fd < node->description_size ? node->descriptions[fd] : NULL;
}

void sim_fd_close(struct sim_node *node, int fd)
{
    struct sim_description *description = sim_fd_get(node, fd);
    CHECK(description != NULL); /* closed twice, or never opened */
    node->descriptions[fd] = NULL;
    node->fd_count--;
    sim_description_unref(description);
}

void sim_fd_close_all(struct sim_node *node)
{
    for (unsigned fd = 0; fd < node->description_size; fd++)
        if (node->descriptions[fd])
            sim_fd_close(node, (int)fd);
}
