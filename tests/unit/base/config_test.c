/* Configuration: what is valid arrives in the struct with its origin; what is not names file, line,
 * key, fault and remedy. */
#include "base/config.h"
#include "base/prng.h"
#include "base/units.h"
#include "tests/lib/test.h"

struct settings {
    bool is_verbose;
    uint64_t connections;
    uint64_t buffer_size;
    uint64_t timeout_ns;
    struct config_amount reserve;
    const char *group;
    const char *listen;
    uint32_t balance;
    struct config_list mounts;
    struct config_list trackers;
};

static const char *const balances[] = {"loop", "maxdisk", "turn", "master", NULL};
static const struct config_key keys[] = {
    {"verbose", CONFIG_AT_BOOL(struct settings, is_verbose), .default_text = "no",
        .help = "say more"},
    {"connections", CONFIG_AT_INTEGER(struct settings, connections), .default_text = "100",
        .min = 1, .max = 1000, .unit = "connections", .help = "clients at a time"},
    {"buffer_size", CONFIG_AT_SIZE(struct settings, buffer_size), .default_text = "64KiB",
        .min = 4 * KIB, .max = GIB, .help = "bytes per buffer"},
    {"timeout", CONFIG_AT_DURATION(struct settings, timeout_ns), .default_text = "30s",
        .max = NS_PER_DAY, .help = "how long to wait"},
    {"reserve", CONFIG_AT_AMOUNT(struct settings, reserve), .default_text = "5%", .max = TIB,
        .help = "space kept free"},
    {"group", CONFIG_AT_TEXT(struct settings, group), .default_text = "g1", .min = 1, .max = 16,
        .help = "name of the group"},
    {"listen", CONFIG_AT_ADDRESS(struct settings, listen), .default_text = NULL,
        .help = "where clients connect"},
    {"balance", CONFIG_AT_ENUM(struct settings, balance), .default_text = "loop",
        .choices = balances, .help = "which mount point is next"},
    {"mount", CONFIG_AT_TEXT_LIST(struct settings, mounts), .default_text = "", .max = 3,
        .help = "data directories"},
    {"tracker", CONFIG_AT_ADDRESS_LIST(struct settings, trackers), .default_text = "127.0.0.1:1",
        .min = 1, .help = "trackers to report to"},
};
static const struct config_table table = {"storage", keys, ARRAY_LEN(keys)};

static struct config config;
static struct settings settings;

static void set_up(void)
{
    config_init(&config);
    config_add(&config, &table, &settings);
}

static err_t read_file_text(const char *text)
{
    return config_read(&config, "test.conf", span_of_text(text));
}

static void expect_problem(const char *text, const char *problem)
{
    set_up();
    EXPECT_ERR(read_file_text(text), USAGE);
    EXPECT_TEXT(config_problems(&config), problem);
}

static bool is_refused(const char *text)
{
    set_up();
    bool refused = err_has(read_file_text(text), ERR_CODE_USAGE);
    EXPECT_EQ(refused, config.problem_count == 1);
    return refused;
}

static const char *origin_of(const char *name)
{
    static char data[64];
    struct text text;
    text_init(&text, data, sizeof data);
    config_add_origin(&config, name, &text);
    return data;
}

TEST(without_any_source_every_key_has_its_default)
{
    set_up();
    EXPECT_EQ(settings.is_verbose, false);
    EXPECT_EQ(settings.connections, 100);
    EXPECT_EQ(settings.buffer_size, 64 * KIB);
    EXPECT_EQ(settings.timeout_ns, 30 * NS_PER_S);
    EXPECT_EQ(settings.reserve.value, 5);
    EXPECT(settings.reserve.is_percent);
    EXPECT_TEXT(settings.group, "g1");
    EXPECT_TEXT(settings.listen, "");
    EXPECT_EQ(settings.balance, 0);
    EXPECT_EQ(settings.mounts.count, 0);
    EXPECT_EQ(settings.trackers.count, 1);
    EXPECT_TEXT(origin_of("group"), "default");
}

