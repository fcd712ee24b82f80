#include "base/config.h"

#include <ini.h>

#include "base/config_value.h"
#include "base/suggest.h"

void config_init(struct config *config)
{
    memset(config, 0, offsetof(struct config, store));
    text_init(&config->problems, config->problems_data, sizeof config->problems_data);
}

void config_problem(struct config *config, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    text_add_list(&config->problems, format, list);
    va_end(list);
    text_add_char(&config->problems, '\n');
    config->problem_count++;
}

const char *config_problems(const struct config *config)
{
    return config->problems.data;
}

static bool name_equals(const char *a, const char *b)
{
    for (; *a && *b; a++, b++)
        if (*a != *b && !((*a == '-' || *a == '_') && (*b == '-' || *b == '_')))
            return false;
    return *a == *b;
}

static const struct config_slot *find_slot(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->slot_count; i++)
        if (name_equals(config->slots[i].key->name, name))
            return &config->slots[i];
    return NULL;
}

static struct config_slot *find_own_slot(struct config *config, const char *name)
{
    const struct config_slot *slot = find_slot(config, name);
    return slot ? &config->slots[slot - config->slots] : NULL;
}

static const char *suggest_key(const struct config *config, const char *wrong)
{
    struct suggestion suggestion;
    suggest_start(&suggestion, wrong);
    for (size_t i = 0; i < config->slot_count; i++)
        suggest_offer(&suggestion, config->slots[i].key->name);
    return suggestion.best;
}

static const char *store_text(struct config *config, const char *word)
{
    size_t size = strlen(word) + 1;
    if (size > sizeof config->store - config->store_size)
        return NULL;
    char *at = config->store + config->store_size;
    memcpy(at, word, size);
    config->store_size += size;
    return at;
}

static bool set_text(
    struct config *config, const struct config_slot *slot, const char *word, struct text *why)
{
    struct config_list *list = config_kind_is_list(slot->key->kind) ? slot->field : NULL;
    if (!config_text_check(slot->key, word, why))
        return false;
    size_t count_max = slot->key->max > 0 ? slot->key->max : CONFIG_LIST_MAX;
    if (list && list->count >= count_max) {
        text_add(why, "is one too many: at most %zu", count_max);
        return false;
    }
    const char *stored = store_text(config, word);
    if (!stored) {
        text_add(why, "does not fit: all texts together have %zu bytes", sizeof config->store);
        return false;
    }
    if (list)
        list->items[list->count++] = stored;
    else
        *(const char **)slot->field = stored;
    return true;
}

static bool set_value(
    struct config *config, const struct config_slot *slot, const char *word, struct text *why)
{
    if (config_kind_is_text(slot->key->kind))
        return set_text(config, slot, word, why);
    union config_value value;
    if (!config_value_parse(slot->key, word, &value, why))
        return false;
    if (slot->key->kind == CONFIG_BOOL)
        *(bool *)slot->field = value.is_true;
    else if (slot->key->kind == CONFIG_ENUM)
        *(uint32_t *)slot->field = value.choice;
    else if (slot->key->kind == CONFIG_AMOUNT)
        *(struct config_amount *)slot->field = value.amount;
    else
        *(uint64_t *)slot->field = value.number;
    return true;
}

static void set_default(struct config *config, const struct config_slot *slot)
{
    const char *word = slot->key->default_text;
    if (config_kind_is_list(slot->key->kind)) {
        ((struct config_list *)slot->field)->count = 0;
        if (!word || *word == '\0')
            return;
    } else if (config_kind_is_text(slot->key->kind)) {
        *(const char **)slot->field = "";
        if (word && *word == '\0')
            return;
    }
    if (!word)
        return;
    char why_data[256];
    struct text why;
    text_init(&why, why_data, sizeof why_data);
    CHECK(set_value(config, slot, word, &why)); /* the default in the table must be valid */
}

void config_add(struct config *config, const struct config_table *table, void *target)
{
    CHECK(config->slot_count + table->count <= CONFIG_KEYS_MAX);
    for (size_t i = 0; i < table->count; i++) {
        const struct config_key *key = &table->keys[i];
        CHECK(!find_slot(config, key->name));
        CHECK(!config_kind_is_list(key->kind) || key->max <= CONFIG_LIST_MAX);
        struct config_slot *slot = &config->slots[config->slot_count++];
        *slot =
            (struct config_slot){key, table, (char *)target + key->offset, CONFIG_FROM_DEFAULT, 0};
        set_default(config, slot);
    }
}

