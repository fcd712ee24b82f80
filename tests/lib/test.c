#include "tests/lib/test.h"

#include <setjmp.h>

static struct test *first, **last = &first;
static jmp_buf out_of_test, out_of_check;

void test_register(struct test *test)
{
    *last = test;
    last = &test->next;
}

_Noreturn void test_fail(const char *file, int line, const char *what, long long a, long long b)
{
    (void)fprintf(stderr, "  failed: %s at %s:%d", what, file, line);
    if (a != b)
        (void)fprintf(stderr, " (%lld against %lld)", a, b);
    (void)fprintf(stderr, "\n");
    longjmp(out_of_test, 1);
}

_Noreturn void test_fail_err(const char *file, int line, err_t err, const char *expected)
{
    (void)fprintf(stderr, "  failed: expected %s, got %s (os %d) born at %s:%d; seen at %s:%d\n",
        expected, err_name(err.code), err.os, err.site ? err.site->file : "?",
        err.site ? err.site->line : 0, file, line);
    longjmp(out_of_test, 1);
}

static void leave_check(const char *what, const char *file, int line, const char *function)
{
    (void)what, (void)file, (void)line, (void)function;
    longjmp(out_of_check, 1);
}

bool test_fails_check(void (*run)(void *context), void *context)
{
    volatile bool has_failed = true;
    check_set_hook(leave_check);
    if (setjmp(out_of_check) == 0) {
        run(context);
        has_failed = false;
    }
    check_set_hook(NULL);
    return has_failed;
}

static bool is_wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return argc < 2;
}

int main(int argc, char **argv)
{
    volatile int passed = 0, failed = 0;
    for (struct test *volatile test = first; test; test = test->next) {
        if (!is_wanted(test->name, argc, argv))
            continue;
        (void)fprintf(stderr, "%s\n", test->name);
        if (setjmp(out_of_test) == 0) {
            test->run();
            passed++;
        } else {
            failed++;
        }
    }
    (void)printf("%d passed, %d failed\n", passed, failed);
    return failed > 0 || passed == 0;
}
