/* cairn storage: a storage alone. */
#include "bin/storage_process.h"
#include "bin/verbs.h"

static int storage_main(const struct verb *verb, int argc, char **argv)
{
    struct storage_process process = {.code = 0};
    struct server_table tables[] = {{&storage_config_table, &process.config}};
    enum args_result result =
        server_begin(&process.server, verb, tables, ARRAY_LEN(tables), argc, argv);
    if (result == ARGS_OK) {
        storage_process_check(&process);
        result = server_check(&process.server);
    }
    return result == ARGS_OK ? storage_process_run(&process) : args_exit_code(result);
}

static void print_help(const struct verb *verb)
{
    char *words[] = {(char *)(uintptr_t)verb->name, (char *)(uintptr_t) "--help", NULL};
    (void)storage_main(verb, 2, words);
}

const struct verb storage_verb = {
    .name = "storage",
    .brief = "run a storage: it keeps the files",
    .usage = "--machine M --group G --mount DIR... --tracker HOST:PORT... [options]",
    .about =
        "Keeps files on its mount points, normally one per disk; an empty one is formatted on the\n"
        "first start. The machine number is in every file id: it never changes and is never given\n"
        "to another machine. All storages of a group hold the same files. Prints a line with its\n"
        "address when it is ready, and ends on SIGTERM or SIGINT: what is under way is finished,\n"
        "checkpoints are taken.",
    .examples = "  cairn storage --machine m001 --group g1 --mount /srv/a --mount /srv/b \\\n"
                "        --listen 10.0.0.7:7710 --tracker 10.0.0.1:7700 \\\n"
                "        --client-secret-file c --node-secret-file n\n"
                "  cairn storage --config /etc/cairn/storage.conf --check",
    .run = storage_main,
    .print_help = print_help,
};
