#include "bin/check_cluster.h"

#include <jansson.h>

#include "base/units.h"
#include "bin/cluster_view.h"

enum { CHECK_ROUNDS = 3, CHECK_POLL_MS = 200, CHECK_REST = 8, CHECK_TEXT_MAX = 16 * 1024 };

struct answer {
    struct client_sink sink;
    char text[CHECK_TEXT_MAX];
    size_t size;
};

/* What a storage has found: the numbers of its answer that decide. */
struct checked {
    uint64_t pass;
    uint64_t members, members_failed, units, differed, remaining, taken, repaired, deleted, failed;
    uint64_t held_back, read_files, damaged, healed, suspects;
    bool is_asked, is_over;
    char text[CHECK_TEXT_MAX];
};

static err_t take(struct client_sink *sink, struct span data)
{
    struct answer *answer = CONTAINER_OF(sink, struct answer, sink);
    if (data.size >= sizeof answer->text - answer->size)
        return ERR(TOO_LARGE, 0);
    memcpy(answer->text + answer->size, data.data, data.size);
    answer->size += data.size;
    return ERR_OK;
}

static err_t begin(struct client_sink *sink, const struct client_op *op)
{
    (void)op;
    CONTAINER_OF(sink, struct answer, sink)->size = 0;
    return ERR_OK;
}

static uint64_t number_of(const json_t *root, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(root, key));
    return value > 0 ? (uint64_t)value : 0;
}

static bool parse(struct checked *checked, const struct answer *answer)
{
    json_t *root = json_loadb(answer->text, answer->size, 0, NULL);
    checked->members = number_of(root, "members");
    checked->members_failed = number_of(root, "members_failed");
    checked->units = number_of(root, "units");
    checked->differed = number_of(root, "differed");
    checked->remaining = number_of(root, "remaining");
    checked->taken = number_of(root, "taken");
    checked->repaired = number_of(root, "repaired");
    checked->deleted = number_of(root, "deleted");
    checked->failed = number_of(root, "failed");
    checked->held_back = number_of(root, "held_back");
    checked->read_files = number_of(root, "read_files");
    checked->damaged = number_of(root, "damaged");
    checked->healed = number_of(root, "healed");
    checked->suspects = number_of(root, "suspects");
    memcpy(checked->text, answer->text, answer->size);
    checked->text[answer->size] = '\0';
    bool is_good = json_is_object(root);
    json_decref(root);
    return is_good;
}

static err_t ask(struct session *session, const struct cluster_storage *storage,
    struct checked *checked, bool is_deep)
{
    struct answer answer = {.sink = {.take = take, .begin = begin}};
    struct client_op op = {.type = MSG_VERIFY, .sink = &answer.sink, .server = storage->address};
    op.request.verify = (struct msg_verify){.is_deep = is_deep, .pass = checked->pass};
    TRY(session_run(session, &op));
    checked->pass = op.reply.verified.pass;
    checked->is_over = op.reply.verified.is_over != 0;
    return parse(checked, &answer) ? ERR_OK : ERR(PROTOCOL, 0);
}

static void fired(struct io_op *op)
{
    *(bool *)op->context = true;
}

static void wait_a_little(struct session *session)
{
    bool is_over = false;
    struct io_op timer = {.kind = IO_TIMER,
        .fd = IO_FD_NONE,
        .deadline_ns = io_now(session->io) + CHECK_POLL_MS * NS_PER_MS,
        .owner = &session->owner,
        .wake = fired,
        .context = &is_over};
    io_submit(session->io, &timer);
    while (!is_over)
        session_turn(session);
}

static void name_of(const struct cluster_storage *storage, char ret[32])
{
    (void)snprintf(ret, 32, "m%03u", storage->machine);
}

/* One pass everywhere. */
static void run_round(
    struct session *session, const struct cluster_view *view, struct checked *all, bool is_deep)
{
    char name[32];
    for (size_t i = 0; i < view->count && !session->was_interrupted; i++) {
        all[i] = (struct checked){0};
        err_t err = ask(session, &view->storages[i], &all[i], is_deep);
        all[i].is_asked = !err_is(err);
        name_of(&view->storages[i], name);
        if (err_is(err))
            session_fail(session, name, err, err_sentence(err.code));
    }
    for (size_t i = 0; i < view->count; i++)
        while (all[i].is_asked && !all[i].is_over && !session->was_interrupted) {
            wait_a_little(session);
            err_t err = ask(session, &view->storages[i], &all[i], is_deep);
            all[i].is_asked = !err_is(err);
            name_of(&view->storages[i], name);
            if (err_is(err))
                session_fail(session, name, err, err_sentence(err.code));
        }
}

