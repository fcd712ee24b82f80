#include "bin/session.h"

#include "bin/verbs.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/units.h"
#include "bin/file.h"
#include "io/backend.h"
#include "io/process.h"

#define TRACKER_DEFAULT "127.0.0.1:7700"

static bool add_tracker(const char *verb, const char *text, struct client_config *config)
{
    if (config->tracker_count == CLIENT_TRACKERS_MAX) {
        (void)fprintf(stderr, "cairn %s: at most %d trackers\n", verb, CLIENT_TRACKERS_MAX);
        return false;
    }
    if (err_is(io_address_parse(text, &config->trackers[config->tracker_count]))) {
        (void)fprintf(stderr, "cairn %s: a tracker is HOST:PORT like 127.0.0.1:7700, not \"%s\"\n",
            verb, text);
        return false;
    }
    config->tracker_count++;
    return true;
}

static bool add_trackers_of_text(const char *verb, const char *text, struct client_config *config)
{
    char item[IO_ADDRESS_TEXT_MAX];
    for (const char *at = text; *at != '\0';) {
        size_t length = strcspn(at, ", ");
        if (length > 0
            && (!span_to_text(span_of(at, length), item, sizeof item)
                || !add_tracker(verb, item, config))) {
            if (length >= sizeof item)
                (void)fprintf(stderr, "cairn %s: CAIRN_TRACKER holds an overlong address\n", verb);
            return false;
        }
        at += length + (at[length] != '\0');
    }
    return true;
}

bool common_trackers(const char *verb, const struct common *common, struct client_config *ret)
{
    const char *environment = getenv("CAIRN_TRACKER");
    ret->tracker_count = 0;
    for (size_t i = 0; i < common->trackers.count; i++)
        if (!add_tracker(verb, common->trackers.items[i], ret))
            return false;
    if (ret->tracker_count == 0 && environment && !add_trackers_of_text(verb, environment, ret))
        return false;
    return ret->tracker_count > 0 || add_tracker(verb, TRACKER_DEFAULT, ret);
}

static bool say(const struct session *session, const char *what, const char *sentence)
{
    (void)fprintf(stderr, "cairn %s: %s: %s\n", session->verb, what, sentence);
    return false;
}

static bool load_secret(struct session *session, const char *path, struct secret *ret)
{
    char content[2 * SECRET_SIZE_MAX];
    size_t size;
    err_t err = file_load(session->io, &session->owner, path, content, sizeof content, &size);
    if (!err_is(err))
        err = secret_read(span_of(content, size), ret);
    return !err_is(err)
           || say(session, path, "a readable file with a secret of 16 to 64 characters is wanted");
}

static bool take_config(struct session *session, struct client_config *config)
{
    const struct common *common = session->common;
    *config = (struct client_config){
        .timeout_ns = common->timeout_ns, .retries = (uint32_t)common->retries};
    if (!common_trackers(session->verb, common, config))
        return false;
    return !common->secret_file || load_secret(session, common->secret_file, &config->secret);
}

static void on_signal(struct signal_watch *watch, enum signal_wish wish)
{
    struct session *session = watch->context;
    if (wish != SIGNAL_WISH_END || session->was_interrupted)
        return;
    session->was_interrupted = true;
    client_cancel_all(&session->client, ERR(INTERRUPTED, 0));
}

static int open_parts(struct session *session, const struct client_config *config)
{
    err_t err = signal_watch(session->io, &session->signals, on_signal, session);
    if (err_is(err)) {
        (void)say(session, "signals", err_sentence(err.code));
        return err_exit_code(err.code);
    }
    err = client_init(&session->client, session->io, &session->mem, config);
    if (!err_is(err))
        return 0;
    (void)say(session, "memory", err_sentence(err.code));
    signal_unwatch(&session->signals);
    while (!signal_watch_is_idle(&session->signals))
        io_turn(session->io, true);
    return err_exit_code(err.code);
}

