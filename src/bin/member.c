/* cairn member: who is in a group, and the operator's word about it. */
#include "bin/verbs.h"

#include <inttypes.h>

#include "base/units.h"
#include "bin/cluster_view.h"
#include "wire/member_entry.h"

enum { ENTRIES_BYTES = 16384 };

struct member_options {
    struct common common;
    bool is_sure, is_undone;
    const char *group;
};

/* ---- one question to one server ---- */

struct entries_sink {
    struct client_sink sink;
    uint8_t bytes[ENTRIES_BYTES];
    size_t size;
};

static err_t entries_take(struct client_sink *sink, struct span data)
{
    struct entries_sink *to = CONTAINER_OF(sink, struct entries_sink, sink);
    if (data.size > sizeof to->bytes - to->size)
        return ERR(TOO_LARGE, 0);
    memcpy(to->bytes + to->size, data.data, data.size);
    to->size += data.size;
    return ERR_OK;
}

static err_t entries_begin(struct client_sink *sink, const struct client_op *op)
{
    (void)op;
    CONTAINER_OF(sink, struct entries_sink, sink)->size = 0;
    return ERR_OK;
}

/* The op's reply and sentence are the caller's to read. */
static err_t ask(struct session *session, const struct io_address *server, uint8_t verb,
    uint32_t machine, bool is_sure, struct client_op *op, struct entries_sink *sink)
{
    sink->sink = (struct client_sink){.take = entries_take, .begin = entries_begin};
    sink->size = 0;
    *op = (struct client_op){.type = MSG_MEMBER, .sink = &sink->sink, .server = *server};
    op->request.member = (struct msg_member){.verb = verb, .machine = machine, .is_sure = is_sure};
    return session_run(session, op);
}

/* ---- list ---- */

static const struct cluster_storage *seen_at_tracker(
    const struct cluster_view *view, const char *group, uint32_t machine)
{
    for (size_t i = 0; i < view->count; i++)
        if (view->storages[i].machine == machine && strcmp(view->storages[i].group, group) == 0)
            return &view->storages[i];
    return NULL;
}

static const char *state_of(const struct member_entry *entry, const struct cluster_storage *seen)
{
    if ((entry->flags & MEMBER_REMOVED) != 0)
        return "removed";
    if (seen)
        return seen->state;
    return (entry->flags & MEMBER_ALIVE) != 0 ? storage_state_name(entry->state) : "away";
}

static void print_member_json(
    const char *group, const struct member_entry *entry, const struct cluster_storage *seen)
{
    struct json_line json;
    json_line_begin(&json);
    json_line_add_text(&json, "group", group);
    json_line_add_number(&json, "machine", entry->machine);
    json_line_add_text(&json, "state", state_of(entry, seen));
    json_line_add_span(&json, "address", entry->address);
    json_line_add_bool(&json, "alive", (entry->flags & MEMBER_ALIVE) != 0);
    json_line_add_bool(&json, "draining", (entry->flags & MEMBER_DRAINING) != 0);
    json_line_add_bool(&json, "removed", (entry->flags & MEMBER_REMOVED) != 0);
    json_line_add_number(&json, "lag_records", seen ? seen->lag_records : 0);
    json_line_add_number(&json, "lag_ms", seen ? seen->lag_ms : 0);
    json_line_print(&json, stdout);
}

static void print_member(
    const char *group, const struct member_entry *entry, const struct cluster_storage *seen)
{
    char lag[32] = "-";
    struct text text;
    if (seen && seen->is_alive) {
        text_init(&text, lag, sizeof lag);
        text_add_duration(&text, seen->lag_ms * NS_PER_MS);
    }
    (void)printf("%-16s m%03" PRIu32 "   %-10s %-8s %-22.*s %s\n", group, entry->machine,
        state_of(entry, seen), lag, (int)entry->address.size, (const char *)entry->address.data,
        (entry->flags & MEMBER_DRAINING) != 0 ? "draining" : "");
}

static bool list_at(
    struct session *session, const struct cluster_view *view, const struct cluster_storage *storage)
{
    struct entries_sink sink;
    struct client_op op;
    struct member_entry entry;
    err_t err = ask(session, &storage->address, MEMBER_LIST, 0, false, &op, &sink);
    if (err_is(err))
        return false;
    struct reader r = {.data = sink.bytes, .size = sink.size};
    while (r.at < r.size && !err_is(member_entry_decode(&r, &entry))) {
        bool is_removed = (entry.flags & MEMBER_REMOVED) != 0;
        const struct cluster_storage *seen =
            is_removed ? NULL : seen_at_tracker(view, storage->group, entry.machine);
        if (session->common->is_json)
            print_member_json(storage->group, &entry, seen);
        else
            print_member(storage->group, &entry, seen);
    }
    return true;
}

