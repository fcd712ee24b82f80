/* What the server verbs share: configuration from file and flags, secrets, the loopback rule, the
 * log, the budget of descriptors, and the ready line.
 *
 *   server_begin (may end the program: --help, --check, a problem) -> the role's loops -> server_end
 *
 * Order of precedence: flags, then --config FILE, then defaults. All problems are told, each with
 * line and remedy; then the exit code is 2. */
#ifndef CAIRN_BIN_SERVER_H
#define CAIRN_BIN_SERVER_H

#include "base/config.h"
#include "base/event.h"
#include "bin/args.h"
#include "io/io.h"
#include "io/limits.h"
#include "net/handshake.h"

enum { SERVER_TABLES_MAX = 3, SERVER_SUMS_MAX = 16 };

/** Keys of every server. */
struct server_settings {
    uint32_t log_level;  /* enum event_level */
    uint32_t log_format; /* 0: text, 1: json */
    const char *client_secret_file, *node_secret_file;
    bool insecure_listen;
    uint64_t drain_ns; /* after SIGTERM: what is under way gets this long */
};

/** Where descriptors go: a line of the sum. */
struct server_sum {
    const char *holder; /* "connections (max_connections)"; static */
    uint64_t count;
};

struct server {
    const struct verb *verb;
    struct config config;
    struct server_settings settings;
    struct handshake_secrets secrets; /* of settings; not set: none */
    struct server_sum sums[SERVER_SUMS_MAX];
    size_t sum_count;
    const char *config_path;
    bool is_json;             /* the ready line */
    bool must_check;          /* --check: print and end */
    char content[256 * 1024]; /* of the configuration file */
};

/** A table of a role's keys, and the struct that they go to. */
struct server_table {
    const struct config_table *table;
    void *target;
};

/** Parse flags and file into the tables and load the secrets. ARGS_HELP: all is told, exit code 0;
 * ARGS_BAD: problems have been told, 2. Checks between keys follow: config_problem(), then
 * server_check(). */
enum args_result server_begin(struct server *server, const struct verb *verb,
    const struct server_table *tables, size_t table_count, int argc, char **argv);

/** `count` descriptors may be held by `holder` (static text). */
void server_sum_add(struct server *server, const char *holder, uint64_t count);

/** An address that the server will listen on, from the key `key`: loopback, or both secrets are set,
 * or --insecure-listen; else a problem. Returns the address; malformed ones are problems, too. */
struct io_address server_listen(struct server *server, const char *key, const char *text);

/** Raise the descriptor limit and compare the sum; end with what is a problem (ARGS_BAD), with the
 * effective configuration if --check was given (ARGS_HELP), or go on (ARGS_OK). */
enum args_result server_check(struct server *server);

/** The log of one loop: lines go to standard error, each with its time. */
void server_log_init(const struct server *server, struct event_log *log, struct io *io);
/** Budget and, if so, the warning of an insecure listener, as log lines. `memory_bytes`: held. */
void server_log_start(struct server *server, struct event_log *log, uint64_t memory_bytes);

/** "ready tracker=H:P storage=H:P" or JSON, flushed; an address with family 0 is left out. */
void server_print_ready(const struct server *server, const struct io_address *tracker,
    const struct io_address *storage);

/** Say "cairn VERB: what: why" for an error at start; returns the exit code. */
int server_fail(const struct server *server, const char *what, err_t err);

#endif
