#include "client/op.h"

#include <errno.h>

#include "base/text.h"
#include "base/units.h"
#include "client/talk.h"
#include "client/verb.h"

enum { ROUTE, ASK, CALL, TALK, JUDGE, PAUSE, RETRY, UNWIND, DONE, STAGE_COUNT };

static struct client_op *op_of(struct machine *machine)
{
    return CONTAINER_OF(machine, struct client_op, machine);
}

/* Until the next kick; at once if one came meanwhile. */
static int wait_in(struct client_op *op, int stage)
{
    if (op->is_kicked) {
        op->is_kicked = false;
        return stage;
    }
    return machine_wait_in(&op->machine, stage, 1);
}

void op_give_up(struct client_op *op, err_t err)
{
    if (!err_is(op->give_up))
        op->give_up = err;
    op_kick(op);
}

/* ---- what to say ---- */

static void add_plain(struct text *text, const char *words)
{
    for (const char *at = words; *at != '\0'; at++)
        text_add_char(text, (unsigned char)*at < 0x20 || *at == 0x7f ? '?' : *at);
}

/* "127.0.0.1:7710: no space left for this change": who, and in the server's words if it had any. */
static void note_failure(struct client_op *op, err_t err, const char *words)
{
    char address[IO_ADDRESS_TEXT_MAX];
    struct text text;
    op->last_err = err;
    text_init(&text, op->sentence, sizeof op->sentence);
    if (op->asked.family != 0)
        text_add(&text, "%s%s: ", op->is_asking ? "tracker " : "",
            io_address_format(&op->asked, address));
    if (words && words[0] != '\0')
        add_plain(&text, words);
    else
        text_add(&text, "%s", err_sentence(err.code));
    if (err.os != 0)
        text_add(&text, " (%s)", strerror(err.os));
}

static void note_locally(struct client_op *op, err_t err, const char *words)
{
    op->asked = (struct io_address){.family = 0};
    note_failure(op, err, words);
}

/* The end by failure. A change that may have happened is not called undone. */
static int fail(struct client_op *op, err_t err)
{
    bool is_open = op->may_have_happened && !err_has(err, ERR_CODE_INTERRUPTED);
    if (!is_open || err_has(err, ERR_CODE_OUTCOME_UNKNOWN))
        return machine_fail(&op->machine, err);
    char last[CLIENT_SENTENCE_MAX];
    struct text text;
    memcpy(last, op->sentence, sizeof last);
    text_init(&text, op->sentence, sizeof op->sentence);
    text_add(&text, "the change was sent and its answer lost: look with cairn stat; then %s", last);
    return machine_fail(&op->machine, ERR(OUTCOME_UNKNOWN, 0));
}

/* ---- where to go ---- */

static void name_trackers(struct client_op *op)
{
    const struct client_config *config = &op->client->config;
    op->route.count = 0;
    for (size_t i = 0; i < config->tracker_count; i++)
        op->route.candidates[op->route.count++] = (struct candidate){
            .address = config->trackers[(op->client->tracker_at + i) % config->tracker_count]};
}

static int run_route(struct machine *machine)
{
    struct client_op *op = op_of(machine);
    struct route known;
    if (err_is(op->give_up))
        return fail(op, op->give_up);
    op->candidate_next = op->trackers_asked = op->same_again = 0;
    if (op->type != MSG_QUERY && verb_of(op->type)->purpose == 0) {
        if (op->server.family != 0) {
            op->route.count = 1;
            op->route.candidates[0] = (struct candidate){.address = op->server};
        } else {
            name_trackers(op);
        }
        return CALL;
    }
    if (!route_recall(&op->client->routes, &op->route, io_now(op->client->io), &known))
        return ASK;
    op->route = known;
    return op->type == MSG_QUERY ? UNWIND : CALL;
}

static int run_ask(struct machine *machine)
{
    struct client_op *op = op_of(machine);
    const struct client_config *config = &op->client->config;
    if (op->trackers_asked == config->tracker_count)
        return PAUSE;
    op->asked =
        config->trackers[(op->client->tracker_at + op->trackers_asked) % config->tracker_count];
    op->is_asking = true;
    talk_start(op);
    return op->is_call_out ? wait_in(op, TALK) : JUDGE;
}

