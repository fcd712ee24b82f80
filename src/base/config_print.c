/* How a configuration is shown: effective values, JSON, a sample file, flags. */
#include "base/config_value.h"

static void section_print(
    const struct config_table *table, const struct config_table *last, struct text *text)
{
    if (table == last)
        return;
    if (table->section)
        text_add(text, "%s[%s]\n", last ? "\n" : "", table->section);
}

static void line_print(const struct config *config, const struct config_slot *slot,
    const char *item, struct text *text)
{
    size_t start = text->size;
    text_add(text, "%s = ", slot->key->name);
    if (item)
        text_add(text, "%s", item);
    else
        config_field_print(slot->key, slot->field, text);
    do
        text_add_char(text, ' ');
    while (text->size - start < 40 && !text->is_cut);
    text_add(text, "; ");
    config_add_origin(config, slot->key->name, text);
    text_add_char(text, '\n');
}

static bool is_unset(const struct config_slot *slot)
{
    return slot->origin == CONFIG_FROM_DEFAULT
           && (!slot->key->default_text || *slot->key->default_text == '\0');
}

void config_print(const struct config *config, struct text *text)
{
    const struct config_table *last = NULL;
    for (size_t i = 0; i < config->slot_count; i++) {
        const struct config_slot *slot = &config->slots[i];
        section_print(slot->table, last, text);
        last = slot->table;
        if (is_unset(slot)) {
            text_add(text, "; %s is not set\n", slot->key->name);
        } else if (config_kind_is_list(slot->key->kind)) {
            const struct config_list *list = slot->field;
            for (size_t item = 0; item < list->count; item++)
                line_print(config, slot, list->items[item], text);
        } else {
            line_print(config, slot, NULL, text);
        }
    }
}

static void json_text_print(const char *word, struct text *text)
{
    text_add_char(text, '"');
    text_add_json(text, span_of_text(word));
    text_add_char(text, '"');
}

static void json_value_print(const struct config_slot *slot, struct text *text)
{
    if (config_kind_is_list(slot->key->kind)) {
        const struct config_list *list = slot->field;
        text_add_char(text, '[');
        for (size_t item = 0; item < list->count; item++) {
            text_add(text, item > 0 ? "," : "");
            json_text_print(list->items[item], text);
        }
        text_add_char(text, ']');
    } else if (config_kind_is_text(slot->key->kind)) {
        json_text_print(*(const char *const *)slot->field, text);
    } else {
        text_add_char(text, '"');
        config_field_print(slot->key, slot->field, text);
        text_add_char(text, '"');
    }
}

void config_print_json(const struct config *config, struct text *text)
{
    text_add_char(text, '{');
    for (size_t i = 0; i < config->slot_count; i++) {
        const struct config_slot *slot = &config->slots[i];
        char origin_data[512];
        struct text origin;
        text_init(&origin, origin_data, sizeof origin_data);
        config_add_origin(config, slot->key->name, &origin);
        text_add(text, "%s\"%s\":{\"value\":", i > 0 ? "," : "", slot->key->name);
        json_value_print(slot, text);
        text_add(text, ",\"origin\":");
        json_text_print(origin_data, text);
        text_add_char(text, '}');
    }
    text_add(text, "}\n");
}

void config_print_sample(const struct config *config, struct text *text)
{
    const struct config_table *last = NULL;
    for (size_t i = 0; i < config->slot_count; i++) {
        const struct config_key *key = config->slots[i].key;
        section_print(config->slots[i].table, last, text);
        last = config->slots[i].table;
        text_add(text, "\n# %s\n# ", key->help);
        config_bounds_print(key, text);
        text_add(text, "%s\n", key->default_text ? "" : "; must be given");
        if (config_kind_is_list(key->kind))
            text_add(text, "# may be repeated\n");
        text_add(text, "#%s = %s\n", key->name, key->default_text ? key->default_text : "");
    }
}

void config_print_flags(const struct config *config, struct text *text)
{
    for (size_t i = 0; i < config->slot_count; i++) {
        const struct config_key *key = config->slots[i].key;
        size_t start = text->size;
        text_add(text, "  --");
        config_flag_name_print(key->name, text);
        do
            text_add_char(text, ' ');
        while (text->size - start < 28 && !text->is_cut);
        text_add(text, "%s", key->help);
        if (key->default_text && *key->default_text)
            text_add(text, " (%s)", key->default_text);
        text_add_char(text, '\n');
    }
}
