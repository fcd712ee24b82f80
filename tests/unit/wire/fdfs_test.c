/* Bytes as the fact sheet of FastDFS's protocol draws them. */
#include "wire/fdfs.h"

#include "tests/lib/test.h"
#include "wire/fdfs_answer.h"
#include "wire/fdfs_meta.h"

#define NAME "M00/00/00/fwAAUmsDsdyAUAdeAAAAHm7i4hc444.txt"
enum { NAME_SIZE = 44 };
_Static_assert(sizeof NAME - 1 == NAME_SIZE, "a plain name has 44 characters");

static uint8_t bytes[16 * 1024];
static struct writer out;

/* A request: the header is written last. */
static void begin(void)
{
    out = (struct writer){bytes, sizeof bytes, FDFS_HEADER_SIZE, false};
}

static void add(const char *text, size_t size)
{
    write_bytes(&out, text, size);
}

static void add_padded(const char *text, size_t size)
{
    fdfs_write_padded(&out, span_of_text(text), size);
}

static struct span end_with(uint8_t command, uint8_t flags, uint64_t more)
{
    put_u64_be(bytes, out.size - FDFS_HEADER_SIZE + more);
    bytes[8] = command;
    bytes[9] = flags;
    return span_of(bytes, out.size);
}

static struct fdfs_head head;
static size_t head_size;

static int decode(struct span request)
{
    return fdfs_decode(request, &head, &head_size);
}

/* Decodes, and no beginning of it does. */
static void expect_whole(struct span request)
{
    for (size_t size = 0; size < request.size; size++)
        EXPECT_EQ(decode(span_of(request.data, size)), FDFS_NEED_MORE);
    EXPECT_EQ(decode(request), FDFS_OK);
    EXPECT_EQ(head_size, request.size);
}

static bool is_text(struct span span, const char *text)
{
    return span_equals_text(span, text);
}

/* ---- requests ---- */

TEST(an_upload_tells_path_size_and_suffix_and_its_content_follows)
{
    static const uint8_t request[] = {0, 0, 0, 0, 0, 0, 0, 20, 11, 0, /* header */
        2, 0, 0, 0, 0, 0, 0, 0, 5, 't', 'x', 't', 0, 0, 0};
    expect_whole(span_of(request, sizeof request));
    EXPECT_EQ(head.command, FDFS_UPLOAD);
    EXPECT_EQ(head.path, 2);
    EXPECT_EQ(head.size, 5);
    EXPECT(is_text(head.suffix, "txt"));
    EXPECT(fdfs_has_content(head.command));
}

TEST(an_upload_whose_sizes_disagree_is_malformed)
{
    for (uint64_t more = 0; more < 10; more++) {
        begin();
        write_u8(&out, 0);
        fdfs_write_number(&out, 5);
        add_padded("txt", 6);
        EXPECT_EQ(
            decode(end_with(FDFS_UPLOAD_APPENDER, 0, more)), more == 5 ? FDFS_OK : FDFS_EINVAL);
    }
}

TEST(a_content_may_be_as_large_as_a_number_can_tell)
{
    begin();
    write_u8(&out, 0xff);
    fdfs_write_number(&out, INT64_MAX - 15);
    add_padded("", 6);
    EXPECT_EQ(decode(end_with(FDFS_UPLOAD, 0, INT64_MAX - 15)), FDFS_OK);
    EXPECT_EQ(head.size, INT64_MAX - 15);
}

TEST(a_slave_tells_master_prefix_and_suffix)
{
    begin();
    fdfs_write_number(&out, NAME_SIZE);
    fdfs_write_number(&out, 3);
    add_padded("_150x150", 16);
    add_padded("jpg", 6);
    add(NAME, NAME_SIZE);
    struct span request = end_with(FDFS_UPLOAD_SLAVE, 0, 3);
    expect_whole(request);
    EXPECT(is_text(head.name, NAME));
    EXPECT(is_text(head.prefix, "_150x150"));
    EXPECT(is_text(head.suffix, "jpg"));
    EXPECT_EQ(head.size, 3);
    bytes[FDFS_HEADER_SIZE + 16] = 0; /* no prefix */
    EXPECT_EQ(decode(request), FDFS_EINVAL);
    bytes[FDFS_HEADER_SIZE + 16] = '/';
    EXPECT_EQ(decode(request), FDFS_EINVAL);
}