/* The next candidate that may be asked; NULL at the end of the list. */
static const struct candidate *next_candidate(struct client_op *op)
{
    for (; op->candidate_next < op->route.count; op->candidate_next++) {
        const struct candidate *candidate = &op->route.candidates[op->candidate_next];
        if (op->machine_only == 0 || candidate->machine == op->machine_only
            || verb_of(op->type)->purpose == 0)
            return candidate;
    }
    return NULL;
}

static int run_out_of_candidates(struct client_op *op)
{
    if (op->last_err.code == ERR_CODE_OK) {
        char words[80];
        struct text text;
        text_init(&text, words, sizeof words);
        if (op->machine_only != 0)
            text_add(&text, "no running storage m%03u holds this file", op->machine_only);
        else
            text_add(&text, "the tracker names no storage");
        note_locally(op, ERR(UNAVAILABLE, 0), words);
    }
    return PAUSE;
}

static int run_call(struct machine *machine)
{
    struct client_op *op = op_of(machine);
    op->is_kicked = false;
    op->is_asking = false;
    if (err_is(op->give_up))
        return fail(op, op->give_up);
    const struct candidate *candidate = next_candidate(op);
    if (!candidate)
        return run_out_of_candidates(op);
    if (!talk_has_first_piece(op)) {
        if (!err_is(op->local_err))
            return wait_in(op, CALL);
    }
    if (err_is(op->local_err)) {
        note_locally(op, op->local_err, NULL);
        return fail(op, op->local_err);
    }
    op->asked = candidate->address;
    op->answered_by = candidate->machine;
    talk_start(op);
    return op->is_call_out ? wait_in(op, TALK) : JUDGE;
}

static int run_talk(struct machine *machine)
{
    struct client_op *op = op_of(machine);
    op->is_kicked = false;
    if (!op->is_call_out)
        return JUDGE;
    if (err_is(op->give_up))
        net_call_cancel(&op->call);
    else
        talk_feed(op);
    return wait_in(op, TALK);
}

/* ---- what came of it ---- */

enum verdict {
    VERDICT_FINAL, /* the answer is the answer */
    VERDICT_NEXT,  /* another candidate may do better; no further round */
    VERDICT_AGAIN, /* another candidate, and further rounds */
};

static enum verdict verdict_of(err_t err)
{
    switch (err.code) {
    case ERR_CODE_UNAVAILABLE:
    case ERR_CODE_TIMEOUT:
    case ERR_CODE_BUSY:
    case ERR_CODE_CLOSED:
    case ERR_CODE_OFFLINE:
    case ERR_CODE_WRONG_NODE:
    case ERR_CODE_NO_RESOURCE:
        return VERDICT_AGAIN;
    case ERR_CODE_NO_SPACE:
    case ERR_CODE_CORRUPT:
    case ERR_CODE_IO:
    case ERR_CODE_PROTOCOL:
    case ERR_CODE_FORMAT:
        return VERDICT_NEXT;
    default:
        return VERDICT_FINAL;
    }
}

static int judge_answer(struct client_op *op)
{
    uint64_t now_ns = io_now(op->client->io);
    op->client->tracker_at = (uint32_t)((op->client->tracker_at + op->trackers_asked)
                                        % op->client->config.tracker_count);
    op->trackers_asked = 0;
    op->candidate_next = 0;
    if (op->route.count > 0)
        route_remember(&op->client->routes, &op->route, now_ns);
    return op->type == MSG_QUERY ? UNWIND : CALL;
}

static int judge_success(struct client_op *op)
{
    if (op->is_asking)
        return judge_answer(op);
    if (!op->has_head) {
        note_failure(op, ERR(PROTOCOL, 0), NULL);
        return fail(op, op->last_err);
    }
    if (verb_of(op->type)->has_content)
        verb_note_content(op);
    err_t err = verb_verify(op);
    if (!err_is(err))
        return UNWIND;
    note_failure(
        op, err, err_has(err, ERR_CODE_CORRUPT) ? "the content does not match its checksum" : NULL);
    return fail(op, err);
}

