/* Options of a verb as a table: the same rows parse the command line, check values, and print the
 * help, so that the three cannot disagree.
 *
 * Rows point into a struct of the verb's by offset. A value that does not parse is an error that
 * names the option, what it wants and what it got. */
#ifndef CAIRN_BIN_ARGS_H
#define CAIRN_BIN_ARGS_H

#include <stdio.h>

#include "bin/parse.h"

enum arg_kind {
    ARG_FLAG,     /* bool: set to true */
    ARG_NO_FLAG,  /* bool: set to false */
    ARG_TEXT,     /* const char * */
    ARG_LIST,     /* struct arg_list: repeatable */
    ARG_NUMBER,   /* uint64_t, min..max */
    ARG_MACHINE,  /* uint64_t: m001, 1 */
    ARG_SIZE,     /* uint64_t bytes, min..max */
    ARG_DURATION, /* uint64_t nanoseconds */
    ARG_RANGE,    /* struct byte_range */
    ARG_SLACK,    /* uint32_t, as the wire has it */
    ARG_VERSION,  /* struct version */
    ARG_ACK,      /* uint8_t, enum ack_level */
    ARG_HEADING,  /* no option: `text` is a heading of the help that follows */
};

enum { ARG_LIST_MAX = 64, ARG_TABLE_MAX = 64 };

struct arg_list {
    const char *items[ARG_LIST_MAX];
    size_t count;
};

struct arg {
    const char *name; /* "range", without dashes */
    char letter;      /* 0: none */
    enum arg_kind kind;
    const char *value; /* "A-B", shown in the help; NULL for flags */
    const char *text;  /* one or more lines for the help */
    size_t offset;     /* of the field in the verb's struct */
    size_t offset_set; /* of a bool that tells that the option was given; 0: none */
    uint64_t min, max; /* max 0: no limits */
};

struct arg_table {
    const struct arg *rows;
    size_t count;
};

struct verb {
    const char *name;
    const char *brief; /* one line for `cairn help` */
    const char *usage; /* after "cairn <name>" */
    const char *about; /* paragraphs: what it does and means */
    const char *examples;
    struct arg_table args;
    int (*run)(const struct verb *verb, int argc, char **argv); /* returns the exit code */
    void (*print_help)(const struct verb *verb);                /* NULL: from the table */
};

#define VERB_EXIT_CODES                                                                           \
    "\nExit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 denied, 5 unavailable or timed out,\n" \
    "6 conflict, 7 corrupt or lost data, 8 partial, 9 interrupted.\n"

enum args_result { ARGS_OK, ARGS_HELP, ARGS_BAD };

/** Parse argv[1..argc) into `values` by the verb's table and the rows that every verb shares;
 * argv[0] is the verb. Words that are no options move to the end, in order: *ret_first is the first
 * of them. ARGS_HELP: the help was asked for and has been printed. ARGS_BAD: a sentence has been
 * printed on `talk`. */
enum args_result args_parse(const struct verb *verb, int argc, char **argv, void *values,
    int *ret_first, FILE *data, FILE *talk);

/** The whole help of a verb. */
void verb_print_help(const struct verb *verb, FILE *to);

#endif
