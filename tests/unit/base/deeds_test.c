/* Counting what ended: the right row, and nothing lost when there are many kinds. */
#include "base/deeds.h"
#include "tests/lib/test.h"

static const struct deed *row_with(const struct deeds *deeds, const char *name)
{
    for (size_t i = 0; i < DEED_KINDS_MAX; i++)
        if (deeds->rows[i].key && strcmp(deeds->rows[i].name, name) == 0)
            return &deeds->rows[i];
    return NULL;
}

TEST(kinds_are_kept_apart_and_codes_that_nobody_knows_count_as_failed)
{
    static const char first, second;
    static struct deeds deeds;
    deed_add(&deeds, &first, "first", ERR_CODE_OK, 5);
    deed_add(&deeds, &second, "second", ERR_CODE_BUSY, 5);
    deed_add(&deeds, &second, "second", 4711, 5);
    deed_add(&deeds, &second, "second", -1, 5);
    EXPECT_EQ(row_with(&deeds, "first")->results[ERR_CODE_OK], 1);
    EXPECT_EQ(deed_count(row_with(&deeds, "first")), 1);
    EXPECT_EQ(row_with(&deeds, "second")->results[ERR_CODE_BUSY], 1);
    EXPECT_EQ(row_with(&deeds, "second")->results[ERR_CODE_FAILED], 2);
}

TEST(more_kinds_than_rows_are_counted_together)
{
    static const char keys[DEED_KINDS_MAX + 10];
    static struct deeds deeds, sum;
    for (size_t round = 0; round < 2; round++)
        for (size_t i = 0; i < ARRAY_LEN(keys); i++)
            deed_add(&deeds, &keys[i], "kind", ERR_CODE_OK, 1);
    EXPECT_EQ(deed_count(row_with(&deeds, "other")), 2 * 11);
    deeds_merge(&sum, &deeds);
    deeds_merge(&sum, &deeds);
    uint64_t count = 0;
    for (size_t i = 0; i < DEED_KINDS_MAX; i++)
        count += deed_count(&sum.rows[i]);
    EXPECT_EQ(count, 4 * ARRAY_LEN(keys));
    EXPECT_EQ(deed_count(row_with(&sum, "other")), 4 * 11);
}
