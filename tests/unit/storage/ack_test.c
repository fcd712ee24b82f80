/* Write concern in a group of whole storages, in the simulator: what `one` and `all` promise is so when
 * the answer comes, and an answer that promises less says who holds it. */
#include "base/units.h"
#include "tests/lib/test.h"
#include "tests/unit/storage/group.h"

enum { COUNT = 3, CONTENT_MAX = 300000 };

static const char *const flags[] = {"--ack-timeout=2s", NULL};

struct told {
    err_t err;
    struct fid fid;
    uint8_t ack;
    uint32_t holder_count;
    char holders[128];
    uint64_t took_ns;
};

static void open_all(struct group *group, uint64_t seed, unsigned count, const char *const *more)
{
    *group = (struct group){.flags = more};
    group_open(group, seed, count, 1);
    for (unsigned i = 0; i < count; i++)
        group_start(group, i);
    if (count > 1)
        group_introduce(group);
}

static void close_all(struct group *group)
{
    for (unsigned i = 0; i < group->count; i++)
        if (group->houses[i].is_there)
            group_stop(group, i);
    group_close(group);
}

static struct told upload(struct group *group, uint8_t ack, size_t size, unsigned mark)
{
    static uint8_t content[CONTENT_MAX];
    struct group_answer answer;
    struct msg_uploaded uploaded;
    uint64_t begin_ns = sim_world_now(group->world);
    group_fill(content, size, mark);
    struct writer fields = group_fields();
    msg_upload_encode(&(struct msg_upload){.nonce = {{(uint8_t)mark, (uint8_t)size, 1}},
                          .ack = ack,
                          .is_mutable = 1,
                          .size_known = 1,
                          .size = size},
        &fields);
    group_ask(group, 0, MSG_UPLOAD, &fields, content, size, &answer);
    struct told told = {.err = answer.err, .took_ns = sim_world_now(group->world) - begin_ns};
    if (err_is(answer.err))
        return told;
    EXPECT_EQ(answer.type, MSG_UPLOADED);
    EXPECT_OK(msg_uploaded_decode(span_of(answer.meta, answer.meta_size), &uploaded));
    EXPECT_OK(fid_parse(uploaded.id, &told.fid));
    EXPECT(span_to_text(uploaded.holders, told.holders, sizeof told.holders));
    told.ack = uploaded.ack;
    told.holder_count = uploaded.holder_count;
    return told;
}

static void expect_told(const struct told *told, uint8_t ack, const char *holders)
{
    EXPECT_OK(told->err);
    EXPECT_EQ(told->ack, ack);
    EXPECT_TEXT(told->holders, holders);
    EXPECT_EQ(told->holder_count, (strlen(holders) + 1) / 5);
}

TEST(what_all_hold_is_at_every_storage_when_it_is_answered)
{
    static const size_t sizes[] = {0, 100, 3000, 16 * 1024, 70000, CONTENT_MAX};
    struct group group;
    open_all(&group, 1, COUNT, flags);
    group_run_for(&group, NS_PER_S);
    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
        struct told told = upload(&group, ACK_ALL, sizes[i], i + 1);
        expect_told(&told, ACK_ALL, "m001,m002,m003");
        EXPECT(told.took_ns < NS_PER_S);
        for (unsigned k = 0; k < COUNT; k++)
            EXPECT_OK(group_find_err(&group, k, &told.fid, true));
    }
    close_all(&group);
}

TEST(what_one_holds_survives_the_loss_of_its_origin)
{
    struct group group;
    open_all(&group, 2, 2, flags);
    group_run_for(&group, NS_PER_S);
    struct told told = upload(&group, ACK_ONE, 5000, 1);
    expect_told(&told, ACK_ALL, "m001,m002"); /* one mirror is all of them */
    group_kill(&group, 0, true);
    group_kill(&group, 1, true);
    group_wipe(&group, 0);
    group_start(&group, 1);
    group_introduce(&group);
    group_expect(&group, 1, &told.fid, 5000, 1);
    close_all(&group);
}

