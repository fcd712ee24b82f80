/* cairn modify: change a file in place; its id stays. */
#include "bin/verbs.h"

#include <inttypes.h>

#include "base/units.h"
#include "bin/file.h"
#include "bin/session.h"

struct modify_options {
    struct common common;
    uint64_t offset, truncate;
    bool has_offset, has_truncate, is_append;
    uint8_t ack;
    struct version if_version;
};

static void report_modified(
    const struct modify_options *options, const char *id, const struct msg_modified *modified)
{
    if (!options->common.is_json) {
        (void)printf("%s\t%" PRIu64 ".%" PRIu32 "\n", id, modified->version.counter,
            modified->version.machine);
        (void)fflush(stdout);
        return;
    }
    struct json_line json;
    json_line_begin(&json);
    json_line_add_text(&json, "id", id);
    json_line_add_version(&json, "version", modified->version);
    json_line_add_number(&json, "size", modified->size);
    json_line_add_crc(&json, "crc32", modified->crc);
    json_line_add_text(&json, "ack", ack_name(modified->ack));
    json_line_add_number(&json, "holders", modified->holder_count);
    json_line_print(&json, stdout);
}

static struct msg_modify request_of(const struct modify_options *options, const char *id)
{
    struct msg_modify request = {.id = span_of_text(id),
        .ack = options->ack,
        .mode = MODIFY_REPLACE,
        .if_version = options->if_version};
    if (options->has_truncate) {
        request.mode = MODIFY_TRUNCATE;
        request.offset = options->truncate;
        request.size_known = 1;
    } else if (options->is_append) {
        request.mode = MODIFY_APPEND;
    } else if (options->has_offset) {
        request.mode = MODIFY_WRITE;
        request.offset = options->offset;
    }
    return request;
}

static void modify_run(struct session *session, const struct modify_options *options,
    const char *id, struct client_op *op)
{
    err_t err = session_run(session, op);
    progress_clear(&session->progress);
    if (err_is(err)) {
        session_fail(session, id, err, op->sentence);
        return;
    }
    session->tally.succeeded++;
    report_modified(options, id, &op->reply.modified);
    session_check_ack(
        session, id, options->ack, op->reply.modified.ack, op->reply.modified.holders);
}

static void modify_from_file(
    struct session *session, const struct modify_options *options, const char *id, const char *path)
{
    struct file_source file;
    void *buffer;
    err_t err = file_source_open(&file, session->io, &session->owner, path, &session->progress);
    if (err_is(err)) {
        session_fail(session, path, err, NULL);
        return;
    }
    err = mem_take(&session->mem, &session->owner, FRAME_DATA_MAX, 4096, &buffer);
    if (err_is(err)) {
        session_fail(session, path, err, NULL);
    } else {
        struct client_op op = {.type = MSG_MODIFY, .source = &file.source, .buffer = buffer};
        op.request.modify = request_of(options, id);
        op.request.modify.size_known = !file.is_stream;
        op.request.modify.size = file.is_stream ? 0 : file.size;
        session->progress.bytes_total = file.is_stream ? 0 : file.size;
        modify_run(session, options, id, &op);
        mem_give(&session->mem, buffer);
    }
    file_source_close(&file);
}

static void modify_truncate(
    struct session *session, const struct modify_options *options, const char *id)
{
    struct client_op op = {.type = MSG_MODIFY};
    op.request.modify = request_of(options, id);
    modify_run(session, options, id, &op);
}

static int modify_main(const struct verb *verb, int argc, char **argv)
{
    struct modify_options options = {.common = COMMON_DEFAULT};
    int first;
    enum args_result parsed = args_parse(verb, argc, argv, &options, &first, stdout, stderr);
    if (parsed != ARGS_OK)
        return args_exit_code(parsed);
    if (options.has_offset + options.is_append + options.has_truncate > 1)
        return usage_exit(verb, "--offset, --append and --truncate exclude each other");
    if (argc - first != (options.has_truncate ? 1 : 2))
        return usage_exit(verb, options.has_truncate ? "ID --truncate N is wanted, without a FILE"
                                                     : "ID and FILE are wanted");
    struct session session;
    int code = session_open(&session, "modify", &options.common, 1, 1);
    if (code != 0)
        return code;
    if (options.has_truncate)
        modify_truncate(&session, &options, argv[first]);
    else
        modify_from_file(&session, &options, argv[first], argv[first + 1]);
    code = session_exit_code(&session);
    session_close(&session);
    return code;
}

static const struct arg rows[] = {
    {.name = "offset",
        .kind = ARG_SIZE,
        .value = "N",
        .text = "write the bytes of FILE at N, not beyond the end; the rest stays",
        .offset = offsetof(struct modify_options, offset),
        .offset_set = offsetof(struct modify_options, has_offset)},
    {.name = "append",
        .kind = ARG_FLAG,
        .text = "add the bytes of FILE at the end",
        .offset = offsetof(struct modify_options, is_append)},
    {.name = "truncate",
        .kind = ARG_SIZE,
        .value = "N",
        .text = "cut the file to N bytes",
        .offset = offsetof(struct modify_options, truncate),
        .offset_set = offsetof(struct modify_options, has_truncate)},
    {.name = "if-version",
        .kind = ARG_VERSION,
        .value = "V",
        .text = "only if the file has this version (see cairn stat); else exit\n"
                "code 6. Exact at one storage, not across a partition",
        .offset = offsetof(struct modify_options, if_version)},
    {.name = "ack",
        .kind = ARG_ACK,
        .value = "LEVEL",
        .text = "memory, local, one, all: see cairn put --help",
        .offset = offsetof(struct modify_options, ack)},
    COMMON_ROWS(struct modify_options),
};

const struct verb modify_verb = {
    .name = "modify",
    .brief = "change a file in place: replace, write, append, truncate",
    .usage = "ID FILE [--offset N | --append] [options]      (FILE - is standard input)\n"
             "       cairn modify ID --truncate N [options]",
    .about =
        "Changes a file that was stored mutable and prints ID<TAB>VERSION. Without --offset,\n"
        "--append or --truncate the whole content is replaced. The id never changes, and readers\n"
        "see the old or the new content, never a mix. A modify that was interrupted is repeated\n"
        "under the same mark, so that it happens once; if its outcome stays unknown, that is said.",
    .examples = "  cairn modify ID new.jpg\n"
                "  date | cairn modify ID - --append\n"
                "  cairn modify ID patch.bin --offset 4096 --if-version 3.1\n"
                "  cairn modify ID --truncate 0",
    .args = {rows, ARRAY_LEN(rows)},
    .run = modify_main,
};
