/* The verbs of the command line. */
#ifndef CAIRN_BIN_VERBS_H
#define CAIRN_BIN_VERBS_H

#include "bin/args.h"

extern const struct verb import_verb, put_verb, get_verb, modify_verb, rm_verb, stat_verb, ls_verb,
    status_verb, member_verb, res_verb, doctor_verb, check_verb, ops_verb, top_verb, bench_verb,
    sim_verb, up_verb, tracker_verb, storage_verb;

/** ARGS_HELP: 0; ARGS_BAD: 2. */
int args_exit_code(enum args_result result);
/** Say "cairn VERB: sentence"; returns false. */
bool usage_error(const char *verb, const char *sentence);
/** The same with a line that points to the help; returns exit code 2. */
int usage_exit(const struct verb *verb, const char *sentence);

const char *ack_name(uint8_t ack); /* "local" */

#endif
