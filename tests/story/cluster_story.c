/* Named situations of a whole cluster, in the simulator. Each is a story that a person can read: who is
 * cut off, who dies, what is asked of whom, and what all hold in the end. */
#include "base/units.h"
#include "sim/cluster_call.h"
#include "sim/mem.h"
#include "tests/lib/test.h"

enum { FILES_MAX = 400, OLD_MAX = 60 };
#define PATIENCE_NS (2 * NS_PER_MINUTE)

static struct cluster *cluster;

static void open_cluster(uint64_t seed, uint8_t storages)
{
    struct cluster_options options;
    cluster_options_plain(&options, storages);
    cluster = SIM_NEW(struct cluster);
    FILE *trace = getenv("STORY_TRACE") ? stderr : NULL;
    cluster_open(cluster, seed, &options, trace, !getenv("STORY_VERBOSE"));
    *sim_world_net(cluster->world) = (struct sim_net_options){.delay_ns = 200000,
        .stall_max_ns = 20 * NS_PER_S,
        .window = 262144,
        .segment_size_max = 65536};
    cluster_boot_all(cluster);
    EXPECT(cluster_run_until(cluster, cluster_is_whole, cluster, PATIENCE_NS));
}

/* Everybody leaves in order, with nothing held. */
static void close_cluster(void)
{
    EXPECT(cluster_stop_all(cluster, PATIENCE_NS));
    cluster_close(cluster);
    sim_free(cluster);
}

static struct sim_node *node_of(uint32_t machine)
{
    return cluster->storages[machine - 1].node;
}

static void wait_whole(void)
{
    EXPECT(cluster_run_until(cluster, cluster_is_whole, cluster, PATIENCE_NS));
}

/* ---- operations ---- */

/* The `mark`-th content of this size. */
static struct model_content *content_of(size_t size, unsigned mark)
{
    struct model_content *content = model_content_new(NULL, size);
    for (size_t i = 0; i < size; i++)
        content->data[i] = (uint8_t)(mark * 31 + i * 7 + (i >> 8));
    return content;
}

struct file {
    char id[FID_TEXT_MAX];
    size_t size;
    unsigned mark;
    bool is_gone;
};

static struct cluster_call *call_new(uint8_t type, const struct file *file)
{
    struct cluster_call *call = cluster_call_new(cluster, type, 1);
    if (file)
        memcpy(call->id, file->id, sizeof call->id);
    return call;
}

static err_t try_put(
    uint32_t machine, size_t size, unsigned mark, uint8_t ack, struct file *ret_file)
{
    struct cluster_call *call = call_new(MSG_UPLOAD, NULL);
    call->body = content_of(size, mark);
    call->op.request.upload =
        (struct msg_upload){.ack = ack, .is_mutable = true, .size_known = 1, .size = size};
    cluster_call_run(call, 0, machine);
    err_t err = call->err;
    *ret_file = (struct file){.size = size, .mark = mark};
    memcpy(ret_file->id, call->id, sizeof ret_file->id);
    cluster_call_free(call);
    return err;
}

static struct file put(uint32_t machine, size_t size, unsigned mark)
{
    struct file file;
    EXPECT_OK(try_put(machine, size, mark, ACK_LOCAL, &file));
    return file;
}

static struct version replace(uint32_t machine, struct file *file, size_t size, unsigned mark)
{
    struct cluster_call *call = call_new(MSG_MODIFY, file);
    call->body = content_of(size, mark);
    call->op.request.modify = (struct msg_modify){
        .ack = ACK_LOCAL, .mode = MODIFY_REPLACE, .size_known = 1, .size = size};
    cluster_call_run(call, 0, machine);
    EXPECT_OK(call->err);
    struct version version = call->op.reply.modified.version;
    cluster_call_free(call);
    file->size = size;
    file->mark = mark;
    return version;
}

static void delete (uint32_t machine, struct file *file)
{
    struct cluster_call *call = call_new(MSG_DELETE, file);
    call->op.request.delete.ack = ACK_LOCAL;
    cluster_call_run(call, 0, machine);
    EXPECT_OK(call->err);
    EXPECT(call->op.reply.deleted.existed);
    cluster_call_free(call);
    file->is_gone = true;
}

