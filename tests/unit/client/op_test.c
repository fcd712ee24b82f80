/* The client's operations against servers that misbehave by plan: where they go next, what they
 * repeat, and what they say when the outcome is open. */
#include "base/crc.h"
#include "tests/unit/client/fake.h"

struct content {
    struct client_source source;
    const uint8_t *data;
    size_t size, at, piece;
};

static void content_fill(struct client_source *source, uint8_t *buffer, size_t size)
{
    struct content *content = CONTAINER_OF(source, struct content, source);
    size_t left = content->size - content->at, count = left < size ? left : size;
    if (content->piece > 0 && count > content->piece)
        count = content->piece;
    memcpy(buffer, content->data + content->at, count);
    content->at += count;
    client_source_filled(source, (int64_t)count);
}

static bool content_rewind(struct client_source *source)
{
    CONTAINER_OF(source, struct content, source)->at = 0;
    return true;
}

struct gathered {
    struct client_sink sink;
    uint8_t data[FAKE_CONTENT_MAX];
    size_t size;
    unsigned begun;
};

static err_t gather(struct client_sink *sink, struct span data)
{
    struct gathered *to = CONTAINER_OF(sink, struct gathered, sink);
    memcpy(to->data + to->size, data.data, data.size);
    to->size += data.size;
    return ERR_OK;
}

static err_t gather_begin(struct client_sink *sink, const struct client_op *op)
{
    (void)op;
    CONTAINER_OF(sink, struct gathered, sink)->begun++;
    return ERR_OK;
}

/* One cluster per test, closed by the test itself: statics because they are large. */
static struct fake_cluster cluster;
static struct client_op op;
static struct content content;
static struct gathered gathered;
static struct nonce repeated; /* of the next modify; none: a new one */
static uint8_t bytes[FAKE_CONTENT_MAX], buffer[FRAME_DATA_MAX];

static void use_content(size_t size, bool can_rewind)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    content = (struct content){.source = {.fill = content_fill}, .data = bytes, .size = size};
    if (can_rewind)
        content.source.rewind = content_rewind;
}

static err_t upload(size_t size, bool can_rewind)
{
    use_content(size, can_rewind);
    op = (struct client_op){.type = MSG_UPLOAD, .source = &content.source, .buffer = buffer};
    op.request.upload = (struct msg_upload){.ack = ACK_LOCAL, .size_known = 1, .size = size};
    return cluster_run(&cluster, &op);
}

static err_t modify(size_t size)
{
    static char id[FID_TEXT_MAX];
    use_content(size, true);
    struct fid fid = {.group = "g1",
        .identity = {.clock = UINT64_C(1700000000) << 23, .origin = 1, .suffix = "123.jpg"},
        .is_mutable = true,
        .is_packed = true,
        .chunk = 1,
        .slot_size = 64};
    fid_format(&fid, id);
    op = (struct client_op){.type = MSG_MODIFY, .source = &content.source, .buffer = buffer};
    op.request.modify = (struct msg_modify){.id = span_of_text(id),
        .nonce = repeated,
        .mode = MODIFY_REPLACE,
        .size_known = 1,
        .size = size};
    return cluster_run(&cluster, &op);
}

static err_t find_at(uint32_t machine)
{
    static char id[FID_TEXT_MAX];
    struct fid fid = {.group = "g1",
        .identity = {.clock = UINT64_C(1700000000) << 23, .origin = 1, .suffix = "123.jpg"},
        .is_mutable = true,
        .is_packed = true,
        .chunk = 1,
        .slot_size = 64};
    fid_format(&fid, id);
    gathered = (struct gathered){.sink = {.take = gather, .begin = gather_begin}};
    op = (struct client_op){.type = MSG_FIND, .sink = &gathered.sink, .machine_only = machine};
    op.request.find = (struct msg_find){.id = span_of_text(id)};
    return cluster_run(&cluster, &op);
}

static err_t find(void)
{
    return find_at(0);
}

/* Both storages hold the same file. */
static void stock(size_t size)
{
    use_content(size, false);
    for (size_t i = 0; i < 2; i++) {
        memcpy(cluster.storages[i].content, bytes, size);
        cluster.storages[i].size = size;
    }
}