/* An answer that was lost after the whole change had been given to a server that was there. */
static bool is_lost_answer(const struct client_op *op)
{
    bool is_loss =
        err_has(op->call_err, ERR_CODE_CLOSED) || err_has(op->call_err, ERR_CODE_TIMEOUT);
    return is_loss && verb_of(op->type)->is_change && op->is_body_sent && op->was_ready;
}

/* Who lacks a file may not have it yet: the others of the list are asked, too. */
static bool may_be_elsewhere(const struct client_op *op)
{
    bool is_by_id = op->type == MSG_FIND || op->type == MSG_STAT || op->type == MSG_MODIFY
                    || op->type == MSG_TRANSLATE;
    return is_by_id && op->machine_only == 0 && err_has(op->call_err, ERR_CODE_NOT_FOUND);
}

static int judge_attempt(struct client_op *op)
{
    enum verdict verdict = verdict_of(op->call_err);
    if (may_be_elsewhere(op)) {
        verdict = VERDICT_NEXT;
        op->lacks_err = op->call_err;
        op->lacks_asked = op->asked;
    }
    bool is_lost = is_lost_answer(op);
    if (verdict == VERDICT_FINAL)
        return fail(op, op->call_err);
    if (verdict == VERDICT_NEXT)
        op->is_last_round = true;
    if (!talk_rewind(op))
        return fail(op, op->call_err);
    if (is_lost && op->same_again == 0)
        op->same_again = 1; /* the server that has it knows its mark */
    else {
        op->candidate_next++;
        op->same_again = 0;
    }
    return CALL;
}

static int run_judge(struct machine *machine)
{
    struct client_op *op = op_of(machine);
    op->is_kicked = false;
    if (err_is(op->give_up))
        return fail(op, op->give_up);
    if (err_is(op->local_err)) {
        note_failure(op, op->local_err, NULL);
        return fail(op, op->local_err);
    }
    if (!err_is(op->call_err))
        return judge_success(op);
    note_failure(op, op->call_err, op->call.error_text);
    op->may_have_happened |= !op->is_asking && is_lost_answer(op);
    if (io_now(op->client->io) >= op->deadline_ns)
        return fail(op, op->call_err);
    if (op->is_asking) {
        op->trackers_asked++;
        return verdict_of(op->call_err) == VERDICT_FINAL ? fail(op, op->call_err) : ASK;
    }
    if (op->is_source_busy)
        return wait_in(op, JUDGE);
    return judge_attempt(op);
}

/* ---- another round ---- */

static void timer_wake(struct io_op *timer)
{
    op_kick(timer->context);
}

/* 100 ms, 200 ms ... 2 s, a quarter more or less: who was refused together does not come again
 * together. */
static uint64_t pause_ns(struct client_op *op)
{
    uint64_t pause = 100 * NS_PER_MS << (op->round < 5 ? op->round : 5);
    pause = pause < 2 * NS_PER_S ? pause : 2 * NS_PER_S;
    return pause * 3 / 4 + io_random(op->client->io) % (pause / 2);
}

static int run_pause(struct machine *machine)
{
    struct client_op *op = op_of(machine);
    uint64_t until_ns = io_now(op->client->io) + pause_ns(op);
    if (err_is(op->lacks_err)) { /* whoever could say something said so */
        op->asked = op->lacks_asked;
        note_failure(op, op->lacks_err, NULL);
        return fail(op, op->lacks_err);
    }
    if (op->round == op->client->config.retries || op->is_last_round || until_ns >= op->deadline_ns)
        return fail(op, op->last_err);
    op->round++;
    route_forget(&op->client->routes, &op->route);
    op->timer = (struct io_op){.kind = IO_TIMER,
        .fd = IO_FD_NONE,
        .deadline_ns = until_ns,
        .owner = &machine->owner,
        .wake = timer_wake,
        .context = op};
    op->is_kicked = false;
    machine_wait_in(machine, RETRY, 1);
    io_submit(op->client->io, &op->timer);
    return STAGE_WAIT;
}

