#include "base/config_value.h"

#include <ctype.h>

#include "base/suggest.h"
#include "base/units.h"

struct unit {
    const char *name;
    uint64_t factor;
};

/* Largest first of those that print; the decimal ones are only read. */
static const struct unit size_units[] = {{"TiB", TIB}, {"GiB", GIB}, {"MiB", MIB}, {"KiB", KIB},
    {"B", 1}, {"", 1}, {"KB", 1000}, {"MB", 1000000}, {"GB", 1000000000},
    {"TB", UINT64_C(1000000000000)}, {NULL, 0}};
static const struct unit duration_units[] = {{"d", NS_PER_DAY}, {"h", NS_PER_HOUR},
    {"m", NS_PER_MINUTE}, {"s", NS_PER_S}, {"ms", NS_PER_MS}, {"us", NS_PER_US}, {"ns", 1},
    {NULL, 0}};

bool config_kind_is_list(enum config_kind kind)
{
    return kind == CONFIG_TEXT_LIST || kind == CONFIG_ADDRESS_LIST;
}

bool config_kind_is_text(enum config_kind kind)
{
    return kind == CONFIG_TEXT || kind == CONFIG_ADDRESS || config_kind_is_list(kind);
}

static bool equals_ignoring_case(const char *a, const char *b)
{
    while (*a && tolower((unsigned char)*a) == tolower((unsigned char)*b))
        a++, b++;
    return *a == *b;
}

/* Digits at the beginning of `word`; the end goes to *rest. False: none, or above 2^64-1. */
static bool parse_digits(const char *word, uint64_t *ret, const char **rest)
{
    uint64_t number = 0;
    const char *at = word;
    for (; *at >= '0' && *at <= '9'; at++)
        if (__builtin_mul_overflow(number, UINT64_C(10), &number)
            || __builtin_add_overflow(number, (uint64_t)(*at - '0'), &number))
            return false;
    *ret = number;
    *rest = at;
    return at > word;
}

static const struct unit *find_unit(const struct unit *units, const char *name)
{
    for (const struct unit *unit = units; unit->name; unit++)
        if (equals_ignoring_case(unit->name, name))
            return unit;
    return NULL;
}

static bool parse_with_unit(
    const char *word, const struct unit *units, uint64_t *ret, struct text *why)
{
    const char *rest;
    uint64_t number;
    if (!parse_digits(word, &number, &rest)) {
        text_add(why, "is not a whole number below 2^64 with a unit");
        return false;
    }
    while (*rest == ' ')
        rest++;
    const struct unit *unit = find_unit(units, rest);
    if (!unit && units == duration_units && *rest == '\0' && number == 0)
        unit = &units[0];
    if (!unit) {
        if (units == duration_units)
            text_add(why, "needs one of the units ns us ms s m h d, as in 30s");
        else
            text_add(why, "needs one of the units B KiB MiB GiB TiB (1024) or KB MB GB TB (1000), "
                          "as in 64MiB");
        return false;
    }
    if (__builtin_mul_overflow(number, unit->factor, ret)) {
        text_add(why, "is too large");
        return false;
    }
    return true;
}

static bool check_bounds(
    const struct config_key *key, uint64_t number, uint64_t max, struct text *why)
{
    if (number >= key->min && (max == 0 || number <= max))
        return true;
    text_add(why, "is out of bounds: ");
    config_bounds_print(key, why);
    return false;
}

static bool parse_bool(const char *word, bool *ret, struct text *why)
{
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (equals_ignoring_case(word, words[i])) {
            *ret = i % 2 == 1;
            return true;
        }
    text_add(why, "is neither yes nor no");
    return false;
}

static bool parse_integer(const char *word, uint64_t *ret, struct text *why)
{
    const char *rest;
    if (parse_digits(word, ret, &rest) && *rest == '\0')
        return true;
    text_add(why, "is not a whole number below 2^64");
    return false;
}

static bool parse_amount(
    const struct config_key *key, const char *word, struct config_amount *ret, struct text *why)
{
    const char *rest;
    struct config_amount amount = {0, true};
    if (!parse_digits(word, &amount.value, &rest) || strcmp(rest, "%") != 0) {
        amount.is_percent = false;
        if (!parse_with_unit(word, size_units, &amount.value, why)) {
            text_add(why, ", or a percentage as in 10%%");
            return false;
        }
    }
    uint64_t percent_max = key->percent_max > 0 ? key->percent_max : 100;
    bool fits = amount.is_percent ? amount.value <= percent_max
                                  : check_bounds(key, amount.value, key->max, why);
    if (!fits && amount.is_percent)
        text_add(why, "is out of bounds: 0%% to %llu%%", (unsigned long long)percent_max);
    if (fits)
        *ret = amount;
    return fits;
}

static bool parse_choice(
    const struct config_key *key, const char *word, uint32_t *ret, struct text *why)
{
    struct suggestion suggestion;
    suggest_start(&suggestion, word);
    for (uint32_t i = 0; key->choices[i]; i++) {
        if (strcmp(key->choices[i], word) == 0) {
            *ret = i;
            return true;
        }
        suggest_offer(&suggestion, key->choices[i]);
    }
    text_add(why, "is not ");
    config_bounds_print(key, why);
    if (suggestion.best)
        text_add(why, "; did you mean %s?", suggestion.best);
    return false;
}

