/* Values of configuration keys: text -> value, value -> text. For config.c only. */
#ifndef CAIRN_BASE_CONFIG_VALUE_H
#define CAIRN_BASE_CONFIG_VALUE_H

#include "base/config.h"

union config_value {
    bool is_true;
    uint64_t number;
    struct config_amount amount;
    uint32_t choice;
};

/** Parse `word` for a key that is no text. False: not valid, `why` says what is wrong and what would
 * be right. */
MUST bool config_value_parse(
    const struct config_key *key, const char *word, union config_value *ret, struct text *why);

/** Check one text (item of a list) of a key. False: see `why`. */
MUST bool config_text_check(const struct config_key *key, const char *word, struct text *why);

bool config_kind_is_list(enum config_kind kind);
bool config_kind_is_text(enum config_kind kind); /* lists too */

/** Sizes and durations in the largest unit that is exact: "64MiB", "1500ms". */
void config_number_print(enum config_kind kind, uint64_t number, struct text *text);

/** The value of a field that is no list, in the syntax of the file. */
void config_field_print(const struct config_key *key, const void *field, struct text *text);

/** http_listen as the flag is written: http-listen. */
void config_flag_name_print(const char *name, struct text *text);

/** "size, 4KiB to 1GiB", "one of a, b": what is allowed, for people. */
void config_bounds_print(const struct config_key *key, struct text *text);

#endif
