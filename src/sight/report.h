/* The answers of a node to `cairn res` and `cairn doctor`, as JSON. doc/sight.md says what is in them. */
#ifndef CAIRN_SIGHT_REPORT_H
#define CAIRN_SIGHT_REPORT_H

#include "base/bytes.h"
#include "io/panic.h"
#include "sight/sight.h"

/** What a STATUS request may ask for beside "status". */
enum sight_question { SIGHT_ASKS_NOTHING, SIGHT_ASKS_RES, SIGHT_ASKS_DOCTOR, SIGHT_ASKS_DUMP };

/** "res", "doctor", "dump"; else NOTHING. */
enum sight_question sight_question_of(struct span what);

/** The rows of the last pass, in no order; what does not fit into the page is left off and counted. `role`: "storage", "tracker". */
void sight_write_res(const struct sight *sight, const char *role, struct writer *w);
void sight_write_doctor(const struct sight *sight, const char *role, struct writer *w);

/** The report of a crash (io/panic.h), without one: text. */
void sight_write_dump(const struct sight *sight, const char *role, struct writer *w);

void sight_write(
    const struct sight *sight, enum sight_question question, const char *role, struct writer *w);

/** The rows of the last pass for the report of a crash: panic_source.more, with a struct sight. */
void sight_panic_rows(const void *context, struct panic_writer *w);

#endif
