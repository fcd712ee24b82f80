#include "base/err.h"

#include <errno.h>

static const struct {
    int32_t code;
    int exit_code;
    const char *name;
    const char *text;
} codes[] = {
#define X(name, number, exit_code, text) {number, exit_code, #name, text},
    ERR_CODES(X)
#undef X
};

const char *err_name(int32_t code)
{
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (codes[i].code == code)
            return codes[i].name;
    return "UNKNOWN";
}

const char *err_sentence(int32_t code)
{
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (codes[i].code == code)
            return codes[i].text;
    return "an error that this version does not know";
}

int err_exit_code(int32_t code)
{
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (codes[i].code == code)
            return codes[i].exit_code;
    return 1;
}

static enum err_code code_of_errno(int number)
{
    switch (number) {
    case ENOSPC:
    case EDQUOT:
        return ERR_CODE_NO_SPACE;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
        return ERR_CODE_NO_RESOURCE;
    case ENOENT:
        return ERR_CODE_NOT_FOUND;
    case EEXIST:
        return ERR_CODE_EXISTS;
    case ECANCELED:
        return ERR_CODE_CANCELLED;
    case EPIPE:
    case ECONNRESET:
        return ERR_CODE_CLOSED;
    case ETIMEDOUT:
    case ETIME:
        return ERR_CODE_TIMEOUT;
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return ERR_CODE_UNAVAILABLE;
    case EACCES:
    case EPERM:
        return ERR_CODE_DENIED;
    default:
        return ERR_CODE_IO;
    }
}

err_t err_from_result(int64_t negative_errno, const struct site *site)
{
    CHECK(negative_errno < 0);
    int number = (int)-negative_errno;
    return (err_t){site, (int32_t)code_of_errno(number), number};
}