TEST(contents_of_one_and_of_many_frames_arrive_whole)
{
    static const size_t sizes[] = {0, 1, 5000, FRAME_DATA_MAX - 1, FRAME_DATA_MAX,
        FRAME_DATA_MAX + 1, 3 * FRAME_DATA_MAX + 17};
    cluster_open(&cluster, 5000, 1);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        EXPECT_OK(upload(sizes[i], false));
        EXPECT_EQ(op.reply.uploaded.size, sizes[i]);
        EXPECT_EQ(cluster.storages[0].size, sizes[i]);
        EXPECT(memcmp(cluster.storages[0].content, bytes, sizes[i]) == 0);
        EXPECT_EQ(op.content_crc, crc32_update(0, bytes, sizes[i]));
        EXPECT_EQ(op.answered_by, 1);
    }
    cluster_close(&cluster);
}

TEST(a_content_of_unknown_size_ends_where_its_source_ends)
{
    cluster_open(&cluster, 5000, 1);
    use_content(700001, false);
    content.piece = 65536;
    op = (struct client_op){.type = MSG_UPLOAD, .source = &content.source, .buffer = buffer};
    op.request.upload = (struct msg_upload){.ack = ACK_LOCAL};
    EXPECT_OK(cluster_run(&cluster, &op));
    EXPECT_EQ(cluster.storages[0].size, 700001);
    EXPECT(memcmp(cluster.storages[0].content, bytes, 700001) == 0);
    cluster_close(&cluster);
}

TEST(many_files_ask_the_tracker_once)
{
    cluster_open(&cluster, 5000, 1);
    for (int i = 0; i < 5; i++)
        EXPECT_OK(upload(100, true));
    EXPECT(cluster.tracker.query_count < 3);
    cluster_close(&cluster);
}

TEST(a_busy_storage_is_left_for_the_next)
{
    cluster_open(&cluster, 5000, 0);
    fake_plan(&cluster.storages[0], ACT_BUSY, ACT_SERVE, ACT_SERVE);
    EXPECT_OK(upload(600000, true));
    EXPECT_EQ(op.answered_by, 2);
    EXPECT(memcmp(cluster.storages[1].content, bytes, 600000) == 0);
    cluster_close(&cluster);
}

TEST(a_full_storage_is_left_for_the_next_and_asked_once_only)
{
    cluster_open(&cluster, 5000, 3);
    for (size_t i = 0; i < 2; i++) {
        cluster.storages[i].code = ERR_CODE_NO_SPACE;
        fake_plan(&cluster.storages[i], ACT_REFUSE, ACT_REFUSE, ACT_REFUSE);
    }
    EXPECT_ERR(upload(100, true), NO_SPACE);
    EXPECT_EQ(cluster.storages[0].request_count, 1);
    EXPECT_EQ(cluster.storages[1].request_count, 1);
    EXPECT(strstr(op.sentence, "no space left") != NULL);
    cluster_close(&cluster);
}

TEST(a_storage_that_is_gone_is_left_for_the_next)
{
    cluster_open(&cluster, 5000, 0);
    EXPECT_OK(upload(10, true)); /* connected, and the route is remembered */
    struct io_address gone = cluster.storages[0].server.address;
    fake_stop(&cluster, &cluster.storages[0]);
    cluster.storages[0].server.address = gone;
    EXPECT_OK(upload(100, true));
    EXPECT_EQ(op.answered_by, 2);
    cluster_close(&cluster);
}

TEST(when_all_are_busy_another_round_helps)
{
    cluster_open(&cluster, 5000, 1);
    fake_plan(&cluster.storages[0], ACT_BUSY, ACT_SERVE, ACT_SERVE);
    fake_plan(&cluster.storages[1], ACT_BUSY, ACT_SERVE, ACT_SERVE);
    EXPECT_OK(upload(100, true));
    EXPECT_EQ(cluster.storages[0].request_count, 2);
    cluster_close(&cluster);
}

TEST(rounds_end)
{
    cluster_open(&cluster, 5000, 1);
    fake_plan(&cluster.storages[0], ACT_BUSY, ACT_BUSY, ACT_BUSY);
    fake_plan(&cluster.storages[1], ACT_BUSY, ACT_BUSY, ACT_BUSY);
    EXPECT_ERR(upload(100, true), BUSY);
    EXPECT_EQ(cluster.storages[0].request_count, 2);
    EXPECT(strstr(op.sentence, "127.0.0.1:") != NULL);
    cluster_close(&cluster);
}