int session_open(struct session *session, const char *verb, const struct common *common,
    uint32_t connections_max, uint32_t operations_max)
{
    struct client_config config;
    *session = (struct session){.verb = verb, .common = common};
    signal_block();
    err_t err = backend_io_new(&(struct backend_options){.loop_count = 1}, &session->io);
    if (err_is(err)) {
        (void)say(session, "start", backend_explain(err));
        return err_exit_code(err.code);
    }
    mem_init(&session->mem, &session->io->ledger);
    owner_open(&session->owner, verb, DIRECTION_CLIENT, 0);
    progress_init(
        &session->progress, stderr, process_is_terminal(STANDARD_ERROR) && !common->is_quiet);
    int code = err_exit_code(ERR_CODE_USAGE);
    if (take_config(session, &config)) {
        config.connections_max = connections_max;
        config.operations_max = operations_max;
        code = open_parts(session, &config);
    }
    if (code != 0)
        session->io->backend->free(session->io);
    return code;
}

void session_close(struct session *session)
{
    client_shutdown(&session->client);
    signal_unwatch(&session->signals);
    while (!client_is_closed(&session->client) || !signal_watch_is_idle(&session->signals))
        io_turn(session->io, true);
    client_fini(&session->client);
    owner_close(&session->owner);
    session->io->backend->free(session->io);
}

void session_turn(struct session *session)
{
    io_turn(session->io, true);
    progress_tick(&session->progress, io_now(session->io));
}

static void run_done(struct client_op *op)
{
    *(bool *)op->context = true;
}

err_t session_run(struct session *session, struct client_op *op)
{
    bool is_done = false;
    op->done = run_done;
    op->context = &is_done;
    client_start(&session->client, op);
    while (!is_done)
        session_turn(session);
    return op->machine.err;
}

void session_fail(struct session *session, const char *what, err_t err, const char *sentence)
{
    bool has_sentence = sentence && sentence[0] != '\0';
    progress_clear(&session->progress);
    if (session->tally.failed++ == 0)
        session->tally.first_code = err.code;
    if (session->was_interrupted && err_has(err, ERR_CODE_INTERRUPTED))
        return; /* said once, at the end */
    (void)fprintf(stderr, "cairn %s: %s: %s", session->verb, what,
        has_sentence ? sentence : err_sentence(err.code));
    if (err.os != 0 && !has_sentence)
        (void)fprintf(stderr, " (%s)", strerror(err.os));
    (void)fprintf(stderr, "\n");
}

void session_check_ack(
    struct session *session, const char *what, uint8_t asked, uint8_t reached, struct span holders)
{
    char sentence[256];
    struct text text;
    if (reached >= asked)
        return;
    text_init(&text, sentence, sizeof sentence);
    text_add(&text, "it is done, but not held by as many as asked for (%s): ", ack_name(asked));
    if (holders.size > 0)
        text_add(&text, "held by %.*s", (int)holders.size, (const char *)holders.data);
    else
        text_add(&text, "held by one server's memory");
    session_fail(session, what, ERR(PARTIAL, 0), sentence);
}

void session_note(struct session *session, const char *format, ...)
{
    if (session->common->is_quiet)
        return;
    progress_clear(&session->progress);
    va_list list;
    va_start(list, format);
    (void)fprintf(stderr, "cairn %s: ", session->verb);
    (void)vfprintf(stderr, format, list);
    (void)fprintf(stderr, "\n");
    va_end(list);
}

int session_exit_code(const struct session *session)
{
    const struct tally *tally = &session->tally;
    if (session->was_interrupted)
        return err_exit_code(ERR_CODE_INTERRUPTED);
    if (tally->failed == 0)
        return 0;
    if (tally->succeeded > 0)
        return err_exit_code(ERR_CODE_PARTIAL);
    return err_exit_code(tally->first_code);
}
