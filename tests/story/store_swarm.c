/* store_swarm [--seed N] [--seeds A-B] [--large] [--trace]: the crash swarm of the storage engine. A
 * seed that fails is printed, with what failed; --large: each with files of more than one checksum
 * group; --trace shows who did what when. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim/store_swarm.h"

static uint64_t current_seed;

static void on_check(const char *what, const char *file, int line, const char *function)
{
    (void)fprintf(stderr, "seed %" PRIu64 ": CHECK %s at %s:%d %s\n", current_seed, what, file,
        line, function);
}

struct totals {
    uint64_t seeds, failed, io_count, operations, crashes, fences, boots;
};

static void run_seed(uint64_t seed, bool has_large, FILE *trace, struct totals *totals)
{
    struct store_swarm_result result, again;
    struct store_swarm_options options = {.seed = seed, .has_large = has_large, .trace = trace};
    current_seed = seed;
    store_swarm_run(&options, &result);
    totals->seeds++;
    totals->io_count += result.io_count;
    totals->operations += result.operations;
    totals->crashes += result.crashes;
    totals->fences += result.fences;
    totals->boots += result.boots;
    if (seed % 64 == 0 && !trace) {
        store_swarm_run(&options, &again);
        if (again.hash != result.hash)
            (void)snprintf(result.failure, sizeof result.failure, "ran differently a second time");
    }
    if (!result.failure[0])
        return;
    totals->failed++;
    (void)printf("seed %" PRIu64 ": %s\n", seed, result.failure);
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    uint64_t first = 1, last = 1000;
    bool has_trace = false, has_large = false;
    check_set_hook(on_check);
    for (int i = 1; i < argc; i++) {
        char *end = NULL;
        if (strcmp(argv[i], "--trace") == 0) {
            has_trace = true;
        } else if (strcmp(argv[i], "--large") == 0) {
            has_large = true;
        } else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            first = last = strtoull(argv[++i], &end, 10);
        } else if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc) {
            first = strtoull(argv[++i], &end, 10);
            last = *end == '-' ? strtoull(end + 1, &end, 10) : first;
        } else {
            (void)fprintf(
                stderr, "usage: store_swarm [--seed N] [--seeds A-B] [--large] [--trace]\n");
            return 2;
        }
    }
    (void)setvbuf(stdout, NULL, _IOLBF, 0); /* a check that fails must not swallow the trace */
    struct totals totals = {0};
    for (uint64_t seed = first; seed <= last; seed++)
        run_seed(seed, has_large, has_trace ? stdout : NULL, &totals);
    (void)printf("%" PRIu64 " seeds, %" PRIu64 " failed; %" PRIu64 " operations, %" PRIu64
                 " I/Os, %" PRIu64 " crashes, %" PRIu64 " fences, %" PRIu64 " boots\n",
        totals.seeds, totals.failed, totals.operations, totals.io_count, totals.crashes,
        totals.fences, totals.boots);
    return totals.failed > 0 ? 1 : 0;
}