TEST(a_lost_answer_is_asked_for_again_at_the_same_storage_under_the_same_mark)
{
    cluster_open(&cluster, 5000, 1);
    fake_plan(&cluster.storages[0], ACT_CUT, ACT_SERVE, ACT_SERVE);
    EXPECT_OK(modify(300000));
    struct fake *storage = &cluster.storages[0];
    EXPECT_EQ(storage->request_count, 2);
    EXPECT_EQ(cluster.storages[1].request_count, 0);
    EXPECT(!nonce_is_none(&storage->nonces[0]));
    EXPECT(memcmp(&storage->nonces[0], &storage->nonces[1], sizeof storage->nonces[0]) == 0);
    cluster_close(&cluster);
}

TEST(a_change_that_the_server_knows_is_done_before_its_content_has_come_again)
{
    cluster_open(&cluster, 5000, 1);
    fake_plan(&cluster.storages[0], ACT_CUT, ACT_KNOWN, ACT_SERVE);
    EXPECT_OK(modify(1500000));
    EXPECT_EQ(cluster.storages[0].request_count, 2);
    EXPECT_EQ(op.content_size, 1500000);
    EXPECT_EQ(op.content_crc, crc32_update(0, bytes, 1500000));
    cluster_close(&cluster);
}

TEST(who_repeats_a_change_gives_its_mark)
{
    cluster_open(&cluster, 5000, 1);
    EXPECT_OK(modify(10));
    repeated = op.request.modify.nonce;
    EXPECT_OK(modify(10));
    struct fake *storage = &cluster.storages[0];
    EXPECT(memcmp(&storage->nonces[0], &storage->nonces[1], sizeof storage->nonces[0]) == 0);
    repeated = (struct nonce){{0}};
    cluster_close(&cluster);
}

TEST(an_upload_that_is_repeated_says_so_and_a_new_one_does_not)
{
    cluster_open(&cluster, 5000, 1);
    fake_plan(&cluster.storages[0], ACT_CUT, ACT_SERVE, ACT_SERVE);
    EXPECT_OK(upload(300000, true));
    struct fake *storage = &cluster.storages[0];
    EXPECT_EQ(storage->request_count, 2);
    EXPECT_EQ(storage->retries[0], 0);
    EXPECT_EQ(storage->retries[1], 1);
    EXPECT(memcmp(&storage->nonces[0], &storage->nonces[1], sizeof storage->nonces[0]) == 0);
    EXPECT_OK(upload(100, true));
    EXPECT_EQ(storage->retries[2], 0);
    cluster_close(&cluster);
}

TEST(two_changes_have_two_marks)
{
    cluster_open(&cluster, 5000, 1);
    EXPECT_OK(modify(10));
    EXPECT_OK(modify(10));
    struct fake *storage = &cluster.storages[0];
    EXPECT(memcmp(&storage->nonces[0], &storage->nonces[1], sizeof storage->nonces[0]) != 0);
    cluster_close(&cluster);
}

TEST(an_outcome_that_stays_open_is_called_unknown)
{
    cluster_open(&cluster, 5000, 0);
    fake_plan(&cluster.storages[0], ACT_CUT, ACT_CUT, ACT_CUT);
    fake_plan(&cluster.storages[1], ACT_CUT, ACT_CUT, ACT_CUT);
    EXPECT_ERR(modify(100), OUTCOME_UNKNOWN);
    EXPECT(strstr(op.sentence, "answer lost") != NULL);
    cluster_close(&cluster);
}

TEST(a_conflict_after_a_lost_answer_is_not_called_a_conflict)
{
    cluster_open(&cluster, 5000, 0);
    cluster.storages[0].code = ERR_CODE_CONFLICT;
    fake_plan(&cluster.storages[0], ACT_CUT, ACT_REFUSE, ACT_REFUSE);
    EXPECT_ERR(modify(100), OUTCOME_UNKNOWN);
    cluster_close(&cluster);
}

TEST(a_request_that_was_never_whole_at_a_server_has_not_happened)
{
    cluster_open(&cluster, 5000, 0);
    fake_plan(&cluster.storages[0], ACT_CUT_EARLY, ACT_CUT_EARLY, ACT_CUT_EARLY);
    fake_plan(&cluster.storages[1], ACT_CUT_EARLY, ACT_CUT_EARLY, ACT_CUT_EARLY);
    EXPECT_ERR(modify(FAKE_CONTENT_MAX), CLOSED);
    cluster_close(&cluster);
}

TEST(a_stream_that_can_not_be_given_again_fails_when_it_breaks_in_the_middle)
{
    cluster_open(&cluster, 5000, 3);
    fake_plan(&cluster.storages[0], ACT_CUT_EARLY, ACT_SERVE, ACT_SERVE);
    EXPECT_ERR(upload(FAKE_CONTENT_MAX, false), CLOSED);
    cluster_close(&cluster);
}

