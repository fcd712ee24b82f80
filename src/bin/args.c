#include "bin/args.h"

#include <getopt.h>

enum { OPTION_BASE = 1000, OPTION_HELP = 900, HELP_COLUMN = 28 };

struct option_set {
    struct option longs[ARG_TABLE_MAX + 2];
    char letters[3 * ARG_TABLE_MAX + 4];
};

static bool takes_value(const struct arg *arg)
{
    return arg->kind != ARG_FLAG && arg->kind != ARG_NO_FLAG;
}

static void option_set_build(const struct arg_table *table, struct option_set *ret)
{
    size_t long_count = 0, letter_count = 0;
    *ret = (struct option_set){0};
    ret->letters[letter_count++] = ':'; /* tell a missing value from an unknown option */
    ret->letters[letter_count++] = 'h';
    CHECK(table->count <= ARG_TABLE_MAX);
    for (size_t i = 0; i < table->count; i++) {
        const struct arg *arg = &table->rows[i];
        if (arg->kind == ARG_HEADING)
            continue;
        ret->longs[long_count++] = (struct option){arg->name,
            takes_value(arg) ? required_argument : no_argument, NULL, OPTION_BASE + (int)i};
        if (arg->letter != '\0') {
            ret->letters[letter_count++] = arg->letter;
            if (takes_value(arg))
                ret->letters[letter_count++] = ':';
        }
    }
    ret->longs[long_count] = (struct option){"help", no_argument, NULL, OPTION_HELP};
}

static const struct arg *row_of_option(const struct arg_table *table, int option)
{
    if (option >= OPTION_BASE)
        return &table->rows[option - OPTION_BASE];
    for (size_t i = 0; i < table->count; i++)
        if (table->rows[i].kind != ARG_HEADING && table->rows[i].letter == (char)option)
            return &table->rows[i];
    UNREACHABLE("getopt returned a letter that it was not given");
}

static bool store_number(const struct arg *arg, uint64_t value, void *field)
{
    if (arg->max > 0 && (value < arg->min || value > arg->max))
        return false;
    memcpy(field, &value, sizeof value);
    return true;
}

static bool store_in_list(struct arg_list *list, const char *text)
{
    if (list->count == ARG_LIST_MAX)
        return false;
    list->items[list->count++] = text;
    return true;
}

/* Fields are of the type that the kind names; offsetof made `field`, so it is aligned. */
static bool arg_store(const struct arg *arg, const char *text, void *field)
{
    uint64_t number;
    switch (arg->kind) {
    case ARG_FLAG:
        *(bool *)field = true;
        return true;
    case ARG_NO_FLAG:
        *(bool *)field = false;
        return true;
    case ARG_TEXT:
        *(const char **)field = text;
        return true;
    case ARG_LIST:
        return store_in_list(field, text);
    case ARG_NUMBER:
        return parse_number(text, &number) && store_number(arg, number, field);
    case ARG_MACHINE:
        return parse_machine(text, &number) && store_number(arg, number, field);
    case ARG_SIZE:
        return parse_size(text, &number) && store_number(arg, number, field);
    case ARG_DURATION:
        return parse_duration(text, &number) && store_number(arg, number, field);
    case ARG_RANGE:
        return parse_range(text, field);
    case ARG_SLACK:
        return parse_slack(text, field);
    case ARG_VERSION:
        return parse_version(text, field);
    case ARG_ACK:
        return parse_ack(text, field);
    case ARG_HEADING:
        break;
    }
    UNREACHABLE("an option of no kind");
}

static const char *wanted(enum arg_kind kind)
{
    switch (kind) {
    case ARG_LIST:
        return "at most 64 values";
    case ARG_NUMBER:
        return "a number";
    case ARG_MACHINE:
        return "a machine like m001";
    case ARG_SIZE:
        return "a size like 4096, 64K or 1G";
    case ARG_DURATION:
        return "a time like 500ms, 10s or 5m";
    case ARG_RANGE:
        return "first and last byte like 0-4095, or 4096-";
    case ARG_SLACK:
        return "percent like 20% (at most 1000%) or bytes like 4K (at most 1G)";
    case ARG_VERSION:
        return "a version like 3.1 (see cairn stat)";
    case ARG_ACK:
        return "memory, local, one or all";
    default:
        return "a value";
    }
}

