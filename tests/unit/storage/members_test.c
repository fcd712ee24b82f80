/* Members of the group as a loop knows them: copies come, hooks are called. */
#include "storage/members.h"

#include "storage/server.h"
#include "tests/lib/test.h"

static void first_changed(struct storage_loop *loop)
{
    loop->drain_deadline_ns = loop->members.number; /* a field that nobody else uses here */
}

static void second_changed(struct storage_loop *loop)
{
    loop->state += (uint8_t)loop->members.count;
}

TEST(hooks_are_called_after_each_change_and_see_the_new_members)
{
    static struct storage_loop loop;
    struct members members = {.all = {{.machine = 7}}, .count = 1, .number = 3};
    members_hook(&loop, first_changed);
    members_hook(&loop, second_changed);
    EXPECT_EQ(loop.drain_deadline_ns, 0);
    members_take(&loop, &members);
    EXPECT_EQ(loop.drain_deadline_ns, 3);
    EXPECT_EQ(loop.state, 1);
    members = (struct members){.all = {{.machine = 7}, {.machine = 8}}, .count = 2, .number = 4};
    members_take(&loop, &members);
    EXPECT_EQ(loop.drain_deadline_ns, 4);
    EXPECT_EQ(loop.state, 3);
}

TEST(a_hook_that_comes_late_is_called_at_once)
{
    static struct storage_loop loop;
    struct members members = {.count = 1, .number = 5};
    members_take(&loop, &members);
    members_hook(&loop, first_changed);
    EXPECT_EQ(loop.drain_deadline_ns, 5);
}

TEST(a_member_is_found_by_its_number)
{
    struct members members = {
        .all = {{.machine = 7}, {.machine = 9, .is_removed = true}}, .count = 2};
    EXPECT(members_find(&members, 7) == &members.all[0]);
    EXPECT(members_find(&members, 9) == &members.all[1]);
    EXPECT(!members_find(&members, 8));
}
