#include "base/json.h"

#include "base/text.h"

void json_begin(struct json *json, struct writer *writer)
{
    *json = (struct json){.writer = writer, .is_array = {true}};
}

static void put_plain(struct json *json, const char *text)
{
    write_bytes(json->writer, text, strlen(text));
}

/* Append through a text over the room that is left, which keeps a NUL behind the end. */
static void put_with(
    struct json *json, void (*add)(struct text *text, const void *value), const void *value)
{
    struct writer *w = json->writer;
    struct text text;
    if (w->failed || w->size == w->capacity) {
        w->failed = true;
        return;
    }
    text_init(&text, (char *)w->data + w->size, w->capacity - w->size);
    add(&text, value);
    w->failed = text.is_cut;
    if (!text.is_cut)
        w->size += text.size;
}

static void add_number(struct text *text, const void *value)
{
    text_add(text, "%llu", (unsigned long long)*(const uint64_t *)value);
}

static void add_escaped(struct text *text, const void *value)
{
    text_add_json(text, *(const struct span *)value);
}

static void put_key(struct json *json, const char *key)
{
    CHECK((key == NULL) == json->is_array[json->depth]);
    CHECK(json->depth > 0 || !json->has_members[0]); /* one value at the top */
    if (json->has_members[json->depth])
        put_plain(json, ",");
    json->has_members[json->depth] = true;
    if (!key)
        return;
    put_plain(json, "\"");
    put_plain(json, key);
    put_plain(json, "\":");
}

static void open_level(struct json *json, const char *key, bool is_array)
{
    put_key(json, key);
    CHECK(json->depth < JSON_DEPTH_MAX);
    json->depth++;
    json->has_members[json->depth] = false;
    json->is_array[json->depth] = is_array;
    put_plain(json, is_array ? "[" : "{");
}

void json_begin_object(struct json *json, const char *key)
{
    open_level(json, key, false);
}

void json_begin_array(struct json *json, const char *key)
{
    open_level(json, key, true);
}

void json_end(struct json *json)
{
    CHECK(json->depth > 0);
    put_plain(json, json->is_array[json->depth] ? "]" : "}");
    json->depth--;
}

void json_number(struct json *json, const char *key, uint64_t value)
{
    put_key(json, key);
    put_with(json, add_number, &value);
}

void json_bool(struct json *json, const char *key, bool value)
{
    put_key(json, key);
    put_plain(json, value ? "true" : "false");
}

void json_none(struct json *json, const char *key)
{
    put_key(json, key);
    put_plain(json, "null");
}

void json_span(struct json *json, const char *key, struct span value)
{
    put_key(json, key);
    put_plain(json, "\"");
    put_with(json, add_escaped, &value);
    put_plain(json, "\"");
}

void json_text(struct json *json, const char *key, const char *value)
{
    json_span(json, key, span_of_text(value));
}
