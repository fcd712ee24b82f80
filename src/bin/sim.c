/* cairn sim: whole clusters in one process, from a seed, with faults. */
#include "bin/verbs.h"

#include <inttypes.h>

#include "base/units.h"
#include "sim/cluster_swarm.h"

struct sim_options {
    uint64_t seed;
    bool has_seed;
    const char *seeds;
    bool has_trace, is_verbose, is_quiet, has_bad_disks, has_no_mirrors;
};

struct sim_totals {
    uint64_t seeds, failed, operations, succeeded, reads, io_count, boots, virtual_ns;
    uint64_t faults[CLUSTER_FAULT_COUNT];
};

/* The seed that runs: a failed check ends the process, and should name it. */
static uint64_t sim_seed_running;

static void on_check(const char *what, const char *file, int line, const char *function)
{
    (void)fprintf(stderr, "cairn sim: seed %" PRIu64 ": check %s failed at %s:%d, %s\n",
        sim_seed_running, what, file, line, function);
}

static void add(struct sim_totals *totals, const struct cluster_swarm_result *result)
{
    totals->seeds++;
    totals->failed += result->failure[0] != '\0';
    totals->operations += result->operations;
    totals->succeeded += result->succeeded;
    totals->reads += result->reads;
    totals->io_count += result->io_count;
    totals->boots += result->boots;
    totals->virtual_ns += result->virtual_ns;
    for (unsigned i = 0; i < CLUSTER_FAULT_COUNT; i++)
        totals->faults[i] += result->faults[i];
}

static void print_story(const struct sim_notes *story)
{
    uint64_t first = story->count > SIM_NOTES_MAX ? story->count - SIM_NOTES_MAX : 0;
    for (uint64_t i = first; i < story->count; i++)
        (void)printf("%s\n", story->lines[i % SIM_NOTES_MAX]);
}

static bool runs_the_same(const struct sim_options *options, uint64_t seed, uint64_t hash)
{
    struct cluster_swarm_result again;
    struct cluster_swarm_options swarm = {.seed = seed,
        .has_bad_disks = options->has_bad_disks,
        .has_no_mirrors = options->has_no_mirrors};
    cluster_swarm_run(&swarm, &again);
    return again.hash == hash;
}

static void run_seed(const struct sim_options *options, uint64_t seed, struct sim_totals *totals)
{
    struct cluster_swarm_result result;
    struct cluster_swarm_options swarm = {.seed = seed,
        .trace = options->has_trace ? stdout : NULL,
        .is_verbose = options->is_verbose,
        .has_bad_disks = options->has_bad_disks,
        .has_no_mirrors = options->has_no_mirrors};
    sim_seed_running = seed;
    cluster_swarm_run(&swarm, &result);
    if (seed % 50 == 0 && !options->has_trace && !runs_the_same(options, seed, result.hash))
        (void)snprintf(result.failure, sizeof result.failure, "it ran differently a second time");
    add(totals, &result);
    if (!result.failure[0])
        return;
    if (!options->has_trace && !options->is_quiet && totals->failed <= 3)
        print_story(&result.story);
    (void)printf("seed %" PRIu64 " failed: %s\n  options: %s\n  again: cairn sim --seed %" PRIu64
                 " --trace\n",
        seed, result.failure, result.options, seed);
    (void)fflush(stdout);
}

static void print_totals(const struct sim_totals *totals)
{
    (void)printf("%" PRIu64 " seeds, %" PRIu64 " failed; %" PRIu64 " operations (%" PRIu64
                 " succeeded, %" PRIu64 " reads compared), %" PRIu64 " I/Os, %" PRIu64
                 " boots, %.1f virtual hours\nfaults:",
        totals->seeds, totals->failed, totals->operations, totals->succeeded, totals->reads,
        totals->io_count, totals->boots, (double)totals->virtual_ns / (double)NS_PER_HOUR);
    for (unsigned i = 0; i < CLUSTER_FAULT_COUNT; i++)
        if (totals->faults[i] > 0)
            (void)printf(" %" PRIu64 " %s%s", totals->faults[i],
                cluster_fault_name((enum cluster_fault_kind)i),
                i + 1 < CLUSTER_FAULT_COUNT ? "," : "");
    (void)printf("\n");
}

