/* cairn check: are all storages equal (check_cluster.h)? --offline DIR: is a mount point whole? */
#include "bin/verbs.h"

#include <limits.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/units.h"
#include "bin/check_cluster.h"
#include "io/backend.h"
#include "storage/check.h"

struct check_options {
    const char *directory;
    bool is_deep; /* offline there is no other way */
    struct common common;
};

static void print_finding(void *context, const struct check_finding *finding)
{
    const struct check_options *options = context;
    char bytes[1024];
    struct text text;
    if (options->common.is_quiet)
        return;
    text_init(&text, bytes, sizeof bytes);
    check_finding_print(finding, &text);
    (void)fprintf(stderr, "%s\n", bytes);
}

static void print_result(const struct check *check, const struct check_options *options)
{
    char bytes[8192];
    if (options->common.is_json) {
        struct writer w = {(uint8_t *)bytes, sizeof bytes, 0, false};
        check_print_json(check, &w);
        (void)printf("%.*s\n", (int)w.size, bytes);
        return;
    }
    struct text text;
    text_init(&text, bytes, sizeof bytes);
    check_print(check, &text);
    (void)fputs(bytes, stdout);
}

static int check_directory(struct io *io, const char *path, struct check_options *options)
{
    struct mem mem;
    mem_init(&mem, &io->ledger);
    struct check check = {
        .io = io, .mem = &mem, .path = path, .on_finding = print_finding, .context = options};
    err_t err = check_run(&check);
    if (err_is(err)) {
        (void)fprintf(
            stderr, "cairn check: %s: %s\n", path, check.why ? check.why : err_sentence(err.code));
        return err_exit_code(err.code);
    }
    print_result(&check, options);
    return err_exit_code(check_verdict(&check).code);
}

static int check_main(const struct verb *verb, int argc, char **argv)
{
    struct check_options options = {.common = COMMON_DEFAULT};
    int first;
    enum args_result parsed = args_parse(verb, argc, argv, &options, &first, stdout, stderr);
    if (parsed != ARGS_OK)
        return args_exit_code(parsed);
    if (first != argc)
        return usage_exit(verb, "only options are wanted");
    if (!options.directory)
        return check_cluster(&options.common, options.is_deep);
    char path[PATH_MAX];
    if (!realpath(options.directory, path)) {
        (void)fprintf(stderr, "cairn check: %s: there is no such directory\n", options.directory);
        return err_exit_code(ERR_CODE_NOT_FOUND);
    }
    struct io *io;
    err_t err = backend_io_new(&(struct backend_options){.loop_count = 1}, &io);
    int code = err_exit_code(err.code);
    if (err_is(err)) {
        (void)usage_error(verb->name, backend_explain(err));
    } else {
        code = check_directory(io, path, &options);
        io->backend->free(io);
    }
    return code;
}

static const struct arg rows[] = {
    {.name = "offline",
        .kind = ARG_TEXT,
        .value = "DIR",
        .text = "a mount point that no server uses",
        .offset = offsetof(struct check_options, directory)},
    {.name = "deep",
        .kind = ARG_FLAG,
        .text = "read every content first; offline it is always so",
        .offset = offsetof(struct check_options, is_deep)},
    COMMON_ROWS(struct check_options),
};

const struct verb check_verb = {
    .name = "check",
    .brief = "are all mirrors equal, is everything whole?",
    .usage = "[--deep] [--offline DIR] [options]",
    .about =
        "Asks every storage to compare itself with its mirrors now, and says what was compared, "
        "what\n"
        "differed and was repaired, and what differs still. --deep: each reads all that it holds "
        "first,\n"
        "and repairs what is damaged from a mirror.\n"
        "Exit code 0: equal and whole; 7: something differs still, is damaged or lost; 5: a "
        "storage\n"
        "could not be asked.\n"
        "\n"
        "--offline reads all of a mount point that no server uses: its status, checkpoints, log, "
        "slot maps,\n"
        "and every content against its checksum. Names what is damaged, by file and id, and never\n"
        "writes. Records that the next start will apply again are counted as pending.\n"
        "Exit code 0: whole; 7: something is damaged or lost; 5: a server uses the directory.",
    .examples = "  cairn check\n"
                "  cairn check --deep\n"
                "  cairn check --offline /srv/a\n"
                "  cairn check --offline cairn-data --json",
    .args = {rows, ARRAY_LEN(rows)},
    .run = check_main,
};