/* The content of `file` as it should be is what was found; or it is gone and was not found. */
static bool is_right(const struct file *file, const struct cluster_call *call)
{
    if (file->is_gone)
        return err_has(call->err, ERR_CODE_NOT_FOUND);
    if (err_is(call->err))
        return false;
    struct model_content *content = content_of(file->size, file->mark);
    bool is_equal = call->op.reply.found.total == file->size
                    && model_content_matches(content, 0, span_of(call->found, call->found_size))
                    && call->found_size == file->size;
    model_content_unref(content);
    return is_equal;
}

static bool holds(uint32_t machine, const struct file *file)
{
    struct cluster_call *call = call_new(MSG_FIND, file);
    call->op.request.find.local_only = 1;
    cluster_call_run(call, 0, machine);
    bool does_hold = is_right(file, call);
    cluster_call_free(call);
    return does_hold;
}

static void expect_found(uint32_t machine, const struct file *file)
{
    struct cluster_call *call = call_new(MSG_FIND, file);
    cluster_call_run(call, 0, machine);
    if (!is_right(file, call))
        (void)fprintf(
            stderr, "  m%03u: %s: %s\n", machine, err_name(call->err.code), call->op.sentence);
    EXPECT(is_right(file, call));
    cluster_call_free(call);
}

/* Every storage that is up comes to hold exactly this of the file, within `max_ns` for all. */
static void expect_within(const struct file *file, uint64_t max_ns)
{
    uint64_t end_ns = sim_world_now(cluster->world) + max_ns;
    for (uint32_t machine = 1; machine <= cluster->options.storages; machine++) {
        if (!cluster->storages[machine - 1].is_up)
            continue;
        bool does_hold;
        while (!(does_hold = holds(machine, file)) && sim_world_now(cluster->world) < end_ns)
            cluster_run_for(cluster, 500 * NS_PER_MS);
        if (!does_hold)
            (void)fprintf(stderr, "  m%03u does not come to hold %s\n", machine, file->id);
        EXPECT(does_hold);
    }
}

static void expect_everywhere(const struct file *file)
{
    expect_within(file, PATIENCE_NS);
}

static void expect_all_everywhere(const struct file *files, size_t count)
{
    for (size_t i = 0; i < count; i++)
        expect_everywhere(&files[i]);
}

/* ---- stories ---- */

TEST(every_file_is_held_by_every_storage_of_the_group)
{
    struct file files[6];
    open_cluster(1, 3);
    for (unsigned i = 0; i < 6; i++)
        files[i] = put(1 + i % 3, 100 + i * 4000, i);
    expect_all_everywhere(files, 6);
    (void)replace(2, &files[0], 7000, 20);
    (void)replace(3, &files[5], 50, 21);
    delete (1, &files[2]);
    expect_all_everywhere(files, 6);
    close_cluster();
}

TEST(the_origin_dies_with_files_that_nobody_else_has_and_comes_back)
{
    struct file files[4];
    open_cluster(2, 3);
    sim_net_partition(node_of(1), node_of(2));
    sim_net_partition(node_of(1), node_of(3));
    for (unsigned i = 0; i < 4; i++)
        files[i] = put(1, 100 + i * 4000, i);
    cluster_run_for(cluster, NS_PER_S);
    cluster_kill_storage(cluster, 0, true);
    sim_net_heal_all(cluster->world);
    cluster_run_for(cluster, 20 * NS_PER_S);
    cluster_boot_storage(cluster, 0);
    wait_whole();
    expect_all_everywhere(files, 4);
    close_cluster();
}

TEST(the_origin_dies_for_ever_and_who_has_its_files_gives_them_to_the_others)
{
    struct file files[4];
    open_cluster(3, 3);
    sim_net_partition(node_of(1), node_of(3));
    for (unsigned i = 0; i < 4; i++)
        files[i] = put(1, 100 + i * 4000, i);
    cluster_run_for(cluster, 3 * NS_PER_S);
    for (unsigned i = 0; i < 4; i++)
        EXPECT(holds(2, &files[i]));
    EXPECT(!holds(3, &files[0]));
    cluster_kill_storage(cluster, 0, true);
    sim_net_heal_all(cluster->world);
    cluster_run_for(cluster, 10 * NS_PER_S); /* the trackers call it dead */
    expect_found(3, &files[1]);
    expect_all_everywhere(files, 4);
    cluster_boot_storage(cluster, 0);
    wait_whole();
    expect_all_everywhere(files, 4);
    close_cluster();
}

