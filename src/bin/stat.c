/* cairn stat: what a storage knows about a file. */
#include "bin/verbs.h"

#include <inttypes.h>

#include "base/units.h"
#include "bin/date.h"
#include "bin/session.h"

struct stat_options {
    struct common common;
    uint64_t storage;
};

static void print_json(const char *id, const struct msg_stated *stated, uint32_t machine)
{
    struct json_line json;
    json_line_begin(&json);
    json_line_add_text(&json, "id", id);
    json_line_add_version(&json, "version", stated->version);
    json_line_add_number(&json, "size", stated->size);
    json_line_add_crc(&json, "crc32", stated->crc);
    json_line_add_number(&json, "capacity", stated->capacity);
    json_line_add_number(&json, "create_ns", stated->create_ns);
    json_line_add_number(&json, "modify_ns", stated->modify_ns);
    json_line_add_number(&json, "expires", stated->expires);
    json_line_add_bool(&json, "mutable", stated->is_mutable);
    json_line_add_bool(&json, "packed", stated->is_packed);
    json_line_add_bool(&json, "forwarded", stated->is_forwarded);
    json_line_add_number(&json, "origin", stated->origin);
    json_line_add_number(&json, "machine", machine);
    json_line_add_span(&json, "pool", stated->pool);
    json_line_add_span(&json, "content_type", stated->content_type);
    json_line_add_span(&json, "metadata", stated->metadata);
    json_line_print(&json, stdout);
}

static void print_span(const char *name, struct span span)
{
    if (span.size == 0)
        return;
    char bytes[4 * 4096 + 3];
    struct text text;
    text_init(&text, bytes, sizeof bytes);
    text_add_quoted(&text, span);
    (void)printf("%-13s %s\n", name, bytes);
}

static void print_time(const char *name, uint64_t time_ns)
{
    char date[DATE_TEXT_MAX];
    if (time_ns > 0)
        (void)printf("%-13s %s\n", name, date_format(time_ns, date));
}

static void print_text(const char *id, const struct msg_stated *stated, uint32_t machine)
{
    (void)printf("%-13s %s\n", "id", id);
    (void)printf("%-13s %" PRIu64 ".%" PRIu32 "\n", "version", stated->version.counter,
        stated->version.machine);
    (void)printf("%-13s %" PRIu64 "\n", "size", stated->size);
    (void)printf("%-13s %" PRIu64 "\n", "capacity", stated->capacity);
    (void)printf("%-13s %08" PRIx32 "\n", "crc32", stated->crc);
    print_time("created", stated->create_ns);
    print_time("modified", stated->modify_ns);
    print_time("expires", stated->expires * NS_PER_S);
    (void)printf("%-13s %s%s%s\n", "kind", stated->is_mutable ? "mutable" : "immutable",
        stated->is_packed ? ", packed" : ", single", stated->is_forwarded ? ", forwarded" : "");
    (void)printf("%-13s m%03" PRIu32 "\n", "origin", stated->origin);
    (void)printf("%-13s m%03" PRIu32 "\n", "answered by", machine);
    print_span("pool", stated->pool);
    print_span("content type", stated->content_type);
    print_span("metadata", stated->metadata);
    (void)fflush(stdout);
}

static void stat_one(struct session *session, const struct stat_options *options, const char *id)
{
    struct client_op op = {.type = MSG_STAT, .machine_only = (uint32_t)options->storage};
    op.request.stat = (struct msg_stat){.id = span_of_text(id)};
    err_t err = session_run(session, &op);
    if (err_is(err)) {
        session_fail(session, id, err, op.sentence);
        return;
    }
    session->tally.succeeded++;
    if (options->common.is_json)
        print_json(id, &op.reply.stated, op.answered_by);
    else
        print_text(id, &op.reply.stated, op.answered_by);
}

static int stat_main(const struct verb *verb, int argc, char **argv)
{
    struct stat_options options = {.common = COMMON_DEFAULT};
    int first;
    enum args_result parsed = args_parse(verb, argc, argv, &options, &first, stdout, stderr);
    if (parsed != ARGS_OK)
        return args_exit_code(parsed);
    if (first == argc)
        return usage_exit(verb, "which file? ID... is missing");
    struct session session;
    int code = session_open(&session, "stat", &options.common, 1, 1);
    if (code != 0)
        return code;
    for (int i = first; i < argc && !session.was_interrupted; i++) {
        if (i > first && !options.common.is_json)
            (void)printf("\n");
        stat_one(&session, &options, argv[i]);
    }
    code = session_exit_code(&session);
    session_close(&session);
    return code;
}

static const struct arg rows[] = {
    {.name = "storage",
        .kind = ARG_MACHINE,
        .value = "MACHINE",
        .text = "ask only this storage",
        .offset = offsetof(struct stat_options, storage)},
    COMMON_ROWS(struct stat_options),
};

const struct verb stat_verb = {
    .name = "stat",
    .brief = "version, size, CRC, times and metadata of a file",
    .usage = "ID... [options]",
    .about = "Prints what a storage knows about each file. The version goes into --if-version of\n"
             "modify, rm and get. capacity is how large the content may grow without moving.",
    .examples = "  cairn stat ID\n"
                "  cairn stat ID --json | jq -r .version",
    .args = {rows, ARRAY_LEN(rows)},
    .run = stat_main,
};
