#include "bin/json_line.h"

#include <inttypes.h>

void json_line_begin(struct json_line *json)
{
    text_init(&json->text, json->bytes, sizeof json->bytes);
    text_add_char(&json->text, '{');
    json->has_fields = false;
}

static void add_key(struct json_line *json, const char *key)
{
    text_add(&json->text, "%s\"%s\":", json->has_fields ? "," : "", key);
    json->has_fields = true;
}

void json_line_add_span(struct json_line *json, const char *key, struct span value)
{
    add_key(json, key);
    text_add_char(&json->text, '"');
    text_add_json(&json->text, value);
    text_add_char(&json->text, '"');
}

void json_line_add_text(struct json_line *json, const char *key, const char *value)
{
    json_line_add_span(json, key, span_of_text(value));
}

void json_line_add_number(struct json_line *json, const char *key, uint64_t value)
{
    add_key(json, key);
    text_add(&json->text, "%" PRIu64, value);
}

void json_line_add_real(struct json_line *json, const char *key, double value)
{
    add_key(json, key);
    text_add(&json->text, "%.3f", value);
}

void json_line_add_bool(struct json_line *json, const char *key, bool value)
{
    add_key(json, key);
    text_add(&json->text, "%s", value ? "true" : "false");
}

void json_line_add_version(struct json_line *json, const char *key, struct version value)
{
    add_key(json, key);
    text_add(&json->text, "\"%" PRIu64 ".%" PRIu32 "\"", value.counter, value.machine);
}

void json_line_add_crc(struct json_line *json, const char *key, uint32_t value)
{
    add_key(json, key);
    text_add(&json->text, "\"%08" PRIx32 "\"", value);
}

void json_line_print(struct json_line *json, FILE *to)
{
    text_add(&json->text, "}\n");
    CHECK(!json->text.is_cut);
    (void)fputs(json->bytes, to);
    (void)fflush(to);
}
