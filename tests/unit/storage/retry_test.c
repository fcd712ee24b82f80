/* Uploads that are asked for again: one file, one id, whatever became of the first request. */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "storage/recent.h"
#include "tests/unit/storage/hall.h"

static struct hall hall;
static struct visitor first, second;
static uint8_t content[1 << 20];
static char ids[64 * FID_TEXT_MAX];

static struct nonce nonce_of(uint8_t mark)
{
    return (struct nonce){{mark, 1, 2, 3, 4, 5, 6, 7, 8, 9}};
}

static void begin(uint32_t loops)
{
    hall_make(&hall, 1, loops);
    EXPECT_OK(hall_start(&hall));
    visitor_open(&first, &hall);
    visitor_open(&second, &hall);
}

static void end(void)
{
    visitor_close(&first);
    visitor_close(&second);
    hall_stop(&hall);
    hall_remove(&hall);
}

TEST(a_repeated_upload_is_answered_with_the_id_that_it_has)
{
    static const size_t sizes[] = {0, 100, 20000, 300000, 1 << 20};
    char id[FID_TEXT_MAX], again[FID_TEXT_MAX];
    begin(3);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct msg_uploaded told, told_again;
        struct put put = {.nonce = nonce_of((uint8_t)(i + 1)), .is_mutable = i % 2};
        bytes_make(content, sizes[i], i);
        EXPECT_EQ(visitor_put(&first, content, sizes[i], &put, id, &told), 0);
        put.is_retry = true;
        for (int k = 0; k < 6; k++) { /* on other loops, too */
            struct visitor other;
            visitor_open(&other, &hall);
            put.frame_size = k % 2 ? 70000 : 0;
            EXPECT_EQ(visitor_put(&other, content, sizes[i], &put, again, &told_again), 0);
            EXPECT_TEXT(again, id);
            EXPECT_EQ(told_again.size, told.size);
            EXPECT_EQ(told_again.crc, told.crc);
            EXPECT(version_equals(told_again.version, told.version));
            visitor_close(&other);
        }
    }
    EXPECT_EQ(visitor_list(&first, ids, 64, 100), ARRAY_LEN(sizes));
    end();
}

TEST(a_retry_of_what_never_came_is_stored)
{
    char id[FID_TEXT_MAX], again[FID_TEXT_MAX];
    begin(2);
    bytes_make(content, 5000, 1);
    struct put put = {.nonce = nonce_of(1), .is_retry = true};
    EXPECT_EQ(visitor_put(&first, content, 5000, &put, id, NULL), 0);
    EXPECT_EQ(visitor_put(&second, content, 5000, &put, again, NULL), 0);
    EXPECT_TEXT(again, id);
    EXPECT_EQ(visitor_list(&first, ids, 64, 100), 1);
    end();
}

TEST(the_mark_of_another_content_is_a_conflict_and_without_retry_nobody_asks)
{
    char id[FID_TEXT_MAX], other[FID_TEXT_MAX];
    begin(2);
    struct put put = {.nonce = nonce_of(1)};
    EXPECT_EQ(visitor_put(&first, "one", 3, &put, id, NULL), 0);
    EXPECT_EQ(visitor_put(&first, "two", 3, &put, other, NULL), 0);
    EXPECT(strcmp(id, other) != 0);
    put.is_retry = true;
    EXPECT_EQ(visitor_put(&first, "three", 5, &put, other, NULL), ERR_CODE_CONFLICT);
    EXPECT_EQ(visitor_put(&second, "one", 3, &put, other, NULL), 0);
    EXPECT_TEXT(other, id); /* the first of that mark */
    end();
}