TEST(append_modify_and_truncate_name_the_file_and_the_place)
{
    static const uint8_t commands[] = {FDFS_APPEND, FDFS_MODIFY, FDFS_TRUNCATE};
    for (size_t i = 0; i < 3; i++) {
        begin();
        fdfs_write_number(&out, NAME_SIZE);
        if (commands[i] != FDFS_APPEND)
            fdfs_write_number(&out, 1000);
        if (commands[i] != FDFS_TRUNCATE)
            fdfs_write_number(&out, 7);
        add(NAME, NAME_SIZE);
        expect_whole(end_with(commands[i], 0, commands[i] == FDFS_TRUNCATE ? 0 : 7));
        EXPECT(is_text(head.name, NAME));
        EXPECT_EQ(head.offset, commands[i] == FDFS_APPEND ? 0 : 1000);
        EXPECT_EQ(head.size, commands[i] == FDFS_TRUNCATE ? 0 : 7);
        EXPECT(head.group.data == NULL);
    }
}

TEST(names_of_changed_files_have_44_to_127_characters)
{
    static const uint64_t sizes[] = {0, 43, 44, 127, 128, UINT64_C(1) << 40, INT64_MAX, UINT64_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        begin();
        fdfs_write_number(&out, sizes[i]);
        fdfs_write_number(&out, 0);
        uint64_t size = sizes[i] < 1000 ? sizes[i] : 0;
        for (uint64_t at = 0; at < size; at++)
            add("x", 1);
        bool is_good = sizes[i] >= 44 && sizes[i] <= 127;
        EXPECT_EQ(decode(end_with(FDFS_APPEND, 0, 0)), is_good ? FDFS_OK : FDFS_EINVAL);
    }
}

TEST(metadata_is_set_with_a_flag)
{
    static const char list[] = "height\2"
                               "768\1width\2"
                               "1024";
    for (int i = 0; i < 3; i++) {
        begin();
        fdfs_write_number(&out, NAME_SIZE);
        fdfs_write_number(&out, sizeof list - 1);
        add(&"OMX"[i], 1);
        add_padded("group1", 16);
        add(NAME, NAME_SIZE);
        add(list, sizeof list - 1);
        struct span request = end_with(FDFS_SET_METADATA, 0, 0);
        EXPECT_EQ(decode(request), i < 2 ? FDFS_OK : FDFS_EINVAL);
        if (i == 2)
            continue;
        expect_whole(request);
        EXPECT_EQ(head.is_merge, i == 1);
        EXPECT(is_text(head.group, "group1"));
        EXPECT(is_text(head.name, NAME));
        EXPECT(is_text(head.metadata, list));
    }
}

TEST(parameters_that_are_too_long_are_refused_at_once)
{
    begin();
    fdfs_write_number(&out, NAME_SIZE);
    fdfs_write_number(&out, 100000);
    add("O", 1);
    add_padded("group1", 16);
    add(NAME, NAME_SIZE);
    EXPECT_EQ(decode(end_with(FDFS_SET_METADATA, 0, 100000)), FDFS_EFBIG);
    EXPECT_EQ(head_size, FDFS_HEADER_SIZE);
    EXPECT_EQ(head.body_size, 17 + 16 + NAME_SIZE + 100000);
}

TEST(a_download_tells_range_group_and_name)
{
    begin();
    fdfs_write_number(&out, 10);
    fdfs_write_number(&out, 20);
    add_padded("ABCDEFGHIJKLMNOP", 16); /* all of it: no NUL */
    add(NAME, NAME_SIZE);
    expect_whole(end_with(FDFS_DOWNLOAD, 0, 0));
    EXPECT_EQ(head.offset, 10);
    EXPECT_EQ(head.size, 20);
    EXPECT(is_text(head.group, "ABCDEFGHIJKLMNOP"));
    EXPECT(is_text(head.name, NAME));
    EXPECT(!fdfs_has_content(head.command));
    put_u64_be(bytes + FDFS_HEADER_SIZE, UINT64_MAX); /* -1 */
    EXPECT_EQ(decode(span_of(bytes, out.size)), FDFS_EINVAL);
}

