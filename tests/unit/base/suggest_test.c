/* The nearest word. */
#include "base/suggest.h"
#include "tests/lib/test.h"

TEST(distance_counts_insertions_deletions_and_replacements)
{
    EXPECT_EQ(suggest_distance("", ""), 0);
    EXPECT_EQ(suggest_distance("", "abc"), 3);
    EXPECT_EQ(suggest_distance("kitten", "sitting"), 3);
    EXPECT_EQ(suggest_distance("flaw", "lawn"), 2);
    EXPECT_EQ(suggest_distance("Http-Listen", "http_listen"), 0);
}

TEST(words_without_end_are_far_away)
{
    char longest[64], longer[65];
    memset(longest, 'a', sizeof longest);
    memset(longer, 'a', sizeof longer);
    longest[63] = longer[64] = '\0';
    EXPECT_EQ(suggest_distance(longest, "a"), 62);
    EXPECT(suggest_distance("a", longer) == SIZE_MAX);
    EXPECT(suggest_distance(longer, "a") == SIZE_MAX);
}

static const char *nearest(const char *wrong)
{
    struct suggestion suggestion;
    suggest_start(&suggestion, wrong);
    suggest_offer(&suggestion, "up");
    suggest_offer(&suggestion, "get");
    suggest_offer(&suggestion, "put");
    suggest_offer(&suggestion, "status");
    suggest_offer(&suggestion, "stat");
    return suggestion.best ? suggestion.best : "none";
}

TEST(only_near_words_are_suggested)
{
    EXPECT_TEXT(nearest("got"), "get");
    EXPECT_TEXT(nearest("sttus"), "status");
    EXPECT_TEXT(nearest("sta"), "stat");
    EXPECT_TEXT(nearest("zzz"), "none");
    EXPECT_TEXT(nearest("xy"), "none"); /* all of it would be replaced */
    EXPECT_TEXT(nearest(""), "none");
}
