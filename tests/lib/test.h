/* The test runner: one program per module, each test a function whose name is a sentence.
 *
 *   TEST(append_is_not_durable_before_commit) { EXPECT(...); EXPECT_EQ(a, b); }
 *
 * `program` runs all, `program NAME...` some. A failed EXPECT prints its site and ends that test
 * (by longjmp). Exit 0 if all passed; the last line is "N passed, N failed". */
#ifndef CAIRN_TESTS_TEST_H
#define CAIRN_TESTS_TEST_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

struct test {
    const char *name;
    void (*run)(void);
    struct test *next;
};
void test_register(struct test *test);
_Noreturn void test_fail(const char *file, int line, const char *what, long long a, long long b);
_Noreturn void test_fail_err(const char *file, int line, err_t err, const char *expected);
/** True if `run` fails a CHECK: it does not return from there. */
bool test_fails_check(void (*run)(void *context), void *context);

#define TEST(test_name)                                                 \
    static void test_name(void);                                        \
    __attribute__((constructor)) static void register_##test_name(void) \
    {                                                                   \
        static struct test test = {#test_name, test_name, NULL};        \
        test_register(&test);                                           \
    }                                                                   \
    static void test_name(void)

#define EXPECT(condition) ((condition) ? (void)0 : test_fail(__FILE__, __LINE__, #condition, 0, 0))
#define EXPECT_EQ(a, b)                                                      \
    do {                                                                     \
        long long expect_a = (long long)(a), expect_b = (long long)(b);      \
        if (expect_a != expect_b)                                            \
            test_fail(__FILE__, __LINE__, #a " == " #b, expect_a, expect_b); \
    } while (0)
#define EXPECT_TEXT(a, b)                                                  \
    do {                                                                   \
        if (strcmp((a), (b)) != 0) {                                       \
            (void)fprintf(stderr, "  left:  %s\n  right: %s\n", (a), (b)); \
            test_fail(__FILE__, __LINE__, #a " is " #b, 0, 0);             \
        }                                                                  \
    } while (0)
#define EXPECT_OK(expression)                                    \
    do {                                                         \
        err_t expect_err = (expression);                         \
        if (err_is(expect_err))                                  \
            test_fail_err(__FILE__, __LINE__, expect_err, "OK"); \
    } while (0)
#define EXPECT_ERR(expression, name)                              \
    do {                                                          \
        err_t expect_err = (expression);                          \
        if (!err_has(expect_err, ERR_CODE_##name))                \
            test_fail_err(__FILE__, __LINE__, expect_err, #name); \
    } while (0)

#endif