TEST(commands_about_a_file_tell_group_and_name)
{
    static const uint8_t commands[] = {
        FDFS_DELETE, FDFS_GET_METADATA, FDFS_QUERY_FILE, FDFS_FETCH, FDFS_FETCH_ALL, FDFS_UPDATE};
    for (size_t i = 0; i < sizeof commands; i++) {
        begin();
        add_padded("group1", 16);
        add(NAME, NAME_SIZE);
        expect_whole(end_with(commands[i], FDFS_FLAG_NO_CRC, 0));
        EXPECT(is_text(head.group, "group1"));
        EXPECT(is_text(head.name, NAME));
        EXPECT_EQ(head.flags, FDFS_FLAG_NO_CRC);
        begin();
        add_padded("group1", 16);
        EXPECT_EQ(decode(end_with(commands[i], 0, 0)), FDFS_EINVAL);
    }
}

TEST(commands_about_groups_have_exactly_a_group)
{
    static const uint8_t commands[] = {
        FDFS_STORE_GROUP, FDFS_STORE_GROUP_ALL, FDFS_LIST_GROUP, FDFS_DELETE_GROUP};
    for (size_t i = 0; i < sizeof commands; i++) {
        begin();
        add_padded("group1", 16);
        expect_whole(end_with(commands[i], 0, 0));
        EXPECT(is_text(head.group, "group1"));
        add("x", 1);
        EXPECT_EQ(decode(end_with(commands[i], 0, 0)), FDFS_EINVAL);
    }
    begin();
    add_padded("group1", 16);
    add("10.0.0.7", 8);
    expect_whole(end_with(FDFS_LIST_STORAGES, 0, 0));
    EXPECT(is_text(head.text, "10.0.0.7"));
}

TEST(commands_without_parameters_have_none)
{
    static const uint8_t commands[] = {FDFS_PING, FDFS_QUIT, FDFS_STORE, FDFS_STORE_ALL,
        FDFS_LIST_GROUPS, FDFS_LEADER, FDFS_PARAMETERS};
    for (size_t i = 0; i < sizeof commands; i++) {
        begin();
        expect_whole(end_with(commands[i], 0, 0));
        EXPECT_EQ(decode(end_with(commands[i], 0, 1)), FDFS_EINVAL);
        EXPECT_EQ(decode(end_with(commands[i], 0, INT64_MAX)), FDFS_EINVAL);
        EXPECT_EQ(decode(end_with(commands[i], 0, UINT64_MAX)), FDFS_LOST);
        EXPECT_EQ(decode(end_with(commands[i], 0, UINT64_C(1) << 63)), FDFS_LOST);
    }
}

TEST(every_command_has_a_name_and_others_have_none)
{
    EXPECT_TEXT(fdfs_command_name(11), "upload");
    EXPECT_TEXT(fdfs_command_name(111), "active test");
    EXPECT(fdfs_command_name(0) == NULL);
    EXPECT(fdfs_command_name(16) == NULL);
}

TEST(the_source_of_a_name_is_read_from_its_first_bytes)
{
    uint32_t source;
    EXPECT(fdfs_name_source(span_of_text(NAME), &source));
    EXPECT_EQ(source, 0x5200007f); /* 127.0.0.82 */
    EXPECT(fdfs_name_source(
        span_of_text("M0A/03/4C/oYYBAGux3ICUKjtMAAAAAG7i4hc444_big.txt"), &source));
    EXPECT_EQ(source, 100001);
    EXPECT(!fdfs_name_source(span_of_text("M00/00/00/fwAAUmsDsdyAUAde"), &source));
    EXPECT(
        !fdfs_name_source(span_of_text("M00/00/00/....UmsDsdyAUAdeAAAAHm7i4hc444.txt"), &source));
}

/* ---- answers ---- */

TEST(answers_have_command_100_and_a_status)
{
    static const uint8_t expected[] = {0, 0, 0, 0, 0, 0, 1, 2, 100, 22};
    uint8_t header[FDFS_HEADER_SIZE];
    fdfs_answer_header(FDFS_EINVAL, 0x102, header);
    EXPECT(memcmp(header, expected, sizeof expected) == 0);
}