TEST(a_file_sets_values_of_every_kind)
{
    set_up();
    EXPECT_OK(read_file_text("# a comment\n"
                             "verbose = yes\r\n"
                             "\n"
                             "  connections=34\n"
                             "[storage]\n"
                             "buffer-size = 1MiB ; half of it\n"
                             "timeout = 1500ms # a comment\n"
                             "reserve = 10GB\n"
                             "group = stones\n"
                             "listen = [::1]:22122\n"
                             "balance = turn\n"
                             "mount = /data/a\n"
                             "    mount = /data/b#1\n"
                             "tracker = localhost:22122"));
    EXPECT(settings.is_verbose);
    EXPECT_EQ(settings.connections, 34);
    EXPECT_EQ(settings.buffer_size, MIB);
    EXPECT_EQ(settings.timeout_ns, 1500 * NS_PER_MS);
    EXPECT_EQ(settings.reserve.value, UINT64_C(10000000000));
    EXPECT(!settings.reserve.is_percent);
    EXPECT_TEXT(settings.group, "stones");
    EXPECT_TEXT(settings.listen, "[::1]:22122");
    EXPECT_EQ(settings.balance, 2);
    EXPECT_EQ(settings.mounts.count, 2);
    EXPECT_TEXT(settings.mounts.items[1], "/data/b#1");
    EXPECT_EQ(settings.trackers.count, 1);
    EXPECT_TEXT(settings.trackers.items[0], "localhost:22122");
    EXPECT_TEXT(origin_of("group"), "test.conf:9");
    EXPECT_OK(config_finish(&config));
}

TEST(every_number_parses_to_itself)
{
    for (unsigned number = 1; number <= 1000; number++) {
        char text[64];
        (void)snprintf(text, sizeof text, "connections = %u\n", number);
        set_up();
        EXPECT_OK(read_file_text(text));
        EXPECT_EQ(settings.connections, number);
    }
}

TEST(every_unit_has_its_factor)
{
    static const struct {
        const char *text;
        uint64_t value;
    } cases[] = {{"4096", 4096}, {"4096B", 4096}, {"5KiB", 5120}, {"5kib", 5120}, {"5KB", 5000},
        {"5MB", 5000000}, {"5 MiB", 5 * MIB}, {"1GiB", GIB}, {"1GB", 1000000000}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "buffer_size = %s\n", cases[i].text);
        set_up();
        EXPECT_OK(read_file_text(text));
        EXPECT_EQ(settings.buffer_size, cases[i].value);
    }
    static const char *const durations[] = {"ns", "us", "ms", "s", "m", "h", "d"};
    static const uint64_t factors[] = {
        1, NS_PER_US, NS_PER_MS, NS_PER_S, NS_PER_MINUTE, NS_PER_HOUR, NS_PER_DAY};
    for (size_t i = 0; i < ARRAY_LEN(durations); i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "timeout = 1%s\n", durations[i]);
        set_up();
        EXPECT_OK(read_file_text(text));
        EXPECT_EQ(settings.timeout_ns, factors[i]);
    }
    set_up();
    EXPECT_OK(read_file_text("timeout = 0\n"));
    EXPECT_EQ(settings.timeout_ns, 0);
}

TEST(an_error_names_file_line_key_fault_and_remedy)
{
    expect_problem("\nconections = 5\n",
        "test.conf:2: unknown key \"conections\"; did you mean connections?\n");
    expect_problem("zzzzzzzzzzzz = 5\n",
        "test.conf:1: unknown key \"zzzzzzzzzzzz\"; --check prints the keys\n");
    expect_problem("timeout = 34\n", "test.conf:1: timeout: \"34\" needs one of the units ns us ms "
                                     "s m h d, as in 30s\n");
    expect_problem("connections = 2000\n", "test.conf:1: connections: \"2000\" is out of bounds: "
                                           "number of connections, 1 to 1000\n");
    expect_problem("balance = lop\n", "test.conf:1: balance: \"lop\" is not one of loop, maxdisk, "
                                      "turn, master; did you mean loop?\n");
    expect_problem("group = a\n\ngroup = b\n",
        "test.conf:3: group is given twice, first in line 1; remove one\n");
    expect_problem("[strage]\ngroup = a\n", "test.conf:2: the section [strage] is unknown\n");
    expect_problem(
        "group a\n", "test.conf:1: neither \"key = value\" nor \"[section]\" nor a comment\n");
    expect_problem("listen = 127.0.0.1\n",
        "test.conf:1: listen: \"127.0.0.1\" is not an address: write host:port, as in "
        "127.0.0.1:22122 or [::1]:22122\n");
}

TEST(values_that_only_look_right_are_refused)
{
    static const char *const lines[] = {"connections = 0", "connections = -1", "connections = 0x10",
        "connections = 10 # ten\nconnections = 11", "connections = 18446744073709551617",
        "connections = 36893488147419103240", "connections = 5.5",
        "connections =", "connections = 1 2", "buffer_size = 64K", "buffer_size = 64 KiBs",
        "buffer_size = 1.5MiB", "buffer_size = 2GiB", "buffer_size = 99999999999TiB",
        "buffer_size = 17179869185GiB", "buffer_size = 4095", "timeout = s", "timeout = 5 minutes",
        "timeout = 25h", "reserve = 101%", "reserve = %", "reserve = 5 %%", "reserve = 2TiB",
        "verbose = maybe", "verbose =", "group =", "group = 12345678901234567", "group = a\x01",
        "listen = :80", "listen =", "listen = a:65536", "listen = a:", "listen = [::1:80",
        "listen = []:80", "listen = a b:80", "balance = Loop",
        "tracker =", "mount = a\nmount = b\nmount = c\nmount = d"};
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        if (!is_refused(lines[i])) {
            (void)fprintf(stderr, "  accepted: %s\n", lines[i]);
            EXPECT(false);
        }
}

