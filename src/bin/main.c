/* The `cairn` program: finds the verb, and leaves the rest to it. */
#include <stdio.h>

#include "base/err.h"
#include "bin/verbs.h"

static const struct verb *const verbs[] = {
    &up_verb,
    &tracker_verb,
    &storage_verb,
    NULL, /* files */
    &put_verb,
    &get_verb,
    &modify_verb,
    &rm_verb,
    &stat_verb,
    &ls_verb,
    &import_verb,
    NULL, /* operators */
    &status_verb,
    &ops_verb,
    &top_verb,
    &member_verb,
    &res_verb,
    &doctor_verb,
    &check_verb,
    &bench_verb,
    &sim_verb,
};

static void print_overview(FILE *to)
{
    (void)fprintf(to, "Usage: cairn VERB [ARGUMENT...]\n"
                      "\nA distributed file store for very many small and medium files.\n\n");
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        if (verbs[i])
            (void)fprintf(to, "  %-10s %s\n", verbs[i]->name, verbs[i]->brief);
        else
            (void)fprintf(to, "\n");
    }
    (void)fprintf(to,
        "\n  help VERB  all about a verb (the same as VERB --help)\n"
        "  version    the version of this program\n"
        "\nStart in a minute:\n"
        "  cairn up &                  tracker and storage on loopback, data in ./cairn-data\n"
        "  cairn put README.md         prints the id\n"
        "  cairn get ID -o copy\n"
        "\nStandard output is data, standard error is talk. Exit codes: 0 ok, 1 failed, 2 usage,\n"
        "3 not found, 4 denied, 5 unavailable or timed out, 6 conflict, 7 corrupt or lost data,\n"
        "8 partial, 9 interrupted.\n");
}

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        if (verbs[i] && strcmp(verbs[i]->name, name) == 0)
            return verbs[i];
    return NULL;
}

static int help_main(int argc, char **argv)
{
    if (argc < 2) {
        print_overview(stdout);
        return 0;
    }
    const struct verb *verb = find_verb(argv[1]);
    if (!verb) {
        (void)fprintf(stderr, "cairn help: there is no verb %s\n", argv[1]);
        return err_exit_code(ERR_CODE_USAGE);
    }
    if (verb->print_help)
        verb->print_help(verb);
    else
        verb_print_help(verb, stdout);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_overview(stderr);
        return err_exit_code(ERR_CODE_USAGE);
    }
    const char *name = argv[1];
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return help_main(argc - 1, argv + 1);
    if (strcmp(name, "version") == 0 || strcmp(name, "--version") == 0) {
        (void)printf("cairn %s\n", CAIRN_VERSION);
        return 0;
    }
    const struct verb *verb = find_verb(name);
    if (!verb) {
        (void)fprintf(stderr, "cairn: there is no verb %s\nTry: cairn help\n", name);
        return err_exit_code(ERR_CODE_USAGE);
    }
    return verb->run(verb, argc - 1, argv + 1);
}
