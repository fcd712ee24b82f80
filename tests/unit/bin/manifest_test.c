/* Manifests: what is written is read back; what is hostile is refused. */
#include "bin/manifest.h"
#include "tests/lib/test.h"

static enum manifest_result parse(const char *text, struct manifest_line *ret)
{
    return manifest_parse(span_of_text(text), ret);
}

static void expect_round_trip(const char *path)
{
    struct manifest_line line = {.size = 12, .modify_ns = 34, .crc = 0xab}, back;
    (void)snprintf(line.id, sizeof line.id, "g1/M00/00/01/abc.jpg");
    (void)snprintf(line.path, sizeof line.path, "%s", path);
    static char bytes[MANIFEST_LINE_MAX];
    struct text text;
    text_init(&text, bytes, sizeof bytes);
    manifest_format(&line, &text);
    EXPECT(!text.is_cut && text.size > 0 && bytes[text.size - 1] == '\n');
    EXPECT(memchr(bytes, '\n', text.size - 1) == NULL);
    EXPECT_EQ(manifest_parse(span_of(bytes, text.size - 1), &back), MANIFEST_LINE);
    EXPECT_TEXT(back.path, path);
    EXPECT_TEXT(back.id, line.id);
    EXPECT(back.size == 12 && back.modify_ns == 34 && back.crc == 0xab);
}

TEST(every_path_comes_back_as_it_was)
{
    expect_round_trip("photos/a.jpg");
    expect_round_trip("with space/tab\tnewline\nback\\slash\x7f\x01");
    expect_round_trip("\xff\xfe not utf-8");
    char every[256];
    for (int i = 0; i < 255; i++)
        every[i] = (char)(i + 1);
    every[255] = '\0';
    expect_round_trip(every);
}

TEST(the_longest_path_fits_into_a_line)
{
    char path[MANIFEST_PATH_MAX];
    memset(path, '\n', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    expect_round_trip(path);
}

TEST(comments_and_empty_lines_are_no_files)
{
    struct manifest_line line;
    EXPECT_EQ(parse("# cairn manifest 1", &line), MANIFEST_COMMENT);
    EXPECT_EQ(parse("", &line), MANIFEST_COMMENT);
}

TEST(malformed_lines_are_refused)
{
    static const char *const bad[] = {"id", "id\t1\t00000000\t5", "id\t1\t00000000\t5\t",
        "\t1\t00000000\t5\tp", "id\tx\t00000000\t5\tp", "id\t-1\t00000000\t5\tp", "id\t1\t0\t5\tp",
        "id\t1\t0000000g\t5\tp", "id\t99999999999999999999\t00000000\t5\tp",
        "id\t1\t00000000\t5\tp\\", "id\t1\t00000000\t5\tp\\x0", "id\t1\t00000000\t5\tp\\x00",
        "id\t1\t00000000\t5\tp\\n"};
    struct manifest_line line;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        EXPECT_EQ(parse(bad[i], &line), MANIFEST_BAD);
    EXPECT_EQ(manifest_parse(span_of("id\t1\t00000000\t5\ta\0b", 20), &line), MANIFEST_BAD);
}

TEST(a_path_longer_than_linux_allows_is_refused)
{
    static char text[MANIFEST_PATH_MAX + 64];
    int size = snprintf(text, sizeof text, "id\t1\t00000000\t5\t");
    memset(text + size, 'a', MANIFEST_PATH_MAX);
    struct manifest_line line;
    EXPECT_EQ(parse(text, &line), MANIFEST_BAD);
}

TEST(only_paths_that_stay_below_are_safe)
{
    EXPECT(manifest_path_is_safe("a") && manifest_path_is_safe("a/b.c/..d/e..")
           && manifest_path_is_safe("...") && manifest_path_is_safe(".hidden"));
    static const char *const bad[] = {
        "", "/", "/etc/passwd", "..", "../x", "a/../b", "a/..", ".", "./a", "a/./b", "a//b", "a/"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        EXPECT(!manifest_path_is_safe(bad[i]));
}

TEST(normalized_paths_are_safe_or_refused)
{
    static const char *const table[][2] = {{"/data/x", "data/x"}, {"./a//b/", "a/b"},
        {"../../a", "a"}, {"a/./b", "a/b"}, {"/../a", "a"}, {"a", "a"}};
    char path[MANIFEST_PATH_MAX];
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        EXPECT(manifest_path_normalize(table[i][0], path));
        EXPECT_TEXT(path, table[i][1]);
        EXPECT(manifest_path_is_safe(path));
    }
    EXPECT(!manifest_path_normalize("a/../b", path));
    EXPECT(!manifest_path_normalize("/", path));
    EXPECT(!manifest_path_normalize("", path));
}