TEST(a_stream_whose_first_piece_is_still_held_is_given_again)
{
    cluster_open(&cluster, 5000, 0);
    fake_plan(&cluster.storages[0], ACT_BUSY, ACT_SERVE, ACT_SERVE);
    EXPECT_OK(upload(50000, false));
    EXPECT(memcmp(cluster.storages[1].content, bytes, 50000) == 0);
    cluster_close(&cluster);
}

TEST(a_source_that_gives_too_little_is_a_usage_error)
{
    cluster_open(&cluster, 5000, 3);
    use_content(1000, true);
    op = (struct client_op){.type = MSG_UPLOAD, .source = &content.source, .buffer = buffer};
    op.request.upload = (struct msg_upload){.ack = ACK_LOCAL, .size_known = 1, .size = 1001};
    EXPECT_ERR(cluster_run(&cluster, &op), USAGE);
    cluster_close(&cluster);
}

TEST(a_wrong_checksum_of_an_upload_is_corruption)
{
    cluster_open(&cluster, 5000, 3);
    fake_plan(&cluster.storages[0], ACT_WRONG_CRC, ACT_SERVE, ACT_SERVE);
    EXPECT_ERR(upload(1000, true), CORRUPT);
    cluster_close(&cluster);
}

TEST(a_find_that_breaks_goes_on_at_the_next_mirror_with_the_next_byte)
{
    cluster_open(&cluster, 5000, 0);
    stock(100001);
    fake_plan(&cluster.storages[0], ACT_CUT_MIDWAY, ACT_SERVE, ACT_SERVE);
    EXPECT_OK(find());
    EXPECT_EQ(gathered.size, 100001);
    EXPECT_EQ(gathered.begun, 1);
    EXPECT(memcmp(gathered.data, bytes, gathered.size) == 0);
    EXPECT_EQ(cluster.storages[1].find_offsets[0], 50000);
    cluster_close(&cluster);
}

TEST(a_find_never_mixes_two_versions)
{
    cluster_open(&cluster, 5000, 0);
    stock(100001);
    fake_plan(&cluster.storages[0], ACT_CUT_MIDWAY, ACT_SERVE, ACT_SERVE);
    fake_plan(&cluster.storages[1], ACT_OTHER_VERSION, ACT_SERVE, ACT_SERVE);
    EXPECT_ERR(find(), CONFLICT);
    EXPECT_EQ(gathered.size, 50000);
    cluster_close(&cluster);
}

TEST(a_find_with_a_wrong_checksum_is_corruption)
{
    cluster_open(&cluster, 5000, 0);
    stock(1000);
    fake_plan(&cluster.storages[0], ACT_WRONG_CRC, ACT_SERVE, ACT_SERVE);
    EXPECT_ERR(find(), CORRUPT);
    cluster_close(&cluster);
}

TEST(damage_at_one_mirror_is_answered_by_the_next)
{
    cluster_open(&cluster, 5000, 0);
    stock(1000);
    cluster.storages[0].code = ERR_CODE_CORRUPT;
    fake_plan(&cluster.storages[0], ACT_REFUSE, ACT_REFUSE, ACT_REFUSE);
    EXPECT_OK(find());
    EXPECT_EQ(op.answered_by, 2);
    cluster_close(&cluster);
}

TEST(a_storage_that_lacks_a_file_is_left_for_the_next)
{
    cluster_open(&cluster, 5000, 3);
    stock(1000);
    cluster.storages[0].code = ERR_CODE_NOT_FOUND;
    fake_plan(&cluster.storages[0], ACT_REFUSE, ACT_REFUSE, ACT_REFUSE);
    EXPECT_OK(find());
    EXPECT_EQ(op.answered_by, 2);
    cluster_close(&cluster);
}

TEST(what_nobody_has_is_not_found_after_one_round_whatever_the_others_say)
{
    cluster_open(&cluster, 5000, 3);
    cluster.storages[0].code = ERR_CODE_NOT_FOUND;
    cluster.storages[1].code = ERR_CODE_UNAVAILABLE;
    fake_plan(&cluster.storages[0], ACT_REFUSE, ACT_REFUSE, ACT_REFUSE);
    fake_plan(&cluster.storages[1], ACT_REFUSE, ACT_REFUSE, ACT_REFUSE);
    EXPECT_ERR(find(), NOT_FOUND);
    EXPECT_EQ(cluster.storages[0].request_count, 1);
    EXPECT_EQ(cluster.storages[1].request_count, 1);
    EXPECT(strstr(op.sentence, "no such file") != NULL);
    cluster_close(&cluster);
}

