/* What the server verbs share: configuration from file and flags, secrets, the loopback rule, the
 * log, the budget of descriptors, and the ready line.
 *
 *   server_begin -> server_load_secrets, server_listen, server_sum_add, config_problem ...
 *   -> server_check (may end the program: --check, a problem) -> the role's loops
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

enum { SERVER_SUMS_MAX = 24 };

/** Keys of every server, beside those of its roles. */
struct server_settings {
    uint32_t log_level;  /* enum event_level */
    uint32_t log_format; /* 0: text, 1: json */
    uint32_t io_backend; /* enum backend_choice */
    bool insecure_listen;
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
    struct handshake_secrets secrets;
    struct secret http_secret; /* of signed URLs */ /* not set: none */
    struct secret token_secret;                     /* of FastDFS's tokens; not set: none */
    struct io *io; /* for files, between server_begin and server_check */
    struct owner owner;
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

/** Parse flags and file into the tables. ARGS_HELP: all is told, exit code 0; ARGS_BAD: 2. After
 * ARGS_OK, server_check() must follow. */
enum args_result server_begin(struct server *server, const struct verb *verb,
    const struct server_table *tables, size_t table_count, int argc, char **argv);

/** Give the key `name` a value unless file or flags have. */
void server_set_default(struct server *server, const char *name, const char *value);

/** Read the files of the secrets, where given ("": none); problems are noted. */
void server_load_secrets(struct server *server, const char *client_path, const char *node_path);
/** The secret of signed URLs. */
void server_load_http_secret(struct server *server, const char *path);
/** The secret of FastDFS's tokens: any length up to 64, it comes from elsewhere. */
void server_load_token_secret(struct server *server, const char *path);

/** `count` descriptors may be held by `holder` (static text). */
void server_sum_add(struct server *server, const char *holder, uint64_t count);

/** The server will listen on `address`, from the key `key`: that is loopback, or both secrets are set,
 * or --insecure-listen was said; else a problem. After server_load_secrets(). */
void server_listen(struct server *server, const char *key, const struct io_address *address);

/** The same for a protocol that knows no secrets: loopback, or --insecure-listen. */
void server_listen_openly(struct server *server, const char *key, const struct io_address *address);

/** Raise the descriptor limit and compare the sum; end with what is a problem (ARGS_BAD), with the
 * effective configuration if --check was given (ARGS_HELP), or go on (ARGS_OK). */
enum args_result server_check(struct server *server);

/** The log of one loop: lines go to standard error, each with its time. */
void server_log_init(const struct server *server, struct event_log *log, struct io *io);
/** The sink alone; `context` is the server. From any loop. */
void server_log_write(void *context, enum event_level level, struct span line);
/** The backend of `io`, the budget and, if so, the warning of an insecure listener, as log lines. `memory_bytes`: held. */
void server_log_start(
    struct server *server, struct event_log *log, uint64_t memory_bytes, const struct io *io);

/** Where a process listens; NULL or family 0: not at all. */
struct server_addresses {
    const struct io_address *tracker, *storage, *http, *fastdfs, *fastdfs_tracker, *http_tracker;
};

/** "ready tracker=H:P storage=H:P io=io_uring" or JSON, flushed; only what listens, and the backend
 * that `io` runs on. */
void server_print_ready(
    const struct server *server, const struct server_addresses *addresses, const struct io *io);

/** On each loop, before it turns: does the environment ask for a drill (io/drill.h)? Then say so loudly. */
void server_begin_drill(struct io *io, struct event_log *log);

/** Say "cairn VERB: what: why" for an error at start; returns the exit code. */
int server_fail(const struct server *server, const char *what, err_t err);
/** The same for loop_group_start(), with what to do about it. */
int server_fail_loops(const struct server *server, err_t err);

#endif
