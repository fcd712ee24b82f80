/* Intrusive doubly linked list. A node knows if it is linked. */
#ifndef CAIRN_BASE_LIST_H
#define CAIRN_BASE_LIST_H

#include "base/check.h"

struct list {
    struct list *next, *prev; /* an unlinked node points to NULL, an empty head to itself */
};

static inline void list_init(struct list *head)
{
    head->next = head->prev = head;
}

static inline bool list_is_linked(const struct list *node)
{
    return node->next != NULL;
}

static inline bool list_is_empty(const struct list *head)
{
    return head->next == head;
}

static inline void list_insert_between(struct list *node, struct list *before, struct list *after)
{
    CHECK(!list_is_linked(node));
    node->prev = before;
    node->next = after;
    before->next = node;
    after->prev = node;
}

static inline void list_push_back(struct list *head, struct list *node)
{
    list_insert_between(node, head->prev, head);
}

static inline void list_push_front(struct list *head, struct list *node)
{
    list_insert_between(node, head, head->next);
}

static inline void list_remove(struct list *node)
{
    CHECK(list_is_linked(node));
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->next = node->prev = NULL;
}

static inline struct list *list_pop_front(struct list *head)
{
    if (list_is_empty(head))
        return NULL;
    struct list *node = head->next;
    list_remove(node);
    return node;
}

#define LIST_EACH(node, head) \
    for (struct list *node = (head)->next; node != (head); node = node->next)
/* Safe against removal of `node` itself in the body. */
#define LIST_EACH_SAFE(node, head)                                                    \
    for (struct list *node = (head)->next, *node##_next = node->next; node != (head); \
         node = node##_next, node##_next = node->next)

#endif
