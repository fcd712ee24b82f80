/* The intrusive list. */
#include "base/list.h"
#include "tests/lib/test.h"

static void push_again(void *context)
{
    static struct list head;
    list_init(&head);
    list_push_back(&head, context);
}
static void remove_node(void *context)
{
    list_remove(context);
}

TEST(nodes_come_out_in_the_order_of_pushing_and_know_if_they_are_linked)
{
    struct list head, a = {0}, b = {0}, c = {0};
    list_init(&head);
    EXPECT(list_is_empty(&head));
    list_push_back(&head, &a);
    list_push_back(&head, &b);
    list_push_front(&head, &c);
    EXPECT(list_is_linked(&a));
    list_remove(&a);
    EXPECT(!list_is_linked(&a));
    EXPECT(list_pop_front(&head) == &c);
    EXPECT(list_pop_front(&head) == &b);
    EXPECT(list_pop_front(&head) == NULL);
}

TEST(the_safe_walk_survives_the_removal_of_its_node)
{
    struct list head, nodes[5] = {{0}};
    list_init(&head);
    for (int i = 0; i < 5; i++)
        list_push_back(&head, &nodes[i]);
    int count = 0;
    LIST_EACH_SAFE (node, &head) {
        count++;
        list_remove(node);
    }
    EXPECT_EQ(count, 5);
    EXPECT(list_is_empty(&head));
}

TEST(pushing_twice_and_removing_twice_are_caught)
{
    struct list head, node = {0};
    list_init(&head);
    list_push_back(&head, &node);
    EXPECT(test_fails_check(push_again, &node));
    list_remove(&node);
    EXPECT(test_fails_check(remove_node, &node));
}