TEST(both_sides_of_a_partition_modify_the_same_file_and_the_newest_version_wins)
{
    open_cluster(4, 2);
    struct file one = put(1, 3000, 1), other = put(1, 12000, 2);
    expect_everywhere(&one);
    expect_everywhere(&other);
    sim_net_partition(node_of(1), node_of(2));
    struct version here = replace(1, &one, 2000, 3), there = replace(2, &one, 4000, 4);
    EXPECT(version_compare(here, there) < 0); /* 2.1, 2.2 */
    (void)replace(2, &other, 11000, 5);
    (void)replace(1, &other, 10000, 6);
    (void)replace(1, &other, 9000, 7);
    sim_net_heal_all(cluster->world);
    expect_within(&one, 20 * NS_PER_S); /* by the pushes, not by a comparison */
    expect_within(&other, 20 * NS_PER_S);
    close_cluster();
}

TEST(a_delete_beats_every_modify_of_the_other_side)
{
    open_cluster(5, 2);
    struct file small = put(1, 3000, 1), large = put(2, 15000, 2);
    expect_everywhere(&small);
    expect_everywhere(&large);
    sim_net_partition(node_of(1), node_of(2));
    (void)replace(2, &small, 3100, 3);
    (void)replace(2, &small, 6000, 4);
    delete (1, &small);
    (void)replace(1, &large, 15000, 5);
    delete (2, &large);
    sim_net_heal_all(cluster->world);
    expect_everywhere(&small);
    expect_everywhere(&large);
    cluster_run_for(cluster, 30 * NS_PER_S);
    expect_everywhere(&small);
    expect_everywhere(&large);
    close_cluster();
}

/* Two ids name the same slot. */
static bool share_slot(const struct file *a, const struct file *b)
{
    struct fid x, y;
    EXPECT_OK(fid_parse(span_of_text(a->id), &x));
    EXPECT_OK(fid_parse(span_of_text(b->id), &y));
    return x.mount == y.mount && x.stream == y.stream && x.chunk == y.chunk && x.offset == y.offset;
}

TEST(a_slot_that_is_used_again_keeps_its_new_tenant_when_the_old_ones_delete_comes_late)
{
    static struct file files[FILES_MAX];
    struct file old[OLD_MAX];
    unsigned count = 0, tenant = 0;
    bool is_shared = false;
    open_cluster(6, 3);
    for (unsigned i = 0; i < OLD_MAX; i++)
        old[i] = put(1, 1000, i);
    expect_all_everywhere(old, OLD_MAX);
    sim_net_partition(node_of(1), node_of(3));
    for (unsigned i = 0; i < OLD_MAX; i++) {
        (void)replace(3, &old[i], 900, 50 + i); /* nobody has seen that when it is deleted */
        delete (1, &old[i]);
    }
    for (; !is_shared && count < FILES_MAX; count++) {
        files[count] = put(1, 1000, 100 + count);
        for (unsigned i = 0; i < OLD_MAX; i++)
            is_shared |= share_slot(&old[i], &files[count]);
        tenant = count;
    }
    EXPECT(is_shared);
    (void)replace(2, &files[tenant], 800, 99);
    sim_net_heal_all(cluster->world);
    expect_all_everywhere(old, OLD_MAX);
    expect_everywhere(&files[tenant]);
    expect_all_everywhere(files, count < 5 ? count : 5);
    close_cluster();
}

