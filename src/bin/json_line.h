/* JSON out: one object, built key by key in a buffer of fixed size, printed as one line. */
#ifndef CAIRN_BIN_JSON_LINE_H
#define CAIRN_BIN_JSON_LINE_H

#include <stdio.h>

#include "base/text.h"
#include "wire/version.h"

enum { JSON_LINE_MAX = 48 * 1024 }; /* metadata of 4 KiB, every byte escaped, and the rest */

struct json_line {
    struct text text;
    bool has_fields;
    char bytes[JSON_LINE_MAX];
};

void json_line_begin(struct json_line *json);
void json_line_add_span(struct json_line *json, const char *key, struct span value);
void json_line_add_text(struct json_line *json, const char *key, const char *value);
void json_line_add_number(struct json_line *json, const char *key, uint64_t value);
void json_line_add_real(struct json_line *json, const char *key, double value); /* 3 decimals */
void json_line_add_bool(struct json_line *json, const char *key, bool value);
void json_line_add_version(struct json_line *json, const char *key, struct version value);
void json_line_add_crc(
    struct json_line *json, const char *key, uint32_t value); /* "8 hex digits" */
/** Ends the object; prints it with LF and flushes. CHECKs that it fitted. */
void json_line_print(struct json_line *json, FILE *to);

#endif
