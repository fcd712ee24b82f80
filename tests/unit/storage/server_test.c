#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/crc.h"
#include "tests/unit/storage/hall.h"

static struct hall hall;
static struct visitor visitor;
static uint8_t content[8 << 20];

static const size_t sizes[] = {0, 1, 100, 4096, 16 * 1024, 16 * 1024 + 1, 60000, 64 * 1024,
    64 * 1024 + 1, 200000, 262144, 1 << 20, 5000000};

static void begin(uint32_t mounts, uint32_t loops)
{
    hall_make(&hall, mounts, loops);
    EXPECT_OK(hall_start(&hall));
    visitor_open(&visitor, &hall);
}

static void end(void)
{
    visitor_close(&visitor);
    hall_stop(&hall);
    hall_remove(&hall);
}

static void expect_content(const char *id, const uint8_t *data, size_t size)
{
    struct span got;
    struct msg_found found;
    int code = visitor_get(&visitor, id, 0, 0, &got, &found);
    if (code)
        (void)fprintf(stderr, "%s: %s\n", id, visitor.error_text);
    EXPECT_EQ(code, 0);
    EXPECT_EQ(got.size, size);
    EXPECT_EQ(found.total, size);
    EXPECT(size == 0 || memcmp(got.data, data, size) == 0);
    EXPECT_EQ(found.crc, crc32_update(0, data, size));
}

TEST(starts_empty_answers_ping_and_stops)
{
    unsigned before = hall_descriptors();
    begin(1, 1);
    EXPECT_EQ(visitor_ping(&visitor), 0);
    end();
    EXPECT_EQ(hall_descriptors(), before);
}