TEST(errors_have_the_numbers_that_clients_know)
{
    EXPECT_EQ(fdfs_status_of(ERR_OK), 0);
    EXPECT_EQ(fdfs_status_of(ERR(NOT_FOUND, 0)), 2);
    EXPECT_EQ(fdfs_status_of(ERR(IO, 0)), 5);
    EXPECT_EQ(fdfs_status_of(ERR(CORRUPT, 0)), 5);
    EXPECT_EQ(fdfs_status_of(ERR(OUTCOME_UNKNOWN, 0)), 5);
    EXPECT_EQ(fdfs_status_of(ERR(UNAVAILABLE, 0)), 11);
    EXPECT_EQ(fdfs_status_of(ERR(OFFLINE, 0)), 11);
    EXPECT_EQ(fdfs_status_of(ERR(BUSY, 0)), 16);
    EXPECT_EQ(fdfs_status_of(ERR(EXISTS, 0)), 17);
    EXPECT_EQ(fdfs_status_of(ERR(USAGE, 0)), 22);
    EXPECT_EQ(fdfs_status_of(ERR(RANGE, 0)), 22);
    EXPECT_EQ(fdfs_status_of(ERR(TOO_LARGE, 0)), 27);
    EXPECT_EQ(fdfs_status_of(ERR(NO_SPACE, 0)), 28);
}

TEST(what_is_known_of_a_file_has_40_bytes_or_70)
{
    struct fdfs_file_info info = {
        .size = 30, .time_s = 0x6b03b1dc, .crc = 0xee2e2170, .address = "10.0.0.7"};
    static const uint8_t expected[40] = {[7] = 30,
        [12] = 0x6b,
        0x03,
        0xb1,
        0xdc,
        [16] = 0xff,
        0xff,
        0xff,
        0xff,
        0xee,
        0x2e,
        0x21,
        0x70,
        '1',
        '0',
        '.',
        '0',
        '.',
        '0',
        '.',
        '7'};
    out = (struct writer){bytes, sizeof bytes, 0, false};
    fdfs_write_file_info(&out, &info, false);
    EXPECT_EQ(out.size, 40);
    EXPECT(memcmp(bytes, expected, 40) == 0);
    fdfs_write_file_info(&out, &info, true);
    EXPECT_EQ(out.size, 40 + 70);
    info.address = "2001:db8::1234:5678";
    fdfs_write_file_info(&out, &info, false);
    EXPECT_EQ(out.size, 40 + 70 + 70);
    EXPECT(!out.failed);
}

TEST(records_of_groups_and_storages_have_their_sizes_and_places)
{
    out = (struct writer){bytes, sizeof bytes, 0, false};
    fdfs_write_group(&out, &(struct fdfs_group_info){.name = "group1",
                               .total_mb = 1,
                               .free_mb = 2,
                               .storage_count = 5,
                               .storage_port = 23000,
                               .readable_count = 7,
                               .writable_count = 8,
                               .path_count = 10});
    EXPECT_EQ(out.size, FDFS_GROUP_RECORD);
    EXPECT_EQ(get_u64_be(bytes + 17 + 8 * 1), 2);
    EXPECT_EQ(get_u64_be(bytes + 17 + 8 * 4), 5);
    EXPECT_EQ(get_u64_be(bytes + 17 + 8 * 5), 23000);
    EXPECT_EQ(get_u64_be(bytes + 17 + 8 * 9), 10);
    struct fdfs_storage_info info = {.state = FDFS_STATE_ACTIVE,
        .id = "1",
        .address = "10.0.0.7",
        .version = "6.16",
        .free_mb = 4,
        .port = 23000,
        .heartbeat_s = 99};
    out.size = 0;
    fdfs_write_storage(&out, &info, FDFS_IPV4_TEXT);
    EXPECT_EQ(out.size, FDFS_STORAGE_RECORD);
    EXPECT_EQ(bytes[0], 7);
    EXPECT(memcmp(bytes + 18, "10.0.0.7", 9) == 0);
    EXPECT_EQ(get_u64_be(bytes + 58 + 8 * 3), 4);
    EXPECT_EQ(get_u64_be(bytes + 58 + 8 * 9), 23000);
    EXPECT_EQ(get_u64_be(bytes + 58 + 80 + 12 + 8 * 41), 99);
    out.size = 0;
    fdfs_write_storage(&out, &info, FDFS_IPV6_TEXT);
    EXPECT_EQ(out.size, FDFS_STORAGE_RECORD_IPV6);
    out = (struct writer){bytes, 100, 0, false};
    fdfs_write_storage(&out, &info, FDFS_IPV4_TEXT);
    EXPECT(out.failed);
}