static bool is_clean(const struct checked *checked)
{
    return checked->remaining == 0 && checked->failed == 0 && checked->suspects == 0
           && checked->damaged == checked->healed;
}

/* It compared with fewer storages than its group has: it did not know yet that they run. */
static bool is_short(const struct cluster_view *view, const struct checked *all, size_t index)
{
    uint64_t others = 0;
    for (size_t i = 0; i < view->count; i++)
        others += i != index && view->storages[i].is_running
                  && strcmp(view->storages[i].group, view->storages[index].group) == 0;
    return all[index].members - all[index].members_failed < others;
}

static bool needs_another(const struct cluster_view *view, const struct checked *all)
{
    for (size_t i = 0; i < view->count; i++)
        if (all[i].is_asked && (!is_clean(&all[i]) || is_short(view, all, i)))
            return true;
    return false;
}

static void say(const struct cluster_storage *storage, const struct checked *checked, bool is_deep)
{
    char name[32];
    name_of(storage, name);
    (void)printf("%s: ", name);
    if (is_deep)
        (void)printf("%llu files read, %llu damaged, %llu of them repaired; ",
            (unsigned long long)checked->read_files, (unsigned long long)checked->damaged,
            (unsigned long long)checked->healed);
    if (checked->members == 0)
        (void)printf("no mirror to compare with\n");
    else if (checked->differed == 0 && is_clean(checked))
        (void)printf("%llu units compared with %llu mirrors: equal\n",
            (unsigned long long)checked->units, (unsigned long long)checked->members);
    else
        (void)printf("%llu units compared with %llu mirrors, %llu differed: %llu files brought"
                     " (%llu repaired), %llu deleted, %llu failed; %llu units differ still\n",
            (unsigned long long)checked->units, (unsigned long long)checked->members,
            (unsigned long long)checked->differed, (unsigned long long)checked->taken,
            (unsigned long long)checked->repaired, (unsigned long long)checked->deleted,
            (unsigned long long)checked->failed, (unsigned long long)checked->remaining);
    if (checked->members_failed > 0)
        (void)printf("%s: %llu mirrors could not be compared with\n", name,
            (unsigned long long)checked->members_failed);
}

static int verdict(
    struct session *session, const struct cluster_view *view, const struct checked *all)
{
    bool is_damaged = false, is_partial = false;
    for (size_t i = 0; i < view->count; i++) {
        is_damaged |= all[i].is_asked && !is_clean(&all[i]);
        is_partial |= !all[i].is_asked || is_short(view, all, i);
        session->tally.succeeded += all[i].is_asked;
    }
    if (is_damaged)
        return err_exit_code(ERR_CODE_CORRUPT);
    return is_partial ? err_exit_code(ERR_CODE_UNAVAILABLE) : session_exit_code(session);
}

static int run(
    struct session *session, struct cluster_view *view, struct checked *all, bool is_deep)
{
    if (!cluster_view_load(view, session))
        return session_exit_code(session);
    for (unsigned round = 0; round < CHECK_ROUNDS && !session->was_interrupted; round++) {
        run_round(session, view, all, is_deep);
        for (size_t i = 0; i < view->count; i++)
            if (all[i].is_asked && session->common->is_json)
                (void)printf("%s\n", all[i].text);
            else if (all[i].is_asked)
                say(&view->storages[i], &all[i], is_deep);
        if (!needs_another(view, all))
            break;
        if (round + 1 < CHECK_ROUNDS)
            session_note(session, "cairn check: not all is equal yet: once more");
        for (unsigned i = 0; i < CHECK_REST && round + 1 < CHECK_ROUNDS; i++)
            wait_a_little(session);
    }
    return session->was_interrupted ? session_exit_code(session) : verdict(session, view, all);
}

int check_cluster(const struct common *common, bool is_deep)
{
    struct session session;
    struct cluster_view *view;
    void *block;
    int code = session_open(&session, "check", common, 1, 1);
    if (code != 0)
        return code;
    err_t err = mem_take(&session.mem, &session.owner,
        sizeof *view + CLUSTER_STORAGES_MAX * sizeof(struct checked), 0, &block);
    if (err_is(err)) {
        session_fail(&session, "memory", err, err_sentence(err.code));
        code = session_exit_code(&session);
    } else {
        view = block;
        code = run(&session, view, (struct checked *)(void *)(view + 1), is_deep);
        mem_give(&session.mem, block);
    }
    session_close(&session);
    return code;
}
