/* A stage machine on the simulated world: it works under short transfers, leaks nothing whatever
 * is refused, never claims durability it does not have; and the world repeats itself. */
#include "sim/sweep.h"
#include "tests/unit/sim/copy.h"
#include "tests/unit/sim/lab.h"

#define NEW (IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE)

enum { SIZE = 5000, LIMIT_NS = 2000000000 };

static bool copy_is_done(void *context)
{
    return ((struct copy *)context)->is_done;
}

static void fill(char *data)
{
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (char)(i * 7 + i / 256);
}

static void source_new(struct lab *lab)
{
    struct io_handle handle;
    char data[SIZE];
    fill(data);
    EXPECT(lab_open(lab, &handle, "/d/from", NEW) >= 0);
    for (size_t at = 0; at < SIZE;)
        at += (size_t)lab_write(lab, handle.fd, at, data + at, SIZE - at);
    io_handle_close(lab->io, &handle);
    EXPECT_EQ(lab_named(lab, IO_MKDIR, "/d/x", NULL, 0), 0);
    EXPECT_EQ(lab_sync_directory(lab, "/d"), 0);
}

static bool copy_is_right(struct lab *lab)
{
    char data[SIZE], read[SIZE];
    fill(data);
    return sim_file_read(lab->node, "/d/x/to", 0, read, SIZE) == SIZE
           && memcmp(data, read, SIZE) == 0;
}

TEST(a_machine_copies_a_file_under_short_transfers)
{
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct lab lab = lab_drawn(seed);
        struct copy copy;
        source_new(&lab);
        copy_start(&copy, lab.io, "/d/from", "/d/x/to");
        EXPECT(sim_world_run_until(lab.world, copy_is_done, &copy, LIMIT_NS));
        EXPECT_OK(copy.machine.err);
        EXPECT(copy_is_right(&lab));
        ledger_check_empty(&lab.io->ledger);
        lab_free(&lab);
    }
}

static void sweep_copy(void *context, struct sim_world *world, struct sim_attempt *attempt)
{
    struct lab lab = {.world = world, .node = sim_node_new(world, "s1", NULL)};
    unsigned *failures = context;
    struct copy copy;
    sim_mount_new(lab.node, "/d", NULL);
    lab_boot(&lab);
    source_new(&lab);
    copy_start(&copy, lab.io, "/d/from", "/d/x/to");
    sim_attempt_arm(attempt, lab.io);
    EXPECT(sim_world_run_until(world, copy_is_done, &copy, LIMIT_NS));
    bool fired = sim_attempt_disarm(attempt);
    EXPECT_EQ(err_is(copy.machine.err), fired);
    EXPECT(fired || copy_is_right(&lab));
    *failures += fired;
}

TEST(a_refusal_of_any_operation_is_an_error_and_no_leak)
{
    unsigned failures = 0;
    uint64_t runs =
        sim_sweep(&(struct sim_sweep){.seed = 3, .context = &failures, .run = sweep_copy});
    EXPECT_EQ(runs, failures + 4); /* the last of each series goes through */
    EXPECT(failures > 4 * 10);
    EXPECT(sim_sweep(&(struct sim_sweep){.seed = 3,
               .kinds = BIT(IO_SYNC),
               .error = ENOSPC,
               .context = &failures,
               .run = sweep_copy})
           > 4);
}

/* The check that a harness makes: a copy that says it is done lies on the disk. */
TEST(a_copy_that_is_done_survives_a_power_loss_at_any_operation)
{
    unsigned done = 0, crashes = 0;
    for (uint64_t nth = 1; nth < 40; nth++) {
        struct lab lab = lab_drawn(nth);
        struct copy copy;
        source_new(&lab);
        sim_world_crash_at(lab.world, lab.node, nth, SIM_CRASH_POWER);
        copy_start(&copy, lab.io, "/d/from", "/d/x/to");
        (void)sim_world_run_until(lab.world, copy_is_done, &copy, LIMIT_NS);
        crashes += sim_node_is_down(lab.node);
        bool was_done = copy.is_done;
        if (was_done) {
            EXPECT_OK(copy.machine.err);
            sim_world_crash_at(lab.world, lab.node, 0, SIM_CRASH_NONE);
            EXPECT_EQ(lab_sync_directory(&lab, "/d/x"), 0);
            EXPECT(sim_file_range_is_durable(lab.node, "/d/x/to", 0, SIZE));
            lab_power_cycle(&lab);
            EXPECT(copy_is_right(&lab));
        }
        done += was_done;
        lab_free(&lab);
    }
    EXPECT(done > 0 && crashes > 10);
}

struct outcome {
    uint64_t hash, now_ns, ops;
};

/* Two copies at a time under faults, a crash, recovery by copying again. */
static struct outcome live(uint64_t seed)
{
    struct lab lab = lab_drawn(seed);
    struct copy copies[2];
    source_new(&lab);
    struct prng *prng = sim_world_prng(lab.world);
    sim_disk_faults_draw(sim_mount_faults(lab.node, "/d"), prng);
    sim_world_crash_at(lab.world, lab.node, 1 + prng_below(prng, 60), SIM_CRASH_POWER);
    copy_start(&copies[0], lab.io, "/d/from", "/d/x/to");
    copy_start(&copies[1], lab.io, "/d/from", "/d/x/other");
    sim_world_run_for(lab.world, LIMIT_NS);
    if (sim_node_is_down(lab.node)) {
        lab_boot(&lab);
        copy_start(&copies[0], lab.io, "/d/from", "/d/x/to");
        sim_world_run_for(lab.world, LIMIT_NS);
    }
    struct outcome outcome = {
        sim_world_hash(lab.world), sim_world_now(lab.world), sim_world_op_count(lab.world)};
    lab_free(&lab);
    return outcome;
}

TEST(the_same_seed_lives_the_same_life_and_another_seed_another)
{
    uint64_t last = 0;
    for (uint64_t seed = 1; seed <= 1000; seed++) {
        struct outcome first = live(seed), second = live(seed);
        EXPECT_EQ(first.hash, second.hash);
        EXPECT_EQ(first.now_ns, second.now_ns);
        EXPECT_EQ(first.ops, second.ops);
        EXPECT(first.ops > 5 && first.hash != last);
        last = first.hash;
    }
}

TEST(a_trace_is_a_line_per_operation)
{
    struct lab lab = lab_new(1, NULL);
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    sim_world_trace_to(lab.world, out);
    struct io_handle handle;
    EXPECT(lab_open(&lab, &handle, "/d/a", NEW) >= 0);
    EXPECT_EQ(lab_write_dsync(&lab, handle.fd, 512, "x", 1), 1);
    sim_node_power_loss(lab.node);
    (void)fclose(out);
    EXPECT(strstr(text, "s1 open /d/a = 3\n"));
    EXPECT(strstr(text, "s1 write-dsync #3 /d/a @512+1 = 1\n"));
    EXPECT(strstr(text, "s1: loses its power\n"));
    free(text);
    sim_world_trace_to(lab.world, NULL);
    lab_free(&lab);
}
