/* The heap against sorting, with removals from the middle. */
#include "base/heap.h"
#include "base/prng.h"
#include "tests/lib/test.h"

enum { NODES = 500 };

TEST(nodes_come_out_in_order_of_key_and_equal_keys_in_order_of_insertion)
{
    struct prng prng;
    prng_init(&prng, 5);
    struct heap heap;
    heap_init(&heap);
    static struct heap_node nodes[NODES];
    memset(nodes, 0, sizeof nodes);
    for (int i = 0; i < NODES; i++)
        heap_insert(&heap, &nodes[i], prng_below(&prng, 50));
    uint64_t key = 0;
    const struct heap_node *last = NULL;
    for (struct heap_node *node; (node = heap_pop(&heap)) != NULL;) {
        EXPECT(node->key >= key);
        EXPECT(!last || node->key > key || node > last);
        EXPECT(!heap_is_linked(node));
        key = node->key;
        last = node;
    }
    EXPECT_EQ(heap.count, 0);
}

static uint64_t least_of(const struct heap_node nodes[NODES])
{
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < NODES; i++)
        if (heap_is_linked(&nodes[i]) && nodes[i].key < least)
            least = nodes[i].key;
    return least;
}

TEST(any_node_can_leave_at_any_time)
{
    struct prng prng;
    prng_init(&prng, 6);
    struct heap heap;
    heap_init(&heap);
    static struct heap_node nodes[NODES];
    memset(nodes, 0, sizeof nodes);
    for (int i = 0; i < 20000; i++) {
        struct heap_node *node = &nodes[prng_below(&prng, NODES)];
        if (heap_is_linked(node))
            heap_remove(&heap, node);
        else
            heap_insert(&heap, node, prng_below(&prng, 10000));
        if (prng_chance(&prng, 100000) && heap.count > 0)
            (void)heap_pop(&heap);
        struct heap_node *min = heap_min(&heap);
        EXPECT(min ? min->key == least_of(nodes) : heap.count == 0);
    }
    size_t left = heap.count;
    while (heap_pop(&heap))
        left--;
    EXPECT_EQ(left, 0);
}

static void insert_twice(void *context)
{
    struct heap heap;
    heap_init(&heap);
    heap_insert(&heap, context, 1);
    heap_insert(&heap, context, 2);
}

TEST(a_node_cannot_be_inserted_twice)
{
    struct heap_node node = {0};
    EXPECT(test_fails_check(insert_twice, &node));
}
