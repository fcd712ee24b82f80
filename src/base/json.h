/* JSON out: a streaming writer into a struct writer, so that large answers need no tree. What does
 * not fit sets writer.failed; ask once at the end. Commas, nesting and escaping are done here.
 *
 *   json_begin(&json, &w);
 *   json_begin_object(&json, NULL);
 *     json_text(&json, "role", "tracker");
 *     json_begin_array(&json, "storages");
 *       json_number(&json, NULL, 7);           in arrays: no key
 *     json_end(&json);
 *   json_end(&json); */
#ifndef CAIRN_BASE_JSON_H
#define CAIRN_BASE_JSON_H

#include "base/bytes.h"

enum { JSON_DEPTH_MAX = 16 };

struct json {
    struct writer *writer;
    uint32_t depth;
    bool has_members[JSON_DEPTH_MAX + 1]; /* of each open level */
    bool is_array[JSON_DEPTH_MAX + 1];
};

void json_begin(struct json *json, struct writer *writer);

/* `key`: NULL in arrays and at the top, else static text that needs no escaping. */

void json_begin_object(struct json *json, const char *key);
void json_begin_array(struct json *json, const char *key);
/** End the innermost object or array. */
void json_end(struct json *json);

void json_number(struct json *json, const char *key, uint64_t value);
void json_bool(struct json *json, const char *key, bool value);
void json_none(struct json *json, const char *key);
/** Any bytes: escaped; what is not UTF-8 becomes U+FFFD. */
void json_span(struct json *json, const char *key, struct span value);
void json_text(struct json *json, const char *key, const char *value);

#endif