bool config_value_parse(
    const struct config_key *key, const char *word, union config_value *ret, struct text *why)
{
    switch (key->kind) {
    case CONFIG_BOOL:
        return parse_bool(word, &ret->is_true, why);
    case CONFIG_INTEGER:
        return parse_integer(word, &ret->number, why)
               && check_bounds(key, ret->number, key->max, why);
    case CONFIG_SIZE:
        return parse_with_unit(word, size_units, &ret->number, why)
               && check_bounds(key, ret->number, key->max, why);
    case CONFIG_DURATION:
        return parse_with_unit(word, duration_units, &ret->number, why)
               && check_bounds(key, ret->number, key->max, why);
    case CONFIG_AMOUNT:
        return parse_amount(key, word, &ret->amount, why);
    case CONFIG_ENUM:
        return parse_choice(key, word, &ret->choice, why);
    default:
        UNREACHABLE("texts have no number");
    }
}

static bool is_host_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.'
           || c == '-' || c == '_';
}

static bool is_address(const char *word)
{
    const char *at = word;
    if (*at == '[') {
        at++;
        while (is_host_char(*at) || *at == ':' || *at == '%')
            at++;
        if (at == word + 1 || *at++ != ']')
            return false;
    } else {
        while (is_host_char(*at))
            at++;
    }
    uint64_t port;
    const char *rest;
    return at > word && *at == ':' && parse_digits(at + 1, &port, &rest) && *rest == '\0'
           && port <= UINT16_MAX;
}

bool config_text_check(const struct config_key *key, const char *word, struct text *why)
{
    for (const char *at = word; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f) {
            text_add(why, "holds a control character");
            return false;
        }
    if (config_kind_is_list(key->kind) && *word == '\0') {
        text_add(why, "is empty");
        return false;
    }
    if (key->kind == CONFIG_TEXT && !check_bounds(key, strlen(word), key->max, why))
        return false;
    bool wants_address = key->kind == CONFIG_ADDRESS || key->kind == CONFIG_ADDRESS_LIST;
    bool is_none = *word == '\0' && key->default_text && *key->default_text == '\0';
    if (wants_address && !is_none && !is_address(word)) {
        text_add(why, "is not an address: write host:port, as in 127.0.0.1:22122 or [::1]:22122");
        return false;
    }
    return true;
}

void config_number_print(enum config_kind kind, uint64_t number, struct text *text)
{
    const struct unit *unit = kind == CONFIG_DURATION ? duration_units : size_units;
    if (kind == CONFIG_INTEGER || number == 0) {
        text_add(text, "%llu", (unsigned long long)number);
        return;
    }
    while (number % unit->factor != 0)
        unit++;
    text_add(text, "%llu%s", (unsigned long long)(number / unit->factor), unit->name);
}

void config_field_print(const struct config_key *key, const void *field, struct text *text)
{
    const struct config_amount *amount = field;
    switch (key->kind) {
    case CONFIG_BOOL:
        text_add(text, "%s", *(const bool *)field ? "yes" : "no");
        return;
    case CONFIG_INTEGER:
    case CONFIG_SIZE:
    case CONFIG_DURATION:
        config_number_print(key->kind, *(const uint64_t *)field, text);
        return;
    case CONFIG_AMOUNT:
        if (amount->is_percent)
            text_add(text, "%llu%%", (unsigned long long)amount->value);
        else
            config_number_print(CONFIG_SIZE, amount->value, text);
        return;
    case CONFIG_ENUM:
        text_add(text, "%s", key->choices[*(const uint32_t *)field]);
        return;
    case CONFIG_TEXT:
    case CONFIG_ADDRESS:
        text_add(text, "%s", *(const char *const *)field);
        return;
    default:
        UNREACHABLE("lists are printed item by item");
    }
}

void config_flag_name_print(const char *name, struct text *text)
{
    for (const char *at = name; *at; at++)
        text_add_char(text, (char)(*at == '_' ? '-' : *at));
}

static const char *kind_text(const struct config_key *key)
{
    static const char *const names[CONFIG_KIND_COUNT] = {"yes or no", "number", "size", "duration",
        "percentage or size", "text", "host:port", "one of", "texts", "list of host:port"};
    return names[key->kind];
}

static void bound_print(const struct config_key *key, uint64_t number, struct text *text)
{
    enum config_kind kind = key->kind == CONFIG_AMOUNT ? CONFIG_SIZE : key->kind;
    config_number_print(config_kind_is_text(kind) ? CONFIG_INTEGER : kind, number, text);
}

void config_bounds_print(const struct config_key *key, struct text *text)
{
    text_add(text, "%s", kind_text(key));
    if (key->kind == CONFIG_ENUM) {
        for (size_t i = 0; key->choices[i]; i++)
            text_add(text, "%s%s", i == 0 ? " " : ", ", key->choices[i]);
        return;
    }
    if (key->kind == CONFIG_INTEGER && key->unit)
        text_add(text, " of %s", key->unit);
    if (key->min > 0 || key->max > 0)
        text_add(text, key->min > 0 && key->max > 0 ? ", "
                       : key->min > 0               ? ", at least "
                                                    : ", at most ");
    if (key->min > 0)
        bound_print(key, key->min, text);
    if (key->min > 0 && key->max > 0)
        text_add(text, " to ");
    if (key->max > 0)
        bound_print(key, key->max, text);
    if (config_kind_is_text(key->kind) && (key->min > 0 || key->max > 0))
        text_add(text, "%s", config_kind_is_list(key->kind) ? " of them" : " bytes");
}