static int run_retry(struct machine *machine)
{
    struct client_op *op = op_of(machine);
    op->is_kicked = false;
    if (err_is(op->give_up))
        return fail(op, op->give_up);
    if (io_op_is_out(&op->timer))
        return wait_in(op, RETRY);
    op->last_err = ERR_OK;
    return ROUTE;
}

/* ---- the end ---- */

static int run_unwind(struct machine *machine)
{
    struct client_op *op = op_of(machine);
    op->is_kicked = false;
    if (!op->is_unwinding) {
        op->is_unwinding = true;
        if (op->is_call_out)
            net_call_cancel(&op->call);
        if (op->is_source_busy && op->source->cancel)
            op->source->cancel(op->source);
        io_cancel(op->client->io, &op->timer);
    }
    if (op->is_call_out || op->is_source_busy || io_op_is_out(&op->timer))
        return wait_in(op, UNWIND);
    return DONE;
}

/* The id is known now: from the beginning, with what the caller had set. */
static void start_again(struct client_op *op)
{
    struct client *client = op->client;
    struct client_op fresh = {.done = op->done,
        .context = op->context,
        .type = op->type,
        .request = op->request,
        .source = op->source,
        .buffer = op->buffer,
        .sink = op->sink,
        .machine_only = op->machine_only};
    memcpy(fresh.id, op->id, sizeof fresh.id);
    *op = fresh;
    client_start(client, op);
}

static int run_done(struct machine *machine)
{
    struct client_op *op = op_of(machine);
    if (!err_is(machine->err))
        op->sentence[0] = '\0';
    else if (op->sentence[0] == '\0' || err_has(machine->err, ERR_CODE_INTERRUPTED))
        note_locally(op, machine->err, NULL);
    list_remove(&op->link);
    owner_close(&machine->owner);
    if (op->wanted.type != 0 && verb_end_translation(op))
        start_again(op);
    else
        op->done(op);
    return STAGE_END;
}

static const struct stage stages[STAGE_COUNT] = {
    [ROUTE] = {"route", run_route, BIT(ASK) | BIT(CALL), 0},
    [ASK] = {"ask", run_ask, BIT(TALK) | BIT(JUDGE) | BIT(PAUSE), 0},
    [CALL] = {"call", run_call, BIT(TALK) | BIT(JUDGE) | BIT(PAUSE), 0},
    [TALK] = {"talk", run_talk, BIT(JUDGE), 15000},
    [JUDGE] = {"judge", run_judge, BIT(ASK) | BIT(CALL), 0},
    [PAUSE] = {"pause", run_pause, BIT(RETRY), 0},
    [RETRY] = {"retry", run_retry, BIT(ROUTE), 5000},
    [UNWIND] = {"unwind", run_unwind, BIT(DONE), 5000},
    [DONE] = {"done", run_done, 0, 0},
};

static const struct machine_kind op_kind = {
    .name = "client",
    .stages = stages,
    .stage_count = STAGE_COUNT,
    .unwind = UNWIND,
    .done = DONE,
};

/* A caller who asks for the same once more gives the nonce of the first time. */
static void take_nonce(struct client_op *op)
{
    const struct nonce *given = verb_nonce(op);
    if (given && !nonce_is_none(given)) {
        op->nonce = *given;
        return;
    }
    put_u64(op->nonce.bytes, io_random(op->client->io));
    put_u64(op->nonce.bytes + 8, io_random(op->client->io) | 1); /* never all zero */
}

void client_start(struct client *client, struct client_op *op)
{
    CHECK(!client->is_shut_down && op->done);
    CHECK(!verb_of(op->type)->has_sink || op->sink);
    op->client = client;
    op->deadline_ns = io_now(client->io) + client->config.timeout_ns;
    op->has_left = true;
    if (op->source)
        op->source->op = op;
    take_nonce(op);
    list_push_back(&client->operations, &op->link);
    machine_start(&op->machine, &op_kind, &client->io->run, DIRECTION_CLIENT);
    err_t err = verb_prepare(op);
    if (!err_is(err))
        return;
    note_locally(
        op, err, err_has(err, ERR_CODE_USAGE) ? "this is no file id, or a bad suffix" : NULL);
    op->give_up = err;
}