static bool parse_seeds(const struct sim_options *options, uint64_t *ret_first, uint64_t *ret_last)
{
    *ret_first = *ret_last = options->has_seed ? options->seed : 1;
    if (!options->seeds) {
        *ret_last = options->has_seed ? options->seed : 100;
        return true;
    }
    char text[64];
    if (!span_to_text(span_of_text(options->seeds), text, sizeof text))
        return false;
    char *dash = strchr(text, '-');
    if (!dash)
        return false;
    *dash = '\0';
    return parse_number(text, ret_first) && parse_number(dash + 1, ret_last)
           && *ret_first <= *ret_last;
}

static int sim_main(const struct verb *verb, int argc, char **argv)
{
    struct sim_options options = {0};
    struct sim_totals totals = {0};
    uint64_t seed, last;
    int first;
    enum args_result parsed = args_parse(verb, argc, argv, &options, &first, stdout, stderr);
    if (parsed != ARGS_OK)
        return args_exit_code(parsed);
    if (first != argc || !parse_seeds(&options, &seed, &last))
        return usage_exit(verb, "--seeds wants A-B, --seed a number");
    check_set_hook(on_check);
    (void)setvbuf(stdout, NULL, _IOLBF, 0); /* a check that fails must not swallow the trace */
    for (; seed <= last; seed++)
        run_seed(&options, seed, &totals);
    print_totals(&totals);
    return err_exit_code(totals.failed > 0 ? ERR_CODE_CORRUPT : ERR_CODE_OK);
}

static const struct arg rows[] = {
    {.name = "seed",
        .kind = ARG_NUMBER,
        .value = "N",
        .text = "one seed",
        .offset = offsetof(struct sim_options, seed),
        .offset_set = offsetof(struct sim_options, has_seed)},
    {.name = "seeds",
        .kind = ARG_TEXT,
        .value = "A-B",
        .text = "all of these (1-100)",
        .offset = offsetof(struct sim_options, seeds)},
    {.name = "trace",
        .kind = ARG_FLAG,
        .text = "who did what when: operations, faults, the logs of the storages",
        .offset = offsetof(struct sim_options, has_trace)},
    {.name = "verbose",
        .kind = ARG_FLAG,
        .text = "with --trace: every disk and network operation, too",
        .offset = offsetof(struct sim_options, is_verbose)},
    {.name = "no-mirrors",
        .kind = ARG_FLAG,
        .text = "clients keep to the origin of a file, and copies are not compared",
        .offset = offsetof(struct sim_options, has_no_mirrors)},
    {.name = "bad-disks",
        .kind = ARG_FLAG,
        .text = "disks are emptied, and rot, too",
        .offset = offsetof(struct sim_options, has_bad_disks)},
    {.name = "quiet",
        .letter = 'q',
        .kind = ARG_FLAG,
        .text = "of seeds that fail only the cause, not their last lines",
        .offset = offsetof(struct sim_options, is_quiet)},
};

const struct verb sim_verb = {
    .name = "sim",
    .brief = "simulate clusters with faults, from seeds",
    .usage = "[--seed N | --seeds A-B] [--trace [--verbose]]",
    .about =
        "Runs trackers, storages and clients in one process on simulated disks, networks and\n"
        "clocks: random operations and faults from a seed, thousands of times faster than real\n"
        "time. Every answer is compared with a model; after healing all storages must hold the\n"
        "same, and everything that was promised. The same seed is the same story.\n"
        "Exit code 0: nothing was found; 7: a seed failed.",
    .examples = "  cairn sim --seeds 1-1000\n"
                "  cairn sim --seed 42 --trace | less",
    .args = {rows, ARRAY_LEN(rows)},
    .run = sim_main,
};