TEST(contents_of_all_sizes_come_back)
{
    static char ids[ARRAY_LEN(sizes)][FID_TEXT_MAX];
    begin(1, 2);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        bytes_make(content, sizes[i], i);
        EXPECT_EQ(visitor_put(&visitor, content, sizes[i], NULL, ids[i], NULL), 0);
        expect_content(ids[i], content, sizes[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        bytes_make(content, sizes[i], i);
        expect_content(ids[i], content, sizes[i]);
    }
    end();
}

TEST(ranges_come_back_exactly_and_a_range_outside_is_refused)
{
    char small[FID_TEXT_MAX], large[FID_TEXT_MAX];
    struct span got;
    struct msg_found found;
    begin(1, 1);
    bytes_make(content, 1 << 20, 5);
    EXPECT_EQ(visitor_put(&visitor, content, 1000, NULL, small, NULL), 0);
    EXPECT_EQ(visitor_put(&visitor, content, 1 << 20, NULL, large, NULL), 0);
    EXPECT_EQ(visitor_get(&visitor, small, 10, 20, &got, &found), 0);
    EXPECT(got.size == 20 && memcmp(got.data, content + 10, 20) == 0);
    EXPECT_EQ(found.total, 1000);
    EXPECT_EQ(found.offset, 10);
    EXPECT_EQ(visitor_get(&visitor, large, 65530, 300000, &got, &found), 0);
    EXPECT(got.size == 300000 && memcmp(got.data, content + 65530, 300000) == 0);
    EXPECT_EQ(visitor_get(&visitor, large, (1 << 20) - 5, 0, &got, NULL), 0);
    EXPECT(got.size == 5);
    EXPECT_EQ(visitor_get(&visitor, small, 1001, 5, &got, NULL), ERR_CODE_RANGE);
    EXPECT_EQ(visitor_ping(&visitor), 0);
    end();
}

TEST(an_upload_of_unknown_size_in_small_frames_is_stored)
{
    char id[FID_TEXT_MAX];
    begin(1, 1);
    bytes_make(content, 300000, 9);
    struct put put = {.size_unknown = true, .frame_size = 1000};
    EXPECT_EQ(visitor_put(&visitor, content, 300000, &put, id, NULL), 0);
    expect_content(id, content, 300000);
    EXPECT_EQ(visitor_put(&visitor, content, 5000, &put, id, NULL), 0);
    expect_content(id, content, 5000);
    end();
}

TEST(modify_makes_versions_and_compares_them)
{
    char id[FID_TEXT_MAX];
    struct msg_uploaded uploaded;
    struct msg_modified modified;
    struct version any = {0};
    begin(1, 2);
    struct put put = {.is_mutable = 1};
    for (int large = 0; large < 2; large++) {
        size_t size = large ? 200000 : 2000;
        bytes_make(content, size, 3);
        EXPECT_EQ(visitor_put(&visitor, content, size, &put, id, &uploaded), 0);
        memset(content + 100, 'x', 50);
        EXPECT_EQ(
            visitor_modify(&visitor, id, MODIFY_WRITE, 100, content + 100, 50, any, &modified), 0);
        EXPECT_EQ(modified.version.counter, uploaded.version.counter + 1);
        expect_content(id, content, size);
        EXPECT_EQ(
            visitor_modify(&visitor, id, MODIFY_APPEND, 0, "tail", 4, modified.version, NULL), 0);
        memcpy(content + size, "tail", 4);
        expect_content(id, content, size + 4);
        EXPECT_EQ(visitor_modify(&visitor, id, MODIFY_APPEND, 0, "tail", 4, modified.version, NULL),
            ERR_CODE_CONFLICT);
        EXPECT_EQ(visitor.error_version.counter, modified.version.counter + 1);
        EXPECT_EQ(visitor_modify(&visitor, id, MODIFY_TRUNCATE, 7, NULL, 0, any, &modified), 0);
        EXPECT_EQ(modified.size, 7);
        expect_content(id, content, 7);
        bytes_make(content, 300000, 8);
        EXPECT_EQ(visitor_modify(&visitor, id, MODIFY_REPLACE, 0, content, 300000, any, NULL), 0);
        expect_content(id, content, 300000);
    }
    end();
}

TEST(an_immutable_file_refuses_modify)
{
    char id[FID_TEXT_MAX];
    begin(1, 2);
    EXPECT_EQ(visitor_put(&visitor, "abc", 3, NULL, id, NULL), 0);
    EXPECT_EQ(visitor_modify(&visitor, id, MODIFY_REPLACE, 0, "x", 1, (struct version){0}, NULL),
        ERR_CODE_IMMUTABLE);
    expect_content(id, (const uint8_t *)"abc", 3);
    end();
}

TEST(stat_tells_what_was_uploaded)
{
    char id[FID_TEXT_MAX];
    struct msg_stated stated;
    begin(1, 2);
    bytes_make(content, 500000, 2);
    for (int i = 0; i < 4; i++) {
        size_t size = i % 2 ? 500000 : 500;
        struct put put = {.is_mutable = i >= 2};
        EXPECT_EQ(visitor_put(&visitor, content, size, &put, id, NULL), 0);
        EXPECT_EQ(visitor_stat(&visitor, id, &stated), 0);
        EXPECT_EQ(stated.size, size);
        EXPECT_EQ(stated.crc, crc32_update(0, content, size));
        EXPECT_EQ(stated.is_mutable, i >= 2);
        EXPECT_EQ(stated.is_packed, i % 2 == 0);
        EXPECT_EQ(stated.origin, 7);
        EXPECT(span_equals_text(stated.pool, "photos"));
        EXPECT(span_equals_text(stated.content_type, "text/x-test"));
    }
    end();
}

TEST(what_is_deleted_is_not_found_and_deleting_it_again_is_no_error)
{
    char id[FID_TEXT_MAX];
    struct span got;
    struct msg_stated stated;
    bool existed = false;
    begin(1, 2);
    for (int i = 0; i < 2; i++) {
        EXPECT_EQ(visitor_put(&visitor, content, i ? 100000 : 10, NULL, id, NULL), 0);
        EXPECT_EQ(visitor_delete(&visitor, id, &existed), 0);
        EXPECT(existed);
        EXPECT_EQ(visitor_get(&visitor, id, 0, 0, &got, NULL), ERR_CODE_NOT_FOUND);
        EXPECT_EQ(visitor_stat(&visitor, id, &stated), ERR_CODE_NOT_FOUND);
        EXPECT_EQ(visitor_delete(&visitor, id, &existed), 0);
        EXPECT(!existed);
    }
    end();
}

static void expect_refused(int code, int wanted, const char *part)
{
    EXPECT_EQ(code, wanted);
    if (!strstr(visitor.error_text, part))
        (void)fprintf(stderr, "said: %s\n", visitor.error_text);
    EXPECT(strstr(visitor.error_text, part) != NULL);
    EXPECT_EQ(visitor_ping(&visitor), 0);
}

TEST(a_refused_request_leaves_the_connection_usable)
{
    char id[FID_TEXT_MAX], other[FID_TEXT_MAX];
    struct span got;
    begin(1, 2);
    bytes_make(content, 600000, 1);
    EXPECT_EQ(visitor_put(&visitor, content, 100, NULL, id, NULL), 0);
    struct put pool = {.pool = "music"};
    expect_refused(visitor_put(&visitor, content, 600000, &pool, other, NULL), ERR_CODE_WRONG_NODE,
        "pool music, this storage is in pool photos");
    struct put all = {.ack = ACK_ALL}, strange = {.ack = 9}, suffix = {.suffix = "a/b"};
    expect_refused(visitor_put(&visitor, content, 10, &all, other, NULL), ERR_CODE_UNAVAILABLE,
        "no mirror holds it");
    expect_refused(visitor_put(&visitor, content, 600000, &strange, other, NULL), ERR_CODE_USAGE,
        "acknowledgement");
    expect_refused(
        visitor_put(&visitor, content, 10, &suffix, other, NULL), ERR_CODE_USAGE, "suffix");
    struct put odd = {.is_mutable = 7};
    expect_refused(
        visitor_put(&visitor, content, 10, &odd, other, NULL), ERR_CODE_USAGE, "mutable");
    expect_refused(visitor_get(&visitor, "no id", 0, 0, &got, NULL), ERR_CODE_USAGE, "malformed");
    (void)snprintf(other, sizeof other, "%s", id);
    other[1] = '9'; /* g9 */
    expect_refused(
        visitor_get(&visitor, other, 0, 0, &got, NULL), ERR_CODE_WRONG_NODE, "does not hold");
    expect_refused(visitor_modify(&visitor, id, 77, 0, "x", 1, (struct version){0}, NULL),
        ERR_CODE_USAGE, "malformed");
    struct writer nothing = {0};
    struct reply *reply = malloc(sizeof *reply);
    (void)visitor_send(&visitor, MSG_HEARTBEAT, &nothing, NULL, 0);
    EXPECT(visitor_receive(&visitor, reply));
    expect_refused(reply->code, ERR_CODE_UNSUPPORTED, "does not serve");
    (void)visitor_send(&visitor, MSG_UPLOAD, &nothing, "zz", 2);
    EXPECT(visitor_receive(&visitor, reply));
    expect_refused(reply->code, ERR_CODE_PROTOCOL, "");
    free(reply);
    expect_content(id, content, 100);
    end();
}

TEST(a_memory_acknowledgement_says_so)
{
    char id[FID_TEXT_MAX];
    struct msg_uploaded uploaded;
    begin(1, 1);
    struct put put = {.ack = ACK_MEMORY};
    EXPECT_EQ(visitor_put(&visitor, "abc", 3, &put, id, &uploaded), 0);
    EXPECT_EQ(uploaded.ack, ACK_MEMORY);
    EXPECT_EQ(uploaded.holder_count, 1);
    EXPECT_EQ(uploaded.machine, 7);
    expect_content(id, (const uint8_t *)"abc", 3);
    end();
}

TEST(a_thousand_pipelined_requests_are_answered_once_each)
{
    enum { COUNT = 1000 };
    static bool seen[COUNT + 1];
    char id[FID_TEXT_MAX];
    uint8_t bytes[256];
    memset(seen, 0, sizeof seen);
    begin(1, 2);
    bytes_make(content, 300, 4);
    EXPECT_EQ(visitor_put(&visitor, content, 300, NULL, id, NULL), 0);
    struct writer w = {.data = bytes, .capacity = sizeof bytes};
    msg_find_encode(&(struct msg_find){.id = span_of_text(id)}, &w);
    uint64_t first = visitor.next_id + 1;
    for (int i = 0; i < COUNT; i++)
        (void)visitor_send(&visitor, MSG_FIND, &w, NULL, 0);
    struct reply *reply = malloc(sizeof *reply);
    for (int i = 0; i < COUNT; i++) {
        EXPECT(visitor_receive(&visitor, reply));
        EXPECT_EQ(reply->code, 0);
        EXPECT(reply->size == 300 && memcmp(reply->data, content, 300) == 0);
        EXPECT(reply->request >= first && reply->request < first + COUNT);
        EXPECT(!seen[reply->request - first]);
        seen[reply->request - first] = true;
    }
    free(reply);
    end();
}

/* ---- the walk ---- */

static int compare_ids(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void expect_list(char *expected, size_t count, uint32_t page)
{
    static char listed[2000 * FID_TEXT_MAX];
    size_t found = visitor_list(&visitor, listed, 2000, page);
    qsort(expected, count, FID_TEXT_MAX, compare_ids);
    qsort(listed, found, FID_TEXT_MAX, compare_ids);
    for (size_t i = 0; i < count && i < found; i++)
        EXPECT_TEXT(listed + i * FID_TEXT_MAX, expected + i * FID_TEXT_MAX);
    EXPECT_EQ(found, count);
}

TEST(list_makes_every_id_again)
{
    enum { COUNT = 300 };
    static char ids[COUNT * FID_TEXT_MAX];
    begin(2, 2);
    for (size_t i = 0; i < COUNT; i++) {
        size_t size = i % 10 == 0 ? 70000 + i : i % 10 == 1 ? 40000 : i * 7;
        struct put put = {.is_mutable = i % 3 == 0, .suffix = i % 2 ? "jpg" : ""};
        bytes_make(content, size, i);
        EXPECT_EQ(visitor_put(&visitor, content, size, &put, ids + i * FID_TEXT_MAX, NULL), 0);
    }
    struct version any = {0};
    EXPECT_EQ(visitor_modify(&visitor, ids, MODIFY_APPEND, 0, "x", 1, any, NULL), 0);
    EXPECT_EQ(visitor_modify(
                  &visitor, ids + 3 * FID_TEXT_MAX, MODIFY_REPLACE, 0, content, 5000, any, NULL),
        0);
    EXPECT_EQ(visitor_modify(
                  &visitor, ids + 6 * FID_TEXT_MAX, MODIFY_REPLACE, 0, content, 100000, any, NULL),
        0);
    EXPECT_EQ(visitor_modify(
                  &visitor, ids + 30 * FID_TEXT_MAX, MODIFY_REPLACE, 0, content, 90000, any, NULL),
        0);
    for (size_t i = COUNT - 20; i < COUNT; i++)
        EXPECT_EQ(visitor_delete(&visitor, ids + i * FID_TEXT_MAX, NULL), 0);
    expect_list(ids, COUNT - 20, 7);
    expect_list(ids, COUNT - 20, 0);
    visitor_close(&visitor);
    hall_stop(&hall);
    EXPECT_OK(hall_start(&hall));
    visitor_open(&visitor, &hall);
    expect_list(ids, COUNT - 20, 100);
    end();
}

TEST(a_strange_cursor_is_refused)
{
    uint8_t bytes[64];
    struct reply *reply = malloc(sizeof *reply);
    begin(1, 1);
    struct writer w = {.data = bytes, .capacity = sizeof bytes};
    msg_list_encode(&(struct msg_list){.cursor = span_of_text("123456789012345678901234")}, &w);
    (void)visitor_send(&visitor, MSG_LIST, &w, NULL, 0);
    EXPECT(visitor_receive(&visitor, reply));
    EXPECT_EQ(reply->code, ERR_CODE_USAGE);
    EXPECT_EQ(visitor_ping(&visitor), 0);
    free(reply);
    end();
}

/* ---- lives ---- */

TEST(a_restart_finds_everything_also_with_another_number_of_loops)
{
    enum { COUNT = 60 };
    static char ids[COUNT][FID_TEXT_MAX];
    begin(2, 2);
    for (size_t i = 0; i < COUNT; i++) {
        bytes_make(content, i * 3000, i);
        EXPECT_EQ(visitor_put(&visitor, content, i * 3000, NULL, ids[i], NULL), 0);
    }
    for (uint32_t loops = 1; loops <= 3; loops++) {
        visitor_close(&visitor);
        hall_stop(&hall);
        hall.loops = loops;
        EXPECT_OK(hall_start(&hall));
        visitor_open(&visitor, &hall);
        for (size_t i = 0; i < COUNT; i++) {
            bytes_make(content, i * 3000, i);
            expect_content(ids[i], content, i * 3000);
        }
        char id[FID_TEXT_MAX];
        for (int i = 0; i < 6; i++)
            EXPECT_EQ(visitor_put(&visitor, "again", 5, NULL, id, NULL), 0);
        EXPECT_EQ(visitor_delete(&visitor, id, NULL), 0);
    }
    end();
}

TEST(status_is_what_operators_need)
{
    char id[FID_TEXT_MAX];
    begin(2, 2);
    for (int i = 0; i < 5; i++)
        EXPECT_EQ(visitor_put(&visitor, "abc", 3, NULL, id, NULL), 0);
    const char *status = visitor_status(&visitor);
    static const char *const parts[] = {"\"schema_version\":1", "\"role\":\"storage\"",
        "\"machine\":7", "\"group\":\"g1\"", "\"pool\":\"photos\"", "\"state\":\"running\"",
        "\"uploads\":5", "\"live_files\":5", "\"connections\":1", "\"state\":\"online\"",
        "\"descriptor_limit\":20000", "\"index\":1", "\"checkpoint_age_ms\":", "\"cpu_user_ns\":"};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (!strstr(status, parts[i]))
            (void)fprintf(stderr, "%s is not in %s\n", parts[i], status);
        EXPECT(strstr(status, parts[i]) != NULL);
    }
    end();
}

TEST(a_foreign_or_second_use_of_a_directory_is_refused_by_name)
{
    begin(1, 1);
    static struct hall second;
    second = hall;
    second.log_size = 0;
    EXPECT_EQ(pipe(second.signal_pipe), 0);
    EXPECT_EQ(pthread_mutex_init(&second.log_lock, NULL), 0);
    second.is_up = false;
    EXPECT_ERR(hall_start(&second), BUSY);
    EXPECT(hall_logged(&second, "another server uses it"));
    visitor_close(&visitor);
    hall_stop(&hall);
    second.flags[0] = "--machine=m008";
    EXPECT_ERR(hall_start(&second), FOREIGN);
    EXPECT(hall_logged(&second, "another machine number"));
    second.flags[0] = "--chunk-size=8MiB";
    EXPECT_ERR(hall_start(&second), USAGE);
    EXPECT(hall_logged(&second, "set chunk_size = 4194304"));
    (void)close(second.signal_pipe[0]);
    (void)close(second.signal_pipe[1]);
    hall_remove(&hall);
}

TEST(one_mount_point_that_cannot_be_opened_does_not_stop_the_other)
{
    char id[FID_TEXT_MAX], path[256], away[256];
    begin(2, 2);
    visitor_close(&visitor);
    hall_stop(&hall);
    (void)snprintf(path, sizeof path, "%s/cairn.mount", hall.mounts[1]);
    (void)snprintf(away, sizeof away, "%s/away", hall.mounts[1]);
    EXPECT_EQ(rename(path, away), 0);
    EXPECT_OK(hall_start(&hall));
    EXPECT(hall_logged(&hall, "mount_point_out"));
    visitor_open(&visitor, &hall);
    for (int i = 0; i < 4; i++) {
        EXPECT_EQ(visitor_put(&visitor, "abc", 3, NULL, id, NULL), 0);
        EXPECT(strstr(id, "/M00/") != NULL);
    }
    const char *status = visitor_status(&visitor);
    EXPECT(strstr(status, "\"state\":\"out\"") != NULL);
    EXPECT(strstr(status, "lost everything") != NULL);
    end();
}

TEST(what_was_acknowledged_survives_kill)
{
    enum { COUNT = 50 };
    static char ids[COUNT][FID_TEXT_MAX];
    uint16_t port;
    int status;
    hall_make(&hall, 2, 2);
    pid_t child = hall_fork(&hall, &port);
    visitor_open_port(&visitor, port);
    for (size_t i = 0; i < COUNT; i++) {
        struct put put = {.is_mutable = 1};
        bytes_make(content, i * 3000, i);
        EXPECT_EQ(visitor_put(&visitor, content, i * 3000, &put, ids[i], NULL), 0);
    }
    EXPECT_EQ(
        visitor_modify(&visitor, ids[7], MODIFY_APPEND, 0, "x", 1, (struct version){0}, NULL), 0);
    EXPECT_EQ(visitor_delete(&visitor, ids[9], NULL), 0);
    EXPECT_EQ(kill(child, SIGKILL), 0);
    EXPECT_EQ(waitpid(child, &status, 0), child);
    visitor_close(&visitor);
    EXPECT_OK(hall_start(&hall));
    visitor_open(&visitor, &hall);
    for (size_t i = 0; i < COUNT; i++) {
        struct span got;
        size_t size = i * 3000;
        bytes_make(content, size, i);
        if (i == 7)
            content[size++] = 'x';
        if (i == 9)
            EXPECT_EQ(visitor_get(&visitor, ids[i], 0, 0, &got, NULL), ERR_CODE_NOT_FOUND);
        else
            expect_content(ids[i], content, size);
    }
    end();
}

TEST(a_stop_under_load_answers_what_it_took_and_leaves_nothing)
{
    enum { COUNT = 400 };
    static char ids[COUNT][FID_TEXT_MAX];
    uint8_t bytes[512];
    unsigned before = hall_descriptors();
    size_t count = 0;
    begin(1, 2);
    bytes_make(content, 3000, 6);
    struct writer w = {.data = bytes, .capacity = sizeof bytes};
    msg_upload_encode(&(struct msg_upload){.ack = ACK_LOCAL, .size_known = 1, .size = 3000}, &w);
    for (int i = 0; i < COUNT; i++)
        (void)visitor_send(&visitor, MSG_UPLOAD, &w, content, 3000);
    hall_begin_stop(&hall);
    struct reply *reply = malloc(sizeof *reply);
    while (visitor_receive(&visitor, reply)) {
        struct msg_uploaded uploaded;
        if (reply->type != MSG_UPLOADED)
            continue;
        EXPECT_OK(msg_uploaded_decode(span_of(reply->meta, reply->meta_size), &uploaded));
        EXPECT(span_to_text(uploaded.id, ids[count++], FID_TEXT_MAX));
    }
    free(reply);
    visitor_close(&visitor);
    hall_join(&hall);
    EXPECT_EQ(hall_descriptors(), before + 2); /* the fixture's pipe */
    EXPECT_OK(hall_start(&hall));
    visitor_open(&visitor, &hall);
    for (size_t i = 0; i < count; i++)
        expect_content(ids[i], content, 3000);
    end();
}

TEST(clients_that_vanish_leave_nothing_behind)
{
    begin(1, 2);
    char id[FID_TEXT_MAX];
    uint8_t bytes[512], frame_bytes[FRAME_HEADER_SIZE];
    bytes_make(content, 4 << 20, 6);
    EXPECT_EQ(visitor_put(&visitor, content, 4 << 20, NULL, id, NULL), 0);
    for (int i = 0; i < 20; i++) {
        struct visitor other;
        struct writer w = {.data = bytes, .capacity = sizeof bytes};
        visitor_open(&other, &hall);
        if (i % 2) {
            msg_upload_encode(
                &(struct msg_upload){.ack = ACK_LOCAL, .size_known = 1, .size = 1 << 20}, &w);
            struct frame frame = {.request = 9,
                .meta_size = (uint32_t)w.size,
                .data_size = 1000,
                .flags = FRAME_MORE,
                .type = MSG_UPLOAD};
            frame.body_crc = crc32_update(crc32_update(0, bytes, w.size), content, 1000);
            frame_encode_header(&frame, frame_bytes);
            EXPECT_EQ(
                write(other.fd, frame_bytes, sizeof frame_bytes), (ssize_t)sizeof frame_bytes);
            EXPECT_EQ(write(other.fd, bytes, w.size), (ssize_t)w.size);
            EXPECT_EQ(write(other.fd, content, 1000), 1000);
        } else {
            msg_find_encode(&(struct msg_find){.id = span_of_text(id)}, &w);
            (void)visitor_send(&other, MSG_FIND, &w, NULL, 0);
        }
        visitor_close(&other);
    }
    expect_content(id, content, 4 << 20);
    static char ids[10 * FID_TEXT_MAX];
    EXPECT_EQ(visitor_list(&visitor, ids, 10, 0), 1);
    end();
}

TEST(a_disk_down_to_its_reserve_reads_and_deletes_but_takes_no_more_chunks)
{
    char first[FID_TEXT_MAX], id[FID_TEXT_MAX];
    int code = 0;
    begin(1, 1);
    bytes_make(content, 60000, 6);
    EXPECT_EQ(visitor_put(&visitor, content, 60000, NULL, first, NULL), 0);
    visitor_close(&visitor);
    hall_stop(&hall);
    hall.flags[0] = "--reserve=1000TiB";
    EXPECT_OK(hall_start(&hall));
    visitor_open(&visitor, &hall);
    int taken = 0;
    while ((code = visitor_put(&visitor, content, 60000, NULL, id, NULL)) == 0)
        EXPECT(++taken < 300);
    EXPECT_EQ(code, ERR_CODE_NO_SPACE);
    EXPECT_EQ(visitor_put(&visitor, content, 1 << 20, NULL, id, NULL), ERR_CODE_NO_SPACE);
    expect_content(first, content, 60000);
    EXPECT_EQ(visitor_delete(&visitor, first, NULL), 0);
    EXPECT(strstr(visitor_status(&visitor), "\"state\":\"full\"") != NULL);
    end();
}

TEST(a_mount_point_that_fails_is_fenced_alone_and_on_every_loop)
{
    char ids[2][FID_TEXT_MAX], id[FID_TEXT_MAX];
    struct span got;
    hall_make(&hall, 2, 2);
    EXPECT_OK(hall_start(&hall));
    visitor_open(&visitor, &hall);
    for (int i = 0; i < 2; i++) {
        EXPECT_EQ(visitor_put(&visitor, "abc", 3, NULL, id, NULL), 0);
        memcpy(ids[strstr(id, "/M01/") != NULL], id, sizeof id);
    }
    hall_fence(&hall, 1, 1);
    while (!strstr(visitor_status(&visitor), "\"state\":\"fenced\"")) {
    }
    EXPECT(hall_logged(&hall, "mount_point_out"));
    EXPECT(strstr(visitor_status(&visitor), "\"mounts_online\":1") != NULL);
    for (int i = 0; i < 8; i++) {
        struct visitor other;
        visitor_open(&other, &hall);
        EXPECT_EQ(visitor_get(&other, ids[1], 0, 0, &got, NULL), ERR_CODE_OFFLINE);
        EXPECT_EQ(visitor_delete(&other, ids[1], NULL), ERR_CODE_OFFLINE);
        EXPECT_EQ(visitor_put(&other, "abc", 3, NULL, id, NULL), 0);
        EXPECT(strstr(id, "/M00/") != NULL);
        visitor_close(&other);
    }
    expect_content(ids[0], (const uint8_t *)"abc", 3);
    EXPECT_EQ(visitor_delete(&visitor, ids[0], NULL), 0);
    end();
}

/* Damage in a slot: only the loop that owns the file may say CORRUPT; the others must ask it. */
TEST(damage_is_told_as_such_whichever_loop_is_asked)
{
    char id[FID_TEXT_MAX], other_id[FID_TEXT_MAX], path[512];
    struct span got;
    struct fid fid;
    struct msg_stated stated;
    begin(1, 2);
    bytes_make(content, 60000, 4);
    EXPECT_EQ(visitor_put(&visitor, content, 60000, NULL, id, NULL), 0);
    EXPECT_EQ(visitor_put(&visitor, content, 60000, NULL, other_id, NULL), 0);
    EXPECT_OK(fid_parse(span_of_text(id), &fid));
    struct chunk_key key = {7, fid.mount, fid.stream, fid.chunk};
    char name[CHUNK_NAME_MAX];
    chunk_path(name, &key);
    (void)snprintf(path, sizeof path, "%s/%s", hall.mounts[0], name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    EXPECT(fd >= 0);
    EXPECT_EQ(pwrite(fd, "rot", 3, fid.offset + 30000), 3);
    for (int i = 0; i < 12; i++) {
        struct visitor other;
        visitor_open(&other, &hall);
        EXPECT_EQ(visitor_get(&other, id, 0, 0, &got, NULL), ERR_CODE_CORRUPT);
        EXPECT_EQ(visitor_stat(&other, id, &stated), 0);
        visitor_close(&other);
    }
    EXPECT_EQ(pwrite(fd, "rot", 3, fid.offset + 10), 3); /* now the header too */
    (void)close(fd);
    for (int i = 0; i < 12; i++) {
        struct visitor other;
        visitor_open(&other, &hall);
        EXPECT_EQ(visitor_get(&other, id, 0, 0, &got, NULL), ERR_CODE_CORRUPT);
        EXPECT_EQ(visitor_stat(&other, id, &stated), ERR_CODE_CORRUPT);
        EXPECT_EQ(visitor_get(&other, other_id, 0, 0, &got, NULL), 0);
        visitor_close(&other);
    }
    end();
}

TEST(sixty_four_descriptors_are_kept_to_under_load)
{
    static char ids[60][FID_TEXT_MAX];
    struct visitor others[3];
    hall_make(&hall, 1, 2);
    unsigned before = hall_descriptors() - 4; /* the budget's own base */
    hall.descriptor_limit = 64;
    EXPECT_OK(hall_start(&hall));
    EXPECT_EQ(hall.storage->loop_count, 1);
    visitor_open(&visitor, &hall);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        visitor_open(&others[i], &hall);
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        struct put put = {.is_mutable = 1};
        bytes_make(content, 100000, i);
        EXPECT_EQ(visitor_put(&visitor, content, i % 2 ? 100000 : 60000, &put, ids[i], NULL), 0);
        EXPECT(hall_descriptors() - before - 4 <= 64); /* four visitors */
    }
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        bytes_make(content, 100000, i);
        expect_content(ids[i], content, i % 2 ? 100000 : 60000);
    }
    EXPECT(strstr(visitor_status(&visitor), "\"is_shrunk\":true") != NULL);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        visitor_close(&others[i]);
    end();
    hall_make(&hall, 1, 2);
    hall.descriptor_limit = 40;
    EXPECT_ERR(hall_start(&hall), NO_RESOURCE);
    hall_remove(&hall);
}