/* ---- metadata ---- */

static struct span merged;

static err_t merge(const char *old, const char *given)
{
    out = (struct writer){bytes, 1024, 0, false};
    err_t err = fdfs_meta_merge(span_of_text(old), span_of_text(given), &out);
    merged = span_of(bytes, out.size);
    return err;
}

TEST(metadata_is_sorted_and_the_last_of_equal_names_counts)
{
    EXPECT_OK(merge("", "width\2"
                        "1\1height\2"
                        "2\1width\2"
                        "3\1a\2"));
    EXPECT(is_text(merged, "a\2\1height\2"
                           "2\1width\2"
                           "3"));
    EXPECT_OK(merge("", ""));
    EXPECT_EQ(merged.size, 0);
}

TEST(metadata_is_merged_into_what_is_there)
{
    EXPECT_OK(merge("a\2"
                    "1\1c\2"
                    "3",
        "b\2"
        "2\1c\2"
        "4"));
    EXPECT(is_text(merged, "a\2"
                           "1\1b\2"
                           "2\1c\2"
                           "4"));
}

TEST(metadata_with_bad_records_is_refused)
{
    char text[FDFS_META_VALUE_MAX + FDFS_META_NAME_MAX + 10];
    EXPECT_ERR(merge("", "name"), USAGE);
    EXPECT_ERR(merge("", "\2value"), USAGE);
    EXPECT_ERR(merge("", "a\2"
                         "1\1\1b\2"
                         "2"),
        USAGE);
    EXPECT_ERR(merge("", "a\2"
                         "1\2"
                         "2"),
        USAGE);
    (void)snprintf(text, sizeof text, "%065d\2v", 0);
    EXPECT_ERR(merge("", text), USAGE);
    EXPECT_OK(merge("", text + 1));
    (void)snprintf(text, sizeof text, "n\2%0257d", 0);
    EXPECT_ERR(merge("", text), USAGE);
    (void)snprintf(text, sizeof text, "n\2%0256d", 0);
    EXPECT_OK(merge("", text));
}

TEST(metadata_that_does_not_fit_is_refused)
{
    char text[4096];
    size_t size = 0;
    for (int i = 0; i < FDFS_META_ITEMS_MAX + 1; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, "%sn%d\2v", i > 0 ? "\1" : "", i);
    EXPECT_ERR(merge("", text), TOO_LARGE);
    *strrchr(text, '\1') = '\0';
    EXPECT_OK(merge("", text));
    out.capacity = merged.size - 1;
    out.size = 0;
    EXPECT_ERR(fdfs_meta_merge(span_of_text(""), span_of_text(text), &out), TOO_LARGE);
}

/* ---- tokens ---- */

#define TOKEN "51d2a19ed659bb425c95f5a3307f1b7d"

TEST(tokens_are_those_of_fastdfs_and_expire)
{
    char token[FDFS_TOKEN_SIZE + 1];
    struct span name = span_of_text(NAME), secret = span_of_text("FastDFS1234567890");
    struct span given = span_of_text(TOKEN);
    fdfs_token(name, secret, 1795453379, token);
    EXPECT_TEXT(token, TOKEN);
    EXPECT(fdfs_token_is_valid(given, name, secret, 1795453379, 1795453379 + 600, 600));
    EXPECT(!fdfs_token_is_valid(given, name, secret, 1795453379, 1795453379 + 601, 600));
    EXPECT(!fdfs_token_is_valid(given, name, secret, 1795453380, 1795453380, 600));
    EXPECT(!fdfs_token_is_valid(
        given, span_of(name.data + 1, name.size - 1), secret, 1795453379, 0, 600));
    EXPECT(!fdfs_token_is_valid(given, name, span_of_text("another"), 1795453379, 0, 600));
    EXPECT(!fdfs_token_is_valid(given, name, span_of_text(""), 1795453379, 0, 600));
    EXPECT(!fdfs_token_is_valid(span_of(given.data, 31), name, secret, 1795453379, 0, 600));
}
