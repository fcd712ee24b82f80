/* Errors: values with a birthplace, and the tables around them. */
#include <errno.h>

#include "base/err.h"
#include "tests/lib/test.h"

static err_t born_here(void)
{
    return ERR(NO_SPACE, ENOSPC);
}
static err_t passed_up(void)
{
    TRY(ERR_OK);
    TRY(born_here());
    return ERR_OK;
}

TEST(an_error_is_passed_up_unchanged_with_its_birthplace)
{
    err_t err = passed_up();
    EXPECT(err_has(err, ERR_CODE_NO_SPACE));
    EXPECT_EQ(err.os, ENOSPC);
    EXPECT_TEXT(err.site->function, "born_here");
    EXPECT(!err_is(ERR_OK));
}

TEST(numbers_on_the_wire_are_unique_and_have_names_and_sentences)
{
    static const int32_t numbers[] = {
#define X(name, number, exit_code, text) number,
        ERR_CODES(X)
#undef X
    };
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        EXPECT(strcmp(err_name(numbers[i]), "UNKNOWN") != 0);
        EXPECT(strlen(err_sentence(numbers[i])) > 1);
        EXPECT(err_exit_code(numbers[i]) >= 0 && err_exit_code(numbers[i]) <= 9);
        for (size_t j = 0; j < i; j++)
            EXPECT(numbers[i] != numbers[j]);
    }
    EXPECT_TEXT(err_name(-5), "UNKNOWN");
    EXPECT_EQ(err_exit_code(12345), 1);
    EXPECT(strstr(err_sentence(12345), "does not know") != NULL);
}

static int32_t code_of(int number)
{
    err_t err = ERR_RESULT(-number);
    EXPECT_EQ(err.os, number);
    return err.code;
}

TEST(results_of_the_system_become_the_errors_that_the_header_promises)
{
    static const struct {
        int number;
        enum err_code code;
    } cases[] = {{ENOSPC, ERR_CODE_NO_SPACE}, {EDQUOT, ERR_CODE_NO_SPACE},
        {EMFILE, ERR_CODE_NO_RESOURCE}, {ENFILE, ERR_CODE_NO_RESOURCE},
        {ENOMEM, ERR_CODE_NO_RESOURCE}, {ENOBUFS, ERR_CODE_NO_RESOURCE},
        {ENOENT, ERR_CODE_NOT_FOUND}, {ECANCELED, ERR_CODE_CANCELLED}, {EPIPE, ERR_CODE_CLOSED},
        {ECONNRESET, ERR_CODE_CLOSED}, {ETIMEDOUT, ERR_CODE_TIMEOUT},
        {ECONNREFUSED, ERR_CODE_UNAVAILABLE}, {EHOSTUNREACH, ERR_CODE_UNAVAILABLE},
        {EIO, ERR_CODE_IO}, {EINVAL, ERR_CODE_IO}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        EXPECT_EQ(code_of(cases[i].number), cases[i].code);
}

static void result_that_is_none(void *context)
{
    (void)context;
    (void)ERR_RESULT(0);
}

TEST(a_result_that_is_no_error_is_our_mistake)
{
    EXPECT(test_fails_check(result_that_is_none, NULL));
}