TEST(lines_that_the_parser_cannot_hold_are_refused_by_line)
{
    char text[400];
    (void)snprintf(text, sizeof text, "group = a\nmount = /%0197d\nverbose = yes\n", 0);
    expect_problem(text, "test.conf:2: the line is longer than 197 bytes; use the flag\n");
    EXPECT(settings.is_verbose); /* and the rest is read */
    set_up();
    EXPECT_ERR(config_read(&config, "x", span_of("group\0= a\n", 10)), USAGE);
    EXPECT_TEXT(
        config_problems(&config), "x:1: the line holds a zero byte; is this a text file?\n");
}

TEST(a_line_of_the_greatest_length_arrives_whole)
{
    char text[256];
    (void)snprintf(text, sizeof text, "mount = /%0188d\n", 7);
    EXPECT_EQ(strlen(text), 198);
    set_up();
    EXPECT_OK(read_file_text(text));
    EXPECT_EQ(strlen(settings.mounts.items[0]), 189);
    (void)snprintf(text, sizeof text, "mount = /%0189d\n", 7);
    EXPECT(is_refused(text));
}

TEST(all_problems_are_collected_and_what_is_valid_is_set)
{
    set_up();
    EXPECT_ERR(read_file_text("a = 1\nconnections = 7\nb = 2\n"), USAGE);
    EXPECT_EQ(config.problem_count, 2);
    EXPECT_EQ(settings.connections, 7);
    EXPECT_ERR(config_finish(&config), USAGE);
}

TEST(sections_of_other_roles_are_skipped)
{
    static const char *const others[] = {"tracker", NULL};
    set_up();
    config.other_sections = others;
    EXPECT_OK(read_file_text("[tracker]\nwhatever = 1\n[storage]\ngroup = x\n"));
    EXPECT_TEXT(settings.group, "x");
}

static err_t flags(int argc, const char *const *argv)
{
    int at = 0;
    while (at < argc) {
        char words[8][64], *pointers[8];
        for (int i = 0; i < argc; i++) {
            (void)snprintf(words[i], sizeof words[i], "%s", argv[i]);
            pointers[i] = words[i];
        }
        TRY(config_flag(&config, argc, pointers, &at));
    }
    return ERR_OK;
}
#define FLAGS(...) \
    flags((int)ARRAY_LEN(((const char *const[]){__VA_ARGS__})), (const char *const[]){__VA_ARGS__})

TEST(every_key_is_a_flag_and_flags_win_over_the_file)
{
    set_up();
    EXPECT_OK(read_file_text("group = a\nmount = /a\nmount = /b\nconnections = 5\n"));
    EXPECT_OK(FLAGS("--group", "b", "--buffer-size=8KiB", "--mount", "/c", "--verbose"));
    EXPECT_TEXT(settings.group, "b");
    EXPECT_EQ(settings.buffer_size, 8 * KIB);
    EXPECT_EQ(settings.mounts.count, 1);
    EXPECT_TEXT(settings.mounts.items[0], "/c");
    EXPECT(settings.is_verbose);
    EXPECT_EQ(settings.connections, 5);
    EXPECT_TEXT(origin_of("group"), "flag");
    EXPECT_OK(FLAGS("--mount=/d", "--no-verbose", "--group=c"));
    EXPECT_EQ(settings.mounts.count, 2);
    EXPECT(!settings.is_verbose);
    EXPECT_TEXT(settings.group, "c");
}

TEST(what_is_no_flag_of_ours_is_left_to_the_caller)
{
    set_up();
    EXPECT_ERR(FLAGS("file"), NOT_FOUND);
    EXPECT_ERR(FLAGS("-r"), NOT_FOUND);
    EXPECT_ERR(FLAGS("--no-group"), NOT_FOUND);
    EXPECT_ERR(FLAGS("--no-verbose=yes"), NOT_FOUND);
    EXPECT_ERR(FLAGS("--conections", "5"), NOT_FOUND);
    EXPECT_TEXT(config_problems(&config), "");
    config_unknown_flag(&config, "--buffer-sise=5");
    EXPECT_TEXT(
        config_problems(&config), "unknown flag --buffer-sise=5; did you mean --buffer-size?\n");
}

