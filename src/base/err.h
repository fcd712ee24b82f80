/* Errors are values with a birthplace: born in the failing expression by ERR(), passed up
 * unchanged, either returned or logged, never both. Only `code` goes on the wire. */
#ifndef CAIRN_BASE_ERR_H
#define CAIRN_BASE_ERR_H

#include "base/check.h"

/* name, number on the wire (never reused), exit code of the command line, sentence */
#define ERR_CODES(X)                                                                        \
    X(OK, 0, 0, "ok")                                                                       \
    X(FAILED, 1, 1, "the operation failed")                                                 \
    X(USAGE, 2, 2, "the request or command is malformed")                                   \
    X(NOT_FOUND, 3, 3, "no such file")                                                      \
    X(DENIED, 4, 4, "permission denied")                                                    \
    X(UNAVAILABLE, 5, 5, "the server cannot serve this now")                                \
    X(CONFLICT, 6, 6, "the file has another version than expected")                         \
    X(CORRUPT, 7, 7, "stored data is damaged")                                              \
    X(PARTIAL, 8, 8, "some of the files failed")                                            \
    X(INTERRUPTED, 9, 9, "interrupted")                                                     \
    X(TIMEOUT, 10, 5, "timed out")                                                          \
    X(BUSY, 11, 5, "a limit of the server is reached; try again")                           \
    X(NO_SPACE, 12, 1, "no space left for this change")                                     \
    X(IO, 13, 1, "input/output error")                                                      \
    X(CANCELLED, 14, 1, "cancelled")                                                        \
    X(PROTOCOL, 15, 1, "the peer broke the protocol")                                       \
    X(UNSUPPORTED, 16, 1, "not supported")                                                  \
    X(TOO_LARGE, 17, 2, "larger than the limit")                                            \
    X(IMMUTABLE, 18, 6, "the file was stored immutable")                                    \
    X(OUTCOME_UNKNOWN, 19, 1, "the commit failed: the change may or may not have happened") \
    X(OFFLINE, 20, 5, "the mount point of this file is offline")                            \
    X(RANGE, 21, 2, "the range lies outside the file")                                      \
    X(WRONG_NODE, 22, 5, "this machine does not hold the file")                             \
    X(EXISTS, 23, 6, "it exists already")                                                   \
    X(CLOSED, 24, 5, "the connection was closed")                                           \
    X(FOREIGN, 25, 1, "the disk belongs to another storage, or is stale or swapped")        \
    X(NO_RESOURCE, 26, 5, "the system refused a descriptor, memory or ring entry")          \
    X(FORMAT, 27, 7, "the on-disk format is not one that this program reads")

enum err_code {
#define X(name, number, exit_code, text) ERR_CODE_##name = number,
    ERR_CODES(X)
#undef X
};

/** The place in the code where something was born. Static const data only. */
struct site {
    const char *file;
    const char *function;
    int line;
};

#define SITE()                                                               \
    (__extension__({                                                         \
        static const struct site site_here = {__FILE__, __func__, __LINE__}; \
        &site_here;                                                          \
    }))

typedef struct err {
    const struct site *site; /* NULL only for OK and for errors that came over the wire */
    int32_t code;            /* enum err_code */
    int32_t os;              /* errno of the cause, or 0 */
} err_t;

#define ERR_OK ((err_t){NULL, ERR_CODE_OK, 0})
#define ERR(name, os_error) ((err_t){SITE(), ERR_CODE_##name, (int32_t)(os_error)})

static inline bool err_is(err_t e)
{
    return e.code != ERR_CODE_OK;
}

static inline bool err_has(err_t e, enum err_code code)
{
    return e.code == (int32_t)code;
}

/** Return at once from a function that returns err_t. */
#define TRY(expression)                  \
    do {                                 \
        err_t try_result = (expression); \
        if (err_is(try_result))          \
            return try_result;           \
    } while (0)

const char *err_name(int32_t code);     /* "NOT_FOUND"; "UNKNOWN" for foreign numbers */
const char *err_sentence(int32_t code); /* for people */
int err_exit_code(int32_t code);        /* DESIGN section 9 */

/** Map -errno (a negative io result) to an error: ENOSPC, EDQUOT -> NO_SPACE; EMFILE, ENFILE,
 * ENOMEM, ENOBUFS -> NO_RESOURCE; ENOENT -> NOT_FOUND; ECANCELED -> CANCELLED; EPIPE, ECONNRESET
 * -> CLOSED; ETIMEDOUT -> TIMEOUT; ECONNREFUSED, EHOSTUNREACH -> UNAVAILABLE; else IO. */
err_t err_from_result(int64_t negative_errno, const struct site *site);
#define ERR_RESULT(result) err_from_result((result), SITE())

#endif