static void report_bad_value(
    const struct verb *verb, const struct arg *arg, const char *text, FILE *talk)
{
    (void)fprintf(talk, "cairn %s: --%s wants %s", verb->name, arg->name, wanted(arg->kind));
    if (arg->max > 0 && arg->kind == ARG_DURATION)
        (void)fprintf(talk, " within its limits");
    else if (arg->max > 0)
        (void)fprintf(
            talk, " from %llu to %llu", (unsigned long long)arg->min, (unsigned long long)arg->max);
    (void)fprintf(talk, ", not \"%s\"\n", text);
}

static enum args_result report_bad_option(
    const struct verb *verb, bool value_missing, const char *word, FILE *talk)
{
    if (value_missing)
        (void)fprintf(talk, "cairn %s: %s wants a value\n", verb->name, word);
    else
        (void)fprintf(talk, "cairn %s: unknown option %s\n", verb->name, word);
    (void)fprintf(talk, "Try: cairn %s --help\n", verb->name);
    return ARGS_BAD;
}

enum args_result args_parse(const struct verb *verb, int argc, char **argv, void *values,
    int *ret_first, FILE *data, FILE *talk)
{
    struct option_set options;
    option_set_build(&verb->args, &options);
    optind = 0; /* glibc: begin anew */
    opterr = 0;
    for (;;) {
        int option = getopt_long(argc, argv, options.letters, options.longs, NULL);
        if (option == -1)
            break;
        if (option == OPTION_HELP || option == 'h') {
            verb_print_help(verb, data);
            return ARGS_HELP;
        }
        if (option == '?' || option == ':')
            return report_bad_option(verb, option == ':', argv[optind - 1], talk);
        const struct arg *arg = row_of_option(&verb->args, option);
        if (!arg_store(arg, optarg, (char *)values + arg->offset)) {
            report_bad_value(verb, arg, optarg, talk);
            return ARGS_BAD;
        }
        if (arg->offset_set > 0)
            *((bool *)((char *)values + arg->offset_set)) = true;
    }
    *ret_first = optind;
    return ARGS_OK;
}

static void print_row(const struct arg *arg, FILE *to)
{
    char left[96];
    int width = snprintf(left, sizeof left, "  %c%c%s--%s%s%s", arg->letter ? '-' : ' ',
        arg->letter ? arg->letter : ' ', arg->letter ? ", " : "  ", arg->name,
        arg->value ? " " : "", arg->value ? arg->value : "");
    (void)fprintf(to, "%s", left);
    if (width >= HELP_COLUMN) {
        (void)fprintf(to, "\n");
        width = 0;
    }
    for (const char *at = arg->text; *at != '\0'; width = 0) {
        size_t length = strcspn(at, "\n");
        (void)fprintf(to, "%*s%.*s\n", HELP_COLUMN - width, "", (int)length, at);
        at += length + (at[length] == '\n');
    }
}

void verb_print_help(const struct verb *verb, FILE *to)
{
    (void)fprintf(to, "Usage: cairn %s %s\n\n%s\n", verb->name, verb->usage, verb->about);
    (void)fprintf(to, "\nOptions:\n");
    for (size_t i = 0; i < verb->args.count; i++) {
        const struct arg *arg = &verb->args.rows[i];
        if (arg->kind == ARG_HEADING)
            (void)fprintf(to, "\n%s:\n", arg->text);
        else
            print_row(arg, to);
    }
    (void)fprintf(to, "  -h, --help                this text\n");
    if (verb->examples)
        (void)fprintf(to, "\nExamples:\n%s\n", verb->examples);
    (void)fprintf(to, "%s", VERB_EXIT_CODES);
}