TEST(one_storage_alone_is_believed_when_only_it_may_answer)
{
    cluster_open(&cluster, 5000, 3);
    cluster.storages[0].code = ERR_CODE_NOT_FOUND;
    fake_plan(&cluster.storages[0], ACT_REFUSE, ACT_REFUSE, ACT_REFUSE);
    EXPECT_ERR(find_at(1), NOT_FOUND);
    EXPECT_EQ(cluster.storages[1].request_count, 0);
    cluster_close(&cluster);
}

TEST(a_reply_of_another_type_is_a_broken_protocol)
{
    cluster_open(&cluster, 5000, 0);
    stock(10);
    fake_plan(&cluster.storages[0], ACT_NONSENSE, ACT_SERVE, ACT_SERVE);
    EXPECT_ERR(find(), PROTOCOL);
    cluster_close(&cluster);
}

TEST(a_silent_storage_ends_a_change_with_outcome_unknown_in_time)
{
    cluster_open(&cluster, 300, 3);
    fake_plan(&cluster.storages[0], ACT_SILENT, ACT_SILENT, ACT_SILENT);
    uint64_t before_ns = io_now(cluster.io);
    EXPECT_ERR(modify(100), OUTCOME_UNKNOWN);
    uint64_t took_ns = io_now(cluster.io) - before_ns;
    EXPECT(took_ns >= 250000000 && took_ns < 2000000000);
    cluster_close(&cluster);
}

TEST(only_the_storage_that_was_asked_for_may_answer)
{
    cluster_open(&cluster, 5000, 0);
    stock(1000);
    EXPECT_OK(find());
    op.machine_only = 0;
    struct client_op second = {.type = MSG_FIND, .sink = &gathered.sink, .machine_only = 2};
    gathered.size = 0;
    second.request.find = op.request.find;
    EXPECT_OK(cluster_run(&cluster, &second));
    EXPECT_EQ(second.answered_by, 2);
    struct client_op third = {.type = MSG_FIND, .sink = &gathered.sink, .machine_only = 3};
    third.request.find = op.request.find;
    EXPECT_ERR(cluster_run(&cluster, &third), UNAVAILABLE);
    cluster_close(&cluster);
}

static void note_done(struct client_op *done)
{
    *(bool *)done->context = true;
}

TEST(an_operation_that_is_given_up_ends_soon)
{
    cluster_open(&cluster, 60000, 3);
    fake_plan(&cluster.storages[0], ACT_SILENT, ACT_SILENT, ACT_SILENT);
    bool is_done = false;
    use_content(100, true);
    op = (struct client_op){.type = MSG_UPLOAD,
        .source = &content.source,
        .buffer = buffer,
        .done = note_done,
        .context = &is_done};
    op.request.upload = (struct msg_upload){.size_known = 1, .size = 100};
    client_start(&cluster.client, &op);
    while (cluster.storages[0].silent_count == 0)
        io_turn(cluster.io, true);
    client_cancel_all(&cluster.client, ERR(INTERRUPTED, 0));
    while (!is_done)
        io_turn(cluster.io, true);
    EXPECT_EQ(op.machine.err.code, ERR_CODE_INTERRUPTED);
    cluster_close(&cluster);
}

TEST(what_is_no_id_is_refused_without_asking_anybody)
{
    cluster_open(&cluster, 5000, 3);
    op = (struct client_op){.type = MSG_STAT};
    op.request.stat = (struct msg_stat){.id = span_of_text("no/id")};
    EXPECT_ERR(cluster_run(&cluster, &op), USAGE);
    EXPECT_EQ(cluster.tracker.query_count, 0);
    cluster_close(&cluster);
}

TEST(without_a_tracker_nobody_is_available)
{
    cluster_open(&cluster, 1000, 1);
    struct io_address gone = cluster.tracker.server.address;
    fake_stop(&cluster, &cluster.tracker);
    EXPECT_ERR(upload(10, true), UNAVAILABLE);
    char address[IO_ADDRESS_TEXT_MAX];
    EXPECT(strstr(op.sentence, io_address_format(&gone, address)) != NULL);
    cluster_close(&cluster);
}

TEST(a_tracker_that_names_nobody_is_said)
{
    cluster_open(&cluster, 1000, 0);
    cluster.named = 0;
    EXPECT_ERR(upload(10, true), UNAVAILABLE);
    EXPECT(strstr(op.sentence, "names no storage") != NULL);
    cluster_close(&cluster);
}
