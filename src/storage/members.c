#include "storage/members.h"

#include "storage/server.h"

void members_hook(struct storage_loop *loop, void (*changed)(struct storage_loop *loop))
{
    CHECK(loop->members_hook_count < MEMBERS_HOOKS_MAX);
    loop->members_hooks[loop->members_hook_count++] = changed;
    if (loop->members.number > 0)
        changed(loop);
}

void members_take(struct storage_loop *loop, const struct members *members)
{
    loop->members = *members;
    for (uint32_t i = 0; i < loop->members_hook_count; i++)
        loop->members_hooks[i](loop);
}
