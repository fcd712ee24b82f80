/* cluster_canary SEEDS: the swarm of the cluster, linked with a part that has a mistake put in. It must
 * be found: the first seed that fails, or a failed check, ends it with success. */
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "sim/cluster_swarm.h"

static uint64_t seed;

static void on_check(const char *what, const char *file, int line, const char *function)
{
    (void)fprintf(stderr, "found by seed %" PRIu64 ": check %s at %s:%d, %s\n", seed, what, file,
        line, function);
    _exit(0);
}

int main(int argc, char **argv)
{
    uint64_t last = argc == 2 ? strtoull(argv[1], NULL, 10) : 0;
    static struct cluster_swarm_result result;
    check_set_hook(on_check);
    for (seed = 1; seed <= last; seed++) {
        cluster_swarm_run(
            &(struct cluster_swarm_options){.seed = seed, .has_no_mirrors = true}, &result);
        if (!result.failure[0])
            continue;
        (void)printf("found by seed %" PRIu64 ": %s\n", seed, result.failure);
        return 0;
    }
    (void)printf("not found by %" PRIu64 " seeds\n", last);
    return 1;
}