/* One run of inih over one text. It calls the reader for a line, then the handler for what the
 * line says, so that `line` is right in both. */
struct reading {
    struct config *config;
    const char *file_name;
    struct span rest;
    uint32_t line;
};

static struct span next_line(struct reading *reading)
{
    struct span rest = reading->rest;
    const uint8_t *end = memchr(rest.data, '\n', rest.size);
    struct span line = {rest.data, end ? (size_t)(end - rest.data) : rest.size};
    size_t used = line.size + (end ? 1 : 0);
    reading->rest = span_of(rest.data + used, rest.size - used);
    reading->line++;
    return line;
}

/* What fgets is to inih. Indentation goes, because inih would take an indented line for the
 * continuation of the one before. A line that cannot be passed on becomes an empty one. */
static char *reading_get_line(char *line, int size, void *stream)
{
    struct reading *reading = stream;
    if (reading->rest.size == 0)
        return NULL;
    struct span text = next_line(reading);
    while (text.size > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = span_of(text.data + 1, text.size - 1);
    if (text.size > (size_t)size - 3) {
        config_problem(reading->config, "%s:%u: the line is longer than %d bytes; use the flag",
            reading->file_name, reading->line, size - 3);
        text.size = 0;
    } else if (text.size > 0 && memchr(text.data, 0, text.size)) {
        config_problem(reading->config, "%s:%u: the line holds a zero byte; is this a text file?",
            reading->file_name, reading->line);
        text.size = 0;
    }
    if (text.size > 0)
        memcpy(line, text.data, text.size);
    line[text.size] = '\n';
    line[text.size + 1] = '\0';
    return line;
}

static bool section_is_ours(const struct config *config, const char *section)
{
    for (size_t i = 0; i < config->slot_count; i++)
        if (config->slots[i].table->section
            && strcmp(config->slots[i].table->section, section) == 0)
            return true;
    return *section == '\0';
}

static bool section_is_known(const struct config *config, const char *section)
{
    for (size_t i = 0; config->other_sections && config->other_sections[i]; i++)
        if (strcmp(config->other_sections[i], section) == 0)
            return true;
    return false;
}

/* inih knows only ";" after a space as a comment; "#" is as common. */
static void cut_comment(char *value)
{
    for (char *at = value; *at; at++)
        if (*at == '#' && at > value && (at[-1] == ' ' || at[-1] == '\t')) {
            while (at > value && (at[-1] == ' ' || at[-1] == '\t'))
                at--;
            *at = '\0';
            return;
        }
}

static void read_key(struct reading *reading, const char *name, const char *value)
{
    struct config *config = reading->config;
    struct config_slot *slot = find_own_slot(config, name);
    if (!slot) {
        const char *near = suggest_key(config, name);
        config_problem(config, "%s:%u: unknown key \"%s\"%s%s%s", reading->file_name, reading->line,
            name, near ? "; did you mean " : "; --check prints the keys", near ? near : "",
            near ? "?" : "");
        return;
    }
    bool is_list = config_kind_is_list(slot->key->kind);
    if (slot->origin == CONFIG_FROM_FILE && !is_list) {
        config_problem(config, "%s:%u: %s is given twice, first in line %u; remove one",
            reading->file_name, reading->line, slot->key->name, slot->line);
        return;
    }
    if (is_list && slot->origin == CONFIG_FROM_DEFAULT)
        ((struct config_list *)slot->field)->count = 0;
    char why_data[512];
    struct text why;
    text_init(&why, why_data, sizeof why_data);
    if (!set_value(config, slot, value, &why))
        config_problem(config, "%s:%u: %s: \"%s\" %s", reading->file_name, reading->line,
            slot->key->name, value, why.data);
    slot->origin = CONFIG_FROM_FILE;
    slot->line = reading->line;
}

static int reading_take_pair(
    void *context, const char *section, const char *name, const char *value)
{
    struct reading *reading = context;
    if (section_is_ours(reading->config, section)) {
        char own[256];
        struct text copy;
        text_init(&copy, own, sizeof own); /* inih's lines are shorter */
        text_add(&copy, "%s", value);
        cut_comment(own);
        read_key(reading, name, own);
    } else if (!section_is_known(reading->config, section)) {
        config_problem(reading->config, "%s:%u: the section [%s] is unknown", reading->file_name,
            reading->line, section);
    }
    return 1;
}

err_t config_read(struct config *config, const char *file_name, struct span content)
{
    size_t before = config->problem_count;
    config->file_name = file_name;
    struct reading reading = {config, file_name, content, 0};
    int line = ini_parse_stream(reading_get_line, &reading, reading_take_pair, &reading);
    if (line > 0)
        config_problem(config, "%s:%d: neither \"key = value\" nor \"[section]\" nor a comment",
            file_name, line);
    else if (line < 0)
        config_problem(config, "%s: cannot be parsed", file_name);
    return config->problem_count > before ? ERR(USAGE, 0) : ERR_OK;
}

static err_t flag_set(struct config *config, struct config_slot *slot, const char *value)
{
    if (config_kind_is_list(slot->key->kind) && slot->origin != CONFIG_FROM_FLAG)
        ((struct config_list *)slot->field)->count = 0;
    slot->origin = CONFIG_FROM_FLAG;
    char why_data[512];
    struct text why;
    text_init(&why, why_data, sizeof why_data);
    if (set_value(config, slot, value, &why))
        return ERR_OK;
    config_problem(config, "--%s: \"%s\" %s", slot->key->name, value, why.data);
    return ERR(USAGE, 0);
}

/* --no-key: the bool key that is meant, or NULL. */
static struct config_slot *find_negated(struct config *config, const char *name)
{
    if (strncmp(name, "no-", 3) != 0)
        return NULL;
    struct config_slot *slot = find_own_slot(config, name + 3);
    return slot && slot->key->kind == CONFIG_BOOL ? slot : NULL;
}

err_t config_flag(struct config *config, int argc, char **argv, int *at)
{
    const char *word = argv[*at];
    if (strncmp(word, "--", 2) != 0)
        return ERR(NOT_FOUND, 0);
    char name[64];
    const char *equals = strchr(word + 2, '=');
    size_t size = equals ? (size_t)(equals - word - 2) : strlen(word + 2);
    if (!span_to_text(span_of(word + 2, size), name, sizeof name))
        return ERR(NOT_FOUND, 0);
    struct config_slot *slot = find_own_slot(config, name), *negated = find_negated(config, name);
    if (!slot && (!negated || equals))
        return ERR(NOT_FOUND, 0);
    (*at)++;
    if (!slot)
        return flag_set(config, negated, "no");
    if (equals)
        return flag_set(config, slot, equals + 1);
    if (slot->key->kind == CONFIG_BOOL)
        return flag_set(config, slot, "yes");
    if (*at >= argc) {
        config_problem(config, "%s needs a value", word);
        return ERR(USAGE, 0);
    }
    return flag_set(config, slot, argv[(*at)++]);
}

void config_unknown_flag(struct config *config, const char *flag)
{
    char name[64];
    size_t dashes = strspn(flag, "-");
    size_t size = strcspn(flag + dashes, "=");
    const char *near = NULL;
    if (span_to_text(span_of(flag + dashes, size), name, sizeof name))
        near = suggest_key(config, name);
    char dashed[64] = "";
    struct text text;
    text_init(&text, dashed, sizeof dashed);
    config_flag_name_print(near ? near : "", &text);
    config_problem(config, "unknown flag %s%s%s%s", flag,
        near ? "; did you mean --" : "; --help lists the flags", dashed, near ? "?" : "");
}

err_t config_finish(struct config *config)
{
    for (size_t i = 0; i < config->slot_count; i++) {
        const struct config_slot *slot = &config->slots[i];
        const struct config_key *key = slot->key;
        if (slot->origin == CONFIG_FROM_DEFAULT && !key->default_text)
            config_problem(config, "%s is missing: give --%s or set it in the file (%s)", key->name,
                key->name, key->help);
        else if (config_kind_is_list(key->kind)
                 && ((const struct config_list *)slot->field)->count < key->min)
            config_problem(
                config, "%s needs at least %llu", key->name, (unsigned long long)key->min);
    }
    return config->problem_count > 0 ? ERR(USAGE, 0) : ERR_OK;
}

static void origin_print(
    const struct config *config, const struct config_slot *slot, struct text *text)
{
    if (slot->origin == CONFIG_FROM_DEFAULT)
        text_add(text, "default");
    else if (slot->origin == CONFIG_FROM_FLAG)
        text_add(text, "flag");
    else
        text_add(text, "%s:%u", config->file_name, slot->line);
}

void config_add_origin(const struct config *config, const char *name, struct text *text)
{
    const struct config_slot *slot = find_slot(config, name);
    CHECK(slot != NULL);
    origin_print(config, slot, text);
}