TEST(with_a_mirror_away_all_is_answered_at_the_deadline_and_one_at_once)
{
    struct group group;
    open_all(&group, 3, COUNT, flags);
    group_run_for(&group, NS_PER_S);
    group_kill(&group, 2, false);
    struct told told = upload(&group, ACK_ONE, 100, 1);
    expect_told(&told, ACK_ONE, "m001,m002");
    EXPECT(told.took_ns < NS_PER_S);
    told = upload(&group, ACK_ALL, 100, 2);
    expect_told(&told, ACK_ONE, "m001,m002");
    EXPECT(told.took_ns >= 2 * NS_PER_S && told.took_ns < 3 * NS_PER_S);
    group_expect(&group, 0, &told.fid, 100, 2); /* stored nevertheless */
    group_kill(&group, 1, false);
    told = upload(&group, ACK_ONE, 100, 3);
    expect_told(&told, ACK_LOCAL, "m001");
    close_all(&group);
}

TEST(modifies_and_deletes_wait_for_mirrors_like_uploads)
{
    struct group group;
    struct group_answer answer;
    struct msg_modified modified;
    struct msg_deleted deleted;
    open_all(&group, 4, COUNT, flags);
    group_run_for(&group, NS_PER_S);
    struct told told = upload(&group, ACK_ALL, 100, 1);
    char id[FID_TEXT_MAX];
    struct span text = span_of(id, fid_format(&told.fid, id));
    struct writer fields = group_fields();
    msg_modify_encode(&(struct msg_modify){.id = text,
                          .nonce = {{9}},
                          .ack = ACK_ALL,
                          .mode = MODIFY_REPLACE,
                          .size_known = 1,
                          .size = 5},
        &fields);
    group_ask(&group, 0, MSG_MODIFY, &fields, "other", 5, &answer);
    EXPECT_OK(answer.err);
    EXPECT_OK(msg_modified_decode(span_of(answer.meta, answer.meta_size), &modified));
    EXPECT_EQ(modified.ack, ACK_ALL);
    EXPECT(span_equals_text(modified.holders, "m001,m002,m003"));
    group_ask(&group, 0, MSG_MODIFY, &fields, "other", 5, &answer); /* it was done already */
    EXPECT_OK(answer.err);
    EXPECT_OK(msg_modified_decode(span_of(answer.meta, answer.meta_size), &modified));
    EXPECT_EQ(modified.ack, ACK_ALL);
    EXPECT_EQ(modified.version.counter, 2);
    fields = group_fields();
    msg_delete_encode(&(struct msg_delete){.id = text, .nonce = {{10}}, .ack = ACK_ALL}, &fields);
    group_ask(&group, 0, MSG_DELETE, &fields, NULL, 0, &answer);
    EXPECT_OK(answer.err);
    EXPECT_OK(msg_deleted_decode(span_of(answer.meta, answer.meta_size), &deleted));
    EXPECT_EQ(deleted.ack, ACK_ALL);
    for (unsigned k = 0; k < COUNT; k++)
        EXPECT_ERR(group_find_err(&group, k, &told.fid, true), NOT_FOUND);
    close_all(&group);
}

TEST(without_a_mirror_nothing_is_stored_and_without_a_level_the_storage_decides)
{
    static const char *const stricter[] = {"--ack=one", NULL};
    struct group group;
    open_all(&group, 5, 1, flags);
    EXPECT_ERR(upload(&group, ACK_ONE, 100, 1).err, UNAVAILABLE);
    EXPECT_ERR(upload(&group, ACK_ALL, 100, 1).err, UNAVAILABLE);
    EXPECT_ERR(upload(&group, 5, 100, 1).err, USAGE);
    EXPECT_EQ(group.houses[0].storage->loops[0].counters.uploads, 0);
    struct told told = upload(&group, 0, 100, 1);
    expect_told(&told, ACK_LOCAL, "m001");
    close_all(&group);
    open_all(&group, 6, 2, stricter);
    group_run_for(&group, NS_PER_S);
    told = upload(&group, 0, 100, 1);
    expect_told(&told, ACK_ALL, "m001,m002");
    told = upload(&group, ACK_LOCAL, 100, 2);
    expect_told(&told, ACK_LOCAL, "m001");
    close_all(&group);
}
