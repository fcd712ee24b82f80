/* Option tables: parsing, refusing by name, and help that shows every row. */
#include "bin/args.h"
#include "tests/lib/test.h"

struct values {
    const char *pool;
    struct arg_list trackers;
    uint64_t jobs;
    struct byte_range range;
    bool is_recursive, has_range, is_mutable;
};

static const struct arg rows[] = {
    {.name = "recursive",
        .letter = 'r',
        .text = "whole trees",
        .offset = offsetof(struct values, is_recursive)},
    {.name = "pool",
        .kind = ARG_TEXT,
        .value = "P",
        .text = "where to",
        .offset = offsetof(struct values, pool)},
    {.kind = ARG_HEADING, .text = "Cluster"},
    {.name = "tracker",
        .kind = ARG_LIST,
        .value = "H:P",
        .text = "who knows\nthe way",
        .offset = offsetof(struct values, trackers)},
    {.name = "jobs",
        .letter = 'j',
        .kind = ARG_NUMBER,
        .value = "N",
        .text = "at once",
        .offset = offsetof(struct values, jobs),
        .min = 1,
        .max = 64},
    {.name = "range",
        .kind = ARG_RANGE,
        .value = "A-B",
        .text = "a part",
        .offset = offsetof(struct values, range),
        .offset_set = offsetof(struct values, has_range)},
    {.name = "immutable",
        .kind = ARG_NO_FLAG,
        .text = "for ever",
        .offset = offsetof(struct values, is_mutable)},
};
static const struct verb verb = {.name = "try",
    .usage = "PATH...",
    .about = "Tries.",
    .examples = "  cairn try x",
    .args = {rows, ARRAY_LEN(rows)}};

struct outcome {
    struct values values;
    enum args_result result;
    int first;
    char data[4096], talk[1024];
};

static void parse(struct outcome *outcome, int argc, char **argv)
{
    *outcome = (struct outcome){.values = {.jobs = 8, .is_mutable = true}};
    FILE *data = fmemopen(outcome->data, sizeof outcome->data, "w");
    FILE *talk = fmemopen(outcome->talk, sizeof outcome->talk, "w");
    outcome->result = args_parse(&verb, argc, argv, &outcome->values, &outcome->first, data, talk);
    (void)fclose(data);
    (void)fclose(talk);
}
#define PARSE(name, ...)                                 \
    char *argv[] = {(char[]){"try"}, __VA_ARGS__, NULL}; \
    struct outcome name;                                 \
    parse(&name, (int)ARRAY_LEN(argv) - 1, argv)
#define W(text) ((char[]){text})

TEST(options_and_words_may_be_mixed)
{
    PARSE(got, W("a"), W("-r"), W("--tracker"), W("h:1"), W("b"), W("--tracker=h:2"), W("-j4"),
        W("--range"), W("2-3"), W("--immutable"));
    EXPECT_EQ(got.result, ARGS_OK);
    EXPECT(got.values.is_recursive && got.values.has_range && !got.values.is_mutable);
    EXPECT_EQ(got.values.trackers.count, 2);
    EXPECT_TEXT(got.values.trackers.items[1], "h:2");
    EXPECT_EQ(got.values.jobs, 4);
    EXPECT_EQ(got.values.range.size, 2);
    EXPECT_TEXT(argv[got.first], "a");
    EXPECT_TEXT(argv[got.first + 1], "b");
}

TEST(what_is_not_given_keeps_its_default)
{
    PARSE(got, W("a"));
    EXPECT_EQ(got.values.jobs, 8);
    EXPECT(!got.values.has_range && got.values.is_mutable);
}

TEST(a_bad_value_is_named_with_what_is_wanted)
{
    PARSE(got, W("--jobs"), W("65"));
    EXPECT_EQ(got.result, ARGS_BAD);
    EXPECT_TEXT(got.talk, "cairn try: --jobs wants a number from 1 to 64, not \"65\"\n");
}

TEST(an_unknown_option_is_named)
{
    PARSE(got, W("--nonsense"));
    EXPECT_EQ(got.result, ARGS_BAD);
    EXPECT(strstr(got.talk, "unknown option --nonsense") != NULL);
}

TEST(a_missing_value_is_named)
{
    PARSE(got, W("--pool"));
    EXPECT_EQ(got.result, ARGS_BAD);
    EXPECT(strstr(got.talk, "--pool wants a value") != NULL);
}

TEST(words_after_two_dashes_are_no_options)
{
    PARSE(got, W("--"), W("-r"));
    EXPECT(got.result == ARGS_OK && !got.values.is_recursive);
    EXPECT_TEXT(argv[got.first], "-r");
}

TEST(a_list_has_a_limit)
{
    char *argv[ARG_LIST_MAX + 3] = {W("try")}, *word = W("--tracker=h:1");
    int argc = 1;
    for (int i = 0; i <= ARG_LIST_MAX; i++)
        argv[argc++] = word;
    struct outcome got;
    parse(&got, argc, argv);
    EXPECT_EQ(got.result, ARGS_BAD);
}

TEST(the_help_shows_every_row_usage_examples_and_exit_codes)
{
    PARSE(got, W("--help"));
    EXPECT_EQ(got.result, ARGS_HELP);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        EXPECT(rows[i].kind == ARG_HEADING || strstr(got.data, rows[i].name) != NULL);
    EXPECT(strstr(got.data, "Usage: cairn try PATH...") == got.data);
    EXPECT(strstr(got.data, "-j, --jobs N") != NULL);
    EXPECT(strstr(got.data, "cairn try x") != NULL);
    EXPECT(strstr(got.data, "Exit codes:") != NULL);
    EXPECT_TEXT(got.talk, "");
}
