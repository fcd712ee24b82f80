#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

static check_hook_fn *hook_on_failure; /* the one mutable global of base: set once at start */

void check_set_hook(check_hook_fn *hook)
{
    hook_on_failure = hook;
}

_Noreturn void check_failed(const char *what, const char *file, int line, const char *function)
{
    (void)fprintf(stderr, "cairn: check failed: %s at %s:%d (%s)\n", what, file, line, function);
    (void)fflush(stderr);
    if (hook_on_failure)
        hook_on_failure(what, file, line, function);
    abort();
}
