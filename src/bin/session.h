/* What the verbs that talk to a cluster share: their common options, the loop, the client, signals,
 * the progress bar, and the count of what went well. */
#ifndef CAIRN_BIN_SESSION_H
#define CAIRN_BIN_SESSION_H

#include "bin/args.h"
#include "bin/json_line.h"
#include "bin/progress.h"
#include "client/client.h"
#include "io/signal.h"

struct common {
    struct arg_list trackers;
    const char *secret_file;
    uint64_t timeout_ns;
    uint64_t retries;
    bool is_json;
    bool is_quiet;
};

#define COMMON_DEFAULT                            \
    {                                             \
        .timeout_ns = 15 * NS_PER_S, .retries = 4 \
    }

/* Rows for struct `type`, which has `struct common common`. */
#define COMMON_ROWS(type)                                                                      \
    {.kind = ARG_HEADING, .text = "Cluster and output"},                                       \
        {.name = "tracker",                                                                    \
            .kind = ARG_LIST,                                                                  \
            .value = "HOST:PORT",                                                              \
            .text = "a tracker; repeatable, tried in order. Default: CAIRN_TRACKER\n"          \
                    "(several with commas), else 127.0.0.1:7700",                              \
            .offset = offsetof(type, common.trackers)},                                        \
        {.name = "secret-file",                                                                \
            .kind = ARG_TEXT,                                                                  \
            .value = "FILE",                                                                   \
            .text = "the cluster's client secret: 16 to 64 characters in FILE",                \
            .offset = offsetof(type, common.secret_file)},                                     \
        {.name = "timeout",                                                                    \
            .kind = ARG_DURATION,                                                              \
            .value = "TIME",                                                                   \
            .text = "longest silence of the servers per request (15s)",                        \
            .offset = offsetof(type, common.timeout_ns),                                       \
            .min = NS_PER_MS,                                                                  \
            .max = NS_PER_DAY},                                                                \
        {.name = "retries",                                                                    \
            .kind = ARG_NUMBER,                                                                \
            .value = "N",                                                                      \
            .text = "further rounds through trackers and mirrors (4)",                         \
            .offset = offsetof(type, common.retries),                                          \
            .min = 0,                                                                          \
            .max = 100},                                                                       \
        {.name = "json",                                                                       \
            .kind = ARG_FLAG,                                                                  \
            .text = "one JSON object per line on standard output",                             \
            .offset = offsetof(type, common.is_json)},                                         \
    {                                                                                          \
        .name = "quiet", .letter = 'q', .kind = ARG_FLAG, .text = "no progress bar, no notes", \
        .offset = offsetof(type, common.is_quiet)                                              \
    }

/** How the parts of a command went: decides its exit code. */
struct tally {
    uint64_t succeeded;
    uint64_t failed;
    int32_t first_code; /* enum err_code of the first failure */
};

struct session {
    const char *verb;
    const struct common *common;
    struct io *io;
    struct mem mem;
    struct owner owner;
    struct client client;
    struct signal_watch signals;
    struct progress progress;
    struct tally tally;
    bool was_interrupted; /* SIGINT or SIGTERM came: begin nothing new */
};

/** Open the loop and the client; `connections_max` per server, `operations_max` at once. On failure
 * says why and returns an exit code that is not 0; nothing is held then. */
MUST int session_open(struct session *session, const char *verb, const struct common *common,
    uint32_t connections_max, uint32_t operations_max);
void session_close(struct session *session);

/** Turn the loop once: progress bar, signals. */
void session_turn(struct session *session);

/** Start `op` and turn until it is done. Errors: how the operation ended. */
MUST err_t session_run(struct session *session, struct client_op *op);

/** Say "cairn VERB: what: sentence" and count the failure. `what`: a path or an id. */
void session_fail(struct session *session, const char *what, err_t err, const char *sentence);
/** A change was made, but fewer storages hold it than were asked for: say who does ("m001,m002"; empty:
 * nobody durably), and count it as done in part. Nothing to do if `reached` is what was asked. */
void session_check_ack(
    struct session *session, const char *what, uint8_t asked, uint8_t reached, struct span holders);
/** A note for people: not with --quiet. */
void session_note(struct session *session, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** The exit code after all that was counted: 9 if interrupted, 0, that of the failure if nothing
 * went well, else 8. */
int session_exit_code(const struct session *session);

/** --tracker, else CAIRN_TRACKER, else loopback. False: said what is wrong. */
MUST bool common_trackers(const char *verb, const struct common *common, struct client_config *ret);

#endif
