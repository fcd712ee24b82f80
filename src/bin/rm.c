/* cairn rm: delete files, for ever. */
#include "bin/verbs.h"

#include "base/units.h"
#include "bin/session.h"

struct rm_options {
    struct common common;
    uint8_t ack;
    struct version if_version;
};

static void report_deleted(const char *id, const struct msg_deleted *deleted)
{
    struct json_line json;
    json_line_begin(&json);
    json_line_add_text(&json, "id", id);
    json_line_add_bool(&json, "deleted", true);
    json_line_add_bool(&json, "existed", deleted->existed != 0);
    json_line_add_text(&json, "ack", ack_name(deleted->ack));
    json_line_add_number(&json, "holders", deleted->holder_count);
    json_line_add_span(&json, "held_by", deleted->holders);
    json_line_print(&json, stdout);
}

static void rm_one(struct session *session, const struct rm_options *options, const char *id)
{
    struct client_op op = {.type = MSG_DELETE};
    op.request.delete = (struct msg_delete){
        .id = span_of_text(id), .ack = options->ack, .if_version = options->if_version};
    err_t err = session_run(session, &op);
    if (err_is(err)) {
        session_fail(session, id, err, op.sentence);
        return;
    }
    session->tally.succeeded++;
    bool existed = op.reply.deleted.existed != 0;
    if (!existed)
        session_note(session, "%s: was not there", id);
    if (options->common.is_json)
        report_deleted(id, &op.reply.deleted);
    session_check_ack(session, id, options->ack, op.reply.deleted.ack, op.reply.deleted.holders);
}

static int rm_main(const struct verb *verb, int argc, char **argv)
{
    struct rm_options options = {.common = COMMON_DEFAULT};
    int first;
    enum args_result parsed = args_parse(verb, argc, argv, &options, &first, stdout, stderr);
    if (parsed != ARGS_OK)
        return args_exit_code(parsed);
    if (first == argc)
        return usage_exit(verb, "which files? ID... is missing");
    struct session session;
    int code = session_open(&session, "rm", &options.common, 1, 1);
    if (code != 0)
        return code;
    for (int i = first; i < argc && !session.was_interrupted; i++)
        rm_one(&session, &options, argv[i]);
    code = session_exit_code(&session);
    session_close(&session);
    return code;
}

static const struct arg rows[] = {
    {.name = "if-version",
        .kind = ARG_VERSION,
        .value = "V",
        .text = "only if the file has this version; else exit code 6",
        .offset = offsetof(struct rm_options, if_version)},
    {.name = "ack",
        .kind = ARG_ACK,
        .value = "LEVEL",
        .text = "memory, local, one, all: see cairn put --help",
        .offset = offsetof(struct rm_options, ack)},
    COMMON_ROWS(struct rm_options),
};

const struct verb rm_verb = {
    .name = "rm",
    .brief = "delete files, for ever",
    .usage = "ID... [options]",
    .about =
        "Deletes files. A delete is final: no mirror that was away brings the file back, and its\n"
        "id is never given to another file. What is not there is deleted already: it is said, and\n"
        "the exit code is 0, so a repeated rm is harmless. If some of several can't be deleted,\n"
        "each is named and the exit code is 8.",
    .examples = "  cairn rm ID\n"
                "  cut -f1 photos.cairn | grep -v '^#' | xargs cairn rm",
    .args = {rows, ARRAY_LEN(rows)},
    .run = rm_main,
};