TEST(a_flag_without_or_with_a_wrong_value_is_an_error)
{
    set_up();
    EXPECT_ERR(FLAGS("--group"), USAGE);
    EXPECT_TEXT(config_problems(&config), "--group needs a value\n");
    set_up();
    EXPECT_ERR(FLAGS("--verbose=perhaps"), USAGE);
    EXPECT_TEXT(config_problems(&config), "--verbose: \"perhaps\" is neither yes nor no\n");
}

TEST(what_must_be_given_is_missed_at_the_end)
{
    set_up();
    EXPECT_ERR(config_finish(&config), USAGE);
    EXPECT_TEXT(config_problems(&config), "listen is missing: give --listen or set it in the file "
                                          "(where clients connect)\n");
    set_up();
    EXPECT_OK(FLAGS("--listen", "127.0.0.1:0"));
    EXPECT_OK(config_finish(&config));
}

TEST(texts_that_do_not_fit_the_store_are_an_error)
{
    static const struct config_key one[] = {{"t", CONFIG_AT_TEXT(struct settings, group),
        .default_text = "", .help = "a text of any size"}};
    static const struct config_table small = {NULL, one, 1};
    static char word[40 * 1024];
    memset(word, 'x', sizeof word - 1);
    char *argv[] = {(char[]){"--t"}, word};
    config_init(&config);
    config_add(&config, &small, &settings);
    int at = 0;
    EXPECT_OK(config_flag(&config, 2, argv, &at));
    at = 0;
    EXPECT_ERR(config_flag(&config, 2, argv, &at), USAGE);
}

static char printed[16384];

static const char *print(void (*printer)(const struct config *, struct text *))
{
    struct text text;
    text_init(&text, printed, sizeof printed);
    printer(&config, &text);
    EXPECT(!text.is_cut);
    return printed;
}

TEST(the_effective_configuration_reads_back_to_the_same)
{
    set_up();
    EXPECT_OK(
        read_file_text("timeout = 90s\nreserve = 3%\nmount = /a b\nmount = /c\nlisten = h:1\n"));
    EXPECT_OK(FLAGS("--connections", "7"));
    const char *text = print(config_print);
    EXPECT(strstr(text, "[storage]\n") != NULL);
    EXPECT(strstr(text, "timeout = 90s                           ; test.conf:1\n") != NULL);
    EXPECT(strstr(text, "connections = 7                         ; flag\n") != NULL);
    EXPECT(strstr(text, "buffer_size = 64KiB                     ; default\n") != NULL);
    struct settings before = settings;
    static struct config again;
    config_init(&again);
    config_add(&again, &table, &settings);
    EXPECT_OK(config_read(&again, "printed", span_of_text(text)));
    EXPECT_EQ(settings.timeout_ns, before.timeout_ns);
    EXPECT_EQ(settings.connections, 7);
    EXPECT_EQ(settings.mounts.count, 2);
    EXPECT_TEXT(settings.mounts.items[0], "/a b");
    EXPECT_EQ(settings.reserve.value, 3);
    EXPECT_TEXT(settings.listen, "h:1");
}

TEST(the_sample_is_a_valid_file_also_with_every_line_active)
{
    set_up();
    const char *text = print(config_print_sample);
    EXPECT(strstr(text, "\n# clients at a time\n# number of connections, 1 to 1000\n"
                        "#connections = 100\n")
           != NULL);
    EXPECT_OK(config_read(&config, "sample", span_of_text(text)));
    for (char *at = printed; (at = strstr(at, "\n#")) != NULL; at++)
        if (at[2] != ' ' && !strstr(at, "#listen =") && !strstr(at, "#mount ="))
            at[1] = ' ';
    EXPECT_OK(config_read(&config, "sample", span_of_text(text)));
}

TEST(the_json_form_holds_value_and_origin)
{
    set_up();
    EXPECT_OK(FLAGS("--mount", "/a\"b", "--mount", "/c"));
    const char *text = print(config_print_json);
    EXPECT(strstr(text, "\"connections\":{\"value\":\"100\",\"origin\":\"default\"}") != NULL);
    EXPECT(strstr(text, "\"mount\":{\"value\":[\"/a\\\"b\",\"/c\"],\"origin\":\"flag\"}") != NULL);
}

TEST(the_list_of_flags_names_every_key)
{
    set_up();
    const char *text = print(config_print_flags);
    EXPECT(strstr(text, "  --buffer-size             bytes per buffer (64KiB)\n") != NULL);
    EXPECT(strstr(text, "  --listen                  where clients connect\n") != NULL);
}
