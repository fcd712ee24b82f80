/* Any bytes as a configuration file: never a crash, and what is accepted survives printing and
 * reading again. */
#include "base/config.h"
#include "base/units.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct settings {
    bool flag;
    uint64_t number, size, duration_ns;
    struct config_amount amount;
    const char *text, *address;
    uint32_t choice;
    struct config_list texts, addresses;
};

static const char *const choices[] = {"loop", "turn", NULL};
static const struct config_key keys[] = {
    {"flag", CONFIG_AT_BOOL(struct settings, flag), .default_text = "no"},
    {"number", CONFIG_AT_INTEGER(struct settings, number), .default_text = "1", .max = 1000},
    {"size", CONFIG_AT_SIZE(struct settings, size), .default_text = "1KiB", .min = 1},
    {"duration", CONFIG_AT_DURATION(struct settings, duration_ns), .default_text = "1s"},
    {"amount", CONFIG_AT_AMOUNT(struct settings, amount), .default_text = "1%"},
    {"text", CONFIG_AT_TEXT(struct settings, text), .default_text = ""},
    {"address", CONFIG_AT_ADDRESS(struct settings, address), .default_text = ""},
    {"choice", CONFIG_AT_ENUM(struct settings, choice), .default_text = "loop", .choices = choices},
    {"texts", CONFIG_AT_TEXT_LIST(struct settings, texts), .default_text = ""},
    {"addresses", CONFIG_AT_ADDRESS_LIST(struct settings, addresses), .default_text = ""},
};
static const struct config_table table = {"s", keys, ARRAY_LEN(keys)};

static void check_equal(const struct settings *a, const struct settings *b)
{
    CHECK(a->flag == b->flag && a->number == b->number && a->size == b->size);
    CHECK(a->duration_ns == b->duration_ns && a->choice == b->choice);
    CHECK(a->amount.value == b->amount.value && a->amount.is_percent == b->amount.is_percent);
    CHECK(strcmp(a->text, b->text) == 0 && strcmp(a->address, b->address) == 0);
    CHECK(a->texts.count == b->texts.count && a->addresses.count == b->addresses.count);
    for (size_t i = 0; i < a->texts.count; i++)
        CHECK(strcmp(a->texts.items[i], b->texts.items[i]) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config config, again;
    static struct settings first, second;
    static char printed[256 * 1024];
    config_init(&config);
    config_add(&config, &table, &first);
    err_t err = config_read(&config, "fuzz", span_of(data, size));
    CHECK(err_is(err) == (config.problem_count > 0));
    struct text text;
    text_init(&text, printed, sizeof printed);
    config_print_json(&config, &text);
    text_init(&text, printed, sizeof printed);
    config_print(&config, &text);
    config_init(&again);
    config_add(&again, &table, &second);
    if (text.is_cut || err_is(err))
        return 0;
    err = config_read(&again, "f", span_of_text(printed));
    if (!err_is(err)) /* a line may have become too long by the comment that names its origin */
        check_equal(&first, &second);
    return 0;
}
