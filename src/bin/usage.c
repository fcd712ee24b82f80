#include <stdio.h>

#include "base/err.h"
#include "bin/verbs.h"
#include "wire/msg.h"

int args_exit_code(enum args_result result)
{
    return result == ARGS_HELP ? 0 : err_exit_code(ERR_CODE_USAGE);
}

bool usage_error(const char *verb, const char *sentence)
{
    (void)fprintf(stderr, "cairn %s: %s\n", verb, sentence);
    return false;
}

int usage_exit(const struct verb *verb, const char *sentence)
{
    (void)usage_error(verb->name, sentence);
    (void)fprintf(
        stderr, "Usage: cairn %s %s\nTry: cairn %s --help\n", verb->name, verb->usage, verb->name);
    return err_exit_code(ERR_CODE_USAGE);
}

const char *ack_name(uint8_t ack)
{
    static const char *const names[] = {"default", "memory", "local", "one", "all"};
    return ack < ARRAY_LEN(names) ? names[ack] : "unknown";
}
