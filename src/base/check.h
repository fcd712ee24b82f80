/* Checks that stay on in production. CHECK is for our own mistakes only, never for bytes
 * from a peer, a disk or a user: those are operating errors and travel as err_t. */
#ifndef CAIRN_BASE_CHECK_H
#define CAIRN_BASE_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** What runs when a check fails, before abort(): set once at start by bin/ (panic report) or a test. */
typedef void check_hook_fn(const char *what, const char *file, int line, const char *function);
void check_set_hook(check_hook_fn *hook);

/** Print `what` with its site on standard error, run the hook, abort. */
_Noreturn void check_failed(const char *what, const char *file, int line, const char *function);

#define CHECK(condition) \
    ((condition) ? (void)0 : check_failed(#condition, __FILE__, __LINE__, __func__))
#define UNREACHABLE(why) check_failed("unreachable: " why, __FILE__, __LINE__, __func__)

#define BIT(n) (UINT64_C(1) << (n))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(pointer, type, member) \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))
#define MUST __attribute__((warn_unused_result))

#endif