TEST(a_client_that_never_finishes_its_upload_does_not_hold_up_the_end)
{
    uint8_t bytes[512], header[FRAME_HEADER_SIZE];
    hall_make(&hall, 1, 2);
    hall.flags[0] = "--drain-timeout=0";
    EXPECT_OK(hall_start(&hall));
    visitor_open(&visitor, &hall);
    struct writer w = {.data = bytes, .capacity = sizeof bytes};
    msg_upload_encode(&(struct msg_upload){.ack = ACK_LOCAL, .size_known = 1, .size = 1 << 20}, &w);
    struct frame frame = {
        .request = 9, .meta_size = (uint32_t)w.size, .flags = FRAME_MORE, .type = MSG_UPLOAD};
    frame.body_crc = crc32_update(0, bytes, w.size);
    frame_encode_header(&frame, header);
    EXPECT_EQ(write(visitor.fd, header, sizeof header), (ssize_t)sizeof header);
    EXPECT_EQ(write(visitor.fd, bytes, w.size), (ssize_t)w.size);
    struct visitor other;
    visitor_open(&other, &hall); /* the upload has begun */
    while (!strstr(visitor_status(&other), "\"operations\":1,\"m")) {
    }
    visitor_close(&other);
    hall_stop(&hall);
    EXPECT(hall_logged(&hall, "drain_cut"));
    visitor_close(&visitor);
    hall_remove(&hall);
}