TEST(a_retry_takes_the_place_of_an_upload_whose_content_is_still_to_come)
{
    static const size_t sizes[] = {5000, 400000};
    char id[FID_TEXT_MAX], late[FID_TEXT_MAX];
    begin(2);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct put put = {.nonce = nonce_of((uint8_t)(i + 1))};
        size_t half = sizes[i] / 2;
        bytes_make(content, sizes[i], i);
        visitor_put_begin(&first, content, sizes[i], &put, half);
        for (int k = 0; !strstr(visitor_status(&second), "\"operations\":1"); k++)
            EXPECT(k < 10000);
        put.is_retry = true;
        EXPECT_EQ(visitor_put(&second, content, sizes[i], &put, id, NULL), 0);
        EXPECT_EQ(visitor_put_end(&first, content + half, sizes[i] - half, late), ERR_CODE_BUSY);
        EXPECT_EQ(visitor_list(&first, ids, 64, 100), i + 1);
    }
    end();
}

TEST(a_crash_between_commit_and_answer_leaves_one_file)
{
    char id[FID_TEXT_MAX], again[FID_TEXT_MAX];
    uint16_t port;
    int status;
    hall_make(&hall, 1, 2);
    pid_t child = hall_fork(&hall, &port);
    visitor_open_port(&first, port);
    for (uint8_t i = 1; i <= 10; i++) {
        struct put put = {.nonce = nonce_of(i), .is_mutable = 1};
        bytes_make(content, i * 20000u, i);
        EXPECT_EQ(visitor_put(&first, content, i * 20000u, &put, id, NULL), 0);
    }
    EXPECT_EQ(kill(child, SIGKILL), 0);
    EXPECT_EQ(waitpid(child, &status, 0), child);
    visitor_close(&first);
    for (int life = 0; life < 2; life++) { /* after the crash, and after an orderly end */
        EXPECT_OK(hall_start(&hall));
        visitor_open(&first, &hall);
        struct put put = {.nonce = nonce_of(10), .is_mutable = 1, .is_retry = true};
        if (life == 0) {
            EXPECT_EQ(visitor_put(&first, content, 200000, &put, again, NULL), 0);
            EXPECT_TEXT(again, id);
        }
        EXPECT_EQ(visitor_list(&first, ids, 64, 100), 10);
        visitor_close(&first);
        hall_stop(&hall);
    }
    hall_remove(&hall);
}

/* ---- the window ---- */

TEST(the_window_forgets_the_oldest_and_knows_no_upload_without_a_mark)
{
    struct ledger ledger;
    struct mem mem;
    struct owner owner;
    struct recent recent;
    ledger_init(&ledger);
    mem_init(&mem, &ledger);
    owner_open(&owner, "test", DIRECTION_OWN, 0);
    EXPECT_OK(recent_init(&recent, &mem, 4, 1, &owner));
    recent_note(&recent, &(struct record){.kind = RECORD_UPLOAD});
    EXPECT_EQ(recent.next, 0);
    for (uint8_t i = 1; i <= 40; i++) {
        recent_note(&recent,
            &(struct record){.kind = RECORD_UPLOAD, .nonce = nonce_of(i), .total_size = i});
        recent_note(&recent, /* the same again: recovery after a checkpoint that was lost */
            &(struct record){.kind = RECORD_UPLOAD, .nonce = nonce_of(i), .total_size = 99});
        for (uint8_t k = 1; k <= 40; k++) {
            struct nonce nonce = nonce_of(k);
            const struct recent_upload *known = recent_find(&recent, &nonce);
            EXPECT_EQ(known != NULL, k <= i && k + 4 > i);
            EXPECT(!known || known->size == k);
        }
    }
    EXPECT(mem.bytes <= recent_bytes(4) + 64);
    recent_fini(&recent);
    recent_fini(&recent);
    EXPECT_OK(recent_init(&recent, &mem, 0, 1, &owner));
    struct nonce nonce = nonce_of(1);
    recent_note(&recent, &(struct record){.kind = RECORD_UPLOAD, .nonce = nonce});
    EXPECT(!recent_find(&recent, &nonce));
    recent_fini(&recent);
    owner_close(&owner);
    EXPECT_EQ(mem.bytes, 0);
}