static bool is_first_mention(const struct cluster_view *view, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (strcmp(view->storages[i].group, view->storages[index].group) == 0)
            return false;
    return true;
}

/* Each group as the first of its living storages knows it. */
static void list_group(struct session *session, const struct cluster_view *view, const char *group)
{
    for (size_t i = 0; i < view->count; i++) {
        const struct cluster_storage *storage = &view->storages[i];
        if (strcmp(storage->group, group) == 0 && storage->is_alive
            && list_at(session, view, storage)) {
            session->tally.succeeded++;
            return;
        }
    }
    session_fail(session, group, ERR(UNAVAILABLE, 0), "no storage of this group answers");
}

static void list_members(
    struct session *session, const struct cluster_view *view, const struct member_options *options)
{
    if (!options->common.is_json)
        (void)printf("%-16s %-6s %-10s %-8s %s\n", "group", "name", "state", "lag", "address");
    for (size_t i = 0; i < view->count; i++)
        if (is_first_mention(view, i)
            && (!options->group || strcmp(options->group, view->storages[i].group) == 0))
            list_group(session, view, view->storages[i].group);
    (void)fflush(stdout);
}

/* ---- changes ---- */

struct change {
    const struct member_options *options;
    const struct cluster_view *view;
    uint8_t verb;
    uint32_t machine;
    const char *group;
};

static void report(const struct change *change, const char *where, bool is_done, struct span text)
{
    if (change->options->common.is_json) {
        struct json_line json;
        json_line_begin(&json);
        json_line_add_text(&json, "at", where);
        json_line_add_number(&json, "machine", change->machine);
        json_line_add_bool(&json, "done", is_done);
        json_line_add_span(&json, "text", text);
        json_line_print(&json, stdout);
    } else if (is_done) {
        (void)printf("%s: done\n", where);
    } else {
        (void)printf("%s: would be done: %.*s\n", where, (int)text.size, (const char *)text.data);
    }
}

static void change_at(
    struct session *session, const struct change *change, const struct cluster_storage *storage)
{
    struct entries_sink sink;
    struct client_op op;
    char where[16];
    (void)snprintf(where, sizeof where, "m%03" PRIu32, storage->machine);
    err_t err = ask(session, &storage->address, change->verb, change->machine,
        change->options->is_sure, &op, &sink);
    if (err_is(err)) {
        session_fail(session, where, err, op.sentence);
        return;
    }
    session->tally.succeeded++;
    report(change, where, op.reply.member.is_done, op.reply.member.text);
}

/* Trackers keep nothing: they only have to stop naming it. One that does not know it is as good. */
static void tell_trackers(struct session *session, const struct change *change)
{
    const struct client_config *config = &session->client.config;
    char address[IO_ADDRESS_TEXT_MAX];
    for (size_t i = 0; i < config->tracker_count; i++) {
        struct entries_sink sink;
        struct client_op op;
        err_t err =
            ask(session, &config->trackers[i], MEMBER_REMOVE, change->machine, true, &op, &sink);
        if (err_is(err) && !err_has(err, ERR_CODE_NOT_FOUND))
            session_note(session, "tracker %s: %s",
                io_address_format(&config->trackers[i], address), op.sentence);
    }
}

static void drain(struct session *session, const struct change *change)
{
    const struct cluster_storage *storage =
        seen_at_tracker(change->view, change->group, change->machine);
    if (storage)
        change_at(session, change, storage);
}

/* Every other storage of the group has to know; those that are away hear it from the others. */
static void tell_others(struct session *session, const struct change *change)
{
    size_t others = 0;
    for (size_t i = 0; i < change->view->count; i++) {
        const struct cluster_storage *storage = &change->view->storages[i];
        if (strcmp(storage->group, change->group) != 0 || storage->machine == change->machine
            || !storage->is_alive)
            continue;
        others++;
        change_at(session, change, storage);
    }
    if (others == 0)
        session_fail(session, change->group, ERR(UNAVAILABLE, 0),
            "no other storage of this group is alive: nobody could remember it");
    else if (change->options->is_sure && session->tally.failed == 0
             && change->verb == MEMBER_REMOVE)
        tell_trackers(session, change);
}

static const char *group_of(const struct cluster_view *view, uint32_t machine)
{
    for (size_t i = 0; i < view->count; i++)
        if (view->storages[i].machine == machine)
            return view->storages[i].group;
    return NULL;
}

