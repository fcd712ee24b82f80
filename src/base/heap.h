/* Intrusive min-heap for timers: a pairing heap. Nodes with equal keys come out in the order in
 * which they went in, so that a run can be repeated exactly. A node knows if it is linked.
 *
 * Cost: insert and min O(1), remove O(log n) amortised, no allocation, no recursion.
 * Source: Fredman, Sedgewick, Sleator, Tarjan, "The pairing heap", 1986. */
#ifndef CAIRN_BASE_HEAP_H
#define CAIRN_BASE_HEAP_H

#include "base/check.h"

struct heap_node {
    uint64_t key; /* set by heap_insert */
    uint64_t order;
    struct heap_node *child; /* first child */
    struct heap_node *next;  /* next sibling */
    struct heap_node *back;  /* previous sibling, or the parent of a first child; root: itself */
};

struct heap {
    struct heap_node *root;
    uint64_t inserted;
    size_t count;
};

static inline void heap_init(struct heap *heap)
{
    *heap = (struct heap){0};
}

static inline bool heap_is_linked(const struct heap_node *node)
{
    return node->back != NULL;
}

/** The node with the least key, NULL if empty; it stays in. */
static inline struct heap_node *heap_min(const struct heap *heap)
{
    return heap->root;
}

static inline bool heap_comes_before(const struct heap_node *a, const struct heap_node *b)
{
    return a->key != b->key ? a->key < b->key : a->order < b->order;
}

/* Join two roots (each may be NULL); the greater becomes the first child of the lesser. */
static inline struct heap_node *heap_join(struct heap_node *a, struct heap_node *b)
{
    if (!a || !b)
        return a ? a : b;
    struct heap_node *top = heap_comes_before(a, b) ? a : b, *under = top == a ? b : a;
    under->next = top->child;
    if (under->next)
        under->next->back = under;
    under->back = top;
    top->child = under;
    top->next = NULL;
    top->back = top;
    return top;
}

/* Join a list of siblings into one heap: in pairs from left to right, then all from right to
 * left. `done` chains the joined pairs in reverse by their `next`. */
static inline struct heap_node *heap_join_siblings(struct heap_node *first)
{
    struct heap_node *done = NULL;
    while (first) {
        struct heap_node *a = first, *b = a->next, *rest = b ? b->next : NULL;
        struct heap_node *pair = heap_join(a, b);
        pair->next = done;
        done = pair;
        first = rest;
    }
    struct heap_node *root = NULL;
    while (done) {
        struct heap_node *pair = done;
        done = pair->next;
        pair->next = NULL;
        root = heap_join(root, pair);
    }
    if (root)
        root->back = root;
    return root;
}

static inline void heap_insert(struct heap *heap, struct heap_node *node, uint64_t key)
{
    CHECK(!heap_is_linked(node));
    *node = (struct heap_node){.key = key, .order = heap->inserted++, .back = node};
    heap->root = heap_join(heap->root, node);
    heap->count++;
}

static inline void heap_remove(struct heap *heap, struct heap_node *node)
{
    CHECK(heap_is_linked(node) && heap->count > 0);
    struct heap_node *children = heap_join_siblings(node->child);
    if (node == heap->root) {
        heap->root = children;
    } else {
        if (node->back->child == node)
            node->back->child = node->next;
        else
            node->back->next = node->next;
        if (node->next)
            node->next->back = node->back;
        heap->root = heap_join(heap->root, children);
    }
    *node = (struct heap_node){.key = node->key};
    heap->count--;
}

/** Remove and return the node with the least key; NULL if empty. */
static inline struct heap_node *heap_pop(struct heap *heap)
{
    struct heap_node *node = heap->root;
    if (node)
        heap_remove(heap, node);
    return node;
}

#endif