/* What was refused is pushed again, before any comparison could find it missing. */
TEST(a_mirror_without_space_stops_and_goes_on_when_there_is_space)
{
    struct file files[12];
    open_cluster(11, 2);
    sim_mount_faults(node_of(2), "/m0")->is_full = true;
    sim_mount_faults(node_of(2), "/m1")->is_full = true;
    for (unsigned i = 0; i < 12; i++)
        files[i] = put(1, 500 + i * 1500, i);
    cluster_run_for(cluster, 5 * NS_PER_S);
    EXPECT(!holds(2, &files[11]));
    sim_mount_faults(node_of(2), "/m0")->is_full = false;
    sim_mount_faults(node_of(2), "/m1")->is_full = false;
    for (unsigned i = 0; i < 12; i++)
        expect_within(&files[i], 20 * NS_PER_S);
    close_cluster();
}

TEST(without_trackers_storages_go_on_telling_each_other)
{
    open_cluster(7, 3);
    struct file first = put(1, 5000, 1);
    cluster_kill_tracker(cluster, 0);
    struct file second = put(2, 5000, 2);
    expect_everywhere(&first);
    expect_everywhere(&second);
    sim_net_partition(node_of(1), node_of(2));
    struct file third = put(1, 2000, 3);
    cluster_kill_tracker(cluster, 1);
    sim_net_heal_all(cluster->world);
    cluster_run_for(cluster, 20 * NS_PER_S);
    cluster_boot_all(cluster);
    wait_whole();
    EXPECT(holds(2, &third));
    expect_everywhere(&third);
    close_cluster();
}

TEST(a_clock_that_steps_back_by_a_year_stops_neither_uploads_nor_mirrors)
{
    struct file files[8];
    struct fid before, after;
    open_cluster(8, 3);
    files[0] = put(1, 3000, 0);
    EXPECT_OK(fid_parse(span_of_text(files[0].id), &before));
    sim_node_clock_set(node_of(1), -365 * (int64_t)NS_PER_DAY, 0);
    for (unsigned i = 1; i < 5; i++)
        files[i] = put(1, i * 3000, i);
    cluster_kill_storage(cluster, 0, true);
    cluster_boot_storage(cluster, 0);
    wait_whole();
    for (unsigned i = 5; i < 8; i++)
        files[i] = put(1, i * 1000, i);
    EXPECT_OK(fid_parse(span_of_text(files[7].id), &after));
    EXPECT(after.identity.clock > before.identity.clock);
    delete (2, &files[6]);
    expect_all_everywhere(files, 8);
    close_cluster();
}

TEST(disks_that_were_swapped_between_two_storages_are_refused_and_serve_again_in_their_places)
{
    struct file files[12];
    open_cluster(9, 2);
    for (unsigned i = 0; i < 12; i++)
        files[i] = put(1 + i % 2, 500 + i * 1500, i);
    expect_all_everywhere(files, 12);
    cluster_kill_storage(cluster, 0, false);
    cluster_kill_storage(cluster, 1, false);
    sim_mount_swap(node_of(1), "/m1", node_of(2), "/m1");
    cluster_boot_all(cluster);
    cluster_run_for(cluster, 20 * NS_PER_S);
    for (unsigned i = 0; i < 2; i++) {
        EXPECT(cluster->storages[i].is_up);
        EXPECT_EQ(mounts_usable(&cluster->storages[i].storage->mounts), 1);
    }
    for (unsigned i = 0; i < 12; i++)
        if (strstr(files[i].id, "/M00/"))
            expect_found(1 + i % 2, &files[i]);
    cluster_kill_storage(cluster, 0, false);
    cluster_kill_storage(cluster, 1, false);
    sim_mount_swap(node_of(1), "/m1", node_of(2), "/m1");
    cluster_boot_all(cluster);
    wait_whole();
    expect_all_everywhere(files, 12);
    close_cluster();
}

TEST(the_same_seed_is_the_same_story)
{
    uint64_t hashes[2];
    for (unsigned i = 0; i < 2; i++) {
        open_cluster(10, 3);
        for (unsigned k = 0; k < 5; k++)
            (void)put(1 + k % 3, 100 + k * 3000, k);
        cluster_run_for(cluster, 5 * NS_PER_S);
        hashes[i] = sim_world_hash(cluster->world);
        close_cluster();
    }
    EXPECT(hashes[0] == hashes[1]);
}