static void change_members(struct session *session, struct change *change)
{
    char name[16];
    (void)snprintf(name, sizeof name, "m%03" PRIu32, change->machine);
    change->group =
        change->options->group ? change->options->group : group_of(change->view, change->machine);
    if (!change->group) {
        session_fail(session, name, ERR(NOT_FOUND, 0),
            "the trackers do not know it; say its group: --group G");
        return;
    }
    if (change->verb == MEMBER_REMOVE || change->verb == MEMBER_ADOPT)
        tell_others(session, change);
    else
        drain(session, change);
    if (!change->options->is_sure && session->tally.failed == 0)
        session_note(session, "nothing was done; say --yes");
}

/* ---- the verb ---- */

static bool verb_of_word(const char *word, bool is_undone, uint8_t *ret)
{
    if (strcmp(word, "list") == 0)
        *ret = MEMBER_LIST;
    else if (strcmp(word, "drain") == 0)
        *ret = is_undone ? MEMBER_UNDRAIN : MEMBER_DRAIN;
    else if (strcmp(word, "remove") == 0)
        *ret = MEMBER_REMOVE;
    else if (strcmp(word, "adopt") == 0)
        *ret = MEMBER_ADOPT;
    else
        return false;
    return true;
}

static const char *words_problem(
    const struct member_options *options, int count, char **words, uint8_t *verb, uint64_t *machine)
{
    if (count == 0 || !verb_of_word(words[0], options->is_undone, verb))
        return "list, drain, remove or adopt is wanted";
    if (options->is_undone && *verb != MEMBER_UNDRAIN)
        return "--undo is for drain";
    if (*verb == MEMBER_LIST)
        return count == 1 ? NULL : "list takes no machine; perhaps --group";
    return count == 2 && parse_machine(words[1], machine) ? NULL
                                                          : "one machine like m002 is wanted";
}

static int member_main(const struct verb *verb, int argc, char **argv)
{
    struct member_options options = {.common = COMMON_DEFAULT};
    int first;
    enum args_result parsed = args_parse(verb, argc, argv, &options, &first, stdout, stderr);
    if (parsed != ARGS_OK)
        return args_exit_code(parsed);
    uint8_t what = 0;
    uint64_t machine = 0;
    const char *problem = words_problem(&options, argc - first, argv + first, &what, &machine);
    if (problem)
        return usage_exit(verb, problem);
    struct session session;
    struct cluster_view view;
    int code = session_open(&session, "member", &options.common, 1, 1);
    if (code != 0)
        return code;
    struct change change = {
        .options = &options, .view = &view, .verb = what, .machine = (uint32_t)machine};
    if (cluster_view_load(&view, &session)) {
        if (what == MEMBER_LIST)
            list_members(&session, &view, &options);
        else
            change_members(&session, &change);
    }
    code = session_exit_code(&session);
    session_close(&session);
    return code;
}

static const struct arg rows[] = {
    {.name = "group",
        .kind = ARG_TEXT,
        .value = "GROUP",
        .text = "only this group; needed for a machine that trackers have forgotten",
        .offset = offsetof(struct member_options, group)},
    {.name = "undo",
        .kind = ARG_FLAG,
        .text = "of drain: uploads come again",
        .offset = offsetof(struct member_options, is_undone)},
    {.name = "yes",
        .kind = ARG_FLAG,
        .text = "do it; without, only what would be done is said",
        .offset = offsetof(struct member_options, is_sure)},
    COMMON_ROWS(struct member_options),
};

const struct verb member_verb = {
    .name = "member",
    .brief = "who is in a group; take a storage out of use",
    .usage = "list [--group G]\n       cairn member drain MACHINE [--undo] [--yes]\n"
             "       cairn member remove MACHINE [--yes]\n"
             "       cairn member adopt MACHINE [--yes]",
    .about =
        "list     the storages of each group as its members know them, with those that were "
        "removed\n"
        "drain    the storage gets no uploads any more; it goes on answering and following\n"
        "remove   a storage that is gone for good: the others keep no logs for it, ack all "
        "does not\n"
        "         wait for it, and it cannot come back with the disks it had. Its machine "
        "number may\n"
        "         be given to a storage with empty disks, which is filled from the others\n"
        "adopt    a storage that died before it had brought its changes to all: the others "
        "compare\n"
        "         what they hold, now, and fetch from each other what they lack. Its files stay\n"
        "         where they are; nobody gets its place as the allocator of its chunks",
    .examples = "  cairn member list\n"
                "  cairn member drain m002 --yes\n"
                "  cairn member adopt m003 --yes && cairn member remove m003 --yes",
    .args = {rows, ARRAY_LEN(rows)},
    .run = member_main,
};
