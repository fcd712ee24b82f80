/* Configuration: a declared table of keys, filled from defaults, then an INI text, then flags.
 *
 *   config_init -> config_add (tables) -> config_read -> config_flag ... -> config_finish
 *       -> the target structs are valid; config_print shows where each value came from
 *
 * Strict: an unknown key, a value outside its bounds or without its unit, a key given twice is an
 * error that names file, line, key, what is wrong and the remedy. All problems are collected, not
 * only the first. Pure: bytes in, no file access. In names - and _ are the same.
 *
 *   key = value      ; comment         "#" or ";" at the beginning or after a space
 *   [section]                          keys before any section are for every role
 *
 * A key of a list may be repeated; flags replace what the file says. */
#ifndef CAIRN_BASE_CONFIG_H
#define CAIRN_BASE_CONFIG_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/text.h"

enum config_kind {
    CONFIG_BOOL,         /* bool: yes no true false on off 1 0 */
    CONFIG_INTEGER,      /* uint64_t */
    CONFIG_SIZE,         /* uint64_t bytes: 512 64KiB 10MB 2GiB; a bare number is bytes */
    CONFIG_DURATION,     /* uint64_t ns: 500ms 30s 5m 2h 1d; the unit is a must, but for 0 */
    CONFIG_AMOUNT,       /* struct config_amount: 10% or a size */
    CONFIG_TEXT,         /* const char * */
    CONFIG_ADDRESS,      /* const char *: host:port or [v6]:port */
    CONFIG_ENUM,         /* uint32_t: index into choices */
    CONFIG_TEXT_LIST,    /* struct config_list */
    CONFIG_ADDRESS_LIST, /* struct config_list */
    CONFIG_KIND_COUNT
};

struct config_amount {
    uint64_t value; /* percent or bytes */
    bool is_percent;
};

enum { CONFIG_LIST_MAX = 256, CONFIG_KEYS_MAX = 128, CONFIG_TABLES_MAX = 4 };

struct config_list {
    const char *items[CONFIG_LIST_MAX];
    size_t count;
};

struct config_key {
    const char *name; /* as in the file: http_listen; as a flag: --http-listen */
    enum config_kind kind;
    size_t offset;            /* in the target struct; use the CONFIG_AT_ macros */
    const char *default_text; /* in the syntax of the file; NULL: must be given; "": none (texts) */
    uint64_t min, max; /* value; texts: bytes; lists: how many. max 0: the most that is possible */
    uint64_t percent_max;       /* CONFIG_AMOUNT; 0: 100 */
    const char *unit;           /* CONFIG_INTEGER: what is counted, for people */
    const char *const *choices; /* CONFIG_ENUM: ends with NULL */
    const char *help;           /* one line */
};

/* .kind and .offset of a key, with the type of the member checked by the compiler. */
#define CONFIG_AT(config_kind_, c_type, struct_type, member)                          \
    .kind = (config_kind_),                                                           \
    .offset = offsetof(struct_type, member)                                           \
              + 0                                                                     \
                    * sizeof(char[__builtin_types_compatible_p(                       \
                                      __typeof__(((struct_type *)0)->member), c_type) \
                                      ? 1                                             \
                                      : -1])
#define CONFIG_AT_BOOL(s, m) CONFIG_AT(CONFIG_BOOL, bool, s, m)
#define CONFIG_AT_INTEGER(s, m) CONFIG_AT(CONFIG_INTEGER, uint64_t, s, m)
#define CONFIG_AT_SIZE(s, m) CONFIG_AT(CONFIG_SIZE, uint64_t, s, m)
#define CONFIG_AT_DURATION(s, m) CONFIG_AT(CONFIG_DURATION, uint64_t, s, m)
#define CONFIG_AT_AMOUNT(s, m) CONFIG_AT(CONFIG_AMOUNT, struct config_amount, s, m)
#define CONFIG_AT_TEXT(s, m) CONFIG_AT(CONFIG_TEXT, const char *, s, m)
#define CONFIG_AT_ADDRESS(s, m) CONFIG_AT(CONFIG_ADDRESS, const char *, s, m)
#define CONFIG_AT_ENUM(s, m) CONFIG_AT(CONFIG_ENUM, uint32_t, s, m)
#define CONFIG_AT_TEXT_LIST(s, m) CONFIG_AT(CONFIG_TEXT_LIST, struct config_list, s, m)
#define CONFIG_AT_ADDRESS_LIST(s, m) CONFIG_AT(CONFIG_ADDRESS_LIST, struct config_list, s, m)

struct config_table {
    const char *section; /* of the file that this table reads besides the keys before any section */
    const struct config_key *keys;
    size_t count;
};

enum config_origin { CONFIG_FROM_DEFAULT, CONFIG_FROM_FILE, CONFIG_FROM_FLAG };

struct config_slot {
    const struct config_key *key;
    const struct config_table *table;
    void *field; /* in the target */
    enum config_origin origin;
    uint32_t line; /* CONFIG_FROM_FILE */
};

struct config {
    struct config_slot slots[CONFIG_KEYS_MAX];
    size_t slot_count;
    const char *const
        *other_sections;   /* of the same file, for other roles: skipped; ends with NULL */
    const char *file_name; /* of config_read; borrowed */
    struct text problems;  /* one line each */
    size_t problem_count;
    size_t store_size;
    char store[64 * 1024]; /* the texts that the targets point to */
    char problems_data[8 * 1024];
};

/** About 80 KiB; lives as long as the targets, which point into it. */
void config_init(struct config *config);

/** Add the keys of `table`, whose values go to `target` and are set to their defaults. CHECKs that
 * the defaults are valid and no name occurs twice. */
void config_add(struct config *config, const struct config_table *table, void *target);

/**
 * Read the text of one file; lines longer than 197 bytes are refused.
 *
 *   file_name  in  for messages; borrowed as long as the config
 *   content    in  any bytes; not needed afterwards
 *
 * Errors: USAGE (see config_problems; what was valid is set).
 */
MUST err_t config_read(struct config *config, const char *file_name, struct span content);

/**
 * Take the flag at argv[*at]: --key value, --key=value; for bools --key, --no-key, --key=yes.
 * Moves *at behind it.
 *
 * Errors: NOT_FOUND (not a flag of any table: *at stays, no problem noted), USAGE (see
 * config_problems; *at moved).
 */
MUST err_t config_flag(struct config *config, int argc, char **argv, int *at);

/** Note the problem that `flag` is unknown, with a suggestion. */
void config_unknown_flag(struct config *config, const char *flag);

/** After the last source: everything that must be given is. Errors: USAGE (also when anything
 * before was a problem). */
MUST err_t config_finish(struct config *config);

/** All problems, one line each, ending with a newline; "" if there are none. */
const char *config_problems(const struct config *config);

/** Note a problem from outside: checks between keys. Counts in config_finish(). */
void config_problem(struct config *config, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** Where the value of `name` came from: "default", "cairn.conf:12", "flag" appended to `text`. */
void config_add_origin(const struct config *config, const char *name, struct text *text);

/** The effective configuration in the syntax of the file, origins as comments. Reading it back
 * gives the same values, unless a flag gave a text that the syntax of the file cannot say. */
void config_print(const struct config *config, struct text *text);
/** {"key":{"value":"...","origin":"..."},...}; lists as arrays. */
void config_print_json(const struct config *config, struct text *text);
/** A file with every key commented out: help, bounds, default. */
void config_print_sample(const struct config *config, struct text *text);
/** One line per flag, for --help. */
void config_print_flags(const struct config *config, struct text *text);

#endif
